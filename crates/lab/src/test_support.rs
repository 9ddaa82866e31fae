//! For the tests of this room: a small world, a runtime that only remembers, and calls in few words.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Request;
use parking_lot::Mutex;

use super::runtime::{Invocation, InvocationEnd, Runtime, RuntimeError, VolumeSpec};
use super::{Clock, Lab, LabOptions, TransportFault, WorldSpec};

pub const WORLD: &str = r#"
name = "small"
[[instance]]
id = "i-0000000000000000a"
name = "db <1>"
az = "a"
tags = { Env = "prod" }
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
tags = { Content = "datadir" }
[[instance]]
id = "i-0000000000000000b"
name = "web"
az = "b"
[[instance.volume]]
id = "vol-00000000000000003"
device = "/dev/xvda"
size = 8
[[volume]]
id = "vol-00000000000000004"
az = "a"
size = 5
"#;

/// Keeps what it was told; volumes in `mounted` refuse to be detached.
#[derive(Debug, Default)]
pub struct Memory {
    pub log: Mutex<Vec<String>>,
    pub mounted: Mutex<BTreeSet<String>>,
    /// Says that its commands are real.
    pub real: bool,
}

impl Memory {
    fn note(&self, text: String) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.log.lock().push(text);
        async { Ok(()) }.boxed()
    }
}

impl Runtime for Memory {
    fn label(&self) -> &'static str {
        "memory"
    }
    fn is_guarded(&self) -> bool {
        self.real
    }
    fn boot<'a>(
        &'a self,
        instance: &'a str,
        volumes: &'a [(String, VolumeSpec)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.note(format!("boot {instance} {}", volumes.len()))
    }
    fn create_volume<'a>(
        &'a self,
        volume: &'a VolumeSpec,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.note(format!("create {}", volume.id))
    }
    fn delete_volume<'a>(&'a self, volume: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.note(format!("delete {volume}"))
    }
    fn attach<'a>(
        &'a self,
        instance: &'a str,
        volume: &'a str,
        device: &'a str,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.note(format!("attach {instance} {volume} {device}"))
    }
    fn detach<'a>(
        &'a self,
        _instance: &'a str,
        volume: &'a str,
        off: bool,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        if !off && self.mounted.lock().contains(volume) {
            return async { Err("mounted".to_owned()) }.boxed();
        }
        self.note(format!("detach {volume}"))
    }
    fn snapshot<'a>(
        &'a self,
        set: &'a [(String, String)],
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.note(format!("snapshot {}", set.len()))
    }
    fn delete_snapshot<'a>(&'a self, snapshot: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.note(format!("forget {snapshot}"))
    }
    fn run(&self, _invocation: Invocation) -> BoxFuture<'_, InvocationEnd> {
        let end = InvocationEnd {
            exit_code: 0,
            stdout: String::new(),
            stderr: String::new(),
            timed_out: false,
            cancelled: false,
            elapsed: Duration::ZERO,
        };
        async { end }.boxed()
    }
    fn cancel<'a>(&'a self, _command_id: &'a str, _instance: &'a str) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
    fn shutdown(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

pub fn base() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-21T04:00:00Z")
        .unwrap()
        .with_timezone(&Utc)
}

/// A lab on tokio's clock.
pub async fn lab(throttling: bool) -> (Lab, Arc<Memory>) {
    let runtime = Arc::new(Memory::default());
    let options = LabOptions {
        world: WorldSpec::parse(WORLD).unwrap(),
        seed: 1,
        clock: Clock::virtual_from(base()),
        runtime: runtime.clone(),
        throttling,
        account: "123456789012".into(),
        region: "eu-central-1".into(),
    };
    (Lab::start(options).await.unwrap(), runtime)
}

pub fn request(key: &str, region: &str, service: &str, form: &str) -> Request<Bytes> {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key}/20261121/{region}/{service}/aws4_request, SignedHeaders=host, Signature=00"
    );
    Request::post("http://anywhere/")
        .header("authorization", authorization)
        .body(Bytes::from(form.to_owned()))
        .unwrap()
}

/// Status and body of one EC2 call.
pub async fn ec2(lab: &Lab, form: &str) -> (u16, String) {
    send(lab, request("AKIALAB", "eu-central-1", "ec2", form))
        .await
        .unwrap()
}

pub async fn send(lab: &Lab, request: Request<Bytes>) -> Result<(u16, String), TransportFault> {
    let response = lab.handle(request).await?;
    Ok((
        response.status().as_u16(),
        String::from_utf8(response.body().to_vec()).unwrap(),
    ))
}

/// The error code of an answer that must be an error.
pub async fn refused(lab: &Lab, form: &str) -> String {
    let (status, body) = ec2(lab, form).await;
    assert!(status >= 400, "{body}");
    all(&body, "Code").remove(0)
}

/// The texts of all elements of a name, in order.
pub fn all(body: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    body.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close).map(|(text, _)| text.to_owned()))
        .collect()
}

/// Lets the lab's clock run.
pub async fn wait(lab: &Lab, seconds: u64) {
    lab.clock().sleep(Duration::from_secs(seconds)).await;
}
