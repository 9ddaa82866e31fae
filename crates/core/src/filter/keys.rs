//! Which keys each kind of row knows. One table: the parser, its hints, the help of the `/` line and docs/filters.md
//! say what stands here.

/// What a filter chooses among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumIter, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum RowKind {
    /// Instances: Fleet, the picker of Metrics, `list instances`.
    Instances,
    /// Volumes.
    Volumes,
    /// Snapshots, whoever made them.
    Snapshots,
    /// Sets: Restore, `list sets`.
    Sets,
    /// Jobs.
    Jobs,
    /// Prunes and restores on record.
    Records,
}

/// What a row can be asked for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumIter, strum::EnumString,
)]
#[strum(serialize_all = "lowercase")]
pub enum Key {
    /// The row's own id.
    Id,
    /// The tag `Name`: the row's own, or for sets and jobs that of their instance.
    Name,
    /// The state, as the list shows it.
    State,
    /// What a snapshot, a set or a job's set is worth; of an instance or volume, what its newest set is worth.
    Level,
    /// How a job ended.
    Verdict,
    /// Who made a snapshot.
    Origin,
    /// Availability zone.
    Az,
    /// Instance type or volume type.
    Type,
    /// `linux`, `windows`.
    Platform,
    /// What Systems Manager says of the SSM agent.
    Agent,
    /// The recipe.
    Recipe,
    /// `coordinated`, `autonomous`.
    Mode,
    /// Storage tier of a snapshot.
    Tier,
    /// An instance, by its id or its name.
    Instance,
    /// A volume, by its id.
    Volume,
    /// A snapshot, by its id.
    Snapshot,
    /// A set, by its job's id.
    Set,
    /// A run, by its id.
    Run,
    /// The group of a job whose members are never frozen together.
    Group,
}

impl RowKind {
    /// The keys that rows of this kind know, in the order in which help and hints name them.
    pub fn keys(self) -> &'static [Key] {
        use Key::{
            Agent, Az, Group, Id, Instance, Level, Mode, Name, Origin, Platform, Recipe, Run, Set,
            Snapshot, State, Tier, Type, Verdict, Volume,
        };
        match self {
            Self::Instances => &[
                Name, Id, State, Level, Recipe, Agent, Az, Type, Platform, Volume,
            ],
            Self::Volumes => &[Name, Id, State, Level, Instance, Type, Az],
            Self::Snapshots => &[
                Name, Id, State, Level, Origin, Instance, Volume, Recipe, Set, Tier,
            ],
            Self::Sets => &[
                Name, Id, State, Level, Instance, Recipe, Snapshot, Agent, Az, Type,
            ],
            Self::Records => &[Id, State, Instance],
            Self::Jobs => &[
                Name, Id, State, Verdict, Level, Instance, Recipe, Mode, Volume, Snapshot, Run,
                Group,
            ],
        }
    }
}

/// The only words that a value can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// freezeframe's own: there are no others.
    Ours(&'static [&'static str]),
    /// AWS's, as its API references list them. It may add some: a word in quotes is taken as it is.
    Aws(&'static [&'static str]),
}

impl Words {
    pub(super) fn list(self) -> &'static [&'static str] {
        match self {
            Self::Ours(words) | Self::Aws(words) => words,
        }
    }
}

impl Key {
    /// The words that rows of this kind have under the key; `None` where they are no closed list.
    pub(super) fn words(self, kind: RowKind) -> Option<Words> {
        Some(match self {
            Self::Level => Words::Ours(&["application", "filesystem", "crash", "pending", "never"]),
            Self::Verdict => Words::Ours(&[
                "application",
                "filesystem",
                "crash",
                "skipped",
                "failed",
                "cancelled",
            ]),
            // What was asked may have been auto; a job has what was chosen.
            Self::Mode => Words::Ours(&["coordinated", "autonomous"]),
            Self::Origin => {
                Words::Ours(&["freezeframe", "dlm", "aws-backup", "ami", "copy", "manual"])
            }
            Self::Agent => Words::Ours(&["online", "lost", "absent", "unknown"]),
            Self::Platform => Words::Ours(&["linux", "windows"]),
            Self::Tier => Words::Aws(&["standard", "archive"]),
            Self::State => kind.states(),
            _ => return None,
        })
    }
}

impl RowKind {
    fn states(self) -> Words {
        match self {
            Self::Instances => Words::Aws(&[
                "pending",
                "running",
                "shutting-down",
                "terminated",
                "stopping",
                "stopped",
            ]),
            Self::Volumes => Words::Aws(&[
                "creating",
                "available",
                "in-use",
                "deleting",
                "deleted",
                "error",
            ]),
            Self::Snapshots => {
                Words::Aws(&["pending", "completed", "error", "recoverable", "recovering"])
            }
            // A snapshot of no set stands among sets with its own state.
            Self::Sets => Words::Aws(&[
                "restorable",
                "incomplete",
                "pending",
                "completed",
                "error",
                "recoverable",
                "recovering",
            ]),
            Self::Records => {
                Words::Ours(&["running", "stopped", "finished", "open", "done", "failed"])
            }
            Self::Jobs => Words::Ours(&[
                "queued",
                "preflight",
                "quiescing",
                "frozen",
                "snapshotting",
                "thawing",
                "verifying",
                "completing",
                "done",
                "thaw-unconfirmed",
                "labels-pending",
                "copying",
                "abandoned",
            ]),
        }
    }
}
