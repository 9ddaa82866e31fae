//! The lab's contract with the unmodified AWS CLI: right answers, right errors, over a loopback port.
//! It needs `aws` (package `awscli`), and is therefore ignored: `cargo test -- --ignored aws_cli` runs it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

struct Served {
    child: Child,
    url: String,
    _state: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_freezeframe"))
            .args(["lab", "serve", "--port", "0"])
            .env("FREEZEFRAME_STATE_DIR", state.path())
            .env("HOME", state.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .split_whitespace()
            .find(|w| w.starts_with("http://"))
            .unwrap_or_else(|| panic!("no address in {line:?}"))
            .to_owned();
        Self {
            child,
            url,
            _state: state,
        }
    }

    fn aws_as(&self, key: &str, command: &str) -> (i32, String, String) {
        let output = Command::new(aws())
            .args([
                "--endpoint-url",
                &self.url,
                "--region",
                "eu-central-1",
                "--output",
                "json",
            ])
            .args(command.split_whitespace())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self._state.path())
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", "lab")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .output()
            .unwrap();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// A command of the CLI, word by word, that must succeed; what it answered.
    fn aws(&self, command: &str) -> Value {
        let (code, out, err) = self.aws_as("AKIALAB", command);
        assert_eq!(code, 0, "aws {command}: {err}");
        if out.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&out).unwrap()
        }
    }

    fn refused_as(&self, key: &str, command: &str, code: &str) {
        let (status, out, err) = self.aws_as(key, command);
        assert_ne!(status, 0, "aws {command} was accepted: {out}");
        assert!(
            err.contains(code),
            "aws {command}: expected {code}, got {err}"
        );
    }

    fn refused(&self, command: &str, code: &str) {
        self.refused_as("AKIALAB", command, code);
    }

    /// A running instance whose recipe is linux-mysql, and its id.
    fn database(&self) -> (Value, String) {
        let running = self.aws(
            "ec2 describe-instances --filters Name=instance-state-name,Values=running Name=tag:ConsistentSnapshot,Values=linux-mysql",
        );
        let instance = running["Reservations"][0]["Instances"][0].clone();
        let id = instance["InstanceId"].as_str().unwrap().to_owned();
        (instance, id)
    }

    /// A set of that instance's volumes: its snapshots.
    fn set(&self, id: &str) -> Vec<Value> {
        let made = self.aws(&format!(
            "ec2 create-snapshots --instance-specification InstanceId={id} --copy-tags-from-source volume \
             --tag-specifications ResourceType=snapshot,Tags=[{{Key=job,Value=contract}}]"
        ));
        made["Snapshots"].as_array().unwrap().clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn aws() -> PathBuf {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join("aws"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("this test needs aws (the AWS CLI)"))
}

fn count(page: &Value) -> usize {
    let reservations = page["Reservations"].as_array().unwrap();
    reservations
        .iter()
        .map(|r| r["Instances"].as_array().unwrap().len())
        .sum()
}

fn id_of<'a>(answer: &'a Value, key: &str) -> &'a str {
    answer[key].as_str().unwrap()
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_gets_every_page_and_every_filter() {
    let lab = Served::start();
    let me = lab.aws("sts get-caller-identity");
    assert_eq!(me["Account"], "123456789012");
    let all = lab.aws("ec2 describe-instances");
    assert!(count(&all) >= 12, "{}", count(&all));
    let paged = lab.aws("ec2 describe-instances --page-size 5");
    assert_eq!(count(&paged), count(&all));
    let prod = lab.aws("ec2 describe-instances --filters Name=tag:Env,Values=pr?d,nothing*");
    assert!(count(&prod) > 0 && count(&prod) < count(&all));
    let volumes = lab.aws("ec2 describe-volumes --page-size 7");
    assert!(volumes["Volumes"].as_array().unwrap().len() >= 30);
    let own = lab.aws("ec2 describe-snapshots --owner-ids self");
    let own = own["Snapshots"].as_array().unwrap();
    assert!(own.len() > 500, "{}", own.len());
    assert!(own.iter().all(|s| s["OwnerId"] == "123456789012"));
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_is_told_of_filters_and_ids_that_cannot_be() {
    let lab = Served::start();
    lab.refused(
        "ec2 describe-instances --filters Name=no-such-filter,Values=x",
        "InvalidParameterValue",
    );
    lab.refused(
        "ec2 describe-volumes --volume-ids vol-0aaaaaaaaaaaaaaaa",
        "InvalidVolume.NotFound",
    );
    lab.refused(
        "ec2 describe-snapshots --snapshot-ids garbage",
        "InvalidSnapshotID.Malformed",
    );
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_dry_runs_and_is_refused_without_the_right() {
    let lab = Served::start();
    let (_, id) = lab.database();
    let dry = format!("ec2 create-snapshots --instance-specification InstanceId={id} --dry-run");
    lab.refused(&dry, "DryRunOperation");
    lab.refused_as("AKIAREADONLY", &dry, "UnauthorizedOperation");
    lab.refused_as("AKIAEXPIRED", "ec2 describe-instances", "RequestExpired");
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_makes_a_set_at_one_instant_and_is_too_soon_for_a_second() {
    let lab = Served::start();
    let (instance, id) = lab.database();
    let made = lab.set(&id);
    assert_eq!(
        made.len(),
        instance["BlockDeviceMappings"].as_array().unwrap().len()
    );
    assert!(
        made.iter()
            .all(|s| s["StartTime"] == made[0]["StartTime"] && s["State"] == "pending")
    );
    lab.refused(
        &format!("ec2 create-snapshots --instance-specification InstanceId={id}"),
        "SnapshotCreationPerVolumeRateExceeded",
    );
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_tags_snapshots_and_finds_them_by_tag() {
    let lab = Served::start();
    let (_, id) = lab.database();
    let made = lab.set(&id);
    let snapshot = id_of(&made[0], "SnapshotId");
    lab.aws(&format!(
        "ec2 create-tags --resources {snapshot} --tags Key=more,Value=x"
    ));
    lab.refused(
        &format!("ec2 create-tags --resources {snapshot} --tags Key=aws:x,Value=y"),
        "InvalidParameterValue",
    );
    let found = |filter: &str| {
        let answer = lab.aws(&format!("ec2 describe-snapshots --filters {filter}"));
        answer["Snapshots"].as_array().unwrap().len()
    };
    assert_eq!(found("Name=tag:job,Values=contract"), made.len());
    assert_eq!(found("Name=tag:more,Values=x"), 1);
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_waits_for_a_volume_of_a_snapshot_and_attaches_it() {
    let lab = Served::start();
    let (instance, id) = lab.database();
    let made = lab.set(&id);
    let snapshot = id_of(&made[0], "SnapshotId");
    lab.aws(&format!(
        "ec2 wait snapshot-completed --snapshot-ids {snapshot}"
    ));
    let zone = id_of(&instance["Placement"], "AvailabilityZone");
    let volume = lab.aws(&format!(
        "ec2 create-volume --snapshot-id {snapshot} --availability-zone {zone} --volume-type gp3"
    ));
    let volume = id_of(&volume, "VolumeId");
    lab.aws(&format!("ec2 wait volume-available --volume-ids {volume}"));
    let attach = |device: &str| {
        format!("ec2 attach-volume --volume-id {volume} --instance-id {id} --device {device}")
    };
    let taken = id_of(&instance["BlockDeviceMappings"][0], "DeviceName");
    lab.refused(&attach(taken), "InvalidParameterValue");
    lab.aws(&attach("/dev/sdp"));
    lab.aws(&format!("ec2 wait volume-in-use --volume-ids {volume}"));
    lab.refused(&attach("/dev/sdo"), "VolumeInUse");
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_attaches_no_volume_of_another_zone() {
    let lab = Served::start();
    let (instance, id) = lab.database();
    let zone = id_of(&instance["Placement"], "AvailabilityZone");
    let other = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
        .into_iter()
        .find(|z| *z != zone)
        .unwrap();
    let stray = lab.aws(&format!(
        "ec2 create-volume --size 10 --availability-zone {other} --volume-type gp3"
    ));
    let stray = id_of(&stray, "VolumeId");
    lab.aws(&format!("ec2 wait volume-available --volume-ids {stray}"));
    lab.refused(
        &format!("ec2 attach-volume --volume-id {stray} --instance-id {id} --device /dev/sdn"),
        "InvalidVolume.ZoneMismatch",
    );
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_deletes_a_snapshot_once_and_none_that_an_image_holds() {
    let lab = Served::start();
    let images = lab.aws("ec2 describe-images --owners self");
    let held = id_of(
        &images["Images"][0]["BlockDeviceMappings"][0]["Ebs"],
        "SnapshotId",
    );
    let delete = |snapshot: &str| format!("ec2 delete-snapshot --snapshot-id {snapshot}");
    lab.refused(&delete(held), "InvalidSnapshot.InUse");
    // One that is still being copied would stay until it is whole.
    let past = lab.aws(
        "ec2 describe-snapshots --owner-ids self --filters Name=status,Values=completed Name=tag-key,Values=freezeframe:job",
    );
    let snapshot = id_of(&past["Snapshots"][0], "SnapshotId");
    lab.aws(&delete(snapshot));
    lab.refused(&delete(snapshot), "InvalidSnapshot.NotFound");
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_runs_a_document_and_reads_its_trace() {
    let lab = Served::start();
    let (_, id) = lab.database();
    let agents = lab.aws("ssm describe-instance-information --page-size 5");
    let agents = agents["InstanceInformationList"].as_array().unwrap();
    assert!(agents.iter().any(|a| a["PingStatus"] == "Online"));
    assert!(agents.iter().any(|a| a["PingStatus"] == "ConnectionLost"));
    let send = |document: &str, more: &str| {
        format!("ssm send-command --instance-ids {id} --document-name {document} {more}")
    };
    lab.refused(&send("NoSuchDocument", ""), "InvalidDocument");
    lab.refused(
        &send(
            "freezeframe-linux-filesystem",
            "--parameters command=explode",
        ),
        "InvalidParameters",
    );
    let sent = lab.aws(&send(
        "freezeframe-linux-mysql",
        "--parameters command=dry-run --comment contract",
    ));
    let command = id_of(&sent["Command"], "CommandId");
    let invocation = format!("--command-id {command} --instance-id {id}");
    lab.aws(&format!("ssm wait command-executed {invocation}"));
    let seen = lab.aws(&format!("ssm get-command-invocation {invocation}"));
    assert_eq!(seen["Status"], "Success");
    let output = id_of(&seen, "StandardOutputContent");
    assert!(output.contains("FF1 {"), "{output}");
    let listed = lab.aws(&format!(
        "ssm list-command-invocations --command-id {command} --details"
    ));
    assert_eq!(listed["CommandInvocations"][0]["InstanceId"], id);
}

#[test]
#[ignore = "needs the AWS CLI"]
fn aws_cli_reads_the_metric_that_it_put() {
    let lab = Served::start();
    let metrics = lab.aws("cloudwatch list-metrics --namespace Organization/Backup");
    assert!(!metrics["Metrics"].as_array().unwrap().is_empty());
    lab.aws(
        "cloudwatch put-metric-data --namespace Contract --metric-name ElapsedTime \
         --dimensions Server=i-1,Drive=/dev/sdf --unit Seconds --value 42",
    );
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let query = r#"[{"Id":"q0","MetricStat":{"Metric":{"Namespace":"Contract","MetricName":"ElapsedTime","Dimensions":[{"Name":"Server","Value":"i-1"},{"Name":"Drive","Value":"/dev/sdf"}]},"Period":60,"Stat":"Maximum"}}]"#;
    let data = lab.aws(&format!(
        "cloudwatch get-metric-data --metric-data-queries {query} --start-time {} --end-time {}",
        (now - chrono::Duration::hours(1)).to_rfc3339(),
        (now + chrono::Duration::minutes(5)).to_rfc3339()
    ));
    assert_eq!(data["MetricDataResults"][0]["Values"][0], 42.0, "{data}");
}
