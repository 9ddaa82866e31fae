//! End to end on the lab's real runtime: real filesystems are frozen, a real MariaDB is locked, snapshotted, restored
//! and checked, and the program is killed at the worst moments. Root and loop devices only, and therefore
//! ignored: `just test-real` runs them; one that misses a tool fails with the tool's name.
//! The numbers in the names are the promises that the tests prove.

#[cfg(test)]
#[path = "real/agent.rs"]
mod agent;
#[cfg(test)]
#[path = "real/autonomous.rs"]
mod autonomous;
#[cfg(test)]
#[path = "real/console.rs"]
mod console;
#[cfg(test)]
#[path = "real/deliveries.rs"]
mod deliveries;
#[cfg(test)]
#[path = "real/dlm.rs"]
mod dlm;
#[cfg(test)]
#[path = "real/failsafe.rs"]
mod failsafe;
#[cfg(test)]
#[path = "real/freezes.rs"]
mod freezes;
#[cfg(test)]
#[path = "real/instances.rs"]
mod instances;
#[cfg(test)]
#[path = "real/lab.rs"]
mod lab;
#[cfg(test)]
#[path = "real/locks.rs"]
mod locks;
#[cfg(test)]
#[path = "real/locks_postgresql.rs"]
mod locks_postgresql;
#[cfg(test)]
#[path = "real/mariadb.rs"]
mod mariadb;
#[cfg(test)]
#[path = "real/places.rs"]
mod places;
#[cfg(test)]
#[path = "real/postgresql.rs"]
mod postgresql;
#[cfg(test)]
#[path = "real/probe.rs"]
mod probe;
#[cfg(test)]
#[path = "real/proof.rs"]
mod proof;
#[cfg(test)]
#[path = "real/shims.rs"]
mod shims;
#[cfg(test)]
#[path = "real/stalls.rs"]
mod stalls;
#[cfg(test)]
#[path = "real/steps.rs"]
mod steps;
#[cfg(test)]
#[path = "real/thaws.rs"]
mod thaws;
#[cfg(test)]
#[path = "real/work.rs"]
mod work;
#[cfg(test)]
#[path = "real/worlds.rs"]
mod worlds;

#[test]
#[ignore = "needs root and loop devices"]
fn zz_nothing_is_left_behind() {
    lab::needs(&[]);
    let _alone = lab::alone();
    let mark = format!("/{}", lab::mark());
    let left = lab::traces_of(&[std::path::Path::new(&mark)]);
    assert!(left.is_empty(), "left behind: {left:#?}");
}
