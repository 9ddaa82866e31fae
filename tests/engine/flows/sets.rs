//! What a set holds and which tags its snapshots carry, in both modes: volumes left out, volumes with too many tags, own
//! tags, restored copies that are still attached, and what is recorded of each volume.

use freezeframe::domain::ids::VolumeId;
use freezeframe::domain::job::{JobSpec, JobView, Mode, OnFailure, Phase, Verdict};
use freezeframe::domain::restore::{RestoreRequest, StepState};
use freezeframe::domain::set_plan::{LeftOutBy, SetOptions};
use freezeframe::domain::snapshot::Snapshot;
use freezeframe::domain::tags::{self, Tags};
use freezeframe::ops::{inventory, restore};

use super::listened;
use super::support::{Bench, bench};

const REGION: &str = "eu-central-1";
const MODES: [Mode; 2] = [Mode::Coordinated, Mode::Autonomous];

async fn spec(bench: &Bench, recipe: &str, mode: Mode, set_options: SetOptions) -> JobSpec {
    JobSpec {
        mode,
        set_options,
        ..bench.spec(recipe, 30, OnFailure::Skip).await
    }
}

/// The set as EC2 has it.
async fn set(bench: &Bench, view: &JobView) -> Vec<Snapshot> {
    bench
        .ops
        .session
        .snapshots_of_job(&view.spec.job)
        .await
        .unwrap()
}

async fn data_volume(bench: &Bench, recipe: &str) -> VolumeId {
    let instance = bench.instance(recipe).await;
    instance.data_volumes().next().unwrap().volume.clone()
}

async fn tag(bench: &Bench, volume: &VolumeId, pairs: &[(&str, &str)]) {
    let tags: Tags = pairs.iter().copied().collect();
    bench
        .ops
        .session
        .set_tags(volume.as_str(), &tags)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_volume_with_fifty_tags_is_backed_up_and_what_is_left_off_is_told() {
    for mode in MODES {
        let bench = bench().await;
        let volume = data_volume(&bench, "linux-filesystem").await;
        {
            let mut world = bench.lab.world_of(REGION);
            let own = &mut world.volumes.get_mut(volume.as_str()).unwrap().tags;
            own.retain(|key, _| !key.starts_with("aws:"));
            for n in own.len()..50 {
                own.insert(format!("zz{n:02}"), "x".to_owned());
            }
            own.insert("aws:cloudformation:stack-name".to_owned(), "s".to_owned());
        }
        let options = SetOptions {
            keep_tags: vec!["zz49".to_owned()],
            tags: [("CostCenter", "4711")].into_iter().collect(),
            ..SetOptions::default()
        };
        let view = bench
            .run(spec(&bench, "linux-filesystem", mode, options).await)
            .await;
        assert_eq!(view.verdict, Some(Verdict::Filesystem), "{view:#?}");
        for made in set(&bench, &view).await {
            assert_eq!(
                made.tags.get("CostCenter"),
                Some("4711"),
                "{mode} {}",
                made.id
            );
            assert!(made.tags.0.len() <= tags::MAX_TAGS);
            assert!(made.verified_level().is_some() && made.tags.get(tags::VOLUME).is_some());
            let of = bench.lab.world_of(REGION).volumes[made.volume.as_str()]
                .tags
                .clone();
            if made.volume == volume {
                // The place of the mark of a volume without the database stays free.
                assert_eq!(made.tags.0.len(), tags::MAX_TAGS - 1);
                assert_eq!(made.tags.get("zz49"), Some("x"), "it is on the list");
                assert_eq!(made.tags.get("zz48"), None);
            } else {
                // The others lose nothing by it.
                let kept = |key: &str| key.starts_with("aws:") || made.tags.get(key).is_some();
                assert!(of.keys().all(|key| kept(key)), "{of:?} {:?}", made.tags);
            }
        }
        let told = view.set_plan.as_ref().unwrap().notes().join("\n");
        assert!(
            told.contains(volume.as_str()) && told.contains("zz48"),
            "{told}"
        );
        bench.nothing_frozen(&view.spec.instance);
    }
}

#[tokio::test(start_paused = true)]
async fn volumes_left_out_are_in_no_call_and_the_level_stays_true() {
    for mode in MODES {
        let bench = bench().await;
        let instance = bench.instance("linux-mysql").await;
        let options = SetOptions {
            exclude_root: true,
            ..SetOptions::default()
        };
        let view = bench
            .run(spec(&bench, "linux-mysql", mode, options).await)
            .await;
        assert_eq!(view.verdict, Some(Verdict::Application), "{view:#?}");
        let made = set(&bench, &view).await;
        assert_eq!(made.len(), instance.devices.len() - 1);
        assert!(
            made.iter()
                .all(|s| Some(&s.volume) != instance.root_volume())
        );
        let size = made.len().to_string();
        assert!(
            made.iter()
                .all(|s| s.tags.get(tags::SET_SIZE) == Some(&size))
        );
        assert_eq!(view.evidence.left_out[0].by, LeftOutBy::Root);
        let one_call = view
            .evidence
            .links
            .iter()
            .find(|l| l.name.as_str() == "one-call");
        let seen = &one_call.unwrap().seen;
        assert!(
            seen.contains("not in the set: vol-") && seen.contains("--exclude-root"),
            "{seen}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_without_the_database_is_refused_before_anything_is_frozen() {
    for mode in MODES {
        let bench = bench().await;
        let instance = bench.instance("linux-mysql").await;
        for device in instance.data_volumes() {
            tag(&bench, &device.volume, &[(tags::EXCLUDE, "yes")]).await;
        }
        let view = bench
            .run(spec(&bench, "linux-mysql", mode, SetOptions::default()).await)
            .await;
        assert_eq!(view.verdict, Some(Verdict::Skipped), "{view:#?}");
        let error = view.error.unwrap();
        assert!(error.cause.contains("left out of the set"), "{error}");
        assert!(
            error
                .hint
                .contains("remove the tag freezeframe:exclude from vol-"),
            "{error}"
        );
        assert_eq!(bench.calls("SendCommand"), 1, "the dry run only");
        bench.nothing_frozen(&instance.id);
    }
}

/// A copy that a restore attached beside the data stays out of later sets, and goes in where that was asked for, announced.
#[tokio::test(start_paused = true)]
async fn a_restored_copy_enters_later_sets_only_where_that_was_asked_for() {
    for in_sets in [false, true] {
        let bench = bench().await;
        let first = bench
            .run(
                spec(
                    &bench,
                    "linux-mysql",
                    Mode::Coordinated,
                    SetOptions::default(),
                )
                .await,
            )
            .await;
        assert_eq!(first.verdict, Some(Verdict::Application), "{first:#?}");
        let request = RestoreRequest {
            in_sets,
            mount_under: Some("/restore".to_owned()),
            ..RestoreRequest::new(first.spec.job.clone(), first.spec.instance.clone())
        };
        let plan = restore::plan(&bench.ops, &request).await.unwrap();
        let twins: usize = plan.items.iter().map(|i| i.same_filesystems.len()).sum();
        assert_eq!(
            twins,
            plan.items.len(),
            "each meets its source: {:#?}",
            plan.warnings
        );
        let done = restore::run(&bench.ops, plan, &listened()).await.unwrap();
        assert!(
            done.items.iter().all(|i| i.state == StepState::Done),
            "{done:#?}"
        );
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let second = bench
            .run(
                spec(
                    &bench,
                    "linux-mysql",
                    Mode::Coordinated,
                    SetOptions::default(),
                )
                .await,
            )
            .await;
        assert_eq!(second.phase, Phase::Done);
        assert_eq!(second.verdict, Some(Verdict::Application), "{second:#?}");
        let more = if in_sets { done.items.len() } else { 0 };
        assert_eq!(second.set.len(), first.set.len() + more);
        let told = second.set_plan.as_ref().unwrap().notes().join("\n");
        let word = if in_sets {
            "is a restored copy, made from snap-"
        } else {
            "not in the set: vol-"
        };
        assert!(told.contains(word), "{told}");
    }
}

/// What a volume was is on its snapshot: a restore makes the same again when the volume is long gone.
#[tokio::test(start_paused = true)]
async fn performance_survives_the_source_volume() {
    for mode in MODES {
        let bench = bench().await;
        let volume = data_volume(&bench, "linux-filesystem").await;
        {
            let mut world = bench.lab.world_of(REGION);
            let own = world.volumes.get_mut(volume.as_str()).unwrap();
            own.iops = Some(6_000);
            own.throughput = Some(400);
        }
        let view = bench
            .run(spec(&bench, "linux-filesystem", mode, SetOptions::default()).await)
            .await;
        assert_eq!(view.verdict, Some(Verdict::Filesystem), "{view:#?}");
        let instance = view.spec.instance.clone();
        {
            let mut world = bench.lab.world_of(REGION);
            world.volumes.remove(volume.as_str());
            let devices = &mut world
                .instances
                .get_mut(instance.as_str())
                .unwrap()
                .block_devices;
            devices.retain(|device| device.volume != volume.as_str());
        }
        let all = inventory::read(&bench.ops).await.unwrap();
        assert!(all.volume(&volume).is_none());
        let request = RestoreRequest::new(view.spec.job.clone(), instance);
        let plan = restore::plan(&bench.ops, &request).await.unwrap();
        let item = plan.items.iter().find(|i| i.source == volume).unwrap();
        assert_eq!(
            item.performance(),
            "gp3, 6000 IOPS, 400 MiB/s (as recorded with the set)"
        );
        assert!(
            plan.calls[0].cli.contains("--iops 6000 --throughput 400"),
            "{}",
            plan.calls[0].cli
        );
    }
}
