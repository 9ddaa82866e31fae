//! Properties 10 and 11: every combination of evidence against an oracle that knows nothing of the code.

use super::*;
use crate::domain::machine::{AttachedVolume, CoveredMount, Engine};
use crate::domain::trace::parse;

const NAMES: [&str; 8] = [
    "failsafe-armed",
    "lock-held",
    "frozen",
    "one-call",
    "within-window",
    "lock-answered",
    "own-thaw",
    "failsafe-quiet",
];

/// The oracle. Bit `i` of `held` stands for `NAMES[i]`.
fn oracle(held: u16, database: bool, datadir_covered: bool) -> Level {
    let holds = |name: &str| {
        NAMES
            .iter()
            .position(|n| *n == name)
            .is_some_and(|i| held & (1 << i) != 0)
    };
    let freeze = [
        "failsafe-armed",
        "frozen",
        "one-call",
        "within-window",
        "own-thaw",
        "failsafe-quiet",
    ];
    if !freeze.into_iter().all(holds) {
        return Level::Crash;
    }
    // A lock session cannot have answered that was never there.
    if database && datadir_covered && holds("lock-held") && holds("lock-answered") {
        return Level::Application;
    }
    Level::Filesystem
}

fn ff1(lines: &[(u32, String)]) -> Trace {
    parse(
        &lines
            .iter()
            .map(|(seq, l)| {
                let (t, rest) = l.split_once(' ').unwrap_or((l, ""));
                let comma = if rest.is_empty() { "" } else { "," };
                format!("FF1 {{\"t\":\"{t}\",\"seq\":{seq},\"ms\":{seq}{comma}{rest}}}\n")
            })
            .collect::<String>(),
    )
}

/// The world in which exactly those links hold, and what is judged there: data, log, root.
fn world(held: u16, database: bool, datadir: &str) -> (EvidenceReport, Vec<Judged>) {
    let holds = |name: &str| {
        NAMES
            .iter()
            .position(|n| *n == name)
            .is_some_and(|i| held & (1 << i) != 0)
    };
    let hello = |c: &str| format!(r#"hello "recipe":"r","version":1,"job":"j","command":"{c}""#);
    let mut pre = vec![hello("pre-script")];
    let mut post = vec![hello("post-script")];
    let when = |list: &mut Vec<String>, yes: bool, line: &str| {
        if yes {
            list.push(line.to_owned());
        }
    };
    when(
        &mut pre,
        holds("failsafe-armed"),
        r#"armed "budget_ms":1,"guard_pid":2,"holder_pid":3"#,
    );
    when(
        &mut pre,
        database && holds("lock-held"),
        r#"locked "session":7,"how":"ftwrl","tries":1"#,
    );
    when(&mut pre, true, r#"frozen "mount":"/data","took_ms":1"#);
    when(&mut pre, true, r#"frozen "mount":"/log","took_ms":1"#);
    when(&mut pre, holds("frozen"), "ready");
    when(&mut post, holds("within-window"), "release");
    when(
        &mut post,
        database && holds("lock-answered"),
        r#"alive "session":7"#,
    );
    when(&mut post, true, r#"thawed "mount":"/log","ok":true"#);
    let own = holds("own-thaw");
    when(
        &mut post,
        true,
        &format!(r#"thawed "mount":"/data","ok":{own}"#),
    );
    let fired = !holds("failsafe-quiet");
    when(&mut post, true, &format!(r#"disarmed "fired":{fired}"#));
    let number = |list: Vec<String>, from: u32| {
        ff1(&list
            .into_iter()
            .enumerate()
            .map(|(i, l)| (from + i as u32, l))
            .collect::<Vec<_>>())
    };
    let told = |trace| Told {
        command: CommandId::from_api("c"),
        succeeded: true,
        trace,
    };
    let (pre, post) = (told(number(pre, 1)), told(number(post, 100)));
    let volume = |v: &str| VolumeId::from_api(v);
    let mount = |at: &str, v: &str| CoveredMount {
        mount: at.into(),
        fs: "xfs".into(),
        volumes: vec![volume(v)],
    };
    let preflight = PreflightFacts {
        covered: vec![mount("/data", "vol-data"), mount("/log", "vol-log")],
        uncovered: Vec::new(),
        volumes: vec![AttachedVolume {
            volume: volume("vol-root"),
            device: "xvda".into(),
            is_root: true,
        }],
        engine: database.then(|| Engine {
            name: "mysql".into(),
            version: "8".into(),
            datadir: datadir.into(),
            replica: false,
        }),
    };
    let snapshots: Vec<CreatedSnapshot> = ["vol-data", "vol-log", "vol-root"]
        .into_iter()
        .filter(|v| *v != "vol-log" || holds("one-call"))
        .map(|v| CreatedSnapshot {
            snapshot: SnapshotId::from_api(v),
            volume: volume(v),
            volume_gib: 1,
        })
        .collect();
    judge(&Facts {
        job: &JobId::from_api("j"),
        preflight: Some(&preflight),
        pre: Some(&pre),
        post: Some(&post),
        call: CallOrder {
            frozen_before_request: true,
            answered: true,
            answered_before_release: true,
        },
        snapshots: &snapshots,
    })
}

#[test]
fn p11_every_combination_agrees_with_the_oracle() {
    for held in 0..256 {
        for (database, datadir) in [
            (false, "/data"),
            (true, "/data/mysql"),
            (true, "/var/lib/mysql"),
        ] {
            let (report, judged) = world(held, database, datadir);
            let wanted = oracle(held, database, datadir.starts_with("/data"));
            for one in &judged {
                let wanted = if one.volume.as_str() == "vol-root" {
                    Level::Crash
                } else {
                    wanted
                };
                assert_eq!(
                    one.level, wanted,
                    "{held:08b} {database} {datadir} {report:?}"
                );
                assert!(!one.reason.is_empty());
                assert_ne!(one.level, Level::Pending);
            }
            let examined: Vec<&str> = report.links.iter().map(|l| l.name.as_str()).collect();
            let expected: Vec<&str> = NAMES
                .into_iter()
                .filter(|n| database || !n.starts_with("lock"))
                .collect();
            assert_eq!(examined, expected);
        }
    }
}

#[test]
fn p10_each_link_broken_alone_drops_the_label() {
    for (i, name) in NAMES.iter().enumerate() {
        let (report, judged) = world(0xff & !(1 << i), true, "/data");
        let broken: Vec<&str> = report
            .links
            .iter()
            .filter(|l| !l.holds)
            .map(|l| l.name.as_str())
            .collect();
        assert!(broken.contains(name), "{name}: {broken:?}");
        let wanted = if name.starts_with("lock") {
            Level::Filesystem
        } else {
            Level::Crash
        };
        assert_eq!(judged[0].level, wanted, "{name}");
        assert!(
            judged[0].reason.contains(name),
            "{name}: {}",
            judged[0].reason
        );
        // Only what follows from it falls with it.
        let alone = if *name == "lock-held" { 2 } else { 1 };
        assert_eq!(broken.len(), alone, "{name}: {broken:?}");
    }
    let (report, judged) = world(0xff, true, "/data");
    assert!(report.links.iter().all(|l| l.holds));
    assert_eq!(judged[0].level, Level::Application);
}

/// A good set with one thing changed.
fn changed(
    change: impl FnOnce(&mut PreflightFacts, &mut Told, &mut Told, &mut CallOrder),
) -> Level {
    let hello = |c: &str| format!(r#"hello "recipe":"r","version":1,"job":"j","command":"{c}""#);
    let lines = |list: &[&str], from: u32| {
        ff1(&list
            .iter()
            .enumerate()
            .map(|(i, l)| (from + i as u32, (*l).to_owned()))
            .collect::<Vec<_>>())
    };
    let armed = r#"armed "budget_ms":1,"guard_pid":2,"holder_pid":3"#;
    let locked = r#"locked "session":7,"how":"ftwrl","tries":1"#;
    let told = |trace| Told {
        command: CommandId::from_api("c"),
        succeeded: true,
        trace,
    };
    let mut pre = told(lines(
        &[
            &hello("pre-script"),
            armed,
            locked,
            r#"frozen "mount":"/data","took_ms":1"#,
            "ready",
        ],
        1,
    ));
    let mut post = told(lines(
        &[
            &hello("post-script"),
            "release",
            r#"alive "session":7"#,
            r#"thawed "mount":"/data","ok":true"#,
            r#"disarmed "fired":false"#,
        ],
        10,
    ));
    let volume = VolumeId::from_api("vol-data");
    let mut preflight = PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".into(),
            fs: "xfs".into(),
            volumes: vec![volume.clone()],
        }],
        engine: Some(Engine {
            name: "mysql".into(),
            version: "8".into(),
            datadir: "/data".into(),
            replica: false,
        }),
        ..PreflightFacts::default()
    };
    let mut call = CallOrder {
        frozen_before_request: true,
        answered: true,
        answered_before_release: true,
    };
    change(&mut preflight, &mut pre, &mut post, &mut call);
    let made = [CreatedSnapshot {
        snapshot: SnapshotId::from_api("s"),
        volume,
        volume_gib: 1,
    }];
    judge(&Facts {
        job: &JobId::from_api("j"),
        preflight: Some(&preflight),
        pre: Some(&pre),
        post: Some(&post),
        call,
        snapshots: &made,
    })
    .1[0]
        .level
}

#[test]
fn each_side_of_the_window_counts() {
    assert_eq!(changed(|_, _, _, _| {}), Level::Application);
    assert_eq!(
        changed(|_, _, _, c| c.frozen_before_request = false),
        Level::Crash
    );
    assert_eq!(changed(|_, _, _, c| c.answered = false), Level::Crash);
    assert_eq!(
        changed(|_, _, _, c| c.answered_before_release = false),
        Level::Crash
    );
    assert_eq!(changed(|_, pre, _, _| pre.succeeded = false), Level::Crash);
    assert_eq!(
        changed(|_, pre, _, _| pre.trace.disorder = Some("seq".into())),
        Level::Crash
    );
    assert_eq!(
        changed(|_, _, post, _| post.trace.lines.swap(2, 3)),
        Level::Crash,
        "answered after the thaw"
    );
    // Another session than the one that locked.
    assert_eq!(
        changed(|_, _, post, _| post.trace.lines[2].said = Said::Alive {
            session: "8".into()
        }),
        Level::Filesystem
    );
}

#[test]
fn a_volume_that_carries_something_unfrozen_is_a_crash() {
    let level = changed(|facts, _, _, _| {
        facts
            .uncovered
            .push(crate::domain::machine::UncoveredMount {
                mount: "/other".into(),
                reason: "left out".into(),
                volumes: vec![VolumeId::from_api("vol-data")],
            });
    });
    assert_eq!(level, Level::Crash);
}

#[test]
fn a_member_missing_from_a_filesystem_of_several_volumes_is_a_crash() {
    let level = changed(|facts, _, _, _| {
        facts.covered[0]
            .volumes
            .push(VolumeId::from_api("vol-second"))
    });
    assert_eq!(level, Level::Crash);
}

#[test]
fn nothing_known_proves_nothing() {
    let made = [CreatedSnapshot {
        snapshot: SnapshotId::from_api("s"),
        volume: VolumeId::from_api("v"),
        volume_gib: 1,
    }];
    let (report, judged) = judge(&Facts {
        job: &JobId::from_api("j"),
        preflight: None,
        pre: None,
        post: None,
        call: CallOrder::default(),
        snapshots: &made,
    });
    assert_eq!(judged[0].level, Level::Crash);
    assert!(report.links.iter().all(|l| !l.holds));
}

/// What pre-script finds must be what preflight found, else the label would be on other data.
#[test]
fn p10_a_mount_that_moved_between_preflight_and_freeze_breaks_the_chain() {
    let volume = |id: &str| VolumeId::from_api(id);
    let preflight = PreflightFacts {
        covered: vec![CoveredMount {
            mount: "/data".to_owned(),
            fs: "xfs".to_owned(),
            volumes: vec![volume("vol-0000000a")],
        }],
        ..PreflightFacts::default()
    };
    let mount = |at: &str, on: &str, covered: bool, reason: &str| {
        let line = format!(
            r#"mount "mount":"{at}","fs":"xfs","dev":"/dev/x","volumes":["{on}"],"covered":{covered},"reason":"{reason}""#
        );
        ff1(&[(1, line)])
    };
    let same = |trace: &Trace| {
        assert!(trace.malformed.is_empty(), "{trace:?}");
        same_volumes(&preflight, trace)
    };
    assert!(same(&mount("/data", "vol-0000000a", true, "")).is_ok());
    assert!(
        same(&mount("/data", "vol-0000000b", true, "")).is_err(),
        "moved"
    );
    assert!(
        same(&mount("/data", "vol-0000000a", false, "read-only")).is_err(),
        "not frozen any more"
    );
    assert!(
        same(&mount("/new", "vol-0000000a", true, "")).is_err(),
        "was not there"
    );
    assert!(
        same(&mount("/part2", "vol-0000000a", false, "not asked for")).is_err(),
        "a new neighbour"
    );
    assert!(same(&mount("/bind", "vol-0000000a", false, SAME_FILESYSTEM)).is_ok());
    assert!(same(&mount("/else", "vol-0000000f", false, "not asked for")).is_ok());
}
