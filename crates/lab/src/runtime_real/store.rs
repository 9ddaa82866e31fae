//! The store: one sparse btrfs image that holds all volumes' images, so that a set is one atomic snapshot.

use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};

use super::machine;
use super::record::Record;
use crate::runtime::{RuntimeError, VolumeSpec};

/// Size of the store's sparse image, in bytes.
const STORE_BYTES: u64 = 16 << 30;
/// Real size of a volume, in bytes; the API reports what was asked for.
const VOLUME_BYTES: u64 = 1 << 30;

/// Filesystems that a volume can begin with.
pub(super) fn can_make(filesystem: &str) -> bool {
    matches!(filesystem, "ext4" | "xfs" | "btrfs")
}

/// Where images are.
pub(super) struct Store {
    mount: PathBuf,
}

/// The store's image below a state directory.
pub(super) fn image(state_dir: &Path) -> PathBuf {
    state_dir.join("store.img")
}

/// Where the store is mounted below a state directory.
pub(super) fn mount_point(state_dir: &Path) -> PathBuf {
    state_dir.join("store")
}

fn sparse(path: &Path, bytes: u64) -> Result<(), RuntimeError> {
    let file = File::options().create(true).append(true).open(path);
    file.and_then(|file| {
        if file.metadata()?.len() < bytes {
            file.set_len(bytes)
        } else {
            Ok(())
        }
    })
    .map_err(|error| format!("{}: {error}", path.display()))
}

impl Store {
    /// Makes, attaches and mounts a new store; the record knows of each step before it happens.
    pub(super) fn create(state_dir: &Path, record: &mut Record) -> Result<Self, RuntimeError> {
        let (image, mount) = (image(state_dir), mount_point(state_dir));
        record.save(state_dir)?;
        let made = Self::make(&image, &mount);
        if made.is_err() {
            super::record::clean(state_dir, Some(std::mem::take(record)))?;
        }
        made
    }

    fn make(image: &Path, mount: &Path) -> Result<Self, RuntimeError> {
        sparse(image, STORE_BYTES)?;
        machine::run(
            "mkfs.btrfs",
            ["-q".as_ref(), "-f".as_ref(), image.as_os_str()],
        )?;
        create_dir_all(mount).map_err(|error| format!("{}: {error}", mount.display()))?;
        let device = machine::attach_loop(image)?;
        machine::run(
            "mount",
            [
                "-t".as_ref(),
                "btrfs".as_ref(),
                "-o".as_ref(),
                "noatime".as_ref(),
                device.as_ref(),
                mount.as_os_str(),
            ],
        )?;
        let store = Self {
            mount: mount.to_owned(),
        };
        machine::run(
            "btrfs",
            [
                "-q".as_ref(),
                "subvolume".as_ref(),
                "create".as_ref(),
                store.live().as_os_str(),
            ],
        )?;
        let sets = store.mount.join("sets");
        create_dir_all(&sets).map_err(|error| format!("{}: {error}", sets.display()))?;
        Ok(store)
    }

    fn live(&self) -> PathBuf {
        self.mount.join("live")
    }

    fn set(&self, number: u64) -> PathBuf {
        self.mount.join("sets").join(number.to_string())
    }

    /// The path of a volume's image file.
    pub(super) fn volume(&self, volume: &str) -> PathBuf {
        self.live().join(format!("{volume}.img"))
    }

    /// A volume's image as a set holds it.
    pub(super) fn image_in_set(&self, number: u64, volume: &str) -> PathBuf {
        self.set(number).join(format!("{volume}.img"))
    }

    /// Makes a volume: a copy of `source` that shares its blocks, or new, with its filesystem if it has one.
    pub(super) fn create_volume(
        &self,
        spec: &VolumeSpec,
        source: Option<&Path>,
    ) -> Result<(), RuntimeError> {
        let path = self.volume(&spec.id);
        if path.exists() {
            return Ok(());
        }
        if let Some(source) = source {
            machine::run(
                "cp",
                [
                    "--reflink=always".as_ref(),
                    "--no-preserve=mode".as_ref(),
                    source.as_os_str(),
                    path.as_os_str(),
                ],
            )?;
        }
        sparse(&path, VOLUME_BYTES.min(u64::from(spec.size_gib) << 30))?;
        let made = match spec.filesystem.as_deref().filter(|_| source.is_none()) {
            Some("ext4") => machine::run(
                "mkfs.ext4",
                ["-q".as_ref(), "-F".as_ref(), path.as_os_str()],
            ),
            Some("xfs") => {
                machine::run("mkfs.xfs", ["-q".as_ref(), "-f".as_ref(), path.as_os_str()])
            }
            Some("btrfs") => machine::run(
                "mkfs.btrfs",
                ["-q".as_ref(), "-f".as_ref(), path.as_os_str()],
            ),
            _ => Ok(String::new()),
        };
        if made.is_err() {
            machine::remove(&path)?;
        }
        made.map(|_| ())
    }

    /// All volumes at one instant.
    pub(super) fn snapshot(&self, number: u64) -> Result<(), RuntimeError> {
        let (live, set) = (self.live(), self.set(number));
        machine::run(
            "btrfs",
            [
                "-q".as_ref(),
                "subvolume".as_ref(),
                "snapshot".as_ref(),
                "-r".as_ref(),
                live.as_os_str(),
                set.as_os_str(),
            ],
        )?;
        Ok(())
    }

    /// Removes a set whose last snapshot is gone.
    pub(super) fn delete_set(&self, number: u64) -> Result<(), RuntimeError> {
        machine::run(
            "btrfs",
            [
                "-q".as_ref(),
                "subvolume".as_ref(),
                "delete".as_ref(),
                self.set(number).as_os_str(),
            ],
        )?;
        Ok(())
    }
}
