//! Promise 9 with a real PostgreSQL: other people's transactions, locks and backups are no hindrance and are not harmed,
//! and a checkpoint that does not come makes the recipe give up within its limit.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use super::agent::Agent;
use super::console::Console;
use super::lab::{Lab, uptime_ms, wait_for};
use super::locks::Tried;
use super::postgresql::{SOCKETS, Server, needs_postgresql};
use super::probe::Probe;
use super::work::Load;
use super::worlds::DB;

const MOUNTS: [&str; 2] = ["/data/db", "/data/files"];
const RECIPE: [&str; 2] = ["--recipe", "linux-postgresql"];

/// A session that stays open.
struct Session {
    child: Child,
    from: Lines<BufReader<ChildStdout>>,
}

impl Session {
    fn open(lab: &Lab, server: &Server) -> Self {
        let mut client = server.client(lab);
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let from = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, from }
    }

    /// Says this, whose last statement answers with one line.
    fn say(&mut self, sql: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql}").unwrap();
        self.from.next().expect("an answer").unwrap()
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// What others are busy with for the whole time.
struct Others {
    open: Session,
    long: Child,
    backup: Child,
}

impl Others {
    /// A transaction with much that is not committed and a lock that nobody passes, a statement that goes on and on, and
    /// a base backup that somebody else takes.
    fn start(lab: &Lab, server: &Server) -> Self {
        let mut open = Session::open(lab, server);
        let locked = open.say(
            "BEGIN; INSERT INTO slow SELECT generate_series(1, 5000); \
             LOCK TABLE forgotten IN ACCESS EXCLUSIVE MODE; SELECT 'locked';",
        );
        assert_eq!(locked, "locked");
        let long = server
            .client(lab)
            .args(["-c", "INSERT INTO slow SELECT 1 FROM pg_sleep(300)"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let place = format!("{SOCKETS}/backup");
        let backup = server
            .program(lab, "pg_basebackup")
            .args(["-h", SOCKETS, "-D", &place, "-X", "none"])
            .args(["-c", "fast", "--max-rate=32"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let others = Self { open, long, backup };
        wait_for("the others at work", || others.at_work(lab, server));
        others
    }

    /// All three, by what the server shows.
    fn at_work(&self, lab: &Lab, server: &Server) -> bool {
        let shown = "SELECT (SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO slow SELECT 1%' AND state = 'active'), \
             (SELECT COUNT(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'), \
             (SELECT COUNT(*) FROM pg_locks WHERE relation = 'forgotten'::regclass AND mode = 'AccessExclusiveLock' AND granted)";
        server.ask(lab, shown) == Ok("1|1|1".to_owned())
    }

    /// Ends them: the transaction commits as if nothing had been.
    fn end(mut self, lab: &Lab, server: &Server) {
        assert!(self.at_work(lab, server), "others were harmed");
        assert_eq!(
            self.open.say("COMMIT; SELECT COUNT(*) FROM slow;"),
            "5000",
            "the transaction was harmed"
        );
        self.open.end();
        for kind in [
            "query LIKE 'INSERT INTO slow SELECT 1%'",
            "backend_type = 'walsender'",
        ] {
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {kind} AND pid <> pg_backend_pid()"
            );
            assert_eq!(server.ask(lab, &end), Ok("t".to_owned()));
        }
        self.long.wait().unwrap();
        self.backup.wait().unwrap();
    }
}

/// A set is taken, while the writers go on.
fn succeeds(lab: &Lab, console: &Console, rows: &Load) {
    let outer = lab.outer_thaw(DB, &MOUNTS);
    let answer = console.snapshot(DB, &RECIPE).wait();
    outer.unused();
    assert_eq!(
        (answer.code, &answer.job()["verdict"]),
        (0, &Value::from("application")),
        "{answer:?}"
    );
    rows.advance(10);
}

/// Nothing of ours is left on the server.
fn no_session(lab: &Lab, server: &Server) {
    let ours = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'freezeframe'";
    wait_for("the end of our sessions", || {
        server.ask(lab, ours) == Ok("0".to_owned())
    });
}

/// Everybody's sessions, as the server shows them.
const SESSIONS: &str = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity \
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";

/// No checkpoint ends while this is so: the way a hung disk looks to whoever asks for a backup.
fn gives_up(lab: &Lab, agent: &Agent, server: &Server, rows: &Load, retries: u32) -> Tried {
    let began = uptime_ms();
    let sessions = server.ask(lab, SESSIONS).unwrap();
    let command = agent.send(
        DB,
        "linux-postgresql",
        &[
            ("command", "pre-script"),
            ("lockWaitSeconds", "1"),
            ("lockRetries", &retries.to_string()),
            ("budgetSeconds", "20"),
        ],
    );
    // Others go on, during and after.
    rows.advance(10);
    let pre = agent.wait(&command, DB);
    println!(
        "{retries} retries: {} ms, {:?}",
        uptime_ms() - began,
        pre.order()
    );
    assert_eq!(
        (pre.code, pre.errors()),
        (201, vec!["lock-timeout"]),
        "{pre:#?}"
    );
    let tried = Tried::in_vain(&pre, retries + 1, 1);
    assert_eq!(
        pre.all("locked").count() + pre.all("frozen").count(),
        0,
        "{pre:#?}"
    );
    assert_eq!(pre.the("disarmed")["fired"], Value::from(false), "{pre:#?}");
    rows.advance(10);
    no_session(lab, server);
    wait_for("the sessions as before", || {
        server.ask(lab, SESSIONS).as_ref() == Ok(&sessions)
    });
    tried
}

#[test]
#[ignore = "needs root and loop devices"]
fn p09_postgresql_gives_up_within_its_limit_and_harms_nobody() {
    needs_postgresql();
    let lab = Lab::start();
    let agent = Agent::of(&lab);
    let console = Console::new(&lab);
    let server = Server::create(&lab);
    server
        .ask(
            &lab,
            "CREATE TABLE slow (n INT); CREATE TABLE forgotten (n INT)",
        )
        .unwrap();
    let rows = server.load(&lab, 4);
    rows.advance(20);

    let others = Others::start(&lab, &server);
    succeeds(&lab, &console, &rows);
    others.end(&lab, &server);

    let probes = MOUNTS.map(|mount| Probe::start(&lab, DB, mount));
    let checkpointer = server
        .ask(
            &lab,
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
        )
        .unwrap();
    assert!(checkpointer.parse::<u32>().is_ok(), "{checkpointer}");
    let outer = lab.outer_thaw(DB, &MOUNTS);
    lab.must(DB, &format!("kill -STOP {checkpointer}"));
    let tried = [0, 2].map(|retries| gives_up(&lab, &agent, &server, &rows, retries));
    // The console says so, and takes nothing.
    let only = [&RECIPE[..], &["--max-freeze", "8s", "--on-failure", "skip"]].concat();
    let answer = console.snapshot(DB, &only).wait();
    let job = answer.job();
    assert_eq!(job["error"]["code"], "lock-timeout", "{answer:?}");
    assert_ne!(job["verdict"], "application", "{answer:?}");
    assert_eq!(job["set"], Value::Array(Vec::new()), "{answer:?}");
    assert_eq!(job["thaw_unconfirmed"], false, "{answer:?}");
    lab.must(DB, &format!("kill -CONT {checkpointer}"));
    outer.unused();
    for probe in &probes {
        assert!(!probe.seen_frozen(), "frozen without the backup");
    }
    rows.advance(10);

    // With nothing in the way it gets its backup: nothing of the failed attempts is left on the server.
    succeeds(&lab, &console, &rows);
    no_session(&lab, &server);
    // Every writer got every acknowledgement: `stop` would not return otherwise. And what was acknowledged is there.
    let acks = rows.stop();
    for tried in tried {
        tried.harmed_nobody(&acks);
    }
    let there = server.ask(&lab, "SELECT COUNT(*) FROM proof");
    assert_eq!(
        there,
        Ok(acks.len().to_string()),
        "somebody's statement failed"
    );
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
