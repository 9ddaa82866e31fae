//! A fleet of any size in the lab, in process on tokio's paused clock, with EC2's token buckets on, and those
//! that are assumed of Systems Manager.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::DateTime;
use freezeframe::aws::session::{Options, Session};
use freezeframe::domain::ids::RunId;
use freezeframe::domain::job::{JobSpec, Mode, OnFailure};
use freezeframe::domain::problem::Problem;
use freezeframe::domain::run::Limits;
use freezeframe::jobs::journal::Journal;
use freezeframe::lab::runtime_simulated::SimulatedRuntime;
use freezeframe::lab::{Clock as LabClock, Lab, LabOptions, WorldSpec};
use freezeframe::ops::clock::Clock;
use freezeframe::ops::job::run::{RunOptions, new_id, spec_for};
use freezeframe::ops::{Ops, inventory};

/// 12:00, when everything begins.
const NOON: i64 = 1_795_262_400;

/// A lab with `count` like instances of the recipe `linux-filesystem`, two volumes each (root and
/// `/data`), without a past, and everything that a run needs. `together` of them in a row share a
/// group; 0 gives nobody one. `world` is what the world says besides.
pub async fn open(
    count: usize,
    together: usize,
    world: &str,
) -> Result<(Lab, Ops), Box<dyn Error>> {
    let mut text = format!("name = \"fleet\"\n{world}\n");
    for n in 0..count {
        let group = n
            .checked_div(together)
            .map(|g| format!("\"freezeframe:group\" = \"pair-{g:04}\"\n"))
            .unwrap_or_default();
        write!(
            text,
            "[[instance]]\nname = \"app-{n:04}\"\n[instance.tags]\nConsistentSnapshot = \"linux-filesystem\"\n{group}\
             [[instance.volume]]\ndevice = \"/dev/xvda\"\nsize = 1\nfs = \"xfs\"\nmount = \"/\"\n\
             [[instance.volume]]\ndevice = \"/dev/sdf\"\nsize = 1\nfs = \"xfs\"\nmount = \"/data\"\n"
        )?;
    }
    let clock = LabClock::virtual_from(noon()?);
    let lab = Lab::start(LabOptions {
        world: WorldSpec::parse(&text)?,
        seed: 7,
        runtime: Arc::new(SimulatedRuntime::new(clock.clone(), 7)),
        clock,
        throttling: true,
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
    })
    .await?;
    let ops = console(&lab).await?;
    Ok((lab, ops))
}

fn noon() -> Result<DateTime<chrono::Utc>, Box<dyn Error>> {
    Ok(DateTime::from_timestamp(NOON, 0).ok_or("a time")?)
}

/// A console on a host of its own: its session, journal and leases are nobody else's. Opened at the beginning.
pub async fn console(lab: &Lab) -> Result<Ops, Box<dyn Error>> {
    Ok(Ops {
        session: session(lab).await?,
        journal: Journal::in_memory()?,
        clock: Clock::virtual_from(noon()?),
        namespace: Arc::from("Organization/Backup"),
        recipes: freezeframe::recipe::chosen::Catalogue::default(),
        tagging: Default::default(),
        unconfirmed: freezeframe::ops::recover::UnconfirmedThaws::default(),
    })
}

/// A session of its own, which knows nothing of what another has done.
pub async fn session(lab: &Lab) -> Result<Session, Problem> {
    Session::open(Options {
        region: Some("eu-central-1".to_owned()),
        endpoint_url: Some("http://lab.invalid".to_owned()),
        http: Some(aws_smithy_runtime_api::client::http::SharedHttpClient::new(
            lab.connector(),
        )),
        static_credentials: Some(("AKIALAB".to_owned(), "lab".to_owned())),
        ..Options::default()
    })
    .await
}

/// A job for every instance there is.
pub async fn specs(ops: &Ops, limits: &Limits, mode: Mode) -> Result<Vec<JobSpec>, Box<dyn Error>> {
    let options = RunOptions {
        run: RunId::from_api(new_id()),
        recipe: None,
        document: None,
        mode: mode.into(),
        budget_s: Some(30),
        on_failure: OnFailure::Skip,
        mounts: Vec::new(),
        freeze_root: false,
        parameters: std::collections::BTreeMap::new(),
        set: Default::default(),
        limits: limits.clone(),
    };
    let mut specs = Vec::new();
    for instance in inventory::instances(ops).await? {
        specs.push(spec_for(ops, &instance, &options)?);
    }
    Ok(specs)
}
