//! One command of a document, sent through Systems Manager as Data Lifecycle Manager would: no console in between.

use std::collections::BTreeMap;

use freezeframe::aws::session::{Options, Session};
use freezeframe::aws::ssm::{Command, Polled};
use freezeframe::domain::command::CommandEnd;
use freezeframe::domain::ids::{CommandId, InstanceId};
use freezeframe::domain::problem::Problem;
use serde_json::Value;

use super::lab::{Lab, wait_for};

/// Where the labs of these tests are.
pub const REGION: &str = "eu-central-1";

/// What a command ended with.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 where the service names none.
    pub code: i32,
    pub events: Vec<Value>,
    pub stderr: String,
}

impl Ran {
    /// Names of its events, without the mounts that it looked at.
    pub fn order(&self) -> Vec<&str> {
        let names = self.events.iter().filter_map(|event| event["t"].as_str());
        names.filter(|name| *name != "mount").collect()
    }

    /// Every event of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["t"] == name)
    }

    /// The one event of that name.
    pub fn the(&self, name: &str) -> &Value {
        let found: Vec<&Value> = self
            .events
            .iter()
            .filter(|event| event["t"] == name)
            .collect();
        match found[..] {
            [one] => one,
            _ => panic!("not one {name}: {self:#?}"),
        }
    }

    /// Codes of its errors.
    pub fn errors(&self) -> Vec<&str> {
        let codes = self.all("error").filter_map(|event| event["code"].as_str());
        codes.collect()
    }

    /// It refused for this reason, and with this exit code, before it froze anything.
    pub fn refused(&self, code: i32, error: &str) {
        assert_eq!((self.code, self.errors()), (code, vec![error]), "{self:#?}");
        assert_eq!(self.stderr, "", "{self:#?}");
        assert_eq!(self.all("frozen").count(), 0, "{self:#?}");
    }
}

/// A caller with the account's own rights.
pub struct Agent {
    runtime: tokio::runtime::Runtime,
    session: Session,
}

impl Agent {
    pub fn new(lab: &Lab) -> Self {
        Self::with(&lab.url, &lab.key)
    }

    /// At this endpoint, with this key.
    pub fn with(url: &str, key: &(String, String)) -> Self {
        let (runtime, session) = Self::open(url, key);
        Self {
            runtime,
            session: session.unwrap(),
        }
    }

    /// The lab takes no request signed with `lab.key`.
    pub fn refused(lab: &Lab) -> bool {
        Self::open(&lab.url, &lab.key).1.is_err()
    }

    fn open(
        url: &str,
        key: &(String, String),
    ) -> (tokio::runtime::Runtime, Result<Session, Problem>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let session = runtime.block_on(Session::open(Options {
            region: Some(REGION.to_owned()),
            endpoint_url: Some(url.to_owned()),
            static_credentials: Some(key.clone()),
            ..Options::default()
        }));
        (runtime, session)
    }

    /// Of a lab, with freezeframe's documents installed.
    pub fn of(lab: &Lab) -> Self {
        super::console::Console::new(lab);
        Self::new(lab)
    }

    /// Puts a document of somebody's into the account.
    pub fn install(&self, name: &str, content: &str) {
        self.runtime
            .block_on(self.session.create_document(name, content))
            .unwrap();
    }

    /// Sends a command of a recipe's document.
    pub fn send(&self, instance: &str, recipe: &str, values: &[(&str, &str)]) -> CommandId {
        let parameters: BTreeMap<_, _> = values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
            .collect();
        let command = Command {
            instance: &InstanceId::from_api(instance),
            document: &format!("freezeframe-{recipe}"),
            hash: None,
            parameters: &parameters,
            comment: "proof",
            delivery_s: 60,
        };
        self.runtime
            .block_on(self.session.send_command(&command))
            .unwrap()
    }

    /// What a command ended with, once it has.
    pub fn ended(&self, command: &CommandId, instance: &str) -> Option<Ran> {
        let instance = InstanceId::from_api(instance);
        let polled = self
            .runtime
            .block_on(self.session.poll_command(command, &instance))
            .unwrap();
        let Polled::Ended(outcome) = polled else {
            return None;
        };
        let lines = outcome
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("FF1 "));
        Some(Ran {
            code: match outcome.ended {
                CommandEnd::Success => 0,
                CommandEnd::Failed { exit } => exit.code(),
                _ => -1,
            },
            events: lines
                .map(|json| serde_json::from_str(json).unwrap())
                .collect(),
            stderr: outcome.stderr,
        })
    }

    pub fn wait(&self, command: &CommandId, instance: &str) -> Ran {
        let mut ran = None;
        wait_for("the command's end", || {
            ran = self.ended(command, instance);
            ran.is_some()
        });
        ran.unwrap()
    }

    pub fn run(&self, instance: &str, recipe: &str, values: &[(&str, &str)]) -> Ran {
        let command = self.send(instance, recipe, values);
        self.wait(&command, instance)
    }

    /// `linux-filesystem`: this command on these mounts.
    pub fn files(&self, instance: &str, command: &str, mounts: &str) -> Ran {
        let mode = match command {
            "snapshot" => "autonomous",
            _ => "coordinated",
        };
        let values = [
            ("command", command),
            ("mounts", mounts),
            ("mode", mode),
            ("budgetSeconds", "40"),
        ];
        self.run(instance, "linux-filesystem", &values)
    }
}
