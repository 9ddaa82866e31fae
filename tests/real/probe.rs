//! Is a filesystem frozen? Asked of the kernel, independently of everything that is tested: a reconfigure without
//! changes (`fspick`, `fsconfig`) answers EBUSY on a frozen filesystem, at once and without changing it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::lab::{Lab, PATH, PATIENCE};

/// Prints a line for each change of state, the first at once: the state, and when, in milliseconds of the clock that the
/// instances' scripts read.
const PROBE: &str = r#"
import ctypes, errno, sys, time
libc = ctypes.CDLL(None, use_errno=True)
last = None
while True:
    fd = libc.syscall(433, -100, sys.argv[1].encode(), 0)
    if fd < 0:
        sys.exit("fspick: " + errno.errorcode[ctypes.get_errno()])
    if libc.syscall(431, fd, 7, None, None, 0) == 0:
        now = "thawed"
    elif ctypes.get_errno() == errno.EBUSY:
        now = "frozen"
    else:
        sys.exit("fsconfig: " + errno.errorcode[ctypes.get_errno()])
    libc.close(fd)
    if now != last:
        print(now, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000, flush=True)
        last = now
    if len(sys.argv) > 2:
        break
    time.sleep(0.004)
"#;

fn python(lab: &Lab, instance: &str, mount: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-c", PROBE])
        .arg(lab.path(instance, mount))
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null());
    command
}

/// Once.
pub fn frozen(lab: &Lab, instance: &str, mount: &str) -> bool {
    let output = python(lab, instance, mount).arg("once").output().unwrap();
    match String::from_utf8_lossy(&output.stdout).split(' ').next() {
        Some("frozen") => true,
        Some("thawed") => false,
        _ => panic!(
            "probe of {mount}: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// All the time.
pub struct Probe {
    child: Child,
    changes: Receiver<String>,
    mount: String,
}

impl Probe {
    /// Starts watching a mount that is not frozen now.
    pub fn start(lab: &Lab, instance: &str, mount: &str) -> Self {
        let mut child = python(lab, instance, mount)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let (lines, changes) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let probe = Self {
            child,
            changes,
            mount: mount.to_owned(),
        };
        probe.wait("thawed");
        probe
    }

    /// Waits for the next change, which must be this one, and returns when it was seen, by the clock of
    /// [`super::lab::uptime_ms`].
    pub fn wait(&self, state: &str) -> u64 {
        let change = self.changes.recv_timeout(PATIENCE).unwrap_or_default();
        let (became, ms) = change.split_once(' ').unwrap_or_default();
        assert_eq!(became, state, "{} did not become {state}", self.mount);
        ms.parse().unwrap()
    }

    /// When it was last seen to thaw since the last look, without waiting; `None` where it never froze.
    pub fn last_thaw(&self) -> Option<u64> {
        let thaws = self.changes.try_iter().filter_map(|change| {
            let ms = change.strip_prefix("thawed ")?;
            ms.parse().ok()
        });
        thaws.last()
    }

    /// Whether it was seen frozen since the last look, without waiting.
    pub fn seen_frozen(&self) -> bool {
        self.changes
            .try_iter()
            .any(|change| change.starts_with("frozen"))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
