//! What the shell may complete: names that the files of this machine know. Nothing is asked of AWS. A file that cannot be
//! read completes nothing; the command itself says what is wrong with it.

use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;

use super::args::Cli;
use crate::config::aws_files::AwsFiles;
use crate::config::variables::Variables;
use crate::config::{self, Config, Overrides, regions};
use crate::domain::problem::{Kind, Problem};
use crate::recipe::chosen::Catalogue;

/// The variable by which a completion script asks.
const ASKS: &str = "FREEZEFRAME_COMPLETE";

/// Answers a completion script and ends the process, where one asks.
pub(super) fn answer() {
    CompleteEnv::with_factory(Cli::command).var(ASKS).complete();
}

/// The completion script for a shell.
///
/// # Errors
/// [`Kind::Usage`] for a shell that has none.
pub(super) fn script(shell: clap_complete::Shell) -> Result<Vec<u8>, Problem> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let mut script = Vec::new();
    let written = shells.completer(&name).map(|completer| {
        completer.write_registration(
            ASKS,
            "freezeframe",
            "freezeframe",
            "freezeframe",
            &mut script,
        )
    });
    match written {
        Some(Ok(())) => Ok(script),
        _ => Err(Problem::new(
            Kind::Usage,
            format!("make a completion script for {name}"),
            "there is none for this shell",
            "name one of bash, elvish, fish, powershell, zsh",
        )),
    }
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn config() -> Option<Config> {
    config::load(None, &Overrides::default()).ok()
}

/// The profiles of the shared AWS files.
pub(super) fn profiles() -> Vec<CompletionCandidate> {
    let files = AwsFiles::read(&Variables::of_process());
    let names = files.map(|files| files.profiles().map(str::to_owned).collect::<Vec<_>>());
    candidates(names.unwrap_or_default())
}

/// The regions that are known.
pub(super) fn regions() -> Vec<CompletionCandidate> {
    candidates(regions::KNOWN.iter().map(|region| (*region).to_owned()))
}

/// The recipes, built-in ones and those of the configuration.
pub(super) fn recipes() -> Vec<CompletionCandidate> {
    let catalogue = config().and_then(|config| Catalogue::new(&config).ok());
    let all = catalogue.iter().flat_map(Catalogue::all);
    all.map(|recipe| CompletionCandidate::new(&recipe.name).help(Some(recipe.what.clone().into())))
        .collect()
}

/// The retention policies of the configuration.
pub(super) fn policies() -> Vec<CompletionCandidate> {
    candidates(
        config()
            .into_iter()
            .flat_map(|config| config.retention.into_keys()),
    )
}
