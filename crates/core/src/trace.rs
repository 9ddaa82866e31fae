//! What an instance's script said: the events of the line protocol FF1 (`docs/line-protocol.md`), typed.

mod order;
mod parse;

pub use order::{check_one, check_order};
pub use parse::parse;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::ids::{SnapshotId, VolumeId};

/// One event of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum TraceEvent {
    /// First line of every command.
    Hello {
        /// Recipe of the document.
        recipe: String,
        /// The document's own version.
        version: u64,
        /// The job, as given in `executionId`.
        job: String,
        /// `dry-run`, `pre-script`, `post-script` or `snapshot`.
        command: String,
    },
    /// A tool that was looked for.
    Tool {
        /// Its name.
        name: String,
        /// Where it is, if it is.
        path: Option<String>,
    },
    /// A mount on a block device.
    Mount {
        /// Mount point.
        mount: String,
        /// Filesystem type.
        fs: String,
        /// Device node.
        dev: String,
        /// EBS volumes underneath.
        volumes: Vec<VolumeId>,
        /// Kernel names of the disks underneath (`xvdf`), where the kernel does not know the volumes.
        #[serde(default)]
        disks: Vec<String>,
        /// Would be (or is to be) frozen.
        covered: bool,
        /// Why not, when not.
        reason: Option<String>,
    },
    /// Where the agent keeps its own files.
    Agent {
        /// The directory.
        path: String,
        /// The mount that carries it.
        mount: String,
    },
    /// A database that was reached and may be locked.
    Engine {
        /// Such as `mysql`, `mariadb`, `postgresql`.
        name: String,
        /// Version of the server.
        version: String,
        /// Data directory.
        datadir: String,
        /// Whether it replicates from another server.
        replica: bool,
    },
    /// The failsafe is alive.
    Armed {
        /// Its budget in milliseconds.
        budget_ms: u64,
        /// Process id of the guard.
        guard_pid: u64,
        /// Process id of the holder.
        holder_pid: u64,
    },
    /// Preliminary flush, before the lock.
    Flushed,
    /// The database's writes are held.
    Locked {
        /// Connection id of the session that holds the lock.
        session: String,
        /// How, such as `ftwrl`, `backup-stage`, `stopped`.
        how: String,
        /// Attempts that it took.
        tries: u64,
    },
    /// The lock could not be had in time.
    LockTimeout {
        /// Attempts made.
        tries: u64,
    },
    /// Dirty pages are written.
    Synced,
    /// FIFREEZE returned 0.
    Frozen {
        /// Mount point.
        mount: String,
        /// Milliseconds that it took.
        took_ms: u64,
    },
    /// Everything covered is frozen.
    Ready,
    /// Autonomous mode: everything that the request needs is at hand.
    Prepared {
        /// `curl` or `aws-cli`.
        how: String,
        /// Region that the request goes to.
        region: String,
        /// When the role's credentials expire, RFC 3339.
        credentials_until: Option<String>,
    },
    /// Autonomous mode: the request goes out, once.
    Request,
    /// Autonomous mode: what came of the request.
    Answer {
        /// The snapshots were made.
        ok: bool,
        /// HTTP status; 0 when there was no answer.
        status: u64,
        /// Milliseconds that it took.
        took_ms: u64,
        /// AWS's code, when not ok.
        code: Option<String>,
        /// AWS's words, when not ok.
        text: Option<String>,
    },
    /// Autonomous mode: one snapshot of the answer.
    Snapshot {
        /// It.
        snapshot: SnapshotId,
        /// Its volume.
        volume: VolumeId,
        /// Size of the volume in GiB.
        gib: u64,
    },
    /// The release was accepted while everything was still frozen.
    Release,
    /// The lock session answered after the snapshot call's answer.
    Alive {
        /// Its connection id.
        session: String,
    },
    /// A thaw was tried.
    Thawed {
        /// Mount point.
        mount: String,
        /// Whether *our own* FITHAW returned 0.
        ok: bool,
        /// Why not, when not.
        text: Option<String>,
    },
    /// The lock session was let go.
    Unlocked {
        /// Its connection id.
        session: String,
    },
    /// The failsafe is gone.
    Disarmed {
        /// Whether it had acted.
        fired: bool,
    },
    /// A mount was asked whether it is frozen now.
    Probe {
        /// Mount point.
        mount: String,
        /// The answer.
        frozen: bool,
    },
    /// The freeze window as the instance measured it.
    Window {
        /// Milliseconds from the first moment a write could block to the last thaw.
        window_ms: u64,
    },
    /// A directory besides the data directory that the engine needs.
    Path {
        /// What it is for: `wal`, `tablespace`, `binlog`, …
        what: String,
        /// The directory.
        path: String,
    },
    /// Where a log of the engine stood while the lock was held.
    Position {
        /// Which: `binlog`, `gtid`, `lsn`, …
        name: String,
        /// Where.
        value: String,
    },
    /// A part of a file that belongs to the set.
    File {
        /// The file's name.
        name: String,
        /// Which part, from 1.
        part: u64,
        /// Of how many.
        parts: u64,
        /// Its text.
        text: String,
    },
    /// Something for people to know. It proves nothing.
    Note {
        /// In words.
        text: String,
    },
    /// Something was refused or failed.
    Error {
        /// A code of the protocol, such as `lock-timeout`.
        code: String,
        /// In words.
        text: String,
        /// The mount concerned.
        mount: Option<String>,
    },
    /// Last line of every command.
    End {
        /// `ok`, `refused` or `failed`.
        outcome: String,
        /// Exit code that follows.
        exit: i64,
    },
    /// An event that this version does not know. It proves nothing and hurts nothing.
    Unknown {
        /// Its name.
        event: String,
    },
}

/// One well-formed line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counts up over the life of one job on the instance.
    pub seq: u64,
    /// Milliseconds of the instance's monotonic clock.
    pub ms: u64,
    /// The event.
    pub said: TraceEvent,
}

/// A line that called itself FF1 and was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malformed {
    /// Its number in the output, from 1.
    pub line_no: usize,
    /// What was wrong, safe to show.
    pub why: String,
}

/// A script's error, as it named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptError<'a> {
    code: &'a str,
    text: &'a str,
    mount: Option<&'a str>,
}

impl<'a> ScriptError<'a> {
    /// The error's code in the line protocol.
    pub fn code(&self) -> &'a str {
        self.code
    }

    /// The words, naming the mount concerned. As the script gave them: pass through `text::visible` before showing.
    pub fn text(&self) -> Cow<'a, str> {
        match self.mount {
            Some(mount) if !self.text.contains(mount) => {
                Cow::Owned(format!("{mount}: {}", self.text))
            }
            _ => Cow::Borrowed(self.text),
        }
    }
}

/// Everything one command said, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Well-formed lines.
    pub lines: Vec<Line>,
    /// Lines that were not; they raise no level.
    pub malformed: Vec<Malformed>,
    /// Set when `seq` did not strictly increase: then the trace proves nothing.
    pub out_of_order: Option<String>,
}

impl Trace {
    /// The events in order.
    pub fn events(&self) -> impl Iterator<Item = &TraceEvent> {
        self.lines.iter().map(|line| &line.said)
    }

    /// The first error that the script reported.
    pub fn first_error(&self) -> Option<ScriptError<'_>> {
        self.events().find_map(|said| match said {
            TraceEvent::Error { code, text, mount } => Some(ScriptError {
                code,
                text,
                mount: mount.as_deref(),
            }),
            _ => None,
        })
    }

    /// Whether an error of that code was reported.
    pub fn has_error(&self, wanted: &str) -> bool {
        self.events()
            .any(|said| matches!(said, TraceEvent::Error { code, .. } if code == wanted))
    }

    /// Whether the script said that everything covered is frozen.
    pub fn is_ready(&self) -> bool {
        self.events().any(|said| *said == TraceEvent::Ready)
    }

    /// Mounts whose freeze returned 0, in order.
    pub fn frozen_mounts(&self) -> Vec<&str> {
        self.events()
            .filter_map(|said| match said {
                TraceEvent::Frozen { mount, .. } => Some(mount.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Mounts that our own thaw released.
    pub fn thawed_mounts(&self) -> Vec<&str> {
        self.events()
            .filter_map(|said| match said {
                TraceEvent::Thawed {
                    mount, ok: true, ..
                } => Some(mount.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The last word of the probes on a mount: `Some(true)` frozen, `Some(false)` not, `None` not asked.
    pub fn probed(&self, wanted: &str) -> Option<bool> {
        self.events()
            .filter_map(|said| match said {
                TraceEvent::Probe { mount, frozen } if mount == wanted => Some(*frozen),
                _ => None,
            })
            .last()
    }

    /// Whether a mount's last probe found it frozen.
    pub fn any_probed_frozen(&self) -> bool {
        self.events().any(
            |said| matches!(said, TraceEvent::Probe { mount, .. } if self.probed(mount) == Some(true)),
        )
    }

    /// The mounts that were found frozen when they were last looked at.
    pub fn probed_frozen(&self) -> Vec<&str> {
        let found = self.events().filter_map(|said| match said {
            TraceEvent::Probe { mount, frozen } => Some((mount.as_str(), *frozen)),
            _ => None,
        });
        found
            .filter(|(mount, frozen)| *frozen && self.probed(mount) == Some(true))
            .map(|(mount, _)| mount)
            .collect()
    }

    /// Whether the failsafe had acted; `None` when nobody said.
    pub fn fired(&self) -> Option<bool> {
        let said = self.events().filter_map(|said| match said {
            TraceEvent::Disarmed { fired } => Some(*fired),
            TraceEvent::Error { code, .. } if code == "failsafe-fired" => Some(true),
            _ => None,
        });
        said.reduce(|a, b| a || b)
    }

    /// The freeze window in milliseconds.
    pub fn window_ms(&self) -> Option<u64> {
        self.events().find_map(|said| match said {
            TraceEvent::Window { window_ms } => Some(*window_ms),
            _ => None,
        })
    }

    /// Milliseconds on the instance from arming the failsafe to `ready`: spent of the budget.
    pub fn spent_ms(&self) -> Option<u64> {
        let at = |wanted: fn(&TraceEvent) -> bool| {
            self.lines.iter().find(|l| wanted(&l.said)).map(|l| l.ms)
        };
        let armed = at(|s| matches!(s, TraceEvent::Armed { .. }))?;
        let ready = at(|s| matches!(s, TraceEvent::Ready))?;
        Some(ready.saturating_sub(armed))
    }

    /// What came of the request of autonomous mode, if the trace says it exactly once.
    pub fn answer(&self) -> Option<&TraceEvent> {
        let mut answers = self
            .events()
            .filter(|s| matches!(s, TraceEvent::Answer { .. }));
        answers.next().filter(|_| answers.next().is_none())
    }

    /// The snapshots of the instance's own answer, in order: snapshot, volume, size in GiB.
    pub fn answered_snapshots(&self) -> Vec<(&SnapshotId, &VolumeId, u64)> {
        self.events()
            .filter_map(|said| match said {
                TraceEvent::Snapshot {
                    snapshot,
                    volume,
                    gib,
                } => Some((snapshot, volume, *gib)),
                _ => None,
            })
            .collect()
    }

    /// Whether the script reached its last line, and every line of it was understood.
    pub fn is_whole(&self) -> bool {
        self.malformed.is_empty() && self.out_of_order.is_none() && self.reached_its_end()
    }

    /// Whether the script reached its last line: nothing that came after another is missing.
    pub fn reached_its_end(&self) -> bool {
        matches!(
            self.lines.last().map(|l| &l.said),
            Some(TraceEvent::End { .. })
        )
    }

    /// Whether a command that reached its last line thawed that mount, or found it open.
    pub fn leaves_open(&self, mount: &str) -> bool {
        self.is_whole()
            && self.probed(mount) != Some(true)
            && (self.thawed_mounts().contains(&mount) || self.probed(mount) == Some(false))
    }

    /// Whether one command that froze says of itself that it left nothing held: it reached its last line,
    /// every mount that it froze was thawed or found open, the lock let go, the failsafe gone.
    pub fn left_nothing_held(&self) -> bool {
        let has = |wanted: fn(&TraceEvent) -> bool| self.events().any(wanted);
        self.is_whole()
            && !self.any_probed_frozen()
            && !self.has_error("thaw-failed")
            && self.frozen_mounts().iter().all(|m| self.leaves_open(m))
            && (!has(|s| matches!(s, TraceEvent::Locked { .. }))
                || has(|s| matches!(s, TraceEvent::Unlocked { .. }))
                || self.has_error("lock-lost")
                || self.fired() == Some(true))
            && (!self.is_armed() || self.fired().is_some())
    }

    /// Whether "no such job" also means that there will be none: from version 2 on our documents leave a tombstone marker
    /// that no late `pre-script` of the job gets past (docs/line-protocol.md).
    pub fn lays_tombstone(&self) -> bool {
        self.events()
            .any(|said| matches!(said, TraceEvent::Hello { version, .. } if *version >= 2))
    }

    /// Whether the failsafe was armed.
    pub fn is_armed(&self) -> bool {
        self.events()
            .any(|said| matches!(said, TraceEvent::Armed { .. }))
    }

    /// Whether a command that was refused may not have been able to note that it was delivered: a second delivery of
    /// it would not be stopped (docs/line-protocol.md).
    pub fn may_begin_again(&self) -> bool {
        self.has_error("arm-failed") && !self.is_armed()
    }

    /// Whether a second delivery was refused: it tells nothing of what the first one did.
    pub fn is_of_a_second_delivery(&self) -> bool {
        let errors = ["already-frozen", "repeated", "over"];
        errors.iter().any(|code| self.has_error(code))
    }

    /// Whether `pre-script` failed and undid whatever it had done: everything frozen was thawed by our
    /// own hand, the lock let go, the failsafe sent home, and the last line was reached.
    pub fn failed_cleanly(&self) -> bool {
        let has = |wanted: fn(&TraceEvent) -> bool| self.events().any(wanted);
        let thawed = self.thawed_mounts();
        let ended = matches!(
            self.lines.last().map(|l| &l.said),
            Some(TraceEvent::End { outcome, .. }) if outcome == "failed" || outcome == "refused"
        );
        ended
            && self.malformed.is_empty()
            && self.out_of_order.is_none()
            && self.first_error().is_some()
            && !self.has_error("thaw-failed")
            && self
                .frozen_mounts()
                .iter()
                .all(|mount| thawed.contains(mount))
            && !self.any_probed_frozen()
            && (!has(|s| matches!(s, TraceEvent::Locked { .. }))
                || has(|s| matches!(s, TraceEvent::Unlocked { .. })))
            && (!self.is_armed() || has(|s| matches!(s, TraceEvent::Disarmed { .. })))
    }
}

#[cfg(test)]
mod tests;
