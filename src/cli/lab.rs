//! The lab, in process for `--lab` and on a port for `lab serve`. The only file but `main` that names
//! [`crate::lab`]; everything else meets it as an endpoint that speaks AWS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio_util::sync::CancellationToken;

use super::args::{Global, RuntimeKind};
use super::output::{self, Out};
use super::{exit, printed};
use crate::aws::session::Options;
use crate::config::{self, nearest};
use crate::domain::problem::{Kind, Problem};
use crate::lab::clock::Clock;
use crate::lab::keys::Key;
use crate::lab::runtime::Runtime;
use crate::lab::runtime_real::RealRuntime;
use crate::lab::runtime_simulated::SimulatedRuntime;
use crate::lab::world::WorldSpec;
use crate::lab::{Lab, LabError, LabOptions, Plan};

/// Account of the lab; not one that AWS would give.
const ACCOUNT: &str = "123456789012";
/// Home region of its worlds.
const REGION: &str = "eu-central-1";

/// A lab inside this process.
pub(super) struct Embedded {
    lab: Lab,
    runtime: &'static str,
    /// Where a real lab's key is, as long as it runs.
    key_file: Option<PathBuf>,
}

impl Embedded {
    /// Points a session's options at the lab.
    pub(super) fn configure(
        &self,
        options: &mut Options,
        region: Option<&str>,
    ) -> Result<(), Problem> {
        options.http = Some(SharedHttpClient::new(self.lab.connector()));
        options.static_credentials = Some(match self.lab.key() {
            Some(key) => (key.access_key.clone(), key.secret.clone()),
            None => ("AKIALAB0000000000000".to_owned(), "lab".to_owned()),
        });
        // Never resolved: the connector answers whatever the host is called.
        options.endpoint_url = Some("http://lab.invalid".to_owned());
        let region = region.filter(|region| !region.is_empty());
        options.region = Some(match region {
            Some(region) => config::region(region, "--region")?.as_str().to_owned(),
            None => REGION.to_owned(),
        });
        Ok(())
    }

    /// Takes the embedded lab down.
    pub(super) async fn stop(self) {
        self.lab.shutdown().await;
        if let Some(file) = &self.key_file {
            // A key that is left is one that nothing takes any more.
            std::fs::remove_file(file).ok();
        }
    }
}

/// Starts a lab in this process. With the real runtime it also listens on a loopback port, because its instances
/// are processes of their own that must find their metadata service and EC2.
pub(super) async fn start(world: &str, global: &Global) -> Result<Embedded, Problem> {
    if let Some(name) = global.faults.as_deref() {
        is_called(&fault_plan(name)?, name)?;
    }
    let embedded = make(world, global).await?;
    if global.runtime == RuntimeKind::Real {
        let listening = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        match listening {
            Ok(listener) => {
                let lab = embedded.lab.clone();
                let stop = lab.stopping().clone();
                tokio::spawn(async move { lab.serve(listener, stop).await });
            }
            Err(error) => {
                tracing::warn!(%error, "no port for the lab's instances: autonomous mode will refuse");
            }
        }
    }
    Ok(embedded)
}

async fn make(world: &str, global: &Global) -> Result<Embedded, Problem> {
    let spec = world_spec(world, global.runtime)?;
    let plan = global.faults.as_deref().map(fault_plan).transpose()?;
    let clock = Clock::system();
    let (runtime, label): (Arc<dyn Runtime>, _) = match global.runtime {
        RuntimeKind::Simulated => (
            Arc::new(SimulatedRuntime::new(clock.clone(), global.seed)),
            "simulated",
        ),
        RuntimeKind::Real => {
            let dir = lab_dir(global)?;
            let real = RealRuntime::create(dir, REGION).map_err(|cause| {
                Problem::new(
                    Kind::Local,
                    "start the lab's real runtime",
                    cause,
                    "it needs root on Linux, loop devices and btrfs-progs; without them use --runtime simulated",
                )
            })?;
            (Arc::new(real), "real")
        }
    };
    let lab = Lab::start(LabOptions {
        world: spec,
        seed: global.seed,
        clock,
        runtime,
        throttling: true,
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
    })
    .await
    .map_err(|e| {
        Problem::new(
            Kind::Usage,
            "start the lab",
            e.to_string(),
            "correct the world, or take another",
        )
    })?;
    if let Some(plan) = plan {
        plan.apply(&lab, global.seed);
    }
    let key_file = match lab.key() {
        None => None,
        Some(key) => {
            let file = lab_dir(global)?.join("credentials");
            if let Err(cause) = write_lab_key_file(&file, key) {
                lab.shutdown().await;
                return Err(Problem::new(
                    Kind::Local,
                    format!("write the lab's key to {}", file.display()),
                    cause.to_string(),
                    "name another directory with --lab-dir",
                ));
            }
            lab.keeps_its_key_in(&file);
            Some(file)
        }
    };
    Ok(Embedded {
        lab,
        runtime: label,
        key_file,
    })
}

/// Where the real runtime keeps what it makes.
fn lab_dir(global: &Global) -> Result<PathBuf, Problem> {
    match &global.lab_dir {
        Some(dir) => config::given(dir, "--lab-dir"),
        None => Ok(PathBuf::from("/var/tmp/freezeframe-lab")),
    }
}

/// Writes the lab's key to a shared credentials file of mode 0600, as AWS's tools read it.
fn write_lab_key_file(file: &Path, key: &Key) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    writeln!(
        out,
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}",
        key.access_key, key.secret
    )
}

fn fault_plan(name: &str) -> Result<Plan, Problem> {
    let wrong = |cause: String| {
        Problem::new(
            Kind::Usage,
            format!("read the fault plan {name}"),
            cause,
            "correct the file; docs/lab.md says what a plan may hold",
        )
    };
    match Plan::named(name) {
        Some(plan) => plan,
        None => {
            let path = config::given(std::path::Path::new(name), "--faults")?;
            let text = config::small_file::read_text(&path).map_err(|e| {
                let known = Plan::names().join(", ");
                Problem::new(
                    Kind::Usage,
                    format!("read the fault plan {name}"),
                    format!("there is no plan of that name, and no file that can be read ({e})"),
                    format!("name one of {known}, or an existing TOML file; docs/lab.md says what each does"),
                )
            })?;
            Plan::parse(&text)
        }
    }
    .map_err(|e| match &e {
        LabError::FaultOn { on, known, .. } => Problem {
            hint: match nearest(on, known) {
                Some(near) => format!("did you mean `{near}`? known here: {}", known.join(", ")),
                None => format!("name one of {}", known.join(", ")),
            },
            ..wrong(e.to_string())
        },
        LabError::FaultsValue { hint, .. } => Problem {
            hint: hint.clone(),
            ..wrong(e.to_string())
        },
        _ => wrong(e.to_string()),
    })
}

/// What freezeframe itself never calls cannot fail in a lab that nobody else reaches.
fn is_called(plan: &Plan, name: &str) -> Result<(), Problem> {
    match plan.faults.iter().any(|fault| fault.on == "CreateSnapshot") {
        true => Err(Problem::new(
            Kind::Usage,
            format!("follow the fault plan {name}"),
            "a fault on CreateSnapshot could never fire: freezeframe asks for whole sets, with CreateSnapshots",
            "did you mean `CreateSnapshots`? other clients meet it in `freezeframe lab serve`",
        )),
        false => Ok(()),
    }
}

fn world_spec(world: &str, runtime: RuntimeKind) -> Result<WorldSpec, Problem> {
    let wrong = |error: LabError| {
        let hint = match &error {
            LabError::WorldValue { hint, .. } => hint.as_str(),
            _ => "correct the file; assets/lab/default.toml shows what a world may say",
        };
        Problem::new(
            Kind::Usage,
            format!("read the lab world {world}"),
            error.to_string(),
            hint,
        )
    };
    match (world, runtime) {
        ("default", RuntimeKind::Simulated) => WorldSpec::default_world().map_err(wrong),
        ("default", RuntimeKind::Real) => {
            WorldSpec::parse(include_str!("../../assets/lab/real.toml")).map_err(wrong)
        }
        (file, _) => {
            let path = config::given(std::path::Path::new(file), "--lab")?;
            let text = config::small_file::read_text(&path).map_err(|e| {
                Problem::new(
                    Kind::Usage,
                    format!("read the lab world {world}"),
                    e.to_string(),
                    "name an existing TOML file, or `default`",
                )
            })?;
            WorldSpec::parse(&text).map_err(wrong)
        }
    }
}

/// Serves a lab until interrupted.
pub(super) async fn serve(global: &Global, world: &str, port: u16) -> Result<u8, Problem> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e: std::io::Error| {
        Problem::new(
            Kind::Local,
            format!("listen on 127.0.0.1:{port}"),
            e.to_string(),
            "choose another port with --port; 0 takes a free one",
        )
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (mut int, mut term) = (
        signal(SignalKind::interrupt()).map_err(failed)?,
        signal(SignalKind::terminate()).map_err(failed)?,
    );
    let embedded = make(world, global).await?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        stopped.cancel();
    });
    let mut out = Out::new(global.output);
    printed(out.line(&format!(
        "lab ({}) on http://{address} region {REGION} account {ACCOUNT}",
        embedded.runtime
    )))?;
    let (access_key, secret) = embedded
        .lab
        .key()
        .map_or(("AKIALAB", "lab"), |key| (&*key.access_key, &*key.secret));
    printed(out.line(&format!(
        "  {REGION} holds {} instances; every other region is empty",
        embedded.lab.instances()
    )))?;
    printed(out.line(&format!(
        "  AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret} aws --region {REGION} --endpoint-url http://{address} ec2 describe-instances"
    )))?;
    if let Some(file) = &embedded.key_file {
        printed(out.line(&format!(
            "  its commands run as root on this machine: it takes this key alone, also in {}",
            file.display()
        )))?;
    }
    printed(out.line("  stop with ctrl-c"))?;
    drop(out);
    let served = embedded.lab.serve(listener, stop).await;
    embedded.stop().await;
    served.map_err(failed)?;
    output::note("lab stopped");
    Ok(exit::OK)
}
