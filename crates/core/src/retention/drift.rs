//! What may have changed between the review and the deletion.

use super::Decision;
use super::decide::{in_bin, kept_by};
use crate::level::{Level, Origin};
use crate::problem::{Kind, Problem};
use crate::set;
use crate::snapshot::Snapshot;
use crate::tags;

/// Compares a decision to delete with the snapshots of its job as AWS lists them now: membership, state,
/// level, owner, pin. `None` when nothing has changed.
pub fn drift(planned: &Decision, fresh: &[Snapshot]) -> Option<Problem> {
    let name = planned
        .job
        .as_ref()
        .map_or_else(|| "a snapshot".to_owned(), |job| format!("set {job}"));
    difference(planned, fresh).map(|cause| {
        Problem::new(
            Kind::State,
            format!("delete {name} as reviewed"),
            format!("it has changed since the review: {cause}"),
            "make a new plan and review it",
        )
    })
}

fn difference(planned: &Decision, fresh: &[Snapshot]) -> Option<String> {
    let Some(job) = &planned.job else {
        return Some("it is not ours".to_owned());
    };
    for old in &planned.snapshots {
        let Some(now) = fresh.iter().find(|s| s.id == old.id) else {
            return Some(format!("{} is gone", old.id));
        };
        if now.state != old.state {
            return Some(format!("{} was {}, is {}", old.id, old.state, now.state));
        }
        if now.volume != old.volume || now.device().unwrap_or("-") != old.device {
            return Some(format!("{} names another volume or device", old.id));
        }
        if now.job().as_ref() != Some(job) {
            return Some(format!("{} no longer carries the job's tag", old.id));
        }
        if now.origin != Origin::Freezeframe {
            return Some(format!("{} is {}", old.id, kept_by(&now.origin)));
        }
        if now.level() != old.tagged {
            let word = |level: Option<Level>| level.map_or("none".to_owned(), |l| l.to_string());
            return Some(format!(
                "the level of {} was {}, is {}",
                old.id,
                word(old.tagged),
                word(now.level())
            ));
        }
        if now.tags.get(tags::PIN).is_some() {
            return Some(format!("{} was pinned", old.id));
        }
        if now.tier != "standard" || in_bin(now) {
            return Some(format!(
                "{} was moved to another tier or to the Recycle Bin",
                old.id
            ));
        }
    }
    if let Some(new) = fresh
        .iter()
        .find(|s| !planned.snapshots.iter().any(|old| old.id == s.id))
    {
        return Some(format!("{} joined the set", new.id));
    }
    let sets = set::group(fresh);
    let [set] = sets.as_slice() else {
        return Some("its snapshots are no longer one set".to_owned());
    };
    if Some(set.tagged) != planned.tagged {
        return Some(format!("its level is {}", set.tagged));
    }
    if set.instance != planned.instance {
        return Some("it names another instance".to_owned());
    }
    // One that an earlier prune left half deleted is what was reviewed.
    if set.expected != planned.expected {
        return Some("its size no longer matches its members".to_owned());
    }
    None
}
