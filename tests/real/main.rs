//! End to end on the lab's real runtime: real filesystems are frozen, a real MariaDB is locked, snapshotted, restored
//! and checked, and the program is killed at the worst moments. Root and loop devices only, and therefore
//! ignored: `just test-real` runs them; one that misses a tool fails with the tool's name.
//! The numbers in the names are the promises that the tests prove.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod autonomous;
#[cfg(test)]
mod console;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod dlm;
#[cfg(test)]
mod failsafe;
#[cfg(test)]
mod freezes;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod locks_postgresql;
#[cfg(test)]
mod mariadb;
#[cfg(test)]
mod places;
#[cfg(test)]
mod postgresql;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod shims;
#[cfg(test)]
mod stalls;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod thaws;
#[cfg(test)]
mod work;
#[cfg(test)]
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
