//! The review before a run: which instances, with which recipe, what will be refused at once and why.

mod set;

use crate::domain::state::InstanceState;
use std::cell::Cell as Slot;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use strum::Display;

use super::fleet::refusal;
use crate::config::theme::Role;
use crate::domain::connection::{self, Forecast};
use crate::domain::ids::{InstanceId, RunId};
use crate::domain::instance::{Agent, Instance};
use crate::domain::job::{JobView, OnFailure};
use crate::domain::mode::{self, AskedMode, ChosenMode, NoMode};
use crate::domain::set_plan::SetOptions;
use crate::domain::tags::Tags;
use crate::tui::action::Action;
use crate::tui::contract::{Reaction, Request, Screen, ScreenContext, ScreenId, Subject};
use crate::tui::effect::RunRequest;
use crate::tui::model::Model;
use crate::tui::widget::dialog;
use crate::tui::widget::form::{Field, Focus, Form};
use crate::tui::widget::text;

const ON_FAILURE: [OnFailure; 2] = [OnFailure::Skip, OnFailure::CrashConsistent];
const MODES: [AskedMode; 3] = [
    AskedMode::Auto,
    AskedMode::Coordinated,
    AskedMode::Autonomous,
];
/// So many lines of the instances are seen before the whole form is.
const LEAST_REVIEW: usize = 4;
/// So many before the notes are that warn of nothing: what stands at an instance comes first.
const NOTED_REVIEW: usize = 6;
/// The first choice of a recipe: every instance by its own tag.
const BY_TAG: &str = "by tag";

/// What the choices mean.
const EXPLAINED: &[&str] = &[
    "recipe: how the instances are quiesced; by tag takes what each one's tag ConsistentSnapshot says.",
    "mode: autonomous, the instance asks for the snapshots itself, with its own role: the shorter freeze; coordinated, \
     this console asks for them while the instance is frozen; auto, autonomous where the instance's dry run proves that \
     its role may, coordinated elsewhere: each lane says which, and why.",
    "freeze / too: only an instance that asks for its snapshots itself may freeze /; others are refused. It goes last in and first out. Without it the root volume is in \
     the set, never more than crash-consistent.",
    "frozen at most: after that many seconds the failsafe on the instance thaws, whatever happens. Empty: as each \
     recipe says.",
    "if it cannot freeze: skip takes no snapshot; crash-consistent takes one and says so.",
    "root volumes: left out, the sets hold the data volumes alone (--exclude-root).",
    "leave out: ids of volumes that are not to be in the sets, with commas or blanks between them (--exclude-volume); \
     the tag freezeframe:exclude on a volume does it for every run.",
    "own tags: what every snapshot gets beside the volumes' tags and those of the configuration, KEY=VALUE, with \
     commas between them (--set-tag).",
];

/// Places of the fields.
mod field {
    pub const RECIPE: usize = 0;
    pub const MODE: usize = 1;
    pub const ROOT: usize = 2;
    pub const BUDGET: usize = 3;
    pub const ON_FAILURE: usize = 4;
    pub const ROOT_VOLUMES: usize = 5;
    pub const LEFT_OUT: usize = 6;
    pub const TAGS: usize = 7;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display)]
enum Button {
    Cancel,
    Start,
}

const BUTTONS: [Button; 2] = [Button::Cancel, Button::Start];

/// The dialog.
pub struct SnapshotDialog {
    instances: Vec<InstanceId>,
    /// Recipes to choose from, after [`BY_TAG`].
    recipes: Vec<String>,
    form: Form,
    /// Lines of the review that are passed over, and how many there are beyond those shown.
    offset: usize,
    hidden: Slot<usize>,
    shown: Slot<usize>,
}

impl SnapshotDialog {
    /// A review of these instances; the focus is on Start.
    pub fn new(instances: Vec<InstanceId>, model: &Model) -> Self {
        let recipes: Vec<String> = model.recipes.all().iter().map(|r| r.name.clone()).collect();
        let names = std::iter::once(BY_TAG.to_owned())
            .chain(recipes.iter().cloned())
            .collect();
        // Where recipes have budgets of their own, no single number would be true of all.
        let usual = model.recipes.budget_s();
        let same = model.recipes.all().iter().all(|r| r.budget_s == usual);
        let fields = vec![
            Field::choice("recipe", names),
            Field::choice("mode", MODES.iter().map(ToString::to_string).collect()).choosing(
                MODES
                    .iter()
                    .position(|m| *m == model.mode)
                    .unwrap_or_default(),
            ),
            Field::choice("freeze / too", vec!["no".to_owned(), "yes".to_owned()]),
            Field::text(
                "frozen at most (s)",
                if same {
                    usual.to_string()
                } else {
                    String::new()
                },
            ),
            Field::choice(
                "if it cannot freeze",
                ON_FAILURE.iter().map(ToString::to_string).collect(),
            )
            .choosing(
                ON_FAILURE
                    .iter()
                    .position(|o| *o == model.on_failure)
                    .unwrap_or_default(),
            ),
            Field::choice(
                "root volumes",
                vec!["in the sets".to_owned(), "left out".to_owned()],
            ),
            Field::text("leave out", ""),
            Field::text("own tags", ""),
        ];
        let buttons = BUTTONS.iter().map(ToString::to_string).collect();
        let mut dialog = Self {
            instances,
            recipes,
            form: Form::new(fields, buttons, 1),
            offset: 0,
            hidden: Slot::new(0),
            shown: Slot::new(1),
        };
        dialog.settle();
        dialog
    }

    /// Of which instances it is to be asked whether their agents are connected: those that are called online.
    pub fn asks_of_connections(&self, model: &Model) -> Vec<InstanceId> {
        let online = |id: &&InstanceId| {
            let instance = model.instance(id);
            instance.is_some_and(|i| {
                i.state == InstanceState::Running
                    && matches!(i.agent, Agent::Online { .. } | Agent::Unknown)
            })
        };
        self.instances.iter().filter(online).cloned().collect()
    }

    /// The warning that an instance's agent is called online and is not connected, and what its job would do.
    fn unconnected(&self, instance: &Instance, model: &Model) -> Option<String> {
        let word = self.recipe().or(instance.recipe_tag())?;
        let recipe = model.recipes.find(word)?;
        // Whether somebody else's document has a dry run is read by its job.
        let forecast = Forecast::of(model.connected(&instance.id), !recipe.third_party);
        let then = match forecast {
            Forecast::Clear => return None,
            Forecast::Uncertain => connection::MAY_STILL_ANSWER,
            Forecast::Refused => {
                "without a dry run in its document its job is refused; with one, it finds out in seconds"
            }
        };
        Some(format!("{}; {then}", connection::CAUSE))
    }

    /// What one choice rules out for another.
    fn settle(&mut self) {
        let coordinated = self.mode() == AskedMode::Coordinated;
        self.form.set_off(
            field::ROOT,
            coordinated
                .then_some("not in coordinated mode")
                .or(self.excludes_root().then_some("root volumes are left out")),
        );
        self.form.set_off(
            field::ROOT_VOLUMES,
            self.freeze_root().then_some("/ is frozen, so in the sets"),
        );
    }

    fn mode(&self) -> AskedMode {
        MODES
            .get(self.form.chosen(field::MODE))
            .copied()
            .unwrap_or_default()
    }

    fn freeze_root(&self) -> bool {
        self.mode() != AskedMode::Coordinated
            && self.form.chosen(field::ROOT) == 1
            && !self.excludes_root()
    }

    fn excludes_root(&self) -> bool {
        self.form.chosen(field::ROOT_VOLUMES) == 1
    }

    /// Reads the form's options for the sets; the second value lists the fields that are wrong, and why.
    fn set_options(&self, model: &Model) -> (SetOptions, Vec<(usize, String)>) {
        let chosen = self.instances.iter().filter_map(|id| model.instance(id));
        let chosen: Vec<&Instance> = chosen.collect();
        let exclude = set::left_out(self.form.value(field::LEFT_OUT), &chosen);
        let tags = set::own_tags(self.form.value(field::TAGS), &model.tagging);
        let mut wrong = Vec::new();
        let options = SetOptions {
            exclude_root: self.excludes_root(),
            exclude: exclude.unwrap_or_else(|why| {
                wrong.push((field::LEFT_OUT, why));
                Vec::new()
            }),
            tags: tags.unwrap_or_else(|why| {
                wrong.push((field::TAGS, why));
                Tags::default()
            }),
            keep_tags: Vec::new(),
        };
        (options, wrong)
    }

    /// The recipe for all; `None` is by tag.
    fn recipe(&self) -> Option<&str> {
        let at = self.form.chosen(field::RECIPE).checked_sub(1)?;
        self.recipes.get(at).map(String::as_str)
    }

    /// The budget; `None` is each recipe's own.
    fn budget(&self) -> Result<Option<u32>, String> {
        let typed = self.form.value(field::BUDGET).trim();
        if typed.is_empty() {
            return Ok(None);
        }
        match typed.parse::<u32>() {
            Ok(seconds) if (1..=999).contains(&seconds) => Ok(Some(seconds)),
            _ => Err("1 to 999 seconds".to_owned()),
        }
    }

    /// What the choices mean for the instances, said before Start.
    fn notes(&self, model: &Model) -> Vec<(String, Role)> {
        let mut notes = Vec::new();
        match (self.mode(), self.freeze_root()) {
            (AskedMode::Coordinated, _) if self.excludes_root() => {}
            (AskedMode::Auto, false) if self.excludes_root() => notes.push((
                "Auto: the instance asks for the snapshots itself where its dry run proves that its role may, else this \
                 console does."
                    .to_owned(),
                Role::Muted,
            )),
            (AskedMode::Autonomous, false) if self.excludes_root() => notes.push((
                "The instance asks for the snapshots itself; its role must allow it.".to_owned(),
                Role::Muted,
            )),
            (AskedMode::Coordinated, _) => notes.push((
                "Root volumes are in the set but not frozen: never more than crash.".to_owned(),
                Role::Muted,
            )),
            (AskedMode::Auto, false) => notes.push((
                "Auto: the instance asks for the snapshots itself where its dry run proves that its role may, else this \
                 console does. / is not frozen: never more than crash."
                    .to_owned(),
                Role::Muted,
            )),
            (AskedMode::Autonomous, false) => notes.push((
                "The instance asks for the snapshots itself; its role must allow it. / is not frozen: never more \
                 than crash."
                    .to_owned(),
                Role::Muted,
            )),
            (_, true) => notes.push((
                "! / is frozen too, last in and first out. While it lasts nothing on the instance can write, its SSM \
                 agent and its logs included; should the script die, only the failsafe thaws."
                    .to_owned(),
                Role::Warn,
            )),
        }
        if self.budget() == Ok(None) {
            notes.push((
                "Frozen at most: as each recipe says.".to_owned(),
                Role::Muted,
            ));
        }
        let tags = set::words(&self.set_options(model).0.tags, &model.tagging);
        notes.extend(tags.map(|words| (words, Role::Muted)));
        notes
    }

    /// Instances and why each is refused, if it is.
    fn review<'a>(
        &'a self,
        cx: &'a ScreenContext<'_>,
    ) -> impl Iterator<Item = (&'a InstanceId, Option<String>)> {
        let (set, _) = self.set_options(cx.model);
        self.instances.iter().map(move |id| {
            let reason = match cx.model.instance(id) {
                None => Some("it is no longer there".to_owned()),
                Some(instance) => refusal(instance, self.recipe(), &cx.model.recipes)
                    .or_else(|| self.not_in_this_mode(instance, cx.model))
                    .or_else(|| {
                        let there = |job: &JobView| {
                            job.spec.instance == *id && !cx.model.is_out_of_reach(job)
                        };
                        let busy = cx.model.running().any(there);
                        busy.then(|| "another job runs on it".to_owned())
                    })
                    .or_else(|| cx.model.set_notes(id, &set).err()),
            };
            (id, reason)
        })
    }

    /// Why the mode that is asked for cannot be had there.
    fn not_in_this_mode(&self, instance: &Instance, model: &Model) -> Option<String> {
        self.mode_there(instance, model)?.err()?;
        let word = self.recipe().or(instance.recipe_tag())?;
        let hint = if self.freeze_root() {
            "leave freeze / too at no"
        } else {
            "choose coordinated or auto"
        };
        Some(format!("{word} cannot take snapshots itself; {hint}"))
    }

    /// The mode as far as it is known now.
    fn mode_there(
        &self,
        instance: &Instance,
        model: &Model,
    ) -> Option<Result<Option<ChosenMode>, NoMode>> {
        let word = self.recipe().or(instance.recipe_tag())?;
        let recipe = model.recipes.find(word)?;
        let able = mode::Able {
            document: &recipe.document,
            third_party: recipe.third_party,
        };
        Some(mode::before(self.mode(), self.freeze_root(), able))
    }

    /// The mode, said beside the recipe of an instance that will run.
    fn mode_words(&self, instance: &Instance, model: &Model) -> String {
        match self.mode_there(instance, model) {
            Some(Ok(Some(chosen))) if self.mode() == AskedMode::Auto => {
                format!(", {}: {}", chosen.mode, chosen.reason)
            }
            // The mode that was asked for stands above.
            Some(Ok(_)) => String::new(),
            Some(Err(_)) | None => String::new(),
        }
    }

    fn start(&mut self, cx: &ScreenContext<'_>) -> Vec<Request> {
        let budget_s = match self.budget() {
            Ok(seconds) => seconds,
            Err(error) => {
                self.form.set_focus(Focus::Field(field::BUDGET));
                return vec![Request::Say(format!("frozen at most: {error}"))];
            }
        };
        let (set, wrong) = self.set_options(cx.model);
        if let Some((field, error)) = wrong.into_iter().next() {
            self.form.set_focus(Focus::Field(field));
            return vec![Request::Say(error)];
        }
        if let Some(reason) = cx.model.writes_refused() {
            return vec![Request::Say(format!("refused: {reason}"))];
        }
        if self.review(cx).all(|(_, reason)| reason.is_some()) {
            return vec![Request::Say(
                "every instance would be refused; nothing to start".to_owned(),
            )];
        }
        let run = RunId::from_api((cx.new_id)());
        let request = RunRequest {
            run: run.clone(),
            instances: self.instances.clone(),
            recipe: self.recipe().map(str::to_owned),
            mode: self.mode(),
            freeze_root: self.freeze_root(),
            budget_s,
            on_failure: ON_FAILURE
                .get(self.form.chosen(field::ON_FAILURE))
                .copied()
                .unwrap_or_default(),
            set,
        };
        vec![
            Request::Close,
            Request::StartRun(request),
            Request::Go(ScreenId::Jobs, Subject::Run(run)),
        ]
    }

    /// What the choices override of what this instance would get by its tag.
    fn overridden(&self, instance: &Instance, model: &Model) -> Vec<String> {
        let mut out = Vec::new();
        let tag = instance.recipe_tag();
        let by_tag = tag.and_then(|tag| model.recipes.find(tag));
        let chosen = self.recipe().and_then(|name| model.recipes.find(name));
        if let (Some(tag), Some(chosen)) = (tag, chosen) {
            out.extend(model.recipes.given_up(tag, chosen));
        }
        if let (Some(recipe), Ok(Some(budget))) = (chosen.or(by_tag), self.budget())
            && recipe.budget_s != budget
        {
            out.push(format!(
                "{} says frozen at most {} s, not {budget} s",
                recipe.name, recipe.budget_s
            ));
        }
        out
    }

    /// The instances, those that will run first: name, id, recipe, and what a choice overrides; or why not. The id
    /// is whole where it fits.
    fn lines(&self, cells: usize, cx: &ScreenContext<'_>) -> Vec<Line<'static>> {
        let mut rows: Vec<_> = self.review(cx).collect();
        let (set, _) = self.set_options(cx.model);
        let noted = |id: &InstanceId| cx.model.set_notes(id, &set).unwrap_or_default();
        // What a choice overrides is seen first.
        let overrides = |id: &InstanceId| {
            let instance = cx.model.instance(id);
            instance.is_some_and(|i| {
                !self.overridden(i, cx.model).is_empty()
                    || self.unconnected(i, cx.model).is_some()
                    || !noted(&i.id).is_empty()
            })
        };
        rows.sort_by_cached_key(|(id, reason)| {
            let refused = reason.is_some();
            (
                refused,
                !refused && !overrides(id),
                cx.model.instance_name(id),
            )
        });
        let recipe = |id: &InstanceId| {
            let instance = cx.model.instance(id);
            let recipe = instance.and_then(|i| self.recipe().or(i.recipe_tag()));
            recipe.unwrap_or("—").to_owned()
        };
        let runs_by = |id: &InstanceId| {
            let instance = cx.model.instance(id);
            let mode = instance.map(|i| self.mode_words(i, cx.model));
            format!("{}{}", recipe(id), mode.unwrap_or_default())
        };
        let widest = |of: &dyn Fn(&InstanceId) -> String| {
            rows.iter().map(|(id, _)| text::width(&of(id))).max()
        };
        let recipes = widest(&recipe).unwrap_or(0);
        let whole = |id: &InstanceId| cx.model.named_full(id);
        let short = |id: &InstanceId| cx.model.named_short(id);
        let names = widest(&whole).unwrap_or(0);
        let fits = names <= cells / 2 && names + recipes + 4 <= cells;
        let names = if fits {
            names
        } else {
            // What is refused needs room to say why.
            let most = cells.saturating_sub(recipes + 4).min(cells * 2 / 5);
            widest(&short).unwrap_or(0).min(most.max(cells / 3))
        };
        let mut out = Vec::new();
        for (id, reason) in rows {
            let name = if fits { whole(id) } else { short(id) };
            let name = text::pad_middle(&name, names);
            let runs = reason.is_none();
            let (mark, words, role) = match reason {
                None => ("✓", runs_by(id), Role::Ok),
                Some(reason) => ("✗", format!("refused: {reason}"), Role::Warn),
            };
            let room = cells.saturating_sub(names + 4);
            let mut head = vec![
                Span::styled(format!("{mark} "), cx.styles.get(role)),
                Span::styled(format!("{name}  "), cx.styles.get(Role::Text)),
            ];
            for (n, part) in text::wrap(&words, room).into_iter().enumerate() {
                if n > 0 {
                    head = vec![Span::raw(" ".repeat(names + 4))];
                }
                head.push(Span::styled(part, cx.styles.get(role)));
                out.push(Line::from(std::mem::take(&mut head)));
            }
            let instance = cx.model.instance(id).filter(|_| runs);
            let overridden = instance.map_or_else(Vec::new, |i| self.overridden(i, cx.model));
            // What is left out of its set, what is left off its snapshots, restored copies that it holds.
            let noted = instance.map_or_else(Vec::new, |i| noted(&i.id));
            let unconnected = instance.and_then(|i| self.unconnected(i, cx.model));
            for words in unconnected.into_iter().chain(overridden).chain(noted) {
                let parts = text::wrap(&words, cells.saturating_sub(4));
                for (n, part) in parts.into_iter().enumerate() {
                    let mark = if n == 0 { "!" } else { " " };
                    out.push(Line::styled(
                        format!("  {mark} {part}"),
                        cx.styles.get(Role::Warn),
                    ));
                }
            }
        }
        out
    }

    /// How many lines the form may take: all of it where the review has room as well, else so many that the
    /// first instances of the review are still seen, and what has the focus with them.
    fn form_height(&self, inner: u16, review: usize) -> u16 {
        let all = self.form.height();
        let review = u16::try_from(review.min(LEAST_REVIEW)).unwrap_or(u16::MAX);
        // The count stands above it.
        let left = inner.saturating_sub(review.saturating_add(1)).max(1);
        all.min(left).min(inner)
    }
}

impl Screen for SnapshotDialog {
    fn title(&self, _cx: &ScreenContext<'_>) -> String {
        "Consistent snapshots".to_owned()
    }

    fn purpose(&self) -> &'static str {
        "The review before a run: what will run and what is refused, and how; nothing begins before Start."
    }

    fn says(
        &self,
        action: Action,
        _cx: &ScreenContext<'_>,
    ) -> Option<(&'static str, &'static str)> {
        self.form.says(action)
    }

    fn handles(&self, action: Action, _cx: &ScreenContext<'_>) -> bool {
        match action {
            Action::Back => true,
            Action::PageDown | Action::PageUp => self.hidden.get() > 0,
            _ => self.form.handles(action),
        }
    }

    fn act(&mut self, action: Action, cx: &ScreenContext<'_>) -> Reaction {
        let page = self.shown.get().max(1);
        match action {
            Action::Back => return Reaction::ask(Request::Close),
            Action::PageDown => {
                self.offset = (self.offset + page).min(self.hidden.get());
                return Reaction::done();
            }
            Action::PageUp => {
                self.offset = self.offset.min(self.hidden.get()).saturating_sub(page);
                return Reaction::done();
            }
            _ => {}
        }
        if !self.form.handles(action) {
            return Reaction::Ignored;
        }
        let pressed = self.form.act(action);
        self.settle();
        match pressed.and_then(|i| BUTTONS.get(i)) {
            None => Reaction::done(),
            Some(Button::Cancel) => Reaction::ask(Request::Close),
            Some(Button::Start) => Reaction::Done(self.start(cx)),
        }
    }

    fn typing(&self) -> bool {
        self.form.typing()
    }

    fn type_key(&mut self, key: KeyEvent, _cx: &ScreenContext<'_>) -> Vec<Request> {
        // The budget is a number.
        if self.form.focus() == Focus::Field(field::BUDGET)
            && let KeyCode::Char(c) = key.code
            && !c.is_ascii_digit()
            && key.modifiers.difference(KeyModifiers::SHIFT).is_empty()
        {
            return match c {
                '?' => vec![Request::Help],
                _ => vec![Request::Say("seconds, 1 to 999: digits only".to_owned())],
            };
        }
        self.form.type_key(key);
        Vec::new()
    }

    fn explained(&self) -> &'static [&'static str] {
        EXPLAINED
    }

    fn paste(&mut self, pasted: &str, _cx: &ScreenContext<'_>) {
        self.form.paste(pasted);
    }

    fn view(&self, frame: &mut Frame<'_>, area: Rect, cx: &ScreenContext<'_>) {
        let width = area.width.saturating_sub(6).min(86);
        let lines = self.lines(usize::from(width), cx);
        let will = self
            .review(cx)
            .filter(|(_, reason)| reason.is_none())
            .count();
        let all = self.instances.len();
        let said = |warnings: bool| -> Vec<Line<'_>> {
            self.notes(cx.model)
                .into_iter()
                .filter(|(_, role)| !warnings || *role == Role::Warn)
                .flat_map(|(words, role)| {
                    text::wrap(&words, usize::from(width))
                        .into_iter()
                        .map(move |line| Line::styled(line, cx.styles.get(role)))
                })
                .collect()
        };
        let notes = said(false);
        let height = u16::try_from(lines.len() + notes.len()).unwrap_or(u16::MAX);
        let wanted = height.saturating_add(3).saturating_add(self.form.height());
        let inner = dialog::open(
            frame,
            area,
            &cx.model.titled("Consistent snapshots"),
            (width, wanted),
            cx.styles,
        );
        let below = self.form_height(inner.height, lines.len());
        let above = usize::from(inner.height - below);
        let head = format!("{will} of {all} will run, {}:", self.mode());
        let mut shown = vec![Line::styled(
            text::fit(&head, usize::from(inner.width)),
            cx.styles
                .get(if will == 0 { Role::Warn } else { Role::Title }),
        )];
        // One line for the count; the notes, after a blank one, where the instances leave room for them; the last line
        // of the instances tells how many more there are.
        let left = above.saturating_sub(1);
        let notes = if left > notes.len() + lines.len().min(NOTED_REVIEW) {
            notes
        } else {
            said(true)
        };
        let noted = !notes.is_empty() && left > notes.len() + lines.len().min(LEAST_REVIEW);
        let room = if noted { left - notes.len() - 1 } else { left };
        let all_lines = lines.len();
        if all_lines > room {
            let fits = room.saturating_sub(1);
            self.hidden.set(all_lines - fits);
            self.shown.set(fits);
            let offset = self.offset.min(all_lines - fits);
            shown.extend(lines.into_iter().skip(offset).take(fits));
            let words = format!(
                "… lines {}–{} of {all_lines}, PgDn PgUp",
                (offset + 1).min(offset + fits),
                offset + fits
            );
            shown.push(Line::styled(words, cx.styles.get(Role::Muted)));
        } else {
            self.hidden.set(0);
            shown.extend(lines);
        }
        if noted {
            shown.push(Line::default());
            shown.extend(notes);
        }
        for (line, row) in shown.into_iter().zip(inner.rows().take(above)) {
            frame.render_widget(line, row);
        }
        // An id or a tag that is being typed is not wrong yet.
        let at = self.form.focus();
        let left = self.set_options(cx.model).1.into_iter();
        let left = left.filter(|(field, _)| at != Focus::Field(*field));
        let budget = self.budget().err().map(|e| (field::BUDGET, e));
        let errors: Vec<(usize, String)> = budget.into_iter().chain(left).collect();
        let dim = if will == 0 || cx.model.writes_refused().is_some() {
            vec![1]
        } else {
            Vec::new()
        };
        let at = Rect {
            y: inner.bottom() - below,
            height: below,
            ..inner
        };
        self.form.view(frame, at, cx.styles, &errors, &dim);
    }

    fn is_dialog(&self) -> bool {
        true
    }
}
