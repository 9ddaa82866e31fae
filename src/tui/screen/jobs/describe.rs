//! One job in full: what was asked, its phases, its set, the evidence, what went wrong.

use chrono::{DateTime, Utc};

use crate::config::theme::Role;
use crate::domain::job::{JobView, Member, Phase};
use crate::domain::naming;
use crate::domain::proof;
use crate::tui::contract::ScreenContext;
use crate::tui::model::DrivenBy;
use crate::tui::style;
use crate::tui::widget::details::Entry;
use crate::tui::widget::{evidence, lane, text};

/// The job as sections of names and values; live while it runs.
pub fn entries(job: &JobView, cx: &ScreenContext<'_>) -> Vec<Entry> {
    let now = cx.now;
    let mut out = Vec::new();
    outcome(job, now, &mut out);
    if job.phase != Phase::Done && !job.only_copies() {
        out.extend(driver(job, cx).map(|words| Entry::Words(words, Role::Muted)));
    }
    phases(job, now, &mut out);
    preflight(job, &mut out);
    set(job, &mut out);
    out.extend(evidence::of_job(job));
    out.extend(evidence::kept(&job.evidence.positions, Some(job)));
    asked(job, &mut out);
    out
}

/// The sentence on the process that drives a job, where that is not this console.
fn driver(job: &JobView, cx: &ScreenContext<'_>) -> Option<String> {
    let words = match cx.model.driver(job) {
        DrivenBy::Here => return None,
        DrivenBy::SettledHere => {
            let doing = job.waiting.as_deref().unwrap_or("its thaw comes first");
            return Some(format!(
                "The process that drove it is gone. This console settles it: {doing}."
            ));
        }
        DrivenBy::Another => "Another process drives it; x thaws it under that one.",
        DrivenBy::Nobody if cx.model.writes_refused().is_some() => {
            "The process that drove it is gone, and this console may write nothing: `freezeframe jobs resume` thaws and \
             settles it."
        }
        DrivenBy::Nobody if job.nothing_found_at().is_some() => {
            let ago = job
                .nothing_found_at()
                .map_or(0, |at| (cx.now - at).num_seconds().max(0));
            return Some(format!(
                "The process that drove it is gone. This console sent its thaw {ago} s ago and found nothing frozen; it does so \
                 again until the command that freezes can no longer begin."
            ));
        }
        DrivenBy::Nobody => {
            "The process that drove it is gone. This console resumes it by itself; x does it at once."
        }
        DrivenBy::OutOfReach => "It runs in the lab of another process; stop it there.",
    };
    Some(words.to_owned())
}

fn outcome(job: &JobView, now: DateTime<Utc>, out: &mut Vec<Entry>) {
    let (symbol, word, role) = lane::standing(job);
    out.push(Entry::Section(format!(
        "{} {word}",
        if job.thaw_unconfirmed { "!!!" } else { symbol }
    )));
    if job.thaw_unconfirmed {
        out.push(Entry::Words(
            format!(
                "Nobody could confirm that the filesystems of {} are thawed. The failsafe on the instance \
                 thaws by itself when its {} s are spent. Look at the instance now: writes may hang.",
                naming::full(Some(&job.spec.instance_name), job.spec.instance.as_str()),
                job.spec.budget_s
            ),
            role,
        ));
    }
    if job.spec.freeze_root && job.phase < Phase::Verifying {
        out.push(Entry::Words(
            "! / is frozen too, last in and first out: while it lasts nothing on the instance can write.".into(),
            Role::Warn,
        ));
    }
    if lane::may_be_frozen(job) {
        let words = job.held().words(now);
        out.push(Entry::Pair("frozen".into(), words, Role::Warn));
    }
    if let Some(delayed) = job.delayed_thaw() {
        out.push(Entry::Pair("thaw".into(), delayed.words(now), Role::Warn));
    }
    if let Some(ms) = lane::frozen_ms(job, now) {
        let budget = u64::from(job.spec.budget_s) * 1000;
        out.push(Entry::Pair(
            "frozen for".into(),
            format!(
                "{} {} of {} s",
                lane::millis(ms),
                lane::bar(ms, budget, 20),
                job.spec.budget_s
            ),
            lane::budget_role(ms, budget),
        ));
        if lane::is_overdue(job, now) {
            let words = if job.spec.third_party {
                "The budget is spent, and no failsafe of ours watches over somebody else's document. Look at the instance: \
                 writes may hang."
            } else {
                "The failsafe on the instance was due when the budget was spent; nothing has been heard from there since, \
                 and the count goes on until somebody tells. If it stays so, look at the instance."
            };
            out.push(Entry::Words(words.into(), Role::Error));
        }
    }
    if let Some(problem) = &job.error {
        out.push(Entry::Pair(
            "failed to".into(),
            problem.what.clone(),
            Role::Error,
        ));
        out.push(Entry::Pair(
            "because".into(),
            problem.cause.clone(),
            Role::Error,
        ));
        if let Some(code) = &problem.code {
            out.push(Entry::pair("AWS code", code));
        }
        if problem.may_have_happened {
            out.push(Entry::Pair(
                "note".into(),
                "no answer came; it may have been carried out all the same".into(),
                Role::Warn,
            ));
        }
        out.push(Entry::Pair(
            "next".into(),
            problem.hint.clone(),
            Role::Accent,
        ));
    }
    if let Some(lowered) = proof::lowered(job) {
        out.push(Entry::Pair(
            format!("not {}", lowered.asked),
            lowered.why,
            Role::Warn,
        ));
        out.extend(
            lowered
                .hint
                .map(|hint| Entry::Pair("next".into(), hint, Role::Accent)),
        );
    }
    if let Some(ms) = job.freeze_window_ms {
        out.push(Entry::pair(
            "freeze window",
            format!(
                "{}, measured on the instance (budget {} s)",
                lane::millis(ms),
                job.spec.budget_s
            ),
        ));
    }
}

fn asked(job: &JobView, out: &mut Vec<Entry>) {
    let spec = &job.spec;
    out.push(Entry::Section("Asked for".into()));
    out.push(Entry::pair(
        "instance",
        naming::full(Some(&spec.instance_name), spec.instance.as_str()),
    ));
    out.push(Entry::pair("account", spec.scope.to_string()));
    let whose = if spec.third_party {
        " (somebody else's)"
    } else {
        ""
    };
    out.push(Entry::pair(
        "recipe",
        format!("{} by document {}{whose}", spec.recipe, spec.document),
    ));
    out.push(Entry::pair("mode", spec.mode_words()));
    out.push(Entry::pair(
        "budget",
        format!("{} s, on failure {}", spec.budget_s, spec.on_failure),
    ));
    let mounts = if spec.mounts.is_empty() {
        "every one that qualifies".to_owned()
    } else {
        spec.mounts.join(" ")
    };
    out.push(Entry::pair("mounts", mounts));
    out.push(if spec.freeze_root {
        Entry::Pair(
            "freeze /".into(),
            "yes, last in and first out".into(),
            Role::Warn,
        )
    } else {
        Entry::pair("freeze /", "no: the root volume is crash-consistent")
    });
    for (n, (name, value)) in spec.parameters.iter().enumerate() {
        let label = if n == 0 { "parameters" } else { "" };
        out.push(Entry::pair(label, format!("{name}={value}")));
    }
    if let Some(group) = &spec.group {
        out.push(Entry::pair(
            "group",
            format!("{group}, frozen one after another"),
        ));
    }
    out.push(Entry::pair("job", spec.job.as_str()));
    out.push(Entry::pair("run", spec.run.as_str()));
}

fn phases(job: &JobView, now: DateTime<Utc>, out: &mut Vec<Entry>) {
    out.push(Entry::Section("Phases".into()));
    for record in &job.phases {
        let current = record.phase == job.phase && job.phase != Phase::Done;
        let (symbol, role) = match (record.failed, current) {
            (true, _) => ("✘", Role::Error),
            (false, true) => ("▶", Role::Accent),
            (false, false) => ("✔", Role::Text),
        };
        let time = lane::lasted(record, job, now)
            .map(lane::took)
            .unwrap_or_default();
        let mut value = format!(
            "{symbol} {} from {}",
            text::pad(&time, 7, true),
            style::moment(record.started)
        );
        if current && record.phase == Phase::Completing {
            value.push_str(&format!(
                "  {} % {}",
                job.progress(),
                lane::bar(job.progress().into(), 100, 10)
            ));
        }
        out.push(Entry::Pair(record.phase.to_string(), value, role));
    }
}

/// What the instance's dry run wants people to know.
fn preflight(job: &JobView, out: &mut Vec<Entry>) {
    if job.preflight_notes.is_empty() {
        return;
    }
    out.push(Entry::Section("Preflight noted".into()));
    for note in &job.preflight_notes {
        out.push(Entry::Item("! ".into(), note.clone(), Role::Warn));
    }
}

fn set(job: &JobView, out: &mut Vec<Entry>) {
    out.push(Entry::Section(format!("Set ({} snapshots)", job.set.len())));
    if job.set.is_empty() {
        let words = match job.phase {
            Phase::Done => "no snapshot was made",
            Phase::Thawing | Phase::Verifying => {
                "told once the instance is thawed and its set is judged"
            }
            _ => "none so far",
        };
        out.push(Entry::Words(words.into(), Role::Muted));
    }
    for member in &job.set {
        let Member {
            snapshot,
            volume,
            device,
            level,
            reason,
            progress,
            volume_gib,
        } = member;
        let (symbol, word, role) = style::level(Some(*level));
        out.push(Entry::Pair(
            snapshot.to_string(),
            format!("{symbol} {word} · {device} · {volume} · {volume_gib} GiB · {progress} %"),
            role,
        ));
        if !reason.is_empty() {
            out.push(Entry::Pair(String::new(), reason.clone(), Role::Muted));
        }
    }
}
