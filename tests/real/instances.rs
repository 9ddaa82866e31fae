//! Promise 30 on this machine: a command of a real lab's instance meets its own volumes and nothing of the machine that can
//! be frozen, written or mounted; and only the lab's key sends one. Nothing is frozen here: devices are compared.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::agent::Agent;
use super::lab::{Lab, needs};
use super::worlds::{FILES, MOUNTS, files};

/// Filesystems that live in memory or are the kernel's own: none of them can be frozen.
const UNFREEZABLE: [&str; 5] = ["devpts", "overlay", "proc", "sysfs", "tmpfs"];
/// Nodes that every container has.
const NODES: [&str; 7] = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2"];

fn document(script: &str) -> String {
    let lines: Vec<&str> = script.lines().collect();
    json!({
        "schemaVersion": "2.2",
        "description": "What a command can reach",
        "mainSteps": [{
            "action": "aws:runShellScript",
            "name": "look",
            "inputs": {"runCommand": lines},
        }],
    })
    .to_string()
}

/// Devices of this machine's mounts that are backed by a disk.
fn own_devices() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let kind = right.split(' ').next()?;
            (!UNFREEZABLE.contains(&kind)).then(|| left.split(' ').nth(2).map(str::to_owned))?
        })
        .collect()
}

fn word<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {event}"))
}

#[test]
#[ignore = "needs root and loop devices"]
fn p30_a_command_meets_nothing_of_this_machine_that_can_be_frozen_or_mounted() {
    needs(&["lsblk", "findmnt", "ip"]);
    let (world, _) = files(1, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::of(&world);
    let agent = Agent::of(&lab);
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    fs::write(lab.notes().join("secret"), "of this machine").unwrap();
    agent.install("freezeframe-look", &document(include_str!("look.py")));
    let ran = agent.run(FILES, "look", &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");

    let volumes: BTreeSet<String> = MOUNTS
        .map(|mount| lab.must(FILES, &format!("mountpoint -d {mount}")))
        .into();
    assert!(
        volumes.iter().all(|volume| volume.starts_with("7:")),
        "{volumes:?}"
    );
    let ours = own_devices();
    assert!(!ours.is_empty(), "this machine has a disk");
    assert!(ours.is_disjoint(&volumes), "{ours:?} {volumes:?}");
    // Every mount is one of its volumes or cannot be frozen.
    for mounted in ran.all("mounted") {
        let (device, kind) = (word(mounted, "device"), word(mounted, "fs"));
        assert!(
            volumes.contains(device) || (UNFREEZABLE.contains(&kind) && device.starts_with("0:")),
            "{mounted}"
        );
        assert!(!ours.contains(device), "{mounted}");
    }
    // Whatever path it follows, also through /proc, it ends on one of these.
    assert!(ran.all("reached").count() > 5, "{ran:#?}");
    for reached in ran.all("reached") {
        let device = word(reached, "device");
        assert!(!ours.contains(device), "{reached}");
        assert!(
            volumes.contains(device) || device.starts_with("0:"),
            "{reached}"
        );
    }
    // It has nodes of its own volumes' devices, all of them of loop devices that the lab attached (two data volumes and the root).
    let blocks: BTreeSet<&str> = ran
        .all("node")
        .filter(|node| node["kind"] == "block")
        .map(|node| word(node, "device"))
        .collect();
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    for device in &blocks {
        let file = format!("/sys/dev/block/{device}/loop/backing_file");
        let file =
            fs::read_to_string(&file).unwrap_or_else(|_| panic!("{device} is no loop device"));
        assert!(file.contains("/lab/store/live/vol-"), "{device}: {file}");
    }
    let disks: BTreeSet<&str> = ran.all("disk").map(|disk| word(disk, "name")).collect();
    assert_eq!(disks.len(), 3, "{disks:?}");
    for node in ran.all("node").filter(|node| node["kind"] == "character") {
        let (path, device) = (word(node, "path"), word(node, "device"));
        assert!(
            NODES.contains(&device) || path.starts_with("/dev/pts/"),
            "{node}"
        );
    }
    let done: Vec<&str> = ran
        .all("attempt")
        .filter(|attempt| attempt["refused"] != true)
        .map(|attempt| word(attempt, "what"))
        .collect();
    assert!(done.is_empty(), "a command could {done:?}");
    assert!(ran.all("attempt").count() >= 10, "{ran:#?}");
    // What it changed is its own.
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        name
    );
    assert!(!Path::new("/usr/bin/written-by-a-command").exists());
    for hidden in [
        lab.notes().to_owned(),
        lab.image("").parent().unwrap().to_owned(),
    ] {
        let script = format!("test ! -e {}", hidden.display());
        assert!(lab.sh(FILES, &script).0, "{} is seen", hidden.display());
    }
    // What a script that goes through everything mounted would take: the volumes, and nothing else.
    let everything = lab.must(FILES, "lsblk -nlo MOUNTPOINT | grep / | sort");
    assert_eq!(everything, MOUNTS.join("\n"));
    let types = lab.must(
        FILES,
        "findmnt -nlo TARGET -t ext2,ext3,ext4,xfs,btrfs,f2fs,vfat | sort",
    );
    assert_eq!(types, MOUNTS.join("\n"));
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

/// The status line that the lab answers these bytes with.
fn ask(lab: &Lab, request: &str) -> String {
    let address = lab.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = request.replace("HERE", address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said.lines().next().unwrap_or_default().to_owned()
}

#[test]
#[ignore = "needs root and loop devices"]
fn p30_only_the_key_that_a_real_lab_made_sends_a_command() {
    needs(&[]);
    let (world, _) = files(1, &[("ext4", MOUNTS[0])]);
    let mut lab = Lab::of(&world);
    let key = lab.key.clone();
    for (name, secret) in [
        ("AKIALAB".to_owned(), "lab".to_owned()),
        ("AKIALAB0000000000000".to_owned(), "lab".to_owned()),
        (key.0.clone(), "lab".to_owned()),
    ] {
        lab.key = (name, secret);
        assert!(Agent::refused(&lab), "{} was taken", lab.key.0);
    }
    lab.key = key;
    let agent = Agent::of(&lab);
    let dry = agent.files(FILES, "dry-run", "auto");
    assert_eq!(dry.code, 0, "{dry:#?}");
    // A name that leads here, a page, a preflight, an unsigned command, the metadata of an instance.
    let send =
        "X-Amz-Target: AmazonSSM.SendCommand\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    for (request, status) in [
        (
            format!("POST / HTTP/1.1\r\nHost: evil.example\r\n{send}"),
            403,
        ),
        (
            format!("POST / HTTP/1.1\r\nHost: HERE\r\nOrigin: http://evil.example\r\n{send}"),
            403,
        ),
        (
            format!("OPTIONS / HTTP/1.1\r\nHost: HERE\r\nOrigin: null\r\n{send}"),
            405,
        ),
        (format!("POST / HTTP/1.1\r\nHost: HERE\r\n{send}"), 400),
        (
            format!(
                "PUT /imds/{FILES}/latest/api/token HTTP/1.1\r\nHost: HERE\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            404,
        ),
    ] {
        let said = ask(&lab, &request);
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {said}"
        );
    }
    lab.released(FILES, &MOUNTS[..1]);
    lab.finish();
}
