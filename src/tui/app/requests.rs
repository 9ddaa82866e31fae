//! What screens ask for, carried out: writes are guarded and questions numbered here.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::{App, HISTORY, Notice};
use crate::domain::ids::Scope;
use crate::domain::problem::{Kind, Problem};
use crate::tui::contract::{Reaction, Request, ScreenId, Subject};
use crate::tui::effect::Effect;

impl App {
    pub(super) fn carry_out(&mut self, requests: Vec<Request>, now: DateTime<Utc>) -> Vec<Effect> {
        let mut queue = VecDeque::from(requests);
        let mut effects = Vec::new();
        while let Some(request) = queue.pop_front() {
            queue.extend(self.carry_out_one(request, &mut effects, now));
        }
        effects
    }

    fn carry_out_one(
        &mut self,
        request: Request,
        effects: &mut Vec<Effect>,
        now: DateTime<Utc>,
    ) -> Vec<Request> {
        match request {
            Request::Go(to, subject) => return self.go(to, subject, now),
            Request::Back => return self.back(now),
            Request::Open(overlay) => self.overlays.push(overlay),
            Request::Close => {
                self.overlays.pop();
                if self.overlays.is_empty() {
                    self.leaving_since = None;
                }
            }
            Request::Deliver(action) => {
                return match self.with_top(now, |screen, cx| screen.act(action, cx)) {
                    Reaction::Done(more) => more,
                    Reaction::Ignored => vec![super::no_use(action)],
                };
            }
            Request::Refresh => {
                let fleet = self.load_fleet();
                let jobs = self.load_jobs();
                effects.extend([fleet, jobs]);
            }
            Request::RenewCredentials => effects.push(Effect::RenewCredentials),
            Request::AskConnections(instances) => {
                self.model.ask_connections(&instances);
                effects.push(Effect::AskConnections(instances));
            }
            Request::LoadJob(job) => effects.push(Effect::LoadJob(job)),
            Request::LoadMetrics { instance, days } => {
                self.asked.metrics = self.next();
                effects.push(Effect::LoadMetrics {
                    generation: self.asked.metrics,
                    instance,
                    days,
                });
            }
            Request::PlanPrune(policy) => {
                self.asked.prune = self.next();
                effects.push(Effect::PlanPrune {
                    generation: self.asked.prune,
                    policy,
                });
            }
            Request::PlanRestore(request) => {
                self.asked.restore = self.next();
                effects.push(Effect::PlanRestore {
                    generation: self.asked.restore,
                    request,
                });
            }
            Request::StartRun(run) => {
                let other = run
                    .instances
                    .iter()
                    .find_map(|id| self.model.instance(id).map(|i| i.scope.clone()))
                    .filter(|scope| !self.is_ours(scope));
                if self.may_write("take snapshots", other.as_ref()) {
                    self.screens.fleet.unmark_all();
                    effects.push(Effect::StartRun(run));
                }
            }
            Request::RunPrune(plan) => {
                if self.may_write("prune", Some(&plan.scope)) {
                    self.model.prune_runs = true;
                    effects.push(Effect::RunPrune(plan));
                }
            }
            Request::RunRestore(plan) => {
                if self.may_write("restore", Some(&plan.scope)) {
                    self.model.restore_runs = true;
                    effects.push(Effect::RunRestore(plan));
                }
            }
            Request::StopPrune => effects.push(Effect::StopPrune),
            Request::LoadPast => effects.push(Effect::LoadPast),
            Request::CancelJob(job) => effects.push(Effect::CancelJob(job)),
            Request::StopAll => {
                // They hold nothing, and are labelled: to stop them would only call them cancelled.
                let copying = self.model.left_to_aws();
                let spare = copying.map(|job| job.spec.job.clone()).collect();
                effects.push(Effect::StopAll { spare });
            }
            Request::ThawAgain(job) => effects.push(Effect::ThawAgain(job)),
            Request::Copy(text) => {
                self.notice = Some(Notice::Info(format!("copied {text}")));
                effects.push(Effect::Copy(text));
            }
            Request::Say(text) => self.notice = Some(Notice::Info(text)),
            Request::Warn(problem) => self.notice = Some(Notice::Problem(problem)),
            Request::Help => return self.help(now),
            Request::Leave => return self.interrupt(now),
            Request::Quit => effects.push(Effect::Quit),
            Request::Detach => effects.push(Effect::Detach),
        }
        Vec::new()
    }

    fn go(&mut self, to: ScreenId, subject: Subject, now: DateTime<Utc>) -> Vec<Request> {
        self.overlays.clear();
        self.leaving_since = None;
        if to != self.current {
            self.history.push(self.current);
            if self.history.len() > HISTORY {
                self.history.remove(0);
            }
            self.current = to;
        }
        self.with_screen(to, now, |screen, cx| screen.enter(subject, cx))
    }

    fn back(&mut self, now: DateTime<Utc>) -> Vec<Request> {
        match self.history.pop() {
            Some(to) => {
                self.current = to;
                self.with_screen(to, now, |screen, cx| screen.enter(Subject::Same, cx))
            }
            None => vec![Request::Say(
                "nothing to go back to; :q leaves freezeframe".to_owned(),
            )],
        }
    }

    fn is_ours(&self, scope: &Scope) -> bool {
        self.model
            .identity
            .data
            .as_ref()
            .is_some_and(|identity| identity.scope == *scope)
    }

    /// Whether a write may go out now; tells why when not. The one guard before every write.
    fn may_write(&mut self, what: &str, scope: Option<&Scope>) -> bool {
        let problem = if let Some(reason) = self.model.writes_refused() {
            let hint = if reason == "read-only" {
                "start freezeframe without --read-only to change something"
            } else {
                "press ctrl-r, and look at the first line"
            };
            Problem::new(Kind::Denied, what, reason, hint)
        } else if let Some(scope) = scope.filter(|scope| !self.is_ours(scope)) {
            Problem::new(
                Kind::Usage,
                what,
                format!("it was reviewed for {scope}, which is not the account and region above"),
                "press ctrl-r and make a new plan here",
            )
        } else {
            return true;
        };
        self.notice = Some(Notice::Problem(problem));
        false
    }
}
