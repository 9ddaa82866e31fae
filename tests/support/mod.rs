//! A lab in process on tokio's paused clock, and a session on it. Nothing here touches the network or the
//! machine.

use std::sync::Arc;

use chrono::{DateTime, TimeZone, Utc};
use freezeframe::aws::session::{Options, Session};
use freezeframe::domain::ids::{InstanceId, RunId};
use freezeframe::domain::instance::Instance;
use freezeframe::domain::job::{JobSpec, JobView, OnFailure};
use freezeframe::domain::mode::AskedMode;
use freezeframe::domain::run::Limits;
use freezeframe::jobs::journal::Journal;
use freezeframe::lab::runtime_simulated::SimulatedRuntime;
use freezeframe::lab::{Clock as LabClock, Fault, FaultKind, Lab, LabOptions, WorldSpec};
use freezeframe::ops::clock::Clock;
use freezeframe::ops::job::driver;
use freezeframe::ops::job::run::{RunOptions, new_id, spec_for};
use freezeframe::ops::{Ops, inventory, recover};
use freezeframe::recipe::chosen::Catalogue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap()
}

pub struct Bench {
    pub lab: Lab,
    pub runtime: Arc<SimulatedRuntime>,
    pub ops: Ops,
}

pub async fn bench() -> Bench {
    bench_with(false, "AKIALAB").await
}

pub async fn bench_with(throttling: bool, key: &str) -> Bench {
    let clock = LabClock::virtual_from(noon());
    let runtime = Arc::new(SimulatedRuntime::new(clock.clone(), 7));
    let lab = Lab::start(LabOptions {
        world: WorldSpec::default_world().unwrap(),
        seed: 7,
        clock,
        runtime: runtime.clone(),
        throttling,
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
    })
    .await
    .unwrap();
    let session = session(&lab, key, "eu-central-1", false).await.unwrap();
    let ops = Ops {
        session,
        journal: Journal::in_memory().unwrap(),
        clock: Clock::virtual_from(noon()),
        namespace: Arc::from("Organization/Backup"),
        recipes: Catalogue::default(),
        tagging: Default::default(),
        unconfirmed: recover::UnconfirmedThaws::default(),
    };
    Bench { lab, runtime, ops }
}

pub async fn session(
    lab: &Lab,
    key: &str,
    region: &str,
    read_only: bool,
) -> Result<Session, freezeframe::domain::problem::Problem> {
    Session::open(Options {
        region: Some(region.to_owned()),
        endpoint_url: Some("http://lab.invalid".to_owned()),
        http: Some(aws_smithy_runtime_api::client::http::SharedHttpClient::new(
            lab.connector(),
        )),
        static_credentials: Some((key.to_owned(), "lab".to_owned())),
        read_only,
        ..Options::default()
    })
    .await
}

impl Bench {
    /// A running instance with an online agent and this recipe.
    pub async fn instance(&self, recipe: &str) -> Instance {
        inventory::instances(&self.ops)
            .await
            .unwrap()
            .into_iter()
            .find(|i| {
                i.state.as_str() == "running"
                    && i.agent.word() == "online"
                    && i.recipe_tag() == Some(recipe)
            })
            .unwrap_or_else(|| panic!("the default world has no {recipe}"))
    }

    pub async fn spec(&self, recipe: &str, budget_s: u32, on_failure: OnFailure) -> JobSpec {
        let instance = self.instance(recipe).await;
        spec_for(&self.ops, &instance, &options(budget_s, on_failure)).unwrap()
    }

    pub async fn run(&self, spec: JobSpec) -> JobView {
        self.run_until(spec, |_| false).await
    }

    /// Runs a job; cancels it once a view of it fulfils `stop`.
    pub async fn run_until(&self, spec: JobSpec, stop: impl Fn(&JobView) -> bool) -> JobView {
        let (updates, mut inbox) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let job = tokio::spawn(driver::run_job(
            self.ops.clone(),
            spec,
            updates,
            cancel.clone(),
        ));
        while let Some(view) = inbox.recv().await {
            if stop(&view) {
                cancel.cancel();
            }
        }
        job.await.unwrap().unwrap()
    }

    pub fn fault(&self, action: &str, skip: u32, times: u32, kind: FaultKind) {
        self.lab.faults().inject(Fault {
            action: action.to_owned(),
            skip,
            times,
            kind,
        });
    }

    pub fn calls(&self, action: &str) -> usize {
        self.lab
            .calls()
            .iter()
            .filter(|c| c.action == action && !c.dry_run)
            .count()
    }

    pub fn nothing_frozen(&self, instance: &InstanceId) {
        let frozen = self.runtime.frozen_mounts(instance.as_str());
        assert!(frozen.is_empty(), "still frozen on {instance}: {frozen:?}");
    }
}

pub fn options(budget_s: u32, on_failure: OnFailure) -> RunOptions {
    RunOptions {
        run: RunId::from_api(new_id()),
        recipe: None,
        document: None,
        mode: AskedMode::Coordinated,
        budget_s: Some(budget_s),
        on_failure,
        mounts: Vec::new(),
        freeze_root: false,
        parameters: std::collections::BTreeMap::new(),
        set: Default::default(),
        limits: Limits::default(),
    }
}
