//! A tour through the lab: every operation that it has, with inputs that make sense, in an order that does.

use freezeframe::lab::Lab;
use freezeframe::lab::world::{AgentStatus, InstanceState, Platform, SnapshotState, VolumeState};
use serde_json::{Value, json};

use crate::conformance::talk::{Answer, Protocol, ask, pass, protocols};

/// One call of the tour.
#[derive(Debug)]
pub struct Called {
    pub signed: &'static str,
    pub operation: String,
    pub input: Value,
    pub by: Protocol,
    pub answer: Answer,
}

/// Ids of the default world that calls are about.
#[derive(Debug)]
pub struct Places {
    pub database: String,
    pub web: String,
    pub lost: String,
    pub volume: String,
    pub loose: String,
    pub snapshot: String,
    pub shared: String,
}

pub fn places(lab: &Lab) -> Places {
    let world = lab.world();
    let online = |tag: Option<&str>| {
        let mut all = world.instances.values();
        let found = all.find(|i| {
            i.state == InstanceState::Running
                && i.platform == Platform::Linux
                && i.agent.status == AgentStatus::Online
                && i.tags.get("ConsistentSnapshot").map(String::as_str) == tag
        });
        found.unwrap().id.clone()
    };
    let database = online(Some("linux-mysql"));
    let device = world.instances[&database].block_devices.last().unwrap();
    let lost = world.instances.values().find(|i| {
        i.state == InstanceState::Running && i.agent.status == AgentStatus::ConnectionLost
    });
    let loose = world
        .volumes
        .values()
        .find(|v| v.state == VolumeState::Available);
    let ours = |s: &&freezeframe::lab::world::Snapshot| {
        s.owner == world.account && s.state == SnapshotState::Completed && !s.encrypted
    };
    let shared = world.snapshots.values().find(|s| !s.shared_with.is_empty());
    Places {
        volume: device.volume.clone(),
        web: online(None),
        lost: lost.unwrap().id.clone(),
        loose: loose.unwrap().id.clone(),
        snapshot: world.snapshots.values().find(ours).unwrap().id.clone(),
        shared: shared.unwrap().id.clone(),
        database,
    }
}

struct Guide<'a> {
    lab: &'a Lab,
    calls: Vec<Called>,
}

impl Guide<'_> {
    async fn call(
        &mut self,
        signed: &'static str,
        by: Protocol,
        operation: &str,
        input: Value,
    ) -> Value {
        let answer = ask(self.lab, signed, operation, &input, by).await;
        assert_eq!(
            answer.status, 200,
            "{operation} {input} by {by:?}: {}",
            answer.code
        );
        let value = answer.value.clone();
        let operation = operation.to_owned();
        self.calls.push(Called {
            signed,
            operation,
            input,
            by,
            answer,
        });
        value
    }

    async fn ec2(&mut self, operation: &str, input: Value) -> Value {
        self.call("ec2", Protocol::Query, operation, input).await
    }

    async fn ssm(&mut self, operation: &str, input: Value) -> Value {
        self.call("ssm", Protocol::Json, operation, input).await
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

pub fn document(word: &str) -> String {
    json!({"schemaVersion": "2.2", "description": "says a word",
        "parameters": {"word": {"type": "String", "description": "what", "default": word}},
        "mainSteps": [{"name": "say", "action": "aws:runShellScript",
            "inputs": {"runCommand": ["echo {{ word }}"], "timeoutSeconds": 60}}]})
    .to_string()
}

/// Everything once and more.
pub async fn tour(lab: &Lab) -> Vec<Called> {
    let mut guide = Guide {
        lab,
        calls: Vec::new(),
    };
    guide
        .call("sts", Protocol::Query, "GetCallerIdentity", json!({}))
        .await;
    let role = json!({"RoleArn": "arn:aws:iam::123456789012:role/Nightly", "RoleSessionName": "tour", "SourceIdentity": "me"});
    guide.call("sts", Protocol::Query, "AssumeRole", role).await;
    let places = places(lab);
    look(&mut guide, &places).await;
    change(&mut guide, &places).await;
    documents(&mut guide).await;
    commands(&mut guide, &places).await;
    for by in protocols("monitoring") {
        metrics(&mut guide, *by).await;
    }
    guide.calls
}

async fn look(guide: &mut Guide<'_>, places: &Places) {
    guide.ec2("DescribeInstances", json!({})).await;
    guide
        .ec2(
            "DescribeInstances",
            json!({"InstanceIds": [places.database]}),
        )
        .await;
    let page = guide
        .ec2("DescribeInstances", json!({"MaxResults": 5}))
        .await;
    let next = json!({"MaxResults": 5, "NextToken": page["NextToken"]});
    guide.ec2("DescribeInstances", next).await;
    guide
        .ec2(
            "DescribeInstanceStatus",
            json!({"IncludeAllInstances": true}),
        )
        .await;
    for attribute in ["instanceType", "rootDeviceName", "blockDeviceMapping"] {
        let input = json!({"InstanceId": places.database, "Attribute": attribute});
        guide.ec2("DescribeInstanceAttribute", input).await;
    }
    guide.ec2("DescribeVolumes", json!({})).await;
    guide
        .ec2(
            "DescribeVolumes",
            json!({"VolumeIds": [places.volume, places.loose]}),
        )
        .await;
    guide
        .ec2("DescribeSnapshots", json!({"OwnerIds": ["self"]}))
        .await;
    guide
        .ec2(
            "DescribeSnapshots",
            json!({"RestorableByUserIds": ["all"], "MaxResults": 5}),
        )
        .await;
    guide
        .ec2(
            "DescribeSnapshots",
            json!({"SnapshotIds": [places.snapshot]}),
        )
        .await;
    let input = json!({"SnapshotId": places.shared, "Attribute": "createVolumePermission"});
    guide.ec2("DescribeSnapshotAttribute", input).await;
    guide.ec2("DescribeLockedSnapshots", json!({})).await;
    guide.ec2("DescribeFastSnapshotRestores", json!({})).await;
    guide.ec2("DescribeTags", json!({"MaxResults": 5})).await;
    guide.ec2("DescribeImages", json!({})).await;
    let own = json!({"Owners": ["self"], "IncludeDisabled": true, "IncludeDeprecated": true});
    guide.ec2("DescribeImages", own).await;
    guide.ec2("DescribeRegions", json!({})).await;
    guide.ec2("DescribeAvailabilityZones", json!({})).await;
}

async fn change(guide: &mut Guide<'_>, places: &Places) {
    let tagged = json!([{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]);
    let input = json!({"InstanceSpecification": {"InstanceId": places.database, "ExcludeBootVolume": true},
        "Description": "d", "CopyTagsFromSource": "volume", "TagSpecifications": tagged});
    guide.ec2("CreateSnapshots", input).await;
    let bare = guide
        .ec2("CreateSnapshot", json!({"VolumeId": places.loose}))
        .await;
    pass(guide.lab, 60).await;
    let input = json!({"VolumeId": places.loose, "Description": "d", "TagSpecifications": tagged});
    guide.ec2("CreateSnapshot", input).await;
    let id = text(&bare["SnapshotId"]);
    guide
        .ec2(
            "CreateTags",
            json!({"Resources": [id], "Tags": [{"Key": "k", "Value": "v"}]}),
        )
        .await;
    guide
        .ec2(
            "DeleteTags",
            json!({"Resources": [id], "Tags": [{"Key": "k"}]}),
        )
        .await;
    let zone = guide.lab.world().instances[&places.database].az.clone();
    let input = json!({"SnapshotId": id, "AvailabilityZone": zone, "VolumeType": "gp3", "Iops": 4000,
        "Throughput": 200, "ClientToken": "t-1", "Encrypted": true,
        "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]});
    let made = guide.ec2("CreateVolume", input).await;
    guide
        .ec2(
            "CreateVolume",
            json!({"Size": 100, "AvailabilityZone": zone, "VolumeType": "gp2"}),
        )
        .await;
    pass(guide.lab, 10).await;
    let id = text(&made["VolumeId"]);
    let input = json!({"VolumeId": id, "InstanceId": places.database, "Device": "/dev/sdp"});
    guide.ec2("AttachVolume", input).await;
    pass(guide.lab, 10).await;
    guide.ec2("DetachVolume", json!({"VolumeId": id})).await;
    pass(guide.lab, 10).await;
    guide.ec2("DeleteVolume", json!({"VolumeId": id})).await;
    guide
        .ec2(
            "DeleteSnapshot",
            json!({"SnapshotId": text(&bare["SnapshotId"])}),
        )
        .await;
    guide
        .ec2("StopInstances", json!({"InstanceIds": [places.web]}))
        .await;
    pass(guide.lab, 30).await;
    guide
        .ec2("DescribeInstances", json!({"InstanceIds": [places.web]}))
        .await;
    guide
        .ec2("StartInstances", json!({"InstanceIds": [places.web]}))
        .await;
    pass(guide.lab, 30).await;
}

async fn documents(guide: &mut Guide<'_>) {
    let input = json!({"Name": "say-it", "Content": document("one"), "DocumentType": "Command", "DocumentFormat": "JSON",
        "VersionName": "first", "Tags": [{"Key": "a", "Value": "b"}]});
    guide.ssm("CreateDocument", input).await;
    let input = json!({"Name": "say-it", "Content": document("two"), "DocumentVersion": "$LATEST", "DocumentFormat": "JSON",
        "VersionName": "second"});
    guide.ssm("UpdateDocument", input).await;
    let input = json!({"Name": "say-it", "DocumentVersion": "2"});
    guide.ssm("UpdateDocumentDefaultVersion", input).await;
    guide
        .ssm(
            "DescribeDocument",
            json!({"Name": "say-it", "VersionName": "first"}),
        )
        .await;
    guide
        .ssm(
            "GetDocument",
            json!({"Name": "say-it", "DocumentVersion": "1", "DocumentFormat": "JSON"}),
        )
        .await;
    guide
        .ssm(
            "ListDocuments",
            json!({"Filters": [{"Key": "Owner", "Values": ["Self"]}]}),
        )
        .await;
    guide.ssm("ListDocuments", json!({"MaxResults": 2})).await;
}

async fn commands(guide: &mut Guide<'_>, places: &Places) {
    guide.ssm("DescribeInstanceInformation", json!({})).await;
    let input = json!({"Filters": [{"Key": "PingStatus", "Values": ["Online"]}], "MaxResults": 5});
    guide.ssm("DescribeInstanceInformation", input).await;
    guide
        .ssm("GetConnectionStatus", json!({"Target": places.database}))
        .await;
    let input = json!({"DocumentName": "say-it", "InstanceIds": [places.database], "Comment": "c",
        "TimeoutSeconds": 60, "Parameters": {"word": ["hello"]}});
    let sent = guide.ssm("SendCommand", input).await;
    let id = text(&sent["Command"]["CommandId"]);
    let ask = json!({"CommandId": id, "InstanceId": places.database});
    pass(guide.lab, 1).await;
    guide.ssm("GetCommandInvocation", ask.clone()).await;
    pass(guide.lab, 10).await;
    guide.ssm("GetCommandInvocation", ask).await;
    let input = json!({"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["exit 3"]}, "MaxErrors": "1",
        "Targets": [{"Key": "InstanceIds", "Values": [places.database, places.lost]}]});
    let waiting = guide.ssm("SendCommand", input).await;
    pass(guide.lab, 10).await;
    guide.ssm("ListCommands", json!({})).await;
    guide
        .ssm(
            "ListCommands",
            json!({"InstanceId": places.database, "MaxResults": 1}),
        )
        .await;
    guide
        .ssm(
            "ListCommandInvocations",
            json!({"CommandId": id, "Details": true}),
        )
        .await;
    guide
        .ssm("ListCommandInvocations", json!({"MaxResults": 1}))
        .await;
    let waiting = text(&waiting["Command"]["CommandId"]);
    guide
        .ssm("CancelCommand", json!({"CommandId": waiting}))
        .await;
    guide
        .ssm(
            "ListCommandInvocations",
            json!({"CommandId": waiting, "Details": true}),
        )
        .await;
    guide
        .ssm(
            "DeleteDocument",
            json!({"Name": "say-it", "DocumentVersion": "1"}),
        )
        .await;
}

async fn metrics(guide: &mut Guide<'_>, by: Protocol) {
    // awsQuery has its times as text.
    let at = |seconds: i64| match by {
        Protocol::Query => json!(
            chrono::DateTime::from_timestamp(seconds, 0)
                .unwrap()
                .to_rfc3339()
        ),
        _ => json!(seconds),
    };
    let now = guide.lab.clock().now().timestamp() / 60 * 60;
    let metric = json!({"Namespace": "Mine", "MetricName": "m", "Dimensions": [{"Name": "a", "Value": "b"}]});
    let input = json!({"Namespace": "Mine", "MetricData": [
        {"MetricName": "m", "Dimensions": metric["Dimensions"], "Value": 2.5, "Unit": "Seconds", "Timestamp": at(now)},
        {"MetricName": "n", "StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}}]});
    guide.call("monitoring", by, "PutMetricData", input).await;
    let (start, end) = (at(now - 3600), at(now + 60));
    let query =
        json!({"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}});
    let input = json!({"MetricDataQueries": [query], "StartTime": start, "EndTime": end});
    let data = guide.call("monitoring", by, "GetMetricData", input).await;
    assert_eq!(data["MetricDataResults"][0]["Id"], "q");
    for (key, names) in [
        ("Statistics", json!(["Maximum", "Average"])),
        ("ExtendedStatistics", json!(["p99.9", "p50"])),
    ] {
        let mut input = metric.clone();
        input["StartTime"] = start.clone();
        input["EndTime"] = end.clone();
        input["Period"] = json!(60);
        input[key] = names;
        let data = guide
            .call("monitoring", by, "GetMetricStatistics", input)
            .await;
        let point = &data["Datapoints"][0];
        let value = if key == "Statistics" {
            &point["Maximum"]
        } else {
            &point["ExtendedStatistics"]["p99.9"]
        };
        assert!(*value == json!(2.5) || *value == "2.5", "{by:?}: {data}");
    }
    guide
        .call(
            "monitoring",
            by,
            "ListMetrics",
            json!({"Namespace": "Mine"}),
        )
        .await;
    guide.call("monitoring", by, "ListMetrics", json!({})).await;
    guide
        .call(
            "monitoring",
            by,
            "DescribeAlarms",
            json!({"AlarmNames": ["x"]}),
        )
        .await;
}
