//! From flags and configuration to an open session, with the lab behind it when asked for.

use std::sync::Arc;

use super::args::Global;
use super::lab::{self, Embedded};
use crate::aws::session::{Options, Session};
use crate::config::{self, Config};
use crate::domain::problem::{Kind, Problem};
use crate::jobs::journal::Journal;
use crate::ops::clock::Clock;
use crate::ops::owner::owner_of_this_process;
use crate::ops::{Ops, recover};
use crate::recipe::chosen::Catalogue;

/// Everything that a command works with.
pub(super) struct Opened {
    pub(super) ops: Ops,
    pub(super) config: Config,
    pub(super) lab: Option<Embedded>,
}

impl Opened {
    /// Takes the embedded lab down; a real runtime undoes what it made on the machine.
    pub(super) async fn close(self) {
        if let Some(lab) = self.lab {
            lab.stop().await;
        }
    }
}

/// The configuration after all layers.
pub(super) fn configuration(global: &Global) -> Result<Config, Problem> {
    config::load(
        global.config.as_deref(),
        &config::Overrides {
            profile: global.profile.clone(),
            region: global.region.clone(),
            endpoint_url: global.endpoint_url.clone(),
            read_only: global.read_only,
            theme: global.theme.clone(),
        },
    )
}

/// Opens a session: starts the lab if asked for, finds credentials, proves the identity, opens the journal,
/// starts the log.
pub(super) async fn open(global: &Global) -> Result<Opened, Problem> {
    let config = configuration(global)?;
    let recipes = Catalogue::new(&config)?;
    let paths = config::paths()?;
    start_log(&paths.state, global.log_level)?;
    let lab = match &global.lab {
        Some(world) => Some(lab::start(world, global).await?),
        None if global.faults.is_some() => {
            return Err(Problem::new(
                Kind::Usage,
                "follow a fault plan",
                "--faults is for the lab, and this is none",
                "add --lab",
            ));
        }
        None => None,
    };
    let mut options = Options {
        profile: config.profile.clone(),
        region: config.region.clone(),
        endpoint_url: config.endpoint_url.clone(),
        read_only: config.read_only,
        ..Options::default()
    };
    if let Some(lab) = &lab {
        lab.configure(&mut options, global.region.as_deref());
    }
    let opened = async {
        let session = Session::open(options)
            .await?
            .with_read_only_mend(config.read_only_mend.as_deref());
        let journal = match lab {
            // Each embedded lab is a world of its own, although their instances are called alike.
            Some(_) => Journal::open(&paths.lab_journal)?.of_own_world(&owner_of_this_process()),
            None => Journal::open(&paths.journal)?,
        };
        Ok(Ops {
            session,
            journal,
            clock: Clock::system(),
            namespace: Arc::from(config.metrics.namespace.as_str()),
            recipes,
            tagging: Arc::new(config.tagging()),
            doubts: recover::Doubts::default(),
        })
    }
    .await;
    match opened {
        Ok(ops) => Ok(Opened { ops, config, lab }),
        Err(problem) => {
            if let Some(lab) = lab {
                lab.stop().await;
            }
            Err(problem)
        }
    }
}

/// Logs go to a file in the state directory, never to the terminal.
fn start_log(state: &std::path::Path, level: tracing::Level) -> Result<(), Problem> {
    std::fs::create_dir_all(state).map_err(|e| {
        Problem::new(
            Kind::Local,
            format!("make the state directory {}", state.display()),
            e.to_string(),
            "make it writable, or name another with FREEZEFRAME_STATE_DIR",
        )
    })?;
    let file = tracing_appender::rolling::Builder::new()
        .filename_prefix("freezeframe.log")
        .build(state)
        .map_err(|e| {
            Problem::new(
                Kind::Local,
                format!("open the log in {}", state.display()),
                e.to_string(),
                "make it writable (it may belong to root), or name another directory with FREEZEFRAME_STATE_DIR",
            )
        })?;
    // A second session in one process keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_writer(file)
        .with_ansi(false)
        .with_max_level(level)
        .with_target(true)
        .try_init();
    Ok(())
}
