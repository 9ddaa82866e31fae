//! The order that proves something: `armed` → `locked` → `synced` → `frozen`… → `ready` → [`request` →
//! `answer`] → `release` → `alive` → `thawed`… → `unlocked` → `disarmed`, told by two commands or by one.
//! `alive` may stand between `thawed` and `unlocked` instead: the session still holds the lock there.

use super::{Trace, TraceEvent};

/// Last place of the half that quiesces.
const READY: u8 = 6;
/// First place of the half that releases.
const RELEASE: u8 = 9;
/// Place of an answer that came after the thaw.
const LATE: u8 = 12;

/// Place of an event in the protocol's order; `None` for those that may stand anywhere.
fn rank(said: &TraceEvent) -> Option<(u8, &'static str, bool)> {
    // The last field: whether it may come more than once.
    Some(match said {
        TraceEvent::Armed { .. } => (1, "armed", false),
        TraceEvent::Flushed => (2, "flushed", false),
        TraceEvent::Locked { .. } => (3, "locked", false),
        TraceEvent::Synced => (4, "synced", false),
        TraceEvent::Frozen { .. } => (5, "frozen", true),
        TraceEvent::Ready => (READY, "ready", false),
        TraceEvent::Request => (7, "request", false),
        TraceEvent::Answer { .. } => (8, "answer", false),
        TraceEvent::Release => (RELEASE, "release", false),
        TraceEvent::Alive { .. } => (10, "alive", false),
        TraceEvent::Thawed { .. } => (11, "thawed", true),
        TraceEvent::Unlocked { .. } => (13, "unlocked", false),
        TraceEvent::Disarmed { .. } => (14, "disarmed", false),
        _ => return None,
    })
}

/// Whether the two commands of one job told one story in the protocol's order: `pre` only quiesces,
/// `post` only releases, `seq` counts up over both, every mount is frozen and thawed once, in
/// mirrored order.
///
/// # Errors
/// What stood where it must not, in words.
pub fn check_order(job: &str, pre: &Trace, post: &Trace) -> Result<(), String> {
    understood(pre, "pre-script")?;
    understood(post, "post-script")?;
    two_in_order(job, pre, post).map_err(out_of_order)
}

fn out_of_order(why: String) -> String {
    format!("events out of order: {why}")
}

fn two_in_order(job: &str, pre: &Trace, post: &Trace) -> Result<(), String> {
    check_hello(job, pre, "pre-script")?;
    check_hello(job, post, "post-script")?;
    if let (Some(last), Some(first)) = (pre.lines.last(), post.lines.first())
        && first.seq <= last.seq
    {
        return Err(format!(
            "post-script began at seq {}, not after {}",
            first.seq, last.seq
        ));
    }
    for (trace, fits) in [
        (pre, (|place| place <= READY) as fn(u8) -> bool),
        (post, |place| place >= RELEASE),
    ] {
        if let Some((_, name, _)) = trace
            .events()
            .filter_map(rank)
            .find(|(place, ..)| !fits(*place))
        {
            return Err(format!("{name} was said by the wrong command"));
        }
    }
    rising(pre.events().chain(post.events()))?;
    mirrored(pre, post)
}

/// Whether the one command of autonomous mode told its story in the protocol's order: the request was
/// made after the last freeze and answered before the release, each exactly once; what the answer
/// holds was said after it; everything that the request needs was at hand before the first freeze.
///
/// # Errors
/// What stood where it must not, or is missing, in words.
pub fn check_one(job: &str, trace: &Trace) -> Result<(), String> {
    understood(trace, "snapshot")?;
    one_in_order(job, trace).map_err(out_of_order)
}

fn one_in_order(job: &str, trace: &Trace) -> Result<(), String> {
    check_hello(job, trace, "snapshot")?;
    rising(trace.events())?;
    for (there, name) in [
        (trace.events().any(|s| *s == TraceEvent::Request), "request"),
        (trace.answer().is_some(), "answer"),
        (trace.events().any(|s| *s == TraceEvent::Release), "release"),
    ] {
        if !there {
            return Err(format!("nobody said {name}"));
        }
    }
    let (mut frozen, mut answered) = (false, false);
    for said in trace.events() {
        match said {
            TraceEvent::Frozen { .. } => frozen = true,
            TraceEvent::Answer { .. } => answered = true,
            TraceEvent::Prepared { .. } if frozen => {
                return Err("prepared came after frozen".to_owned());
            }
            TraceEvent::Snapshot { .. } if !answered => {
                return Err("a snapshot was named before the answer".to_owned());
            }
            _ => {}
        }
    }
    mirrored(trace, trace)
}

/// Every line of it was understood: one that was not may have said what breaks the chain.
fn understood(trace: &Trace, command: &str) -> Result<(), String> {
    match trace.malformed.first() {
        Some(bad) => Err(format!(
            "not everything that {command} said arrived whole: line {} could not be understood, {}",
            bad.line_no, bad.why
        )),
        None => Ok(()),
    }
}

/// Checks that the lines of a trace are in order, and that its `hello` names this job and command.
fn check_hello(job: &str, trace: &Trace, command: &str) -> Result<(), String> {
    if let Some(why) = &trace.out_of_order {
        return Err(format!("{command}: {why}"));
    }
    match trace.lines.first().map(|l| &l.said) {
        Some(TraceEvent::Hello {
            job: of,
            command: is,
            ..
        }) if of == job && is == command => Ok(()),
        Some(TraceEvent::Hello {
            job: of,
            command: is,
            ..
        }) => Err(format!("{command}: the trace is of {is} of job {of}")),
        _ => Err(format!("{command}: hello is not the first line")),
    }
}

fn rising<'a>(events: impl Iterator<Item = &'a TraceEvent>) -> Result<(), String> {
    let mut highest = (0, "");
    let mut alive = false;
    for (place, name, repeats) in events.filter_map(rank) {
        if name == "alive" {
            let late = highest.1 == "thawed" && !alive;
            alive = true;
            if late {
                // No thaw may follow it.
                highest = (LATE, name);
                continue;
            }
        }
        if place < highest.0 {
            return Err(format!("{name} came after {}", highest.1));
        }
        if place == highest.0 && !repeats {
            return Err(format!("{name} came twice"));
        }
        highest = (place, name);
    }
    Ok(())
}

/// Every mount is frozen once, and the thaws are the freezes in reverse order.
fn mirrored(froze: &Trace, thawed: &Trace) -> Result<(), String> {
    let frozen = froze.frozen_mounts();
    for (i, mount) in frozen.iter().enumerate() {
        if frozen.iter().skip(i + 1).any(|other| other == mount) {
            return Err(format!("{mount} was frozen twice"));
        }
    }
    let thaws = thawed.events().filter_map(|said| match said {
        TraceEvent::Thawed { mount, .. } => Some(mount.as_str()),
        _ => None,
    });
    if !frozen.iter().rev().copied().eq(thaws) {
        return Err("the thaws are not the freezes in reverse order".to_owned());
    }
    Ok(())
}
