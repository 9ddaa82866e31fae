//! What no job and no restore accounts for any more: snapshots that carry a job's tag and were never
//! judged, and volumes that a restore made and nobody attached. Shown, and labelled `crash` on request;
//! nothing is deleted here.

use crate::domain::state::VolumeState;
use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::domain::ids::{InstanceId, JobId, Scope, SnapshotId, VolumeId};
use crate::domain::label;
use crate::domain::level::Level;
use crate::domain::problem::Problem;
use crate::domain::snapshot::Snapshot;
use crate::domain::tags;
use crate::domain::volume::Volume;
use crate::ops::Ops;
use crate::ops::set_calls;

/// Younger than this, in minutes, and another machine's job may be about to judge or attach it.
pub const SETTLED_AFTER_MIN: i64 = 30;

/// A set that was never judged, of a job that is not open on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrphanSet {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: Scope,
    /// The job by its tag.
    pub job: JobId,
    /// The instance by its tag.
    pub instance: Option<InstanceId>,
    /// When the first of these was initiated.
    pub started: DateTime<Utc>,
    /// Those that are still `pending`, with whatever the tag says of the others.
    pub snapshots: Vec<SnapshotId>,
    /// How many snapshots of that job there are in all.
    pub set_size: usize,
}

/// A volume that a restore made, attached to nothing, of a restore that is not open on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrphanVolume {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: Scope,
    /// The volume.
    pub volume: VolumeId,
    /// The restore by its tag.
    pub restore: String,
    /// The snapshot it was made from, by its tag.
    pub from: Option<String>,
    /// Size in GiB.
    pub size_gib: u32,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Orphans {
    /// Sets, oldest first.
    pub sets: Vec<OrphanSet>,
    /// Volumes, oldest first.
    pub volumes: Vec<OrphanVolume>,
}

impl Orphans {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.volumes.is_empty()
    }
}

/// Looks for them. Changes nothing.
///
/// # Errors
/// The journal's problem, or whatever AWS answered.
pub async fn list_orphans(ops: &Ops) -> Result<Orphans, Problem> {
    let open_jobs: HashSet<JobId> = ops
        .journal
        .open_jobs(ops.scope())?
        .into_iter()
        .map(|(view, _)| view.spec.job)
        .collect();
    let open_restores: HashSet<String> = ops
        .journal
        .open_restores(ops.scope())?
        .into_iter()
        .collect();
    let (snapshots, volumes) = tokio::join!(ops.session.snapshots(), ops.session.volumes());
    let before = ops.clock.now() - TimeDelta::minutes(SETTLED_AFTER_MIN);
    Ok(Orphans {
        sets: sets(&snapshots?.0, &open_jobs, before),
        volumes: left(&volumes?, &open_restores, before),
    })
}

fn sets(all: &[Snapshot], open: &HashSet<JobId>, before: DateTime<Utc>) -> Vec<OrphanSet> {
    let mut jobs: BTreeMap<JobId, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in all {
        let own = snapshot.copied_from().is_none();
        if let Some(job) = snapshot.job().filter(|job| own && !open.contains(job)) {
            jobs.entry(job).or_default().push(snapshot);
        }
    }
    let mut found: Vec<OrphanSet> = jobs
        .into_iter()
        .filter_map(|(job, members)| {
            let pending: Vec<&&Snapshot> = members
                .iter()
                .filter(|s| s.level() == Some(Level::Pending))
                .collect();
            let first = pending.iter().min_by_key(|s| s.started)?;
            let newest = members.iter().map(|s| s.started).max()?;
            (newest < before).then(|| OrphanSet {
                scope: first.scope.clone(),
                job,
                instance: first.instance(),
                started: first.started,
                snapshots: pending.iter().map(|s| s.id.clone()).collect(),
                set_size: members.len(),
            })
        })
        .collect();
    found.sort_by_key(|set| set.started);
    found
}

fn left(all: &[Volume], open: &HashSet<String>, before: DateTime<Utc>) -> Vec<OrphanVolume> {
    let mut found: Vec<OrphanVolume> = all
        .iter()
        .filter(|v| v.state == VolumeState::Available && v.attachments.is_empty())
        .filter(|v| v.created.is_some_and(|at| at < before))
        .filter_map(|v| {
            let restore = v.tags.get(tags::RESTORE)?;
            (!open.contains(restore)).then(|| OrphanVolume {
                scope: v.scope.clone(),
                volume: v.id.clone(),
                restore: crate::domain::text::visible(restore).into_owned(),
                from: v.tags.get(tags::RESTORED_FROM).map(str::to_owned),
                size_gib: v.size_gib,
                created: v.created,
            })
        })
        .collect();
    found.sort_by_key(|volume| volume.created);
    found
}

/// Labels every snapshot of these sets that was never judged `crash`. A label that somebody wrote since
/// they were found is left alone. Returns those that were labelled.
///
/// # Errors
/// The first write that failed; labelling again goes on from there.
pub async fn label(ops: &Ops, sets: &[OrphanSet]) -> Result<Vec<SnapshotId>, Problem> {
    let mut written = Vec::new();
    let volumes = ops.session.volumes().await?;
    for set in sets {
        ops.session.may_write("label a set", &set.scope)?;
        let now = ops.session.snapshots_by_id(&set.snapshots).await?;
        let pending = now.iter().filter(|s| s.level() == Some(Level::Pending));
        let labels = pending.map(|snapshot| {
            let volume = volumes.iter().find(|v| v.id == snapshot.volume);
            label::unjudged(snapshot, volume, set.set_size)
        });
        let came = set_calls::label(ops, &set.job, labels.collect()).await;
        written.extend(came.labels.into_iter().map(|(snapshot, _)| snapshot));
        if let Some(problem) = came.problem {
            return Err(problem);
        }
    }
    Ok(written)
}
