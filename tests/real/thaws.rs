//! Promises 5 and 6: all or nothing when the Nth freeze fails, and a thaw that goes on past every error.

use super::agent::{Agent, Ran};
use super::lab::{Lab, needs, wait_for};
use super::probe::{self, Probe};
use super::shims;
use super::worlds::{FILES, files};

/// In the order in which a job freezes them.
const FOUR: [&str; 4] = ["/data/a", "/data/b", "/data/c", "/data/d"];

fn server() -> (Lab, Agent) {
    let kinds = ["ext4", "xfs", "btrfs", "ext4"];
    let volumes: Vec<_> = kinds.into_iter().zip(FOUR).collect();
    let (world, _) = files(1, &volumes);
    let lab = Lab::of(&world);
    let agent = Agent::of(&lab);
    (lab, agent)
}

/// The mounts that events of this name speak of, in order.
fn mounts<'a>(ran: &'a Ran, name: &'a str) -> Vec<&'a str> {
    ran.all(name)
        .filter_map(|event| event["mount"].as_str())
        .collect()
}

fn frozen_now(lab: &Lab) -> Vec<&'static str> {
    FOUR.into_iter()
        .filter(|mount| probe::frozen(lab, FILES, mount))
        .collect()
}

#[test]
#[ignore = "needs root and loop devices"]
fn p05_nth_freeze_failing_leaves_none_of_ours_and_all_of_theirs() {
    needs(&[]);
    let (lab, agent) = server();
    shims::freezes(&lab, FILES);
    for (command, kind) in [
        ("pre-script", "busy"),
        ("pre-script", "unsupported"),
        ("snapshot", "busy"),
    ] {
        for mount in FOUR {
            let probes = FOUR.map(|mount| Probe::start(&lab, FILES, mount));
            let outer = lab.outer_thaw(FILES, &FOUR);
            shims::fault(&lab, FILES, "-f", mount, kind);
            let pre = agent.files(FILES, command, "auto");
            shims::no_fault(&lab, FILES);
            let error = match kind {
                "busy" => "already-frozen",
                _ => "freeze-failed",
            };
            assert_eq!((pre.code, pre.errors()), (201, vec![error]), "{pre:#?}");
            // All the others are undone, whether they froze before it, after it or at the same moment.
            let ours = mounts(&pre, "frozen");
            assert!(!ours.contains(&mount), "{pre:#?}");
            let mut undone = mounts(&pre, "thawed");
            undone.reverse();
            assert_eq!(undone, ours, "{pre:#?}");
            for (mount, probe) in FOUR.into_iter().zip(&probes) {
                if ours.contains(&mount) {
                    probe.wait("frozen");
                    probe.wait("thawed");
                }
            }
            // The other owner's is theirs to thaw.
            let theirs: &[&str] = if kind == "busy" { &[mount] } else { &[] };
            assert_eq!(frozen_now(&lab), theirs, "{kind} at {mount}");
            for mount in theirs {
                lab.must(FILES, &format!("fsfreeze.real -u {mount}"));
            }
            println!("{command}, {kind} at {mount}: {:?}", pre.order());
            assert_eq!(pre.all("request").count(), 0, "{pre:#?}");
            outer.unused();
            shims::seen(&lab, FILES);
        }
    }
    lab.must(FILES, "umount /run/cannot");
    lab.released(FILES, &FOUR);
    lab.finish();
}

/// `ok` of each thaw, in the order of the thaws.
fn thaws(ran: &Ran) -> Vec<(&str, bool)> {
    ran.all("thawed")
        .map(|event| (event["mount"].as_str().unwrap(), event["ok"] == true))
        .collect()
}

/// Every mount was probed at the end, and this is what was found.
fn probed(post: &Ran, frozen: &[&str]) {
    let mut said: Vec<_> = post
        .all("probe")
        .map(|event| (event["mount"].as_str().unwrap(), event["frozen"] == true))
        .collect();
    let expected: Vec<_> = FOUR
        .into_iter()
        .map(|mount| (mount, frozen.contains(&mount)))
        .collect();
    said.sort_unstable();
    assert_eq!(said, expected, "{post:#?}");
    let order = post.order();
    let last_thaw = order.iter().rposition(|name| *name == "thawed");
    let first_probe = order.iter().position(|name| *name == "probe");
    assert!(last_thaw < first_probe, "{order:?}");
}

#[test]
#[ignore = "needs root and loop devices"]
fn p06_thaw_goes_on_past_every_error_and_ends_with_a_probe_of_each_mount() {
    needs(&[]);
    let (lab, agent) = server();
    let frozen = || {
        let outer = lab.outer_thaw(FILES, &FOUR);
        let pre = agent.files(FILES, "pre-script", "auto");
        assert_eq!(pre.code, 0, "{pre:#?}");
        assert_eq!(frozen_now(&lab), FOUR);
        outer
    };

    // Somebody thaws one in the middle.
    let outer = frozen();
    lab.must(FILES, "fsfreeze -u /data/c");
    let post = agent.files(FILES, "post-script", "auto");
    assert_eq!(post.code, 202, "{post:#?}");
    let [a, b, c, d] = FOUR;
    assert_eq!(
        thaws(&post),
        [(d, true), (c, false), (b, true), (a, true)],
        "{post:#?}"
    );
    probed(&post, &[]);
    assert_eq!(frozen_now(&lab), <[&str; 0]>::default());
    outer.unused();

    // One in the middle is unmounted while it is frozen: the descriptor still leads to it.
    let device = lab.must(FILES, "findmnt -nro SOURCE /data/b");
    lab.must(FILES, "mkdir /data/way && mount --bind /data/b /data/way");
    let outer = frozen();
    lab.must(FILES, "umount -l /data/b");
    let post = agent.files(FILES, "post-script", "auto");
    assert_eq!(post.code, 0, "{post:#?}");
    assert_eq!(
        thaws(&post),
        [(d, true), (c, true), (b, true), (a, true)],
        "{post:#?}"
    );
    probed(&post, &[]);
    assert!(!probe::frozen(&lab, FILES, "/data/way"));
    lab.must(
        FILES,
        &format!("umount /data/way && mount {device} /data/b"),
    );
    assert_eq!(frozen_now(&lab), <[&str; 0]>::default());
    outer.unused();

    // The kernel will not thaw one in the middle: the others are thawed, that one is told, and tried on.
    shims::freezes(&lab, FILES);
    let outer = frozen();
    shims::fault(&lab, FILES, "-u", c, "broken");
    let command = agent.send(FILES, "linux-filesystem", &[("command", "post-script")]);
    wait_for("the thaw of the others", || frozen_now(&lab) == [c]);
    // The holder has done what it could; from here on it is the failsafe that tries.
    let events = lab.path(FILES, "/run/freezeframe/dlm/events");
    wait_for("the holder's last word", || {
        std::fs::read_to_string(&events).is_ok_and(|text| text.contains("thaw-failed"))
    });
    shims::no_fault(&lab, FILES);
    wait_for("the failsafe's thaw", || frozen_now(&lab).is_empty());
    let post = agent.wait(&command, FILES);
    outer.unused();
    assert_eq!(post.code, 203, "{post:#?}");
    assert!(post.errors().contains(&"thaw-failed"), "{post:#?}");
    for (mount, ok) in thaws(&post) {
        assert_eq!(ok, mount != c, "{post:#?}");
    }
    probed(&post, &[]);
    lab.must(FILES, "umount /run/cannot");
    lab.released(FILES, &FOUR);
    lab.finish();
}
