//! What stands behind a set: each member's level with its reason, and the evidence as sentences in causal
//! order. It comes from the journal of this machine where that has the job; else there are only the tags,
//! and then that is what is said.

mod lowered;

use crate::link_name::LinkName;
use std::collections::BTreeMap;

use serde::Serialize;

use super::ids::{SnapshotId, VolumeId};
use super::job::{JobView, Link, Mode, Phase, Verdict};
use super::level::Level;
use super::set::SnapshotSet;
use super::set_plan::SetPlan;
use super::snapshot::Snapshot;
use super::tags;
use super::text::visible;

pub use lowered::{Lowered, lowered};

/// Said in place of evidence that another machine keeps.
pub const NOT_HERE: &str = "not on this machine; level by tag";
/// Said of a level that only the level's tag has.
pub const CLAIMED: &str = "claimed by tag, no evidence";

/// One snapshot of a set, and what may be claimed of it here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberProof {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// Device name at the instance, as tagged.
    pub device: Option<String>,
    /// The best level that the recipe could earn for it, as far as that is known here: `crash` where its volume was not
    /// covered.
    pub best: Level,
    /// The lower of what the tag says and what the journal bears out.
    pub level: Level,
    /// Why, in words.
    pub reason: String,
}

/// Whether a sentence speaks for the set or against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// A link that held.
    Held,
    /// A link that broke, or what follows from it.
    Broken,
    /// Neither.
    Plain,
}

/// One sentence of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// Speaks for or against.
    pub tone: Tone,
    /// The sentence; links are numbered in causal order.
    pub text: String,
}

impl Sentence {
    fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }
}

/// The members of a set with what may be claimed of each. `job` is what this machine's journal has of it.
pub fn members(
    set: &SnapshotSet,
    snapshots: &[Snapshot],
    job: Option<&JobView>,
) -> Vec<MemberProof> {
    set.members
        .iter()
        .filter_map(|id| snapshots.iter().find(|s| s.id == *id))
        .map(|snapshot| member(snapshot, job))
        .collect()
}

/// What may be claimed of one snapshot of a set.
pub fn member(snapshot: &Snapshot, job: Option<&JobView>) -> MemberProof {
    let tagged = snapshot.level().unwrap_or(Level::Pending);
    let (level, reason) = match (job, snapshot.unverified_claim()) {
        (Some(job), _) => judged(tagged, snapshot, job),
        (None, Some(claim)) => (
            snapshot.verified_level().unwrap_or(Level::Pending),
            format!("{claim} is {CLAIMED}: {}", unmarked(snapshot)),
        ),
        (None, None) => (
            tagged,
            format!("its tag says {tagged}; the evidence is not on this machine"),
        ),
    };
    let best = match job.map(|job| &job.evidence) {
        Some(evidence) if !evidence.covered.is_empty() => evidence.best(&snapshot.volume),
        _ => snapshot.best(),
    };
    MemberProof {
        best,
        snapshot: snapshot.id.clone(),
        volume: snapshot.volume.clone(),
        device: snapshot.device().map(str::to_owned),
        level,
        reason,
    }
}

/// Why the tags of a snapshot do not bear out the level that one of them claims.
fn unmarked(snapshot: &Snapshot) -> String {
    match snapshot.copied_from() {
        Some(of) => format!(
            "it is a copy, or another tool's, with the tags of {}",
            visible(of)
        ),
        None => format!(
            "{}, {} and {}, which freezeframe writes with it, are not all on it",
            tags::SET_SIZE,
            tags::FROZEN_MS,
            tags::SNAPSHOT
        ),
    }
}

/// The tag is the last thing written and anybody may change it; the journal is what was seen. Where they
/// differ, the lower word stands.
fn judged(tagged: Level, snapshot: &Snapshot, job: &JobView) -> (Level, String) {
    let Some(member) = job.set.iter().find(|m| m.snapshot == snapshot.id) else {
        return (
            tagged.min(Level::Crash),
            format!(
                "its tag says {tagged}, but it is none of the snapshots that the journal has for this job"
            ),
        );
    };
    let because = if member.reason.is_empty() {
        "not judged yet"
    } else {
        &member.reason
    };
    match tagged.cmp(&member.level) {
        std::cmp::Ordering::Equal => (tagged, because.to_owned()),
        std::cmp::Ordering::Greater => (
            member.level,
            format!("{because}; its tag says {tagged}, which the journal does not bear out"),
        ),
        std::cmp::Ordering::Less => (
            tagged,
            format!(
                "its tag says {tagged} and stands, although the journal has {}: {because}",
                member.level
            ),
        ),
    }
}

/// The level of the whole, by the rule of [`super::set::whole`].
pub fn level(members: &[MemberProof]) -> Level {
    super::set::whole(members.iter().map(|m| (m.level, m.best)))
}

/// Where the engine's logs stood, by name: as recorded, else as the set is tagged.
pub fn positions(
    set: &SnapshotSet,
    snapshots: &[Snapshot],
    job: Option<&JobView>,
) -> BTreeMap<String, String> {
    if let Some(job) = job {
        return job.evidence.positions.clone();
    }
    // A proven level comes with them. Where there is none, a volume that carries the tags of another set lent them.
    snapshots
        .iter()
        .filter(|s| set.members.contains(&s.id))
        .filter(|s| s.verified_level() == Some(Level::Application))
        .flat_map(|s| s.tags.iter())
        .filter_map(|(key, value)| {
            let name = key.strip_prefix(tags::POSITION)?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// What a person who restores the set should know of positions and files, in words; empty when it has none.
/// `job` is what this machine's journal has of it.
pub fn for_restore(
    set: &SnapshotSet,
    snapshots: &[Snapshot],
    job: Option<&JobView>,
) -> Vec<String> {
    let mut out = Vec::new();
    let positions = positions(set, snapshots, job);
    if !positions.is_empty() {
        let all: Vec<String> = positions.iter().map(|(k, v)| format!("{k} {v}")).collect();
        out.push(format!(
            "the set was taken with the logs at {}: replay from there",
            all.join(", ")
        ));
    }
    let files: Vec<&str> = job
        .iter()
        .flat_map(|job| &job.evidence.files)
        .map(|file| file.name.as_str())
        .collect();
    if !files.is_empty() {
        out.push(format!(
            "{} belong{} to this set: for a point-in-time recovery write {} into the data directory before the \
             server starts (`freezeframe list sets -o json` has the text under evidence.files)",
            files.join(" and "),
            if files.len() == 1 { "s" } else { "" },
            if files.len() == 1 { "it" } else { "them" },
        ));
    }
    out
}

/// The first link that did not hold.
pub fn broken(job: &JobView) -> Option<&Link> {
    job.evidence.links.iter().find(|l| !l.holds)
}

/// What a link claims, to be read after "that".
fn claim(name: &LinkName) -> Option<&'static str> {
    Some(match name {
        LinkName::FailsafeArmed => "the failsafe was armed before the first lock or freeze",
        LinkName::LockHeld => "one live session held the writes before the first freeze",
        LinkName::Frozen => {
            "every covered filesystem was frozen before the snapshots were asked for"
        }
        LinkName::OneCall => "every covered volume is in the answer of one CreateSnapshots call",
        LinkName::WithinWindow => "the freeze held from before the request until after its answer",
        LinkName::LockAnswered => "the same session still held the writes after that answer",
        LinkName::OwnThaw => "our own thaw ended every freeze",
        LinkName::FailsafeQuiet => "the failsafe had not acted before that",
        LinkName::Other(_) => return None,
    })
}

fn link_sentence(n: usize, link: &Link) -> Sentence {
    let Link { name, holds, seen } = link;
    match (claim(name), holds) {
        (Some(claim), true) => Sentence::new(
            Tone::Held,
            format!("{n}. {} ({name}): {seen}.", capital(claim)),
        ),
        (Some(claim), false) => Sentence::new(
            Tone::Broken,
            format!("{n}. Not proven that {claim} ({name}): {seen}."),
        ),
        (None, true) => Sentence::new(Tone::Held, format!("{n}. {name} held: {seen}.")),
        (None, false) => Sentence::new(Tone::Broken, format!("{n}. {name} did not hold: {seen}.")),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// The evidence of a job as sentences: first what broke, if something did; then every link in causal order;
/// then what was measured and who asked.
pub fn sentences(job: &JobView) -> Vec<Sentence> {
    let evidence = &job.evidence;
    let mut out = Vec::new();
    if job.thaw_unconfirmed {
        out.push(Sentence::new(
            Tone::Broken,
            "Nobody could confirm that every filesystem is thawed. Look at the instance.",
        ));
    }
    if job.verdict == Some(Verdict::Cancelled) {
        out.push(Sentence::new(
            Tone::Plain,
            "The operator stopped the job. Labels tell what was proven all the same, and no more.",
        ));
    }
    if job.spec.third_party {
        out.push(Sentence::new(
            Tone::Plain,
            format!(
                "Document {} is not freezeframe's: it keeps Data Lifecycle Manager's contract, and proves only what \
                 it says in FF1 lines.",
                job.spec.document
            ),
        ));
    }
    if let Some(link) = broken(job) {
        let Link { name, seen, .. } = link;
        out.push(Sentence::new(
            Tone::Broken,
            format!("The chain broke at {name}: {seen}. What was not proven is not claimed."),
        ));
    } else if evidence.links.is_empty() {
        let (tone, words) = if job.phase < Phase::Verifying {
            (Tone::Plain, "The evidence is not judged yet.")
        } else {
            (
                Tone::Broken,
                "No evidence was recorded: nothing above crash is claimed.",
            )
        };
        out.push(Sentence::new(tone, words));
    }
    if let Some(problem) = &job.error {
        out.push(Sentence::new(
            Tone::Broken,
            format!("What went wrong: {problem}."),
        ));
    }
    out.extend(
        evidence
            .links
            .iter()
            .enumerate()
            .map(|(n, link)| link_sentence(n + 1, link)),
    );
    if !evidence.frozen_mounts.is_empty() {
        out.push(Sentence::new(
            Tone::Plain,
            format!("Frozen: {}.", evidence.frozen_mounts.join(", ")),
        ));
    }
    if let Some(ms) = evidence.window_ms {
        let budget = job.spec.budget_s;
        let failsafe = if evidence.failsafe_fired {
            format!("; the failsafe ended that: it was armed for {budget} s")
        } else if job.spec.third_party {
            // It has none of ours.
            String::new()
        } else {
            format!("; the failsafe would have thawed after {budget} s")
        };
        out.push(Sentence::new(
            Tone::Plain,
            format!("Writes could be blocked for {ms} ms, measured on the instance{failsafe}."),
        ));
    }
    out.extend(
        evidence
            .notes
            .iter()
            .map(|text| Sentence::new(Tone::Plain, format!("Noted on the instance: {text}."))),
    );
    let planned = job.set_plan.iter().flat_map(SetPlan::notes);
    out.extend(
        planned.map(|note| Sentence::new(Tone::Plain, format!("The plan of the set: {note}."))),
    );
    out.extend(who_asked(job).map(|words| Sentence::new(Tone::Plain, words)));
    if job.spec.mode_reason.is_some() {
        let words = format!("Mode {}.", job.spec.mode_words());
        out.push(Sentence::new(Tone::Plain, words));
    }
    out
}

fn who_asked(job: &JobView) -> Option<String> {
    let evidence = &job.evidence;
    let words = match (job.spec.mode, &evidence.pre_command, &evidence.post_command) {
        (_, None, None) => return None,
        (Mode::Coordinated, Some(pre), Some(post)) => format!(
            "The console asked for the snapshots between SSM commands {pre} (pre-script) and {post} (post-script)"
        ),
        (Mode::Coordinated, Some(pre), None) => {
            format!("SSM command {pre} (pre-script); no post-script answered")
        }
        (_, None, Some(post)) => format!("SSM command {post} (post-script)"),
        (Mode::Autonomous, Some(one), None) => {
            format!(
                "The instance asked for the snapshots itself, within SSM command {one} (snapshot)"
            )
        }
        (Mode::Autonomous, Some(one), Some(post)) if one == post => {
            format!(
                "The instance asked for the snapshots itself, within SSM command {one} (snapshot)"
            )
        }
        (Mode::Autonomous, Some(one), Some(post)) => format!(
            "The instance asked for the snapshots itself, within SSM command {one} (snapshot); {post} (post-script) made sure of the thaw"
        ),
    };
    Some(format!(
        "{words}, document {}, as {} on {}.",
        job.spec.document, job.spec.recipe, job.spec.instance
    ))
}

/// What can be said of a set whose job this machine's journal does not have.
pub fn sentences_by_tag(set: &SnapshotSet) -> Vec<Sentence> {
    if set.copy {
        return vec![
            Sentence::new(
                Tone::Broken,
                format!("It is a copy; its level is {CLAIMED}."),
            ),
            Sentence::new(
                Tone::Plain,
                format!(
                    "Each of its snapshots carries the tags of another one ({}), which is not here: it was copied, or made by \
                     another tool with those tags. What was proven of job {} is proven of those snapshots alone.",
                    tags::SNAPSHOT,
                    set.job
                ),
            ),
        ];
    }
    if let Some(claim) = set.unverified_claim() {
        return vec![
            Sentence::new(
                Tone::Broken,
                format!("{} is {CLAIMED}.", capital(&claim.to_string())),
            ),
            Sentence::new(
                Tone::Plain,
                format!(
                    "freezeframe writes {}, {} and {} in the same call as a proven level, and they are not all on what \
                     claims it; the journal of this machine does not have job {}. Anybody may have written that tag: \
                     what was not proven is not claimed.",
                    tags::SET_SIZE,
                    tags::FROZEN_MS,
                    tags::SNAPSHOT,
                    set.job
                ),
            ),
        ];
    }
    let mut out = vec![
        Sentence::new(Tone::Plain, format!("Evidence: {NOT_HERE}.")),
        Sentence::new(
            Tone::Plain,
            format!(
                "The journal of this machine does not have job {}. The console that took the set wrote its level \
                 after judging the evidence; only that console's journal can show it.",
                set.job
            ),
        ),
    ];
    let mode = set.mode.as_ref();
    out.extend(mode.map(|words| Sentence::new(Tone::Plain, format!("Mode, by its tag: {words}."))));
    out
}

#[cfg(test)]
mod tests;
