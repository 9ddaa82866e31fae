//! Seeds of the simulation, as many as you like, on all cores; a failing one is cut down to its shortest story and
//! prints how to replay it.
//!
//! `cargo run --example simulate -- --seeds 100000` (or `--from 5000 --seeds 1000`, or `--seed 7 --verbose`).
//! `--fresh 1000` plays seeds that nobody has drawn before, and appends those that fail to `tests/simulation/seeds.txt`, which
//! `cargo test` plays again. `--story NAME` plays stories of one kind only: plain, run, abort, third_party, twins, hosts,
//! outage, clocks, lost.
#![recursion_limit = "256"] // Whole runs of the engine inside one future.
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

#[path = "../tests/simulation/sim/mod.rs"]
mod sim;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use sim::draw::{Draw, Seed, Theme};
use sim::list::{self, Entry};
use sim::shrink::{self, Cut};
use sim::{Ending, play};

/// Fresh seeds are drawn from here on: what lies below was drawn in order before.
const FRESH_FROM: u64 = 1 << 32;

#[derive(Parser)]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed only
    #[arg(long)]
    seed: Option<u64>,
    /// So many seeds that nobody has drawn before; those that fail are appended to tests/simulation/seeds.txt
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["seed", "from", "seeds"])]
    fresh: Option<u64>,
    /// How faults are drawn: wide (weights of its own for each seed, and what real agents do), swarm (the same without
    /// that), even (all as likely)
    #[arg(long, default_value_t = Draw::Wide)]
    draw: Draw,
    /// Stories of this kind only: plain, run, abort, third_party, twins (one journal), hosts (two), outage, clocks, lost
    #[arg(long)]
    story: Option<Theme>,
    /// What to cut out of the story of --seed, as a failing one prints it
    #[arg(long, requires = "seed", value_delimiter = ',')]
    cut: Vec<Cut>,
    /// Show the story, every call and every freeze
    #[arg(long)]
    verbose: bool,
    /// Leave a failing story as it was drawn
    #[arg(long)]
    whole: bool,
    /// Threads; all cores when absent
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (from, to) = match (args.seed, args.fresh) {
        (Some(seed), _) => (seed, seed.saturating_add(1)),
        (None, Some(count)) => {
            let from = fastrand::u64(FRESH_FROM..u64::MAX / 2);
            (from, from + count)
        }
        (None, None) => (args.from, args.from + args.seeds),
    };
    let threads = args
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let began = Instant::now();
    let (next, writes) = (AtomicU64::new(from), AtomicU64::new(0));
    let bad = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= to {
                        return;
                    }
                    let seed = Seed {
                        number,
                        draw: args.draw,
                        theme: args.story,
                    };
                    let entry = Entry {
                        seed,
                        cuts: args.cut.clone(),
                    };
                    match one(entry, &args) {
                        Ok(count) => {
                            writes.fetch_add(u64::from(count), Ordering::Relaxed);
                        }
                        Err(failed) => bad
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(failed),
                    }
                }
            });
        }
    });
    let bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    let count = u32::try_from(to - from).unwrap_or(u32::MAX);
    println!(
        "{count} seeds from {from}, {} bad, {} journal writes watched, {seconds:.1} s on {threads} threads: {:.1} seeds per second",
        bad.len(),
        writes.into_inner(),
        f64::from(count) / seconds
    );
    if args.fresh.is_some()
        && let Err(error) = append(&bad)
    {
        println!("{}: {error}", list::path().display());
    }
    if bad.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A story that broke a promise.
struct Failed {
    entry: Entry,
    /// The first that it broke.
    broken: String,
}

/// Appends what failed to the list that `cargo test` plays again.
fn append(bad: &[Failed]) -> std::io::Result<()> {
    if bad.is_empty() {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(list::path())?;
    for Failed { entry, broken } in bad {
        writeln!(file, "# {broken}\n{entry}")?;
    }
    println!("appended to {}", list::path().display());
    Ok(())
}

/// Journal writes of a good seed. A bad one is told.
fn one(entry: Entry, args: &Args) -> Result<u32, Failed> {
    let story = entry.story();
    if args.verbose {
        println!("{:#?}", story.shown());
    }
    let failed = |entry, broken: &str| Failed {
        entry,
        broken: broken.replace('\n', " "),
    };
    let ending = match play(&story) {
        Ok(ending) => ending,
        Err(error) => {
            println!("{entry}: {error}");
            return Err(failed(entry, &error));
        }
    };
    if args.verbose {
        tell(&ending);
    }
    let Some(first) = ending.violations.first() else {
        return Ok(ending.writes);
    };
    let mut text = format!("{entry}:\n");
    for violation in &ending.violations {
        text.push_str(&format!("  {violation}\n"));
    }
    let mut shortest = entry.clone();
    if !args.whole {
        let (cuts, story) = shrink::shrink(&story, &ending.violations);
        shortest.cuts.extend(cuts);
        if args.verbose {
            text.push_str(&format!("its shortest form: {:#?}\n", story.shown()));
        }
    }
    println!("{text}  replay: cargo run --example simulate -- {shortest} --verbose");
    Err(failed(shortest, first))
}

/// Every call, every freeze, every job.
fn tell(ending: &Ending) {
    for call in &ending.eye.calls {
        let took = (call.ended - call.at).num_milliseconds();
        println!(
            "{} {:>6} ms {} {} {}",
            call.at.format("%T%.3f"),
            took,
            call.action,
            call.subject,
            call.outcome
        );
    }
    for (instance, history) in &ending.eye.histories {
        for happening in history {
            println!(
                "{instance} {} {} {:?}",
                happening.at.format("%T%.3f"),
                happening.job,
                happening.what
            );
        }
    }
    for view in ending.eye.closed.iter().chain(&ending.eye.open) {
        println!(
            "{} {:?} uncertain={} {:?}",
            view.spec.job, view.verdict, view.thaw_unconfirmed, view.error
        );
    }
}
