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

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

pub use super::json::ServiceError;
use super::{Lab, dispatch::CallContext};
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
            slots: BTreeMap::new(),
        }
    }
}

impl SsmState {
    /// How many commands were ever sent here.
    pub fn command_count(&self) -> usize {
        self.commands.len()
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
    ctx: &CallContext,
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
