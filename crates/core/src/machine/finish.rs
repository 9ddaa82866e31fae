//! After the thaw: judge, label, watch the copying, publish, end.

use crate::state::SnapshotState;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Completion, Job, SnapshotCall, arm, values};
use super::{CreatedSnapshot, JobEffect, Label, MetricValue, SnapshotProgress, Timer, Written};
use crate::evidence::{Facts, Judged, judge};
use crate::ids::{InstanceId, SnapshotId, VolumeId};
use crate::job::{Member, Phase, Verdict};
use crate::label;
use crate::level::Level;
use crate::problem::{Kind, Problem};
use crate::set;
use crate::tags::{self, Tags};

/// Looking for the set by its tag.
const FIND: Duration = Duration::from_secs(120);
/// Writing labels, once.
const LABELS: Duration = Duration::from_secs(60);
/// Attempts to write them.
const LABEL_TRIES: u32 = 3;
/// Pause before the second attempt; doubles.
const LABEL_PAUSE: Duration = Duration::from_secs(2);
/// Attempts with those while AWS copies; one more follows at the end of it.
const LABEL_TRIES_IN_ALL: u32 = 16;
/// Pause before the first of those while AWS copies; doubles, up to an hour.
const LABEL_LATER: Duration = Duration::from_secs(5 * 60);
/// AWS's copying. A full first snapshot of a large volume takes hours.
const COMPLETE: Duration = Duration::from_secs(24 * 60 * 60);
/// Publishing metrics.
const PUBLISH: Duration = Duration::from_secs(30);

/// Why a snapshot that somebody deleted is worth nothing.
pub const GONE_SINCE: &str = "EC2 does not have it any more";

/// The problem that a set is incomplete: which of its snapshots AWS failed, and which are gone.
pub fn incomplete(instance: &InstanceId, failed: &[String], gone: &[String]) -> Problem {
    let mut causes = Vec::new();
    if !failed.is_empty() {
        causes.push(format!("AWS reports that {} failed", failed.join(", ")));
    }
    if !gone.is_empty() {
        causes.push(format!(
            "EC2 does not have {} any more: deleted by somebody else, or in the Recycle Bin",
            gone.join(", ")
        ));
    }
    let kind = if failed.is_empty() {
        Kind::NotFound
    } else {
        Kind::Aws
    };
    Problem::new(
        kind,
        format!("complete the set of {instance}"),
        causes.join("; "),
        "run the job again; an incomplete set cannot be restored as one",
    )
}

impl Job {
    pub(super) fn search_by_tag(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        self.enter(Phase::Verifying, now);
        self.completion = Completion::Finding;
        todo.push(JobEffect::FindSnapshots);
        arm(todo, Timer::Find, FIND);
    }

    pub(super) fn find_timed_out(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if self.completion == Completion::Finding {
            let problem = self.too_long(
                "looking for the set",
                "look for the job's tag in the Snapshots screen",
            );
            self.found(Err(problem), now, todo);
        }
    }

    pub(super) fn found(
        &mut self,
        result: Result<Vec<CreatedSnapshot>, Problem>,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        if self.completion != Completion::Finding {
            return;
        }
        todo.push(JobEffect::Disarm(Timer::Find));
        // What was seen while the command ran was there, whatever a later look says. A part of it is no set.
        let expected = self.expected();
        let mut shown = result.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
        for seen in &self.seen {
            if !shown.iter().any(|made| made.snapshot == seen.snapshot) {
                shown.push(seen.clone());
            }
        }
        let size = self.attached().max(expected.len()).max(1);
        let is_shown = |id: &SnapshotId| shown.iter().any(|made| made.snapshot == *id);
        if shown.len() >= size && expected.iter().all(is_shown) {
            self.made = shown;
            self.call = SnapshotCall::Answered;
            self.verify(now, todo);
            return;
        }
        match result {
            // The instance was answered, or a part is shown: whoever comes next looks again.
            Ok(_) if !expected.is_empty() || !shown.is_empty() => {
                self.set_unseen = true;
                self.set = (shown.iter())
                    .map(|made| self.member(made, "EC2 does not show the whole set yet"))
                    .collect();
                let cause = match shown.len() {
                    0 => "snapshots of it were made, and EC2 does not show them".to_owned(),
                    some => format!("EC2 shows {some} of its {size} snapshots"),
                };
                self.fail_record(Problem::new(
                    Kind::Aws,
                    format!("find the set of {}", self.spec.instance),
                    cause,
                    "`freezeframe jobs resume` looks for them again",
                ));
            }
            Ok(_) => self.fail_record(Problem::new(
                Kind::Aws,
                format!("find the set of {}", self.spec.instance),
                "CreateSnapshots did not answer, and no snapshot carries the job's tag",
                "run the job again",
            )),
            Err(problem) => {
                self.set_unseen = true;
                self.fail_record(problem);
            }
        }
        self.call = SnapshotCall::Refused;
        let verdict = if self.cancelled {
            Verdict::Cancelled
        } else {
            Verdict::Failed
        };
        self.publish(verdict, now, todo);
    }

    pub(super) fn verify(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        self.enter(Phase::Verifying, now);
        let (report, judged) = judge(&Facts {
            job: &self.spec.job,
            mode: self.spec.mode,
            third_party: self.spec.third_party,
            preflight: self.facts.as_ref(),
            pre: self.pre_told.as_ref(),
            post: self.post_told.as_ref(),
            call: self.order,
            snapshots: &self.made,
        });
        // What proves the thaw to a label leaves no unconfirmed thaw about it either.
        if self.thaw_unconfirmed
            && !self.spec.third_party
            && !self.found_frozen
            && report.tells_of_the_thaw()
        {
            self.thaw_proven(now);
        }
        self.evidence = report;
        self.judged = judged;
        self.set = self
            .made
            .iter()
            .map(|made| self.member(made, "its label is not written yet"))
            .collect();
        self.pending = self.labels();
        self.earns = Some(self.earned(true));
        self.completion = Completion::Labelling;
        self.write_labels(todo);
    }

    pub(super) fn write_labels(&mut self, todo: &mut Vec<JobEffect>) {
        self.label_tries += 1;
        todo.push(JobEffect::WriteLabels {
            attempt: self.label_tries,
            labels: self.pending.clone(),
        });
        arm(todo, Timer::Labels, LABELS);
    }

    fn labels(&self) -> Vec<Label> {
        self.judged
            .iter()
            .map(|judged| Label {
                snapshot: judged.snapshot.clone(),
                volume: judged.volume.clone(),
                device: self
                    .facts
                    .as_ref()
                    .map_or("", |f| f.device(&judged.volume))
                    .to_owned(),
                covered: judged.covered,
                level: judged.level,
                reason: judged.reason.clone(),
                frozen_ms: self.evidence.window_ms.filter(|_| judged.covered),
                set_size: self.judged.len(),
                positions: self.position_tags(&judged.volume),
                beside: self.tags_beside(judged),
            })
            .collect()
    }

    /// The tags that come with the label.
    fn tags_beside(&self, judged: &Judged) -> Tags {
        let words = self.spec.mode_words();
        let mut tags = self
            .set_plan()
            .map(|plan| plan.beside(&judged.volume, self.spec.mode, &words))
            .unwrap_or_default();
        (self.evidence).mark(&judged.volume, judged.level, &mut tags);
        tags
    }

    /// Where the engine's logs stood, as tags: those that a tag can carry, if the snapshot has room.
    fn position_tags(&self, volume: &VolumeId) -> Vec<(String, String)> {
        let room = self.set_plan().map_or(0, |plan| plan.room(volume));
        tags::of_positions(&self.evidence.positions, room)
    }

    /// An attempt ended. What stands, stands whichever attempt tells it; only the end of the last one says that
    /// nothing more is to be expected of it.
    pub(super) fn labels_written(
        &mut self,
        attempt: u32,
        written: &Written,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        written.settle(&mut self.pending, &mut self.set);
        let all = self.pending.is_empty();
        if let Completion::Publishing(verdict) = &mut self.completion
            && *verdict == Verdict::Crash
        {
            self.completion = Completion::Publishing(self.earned(false));
        }
        if !all && attempt != self.label_tries {
            return;
        }
        if all {
            self.label_problem = None;
        } else if self.completion != Completion::No && self.completion != Completion::Finding {
            let problem = label::pending_problem(&self.spec.instance, written.problem.as_ref());
            // While there are quick attempts left nothing has failed yet.
            if self.completion != Completion::Labelling || self.label_tries >= LABEL_TRIES {
                self.label_problem = Some(problem);
            }
        }
        match self.completion {
            // Until the last of them stands, or an attempt failed.
            Completion::Lowering(verdict) if all || written.problem.is_some() => {
                todo.push(JobEffect::Disarm(Timer::Labels));
                self.publish(verdict, now, todo);
            }
            Completion::LastLabels => {
                todo.push(JobEffect::Disarm(Timer::Labels));
                self.publish(self.earned(false), now, todo);
            }
            Completion::Labelling if all => {
                todo.push(JobEffect::Disarm(Timer::Labels));
                todo.push(JobEffect::Disarm(Timer::LabelRetry));
                self.copy(now, todo);
            }
            Completion::Labelling if self.label_tries < LABEL_TRIES => {
                todo.push(JobEffect::Disarm(Timer::Labels));
                let pause = LABEL_PAUSE * 2_u32.pow(self.label_tries.saturating_sub(1).min(4));
                arm(todo, Timer::LabelRetry, pause);
            }
            Completion::Labelling => {
                todo.push(JobEffect::Disarm(Timer::Labels));
                for member in &mut self.set {
                    if self.pending.iter().any(|l| l.snapshot == member.snapshot) {
                        member.reason = "its label could not be written yet".to_owned();
                    }
                }
                self.label_later(todo);
                self.copy(now, todo);
            }
            Completion::Copying => {
                todo.push(JobEffect::Disarm(Timer::Labels));
                if all {
                    todo.push(JobEffect::Disarm(Timer::LabelRetry));
                } else {
                    self.label_later(todo);
                }
            }
            _ => {}
        }
    }

    fn label_later(&self, todo: &mut Vec<JobEffect>) {
        if self.label_tries < LABEL_TRIES_IN_ALL {
            let doubled = self.label_tries.saturating_sub(LABEL_TRIES).min(4);
            let pause = LABEL_LATER * 2_u32.pow(doubled);
            arm(todo, Timer::LabelRetry, pause.min(12 * LABEL_LATER));
        }
    }

    fn copy(&mut self, now: DateTime<Utc>, todo: &mut Vec<JobEffect>) {
        if self.cancelled {
            self.publish(Verdict::Cancelled, now, todo);
        } else if self.set.is_empty() {
            self.fail_record(Problem::new(
                Kind::Aws,
                format!("snapshot {}", self.spec.instance),
                "CreateSnapshots answered without a single snapshot",
                "check that volumes are attached to the instance",
            ));
            self.publish(Verdict::Failed, now, todo);
        } else {
            self.enter(Phase::Completing, now);
            self.completion = Completion::Copying;
            todo.push(JobEffect::WatchProgress);
            arm(todo, Timer::Complete, COMPLETE);
        }
    }

    pub(super) fn progress(
        &mut self,
        list: &[SnapshotProgress],
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        if self.completion != Completion::Copying {
            return;
        }
        for seen in list {
            let id = seen.snapshot.as_str();
            let Some(member) = self.set.iter_mut().find(|m| m.snapshot == seen.snapshot) else {
                continue;
            };
            if seen.state == SnapshotState::Gone && !self.gone.iter().any(|gone| gone == id) {
                member.level = member.level.min(Level::Crash);
                member.reason = GONE_SINCE.to_owned();
                self.ended_at.insert(id.to_owned(), now);
                self.gone.push(id.to_owned());
                continue;
            }
            if self.ended_at.contains_key(id) {
                continue;
            }
            // Progress never runs backwards on screen, though eventual consistency may show it so.
            member.progress = member.progress.max(seen.percent.min(100));
            match seen.state {
                SnapshotState::Completed => {
                    member.progress = 100;
                    self.ended_at.insert(id.to_owned(), now);
                    if let Some(bytes) = seen.full_bytes {
                        self.full_bytes.insert(id.to_owned(), bytes);
                    }
                }
                SnapshotState::Error => {
                    member.level = member.level.min(Level::Crash);
                    member.reason = "AWS reports that the snapshot failed".to_owned();
                    self.ended_at.insert(id.to_owned(), now);
                    self.errored.push(id.to_owned());
                }
                _ => {}
            }
        }
        // What is not there takes no label.
        let gone = &self.gone;
        self.pending
            .retain(|l| !gone.iter().any(|id| id == l.snapshot.as_str()));
        if self.pending.is_empty() {
            self.label_problem = None;
        }
        if !self
            .set
            .iter()
            .all(|m| self.ended_at.contains_key(m.snapshot.as_str()))
        {
            return;
        }
        todo.push(JobEffect::Disarm(Timer::Complete));
        todo.push(JobEffect::Disarm(Timer::LabelRetry));
        let whole = self.errored.is_empty() && self.gone.is_empty();
        if whole && self.pending.is_empty() {
            self.publish(self.earned(false), now, todo);
            return;
        }
        if whole {
            self.completion = Completion::LastLabels;
            self.write_labels(todo);
            return;
        }
        self.fail_record(incomplete(&self.spec.instance, &self.errored, &self.gone));
        for judged in &mut self.judged {
            if self.errored.iter().any(|id| id == judged.snapshot.as_str()) {
                judged.level = Level::Crash;
                judged.reason = "AWS reports that the snapshot failed".to_owned();
            }
        }
        let errored = |label: &Label| self.errored.iter().any(|id| id == label.snapshot.as_str());
        let lowered: Vec<Label> = self.labels().into_iter().filter(errored).collect();
        // What AWS failed is worth no more than that, whatever was pending before.
        let mut pending: Vec<Label> = self
            .pending
            .iter()
            .filter(|l| !errored(l))
            .cloned()
            .collect();
        pending.extend(lowered);
        self.pending = pending;
        self.earns = Some(Verdict::Failed);
        if self.pending.is_empty() {
            self.publish(Verdict::Failed, now, todo);
            return;
        }
        self.completion = Completion::Lowering(Verdict::Failed);
        self.write_labels(todo);
    }

    /// What the labels that stand on the covered volumes are worth; or what they will be worth when all that
    /// was judged stands.
    fn earned(&self, judged: bool) -> Verdict {
        let covered = self
            .facts
            .as_ref()
            .map(|f| f.covered_volumes())
            .unwrap_or_default();
        let level = set::whole(covered.iter().map(|volume| {
            let level = if judged {
                let of = |j: &&Judged| j.volume == **volume;
                self.judged.iter().find(of).map(|j| j.level)
            } else {
                let of = |m: &&Member| m.volume == **volume;
                self.set.iter().find(of).map(|m| m.level)
            };
            let level = level.unwrap_or(Level::Pending);
            (level, self.evidence.best(volume))
        }));
        match level {
            Level::Application => Verdict::Application,
            Level::Filesystem => Verdict::Filesystem,
            Level::Crash | Level::Pending => Verdict::Crash,
        }
    }

    /// Publishes what there is to publish, then ends with that verdict.
    pub(super) fn publish(
        &mut self,
        verdict: Verdict,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        let data = self.data(verdict, now);
        if data.is_empty() {
            self.done(verdict, now);
            return;
        }
        self.completion = Completion::Publishing(verdict);
        todo.push(JobEffect::Publish(data));
        arm(todo, Timer::Publish, PUBLISH);
    }

    /// A job whose metrics are lost is still the job that it was: the verdict stands.
    pub(super) fn published(
        &mut self,
        result: Result<(), Problem>,
        now: DateTime<Utc>,
        todo: &mut Vec<JobEffect>,
    ) {
        if let Completion::Publishing(verdict) = self.completion {
            todo.push(JobEffect::Disarm(Timer::Publish));
            if let Err(problem) = result {
                self.error.get_or_insert(problem);
            }
            self.done(verdict, now);
        }
    }

    fn data(&self, verdict: Verdict, now: DateTime<Utc>) -> Vec<MetricValue> {
        if verdict == Verdict::Cancelled {
            return Vec::new();
        }
        if self.set.is_empty() {
            let failed = self.facts.iter().filter(|_| verdict == Verdict::Failed);
            return values::of_none(
                failed.flat_map(|f| f.covered_volumes().into_iter().map(|v| f.device(v))),
            );
        }
        let started = self.phases.first().map_or(now, |p| p.started);
        values::of_set(self.set.iter().map(|member| {
            let id = member.snapshot.as_str();
            let ended = self.ended_at.get(id);
            let covered = |j: &Judged| j.snapshot == member.snapshot && j.covered;
            values::Copied {
                drive: &member.device,
                errored: ended.is_none() || self.errored.iter().chain(&self.gone).any(|e| e == id),
                seconds: ended.map(|ended| (*ended - started).as_seconds_f64()),
                full_bytes: self.full_bytes.get(id).copied(),
                window_ms: self
                    .evidence
                    .window_ms
                    .filter(|_| self.judged.iter().any(covered)),
            }
        }))
    }
}
