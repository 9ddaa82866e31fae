//! The manual pages, from the same description as the help.

use std::path::Path;

use clap::Command;

use super::output::Out;
use crate::domain::problem::{Kind, Problem};

/// Prints the page of the program, or writes a page of each command into a directory, which is made if it is missing.
///
/// # Errors
/// [`Kind::Local`] where a page cannot be written.
pub(super) fn pages(
    command: Command,
    directory: Option<&Path>,
    mut out: Out,
) -> Result<(), Problem> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(|error| failed("make the manual page", &error))?;
        return super::printed(out.raw(&page));
    };
    let what = || {
        format!(
            "write the manual pages to {}",
            crate::domain::text::visible(&directory.to_string_lossy())
        )
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(&what(), &error))?;
    clap_mangen::generate_to(command, directory).map_err(|error| failed(&what(), &error))
}

fn failed(what: &str, error: &std::io::Error) -> Problem {
    Problem::new(
        Kind::Local,
        what,
        error.to_string(),
        "name a directory that you may write to",
    )
}
