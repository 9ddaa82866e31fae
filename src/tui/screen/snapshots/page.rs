//! One set with its evidence, or one snapshot with everything that is known: pages over the list, drawn anew
//! from the model, so that a set that is still being judged and a job that is still being looked up change
//! before the reader's eyes.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::Clear;

use super::state;
use crate::config::theme::Role;
use crate::domain::ids::{JobId, SnapshotId};
use crate::domain::job::JobView;
use crate::domain::level::Origin;
use crate::domain::proof::{self, MemberProof};
use crate::domain::set::SnapshotSet;
use crate::domain::snapshot::Snapshot;
use crate::domain::tags;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext};
use crate::tui::model::Remembered;
use crate::tui::style::{ago, level, moment};
use crate::tui::widget::details::{self, Entry};
use crate::tui::widget::dialog::pane;
use crate::tui::widget::evidence;
use crate::tui::widget::scroll::Scroll;

/// The page of the set that a snapshot belongs to.
pub(super) fn open_set(snapshot: &Snapshot, job: JobId, cx: &ScreenContext<'_>) -> Vec<Request> {
    open(snapshot, Some(job), true, cx)
}

/// The page of a snapshot; `job` is the one that made it, when it is ours.
pub(super) fn open_snapshot(
    snapshot: &Snapshot,
    job: Option<JobId>,
    cx: &ScreenContext<'_>,
) -> Vec<Request> {
    open(snapshot, job, false, cx)
}

fn open(
    snapshot: &Snapshot,
    job: Option<JobId>,
    whole_set: bool,
    cx: &ScreenContext<'_>,
) -> Vec<Request> {
    let unread = job
        .clone()
        .filter(|job| cx.model.remembered(job) == Remembered::NotAsked);
    let page = Page {
        snapshot: snapshot.id.clone(),
        set: job.filter(|_| whole_set),
        scroll: Scroll::default(),
    };
    let mut requests = vec![Request::Open(Box::new(page))];
    requests.extend(unread.map(Request::LoadJob));
    requests
}

/// The page.
struct Page {
    /// The snapshot under the cursor when it was opened.
    snapshot: SnapshotId,
    /// The whole set is told, not only this snapshot.
    set: Option<JobId>,
    scroll: Scroll,
}

impl Page {
    fn entries(&self, cx: &ScreenContext<'_>) -> Vec<Entry> {
        let snapshot = cx.model.snapshots().iter().find(|s| s.id == self.snapshot);
        let gone = || vec![Entry::Words("It is no longer there.".into(), Role::Warn)];
        match (&self.set, snapshot) {
            (Some(job), _) => cx.model.set(job).map_or_else(gone, |set| {
                let mut out = Vec::new();
                set_evidence(set, cx, &mut out);
                let job = job_of(set, cx);
                let positions = proof::positions(set, cx.model.snapshots(), job);
                out.extend(evidence::kept(&positions, job));
                set_facts(set, None, cx, &mut out);
                out
            }),
            (None, Some(snapshot)) => describe(snapshot, cx),
            (None, None) => gone(),
        }
    }
}

impl Screen for Page {
    fn title(&self, cx: &ScreenContext<'_>) -> String {
        let Some(job) = &self.set else {
            return format!("Snapshot {}", self.snapshot);
        };
        let of = cx.model.set(job).and_then(|set| set.instance.clone());
        match of {
            Some(id) => format!("Set of {}: evidence", cx.model.named(&id)),
            None => "Set: evidence".to_owned(),
        }
    }

    fn purpose(&self) -> &'static str {
        "What may be claimed of this snapshot and its set, and the evidence for it."
    }

    fn handles(&self, action: Action, cx: &ScreenContext<'_>) -> bool {
        match action {
            Action::CopyId | Action::Back | Action::Leave | Action::Help => true,
            Action::CopyArn => self.set.is_none() && cx.model.identity.data.is_some(),
            _ => Scroll::handles(action),
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        if !self.handles(action, cx) {
            return Reaction::Ignored;
        }
        if self.scroll.act(action) {
            return Reaction::done();
        }
        match (action, &self.set) {
            (Action::Help, _) => Reaction::ask(Request::Help),
            (Action::CopyId, Some(job)) => Reaction::ask(Request::Copy(job.to_string())),
            (Action::CopyId, None) => Reaction::ask(Request::Copy(self.snapshot.to_string())),
            (Action::CopyArn, _) => {
                let arn = cx.model.arn("snapshot", self.snapshot.as_str());
                Reaction::Done(arn.map(Request::Copy).into_iter().collect())
            }
            _ => Reaction::ask(Request::Close),
        }
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        frame.render_widget(Clear, area);
        let block = pane(&self.title(cx), cx.styles);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let lines = details::lines(&self.entries(cx), usize::from(inner.width), cx);
        self.scroll.view(frame, inner, lines);
        self.scroll.tell(frame, area, cx.styles);
    }
}

fn job_of<'a>(set: &SnapshotSet, cx: &ScreenContext<'a>) -> Option<&'a JobView> {
    match cx.model.remembered(&set.job) {
        Remembered::Here(job) => Some(job),
        Remembered::Nowhere | Remembered::NotAsked => None,
    }
}

/// What may be claimed of the set's members; nothing while the journal has not answered.
fn claimed(set: &SnapshotSet, cx: &ScreenContext<'_>) -> Option<Vec<MemberProof>> {
    let known = cx.model.remembered(&set.job);
    (known != Remembered::NotAsked)
        .then(|| proof::members(set, cx.model.snapshots(), job_of(set, cx)))
}

/// The evidence of a snapshot's set, as sentences.
fn account(set: &SnapshotSet, cx: &ScreenContext<'_>, out: &mut Vec<Entry>) {
    match cx.model.remembered(&set.job) {
        Remembered::Here(job) => out.extend(evidence::of_job(job)),
        Remembered::Nowhere => out.extend(evidence::by_tag(set)),
        Remembered::NotAsked => {
            out.push(Entry::Section("Evidence".into()));
            out.push(Entry::Words(
                "looking it up in the journal…".into(),
                Role::Muted,
            ));
        }
    }
}

/// The level, the sentences, and each member with its reason.
fn set_evidence(set: &SnapshotSet, cx: &ScreenContext<'_>, out: &mut Vec<Entry>) {
    let members = claimed(set, cx);
    if let Some(members) = &members {
        let (symbol, word, role) = level(Some(proof::level(members)));
        out.push(Entry::Section("Claimed".into()));
        out.push(Entry::Pair(
            "Level".into(),
            format!("{symbol} {word}"),
            role,
        ));
    }
    account(set, cx, out);
    if let Some(members) = &members {
        out.extend(evidence::members(members));
    }
}

/// What the set is; `here` is the snapshot whose page this is.
fn set_facts(
    set: &SnapshotSet,
    here: Option<&SnapshotId>,
    cx: &ScreenContext<'_>,
    out: &mut Vec<Entry>,
) {
    let model = cx.model;
    out.push(Entry::Section("Set".into()));
    out.push(Entry::pair("Job", set.job.as_str()));
    let instance = set
        .instance
        .as_ref()
        .map_or("unknown".to_owned(), |id| model.named_full(id));
    out.push(Entry::pair("Instance", instance));
    out.push(Entry::pair(
        "Started",
        format!("{} ({})", moment(set.started), ago(set.started, cx.now)),
    ));
    out.push(Entry::pair("Recipe", set.recipe.as_deref().unwrap_or("—")));
    if let Some(ms) = set.frozen_ms {
        out.push(Entry::pair("Freeze window", format!("{ms} ms")));
    }
    let size = match set.expected {
        Some(n) if n != set.members.len() => {
            format!("{} of {n} snapshots: PARTIAL", set.members.len())
        }
        _ => format!("{} snapshots", set.members.len()),
    };
    out.push(Entry::pair("Size", size));
    let (words, role) = if set.restorable {
        ("yes", Role::Ok)
    } else {
        (
            "not now: members are missing, not completed, or archived",
            Role::Warn,
        )
    };
    out.push(Entry::Pair("Restorable".into(), words.into(), role));
    let Some(here) = here else {
        return;
    };
    for member in model
        .snapshots()
        .iter()
        .filter(|s| set.members.contains(&s.id))
    {
        let (symbol, word, role) = level(match job_of(set, cx) {
            None => member.verified_level(),
            job => Some(proof::member(member, job).level),
        });
        let mark = if member.id == *here {
            " (this one)"
        } else {
            ""
        };
        let words = format!("{} of {}, {symbol} {word}{mark}", member.id, member.volume);
        let device = member.device().unwrap_or("—").to_owned();
        out.push(Entry::Pair(device, words, role));
    }
}

fn describe(snapshot: &Snapshot, cx: &ScreenContext<'_>) -> Vec<Entry> {
    let set = snapshot.job().and_then(|job| cx.model.set(&job));
    let mine = set
        .and_then(|set| claimed(set, cx))
        .and_then(|members| members.into_iter().find(|m| m.snapshot == snapshot.id));
    let shown = mine.as_ref().map(|m| m.level).or(snapshot.verified_level());
    let (symbol, word, role) = level(shown);
    let (state, state_role) = state(snapshot);
    let mut out = vec![
        Entry::Section("Snapshot".into()),
        Entry::pair("Id", snapshot.id.as_str()),
        Entry::pair("Scope", snapshot.scope.to_string()),
        Entry::Pair("Level".into(), format!("{symbol} {word}"), role),
        Entry::pair("Origin", origin_words(&snapshot.origin)),
        Entry::pair(
            "Started",
            format!(
                "{} ({})",
                moment(snapshot.started),
                ago(snapshot.started, cx.now)
            ),
        ),
        Entry::Pair("State".into(), state, state_role),
        Entry::pair("Tier", &*snapshot.tier),
        Entry::pair("Volume", snapshot.volume.as_str()),
        Entry::pair("Volume size", format!("{} GiB", snapshot.volume_gib)),
        Entry::pair("Encrypted", if snapshot.encrypted { "yes" } else { "no" }),
        Entry::pair("Description", &*snapshot.description),
    ];
    if let Some(at) = snapshot.completed {
        out.insert(6, Entry::pair("Completed", moment(at)));
    }
    if let Some(mine) = mine {
        out.insert(4, Entry::pair("Because", mine.reason));
    }
    if let Some(bytes) = snapshot.full_bytes {
        out.push(Entry::pair(
            "Written blocks",
            format!("{} MiB", bytes / (1024 * 1024)),
        ));
    }
    if let Some(set) = set {
        set_facts(set, Some(&snapshot.id), cx, &mut out);
        account(set, cx, &mut out);
    }
    out.push(Entry::Section(format!("Tags ({})", snapshot.tags.0.len())));
    for (key, value) in snapshot.tags.iter() {
        let role = if key == tags::PIN {
            Role::Accent
        } else {
            Role::Text
        };
        out.push(Entry::Pair(key.to_owned(), value.to_owned(), role));
    }
    out
}

fn origin_words(origin: &Origin) -> String {
    match origin {
        Origin::Freezeframe => "freezeframe".to_owned(),
        Origin::Dlm { policy } => format!("Data Lifecycle Manager, policy {policy}"),
        Origin::AwsBackup => "AWS Backup, which keeps it; EC2 refuses to delete it".to_owned(),
        Origin::Image { image } => format!("held by image {image}"),
        Origin::Copy { of } => format!("a copy, or another tool's, with the tags of {of}"),
        Origin::Manual => "made by hand or by another tool".to_owned(),
    }
}
