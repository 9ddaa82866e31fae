//! Stories drawn from seeds.

use std::fmt::Write as _;
use std::time::Duration;

use freezeframe::domain::job::{Mode, OnFailure};
use freezeframe::domain::run::Limits;
use freezeframe::lab::Weather;
use freezeframe::lab::faults::plan::{Entry, Kind, Plan};

use super::story::{Abort, Console, Manners, Moment, Outage, Story, Trouble, Wish, Without};

/// What a story is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Theme {
    /// Jobs or a run, faults, deaths, a stop of all.
    Plain,
    /// Several instances, groups, retries.
    Run,
    /// Somebody stops one or all, at any step.
    Abort,
    /// Documents of other makers.
    ThirdParty,
    /// Two consoles on one journal.
    Twins,
    /// Two consoles on two hosts.
    Hosts,
    /// Hours without AWS.
    Outage,
    /// Clocks that differ and jump.
    Clocks,
    /// The console's journal is lost with it.
    Lost,
}

/// How faults are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Draw {
    /// Every fault as likely in every story. Seeds that failed under this draw keep their meaning.
    Even,
    /// Each story has weights of its own: some faults never, some again and again, so that what is rare meets its like.
    Swarm,
    /// The same, and what agents of real instances do besides: scripts that somebody kills or that lose the agent's
    /// worker, time limits of the agent's own. Volumes are left out of sets, and more instances decide about the mode.
    Wide,
}

/// What a story is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    pub number: u64,
    pub draw: Draw,
    /// Of this kind, whatever the number says.
    pub theme: Option<Theme>,
}

#[cfg(test)]
impl Seed {
    pub fn of(number: u64) -> Self {
        Self {
            number,
            draw: Draw::Wide,
            theme: None,
        }
    }
}

/// The flags by which the example draws it.
impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--seed {}", self.number)?;
        if self.draw != Draw::Wide {
            write!(f, " --draw {}", self.draw)?;
        }
        match self.theme {
            Some(theme) => write!(f, " --story {theme}"),
            None => Ok(()),
        }
    }
}

impl Theme {
    fn drawn(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..20) {
            0..6 => Self::Plain,
            6..9 => Self::Run,
            9..12 => Self::Abort,
            12..14 => Self::ThirdParty,
            14 | 15 => Self::Twins,
            16 => Self::Hosts,
            17 => Self::Outage,
            18 => Self::Clocks,
            _ => Self::Lost,
        }
    }
}

impl Story {
    /// The story of a seed.
    pub fn of(seed: Seed) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed.number ^ 0x5eed_0f0f_1234_9876);
        let theme = Theme::drawn(&mut rng);
        let mut story = Self::about(seed.theme.unwrap_or(theme), seed.number);
        if seed.draw != Draw::Even {
            let mut rng = fastrand::Rng::with_seed(seed.number ^ 0x5aa2_2222_1771_0429);
            swarm(&mut rng, &mut story);
        }
        if seed.draw == Draw::Wide {
            let mut rng = fastrand::Rng::with_seed(seed.number ^ 0x77de_0a9e_4715_1203);
            widen(&mut rng, &mut story);
        }
        story
    }

    /// The story of a number with that theme, every fault as likely as another.
    fn about(theme: Theme, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0dd5_eed5_4321_6789);
        let rng = &mut rng;
        let count = match theme {
            Theme::Run => [2, 2, 3, 4, 6][rng.usize(0..5)],
            _ => [1, 1, 1, 2, 3][rng.usize(0..5)],
        };
        let third_party = |rng: &mut fastrand::Rng| theme == Theme::ThirdParty && rng.u8(0..4) > 0;
        let wishes: Vec<Wish> = (0..count)
            .map(|_| {
                let third_party = third_party(rng);
                wish(rng, third_party)
            })
            .collect();
        let grouped = theme == Theme::Run || rng.u8(0..4) == 0;
        let world = world(rng, count, grouped);
        let mut first = Console {
            run: (theme == Theme::Run || rng.bool()).then(|| limits(rng)),
            death: (rng.u8(0..10) >= 5).then(|| rng.u32(1..40)),
            aborts: (rng.u8(0..8) == 0)
                .then(|| all_after(rng.u64(100..20_000)))
                .into_iter()
                .collect(),
            ..Console::of(0..count)
        };
        let mut story = Self {
            seed,
            world,
            wishes,
            consoles: Vec::new(),
            plan: plan(rng),
            faults: Vec::new(),
            storm: Duration::from_secs(1_200),
            outages: Vec::new(),
            deaths: (rng.u8(0..10) == 0)
                .then(|| rng.u32(1..12))
                .into_iter()
                .collect(),
            gap: Duration::from_millis(rng.u64(10..120_000)),
            lost: false,
            robbed: false,
            unguarded: false,
            hidden: false,
        };
        match theme {
            Theme::Plain | Theme::Run => {}
            Theme::ThirdParty => story.plan.faults.retain(lays_no_trap),
            Theme::Abort => {
                first.aborts = (0..rng.usize(1..3)).map(|_| abort(rng, count)).collect();
            }
            Theme::Twins | Theme::Hosts => {
                let mut second = Console {
                    journal: usize::from(theme == Theme::Hosts),
                    from: Duration::from_millis(rng.u64(0..15_000)),
                    run: rng.bool().then(|| limits(rng)),
                    death: (rng.u8(0..4) == 0).then(|| rng.u32(1..30)),
                    ..Console::of(0..count)
                };
                if rng.u8(0..4) == 0 {
                    second.aborts.push(abort(rng, count));
                }
                story.consoles.push(second);
            }
            Theme::Outage => {
                story.outages.push(outage(rng));
                story.storm = Duration::from_secs(rng.u64(1_200..12_000));
                story.gap = Duration::from_secs(rng.u64(1..10_000));
                first.death = rng.bool().then(|| rng.u32(1..60));
                story.deaths = (0..rng.usize(0..3)).map(|_| rng.u32(1..12)).collect();
            }
            Theme::Clocks => {
                first.ahead_s = rng.i64(-9_000..9_000);
                if rng.bool() {
                    let after = Duration::from_millis(rng.u64(100..30_000));
                    first.jump = Some((after, rng.i64(-4_000..4_000)));
                }
            }
            Theme::Lost => {
                story.lost = true;
                first.death = Some(rng.u32(5..40));
            }
        }
        story.consoles.insert(0, first);
        story
    }

    /// A story in which nothing goes wrong, of `count` instances.
    #[cfg(test)]
    pub fn plain_run(seed: u64, mode: Mode, count: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut text = "name = \"plain\"\n".to_owned();
        for n in 0..count {
            text.push_str(&instance(&mut rng, n, "linux-mysql", 2, "backup", None));
        }
        Self {
            seed,
            world: text,
            wishes: vec![
                Wish {
                    mode,
                    budget_s: 30,
                    on_failure: OnFailure::Skip,
                    freeze_root: false,
                    skew_s: 0,
                    document: None,
                    auto: false,
                    without: Without::default(),
                };
                count
            ],
            consoles: vec![Console::of(0..count)],
            plan: Plan {
                name: "nothing".into(),
                about: String::new(),
                weather: Weather::default(),
                faults: Vec::new(),
            },
            faults: Vec::new(),
            storm: Duration::from_secs(1_200),
            outages: Vec::new(),
            deaths: Vec::new(),
            gap: Duration::from_secs(1),
            lost: false,
            robbed: false,
            unguarded: false,
            hidden: false,
        }
    }

    /// A story of one job in which nothing goes wrong.
    #[cfg(test)]
    pub fn plain(seed: u64, mode: Mode) -> Self {
        Self::plain_run(seed, mode, 1)
    }
}

impl Console {
    /// One that starts at once and is asked for these, one by one.
    pub fn of(wishes: std::ops::Range<usize>) -> Self {
        Self {
            journal: 0,
            from: Duration::ZERO,
            wishes: wishes.collect(),
            run: None,
            death: None,
            aborts: Vec::new(),
            ahead_s: 0,
            jump: None,
        }
    }
}

fn all_after(ms: u64) -> Abort {
    Abort {
        at: Moment::After(Duration::from_millis(ms)),
        whom: None,
        by_another: false,
    }
}

fn abort(rng: &mut fastrand::Rng, count: usize) -> Abort {
    Abort {
        at: if rng.bool() {
            Moment::Write(rng.u32(1..40))
        } else {
            Moment::After(Duration::from_millis(rng.u64(10..30_000)))
        },
        whom: rng.bool().then(|| rng.usize(0..count)),
        by_another: rng.bool(),
    }
}

fn outage(rng: &mut fastrand::Rng) -> Outage {
    Outage {
        from: Duration::from_millis(rng.u64(500..30_000)),
        lasting: Duration::from_secs(rng.u64(30..9_000)),
        how: [Trouble::Dark, Trouble::Expired, Trouble::Unavailable][rng.usize(0..3)],
    }
}

fn limits(rng: &mut fastrand::Rng) -> Limits {
    Limits {
        at_once: [1, 2, 3, 10][rng.usize(0..4)],
        retries: [0, 0, 1, 2][rng.usize(0..4)],
        ..Limits::default()
    }
}

fn world(rng: &mut fastrand::Rng, count: usize, grouped: bool) -> String {
    let mut text = "name = \"drawn\"\n".to_owned();
    for n in 0..count {
        let recipe = [
            "linux-filesystem",
            "linux-mysql",
            "linux-mysql",
            "linux-postgresql",
        ][rng.usize(0..4)];
        let role = ["backup", "backup", "backup", "backup", "bare", "none"][rng.usize(0..6)];
        let volumes = rng.usize(1..4);
        let group = grouped.then(|| ["pair", "pair", "other"][rng.usize(0..3)]);
        text.push_str(&instance(rng, n, recipe, volumes, role, group));
    }
    text
}

fn instance(
    rng: &mut fastrand::Rng,
    n: usize,
    recipe: &str,
    volumes: usize,
    role: &str,
    group: Option<&str>,
) -> String {
    let latency = rng.u64(30..1_500);
    let group = group.map_or_else(String::new, |name| {
        format!(", \"freezeframe:group\" = \"{name}\"")
    });
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "[[instance]]\nid = \"i-{n:017x}\"\nname = \"box{n}\"\nrole = \"{role}\"\ncommand_latency_ms = {latency}\n\
         tags = {{ ConsistentSnapshot = \"{recipe}\"{group} }}\n[[instance.volume]]\ndevice = \"/dev/xvda\"\nsize = 8\nmount = \"/\"\nfs = \"xfs\"\n"
    );
    for v in 0..volumes {
        let letter = char::from(b'f' + u8::try_from(v).unwrap_or(0));
        let mount = ["/var/lib/mysql", "/srv", "/export"][v % 3];
        let _ = write!(
            text,
            "[[instance.volume]]\ndevice = \"/dev/sd{letter}\"\nsize = {}\nmount = \"{mount}\"\nfs = \"{}\"\n",
            rng.u32(1..200),
            ["ext4", "xfs"][rng.usize(0..2)]
        );
    }
    text
}

fn wish(rng: &mut fastrand::Rng, third_party: bool) -> Wish {
    let document = third_party.then(|| Manners::ALL[rng.usize(0..Manners::ALL.len())]);
    let mode = match document {
        Some(_) => Mode::Coordinated,
        None => [Mode::Coordinated, Mode::Autonomous][rng.usize(0..2)],
    };
    Wish {
        mode,
        budget_s: [5, 10, 15, 30, 60][rng.usize(0..5)],
        on_failure: [OnFailure::Skip, OnFailure::CrashConsistent][rng.usize(0..2)],
        freeze_root: mode == Mode::Autonomous && rng.u8(0..4) == 0,
        skew_s: if rng.u8(0..12) == 0 {
            rng.i64(-5_000..5_000)
        } else {
            0
        },
        document,
        auto: false,
        without: Without::default(),
    }
}

fn plan(rng: &mut fastrand::Rng) -> Plan {
    let weather = if rng.u8(0..3) == 0 {
        Weather {
            snapshot_lag_ms: rng.u32(0..12_000),
            tag_lag_ms: rng.u32(0..8_000),
            command_lag_ms: rng.u32(0..4_000),
            flicker_percent: rng.u8(0..60),
        }
    } else {
        Weather::default()
    };
    Plan {
        name: "drawn".into(),
        about: String::new(),
        weather,
        faults: (0..rng.usize(0..5)).map(|_| entry(rng)).collect(),
    }
}

/// What faults befall.
const CALLS: [&str; 7] = [
    "CreateSnapshots",
    "SendCommand",
    "GetCommandInvocation",
    "CreateTags",
    "DescribeSnapshots",
    "DescribeInstances",
    "*",
];
const COMMANDS: [&str; 5] = ["dry-run", "pre-script", "snapshot", "post-script", "*"];
/// Kinds of faults, some of them twice because they are more likely.
const KINDS: u8 = 16;

fn entry(rng: &mut fastrand::Rng) -> Entry {
    let call = CALLS[rng.usize(0..CALLS.len())];
    let command = COMMANDS[rng.usize(0..COMMANDS.len())];
    fault(rng, call, command, None)
}

/// Of that kind, or of any.
fn fault(rng: &mut fastrand::Rng, call: &str, command: &str, kind: Option<u8>) -> Entry {
    // Most are late by seconds, some by hours.
    let late = match rng.u8(0..8) {
        0 => rng.u64(40_000..7_200_000),
        _ => rng.u64(1_000..40_000),
    };
    let kind = kind.unwrap_or_else(|| rng.u8(0..KINDS));
    let (on, kind, ms) = match kind {
        0 => (call, Kind::Throttled, 0),
        1 => (call, Kind::Unavailable, 0),
        2 => (call, Kind::Broken, 0),
        3 => (call, Kind::Reset, 0),
        4 | 5 => (call, Kind::LoseResponse, 0),
        6 => (call, Kind::Delay, rng.u64(500..40_000)),
        7 => ("CreateSnapshots", Kind::Slow, rng.u64(2_000..40_000)),
        8 => (call, Kind::Expired, 0),
        9 => (call, Kind::Skewed, 0),
        10 => (command, Kind::Late, late),
        11 => (command, Kind::Twice, rng.u64(1..8_000)),
        12 => (command, Kind::Cancelled, rng.u64(1..3_000)),
        13 => (command, Kind::Killed, rng.u64(1..3_000)),
        14 => (command, Kind::AgentLost, rng.u64(1_000..90_000)),
        _ => (command, Kind::Truncated, 0),
    };
    Entry {
        on: on.to_owned(),
        kind,
        ms,
        skip: rng.u32(0..4),
        times: [1, 1, 2, 5, u32::MAX][rng.usize(0..5)],
        percent: [100, 100, 60, 25][rng.usize(0..4)],
        characters: rng.usize(0..1_500),
        code: String::new(),
        status: 400,
    }
}

/// One to three of `all`.
fn some<T: Copy>(rng: &mut fastrand::Rng, all: &[T]) -> Vec<T> {
    let often = rng.usize(1..=3);
    (0..often).map(|_| all[rng.usize(0..all.len())]).collect()
}

/// Gives a story weights of its own: a few kinds of faults on a few calls and commands, many of them or few; its people
/// busy or idle.
fn swarm(rng: &mut fastrand::Rng, story: &mut Story) {
    let (kinds, calls, commands) = {
        let kinds: Vec<u8> = (0..KINDS).collect();
        (some(rng, &kinds), some(rng, &CALLS), some(rng, &COMMANDS))
    };
    let count = [0, 1, 2, 3, 5, 9][rng.usize(0..6)];
    story.plan.faults = (0..count)
        .map(|_| {
            let call = calls[rng.usize(0..calls.len())];
            let command = commands[rng.usize(0..commands.len())];
            let kind = kinds[rng.usize(0..kinds.len())];
            let mut entry = fault(rng, call, command, Some(kind));
            // The calls of a job that matter come late, and more than once.
            let late = [1, 4, 12][rng.usize(0..3)];
            entry.skip = rng.u32(0..late);
            entry
        })
        .collect();
    let wishes = story.wishes.len();
    for console in &mut story.consoles {
        if rng.u8(0..4) == 0 {
            console.aborts = (0..rng.usize(0..4)).map(|_| abort(rng, wishes)).collect();
        }
        // Late in the life of a job, where it is judged and labelled.
        if rng.u8(0..4) == 0 {
            console.death = Some(rng.u32(10..50));
        }
    }
    if rng.u8(0..4) == 0 {
        story.deaths = (0..rng.usize(1..4)).map(|_| rng.u32(1..16)).collect();
    }
    // Somebody comes by while others are still at it.
    if rng.u8(0..3) == 0 {
        story.gap = Duration::from_millis(rng.u64(10..3_000));
    }
    if story.wishes.iter().any(|wish| wish.document.is_some()) {
        story.plan.faults.retain(lays_no_trap);
    }
}

/// Adds what real agents do to a story that was drawn without it, in two of five.
fn widen(rng: &mut fastrand::Rng, story: &mut Story) {
    let count = [0, 0, 0, 1, 2][rng.usize(0..5)];
    for _ in 0..count {
        let on = COMMANDS[rng.usize(0..COMMANDS.len())];
        let mut entry = fault(rng, "*", on, Some(13));
        (entry.kind, entry.ms) = match rng.u8(0..4) {
            0 | 1 => (Kind::Killed, rng.u64(1..1_200)),
            2 => (Kind::WorkerLost, rng.u64(1..1_200)),
            _ => (Kind::TimedOut, rng.u64(1..1_200)),
        };
        entry.skip = rng.u32(0..2);
        // The first that fits decides: these come before what else befalls commands.
        story.plan.faults.insert(0, entry);
    }
    for wish in &mut story.wishes {
        wish.auto = wish.document.is_none() && rng.u8(0..4) == 0;
        wish.without = Without {
            // To freeze / and leave its volume out is refused before there is a job.
            root: rng.u8(0..6) == 0 && !wish.freeze_root,
            last: rng.u8(0..8) == 0,
        };
    }
    for device in ["/dev/sdf", "/dev/sdg", "/dev/sdh"] {
        let line = format!("device = \"{device}\"\n");
        let mut parts = story.world.split(&line);
        let mut world = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            world.push_str(&line);
            if rng.u8(0..10) == 0 {
                world.push_str("tags = { \"freezeframe:exclude\" = \"yes\" }\n");
            }
            world.push_str(part);
        }
        story.world = world;
    }
}

/// Documents of other makers do not note that they were delivered: a second delivery freezes again, and nobody hears of it.
fn lays_no_trap(entry: &Entry) -> bool {
    entry.kind != Kind::Twice
}
