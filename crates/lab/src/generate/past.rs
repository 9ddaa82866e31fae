//! The past: what this fleet's snapshots would look like if the world had run before it was opened.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Duration, DurationRound as _, Utc};

use crate::cloudwatch::BackupPoint;
use crate::world::spec::Past;
use crate::world::{
    BlockDevice, Instance, Snapshot, SnapshotState, Tags, Volume, VolumeType, World, WorldSpec,
};

/// Takes the past of every instance that has one.
pub fn build(world: &mut World, spec: &WorldSpec, instances: &[String]) {
    for (instance_spec, id) in spec.instances.iter().zip(instances) {
        let Some(instance) = world.instances.get(id).cloned() else {
            continue;
        };
        match instance_spec.past {
            Past::None => {}
            Past::Freezeframe => ours(world, &instance, spec.history_days),
            Past::Dlm => daily(world, &instance, spec.history_days.min(30), Manager::Dlm),
            Past::Backup => daily(world, &instance, spec.history_days.min(35), Manager::Backup),
            Past::Manual => manual(world, &instance, spec.history_days),
        }
    }
}

/// Moments of sets, newest first: every four hours for two days, daily for sixty, weekly to the end.
fn thinned(now: DateTime<Utc>, days: u32) -> Vec<DateTime<Utc>> {
    let hour = now.duration_trunc(Duration::hours(1)).unwrap_or(now);
    let night = now.duration_trunc(Duration::days(1)).unwrap_or(now) + Duration::hours(2);
    let mut moments: Vec<DateTime<Utc>> =
        (0..12).map(|n| hour - Duration::hours(4 * n + 1)).collect();
    moments.extend((2..60).map(|n| night - Duration::days(n)));
    let first_sunday = night
        - Duration::days(
            60 + i64::from(
                (night - Duration::days(60))
                    .weekday()
                    .num_days_from_sunday(),
            ),
        );
    moments.extend((0..53).map(|n| first_sunday - Duration::weeks(n)));
    moments.retain(|at| (now - *at).num_days() <= i64::from(days));
    moments
}

/// One snapshot in the books, finished.
pub fn finished(
    world: &mut World,
    volume: &Volume,
    start: DateTime<Utc>,
    description: String,
    tags: Tags,
) -> Snapshot {
    let percent = 30 + u64::from(volume.id.bytes().last().unwrap_or_default()) % 40;
    Snapshot {
        id: world.new_id("snap"),
        volume: volume.id.clone(),
        volume_size_gib: volume.size_gib,
        state: SnapshotState::Completed,
        state_message: None,
        start,
        completes: start + Duration::seconds(world.rng.i64(25..600)),
        owner: world.account.clone(),
        owner_alias: None,
        description,
        encrypted: volume.encrypted,
        kms_key: volume.kms_key.clone(),
        full_size_bytes: (u64::from(volume.size_gib) << 30) / 100 * percent,
        tags,
        public: false,
        shared_with: Vec::new(),
        lock: None,
        fast_restore: Vec::new(),
        deleted_while_pending: false,
    }
}

fn members(world: &World, instance: &Instance) -> Vec<(BlockDevice, Volume)> {
    let of = |device: &BlockDevice| {
        world
            .volumes
            .get(&device.volume)
            .map(|volume| (device.clone(), volume.clone()))
    };
    instance.block_devices.iter().filter_map(of).collect()
}

/// Recipe that the instance's tag names, and the level that it proves.
fn recipe(instance: &Instance) -> (&'static str, &'static str) {
    match instance.tags.get("ConsistentSnapshot").map(String::as_str) {
        Some("linux-mysql" | "AmazonLinuxMySQL") => ("linux-mysql", "application"),
        Some("linux-postgresql") => ("linux-postgresql", "application"),
        Some("WindowsVSS" | "windows-vss") => ("windows-vss", "application"),
        _ => ("linux-filesystem", "filesystem"),
    }
}

fn ours(world: &mut World, instance: &Instance, days: u32) {
    let (recipe, proven) = recipe(instance);
    let mut points: BTreeMap<String, Vec<BackupPoint>> = BTreeMap::new();
    // EC2 counts failed snapshots as open ones: one per volume is enough of a past, and too much for a throughput volume.
    let mut may_fail = members(world, instance)
        .iter()
        .all(|(_, volume)| !matches!(volume.volume_type, VolumeType::St1 | VolumeType::Sc1));
    for (n, moment) in thinned(world.now, days).into_iter().enumerate() {
        let start = moment
            + Duration::seconds(world.rng.i64(5..290))
            + Duration::milliseconds(world.rng.i64(0..1000));
        let job = job_id(world);
        let frozen = world.rng.u32(280..2400);
        // Now and then the failsafe fired first, or the console died before it could label.
        let level = match (n, world.rng.u32(..60)) {
            (0 | 1, _) => proven,
            (_, 0) => "crash",
            (_, 1) => "pending",
            _ => proven,
        };
        let members = members(world, instance);
        let failed = may_fail && n > 12 && world.rng.u32(..60) == 0;
        may_fail &= !failed;
        for (device, volume) in &members {
            let root = device.device == instance.root_device_name;
            let level = if root && level != "pending" {
                "crash"
            } else {
                level
            };
            let mut tags = volume.tags.clone();
            // A recipe covers every volume but the root.
            let window = (!root).then(|| ("frozen-ms", frozen.to_string()));
            for (key, value) in window.into_iter().chain([
                ("job", job.clone()),
                ("level", level.to_owned()),
                ("recipe", recipe.to_owned()),
                ("instance", instance.id.clone()),
                ("device", device.device.clone()),
                ("set-size", members.len().to_string()),
            ]) {
                tags.insert(format!("freezeframe:{key}"), value);
            }
            let name = instance.tags.get("Name").map_or("", String::as_str);
            let mut snapshot = finished(
                world,
                volume,
                start,
                format!("freezeframe {name} {}", device.device),
                tags,
            );
            let own = snapshot.id.clone();
            snapshot.tags.insert("freezeframe:snapshot".into(), own);
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds and bytes of a snapshot fit in a double"
            )]
            let (elapsed, size) = (
                (snapshot.completes - start).num_seconds() as f64,
                snapshot.full_size_bytes as f64,
            );
            let errors = f64::from(u8::from(failed));
            points.entry(device.device.clone()).or_default().push((
                start,
                elapsed,
                size,
                errors,
                (!root).then(|| f64::from(frozen)),
            ));
            if failed {
                snapshot.state = SnapshotState::Error;
                snapshot
                    .tags
                    .insert("freezeframe:level".into(), "pending".into());
            }
            world.snapshots.insert(snapshot.id.clone(), snapshot);
        }
    }
    for (device, points) in points {
        world.cloudwatch.seed(&instance.id, &device, &points);
    }
}

fn job_id(world: &mut World) -> String {
    let bytes = world.rng.u128(..).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// Services that take a snapshot of every volume, every night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Dlm,
    Backup,
}

fn daily(world: &mut World, instance: &Instance, days: u32, manager: Manager) {
    let night = world
        .now
        .duration_trunc(Duration::days(1))
        .unwrap_or(world.now)
        + Duration::hours(3);
    let policy = format!(
        "policy-0{:016x}",
        u64::from(instance.id.bytes().fold(7_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        }))
    );
    for n in 1..=i64::from(days) {
        let start = night - Duration::days(n) + Duration::seconds(world.rng.i64(0..1800));
        for (device, volume) in members(world, instance) {
            let mut tags = volume.tags.clone();
            let description = match manager {
                Manager::Dlm => {
                    tags.insert("aws:dlm:lifecycle-policy-id".into(), policy.clone());
                    tags.insert("aws:dlm:lifecycle-schedule-name".into(), "nightly".into());
                    tags.insert("dlm:managed".into(), "true".into());
                    tags.insert("DeviceName".into(), device.device.clone());
                    tags.insert("instance-id".into(), instance.id.clone());
                    format!("Policy:{policy}:Instance:{}", instance.id)
                }
                Manager::Backup => {
                    let arn = format!(
                        "arn:aws:ec2:{}:{}:volume/{}",
                        world.region, world.account, volume.id
                    );
                    tags.insert("aws:backup:source-resource".into(), arn);
                    format!(
                        "This snapshot is created by the AWS Backup service for {}",
                        volume.id
                    )
                }
            };
            let snapshot = finished(world, &volume, start, description, tags);
            world.snapshots.insert(snapshot.id.clone(), snapshot);
        }
    }
}

fn manual(world: &mut World, instance: &Instance, days: u32) {
    let reasons = [
        "before upgrade",
        "before migration",
        "pre-release",
        "keep!",
        "",
    ];
    for n in 0..6_i64 {
        let back = Duration::days((n * n * 11 + 3).min(i64::from(days)))
            + Duration::minutes(world.rng.i64(0..900));
        let start = world.now - back;
        let reason = reasons[world.rng.usize(..reasons.len())];
        for (_, volume) in members(world, instance) {
            let snapshot = finished(world, &volume, start, reason.to_owned(), Tags::new());
            world.snapshots.insert(snapshot.id.clone(), snapshot);
        }
    }
}
