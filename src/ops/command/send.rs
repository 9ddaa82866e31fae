//! Sending the commands of our documents: each on record before it is sent, offered again only where Systems
//! Manager certainly did not take it, and looked up by its comment where the answer was lost.

use std::time::Duration;

use crate::aws::pace::Token;
use crate::aws::ssm::Command;
use crate::domain::ids::CommandId;
use crate::domain::job::{JobSpec, Mode};
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::jobs::journal::CallRow;
use crate::ops::Ops;
use crate::ops::command::thaw;
use crate::ops::command::wait_reasons::Waits;
use crate::recipe::document;

/// Seconds in which a command must have started, SSM's least (aws-facts 3.1).
const DELIVERY_S: i32 = 30;
/// A dry run that Systems Manager was too busy to take was not taken: it is offered again, so often, after a
/// pause that doubles up to the longest.
const OFFERS: u32 = 10;
const OFFER_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// Which of a document's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Step {
    /// `dry-run`: looks, changes nothing.
    Look,
    /// The one that freezes: `pre-script`, or `snapshot` in autonomous mode.
    Pre,
    /// `post-script`.
    Post,
}

impl Step {
    /// The value of the document's parameter `command`.
    pub(in crate::ops) fn word(self, mode: Mode) -> &'static str {
        match self {
            Self::Look => "dry-run",
            Self::Pre if mode == Mode::Autonomous => "snapshot",
            Self::Pre => "pre-script",
            Self::Post => "post-script",
        }
    }

    /// What the journal says of a call of this step: written by [`send`], recognised by [`Self::is`].
    fn detail(self, spec: &JobSpec) -> String {
        let word = self.word(spec.mode);
        format!("{} {word} on {}", spec.document, spec.instance)
    }

    /// Whether a call on record was of this step, in a job of that mode. No name of a document holds a blank.
    pub(in crate::ops) fn is(self, call: &CallRow, mode: Mode) -> bool {
        call.action == "SendCommand" && call.detail.contains(&format!(" {} on ", self.word(mode)))
    }
}

/// What a command's comment says: ours, which job, which step. At most 100 characters.
pub(in crate::ops) fn comment(spec: &JobSpec, step: Step) -> String {
    format!("freezeframe {} {}", step.word(spec.mode), spec.job)
}

/// Sends `post-script`, which waits for no token and may be sent as often as it takes, or another of the
/// document's commands, when there is a token for it.
pub(in crate::ops) async fn send(
    ops: &Ops,
    spec: &JobSpec,
    step: Step,
) -> Result<CommandId, Problem> {
    send_when_taken(ops, spec, step, &Waits::default(), None).await
}

/// As [`send`], with the token that was set aside for it, if there is one. Where Systems Manager is too busy
/// to take a dry run, it is offered again. What freezes is offered once: whether it is offered again, and what
/// else must be waited for before, the job decides; and a thaw is sent as often as it takes (`thaw`).
pub(in crate::ops) async fn send_when_taken(
    ops: &Ops,
    spec: &JobSpec,
    step: Step,
    waits: &Waits,
    mut token: Option<Token>,
) -> Result<CommandId, Problem> {
    let mut pause = OFFER_PAUSE;
    for _ in 1..OFFERS {
        let sent = offer(ops, spec, step, waits, token.take()).await;
        match &sent {
            Err(problem) if problem.kind == Kind::Throttled && step == Step::Look => {}
            _ => return sent,
        }
        let words = "waits: Systems Manager takes no more commands just now";
        waits.during(words, tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        token = Some(waits.token(ops.session.pace(), Bucket::SendCommand).await);
    }
    offer(ops, spec, step, waits, token).await
}

/// Sends one of the document's commands, once. A lost reply is looked up by the comment, never repeated; the
/// thaw's is where it is not found (`thaw`).
async fn offer(
    ops: &Ops,
    spec: &JobSpec,
    step: Step,
    waits: &Waits,
    token: Option<Token>,
) -> Result<CommandId, Problem> {
    // Somebody else's document has no content that was reviewed here.
    let ours = document::by_name(&spec.document).ok();
    let parameters = document::parameters(spec, step.word(spec.mode));
    let comment = comment(spec, step);
    let command = Command {
        instance: &spec.instance,
        document: &spec.document,
        // Whatever happened to the document meanwhile, the thaw is not refused for it.
        hash: ours
            .filter(|_| step != Step::Post && !spec.third_party)
            .map(|ours| ours.hash.as_str()),
        parameters: &parameters,
        comment: &comment,
        delivery_s: DELIVERY_S,
    };
    let detail = step.detail(spec);
    let subject = spec.job.as_str();
    if step == Step::Post {
        return thaw::send(ops, spec, &command, &detail, token).await;
    }
    let token = match token {
        Some(token) => token,
        None => waits.token(ops.session.pace(), Bucket::SendCommand).await,
    };
    let call = async {
        match ops.session.send_command_with(token, &command).await {
            Err(problem) if problem.may_have_happened => {
                match ops.session.find_command(&comment, &spec.instance).await {
                    Ok(Some(found)) => Ok(found),
                    // Not visible now is not proof that it never was sent.
                    Ok(None) | Err(_) => Err(problem),
                }
            }
            other => other,
        }
    };
    ops.recorded(subject, "SendCommand", &detail, call, ToString::to_string)
        .await
}
