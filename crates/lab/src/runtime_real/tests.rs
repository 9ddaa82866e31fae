//! The real runtime on this machine. Nothing is frozen but filesystems of the test's own images, with a thaw armed first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{RealRuntime, machine};
use crate::caller::Caller;
use crate::runtime::{Invocation, InvocationEnd, Runtime, VolumeSpec};
use crate::{Clock, Lab, LabOptions, WorldSpec};

const INSTANCE: &str = "i-0fe11ab0000000001";
const EXT4: &str = "vol-0fe11ab0000000011";
const XFS: &str = "vol-0fe11ab0000000012";
const COPY: &str = "vol-0fe11ab0000000013";

/// These tests are one process, which holds the locks of all their labs: what one of them has left on purpose must not be
/// swept by another.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Fails, and says why, where these tests cannot run; a missing tool is named by the runtime itself.
async fn needs_root() -> tokio::sync::MutexGuard<'static, ()> {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    assert!(
        Path::new("/dev/loop-control").exists(),
        "this test needs loop devices"
    );
    ALONE.lock().await
}

fn spec(id: &str, filesystem: Option<&str>, mount: Option<&str>, from: Option<&str>) -> VolumeSpec {
    VolumeSpec {
        id: id.to_owned(),
        size_gib: 20,
        from_snapshot: from.map(str::to_owned),
        filesystem: filesystem.map(str::to_owned),
        mount: mount.map(str::to_owned),
    }
}

fn command(id: &str, script: &str, seconds: u64) -> Invocation {
    Invocation {
        command_id: id.to_owned(),
        again: false,
        instance: INSTANCE.to_owned(),
        document: "AWS-RunShellScript".to_owned(),
        parameters: BTreeMap::new(),
        script: script.to_owned(),
        execution_timeout: Duration::from_secs(seconds),
    }
}

async fn sh(runtime: &RealRuntime, script: &str) -> InvocationEnd {
    runtime
        .run(command(&uuid::Uuid::new_v4().to_string(), script, 60))
        .await
}

async fn ok(runtime: &RealRuntime, script: &str) -> String {
    let end = sh(runtime, script).await;
    assert_eq!(end.exit_code, 0, "{script}: {} {}", end.stdout, end.stderr);
    end.stdout
}

async fn booted(dir: &Path) -> RealRuntime {
    let runtime = RealRuntime::create(dir.to_owned(), "eu-central-1").unwrap();
    let volumes = [
        (
            "/dev/sdf".to_owned(),
            spec(EXT4, Some("ext4"), Some("/data"), None),
        ),
        (
            "/dev/sdg".to_owned(),
            spec(XFS, Some("xfs"), Some("/srv/files"), None),
        ),
    ];
    runtime.boot(INSTANCE, &volumes).await.unwrap();
    runtime
}

fn clean(dir: &Path) {
    let dir = dir.canonicalize().unwrap();
    assert_eq!(machine::loops_on(&dir), []);
    assert!(
        !machine::mounts("self")
            .iter()
            .any(|(_, _, point)| Path::new(point).starts_with(&dir))
    );
    let left: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and loop devices"]
async fn real_commands_have_the_agents_habits() {
    let _alone = needs_root().await;
    let dir = tempfile::tempdir().unwrap();
    let runtime = booted(dir.path()).await;
    let out = ok(&runtime, "echo $AWS_SSM_REGION_NAME; cat /proc/1/comm; findmnt -nro FSTYPE /data; findmnt -nro FSTYPE /srv/files").await;
    assert_eq!(out, "eu-central-1\nsh\next4\nxfs\n");
    // A shebang is honoured, without one it is sh; the exit code is the last command's.
    assert_ne!(ok(&runtime, "#!/bin/bash\necho $BASH_VERSINFO").await, "\n");
    assert_eq!(sh(&runtime, "false; exit 205").await.exit_code, 205);
    // A signal that the agent did not send has no code, where no shell is left that makes one of it.
    let killed = sh(&runtime, "kill -KILL 0").await;
    assert!(killed.exit_code == -1 && !killed.timed_out, "{killed:?}");
    // Output is cut at the end.
    let end = sh(
        &runtime,
        "head -c 100000 /dev/zero | tr '\\0' x; head -c 100000 /dev/zero | tr '\\0' e >&2",
    )
    .await;
    assert_eq!((end.stdout.len(), end.stderr.len()), (24_000, 8_000));
    // It ends only when the pipes close.
    assert_eq!(
        ok(&runtime, "(sleep 0.3; echo late) & echo early").await,
        "early\nlate\n"
    );
    // The instance's own files do not reach this machine.
    ok(
        &runtime,
        "mkdir -p /freezeframe-litter && touch /etc/freezeframe-litter && ls /dev/disk/by-id",
    )
    .await;
    assert!(
        !Path::new("/freezeframe-litter").exists()
            && !Path::new("/etc/freezeframe-litter").exists()
    );
    // Timeout kills the group but not what left it.
    let end = runtime
        .run(command("c-1", "setsid sh -c 'while [ ! -e /run/go ]; do sleep 0.05; done; touch /run/alive' >/dev/null 2>&1 </dev/null & sleep 600", 1))
        .await;
    assert!(end.timed_out && end.exit_code == 137, "{end:?}");
    assert_eq!(
        ok(&runtime, "pgrep -x sleep -a | grep -c 600 || :").await,
        "0\n"
    );
    ok(
        &runtime,
        "touch /run/go; while [ ! -e /run/alive ]; do sleep 0.05; done",
    )
    .await;
    // Cancel likewise.
    let running = runtime.run(command("c-2", "touch /run/started; sleep 600", 600));
    let cancelling = async {
        ok(&runtime, "while [ ! -e /run/started ]; do sleep 0.05; done").await;
        runtime.cancel("c-2", INSTANCE).await;
    };
    let (end, ()) = tokio::join!(running, cancelling);
    assert!(end.cancelled, "{end:?}");
    runtime.shutdown().await;
    clean(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and loop devices"]
async fn real_frozen_sets_come_back_on_a_new_volume() {
    let _alone = needs_root().await;
    let dir = tempfile::tempdir().unwrap();
    let runtime = booted(dir.path()).await;
    ok(
        &runtime,
        "echo ext4 >/data/f; echo xfs >/srv/files/f; ls -l /dev/disk/by-id >&2",
    )
    .await;
    // The outer thaw first, then the freeze.
    ok(&runtime, "setsid sh -c 'sleep 20; fsfreeze -u /data; fsfreeze -u /srv/files' >/dev/null 2>&1 </dev/null & fsfreeze -f /data; fsfreeze -f /srv/files").await;
    let pairs = [
        (EXT4.to_owned(), "snap-1".to_owned()),
        (XFS.to_owned(), "snap-2".to_owned()),
    ];
    runtime.snapshot(&pairs).await.unwrap();
    ok(
        &runtime,
        "fsfreeze -u /srv/files; fsfreeze -u /data; echo later >/srv/files/f",
    )
    .await;

    runtime
        .create_volume(&spec(COPY, None, None, Some("snap-2")))
        .await
        .unwrap();
    runtime.attach(INSTANCE, COPY, "/dev/sdh").await.unwrap();
    assert_eq!(
        runtime
            .attach(INSTANCE, COPY, "/dev/sdi")
            .await
            .unwrap_err(),
        format!("{COPY} is attached to {INSTANCE}")
    );
    let link = format!(
        "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}",
        COPY.replace('-', "")
    );
    assert_eq!(ok(&runtime, &format!("mkdir -p /restore && mount -o nouuid {link} /restore && cat /restore/f /srv/files/f")).await, "xfs\nlater\n");
    assert_eq!(
        runtime.detach(INSTANCE, COPY, false).await.unwrap_err(),
        format!("{COPY} is mounted at /restore")
    );
    ok(&runtime, "umount /restore").await;
    runtime.detach(INSTANCE, COPY, false).await.unwrap();
    assert_eq!(runtime.device_of(COPY), None);
    runtime.delete_volume(COPY).await.unwrap();
    runtime.delete_snapshot("snap-2").await.unwrap();
    // The set stays while one of its snapshots does.
    runtime
        .create_volume(&spec(COPY, None, None, Some("snap-1")))
        .await
        .unwrap();
    runtime.delete_snapshot("snap-1").await.unwrap();
    let unknown = runtime
        .create_volume(&spec("vol-0fe11ab0000000014", None, None, Some("snap-1")))
        .await
        .unwrap_err();
    assert!(unknown.contains("snap-1"), "{unknown}");
    runtime.shutdown().await;
    clean(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and loop devices"]
async fn real_a_successor_cleans_up_even_what_was_left_frozen() {
    let _alone = needs_root().await;
    let dir = tempfile::tempdir().unwrap();
    let runtime = booted(dir.path()).await;
    let root = runtime.root_of(INSTANCE).unwrap();
    ok(&runtime, "setsid sh -c 'sleep 60; fsfreeze -u /data' >/dev/null 2>&1 </dev/null & fsfreeze -f /data; (setsid touch /data/blocked >/dev/null 2>&1 &)").await;
    assert!(
        RealRuntime::create(dir.path().to_owned(), "eu-central-1")
            .is_err_and(|error| error.contains("used by another lab"))
    );
    // What kill -9 leaves: no destructor runs; only the lock goes, as the kernel would let it go.
    runtime.inner._lock.unlock().unwrap();
    std::mem::forget(runtime);
    assert!(root.join("data").exists());

    let next = RealRuntime::create(dir.path().to_owned(), "eu-central-1").unwrap();
    assert!(!root.join("data").exists());
    next.shutdown().await;
    clean(dir.path());
}

/// What a lab leaves that dies without a word is taken away by the next lab, in whatever directory that one is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and loop devices"]
async fn real_another_lab_sweeps_what_a_killed_one_left() {
    let _alone = needs_root().await;
    let dir = tempfile::tempdir().unwrap();
    let runtime = booted(dir.path()).await;
    let root = runtime.root_of(INSTANCE).unwrap();
    ok(&runtime, "setsid sh -c 'sleep 60; fsfreeze -u /data' >/dev/null 2>&1 </dev/null & fsfreeze -f /data; (setsid touch /data/blocked >/dev/null 2>&1 &)").await;
    runtime.inner._lock.unlock().unwrap();
    // As the kernel lets everything go: the pipe to the instance's first process too.
    let mut namespaces = std::mem::take(&mut runtime.inner.books().instances);
    for namespace in namespaces.values_mut() {
        namespace.let_go();
    }
    std::mem::forget(runtime);
    assert!(
        machine::wait_until(|| !root.join("proc").exists()),
        "the instance outlives its lab"
    );
    assert!(machine::loops_on(&dir.path().canonicalize().unwrap()).len() >= 2);

    let other = tempfile::tempdir().unwrap();
    let next = RealRuntime::create(other.path().to_owned(), "eu-central-1").unwrap();
    clean(dir.path());
    next.shutdown().await;
    clean(other.path());
}

/// A filesystem that was frozen when its last namespace was killed is thawed by a mount of it made for that.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and loop devices"]
async fn real_what_stayed_frozen_without_any_mount_is_thawed_and_let_go() {
    let _alone = needs_root().await;
    let dir = tempfile::tempdir().unwrap();
    let runtime = booted(dir.path()).await;
    ok(&runtime, "fsfreeze -f /data; fsfreeze -f /srv/files").await;
    // The first process dies, and nothing inside can thaw any more; the next start does.
    let mut namespaces = std::mem::take(&mut runtime.inner.books().instances);
    for (_, namespace) in std::mem::take(&mut namespaces) {
        let pid = i32::try_from(namespace.pid()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        namespace.reap();
    }
    runtime.inner._lock.unlock().unwrap();
    std::mem::forget(runtime);
    let next = RealRuntime::create(dir.path().to_owned(), "eu-central-1").unwrap();
    next.shutdown().await;
    clean(dir.path());
}

const FILES: &str = "i-0fe11ab0000000002";
const DATA: &str = "vol-0fe11ab0000000021";

async fn lab(dir: &Path) -> (Lab, Arc<RealRuntime>) {
    let runtime = Arc::new(RealRuntime::create(dir.to_owned(), "eu-central-1").unwrap());
    let options = LabOptions {
        world: WorldSpec::parse(include_str!("../../../../assets/lab/real.toml")).unwrap(),
        seed: 1,
        clock: Clock::system(),
        runtime: Arc::clone(&runtime) as Arc<dyn Runtime>,
        throttling: false,
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
    };
    (Lab::start(options).await.unwrap(), runtime)
}

/// Sends a command over SSM and waits for its end: exit code, output, errors.
async fn ssm(lab: &Lab, document: &str, parameters: Value) -> (i64, String, String) {
    let call = async |operation: &str, body: Value| {
        let ctx = Caller {
            account: lab.account().to_owned(),
            region: lab.region().to_owned(),
            access_key: "AKIALAB".to_owned(),
            role: None,
            assumed: None,
            now: lab.clock().now(),
            request_id: "r".to_owned(),
        };
        crate::ssm::handle(lab, &ctx, operation, body).await
    };
    let body = json!({"DocumentName": document, "InstanceIds": [FILES], "Parameters": parameters});
    let sent = call("SendCommand", body).await.unwrap();
    let get = json!({"CommandId": sent["Command"]["CommandId"], "InstanceId": FILES});
    loop {
        match call("GetCommandInvocation", get.clone()).await {
            Ok(end) if end["ResponseCode"] != -1 => {
                let text = |key: &str| end[key].as_str().unwrap().to_owned();
                return (
                    end["ResponseCode"].as_i64().unwrap(),
                    text("StandardOutputContent"),
                    text("StandardErrorContent"),
                );
            }
            Ok(end) => assert!(
                ["Pending", "InProgress"].contains(&end["Status"].as_str().unwrap()),
                "{end}"
            ),
            Err(error) => assert_eq!(error.code, "InvocationDoesNotExist"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and loop devices"]
async fn real_documents_freeze_and_thaw_over_ssm() {
    let _alone = needs_root().await;
    let dir = tempfile::tempdir().unwrap();
    let (lab, runtime) = lab(dir.path()).await;
    let recipe = async |command: &str| {
        let parameters = json!({"executionId": ["0a1b2c3d-0000-4000-8000-000000000002"], "command": [command], "budgetSeconds": ["25"]});
        ssm(&lab, "freezeframe-linux-filesystem", parameters).await
    };
    let shell =
        async |script: &str| ssm(&lab, "AWS-RunShellScript", json!({"commands": [script]})).await;
    let (code, out, err) = recipe("dry-run").await;
    assert_eq!(code, 0, "{out} {err}");
    assert!(
        out.contains(&format!(
            r#""mount":"/data","fs":"ext4","dev":"{}","volumes":["{DATA}"],"covered":true"#,
            runtime.device_of(DATA).unwrap()
        )),
        "{out}"
    );
    // The outer thaw first.
    assert_eq!(
        shell("setsid sh -c 'sleep 40; fsfreeze -u /data' >/dev/null 2>&1 </dev/null &")
            .await
            .0,
        0
    );
    let (code, out, err) = recipe("pre-script").await;
    assert_eq!(code, 0, "{out} {err}");
    assert!(
        out.contains(r#""t":"frozen""#) && out.contains(r#""t":"ready""#),
        "{out}"
    );
    // Frozen indeed: a second freeze is refused, and a writer waits until the thaw.
    assert_ne!(shell("fsfreeze -f /data").await.0, 0);
    assert_eq!(
        shell("setsid sh -c 'echo after >/data/after' >/dev/null 2>&1 </dev/null &")
            .await
            .0,
        0
    );
    runtime
        .snapshot(&[(DATA.to_owned(), "snap-1".to_owned())])
        .await
        .unwrap();
    let (code, out, err) = recipe("post-script").await;
    assert_eq!(code, 0, "{out} {err}");
    assert!(out.contains(r#""fired":false"#), "{out}");
    assert_eq!(
        shell("while [ ! -s /data/after ]; do sleep 0.05; done")
            .await
            .0,
        0
    );

    let copy = "vol-0fe11ab0000000022";
    runtime
        .create_volume(&spec(copy, None, None, Some("snap-1")))
        .await
        .unwrap();
    runtime.attach(FILES, copy, "/dev/sdh").await.unwrap();
    let mount = json!({"command": ["mount"], "volumeId": [copy], "mountPoint": ["/restore/copy"]});
    let (code, out, err) = ssm(&lab, "freezeframe-linux-mount", mount).await;
    assert_eq!(code, 0, "{out} {err}");
    assert_ne!(
        shell("test -e /restore/copy/after").await.0,
        0,
        "the set is older than the writer"
    );
    assert_eq!(shell("findmnt -nro FSTYPE /restore/copy").await.1, "ext4\n");
    lab.shutdown().await;
    clean(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and loop devices"]
async fn real_instances_find_their_metadata_and_ec2_at_the_lab() {
    let _alone = needs_root().await;
    let dir = tempfile::tempdir().unwrap();
    let (lab, _runtime) = lab(dir.path()).await;
    let shell =
        async |script: &str| ssm(&lab, "AWS-RunShellScript", json!({"commands": [script]})).await;
    let token = "curl -sf -m 5 --noproxy '*' -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
        \"$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token\"";
    assert_ne!(
        shell(token).await.0,
        0,
        "a lab without a port leaves its instances nowhere to ask, also not at the machine's own service"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn({
        let (lab, stop) = (lab.clone(), stop.clone());
        async move { lab.serve(listener, stop).await }
    });
    while lab.endpoint().is_none() {
        tokio::task::yield_now().await;
    }
    let script = format!(
        r#"set -e; T=$({token}); M=$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data
get() {{ curl -sf -m 5 --noproxy '*' -H "X-aws-ec2-metadata-token: $T" "$M/$1"; }}
C=$(get "iam/security-credentials/$(get iam/security-credentials/)")
field() {{ printf %s "$C" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }}
curl -s -m 5 --noproxy '*' --aws-sigv4 "aws:amz:$(get placement/region):ec2" -u "$(field AccessKeyId):$(field SecretAccessKey)" \
 -H "X-Amz-Security-Token: $(field Token)" \
 --data "Action=CreateSnapshots&Version=2016-11-15&InstanceSpecification.InstanceId=$(get instance-id)" "$AWS_ENDPOINT_URL_EC2/""#
    );
    let (code, out, err) = shell(&script).await;
    assert!(code == 0 && out.contains("<snapshotId>"), "{out} {err}");
    stop.cancel();
    server.await.unwrap().unwrap();
    lab.shutdown().await;
    clean(dir.path());
}
