//! Autonomous mode, one story each; and documents of other makers.

use super::super::tests::*;
use super::super::*;
use super::*;
use crate::command::CommandReport;
use crate::ids::VolumeId;
use crate::job::Verdict;
use crate::preflight::CoveredMount;
use crate::script_exit::ScriptExit;
use crate::set_plan::{SetMember, SetPlan};
use crate::tags::Tags;

fn spec_of(on_failure: OnFailure) -> JobSpec {
    JobSpec {
        mode: Mode::Autonomous,
        ..spec(on_failure)
    }
}

/// Sent, accepted, under way.
fn under_way(on_failure: OnFailure) -> Story {
    let mut s = Story::of(spec_of(on_failure));
    s.tell(JobEvent::Start);
    s.tell(JobEvent::Preflight(Ok(facts())));
    s.tell(JobEvent::PreSent(Ok(CommandId::from_api(COMMAND))));
    assert_eq!(
        (
            s.count(&JobEffect::SendSnapshot),
            s.count(&JobEffect::SendPre)
        ),
        (1, 0)
    );
    s
}

/// What the one command says when all goes well: from `from` up to `to`.
fn said(lines: std::ops::Range<usize>, end: &str) -> String {
    let hello = hello("snapshot");
    let snapshot = |n: u32| {
        format!(
            r#"snapshot "snapshot":"snap-0000000000000000{n}","volume":"vol-0000000000000000{n}","gib":8"#
        )
    };
    let (root, data) = (snapshot(1), snapshot(2));
    let all = [
        hello.as_str(),
        ARMED,
        "flushed",
        LOCKED,
        "synced",
        FROZEN,
        "ready",
        "request",
        r#"answer "ok":true,"status":200,"took_ms":54"#,
        "release",
        r#"alive "session":7"#,
        THAWED,
        root.as_str(),
        data.as_str(),
        r#"unlocked "session":7"#,
        QUIET,
        PROBE,
        r#"window "window_ms":61"#,
    ];
    let mut list = all[lines].to_vec();
    if !end.is_empty() {
        list.push(end);
    }
    ff1(1, &list)
}

fn all_said() -> String {
    said(0..18, OK)
}

/// An answer that is not good; everything else as it should be.
fn said_with_answer(answer: &str, error: &str) -> String {
    let text = said(0..12, "").replace(
        r#""t":"answer","seq":9,"ms":900,"ok":true,"status":200,"took_ms":54"#,
        &format!(r#""t":"answer","seq":9,"ms":900,{answer}"#),
    );
    let tail = [
        r#"unlocked "session":7"#,
        QUIET,
        PROBE,
        error,
        r#"end "outcome":"failed","exit":201"#,
    ];
    text + &ff1(13, &tail)
}

fn ended(ended: CommandEnd, stdout: String) -> JobEvent {
    JobEvent::PreEnded(outcome(ended, stdout))
}

#[test]
fn the_good_story_is_one_command_and_one_search() {
    let mut s = under_way(OnFailure::Skip);
    assert_eq!(s.job.view().phase, Phase::Quiescing);
    s.tell(JobEvent::SetAppeared(snapshots()));
    let view = s.job.view();
    assert_eq!(view.phase, Phase::Snapshotting);
    assert!(view.set.len() == 2 && view.set.iter().all(|m| m.level == Level::Pending));
    assert!(view.frozen_since.is_none(), "nobody saw it frozen");
    let effects = s.tell(ended(CommandEnd::Success, all_said()));
    assert!(effects.contains(&JobEffect::FindSnapshots), "{effects:?}");
    assert_eq!(s.job.expected().len(), 2);
    s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
    let view = s.finish();
    assert_eq!(
        view.verdict,
        Some(Verdict::Application),
        "{:?}",
        view.evidence
    );
    assert_eq!(view.freeze_window_ms, Some(61));
    assert!(view.evidence.post_command.is_none() && view.evidence.pre_command.is_some());
    assert!(view.error.is_none());
    assert_eq!(
        (
            s.count(&JobEffect::SendPost),
            s.count(&JobEffect::CreateSnapshots)
        ),
        (0, 0)
    );
    let phases: Vec<Phase> = view.phases.iter().map(|p| p.phase).collect();
    assert!(
        !phases.contains(&Phase::Frozen) && !phases.contains(&Phase::Thawing),
        "{phases:?}"
    );
}

#[test]
fn a_set_that_ec2_shows_otherwise_is_a_crash_set() {
    let mut s = under_way(OnFailure::Skip);
    s.tell(ended(CommandEnd::Success, all_said()));
    let mut more = snapshots();
    more.push(CreatedSnapshot {
        snapshot: SnapshotId::from_api("snap-0000000000000000f"),
        volume: VolumeId::from_api("vol-00000000000000002"),
        volume_gib: 100,
    });
    s.tell(JobEvent::SnapshotsFound(Ok(more)));
    s.label();
    assert!(s.job.view().set.iter().all(|m| m.level == Level::Crash));
}

#[test]
fn a_search_that_fails_falls_back_on_what_was_seen() {
    for result in [Err(problem(true)), Ok(Vec::new())] {
        let mut s = under_way(OnFailure::Skip);
        s.tell(JobEvent::SetAppeared(snapshots()));
        s.tell(ended(CommandEnd::Success, all_said()));
        s.tell(JobEvent::SnapshotsFound(result));
        assert_eq!(s.finish().verdict, Some(Verdict::Application));
    }
}

#[test]
fn whatever_does_not_say_that_all_is_thawed_is_thawed() {
    for (end, stdout) in [
        (CommandEnd::Success, said(0..12, "")),
        (CommandEnd::Success, said(0..8, OK)),
        (
            CommandEnd::Failed {
                exit: ScriptExit::Killed,
            },
            said(0..7, ""),
        ),
        (
            CommandEnd::Failed {
                exit: ScriptExit::AlreadyFrozen,
            },
            ff1(
                1,
                &[
                    &hello("snapshot"),
                    r#"error "code":"already-frozen","text":"x""#,
                    r#"end "outcome":"refused","exit":204"#,
                ],
            ),
        ),
        (CommandEnd::Cancelled { may_have_run: true }, String::new()),
        (CommandEnd::TimedOut { may_have_run: true }, String::new()),
        (CommandEnd::Lost(problem(true)), String::new()),
    ] {
        let mut s = under_way(OnFailure::CrashConsistent);
        let effects = s.tell(ended(end.clone(), stdout));
        assert!(effects.contains(&JobEffect::SendPost), "{end:?}");
        assert_eq!(s.count(&JobEffect::CreateSnapshots), 0, "{end:?}");
    }
    for give_up in [JobEvent::TimedOut(Timer::Quiesce), JobEvent::Cancel] {
        for seen in [false, true] {
            let mut s = under_way(OnFailure::CrashConsistent);
            if seen {
                s.tell(JobEvent::SetAppeared(snapshots()));
            }
            let effects = s.tell(give_up.clone());
            let cancel = effects
                .iter()
                .any(|e| matches!(e, JobEffect::CancelCommand(_)));
            assert!(
                cancel && effects.contains(&JobEffect::SendPost),
                "{effects:?}"
            );
            assert_eq!(s.count(&JobEffect::CreateSnapshots), 0);
        }
    }
}

#[test]
fn a_lost_command_is_thawed_then_looked_up_never_repeated() {
    for (found, verdict) in [(snapshots(), Verdict::Crash), (Vec::new(), Verdict::Failed)] {
        let mut s = under_way(OnFailure::CrashConsistent);
        s.tell(ended(CommandEnd::Lost(problem(true)), String::new()));
        let empty = found.is_empty();
        let effects = s.post(post_ok());
        assert!(effects.contains(&JobEffect::FindSnapshots), "{effects:?}");
        s.tell(JobEvent::SnapshotsFound(Ok(found)));
        if empty {
            s.tell(JobEvent::Published(Ok(())));
        } else {
            s.finish();
        }
        assert_eq!(s.job.view().verdict, Some(verdict));
        assert_eq!(
            (
                s.count(&JobEffect::SendSnapshot),
                s.count(&JobEffect::CreateSnapshots)
            ),
            (1, 0),
            "it may have been made: no second one"
        );
    }
}

/// EC2 shows a set piece by piece. A part that was found when the search ended is neither judged nor labelled: the rest
/// would have nobody who labels it.
#[test]
fn p29_a_part_of_a_set_is_left_to_whoever_comes_next() {
    let [root, data] = snapshots().try_into().unwrap();
    let lost = || {
        let mut s = under_way(OnFailure::CrashConsistent);
        s.tell(ended(CommandEnd::Lost(problem(true)), String::new()));
        s
    };
    for part in [&root, &data] {
        let mut s = lost();
        s.post(post_ok());
        assert_eq!(s.job.attached(), 2, "one for each volume");
        s.tell(JobEvent::SnapshotsFound(Ok(vec![part.clone()])));
        s.tell(JobEvent::Published(Ok(())));
        let view = s.job.view();
        assert_eq!(view.verdict, Some(Verdict::Failed), "{view:#?}");
        assert!(view.set_unseen && view.has_pending_labels(), "{view:#?}");
        let [member] = view.set.as_slice() else {
            panic!("{:#?}", view.set);
        };
        let known = member.snapshot == part.snapshot && member.level == Level::Pending;
        assert!(known && member.reason.contains("whole set"), "{member:?}");
        let labels = |e: &JobEffect| matches!(e, JobEffect::WriteLabels { .. });
        assert!(!s.asked.iter().any(labels), "nothing is judged");
    }
    // What appeared while the command ran was there, whatever the last look shows.
    let mut s = under_way(OnFailure::CrashConsistent);
    s.tell(JobEvent::SetAppeared(vec![root]));
    s.tell(ended(CommandEnd::Lost(problem(true)), String::new()));
    s.post(post_ok());
    s.tell(JobEvent::SnapshotsFound(Ok(vec![data])));
    let view = s.finish();
    assert_eq!((view.verdict, view.set.len()), (Some(Verdict::Crash), 2));
    // A volume that was detached before the call is in no answer, and nobody waits for its snapshot.
    let mut s = under_way(OnFailure::Skip);
    let tail = [
        r#"snapshot "snapshot":"snap-00000000000000002","volume":"vol-00000000000000002","gib":8"#,
        r#"unlocked "session":7"#,
        QUIET,
        PROBE,
        r#"window "window_ms":61"#,
        OK,
    ];
    s.tell(ended(
        CommandEnd::Success,
        said(0..12, "") + &ff1(13, &tail),
    ));
    assert_eq!(s.job.attached(), 1, "as many as it was answered");
    s.tell(JobEvent::SnapshotsFound(Ok(snapshots().split_off(1))));
    let view = s.finish();
    assert!(!view.set_unseen && view.set.len() == 1, "{view:#?}");
}

#[test]
fn p22_a_second_delivery_tells_nothing_of_the_first_ones_call() {
    for (code, found, verdict) in [
        ("already-frozen", snapshots(), Verdict::Crash),
        ("over", snapshots(), Verdict::Crash),
        ("over", Vec::new(), Verdict::Failed),
    ] {
        let refused = [
            hello("snapshot"),
            format!(r#"error "code":"{code}","text":"x""#),
            r#"end "outcome":"refused","exit":204"#.to_owned(),
        ];
        let lines: Vec<&str> = refused.iter().map(String::as_str).collect();
        let mut s = under_way(OnFailure::CrashConsistent);
        s.tell(ended(
            CommandEnd::Failed {
                exit: ScriptExit::AlreadyFrozen,
            },
            ff1(1, &lines),
        ));
        let effects = s.post(post_ok());
        assert!(
            effects.contains(&JobEffect::FindSnapshots),
            "{code}: {effects:?}"
        );
        let empty = found.is_empty();
        s.tell(JobEvent::SnapshotsFound(Ok(found)));
        if empty {
            s.tell(JobEvent::Published(Ok(())));
        } else {
            s.finish();
        }
        assert_eq!(s.job.view().verdict, Some(verdict), "{code}");
        assert_eq!(s.count(&JobEffect::CreateSnapshots), 0, "{code}");
    }
}

#[test]
fn a_refused_call_follows_on_failure_and_an_unanswered_one_is_looked_up() {
    let denied =
        r#""ok":false,"status":403,"took_ms":9,"code":"UnauthorizedOperation","text":"no""#;
    let error = r#"error "code":"snapshot-refused","text":"UnauthorizedOperation""#;
    let mut s = under_way(OnFailure::Skip);
    s.tell(ended(
        CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        },
        said_with_answer(denied, error),
    ));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Failed), "{view:?}");
    assert_eq!(
        view.error.unwrap().code.as_deref(),
        Some("snapshot-refused")
    );
    assert_eq!(s.count(&JobEffect::SendPost), 0);

    let mut s = under_way(OnFailure::CrashConsistent);
    let effects = s.tell(ended(
        CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        },
        said_with_answer(denied, error),
    ));
    assert!(effects.contains(&JobEffect::CreateSnapshots), "{effects:?}");
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    assert_eq!(s.finish().verdict, Some(Verdict::Crash));

    let none = r#""ok":false,"status":0,"took_ms":9000"#;
    let gone = r#""ok":false,"status":500,"took_ms":9,"code":"InternalError","text":"x""#;
    let error = r#"error "code":"snapshot-unknown","text":"no answer""#;
    for answer in [none, gone] {
        let mut s = under_way(OnFailure::CrashConsistent);
        let effects = s.tell(ended(
            CommandEnd::Failed {
                exit: ScriptExit::PreScriptFailed,
            },
            said_with_answer(answer, error),
        ));
        assert!(effects.contains(&JobEffect::FindSnapshots), "{effects:?}");
        assert_eq!(
            s.count(&JobEffect::SendPost),
            0,
            "its trace says that all is thawed"
        );
        s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
        assert_eq!(s.finish().verdict, Some(Verdict::Crash));
        assert_eq!(s.count(&JobEffect::CreateSnapshots), 0);
    }
}

#[test]
fn a_failure_before_the_request_needs_no_search() {
    let error = r#"error "code":"no-credentials","text":"no role""#;
    let end = r#"end "outcome":"failed","exit":201"#;
    let text = ff1(1, &[&hello("snapshot"), ARMED, error, QUIET, end]);
    let mut s = under_way(OnFailure::CrashConsistent);
    let effects = s.tell(ended(
        CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        },
        text,
    ));
    assert!(effects.contains(&JobEffect::CreateSnapshots), "{effects:?}");
    let mut s = under_way(OnFailure::CrashConsistent);
    let effects = s.tell(ended(CommandEnd::NeverDelivered, String::new()));
    assert!(effects.contains(&JobEffect::CreateSnapshots), "{effects:?}");
    // Another job's freeze is none of ours.
    let busy = ff1(
        1,
        &[
            &hello("snapshot"),
            r#"error "code":"busy","text":"a job is at work""#,
            r#"end "outcome":"refused","exit":204"#,
        ],
    );
    let mut s = under_way(OnFailure::Skip);
    s.tell(ended(
        CommandEnd::Failed {
            exit: ScriptExit::AlreadyFrozen,
        },
        busy,
    ));
    assert_eq!(s.count(&JobEffect::SendPost), 0);
}

#[test]
fn a_failsafe_that_fired_during_the_call_is_a_crash_set_without_another_thaw() {
    let text = ff1(
        1,
        &[
            &hello("snapshot"),
            ARMED,
            LOCKED,
            FROZEN,
            "ready",
            "request",
            r#"answer "ok":true,"status":200,"took_ms":31000"#,
            r#"error "code":"failsafe-fired","text":"the budget was spent""#,
            r#"thawed "mount":"/data","ok":false,"text":"by the failsafe""#,
            r#"disarmed "fired":true"#,
            PROBE,
            r#"end "outcome":"failed","exit":203"#,
        ],
    );
    let mut s = under_way(OnFailure::Skip);
    s.tell(ended(
        CommandEnd::Failed {
            exit: ScriptExit::FailsafeFired,
        },
        text,
    ));
    s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
    let view = s.finish();
    assert_eq!(view.verdict, Some(Verdict::Crash));
    assert!(view.evidence.failsafe_fired && !view.thaw_unconfirmed);
    assert_eq!(s.count(&JobEffect::SendPost), 0);
}

#[test]
fn a_cancelled_job_keeps_its_set_and_tells_its_level() {
    let mut s = under_way(OnFailure::Skip);
    s.tell(JobEvent::Cancel);
    // The command had ended before the cancel reached it.
    s.tell(ended(CommandEnd::Success, all_said()));
    let effects = s.tell(JobEvent::PostEnded(outcome(
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        },
        not_frozen(),
    )));
    assert!(effects.contains(&JobEffect::FindSnapshots), "{effects:?}");
    s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
    s.label();
    assert_eq!(s.job.view().verdict, Some(Verdict::Cancelled));
    assert_eq!(s.level_of("vol-00000000000000002"), Level::Application);

    let mut s = under_way(OnFailure::CrashConsistent);
    s.tell(JobEvent::Cancel);
    s.tell(ended(
        CommandEnd::Cancelled { may_have_run: true },
        said(0..3, r#"end "outcome":"failed","exit":201"#),
    ));
    s.post(post_ok());
    assert_eq!(
        s.job.view().verdict,
        Some(Verdict::Cancelled),
        "no call was made"
    );
    assert_eq!(s.count(&JobEffect::FindSnapshots), 0);
}

/// The lines of the good story, with `/` frozen last and thawed first.
fn all_said_with_root() -> String {
    let root = r#"frozen "mount":"/","took_ms":1"#;
    let open = r#"thawed "mount":"/","ok":true"#;
    let text: Vec<String> = all_said()
        .lines()
        .flat_map(|line| match line {
            l if l.contains(r#""frozen","seq""#) => vec![l.to_owned(), as_line(root)],
            l if l.contains(r#""thawed","seq""#) => vec![as_line(open), l.to_owned()],
            l => vec![l.to_owned()],
        })
        .enumerate()
        .map(|(i, line)| renumbered(&line, i + 1))
        .collect();
    text.join("\n")
}

/// Its preflight.
fn facts_with_root() -> PreflightFacts {
    let mut facts = facts();
    facts.uncovered.clear();
    facts.covered.push(CoveredMount {
        mount: "/".into(),
        fs: "ext4".into(),
        volumes: vec![VolumeId::from_api("vol-00000000000000001")],
    });
    facts
}

/// Stopped while its command had already frozen, snapshotted and thawed: what is asked afterwards knows nothing of the
/// job any more and does not probe `/`, and the command itself has told that all is thawed.
#[test]
fn p12_what_the_command_told_of_its_own_thaw_leaves_it_confirmed_after_a_stop() {
    let not_frozen = || {
        let ended = CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        };
        JobEvent::PostEnded(outcome(ended, not_frozen()))
    };
    let lost = || JobEvent::TimedOut(Timer::Thaw);
    let answers: [(&str, &dyn Fn() -> JobEvent); 2] =
        [("finds nothing", &not_frozen), ("is lost", &lost)];
    for (what, answer) in answers {
        let mut s = Story::of(JobSpec {
            freeze_root: true,
            ..spec_of(OnFailure::Skip)
        });
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Ok(facts_with_root())));
        s.tell(JobEvent::PreSent(Ok(CommandId::from_api(COMMAND))));
        s.tell(JobEvent::Cancel);
        s.tell(ended(CommandEnd::Success, all_said_with_root()));
        for _ in 0..4 {
            s.tell(answer());
            s.second += 30;
            s.tell(JobEvent::TimedOut(Timer::ThawRetry));
        }
        s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
        let view = s.job.view();
        assert_eq!(view.phase, Phase::Verifying, "{what}: {:?}", view.error);
        assert!(!view.thaw_unconfirmed, "{what}: {:?}", view.error);
        s.label();
        assert_eq!(
            s.level_of("vol-00000000000000001"),
            Level::Filesystem,
            "{what}"
        );
        assert_eq!(s.job.view().verdict, Some(Verdict::Cancelled), "{what}");
    }
}

/// Something is frozen there all the same, whoever froze it: that is no end without an unconfirmed thaw.
#[test]
fn a_freeze_that_is_seen_outweighs_what_the_command_told_of_its_own_thaw() {
    let mut s = under_way(OnFailure::Skip);
    s.tell(JobEvent::Cancel);
    s.tell(ended(CommandEnd::Success, all_said()));
    for _ in 0..5 {
        let said = not_frozen().replace(r#""frozen":false"#, r#""frozen":true"#);
        let ended = CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        };
        s.tell(JobEvent::PostEnded(outcome(ended, said)));
        s.second += 100;
        s.tell(JobEvent::TimedOut(Timer::ThawRetry));
    }
    assert!(s.job.view().thaw_unconfirmed);
}

#[test]
fn the_root_is_frozen_only_where_it_was_asked_for() {
    for (mode, freeze_root, sent) in [
        (Mode::Coordinated, false, 0),
        (Mode::Coordinated, true, 0),
        (Mode::Autonomous, false, 0),
        (Mode::Autonomous, true, 1),
    ] {
        let mut s = Story::of(JobSpec {
            mode,
            freeze_root,
            ..spec(OnFailure::Skip)
        });
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Ok(facts_with_root())));
        assert_eq!(
            s.count(&JobEffect::SendSnapshot) + s.count(&JobEffect::SendPre),
            sent,
            "{mode} {freeze_root}"
        );
    }
    let mut s = Story::of(JobSpec {
        freeze_root: true,
        ..spec_of(OnFailure::Skip)
    });
    s.tell(JobEvent::Start);
    s.tell(JobEvent::Preflight(Ok(facts_with_root())));
    s.tell(ended(CommandEnd::Success, all_said_with_root()));
    s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
    let view = s.finish();
    assert_eq!(
        view.verdict,
        Some(Verdict::Application),
        "{:?}",
        view.evidence
    );
    assert_eq!(
        s.level_of("vol-00000000000000001"),
        Level::Filesystem,
        "frozen like any other, and nothing of the database lies on it"
    );
}

fn as_line(event: &str) -> String {
    ff1(1, &[event]).trim_end().to_owned()
}

fn renumbered(line: &str, seq: usize) -> String {
    let (head, rest) = line.split_once(r#""seq":"#).unwrap();
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!(r#"{head}"seq":{seq}{rest}"#)
}

#[test]
fn positions_become_tags_only_where_there_is_room() {
    let mut facts = facts();
    facts.set = Some(Box::new(SetPlan {
        members: vec![SetMember {
            volume: VolumeId::from_api("vol-00000000000000002"),
            device: "/dev/sdf".into(),
            restored_from: None,
            record: None,
            tags: Tags::default(),
            left_off: Vec::new(),
            room: 1,
        }],
        copies_tags: true,
        ..SetPlan::default()
    }));
    let mut s = Story::of(spec_of(OnFailure::Skip));
    s.tell(JobEvent::Start);
    s.tell(JobEvent::Preflight(Ok(facts)));
    let long = "x".repeat(300);
    let extra = [
        format!(r#"position "name":"a","value":"{long}""#),
        r#"position "name":"binlog","value":"bin.000004:157""#.to_owned(),
        r#"position "name":"gtid","value":"0-1-270""#.to_owned(),
    ];
    let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
    let text = said(0..18, "") + &ff1(19, &extra) + &ff1(30, &[OK]);
    s.tell(ended(CommandEnd::Success, text));
    let effects = s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
    let labels = effects
        .iter()
        .find_map(|e| match e {
            JobEffect::WriteLabels { labels, .. } => Some(labels.clone()),
            _ => None,
        })
        .unwrap();
    let of = |volume: &str| {
        let label = labels.iter().find(|l| l.volume.as_str() == volume).unwrap();
        label.positions.clone()
    };
    assert_eq!(
        of("vol-00000000000000002"),
        [(
            "freezeframe:position-binlog".to_owned(),
            "bin.000004:157".to_owned()
        )]
    );
    assert_eq!(of("vol-00000000000000001"), [], "room unknown");
    assert_eq!(s.job.view().evidence.positions.len(), 3);
}

mod third_party {
    use super::*;

    fn frozen_by(exit: i32) -> Story {
        let mut s = Story::of(JobSpec {
            third_party: true,
            document: "ops-mysql-dlm".into(),
            ..spec(OnFailure::Skip)
        });
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Ok(PreflightFacts {
            volumes: facts().volumes,
            ..PreflightFacts::default()
        })));
        s.tell(JobEvent::PreSent(Ok(CommandId::from_api(COMMAND))));
        let end = match exit {
            0 => CommandEnd::Success,
            exit => CommandEnd::Failed {
                exit: ScriptExit::from(exit),
            },
        };
        s.tell(ended(end, "SUCCESS: frozen /data\n".to_owned()));
        s
    }

    fn post(s: &mut Story, exit: i32) -> Vec<JobEffect> {
        let end = match exit {
            0 => CommandEnd::Success,
            exit => CommandEnd::Failed {
                exit: ScriptExit::from(exit),
            },
        };
        s.tell(JobEvent::PostEnded(outcome(
            end,
            "INFO: thawed\n".to_owned(),
        )))
    }

    #[test]
    fn exit_codes_drive_it_and_it_earns_a_crash() {
        let mut s = frozen_by(0);
        assert_eq!(s.count(&JobEffect::CreateSnapshots), 1);
        s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
        post(&mut s, 0);
        let view = s.finish();
        assert_eq!(view.verdict, Some(Verdict::Crash));
        assert!(!view.thaw_unconfirmed);
        assert!(
            view.set.iter().all(|m| m.reason.contains("no FF1 lines")),
            "{:?}",
            view.set
        );
    }

    #[test]
    fn whatever_its_pre_script_exits_with_it_is_thawed() {
        for exit in [201, 203, 204, 205, 206] {
            let mut s = frozen_by(exit);
            assert_eq!(s.count(&JobEffect::SendPost), 1, "{exit}");
            post(&mut s, 205);
            s.tell(JobEvent::Published(Ok(())));
            let view = s.job.view();
            assert_eq!(
                (view.verdict, view.thaw_unconfirmed),
                (Some(Verdict::Failed), false),
                "{exit}"
            );
        }
    }

    /// What was cut off from outside may have frozen everything before, whatever order it keeps.
    #[test]
    fn not_frozen_after_a_pre_script_that_was_cut_off_is_no_proof() {
        let cut = CommandEnd::Cancelled { may_have_run: true };
        let never = CommandEnd::Cancelled {
            may_have_run: false,
        };
        let failed = |exit: i32| CommandEnd::Failed { exit: exit.into() };
        for (end, aborted, proven) in [
            (cut.clone(), false, false),
            (cut.clone(), true, false),
            (failed(137), false, false),
            // By a signal that the agent did not send.
            (failed(-1), false, false),
            (failed(-1), true, false),
            // No words of the contract.
            (failed(1), false, false),
            (failed(127), false, false),
            // A word of it: another owner's freeze was met.
            (failed(204), false, true),
            (CommandEnd::WorkerLost, false, false),
            (CommandEnd::WorkerLost, true, false),
            (never.clone(), false, true),
            (never, true, true),
        ] {
            let mut s = sent();
            if aborted {
                s.tell(JobEvent::Cancel);
            }
            s.tell(ended(end.clone(), String::new()));
            assert_eq!(s.count(&JobEffect::SendPost), 1, "{end:?}");
            for _ in 0..6 {
                post(&mut s, 205);
                s.second += 400;
                s.tell(JobEvent::TimedOut(Timer::ThawRetry));
            }
            s.tell(JobEvent::Published(Ok(())));
            let view = s.job.view();
            assert_eq!(
                (view.phase, view.thaw_unconfirmed),
                (Phase::Done, !proven),
                "{end:?}, aborted: {aborted}"
            );
        }
        // The first thaw releases it, and the next has nothing left to do.
        for first in [0, 203] {
            let mut s = sent();
            s.tell(ended(cut.clone(), String::new()));
            post(&mut s, first);
            s.tell(JobEvent::Published(Ok(())));
            assert!(s.job.is_done() && !s.job.view().thaw_unconfirmed, "{first}");
        }
    }

    /// The agent has lost its worker for it, and it goes on to freeze after a thaw that ended well.
    #[test]
    fn no_thaw_confirms_the_end_of_a_pre_script_that_may_run_still() {
        let mut s = sent();
        s.tell(ended(CommandEnd::WorkerLost, String::new()));
        for _ in 0..6 {
            post(&mut s, 0);
            s.second += 400;
            s.tell(JobEvent::TimedOut(Timer::ThawRetry));
        }
        s.tell(JobEvent::Published(Ok(())));
        let view = s.job.view();
        assert!(view.thaw_unconfirmed && view.needs_thaw(), "{view:#?}");
    }

    #[test]
    fn not_frozen_after_a_freeze_that_worked_is_no_proof() {
        let mut s = frozen_by(0);
        s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
        for _ in 0..6 {
            post(&mut s, 205);
            s.second += 400;
            s.tell(JobEvent::TimedOut(Timer::ThawRetry));
        }
        assert!(s.job.view().thaw_unconfirmed);
    }

    #[test]
    fn the_console_keeps_the_budget() {
        let mut s = frozen_by(0);
        let call = s.asked.iter().find_map(|e| match e {
            JobEffect::Arm {
                timer: Timer::Call,
                after,
            } => Some(after.as_secs()),
            _ => None,
        });
        assert!(call.is_some_and(|s| s <= 15), "{call:?}");
        assert!(
            s.tell(JobEvent::TimedOut(Timer::Call))
                .contains(&JobEffect::SendPost)
        );
    }

    fn sent() -> Story {
        let mut s = Story::of(JobSpec {
            third_party: true,
            ..spec(OnFailure::Skip)
        });
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Ok(PreflightFacts::default())));
        s.tell(JobEvent::PreSent(Ok(CommandId::from_api(COMMAND))));
        s
    }

    #[test]
    fn a_thaw_that_came_before_its_pre_script_proves_nothing() {
        // It has neither tombstone marker nor failsafe: a pre-script that is on its way, or waits in a lock, freezes all the same.
        for (exit, over) in [(0, false), (205, false), (0, true), (205, true)] {
            let mut s = sent();
            s.tell(JobEvent::Cancel);
            post(&mut s, exit);
            assert!(!s.job.is_done(), "{exit}: the pre-script may yet begin");
            if over {
                s.tell(ended(CommandEnd::NeverDelivered, String::new()));
            }
            s.second += 200;
            assert!(
                s.tell(JobEvent::TimedOut(Timer::ThawRetry))
                    .contains(&JobEffect::SendPost)
            );
            post(&mut s, exit);
            let view = s.job.view();
            assert_eq!(
                (view.verdict, view.thaw_unconfirmed),
                (Some(Verdict::Cancelled), !over),
                "{exit}"
            );
            assert_eq!(view.needs_thaw(), !over, "{exit}");
        }
        // Once it is known to have ended, the next thaw is soon.
        for exit in [0, 205] {
            let mut s = sent();
            s.tell(JobEvent::Cancel);
            s.tell(ended(CommandEnd::Success, "SUCCESS\n".to_owned()));
            let effects = post(&mut s, 0);
            let soon = effects.iter().any(
                |e| matches!(e, JobEffect::Arm { timer: Timer::ThawRetry, after } if after.as_secs() < 10),
            );
            assert!(soon && !s.job.is_done(), "{effects:?}");
            s.tell(JobEvent::TimedOut(Timer::ThawRetry));
            post(&mut s, exit);
            // The one before may have run before the freeze: it excuses no "not frozen".
            assert_eq!(s.job.is_done(), exit == 0);
        }
    }

    #[test]
    fn a_late_thaw_that_was_sent_after_the_freeze_explains_that_the_next_finds_nothing() {
        let mut s = frozen_by(0);
        s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
        let first = CommandId::from_api("a");
        s.tell(JobEvent::PostSent(Ok(first.clone())));
        s.tell(JobEvent::TimedOut(Timer::Thaw));
        s.tell(JobEvent::TimedOut(Timer::ThawRetry));
        s.tell(JobEvent::PostEnded(CommandOutcome {
            command: first,
            ..outcome(CommandEnd::Success, "thawed\n".to_owned())
        }));
        post(&mut s, 205);
        assert!(s.job.view().phase > Phase::Thawing && !s.job.thaw_is_unconfirmed());
    }

    #[test]
    fn the_late_end_of_an_earlier_thaw_is_not_taken_for_that_of_the_last() {
        let mut s = sent();
        s.tell(JobEvent::Cancel);
        let [first, second] = ["a", "b"].map(CommandId::from_api);
        let told = |command: &CommandId| {
            JobEvent::PostEnded(CommandOutcome {
                command: command.clone(),
                ..outcome(
                    CommandEnd::Failed {
                        exit: ScriptExit::NotFrozen,
                    },
                    "nothing\n".to_owned(),
                )
            })
        };
        s.tell(JobEvent::PostSent(Ok(first.clone())));
        s.tell(JobEvent::TimedOut(Timer::Thaw));
        // It fails, and leaves what it froze: the second thaw comes after that, the first came before.
        s.tell(ended(
            CommandEnd::Failed {
                exit: ScriptExit::PreScriptFailed,
            },
            "ERROR\n".to_owned(),
        ));
        s.tell(JobEvent::TimedOut(Timer::ThawRetry));
        s.tell(told(&first));
        assert!(!s.job.is_done());
        s.tell(JobEvent::PostSent(Ok(second.clone())));
        s.tell(told(&first));
        assert!(!s.job.is_done());
        s.tell(told(&second));
        assert_eq!(s.count(&JobEffect::SendPost), 2, "and it cost no third");
        assert!(s.job.is_done() && !s.job.thaw_is_unconfirmed());
    }

    #[test]
    fn a_third_party_document_that_names_no_mount_is_judged_by_its_exit_code() {
        for (exit, thawed) in [(202, false), (205, false), (203, true), (0, true)] {
            let mut s = sent();
            let pre = ff1(1, &[&hello("pre-script"), "ready", OK]);
            s.tell(ended(CommandEnd::Success, pre));
            s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
            let end = match exit {
                0 => CommandEnd::Success,
                exit => CommandEnd::Failed {
                    exit: ScriptExit::from(exit),
                },
            };
            let said = ff1(9, &[&hello("post-script"), r#"end "outcome":"x","exit":9"#]);
            s.tell(JobEvent::PostEnded(outcome(end, said)));
            assert_eq!(s.job.view().phase > Phase::Thawing, thawed, "{exit}");
        }
    }

    #[test]
    fn a_third_party_document_that_speaks_ff1_is_judged_like_ours() {
        let mut s = Story::of(JobSpec {
            third_party: true,
            ..spec(OnFailure::Skip)
        });
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Ok(PreflightFacts {
            volumes: facts().volumes,
            ..PreflightFacts::default()
        })));
        let mount = r#"mount "mount":"/data","fs":"xfs","dev":"/dev/x","volumes":["vol-00000000000000002"],"covered":true"#;
        let pre = ff1(
            1,
            &[&hello("pre-script"), mount, ARMED, FROZEN, "ready", OK],
        );
        s.tell(ended(CommandEnd::Success, pre));
        s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
        s.post(ff1(
            9,
            &[&hello("post-script"), "release", THAWED, QUIET, PROBE, OK],
        ));
        let view = s.finish();
        assert_eq!(
            view.verdict,
            Some(Verdict::Filesystem),
            "{:?}",
            view.evidence
        );
        // The same words that never say ready are a failure, not a silent success.
        let mut s = frozen_by(0);
        assert_eq!(s.count(&JobEffect::CreateSnapshots), 1);
        s.job = Job::new(JobSpec {
            third_party: true,
            ..spec(OnFailure::Skip)
        });
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Ok(PreflightFacts::default())));
        let half = ff1(1, &[&hello("pre-script"), ARMED]);
        let effects = s.tell(ended(CommandEnd::Success, half));
        assert!(
            effects.contains(&JobEffect::SendPost)
                && !effects.contains(&JobEffect::CreateSnapshots)
        );
    }
}

#[test]
fn told_is_what_was_told() {
    // The helper's own trace is sound: the stories above rest on it.
    let told = CommandReport {
        command: CommandId::from_api(COMMAND),
        succeeded: true,
        trace: crate::trace::parse(&all_said()),
    };
    assert!(told.trace.malformed.is_empty() && told.trace.out_of_order.is_none());
    assert_eq!(crate::trace::check_one(JOB, &told.trace), Ok(()));
}
