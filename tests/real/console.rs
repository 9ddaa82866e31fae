//! freezeframe itself, as cron would start it: the program, a served endpoint, nothing of this machine's environment.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use freezeframe::domain::ids::CommandId;
use serde_json::Value;
use tempfile::TempDir;

use super::agent::{Agent, REGION};
use super::lab::{Lab, PATH, mark, wait};

/// A JSON string's text.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What a run of the program ended with.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one job of a `snapshot`.
    pub fn job(&self) -> Value {
        let jobs = self.json()["jobs"].clone();
        assert_eq!(jobs.as_array().map(Vec::len), Some(1), "{self:?}");
        jobs[0].clone()
    }
}

/// One operator's machine: a home, a state directory, an endpoint.
pub struct Console {
    url: String,
    key: (String, String),
    home: TempDir,
}

/// A run that is under way.
pub struct Running {
    child: Child,
    name: String,
    files: [std::path::PathBuf; 2],
}

impl Console {
    /// A fresh home, with freezeframe's documents installed in the lab's account.
    pub fn new(lab: &Lab) -> Self {
        let home = tempfile::Builder::new().prefix(&mark()).tempdir().unwrap();
        let console = Self {
            url: lab.url.clone(),
            key: lab.key.clone(),
            home,
        };
        let set_up = console.run(&["setup", "documents"]);
        assert_eq!(set_up.code, 0, "{set_up:?}");
        console
    }

    pub fn start(&self, args: &[&str]) -> Running {
        let number = fs::read_dir(self.home.path()).unwrap().count();
        let files = ["out", "err"].map(|kind| self.home.path().join(format!("{number}.{kind}")));
        let file = |path: &Path| fs::File::create(path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_freezeframe"))
            .args([
                "--endpoint-url",
                &self.url,
                "--region",
                REGION,
                "-o",
                "json",
            ])
            .args(args)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.home.path())
            .env("FREEZEFRAME_STATE_DIR", self.home.path().join("state"))
            .env("AWS_ACCESS_KEY_ID", &self.key.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.key.1)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // These tests come between the commands of a job; what they ask for by flag goes first.
            .env("FREEZEFRAME_SNAPSHOT_MODE", "coordinated")
            .stdin(Stdio::null())
            .stdout(file(&files[0]))
            .stderr(file(&files[1]))
            .spawn()
            .unwrap();
        Running {
            child,
            name: args.join(" "),
            files,
        }
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        self.start(args).wait()
    }

    /// `snapshot --instance …` under way.
    pub fn snapshot(&self, instance: &str, args: &[&str]) -> Running {
        self.start(&[&["snapshot", "--instance", instance], args].concat())
    }

    /// The job's line in the journal.
    pub fn journal(&self, job: &str) -> Value {
        let jobs = self.run(&["list", "jobs"]).json();
        let jobs = jobs.as_array().cloned().unwrap_or_default();
        jobs.into_iter()
            .find(|row| row["id"] == job)
            .unwrap_or_else(|| panic!("job {job} is not in the journal"))
    }

    /// Every job of the journal.
    pub fn jobs(&self) -> Vec<Value> {
        let answer = self.run(&["list", "jobs"]);
        // Nothing matched is 3, with an empty list.
        assert!(matches!(answer.code, 0 | 3), "{answer:?}");
        answer.json().as_array().cloned().unwrap()
    }

    /// The level that a snapshot's own tag claims.
    pub fn level(&self, snapshot: &str) -> String {
        let rows = self.run(&["list", "snapshots"]).json();
        let row = rows
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["id"] == snapshot))
            .unwrap_or_else(|| panic!("{snapshot} is not listed"));
        row["tags"]["freezeframe:level"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// What all commands that hold up a job's evidence said, in order.
    pub fn proof(&self, job: &Value) -> Vec<Value> {
        let instance = text(&job["instance"]);
        ["pre_command", "post_command"]
            .into_iter()
            .map(|command| &job["evidence"][command])
            .filter(|command| command.is_string())
            .flat_map(|command| self.said(command, &instance))
            .collect()
    }

    /// What a command of the job said on the instance, as Systems Manager kept it.
    pub fn said(&self, command: &Value, instance: &str) -> Vec<Value> {
        let command = CommandId::from_api(command.as_str().unwrap());
        let ran = Agent::with(&self.url, &self.key).ended(&command, instance);
        ran.unwrap_or_else(|| panic!("{command} has not ended"))
            .events
    }
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn wait(mut self) -> Answer {
        let code = wait(
            &mut self.child,
            &format!("the end of freezeframe {}", self.name),
        );
        let [out, err] = self
            .files
            .clone()
            .map(|path| fs::read_to_string(path).unwrap());
        Answer { code, out, err }
    }

    /// `kill -9`
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a failed test leaves one running; a stopped one dies of this too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
