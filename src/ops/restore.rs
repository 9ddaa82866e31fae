//! Restoring beside the data: volumes made, attached and mounted as planned; originals untouched.

use crate::domain::state::{AttachmentState, VolumeState};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::aws::ssm::{Command, Polled};
use crate::domain::command::CommandEnd;
use crate::domain::ids::VolumeId;
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::proof;
use crate::domain::restore::{
    self, ItemStatus, RestoreItem, RestorePlan, RestoreRequest, RestoreView, StepState,
};
use crate::domain::set_plan::SetOptions;
use crate::domain::text::visible;
use crate::ops::job::run;
use crate::ops::{Ops, inventory};
use crate::recipe::{document, events, mount};

/// Pause between two looks at a volume or a command.
const POLL: Duration = Duration::from_millis(500);
/// Looks before a volume that does not arrive is given up: ten minutes.
const LOOKS: u32 = 1_200;

/// Plans a restore from a fresh reading.
///
/// # Errors
/// Whatever reading answered, or what [`restore::plan`] refuses.
pub async fn plan(ops: &Ops, request: &RestoreRequest) -> Result<RestorePlan, Problem> {
    let inventory = inventory::read(ops).await?;
    let mut request = request.clone();
    for tag in &request.copy_tags {
        SetOptions::check_copied(tag).map_err(|why| {
            Problem::new(
                Kind::Usage,
                format!("copy the tag `{}`", visible(tag)),
                why,
                "name keys of the operator's own tags",
            )
        })?;
    }
    request
        .copy_tags
        .extend(ops.tagging.copy_tags.iter().cloned());
    let mut plan = restore::plan(&request, &inventory, &run::new_id())?;
    if let Some(set) = inventory.sets().iter().find(|set| set.job == plan.set) {
        // What only the journal has (files) is a help, not a condition: restoring must work without it.
        let job = ops
            .journal
            .job(&set.scope, &set.job)
            .unwrap_or_else(|problem| {
                tracing::warn!(%problem, "the journal cannot say what was kept with the set");
                None
            });
        let kept = proof::for_restore(set, &inventory.snapshots, job.as_ref());
        plan.warnings.extend(kept);
    }
    // The lines must reach the same account when they are pasted into a shell.
    let flags = ops.session.cli_flags();
    for call in &mut plan.calls {
        for service in ["ec2", "ssm"] {
            call.cli = call.cli.replace(
                &format!("aws {service} "),
                &format!("aws{flags} {service} "),
            );
        }
    }
    Ok(plan)
}

/// Carries out a plan, item by item. A failing item does not stop the others; nothing is undone and
/// nothing existing is touched. Views are sent on `updates` as they change.
///
/// # Errors
/// The plan is of another account or region, the session is read-only, or the journal refuses.
pub async fn run(
    ops: &Ops,
    plan: RestorePlan,
    updates: &mpsc::Sender<RestoreView>,
) -> Result<RestoreView, Problem> {
    run_until(ops, plan, updates, &CancellationToken::new()).await
}

/// As [`run()`]; once `stop` is cancelled no further item is begun. Those that were not begun stay `waiting`
/// and say so.
///
/// # Errors
/// As [`run()`].
pub async fn run_until(
    ops: &Ops,
    plan: RestorePlan,
    updates: &mpsc::Sender<RestoreView>,
    stop: &CancellationToken,
) -> Result<RestoreView, Problem> {
    ops.session.may_write("restore", &plan.scope)?;
    let items = plan
        .items
        .iter()
        .map(|item| ItemStatus {
            snapshot: item.snapshot.clone(),
            volume: None,
            state: StepState::Waiting,
            note: String::new(),
        })
        .collect();
    let mut view = RestoreView {
        plan,
        items,
        finished: false,
    };
    ops.journal.save_restore(&view, ops.clock.now())?;
    for n in 0..view.items.len() {
        let Some(item) = view.plan.items.get(n).cloned() else {
            break;
        };
        let mut step = Stepper {
            ops,
            updates,
            view: &mut view,
            n,
        };
        if stop.is_cancelled() {
            step.tell(
                StepState::Waiting,
                "not begun: it was stopped before".into(),
            )
            .await;
            continue;
        }
        if let Err(problem) = step.restore_item(&item).await {
            let volume = step.volume();
            let kept = volume.map_or(String::new(), |v| {
                format!(" (volume {v} exists and is kept)")
            });
            step.tell(
                StepState::Failed,
                format!("{problem}{kept}; {}", problem.hint),
            )
            .await;
        }
    }
    view.finished = true;
    ops.journal.save_restore(&view, ops.clock.now())?;
    let _ = updates.send(view.clone()).await;
    Ok(view)
}

/// Creates an item's volume; a lost reply is asked for again with the same token, which makes one
/// volume however often it is sent.
async fn created(ops: &Ops, item: &RestoreItem) -> Result<VolumeId, Problem> {
    let mut tries = 3;
    loop {
        tries -= 1;
        match ops.session.create_volume(item).await {
            Err(problem) if problem.may_have_happened && tries > 0 => {
                tokio::time::sleep(POLL).await
            }
            other => return other,
        }
    }
}

struct Stepper<'a> {
    ops: &'a Ops,
    updates: &'a mpsc::Sender<RestoreView>,
    view: &'a mut RestoreView,
    n: usize,
}

impl Stepper<'_> {
    fn volume(&self) -> Option<VolumeId> {
        self.view.items.get(self.n).and_then(|i| i.volume.clone())
    }

    async fn tell(&mut self, state: StepState, note: String) {
        if let Some(item) = self.view.items.get_mut(self.n) {
            item.state = state;
            item.note = crate::domain::text::visible(&note).into_owned();
        }
        if let Err(problem) = self
            .ops
            .journal
            .save_restore(self.view, self.ops.clock.now())
        {
            tracing::error!(%problem, "the restore's state could not be recorded");
        }
        let _ = self.updates.send(self.view.clone()).await;
    }

    async fn restore_item(&mut self, item: &RestoreItem) -> Result<(), Problem> {
        let ops = self.ops;
        let id = self.view.plan.id.clone();
        let target = self.view.plan.target.clone();
        self.tell(
            StepState::Creating,
            format!("creating a volume from {}", item.snapshot),
        )
        .await;
        let detail = format!(
            "{} {} GiB {} in {}",
            item.snapshot, item.size_gib, item.volume_type, item.zone
        );
        let volume = ops
            .recorded(
                &id,
                "CreateVolume",
                &detail,
                created(ops, item),
                ToString::to_string,
            )
            .await?;
        if let Some(status) = self.view.items.get_mut(self.n) {
            status.volume = Some(volume.clone());
        }
        self.wait(&volume, "available", |v| v.state == VolumeState::Available)
            .await?;
        self.tell(
            StepState::Attaching,
            format!("attaching {volume} as {}", item.device),
        )
        .await;
        let detail = format!("{volume} to {target} as {}", item.device);
        let attached = ops
            .recorded(
                &id,
                "AttachVolume",
                &detail,
                ops.session.attach_volume(&volume, &target, &item.device),
                |()| "attaching".to_owned(),
            )
            .await;
        match attached {
            // A lost reply: whether it attached is seen at the volume itself.
            Err(problem) if !problem.may_have_happened => return Err(problem),
            _ => {}
        }
        self.wait(&volume, "attached", |v| {
            v.attachments
                .iter()
                .any(|a| a.instance == target && a.state == AttachmentState::Attached)
        })
        .await?;
        if let Some(at) = &item.mount {
            self.tell(StepState::Mounting, format!("mounting {volume} at {at}"))
                .await;
            let words = self.mount(&id, &volume, at).await?;
            self.tell(StepState::Done, words).await;
        } else {
            self.tell(
                StepState::Done,
                format!("{volume} attached as {}", item.device),
            )
            .await;
        }
        Ok(())
    }

    async fn wait(
        &self,
        volume: &VolumeId,
        word: &str,
        ready: impl Fn(&crate::domain::volume::Volume) -> bool,
    ) -> Result<(), Problem> {
        for _ in 0..LOOKS {
            let now = self
                .ops
                .session
                .volumes_by_id(std::slice::from_ref(volume))
                .await?;
            match now.get(volume) {
                Some(v) if ready(v) => return Ok(()),
                Some(v) if v.state == VolumeState::Error => {
                    return Err(Problem::new(
                        Kind::State,
                        format!("wait for {volume}"),
                        "its state is error",
                        "check that the snapshot's encryption key is enabled; then delete the volume and restore again",
                    ));
                }
                // Not visible yet is not gone (aws-facts 8.3).
                _ => {}
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Problem::new(
            Kind::Timeout,
            format!("wait for {volume}"),
            format!("it did not become {word} in ten minutes"),
            "look at the volume in EC2; it is kept",
        ))
    }

    async fn mount(&self, id: &str, volume: &VolumeId, at: &str) -> Result<String, Problem> {
        let ops = self.ops;
        let target = &self.view.plan.target;
        let ours = document::by_name(mount::DOCUMENT)?;
        let parameters = mount::parameters(id, volume, at);
        let comment = format!("freezeframe mount {volume}");
        let command = Command {
            instance: target,
            document: mount::DOCUMENT,
            hash: Some(ours.hash.as_str()),
            parameters: &parameters,
            comment: &comment,
            delivery_s: 60,
        };
        let detail = format!("{} {volume} at {at} on {target}", mount::DOCUMENT);
        let token = ops.session.pace().set_aside(Bucket::SendCommand).await;
        let sent = ops
            .recorded(
                id,
                "SendCommand",
                &detail,
                ops.session.send_command_with(token, &command),
                ToString::to_string,
            )
            .await?;
        let what = format!("mount {volume} at {at}");
        for _ in 0..LOOKS {
            tokio::time::sleep(POLL).await;
            if let Polled::Ended(outcome) = ops.session.poll_command(&sent, target).await? {
                let trace = events::parse(&outcome.stdout);
                if let Some(refusal) = trace.first_error() {
                    return Err(crate::ops::admission::preflight::script_problem(
                        &what,
                        refusal.code(),
                        &refusal.text(),
                    ));
                }
                return match (outcome.ended, mount::mounted(&outcome.stdout)) {
                    (CommandEnd::Success, Some(there)) => Ok(format!(
                        "{volume} mounted at {} ({}, {})",
                        there.mount, there.fs, there.options
                    )),
                    (ended, _) => Err(Problem::new(
                        Kind::Script,
                        what,
                        format!(
                            "nothing was seen mounted: {}",
                            crate::ops::admission::preflight::end_in_words(&ended)
                        ),
                        "look at the command's output in Run Command's history; the volume is attached and kept",
                    )),
                };
            }
        }
        Err(Problem::new(
            Kind::Timeout,
            what,
            "the command did not end in ten minutes",
            "look at Run Command's history; the volume is attached and kept",
        ))
    }
}
