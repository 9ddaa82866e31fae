//! The things of the world: instances, volumes, snapshots and images, as the lab keeps their books.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// Tags of one resource, by key.
pub type Tags = BTreeMap<String, String>;

/// Where an instance is in its life (the lab never terminates one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum InstanceState {
    /// On its way.
    Pending,
    /// It runs.
    Running,
    /// It is being stopped.
    Stopping,
    /// It is stopped.
    Stopped,
}

impl InstanceState {
    /// EC2's numeric state code.
    pub fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }
}

/// Operating system family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

/// Whether the SSM agent is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentStatus {
    /// It is connected.
    Online,
    /// It was connected before.
    ConnectionLost,
    /// There is none.
    None,
}

/// The SSM agent on an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSpec {
    /// Whether it is connected now.
    pub status: AgentStatus,
    /// When it lost its connection, if that was seen here. Systems Manager calls it `Online` for minutes after.
    pub lost: Option<DateTime<Utc>>,
    /// Its version.
    pub version: String,
    /// How long before "now" it pinged last.
    pub last_ping_age: Duration,
}

/// A database engine that the simulated runtime can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Engine {
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// PostgreSQL.
    Postgresql,
    /// Redis.
    Redis,
    /// MongoDB.
    Mongodb,
}

/// The instance profile's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May call `CreateSnapshots`, as assets/iam/instance-role.json allows.
    #[default]
    Backup,
    /// May nothing at EC2.
    Bare,
    /// The instance has no role.
    None,
}

impl Role {
    /// The role's name in IAM; empty without a role.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backup => "freezeframe-instance",
            Self::Bare => "ssm-only",
            Self::None => "",
        }
    }

    /// Whether it may make a call, by service and action.
    pub fn may(self, service: &str, action: &str) -> bool {
        match (service, action) {
            ("sts", "GetCallerIdentity") => true,
            ("ec2", "CreateSnapshots") => self == Self::Backup,
            _ => false,
        }
    }
}

/// A filesystem of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// `/var/lib/mysql`, or a drive such as `D:` on Windows.
    pub mount: String,
    /// `vol-…`
    pub volume: String,
    /// `xfs`, `ext4`, `ntfs`
    pub fs: String,
}

/// State of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum AttachmentState {
    /// It is being attached.
    Attaching,
    /// The instance has it.
    Attached,
    /// It is being detached.
    Detaching,
    /// The instance does not let it go.
    Busy,
}

/// A volume's place on an instance; the instance is the only owner of this fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Device name on the instance.
    pub device: String,
    /// The volume.
    pub volume: String,
    /// Whether it goes with the instance.
    pub delete_on_termination: bool,
    /// Where it is.
    pub state: AttachmentState,
    /// When it was attached.
    pub attach_time: DateTime<Utc>,
}

/// An EC2 instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its reservation.
    pub reservation: String,
    /// Where it is.
    pub state: InstanceState,
    /// Its operating system.
    pub platform: Platform,
    /// Its type.
    pub instance_type: String,
    /// Its AMI.
    pub image: String,
    /// Its region.
    pub region: String,
    /// Its availability zone.
    pub az: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was started last.
    pub launch_time: DateTime<Utc>,
    /// When it was stopped last.
    pub stopped: Option<DateTime<Utc>>,
    /// Its private address.
    pub private_ip: String,
    /// Its tags.
    pub tags: Tags,
    /// Device name of the root volume.
    pub root_device_name: String,
    /// Its volumes, root first.
    pub block_devices: Vec<BlockDevice>,
    /// Its SSM agent.
    pub agent: AgentSpec,
    /// What it has mounted.
    pub mounts: Vec<MountSpec>,
    /// The database on it.
    pub engine: Option<Engine>,
    /// The role of its instance profile.
    pub role: Role,
    /// How long a command takes from SendCommand to its start on this instance (simulated runtime).
    pub command_latency_ms: u64,
}

impl Instance {
    /// The volume under the root device, if it is attached.
    pub fn root_volume(&self) -> Option<&str> {
        self.block_devices
            .iter()
            .find(|device| device.device == self.root_device_name)
            .map(|device| device.volume.as_str())
    }
}

/// State of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum VolumeState {
    /// It is being made.
    Creating,
    /// It may be attached.
    Available,
    /// It is attached.
    InUse,
    /// It is being deleted.
    Deleting,
}

/// Performance class of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum VolumeType {
    /// Magnetic.
    Standard,
    /// Provisioned IOPS.
    Io1,
    /// Provisioned IOPS, more durable.
    Io2,
    /// General purpose, by size.
    Gp2,
    /// General purpose, by choice.
    Gp3,
    /// Cold HDD.
    Sc1,
    /// Throughput HDD.
    St1,
}

/// An EBS volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub state: VolumeState,
    /// GiB.
    pub size_gib: u32,
    /// Its type.
    pub volume_type: VolumeType,
    /// I/O operations a second.
    pub iops: Option<u32>,
    /// MiB/s; gp3 only.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// ARN of its KMS key.
    pub kms_key: Option<String>,
    /// Its availability zone.
    pub az: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// The snapshot that it was made from.
    pub snapshot: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Instance that has it in its block devices.
    pub attached_to: Option<String>,
    /// Last accepted snapshot request, for the 15 second rule.
    pub last_snapshot: Option<DateTime<Utc>>,
    /// Filesystem made at the world's beginning.
    pub filesystem: Option<String>,
    /// Client token of its creation and a fingerprint of what was asked.
    pub client_token: Option<(String, String)>,
}

/// State of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum SnapshotState {
    /// On its way.
    Pending,
    /// All blocks are copied.
    Completed,
    /// Its copying failed.
    Error,
}

/// A snapshot lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// `governance` or `compliance`.
    pub mode: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Days that it lasts.
    pub days: u32,
}

impl Lock {
    /// When the lock ends.
    pub fn expires(&self) -> DateTime<Utc> {
        self.created + chrono::Duration::days(i64::from(self.days))
    }

    /// The lock's mode while it holds, then `expired`.
    pub fn state(&self, now: DateTime<Utc>) -> &str {
        if now < self.expires() {
            &self.mode
        } else {
            "expired"
        }
    }
}

/// An EBS snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The volume.
    pub volume: String,
    /// GiB of its volume.
    pub volume_size_gib: u32,
    /// Where it is.
    pub state: SnapshotState,
    /// Why it failed.
    pub state_message: Option<String>,
    /// When it was asked for.
    pub start: DateTime<Utc>,
    /// When it was, or will be, completed.
    pub completes: DateTime<Utc>,
    /// The owner's account.
    pub owner: String,
    /// `amazon`, `aws-marketplace` or `self`, where there is one.
    pub owner_alias: Option<String>,
    /// Its description.
    pub description: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// ARN of its KMS key.
    pub kms_key: Option<String>,
    /// Bytes of its written blocks.
    pub full_size_bytes: u64,
    /// Its tags.
    pub tags: Tags,
    /// Everybody may make volumes from it.
    pub public: bool,
    /// Accounts that may make volumes from it.
    pub shared_with: Vec<String>,
    /// What keeps it from being deleted.
    pub lock: Option<Lock>,
    /// Zones in which fast restore is on.
    pub fast_restore: Vec<String>,
    /// Deleted while pending: it goes when it completes.
    pub deleted_while_pending: bool,
}

impl Snapshot {
    /// Percent done at `now`: 100 when completed, less while pending.
    pub fn progress(&self, now: DateTime<Utc>) -> u8 {
        match self.state {
            SnapshotState::Completed => 100,
            SnapshotState::Error => 0,
            SnapshotState::Pending => {
                let total = (self.completes - self.start).num_milliseconds().max(1);
                let done = (now - self.start).num_milliseconds().clamp(0, total);
                u8::try_from(done * 100 / total).unwrap_or(99).min(99)
            }
        }
    }
}

/// An AMI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// The owner's account.
    pub owner: String,
    /// `amazon`, `aws-marketplace` or `self`, where there is one.
    pub owner_alias: Option<String>,
    /// Everybody may launch it.
    pub public: bool,
    /// Its operating system.
    pub platform: Platform,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// `available`, `disabled` or `deregistered`.
    pub state: String,
    /// Whether it is deprecated.
    pub deprecated: bool,
    /// Device name of the root volume.
    pub root_device_name: String,
    /// Device name and snapshot.
    pub mappings: Vec<(String, String)>,
    /// GiB of the volumes made of them, where the snapshots are not ours to see.
    pub size_gib: u32,
    /// Its tags.
    pub tags: Tags,
    /// The instance that it was made of.
    pub source_instance: Option<String>,
}
