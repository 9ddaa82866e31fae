//! SSM: documents, Run Command and managed nodes, AWS JSON 1.1.

mod builtin;
mod command;
mod delivery;
mod document;
mod library;
mod nodes;
mod pattern;
mod record;
mod report;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

pub use super::json::ServiceError;
use super::{Lab, bounds, caller::Caller};
pub use document::Parameters;
use library::Document;
use record::CommandRecord;

/// Documents that one agent runs at the same time.
const AGENT_SLOTS: usize = 5;

/// SSM's books of one region.
#[derive(Debug)]
pub struct SsmState {
    documents: BTreeMap<String, Document>,
    /// By command id.
    commands: BTreeMap<String, CommandRecord>,
    /// The commands in the order of their coming, each with the bytes that it holds.
    history: VecDeque<(String, usize)>,
    /// Cloned by every invocation that has not ended, which counts them.
    under_way: Arc<()>,
    slots: BTreeMap<String, Arc<Semaphore>>,
}

impl Default for SsmState {
    /// AWS's own documents and freezeframe's.
    fn default() -> Self {
        let documents = builtin::all()
            .into_iter()
            .map(|document| (document.name.clone(), document))
            .collect();
        Self {
            documents,
            commands: BTreeMap::new(),
            history: VecDeque::new(),
            under_way: Arc::new(()),
            slots: BTreeMap::new(),
        }
    }
}

impl SsmState {
    /// How many commands this region remembers: all that were ever sent here, unless they were very many.
    pub fn command_count(&self) -> usize {
        self.commands.len()
    }

    /// How many invocations have not ended, those included that the service has given up and an agent still has.
    pub fn under_way(&self) -> usize {
        Arc::strong_count(&self.under_way) - 1
    }

    /// Takes a new command into the books. Where they would hold too much, the oldest commands that have ended go.
    ///
    /// # Errors
    /// `ThrottlingException` when too many have not ended.
    fn remember(&mut self, command: CommandRecord) -> Result<(), ServiceError> {
        let throttled = || ServiceError::new("ThrottlingException", "Rate exceeded");
        if self.under_way() + command.invocations.len() > bounds::INVOCATIONS {
            return Err(throttled());
        }
        let weight = command.weight();
        let mut held = weight + self.history.iter().map(|(_, weight)| weight).sum::<usize>();
        while held > bounds::COMMAND_BYTES {
            let over = self.history.iter().position(|(id, _)| {
                self.commands
                    .get(id)
                    .is_none_or(|command| command.count(|detail| !detail.terminal()) == 0)
            });
            let Some((id, freed)) = over.and_then(|at| self.history.remove(at)) else {
                return Err(throttled());
            };
            self.commands.remove(&id);
            held -= freed;
        }
        self.history.push_back((command.id.clone(), weight));
        self.commands.insert(command.id.clone(), command);
        Ok(())
    }

    fn agent_slots(&mut self, instance: &str) -> Arc<Semaphore> {
        Arc::clone(
            self.slots
                .entry(instance.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(AGENT_SLOTS))),
        )
    }
}

/// Answers one SSM operation.
///
/// # Errors
/// SSM's own error codes; `UnknownOperationException` for what the lab does not have.
pub async fn handle(
    lab: &Lab,
    ctx: &Caller,
    operation: &str,
    body: Value,
) -> Result<Value, ServiceError> {
    match operation {
        "SendCommand" => command::send(lab, ctx, &body),
        "CancelCommand" => delivery::cancel(lab, ctx, &body).await,
        "GetCommandInvocation" => report::get_invocation(&lab.world_of(&ctx.region), ctx, &body),
        "ListCommandInvocations" => {
            report::list_invocations(&lab.world_of(&ctx.region), ctx, &body)
        }
        "ListCommands" => report::list_commands(&lab.world_of(&ctx.region), &body),
        "DescribeInstanceInformation" => nodes::describe(&lab.world_of(&ctx.region), &body),
        "GetConnectionStatus" => nodes::connection(&lab.world_of(&ctx.region), &body),
        "CreateDocument" => library::create(&mut lab.world_of(&ctx.region), ctx, &body),
        "UpdateDocument" => library::update(&mut lab.world_of(&ctx.region), ctx, &body),
        "UpdateDocumentDefaultVersion" => {
            library::set_default(&mut lab.world_of(&ctx.region), &body)
        }
        "DescribeDocument" => library::describe(&lab.world_of(&ctx.region), &body),
        "GetDocument" => library::get(&lab.world_of(&ctx.region), &body),
        "ListDocuments" => library::list(&lab.world_of(&ctx.region), &body),
        "DeleteDocument" => library::delete(&mut lab.world_of(&ctx.region), &body),
        other => Err(ServiceError::new(
            "UnknownOperationException",
            format!("The lab's SSM has no operation {other}"),
        )),
    }
}

#[cfg(test)]
mod tests;
