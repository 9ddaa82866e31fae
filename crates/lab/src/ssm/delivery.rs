//! A command's way to an agent and back: latency, offline agents, the agent's slots, time limits, cancel.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::document::Parameters;
use super::record::{CommandRecord, Detail, Plugin, amount};
use crate::caller::Caller;
use crate::json::{ServiceError, required, strings};
use crate::runtime::{Invocation, InvocationEnd};
use crate::world::{AgentStatus, InstanceState};
use crate::{Lab, Mishap};

/// How often an agent that does not answer is looked at again.
const POLL: Duration = Duration::from_secs(1);
/// From then on a command for an agent that is not connected is `Delayed`.
const DELAYED_AFTER: chrono::TimeDelta = chrono::TimeDelta::seconds(2);
/// Past its last moment the service takes so long to say that a command was not delivered.
const WORD_OF_TIMEOUT: chrono::TimeDelta = chrono::TimeDelta::seconds(15);
/// After so long the agent says that the worker of a command is gone.
const WORKER_MISSED: Duration = Duration::from_secs(60);
/// What it says then.
const WORKER_GONE: &str = "document process failed unexpectedly: ipc messaging received timeout signal , check \
                           [ssm-document-worker]/[ssm-session-worker] log for crash reason";
/// The exit code with which a script asks for a reboot.
const REBOOT: i32 = 194;

/// How many invocations of a command run at once.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    max_errors: usize,
}

impl Gate {
    pub(super) fn of(command: &CommandRecord) -> Self {
        let targets = command.invocations.len();
        let concurrency =
            amount(&command.max_concurrency, targets).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(concurrency)),
            max_errors: command.error_limit(),
        }
    }
}

/// One command on one instance, on its way.
struct Delivery {
    lab: Lab,
    region: String,
    command: String,
    instance: String,
    requested: DateTime<Utc>,
    not_started_by: DateTime<Utc>,
    /// When the service says that it heard nothing.
    given_up: DateTime<Utc>,
    parameters: Parameters,
    document: String,
    plugins: Vec<Plugin>,
    gate: Gate,
    mishap: Option<Mishap>,
    /// Counts it as long as it is under way.
    _under_way: Arc<()>,
}

/// Sends the command on its way; it goes on by itself.
pub(super) fn start(lab: &Lab, region: &str, command: &str, instance: &str, gate: Gate) {
    let mut world = lab.world_of(region);
    if let Some(invocation) =
        (world.ssm.commands.get_mut(command)).and_then(|command| command.invocation_mut(instance))
    {
        invocation.detail = Detail::Sent;
    }
    let Some(record) = world.ssm.commands.get(command) else {
        return;
    };
    let Some(invocation) = record.invocation(instance) else {
        return;
    };
    let document_command = record
        .parameters
        .get("command")
        .and_then(|values| values.first());
    let mishap = lab
        .faults()
        .befalls(document_command.map_or("", String::as_str));
    let delivery = Delivery {
        lab: lab.clone(),
        region: region.to_owned(),
        command: command.to_owned(),
        instance: instance.to_owned(),
        requested: record.requested,
        not_started_by: record.requested
            + chrono::Duration::from_std(record.delivery).unwrap_or_default(),
        given_up: record.expires() + WORD_OF_TIMEOUT,
        parameters: record.parameters.clone(),
        document: record.document.clone(),
        plugins: invocation.plugins.clone(),
        gate,
        mishap,
        _under_way: Arc::clone(&world.ssm.under_way),
    };
    let cancel = invocation.cancel.clone();
    let stopping = lab.stopping().clone();
    drop(world);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = delivery.go(&cancel) => {}
        }
    });
}

impl Delivery {
    async fn go(self, cancel: &tokio_util::sync::CancellationToken) {
        if let Some(Mishap::Late(after)) = self.mishap {
            let due = self.requested + chrono::Duration::from_std(after).unwrap_or_default();
            let waits = async {
                let taken = self.not_started_by.min(due);
                self.until(taken.min(self.requested + DELAYED_AFTER)).await;
                if self.lab.clock().now() < taken {
                    self.delay();
                }
                self.until(taken).await;
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = waits => {}
            }
            if due > self.not_started_by {
                // The service gives it up; the agent has it all the same, and nobody hears how it went.
                let word = async {
                    self.until(self.given_up).await;
                    self.finish(Detail::DeliveryTimedOut);
                };
                let deed = async {
                    self.until(due).await;
                    for index in 0..self.plugins.len() {
                        self.run(index).await;
                    }
                };
                tokio::join!(word, deed);
                return;
            }
        }
        let started = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            started = self.wait_for_agent() => started,
        };
        if !started {
            // The service gives up on a command only when the time for running it is over too.
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = self.until(self.given_up) => self.finish(Detail::DeliveryTimedOut),
            }
            return;
        }
        let slots = self
            .lab
            .world_of(&self.region)
            .ssm
            .agent_slots(&self.instance);
        let waiting = async {
            (
                Arc::clone(&self.gate.slots).acquire_owned().await,
                slots.acquire_owned().await,
            )
        };
        let _held = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = self.until(self.given_up) => return self.finish(Detail::DeliveryTimedOut),
            held = waiting => held,
        };
        if self.too_many_errors() {
            return self.finish(Detail::Terminated);
        }
        for index in 0..self.plugins.len() {
            if !self.begin(index) {
                return;
            }
            let begun = self.befall();
            let ran = tokio::select! {
                biased;
                ran = self.run(index) => ran.map(|end| (end, false)),
                () = self.worker_missed() => Some((worker_gone(), true)),
            };
            let Some((mut end, lost)) = ran else {
                return self.finish(Detail::DeliveryTimedOut);
            };
            begun.abort();
            match self.mishap {
                // A signal that the agent did not send has no code (aws-facts-3, section 0).
                Some(Mishap::Killed(_)) if end.cancelled => {
                    (end.cancelled, end.exit_code) = (false, -1);
                }
                Some(Mishap::TimedOut(_)) if end.cancelled => {
                    (end.cancelled, end.timed_out) = (false, true);
                }
                Some(Mishap::Truncated(characters)) => {
                    end.stdout = end.stdout.chars().take(characters).collect();
                }
                _ => {}
            }
            let detail = if lost { Detail::Failed } else { verdict(&end) };
            self.record(index, end, detail);
            if detail != Detail::Success {
                return self.finish(detail);
            }
        }
        self.finish(Detail::Success);
    }

    /// True when the agent took the command, false when nobody did in time.
    async fn wait_for_agent(&self) -> bool {
        let latency = {
            let world = self.lab.world_of(&self.region);
            world
                .instances
                .get(&self.instance)
                .map_or(0, |instance| instance.command_latency_ms)
        };
        self.lab.clock().sleep(Duration::from_millis(latency)).await;
        while !self.agent_online() {
            let now = self.lab.clock().now();
            if now >= self.not_started_by {
                return false;
            }
            if now - self.requested >= DELAYED_AFTER {
                self.delay();
            }
            self.lab.clock().sleep(POLL).await;
        }
        true
    }

    /// Systems Manager has noticed that the agent is not connected.
    fn delay(&self) {
        let mut world = self.lab.world_of(&self.region);
        let invocation = world
            .ssm
            .commands
            .get_mut(&self.command)
            .and_then(|command| command.invocation_mut(&self.instance));
        if let Some(invocation) = invocation.filter(|i| i.detail == Detail::Sent) {
            invocation.detail = Detail::Delayed;
        }
    }

    fn agent_online(&self) -> bool {
        let world = self.lab.world_of(&self.region);
        let instance = world.instances.get(&self.instance);
        instance.is_some_and(|instance| {
            instance.state == InstanceState::Running && instance.agent.status == AgentStatus::Online
        })
    }

    async fn until(&self, at: DateTime<Utc>) {
        while let Ok(left) = (at - self.lab.clock().now()).to_std() {
            if left.is_zero() {
                return;
            }
            self.lab.clock().sleep(left).await;
        }
    }

    fn too_many_errors(&self) -> bool {
        let world = self.lab.world_of(&self.region);
        world
            .ssm
            .commands
            .get(&self.command)
            .is_some_and(|command| command.count(Detail::is_error) > self.gate.max_errors)
    }

    /// Ends when the agent says that the command's worker is gone; the script, if it runs still, runs on.
    async fn worker_missed(&self) {
        let Some(Mishap::WorkerLost(after)) = self.mishap else {
            return std::future::pending().await;
        };
        self.lab.clock().sleep(after).await;
        self.lab.clock().sleep(WORKER_MISSED).await;
    }

    /// Runs one step and waits for the agent's report; `None` when none came while the command was valid.
    async fn run(&self, index: usize) -> Option<InvocationEnd> {
        let invocation = self.invocation(index);
        let runtime = Arc::clone(self.lab.runtime());
        // The script runs on even when nobody hears of it any more.
        let running = tokio::spawn(async move { runtime.run(invocation).await });
        let reported = async {
            let began = self.lab.clock().now();
            let end = running.await.ok()?;
            if let Some(Mishap::WorkerLost(after)) = self.mishap
                && (self.lab.clock().now() - began)
                    .to_std()
                    .is_ok_and(|ran| ran > after)
            {
                // Nobody is there any more who would report it.
                return std::future::pending().await;
            }
            while !self.agent_online() {
                self.lab.clock().sleep(POLL).await;
            }
            Some(end)
        };
        tokio::select! {
            biased;
            end = reported => end,
            () = self.until(self.given_up) => None,
        }
    }

    fn invocation(&self, index: usize) -> Invocation {
        let step = &self.plugins[index].step;
        Invocation {
            command_id: self.command.clone(),
            again: false,
            instance: self.instance.clone(),
            document: self.document.clone(),
            parameters: self.parameters.clone(),
            script: step.script(&self.parameters),
            execution_timeout: Duration::from_secs(step.timeout_seconds(&self.parameters)),
        }
    }

    /// Lets happen what a fault plan has in store for a command that begins now. What it started ends when it is
    /// aborted, but for a second run, which nobody hears of.
    fn befall(&self) -> tokio::task::JoinHandle<()> {
        let (lab, mishap) = (self.lab.clone(), self.mishap);
        let (region, command, instance) = (
            self.region.clone(),
            self.command.clone(),
            self.instance.clone(),
        );
        if let (Some(Mishap::Twice(after)), false) = (mishap, self.plugins.is_empty()) {
            let mut again = self.invocation(0);
            again.again = true;
            let lab = lab.clone();
            tokio::spawn(async move {
                lab.clock().sleep(after).await;
                lab.runtime().run(again).await;
            });
        }
        if let Some(Mishap::AgentLost(time)) = mishap {
            let lab = lab.clone();
            set_agent(&lab, &region, &instance, AgentStatus::ConnectionLost);
            let (region, instance) = (region.clone(), instance.clone());
            tokio::spawn(async move {
                lab.clock().sleep(time).await;
                set_agent(&lab, &region, &instance, AgentStatus::Online);
            });
        }
        tokio::spawn(async move {
            let (after, cancelled) = match mishap {
                Some(Mishap::Cancelled(after)) => (after, true),
                Some(Mishap::Killed(after) | Mishap::TimedOut(after)) => (after, false),
                _ => return,
            };
            lab.clock().sleep(after).await;
            if cancelled {
                let mut world = lab.world_of(&region);
                let invocation = world
                    .ssm
                    .commands
                    .get_mut(&command)
                    .and_then(|command| command.invocation_mut(&instance));
                if let Some(invocation) = invocation.filter(|i| !i.detail.terminal()) {
                    invocation.detail = Detail::Cancelling;
                }
            }
            lab.runtime().cancel(&command, &instance).await;
        })
    }

    /// False when it was cancelled before it began.
    fn begin(&self, index: usize) -> bool {
        let mut world = self.lab.world_of(&self.region);
        let now = world.now.max(self.requested);
        let Some(invocation) = world
            .ssm
            .commands
            .get_mut(&self.command)
            .and_then(|command| command.invocation_mut(&self.instance))
        else {
            return false;
        };
        if invocation.cancel.is_cancelled() {
            invocation.detail = Detail::Cancelled;
            return false;
        }
        invocation.detail = Detail::InProgress;
        if let Some(plugin) = invocation.plugins.get_mut(index) {
            plugin.detail = Detail::InProgress;
            plugin.started = Some(now);
        }
        true
    }

    fn record(&self, index: usize, end: InvocationEnd, detail: Detail) {
        let mut world = self.lab.world_of(&self.region);
        let now = world.now;
        let invocation = world
            .ssm
            .commands
            .get_mut(&self.command)
            .and_then(|command| command.invocation_mut(&self.instance));
        if let Some(plugin) = invocation.and_then(|invocation| invocation.plugins.get_mut(index)) {
            plugin.detail = detail;
            plugin.ended = Some(now);
            plugin.code = end.exit_code;
            plugin.stdout = end.stdout;
            plugin.stderr = end.stderr;
            if end.exit_code == REBOOT {
                plugin.stderr.push_str("\nlab: exit 194 asks for a reboot, which the lab does not do: counted as failed");
            }
        }
    }

    fn finish(&self, detail: Detail) {
        let mut world = self.lab.world_of(&self.region);
        let invocation = world
            .ssm
            .commands
            .get_mut(&self.command)
            .and_then(|command| command.invocation_mut(&self.instance));
        if let Some(invocation) = invocation.filter(|invocation| !invocation.detail.terminal()) {
            invocation.detail = detail;
            for plugin in invocation
                .plugins
                .iter_mut()
                .filter(|plugin| !plugin.detail.terminal())
            {
                plugin.detail = detail;
            }
        }
    }
}

fn set_agent(lab: &Lab, region: &str, instance: &str, status: AgentStatus) {
    let mut world = lab.world_of(region);
    let now = world.now;
    if let Some(instance) = world.instances.get_mut(instance) {
        instance.agent.status = status;
        instance.agent.lost = (status == AgentStatus::ConnectionLost).then_some(now);
    }
}

/// What the agent reports when a command's worker is gone.
fn worker_gone() -> InvocationEnd {
    InvocationEnd {
        // Never set by anybody.
        exit_code: 0,
        stdout: WORKER_GONE.to_owned(),
        stderr: String::new(),
        timed_out: false,
        cancelled: false,
        elapsed: WORKER_MISSED,
    }
}

/// What the agent reports for an end.
fn verdict(end: &InvocationEnd) -> Detail {
    match end.exit_code {
        _ if end.cancelled => Detail::Cancelled,
        _ if end.timed_out => Detail::ExecutionTimedOut,
        0 => Detail::Success,
        137 => Detail::ExecutionTimedOut,
        _ => Detail::Failed,
    }
}

/// CancelCommand: what has not begun never will; what runs gets the agent's SIGKILL, best effort.
pub(super) async fn cancel(lab: &Lab, ctx: &Caller, body: &Value) -> Result<Value, ServiceError> {
    let id = required(body, "CommandId")?;
    let only = strings(body, "InstanceIds");
    let mut running = Vec::new();
    {
        let mut world = lab.world_of(&ctx.region);
        let command = world.ssm.commands.get_mut(id);
        let command = command.ok_or_else(|| {
            ServiceError::new("InvalidCommandId", format!("There is no command {id}"))
        })?;
        if let Some(unknown) = only.iter().find(|id| command.invocation(id).is_none()) {
            return Err(ServiceError::new(
                "InvalidInstanceId",
                format!("The command was not sent to {unknown}"),
            ));
        }
        let chosen = command
            .invocations
            .iter_mut()
            .filter(|invocation| only.is_empty() || only.contains(&invocation.instance));
        for invocation in chosen {
            match invocation.detail {
                Detail::Pending | Detail::Sent | Detail::Delayed => {
                    invocation.cancel.cancel();
                    invocation.detail = Detail::Cancelled;
                }
                Detail::InProgress => {
                    invocation.detail = Detail::Cancelling;
                    running.push(invocation.instance.clone());
                }
                _ => {}
            }
        }
    }
    for instance in running {
        let reachable = {
            let world = lab.world_of(&ctx.region);
            world
                .instances
                .get(&instance)
                .is_some_and(|instance| instance.agent.status == AgentStatus::Online)
        };
        if reachable {
            lab.runtime().cancel(id, &instance).await;
        }
    }
    Ok(json!({}))
}
