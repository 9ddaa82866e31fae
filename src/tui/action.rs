//! Everything a key can mean. Footer, help, menus and the `:` prompt all speak of these.

/// One thing that a person can ask for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumIter, strum::EnumString,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Action {
    /// Go to the fleet.
    Fleet,
    /// Go to the volumes.
    Volumes,
    /// Go to the snapshots.
    Snapshots,
    /// Go to the jobs.
    Jobs,
    /// Go to the metrics.
    MetricsScreen,
    /// Go to retention.
    Retention,
    /// Open what is under the cursor, or press the focused button.
    Open,
    /// Undo the last narrowing, or go to where we came from.
    Back,
    /// Go back; never leaves the program.
    Leave,
    /// One row down.
    Down,
    /// One row up.
    Up,
    /// To the first row.
    Top,
    /// To the last row.
    Bottom,
    /// One page down.
    PageDown,
    /// One page up.
    PageUp,
    /// To the left, or the choice before.
    Left,
    /// To the right, or the next choice.
    Right,
    /// Choose what has the focus: mark the row and move on, take the next choice of the field, press the button.
    Choose,
    /// To the next field or button, or to the next part of what is shown: a chart, a fate.
    NextField,
    /// To the one before.
    PreviousField,
    /// Narrow the rows.
    Filter,
    /// Begin or end marking a range.
    Range,
    /// Sort by the next column or the other way round.
    Sort,
    /// Show everything that is known about the row.
    Describe,
    /// Show what can be done with the row.
    Menu,
    /// Copy the id, or every line of a reviewed plan.
    CopyId,
    /// Copy the ARN.
    CopyArn,
    /// Read everything again.
    Refresh,
    /// Backup metrics of the instance.
    Metrics,
    /// The `:` prompt.
    Prompt,
    /// Help for this screen.
    Help,
    /// Leave the program, asking first if a job runs.
    Interrupt,
    /// Take consistent snapshots of the marked instances.
    Snapshot,
    /// Restore a set beside the data.
    Restore,
    /// Volumes of the instance.
    ShowVolumes,
    /// Snapshots of the instance or volume.
    ShowSnapshots,
    /// Only the snapshots of the same set.
    ShowSet,
    /// What stands behind the set.
    Evidence,
    /// Unmark every row.
    Unmark,
    /// Thaw and stop the job.
    CancelJob,
    /// Thaw and stop every job.
    CancelAll,
    /// Thaw the instance of a job whose thaw nobody could confirm.
    ThawAgain,
    /// Make a plan to review.
    Plan,
    /// Carry out the reviewed plan.
    Run,
    /// Shorter time range.
    Shorter,
    /// Longer time range.
    Longer,
    /// Change what the plan was made from.
    Edit,
}

impl Action {
    /// What it does, for the help page and menus: a few words, no full stop.
    pub fn help(self) -> &'static str {
        match self {
            Self::Fleet => "instances, their agents and recipes",
            Self::Volumes => "volumes and their newest snapshots",
            Self::Snapshots => "snapshots and what they are worth",
            Self::Jobs => "jobs, live and past",
            Self::MetricsScreen => "backup metrics",
            Self::Retention => "what to keep and what to delete",
            Self::Open => "open, or choose",
            Self::Back => "back: out of the filter, the dialog, the page",
            Self::Leave => "go back (:q leaves the program)",
            Self::Down => "down",
            Self::Up => "up",
            Self::Top => "first row",
            Self::Bottom => "last row",
            Self::PageDown => "page down",
            Self::PageUp => "page up",
            Self::Left => "left, or the choice before",
            Self::Right => "right, or the next choice",
            Self::Choose => "mark or unmark, and move on",
            Self::NextField => "next part: field, button, chart, fate",
            Self::PreviousField => "part before",
            Self::Filter => "filter: words, tag:Env=prod, !not",
            Self::Range => "mark a range: press, move, press",
            Self::Sort => "sort: other way round, then next column",
            Self::Describe => "describe: every tag and attachment",
            Self::Menu => "what can be done here",
            Self::CopyId => "copy the id",
            Self::CopyArn => "copy the ARN",
            Self::Refresh => "read again from AWS",
            Self::Metrics => "backup metrics of the instance",
            Self::Prompt => "go by name (:jobs, :q, …)",
            Self::Help => "help for this screen",
            Self::Interrupt => "leave, asking first if a job runs",
            Self::Snapshot => "take consistent snapshots",
            Self::Restore => "restore beside the data",
            Self::ShowVolumes => "volumes of this instance",
            Self::ShowSnapshots => "snapshots of this one",
            Self::ShowSet => "only this set",
            Self::Evidence => "evidence of this set",
            Self::Unmark => "unmark all",
            Self::CancelJob => "thaw and stop this job",
            Self::CancelAll => "thaw and stop this console's jobs",
            Self::ThawAgain => "thaw again, and ask every mount",
            Self::Plan => "make a plan to review",
            Self::Run => "carry out the reviewed plan",
            Self::Shorter => "shorter time range",
            Self::Longer => "longer time range",
            Self::Edit => "change what was asked for",
        }
    }

    /// One word for the footer.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Volumes => "volumes",
            Self::Snapshots => "snapshots",
            Self::Jobs => "jobs",
            Self::MetricsScreen | Self::Metrics => "metrics",
            Self::Retention => "retention",
            Self::Open => "open",
            Self::Back | Self::Leave => "back",
            Self::Down => "down",
            Self::Up => "up",
            Self::Top => "top",
            Self::Bottom => "bottom",
            Self::PageDown => "page↓",
            Self::PageUp => "page↑",
            Self::Left => "left",
            Self::Right => "right",
            Self::Choose => "mark",
            Self::NextField => "next",
            Self::PreviousField => "previous",
            Self::Filter => "filter",
            Self::Range => "range",
            Self::Sort => "sort",
            Self::Describe => "describe",
            Self::Menu => "actions",
            Self::CopyId => "copy id",
            Self::CopyArn => "copy ARN",
            Self::Refresh => "refresh",
            Self::Prompt => "command",
            Self::Help => "help",
            Self::Interrupt => "leave",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::ShowVolumes => "volumes",
            Self::ShowSnapshots => "snapshots",
            Self::ShowSet => "this set",
            Self::Evidence => "evidence",
            Self::Unmark => "unmark",
            Self::CancelJob => "cancel",
            Self::CancelAll => "cancel all",
            Self::ThawAgain => "thaw again",
            Self::Plan => "plan",
            Self::Run => "run…",
            Self::Shorter => "shorter",
            Self::Longer => "longer",
            Self::Edit => "edit",
        }
    }

    /// Whether it changes something in AWS; refused and dimmed when read-only. Stopping a job is not
    /// among these: thawing must never be refused.
    pub fn writes(self) -> bool {
        matches!(self, Self::Snapshot | Self::Restore | Self::Run)
    }
}
