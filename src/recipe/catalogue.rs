//! The recipes that this version knows, and what the values of the tag `ConsistentSnapshot` mean.

use crate::domain::ids::InstanceId;
use crate::domain::instance::Platform;
use crate::domain::level::Level;
use crate::domain::problem::{Kind, Problem};
use crate::domain::tags::CONSISTENT_SNAPSHOT;

/// How one kind of instance is quiesced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// Its name, as in tags and on the command line.
    pub name: &'static str,
    /// SSM document, as named in an account.
    pub document: &'static str,
    /// What it runs on.
    pub platform: Platform,
    /// What it does, in one line.
    pub what: &'static str,
    /// The best level that it can prove.
    pub level: Level,
}

static RECIPES: [Recipe; 5] = [
    Recipe {
        name: "linux-filesystem",
        document: "freezeframe-linux-filesystem",
        platform: Platform::Linux,
        what: "freeze every data filesystem",
        level: Level::Filesystem,
    },
    Recipe {
        name: "linux-mysql",
        document: "freezeframe-linux-mysql",
        platform: Platform::Linux,
        what: "hold the writes of MySQL, MariaDB or Percona Server, then freeze its filesystems",
        level: Level::Application,
    },
    Recipe {
        name: "linux-postgresql",
        document: "freezeframe-linux-postgresql",
        platform: Platform::Linux,
        what: "keep a base backup of PostgreSQL open, freeze its filesystems, keep the label with the set",
        level: Level::Application,
    },
    Recipe {
        name: "linux-redis",
        document: "freezeframe-linux-redis",
        platform: Platform::Linux,
        what: "pause the writes of Redis or Valkey with all of them on disk, then freeze its filesystems",
        level: Level::Application,
    },
    Recipe {
        name: "linux-mongodb",
        document: "freezeframe-linux-mongodb",
        platform: Platform::Linux,
        what: "lock MongoDB with fsyncLock, then freeze its filesystems (not yet proven on a real server)",
        level: Level::Application,
    },
];

/// Older names that keep working.
const ALIASES: [(&str, &str); 1] = [("AmazonLinuxMySQL", "linux-mysql")];
/// Names that mean something, but not to this version.
const LATER: [(&str, &str); 3] = [
    ("WindowsVSS", VSS),
    ("windows-vss", VSS),
    ("windows-diskshadow", VSS),
];
const VSS: &str =
    "use AWS's own AWSEC2-VssInstallAndSnapshot document for it, or leave the instance out";

/// Every recipe, in the order in which they are offered.
pub fn all() -> &'static [Recipe] {
    &RECIPES
}

/// The recipe of that name or older name. Names are case-sensitive, as tag values are.
pub fn by_name(name: &str) -> Option<&'static Recipe> {
    let name = ALIASES
        .iter()
        .find(|(old, _)| *old == name)
        .map_or(name, |(_, new)| new);
    RECIPES.iter().find(|r| r.name == name)
}

/// The recipe that a tag value (or a flag) asks for on an instance.
///
/// # Errors
/// [`Kind::State`] for a recipe that this version lacks, [`Kind::Usage`] for any other value; both name
/// the value and the instance, the latter the nearest name that is known, or all.
pub fn lookup(value: &str, instance: &InstanceId) -> Result<&'static Recipe, Problem> {
    if let Some(recipe) = by_name(value) {
        return Ok(recipe);
    }
    let what = format!("choose a recipe for {instance}");
    if let Some((_, hint)) = LATER.iter().find(|(name, _)| *name == value) {
        return Err(Problem::new(
            Kind::State,
            what,
            format!("{CONSISTENT_SNAPSHOT}={value} asks for a recipe that is not in this version"),
            hint,
        ));
    }
    Err(unknown(value, instance, nearest(value)))
}

/// A value that names no recipe, and the nearest that does, if one is near; all of ours otherwise.
pub(super) fn unknown(value: &str, instance: &InstanceId, nearest: Option<&str>) -> Problem {
    let what = format!("choose a recipe for {instance}");
    let cause = format!("{CONSISTENT_SNAPSHOT}={value} names no recipe");
    if let Some(nearest) = nearest {
        return Problem::new(
            Kind::Usage,
            what,
            format!("{cause}; the nearest known is {nearest}"),
            format!("correct the tag, or choose with --recipe {nearest}"),
        );
    }
    let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
    let known = known.join(", ");
    Problem::new(
        Kind::Usage,
        what,
        cause,
        format!("correct the tag, or choose with --recipe one of {known}, or one of your own"),
    )
}

/// The known name with the fewest edits; the first one when several are as near. None where more than half of it would
/// have to be edited: that is no slip of the fingers.
fn nearest(value: &str) -> Option<&'static str> {
    names()
        .map(|(name, target)| (distance(value, name), name, target))
        .min_by_key(|(distance, ..)| *distance)
        .filter(|(distance, name, _)| distance * 2 <= name.len())
        .map(|(.., target)| target)
}

/// Every name and older name, with the name that it means.
fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    RECIPES.iter().map(|r| (r.name, r.name)).chain(ALIASES)
}

/// How far the nearest of [`names`] is.
pub(super) fn nearest_distance(value: &str) -> usize {
    names()
        .map(|(name, _)| distance(value, name))
        .min()
        .unwrap_or(usize::MAX)
}

/// How many edits part two names, whatever their case.
pub(super) fn distance(value: &str, name: &str) -> usize {
    // A tag value may be 256 characters long; what lies beyond 64 brings it no nearer.
    let lower =
        |text: &str| -> String { text.chars().take(64).flat_map(char::to_lowercase).collect() };
    strsim::levenshtein(&lower(value), &lower(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::document;

    fn instance() -> InstanceId {
        InstanceId::from_api("i-0123456789abcdef0")
    }

    #[test]
    fn every_recipe_has_its_document() {
        for recipe in all() {
            assert!(
                document::by_name(recipe.document).is_ok(),
                "{}",
                recipe.name
            );
            assert_eq!(
                recipe.document,
                format!("{}{}", document::PREFIX, recipe.name)
            );
            assert!(recipe.level.is_proven());
        }
    }

    #[test]
    fn the_seeds_tag_value_keeps_working_and_names_are_case_sensitive() {
        assert_eq!(
            lookup("AmazonLinuxMySQL", &instance()).unwrap().name,
            "linux-mysql"
        );
        assert_eq!(
            lookup("linux-filesystem", &instance()).unwrap().level,
            Level::Filesystem
        );
        assert!(lookup("Linux-MySQL", &instance()).is_err());
    }

    #[test]
    fn windows_is_known_and_not_here_yet() {
        for value in ["WindowsVSS", "windows-vss"] {
            let problem = lookup(value, &instance()).unwrap_err();
            assert_eq!(problem.kind, Kind::State);
            assert!(problem.cause.contains("not in this version") && !problem.hint.is_empty());
        }
    }

    #[test]
    fn an_unknown_value_is_named_with_the_nearest() {
        for (value, near) in [
            ("linux-mysq", "linux-mysql"),
            ("Linux-Filesystem", "linux-filesystem"),
            ("AmazonLinuxMySql", "linux-mysql"),
        ] {
            let problem = lookup(value, &instance()).unwrap_err();
            assert_eq!(problem.kind, Kind::Usage);
            assert!(problem.what.contains("i-0123456789abcdef0"), "{problem:?}");
            assert!(
                problem.cause.contains(value) && problem.hint.contains(near),
                "{problem:?}"
            );
        }
        for far in ["", "true", "vault", "x".repeat(256).as_str()] {
            let problem = lookup(far, &instance()).unwrap_err();
            assert!(!problem.cause.contains("nearest"), "{problem:?}");
            for recipe in &RECIPES {
                assert!(problem.hint.contains(recipe.name), "{problem:?}");
            }
        }
        let hostile = lookup("\u{1b}[2J", &instance()).unwrap_err();
        assert!(!hostile.to_string().contains('\u{1b}'));
    }
}
