//! The machine below: programs, loop devices, processes, mounts.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::runtime::RuntimeError;

/// How long the kernel gets to let go of something.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Refuses, by name, when a program is missing.
pub(super) fn check_tools() -> Result<(), RuntimeError> {
    let tools = [
        "losetup",
        "mkfs.btrfs",
        "mkfs.ext4",
        "mkfs.xfs",
        "btrfs",
        "mount",
        "umount",
        "fsfreeze",
        "nsenter",
        "unshare",
        "pivot_root",
        "mknod",
        "hostname",
        "setpriv",
        "bash",
    ];
    let missing: Vec<&str> = tools.into_iter().filter(|tool| !on_path(tool)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("the real runtime needs {}", missing.join(", ")))
    }
}

fn on_path(tool: &str) -> bool {
    PATH.split(':')
        .any(|dir| Path::new(dir).join(tool).exists())
}

/// Where programs are found, also when the caller's environment has no `sbin`.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that begins with no descriptor but the first three. Whoever started freezeframe may have left others open,
/// which lead to this machine's files; `bash`, because `sh` closes those from 10 on nowhere.
pub(super) fn alone(program: &str) -> Command {
    const ALONE: &str = r#"for F in /proc/self/fd/*; do F=${F##*/}; case $F in 0|1|2|255) ;; *) eval "exec $F>&-" ;; esac; done; exec "$@""#;
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile", "-c", ALONE, "bash", program]);
    command
}

/// Runs a program to its end; its output, or what it complained of.
pub(super) fn run<I, S>(program: &str, args: I) -> Result<String, RuntimeError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let output = Command::new(program)
        .env("PATH", PATH)
        .args(args)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// Waits until `done`; false when the kernel's patience is over.
pub(super) fn wait_until(done: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if done() {
            return true;
        }
        if began.elapsed() > PATIENCE {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the kernel lets loops and mounts go in its own time and tells nobody; this runs on a blocking thread"
        )]
        std::thread::sleep(PAUSE);
    }
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), RuntimeError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// When a process started, in ticks since boot: with the pid it names one process for ever.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie runs no more.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// SIGKILL, if the process is still the one that started then.
pub(super) fn kill(pid: u32, started: u64) {
    if start_time(pid) == Some(started)
        && let Some(pid) = i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
    {
        // It may have gone in between, which is what we want.
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
    }
}

/// The first child of a process.
pub(super) fn child_of(pid: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Attaches a file to a free loop device and returns `/dev/loopN`.
pub(super) fn attach_loop(file: &Path) -> Result<String, RuntimeError> {
    let args: [&OsStr; 4] = [
        "--find".as_ref(),
        "--show".as_ref(),
        "--direct-io=off".as_ref(),
        file.as_ref(),
    ];
    run("losetup", args)
}

/// The file below a loop device.
fn backing_file(device: &str) -> Option<PathBuf> {
    let name = device.strip_prefix("/dev/")?;
    let text = std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()?;
    Some(PathBuf::from(
        text.trim_end().trim_end_matches(" (deleted)"),
    ))
}

/// Loop devices whose file is `path` or lies below it.
pub(super) fn loops_on(path: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            entry
                .file_name()
                .into_string()
                .ok()
                .filter(|name| name.starts_with("loop"))
        })
        .filter_map(|name| {
            let device = format!("/dev/{name}");
            let file = backing_file(&device)?;
            file.starts_with(path).then_some((device, file))
        })
        .collect()
}

/// Whether a filesystem still holds a block device: it cannot be opened for oneself alone.
pub(super) fn is_held(device: &str) -> bool {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::EXCL.bits().cast_signed();
    let opened = std::fs::File::options()
        .read(true)
        .custom_flags(flags)
        .open(device);
    opened.is_err_and(|error| error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()))
}

/// Detaches a loop device that still has the file, and waits until it has let go.
pub(super) fn detach_loop(device: &str, file: &Path) -> Result<(), RuntimeError> {
    if backing_file(device).as_deref() != Some(file) {
        return Ok(());
    }
    run("losetup", ["--detach", device])?;
    if wait_until(|| backing_file(device).as_deref() != Some(file)) {
        return Ok(());
    }
    Err(format!("{device} is still in use"))
}

/// Kernel number `major:minor` of a block device.
pub(super) fn device_number(device: &str) -> Option<String> {
    let name = device.strip_prefix("/dev/")?;
    std::fs::read_to_string(format!("/sys/block/{name}/dev"))
        .ok()
        .map(|text| text.trim().to_owned())
}

/// What a process has mounted: device path, device number, mount point.
pub(super) fn mounts(pid: &str) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().filter_map(mount_line).collect()
}

fn mount_line(line: &str) -> Option<(String, String, String)> {
    let (left, right) = line.split_once(" - ")?;
    let mut fields = left.split(' ').skip(2);
    let number = fields.next()?.to_owned();
    let point = unescape(fields.nth(1)?);
    Some((unescape(right.split(' ').nth(1)?), number, point))
}

fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_are_read() {
        let line =
            r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/loop7 rw,errors=continue";
        assert_eq!(
            mount_line(line),
            Some(("/dev/loop7".into(), "98:0".into(), "/mnt 2".into()))
        );
    }

    #[test]
    fn a_process_is_named_by_its_start() {
        let me = std::process::id();
        let started = start_time(me).unwrap();
        assert!(started > 0);
        // Another start time means another process: this must not kill us.
        kill(me, started + 1);
        assert_eq!(start_time(me), Some(started));
    }
}
