//! The links of the chain, each examined by itself, and what follows for a volume.

use std::collections::BTreeSet;

use super::Facts;
use crate::ids::VolumeId;
use crate::job::{Link, Mode};
use crate::level::Level;
use crate::link_name::LinkName;
use crate::preflight::{EnginePath, PreflightFacts, may_change};
use crate::text::{counted, visible};
use crate::trace::{Trace, TraceEvent, check_one, check_order};

/// What was told of the two sides of the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) preflight: &'a PreflightFacts,
    /// The trace that quiesced.
    pub(super) pre: &'a Trace,
    /// The trace that released; the same one in autonomous mode.
    pub(super) post: &'a Trace,
}

impl Sides<'_> {
    /// Every link in causal order; those of the lock where there is a database.
    pub(super) fn chain(&self, database: bool) -> Vec<Link> {
        let all = [
            link(LinkName::FailsafeArmed, self.armed()),
            link(LinkName::LockHeld, self.lock_held()),
            link(LinkName::Frozen, self.all_frozen()),
            link(LinkName::OneCall, self.one_call()),
            link(LinkName::WithinWindow, self.within_window()),
            link(LinkName::LockAnswered, self.lock_answered()),
            link(LinkName::OwnThaw, self.own_thaw()),
            link(LinkName::FailsafeQuiet, self.failsafe_quiet()),
        ];
        all.into_iter()
            .filter(|l| database || !l.name.is_of_lock())
            .collect()
    }

    /// What a covered volume's snapshot is worth under that chain, and why.
    pub(super) fn level_of(&self, chain: &[Link], volume: &VolumeId) -> (Level, String) {
        let broken = |of_lock: bool| {
            chain
                .iter()
                .find(|l| !l.holds && l.name.is_of_lock() == of_lock)
                .map(|l| format!("{}: {}", l.name, l.seen))
        };
        if let Some(why) = broken(false) {
            return (Level::Crash, why);
        }
        if let Some(other) = self.preflight.unfrozen_neighbour(volume) {
            return (
                Level::Crash,
                format!(
                    "it also carries {}, which was not frozen",
                    visible(&other.mount)
                ),
            );
        }
        let database = self.preflight.engine.is_some();
        let why_not = broken(true).or_else(|| database.then(|| self.uncovered_path()).flatten());
        let window = "from before the call until after its answer";
        match (why_not, self.without(volume)) {
            (_, Some(engine)) => (
                Level::Filesystem,
                format!(
                    "frozen {window}; nothing of {engine} lies on it, and nobody held what else writes there"
                ),
            ),
            (Some(why), None) => (Level::Filesystem, format!("frozen throughout, but {why}")),
            (None, None) if database => (Level::Application, format!("locked and frozen {window}")),
            (None, None) => (Level::Filesystem, format!("frozen {window}")),
        }
    }

    /// The database of the recipe, where there is one and nothing of it lies on that volume.
    pub(super) fn without(&self, volume: &VolumeId) -> Option<String> {
        let engine = self.preflight.engine.as_ref()?;
        let mut needed = self.needed();
        let none = !needed.any(|needed| self.preflight.holds(volume, &needed.path));
        none.then(|| visible(&engine.name).into_owned())
    }

    /// The directories of the engine: named at preflight, or since.
    fn needed(&self) -> impl Iterator<Item = EnginePath> + '_ {
        let said = |said: &TraceEvent| match said {
            TraceEvent::Path { what, path } => Some(EnginePath {
                what: what.clone(),
                path: path.clone(),
            }),
            TraceEvent::Engine { datadir, .. } => Some(EnginePath {
                what: "data".to_owned(),
                path: datadir.clone(),
            }),
            _ => None,
        };
        let datadir = self.preflight.engine.iter().map(|engine| EnginePath {
            what: "data".to_owned(),
            path: engine.datadir.clone(),
        });
        datadir
            .chain(self.preflight.paths.iter().cloned())
            .chain(self.pre.events().filter_map(said))
    }

    /// Something that the engine needs and that was not frozen.
    fn uncovered_path(&self) -> Option<String> {
        self.needed()
            .find(|needed| !self.preflight.covers(&needed.path))
            .map(|needed| {
                format!(
                    "the {} directory {} is not on a covered mount",
                    visible(&needed.what),
                    visible(&needed.path)
                )
            })
    }

    fn armed(&self) -> Result<String, String> {
        for said in self.pre.events() {
            match said {
                TraceEvent::Armed {
                    budget_ms,
                    guard_pid,
                    ..
                } => {
                    return Ok(format!(
                        "armed for {budget_ms} ms before anything else, guard {guard_pid}"
                    ));
                }
                TraceEvent::Locked { .. } | TraceEvent::Frozen { .. } => {
                    return Err(
                        "the failsafe was not armed before the first lock or freeze".to_owned()
                    );
                }
                _ => {}
            }
        }
        Err("the failsafe was never reported armed".to_owned())
    }

    fn all_frozen(&self) -> Result<String, String> {
        // What comes after the thaw does not decide about the freeze: in autonomous mode the one
        // command may end badly although everything was frozen as it should.
        if self.facts.mode == Mode::Coordinated && !self.facts.pre.is_some_and(|t| t.succeeded) {
            return Err("pre-script did not end well".to_owned());
        }
        if self.preflight.covered.is_empty() {
            return Err("no mount is covered".to_owned());
        }
        let frozen = self.pre.frozen_mounts();
        if let Some(open) = self
            .preflight
            .covered
            .iter()
            .find(|m| !frozen.contains(&m.mount.as_str()))
        {
            return Err(format!("{} was not reported frozen", open.mount));
        }
        if !self.pre.is_ready() {
            return Err("the script never said ready".to_owned());
        }
        same_volumes(self.preflight, self.pre)?;
        Ok(format!("FIFREEZE returned 0 for {}", frozen.join(", ")))
    }

    fn one_call(&self) -> Result<String, String> {
        let who = match self.facts.mode {
            Mode::Coordinated if self.facts.call.answered => "CreateSnapshots",
            Mode::Coordinated => {
                return Err(
                    "the answer of CreateSnapshots was lost; the set was found by its tag"
                        .to_owned(),
                );
            }
            Mode::Autonomous => {
                self.answer_is_the_set()?;
                "the instance's own CreateSnapshots, and EC2 shows the same set"
            }
        };
        for volume in self.preflight.covered_volumes() {
            match self
                .facts
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
        let out = match &self.preflight.set {
            Some(set) if !set.left_out.is_empty() => {
                format!("; not in the set: {}", set.left_out_words())
            }
            _ => String::new(),
        };
        Ok(format!(
            "{} in one answer of {who}{out}",
            counted(self.facts.snapshots.len(), "volume")
        ))
    }

    /// What the instance says that its one request was answered is what EC2 shows under the job's tag:
    /// no snapshot more (a second call), none less.
    fn answer_is_the_set(&self) -> Result<(), String> {
        match self.pre.answer() {
            Some(TraceEvent::Answer { ok: true, .. }) => {}
            Some(TraceEvent::Answer {
                status, code, text, ..
            }) => {
                return Err(format!(
                    "the instance's CreateSnapshots was not answered well: HTTP status {status}, {}",
                    [code, text]
                        .into_iter()
                        .filter_map(|word| word.as_deref().filter(|word| !word.is_empty()))
                        .next()
                        .unwrap_or("no further word")
                ));
            }
            _ => {
                return Err(
                    "the instance did not say, exactly once, how CreateSnapshots was answered"
                        .to_owned(),
                );
            }
        }
        let listed = self.pre.answered_snapshots();
        let shown = &self.facts.snapshots;
        if let Some((missing, ..)) = listed.iter().find(|(snapshot, volume, _)| {
            !shown
                .iter()
                .any(|s| s.snapshot == **snapshot && s.volume == **volume)
        }) {
            return Err(format!(
                "{missing} is in the instance's answer, but EC2 does not show it under the job's tag"
            ));
        }
        if let Some(extra) = shown
            .iter()
            .find(|s| !listed.iter().any(|(snapshot, ..)| s.snapshot == **snapshot))
        {
            return Err(format!(
                "{} carries the job's tag, but is not in the instance's answer",
                extra.snapshot
            ));
        }
        Ok(())
    }

    fn within_window(&self) -> Result<String, String> {
        let call = self.facts.call;
        let order = match self.facts.mode {
            Mode::Coordinated => {
                if !call.frozen_before_request {
                    return Err(
                        "the request was not made after the freeze was confirmed".to_owned()
                    );
                }
                let late = !call.answered_before_release;
                let accepted = self.post.events().any(|said| *said == TraceEvent::Release);
                let fired = self.pre.fired() == Some(true) || self.post.fired() == Some(true);
                let broken = match (late, accepted) {
                    (true, false) if fired => Some(
                        "the answer had not come when the thaw was sent, and that found the freeze ended by the failsafe",
                    ),
                    (false, false) if fired => {
                        Some("the failsafe had ended the freeze before the release came to it")
                    }
                    (true, _) if self.facts.post.is_none() => {
                        Some("it is not on record that the answer came before the release")
                    }
                    (true, _) => Some("the release was sent before the answer had come"),
                    (false, false) => {
                        Some("nobody saw the release accepted while everything was still frozen")
                    }
                    (false, true) => None,
                };
                if let Some(why) = broken {
                    return Err(why.to_owned());
                }
                check_order(self.facts.job.as_str(), self.pre, self.post)
            }
            Mode::Autonomous => check_one(self.facts.job.as_str(), self.pre),
        };
        order?;
        Ok(
            "frozen confirmed, request, answer, release accepted while still frozen: in this order"
                .to_owned(),
        )
    }

    fn lock_held(&self) -> Result<String, String> {
        for said in self.pre.events() {
            match said {
                TraceEvent::Locked { session, how, .. } => {
                    return Ok(format!("session {session} held the lock ({how})"));
                }
                TraceEvent::Frozen { .. } => {
                    return Err("the lock was not held before the first freeze".to_owned());
                }
                _ => {}
            }
        }
        Err("no lock was reported".to_owned())
    }

    fn lock_answered(&self) -> Result<String, String> {
        let held = self.pre.events().find_map(|said| match said {
            TraceEvent::Locked { session, .. } => Some(session),
            _ => None,
        });
        let Some(held) = held else {
            return Err("there was no lock session to ask".to_owned());
        };
        let mut thawed = false;
        for said in self.post.events() {
            match said {
                // A release that came before the answer asked too early.
                TraceEvent::Alive { session }
                    if session == held
                        && self.facts.mode == Mode::Coordinated
                        && !self.facts.call.answered =>
                {
                    return Err(format!(
                        "session {session} answered before the thaw; the snapshots' answer was lost, so nobody knows whether after it"
                    ));
                }
                TraceEvent::Alive { session } if session == held => {
                    let when = if thawed {
                        "after the thaw, before the unlock"
                    } else {
                        "before the thaw"
                    };
                    return Ok(format!(
                        "session {session} answered after the snapshots' answer, {when}"
                    ));
                }
                TraceEvent::Alive { session } => {
                    return Err(format!(
                        "session {session} answered, but {held} held the lock"
                    ));
                }
                TraceEvent::Thawed { .. } => thawed = true,
                TraceEvent::Unlocked { .. } => break,
                _ => {}
            }
        }
        Err(format!("session {held} did not answer before the unlock"))
    }

    fn own_thaw(&self) -> Result<String, String> {
        let frozen = self.pre.frozen_mounts();
        if frozen.is_empty() {
            return Err("nothing was frozen that could be thawed".to_owned());
        }
        let refused = self.post.events().find_map(|said| match said {
            TraceEvent::Thawed {
                mount,
                ok: false,
                text,
            } => Some((mount, text.as_deref().unwrap_or("no message"))),
            _ => None,
        });
        if let Some((mount, text)) = refused {
            return Err(format!("our own thaw of {mount} failed: {text}"));
        }
        let thawed = self.post.thawed_mounts();
        match frozen.iter().find(|m| !thawed.contains(*m)) {
            Some(open) => Err(format!("nobody saw our own thaw of {open}")),
            // What is missing may be what breaks the chain: an error, a probe that finds a mount frozen.
            None if !self.post.reached_its_end() => Err(
                "the output of the command that thawed was cut off before its last line".to_owned(),
            ),
            None => Ok(format!(
                "our own FITHAW returned 0 for {}",
                thawed.join(", ")
            )),
        }
    }

    fn failsafe_quiet(&self) -> Result<String, String> {
        let helped = self.facts.post.and_then(|told| told.trace.fired());
        if self.pre.fired() == Some(true) {
            return Err("the failsafe fired first".to_owned());
        }
        match self.post.fired() {
            _ if helped == Some(true) => Err("the failsafe fired first".to_owned()),
            Some(_) => Ok("the failsafe was disarmed before it acted".to_owned()),
            None => Err("nobody saw the failsafe disarmed".to_owned()),
        }
    }
}

/// A link from what was seen (it holds) or what was missing (it does not).
fn link(name: LinkName, seen: Result<String, String>) -> Link {
    let holds = seen.is_ok();
    let seen = seen.unwrap_or_else(|missing| missing);
    Link {
        name,
        holds,
        seen: visible(&seen).into_owned(),
    }
}

/// What the freezing command found must be what preflight found: a mount that has moved to another volume
/// since then, or a new one beside it, would put the label on data that was not frozen.
pub(super) fn same_volumes(preflight: &PreflightFacts, pre: &Trace) -> Result<(), String> {
    let before = preflight.covered_volumes();
    for said in pre.events() {
        let TraceEvent::Mount {
            mount,
            volumes,
            disks,
            covered,
            reason,
            ..
        } = said
        else {
            continue;
        };
        let known = preflight.covered.iter().find(|m| m.mount == *mount);
        let now = if volumes.is_empty() {
            preflight.volumes_of(mount, volumes, disks)
        } else {
            Ok(volumes.clone())
        };
        match (covered, known) {
            (true, Some(known)) => {
                let same = now.is_ok_and(|now| {
                    now.iter().collect::<BTreeSet<_>>() == known.volumes.iter().collect()
                });
                if !same {
                    return Err(format!("{mount} was on other volumes at preflight"));
                }
            }
            (true, None) => return Err(format!("{mount} was not there at preflight")),
            (false, Some(_)) => return Err(format!("{mount} was no longer to be frozen")),
            (false, None) => {
                let known = preflight.uncovered.iter().find(|m| m.mount == *mount);
                // What was there at preflight lowers its volume by itself.
                let weighed = |volume: &VolumeId| {
                    known.is_some_and(|m| may_change(&m.reason) && m.volumes.contains(volume))
                };
                let still = reason.as_deref().is_some_and(|reason| !may_change(reason));
                let there = now.unwrap_or_else(|_| volumes.clone());
                if !still && there.iter().any(|v| before.contains(v) && !weighed(v)) {
                    return Err(format!(
                        "{mount} appeared on a frozen volume after preflight"
                    ));
                }
            }
        }
    }
    Ok(())
}
