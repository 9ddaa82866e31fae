//! Who drives a job: processes named so that a later one can tell whether they still live.

use std::fs;

/// Names this process so that a later one can tell whether it still lives: host, boot and process
/// namespace, pid, and the start time of the process, because pids are used again.
pub fn owner_of_this_process() -> String {
    let pid = std::process::id();
    format!("{}:{pid}:{}", place(), started(pid).unwrap_or_default())
}

/// Where pids mean what they mean here.
fn place() -> String {
    let read = |file: &str| fs::read_to_string(file).map(|text| text.trim().to_owned());
    let host = read("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".to_owned());
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let pids = fs::read_link("/proc/self/ns/pid")
        .map(|link| link.to_string_lossy().replace(':', ""))
        .unwrap_or_default();
    format!("{host}/{boot}/{pids}")
}

/// Field 22 of `/proc/PID/stat`, in clock ticks since boot; fields are counted after the last `)`.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

/// What can be said of the process that drove a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// It lives.
    Alive,
    /// It is gone.
    Gone,
    /// It ran where we cannot look; it counts as gone once its budget is certainly spent.
    Elsewhere,
}

/// Whether the process of that name (see [`owner_of_this_process`]) still lives.
pub fn owner_state(owner: &str) -> OwnerState {
    let mut parts = owner.rsplitn(3, ':');
    let (Some(start), Some(pid), Some(on)) = (parts.next(), parts.next(), parts.next()) else {
        return OwnerState::Elsewhere;
    };
    if on != place() || start.is_empty() {
        return OwnerState::Elsewhere;
    }
    match pid.parse::<u32>().ok().and_then(started) {
        Some(now) if now == start => OwnerState::Alive,
        _ => OwnerState::Gone,
    }
}

/// An open job that nobody drives: the next start, of whatever process, resumes it at once.
pub(in crate::ops) fn owner_of_no_process() -> String {
    format!("{}:0:0", place())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_process_counts_as_alive() {
        let me = owner_of_this_process();
        assert_eq!(owner_state(&me), OwnerState::Alive);
        let (rest, _) = me.rsplit_once(':').unwrap();
        assert_eq!(
            owner_state(&format!("{rest}:1")),
            OwnerState::Gone,
            "same pid, another start"
        );
        assert_eq!(owner_state(&owner_of_no_process()), OwnerState::Gone);
        assert_eq!(owner_state("elsewhere:1:1"), OwnerState::Elsewhere);
        assert_eq!(owner_state("nonsense"), OwnerState::Elsewhere);
    }
}
