//! A job as a lane: who, which recipe, where it stands, how long each phase took, how much of the
//! freeze budget is spent. Pure: job, now and width in, lines out.

use chrono::{DateTime, Duration, Utc};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::text;
use crate::config::theme::Role;
use crate::domain::held::Held;
use crate::domain::job::{JobView, Mode, Phase, PhaseRecord, Verdict};
use crate::domain::mode::AskedMode;
use crate::domain::naming;
use crate::domain::proof;
use crate::tui::style::{self, Styles};

/// From this width on a lane has two lines.
pub const WIDE: usize = 100;

/// From this width on a lane has room for a sentence.
const FULL: usize = 140;

/// Share of the budget (in percent) from which the bar warns, and from which it alarms.
const WARN_AT: u64 = 50;
const ERROR_AT: u64 = 80;

/// Where a job stands: symbol, word, role. Uncertain thaws come before everything.
pub fn standing(job: &JobView) -> (&'static str, &'static str, Role) {
    if job.thaw_unconfirmed {
        return ("!", "THAW UNCONFIRMED", Role::Error);
    }
    match job.verdict {
        _ if job.has_pending_labels() => ("▲", "labels pending", Role::Warn),
        Some(verdict) => verdict_look(verdict),
        None if job.phase == Phase::Done => ("?", "ended without a verdict", Role::Warn),
        None if is_frozen(job) => ("❄", job.held().word(), Role::Frozen),
        None if may_be_frozen(job) => ("❄", job.held().word(), Role::Warn),
        None if job.is_thawed() => ("▶", "thawed", Role::Accent),
        None if job.phase == Phase::Queued => ("·", "queued", Role::Muted),
        None => ("▶", phase_word(job.phase), Role::Accent),
    }
}

/// Symbol, word and role of a verdict.
pub fn verdict_look(verdict: Verdict) -> (&'static str, &'static str, Role) {
    match verdict {
        Verdict::Application => ("✔", "application", Role::LevelApplication),
        Verdict::Filesystem => ("✔", "filesystem", Role::LevelFilesystem),
        Verdict::Crash => ("▲", "crash", Role::LevelCrash),
        Verdict::Skipped => ("○", "skipped", Role::Muted),
        Verdict::Failed => ("✘", "failed", Role::Error),
        Verdict::Cancelled => ("■", "cancelled", Role::Warn),
    }
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Preflight => "preflight",
        Phase::Quiescing => "quiescing",
        Phase::Frozen => "frozen",
        Phase::Snapshotting => "snapshotting",
        Phase::Thawing => "thawing",
        Phase::Verifying => "verifying",
        Phase::Completing => "completing",
        Phase::Done => "done",
    }
}

/// Whether something may be frozen, and nobody here knows.
pub fn may_be_frozen(job: &JobView) -> bool {
    matches!(job.held(), Held::MayBeFrozen { .. })
}

/// Whether the job holds a freeze now, as far as the console knows.
pub fn is_frozen(job: &JobView) -> bool {
    matches!(job.held(), Held::Frozen { .. })
}

/// Milliseconds since the freeze began; `None` when nothing is frozen.
pub fn frozen_ms(job: &JobView, now: DateTime<Utc>) -> Option<u64> {
    let Held::Frozen { since } = job.held() else {
        return None;
    };
    Some(u64::try_from((now - since).num_milliseconds()).unwrap_or(0))
}

/// Whether it counts as frozen only because nobody has told the console otherwise: its budget is spent, so the failsafe on
/// the instance, where there is one of ours, was due.
pub fn is_overdue(job: &JobView, now: DateTime<Utc>) -> bool {
    frozen_ms(job, now).is_some_and(|ms| ms > u64::from(job.spec.budget_s) * 1000)
}

/// Milliseconds for people, thousands apart: `412 ms`, `12,345 ms`.
pub fn millis(ms: u64) -> String {
    let digits = ms.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    format!("{out} ms")
}

/// A duration for people: `0.8s`, `59.9s`, `1m12s`, `2h03m`; negative ones (clock set back) are `0.0s`.
pub fn took(duration: Duration) -> String {
    let ms = duration.num_milliseconds().max(0);
    let s = ms / 1000;
    match s {
        ..=59 => format!("{s}.{}s", ms % 1000 / 100),
        60..=3599 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

/// A bar of `cells`, filled to `part` of `whole`.
pub fn bar(part: u64, whole: u64, cells: usize) -> String {
    let full = u64::try_from(cells).unwrap_or(0);
    // The last cell fills when all is spent, the first as soon as anything is.
    let filled = (part.min(whole) * full / whole.max(1))
        .max(u64::from(part.min(whole) > 0))
        .min(full);
    let filled = usize::try_from(filled).unwrap_or(cells);
    format!(
        "{}{}",
        "▮".repeat(filled),
        "▯".repeat(cells.saturating_sub(filled))
    )
}

/// The role of a freeze that has used `ms` of a budget of `budget_ms`.
pub fn budget_role(ms: u64, budget_ms: u64) -> Role {
    match ms.saturating_mul(100) / budget_ms.max(1) {
        ERROR_AT.. => Role::Error,
        WARN_AT.. => Role::Warn,
        _ => Role::Frozen,
    }
}

/// How long a phase lasted, or has lasted; queued and done have no time of their own.
pub fn lasted(record: &PhaseRecord, job: &JobView, now: DateTime<Utc>) -> Option<Duration> {
    match (record.phase, record.ended) {
        (Phase::Done, _) => None,
        (_, Some(ended)) => Some(ended - record.started),
        (phase, None) => (phase == job.phase && !job.is_thawed()).then(|| now - record.started),
    }
}

/// The lane, one line below [`WIDE`] cells, two from there on; `who` is how its instance is named.
pub fn lines(
    job: &JobView,
    who: &str,
    now: DateTime<Utc>,
    width: usize,
    styles: &Styles,
) -> Vec<Line<'static>> {
    let mut lines = vec![headline(job, who, now, width, styles)];
    if width >= WIDE {
        lines.push(phases(job, now, width, styles));
    }
    lines
}

/// How many lines a lane takes at that width.
pub fn height(width: usize) -> usize {
    if width >= WIDE { 2 } else { 1 }
}

fn loud(job: &JobView, style: Style) -> Style {
    if job.thaw_unconfirmed {
        style.add_modifier(Modifier::REVERSED | Modifier::BOLD)
    } else {
        style
    }
}

fn headline(
    job: &JobView,
    who: &str,
    now: DateTime<Utc>,
    width: usize,
    styles: &Styles,
) -> Line<'static> {
    let (symbol, word, role) = standing(job);
    let look = loud(job, styles.get(role));
    let (names, recipes) = match width {
        ..50 => (12, 0),
        50..WIDE => (16, 10),
        _ => (28, 18),
    };
    let mut spans = vec![
        Span::styled(format!("{symbol} "), look),
        Span::styled(text::pad_middle(who, names), styles.get(Role::Text)),
        Span::raw(" "),
    ];
    if recipes > 0 {
        // In a narrow lane what tells the recipes apart counts.
        let recipe = match job.spec.recipe.strip_prefix("linux-") {
            Some(short) if width < WIDE => short,
            _ => &job.spec.recipe,
        };
        spans.push(Span::styled(
            text::pad(recipe, recipes, false),
            styles.get(Role::Muted),
        ));
        spans.push(Span::raw(" "));
    }
    spans.push(Span::styled(word.to_owned(), look));
    rest(job, now, width, styles, &mut spans);
    fitted(spans, width)
}

/// What follows the word of the standing.
fn rest(
    job: &JobView,
    now: DateTime<Utc>,
    width: usize,
    styles: &Styles,
    spans: &mut Vec<Span<'static>>,
) {
    let text = styles.get(Role::Text);
    let muted = styles.get(Role::Muted);
    if let Some(ms) = frozen_ms(job, now) {
        let budget = u64::from(job.spec.budget_s) * 1000;
        let role = styles.get(budget_role(ms, budget));
        let cells = if width >= WIDE { 20 } else { 6 };
        let delayed = job.delayed_thaw();
        spans.push(Span::styled(format!(" {}", millis(ms)), role));
        if delayed.is_none() || width >= FULL {
            spans.push(Span::styled(format!(" {}", bar(ms, budget, cells)), role));
        }
        let of = match is_overdue(job, now) {
            true if job.spec.third_party => format!(" past {} s!", job.spec.budget_s),
            true if width < FULL => format!(" past {} s, no word", job.spec.budget_s),
            true => format!(
                " past {} s: its failsafe was due, and no word came since",
                job.spec.budget_s
            ),
            false => format!(" of {} s", job.spec.budget_s),
        };
        spans.push(Span::styled(of, role));
        if let Some(delayed) = delayed {
            let words = match width {
                ..FULL => delayed.short(now),
                _ => delayed.words(now),
            };
            spans.push(Span::styled(format!(" · {words}"), styles.get(Role::Warn)));
        } else if job.phase > Phase::Frozen {
            spans.push(Span::styled(format!(" · {}", phase_word(job.phase)), text));
        }
        return;
    }
    if job.thaw_unconfirmed {
        spans.push(Span::styled(
            " look at the instance now",
            styles.get(Role::Error),
        ));
        return;
    }
    if let held @ Held::MayBeFrozen { since, delivery } = job.held() {
        let warn = styles.get(Role::Warn);
        let words = match width {
            ..WIDE => {
                let says = delivery.map_or_else(String::new, |d| format!(" · {d}"));
                format!(" sent {} s ago{says}", (now - since).num_seconds().max(0))
            }
            // The word is there already.
            _ => held.words(now).replacen("may be frozen:", "", 1),
        };
        spans.push(Span::styled(words, warn));
        if let Some(delayed) = job.delayed_thaw() {
            let words = match width {
                ..FULL => delayed.short(now),
                _ => delayed.words(now),
            };
            spans.push(Span::styled(format!(" · {words}"), warn));
        } else if let Some(doing) = &job.waiting {
            spans.push(Span::styled(format!(" · {doing}"), text));
        } else if let Some(at) = job.nothing_found_at() {
            let ago = (now - at).num_seconds().max(0);
            let words = match width {
                ..FULL => format!(" · nothing frozen {ago} s ago"),
                _ => format!(
                    " · a thaw {ago} s ago found nothing frozen; it may still begin, and is thawed again"
                ),
            };
            spans.push(Span::styled(words, text));
        } else if width >= FULL && job.spec.mode == Mode::Autonomous {
            let words = format!(
                " · it thaws by itself, or its failsafe after {} s",
                job.spec.budget_s
            );
            spans.push(Span::styled(words, muted));
        }
        return;
    }
    if let Some(waiting) = job.waiting.as_ref().filter(|_| job.phase != Phase::Done) {
        spans.push(Span::styled(format!(" · {waiting}"), muted));
        return;
    }
    if job.phase != Phase::Done {
        if job.phase == Phase::Completing {
            let done = job.progress();
            let cells = if width >= WIDE { 10 } else { 4 };
            spans.push(Span::styled(
                format!(" {done:>3} % {}", bar(done.into(), 100, cells)),
                styles.get(Role::Accent),
            ));
        }
        let running = job.phases.iter().rev().find(|r| r.phase == job.phase);
        if let Some(time) = running.and_then(|r| lasted(r, job, now)) {
            spans.push(Span::styled(format!(" {}", took(time)), text));
        }
        if let Some(ms) = job.freeze_window_ms {
            spans.push(Span::styled(format!(" · froze {}", millis(ms)), muted));
        }
        return;
    }
    if let Some(ended) = job.ended() {
        spans.push(Span::styled(format!(" {}", style::ago(ended, now)), muted));
    }
    if let Some(ms) = job.freeze_window_ms {
        spans.push(Span::styled(format!(" · froze {}", millis(ms)), text));
    }
    if job.error.is_none()
        && let Some(lowered) = proof::lowered(job)
    {
        let words = format!(" · {}", lowered.why);
        spans.push(Span::styled(words, styles.get(Role::Warn)));
        return;
    }
    match (&job.error, job.started(), job.ended()) {
        (Some(problem), _, _) => spans.push(Span::styled(
            format!(" · {}", problem.cause),
            styles.get(if job.verdict == Some(Verdict::Failed) {
                Role::Error
            } else {
                Role::Warn
            }),
        )),
        (None, Some(started), Some(ended)) => {
            // Half of it would say something else; the line below the lanes has it.
            let words = format!(" · took {}", took(ended - started));
            let used: usize = spans.iter().map(|s| text::width(&s.content)).sum();
            if used + text::width(&words) <= width {
                spans.push(Span::styled(words, muted));
            }
        }
        _ => {}
    }
}

/// Whether a phase says anything in the row of phases: the end is in the headline, and waiting for less
/// than a second is not worth a word.
fn tells(record: &PhaseRecord, job: &JobView) -> bool {
    let waited = record
        .ended
        .is_some_and(|ended| ended - record.started >= Duration::seconds(1));
    match record.phase {
        Phase::Done => false,
        Phase::Queued => waited || record.failed || job.phase == Phase::Queued,
        _ => true,
    }
}

/// What a lane of one line has no room for, in at most `height` lines: whose it is, then what went wrong or
/// what it waits for, else its phases with their times.
pub fn foot(
    job: &JobView,
    now: DateTime<Utc>,
    width: usize,
    height: usize,
    styles: &Styles,
) -> Vec<Line<'static>> {
    let whose = format!(
        "── {} · {} · {} ",
        naming::full(Some(&job.spec.instance_name), job.spec.instance.as_str()),
        job.spec.recipe,
        job.spec.mode_word()
    );
    let rule = "─".repeat(width.saturating_sub(text::width(&whose)));
    let mut lines = vec![fitted(
        vec![
            Span::styled(whose, styles.get(Role::Title)),
            Span::styled(rule, styles.get(Role::Border)),
        ],
        width,
    )];
    let delayed = job.delayed_thaw();
    let (words, role) = match (delayed, &job.error, &job.waiting, proof::lowered(job)) {
        // What stands still now comes before why.
        (Some(delayed), ..) => (
            format!("{}: {}", job.held().words(now), delayed.words(now)),
            Role::Warn,
        ),
        (_, Some(problem), ..) => (
            format!("{problem}. Next: {}", problem.hint),
            if job.verdict == Some(Verdict::Failed) {
                Role::Error
            } else {
                Role::Warn
            },
        ),
        (_, None, Some(waiting), _) if job.phase == Phase::Queued => (waiting.clone(), Role::Text),
        (_, None, ..) if may_be_frozen(job) => (progress_words(job, now), Role::Warn),
        (_, None, _, Some(lowered)) => (
            format!(
                "{}, not {}: {}. Next: {}",
                lowered.got,
                lowered.asked,
                lowered.why,
                lowered.hint.unwrap_or_default()
            ),
            Role::Warn,
        ),
        _ => (progress_words(job, now), Role::Text),
    };
    let mut wrapped = text::wrap(&words, width.saturating_sub(2));
    let room = height.saturating_sub(1);
    if wrapped.len() > room {
        wrapped.truncate(room);
        if let Some(last) = wrapped.last_mut() {
            *last = text::fit(&format!("{last} …"), width.saturating_sub(2));
        }
    }
    lines.extend(
        wrapped
            .into_iter()
            .map(|line| Line::styled(format!("  {line}"), styles.get(role))),
    );
    lines
}

/// What may be frozen, the phases with their times, and where nobody named a mode, which was chosen and why.
fn progress_words(job: &JobView, now: DateTime<Utc>) -> String {
    let held = may_be_frozen(job).then(|| job.held().words(now));
    let phases = job.phases.iter().filter(|record| tells(record, job));
    let phases = phases.map(|record| phase_words(record, job, now));
    let chosen = job.spec.asked_mode == Some(AskedMode::Auto) && job.phase > Phase::Preflight;
    let mode = chosen.then(|| job.spec.mode_words());
    let all: Vec<String> = held.into_iter().chain(phases).chain(mode).collect();
    all.join(" · ")
}

/// A phase with its time, and whether it failed.
fn phase_words(record: &PhaseRecord, job: &JobView, now: DateTime<Utc>) -> String {
    let mut words = String::new();
    if record.failed {
        words.push_str("✘ ");
    }
    words.push_str(phase_word(record.phase));
    // Of the freeze one number counts: the window, not how long the console stood in this phase.
    let window = (record.phase == Phase::Frozen)
        .then(|| frozen_ms(job, now).or(job.freeze_window_ms))
        .flatten();
    match (window, lasted(record, job, now)) {
        (Some(ms), _) => words.push_str(&format!(" {}", millis(ms))),
        (None, Some(time)) => words.push_str(&format!(" {}", took(time))),
        (None, None) => {}
    }
    words
}

/// The phases with their times; when there is too little room, the first ones give way.
fn phases(job: &JobView, now: DateTime<Utc>, width: usize, styles: &Styles) -> Line<'static> {
    let indent = 4;
    let mut segments: Vec<Vec<Span<'static>>> = Vec::new();
    for record in job.phases.iter().filter(|r| tells(r, job)) {
        let current = record.phase == job.phase && job.phase != Phase::Done && !job.is_thawed();
        let role = match (record.failed, current, record.phase) {
            (true, ..) => Role::Error,
            (_, true, Phase::Frozen | Phase::Snapshotting | Phase::Thawing) => Role::Frozen,
            (_, true, _) => Role::Accent,
            _ => Role::Muted,
        };
        let mut words = phase_words(record, job, now);
        if record.phase == Phase::Completing && current {
            words.push_str(&format!(" {} %", job.progress()));
        }
        if current {
            words = format!("[{words}]");
        }
        segments.push(vec![Span::styled(words, styles.get(role))]);
    }
    let size = |s: &[Vec<Span<'_>>]| -> usize {
        s.iter()
            .flatten()
            .map(|s| text::width(&s.content))
            .sum::<usize>()
            + s.len().saturating_sub(1) * 3
    };
    let mut dropped = false;
    while segments.len() > 1 && size(&segments) + indent + 2 > width {
        segments.remove(0);
        dropped = true;
    }
    let mut spans = vec![Span::raw(" ".repeat(indent))];
    if dropped {
        spans.push(Span::styled("… ", styles.get(Role::Muted)));
    }
    for (n, segment) in segments.into_iter().enumerate() {
        if n > 0 {
            spans.push(Span::styled(" · ", styles.get(Role::Border)));
        }
        spans.extend(segment);
    }
    fitted(spans, width)
}

/// The spans made safe and cut to `width` cells; the cut is shown as `…`.
pub fn fitted(spans: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let mut left = width;
    let mut out = Vec::new();
    for span in spans {
        if left == 0 {
            break;
        }
        let shown = text::fit(&span.content, left);
        left = left.saturating_sub(text::width(&shown));
        let cut = text::width(&span.content) > text::width(&shown);
        out.push(Span::styled(shown, span.style));
        if cut {
            break;
        }
    }
    Line::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(millis(412), "412 ms");
        assert_eq!(millis(1_234_567), "1,234,567 ms");
        assert_eq!(took(Duration::milliseconds(840)), "0.8s");
        assert_eq!(took(Duration::seconds(72)), "1m12s");
        assert_eq!(took(Duration::seconds(7380)), "2h03m");
        assert_eq!(took(Duration::seconds(-5)), "0.0s");
    }

    #[test]
    fn the_budget_warns_past_half_and_alarms_past_four_fifths() {
        assert_eq!(budget_role(412, 30_000), Role::Frozen);
        assert_eq!(budget_role(15_000, 30_000), Role::Warn);
        assert_eq!(budget_role(24_000, 30_000), Role::Error);
        assert_eq!(budget_role(u64::MAX, 0), Role::Error);
        assert_eq!(bar(412, 30_000, 8), "▮▯▯▯▯▯▯▯");
        assert_eq!(bar(0, 30_000, 4), "▯▯▯▯");
        assert_eq!(bar(99_000, 30_000, 4), "▮▮▮▮");
        assert_eq!(bar(1, 0, 3), "▯▯▯");
    }
}
