//! The stage: a lab, the journals of the hosts, and who lives.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use freezeframe::aws::session::{Options, Session};
use freezeframe::domain::ids::{JobId, RunId};
use freezeframe::domain::instance::Instance;
use freezeframe::domain::job::{JobSpec, Mode};
use freezeframe::domain::mode::AskedMode;
use freezeframe::domain::run::Limits;
use freezeframe::domain::set_plan::SetOptions;
use freezeframe::jobs::journal::Journal;
use freezeframe::lab::runtime_simulated::SimulatedRuntime;
use freezeframe::lab::{Clock as LabClock, Fault, FaultKind, Lab, LabOptions, WorldSpec};
use freezeframe::ops::clock::Clock;
use freezeframe::ops::job::run::{RunOptions, spec_for};
use freezeframe::ops::{Ops, inventory, recover};
use freezeframe::recipe::chosen::Catalogue;

use super::line::{self, Dark, Ear, Life};
use super::look::Look;
use super::story::{Manners, Outage, Story, Trouble, Wish};
use super::theirs::{self, Theirs};

pub const REGION: &str = "eu-central-1";
/// One budget in five leaves the mode to the instance, whatever the draw: every seed keeps its story.
fn asked(wish: &Wish) -> AskedMode {
    match wish.document {
        None if wish.budget_s == 15 || wish.auto => AskedMode::Auto,
        _ => wish.mode.into(),
    }
}

/// What is left out of the set of a wish.
fn without(wish: &Wish, instance: &Instance) -> SetOptions {
    let last = instance.devices.last().filter(|_| wish.without.last);
    SetOptions {
        exclude_root: wish.without.root,
        exclude: last
            .map(|device| device.volume.clone())
            .into_iter()
            .collect(),
        ..SetOptions::default()
    }
}

/// Between two tries to open a session.
const AGAIN: Duration = Duration::from_secs(5);

/// Everything that a story is played on. Cheap to clone.
#[derive(Clone)]
pub struct Stage {
    pub lab: Lab,
    pub instances: Arc<Theirs>,
    /// One of each host.
    pub journals: Arc<Vec<Journal>>,
    pub look: Arc<Look>,
    clock: Clock,
    dark: Dark,
    /// What is asked, by console, in the order of its wishes.
    pub specs: Arc<Vec<Vec<JobSpec>>>,
    alive: Arc<Mutex<HashSet<JobId>>>,
}

fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_778) + chrono::TimeDelta::hours(12)
}

impl Stage {
    /// Builds the world and asks what the consoles will be asked; `None` when no instance can be asked.
    ///
    /// # Errors
    /// In words.
    pub async fn set(story: &Story) -> Result<Option<Self>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let lab_clock = LabClock::virtual_from(noon());
        let ours = Arc::new(SimulatedRuntime::new(lab_clock.clone(), story.seed));
        let instances = Arc::new(Theirs::new(ours, lab_clock.clone()));
        let lab = Lab::start(LabOptions {
            world: WorldSpec::parse(&story.world).map_err(|e| text(&e))?,
            seed: story.seed,
            clock: lab_clock,
            runtime: instances.clone(),
            throttling: true,
            account: "123456789012".to_owned(),
            region: REGION.to_owned(),
        })
        .await
        .map_err(|e| text(&e))?;
        let hosts = story.consoles.iter().map(|c| c.journal + 1).max();
        let journals: Result<Vec<Journal>, _> = (0..hosts.unwrap_or(1))
            .map(|_| Journal::in_memory())
            .collect();
        let journals = Arc::new(journals.map_err(|e| text(&e))?);
        let look = Look::new(&lab, &instances, &journals, story);
        let mut stage = Self {
            lab,
            instances,
            journals,
            look: Arc::new(look),
            clock: Clock::virtual_from(noon()),
            dark: Dark::default(),
            specs: Arc::default(),
            alive: Arc::default(),
        };
        let journal = stage.journal(0)?.clone();
        let ops = stage.open(&Life::new(), journal, stage.clock).await;
        let ops = ops.ok_or("no session")?;
        let specs = stage.asked(&ops, story).await?;
        let some = specs.iter().any(|specs| !specs.is_empty());
        stage.specs = Arc::new(specs);
        Ok(some.then_some(stage))
    }

    pub fn journal(&self, n: usize) -> Result<&Journal, String> {
        self.journals
            .get(n)
            .ok_or_else(|| format!("no journal {n}"))
    }

    async fn asked(&self, ops: &Ops, story: &Story) -> Result<Vec<Vec<JobSpec>>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        for manners in story.wishes.iter().filter_map(|wish| wish.document) {
            let (name, content) = (manners.document(), theirs::content(manners));
            let installed = ops.session.create_document(&name, &content).await;
            installed.map_err(|e| text(&e))?;
        }
        let found = inventory::instances(ops).await.map_err(|e| text(&e))?;
        let mut rng = fastrand::Rng::with_seed(story.seed);
        let mut all = Vec::new();
        for console in &story.consoles {
            let run = RunId::from_api(id(&mut rng));
            let mut specs = Vec::new();
            for n in &console.wishes {
                let (Some(instance), Some(wish)) = (found.get(*n), story.wishes.get(*n)) else {
                    continue;
                };
                let options = RunOptions {
                    run: run.clone(),
                    recipe: None,
                    document: wish.document.map(Manners::document),
                    mode: asked(wish),
                    budget_s: Some(wish.budget_s),
                    on_failure: wish.on_failure,
                    mounts: Vec::new(),
                    freeze_root: wish.freeze_root && wish.mode == Mode::Autonomous,
                    parameters: BTreeMap::new(),
                    set: without(wish, instance),
                    limits: console.run.clone().unwrap_or_else(Limits::default),
                };
                let mut spec = spec_for(ops, instance, &options).map_err(|e| text(&e))?;
                spec.job = JobId::from_api(id(&mut rng));
                let skew = chrono::TimeDelta::seconds(wish.skew_s);
                self.instances.ours.skew_clock(instance.id.as_str(), skew);
                specs.push(spec);
            }
            all.push(specs);
        }
        Ok(all)
    }

    /// Starts a console; `None` when its session could not be opened.
    async fn open(&self, life: &Life, journal: Journal, clock: Clock) -> Option<Ops> {
        let look = self.look.clone();
        let ear = Ear(Arc::new(move |said| look.heard(said)));
        let http = line::client(self.lab.connector(), life.clone(), self.dark.clone(), ear);
        let session = Session::open(Options {
            region: Some(REGION.to_owned()),
            endpoint_url: Some("http://lab.invalid".to_owned()),
            http: Some(http),
            static_credentials: Some(("AKIALAB".to_owned(), "lab".to_owned())),
            ..Options::default()
        })
        .await
        .ok()?;
        Some(Ops {
            session,
            journal,
            clock,
            namespace: Arc::from("Organization/Backup"),
            recipes: Catalogue::default(),
            tagging: Default::default(),
            unconfirmed: recover::UnconfirmedThaws::default(),
        })
    }

    /// The same with a clock that may be wrong, however often it takes (within reason).
    pub async fn patiently(
        &self,
        life: &Life,
        journal: Journal,
        ahead: Option<&'static AtomicI64>,
    ) -> Option<Ops> {
        let clock = ahead.map_or(self.clock, |ahead| self.clock.wrong_by(ahead));
        for _ in 0..20 {
            let opened = self.open(life, journal.clone(), clock).await;
            if opened.is_some() {
                return opened;
            }
            tokio::time::sleep(AGAIN).await;
        }
        None
    }

    /// Jobs that a living console drives.
    pub fn alive(&self) -> MutexGuard<'_, HashSet<JobId>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a living process drives an open job of that journal.
    pub fn is_driven(&self, journal: usize) -> bool {
        let scope = self.specs.iter().flatten().next().map(|spec| &spec.scope);
        let (Some(scope), Ok(journal)) = (scope, self.journal(journal)) else {
            return false;
        };
        let open = journal.open_jobs(scope).unwrap_or_default();
        open.iter()
            .any(|(view, _)| self.alive().contains(&view.spec.job))
    }

    /// Gives the open jobs that no living console drives the owner that they would have after the death of a real
    /// process, and says which they are.
    pub fn disown(&self, journal: usize) -> Vec<JobSpec> {
        let me = recover::owner_of_this_process();
        // Same place, a process that never was.
        let place = me.rsplitn(3, ':').nth(2).unwrap_or_default();
        let nobody = format!("{place}:0:0");
        let Some(scope) = self.specs.iter().flatten().next().map(|spec| &spec.scope) else {
            return Vec::new();
        };
        let Ok(journal) = self.journal(journal) else {
            return Vec::new();
        };
        let mut left = Vec::new();
        for (view, _) in journal.open_jobs(scope).unwrap_or_default() {
            if self.alive().contains(&view.spec.job) {
                continue;
            }
            if let Err(problem) = journal.save_job(&view, &nobody, true, self.clock.now()) {
                self.look
                    .wrong(vec![format!("the journal is broken: {problem}")]);
            }
            left.push(view.spec);
        }
        left
    }

    /// Lets come what the story has in store; after its storm everything is fair.
    pub fn weather(&self, story: &Story) {
        story.shown().plan.apply(&self.lab, story.seed);
        for fault in &story.faults {
            self.lab.faults().inject(fault.clone());
        }
        if story.robbed {
            self.rob();
        }
        if story.unguarded {
            for spec in self.specs.iter().flatten() {
                self.instances.ours.unguard(spec.instance.as_str());
            }
        }
        for outage in &story.shown().outages {
            tokio::spawn(trouble(self.lab.clone(), self.dark.clone(), *outage));
        }
        let (lab, storm) = (self.lab.clone(), story.storm);
        tokio::spawn(async move {
            tokio::time::sleep(storm).await;
            lab.faults().clear();
            lab.set_weather(freezeframe::lab::Weather::default());
        });
    }

    /// Somebody thaws whatever is frozen, as soon as it is.
    fn rob(&self) {
        for spec in self.specs.iter().flatten() {
            let (instances, instance) = (self.instances.ours.clone(), spec.instance.to_string());
            let world = self.lab.world();
            let count = world.instances.get(&instance).map_or(0, |i| i.mounts.len());
            tokio::spawn(async move {
                // All but the root.
                while instances.frozen_mounts(&instance).len() + 1 < count {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                instances.rob(&instance);
            });
        }
    }
}

async fn trouble(lab: Lab, dark: Dark, outage: Outage) {
    tokio::time::sleep(outage.from).await;
    let kind = match outage.how {
        Trouble::Dark => {
            dark.set(true);
            tokio::time::sleep(outage.lasting).await;
            return dark.set(false);
        }
        Trouble::Expired => FaultKind::Expired,
        Trouble::Unavailable => FaultKind::Error {
            code: "ServiceUnavailable".to_owned(),
            message: "try again later".to_owned(),
            status: 503,
        },
    };
    // The older orders would be obeyed first.
    lab.faults().clear();
    lab.faults().inject(Fault {
        action: "*".to_owned(),
        skip: 0,
        times: u32::MAX,
        kind,
    });
    tokio::time::sleep(outage.lasting).await;
    lab.faults().clear();
}

/// The hand of a clock that can be set. It lives as long as the process: a clock is copied freely.
pub fn hand(seconds: i64) -> &'static AtomicI64 {
    Box::leak(Box::new(AtomicI64::new(seconds)))
}

fn id(rng: &mut fastrand::Rng) -> String {
    let bytes = rng.u128(..).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}
