//! Which instances a person means: by id, by a `Name` that only one of them has, narrowed by tags.

use crate::domain::state::InstanceState;
use std::collections::BTreeSet;
use std::str::FromStr;

use crate::config::nearest;
use crate::domain::ids::{IdError, InstanceId, Scope};
use crate::domain::instance::Instance;
use crate::domain::problem::{Kind, Problem};
use crate::domain::text::{visible, visible_lines};
use crate::ops::Ops;

/// How a person names an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By its id.
    Id(InstanceId),
    /// By its `Name`, compared exactly.
    Name(String),
}

impl Named {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Id(id) => id.as_str(),
            Self::Name(name) => name,
        }
    }
}

impl From<InstanceId> for Named {
    fn from(id: InstanceId) -> Self {
        Self::Id(id)
    }
}

impl FromStr for Named {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(error) if text.trim().is_empty() => Err(error),
            Err(_) => Ok(Self::Name(text.to_owned())),
        }
    }
}

/// What a command line chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The instances, in the order in which they were read.
    pub instances: Vec<Instance>,
    /// What was named and is not there, each with the reason.
    pub unknown: Vec<(Named, Problem)>,
    /// What is to be told where tags narrowed what was named, or where nothing is left.
    pub told: Option<String>,
}

/// Instances by what was named and by tags; where both are given, those that were named and carry every tag.
///
/// # Errors
/// A name that several instances have, or that can be neither an id nor a name: nothing is chosen then.
pub fn choose(
    all: &[Instance],
    named: &[Named],
    tags: &[(String, String)],
    scope: &Scope,
) -> Result<Chosen, Problem> {
    let mut meant: BTreeSet<&InstanceId> = BTreeSet::new();
    let mut unknown = Vec::new();
    for word in named {
        match resolve_one(all, word, scope) {
            Ok(instance) => {
                meant.insert(&instance.id);
            }
            Err(problem) if problem.kind == Kind::NotFound => unknown.push((word.clone(), problem)),
            Err(problem) => return Err(problem),
        }
    }
    let carries = |i: &Instance| tags.iter().all(|(k, v)| i.tags.get(k) == Some(v));
    let (instances, left_out): (Vec<&Instance>, Vec<&Instance>) = all
        .iter()
        .filter(|i| named.is_empty() || meant.contains(&i.id))
        .partition(|i| carries(i));
    let told = if named.is_empty() {
        (instances.is_empty() && !tags.is_empty()).then(|| nothing_carries(all, tags, scope))
    } else {
        (!left_out.is_empty()).then(|| narrowed(instances.len(), &left_out, tags))
    };
    Ok(Chosen {
        instances: instances.into_iter().cloned().collect(),
        unknown,
        told,
    })
}

/// The one instance that an id, a name or a tag of the command line names.
///
/// # Errors
/// `NotFound` where there is none, with the nearest name; `Usage` where several have the name, or where it is a
/// mistyped id.
pub fn resolve_one<'a>(
    all: &'a [Instance],
    named: &Named,
    scope: &Scope,
) -> Result<&'a Instance, Problem> {
    let name = match named {
        Named::Id(id) => {
            return all.iter().find(|i| i.id == *id).ok_or_else(|| {
                Problem::new(
                    Kind::NotFound,
                    format!("find {id}"),
                    format!("there is no such instance in {scope}"),
                    "check the id, the account (--profile) and the region (--region)",
                )
            });
        }
        Named::Name(name) => name,
    };
    let mut having: Vec<&Instance> = all.iter().filter(|i| i.tags.name() == Some(name)).collect();
    // A terminated instance is listed for an hour, and nobody means it while another has its name.
    if having.iter().any(|i| i.state != InstanceState::Terminated) {
        having.retain(|i| i.state != InstanceState::Terminated);
    }
    match having.as_slice() {
        [one] => Ok(one),
        [] => Err(unknown_name(all, name, scope)),
        several => Err(ambiguous(name, several, scope)),
    }
}

/// The id of what is meant. An id is taken as it is: what is asked for may be of an instance that is gone.
///
/// # Errors
/// As [`resolve_one`], or whatever EC2 answered.
pub async fn id(ops: &Ops, named: &Named) -> Result<InstanceId, Problem> {
    match named {
        Named::Id(id) => Ok(id.clone()),
        Named::Name(_) => {
            let all = ops.session.instances().await?;
            resolve_one(&all, named, ops.scope()).map(|i| i.id.clone())
        }
    }
}

fn ambiguous(name: &str, several: &[&Instance], scope: &Scope) -> Problem {
    let each: Vec<String> = several
        .iter()
        .map(|i| format!("{} ({}, {})", i.id, i.state, i.zone))
        .collect();
    Problem::new(
        Kind::Usage,
        format!("find the instance `{name}`"),
        format!(
            "{} instances of {scope} have this Name: {}",
            several.len(),
            each.join(", ")
        ),
        "name the one that is meant by its id",
    )
}

fn unknown_name(all: &[Instance], name: &str, scope: &Scope) -> Problem {
    let names: BTreeSet<&str> = all.iter().filter_map(|i| i.tags.name()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let near = nearest(name, &names).map(|near| format!("did you mean `{near}`? "));
    let (kind, cause) = if name.starts_with("i-") {
        (
            Kind::Usage,
            format!(
                "it is no instance id (i- and 8 or 17 hex digits), and no instance of {scope} has this Name"
            ),
        )
    } else {
        (
            Kind::NotFound,
            format!("no instance of {scope} has this Name"),
        )
    };
    Problem::new(
        kind,
        format!("find the instance `{name}`"),
        cause,
        format!(
            "{}`freezeframe list instances` shows ids and names",
            near.unwrap_or_default()
        ),
    )
}

fn said(tags: &[(String, String)]) -> String {
    let asked: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    asked.join(" and ")
}

fn narrowed(left: usize, left_out: &[&Instance], tags: &[(String, String)]) -> String {
    let all = left + left_out.len();
    let carry = if left == 1 { "carries" } else { "carry" };
    let who: Vec<String> = left_out
        .iter()
        .map(|i| match i.tags.name() {
            Some(name) => format!("{} {name}", i.id),
            None => i.id.to_string(),
        })
        .collect();
    let head = match (left, all) {
        (0, 1) => format!(
            "nothing matched: the instance named does not carry {}",
            said(tags)
        ),
        (0, _) => format!(
            "nothing matched: none of the {all} instances named carries {}",
            said(tags)
        ),
        _ => format!("{left} of {all} instances also {carry} {}", said(tags)),
    };
    visible(&format!("{head}; left out: {}", who.join(", "))).into_owned()
}

/// What is said where no instance carries all the tags: which, where, and the nearest that there is.
fn nothing_carries(all: &[Instance], tags: &[(String, String)], scope: &Scope) -> String {
    let mut words = format!(
        "nothing matched: no instance of {scope} carries {}",
        said(tags)
    );
    for (key, value) in tags {
        let values: BTreeSet<&str> = all.iter().filter_map(|i| i.tags.get(key)).collect();
        if values.contains(value.as_str()) {
            continue;
        }
        let keys: BTreeSet<&str> = all
            .iter()
            .flat_map(|i| i.tags.iter().map(|(key, _)| key))
            .collect();
        let (wrong, known, what) = if values.is_empty() {
            (key, keys, format!("none has a tag `{key}`"))
        } else {
            (value, values, format!("none has {key}={value}"))
        };
        let known: Vec<&str> = known.into_iter().collect();
        let near = nearest(wrong, &known).map(|near| format!("; did you mean `{near}`?"));
        words.push_str(&format!("\n  {what}{}", near.unwrap_or_default()));
    }
    visible_lines(&words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        serde_json::from_value(json!({ "account": "123456789012", "region": "eu-central-1" }))
            .unwrap()
    }

    fn instance(id: &str, name: &str, env: &str, state: &str) -> Instance {
        serde_json::from_value(json!({
            "account": "123456789012", "region": "eu-central-1", "id": id, "state": state,
            "platform": "linux", "platform_details": "Linux/UNIX", "instance_type": "t3.small",
            "zone": "eu-central-1a", "root_device": "/dev/xvda", "devices": [], "launched": null,
            "tags": {"Name": name, "Env": env}, "agent": {"status": "absent"},
        }))
        .unwrap()
    }

    fn fleet() -> Vec<Instance> {
        vec![
            instance("i-00000000000000001", "web", "prod", "running"),
            instance("i-00000000000000002", "web", "staging", "running"),
            instance("i-00000000000000003", "web", "staging", "stopped"),
            instance("i-00000000000000004", "shop-db-1", "prod", "running"),
            instance("i-00000000000000005", "old", "prod", "terminated"),
            instance("i-00000000000000006", "old", "prod", "running"),
        ]
    }

    fn words(words: &[&str]) -> Vec<Named> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    fn tag(key: &str, value: &str) -> Vec<(String, String)> {
        vec![(key.to_owned(), value.to_owned())]
    }

    fn ids(chosen: &Chosen) -> Vec<&str> {
        chosen.instances.iter().map(|i| i.id.as_str()).collect()
    }

    #[test]
    fn tags_narrow_what_is_named_and_what_was_left_out_is_told() {
        let both = words(&["i-00000000000000001", "i-00000000000000002", "shop-db-1"]);
        let chosen = choose(&fleet(), &both, &tag("Env", "prod"), &scope()).unwrap();
        assert_eq!(ids(&chosen), ["i-00000000000000001", "i-00000000000000004"]);
        assert_eq!(
            chosen.told.unwrap(),
            "2 of 3 instances also carry Env=prod; left out: i-00000000000000002 web"
        );
        let none = choose(&fleet(), &both, &tag("Env", "nowhere"), &scope()).unwrap();
        assert!(none.instances.is_empty());
        let told = none.told.unwrap();
        assert!(
            told.starts_with("nothing matched: none of the 3 instances named carries Env=nowhere"),
            "{told}"
        );
        let tags_alone = choose(&fleet(), &[], &tag("Env", "staging"), &scope()).unwrap();
        assert_eq!(ids(&tags_alone).len(), 2);
        assert_eq!(tags_alone.told, None);
    }

    #[test]
    fn a_name_is_taken_where_one_instance_has_it_and_refused_with_the_ids_where_several_do() {
        let chosen = choose(&fleet(), &words(&["shop-db-1"]), &[], &scope()).unwrap();
        assert_eq!(ids(&chosen), ["i-00000000000000004"]);
        let problem = choose(&fleet(), &words(&["shop-db-1", "web"]), &[], &scope()).unwrap_err();
        assert_eq!(problem.kind, Kind::Usage);
        for n in 1..=3 {
            assert!(problem.cause.contains(&format!("i-0000000000000000{n}")));
        }
        // One that is terminated is nobody's meaning.
        let old = choose(&fleet(), &words(&["old"]), &[], &scope()).unwrap();
        assert_eq!(ids(&old), ["i-00000000000000006"]);
    }

    #[test]
    fn what_is_not_there_is_told_with_the_nearest_name() {
        let chosen = choose(
            &fleet(),
            &words(&["shop-db1", "i-0000000f", "web-9"]),
            &[],
            &scope(),
        )
        .unwrap();
        assert!(chosen.instances.is_empty(), "and nothing else is taken");
        let [(_, name), (_, id), (_, far)] = &chosen.unknown[..] else {
            panic!("{:?}", chosen.unknown);
        };
        assert!(name.hint.contains("did you mean `shop-db-1`?"), "{name:?}");
        assert!(id.cause.contains("no such instance"), "{id:?}");
        assert!(!far.hint.contains("shop-db-1"), "{far:?}");
        let odd = choose(&fleet(), &words(&["i-nonsense"]), &[], &scope()).unwrap_err();
        assert_eq!(odd.kind, Kind::Usage, "{odd}");
        assert!(" ".parse::<Named>().is_err());
    }

    #[test]
    fn what_matched_nothing_is_named_with_the_nearest_that_there_is() {
        let said = |key: &str, value: &str| nothing_carries(&fleet(), &tag(key, value), &scope());
        let key = said("env", "prod");
        assert!(
            key.contains("no instance of 123456789012") && key.contains("eu-central-1"),
            "{key}"
        );
        assert!(
            key.contains("carries env=prod") && key.contains("did you mean `Env`?"),
            "{key}"
        );
        let value = said("Name", "shop-db1");
        assert!(value.contains("did you mean `shop-db-1`?"), "{value}");
        assert!(!said("Colour", "red").contains("did you mean"));
    }
}
