//! The speed of a run: a thousand instances under EC2's published token buckets, on tokio's paused clock.
//!
//! ```text
//! cargo run --example fanout -- --instances 1000 --at-once 40
//! ```
//!
//! Prints what was throttled (must be nothing), how long the run took on the virtual clock, the two bounds on
//! that (what the published buckets allow for the calls that were made, and what `--at-once` allows for jobs of
//! that length), which of them binds, the ratio of time to each, and peak memory of engine and lab together.
#![expect(clippy::print_stdout, reason = "printing is all that it is for")]

#[path = "../tests/support/fleet.rs"]
mod fleet;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant as RealInstant};

use chrono::{DateTime, Utc};
use clap::Parser;
use freezeframe::domain::job::{JobView, Mode, Phase};
use freezeframe::domain::pace::Bucket;
use freezeframe::domain::problem::Problem;
use freezeframe::domain::run::Limits;
use freezeframe::lab::{CallRecord, Lab};
use freezeframe::ops::job::run::run_all;
use strum::IntoEnumIterator as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Between two looks at the lab's calls; it remembers the last 20,000.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Parser)]
struct Args {
    /// Instances in the run
    #[arg(long, default_value_t = 1_000)]
    instances: usize,
    /// Jobs under way at once, 1 to 200
    #[arg(long, default_value_t = 40)]
    at_once: u32,
    /// The instances ask for their snapshots themselves
    #[arg(long)]
    autonomous: bool,
}

/// The calls so far, by action.
#[derive(Default)]
struct Tally {
    calls: BTreeMap<String, usize>,
    throttled: BTreeMap<String, usize>,
    until: Option<DateTime<Utc>>,
}

impl Tally {
    /// Counts the calls that came before `now` and were not counted yet.
    fn count(&mut self, lab: &Lab, now: DateTime<Utc>) {
        let fresh = |call: &&CallRecord| self.until.is_none_or(|t| call.at >= t) && call.at < now;
        for call in lab.calls().iter().filter(fresh) {
            *self.calls.entry(call.action.clone()).or_default() += 1;
            if matches!(
                call.outcome.as_str(),
                "RequestLimitExceeded" | "ThrottlingException"
            ) {
                *self.throttled.entry(call.action.clone()).or_default() += 1;
            }
        }
        self.until = Some(now);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?
        .block_on(bench(Args::parse()))
}

async fn bench(args: Args) -> Result<(), Box<dyn Error>> {
    let limits = Limits {
        at_once: args.at_once,
        ..Limits::default()
    };
    limits.check()?;
    let (lab, ops) = fleet::open(args.instances, 0, "").await?;
    let mode = if args.autonomous {
        Mode::Autonomous
    } else {
        Mode::Coordinated
    };
    let specs = fleet::specs(&ops, &limits, mode).await?;
    let mut tally = Tally::default();
    tally.count(&lab, ops.clock.now());
    let mut tally = Tally {
        until: tally.until,
        ..Tally::default()
    };
    let (begun, real) = (ops.clock.now(), RealInstant::now());
    let (updates, mut inbox) = mpsc::channel(256);
    let drain = async { while inbox.recv().await.is_some() {} };
    let run = run_all(&ops, specs, &limits, updates, |_| CancellationToken::new());
    let work = async { tokio::join!(run, drain).0 };
    tokio::pin!(work);
    let views = loop {
        tokio::select! {
            views = &mut work => break views,
            () = tokio::time::sleep(LOOK) => tally.count(&lab, ops.clock.now()),
        }
    };
    let (took, real) = (ops.clock.now() - begun, real.elapsed());
    tokio::time::sleep(LOOK).await;
    tally.count(&lab, ops.clock.now());
    report(&args, &tally, &views, took.to_std()?, real);
    Ok(())
}

fn report(
    args: &Args,
    tally: &Tally,
    views: &[Result<JobView, Problem>],
    took: Duration,
    real: Duration,
) {
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let mut problems: BTreeMap<String, usize> = BTreeMap::new();
    for view in views {
        let (verdict, problem) = match view {
            Ok(view) => (
                view.verdict.map_or("none".to_owned(), |v| v.to_string()),
                view.error.as_ref(),
            ),
            Err(problem) => ("not begun".to_owned(), Some(problem)),
        };
        *verdicts.entry(verdict).or_default() += 1;
        if let Some(problem) = problem {
            *problems.entry(problem.cause.clone()).or_default() += 1;
        }
    }
    println!(
        "instances          {} ({} at once)",
        args.instances, args.at_once
    );
    println!("verdicts           {verdicts:?}");
    for (problem, n) in problems {
        println!("problem            {n} x {problem}");
    }
    println!("longest window     {:?} ms", longest(views));
    println!("throttled calls    {:?}", tally.throttled);
    println!("calls              {:?}", tally.calls);
    let bound = Bucket::iter()
        .filter_map(|bucket| {
            let calls = *tally.calls.get(&bucket.to_string())?;
            Some((bucket.least(calls).as_secs_f64(), bucket, calls))
        })
        .max_by(|(one, ..), (two, ..)| one.total_cmp(two));
    let seconds = took.as_secs_f64();
    println!("virtual time       {seconds:.1} s");
    let (buckets, words) = bound.map_or((0.0, String::new()), |(least, bucket, calls)| {
        (least, format!(" ({calls} x {bucket})"))
    });
    println!("bound by buckets   {buckets:.1} s{words}");
    let each = length_of_a_job(views);
    let jobs = f64::from(u32::try_from(views.len()).unwrap_or(u32::MAX));
    let turns = jobs * each / f64::from(args.at_once);
    println!(
        "bound by at-once   {turns:.1} s ({jobs} jobs x {each:.2} s / {})",
        args.at_once
    );
    let (name, larger) = if buckets >= turns {
        ("buckets", buckets)
    } else {
        ("at-once", turns)
    };
    println!("what binds         {name}; ratio {:.3}", seconds / larger);
    if buckets > 0.0 {
        println!("ratio to buckets   {:.3}", seconds / buckets);
    }
    println!("real time          {:.1} s", real.as_secs_f64());
    println!("peak memory        {}", peak_memory());
}

fn longest(views: &[Result<JobView, Problem>]) -> Option<u64> {
    views
        .iter()
        .flatten()
        .filter_map(|v| v.freeze_window_ms)
        .max()
}

/// Seconds that a job takes of its place when nobody is in its way: the shortest of this run, from its preflight
/// until only AWS's copying is left.
fn length_of_a_job(views: &[Result<JobView, Problem>]) -> f64 {
    let at = |view: &JobView, phase| {
        let record = view.phases.iter().find(|p| p.phase == phase)?;
        Some(record.started)
    };
    let length = |view: &JobView| {
        let (from, to) = (at(view, Phase::Preflight)?, at(view, Phase::Completing)?);
        (to - from).to_std().ok()
    };
    let shortest = views.iter().flatten().filter_map(length).min();
    shortest.unwrap_or_default().as_secs_f64()
}

/// `VmHWM` of this process, the lab included; Linux only.
fn peak_memory() -> String {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(format!("{} MiB", kib / 1024))
        })
        .unwrap_or_else(|| "unknown".to_owned())
}
