//! The states in which AWS says that things are. AWS may add words; what we do not know is kept as it came.

use crate::open_words::open_words;

open_words! {
    /// An instance's (EC2, `InstanceStateName`).
    InstanceState {
        /// It starts.
        Pending = "pending",
        /// It runs.
        Running = "running",
        /// It is being terminated.
        ShuttingDown = "shutting-down",
        /// It is gone, and is shown for an hour more.
        Terminated = "terminated",
        /// It is being stopped.
        Stopping = "stopping",
        /// It is stopped.
        Stopped = "stopped",
    }
}

open_words! {
    /// A volume's (EC2, `VolumeState`).
    VolumeState {
        /// It is being made.
        Creating = "creating",
        /// It may be attached.
        Available = "available",
        /// It is attached.
        InUse = "in-use",
        /// It is being deleted.
        Deleting = "deleting",
        /// It is deleted.
        Deleted = "deleted",
        /// It could not be made.
        Error = "error",
    }
}

open_words! {
    /// That of a volume's attachment to an instance (EC2, `VolumeAttachmentState`).
    AttachmentState {
        /// It is being attached.
        Attaching = "attaching",
        /// The instance has it.
        Attached = "attached",
        /// It is being detached.
        Detaching = "detaching",
        /// It is detached.
        Detached = "detached",
        /// The instance does not let it go.
        Busy = "busy",
    }
}

open_words! {
    /// A snapshot's (EC2, `SnapshotState`).
    SnapshotState {
        /// Its blocks are being copied.
        Pending = "pending",
        /// It is whole.
        Completed = "completed",
        /// Its copying failed.
        Error = "error",
        /// It is in the Recycle Bin.
        Recoverable = "recoverable",
        /// It comes back out of the Recycle Bin.
        Recovering = "recovering",
        /// Ours, and never EC2's: EC2 certainly does not have it any more. One look that misses it does not make it so.
        Gone = "gone",
    }
}

open_words! {
    /// That of an invocation of a command (Systems Manager, `CommandInvocationStatus` and `CommandStatus`).
    CommandStatus {
        /// It waits for its delivery.
        Pending = "Pending",
        /// The agent has it.
        InProgress = "InProgress",
        /// The agent does not take it.
        Delayed = "Delayed",
        /// It ended with 0.
        Success = "Success",
        /// It was cancelled.
        Cancelled = "Cancelled",
        /// A time limit passed.
        TimedOut = "TimedOut",
        /// It ended with another code, or never began.
        Failed = "Failed",
        /// Its cancel is under way.
        Cancelling = "Cancelling",
        /// Systems Manager named none.
        Unstated = "",
    }
}

impl SnapshotState {
    /// Whether its copying has come to an end, good or bad.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Completed | Self::Error | Self::Gone)
    }

    /// Whether it is in the Recycle Bin, or on its way out of it.
    pub fn is_in_bin(&self) -> bool {
        matches!(self, Self::Recoverable | Self::Recovering)
    }
}

impl CommandStatus {
    /// Whether the command may yet begin or go on, as far as Systems Manager says.
    pub fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Pending | Self::InProgress | Self::Delayed | Self::Cancelling | Self::Unstated
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_aws_keeps_its_text_in_json_and_an_unknown_one_too() {
        for text in ["running", "stopped", "hibernating\u{2028}", ""] {
            let state = InstanceState::from(text);
            assert_eq!(state.to_string(), text);
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<InstanceState>(&json).unwrap(), state);
        }
        assert_eq!(InstanceState::from("running"), InstanceState::Running);
        assert_eq!(VolumeState::from("in-use"), VolumeState::InUse);
        assert_eq!(SnapshotState::from("completed"), SnapshotState::Completed);
    }

    #[test]
    fn a_snapshot_has_ended_or_is_in_the_bin_by_its_state() {
        for (state, ended, in_bin) in [
            ("pending", false, false),
            ("completed", true, false),
            ("error", true, false),
            ("gone", true, false),
            ("recoverable", false, true),
            ("recovering", false, true),
            ("moonlit", false, false),
        ] {
            let state = SnapshotState::from(state);
            assert_eq!(
                (state.has_ended(), state.is_in_bin()),
                (ended, in_bin),
                "{state}"
            );
        }
    }

    #[test]
    fn a_command_is_open_until_systems_manager_names_its_end() {
        for (status, open) in [
            ("Pending", true),
            ("InProgress", true),
            ("Delayed", true),
            ("Cancelling", true),
            ("", true),
            ("Success", false),
            ("Failed", false),
            ("TimedOut", false),
            ("Cancelled", false),
        ] {
            assert_eq!(CommandStatus::from(status).is_open(), open, "{status}");
        }
    }

    #[test]
    fn states_sort_by_their_text() {
        let mut states = ["stopped", "zzz", "pending", "running"].map(InstanceState::from);
        states.sort();
        assert_eq!(
            states.map(String::from),
            ["pending", "running", "stopped", "zzz"]
        );
    }
}
