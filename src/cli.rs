//! The command line: one file per command. Everything is printed in [`output`], every exit code is in [`exit`].

mod after_exit;
pub mod args;
mod config;
mod console;
pub mod exit;
mod jobs;
#[cfg_attr(not(feature = "lab"), path = "cli/no_lab.rs")]
mod lab;
mod list;
pub mod log;
mod man;
mod metrics;
pub mod output;
mod progress;
mod prune;
mod restore;
mod resumed_jobs;
mod session;
mod sets;
mod setup;
mod signals;
mod snapshot;
mod values;

use std::process::ExitCode;

use args::{Cli, Command, ConfigCommand, JobsCommand, LabCommand, SetupCommand};
use clap::{CommandFactory as _, Parser as _};
use output::Out;

use crate::config::theme::Theme;
use crate::domain::problem::{Kind, Problem};

/// Parses the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    values::answer();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; anything else is a usage error. Clap prints either well.
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let format = cli.global.output;
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| {
            Problem::new(
                Kind::Local,
                "start",
                e.to_string(),
                "check the limits on threads and files",
            )
        })
        .and_then(|runtime| {
            let result = runtime.block_on(run(cli));
            // A job's task that is still waiting must not hold the exit.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            output::problem(&problem, format);
            ExitCode::from(exit::of_problem(&problem))
        }
    }
}

async fn run(cli: Cli) -> Result<u8, Problem> {
    let global = cli.global;
    fits_together(&global)?;
    match cli.command {
        Some(Command::Completions { shell }) => {
            printed(Out::new(global.output).raw(&values::script(shell)?))?;
            Ok(exit::OK)
        }
        Some(Command::Man { to }) => {
            man::pages(Cli::command(), to.as_deref(), Out::new(global.output))?;
            Ok(exit::OK)
        }
        Some(Command::Lab(LabCommand::Serve { .. })) if global.lab.is_some() => Err(Problem::new(
            Kind::Usage,
            "serve a lab",
            "--lab is a lab inside this process, and `lab serve` serves one of its own",
            "name its world with --world, behind `lab serve`",
        )),
        Some(Command::Lab(LabCommand::Serve { world, port })) => {
            lab::serve(&global, &world, port).await
        }
        Some(Command::Config(ConfigCommand::Show)) => config::show(&global),
        // A journal that cannot be opened must not be in the way of this.
        Some(Command::Jobs(JobsCommand::SetAside { yes })) => jobs::set_aside(&global, yes).await,
        Some(command) => {
            if matches!(
                command,
                Command::Snapshot(_) | Command::Restore(_) | Command::Prune(_) | Command::Jobs(_)
            ) {
                signals::survive_hangup()?;
            }
            let opened = session::open(&global).await?;
            let code = match command {
                Command::List { what, filter, mine } => {
                    let work = list::run(&opened.ops, &global, what, &filter, mine);
                    session::reading(&opened.ops, work).await
                }
                Command::Snapshot(args) => snapshot::run(&opened, &global, &args).await,
                Command::Jobs(command) => jobs::run(&opened, &global, &command).await,
                Command::Restore(command) => restore::run(&opened.ops, &global, command).await,
                Command::Prune(args) => prune::run(&opened, &global, &args).await,
                Command::Metrics { instance, days } => {
                    let work = metrics::run(&opened.ops, &global, &instance, days);
                    session::reading(&opened.ops, work).await
                }
                Command::Setup(SetupCommand::Documents { dry_run }) => {
                    let work = setup::documents(&opened.ops, &global, dry_run);
                    session::reading(&opened.ops, work).await
                }
                Command::Lab(_)
                | Command::Completions { .. }
                | Command::Man { .. }
                | Command::Config(_) => Ok(exit::OK),
            };
            opened.close().await;
            code
        }
        None => console::run(&global).await,
    }
}

/// Flags that would silently undo one another are refused before anything is done.
fn fits_together(global: &args::Global) -> Result<(), Problem> {
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let (Some(_), Some(profile)) = (&global.lab, said(&global.profile)) {
        return Err(Problem::new(
            Kind::Usage,
            "choose credentials",
            format!("--lab has keys of its own, and --profile {profile} is of a real account"),
            "leave one of the two out",
        ));
    }
    if let (Some(_), Some(url)) = (&global.lab, said(&global.endpoint_url)) {
        return Err(Problem::new(
            Kind::Usage,
            "choose an endpoint",
            format!(
                "--lab is a lab inside this process, and --endpoint-url {url} is another place"
            ),
            "leave one of the two out; a lab that `freezeframe lab serve` serves is reached by --endpoint-url alone",
        ));
    }
    // Without a screen nothing is drawn in it, and still a name that is none is a mistake.
    if let Some(theme) = said(&global.theme) {
        Theme::load(&theme)?;
    }
    Ok(())
}

/// Says, after a dry run, what the same command without --dry-run would meet: it is refused as a whole.
fn note_refusal(ops: &crate::ops::Ops, what: &str) -> Option<Problem> {
    let problem = ops.session.may_write(what, ops.scope()).err()?;
    output::note(&format!(
        "a real run would be refused: {}; {}",
        problem.cause, problem.hint
    ));
    Some(problem)
}

/// Output that could not be written, as a problem.
fn printed(result: std::io::Result<()>) -> Result<(), Problem> {
    result.map_err(|e| {
        Problem::new(
            Kind::Local,
            "print the result",
            e.to_string(),
            "check where standard output goes",
        )
    })
}

/// Asks on standard error for a word that must be typed; anything else is a no.
async fn typed(question: &str, word: &str) -> Result<bool, Problem> {
    use std::io::IsTerminal as _;
    if !std::io::stdin().is_terminal() {
        return Err(Problem::new(
            Kind::Usage,
            "ask for confirmation",
            format!(
                "standard input is not a terminal, and this wants a yes: {}",
                question.lines().next().unwrap_or_default()
            ),
            "where that is wanted, repeat the command with --yes",
        ));
    }
    output::note(&format!("{question}\nType `{word}` to go on:"));
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    })
    .await
    .map_err(|e| Problem::new(Kind::Local, "read the answer", e.to_string(), "try again"))?
    .map_err(|e| Problem::new(Kind::Local, "read the answer", e.to_string(), "try again"))?;
    Ok(line.trim() == word)
}

/// A problem that is the end of a command: what was named is not there, so nothing matched; else it failed.
fn unmatched(problem: Problem, global: &args::Global) -> Result<u8, Problem> {
    if problem.kind != Kind::NotFound {
        return Err(problem);
    }
    output::problem(&problem, global.output);
    Ok(exit::NOTHING)
}
