//! The app: takes keys and messages in, gives effects out. Pure; time is passed in.

mod leave;
mod messages;
pub mod prompt;
mod requests;
pub mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use crossterm::event::{KeyEvent, KeyEventKind};

use self::leave::Leave;
use self::prompt::Prompt;
use super::action::Action;
use super::contract::{MenuItem, Reaction, Request, Screen, ScreenContext, ScreenId, Subject};
use super::effect::{Effect, Generation};
use super::keymap::{self, Key};
use super::message::Message;
use super::model::Model;
use super::screen::fleet::Fleet;
use super::screen::help::{Help, Menu};
use super::screen::jobs::Jobs;
use super::screen::metrics::Metrics;
use super::screen::restore::Restore;
use super::screen::retention::Retention;
use super::screen::snapshots::Snapshots;
use super::screen::volumes::Volumes;
use super::style::Styles;
use super::widget::header;
use crate::domain::job::OnFailure;
use crate::domain::mode::AskedMode;
use crate::domain::problem::Problem;
use crate::domain::retention::Policy;
use crate::domain::set_plan::Tagging;
use crate::recipe::chosen::Catalogue;

/// A second `ctrl-c` within this time thaws and stops every job and leaves.
const INTERRUPT_AGAIN: TimeDelta = TimeDelta::seconds(2);
/// How often a running counter of milliseconds is drawn.
const COUNTER_TICK: Duration = Duration::from_millis(100);
/// How often what is or may be frozen is drawn above the other screens.
const HELD_TICK: Duration = Duration::from_secs(1);
/// Most steps back that are remembered.
const HISTORY: usize = 32;

/// What reaches the app.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// Pasted text.
    Paste(String),
    /// The terminal has another size, or must be drawn anew.
    Redraw,
    /// Time went on.
    Tick,
    /// An answer, a job's state, a notice.
    Message(Box<Message>),
}

/// The line that tells something until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Good to know.
    Info(String),
    /// Something went wrong.
    Problem(Problem),
}

#[derive(Debug, Default)]
struct Generations {
    last: Generation,
    fleet: Generation,
    jobs: Generation,
    metrics: Generation,
    prune: Generation,
    restore: Generation,
}

struct Screens {
    fleet: Fleet,
    volumes: Volumes,
    snapshots: Snapshots,
    jobs: Jobs,
    metrics: Metrics,
    retention: Retention,
    restore: Restore,
}

impl Screens {
    fn get(&self, id: ScreenId) -> &dyn Screen {
        match id {
            ScreenId::Fleet => &self.fleet,
            ScreenId::Volumes => &self.volumes,
            ScreenId::Snapshots => &self.snapshots,
            ScreenId::Jobs => &self.jobs,
            ScreenId::Metrics => &self.metrics,
            ScreenId::Retention => &self.retention,
            ScreenId::Restore => &self.restore,
        }
    }

    fn get_mut(&mut self, id: ScreenId) -> &mut dyn Screen {
        match id {
            ScreenId::Fleet => &mut self.fleet,
            ScreenId::Volumes => &mut self.volumes,
            ScreenId::Snapshots => &mut self.snapshots,
            ScreenId::Jobs => &mut self.jobs,
            ScreenId::Metrics => &mut self.metrics,
            ScreenId::Retention => &mut self.retention,
            ScreenId::Restore => &mut self.restore,
        }
    }
}

/// The whole state of the console.
pub struct App {
    model: Model,
    styles: Styles,
    new_id: fn() -> String,
    screens: Screens,
    current: ScreenId,
    history: Vec<ScreenId>,
    /// Dialogs and pages on top, the last one has the keys.
    overlays: Vec<Box<dyn Screen>>,
    notice: Option<Notice>,
    asked: Generations,
    /// When `ctrl-c` asked whether to leave, while that question is open.
    leaving_since: Option<DateTime<Utc>>,
    dirty: bool,
}

impl App {
    /// A console that knows nothing yet. `new_id` makes UUIDs for runs.
    pub fn new(styles: Styles, new_id: fn() -> String) -> Self {
        Self {
            model: Model::default(),
            styles,
            new_id,
            screens: Screens {
                fleet: Fleet::default(),
                volumes: Volumes::default(),
                snapshots: Snapshots::default(),
                jobs: Jobs::new(),
                metrics: Metrics::new(),
                retention: Retention::new(),
                restore: Restore::new(),
            },
            current: ScreenId::Fleet,
            history: Vec::new(),
            overlays: Vec::new(),
            notice: None,
            asked: Generations::default(),
            leaving_since: None,
            dirty: true,
        }
    }

    /// The same console with what the configuration says of snapshots.
    #[must_use]
    pub fn configured(
        mut self,
        recipes: Catalogue,
        mode: AskedMode,
        on_failure: OnFailure,
    ) -> Self {
        self.model.recipes = recipes;
        self.model.mode = mode;
        self.model.on_failure = on_failure;
        self
    }

    /// The same console with what the configuration says of tags.
    #[must_use]
    pub fn tagging(mut self, tagging: Tagging) -> Self {
        self.model.tagging = tagging;
        self
    }

    /// The same console with the retention policies of the configuration.
    #[must_use]
    pub fn with_policies(mut self, policies: BTreeMap<String, Policy>) -> Self {
        self.model.policies = policies;
        self
    }

    /// What to ask first: the fleet and the jobs.
    pub fn start(&mut self) -> Vec<Effect> {
        vec![self.load_fleet(), self.load_jobs()]
    }

    /// Takes one input in and says what to do about it.
    pub fn update(&mut self, input: Input, now: DateTime<Utc>) -> Vec<Effect> {
        let requests = match input {
            Input::Key(key) if key.kind == KeyEventKind::Release => return Vec::new(),
            Input::Key(key) => self.key(key, now),
            Input::Paste(text) => {
                if self.top().typing() {
                    self.with_top(now, |screen, cx| screen.paste(&text, cx));
                }
                Vec::new()
            }
            Input::Redraw | Input::Tick => Vec::new(),
            Input::Message(message) => match self.message(*message, now) {
                Some(requests) => requests,
                None => return Vec::new(),
            },
        };
        self.dirty = true;
        self.carry_out(requests, now)
    }

    /// Whether something changed since this was asked last.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// When the picture changes by the passing of time alone; `None` when nothing moves.
    pub fn next_tick(&self, now: DateTime<Utc>) -> Option<Duration> {
        let cx = self.cx(now);
        if self.screens.get(self.current).moves(&cx) || self.overlays.iter().any(|o| o.moves(&cx)) {
            return Some(COUNTER_TICK);
        }
        // Above every screen a freeze counts in seconds.
        if self.model.holding().next().is_some() {
            return Some(HELD_TICK);
        }
        let old = (now - header::read_at(&self.model)?)
            .to_std()
            .unwrap_or_default();
        let step = if old.as_secs() < 60 { 1000 } else { 60_000 };
        let step = Duration::from_millis(step);
        let into = Duration::from_nanos(
            u64::try_from(old.as_nanos() % step.as_nanos()).unwrap_or_default(),
        );
        Some(step - into)
    }

    /// Everything that was read.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The screen below all dialogs.
    pub fn current(&self) -> ScreenId {
        self.current
    }

    /// What is told at the bottom now.
    pub fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref()
    }

    /// The keys that work now, with what they do; the same list as footer and help.
    pub fn shown_keys(&self, now: DateTime<Utc>) -> Vec<(Vec<Key>, Action)> {
        let cx = self.cx(now);
        let menu = self.menu(&cx);
        keymap::shown(self.top().typing(), |action| {
            self.available(action, &menu, &cx)
        })
    }

    fn cx(&self, now: DateTime<Utc>) -> ScreenContext<'_> {
        ScreenContext {
            model: &self.model,
            now,
            styles: &self.styles,
            new_id: self.new_id,
        }
    }

    fn top(&self) -> &dyn Screen {
        match self.overlays.last() {
            Some(overlay) => overlay.as_ref(),
            None => self.screens.get(self.current),
        }
    }

    fn with_top<T>(
        &mut self,
        now: DateTime<Utc>,
        run: impl FnOnce(&mut dyn Screen, &ScreenContext<'_>) -> T,
    ) -> T {
        let cx = ScreenContext {
            model: &self.model,
            now,
            styles: &self.styles,
            new_id: self.new_id,
        };
        match self.overlays.last_mut() {
            Some(overlay) => run(overlay.as_mut(), &cx),
            None => run(self.screens.get_mut(self.current), &cx),
        }
    }

    fn with_screen<T>(
        &mut self,
        id: ScreenId,
        now: DateTime<Utc>,
        run: impl FnOnce(&mut dyn Screen, &ScreenContext<'_>) -> T,
    ) -> T {
        let cx = ScreenContext {
            model: &self.model,
            now,
            styles: &self.styles,
            new_id: self.new_id,
        };
        run(self.screens.get_mut(id), &cx)
    }

    /// Whether an action means something now: to the topmost screen, or to the app itself.
    fn available(&self, action: Action, menu: &[MenuItem], cx: &ScreenContext<'_>) -> bool {
        if action == Action::Interrupt {
            return true;
        }
        let top = self.top();
        if top.handles(action, cx) {
            return true;
        }
        if action == Action::Help {
            return true;
        }
        if !self.overlays.is_empty() || top.typing() {
            return false;
        }
        match action {
            Action::Menu => !menu.is_empty(),
            Action::Fleet
            | Action::Volumes
            | Action::Snapshots
            | Action::Jobs
            | Action::MetricsScreen
            | Action::Retention
            | Action::Leave
            | Action::Back
            | Action::Refresh
            | Action::Prompt => true,
            // What the menu offers or refuses, its key does or refuses without it.
            _ => menu.iter().any(|item| item.action == action),
        }
    }

    /// What the menu of the screen offers; nothing under a dialog and while typing.
    fn menu(&self, cx: &ScreenContext<'_>) -> Vec<MenuItem> {
        if self.overlays.is_empty() && !self.top().typing() {
            self.top().menu(cx)
        } else {
            Vec::new()
        }
    }

    fn key(&mut self, event: KeyEvent, now: DateTime<Utc>) -> Vec<Request> {
        self.notice = None;
        let typing = self.top().typing();
        let action = {
            let cx = self.cx(now);
            let menu = self.menu(&cx);
            keymap::lookup(Key::of(event), typing, |action| {
                self.available(action, &menu, &cx)
            })
        };
        match action {
            Some(action) => self.act(action, now),
            None if typing => self.with_top(now, |screen, cx| screen.type_key(event, cx)),
            None => Vec::new(),
        }
    }

    fn act(&mut self, action: Action, now: DateTime<Utc>) -> Vec<Request> {
        if action == Action::Interrupt {
            return self.interrupt(now);
        }
        let cx = self.cx(now);
        let offered = self.menu(&cx);
        let refused = offered
            .iter()
            .find(|item| item.action == action)
            .and_then(|item| item.refusal(&self.model));
        if let Some(reason) = refused {
            return vec![Request::Say(format!("refused: {reason}"))];
        }
        if let Reaction::Done(requests) = self.with_top(now, |screen, cx| screen.act(action, cx)) {
            return requests;
        }
        match action {
            Action::Fleet => vec![Request::Go(ScreenId::Fleet, Subject::Anything)],
            Action::Volumes => vec![Request::Go(ScreenId::Volumes, Subject::Anything)],
            Action::Snapshots => vec![Request::Go(ScreenId::Snapshots, Subject::Anything)],
            Action::Jobs => vec![Request::Go(ScreenId::Jobs, Subject::Anything)],
            Action::MetricsScreen => vec![Request::Go(ScreenId::Metrics, Subject::Anything)],
            Action::Retention => vec![Request::Go(ScreenId::Retention, Subject::Anything)],
            Action::Leave | Action::Back => vec![Request::Back],
            Action::Refresh => vec![Request::RenewCredentials, Request::Refresh],
            Action::Prompt => vec![Request::Open(Box::new(Prompt::default()))],
            Action::Menu => {
                vec![Request::Open(Box::new(Menu::new(offered)))]
            }
            Action::Help => self.help(now),
            _ => vec![no_use(action)],
        }
    }

    fn help(&self, now: DateTime<Utc>) -> Vec<Request> {
        let title = self.top().title(&self.cx(now));
        let top = self.top();
        let cx = self.cx(now);
        let keys = self.shown_keys(now).into_iter().map(|(keys, action)| {
            let help = top
                .says(action, &cx)
                .map_or(action.help(), |(_, help)| help);
            (keys, action, help)
        });
        let help = Help::new(title, top.purpose(), top.explained(), keys.collect());
        vec![Request::Open(Box::new(help))]
    }

    fn interrupt(&mut self, now: DateTime<Utc>) -> Vec<Request> {
        if self.model.busy().is_empty() {
            return vec![Request::Quit];
        }
        match self.leaving_since {
            Some(since) if now - since <= INTERRUPT_AGAIN => {
                vec![Request::StopAll, Request::Quit]
            }
            Some(_) => {
                self.leaving_since = Some(now);
                Vec::new()
            }
            None => {
                self.leaving_since = Some(now);
                vec![Request::Open(Box::new(Leave::new()))]
            }
        }
    }

    fn next(&mut self) -> Generation {
        self.asked.last += 1;
        self.asked.last
    }

    fn load_fleet(&mut self) -> Effect {
        self.asked.fleet = self.next();
        self.model.identity.loading = true;
        self.model.instances.loading = true;
        self.model.volumes.loading = true;
        self.model.snapshots.loading = true;
        Effect::LoadFleet(self.asked.fleet)
    }

    fn load_jobs(&mut self) -> Effect {
        self.asked.jobs = self.next();
        self.model.jobs.loading = true;
        Effect::LoadJobs(self.asked.jobs)
    }

    /// Whether a message answers a question that is not asked any more; nothing else drops answers.
    fn is_stale(&self, message: &Message) -> bool {
        match message {
            Message::Fleet { generation, .. } => *generation != self.asked.fleet,
            Message::Jobs { generation, .. } => *generation != self.asked.jobs,
            Message::Metrics { generation, .. } => *generation != self.asked.metrics,
            Message::PrunePlanned { generation, .. } => *generation != self.asked.prune,
            Message::RestorePlanned { generation, .. } => *generation != self.asked.restore,
            Message::JobRead { .. }
            | Message::Connection { .. }
            | Message::Job(_)
            | Message::Others(_)
            | Message::Settling(_)
            | Message::Abandoned(_)
            | Message::Past(_)
            | Message::Prune(_)
            | Message::Restore(_)
            | Message::Notice(_) => false,
        }
    }
}

/// Said instead of silence, should a screen offer what it does not do.
fn no_use(action: Action) -> Request {
    Request::Say(format!("{action} has no use here"))
}
