//! An instance: its own mounts and processes over a throw-away copy of this machine's root filesystem.

use std::fs::create_dir_all;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::machine;
use super::record::{Process, Record};
use crate::lab::runtime::RuntimeError;

const BY_ID: &str = "dev/disk/by-id";

/// Makes the instance's root and then waits for ever, taking in orphans as an init does. `$1` is an empty directory.
const INIT: &str = r#"
set -e
mount -t tmpfs -o mode=755 freezeframe-lab "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" freezeframe-root "$1/root"
R=$1/root
mount -t proc proc "$R/proc"
for D in dev sys tmp; do mount --rbind "/$D" "$R/$D"; done
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mount -t tmpfs -o mode=755 tmpfs "$R/dev/disk"
mkdir -p "$R/dev/disk/by-id" "$R/var/lib/amazon/ssm" "$R/.freezeframe-old"
cd "$R"
pivot_root . .freezeframe-old
cd /
umount -l /.freezeframe-old
rmdir /.freezeframe-old
echo ready
exec >/dev/null 2>&1
while :; do sleep 86400; done
"#;

/// A running instance.
pub(super) struct Namespace {
    init: Process,
    unshare: Child,
}

impl Namespace {
    /// Starts an instance; the record names its first process.
    pub(super) fn start(
        state_dir: &Path,
        instance: &str,
        record: &mut Record,
    ) -> Result<Self, RuntimeError> {
        let failed = |error: std::io::Error| format!("{instance}: {error}");
        let root = state_dir.join("roots").join(instance);
        create_dir_all(&root).map_err(failed)?;
        if !Path::new("/dev/disk").exists() {
            record.made_dev_disk = true;
            record.save(state_dir)?;
            create_dir_all("/dev/disk").map_err(failed)?;
        }
        let mut unshare = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--propagation",
                "private",
                "sh",
                "-c",
                INIT,
                "sh",
            ])
            .arg(&root)
            .env_clear()
            .env("PATH", machine::PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Not in our group: ctrl-C is for the console, which then ends its instances in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = unshare.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        if line.trim() != "ready" {
            let mut complaint = String::new();
            if let Some(mut err) = unshare.stderr.take() {
                err.read_to_string(&mut complaint).map_err(failed)?;
            }
            unshare.wait().map_err(failed)?;
            return Err(format!(
                "{instance}: its namespace could not be made: {}",
                complaint.trim()
            ));
        }
        drop(unshare.stderr.take());
        let init = machine::child_of(unshare.id()).and_then(|pid| {
            Some(Process {
                pid,
                started: machine::start_time(pid)?,
            })
        });
        let Some(init) = init else {
            unshare.kill().map_err(failed)?;
            unshare.wait().map_err(failed)?;
            return Err(format!("{instance}: its first process was lost"));
        };
        record.inits.push(init);
        Ok(Self { init, unshare })
    }

    pub(super) fn pid(&self) -> u32 {
        self.init.pid
    }

    /// Its root directory as this machine sees it.
    pub(super) fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init.pid))
    }

    /// Mounts a device inside.
    pub(super) fn mount(&self, device: &str, at: &str) -> Result<(), RuntimeError> {
        let pid = self.init.pid.to_string();
        machine::run("nsenter", ["-t", &pid, "-m", "mkdir", "-p", at])?;
        machine::run("nsenter", ["-t", &pid, "-m", "mount", device, at])?;
        Ok(())
    }

    /// Where a device is mounted inside, if it is.
    pub(super) fn mounted_at(&self, device: &str) -> Option<String> {
        let number = machine::device_number(device);
        let mounts = machine::mounts(&self.init.pid.to_string());
        mounts
            .into_iter()
            .find(|(source, major_minor, _)| {
                source == device || Some(major_minor) == number.as_ref()
            })
            .map(|(_, _, at)| at)
    }

    fn link(&self, volume: &str) -> PathBuf {
        self.root().join(BY_ID).join(format!(
            "nvme-Amazon_Elastic_Block_Store_{}",
            volume.replace('-', "")
        ))
    }

    /// Makes the volume known by its serial, as udev does for EBS.
    pub(super) fn show(&self, volume: &str, device: &str) -> Result<(), RuntimeError> {
        let target = format!("../..{}", device.strip_prefix("/dev").unwrap_or(device));
        std::os::unix::fs::symlink(target, self.link(volume))
            .map_err(|error| format!("{volume}: {error}"))
    }

    /// Takes the volume's name away.
    pub(super) fn hide(&self, volume: &str) -> Result<(), RuntimeError> {
        machine::remove(&self.link(volume))
    }

    /// Waits for the end of an instance that was killed.
    pub(super) fn reap(mut self) {
        self.unshare.wait().ok();
    }
}
