//! What a set holds and what a restore makes of it, as the command line says it.

use super::{Result, mysql_instance, run, state};
use serde_json::Value;
use tempfile::TempDir;

fn dry(state: &TempDir, instance: &str, more: &[&str]) -> Result {
    let base = [
        "--lab",
        "snapshot",
        "--dry-run",
        "-o",
        "json",
        "--instance",
        instance,
    ];
    run(state, &[&base, more].concat())
}

/// A volume of that instance: its root, or one of its data.
fn volume(state: &TempDir, instance: &str, root: bool) -> String {
    let plan = dry(state, instance, &[]).json();
    let members = plan["jobs"][0]["set"]["members"]
        .as_array()
        .unwrap()
        .clone();
    let is_root = |m: &&Value| ["/dev/xvda", "/dev/sda1"].contains(&m["device"].as_str().unwrap());
    let found = members.iter().find(|m| is_root(m) == root).unwrap();
    found["volume"].as_str().unwrap().to_owned()
}

#[test]
fn a_dry_run_tells_what_is_left_out_and_which_tags_are_added() {
    let state = state();
    let instance = mysql_instance(&state);
    let (root, data) = (
        volume(&state, &instance, true),
        volume(&state, &instance, false),
    );
    let plan = dry(
        &state,
        &instance,
        &["--exclude-root", "--set-tag", "CostCenter=4711"],
    );
    assert_eq!(plan.code, 0, "{}", plan.err);
    let set = plan.json()["jobs"][0]["set"].clone();
    assert_eq!(set["left_out"][0]["volume"].as_str(), Some(root.as_str()));
    assert_eq!(set["left_out"][0]["by"], "root");
    assert_eq!(set["tags"]["CostCenter"], "4711");
    assert_eq!(
        set["members"][0]["record"]["volume_type"]
            .as_str()
            .map(str::len),
        Some(3)
    );
    let base = [
        "--lab",
        "snapshot",
        "--dry-run",
        "--instance",
        &instance,
        "--exclude-volume",
        &data,
    ];
    let table = run(&state, &base);
    assert!(
        table.out.contains(&format!("not in the set: {data} ")),
        "{}",
        table.out
    );
    assert!(table.out.contains("by --exclude-volume"), "{}", table.out);
}

#[test]
fn a_real_run_leaves_the_root_out_in_both_modes_and_refuses_a_set_without_the_database() {
    let state = state();
    let instance = mysql_instance(&state);
    for mode in ["coordinated", "autonomous"] {
        let base = [
            "--lab",
            "snapshot",
            "-o",
            "json",
            "--instance",
            &instance,
            "--mode",
            mode,
            "--exclude-root",
        ];
        let done = run(&state, &base);
        assert_eq!(done.code, 0, "{mode} {}", done.err);
        let job = done.json()["jobs"][0].clone();
        assert_eq!(job["verdict"], "application", "{mode}");
        assert_eq!(job["evidence"]["left_out"][0]["is_root"], true);
        let devices: Vec<&str> = job["set"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|m| m["device"].as_str())
            .collect();
        assert!(!devices.contains(&"/dev/xvda"), "{devices:?}");
    }
    let plan = dry(&state, &instance, &[]).json();
    let mut args = vec!["--lab", "snapshot", "-o", "json", "--instance", &instance];
    for member in plan["jobs"][0]["set"]["members"].as_array().unwrap() {
        let device = member["device"].as_str().unwrap();
        if !["/dev/xvda", "/dev/sda1"].contains(&device) {
            args.extend(["--exclude-volume", member["volume"].as_str().unwrap()]);
        }
    }
    let refused = run(&state, &args);
    assert_eq!(refused.code, 1, "{}", refused.err);
    let job = refused.json()["jobs"][0].clone();
    assert_eq!(job["verdict"], "skipped");
    let cause = job["error"]["cause"].as_str().unwrap();
    assert!(cause.contains("left out of the set"), "{cause}");
}

#[test]
fn slips_of_the_pen_are_usage() {
    let state = state();
    let instance = mysql_instance(&state);
    for (more, words) in [
        (
            &["--exclude-volume", "vol-0123456789abcdef0"][..],
            "attached to none",
        ),
        (&["--set-tag", "aws:x=y"], "AWS's own"),
        (
            &["--set-tag", "freezeframe:level=application"],
            "freezeframe's own",
        ),
        (&["--set-tag", "novalue"], "expected KEY=VALUE"),
        (
            &["--exclude-root", "--mode", "autonomous", "--freeze-root"],
            "cannot be used with",
        ),
    ] {
        let result = dry(&state, &instance, more);
        assert_eq!(result.code, 2, "{more:?} {}", result.err);
        assert!(result.err.contains(words), "{more:?} {}", result.err);
    }
}

#[test]
fn a_restore_plan_says_where_each_value_comes_from_and_what_carries_the_same_uuids() {
    let state = state();
    let instance = mysql_instance(&state);
    let filter = [
        "--lab",
        "list",
        "sets",
        "--filter",
        "state=restorable level=application",
        "-o",
        "json",
    ];
    let sets = run(&state, &filter).json();
    let of = |s: &&Value| s["instance"].as_str() == Some(instance.as_str());
    let set = sets.as_array().unwrap().iter().find(of).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let plan = |more: &[&str]| {
        let base = [
            "--lab",
            "restore",
            "plan",
            "--set",
            &set,
            "--instance",
            &instance,
            "-o",
            "json",
        ];
        run(&state, &[&base, more].concat())
    };
    let plain = plan(&[]).json();
    for item in plain["items"].as_array().unwrap() {
        assert_eq!(
            item["same_filesystems"][0]["volume"], item["source"],
            "{item}"
        );
        assert_eq!(item["type_from"], "source-volume");
        let name = item["tags"]["Name"].as_str().unwrap();
        assert!(name.contains(", restored 2"), "{name}");
        assert_eq!(item["tags"]["freezeframe:exclude"], "restored copy");
        let ours = |key: &String| key == "Name" || key.starts_with("freezeframe:");
        assert!(item["tags"].as_object().unwrap().keys().all(ours), "{item}");
    }
    let words = plain["warnings"].to_string();
    assert!(
        words.contains("UUID") && words.contains("nouuid"),
        "{words}"
    );
    let asked = plan(&[
        "--type",
        "gp3",
        "--iops",
        "6000",
        "--throughput",
        "400",
        "--copy-all-tags",
        "--in-sets",
    ]);
    assert_eq!(asked.code, 0, "{}", asked.err);
    let item = asked.json()["items"][0].clone();
    assert_eq!(
        (&item["iops"], &item["throughput"]),
        (&6000.into(), &400.into())
    );
    assert_eq!(item["iops_from"], "asked");
    assert_eq!(item["tags"]["freezeframe:exclude"], Value::Null);
    for (more, words) in [
        (
            &["--type", "gp3", "--iops", "2000"][..],
            "gp3 takes 3000 to",
        ),
        (&["--type", "gp2", "--iops", "3000"], "gp2 takes no --iops"),
        (
            &["--type", "gp3", "--throughput", "1000"],
            "a quarter of its",
        ),
        (&["--kms-key", "nonsense"], "is no KMS key"),
        (&["--type", "nvme"], "possible values"),
        (&["--iops", "many"], "expected a whole number"),
    ] {
        let result = plan(more);
        assert_eq!(result.code, 2, "{more:?} {}", result.err);
        assert!(result.err.contains(words), "{more:?} {}", result.err);
    }
}
