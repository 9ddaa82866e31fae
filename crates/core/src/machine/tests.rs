//! The machine's rules, one story each. `tests/engine/properties.rs` holds for all stories.

use crate::preflight::{AttachedVolume, CoveredMount, Engine, UncoveredMount};
use crate::script_exit::ScriptExit;
use chrono::{TimeDelta, TimeZone};

use super::*;
use crate::ids::{InstanceId, JobId, RunId, Scope, SnapshotId, VolumeId};
use crate::job::Mode;
use crate::level::Level;
use crate::metrics::Metric;

pub(super) const JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";
pub(super) const COMMAND: &str = "11111111-1111-1111-1111-111111111111";
const ROOT: &str = "vol-00000000000000001";
const DATA: &str = "vol-00000000000000002";

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 4, 0, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub(super) fn spec(on_failure: OnFailure) -> JobSpec {
    JobSpec {
        job: JobId::from_api(JOB),
        run: RunId::from_api("0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f11"),
        scope: Scope {
            account: crate::ids::AccountId::from_api("111122223333"),
            region: crate::ids::Region::from_api("eu-central-1"),
        },
        instance: InstanceId::from_api("i-0123456789abcdef0"),
        instance_name: "db-1".into(),
        recipe: "linux-mysql".into(),
        document: "freezeframe-linux-mysql".into(),
        mode: Mode::Coordinated,
        asked_mode: None,
        mode_reason: None,
        budget_s: 30,
        on_failure,
        mounts: Vec::new(),
        namespace: "Organization/Backup".into(),
        freeze_root: false,
        parameters: std::collections::BTreeMap::new(),
        group: None,
        third_party: false,
        set_options: Default::default(),
    }
}

pub(super) fn facts() -> PreflightFacts {
    PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".into(),
            fs: "xfs".into(),
            volumes: vec![VolumeId::from_api(DATA)],
        }],
        uncovered: vec![UncoveredMount {
            mount: "/".into(),
            reason: "the root filesystem".into(),
            volumes: vec![VolumeId::from_api(ROOT)],
        }],
        volumes: vec![
            AttachedVolume {
                volume: VolumeId::from_api(ROOT),
                device: "/dev/xvda".into(),
                is_root: true,
            },
            AttachedVolume {
                volume: VolumeId::from_api(DATA),
                device: "/dev/sdf".into(),
                is_root: false,
            },
        ],
        engine: Some(Engine {
            name: "mariadb".into(),
            version: "11.4".into(),
            datadir: "/data/mysql/".into(),
            replica: false,
        }),
        ..PreflightFacts::default()
    }
}

pub(super) fn ff1(first_seq: u64, lines: &[&str]) -> String {
    lines
        .iter()
        .enumerate()
        .map(|(i, line)| {
            let (t, rest) = line.split_once(' ').unwrap_or((line, ""));
            let comma = if rest.is_empty() { "" } else { "," };
            let seq = first_seq + i as u64;
            format!(
                "FF1 {{\"t\":\"{t}\",\"seq\":{seq},\"ms\":{}{comma}{rest}}}\n",
                seq * 100
            )
        })
        .collect()
}

pub(super) fn hello(command: &str) -> String {
    format!(r#"hello "recipe":"linux-mysql","version":1,"job":"{JOB}","command":"{command}""#)
}

pub(super) const ARMED: &str = r#"armed "budget_ms":30000,"guard_pid":11,"holder_pid":12"#;
pub(super) const LOCKED: &str = r#"locked "session":7,"how":"ftwrl","tries":1"#;
pub(super) const FROZEN: &str = r#"frozen "mount":"/data","took_ms":3"#;
pub(super) const THAWED: &str = r#"thawed "mount":"/data","ok":true"#;
pub(super) const QUIET: &str = r#"disarmed "fired":false"#;
pub(super) const PROBE: &str = r#"probe "mount":"/data","frozen":false"#;
pub(super) const OK: &str = r#"end "outcome":"ok","exit":0"#;

fn pre_ok() -> String {
    ff1(
        1,
        &[
            &hello("pre-script"),
            ARMED,
            "flushed",
            LOCKED,
            "synced",
            FROZEN,
            "ready",
            OK,
        ],
    )
}

pub(super) fn post_ok() -> String {
    let alive = r#"alive "session":7"#;
    let unlocked = r#"unlocked "session":7"#;
    let window = r#"window "window_ms":412"#;
    ff1(
        9,
        &[
            &hello("post-script"),
            "release",
            alive,
            THAWED,
            unlocked,
            QUIET,
            PROBE,
            window,
            OK,
        ],
    )
}

fn post_fired() -> String {
    let by = r#"thawed "mount":"/data","ok":false,"text":"thawed by the failsafe""#;
    ff1(
        9,
        &[
            &hello("post-script"),
            by,
            r#"disarmed "fired":true"#,
            PROBE,
            r#"end "outcome":"failed","exit":203"#,
        ],
    )
}

pub(super) fn not_frozen() -> String {
    let error = r#"error "code":"not-frozen","text":"no such job""#;
    ff1(
        1,
        &[
            &hello("post-script"),
            error,
            PROBE,
            r#"end "outcome":"failed","exit":205"#,
        ],
    )
}

pub(super) fn outcome(ended: CommandEnd, stdout: String) -> CommandOutcome {
    CommandOutcome {
        command: CommandId::from_api("11111111-1111-1111-1111-111111111111"),
        ended,
        stdout,
        stderr: String::new(),
    }
}

pub(super) fn snapshots() -> Vec<CreatedSnapshot> {
    [(ROOT, 8), (DATA, 100)]
        .into_iter()
        .map(|(volume, gib)| CreatedSnapshot {
            snapshot: SnapshotId::from_api(volume.replace("vol", "snap")),
            volume: VolumeId::from_api(volume),
            volume_gib: gib,
        })
        .collect()
}

fn all_progress(state: &str) -> JobEvent {
    JobEvent::Progress(
        snapshots()
            .into_iter()
            .map(|s| SnapshotProgress {
                snapshot: s.snapshot,
                state: state.into(),
                percent: 100,
                full_bytes: (state == "completed").then_some(42_000_000_000),
            })
            .collect(),
    )
}

pub(super) fn problem(maybe: bool) -> Problem {
    let mut p = Problem::new(Kind::Network, "call", "no answer", "wait");
    p.may_have_happened = maybe;
    p
}

fn written(attempt: u32, written: Written) -> JobEvent {
    JobEvent::LabelsWritten { attempt, written }
}

/// A job and everything that it ever asked for.
pub(super) struct Story {
    pub(super) job: Job,
    pub(super) asked: Vec<JobEffect>,
    pub(super) second: i64,
}

impl Story {
    fn new(on_failure: OnFailure) -> Self {
        Self::of(spec(on_failure))
    }

    pub(super) fn of(spec: JobSpec) -> Self {
        Self {
            job: Job::new(spec),
            asked: Vec::new(),
            second: 0,
        }
    }

    pub(super) fn tell(&mut self, event: JobEvent) -> Vec<JobEffect> {
        self.second += 1;
        let effects = self.job.step(event, at(self.second));
        self.asked.extend(effects.clone());
        effects
    }

    pub(super) fn count(&self, wanted: &JobEffect) -> usize {
        self.asked.iter().filter(|e| *e == wanted).count()
    }

    fn quiescing(on_failure: OnFailure) -> Self {
        let mut s = Self::new(on_failure);
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Ok(facts())));
        s.tell(JobEvent::PreSent(Ok(CommandId::from_api(
            "11111111-1111-1111-1111-111111111111",
        ))));
        s
    }

    fn frozen() -> Self {
        let mut s = Self::quiescing(OnFailure::Skip);
        s.tell(JobEvent::PreEnded(outcome(CommandEnd::Success, pre_ok())));
        s
    }

    pub(super) fn post(&mut self, stdout: String) -> Vec<JobEffect> {
        self.tell(JobEvent::PostEnded(outcome(CommandEnd::Success, stdout)))
    }

    /// The labels that are pending are written.
    pub(super) fn label(&mut self) -> Vec<JobEffect> {
        let pending = self.job.view().pending_labels;
        self.attempt_ended(Written::all(&pending))
    }

    /// The last attempt at the labels ends like that.
    fn attempt_ended(&mut self, by: Written) -> Vec<JobEffect> {
        let attempt = |e: &JobEffect| match e {
            JobEffect::WriteLabels { attempt, .. } => Some(*attempt),
            _ => None,
        };
        let attempt = self.asked.iter().filter_map(attempt).max().unwrap();
        self.tell(written(attempt, by))
    }

    pub(super) fn finish(&mut self) -> JobView {
        self.label();
        self.tell(all_progress("completed"));
        self.tell(JobEvent::Published(Ok(())));
        let view = self.job.view();
        assert_eq!(view.phase, Phase::Done, "{view:?}");
        view
    }

    pub(super) fn level_of(&self, volume: &str) -> Level {
        self.job
            .view()
            .set
            .iter()
            .find(|m| m.volume.as_str() == volume)
            .unwrap()
            .level
    }
}

#[test]
fn the_good_story_ends_proven() {
    let mut s = Story::frozen();
    assert!(s.job.view().frozen_since.is_some());
    assert_eq!(s.count(&JobEffect::CreateSnapshots), 1);
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    assert_eq!(s.count(&JobEffect::SendPost), 1);
    let effects = s.post(post_ok());
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, JobEffect::WriteLabels { labels, .. } if labels.len() == 2))
    );
    assert!(s.job.view().frozen_since.is_none());
    assert!(
        s.job.view().set.iter().all(|m| m.level == Level::Pending),
        "the label is written last"
    );
    let view = s.finish();
    assert_eq!(
        view.verdict,
        Some(Verdict::Application),
        "{:?}",
        view.evidence
    );
    assert_eq!(view.freeze_window_ms, Some(412));
    assert!(
        view.evidence.links.iter().all(|l| l.holds),
        "{:?}",
        view.evidence.links
    );
    assert_eq!(
        (s.level_of(DATA), s.level_of(ROOT)),
        (Level::Application, Level::Crash)
    );
    assert!(view.error.is_none() && !view.thaw_unconfirmed);
    let phases: Vec<Phase> = view.phases.iter().map(|p| p.phase).collect();
    use strum::IntoEnumIterator as _;
    assert_eq!(phases, Phase::iter().skip(1).collect::<Vec<_>>());
    let data = s
        .asked
        .iter()
        .find_map(|e| {
            if let JobEffect::Publish(d) = e {
                Some(d.clone())
            } else {
                None
            }
        })
        .unwrap();
    let of = |metric, drive: &str| {
        data.iter()
            .find(|d| d.metric == metric && d.drive == drive)
            .map(|d| d.value)
    };
    assert_eq!(of(Metric::Size, "/dev/sdf"), Some(42_000_000_000.0));
    assert_eq!(of(Metric::FreezeDuration, "/dev/sdf"), Some(412.0));
    assert_eq!(of(Metric::FreezeDuration, "/dev/xvda"), None);
    assert_eq!(of(Metric::Errors, "/dev/xvda"), Some(0.0));
    assert!(of(Metric::ElapsedTime, "/dev/sdf").unwrap() > 0.0);
}

#[test]
fn a_failsafe_that_fired_makes_it_a_crash_set() {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.tell(JobEvent::PostEnded(outcome(
        CommandEnd::Failed {
            exit: ScriptExit::FailsafeFired,
        },
        post_fired(),
    )));
    let view = s.finish();
    assert_eq!(view.verdict, Some(Verdict::Crash));
    assert!(view.evidence.failsafe_fired && !view.thaw_unconfirmed);
    assert_eq!(s.level_of(DATA), Level::Crash);
}

/// The output of the thaw was cut off: what is missing may be what breaks the chain.
#[test]
fn p10_a_thaw_that_was_not_told_to_its_last_line_earns_no_level() {
    let whole = post_ok();
    let lines: Vec<&str> = whole.lines().collect();
    for kept in 0..=lines.len() {
        let mut s = Story::frozen();
        s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
        s.post(format!("{}\n", lines[..kept].join("\n")));
        for _ in 0..4 {
            // Asked again it only finds that the job is over.
            s.second += 100;
            s.tell(JobEvent::TimedOut(Timer::ThawRetry));
            s.tell(JobEvent::PostEnded(outcome(
                CommandEnd::Failed {
                    exit: ScriptExit::NotFrozen,
                },
                not_frozen(),
            )));
        }
        s.label();
        let proven = s.level_of(DATA).is_proven();
        assert_eq!(proven, kept == lines.len(), "{kept} lines");
    }
}

#[test]
fn a_hung_call_is_thawed_first_and_its_late_answer_proves_nothing() {
    let mut s = Story::frozen();
    let effects = s.tell(JobEvent::TimedOut(Timer::Call));
    assert!(effects.contains(&JobEffect::SendPost));
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(post_ok());
    let view = s.finish();
    assert_eq!(view.verdict, Some(Verdict::Crash));
    assert_eq!(s.count(&JobEffect::CreateSnapshots), 1);
    let broken: Vec<_> = view
        .evidence
        .links
        .iter()
        .filter(|l| !l.holds)
        .map(|l| l.name.as_str())
        .collect();
    assert_eq!(broken, ["within-window"]);
}

#[test]
fn a_lost_answer_is_thawed_then_looked_up_never_repeated() {
    let mut s = Story::frozen();
    let effects = s.tell(JobEvent::SnapshotsAnswered(Err(problem(true))));
    assert!(effects.contains(&JobEffect::SendPost) && !effects.contains(&JobEffect::FindSnapshots));
    assert!(s.post(post_ok()).contains(&JobEffect::FindSnapshots));
    s.tell(JobEvent::SnapshotsFound(Ok(snapshots())));
    assert_eq!(s.finish().verdict, Some(Verdict::Crash));
    assert_eq!(s.count(&JobEffect::CreateSnapshots), 1);
}

#[test]
fn a_refused_call_is_thawed_and_failed() {
    let mut s = Story::frozen();
    assert!(
        s.tell(JobEvent::SnapshotsAnswered(Err(problem(false))))
            .contains(&JobEffect::SendPost)
    );
    let effects = s.post(post_ok());
    assert!(effects.iter().any(
        |e| matches!(e, JobEffect::Publish(d) if d.len() == 1 && d[0].metric == Metric::Errors && d[0].value == 1.0)
    ));
    s.tell(JobEvent::Published(Ok(())));
    assert_eq!(s.job.view().verdict, Some(Verdict::Failed));
}

fn clean_failure() -> CommandOutcome {
    let error = r#"error "code":"lock-timeout","text":"a long statement runs""#;
    let end = r#"end "outcome":"failed","exit":201"#;
    outcome(
        CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        },
        ff1(1, &[&hello("pre-script"), ARMED, error, QUIET, end]),
    )
}

#[test]
fn a_clean_failure_needs_no_thaw_and_follows_on_failure() {
    let mut s = Story::quiescing(OnFailure::Skip);
    s.tell(JobEvent::PreEnded(clean_failure()));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Failed));
    assert_eq!(view.error.unwrap().code.as_deref(), Some("lock-timeout"));
    assert_eq!(
        (
            s.count(&JobEffect::SendPost),
            s.count(&JobEffect::CreateSnapshots)
        ),
        (0, 0)
    );

    let mut s = Story::quiescing(OnFailure::CrashConsistent);
    assert!(
        s.tell(JobEvent::PreEnded(clean_failure()))
            .contains(&JobEffect::CreateSnapshots)
    );
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    assert_eq!(s.finish().verdict, Some(Verdict::Crash));
    assert_eq!(s.count(&JobEffect::SendPost), 0);
}

#[test]
fn a_command_from_before_the_instance_started_froze_nothing() {
    let mut s = Story::quiescing(OnFailure::Skip);
    let error = r#"error "code":"before-boot","text":"this command waited in the agent""#;
    let end = r#"end "outcome":"refused","exit":206"#;
    s.tell(JobEvent::PreEnded(outcome(
        CommandEnd::Failed {
            exit: ScriptExit::NotReady,
        },
        ff1(1, &[&hello("pre-script"), error, end]),
    )));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Failed));
    assert_eq!(view.error.unwrap().code.as_deref(), Some("before-boot"));
    assert!(!view.thaw_unconfirmed);
    assert_eq!(s.count(&JobEffect::SendPost), 0);
}

#[test]
fn a_script_that_may_not_be_executed_names_what_stands_in_its_way() {
    let mut s = Story::quiescing(OnFailure::Skip);
    s.tell(JobEvent::PreEnded(CommandOutcome {
        stderr: "sh: 1: /var/lib/amazon/ssm/_script.sh: Permission denied".to_owned(),
        ..outcome(
            CommandEnd::Failed {
                exit: ScriptExit::NotExecutable,
            },
            String::new(),
        )
    }));
    let error = s.job.view().error.unwrap();
    assert!(error.hint.contains("fapolicyd"), "{error}");
    assert!(error.hint.contains("noexec"), "{error}");
}

#[test]
fn a_command_that_was_not_taken_waits_before_the_freeze_and_is_offered_again() {
    let away = || {
        let mut p = problem(false);
        p.kind = Kind::Throttled;
        JobEvent::PreSent(Err(p))
    };
    let turn = JobEffect::TakeTurn(facts());
    let mut s = Story::new(OnFailure::CrashConsistent);
    s.tell(JobEvent::Start);
    s.tell(JobEvent::Preflight(Ok(facts())));
    assert!(s.tell(away()).contains(&turn));
    // Whoever looks on sees a job that waits, and nothing that could be frozen.
    let view = s.job.view();
    assert_eq!((view.phase, view.error), (Phase::Preflight, None));
    assert!(
        s.tell(JobEvent::Preflight(Ok(facts())))
            .contains(&JobEffect::SendPre)
    );
    // Somebody else has taken the group meanwhile: no reason for a lesser set.
    s.tell(away());
    let mut taken = problem(false);
    taken.kind = Kind::State;
    s.tell(JobEvent::Preflight(Err(taken)));
    assert_eq!(s.job.view().verdict, Some(Verdict::Skipped));
    assert_eq!(s.count(&JobEffect::CreateSnapshots), 0);

    // What may have been taken is never offered again, and patience ends.
    let mut s = Story::new(OnFailure::Skip);
    s.tell(JobEvent::Start);
    s.tell(JobEvent::Preflight(Ok(facts())));
    let mut maybe = problem(true);
    maybe.kind = Kind::Throttled;
    s.tell(JobEvent::PreSent(Err(maybe)));
    assert_eq!((s.count(&turn), s.count(&JobEffect::SendPost)), (0, 1));
    let mut s = Story::new(OnFailure::Skip);
    s.tell(JobEvent::Start);
    for _ in 0..OFFERS {
        s.tell(JobEvent::Preflight(Ok(facts())));
        s.tell(away());
    }
    s.tell(JobEvent::Published(Ok(())));
    assert_eq!(s.job.view().verdict, Some(Verdict::Failed));
    assert_eq!(s.count(&JobEffect::SendPost), 0);
}

#[test]
fn every_unclear_end_of_pre_script_is_followed_by_a_thaw() {
    let half = ff1(1, &[&hello("pre-script"), ARMED, FROZEN]);
    for ended in [
        CommandEnd::TimedOut { may_have_run: true },
        CommandEnd::Cancelled { may_have_run: true },
        CommandEnd::Lost(problem(true)),
        CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        },
        CommandEnd::Failed {
            exit: ScriptExit::Killed,
        },
        // Success that never said ready.
        CommandEnd::Success,
    ] {
        let mut s = Story::quiescing(OnFailure::Skip);
        let effects = s.tell(JobEvent::PreEnded(outcome(ended.clone(), half.clone())));
        assert!(effects.contains(&JobEffect::SendPost), "{ended:?}");
        assert_eq!(s.count(&JobEffect::CreateSnapshots), 0, "{ended:?}");
    }
    let mut s = Story::quiescing(OnFailure::Skip);
    assert!(
        s.tell(JobEvent::TimedOut(Timer::Quiesce))
            .contains(&JobEffect::SendPost)
    );
    assert!(
        s.asked
            .iter()
            .any(|e| matches!(e, JobEffect::CancelCommand(_)))
    );
    // What has said something has run, whatever Systems Manager believes.
    for (said, posts) in [(String::new(), 0), (half, 1)] {
        let mut s = Story::quiescing(OnFailure::Skip);
        s.tell(JobEvent::PreEnded(outcome(
            CommandEnd::NeverDelivered,
            said,
        )));
        assert_eq!(s.count(&JobEffect::SendPost), posts);
    }
    // It failed, and could not undo what it had begun.
    let stuck = r#"error "code":"thaw-failed","text":"Input/output error","mount":"/data""#;
    let end = r#"end "outcome":"failed","exit":201"#;
    let said = ff1(1, &[&hello("pre-script"), ARMED, stuck, QUIET, end]);
    let mut s = Story::quiescing(OnFailure::Skip);
    s.tell(JobEvent::PreEnded(outcome(
        CommandEnd::Failed {
            exit: ScriptExit::PreScriptFailed,
        },
        said,
    )));
    assert_eq!(s.count(&JobEffect::SendPost), 1);
}

#[test]
fn another_job_at_work_is_not_ours_to_thaw_but_a_second_delivery_is() {
    for (code, posts) in [("busy", 0), ("already-frozen", 1)] {
        let error = format!(r#"error "code":"{code}","text":"a job is at work""#);
        let end = r#"end "outcome":"refused","exit":204"#;
        let said = ff1(1, &[&hello("pre-script"), &error, end]);
        let mut s = Story::quiescing(OnFailure::Skip);
        s.tell(JobEvent::PreEnded(outcome(
            CommandEnd::Failed {
                exit: ScriptExit::AlreadyFrozen,
            },
            said,
        )));
        assert_eq!(s.count(&JobEffect::SendPost), posts, "{code}");
    }
}

/// What was refused for want of room for its notes could not even note that it was delivered: a second delivery would
/// freeze, unless `post-script` has put on the instance's record that the job is over.
#[test]
fn what_may_begin_again_after_its_refusal_is_followed_by_a_post_script() {
    let refused = |lines: &[&str], exit: ScriptExit| {
        let error = r#"error "code":"arm-failed","text":"no room in /run/freezeframe""#;
        let end = format!(r#"end "outcome":"refused","exit":{exit}"#);
        let hello = hello("pre-script");
        let mut all = vec![hello.as_str()];
        all.extend(lines);
        all.extend([error, end.as_str()]);
        JobEvent::PreEnded(outcome(CommandEnd::Failed { exit }, ff1(1, &all)))
    };
    let posts = |event: JobEvent| {
        let mut s = Story::quiescing(OnFailure::Skip);
        s.tell(event);
        s.count(&JobEffect::SendPost)
    };
    assert_eq!(posts(refused(&[], ScriptExit::NotReady)), 1);
    // It was armed: by then it had noted it.
    assert_eq!(
        posts(refused(&[ARMED, QUIET], ScriptExit::PreScriptFailed)),
        0
    );

    // Where nothing can be noted at all, nothing can be frozen any more once the failsafe of a second delivery has acted.
    let mut s = Story::quiescing(OnFailure::Skip);
    s.tell(refused(&[], ScriptExit::NotReady));
    for _ in 0..5 {
        let error = r#"error "code":"busy","text":"no room to note that the job is over""#;
        let end = r#"end "outcome":"failed","exit":202"#;
        let said = ff1(1, &[&hello("post-script"), error, end]);
        s.tell(JobEvent::PostEnded(outcome(
            CommandEnd::Failed {
                exit: ScriptExit::PostScriptFailed,
            },
            said,
        )));
        s.second += 30;
        s.tell(JobEvent::TimedOut(Timer::ThawRetry));
    }
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(
        (view.verdict, view.thaw_unconfirmed),
        (Some(Verdict::Failed), false)
    );
    assert!(s.second > 75, "not before the failsafe is certain");
}

#[test]
fn a_lost_pre_script_is_not_taken_for_absent_before_the_failsafe_is_certain() {
    let mut s = Story::quiescing(OnFailure::Skip);
    s.tell(JobEvent::PreEnded(outcome(
        CommandEnd::Lost(problem(true)),
        String::new(),
    )));
    let effects = s.tell(JobEvent::PostEnded(outcome(
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        },
        not_frozen(),
    )));
    let wait = effects.iter().find_map(|e| match e {
        JobEffect::Arm {
            timer: Timer::ThawRetry,
            after,
        } => Some(after.as_secs()),
        _ => None,
    });
    assert!(wait.is_some_and(|s| s > 60), "{effects:?}");
    assert!(!s.job.is_done());
    s.second += 100;
    assert!(
        s.tell(JobEvent::TimedOut(Timer::ThawRetry))
            .contains(&JobEffect::SendPost)
    );
    s.tell(JobEvent::PostEnded(outcome(
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        },
        not_frozen(),
    )));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(
        (view.verdict, view.thaw_unconfirmed),
        (Some(Verdict::Failed), false)
    );
}

#[test]
fn a_thaw_nobody_confirms_is_tried_again_then_reported_as_unconfirmed() {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    for _ in 0..4 {
        s.tell(JobEvent::TimedOut(Timer::Thaw));
        s.second += 200;
        s.tell(JobEvent::TimedOut(Timer::ThawRetry));
    }
    assert!(
        (3..=4).contains(&s.count(&JobEffect::SendPost)),
        "{}",
        s.count(&JobEffect::SendPost)
    );
    assert!(s.job.view().thaw_unconfirmed && s.job.view().frozen_since.is_some());
    let view = s.finish();
    assert_eq!(view.verdict, Some(Verdict::Crash));
    assert!(view.thaw_unconfirmed);
}

#[test]
fn a_second_post_script_confirms_what_the_first_could_not_say() {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(String::new());
    assert!(
        s.tell(JobEvent::TimedOut(Timer::ThawRetry))
            .contains(&JobEffect::SendPost)
    );
    s.tell(JobEvent::PostEnded(outcome(
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        },
        not_frozen(),
    )));
    assert!(!s.job.view().thaw_unconfirmed);
    let view = s.finish();
    assert_eq!(
        view.verdict,
        Some(Verdict::Crash),
        "thawed, but nobody saw how"
    );
    let problem = view.error.unwrap();
    assert_eq!(problem.code.as_deref(), Some("not-frozen"));
    assert!(
        problem.hint.starts_with("nothing is frozen") && !problem.hint.contains("fsfreeze"),
        "{problem:?}"
    );
}

#[test]
fn cancelling_thaws_in_every_phase_that_may_be_frozen() {
    let mut s = Story::quiescing(OnFailure::Skip);
    let effects = s.tell(JobEvent::Cancel);
    assert!(effects.contains(&JobEffect::SendPost));
    s.tell(JobEvent::PreEnded(outcome(CommandEnd::Success, pre_ok())));
    assert_eq!(s.count(&JobEffect::CreateSnapshots), 0);
    s.post(post_ok());
    assert_eq!(s.job.view().verdict, Some(Verdict::Cancelled));

    let mut s = Story::frozen();
    assert!(s.tell(JobEvent::Cancel).contains(&JobEffect::SendPost));
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(post_ok());
    s.label();
    assert_eq!(s.job.view().verdict, Some(Verdict::Cancelled));
    assert_eq!(s.level_of(DATA), Level::Crash);

    let mut s = Story::new(OnFailure::Skip);
    s.tell(JobEvent::Start);
    s.tell(JobEvent::Cancel);
    assert_eq!(s.job.view().verdict, Some(Verdict::Cancelled));
    assert_eq!(
        s.count(&JobEffect::SendPre) + s.count(&JobEffect::SendPost),
        0
    );
}

#[test]
fn labels_that_cannot_be_written_claim_nothing() {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(post_ok());
    let writes = |s: &Story| {
        let write = |e: &&JobEffect| matches!(e, JobEffect::WriteLabels { .. });
        s.asked.iter().filter(write).count()
    };
    let refused = |attempt| written(attempt, Written::none(problem(false)));
    for n in 1..=3 {
        assert_eq!(writes(&s), usize::try_from(n).unwrap());
        s.tell(refused(n));
        if n < 3 {
            assert!(s.job.view().error.is_none(), "it is tried again at once");
            s.tell(JobEvent::TimedOut(Timer::LabelRetry));
        }
    }
    let view = s.job.view();
    assert_eq!(view.phase, Phase::Completing);
    assert!(view.error.unwrap().hint.contains("jobs resume"));
    // While AWS copies, and once more at the end of it.
    s.tell(JobEvent::TimedOut(Timer::LabelRetry));
    s.tell(refused(4));
    s.tell(all_progress("completed"));
    assert_eq!(writes(&s), 5);
    s.tell(JobEvent::TimedOut(Timer::Labels));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(
        (view.phase, view.verdict),
        (Phase::Done, Some(Verdict::Crash))
    );
    assert!(view.has_pending_labels() && view.pending_labels.len() == 2);
    assert_eq!(view.earns, Some(Verdict::Application));
    assert!(view.set.iter().all(|m| m.level == Level::Pending) && view.error.is_some());
}

#[test]
fn the_judgement_is_known_before_the_first_label_is_written_and_each_is_claimed_when_it_stands() {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(post_ok());
    let judged = s.job.view();
    assert!(s.asked.contains(&JobEffect::WriteLabels {
        attempt: 1,
        labels: judged.pending_labels.clone()
    }));
    assert_eq!(judged.pending_labels.len(), 2);
    assert_eq!(judged.earns, Some(Verdict::Application));
    let (root, data) = (
        judged.pending_labels[0].clone(),
        judged.pending_labels[1].clone(),
    );
    assert!(data.covered && !root.covered);
    // One of the two stands.
    s.attempt_ended(Written {
        labels: vec![(data.snapshot.clone(), data.level)],
        problem: Some(problem(false)),
    });
    let view = s.job.view();
    assert_eq!(view.pending_labels, vec![root.clone()]);
    assert_eq!(s.level_of(DATA), Level::Application);
    // Only what is pending is tried again, and it may be later than expected.
    let effects = s.tell(JobEvent::TimedOut(Timer::LabelRetry));
    assert!(
        effects.contains(&JobEffect::WriteLabels {
            attempt: 2,
            labels: vec![root.clone()]
        }),
        "{effects:?}"
    );
    for _ in 0..2 {
        s.attempt_ended(Written::none(problem(false)));
        s.tell(JobEvent::TimedOut(Timer::LabelRetry));
    }
    assert!(s.job.view().error.is_some());
    let view = s.finish();
    assert_eq!(view.verdict, Some(Verdict::Application));
    assert!(view.error.is_none() && view.pending_labels.is_empty());
    assert!(view.phases.iter().all(|p| !p.failed));
}

/// While AWS copies, with labels that three attempts could not write: the fourth is under way.
fn with_pending_labels() -> Story {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(post_ok());
    for _ in 1..=3 {
        s.attempt_ended(Written::none(problem(false)));
        s.tell(JobEvent::TimedOut(Timer::LabelRetry));
    }
    s
}

#[test]
fn the_end_of_an_earlier_attempt_is_not_the_end_of_the_last() {
    let mut s = with_pending_labels();
    let pending = s.job.view().pending_labels;
    s.tell(all_progress("completed"));
    // The fourth ends only now, and stands behind one of the labels.
    let data = pending.iter().find(|l| l.covered).unwrap();
    let published =
        |effects: &[JobEffect]| effects.iter().any(|e| matches!(e, JobEffect::Publish(_)));
    let effects = s.tell(written(
        4,
        Written {
            labels: vec![(data.snapshot.clone(), data.level)],
            problem: Some(problem(true)),
        },
    ));
    assert!(!published(&effects), "the fifth is under way: {effects:?}");
    assert_eq!(s.level_of(DATA), Level::Application, "what stands, stands");
    let effects = s.tell(written(5, Written::all(&s.job.view().pending_labels)));
    assert!(published(&effects), "{effects:?}");
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Application));
    assert!(view.error.is_none() && view.pending_labels.is_empty());

    let mut s = with_pending_labels();
    s.tell(all_progress("completed"));
    assert!(!published(
        &s.tell(written(4, Written::none(problem(false))))
    ));
    // Told late, but told: by whichever attempt, all of them stand.
    assert!(published(&s.tell(written(4, Written::all(&pending)))));
    s.tell(JobEvent::Published(Ok(())));
    assert_eq!(s.job.view().verdict, Some(Verdict::Application));
}

#[test]
fn labels_that_stand_while_the_values_are_published_count() {
    let mut s = with_pending_labels();
    let pending = s.job.view().pending_labels;
    s.tell(all_progress("completed"));
    s.tell(JobEvent::TimedOut(Timer::Labels));
    s.tell(written(5, Written::all(&pending)));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Application), "{view:?}");
    assert!(!view.has_pending_labels() && view.error.is_none());
}

#[test]
fn the_end_of_an_earlier_attempt_does_not_end_a_lowering() {
    let mut s = with_pending_labels();
    s.tell(all_progress("error"));
    let effects = s.tell(written(4, Written::none(problem(false))));
    assert!(
        !effects.iter().any(|e| matches!(e, JobEffect::Publish(_))),
        "the lowering is under way: {effects:?}"
    );
    s.tell(written(5, Written::all(&s.job.view().pending_labels)));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Failed));
    assert!(!view.has_pending_labels());
}

#[test]
fn a_proof_that_nothing_is_frozen_counts_also_in_the_step_that_ends_the_job() {
    let mut s = Story::quiescing(OnFailure::Skip);
    s.tell(JobEvent::Cancel);
    for _ in 0..4 {
        s.tell(JobEvent::PostSent(Err(problem(false))));
        s.second += 200;
        s.tell(JobEvent::TimedOut(Timer::ThawRetry));
    }
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Cancelled));
    assert!(s.job.is_done() && s.job.thaw_is_unconfirmed());
    assert!(s.tell(JobEvent::ThawProven).is_empty());
    let after = s.job.view();
    assert!(!after.thaw_unconfirmed && after.frozen_since.is_none());
    assert_eq!((after.verdict, after.phases), (view.verdict, view.phases));
}

#[test]
fn a_lowered_label_that_cannot_be_written_is_owed() {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(post_ok());
    let first = s.job.view().pending_labels;
    s.label();
    s.tell(all_progress("error"));
    // A late answer of the labels that were right before.
    s.tell(written(1, Written::all(&first[..1])));
    s.attempt_ended(Written::none(problem(false)));
    s.tell(JobEvent::Published(Ok(())));
    let view = s.job.view();
    assert_eq!(view.verdict, Some(Verdict::Failed));
    assert!(view.has_pending_labels());
    assert!(view.pending_labels.iter().all(|l| l.level == Level::Crash));
}

#[test]
fn a_snapshot_that_fails_at_aws_fails_the_set_and_loses_its_label() {
    let mut s = Story::frozen();
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    s.post(post_ok());
    s.label();
    let effects = s.tell(all_progress("error"));
    let lowered = effects
        .iter()
        .any(|e| matches!(e, JobEffect::WriteLabels { labels, .. } if labels.iter().all(|l| l.level == Level::Crash)));
    assert!(lowered, "{effects:?}");
    let effects = s.label();
    assert!(effects.iter().any(
        |e| matches!(e, JobEffect::Publish(d) if d.iter().any(|d| d.metric == Metric::Errors && d.value == 1.0))
    ));
    s.tell(JobEvent::Published(Err(problem(true))));
    assert_eq!(s.job.view().verdict, Some(Verdict::Failed));
}

#[test]
fn a_refusal_is_skipped_not_knowing_is_failed_and_crash_is_a_choice() {
    let refuse = |kind, on_failure| {
        let mut s = Story::new(on_failure);
        s.tell(JobEvent::Start);
        s.tell(JobEvent::Preflight(Err(Problem::new(
            kind, "check", "no", "hint",
        ))));
        s
    };
    for kind in [Kind::Agent, Kind::Document, Kind::Script, Kind::State] {
        assert_eq!(
            refuse(kind, OnFailure::Skip).job.view().verdict,
            Some(Verdict::Skipped),
            "{kind}"
        );
    }
    for kind in [
        Kind::Network,
        Kind::Credentials,
        Kind::Denied,
        Kind::Malformed,
    ] {
        assert_eq!(
            refuse(kind, OnFailure::Skip).job.view().verdict,
            Some(Verdict::Failed),
            "{kind}"
        );
        assert_eq!(
            refuse(kind, OnFailure::CrashConsistent).job.view().verdict,
            Some(Verdict::Failed)
        );
    }
    // Another job there: no set at all.
    let s = refuse(Kind::State, OnFailure::CrashConsistent);
    assert_eq!(s.job.view().verdict, Some(Verdict::Skipped));
    let mut s = refuse(Kind::Agent, OnFailure::CrashConsistent);
    assert_eq!(s.count(&JobEffect::CreateSnapshots), 1);
    s.tell(JobEvent::SnapshotsAnswered(Ok(snapshots())));
    assert_eq!(s.finish().verdict, Some(Verdict::Crash));
}

#[test]
fn nothing_to_freeze_is_skipped() {
    let mut s = Story::new(OnFailure::Skip);
    s.tell(JobEvent::Start);
    s.tell(JobEvent::Preflight(Ok(PreflightFacts {
        covered: Vec::new(),
        ..facts()
    })));
    assert_eq!(s.job.view().verdict, Some(Verdict::Skipped));
    assert_eq!(s.count(&JobEffect::SendPre), 0);
}

/// Only a thaw that is under way can be delayed.
#[test]
fn a_delayed_thaw_is_shown_while_it_is_under_way_and_delayed() {
    let delayed = |s: &Story| match s.job.view().freezing {
        Freezing::Open(freeze) => freeze.thaw.is_some(),
        _ => false,
    };
    let mut s = Story::frozen();
    s.tell(JobEvent::PostDelivery(Delivery::Delayed));
    assert!(!delayed(&s), "none was sent");
    s.tell(JobEvent::Cancel);
    s.tell(JobEvent::PostDelivery(Delivery::InProgress));
    assert!(!delayed(&s), "the agent has it");
    s.tell(JobEvent::PostDelivery(Delivery::Delayed));
    assert!(delayed(&s));
}
