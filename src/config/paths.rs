//! Where things lie on this machine. Directories are named here, made by whoever first writes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use crate::domain::problem::{Kind, Problem};

/// Names another state directory.
pub const STATE_DIR: &str = "FREEZEFRAME_STATE_DIR";
/// Name of the configuration file in its directory.
pub const CONFIG_FILE: &str = "config.toml";

/// Files and directories that outlive the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// State directory: journals and log.
    pub state: PathBuf,
    /// Journal of work on AWS.
    pub journal: PathBuf,
    /// Journal of work on the lab; never the same file, so that play leaves no trace in the record.
    pub lab_journal: PathBuf,
}

/// The paths for this user: `FREEZEFRAME_STATE_DIR` first, else the platform's state directory.
///
/// # Errors
/// The user has no home directory and the variable is not set.
pub fn paths() -> Result<Paths, Problem> {
    from(std::env::var_os(STATE_DIR))
}

/// The configuration file that is read when none is named; `None` without a home directory.
pub fn config_file() -> Option<PathBuf> {
    project().map(|dirs| dirs.config_dir().join(CONFIG_FILE))
}

fn project() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "freezeframe")
}

/// A path that a person gave by `said`, a flag, a variable or a key. A `~` that the shell left as it is names no
/// home directory here.
///
/// # Errors
/// It begins with `~`; the right form is named.
pub fn given(path: &Path, said: &str) -> Result<PathBuf, Problem> {
    let Ok(rest) = path.strip_prefix("~") else {
        return Ok(path.to_path_buf());
    };
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/home/…"), PathBuf::from);
    Err(Problem::new(
        Kind::Usage,
        format!("use the path {} ({said})", path.display()),
        "`~` stands there as it is: the shell has not put the home directory in its place",
        format!("write {}", home.join(rest).display()),
    ))
}

/// As [`given`], and it must not depend on the working directory.
fn given_absolute(path: &Path, said: &str) -> Result<PathBuf, Problem> {
    let path = given(path, said)?;
    if path.is_absolute() {
        return Ok(path);
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    Err(Problem::new(
        Kind::Usage,
        format!("use the path {} ({said})", path.display()),
        "it is relative: every working directory would have a journal of its own",
        format!("write {}", here.join(&path).display()),
    ))
}

fn from(named: Option<OsString>) -> Result<Paths, Problem> {
    let state = match named.filter(|dir| !dir.is_empty()) {
        Some(dir) => given_absolute(Path::new(&dir), STATE_DIR)?,
        None => project()
            .map(|dirs| {
                dirs.state_dir()
                    .unwrap_or_else(|| dirs.data_local_dir())
                    .to_path_buf()
            })
            .ok_or_else(|| {
                Problem::new(
                    Kind::Usage,
                    "find the state directory",
                    "this user has no home directory",
                    format!("name a directory with {STATE_DIR}"),
                )
            })?,
    };
    Ok(Paths {
        journal: state.join("journal.sqlite"),
        lab_journal: state.join("journal-lab.sqlite"),
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_and_the_lab_has_its_own_journal() {
        let paths = from(Some("/var/lib/ff".into())).unwrap();
        assert_eq!(paths.state, PathBuf::from("/var/lib/ff"));
        assert_eq!(paths.journal, PathBuf::from("/var/lib/ff/journal.sqlite"));
        assert_ne!(paths.journal, paths.lab_journal);
        // An empty variable is no directory: the files must not land in the working directory.
        if let Ok(paths) = from(Some("".into())) {
            assert!(paths.state.is_absolute());
        }
    }

    #[test]
    fn a_path_that_means_another_place_than_it_seems_is_refused_with_the_right_form() {
        for (dir, words) in [
            ("~/ff", "/ff"),
            ("~", "/"),
            ("ff", "/ff"),
            ("./ff/x", "ff/x"),
        ] {
            let problem = from(Some(dir.into())).unwrap_err();
            assert_eq!(problem.kind, Kind::Usage, "{dir}");
            assert!(
                problem.hint.starts_with("write /") && problem.hint.contains(words),
                "{}",
                problem.hint
            );
        }
        assert!(given(Path::new("~/c.toml"), "--config").is_err());
        assert!(given(Path::new("a/~b.toml"), "--config").is_ok());
    }
}
