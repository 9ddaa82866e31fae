//! The last things before a freeze: what the job must wait for, it waits for here, while nothing is frozen.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::groups::waits_for_group;
use super::waits::{Reserve, Waits};
use super::{Ops, lease, preflight};
use crate::domain::ids::VolumeId;
use crate::domain::job::{JobSpec, JobView, Mode, Phase};
use crate::domain::machine::PreflightFacts;
use crate::domain::pace::{Bucket, VOLUME_SPACING, pending_limit};
use crate::domain::problem::{Kind, Problem};
use crate::domain::snapshot::Snapshot;

/// Longest wait for a group that another run or another console holds.
const GROUP_PATIENCE: Duration = Duration::from_secs(120);
const GROUP_PAUSE: Duration = Duration::from_secs(1);
/// EC2's clock gives whole seconds, and need not be ours.
const CLOCK_GRACE: Duration = Duration::from_secs(1);

/// Preflight, and then everything that a freeze must not wait for: the group's turn, the volumes'
/// spacing, and the tokens of the calls to come, which are then kept in `reserve`. Preflight's time limit
/// does not count what is waited for here.
///
/// # Errors
/// Those of [`preflight::check`]; [`Kind::State`] when the group stays taken by another process or a
/// volume has as many pending snapshots as EC2 allows; [`Kind::Local`] when the journal refuses.
pub(super) async fn check(
    ops: &Ops,
    spec: &JobSpec,
    per_group: u32,
    waits: &Waits,
    reserve: &Reserve,
) -> Result<PreflightFacts, Problem> {
    let facts = preflight::check(ops, spec, waits).await?;
    group_is_free(ops, spec, per_group, waits).await?;
    volumes_are_ready(ops, &facts, waits).await?;
    let wanted = tokens_of(spec.mode).iter().copied();
    reserve.keep(waits.tokens(ops.session.pace(), wanted).await);
    lease::renew(ops, spec)?;
    Ok(facts)
}

/// What a job asks of AWS between its freeze and its thaw, and for them.
fn tokens_of(mode: Mode) -> &'static [Bucket] {
    match mode {
        Mode::Coordinated => &[
            Bucket::SendCommand,
            Bucket::CreateSnapshots,
            Bucket::SendCommand,
        ],
        Mode::Autonomous => &[Bucket::SendCommand, Bucket::CreateSnapshots],
    }
}

/// Whether another job of the group goes before `mine`: it may hold a freeze, or it began earlier. Of two
/// that both look on, exactly one goes first.
fn goes_first(other: &JobView, mine: &JobView) -> bool {
    let order = |view: &JobView| (view.started(), view.spec.job.clone());
    match other.phase {
        _ if other.thaw_uncertain => true,
        Phase::Queued | Phase::Completing | Phase::Done | Phase::Verifying => false,
        Phase::Preflight => order(other) < order(mine),
        Phase::Quiescing | Phase::Frozen | Phase::Snapshotting | Phase::Thawing => true,
    }
}

/// Within a run the turnstile sees to the group; this is for other runs and other processes on this host.
async fn group_is_free(
    ops: &Ops,
    spec: &JobSpec,
    per_group: u32,
    waits: &Waits,
) -> Result<(), Problem> {
    let Some(group) = &spec.group else {
        return Ok(());
    };
    let until = tokio::time::Instant::now() + GROUP_PATIENCE;
    loop {
        let open = ops.journal.open_jobs_in_group(ops.scope(), group)?;
        // Our own row is there since before preflight began; who cannot find it yields to everyone.
        let mine = open.iter().find(|job| job.spec.job == spec.job);
        let first: Vec<&JobView> = open
            .iter()
            .filter(|other| other.spec.job != spec.job)
            .filter(|other| mine.is_none_or(|mine| goes_first(other, mine)))
            .collect();
        if u32::try_from(first.len()).unwrap_or(u32::MAX) < per_group {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            let names: Vec<&str> = first
                .iter()
                .map(|j| j.spec.instance_name.as_str())
                .collect();
            return Err(Problem::new(
                Kind::State,
                format!("freeze {}", spec.instance),
                format!(
                    "its group {group} is taken by {}, in another run",
                    names.join(", ")
                ),
                "wait for the end of that job, or let this one be tried again with --retries",
            ));
        }
        let pause = tokio::time::sleep(GROUP_PAUSE);
        waits.during(waits_for_group(group), pause).await;
    }
}

/// EC2 refuses a second snapshot of a volume within 15 s, and more pending ones than the volume's type
/// allows. Either is better learned before the freeze than in it.
async fn volumes_are_ready(
    ops: &Ops,
    facts: &PreflightFacts,
    waits: &Waits,
) -> Result<(), Problem> {
    let volumes: Vec<VolumeId> = facts.volumes.iter().map(|v| v.volume.clone()).collect();
    if volumes.is_empty() {
        return Ok(());
    }
    let now = ops.clock.now();
    let fresh = match ops.session.fresh_snapshots(&volumes, now).await {
        Ok(fresh) => fresh,
        Err(problem) => {
            // Not being able to look is no reason to refuse: EC2 itself has the last word.
            tracing::warn!(%problem, "recent snapshots could not be read before the freeze");
            Vec::new()
        }
    };
    let open: Vec<&Snapshot> = fresh.iter().filter(|s| s.state != "completed").collect();
    if !open.is_empty() {
        pending_leaves_room(ops, &volumes, &open).await?;
    }
    let known = ops.session.pace().spacing(&volumes);
    let wait = known.max(spacing_after(&fresh, now));
    if !wait.is_zero() {
        let words = format!(
            "waits {} s: EC2 spaces snapshots of a volume",
            wait.as_secs() + 1
        );
        waits.during(words, tokio::time::sleep(wait)).await;
    }
    Ok(())
}

/// How long until the newest of these is old enough.
fn spacing_after(fresh: &[Snapshot], now: DateTime<Utc>) -> Duration {
    let spacing = TimeDelta::from_std(VOLUME_SPACING + CLOCK_GRACE).unwrap_or_default();
    fresh
        .iter()
        // One from the future by more than that tells of clocks, not of spacing.
        .filter(|s| s.started - now < spacing)
        .filter_map(|s| (s.started + spacing - now).to_std().ok())
        .max()
        .unwrap_or_default()
        .min(VOLUME_SPACING + CLOCK_GRACE)
}

async fn pending_leaves_room(
    ops: &Ops,
    volumes: &[VolumeId],
    open: &[&Snapshot],
) -> Result<(), Problem> {
    let types = match ops.session.volumes_by_id(volumes).await {
        Ok(types) => types,
        Err(problem) => {
            tracing::warn!(%problem, "the volumes' types could not be read before the freeze");
            return Ok(());
        }
    };
    for volume in volumes {
        let pending = open.iter().filter(|s| s.volume == *volume).count();
        let kind = types.get(volume).map_or("gp3", |v| v.volume_type.as_str());
        if pending >= pending_limit(kind) {
            return Err(Problem::new(
                Kind::State,
                format!("snapshot {volume}"),
                format!(
                    "{pending} of its snapshots are not completed, and EC2 takes no more of a {kind} volume"
                ),
                "wait until they complete, delete those that ended in error, or try again with --retries",
            ));
        }
    }
    Ok(())
}
