//! What a simulated instance remembers: its mounts, its holder, its failsafe, and everything that ever froze.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::play::BaseBackup;
use crate::runtime::RuntimeError;

/// A mounted filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    pub mount: String,
    pub fs: String,
    pub volume: String,
    /// `/dev/nvme1n1`
    pub device: String,
}

/// Why the filesystem that carries the agent's state stays as it is.
const AGENT: &str = "it carries the agent's or this script's own files";
/// Why `/` stays as it is.
const SYSTEM: &str = "it carries the running system";
/// What everything on a machine writes to; frozen only where it is named, and with `/`.
const WRITTEN: [&str; 4] = ["/var/log/audit", "/var/log", "/tmp", "/var/tmp"];

impl Mounted {
    /// Why this mount is not frozen, if it is not. With `root` also `/` and the agent's filesystem are.
    pub(super) fn objection(&self, root: bool) -> Option<&'static str> {
        self.plain_objection().filter(|reason| {
            !(root && self.carries_the_agent() && [SYSTEM, AGENT].contains(reason))
        })
    }

    /// The command's own files lie on it, or what the whole machine writes to.
    pub(super) fn carries_the_agent(&self) -> bool {
        self.mount == "/"
            || self.plain_objection() == Some(AGENT)
            || self.written_by_all().is_some()
    }

    /// Why it is not frozen, whatever else lies on its volume; `asked` is missing where all are meant.
    pub(super) fn reason(&self, root: bool, asked: Option<bool>) -> Option<String> {
        let system = self
            .written_by_all()
            .filter(|_| !root && asked != Some(true));
        let system = system.map(|place| {
            format!("the system writes to {place} on it; it freezes only where it is named")
        });
        let other = (asked == Some(false)).then(|| "not asked for".to_owned());
        self.objection(root).map(str::to_owned).or(system).or(other)
    }

    /// The place on it that the whole machine writes to.
    pub(super) fn written_by_all(&self) -> Option<&'static str> {
        WRITTEN.into_iter().find(|place| self.mount == *place)
    }

    fn plain_objection(&self) -> Option<&'static str> {
        let below = |path: &str| self.mount == path || self.mount.starts_with(&format!("{path}/"));
        match () {
            () if !["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"].contains(&self.fs.as_str()) => {
                Some("this filesystem is not frozen by this document")
            }
            () if self.mount == "/" || below("/boot") || below("/usr") || below("/etc") => {
                Some(SYSTEM)
            }
            () if ["/var", "/var/lib", "/var/lib/amazon", "/var/lib/amazon/ssm"]
                .contains(&self.mount.as_str()) =>
            {
                Some(AGENT)
            }
            () => None,
        }
    }
}

/// A job's hold on an instance.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub job: String,
    /// When the failsafe acts.
    pub deadline: DateTime<Utc>,
    /// The lock session, when a database is held.
    pub session: Option<u32>,
    /// What that session keeps open, where it is PostgreSQL's.
    pub backup: Option<BaseBackup>,
    /// First moment that a write could block.
    pub since: Option<DateTime<Utc>>,
    /// In the order of freezing.
    pub frozen: Vec<String>,
    /// The failsafe has acted.
    pub fired: bool,
    /// Everything is frozen.
    pub ready: bool,
    /// The command that took the hold is still at work.
    pub at_work: bool,
    /// That command makes the set itself (`snapshot`).
    pub autonomous: bool,
    /// A stranger has thawed it, and the document does not notice.
    pub robbed: bool,
}

/// Who ended a freeze or a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The job's own holder, asked by its own command.
    Holder,
    /// The failsafe: the budget was spent.
    Failsafe,
    /// The holder, because the command that started it was killed or gave up.
    Abandoned,
    /// Somebody who is none of ours, behind the holder's back.
    Stranger,
}

/// Something that changed on an instance, as nobody but the lab can know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: DateTime<Utc>,
    /// The job.
    pub job: String,
    /// What changed.
    pub what: What,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The failsafe will act at `deadline`.
    Armed {
        /// When it acts.
        deadline: DateTime<Utc>,
    },
    /// A session holds the lock.
    Locked {
        /// The lock's session.
        session: u32,
    },
    /// The lock is let go.
    Unlocked {
        /// Who did it.
        by: By,
    },
    /// A filesystem is frozen.
    Frozen {
        /// The mount point.
        mount: String,
        /// Its volume.
        volume: String,
    },
    /// A filesystem is thawed.
    Thawed {
        /// The mount point.
        mount: String,
        /// Its volume.
        volume: String,
        /// Who did it.
        by: By,
    },
}

/// A simulated instance.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub mounts: Vec<Mounted>,
    /// Volume → device node.
    devices: BTreeMap<String, String>,
    pub hold: Option<Hold>,
    /// Last event number of each job.
    sequences: BTreeMap<String, u64>,
    pub history: Vec<Happening>,
    /// Jobs that are known to be over, for which no command freezes again, and whether the failsafe ended them.
    pub over: BTreeMap<String, bool>,
    /// Commands that were delivered to freeze, whatever came of it: each does so once.
    pub seen: BTreeSet<String>,
    /// How far its clock is ahead of the lab's.
    pub clock_skew: chrono::Duration,
    /// Its lock keeps nobody out.
    pub unguarded: bool,
    /// Then there may be other holds besides [`Machine::hold`], which is that of the job that acts.
    others: Vec<Hold>,
}

impl Machine {
    /// Gives the volume the next free device node.
    pub(super) fn attach(&mut self, volume: &str) -> String {
        if let Some(device) = self.devices.get(volume) {
            return device.clone();
        }
        let free = (0..)
            .map(|n| format!("/dev/nvme{n}n1"))
            .find(|node| !self.devices.values().any(|used| used == node));
        let device = free.unwrap_or_default();
        self.devices.insert(volume.to_owned(), device.clone());
        device
    }

    /// Takes the volume away.
    pub(super) fn detach(&mut self, volume: &str) -> Result<(), RuntimeError> {
        if let Some(mounted) = self.mounts.iter().find(|mounted| mounted.volume == volume) {
            return Err(format!("{volume} is mounted at {}", mounted.mount));
        }
        self.devices.remove(volume);
        Ok(())
    }

    pub(super) fn device(&self, volume: &str) -> Option<&str> {
        self.devices.get(volume).map(String::as_str)
    }

    /// Without the lock each job meets its own hold only.
    pub(super) fn meet(&mut self, job: &str) {
        if self.unguarded && self.hold.as_ref().is_none_or(|hold| hold.job != job) {
            self.others.extend(self.hold.take());
            let own = self.others.iter().position(|hold| hold.job == job);
            self.hold = own.map(|n| self.others.remove(n));
        }
    }

    /// Once for each hold, which is [`Machine::hold`] meanwhile.
    fn for_each_hold(&mut self, mut act: impl FnMut(&mut Self)) {
        act(self);
        for hold in std::mem::take(&mut self.others) {
            let acting = self.hold.replace(hold);
            act(self);
            self.others.extend(self.hold.take());
            self.hold = acting;
        }
    }

    /// Lets the failsafes act whose time has come.
    pub(super) fn settle(&mut self, now: DateTime<Utc>) {
        self.for_each_hold(|machine| machine.settle_one(now));
    }

    fn settle_one(&mut self, now: DateTime<Utc>) {
        let due = self
            .hold
            .as_ref()
            .filter(|hold| now >= hold.deadline && !hold.fired)
            .map(|hold| hold.deadline);
        if let Some(deadline) = due {
            self.note_release(deadline, By::Failsafe);
            if let Some(hold) = self.hold.as_mut() {
                hold.fired = true;
                if hold.ready {
                    let job = hold.job.clone();
                    self.lay_stone(&job, true);
                }
            }
        }
    }

    /// The job is over; what was said of it first stands. Without an id a job may come again.
    pub(super) fn lay_stone(&mut self, job: &str, fired: bool) {
        if job != "dlm" {
            self.over.entry(job.to_owned()).or_insert(fired);
        }
    }

    fn note(&mut self, at: DateTime<Utc>, job: &str, what: What) {
        let job = job.to_owned();
        self.history.push(Happening { at, job, what });
    }

    /// Arms the failsafe for a new hold.
    pub(super) fn arm(&mut self, now: DateTime<Utc>, hold: Hold) {
        let deadline = hold.deadline;
        self.note(now, &hold.job, What::Armed { deadline });
        self.hold = Some(hold);
    }

    /// The database gives its lock; false when the hold is over already.
    pub(super) fn lock(&mut self, now: DateTime<Utc>, session: u32) -> bool {
        let Some(hold) = self.hold.as_mut().filter(|hold| !hold.fired) else {
            return false;
        };
        hold.session = Some(session);
        hold.since = hold.since.or(Some(now));
        let job = hold.job.clone();
        self.note(now, &job, What::Locked { session });
        true
    }

    /// Freezes a mount; false when the hold is over already.
    pub(super) fn freeze(&mut self, now: DateTime<Utc>, mounted: &Mounted) -> bool {
        let Some(hold) = self.hold.as_mut().filter(|hold| !hold.fired) else {
            return false;
        };
        hold.frozen.push(mounted.mount.clone());
        let job = hold.job.clone();
        let (mount, volume) = (mounted.mount.clone(), mounted.volume.clone());
        self.note(now, &job, What::Frozen { mount, volume });
        true
    }

    /// Ends the hold: whatever it still held is thawed and unlocked now.
    pub(super) fn release(&mut self, now: DateTime<Utc>, by: By) -> Option<Hold> {
        self.note_release(now, by);
        self.hold.take()
    }

    fn note_release(&mut self, at: DateTime<Utc>, by: By) {
        let held = |hold: &Hold| !hold.fired && !hold.robbed;
        let Some(hold) = self.hold.clone().filter(held) else {
            return;
        };
        for mount in hold.frozen.iter().rev() {
            let volume = self
                .mounts
                .iter()
                .find(|mounted| mounted.mount == *mount)
                .map(|mounted| mounted.volume.clone())
                .unwrap_or_default();
            let mount = mount.clone();
            self.note(at, &hold.job, What::Thawed { mount, volume, by });
        }
        if hold.session.is_some() {
            self.note(at, &hold.job, What::Unlocked { by });
        }
    }

    /// Frozen mount points now.
    pub(super) fn frozen(&mut self, now: DateTime<Utc>) -> Vec<String> {
        self.settle(now);
        let mut all = Vec::new();
        self.for_each_hold(|machine| {
            let held = |hold: &&Hold| !hold.fired && !hold.robbed;
            let frozen = machine.hold.iter().filter(held);
            all.extend(frozen.flat_map(|hold| hold.frozen.clone()));
        });
        all
    }

    /// Somebody else thaws everything, and the document goes on as if nothing had happened.
    pub(super) fn rob(&mut self, now: DateTime<Utc>) {
        self.settle(now);
        self.note_release(now, By::Stranger);
        if let Some(hold) = self.hold.as_mut() {
            hold.robbed = true;
        }
    }

    /// Volumes below frozen mounts now.
    pub(super) fn frozen_volumes(&mut self, now: DateTime<Utc>) -> Vec<String> {
        let frozen = self.frozen(now);
        self.mounts
            .iter()
            .filter(|mounted| frozen.contains(&mounted.mount))
            .map(|mounted| mounted.volume.clone())
            .collect()
    }

    /// The next event number of a job.
    pub(super) fn next_sequence(&mut self, job: &str) -> u64 {
        let last = self.sequences.entry(job.to_owned()).or_default();
        *last += 1;
        *last
    }
}
