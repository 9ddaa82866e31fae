//! Properties of the pure floor that hold for every story: the parser over any input, the machine over
//! any order of events, each with the timers that it armed running out in the end.

mod wire;

use freezeframe::domain::script_exit::ScriptExit;
use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use freezeframe::domain::command::{CommandEnd, CommandOutcome};
use freezeframe::domain::ids::{
    AccountId, CommandId, InstanceId, JobId, Region, RunId, Scope, SnapshotId, VolumeId,
};
use freezeframe::domain::job::{JobSpec, JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::machine::{
    Job, JobEffect, JobEvent, SnapshotProgress, Timer, Written, step,
};
use freezeframe::domain::preflight::{AttachedVolume, CoveredMount, PreflightFacts};
use freezeframe::domain::problem::{Kind, Problem};
use freezeframe::domain::snapshot::CreatedSnapshot;
use freezeframe::domain::trace;
use proptest::prelude::*;

const JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";
const ID: &str = "11111111-1111-1111-1111-111111111111";

fn at(seconds: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 4, 0, 0).unwrap() + TimeDelta::seconds(seconds)
}

fn new_job(on_failure: OnFailure, mode: Mode, third_party: bool) -> Job {
    Job::new(JobSpec {
        job: JobId::from_api(JOB),
        run: RunId::from_api(ID),
        scope: Scope {
            account: AccountId::from_api("111122223333"),
            region: Region::from_api("eu-central-1"),
        },
        instance: InstanceId::from_api("i-0123456789abcdef0"),
        instance_name: "web-1".into(),
        recipe: "linux-filesystem".into(),
        document: "freezeframe-linux-filesystem".into(),
        mode,
        asked_mode: None,
        mode_reason: None,
        budget_s: 30,
        on_failure,
        mounts: Vec::new(),
        namespace: "Organization/Backup".into(),
        freeze_root: false,
        parameters: std::collections::BTreeMap::new(),
        group: None,
        third_party,
        set_options: Default::default(),
    })
}

fn facts() -> PreflightFacts {
    let volume = VolumeId::from_api("vol-00000000000000002");
    PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".into(),
            fs: "xfs".into(),
            volumes: vec![volume.clone()],
        }],
        uncovered: Vec::new(),
        volumes: vec![AttachedVolume {
            volume,
            device: "/dev/sdf".into(),
            is_root: false,
        }],
        ..PreflightFacts::default()
    }
}

fn made() -> Vec<CreatedSnapshot> {
    vec![CreatedSnapshot {
        snapshot: SnapshotId::from_api("snap-00000000000000002"),
        volume: VolumeId::from_api("vol-00000000000000002"),
        volume_gib: 8,
    }]
}

fn lines(first: usize, list: &[&str]) -> String {
    list.iter()
        .enumerate()
        .map(|(i, l)| {
            let (t, rest) = l.split_once(' ').unwrap_or((l, ""));
            let comma = if rest.is_empty() { "" } else { "," };
            format!(
                "FF1 {{\"t\":\"{t}\",\"seq\":{},\"ms\":{}{comma}{rest}}}\n",
                first + i,
                (first + i) * 10
            )
        })
        .collect()
}

/// Texts that scripts may leave: all good, half, failed, fired, not frozen, still frozen, nothing.
fn stdouts() -> Vec<String> {
    let hello =
        |c: &str| format!(r#"hello "recipe":"r","version":1,"job":"{JOB}","command":"{c}""#);
    let (pre, post, one) = (hello("pre-script"), hello("post-script"), hello("snapshot"));
    let armed = r#"armed "budget_ms":30000,"guard_pid":2,"holder_pid":3"#;
    let frozen = r#"frozen "mount":"/data","took_ms":1"#;
    let thawed = r#"thawed "mount":"/data","ok":true"#;
    let quiet = r#"disarmed "fired":false"#;
    let probe = r#"probe "mount":"/data","frozen":false"#;
    let end = r#"end "outcome":"ok","exit":0"#;
    let failed = r#"end "outcome":"failed","exit":201"#;
    let error = r#"error "code":"freeze-failed","text":"EBUSY""#;
    let answer = r#"answer "ok":true,"status":200,"took_ms":50"#;
    let refused = r#"answer "ok":false,"status":403,"took_ms":50,"code":"UnauthorizedOperation""#;
    let snapshot =
        r#"snapshot "snapshot":"snap-00000000000000002","volume":"vol-00000000000000002","gib":8"#;
    vec![
        lines(1, &[&pre, armed, "flushed", "synced", frozen, "ready", end]),
        lines(
            10,
            &[
                &post,
                "release",
                thawed,
                quiet,
                probe,
                r#"window "window_ms":99"#,
                end,
            ],
        ),
        lines(1, &[&pre, armed, frozen]),
        lines(1, &[&pre, armed, frozen, error, thawed, quiet, failed]),
        lines(10, &[&post, r#"disarmed "fired":true"#, probe, failed]),
        lines(
            1,
            &[
                &post,
                r#"error "code":"not-frozen","text":"none""#,
                probe,
                failed,
            ],
        ),
        lines(
            10,
            &[&post, r#"probe "mount":"/data","frozen":true"#, failed],
        ),
        String::new(),
        lines(
            1,
            &[
                &one,
                armed,
                "synced",
                frozen,
                "ready",
                "request",
                answer,
                "release",
                thawed,
                snapshot,
                quiet,
                probe,
                r#"window "window_ms":61"#,
                end,
            ],
        ),
        lines(1, &[&one, armed, "synced", frozen, "ready", "request"]),
        lines(
            1,
            &[
                &one, armed, frozen, "ready", "request", refused, error, "release", thawed, quiet,
                probe, failed,
            ],
        ),
        lines(
            1,
            &[
                &one,
                armed,
                frozen,
                "ready",
                "request",
                answer,
                r#"thawed "mount":"/data","ok":false"#,
                r#"disarmed "fired":true"#,
                probe,
                failed,
            ],
        ),
        "SUCCESS: pre-script of somebody else\n".to_owned(),
    ]
}

/// Which of [`stdouts`] is the whole good story of the one command.
const ONE: usize = 8;

fn problem() -> impl Strategy<Value = Problem> {
    (
        any::<bool>(),
        prop_oneof![
            Just(Kind::Network),
            Just(Kind::Agent),
            Just(Kind::State),
            Just(Kind::Throttled)
        ],
    )
        .prop_map(|(maybe, kind)| {
            let mut p = Problem::new(kind, "call", "it failed", "hint it");
            p.may_have_happened = maybe;
            p
        })
}

fn outcome() -> impl Strategy<Value = CommandOutcome> {
    let ended = prop_oneof![
        4 => Just(CommandEnd::Success),
        2 => prop_oneof![Just(201), Just(204), Just(205)].prop_map(|exit: i32| CommandEnd::Failed { exit: exit.into() }),
        1 => any::<bool>().prop_map(|may_have_run| CommandEnd::TimedOut { may_have_run }),
        1 => Just(CommandEnd::NeverDelivered),
        1 => any::<bool>().prop_map(|may_have_run| CommandEnd::Cancelled { may_have_run }),
        1 => problem().prop_map(CommandEnd::Lost),
    ];
    (ended, prop::sample::select(stdouts())).prop_map(|(ended, stdout)| CommandOutcome {
        command: CommandId::from_api(ID),
        ended,
        stdout,
        stderr: String::new(),
    })
}

fn timer() -> impl Strategy<Value = Timer> {
    prop::sample::select(vec![
        Timer::Preflight,
        Timer::Quiesce,
        Timer::Call,
        Timer::Answer,
        Timer::Thaw,
        Timer::ThawRetry,
        Timer::Find,
        Timer::Labels,
        Timer::LabelRetry,
        Timer::Complete,
        Timer::Publish,
    ])
}

/// A level may be written on the one snapshot, whether it was asked for or not.
fn written() -> impl Strategy<Value = Written> {
    let level = prop::sample::select(vec![Level::Crash, Level::Filesystem, Level::Application]);
    prop_oneof![
        3 => level.prop_map(|level| Written { labels: vec![(made()[0].snapshot.clone(), level)], problem: None }),
        1 => problem().prop_map(Written::none),
    ]
}

fn event() -> impl Strategy<Value = JobEvent> {
    let answers = || prop_oneof![3 => Just(Ok(made())), 1 => Just(Ok(Vec::new())), 2 => problem().prop_map(Err)];
    let unit = || prop_oneof![2 => Just(Ok(())), 1 => problem().prop_map(Err)];
    let sent = || prop_oneof![3 => Just(Ok(CommandId::from_api(ID))), 1 => problem().prop_map(Err)];
    let state = prop::sample::select(vec!["pending", "completed", "error", "what"]);
    prop_oneof![
        2 => Just(JobEvent::Start),
        4 => Just(JobEvent::Preflight(Ok(facts()))),
        1 => problem().prop_map(|p| JobEvent::Preflight(Err(p))),
        3 => sent().prop_map(JobEvent::PreSent),
        5 => outcome().prop_map(JobEvent::PreEnded),
        2 => prop_oneof![Just(made()), Just(Vec::new())].prop_map(JobEvent::SetAppeared),
        1 => Just(JobEvent::ReleaseSeen),
        1 => Just(JobEvent::ThawProven),
        4 => answers().prop_map(JobEvent::SnapshotsAnswered),
        2 => sent().prop_map(JobEvent::PostSent),
        5 => outcome().prop_map(JobEvent::PostEnded),
        2 => answers().prop_map(JobEvent::SnapshotsFound),
        3 => (1_u32..4, written()).prop_map(|(attempt, written)| JobEvent::LabelsWritten { attempt, written }),
        3 => (state, any::<u8>()).prop_map(|(state, percent)| JobEvent::Progress(vec![SnapshotProgress {
            snapshot: made()[0].snapshot.clone(),
            state: state.into(),
            percent,
            full_bytes: None,
        }])),
        2 => unit().prop_map(JobEvent::Published),
        2 => timer().prop_map(JobEvent::TimedOut),
        1 => Just(JobEvent::Cancel),
    ]
}

/// The way a good job goes; random events are strewn in between.
fn good_way() -> Vec<JobEvent> {
    let said = stdouts();
    let ended = |stdout: &String| CommandOutcome {
        command: CommandId::from_api(ID),
        ended: CommandEnd::Success,
        stdout: stdout.clone(),
        stderr: String::new(),
    };
    vec![
        JobEvent::Start,
        JobEvent::Preflight(Ok(facts())),
        JobEvent::PreSent(Ok(CommandId::from_api(ID))),
        JobEvent::PreEnded(ended(&said[0])),
        JobEvent::SnapshotsAnswered(Ok(made())),
        JobEvent::PostSent(Ok(CommandId::from_api(ID))),
        JobEvent::PostEnded(ended(&said[1])),
        JobEvent::LabelsWritten {
            attempt: 1,
            written: Written {
                labels: vec![(made()[0].snapshot.clone(), Level::Filesystem)],
                problem: None,
            },
        },
        JobEvent::Progress(vec![SnapshotProgress {
            snapshot: made()[0].snapshot.clone(),
            state: "completed".into(),
            percent: 100,
            full_bytes: None,
        }]),
        JobEvent::Published(Ok(())),
    ]
}

/// The way a good autonomous job goes.
fn good_way_alone() -> Vec<JobEvent> {
    let mut way = good_way();
    way.splice(
        3..7,
        [
            JobEvent::SetAppeared(made()),
            JobEvent::PreEnded(CommandOutcome {
                command: CommandId::from_api(ID),
                ended: CommandEnd::Success,
                stdout: stdouts()[ONE].clone(),
                stderr: String::new(),
            }),
            JobEvent::SnapshotsFound(Ok(made())),
        ],
    );
    way
}

fn story() -> impl Strategy<Value = Vec<JobEvent>> {
    prop_oneof![
        prop::collection::vec(event(), 0..40),
        (
            any::<bool>(),
            prop::collection::vec((0_usize..11, event()), 0..6)
        )
            .prop_map(|(alone, strewn)| {
                let mut way = if alone { good_way_alone() } else { good_way() };
                for (place, event) in strewn {
                    way.insert(place.min(way.len()), event);
                }
                way
            }),
    ]
}

/// Whether the command that freezes proves by itself that nothing was left frozen: the test's own reading.
fn proves_clean(event: &JobEvent, mode: Mode) -> bool {
    match event {
        JobEvent::PreSent(Err(p)) => !p.may_have_happened,
        JobEvent::PreEnded(o) if mode == Mode::Autonomous => {
            let said = |what: &str| o.stdout.contains(what);
            let whole = said("\"end\"");
            let open = !said("\"took_ms\":1") || said("\"frozen\":false") || said("\"thawed\"");
            match o.ended {
                CommandEnd::NeverDelivered
                | CommandEnd::TimedOut {
                    may_have_run: false,
                } => !said("FF1") || whole && open,
                CommandEnd::TimedOut { .. } | CommandEnd::Lost(_) => false,
                _ => whole && open,
            }
        }
        JobEvent::PreEnded(o) => match o.ended {
            CommandEnd::NeverDelivered => true,
            CommandEnd::Failed { .. } => o.stdout.contains("\"failed\""),
            _ => false,
        },
        _ => false,
    }
}

/// A value as a line might carry it, likely or not.
fn json_value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<u64>().prop_map(|n| n.to_string()),
        2 => prop::sample::select(vec!["0", "-1", "1e308", "18446744073709551615", "99999999999999999999999", "true", "false", "null", "[]", "{}", "[1,[2]]"]).prop_map(str::to_owned),
        3 => prop::sample::select(vec!["/data", "/", "vol-00000000000000002", "snap-00000000000000002", "ok", "busy", "arm-failed", "not-frozen", "failsafe-fired", "2026-11-21T04:00:00Z", ""]).prop_map(|text| format!("{text:?}")),
        2 => any::<String>().prop_map(|text| serde_json::Value::String(text).to_string()),
    ]
}

/// Output of a document that tells what it likes: events of any name with the keys that events have.
fn any_output() -> impl Strategy<Value = String> {
    let events = vec![
        "hello",
        "tool",
        "mount",
        "agent",
        "engine",
        "armed",
        "flushed",
        "locked",
        "lock-timeout",
        "synced",
        "frozen",
        "ready",
        "prepared",
        "request",
        "answer",
        "snapshot",
        "release",
        "alive",
        "thawed",
        "unlocked",
        "disarmed",
        "probe",
        "window",
        "path",
        "position",
        "file",
        "note",
        "config",
        "error",
        "end",
        "nonsense",
    ];
    let keys = vec![
        "recipe",
        "version",
        "job",
        "command",
        "name",
        "path",
        "mount",
        "fs",
        "dev",
        "volumes",
        "disks",
        "covered",
        "reason",
        "datadir",
        "replica",
        "budget_ms",
        "guard_pid",
        "holder_pid",
        "session",
        "how",
        "tries",
        "took_ms",
        "region",
        "ok",
        "status",
        "code",
        "text",
        "snapshot",
        "volume",
        "gib",
        "fired",
        "frozen",
        "window_ms",
        "what",
        "value",
        "part",
        "parts",
        "outcome",
        "exit",
    ];
    let pair = (prop::sample::select(keys), json_value());
    let line = (
        prop::sample::select(events),
        any::<u64>(),
        prop::collection::vec(pair, 0..8),
    );
    (prop::collection::vec(line, 0..20), any::<bool>()).prop_map(|(lines, in_order)| {
        let mut text = String::new();
        for (n, (event, number, pairs)) in (1_u64..).zip(lines) {
            let seq = if in_order { n } else { number };
            let pairs: String = pairs
                .iter()
                .map(|(key, value)| format!(",\"{key}\":{value}"))
                .collect();
            text.push_str(&format!(
                "FF1 {{\"t\":\"{event}\",\"seq\":{seq},\"ms\":{number}{pairs}}}\n"
            ));
        }
        text
    })
}

/// An output that is good up to somewhere, and from there on anything.
fn good_then_any() -> impl Strategy<Value = String> {
    (0..stdouts().len(), 0_usize..1_200, any_output()).prop_map(|(which, cut, rest)| {
        let good = stdouts().swap_remove(which);
        let cut = good.get(..cut).unwrap_or(&good);
        format!("{cut}\n{rest}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn p31_no_output_of_a_document_ends_in_a_panic(
        pre in prop_oneof![any_output(), good_then_any()],
        post in prop_oneof![any_output(), good_then_any()],
        ended in prop::sample::select(vec![CommandEnd::Success, CommandEnd::Failed { exit: ScriptExit::PreScriptFailed }, CommandEnd::Failed { exit: ScriptExit::AlreadyFrozen }, CommandEnd::Cancelled { may_have_run: true }]),
        alone in any::<bool>(),
        third_party in any::<bool>(),
    ) {
        for text in [&pre, &post] {
            let told = trace::parse(text);
            let _ = (trace::check_order(JOB, &told, &trace::parse(&post)), trace::check_one(JOB, &told));
            let _ = (told.window_ms(), told.spent_ms(), told.fired(), told.answer(), told.left_nothing_held(), told.failed_cleanly());
            let kept = serde_json::to_string(&told).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let read: trace::Trace = serde_json::from_str(&kept).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(read, told);
        }
        let mode = if alone { Mode::Autonomous } else { Mode::Coordinated };
        let mut job = new_job(OnFailure::CrashConsistent, mode, third_party);
        let events = if alone { good_way_alone() } else { good_way() };
        for event in events {
            let event = match event {
                JobEvent::PreEnded(o) => JobEvent::PreEnded(CommandOutcome { stdout: pre.clone(), ended: ended.clone(), ..o }),
                JobEvent::PostEnded(o) => JobEvent::PostEnded(CommandOutcome { stdout: post.clone(), ..o }),
                other => other,
            };
            job.step(event, at(1));
            // What everyone sees, and what the journal keeps and reads again.
            let view = job.view();
            let kept = serde_json::to_string(&view).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let read: JobView = serde_json::from_str(&kept).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(read, view);
        }
        // Nothing above crash by a trace that is out of order or not whole, whosever document it is.
        let proven = job.view().set.iter().any(|m| m.level.is_proven());
        let (pre, post) = (trace::parse(&pre), trace::parse(&post));
        let in_order = match mode {
            Mode::Autonomous => trace::check_one(JOB, &pre).is_ok(),
            Mode::Coordinated => trace::check_order(JOB, &pre, &post).is_ok(),
        };
        prop_assert!(!proven || (in_order && pre.is_whole()), "proven by {pre:?}");
    }

    #[test]
    fn the_parser_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let text = String::from_utf8_lossy(&bytes);
        let seen = text.lines().filter(|l| l.starts_with("FF1 ")).count();
        let trace = trace::parse(&text);
        prop_assert_eq!(trace.lines.len() + trace.malformed.len(), seen);
    }

    #[test]
    fn the_parser_takes_any_line_that_calls_itself_ff1(json in "[ -~\\u{0}-\\u{1f}]{0,200}", cut in 0_usize..400) {
        let good = stdouts().concat();
        let cut = good.get(..cut).unwrap_or(&good).to_owned();
        let trace = trace::parse(&format!("{cut}\nFF1 {json}\nFF1 {{\"t\":{json}}}"));
        let safe = trace.malformed.iter().all(|m| !m.why.contains(char::is_control));
        prop_assert!(safe, "{:?}", trace.malformed);
    }

    #[test]
    fn p10_a_truncated_trace_of_the_one_command_never_proves_more(cut in 0_usize..1_200) {
        let whole = stdouts()[ONE].clone();
        let short = whole.get(..cut).unwrap_or(&whole).to_owned();
        let told = short.contains("disarmed\",") && short.contains("\"fired\":false}");
        let mut job = new_job(OnFailure::Skip, Mode::Autonomous, false);
        let mut thawed = false;
        for event in good_way_alone() {
            let event = match event {
                JobEvent::PreEnded(mut o) => {
                    o.stdout = short.clone();
                    JobEvent::PreEnded(o)
                }
                other => other,
            };
            thawed |= job.step(event, at(1)).contains(&JobEffect::SendPost);
        }
        let proven = job.view().set.iter().any(|m| m.level.is_proven());
        prop_assert!(!proven || told, "{}", short);
        prop_assert!(thawed || short.contains("\"end\""), "{}", short);
    }

    #[test]
    fn p10_a_truncated_trace_never_proves_more(cut in 0_usize..700) {
        let said = stdouts();
        let short = said[1].get(..cut).unwrap_or(&said[1]).to_owned();
        let whole = short.contains("disarmed\",") && short.contains("\"fired\":false}");
        let mut job = new_job(OnFailure::Skip, Mode::Coordinated, false);
        for event in good_way() {
            let event = match event {
                JobEvent::PostEnded(mut o) => {
                    o.stdout = short.clone();
                    JobEvent::PostEnded(o)
                }
                other => other,
            };
            job.step(event, at(1));
        }
        // One that could not be confirmed goes on to thaw again; nothing above crash is claimed meanwhile.
        let proven = job.view().set.iter().any(|m| m.level.is_proven());
        prop_assert!(!proven || whole, "{short}");
    }

    #[test]
    fn any_story_keeps_the_rules_and_ends(
        story in story(),
        crash in any::<bool>(),
        kind in 0_u8..3,
        tick in 0_i64..40,
    ) {
        let on_failure = if crash { OnFailure::CrashConsistent } else { OnFailure::Skip };
        let mode = if kind == 1 { Mode::Autonomous } else { Mode::Coordinated };
        let third_party = kind == 2;
        let mut job = new_job(on_failure, mode, third_party);
        let mut armed: HashSet<Timer> = HashSet::new();
        let mut asked: Vec<JobEffect> = Vec::new();
        let (mut clean, mut now, mut turns) = (false, 0, 0);
        let mut pending: Vec<JobEvent> = story.into_iter().rev().collect();
        let mut steps = 0;
        loop {
            // When the story is told out, the timers that are armed run out, one after another.
            let event = match pending.pop() {
                Some(event) => event,
                None if job.is_done() => break,
                None if job.view().phase == Phase::Queued => JobEvent::Start,
                None => {
                    let Some(timer) = armed.iter().min().copied() else {
                        return Err(TestCaseError::fail(format!("stuck without a timer: {:?}", job.view())));
                    };
                    now += 200;
                    JobEvent::TimedOut(timer)
                }
            };
            steps += 1;
            prop_assert!(steps < 200, "no end: {:?}", job.view());
            now += tick;
            let pre_was_asked = asked.iter().any(|e| matches!(e, JobEffect::SendPre | JobEffect::SendSnapshot));
            if let JobEvent::TimedOut(timer) = &event {
                armed.remove(timer);
            }
            clean |= pre_was_asked && proves_clean(&event, mode);
            let away = matches!(&event, JobEvent::PreSent(Err(p)) if p.kind == Kind::Throttled && !p.may_have_happened);
            let was_done = job.is_done();
            let before = job.clone();
            let (after, effects) = step(job, event.clone(), at(now));
            let (again, effects_again) = step(before.clone(), event, at(now));
            prop_assert_eq!(&after, &again);
            prop_assert_eq!(&effects, &effects_again);
            if was_done {
                // Only an unconfirmed thaw may be cleared.
                let cleared = before.thaw_is_unconfirmed() && !after.thaw_is_unconfirmed();
                prop_assert!(cleared || before == after);
                prop_assert!(effects.is_empty());
            }
            for effect in &effects {
                match effect {
                    JobEffect::Arm { timer, .. } => { armed.insert(*timer); }
                    JobEffect::Disarm(timer) => { armed.remove(timer); }
                    // Only what was certainly not taken is offered again.
                    JobEffect::TakeTurn(_) => {
                        prop_assert!(away && pre_was_asked);
                        turns += 1;
                    }
                    JobEffect::SendPre | JobEffect::SendSnapshot => clean = false,
                    _ => {}
                }
            }
            asked.extend(effects);
            job = after;
            // p28: told from the sending of what freezes on, and no longer than nobody has proven its thaw.
            let view = job.view();
            let held = view.held().is_something();
            match view.phase {
                Phase::Quiescing if mode == Mode::Coordinated => {
                    // What was certainly not taken is told as a failure of that phase.
                    let failed = view.phases.last().is_some_and(|p| p.failed);
                    prop_assert!(held || failed, "{view:?}");
                }
                // The one command may have ended and told its thaw: its set is looked for.
                Phase::Quiescing | Phase::Frozen | Phase::Snapshotting | Phase::Thawing => {
                    prop_assert!(held || view.frozen_since.is_none(), "{view:?}");
                }
                _ => prop_assert_eq!(held, view.thaw_unconfirmed, "{:?}", view),
            }
        }
        let count = |wanted: &JobEffect| asked.iter().filter(|e| *e == wanted).count();
        let view = job.view();
        prop_assert!(view.verdict.is_some());
        prop_assert!(count(&JobEffect::CreateSnapshots) <= 1);
        let sent = count(&JobEffect::SendPre) + count(&JobEffect::SendSnapshot);
        prop_assert!(sent <= 1 + turns);
        prop_assert_eq!(count(&JobEffect::SendSnapshot), if mode == Mode::Autonomous { sent } else { 0 });
        prop_assert!(count(&JobEffect::SendPost) <= 6);
        if sent >= 1 && !clean {
            prop_assert!(count(&JobEffect::SendPost) >= 1, "never thawed: {view:?}");
        }
        if let (Some(call), Some(post)) = (
            asked.iter().position(|e| *e == JobEffect::CreateSnapshots),
            asked.iter().position(|e| *e == JobEffect::SendPost),
        ) && post < call {
            prop_assert!(view.set.iter().all(|m| !m.level.is_proven()), "snapshotted after the thaw");
        }
        if mode == Mode::Autonomous && view.set.iter().any(|m| m.level.is_proven()) {
            prop_assert_eq!(count(&JobEffect::CreateSnapshots), 0, "two sets: {:?}", view);
            // Not even for a moment: what nobody saw is not said.
            prop_assert!(view.frozen_since.is_none());
        }
        if view.set.iter().any(|m| m.level.is_proven()) {
            prop_assert!(view.evidence.links.iter().all(|l| l.holds), "{:?}", view.evidence);
            prop_assert!(!view.evidence.failsafe_fired && !view.thaw_unconfirmed);
        }
        if matches!(view.verdict, Some(Verdict::Filesystem | Verdict::Application)) {
            prop_assert!(view.set.iter().any(|m| m.level >= Level::Filesystem));
        }
        if view.verdict == Some(Verdict::Crash) {
            prop_assert!(view.set.iter().all(|m| !m.level.is_proven()), "{:?}", view);
        }
        // Written before claimed.
        for member in view.set.iter().filter(|m| m.level.is_proven()) {
            let wrote = asked.iter().any(|e| matches!(e, JobEffect::WriteLabels { labels, .. }
                if labels.iter().any(|l| l.snapshot == member.snapshot && l.level == member.level)));
            prop_assert!(wrote);
        }
        // Phases are closed, and the last one is the end.
        prop_assert!(view.phases.iter().all(|p| p.ended.is_some()));
        prop_assert_eq!(view.phases.last().map(|p| p.phase), Some(Phase::Done));
    }
}

#[test]
fn the_good_way_alone_is_proven() {
    let mut job = new_job(OnFailure::Skip, Mode::Autonomous, false);
    for (i, event) in good_way_alone().into_iter().enumerate() {
        job.step(event, at(i64::try_from(i).unwrap()));
    }
    let view = job.view();
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{view:?}");
    assert_eq!(view.freeze_window_ms, Some(61));
}

#[test]
fn the_good_way_is_proven() {
    let mut job = new_job(OnFailure::Skip, Mode::Coordinated, false);
    for (i, event) in good_way().into_iter().enumerate() {
        job.step(event, at(i64::try_from(i).unwrap()));
    }
    let view = job.view();
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{view:?}");
    assert_eq!(view.freeze_window_ms, Some(99));
}
