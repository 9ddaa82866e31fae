//! Every member of every input with a value that cannot be, misspelt ones, and lists without numbers: all refused.

use std::collections::BTreeMap;

use freezeframe::lab::Lab;
use serde_json::{Value, json};

use crate::conformance::calls::{document, places};
use crate::conformance::model::{Kind, Service, Structure, service, services};
use crate::conformance::talk::{Protocol, ask, lab, pass, post, protocols};

/// Members that take anything, and why.
pub const TAKEN: [(&str, &str); 0] = [];

/// Codes that speak of what was asked, not of what is there.
fn fitting(code: &str) -> bool {
    let stems = [
        "Invalid",
        "Unknown",
        "Validation",
        "Serialization",
        "Missing",
        "MaxDocumentSize",
        "Unsupported",
    ];
    stems.iter().any(|stem| code.starts_with(stem)) && !code.ends_with("NotFound")
}

/// An input that is taken, of each operation; what changes something is a dry run where there is one.
async fn taken(lab: &Lab) -> BTreeMap<(&'static str, &'static str), Value> {
    let places = places(lab);
    let zone = lab.world().instances[&places.database].az.clone();
    let create = json!({"Name": "held", "Content": document("one")});
    ask(lab, "ssm", "CreateDocument", &create, Protocol::Json).await;
    let sent = json!({"DocumentName": "held", "InstanceIds": [places.database]});
    let sent = ask(lab, "ssm", "SendCommand", &sent, Protocol::Json).await;
    pass(lab, 10).await;
    let command = &sent.value["Command"]["CommandId"];
    let tags = json!([{"Key": "a", "Value": "b"}]);
    let metric = json!({"Namespace": "N", "MetricName": "m"});
    let (start, end) = ("2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z");
    let query = json!({"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}});
    let list = [
        (
            "ec2",
            "AttachVolume",
            json!({"VolumeId": places.loose, "InstanceId": places.database, "Device": "/dev/sdp", "DryRun": true}),
        ),
        (
            "ec2",
            "CreateSnapshot",
            json!({"VolumeId": places.loose, "DryRun": true}),
        ),
        (
            "ec2",
            "CreateSnapshots",
            json!({"InstanceSpecification": {"InstanceId": places.database}, "DryRun": true}),
        ),
        (
            "ec2",
            "CreateTags",
            json!({"Resources": [places.loose], "Tags": tags, "DryRun": true}),
        ),
        (
            "ec2",
            "CreateVolume",
            json!({"AvailabilityZone": zone, "Size": 10, "VolumeType": "gp3", "DryRun": true}),
        ),
        (
            "ec2",
            "DeleteSnapshot",
            json!({"SnapshotId": places.snapshot, "DryRun": true}),
        ),
        (
            "ec2",
            "DeleteTags",
            json!({"Resources": [places.loose], "Tags": tags, "DryRun": true}),
        ),
        (
            "ec2",
            "DeleteVolume",
            json!({"VolumeId": places.loose, "DryRun": true}),
        ),
        ("ec2", "DescribeAvailabilityZones", json!({})),
        ("ec2", "DescribeFastSnapshotRestores", json!({})),
        ("ec2", "DescribeImages", json!({})),
        (
            "ec2",
            "DescribeInstanceAttribute",
            json!({"InstanceId": places.database, "Attribute": "instanceType"}),
        ),
        ("ec2", "DescribeInstanceStatus", json!({})),
        ("ec2", "DescribeInstances", json!({})),
        ("ec2", "DescribeLockedSnapshots", json!({})),
        ("ec2", "DescribeRegions", json!({})),
        (
            "ec2",
            "DescribeSnapshotAttribute",
            json!({"SnapshotId": places.shared, "Attribute": "createVolumePermission"}),
        ),
        ("ec2", "DescribeSnapshots", json!({"OwnerIds": ["self"]})),
        ("ec2", "DescribeTags", json!({})),
        ("ec2", "DescribeVolumes", json!({})),
        (
            "ec2",
            "DetachVolume",
            json!({"VolumeId": places.volume, "DryRun": true}),
        ),
        (
            "ec2",
            "StartInstances",
            json!({"InstanceIds": [places.web], "DryRun": true}),
        ),
        (
            "ec2",
            "StopInstances",
            json!({"InstanceIds": [places.web], "DryRun": true}),
        ),
        ("ssm", "CancelCommand", json!({"CommandId": command})),
        (
            "ssm",
            "CreateDocument",
            json!({"Name": "other", "Content": document("one")}),
        ),
        ("ssm", "DescribeDocument", json!({"Name": "held"})),
        ("ssm", "DescribeInstanceInformation", json!({})),
        (
            "ssm",
            "GetCommandInvocation",
            json!({"CommandId": command, "InstanceId": places.database}),
        ),
        (
            "ssm",
            "GetConnectionStatus",
            json!({"Target": places.database}),
        ),
        ("ssm", "GetDocument", json!({"Name": "held"})),
        ("ssm", "ListCommandInvocations", json!({})),
        ("ssm", "ListCommands", json!({})),
        ("ssm", "ListDocuments", json!({})),
        (
            "ssm",
            "SendCommand",
            json!({"DocumentName": "held", "InstanceIds": [places.database]}),
        ),
        (
            "ssm",
            "UpdateDocument",
            json!({"Name": "held", "Content": document("two"), "DocumentVersion": "$LATEST"}),
        ),
        (
            "ssm",
            "UpdateDocumentDefaultVersion",
            json!({"Name": "held", "DocumentVersion": "1"}),
        ),
        ("ssm", "DeleteDocument", json!({"Name": "held"})),
        ("monitoring", "DescribeAlarms", json!({})),
        (
            "monitoring",
            "GetMetricData",
            json!({"MetricDataQueries": [query], "StartTime": start, "EndTime": end}),
        ),
        (
            "monitoring",
            "GetMetricStatistics",
            json!({"Namespace": "N", "MetricName": "m", "Period": 60, "Statistics": ["Sum"],
            "StartTime": start, "EndTime": end}),
        ),
        ("monitoring", "ListMetrics", json!({})),
        (
            "monitoring",
            "PutMetricData",
            json!({"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": 1}]}),
        ),
        ("sts", "GetCallerIdentity", json!({})),
        (
            "sts",
            "AssumeRole",
            json!({"RoleArn": "arn:aws:iam::123456789012:role/Nightly", "RoleSessionName": "held"}),
        ),
    ];
    list.into_iter()
        .map(|(signed, operation, input)| ((signed, operation), input))
        .collect()
}

/// Where a leaf of an input is: `Filters[0].Name`.
#[derive(Debug, Clone)]
enum Step {
    Member(String),
    First,
    Key,
}

/// Every leaf that an input can have, with its kind.
fn leaves(model: &Service, members: &Structure, at: &[Step], out: &mut Vec<(Vec<Step>, Kind)>) {
    for (name, member) in members {
        let at = [at, &[Step::Member(name.clone())]].concat();
        leaf(model, &member.kind, at, out);
    }
}

fn leaf(model: &Service, kind: &Kind, mut at: Vec<Step>, out: &mut Vec<(Vec<Step>, Kind)>) {
    // No input of ours is deeper; AWS has some that never end.
    if at.len() > 9 {
        return;
    }
    match kind {
        Kind::List(_, inner) => {
            at.push(Step::First);
            leaf(model, inner, at, out);
        }
        Kind::Map(inner) => {
            at.push(Step::Key);
            leaf(model, inner, at, out);
        }
        Kind::Structure(shape) => leaves(model, &model.incoming[shape], &at, out),
        kind => out.push((at, kind.clone())),
    }
}

fn put(input: &mut Value, at: &[Step], value: Value) {
    let Some((step, rest)) = at.split_first() else {
        *input = value;
        return;
    };
    let inner = match step {
        Step::Member(name) => {
            if !input.is_object() {
                *input = json!({});
            }
            &mut input[name.as_str()]
        }
        Step::Key => {
            if !input.is_object() {
                *input = json!({});
            }
            &mut input["key"]
        }
        Step::First => {
            if !input.is_array() {
                *input = json!([null]);
            }
            &mut input[0]
        }
    };
    put(inner, rest, value);
}

/// Values that no member of this kind can have, in words of the protocol.
fn impossible(kind: &Kind, by: Protocol) -> Vec<Value> {
    match kind {
        Kind::Text => vec![json!("x".repeat(200_000))],
        Kind::Whole if by == Protocol::Query => vec![json!("many"), json!("1.5")],
        Kind::Real if by == Protocol::Query => vec![json!("many")],
        Kind::Flag if by == Protocol::Query => vec![json!("perhaps")],
        Kind::Whole => vec![json!("many"), json!(1.5), json!(true)],
        Kind::Real => vec![json!("many"), json!(true)],
        Kind::Flag => vec![json!("perhaps"), json!(7)],
        Kind::Time => vec![json!("yesterday")],
        Kind::Words(_) => vec![json!("no-such-word")],
        Kind::List(..) | Kind::Map(_) | Kind::Structure(_) => Vec::new(),
    }
}

fn written(at: &[Step]) -> String {
    at.iter().fold(String::new(), |text, step| match step {
        Step::Member(name) if text.is_empty() => name.clone(),
        Step::Member(name) => format!("{text}.{name}"),
        Step::First => text,
        Step::Key => format!("{text}.*"),
    })
}

/// Whether the answer to an input that is fine says so.
fn accepted(status: u16, code: &str) -> bool {
    status == 200 || code == "DryRunOperation"
}

#[tokio::test(start_paused = true)]
async fn every_member_with_an_impossible_value_is_refused() {
    let lab = lab().await;
    let taken = taken(&lab).await;
    let mut faults = Vec::new();
    let mut tried = 0;
    for ((signed, operation), base) in &taken {
        let model = service(signed);
        let mut all = Vec::new();
        if let Some(members) = model.input(operation) {
            leaves(model, members, &[], &mut all);
        }
        for by in protocols(signed) {
            for (at, kind) in &all {
                let name = format!("{operation}: {}", written(at));
                for value in impossible(kind, *by) {
                    let mut input = base.clone();
                    put(&mut input, at, value.clone());
                    let answer = ask(&lab, signed, operation, &input, *by).await;
                    tried += 1;
                    let refused =
                        answer.status >= 400 && answer.status < 500 && fitting(&answer.code);
                    if !refused && !TAKEN.iter().any(|(known, _)| *known == name) {
                        let value = value.to_string().chars().take(20).collect::<String>();
                        faults.push(format!(
                            "{name} = {value} by {by:?}: {} {}",
                            answer.status, answer.code
                        ));
                    }
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {tried}: {faults:#?}",
        faults.len()
    );
    assert!(tried > 500, "{tried}");
    // They were refused for that value, not for the rest.
    for ((signed, operation), base) in &taken {
        if *operation == "DeleteDocument" {
            continue;
        }
        let by = protocols(signed)[0];
        let answer = ask(&lab, signed, operation, base, by).await;
        assert!(
            accepted(answer.status, &answer.code),
            "{operation}: {} {}",
            answer.status,
            answer.code
        );
    }
}

#[tokio::test(start_paused = true)]
async fn misspelt_members_and_lists_without_numbers_are_refused() {
    let lab = lab().await;
    let taken = taken(&lab).await;
    for service in services() {
        for operation in freezeframe::lab::accept::known(service.signed) {
            assert!(
                taken.contains_key(&(service.signed, operation)),
                "{operation}"
            );
        }
    }
    for ((signed, operation), base) in &taken {
        let model = service(signed);
        let names: Vec<&String> = model
            .input(operation)
            .into_iter()
            .flat_map(|m| m.keys())
            .collect();
        for by in protocols(signed) {
            let mut wrong = vec!["Colour".to_owned()];
            wrong.extend(names.iter().map(|name| format!("{name}x")));
            for name in wrong {
                let mut input = base.clone();
                input[&name] = json!("x");
                let answer = ask(&lab, signed, operation, &input, *by).await;
                assert!(
                    answer.status == 400 && fitting(&answer.code),
                    "{operation} {name} by {by:?}: {}",
                    answer.code
                );
            }
        }
        for member in model.input(operation).into_iter().flat_map(|m| m.values()) {
            if !protocols(signed).contains(&Protocol::Query)
                || !matches!(member.kind, Kind::List(..))
            {
                continue;
            }
            for name in [
                member.wire.clone(),
                format!("{}.", member.wire),
                format!("{}.0", member.wire),
            ] {
                let form = format!("Action={operation}&{name}=i-0123456789abcdef0");
                let answer =
                    post(&lab, signed, operation, form.into_bytes(), Protocol::Query).await;
                assert!(
                    answer.status == 400 && fitting(&answer.code),
                    "{operation} {name}: {}",
                    answer.code
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_in_the_envelope_of_its_caller() {
    let lab = lab().await;
    for (signed, operation) in [
        ("ssm", "ListCommands"),
        ("monitoring", "ListMetrics"),
        ("sts", "GetCallerIdentity"),
        ("ec2", "DescribeTags"),
    ] {
        for by in protocols(signed) {
            let answer = ask(&lab, signed, operation, &json!({"Colour": "red"}), *by).await;
            assert!(fitting(&answer.code), "{signed} {by:?}: {answer:?}");
            let unknown = ask(&lab, signed, operation, &json!({}), *by).await;
            assert_eq!(unknown.status, 200, "{signed} {by:?}");
        }
    }
    // Unsigned, and signed for a service that does not speak so.
    for (target, kind, starts) in [
        ("AmazonSSM.ListCommands", "application/x-amz-json-1.1", "{"),
        (
            "GraniteServiceVersion20100801.ListMetrics",
            "application/x-amz-json-1.0",
            "{",
        ),
        ("", "application/x-www-form-urlencoded", "<"),
    ] {
        for signed in [None, Some("ec2"), Some("sts")] {
            let mut request =
                http::Request::post("http://lab.invalid/").header("content-type", kind);
            if !target.is_empty() {
                request = request.header("x-amz-target", target);
            }
            if let Some(service) = signed {
                let scope = format!(
                    "AWS4-HMAC-SHA256 Credential=AKIALAB/20261121/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
                );
                request = request.header("authorization", scope);
            }
            let response = lab
                .handle(request.body(bytes::Bytes::new()).unwrap())
                .await
                .unwrap();
            let body = String::from_utf8(response.body().to_vec()).unwrap();
            assert!(
                response.status().as_u16() >= 400,
                "{target} {signed:?}: {body}"
            );
            assert!(body.starts_with(starts), "{target} {signed:?}: {body}");
            assert_eq!(
                response.headers()["x-freezeframe-lab-home"],
                "eu-central-1 14",
                "{body}"
            );
        }
    }
}
