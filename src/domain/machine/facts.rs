//! What preflight learned: which mounts will be frozen, on which volumes, and what else lies there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::VolumeId;
use crate::domain::instance::Instance;
use crate::domain::text::visible;
use crate::domain::trace::{Said, Trace};

/// Why a bind mount or a subvolume of a covered filesystem is not covered itself (`mounts.sh`): it is
/// frozen with the other, so it takes nothing from the volume.
pub const SAME_FILESYSTEM: &str = "the same filesystem as a mount above";

/// A mount that the recipe freezes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredMount {
    /// Mount point.
    pub mount: String,
    /// Filesystem type.
    pub fs: String,
    /// EBS volumes underneath; several with LVM or mdraid.
    pub volumes: Vec<VolumeId>,
}

/// A mount that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncoveredMount {
    /// Mount point.
    pub mount: String,
    /// Why it is left alone.
    pub reason: String,
    /// EBS volumes underneath, as far as known.
    pub volumes: Vec<VolumeId>,
}

/// A volume that EC2 says is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedVolume {
    /// The volume.
    pub volume: VolumeId,
    /// Device name there.
    pub device: String,
    /// It carries the root filesystem.
    pub is_root: bool,
}

/// A database that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// `mysql`, `mariadb`, `percona`.
    pub name: String,
    /// Server version.
    pub version: String,
    /// Data directory.
    pub datadir: String,
    /// Whether it replicates from another server.
    pub replica: bool,
}

/// Everything preflight learned that the job needs later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightFacts {
    /// Mounts to freeze.
    pub covered: Vec<CoveredMount>,
    /// Mounts left alone.
    pub uncovered: Vec<UncoveredMount>,
    /// Attached volumes, from EC2.
    pub volumes: Vec<AttachedVolume>,
    /// The database, for recipes that lock one.
    pub engine: Option<Engine>,
}

impl PreflightFacts {
    /// Joins what the instance's dry run said with what EC2 says of its volumes.
    ///
    /// # Errors
    /// In words: lines that could not be understood (a mount might hide in one), no first or last line,
    /// or a covered mount on a volume that EC2 does not know as attached.
    pub fn from_dry_run(trace: &Trace, instance: &Instance) -> Result<Self, String> {
        if let Some(bad) = trace.malformed.first() {
            return Err(format!(
                "{} line(s) of the dry run could not be understood; line {}: {}",
                trace.malformed.len(),
                bad.line_no,
                bad.why
            ));
        }
        if let Some(why) = &trace.disorder {
            return Err(format!("the dry run is out of order: {why}"));
        }
        if !matches!(trace.events().next(), Some(Said::Hello { command, .. }) if command == "dry-run")
        {
            return Err("the dry run did not say hello".to_owned());
        }
        if !matches!(trace.events().last(), Some(Said::End { outcome, .. }) if outcome == "ok") {
            return Err("the dry run did not reach its last line".to_owned());
        }
        let mut facts = Self {
            volumes: instance
                .devices
                .iter()
                .map(|d| AttachedVolume {
                    volume: d.volume.clone(),
                    device: d.device.clone(),
                    is_root: d.device == instance.root_device,
                })
                .collect(),
            ..Self::default()
        };
        for said in trace.events() {
            match said {
                Said::Mount {
                    mount,
                    fs,
                    volumes,
                    covered: true,
                    ..
                } => {
                    if volumes.is_empty() {
                        return Err(format!(
                            "nobody knows which volumes {} is on",
                            visible(mount)
                        ));
                    }
                    if let Some(stray) = volumes.iter().find(|v| !facts.is_attached(v)) {
                        return Err(format!(
                            "{} is on {stray}, which EC2 does not show as attached to {}",
                            visible(mount),
                            instance.id
                        ));
                    }
                    facts.covered.push(CoveredMount {
                        mount: mount.clone(),
                        fs: fs.clone(),
                        volumes: volumes.clone(),
                    });
                }
                Said::Mount {
                    mount,
                    volumes,
                    reason,
                    ..
                } => facts.uncovered.push(UncoveredMount {
                    mount: mount.clone(),
                    reason: reason
                        .clone()
                        .unwrap_or_else(|| "no reason given".to_owned()),
                    volumes: volumes.clone(),
                }),
                Said::Engine {
                    name,
                    version,
                    datadir,
                    replica,
                } => {
                    facts.engine = Some(Engine {
                        name: name.clone(),
                        version: version.clone(),
                        datadir: datadir.clone(),
                        replica: *replica,
                    });
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    fn is_attached(&self, volume: &VolumeId) -> bool {
        self.volumes.iter().any(|v| v.volume == *volume)
    }

    /// Every volume under a covered mount.
    pub fn covered_volumes(&self) -> BTreeSet<&VolumeId> {
        self.covered.iter().flat_map(|m| &m.volumes).collect()
    }

    /// A mount on that volume that is not frozen: then the volume's snapshot holds torn data as well.
    pub fn unfrozen_neighbour(&self, volume: &VolumeId) -> Option<&UncoveredMount> {
        self.uncovered
            .iter()
            .find(|m| m.reason != SAME_FILESYSTEM && m.volumes.contains(volume))
    }

    /// Device name of a volume, empty when unknown.
    pub fn device(&self, volume: &VolumeId) -> &str {
        self.volumes
            .iter()
            .find(|v| v.volume == *volume)
            .map_or("", |v| v.device.as_str())
    }

    /// Whether the database's data directory lies on a covered mount: the mount with the longest
    /// matching path decides.
    pub fn datadir_is_covered(&self) -> bool {
        let Some(engine) = &self.engine else {
            return false;
        };
        let under = |mount: &str| -> Option<usize> {
            let base = mount.trim_end_matches('/');
            engine
                .datadir
                .strip_prefix(base)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .map(|_| base.len())
        };
        let best = |found: Vec<usize>| found.into_iter().max();
        let covered = best(
            self.covered
                .iter()
                .filter_map(|m| under(&m.mount))
                .collect(),
        );
        let other = best(
            self.uncovered
                .iter()
                .filter_map(|m| under(&m.mount))
                .collect(),
        );
        covered.is_some() && covered > other
    }
}
