//! A journal that cannot be written: no room for it at any point of a job, or none from the start. What is not
//! on record is not done, what may be frozen is thawed all the same, and the words name the file and the hint.

use std::process::Command;

use futures::StreamExt as _;

use super::served::{Home, served};

/// The program with files of at most so many KiB, as on a full disk: the write fails, no signal comes.
fn cramped(home: &Home, kib: u32, args: &[&str]) -> Command {
    let plain = home.command(args);
    let mut command = Command::new("/bin/bash");
    command.env_clear();
    for (key, value) in plain.get_envs() {
        command.env(key, value.unwrap());
    }
    command
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\""))
        .arg(plain.get_program())
        .args(plain.get_args());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p21_whenever_the_journal_is_full_the_job_ends_thawed_and_says_so() {
    let sizes: Vec<u32> = (0..14).map(|n| 40 + 24 * n).collect();
    let served = served(sizes.len()).await;
    let served = &served;
    let ends: Vec<(u32, bool, bool)> = futures::stream::iter(sizes.into_iter().enumerate())
        .map(|(n, kib)| async move {
            let instance = served.id(&format!("db-{n}"));
            let home = Home::new(served);
            let args = ["snapshot", "--instance", &instance, "--max-freeze", "60s"];
            let answer = home.start_command(cramped(&home, kib, &args)).wait().await;
            // Ended by itself, thawed by itself.
            assert!(answer.code.is_some(), "{kib}: {answer:?}");
            assert_ne!(answer.code, Some(5), "{kib}: {answer:?}");
            served.nothing_frozen(&instance);
            if answer.code != Some(0) {
                let said = format!("{}{}", answer.out, answer.err);
                assert!(said.contains("journal.sqlite"), "{kib}: {answer:?}");
                assert!(
                    said.contains("make room") || said.contains("has space"),
                    "{kib}: {answer:?}"
                );
            }
            let made = served.made(&instance);
            for one in &made {
                let proven = matches!(one.level.as_str(), "application" | "filesystem");
                assert!(!proven || one.frozen, "{kib}: {one:?}");
            }
            // With room again the next start settles what is open, whatever the record lacks.
            let resumed = home.run(&["jobs", "resume"]).await;
            assert!(
                matches!(resumed.code, Some(0 | 1 | 3 | 4)),
                "{kib}: {resumed:?}"
            );
            served.nothing_frozen(&instance);
            (kib, answer.code == Some(0), !made.is_empty())
        })
        .buffered(4)
        .collect()
        .await;
    // Too small for anything, too small for the middle of a job, large enough.
    assert!(
        ends.iter().any(|(_, good, made)| !good && !made),
        "{ends:?}"
    );
    assert!(
        ends.iter().any(|(_, good, made)| !good && *made),
        "{ends:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_cannot_be_written_stops_everything_before_the_first_call() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    let mut command = home.command(&["snapshot", "--instance", &instance]);
    // Not even root writes there.
    command.env("FREEZEFRAME_STATE_DIR", "/proc/freezeframe");
    let answer = home.start_command(command).wait().await;
    // A directory that was named and cannot be used is configuration.
    assert_eq!(answer.code, Some(2), "{answer:?}");
    assert!(answer.err.contains("/proc/freezeframe"), "{answer:?}");
    assert!(answer.err.contains("FREEZEFRAME_STATE_DIR"), "{answer:?}");
    let wrote = |action: &str| ["SendCommand", "CreateSnapshots", "CreateTags"].contains(&action);
    assert!(served.lab.calls().iter().all(|c| !wrote(&c.action)));
}
