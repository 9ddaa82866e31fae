//! Systems Manager may deliver a command twice. The second delivery of one that failed would find nothing in its way, and
//! nobody who waits for it: it must freeze nothing.

use std::fs;
use std::path::PathBuf;

use super::agent::Agent;
use super::console::{Console, text};
use super::lab::{Lab, arguments, needs, processes, wait_for};
use super::probe::Probe;
use super::shims;
use super::worlds::{FILES, MOUNTS, files};

/// Where the agent of the instance has the second delivery's script, once there is one.
fn second(lab: &Lab) -> Option<PathBuf> {
    let commands = format!("/var/lib/amazon/ssm/{FILES}/document/orchestration");
    let commands = fs::read_dir(lab.path(FILES, &commands)).ok()?;
    let mut steps = commands.filter_map(|command| fs::read_dir(command.ok()?.path()).ok());
    steps.find_map(|mut steps| {
        steps.find_map(|step| {
            let path = step.ok()?.path();
            (path.to_string_lossy().ends_with("-again") && path.join("_script.sh").exists())
                .then_some(path)
        })
    })
}

#[test]
#[ignore = "needs root and loop devices"]
fn p01_second_delivery_of_a_failed_command_freezes_nothing() {
    needs(&["curl"]);
    for (command, mode) in [("pre-script", "coordinated"), ("snapshot", "autonomous")] {
        let (world, _) = files(1, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
        let twice =
            format!("[[fault]]\non = \"{command}\"\nkind = \"twice\"\ntimes = 1\nms = 8000\n");
        let lab = Lab::with(&world, &twice);
        let console = Console::new(&lab);
        shims::freezes(&lab, FILES);
        let outer = lab.outer_thaw(FILES, &MOUNTS);

        // The first fails: its second mount cannot be frozen.
        shims::fault(&lab, FILES, "-f", MOUNTS[1], "unsupported");
        let args = ["--mode", mode, "--max-freeze", "10s"];
        let answer = console.snapshot(FILES, &args).wait();
        let job = answer.job();
        assert_eq!(
            (answer.code, &job["error"]["code"]),
            (1, &"freeze-failed".into()),
            "{answer:?}"
        );
        assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
        assert!(
            second(&lab).is_none(),
            "it came too early to prove anything"
        );

        // The second meets no obstacle at all.
        shims::no_fault(&lab, FILES);
        shims::seen(&lab, FILES);
        let probes = MOUNTS.map(|mount| Probe::start(&lab, FILES, mount));
        let mut script = None;
        wait_for("the second delivery", || {
            script = second(&lab);
            script.is_some()
        });
        let script = script.expect("a script");
        let step = script.file_name().unwrap().to_string_lossy().into_owned();
        let command_id = script.parent().and_then(|path| path.file_name()).unwrap();
        let directory = format!("{}/{step}", command_id.to_string_lossy());
        wait_for("the end of the second delivery", || {
            !processes().into_iter().any(|process| {
                arguments(process)
                    .iter()
                    .any(|word| word.contains(&directory))
            })
        });
        assert!(
            !probes.iter().any(Probe::seen_frozen),
            "a second {command} has frozen"
        );
        let did = shims::seen(&lab, FILES);
        assert!(did.is_empty(), "{did:#?}");
        if command == "pre-script" {
            // It was the delivery that was refused: nothing else was in the way, as a new command of the same job shows.
            let agent = Agent::new(&lab);
            let id = text(&job["job"]);
            let step = |command| {
                let values = [("executionId", id.as_str()), ("command", command)];
                agent.run(FILES, "linux-filesystem", &values).code
            };
            assert_eq!(step("pre-script"), 0);
            for probe in &probes {
                probe.wait("frozen");
            }
            assert_eq!(step("post-script"), 0);
        }
        outer.unused();
        drop(probes);
        lab.must(FILES, "umount /run/cannot");
        lab.must(FILES, "umount /data/a /data/b");
        lab.finish();
    }
}
