//! A lab on a port of this process, and the program against it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use freezeframe::lab::runtime_simulated::SimulatedRuntime;
use freezeframe::lab::{Clock, Fault, FaultKind, Lab, LabOptions, WorldSpec};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Far beyond anything that a healthy run takes; reaching it is a failure, not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(120);
pub const REGION: &str = "eu-central-1";
/// How much faster than the machine's the lab's time runs.
const SPEED: f64 = 5.0;

/// The lab, and the runtime that knows what is really frozen.
pub struct Served {
    pub lab: Lab,
    pub runtime: Arc<SimulatedRuntime>,
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A world of small database servers, `db-0` and so on.
pub async fn served(instances: usize) -> Served {
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test lives by the machine's clock"
    )]
    let now = Utc::now();
    let clock = Clock::scaled(now, SPEED);
    let runtime = Arc::new(SimulatedRuntime::new(clock.clone(), 21));
    let lab = Lab::start(LabOptions {
        world: WorldSpec::parse(&world(instances)).unwrap(),
        seed: 21,
        clock,
        runtime: runtime.clone(),
        throttling: false,
        account: "123456789012".to_owned(),
        region: REGION.to_owned(),
    })
    .await
    .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (serving, stopped) = (lab.clone(), stop.clone());
    tokio::spawn(async move { serving.serve(listener, stopped).await });
    Served {
        lab,
        runtime,
        address,
        stop,
    }
}

fn world(instances: usize) -> String {
    use std::fmt::Write as _;
    let mut text = "name = \"life\"\nhistory_days = 0\noddities = false\n".to_owned();
    for n in 0..instances {
        write!(
            text,
            "[[instance]]\nname = \"db-{n}\"\naz = \"a\"\ntype = \"m6i.large\"\nengine = \"mariadb\"\ncommand_latency_ms = 300\n\
             [instance.tags]\nConsistentSnapshot = \"linux-mysql\"\n\
             [[instance.volume]]\ndevice = \"/dev/xvda\"\nsize = 1\nfs = \"xfs\"\nmount = \"/\"\n\
             [[instance.volume]]\ndevice = \"/dev/sdf\"\nsize = 1\nfs = \"xfs\"\nmount = \"/var/lib/mysql\"\n\
             [[instance.volume]]\ndevice = \"/dev/sdg\"\nsize = 1\nfs = \"ext4\"\nmount = \"/srv\"\n"
        )
        .unwrap();
    }
    text
}

impl Served {
    /// The instance of that name.
    pub fn id(&self, name: &str) -> String {
        let world = self.lab.world();
        world
            .instances
            .values()
            .find(|i| i.tags.get("Name").map(String::as_str) == Some(name))
            .unwrap()
            .id
            .clone()
    }

    pub fn fault(&self, action: &str, kind: FaultKind) {
        self.lab.faults().inject(Fault {
            action: action.to_owned(),
            skip: 0,
            times: 1,
            kind,
        });
    }

    /// What AWS has of an instance's jobs: snapshot, volume, job, level, and whether it really was frozen.
    pub fn made(&self, instance: &str) -> Vec<Made> {
        let world = self.lab.world();
        world
            .snapshots
            .values()
            .filter(|s| s.tags.get("freezeframe:instance").map(String::as_str) == Some(instance))
            .map(|s| Made {
                id: s.id.clone(),
                job: s.tags["freezeframe:job"].clone(),
                level: s.tags["freezeframe:level"].clone(),
                frozen: self.runtime.was_frozen(&s.id).unwrap(),
            })
            .collect()
    }

    pub fn nothing_frozen(&self, instance: &str) {
        let frozen = self.runtime.frozen_mounts(instance);
        assert!(frozen.is_empty(), "still frozen on {instance}: {frozen:?}");
    }
}

/// One snapshot that AWS has.
#[derive(Debug, Clone)]
pub struct Made {
    pub id: String,
    pub job: String,
    pub level: String,
    pub frozen: bool,
}

/// One operator's machine: a home and a state directory.
pub struct Home {
    pub dir: TempDir,
    address: SocketAddr,
}

/// What a run of the program ended with.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A run that is under way.
pub struct Running {
    pub child: Child,
    files: [PathBuf; 2],
}

impl Home {
    /// Where two commands and a call between them can be held up: mode coordinated, unless a test says another.
    pub fn new(served: &Served) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join(".config/freezeframe");
        std::fs::create_dir_all(&config).unwrap();
        let mode = "[snapshot]\nmode = \"coordinated\"\n";
        std::fs::write(config.join("config.toml"), mode).unwrap();
        Self {
            dir,
            address: served.address,
        }
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The program with these arguments, in nothing of this machine's environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freezeframe"));
        command
            .args(["--endpoint-url", &self.url(), "--region", REGION])
            .args(["-o", "json"])
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.dir.path())
            .env("FREEZEFRAME_STATE_DIR", self.state())
            .env("AWS_ACCESS_KEY_ID", "AKIALAB")
            .env("AWS_SECRET_ACCESS_KEY", "lab")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    pub fn start(&self, args: &[&str]) -> Running {
        self.start_command(self.command(args))
    }

    pub fn start_command(&self, mut command: Command) -> Running {
        let number = std::fs::read_dir(self.dir.path()).unwrap().count();
        let files = ["out", "err"].map(|kind| self.dir.path().join(format!("{number}.{kind}")));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&files[0]).unwrap())
            .stderr(File::create(&files[1]).unwrap())
            .spawn()
            .unwrap();
        Running { child, files }
    }

    pub async fn run(&self, args: &[&str]) -> Answer {
        self.start(args).wait().await
    }

    /// Looks into the journal as another process would; `None` while there is none.
    pub fn look<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let path = self.state().join("journal.sqlite");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).ok()?;
        db.busy_timeout(Duration::from_secs(5)).ok()?;
        look(&db).ok()
    }

    /// Intents and outcomes on record.
    pub fn events(&self) -> i64 {
        self.look(|db| {
            db.query_row("SELECT count(*) + count(outcome) FROM call", [], |r| {
                r.get(0)
            })
        })
        .unwrap_or(0)
    }

    /// The only job's view and whether it is open.
    pub fn job(&self) -> Option<(Value, bool)> {
        self.look(|db| {
            db.query_row(
                "SELECT view, open FROM job ORDER BY started DESC LIMIT 1",
                [],
                |r| Ok((r.get::<_, String>(0)?, r.get::<_, bool>(1)?)),
            )
        })
        .map(|(view, open)| (serde_json::from_str(&view).unwrap(), open))
    }

    /// Waits until the sending of that command is on record.
    pub async fn until_sent(&self, command: &str) {
        let sent = "SELECT count(*) FROM call WHERE action = 'SendCommand' AND instr(detail, ?)";
        until(&format!("{command} on record"), || {
            let n = self.look(|db| db.query_row(sent, [command], |r| r.get::<_, i64>(0)));
            n.is_some_and(|n| n > 0)
        })
        .await;
    }

    /// Waits until the journal's only job is in that phase.
    pub async fn until_phase(&self, phase: &str) {
        until(&format!("phase {phase}"), || {
            self.job().is_some_and(|(view, _)| view["phase"] == phase)
        })
        .await;
    }
}

impl Drop for Running {
    /// A test that has seen enough leaves no program behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub async fn wait(mut self) -> Answer {
        let mut code = None;
        until("the program's end", || {
            match self.child.try_wait().unwrap() {
                Some(status) => {
                    code = Some(status.code());
                    true
                }
                None => false,
            }
        })
        .await;
        let read = |path: &Path| String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        Answer {
            code: code.unwrap(),
            out: read(&self.files[0]),
            err: read(&self.files[1]),
        }
    }
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Waits until something holds. The time limit is patience, never a measurement.
pub async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !met() {
        assert!(begun.elapsed() < PATIENCE, "waiting for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
