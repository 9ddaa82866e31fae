//! From a world's file, a seed and the present to a world: the same three make the same world.

mod fleet;
mod oddities;
mod past;

use chrono::{DateTime, Utc};

use super::world::{World, WorldSpec};

/// Builds the home region's world.
pub fn world(
    spec: &WorldSpec,
    seed: u64,
    account: &str,
    region: &str,
    now: DateTime<Utc>,
) -> World {
    let mut world = World::empty(account, region, now, seed);
    let instances = fleet::build(&mut world, spec);
    if spec.history_days > 0 {
        past::build(&mut world, spec, &instances);
    }
    if spec.oddities {
        oddities::build(&mut world);
    }
    world
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::world::{AgentStatus, InstanceState, Platform, SnapshotState, VolumeState};

    fn base() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-21T04:00:00Z")
            .unwrap()
            .with_timezone(&Utc)
    }

    fn default_world(seed: u64) -> World {
        world(
            &WorldSpec::default_world().unwrap(),
            seed,
            "123456789012",
            "eu-central-1",
            base(),
        )
    }

    #[test]
    fn the_default_fleet_has_what_a_newcomer_should_meet() {
        let world = default_world(7);
        assert!(world.instances.len() >= 14, "{}", world.instances.len());
        assert!(world.volumes.len() >= 32, "{}", world.volumes.len());
        assert_eq!(
            world
                .instances
                .values()
                .map(|i| &i.az)
                .collect::<BTreeSet<_>>()
                .len(),
            3
        );
        assert!(
            world
                .instances
                .values()
                .filter(|i| i.platform == Platform::Windows)
                .count()
                >= 2
        );
        assert!(
            world
                .instances
                .values()
                .any(|i| i.state == InstanceState::Stopped)
        );
        assert!(
            world
                .instances
                .values()
                .any(|i| i.agent.status == AgentStatus::ConnectionLost)
        );
        assert!(
            world
                .instances
                .values()
                .any(|i| i.state == InstanceState::Running && i.agent.status == AgentStatus::None)
        );
        assert!(
            world
                .instances
                .values()
                .any(|i| !i.tags.contains_key("ConsistentSnapshot"))
        );
        assert!(
            world
                .volumes
                .values()
                .any(|v| v.state == VolumeState::Available)
        );
        assert!(world.volumes.values().any(|v| v.encrypted));
        for volume in world
            .volumes
            .values()
            .filter(|volume| volume.attached_to.is_some())
        {
            assert!(world.attachment(volume).is_some(), "{}", volume.id);
        }
    }

    #[test]
    fn the_past_is_long_mixed_and_of_the_right_size() {
        let world = default_world(7);
        let count = world.snapshots.len();
        assert!((1_500..=2_500).contains(&count), "{count}");
        let with = |key: &str| {
            world
                .snapshots
                .values()
                .filter(|s| s.tags.contains_key(key))
                .count()
        };
        for key in [
            "freezeframe:job",
            "aws:dlm:lifecycle-policy-id",
            "aws:backup:source-resource",
        ] {
            assert!(with(key) > 20, "{key}: {}", with(key));
        }
        for state in [SnapshotState::Pending, SnapshotState::Error] {
            assert!(
                world.snapshots.values().any(|s| s.state == state),
                "{state}"
            );
        }
        let oldest = world.snapshots.values().map(|s| s.start).min().unwrap();
        assert!((base() - oldest).num_days() > 350);
        assert!(world.snapshots.values().all(|s| s.start <= base()));
        assert!(world.images.values().any(|i| {
            i.mappings
                .iter()
                .all(|(_, id)| world.snapshots.contains_key(id))
        }));
        assert!(
            world
                .snapshots
                .values()
                .any(|s| s.owner == world.account && !world.volumes.contains_key(&s.volume))
        );
    }

    #[test]
    fn our_sets_are_whole_and_their_roots_are_crash() {
        let world = default_world(7);
        let mut sets: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for snapshot in world.snapshots.values() {
            if let Some(job) = snapshot.tags.get("freezeframe:job") {
                sets.entry(job).or_default().push(snapshot);
            }
        }
        assert!(sets.len() > 300);
        for (job, members) in sets {
            let size: usize = members[0].tags["freezeframe:set-size"].parse().unwrap();
            assert_eq!(size, members.len(), "{job}");
            assert_eq!(
                members
                    .iter()
                    .map(|s| s.start)
                    .collect::<BTreeSet<_>>()
                    .len(),
                1,
                "{job}"
            );
            for member in members {
                let instance = &world.instances[&member.tags["freezeframe:instance"]];
                if member.tags["freezeframe:device"] == instance.root_device_name
                    && member.state == SnapshotState::Completed
                {
                    assert!(
                        matches!(
                            member.tags["freezeframe:level"].as_str(),
                            "crash" | "pending"
                        ),
                        "{job}"
                    );
                }
            }
        }
    }

    /// What a job publishes of a volume that it did not freeze has no freeze in it.
    #[test]
    fn the_past_has_no_freeze_of_a_root_volume() {
        let world = default_world(7);
        let freezes = world.cloudwatch.drives("FreezeDuration");
        let sizes = world.cloudwatch.drives("Size");
        let is_root =
            |(server, drive): &(String, String)| world.instances[server].root_device_name == *drive;
        assert!(sizes.iter().any(is_root), "{sizes:?}");
        assert!(
            !freezes.is_empty() && !freezes.iter().any(is_root),
            "{freezes:?}"
        );
    }

    /// Three servers of one name each have a past of their own.
    #[test]
    fn instances_of_one_name_each_have_their_past() {
        let one = "[[instance]]\nname = \"web\"\npast = \"freezeframe\"\n[[instance.volume]]\ndevice = \"/dev/xvda\"\nsize = 8\n";
        let text = format!("name = \"x\"\nhistory_days = 3\n{}", one.repeat(3));
        let spec = WorldSpec::parse(&text).unwrap();
        let world = world(&spec, 7, "123456789012", "eu-central-1", base());
        let with_past: BTreeSet<&str> = world
            .snapshots
            .values()
            .map(|snapshot| snapshot.tags["freezeframe:instance"].as_str())
            .collect();
        assert_eq!(with_past.len(), 3, "{with_past:?}");
    }

    #[test]
    fn a_seed_replays_and_another_differs() {
        let (one, two, other) = (default_world(7), default_world(7), default_world(8));
        assert_eq!(one.snapshots, two.snapshots);
        assert_eq!(one.volumes, two.volumes);
        assert_eq!(one.instances, two.instances);
        assert_ne!(
            one.volumes.keys().collect::<Vec<_>>(),
            other.volumes.keys().collect::<Vec<_>>()
        );
    }
}
