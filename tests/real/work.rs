//! What an instance is busy with: a MariaDB or MySQL server, clients that note each acknowledged row, writers that note each
//! file that is safely on disk. The notes are kept in this process, far from the volumes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::lab::{Lab, PATH, PATIENCE, pid, uptime_ms, wait, wait_for};
use super::worlds::DB;

/// Where the recipe looks by itself.
pub const SOCKET: &str = "/run/mysqld/mysqld.sock";
/// One table per engine; row `n` is in table `n % 3`. MySQL has no Aria: there the third is InnoDB's too.
pub const TABLES: [&str; 3] = ["in_innodb", "in_myisam", "in_aria"];

const MARIADB_OPTIONS: &[&str] = &["--innodb-log-file-size=16M", "--aria-recover-options=OFF"];
const MYSQL_OPTIONS: &[&str] = &[
    "--mysqlx=OFF",
    "--secure-file-priv=",
    "--log-bin=bin",
    "--server-id=7",
    "--innodb-redo-log-capacity=16M",
];

/// What is installed decides: one machine cannot have both.
pub fn is_mysql() -> bool {
    let there = |program: &str| {
        PATH.split(':')
            .any(|dir| Path::new(dir).join(program).exists())
    };
    there("mysqld") && !there("mariadbd")
}

/// A MariaDB or MySQL server inside the database instance.
pub struct Server {
    child: Child,
    socket: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server on a data directory. Nothing is repaired on the way: a damaged table stays damaged.
    pub fn start(lab: &Lab, datadir: &str, name: &str) -> Self {
        let socket = format!("/run/mysqld/{name}.sock");
        let log = format!("/tmp/{name}.log");
        lab.must(DB, "mkdir -p /run/mysqld");
        let (program, own) = if is_mysql() {
            ("mysqld", MYSQL_OPTIONS)
        } else {
            ("mariadbd", MARIADB_OPTIONS)
        };
        let child = lab
            .inside(DB, program)
            .args(["--no-defaults", "--user=root", "--skip-networking"])
            .args([format!("--datadir={datadir}"), format!("--socket={socket}")])
            .arg(format!("--pid-file=/run/mysqld/{name}.pid"))
            .arg(format!("--log-error={log}"))
            .args([
                "--tmpdir=/run/mysqld",
                "--innodb-buffer-pool-size=32M",
                "--myisam-recover-options=OFF",
            ])
            .args(own)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = lab.path(DB, &log);
        Self { child, socket, log }
    }

    /// Whether it came up; false when it ended, or did not answer in time.
    pub fn is_up(&mut self, lab: &Lab) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE && self.child.try_wait().unwrap().is_none() {
            if self.ask(lab, "SELECT 1") == (true, "1".to_owned()) {
                return true;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        false
    }

    /// One statement in a session of its own.
    pub fn ask(&self, lab: &Lab, sql: &str) -> (bool, String) {
        let output = client(lab, &self.socket)
            .args(["-e", sql])
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).trim().to_owned(),
        )
    }

    pub fn must(&self, lab: &Lab, sql: &str) -> String {
        let (well, said) = self.ask(lab, sql);
        assert!(well, "{sql}: {said}");
        said
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Shuts it down, by force if it does not listen.
    pub fn stop(mut self, lab: &Lab) {
        if !self.ask(lab, "SHUTDOWN").0 {
            let children = format!("/proc/{0}/task/{0}/children", self.child.id());
            for process in fs::read_to_string(children)
                .unwrap_or_default()
                .split_whitespace()
            {
                kill_process(pid(process.parse().unwrap()), Signal::KILL).ok();
            }
        }
        wait(&mut self.child, "the server's end");
    }
}

/// The server's own command line client, for scripts.
pub fn client(lab: &Lab, socket: &str) -> std::process::Command {
    let mut client = lab.inside(DB, if is_mysql() { "mysql" } else { "mariadb" });
    client.args([
        "--no-defaults",
        "--user=root",
        "--batch",
        "--skip-column-names",
        "--unbuffered",
    ]);
    client.arg(format!("--socket={socket}"));
    client
}

/// A new data directory with one table per engine, and a server on it at the recipe's default socket.
pub fn database(lab: &Lab, datadir: &str) -> Server {
    let new = if is_mysql() {
        "mysqld --no-defaults --initialize-insecure --secure-file-priv= --innodb-redo-log-capacity=16M"
    } else {
        "mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db \
         --innodb-log-file-size=16M"
    };
    lab.must(
        DB,
        &format!("mkdir -p {datadir} && {new} --user=root --datadir={datadir} 2>&1"),
    );
    let mut server = Server::start(lab, datadir, "mysqld");
    assert!(
        server.is_up(lab),
        "the server does not start: {}",
        server.log()
    );
    server.must(lab, "CREATE DATABASE proof");
    let third = if is_mysql() { "InnoDB" } else { "Aria" };
    for (table, engine) in TABLES.iter().zip(["InnoDB", "MyISAM", third]) {
        let columns = "n BIGINT PRIMARY KEY, payload VARCHAR(300), KEY (payload(20))";
        server.must(
            lab,
            &format!("CREATE TABLE proof.{table} ({columns}) ENGINE={engine}"),
        );
    }
    server
}

/// One thing that its writer knows to be safe.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    pub n: u64,
    /// When it was asked for and when it was acknowledged, by the clock of [`uptime_ms`].
    pub sent_ms: u64,
    pub acked_ms: u64,
    pub took: Duration,
}

/// What a content must be, so that a torn one is seen.
pub fn content(n: u64) -> String {
    format!("{n:016x}").repeat(256)
}

/// Writers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// How much each has acknowledged so far.
    done: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<Vec<Ack>>>,
}

impl Load {
    /// As many writers as this starts.
    pub fn new(writers: u64, start: impl Fn(u64, Turn) -> JoinHandle<Vec<Ack>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self {
            stop: Arc::clone(&stop),
            done: Vec::new(),
            threads: Vec::new(),
        };
        let next = Arc::new(AtomicU64::new(1));
        for writer in 0..writers {
            let done = Arc::new(AtomicU64::new(0));
            load.done.push(Arc::clone(&done));
            let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
            load.threads.push(start(writer, Turn { stop, next, done }));
        }
        load
    }

    /// Clients that insert row by row and take a row as acknowledged when the server has answered.
    pub fn rows(lab: &Lab, clients: u64) -> Self {
        Self::new(clients, |_, turn| {
            let mut client = client(lab, SOCKET);
            let mut child = client
                .arg("proof")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            std::thread::spawn(move || {
                let mut to = child.stdin.take().unwrap();
                let mut from = BufReader::new(child.stdout.take().unwrap()).lines();
                let acks = turn.take(|n| {
                    let table = TABLES[(n % 3) as usize];
                    writeln!(
                        to,
                        "INSERT INTO {table} VALUES ({n}, REPEAT('{n:08} ', 30)); SELECT {n};"
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

    /// Writers that take a file as acknowledged when it and its name are on disk.
    pub fn files(directory: &Path, writers: u64) -> Self {
        Self::new(writers, |writer, turn| {
            let directory = directory.join(format!("writer-{writer}"));
            std::thread::spawn(move || {
                fs::create_dir_all(&directory).unwrap();
                turn.take(|n| {
                    let mut file = File::create(directory.join(n.to_string())).unwrap();
                    file.write_all(content(n).as_bytes()).unwrap();
                    file.sync_all().unwrap();
                    File::open(&directory).unwrap().sync_all().unwrap();
                })
            })
        })
    }

    /// Waits until every writer has got this much further than now: none is stuck.
    pub fn advance(&self, by: u64) {
        for done in &self.done {
            let from = done.load(Ordering::SeqCst);
            wait_for("the writers' next step", || {
                done.load(Ordering::SeqCst) >= from + by
            });
        }
    }

    /// Ends the writers; everything acknowledged, in the order of time.
    pub fn stop(mut self) -> Vec<Ack> {
        self.stop.store(true, Ordering::SeqCst);
        let threads = std::mem::take(&mut self.threads);
        let mut acks: Vec<Ack> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        acks.sort_by_key(|ack| (ack.acked_ms, ack.n));
        acks
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A failed test must not leave writers in the way of the unmount.
        self.stop.store(true, Ordering::SeqCst);
        for thread in std::mem::take(&mut self.threads) {
            let _ = thread.join();
        }
    }
}

/// What a writer works from.
pub struct Turn {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
}

impl Turn {
    /// Writes until it is told to stop; what was acknowledged.
    pub fn take(&self, mut write: impl FnMut(u64)) -> Vec<Ack> {
        let mut acks = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            let n = self.next.fetch_add(1, Ordering::SeqCst);
            let (sent_ms, began) = (uptime_ms(), Instant::now());
            write(n);
            acks.push(Ack {
                n,
                sent_ms,
                acked_ms: uptime_ms(),
                took: began.elapsed(),
            });
            self.done.fetch_add(1, Ordering::SeqCst);
        }
        acks
    }
}
