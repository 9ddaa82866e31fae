//! The simulated runtime: instances that exist only as books. It imitates what freezeframe's documents would print,
//! needs no privileges, and says `simulated` wherever it is asked.

mod play;
mod state;

pub use state::{By, Happening, What};

use std::collections::BTreeMap;
use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::runtime::{Invocation, InvocationEnd, Runtime, RuntimeError, VolumeSpec};
use super::{Clock, WeakLab};
use state::{Machine, Mounted};

/// Instances without insides.
#[derive(Debug)]
pub struct SimulatedRuntime {
    clock: Clock,
    started: DateTime<Utc>,
    books: Mutex<Books>,
    guarded: bool,
    lab: OnceLock<WeakLab>,
}

#[derive(Debug)]
struct Books {
    rng: fastrand::Rng,
    machines: BTreeMap<String, Machine>,
    /// Filesystem on each volume, if any is known.
    filesystems: BTreeMap<String, Option<String>>,
    /// Snapshot → filesystem, and whether it was taken while that filesystem was frozen.
    snapshots: BTreeMap<String, (Option<String>, bool)>,
    running: BTreeMap<(String, String), CancellationToken>,
}

impl SimulatedRuntime {
    /// Durations come from `seed`, time from `clock`.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let started = clock.now();
        let books = Books {
            rng: fastrand::Rng::with_seed(seed),
            machines: BTreeMap::new(),
            filesystems: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        Self {
            clock,
            started,
            books: Mutex::new(books),
            guarded: false,
            lab: OnceLock::new(),
        }
    }

    /// Takes requests from the lab's own key only, as a real runtime does.
    #[must_use]
    pub fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// Mount points of the instance that are frozen now, in the order in which they were frozen.
    pub fn frozen_mounts(&self, instance: &str) -> Vec<String> {
        let now = self.clock.now();
        let mut books = self.books();
        books
            .machines
            .get_mut(instance)
            .map(|machine| machine.frozen(now))
            .unwrap_or_default()
    }

    /// Sets an instance's clock ahead of the lab's, or behind it.
    pub fn skew_clock(&self, instance: &str, ahead: chrono::Duration) {
        let mut books = self.books();
        books
            .machines
            .entry(instance.to_owned())
            .or_default()
            .clock_skew = ahead;
    }

    /// Thaws and unlocks an instance behind the back of the job that holds it. The imitated document does not
    /// notice and goes on to say that it was frozen: a lie, for tests of those who must catch it.
    pub fn rob(&self, instance: &str) {
        let now = self.clock.now();
        if let Some(machine) = self.books().machines.get_mut(instance) {
            machine.rob(now);
        }
    }

    /// Lets every job in from now on, whoever holds the instance: a document that has lost its lock, for tests of
    /// those who must notice, and of those who must not lean on it.
    pub fn unguard(&self, instance: &str) {
        let mut books = self.books();
        let machine = books.machines.entry(instance.to_owned()).or_default();
        machine.unguarded = true;
    }

    /// Everything that was armed, locked, frozen and released on an instance, in the order in which it happened.
    pub fn history(&self, instance: &str) -> Vec<Happening> {
        let now = self.clock.now();
        let mut books = self.books();
        let Some(machine) = books.machines.get_mut(instance) else {
            return Vec::new();
        };
        machine.settle(now);
        machine.history.clone()
    }

    /// Whether a snapshot was taken while its volume's filesystem was frozen; `None` for one that this runtime did not take.
    pub fn was_frozen(&self, snapshot: &str) -> Option<bool> {
        self.books()
            .snapshots
            .get(snapshot)
            .map(|(_, frozen)| *frozen)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }

    fn put(&self, spec: &VolumeSpec) {
        let mut books = self.books();
        let inherited =
            spec.from_snapshot
                .as_ref()
                .map(|snapshot| match books.snapshots.get(snapshot) {
                    Some((filesystem, _)) => filesystem.clone(),
                    // Snapshots of the world's past hold what most data volumes hold.
                    None => Some("xfs".to_owned()),
                });
        let filesystem = spec.filesystem.clone().or(inherited.flatten());
        books.filesystems.insert(spec.id.clone(), filesystem);
    }
}

impl Runtime for SimulatedRuntime {
    fn label(&self) -> &'static str {
        "simulated"
    }

    fn is_guarded(&self) -> bool {
        self.guarded
    }

    fn meet(&self, lab: WeakLab) {
        // A runtime belongs to one lab.
        self.lab.set(lab).ok();
    }

    fn boot<'a>(
        &'a self,
        instance: &'a str,
        volumes: &'a [(String, VolumeSpec)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        for (_, spec) in volumes {
            self.put(spec);
        }
        let mut machine = Machine::default();
        for (_, spec) in volumes {
            let device = machine.attach(&spec.id);
            if let Some(mount) = &spec.mount {
                let fs = spec.filesystem.clone().unwrap_or_else(|| "ext4".to_owned());
                machine.mounts.push(Mounted {
                    mount: mount.clone(),
                    fs,
                    volume: spec.id.clone(),
                    device,
                });
            }
        }
        self.books().machines.insert(instance.to_owned(), machine);
        futures::future::ready(Ok(())).boxed()
    }

    fn create_volume<'a>(
        &'a self,
        volume: &'a VolumeSpec,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.put(volume);
        futures::future::ready(Ok(())).boxed()
    }

    fn delete_volume<'a>(&'a self, volume: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.books().filesystems.remove(volume);
        futures::future::ready(Ok(())).boxed()
    }

    fn attach<'a>(
        &'a self,
        instance: &'a str,
        volume: &'a str,
        _device: &'a str,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.books()
            .machines
            .entry(instance.to_owned())
            .or_default()
            .attach(volume);
        futures::future::ready(Ok(())).boxed()
    }

    fn detach<'a>(
        &'a self,
        instance: &'a str,
        volume: &'a str,
        off: bool,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let mut books = self.books();
        let result = match books.machines.get_mut(instance) {
            Some(machine) => {
                if off {
                    machine.mounts.retain(|mounted| mounted.volume != volume);
                }
                machine.detach(volume)
            }
            None => Ok(()),
        };
        futures::future::ready(result).boxed()
    }

    fn snapshot<'a>(
        &'a self,
        set: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let now = self.clock.now();
        let mut books = self.books();
        let frozen: Vec<String> = books
            .machines
            .values_mut()
            .flat_map(|machine| machine.frozen_volumes(now))
            .collect();
        for (volume, snapshot) in set {
            let filesystem = books.filesystems.get(volume).cloned().flatten();
            books
                .snapshots
                .insert(snapshot.clone(), (filesystem, frozen.contains(volume)));
        }
        futures::future::ready(Ok(())).boxed()
    }

    fn delete_snapshot<'a>(&'a self, snapshot: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.books().snapshots.remove(snapshot);
        futures::future::ready(Ok(())).boxed()
    }

    fn run(&self, invocation: Invocation) -> BoxFuture<'_, InvocationEnd> {
        async move {
            let began = self.clock.now();
            let cancel = CancellationToken::new();
            let key = (invocation.command_id.clone(), invocation.instance.clone());
            // The first delivery is the one that a cancel reaches.
            if !invocation.again {
                self.books().running.insert(key.clone(), cancel.clone());
            }
            let mut play = play::Play::new(self, &invocation);
            let (ending, exit_code) = tokio::select! {
                biased;
                exit = play.perform() => (None, exit),
                () = cancel.cancelled() => (Some("cancelled"), 137),
                () = self.clock.sleep(invocation.execution_timeout) => (Some("timed out"), 137),
            };
            if ending.is_some() {
                play.killed();
            }
            if !invocation.again {
                self.books().running.remove(&key);
            }
            InvocationEnd {
                exit_code,
                stdout: play.stdout(),
                stderr: play.stderr(),
                timed_out: ending == Some("timed out"),
                cancelled: ending == Some("cancelled"),
                elapsed: (self.clock.now() - began).to_std().unwrap_or_default(),
            }
        }
        .boxed()
    }

    fn cancel<'a>(&'a self, command_id: &'a str, instance: &'a str) -> BoxFuture<'a, ()> {
        if let Some(token) = self
            .books()
            .running
            .get(&(command_id.to_owned(), instance.to_owned()))
        {
            token.cancel();
        }
        futures::future::ready(()).boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.books().machines.clear();
        futures::future::ready(()).boxed()
    }
}

#[cfg(test)]
mod tests;
