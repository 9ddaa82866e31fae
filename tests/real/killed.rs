//! A lab that is killed leaves nothing for long: its instances end with it, and the next lab takes the rest away.

use super::lab::{Lab, needs, wait_for};
use super::worlds::{FILES, MOUNTS};

#[test]
#[ignore = "needs root and loop devices"]
fn a_lab_that_is_killed_ends_its_instances_and_the_next_one_sweeps_the_rest() {
    needs(&[]);
    let mut lab = Lab::start();
    let outer = lab.outer_thaw(FILES, &MOUNTS);
    // Frozen, with a writer that waits: the hardest that a lab can leave.
    lab.must(FILES, &format!("fsfreeze -f {}", MOUNTS[0]));
    lab.must(
        FILES,
        &format!(
            "setsid touch {}/blocked </dev/null >/dev/null 2>&1 &",
            MOUNTS[0]
        ),
    );
    assert!(!lab.living().is_empty());
    lab.killed();
    wait_for("the end of the killed lab's instances", || {
        lab.living().is_empty()
    });
    // What holds its mounts from outside is ours, and goes.
    drop(outer);
    assert!(
        lab.traces().iter().any(|trace| trace.contains("loop")),
        "nothing was left to sweep"
    );

    let next = Lab::start();
    assert_eq!(lab.traces(), Default::default());
    next.finish();
}
