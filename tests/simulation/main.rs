//! A thousand seeds of the simulation, "call N fails" for every N, and the proof that the checks can fail.
//! A seed that fails prints the command that replays it. More seeds: `cargo run --release --example simulate`.
#![recursion_limit = "256"] // Whole runs of the engine inside one future.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

mod controls;
mod sim;

use std::time::Duration;

use freezeframe::domain::job::{Mode, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::run::Limits;
use freezeframe::lab::faults::plan::{Entry as FaultEntry, Kind};
use freezeframe::lab::{CallRecord, Fault, FaultKind};
use sim::draw::{Draw, Seed, Theme};
use sim::list::{self, Entry};
use sim::shrink;
use sim::story::{Abort, Console, Moment, Story};
use sim::{Ending, play};

/// What a story breaks, and how to play it again.
fn failure(entry: &Entry) -> Option<String> {
    let ending = play(&entry.story()).unwrap();
    let broken = ending.violations.join("\n  ");
    let replay = format!("replay: cargo run --example simulate -- {entry} --verbose");
    (!broken.is_empty()).then(|| format!("{entry}: {broken}\n  {replay}"))
}

fn seeds(range: std::ops::Range<u64>) {
    let mut bad = Vec::new();
    for seed in range {
        bad.extend(failure(&Entry {
            seed: Seed::of(seed),
            cuts: Vec::new(),
        }));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn seeds_0_to_249() {
    seeds(0..250);
}

#[test]
fn seeds_250_to_499() {
    seeds(250..500);
}

#[test]
fn seeds_500_to_749() {
    seeds(500..750);
}

#[test]
fn seeds_750_to_999() {
    seeds(750..1_000);
}

/// What once failed, and what `--fresh` has found since.
#[test]
fn the_list_of_seeds_that_once_failed() {
    let list = list::parse(&std::fs::read_to_string(list::path()).unwrap()).unwrap();
    assert!(list.len() >= 3, "{list:?}");
    let bad: Vec<String> = list.iter().filter_map(failure).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn a_line_of_the_list_is_what_the_example_prints() {
    let line = "--seed 5 --draw even --story twins --cut fault:2,abort:0:1,half:1,half:1,gap";
    let [entry] = list::parse(&format!("# why\n{line} # and more\n\n"))
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(entry.to_string(), line);
    let plain = &list::parse("--seed 7").unwrap()[0];
    assert_eq!(
        (plain.seed, plain.to_string()),
        (Seed::of(7), "--seed 7".to_owned())
    );
    for (text, why) in [
        ("--seed x", "line 1: --seed x"),
        ("\n--draw even", "line 2: no --seed"),
        ("--seed 1 --cut nothing:1", "nothing:1"),
        ("--seed 1 --story", "lacks its value"),
    ] {
        let refused = list::parse(text).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

/// A story in which one thing is to blame for what is broken, among much that is not.
#[test]
fn a_failing_story_is_cut_down_to_what_matters() {
    let mut story = Story::of(Seed {
        number: 3,
        draw: Draw::Even,
        theme: Some(Theme::Clocks),
    });
    let plain = Story::plain(3, Mode::Coordinated);
    (story.world, story.wishes, story.robbed) = (plain.world, plain.wishes, true);
    story.gap = Duration::from_secs(77);
    story.deaths = vec![3];
    story.consoles[0].wishes = vec![0];
    story.consoles[0].death = None;
    let late = |on: &str, kind| FaultEntry {
        on: on.to_owned(),
        kind,
        ms: 800,
        skip: 0,
        times: 2,
        percent: 100,
        characters: 0,
        code: String::new(),
        status: 400,
    };
    story.plan.faults = vec![
        late("DescribeSnapshots", Kind::Delay),
        late("DescribeInstances", Kind::Delay),
    ];
    let broken = play(&story).unwrap().violations;
    assert!(!broken.is_empty());
    let (cuts, shortest) = shrink::shrink(&story, &broken);
    let left = shortest.shown();
    assert!(
        left.plan.faults.is_empty() && left.deaths.is_empty(),
        "{cuts:?}"
    );
    assert!(
        left.consoles[0].run.is_none() && left.clocks_agree(),
        "{cuts:?}"
    );
    // Still the same promise, and by the cuts alone.
    let again = cuts
        .iter()
        .fold(story, |story, cut| cut.of(&story).unwrap());
    let again = play(&again).unwrap().violations;
    assert!(
        !shrink::kinds(&again).is_disjoint(&shrink::kinds(&broken)),
        "{again:?}"
    );
}

/// Plays a story with call N hit by `kind`, for N = 0, 1, … until no call is left to hit.
fn every_call(story: &Story, kind: &FaultKind, check: impl Fn(usize, &Ending)) {
    for n in 0.. {
        let mut story = story.clone();
        story.faults.push(Fault {
            action: "*".into(),
            skip: u32::try_from(n).unwrap(),
            times: 1,
            kind: kind.clone(),
        });
        let ending = play(&story).unwrap();
        let modes: Vec<Mode> = story.wishes.iter().map(|wish| wish.mode).collect();
        assert!(
            ending.violations.is_empty(),
            "call {n} {kind:?} in {modes:?}: {:?}",
            ending.violations
        );
        check(n, &ending);
        // The stage makes calls of its own before the fault is there.
        if ending.eye.calls.len() <= n {
            assert!(n > 10, "only {n} calls in {modes:?}");
            return;
        }
    }
}

/// One job, in that mode.
fn one(mode: Mode) -> Story {
    Story::plain(7, mode)
}

/// A run of two instances in that mode.
fn two(mode: Mode) -> Story {
    let mut story = Story::plain_run(7, mode, 2);
    story.consoles[0].run = Some(Limits::default());
    story
}

/// One job, in that mode, which is stopped while it quiesces.
fn stopped(mode: Mode, by_another: bool) -> Story {
    let mut story = Story::plain(7, mode);
    story.consoles[0].aborts.push(Abort {
        at: Moment::Write(8),
        whom: None,
        by_another,
    });
    story
}

fn denied() -> FaultKind {
    FaultKind::Error {
        code: "AccessDeniedException".into(),
        message: "no".into(),
        status: 400,
    }
}

fn broken() -> FaultKind {
    FaultKind::Error {
        code: "InternalError".into(),
        message: "no".into(),
        status: 500,
    }
}

/// The label is written last: whatever call fails, no level stands that the verdict does not bear out, and every one
/// above `crash` was written when nothing was held any more, the thaw's end was told and the judgement on record.
fn label_last(n: usize, ending: &Ending) {
    for view in &ending.eye.closed {
        let most = match view.verdict {
            Some(Verdict::Filesystem) => Level::Filesystem,
            // What was stopped keeps what had been proven by then.
            Some(Verdict::Application | Verdict::Cancelled) => Level::Application,
            _ => Level::Crash,
        };
        let job = view.spec.job.as_str();
        for taken in ending.eye.snapshots.iter().filter(|t| t.job == job) {
            let level: Level = taken.level.parse().unwrap();
            assert!(level <= most, "call {n}: {:?} {taken:?}", view.verdict);
            if level.is_proven() {
                let label = ending.eye.labelled.get(&taken.id);
                let last = label.is_some_and(|l| !l.held && l.told && l.judged);
                assert!(last, "call {n}: {taken:?} {label:?}");
            }
        }
    }
}

#[test]
fn p12_the_label_is_written_last_coordinated() {
    every_call(&one(Mode::Coordinated), &denied(), label_last);
    every_call(&one(Mode::Coordinated), &broken(), label_last);
}

#[test]
fn p12_the_label_is_written_last_autonomous() {
    every_call(&one(Mode::Autonomous), &denied(), label_last);
    every_call(&one(Mode::Autonomous), &broken(), label_last);
}

/// What may be made of a job whose call was hit, as often as that call is the one that is hit.
fn worth(hit: Option<&CallRecord>, job: &str) -> Option<(usize, Vec<Verdict>)> {
    let whole = Some((3, vec![Verdict::Application]));
    let nothing = Some((0, vec![Verdict::Failed, Verdict::Skipped]));
    let Some(hit) = hit.filter(|hit| hit.subject.contains(job)) else {
        return whole;
    };
    let came = hit.outcome == "(lost response)";
    match hit.action.as_str() {
        // The set is found; whether it was made within the freeze is not.
        "CreateSnapshots" if came => Some((3, vec![Verdict::Crash])),
        // Of the thaw nobody says what it did.
        "SendCommand" if hit.subject.contains(" post-script ") => None,
        "SendCommand" if came => whole,
        // Whoever only asks may ask again; the instance asks once.
        "CreateSnapshots" if hit.dry_run && hit.caller.ends_with("/you") => whole,
        // It came to nothing, and is not asked for again.
        "CreateSnapshots" | "SendCommand" => nothing,
        _ => whole,
    }
}

/// A lost answer is found again: one set at most, the job knows all of it, and it costs no level but where the order of
/// events is lost with it.
fn found_again(n: usize, ending: &Ending) {
    let hit = ending.eye.calls.iter().find(|c| c.outcome.starts_with('('));
    for view in &ending.eye.closed {
        let job = view.spec.job.as_str();
        let made = ending
            .eye
            .snapshots
            .iter()
            .filter(|taken| taken.job == job)
            .count();
        assert!([0, 3].contains(&made), "call {n}: {made} snapshots");
        assert_eq!(
            view.set.len(),
            made,
            "call {n}: {:?} {:?}",
            view.verdict,
            view.error
        );
        if let Some((set, verdicts)) = worth(hit, job) {
            assert!(
                made == set && view.verdict.is_some_and(|v| verdicts.contains(&v)),
                "call {n}, {hit:?}: {made}, {:?} {:?}",
                view.verdict,
                view.error
            );
        }
    }
}

#[test]
fn p22_a_lost_answer_is_found_again_coordinated() {
    every_call(
        &one(Mode::Coordinated),
        &FaultKind::LoseResponse,
        found_again,
    );
    every_call(&one(Mode::Coordinated), &FaultKind::Reset, found_again);
}

#[test]
fn p22_a_lost_answer_is_found_again_autonomous() {
    every_call(
        &one(Mode::Autonomous),
        &FaultKind::LoseResponse,
        found_again,
    );
    every_call(&one(Mode::Autonomous), &FaultKind::Reset, found_again);
}

/// A run's lanes all come to their end whichever call fails or loses its answer.
fn both_lanes(n: usize, ending: &Ending) {
    assert_eq!(ending.eye.closed.len(), 2, "call {n}");
    label_last(n, ending);
}

#[test]
fn p12_a_run_of_two_labels_last_coordinated() {
    every_call(&two(Mode::Coordinated), &denied(), both_lanes);
}

#[test]
fn p12_a_run_of_two_labels_last_autonomous() {
    every_call(&two(Mode::Autonomous), &denied(), both_lanes);
}

#[test]
fn p22_a_run_of_two_finds_lost_answers_coordinated() {
    every_call(
        &two(Mode::Coordinated),
        &FaultKind::LoseResponse,
        found_again,
    );
}

#[test]
fn p22_a_run_of_two_finds_lost_answers_autonomous() {
    every_call(
        &two(Mode::Autonomous),
        &FaultKind::LoseResponse,
        found_again,
    );
}

#[test]
fn p22_a_job_that_is_stopped_survives_every_lost_answer_and_failure() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        for by_another in [false, true] {
            let story = stopped(mode, by_another);
            every_call(&story, &FaultKind::LoseResponse, label_last);
            every_call(&story, &broken(), label_last);
        }
    }
}

/// Somebody stops the job at every one of its journal writes: the console itself, or another process.
#[test]
fn p23_stopped_at_every_journal_write() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let whole = play(&Story::plain(11, mode)).unwrap();
        for write in 1..=whole.writes {
            for by_another in [false, true] {
                let mut story = Story::plain(11, mode);
                story.consoles[0].aborts.push(Abort {
                    at: Moment::Write(write),
                    whom: None,
                    by_another,
                });
                let ending = play(&story).unwrap();
                assert!(
                    ending.violations.is_empty(),
                    "{mode}, write {write}, by another: {by_another}: {:?}",
                    ending.violations
                );
            }
        }
    }
}

/// Credentials that end at call N and stay away end thawed and labelled honestly.
#[test]
fn p22_expired_credentials_end_thawed_and_honest() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        for n in 0..40 {
            let mut story = Story::plain(9, mode);
            story.faults.push(Fault {
                action: "*".into(),
                skip: n,
                times: 60,
                kind: FaultKind::Expired,
            });
            let ending = play(&story).unwrap();
            assert!(
                ending.violations.is_empty(),
                "{mode} from call {n}: {:?}",
                ending.violations
            );
        }
    }
}

/// The console dies at every one of its journal writes; whoever comes next settles it.
#[test]
fn p21_killed_at_every_journal_write() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let whole = play(&Story::plain(11, mode)).unwrap();
        assert!(whole.violations.is_empty(), "{:?}", whole.violations);
        for death in 1..=whole.writes {
            let mut story = Story::plain(11, mode);
            story.consoles[0].death = Some(death);
            story.gap = Duration::from_secs(u64::from(death % 5) * 9);
            let ending = play(&story).unwrap();
            assert!(
                ending.violations.is_empty(),
                "{mode}, write {death}: {:?}",
                ending.violations
            );
        }
    }
}

#[test]
fn a_plain_story_is_proven_and_replays() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let (one, two) = (Story::plain(3, mode), Story::plain(3, mode));
        let (one, two) = (play(&one).unwrap(), play(&two).unwrap());
        assert_eq!(one.violations, Vec::<String>::new());
        assert_eq!(
            one.eye.closed[0].verdict,
            Some(Verdict::Application),
            "{:?}",
            one.eye.closed[0].error
        );
        assert_eq!(
            one.eye.calls, two.eye.calls,
            "the same seed, the same calls at the same times"
        );
    }
    let five = Story::of(Seed::of(5));
    let (one, two) = (play(&five).unwrap(), play(&five).unwrap());
    assert_eq!(one.eye.calls, two.eye.calls);
    assert_eq!(one.eye.histories, two.eye.histories);
}

/// A document that lies, because somebody thawed behind its back, leads the console to a false label: seen.
#[test]
fn negative_control_a_lying_document_is_caught() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let mut story = Story::plain(3, mode);
        story.robbed = true;
        let ending = play(&story).unwrap();
        assert!(
            ending
                .violations
                .iter()
                .any(|v| v.contains("was not held over the call")),
            "{mode}: {:?}",
            ending.violations
        );
    }
}

/// Two consoles that want the same instance `apart` from each other, on one host or two.
fn two_at_one(apart: Duration, hosts: usize, unguarded: bool) -> Ending {
    let mut story = Story::plain(13, Mode::Coordinated);
    story.consoles.push(Console {
        journal: hosts - 1,
        from: apart,
        ..Console::of(0..1)
    });
    story.unguarded = unguarded;
    play(&story).unwrap()
}

fn together(ending: &Ending) -> bool {
    let mut violations = ending.violations.iter();
    violations.any(|v| v.contains("together"))
}

/// From both at once to one after the other.
fn meetings() -> impl Iterator<Item = Duration> {
    (0..40).map(|n| Duration::from_millis(n * 250))
}

#[test]
fn p23_the_lease_alone_keeps_two_consoles_of_one_host_apart() {
    for apart in meetings() {
        let ending = two_at_one(apart, 1, true);
        assert_eq!(ending.violations, Vec::<String>::new(), "{apart:?} apart");
    }
}

/// Two hosts that ask in the same second know nothing of each other: what keeps them apart is the instance's own
/// lock, and without it both hold the instance: seen.
#[test]
fn negative_control_two_hosts_without_the_instances_lock_are_caught() {
    let mut caught = 0;
    for apart in meetings() {
        let ending = two_at_one(apart, 2, false);
        assert_eq!(ending.violations, Vec::<String>::new(), "{apart:?} apart");
        caught += u32::from(together(&two_at_one(apart, 2, true)));
    }
    assert!(caught > 0, "the two never met");
}
