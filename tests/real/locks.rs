//! Promises 2, 8 and 9 with a real MariaDB: the failsafe before the lock, the order of everything as witnesses see it, and
//! a lock that gives up in time and harms nobody.

use std::fs;
use std::process::Stdio;
use std::thread::JoinHandle;

use serde_json::Value;

use super::agent::{Agent, Ran};
use super::console::Console;
use super::lab::{Lab, needs, uptime_ms, wait_for};
use super::probe::Probe;
use super::shims::{self, Seen};
use super::work::{self, Ack, Load, Server, TABLES, database};
use super::worlds::DB;

const DATABASE: [&str; 2] = ["mariadbd", "mariadb-install-db"];
const MOUNTS: [&str; 2] = ["/data/db", "/data/files"];

/// Waits for the lab to begin to store a set; when, by the clock of [`uptime_ms`], which the witnesses have too: the
/// time of day may be set anew between a set and the look at it.
fn stored_ms(lab: &Lab) -> JoinHandle<u64> {
    let sets = lab.sets_path();
    let before = lab.sets();
    std::thread::spawn(move || {
        wait_for("the set", || {
            fs::read_dir(&sets).is_ok_and(|found| found.count() > before)
        });
        uptime_ms()
    })
}

/// What the witnesses saw, without the device numbers and without what repeats itself.
fn words(seen: &[Seen]) -> Vec<&str> {
    let mut words: Vec<&str> = seen
        .iter()
        .map(|seen| seen.what.split('=').next().unwrap_or_default())
        .collect();
    words.dedup();
    words
}

#[test]
#[ignore = "needs root and loop devices"]
fn p08_order_as_seen_from_outside() {
    needs(&DATABASE);
    let lab = Lab::start();
    let console = Console::new(&lab);
    let server = database(&lab, "/data/db/mysql");
    shims::freezes(&lab, DB);
    shims::locks(&lab, DB);
    shims::replace(&lab, DB, "sync", "note sync\nexec \"$REAL\" \"$@\"");
    let outer = lab.outer_thaw(DB, &MOUNTS);
    let stored = stored_ms(&lab);
    let answer = console.snapshot(DB, &[]).wait();
    outer.unused();
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(answer.job()["verdict"], "application", "{answer:?}");

    let stored = stored.join().unwrap();
    let mut seen = shims::seen(&lab, DB);
    // Flushes of the preflight and before the lock are nobody's business.
    let lock = seen
        .iter()
        .position(|seen| seen.what == "lock")
        .expect("a lock");
    let before = seen.drain(..lock).collect::<Vec<_>>();
    assert!(
        before.iter().all(|seen| seen.what == "sync"),
        "before the lock: {before:#?}"
    );
    println!("{:?}, stored at {stored}: {seen:#?}", words(&seen));
    // The set is no program of the instance: it takes its place by the clock, which both sides share (steps of 10 ms,
    // and a network's delay between it and its neighbours).
    let late = |seen: &Seen| seen.ms > stored;
    let place = seen.iter().position(late).expect("something after the set");
    seen.insert(
        place,
        Seen {
            ms: stored,
            what: "set".to_owned(),
            guard: seen[place].guard.clone(),
        },
    );
    assert_eq!(
        words(&seen),
        ["lock", "sync", "freeze", "set", "thaw", "unlock"],
        "{seen:#?}"
    );
    // Each once, and the same ones.
    let devices = |word: &str| {
        let of = seen.iter().filter(|seen| seen.what.starts_with(word));
        of.map(|seen| seen.what.split('=').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (mut frozen, mut thawed) = (devices("freeze="), devices("thaw="));
    frozen.sort_unstable();
    thawed.sort_unstable();
    assert_eq!(frozen.len(), 2, "{seen:#?}");
    assert_eq!(frozen, thawed, "{seen:#?}");
    // From the lock to the unlock one and the same failsafe is there, in reach of nobody.
    let inherited = shims::inherited(&lab, DB);
    let first = seen[0].guard.clone().expect("no failsafe at the lock");
    for moment in &seen {
        let guard = moment.guard.as_ref();
        let guard = guard.unwrap_or_else(|| panic!("no failsafe at {moment:?}"));
        assert_eq!(guard.pid, first.pid, "{moment:?}");
        guard.is_detached(&inherited);
    }
    // Disarmed last.
    let (running, said) = lab.sh(DB, "pgrep -fa -- ' -[-]guard '");
    assert!(!running, "{said}");
    lab.must(DB, "umount /run/cannot");
    server.stop(&lab);
    lab.released(DB, &MOUNTS);
    lab.finish();
}

/// From when to when the lock was tried for, by the clock of [`uptime_ms`]: events and writers have the same.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    from: u64,
    to: u64,
}

impl Tried {
    /// Of a command that got no lock in so many tries, each of which may wait for `wait_s` seconds. What is more than
    /// that is not the server's wait: two seconds in which a client may still tell of its end, and one for a busy
    /// machine.
    pub fn in_vain(pre: &Ran, tries: u32, wait_s: u64) -> Self {
        let ms = |name: &str| pre.the(name)["ms"].as_u64().unwrap();
        let tried = Self {
            from: ms("flushed"),
            to: ms("lock-timeout"),
        };
        assert_eq!(pre.the("lock-timeout")["tries"], tries, "{pre:#?}");
        let limit = u64::from(tries) * (wait_s + 3) * 1_000;
        assert!(tried.to - tried.from <= limit, "{tried:?}: {pre:#?}");
        tried
    }

    /// Nobody's statement began before the tries and ended after them: whoever waited for one of them had its turn
    /// before the next.
    pub fn harmed_nobody(self, acks: &[Ack]) {
        let through = |ack: &&Ack| ack.sent_ms < self.from && ack.acked_ms > self.to;
        let stuck: Vec<_> = acks.iter().filter(through).collect();
        assert!(stuck.is_empty(), "{self:?}: {stuck:?}");
        let meanwhile = |ack: &&Ack| ack.acked_ms > self.from && ack.acked_ms < self.to;
        assert!(acks.iter().any(|ack| meanwhile(&ack)), "{self:?}");
    }
}

/// Everybody's sessions, as the server shows them: the same before and after, when none was ended and none is left.
const SESSIONS: &str = "SELECT GROUP_CONCAT(id ORDER BY id) FROM information_schema.processlist \
     WHERE id <> CONNECTION_ID() AND user <> 'system user' AND command <> 'Daemon'";

/// Something in the way of a global lock for as long as it is held.
struct Blocker(std::process::Child);

impl Blocker {
    /// Runs these statements in a session that stays open, and waits until the server shows them as this.
    fn start(lab: &Lab, server: &Server, sql: &str, shown: &str) -> Self {
        let mut client = work::client(lab, work::SOCKET);
        let mut child = client
            .arg("proof")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        std::io::Write::write_all(stdin, format!("{sql};\n").as_bytes()).unwrap();
        wait_for("the long write", || {
            server.ask(lab, shown) == (true, "1".to_owned())
        });
        Self(child)
    }

    fn end(mut self, lab: &Lab, server: &Server) {
        let (_, sessions) = server.ask(
            lab,
            "SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(300)%' AND id <> CONNECTION_ID()",
        );
        for session in sessions.lines() {
            server.ask(lab, &format!("KILL {session}"));
        }
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// A write that goes on and on, and a lock that somebody has forgotten: the one is seen to be long, the other is only
/// felt by whoever queues behind it.
const LONG: [(&str, &str, &str, u32); 2] = [
    (
        "a long write",
        "INSERT INTO slow SELECT SLEEP(300)",
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO slow%' AND time >= 2",
        2,
    ),
    (
        "a forgotten lock",
        "LOCK TABLES forgotten WRITE",
        "SELECT COUNT(*) FROM information_schema.metadata_lock_info WHERE table_name = 'forgotten'",
        1,
    ),
];

/// The console says so, and takes nothing.
fn told_by(console: &Console) {
    let answer = console
        .snapshot(DB, &["--max-freeze", "8s", "--on-failure", "skip"])
        .wait();
    let job = answer.job();
    assert_eq!(job["error"]["code"], "lock-timeout", "{answer:?}");
    assert_ne!(job["verdict"], "application", "{answer:?}");
    assert_eq!(job["set"], Value::Array(Vec::new()), "{answer:?}");
    assert_eq!(job["thaw_unconfirmed"], false, "{answer:?}");
}

#[test]
#[ignore = "needs root and loop devices"]
fn p09_lock_gives_up_within_its_limit_and_harms_nobody() {
    needs(&DATABASE);
    let lab = Lab::start();
    let agent = Agent::of(&lab);
    let console = Console::new(&lab);
    let server = database(&lab, "/data/db/mysql");
    server.must(&lab, "INSTALL SONAME 'metadata_lock_info'");
    server.must(
        &lab,
        "CREATE TABLE proof.slow (n INT); CREATE TABLE proof.forgotten (n INT)",
    );
    let probes = MOUNTS.map(|mount| Probe::start(&lab, DB, mount));
    let rows = Load::rows(&lab, 4);
    rows.advance(20);
    let outer = lab.outer_thaw(DB, &MOUNTS);
    let killed = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'COM_KILL'";
    let mut tried = Vec::new();
    for (what, sql, shown, retries) in LONG {
        let blocker = Blocker::start(&lab, &server, sql, shown);
        let (wait_s, budget_s) = ("1", "20");
        let sessions = server.must(&lab, SESSIONS);
        let kills = server.must(&lab, killed);
        let began = uptime_ms();
        let command = agent.send(
            DB,
            "linux-mysql",
            &[
                ("command", "pre-script"),
                ("lockWaitSeconds", wait_s),
                ("lockRetries", &retries.to_string()),
                ("budgetSeconds", budget_s),
            ],
        );
        // Others go on, during and after: none of them waits for the end of what is in the way.
        rows.advance(10);
        let pre = agent.wait(&command, DB);
        println!(
            "{what}, {retries} retries: {} ms, {:?}",
            uptime_ms() - began,
            pre.order()
        );
        assert_eq!(
            (pre.code, pre.errors()),
            (201, vec!["lock-timeout"]),
            "{pre:#?}"
        );
        tried.push(Tried::in_vain(&pre, retries + 1, 1));
        assert_eq!(
            pre.all("locked").count() + pre.all("frozen").count(),
            0,
            "{pre:#?}"
        );
        assert_eq!(pre.the("disarmed")["fired"], Value::from(false), "{pre:#?}");
        rows.advance(10);
        // Not even what is in the way.
        assert_eq!(server.ask(&lab, shown), (true, "1".to_owned()), "{what}");
        wait_for("the sessions as before", || {
            server.must(&lab, SESSIONS) == sessions
        });
        assert_eq!(server.must(&lab, killed), kills, "{what}: a KILL");
        if what == "a long write" {
            told_by(&console);
        }
        blocker.end(&lab, &server);
        rows.advance(10);
    }
    outer.unused();
    for probe in &probes {
        assert!(!probe.seen_frozen(), "frozen without the lock");
    }
    // With nothing in the way it gets its lock: nothing of the failed attempts is left on the server.
    let outer = lab.outer_thaw(DB, &MOUNTS);
    let answer = console.snapshot(DB, &[]).wait();
    outer.unused();
    assert_eq!(
        (answer.code, &answer.job()["verdict"]),
        (0, &Value::from("application")),
        "{answer:?}"
    );
    rows.advance(3);
    // Every writer got every acknowledgement: `stop` would not return otherwise. And what was acknowledged is there.
    let acks = rows.stop();
    for tried in tried {
        tried.harmed_nobody(&acks);
    }
    let counts = TABLES.map(|table| format!("(SELECT COUNT(*) FROM proof.{table})"));
    let there = server.must(&lab, &format!("SELECT {}", counts.join(" + ")));
    assert_eq!(there, acks.len().to_string(), "somebody's statement failed");
    let stall = acks.iter().map(|ack| ack.took).max().unwrap_or_default();
    println!(
        "{} rows, the longest wait of a client {} ms",
        acks.len(),
        stall.as_millis()
    );
    drop(probes);
    server.stop(&lab);
    lab.released(DB, &MOUNTS);
    lab.finish();
}
