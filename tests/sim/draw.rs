//! A story drawn from a seed: a small fleet, what is asked of it, what goes wrong, and when the console dies.

use std::fmt::Write as _;
use std::time::Duration;

use freezeframe::domain::job::{Mode, OnFailure};
use freezeframe::lab::faults::plan::{Entry, Kind, Plan};
use freezeframe::lab::{Fault, Weather};

/// What is asked of one instance.
#[derive(Debug, Clone)]
pub struct Wish {
    pub mode: Mode,
    pub budget_s: u32,
    pub on_failure: OnFailure,
    pub freeze_root: bool,
    /// The instance's clock is ahead by so many seconds.
    pub skew_s: i64,
}

/// Everything that makes one simulation; the same story always goes the same way.
#[derive(Debug, Clone)]
pub struct Story {
    pub seed: u64,
    /// A world's TOML.
    pub world: String,
    /// One for each instance, in the order of their ids.
    pub wishes: Vec<Wish>,
    pub plan: Plan,
    /// Faults beyond the plan's, such as "call N".
    pub faults: Vec<Fault>,
    /// The first console dies at this journal write (1 is the first), the next at its own, and so on.
    pub deaths: Vec<u32>,
    /// How long nobody starts it again.
    pub gap: Duration,
    /// The operator stops everything after this time.
    pub cancel: Option<Duration>,
    /// Somebody thaws behind the document's back as soon as something is frozen, and the document lies about it.
    pub robbed: bool,
}

impl Story {
    /// The story of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed_0f0f_1234_9876);
        let count = [1, 1, 1, 2, 3][rng.usize(0..5)];
        let world = world(&mut rng, count);
        let wishes = (0..count).map(|_| wish(&mut rng)).collect();
        let deaths = match rng.u8(0..10) {
            0..5 => Vec::new(),
            5..9 => vec![rng.u32(1..40)],
            _ => vec![rng.u32(1..40), rng.u32(1..12)],
        };
        Self {
            seed,
            world,
            wishes,
            plan: plan(&mut rng),
            faults: Vec::new(),
            deaths,
            gap: Duration::from_millis(rng.u64(10..120_000)),
            cancel: (rng.u8(0..8) == 0).then(|| Duration::from_millis(rng.u64(100..20_000))),
            robbed: false,
        }
    }

    /// A story in which nothing goes wrong.
    #[cfg(test)]
    pub fn plain(seed: u64, mode: Mode, database: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let recipe = if database {
            "linux-mysql"
        } else {
            "linux-filesystem"
        };
        let world = instance(&mut rng, 0, recipe, 2, "backup");
        Self {
            seed,
            world: format!("name = \"plain\"\n{world}"),
            wishes: vec![Wish {
                mode,
                budget_s: 30,
                on_failure: OnFailure::Skip,
                freeze_root: false,
                skew_s: 0,
            }],
            plan: Plan {
                name: "nothing".into(),
                about: String::new(),
                weather: Weather::default(),
                faults: Vec::new(),
            },
            faults: Vec::new(),
            deaths: Vec::new(),
            gap: Duration::from_secs(1),
            cancel: None,
            robbed: false,
        }
    }
}

fn world(rng: &mut fastrand::Rng, count: usize) -> String {
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
        text.push_str(&instance(rng, n, recipe, volumes, role));
    }
    text
}

fn instance(rng: &mut fastrand::Rng, n: usize, recipe: &str, volumes: usize, role: &str) -> String {
    let latency = rng.u64(30..1_500);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "[[instance]]\nid = \"i-{n:017x}\"\nname = \"box{n}\"\nrole = \"{role}\"\ncommand_latency_ms = {latency}\n\
         tags = {{ ConsistentSnapshot = \"{recipe}\" }}\n[[instance.volume]]\ndevice = \"/dev/xvda\"\nsize = 8\nmount = \"/\"\nfs = \"xfs\"\n"
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

fn wish(rng: &mut fastrand::Rng) -> Wish {
    let mode = [Mode::Coordinated, Mode::Autonomous][rng.usize(0..2)];
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

fn entry(rng: &mut fastrand::Rng) -> Entry {
    let calls = [
        "CreateSnapshots",
        "SendCommand",
        "GetCommandInvocation",
        "CreateTags",
        "DescribeSnapshots",
        "DescribeInstances",
        "*",
    ];
    let commands = ["dry-run", "pre-script", "snapshot", "post-script", "*"];
    let call = calls[rng.usize(0..calls.len())];
    let command = commands[rng.usize(0..commands.len())];
    let (on, kind, ms) = match rng.u8(0..16) {
        0 => (call, Kind::Throttled, 0),
        1 => (call, Kind::Unavailable, 0),
        2 => (call, Kind::Broken, 0),
        3 => (call, Kind::Reset, 0),
        4 | 5 => (call, Kind::LoseResponse, 0),
        6 => (call, Kind::Delay, rng.u64(500..40_000)),
        7 => ("CreateSnapshots", Kind::Slow, rng.u64(2_000..40_000)),
        8 => (call, Kind::Expired, 0),
        9 => (call, Kind::Skewed, 0),
        10 => (command, Kind::Late, rng.u64(1_000..40_000)),
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
