//! Promise 13, end to end: what is labelled application-consistent is, and the check can fail.

use super::console::{Console, text};
use super::lab::{Lab, needs, uptime_ms};
use super::proof::{Expected, application_set, at, examine, slow_copy};
use super::work::{self, Ack, Load, Server, database};
use super::worlds::{DB, DB_EXT4, DB_XFS};

const DATABASE: [&str; 2] = ["mariadbd", "mariadb-install-db"];

/// The longest time between two acknowledgements in a row, of all writers together.
fn longest_silence(acks: &[Ack]) -> u64 {
    let pairs = acks
        .windows(2)
        .map(|pair| pair[1].acked_ms - pair[0].acked_ms);
    pairs.max().unwrap_or_default()
}

#[test]
#[ignore = "needs root and loop devices"]
fn p13_mariadb_end_to_end() {
    needs(&DATABASE);
    end_to_end(&[], "ftwrl");
}

/// Where every table is InnoDB, `auto` takes MariaDB's backup stages.
#[test]
#[ignore = "needs root and loop devices"]
fn p13_mariadb_end_to_end_backup_stage() {
    needs(&DATABASE);
    end_to_end(&[], "backup-stage");
}

#[test]
#[ignore = "needs root and loop devices"]
fn p13_mariadb_end_to_end_autonomous() {
    let tools = [&DATABASE[..], &["curl"]].concat();
    needs(&tools);
    end_to_end(&["--mode", "autonomous"], "ftwrl");
}

/// MySQL's tests run in a root that has MySQL and not MariaDB. `FF_SLOW=1 tests/matrix.sh sid` runs them in one, and nothing
/// else is judged by whether a package of it can be had: `.ci/run` leaves them out by name.
fn needs_mysql() {
    assert!(
        work::is_mysql(),
        "this test needs mysqld: FF_SLOW=1 tests/matrix.sh sid"
    );
    needs(&["mysqld", "mysql"]);
}

#[test]
#[ignore = "needs root, loop devices and MySQL (FF_SLOW=1 tests/matrix.sh sid)"]
fn p13_mysql_end_to_end() {
    needs_mysql();
    end_to_end(&[], "ftwrl");
}

#[test]
#[ignore = "needs root, loop devices and MySQL (FF_SLOW=1 tests/matrix.sh sid)"]
fn p13_mysql_negative_control_slow_copy_without_freeze_fails() {
    needs_mysql();
    negative_control();
}

fn end_to_end(args: &[&str], how: &str) {
    let lab = Lab::start();
    let console = Console::new(&lab);
    let server = database(&lab, "/data/db/mysql");
    if how == "backup-stage" {
        for table in work::TABLES {
            server.must(&lab, &format!("ALTER TABLE proof.{table} ENGINE=InnoDB"));
        }
    }
    let rows = Load::rows(&lab, 4);
    let files = Load::files(&lab.path(DB, "/data/files"), 3);
    rows.advance(100);
    files.advance(20);

    let outer = lab.outer_thaw(DB, &["/data/db", "/data/files"]);
    let answer = console.snapshot(DB, args).wait();
    outer.unused();
    // Everybody goes on.
    rows.advance(3);
    files.advance(3);
    let (rows, files) = (rows.stop(), files.stop());

    let (job, restore) = application_set(&console, &answer);
    let events = console.proof(&job);
    let locked = events.iter().find(|event| event["t"] == "locked").unwrap();
    assert_eq!(locked["how"], how, "{events:#?}");
    let set = text(&job["job"]);
    let mut args = vec![
        "restore",
        "run",
        "--set",
        &set,
        "--instance",
        DB,
        "--mount-under",
        "/restore",
        "--yes",
    ];
    args.extend(restore.iter().map(String::as_str));
    let restored = console.run(&args);
    assert_eq!(restored.code, 0, "{restored:?}");
    let place_of = |volume: &str| {
        let plan = restored.json()["plan"]["items"].clone();
        let item = plan
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["source"] == volume)
            .cloned();
        text(&item.unwrap_or_else(|| panic!("{volume} is not in {plan:#}"))["mount"])
    };
    let (xfs, ext4) = (place_of(DB_XFS), place_of(DB_EXT4));
    let options = lab.must(DB, &format!("findmnt -nro FSTYPE,OPTIONS {xfs}"));
    assert!(
        options.starts_with("xfs") && options.contains("nouuid"),
        "{options}"
    );
    assert_eq!(lab.must(DB, &format!("findmnt -nro FSTYPE {ext4}")), "ext4");

    let release = at(&events, "release");
    let expected = Expected {
        rows: &rows,
        files: &files,
        before_ms: release,
        after_ms: release,
    };
    let complaints = examine(&lab, "copy", &xfs, &ext4, &expected);
    assert!(complaints.is_empty(), "{complaints:#?}");

    let before = |acks: &[Ack]| acks.iter().filter(|ack| ack.acked_ms <= release).count();
    let stall = |acks: &[Ack]| {
        acks.iter()
            .map(|ack| ack.took)
            .max()
            .unwrap_or_default()
            .as_millis()
    };
    println!(
        "freeze_window_ms {} | lock to release {} ms | longest client stall {} ms, longest silence of all clients {} ms \
         | longest file stall {} ms | {} rows and {} files acknowledged before the release, all in the copy; {} and {} in all",
        job["freeze_window_ms"],
        release - at(&events, "locked"),
        stall(&rows),
        longest_silence(&rows),
        stall(&files),
        before(&rows),
        before(&files),
        rows.len(),
        files.len(),
    );
    server.stop(&lab);
    lab.released(DB, &["/data/db", "/data/files", &xfs, &ext4]);
    lab.finish();
}

/// Clients and file writers at work, on empty tables and in a directory of their own.
fn load(lab: &Lab, server: &Server, number: u64) -> (Load, Load) {
    for table in work::TABLES {
        server.must(lab, &format!("TRUNCATE proof.{table}"));
    }
    let rows = Load::rows(lab, 4);
    let files = Load::files(&lab.path(DB, &format!("/data/files/{number}")), 2);
    rows.advance(50);
    files.advance(10);
    (rows, files)
}

/// Copies both data volumes slowly, mounts the copies, and examines them: everything that is wrong with them.
fn copied(lab: &Lab, number: u64, stop: impl FnOnce() -> (Vec<Ack>, Vec<Ack>)) -> Vec<String> {
    let began = uptime_ms();
    let [xfs, ext4] = [(DB_XFS, "xfs"), (DB_EXT4, "ext4")].map(|(volume, name)| {
        let copy = lab.notes().join(name);
        slow_copy(&lab.image(volume), &copy, number);
        lab.disk(DB, &copy)
    });
    let (rows, files) = stop();
    let (mounted, said) = lab.sh(
        DB,
        &format!(
            "mkdir -p /control/xfs /control/ext4 && mount -o nouuid {xfs} /control/xfs && \
             mount {ext4} /control/ext4"
        ),
    );
    let found = if mounted {
        let expected = Expected {
            rows: &rows,
            files: &files,
            before_ms: began,
            after_ms: u64::MAX,
        };
        let files = format!("/control/ext4/{number}");
        examine(
            lab,
            &format!("control{number}"),
            "/control/xfs",
            &files,
            &expected,
        )
    } else {
        vec![format!("the copy cannot be mounted: {said}")]
    };
    // Whatever of it was mounted.
    lab.sh(DB, "umount /control/xfs; umount /control/ext4");
    lab.no_disk(DB, &xfs);
    lab.no_disk(DB, &ext4);
    found
}

#[test]
#[ignore = "needs root and loop devices"]
fn p13_negative_control_slow_copy_without_freeze_fails() {
    needs(&DATABASE);
    negative_control();
}

fn negative_control() {
    let lab = Lab::start();
    let server = database(&lab, "/data/db/mysql");
    let mut torn = Vec::new();
    // One copy may be lucky.
    for attempt in 0..4 {
        let (rows, files) = load(&lab, &server, attempt);
        torn = copied(&lab, attempt, || (rows.stop(), files.stop()));
        if !torn.is_empty() {
            break;
        }
    }
    println!("the control fails, as it must: {torn:#?}");
    assert!(
        !torn.is_empty(),
        "four torn copies passed every check: the check proves nothing"
    );

    // And it fails for that reason: the same copy of the same volumes at rest passes.
    let (rows, files) = load(&lab, &server, 9);
    let written = (rows.stop(), files.stop());
    server.stop(&lab);
    lab.must(DB, "sync -f /data/db; sync -f /data/files");
    let found = copied(&lab, 9, || written);
    assert!(
        found.is_empty(),
        "a copy at rest is found wanting: {found:#?}"
    );
    lab.released(DB, &["/data/db", "/data/files"]);
    lab.finish();
}
