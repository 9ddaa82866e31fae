//! The environment as it was at the start: read once, asked by name. An empty variable is an unset one.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::domain::problem::{Kind, Problem};

/// The home directory.
pub const HOME: &str = "HOME";
/// Variables that name a proxy, in the order in which they are looked at; lower case means the same.
pub const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// Variables that name what no proxy is used for.
pub const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Variables that say something to freezeframe or to AWS tools.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, OsString>);

impl std::fmt::Debug for Variables {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Variables {
    /// This process's. A system service has no HOME: then the password database says where it is, as it does for
    /// the directories of freezeframe's own.
    pub fn of_process() -> Self {
        let mut all = Self::from_pairs(std::env::vars_os());
        if let (None, Some(dirs)) = (all.raw(HOME), directories::BaseDirs::new()) {
            all.0
                .insert(HOME.to_owned(), dirs.home_dir().as_os_str().to_owned());
        }
        all
    }

    /// The environment as a list of pairs, for tests and for what is asked of another process.
    pub fn from_pairs<K: Into<OsString>, V: Into<OsString>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self(
            pairs
                .into_iter()
                .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
                .filter(|(_, value): &(String, OsString)| !value.is_empty())
                .collect(),
        )
    }

    /// The value as the system has it.
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// The value as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.raw(name) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or_else(|| {
                Problem::new(
                    Kind::Usage,
                    format!("read {name}"),
                    "its value is not UTF-8",
                    format!("correct {name}, or remove it from the environment"),
                )
            }),
        }
    }

    /// The first of these variables that is set, with its name.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn first<'a>(&self, names: &[&'a str]) -> Result<Option<(&'a str, &str)>, Problem> {
        for name in names {
            if let Some(value) = self.text(name)? {
                return Ok(Some((name, value)));
            }
        }
        Ok(None)
    }

    /// Whether it says yes, as AWS's own switches do: `true` in any case; anything else is a no.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn is_true(&self, name: &str) -> Result<bool, Problem> {
        Ok(self
            .text(name)?
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true")))
    }

    /// That those whose names begin like this have no control character in their values: no value of theirs may have
    /// one, and some go into headers of HTTP as they are.
    ///
    /// # Errors
    /// The first that has one.
    pub fn printable(&self, prefix: &str) -> Result<(), Problem> {
        for name in self.names(prefix) {
            let text = self.raw(name).map(OsStr::to_string_lossy);
            if text.is_some_and(|text| text.chars().any(char::is_control)) {
                return Err(Problem::new(
                    Kind::Usage,
                    format!("read {name}"),
                    "its value has a line break or another control character",
                    format!("correct {name}, or remove it from the environment"),
                ));
            }
        }
        Ok(())
    }

    /// Names that begin like this.
    pub fn names(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let prefix = prefix.to_owned();
        self.0
            .keys()
            .map(String::as_str)
            .filter(move |name| name.starts_with(&prefix))
    }
}
