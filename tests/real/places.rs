//! Promises 3 and 4: only what was judged is frozen, through a descriptor that cannot lead elsewhere; never this
//! machine's own filesystem, never what the system or the agent needs.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::agent::{Agent, Ran};
use super::lab::{Lab, PATH, needs, wait};
use super::probe::{self, Probe};
use super::shims;
use super::worlds::{FILES, MOUNTS, files};

fn server() -> (Lab, Agent) {
    let (world, _) = files(1, &[("ext4", MOUNTS[0]), ("xfs", MOUNTS[1])]);
    let lab = Lab::of(&world);
    let agent = Agent::of(&lab);
    (lab, agent)
}

/// This machine's own filesystem, of which the instance sees nothing, takes a write.
fn host_is_thawed(lab: &Lab) {
    let mut file = File::create(lab.notes().join("written")).unwrap();
    file.write_all(b"written").unwrap();
    let mut sync = Command::new("sync")
        .arg(lab.notes().join("written"))
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(wait(&mut sync, "a write to this machine's filesystem"), 0);
}

/// Mounts of the instance watched while one `pre-script` (or `snapshot`) after the other is refused.
struct Watch<'a> {
    lab: &'a Lab,
    agent: &'a Agent,
    probes: Vec<Probe>,
}

impl<'a> Watch<'a> {
    fn start(lab: &'a Lab, agent: &'a Agent) -> Self {
        let probes = MOUNTS.map(|mount| Probe::start(lab, FILES, mount));
        Self {
            lab,
            agent,
            probes: Vec::from(probes),
        }
    }

    fn refused(&self, mounts: &str, code: i32, errors: &[&str]) {
        for command in ["pre-script", "snapshot"] {
            let ran = self.agent.files(FILES, command, mounts);
            println!("{command} {mounts}: {:?}", ran.errors());
            assert_eq!(ran.code, code, "{mounts}: {ran:#?}");
            let told = ran.errors();
            assert!(
                told.len() == 1 && errors.contains(&told[0]),
                "{mounts}: {ran:#?}"
            );
            self.nothing_froze(mounts, &ran);
        }
    }

    fn nothing_froze(&self, what: &str, pre: &Ran) {
        assert_eq!(pre.all("frozen").count(), 0, "{what}: {pre:#?}");
        for probe in &self.probes {
            assert!(!probe.seen_frozen(), "{what} froze something");
        }
        host_is_thawed(self.lab);
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn p03_what_is_not_the_mount_itself_is_refused() {
    needs(&[]);
    let (lab, agent) = server();
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let here = "/tmp/elsewhere";
    lab.must(
        FILES,
        &format!(
            "mkdir -p {here} /data/none /data/a/sub /data/host /data/file && ln -s /data/a /data/link && ln -s {here} /data/away && \
             mount --bind {here} /data/host && mount --bind /data/a /data/a/sub"
        ),
    );
    let watch = Watch::start(&lab, &agent);
    // Not mounted at all, a directory inside, links to a mount and to this machine's files.
    lab.must(FILES, "umount /data/a/sub");
    for mounts in [
        "/data/none",
        "/data/a/sub",
        "/data/link",
        "/data/away",
        "/data/missing",
        "/data/a,/data/none",
    ] {
        watch.refused(mounts, 206, &["not-a-mount"]);
    }
    // Another filesystem by a bind mount, and what the system has in memory.
    for mounts in ["/data/host", "/data/a,/data/host", "/tmp", "/dev"] {
        watch.refused(
            mounts,
            206,
            &["no-volume", "root-mount", "agent-mount", "not-a-mount"],
        );
    }
    // A mount that lies hidden below another: by path it cannot be reached any more.
    lab.must(FILES, &format!("mount --bind {here} /data/b"));
    let hidden = agent.files(FILES, "pre-script", "/data/b");
    assert_eq!(hidden.code, 206, "{hidden:#?}");
    lab.must(FILES, "umount /data/b && umount /data/host");
    watch.nothing_froze("a hidden mount", &hidden);
    outer.unused();
    drop(watch);
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

/// Runs something once, in the instance's mounts, just before the program that the script uses next.
fn once_before(lab: &Lab, tool: &str, change: &str) {
    let body = format!(
        "if mv /run/armed-change /run/change-made 2>/dev/null; then {change}; fi\nexec \"$REAL\" \"$@\""
    );
    shims::replace(lab, FILES, tool, &body);
    lab.must(FILES, "rm -f /run/change-made && : >/run/armed-change");
}

#[test]
#[ignore = "needs root and loop devices"]
fn p03_a_mount_swapped_underneath_is_refused_or_passed_by() {
    needs(&[]);
    let (lab, agent) = server();
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let here = "/tmp/elsewhere";
    lab.must(FILES, &format!("mkdir -p {here}"));
    // A second way in, for the probes: the first will lead elsewhere.
    lab.must(FILES, "mkdir /data/way && mount --bind /data/b /data/way");
    let device = lab.must(FILES, "findmnt -nro SOURCE /data/way | sed 's/\\[.*//'");
    let way = Probe::start(&lab, FILES, "/data/way");

    // Between the judgement and the pinning of the descriptor (the script is copied in between): refused.
    let swaps = [
        (
            format!("mount --bind {here} /data/b"),
            "umount /data/b".to_owned(),
        ),
        (
            "umount /data/b".to_owned(),
            format!("mount {device} /data/b"),
        ),
    ];
    let both = ["pre-script", "snapshot"];
    for ((change, undo), command) in swaps.iter().zip(both) {
        once_before(&lab, "cp", change);
        let pre = agent.files(FILES, command, "/data/a,/data/b");
        shims::restore(&lab, FILES, "cp");
        lab.must(FILES, "test -e /run/change-made");
        pre.refused(206, "device-changed");
        lab.must(FILES, undo);
        assert!(!way.seen_frozen(), "{change}: frozen");
        host_is_thawed(&lab);
    }

    // After it was pinned: the path leads to another filesystem, the descriptor to what was judged.
    let a = Probe::start(&lab, FILES, "/data/a");
    once_before(&lab, "sync", &format!("mount --bind {here} /data/b"));
    let pre = agent.files(FILES, "pre-script", "/data/a,/data/b");
    shims::restore(&lab, FILES, "sync");
    lab.must(FILES, "test -e /run/change-made");
    assert_eq!(pre.code, 0, "{pre:#?}");
    a.wait("frozen");
    way.wait("frozen");
    host_is_thawed(&lab);
    let post = agent.files(FILES, "post-script", "/data/a,/data/b");
    assert_eq!(post.code, 0, "{post:#?}");
    way.wait("thawed");
    a.wait("thawed");
    outer.unused();
    drop((a, way));
    lab.must(FILES, "umount /data/b && umount /data/way");
    lab.released(FILES, &MOUNTS);
    lab.finish();
}

/// Where the agent keeps its state and its log.
const AGENT: [&str; 2] = ["/var/lib/amazon/ssm", "/var/log/amazon/ssm"];

#[test]
#[ignore = "needs root and loop devices"]
fn p04_what_the_system_and_the_agent_need_is_refused() {
    needs(&[]);
    let (lab, agent) = server();
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    let watch = Watch::start(&lab, &agent);
    watch.refused("/", 206, &["root-mount"]);
    watch.refused("/data/a,/", 206, &["root-mount"]);
    // The root of the system, where the data lies: by another name it is still the root.
    lab.must(
        FILES,
        "mkdir -p /data/a/usr && mkdir -p /boot && mount --bind /data/a /boot",
    );
    watch.refused("/data/a", 206, &["root-mount"]);
    watch.refused("/boot", 206, &["root-mount"]);
    lab.must(FILES, "umount /boot");
    // The agent's own files on a data volume, by a mount and by a link.
    for place in AGENT {
        lab.must(
            FILES,
            &format!("mkdir -p /data/a/agent {place} && mount --bind /data/a/agent {place}"),
        );
        watch.refused("/data/a", 206, &["agent-mount"]);
        watch.refused("/data/a,/data/b", 206, &["agent-mount"]);
        // Where nobody insists, it is passed by, and the other one is frozen.
        let look = agent.files(FILES, "dry-run", "auto");
        assert_eq!(look.code, 0, "{look:#?}");
        let covered: Vec<_> = look
            .all("mount")
            .filter(|mount| mount["covered"] == true)
            .map(|mount| mount["mount"].clone())
            .collect();
        assert_eq!(covered, ["/data/b"], "{look:#?}");
        lab.must(FILES, &format!("umount {place}"));
    }
    lab.must(
        FILES,
        "rmdir /var/log/amazon/ssm && ln -s /data/a/agent /var/log/amazon/ssm",
    );
    watch.refused("/data/a", 206, &["agent-mount"]);
    lab.must(FILES, "rm /var/log/amazon/ssm");
    outer.unused();
    // With nothing of the kind on it, the same mount is frozen.
    let pre = agent.files(FILES, "pre-script", "/data/a");
    assert_eq!(pre.code, 0, "{pre:#?}");
    assert!(probe::frozen(&lab, FILES, "/data/a"));
    let post = agent.files(FILES, "post-script", "/data/a");
    assert_eq!(post.code, 0, "{post:#?}");
    drop(watch);
    lab.released(FILES, &MOUNTS);
    lab.finish();
}
