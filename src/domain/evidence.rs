//! From what was seen to what may be claimed. Every link of the chain is examined by itself; a level
//! above `crash` needs every link of the freeze chain, `application` those of the lock chain as well.
//! Order of events decides, never a clock.

use std::collections::BTreeSet;

use super::ids::{CommandId, JobId, SnapshotId, VolumeId};
use super::job::{EvidenceReport, Link};
use super::level::Level;
use super::machine::{CreatedSnapshot, PreflightFacts, SAME_FILESYSTEM};
use super::text::visible;
use super::trace::{Said, Trace, check_order};

/// One command's part of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The command.
    pub command: CommandId,
    /// It ended with exit code 0.
    pub succeeded: bool,
    /// What it said.
    pub trace: Trace,
}

/// What the console itself knows of the snapshot call, by the order of its own events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallOrder {
    /// `pre-script` was known to have ended well, with everything frozen, before the request was made.
    pub frozen_before_request: bool,
    /// The set is the answer to the one request, not the find of a search by tag.
    pub answered: bool,
    /// That answer was in hand before the release was sent.
    pub answered_before_release: bool,
}

/// Everything the judgement rests on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The job; both traces must be of it.
    pub job: &'a JobId,
    /// What preflight learned.
    pub preflight: Option<&'a PreflightFacts>,
    /// `pre-script`.
    pub pre: Option<&'a Told>,
    /// The `post-script` that thawed.
    pub post: Option<&'a Told>,
    /// Order of the console's own events.
    pub call: CallOrder,
    /// The set.
    pub snapshots: &'a [CreatedSnapshot],
}

/// The judgement on one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// What may be claimed: `crash`, `filesystem` or `application`.
    pub level: Level,
    /// Why, in words.
    pub reason: String,
    /// The recipe froze something on it.
    pub covered: bool,
}

/// Judges the evidence: the report for people, and a level with its reason for every snapshot.
/// One broken link of the freeze chain leaves the whole set at `crash`, a volume missing from the
/// answer included: half a set is no point in time.
pub fn judge(facts: &Facts<'_>) -> (EvidenceReport, Vec<Judged>) {
    let empty = Trace::default();
    let pre = facts.pre.map_or(&empty, |told| &told.trace);
    let post = facts.post.map_or(&empty, |told| &told.trace);
    let none = PreflightFacts::default();
    let preflight = facts.preflight.unwrap_or(&none);
    let frozen: Vec<&str> = pre.frozen_mounts();

    let failsafe_armed = link("failsafe-armed", armed(pre));
    let frozen_link = link("frozen", all_frozen(preflight, facts.pre, &frozen));
    let one_call = link("one-call", one_call(preflight, facts));
    let within = link("within-window", within_window(facts, pre, post));
    let own_thaw = link("own-thaw", own_thaw(&frozen, post));
    let quiet = link("failsafe-quiet", failsafe_quiet(pre, post));
    let freeze_chain = [
        &failsafe_armed,
        &frozen_link,
        &one_call,
        &within,
        &own_thaw,
        &quiet,
    ]
    .iter()
    .all(|l| l.holds);
    let broken = [
        &failsafe_armed,
        &frozen_link,
        &one_call,
        &within,
        &own_thaw,
        &quiet,
    ]
    .iter()
    .find(|l| !l.holds)
    .map(|l| format!("{}: {}", l.name, l.seen));

    let mut links = vec![failsafe_armed];
    let mut lock_chain = None;
    if preflight.engine.is_some() {
        let held = link("lock-held", lock_held(pre));
        let answered = link("lock-answered", lock_answered(pre, post));
        let why_not = [&held, &answered]
            .iter()
            .find(|l| !l.holds)
            .map(|l| format!("{}: {}", l.name, l.seen));
        lock_chain = Some((why_not, answered));
        links.push(held);
    }
    links.extend([frozen_link, one_call, within]);
    let lock_broken = lock_chain.map(|(why_not, answered)| {
        links.push(answered);
        why_not
    });
    links.extend([own_thaw, quiet]);

    let covered = preflight.covered_volumes();
    let judged = facts
        .snapshots
        .iter()
        .map(|made| {
            let is_covered = covered.contains(&made.volume);
            let (level, reason) = if !is_covered {
                (Level::Crash, not_covered(preflight, &made.volume))
            } else if let Some(why) = &broken {
                (Level::Crash, why.clone())
            } else if let Some(other) = preflight.unfrozen_neighbour(&made.volume) {
                (
                    Level::Crash,
                    format!(
                        "it also carries {}, which was not frozen",
                        visible(&other.mount)
                    ),
                )
            } else {
                match &lock_broken {
                    Some(Some(why)) => (Level::Filesystem, format!("frozen throughout, but {why}")),
                    Some(None) if preflight.datadir_is_covered() => (
                        Level::Application,
                        "locked and frozen from before the call until after its answer".to_owned(),
                    ),
                    Some(None) => (
                        Level::Filesystem,
                        "frozen throughout, but the data directory is not on a covered mount"
                            .to_owned(),
                    ),
                    None => (
                        Level::Filesystem,
                        "frozen from before the call until after its answer".to_owned(),
                    ),
                }
            };
            Judged {
                snapshot: made.snapshot.clone(),
                volume: made.volume.clone(),
                level: if freeze_chain { level } else { Level::Crash },
                reason,
                covered: is_covered,
            }
        })
        .collect();
    let report = EvidenceReport {
        links,
        frozen_mounts: frozen.iter().map(|m| visible(m).into_owned()).collect(),
        pre_command: facts.pre.map(|told| told.command.clone()),
        post_command: facts.post.map(|told| told.command.clone()),
        window_ms: post.window_ms(),
        failsafe_fired: pre.fired() == Some(true) || post.fired() == Some(true),
    };
    (report, judged)
}

fn not_covered(preflight: &PreflightFacts, volume: &VolumeId) -> String {
    let root = preflight
        .volumes
        .iter()
        .any(|v| v.volume == *volume && v.is_root);
    if root {
        "not covered by the recipe: the root volume is not frozen".to_owned()
    } else {
        "not covered by the recipe".to_owned()
    }
}

/// A link from what was seen (it holds) or what was missing (it does not).
fn link(name: &str, seen: Result<String, String>) -> Link {
    let holds = seen.is_ok();
    let seen = seen.unwrap_or_else(|missing| missing);
    Link {
        name: name.to_owned(),
        holds,
        seen: visible(&seen).into_owned(),
    }
}

fn armed(pre: &Trace) -> Result<String, String> {
    for said in pre.events() {
        match said {
            Said::Armed {
                budget_ms,
                guard_pid,
                ..
            } => {
                return Ok(format!(
                    "armed for {budget_ms} ms before anything else, guard {guard_pid}"
                ));
            }
            Said::Locked { .. } | Said::Frozen { .. } => {
                return Err("the failsafe was not armed before the first lock or freeze".to_owned());
            }
            _ => {}
        }
    }
    Err("the failsafe was never reported armed".to_owned())
}

fn all_frozen(
    preflight: &PreflightFacts,
    told: Option<&Told>,
    frozen: &[&str],
) -> Result<String, String> {
    let Some(told) = told.filter(|t| t.succeeded) else {
        return Err("pre-script did not end well".to_owned());
    };
    if preflight.covered.is_empty() {
        return Err("no mount is covered".to_owned());
    }
    if let Some(open) = preflight
        .covered
        .iter()
        .find(|m| !frozen.contains(&m.mount.as_str()))
    {
        return Err(format!("{} was not reported frozen", open.mount));
    }
    if !told.trace.is_ready() {
        return Err("pre-script never said ready".to_owned());
    }
    same_volumes(preflight, &told.trace)?;
    Ok(format!("FIFREEZE returned 0 for {}", frozen.join(", ")))
}

/// What `pre-script` found must be what preflight found: a mount that has moved to another volume since
/// then, or a new one beside it, would put the label on data that was not frozen.
fn same_volumes(preflight: &PreflightFacts, pre: &Trace) -> Result<(), String> {
    let before = preflight.covered_volumes();
    for said in pre.events() {
        let Said::Mount {
            mount,
            volumes,
            covered,
            reason,
            ..
        } = said
        else {
            continue;
        };
        let known = preflight.covered.iter().find(|m| m.mount == *mount);
        match (covered, known) {
            (true, Some(known)) => {
                let now: BTreeSet<&VolumeId> = volumes.iter().collect();
                if now != known.volumes.iter().collect() {
                    return Err(format!("{mount} was on other volumes at preflight"));
                }
            }
            (true, None) => return Err(format!("{mount} was not there at preflight")),
            (false, Some(_)) => return Err(format!("{mount} was no longer to be frozen")),
            (false, None) => {
                let fresh = !preflight.uncovered.iter().any(|m| m.mount == *mount);
                let same = reason.as_deref() == Some(SAME_FILESYSTEM);
                if fresh && !same && volumes.iter().any(|v| before.contains(v)) {
                    return Err(format!(
                        "{mount} appeared on a frozen volume after preflight"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn one_call(preflight: &PreflightFacts, facts: &Facts<'_>) -> Result<String, String> {
    if !facts.call.answered {
        return Err(
            "the answer of CreateSnapshots was lost; the set was found by its tag".to_owned(),
        );
    }
    for volume in preflight.covered_volumes() {
        match facts
            .snapshots
            .iter()
            .filter(|s| s.volume == *volume)
            .count()
        {
            1 => {}
            0 => return Err(format!("{volume} is missing from the answer")),
            n => return Err(format!("{volume} is in the answer {n} times")),
        }
    }
    Ok(format!(
        "{} volumes in one answer of CreateSnapshots",
        facts.snapshots.len()
    ))
}

fn within_window(facts: &Facts<'_>, pre: &Trace, post: &Trace) -> Result<String, String> {
    if !facts.call.frozen_before_request {
        return Err("the request was not made after the freeze was confirmed".to_owned());
    }
    if !facts.call.answered_before_release {
        return Err("the release was sent before the answer had come".to_owned());
    }
    if !post.events().any(|said| *said == Said::Release) {
        return Err("nobody saw the release accepted while everything was still frozen".to_owned());
    }
    check_order(facts.job.as_str(), pre, post)
        .map_err(|why| format!("events out of order: {why}"))?;
    Ok(
        "frozen confirmed, request, answer, release accepted while still frozen: in this order"
            .to_owned(),
    )
}

fn lock_held(pre: &Trace) -> Result<String, String> {
    for said in pre.events() {
        match said {
            Said::Locked { session, how, .. } => {
                return Ok(format!("session {session} held the lock ({how})"));
            }
            Said::Frozen { .. } => {
                return Err("the lock was not held before the first freeze".to_owned());
            }
            _ => {}
        }
    }
    Err("no lock was reported".to_owned())
}

fn lock_answered(pre: &Trace, post: &Trace) -> Result<String, String> {
    let held = pre.events().find_map(|said| match said {
        Said::Locked { session, .. } => Some(session),
        _ => None,
    });
    let Some(held) = held else {
        return Err("there was no lock session to ask".to_owned());
    };
    for said in post.events() {
        match said {
            Said::Alive { session } if session == held => {
                return Ok(format!(
                    "session {session} answered after the snapshots' answer, before the thaw"
                ));
            }
            Said::Alive { session } => {
                return Err(format!(
                    "session {session} answered, but {held} held the lock"
                ));
            }
            Said::Thawed { .. } => break,
            _ => {}
        }
    }
    Err(format!("session {held} did not answer before the thaw"))
}

fn own_thaw(frozen: &[&str], post: &Trace) -> Result<String, String> {
    if frozen.is_empty() {
        return Err("nothing was frozen that could be thawed".to_owned());
    }
    let refused = post.events().find_map(|said| match said {
        Said::Thawed {
            mount,
            ok: false,
            text,
        } => Some((mount, text.as_deref().unwrap_or("no message"))),
        _ => None,
    });
    if let Some((mount, text)) = refused {
        return Err(format!("our own thaw of {mount} failed: {text}"));
    }
    let thawed = post.thawed_mounts();
    match frozen.iter().find(|m| !thawed.contains(*m)) {
        Some(open) => Err(format!("nobody saw our own thaw of {open}")),
        None => Ok(format!(
            "our own FITHAW returned 0 for {}",
            thawed.join(", ")
        )),
    }
}

fn failsafe_quiet(pre: &Trace, post: &Trace) -> Result<String, String> {
    if pre.fired() == Some(true) {
        return Err("the failsafe fired during pre-script".to_owned());
    }
    match post.fired() {
        Some(false) => Ok("the failsafe was disarmed before it acted".to_owned()),
        Some(true) => Err("the failsafe fired first".to_owned()),
        None => Err("nobody saw the failsafe disarmed".to_owned()),
    }
}

#[cfg(test)]
mod tests;
