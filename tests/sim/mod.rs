//! The simulation: the real engine, through the real SDK, in process against the lab on tokio's paused clock. One
//! story is one seed's fleet, wishes, faults and deaths of the console; after every journal write and at the end the
//! lab's own books are held against what the console claims. Used by tests/simulation.rs and examples/simulate.rs.

pub mod draw;
pub mod eye;
mod line;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use freezeframe::aws::session::{Options, Session};
use freezeframe::domain::ids::{JobId, RunId};
use freezeframe::domain::job::{JobSpec, JobView};
use freezeframe::domain::run::Limits;
use freezeframe::jobs::journal::Journal;
use freezeframe::lab::runtime_simulated::SimulatedRuntime;
use freezeframe::lab::{Clock as LabClock, Lab, LabOptions, WorldSpec};
use freezeframe::ops::clock::Clock;
use freezeframe::ops::run::{RunOptions, spec_for};
use freezeframe::ops::{Ops, backup, inventory, recover};
use freezeframe::recipe::chosen::Catalogue;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use draw::Story;
use eye::{Asked, Eye, Taken};
use line::Life;

const REGION: &str = "eu-central-1";
/// Longest life of one console before it counts as hanging.
const HANGS: Duration = Duration::from_secs(4 * 3_600);
/// Starts after which a job that is still open counts as forgotten.
const STARTS: u32 = 60;
/// How long faults last at most.
const STORM: Duration = Duration::from_secs(1_200);
/// Between two starts.
const PAUSE: Duration = Duration::from_secs(30);
/// After the end, for whatever comes late.
const AFTERMATH: Duration = Duration::from_secs(300);

/// How a story ended.
pub struct Ending {
    /// What was not as promised; empty is good.
    pub violations: Vec<String>,
    /// Journal writes of all consoles.
    pub writes: u32,
    /// The last look, from which the violations follow.
    pub eye: Eye,
}

/// Plays a story to its end, on a runtime of its own.
///
/// # Errors
/// The stage could not be set: nothing was simulated.
pub fn play(story: &Story) -> Result<Ending, String> {
    // The SDK's retries throw this thread's dice.
    fastrand::seed(story.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(Stage::set(story))?.map_or_else(
        || Err("no instance can be asked".to_owned()),
        |stage| Ok(runtime.block_on(stage.play(story))),
    )
}

struct Stage {
    lab: Lab,
    instances: Arc<SimulatedRuntime>,
    journal: Journal,
    clock: Clock,
    specs: Vec<JobSpec>,
    watch: Arc<Watch>,
}

/// What the hook of every console shares.
#[derive(Default)]
struct Watch {
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    writes: u32,
    violations: Vec<String>,
}

impl Watch {
    fn add(&self, violations: Vec<String>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for violation in violations {
            if !found.violations.contains(&violation) {
                found.violations.push(violation);
            }
        }
    }
}

fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_778) + chrono::TimeDelta::hours(12)
}

impl Stage {
    async fn set(story: &Story) -> Result<Option<Self>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let lab_clock = LabClock::virtual_from(noon());
        let instances = Arc::new(SimulatedRuntime::new(lab_clock.clone(), story.seed));
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
        let journal = Journal::in_memory().map_err(|e| text(&e))?;
        let clock = Clock::virtual_from(noon());
        let mut stage = Self {
            lab,
            instances,
            journal,
            clock,
            specs: Vec::new(),
            watch: Arc::new(Watch::default()),
        };
        let ops = stage.console(&Life::new(), stage.journal.clone()).await;
        let ops = ops.ok_or("no session")?;
        let found = inventory::instances(&ops).await.map_err(|e| text(&e))?;
        let mut rng = fastrand::Rng::with_seed(story.seed);
        let mut uuid = || {
            let bytes = rng.u128(..).to_be_bytes();
            uuid::Builder::from_random_bytes(bytes)
                .into_uuid()
                .to_string()
        };
        let run = RunId::from_api(uuid());
        for (instance, wish) in found.iter().zip(&story.wishes) {
            let options = RunOptions {
                run: run.clone(),
                recipe: None,
                document: None,
                mode: wish.mode,
                budget_s: Some(wish.budget_s),
                on_failure: wish.on_failure,
                mounts: Vec::new(),
                freeze_root: false,
                parameters: std::collections::BTreeMap::new(),
                limits: Limits::default(),
            };
            let mut spec = spec_for(&ops, instance, &options).map_err(|e| text(&e))?;
            spec.job = JobId::from_api(uuid());
            spec.freeze_root = wish.freeze_root;
            let skew = chrono::TimeDelta::seconds(wish.skew_s);
            stage.instances.skew_clock(instance.id.as_str(), skew);
            stage.specs.push(spec);
        }
        Ok((!stage.specs.is_empty()).then_some(stage))
    }

    /// Starts a console; `None` when its session could not be opened.
    async fn console(&self, life: &Life, journal: Journal) -> Option<Ops> {
        let session = Session::open(Options {
            region: Some(REGION.to_owned()),
            endpoint_url: Some("http://lab.invalid".to_owned()),
            http: Some(line::client(self.lab.connector(), life.clone())),
            static_credentials: Some(("AKIALAB".to_owned(), "lab".to_owned())),
            read_only: false,
            profile: None,
        })
        .await
        .ok()?;
        Some(Ops {
            session,
            journal,
            clock: self.clock,
            namespace: Arc::from("Organization/Backup"),
            recipes: Catalogue::default(),
        })
    }

    /// The journal of a console that dies at its `death`th write. Every write is a moment to look.
    fn mortal(&self, life: &Life, death: Option<u32>, died: &Arc<Notify>) -> Journal {
        let (life, died) = (life.clone(), died.clone());
        let writes = Mutex::new(0_u32);
        let stage = Look {
            lab: self.lab.clone(),
            instances: self.instances.clone(),
            asked: self.asked(),
        };
        let watch = self.watch.clone();
        self.journal.clone().observed(Arc::new(move |_| {
            // The journal is in the middle of a write: only the lab's own books can be looked at.
            watch.add(stage.violations());
            let mut writes = writes.lock().unwrap_or_else(PoisonError::into_inner);
            *writes += 1;
            let mut found = watch.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.writes += 1;
            let dies = Some(*writes) == death;
            if dies {
                life.end();
                died.notify_one();
            }
            !dies
        }))
    }

    fn asked(&self) -> Vec<Asked> {
        self.specs
            .iter()
            .map(|spec| Asked {
                job: spec.job.to_string(),
                instance: spec.instance.to_string(),
                budget_s: spec.budget_s,
            })
            .collect()
    }

    async fn play(self, story: &Story) -> Ending {
        story.plan.apply(&self.lab, story.seed);
        for fault in &story.faults {
            self.lab.faults().inject(fault.clone());
        }
        if story.robbed {
            self.rob();
        }
        self.end_of_storm();
        let mut deaths = story.deaths.iter().copied();
        self.first_life(story, deaths.next()).await;
        self.later_lives(story, deaths).await;
        tokio::time::sleep(AFTERMATH).await;
        let eye = self.eye();
        self.watch.add(eye.violations());
        let still: Vec<String> = self
            .specs
            .iter()
            .filter(|spec| {
                !self
                    .instances
                    .frozen_mounts(spec.instance.as_str())
                    .is_empty()
            })
            .map(|spec| format!("{}: frozen at the end of the story", spec.job))
            .collect();
        self.watch.add(still);
        let found = self
            .watch
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ending {
            violations: found.violations.clone(),
            writes: found.writes,
            eye,
        }
    }

    /// Nothing is wrong for ever: after a while the first life goes on in fair weather.
    fn end_of_storm(&self) {
        let lab = self.lab.clone();
        tokio::spawn(async move {
            tokio::time::sleep(STORM).await;
            lab.faults().clear();
            lab.set_weather(freezeframe::lab::Weather::default());
        });
    }

    /// The console that starts the jobs, to their end or its own.
    async fn first_life(&self, story: &Story, death: Option<u32>) {
        let (life, died) = (Life::new(), Arc::new(Notify::new()));
        let journal = self.mortal(&life, death, &died);
        let Some(ops) = self.patiently(&life, journal).await else {
            return;
        };
        let cancel = CancellationToken::new();
        if let Some(after) = story.cancel {
            let cancel = cancel.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                cancel.cancel();
            });
        }
        let mut jobs = tokio::task::JoinSet::new();
        for spec in &self.specs {
            let (updates, _) = mpsc::channel(1);
            jobs.spawn(backup::run_job(
                ops.clone(),
                spec.clone(),
                updates,
                cancel.clone(),
            ));
        }
        let ended = tokio::select! {
            biased;
            () = died.notified() => true,
            () = async { while jobs.join_next().await.is_some() {} } => true,
            () = tokio::time::sleep(HANGS) => false,
        };
        if !ended {
            self.watch.add(vec!["a console hangs".to_owned()]);
        }
        // A process that ends takes everything with it.
        life.end();
        jobs.abort_all();
    }

    /// Starts after starts, until nothing is open any more.
    async fn later_lives(&self, story: &Story, mut deaths: impl Iterator<Item = u32>) {
        for start in 0..STARTS {
            if self.disown() == 0 {
                return;
            }
            tokio::time::sleep(if start == 0 { story.gap } else { PAUSE }).await;
            let (life, died) = (Life::new(), Arc::new(Notify::new()));
            let journal = self.mortal(&life, deaths.next(), &died);
            let Some(ops) = self.patiently(&life, journal).await else {
                continue;
            };
            let (updates, _) = mpsc::channel(16);
            let settling = tokio::spawn(async move { recover::settle(&ops, &updates).await });
            let stop = settling.abort_handle();
            let ended = tokio::select! {
                biased;
                () = died.notified() => true,
                _ = settling => true,
                () = tokio::time::sleep(HANGS) => false,
            };
            if !ended {
                self.watch.add(vec!["a start hangs".to_owned()]);
            }
            life.end();
            stop.abort();
        }
        let left = self.disown();
        self.watch.add(vec![format!(
            "{left} job(s) still open after {STARTS} starts"
        )]);
    }

    /// A session, however often it takes.
    async fn patiently(&self, life: &Life, journal: Journal) -> Option<Ops> {
        for _ in 0..20 {
            let opened = self.console(life, journal.clone()).await;
            if opened.is_some() {
                return opened;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        None
    }

    /// Gives the open jobs the owner that they would have after the death of a real process, and counts them.
    fn disown(&self) -> usize {
        let me = recover::owner_of_this_process();
        // Same place, a process that never was.
        let place = me.rsplitn(3, ':').nth(2).unwrap_or_default();
        let nobody = format!("{place}:0:0");
        let Some(scope) = self.specs.first().map(|spec| &spec.scope) else {
            return 0;
        };
        let open = self.journal.open_jobs(scope).unwrap_or_default();
        for (view, _) in &open {
            if let Err(problem) = self.journal.save_job(view, &nobody, true, self.clock.now()) {
                self.watch
                    .add(vec![format!("the journal is broken: {problem}")]);
            }
        }
        open.len()
    }

    /// Somebody thaws whatever is frozen, as soon as it is.
    fn rob(&self) {
        for spec in &self.specs {
            let (instances, instance) = (self.instances.clone(), spec.instance.to_string());
            let count = self
                .lab
                .world()
                .instances
                .get(&instance)
                .map_or(0, |i| i.mounts.len());
            tokio::spawn(async move {
                // All but the root.
                while instances.frozen_mounts(&instance).len() + 1 < count {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                instances.rob(&instance);
            });
        }
    }

    fn eye(&self) -> Eye {
        let look = Look {
            lab: self.lab.clone(),
            instances: self.instances.clone(),
            asked: self.asked(),
        };
        let mut eye = look.eye();
        let all: Vec<JobView> = self.journal.jobs(None, 1_000).unwrap_or_default();
        eye.closed = all
            .into_iter()
            .filter(|view| view.ended().is_some())
            .collect();
        for asked in &eye.asked {
            let calls = self.journal.calls(&asked.job).unwrap_or_default();
            eye.intents.insert(asked.job.clone(), calls);
        }
        eye
    }
}

/// The lab's side of a look.
struct Look {
    lab: Lab,
    instances: Arc<SimulatedRuntime>,
    asked: Vec<Asked>,
}

impl Look {
    fn eye(&self) -> Eye {
        let calls = self.lab.calls();
        let world = self.lab.world();
        let tag =
            |tags: &BTreeMap<String, String>, key: &str| tags.get(key).cloned().unwrap_or_default();
        let snapshots = world.snapshots.values().map(|snapshot| Taken {
            id: snapshot.id.clone(),
            volume: snapshot.volume.clone(),
            job: tag(&snapshot.tags, "freezeframe:job"),
            level: tag(&snapshot.tags, "freezeframe:level"),
        });
        Eye {
            now: world.now,
            snapshots: snapshots.collect(),
            calls,
            histories: self
                .asked
                .iter()
                .map(|asked| {
                    (
                        asked.instance.clone(),
                        self.instances.history(&asked.instance),
                    )
                })
                .collect(),
            asked: self.asked.clone(),
            closed: Vec::new(),
            intents: BTreeMap::new(),
        }
    }

    /// What can be said without the journal.
    fn violations(&self) -> Vec<String> {
        let mut eye = self.eye();
        // Whether a call was on record is looked at when the journal can be read.
        let calls = std::mem::take(&mut eye.calls);
        eye.calls = calls
            .into_iter()
            .map(|mut call| {
                call.caller.clear();
                call
            })
            .collect();
        eye.violations()
    }
}
