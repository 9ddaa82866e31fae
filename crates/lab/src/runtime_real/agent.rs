//! Runs commands as the SSM agent does: own process group, `sh -c`, an end only when both pipes close, SIGKILL to the
//! group on timeout and cancel, output cut at the end.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::machine;
use crate::runtime::{Invocation, InvocationEnd};

/// Characters of output that the agent reports.
const STDOUT_LIMIT: usize = 24_000;
const STDERR_LIMIT: usize = 8_000;
/// How long pipes that a survivor holds are still read after the group was killed.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// Puts the script where the agent has it and runs it. `$1` is the directory. The script arrives on stdin, so that no
/// process of ours ever has it open for writing when it is executed.
const LAUNCH: &str = r#"umask 077; mkdir -p "$1" && cd "$1" && cat >_script.sh && chmod 700 _script.sh && umask 022 && exec sh -c "$1/_script.sh" </dev/null"#;

/// What a command on an instance of AWS's can do to its own kernel, and must not do to this machine's: make device nodes,
/// load modules, set the clock, the network or the ring buffer.
const LEFT_OUT: &str = "--bounding-set=-mknod,-sys_module,-sys_rawio,-sys_boot,-sys_time,-syslog,-net_admin,-mac_admin,-mac_override,-audit_control,-wake_alarm";

/// The end of a command that could not even start.
pub(super) fn never_ran(stderr: String) -> InvocationEnd {
    InvocationEnd {
        exit_code: -1,
        stdout: String::new(),
        stderr,
        timed_out: false,
        cancelled: false,
        elapsed: Duration::ZERO,
    }
}

/// Where a command runs.
pub(super) struct Place {
    /// First process of the instance.
    pub init: u32,
    pub region: String,
    /// Where the instance finds AWS.
    pub endpoint: String,
    /// Where it finds its metadata service.
    pub metadata: String,
}

/// Runs a command in its instance.
pub(super) async fn run(
    place: &Place,
    invocation: &Invocation,
    cancel: &CancellationToken,
) -> InvocationEnd {
    let began = Instant::now();
    let mut child = match spawn(place, invocation) {
        Ok(child) => child,
        Err(error) => return never_ran(format!("the command could not be started: {error}")),
    };
    let group = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(mut stdin) = child.stdin.take() {
        let script = invocation.script.clone();
        // When the launcher is gone already there is nobody to write to: its exit code says so.
        tokio::spawn(async move { stdin.write_all(script.as_bytes()).await.ok() });
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (mut timed_out, mut cancelled) = (false, false);
    let status = {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let all = async {
            tokio::join!(
                collect(out, &mut stdout, STDOUT_LIMIT),
                collect(err, &mut stderr, STDERR_LIMIT),
                child.wait()
            )
            .2
            .ok()
        };
        tokio::pin!(all);
        let ended = tokio::select! {
            status = &mut all => Some(status),
            () = tokio::time::sleep(invocation.execution_timeout) => {
                timed_out = true;
                None
            }
            () = cancel.cancelled() => {
                cancelled = true;
                None
            }
        };
        match ended {
            Some(status) => status,
            None => {
                if let Some(group) = group {
                    // ESRCH: it ended by itself at the same moment.
                    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
                }
                tokio::time::timeout(AFTER_KILL, &mut all)
                    .await
                    .ok()
                    .flatten()
            }
        }
    };
    InvocationEnd {
        exit_code: if timed_out || cancelled {
            137
        } else {
            exit_code(status)
        },
        stdout: cut(&stdout, STDOUT_LIMIT),
        stderr: cut(&stderr, STDERR_LIMIT),
        timed_out,
        cancelled,
        elapsed: began.elapsed(),
    }
}

fn spawn(place: &Place, invocation: &Invocation) -> std::io::Result<Child> {
    // The second delivery has the same command's id in its path; its own last step, because the first may still read its script.
    let step = if invocation.again {
        "awsrunShellScript-again"
    } else {
        "awsrunShellScript"
    };
    let directory = format!(
        "/var/lib/amazon/ssm/{}/document/orchestration/{}/{step}",
        invocation.instance, invocation.command_id
    );
    Command::from(machine::alone("nsenter"))
        .args([
            "-t",
            &place.init.to_string(),
            "-m",
            "-p",
            "-u",
            "-i",
            "setpriv",
            LEFT_OUT,
            "sh",
            "-c",
            LAUNCH,
            "sh",
            &directory,
        ])
        .env_clear()
        .env("PATH", machine::PATH)
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env("SSM_COMMAND_ID", &invocation.command_id)
        .env("AWS_SSM_INSTANCE_ID", &invocation.instance)
        .env("AWS_SSM_REGION_NAME", &place.region)
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &place.metadata)
        .env("AWS_ENDPOINT_URL_EC2", &place.endpoint)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Reads to the end, keeping what may be reported: the writer is never blocked by a full pipe.
async fn collect(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>, limit: usize) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        // Four bytes are the longest character.
        let room = (limit * 4).saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

fn cut(bytes: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(bytes).chars().take(limit).collect()
}

fn exit_code(status: Option<ExitStatus>) -> i32 {
    // A signal has no code for the agent either (aws-facts-3, section 0).
    status.and_then(|status| status.code()).unwrap_or(-1)
}
