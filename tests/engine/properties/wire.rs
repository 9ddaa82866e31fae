//! Property 30: whatever bytes a client sends, the lab answers, in bounded memory, and lives on. Small requests that
//! ended it or kept it busy each have a test; the rest is drawn.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::sync::Arc;

use bytes::Bytes;
use chrono::{TimeZone as _, Utc};
use freezeframe::lab::runtime_simulated::SimulatedRuntime;
use freezeframe::lab::{Clock, Lab, LabOptions, WorldSpec, bounds, dispatch};
use http::{Method, Request, Response};
use proptest::prelude::*;
use serde_json::{Value, json};

const INSTANCE: &str = "i-0000000000000000a";
const WORLD: &str = r#"
name = "small"
[[instance]]
id = "i-0000000000000000a"
name = "db"
az = "a"
[[instance.volume]]
id = "vol-00000000000000001"
device = "/dev/xvda"
size = 8
mount = "/"
fs = "xfs"
[[instance.volume]]
id = "vol-00000000000000002"
device = "/dev/sdf"
size = 20
mount = "/data"
fs = "xfs"
"#;

async fn lab() -> Lab {
    let clock = Clock::virtual_from(Utc.with_ymd_and_hms(2026, 11, 21, 4, 0, 0).unwrap());
    Lab::start(LabOptions {
        world: WorldSpec::parse(WORLD).unwrap(),
        seed: 1,
        clock: clock.clone(),
        runtime: Arc::new(SimulatedRuntime::new(clock, 1)),
        throttling: true,
        account: "123456789012".into(),
        region: "eu-central-1".into(),
    })
    .await
    .unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tongue {
    Query(&'static str),
    Get(&'static str),
    Ssm,
    Json,
    Cbor,
}

const TONGUES: [Tongue; 8] = [
    Tongue::Query("ec2"),
    Tongue::Query("sts"),
    Tongue::Query("monitoring"),
    Tongue::Get("ec2"),
    Tongue::Ssm,
    Tongue::Json,
    Tongue::Cbor,
    Tongue::Query("nothing"),
];

fn request(tongue: Tongue, action: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let body = body.into();
    let service = match tongue {
        Tongue::Query(service) | Tongue::Get(service) => service,
        Tongue::Ssm => "ssm",
        Tongue::Json | Tongue::Cbor => "monitoring",
    };
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIALAB/20261121/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
    );
    let builder = Request::builder().header("authorization", authorization);
    let words: String = action.chars().filter(char::is_ascii_alphanumeric).collect();
    match tongue {
        Tongue::Query(_) => builder.method(Method::POST).uri("/").body(body),
        Tongue::Get(_) => {
            let query: String = body
                .iter()
                .filter(|byte| byte.is_ascii_alphanumeric() || b"=&.%-+".contains(byte))
                .map(|byte| char::from(*byte))
                .take(60_000)
                .collect();
            builder.uri(format!("/?{query}")).body(Bytes::new())
        }
        Tongue::Ssm => builder
            .method(Method::POST)
            .uri("/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AmazonSSM.{words}"))
            .body(body),
        Tongue::Json => builder
            .method(Method::POST)
            .uri("/")
            .header("content-type", "application/x-amz-json-1.0")
            .header(
                "x-amz-target",
                format!("GraniteServiceVersion20100801.{words}"),
            )
            .body(body),
        Tongue::Cbor => builder
            .method(Method::POST)
            .uri(format!(
                "/service/GraniteServiceVersion20100801/operation/{words}"
            ))
            .header("smithy-protocol", "rpc-v2-cbor")
            .header("content-type", "application/cbor")
            .body(body),
    }
    .unwrap()
}

/// The error's code, empty for a success; an answer of no known shape fails the test.
fn shape(answer: &Response<Bytes>) -> String {
    let status = answer.status().as_u16();
    assert!(
        matches!(
            status,
            200 | 400 | 401 | 403 | 404 | 405 | 412 | 413 | 500 | 503
        ),
        "{status}: {:?}",
        answer.body()
    );
    // What the runtime could not do is 500; what the lab did wrong is a failure of this test.
    assert!(
        !String::from_utf8_lossy(answer.body()).contains("a defect"),
        "it panicked"
    );
    assert!(answer.headers().contains_key(dispatch::MARK));
    let kind = answer
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let body = answer.body();
    let code = if kind.contains("json") {
        let value: Value = serde_json::from_slice(body).unwrap();
        value["__type"].as_str().unwrap_or_default().to_owned()
    } else if kind.contains("cbor") {
        let value: ciborium::Value = ciborium::from_reader(body.as_ref()).unwrap();
        let found = value.as_map().unwrap().iter();
        let mut found = found.filter(|(key, _)| key.as_text() == Some("__type"));
        found
            .next()
            .and_then(|(_, code)| code.as_text().map(str::to_owned))
            .unwrap_or_default()
    } else if kind.contains("xml") {
        let text = std::str::from_utf8(body).unwrap();
        let mut reader = quick_xml::Reader::from_str(text);
        while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
        text.split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"))
            .map(|(code, _)| code.to_owned())
            .unwrap_or_default()
    } else {
        assert_eq!(kind, "text/plain");
        return String::new();
    };
    assert_eq!(code.is_empty(), status == 200, "{status} {body:?}");
    code
}

async fn ask(lab: &Lab, tongue: Tongue, action: &str, body: impl Into<Bytes>) -> String {
    shape(&lab.handle(request(tongue, action, body)).await.unwrap())
}

/// It is there, and holds no more than it may of what was said to it.
async fn lives(lab: &Lab) {
    let answer = ask(
        lab,
        Tongue::Query("sts"),
        "",
        "Action=GetCallerIdentity&Version=2011-06-15",
    )
    .await;
    assert_eq!(answer, "");
    for call in lab.calls() {
        assert!(
            call.action.chars().count() <= bounds::ACTION,
            "{:.80}",
            call.action
        );
        for text in [&call.service, &call.subject, &call.outcome] {
            assert!(text.chars().count() <= bounds::RECORDED, "{text:.80}");
        }
    }
}

#[test]
fn p30_two_kilobytes_of_nesting_end_nothing() {
    runtime().block_on(async {
        let lab = lab().await;
        let deep = |open: &str, shut: &str| {
            let n = 200_000;
            format!("{}{}", open.repeat(n), shut.repeat(n))
        };
        for service in ["monitoring", "ec2", "sts"] {
            for dot in [".", "%2e", "%2E"] {
                let form = format!("Action=PutMetricData&{}=1", format!("a{dot}").repeat(1_000));
                let code = ask(&lab, Tongue::Query(service), "", form).await;
                assert_eq!(code, "MalformedQueryString", "{service} {dot}");
            }
        }
        for tongue in [Tongue::Ssm, Tongue::Json] {
            for (open, shut) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":[", "]}]")] {
                let code = ask(&lab, tongue, "ListCommands", deep(open, shut)).await;
                assert_eq!(code, "SerializationException");
            }
        }
        // Arrays, maps, tags, and lengths that lie.
        for open in [&b"\x81"[..], b"\xa1\x61a", b"\xc1", b"\x9f", b"\xbf\x61a"] {
            let code = ask(&lab, Tongue::Cbor, "PutMetricData", open.repeat(200_000)).await;
            assert_eq!(code, "SerializationException");
        }
        for lie in [
            &b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
        ] {
            let code = ask(
                &lab,
                Tongue::Cbor,
                "PutMetricData",
                Bytes::copy_from_slice(lie),
            )
            .await;
            assert_eq!(code, "SerializationException");
        }
        // A document within a request.
        let content = deep("[", "]")[..60_000].to_owned();
        let body = json!({"Name": "nested", "Content": content}).to_string();
        assert_eq!(
            ask(&lab, Tongue::Ssm, "CreateDocument", body).await,
            "InvalidDocumentContent"
        );
        lives(&lab).await;
    });
}

#[test]
fn p30_a_small_body_that_unpacks_to_gigabytes_is_refused() {
    use std::io::Write as _;
    runtime().block_on(async {
        let lab = lab().await;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            packed.write_all(&vec![b' '; 1 << 20]).unwrap();
        }
        let packed = packed.finish().unwrap();
        assert!(packed.len() < 100_000);
        for (tongue, action) in [
            (Tongue::Cbor, "PutMetricData"),
            (Tongue::Ssm, "SendCommand"),
            (Tongue::Query("ec2"), ""),
        ] {
            let mut bomb = request(tongue, action, packed.clone());
            bomb.headers_mut()
                .insert("content-encoding", "gzip".parse().unwrap());
            assert_eq!(
                shape(&lab.handle(bomb).await.unwrap()),
                "RequestEntityTooLarge"
            );
        }
        lives(&lab).await;
    });
}

#[test]
fn p30_many_members_are_refused_before_they_are_looked_at() {
    runtime().block_on(async {
        let lab = lab().await;
        let list = |count: usize, item: &dyn Fn(usize) -> String| -> String {
            (1..=count).map(|n| format!("&{}", item(n))).collect()
        };
        let tags = |count| {
            let tags = list(count, &|n| format!("Tag.{n}.Key=k{n}&Tag.{n}.Value=v"));
            format!("Action=CreateTags&ResourceId.1={INSTANCE}{tags}")
        };
        let ec2 = Tongue::Query("ec2");
        assert_eq!(
            ask(&lab, ec2, "", tags(60_000)).await,
            "MalformedQueryString"
        );
        assert_eq!(ask(&lab, ec2, "", tags(9_000)).await, "TagLimitExceeded");
        assert_eq!(ask(&lab, ec2, "", tags(51)).await, "TagLimitExceeded");
        assert_eq!(ask(&lab, ec2, "", tags(49)).await, "", "beside its Name");
        for (form, code) in [
            (list(1_001, &|_| String::new()), "MissingAction"),
            (
                format!(
                    "Action=DescribeVolumes{}",
                    list(1_001, &|n| format!("VolumeId.{n}=vol-{n:017x}"))
                ),
                "InvalidParameterValue",
            ),
            (
                format!(
                    "Action=DescribeInstances{}",
                    list(1_001, &|n| format!("InstanceId.{n}=i-{n:017x}"))
                ),
                "InvalidParameterValue",
            ),
            (
                format!(
                    "Action=DescribeSnapshots{}",
                    list(1_001, &|n| format!("Owner.{n}=self"))
                ),
                "InvalidParameterValue",
            ),
            (
                format!(
                    "Action=DescribeSnapshots{}",
                    list(1_001, &|n| format!("RestorableBy.{n}=self"))
                ),
                "InvalidParameterValue",
            ),
            (
                format!(
                    "Action=DescribeImages{}",
                    list(1_001, &|n| format!("Owner.{n}=self"))
                ),
                "InvalidParameterValue",
            ),
            (
                format!(
                    "Action=DeleteTags{}",
                    list(1_001, &|n| format!("ResourceId.{n}={INSTANCE}"))
                ),
                "InvalidParameterValue",
            ),
            (
                format!(
                    "Action=DescribeVolumes&Filter.1.Name=tag-key{}",
                    list(201, &|n| format!("Filter.1.Value.{n}=x"))
                ),
                "FilterLimitExceeded",
            ),
            (
                format!(
                    "Action=DescribeVolumes&Filter.1.Name=tag-key{}",
                    list(2, &|n| format!("Filter.1.Value.{n}={}", "*a".repeat(500)))
                ),
                "FilterLimitExceeded",
            ),
        ] {
            let said = ask(&lab, ec2, "", form.clone()).await;
            assert_eq!(said, code, "{form:.60}");
        }
        lives(&lab).await;
    });
}

#[test]
fn p30_refused_calls_with_huge_names_leave_nothing_behind() {
    runtime().block_on(async {
        let lab = lab().await;
        let huge = "x".repeat(500_000);
        for n in 0..40 {
            let code = ask(
                &lab,
                Tongue::Query("ec2"),
                "",
                format!("Action={n}{huge}&VolumeId={huge}"),
            )
            .await;
            assert!(
                ["InvalidAction", "RequestLimitExceeded"].contains(&code.as_str()),
                "{code}"
            );
            let code = ask(
                &lab,
                Tongue::Ssm,
                &format!("{n}{huge}"),
                json!({"Comment": huge}).to_string(),
            )
            .await;
            assert_eq!(code, "UnknownOperationException");
        }
        lives(&lab).await;
        let kept: usize = lab
            .calls()
            .iter()
            .map(|call| call.action.len() + call.subject.len() + call.outcome.len())
            .sum();
        assert!(kept < 100_000, "{kept} bytes are kept of refused calls");
    });
}

#[test]
fn p30_a_document_cannot_grow_a_script_without_bound() {
    runtime().block_on(async {
        let lab = lab().await;
        let document = |inputs: Value| {
            json!({"schemaVersion": "2.2", "parameters": {"a": {"type": "String"}, "l": {"type": "StringList", "default": ["x"]}},
                "mainSteps": [{"name": "run", "action": "aws:runShellScript", "inputs": inputs}]})
            .to_string()
        };
        let refs = vec!["{{ a }}{{ l }}"; 2_000];
        let create = |name: &str, content: String| json!({"Name": name, "Content": content}).to_string();
        let grows = document(json!({"runCommand": refs}));
        assert_eq!(ask(&lab, Tongue::Ssm, "CreateDocument", create("grows", grows)).await, "");
        let waits = document(json!({"runCommand": ["true"], "timeoutSeconds": "{{ a }}".repeat(5_000)}));
        assert_eq!(ask(&lab, Tongue::Ssm, "CreateDocument", create("waits", waits)).await, "");
        let send = |name: &str, value: &str| {
            json!({"DocumentName": name, "InstanceIds": [INSTANCE], "Parameters": {"a": [value]}}).to_string()
        };
        let long = "v".repeat(100_000);
        assert_eq!(ask(&lab, Tongue::Ssm, "SendCommand", send("grows", &long)).await, "InvalidParameters");
        assert_eq!(ask(&lab, Tongue::Ssm, "SendCommand", send("waits", &long)).await, "");
        assert_eq!(ask(&lab, Tongue::Ssm, "SendCommand", send("grows", "v")).await, "");
        lives(&lab).await;
    });
}

#[test]
fn p30_documents_and_commands_are_kept_within_bounds() {
    runtime().block_on(async {
        let lab = lab().await;
        let content = |n: usize| {
            json!({"schemaVersion": "2.2", "description": "d".repeat(55_000), "mainSteps": [{"name": "run", "action": "aws:runShellScript",
                "inputs": {"runCommand": [format!("echo {n}")]}}]})
            .to_string()
        };
        let mut kept = 0;
        for n in 0..1_000 {
            let body = json!({"Name": format!("document-{n}"), "Content": content(n)}).to_string();
            match ask(&lab, Tongue::Ssm, "CreateDocument", body).await.as_str() {
                "" => kept += 1,
                "DocumentLimitExceeded" => break,
                "ThrottlingException" => lab.clock().sleep(std::time::Duration::from_secs(60)).await,
                other => panic!("{other}"),
            }
        }
        assert!((100..=bounds::DOCUMENTS).contains(&kept), "{kept}");
        lives(&lab).await;
    });
}

/// The program, served with few descriptors; ended with the test.
struct Few {
    child: std::process::Child,
    port: u16,
    _home: tempfile::TempDir,
}

impl Few {
    fn start() -> Self {
        use std::io::BufRead as _;
        let home = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"])
            .args([
                env!("CARGO_BIN_EXE_freezeframe"),
                "lab",
                "serve",
                "--port",
                "0",
            ])
            .env("HOME", home.path())
            .env("FREEZEFRAME_STATE_DIR", home.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line
            .split_once("http://127.0.0.1:")
            .and_then(|(_, rest)| rest.split(' ').next()?.trim().parse().ok());
        Self {
            child,
            port: port.unwrap_or_else(|| panic!("no address: {line}")),
            _home: home,
        }
    }

    fn ask(&self) -> String {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "GET /_lab HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said.lines().next().unwrap_or_default().to_owned()
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn p30_more_connections_than_descriptors_end_nothing_and_keep_nobody_out() {
    let lab = Few::start();
    let open: Vec<_> = (0..150)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", lab.port)).unwrap())
        .collect();
    assert_eq!(lab.ask(), "HTTP/1.1 200 OK");
    drop(open);
    assert_eq!(lab.ask(), "HTTP/1.1 200 OK");
}

/// Requests that are right, to be spoilt.
fn forms() -> Vec<(&'static str, String)> {
    let point = "MetricData.member.1.MetricName=m&MetricData.member.1.Value=1&MetricData.member.1.Dimensions.member.1.Name=d&MetricData.member.1.Dimensions.member.1.Value=v";
    [
        ("ec2", "Action=DescribeInstances&MaxResults=5&Filter.1.Name=tag:Name&Filter.1.Value.1=d*".to_owned()),
        ("ec2", "Action=DescribeVolumes&VolumeId.1=vol-00000000000000002".to_owned()),
        ("ec2", "Action=DescribeSnapshots&Owner.1=self&NextToken=x&MaxResults=10".to_owned()),
        ("ec2", format!("Action=CreateSnapshots&InstanceSpecification.InstanceId={INSTANCE}&InstanceSpecification.ExcludeDataVolumeId.1=vol-00000000000000002&TagSpecification.1.ResourceType=snapshot&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v&Description=d&CopyTagsFromSource=volume")),
        ("ec2", "Action=CreateSnapshot&VolumeId=vol-00000000000000002".to_owned()),
        ("ec2", "Action=DeleteSnapshot&SnapshotId=snap-00000000000000001".to_owned()),
        ("ec2", "Action=CreateVolume&AvailabilityZone=eu-central-1a&Size=5&VolumeType=gp3&Iops=4000&Throughput=500&Encrypted=true&KmsKeyId=k&ClientToken=t".to_owned()),
        ("ec2", format!("Action=AttachVolume&VolumeId=vol-00000000000000002&InstanceId={INSTANCE}&Device=/dev/sdz")),
        ("ec2", format!("Action=DetachVolume&VolumeId=vol-00000000000000002&InstanceId={INSTANCE}&Force=true")),
        ("ec2", format!("Action=CreateTags&ResourceId.1={INSTANCE}&Tag.1.Key=k&Tag.1.Value=v")),
        ("ec2", format!("Action=DeleteTags&ResourceId.1={INSTANCE}&Tag.1.Key=k")),
        ("ec2", "Action=DescribeTags&Filter.1.Name=key&Filter.1.Value.1=N*&MaxResults=5".to_owned()),
        ("ec2", format!("Action=StopInstances&InstanceId.1={INSTANCE}")),
        ("ec2", "Action=DescribeImages&Owner.1=self&IncludeDisabled=true".to_owned()),
        ("ec2", "Action=DescribeAvailabilityZones&ZoneName.1=eu-central-1a".to_owned()),
        ("ec2", format!("Action=DescribeInstanceAttribute&InstanceId={INSTANCE}&Attribute=blockDeviceMapping")),
        ("sts", "Action=GetCallerIdentity&Version=2011-06-15".to_owned()),
        ("monitoring", format!("Action=PutMetricData&Namespace=n&{point}")),
        ("monitoring", "Action=ListMetrics&Namespace=n&RecentlyActive=PT3H".to_owned()),
        ("monitoring", "Action=GetMetricStatistics&Namespace=n&MetricName=m&StartTime=2026-11-21T00:00:00Z&EndTime=2026-11-21T04:00:00Z&Period=60&Statistics.member.1=Sum".to_owned()),
    ]
    .into()
}

fn bodies() -> Vec<(Tongue, &'static str, Value)> {
    let content = r#"{"schemaVersion":"2.2","parameters":{"p":{"type":"String","default":"x","allowedPattern":"^[a-z]*$"}},"mainSteps":[{"name":"s","action":"aws:runShellScript","inputs":{"timeoutSeconds":"30","runCommand":["echo {{ p }}"]}}]}"#;
    let query = json!({"MetricDataQueries": [{"Id": "a", "MetricStat": {"Metric": {"Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "d", "Value": "v"}]}, "Period": 60, "Stat": "p99"}}],
        "StartTime": 1_795_000_000, "EndTime": 1_795_240_000, "ScanBy": "TimestampAscending", "MaxDatapoints": 10});
    let put = json!({"Namespace": "n", "MetricData": [{"MetricName": "m", "Values": [1.0, 2.0], "Counts": [1.0, 1.0], "Unit": "Count", "Timestamp": 1_795_233_600, "Dimensions": [{"Name": "d", "Value": "v"}]}]});
    vec![
        (
            Tongue::Ssm,
            "SendCommand",
            json!({"DocumentName": "AWS-RunShellScript", "InstanceIds": [INSTANCE], "Parameters": {"commands": ["true"]}, "Comment": "c", "TimeoutSeconds": 60, "MaxConcurrency": "50%", "MaxErrors": "0"}),
        ),
        (
            Tongue::Ssm,
            "SendCommand",
            json!({"DocumentName": "freezeframe-linux-filesystem", "Targets": [{"Key": "tag:Name", "Values": ["db"]}], "Parameters": {"command": ["dry-run"], "executionId": ["None"]}}),
        ),
        (
            Tongue::Ssm,
            "GetCommandInvocation",
            json!({"CommandId": "0a1b2c3d-0000-4000-8000-000000000002", "InstanceId": INSTANCE, "PluginName": "x"}),
        ),
        (
            Tongue::Ssm,
            "ListCommandInvocations",
            json!({"CommandId": "0a1b2c3d-0000-4000-8000-000000000002", "Details": true, "Filters": [{"key": "Status", "value": "Success"}], "MaxResults": 5, "NextToken": "lab-1"}),
        ),
        (
            Tongue::Ssm,
            "ListCommands",
            json!({"Filters": [{"key": "InvokedAfter", "value": "2026-01-01T00:00:00Z"}], "MaxResults": 50}),
        ),
        (
            Tongue::Ssm,
            "CancelCommand",
            json!({"CommandId": "0a1b2c3d-0000-4000-8000-000000000002", "InstanceIds": [INSTANCE]}),
        ),
        (
            Tongue::Ssm,
            "DescribeInstanceInformation",
            json!({"Filters": [{"Key": "PingStatus", "Values": ["Online"]}], "MaxResults": 10}),
        ),
        (
            Tongue::Ssm,
            "CreateDocument",
            json!({"Name": "drawn", "Content": content, "DocumentType": "Command", "DocumentFormat": "JSON"}),
        ),
        (
            Tongue::Ssm,
            "UpdateDocument",
            json!({"Name": "drawn", "Content": content, "DocumentVersion": "$LATEST"}),
        ),
        (
            Tongue::Ssm,
            "ListDocuments",
            json!({"Filters": [{"Key": "Owner", "Values": ["Self"]}], "MaxResults": 5}),
        ),
        (
            Tongue::Ssm,
            "GetDocument",
            json!({"Name": "AWS-RunShellScript", "DocumentVersion": "1"}),
        ),
        (Tongue::Json, "PutMetricData", put.clone()),
        (Tongue::Json, "GetMetricData", query.clone()),
        (Tongue::Cbor, "PutMetricData", put),
        (Tongue::Cbor, "GetMetricData", query),
        (
            Tongue::Cbor,
            "ListMetrics",
            json!({"Namespace": "n", "Dimensions": [{"Name": "d"}]}),
        ),
    ]
}

/// Values that programs stumble over.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("-1".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("1e999".to_owned()),
        Just("NaN".to_owned()),
        Just("0".to_owned()),
        Just("4294967296".to_owned()),
        Just("262144-01-01T00:00:00Z".to_owned()),
        Just("lab-18446744073709551615".to_owned()),
        Just("%00%ff%fe".to_owned()),
        Just("\u{202e}\u{0}\r\n<&>\"".to_owned()),
        Just("{{{{{{ a }}}}}}".to_owned()),
        Just("(a*)*(b|c{1,900}){1,900}".to_owned()),
        Just("é".repeat(300)),
        Just("x".repeat(70_000)),
        "\\PC{0,12}",
        ".{0,6}",
    ]
}

/// One change of a form: which parameter, and what becomes of it.
fn spoilt(form: &str, at: usize, how: u8, value: &str) -> String {
    let mut pairs: Vec<String> = form.split('&').map(str::to_owned).collect();
    let at = at % pairs.len();
    let (name, old) = pairs[at]
        .split_once('=')
        .map(|(name, old)| (name.to_owned(), old.to_owned()))
        .unwrap_or_default();
    match how % 8 {
        0 => drop(pairs.remove(at)),
        1 => pairs[at] = format!("{name}={value}"),
        2 => pairs[at] = format!("{value}={old}"),
        3 => pairs[at] = format!("{name}.{value}={old}"),
        4 => pairs[at] = name.replace('1', "4294967295") + "=" + &old,
        5 => pairs.extend((0..500).map(|n| format!("{}={old}", name.replace('1', &n.to_string())))),
        6 => pairs.push(format!("DryRun={value}")),
        _ => pairs[at] = name.replace('.', "..") + "=" + &old,
    }
    pairs.join("&")
}

/// One change somewhere in a value.
fn bent(value: &mut Value, at: usize, how: u8, text: &str) {
    let inside = match value {
        Value::Object(members) if !members.is_empty() => {
            let n = at % members.len();
            members.values_mut().nth(n)
        }
        Value::Array(items) if !items.is_empty() => {
            let n = at % items.len();
            items.get_mut(n)
        }
        _ => None,
    };
    match inside {
        // Deeper three times out of four, so that leaves are met as well as branches.
        Some(inside) if at % 4 != 3 => bent(inside, at / 3, how, text),
        _ => {
            *value = match how % 9 {
                0 => Value::Null,
                1 => json!(text),
                2 => json!(-1),
                3 => json!(1e300),
                4 => json!(u64::MAX),
                5 => json!([value.clone(), value.clone()]),
                6 => json!({ text: value.clone() }),
                7 => (0..100).fold(value.clone(), |inside, _| json!([inside])),
                _ => json!(vec![value.clone(); 1_500]),
            };
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p30_any_bytes_get_an_answer(tongue in 0..TONGUES.len(), action in "[A-Za-z]{0,20}", body in prop::collection::vec(any::<u8>(), 0..2_000)) {
        runtime().block_on(async {
            let lab = lab().await;
            ask(&lab, TONGUES[tongue], &action, body.clone()).await;
            let packed = { let mut r = request(TONGUES[tongue], &action, body); r.headers_mut().insert("content-encoding", "gzip".parse().unwrap()); r };
            shape(&lab.handle(packed).await.unwrap());
            lives(&lab).await;
        });
    }

    #[test]
    fn p30_spoilt_forms_get_an_answer(which in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<usize>(), any::<u8>(), hostile()), 1..4)) {
        runtime().block_on(async {
            let lab = lab().await;
            let forms = forms();
            let (service, form) = &forms[which.index(forms.len())];
            let mut spoilt_form = form.clone();
            for (at, how, value) in &changes {
                spoilt_form = spoilt(&spoilt_form, *at, *how, value);
                ask(&lab, Tongue::Query(service), "", spoilt_form.clone()).await;
                ask(&lab, Tongue::Get(service), "", spoilt_form.clone()).await;
            }
            // What was made by it is shown without harm.
            for form in &["Action=DescribeVolumes", "Action=DescribeSnapshots&Owner.1=self", "Action=DescribeTags"] {
                ask(&lab, Tongue::Query("ec2"), "", *form).await;
            }
            lives(&lab).await;
        });
    }

    #[test]
    fn p30_bent_bodies_get_an_answer(which in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<usize>(), any::<u8>(), hostile()), 1..4)) {
        runtime().block_on(async {
            let lab = lab().await;
            let bodies = bodies();
            let (tongue, action, body) = &bodies[which.index(bodies.len())];
            let mut body = body.clone();
            for (at, how, text) in &changes {
                bent(&mut body, *at, *how, text);
                let bytes = match tongue {
                    Tongue::Cbor => { let mut out = Vec::new(); ciborium::into_writer(&body, &mut out).unwrap(); out }
                    _ => body.to_string().into_bytes(),
                };
                ask(&lab, *tongue, action, bytes).await;
            }
            lab.clock().sleep(std::time::Duration::from_secs(5)).await;
            ask(&lab, Tongue::Ssm, "ListCommands", "{}").await;
            ask(&lab, Tongue::Ssm, "ListCommandInvocations", r#"{"Details":true}"#).await;
            ask(&lab, Tongue::Ssm, "ListDocuments", "{}").await;
            ask(&lab, Tongue::Json, "ListMetrics", "{}").await;
            lives(&lab).await;
        });
    }

    #[test]
    fn p30_metadata_paths_and_headers_get_an_answer(path in "/[ -~]{0,60}", token in "[ -~]{0,30}", put in any::<bool>()) {
        runtime().block_on(async {
            let lab = lab().await;
            for path in [format!("/imds/{INSTANCE}{path}"), format!("/imds{path}"), path.clone(), "/_lab".to_owned()] {
                let Ok(uri) = path.parse::<http::Uri>() else { continue };
                let request = Request::builder()
                    .method(if put { Method::PUT } else { Method::GET })
                    .uri(uri)
                    .header("x-aws-ec2-metadata-token", &token)
                    .header("x-aws-ec2-metadata-token-ttl-seconds", &token)
                    .header("authorization", &token)
                    .body(Bytes::new())
                    .unwrap();
                let answer = lab.handle(request).await.unwrap();
                assert!(answer.status().as_u16() < 500 && answer.body().len() < 10_000);
            }
            lives(&lab).await;
        });
    }
}
