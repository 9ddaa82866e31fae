//! Promise 1 where a disk stops answering in the middle of a freeze: that filesystem is thawed when the disk answers again,
//! and every other one within the budget and a second.

use std::fs;

use super::agent::{Agent, Ran};
use super::lab::{Lab, needs, uptime_ms, wait_for};
use super::probe::{self, Probe};
use super::shims;
use super::worlds::{FILES, MOUNTS, files};

/// An image, and a filesystem of our own on it.
const BELOW: &str =
    "truncate -s 160M /run/below.img && mkfs.ext4 -q /run/below.img && mkdir -p /data/below";
/// An image on that filesystem.
const SLOW: &str = "truncate -s 60M /data/below/slow.img && mkfs.ext4 -q /data/below/slow.img";
/// Puts the second volume on the device `SLOW`.
const MAKE: &str = r#"
set -e
DEVICE=$(findmnt -nro SOURCE /data/b)
umount /data/b
for LINK in /dev/disk/by-id/*; do
    if [ "$(readlink -f "$LINK")" = "$DEVICE" ]; then ln -sfn "$SLOW" "$LINK"; fi
done
mount "$SLOW" /data/b
"#;

/// That disk, until it is taken away again.
struct SlowDisk<'a> {
    lab: &'a Lab,
    below: String,
    slow: String,
}

impl<'a> SlowDisk<'a> {
    fn make(lab: &'a Lab) -> Self {
        lab.must(FILES, BELOW);
        let below = lab.disk(FILES, &lab.path(FILES, "/run/below.img"));
        lab.must(FILES, &format!("mount {below} /data/below && {SLOW}"));
        let slow = lab.disk(FILES, &lab.path(FILES, "/data/below/slow.img"));
        lab.must(FILES, &format!("SLOW={slow}\n{MAKE}"));
        let disk = Self { lab, below, slow };
        // It stops answering when its filesystem is about to freeze; the program that freezes is in memory by then.
        let device = shims::device(lab, FILES, MOUNTS[1]);
        let body = format!(
            "if [ \"$1\" = -f ] && [ \"$(stat -L -c %d \"$2\")\" = {device} ]; then\n\
             \"$REAL\" --version >/dev/null; \"$REAL\" -f /data/below\nfi\nexec \"$REAL\" \"$@\""
        );
        shims::replace(lab, FILES, "fsfreeze", &body);
        disk
    }

    fn answers(&self) {
        self.lab.must(FILES, "fsfreeze.real -u /data/below");
    }
}

impl Drop for SlowDisk<'_> {
    fn drop(&mut self) {
        let thaw = "for M in /data/below /data/a /data/b; do fsfreeze.real -u $M 2>/dev/null; done";
        self.lab.sh(FILES, &format!("{thaw}; umount /data/b"));
        self.lab.no_disk(FILES, &self.slow);
        let (well, said) = self.lab.sh(FILES, "umount /data/below");
        self.lab.no_disk(FILES, &self.below);
        if !well && !std::thread::panicking() {
            panic!("the slow disk is left behind: {said}");
        }
    }
}

/// What was found of each mount at the end.
fn probed(ran: &Ran) -> Vec<(&str, bool)> {
    ran.all("probe")
        .map(|event| (event["mount"].as_str().unwrap(), event["frozen"] == true))
        .collect()
}

#[test]
#[ignore = "needs root and loop devices"]
fn p01_disk_that_hangs_in_the_freeze_keeps_no_other_filesystem_frozen() {
    needs(&[]);
    let (world, _) = files(1, &[("ext4", MOUNTS[0]), ("ext4", MOUNTS[1])]);
    let lab = Lab::of(&world);
    let agent = Agent::of(&lab);
    let disk = SlowDisk::make(&lab);
    let [a, b] = MOUNTS;
    // Of the other one nothing may be asked while it hangs: whoever asks hangs too.
    let watched = Probe::start(&lab, FILES, a);
    let outer = lab.outer_thaw(FILES, &["/data/below", a, b]);
    let values = [("command", "pre-script"), ("budgetSeconds", "5")];
    let command = agent.send(FILES, "linux-filesystem", &values);
    watched.wait("frozen");
    let recorded = lab.path(FILES, "/run/freezeframe/dlm");
    let of_the_job = |file: &str| fs::read_to_string(recorded.join(file)).unwrap_or_default();
    let deadline: u64 = of_the_job("guard.up")
        .trim()
        .split(' ')
        .nth(2)
        .unwrap()
        .parse()
        .unwrap();
    let thawed = watched.wait("thawed");
    assert_eq!(of_the_job("st.2").trim(), "freezing", "it does not hang");
    println!(
        "thawed {} ms after the end of a budget of 5000 ms",
        thawed.cast_signed() - deadline.cast_signed()
    );
    assert!(
        (deadline..=deadline + 1_000).contains(&thawed),
        "thawed at {thawed}, the budget ended at {deadline}: {}",
        of_the_job("events")
    );

    // The commands end, and say which one is still held.
    let pre = agent.wait(&command, FILES);
    assert_eq!(pre.code, 201, "{pre:#?}");
    let post = agent.files(FILES, "post-script", "auto");
    assert_eq!(post.code, 203, "{post:#?}");
    assert_eq!(probed(&post), [(a, false), (b, true)], "{post:#?}");
    assert!(post.errors().contains(&"thaw-failed"), "{post:#?}");
    assert_eq!(post.all("disarmed").count(), 0, "{post:#?}");
    assert_eq!(of_the_job("st.2").trim(), "freezing", "{post:#?}");

    // The holder is gone by now; who thaws is the failsafe.
    let back = uptime_ms();
    disk.answers();
    wait_for("the failsafe's last word", || {
        of_the_job("events")
            .lines()
            .any(|line| line.starts_with("disarmed "))
    });
    println!("all over {} ms after the disk was back", uptime_ms() - back);
    assert!(!probe::frozen(&lab, FILES, b));
    let post = agent.files(FILES, "post-script", "auto");
    assert_eq!(post.code, 203, "{post:#?}");
    assert_eq!(probed(&post), [(a, false), (b, false)], "{post:#?}");
    assert_eq!(post.the("disarmed")["fired"], true, "{post:#?}");
    outer.unused();
    assert!(!watched.seen_frozen(), "frozen a second time");
    drop(watched);
    drop(disk);
    lab.released(FILES, &[a]);
    lab.finish();
}
