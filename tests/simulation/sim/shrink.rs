//! The shortest story that still breaks the same promise: what does not matter is cut away, one thing at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use freezeframe::lab::Weather;

use super::play;
use super::story::{Moment, Story};

/// Plays at most, for one story.
const PLAYS: u32 = 400;

/// Something that is taken out of a story, or made simpler. Numbers are those of the story as it was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cut {
    /// A console that is not the first.
    Console(usize),
    /// One wish of all consoles.
    Wish(usize),
    Fault(usize),
    Abort(usize, usize),
    Death(usize),
    /// Of a start that settles what is left.
    LaterDeath(usize),
    Outage(usize),
    Weather,
    /// Its clock is right.
    Clock(usize),
    /// The instance's clock is right.
    Skew(usize),
    /// Jobs one by one, not as a run.
    Run(usize),
    /// The fault befalls once.
    Once(usize),
    /// Whenever it could.
    Sure(usize),
    /// At the first that it could befall.
    First(usize),
    /// Half as long; may come again.
    Half(usize),
    /// The next start comes at once.
    Gap,
    /// The stop comes half as late; may come again.
    Sooner(usize, usize),
}

impl Cut {
    /// The story without it; `None` where that is the same story.
    pub fn of(self, story: &Story) -> Option<Story> {
        let mut cut = story.clone();
        self.apply(&mut cut)?;
        (format!("{cut:?}") != format!("{story:?}")).then_some(cut)
    }

    /// What is cut out of a list leaves a gap in it, so that the numbers of the others stay what they are.
    fn apply(self, story: &mut Story) -> Option<()> {
        match self {
            Self::Console(0) => return None,
            Self::Console(n) => story.consoles.get_mut(n)?.wishes.clear(),
            Self::Wish(n) => {
                for console in &mut story.consoles {
                    console.wishes.retain(|wish| *wish != n);
                }
                if story
                    .consoles
                    .first()
                    .is_none_or(|first| first.wishes.is_empty())
                {
                    return None;
                }
            }
            Self::Fault(n) => story.plan.faults.get_mut(n)?.times = 0,
            Self::Abort(console, n) => {
                story.consoles.get_mut(console)?.aborts.get_mut(n)?.at = Moment::Write(u32::MAX);
            }
            Self::Death(n) => story.consoles.get_mut(n)?.death = None,
            Self::LaterDeath(n) => *story.deaths.get_mut(n)? = u32::MAX,
            Self::Outage(n) => story.outages.get_mut(n)?.lasting = Duration::ZERO,
            Self::Weather => story.plan.weather = Weather::default(),
            Self::Clock(n) => {
                let console = story.consoles.get_mut(n)?;
                console.ahead_s = 0;
                console.jump = None;
            }
            Self::Skew(n) => story.wishes.get_mut(n)?.skew_s = 0,
            Self::Run(n) => story.consoles.get_mut(n)?.run = None,
            Self::Once(n) => {
                let times = &mut story.plan.faults.get_mut(n)?.times;
                *times = (*times).min(1);
            }
            // Of what is cut out already.
            Self::Sure(n) | Self::First(n) | Self::Half(n)
                if story.plan.faults.get(n)?.times == 0 =>
            {
                return None;
            }
            Self::Sure(n) => story.plan.faults.get_mut(n)?.percent = 100,
            Self::First(n) => story.plan.faults.get_mut(n)?.skip = 0,
            Self::Half(n) => story.plan.faults.get_mut(n)?.ms /= 2,
            Self::Gap => story.gap = Duration::from_millis(10),
            Self::Sooner(console, n) => {
                match &mut story.consoles.get_mut(console)?.aborts.get_mut(n)?.at {
                    Moment::Write(u32::MAX) => return None,
                    Moment::Write(at) => *at = at.div_ceil(2),
                    Moment::After(after) => *after /= 2,
                }
            }
        }
        Some(())
    }

    /// What can be cut out of a story, the large things first.
    fn all(story: &Story) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        all.extend((1..story.consoles.len()).map(Self::Console));
        all.extend((0..story.wishes.len()).map(Self::Wish));
        all.extend((0..story.plan.faults.len()).map(Self::Fault));
        for (n, console) in story.consoles.iter().enumerate() {
            all.extend((0..console.aborts.len()).map(|abort| Self::Abort(n, abort)));
            all.extend([Self::Death(n), Self::Clock(n), Self::Run(n)]);
        }
        all.extend((0..story.deaths.len()).map(Self::LaterDeath));
        all.extend((0..story.outages.len()).map(Self::Outage));
        all.extend((0..story.wishes.len()).map(Self::Skew));
        all.extend([Self::Weather, Self::Gap]);
        for n in 0..story.plan.faults.len() {
            all.extend([Self::Once(n), Self::Sure(n), Self::First(n)]);
            all.extend([Self::Half(n); 4]);
        }
        for (n, console) in story.consoles.iter().enumerate() {
            for abort in 0..console.aborts.len() {
                all.extend([Self::Sooner(n, abort); 3]);
            }
        }
        all
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console(n) => write!(f, "console:{n}"),
            Self::Wish(n) => write!(f, "wish:{n}"),
            Self::Fault(n) => write!(f, "fault:{n}"),
            Self::Abort(n, m) => write!(f, "abort:{n}:{m}"),
            Self::Death(n) => write!(f, "death:{n}"),
            Self::LaterDeath(n) => write!(f, "later-death:{n}"),
            Self::Outage(n) => write!(f, "outage:{n}"),
            Self::Weather => f.write_str("weather"),
            Self::Clock(n) => write!(f, "clock:{n}"),
            Self::Skew(n) => write!(f, "skew:{n}"),
            Self::Run(n) => write!(f, "run:{n}"),
            Self::Once(n) => write!(f, "once:{n}"),
            Self::Sure(n) => write!(f, "sure:{n}"),
            Self::First(n) => write!(f, "first:{n}"),
            Self::Half(n) => write!(f, "half:{n}"),
            Self::Gap => f.write_str("gap"),
            Self::Sooner(n, m) => write!(f, "sooner:{n}:{m}"),
        }
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no cut of a story, such as fault:2 or gap");
        let mut words = text.split(':');
        let name = words.next().unwrap_or_default();
        let numbers: Result<Vec<usize>, _> = words.map(str::parse).collect();
        Ok(match (name, numbers.map_err(|_| wrong())?.as_slice()) {
            ("console", [n]) => Self::Console(*n),
            ("wish", [n]) => Self::Wish(*n),
            ("fault", [n]) => Self::Fault(*n),
            ("abort", [n, m]) => Self::Abort(*n, *m),
            ("death", [n]) => Self::Death(*n),
            ("later-death", [n]) => Self::LaterDeath(*n),
            ("outage", [n]) => Self::Outage(*n),
            ("weather", []) => Self::Weather,
            ("clock", [n]) => Self::Clock(*n),
            ("skew", [n]) => Self::Skew(*n),
            ("run", [n]) => Self::Run(*n),
            ("once", [n]) => Self::Once(*n),
            ("sure", [n]) => Self::Sure(*n),
            ("first", [n]) => Self::First(*n),
            ("half", [n]) => Self::Half(*n),
            ("gap", []) => Self::Gap,
            ("sooner", [n, m]) => Self::Sooner(*n, *m),
            _ => return Err(wrong()),
        })
    }
}

/// What was broken, without names, numbers and times: the same in every story that breaks the same promise.
pub fn kinds(violations: &[String]) -> BTreeSet<String> {
    violations.iter().map(|violation| kind(violation)).collect()
}

fn kind(violation: &str) -> String {
    let named = |word: &str| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        digits > 0 || ["coordinated", "autonomous"].contains(&word)
    };
    let words = violation.split_whitespace();
    // What a job died of is another matter.
    let words = words.take_while(|word| *word != "Some(\"");
    let words: Vec<&str> = words
        .map(|word| if named(word) { "…" } else { word })
        .collect();
    words.join(" ")
}

/// Cuts away whatever the story can do without and still break one of the promises that it broke. Returns the cuts
/// and what is left.
pub fn shrink(story: &Story, broken: &[String]) -> (Vec<Cut>, Story) {
    let broken = kinds(broken);
    let (mut cuts, mut shortest) = (Vec::new(), story.clone());
    let mut plays = 0;
    loop {
        let before = cuts.len();
        for cut in Cut::all(story) {
            let Some(shorter) = cut.of(&shortest) else {
                continue;
            };
            plays += 1;
            if plays > PLAYS {
                return (cuts, shortest);
            }
            let ending = play(&shorter);
            let fails = ending.is_ok_and(|e| !kinds(&e.violations).is_disjoint(&broken));
            if fails {
                cuts.push(cut);
                shortest = shorter;
            }
        }
        if cuts.len() == before {
            return (cuts, shortest);
        }
    }
}
