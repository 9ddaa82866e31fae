//! A set whose volumes cannot all earn the same: a database on one, files on another.

use serde_json::Value;
use tempfile::TempDir;

use super::{Served, state};

/// One instance with a database on one data volume and only files on the other.
fn mixed(home: &TempDir) -> Served {
    let volume = |n: u8, device: &str, mount: &str| {
        format!(
            "[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaa111{n}\"\ndevice = \"{device}\"\nsize = 1\nfs = \"xfs\"\nmount = \"{mount}\"\n"
        )
    };
    let world = format!(
        "name = \"mixed\"\nhistory_days = 0\noddities = false\n[[instance]]\nid = \"i-0aaaaaaaaaaaa1111\"\nname = \"mixed\"\n\
         engine = \"mysql\"\ntags = {{ ConsistentSnapshot = \"linux-mysql\" }}\n{}{}{}",
        volume(0, "/dev/xvda", "/"),
        volume(1, "/dev/sdf", "/var/lib/mysql"),
        volume(2, "/dev/sdg", "/srv/files"),
    );
    let file = home.path().join("mixed.toml");
    std::fs::write(&file, world).unwrap();
    Served::with(&["--world", file.to_str().unwrap()])
}

/// The volume that only has files is `filesystem`, and lowers neither the verdict of the job nor the level of the set: on
/// the host that took it, and on one that knows its tags alone.
#[test]
fn p11_a_volume_without_the_database_is_filesystem_and_lowers_nothing() {
    let home = state();
    let served = mixed(&home);
    for mode in ["coordinated", "autonomous"] {
        let host = state();
        let args = ["snapshot", "--instance", "mixed", "--mode", mode];
        let done = served.run(&host, &[&args[..], &["-o", "json"]].concat());
        assert_eq!(done.code, 0, "{mode}: {} {}", done.out, done.err);
        let job = &done.json()["jobs"][0];
        assert_eq!(job["verdict"], "application", "{mode}: {job:#}");
        let member = |device: &str| -> Value {
            let mut all = job["set"].as_array().unwrap().iter();
            all.find(|m| m["device"] == device).unwrap().clone()
        };
        let levels = ["/dev/xvda", "/dev/sdf", "/dev/sdg"].map(|d| member(d)["level"].clone());
        assert_eq!(levels, ["crash", "application", "filesystem"], "{mode}");
        let reason = member("/dev/sdg")["reason"].clone();
        let reason = reason.as_str().unwrap();
        assert!(reason.contains("nothing of mysql lies on it"), "{reason}");

        let snapshots = served.run(&host, &["list", "snapshots", "-o", "json"]);
        for snapshot in snapshots.json().as_array().unwrap() {
            if snapshot["tags"]["freezeframe:job"] != job["job"] {
                continue;
            }
            let tags = &snapshot["tags"];
            let marked = tags["freezeframe:without"] == "mysql";
            let files = tags["freezeframe:device"] == "/dev/sdg";
            assert_eq!(marked, files, "{mode}: {tags:#}");
        }
        let elsewhere = state();
        for host in [&host, &elsewhere] {
            let sets = served.run(host, &["list", "sets", "-o", "json"]).json();
            let mut sets = sets.as_array().unwrap().iter();
            let set = sets.find(|set| set["job"] == job["job"]).unwrap();
            assert_eq!(set["level"], "application", "{mode}: {set:#}");
        }
    }
}
