//! What must be so before the instance itself is asked: credentials that last, a document
//! that is what it should be.

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::ssm::DocumentFacts;
use crate::domain::instance::Instance;
use crate::domain::job::{JobSpec, Mode};
use crate::domain::pace::Bucket;
use crate::domain::problem::{Kind, Problem};
use crate::domain::set_plan::SetPlan;
use crate::domain::trace::{Trace, TraceEvent};
use crate::ops::Ops;
use crate::ops::command::wait_reasons::Waits;
use crate::ops::set_calls;
use crate::recipe::{contract, document as documents};

/// What a job may take beside its budget until the thaw is confirmed, in seconds.
const BESIDE_BUDGET_S: i64 = 120;

/// The console's own credentials outlive the freeze, if they say when they end.
///
/// # Errors
/// [`Kind::Credentials`].
pub(in crate::ops) async fn credentials_last(ops: &Ops, spec: &JobSpec) -> Result<(), Problem> {
    let now = ops.clock.now();
    let margin = needed(spec);
    match ops.session.credentials_until(now, margin).await {
        Some(until) if until <= now + margin => Err(Problem::new(
            Kind::Credentials,
            format!("check the credentials for {}", spec.instance),
            format!(
                "they expire at {}, and the freeze may last {} s",
                until.format("%H:%M:%S UTC"),
                spec.budget_s
            ),
            "renew them (for SSO: `aws sso login`), then run the job again",
        )),
        _ => Ok(()),
    }
}

/// The instance role's credentials, with which autonomous mode makes its call, outlive the freeze.
///
/// # Errors
/// [`Kind::Script`], code `no-credentials`.
pub(super) fn role_lasts(ops: &Ops, spec: &JobSpec, trace: &Trace) -> Result<(), Problem> {
    if spec.mode != Mode::Autonomous {
        return Ok(());
    }
    let until = trace.events().find_map(|said| match said {
        TraceEvent::Prepared {
            credentials_until: Some(until),
            ..
        } => DateTime::parse_from_rfc3339(until).ok(),
        _ => None,
    });
    match until.map(|until| until.with_timezone(&Utc)) {
        Some(until) if until <= ops.clock.now() + needed(spec) => Err(Problem::new(
            Kind::Script,
            format!("check the role of {}", spec.instance),
            format!(
                "its credentials expire at {}, before the snapshot could be made for certain",
                until.format("%H:%M:%S UTC")
            ),
            "wait some minutes: the instance metadata hands out new ones before the old ones end",
        )
        .with_code("no-credentials")),
        _ => Ok(()),
    }
}

/// How often EC2 is asked that sends the question away.
const ASKED: u32 = 10;

/// EC2 would make the set, asked by its own dry run with what the call itself says. What is refused now would be refused
/// while everything stands still.
///
/// # Errors
/// What EC2 would refuse it for, or that it could not be asked.
pub(super) async fn may_snapshot(
    ops: &Ops,
    spec: &JobSpec,
    instance: &Instance,
    set: &SetPlan,
    waits: &Waits,
) -> Result<(), Problem> {
    let (description, call) = set_calls::request(spec, set);
    let kind = kind(spec, instance);
    let mut tried = 0;
    loop {
        tried += 1;
        let token = waits.token(ops.session.pace(), Bucket::CreateSnapshots);
        let session = &ops.session;
        let asked = session.may_create_snapshots(token, &instance.id, &description, &call, &kind);
        match asked.await {
            Err(problem) if problem.kind == Kind::Throttled && tried < ASKED => {}
            Err(problem) if problem.kind == Kind::Denied => {
                return Err(Problem {
                    hint: "allow ec2:CreateSnapshots and ec2:CreateTags to whoever runs this; nothing was frozen"
                        .to_owned(),
                    ..problem
                });
            }
            asked => return asked,
        }
    }
}

/// What the answer may depend on beside who asks: policies look at the tags of what is asked for. Of instances that
/// differ in their name only one is asked for.
fn kind(spec: &JobSpec, instance: &Instance) -> String {
    let mut kind = spec.recipe.clone();
    for (key, value) in instance.tags.iter().filter(|(key, _)| *key != "Name") {
        // No tag holds a line feed.
        kind.push_str(&format!("\n{key}\n{value}"));
    }
    kind
}

fn needed(spec: &JobSpec) -> TimeDelta {
    TimeDelta::seconds(i64::from(spec.budget_s) + BESIDE_BUDGET_S)
}

/// The document is there and what it should be: ours as it was reviewed, somebody else's within the
/// contract. Answers whether it has a dry run.
///
/// # Errors
/// [`Kind::Document`].
pub(super) async fn document(
    ops: &Ops,
    spec: &JobSpec,
    there: Option<DocumentFacts>,
) -> Result<bool, Problem> {
    let refused = |cause: String, hint: &str| {
        Err(Problem::new(
            Kind::Document,
            format!("check document {}", spec.document),
            cause,
            hint,
        ))
    };
    let ours = documents::by_name(&spec.document)
        .ok()
        .filter(|_| !spec.third_party);
    let Some(facts) = there else {
        let hint = if ours.is_some() {
            "install the documents with `freezeframe setup documents`"
        } else {
            "correct its name, or create it in this account and region"
        };
        return refused(
            format!("there is no such SSM document in {}", ops.scope()),
            hint,
        );
    };
    if let Some(ours) = ours
        && facts.hash != ours.hash
    {
        let cause = format!(
            "its content is not this freezeframe's (version {}, sha256 {})",
            facts.version,
            facts.hash.get(..12).unwrap_or(&facts.hash)
        );
        return refused(
            cause,
            "review the difference, then update it with `freezeframe setup documents`",
        );
    }
    if facts.status != "Active" {
        return refused(
            format!("its status is {}", facts.status),
            "wait until it is Active, or install it again",
        );
    }
    if ours.is_some() {
        return Ok(true);
    }
    if facts.kind != "Command" {
        return refused(
            format!("it is a document of type {}", facts.kind),
            "name a document of type Command",
        );
    }
    let content = ops.session.document_content(&spec.document).await?;
    let parameters = spec.parameters.keys().map(String::as_str);
    match contract::read(&content, parameters) {
        Ok(contract) => Ok(contract.dry_run),
        Err(cause) => refused(
            cause,
            "bring it to the contract of Data Lifecycle Manager's pre/post scripts, or choose another",
        ),
    }
}
