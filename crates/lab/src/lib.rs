//! The lab: freezeframe's embedded AWS. One world, one clock, one function from request to response, mounted in
//! process ([`Lab::connector`]) and on a port ([`Lab::serve`]). It imports nothing of the rest of freezeframe.

pub mod accept;
pub mod bounds;
mod caller;
mod cbor;
pub mod clock;
mod cloudwatch;
#[cfg(feature = "sdk")]
pub mod connector;
pub mod dispatch;
mod ec2;
pub mod faults;
mod generate;
mod imds;
mod json;
pub mod keys;
mod place;
pub mod runtime;
pub mod runtime_real;
pub mod runtime_simulated;
mod server;
mod sessions;
mod sigv4;
pub mod ssm;
mod sts;
#[cfg(test)]
pub(crate) mod test_support;
mod throttle;
mod wire;
pub mod world;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub use clock::Clock;
pub use faults::{Fault, FaultKind, Faults, Mishap, Plan, Weather};
pub use world::{World, WorldSpec};

use runtime::{Runtime, VolumeSpec};
use throttle::Throttle;

/// Regions that the lab knows; the account is enabled in all of them.
pub const REGIONS: [&str; 8] = [
    "ap-northeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "us-east-1",
    "us-east-2",
    "us-west-2",
];

/// How many calls [`Lab::calls`] remembers.
const CALLS_KEPT: usize = 20_000;

/// What a lab is made of.
pub struct LabOptions {
    /// Its inventory at the beginning.
    pub world: WorldSpec,
    /// The same seed and the same base time make the same world.
    pub seed: u64,
    /// Its clock.
    pub clock: Clock,
    /// What instances are made of.
    pub runtime: Arc<dyn Runtime>,
    /// Token buckets on.
    pub throttling: bool,
    /// Twelve digits.
    pub account: String,
    /// Where the world is; every other region is empty.
    pub region: String,
}

/// Why a lab could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The world file cannot be read.
    #[error("world file, line {line}: {message}")]
    World {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value that nothing at AWS has.
    #[error("world file, line {line}: {message}")]
    WorldValue {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The fault plan cannot be read.
    #[error("fault plan, line {line}: {message}")]
    Faults {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value that no fault can have.
    #[error("fault plan, line {line}: {message}")]
    FaultsValue {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A fault on a name that nothing has.
    #[error("fault plan, line {line}: {message}")]
    FaultOn {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// The name that nothing has.
        on: String,
        /// The names that there are.
        known: &'static [&'static str],
    },
    /// A region that the lab does not know.
    #[error("the lab has no region `{0}`")]
    Region(String),
    /// An instance did not come up.
    #[error("instance {instance} did not boot: {message}")]
    Boot {
        /// The instance.
        instance: String,
        /// What is wrong.
        message: String,
    },
    /// A volume could not be made.
    #[error("volume {volume} could not be made: {message}")]
    Volume {
        /// The volume.
        volume: String,
        /// What is wrong.
        message: String,
    },
}

/// What happened to a call instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportFault {
    /// The connection was reset before the request was read.
    #[error("connection reset before the request was read")]
    Reset,
    /// The work was done, and the answer was lost.
    #[error("connection lost before the answer")]
    LostResponse,
}

/// One request that the lab saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// When the request came.
    pub at: DateTime<Utc>,
    /// When its answer left, or would have left.
    pub ended: DateTime<Utc>,
    /// ARN of the caller.
    pub caller: String,
    /// What it was about: the tag `freezeframe:job` of new snapshots, the comment of a command, else the first
    /// resource's id; empty when it was about none.
    pub subject: String,
    /// `ec2`, `ssm`, `monitoring`, `sts`
    pub service: String,
    /// The action.
    pub action: String,
    /// The action changes something when it succeeds.
    pub mutating: bool,
    /// It only asks whether the action would be carried out.
    pub dry_run: bool,
    /// `OK`, an error code, or `(reset)` / `(lost response)`.
    pub outcome: String,
}

/// A running lab; clones are handles to the same one.
#[derive(Clone)]
pub struct Lab {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    seed: u64,
    account: String,
    region: String,
    /// Instances of the home region; none is made and none terminated.
    instances: usize,
    clock: Clock,
    runtime: Arc<dyn Runtime>,
    worlds: BTreeMap<String, Mutex<World>>,
    faults: Faults,
    throttle: Option<Mutex<Throttle>>,
    calls: Mutex<VecDeque<CallRecord>>,
    requests: AtomicU64,
    stopping: CancellationToken,
    imds: imds::Imds,
    sessions: sessions::Sessions,
    /// What signs the requests of a lab whose commands are real; any key does where they are not.
    key: Option<keys::Key>,
    /// The file with that key, as whoever started the lab says.
    key_file: OnceLock<String>,
    /// `http://127.0.0.1:PORT`, once it is served.
    endpoint: Mutex<Option<String>>,
}

/// A handle that does not keep the lab alive, for the runtime inside it.
#[derive(Clone)]
pub struct WeakLab(Weak<Inner>);

impl WeakLab {
    /// The lab, while it exists.
    pub fn upgrade(&self) -> Option<Lab> {
        self.0.upgrade().map(|inner| Lab { inner })
    }
}

impl std::fmt::Debug for WeakLab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WeakLab")
    }
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab")
            .field("world", &self.inner.name)
            .field("region", &self.inner.region)
            .finish_non_exhaustive()
    }
}

impl Lab {
    /// Makes the world and brings its instances to life through the runtime.
    ///
    /// # Errors
    /// An unknown region, or what the runtime could not do.
    pub async fn start(options: LabOptions) -> Result<Self, LabError> {
        if !REGIONS.contains(&options.region.as_str()) {
            return Err(LabError::Region(options.region));
        }
        let now = options.clock.now();
        let throttle = Throttle::new(options.world.ssm_rates);
        let home = generate::world(
            &options.world,
            options.seed,
            &options.account,
            &options.region,
            now,
        );
        if let Err(error) = boot(options.runtime.as_ref(), &home).await {
            options.runtime.shutdown().await;
            return Err(error);
        }
        let instances = home.instances.len();
        let mut worlds: BTreeMap<String, Mutex<World>> = REGIONS
            .iter()
            .map(|region| {
                (
                    (*region).to_owned(),
                    Mutex::new(World::empty(&options.account, region, now, options.seed)),
                )
            })
            .collect();
        worlds.insert(options.region.clone(), Mutex::new(home));
        let key = options.runtime.is_guarded().then(keys::Key::random);
        let lab = Self {
            inner: Arc::new(Inner {
                name: options.world.name,
                seed: options.seed,
                account: options.account,
                region: options.region,
                instances,
                clock: options.clock,
                runtime: options.runtime,
                worlds,
                faults: Faults::default(),
                throttle: options.throttling.then(|| Mutex::new(throttle)),
                calls: Mutex::new(VecDeque::new()),
                requests: AtomicU64::new(0),
                stopping: CancellationToken::new(),
                imds: imds::Imds::default(),
                sessions: sessions::Sessions::default(),
                key,
                key_file: OnceLock::new(),
                endpoint: Mutex::new(None),
            }),
        };
        lab.runtime().meet(WeakLab(Arc::downgrade(&lab.inner)));
        Ok(lab)
    }

    /// An in-process HTTP client for the AWS SDK.
    #[cfg(feature = "sdk")]
    pub fn connector(&self) -> connector::LabHttpClient {
        connector::LabHttpClient::new(self.clone())
    }

    /// The home world, advanced to now. Never hold it across an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world_of(&self.inner.region)
    }

    /// The world of a region, advanced to now; an unknown region is refused before, here it counts as home.
    pub fn world_of(&self, region: &str) -> MutexGuard<'_, World> {
        let world = self
            .inner
            .worlds
            .get(region)
            .unwrap_or_else(|| &self.inner.worlds[&self.inner.region]);
        let mut world = world.lock();
        world.advance(self.inner.clock.now());
        world
    }

    /// Orders for things to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// How soon the world shows what was done to it, in every region.
    pub fn set_weather(&self, weather: Weather) {
        for region in self.inner.worlds.keys() {
            self.world_of(region).weather = weather;
        }
    }

    /// The lab's clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// How volumes and commands exist here.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.inner.runtime
    }

    /// Cancelled when the lab is shut down; background work watches it.
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }

    /// Where this lab is served, such as `http://127.0.0.1:4566`; `None` as long as it is only in this process.
    pub fn endpoint(&self) -> Option<String> {
        self.inner.endpoint.lock().clone()
    }

    fn served_at(&self, endpoint: Option<String>) {
        *self.inner.endpoint.lock() = endpoint;
    }

    /// Ends all role credentials that were handed out so far; the metadata service then has new ones.
    pub fn expire_role_credentials(&self) {
        self.inner.imds.expire(self.clock().now());
    }

    /// The account that every access key belongs to.
    pub fn account(&self) -> &str {
        &self.inner.account
    }

    /// Where the fleet is.
    pub fn region(&self) -> &str {
        &self.inner.region
    }

    /// How many instances there are, all of them in the home region.
    pub fn instances(&self) -> usize {
        self.inner.instances
    }

    /// The last 20,000 requests, oldest first.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.inner.calls.lock().iter().cloned().collect()
    }

    /// What `GET /_lab` answers.
    pub fn describe(&self) -> serde_json::Value {
        serde_json::json!({
            "runtime": self.inner.runtime.label(),
            "world": self.inner.name,
            "seed": self.inner.seed,
            "account": self.inner.account,
            "region": self.inner.region,
        })
    }

    /// Ends background work and lets the runtime clean up after itself.
    pub async fn shutdown(&self) {
        self.inner.stopping.cancel();
        self.inner.runtime.shutdown().await;
    }

    fn record(&self, call: CallRecord) {
        let mut calls = self.inner.calls.lock();
        if calls.len() == CALLS_KEPT {
            calls.pop_front();
        }
        calls.push_back(call);
    }

    /// A request id in the shape of AWS's, from a counter, so that a run replays.
    fn request_id(&self) -> String {
        let n = self.inner.requests.fetch_add(1, Ordering::Relaxed) + 1;
        format!("1ab00000-0000-4000-8000-{n:012x}")
    }
}

async fn boot(runtime: &dyn Runtime, world: &World) -> Result<(), LabError> {
    let spec = |id: &str| -> Option<VolumeSpec> {
        let volume = world.volumes.get(id)?;
        let mount = volume
            .attached_to
            .as_ref()
            .and_then(|instance| world.instances.get(instance))
            .and_then(|instance| instance.mounts.iter().find(|mount| mount.volume == id))
            .map(|mount| mount.mount.clone());
        Some(VolumeSpec {
            id: id.to_owned(),
            size_gib: volume.size_gib,
            from_snapshot: None,
            filesystem: volume.filesystem.clone(),
            mount,
        })
    };
    for volume in world
        .volumes
        .values()
        .filter(|volume| volume.attached_to.is_none())
    {
        if let Some(spec) = spec(&volume.id) {
            let made = runtime.create_volume(&spec).await;
            made.map_err(|message| LabError::Volume {
                volume: volume.id.clone(),
                message,
            })?;
        }
    }
    for instance in world.instances.values() {
        let volumes: Vec<(String, VolumeSpec)> = instance
            .block_devices
            .iter()
            .filter_map(|device| spec(&device.volume).map(|spec| (device.device.clone(), spec)))
            .collect();
        let booted = runtime.boot(&instance.id, &volumes).await;
        booted.map_err(|message| LabError::Boot {
            instance: instance.id.clone(),
            message,
        })?;
    }
    Ok(())
}
