//! Messages, taken in.

use chrono::{DateTime, Utc};
use strum::IntoEnumIterator;

use super::{App, Notice};
use crate::domain::ids::Scope;
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::{Kind, Problem};
use crate::tui::contract::{Request, ScreenId};
use crate::tui::message::{Identity, Message, Part};

impl App {
    /// Takes a message in; `None` when it was stale and nothing changed.
    pub(super) fn message(&mut self, message: Message, now: DateTime<Utc>) -> Option<Vec<Request>> {
        if self.is_stale(&message) {
            return None;
        }
        match message {
            Message::Fleet { part, .. } => {
                self.part(part, now);
                self.model.derive();
                self.tell_screens(now);
                Some(Vec::new())
            }
            Message::Connection {
                instance,
                connected,
            } => {
                self.model.put_connection(instance, connected);
                Some(Vec::new())
            }
            Message::Jobs { result, .. } => {
                self.model.read_jobs(result, now);
                self.tell_screens(now);
                Some(Vec::new())
            }
            Message::JobRead { job, result } => {
                match result {
                    Ok(found) => self.model.put_past_job(job, found.map(|view| *view)),
                    Err(problem) => self.notice = Some(Notice::Problem(problem)),
                }
                Some(Vec::new())
            }
            Message::Job(job) => Some(self.job(*job, now)),
            Message::Others(jobs) => Some(self.others(jobs, now)),
            Message::Settling(job) => Some(self.settling(*job, now)),
            Message::Abandoned(jobs) => {
                self.model.put_abandoned(jobs);
                Some(self.jobs_changed(false, now))
            }
            Message::Notice(problem) => {
                self.notice = Some(Notice::Problem(problem));
                Some(Vec::new())
            }
            Message::Metrics { .. } => Some(self.give(ScreenId::Metrics, &message, now)),
            Message::Past(_) => Some(self.give(ScreenId::Retention, &message, now)),
            Message::PrunePlanned { .. } => Some(self.give(ScreenId::Retention, &message, now)),
            Message::RestorePlanned { .. } => Some(self.give(ScreenId::Restore, &message, now)),
            Message::Prune(ref progress) => {
                let ended = self.model.prune_runs && progress.finished;
                self.model.prune_runs = !progress.finished;
                let mut requests = self.give(ScreenId::Retention, &message, now);
                requests.extend(ended.then_some(Request::Refresh));
                Some(requests)
            }
            Message::Restore(ref restore) => {
                let ended = self.model.restore_runs && restore.finished;
                self.model.restore_runs = !restore.finished;
                let mut requests = self.give(ScreenId::Restore, &message, now);
                requests.extend(ended.then_some(Request::Refresh));
                Some(requests)
            }
        }
    }

    fn give(&mut self, to: ScreenId, message: &Message, now: DateTime<Utc>) -> Vec<Request> {
        self.with_screen(to, now, |screen, cx| screen.receive(message, cx))
    }

    pub(super) fn tell_screens(&mut self, now: DateTime<Utc>) {
        for id in ScreenId::iter() {
            self.with_screen(id, now, |screen, cx| screen.world_changed(cx));
        }
    }

    /// A changed job of this console. When its last running one ends, what they made is read.
    fn job(&mut self, job: JobView, now: DateTime<Utc>) -> Vec<Request> {
        let ends = self.ends(&job);
        self.model.put_own_job(job);
        self.jobs_changed(ends && self.model.own_running().next().is_none(), now)
    }

    /// Changed jobs of others. When the last running one of all ends, what it made is read.
    fn others(&mut self, jobs: Vec<JobView>, now: DateTime<Utc>) -> Vec<Request> {
        let mut ends = false;
        for job in jobs {
            ends |= self.ends(&job);
            self.model.put_other_job(job);
        }
        self.jobs_changed(ends && self.model.running().next().is_none(), now)
    }

    /// What is done here for a job that was left open is said wherever the person is.
    fn settling(&mut self, job: JobView, now: DateTime<Utc>) -> Vec<Request> {
        let elsewhere = self.current != ScreenId::Jobs;
        if let Some(doing) = job.waiting.as_ref().filter(|_| elsewhere) {
            let name = self.model.named_of(&job);
            self.notice = Some(Notice::Info(format!("left open, {name}: {doing}")));
        }
        let ends = self.ends(&job);
        self.model.put_settling(job);
        self.jobs_changed(ends && self.model.running().next().is_none(), now)
    }

    fn ends(&self, job: &JobView) -> bool {
        let before = self.model.job(&job.spec.job);
        job.phase == Phase::Done && before.is_none_or(|old| old.phase != Phase::Done)
    }

    fn jobs_changed(&mut self, all_over: bool, now: DateTime<Utc>) -> Vec<Request> {
        // Rows of instances and snapshots stay as they are; sorting thousands of them for each step of each of
        // hundreds of jobs would hold up the keys.
        self.with_screen(ScreenId::Jobs, now, |screen, cx| screen.world_changed(cx));
        if all_over {
            vec![Request::Refresh]
        } else {
            Vec::new()
        }
    }

    fn part(&mut self, part: Part, now: DateTime<Utc>) {
        match part {
            Part::Identity(result) => {
                if let Ok(identity) = &result {
                    self.forget_other_scopes(identity);
                } else {
                    // Without knowing who we are nothing else is asked.
                    self.model.instances.loading = false;
                    self.model.volumes.loading = false;
                    self.model.snapshots.loading = false;
                }
                self.model.identity.answer(result, now);
            }
            Part::Instances(result) => {
                let checked = self.only_ours(result, "instances", |row| &row.scope);
                self.model.instances.answer(checked, now);
            }
            Part::Volumes(result) => {
                let checked = self.only_ours(result, "volumes", |row| &row.scope);
                self.model.volumes.answer(checked, now);
            }
            Part::Snapshots(result) => {
                let mut images = Vec::new();
                let rows = result.map(|(rows, held)| {
                    images = held;
                    rows
                });
                let checked = self.only_ours(rows, "snapshots", |row| &row.scope);
                if checked.is_ok() {
                    self.model.images = images;
                }
                self.model.snapshots.answer(checked, now);
            }
        }
    }

    /// Rows of another account or region than the header's are not mixed in.
    fn forget_other_scopes(&mut self, identity: &Identity) {
        let other = self
            .model
            .identity
            .data
            .as_ref()
            .is_some_and(|old| old.scope != identity.scope);
        if other {
            self.model.instances.data = None;
            self.model.volumes.data = None;
            self.model.snapshots.data = None;
            self.model.images.clear();
        }
    }

    fn only_ours<T>(
        &self,
        result: Result<Vec<T>, Problem>,
        what: &str,
        scope: impl Fn(&T) -> &Scope,
    ) -> Result<Vec<T>, Problem> {
        let rows = result?;
        let ours = self
            .model
            .identity
            .data
            .as_ref()
            .map(|identity| &identity.scope);
        match rows.iter().map(scope).find(|scope| Some(*scope) != ours) {
            None => Ok(rows),
            Some(other) => Err(Problem::new(
                Kind::Malformed,
                format!("read {what}"),
                format!(
                    "the answer holds rows of {other}, which is not the account and region above"
                ),
                "press ctrl-r to read again; if it stays, leave and start with --profile and --region",
            )),
        }
    }
}
