//! What a world's file may not say: values with which the lab would answer what AWS never answers.

use std::collections::BTreeSet;

use super::model::{InstanceState, Platform, VolumeType};
use super::spec::{InstanceSpec, LooseVolumeSpec, VolumeSpecToml, WorldSpec};
use crate::ec2::{self, Kind};
use crate::place::Step;
use crate::throttle::Rate;

/// The longest that a command may take to its instance: an hour.
const LATENCY_MS: u64 = 3_600_000;
/// The most calls that a bucket may hold, or get in a second.
const RATE: f64 = 1_000_000.0;

/// A value that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection<'a> {
    /// Where it stands in the file.
    pub at: Vec<Step<'a>>,
    /// Whose value it is and what is wrong with it.
    pub message: String,
    pub hint: String,
}

/// What is looked at: where it stands, and what it is called in messages.
struct Part<'a> {
    at: Vec<Step<'a>>,
    name: String,
}

impl<'a> Part<'a> {
    fn refuse(&self, key: &'a str, wrong: &str, hint: &str) -> Result<(), Objection<'a>> {
        let mut at = self.at.clone();
        at.extend(key.split('.').map(Step::Key));
        Err(Objection {
            at,
            message: format!("{}: `{key}` {wrong}", self.name),
            hint: hint.to_owned(),
        })
    }
}

/// Ids that were met. Each stands for one thing.
type Ids<'a> = BTreeSet<&'a str>;

/// The first value that no AWS could have.
pub fn objection(spec: &WorldSpec) -> Option<Objection<'_>> {
    world(spec).err()
}

fn world(spec: &WorldSpec) -> Result<(), Objection<'_>> {
    let mut ids = Ids::new();
    for (n, instance) in spec.instances.iter().enumerate() {
        let part = Part {
            at: vec![Step::Key("instance"), Step::Nth(n)],
            name: format!("instance {}", instance.name),
        };
        check_instance(&part, instance, &mut ids)?;
    }
    for (n, volume) in spec.volumes.iter().enumerate() {
        let name = volume.id.clone();
        let part = Part {
            at: vec![Step::Key("volume"), Step::Nth(n)],
            name: name.map_or_else(
                || format!("loose volume {}", n + 1),
                |id| format!("loose volume {id}"),
            ),
        };
        loose(&part, volume, &mut ids)?;
    }
    for (bucket, rate) in [("ask", spec.ssm_rates.ask), ("send", spec.ssm_rates.send)] {
        let part = Part {
            at: vec![Step::Key("ssm_rates"), Step::Key(bucket)],
            name: format!("ssm_rates.{bucket}"),
        };
        calls(&part, rate)?;
    }
    Ok(())
}

fn calls<'a>(part: &Part<'a>, Rate { size, refill }: Rate) -> Result<(), Objection<'a>> {
    if !(1.0..=RATE).contains(&size) {
        let wrong = format!("is {size}: no call would ever pass, or none be held back");
        return part.refuse("size", &wrong, "give 1 to 1000000 calls at once");
    }
    if !(0.001..=RATE).contains(&refill) {
        let wrong = format!("is {refill}: an empty bucket would never fill, or never be empty");
        return part.refuse("refill", &wrong, "give 0.001 to 1000000 calls per second");
    }
    Ok(())
}

fn check_instance<'a>(
    part: &Part<'a>,
    spec: &'a InstanceSpec,
    ids: &mut Ids<'a>,
) -> Result<(), Objection<'a>> {
    id(part, spec.id.as_deref(), Kind::Instance, ids)?;
    zone(part, &spec.az)?;
    if !matches!(spec.state, InstanceState::Running | InstanceState::Stopped) {
        let wrong = format!("is {}: it would never settle", spec.state);
        return part.refuse("state", &wrong, "begin with `running` or `stopped`");
    }
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !spec
        .instance_type
        .split_once('.')
        .is_some_and(|(family, size)| word(family) && word(size))
    {
        let wrong = format!("is `{}`, which is no instance type", spec.instance_type);
        return part.refuse(
            "type",
            &wrong,
            "give a family and a size, such as `m6i.large`",
        );
    }
    if let Some(version) = &spec.agent_version
        && !(version.contains('.') && version.split('.').all(|n| n.parse::<u32>().is_ok()))
    {
        let wrong = format!("is `{version}`, which is no version of the agent");
        return part.refuse(
            "agent_version",
            &wrong,
            "give numbers, such as `3.3.2299.0`",
        );
    }
    if spec.command_latency_ms > LATENCY_MS {
        let wrong = format!("is {} ms", spec.command_latency_ms);
        return part.refuse(
            "command_latency_ms",
            &wrong,
            "give at most 3600000, an hour",
        );
    }
    tags(part, &spec.tags)?;
    if let Some(other) = spec.tags.get("Name").filter(|name| **name != spec.name) {
        let wrong = format!("is `{other}`, and `name` is `{}`", spec.name);
        return part.refuse(
            "tags.Name",
            &wrong,
            "leave one out: `name` becomes the tag `Name`",
        );
    }
    if spec.volumes.is_empty() {
        return part.refuse(
            "volume",
            "is empty",
            "give it a volume: the first one is its root",
        );
    }
    if spec.volumes.len() > ec2::ATTACHMENTS_LIMIT {
        let wrong = format!("has {} entries", spec.volumes.len());
        let hint = format!(
            "an instance takes at most {} volumes",
            ec2::ATTACHMENTS_LIMIT
        );
        return part.refuse("volume", &wrong, &hint);
    }
    let (mut devices, mut mounts) = (BTreeSet::new(), BTreeSet::new());
    for (n, volume) in spec.volumes.iter().enumerate() {
        let mut at = part.at.clone();
        at.extend([Step::Key("volume"), Step::Nth(n)]);
        let part = Part {
            at,
            name: format!("instance {}, volume {}", spec.name, volume.device),
        };
        if !devices.insert(volume.device.as_str()) {
            return part.refuse(
                "device",
                "is used twice",
                "give each volume a device of its own",
            );
        }
        attached(&part, spec.platform, volume, n == 0, ids)?;
        if let Some(mount) = volume.mount.as_deref()
            && !mounts.insert(mount)
        {
            let wrong = format!("is `{mount}`, where another volume is mounted");
            return part.refuse("mount", &wrong, "mount each volume in a place of its own");
        }
    }
    Ok(())
}

fn attached<'a>(
    part: &Part<'a>,
    platform: Platform,
    spec: &'a VolumeSpecToml,
    root: bool,
    ids: &mut Ids<'a>,
) -> Result<(), Objection<'a>> {
    id(part, spec.id.as_deref(), Kind::Volume, ids)?;
    if !ec2::valid_device(platform, &spec.device) {
        let hint = match platform {
            Platform::Linux => {
                "name one that EC2 takes: /dev/xvda or /dev/sda1 for the root, /dev/sdf to /dev/sdp for others"
            }
            Platform::Windows => {
                "name one that EC2 takes: /dev/sda1 for the root, xvdf to xvdp for others"
            }
        };
        return part.refuse("device", "is no device name of EC2 for this platform", hint);
    }
    disk(
        part,
        spec.volume_type,
        spec.size,
        spec.iops,
        spec.throughput,
    )?;
    let known: &[&str] = match platform {
        Platform::Linux => &["ext4", "xfs", "btrfs"],
        Platform::Windows => &["ntfs"],
    };
    if let Some(fs) = spec.fs.as_deref().filter(|fs| !known.contains(fs)) {
        let wrong = format!("is `{fs}`, which the lab's instances of this platform do not have");
        return part.refuse("fs", &wrong, &format!("give {}", known.join(", ")));
    }
    if let Some(mount) = spec.mount.as_deref() {
        if spec.fs.is_none() {
            return part.refuse(
                "mount",
                "is given and `fs` is not",
                "give the filesystem too, or neither",
            );
        }
        let (good, hint) = match platform {
            Platform::Linux => (
                is_mount_point(mount),
                "give a path from `/` on, without `.`, `..` or a last `/`",
            ),
            Platform::Windows => (
                matches!(mount.as_bytes(), [b'A'..=b'Z', b':']),
                "give a drive, such as `D:`",
            ),
        };
        if !good {
            return part.refuse(
                "mount",
                &format!("is `{mount}`, where nothing is mounted"),
                hint,
            );
        }
        if (mount == "/" || mount == "C:") != root {
            let wrong = format!("is `{mount}`");
            let hint =
                "mount the first volume, the root, at `/` (Windows: `C:`), and no other there";
            return part.refuse("mount", &wrong, hint);
        }
    }
    tags(part, &spec.tags)
}

fn is_mount_point(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|name| {
                !matches!(name, "" | "." | "..")
                    && name.len() <= 255
                    && !name.chars().any(char::is_control)
            })
        })
}

fn loose<'a>(
    part: &Part<'a>,
    spec: &'a LooseVolumeSpec,
    ids: &mut Ids<'a>,
) -> Result<(), Objection<'a>> {
    id(part, spec.id.as_deref(), Kind::Volume, ids)?;
    zone(part, &spec.az)?;
    disk(
        part,
        spec.volume_type,
        spec.size,
        spec.iops,
        spec.throughput,
    )?;
    tags(part, &spec.tags)
}

fn id<'a>(
    part: &Part<'a>,
    given: Option<&'a str>,
    kind: Kind,
    ids: &mut Ids<'a>,
) -> Result<(), Objection<'a>> {
    let Some(given) = given else { return Ok(()) };
    if let Err(error) = kind.check(given) {
        let wrong = format!("is refused by EC2: {}", error.message);
        return part.refuse(
            "id",
            &wrong,
            "give 8 or 17 hexadecimal digits in lower case behind the prefix, or leave it out",
        );
    }
    if !ids.insert(given) {
        let wrong = format!("is `{given}`, which something else in this file has");
        return part.refuse("id", &wrong, "give each its own id, or leave it out");
    }
    Ok(())
}

fn zone<'a>(part: &Part<'a>, az: &str) -> Result<(), Objection<'a>> {
    match az {
        "a" | "b" | "c" => Ok(()),
        _ => part.refuse(
            "az",
            &format!("is `{az}`"),
            "give the zone's letter: a, b or c",
        ),
    }
}

fn disk<'a>(
    part: &Part<'a>,
    volume_type: VolumeType,
    size: u32,
    iops: Option<u32>,
    throughput: Option<u32>,
) -> Result<(), Objection<'a>> {
    match ec2::speed(volume_type, size, iops, throughput) {
        Ok(_) => Ok(()),
        Err(unfit) => {
            let wrong = format!("is refused by EC2: {}", unfit.error.message);
            part.refuse(
                unfit.member,
                &wrong,
                "give what CreateVolume takes for this type",
            )
        }
    }
}

fn tags<'a>(part: &Part<'a>, tags: &super::Tags) -> Result<(), Objection<'a>> {
    if let Err(error) = ec2::fit_for_aws(tags) {
        let wrong = format!("are refused by EC2: {}", error.message);
        return part.refuse(
            "tags",
            &wrong,
            "give at most 50, keys of 1 to 128 characters, values of up to 256",
        );
    }
    Ok(())
}
