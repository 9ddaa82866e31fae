//! The layers of the configuration: defaults < file < environment < flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::origin::{Origin, Origins};
use super::paths;
use super::places::{Places, place};
use super::recipes::{self, Recipe};
use super::theme::Theme;
use super::variables::Variables;
use crate::domain::job::OnFailure;
use crate::domain::metrics::check_namespace;
use crate::domain::mode::AskedMode;
use crate::domain::nearest::nearest;
use crate::domain::problem::{Kind, Problem};
use crate::domain::retention::Policy;
use crate::domain::run::Limits;
use crate::domain::set_plan::{SetOptions, Tagging};
use crate::domain::tags::Tags;

/// Names the configuration file, as `--config` does.
pub const CONFIG: &str = "FREEZEFRAME_CONFIG";
/// `1` or `true` refuses everything that would change something, as `--read-only` does.
pub const READ_ONLY: &str = "FREEZEFRAME_READ_ONLY";

/// The configuration after all layers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Profile of the shared AWS configuration; absent: the SDK's own choice.
    pub profile: Option<String>,
    /// AWS region; absent: the profile's.
    pub region: Option<String>,
    /// One endpoint for every service.
    pub endpoint_url: Option<String>,
    /// Refuse everything that would change something.
    pub read_only: bool,
    /// How `read_only` is undone: by where it was said. `None` while it is not.
    #[serde(skip)]
    pub read_only_mend: Option<String>,
    /// Where each value came from, by its key.
    #[serde(skip)]
    pub origins: Origins,
    /// Colour theme: a name in `themes/` or a TOML file.
    pub theme: String,
    /// Metrics.
    pub metrics: Metrics,
    /// Snapshots.
    pub snapshot: Snapshot,
    /// Restores.
    pub restore: Restore,
    /// Limits of a run.
    pub run: Limits,
    /// Retention policies by name.
    pub retention: BTreeMap<String, Policy>,
    /// The user's own recipes by name, and parameters for built-in ones.
    pub recipes: BTreeMap<String, Recipe>,
}

/// Where metrics are published and read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// CloudWatch namespace.
    pub namespace: String,
}

/// How snapshots are taken when the command line does not say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Snapshot {
    /// The failsafe's budget in seconds, 1 to 999.
    pub budget_seconds: u32,
    /// What to do when quiescing fails.
    pub on_failure: OnFailure,
    /// Who calls `CreateSnapshots`.
    pub mode: AskedMode,
    /// Tags that every snapshot gets.
    pub tags: BTreeMap<String, String>,
    /// Keys of the volumes' tags that snapshots keep first where there is no room for all.
    pub keep_tags: Vec<String>,
}

/// How sets are restored when the command line does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restore {
    /// Keys of the source's tags that restored copies get.
    pub copy_tags: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: None,
            region: None,
            endpoint_url: None,
            read_only: false,
            read_only_mend: None,
            origins: Origins::default(),
            theme: "freezeframe".to_owned(),
            metrics: Metrics::default(),
            snapshot: Snapshot::default(),
            restore: Restore::default(),
            run: Limits::default(),
            retention: BTreeMap::new(),
            recipes: BTreeMap::new(),
        }
    }
}

impl Config {
    /// What it says of tags.
    pub fn tagging(&self) -> Tagging {
        Tagging {
            tags: Tags(self.snapshot.tags.clone()),
            keep_tags: self.snapshot.keep_tags.clone(),
            copy_tags: self.restore.copy_tags.clone(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            namespace: "Organization/Backup".to_owned(),
        }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            budget_seconds: 30,
            on_failure: OnFailure::Skip,
            mode: AskedMode::Auto,
            tags: BTreeMap::new(),
            keep_tags: Vec::new(),
        }
    }
}

/// What the command line said; wins over everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--endpoint-url`.
    pub endpoint_url: Option<String>,
    /// `--read-only`; can only be switched on.
    pub read_only: bool,
    /// `--theme`.
    pub theme: Option<String>,
}

/// A key that a variable may set, between the file and the flags.
struct Key {
    key: &'static str,
    variables: &'static [&'static str],
    set: fn(&mut Config, &str) -> Result<(), String>,
}

/// Variables that name a profile.
pub(super) const PROFILE: &[&str] = &["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];

/// Variables that name a region.
pub(super) const REGION: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];

/// Every key but the tables (`retention`, `recipes`), which only the file has.
const KEYS: &[Key] = &[
    Key {
        key: "profile",
        variables: PROFILE,
        set: |config, text| {
            config.profile = Some(text.to_owned());
            Ok(())
        },
    },
    Key {
        key: "region",
        variables: REGION,
        set: |config, text| {
            config.region = Some(text.to_owned());
            Ok(())
        },
    },
    Key {
        key: "endpoint_url",
        variables: &["AWS_ENDPOINT_URL"],
        set: |config, text| {
            config.endpoint_url = Some(text.to_owned());
            Ok(())
        },
    },
    Key {
        key: "theme",
        variables: &["FREEZEFRAME_THEME"],
        set: |config, text| {
            config.theme = text.to_owned();
            Ok(())
        },
    },
    Key {
        key: "metrics.namespace",
        variables: &["FREEZEFRAME_METRICS_NAMESPACE"],
        set: |config, text| {
            config.metrics.namespace = text.to_owned();
            Ok(())
        },
    },
    Key {
        key: "snapshot.budget_seconds",
        variables: &["FREEZEFRAME_SNAPSHOT_BUDGET_SECONDS"],
        set: |config, text| number(text).map(|n| config.snapshot.budget_seconds = n),
    },
    Key {
        key: "snapshot.on_failure",
        variables: &["FREEZEFRAME_SNAPSHOT_ON_FAILURE"],
        set: |config, text| parse_word(text).map(|word| config.snapshot.on_failure = word),
    },
    Key {
        key: "snapshot.mode",
        variables: &["FREEZEFRAME_SNAPSHOT_MODE"],
        set: |config, text| parse_word(text).map(|word| config.snapshot.mode = word),
    },
    Key {
        key: "snapshot.keep_tags",
        variables: &["FREEZEFRAME_SNAPSHOT_KEEP_TAGS"],
        set: |config, text| {
            config.snapshot.keep_tags = listed(text);
            Ok(())
        },
    },
    Key {
        key: "snapshot.tags",
        variables: &["FREEZEFRAME_SNAPSHOT_TAGS"],
        set: |config, text| {
            let pairs = listed(text).into_iter().map(|pair| {
                let (key, value) = pair
                    .split_once('=')
                    .ok_or_else(|| format!("`{pair}` is not KEY=VALUE"))?;
                SetOptions::check_tag(key, value)?;
                Ok((key.to_owned(), value.to_owned()))
            });
            config.snapshot.tags = pairs.collect::<Result<_, String>>()?;
            Ok(())
        },
    },
    Key {
        key: "restore.copy_tags",
        variables: &["FREEZEFRAME_RESTORE_COPY_TAGS"],
        set: |config, text| {
            config.restore.copy_tags = listed(text);
            Ok(())
        },
    },
    Key {
        key: "run.at_once",
        variables: &["FREEZEFRAME_RUN_AT_ONCE"],
        set: |config, text| number(text).map(|n| config.run.at_once = n),
    },
    Key {
        key: "run.freezes_per_group",
        variables: &["FREEZEFRAME_RUN_FREEZES_PER_GROUP"],
        set: |config, text| number(text).map(|n| config.run.freezes_per_group = n),
    },
    Key {
        key: "run.group_tag",
        variables: &["FREEZEFRAME_RUN_GROUP_TAG"],
        set: |config, text| {
            config.run.group_tag = text.to_owned();
            Ok(())
        },
    },
    Key {
        key: "run.retries",
        variables: &["FREEZEFRAME_RUN_RETRIES"],
        set: |config, text| number(text).map(|n| config.run.retries = n),
    },
];

/// What stands between commas.
fn listed(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim);
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn number(text: &str) -> Result<u32, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is no whole number"))
}

/// One of the words that the file takes for this key.
fn parse_word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    use serde::de::IntoDeserializer as _;
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        text.into_deserializer();
    T::deserialize(text).map_err(|e| e.to_string())
}

/// Reads all layers. `named` is `--config`; without it `FREEZEFRAME_CONFIG`, then the user's own file,
/// which may be absent. A file that was named must exist.
///
/// # Errors
/// A file that cannot be read or understood: file, line, column, and the nearest known key; a variable that cannot be
/// understood, with its name.
pub fn load(named: Option<&Path>, overrides: &Overrides) -> Result<Config, Problem> {
    layered(
        named,
        overrides,
        &Variables::of_process(),
        paths::config_file(),
    )
}

/// As [`load`], with another environment and without the user's own file.
#[cfg(test)]
pub(crate) fn with(
    named: Option<&Path>,
    overrides: &Overrides,
    variables: &Variables,
) -> Result<Config, Problem> {
    layered(named, overrides, variables, None)
}

fn layered(
    named: Option<&Path>,
    overrides: &Overrides,
    variables: &Variables,
    usual: Option<PathBuf>,
) -> Result<Config, Problem> {
    known_variables(variables)?;
    let named = match (named, variables.raw(CONFIG)) {
        (Some(path), _) => Some(paths::given(path, "--config")?),
        (None, Some(path)) => Some(paths::given(Path::new(path), CONFIG)?),
        (None, None) => None,
    };
    let mut config = match (named, usual) {
        (Some(path), _) => read(&path, true)?,
        (None, Some(path)) => read(&path, false)?,
        (None, None) => Config::default(),
    };
    for key in KEYS {
        if let Some((name, text)) = variables.first(key.variables)? {
            (key.set)(&mut config, text).map_err(|cause| {
                Problem::new(
                    Kind::Usage,
                    format!("read {name}"),
                    cause,
                    "correct it, or remove it; assets/config.toml explains the key",
                )
            })?;
            let origin = Origin::Variable(name.to_owned());
            config.origins.set(key.key, origin);
        }
    }
    if let Some(value) = variables.raw(READ_ONLY) {
        config.read_only = match value.to_str().map(str::to_ascii_lowercase).as_deref() {
            Some("1" | "true" | "yes") => {
                let hint = format!("remove {READ_ONLY} from the environment to change anything");
                config.read_only_mend = Some(also(config.read_only_mend, &hint));
                let origin = Origin::Variable(READ_ONLY.to_owned());
                config.origins.set("read_only", origin);
                true
            }
            // Switching it off by a variable that somebody forgot would be the dangerous direction.
            Some("0" | "false" | "no") => config.read_only,
            _ => {
                return Err(Problem::new(
                    Kind::Usage,
                    format!("read {READ_ONLY}"),
                    format!("`{}` is neither yes nor no", value.to_string_lossy()),
                    "set it to 1, or remove it",
                ));
            }
        };
    }
    flags(&mut config, overrides);
    checked(&config, |key| config.origins.of(key).to_string())?;
    Ok(config)
}

/// The last layer. An empty flag is one that is not there.
fn flags(config: &mut Config, overrides: &Overrides) {
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    for (flag, key, text, to) in [
        (
            "--profile",
            "profile",
            &overrides.profile,
            &mut config.profile,
        ),
        ("--region", "region", &overrides.region, &mut config.region),
        (
            "--endpoint-url",
            "endpoint_url",
            &overrides.endpoint_url,
            &mut config.endpoint_url,
        ),
    ] {
        if let Some(text) = said(text) {
            *to = Some(text);
            config.origins.set(key, Origin::Flag(flag));
        }
    }
    if overrides.read_only {
        config.read_only = true;
        let hint = "start without --read-only to change anything";
        config.read_only_mend = Some(also(config.read_only_mend.take(), hint));
        config.origins.set("read_only", Origin::Flag("--read-only"));
    }
    if let Some(theme) = said(&overrides.theme) {
        config.theme = theme;
        config.origins.set("theme", Origin::Flag("--theme"));
    }
    for text in [
        &mut config.profile,
        &mut config.region,
        &mut config.endpoint_url,
    ] {
        // An empty value of the file is unset too.
        if text.as_deref() == Some("") {
            *text = None;
        }
    }
}

/// Variables of AWS that say what somebody may think one of ours says.
const AWS_SAYS: [(&str, &str); 3] = [
    ("PROFILE", "AWS_PROFILE"),
    ("REGION", "AWS_REGION"),
    ("ENDPOINT_URL", "AWS_ENDPOINT_URL"),
];

/// Variables of this project's own tests, which programs under test inherit.
const OF_TESTS: [&str; 4] = ["TEST", "SEED", "SERVERS", "ROOTS"];

/// A variable that looks like ours says something that would go unheard.
fn known_variables(variables: &Variables) -> Result<(), Problem> {
    const PREFIX: &str = "FREEZEFRAME_";
    variables.printable(PREFIX)?;
    let known: Vec<&str> = KEYS
        .iter()
        .flat_map(|key| key.variables)
        .copied()
        .chain([CONFIG, READ_ONLY, paths::STATE_DIR])
        .filter_map(|name| name.strip_prefix(PREFIX))
        .collect();
    for name in variables.names(PREFIX) {
        let word = &name[PREFIX.len()..];
        if known.contains(&word) || OF_TESTS.iter().any(|test| word.starts_with(test)) {
            continue;
        }
        let aws = AWS_SAYS.iter().find(|(ours, _)| *ours == word);
        let end = known.iter().find(|all| all.ends_with(&format!("_{word}")));
        let hint = match (aws, end.copied().or_else(|| nearest(word, &known))) {
            (Some((_, aws)), _) => format!("set {aws}"),
            (None, Some(near)) => format!("did you mean {PREFIX}{near}?"),
            (None, None) => format!("known are {PREFIX}… {}", known.join(", ")),
        };
        return Err(Problem::new(
            Kind::Usage,
            format!("read {name}"),
            "there is no such variable",
            format!("{hint}; or remove it from the environment"),
        ));
    }
    Ok(())
}

/// One more thing to do before what was to be done.
fn also(hint: Option<String>, more: &str) -> String {
    match hint {
        Some(hint) => format!("{hint}; and {more}"),
        None => more.to_owned(),
    }
}

fn read(path: &Path, must_exist: bool) -> Result<Config, Problem> {
    let what = || format!("read the configuration {}", path.display());
    let bytes = match super::small_file::read_bytes(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_exist => {
            return Ok(Config::default());
        }
        Err(e) => {
            return Err(Problem::new(
                Kind::Usage,
                what(),
                e.to_string(),
                "check the name and the permissions of the file",
            ));
        }
    };
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let (line, column) = place(&bytes, e.valid_up_to());
        Problem::new(
            Kind::Usage,
            what(),
            format!("line {line}, column {column}: not UTF-8"),
            "save the file as UTF-8",
        )
    })?;
    parse(text, &path.display().to_string())
}

/// Reads one file's text; `file` is named in errors.
fn parse(text: &str, file: &str) -> Result<Config, Problem> {
    let mut config: Config = toml::from_str(text).map_err(|e| {
        let at = e.span().map(|span| place(text.as_bytes(), span.start));
        let place = at.map_or(String::new(), |(line, column)| {
            format!("line {line}, column {column}: ")
        });
        let first = e.message().lines().next().unwrap_or_default();
        // What is known stands in the hint, once.
        let cause = match first.split_once(", expected ") {
            Some((cause, _)) if first.starts_with("unknown ") => cause,
            _ => first,
        };
        Problem::new(
            Kind::Usage,
            format!("read the configuration {file}"),
            format!("{place}{cause}"),
            hint(first),
        )
    })?;
    let places = Places::of(text);
    let at = |keys: &[&str]| places.said(file, keys);
    for (path, line) in places.all() {
        let origin = Origin::File {
            file: file.to_owned(),
            line,
        };
        config.origins.set(path.join("."), origin);
    }
    if config.read_only {
        let line = at(&["read_only"]);
        config.read_only_mend = Some(format!("remove read_only from {line} to change anything"));
    }
    checked(&config, |key| at(&key.split('.').collect::<Vec<_>>()))?;
    recipes::check(&mut config.recipes, &places, file)?;
    for (name, policy) in &config.retention {
        if name.trim().is_empty() {
            return Err(Problem::new(
                Kind::Usage,
                format!("read the policies of {}", at(&["retention", name])),
                "a policy has no name",
                "give it one, such as [retention.nightly]",
            ));
        }
        policy.check().map_err(|problem| Problem {
            what: format!(
                "read the policy `{}` of {}",
                crate::domain::text::visible(name),
                at(&["retention", name])
            ),
            ..problem
        })?;
    }
    Ok(config)
}

/// Refuses values out of their range, whatever layer said them; `at` says which one.
fn checked(config: &Config, at: impl Fn(&str) -> String) -> Result<(), Problem> {
    if !(1..=999).contains(&config.snapshot.budget_seconds) {
        return Err(Problem::new(
            Kind::Usage,
            format!("read the configuration {}", at("snapshot.budget_seconds")),
            format!(
                "snapshot.budget_seconds is {}",
                config.snapshot.budget_seconds
            ),
            "choose 1 to 999 seconds",
        ));
    }
    for (key, value) in &config.snapshot.tags {
        SetOptions::check_tag(key, value).map_err(|why| {
            let key = crate::domain::text::visible(key);
            Problem::new(
                Kind::Usage,
                format!("read the tag `{key}` of {}", at("snapshot.tags")),
                why,
                "correct it, or remove it",
            )
        })?;
    }
    let wrong = |key: &str, cause: String| {
        let what = format!("read the configuration {}", at(key));
        Problem::new(Kind::Usage, what, cause, "correct it, or remove it")
    };
    check_namespace(&config.metrics.namespace)
        .map_err(|why| wrong("metrics.namespace", format!("metrics.namespace {why}")))?;
    for (key, tags) in [
        ("snapshot.keep_tags", &config.snapshot.keep_tags),
        ("restore.copy_tags", &config.restore.copy_tags),
    ] {
        for tag in tags {
            SetOptions::check_copied(tag).map_err(|why| {
                let tag = crate::domain::text::visible(tag);
                wrong(key, format!("the tag `{tag}`: {why}"))
            })?;
        }
    }
    Theme::load(&config.theme).map_err(|problem| {
        Problem::new(
            Kind::Usage,
            format!("read the configuration {}", at("theme")),
            format!("{}: {}", problem.what, problem.cause),
            problem.hint,
        )
    })?;
    config.run.check().map_err(|problem| {
        // Its cause begins with the key.
        let key = problem.cause.split(' ').next().unwrap_or_default();
        let what = format!(
            "read [run] of the configuration {}",
            at(&format!("run.{key}"))
        );
        Problem { what, ..problem }
    })
}

/// What to do about a message of serde: for an unknown word the nearest known one.
fn hint(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.as_slice() {
        [wrong, known @ ..] if message.starts_with("unknown ") && !known.is_empty() => {
            match nearest(wrong, known) {
                Some(near) => format!("did you mean `{near}`? known here: {}", known.join(", ")),
                None => format!("remove it; known here: {}", known.join(", ")),
            }
        }
        _ => "correct that line; every key is explained in assets/config.toml of the sources"
            .to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// [`super::parse`], for the tests of this module's siblings.
    pub fn parse(text: &str, file: &str) -> Result<Config, Problem> {
        super::parse(text, file)
    }

    const SAMPLE: &str = include_str!("../../assets/config.toml");

    fn none() -> Variables {
        Variables::default()
    }

    fn of(pairs: &[(&str, &str)]) -> Variables {
        Variables::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn the_sample_names_the_defaults_and_every_key() {
        let as_shipped = Config {
            // It says them, so they come from it.
            origins: Origins::default(),
            ..parse(SAMPLE, "sample").unwrap()
        };
        assert_eq!(as_shipped, Config::default());
        // With the comment signs before keys and tables removed it must still be valid.
        let all: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let all = parse(&all, "sample").unwrap();
        assert!(all.profile.is_some() && all.region.is_some() && all.endpoint_url.is_some());
        assert!(!all.retention.is_empty());
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place_and_the_nearest_key() {
        let error = parse("theme = \"x\"\n[snapshot]\nbudget_secs = 3\n", "c.toml").unwrap_err();
        assert!(error.what.contains("c.toml"), "{error}");
        assert!(
            error.cause.contains("line 3, column 1") && error.cause.contains("budget_secs"),
            "{error}"
        );
        assert!(
            error.hint.contains("did you mean `budget_seconds`"),
            "{}",
            error.hint
        );
        assert_eq!(error.kind, Kind::Usage);
        let error = parse("[retention.nightly]\nkeep_dayly = 3\n", "c.toml").unwrap_err();
        assert!(
            error.hint.contains("`keep-daily`"),
            "{} / {}",
            error.cause,
            error.hint
        );
        let far = parse("xyzzyplugh = 1\n", "c.toml").unwrap_err();
        assert!(!far.hint.contains("did you mean"), "{}", far.hint);
        assert!(far.hint.contains("read_only"), "{}", far.hint);
    }

    #[test]
    fn an_empty_policy_and_a_wild_budget_are_errors() {
        let error = parse("[retention.nightly]\n", "c.toml").unwrap_err();
        assert!(error.what.contains("nightly"), "{error}");
        assert!(parse("[retention.n]\nkeep-daily = -1\n", "c.toml").is_err());
        assert!(parse("[retention.n]\nkeep-daily = \"7d\"\n", "c.toml").is_err());
        assert!(parse("[snapshot]\nbudget_seconds = 0\n", "c.toml").is_err());
        let error = parse("[run]\nat_once = 5000\n", "c.toml").unwrap_err();
        assert!(error.cause.contains("at_once is 5000"), "{error}");
    }

    #[test]
    fn layers_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "profile = \"file\"\nregion = \"eu-west-1\"\n").unwrap();
        let flags = Overrides {
            profile: Some("flag".into()),
            ..Overrides::default()
        };
        let config = layered(None, &flags, &none(), Some(file.clone())).unwrap();
        assert_eq!(config.profile.as_deref(), Some("flag"));
        assert_eq!(config.region.as_deref(), Some("eu-west-1"));
        assert!(!config.read_only);
        let read_only = of(&[(READ_ONLY, "1")]);
        let by_variable = layered(None, &flags, &read_only, Some(file.clone())).unwrap();
        assert!(by_variable.read_only);
        let hint = by_variable.read_only_mend.unwrap();
        assert!(
            hint.contains(READ_ONLY) && !hint.contains("--read-only"),
            "{hint}"
        );
        let flag = Overrides {
            read_only: true,
            ..Overrides::default()
        };
        let by_both = layered(None, &flag, &read_only, Some(file.clone())).unwrap();
        let hint = by_both.read_only_mend.unwrap();
        assert!(
            hint.contains(READ_ONLY) && hint.contains("--read-only"),
            "{hint}"
        );
        let by_file = parse("theme = \"freezeframe\"\nread_only = true\n", "c.toml").unwrap();
        let hint = by_file.read_only_mend.unwrap();
        assert!(hint.contains("c.toml: line 2"), "{hint}");
        let odd = of(&[(READ_ONLY, "perhaps")]);
        assert!(layered(None, &flags, &odd, Some(file.clone())).is_err());
        let by_env = Variables::from_pairs([(CONFIG, file.clone())]);
        assert_eq!(
            layered(None, &Overrides::default(), &by_env, None)
                .unwrap()
                .profile
                .as_deref(),
            Some("file")
        );
    }

    #[test]
    fn every_layer_wins_over_the_one_before_and_says_that_it_did() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(
            &file,
            "profile = \"file\"\nregion = \"eu-west-1\"\n[snapshot]\nmode = \"autonomous\"\n",
        )
        .unwrap();
        let load = |variables: &[(&str, &str)], flags: &Overrides| {
            layered(None, flags, &of(variables), Some(file.clone()))
        };
        let flags = Overrides {
            region: Some("us-east-1".into()),
            ..Overrides::default()
        };
        let config = load(
            &[
                ("AWS_PROFILE", "variable"),
                ("AWS_DEFAULT_REGION", "eu-north-1"),
            ],
            &flags,
        )
        .unwrap();
        let said = |key: &str| config.origins.of(key).to_string();
        assert_eq!(config.profile.as_deref(), Some("variable"));
        assert_eq!(config.region.as_deref(), Some("us-east-1"));
        assert_eq!(
            (said("profile"), said("region")),
            ("AWS_PROFILE".into(), "--region".into())
        );
        assert!(
            said("snapshot.mode").ends_with("config.toml: line 4"),
            "{}",
            said("snapshot.mode")
        );
        assert_eq!(said("run.retries"), "default");
        // Empty is unset, at every layer.
        let empty = Overrides {
            profile: Some(String::new()),
            endpoint_url: Some(String::new()),
            ..Overrides::default()
        };
        let config = load(&[("AWS_PROFILE", ""), ("AWS_REGION", "")], &empty).unwrap();
        assert_eq!(config.profile.as_deref(), Some("file"));
        assert_eq!(config.endpoint_url, None);
        // AWS_REGION goes before AWS_DEFAULT_REGION, as all AWS tools have it.
        let both = [
            ("AWS_DEFAULT_REGION", "eu-north-1"),
            ("AWS_REGION", "eu-south-1"),
        ];
        assert_eq!(
            load(&both, &Overrides::default())
                .unwrap()
                .region
                .as_deref(),
            Some("eu-south-1")
        );
    }

    #[test]
    fn every_plain_key_of_the_sample_has_a_variable_that_is_checked_and_says_so() {
        let all: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let table: toml::Table = all.parse().unwrap();
        let mut keys = Vec::new();
        for (name, value) in &table {
            match value {
                toml::Value::Table(_) if ["retention", "recipes"].contains(&name.as_str()) => {}
                toml::Value::Table(inner) => {
                    keys.extend(inner.keys().map(|key| format!("{name}.{key}")))
                }
                _ => keys.push(name.clone()),
            }
        }
        for key in keys {
            let known = key == "read_only" || KEYS.iter().any(|known| known.key == key);
            assert!(known, "{key} has no variable");
        }
        for (name, value) in [
            ("FREEZEFRAME_SNAPSHOT_MODE", "both"),
            ("FREEZEFRAME_SNAPSHOT_ON_FAILURE", "maybe"),
            ("FREEZEFRAME_SNAPSHOT_BUDGET_SECONDS", "-1"),
            ("FREEZEFRAME_SNAPSHOT_BUDGET_SECONDS", "0"),
            ("FREEZEFRAME_SNAPSHOT_TAGS", "aws:x=y"),
            ("FREEZEFRAME_SNAPSHOT_TAGS", "Team"),
            ("FREEZEFRAME_RUN_AT_ONCE", "many"),
            ("FREEZEFRAME_RUN_RETRIES", "11"),
            ("FREEZEFRAME_THEME", "nope"),
            ("FREEZEFRAME_READONLY", "1"),
            ("FREEZEFRAME_STATEDIR", "/x"),
            ("FREEZEFRAME_PROFILE", "prod"),
            ("FREEZEFRAME_MODE", "coordinated"),
            ("FREEZEFRAME_XYZZY", "1"),
            ("FREEZEFRAME_THEME", "free\nzeframe"),
            ("FREEZEFRAME_METRICS_NAMESPACE", ":x"),
            ("FREEZEFRAME_METRICS_NAMESPACE", "AWS/EC2"),
            ("FREEZEFRAME_SNAPSHOT_KEEP_TAGS", "Team,aws:x"),
            ("FREEZEFRAME_RESTORE_COPY_TAGS", "freezeframe:level"),
        ] {
            let problem =
                layered(None, &Overrides::default(), &of(&[(name, value)]), None).unwrap_err();
            assert!(problem.what.contains(name), "{name}: {problem}");
            assert_eq!(problem.kind, Kind::Usage);
        }
        let modes = of(&[
            ("FREEZEFRAME_SNAPSHOT_MODE", "autonomous"),
            ("FREEZEFRAME_RUN_AT_ONCE", "3"),
        ]);
        let config = layered(None, &Overrides::default(), &modes, None).unwrap();
        assert_eq!(
            (config.snapshot.mode, config.run.at_once),
            (AskedMode::Autonomous, 3)
        );
    }

    #[test]
    fn absence_matters_only_when_named() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("none.toml");
        let flags = Overrides::default();
        assert_eq!(
            layered(None, &flags, &none(), Some(absent.clone())).unwrap(),
            Config::default()
        );
        assert!(layered(Some(&absent), &flags, &none(), None).is_err());
        assert!(!absent.exists());
        let latin = dir.path().join("latin.toml");
        std::fs::write(&latin, b"theme = \"x\"\nprofile = \"gr\xfc\xdfe\"\n").unwrap();
        let error = layered(Some(&latin), &flags, &none(), None).unwrap_err();
        assert!(error.cause.contains("line 2, column 14"), "{error}");
    }
}
