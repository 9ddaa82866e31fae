//! Plans of faults: files in `assets/lab/faults-NAME.toml`, a file of your own, or drawn from a seed.

use std::time::Duration;

use serde::Deserialize;

use super::{Fault, FaultKind, Mishap};
use crate::place::{self, Step};
use crate::{Lab, LabError, bounds};

/// The plans that come with the lab.
pub const NAMED: [(&str, &str); 6] = [
    (
        "agents",
        include_str!("../../../../assets/lab/faults-agents.toml"),
    ),
    (
        "expiring",
        include_str!("../../../../assets/lab/faults-expiring.toml"),
    ),
    (
        "forgetful",
        include_str!("../../../../assets/lab/faults-forgetful.toml"),
    ),
    (
        "lossy",
        include_str!("../../../../assets/lab/faults-lossy.toml"),
    ),
    (
        "slow",
        include_str!("../../../../assets/lab/faults-slow.toml"),
    ),
    (
        "throttled",
        include_str!("../../../../assets/lab/faults-throttled.toml"),
    ),
];

/// Every operation that the lab answers: a fault on another name could never fire.
pub const ACTIONS: [&str; 44] = [
    "AttachVolume",
    "CancelCommand",
    "CreateDocument",
    "CreateSnapshot",
    "CreateSnapshots",
    "CreateTags",
    "CreateVolume",
    "DeleteDocument",
    "DeleteSnapshot",
    "DeleteTags",
    "DeleteVolume",
    "DescribeAlarms",
    "DescribeAvailabilityZones",
    "DescribeDocument",
    "DescribeFastSnapshotRestores",
    "DescribeImages",
    "DescribeInstanceAttribute",
    "DescribeInstanceInformation",
    "DescribeInstanceStatus",
    "DescribeInstances",
    "DescribeLockedSnapshots",
    "DescribeRegions",
    "DescribeSnapshotAttribute",
    "DescribeSnapshots",
    "DescribeTags",
    "DescribeVolumes",
    "DetachVolume",
    "GetCallerIdentity",
    "GetCommandInvocation",
    "GetConnectionStatus",
    "GetDocument",
    "GetMetricData",
    "GetMetricStatistics",
    "ListCommandInvocations",
    "ListCommands",
    "ListDocuments",
    "ListMetrics",
    "PutMetricData",
    "SendCommand",
    "StartInstances",
    "StopInstances",
    "UpdateDocument",
    "UpdateDocumentDefaultVersion",
    "*",
];

/// What a document can be asked for by its parameter `command`.
pub const COMMANDS: [&str; 5] = ["pre-script", "post-script", "dry-run", "snapshot", "*"];

/// How soon the world shows what was done to it. All zero: at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// A new snapshot is not shown for so long.
    #[serde(default)]
    pub snapshot_lag_ms: u32,
    /// New tags are not shown for so long.
    #[serde(default)]
    pub tag_lag_ms: u32,
    /// A new command is not shown for so long, beyond the usual moment.
    #[serde(default)]
    pub command_lag_ms: u32,
    /// How often, of a hundred looks, something is shown before its time: it flickers.
    #[serde(default)]
    pub flicker_percent: u8,
}

/// A plan of faults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// What it is good for, in a sentence.
    #[serde(default)]
    pub about: String,
    /// What is late or lost.
    #[serde(default)]
    pub weather: Weather,
    /// What goes wrong, and when.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Entry>,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Operation (`CreateSnapshots`, `*`), or the document's command (`pre-script`, `*`) for the kinds that befall
    /// commands.
    pub on: String,
    /// What goes wrong.
    pub kind: Kind,
    /// Milliseconds, for the kinds that take time.
    #[serde(default)]
    pub ms: u64,
    /// Matching calls that pass first.
    #[serde(default)]
    pub skip: u32,
    /// How many are hit; absent means that it never ends.
    #[serde(default = "for_ever")]
    pub times: u32,
    /// How many of a hundred are hit.
    #[serde(default = "all")]
    pub percent: u8,
    /// Characters that arrive, for `truncated`.
    #[serde(default)]
    pub characters: usize,
    /// For `error`.
    #[serde(default)]
    pub code: String,
    /// For `error`; 400 when absent.
    #[serde(default = "bad_request")]
    pub status: u16,
}

fn for_ever() -> u32 {
    u32::MAX
}
fn all() -> u8 {
    100
}
fn bad_request() -> u16 {
    400
}

/// Names of what can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `code` with `status`.
    Error,
    /// `RequestLimitExceeded` at EC2, `ThrottlingException` elsewhere: as `code` says, else EC2's.
    Throttled,
    /// HTTP 503 without work done.
    Unavailable,
    /// HTTP 500 without work done.
    Broken,
    /// The answer comes later.
    Delay,
    /// The work is done later.
    Slow,
    /// The connection is reset before the request is read.
    Reset,
    /// The work is done, and the answer is lost.
    LoseResponse,
    /// The credentials are expired.
    Expired,
    /// The caller's clock is off.
    Skewed,
    /// The agent takes the command later than it is shown.
    Late,
    /// The command is delivered twice.
    Twice,
    /// The command is cancelled by somebody.
    Cancelled,
    /// The script is killed.
    Killed,
    /// The command runs into its time limit.
    TimedOut,
    /// The agent loses the worker that follows the command.
    WorkerLost,
    /// The agent dies.
    AgentLost,
    /// The output is cut off.
    Truncated,
}

impl Plan {
    /// Parses a fault plan.
    ///
    /// # Errors
    /// Names the line of what is not TOML, unknown, missing or out of place.
    pub fn parse(text: &str) -> Result<Self, LabError> {
        let plan: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            LabError::Faults {
                line,
                message: error.message().to_owned(),
            }
        })?;
        let wrong = plan.faults.iter().enumerate().find_map(|(n, entry)| {
            let on = [Step::Key("fault"), Step::Nth(n), Step::Key("on")];
            if let Some((message, known)) = entry.never_fires() {
                return Some(LabError::FaultOn {
                    line: place::line(text, &on),
                    message,
                    on: entry.on.clone(),
                    known,
                });
            }
            let (key, message, hint) = entry.objection()?;
            let at = [Step::Key("fault"), Step::Nth(n), Step::Key(key)];
            Some(LabError::FaultsValue {
                line: place::line(text, &at),
                message: format!("fault on {}: `{key}` {message}", entry.on),
                hint: hint.to_owned(),
            })
        });
        match wrong.or_else(|| plan.weather.objection(text)) {
            Some(error) => Err(error),
            None => Ok(plan),
        }
    }

    /// A plan that comes with the lab; `None` for another name.
    pub fn named(name: &str) -> Option<Result<Self, LabError>> {
        let (_, text) = NAMED.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(text))
    }

    /// The names of the plans that come with the lab.
    pub fn names() -> Vec<&'static str> {
        NAMED.iter().map(|(name, _)| *name).collect()
    }

    /// Gives the lab its orders; the dice come from `seed`.
    pub fn apply(&self, lab: &Lab, seed: u64) {
        lab.faults().seed(seed);
        for entry in &self.faults {
            lab.faults().add(entry.fault(), entry.percent);
        }
        lab.set_weather(self.weather);
    }
}

impl Weather {
    fn objection(&self, text: &str) -> Option<LabError> {
        let lag = |key, ms: u32| {
            let wrong = u64::from(ms) > LONGEST_MS;
            wrong.then(|| (key, format!("is {ms} ms"), AN_HOUR))
        };
        let (key, message, hint) = lag("snapshot_lag_ms", self.snapshot_lag_ms)
            .or_else(|| lag("tag_lag_ms", self.tag_lag_ms))
            .or_else(|| lag("command_lag_ms", self.command_lag_ms))
            .or_else(|| {
                let message = format!("is {}", self.flicker_percent);
                let wrong = self.flicker_percent > 100;
                wrong.then_some(("flicker_percent", message, "give 0 to 100"))
            })?;
        Some(LabError::FaultsValue {
            line: place::line(text, &[Step::Key("weather"), Step::Key(key)]),
            message: format!("weather: `{key}` {message}"),
            hint: hint.to_owned(),
        })
    }
}

/// The longest time of a fault.
const LONGEST_MS: u64 = 3_600_000;
const AN_HOUR: &str = "give at most 3600000 ms, an hour";

impl Entry {
    /// The first key of the fault whose value has no effect, or cannot occur at AWS, with the reason and a correct value.
    fn objection(&self) -> Option<(&'static str, String, &'static str)> {
        let takes = |key: &'static str, given: bool, kinds: &str| {
            let wrong = format!("means nothing for kind `{}`", self.name());
            given.then(|| {
                (
                    key,
                    format!("{wrong}: only {kinds} takes it"),
                    "leave it out",
                )
            })
        };
        if self.times == 0 {
            return Some((
                "times",
                "is 0".to_owned(),
                "give 1 or more, or leave it out: it never ends then",
            ));
        }
        if !(1..=100).contains(&self.percent) {
            return Some(("percent", format!("is {}", self.percent), "give 1 to 100"));
        }
        let needs_time = matches!(
            self.kind,
            Kind::Delay | Kind::Slow | Kind::Late | Kind::AgentLost
        );
        let takes_time = needs_time || (self.befalls_commands() && self.kind != Kind::Truncated);
        if needs_time && self.ms == 0 {
            return Some((
                "ms",
                "is 0 or missing: this kind needs a time".to_owned(),
                "give 1 or more milliseconds",
            ));
        }
        if self.ms > LONGEST_MS {
            return Some(("ms", format!("is {}", self.ms), AN_HOUR));
        }
        if let Some(found) = takes("ms", self.ms > 0 && !takes_time, "a kind that takes time") {
            return Some(found);
        }
        if let Some(found) = takes(
            "characters",
            self.characters > 0 && self.kind != Kind::Truncated,
            "`truncated`",
        ) {
            return Some(found);
        }
        let answers = matches!(
            self.kind,
            Kind::Error | Kind::Throttled | Kind::Unavailable | Kind::Broken
        );
        if let Some(found) = takes(
            "code",
            !self.code.is_empty() && !answers,
            "a kind that answers an error",
        ) {
            return Some(found);
        }
        if self.kind == Kind::Error && self.code.is_empty() {
            return Some((
                "code",
                "is missing: an error needs one".to_owned(),
                "give AWS's code, such as `UnauthorizedOperation`",
            ));
        }
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        if !self.code.chars().all(word) || self.code.len() > bounds::ACTION {
            return Some((
                "code",
                "is no code of AWS's".to_owned(),
                "give letters, digits and dots",
            ));
        }
        let status = self.status != bad_request();
        if let Some(found) = takes("status", status && self.kind != Kind::Error, "`error`") {
            return Some(found);
        }
        (!(400..=599).contains(&self.status)).then(|| {
            (
                "status",
                format!("is {}, which is no error", self.status),
                "give 400 to 599",
            )
        })
    }

    /// The kind's word in a fault plan.
    fn name(&self) -> String {
        let words = format!("{:?}", self.kind);
        let mut name = String::new();
        for letter in words.chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// Whether its kind befalls commands on their way, and not calls.
    fn befalls_commands(&self) -> bool {
        matches!(
            self.kind,
            Kind::Late
                | Kind::Twice
                | Kind::Cancelled
                | Kind::Killed
                | Kind::TimedOut
                | Kind::WorkerLost
                | Kind::AgentLost
                | Kind::Truncated
        )
    }

    /// Why it could never fire, by its name, and the names that could.
    fn never_fires(&self) -> Option<(String, &'static [&'static str])> {
        let on = self.on.as_str();
        let (known, others) = if self.befalls_commands() {
            (&COMMANDS[..], &ACTIONS[..])
        } else {
            (&ACTIONS[..], &COMMANDS[..])
        };
        if known.contains(&on) {
            return None;
        }
        let why = match (others.contains(&on), self.befalls_commands()) {
            (true, true) => "this kind befalls commands of documents, and that is a call",
            (true, false) => "this kind befalls calls, and that is a command of documents",
            (false, true) => "documents know no command of that name",
            (false, false) => "the lab knows no operation of that name",
        };
        Some((format!("fault on {on} could never fire: {why}"), known))
    }

    /// The order that this line gives.
    pub fn fault(&self) -> Fault {
        let time = Duration::from_millis(self.ms);
        let error = |code: &str, message: &str, status: u16| FaultKind::Error {
            code: if self.code.is_empty() {
                code.to_owned()
            } else {
                self.code.clone()
            },
            message: message.to_owned(),
            status,
        };
        let kind = match self.kind {
            Kind::Error => error("", "The lab was told to refuse this.", self.status),
            Kind::Throttled => error("RequestLimitExceeded", "Request limit exceeded.", 503),
            Kind::Unavailable => error("Unavailable", "The service is unavailable.", 503),
            Kind::Broken => error("InternalError", "An internal error has occurred.", 500),
            Kind::Delay => FaultKind::Delay(time),
            Kind::Slow => FaultKind::Slow(time),
            Kind::Reset => FaultKind::Reset,
            Kind::LoseResponse => FaultKind::LoseResponse,
            Kind::Expired => FaultKind::Expired,
            Kind::Skewed => FaultKind::Skewed,
            Kind::Late => FaultKind::Command(Mishap::Late(time)),
            Kind::Twice => FaultKind::Command(Mishap::Twice(time)),
            Kind::Cancelled => FaultKind::Command(Mishap::Cancelled(time)),
            Kind::Killed => FaultKind::Command(Mishap::Killed(time)),
            Kind::TimedOut => FaultKind::Command(Mishap::TimedOut(time)),
            Kind::WorkerLost => FaultKind::Command(Mishap::WorkerLost(time)),
            Kind::AgentLost => FaultKind::Command(Mishap::AgentLost(time)),
            Kind::Truncated => FaultKind::Command(Mishap::Truncated(self.characters)),
        };
        Fault {
            action: self.on.clone(),
            skip: self.skip,
            times: self.times,
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_plan_parses_and_says_what_it_is_for() {
        for (name, _) in NAMED {
            let plan = Plan::named(name).unwrap().unwrap();
            assert_eq!(plan.name, name);
            assert!(!plan.about.is_empty());
            assert!(!plan.faults.is_empty() || plan.weather != Weather::default());
        }
        assert!(Plan::named("nothing").is_none());
    }

    /// The operations of the lab's own dispatchers, by their source.
    #[test]
    fn the_known_operations_are_those_that_the_lab_answers() {
        let mut answered = vec!["GetCallerIdentity", "*"];
        for source in [
            include_str!("../ec2.rs"),
            include_str!("../ssm.rs"),
            include_str!("../cloudwatch.rs"),
        ] {
            let handlers = source.lines().map(str::trim);
            for line in handlers.filter(|line| line.starts_with('"') && line.contains(" => ")) {
                let names = line.split(" => ").next().unwrap().split(" | ");
                answered.extend(names.map(|name| name.trim_matches('"')));
            }
        }
        answered.sort_unstable();
        let mut known = ACTIONS.to_vec();
        known.sort_unstable();
        assert_eq!(known, answered);
    }

    #[test]
    fn a_fault_that_could_never_fire_is_refused_with_its_line() {
        for (on, kind, why) in [
            ("CreateSnapshotts", "reset", "no operation"),
            ("pre-scrpt", "killed", "no command"),
            ("pre-script", "reset", "befalls calls"),
            ("SendCommand", "twice", "befalls commands"),
        ] {
            let text = format!(
                "name = \"x\"\n\n[[fault]]\non = \"*\"\nkind = \"reset\"\n[[fault]]\non = \"{on}\"\nkind = \"{kind}\"\n"
            );
            let said = Plan::parse(&text).unwrap_err().to_string();
            assert!(said.contains("line 7") && said.contains(why), "{said}");
        }
        let late = "name = \"x\"\n[[fault]]\non = \"pre-script\"\nkind = \"late\"\n";
        let said = Plan::parse(late).unwrap_err().to_string();
        assert!(said.contains("line 2") && said.contains("`ms`"), "{said}");
    }

    #[test]
    fn a_plan_that_could_do_nothing_is_refused() {
        let head = "name = \"x\"\n";
        for wrong in [
            "[[fault]]\non = \"*\"\nkind = \"delay\"\n",
            "[[fault]]\non = \"*\"\nkind = \"error\"\n",
            "[[fault]]\non = \"*\"\nkind = \"reset\"\npercent = 0\n",
            "[[fault]]\non = \"*\"\nkind = \"frogs\"\n",
            "[weather]\nrain = 1\n",
            "[weather]\nflicker_percent = 101\n",
            "[weather]\ntag_lag_ms = 4000000000\n",
            "[[fault]]\non = \"*\"\nkind = \"error\"\ncode = \"X\"\nstatus = 0\n",
            "[[fault]]\non = \"*\"\nkind = \"error\"\ncode = \"X\"\nstatus = 200\n",
            "[[fault]]\non = \"*\"\nkind = \"error\"\ncode = \"no code\"\n",
            "[[fault]]\non = \"*\"\nkind = \"reset\"\nms = 5\n",
            "[[fault]]\non = \"*\"\nkind = \"reset\"\ncode = \"X\"\n",
            "[[fault]]\non = \"*\"\nkind = \"reset\"\nstatus = 500\n",
            "[[fault]]\non = \"*\"\nkind = \"reset\"\ncharacters = 5\n",
            "[[fault]]\non = \"*\"\nkind = \"delay\"\nms = 9223372036854775807\n",
        ] {
            assert!(Plan::parse(&format!("{head}{wrong}")).is_err(), "{wrong}");
        }
    }
}
