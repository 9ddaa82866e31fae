//! What a world's TOML file may say.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check;
use super::model::{AgentStatus, Engine, InstanceState, Platform, Role, VolumeType};
use crate::throttle::SsmRates;
use crate::{LabError, place};

/// A world as written down: the fleet, and how much past it has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldSpec {
    /// Shown on screen and answered by `GET /_lab`.
    pub name: String,
    /// Days of snapshots before now; 0 for a world without a past.
    #[serde(default)]
    pub history_days: u32,
    /// Special snapshots (pending, error, locked, shared, public, odd names …).
    #[serde(default)]
    pub oddities: bool,
    /// Its instances.
    #[serde(default, rename = "instance")]
    pub instances: Vec<InstanceSpec>,
    /// How fast Systems Manager lets the account call it, where the lab throttles.
    #[serde(default)]
    pub ssm_rates: SsmRates,
    /// Volumes that no instance has.
    #[serde(default, rename = "volume")]
    pub volumes: Vec<LooseVolumeSpec>,
}

/// Who took the snapshots of an instance's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Past {
    /// Nobody.
    #[default]
    None,
    /// Our own sets, thinned by age.
    Freezeframe,
    /// Data Lifecycle Manager, daily.
    Dlm,
    /// AWS Backup, daily.
    Backup,
    /// Now and then, by hand.
    Manual,
}

/// One instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// `i-…`; generated from the seed when absent.
    pub id: Option<String>,
    /// Becomes the `Name` tag.
    pub name: String,
    /// Letter of the zone, `a`, `b` or `c`.
    #[serde(default = "zone_a")]
    pub az: String,
    /// Its type.
    #[serde(default = "instance_type", rename = "type")]
    pub instance_type: String,
    /// Its operating system.
    #[serde(default = "linux")]
    pub platform: Platform,
    /// Where it is.
    #[serde(default = "running")]
    pub state: InstanceState,
    /// Its SSM agent.
    #[serde(default = "online")]
    pub agent: AgentStatus,
    /// Its agent died when the world began: it is called online for minutes more, and takes no command.
    #[serde(default)]
    pub agent_dies: bool,
    /// The agent's version.
    pub agent_version: Option<String>,
    /// The database on it.
    pub engine: Option<Engine>,
    /// `backup` may call CreateSnapshots, `bare` may not, `none` has no role.
    #[serde(default)]
    pub role: Role,
    /// Milliseconds from SendCommand to the start of a command.
    #[serde(default = "latency")]
    pub command_latency_ms: u64,
    /// Who took the snapshots of its past.
    #[serde(default)]
    pub past: Past,
    /// Tags beside `Name`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The first is the root volume.
    #[serde(rename = "volume")]
    pub volumes: Vec<VolumeSpecToml>,
}

/// One attached volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpecToml {
    /// `vol-…`; generated from the seed when absent.
    pub id: Option<String>,
    /// Device name on the instance.
    pub device: String,
    /// GiB
    pub size: u32,
    /// Its type.
    #[serde(default = "gp3", rename = "type")]
    pub volume_type: VolumeType,
    /// I/O operations a second.
    pub iops: Option<u32>,
    /// MiB a second; gp3 only.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// `xfs`, `ext4`, `btrfs`, `ntfs`
    pub fs: Option<String>,
    /// Where the instance has it mounted at the beginning.
    pub mount: Option<String>,
    /// Tags beside `Name`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One volume that is not attached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LooseVolumeSpec {
    /// `vol-…`; generated from the seed when absent.
    pub id: Option<String>,
    /// Its availability zone.
    #[serde(default = "zone_a")]
    pub az: String,
    /// GiB
    pub size: u32,
    /// Its type.
    #[serde(default = "gp3", rename = "type")]
    pub volume_type: VolumeType,
    /// I/O operations a second.
    pub iops: Option<u32>,
    /// MiB a second; gp3 only.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Tags beside `Name`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

fn zone_a() -> String {
    "a".into()
}
fn instance_type() -> String {
    "m6i.large".into()
}
fn linux() -> Platform {
    Platform::Linux
}
fn running() -> InstanceState {
    InstanceState::Running
}
fn online() -> AgentStatus {
    AgentStatus::Online
}
/// Default of `command_latency_ms`: the time from SendCommand to the start of the script, as recorded of the message channel.
fn latency() -> u64 {
    200
}
fn gp3() -> VolumeType {
    VolumeType::Gp3
}

impl WorldSpec {
    /// Reads a world file.
    ///
    /// # Errors
    /// Names the line of what is not TOML, unknown, missing or out of place.
    pub fn parse(text: &str) -> Result<Self, LabError> {
        let spec: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            LabError::World {
                line,
                message: error.message().to_owned(),
            }
        })?;
        let refused = check::objection(&spec).map(|objection| LabError::WorldValue {
            line: place::line(text, &objection.at),
            message: objection.message,
            hint: objection.hint,
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(spec),
        }
    }

    /// The fleet that `--lab` opens on.
    ///
    /// # Errors
    /// Only when the shipped file is damaged, which a test excludes.
    pub fn default_world() -> Result<Self, LabError> {
        Self::parse(include_str!("../../../../assets/lab/default.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused_with_its_line() {
        let text = "name = \"x\"\n\n[[instance]]\nname = \"a\"\ncolour = \"red\"\n[[instance.volume]]\ndevice = \"/dev/xvda\"\nsize = 8\n";
        let Err(LabError::World { line, message }) = WorldSpec::parse(text) else {
            panic!("accepted")
        };
        assert_eq!(line, 5);
        assert!(message.contains("colour"), "{message}");
    }

    /// A world of one instance with one volume; `change` is what a case says otherwise.
    fn refused(from: &str, to: &str) -> (usize, String, String) {
        let good = r#"name = "x"
[ssm_rates]
ask = { size = 100.0, refill = 20.0 }
send = { size = 50.0, refill = 16.0 }
[[instance]]
id = "i-0000000000000000a"
name = "db"
az = "a"
type = "m6i.large"
state = "running"
agent_version = "3.3.2299.0"
command_latency_ms = 200
tags = { Env = "prod" }
[[instance.volume]]
id = "vol-0000000000000000a"
device = "/dev/xvda"
size = 8
type = "gp3"
iops = 3000
throughput = 125
fs = "xfs"
mount = "/"
[[instance.volume]]
device = "/dev/sdf"
size = 9
fs = "ext4"
mount = "/data"
[[volume]]
id = "vol-0000000000000000b"
az = "b"
size = 6
"#;
        WorldSpec::parse(good).unwrap();
        assert!(good.contains(from), "{from}");
        match WorldSpec::parse(&good.replacen(from, to, 1)) {
            Err(LabError::WorldValue {
                line,
                message,
                hint,
            }) => (line, message, hint),
            other => panic!("{to}: {other:?}"),
        }
    }

    #[test]
    fn a_value_that_aws_never_has_is_refused_with_its_line_its_key_and_a_hint() {
        let long = format!("tags = {{ Env = \"{}\" }}", "x".repeat(257));
        let many: Vec<String> = (0..51).map(|n| format!("k{n} = \"\"")).collect();
        let many = format!("tags = {{ {} }}", many.join(", "));
        for (from, to, line, key) in [
            ("size = 8", "size = 0", 17, "size"),
            ("size = 8", "size = 65537", 17, "size"),
            ("size = 6", "size = 0", 31, "size"),
            ("size = 6", "type = \"st1\"\nsize = 20", 32, "size"),
            ("size = 6", "size = 6\niops = 100", 32, "iops"),
            ("size = 6", "size = 6\ntype = \"io2\"", 28, "iops"),
            ("size = 6", "size = 6\niops = 3001", 32, "iops"),
            (
                "size = 6",
                "size = 6\ntype = \"gp2\"\nthroughput = 125",
                33,
                "throughput",
            ),
            ("iops = 3000", "iops = 4001", 19, "iops"),
            ("throughput = 125", "throughput = 751", 20, "throughput"),
            ("fs = \"xfs\"", "fs = \"ntfs\"", 21, "fs"),
            ("mount = \"/data\"", "mount = \"rel\"", 27, "mount"),
            ("mount = \"/data\"", "mount = \"/data/../x\"", 27, "mount"),
            ("mount = \"/data\"", "mount = \"/data/\"", 27, "mount"),
            ("mount = \"/data\"", "mount = \"/\"", 27, "mount"),
            ("fs = \"ext4\"\n", "", 26, "mount"),
            ("mount = \"/\"", "mount = \"/root\"", 22, "mount"),
            ("/dev/sdf", "/dev/sdk1", 24, "device"),
            ("/dev/sdf", "xvdf", 24, "device"),
            ("/dev/sdf", "/dev/xvda", 24, "device"),
            ("i-0000000000000000a", "i-x", 6, "id"),
            ("i-0000000000000000a", "I-0000000000000000A", 6, "id"),
            ("vol-0000000000000000b", "vol-0000000000000000a", 29, "id"),
            ("vol-0000000000000000b", "snap-0000000000000000", 29, "id"),
            ("az = \"a\"", "az = \"d\"", 8, "az"),
            ("az = \"b\"", "az = \"eu-central-1b\"", 30, "az"),
            ("m6i.large", "large", 9, "type"),
            ("running", "pending", 10, "state"),
            ("3.3.2299.0", "latest", 11, "agent_version"),
            ("= 200", "= 9223372036854775807", 12, "command_latency_ms"),
            (
                "tags = { Env = \"prod\" }",
                "tags = { \"\" = \"prod\" }",
                13,
                "tags",
            ),
            ("tags = { Env = \"prod\" }", long.as_str(), 13, "tags"),
            ("tags = { Env = \"prod\" }", many.as_str(), 13, "tags"),
            ("Env = \"prod\"", "Name = \"other\"", 13, "tags.Name"),
            ("size = 100.0", "size = -1.0", 3, "size"),
            ("size = 50.0", "size = nan", 4, "size"),
            ("refill = 20.0", "refill = 0.0", 3, "refill"),
            ("refill = 16.0", "refill = inf", 4, "refill"),
        ] {
            let (at, message, hint) = refused(from, to);
            assert_eq!(at, line, "{to}: {message}");
            assert!(message.contains(&format!("`{key}`")), "{to}: {message}");
            assert!(!hint.is_empty(), "{to}");
        }
    }

    #[test]
    fn an_instance_needs_a_root_volume_and_no_more_than_it_can_have() {
        let none = "name = \"x\"\n[[instance]]\nname = \"bare\"\nvolume = []\n";
        let error = WorldSpec::parse(none).unwrap_err();
        let LabError::WorldValue {
            line: 4, message, ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert!(message.contains("bare"), "{message}");
        let mut crowded = "name = \"x\"\n[[instance]]\nname = \"two\"\n".to_owned();
        for n in 0..28 {
            let letter = char::from(b'b' + n % 25);
            let more = if n < 25 { "" } else { "a" };
            crowded +=
                &format!("[[instance.volume]]\ndevice = \"/dev/xvd{more}{letter}\"\nsize = 1\n");
        }
        let error = WorldSpec::parse(&crowded).unwrap_err();
        assert!(error.to_string().contains("28"), "{error}");
    }

    #[test]
    fn windows_has_drives_and_ntfs() {
        let world = |fs: &str, device: &str, mount: &str| {
            WorldSpec::parse(&format!(
                "name = \"x\"\n[[instance]]\nname = \"win\"\nplatform = \"windows\"\n[[instance.volume]]\ndevice = \"/dev/sda1\"\nsize = 30\nfs = \"ntfs\"\nmount = \"C:\"\n[[instance.volume]]\ndevice = \"{device}\"\nsize = 30\nfs = \"{fs}\"\nmount = \"{mount}\"\n"
            ))
        };
        world("ntfs", "xvdf", "D:").unwrap();
        for (fs, device, mount) in [
            ("xfs", "xvdf", "D:"),
            ("ntfs", "/dev/sdf", "D:"),
            ("ntfs", "xvdf", "/data"),
            ("ntfs", "xvdf", "C:"),
        ] {
            assert!(world(fs, device, mount).is_err(), "{fs} {device} {mount}");
        }
    }
}
