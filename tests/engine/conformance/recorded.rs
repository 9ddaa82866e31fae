//! What recorded answers of AWS say (aws-facts-3, sections 0 and 1), and what its guides say of statuses.

use std::time::Duration;

use freezeframe::lab::faults::Mishap;
use freezeframe::lab::world::{AgentStatus, InstanceState, Platform};
use freezeframe::lab::{Fault, FaultKind, Lab};
use serde_json::{Value, json};

use crate::conformance::calls::{document, places};
use crate::conformance::talk::{Answer, Protocol, ask, lab, pass};

async fn ssm(lab: &Lab, operation: &str, input: Value) -> Answer {
    ask(lab, "ssm", operation, &input, Protocol::Json).await
}

async fn ec2(lab: &Lab, operation: &str, input: Value) -> Answer {
    ask(lab, "ec2", operation, &input, Protocol::Query).await
}

/// Sends `exit CODE` and gives the command's id.
async fn exit(lab: &Lab, code: u8, more: Value) -> String {
    let mut input = json!({"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": [format!("exit {code}")]}});
    input
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let sent = ssm(lab, "SendCommand", input).await;
    assert_eq!(sent.status, 200, "{}", sent.code);
    sent.value["Command"]["CommandId"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// An instance of whose delivery the world says nothing else.
fn plain(lab: &Lab) -> String {
    let world = lab.world();
    let plain = |i: &&freezeframe::lab::world::Instance| {
        i.command_latency_ms == 200
            && i.platform == Platform::Linux
            && i.state == InstanceState::Running
            && i.agent.status == AgentStatus::Online
    };
    world.instances.values().find(plain).unwrap().id.clone()
}

async fn command(lab: &Lab, id: &str) -> Value {
    ssm(lab, "ListCommands", json!({"CommandId": id}))
        .await
        .value["Commands"][0]
        .clone()
}

async fn invocation(lab: &Lab, id: &str, instance: &str) -> Value {
    let input = json!({"CommandId": id, "InstanceId": instance});
    ssm(lab, "GetCommandInvocation", input).await.value
}

fn statuses(value: &Value) -> (&str, &str) {
    (
        value["Status"].as_str().unwrap(),
        value["StatusDetails"].as_str().unwrap(),
    )
}

#[tokio::test(start_paused = true)]
async fn times_come_when_the_step_is_over_and_the_end_is_in_whole_seconds() {
    let lab = lab().await;
    let there = places(&lab).database;
    let parameters = json!({"command": ["pre-script"], "executionId": ["0a1b2c3d-0000-4000-8000-000000000001"], "budgetSeconds": ["30"]});
    let input = json!({"DocumentName": "freezeframe-linux-filesystem", "InstanceIds": [there], "Parameters": parameters});
    let sent = ssm(&lab, "SendCommand", input).await;
    let id = sent.value["Command"]["CommandId"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut running = 0;
    let done = loop {
        lab.clock().sleep(Duration::from_millis(50)).await;
        let input = json!({"CommandId": id, "InstanceId": there});
        let seen = ssm(&lab, "GetCommandInvocation", input).await;
        if seen.status != 200 {
            assert_eq!(seen.code, "InvocationDoesNotExist");
            continue;
        }
        let seen = seen.value;
        if seen["Status"] == "Success" {
            break seen;
        }
        running += usize::from(seen["Status"] == "InProgress");
        assert!(seen.get("ExecutionStartDateTime").is_none(), "{seen}");
        assert!(seen.get("ExecutionElapsedTime").is_none(), "{seen}");
        assert_eq!(
            (&seen["ExecutionEndDateTime"], &seen["ResponseCode"]),
            (&json!(""), &json!(-1))
        );
    };
    assert!(running > 0);
    let at = |key: &str| chrono::DateTime::parse_from_rfc3339(done[key].as_str().unwrap()).unwrap();
    let elapsed = done["ExecutionElapsedTime"].as_str().unwrap();
    let seconds: f64 = elapsed
        .strip_prefix("PT")
        .unwrap()
        .strip_suffix('S')
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        !elapsed.ends_with("0S") || elapsed == "PT0S",
        "no trailing zeros: {elapsed}"
    );
    let told = (at("ExecutionEndDateTime") - at("ExecutionStartDateTime")).num_milliseconds();
    #[expect(clippy::cast_possible_truncation, reason = "a few seconds")]
    let whole = seconds.trunc() as i64 * 1000;
    assert_eq!(told, whole, "{done}");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_what_its_invocations_and_its_error_limit_make_of_it() {
    let lab = lab().await;
    let places = places(&lab);
    let both = |errors: &str| {
        json!({"MaxErrors": errors, "TimeoutSeconds": 30,
            "Targets": [{"Key": "InstanceIds", "Values": [places.database, places.lost]}]})
    };
    // One fails, which the limit allows; the other is never delivered.
    let within = exit(&lab, 3, both("1")).await;
    let beyond = exit(&lab, 3, both("0")).await;
    let lost = exit(
        &lab,
        0,
        json!({"InstanceIds": [places.lost], "TimeoutSeconds": 30}),
    )
    .await;
    let half = exit(&lab, 0, both("0")).await;
    pass(&lab, 10).await;
    assert_eq!(
        statuses(&command(&lab, &lost).await),
        ("Pending", "Delayed")
    );
    assert_eq!(
        statuses(&invocation(&lab, &lost, &places.lost).await),
        ("Pending", "Delayed")
    );
    pass(&lab, 4000).await;
    assert_eq!(
        statuses(&command(&lab, &within).await),
        ("Failed", "Incomplete")
    );
    assert_eq!(
        statuses(&command(&lab, &beyond).await),
        ("Failed", "Failed")
    );
    assert_eq!(
        statuses(&command(&lab, &half).await),
        ("Failed", "Incomplete")
    );
    let lost_one = command(&lab, &lost).await;
    assert_eq!(statuses(&lost_one), ("TimedOut", "DeliveryTimedOut"));
    assert_eq!(
        (&lost_one["DeliveryTimedOutCount"], &lost_one["ErrorCount"]),
        (&json!(1), &json!(0))
    );
    let filter = json!({"Filters": [{"key": "Status", "value": "Incomplete"}]});
    let found = ssm(&lab, "ListCommands", filter).await;
    assert_eq!(found.value["Commands"].as_array().unwrap().len(), 2);

    let nobody = exit(
        &lab,
        0,
        json!({"Targets": [{"Key": "tag:Env", "Values": ["nowhere"]}]}),
    )
    .await;
    assert_eq!(
        statuses(&command(&lab, &nobody).await),
        ("Success", "NoInstancesInTag")
    );
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_does_not_fit_fails_a_command_only_alone() {
    let lab = lab().await;
    let there = places(&lab).database;
    let windows = {
        let world = lab.world();
        let fits = |i: &&freezeframe::lab::world::Instance| {
            i.platform == Platform::Windows
                && i.state == InstanceState::Running
                && i.agent.status == AgentStatus::Online
        };
        world.instances.values().find(fits).unwrap().id.clone()
    };
    let to = |ids: &[&String]| json!({"Targets": [{"Key": "InstanceIds", "Values": ids}]});
    let mixed = exit(&lab, 0, to(&[&there, &windows])).await;
    let alone = exit(&lab, 0, to(&[&windows])).await;
    pass(&lab, 10).await;
    assert_eq!(
        statuses(&command(&lab, &mixed).await),
        ("Success", "Success")
    );
    assert_eq!(
        statuses(&invocation(&lab, &mixed, &windows).await),
        ("Failed", "InvalidPlatform")
    );
    assert_eq!(statuses(&command(&lab, &alone).await), ("Failed", "Failed"));
}

fn befall(lab: &Lab, mishap: Mishap) {
    lab.faults().inject(Fault {
        action: "*".into(),
        skip: 0,
        times: 1,
        kind: FaultKind::Command(mishap),
    });
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_a_step_with_137_and_the_command_as_failed() {
    let lab = lab().await;
    let there = places(&lab).database;
    befall(&lab, Mishap::TimedOut(Duration::from_millis(5)));
    let id = pre_script(&lab, &there).await;
    pass(&lab, 10).await;
    let ended = invocation(&lab, &id, &there).await;
    assert_eq!(statuses(&ended), ("TimedOut", "ExecutionTimedOut"));
    assert_eq!(ended["ResponseCode"], 137);
    let whole = command(&lab, &id).await;
    assert_eq!(
        (statuses(&whole), &whole["ErrorCount"]),
        (("Failed", "Failed"), &json!(1))
    );
}

/// Sends a `pre-script`, which takes its time.
async fn pre_script(lab: &Lab, instance: &str) -> String {
    let parameters = json!({"command": ["pre-script"], "executionId": ["0a1b2c3d-0000-4000-8000-000000000002"], "budgetSeconds": ["30"]});
    let input = json!({"DocumentName": "freezeframe-linux-mysql", "InstanceIds": [instance], "Parameters": parameters});
    let sent = ssm(lab, "SendCommand", input).await;
    assert_eq!(statuses(&sent.value["Command"]), ("Pending", "Pending"));
    sent.value["Command"]["CommandId"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_the_agent_did_not_send_is_failed_with_minus_one() {
    let lab = lab().await;
    let there = places(&lab).database;
    befall(&lab, Mishap::Killed(Duration::from_millis(300)));
    let id = pre_script(&lab, &there).await;
    pass(&lab, 10).await;
    let ended = invocation(&lab, &id, &there).await;
    assert_eq!(statuses(&ended), ("Failed", "Failed"));
    assert_eq!(ended["ResponseCode"], -1);
    let said = ended["StandardOutputContent"].as_str().unwrap();
    assert!(said.contains("hello"), "{said}");
    // It has ended, unlike one that was never delivered.
    assert!(ended["ExecutionStartDateTime"].is_string(), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_gone_is_failed_after_a_minute_and_its_script_runs_on() {
    let lab = lab().await;
    let there = places(&lab).database;
    befall(&lab, Mishap::WorkerLost(Duration::from_millis(20)));
    let id = pre_script(&lab, &there).await;
    pass(&lab, 50).await;
    let waiting = invocation(&lab, &id, &there).await;
    assert_eq!(statuses(&waiting), ("InProgress", "InProgress"));
    pass(&lab, 15).await;
    let ended = invocation(&lab, &id, &there).await;
    assert_eq!(statuses(&ended), ("Failed", "Failed"));
    let said = ended["StandardOutputContent"].as_str().unwrap();
    assert!(
        said.starts_with("document process failed unexpectedly"),
        "{said}"
    );
    assert!(!said.contains("FF1"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_died_is_online_for_minutes_and_its_commands_are_delayed_in_seconds() {
    let lab = lab().await;
    let there = places(&lab).database;
    befall(&lab, Mishap::AgentLost(Duration::from_secs(3_600)));
    let first = pre_script(&lab, &there).await;
    pass(&lab, 1).await;
    let ping = async || {
        let filter = json!({"Filters": [{"Key": "InstanceIds", "Values": [there]}]});
        let seen = ssm(&lab, "DescribeInstanceInformation", filter).await;
        seen.value["InstanceInformationList"][0]["PingStatus"].clone()
    };
    assert_eq!(ping().await, "Online");
    let status = ssm(&lab, "GetConnectionStatus", json!({"Target": there})).await;
    assert_eq!(status.value["Status"], "notconnected");
    let input = json!({"TimeoutSeconds": 30, "InstanceIds": [there],
        "Parameters": {"commands": ["true"], "executionTimeout": ["60"]}});
    let sent = exit(&lab, 0, input).await;
    lab.clock().sleep(Duration::from_millis(200)).await;
    assert_eq!(
        statuses(&invocation(&lab, &sent, &there).await),
        ("InProgress", "InProgress")
    );
    pass(&lab, 3).await;
    assert_eq!(
        statuses(&invocation(&lab, &sent, &there).await),
        ("Pending", "Delayed")
    );
    // 30 s to be delivered, 60 s to run, and 15 s more.
    pass(&lab, 100).await;
    assert_eq!(
        statuses(&invocation(&lab, &sent, &there).await),
        ("Pending", "Delayed")
    );
    pass(&lab, 3).await;
    let lost = invocation(&lab, &sent, &there).await;
    assert_eq!(statuses(&lost), ("TimedOut", "DeliveryTimedOut"));
    assert_eq!(lost["ResponseCode"], -1);
    pass(&lab, 300).await;
    assert_eq!(ping().await, "ConnectionLost");
    let running = invocation(&lab, &first, &there).await;
    assert_eq!(statuses(&running), ("InProgress", "InProgress"));
}

#[tokio::test(start_paused = true)]
async fn a_listing_with_details_has_the_true_times_and_joins_the_outputs() {
    let lab = lab().await;
    let there = plain(&lab);
    let parameters = json!({"commands": ["ls"]});
    let id = exit(
        &lab,
        0,
        json!({"InstanceIds": [there], "Parameters": parameters}),
    )
    .await;
    pass(&lab, 5).await;
    let listed = ssm(
        &lab,
        "ListCommandInvocations",
        json!({"CommandId": id, "Details": true}),
    )
    .await;
    let invocation = listed.value["CommandInvocations"][0].clone();
    let plugin = &invocation["CommandPlugins"][0];
    let began = plugin["ResponseStartDateTime"].as_f64().unwrap();
    let ended = plugin["ResponseFinishDateTime"].as_f64().unwrap();
    let requested = invocation["RequestedDateTime"].as_f64().unwrap();
    assert!(ended >= began);
    let way = ((began - requested) * 1000.0).round();
    assert!((way - 200.0).abs() < 1.0, "delivered after {way} ms");
    let output = plugin["Output"].as_str().unwrap();
    assert!(output.contains("\n----------ERROR-------\n"), "{output}");
}

#[tokio::test(start_paused = true)]
async fn a_commands_last_moment_counts_the_limits_that_were_sent() {
    let lab = lab().await;
    let there = places(&lab).database;
    for (more, seconds) in [
        (json!({"TimeoutSeconds": 30}), 30 + 3600),
        (
            json!({"TimeoutSeconds": 30, "Parameters": {"commands": ["true"], "executionTimeout": ["60"]}}),
            90,
        ),
        (json!({}), 3600 + 3600),
    ] {
        let mut more = more;
        more["InstanceIds"] = json!([there]);
        let id = exit(&lab, 0, more).await;
        let command = command(&lab, &id).await;
        let lives = command["ExpiresAfter"].as_f64().unwrap()
            - command["RequestedDateTime"].as_f64().unwrap();
        assert!(
            (lives - f64::from(seconds)).abs() < 0.01,
            "{lives} {seconds}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_instance_is_no_target_and_says_when_it_was_stopped() {
    let lab = lab().await;
    let web = places(&lab).web;
    let seen = async |id: &String| {
        let answer = ec2(&lab, "DescribeInstances", json!({"InstanceIds": [id]})).await;
        answer.value["Reservations"][0]["Instances"][0].clone()
    };
    let before = seen(&web).await;
    assert_eq!(before["StateTransitionReason"], "");
    assert!(before.get("StateReason").is_none());
    ec2(&lab, "StopInstances", json!({"InstanceIds": [web]})).await;
    pass(&lab, 30).await;
    let stopped = seen(&web).await;
    assert_eq!(
        stopped["StateTransitionReason"],
        "User initiated (2026-11-21 12:00:00 GMT)"
    );
    assert_eq!(
        stopped["StateReason"]["Code"],
        "Client.UserInitiatedShutdown"
    );
    assert_eq!(stopped["LaunchTime"], before["LaunchTime"]);
    let input = json!({"DocumentName": "AWS-RunShellScript", "InstanceIds": [web], "Parameters": {"commands": ["true"]}});
    assert_eq!(
        ssm(&lab, "SendCommand", input).await.code,
        "InvalidInstanceId"
    );
    ec2(&lab, "StartInstances", json!({"InstanceIds": [web]})).await;
    pass(&lab, 30).await;
    let started = seen(&web).await;
    assert_eq!(started["LaunchTime"], "2026-11-21T12:00:30.000Z");
    assert_eq!(started["StateTransitionReason"], "");
    let born = {
        let world = lab.world();
        let stopped = world
            .instances
            .values()
            .find(|i| i.state == InstanceState::Stopped);
        stopped.unwrap().id.clone()
    };
    let reason = seen(&born).await["StateTransitionReason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        reason.starts_with("User initiated (2026-") && reason.ends_with(" GMT)"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn documents_keep_their_tags_and_names_and_never_a_number_twice() {
    let lab = lab().await;
    let input = json!({"Name": "kept", "Content": document("one"), "VersionName": "first", "Tags": [{"Key": "a", "Value": "b"}]});
    let made = ssm(&lab, "CreateDocument", input).await.value["DocumentDescription"].clone();
    assert_eq!(
        (&made["VersionName"], &made["Status"]),
        (&json!("first"), &json!("Creating"))
    );
    let tags = json!([{"Key": "a", "Value": "b"}]);
    let update = async |word: &str, name: &str| {
        let input = json!({"Name": "kept", "Content": document(word), "DocumentVersion": "$LATEST", "VersionName": name});
        let answer = ssm(&lab, "UpdateDocument", input).await;
        let number = answer.value["DocumentDescription"]["DocumentVersion"].clone();
        (answer.code, number)
    };
    assert_eq!(update("one", "again").await.0, "DuplicateDocumentContent");
    assert_eq!(
        update("two", "first").await.0,
        "DuplicateDocumentVersionName"
    );
    assert_eq!(update("two", "second").await.1, "2");
    // Older content makes a new version; only the latest is a duplicate.
    assert_eq!(update("one", "third").await.1, "3");
    let gone = ssm(
        &lab,
        "DeleteDocument",
        json!({"Name": "kept", "VersionName": "third"}),
    )
    .await;
    assert_eq!(gone.status, 200, "{}", gone.code);
    assert_eq!(
        update("three", "fourth").await.1,
        "4",
        "a deleted number is not used again"
    );
    for (operation, at) in [
        ("DescribeDocument", "/Document"),
        ("ListDocuments", "/DocumentIdentifiers/0"),
    ] {
        let input = match operation {
            "ListDocuments" => json!({"Filters": [{"Key": "Name", "Values": ["kept"]}]}),
            _ => json!({"Name": "kept"}),
        };
        let seen = ssm(&lab, operation, input).await.value;
        assert_eq!(seen.pointer(at).unwrap()["Tags"], tags, "{operation}");
    }
    let old = ssm(
        &lab,
        "GetDocument",
        json!({"Name": "kept", "VersionName": "second"}),
    )
    .await
    .value;
    assert_eq!(
        (&old["DocumentVersion"], &old["Content"]),
        (&json!("2"), &json!(document("two")))
    );
    let both = ssm(
        &lab,
        "GetDocument",
        json!({"Name": "kept", "VersionName": "second", "DocumentVersion": "1"}),
    )
    .await;
    assert_eq!(both.code, "InvalidDocumentVersion");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_tags_has_no_list_of_them() {
    let lab = lab().await;
    let loose = places(&lab).loose;
    let made = ec2(&lab, "CreateSnapshot", json!({"VolumeId": loose})).await;
    assert!(made.value.get("Tags").is_none(), "{}", made.value);
    let id = &made.value["SnapshotId"];
    let seen = ec2(&lab, "DescribeSnapshots", json!({"SnapshotIds": [id]})).await;
    assert!(seen.value["Snapshots"][0].get("Tags").is_none());
    ec2(
        &lab,
        "CreateTags",
        json!({"Resources": [id], "Tags": [{"Key": "k", "Value": "v"}]}),
    )
    .await;
    let seen = ec2(&lab, "DescribeSnapshots", json!({"SnapshotIds": [id]})).await;
    assert_eq!(
        seen.value["Snapshots"][0]["Tags"],
        json!([{"Key": "k", "Value": "v"}])
    );
}

#[tokio::test(start_paused = true)]
async fn zones_of_a_region_have_its_own_ids() {
    let lab = lab().await;
    let form = b"Action=DescribeAvailabilityZones&Version=2016-11-15".to_vec();
    for (region, ids) in [
        ("ap-northeast-1", ["apne1-az4", "apne1-az1", "apne1-az2"]),
        ("eu-central-1", ["euc1-az2", "euc1-az3", "euc1-az1"]),
        ("us-east-1", ["use1-az1", "use1-az2", "use1-az4"]),
    ] {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=AKIALAB/20261121/{region}/ec2/aws4_request, SignedHeaders=host, Signature=00"
        );
        let request = http::Request::post("http://lab.invalid/").header("authorization", scope);
        let response = lab
            .handle(request.body(form.clone().into()).unwrap())
            .await
            .unwrap();
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        for id in ids {
            assert!(
                body.contains(&format!("<zoneId>{id}</zoneId>")),
                "{region}: {body}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_are_filtered_by_what_systems_manager_has_and_by_nothing_else() {
    let lab = lab().await;
    let there = places(&lab).database;
    let find = async |input: Value| {
        let answer = ssm(&lab, "DescribeInstanceInformation", input).await;
        let found = answer.value["InstanceInformationList"]
            .as_array()
            .map_or(0, Vec::len);
        (answer.code, found)
    };
    let by = |key: &str, value: &str| json!({"Filters": [{"Key": key, "Values": [value]}]});
    for (key, value) in [
        ("InstanceIds", there.as_str()),
        ("SourceIds", there.as_str()),
    ] {
        assert_eq!(find(by(key, value)).await, (String::new(), 1), "{key}");
    }
    for (key, value) in [
        ("SourceTypes", "AWS::EC2::Instance"),
        ("PlatformType", "Linux"),
        ("tag:Env", "prod"),
    ] {
        assert!(find(by(key, value)).await.1 > 1, "{key}");
    }
    assert_eq!(find(by("AssociationStatus", "Success")).await.1, 0);
    for input in [
        by("Colour", "red"),
        by("tag:", "red"),
        json!({"Filters": [{"Key": "InstanceIds", "Values": []}]}),
        json!({"Filters": [{"Key": "InstanceIds", "Values": [there]}],
            "InstanceInformationFilterList": [{"key": "InstanceIds", "valueSet": [there]}]}),
        json!({"MaxResults": 4}),
    ] {
        assert_eq!(
            find(input.clone()).await.0,
            "ValidationException",
            "{input}"
        );
    }
    let odd = find(by("PingStatus", "Asleep")).await.0;
    assert_eq!(odd, "InvalidInstanceInformationFilterValue");
}

#[tokio::test(start_paused = true)]
async fn a_command_reaches_its_agent_in_a_fifth_of_a_second() {
    let lab = lab().await;
    let there = plain(&lab);
    let sent = lab.clock().now();
    let id = exit(&lab, 0, json!({"InstanceIds": [there]})).await;
    let done = loop {
        lab.clock().sleep(Duration::from_millis(50)).await;
        let seen = invocation(&lab, &id, &there).await;
        if seen["Status"] == "Success" {
            break seen;
        }
    };
    let start = done["ExecutionStartDateTime"].as_str().unwrap();
    let start = chrono::DateTime::parse_from_rfc3339(start).unwrap();
    let took = (start.with_timezone(&chrono::Utc) - sent).num_milliseconds();
    assert!((200..=250).contains(&took), "{took} ms");
}
