//! Jobs as everyone sees them: what was asked, where it stands, what came of it. How a job moves from
//! phase to phase is [`super::machine`]'s affair; what its trace proves is [`super::evidence`]'s.

use crate::link_name::LinkName;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::held::{DelayedThaw, Freezing, Held};
use super::ids::{CommandId, InstanceId, JobId, RunId, Scope, SnapshotId, VolumeId};
use super::label::Label;
use super::level::Level;
use super::mode::{AskedMode, ChosenMode};
use super::naming;
use super::problem::Problem;
use super::set_plan::{LeftOut, SetOptions, SetPlan};
use super::tags::{self, Tags};
use super::text::visible;

/// Who calls `CreateSnapshots` while the freeze holds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    Default,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Mode {
    /// The console, between `pre-script` and `post-script`.
    #[default]
    Coordinated,
    /// The instance itself, in one command; nothing of ours need be reachable while it is frozen.
    Autonomous,
}

/// What to do when the instance cannot be quiesced.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    Default,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum OnFailure {
    /// Take no snapshot.
    #[default]
    Skip,
    /// Take a crash-consistent one and say so.
    CrashConsistent,
}

/// What was asked for one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The job; also `executionId` of the document and id of the set.
    pub job: JobId,
    /// The run it belongs to.
    pub run: RunId,
    /// Proven account and region.
    #[serde(flatten)]
    pub scope: Scope,
    /// The instance.
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// Recipe, such as `linux-mysql`.
    pub recipe: String,
    /// SSM document that quiesces it.
    pub document: String,
    /// Who calls `CreateSnapshots`. While `mode_reason` is missing of one that was asked for as `auto`, the instance's
    /// dry run has yet to decide.
    pub mode: Mode,
    /// What was asked for; missing in records of earlier versions.
    #[serde(default)]
    pub asked_mode: Option<AskedMode>,
    /// Why `mode` is what it is.
    #[serde(default)]
    pub mode_reason: Option<String>,
    /// The failsafe's budget in seconds, 1 to 999.
    pub budget_s: u32,
    /// What to do when quiescing fails.
    pub on_failure: OnFailure,
    /// Mounts to freeze; empty means every one that qualifies.
    pub mounts: Vec<String>,
    /// Metric namespace.
    pub namespace: String,
    /// Freeze `/` too, last in, first out. Autonomous mode only, never the default.
    #[serde(default)]
    pub freeze_root: bool,
    /// Parameters of the document beyond those of the contract, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Group whose simultaneous freezes are capped, such as a replication group.
    #[serde(default)]
    pub group: Option<String>,
    /// The document is not one of ours: it keeps Data Lifecycle Manager's contract and speaks no FF1.
    #[serde(default)]
    pub third_party: bool,
    /// Which volumes to leave out, which tags to add and to keep.
    #[serde(default, skip_serializing_if = "SetOptions::is_empty")]
    pub set_options: SetOptions,
}

impl JobSpec {
    /// Whether the instance's dry run has yet to decide who calls.
    pub fn mode_is_open(&self) -> bool {
        self.asked_mode == Some(AskedMode::Auto) && self.mode_reason.is_none()
    }

    /// Takes the mode that was chosen.
    pub fn choose(&mut self, chosen: &ChosenMode) {
        self.mode = chosen.mode;
        self.mode_reason = Some(chosen.reason.clone());
    }

    /// The mode in one word.
    pub fn mode_word(&self) -> String {
        if self.mode_is_open() {
            AskedMode::Auto.to_string()
        } else {
            self.mode.to_string()
        }
    }

    /// The mode, and why.
    pub fn mode_words(&self) -> String {
        match &self.mode_reason {
            _ if self.mode_is_open() => "auto: the instance's dry run decides".to_owned(),
            Some(reason) => format!("{}: {reason}", self.mode),
            None => self.mode.to_string(),
        }
    }

    /// The instance with the end of its id, for words about a job that name nothing else of it.
    pub fn named(&self) -> String {
        naming::short(Some(&self.instance_name), self.instance.as_str())
    }
}

/// The phases of a job, in order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
    strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Phase {
    /// Waiting for its turn.
    Queued,
    /// Checks that may refuse; changes nothing.
    Preflight,
    /// `pre-script` is under way: failsafe, lock, sync, freeze. In autonomous mode `snapshot` is, and
    /// nobody can say how far it is until its set appears or it ends.
    Quiescing,
    /// `pre-script` ended well: everything covered is frozen. Never seen in autonomous mode.
    Frozen,
    /// `CreateSnapshots` is under way. In autonomous mode: the set has appeared at EC2.
    Snapshotting,
    /// `post-script` is under way. In autonomous mode only when the one command did not say that all is thawed.
    Thawing,
    /// Evidence is judged and labels are written.
    Verifying,
    /// AWS copies the blocks; 0 to 100 %.
    Completing,
    /// Ended.
    Done,
}

/// How a job ended.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// Every covered volume is proven application-consistent.
    Application,
    /// Every covered volume is proven filesystem-consistent.
    Filesystem,
    /// Snapshots exist, but no more than crash-consistent ones.
    Crash,
    /// Nothing was done, with a reason.
    Skipped,
    /// It failed; no usable set.
    Failed,
    /// The operator stopped it.
    Cancelled,
}

/// One phase as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// Which.
    pub phase: Phase,
    /// When it began, by the console's clock.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// Set when the phase failed.
    pub failed: bool,
}

/// One snapshot of the job's set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// Device name at the instance.
    pub device: String,
    /// `pending` until judged.
    pub level: Level,
    /// Why it is that level, in words.
    pub reason: String,
    /// 0 to 100.
    pub progress: u8,
    /// Size of the volume in GiB.
    pub volume_gib: u32,
}

/// One link of the chain of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which.
    pub name: LinkName,
    /// Whether it held.
    pub holds: bool,
    /// What was seen, in words an auditor accepts.
    pub seen: String,
}

/// The recorded facts from which the levels follow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceReport {
    /// Every link that was examined, in causal order.
    pub links: Vec<Link>,
    /// Mounts that were frozen.
    pub frozen_mounts: Vec<String>,
    /// Volumes under the mounts that were to be frozen: the verdict speaks of these only. Empty when nobody
    /// knows them.
    #[serde(default)]
    pub covered: Vec<VolumeId>,
    /// Those of them on which nothing of the locked database lies, and that database: they were frozen with the others,
    /// and `filesystem` is all that they can earn.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub without: BTreeMap<VolumeId, String>,
    /// SSM command of `pre-script`, or of `snapshot` in autonomous mode.
    pub pre_command: Option<CommandId>,
    /// SSM command of `post-script`; in autonomous mode only when one was needed.
    pub post_command: Option<CommandId>,
    /// Freeze window as the instance measured it, in milliseconds.
    pub window_ms: Option<u64>,
    /// The failsafe thawed before we did.
    pub failsafe_fired: bool,
    /// Where the engine's logs stood while the lock was held, by name (`binlog`, `gtid`, `lsn`, …).
    #[serde(default)]
    pub positions: BTreeMap<String, String>,
    /// Files that belong to the set, such as PostgreSQL's `backup_label`; at most 64 KB together.
    #[serde(default)]
    pub files: Vec<KeptFile>,
    /// What the instance wants people to know, such as a position that its account may not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Attached volumes that the set does not hold, on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl EvidenceReport {
    /// The best level that the recipe can earn for that volume.
    pub fn best(&self, volume: &VolumeId) -> Level {
        if self.without.contains_key(volume) {
            Level::Filesystem
        } else if self.covered.contains(volume) {
            Level::Application
        } else {
            Level::Crash
        }
    }

    /// Marks the tags that come with a proven level of that volume, where nothing of the database lies on it.
    pub fn mark(&self, volume: &VolumeId, level: Level, tags: &mut Tags) {
        if let Some(engine) = self.without.get(volume).filter(|_| level.is_proven()) {
            let engine: String = visible(engine).chars().take(tags::MAX_VALUE).collect();
            tags.set(tags::WITHOUT, engine);
        }
    }

    /// Whether that link was examined, and holds.
    pub fn holds(&self, name: &LinkName) -> bool {
        let mut links = self.links.iter();
        links.any(|link| link.name == *name && link.holds)
    }

    /// Whether the instance itself told that all was frozen, that our own thaw ended every freeze, and that the failsafe
    /// stood down after it.
    pub fn tells_of_the_thaw(&self) -> bool {
        let links = [LinkName::Frozen, LinkName::OwnThaw, LinkName::FailsafeQuiet];
        links.iter().all(|name| self.holds(name))
    }
}

/// A file that a recipe keeps with its set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Its name.
    pub name: String,
    /// Its text; control characters other than the ends of lines are made visible.
    pub text: String,
}

/// A job as screens, JSON and the journal show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// What was asked.
    #[serde(flatten)]
    pub spec: JobSpec,
    /// Where it stands.
    pub phase: Phase,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// Nobody could confirm that everything is thawed.
    pub thaw_unconfirmed: bool,
    /// Phases so far.
    pub phases: Vec<PhaseRecord>,
    /// Since when the console knows it frozen; gone once thawed. Never known in autonomous mode: what
    /// the one command does is seen only when it has ended.
    pub frozen_since: Option<DateTime<Utc>>,
    /// From the sending of the command that freezes to the proof of its thaw: that something may be frozen.
    /// [`Held::of`] reads it.
    #[serde(default)]
    pub freezing: Freezing,
    /// Freeze window in milliseconds, measured on the instance.
    pub freeze_window_ms: Option<u64>,
    /// The set.
    pub set: Vec<Member>,
    /// What it was planned to be; known from preflight on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_plan: Option<SetPlan>,
    /// What its dry run wants people to know before anything is frozen; known from preflight on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preflight_notes: Vec<String>,
    /// The evidence.
    pub evidence: EvidenceReport,
    /// Labels that were judged and are not known to be written. On record before the first is written; a job
    /// that is done with some left is still open, and the next start writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_labels: Vec<Label>,
    /// Whether a set may exist that could not be looked for when the job ended. Like owed labels it leaves the
    /// job open: the next start looks, judges by the records and labels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub set_unseen: bool,
    /// The verdict as it will be once every label stands; known from the judgement on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earns: Option<Verdict>,
    /// What went wrong, if anything.
    pub error: Option<Problem>,
    /// Why it waits for its turn, while it does; of a job that is resumed, what is being done for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

impl JobView {
    /// Progress of the set's copying, 0 to 100: the mean over its members.
    pub fn progress(&self) -> u8 {
        if self.set.is_empty() {
            return 0;
        }
        let sum: u32 = self.set.iter().map(|m| u32::from(m.progress)).sum();
        u8::try_from(sum / u32::try_from(self.set.len()).unwrap_or(1)).unwrap_or(100)
    }

    /// What it holds frozen, or may hold.
    pub fn held(&self) -> Held {
        Held::of(self)
    }

    /// The delay of the job's thaw, while something is or may be frozen.
    pub fn delayed_thaw(&self) -> Option<DelayedThaw> {
        match (self.held(), self.freezing) {
            (Held::Frozen { .. } | Held::MayBeFrozen { .. }, Freezing::Open(freeze)) => freeze.thaw,
            _ => None,
        }
    }

    /// When whoever settles it has found nothing frozen, while the command that freezes may still begin.
    pub fn nothing_found_at(&self) -> Option<DateTime<Utc>> {
        match (self.held(), self.freezing) {
            (Held::MayBeFrozen { .. }, Freezing::Open(freeze)) => freeze.nothing_at,
            _ => None,
        }
    }

    /// Times that lie after `now` were written by a clock that was ahead. They become now, which is later than they were:
    /// what is counted from them comes late, but within its time of the clock that counts.
    pub fn bound_times(&mut self, now: DateTime<Utc>) {
        for phase in &mut self.phases {
            phase.started = phase.started.min(now);
            phase.ended = phase.ended.map(|at| at.min(now));
        }
        self.frozen_since = self.frozen_since.map(|at| at.min(now));
        if let Freezing::Open(freeze) = &mut self.freezing {
            freeze.sent = freeze.sent.min(now);
        }
    }

    /// Puts on the job that a proof shows nothing of it frozen any more.
    pub fn thawed(&mut self) {
        self.thaw_unconfirmed = false;
        self.frozen_since = None;
        self.freezing = Freezing::Over;
    }

    /// Whether its freeze is over, though it stands in a phase with one: whoever settles a job whose process is gone thaws
    /// it there.
    pub fn is_thawed(&self) -> bool {
        matches!(self.freezing, Freezing::Over)
            && !self.thaw_unconfirmed
            && matches!(
                self.phase,
                Phase::Quiescing | Phase::Frozen | Phase::Snapshotting | Phase::Thawing
            )
    }

    /// Whether it is over but for labels that could not be written, perhaps on a set that nobody could look for.
    pub fn has_pending_labels(&self) -> bool {
        self.phase == Phase::Done && (self.set_unseen || !self.pending_labels.is_empty())
    }

    /// Whether it ended with an unconfirmed thaw that no failsafe of ours ends: what somebody else's document froze may stand.
    pub fn needs_thaw(&self) -> bool {
        self.phase == Phase::Done && self.thaw_unconfirmed && self.spec.third_party
    }

    /// Whether nothing is left to do for it but to wait for AWS: it is thawed and labelled, and its set is being
    /// copied.
    pub fn only_copies(&self) -> bool {
        self.phase == Phase::Completing && !self.thaw_unconfirmed && self.pending_labels.is_empty()
    }

    /// The state that listings and filters know it by. `left` says that nobody drives it any more.
    pub fn listed_state(&self, left: bool) -> String {
        match left {
            _ if self.thaw_unconfirmed => "thaw-unconfirmed".to_owned(),
            _ if self.has_pending_labels() => "labels-pending".to_owned(),
            true if self.only_copies() => "copying".to_owned(),
            true => "abandoned".to_owned(),
            false => self.phase.to_string(),
        }
    }

    /// When it was asked for: the start of its first phase.
    pub fn started(&self) -> Option<DateTime<Utc>> {
        self.phases.first().map(|p| p.started)
    }

    /// When its last phase ended, if the job is over.
    pub fn ended(&self) -> Option<DateTime<Utc>> {
        if self.phase == Phase::Done {
            self.phases.last().and_then(|p| p.ended.or(Some(p.started)))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::Freeze;

    #[test]
    fn the_mode_is_shown_with_its_reason_once_it_is_chosen() {
        let mut spec = sample::view("j-1", Phase::Queued).spec;
        assert_eq!(spec.mode_words(), "coordinated");
        spec.asked_mode = Some(AskedMode::Auto);
        assert_eq!(
            (spec.mode_word(), spec.mode_is_open()),
            ("auto".to_owned(), true)
        );
        assert!(spec.mode_words().starts_with("auto: "));
        spec.mode_reason = Some("the role may not call".to_owned());
        assert_eq!(
            (spec.mode_word(), spec.mode_is_open()),
            ("coordinated".to_owned(), false)
        );
        assert_eq!(spec.mode_words(), "coordinated: the role may not call");
    }

    #[test]
    fn times_of_a_clock_that_was_ahead_become_now() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let mut view = sample::view("j-1", Phase::Frozen);
        view.phases = [(Phase::Queued, -9, Some(-5)), (Phase::Frozen, 5, Some(7))]
            .map(|(phase, started, ended)| PhaseRecord {
                phase,
                started: at(started),
                ended: ended.map(at),
                failed: false,
            })
            .to_vec();
        view.frozen_since = Some(at(6));
        view.freezing = Freezing::Open(Freeze {
            sent: at(5),
            delivery: crate::held::Delivery::Taken,
            thaw: None,
            nothing_at: None,
        });
        view.bound_times(at(0));
        let times: Vec<_> = view.phases.iter().map(|p| (p.started, p.ended)).collect();
        assert_eq!(times, [(at(-9), Some(at(-5))), (at(0), Some(at(0)))]);
        assert_eq!(view.frozen_since, Some(at(0)));
        let Freezing::Open(freeze) = view.freezing else {
            unreachable!()
        };
        assert_eq!(freeze.sent, at(0));
    }
}

/// A job for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::{JobView, Phase};

    /// A coordinated job of `i-1`, called `db`, with a budget of 30 s, that stands at that phase.
    pub(crate) fn view(job: &str, phase: Phase) -> JobView {
        let spec = serde_json::from_value(serde_json::json!({
            "job": job, "run": "00000000-0000-4000-8000-000000000002",
            "account": "123456789012", "region": "eu-central-1", "instance": "i-1",
            "instance_name": "db", "recipe": "r", "document": "d", "mode": "coordinated", "budget_s": 30,
            "on_failure": "skip", "mounts": [], "namespace": "N",
        }))
        .unwrap();
        let mut view = crate::machine::Job::new(spec).view();
        view.phase = phase;
        view
    }
}
