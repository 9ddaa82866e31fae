//! Systems Manager: agents, documents, Run Command.

use crate::domain::script_exit::ScriptExit;
use crate::domain::state::CommandStatus;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_ssm::operation::get_command_invocation::GetCommandInvocationOutput;
use aws_sdk_ssm::types as sdk;
use chrono::{DateTime, SecondsFormat, Utc};

use super::convert;
use super::error::problem;
use super::pace::Token;
use super::pages::all_pages;
use super::session::Session;
use crate::domain::command::{CommandEnd, CommandOutcome};
use crate::domain::held::Delivery;
use crate::domain::ids::{CommandId, InstanceId};
use crate::domain::instance::Agent;
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::ran::Ran;

/// A document as the account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentFacts {
    /// Sha256 of its content, in hex.
    pub hash: String,
    /// `Creating`, `Active`, `Updating`, `Deleting`, `Failed`.
    pub status: String,
    /// The default version's number.
    pub version: String,
    /// `Command`, `Automation`, `Session`, …
    pub kind: String,
}

/// One command to send.
#[derive(Debug, Clone)]
pub struct Command<'a> {
    /// Target; always exactly one, by id (aws-facts 3.1).
    pub instance: &'a InstanceId,
    /// Document name.
    pub document: &'a str,
    /// Sha256 of the document as reviewed; SSM refuses another content.
    pub hash: Option<&'a str>,
    /// Parameters.
    pub parameters: &'a BTreeMap<String, Vec<String>>,
    /// At most 100 characters; carries the job's id so that a lost reply can be found.
    pub comment: &'a str,
    /// Seconds in which it must start, 30 or more.
    pub delivery_s: i32,
}

/// A command as SSM knows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// Not visible yet, waiting, or running: how far it is.
    Running(Delivery),
    /// Over.
    Ended(CommandOutcome),
}

/// A command as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: CommandId,
    /// Its comment, empty when there is none. As it came: pass through `text::visible` before showing.
    pub comment: String,
    /// When Systems Manager took it in, by its clock.
    pub requested: DateTime<Utc>,
    /// Where it is, by the listing.
    pub status: CommandStatus,
    /// Its parameter `budgetSeconds`, where it has one.
    pub budget_s: Option<u32>,
    /// Its document's name.
    pub document: String,
}

/// What the agent says of a command whose worker is gone.
const WORKER_GONE: &str = "document process failed unexpectedly";

/// `Execution Timed Out` and `ExecutionTimedOut` are the same (aws-facts 3.3).
fn squeeze(details: &str) -> String {
    details
        .chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect()
}

/// How an invocation ended, or `None` while it runs. Details decide before the coarse status. `begun`: it has a
/// start, or said something. `said`: what it said, or the agent in its place.
fn ended(
    status: &CommandStatus,
    details: &str,
    exit: i32,
    begun: bool,
    said: &str,
) -> Option<CommandEnd> {
    // -1: not started, or not received (aws-facts 3.5).
    let cancelled = CommandEnd::Cancelled {
        may_have_run: begun || exit != -1,
    };
    // One that failed has a code of its own; where the agent lost its worker nobody set one (aws-facts-3, section 2).
    let failed = match exit == 0 || said.starts_with(WORKER_GONE) {
        true => CommandEnd::WorkerLost,
        false => CommandEnd::Failed { exit: exit.into() },
    };
    match squeeze(details).as_str() {
        "pending" | "inprogress" | "delayed" | "cancelling" => return None,
        "success" => return Some(CommandEnd::Success),
        // The total time passed without a report: it may well have run (aws-facts 3.4).
        "deliverytimedout" => return Some(CommandEnd::TimedOut { may_have_run: true }),
        // The agent killed it at its own time limit: it has begun and ended, and cannot begin again.
        "executiontimedout" => {
            return Some(CommandEnd::Failed {
                exit: if exit > 0 {
                    exit.into()
                } else {
                    ScriptExit::Killed
                },
            });
        }
        "failed" => return Some(failed),
        "cancelled" => return Some(cancelled),
        "undeliverable" | "terminated" | "invalidplatform" | "accessdenied" => {
            return Some(CommandEnd::NeverDelivered);
        }
        _ => {}
    }
    match status {
        CommandStatus::Success => Some(CommandEnd::Success),
        CommandStatus::Failed => Some(failed),
        CommandStatus::Cancelled => Some(cancelled),
        CommandStatus::TimedOut => Some(CommandEnd::TimedOut { may_have_run: true }),
        _ => None,
    }
}

/// How an invocation ended, or `None` while it runs.
fn end_of(out: &GetCommandInvocationOutput) -> Option<CommandEnd> {
    let status = out.status().map_or("", |s| s.as_str());
    let details = out.status_details().unwrap_or_default();
    let told = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    let begun = told(out.execution_start_date_time())
        || told(out.standard_output_content())
        || told(out.standard_error_content());
    let said = [out.standard_output_content(), out.standard_error_content()];
    let said = said.into_iter().flatten().find(|text| !text.is_empty());
    ended(
        &status.into(),
        details,
        out.response_code(),
        begun,
        said.unwrap_or_default(),
    )
}

/// How far an invocation is that has not ended.
fn delivery(details: &str) -> Delivery {
    match squeeze(details).as_str() {
        "inprogress" => Delivery::InProgress,
        "delayed" => Delivery::Delayed,
        "cancelling" => Delivery::Cancelling,
        _ => Delivery::Pending,
    }
}

impl Session {
    /// What Systems Manager knows of agents, by instance. Stopped instances are missing.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn agents(&self) -> Result<HashMap<InstanceId, Agent>, Problem> {
        let what = &format!("read SSM agents of {}", self.scope());
        let found = all_pages(what, move |token| async move {
            let out = self
                .ask(Bucket::AskSsm, || async {
                    self.ssm
                        .describe_instance_information()
                        .max_results(50)
                        .set_next_token(token.clone())
                        .send()
                        .await
                        .map_err(|e| problem(what, &e))
                })
                .await?;
            let rows = out
                .instance_information_list()
                .iter()
                .filter_map(|info| Some((InstanceId::from_api(info.instance_id()?), agent(info))))
                .collect();
            Ok((rows, out.next_token().map(str::to_owned)))
        })
        .await?;
        Ok(found.into_iter().collect())
    }

    /// What Systems Manager knows of one agent now.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn agent(&self, id: &InstanceId) -> Result<Agent, Problem> {
        let what = format!("ask for the SSM agent of {id}");
        let filter = sdk::InstanceInformationStringFilter::builder()
            .key("InstanceIds")
            .values(id.as_str())
            .build()
            .map_err(|e| Problem::new(Kind::Aws, &what, e.to_string(), "please report this"))?;
        let out = self
            .ask(Bucket::AskSsm, || async {
                self.ssm
                    .describe_instance_information()
                    .filters(filter.clone())
                    .send()
                    .await
                    .map_err(|e| problem(&what, &e))
            })
            .await?;
        Ok(out
            .instance_information_list()
            .first()
            .map_or(Agent::Absent, agent))
    }

    /// Whether an agent is connected now: it knows of a death at once, where the agent's ping is believed for minutes
    /// (aws-facts-3, section 0). It speaks of the message channel alone: an agent that may use no other than the older
    /// one is never connected, and takes commands all the same. `None` where nobody can say.
    pub async fn is_connected(&self, id: &InstanceId) -> Option<bool> {
        let what = format!("ask whether the SSM agent of {id} is connected");
        let asked = self
            .ask(Bucket::AskSsm, || async {
                let status = self.ssm.get_connection_status().target(id.as_str());
                status.send().await.map_err(|e| problem(&what, &e))
            })
            .await;
        match asked {
            Ok(out) => Some(*out.status()? == sdk::ConnectionStatus::Connected),
            Err(problem) => {
                tracing::debug!(%problem, "it is not needed");
                None
            }
        }
    }

    /// A document, or `None` when the account has none of that name.
    ///
    /// # Errors
    /// Whatever AWS answered but `InvalidDocument`.
    pub async fn document(&self, name: &str) -> Result<Option<DocumentFacts>, Problem> {
        let what = format!("read the SSM document {name}");
        let answer = self
            .ask(Bucket::AskSsm, || async {
                let described = self.ssm.describe_document().name(name).send().await;
                described.map_err(|e| problem(&what, &e))
            })
            .await;
        match answer {
            Ok(out) => Ok(out.document().map(|d| DocumentFacts {
                hash: d.hash().unwrap_or_default().to_lowercase(),
                status: d.status().map_or("unknown", |s| s.as_str()).to_owned(),
                version: d.default_version().unwrap_or_default().to_owned(),
                kind: d
                    .document_type()
                    .map_or("unknown", |k| k.as_str())
                    .to_owned(),
            })),
            Err(p) if p.code.as_deref() == Some("InvalidDocument") => Ok(None),
            Err(p) => Err(p),
        }
    }

    /// The content of a document's default version, as JSON whatever it was written in.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn document_content(&self, name: &str) -> Result<String, Problem> {
        let what = format!("read the content of the SSM document {name}");
        self.ask(Bucket::AskSsm, || async {
            let read = self
                .ssm
                .get_document()
                .name(name)
                .document_format(sdk::DocumentFormat::Json);
            let read = read.send().await.map_err(|e| problem(&what, &e))?;
            Ok(read.content().unwrap_or_default().to_owned())
        })
        .await
    }

    /// Creates a document. False when there is one of that name, which stays as it is.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn create_document(&self, name: &str, content: &str) -> Result<bool, Problem> {
        let what = format!("install the SSM document {name}");
        let create = self
            .ssm_once
            .create_document()
            .name(name)
            .content(content)
            .document_type(sdk::DocumentType::Command)
            .document_format(sdk::DocumentFormat::Json)
            // DLM's managed policy may only send documents that carry this tag (aws-facts 1.3).
            .tags(
                sdk::Tag::builder()
                    .key("DLMScriptsAccess")
                    .value("true")
                    .build()
                    .map_err(|e| {
                        Problem::new(Kind::Aws, &what, e.to_string(), "please report this")
                    })?,
            )
            .send()
            .await
            .map(|_| true)
            .map_err(|e| problem(&what, &e));
        match create {
            Err(p) if p.code.as_deref() == Some("DocumentAlreadyExists") => Ok(false),
            other => other,
        }
    }

    /// Gives a document another content; answers which version has it. That is not the default one yet.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn update_document(&self, name: &str, content: &str) -> Result<String, Problem> {
        let what = format!("update the SSM document {name}");
        let updated = self
            .ssm_once
            .update_document()
            .name(name)
            .content(content)
            .document_version("$LATEST")
            .document_format(sdk::DocumentFormat::Json)
            .send()
            .await
            .map_err(|e| problem(&what, &e));
        match updated {
            Ok(out) => Ok(out
                .document_description()
                .and_then(|d| d.document_version())
                .unwrap_or("1")
                .to_owned()),
            // An older version has this very content: that one becomes the default again.
            Err(p) if p.code.as_deref() == Some("DuplicateDocumentContent") => {
                self.version_with(name, content).await?.ok_or(p)
            }
            Err(p) => Err(p),
        }
    }

    /// Makes this version of a document the one that is run. Repeating it does no harm.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn make_default(&self, name: &str, version: &str) -> Result<(), Problem> {
        let what = &format!("make version {version} of the SSM document {name} the default");
        self.ask(Bucket::AskSsm, || async {
            self.ssm
                .update_document_default_version()
                .name(name)
                .document_version(version)
                .send()
                .await
                .map(drop)
                .map_err(|e| problem(what, &e))
        })
        .await
    }

    /// The newest version of a document whose content is this, if there is one.
    async fn version_with(&self, name: &str, content: &str) -> Result<Option<String>, Problem> {
        let what = format!("read the versions of the SSM document {name}");
        let described = self
            .ask(Bucket::AskSsm, || async {
                let described = self.ssm.describe_document().name(name).send().await;
                described.map_err(|e| problem(&what, &e))
            })
            .await?;
        let latest: u32 = described
            .document()
            .and_then(|d| d.latest_version())
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        // Versions count up from 1; one that was deleted is skipped.
        for version in (1..=latest).rev().map(|n| n.to_string()) {
            let answer = self
                .ask(Bucket::AskSsm, || async {
                    let read = self.ssm.get_document().name(name);
                    let read = read.document_version(&version).send().await;
                    read.map_err(|e| problem(&what, &e))
                })
                .await;
            match answer {
                Ok(out) if out.content() == Some(content) => return Ok(Some(version)),
                Ok(_) => {}
                Err(p) if p.code.as_deref() == Some("InvalidDocumentVersion") => {}
                Err(p) => return Err(p),
            }
        }
        Ok(None)
    }

    /// Sends a command to one instance, when there is a token for it. One attempt: there is no client token.
    ///
    /// # Errors
    /// With `may_have_happened` when no answer came.
    pub async fn send_command(&self, command: &Command<'_>) -> Result<CommandId, Problem> {
        let token = self.pace.set_aside(Bucket::SendCommand).await;
        self.send_command_with(token, command).await
    }

    /// As [`Self::send_command`], at once, with a token that was set aside for it.
    ///
    /// # Errors
    /// As [`Self::send_command`].
    pub async fn send_command_with(
        &self,
        token: Token,
        command: &Command<'_>,
    ) -> Result<CommandId, Problem> {
        token.spend();
        let sent = self.send_with(&self.ssm_once, command).await;
        let sent = self.pace.learn(Bucket::SendCommand, sent)?;
        let word = command.parameters.get("command").and_then(|v| v.first());
        if word.is_some_and(|word| word == "pre-script") {
            self.poller.hasten(&sent);
        }
        Ok(sent)
    }

    /// Sends a command that thaws, with little patience for the answer: one attempt, safe to repeat. It waits for
    /// no token: it has the one that was set aside for it, or takes the next one's.
    ///
    /// # Errors
    /// With `may_have_happened` when no answer came.
    pub async fn send_rescue(
        &self,
        token: Option<Token>,
        command: &Command<'_>,
    ) -> Result<CommandId, Problem> {
        match token {
            Some(token) => token.spend(),
            None => self.pace.take_now(Bucket::SendCommand),
        }
        let sent = self.send_with(&self.ssm_thaw, command).await;
        self.pace.learn(Bucket::SendCommand, sent)
    }

    async fn send_with(
        &self,
        client: &aws_sdk_ssm::Client,
        command: &Command<'_>,
    ) -> Result<CommandId, Problem> {
        let what = format!("send {} to {}", command.document, command.instance);
        let mut request = client
            .send_command()
            .document_name(command.document)
            .instance_ids(command.instance.as_str())
            .comment(command.comment)
            .timeout_seconds(command.delivery_s)
            .set_parameters(Some(command.parameters.clone().into_iter().collect()));
        if let Some(hash) = command.hash {
            request = request
                .document_hash(hash)
                .document_hash_type(sdk::DocumentHashType::Sha256);
        }
        let out = request.send().await.map_err(|e| problem(&what, &e))?;
        out.command()
            .and_then(|c| c.command_id())
            .map(CommandId::from_api)
            .ok_or_else(|| {
                let mut p = Problem::new(
                    Kind::Malformed,
                    &what,
                    "the answer names no command",
                    "look at Run Command's history before trying again",
                );
                p.may_have_happened = true;
                p
            })
    }

    /// How a command stands on an instance. Output is empty until it has ended.
    ///
    /// # Errors
    /// Whatever AWS answered but "not visible yet", which counts as running.
    pub async fn poll_command(
        &self,
        command: &CommandId,
        instance: &InstanceId,
    ) -> Result<Polled, Problem> {
        self.ask(Bucket::GetCommandInvocation, || {
            self.poll_once(command, instance)
        })
        .await
    }

    /// When a command ran.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn ran(&self, command: &CommandId, instance: &InstanceId) -> Result<Ran, Problem> {
        let what = &format!("ask when command {command} ran on {instance}");
        let call = || async {
            self.ssm
                .get_command_invocation()
                .command_id(command.as_str())
                .instance_id(instance.as_str())
                .send()
                .await
                .map_err(|e| problem(what, &e))
        };
        let out = self.ask(Bucket::GetCommandInvocation, call).await?;
        let mut ran = Ran::from_answer(
            out.execution_start_date_time(),
            out.execution_elapsed_time(),
            out.execution_end_date_time(),
        );
        // The end of one that may go on is the agent's, not its own.
        if !end_of(&out).is_some_and(|end| end.is_conclusive()) {
            ran.ended = None;
        }
        Ok(ran)
    }

    /// As [`Self::poll_command`], one attempt, its token taken already.
    pub(super) async fn poll_once(
        &self,
        command: &CommandId,
        instance: &InstanceId,
    ) -> Result<Polled, Problem> {
        let what = format!("ask how command {command} goes on {instance}");
        let answer = self
            .ssm
            .get_command_invocation()
            .command_id(command.as_str())
            .instance_id(instance.as_str())
            .send()
            .await;
        let out = match answer {
            Ok(out) => out,
            Err(e) => {
                let p = problem(&what, &e);
                return if p.code.as_deref() == Some("InvocationDoesNotExist") {
                    Ok(Polled::Running(Delivery::Taken))
                } else {
                    Err(p)
                };
            }
        };
        Ok(match end_of(&out) {
            None => Polled::Running(delivery(out.status_details().unwrap_or_default())),
            Some(end) => Polled::Ended(CommandOutcome {
                command: command.clone(),
                ended: end,
                stdout: out.standard_output_content().unwrap_or_default().to_owned(),
                stderr: out.standard_error_content().unwrap_or_default().to_owned(),
            }),
        })
    }

    /// The command that carries this comment, sent to this instance lately: how a lost reply is found.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub async fn find_command(
        &self,
        comment: &str,
        instance: &InstanceId,
    ) -> Result<Option<CommandId>, Problem> {
        let what = format!("look for the command \"{comment}\"");
        let mut token: Option<String> = None;
        loop {
            let (page, next) = self
                .commands_page(&what, instance, token.take(), Vec::new())
                .await?;
            if let Some(found) = page.into_iter().find(|c| c.comment == comment) {
                return Ok(Some(found.id));
            }
            match next {
                Some(next) => token = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// Every command that was sent to this instance at or after a moment.
    ///
    /// # Errors
    /// Whatever the first failing page answered.
    pub async fn commands_since(
        &self,
        instance: &InstanceId,
        since: chrono::DateTime<chrono::Utc>,
    ) -> Result<Vec<Listed>, Problem> {
        let after = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        self.commands(instance, sdk::CommandFilterKey::InvokedAfter, &after)
            .await
    }

    async fn commands(
        &self,
        instance: &InstanceId,
        key: sdk::CommandFilterKey,
        value: &str,
    ) -> Result<Vec<Listed>, Problem> {
        let what = &format!("read the commands of {instance}");
        let filters = vec![
            sdk::CommandFilter::builder()
                .key(key)
                .value(value)
                .build()
                .map_err(|e| Problem::new(Kind::Aws, what, e.to_string(), "please report this"))?,
        ];
        let filters = &filters;
        all_pages(what, move |token| async move {
            self.commands_page(what, instance, token, filters.clone())
                .await
        })
        .await
    }

    async fn commands_page(
        &self,
        what: &str,
        instance: &InstanceId,
        token: Option<String>,
        filters: Vec<sdk::CommandFilter>,
    ) -> Result<(Vec<Listed>, Option<String>), Problem> {
        let out = self
            .ask(Bucket::ListCommands, || async {
                self.ssm
                    .list_commands()
                    .instance_id(instance.as_str())
                    .set_filters(Some(filters.clone()).filter(|f| !f.is_empty()))
                    .max_results(50)
                    .set_next_token(token.clone())
                    .send()
                    .await
                    .map_err(|e| problem(what, &e))
            })
            .await?;
        let page = out.commands().iter().filter_map(listed).collect();
        let next = out.next_token().filter(|next| !next.is_empty());
        Ok((page, next.map(str::to_owned)))
    }

    /// Of these commands, the ones that have ended, by a listing of what was sent after that time; at most
    /// `pages` pages of 50. A command that is not visible yet, or lies behind the last page, is missing.
    ///
    /// # Errors
    /// Whatever AWS answered.
    pub(super) async fn ended_commands(
        &self,
        after: DateTime<Utc>,
        wanted: &BTreeSet<CommandId>,
        pages: usize,
    ) -> Result<BTreeSet<CommandId>, Problem> {
        let what = "list the commands that were sent lately";
        let after = sdk::CommandFilter::builder()
            .key(sdk::CommandFilterKey::InvokedAfter)
            .value(after.to_rfc3339_opts(SecondsFormat::Secs, true))
            .build()
            .map_err(|e| Problem::new(Kind::Aws, what, e.to_string(), "please report this"))?;
        let mut found = BTreeSet::new();
        let mut seen = 0;
        let mut token: Option<String> = None;
        for _ in 0..pages {
            let out = self
                .ask(Bucket::ListCommands, || async {
                    self.ssm
                        .list_commands()
                        .filters(after.clone())
                        .max_results(50)
                        .set_next_token(token.clone())
                        .send()
                        .await
                        .map_err(|e| problem(what, &e))
                })
                .await?;
            for command in out.commands() {
                let Some(id) = command.command_id().map(CommandId::from_api) else {
                    continue;
                };
                if !wanted.contains(&id) {
                    continue;
                }
                seen += 1;
                let status = command.status().map_or("", |s| s.as_str());
                if !CommandStatus::from(status).is_open() {
                    found.insert(id);
                }
            }
            match out.next_token() {
                Some(next) if !next.is_empty() && seen < wanted.len() => {
                    token = Some(next.to_owned());
                }
                _ => break,
            }
        }
        Ok(found)
    }

    /// Asks for a command's end. Best effort, as AWS says.
    ///
    /// # Errors
    /// Whatever the last attempt answered.
    pub async fn cancel_command(
        &self,
        command: &CommandId,
        instance: &InstanceId,
    ) -> Result<(), Problem> {
        self.ssm_rescue
            .cancel_command()
            .command_id(command.as_str())
            .instance_ids(instance.as_str())
            .send()
            .await
            .map(drop)
            .map_err(|e| problem(&format!("cancel command {command}"), &e))
    }
}

fn listed(command: &sdk::Command) -> Option<Listed> {
    let budget = command.parameters().and_then(|p| p.get("budgetSeconds"));
    Some(Listed {
        id: CommandId::from_api(command.command_id()?),
        comment: command.comment().unwrap_or_default().to_owned(),
        requested: convert::time(command.requested_date_time()).unwrap_or_default(),
        status: command.status().map_or("", |s| s.as_str()).into(),
        document: command.document_name().unwrap_or_default().to_owned(),
        budget_s: budget.and_then(|values| values.first()?.parse().ok()),
    })
}

fn agent(info: &sdk::InstanceInformation) -> Agent {
    let last_ping = convert::time(info.last_ping_date_time());
    match info.ping_status().map(|p| p.as_str()) {
        Some("Online") => Agent::Online {
            version: info.agent_version().unwrap_or_default().to_owned(),
            last_ping,
        },
        Some(_) => Agent::Lost { last_ping },
        None => Agent::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(
        status: &str,
        details: &str,
        exit: i32,
        begun: bool,
        said: &str,
    ) -> Option<CommandEnd> {
        super::ended(&status.into(), details, exit, begun, said)
    }

    #[test]
    fn details_decide_before_status() {
        assert_eq!(
            ended("Failed", "Undeliverable", -1, false, ""),
            Some(CommandEnd::NeverDelivered)
        );
        assert_eq!(
            ended("TimedOut", "Delivery Timed Out", -1, false, ""),
            Some(CommandEnd::TimedOut { may_have_run: true })
        );
        assert_eq!(
            ended("TimedOut", "Execution Timed Out", -1, false, ""),
            Some(CommandEnd::Failed {
                exit: ScriptExit::Killed
            })
        );
        assert_eq!(ended("InProgress", "In Progress", -1, false, ""), None);
        assert_eq!(
            ended("Failed", "Failed", 201, false, ""),
            Some(CommandEnd::Failed {
                exit: ScriptExit::PreScriptFailed
            })
        );
        assert_eq!(
            ended("Success", "", 0, false, ""),
            Some(CommandEnd::Success)
        );
        assert_eq!(ended("SomethingNew", "Whatever", 0, false, ""), None);
    }

    #[test]
    fn what_was_cancelled_before_it_began_has_neither_a_start_nor_a_code() {
        for (exit, begun, may_have_run) in [
            (-1, false, false),
            (-1, true, true),
            (137, false, true),
            (137, true, true),
        ] {
            for details in ["Cancelled", ""] {
                assert_eq!(
                    ended("Cancelled", details, exit, begun, ""),
                    Some(CommandEnd::Cancelled { may_have_run }),
                    "{exit} {begun}"
                );
            }
            assert_eq!(ended("Cancelling", "Cancelling", exit, begun, ""), None);
        }
    }

    #[test]
    fn a_signal_is_an_end_and_a_lost_worker_is_none() {
        for details in ["Failed", ""] {
            let of = |exit, said| ended("Failed", details, exit, true, said);
            assert_eq!(
                of(-1, ""),
                Some(CommandEnd::Failed {
                    exit: ScriptExit::Unstated
                })
            );
            assert_eq!(of(0, ""), Some(CommandEnd::WorkerLost));
            let said = "document process failed unexpectedly: document worker timed out";
            for exit in [-1, 0, 1] {
                assert_eq!(of(exit, said), Some(CommandEnd::WorkerLost), "{exit}");
            }
        }
    }
}
