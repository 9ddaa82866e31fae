//! Properties 10 and 11: every combination of evidence against an oracle that knows nothing of the code.

use super::*;
use crate::ids::CommandId;
use crate::preflight::{
    AttachedVolume, CoveredMount, Engine, EnginePath, READ_ONLY, SAME_FILESYSTEM,
};
use crate::trace::{TraceEvent, parse};

const NAMES: [&str; 8] = [
    "failsafe-armed",
    "lock-held",
    "frozen",
    "one-call",
    "within-window",
    "lock-answered",
    "own-thaw",
    "failsafe-quiet",
];

/// The oracle. Bit `i` of `held` stands for `NAMES[i]`.
fn oracle(held: u16, database: bool, datadir_covered: bool) -> Level {
    let holds = |name: &str| {
        NAMES
            .iter()
            .position(|n| *n == name)
            .is_some_and(|i| held & (1 << i) != 0)
    };
    let freeze = [
        "failsafe-armed",
        "frozen",
        "one-call",
        "within-window",
        "own-thaw",
        "failsafe-quiet",
    ];
    if !freeze.into_iter().all(holds) {
        return Level::Crash;
    }
    // A lock session cannot have answered that was never there.
    if database && datadir_covered && holds("lock-held") && holds("lock-answered") {
        return Level::Application;
    }
    Level::Filesystem
}

/// What a command said to its last line, which is not among `lines`.
fn ff1(lines: &[(u32, String)]) -> Trace {
    let last = lines.last().map_or(1, |(seq, _)| seq + 1);
    let end = (last, r#"end "outcome":"ok","exit":0"#.to_owned());
    parse(
        &lines
            .iter()
            .chain([&end])
            .map(|(seq, l)| {
                let (t, rest) = l.split_once(' ').unwrap_or((l, ""));
                let comma = if rest.is_empty() { "" } else { "," };
                format!("FF1 {{\"t\":\"{t}\",\"seq\":{seq},\"ms\":{seq}{comma}{rest}}}\n")
            })
            .collect::<String>(),
    )
}

/// The world in which exactly those links hold, and what is judged there: data, log, root. In autonomous
/// mode one trace tells all of it.
fn world(mode: Mode, held: u16, database: bool, datadir: &str) -> (EvidenceReport, Vec<Judged>) {
    let alone = mode == Mode::Autonomous;
    let holds = |name: &str| {
        NAMES
            .iter()
            .position(|n| *n == name)
            .is_some_and(|i| held & (1 << i) != 0)
    };
    let hello = |c: &str| format!(r#"hello "recipe":"r","version":1,"job":"j","command":"{c}""#);
    let mut pre = vec![hello(if alone { "snapshot" } else { "pre-script" })];
    let mut post = if alone {
        Vec::new()
    } else {
        vec![hello("post-script")]
    };
    let when = |list: &mut Vec<String>, yes: bool, line: &str| {
        if yes {
            list.push(line.to_owned());
        }
    };
    when(
        &mut pre,
        holds("failsafe-armed"),
        r#"armed "budget_ms":1,"guard_pid":2,"holder_pid":3"#,
    );
    when(
        &mut pre,
        database && holds("lock-held"),
        r#"locked "session":7,"how":"ftwrl","tries":1"#,
    );
    when(&mut pre, true, r#"frozen "mount":"/data","took_ms":1"#);
    when(&mut pre, true, r#"frozen "mount":"/log","took_ms":1"#);
    when(&mut pre, holds("frozen"), "ready");
    let volumes = ["vol-0000000d", "vol-0000000e", "vol-0000000a"];
    let answered: Vec<&str> = volumes
        .into_iter()
        .filter(|v| *v != "vol-0000000e" || holds("one-call"))
        .collect();
    if alone {
        pre.push("request".to_owned());
        pre.push(r#"answer "ok":true,"status":200,"took_ms":30"#.to_owned());
        for v in &answered {
            let snap = v.replace("vol", "snap");
            pre.push(format!(
                r#"snapshot "snapshot":"{snap}","volume":"{v}","gib":1"#
            ));
        }
    }
    when(&mut post, holds("within-window"), "release");
    when(
        &mut post,
        database && holds("lock-answered"),
        r#"alive "session":7"#,
    );
    when(&mut post, true, r#"thawed "mount":"/log","ok":true"#);
    let own = holds("own-thaw");
    when(
        &mut post,
        true,
        &format!(r#"thawed "mount":"/data","ok":{own}"#),
    );
    let fired = !holds("failsafe-quiet");
    when(&mut post, true, &format!(r#"disarmed "fired":{fired}"#));
    let number = |list: Vec<String>, from: u32| {
        ff1(&list
            .into_iter()
            .zip(from..)
            .map(|(l, seq)| (seq, l))
            .collect::<Vec<_>>())
    };
    let told = |trace| CommandReport {
        command: CommandId::from_api("c"),
        succeeded: true,
        trace,
    };
    let (pre, post) = if alone {
        pre.extend(post);
        (told(number(pre, 1)), None)
    } else {
        (told(number(pre, 1)), Some(told(number(post, 100))))
    };
    let volume = |v: &str| VolumeId::from_api(v);
    let mount = |at: &str, v: &str| CoveredMount {
        mount: at.into(),
        fs: "xfs".into(),
        volumes: vec![volume(v)],
    };
    let preflight = PreflightFacts {
        covered: vec![
            mount("/data", "vol-0000000d"),
            mount("/log", "vol-0000000e"),
        ],
        uncovered: Vec::new(),
        volumes: vec![AttachedVolume {
            volume: volume("vol-0000000a"),
            device: "xvda".into(),
            is_root: true,
        }],
        engine: database.then(|| Engine {
            name: "mysql".into(),
            version: "8".into(),
            datadir: datadir.into(),
            replica: false,
        }),
        ..PreflightFacts::default()
    };
    let snapshots: Vec<CreatedSnapshot> = answered
        .into_iter()
        .map(|v| CreatedSnapshot {
            snapshot: SnapshotId::from_api(v.replace("vol", "snap")),
            volume: volume(v),
            volume_gib: 1,
        })
        .collect();
    judge(&Facts {
        job: &JobId::from_api("j"),
        mode,
        third_party: false,
        preflight: Some(&preflight),
        pre: Some(&pre),
        post: post.as_ref(),
        // In autonomous mode the console saw nothing of the call.
        call: CallOrder {
            frozen_before_request: !alone,
            answered: !alone,
            answered_before_release: !alone,
        },
        snapshots: &snapshots,
    })
}

#[test]
fn p11_every_combination_agrees_with_the_oracle_in_both_modes() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        for held in 0..256 {
            for (database, datadir) in [
                (false, "/data"),
                (true, "/data/mysql"),
                (true, "/var/lib/mysql"),
            ] {
                let (report, judged) = world(mode, held, database, datadir);
                let wanted = oracle(held, database, datadir.starts_with("/data"));
                for one in &judged {
                    let wanted = match one.volume.as_str() {
                        "vol-0000000a" => Level::Crash,
                        // Nothing of the database lies there.
                        "vol-0000000e" => wanted.min(Level::Filesystem),
                        _ => wanted,
                    };
                    assert_eq!(
                        one.level, wanted,
                        "{mode} {held:08b} {database} {datadir} {report:?}"
                    );
                    assert!(!one.reason.is_empty());
                    assert_ne!(one.level, Level::Pending);
                }
                let examined: Vec<&str> = report.links.iter().map(|l| l.name.as_str()).collect();
                let expected: Vec<&str> = NAMES
                    .into_iter()
                    .filter(|n| database || !n.starts_with("lock"))
                    .collect();
                assert_eq!(examined, expected);
            }
        }
    }
}

#[test]
fn p10_each_link_broken_alone_drops_the_label_in_both_modes() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        for (i, name) in NAMES.iter().enumerate() {
            let (report, judged) = world(mode, 0xff & !(1 << i), true, "/data");
            let broken: Vec<&str> = report
                .links
                .iter()
                .filter(|l| !l.holds)
                .map(|l| l.name.as_str())
                .collect();
            assert!(broken.contains(name), "{mode} {name}: {broken:?}");
            let wanted = if name.starts_with("lock") {
                Level::Filesystem
            } else {
                Level::Crash
            };
            assert_eq!(judged[0].level, wanted, "{mode} {name}");
            assert!(
                judged[0].reason.contains(name),
                "{mode} {name}: {}",
                judged[0].reason
            );
            // Only what follows from it falls with it.
            let alone = if *name == "lock-held" { 2 } else { 1 };
            assert_eq!(broken.len(), alone, "{mode} {name}: {broken:?}");
        }
        let (report, judged) = world(mode, 0xff, true, "/data");
        assert!(report.links.iter().all(|l| l.holds), "{mode} {report:?}");
        assert_eq!(judged[0].level, Level::Application);
    }
}

/// A good set with one thing changed.
fn changed(
    change: impl FnOnce(&mut PreflightFacts, &mut CommandReport, &mut CommandReport, &mut CallOrder),
) -> Level {
    changed_with(change, &mut String::new())
}

fn changed_with(
    change: impl FnOnce(&mut PreflightFacts, &mut CommandReport, &mut CommandReport, &mut CallOrder),
    why: &mut String,
) -> Level {
    let hello = |c: &str| format!(r#"hello "recipe":"r","version":1,"job":"j","command":"{c}""#);
    let lines = |list: &[&str], from: u32| {
        ff1(&list
            .iter()
            .zip(from..)
            .map(|(l, seq)| (seq, (*l).to_owned()))
            .collect::<Vec<_>>())
    };
    let armed = r#"armed "budget_ms":1,"guard_pid":2,"holder_pid":3"#;
    let locked = r#"locked "session":7,"how":"ftwrl","tries":1"#;
    let told = |trace| CommandReport {
        command: CommandId::from_api("c"),
        succeeded: true,
        trace,
    };
    let mut pre = told(lines(
        &[
            &hello("pre-script"),
            armed,
            locked,
            r#"frozen "mount":"/data","took_ms":1"#,
            "ready",
        ],
        1,
    ));
    let mut post = told(lines(
        &[
            &hello("post-script"),
            "release",
            r#"alive "session":7"#,
            r#"thawed "mount":"/data","ok":true"#,
            r#"disarmed "fired":false"#,
        ],
        10,
    ));
    let volume = VolumeId::from_api("vol-data");
    let mut preflight = PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".into(),
            fs: "xfs".into(),
            volumes: vec![volume.clone()],
        }],
        engine: Some(Engine {
            name: "mysql".into(),
            version: "8".into(),
            datadir: "/data".into(),
            replica: false,
        }),
        ..PreflightFacts::default()
    };
    let mut call = CallOrder {
        frozen_before_request: true,
        answered: true,
        answered_before_release: true,
    };
    change(&mut preflight, &mut pre, &mut post, &mut call);
    let made = [CreatedSnapshot {
        snapshot: SnapshotId::from_api("s"),
        volume,
        volume_gib: 1,
    }];
    let (_, judged) = judge(&Facts {
        job: &JobId::from_api("j"),
        mode: Mode::Coordinated,
        third_party: false,
        preflight: Some(&preflight),
        pre: Some(&pre),
        post: Some(&post),
        call,
        snapshots: &made,
    });
    why.clone_from(&judged[0].reason);
    judged[0].level
}

/// A volume on which nothing of the locked database lies was frozen, and nobody held what writes there.
#[test]
fn p02_a_volume_without_the_files_of_the_engine_earns_no_more_than_filesystem() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let (report, judged) = world(mode, 255, true, "/data/db");
        let (data, files) = ("vol-0000000d", "vol-0000000e");
        let best = |volume: &str| report.best(&VolumeId::from_api(volume));
        assert_eq!(
            (best(data), best(files)),
            (Level::Application, Level::Filesystem)
        );
        let why = |volume: &str| {
            let one = judged.iter().find(|j| j.volume.as_str() == volume);
            one.map(|j| (j.level, j.reason.clone())).unwrap()
        };
        let (level, reason) = why(data);
        assert_eq!(level, Level::Application);
        assert!(reason.starts_with("locked and frozen"), "{reason}");
        let (level, reason) = why(files);
        assert_eq!(level, Level::Filesystem);
        assert!(reason.starts_with("frozen from"), "{reason}");
        assert!(reason.contains("nothing of mysql lies on it"), "{reason}");
    }
}

#[test]
fn each_side_of_the_window_counts() {
    assert_eq!(changed(|_, _, _, _| {}), Level::Application);
    assert_eq!(
        changed(|_, _, _, c| c.frozen_before_request = false),
        Level::Crash
    );
    assert_eq!(changed(|_, _, _, c| c.answered = false), Level::Crash);
    assert_eq!(
        changed(|_, _, _, c| c.answered_before_release = false),
        Level::Crash
    );
    assert_eq!(changed(|_, pre, _, _| pre.succeeded = false), Level::Crash);
    assert_eq!(
        changed(|_, pre, _, _| pre.trace.out_of_order = Some("seq".into())),
        Level::Crash
    );
    // After the last thaw the session still holds the lock, and it has not reconnected.
    assert_eq!(
        changed(|_, _, post, _| post.trace.lines.swap(2, 3)),
        Level::Application
    );
    assert_eq!(
        changed(|_, _, post, _| post.trace.lines[2..].rotate_left(1)),
        Level::Crash,
        "answered after the failsafe stood down"
    );
    // Another session than the one that locked.
    assert_eq!(
        changed(
            |_, _, post, _| post.trace.lines[2].said = TraceEvent::Alive {
                session: "8".into()
            }
        ),
        Level::Filesystem
    );
}

#[test]
fn where_the_failsafe_ended_the_freeze_nobody_is_said_to_have_released_it() {
    let fired = |post: &mut CommandReport| {
        // Without release, alive and thaw of its own.
        post.trace.lines.drain(1..4);
        for line in &mut post.trace.lines {
            if let TraceEvent::Disarmed { fired } = &mut line.said {
                *fired = true;
            }
        }
    };
    let seen = |change: &dyn Fn(&mut CommandReport, &mut CallOrder)| {
        let mut why = String::new();
        changed_with(|_, _, post, call| change(post, call), &mut why);
        why
    };
    let late = seen(&|post, call| {
        fired(post);
        call.answered_before_release = false;
    });
    assert!(
        late.contains("within-window: the answer had not come when the thaw was sent"),
        "{late}"
    );
    assert!(late.contains("ended by the failsafe"), "{late}");
    let early = seen(&|post, _| fired(post));
    assert!(
        early.contains("the failsafe had ended the freeze"),
        "{early}"
    );
    let sent = seen(&|_, call| call.answered_before_release = false);
    assert!(
        sent.contains("the release was sent before the answer"),
        "{sent}"
    );
}

#[test]
fn output_that_was_cut_short_is_not_called_out_of_order() {
    let mut why = String::new();
    changed_with(
        |_, _, post, _| {
            let cut = parse("FF1 {\"t\":\"disarmed\",\"seq\":15,\"m");
            post.trace.malformed = cut.malformed;
        },
        &mut why,
    );
    assert!(
        why.contains("post-script") && why.contains("it was cut short") && !why.contains("order"),
        "{why}"
    );
}

#[test]
fn a_volume_that_carries_something_unfrozen_is_a_crash() {
    let level = changed(|facts, _, _, _| {
        facts.uncovered.push(crate::preflight::UncoveredMount {
            mount: "/other".into(),
            reason: "left out".into(),
            volumes: vec![VolumeId::from_api("vol-data")],
        });
    });
    assert_eq!(level, Level::Crash);
}

#[test]
fn a_member_missing_from_a_filesystem_of_several_volumes_is_a_crash() {
    let level = changed(|facts, _, _, _| {
        facts.covered[0]
            .volumes
            .push(VolumeId::from_api("vol-second"))
    });
    assert_eq!(level, Level::Crash);
}

#[test]
fn nothing_known_proves_nothing() {
    let made = [CreatedSnapshot {
        snapshot: SnapshotId::from_api("s"),
        volume: VolumeId::from_api("v"),
        volume_gib: 1,
    }];
    let (report, judged) = judge(&Facts {
        job: &JobId::from_api("j"),
        mode: Mode::Coordinated,
        third_party: false,
        preflight: None,
        pre: None,
        post: None,
        call: CallOrder::default(),
        snapshots: &made,
    });
    assert_eq!(judged[0].level, Level::Crash);
    assert!(report.links.iter().all(|l| !l.holds));
}

/// What pre-script finds must be what preflight found, else the label would be on other data.
#[test]
fn p10_a_mount_that_moved_between_preflight_and_freeze_breaks_the_chain() {
    let volume = |id: &str| VolumeId::from_api(id);
    let preflight = PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".to_owned(),
            fs: "xfs".to_owned(),
            volumes: vec![volume("vol-0000000a")],
        }],
        ..PreflightFacts::default()
    };
    let mount = |at: &str, on: &str, covered: bool, reason: &str| {
        let line = format!(
            r#"mount "mount":"{at}","fs":"xfs","dev":"/dev/x","volumes":["{on}"],"covered":{covered},"reason":"{reason}""#
        );
        ff1(&[(1, line)])
    };
    let same = |trace: &Trace| {
        assert!(trace.malformed.is_empty(), "{trace:?}");
        links::same_volumes(&preflight, trace)
    };
    assert!(same(&mount("/data", "vol-0000000a", true, "")).is_ok());
    assert!(
        same(&mount("/data", "vol-0000000b", true, "")).is_err(),
        "moved"
    );
    assert!(
        same(&mount("/data", "vol-0000000a", false, "read-only")).is_err(),
        "not frozen any more"
    );
    assert!(
        same(&mount("/new", "vol-0000000a", true, "")).is_err(),
        "was not there"
    );
    assert!(
        same(&mount("/part2", "vol-0000000a", false, "not asked for")).is_err(),
        "a new neighbour"
    );
    assert!(same(&mount("/bind", "vol-0000000a", false, SAME_FILESYSTEM)).is_ok());
    assert!(same(&mount("/boot/efi", "vol-0000000a", false, READ_ONLY)).is_ok());
    assert!(same(&mount("/ro", "vol-0000000a", false, "mounted read-only")).is_err());
    assert!(same(&mount("/else", "vol-0000000f", false, "not asked for")).is_ok());
    // One that preflight knew elsewhere, or as a part of what is frozen.
    let known = |reason: &str, on: &str| {
        let other = crate::preflight::UncoveredMount {
            mount: "/other".to_owned(),
            reason: reason.to_owned(),
            volumes: vec![volume(on)],
        };
        let preflight = PreflightFacts {
            uncovered: vec![other],
            ..preflight.clone()
        };
        let now = mount("/other", "vol-0000000a", false, "not asked for");
        links::same_volumes(&preflight, &now)
    };
    assert!(
        known("not asked for", "vol-0000000b").is_err(),
        "moved here"
    );
    assert!(
        known(SAME_FILESYSTEM, "vol-0000000a").is_err(),
        "another one"
    );
    assert!(
        known(READ_ONLY, "vol-0000000a").is_err(),
        "writable since then"
    );
    // It lowers its volume by itself.
    assert!(known("not asked for", "vol-0000000a").is_ok());
}

/// A line that could not be understood may have said what lowers the level: a new neighbour, a path, an error.
#[test]
fn p10_a_trace_with_a_line_that_could_not_be_understood_proves_nothing() {
    let bad = || crate::trace::Malformed {
        line_no: 3,
        why: "1200 bytes, more than 1000".to_owned(),
    };
    let mut why = String::new();
    let before = |_: &mut PreflightFacts,
                  pre: &mut CommandReport,
                  _: &mut CommandReport,
                  _: &mut CallOrder| {
        pre.trace.malformed.push(bad());
    };
    assert_eq!(changed_with(before, &mut why), Level::Crash);
    assert!(
        why.contains("line 3") && why.contains("pre-script"),
        "{why}"
    );
    assert_eq!(
        changed(|_, _, post, _| post.trace.malformed.push(bad())),
        Level::Crash
    );
    let (level, _) = alone(|lines, _| lines.insert(5, r#"mount "mount":7"#.to_owned()));
    assert_eq!(level, Level::Crash);
}

/// One good autonomous trace, its lines changed, beside what EC2 shows.
fn alone(
    change: impl FnOnce(&mut Vec<String>, &mut Vec<CreatedSnapshot>),
) -> (Level, EvidenceReport) {
    let made = |snapshot: &str, volume: &str| CreatedSnapshot {
        snapshot: SnapshotId::from_api(snapshot),
        volume: VolumeId::from_api(volume),
        volume_gib: 1,
    };
    let mut shown = vec![
        made("snap-0000000d", "vol-0000000d"),
        made("snap-0000000a", "vol-0000000a"),
    ];
    let mut lines: Vec<String> = [
        r#"hello "recipe":"r","version":1,"job":"j","command":"snapshot""#,
        r#"armed "budget_ms":1,"guard_pid":2,"holder_pid":3"#,
        r#"locked "session":7,"how":"stopped","tries":1"#,
        "synced",
        r#"prepared "how":"curl","region":"eu-central-1","credentials_until":"2026-11-21T18:00:00Z""#,
        r#"frozen "mount":"/data","took_ms":1"#,
        "ready",
        "request",
        r#"answer "ok":true,"status":200,"took_ms":54"#,
        "release",
        r#"alive "session":7"#,
        r#"thawed "mount":"/data","ok":true"#,
        r#"snapshot "snapshot":"snap-0000000d","volume":"vol-0000000d","gib":1"#,
        r#"snapshot "snapshot":"snap-0000000a","volume":"vol-0000000a","gib":8"#,
        r#"unlocked "session":7"#,
        r#"disarmed "fired":false"#,
    ]
    .map(str::to_owned)
    .to_vec();
    change(&mut lines, &mut shown);
    let numbered: Vec<(u32, String)> = (1..).zip(lines).collect();
    let told = CommandReport {
        command: CommandId::from_api("c"),
        succeeded: true,
        trace: ff1(&numbered),
    };
    let preflight = PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".into(),
            fs: "xfs".into(),
            volumes: vec![VolumeId::from_api("vol-0000000d")],
        }],
        engine: Some(Engine {
            name: "postgresql".into(),
            version: "17".into(),
            datadir: "/data".into(),
            replica: false,
        }),
        ..PreflightFacts::default()
    };
    let (report, judged) = judge(&Facts {
        job: &JobId::from_api("j"),
        mode: Mode::Autonomous,
        third_party: false,
        preflight: Some(&preflight),
        pre: Some(&told),
        post: None,
        call: CallOrder::default(),
        snapshots: &shown,
    });
    (judged[0].level, report)
}

#[test]
fn p10_what_the_instance_was_answered_must_be_what_ec2_shows() {
    assert_eq!(alone(|_, _| ()).0, Level::Application);
    let extra = |snapshot: &str| CreatedSnapshot {
        snapshot: SnapshotId::from_api(snapshot),
        volume: VolumeId::from_api("vol-0000000d"),
        volume_gib: 1,
    };
    let broken = |change: fn(&mut Vec<String>, &mut Vec<CreatedSnapshot>)| {
        let (level, report) = alone(change);
        assert_eq!(level, Level::Crash, "{report:?}");
        let broken: Vec<&str> = report
            .links
            .iter()
            .filter(|l| !l.holds)
            .map(|l| l.name.as_str())
            .collect();
        assert_eq!(broken, ["one-call"], "{report:?}");
    };
    let (level, _) = alone(|_, shown| shown.push(extra("snap-0000000f")));
    assert_eq!(
        level,
        Level::Crash,
        "a second call's snapshot under the same tag"
    );
    broken(|_, shown| {
        shown.pop();
    });
    broken(|_, shown| shown[1].volume = VolumeId::from_api("vol-0000000b"));
    broken(|lines, _| {
        lines.remove(13);
    });
    broken(|lines, _| lines[8] = r#"answer "ok":false,"status":0,"took_ms":9"#.to_owned());
    // Not in the answer, and not shown either: the volume was left out of the call.
    broken(|lines, shown| {
        lines.remove(12);
        shown.remove(0);
        shown[0].volume = VolumeId::from_api("vol-0000000a");
    });
}

#[test]
fn a_call_that_was_not_answered_well_is_told_with_the_words_that_there_are() {
    for (words, last) in [
        (r#","code":"Busy","text":"later""#, "Busy"),
        (r#","code":"","text":"given up""#, "given up"),
        (r#","code":"","text":"""#, "no further word"),
        ("", "no further word"),
    ] {
        let (level, report) = alone(|lines, _| {
            lines[8] = format!(r#"answer "ok":false,"status":0,"took_ms":9{words}"#);
        });
        assert_eq!(level, Level::Crash);
        let link = report
            .links
            .iter()
            .find(|link| link.name.as_str() == "one-call");
        let seen = format!("HTTP status 0, {last}");
        assert!(link.is_some_and(|link| !link.holds && link.seen.ends_with(&seen)));
    }
}

#[test]
fn a_lock_that_did_not_last_leaves_the_freeze_its_level() {
    let (level, _) = alone(|lines, _| {
        lines[10] = r#"error "code":"lock-lost","text":"gone""#.to_owned();
    });
    assert_eq!(level, Level::Filesystem);
}

#[test]
fn p10_a_thaw_that_had_to_be_sent_proves_nothing_in_autonomous_mode() {
    // The command was cut off while frozen; a later post-script released.
    let (level, report) = alone(|lines, _| lines.truncate(9));
    assert_eq!(level, Level::Crash);
    for name in ["within-window", "own-thaw", "failsafe-quiet"] {
        assert!(
            report
                .links
                .iter()
                .any(|l| l.name.as_str() == name && !l.holds),
            "{name}"
        );
    }
}

/// What else is on a frozen volume: it lowers the level unless it was frozen too, or cannot change.
#[test]
fn p10_only_a_neighbour_that_may_change_lowers_its_volume() {
    let beside = |reason: &str| {
        let facts = PreflightFacts {
            uncovered: vec![crate::preflight::UncoveredMount {
                mount: "/boot/efi".to_owned(),
                reason: reason.to_owned(),
                volumes: vec![VolumeId::from_api("vol-0000000d")],
            }],
            ..PreflightFacts::default()
        };
        facts
            .unfrozen_neighbour(&VolumeId::from_api("vol-0000000d"))
            .is_some()
    };
    for (reason, lowers) in [
        (SAME_FILESYSTEM, false),
        (READ_ONLY, false),
        // Others may write to that filesystem where it is mounted elsewhere.
        ("mounted read-only", true),
        ("vfat is not frozen by this document", true),
        ("", true),
    ] {
        assert_eq!(beside(reason), lowers, "{reason}");
    }
}

#[test]
fn what_the_engine_needs_and_was_not_frozen_is_named() {
    let with = |paths: &[&str], uncovered: &[(&str, &str)]| {
        let mut why = String::new();
        let level = changed_with(
            |facts, _, _, _| {
                facts.paths = paths
                    .iter()
                    .map(|path| EnginePath {
                        what: "wal".to_owned(),
                        path: (*path).to_owned(),
                    })
                    .collect();
                facts.uncovered = uncovered
                    .iter()
                    .map(|(mount, reason)| crate::preflight::UncoveredMount {
                        mount: (*mount).to_owned(),
                        reason: (*reason).to_owned(),
                        volumes: vec![VolumeId::from_api("vol-data")],
                    })
                    .collect();
            },
            &mut why,
        );
        (level, why)
    };
    assert_eq!(with(&["/data/wal"], &[]).0, Level::Application);
    let (level, why) = with(&["/data/wal", "/wal"], &[]);
    assert_eq!(level, Level::Filesystem);
    assert!(why.contains("the wal directory /wal"), "{why}");
    assert_eq!(
        with(&["/wal"], &[("/wal", SAME_FILESYSTEM)]).0,
        Level::Application
    );
    let said = changed(|_, pre, _, _| {
        // Without its last line, to put one before `ready`.
        pre.trace.lines.pop();
        pre.trace.lines.last_mut().unwrap().said = TraceEvent::Ready;
        let at = pre.trace.lines.len() - 1;
        let path = TraceEvent::Path {
            what: "wal".into(),
            path: "/elsewhere".into(),
        };
        let ready = pre.trace.lines[at].clone();
        pre.trace.lines[at].said = path;
        pre.trace.lines.push(crate::trace::Line { seq: 9, ..ready });
    });
    assert_eq!(
        said,
        Level::Filesystem,
        "named only by the command that froze"
    );
}

#[test]
fn positions_and_whole_files_are_kept_with_the_set() {
    let file = |part: u32, parts: u32, text: &str| {
        format!(r#"file "name":"backup_label","part":{part},"parts":{parts},"text":"{text}""#)
    };
    let (level, report) = alone(|lines, _| {
        lines.insert(3, r#"position "name":"lsn","value":"0/3000028""#.to_owned());
        lines.insert(4, r#"position "name":"bad name","value":"x""#.to_owned());
        lines.push(file(2, 2, "CHECKPOINT\\u0007"));
        lines.push(file(1, 2, "START\\n"));
        lines.push(r#"note "text":"no position of \\u001bthe source""#.to_owned());
        lines.push(r#"file "name":"tablespace_map","part":1,"parts":2,"text":"half""#.to_owned());
        lines.push(r#"file "name":"../../etc/passwd","part":1,"parts":1,"text":"x""#.to_owned());
        lines.push(r#"file "name":"wide","part":18446744073709551615,"parts":18446744073709551615,"text":"x""#.to_owned());
    });
    assert_eq!(level, Level::Application);
    assert_eq!(
        report.positions.into_iter().collect::<Vec<_>>(),
        [("lsn".to_owned(), "0/3000028".to_owned())]
    );
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.notes[0].starts_with("no position of"));
    assert!(!report.notes[0].contains('\u{1b}'));
    assert_eq!(report.files.len(), 1, "{:?}", report.files);
    assert_eq!(report.files[0].name, "backup_label");
    assert!(report.files[0].text.starts_with("START\nCHECKPOINT"));
    assert!(!report.files[0].text.contains('\u{7}'));
}

#[test]
fn somebody_elses_silent_document_earns_a_crash_and_the_reason() {
    let made = [CreatedSnapshot {
        snapshot: SnapshotId::from_api("s"),
        volume: VolumeId::from_api("v"),
        volume_gib: 1,
    }];
    let silent = CommandReport {
        command: CommandId::from_api("c"),
        succeeded: true,
        trace: Trace::default(),
    };
    let (_, judged) = judge(&Facts {
        job: &JobId::from_api("j"),
        mode: Mode::Coordinated,
        third_party: true,
        preflight: None,
        pre: Some(&silent),
        post: Some(&silent),
        call: CallOrder {
            frozen_before_request: true,
            answered: true,
            answered_before_release: true,
        },
        snapshots: &made,
    });
    assert_eq!(judged[0].level, Level::Crash);
    assert!(
        judged[0].reason.contains("no evidence"),
        "{}",
        judged[0].reason
    );
}

#[test]
fn p02_a_data_directory_outside_the_frozen_mounts_lowers_the_level() {
    let mut why = String::new();
    let elsewhere = |facts: &mut PreflightFacts| {
        facts.engine.as_mut().unwrap().datadir = "/var/lib/mysql".into();
        // Something of the engine lies on the volume, so that only the data directory is missing.
        facts.paths = vec![EnginePath {
            what: "wal".to_owned(),
            path: "/data/wal".to_owned(),
        }];
    };
    let level = changed_with(|facts, _, _, _| elsewhere(facts), &mut why);
    assert_eq!(level, Level::Filesystem);
    assert!(
        why.contains("the data directory /var/lib/mysql is not on a covered mount"),
        "{why}"
    );
    // Preflight found it on the frozen mount; the command that froze found it elsewhere.
    let level = changed_with(
        |_, pre, _, _| {
            let ready = pre.trace.lines[4].clone();
            pre.trace.lines[4].said = TraceEvent::Engine {
                name: "mysql".into(),
                version: "8".into(),
                datadir: "/var/lib/mysql".into(),
                replica: false,
            };
            pre.trace.lines[5] = ready;
        },
        &mut why,
    );
    assert_eq!(level, Level::Filesystem);
    assert!(why.contains("the data directory /var/lib/mysql"), "{why}");
}

#[test]
fn p10_a_failsafe_that_fired_is_seen_on_either_side() {
    let disarmed = |fired| {
        parse(&format!(
            r#"FF1 {{"t":"disarmed","seq":9,"ms":9,"fired":{fired}}}"#
        ))
    };
    let line = disarmed(true).lines[0].clone();
    let release_missing = |post: &mut CommandReport| {
        post.trace
            .lines
            .retain(|line| line.said != TraceEvent::Release);
    };
    // The command that froze says so; the command that thawed saw nothing.
    for answered in [true, false] {
        let mut why = String::new();
        let level = changed_with(
            |_, pre, post, call| {
                pre.trace.lines.insert(4, line.clone());
                release_missing(post);
                call.answered_before_release = answered;
            },
            &mut why,
        );
        assert_eq!(level, Level::Crash);
        assert!(
            why.contains("the failsafe") || why.contains("by the failsafe"),
            "{why}"
        );
    }
    // Nobody fired: the missing release is the reason.
    let mut why = String::new();
    let level = changed_with(|_, _, post, _| release_missing(post), &mut why);
    assert_eq!(level, Level::Crash);
    assert!(why.contains("nobody saw the release accepted"), "{why}");
    let level = changed_with(
        |_, _, post, call| {
            release_missing(post);
            call.answered_before_release = false;
        },
        &mut why,
    );
    assert_eq!(level, Level::Crash);
    assert!(
        why.contains("the release was sent before the answer had come"),
        "{why}"
    );

    // Whoever of the two says it, the report says it, and the link does not hold.
    let told = |fired: Option<bool>| CommandReport {
        command: CommandId::from_api("c"),
        succeeded: true,
        trace: fired.map_or_else(Trace::default, disarmed),
    };
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        for (pre, post, fired) in [
            (Some(true), Some(false), true),
            (Some(false), Some(true), true),
            (Some(false), Some(false), false),
            (None, Some(true), true),
            (Some(true), None, true),
        ] {
            let (pre, post) = (told(pre), told(post));
            let (report, _) = judge(&Facts {
                job: &JobId::from_api("j"),
                mode,
                third_party: false,
                preflight: None,
                pre: Some(&pre),
                post: Some(&post),
                call: CallOrder::default(),
                snapshots: &[],
            });
            assert_eq!(report.failsafe_fired, fired, "{mode}");
            let quiet = report
                .links
                .iter()
                .find(|l| l.name.as_str() == "failsafe-quiet")
                .unwrap();
            assert_eq!(quiet.holds, !fired, "{mode}: {}", quiet.seen);
            assert_eq!(
                quiet.seen.contains("fired first"),
                fired,
                "{mode}: {}",
                quiet.seen
            );
        }
    }
}
