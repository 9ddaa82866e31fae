//! Proof that the checks of the simulation can fail: each promise broken alone in an otherwise honest story is seen.

use chrono::TimeDelta;
use freezeframe::domain::job::{Mode, Phase, Verdict};
use freezeframe::lab::faults::Mishap;
use freezeframe::lab::runtime_simulated::{By, Happening, What};
use freezeframe::lab::{CallRecord, Fault, FaultKind};

use crate::sim::eye::{Cleared, Eye, Labelled};
use crate::sim::play;
use crate::sim::story::{Manners, Story};

type Spoil = fn(&mut Labelled);

/// Each promise broken alone in an otherwise honest history is seen.
#[test]
fn negative_controls_every_broken_promise_is_caught() {
    let honest = play(&Story::plain(3, Mode::Coordinated)).unwrap().eye;
    assert_eq!(honest.violations(), Vec::<String>::new());
    let instance = honest.asked[0].instance.clone();
    let job = honest.asked[0].job.clone();
    let caught = |what: &str, spoil: &dyn Fn(&mut Eye), word: &str| {
        let mut eye = honest.clone();
        spoil(&mut eye);
        let violations = eye.violations();
        assert!(
            violations.iter().any(|v| v.contains(word)),
            "{what}: {violations:?}"
        );
    };
    let history = |eye: &mut Eye, change: &dyn Fn(&mut Happening)| {
        for happening in eye.histories.get_mut(&instance).unwrap() {
            change(happening);
        }
    };
    caught(
        "thawed by the failsafe",
        &|eye| {
            history(eye, &|h| {
                if let What::Thawed { by, .. } = &mut h.what {
                    *by = By::Failsafe;
                }
            })
        },
        "was not held over the call",
    );
    caught(
        "frozen too late",
        &|eye| {
            history(eye, &|h| {
                if matches!(h.what, What::Frozen { .. }) {
                    h.at += chrono::TimeDelta::seconds(5);
                }
            })
        },
        "was not held over the call",
    );
    caught(
        "unlocked too early",
        &|eye| {
            history(eye, &|h| {
                if matches!(h.what, What::Unlocked { .. }) {
                    h.at -= chrono::TimeDelta::seconds(10);
                }
            })
        },
        "lock was not held",
    );
    caught(
        "frozen past the budget",
        &|eye| {
            history(eye, &|h| {
                if matches!(h.what, What::Thawed { .. }) {
                    h.at += chrono::TimeDelta::seconds(60);
                }
            })
        },
        "with a budget of 30 s",
    );
    caught(
        "no failsafe",
        &|eye| {
            let all = eye.histories.get_mut(&instance).unwrap();
            all.retain(|h| !matches!(h.what, What::Armed { .. }));
        },
        "no failsafe armed",
    );
    let early: [(&str, Spoil); 3] = [
        ("while it was held", |label| label.held = true),
        ("before the end of its thaw was told", |label| {
            label.told = false;
        }),
        ("before its judgement was on record", |label| {
            label.judged = false;
        }),
    ];
    for (what, spoil) in early {
        let first = |eye: &mut Eye| {
            spoil(eye.labelled.values_mut().next().unwrap());
        };
        caught(what, &first, what);
    }
    // Nothing of another job is wrong but that it was there at the same time.
    for (what, job, by_ms, seen) in [
        ("another job an hour later", "other", 3_600_000, false),
        ("another job meanwhile", "other", 1, true),
        ("the job itself again", job.as_str(), 1, false),
    ] {
        let mut eye = honest.clone();
        let history = eye.histories.get_mut(&instance).unwrap();
        let again: Vec<Happening> = history
            .iter()
            .cloned()
            .map(|mut h| {
                h.job = job.to_owned();
                h.at += chrono::TimeDelta::milliseconds(by_ms);
                h
            })
            .collect();
        history.extend(again);
        let violations = eye.violations();
        let together = violations.iter().any(|v| v.contains("together"));
        assert_eq!(together, seen, "{what}: {violations:?}");
    }
    caught(
        "the level of a locked database on what has only files",
        &|eye| {
            let files = eye.files_only.clone();
            let mut taken = eye.snapshots.iter_mut();
            let other = taken.find(|t| t.level == "filesystem" && files.contains(&t.volume));
            other.unwrap().level = "application".into();
        },
        "nothing of the database lies on it",
    );
    caught(
        "two sets",
        &|eye| {
            let call = eye
                .calls
                .iter()
                .find(|c| c.action == "CreateSnapshots" && !c.dry_run)
                .unwrap()
                .clone();
            eye.calls.push(call);
        },
        "sets were made",
    );
    caught(
        "pre-script twice",
        &|eye| {
            let comment = format!("freezeframe pre-script {job}");
            let call = eye
                .calls
                .iter()
                .find(|c| c.subject == comment)
                .unwrap()
                .clone();
            eye.calls.push(call);
        },
        "was sent 2 times",
    );
    caught(
        "a call without a record",
        &|eye| {
            let intents = eye.intents.get_mut(&job).unwrap();
            intents.retain(|intent| intent.action != "CreateSnapshots");
        },
        "was not on record",
    );
    caught(
        "a record made afterwards",
        &|eye| {
            for intent in eye.intents.get_mut(&job).unwrap() {
                intent.intended = "2030-01-01T00:00:00Z".into();
            }
        },
        "was not on record",
    );
    caught(
        "a verdict that no tag bears out",
        &|eye| {
            for taken in &mut eye.snapshots {
                taken.level = "crash".into();
            }
        },
        "verdict application, but its tags say",
    );
    caught(
        "a freeze that no record tells of",
        &|eye| {
            let mut view = eye.closed.remove(0);
            view.phase = Phase::Thawing;
            eye.open.push(view);
            for history in eye.histories.values_mut() {
                history.retain(|h| !matches!(h.what, What::Thawed { .. }));
            }
        },
        "nothing tells it",
    );
    caught(
        "a job over while frozen",
        &|eye| {
            let ended = eye.closed[0].ended().unwrap();
            eye.now = ended + chrono::TimeDelta::seconds(9);
            history(eye, &|h| {
                if matches!(h.what, What::Thawed { .. }) {
                    h.at = ended + chrono::TimeDelta::seconds(1);
                }
            });
        },
        "over and thawed",
    );
}

/// The same for what the journals claim.
#[test]
fn negative_controls_every_false_claim_is_caught() {
    let honest = play(&Story::plain_run(3, Mode::Coordinated, 2))
        .unwrap()
        .eye;
    assert_eq!(honest.violations(), Vec::<String>::new());
    let caught = |what: &str, spoil: &dyn Fn(&mut Eye), word: &str| {
        let mut eye = honest.clone();
        spoil(&mut eye);
        let violations = eye.violations();
        assert!(
            violations.iter().any(|v| v.contains(word)),
            "{what}: {violations:?}"
        );
    };
    let hold_on = |eye: &mut Eye| {
        for history in eye.histories.values_mut() {
            history.retain(|h| !matches!(h.what, What::Thawed { .. }));
        }
    };
    caught(
        "a verdict below its labels",
        &|eye| eye.closed[0].verdict = Some(Verdict::Crash),
        "verdict crash, but its tags say",
    );
    caught(
        "a failure with a proven set",
        &|eye| eye.closed[0].verdict = Some(Verdict::Failed),
        "verdict failed, but its tags say",
    );
    caught(
        "nothing done, and a set is there",
        &|eye| eye.closed[0].verdict = Some(Verdict::Skipped),
        "verdict skipped, but its tags say",
    );
    caught(
        "a set that the job does not know",
        &|eye| eye.closed[0].set.clear(),
        "knows nothing of",
    );
    caught(
        "a set that is none",
        &|eye| eye.snapshots.clear(),
        "which is none",
    );
    caught(
        "a label that nobody owes",
        &|eye| eye.snapshots[0].level = "pending".into(),
        "nobody owes its label",
    );
    caught(
        "a volume that was left out by its tag",
        &|eye| {
            let volume = eye.snapshots[0].volume.clone();
            eye.tagged_out.insert(volume);
        },
        "was left out of its set",
    );
    caught(
        "a root volume that was left out",
        &|eye| eye.closed[0].spec.set_options.exclude_root = true,
        "was left out of its set",
    );
    caught(
        "a volume twice in a set",
        &|eye| {
            let mut again = eye.snapshots[0].clone();
            again.id.push('x');
            eye.snapshots.push(again);
        },
        "twice",
    );
    caught(
        "two of a group at once",
        &|eye| {
            for asked in &mut eye.asked {
                asked.group = Some("pair".into());
            }
        },
        "of one group were held at once",
    );
    caught(
        "a label by somebody else's word",
        &|eye| eye.asked[0].theirs = Some(Manners::Good),
        "by somebody else's word",
    );
    caught(
        "over and thawed by its own word",
        &|eye| hold_on(eye),
        "but still held",
    );
    caught(
        "a lost job that is still held",
        &|eye| {
            hold_on(eye);
            eye.asked[0].lost = true;
        },
        "lost, and still held",
    );
    caught(
        "an unconfirmed thaw that went away by itself",
        &|eye| {
            let cleared = Cleared {
                job: eye.asked[0].job.clone(),
                since: eye.now,
                at: eye.now,
                told: vec!["nobody's".to_owned()],
            };
            eye.cleared.push(cleared);
        },
        "nobody asked",
    );
    caught(
        "an unconfirmed thaw that went away although the instance had told nothing",
        &|eye| {
            let read = |call: &&CallRecord| call.action == "GetCommandInvocation";
            let read = eye.calls.iter().find(read).unwrap().ended;
            let cleared = Cleared {
                job: eye.asked[0].job.clone(),
                since: read - TimeDelta::milliseconds(1),
                at: read + TimeDelta::milliseconds(1),
                told: Vec::new(),
            };
            eye.cleared.push(cleared);
        },
        "nobody asked",
    );
}

/// Somebody else's `pre-script` is killed between two of its filesystems, by nobody that the agent knows of, or goes on
/// when the agent has lost its worker: the unconfirmed thaw stays, and whoever closed it would be seen.
#[test]
fn p28_negative_control_a_freeze_that_a_killed_script_left_is_doubted_until_somebody_looks() {
    use std::time::Duration;
    let mut unconfirmed = 0;
    for mishap in [Mishap::Killed, Mishap::WorkerLost] {
        let mut story = Story::plain(3, Mode::Coordinated);
        story.wishes[0].document = Some(Manners::Stops);
        let mishap = mishap(Duration::from_millis(500));
        story.faults.push(Fault {
            action: "pre-script".to_owned(),
            skip: 0,
            times: 1,
            kind: FaultKind::Command(mishap),
        });
        let ending = play(&story).unwrap();
        assert_eq!(ending.violations, Vec::<String>::new(), "{mishap:?}");
        let mut eye = ending.eye;
        let job = eye.asked[0].job.clone();
        assert!(eye.holds(&job), "{mishap:?} left nothing");
        let all = eye.open.iter_mut().chain(&mut eye.closed);
        for view in all.filter(|view| view.spec.job.as_str() == job) {
            assert!(view.thaw_unconfirmed, "{mishap:?}: {view:#?}");
            unconfirmed += 1;
            view.thawed();
            view.phase = Phase::Done;
        }
        let seen = eye.violations();
        assert!(
            seen.iter().any(|v| v.contains("still held")),
            "{mishap:?}: {seen:?}"
        );
    }
    assert_eq!(unconfirmed, 2);
}

/// The journal is lost, and the command that makes its set is delivered fifty minutes after anybody waited for it. The
/// set is an orphan once it is of some age, is found and is labelled; where EC2 shows it to nobody, that is seen.
#[test]
fn p29_negative_control_orphans_of_a_command_that_comes_late_are_found_or_missed() {
    use std::time::Duration;
    for hidden in [false, true] {
        let mut story = Story::plain(3, Mode::Autonomous);
        (story.lost, story.hidden) = (true, hidden);
        story.faults.push(Fault {
            action: "*".to_owned(),
            skip: 1,
            times: u32::MAX,
            kind: FaultKind::Command(Mishap::Late(Duration::from_secs(3_000))),
        });
        let ending = play(&story).unwrap();
        let made = ending.eye.snapshots.len();
        assert!(made > 0, "the late command made no set");
        let seen = &ending.violations;
        if !hidden {
            assert_eq!(*seen, Vec::<String>::new());
            continue;
        }
        for word in ["found were []", "are left after labelling", "nobody owes"] {
            assert!(seen.iter().any(|v| v.contains(word)), "{word}: {seen:?}");
        }
    }
}
