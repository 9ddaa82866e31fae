//! The shared AWS files, `~/.aws/config` and `~/.aws/credentials`, read as the AWS CLI reads them, with the line of
//! every key. The SDK has a reader of its own; it names no line and goes on without what it did not understand.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::variables::{HOME, Variables};
use crate::domain::problem::{Kind, Problem};
use crate::domain::text::visible;

/// One value of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The value as it stands.
    pub text: String,
    /// Where it stands.
    pub at: Origin,
}

impl fmt::Debug for Value {
    /// Without the text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.at)
    }
}

/// Keys of one section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// What the configuration file says.
    config: BTreeMap<String, Value>,
    /// What the credentials file says.
    credentials: BTreeMap<String, Value>,
    /// Nested keys, `services` sections have them: `ec2 =` and below it, indented, `endpoint_url = …`.
    nested: BTreeMap<(String, String), Value>,
}

impl Section {
    /// The value of a key; an empty one is unset. The credentials file goes before the configuration file.
    pub fn get(&self, key: &str) -> Option<&Value> {
        [FileKind::Credentials, FileKind::Config]
            .into_iter()
            .find_map(|file| self.get_in(file, key))
    }

    /// The value of a key in one of the two files; an empty one is unset.
    pub fn get_in(&self, file: FileKind, key: &str) -> Option<&Value> {
        self.keys(file)
            .get(key)
            .filter(|value| !value.text.is_empty())
    }

    fn keys(&self, file: FileKind) -> &BTreeMap<String, Value> {
        match file {
            FileKind::Config => &self.config,
            FileKind::Credentials => &self.credentials,
        }
    }

    fn keys_mut(&mut self, file: FileKind) -> &mut BTreeMap<String, Value> {
        match file {
            FileKind::Config => &mut self.config,
            FileKind::Credentials => &mut self.credentials,
        }
    }

    /// The value's text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|value| value.text.as_str())
    }

    /// The value of a key below another.
    pub fn nested(&self, outer: &str, inner: &str) -> Option<&Value> {
        self.nested
            .get(&(outer.to_owned(), inner.to_owned()))
            .filter(|value| !value.text.is_empty())
    }
}

/// Both files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsFiles {
    profiles: BTreeMap<String, Section>,
    sso_sessions: BTreeMap<String, Section>,
    services: BTreeMap<String, Section>,
    /// Sections of the configuration file that lack the word `profile`, with their lines.
    bare: BTreeMap<String, Origin>,
    searched: Vec<PathBuf>,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `~/.aws/config`
    Config,
    /// `~/.aws/credentials`
    Credentials,
}

/// Keys that freezeframe reads and whose values have one line each. A line that continues one of them is a key with a
/// wrong indentation, which the AWS CLI would swallow without a word.
const ONE_LINE: [&str; 24] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_security_token",
    "aws_session_token",
    "ca_bundle",
    "credential_source",
    "duration_seconds",
    "endpoint_url",
    "external_id",
    "ignore_configured_endpoint_urls",
    "login_session",
    "mfa_serial",
    "region",
    "role_arn",
    "role_session_name",
    "services",
    "source_profile",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "use_fips_endpoint",
    "web_identity_token_file",
];

impl AwsFiles {
    /// Reads both files where the environment says they are. A file that is not there is an empty one.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that the AWS CLI would not understand either: file, line, cause.
    pub fn read(variables: &Variables) -> Result<Self, Problem> {
        variables.printable("AWS_")?;
        let home = variables.raw(HOME).map(PathBuf::from);
        let mut files = Self::default();
        for (variable, usual, kind) in [
            ("AWS_CONFIG_FILE", "config", FileKind::Config),
            (
                "AWS_SHARED_CREDENTIALS_FILE",
                "credentials",
                FileKind::Credentials,
            ),
        ] {
            let path = match (variables.raw(variable), &home) {
                (Some(named), home) => expand(Path::new(named), home.as_deref()),
                (None, Some(home)) => home.join(".aws").join(usual),
                (None, None) => continue,
            };
            files.add(&path, kind)?;
            files.searched.push(path);
        }
        Ok(files)
    }

    fn add(&mut self, path: &Path, kind: FileKind) -> Result<(), Problem> {
        let wrong = |cause: String, hint: &str| {
            Problem::new(
                Kind::Usage,
                format!("read the AWS file {}", path.display()),
                cause,
                hint,
            )
        };
        let bytes = match super::small_file::read_bytes(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => {
                return Err(wrong(
                    e.to_string(),
                    "check the name and the permissions of the file",
                ));
            }
        };
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let (line, column) = super::places::place(&bytes, e.valid_up_to());
            wrong(
                format!("line {line}, column {column}: not UTF-8"),
                "save the file as UTF-8",
            )
        })?;
        self.parse(text, &path.display().to_string(), kind)
            .map_err(|(line, cause)| wrong(format!("line {line}: {cause}"), "correct that line"))
    }

    fn parse(&mut self, text: &str, file: &str, kind: FileKind) -> Result<(), (usize, String)> {
        // Python, which the AWS CLI reads with, ends a line at each of the three.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        // The section that is read, whether it is one that counts, and where each of this file's began.
        let mut here: Option<Heading> = None;
        let mut begun: BTreeMap<Heading, usize> = BTreeMap::new();
        // The key before, whether it is empty and so may have nested keys, and how far its line is indented.
        let mut key: Option<(String, bool, usize)> = None;
        for (number, raw) in text.lines().enumerate() {
            let line = number + 1;
            let at = || Origin::File {
                file: file.to_owned(),
                line,
            };
            let trimmed = raw.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            let indent = raw.chars().take_while(|sign| sign.is_whitespace()).count();
            // A line that is indented deeper than a key is below it: a nested key where the key itself is empty, else
            // more of its text. Equally deep is the next key (Python's configparser, which the AWS CLI reads with).
            if let (Some(heading), Some((outer, nests, depth))) = (&here, &key)
                && indent > *depth
            {
                if ONE_LINE.contains(&outer.as_str()) {
                    return Err((
                        line,
                        format!(
                            "it is indented deeper than `{}` above it, and so continues its value",
                            visible(outer)
                        ),
                    ));
                }
                if *nests {
                    let (inner, value) = assignment(trimmed).ok_or_else(|| {
                        (
                            line,
                            format!("below `{}` this is no `key = value`", visible(outer)),
                        )
                    })?;
                    let value = Value {
                        text: value.to_owned(),
                        at: at(),
                    };
                    if let Some(section) = self.section(heading) {
                        section.nested.insert((outer.clone(), inner), value);
                    }
                } else if let Some(value) = self
                    .section(heading)
                    .and_then(|section| section.keys_mut(kind).get_mut(outer))
                {
                    value.text.push('\n');
                    value.text.push_str(trimmed);
                }
                continue;
            }
            if trimmed.starts_with('[') {
                let heading = Heading::of(trimmed, kind).map_err(|cause| (line, cause))?;
                if let Some(before) = begun.insert(heading.clone(), line) {
                    return Err((
                        line,
                        format!("{heading} stands twice, first in line {before}"),
                    ));
                }
                if let Heading::Bare(name) = &heading {
                    self.bare.insert(name.clone(), at());
                }
                // An empty section is a section.
                let _ = self.section(&heading);
                here = Some(heading);
                key = None;
                continue;
            }
            let Some(heading) = here.clone() else {
                return Err((line, "it stands before the first [section]".to_owned()));
            };
            let Some((name, value)) = assignment(trimmed) else {
                return Err((line, "it is no `key = value` and no [section]".to_owned()));
            };
            let value = Value {
                text: value.to_owned(),
                at: at(),
            };
            key = Some((name.clone(), value.text.is_empty(), indent));
            if let Some(section) = self.section(&heading)
                && let Some(before) = section.keys_mut(kind).insert(name.clone(), value)
            {
                let first = match before.at {
                    Origin::File { line, .. } => format!(", first in line {line}"),
                    _ => String::new(),
                };
                return Err((line, format!("`{}` stands twice{first}", visible(&name))));
            }
        }
        Ok(())
    }

    fn section(&mut self, heading: &Heading) -> Option<&mut Section> {
        let (map, name) = match heading {
            Heading::Profile(name) => (&mut self.profiles, name),
            Heading::Sso(name) => (&mut self.sso_sessions, name),
            Heading::Services(name) => (&mut self.services, name),
            Heading::Bare(_) | Heading::Other(_) => return None,
        };
        Some(map.entry(name.clone()).or_default())
    }

    /// One profile of the files, by name.
    pub fn profile(&self, name: &str) -> Option<&Section> {
        self.profiles.get(name)
    }

    /// A section `[sso-session NAME]`.
    pub fn sso_session(&self, name: &str) -> Option<&Section> {
        self.sso_sessions.get(name)
    }

    /// A section `[services NAME]`.
    pub fn services(&self, name: &str) -> Option<&Section> {
        self.services.get(name)
    }

    /// The names of all profiles.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// The profiles that there are, the first of them where they are many.
    pub fn profile_names(&self) -> String {
        const MOST: usize = 20;
        let known = self.profiles.keys().take(MOST).map(|name| visible(name));
        let known: Vec<_> = known.collect();
        match self.profiles.len().saturating_sub(MOST) {
            0 => known.join(", "),
            more => format!("{} and {more} more", known.join(", ")),
        }
    }

    /// The problem that no file has this profile: where freezeframe looked, the nearest name, and all names.
    pub fn no_such_profile(&self, name: &str, said: &Origin) -> Problem {
        let searched: Vec<String> = self
            .searched
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
        let hint = match (self.bare.get(name), super::nearest(name, &known)) {
            (Some(at), _) => format!("{at} says [{name}]; write [profile {name}] there"),
            (None, Some(near)) if known.len() == 1 => format!("did you mean `{near}`?"),
            (None, Some(near)) => {
                format!("did you mean `{near}`? there are {}", self.profile_names())
            }
            (None, None) if known.is_empty() => {
                "no profile is there at all; make one with `aws configure`".to_owned()
            }
            (None, None) => format!("name one of {}", self.profile_names()),
        };
        Problem::new(
            Kind::Usage,
            format!("find the profile `{name}` ({said})"),
            format!("no such profile in {}", searched.join(" or in ")),
            hint,
        )
    }
}

/// The heading of a section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Heading {
    Profile(String),
    Sso(String),
    Services(String),
    /// A profile without the word `profile`, in the configuration file: nobody reads it.
    Bare(String),
    Other(String),
}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(name) => write!(f, "profile `{}`", visible(name)),
            Self::Sso(name) => write!(f, "[sso-session {}]", visible(name)),
            Self::Services(name) => write!(f, "[services {}]", visible(name)),
            Self::Bare(name) | Self::Other(name) => write!(f, "[{}]", visible(name)),
        }
    }
}

impl Heading {
    fn of(line: &str, kind: FileKind) -> Result<Self, String> {
        let inner = line.strip_prefix('[').unwrap_or(line);
        let Some((name, rest)) = inner.rsplit_once(']') else {
            return Err("the heading has no `]`".to_owned());
        };
        let rest = rest.trim();
        if !rest.is_empty() && !rest.starts_with(['#', ';']) {
            // What it is may be a secret.
            return Err("something stands behind the heading".to_owned());
        }
        let name = name.trim();
        if name.is_empty() {
            return Err("the heading is empty".to_owned());
        }
        if kind == FileKind::Credentials {
            return Ok(Self::Profile(name.to_owned()));
        }
        let (word, rest) = name.split_once([' ', '\t']).unwrap_or((name, ""));
        let rest = unquoted(rest.trim());
        Ok(match (word, rest.is_empty()) {
            ("profile", false) => Self::Profile(rest.to_owned()),
            ("sso-session", false) => Self::Sso(rest.to_owned()),
            ("services", false) => Self::Services(rest.to_owned()),
            ("default", true) => Self::Profile("default".to_owned()),
            ("preview" | "plugins" | "profile" | "sso-session" | "services", true) | (_, false) => {
                Self::Other(name.to_owned())
            }
            (_, true) => Self::Bare(name.to_owned()),
        })
    }
}

fn unquoted(name: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = name
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    name
}

/// `key = value` or `key: value`; keys in any case. A comment has a line of its own: behind a value it is text, as for
/// the AWS CLI.
fn assignment(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.split_once(['=', ':'])?;
    let key = key.trim();
    (!key.is_empty()).then(|| (key.to_ascii_lowercase(), value.trim()))
}

/// `~` and `~/…` mean the home directory, as the AWS CLI has it.
fn expand(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The files with these texts.
    pub fn files(config: &str, credentials: &str) -> Result<AwsFiles, (usize, String)> {
        let mut files = AwsFiles {
            searched: vec!["/h/.aws/config".into(), "/h/.aws/credentials".into()],
            ..AwsFiles::default()
        };
        files.parse(config, "/h/.aws/config", FileKind::Config)?;
        files.parse(credentials, "/h/.aws/credentials", FileKind::Credentials)?;
        Ok(files)
    }

    #[test]
    fn what_the_aws_cli_reads_is_read() {
        let files = files(
            "; a comment\n[default]\nregion = eu-central-1\n# home\n\n[profile viewer]\n  Region: eu-west-1\n  cli_alias = a\n    b = c\ns3 =\n  \
             max_concurrent_requests = 20\n[profile \"two words\"]\noutput=json\n[sso-session corp]\nsso_region = us-east-1\n\
             [services lab]\nec2 =\n  endpoint_url = http://127.0.0.1:1\n[oops]\nregion = x\n[plugins]\nx = y\n",
            "[viewer]\naws_access_key_id = AKIA\naws_secret_access_key = a=b#c\nregion = eu-north-1\n",
        )
        .unwrap();
        let region = |name: &str| {
            files
                .profile(name)
                .unwrap()
                .text("region")
                .map(str::to_owned)
        };
        assert_eq!(region("default").as_deref(), Some("eu-central-1"));
        assert_eq!(
            region("viewer").as_deref(),
            Some("eu-north-1"),
            "credentials win"
        );
        let viewer = files.profile("viewer").unwrap();
        assert_eq!(viewer.text("aws_secret_access_key"), Some("a=b#c"));
        assert_eq!(
            viewer.get("aws_access_key_id").unwrap().at.to_string(),
            "/h/.aws/credentials: line 2"
        );
        assert!(files.profile("two words").is_some());
        assert_eq!(
            files.sso_session("corp").unwrap().text("sso_region"),
            Some("us-east-1")
        );
        let lab = files.services("lab").unwrap();
        assert_eq!(
            lab.nested("ec2", "endpoint_url").unwrap().text,
            "http://127.0.0.1:1"
        );
        assert!(files.profile("oops").is_none() && files.profile("plugins").is_none());
        let bare = files.no_such_profile("oops", &Origin::Flag("--profile"));
        assert!(
            bare.hint.contains("line 19") && bare.hint.contains("[profile oops]"),
            "{}",
            bare.hint
        );
        let near = files.no_such_profile("viewr", &Origin::Flag("--profile"));
        assert!(
            near.hint.contains("`viewer`") && near.cause.contains("/h/.aws/config"),
            "{near}"
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line, words) in [
            ("[default]\nregion eu-central-1\n", 2, "no `key = value`"),
            ("region = x\n", 1, "before the first"),
            ("[default\nregion = x\n", 1, "`]`"),
            ("[default] x\n", 1, "behind the heading"),
            ("[default]\n= x\n", 2, "no `key = value`"),
            (
                "[profile a]\nregion = x\n[profile a]\n",
                3,
                "twice, first in line 1",
            ),
            (
                "[default]\nregion = x\nRegion = y\n",
                3,
                "twice, first in line 2",
            ),
            ("[default]\ns3 =\n  max\n", 3, "below `s3`"),
            ("[]\n", 1, "empty"),
            (
                "[default]\rregion = x\raws_secret_access_key\r",
                3,
                "no `key",
            ),
            (
                "[profile a]\n  region = x\n    aws_secret_access_key = s\n",
                3,
                "deeper than `region`",
            ),
        ] {
            let (at, cause) = files(text, "").unwrap_err();
            assert_eq!(at, line, "{text}: {cause}");
            assert!(cause.contains(words), "{text}: {cause}");
            assert!(!cause.contains("= s"), "{cause}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, b"[default]\nregion = gr\xfc\xdfe\n").unwrap();
        let variables = Variables::from_pairs([("AWS_CONFIG_FILE", file.clone())]);
        let error = AwsFiles::read(&variables).unwrap_err();
        assert!(error.cause.contains("line 2, column 12"), "{error}");
        std::fs::write(&file, b"[default]\nnonsense\n").unwrap();
        let error = AwsFiles::read(&variables).unwrap_err();
        assert!(
            error.what.contains("config") && error.cause.contains("line 2"),
            "{error}"
        );
        std::fs::remove_file(&file).unwrap();
        assert!(AwsFiles::read(&variables).is_ok());
    }
}
