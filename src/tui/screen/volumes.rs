//! Volumes: where each is attached, and how old its newest snapshot is.

use crate::domain::state::{AttachmentState, VolumeState};
use std::cmp::Ordering;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::list::{List, Listed, Words, reaction};
use crate::config::theme::Role;
use crate::domain::filter::RowKind;
use crate::domain::ids::InstanceId;
use crate::domain::tags::{EXCLUDE, RESTORED_FROM};
use crate::domain::volume::Volume;
use crate::tui::action::Action;
use crate::tui::contract::{MenuItem, Reaction, Request, Screen, ScreenContext, ScreenId, Subject};
use crate::tui::model::Model;
use crate::tui::style::{age, ago, level, moment};
use crate::tui::widget::details::{Details, Entry};
use crate::tui::widget::held;
use crate::tui::widget::table::{Cell, Column};

const COLUMNS: &[Column] = &[
    Column::new("Name", 10, u16::MAX, 4).middle(),
    Column::new("Volume", 21, 21, 0),
    Column::new("State", 9, 9, 5),
    Column::new("Size", 9, 9, 3).right(),
    Column::new("Type", 4, 8, 7),
    Column::new("AZ", 13, 15, 9),
    Column::new("Attached", 14, u16::MAX, 2).middle(),
    Column::new("Snaps", 5, 5, 8).right(),
    Column::new("Newest", 18, 18, 1),
];

/// What the screen is for.
const PURPOSE: &str = "Every volume: where it is attached, how many snapshots it has, and how old and consistent the newest is.";

/// The screen.
pub struct Volumes {
    list: List,
    only: Option<InstanceId>,
}

impl Default for Volumes {
    fn default() -> Self {
        Self {
            list: List::new(RowKind::Volumes, COLUMNS, 1, false, false),
            only: None,
        }
    }
}

impl Volumes {
    fn rebuild(&mut self, cx: &ScreenContext<'_>) {
        let (model, only) = (cx.model, self.only.as_ref());
        self.list.rebuild(
            model.volumes(),
            |row| row.id.as_str(),
            |row, filter| {
                let attached = row.attachments.iter();
                let names: Vec<&str> = attached.map(|a| model.instance_name(&a.instance)).collect();
                is_of(row, only) && filter.matches_volume(row, &names, model.backups(&row.id))
            },
            |a, b, column| compare(model, a, b, column),
        );
    }

    fn current<'a>(&self, cx: &ScreenContext<'a>) -> Option<&'a Volume> {
        cx.model.volumes().get(self.list.current()?)
    }
}

fn is_of(volume: &Volume, only: Option<&InstanceId>) -> bool {
    only.is_none_or(|id| volume.attachments.iter().any(|a| a.instance == *id))
}

fn attached(volume: &Volume, model: &Model) -> String {
    let places: Vec<String> = volume
        .attachments
        .iter()
        .map(|a| {
            let state = if a.state == AttachmentState::Attached {
                String::new()
            } else {
                format!(" ({})", a.state)
            };
            // What is the same everywhere only takes room from the names.
            let device = a.device.strip_prefix("/dev/").unwrap_or(&a.device);
            format!("{}:{device}{state}", model.named(&a.instance))
        })
        .collect();
    places.join(", ")
}

fn compare(model: &Model, a: &Volume, b: &Volume, column: usize) -> Ordering {
    let backups = |row: &Volume| model.backups(&row.id);
    match column {
        0 => a.tags.name().cmp(&b.tags.name()),
        1 => a.id.cmp(&b.id),
        2 => a.state.cmp(&b.state),
        3 => a.size_gib.cmp(&b.size_gib),
        4 => a.volume_type.cmp(&b.volume_type),
        5 => a.zone.cmp(&b.zone),
        6 => attached(a, model).cmp(&attached(b, model)),
        7 => backups(a)
            .map_or(0, |s| s.count)
            .cmp(&backups(b).map_or(0, |s| s.count)),
        _ => backups(a)
            .map(|s| s.newest)
            .cmp(&backups(b).map(|s| s.newest)),
    }
}

fn cells(volume: &Volume, cx: &ScreenContext<'_>) -> Vec<Cell> {
    let state_role = match volume.state {
        VolumeState::InUse => Role::Ok,
        VolumeState::Error => Role::Error,
        _ => Role::Warn,
    };
    let read = cx.model.snapshots.data.is_some();
    let backups = cx.model.backups(&volume.id);
    let newest = match backups {
        Some(all) => {
            let (symbol, word, role) = level(all.level);
            Cell::styled(
                format!("{:>4} {symbol} {word}", age(all.newest, cx.now)),
                role,
            )
        }
        None if volume.is_excluded() => Cell::styled("left out by tag", Role::Muted),
        None if read => Cell::styled("none", Role::Warn),
        None => Cell::styled("…", Role::Muted),
    };
    // A freeze stops whoever writes to any of the instance's volumes, in the end.
    let held = volume
        .attachments
        .iter()
        .find_map(|a| held::cell(cx.model, &a.instance, cx.now));
    let count = match backups {
        Some(all) => all.count.to_string(),
        None if read => "0".to_owned(),
        None => "…".to_owned(),
    };
    let places = attached(volume, cx.model);
    vec![
        match volume.tags.name() {
            Some(_) => Cell::new(cx.model.which(volume)),
            None => Cell::new("—"),
        },
        Cell::styled(volume.id.as_str(), Role::Muted),
        Cell::styled(volume.state.as_str(), state_role),
        Cell::new(format!("{} GiB", volume.size_gib)),
        Cell::styled(volume.volume_type.as_str(), Role::Muted),
        Cell::styled(volume.zone.as_str(), Role::Muted),
        if places.is_empty() {
            Cell::styled("—", Role::Muted)
        } else {
            Cell::new(places)
        },
        Cell::new(count),
        held.unwrap_or(newest),
    ]
}

fn describe(volume: &Volume, cx: &ScreenContext<'_>) -> Details {
    let model = cx.model;
    let mut out = vec![
        Entry::Section("Volume".into()),
        Entry::pair("Name", volume.tags.name().unwrap_or("—")),
        Entry::pair("Id", volume.id.as_str()),
        Entry::pair("Scope", volume.scope.to_string()),
        Entry::pair("State", volume.state.as_str()),
        Entry::pair("Size", format!("{} GiB", volume.size_gib)),
        Entry::pair("Type", &*volume.volume_type),
        Entry::pair("Zone", &*volume.zone),
    ];
    if let Some(iops) = volume.iops {
        out.push(Entry::pair("IOPS", iops.to_string()));
    }
    if let Some(throughput) = volume.throughput {
        out.push(Entry::pair("Throughput", format!("{throughput} MiB/s")));
    }
    let encrypted = match (&volume.kms_key, volume.encrypted) {
        (Some(key), true) => format!("yes, {key}"),
        (None, true) => "yes".to_owned(),
        (_, false) => "no".to_owned(),
    };
    out.push(Entry::pair("Encrypted", encrypted));
    if let Some(at) = volume.created {
        out.push(Entry::pair(
            "Created",
            format!("{} ({})", moment(at), ago(at, cx.now)),
        ));
    }
    if let Some(snapshot) = &volume.from_snapshot {
        out.push(Entry::pair("Made from", snapshot.as_str()));
    }
    if volume.is_excluded() {
        out.push(Entry::Pair(
            "Sets".into(),
            format!("left out of every set by its tag {EXCLUDE}"),
            Role::Warn,
        ));
    }
    if let Some(from) = volume.tags.get(RESTORED_FROM) {
        out.push(Entry::pair("Restored from", from));
    }
    out.push(Entry::Section(format!(
        "Attachments ({})",
        volume.attachments.len()
    )));
    for a in &volume.attachments {
        out.push(Entry::pair(
            &*a.device,
            format!("{}, {}", model.named_full(&a.instance), a.state),
        ));
    }
    let snapshots: Vec<_> = model
        .snapshots()
        .iter()
        .filter(|s| s.volume == volume.id)
        .collect();
    out.push(Entry::Section(format!("Snapshots ({})", snapshots.len())));
    for snapshot in snapshots.iter().take(10) {
        let (symbol, word, role) = level(snapshot.verified_level());
        let words = format!(
            "{symbol} {word}, {}, {}",
            snapshot.id,
            snapshot.origin.word()
        );
        out.push(Entry::Pair(moment(snapshot.started), words, role));
    }
    if snapshots.len() > 10 {
        out.push(Entry::Words(
            format!("and {} more", snapshots.len() - 10),
            Role::Muted,
        ));
    }
    out.push(Entry::Section(format!("Tags ({})", volume.tags.0.len())));
    out.extend(
        volume
            .tags
            .iter()
            .map(|(key, value)| Entry::pair(key, value)),
    );
    Details::new(
        format!("Volume {}", model.which(volume)),
        volume.id.as_str(),
        model.arn("volume", volume.id.as_str()),
        out,
    )
}

impl Screen for Volumes {
    fn title(&self, cx: &ScreenContext<'_>) -> String {
        match &self.only {
            Some(id) => format!("Volumes of {}", cx.model.named(id)),
            None => "Volumes".to_owned(),
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
        let Some(volume) = self.current(cx) else {
            return false;
        };
        match action {
            Action::Open | Action::ShowSnapshots | Action::Describe | Action::CopyId => true,
            Action::Metrics => !volume.attachments.is_empty(),
            Action::CopyArn => cx.model.identity.data.is_some(),
            _ => false,
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        match self.list.act(action) {
            Listed::No => {}
            listed => {
                if matches!(listed, Listed::Rebuild) {
                    self.rebuild(cx);
                }
                return reaction(&listed);
            }
        }
        let Some(volume) = self.current(cx) else {
            return Reaction::Ignored;
        };
        let instance = volume.attachments.first().map(|a| a.instance.clone());
        Reaction::ask(match (action, instance) {
            (Action::Open | Action::ShowSnapshots, _) => {
                Request::Go(ScreenId::Snapshots, Subject::Volume(volume.id.clone()))
            }
            (Action::Metrics, Some(id)) => Request::Go(ScreenId::Metrics, Subject::Instance(id)),
            (Action::Describe, _) => Request::Open(Box::new(describe(volume, cx))),
            (Action::CopyId, _) => Request::Copy(volume.id.to_string()),
            (Action::CopyArn, _) => match cx.model.arn("volume", volume.id.as_str()) {
                Some(arn) => Request::Copy(arn),
                None => return Reaction::Ignored,
            },
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
        match subject {
            Subject::Same => return Vec::new(),
            Subject::Instance(id) => self.only = Some(id),
            Subject::Volume(id) => {
                self.only = None;
                self.rebuild(cx);
                self.list.table.select(id.as_str());
            }
            _ => self.only = None,
        }
        self.rebuild(cx);
        Vec::new()
    }

    fn world_changed(&mut self, cx: &ScreenContext<'_>) {
        self.rebuild(cx);
    }

    fn menu(&self, cx: &ScreenContext<'_>) -> Vec<MenuItem> {
        let Some(volume) = self.current(cx) else {
            return Vec::new();
        };
        let item = |action, label: String| MenuItem {
            action,
            label,
            refused: None,
        };
        let mut items = vec![
            item(
                Action::ShowSnapshots,
                format!("snapshots of {}", cx.model.which(volume)),
            ),
            item(
                Action::Describe,
                format!("describe {}", cx.model.which(volume)),
            ),
        ];
        if let Some(a) = volume.attachments.first() {
            let name = cx.model.named(&a.instance);
            items.insert(
                1,
                item(Action::Metrics, format!("backup metrics of {name}")),
            );
        }
        items
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let pane = &cx.model.volumes;
        let only = self.only.as_ref();
        let title = self.title(cx);
        let words = Words {
            title: &title,
            loading: pane.loading,
            error: cx.model.identity.error.as_ref().or(pane.error.as_ref()),
            total: pane
                .data
                .as_ref()
                .map(|rows| rows.iter().filter(|v| is_of(v, only)).count()),
            empty: "No volumes here. Press 2 for all volumes, or ctrl-r to read again.",
        };
        let row = |at: usize| {
            cx.model
                .volumes()
                .get(at)
                .map(|v| cells(v, cx))
                .unwrap_or_default()
        };
        self.list.view(frame, area, cx, &words, &row);
    }
}
