//! `[recipes.NAME]`: the user's own recipes, and parameters for the built-in ones.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::places::Places;
use crate::domain::instance::Platform;
use crate::domain::problem::{Kind, Problem};
use crate::domain::text::is_hostile;

/// Most characters of a recipe's name: it must fit a tag value and a column.
const NAME_MAX: usize = 64;

/// One table `[recipes.NAME]`. Which keys a built-in name may have is the catalogue's to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// SSM document, by its name in the account or its ARN.
    pub document: Option<String>,
    /// What it runs on; absent: Linux.
    pub platform: Option<Platform>,
    /// Parameters of the document beyond those of the contract.
    pub parameters: BTreeMap<String, String>,
    /// It keeps Data Lifecycle Manager's contract and need not speak FF1. Absent: unless the document's name
    /// is one of ours.
    pub third_party: Option<bool>,
    /// The failsafe's budget in seconds, 1 to 999, unless the command line says another.
    pub budget_seconds: Option<u32>,
    /// What it does, in one line.
    pub what: Option<String>,
    /// Where it stands, for messages: `FILE: line N`.
    #[serde(skip)]
    pub place: String,
    /// Where its keys stand, by their names (`parameters.NAME` for parameters).
    #[serde(skip)]
    pub places: BTreeMap<String, String>,
}

/// Says of every recipe where it stands, and checks what can be checked without knowing the built-in ones.
///
/// # Errors
/// [`Kind::Usage`] with the file and the line.
pub(super) fn check(
    recipes: &mut BTreeMap<String, Recipe>,
    places: &Places,
    file: &str,
) -> Result<(), Problem> {
    for (name, recipe) in recipes.iter_mut() {
        recipe.place = places.said(file, &["recipes", name]);
        recipe.places = places.below(file, &["recipes", name]);
        if let Err((key, cause, hint)) = check_recipe(name, recipe) {
            return Err(refused_at(name, recipe, &key, &cause, hint));
        }
    }
    Ok(())
}

/// A problem with one recipe of the configuration.
pub fn refused(name: &str, recipe: &Recipe, cause: &str, hint: impl AsRef<str>) -> Problem {
    refused_at(name, recipe, "", cause, hint)
}

/// A problem with one key of a recipe, such as `document` or `parameters.NAME`; its line is told.
pub fn refused_at(
    name: &str,
    recipe: &Recipe,
    key: &str,
    cause: &str,
    hint: impl AsRef<str>,
) -> Problem {
    let place = recipe.places.get(key).unwrap_or(&recipe.place);
    Problem::new(
        Kind::Usage,
        format!("read the recipe `{name}` of {place}"),
        cause,
        hint,
    )
}

/// What is wrong: the key, the cause, the hint.
fn check_recipe(name: &str, recipe: &Recipe) -> Result<(), (String, String, &'static str)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
        return Err((
            String::new(),
            format!("the name is not 1 to {NAME_MAX} letters, digits and . _ -"),
            "choose a plain name: it is written into tags and typed on command lines",
        ));
    }
    if let Some(document) = &recipe.document
        && !is_document(document)
    {
        return Err((
            "document".to_owned(),
            format!("document = \"{document}\" is not the name or ARN of an SSM document"),
            "3 to 200 letters, digits and _ - . : /",
        ));
    }
    if let Some(seconds) = recipe.budget_seconds
        && !(1..=999).contains(&seconds)
    {
        return Err((
            "budget_seconds".to_owned(),
            format!("budget_seconds is {seconds}"),
            "choose 1 to 999 seconds",
        ));
    }
    for (key, value) in &recipe.parameters {
        if !is_parameter(key) {
            return Err((
                format!("parameters.{key}"),
                format!("`{key}` cannot be the name of a parameter"),
                "letters, digits and _, as the document declares it",
            ));
        }
        if value.len() > 4096 || value.chars().any(is_hostile) {
            return Err((
                format!("parameters.{key}"),
                format!("the value of `{key}` has control characters, or more than 4,096 bytes"),
                "write it in one plain line",
            ));
        }
    }
    if recipe
        .what
        .as_ref()
        .is_some_and(|what| what.len() > 200 || what.chars().any(is_hostile))
    {
        return Err((
            "what".to_owned(),
            "`what` has control characters, or more than 200 bytes".to_owned(),
            "say it in one plain line",
        ));
    }
    Ok(())
}

/// Whether a text can name an SSM document (aws-facts: `[a-zA-Z0-9_\-.]{3,128}`, or an ARN).
pub fn is_document(name: &str) -> bool {
    (3..=200).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b))
}

/// Whether a text can name a parameter of a document.
pub fn is_parameter(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use crate::config::layers::tests::parse;
    use crate::domain::problem::Kind;

    #[test]
    fn a_recipe_of_ones_own_is_read_with_its_place() {
        let text = "theme = \"freezeframe\"\n\n[recipes.my-app]\ndocument = \"MyApp-Quiesce\"\nplatform = \"linux\"\n\
                    budget_seconds = 45\nwhat = \"hold my app\"\nthird_party = true\nparameters = { port = \"80\" }\n\
                    [recipes.linux-mysql.parameters]\nlockWaitSeconds = \"10\"\n";
        let config = parse(text, "c.toml").unwrap();
        let own = &config.recipes["my-app"];
        assert_eq!(own.document.as_deref(), Some("MyApp-Quiesce"));
        assert_eq!(own.place, "c.toml: line 3");
        assert_eq!(own.parameters["port"], "80");
        let builtin = &config.recipes["linux-mysql"];
        assert_eq!(builtin.place, "c.toml: line 10");
        assert_eq!(builtin.parameters["lockWaitSeconds"], "10");
        assert!(builtin.document.is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line() {
        for (text, line, word) in [
            (
                "\n[recipes.\"a b\"]\ndocument = \"abc\"\n",
                "line 2",
                "name",
            ),
            ("[recipes.a]\ndocument = \"$(id)\"\n", "line 2", "$(id)"),
            (
                "[recipes.a]\ndocument = \"abc\"\nbudget_seconds = 0\n",
                "line 3",
                "budget_seconds",
            ),
            (
                "[recipes.a]\ndocument = \"abc\"\nparameters = { \"a-b\" = \"\" }\n",
                "line 3",
                "a-b",
            ),
            (
                "[recipes.a]\ndocument = \"abc\"\nparameters = { a = \"x\\ny\" }\n",
                "line 3",
                "control",
            ),
            (
                "[recipes.a]\ndocument = \"abc\"\nwhat = \"\\u001b[2J\"\n",
                "line 3",
                "what",
            ),
        ] {
            let error = parse(text, "c.toml").unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{text}");
            let shown = error.to_string();
            assert!(shown.contains(line) && shown.contains(word), "{shown}");
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn an_unknown_key_and_a_wrong_kind_are_errors_with_line_and_column() {
        let error = parse("[recipes.a]\ndocumnet = \"abc\"\n", "c.toml").unwrap_err();
        assert!(
            error.cause.contains("line 2, column 1") && error.cause.contains("documnet"),
            "{error}"
        );
        assert!(
            error.hint.contains("did you mean `document`"),
            "{}",
            error.hint
        );
        let error = parse("[recipes.a]\nparameters = { n = 5 }\n", "c.toml").unwrap_err();
        assert!(error.cause.contains("line 2"), "{error}");
        let error = parse("[recipes.a]\nplatform = \"macos\"\n", "c.toml").unwrap_err();
        assert!(
            error.cause.contains("line 2") && error.hint.contains("linux"),
            "{error} {}",
            error.hint
        );
    }
}
