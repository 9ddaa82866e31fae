//! Plays freezeframe's documents: the lines that docs/line-protocol.md defines, with plausible durations.

mod autonomous;
mod engine;
mod mounting;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::SimulatedRuntime;
pub(super) use engine::BaseBackup;

use super::state::{By, Hold, Machine, Mounted};
use crate::runtime::Invocation;

/// Output limits of the agent, in characters.
const STDOUT_LIMIT: usize = 24_000;
/// Version of the documents that are imitated.
const DOCUMENT_VERSION: u32 = 4;

/// One performance of one command.
pub(super) struct Play<'a> {
    runtime: &'a SimulatedRuntime,
    invocation: &'a Invocation,
    job: String,
    out: String,
    err: String,
    holding: bool,
}

impl<'a> Play<'a> {
    pub(super) fn new(runtime: &'a SimulatedRuntime, invocation: &'a Invocation) -> Self {
        let mut play = Self {
            runtime,
            invocation,
            job: String::new(),
            out: String::new(),
            err: String::new(),
            holding: false,
        };
        play.job = match play.parameter("executionId") {
            // A set of its own for each time that a maintenance window calls.
            "" | "None" if play.parameter("command") == "snapshot" => play.new_id(),
            "" | "None" => "dlm".to_owned(),
            id => id.to_owned(),
        };
        play
    }

    /// A random UUID, as the instance's kernel makes one.
    fn new_id(&self) -> String {
        let random = self.runtime.books().rng.u128(..);
        uuid::Builder::from_random_bytes(random.to_be_bytes())
            .into_uuid()
            .to_string()
    }

    pub(super) fn stdout(&self) -> String {
        self.out.chars().take(STDOUT_LIMIT).collect()
    }

    pub(super) fn stderr(&self) -> String {
        self.err.clone()
    }

    /// Plays to the end and returns the exit code.
    pub(super) async fn perform(&mut self) -> i32 {
        match self.invocation.document.strip_prefix("freezeframe-") {
            Some("linux-mount") => self.mount_document().await,
            Some(
                recipe @ ("linux-filesystem" | "linux-mysql" | "linux-postgresql" | "linux-redis"
                | "linux-mongodb"),
            ) => self.recipe(recipe).await,
            _ => self.shell().await,
        }
    }

    /// SIGKILL came before `ready`: the holder notices and lets go of everything.
    pub(super) fn killed(&mut self) {
        if self.holding {
            self.release(self.now(), By::Abandoned);
        }
    }

    fn parameter(&self, name: &str) -> &str {
        self.invocation
            .parameters
            .get(name)
            .and_then(|values| values.first())
            .map_or("", String::as_str)
    }

    fn now(&self) -> DateTime<Utc> {
        self.runtime.clock.now()
    }

    /// What the instance's own clock shows.
    fn instance_time(&self) -> DateTime<Utc> {
        let skew = self.machine(|machine| machine.clock_skew);
        self.now() + skew
    }

    fn machine<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        let now = self.now();
        let mut books = self.runtime.books();
        let machine = books
            .machines
            .entry(self.invocation.instance.clone())
            .or_default();
        machine.settle(now);
        machine.meet(&self.job);
        act(machine)
    }

    async fn pause(&self, low_ms: u64, high_ms: u64) {
        let ms = self.runtime.books().rng.u64(low_ms..=high_ms);
        self.runtime.clock.sleep(Duration::from_millis(ms)).await;
    }

    fn emit(&mut self, name: &str, more: Value) {
        let seq = self.machine(|machine| machine.next_sequence(&self.job));
        // An instance that had been up for a while when the lab began.
        let ms = (self.now() - self.runtime.started).num_milliseconds() + 90_000;
        let mut event = Map::from_iter([
            ("t".to_owned(), json!(name)),
            ("seq".to_owned(), json!(seq)),
            ("ms".to_owned(), json!(ms)),
        ]);
        if let Value::Object(more) = more {
            event.extend(more);
        }
        self.out
            .push_str(&format!("FF1 {}\n", Value::Object(event)));
    }

    fn error(&mut self, code: &str, text: &str) {
        self.emit("error", json!({"code": code, "text": text}));
    }

    fn end(&mut self, outcome: &str, exit: i32) -> i32 {
        self.emit("end", json!({"outcome": outcome, "exit": exit}));
        exit
    }

    async fn recipe(&mut self, recipe: &str) -> i32 {
        let command = self.parameter("command").to_owned();
        let hello = json!({"recipe": recipe, "version": DOCUMENT_VERSION, "job": self.job, "command": command});
        self.emit("hello", hello);
        self.pause(40, 160).await;
        match command.as_str() {
            "dry-run" => self.dry_run(recipe).await,
            "pre-script" => self.pre(recipe).await,
            "post-script" => self.post().await,
            "snapshot" => self.snapshot(recipe).await,
            _ => {
                self.error(
                    "unknown-command",
                    "command is none of pre-script, post-script, dry-run, snapshot",
                );
                self.end("refused", 201)
            }
        }
    }

    /// Emits every mount; returns those that would be frozen, in the order of freezing, or the exit code of a refusal.
    fn mounts(&mut self) -> Result<Vec<Mounted>, i32> {
        let root = self.freezes_root();
        let wanted = self.parameter("mounts").to_owned();
        let wanted: Option<Vec<&str>> =
            (wanted != "auto" && !wanted.is_empty()).then(|| wanted.split(',').collect());
        let all = self.machine(|machine| machine.mounts.clone());
        let mut covered = Vec::new();
        let mut refusal = None;
        let mut notes = Vec::new();
        for mounted in all.iter().filter(|mounted| mounted.mount.starts_with('/')) {
            let asked = wanted
                .as_ref()
                .map(|wanted| wanted.contains(&mounted.mount.as_str()));
            let spoilt = all.iter().find(|other| {
                let beside = |wanted: &Vec<&str>| wanted.contains(&other.mount.as_str());
                other.volume == mounted.volume
                    && other.reason(root, wanted.as_ref().map(beside)).is_some()
            });
            let in_vain = spoilt.map(|other| {
                let other = &other.mount;
                format!("freezing it earns nothing: {other} on its volume is not frozen")
            });
            let reason = mounted.reason(root, asked);
            let warning = match (mounted.written_by_all(), &in_vain) {
                (Some(place), _) if asked == Some(true) => Some(format!(
                    "{}: the system writes to {place} on it, and stands still with it",
                    mounted.mount
                )),
                (_, Some(text)) if reason.is_none() => Some(format!("{}: {text}", mounted.mount)),
                _ => None,
            };
            let reason = reason.or(in_vain.filter(|_| wanted.is_none() && !root));
            notes.extend(warning.filter(|_| reason.is_none()));
            let mut event = json!({"mount": mounted.mount, "fs": mounted.fs, "dev": mounted.device, "volumes": [mounted.volume], "covered": reason.is_none()});
            match reason {
                None => covered.push(mounted.clone()),
                Some(reason) => {
                    event["reason"] = json!(reason);
                    if asked == Some(true) {
                        refusal = Some((
                            if mounted.mount == "/" {
                                "root-mount"
                            } else {
                                "unsupported-fs"
                            },
                            reason,
                            Some(mounted.mount.clone()),
                        ));
                    }
                }
            }
            self.emit("mount", event);
        }
        for text in notes {
            self.emit("note", json!({"text": text}));
        }
        let unknown = wanted
            .iter()
            .flatten()
            .find(|path| !all.iter().any(|mounted| mounted.mount == ***path));
        let refusal = match refusal {
            Some(refusal) => Some(refusal),
            None => match unknown {
                Some(path) => Some((
                    "not-a-mount",
                    "it is not a mount point of a block device".to_owned(),
                    Some((*path).to_owned()),
                )),
                None if covered.is_empty() => Some((
                    "no-mounts",
                    "no mounted filesystem on an EBS volume can be frozen here".to_owned(),
                    None,
                )),
                None => None,
            },
        };
        match refusal {
            Some((code, text, mount)) => {
                let mut event = json!({"code": code, "text": text});
                if let Some(mount) = mount {
                    event["mount"] = json!(mount);
                }
                self.emit("error", event);
                Err(self.end("refused", 206))
            }
            None => {
                // What carries the command's own files is frozen last, and thawed first.
                covered.sort_by_key(Mounted::carries_the_agent);
                Ok(covered)
            }
        }
    }

    /// Asked to freeze `/` too, by a command that may.
    fn freezes_root(&self) -> bool {
        let may = match self.parameter("command") {
            "snapshot" => true,
            "dry-run" => self.parameter("mode") == "autonomous",
            _ => false,
        };
        may && self.parameter("freezeRoot") == "yes"
    }

    async fn dry_run(&mut self, recipe: &str) -> i32 {
        for tool in ["findmnt", "fsfreeze", "setsid"] {
            self.emit(
                "tool",
                json!({"name": tool, "path": format!("/usr/sbin/{tool}")}),
            );
        }
        self.say_client(recipe);
        let covered = match self.mounts() {
            Ok(covered) => covered,
            Err(exit) => return exit,
        };
        self.emit(
            "agent",
            json!({"path": "/var/lib/amazon/ssm", "mount": "/"}),
        );
        if recipe != "linux-filesystem" {
            self.pause(10, 60).await;
        }
        if let Err(exit) = self.meet_engine(recipe, &covered) {
            return exit;
        }
        if self.parameter("mode") == "autonomous" {
            return self.prove_rights().await;
        }
        self.end("ok", 0)
    }

    async fn pre(&mut self, recipe: &str) -> i32 {
        if self.parameter("freezeRoot") == "yes" {
            self.error(
                "bad-parameter",
                "freezeRoot is for the command snapshot only",
            );
            return self.end("refused", 206);
        }
        let covered = match self.take(recipe, false) {
            Ok(covered) => covered,
            Err(exit) => return exit,
        };
        self.quiesce(recipe).await;
        if !self.freeze(&covered).await {
            return self.overtaken();
        }
        self.emit("ready", json!({}));
        self.holding = false;
        self.end("ok", 0)
    }

    /// Takes the instance for this job and arms the failsafe; the mounts to freeze, or the exit code of a refusal.
    fn take(&mut self, recipe: &str, autonomous: bool) -> Result<Vec<Mounted>, i32> {
        let refusal = self.machine(|machine| {
            // A failsafe that has fired left nothing held: the next job may begin.
            if machine.hold.as_ref().is_some_and(|hold| hold.fired) {
                machine.hold = None;
            }
            let holder = machine.hold.as_ref().map(|hold| hold.job.as_str());
            let at_work = "a freezeframe job is at work on this instance";
            // Noted before anything else: whatever ends this delivery, a second one finds the note.
            let repeated = !machine.seen.insert(self.invocation.command_id.clone());
            if machine.over.contains_key(&self.job) {
                Some(("over", "this job is over on this instance"))
            } else if holder == Some(&self.job) {
                Some(("already-frozen", at_work))
            } else if repeated {
                let text = "this command was delivered before; it does its work once";
                Some(("repeated", text))
            } else if holder.is_some() {
                Some(("busy", at_work))
            } else {
                None
            }
        });
        if let Some((code, text)) = refusal {
            self.error(code, text);
            return Err(self.end("refused", 204));
        }
        let covered = self.mounts()?;
        self.meet_engine(recipe, &covered)?;
        let budget: u32 = self.parameter("budgetSeconds").parse().unwrap_or(30);
        let now = self.now();
        let hold = Hold {
            job: self.job.clone(),
            deadline: now + chrono::Duration::seconds(i64::from(budget)),
            session: None,
            backup: None,
            since: None,
            frozen: Vec::new(),
            fired: false,
            ready: false,
            at_work: true,
            autonomous,
            robbed: false,
        };
        self.machine(|machine| machine.arm(now, hold));
        self.holding = true;
        self.emit(
            "armed",
            json!({"budget_ms": budget * 1000, "guard_pid": 4211, "holder_pid": 4207}),
        );
        Ok(covered)
    }

    /// Plays flush, lock and sync of a database.
    async fn quiesce(&mut self, recipe: &str) {
        self.pause(60, 240).await;
        self.emit("flushed", json!({}));
        self.lock(recipe).await;
        self.pause(10, 60).await;
        self.emit("synced", json!({}));
    }

    /// Freezes in order; false when the hold was over before everything was frozen.
    async fn freeze(&mut self, covered: &[Mounted]) -> bool {
        for mounted in covered {
            let began = self.now();
            self.hold(|hold| hold.since = hold.since.or(Some(began)));
            self.pause(40, 90).await;
            let now = self.now();
            if !self.machine(|machine| machine.freeze(now, mounted)) {
                return false;
            }
            self.emit(
                "frozen",
                json!({"mount": mounted.mount, "took_ms": (now - began).num_milliseconds()}),
            );
        }
        self.hold(|hold| {
            hold.ready = true;
            hold.at_work = hold.autonomous;
        });
        self.machine(|machine| machine.hold.as_ref().is_some_and(|hold| !hold.fired))
    }

    /// The failsafe was faster.
    fn overtaken(&mut self) -> i32 {
        self.holding = false;
        if self.parameter("command") == "snapshot" {
            self.over(false);
        }
        let now = self.now();
        match self.release(now, By::Abandoned) {
            Some(hold) => {
                self.error(
                    "failsafe-fired",
                    "the budget was spent before everything was frozen",
                );
                self.emit("disarmed", json!({"fired": hold.fired}));
            }
            None => self.error("not-frozen", "another command released this job"),
        }
        self.end("failed", 201)
    }

    /// Lays the tombstone marker that no command of this job gets past.
    fn over(&self, fired: bool) {
        self.machine(|machine| machine.lay_stone(&self.job, fired));
    }

    /// Ends this job's hold, if it still has one.
    fn release(&self, now: DateTime<Utc>, by: By) -> Option<Hold> {
        self.machine(|machine| {
            let ours = machine.hold.as_ref()?.job == self.job;
            ours.then(|| machine.release(now, by)).flatten()
        })
    }

    fn own_hold(&self) -> Option<Hold> {
        self.machine(|machine| machine.hold.clone().filter(|hold| hold.job == self.job))
    }

    fn hold(&self, act: impl FnOnce(&mut Hold)) {
        self.machine(|machine| {
            if let Some(hold) = machine.hold.as_mut() {
                act(hold);
            }
        });
    }

    async fn post(&mut self) -> i32 {
        let Some(hold) = self.own_hold() else {
            self.over(false);
            let fired = self.machine(|machine| machine.over.get(&self.job) == Some(&true));
            let exit = if fired {
                let text = "the failsafe had ended this job, as was told before";
                self.error("failsafe-fired", text);
                self.emit("disarmed", json!({"fired": true}));
                203
            } else {
                self.error("not-frozen", "there is no such job on this instance");
                205
            };
            let frozen = self
                .machine(|machine| {
                    machine
                        .hold
                        .as_ref()
                        .filter(|hold| !hold.fired)
                        .map(|hold| hold.frozen.clone())
                })
                .unwrap_or_default();
            for mounted in self
                .machine(|machine| machine.mounts.clone())
                .iter()
                .filter(|mounted| mounted.objection(false).is_none())
            {
                self.emit(
                    "probe",
                    json!({"mount": mounted.mount, "frozen": frozen.contains(&mounted.mount)}),
                );
            }
            return self.end("failed", exit);
        };
        if hold.at_work && !hold.autonomous && !hold.fired {
            self.error("busy", "pre-script is still at work");
            return self.end("failed", 202);
        }
        self.report_end(true).await
    }

    /// Releases what the job holds and says how it went. `ask` is false when the holder releases by itself.
    async fn report_end(&mut self, ask: bool) -> i32 {
        let Some(hold) = self.own_hold() else {
            return self.overtaken();
        };
        if !hold.fired {
            self.emit("release", json!({}));
            if let Some(session) = hold.session {
                self.pause(1, 10).await;
                self.emit("alive", json!({"session": session}));
            }
            self.pause(2, 15).await;
        }
        // The failsafe, or another command of this job, may have been faster even now.
        let now = self.now();
        let Some(hold) = self.release(now, By::Holder) else {
            self.error("not-frozen", "another command released it");
            return self.end("failed", 205);
        };
        let released = !hold.fired;
        self.over(!released);
        let over = if released { now } else { hold.deadline };
        self.report_release(&hold, over, true);
        if !released {
            self.error(
                "failsafe-fired",
                "the failsafe thawed before this command came",
            );
            return self.end("failed", 203);
        }
        if ask && !hold.ready {
            self.error("not-frozen", "it was released before everything was frozen");
            return self.end("failed", 205);
        }
        self.end("ok", 0)
    }

    /// The lines of a hold that is over; `answered` when its lock session was heard after the set was made.
    fn report_release(&mut self, hold: &Hold, over: DateTime<Utc>, answered: bool) {
        for mount in hold.frozen.iter().rev() {
            let event = if hold.fired {
                json!({"mount": mount, "ok": false, "text": "thawed by the failsafe: the budget was spent"})
            } else {
                json!({"mount": mount, "ok": true})
            };
            self.emit("thawed", event);
        }
        if answered && !hold.fired {
            self.stop_backup(hold);
        }
        if let Some(session) = hold.session {
            self.emit("unlocked", json!({"session": session}));
        }
        self.emit("disarmed", json!({"fired": hold.fired}));
        for mount in &hold.frozen {
            self.emit("probe", json!({"mount": mount, "frozen": false}));
        }
        let window = hold
            .since
            .map_or(0, |since| (over - since).num_milliseconds());
        self.emit("window", json!({"window_ms": window}));
    }

    /// The few commands that need no machine to answer.
    async fn shell(&mut self) -> i32 {
        self.pause(20, 120).await;
        let script = self.invocation.script.trim();
        if let Some(Ok(code)) = script.strip_prefix("exit ").map(str::parse::<u8>) {
            return i32::from(code);
        }
        match script {
            "true" | ":" => 0,
            "false" => 1,
            "hostname" => {
                self.out
                    .push_str(&format!("{}\n", self.invocation.instance));
                0
            }
            _ => match script.strip_prefix("echo ").filter(|text| {
                text.chars()
                    .all(|c| c.is_ascii_alphanumeric() || " ._-".contains(c))
            }) {
                Some(text) => {
                    self.out.push_str(&format!("{text}\n"));
                    0
                }
                None => {
                    self.err
                        .push_str("simulated runtime: commands do not run here\n");
                    127
                }
            },
        }
    }
}
