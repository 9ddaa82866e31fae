//! The real runtime (root, Linux): volumes are loop devices, an instance is a mount and pid namespace on this machine,
//! a snapshot set is one atomic btrfs snapshot of the store that holds all volumes' images.

mod agent;
mod instance;
mod machine;
mod record;
mod registry;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::WeakLab;
use super::runtime::{Invocation, InvocationEnd, Runtime, RuntimeError, VolumeSpec};
use instance::Namespace;
use record::Record;
use store::Store;

/// Instances whose insides exist on this machine.
pub struct RealRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    state_dir: PathBuf,
    region: String,
    store: Store,
    books: Mutex<Books>,
    running: Mutex<BTreeMap<(String, String), CancellationToken>>,
    lab: OnceLock<WeakLab>,
    /// Held as long as this runtime owns its state directory.
    _lock: File,
}

#[derive(Default)]
struct Books {
    record: Record,
    instances: BTreeMap<String, Namespace>,
    /// Volume → instance and loop device.
    attached: BTreeMap<String, (String, String)>,
    /// Snapshot → set number and volume.
    snapshots: BTreeMap<String, (u64, String)>,
    sets: u64,
    over: bool,
}

impl RealRuntime {
    /// Makes the store below `state_dir`, after cleaning up what an earlier runtime left there. `region` is what
    /// commands find in `AWS_SSM_REGION_NAME`.
    ///
    /// # Errors
    /// Not root, a missing tool, a state directory in use, or what the machine refused.
    pub fn create(state_dir: PathBuf, region: &str) -> Result<Self, RuntimeError> {
        if !rustix::process::geteuid().is_root() {
            return Err("the real runtime needs root; use the simulated one, or start freezeframe with sudo".to_owned());
        }
        machine::check_tools()?;
        make_private(&state_dir)?;
        let state_dir = state_dir
            .canonicalize()
            .map_err(|error| format!("{}: {error}", state_dir.display()))?;
        let lock = File::create(state_dir.join("lock"))
            .map_err(|error| format!("{}: {error}", state_dir.display()))?;
        lock.try_lock()
            .map_err(|_| format!("{} is used by another lab", state_dir.display()))?;
        registry::sweep();
        record::clean(&state_dir, Record::load(&state_dir))?;
        registry::enter(&state_dir)?;
        let mut books = Books::default();
        let store = Store::create(&state_dir, &mut books.record)?;
        let inner = Inner {
            state_dir,
            region: region.to_owned(),
            store,
            books: Mutex::new(books),
            running: Mutex::new(BTreeMap::new()),
            lab: OnceLock::new(),
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The instance's root directory as this machine sees it (`/proc/PID/root`), for probes from outside.
    pub fn root_of(&self, instance: &str) -> Option<PathBuf> {
        self.inner
            .books()
            .instances
            .get(instance)
            .map(Namespace::root)
    }

    /// The loop device of an attached volume.
    pub fn device_of(&self, volume: &str) -> Option<String> {
        self.inner
            .books()
            .attached
            .get(volume)
            .map(|(_, device)| device.clone())
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, RuntimeError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, RuntimeError>> {
        let inner = Arc::clone(&self.inner);
        async move {
            match tokio::task::spawn_blocking(move || work(&inner)).await {
                Ok(result) => result,
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
    }
}

/// Makes the state directory if it is not there. What lies in it is mounted, run and undone as root, so that nobody
/// else may have put it there.
fn make_private(dir: &Path) -> Result<(), RuntimeError> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    if let Some(above) = dir.parent() {
        std::fs::create_dir_all(above).map_err(failed)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(failed(error));
        }
        _ => {}
    }
    let there = std::fs::symlink_metadata(dir).map_err(failed)?;
    let others = there.mode() & 0o022;
    if !there.is_dir() || there.uid() != rustix::process::geteuid().as_raw() || others != 0 {
        return Err(format!(
            "{} must be a directory of root's that nobody else can write to; remove it, or name another one",
            dir.display()
        ));
    }
    Ok(())
}

impl Inner {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<(String, String), CancellationToken>> {
        self.running.lock()
    }

    /// Where an instance's commands find AWS and its metadata service: the lab's port. Without one it is a port where nobody listens, so that no
    /// command of a lab ever speaks to the metadata service of the machine that the lab runs on.
    fn aws_of(&self, instance: &str) -> (String, String) {
        let lab = self.lab.get().and_then(WeakLab::upgrade);
        lab.and_then(|lab| Some((lab.endpoint()?, lab.metadata_endpoint(instance)?)))
            .unwrap_or_else(|| {
                let nobody = "http://127.0.0.1:1";
                (nobody.to_owned(), format!("{nobody}/imds/{instance}"))
            })
    }

    fn boot(&self, instance: &str, volumes: &[(String, VolumeSpec)]) -> Result<(), RuntimeError> {
        let mut books = self.books();
        let namespace = Namespace::start(&self.state_dir, instance, &mut books.record)?;
        books.instances.insert(instance.to_owned(), namespace);
        books.record.save(&self.state_dir)?;
        for (_, spec) in volumes {
            self.store.create_volume(spec, None)?;
            self.attach(&mut books, instance, &spec.id)?;
            let mount = spec
                .mount
                .as_deref()
                .filter(|mount| mount.starts_with('/') && *mount != "/");
            let made = spec.filesystem.as_deref().is_some_and(store::can_make);
            if let (Some(mount), true) = (mount, made)
                && let (Some(namespace), Some((_, device))) =
                    (books.instances.get(instance), books.attached.get(&spec.id))
            {
                namespace.mount(device, mount)?;
            }
        }
        Ok(())
    }

    fn attach(&self, books: &mut Books, instance: &str, volume: &str) -> Result<(), RuntimeError> {
        if let Some((other, _)) = books.attached.get(volume) {
            return Err(format!("{volume} is attached to {other}"));
        }
        let namespace = books
            .instances
            .get(instance)
            .ok_or_else(|| format!("{instance} is not running in this lab"))?;
        let device = machine::attach_loop(&self.store.volume(volume))?;
        if let Err(error) = namespace.show(volume, &device) {
            namespace.hide(volume, &device).ok();
            machine::detach_loop(&device, &self.store.volume(volume))?;
            return Err(error);
        }
        books
            .attached
            .insert(volume.to_owned(), (instance.to_owned(), device));
        Ok(())
    }

    fn detach(&self, instance: &str, volume: &str, off: bool) -> Result<(), RuntimeError> {
        let mut books = self.books();
        let Some((owner, device)) = books.attached.get(volume).cloned() else {
            return Err(format!("{volume} is not attached"));
        };
        if owner != instance {
            return Err(format!("{volume} is attached to {owner}"));
        }
        if let Some(namespace) = books.instances.get(instance) {
            if off && let Some(at) = namespace.mounted_at(&device) {
                namespace.unmount(&at)?;
            }
            if let Some(at) = namespace.mounted_at(&device) {
                return Err(format!("{volume} is mounted at {at}"));
            }
            namespace.hide(volume, &device)?;
        }
        machine::detach_loop(&device, &self.store.volume(volume))?;
        books.attached.remove(volume);
        Ok(())
    }

    fn snapshot(&self, set: &[(String, String)]) -> Result<(), RuntimeError> {
        if let Some((volume, _)) = set
            .iter()
            .find(|(volume, _)| !self.store.volume(volume).exists())
        {
            return Err(format!("{volume} has no storage"));
        }
        let number = {
            let mut books = self.books();
            books.sets += 1;
            books.sets
        };
        self.store.snapshot(number)?;
        let mut books = self.books();
        for (volume, snapshot) in set {
            books
                .snapshots
                .insert(snapshot.clone(), (number, volume.clone()));
        }
        Ok(())
    }

    fn delete_snapshot(&self, snapshot: &str) -> Result<(), RuntimeError> {
        let mut books = self.books();
        let Some((number, _)) = books.snapshots.remove(snapshot) else {
            return Ok(());
        };
        let used: BTreeSet<u64> = books
            .snapshots
            .values()
            .map(|(number, _)| *number)
            .collect();
        if used.contains(&number) {
            Ok(())
        } else {
            self.store.delete_set(number)
        }
    }

    fn create_volume(&self, spec: &VolumeSpec) -> Result<(), RuntimeError> {
        let source = match &spec.from_snapshot {
            None => None,
            Some(snapshot) => {
                let books = self.books();
                let (number, volume) = books.snapshots.get(snapshot).ok_or_else(|| {
                    format!("{snapshot} was not taken in this lab: it has no data")
                })?;
                Some(self.store.image_in_set(*number, volume))
            }
        };
        self.store.create_volume(spec, source.as_deref())
    }

    /// Ends everything; a second call does nothing.
    fn end(&self) -> Result<(), RuntimeError> {
        let mut books = self.books();
        if books.over {
            return Ok(());
        }
        books.over = true;
        let record = std::mem::take(&mut books.record);
        let namespaces: Vec<Namespace> =
            std::mem::take(&mut books.instances).into_values().collect();
        let result = record::clean(&self.state_dir, Some(record));
        for namespace in namespaces {
            namespace.reap();
        }
        if result.is_ok() {
            registry::leave(&self.state_dir);
        }
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the real runtime could not clean up; its next start will");
        }
    }
}

impl Runtime for RealRuntime {
    fn label(&self) -> &'static str {
        "real"
    }

    fn is_guarded(&self) -> bool {
        true
    }

    fn meet(&self, lab: WeakLab) {
        // A runtime belongs to one lab.
        self.inner.lab.set(lab).ok();
    }

    fn boot<'a>(
        &'a self,
        instance: &'a str,
        volumes: &'a [(String, VolumeSpec)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let (instance, volumes) = (instance.to_owned(), volumes.to_vec());
        self.blocking(move |inner| inner.boot(&instance, &volumes))
    }

    fn create_volume<'a>(
        &'a self,
        volume: &'a VolumeSpec,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let volume = volume.clone();
        self.blocking(move |inner| inner.create_volume(&volume))
    }

    fn delete_volume<'a>(&'a self, volume: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let volume = volume.to_owned();
        self.blocking(move |inner| {
            if inner.books().attached.contains_key(&volume) {
                return Err(format!("{volume} is attached"));
            }
            machine::remove(&inner.store.volume(&volume))
        })
    }

    fn attach<'a>(
        &'a self,
        instance: &'a str,
        volume: &'a str,
        _device: &'a str,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let (instance, volume) = (instance.to_owned(), volume.to_owned());
        self.blocking(move |inner| inner.attach(&mut inner.books(), &instance, &volume))
    }

    fn detach<'a>(
        &'a self,
        instance: &'a str,
        volume: &'a str,
        off: bool,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let (instance, volume) = (instance.to_owned(), volume.to_owned());
        self.blocking(move |inner| inner.detach(&instance, &volume, off))
    }

    fn snapshot<'a>(
        &'a self,
        set: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let set = set.to_vec();
        self.blocking(move |inner| inner.snapshot(&set))
    }

    fn delete_snapshot<'a>(&'a self, snapshot: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let snapshot = snapshot.to_owned();
        self.blocking(move |inner| inner.delete_snapshot(&snapshot))
    }

    fn run(&self, invocation: Invocation) -> BoxFuture<'_, InvocationEnd> {
        async move {
            let pid = self
                .inner
                .books()
                .instances
                .get(&invocation.instance)
                .map(Namespace::pid);
            let Some(pid) = pid else {
                return agent::never_ran(format!(
                    "{} is not running in this lab",
                    invocation.instance
                ));
            };
            let cancel = CancellationToken::new();
            let key = (invocation.command_id.clone(), invocation.instance.clone());
            // The first delivery is the one that a cancel reaches.
            if !invocation.again {
                self.inner.running().insert(key.clone(), cancel.clone());
            }
            let (endpoint, metadata) = self.inner.aws_of(&invocation.instance);
            let place = agent::Place {
                init: pid,
                region: self.inner.region.clone(),
                endpoint,
                metadata,
            };
            let end = agent::run(&place, &invocation, &cancel).await;
            if !invocation.again {
                self.inner.running().remove(&key);
            }
            end
        }
        .boxed()
    }

    fn cancel<'a>(&'a self, command_id: &'a str, instance: &'a str) -> BoxFuture<'a, ()> {
        if let Some(token) = self
            .inner
            .running()
            .get(&(command_id.to_owned(), instance.to_owned()))
        {
            token.cancel();
        }
        futures::future::ready(()).boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        let ending = self.blocking(Inner::end);
        async move {
            if let Err(error) = ending.await {
                tracing::warn!(%error, "the real runtime could not clean up; its next start will");
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
