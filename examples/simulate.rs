//! Seeds of the simulation, as many as you like, on all cores; a failing one prints how to replay it.
//!
//! `cargo run --release --example simulate -- --seeds 100000` (or `--from 5000 --seeds 1000`, or `--seed 7 --verbose`).
//! `--story NAME` plays stories of one kind only: plain, run, abort, foreign, twins, hosts, outage, clocks, lost.
#![recursion_limit = "256"] // Whole runs of the engine inside one future.
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

#[path = "../tests/sim/mod.rs"]
mod sim;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use sim::draw::Theme;
use sim::play;
use sim::story::Story;

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
    /// Stories of this kind only: plain, run, abort, foreign, twins (one journal), hosts (two), outage, clocks, lost
    #[arg(long)]
    story: Option<Theme>,
    /// Show the story, every call and every freeze
    #[arg(long)]
    verbose: bool,
    /// Threads; all cores when absent
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (from, to) = match args.seed {
        Some(seed) => (seed, seed + 1),
        None => (args.from, args.from + args.seeds),
    };
    let threads = args
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let began = Instant::now();
    let (next, bad, writes) = (AtomicU64::new(from), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    if let Some(count) = one(seed, args.story, args.verbose) {
                        writes.fetch_add(u64::from(count), Ordering::Relaxed);
                    } else {
                        bad.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (seconds, bad) = (began.elapsed().as_secs_f64(), bad.into_inner());
    let count = u32::try_from(to - from).unwrap_or(u32::MAX);
    println!(
        "{count} seeds, {bad} bad, {} journal writes watched, {seconds:.1} s on {threads} threads: {:.1} seeds per second",
        writes.into_inner(),
        f64::from(count) / seconds
    );
    if bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Journal writes of a good seed; `None` for a bad one, which is told.
fn one(seed: u64, theme: Option<Theme>, verbose: bool) -> Option<u32> {
    let story = theme.map_or_else(|| Story::of(seed), |theme| Story::about(theme, seed));
    if verbose {
        println!("{story:#?}");
    }
    let ending = match play(&story) {
        Ok(ending) => ending,
        Err(error) => {
            println!("seed {seed}: {error}");
            return None;
        }
    };
    if verbose {
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
                view.spec.job, view.verdict, view.thaw_uncertain, view.error
            );
        }
    }
    if ending.violations.is_empty() {
        return Some(ending.writes);
    }
    println!("seed {seed}:");
    for violation in &ending.violations {
        println!("  {violation}");
    }
    let kind = theme.map_or_else(String::new, |theme| format!(" --story {theme}"));
    println!("  replay: cargo run --example simulate -- --seed {seed}{kind} --verbose");
    None
}
