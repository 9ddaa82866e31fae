//! A console that is open, and what other processes with its journal do beside it. They are the same process here,
//! with a connection of their own to the journal's file.

use std::path::PathBuf;
use std::time::Duration;

use freezeframe::domain::ids::{JobId, RunId};
use freezeframe::domain::job::{JobSpec, JobView, OnFailure, Phase, Verdict};
use freezeframe::domain::mode::AskedMode;
use freezeframe::jobs::journal::Journal;
use freezeframe::lab::{CallRecord, FaultKind};
use freezeframe::ops::job::driver;
use freezeframe::ops::{Ops, recover};
use freezeframe::tui::effect::{Effect, RunRequest};
use freezeframe::tui::executor::Executor;
use freezeframe::tui::message::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::support::{Bench, bench};

/// Longer than anything here takes, by the paused clock.
const LONG: Duration = Duration::from_secs(900);

/// The lab, and one journal for all.
struct House {
    bench: Bench,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            bench: bench().await,
            file: dir.path().join("journal.sqlite"),
            _dir: dir,
        }
    }

    /// A process that has the journal open.
    fn process(&self) -> Ops {
        Ops {
            journal: Journal::open(&self.file).unwrap(),
            unconfirmed: recover::UnconfirmedThaws::default(),
            ..self.bench.ops.clone()
        }
    }

    async fn spec(&self) -> JobSpec {
        self.bench.spec("linux-mysql", 30, OnFailure::Skip).await
    }

    fn calls(&self) -> usize {
        self.bench.lab.calls().len()
    }
}

/// An open console without its screen.
struct Console {
    asks: mpsc::Sender<Effect>,
    messages: mpsc::Receiver<Message>,
    executor: JoinHandle<()>,
}

impl Console {
    fn open(ops: Ops) -> Self {
        let (asks, asked) = mpsc::channel(16);
        let (says, messages) = mpsc::channel(256);
        let executor = tokio::spawn(Executor::new(ops, says).run(asked));
        Self {
            asks,
            messages,
            executor,
        }
    }

    /// What it was told so far.
    fn told(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.messages.try_recv().ok()).collect()
    }

    /// Waits for a view.
    async fn until(&mut self, what: &str, met: impl Fn(&JobView) -> bool) -> JobView {
        let seen = async {
            loop {
                let message = self.messages.recv().await.unwrap();
                if let Some(view) = views(message).into_iter().find(&met) {
                    return view;
                }
            }
        };
        tokio::time::timeout(LONG, seen)
            .await
            .unwrap_or_else(|_| panic!("the console never learned that {what}"))
    }

    /// Its screen is left; it ends when what is under way has ended.
    async fn close(self) {
        drop((self.asks, self.messages));
        let ended = tokio::time::timeout(LONG, self.executor).await;
        assert!(ended.is_ok_and(|ended| ended.is_ok()), "it never ends");
    }
}

/// The jobs that a message speaks of.
fn views(message: Message) -> Vec<JobView> {
    match message {
        Message::Job(view) => vec![*view],
        Message::Others(views) => views,
        Message::Settling(view) => vec![*view],
        _ => Vec::new(),
    }
}

fn notices(told: &[Message]) -> usize {
    let notice = |m: &&Message| matches!(m, Message::Notice(_));
    told.iter().filter(notice).count()
}

/// A process of this machine that is gone: our pid, with another start time.
fn dead_owner() -> String {
    let me = recover::owner_of_this_process();
    let (rest, _) = me.rsplit_once(':').unwrap();
    format!("{rest}:1")
}

/// A job that another process drives until it is in that phase; its last view.
async fn driven_to(ops: &Ops, spec: &JobSpec, phase: Phase) -> (JobView, JoinHandle<JobView>) {
    let (updates, mut inbox) = mpsc::channel(64);
    let (ops, spec) = (ops.clone(), spec.clone());
    let job = tokio::spawn(async move {
        let ended = driver::run_job(ops, spec, updates, CancellationToken::new());
        ended.await.unwrap()
    });
    loop {
        let view = inbox.recv().await.unwrap();
        if view.phase == phase {
            tokio::spawn(async move { while inbox.recv().await.is_some() {} });
            return (view, job);
        }
    }
}

/// A job that holds a freeze, and whose process was killed.
async fn killed_frozen(house: &House, spec: &JobSpec) {
    let ops = house.process();
    let (last, job) = driven_to(&ops, spec, Phase::Snapshotting).await;
    job.abort();
    let frozen = house.bench.runtime.frozen_mounts(spec.instance.as_str());
    assert!(!frozen.is_empty(), "the test needs a freeze");
    let now = ops.clock.now();
    ops.journal
        .save_job(&last, &dead_owner(), true, now)
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_killed_beside_an_open_console_is_thawed_and_settled_by_it() {
    let house = House::new().await;
    let spec = house.spec().await;
    let mut console = Console::open(house.process());
    tokio::time::sleep(LONG).await;
    let before = house.calls();
    tokio::time::sleep(LONG).await;
    assert_eq!(house.calls(), before, "nothing is left: nothing is asked");
    house.bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Slow(Duration::from_secs(3_600)),
    );
    killed_frozen(&house, &spec).await;
    let is_over = |view: &JobView| view.spec.job == spec.job && view.phase == Phase::Done;
    console.until("it settled the job", is_over).await;
    house.bench.nothing_frozen(&spec.instance);
    // Killed a second time, so to speak: the watch goes on.
    let spec = house.spec().await;
    killed_frozen(&house, &spec).await;
    let is_over = |view: &JobView| view.spec.job == spec.job && view.phase == Phase::Done;
    console.until("it settled the next", is_over).await;
    assert_eq!(notices(&console.told()), 0);
    console.close().await;
}

/// Closing what was resumed may take minutes, for as long as EC2 may yet show a set of it. What is killed meanwhile
/// does not wait for that with its freeze.
#[tokio::test(start_paused = true)]
async fn what_is_killed_while_another_is_closed_is_thawed_within_seconds() {
    let house = House::new().await;
    let late = FaultKind::Delay(Duration::from_secs(3_600));
    house.bench.fault("CreateSnapshots", 0, 2, late);
    let first = house.spec().await;
    let mut console = Console::open(house.process());
    killed_frozen(&house, &first).await;
    let closing = |view: &JobView| {
        let doing = view.waiting.as_deref().unwrap_or_default();
        // By then its thaw is proven, and nobody is told any more that it is frozen.
        let told = view.held().is_something();
        view.spec.job == first.job && doing.starts_with("looking at EC2") && !told
    };
    console.until("it closes the first", closing).await;
    // Its failsafe has no part in it.
    let second = house.bench.spec("linux-filesystem", 120, OnFailure::Skip);
    let second = second.await;
    killed_frozen(&house, &second).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let there = house.process();
    let first_now = there.journal.job(there.scope(), &first.job).unwrap();
    assert_ne!(first_now.unwrap().phase, Phase::Done, "the test is late");
    house.bench.nothing_frozen(&second.instance);
    let mut over = Vec::new();
    while over.len() < 2 {
        let is_over = |view: &JobView| view.phase == Phase::Done && !over.contains(&view.spec.job);
        let view = console.until("it settled both", is_over).await;
        over.push(view.spec.job);
    }
    let calls = house.bench.lab.calls();
    for spec in [&first, &second] {
        let thaws = |call: &&CallRecord| {
            call.action == "SendCommand"
                && call.subject.contains(spec.job.as_str())
                && call.subject.contains("post-script")
        };
        assert_eq!(calls.iter().filter(thaws).count(), 1, "{calls:#?}");
    }
    assert_eq!(notices(&console.told()), 0);
    console.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_resumed_is_closed_although_the_screen_is_left() {
    let house = House::new().await;
    let late = FaultKind::Delay(Duration::from_secs(3_600));
    house.bench.fault("CreateSnapshots", 0, 1, late);
    let spec = house.spec().await;
    let mut console = Console::open(house.process());
    killed_frozen(&house, &spec).await;
    let closing = |view: &JobView| view.spec.job == spec.job && view.waiting.is_some();
    console.until("it is at it", closing).await;
    console.close().await;
    house.bench.nothing_frozen(&spec.instance);
    let there = house.process();
    let view = there.journal.job(there.scope(), &spec.job).unwrap();
    assert_eq!(view.unwrap().phase, Phase::Done);
}

/// Where the process of a job cannot be looked for, as in another container with the same journal, it may live and
/// wait: only a start takes it that the job was left, when its time is up.
#[tokio::test(start_paused = true)]
async fn what_is_driven_out_of_sight_is_left_alone_until_the_next_start() {
    let house = House::new().await;
    let spec = house.spec().await;
    let there = house.process();
    let mut console = Console::open(house.process());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (view, job) = driven_to(&there, &spec, Phase::Preflight).await;
    job.abort();
    let now = there.clock.now();
    there
        .journal
        .save_job(&view, "elsewhere:1:1", true, now)
        .unwrap();
    let another = house.bench.spec("linux-filesystem", 30, OnFailure::Skip);
    killed_frozen(&house, &another.await).await;
    tokio::time::sleep(LONG).await;
    let open = there.journal.open_jobs(there.scope()).unwrap();
    let owners: Vec<&str> = open.iter().map(|(_, owner)| owner.as_str()).collect();
    assert_eq!(owners, ["elsewhere:1:1"], "the other was resumed");
    assert_eq!(notices(&console.told()), 0);
    console.close().await;
    let mut console = Console::open(house.process());
    let is_over = |view: &JobView| view.spec.job == spec.job && view.phase == Phase::Done;
    console.until("it settled the job", is_over).await;
    console.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_read_is_told_once_and_watched_on() {
    let house = House::new().await;
    let spec = house.spec().await;
    let mut console = Console::open(house.process());
    killed_frozen(&house, &spec).await;
    let db = rusqlite::Connection::open(&house.file).unwrap();
    let rename = |from: &str, to: &str| {
        let text = format!("ALTER TABLE {from} RENAME TO {to}");
        db.execute(&text, []).unwrap();
    };
    rename("job", "away");
    tokio::time::sleep(LONG).await;
    assert_eq!(notices(&console.told()), 1);
    rename("away", "job");
    let is_over = |view: &JobView| view.spec.job == spec.job && view.phase == Phase::Done;
    console.until("it settled the job", is_over).await;
    // New trouble is told again.
    rename("job", "away");
    tokio::time::sleep(LONG).await;
    assert_eq!(notices(&console.told()), 1);
    console.close().await;
}

/// It can be read, and not written: no job can be resumed. Looks in between, which others' jobs cause, find nothing
/// wrong.
#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_is_told_once_too() {
    let house = House::new().await;
    let spec = house.spec().await;
    killed_frozen(&house, &spec).await;
    let db = rusqlite::Connection::open(&house.file).unwrap();
    let full = "CREATE TRIGGER full BEFORE UPDATE ON job BEGIN SELECT RAISE(FAIL, 'full'); END";
    db.execute(full, []).unwrap();
    let mut console = Console::open(house.process());
    let (there, me) = (house.process(), recover::owner_of_this_process());
    for _ in 0..100 {
        let mut other = spec.clone();
        other.job = JobId::from_api(freezeframe::ops::job::run::new_id());
        let view = freezeframe::domain::machine::Job::new(other).view();
        let now = there.clock.now();
        there.journal.save_job(&view, &me, true, now).unwrap();
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    let told = console.told();
    assert_eq!(notices(&told), 1);
    db.execute("DROP TRIGGER full", []).unwrap();
    let is_over = |view: &JobView| view.spec.job == spec.job && view.phase == Phase::Done;
    console.until("it settled the job", is_over).await;
    console.close().await;
}

/// Each step of a job of another process is told as it is written; steps of own jobs are told once, by themselves.
#[tokio::test(start_paused = true)]
async fn what_others_write_is_told_by_itself() {
    let house = House::new().await;
    let spec = house.spec().await;
    let mut console = Console::open(house.process());
    let run = house.run().await;
    let mine = run.run.clone();
    console.asks.send(Effect::StartRun(run)).await.unwrap();
    house.bench.fault(
        "CreateSnapshots",
        0,
        2,
        FaultKind::Delay(Duration::from_secs(8)),
    );
    let (_, job) = driven_to(&house.process(), &spec, Phase::Completing).await;
    job.await.unwrap();
    tokio::time::sleep(LONG).await;
    let (mut own, mut phases) = (0, Vec::new());
    for message in console.told() {
        match message {
            Message::Job(view) => {
                assert_eq!(view.spec.run, mine);
                own += 1;
            }
            Message::Others(views) => {
                assert!(!views.is_empty());
                for view in views.into_iter().filter(|view| view.spec.run != mine) {
                    assert_eq!(view.spec.job, spec.job);
                    phases.push(view.phase);
                }
            }
            Message::Settling(view) => assert_eq!(view.spec.run, mine),
            Message::Abandoned(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(own > 3);
    assert!(phases.is_sorted(), "{phases:?}");
    assert!(phases.contains(&Phase::Snapshotting), "{phases:?}");
    let over = phases.iter().filter(|phase| **phase == Phase::Done);
    assert_eq!(over.count(), 1, "what does not change is not told again");
    console.close().await;
}

impl House {
    /// A run of one instance.
    async fn run(&self) -> RunRequest {
        RunRequest {
            run: RunId::from_api(freezeframe::ops::job::run::new_id()),
            instances: vec![self.bench.instance("linux-filesystem").await.id],
            recipe: None,
            mode: AskedMode::Coordinated,
            freeze_root: false,
            budget_s: Some(30),
            set: Default::default(),
            on_failure: OnFailure::Skip,
        }
    }
}

/// What only copies is left to AWS where the person leaves, as proven as it is; whoever waits sees it done. What has
/// only just been begun comes as far.
#[tokio::test(start_paused = true)]
async fn leaving_the_console_does_not_wait_for_copying() {
    for (leaves, at_once) in [(true, false), (true, true), (false, false)] {
        let house = House::new().await;
        let mut console = Console::open(house.process());
        let run = house.run().await;
        console.asks.send(Effect::StartRun(run)).await.unwrap();
        if !at_once {
            console.until("it copies", JobView::only_copies).await;
        }
        if leaves {
            console.asks.send(Effect::Quit).await.unwrap();
        }
        console.close().await;
        let ops = house.process();
        let jobs = ops.journal.jobs(Some(ops.scope()), 10).unwrap();
        let [after] = jobs.as_slice() else {
            panic!("{jobs:#?}")
        };
        assert_eq!(after.only_copies(), leaves, "{after:#?}");
        assert_eq!(after.earns, Some(Verdict::Filesystem));
        let open = ops.journal.open_jobs(ops.scope()).unwrap();
        assert_eq!(open.len(), usize::from(leaves), "a start records its end");
    }
}

/// Also what was asked for so lately that no job of it is known yet.
#[tokio::test(start_paused = true)]
async fn stopping_all_stops_what_is_only_being_started() {
    let house = House::new().await;
    let console = Console::open(house.process());
    let run = house.run().await;
    console.asks.send(Effect::StartRun(run)).await.unwrap();
    let spare = Vec::new();
    console.asks.send(Effect::StopAll { spare }).await.unwrap();
    console.close().await;
    let ops = house.process();
    let jobs = ops.journal.jobs(Some(ops.scope()), 10).unwrap();
    let [after] = jobs.as_slice() else {
        panic!("{jobs:#?}")
    };
    assert_eq!(after.verdict, Some(Verdict::Cancelled), "{after:#?}");
    assert!(after.set.is_empty());
}

/// As `freezeframe jobs abort` does it.
#[tokio::test(start_paused = true)]
async fn a_job_of_another_process_is_thawed_under_it() {
    let house = House::new().await;
    let spec = house.spec().await;
    let mut console = Console::open(house.process());
    house.bench.fault(
        "CreateSnapshots",
        0,
        1,
        FaultKind::Delay(Duration::from_secs(12)),
    );
    let (_, job) = driven_to(&house.process(), &spec, Phase::Snapshotting).await;
    let frozen = house.bench.runtime.frozen_mounts(spec.instance.as_str());
    assert!(!frozen.is_empty(), "the test needs a freeze");
    let stop = Effect::CancelJob(spec.job.clone());
    console.asks.send(stop).await.unwrap();
    let thawed = |view: &JobView| {
        view.spec.job == spec.job
            && view.phase >= Phase::Snapshotting
            && view.frozen_since.is_none()
    };
    console.until("it is thawed", thawed).await;
    house.bench.nothing_frozen(&spec.instance);
    assert!(!job.is_finished(), "its process goes on");
    let view = job.await.unwrap();
    assert_eq!(view.phase, Phase::Done);
    let claimed = matches!(
        view.verdict,
        Some(Verdict::Application | Verdict::Filesystem)
    );
    assert!(!claimed, "{view:#?}");
    assert!(!view.thaw_unconfirmed);
    let why = view.error.unwrap().cause;
    assert!(why.contains("another process asked for its thaw"), "{why}");
    console.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_thaw_of_another_process_is_asked_about_again() {
    let house = House::new().await;
    let there = house.process();
    let spec = house.spec().await;
    let (mut view, job) = driven_to(&there, &spec, Phase::Completing).await;
    job.abort();
    view.thaw_unconfirmed = true;
    let me = recover::owner_of_this_process();
    let now = there.clock.now();
    there.journal.save_job(&view, &me, true, now).unwrap();
    let mut console = Console::open(house.process());
    let stop = Effect::CancelJob(spec.job.clone());
    console.asks.send(stop).await.unwrap();
    let sure = |view: &JobView| view.spec.job == spec.job && !view.thaw_unconfirmed;
    console.until("nothing is frozen", sure).await;
    console.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_has_is_said_to_be_unknown() {
    let house = House::new().await;
    let mut console = Console::open(house.process());
    let stop = Effect::CancelJob(JobId::from_api("0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f99"));
    console.asks.send(stop).await.unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!(notices(&console.told()), 1);
    console.close().await;
}
