use super::*;

fn told(first_seq: u64, lines: &[&str]) -> Trace {
    let text: String = lines
        .iter()
        .enumerate()
        .map(|(i, line)| {
            let (t, rest) = line.split_once(' ').unwrap_or((line, ""));
            let comma = if rest.is_empty() { "" } else { "," };
            format!(
                "FF1 {{\"t\":\"{t}\",\"seq\":{},\"ms\":1{comma}{rest}}}\n",
                first_seq + i as u64
            )
        })
        .collect();
    parse(&text)
}

const HELLO_PRE: &str = r#"hello "recipe":"r","version":1,"job":"j","command":"pre-script""#;
const HELLO_POST: &str = r#"hello "recipe":"r","version":1,"job":"j","command":"post-script""#;
const ARMED: &str = r#"armed "budget_ms":1,"guard_pid":2,"holder_pid":3"#;
const LOCKED: &str = r#"locked "session":7,"how":"ftwrl","tries":1"#;
const A: &str = r#"frozen "mount":"/a","took_ms":1"#;
const B: &str = r#"frozen "mount":"/b","took_ms":1"#;
const TA: &str = r#"thawed "mount":"/a","ok":true"#;
const TB: &str = r#"thawed "mount":"/b","ok":true"#;
const QUIET: &str = r#"disarmed "fired":false"#;

#[test]
fn chatter_is_ignored_and_broken_lines_are_counted() {
    let text = "hello\nFF1{\"t\":\"ready\"}\nFF1 {\"t\":\"ready\",\"seq\":1,\"ms\":2}\r\nFF1 nonsense\nFF1 [1]\n\
                FF1 {\"t\":\"frozen\",\"seq\":2,\"ms\":3,\"mount\":7,\"took_ms\":1}\nFF1 {\"t\":\"fro";
    let trace = parse(text);
    assert_eq!(
        trace.lines,
        [Line {
            seq: 1,
            ms: 2,
            said: TraceEvent::Ready
        }]
    );
    let bad: Vec<usize> = trace.malformed.iter().map(|m| m.line_no).collect();
    assert_eq!(bad, [4, 5, 6, 7]);
    assert!(trace.out_of_order.is_none());
}

#[test]
fn unknown_events_are_kept_and_long_lines_are_not() {
    let trace = told(1, &["brew \"tea\":true", "ready"]);
    assert_eq!(
        trace.lines[0].said,
        TraceEvent::Unknown {
            event: "brew".into()
        }
    );
    let long = format!(
        "FF1 {{\"t\":\"ready\",\"seq\":1,\"ms\":1,\"x\":\"{}\"}}",
        "y".repeat(1_000)
    );
    let trace = parse(&long);
    assert!(trace.lines.is_empty() && trace.malformed.len() == 1);
}

#[test]
fn seq_must_rise() {
    let line = |seq| format!("FF1 {{\"t\":\"ready\",\"seq\":{seq},\"ms\":1}}\n");
    assert!(parse(&(line(1) + &line(2))).out_of_order.is_none());
    assert!(parse(&(line(2) + &line(2))).out_of_order.is_some());
    assert!(
        parse(&(line(2) + &line(1) + &line(3)))
            .out_of_order
            .is_some()
    );
    assert!(parse(&line(0)).out_of_order.is_some(), "seq counts from 1");
}

#[test]
fn p08_any_other_order_is_refused() {
    let pre = [HELLO_PRE, ARMED, "flushed", LOCKED, "synced", A, B, "ready"];
    let post = [
        HELLO_POST,
        "release",
        r#"alive "session":7"#,
        TB,
        TA,
        r#"unlocked "session":7"#,
        QUIET,
    ];
    let good = |pre: &[&str], post: &[&str]| {
        check_order("j", &told(1, pre), &told(1 + pre.len() as u64, post))
    };
    assert_eq!(good(&pre, &post), Ok(()));
    // Swap every two neighbours, drop nothing: only the two freezes (mirrored by no thaw) and none else may pass.
    for i in 0..pre.len() - 1 {
        let mut wrong = pre;
        wrong.swap(i, i + 1);
        assert!(good(&wrong, &post).is_err(), "{wrong:?}");
    }
    for i in 0..post.len() - 1 {
        let mut wrong = post;
        wrong.swap(i, i + 1);
        assert!(good(&pre, &wrong).is_err(), "{wrong:?}");
    }
    for i in [1, 2, 3, 4, 7] {
        let mut twice = pre.to_vec();
        twice.insert(i, pre[i]);
        assert!(good(&twice, &post).is_err(), "{twice:?}");
    }
    // One story over both commands, of this job.
    assert!(check_order("other", &told(1, &pre), &told(20, &post)).is_err());
    assert!(check_order("j", &told(10, &pre), &told(1, &post)).is_err());
    assert!(
        check_order(
            "j",
            &told(1, &[&pre[..], &post[1..]].concat()),
            &told(30, &post)
        )
        .is_err()
    );
}

#[test]
fn p08_the_session_may_answer_between_the_last_thaw_and_the_unlock() {
    let pre = [HELLO_PRE, ARMED, "flushed", LOCKED, "synced", A, B, "ready"];
    let alive = r#"alive "session":7"#;
    let unlocked = r#"unlocked "session":7"#;
    let check = |post: &[&str]| check_order("j", &told(1, &pre), &told(20, post));
    let late = [HELLO_POST, "release", TB, TA, alive, unlocked, QUIET];
    assert_eq!(check(&late), Ok(()));
    for (wrong, why) in [
        (
            vec![HELLO_POST, "release", TB, alive, TA, unlocked, QUIET],
            "between the thaws",
        ),
        (
            vec![HELLO_POST, "release", TB, TA, unlocked, alive, QUIET],
            "after the unlock",
        ),
        (
            vec![HELLO_POST, "release", alive, TB, TA, alive, unlocked, QUIET],
            "twice",
        ),
        (
            vec![HELLO_POST, "release", TB, TA, alive, alive, unlocked, QUIET],
            "twice after the thaw",
        ),
        (
            vec![HELLO_POST, alive, "release", TB, TA, unlocked, QUIET],
            "before the release",
        ),
    ] {
        assert!(check(&wrong).is_err(), "{why}");
    }
}

const HELLO_ONE: &str = r#"hello "recipe":"r","version":1,"job":"j","command":"snapshot""#;
const ANSWER: &str = r#"answer "ok":true,"status":200,"took_ms":54"#;
const SNAPSHOT: &str = r#"snapshot "snapshot":"snap-0000000d","volume":"vol-0000000d","gib":1"#;
const PREPARED: &str = r#"prepared "how":"curl","region":"eu-central-1""#;

#[test]
fn p08_any_other_order_of_the_one_command_is_refused() {
    let one = [
        HELLO_ONE,
        ARMED,
        "flushed",
        LOCKED,
        "synced",
        A,
        B,
        "ready",
        "request",
        ANSWER,
        "release",
        r#"alive "session":7"#,
        TB,
        TA,
        r#"unlocked "session":7"#,
        QUIET,
    ];
    let good = |lines: &[&str]| check_one("j", &told(1, lines));
    assert_eq!(good(&one), Ok(()));
    for i in 0..one.len() - 1 {
        let mut wrong = one;
        wrong.swap(i, i + 1);
        assert!(good(&wrong).is_err(), "{wrong:?}");
    }
    // Every line once: none of these twice, and the call's own three not missing.
    for i in [1, 2, 3, 4, 7, 8, 9, 10, 11, 14, 15] {
        let mut twice = one.to_vec();
        twice.insert(i, one[i]);
        assert!(good(&twice).is_err(), "{twice:?}");
    }
    for i in [0, 8, 9, 10, 12] {
        let mut less = one.to_vec();
        less.remove(i);
        assert!(good(&less).is_err(), "{less:?}");
    }
    // What the answer holds comes after it, also after the thaw; what the request needs before the freeze.
    let with = |at: usize, line| {
        let mut lines = one.to_vec();
        lines.insert(at, line);
        good(&lines)
    };
    for at in 1..=one.len() {
        assert_eq!(with(at, SNAPSHOT).is_ok(), at > 9, "snapshot at {at}");
        assert_eq!(with(at, PREPARED).is_ok(), at < 6, "prepared at {at}");
    }
    assert!(check_one("other", &told(1, &one)).is_err());
    // Neither form passes for the other.
    let (pre, post) = one.split_at(9);
    assert!(check_order("j", &told(1, pre), &told(20, post)).is_err());
    let mut pre = vec![HELLO_PRE];
    pre.extend(&one[1..10]);
    let post = [&[HELLO_POST], &one[10..]].concat();
    assert!(check_order("j", &told(1, &pre), &told(20, &post)).is_err());
}

#[test]
fn a_trace_tells_whether_its_command_left_anything_held() {
    let end = r#"end "outcome":"failed","exit":201"#;
    let probe = r#"probe "mount":"/a","frozen":false"#;
    let still = r#"probe "mount":"/a","frozen":true"#;
    let failed = r#"thawed "mount":"/a","ok":false"#;
    let fired = r#"disarmed "fired":true"#;
    let unlocked = r#"unlocked "session":7"#;
    for held_nothing in [
        &[HELLO_ONE, end][..],
        &[HELLO_ONE, ARMED, A, TA, QUIET, end],
        &[HELLO_ONE, ARMED, LOCKED, A, TA, unlocked, QUIET, end],
        &[HELLO_ONE, ARMED, A, failed, fired, probe, end],
    ] {
        assert!(
            told(1, held_nothing).left_nothing_held(),
            "{held_nothing:?}"
        );
    }
    for held in [
        &[HELLO_ONE, ARMED, A, TA, QUIET][..],
        &[HELLO_ONE, ARMED, A, QUIET, end],
        &[HELLO_ONE, ARMED, A, TA, end],
        &[HELLO_ONE, ARMED, LOCKED, A, TA, QUIET, end],
        &[HELLO_ONE, ARMED, A, TA, still, QUIET, end],
        &[],
    ] {
        assert!(!told(1, held).left_nothing_held(), "{held:?}");
    }
    let mut torn = told(1, &[HELLO_ONE, ARMED, A, TA, QUIET, end]);
    torn.malformed.push(Malformed {
        line_no: 3,
        why: "torn".to_owned(),
    });
    assert!(!torn.left_nothing_held());
}

#[test]
fn a_clean_failure_is_told_from_an_unclean_one() {
    let error = r#"error "code":"freeze-failed","text":"EBUSY""#;
    let end = r#"end "outcome":"failed","exit":201"#;
    assert!(told(1, &[HELLO_PRE, error, end]).failed_cleanly());
    assert!(told(1, &[HELLO_PRE, ARMED, A, error, TA, QUIET, end]).failed_cleanly());
    for unclean in [
        &[HELLO_PRE, ARMED, A, error, QUIET, end][..],
        &[HELLO_PRE, ARMED, A, error, TA, end],
        &[HELLO_PRE, ARMED, LOCKED, error, QUIET, end],
        &[HELLO_PRE, ARMED, A, error, TA, QUIET],
        &[HELLO_PRE, end],
        &[],
    ] {
        assert!(!told(1, unclean).failed_cleanly(), "{unclean:?}");
    }
}

#[test]
fn the_window_is_never_taken_from_the_clock() {
    assert_eq!(told(1, &[r#"window "window_ms":9"#]).window_ms(), Some(9));
    let clock_only = told(1, &["window"]);
    assert_eq!(
        (clock_only.window_ms(), clock_only.malformed.len()),
        (None, 1)
    );
}

#[test]
fn the_text_of_an_error_names_its_mount_once() {
    for (error, words) in [
        (
            r#"error "code":"x","text":"it is busy","mount":"/data""#,
            "/data: it is busy",
        ),
        (
            r#"error "code":"x","text":"/data is busy","mount":"/data""#,
            "/data is busy",
        ),
        (r#"error "code":"x","text":"no room""#, "no room"),
    ] {
        let trace = told(1, &[HELLO_PRE, error]);
        assert_eq!(trace.first_error().unwrap().text(), words);
    }
}
