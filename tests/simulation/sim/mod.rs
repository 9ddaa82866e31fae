//! The simulation: the real engine, through the real SDK, in process against the lab on tokio's paused clock. One
//! story is one seed's fleet, wishes, consoles, faults, aborts and deaths; after every journal write and at the end
//! the lab's own books are held against what the consoles claim. Used by tests/simulation.rs and examples/simulate.rs.

mod claims;
mod console;
pub mod draw;
pub mod eye;
mod line;
pub mod list;
mod look;
pub mod shrink;
mod stage;
pub mod story;
mod theirs;

use std::time::Duration;

use console::Process;
use eye::Eye;
use stage::Stage;
use story::Story;

/// Starts in fair weather after which a job that is still open counts as forgotten.
const STARTS: u32 = 60;
/// As many more, an hour apart, has one of somebody else's document: no failsafe of ours ends its unconfirmed thaw.
const THEIR_STARTS: u32 = 30;
const THEIR_PAUSE: Duration = Duration::from_secs(3_600);
/// Between two starts; nobody starts again at once while nothing works.
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_IN_A_STORM: Duration = Duration::from_secs(600);
/// After the end, for whatever comes late.
const AFTERMATH: Duration = Duration::from_secs(300);

/// How a story ended.
pub struct Ending {
    /// What was not as promised; empty is good.
    pub violations: Vec<String>,
    /// Journal writes of all consoles.
    pub writes: u32,
    /// The last look, from which the violations follow.
    pub eye: Eye,
}

/// Plays a story to its end, on a runtime of its own.
///
/// # Errors
/// The stage could not be set: nothing was simulated.
pub fn play(story: &Story) -> Result<Ending, String> {
    // The SDK's retries throw this thread's dice.
    fastrand::seed(story.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(Stage::set(story))?.map_or_else(
        || Err("no instance can be asked".to_owned()),
        |stage| Ok(runtime.block_on(played(&stage, story))),
    )
}

async fn played(stage: &Stage, story: &Story) -> Ending {
    stage.weather(story);
    let storm = tokio::time::Instant::now() + story.storm;
    let lives = story.consoles.iter().zip(stage.specs.iter());
    let lives = lives.map(|(console, specs)| {
        let life = Process::new(stage).run(console.clone(), specs.clone(), story.storm);
        tokio::spawn(life)
    });
    futures::future::join_all(lives.collect::<Vec<_>>()).await;
    for journal in usize::from(story.lost)..stage.journals.len() {
        later_lives(stage, story, journal, storm).await;
    }
    stage.look.leases(stage);
    stage.look.orphans(stage).await;
    tokio::time::sleep(AFTERMATH).await;
    stage.look.end()
}

/// Starts after starts, until nothing is open any more.
async fn later_lives(stage: &Stage, story: &Story, journal: usize, storm: tokio::time::Instant) {
    let mut deaths = story.deaths.iter().copied();
    let (mut fair, mut pause) = (0, story.gap);
    while fair < STARTS + THEIR_STARTS {
        let left = stage.disown(journal);
        // What another process drives (`jobs abort`) may be left by it as well.
        if left.is_empty() && !stage.is_driven(journal) {
            return;
        }
        if fair >= STARTS {
            if left.iter().any(|spec| !spec.third_party) {
                break;
            }
            pause = THEIR_PAUSE;
        }
        tokio::time::sleep(pause).await;
        let storms = tokio::time::Instant::now() < storm;
        pause = if storms && story.storm > PAUSE_IN_A_STORM * 4 {
            PAUSE_IN_A_STORM
        } else {
            PAUSE
        };
        fair += u32::from(!storms);
        if !left.is_empty() {
            Process::new(stage)
                .resume(journal, deaths.next(), story.storm)
                .await;
        }
    }
    let left = stage.disown(journal).len();
    if left > 0 {
        stage.look.wrong(vec![format!(
            "{left} job(s) still open after {STARTS} starts"
        )]);
    }
}
