//! The contract between the app and its screens. Dialogs, help and details are screens too: they
//! lie on top of the others until they close.

use chrono::{DateTime, Utc};
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::action::Action;
use super::effect::RunRequest;
use super::message::Message;
use super::model::Model;
use super::style::Styles;
use crate::domain::ids::{InstanceId, JobId, RunId, SnapshotId, VolumeId};
use crate::domain::problem::Problem;
use crate::domain::restore::{RestorePlan, RestoreRequest};
use crate::domain::retention::{Policy, PrunePlan};

/// The screens that one can go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumIter, strum::Display)]
pub enum ScreenId {
    /// Instances.
    Fleet,
    /// Volumes.
    Volumes,
    /// Snapshots.
    Snapshots,
    /// Jobs.
    Jobs,
    /// Backup metrics.
    Metrics,
    /// Retention.
    Retention,
    /// Restore.
    Restore,
}

/// What a screen should show when one goes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Nothing in particular: what it showed before, without narrowing.
    Anything,
    /// What it showed before, as it was (going back).
    Same,
    /// One instance (Volumes, Snapshots, Metrics, Restore as the target's newest set).
    Instance(InstanceId),
    /// One volume (Snapshots).
    Volume(VolumeId),
    /// One snapshot.
    Snapshot(SnapshotId),
    /// One set (Snapshots, Restore).
    Set(JobId),
    /// One run (Jobs).
    Run(RunId),
}

/// What a screen asks of the app. The app guards writes (read-only, scope) and numbers questions.
pub enum Request {
    /// Go to a screen; it gets the subject through [`Screen::enter`].
    Go(ScreenId, Subject),
    /// Go to the screen that we came from.
    Back,
    /// Lay a dialog on top.
    Open(Box<dyn Screen>),
    /// Close the dialog that asks.
    Close,
    /// Give this action to the screen below (from a menu, after `Close`).
    Deliver(Action),
    /// Read fleet and jobs again.
    Refresh,
    /// Read the credentials again before the next call.
    RenewCredentials,
    /// Ask of these instances whether their SSM agents are connected now.
    AskConnections(Vec<InstanceId>),
    /// Read the backup metrics of one instance over the last days.
    LoadMetrics {
        /// Whose.
        instance: InstanceId,
        /// How far back.
        days: u32,
    },
    /// Look a job up in the journal that is older than the Jobs screen reaches.
    LoadJob(JobId),
    /// Start a run.
    StartRun(RunRequest),
    /// Thaw and stop one job.
    CancelJob(JobId),
    /// Thaw and stop every job that is not over but for AWS's copying.
    StopAll,
    /// Thaw the instance of a job whose thaw nobody could confirm.
    ThawAgain(JobId),
    /// Make a prune plan.
    PlanPrune(Policy),
    /// Carry out exactly this plan.
    RunPrune(Box<PrunePlan>),
    /// Stop the prune under way after the calls under way.
    StopPrune,
    /// Read the prunes and restores on record.
    LoadPast,
    /// Make a restore plan.
    PlanRestore(RestoreRequest),
    /// Carry out exactly this plan.
    RunRestore(Box<RestorePlan>),
    /// Put text on the clipboard.
    Copy(String),
    /// Tell something in one line.
    Say(String),
    /// Tell a problem.
    Warn(Problem),
    /// Show the keys that work here.
    Help,
    /// Leave the program, asking first if something runs.
    Leave,
    /// Leave the program at once.
    Quit,
    /// Leave the screen; jobs go on until they end.
    Detach,
}

/// What came of an action.
pub enum Reaction {
    /// The screen has no use for it.
    Ignored,
    /// It was carried out, with requests to the app.
    Done(Vec<Request>),
}

impl MenuItem {
    /// Why it cannot be done now, in the menu and by its key alike.
    pub fn refusal(&self, model: &Model) -> Option<String> {
        let read_only = || {
            let refused = model.writes_refused().filter(|_| self.action.writes());
            refused.map(str::to_owned)
        };
        self.refused.clone().or_else(read_only)
    }
}

impl Reaction {
    /// Carried out; nothing to ask.
    pub fn done() -> Self {
        Self::Done(Vec::new())
    }

    /// Carried out, with one request.
    pub fn ask(request: Request) -> Self {
        Self::Done(vec![request])
    }
}

/// One line of the `a` menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuItem {
    /// What it does, by the key that the keymap has for it; [`Screen::act`] must accept it.
    pub action: Action,
    /// What it says, naming its objects: `snapshot 3 marked instances`.
    pub label: String,
    /// Why it cannot be done now.
    pub refused: Option<String>,
}

/// What screens look at while they act and draw.
#[derive(Clone, Copy)]
pub struct ScreenContext<'a> {
    /// Everything that was read.
    pub model: &'a Model,
    /// Now.
    pub now: DateTime<Utc>,
    /// Colours by role.
    pub styles: &'a Styles,
    /// Makes a new UUID (run ids).
    pub new_id: fn() -> String,
}

/// A screen, or a dialog on top of one.
pub trait Screen: Send {
    /// The title of its pane, such as `Volumes of web-1`.
    fn title(&self, cx: &ScreenContext<'_>) -> String;

    /// Whether [`Screen::act`] has a use for the action now. Decides which keys work and are shown.
    fn handles(&self, action: Action, cx: &ScreenContext<'_>) -> bool;

    /// Carries an action out. Never `Ignored` when `handles` said yes (a test holds this).
    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction;

    /// A text field has the focus: characters go to [`Screen::type_key`].
    fn typing(&self) -> bool {
        false
    }

    /// A key that no binding took, while [`Screen::typing`].
    fn type_key(&mut self, _key: KeyEvent, _cx: &ScreenContext<'_>) -> Vec<Request> {
        Vec::new()
    }

    /// Pasted text, while [`Screen::typing`]. Never taken for keys.
    fn paste(&mut self, _text: &str, _cx: &ScreenContext<'_>) {}

    /// Someone goes to this screen.
    fn enter(&mut self, _subject: Subject, _cx: &ScreenContext<'_>) -> Vec<Request> {
        Vec::new()
    }

    /// A message that is not part of the model: metrics, prune and restore answers. Stale answers
    /// have been dropped already.
    fn receive(&mut self, _message: &Message, _cx: &ScreenContext<'_>) -> Vec<Request> {
        Vec::new()
    }

    /// Rows of the model changed (instances, volumes, snapshots or jobs).
    fn world_changed(&mut self, _cx: &ScreenContext<'_>) {}

    /// What the `a` menu offers here; empty means that there is no menu.
    fn menu(&self, _cx: &ScreenContext<'_>) -> Vec<MenuItem> {
        Vec::new()
    }

    /// What an action does here where its own words do not say it: one for the footer, a few for the help.
    fn says(
        &self,
        _action: Action,
        _cx: &ScreenContext<'_>,
    ) -> Option<(&'static str, &'static str)> {
        None
    }

    /// What this screen is for, in one sentence: the first words of its help.
    fn purpose(&self) -> &'static str;

    /// What the help of this screen explains after its keys, in a sentence or two each.
    fn explained(&self) -> &'static [&'static str] {
        &[]
    }

    /// Draws itself into the area, border included.
    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>);

    /// Shows a counter of milliseconds that runs right now.
    fn moves(&self, _cx: &ScreenContext<'_>) -> bool {
        false
    }

    /// Dialogs take only part of the screen; the screen below stays visible.
    fn is_dialog(&self) -> bool {
        false
    }
}
