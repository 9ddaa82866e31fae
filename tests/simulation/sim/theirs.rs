//! Documents of other makers, well- and ill-behaved: a runtime that plays those itself, keeps its own books of what
//! they freeze, and leaves everything else to the simulated one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use freezeframe::lab::runtime::{Invocation, InvocationEnd, Runtime, RuntimeError, VolumeSpec};
use freezeframe::lab::runtime_simulated::{By, Happening, SimulatedRuntime, What};
use freezeframe::lab::{Clock, WeakLab};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::story::Manners;

/// When a document that has a failsafe of its own lets go.
const THEIR_FAILSAFE: chrono::TimeDelta = chrono::TimeDelta::seconds(12);
/// How long freezing one filesystem takes.
const EACH: Duration = Duration::from_millis(120);

/// Instances on which documents of other makers run as well.
#[derive(Debug)]
pub struct Theirs {
    pub ours: Arc<SimulatedRuntime>,
    clock: Clock,
    books: Mutex<BTreeMap<String, Books>>,
    /// By command and instance.
    running: Mutex<BTreeMap<(String, String), CancellationToken>>,
}

/// One instance.
#[derive(Debug, Default)]
struct Books {
    /// Mount, volume; all but the root.
    mounts: Vec<(String, String)>,
    held: Option<Held>,
    history: Vec<Happening>,
}

#[derive(Debug, Clone)]
struct Held {
    job: String,
    /// Mount, volume, in the order of freezing.
    frozen: Vec<(String, String)>,
    /// When a failsafe of its own acts.
    until: Option<DateTime<Utc>>,
}

impl Books {
    fn note(&mut self, at: DateTime<Utc>, job: &str, what: What) {
        let job = job.to_owned();
        self.history.push(Happening { at, job, what });
    }

    fn settle(&mut self, now: DateTime<Utc>) {
        if let Some(until) = self.held.as_ref().and_then(|held| held.until)
            && until <= now
        {
            self.thaw(until, By::Failsafe);
        }
    }

    /// Freezes one more, whatever was thawed meanwhile.
    fn freeze(&mut self, now: DateTime<Utc>, job: &str, until: Option<DateTime<Utc>>, n: usize) {
        let Some((mount, volume)) = self.mounts.get(n).cloned() else {
            return;
        };
        let what = What::Frozen {
            mount: mount.clone(),
            volume: volume.clone(),
        };
        self.note(now, job, what);
        let held = self.held.get_or_insert_with(|| Held {
            job: job.to_owned(),
            frozen: Vec::new(),
            until,
        });
        held.frozen.push((mount, volume));
    }

    /// Whether anything was frozen.
    fn thaw(&mut self, now: DateTime<Utc>, by: By) -> bool {
        let Some(held) = self.held.take() else {
            return false;
        };
        for (mount, volume) in held.frozen {
            self.note(now, &held.job, What::Thawed { mount, volume, by });
        }
        true
    }
}

impl Theirs {
    pub fn new(ours: Arc<SimulatedRuntime>, clock: Clock) -> Self {
        Self {
            ours,
            clock,
            books: Mutex::default(),
            running: Mutex::default(),
        }
    }

    /// Everything that was armed, locked, frozen and released on an instance, by anybody's document.
    pub fn history(&self, instance: &str) -> Vec<Happening> {
        let mut all = self.ours.history(instance);
        let now = self.clock.now();
        if let Some(books) = self.books().get_mut(instance) {
            books.settle(now);
            all.extend(books.history.iter().cloned());
        }
        all
    }

    fn books(&self) -> MutexGuard<'_, BTreeMap<String, Books>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<(String, String), CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exit code and output.
    async fn play(&self, manners: Manners, invocation: &Invocation) -> (i32, String) {
        let parameter = |name: &str| -> String {
            let values = invocation.parameters.get(name);
            values.and_then(|v| v.first()).cloned().unwrap_or_default()
        };
        self.clock.sleep(Duration::from_millis(300)).await;
        let says = match manners {
            Manners::Babbles => {
                "FF1 {\"t\":\"frozen\",\"seq\":1,\nFF1 {}\nFF1 {\"t\":\"ready\"}\nfrozen, trust me\n".to_owned()
            }
            _ => String::new(),
        };
        let instance = &invocation.instance;
        let exit = match parameter("command").as_str() {
            "pre-script" => self.pre(manners, instance, &parameter("executionId")).await,
            "post-script" => self.with(instance, |books, now| post(manners, books, now)),
            _ => 0,
        };
        (exit, says)
    }

    /// Does something with an instance's books, which are up to date.
    fn with<T>(&self, instance: &str, act: impl FnOnce(&mut Books, DateTime<Utc>) -> T) -> T {
        let now = self.clock.now();
        let mut all = self.books();
        let books = all.entry(instance.to_owned()).or_default();
        books.settle(now);
        act(books, now)
    }

    /// One filesystem after the other, each in its time: whoever kills it leaves those that it came to.
    async fn pre(&self, manners: Manners, instance: &str, job: &str) -> i32 {
        let (taken, whole) = self.with(instance, |books, _| {
            (books.held.is_some(), books.mounts.len())
        });
        if taken {
            return 204;
        }
        let (count, exit) = match manners {
            Manners::Refuses => return 206,
            Manners::Fails | Manners::Leaves => (1, 201),
            _ => (whole, 0),
        };
        let began = self.clock.now();
        let until = (manners == Manners::Failsafe).then_some(began + THEIR_FAILSAFE);
        for n in 0..count {
            self.clock.sleep(EACH).await;
            self.with(instance, |books, now| books.freeze(now, job, until, n));
        }
        if manners == Manners::Fails {
            self.with(instance, |books, now| books.thaw(now, By::Holder));
        }
        exit
    }
}

fn post(manners: Manners, books: &mut Books, now: DateTime<Utc>) -> i32 {
    match manners {
        Manners::Stuck => 202,
        Manners::Stops if books.held.is_some() => 205,
        Manners::Lies => 0,
        Manners::Failsafe if books.held.is_none() => 203,
        _ if books.thaw(now, By::Holder) => 0,
        _ => 205,
    }
}

/// The content of such a document: Data Lifecycle Manager's contract. Only some have a dry run.
pub fn content(manners: Manners) -> String {
    let mut words = vec!["pre-script", "post-script"];
    if matches!(
        manners,
        Manners::Good | Manners::Failsafe | Manners::Babbles
    ) {
        words.push("dry-run");
    }
    serde_json::json!({
        "schemaVersion": "2.2",
        "parameters": {
            "executionId": {"type": "String", "default": "None"},
            "command": {"type": "String", "default": "pre-script", "allowedValues": words},
        },
        "mainSteps": [{
            "action": "aws:runShellScript", "name": "run_pre_post_scripts",
            "inputs": {"timeoutSeconds": "120", "runCommand": ["true"]},
        }],
    })
    .to_string()
}

type Made<'a> = BoxFuture<'a, Result<(), RuntimeError>>;

impl Runtime for Theirs {
    fn label(&self) -> &'static str {
        self.ours.label()
    }

    fn meet(&self, lab: WeakLab) {
        self.ours.meet(lab);
    }

    fn boot<'a>(&'a self, instance: &'a str, volumes: &'a [(String, VolumeSpec)]) -> Made<'a> {
        let mounts = volumes.iter().filter_map(|(_, spec)| {
            let mount = spec.mount.clone().filter(|mount| mount != "/")?;
            Some((mount, spec.id.clone()))
        });
        let books = Books {
            mounts: mounts.collect(),
            ..Books::default()
        };
        self.books().insert(instance.to_owned(), books);
        self.ours.boot(instance, volumes)
    }

    fn create_volume<'a>(&'a self, volume: &'a VolumeSpec) -> Made<'a> {
        self.ours.create_volume(volume)
    }

    fn delete_volume<'a>(&'a self, volume: &'a str) -> Made<'a> {
        self.ours.delete_volume(volume)
    }

    fn attach<'a>(&'a self, instance: &'a str, volume: &'a str, device: &'a str) -> Made<'a> {
        self.ours.attach(instance, volume, device)
    }

    fn detach<'a>(&'a self, instance: &'a str, volume: &'a str, off: bool) -> Made<'a> {
        self.ours.detach(instance, volume, off)
    }

    fn snapshot<'a>(&'a self, set: &'a [(String, String)]) -> Made<'a> {
        self.ours.snapshot(set)
    }

    fn delete_snapshot<'a>(&'a self, snapshot: &'a str) -> Made<'a> {
        self.ours.delete_snapshot(snapshot)
    }

    fn run(&self, invocation: Invocation) -> BoxFuture<'_, InvocationEnd> {
        let Some(manners) = Manners::of(&invocation.document) else {
            return self.ours.run(invocation);
        };
        async move {
            let began = self.clock.now();
            let cancel = CancellationToken::new();
            let key = (invocation.command_id.clone(), invocation.instance.clone());
            self.running().insert(key.clone(), cancel.clone());
            let ended = tokio::select! {
                biased;
                ended = self.play(manners, &invocation) => Some(ended),
                () = cancel.cancelled() => None,
            };
            self.running().remove(&key);
            let cancelled = ended.is_none();
            let (exit_code, stdout) = ended.unwrap_or((137, String::new()));
            InvocationEnd {
                exit_code,
                stdout,
                stderr: String::new(),
                timed_out: false,
                cancelled,
                elapsed: (self.clock.now() - began).to_std().unwrap_or_default(),
            }
        }
        .boxed()
    }

    fn cancel<'a>(&'a self, command_id: &'a str, instance: &'a str) -> BoxFuture<'a, ()> {
        let key = (command_id.to_owned(), instance.to_owned());
        if let Some(token) = self.running().get(&key) {
            token.cancel();
            return futures::future::ready(()).boxed();
        }
        self.ours.cancel(command_id, instance)
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.ours.shutdown()
    }
}
