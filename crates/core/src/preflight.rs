//! What preflight learned: which mounts will be frozen, on which volumes, and what else lies there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::VolumeId;
use crate::instance::Instance;
use crate::kept;
use crate::mode::{ChosenMode, is_of_the_role};
use crate::set_plan::SetPlan;
use crate::text::visible;
use crate::trace::{Trace, TraceEvent};

/// Why a bind mount or a subvolume of a covered filesystem is not covered itself (`mounts.sh`): it is
/// frozen with the other, so it takes nothing from the volume.
pub const SAME_FILESYSTEM: &str = "the same filesystem as a mount above";

/// Why a filesystem that is read-only as a whole is not covered (`mounts.sh`): nobody can write to it, so it
/// is in the volume's snapshot as it was before. A mount that is read-only of one that others may write to is not so.
pub const READ_ONLY: &str = "its filesystem is read-only and cannot change";

/// Whether a filesystem that is not covered for this reason may change while others are frozen.
pub fn may_change(reason: &str) -> bool {
    ![SAME_FILESYSTEM, READ_ONLY].contains(&reason)
}

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
    /// Such as `mysql`, `mariadb`, `postgresql`.
    pub name: String,
    /// Server version.
    pub version: String,
    /// Data directory.
    pub datadir: String,
    /// Whether it replicates from another server.
    pub replica: bool,
}

/// A directory besides the data directory that the database needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnginePath {
    /// What it is for: `wal`, `tablespace`, `binlog`, …
    pub what: String,
    /// The directory.
    pub path: String,
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
    /// What else the database needs to come up again.
    #[serde(default)]
    pub paths: Vec<EnginePath>,
    /// Which volumes the set holds and which tags their snapshots get; unknown when missing.
    #[serde(default)]
    pub set: Option<Box<SetPlan>>,
    /// Who calls `CreateSnapshots`, where the dry run had to decide.
    #[serde(default)]
    pub mode: Option<Box<ChosenMode>>,
    /// What the instance wants people to know before it is frozen, such as pages that are yet to be written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl PreflightFacts {
    /// Joins what the instance's dry run said with what EC2 says of its volumes.
    ///
    /// # Errors
    /// As [`Self::with_dry_run`].
    pub fn from_dry_run(trace: &Trace, instance: &Instance) -> Result<Self, String> {
        Self::of_attachments(instance).with_dry_run(trace)
    }

    /// Joins what the instance's dry run said with the attached volumes.
    ///
    /// # Errors
    /// In words: lines that could not be understood (a mount might hide in one), no first or last line,
    /// or a covered mount on a volume that is not known as attached.
    pub fn with_dry_run(mut self, trace: &Trace) -> Result<Self, String> {
        if let Some(bad) = trace.malformed.first() {
            return Err(format!(
                "{} line(s) of the dry run could not be understood; line {}: {}",
                trace.malformed.len(),
                bad.line_no,
                bad.why
            ));
        }
        if let Some(why) = &trace.out_of_order {
            return Err(format!("the dry run is out of order: {why}"));
        }
        if !matches!(trace.events().next(), Some(TraceEvent::Hello { command, .. }) if command == "dry-run")
        {
            return Err("the dry run did not say hello".to_owned());
        }
        let well = matches!(trace.events().last(), Some(TraceEvent::End { outcome, .. }) if outcome == "ok");
        if !well && !lacks_only_the_role(trace) {
            return Err("the dry run did not reach its last line".to_owned());
        }
        self.take(trace)?;
        self.notes = kept::notes(&[trace]);
        Ok(self)
    }

    /// What EC2 alone says: the attached volumes.
    pub fn of_attachments(instance: &Instance) -> Self {
        Self {
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
        }
    }

    /// What was attached when a set was planned, by the plan. `root`: the root's device name, where it is known.
    pub fn of_plan(plan: &SetPlan, root: Option<&str>) -> Self {
        let members = plan.members.iter().map(|member| AttachedVolume {
            volume: member.volume.clone(),
            device: member.device.clone(),
            is_root: root == Some(member.device.as_str()),
        });
        let left_out = plan.left_out.iter().map(|out| AttachedVolume {
            volume: out.volume.clone(),
            device: out.device.clone(),
            is_root: out.is_root,
        });
        Self {
            volumes: members.chain(left_out).collect(),
            ..Self::default()
        }
    }

    /// A document that has no dry run but speaks FF1 in its `pre-script` names its mounts there.
    pub fn learn(&mut self, pre: &Trace) {
        if self.covered.is_empty() {
            let mut learned = self.clone();
            if learned.take(pre).is_ok() {
                *self = learned;
            }
        }
    }

    /// Takes in the mounts, the engine and its paths of a trace.
    ///
    /// # Errors
    /// In words: a covered mount on a volume that EC2 does not know as attached, or on nobody knows what.
    pub fn take(&mut self, trace: &Trace) -> Result<(), String> {
        let shifted = self.letters_are_shifted(trace);
        for said in trace.events() {
            match said {
                TraceEvent::Mount {
                    mount,
                    fs,
                    volumes,
                    disks,
                    covered: true,
                    ..
                } => {
                    if shifted && volumes.is_empty() {
                        return Err(format!(
                            "{}: this kernel names disks in its own way, so their volumes are unknown",
                            visible(mount)
                        ));
                    }
                    let volumes = self.volumes_of(mount, volumes, disks)?;
                    self.covered.push(CoveredMount {
                        mount: mount.clone(),
                        fs: fs.clone(),
                        volumes,
                    });
                }
                TraceEvent::Mount {
                    mount,
                    volumes,
                    disks,
                    reason,
                    ..
                } => {
                    let known = self.volumes_of(mount, volumes, disks);
                    self.uncovered.push(UncoveredMount {
                        mount: mount.clone(),
                        reason: reason
                            .clone()
                            .unwrap_or_else(|| "no reason given".to_owned()),
                        volumes: known.unwrap_or_else(|_| volumes.clone()),
                    });
                }
                TraceEvent::Engine {
                    name,
                    version,
                    datadir,
                    replica,
                } => {
                    self.engine = Some(Engine {
                        name: name.clone(),
                        version: version.clone(),
                        datadir: datadir.clone(),
                        replica: *replica,
                    });
                }
                TraceEvent::Path { what, path } => self.paths.push(EnginePath {
                    what: what.clone(),
                    path: path.clone(),
                }),
                _ => {}
            }
        }
        Ok(())
    }

    /// The volumes under a mount: those that the instance knows, or else those whose attachment has the
    /// name of the kernel's disk.
    ///
    /// # Errors
    /// In words: none known, one that is not attached, a disk that fits no attachment or several.
    pub fn volumes_of(
        &self,
        mount: &str,
        volumes: &[VolumeId],
        disks: &[String],
    ) -> Result<Vec<VolumeId>, String> {
        let mut known = volumes.to_vec();
        if volumes.is_empty() {
            for disk in disks {
                let letters = disk_letters(disk);
                let mut fitting = self
                    .volumes
                    .iter()
                    .filter(|v| letters.is_some() && disk_letters(&v.device) == letters);
                let volume = match (fitting.next(), fitting.next()) {
                    (Some(one), None) => one.volume.clone(),
                    (None, _) => {
                        return Err(format!(
                            "{} is on disk {}, which fits no attachment",
                            visible(mount),
                            visible(disk)
                        ));
                    }
                    _ => {
                        return Err(format!(
                            "{} is on disk {}, which fits several attachments",
                            visible(mount),
                            visible(disk)
                        ));
                    }
                };
                if !known.contains(&volume) {
                    known.push(volume);
                }
            }
        }
        if known.is_empty() {
            return Err(format!(
                "nobody knows which volumes {} is on",
                visible(mount)
            ));
        }
        match known.iter().find(|v| !self.is_attached(v)) {
            Some(stray) => Err(format!(
                "{} is on {stray}, which EC2 does not show as attached",
                visible(mount)
            )),
            None => Ok(known),
        }
    }

    /// Whether the disk under `/` does not carry the root attachment's letter: some kernels shift every
    /// letter by a constant (aws-facts 5.5), and then a name would lead to another volume.
    fn letters_are_shifted(&self, trace: &Trace) -> bool {
        let root = self
            .volumes
            .iter()
            .find(|v| v.is_root)
            .and_then(|v| disk_letters(&v.device));
        trace.events().any(|said| {
            matches!(said, TraceEvent::Mount { mount, disks, .. } if mount == "/"
                && !disks.is_empty()
                && !disks.iter().any(|disk| disk_letters(disk) == root))
        })
    }

    fn is_attached(&self, volume: &VolumeId) -> bool {
        self.volumes.iter().any(|v| v.volume == *volume)
    }

    /// Takes the plan of the set, unless it leaves out what the recipe needs in it.
    ///
    /// # Errors
    /// Cause and hint: a filesystem that lies on volumes in the set and on others, one that was named to be frozen, a
    /// directory of the database, or all that the recipe freezes would be left out.
    pub fn with_set(mut self, set: SetPlan, named: &[String]) -> Result<Self, (String, String)> {
        for mount in &self.covered {
            let (out, within): (Vec<_>, Vec<_>) = mount
                .volumes
                .iter()
                .map(|v| (v, set.leaves_out(v)))
                .partition(|(_, out)| out.is_some());
            let Some(out) = out.iter().find_map(|(_, out)| *out) else {
                continue;
            };
            let place = visible(&mount.mount);
            if let Some((other, _)) = within.first() {
                return Err((
                    format!(
                        "{place} lies on {} ({}), which is left out of the set, and on {other}, which is in it",
                        out.volume, out.by
                    ),
                    out.undo(),
                ));
            }
            if named.contains(&mount.mount) {
                return Err((
                    format!(
                        "{place} is named to be frozen, and {} under it is left out of the set ({})",
                        out.volume, out.by
                    ),
                    out.undo(),
                ));
            }
        }
        let datadir = self.engine.iter().map(|e| ("data", e.datadir.as_str()));
        let paths = self
            .paths
            .iter()
            .map(|p| (p.what.as_str(), p.path.as_str()));
        for (what, path) in datadir.chain(paths) {
            let out = self.mount_of(path).iter().find_map(|v| set.leaves_out(v));
            if let Some(out) = out {
                return Err((
                    format!(
                        "the {} directory {} is on {}, which is left out of the set ({}): the set would not hold the \
                         database",
                        visible(what),
                        visible(path),
                        out.volume,
                        out.by
                    ),
                    out.undo(),
                ));
            }
        }
        let had = !self.covered.is_empty();
        self.set = Some(Box::new(set));
        let covered = self.covered_volumes().is_empty();
        let set = self.set.as_deref();
        match set.and_then(|set| set.left_out.first()) {
            Some(out) if had && covered => Err((
                format!(
                    "all that the recipe freezes is on volumes that are left out of the set: {}",
                    set.map(SetPlan::left_out_words).unwrap_or_default()
                ),
                out.undo(),
            )),
            _ => Ok(self),
        }
    }

    /// The volumes under the mount that a path lies on, as far as they are known.
    fn mount_of(&self, path: &str) -> &[VolumeId] {
        let covered = self.covered.iter().map(|m| (&m.mount, &m.volumes));
        let others = self.uncovered.iter().map(|m| (&m.mount, &m.volumes));
        covered
            .chain(others)
            .filter_map(|(mount, volumes)| Some((below(mount, path)?, volumes)))
            .max_by_key(|(length, _)| *length)
            .map_or(&[], |(_, volumes)| volumes.as_slice())
    }

    /// Whether a volume is left out of the set on purpose.
    pub fn leaves_out(&self, volume: &VolumeId) -> bool {
        self.set
            .as_ref()
            .is_some_and(|set| set.leaves_out(volume).is_some())
    }

    /// The attached volumes that the set is to hold.
    pub fn in_set(&self) -> impl Iterator<Item = &AttachedVolume> {
        self.volumes.iter().filter(|v| !self.leaves_out(&v.volume))
    }

    /// Every volume of the set under a covered mount.
    pub fn covered_volumes(&self) -> BTreeSet<&VolumeId> {
        let all = self.covered.iter().flat_map(|m| &m.volumes);
        all.filter(|volume| !self.leaves_out(volume)).collect()
    }

    /// A mount on that volume that is not frozen and may change: then the volume's snapshot holds torn data as well.
    pub fn unfrozen_neighbour(&self, volume: &VolumeId) -> Option<&UncoveredMount> {
        self.uncovered
            .iter()
            .find(|m| may_change(&m.reason) && m.volumes.contains(volume))
    }

    /// Device name of a volume, empty when unknown.
    pub fn device(&self, volume: &VolumeId) -> &str {
        self.volumes
            .iter()
            .find(|v| v.volume == *volume)
            .map_or("", |v| v.device.as_str())
    }

    /// Whether the database's data directory lies on a covered mount.
    pub fn datadir_is_covered(&self) -> bool {
        self.engine
            .as_ref()
            .is_some_and(|engine| self.covers(&engine.datadir))
    }

    /// Whether a directory lies on a covered mount: the mount with the longest matching path decides.
    /// A bind mount or subvolume of a covered filesystem is frozen with it.
    pub fn covers(&self, path: &str) -> bool {
        let under = |mount: &str| below(mount, path);
        let frozen = self.covered_volumes();
        let with_another = |m: &&UncoveredMount| {
            m.reason == SAME_FILESYSTEM
                && !m.volumes.is_empty()
                && m.volumes.iter().all(|v| frozen.contains(v))
        };
        // What is frozen and not in the set covers nothing.
        let out = |m: &&CoveredMount| m.volumes.iter().any(|v| self.leaves_out(v));
        let covered = self
            .covered
            .iter()
            .filter(|m| !out(m))
            .map(|m| m.mount.as_str())
            .chain(
                self.uncovered
                    .iter()
                    .filter(with_another)
                    .map(|m| m.mount.as_str()),
            )
            .filter_map(under)
            .max();
        let other = self
            .uncovered
            .iter()
            .filter(|m| !with_another(m))
            .map(|m| &m.mount)
            .chain(self.covered.iter().filter(out).map(|m| &m.mount))
            .filter_map(|mount| under(mount))
            .max();
        covered.is_some() && covered > other
    }

    /// Whether the mount that holds this path lies on this volume.
    pub fn holds(&self, volume: &VolumeId, path: &str) -> bool {
        let mounts = self.covered.iter().map(|m| (&m.mount, &m.volumes));
        mounts
            .chain(self.uncovered.iter().map(|m| (&m.mount, &m.volumes)))
            .filter_map(|(mount, volumes)| Some((below(mount, path)?, volumes)))
            .max_by_key(|(length, _)| *length)
            .is_some_and(|(_, volumes)| volumes.contains(volume))
    }
}

/// Whether a dry run was refused only because the instance's role may not make the snapshots, or because there is none.
/// It has looked at everything else before it said so.
pub fn lacks_only_the_role(dry_run: &Trace) -> bool {
    let mut errors = dry_run.events().filter_map(|said| match said {
        TraceEvent::Error { code, .. } => Some(code.as_str()),
        _ => None,
    });
    let refused = matches!(dry_run.events().last(), Some(TraceEvent::End { outcome, .. }) if outcome == "refused");
    refused && matches!((errors.next(), errors.next()), (Some(code), None) if is_of_the_role(code))
}

/// How long a mount's path is, where the other path lies below it or is it.
fn below(mount: &str, path: &str) -> Option<usize> {
    let base = mount.trim_end_matches('/');
    path.strip_prefix(base)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .map(|_| base.len())
}

/// What tells one disk from another in the names of attachments and of Xen's kernels: the letters after
/// `sd` or `xvd`, without a partition's number. `None` for names of another kind.
fn disk_letters(name: &str) -> Option<&str> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let rest = name
        .strip_prefix("xvd")
        .or_else(|| name.strip_prefix("sd"))?;
    let letters = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    (!letters.is_empty() && letters.bytes().all(|b| b.is_ascii_lowercase())).then_some(letters)
}

#[cfg(test)]
mod tests;
