//! What a world's TOML file may say.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::model::{AgentStatus, Engine, InstanceState, Platform, Role, VolumeType};
use crate::lab::LabError;
use crate::lab::throttle::SsmRates;

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
    #[serde(default = "instance_type", rename = "type")]
    pub instance_type: String,
    #[serde(default = "linux")]
    pub platform: Platform,
    #[serde(default = "running")]
    pub state: InstanceState,
    #[serde(default = "online")]
    pub agent: AgentStatus,
    /// Its agent died when the world began: it is called online for minutes more, and takes no command.
    #[serde(default)]
    pub agent_dies: bool,
    pub agent_version: Option<String>,
    pub engine: Option<Engine>,
    /// `backup` may call CreateSnapshots, `bare` may not, `none` has no role.
    #[serde(default)]
    pub role: Role,
    #[serde(default = "latency")]
    pub command_latency_ms: u64,
    #[serde(default)]
    pub past: Past,
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
    pub device: String,
    /// GiB
    pub size: u32,
    #[serde(default = "gp3", rename = "type")]
    pub volume_type: VolumeType,
    pub iops: Option<u32>,
    pub throughput: Option<u32>,
    #[serde(default)]
    pub encrypted: bool,
    /// `xfs`, `ext4`, `btrfs`, `ntfs`
    pub fs: Option<String>,
    /// Where the instance has it mounted at the beginning.
    pub mount: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// One volume that is not attached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LooseVolumeSpec {
    pub id: Option<String>,
    #[serde(default = "zone_a")]
    pub az: String,
    /// GiB
    pub size: u32,
    #[serde(default = "gp3", rename = "type")]
    pub volume_type: VolumeType,
    pub iops: Option<u32>,
    pub throughput: Option<u32>,
    #[serde(default)]
    pub encrypted: bool,
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
/// From SendCommand to the script's start, as recorded of the message channel.
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
        for instance in &spec.instances {
            if let Some(message) = instance.objection() {
                let line = text
                    .lines()
                    .position(|line| line.contains(&instance.name))
                    .map_or(1, |at| at + 1);
                return Err(LabError::World { line, message });
            }
        }
        Ok(spec)
    }

    /// The fleet that `--lab` opens on.
    ///
    /// # Errors
    /// Only when the shipped file is damaged, which a test excludes.
    pub fn default_world() -> Result<Self, LabError> {
        Self::parse(include_str!("../../../assets/lab/default.toml"))
    }
}

impl InstanceSpec {
    fn objection(&self) -> Option<String> {
        if self.volumes.is_empty() {
            return Some(format!(
                "instance {} has no volume: the first one is its root",
                self.name
            ));
        }
        if !matches!(self.az.as_str(), "a" | "b" | "c") {
            return Some(format!(
                "instance {}: az is a, b or c, not `{}`",
                self.name, self.az
            ));
        }
        let mut devices = std::collections::BTreeSet::new();
        self.volumes
            .iter()
            .find(|volume| !devices.insert(volume.device.as_str()))
            .map(|volume| {
                format!(
                    "instance {}: device {} is used twice",
                    self.name, volume.device
                )
            })
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

    #[test]
    fn an_instance_needs_a_root_volume_and_unique_devices() {
        let none = "name = \"x\"\n[[instance]]\nname = \"bare\"\nvolume = []\n";
        let Err(LabError::World { line, message }) = WorldSpec::parse(none) else {
            panic!("accepted")
        };
        assert_eq!(line, 3);
        assert!(message.contains("bare"), "{message}");
        let twice = "name = \"x\"\n[[instance]]\nname = \"two\"\n[[instance.volume]]\ndevice = \"/dev/sdf\"\nsize = 1\n[[instance.volume]]\ndevice = \"/dev/sdf\"\nsize = 1\n";
        assert!(
            WorldSpec::parse(twice)
                .unwrap_err()
                .to_string()
                .contains("/dev/sdf")
        );
    }
}
