//! Looking: what the lab's books and the journals show at a moment, and what must be remembered from one moment to
//! the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use freezeframe::domain::ids::JobId;
use freezeframe::domain::job::{JobView, Member, Phase};
use freezeframe::jobs::journal::{Journal, Lease};
use freezeframe::lab::{Lab, Weather};
use freezeframe::ops::recover::orphans;

use super::Ending;
use super::eye::{Asked, Cleared, Eye, Labelled, Taken};
use super::line::Life;
use super::stage::Stage;
use super::story::{Manners, Story};
use super::theirs::Theirs;

/// A snapshot that is younger could be of another machine's job: what accounts for it is not said to be nobody's.
const SETTLED: TimeDelta = TimeDelta::minutes(60);
/// A command may reach its agent hours late, and makes its set then. After so long the world counts as restless.
const RESTLESS: TimeDelta = TimeDelta::hours(12);
/// Jobs of a journal that are looked at.
const ALL: u32 = 1_000;

/// The observer of a story.
pub struct Look {
    lab: Lab,
    instances: Arc<Theirs>,
    journals: Arc<Vec<Journal>>,
    /// The first journal is gone in the end.
    lost: bool,
    /// EC2 shows no snapshot to whoever looks for orphans.
    hidden: bool,
    offsets: Vec<i64>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    writes: u32,
    violations: Vec<String>,
    /// Every job that any journal ever had.
    asked: BTreeMap<String, Asked>,
    /// Since when a job's thaw is unconfirmed, by the lab's clock.
    unconfirmed: BTreeMap<String, DateTime<Utc>>,
    cleared: Vec<Cleared>,
    /// When a job was first seen to be over, by the lab's clock.
    over: BTreeMap<String, DateTime<Utc>>,
    /// Jobs of whose thaw AWS has told to the end.
    told: BTreeSet<String>,
    /// The commands whose output told it, or was a whole post-script's, by job.
    tellers: BTreeMap<String, BTreeSet<String>>,
    labelled: BTreeMap<String, Labelled>,
}

impl Look {
    pub fn new(
        lab: &Lab,
        instances: &Arc<Theirs>,
        journals: &Arc<Vec<Journal>>,
        story: &Story,
    ) -> Self {
        let mut offsets: BTreeSet<i64> = BTreeSet::from([0]);
        for console in &story.consoles {
            offsets.insert(console.ahead_s);
            offsets.extend(console.jump.map(|(_, by)| console.ahead_s + by));
        }
        Self {
            lab: lab.clone(),
            instances: instances.clone(),
            journals: journals.clone(),
            lost: story.lost,
            hidden: story.hidden,
            offsets: if story.clocks_agree() {
                Vec::new()
            } else {
                offsets.into_iter().collect()
            },
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is not as promised.
    pub fn wrong(&self, violations: Vec<String>) {
        let mut memory = self.memory();
        for violation in violations {
            if !memory.violations.contains(&violation) {
                memory.violations.push(violation);
            }
        }
    }

    /// A console is about to write.
    pub fn step(&self, write: &str) {
        self.memory().writes += 1;
        // What was written before is read back when more is about to be claimed or asked for.
        if matches!(write, "save-job" | "intend") {
            self.wrong(self.eye().moment());
        }
    }

    /// AWS has carried out a call, and answers this.
    pub fn heard(&self, said: &str) {
        // Within the JSON of an answer: a trace from the thaw to the end, and a whole post-script, which says what is
        // frozen by then although it may have found nothing to thaw.
        let has = |line: &str| said.contains(line);
        let ended = has(r#"\"t\":\"end\""#);
        let thawed = ended && has(r#"\"t\":\"thawed\""#);
        let post_script = ended && has(r#"\"command\":\"post-script\""#);
        if thawed || post_script {
            let mut memory = self.memory();
            let of = memory.asked.keys().filter(|job| said.contains(*job));
            let of: Vec<String> = of.cloned().collect();
            if let Some(command) = command_of(said) {
                for job in &of {
                    let tellers = memory.tellers.entry(job.clone()).or_default();
                    tellers.insert(command.to_owned());
                }
            }
            if thawed {
                memory.told.extend(of);
            }
        }
        let proven: Vec<(String, String)> = {
            let world = self.lab.world();
            let level = |tags: &BTreeMap<String, String>| tags.get("freezeframe:level").cloned();
            let all = world.snapshots.values();
            all.filter_map(|s| Some((s.id.clone(), level(&s.tags)?)))
                .filter(|(_, level)| ["application", "filesystem"].contains(&level.as_str()))
                .collect()
        };
        let known = |id: &String| self.memory().labelled.contains_key(id);
        if proven.iter().all(|(id, _)| known(id)) {
            return;
        }
        let eye = self.eye();
        for taken in &eye.snapshots {
            let new = proven.iter().any(|(id, _)| *id == taken.id) && !known(&taken.id);
            if new {
                let label = self.first_seen(&eye, taken);
                self.memory().labelled.insert(taken.id.clone(), label);
            }
        }
    }

    fn first_seen(&self, eye: &Eye, taken: &Taken) -> Labelled {
        let mut views = eye.open.iter().chain(&eye.closed);
        let view = views.find(|view| view.spec.job.as_str() == taken.job);
        let judged = view.is_some_and(|view| {
            let pending = view.pending_labels.iter().any(|label| {
                label.snapshot.as_str() == taken.id && label.level.to_string() == taken.level
            });
            let member = |member: &Member| member.snapshot.as_str() == taken.id;
            view.phase >= Phase::Verifying
                && !view.thaw_unconfirmed
                && pending
                && view.set.iter().any(member)
                && view.evidence.tells_of_the_thaw()
        });
        Labelled {
            job: taken.job.clone(),
            level: taken.level.clone(),
            held: eye.holds(&taken.job),
            told: self.memory().told.contains(&taken.job),
            judged,
        }
    }

    /// Another process says what came of its thaw under a living console.
    pub fn abort(&self, view: &JobView, told: Result<(), freezeframe::domain::problem::Problem>) {
        let instance = view.spec.instance.as_str();
        if told.is_ok() && view.spec.third_party {
            return;
        }
        let job = view.spec.job.as_str();
        let eye = self.eye();
        if told.is_ok() && eye.holds(job) {
            self.wrong(vec![format!(
                "{job}: `jobs abort` says that {instance} is thawed, and it is not"
            )]);
        }
    }

    /// No job that is over and certain keeps a lease.
    pub fn leases(&self, stage: &Stage) {
        let now = self.lab.clock().now();
        let mut wrong = Vec::new();
        let nobody = JobId::from_api("nobody");
        for journal in self.journals.iter().skip(usize::from(self.lost)) {
            for spec in stage.specs.iter().flatten() {
                // Asked for no time at all, so that nothing is taken.
                let held = journal.lease(&spec.scope, &spec.instance, &nobody, now, now);
                let Ok(Lease::Held(holder)) = held else {
                    continue;
                };
                let view = journal.job(&spec.scope, &holder).ok().flatten();
                if view.is_none_or(|view| view.ended().is_some() && !view.thaw_unconfirmed) {
                    wrong.push(format!("{holder} is over and keeps {}", spec.instance));
                }
            }
        }
        self.wrong(wrong);
    }

    /// Waits until no agent has a command any more, however late, and every snapshot is of some age.
    async fn until_settled(&self) {
        let pause = SETTLED.to_std().unwrap_or_default();
        let began = self.lab.clock().now();
        loop {
            tokio::time::sleep(pause).await;
            let now = self.lab.clock().now();
            let settled = {
                let world = self.lab.world();
                let mut starts = world.snapshots.values().map(|snapshot| snapshot.start);
                world.ssm.under_way() == 0 && starts.all(|start| start + SETTLED <= now)
            };
            if settled {
                return;
            }
            if now > began + RESTLESS {
                let hours = RESTLESS.num_hours();
                self.wrong(vec![format!("commands or sets still come after {hours} h")]);
                return;
            }
        }
    }

    /// Orphans are exactly what no journal accounts for, and labelling leaves none.
    pub async fn orphans(&self, stage: &Stage) {
        if !self.lost {
            return;
        }
        self.until_settled().await;
        if self.hidden {
            self.lab.set_weather(Weather {
                snapshot_lag_ms: u32::MAX,
                ..Weather::default()
            });
        }
        let Ok(journal) = Journal::in_memory() else {
            return;
        };
        let Some(ops) = stage.patiently(&Life::new(), journal, None).await else {
            return;
        };
        let pending = |eye: &Eye| {
            let all = eye.snapshots.iter();
            let mut ids: Vec<String> = all
                .filter(|taken| taken.level == "pending")
                .map(|taken| taken.id.clone())
                .collect();
            ids.sort();
            ids
        };
        let told = async {
            let found = orphans::list_orphans(&ops).await?;
            let ids = found.sets.iter().flat_map(|set| &set.snapshots);
            let mut ids: Vec<String> = ids.map(ToString::to_string).collect();
            ids.sort();
            let there = pending(&self.eye());
            if ids != there {
                self.wrong(vec![format!("orphans are {there:?}, found were {ids:?}")]);
            }
            orphans::label(&ops, &found.sets).await
        };
        match told.await {
            Ok(_) if pending(&self.eye()).is_empty() => {}
            Ok(_) => self.wrong(vec!["orphans are left after labelling".to_owned()]),
            Err(problem) => self.wrong(vec![format!("orphans cannot be labelled: {problem}")]),
        }
    }

    /// The last look.
    pub fn end(&self) -> Ending {
        let mut eye = self.eye();
        eye.calls = self.lab.calls();
        for journal in self.journals.iter() {
            for asked in &eye.asked {
                let calls = journal.calls(&asked.job).unwrap_or_default();
                if !calls.is_empty() {
                    eye.intents.insert(asked.job.clone(), calls);
                }
            }
        }
        self.wrong(eye.moment());
        self.wrong(eye.end());
        let memory = self.memory();
        Ending {
            violations: memory.violations.clone(),
            writes: memory.writes,
            eye,
        }
    }

    fn eye(&self) -> Eye {
        let (now, snapshots, roots, files_only, tagged_out) = {
            let world = self.lab.world();
            let tag = |tags: &BTreeMap<String, String>, key: &str| {
                tags.get(key).cloned().unwrap_or_default()
            };
            let taken = world.snapshots.values().map(|snapshot| Taken {
                id: snapshot.id.clone(),
                volume: snapshot.volume.clone(),
                job: tag(&snapshot.tags, "freezeframe:job"),
                level: tag(&snapshot.tags, "freezeframe:level"),
            });
            let roots = world.instances.values().filter_map(|i| i.root_volume());
            let roots: BTreeSet<String> = roots.map(str::to_owned).collect();
            let files = world.instances.values().flat_map(|instance| {
                let database = |mount: &str| mount.contains("mysql");
                let has = instance.mounts.iter().any(|m| database(&m.mount));
                let files = instance
                    .mounts
                    .iter()
                    .filter(move |m| has && !database(&m.mount));
                files.map(|m| m.volume.as_str())
            });
            let files: BTreeSet<String> = files.map(str::to_owned).collect();
            let out = world.volumes.values();
            let out = out.filter(|volume| volume.tags.contains_key("freezeframe:exclude"));
            let out: BTreeSet<String> = out.map(|volume| volume.id.clone()).collect();
            (world.now, taken.collect::<Vec<_>>(), roots, files, out)
        };
        // There are many, and only what is labelled is held against them before the end.
        let proven = |taken: &Taken| ["application", "filesystem"].contains(&taken.level.as_str());
        let calls = if snapshots.iter().any(proven) {
            self.lab.calls()
        } else {
            Vec::new()
        };
        let mut memory = self.memory();
        let mut views = Vec::new();
        for (n, journal) in self.journals.iter().enumerate() {
            for view in journal.jobs(None, ALL).unwrap_or_default() {
                memory.remember(&view, n, now, self.lost && n == 0);
                views.push(view);
            }
        }
        let instances: BTreeSet<&str> =
            memory.asked.values().map(|a| a.instance.as_str()).collect();
        let histories = instances
            .into_iter()
            .map(|instance| (instance.to_owned(), self.instances.history(instance)))
            .collect();
        let (closed, open) = views.into_iter().partition(|view| view.ended().is_some());
        Eye {
            now,
            asked: memory.asked.values().cloned().collect(),
            roots,
            files_only,
            tagged_out,
            histories,
            snapshots,
            calls,
            closed,
            open,
            intents: BTreeMap::new(),
            offsets: self.offsets.clone(),
            over: memory.over.clone(),
            cleared: memory.cleared.clone(),
            labelled: memory.labelled.clone(),
        }
    }
}

impl Memory {
    fn remember(&mut self, view: &JobView, journal: usize, now: DateTime<Utc>, lost: bool) {
        let job = view.spec.job.to_string();
        self.asked.entry(job.clone()).or_insert_with(|| Asked {
            job: job.clone(),
            instance: view.spec.instance.to_string(),
            budget_s: view.spec.budget_s,
            theirs: Manners::of(&view.spec.document),
            group: view.spec.group.clone(),
            journal,
            lost,
        });
        if view.ended().is_some() {
            self.over.entry(job.clone()).or_insert(now);
        }
        if view.thaw_unconfirmed {
            self.unconfirmed.entry(job).or_insert(now);
        } else if let Some(since) = self.unconfirmed.remove(&job) {
            let evidence = &view.evidence;
            let told = [&evidence.pre_command, &evidence.post_command].into_iter();
            let mut told: Vec<String> = match evidence.tells_of_the_thaw() {
                true => told.flatten().map(ToString::to_string).collect(),
                false => Vec::new(),
            };
            // What is read of a command is judged, and put on record, after the unconfirmed thaw is cleared by it.
            told.extend(self.tellers.get(&job).into_iter().flatten().cloned());
            self.cleared.push(Cleared {
                job,
                since,
                at: now,
                told,
            });
        }
    }
}

/// The command that an answer of Systems Manager is about.
fn command_of(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once(r#""CommandId":""#)?;
    rest.split_once('"').map(|(id, _)| id)
}
