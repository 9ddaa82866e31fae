//! The log: a file a day in the state directory, never the terminal.

use std::path::Path;
use std::str::FromStr;

use tracing::Level;
use tracing_appender::rolling::{Builder, Rotation};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config;
use crate::domain::problem::{Kind, Problem};

/// How many days are kept.
const DAYS: usize = 14;

/// What is written to the log: lines of this program from a level on, or what a filter says of each target.
#[derive(Debug, Clone, PartialEq)]
pub struct LogFilter(Targets);

impl FromStr for LogFilter {
    type Err = String;

    /// `debug` means `freezeframe=debug`. A list has `TARGET=LEVEL` in each place, or a level for every other target.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            format!(
                "`{}` is neither a level (error, warn, info, debug, trace) nor a filter such as \
                 freezeframe=debug,aws_smithy_runtime=info",
                crate::domain::text::visible(text)
            )
        };
        let trimmed = text.trim();
        if let Ok(level) = trimmed.parse::<Level>() {
            return Ok(Self(
                Targets::new().with_target(env!("CARGO_PKG_NAME"), level),
            ));
        }
        // `Targets` takes any single word for a target of which everything is meant, and blanks for a part of it.
        let parts: Vec<String> = trimmed
            .split(',')
            .map(|part| match part.split_once('=') {
                Some((target, level)) => format!("{}={}", target.trim(), level.trim()),
                None => part.trim().to_owned(),
            })
            .collect();
        let known = |part: &String| {
            let level = part
                .split_once('=')
                .map_or(part.as_str(), |(_, level)| level);
            !level.is_empty() && level.parse::<LevelFilter>().is_ok()
        };
        if !parts.iter().all(known) {
            return Err(refused());
        }
        parts.join(",").parse().map(Self).map_err(|_| refused())
    }
}

/// Starts the log. A second session in one process keeps the first one's.
///
/// # Errors
/// [`Kind::Usage`] where a state directory that was named cannot be used, [`Kind::Local`] where that is the default one.
pub(super) fn start(state: &Path, filter: &LogFilter) -> Result<(), Problem> {
    let kind = match std::env::var_os(config::paths::STATE_DIR) {
        Some(named) if !named.is_empty() => Kind::Usage,
        _ => Kind::Local,
    };
    std::fs::create_dir_all(state).map_err(|e| {
        Problem::new(
            kind,
            format!("make the state directory {}", state.display()),
            e.to_string(),
            "make it writable, or name another with FREEZEFRAME_STATE_DIR",
        )
    })?;
    let file = Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix("freezeframe")
        .filename_suffix("log")
        .max_log_files(DAYS)
        .build(state)
        .map_err(|e| {
            Problem::new(
                kind,
                format!("open the log in {}", state.display()),
                e.to_string(),
                "make it writable (it may belong to root), or name another directory with FREEZEFRAME_STATE_DIR",
            )
        })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(file)
        .with_ansi(false)
        .with_target(true);
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(filter.0.clone())
        .try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_of_this_program_and_a_filter_of_what_it_names() {
        let enabled = |text: &str, target: &str, level: Level| {
            let filter: LogFilter = text.parse().unwrap();
            filter.0.would_enable(target, &level)
        };
        assert!(enabled("debug", "freezeframe::ops", Level::DEBUG));
        assert!(!enabled("debug", "freezeframe::ops", Level::TRACE));
        assert!(!enabled("trace", "aws_sigv4", Level::ERROR));
        let list = "freezeframe=trace, aws_smithy_runtime=debug";
        assert!(enabled(list, "aws_smithy_runtime::client", Level::DEBUG));
        assert!(enabled(list, "freezeframe", Level::TRACE));
        assert!(!enabled(list, "hyper", Level::ERROR));
        assert!(enabled("warn,freezeframe=info", "hyper", Level::WARN));
        assert!(!enabled("freezeframe=off", "freezeframe", Level::ERROR));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_form() {
        for text in [
            "",
            " ",
            "loud",
            "freezeframe=loud",
            "aws_sigv4",
            "info,,debug",
            "a=b=c",
        ] {
            let refused = text.parse::<LogFilter>().unwrap_err();
            assert!(refused.contains("freezeframe=debug"), "{text}: {refused}");
        }
    }
}
