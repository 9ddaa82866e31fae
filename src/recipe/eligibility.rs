//! May this instance be snapshotted with that recipe? Decided here for the console's review, for the command line, and for
//! a job's own preflight.

use super::chosen::{Catalogue, Chosen};
use crate::domain::instance::{Agent, Instance, Platform};
use crate::domain::problem::{Kind, Problem};
use crate::domain::state::InstanceState;
use crate::domain::tags::CONSISTENT_SNAPSHOT;

/// What EC2 and Systems Manager alone can tell.
///
/// # Errors
/// The instance does not run, runs Windows, or its agent is not online.
pub fn fit(instance: &Instance) -> Result<(), Problem> {
    let what = format!("check {} ({})", instance.name(), instance.id);
    if instance.state != InstanceState::Running {
        return Err(Problem::new(
            Kind::State,
            what,
            format!("it is {}", instance.state),
            "start it, or snapshot it without a freeze",
        ));
    }
    if instance.platform == Platform::Windows {
        return Err(Problem::new(
            Kind::State,
            what,
            "it runs Windows, which this version cannot quiesce",
            "use AWS's own AWSEC2-VssInstallAndSnapshot document until the VSS recipe arrives",
        ));
    }
    match &instance.agent {
        Agent::Online { .. } => Ok(()),
        Agent::Lost { .. } => Err(Problem::new(
            Kind::Agent,
            what,
            "its SSM agent has lost the connection",
            "check amazon-ssm-agent on the instance and its way to the SSM endpoints",
        )),
        Agent::Absent => Err(Problem::new(
            Kind::Agent,
            what,
            "Systems Manager does not know it",
            "install the SSM agent and attach a role with AmazonSSMManagedInstanceCore",
        )),
        Agent::Unknown => Err(Problem::new(
            Kind::Agent,
            what,
            "the state of its SSM agent is unknown",
            "allow ssm:DescribeInstanceInformation, or try again",
        )),
    }
}

/// The recipe of an instance: the one that is named, else that of its tag.
///
/// # Errors
/// It has no tag, the recipe is unknown, or it is one for another platform.
pub fn recipe_of<'a>(
    instance: &Instance,
    named: Option<&str>,
    recipes: &'a Catalogue,
) -> Result<&'a Chosen, Problem> {
    let what = || format!("choose a recipe for {} ({})", instance.name(), instance.id);
    let word = named.or(instance.recipe_tag()).ok_or_else(|| {
        Problem::new(
            Kind::Usage,
            what(),
            format!("it has no tag {CONSISTENT_SNAPSHOT}"),
            format!(
                "tag it, for example {CONSISTENT_SNAPSHOT}=linux-filesystem, or choose a recipe (--recipe)"
            ),
        )
    })?;
    let recipe = recipes.lookup(word, &instance.id)?;
    if recipe.platform != instance.platform {
        return Err(Problem::new(
            Kind::Usage,
            what(),
            format!(
                "the recipe {} is for {}, and the instance runs {}",
                recipe.name, recipe.platform, instance.platform
            ),
            "choose a recipe for its platform",
        ));
    }
    Ok(recipe)
}

/// Why a job of this instance would be refused at once; `None` where nothing that is known speaks against it.
pub fn refusal(instance: &Instance, named: Option<&str>, recipes: &Catalogue) -> Option<Problem> {
    fit(instance)
        .and_then(|()| recipe_of(instance, named, recipes))
        .err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn instance(state: &str, platform: &str, agent: &str, tag: &str) -> Instance {
        let agent = match agent {
            "online" | "lost" => {
                serde_json::json!({"status": agent, "version": "3.3", "last_ping": "2026-11-21T04:00:00Z"})
            }
            _ => serde_json::json!({"status": agent}),
        };
        let mut tags = serde_json::json!({"Name": "one"});
        if !tag.is_empty() {
            tags[CONSISTENT_SNAPSHOT] = tag.into();
        }
        serde_json::from_value(serde_json::json!({
            "account": "111122223333", "region": "eu-central-1", "id": "i-00000000000000001", "state": state,
            "platform": platform, "platform_details": "Linux/UNIX", "instance_type": "t3.micro", "zone": "eu-central-1a", "agent": agent, "tags": tags,
            "root_device": "/dev/xvda", "devices": [], "launched": "2026-11-21T04:00:00Z",
        }))
        .unwrap()
    }

    /// The whole table: what decides in the review decides on the command line.
    #[test]
    fn an_instance_is_admitted_or_refused_for_the_same_cause_everywhere() {
        let recipes = Catalogue::new(&Config::default()).unwrap();
        for (state, platform, agent, tag, cause) in [
            ("running", "linux", "online", "linux-mysql", None),
            ("running", "linux", "online", "AmazonLinuxMySQL", None),
            (
                "stopped",
                "linux",
                "online",
                "linux-mysql",
                Some("it is stopped"),
            ),
            (
                "running",
                "windows",
                "online",
                "linux-mysql",
                Some("runs Windows"),
            ),
            (
                "running",
                "linux",
                "lost",
                "linux-mysql",
                Some("lost the connection"),
            ),
            (
                "running",
                "linux",
                "absent",
                "linux-mysql",
                Some("does not know it"),
            ),
            (
                "running",
                "linux",
                "unknown",
                "linux-mysql",
                Some("is unknown"),
            ),
            ("running", "linux", "online", "", Some("has no tag")),
            (
                "running",
                "linux",
                "online",
                "linux-mysqll",
                Some("linux-mysqll"),
            ),
        ] {
            let one = instance(state, platform, agent, tag);
            let told = refusal(&one, None, &recipes);
            let context = format!("{state} {platform} {agent} {tag}: {told:?}");
            match cause {
                None => assert!(told.is_none(), "{context}"),
                Some(cause) => assert!(told.unwrap().cause.contains(cause), "{context}"),
            }
        }
        // What is named goes before the tag.
        let one = instance("running", "linux", "online", "linux-mysqll");
        assert!(refusal(&one, Some("linux-filesystem"), &recipes).is_none());
    }
}
