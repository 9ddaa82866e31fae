//! Instances and volumes as the world's file says.

use std::time::Duration;

use chrono::DurationRound as _;

use crate::ec2::{default_iops, derived};
use crate::world::spec::{InstanceSpec, VolumeSpecToml};
use crate::world::{
    AgentSpec, AgentStatus, AttachmentState, BlockDevice, Image, Instance, InstanceState,
    MountSpec, Platform, Tags, Volume, VolumeState, VolumeType, World, WorldSpec,
};

/// The present, to the whole minute, so that listings look like a fleet and not like a program's start.
fn minute(world: &World) -> chrono::DateTime<chrono::Utc> {
    world
        .now
        .duration_trunc(chrono::Duration::minutes(1))
        .unwrap_or(world.now)
}

/// Fills an empty world; the ids of its instances in the file's order.
pub fn build(world: &mut World, spec: &WorldSpec) -> Vec<String> {
    let instances = spec.instances.iter().enumerate();
    let instances = instances
        .map(|(index, instance)| add_instance(world, instance, index))
        .collect();
    for loose in &spec.volumes {
        let id = loose.id.clone().unwrap_or_else(|| world.new_id("vol"));
        let age = chrono::Duration::days(world.rng.i64(20..300));
        let key = loose.encrypted.then(|| kms_key(world));
        let volume = Volume {
            id: id.clone(),
            state: VolumeState::Available,
            size_gib: loose.size,
            volume_type: loose.volume_type,
            iops: loose
                .iops
                .or_else(|| default_iops(loose.volume_type, loose.size)),
            throughput: throughput(loose.volume_type, loose.throughput),
            encrypted: loose.encrypted,
            kms_key: key,
            az: format!("{}{}", world.region, loose.az),
            created: minute(world) - age,
            snapshot: None,
            tags: loose.tags.clone(),
            attached_to: None,
            last_snapshot: None,
            filesystem: None,
            client_token: None,
        };
        world.volumes.insert(id, volume);
    }
    instances
}

fn throughput(volume_type: VolumeType, said: Option<u32>) -> Option<u32> {
    (volume_type == VolumeType::Gp3).then(|| said.unwrap_or(125))
}

fn kms_key(world: &World) -> String {
    format!(
        "arn:aws:kms:{}:{}:key/1ab5eed0-0000-4000-8000-000000000001",
        world.region, world.account
    )
}

fn add_instance(world: &mut World, spec: &InstanceSpec, index: usize) -> String {
    let id = spec.id.clone().unwrap_or_else(|| world.new_id("i"));
    let launched = minute(world)
        - chrono::Duration::days(world.rng.i64(370..900))
        - chrono::Duration::minutes(world.rng.i64(0..1440));
    let mut tags: Tags = spec.tags.clone();
    tags.entry("Name".into())
        .or_insert_with(|| spec.name.clone());
    let last_ping_age = match spec.agent {
        AgentStatus::Online => Duration::from_secs(world.rng.u64(5..240)),
        AgentStatus::ConnectionLost => Duration::from_secs(26 * 3600 + world.rng.u64(..3600)),
        AgentStatus::None => Duration::ZERO,
    };
    let mut instance = Instance {
        id: id.clone(),
        reservation: world.new_id("r"),
        state: spec.state,
        platform: spec.platform,
        instance_type: spec.instance_type.clone(),
        image: world.new_id("ami"),
        region: world.region.clone(),
        az: format!("{}{}", world.region, spec.az),
        created: launched,
        launch_time: launched,
        stopped: None,
        private_ip: format!(
            "10.0.{}.{}",
            spec.az.bytes().next().unwrap_or(b'a') - b'a',
            10 + index % 240
        ),
        tags,
        root_device_name: spec
            .volumes
            .first()
            .map(|root| root.device.clone())
            .unwrap_or_default(),
        block_devices: Vec::new(),
        agent: AgentSpec {
            status: if spec.agent_dies {
                AgentStatus::ConnectionLost
            } else {
                spec.agent
            },
            lost: spec.agent_dies.then_some(world.now),
            version: spec
                .agent_version
                .clone()
                .unwrap_or_else(|| "3.3.2299.0".into()),
            last_ping_age,
        },
        mounts: Vec::new(),
        engine: spec.engine,
        role: spec.role,
        command_latency_ms: spec.command_latency_ms,
    };
    for (at, volume) in spec.volumes.iter().enumerate() {
        add_volume(world, &mut instance, volume, at == 0);
    }
    if instance.state == InstanceState::Stopped {
        instance.stopped = Some(last_stopped(world, &instance));
    }
    let root = spec.volumes.first().map_or(8, |root| root.size);
    let image = image(&instance, index, root);
    world.images.insert(image.id.clone(), image);
    world.instances.insert(instance.id.clone(), instance);
    id
}

/// Some weeks ago, the same moment for the same instance: no dice, which would move every id that comes after.
fn last_stopped(world: &World, instance: &Instance) -> chrono::DateTime<chrono::Utc> {
    let sum = instance
        .id
        .bytes()
        .fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 50_000);
    minute(world) - chrono::Duration::days(3) - chrono::Duration::minutes(sum)
}

/// The public image that an instance was launched from.
fn image(instance: &Instance, index: usize, root_gib: u32) -> Image {
    let created = instance.created - chrono::Duration::days(6);
    let (name, description, owner) = match instance.platform {
        Platform::Linux => {
            let release = format!("2023.6.{}.{index}", created.format("%Y%m%d"));
            (
                format!("al2023-ami-{release}-kernel-6.1-x86_64"),
                format!("Amazon Linux 2023 AMI {release} x86_64 HVM kernel-6.1"),
                "137112412989",
            )
        }
        Platform::Windows => (
            format!(
                "Windows_Server-2022-English-Full-Base-{}",
                created.format("%Y.%m.%d")
            ),
            "Microsoft Windows Server 2022 Full Locale English AMI provided by Amazon".to_owned(),
            "801119661308",
        ),
    };
    Image {
        id: instance.image.clone(),
        name,
        description,
        owner: owner.to_owned(),
        owner_alias: Some("amazon".to_owned()),
        public: true,
        platform: instance.platform,
        created,
        state: "available".to_owned(),
        deprecated: false,
        root_device_name: instance.root_device_name.clone(),
        mappings: vec![(
            instance.root_device_name.clone(),
            image_snapshot_id(&instance.image),
        )],
        size_gib: root_gib.min(if instance.platform == Platform::Windows {
            30
        } else {
            8
        }),
        tags: Tags::new(),
        source_instance: None,
    }
}

/// Derives the id of the snapshot from which a generated root volume was made.
fn image_snapshot_id(image: &str) -> String {
    derived("snap", image)
}

fn add_volume(world: &mut World, instance: &mut Instance, spec: &VolumeSpecToml, root: bool) {
    let id = spec.id.clone().unwrap_or_else(|| world.new_id("vol"));
    let mut tags = spec.tags.clone();
    let name = instance.tags.get("Name").cloned().unwrap_or_default();
    let part = if root {
        "root".to_owned()
    } else {
        spec.mount.clone().unwrap_or_else(|| spec.device.clone())
    };
    tags.entry("Name".into())
        .or_insert_with(|| format!("{name} {part}"));
    let key = spec.encrypted.then(|| kms_key(world));
    instance.block_devices.push(BlockDevice {
        device: spec.device.clone(),
        volume: id.clone(),
        delete_on_termination: root,
        state: AttachmentState::Attached,
        attach_time: instance.launch_time,
    });
    if let (Some(mount), Some(fs)) = (&spec.mount, &spec.fs) {
        instance.mounts.push(MountSpec {
            mount: mount.clone(),
            volume: id.clone(),
            fs: fs.clone(),
        });
    }
    let volume = Volume {
        id: id.clone(),
        state: VolumeState::InUse,
        size_gib: spec.size,
        volume_type: spec.volume_type,
        iops: spec
            .iops
            .or_else(|| default_iops(spec.volume_type, spec.size)),
        throughput: throughput(spec.volume_type, spec.throughput),
        encrypted: spec.encrypted,
        kms_key: key,
        az: instance.az.clone(),
        created: instance.launch_time,
        snapshot: root.then(|| image_snapshot_id(&instance.image)),
        tags,
        attached_to: Some(instance.id.clone()),
        last_snapshot: None,
        filesystem: spec.fs.clone(),
        client_token: None,
    };
    world.volumes.insert(id, volume);
}
