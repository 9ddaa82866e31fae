//! Promise 13 with PostgreSQL: its data on XFS, its WAL on a second volume with ext4, several clients at work.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::console::{Console, text};
use super::lab::{Lab, needs, uptime_ms};
use super::proof::{Expected, application_set, at, slow_copy};
use super::work::{Ack, Load};
use super::worlds::{DB, DB_EXT4, DB_XFS};

const DATABASE: [&str; 2] = ["setpriv", "findmnt"];
const DATA: &str = "/data/db/pg";
const WAL: &str = "/data/files/pgwal";
/// Where the recipe looks by itself.
pub const SOCKETS: &str = "/run/postgresql";

/// Where this machine has its newest PostgreSQL server, if it has one.
fn programs() -> Option<String> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .map(|bin| bin.to_string_lossy().into_owned())
        .max()
}

/// As [`needs`], and a PostgreSQL server.
pub fn needs_postgresql() {
    needs(&DATABASE);
    assert!(
        programs().is_some(),
        "this test needs PostgreSQL (/usr/lib/postgresql/*/bin/initdb)"
    );
}

/// A server of ours, on a data directory whose WAL is elsewhere.
pub struct Server {
    bin: String,
    data: String,
    port: u16,
}

impl Server {
    /// One of its programs, as the server's own user: it does not run as root.
    pub fn program(&self, lab: &Lab, name: &str) -> Command {
        let mut command = lab.inside(DB, "setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(format!("{}/{name}", self.bin))
            .env("PATH", format!("{}:{}", self.bin, super::lab::PATH));
        command
    }

    fn run(&self, lab: &Lab, name: &str, args: &[&str]) -> (bool, String) {
        // Into a file: what it starts would hold a pipe open.
        let said = lab.notes().join(format!("{name}-{}.said", self.port));
        let file = fs::File::create(&said).unwrap();
        let status = self
            .program(lab, name)
            .args(args)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        let text = fs::read_to_string(said).unwrap();
        (status.success(), text.trim().to_owned())
    }

    fn must(&self, lab: &Lab, name: &str, args: &[&str]) -> String {
        let (well, said) = self.run(lab, name, args);
        assert!(well, "{name} {args:?}: {said}");
        said
    }

    /// A new cluster with checksums, which a torn page does not pass.
    pub fn create(lab: &Lab) -> Self {
        let server = Self {
            bin: programs().expect("a server"),
            data: DATA.to_owned(),
            port: 5432,
        };
        lab.must(
            DB,
            &format!("install -d -o postgres -g postgres -m 700 {DATA} {WAL} && install -d -o postgres -g postgres {SOCKETS}"),
        );
        let wal = format!("--waldir={WAL}");
        let init = [
            "-D",
            DATA,
            &wal,
            "--wal-segsize=1",
            "-A",
            "trust",
            "-N",
            "-k",
        ];
        server.must(lab, "initdb", &init);
        let started = server.start(lab);
        assert!(started.is_ok(), "{started:?}");
        server
            .ask(
                lab,
                "CREATE EXTENSION amcheck; CREATE TABLE proof (n BIGINT PRIMARY KEY, payload TEXT)",
            )
            .unwrap();
        server
    }

    /// Starts it and waits until it takes sessions; else what its log says.
    fn start(&self, lab: &Lab) -> Result<(), String> {
        let log = format!("/run/postgresql/{}.log", self.port);
        let options = format!(
            "-p {} -k {SOCKETS} -c listen_addresses= -c shared_buffers=16MB -c min_wal_size=2MB -c max_wal_size=16MB \
             -c checkpoint_timeout=30s -c full_page_writes=on -c dynamic_shared_memory_type=sysv",
            self.port
        );
        let args = [
            "-D", &self.data, "-w", "-t", "60", "-l", &log, "-o", &options, "start",
        ];
        let (well, said) = self.run(lab, "pg_ctl", &args);
        if well {
            return Ok(());
        }
        Err(format!(
            "{said}: {}",
            lab.sh(DB, &format!("tail -5 {log}")).1
        ))
    }

    pub fn stop(&self, lab: &Lab) {
        self.run(
            lab,
            "pg_ctl",
            &["-D", &self.data, "-m", "fast", "-w", "stop"],
        );
    }

    pub fn client(&self, lab: &Lab) -> Command {
        let mut client = self.program(lab, "psql");
        client.args(["-X", "-A", "-t", "-q", "-h", SOCKETS, "-d", "postgres"]);
        client.args(["-v", "ON_ERROR_STOP=1", "-p", &self.port.to_string()]);
        client
    }

    pub fn ask(&self, lab: &Lab, sql: &str) -> Result<String, String> {
        let output = self.client(lab).args(["-c", sql]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Clients that insert row by row and take a row as acknowledged when its commit was.
    pub fn load(&self, lab: &Lab, clients: u64) -> Load {
        Load::new(clients, |_, turn| {
            let mut client = self.client(lab);
            let mut child = client
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            std::thread::spawn(move || {
                let mut to = child.stdin.take().unwrap();
                let mut from = BufReader::new(child.stdout.take().unwrap()).lines();
                let acks = turn.take(|n| {
                    writeln!(
                        to,
                        "INSERT INTO proof VALUES ({n}, repeat('{n:08} ', 30));\nSELECT {n};"
                    )
                    .unwrap();
                    assert_eq!(from.next().unwrap().unwrap(), n.to_string());
                });
                drop(to);
                child.wait().unwrap();
                acks
            })
        })
    }
}

/// Everything that is wrong with the copies of both volumes mounted at these places.
fn examine(lab: &Lab, port: u16, data: &str, wal: &str, expected: &Expected<'_>) -> Vec<String> {
    let copy = Server {
        bin: programs().expect("a server"),
        data: format!("{data}/pg"),
        port,
    };
    // The link to the WAL leads to the original's place.
    lab.must(
        DB,
        &format!("rm -f {0}/pg_wal {0}/postmaster.pid && ln -s {wal}/pgwal {0}/pg_wal && chown -h postgres:postgres {0}/pg_wal", copy.data),
    );
    let mut complaints = Vec::new();
    if let Err(why) = copy.start(lab) {
        return vec![format!("the server does not start on the copy: {why}")];
    }
    let port = port.to_string();
    let check = [
        "-h",
        SOCKETS,
        "-p",
        &port,
        "-d",
        "postgres",
        "--heapallindexed",
    ];
    let (well, said) = copy.run(lab, "pg_amcheck", &check);
    if !well {
        complaints.push(format!("pg_amcheck: {said}"));
    }
    match copy.ask(
        lab,
        "SELECT n FROM proof WHERE payload = repeat(lpad(n::text, 8, '0') || ' ', 30)",
    ) {
        Ok(rows) => {
            let there: BTreeSet<u64> = rows.lines().map(|row| row.parse().unwrap()).collect();
            expected.compare("rows", expected.rows, &there, &mut complaints);
        }
        Err(why) => complaints.push(format!("SELECT: {why}")),
    }
    copy.stop(lab);
    // Every page, also those that nobody has read.
    let (well, said) = copy.run(lab, "pg_checksums", &["-c", "-D", &copy.data]);
    if !well {
        complaints.push(format!("pg_checksums: {said}"));
    }
    complaints
}

/// One set under load, restored through freezeframe, and examined.
fn proven(lab: &Lab, console: &Console, server: &Server, number: u16, args: &[&str]) {
    server.ask(lab, "TRUNCATE proof").unwrap();
    let load = server.load(lab, 4);
    load.advance(100);
    let outer = lab.outer_thaw(DB, &["/data/db", "/data/files"]);
    let answer = console
        .snapshot(DB, &[&["--recipe", "linux-postgresql"], args].concat())
        .wait();
    outer.unused();
    load.advance(3);
    let rows = load.stop();
    let (job, restore) = application_set(console, &answer);
    let set = text(&job["job"]);
    let under = format!("/restore{number}");
    let mut run = vec![
        "restore",
        "run",
        "--set",
        &set,
        "--instance",
        DB,
        "--mount-under",
        &under,
        "--yes",
    ];
    run.extend(restore.iter().map(String::as_str));
    let restored = console.run(&run);
    assert_eq!(restored.code, 0, "{restored:?}");
    let plan = restored.json()["plan"]["items"].clone();
    let place_of = |volume: &str| {
        let item = plan
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["source"] == volume);
        text(&item.unwrap_or_else(|| panic!("{volume} is not in {plan:#}"))["mount"])
    };
    let release = at(&console.proof(&job), "release");
    let expected = Expected {
        rows: &rows,
        files: &[],
        before_ms: release,
        after_ms: release,
    };
    let places = [place_of(DB_XFS), place_of(DB_EXT4)];
    // The directories above the mounts are made for root alone.
    lab.must(DB, &format!("chmod 755 {under}"));
    let complaints = examine(lab, 5500 + number, &places[0], &places[1], &expected);
    assert!(complaints.is_empty(), "{complaints:#?}");
    let before = rows.iter().filter(|ack| ack.acked_ms <= release).count();
    println!(
        "{args:?}: freeze_window_ms {} | {before} of {} rows acknowledged before the release, all in the copy",
        job["freeze_window_ms"],
        rows.len()
    );
    assert!(before > 100, "{before}");
    lab.must(DB, &format!("umount {} {}", places[0], places[1]));
}

#[test]
#[ignore = "needs root and loop devices"]
fn p13_postgresql_end_to_end() {
    needs_postgresql();
    let lab = Lab::start();
    let console = Console::new(&lab);
    let server = Server::create(&lab);
    proven(&lab, &console, &server, 1, &[]);
    proven(&lab, &console, &server, 2, &["--mode", "autonomous"]);
    server.stop(&lab);
    lab.released(DB, &["/data/db", "/data/files"]);
    lab.finish();
}

/// Copies both volumes slowly, mounts the copies, and examines them.
fn copied(lab: &Lab, number: u16, stop: impl FnOnce() -> Vec<Ack>) -> Vec<String> {
    let began = uptime_ms();
    let [xfs, ext4] = [(DB_XFS, "xfs"), (DB_EXT4, "ext4")].map(|(volume, name)| {
        let copy = lab.notes().join(name);
        slow_copy(&lab.image(volume), &copy, u64::from(number));
        lab.disk(DB, &copy)
    });
    let rows = stop();
    let (mounted, said) = lab.sh(
        DB,
        &format!(
            "mkdir -p /control/xfs /control/ext4 && mount -o nouuid {xfs} /control/xfs && \
             mount {ext4} /control/ext4 && test -d /control/xfs/pg && test -d /control/ext4/pgwal"
        ),
    );
    let found = if mounted {
        let expected = Expected {
            rows: &rows,
            files: &[],
            before_ms: began,
            after_ms: u64::MAX,
        };
        examine(
            lab,
            5600 + number,
            "/control/xfs",
            "/control/ext4",
            &expected,
        )
    } else {
        vec![format!("the copy cannot be mounted: {said}")]
    };
    lab.sh(DB, "umount /control/xfs; umount /control/ext4");
    lab.no_disk(DB, &xfs);
    lab.no_disk(DB, &ext4);
    found
}

#[test]
#[ignore = "needs root and loop devices"]
fn p13_postgresql_negative_control_slow_copy_without_freeze_fails() {
    needs_postgresql();
    let lab = Lab::start();
    let server = Server::create(&lab);
    let mut torn = Vec::new();
    // One copy may be lucky.
    for attempt in 0..4 {
        server.ask(&lab, "TRUNCATE proof").unwrap();
        let load = server.load(&lab, 4);
        load.advance(100);
        torn = copied(&lab, attempt, || load.stop());
        if !torn.is_empty() {
            break;
        }
    }
    println!("the control fails, as it must: {torn:#?}");
    assert!(
        !torn.is_empty(),
        "four torn copies passed every check: the check proves nothing"
    );

    // And it fails for that reason: the same copy of the same volumes at rest passes.
    server.ask(&lab, "TRUNCATE proof").unwrap();
    let load = server.load(&lab, 4);
    load.advance(100);
    let rows = load.stop();
    server.stop(&lab);
    lab.must(DB, "sync -f /data/db; sync -f /data/files");
    let found = copied(&lab, 9, || rows);
    assert!(
        found.is_empty(),
        "a copy at rest is found wanting: {found:#?}"
    );
    lab.released(DB, &["/data/db", "/data/files"]);
    lab.finish();
}
