//! Run Command over the simulated runtime, on tokio's paused clock.

mod mishaps;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{ServiceError, handle};
use crate::caller::Caller;
use crate::runtime::Runtime;
use crate::runtime_simulated::SimulatedRuntime;
use crate::world::AgentStatus;
use crate::{Clock, Lab, LabOptions, WorldSpec};

const DB: &str = "i-00000000000000001";
const LOST: &str = "i-00000000000000002";
const WINDOWS: &str = "i-00000000000000003";
const STOPPED: &str = "i-00000000000000004";
const JOB: &str = "0a1b2c3d-0000-4000-8000-000000000001";

const WORLD: &str = r#"
name = "small"
[[instance]]
id = "i-00000000000000001"
name = "db"
tags = { Env = "prod" }
volume = [
  { device = "/dev/xvda", size = 8, fs = "xfs", mount = "/" },
  { id = "vol-00000000000000011", device = "/dev/sdf", size = 20, fs = "xfs", mount = "/data" },
  { id = "vol-00000000000000012", device = "/dev/sdg", size = 20, fs = "ext4", mount = "/srv" },
]
[[instance]]
id = "i-00000000000000002"
name = "lost"
agent = "connection-lost"
volume = [{ device = "/dev/xvda", size = 8 }]
[[instance]]
id = "i-00000000000000003"
name = "win"
platform = "windows"
tags = { Env = "prod" }
volume = [{ device = "/dev/sda1", size = 30 }]
[[instance]]
id = "i-00000000000000004"
name = "off"
state = "stopped"
volume = [{ device = "/dev/xvda", size = 8 }]
"#;

async fn lab() -> (Lab, Arc<SimulatedRuntime>) {
    let base = DateTime::parse_from_rfc3339("2026-11-21T04:00:00Z")
        .unwrap()
        .with_timezone(&Utc);
    let clock = Clock::virtual_from(base);
    let runtime = Arc::new(SimulatedRuntime::new(clock.clone(), 7));
    let options = LabOptions {
        world: WorldSpec::parse(WORLD).unwrap(),
        seed: 7,
        clock,
        runtime: Arc::clone(&runtime) as Arc<dyn Runtime>,
        throttling: false,
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
    };
    (Lab::start(options).await.unwrap(), runtime)
}

async fn call(lab: &Lab, operation: &str, body: Value) -> Result<Value, ServiceError> {
    let ctx = Caller {
        account: lab.account().to_owned(),
        region: lab.region().to_owned(),
        access_key: "AKIALAB".to_owned(),
        role: None,
        assumed: None,
        now: lab.clock().now(),
        request_id: "r".to_owned(),
    };
    handle(lab, &ctx, operation, body).await
}

async fn send(lab: &Lab, body: Value) -> String {
    call(lab, "SendCommand", body).await.unwrap()["Command"]["CommandId"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Waits until the invocation is over.
async fn outcome(lab: &Lab, id: &str, instance: &str) -> Value {
    loop {
        match call(
            lab,
            "GetCommandInvocation",
            json!({"CommandId": id, "InstanceId": instance}),
        )
        .await
        {
            Ok(invocation)
                if !["Pending", "InProgress", "Cancelling"]
                    .contains(&invocation["Status"].as_str().unwrap()) =>
            {
                return invocation;
            }
            Ok(invocation) => {
                assert_eq!(invocation["StandardOutputContent"], "");
                assert_eq!(invocation["ResponseCode"], -1);
            }
            Err(error) => assert_eq!(error.code, "InvocationDoesNotExist"),
        }
        lab.clock().sleep(Duration::from_millis(50)).await;
    }
}

async fn recipe(lab: &Lab, document: &str, command: &str, budget: &str) -> Value {
    let parameters = json!({"command": [command], "executionId": [JOB], "budgetSeconds": [budget]});
    let id = send(
        lab,
        json!({"DocumentName": document, "InstanceIds": [DB], "Parameters": parameters}),
    )
    .await;
    outcome(lab, &id, DB).await
}

fn events(invocation: &Value) -> Vec<Value> {
    let out = invocation["StandardOutputContent"].as_str().unwrap();
    out.lines()
        .map(|line| serde_json::from_str(line.strip_prefix("FF1 ").unwrap()).unwrap())
        .collect()
}

fn names(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| event["t"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_job_freezes_snapshots_and_thaws() {
    let (lab, runtime) = lab().await;
    let dry = recipe(&lab, "freezeframe-linux-mysql", "dry-run", "30").await;
    assert_eq!(
        names(&events(&dry)),
        "hello tool tool tool tool mount mount mount agent engine end"
    );
    let pre = recipe(&lab, "freezeframe-linux-mysql", "pre-script", "30").await;
    assert_eq!(
        (&pre["Status"], &pre["ResponseCode"], &pre["PluginName"]),
        (&json!("Success"), &json!(0), &json!("run_pre_post_scripts"))
    );
    assert_eq!(
        names(&events(&pre)),
        "hello mount mount mount engine armed flushed locked synced frozen frozen ready end"
    );
    assert_eq!(runtime.frozen_mounts(DB), ["/data", "/srv"]);
    runtime
        .snapshot(&[("vol-00000000000000011".to_owned(), "snap-1".to_owned())])
        .await
        .unwrap();
    let second = recipe(&lab, "freezeframe-linux-mysql", "pre-script", "30").await;
    assert_eq!(
        (&second["Status"], &second["ResponseCode"]),
        (&json!("Failed"), &json!(204))
    );
    let post = recipe(&lab, "freezeframe-linux-mysql", "post-script", "30").await;
    assert_eq!(post["ResponseCode"], 0);
    assert_eq!(
        names(&events(&post)),
        "hello release alive thawed thawed unlocked disarmed probe probe window end"
    );
    assert_eq!(runtime.frozen_mounts(DB), [""; 0]);
    assert_eq!(runtime.was_frozen("snap-1"), Some(true));
    runtime
        .snapshot(&[("vol-00000000000000011".to_owned(), "snap-2".to_owned())])
        .await
        .unwrap();
    assert_eq!(runtime.was_frozen("snap-2"), Some(false));
    // One counter over all commands of the job, never going back.
    let all: Vec<Value> = [&dry, &pre, &second, &post]
        .into_iter()
        .flat_map(events)
        .collect();
    assert!(
        all.windows(2)
            .all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64()
                && pair[0]["ms"].as_i64() <= pair[1]["ms"].as_i64())
    );
    let late = recipe(&lab, "freezeframe-linux-mysql", "post-script", "30").await;
    assert_eq!(
        (&late["Status"], &late["ResponseCode"]),
        (&json!("Failed"), &json!(205))
    );
}

#[tokio::test(start_paused = true)]
async fn the_failsafe_fires_when_the_post_script_is_late() {
    let (lab, runtime) = lab().await;
    let pre = recipe(&lab, "freezeframe-linux-filesystem", "pre-script", "5").await;
    assert_eq!(pre["ResponseCode"], 0);
    assert_eq!(runtime.frozen_mounts(DB).len(), 2);
    lab.clock().sleep(Duration::from_secs(5)).await;
    assert_eq!(runtime.frozen_mounts(DB), [""; 0]);
    let post = recipe(&lab, "freezeframe-linux-filesystem", "post-script", "5").await;
    assert_eq!(post["ResponseCode"], 203);
    let fired = events(&post)
        .into_iter()
        .find(|event| event["t"] == "disarmed")
        .unwrap();
    assert_eq!(fired["fired"], true);
}

#[tokio::test(start_paused = true)]
async fn what_aws_refuses_is_refused() {
    let (lab, _) = lab().await;
    let shell = |ids: Value, more: Value| {
        let mut body = json!({"DocumentName": "AWS-RunShellScript", "InstanceIds": ids, "Parameters": {"commands": ["true"]}});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let many: Vec<String> = (0..51).map(|n| format!("i-{n:017x}")).collect();
    let cases = [
        (
            shell(json!(["i-0000000000000dead"]), json!({})),
            "InvalidInstanceId",
        ),
        (shell(json!([DB, DB]), json!({})), "DuplicateInstanceId"),
        (shell(json!(many), json!({})), "ValidationException"),
        (
            shell(json!([WINDOWS]), json!({})),
            "UnsupportedPlatformType",
        ),
        (
            shell(json!([DB]), json!({"DocumentName": "No-Such"})),
            "InvalidDocument",
        ),
        (
            shell(json!([DB]), json!({"DocumentVersion": "9"})),
            "InvalidDocumentVersion",
        ),
        (
            shell(
                json!([DB]),
                json!({"DocumentHash": "00", "DocumentHashType": "Sha256"}),
            ),
            "InvalidDocument",
        ),
        (
            shell(json!([DB]), json!({"Parameters": {}})),
            "InvalidParameters",
        ),
        (
            shell(
                json!([DB]),
                json!({"Parameters": {"commands": ["x"], "nope": ["x"]}}),
            ),
            "InvalidParameters",
        ),
        (
            shell(json!([DB]), json!({"Parameters": {"commands": "x"}})),
            "InvalidParameters",
        ),
        (
            shell(json!([DB]), json!({"TimeoutSeconds": 29})),
            "ValidationException",
        ),
        (
            shell(json!([DB]), json!({"Comment": "x".repeat(101)})),
            "ValidationException",
        ),
        (
            shell(json!([DB]), json!({"MaxConcurrency": "0"})),
            "ValidationException",
        ),
        (shell(json!([]), json!({})), "InvalidInstanceId"),
    ];
    for (body, code) in cases {
        assert_eq!(
            call(&lab, "SendCommand", body.clone())
                .await
                .unwrap_err()
                .code,
            code,
            "{body}"
        );
    }
    assert_eq!(lab.world().ssm.command_count(), 0);
    let get = |id: &str| json!({"CommandId": id, "InstanceId": DB});
    assert_eq!(
        call(&lab, "GetCommandInvocation", get("x"))
            .await
            .unwrap_err()
            .code,
        "InvalidCommandId"
    );
    assert_eq!(
        call(&lab, "GetCommandInvocation", get(JOB))
            .await
            .unwrap_err()
            .code,
        "InvocationDoesNotExist"
    );
    assert_eq!(
        call(&lab, "Nonsense", json!({})).await.unwrap_err().code,
        "UnknownOperationException"
    );
}

#[tokio::test(start_paused = true)]
async fn targets_by_tag_reach_every_platform_and_say_which_do_not_fit() {
    let (lab, _) = lab().await;
    let targets = json!([{"Key": "tag:Env", "Values": ["prod"]}]);
    let id = send(&lab, json!({"DocumentName": "AWS-RunShellScript", "Targets": targets, "Parameters": {"commands": ["echo hi"]}})).await;
    let list = call(&lab, "ListCommandInvocations", json!({"CommandId": id}))
        .await
        .unwrap();
    assert_eq!(list["CommandInvocations"], json!([]), "not visible yet");
    assert_eq!(
        outcome(&lab, &id, DB).await["StandardOutputContent"],
        "hi\n"
    );
    assert_eq!(
        outcome(&lab, &id, WINDOWS).await["StatusDetails"],
        "InvalidPlatform"
    );
    let list = call(
        &lab,
        "ListCommandInvocations",
        json!({"CommandId": id, "Details": true, "MaxResults": 1}),
    )
    .await
    .unwrap();
    assert_eq!(
        list["CommandInvocations"][0]["CommandPlugins"][0]["Output"],
        "hi\n"
    );
    let next = call(
        &lab,
        "ListCommandInvocations",
        json!({"CommandId": id, "NextToken": list["NextToken"]}),
    )
    .await
    .unwrap();
    assert_eq!(next["CommandInvocations"][0]["InstanceId"], WINDOWS);
    let commands = call(
        &lab,
        "ListCommands",
        json!({"Filters": [{"key": "Status", "value": "Success"}]}),
    )
    .await
    .unwrap();
    assert_eq!(commands["Commands"][0]["CommandId"], json!(id));
    assert_eq!(
        (
            &commands["Commands"][0]["TargetCount"],
            &commands["Commands"][0]["CompletedCount"]
        ),
        (&json!(2), &json!(2))
    );
}

#[tokio::test(start_paused = true)]
async fn an_offline_agent_ends_in_delivery_timed_out() {
    let (lab, _) = lab().await;
    let body = json!({"DocumentName": "AWS-RunShellScript", "InstanceIds": [LOST], "TimeoutSeconds": 30,
        "Parameters": {"commands": ["true"], "executionTimeout": ["60"]}});
    let began = lab.clock().now();
    let id = send(&lab, body.clone()).await;
    let end = outcome(&lab, &id, LOST).await;
    assert_eq!(
        (&end["Status"], &end["StatusDetails"], &end["ResponseCode"]),
        (&json!("TimedOut"), &json!("DeliveryTimedOut"), &json!(-1))
    );
    assert!((105..=107).contains(&(lab.clock().now() - began).num_seconds()));
    // An agent that comes back in time runs it.
    let id = send(&lab, body).await;
    lab.clock().sleep(Duration::from_secs(10)).await;
    lab.world().instances.get_mut(LOST).unwrap().agent.status = AgentStatus::Online;
    assert_eq!(outcome(&lab, &id, LOST).await["Status"], "Success");
}

#[tokio::test(start_paused = true)]
async fn an_agent_lost_in_mid_run_never_reports() {
    let (lab, runtime) = lab().await;
    let parameters = json!({"command": ["pre-script"], "executionId": [JOB]});
    let body = json!({"DocumentName": "freezeframe-linux-filesystem", "InstanceIds": [DB], "TimeoutSeconds": 30, "Parameters": parameters});
    let id = send(&lab, body).await;
    while runtime.frozen_mounts(DB).is_empty() {
        lab.clock().sleep(Duration::from_millis(10)).await;
    }
    lab.world().instances.get_mut(DB).unwrap().agent.status = AgentStatus::ConnectionLost;
    let end = outcome(&lab, &id, DB).await;
    assert_eq!(end["StatusDetails"], "DeliveryTimedOut");
    assert_eq!(end["StandardOutputContent"], "");
    assert!(
        end.get("ExecutionStartDateTime").is_none(),
        "nobody said so"
    );
    assert_eq!(end["ExecutionEndDateTime"], "");
    assert_eq!(runtime.frozen_mounts(DB), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn cancel_stops_what_waits_and_what_runs() {
    let (lab, runtime) = lab().await;
    let body = json!({"DocumentName": "AWS-RunShellScript", "InstanceIds": [LOST], "Parameters": {"commands": ["true"]}});
    let waiting = send(&lab, body).await;
    call(&lab, "CancelCommand", json!({"CommandId": waiting}))
        .await
        .unwrap();
    assert_eq!(outcome(&lab, &waiting, LOST).await["Status"], "Cancelled");
    let parameters = json!({"command": ["pre-script"], "executionId": [JOB]});
    let body = json!({"DocumentName": "freezeframe-linux-mysql", "InstanceIds": [DB], "Parameters": parameters});
    let running = send(&lab, body).await;
    while runtime.frozen_mounts(DB).is_empty() {
        lab.clock().sleep(Duration::from_millis(5)).await;
    }
    call(
        &lab,
        "CancelCommand",
        json!({"CommandId": running, "InstanceIds": [DB]}),
    )
    .await
    .unwrap();
    assert_eq!(
        outcome(&lab, &running, DB).await["StatusDetails"],
        "Cancelled"
    );
    assert_eq!(runtime.frozen_mounts(DB), [""; 0]);
    assert_eq!(
        call(&lab, "CancelCommand", json!({"CommandId": JOB}))
            .await
            .unwrap_err()
            .code,
        "InvalidCommandId"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restored_volume_is_mounted_once_and_unmounted() {
    let (lab, runtime) = lab().await;
    let volume = "vol-00000000000000011";
    let run = async |command: &str, at: &str| {
        let parameters = json!({"command": [command], "volumeId": [volume], "mountPoint": [at]});
        let id = send(&lab, json!({"DocumentName": "freezeframe-linux-mount", "InstanceIds": [DB], "Parameters": parameters})).await;
        outcome(&lab, &id, DB).await
    };
    assert_eq!(
        run("mount", "/restore").await["ResponseCode"],
        206,
        "it is mounted at /data"
    );
    assert_eq!(
        runtime.detach(DB, volume, false).await.unwrap_err(),
        format!("{volume} is mounted at /data")
    );
    assert_eq!(
        names(&events(&run("umount", "/data").await)),
        "hello unmounted end"
    );
    let mounted = events(&run("mount", "/restore").await);
    assert_eq!(names(&mounted), "hello device mounted end");
    assert_eq!(mounted[2]["options"], "rw,nouuid");
}

#[tokio::test(start_paused = true)]
async fn nodes_are_listed_with_what_their_agents_say() {
    let (lab, _) = lab().await;
    let all = call(&lab, "DescribeInstanceInformation", json!({}))
        .await
        .unwrap();
    let seen: Vec<(&str, &str)> = all["InstanceInformationList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            (
                node["InstanceId"].as_str().unwrap(),
                node["PingStatus"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (DB, "Online"),
            (LOST, "ConnectionLost"),
            (WINDOWS, "Online")
        ]
    );
    let filter = |key: &str, value: &str| json!({"Filters": [{"Key": key, "Values": [value]}]});
    let windows = call(
        &lab,
        "DescribeInstanceInformation",
        filter("PlatformTypes", "Windows"),
    )
    .await
    .unwrap();
    assert_eq!(
        windows["InstanceInformationList"].as_array().unwrap().len(),
        1
    );
    let tagged = call(
        &lab,
        "DescribeInstanceInformation",
        filter("tag:Env", "prod"),
    )
    .await
    .unwrap();
    assert_eq!(
        tagged["InstanceInformationList"].as_array().unwrap().len(),
        2
    );
    assert!(
        call(&lab, "DescribeInstanceInformation", filter("Colour", "red"))
            .await
            .is_err()
    );
    assert!(
        call(
            &lab,
            "DescribeInstanceInformation",
            json!({"MaxResults": 4})
        )
        .await
        .is_err()
    );
    let status = call(&lab, "GetConnectionStatus", json!({"Target": STOPPED}))
        .await
        .unwrap();
    assert_eq!(status["Status"], "notconnected");
}

#[tokio::test(start_paused = true)]
async fn documents_have_versions_and_a_hash_pins_one() {
    let (lab, _) = lab().await;
    let content = |word: &str| {
        json!({"schemaVersion": "2.2", "mainSteps": [{"name": "run", "action": "aws:runShellScript", "inputs": {"runCommand": [format!("echo {word}")]}}]})
            .to_string()
    };
    let create = json!({"Name": "mine", "Content": content("one"), "DocumentType": "Command", "DocumentFormat": "JSON"});
    let made = call(&lab, "CreateDocument", create.clone()).await.unwrap();
    assert_eq!(
        call(&lab, "CreateDocument", create).await.unwrap_err().code,
        "DocumentAlreadyExists"
    );
    let first = made["DocumentDescription"]["Hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let update = |word: &str| json!({"Name": "mine", "Content": content(word), "DocumentVersion": "$LATEST"});
    assert_eq!(
        call(&lab, "UpdateDocument", update("one"))
            .await
            .unwrap_err()
            .code,
        "DuplicateDocumentContent"
    );
    let second = call(&lab, "UpdateDocument", update("two")).await.unwrap();
    assert_eq!(second["DocumentDescription"]["LatestVersion"], "2");
    let pinned = json!({"DocumentName": "mine", "DocumentHash": first, "DocumentHashType": "Sha256", "InstanceIds": [DB]});
    let id = send(&lab, pinned.clone()).await;
    assert_eq!(
        outcome(&lab, &id, DB).await["StandardOutputContent"],
        "one\n"
    );
    call(
        &lab,
        "UpdateDocumentDefaultVersion",
        json!({"Name": "mine", "DocumentVersion": "2"}),
    )
    .await
    .unwrap();
    assert_eq!(
        call(&lab, "SendCommand", pinned).await.unwrap_err().code,
        "InvalidDocument"
    );
    let got = call(&lab, "GetDocument", json!({"Name": "mine"}))
        .await
        .unwrap();
    assert_eq!(got["Content"], content("two"));
    let own = call(
        &lab,
        "ListDocuments",
        json!({"Filters": [{"Key": "Owner", "Values": ["Self"]}]}),
    )
    .await
    .unwrap();
    assert!(
        own["DocumentIdentifiers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|document| document["Name"] == "mine")
    );
    assert_eq!(
        call(
            &lab,
            "DeleteDocument",
            json!({"Name": "AWS-RunShellScript"})
        )
        .await
        .unwrap_err()
        .code,
        "AccessDeniedException"
    );
    call(&lab, "DeleteDocument", json!({"Name": "mine"}))
        .await
        .unwrap();
    assert_eq!(
        call(&lab, "DescribeDocument", json!({"Name": "mine"}))
            .await
            .unwrap_err()
            .code,
        "InvalidDocument"
    );
}

#[tokio::test(start_paused = true)]
async fn the_simulated_shell_admits_what_it_is() {
    let (lab, _) = lab().await;
    let id = send(&lab, json!({"DocumentName": "AWS-RunShellScript", "InstanceIds": [DB], "Parameters": {"commands": ["rm -rf /tmp/x"]}})).await;
    let end = outcome(&lab, &id, DB).await;
    assert_eq!(end["ResponseCode"], 127);
    assert_eq!(
        end["StandardErrorContent"],
        "simulated runtime: commands do not run here\n"
    );
}
