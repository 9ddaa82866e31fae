//! A story: a small fleet, who asks what of it, what goes wrong, who stops what, and when a console dies.

use std::time::Duration;

use freezeframe::domain::job::{Mode, OnFailure};
use freezeframe::domain::run::Limits;
use freezeframe::lab::Fault;
use freezeframe::lab::faults::plan::Plan;

/// How somebody else's document behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Freezes, thaws, says what it did.
    Good,
    /// Its `pre-script` refuses and touches nothing.
    Refuses,
    /// Its `pre-script` fails half-way and thaws what it froze.
    Fails,
    /// Its `pre-script` fails half-way and leaves what it froze.
    Leaves,
    /// Has a failsafe of its own, and says 203 when that was faster.
    Failsafe,
    /// Its `post-script` stops at the first filesystem that is open already, with 205, and thaws nothing.
    Stops,
    /// Its `post-script` fails and thaws nothing.
    Stuck,
    /// Prints lines that look like ours and are not.
    Babbles,
    /// Says that it thawed, and did not. Nobody but the instance can know.
    Lies,
}

impl Manners {
    pub const ALL: [Self; 9] = [
        Self::Good,
        Self::Refuses,
        Self::Fails,
        Self::Leaves,
        Self::Failsafe,
        Self::Stops,
        Self::Stuck,
        Self::Babbles,
        Self::Lies,
    ];

    /// Name of the document in the account.
    pub fn document(self) -> String {
        format!("theirs-{self:?}")
    }

    /// By the name of its document.
    pub fn of(document: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.document() == document)
    }
}

/// What is asked of one instance.
#[derive(Debug, Clone)]
pub struct Wish {
    pub mode: Mode,
    pub budget_s: u32,
    pub on_failure: OnFailure,
    pub freeze_root: bool,
    /// The instance's clock is ahead by so many seconds.
    pub skew_s: i64,
    /// Somebody else's document.
    pub document: Option<Manners>,
    /// The instance's dry run decides about the mode.
    pub auto: bool,
    /// What the set shall not hold, beside volumes that are left out by a tag of theirs.
    pub without: Without,
}

/// Volumes that are named to be left out of a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Without {
    pub root: bool,
    /// The one that was attached last.
    pub last: bool,
}

/// A moment in the life of a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Its n-th journal write.
    Write(u32),
    /// So long after its jobs began.
    After(Duration),
}

/// Somebody stops jobs.
#[derive(Debug, Clone, Copy)]
pub struct Abort {
    pub at: Moment,
    /// The wish whose instance is stopped; `None` stops all.
    pub whom: Option<usize>,
    /// By a process of its own on the same journal (`jobs abort`), not by the console itself.
    pub by_another: bool,
}

/// One console and what it is asked.
#[derive(Debug, Clone)]
pub struct Console {
    /// Which journal it writes: consoles of one host share one.
    pub journal: usize,
    /// When it is started.
    pub from: Duration,
    /// The wishes that it is asked for.
    pub wishes: Vec<usize>,
    /// As a run with these limits, or one by one.
    pub run: Option<Limits>,
    /// It dies at this journal write (1 is the first).
    pub death: Option<u32>,
    pub aborts: Vec<Abort>,
    /// Its clock is ahead of AWS's by so many seconds.
    pub ahead_s: i64,
    /// And jumps by so many seconds more, so long after its start.
    pub jump: Option<(Duration, i64)>,
}

/// For a while nothing that this side asks of AWS is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    pub from: Duration,
    pub lasting: Duration,
    pub how: Trouble,
}

/// What an outage looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The consoles' network is gone; instances still reach AWS.
    Dark,
    /// Everybody's credentials have expired.
    Expired,
    /// AWS answers 503.
    Unavailable,
}

/// Everything that makes one simulation; the same story always goes the same way.
#[derive(Debug, Clone)]
pub struct Story {
    pub seed: u64,
    /// A world's TOML.
    pub world: String,
    /// One for each instance, in the order of their ids.
    pub wishes: Vec<Wish>,
    /// The first is the one that the story is about.
    pub consoles: Vec<Console>,
    pub plan: Plan,
    /// Faults beyond the plan's, such as "call N".
    pub faults: Vec<Fault>,
    /// How long faults last at most.
    pub storm: Duration,
    pub outages: Vec<Outage>,
    /// The starts that settle what is left die at these journal writes, each at its own.
    pub deaths: Vec<u32>,
    /// How long nobody starts again after the last console has ended or died.
    pub gap: Duration,
    /// The first journal is lost together with its console.
    pub lost: bool,
    /// Somebody thaws behind the document's back as soon as something is frozen, and the document lies about it.
    pub robbed: bool,
    /// The documents' own lock keeps no other job out: only the consoles are in each other's way.
    pub unguarded: bool,
    /// EC2 shows no snapshot to whoever looks for orphans.
    pub hidden: bool,
}

impl Story {
    /// Whether every clock shows the same.
    pub fn clocks_agree(&self) -> bool {
        self.consoles
            .iter()
            .all(|console| console.ahead_s == 0 && console.jump.is_none())
    }

    /// Without what was cut out of it (`shrink`).
    pub fn shown(&self) -> Self {
        let mut story = self.clone();
        story.plan.faults.retain(|entry| entry.times > 0);
        story.outages.retain(|outage| !outage.lasting.is_zero());
        story.deaths.retain(|death| *death < u32::MAX);
        for console in &mut story.consoles {
            let cut = Moment::Write(u32::MAX);
            console.aborts.retain(|abort| abort.at != cut);
        }
        story
    }
}
