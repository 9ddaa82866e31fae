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

    fn aws_as(&self, key: &str, args: &[&str]) -> (i32, String, String) {
        let output = Command::new(aws())
            .args([
                "--endpoint-url",
                &self.url,
                "--region",
                "eu-central-1",
                "--output",
                "json",
            ])
            .args(args)
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

    fn aws(&self, args: &[&str]) -> Value {
        let (code, out, err) = self.aws_as("AKIALAB", args);
        assert_eq!(code, 0, "aws {args:?}: {err}");
        if out.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&out).unwrap()
        }
    }

    fn refused(&self, args: &[&str], code: &str) {
        let (status, out, err) = self.aws_as("AKIALAB", args);
        assert_ne!(status, 0, "aws {args:?} was accepted: {out}");
        assert!(
            err.contains(code),
            "aws {args:?}: expected {code}, got {err}"
        );
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

#[test]
#[ignore = "needs the AWS CLI"]
fn the_aws_cli_gets_right_answers() {
    let lab = Served::start();
    let me = lab.aws(&["sts", "get-caller-identity"]);
    assert_eq!(me["Account"], "123456789012");

    // Pages, filters, wildcards.
    let all = lab.aws(&["ec2", "describe-instances"]);
    let count = |v: &Value| {
        v["Reservations"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|r| r["Instances"].as_array().unwrap())
            .count()
    };
    assert!(count(&all) >= 12, "{}", count(&all));
    let paged = lab.aws(&["ec2", "describe-instances", "--page-size", "5"]);
    assert_eq!(count(&paged), count(&all));
    let prod = lab.aws(&[
        "ec2",
        "describe-instances",
        "--filters",
        "Name=tag:Env,Values=pr?d,nothing*",
    ]);
    assert!(count(&prod) > 0 && count(&prod) < count(&all));
    let volumes = lab.aws(&["ec2", "describe-volumes", "--page-size", "7"]);
    assert!(volumes["Volumes"].as_array().unwrap().len() >= 30);
    let own = lab.aws(&["ec2", "describe-snapshots", "--owner-ids", "self"]);
    let own = own["Snapshots"].as_array().unwrap();
    assert!(own.len() > 500, "{}", own.len());
    assert!(own.iter().all(|s| s["OwnerId"] == "123456789012"));
    lab.refused(
        &[
            "ec2",
            "describe-instances",
            "--filters",
            "Name=no-such-filter,Values=x",
        ],
        "InvalidParameterValue",
    );
    lab.refused(
        &[
            "ec2",
            "describe-volumes",
            "--volume-ids",
            "vol-0aaaaaaaaaaaaaaaa",
        ],
        "InvalidVolume.NotFound",
    );
    lab.refused(
        &["ec2", "describe-snapshots", "--snapshot-ids", "garbage"],
        "InvalidSnapshotID.Malformed",
    );

    // Dry run, and a caller without the right.
    let running = lab.aws(&[
        "ec2",
        "describe-instances",
        "--filters",
        "Name=instance-state-name,Values=running",
        "Name=tag:ConsistentSnapshot,Values=linux-mysql",
    ]);
    let instance = running["Reservations"][0]["Instances"][0].clone();
    let id = instance["InstanceId"].as_str().unwrap();
    let spec = format!("InstanceId={id}");
    lab.refused(
        &[
            "ec2",
            "create-snapshots",
            "--instance-specification",
            &spec,
            "--dry-run",
        ],
        "DryRunOperation",
    );
    let (code, _, err) = lab.aws_as(
        "AKIAREADONLY",
        &[
            "ec2",
            "create-snapshots",
            "--instance-specification",
            &spec,
            "--dry-run",
        ],
    );
    assert!(code != 0 && err.contains("UnauthorizedOperation"), "{err}");
    let (code, _, err) = lab.aws_as("AKIAEXPIRED", &["ec2", "describe-instances"]);
    assert!(code != 0 && err.contains("RequestExpired"), "{err}");

    // A set, twice too soon, its tags, its volume, its attachment.
    let made = lab.aws(&[
        "ec2",
        "create-snapshots",
        "--instance-specification",
        &spec,
        "--copy-tags-from-source",
        "volume",
        "--tag-specifications",
        "ResourceType=snapshot,Tags=[{Key=job,Value=contract}]",
    ]);
    let made = made["Snapshots"].as_array().unwrap();
    assert_eq!(
        made.len(),
        instance["BlockDeviceMappings"].as_array().unwrap().len()
    );
    assert!(
        made.iter()
            .all(|s| s["StartTime"] == made[0]["StartTime"] && s["State"] == "pending")
    );
    lab.refused(
        &["ec2", "create-snapshots", "--instance-specification", &spec],
        "SnapshotCreationPerVolumeRateExceeded",
    );
    let snapshot = made[0]["SnapshotId"].as_str().unwrap();
    lab.aws(&[
        "ec2",
        "create-tags",
        "--resources",
        snapshot,
        "--tags",
        "Key=more,Value=x",
    ]);
    lab.refused(
        &[
            "ec2",
            "create-tags",
            "--resources",
            snapshot,
            "--tags",
            "Key=aws:x,Value=y",
        ],
        "InvalidParameterValue",
    );
    let tagged = lab.aws(&[
        "ec2",
        "describe-snapshots",
        "--filters",
        "Name=tag:job,Values=contract",
    ]);
    assert_eq!(tagged["Snapshots"].as_array().unwrap().len(), made.len());
    lab.aws(&[
        "ec2",
        "wait",
        "snapshot-completed",
        "--snapshot-ids",
        snapshot,
    ]);
    let zone = instance["Placement"]["AvailabilityZone"].as_str().unwrap();
    let volume = lab.aws(&[
        "ec2",
        "create-volume",
        "--snapshot-id",
        snapshot,
        "--availability-zone",
        zone,
        "--volume-type",
        "gp3",
    ]);
    let volume = volume["VolumeId"].as_str().unwrap();
    lab.aws(&["ec2", "wait", "volume-available", "--volume-ids", volume]);
    let taken = instance["BlockDeviceMappings"][0]["DeviceName"]
        .as_str()
        .unwrap();
    let attach = |device: &str| {
        [
            "ec2",
            "attach-volume",
            "--volume-id",
            volume,
            "--instance-id",
            id,
            "--device",
            device,
        ]
        .map(str::to_owned)
    };
    let args = attach(taken);
    lab.refused(
        &args.iter().map(String::as_str).collect::<Vec<_>>(),
        "InvalidParameterValue",
    );
    let args = attach("/dev/sdp");
    lab.aws(&args.iter().map(String::as_str).collect::<Vec<_>>());
    lab.aws(&["ec2", "wait", "volume-in-use", "--volume-ids", volume]);
    let args = attach("/dev/sdo");
    lab.refused(
        &args.iter().map(String::as_str).collect::<Vec<_>>(),
        "VolumeInUse",
    );
    let other_zone = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
        .into_iter()
        .find(|z| *z != zone)
        .unwrap();
    let stray = lab.aws(&[
        "ec2",
        "create-volume",
        "--size",
        "10",
        "--availability-zone",
        other_zone,
        "--volume-type",
        "gp3",
    ]);
    let stray = stray["VolumeId"].as_str().unwrap();
    lab.aws(&["ec2", "wait", "volume-available", "--volume-ids", stray]);
    lab.refused(
        &[
            "ec2",
            "attach-volume",
            "--volume-id",
            stray,
            "--instance-id",
            id,
            "--device",
            "/dev/sdn",
        ],
        "InvalidVolume.ZoneMismatch",
    );

    // Deleting: held by an image, gone, gone again.
    let images = lab.aws(&["ec2", "describe-images", "--owners", "self"]);
    let held = images["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        .as_str()
        .unwrap();
    lab.refused(
        &["ec2", "delete-snapshot", "--snapshot-id", held],
        "InvalidSnapshot.InUse",
    );
    lab.aws(&["ec2", "delete-snapshot", "--snapshot-id", snapshot]);
    lab.refused(
        &["ec2", "delete-snapshot", "--snapshot-id", snapshot],
        "InvalidSnapshot.NotFound",
    );

    // Run Command.
    let agents = lab.aws(&["ssm", "describe-instance-information", "--page-size", "5"]);
    let agents = agents["InstanceInformationList"].as_array().unwrap();
    assert!(agents.iter().any(|a| a["PingStatus"] == "Online"));
    assert!(agents.iter().any(|a| a["PingStatus"] == "ConnectionLost"));
    lab.refused(
        &[
            "ssm",
            "send-command",
            "--document-name",
            "NoSuchDocument",
            "--instance-ids",
            id,
        ],
        "InvalidDocument",
    );
    lab.refused(
        &[
            "ssm",
            "send-command",
            "--document-name",
            "freezeframe-linux-filesystem",
            "--instance-ids",
            id,
            "--parameters",
            "command=explode",
        ],
        "InvalidParameters",
    );
    let sent = lab.aws(&[
        "ssm",
        "send-command",
        "--document-name",
        "freezeframe-linux-mysql",
        "--instance-ids",
        id,
        "--parameters",
        "command=dry-run",
        "--comment",
        "contract",
    ]);
    let command = sent["Command"]["CommandId"].as_str().unwrap();
    lab.aws(&[
        "ssm",
        "wait",
        "command-executed",
        "--command-id",
        command,
        "--instance-id",
        id,
    ]);
    let seen = lab.aws(&[
        "ssm",
        "get-command-invocation",
        "--command-id",
        command,
        "--instance-id",
        id,
    ]);
    assert_eq!(seen["Status"], "Success");
    assert!(
        seen["StandardOutputContent"]
            .as_str()
            .unwrap()
            .contains("FF1 {")
    );
    let listed = lab.aws(&[
        "ssm",
        "list-command-invocations",
        "--command-id",
        command,
        "--details",
    ]);
    assert_eq!(listed["CommandInvocations"][0]["InstanceId"], id);

    // Metrics.
    let metrics = lab.aws(&[
        "cloudwatch",
        "list-metrics",
        "--namespace",
        "Organization/Backup",
    ]);
    assert!(!metrics["Metrics"].as_array().unwrap().is_empty());
    lab.aws(&[
        "cloudwatch",
        "put-metric-data",
        "--namespace",
        "Contract",
        "--metric-name",
        "ElapsedTime",
        "--dimensions",
        "Server=i-1,Drive=/dev/sdf",
        "--unit",
        "Seconds",
        "--value",
        "42",
    ]);
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let query = r#"[{"Id":"q0","MetricStat":{"Metric":{"Namespace":"Contract","MetricName":"ElapsedTime","Dimensions":[{"Name":"Server","Value":"i-1"},{"Name":"Drive","Value":"/dev/sdf"}]},"Period":60,"Stat":"Maximum"}}]"#;
    let data = lab.aws(&[
        "cloudwatch",
        "get-metric-data",
        "--metric-data-queries",
        query,
        "--start-time",
        &(now - chrono::Duration::hours(1)).to_rfc3339(),
        "--end-time",
        &(now + chrono::Duration::minutes(5)).to_rfc3339(),
    ]);
    assert_eq!(data["MetricDataResults"][0]["Values"][0], 42.0, "{data}");
}
