//! Property 23: two consoles, on one host or two, never hold one instance together. 10,000 seeded
//! interleavings of the pure machine's steps over a model of Systems Manager's delivery, the instance and its
//! failsafe, with lost answers, killed consoles and late commands. On one host nothing but the lease keeps the two
//! apart: the model's instance lets everybody in. On two it has the document's lock (tests/documents shows the real
//! one), and what is checked is that nobody claims a freeze that was not. A failing seed is named and replays by
//! itself: `FREEZEFRAME_SEED=N cargo test --test engine consoles`. And what an open console does about the jobs of others
//! (`consoles/open.rs`).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod open;
use crate::support;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use freezeframe::domain::command::{CommandEnd, CommandOutcome};
use freezeframe::domain::ids::{CommandId, InstanceId, JobId, SnapshotId, VolumeId};
use freezeframe::domain::job::{JobSpec, JobView, Phase};
use freezeframe::domain::level::Level;
use freezeframe::domain::machine::{Job, JobEffect, JobEvent, SnapshotProgress, Timer, Written};
use freezeframe::domain::preflight::{AttachedVolume, CoveredMount, Engine, PreflightFacts};
use freezeframe::domain::problem::{Kind, Problem};
use freezeframe::domain::snapshot::CreatedSnapshot;
use freezeframe::jobs::journal::{Journal, Lease};
use freezeframe::ops::admission::lease;

const SEEDS: u64 = 10_000;
const INSTANCE: &str = "i-0123456789abcdef0";
const DATA: &str = "vol-00000000000000002";
/// The failsafe's budget, in seconds.
const BUDGET_S: u32 = 20;
/// The world's limits, in seconds: one attempt of `SendCommand`, a delivery, a script's way to its arming.
const ATTEMPT_S: i64 = 60;
const DELIVERY_S: i64 = 30;
const ARMING_S: i64 = 15;

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 4, 0, 0).unwrap()
}

fn spec(n: usize) -> JobSpec {
    serde_json::from_value(serde_json::json!({
        "job": format!("0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f1{n}"),
        "run": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f0f",
        "account": "111122223333", "region": "eu-central-1",
        "instance": INSTANCE, "instance_name": "db-1",
        "recipe": "linux-mysql", "document": "freezeframe-linux-mysql",
        "mode": "coordinated", "budget_s": BUDGET_S, "on_failure": "skip",
        "mounts": [], "namespace": "Organization/Backup",
    }))
    .unwrap()
}

fn facts() -> PreflightFacts {
    PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".into(),
            fs: "xfs".into(),
            volumes: vec![VolumeId::from_api(DATA)],
        }],
        volumes: vec![AttachedVolume {
            volume: VolumeId::from_api(DATA),
            device: "/dev/sdf".into(),
            is_root: false,
        }],
        engine: Some(Engine {
            name: "mariadb".into(),
            version: "11.4".into(),
            datadir: "/data/mysql/".into(),
            replica: false,
        }),
        ..PreflightFacts::default()
    }
}

/// A freeze on the instance.
#[derive(Debug, Clone)]
struct Hold {
    number: u32,
    console: usize,
    until: DateTime<Utc>,
    fired: bool,
}

/// A snapshot, and the freeze that held when it was taken.
#[derive(Debug)]
struct Taken {
    console: usize,
    under: Option<u32>,
    level: Option<Level>,
}

/// Something on its way: to the world, or back to a console.
#[derive(Debug)]
enum Way {
    Preflight,
    /// `pre-script`, on its way to Systems Manager, which takes it until then.
    SendPre(CommandId, DateTime<Utc>),
    /// On its way to the instance, which begins it until then.
    Pre(CommandId, DateTime<Utc>),
    Create,
    Post(CommandId),
    Find,
    Answer(Box<JobEvent>),
}

struct Console {
    job: Job,
    alive: bool,
    timers: BTreeMap<Timer, DateTime<Utc>>,
    ways: Vec<Way>,
    commands: u32,
}

struct World {
    rng: fastrand::Rng,
    now: DateTime<Utc>,
    consoles: Vec<Console>,
    /// One for each host.
    journals: Vec<Journal>,
    hold: Option<Hold>,
    holds: u32,
    /// Freezes that ended by their own `post-script`, still unbroken.
    kept: BTreeSet<u32>,
    /// Until when a console's lease was last taken.
    leased: BTreeMap<usize, DateTime<Utc>>,
    sequences: BTreeMap<usize, u64>,
    taken: Vec<Taken>,
    refused: u32,
    killed: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let hosts = 1 + usize::try_from(seed % 2).unwrap();
        let console = |n| Console {
            job: Job::new(spec(n)),
            alive: true,
            timers: BTreeMap::new(),
            ways: Vec::new(),
            commands: 0,
        };
        let mut world = Self {
            rng: fastrand::Rng::with_seed(seed),
            now: start(),
            consoles: (0..2).map(console).collect(),
            journals: (0..hosts).map(|_| Journal::in_memory().unwrap()).collect(),
            hold: None,
            holds: 0,
            kept: BTreeSet::new(),
            leased: BTreeMap::new(),
            sequences: BTreeMap::new(),
            taken: Vec::new(),
            refused: 0,
            killed: 0,
        };
        for n in 0..2 {
            world.tell(n, JobEvent::Start);
        }
        world
    }

    fn journal(&self, console: usize) -> &Journal {
        &self.journals[console % self.journals.len()]
    }

    /// Runs until both consoles are done or dead and nothing is on its way.
    fn run(&mut self) {
        for _ in 0..2_000 {
            let open: Vec<usize> = (0..self.consoles.len())
                .filter(|n| {
                    let console = &self.consoles[*n];
                    !console.ways.is_empty()
                        || (console.alive && !console.job.is_done() && !console.timers.is_empty())
                })
                .collect();
            let Some(&n) = open.get(self.rng.usize(0..open.len().max(1))) else {
                return;
            };
            match self.rng.u32(0..100) {
                0 => self.kill(n),
                1..15 => self.pass(),
                _ if self.consoles[n].ways.is_empty() => self.pass(),
                _ => self.go_on(n),
            }
        }
        panic!("it does not end: {:?}", self.consoles[0].job.view());
    }

    /// The console's process dies. What it sent is on its way all the same.
    fn kill(&mut self, n: usize) {
        let console = &mut self.consoles[n];
        if console.alive && !console.job.is_done() {
            console.alive = false;
            console.timers.clear();
            console.ways.retain(|way| !matches!(way, Way::Answer(_)));
            self.killed += 1;
        }
    }

    /// Time passes: the failsafe acts on its own, timers run out.
    fn pass(&mut self) {
        // Something is slow now and then.
        let most = if self.rng.u8(0..12) == 0 {
            60_000
        } else {
            8_000
        };
        self.now += TimeDelta::milliseconds(self.rng.i64(1..most));
        let now = self.now;
        if let Some(hold) = self.hold.as_mut().filter(|hold| now >= hold.until) {
            hold.fired = true;
        }
        for n in 0..self.consoles.len() {
            let due: Vec<Timer> = self.consoles[n]
                .timers
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(timer, _)| *timer)
                .collect();
            for timer in due {
                if self.consoles[n].timers.remove(&timer).is_some() {
                    self.tell(n, JobEvent::TimedOut(timer));
                }
            }
        }
    }

    fn tell(&mut self, n: usize, event: JobEvent) {
        if !self.consoles[n].alive {
            return;
        }
        let effects = self.consoles[n].job.step(event, self.now);
        let view = self.consoles[n].job.view();
        let done = self.consoles[n].job.is_done();
        self.journal(n)
            .save_job(&view, "host:1:1", !done, self.now)
            .unwrap();
        for effect in effects {
            self.carry_out(n, effect);
        }
    }

    fn carry_out(&mut self, n: usize, effect: JobEffect) {
        let number = self.consoles[n].commands;
        let command = CommandId::from_api(format!("00000000-0000-0000-{n:04}-{number:012}"));
        let now = self.now;
        let console = &mut self.consoles[n];
        let answer = |event| Way::Answer(Box::new(event));
        match effect {
            JobEffect::Preflight => console.ways.push(Way::Preflight),
            JobEffect::SendPre => {
                console.commands += 1;
                // As `ops::ready` does, last of all.
                let way = match self.lease(n) {
                    Ok(()) => Way::SendPre(command, now + TimeDelta::seconds(ATTEMPT_S)),
                    Err(problem) => answer(JobEvent::PreSent(Err(problem))),
                };
                self.consoles[n].ways.push(way);
            }
            JobEffect::SendPost => {
                console.commands += 1;
                console
                    .ways
                    .push(answer(JobEvent::PostSent(Ok(command.clone()))));
                console.ways.push(Way::Post(command));
            }
            JobEffect::CreateSnapshots => console.ways.push(Way::Create),
            JobEffect::FindSnapshots => console.ways.push(Way::Find),
            JobEffect::WriteLabels { attempt, labels } => {
                for taken in self.taken.iter_mut().filter(|t| t.console == n) {
                    taken.level = labels.first().map(|l| l.level);
                }
                let written = Written::all(&labels);
                console
                    .ways
                    .push(answer(JobEvent::LabelsWritten { attempt, written }));
            }
            JobEffect::WatchProgress => {
                let done = vec![SnapshotProgress {
                    snapshot: snapshot(n),
                    state: "completed".into(),
                    percent: 100,
                    full_bytes: None,
                }];
                console.ways.push(answer(JobEvent::Progress(done)));
            }
            JobEffect::Publish(_) => console.ways.push(answer(JobEvent::Published(Ok(())))),
            JobEffect::Arm { timer, after } => {
                console
                    .timers
                    .insert(timer, now + TimeDelta::from_std(after).unwrap());
            }
            JobEffect::Disarm(timer) => {
                console.timers.remove(&timer);
            }
            JobEffect::CancelCommand(_) => {}
            JobEffect::SendSnapshot => panic!("the jobs are coordinated"),
            JobEffect::TakeTurn(_) => panic!("every command is taken"),
        }
    }

    /// One thing that is on its way arrives, in whatever order.
    fn go_on(&mut self, n: usize) {
        let at = self.rng.usize(0..self.consoles[n].ways.len());
        let way = self.consoles[n].ways.remove(at);
        let lost = self.rng.u32(0..30) == 0;
        let event = match way {
            Way::Answer(event) => return self.tell(n, *event),
            Way::Preflight => JobEvent::Preflight(self.lease(n).map(|()| facts())),
            Way::SendPre(_, until) if self.now > until => JobEvent::PreSent(Err(no_answer("send"))),
            Way::SendPre(command, _) => {
                let until = self.now + TimeDelta::seconds(DELIVERY_S);
                let way = Way::Pre(command.clone(), until);
                self.consoles[n].ways.push(way);
                JobEvent::PreSent(Ok(command))
            }
            Way::Pre(command, until) if self.now > until => JobEvent::PreEnded(CommandOutcome {
                command,
                ended: CommandEnd::NeverDelivered,
                stdout: String::new(),
                stderr: String::new(),
            }),
            Way::Pre(command, _) => JobEvent::PreEnded(self.pre(n, command)),
            Way::Post(command) => JobEvent::PostEnded(self.post(n, command)),
            Way::Create => {
                let made = self.create(n);
                JobEvent::SnapshotsAnswered(if lost {
                    Err(no_answer("create snapshots"))
                } else {
                    Ok(made)
                })
            }
            Way::Find => JobEvent::SnapshotsFound(Ok(self.found(n))),
        };
        if self.consoles[n].alive {
            self.consoles[n].ways.push(Way::Answer(Box::new(event)));
        }
    }

    /// The console's journal lets it have the instance, as `ops::lease` asks for it.
    fn lease(&mut self, n: usize) -> Result<(), Problem> {
        let spec = spec(n);
        let until = self.now + lease::lasts(BUDGET_S);
        let lease = self
            .journal(n)
            .lease(&spec.scope, &spec.instance, &spec.job, until, self.now)
            .unwrap();
        match lease {
            Lease::Held(other) => {
                assert_eq!(self.journals.len(), 1, "two hosts share no journal");
                self.refused += 1;
                let cause = format!("job {other} is under way there");
                Err(Problem::new(Kind::State, "check", cause, "wait"))
            }
            Lease::Taken => {
                self.leased.insert(n, until);
                Ok(())
            }
            // Nobody hears of what a job that is over asks.
            Lease::Over => Err(Problem::new(Kind::State, "check", "it is over", "look")),
        }
    }

    /// Whose the instance is at a time, by a console's journal.
    fn holder(&self, n: usize, at: DateTime<Utc>) -> Option<JobId> {
        let spec = spec(n);
        self.journal(n)
            .lease_holder(&spec.scope, &spec.instance, at)
            .unwrap()
    }

    fn lines(&mut self, n: usize, command: &str, lines: &[String]) -> String {
        let hello = format!(
            r#""t":"hello","recipe":"linux-mysql","version":1,"job":"{}","command":"{command}""#,
            spec(n).job
        );
        let sequence = self.sequences.entry(n).or_default();
        std::iter::once(&hello)
            .chain(lines)
            .map(|line| {
                *sequence += 1;
                format!("FF1 {{\"seq\":{sequence},\"ms\":{sequence},{line}}}\n")
            })
            .collect()
    }

    fn ended(
        &mut self,
        n: usize,
        command: CommandId,
        word: &str,
        exit: i32,
        said: &[&str],
    ) -> CommandOutcome {
        let said: Vec<String> = said.iter().map(|line| (*line).to_owned()).collect();
        CommandOutcome {
            command,
            ended: if exit == 0 {
                CommandEnd::Success
            } else {
                CommandEnd::Failed { exit: exit.into() }
            },
            stdout: self.lines(n, word, &said),
            stderr: String::new(),
        }
    }

    /// `pre-script` at the instance. Between two hosts its lock lets one job in; on one host the lease has done so.
    fn pre(&mut self, n: usize, command: CommandId) -> CommandOutcome {
        let held = self.hold.as_ref().filter(|hold| !hold.fired);
        if self.journals.len() == 1 {
            assert!(held.is_none(), "console {n} freezes within {held:?}");
        } else if held.is_some() {
            self.refused += 1;
            let said = [
                r#""t":"error","code":"busy","text":"another job""#,
                r#""t":"end","outcome":"failed","exit":204"#,
            ];
            return self.ended(n, command, "pre-script", 204, &said);
        }
        let arming = match self.rng.u8(0..8) {
            0 => self.rng.i64(0..ARMING_S),
            _ => 0,
        };
        let until = self.now + TimeDelta::seconds(arming + i64::from(BUDGET_S));
        for at in [self.now, until] {
            let holder = self.holder(n, at);
            assert_eq!(holder, Some(spec(n).job), "a freeze outlasts its lease");
        }
        self.holds += 1;
        self.hold = Some(Hold {
            number: self.holds,
            console: n,
            until,
            fired: false,
        });
        let said = [
            r#""t":"armed","budget_ms":20000,"guard_pid":2,"holder_pid":3"#,
            r#""t":"locked","session":"7","how":"ftwrl","tries":1"#,
            r#""t":"synced""#,
            r#""t":"frozen","mount":"/data","took_ms":4"#,
            r#""t":"ready""#,
            r#""t":"end","outcome":"ok","exit":0"#,
        ];
        self.ended(n, command, "pre-script", 0, &said)
    }

    fn post(&mut self, n: usize, command: CommandId) -> CommandOutcome {
        match self.hold.clone() {
            Some(hold) if hold.console == n && hold.fired => {
                self.hold = None;
                let said = [
                    r#""t":"error","code":"failsafe-fired","text":"too late""#,
                    r#""t":"thawed","mount":"/data","ok":false"#,
                    r#""t":"disarmed","fired":true"#,
                    r#""t":"probe","mount":"/data","frozen":false"#,
                    r#""t":"end","outcome":"failed","exit":203"#,
                ];
                self.ended(n, command, "post-script", 203, &said)
            }
            Some(hold) if hold.console == n => {
                self.hold = None;
                self.kept.insert(hold.number);
                let said = [
                    r#""t":"release""#,
                    r#""t":"alive","session":"7""#,
                    r#""t":"thawed","mount":"/data","ok":true"#,
                    r#""t":"unlocked","session":"7""#,
                    r#""t":"disarmed","fired":false"#,
                    r#""t":"probe","mount":"/data","frozen":false"#,
                    r#""t":"window","window_ms":40"#,
                    r#""t":"end","outcome":"ok","exit":0"#,
                ];
                self.ended(n, command, "post-script", 0, &said)
            }
            other => {
                let frozen = other.is_some_and(|hold| !hold.fired);
                let probe = format!(r#""t":"probe","mount":"/data","frozen":{frozen}"#);
                let said = [
                    r#""t":"error","code":"not-frozen","text":"no such job""#,
                    &probe,
                    r#""t":"end","outcome":"failed","exit":205"#,
                ];
                self.ended(n, command, "post-script", 205, &said)
            }
        }
    }

    fn create(&mut self, n: usize) -> Vec<CreatedSnapshot> {
        assert!(
            self.taken.iter().all(|t| t.console != n),
            "a second set of one job"
        );
        self.taken.push(Taken {
            console: n,
            under: self
                .hold
                .as_ref()
                .filter(|hold| hold.console == n && !hold.fired)
                .map(|hold| hold.number),
            level: None,
        });
        self.found(n)
    }

    fn found(&self, n: usize) -> Vec<CreatedSnapshot> {
        self.taken
            .iter()
            .filter(|t| t.console == n)
            .map(|_| CreatedSnapshot {
                snapshot: snapshot(n),
                volume: VolumeId::from_api(DATA),
                volume_gib: 8,
            })
            .collect()
    }

    /// Whatever was claimed, was so; nothing is left that would keep a third console away for ever.
    fn hold_to_the_promises(&mut self) -> u32 {
        let mut proven = 0;
        for taken in &self.taken {
            if taken.level.is_some_and(Level::is_proven) {
                proven += 1;
                let under = taken
                    .under
                    .unwrap_or_else(|| panic!("{taken:?} was not frozen"));
                assert!(
                    self.kept.contains(&under),
                    "{taken:?}: the freeze was broken"
                );
            }
        }
        // Without a word that its thaw is unconfirmed, that is.
        let over = |n: usize| {
            let console = &self.consoles[n];
            console.alive && !console.job.view().thaw_unconfirmed
        };
        if let Some(hold) = self.hold.as_ref().filter(|hold| !hold.fired) {
            assert!(!over(hold.console), "over and still frozen: {hold:?}");
        }
        for n in 0..self.consoles.len() {
            // Whoever ended lets go at once; whoever died, or unconfirmed thaws, when the time is over that it had asked for.
            let holder = self.holder(n, self.now);
            let own = holder == Some(spec(n).job);
            assert!(!(own && over(n)), "console {n} is over and keeps its lease");
            let Some(end) = self.leased.get(&n).filter(|_| own) else {
                continue;
            };
            let third = |now| {
                let (job, at) = (JobId::from_api("third"), InstanceId::from_api(INSTANCE));
                self.journal(n)
                    .lease(&spec(n).scope, &at, &job, now, now)
                    .unwrap()
            };
            let before = *end - TimeDelta::milliseconds(1);
            assert_eq!(third(before), Lease::Held(spec(n).job), "console {n}");
            assert_eq!(third(*end), Lease::Taken, "a stale lease of console {n}");
        }
        proven
    }

    fn views(&self) -> Vec<JobView> {
        self.consoles
            .iter()
            .filter(|c| c.alive)
            .map(|c| c.job.view())
            .collect()
    }
}

fn snapshot(n: usize) -> SnapshotId {
    SnapshotId::from_api(format!("snap-0000000000000000{n}"))
}

fn no_answer(what: &str) -> Problem {
    let mut problem = Problem::new(Kind::Network, what, "no answer", "look");
    problem.may_have_happened = true;
    problem
}

#[test]
fn p23_ten_thousand_interleavings_of_two_consoles() {
    let seeds = match std::env::var("FREEZEFRAME_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    let (mut proven, mut refused, mut killed) = (0, 0, 0);
    for seed in &seeds {
        let told = std::panic::catch_unwind(|| {
            let mut world = World::new(*seed);
            world.run();
            for view in world.views() {
                assert_eq!(view.phase, Phase::Done, "{view:#?}");
            }
            (world.hold_to_the_promises(), world.refused, world.killed)
        });
        let Ok(one) = told else {
            panic!("seed {seed} breaks a promise; FREEZEFRAME_SEED={seed} replays it");
        };
        proven += one.0;
        refused += one.1;
        killed += one.2;
    }
    // The model is no trivial one: sets were proven, jobs met each other, consoles died.
    if seeds.len() > 1 {
        assert!(
            proven > 1_000 && refused > 1_000 && killed > 500,
            "{proven} {refused} {killed}"
        );
    }
}
