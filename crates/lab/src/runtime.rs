//! What an instance is made of: the seam between the lab's API (which keeps the books) and the two ways
//! in which volumes and commands exist, *simulated* (no privileges) and *real* (loop devices, root).
//!
//! The API layer calls these when a state change takes effect; it never holds the world's lock while it waits.

use std::time::Duration;

use futures::future::BoxFuture;

/// Why a runtime could not do something, in words.
pub type RuntimeError = String;

/// An EBS volume as the runtime meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// `vol-…`
    pub id: String,
    /// GiB; a real volume may be made smaller on disk (sparse) but reports this size to the API.
    pub size_gib: u32,
    /// Snapshot whose contents it starts with.
    pub from_snapshot: Option<String>,
    /// For volumes that exist at the world's beginning: filesystem (`ext4`, `xfs`, `btrfs`) to make.
    pub filesystem: Option<String>,
    /// For volumes that exist at the world's beginning: where the instance mounts it.
    pub mount: Option<String>,
}

/// One SSM command for one instance, its document resolved and parameters substituted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The command's UUID.
    pub command_id: String,
    /// Its second delivery, of which nobody hears.
    pub again: bool,
    /// `i-…`
    pub instance: String,
    /// Document name, for the simulated runtime to know what it plays.
    pub document: String,
    /// Parameters as sent plus the document's defaults.
    pub parameters: std::collections::BTreeMap<String, Vec<String>>,
    /// The script that the agent would write to `_script.sh`.
    pub script: String,
    /// SIGKILL to the process group after this time.
    pub execution_timeout: Duration,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationEnd {
    /// Exit code; -1 when it never ran.
    pub exit_code: i32,
    /// At most 24,000 characters.
    pub stdout: String,
    /// At most 8,000 characters.
    pub stderr: String,
    /// Killed by its time limit.
    pub timed_out: bool,
    /// Killed by a cancel.
    pub cancelled: bool,
    /// How long it ran.
    pub elapsed: Duration,
}

/// The two kinds of instances' insides.
pub trait Runtime: Send + Sync + 'static {
    /// `simulated` or `real`; shown on screen and answered by `GET /_lab`.
    fn label(&self) -> &'static str;

    /// Whether requests are taken from the lab's own key only, as where commands do something to the machine that
    /// the lab runs on.
    fn is_guarded(&self) -> bool {
        false
    }

    /// Told once, when the lab around it stands: instances that speak to AWS themselves find it there.
    fn meet(&self, lab: super::WeakLab) {
        drop(lab);
    }

    /// Brings an instance of the world's beginning to life with its volumes (device name, volume).
    fn boot<'a>(
        &'a self,
        instance: &'a str,
        volumes: &'a [(String, VolumeSpec)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Makes a volume's storage, empty or with a snapshot's contents.
    fn create_volume<'a>(
        &'a self,
        volume: &'a VolumeSpec,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Removes a volume's storage.
    fn delete_volume<'a>(&'a self, volume: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Makes the volume appear on the instance.
    fn attach<'a>(
        &'a self,
        instance: &'a str,
        volume: &'a str,
        device: &'a str,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Takes the volume away; an error when the instance still has it mounted (EC2's `busy`). One that is stopped
    /// (`off`) has nothing mounted, whatever it had before.
    fn detach<'a>(
        &'a self,
        instance: &'a str,
        volume: &'a str,
        off: bool,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Takes all pairs (volume, snapshot) at one instant.
    fn snapshot<'a>(
        &'a self,
        set: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Removes a snapshot's storage.
    fn delete_snapshot<'a>(&'a self, snapshot: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;

    /// Runs one command to its end, its time limit or its cancel.
    fn run(&self, invocation: Invocation) -> BoxFuture<'_, InvocationEnd>;

    /// Cancels a running command (best effort, like the agent: SIGKILL to the process group).
    fn cancel<'a>(&'a self, command_id: &'a str, instance: &'a str) -> BoxFuture<'a, ()>;

    /// Undoes everything that this runtime made on the machine: thaws, unmounts, detaches.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
