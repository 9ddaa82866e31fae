//! What the runtime made on the machine, on disk before it exists, so that the next start can take it away after a
//! crash. Only what the record and its own backing files prove to be ours is touched.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{machine, store};
use crate::runtime::RuntimeError;

const FILE: &str = "record.json";

/// A process, named so that its pid's next owner is never meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub pid: u32,
    pub started: u64,
}

/// What there is to undo beside the store, which is found by its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// First processes of the instances' namespaces.
    pub inits: Vec<Process>,
}

impl Record {
    /// What a predecessor wrote; `None` when there was none, or it left nothing readable.
    pub(super) fn load(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state_dir.join(FILE)).ok()?).ok()
    }

    /// Writes it, whole or not at all.
    pub(super) fn save(&self, state_dir: &Path) -> Result<(), RuntimeError> {
        let (path, new) = (state_dir.join(FILE), state_dir.join("record.new"));
        let text = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Undoes everything: thaws, ends the instances, detaches, unmounts, removes. Finding nothing is fine.
pub(super) fn clean(state_dir: &Path, record: Option<Record>) -> Result<(), RuntimeError> {
    let (image, mount) = (store::image(state_dir), store::mount_point(state_dir));
    let record = record.unwrap_or_default();
    let volumes = machine::loops_on(&mount.join("live"));
    let inits: Vec<Process> = record
        .inits
        .iter()
        .copied()
        .filter(|init| machine::start_time(init.pid) == Some(init.started))
        .collect();
    let pins = pins(&inits, &volumes);
    thaw(&pins);
    for init in &inits {
        machine::kill(init.pid, init.started);
    }
    let gone = machine::wait_until(|| {
        // A process that began to wait for a frozen filesystem after the first thaw dies only after another.
        thaw(&pins);
        inits
            .iter()
            .all(|init| machine::start_time(init.pid) != Some(init.started))
    });
    if !gone {
        return Err("an instance's first process does not end".to_owned());
    }
    // Whatever froze between thaw and kill is reached through the pinned directories, though its namespace is gone.
    thaw(&pins);
    drop(pins);
    for (device, file) in volumes {
        release(&state_dir.join("thaw"), &device);
        machine::detach_loop(&device, &file)?;
    }
    let at = mount.to_string_lossy().into_owned();
    if machine::mounts("self")
        .iter()
        .any(|(_, _, point)| *point == at)
    {
        machine::run("umount", [mount.as_os_str()])?;
    }
    for (device, file) in machine::loops_on(&image) {
        machine::detach_loop(&device, &file)?;
    }
    machine::remove(&image)?;
    for dir in [mount, state_dir.join("roots")] {
        empty_out(&dir)?;
    }
    machine::remove(&state_dir.join(FILE))
}

/// A filesystem stays frozen, and holds its device, after the last namespace that had it mounted. The same filesystem
/// mounted once more is that one: a thaw by any mount of it is a thaw.
fn release(at: &Path, device: &str) {
    if !machine::is_held(device) || std::fs::create_dir_all(at).is_err() {
        return;
    }
    let place = at.as_os_str();
    // Refused where it is not what it looks like, or a filesystem has no such option.
    let mounted = machine::run(
        "mount",
        ["-o".as_ref(), "nouuid".as_ref(), device.as_ref(), place],
    )
    .or_else(|_| machine::run("mount", [device.as_ref(), place]));
    if mounted.is_ok() {
        machine::run("fsfreeze", ["-u".as_ref(), place]).ok();
        machine::run("umount", [place]).ok();
    }
    std::fs::remove_dir(at).ok();
}

/// Removes a directory and its empty subdirectories; what is not empty is not ours to remove.
fn empty_out(dir: &Path) -> Result<(), RuntimeError> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.filter_map(Result::ok) {
        std::fs::remove_dir(entry.path())
            .map_err(|error| format!("{}: {error}", entry.path().display()))?;
    }
    std::fs::remove_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))
}

/// Open directories on each mount that an instance made of our volumes: they reach it even after its namespace.
fn pins(inits: &[Process], volumes: &[(String, PathBuf)]) -> Vec<File> {
    let numbers: Vec<String> = volumes
        .iter()
        .filter_map(|(device, _)| machine::device_number(device))
        .collect();
    let ours = |device: &str, number: &String| {
        volumes.iter().any(|(ours, _)| ours == device) || numbers.contains(number)
    };
    inits
        .iter()
        .flat_map(|init| {
            machine::mounts(&init.pid.to_string())
                .into_iter()
                .map(|mount| (init.pid, mount))
        })
        .filter(|(_, (device, number, _))| ours(device, number))
        .filter_map(|(pid, (_, _, point))| File::open(format!("/proc/{pid}/root{point}")).ok())
        .collect()
}

/// Thaws; a filesystem that is not frozen refuses, which is fine.
fn thaw(pins: &[File]) {
    use std::os::fd::AsRawFd as _;
    for pin in pins {
        machine::run(
            "fsfreeze",
            [
                "-u".to_owned(),
                format!("/proc/{}/fd/{}", std::process::id(), pin.as_raw_fd()),
            ],
        )
        .ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_rubbish_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::load(dir.path()), None);
        let record = Record {
            inits: vec![Process {
                pid: 7,
                started: 99,
            }],
        };
        record.save(dir.path()).unwrap();
        assert_eq!(Record::load(dir.path()), Some(record));
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(Record::load(dir.path()), None);
    }

    #[test]
    fn cleaning_an_empty_place_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        clean(dir.path(), None).unwrap();
        // A pid with another start time is somebody else's.
        let stranger = Process {
            pid: std::process::id(),
            started: 1,
        };
        clean(
            dir.path(),
            Some(Record {
                inits: vec![stranger],
            }),
        )
        .unwrap();
        assert!(dir.path().exists());
    }
}
