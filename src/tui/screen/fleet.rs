//! Fleet: the instances, whether they can be quiesced, and when each was last proven.

use crate::domain::state::InstanceState;
use std::cmp::Ordering;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::list::{List, Listed, Words, reaction};
use super::snapshot_dialog::SnapshotDialog;
use crate::config::theme::Role;
use crate::domain::filter::RowKind;
use crate::domain::ids::InstanceId;
use crate::domain::instance::{Agent, Instance};
use crate::domain::proof::CLAIMED;
use crate::domain::volume::Volume;
use crate::recipe::chosen::Catalogue;
use crate::recipe::eligibility;
use crate::tui::action::Action;
use crate::tui::contract::{MenuItem, Reaction, Request, Screen, ScreenContext, ScreenId, Subject};
use crate::tui::model::Model;
use crate::tui::style::{age, ago, level, moment};
use crate::tui::widget::details::{Details, Entry};
use crate::tui::widget::held;
use crate::tui::widget::table::{Cell, Column};

const COLUMNS: &[Column] = &[
    Column::new("Name", 12, u16::MAX, 0).middle(),
    Column::new("Instance", 19, 19, 6),
    Column::new("State", 7, 13, 2),
    Column::new("Platform", 8, 8, 7),
    Column::new("AZ", 13, 15, 9),
    Column::new("Type", 10, 13, 8),
    Column::new("Agent", 7, 7, 3),
    Column::new("Recipe", 16, 18, 4),
    Column::new("Vols", 4, 4, 5).right(),
    Column::new("Last proven", 18, 18, 1),
];

/// Why a job of this instance would be refused at once, in words; `recipe` is chosen in place of its tag.
pub fn refusal(instance: &Instance, recipe: Option<&str>, recipes: &Catalogue) -> Option<String> {
    let problem = eligibility::refusal(instance, recipe, recipes)?;
    Some(format!("{}; {}", problem.cause, problem.hint))
}

/// What the screen is for.
const PURPOSE: &str = "Your instances: mark those to snapshot (space), then s; and see how old each one's last proven set is.";

/// The screen.
pub struct Fleet {
    list: List,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            list: List::new(RowKind::Instances, COLUMNS, 0, false, true),
        }
    }
}

impl Fleet {
    fn rebuild(&mut self, cx: &ScreenContext<'_>) {
        let model = cx.model;
        self.list.rebuild(
            model.instances(),
            |row| row.id.as_str(),
            |row, filter| filter.matches_instance(row, model.proven_level(&row.id)),
            |a, b, column| compare(model, a, b, column),
        );
    }

    /// A run of what was marked has begun: the marks have done their work.
    pub fn unmark_all(&mut self) {
        self.list.table.unmark_all();
    }

    fn current<'a>(&self, cx: &ScreenContext<'a>) -> Option<&'a Instance> {
        cx.model.instances().get(self.list.current()?)
    }

    fn chosen(&self) -> Vec<InstanceId> {
        self.list
            .table
            .chosen()
            .into_iter()
            .map(InstanceId::from_api)
            .collect()
    }
}

fn compare(model: &Model, a: &Instance, b: &Instance, column: usize) -> Ordering {
    let proven = |row: &Instance| model.last_proven(&row.id).map(|set| set.started);
    match column {
        0 => a.name().cmp(b.name()),
        1 => a.id.cmp(&b.id),
        2 => a.state.cmp(&b.state),
        3 => a.platform.to_string().cmp(&b.platform.to_string()),
        4 => a.zone.cmp(&b.zone),
        5 => a.instance_type.cmp(&b.instance_type),
        6 => a.agent.word().cmp(b.agent.word()),
        7 => a.recipe_tag().cmp(&b.recipe_tag()),
        8 => a.devices.len().cmp(&b.devices.len()),
        _ => proven(a).cmp(&proven(b)),
    }
}

fn cells(instance: &Instance, cx: &ScreenContext<'_>) -> Vec<Cell> {
    let state_role = match instance.state {
        InstanceState::Running => Role::Ok,
        InstanceState::Stopped | InstanceState::Terminated => Role::Muted,
        _ => Role::Warn,
    };
    let agent_role = match instance.agent {
        Agent::Online { .. } => Role::Ok,
        Agent::Lost { .. } => Role::Error,
        Agent::Absent | Agent::Unknown => Role::Muted,
    };
    let recipe = match instance.recipe_tag() {
        None => Cell::styled("—", Role::Muted),
        Some(tag) if cx.model.recipes.find(tag).is_some() => Cell::new(tag),
        Some(tag) => Cell::styled(format!("?{tag}"), Role::Warn),
    };
    let proven = match cx.model.last_proven(&instance.id) {
        Some(set) => {
            let (symbol, word, role) = level(Some(set.level));
            Cell::styled(
                format!("{:>4} {symbol} {word}", age(set.started, cx.now)),
                role,
            )
        }
        None if cx.model.snapshots.data.is_none() => Cell::styled("…", Role::Muted),
        None => Cell::styled("never", Role::Warn),
    };
    vec![
        match instance.tags.name() {
            Some(_) => Cell::new(cx.model.named(&instance.id)),
            None => Cell::new("—"),
        },
        Cell::styled(instance.id.as_str(), Role::Muted),
        Cell::styled(instance.state.as_str(), state_role),
        Cell::new(instance.platform.to_string()),
        Cell::styled(instance.zone.as_str(), Role::Muted),
        Cell::styled(instance.instance_type.as_str(), Role::Muted),
        Cell::styled(instance.agent.word(), agent_role),
        recipe,
        Cell::new(volumes_words(instance, cx.model)),
        held::cell(cx.model, &instance.id, cx.now).unwrap_or(proven),
    ]
}

/// How many volumes it has: those of its sets, and behind a `+` those that a tag leaves out of them, as restored copies.
fn volumes_words(instance: &Instance, model: &Model) -> String {
    let all = instance.devices.len();
    match model.left_out_by_tag(instance) {
        0 => all.to_string(),
        out => format!("{}+{out}", all.saturating_sub(out)),
    }
}

fn describe(instance: &Instance, cx: &ScreenContext<'_>) -> Details {
    let model = cx.model;
    let mut out = vec![
        Entry::Section("Instance".into()),
        Entry::pair("Name", instance.tags.name().unwrap_or("—")),
        Entry::pair("Id", instance.id.as_str()),
        Entry::pair("Scope", instance.scope.to_string()),
        Entry::pair("State", instance.state.as_str()),
        Entry::pair(
            "Platform",
            format!("{} ({})", instance.platform, instance.platform_details),
        ),
        Entry::pair("Type", &*instance.instance_type),
        Entry::pair("Zone", &*instance.zone),
    ];
    if let Some((words, role)) = held::sentence(model, &instance.id, cx.now) {
        out.insert(1, Entry::Pair("Frozen".into(), words, role));
    }
    if let Some(at) = instance.launched {
        out.push(Entry::pair(
            "Launched",
            format!("{} ({})", moment(at), ago(at, cx.now)),
        ));
    }
    out.push(Entry::pair("SSM agent", agent_words(&instance.agent, cx)));
    out.push(Entry::pair(
        "Recipe tag",
        instance.recipe_tag().unwrap_or("—"),
    ));
    match refusal(instance, None, &model.recipes) {
        Some(reason) => out.push(Entry::Pair(
            "Snapshot".into(),
            format!("refused: {reason}"),
            Role::Warn,
        )),
        None => out.push(Entry::Pair(
            "Snapshot".into(),
            "possible, as far as known".into(),
            Role::Ok,
        )),
    }
    match model.last_proven(&instance.id) {
        Some(set) => {
            let (symbol, word, role) = level(Some(set.level));
            let at = format!(
                "{symbol} {word}, {} ({})",
                moment(set.started),
                ago(set.started, cx.now)
            );
            out.push(Entry::Pair("Last proven".into(), at, role));
            out.push(Entry::pair("", format!("set {}", set.job)));
        }
        None => out.push(Entry::Pair(
            "Last proven".into(),
            "never".into(),
            Role::Warn,
        )),
    }
    // A newer set that claims more than it is worth: why it does not count.
    let newest = model
        .sets
        .iter()
        .filter(|s| s.instance.as_ref() == Some(&instance.id))
        .take_while(|s| !s.level.is_proven())
        .find_map(|s| Some((s.unverified_claim()?, s)));
    if let Some((claim, set)) = newest {
        out.push(Entry::Pair(
            "Not counted".into(),
            format!("{claim} of {}: {CLAIMED}", moment(set.started)),
            Role::Warn,
        ));
    }
    out.push(Entry::Section("Volumes".into()));
    for device in &instance.devices {
        let volume = model.volumes().iter().find(|v| v.id == device.volume);
        let size = volume
            .map(|v| format!(", {} GiB {}", v.size_gib, v.volume_type))
            .unwrap_or_default();
        let out_of_sets = if volume.is_some_and(Volume::is_excluded) {
            ", left out of its sets by tag"
        } else {
            ""
        };
        let root = if device.device == instance.root_device {
            ", root"
        } else {
            ""
        };
        let fate = if device.delete_on_termination {
            ", deleted with the instance"
        } else {
            ""
        };
        out.push(Entry::pair(
            &*device.device,
            format!("{}{size}{root}{out_of_sets}{fate}", device.volume),
        ));
    }
    let sets: Vec<_> = model
        .sets
        .iter()
        .filter(|s| s.instance.as_ref() == Some(&instance.id))
        .collect();
    out.push(Entry::Section(format!("Sets ({})", sets.len())));
    for set in sets.iter().take(10) {
        let (symbol, word, role) = level(Some(set.level));
        let claim = match set.unverified_claim() {
            Some(claim) => format!(", {claim} {CLAIMED}"),
            None => String::new(),
        };
        let words = format!(
            "{symbol} {word}{claim}, {} snapshots, {}",
            set.members.len(),
            set.job
        );
        out.push(Entry::Pair(moment(set.started), words, role));
    }
    if sets.len() > 10 {
        out.push(Entry::Words(
            format!("and {} older ones", sets.len() - 10),
            Role::Muted,
        ));
    }
    out.push(Entry::Section(format!("Tags ({})", instance.tags.0.len())));
    out.extend(
        instance
            .tags
            .iter()
            .map(|(key, value)| Entry::pair(key, value)),
    );
    Details::new(
        format!("Instance {}", model.named(&instance.id)),
        instance.id.as_str(),
        model.arn("instance", instance.id.as_str()),
        out,
    )
}

fn agent_words(agent: &Agent, cx: &ScreenContext<'_>) -> String {
    let ping = |at: &Option<chrono::DateTime<chrono::Utc>>| {
        at.map(|at| format!(", last ping {}", ago(at, cx.now)))
            .unwrap_or_default()
    };
    match agent {
        Agent::Online { version, last_ping } => {
            format!("online by its pings, version {version}{}", ping(last_ping))
        }
        Agent::Lost { last_ping } => format!("lost{}", ping(last_ping)),
        Agent::Absent => "absent: Systems Manager does not know this instance".to_owned(),
        Agent::Unknown => "unknown: not asked, or asking failed".to_owned(),
    }
}

impl Screen for Fleet {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        "Fleet".to_owned()
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
        match action {
            Action::Open
            | Action::Describe
            | Action::CopyId
            | Action::Metrics
            | Action::ShowVolumes
            | Action::ShowSnapshots
            | Action::Restore => self.current(cx).is_some(),
            Action::CopyArn => self.current(cx).is_some() && cx.model.identity.data.is_some(),
            Action::Snapshot => !self.chosen().is_empty(),
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
        if action == Action::Snapshot && !self.chosen().is_empty() {
            let dialog = SnapshotDialog::new(self.chosen(), cx.model);
            let asked = dialog.asks_of_connections(cx.model);
            let mut requests = vec![Request::Open(Box::new(dialog))];
            requests.extend((!asked.is_empty()).then_some(Request::AskConnections(asked)));
            return Reaction::Done(requests);
        }
        let Some(instance) = self.current(cx) else {
            return Reaction::Ignored;
        };
        let subject = Subject::Instance(instance.id.clone());
        Reaction::ask(match action {
            Action::Open | Action::ShowVolumes => Request::Go(ScreenId::Volumes, subject),
            Action::ShowSnapshots => Request::Go(ScreenId::Snapshots, subject),
            Action::Metrics => Request::Go(ScreenId::Metrics, subject),
            Action::Restore => Request::Go(ScreenId::Restore, subject),
            Action::Describe => Request::Open(Box::new(describe(instance, cx))),
            Action::CopyId => Request::Copy(instance.id.to_string()),
            Action::CopyArn => match cx.model.arn("instance", instance.id.as_str()) {
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
        if let Subject::Instance(id) = subject
            && !self.list.table.select(id.as_str())
        {
            let name = cx.model.named(&id);
            return vec![Request::Say(format!("{name} is not among the rows shown"))];
        }
        Vec::new()
    }

    fn world_changed(&mut self, cx: &ScreenContext<'_>) {
        if cx.model.instances.data.is_some() {
            self.list
                .table
                .prune_marks(|id| cx.model.instance(&InstanceId::from_api(id)).is_some());
        }
        self.rebuild(cx);
    }

    fn menu(&self, cx: &ScreenContext<'_>) -> Vec<MenuItem> {
        let Some(instance) = self.current(cx) else {
            return Vec::new();
        };
        if self.list.typing() {
            return Vec::new();
        }
        let name = cx.model.named(&instance.id);
        let item = |action, label: String| MenuItem {
            action,
            label,
            refused: None,
        };
        let marked = self.list.table.marked_count().0;
        let whom = match marked {
            0 => name.clone(),
            1 => "the marked instance".to_owned(),
            n => format!("{n} marked instances"),
        };
        let mut items = vec![item(Action::Snapshot, format!("snapshot {whom}…"))];
        let none = cx.model.last_proven(&instance.id).is_none()
            && !cx
                .model
                .sets
                .iter()
                .any(|s| s.instance.as_ref() == Some(&instance.id));
        items.push(MenuItem {
            action: Action::Restore,
            label: format!("restore {name} beside its data…"),
            refused: none.then(|| "it has no set yet".to_owned()),
        });
        items.push(item(Action::ShowVolumes, format!("volumes of {name}")));
        items.push(item(Action::ShowSnapshots, format!("snapshots of {name}")));
        items.push(item(Action::Metrics, format!("backup metrics of {name}")));
        items.push(item(Action::Describe, format!("describe {name}")));
        if marked > 0 {
            items.push(item(Action::Unmark, format!("unmark all ({marked})")));
        }
        items
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let pane = &cx.model.instances;
        let identity = cx.model.identity.data.as_ref();
        let elsewhere = identity.and_then(|identity| identity.elsewhere.as_deref());
        let words = Words {
            title: "Fleet",
            loading: pane.loading,
            error: cx.model.identity.error.as_ref().or(pane.error.as_ref()),
            total: pane.data.as_ref().map(Vec::len),
            empty: elsewhere.unwrap_or(
                "No instances in this account and region. Start freezeframe with another --region \
                 or --profile, or look around in the lab: freezeframe --lab",
            ),
        };
        let row = |at: usize| {
            cx.model
                .instances()
                .get(at)
                .map(|i| cells(i, cx))
                .unwrap_or_default()
        };
        self.list.view(frame, area, cx, &words, &row);
    }
}
