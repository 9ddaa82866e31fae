//! Which volumes lie under a mount, and which directories under the freeze.

use super::*;
use crate::trace::parse;

fn volume(n: u32) -> VolumeId {
    VolumeId::from_api(format!("vol-0000000{n}"))
}

fn attached(devices: &[(u32, &str)]) -> PreflightFacts {
    PreflightFacts {
        volumes: devices
            .iter()
            .enumerate()
            .map(|(i, (n, device))| AttachedVolume {
                volume: volume(*n),
                device: (*device).to_owned(),
                is_root: i == 0,
            })
            .collect(),
        ..PreflightFacts::default()
    }
}

fn mount(at: &str, disk: &str, covered: bool) -> String {
    format!(
        r#"{{"t":"mount","seq":SEQ,"ms":1,"mount":"{at}","fs":"ext4","dev":"/dev/{disk}","disks":["{disk}"],"covered":{covered}}}"#
    )
}

fn trace(lines: &[String]) -> Trace {
    let text: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(i, line)| format!("FF1 {}", line.replace("SEQ", &(i + 1).to_string())))
        .collect();
    let trace = parse(&text.join("\n"));
    assert!(trace.malformed.is_empty(), "{trace:?}");
    trace
}

#[test]
fn xen_disks_are_mapped_by_their_attachments_name() {
    for (attachment, disk) in [
        ("/dev/sdf", "xvdf"),
        ("/dev/xvdf", "xvdf"),
        ("xvdf", "xvdf1"),
        ("/dev/xvdba", "xvdba"),
    ] {
        let mut facts = attached(&[(1, "/dev/sda1"), (2, attachment)]);
        let said = trace(&[mount("/", "xvda1", false), mount("/data", disk, true)]);
        facts.take(&said).unwrap();
        assert_eq!(facts.covered[0].volumes, [volume(2)], "{attachment} {disk}");
        assert_eq!(facts.uncovered[0].volumes, [volume(1)]);
    }
}

#[test]
fn a_disk_that_fits_none_or_several_or_a_shifted_kernel_is_refused() {
    let data = |disk| trace(&[mount("/data", disk, true)]);
    let refused = |devices: &[(u32, &str)], said: &Trace| attached(devices).take(said).unwrap_err();
    assert!(refused(&[(1, "/dev/xvda"), (2, "/dev/sdf")], &data("xvdg")).contains("no attachment"));
    assert!(refused(&[(1, "/dev/xvda"), (2, "/dev/sdf")], &data("dm-0")).contains("no attachment"));
    assert!(
        refused(
            &[(1, "/dev/xvda"), (2, "/dev/sdf"), (3, "/dev/xvdf")],
            &data("xvdf1")
        )
        .contains("several")
    );
    // The root attachment's letter is a, but the kernel calls that disk e: every letter means another.
    let shifted = trace(&[mount("/", "xvde1", false), mount("/data", "xvdj", true)]);
    let why = refused(
        &[(1, "/dev/sda1"), (2, "/dev/sdf"), (3, "/dev/sdj")],
        &shifted,
    );
    assert!(why.contains("in its own way"), "{why}");
}

#[test]
fn neither_volumes_nor_disks_is_not_a_mount_line() {
    let none =
        r#"FF1 {"t":"mount","seq":1,"ms":1,"mount":"/d","fs":"xfs","dev":"/dev/x","covered":true}"#;
    assert_eq!(parse(none).malformed.len(), 1);
    let empty = r#"FF1 {"t":"mount","seq":1,"ms":1,"mount":"/d","fs":"xfs","dev":"/dev/x","volumes":[],"covered":true}"#;
    let why = attached(&[(1, "/dev/xvda")])
        .take(&parse(empty))
        .unwrap_err();
    assert!(why.contains("nobody knows"), "{why}");
}

#[test]
fn the_longest_matching_mount_decides_and_a_bind_of_a_frozen_one_is_frozen() {
    let other = |mount: &str, n, reason: &str| UncoveredMount {
        mount: mount.to_owned(),
        reason: reason.to_owned(),
        volumes: vec![volume(n)],
    };
    let facts = PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".to_owned(),
            fs: "xfs".to_owned(),
            volumes: vec![volume(2)],
        }],
        uncovered: vec![
            other("/", 1, "the root filesystem"),
            other("/data/scratch", 3, "not asked for"),
            other("/var/lib/mysql", 2, SAME_FILESYSTEM),
            other("/srv", 3, SAME_FILESYSTEM),
        ],
        ..PreflightFacts::default()
    };
    for (path, covered) in [
        ("/data", true),
        ("/data/db/", true),
        ("/database", false),
        ("/data/scratch/x", false),
        ("/data/scratchy", true),
        ("/var/lib/mysql/ib_logfile0", true),
        ("/var/lib/mysqld", false),
        ("/srv/x", false),
        ("/", false),
    ] {
        assert_eq!(facts.covers(path), covered, "{path}");
    }
}

/// The reasons that count are words of our documents: where these change, so must the constants.
#[test]
fn the_reasons_that_count_are_the_documents_own_words() {
    let source = include_str!("../../../../assets/documents/src/mounts.sh");
    for reason in [SAME_FILESYSTEM, READ_ONLY] {
        let said = format!("M_TEXT='{reason}'");
        assert_eq!(source.matches(&said).count(), 1, "{reason}");
    }
}

/// As the documents tell what a link or a mount puts elsewhere: a filesystem of no block device below a covered
/// mount, and a part of the data directory that could not be searched.
#[test]
fn what_lies_on_no_block_device_or_was_not_searched_is_not_covered() {
    let ram = r#"{"t":"mount","seq":SEQ,"ms":1,"mount":"/data/ram","fs":"other","dev":"none","volumes":[],"covered":false,"reason":"it is on no block device"}"#;
    let path = |what: &str, path: &str| {
        format!(r#"{{"t":"path","seq":SEQ,"ms":1,"what":"{what}","path":"{path}"}}"#)
    };
    let mut facts = attached(&[(1, "/dev/sda1"), (2, "/dev/sdf")]);
    let said = trace(&[
        mount("/", "xvda1", true),
        mount("/data", "xvdf", true),
        ram.to_owned(),
        path("data", "/data/ram/t"),
        path("unsearched", "? (/data/db: find: './t': Permission denied)"),
        path("data", "/data/near"),
    ]);
    facts.take(&said).unwrap();
    let covered: Vec<bool> = facts.paths.iter().map(|p| facts.covers(&p.path)).collect();
    assert_eq!(covered, [false, false, true]);
    assert!(facts.unfrozen_neighbour(&volume(2)).is_none());
}

/// A set that leaves volumes out on purpose: root and what is frozen for nobody lower nothing; what the recipe must have in
/// it is refused with the reason.
#[test]
fn a_set_never_leaves_out_what_its_level_speaks_of() {
    use crate::set_plan::{LeftOut, LeftOutBy};
    let facts = || {
        let mut facts = attached(&[
            (1, "/dev/sda1"),
            (2, "/dev/sdf"),
            (3, "/dev/sdg"),
            (4, "/dev/sdh"),
        ]);
        let said = trace(&[
            mount("/", "xvda1", false),
            mount("/var/lib/mysql", "xvdf", true),
            mount("/mnt/copy", "xvdg", true),
        ]);
        facts.take(&said).unwrap();
        facts.covered.push(CoveredMount {
            mount: "/striped".into(),
            fs: "xfs".into(),
            volumes: vec![volume(2), volume(4)],
        });
        facts.engine = Some(Engine {
            name: "mysql".into(),
            version: "8".into(),
            datadir: "/var/lib/mysql/data".into(),
            replica: false,
        });
        facts
    };
    let without = |out: &[u32]| SetPlan {
        left_out: out
            .iter()
            .map(|n| LeftOut {
                volume: volume(*n),
                device: format!("/dev/{n}"),
                is_root: *n == 1,
                by: if *n == 1 {
                    LeftOutBy::Root
                } else {
                    LeftOutBy::Tag
                },
            })
            .collect(),
        ..SetPlan::default()
    };
    let of = |out: &[u32], named: &[String]| facts().with_set(without(out), named);
    let root = of(&[1], &[]).unwrap();
    assert!(root.covers("/var/lib/mysql/data"));
    assert_eq!(
        (root.in_set().count(), root.covered_volumes().len()),
        (3, 3)
    );
    // A copy beside the data is frozen with all else, and covers nothing.
    let copy = of(&[3], &[]).unwrap();
    assert!(copy.covers("/var/lib/mysql/data") && !copy.covers("/mnt/copy/data"));
    assert!(!copy.covered_volumes().contains(&volume(3)));
    for (out, named, words) in [
        (
            &[3][..],
            &["/mnt/copy".to_owned()][..],
            "/mnt/copy is named to be frozen",
        ),
        (
            &[2, 4],
            &[],
            "the data directory /var/lib/mysql/data is on vol-00000002, which is left out",
        ),
        (
            &[4],
            &[],
            "/striped lies on vol-00000004 (by its tag freezeframe:exclude), which is left out of the set, and on vol-00000002",
        ),
    ] {
        let (why, undo) = of(out, named).unwrap_err();
        assert!(why.contains(words), "{why}");
        assert!(
            undo.contains("remove the tag freezeframe:exclude from vol-"),
            "{undo}"
        );
    }
    let mut plain = facts();
    plain.engine = None;
    let (why, _) = plain.with_set(without(&[2, 3, 4]), &[]).unwrap_err();
    assert!(why.contains("all that the recipe freezes"), "{why}");
    // The write-ahead log is as good as the data.
    let mut log = facts();
    log.paths = vec![EnginePath {
        what: "binlog".into(),
        path: "/mnt/copy/binlog".into(),
    }];
    let (why, _) = log.with_set(without(&[3]), &[]).unwrap_err();
    assert!(
        why.contains("the binlog directory /mnt/copy/binlog"),
        "{why}"
    );
}
