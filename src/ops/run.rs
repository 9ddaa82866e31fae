//! A run: the jobs started together.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ops, backup};
use crate::domain::ids::{JobId, RunId};
use crate::domain::instance::Instance;
use crate::domain::job::{JobSpec, JobView, Mode, OnFailure};
use crate::domain::problem::{Kind, Problem};
use crate::recipe::chosen::Chosen;

/// Jobs of one run that are under way at the same time. Caps per group come with fan-out.
const AT_ONCE: usize = 10;

/// What a run was asked for, beside its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// The run's id.
    pub run: RunId,
    /// Recipe for every instance; `None` takes each instance's tag.
    pub recipe: Option<String>,
    /// Document for every instance instead of a recipe: Data Lifecycle Manager's contract, whoever wrote it.
    pub document: Option<String>,
    /// Who calls `CreateSnapshots`.
    pub mode: Mode,
    /// Failsafe budget in seconds, 1 to 999; `None` takes the recipe's.
    pub budget_s: Option<u32>,
    /// What to do when quiescing fails.
    pub on_failure: OnFailure,
    /// Mounts to freeze; empty means every one that qualifies.
    pub mounts: Vec<String>,
}

/// A new id of the kind that jobs, runs and restores have.
pub fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What is asked of one instance, or why it cannot be asked.
///
/// # Errors
/// No recipe tag, an unknown recipe, or an instance that is not fit (see [`super::preflight::fit`]).
pub fn spec_for(ops: &Ops, instance: &Instance, options: &RunOptions) -> Result<JobSpec, Problem> {
    let recipe = chosen(ops, instance, options)?;
    if recipe.foreign && options.mode == Mode::Autonomous {
        return Err(Problem::new(
            Kind::Usage,
            format!("choose a mode for {} ({})", instance.name(), instance.id),
            format!(
                "{} is somebody else's document, which cannot take snapshots itself",
                recipe.document
            ),
            "take it with --mode coordinated",
        ));
    }
    Ok(JobSpec {
        job: JobId::from_api(new_id()),
        run: options.run.clone(),
        scope: ops.scope().clone(),
        instance: instance.id.clone(),
        instance_name: crate::domain::text::visible(instance.name()).into_owned(),
        recipe: recipe.name,
        document: recipe.document,
        mode: options.mode,
        budget_s: options.budget_s.unwrap_or(recipe.budget_s).clamp(1, 999),
        on_failure: options.on_failure,
        mounts: options.mounts.clone(),
        namespace: ops.namespace.to_string(),
        freeze_root: false,
        parameters: recipe.parameters,
        group: None,
        foreign: recipe.foreign,
    })
}

/// The recipe for an instance: the document or recipe that was named, else its tag's.
fn chosen(ops: &Ops, instance: &Instance, options: &RunOptions) -> Result<Chosen, Problem> {
    if let Some(document) = &options.document {
        return ops.recipes.document(document);
    }
    let word = options.recipe.as_deref().or_else(|| instance.recipe_tag()).ok_or_else(|| {
        Problem::new(
            Kind::Usage,
            format!("choose a recipe for {} ({})", instance.name(), instance.id),
            "it has no tag ConsistentSnapshot",
            "tag it, for example ConsistentSnapshot=linux-filesystem, or name a recipe with --recipe",
        )
    })?;
    ops.recipes.lookup(word, &instance.id).cloned()
}

/// Runs jobs to their end, a bounded number at a time, and returns their last views in the order given.
/// `cancel` thaws and stops each; `one` gives the token of a single job, so that it can be stopped alone.
pub async fn run_all(
    ops: &Ops,
    specs: Vec<JobSpec>,
    updates: mpsc::Sender<JobView>,
    one: impl Fn(&JobId) -> CancellationToken,
) -> Vec<Result<JobView, Problem>> {
    use futures::StreamExt as _;
    let jobs = specs.into_iter().map(|spec| {
        let token = one(&spec.job);
        backup::run_job(ops.clone(), spec, updates.clone(), token)
    });
    futures::stream::iter(jobs)
        .buffered(AT_ONCE)
        .collect()
        .await
}
