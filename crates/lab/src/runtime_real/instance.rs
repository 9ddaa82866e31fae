//! An instance: mounts, processes, names and System V objects of its own. It sees this machine's programs and nothing
//! else of it: what it can write lies in memory, what it can freeze or mount are its own volumes.
//!
//! It is no prison. Whoever has the lab's key is root here; this keeps a document that goes through everything that it
//! finds (`/proc/mounts`, `lsblk`, `/dev`) away from the machine, which is what documents do.

use std::fs::create_dir_all;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::machine;
use super::record::{Process, Record};
use crate::runtime::RuntimeError;

const BY_ID: &str = "dev/disk/by-id";
/// Where the kernel lists block devices by name and by number; here an instance finds its own ones.
const LISTS: [&str; 2] = ["sys/block", "sys/class/block"];
const NUMBERS: &str = "sys/dev/block";

/// Makes the instance's root and then waits for the end of its lab, taking in orphans as an init does. `$1` is an empty
/// directory. Standard input is a pipe that the lab holds: when the lab is dead, however it died, the pipe is at its
/// end. Then every process of the instance is killed, what they have frozen is thawed (a process that waits for a frozen
/// filesystem dies no sooner), and with the first process the namespaces end.
///
/// Programs come through an overlay each, because the ioctl that freezes is refused on an overlay: a bind mount, also a
/// read-only one, would lead to the machine's own filesystem. Of `/etc` only what programs need is copied: no password,
/// no key, no `fstab`.
const INIT: &str = r#"
set -e
umask 022
mount -t tmpfs -o mode=755,nodev,size=1g freezeframe-lab "$1"
mkdir "$1/upper" "$1/work" "$1/root"
R=$1/root
mount --bind "$R" "$R"
for D in usr bin sbin lib lib32 lib64 libx32; do
    if [ -h "/$D" ]; then
        cp -P "/$D" "$R/$D"
    elif [ -d "/$D" ]; then
        mkdir "$R/$D" "$1/upper/$D" "$1/work/$D"
        mount -t overlay -o "nodev,lowerdir=/$D,upperdir=$1/upper/$D,workdir=$1/work/$D" "freezeframe-$D" "$R/$D"
    fi
done
cd "$R"
mkdir dev etc home mnt opt proc root run srv sys tmp var
mkdir var/cache var/lib var/log var/spool var/tmp
mkdir -p etc/default etc/ssl etc/pki/tls var/lib/amazon/ssm
chmod 700 root
chmod 1777 var/tmp
ln -s ../run var/run
for F in alternatives bash.bashrc ca-certificates.conf crypto-policies default/locale group host.conf ld.so.cache ld.so.conf     ld.so.conf.d locale.alias locale.conf localtime login.defs mke2fs.conf nsswitch.conf os-release passwd pki/tls/certs     profile protocols resolv.conf services shells ssl/certs ssl/openssl.cnf timezone; do
    if [ -e "/etc/$F" ] || [ -h "/etc/$F" ]; then cp -a "/etc/$F" "etc/$F"; fi
done
ln -s ../proc/self/mounts etc/mtab
: >etc/fstab
echo "127.0.0.1 localhost" >etc/hosts
echo "$2" >etc/hostname
hostname "$2"
for D in run tmp; do mount -t tmpfs -o nodev,nosuid,size=1g tmpfs "$D"; done
chmod 755 run
mount -t tmpfs -o mode=755,nosuid,noexec,size=1m tmpfs dev
for N in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
    set -- $N "$1"
    mknod -m 666 "dev/$1" c "$2" "$3"
    set -- "$4"
done
mkdir -p dev/pts dev/shm dev/disk/by-id
mount -t devpts -o newinstance,nosuid,noexec,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777,nodev,nosuid,size=512m tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for N in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${N%:*}" "dev/${N#*:}"; done
mount -t proc -o nodev,nosuid,noexec proc proc
for P in sys sysrq-trigger irq bus fs; do
    if [ -e "proc/$P" ]; then
        mount --bind "proc/$P" "proc/$P"
        mount -o remount,bind,ro "proc/$P"
    fi
done
for P in kcore kmsg keys timer_list; do
    if [ -e "proc/$P" ]; then mount --bind dev/null "proc/$P"; fi
done
mount -t sysfs -o nodev,nosuid,noexec sysfs sys
for P in block class/block dev/block; do mount -t tmpfs -o mode=755,nodev,nosuid,noexec,size=1m tmpfs "sys/$P"; done
mount -o remount,bind,ro sys
mkdir .freezeframe-old
pivot_root . .freezeframe-old
cd /
umount -l /.freezeframe-old
rmdir /.freezeframe-old
exec sh -c '
echo ready
exec >/dev/null 2>&1
until cat; do :; done
others() { for P in /proc/[0-9]*; do case $P in /proc/1) ;; *) S=; read -r S <"$P/cmdline"; if [ -n "$S" ]; then return 0; fi ;; esac; done; return 1; }
thaw() { while read -r D M S; do case $D in /dev/*) fsfreeze -u "$(printf %b "$M")" ;; esac; done </proc/mounts; }
kill -KILL -1
thaw
N=0
while others && [ $N -lt 100 ]; do
    kill -KILL -1
    sleep 0.1
    thaw
    N=$((N + 1))
done
thaw
exit 0
'
"#;

/// A running instance.
pub(super) struct Namespace {
    init: Process,
    /// Its standard input is the pipe whose end tells the instance that the lab is dead.
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
        let mut unshare = machine::alone("unshare")
            .args([
                "--mount",
                "--pid",
                "--uts",
                "--ipc",
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
            .arg(instance)
            .env_clear()
            .env("PATH", machine::PATH)
            // A pipe, and no node of this machine's.
            .stdin(Stdio::piped())
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

    /// The instance's root directory as this machine sees it.
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

    /// Unmounts a place inside.
    pub(super) fn unmount(&self, at: &str) -> Result<(), RuntimeError> {
        let pid = self.init.pid.to_string();
        machine::run("nsenter", ["-t", &pid, "-m", "umount", at])?;
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

    /// What stands for a device in the instance's lists of block devices: name there, and what it leads to.
    fn entries(&self, device: &str) -> Result<Vec<(PathBuf, PathBuf)>, RuntimeError> {
        let unknown = || format!("{device} is no block device of this machine");
        let name = device.strip_prefix("/dev/").ok_or_else(unknown)?;
        let number = machine::device_number(device).ok_or_else(unknown)?;
        let names = LISTS.into_iter().map(|list| (list, name));
        names
            .chain([(NUMBERS, number.as_str())])
            .map(|(list, entry)| {
                let original = Path::new("/").join(list).join(entry);
                let target = std::fs::read_link(&original)
                    .map_err(|error| format!("{}: {error}", original.display()))?;
                Ok((self.root().join(list).join(entry), target))
            })
            .collect()
    }

    /// Makes a device and the volume on it known, by its serial too, as udev does for EBS.
    pub(super) fn show(&self, volume: &str, device: &str) -> Result<(), RuntimeError> {
        use std::os::unix::fs::symlink;
        let failed = |error: std::io::Error| format!("{volume}: {error}");
        let number = machine::device_number(device).unwrap_or_default();
        let (major, minor) = number.split_once(':').unwrap_or_default();
        let node = self.node(device);
        // One that was left by a test or a document is not ours to trust.
        machine::remove(&node)?;
        machine::run(
            "mknod",
            ["-m", "660", &node.to_string_lossy(), "b", major, minor],
        )?;
        for (entry, target) in self.entries(device)? {
            machine::remove(&entry)?;
            symlink(target, entry).map_err(failed)?;
        }
        let target = format!("../..{}", device.strip_prefix("/dev").unwrap_or(device));
        symlink(target, self.link(volume)).map_err(failed)
    }

    /// Takes the volume's names and its device away.
    pub(super) fn hide(&self, volume: &str, device: &str) -> Result<(), RuntimeError> {
        machine::remove(&self.link(volume))?;
        for (entry, _) in self.entries(device)? {
            machine::remove(&entry)?;
        }
        machine::remove(&self.node(device))
    }

    fn node(&self, device: &str) -> PathBuf {
        self.root().join(device.strip_prefix('/').unwrap_or(device))
    }

    /// Lets the pipe go, as the kernel does when the lab is killed.
    #[cfg(test)]
    pub(super) fn let_go(&mut self) {
        drop(self.unshare.stdin.take());
    }

    /// Waits for the end of an instance that was killed.
    pub(super) fn reap(mut self) {
        self.unshare.wait().ok();
    }
}
