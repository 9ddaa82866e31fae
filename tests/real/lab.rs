//! The served lab on its real runtime: started as the program, ended by SIGTERM, and nothing left behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use super::worlds::PROOF;

/// Far beyond anything that a healthy run takes; reaching it is a failure, not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Programs and the instances' commands find theirs here.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Marks everything that this run of these tests makes on the machine, by this process: its id, and when it started.
pub fn mark() -> String {
    let me = std::process::id();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let started = rest.split(' ').nth(19).unwrap();
    format!("ff-real-{me}-{started}-")
}

/// Takes away what killed runs of these tests and of the documents' left: only what lies in a directory whose name says
/// that a dead process made it.
fn sweep() {
    let swept = Command::new("bash")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/documents/sweep.sh"
        ))
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    eprint!("{}", String::from_utf8_lossy(&swept.stdout));
}

/// How many labs run at a time: each has its own devices and processes, all share the machine.
const LABS: usize = 2;
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// Leave to run labs, given back when it is dropped.
pub struct Leave(usize);

impl Leave {
    fn of(labs: usize) -> Self {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = ENDED
            .wait_while(running, |running| *running + labs > LABS)
            .unwrap_or_else(PoisonError::into_inner);
        *running += labs;
        Self(labs)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        ENDED.notify_all();
    }
}

/// No lab runs beside this.
pub fn alone() -> Leave {
    Leave::of(LABS)
}

/// Fails, naming what is missing, where a test cannot run: nobody runs these tests by accident (they are ignored).
pub fn needs(tools: &[&str]) {
    let mut missing: Vec<&str> = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root");
    }
    if !Path::new("/dev/loop-control").exists() {
        missing.push("loop devices");
    }
    let base = [
        "nsenter", "unshare", "fsfreeze", "losetup", "setsid", "setpriv", "python3",
    ];
    let disks = ["mkfs.btrfs", "btrfs", "mkfs.xfs", "mkfs.ext4", "pivot_root"];
    let there = |tool: &&&str| {
        PATH.split(':')
            .any(|dir| Path::new(dir).join(tool).exists())
    };
    missing.extend(
        base.iter()
            .chain(&disks)
            .chain(tools)
            .filter(|tool| !there(tool)),
    );
    assert!(missing.is_empty(), "this test needs {}", missing.join(", "));
}

/// Waits for a condition; the limit is there to fail on *never*.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Milliseconds of the clock that the instances' scripts read (10 ms steps).
pub fn uptime_ms() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    let (seconds, hundredths) = text.split(' ').next().unwrap().split_once('.').unwrap();
    seconds.parse::<u64>().unwrap() * 1_000 + hundredths.parse::<u64>().unwrap() * 10
}

/// The process group and the session of a process (fields 5 and 6 of its `stat`). From /proc and not by
/// `getsid`: one that lies outside this process namespace is 0, which rustix does not foresee.
fn group_and_session(process: u32) -> Option<(u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(2).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

pub fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// Waits for a child's end and returns its exit code, -1 after a signal.
pub fn wait(child: &mut Child, what: &str) -> i32 {
    let mut status = None;
    wait_for(what, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.code()).unwrap_or(-1)
}

/// The served lab.
pub struct Lab {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// The key that the lab takes, and its secret.
    pub key: (String, String),
    dir: TempDir,
    /// What the test keeps on this machine's own filesystem; no instance sees it.
    notes: TempDir,
    leave: Option<Leave>,
}

impl Lab {
    /// A database server and a file server.
    pub fn start() -> Self {
        Self::of(PROOF)
    }

    /// A lab on a world of its own.
    pub fn of(world: &str) -> Self {
        Self::with(world, "")
    }

    /// A lab on a world of its own in which things go wrong as a plan of faults (TOML, its `[[fault]]` tables) says.
    pub fn with(world: &str, faults: &str) -> Self {
        let leave = Leave::of(1);
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let dir = tempfile::Builder::new()
            .prefix(&mark())
            .tempdir_in("/var/tmp")
            .unwrap();
        let notes = tempfile::Builder::new()
            .prefix(&mark())
            .tempdir_in("/tmp")
            .unwrap();
        fs::write(dir.path().join("world.toml"), world).unwrap();
        let plan = format!("name = \"real\"\n{faults}");
        fs::write(dir.path().join("faults.toml"), plan).unwrap();
        // However these tests end, the lab ends with them, and undoes what it made.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", env!("CARGO_BIN_EXE_freezeframe")])
            .args(["lab", "serve", "--runtime", "real", "--port", "0"])
            .arg("--world")
            .arg(dir.path().join("world.toml"))
            .arg("--lab-dir")
            .arg(dir.path().join("lab"))
            .arg("--faults")
            .arg(dir.path().join("faults.toml"))
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", dir.path())
            .env("FREEZEFRAME_STATE_DIR", dir.path().join("served"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("lab.err")).unwrap())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let (lines, inbox) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut lab = Self {
            child,
            url: String::new(),
            key: Default::default(),
            dir,
            notes,
            leave: Some(leave),
        };
        let line = inbox
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("the lab does not start: {}", lab.complaints()));
        lab.url = line
            .split(' ')
            .find(|word| word.starts_with("http://"))
            .unwrap_or_else(|| panic!("no address: {line}"))
            .to_owned();
        lab.key = lab.read_key();
        lab
    }

    /// The key as the lab wrote it for root alone.
    fn read_key(&self) -> (String, String) {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.dir.path().join("lab/credentials");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        let text = fs::read_to_string(&file).unwrap();
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(" = "))
                .unwrap_or_else(|| panic!("no {name}"))
                .to_owned()
        };
        (of("aws_access_key_id"), of("aws_secret_access_key"))
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.dir.path().join("lab.err")).unwrap_or_default()
    }

    fn inits(&self) -> Vec<u32> {
        let record = fs::read(self.dir.path().join("lab/record.json")).unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        let inits = record["inits"].as_array().cloned().unwrap_or_default();
        inits
            .iter()
            .filter_map(|init| u32::try_from(init["pid"].as_u64()?).ok())
            .collect()
    }

    /// The instance's first process: the one whose root is the overlay made for it.
    pub fn init(&self, instance: &str) -> u32 {
        let mine = format!("/{instance}/upper");
        self.inits()
            .into_iter()
            .find(|init| {
                fs::read_to_string(format!("/proc/{init}/mountinfo"))
                    .is_ok_and(|text| text.contains(&mine))
            })
            .unwrap_or_else(|| panic!("{instance} has no first process"))
    }

    /// A path of the instance as this machine sees it.
    pub fn path(&self, instance: &str, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init(instance)))
    }

    /// A program inside the instance: its mounts and its processes, so that it ends with the instance.
    pub fn inside(&self, instance: &str, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "-t",
                &self.init(instance).to_string(),
                "-m",
                "-p",
                "-u",
                "-i",
                "--",
                program,
            ])
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null());
        command
    }

    /// Runs a shell command inside to its end: success, and everything it said.
    pub fn sh(&self, instance: &str, script: &str) -> (bool, String) {
        let output = self
            .inside(instance, "sh")
            .args(["-c", script])
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).trim().to_owned(),
        )
    }

    /// As [`Self::sh`], which must succeed.
    pub fn must(&self, instance: &str, script: &str) -> String {
        let (well, said) = self.sh(instance, script);
        assert!(well, "{script}: {said}");
        said
    }

    /// Image of a volume below the lab's own directory. Read only, and never handed to anything that writes.
    pub fn image(&self, volume: &str) -> PathBuf {
        self.dir
            .path()
            .join("lab/store/live")
            .join(format!("{volume}.img"))
    }

    /// How many sets of snapshots the lab has stored, the one under way included.
    pub fn sets(&self) -> usize {
        fs::read_dir(self.sets_path()).unwrap().count()
    }

    /// Where they are.
    pub fn sets_path(&self) -> PathBuf {
        self.dir.path().join("lab/store/sets")
    }

    /// Nothing holds these mounts any more: no descriptor, no process of a job.
    pub fn released(&self, instance: &str, mounts: &[&str]) {
        let mut said = String::new();
        wait_for(&format!("{mounts:?} without a holder"), || {
            let (well, words) = self.sh(instance, &format!("umount {}", mounts.join(" ")));
            // A second attempt finds the first ones gone already.
            said = words;
            well || said.lines().all(|line| line.contains("not mounted"))
        });
        let jobs = self.must(instance, "find /run -path '/run/freezeframe/*' -type d");
        assert_eq!(jobs, "", "jobs left on {instance}");
    }

    /// A directory on this machine's own filesystem, which no instance sees.
    pub fn notes(&self) -> &Path {
        self.notes.path()
    }

    /// Makes a file a disk of an instance: a loop device that it knows by its node and in its lists of block devices, as
    /// the lab makes its volumes known.
    pub fn disk(&self, instance: &str, file: &Path) -> String {
        let shown = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .env("PATH", PATH)
            .output()
            .unwrap();
        let device = String::from_utf8(shown.stdout).unwrap().trim().to_owned();
        let name = device.strip_prefix("/dev/").unwrap_or_else(|| {
            panic!("no loop device: {}", String::from_utf8_lossy(&shown.stderr))
        });
        let number = fs::read_to_string(format!("/sys/block/{name}/dev")).unwrap();
        let number = number.trim();
        let (major, minor) = number.split_once(':').unwrap();
        let made = Command::new("mknod")
            .args([
                &*self.path(instance, &device).to_string_lossy(),
                "b",
                major,
                minor,
            ])
            .env("PATH", PATH)
            .status()
            .unwrap();
        assert!(made.success());
        for entry in Self::entries(name, number) {
            let target = fs::read_link(&entry).unwrap();
            std::os::unix::fs::symlink(target, self.path(instance, &entry)).unwrap();
        }
        device
    }

    /// Takes a disk away that nothing has mounted any more.
    pub fn no_disk(&self, instance: &str, device: &str) {
        let name = device.strip_prefix("/dev/").unwrap();
        let number = fs::read_to_string(format!("/sys/block/{name}/dev")).unwrap();
        for entry in Self::entries(name, number.trim()) {
            fs::remove_file(self.path(instance, &entry)).ok();
        }
        fs::remove_file(self.path(instance, device)).ok();
        let gone = Command::new("losetup")
            .args(["--detach", device])
            .env("PATH", PATH)
            .status()
            .unwrap();
        assert!(gone.success(), "{device} is left behind");
    }

    fn entries(name: &str, number: &str) -> [String; 3] {
        [
            format!("/sys/block/{name}"),
            format!("/sys/class/block/{name}"),
            format!("/sys/dev/block/{number}"),
        ]
    }

    /// Arms a thaw of our own, outside everything that is tested: it acts after a minute unless
    /// dropped before, and at once when these tests are dead.
    pub fn outer_thaw(&self, instance: &str, mounts: &[&str]) -> OuterThaw {
        // Its exit code says whether there was anything to thaw.
        let script = format!(
            "timeout --foreground 60 cat; acted=1; for m in {}; do fsfreeze -u $m && acted=0; done; exit $acted",
            mounts.join(" ")
        );
        let child = Command::new("setsid")
            .args([
                "nsenter",
                "-t",
                &self.init(instance).to_string(),
                "-m",
                "sh",
                "-c",
            ])
            .arg(script)
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // In a session of its own, or a kill of our group would reach it.
        let me = child.id();
        wait_for("the outer thaw", || {
            group_and_session(me).is_some_and(|(_, session)| session == me)
        });
        OuterThaw(child)
    }

    /// Process group of the command (`pre-script`, `snapshot`) that the agent is running on the instance, if it is:
    /// started by this very lab, and by its own script file such a command.
    pub fn script_group(&self, instance: &str, command: &str) -> Option<Pid> {
        let init = self.init(instance).to_string();
        let ours = format!("/var/lib/amazon/ssm/{instance}/document/orchestration/");
        processes().into_iter().find_map(|process| {
            let args = arguments(process);
            let fits = args.first()? == "nsenter" && args.get(2) == Some(&init);
            let directory = args.last().filter(|last| fits && last.starts_with(&ours))?;
            let script = self.path(instance, &format!("{directory}/_script.sh"));
            let wanted = format!("COMMAND='{command}'");
            let fits = fs::read_to_string(script).is_ok_and(|text| text.contains(&wanted));
            let (group, _) = group_and_session(process)?;
            (fits && parent(process) == Some(self.child.id()) && group == process)
                .then(|| pid(group))
        })
    }

    /// Kills the lab as nothing can be caught, and lets another one run.
    pub fn killed(&mut self) {
        kill_process(pid(self.child.id()), Signal::KILL).unwrap();
        self.child.wait().unwrap();
        drop(self.leave.take());
    }

    /// What still belongs to it on this machine.
    pub fn traces(&self) -> BTreeSet<String> {
        traces_of(&[self.dir.path(), self.notes.path()])
    }

    /// First processes of its instances that are still there.
    pub fn living(&self) -> Vec<u32> {
        let mut inits = self.inits();
        inits.retain(|init| !arguments(*init).concat().is_empty());
        inits
    }

    /// Ends the lab and checks that the machine is as it was.
    pub fn finish(mut self) {
        let volumes = self.dir.path().to_owned();
        kill_process(pid(self.child.id()), Signal::TERM).unwrap();
        let code = wait(&mut self.child, "the lab's end");
        assert_eq!(code, 0, "lab serve: {}", self.complaints());
        let left = traces_of(&[&volumes, self.notes.path()]);
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Only after a test has failed is there anything to end here; the lab thaws what it made.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(pid(self.child.id()), Signal::TERM);
            let began = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) {
                if began.elapsed() > PATIENCE {
                    let _ = self.child.kill();
                }
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        if std::thread::panicking() {
            eprintln!("the lab said: {}", self.complaints());
        }
    }
}

/// See [`Lab::outer_thaw`].
pub struct OuterThaw(Child);

impl OuterThaw {
    /// Takes it down. It must not have thawed anything, or the test would have proved nothing.
    pub fn unused(mut self) {
        let acted = self
            .0
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.success());
        assert!(
            !acted,
            "the outer thaw had to act, or the test was too slow"
        );
    }
}

impl Drop for OuterThaw {
    fn drop(&mut self) {
        let _ = kill_process_group(pid(self.0.id()), Signal::KILL);
        let _ = self.0.wait();
    }
}

pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

pub fn arguments(process: u32) -> Vec<String> {
    let text = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .trim_end_matches('\0')
        .split('\0')
        .map(str::to_owned)
        .collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// Loop devices, mounts and processes that still belong to these places.
pub fn traces_of(places: &[&Path]) -> BTreeSet<String> {
    let ours = |text: &str| {
        places
            .iter()
            .any(|place| text.contains(&*place.to_string_lossy()))
    };
    let mut left = BTreeSet::new();
    let losetup = Command::new("losetup")
        .arg("-a")
        .env("PATH", PATH)
        .output()
        .unwrap();
    for line in String::from_utf8_lossy(&losetup.stdout)
        .lines()
        .filter(|line| ours(line))
    {
        left.insert(line.to_owned());
    }
    for process in processes() {
        let line = arguments(process).join(" ");
        if ours(&line) {
            left.insert(format!("process {process}: {line}"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(mounts.lines().filter(|line| ours(line)).map(str::to_owned));
    left
}
