//! A job whose console died is judged by whoever resumes it: by all that the first one had to go by, and by nothing
//! that came to pass since. What was judged and written already is not judged again.

use std::time::Duration;

use freezeframe::domain::job::{JobSpec, JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::mode::AskedMode;
use freezeframe::domain::tags;
use freezeframe::lab::FaultKind;
use freezeframe::lab::faults::Weather;
use freezeframe::ops::job::run::spec_for;
use freezeframe::ops::{recover, setup};
use freezeframe::recipe::document;

use super::support::{Bench, bench, options};
use super::{dead_owner, denied, dropped_in, listened};

const REGION: &str = "eu-central-1";

/// Which job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The console makes the set, as it was asked for.
    Coordinated,
    /// The instance makes it, as it was asked for.
    Autonomous,
    /// The instance makes it: its dry run proved that its role may.
    Proven,
    /// The console makes it: the dry run ended because the role may not.
    FallenBack,
    /// Somebody else's document that speaks FF1, and has a dry run.
    ThirdParty,
    /// The same without a dry run: only its `pre-script` names what it freezes.
    ThirdPartyWithoutDryRun,
}

impl Which {
    /// A job of this kind on an instance of that recipe.
    async fn spec(self, bench: &Bench, recipe: &str, exclude_root: bool) -> JobSpec {
        let mut asked = options(30, OnFailure::CrashConsistent);
        asked.set.exclude_root = exclude_root;
        asked.mode = match self {
            Self::Autonomous => AskedMode::Autonomous,
            Self::Proven | Self::FallenBack => AskedMode::Auto,
            _ => AskedMode::Coordinated,
        };
        if self == Self::FallenBack {
            bench.fault("CreateSnapshots:DryRun", 0, 1, denied());
        }
        let instance = bench.instance(recipe).await;
        let mut spec = spec_for(&bench.ops, &instance, &asked).unwrap();
        spec.third_party = matches!(self, Self::ThirdParty | Self::ThirdPartyWithoutDryRun);
        if self == Self::ThirdPartyWithoutDryRun {
            let ours = document::by_name(&spec.document).unwrap().content;
            let theirs = ours.replace(r#""dry-run""#, r#""pre-script""#);
            assert_ne!(ours, theirs);
            setup::install(&bench.ops, &spec.document, &theirs)
                .await
                .unwrap();
        }
        spec
    }
}

/// Leaves it as a console that died would have.
fn leave(bench: &Bench, view: &JobView) {
    let now = bench.ops.clock.now();
    let journal = &bench.ops.journal;
    journal.save_job(view, &dead_owner(), true, now).unwrap();
}

async fn settled(bench: &Bench) -> JobView {
    let mut settled = recover::settle(&bench.ops, &listened()).await.unwrap();
    assert_eq!(settled.len(), 1, "{settled:#?}");
    settled.remove(0)
}

async fn until_done(bench: &Bench) -> JobView {
    for _ in 0..100 {
        let view = settled(bench).await;
        if view.phase == Phase::Done {
            return view;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    panic!("it is still open");
}

/// Each volume with its level, which its tag says too.
async fn levels(bench: &Bench, view: &JobView) -> Vec<(String, Level)> {
    let there = bench.ops.session.snapshots_of_job(&view.spec.job).await;
    let there = there.unwrap();
    let mut levels = Vec::new();
    for member in &view.set {
        let shown = there.iter().find(|s| s.id == member.snapshot);
        let tag = shown.and_then(|s| s.level());
        assert_eq!(tag, Some(member.level), "{member:?}");
        levels.push((member.volume.to_string(), member.level));
    }
    levels.sort();
    levels
}

/// The records are the same whether or not the console lives to read them, so the judgement is.
#[tokio::test(start_paused = true)]
async fn p21_a_set_that_is_judged_by_the_next_console_is_worth_what_its_own_would_have_said() {
    let mysql = "linux-mysql";
    for (which, recipe, exclude_root) in [
        (Which::Coordinated, mysql, false),
        (Which::Autonomous, mysql, false),
        (Which::Proven, mysql, true),
        (Which::FallenBack, mysql, false),
        (Which::FallenBack, "linux-filesystem", true),
        (Which::ThirdParty, "linux-filesystem", false),
        (Which::ThirdPartyWithoutDryRun, mysql, false),
    ] {
        let context = format!("{which:?} {recipe} without root: {exclude_root}");
        let whole = bench().await;
        let spec = which.spec(&whole, recipe, exclude_root).await;
        let first = dropped_in(&whole, &spec, Phase::Completing).await;
        let worth = levels(&whole, &first).await;
        assert!(worth.iter().any(|(_, l)| l.is_proven()), "{context}");

        let bench = bench().await;
        let spec = which.spec(&bench, recipe, exclude_root).await;
        // What the instance does by itself, its console sees in the end only.
        let alone = first.spec.mode == Mode::Autonomous;
        let phase = if alone {
            Phase::Quiescing
        } else {
            Phase::Thawing
        };
        let view = dropped_in(&bench, &spec, phase).await;
        assert!(view.earns.is_none() && view.set.is_empty(), "{view:#?}");
        leave(&bench, &view);
        if alone {
            // Its command is on its way, and ends.
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let second = settled(&bench).await;
        assert_eq!(levels(&bench, &second).await, worth, "{context}");
        assert_eq!(second.earns, first.earns, "{context}");
        assert_eq!(second.evidence.covered, first.evidence.covered, "{context}");
        assert_eq!(second.error, None, "{context}");
        bench.nothing_frozen(&spec.instance);
    }
}

/// What was attached when the set was made is on record, whatever is attached since.
#[tokio::test(start_paused = true)]
async fn p21_a_volume_that_is_detached_since_is_worth_what_was_proven_of_it() {
    for which in [Which::Coordinated, Which::FallenBack, Which::Proven] {
        let bench = bench().await;
        let spec = which.spec(&bench, "linux-filesystem", false).await;
        let phase = match which {
            Which::Proven => Phase::Quiescing,
            _ => Phase::Thawing,
        };
        let view = dropped_in(&bench, &spec, phase).await;
        leave(&bench, &view);
        // What it had sent goes on without it.
        tokio::time::sleep(Duration::from_secs(20)).await;
        bench.nothing_frozen(&spec.instance);
        let there = bench.ops.session.instance(&spec.instance).await.unwrap();
        let data = there.devices.iter().find(|d| d.device != there.root_device);
        let data = data.unwrap().volume.clone();
        bench
            .lab
            .world_of(REGION)
            .drop_attachment(spec.instance.as_str(), data.as_str());
        let view = settled(&bench).await;
        let member = view.set.iter().find(|m| m.volume == data).unwrap();
        assert_eq!(member.level, Level::Filesystem, "{which:?}: {view:#?}");
        levels(&bench, &view).await;
    }
}

/// EC2 shows new tags late. That a label stands is on record, and what the console had read to judge it may be out of
/// reach by now.
#[tokio::test(start_paused = true)]
async fn p21_a_label_that_stands_and_is_not_shown_yet_is_not_judged_again() {
    let bench = bench().await;
    bench.lab.set_weather(Weather {
        tag_lag_ms: 20_000,
        ..Weather::default()
    });
    let spec = Which::Coordinated.spec(&bench, "linux-mysql", false).await;
    let view = dropped_in(&bench, &spec, Phase::Completing).await;
    assert!(view.pending_labels.is_empty(), "{view:#?}");
    leave(&bench, &view);
    let shown = bench.ops.session.snapshots_of_job(&spec.job).await.unwrap();
    let late = shown.iter().filter(|s| s.level() == Some(Level::Pending));
    assert_eq!(late.count(), view.set.len(), "the test needs a late tag");
    bench.fault("ListCommands", 0, u32::MAX, denied());
    let written = bench.calls("CreateTags");
    let settled = settled(&bench).await;
    assert_eq!(bench.calls("CreateTags"), written, "nothing is pending");
    let claims = |view: &JobView| -> Vec<_> {
        let members = view.set.iter();
        members.map(|m| (m.snapshot.clone(), m.level)).collect()
    };
    assert_eq!(claims(&settled), claims(&view));
    let done = until_done(&bench).await;
    assert_eq!(done.verdict, Some(Verdict::Application), "{done:#?}");
    levels(&bench, &done).await;
}

/// A tag that is to be lowered claims too much until it is: the record does not claim it any more by then.
#[tokio::test(start_paused = true)]
async fn p11_a_label_is_lowered_on_record_before_its_tag_is() {
    let bench = bench().await;
    let spec = Which::Coordinated.spec(&bench, "linux-mysql", false).await;
    let mut view = dropped_in(&bench, &spec, Phase::Verifying).await;
    // What it had sent goes on: its labels are written.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let label = view.pending_labels.iter_mut().find(|l| l.level.is_proven());
    let label = label.unwrap();
    label.level = Level::Crash;
    let lowered = label.snapshot.to_string();
    leave(&bench, &view);
    // It is carried out at once, and answered late.
    let late = FaultKind::Slow(Duration::from_secs(5));
    bench.fault("CreateTags", 0, 1, late);
    let updates = listened();
    let tag = || {
        let world = bench.lab.world_of(REGION);
        world.snapshots[&lowered].tags.get(tags::LEVEL).cloned()
    };
    let look = async {
        while tag().as_deref() != Some("crash") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let on_record = bench.ops.journal.job(bench.ops.scope(), &spec.job);
        on_record.unwrap().unwrap()
    };
    let (settled, on_record) = tokio::join!(recover::settle(&bench.ops, &updates), look);
    let claim = |view: &JobView| {
        let mut members = view.set.iter();
        let member = members.find(|m| m.snapshot.as_str() == lowered);
        member.unwrap().level
    };
    assert_eq!(claim(&on_record), Level::Crash, "{on_record:#?}");
    assert_eq!(claim(&settled.unwrap()[0]), Level::Crash);
    let done = until_done(&bench).await;
    assert_eq!(done.verdict, Some(Verdict::Crash));
    levels(&bench, &done).await;
}
