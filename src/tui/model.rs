//! Everything that was read from AWS and the journal, each pane loading and failing by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::domain::credentials::Who;
use crate::domain::held::Held;
use crate::domain::ids::{InstanceId, JobId, SnapshotId, VolumeId};
use crate::domain::instance::Instance;
use crate::domain::inventory::Image;
use crate::domain::job::{JobView, OnFailure, Phase};
use crate::domain::level::Level;
use crate::domain::mode::AskedMode;
use crate::domain::naming::{self, Names};
use crate::domain::problem::Problem;
use crate::domain::proof::{self, MemberProof};
use crate::domain::retention::Policy;
use crate::domain::set::{self, SnapshotSet};
use crate::domain::set_plan::{self, SetOptions, Tagging};
use crate::domain::snapshot::{self, Snapshot, VolumeBackups};
use crate::domain::tags;
use crate::domain::volume::Volume;
use crate::recipe::chosen::Catalogue;
use crate::tui::message::Identity;

/// One part of the model. Old data stays while new data loads, and when loading fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Pane<T> {
    /// What was read last.
    pub data: Option<T>,
    /// A question is out.
    pub loading: bool,
    /// The last question failed.
    pub error: Option<Problem>,
    /// When `data` arrived.
    pub read_at: Option<DateTime<Utc>>,
}

impl<T> Default for Pane<T> {
    fn default() -> Self {
        Self {
            data: None,
            loading: false,
            error: None,
            read_at: None,
        }
    }
}

impl<T> Pane<T> {
    /// Takes an answer in.
    pub fn answer(&mut self, result: Result<T, Problem>, now: DateTime<Utc>) {
        self.loading = false;
        match result {
            Ok(data) => {
                self.data = Some(data);
                self.error = None;
                self.read_at = Some(now);
            }
            Err(problem) => self.error = Some(problem),
        }
    }
}

/// What this console knows of the job behind a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Remembered<'a> {
    /// It is in the journal.
    Here(&'a JobView),
    /// The journal was asked and does not have it.
    Nowhere,
    /// The journal has not answered yet.
    NotAsked,
}

/// Who drives an open job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrivenBy {
    /// This console, since its start.
    Here,
    /// Its process is gone, and this console thaws and settles it now.
    SettledHere,
    /// Another process, as far as is known.
    Another,
    /// Its process is gone, and nobody has taken it up yet.
    Nobody,
    /// A process with a lab of its own, where this one reaches nothing.
    OutOfReach,
}

/// What the console knows: the inventory, the jobs, who acts, and what follows from them.
#[derive(Debug, Default)]
pub struct Model {
    /// The recipes that can be chosen.
    pub recipes: Catalogue,
    /// What a run does when it cannot quiesce, unless a person says another.
    pub on_failure: OnFailure,
    /// Who is to call `CreateSnapshots`, unless a person says another.
    pub mode: AskedMode,
    /// What the configuration says of tags.
    pub tagging: Tagging,
    /// Retention policies of the configuration, by name.
    pub policies: BTreeMap<String, Policy>,
    /// Who we are.
    pub identity: Pane<Identity>,
    /// Instances.
    pub instances: Pane<Vec<Instance>>,
    /// Volumes.
    pub volumes: Pane<Vec<Volume>>,
    /// Snapshots.
    pub snapshots: Pane<Vec<Snapshot>>,
    /// The instances among those last asked for whose SSM agents were not connected.
    not_connected: HashSet<InstanceId>,
    /// Images that hold snapshots.
    pub images: Vec<Image>,
    /// Jobs, newest first.
    pub jobs: Pane<Vec<JobView>>,
    /// The jobs among them that this console drives, or drove.
    own: HashSet<JobId>,
    /// Those that nobody drove, and that this console settles now.
    settling: HashSet<JobId>,
    /// Those whose process is known to be gone.
    left: BTreeSet<JobId>,
    /// Sets are being deleted.
    pub(super) prune_runs: bool,
    /// Volumes are being restored.
    pub(super) restore_runs: bool,
    /// Jobs older than `jobs` reaches, as the journal answered when somebody looked; `None` inside: it has none.
    past_jobs: HashMap<JobId, Option<JobView>>,
    /// Our sets, newest first, each with the level that may be claimed of it here (derived).
    pub sets: Vec<SnapshotSet>,
    /// What the tags of each set bear out, in the order of `sets` (derived).
    borne: Vec<Level>,
    /// For each instance its newest proven set (derived; index into `sets`).
    last_proven: HashMap<InstanceId, usize>,
    /// For each volume its snapshots in short (derived).
    by_volume: HashMap<VolumeId, VolumeBackups>,
    /// Row of each instance (derived).
    instance_rows: HashMap<InstanceId, usize>,
    /// Names of instances, those of jobs whose instance is gone too (derived).
    names: Names,
    /// Names of volumes (derived).
    volume_names: Names,
}

impl Model {
    /// The instances, empty while nothing was read.
    pub fn instances(&self) -> &[Instance] {
        self.instances.data.as_deref().unwrap_or_default()
    }

    /// The volumes, empty while nothing was read.
    pub fn volumes(&self) -> &[Volume] {
        self.volumes.data.as_deref().unwrap_or_default()
    }

    /// The snapshots, empty while nothing was read.
    pub fn snapshots(&self) -> &[Snapshot] {
        self.snapshots.data.as_deref().unwrap_or_default()
    }

    /// The jobs, empty while nothing was read.
    pub fn jobs(&self) -> &[JobView] {
        self.jobs.data.as_deref().unwrap_or_default()
    }

    /// What is known beforehand of an instance's next set that a person should know: volumes that are left out, tags that
    /// are left off, restored copies that are still attached. Nothing while the volumes were not read.
    ///
    /// # Errors
    /// Why there would be no set at all.
    pub fn set_notes(&self, id: &InstanceId, asked: &SetOptions) -> Result<Vec<String>, String> {
        let (Some(instance), Some(volumes)) = (self.instance(id), &self.volumes.data) else {
            return Ok(Vec::new());
        };
        let attached = |v: &&Volume| instance.devices.iter().any(|d| d.volume == v.id);
        let known = volumes.iter().filter(attached);
        let known = known.map(|v| (v.id.clone(), v.clone())).collect();
        let options = self.tagging.options(asked);
        set_plan::plan(instance, &known, &options)
            .map(|plan| plan.notes())
            .map_err(|(cause, _)| cause)
    }

    /// What was known of connections is old.
    pub fn ask_connections(&mut self, instances: &[InstanceId]) {
        for instance in instances {
            self.not_connected.remove(instance);
        }
    }

    /// Whether an agent is connected now, as Systems Manager told.
    pub fn put_connection(&mut self, instance: InstanceId, connected: Option<bool>) {
        if connected == Some(false) {
            self.not_connected.insert(instance);
        } else {
            self.not_connected.remove(&instance);
        }
    }

    /// Whether the SSM agent was connected when the run was reviewed; `None` where nothing speaks against it.
    pub fn connected(&self, id: &InstanceId) -> Option<bool> {
        self.not_connected.contains(id).then_some(false)
    }

    /// How many of an instance's volumes a tag leaves out of its sets, as far as the volumes were read.
    pub fn left_out_by_tag(&self, instance: &Instance) -> usize {
        let there = |v: &&Volume| instance.devices.iter().any(|d| d.volume == v.id);
        let out = self.volumes().iter().filter(|v| v.is_excluded());
        out.filter(there).count()
    }

    /// The instance of that id.
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instance_rows
            .get(id)
            .and_then(|i| self.instances().get(*i))
    }

    /// The instance's name, or its id when it is not (or no longer) there.
    pub fn instance_name<'a>(&'a self, id: &'a InstanceId) -> &'a str {
        self.instance(id).map_or(id.as_str(), Instance::name)
    }

    /// The instance where it is shown: by its name, with the end of its id where another has that name too.
    pub fn named(&self, id: &InstanceId) -> String {
        self.names.show(self.name(id), id.as_str())
    }

    /// The instance where something is frozen, restored or deleted: its name, and the end of its id always.
    pub fn named_short(&self, id: &InstanceId) -> String {
        naming::short(self.name(id), id.as_str())
    }

    /// The same with its whole id.
    pub fn named_full(&self, id: &InstanceId) -> String {
        naming::full(self.name(id), id.as_str())
    }

    /// The instance of a job as [`Model::named`] shows it, by the name that it had then.
    pub fn named_of(&self, job: &JobView) -> String {
        let spec = &job.spec;
        self.names
            .show(Some(&spec.instance_name), spec.instance.as_str())
    }

    /// The volume as [`Model::named`] shows instances.
    pub fn which(&self, volume: &Volume) -> String {
        self.volume_names
            .show(volume.tags.name(), volume.id.as_str())
    }

    fn name(&self, id: &InstanceId) -> Option<&str> {
        self.instance(id).and_then(|i| i.tags.name())
    }

    /// The instance's newest set of whose level more is known than that somebody wrote it.
    pub fn last_proven(&self, id: &InstanceId) -> Option<&SnapshotSet> {
        self.last_proven.get(id).and_then(|i| self.sets.get(*i))
    }

    /// The level of that set.
    pub fn proven_level(&self, id: &InstanceId) -> Option<Level> {
        self.last_proven(id).map(|set| set.level)
    }

    /// The set of that job.
    pub fn set(&self, job: &JobId) -> Option<&SnapshotSet> {
        self.sets.iter().find(|s| s.job == *job)
    }

    /// The volume's snapshots in short.
    pub fn backups(&self, volume: &VolumeId) -> Option<&VolumeBackups> {
        self.by_volume.get(volume)
    }

    /// The job of that id.
    pub fn job(&self, id: &JobId) -> Option<&JobView> {
        self.jobs().iter().find(|j| j.spec.job == *id)
    }

    /// What is known of the job behind a set: the recent ones are here, older ones must be looked up.
    pub fn remembered(&self, id: &JobId) -> Remembered<'_> {
        match (self.job(id), self.past_jobs.get(id)) {
            (Some(job), _) | (None, Some(Some(job))) => Remembered::Here(job),
            (None, Some(None)) => Remembered::Nowhere,
            (None, None) => Remembered::NotAsked,
        }
    }

    /// Jobs in reach that hold something frozen, or may.
    pub fn holding(&self) -> impl Iterator<Item = &JobView> {
        let holding = self.jobs().iter().filter(|job| job.held().is_something());
        holding.filter(|job| !self.is_out_of_reach(job))
    }

    /// What is held on that instance.
    pub fn held_on(&self, instance: &InstanceId) -> Held {
        let here = self.holding().filter(|job| job.spec.instance == *instance);
        here.map(JobView::held).fold(Held::Nothing, Held::worse)
    }

    /// Jobs that have not ended.
    pub fn running(&self) -> impl Iterator<Item = &JobView> {
        self.jobs().iter().filter(|j| j.phase != Phase::Done)
    }

    /// Whether this console drives, or drove, that job.
    pub fn is_own(&self, job: &JobView) -> bool {
        self.own.contains(&job.spec.job)
    }

    /// The process that drives a job, unless the job has ended.
    pub fn driver(&self, job: &JobView) -> DrivenBy {
        let id = &job.spec.job;
        if self.own.contains(id) {
            DrivenBy::Here
        } else if self.settling.contains(id) {
            DrivenBy::SettledHere
        } else if self.is_out_of_reach(job) {
            DrivenBy::OutOfReach
        } else if self.left.contains(id) {
            DrivenBy::Nobody
        } else {
            DrivenBy::Another
        }
    }

    /// Whether it runs in the lab of another process, where this one reaches nothing and is in no way of it.
    pub fn is_out_of_reach(&self, job: &JobView) -> bool {
        let identity = self.identity.data.as_ref();
        identity.is_some_and(|identity| identity.own_world) && !self.is_own(job)
    }

    /// Jobs of this console that have not ended: those that end with it, and that it can stop.
    pub fn own_running(&self) -> impl Iterator<Item = &JobView> {
        self.running().filter(|job| self.is_own(job))
    }

    /// The jobs of this console that a stop would still change.
    pub fn own_stoppable(&self) -> impl Iterator<Item = &JobView> {
        self.own_running().filter(|job| !job.only_copies())
    }

    /// What other processes do whatever happens to this one, in words; `None` where nothing of theirs could be
    /// stopped.
    pub fn goes_on_elsewhere(&self) -> Option<String> {
        let others = self.running();
        let others = others.filter(|job| self.driver(job) == DrivenBy::Another);
        let jobs = match others.filter(|job| !job.only_copies()).count() {
            0 => return None,
            1 => "1 job that this console does not drive goes on".to_owned(),
            n => format!("{n} jobs that this console does not drive go on"),
        };
        Some(format!(
            "{jobs}; x on a lane, or `freezeframe jobs abort --job ID`, stops one."
        ))
    }

    /// Jobs of this console whose sets AWS only copies, and goes on to copy without it. A lab of its own ends with it.
    pub fn left_to_aws(&self) -> impl Iterator<Item = &JobView> {
        let identity = self.identity.data.as_ref();
        let goes_on = !identity.is_some_and(|identity| identity.own_world);
        self.own_running()
            .filter(move |job| goes_on && job.only_copies())
    }

    /// Whether nothing is left of what this console runs but such copying.
    pub fn is_left_to_aws(&self) -> bool {
        !self.prune_runs
            && !self.restore_runs
            && self.own_running().count() == self.left_to_aws().count()
    }

    /// What this console still runs, in words; empty when leaving loses nothing.
    pub fn busy(&self) -> Vec<String> {
        let jobs = self.own_running().count();
        let held = |test: fn(Held) -> bool| self.own_running().filter(|j| test(j.held())).count();
        let frozen = held(|held| matches!(held, Held::Frozen { .. }));
        let may = held(|held| matches!(held, Held::MayBeFrozen { .. }));
        let mut busy = Vec::new();
        if jobs > 0 {
            let s = if jobs == 1 { "job runs" } else { "jobs run" };
            let frozen = if frozen > 0 && may > 0 {
                format!(", {frozen} frozen now, {may} may be")
            } else if frozen > 0 {
                format!(", {frozen} frozen now")
            } else if may > 0 {
                format!(", {may} may be frozen")
            } else if self.own_running().all(JobView::only_copies) {
                ", only AWS's copying is left".to_owned()
            } else {
                String::new()
            };
            busy.push(format!("{jobs} {s}{frozen}"));
        }
        if self.prune_runs {
            busy.push("a prune runs".to_owned());
        }
        if self.restore_runs {
            busy.push("a restore runs".to_owned());
        }
        busy
    }

    /// Why writes are refused now, if they are.
    pub fn writes_refused(&self) -> Option<&'static str> {
        match &self.identity.data {
            None => Some("account and region are not proven yet"),
            Some(identity) if identity.read_only => Some("read-only"),
            Some(_) => None,
        }
    }

    /// The identity that acts, once STS has proven it.
    pub fn who(&self) -> Option<Who> {
        let identity = self.identity.data.as_ref()?;
        Some(Who {
            scope: identity.scope.clone(),
            arn: identity.arn.clone(),
            source: identity.source.clone(),
        })
    }

    /// The title of a review or a confirmation: what it is about, and who acts where.
    pub fn titled(&self, what: &str) -> String {
        match self.who() {
            Some(who) => format!("{what} · {}", who.short()),
            None => what.to_owned(),
        }
    }

    /// The ARN of a resource of this account and region: `instance`, `volume`.
    /// Snapshots' ARNs carry no account.
    pub fn arn(&self, kind: &str, id: &str) -> Option<String> {
        let identity = self.identity.data.as_ref()?;
        let partition = identity.arn.split(':').nth(1).unwrap_or("aws");
        let region = &identity.scope.region;
        let account = if kind == "snapshot" {
            ""
        } else {
            identity.scope.account.as_str()
        };
        Some(format!(
            "arn:{partition}:ec2:{region}:{account}:{kind}/{id}"
        ))
    }

    /// Takes in a changed job of this console.
    pub(super) fn put_own_job(&mut self, job: JobView) {
        self.own.insert(job.spec.job.clone());
        self.put_job(job);
    }

    /// Takes in a changed job of others, unless more is known of it.
    pub(super) fn put_other_job(&mut self, job: JobView) {
        let known = self.job(&job.spec.job);
        if known.is_none_or(|known| self.is_fresher(&job, known)) {
            self.put_job(job);
        }
    }

    /// Takes in what is done here for a job that nobody drove.
    pub(super) fn put_settling(&mut self, job: JobView) {
        if job.waiting.is_some() {
            self.settling.insert(job.spec.job.clone());
        } else {
            self.settling.remove(&job.spec.job);
        }
        self.put_job(job);
    }

    /// These are open, and their processes are gone.
    pub(super) fn put_abandoned(&mut self, jobs: BTreeSet<JobId>) {
        self.left = jobs;
    }

    /// Takes in the jobs of the journal. It is behind what own jobs say, and does not know yet of those that wait.
    pub(super) fn read_jobs(&mut self, read: Result<Vec<JobView>, Problem>, now: DateTime<Utc>) {
        let read = read.map(|rows| {
            let known = self.jobs.data.take().unwrap_or_default();
            let mut known: HashMap<JobId, JobView> = known
                .into_iter()
                .map(|job| (job.spec.job.clone(), job))
                .collect();
            let mut rows: Vec<JobView> = rows
                .into_iter()
                .map(|row| match known.remove(&row.spec.job) {
                    Some(known) if !self.is_fresher(&row, &known) => known,
                    _ => row,
                })
                .collect();
            known.retain(|id, job| self.own.contains(id) && job.phase != Phase::Done);
            rows.splice(0..0, known.into_values());
            rows
        });
        self.jobs.answer(read, now);
        self.note_names();
        self.weigh_sets();
    }

    /// Whether what the journal has of a job is to replace what is known of it. What is over stays over.
    fn is_fresher(&self, row: &JobView, known: &JobView) -> bool {
        match (row.phase == Phase::Done, known.phase == Phase::Done) {
            (true, _) => true,
            (false, true) => false,
            // Own jobs tell of themselves first, and so does what is done here for others.
            (false, false) => !self.is_own(known) && !self.settling.contains(&known.spec.job),
        }
    }

    /// Takes in a changed job: replaces it, or puts a new one first.
    fn put_job(&mut self, job: JobView) {
        let claims = |job: &JobView| -> Vec<(SnapshotId, Level)> {
            let members = job.set.iter();
            members.map(|m| (m.snapshot.clone(), m.level)).collect()
        };
        let id = job.spec.job.clone();
        self.names
            .note(Some(&job.spec.instance_name), job.spec.instance.as_str());
        let jobs = self.jobs.data.get_or_insert_with(Vec::new);
        let moved = match jobs.iter_mut().find(|j| j.spec.job == id) {
            Some(old) => {
                let before = claims(&std::mem::replace(old, job));
                before != claims(old)
            }
            None => {
                jobs.insert(0, job);
                true
            }
        };
        if moved {
            self.weigh_set_of(&id);
        }
    }

    /// Takes in what the journal has of an old job.
    pub(super) fn put_past_job(&mut self, id: JobId, found: Option<JobView>) {
        self.past_jobs.insert(id, found);
        self.weigh_sets();
    }

    /// Works out again what follows from instances and snapshots.
    pub(super) fn derive(&mut self) {
        self.instance_rows = self
            .instances()
            .iter()
            .enumerate()
            .map(|(i, row)| (row.id.clone(), i))
            .collect();
        self.note_names();
        self.sets = set::group(self.snapshots());
        self.borne = self.sets.iter().map(|set| set.level).collect();
        self.weigh_sets();
        self.by_volume = snapshot::by_volume(self.snapshots());
    }

    /// Works out again who has which name.
    fn note_names(&mut self) {
        let mut names = Names::default();
        for row in self.instances() {
            names.note(row.tags.name(), row.id.as_str());
        }
        for job in self.jobs() {
            names.note(Some(&job.spec.instance_name), job.spec.instance.as_str());
        }
        self.names = names;
        let mut names = Names::default();
        for row in self.volumes() {
            names.note(row.tags.name(), row.id.as_str());
        }
        self.volume_names = names;
    }

    /// Works out again what may be claimed of each set: what the journal bears out where it is known to have the
    /// job, else what the tags do.
    fn weigh_sets(&mut self) {
        let past = self.past_jobs.values().flatten();
        let known: HashMap<&str, &JobView> = past
            .chain(self.jobs())
            .map(|job| (job.spec.job.as_str(), job))
            .collect();
        let mut judged: HashMap<JobId, Vec<MemberProof>> = HashMap::new();
        for snapshot in self.snapshots() {
            let job = snapshot.tags.get(tags::JOB).and_then(|id| known.get(id));
            // Copies are none of its set.
            if let Some(job) = job.filter(|_| snapshot.copied_from().is_none()) {
                let members = judged.entry(job.spec.job.clone()).or_default();
                members.push(proof::member(snapshot, Some(job)));
            }
        }
        for (set, borne) in self.sets.iter_mut().zip(&self.borne) {
            set.level = judged.get(&set.job).map_or(*borne, |m| proof::level(m));
        }
        self.find_last_proven();
    }

    /// The same for the set of one job that has changed.
    fn weigh_set_of(&mut self, job: &JobId) {
        let Some(n) = self.sets.iter().position(|set| set.job == *job) else {
            return;
        };
        let (Some(set), Some(view)) = (self.sets.get(n), self.job(job)) else {
            return;
        };
        let level = proof::level(&proof::members(set, self.snapshots(), Some(view)));
        if let Some(set) = self.sets.get_mut(n).filter(|set| set.level != level) {
            set.level = level;
            self.find_last_proven();
        }
    }

    fn find_last_proven(&mut self) {
        self.last_proven = set::last_proven(&self.sets);
    }
}
