//! Snapshots: what each is worth, who made it, and the set that it belongs to.

mod page;

use crate::domain::state::SnapshotState;
use std::cmp::Ordering;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::list::{List, Listed, Words, reaction};
use crate::config::theme::Role;
use crate::domain::filter::RowKind;
use crate::domain::ids::{InstanceId, JobId, VolumeId};
use crate::domain::job::JobView;
use crate::domain::snapshot::Snapshot;
use crate::tui::action::Action;
use crate::tui::contract::{MenuItem, Reaction, Request, Screen, ScreenContext, ScreenId, Subject};
use crate::tui::model::Model;
use crate::tui::style::{age, level};
use crate::tui::widget::table::{Cell, Column};

const COLUMNS: &[Column] = &[
    Column::new("Snapshot", 22, 22, 0),
    Column::new("Started", 8, 8, 2),
    Column::new("State", 11, 11, 3),
    Column::new("Level", 13, 13, 1),
    Column::new("Origin", 11, 11, 5),
    Column::new("Volume", 21, 21, 7),
    Column::new("Size", 9, 9, 6).right(),
    Column::new("Instance", 12, 20, 4).middle(),
    Column::new("Description", 11, u16::MAX, 8),
];

/// Which snapshots are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Only {
    All,
    Volume(VolumeId),
    Instance(InstanceId),
    Set(JobId),
}

impl Only {
    fn keeps(&self, snapshot: &Snapshot, model: &Model) -> bool {
        match self {
            Self::All => true,
            Self::Volume(id) => snapshot.volume == *id,
            Self::Set(job) => {
                let set = model.set(job);
                set.is_some_and(|set| set.members.contains(&snapshot.id))
            }
            Self::Instance(id) => match snapshot.instance() {
                Some(tagged) => tagged == *id,
                None => model
                    .instance(id)
                    .is_some_and(|i| i.devices.iter().any(|d| d.volume == snapshot.volume)),
            },
        }
    }
}

/// What the screen is for.
const PURPOSE: &str = "Every snapshot of this account and region, whoever made it: how consistent it is proven to be, and of what.";

/// The screen.
pub struct Snapshots {
    list: List,
    only: Only,
    /// What was shown before `ShowSet` narrowed it here; `Esc` brings it back.
    before: Option<Only>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            list: List::new(RowKind::Snapshots, COLUMNS, 1, true, false),
            only: Only::All,
            before: None,
        }
    }
}

impl Snapshots {
    fn rebuild(&mut self, cx: &ScreenContext<'_>) {
        let (model, only) = (cx.model, &self.only);
        self.list.rebuild(
            model.snapshots(),
            |row| row.id.as_str(),
            |row, filter| {
                let name = || row.instance().map(|id| model.instance_name(&id).to_owned());
                only.keeps(row, model)
                    && (filter.is_empty() || filter.matches_snapshot(row, name().as_deref()))
            },
            |a, b, column| compare(model, a, b, column),
        );
    }

    /// What is said where there is no row: a list that a job is about to fill is not empty.
    fn emptiness(&self, cx: &ScreenContext<'_>) -> &'static str {
        if makers(&self.only, cx.model).next().is_some() {
            "A job is making snapshots of this now; they appear here once EC2 shows them. Press 4 to watch it, ctrl-r \
             to read again."
        } else {
            "No snapshots here. Mark instances on the Fleet (1) with space, then s takes consistent ones; press 3 \
             for all snapshots."
        }
    }

    fn current<'a>(&self, cx: &ScreenContext<'a>) -> Option<&'a Snapshot> {
        cx.model.snapshots().get(self.list.current()?)
    }
}

/// The jobs at work that make snapshots of what is shown.
fn makers<'a>(only: &'a Only, model: &'a Model) -> impl Iterator<Item = &'a JobView> {
    let of_volume = |job: &JobView, id: &VolumeId| {
        let instance = model.instance(&job.spec.instance);
        instance.is_some_and(|i| i.devices.iter().any(|d| d.volume == *id))
    };
    model.running().filter(move |job| match only {
        Only::All => true,
        Only::Volume(id) => of_volume(job, id),
        Only::Instance(id) => job.spec.instance == *id,
        Only::Set(id) => job.spec.job == *id,
    })
}

fn instance_name(snapshot: &Snapshot, model: &Model) -> String {
    match snapshot.instance() {
        Some(id) => model.named(&id),
        None => String::new(),
    }
}

fn compare(model: &Model, a: &Snapshot, b: &Snapshot, column: usize) -> Ordering {
    match column {
        0 => a.id.cmp(&b.id),
        1 => a.started.cmp(&b.started),
        2 => (&a.state, a.progress).cmp(&(&b.state, b.progress)),
        3 => a.verified_level().cmp(&b.verified_level()),
        4 => a.origin.word().cmp(b.origin.word()),
        5 => a.volume.cmp(&b.volume),
        6 => a.volume_gib.cmp(&b.volume_gib),
        7 => instance_name(a, model).cmp(&instance_name(b, model)),
        _ => a.description.cmp(&b.description),
    }
}

fn state(snapshot: &Snapshot) -> (String, Role) {
    match (&snapshot.state, snapshot.progress) {
        (SnapshotState::Pending, Some(done)) => (format!("pending {done}%"), Role::Warn),
        (SnapshotState::Completed, _) if snapshot.tier != "standard" => {
            ("archived".to_owned(), Role::Muted)
        }
        (SnapshotState::Completed, _) => ("completed".to_owned(), Role::Text),
        (SnapshotState::Error, _) => ("error".to_owned(), Role::Error),
        (other, _) => (other.to_string(), Role::Warn),
    }
}

fn cells(snapshot: &Snapshot, cx: &ScreenContext<'_>) -> Vec<Cell> {
    let (state, state_role) = state(snapshot);
    let (symbol, word, role) = level(snapshot.verified_level());
    let instance = instance_name(snapshot, cx.model);
    vec![
        Cell::new(snapshot.id.as_str()),
        Cell::new(format!("{:>4}", age(snapshot.started, cx.now))),
        Cell::styled(state, state_role),
        Cell::styled(format!("{symbol} {word}"), role),
        Cell::styled(snapshot.origin.word(), Role::Muted),
        Cell::styled(snapshot.volume.as_str(), Role::Muted),
        Cell::new(format!("{} GiB", snapshot.volume_gib)),
        if instance.is_empty() {
            Cell::styled("—", Role::Muted)
        } else {
            Cell::new(instance)
        },
        Cell::styled(snapshot.description.as_str(), Role::Muted),
    ]
}

impl Screen for Snapshots {
    fn title(&self, cx: &ScreenContext<'_>) -> String {
        match &self.only {
            Only::All => "Snapshots".to_owned(),
            Only::Volume(id) => format!("Snapshots of {id}"),
            Only::Instance(id) => format!("Snapshots of {}", cx.model.named(id)),
            Only::Set(job) => format!("Snapshots of set {job}"),
        }
    }

    fn purpose(&self) -> &'static str {
        self.list.purpose(PURPOSE)
    }

    fn explained(&self) -> &'static [&'static str] {
        self.list.explained()
    }

    fn handles(&self, action: Action, cx: &ScreenContext<'_>) -> bool {
        if self.list.handles(action) {
            return true;
        }
        if self.list.typing() {
            return false;
        }
        let Some(snapshot) = self.current(cx) else {
            return false;
        };
        match action {
            Action::Open | Action::Describe | Action::CopyId => true,
            Action::Metrics => snapshot.instance().is_some(),
            Action::Restore | Action::ShowSet | Action::Evidence => snapshot.job().is_some(),
            Action::CopyArn => cx.model.identity.data.is_some(),
            _ => false,
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        match self.list.act(action) {
            Listed::No => {}
            Listed::Back if self.before.is_some() => {
                self.only = self.before.take().unwrap_or(Only::All);
                self.rebuild(cx);
                return Reaction::done();
            }
            listed => {
                if matches!(listed, Listed::Rebuild) {
                    self.rebuild(cx);
                }
                return reaction(&listed);
            }
        }
        let Some(snapshot) = self.current(cx) else {
            return Reaction::Ignored;
        };
        Reaction::ask(match (action, snapshot.job(), snapshot.instance()) {
            (Action::Open | Action::Evidence, Some(job), _) => {
                return Reaction::Done(page::open_set(snapshot, job, cx));
            }
            (Action::Open | Action::Describe, job, _) => {
                return Reaction::Done(page::open_snapshot(snapshot, job, cx));
            }
            (Action::CopyId, _, _) => Request::Copy(snapshot.id.to_string()),
            (Action::CopyArn, _, _) => match cx.model.arn("snapshot", snapshot.id.as_str()) {
                Some(arn) => Request::Copy(arn),
                None => return Reaction::Ignored,
            },
            (Action::Metrics, _, Some(id)) => Request::Go(ScreenId::Metrics, Subject::Instance(id)),
            (Action::Restore, Some(job), _) => Request::Go(ScreenId::Restore, Subject::Set(job)),
            (Action::ShowSet, Some(job), _) => {
                let before = std::mem::replace(&mut self.only, Only::Set(job));
                self.before.get_or_insert(before);
                self.rebuild(cx);
                return Reaction::done();
            }
            _ => return Reaction::Ignored,
        })
    }

    fn typing(&self) -> bool {
        self.list.typing()
    }

    fn type_key(&mut self, key: KeyEvent, cx: &ScreenContext<'_>) -> Vec<Request> {
        self.list.type_key(key);
        self.rebuild(cx);
        Vec::new()
    }

    fn paste(&mut self, pasted: &str, cx: &ScreenContext<'_>) {
        self.list.paste(pasted);
        self.rebuild(cx);
    }

    fn enter(&mut self, subject: Subject, cx: &ScreenContext<'_>) -> Vec<Request> {
        if subject != Subject::Same {
            self.before = None;
        }
        self.only = match subject {
            Subject::Same => return Vec::new(),
            Subject::Instance(id) => Only::Instance(id),
            Subject::Volume(id) => Only::Volume(id),
            Subject::Set(job) => Only::Set(job),
            Subject::Snapshot(id) => {
                self.only = Only::All;
                self.rebuild(cx);
                self.list.table.select(id.as_str());
                return Vec::new();
            }
            Subject::Anything | Subject::Run(_) => Only::All,
        };
        self.rebuild(cx);
        Vec::new()
    }

    fn world_changed(&mut self, cx: &ScreenContext<'_>) {
        self.rebuild(cx);
    }

    fn menu(&self, cx: &ScreenContext<'_>) -> Vec<MenuItem> {
        let Some(snapshot) = self.current(cx) else {
            return Vec::new();
        };
        let set = snapshot.job().and_then(|job| cx.model.set(&job));
        let refused = match set {
            None => Some("it is not part of one of our sets".to_owned()),
            Some(set) if !set.restorable => Some("the set is not complete yet".to_owned()),
            Some(_) => None,
        };
        let mut items = vec![MenuItem {
            action: Action::Restore,
            label: "restore this set beside the data…".to_owned(),
            refused,
        }];
        let item = |action, label: String| MenuItem {
            action,
            label,
            refused: None,
        };
        if set.is_some() {
            items.push(item(Action::Evidence, "evidence of this set".to_owned()));
            items.push(item(Action::ShowSet, "show only this set".to_owned()));
        }
        if let Some(id) = snapshot.instance() {
            let label = format!("backup metrics of {}", cx.model.named(&id));
            items.push(item(Action::Metrics, label));
        }
        items.push(item(Action::Describe, format!("describe {}", snapshot.id)));
        items
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let pane = &cx.model.snapshots;
        let title = self.title(cx);
        let count =
            |rows: &Vec<Snapshot>| rows.iter().filter(|s| self.only.keeps(s, cx.model)).count();
        let words = Words {
            title: &title,
            loading: pane.loading,
            error: cx.model.identity.error.as_ref().or(pane.error.as_ref()),
            total: pane.data.as_ref().map(count),
            empty: self.emptiness(cx),
        };
        let row = |at: usize| {
            cx.model
                .snapshots()
                .get(at)
                .map(|s| cells(s, cx))
                .unwrap_or_default()
        };
        self.list.view(frame, area, cx, &words, &row);
    }
}
