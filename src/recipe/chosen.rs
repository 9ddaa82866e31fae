//! The recipes that can be chosen: the built-in ones, with the parameters that the configuration adds, and the
//! user's own. Handed in, never global.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::catalogue::{self, Recipe};
use super::document;
use crate::config::Config;
use crate::config::recipes::{self as configured, refused, refused_at};
use crate::domain::ids::InstanceId;
use crate::domain::instance::Platform;
use crate::domain::level::Level;
use crate::domain::problem::{Kind, Problem};

/// What every job gives its document itself (docs/line-protocol.md).
const CONTRACT: [&str; 8] = [
    "executionId",
    "command",
    "budgetSeconds",
    "mounts",
    "mode",
    "freezeRoot",
    "leaveOut",
    "recipe",
];
/// What Data Lifecycle Manager's contract gives: no more is sent to a document of somebody else's.
const CONTRACT_OF_DLM: [&str; 2] = ["executionId", "command"];
/// What own recipes say when their table says nothing.
const OWN: &str = "your own document";

/// A recipe as a job takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its name, as in tags and on the command line.
    pub name: String,
    /// SSM document, as named in an account, or its ARN.
    pub document: String,
    /// What it runs on.
    pub platform: Platform,
    /// What it does, in one line.
    pub what: String,
    /// The best level that it can prove.
    pub level: Level,
    /// The document is not one of ours: it keeps Data Lifecycle Manager's contract and need not speak FF1.
    pub third_party: bool,
    /// Parameters beyond those of the contract.
    pub parameters: BTreeMap<String, String>,
    /// The failsafe's budget in seconds, 1 to 999.
    pub budget_s: u32,
}

/// Every recipe, built-in ones first. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    all: Arc<Vec<Chosen>>,
    budget_s: u32,
}

impl Chosen {
    /// The same recipe with these parameters, which win over its own.
    ///
    /// # Errors
    /// [`Kind::Usage`] for one that the job gives itself, or that a document of ours does not take.
    pub fn with(mut self, parameters: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let contract: &[&str] = if self.third_party {
            &CONTRACT_OF_DLM
        } else {
            &CONTRACT
        };
        let what = |key: &str| format!("give {} the parameter {key}", self.document);
        for (key, value) in parameters {
            if contract.contains(&key.as_str()) {
                return Err(Problem::new(
                    Kind::Usage,
                    what(key),
                    "the job itself gives it",
                    "leave it out; budget, mounts and mode have flags of their own",
                ));
            }
            if let Ok(ours) = document::by_name(&self.document)
                && !self.third_party
            {
                fits(ours, key, value)
                    .map_err(|(cause, hint)| Problem::new(Kind::Usage, what(key), cause, hint))?;
            }
        }
        self.parameters.extend(parameters.clone());
        Ok(self)
    }
}

impl Default for Catalogue {
    /// The built-in recipes alone, with the default budget.
    fn default() -> Self {
        Self::builtin(Config::default().snapshot.budget_seconds)
    }
}

impl Catalogue {
    fn builtin(budget_s: u32) -> Self {
        let all = catalogue::all()
            .iter()
            .map(|recipe| from_builtin(recipe, budget_s))
            .collect();
        Self {
            all: Arc::new(all),
            budget_s,
        }
    }

    /// The built-in recipes and those of the configuration.
    ///
    /// # Errors
    /// [`Kind::Usage`], with the file and the line: a built-in name that is given more than parameters, a
    /// parameter that the document does not declare, a recipe without a document.
    pub fn new(config: &Config) -> Result<Self, Problem> {
        let budget_s = config.snapshot.budget_seconds;
        let mut all: Vec<Chosen> = Self::builtin(budget_s).all.to_vec();
        for (name, table) in &config.recipes {
            match catalogue::by_name(name) {
                Some(recipe) => {
                    let parameters = for_builtin(name, recipe, table)?;
                    if let Some(chosen) = all.iter_mut().find(|c| c.name == recipe.name) {
                        chosen.parameters = parameters;
                    }
                }
                None => all.push(own(name, table, budget_s)?),
            }
        }
        Ok(Self {
            all: Arc::new(all),
            budget_s,
        })
    }

    /// Every recipe, in the order in which they are offered.
    pub fn all(&self) -> &[Chosen] {
        &self.all
    }

    /// The budget in seconds where neither the recipe nor the person says one.
    pub fn budget_s(&self) -> u32 {
        self.budget_s
    }

    /// The recipe of that name or older name. Names are case-sensitive, as tag values are.
    pub fn find(&self, name: &str) -> Option<&Chosen> {
        let builtin = catalogue::by_name(name).map_or(name, |recipe| recipe.name);
        self.all.iter().find(|c| c.name == builtin)
    }

    /// What a recipe that is chosen for an instance overrides of what its tag says; nothing where it is the same.
    pub fn given_up(&self, tag: &str, chosen: &Chosen) -> Option<String> {
        match self.find(tag) {
            Some(by_tag) if by_tag.name == chosen.name => None,
            Some(by_tag) if by_tag.level > chosen.level => {
                Some(format!("tag says {tag}: {} is given up", by_tag.level))
            }
            Some(_) => Some(format!("tag says {tag}, not {}", chosen.name)),
            None => Some(format!("tag says {tag}, which names no recipe")),
        }
    }

    /// The recipe that a tag value (or a flag) asks for on an instance.
    ///
    /// # Errors
    /// As [`catalogue::lookup`]; the nearest name may be one of the user's own.
    pub fn lookup(&self, value: &str, instance: &InstanceId) -> Result<&Chosen, Problem> {
        if let Some(chosen) = self.find(value) {
            return Ok(chosen);
        }
        let builtin = match catalogue::lookup(value, instance) {
            // Not to be reached: what the built-in catalogue knows is here as well.
            Ok(recipe) => catalogue::unknown(value, instance, Some(recipe.name)),
            Err(problem) => problem,
        };
        if builtin.kind != Kind::Usage {
            return Err(builtin);
        }
        let nearest = self
            .all
            .iter()
            .min_by_key(|c| catalogue::distance(value, &c.name));
        // An older name may be nearer than any present one; the built-in catalogue knows those.
        let own = nearest.filter(|c| {
            catalogue::by_name(&c.name).is_none()
                && catalogue::distance(value, &c.name) < catalogue::nearest_distance(value)
                && catalogue::distance(value, &c.name) * 2 <= c.name.len()
        });
        Err(own.map_or(builtin, |c| {
            catalogue::unknown(value, instance, Some(&c.name))
        }))
    }

    /// Somebody's document, named directly: it keeps Data Lifecycle Manager's contract. One of ours is
    /// taken for what it is.
    ///
    /// # Errors
    /// [`Kind::Usage`] when that cannot be the name or ARN of a document.
    pub fn document(&self, name: &str) -> Result<Chosen, Problem> {
        if let Some(chosen) = self
            .all
            .iter()
            .find(|c| !c.third_party && c.document == name)
        {
            return Ok(chosen.clone());
        }
        if !configured::is_document(name) {
            return Err(Problem::new(
                Kind::Usage,
                "choose a document",
                format!("`{name}` is not the name or ARN of an SSM document"),
                "3 to 200 letters, digits and _ - . : /",
            ));
        }
        Ok(Chosen {
            name: name.to_owned(),
            document: name.to_owned(),
            platform: Platform::Linux,
            what: OWN.to_owned(),
            level: Level::Crash,
            third_party: true,
            parameters: BTreeMap::new(),
            budget_s: self.budget_s,
        })
    }
}

fn from_builtin(recipe: &Recipe, budget_s: u32) -> Chosen {
    Chosen {
        name: recipe.name.to_owned(),
        document: recipe.document.to_owned(),
        platform: recipe.platform,
        what: recipe.what.to_owned(),
        level: recipe.level,
        third_party: false,
        parameters: BTreeMap::new(),
        budget_s,
    }
}

fn for_builtin(
    name: &str,
    recipe: &Recipe,
    table: &configured::Recipe,
) -> Result<BTreeMap<String, String>, Problem> {
    let configured::Recipe {
        document,
        platform,
        parameters,
        third_party,
        budget_seconds,
        what,
        place: _,
        places: _,
    } = table;
    let redefined = [
        ("document", document.is_some()),
        ("platform", platform.is_some()),
        ("third_party", third_party.is_some()),
        ("budget_seconds", budget_seconds.is_some()),
        ("what", what.is_some()),
    ]
    .into_iter()
    .find(|(_, given)| *given);
    if name != recipe.name || redefined.is_some() {
        let cause = if name == recipe.name {
            "it is built in, and takes parameters only".to_owned()
        } else {
            format!("it is an older name of the built-in recipe {}", recipe.name)
        };
        let hint = format!(
            "keep only [recipes.{}.parameters], or choose another name for a recipe of your own",
            recipe.name
        );
        let key = redefined.map_or("", |(key, _)| key);
        return Err(refused_at(name, table, key, &cause, hint));
    }
    check_parameters(name, table, recipe.document, false)?;
    Ok(parameters.clone())
}

fn own(name: &str, table: &configured::Recipe, budget_s: u32) -> Result<Chosen, Problem> {
    let Some(named) = &table.document else {
        let add = "add document = \"…\", the SSM document that quiesces the instance";
        let near = catalogue::all()
            .iter()
            .map(|recipe| (catalogue::distance(name, recipe.name), recipe.name))
            .min()
            .filter(|(distance, known)| *distance <= known.len() / 3);
        let hint = match near {
            Some((_, known)) => format!("did you mean `{known}`? for a recipe of your own, {add}"),
            None => add.to_owned(),
        };
        return Err(refused(
            name,
            table,
            "it names no document, and no recipe of that name is built in",
            hint,
        ));
    };
    let builtin = catalogue::all().iter().find(|r| r.document == named);
    let third_party = table.third_party.unwrap_or(builtin.is_none());
    check_parameters(name, table, named, third_party)?;
    let what = table.what.clone().unwrap_or_else(|| OWN.to_owned());
    Ok(Chosen {
        name: name.to_owned(),
        document: named.clone(),
        platform: table.platform.unwrap_or(Platform::Linux),
        what,
        level: match builtin {
            Some(recipe) if !third_party => recipe.level,
            // One of ours under another name may prove what it proves; nobody else's proves anything.
            _ if third_party => Level::Crash,
            _ => Level::Application,
        },
        third_party,
        parameters: table.parameters.clone(),
        budget_s: table.budget_seconds.unwrap_or(budget_s),
    })
}

/// Refuses what the job itself gives, and, where the document is at hand, what it would refuse.
fn check_parameters(
    name: &str,
    table: &configured::Recipe,
    document: &str,
    third_party: bool,
) -> Result<(), Problem> {
    let ours: &[&str] = if third_party {
        &CONTRACT_OF_DLM
    } else {
        &CONTRACT
    };
    if let Some(key) = table.parameters.keys().find(|k| ours.contains(&k.as_str())) {
        return Err(refused_at(
            name,
            table,
            &format!("parameters.{key}"),
            &format!("the job itself gives the parameter `{key}`"),
            "remove it; budget and mounts have options of their own",
        ));
    }
    let Ok(document) = document::by_name(document) else {
        return Ok(());
    };
    for (key, value) in &table.parameters {
        fits(document, key, value).map_err(|(cause, hint)| {
            refused_at(name, table, &format!("parameters.{key}"), &cause, hint)
        })?;
    }
    Ok(())
}

/// Whether a document of ours takes a parameter with that value; else why not, and what it takes.
///
/// # Errors
/// The cause and the hint.
pub fn fits(document: &document::Document, key: &str, value: &str) -> Result<(), (String, String)> {
    let content: Value = serde_json::from_str(document.content).unwrap_or_default();
    let Some(declared) = content["parameters"].get(key) else {
        let known: Vec<&str> = content["parameters"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys().map(String::as_str))
            .filter(|known| !CONTRACT.contains(known))
            .collect();
        let distance = |known: &&&str| catalogue::distance(key, known);
        let hint = match known.iter().min_by_key(distance) {
            Some(near) if distance(&near) <= (near.len() / 3).max(1) => {
                format!("did you mean `{near}`? it takes {}", known.join(", "))
            }
            Some(_) => format!("it takes {}", known.join(", ")),
            None => "remove it; this document takes none".to_owned(),
        };
        return Err((
            format!("{} declares no parameter `{key}`", document.name),
            hint,
        ));
    };
    if let Some(words) = declared["allowedValues"].as_array()
        && !words.iter().any(|w| w == value)
    {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        return Err((
            format!("`{key}` cannot be `{value}`"),
            format!("choose one of {}", words.join(", ")),
        ));
    }
    if let Some(pattern) = declared["allowedPattern"].as_str()
        && !regex_lite::Regex::new(pattern).is_ok_and(|p| p.is_match(value))
    {
        return Err((
            format!("`{key}` cannot be `{value}`"),
            format!("it must match {pattern}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
