//! From flags and configuration to an open session, with the lab behind it when asked for.

use std::sync::Arc;

use super::args::Global;
use super::lab::{self, Embedded};
use super::log;
use super::output;
use crate::aws::session::{Options, Session, Waits};
use crate::config::aws::Aws;
use crate::config::variables::Variables;
use crate::config::{self, Config};
use crate::domain::problem::{Kind, Problem};
use crate::jobs::journal::Journal;
use crate::ops::admission::owner::owner_of_this_process;
use crate::ops::clock::Clock;
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
    log::start(&paths.state, &global.log_level)?;
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
        read_only: config.read_only,
        ..Options::default()
    };
    let opened = async {
        match &lab {
            Some(lab) => lab.configure(&mut options, global.region.as_deref())?,
            None => options.aws = Some(Aws::resolve(&config, Variables::of_process())?),
        }
        let session = slowly(options)
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
            unconfirmed: recover::UnconfirmedThaws::default(),
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

/// Opens the session, and says what it waits for where that takes longer than a moment.
async fn slowly(options: Options) -> Result<Session, Problem> {
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(800);
    let waits: Waits = options.waits.clone();
    let mut opening = std::pin::pin!(Session::open(options));
    let mut said = None;
    loop {
        tokio::select! {
            opened = &mut opening => return opened,
            () = tokio::time::sleep(MOMENT) => {
                let now = waits.now();
                if let Some(now) = now.as_ref().filter(|_| now != said) {
                    output::note(&format!(
                        "waiting for {}; ctrl-c ends it",
                        crate::domain::text::visible(now)
                    ));
                }
                said = now;
            }
        }
    }
}

/// Does work that only reads, and says whose answer it waits for where that takes longer than a moment.
pub(super) async fn reading<T>(ops: &Ops, work: impl Future<Output = T>) -> T {
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(1000);
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(MOMENT) => {}
    }
    output::note(&format!(
        "waiting for {}; ctrl-c ends it",
        crate::domain::text::visible(&ops.session.place())
    ));
    work.await
}
