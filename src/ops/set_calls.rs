//! The calls of a job that are not commands: its set, the set's labels, its metrics. Each is on record before it is made.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::aws::cloudwatch;
use crate::domain::ids::{JobId, SnapshotId};
use crate::domain::job::{JobSpec, Mode};
use crate::domain::label::{Label, Written};
use crate::domain::machine::MetricValue;
use crate::domain::pace::Bucket;
use crate::domain::problem::Problem;
use crate::domain::set_plan::{CreateCall, SetPlan};
use crate::domain::snapshot::CreatedSnapshot;
use crate::domain::tags::{self, Tags};
use crate::ops::Ops;
use crate::ops::command::wait_reasons::Waits;

/// What the console asks of EC2 for a job: description and call. The dry run before the freeze asks with the same.
pub(in crate::ops) fn request(spec: &JobSpec, plan: &SetPlan) -> (String, CreateCall) {
    let tags: Tags = [
        (tags::JOB, spec.job.as_str()),
        (tags::LEVEL, "pending"),
        (tags::RECIPE, spec.recipe.as_str()),
        (tags::INSTANCE, spec.instance.as_str()),
    ]
    .into_iter()
    .collect();
    let description = format!(
        "freezeframe {} of {} job {}",
        spec.recipe, spec.instance, spec.job
    );
    let asked = plan.call(&tags, Mode::Coordinated);
    (description, asked)
}

pub(in crate::ops) async fn create(
    ops: &Ops,
    spec: &JobSpec,
    plan: &SetPlan,
) -> Result<Vec<CreatedSnapshot>, Problem> {
    let (description, asked) = request(spec, plan);
    let call = ops
        .session
        .create_snapshots(&spec.instance, &description, &asked);
    let detail = if plan.left_out.is_empty() {
        format!("all volumes of {}", spec.instance)
    } else {
        format!(
            "volumes of {} without {}",
            spec.instance,
            plan.left_out_words()
        )
    };
    let made = ops
        .recorded(
            spec.job.as_str(),
            "CreateSnapshots",
            &detail,
            call,
            |made| {
                made.iter()
                    .map(|(id, _, _)| id.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            },
        )
        .await?;
    Ok(made
        .into_iter()
        .map(|(snapshot, volume, volume_gib)| CreatedSnapshot {
            snapshot,
            volume,
            volume_gib,
        })
        .collect())
}

/// How often a set is looked for, and the longest pause between; in all 90 s, after which a call whose answer
/// was lost has done what it will do, and everyone sees it (60 s for the call, 30 s for aws-facts 8.3).
pub(in crate::ops) const FIND_LOOKS: u32 = 7;
pub(in crate::ops) const FIND_PAUSE: Duration = Duration::from_secs(30);

/// The set by its tag. Something just made may need a moment to be visible, and a call that nobody waits for
/// any more may yet be carried out, so an answer that is empty, has fewer snapshots than the instance had volumes,
/// or lacks what is expected, is asked again before it is believed. Where preflight did not say how many `volumes` there
/// are, EC2 is asked; where it does not say either, every answer is.
pub(in crate::ops) async fn find_set_by_tag(
    ops: &Ops,
    spec: &JobSpec,
    expected: &[SnapshotId],
    volumes: usize,
) -> Result<Vec<CreatedSnapshot>, Problem> {
    let mut pause = Duration::from_secs(2);
    let mut volumes = volumes;
    for _ in 1..FIND_LOOKS {
        if volumes == 0 {
            let there = ops.session.instance(&spec.instance).await;
            volumes = there.map_or(0, |instance| instance.devices.len());
        }
        if let Ok(made) = set_of(ops, spec).await {
            let shown = |id: &SnapshotId| made.iter().any(|made| made.snapshot == *id);
            let known = volumes > 0 || !expected.is_empty();
            let whole = known && made.len() >= volumes && expected.iter().all(shown);
            if !made.is_empty() && whole {
                return Ok(made);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(FIND_PAUSE);
    }
    set_of(ops, spec).await
}

/// What EC2 shows under the job's tag now.
pub(in crate::ops) async fn set_of(
    ops: &Ops,
    spec: &JobSpec,
) -> Result<Vec<CreatedSnapshot>, Problem> {
    let found = ops.session.snapshots_of_job(&spec.job).await?;
    Ok(found
        .into_iter()
        .map(|s| CreatedSnapshot {
            snapshot: s.id,
            volume: s.volume,
            volume_gib: s.volume_gib,
        })
        .collect())
}

/// What the journal calls the writing of a label; its detail is the snapshot and the level.
pub(in crate::ops) const LABELS: &str = "CreateTags";

/// Writes these labels, and tells which of them stand. Writing one again changes nothing.
pub(in crate::ops) async fn label(ops: &Ops, job: &JobId, labels: Vec<Label>) -> Written {
    label_when_taken(ops, job, labels, &Waits::default()).await
}

pub(in crate::ops) async fn label_when_taken(
    ops: &Ops,
    job: &JobId,
    labels: Vec<Label>,
    waits: &Waits,
) -> Written {
    let wanted = labels.iter().map(|_| Bucket::CreateTags);
    let tokens = waits.tokens(ops.session.pace(), wanted).await;
    let writes = labels
        .into_iter()
        .zip(tokens)
        .map(|(label, token)| async move {
            let tags = label.tags();
            let detail = format!("{} {}", label.snapshot, label.level);
            ops.recorded(
                job.as_str(),
                LABELS,
                &detail,
                ops.session
                    .set_tags_with(token, label.snapshot.as_str(), &tags),
                |()| "tagged".to_owned(),
            )
            .await
            .map(|()| (label.snapshot, label.level))
        });
    let mut written = Written::default();
    for result in futures::future::join_all(writes).await {
        match result {
            Ok(stands) => written.labels.push(stands),
            Err(problem) => {
                written.problem.get_or_insert(problem);
            }
        }
    }
    written
}

/// The journal's name of the call that publishes a job's metrics.
pub(in crate::ops) const PUBLISH: &str = "PutMetricData";

/// Publishes a job's values as of `at`. On record like a call that is not idempotent: a second time the
/// values would count twice.
pub(in crate::ops) async fn publish(
    ops: &Ops,
    spec: &JobSpec,
    at: DateTime<Utc>,
    data: Vec<MetricValue>,
) -> Result<(), Problem> {
    let detail = format!("{} values of {}", data.len(), spec.instance);
    let data: Vec<cloudwatch::MetricDatum> = data
        .into_iter()
        .map(|d| cloudwatch::MetricDatum {
            metric: d.metric,
            drive: d.drive,
            value: d.value,
        })
        .collect();
    let call = ops
        .session
        .publish(&spec.namespace, &spec.instance, at, &data);
    ops.recorded(spec.job.as_str(), PUBLISH, &detail, call, |()| {
        "published".to_owned()
    })
    .await
}
