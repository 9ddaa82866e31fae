//! The last things before a freeze: what the job must wait for, it waits for here, while nothing is frozen.

use crate::domain::state::SnapshotState;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::domain::ids::{InstanceId, VolumeId};
use crate::domain::job::{JobSpec, JobView, Mode, Phase};
use crate::domain::pace::{Bucket, VOLUME_SPACING, pending_limit};
use crate::domain::preflight::PreflightFacts;
use crate::domain::problem::{Kind, Problem};
use crate::domain::run::Limits;
use crate::domain::snapshot::Snapshot;
use crate::domain::text::visible;
use crate::ops::Ops;
use crate::ops::admission::groups::waits_for_group;
use crate::ops::admission::{lease, preflight, remote_jobs};
use crate::ops::command::wait_reasons::{Reserve, Waits};

/// Longest wait for a group that another run or another console holds.
const GROUP_PATIENCE: Duration = Duration::from_secs(120);
const GROUP_PAUSE: Duration = Duration::from_secs(2);
/// What was seen so long ago still holds; a few answers of AWS's fit into it.
const SOON: Duration = Duration::from_secs(5);
/// EC2's clock gives whole seconds, and need not be ours.
const CLOCK_GRACE: Duration = Duration::from_secs(1);

/// Preflight, and then everything that a freeze must not wait for: the group's turn, the volumes'
/// spacing, and the tokens of the calls to come, which are then kept in `reserve`. Preflight's time limit
/// does not count what is waited for here.
///
/// # Errors
/// Those of [`preflight::check`]; [`Kind::State`] when the group stays taken by another process or a
/// volume has as many pending snapshots as EC2 allows; [`Kind::Local`] when the journal refuses.
pub(in crate::ops) async fn check(
    ops: &Ops,
    spec: &JobSpec,
    limits: &Limits,
    waits: &Waits,
    reserve: &Reserve,
) -> Result<PreflightFacts, Problem> {
    let facts = preflight::check(ops, spec, waits).await?;
    let mut spec = spec.clone();
    if let Some(chosen) = &facts.mode {
        spec.choose(chosen);
    }
    let spec = &spec;
    let waited = all_that_waits(ops, spec, &facts, limits, waits, reserve).await?;
    last_look(ops, spec, waited).await?;
    Ok(facts)
}

/// What a freeze must not wait for, after a preflight that found these facts: asked for once more where Systems
/// Manager was too busy to take the command that freezes.
///
/// # Errors
/// As [`check`].
pub(in crate::ops) async fn turn(
    ops: &Ops,
    spec: &JobSpec,
    facts: &PreflightFacts,
    limits: &Limits,
    waits: &Waits,
    reserve: &Reserve,
) -> Result<(), Problem> {
    all_that_waits(ops, spec, facts, limits, waits, reserve).await?;
    last_look(ops, spec, true).await
}

/// Waits for the group, the volumes and the tokens, until none of them was waited for after the group was seen to
/// be free. Says whether anything was.
async fn all_that_waits(
    ops: &Ops,
    spec: &JobSpec,
    facts: &PreflightFacts,
    limits: &Limits,
    waits: &Waits,
    reserve: &Reserve,
) -> Result<bool, Problem> {
    let begun = Instant::now();
    loop {
        group_is_free(ops, spec, limits, waits).await?;
        let seen = Instant::now();
        volumes_are_ready(ops, facts, waits).await?;
        let wanted = reserve.lacks(tokens_of(spec.mode));
        reserve.keep(waits.tokens(ops.session.pace(), wanted).await);
        // Tokens are kept and volumes stay ready: only the group can have been taken meanwhile.
        if spec.group.is_none() || seen.elapsed() < SOON {
            return Ok(begun.elapsed() >= SOON);
        }
    }
}

/// The lease, and after a wait what preflight saw before it: nobody else at work there, credentials that outlive
/// the freeze.
async fn last_look(ops: &Ops, spec: &JobSpec, waited: bool) -> Result<(), Problem> {
    if !waited {
        return lease::renew(ops, spec);
    }
    preflight::credentials_last(ops, spec).await?;
    lease::claim(ops, spec).await
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
        // An unconfirmed thaw about one that is over does not hold up its group for ever.
        Phase::Done => false,
        _ if other.thaw_unconfirmed => true,
        Phase::Queued | Phase::Completing | Phase::Verifying => false,
        Phase::Preflight => order(other) < order(mine),
        Phase::Quiescing | Phase::Frozen | Phase::Snapshotting | Phase::Thawing => true,
    }
}

/// Within a run the turnstile sees to the group; this is for other runs and other processes on this host,
/// by the journal, and for other consoles, by what Systems Manager shows.
async fn group_is_free(
    ops: &Ops,
    spec: &JobSpec,
    limits: &Limits,
    waits: &Waits,
) -> Result<(), Problem> {
    let Some(group) = &spec.group else {
        return Ok(());
    };
    let most = usize::try_from(limits.freezes_per_group).unwrap_or(usize::MAX);
    let members = Members::of(ops, spec, &limits.group_tag, group).await?;
    let mut first = members.going_first(ops, spec, group).await?;
    if first.len() < most {
        return Ok(());
    }
    let until = Instant::now() + GROUP_PATIENCE;
    let free = async {
        while first.len() >= most {
            if Instant::now() >= until {
                return Err(taken(spec, group, &first));
            }
            tokio::time::sleep(GROUP_PAUSE).await;
            first = members.going_first(ops, spec, group).await?;
        }
        Ok(())
    };
    waits.during(waits_for_group(group), free).await
}

fn taken(spec: &JobSpec, group: &str, first: &[String]) -> Problem {
    Problem::new(
        Kind::State,
        format!("freeze {}", spec.instance),
        format!(
            "its group {} is taken by {}",
            visible(group),
            first.join(", ")
        ),
        "wait for the end of that job, or let this one be tried again with --retries",
    )
}

/// The other instances of a job's group.
struct Members {
    others: Vec<InstanceId>,
    /// When Systems Manager took in this job's dry run.
    mine: Option<DateTime<Utc>>,
}

impl Members {
    async fn of(ops: &Ops, spec: &JobSpec, tag: &str, group: &str) -> Result<Self, Problem> {
        let mut others = ops.session.running_with_tag(tag, group).await?;
        others.retain(|id| *id != spec.instance);
        let mine = if others.is_empty() {
            None
        } else {
            remote_jobs::announced(ops, &spec.instance, &spec.job).await?
        };
        Ok(Self { others, mine })
    }

    /// The jobs of the group that go before this one, in words.
    async fn going_first(
        &self,
        ops: &Ops,
        spec: &JobSpec,
        group: &str,
    ) -> Result<Vec<String>, Problem> {
        let open = ops.journal.open_jobs_in_group(ops.scope(), group)?;
        // Our own row is there since before preflight began; who cannot find it yields to everyone.
        let mine = open.iter().find(|job| job.spec.job == spec.job);
        let mut first: Vec<String> = open
            .iter()
            .filter(|other| other.spec.job != spec.job)
            .filter(|other| mine.is_none_or(|mine| goes_first(other, mine)))
            .map(|other| format!("{}, in another run", other.spec.named()))
            .collect();
        let looks = self.others.iter().map(|id| remote_jobs::jobs_on(ops, id));
        let elsewhere = futures::future::try_join_all(looks).await?;
        first.extend(
            elsewhere
                .into_iter()
                .flatten()
                .filter(|other| other.goes_before(self.mine, &spec.job))
                .map(|other| {
                    let (job, instance) = (visible(other.job.as_str()), &other.instance);
                    format!("job {job} on {instance}, started by another console")
                }),
        );
        Ok(first)
    }
}

/// EC2 refuses a second snapshot of a volume within 15 s, and more pending ones than the volume's type
/// allows. Either is better learned before the freeze than in it.
async fn volumes_are_ready(
    ops: &Ops,
    facts: &PreflightFacts,
    waits: &Waits,
) -> Result<(), Problem> {
    let volumes: Vec<VolumeId> = facts.in_set().map(|v| v.volume.clone()).collect();
    if volumes.is_empty() {
        return Ok(());
    }
    let now = ops.clock.now();
    let fresh = room(ops, &volumes, now).await?;
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

/// Whether EC2 takes one more pending snapshot of each volume. Answers with the snapshots that are pending or were
/// begun lately.
///
/// # Errors
/// [`Kind::State`]: as many are pending as EC2 allows.
pub(in crate::ops) async fn room(
    ops: &Ops,
    volumes: &[VolumeId],
    now: DateTime<Utc>,
) -> Result<Vec<Snapshot>, Problem> {
    let fresh = match ops.session.fresh_snapshots(volumes, now).await {
        Ok(fresh) => fresh,
        Err(problem) => {
            // Not being able to look is no reason to refuse: EC2 itself has the last word.
            tracing::warn!(%problem, "recent snapshots could not be read before the freeze");
            Vec::new()
        }
    };
    let open: Vec<&Snapshot> = fresh
        .iter()
        .filter(|s| s.state != SnapshotState::Completed)
        .collect();
    if !open.is_empty() {
        pending_leaves_room(ops, volumes, &open).await?;
    }
    Ok(fresh)
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
                    "{pending} of its snapshots {} not completed yet, and EC2 takes no more of a {kind} volume",
                    if pending == 1 { "is" } else { "are" }
                ),
                "wait until they complete, delete those that ended in error, or try again with --retries",
            ));
        }
    }
    Ok(())
}
