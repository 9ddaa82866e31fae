use chrono::DateTime;

use super::*;
use crate::ids::Scope;
use crate::level::Origin;
use crate::tags::Tags;

const JOB: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";

fn scope() -> Scope {
    serde_json::from_value(
        serde_json::json!({ "account": "111122223333", "region": "eu-central-1" }),
    )
    .unwrap()
}

fn snapshot(n: u8, level: &str) -> Snapshot {
    let id = format!("snap-0b00000000000000{n}");
    let tags: Tags = [
        (tags::JOB, JOB),
        (tags::LEVEL, level),
        (tags::DEVICE, "/dev/sdf"),
        (tags::FROZEN_MS, "12"),
        (tags::SET_SIZE, "1"),
        (tags::SNAPSHOT, &id),
    ]
    .into_iter()
    .collect();
    Snapshot {
        scope: scope(),
        id: SnapshotId::from_api(&id),
        volume: VolumeId::from_api(format!("vol-0b00000000000000{n}")),
        state: "completed".into(),
        progress: Some(100),
        started: DateTime::UNIX_EPOCH,
        completed: None,
        volume_gib: 8,
        full_bytes: None,
        encrypted: true,
        tier: "standard".into(),
        description: String::new(),
        origin: Origin::Freezeframe,
        tags,
    }
}

fn job(levels: &[(u8, &str)], links: &[(&str, bool)]) -> JobView {
    let set: Vec<_> = levels
        .iter()
        .map(|(n, level)| {
            serde_json::json!({
                "snapshot": format!("snap-0b00000000000000{n}"), "volume": format!("vol-0b00000000000000{n}"),
                "device": "/dev/sdf", "level": level, "reason": "judged so", "progress": 100, "volume_gib": 8,
            })
        })
        .collect();
    let links: Vec<_> = links
        .iter()
        .map(|(name, holds)| serde_json::json!({ "name": name, "holds": holds, "seen": "seen" }))
        .collect();
    serde_json::from_value(serde_json::json!({
        "job": JOB, "run": JOB, "account": "111122223333", "region": "eu-central-1",
        "instance": "i-0123456789abcdef0", "instance_name": "db-1", "recipe": "linux-mysql",
        "document": "freezeframe-linux-mysql", "mode": "coordinated", "budget_s": 30, "on_failure": "skip",
        "mounts": [], "namespace": "n", "phase": "done", "verdict": "application", "thaw_unconfirmed": false,
        "phases": [], "frozen_since": null, "freeze_window_ms": 12, "set": set,
        "evidence": { "links": links, "frozen_mounts": ["/data"], "pre_command": "a", "post_command": "b",
                      "window_ms": 12, "failsafe_fired": false },
        "error": null,
    }))
    .unwrap()
}

fn claimed(tag: &str, job: Option<&JobView>) -> (Level, String) {
    let rows = [snapshot(1, tag)];
    let sets = super::super::set::group(&rows);
    let members = members(&sets[0], &rows, job);
    assert_eq!(members.len(), 1);
    assert_eq!(level(&members), members[0].level);
    (members[0].level, members[0].reason.clone())
}

#[test]
fn the_lower_of_tag_and_journal_stands_and_says_so() {
    let levels = ["pending", "crash", "filesystem", "application"];
    for tag in levels {
        for seen in levels {
            let job = job(&[(1, seen)], &[]);
            let (level, reason) = claimed(tag, Some(&job));
            let lower = tag
                .parse::<Level>()
                .unwrap()
                .min(seen.parse::<Level>().unwrap());
            assert_eq!(level, lower, "{tag} {seen}");
            assert_eq!(reason.contains("its tag says"), tag != seen, "{reason}");
        }
        let (level, reason) = claimed(tag, None);
        assert_eq!(level.to_string(), tag);
        assert!(reason.contains("not on this machine"), "{reason}");
    }
}

#[test]
fn p11_a_level_without_the_marks_that_come_with_it_is_only_claimed() {
    for missing in [tags::FROZEN_MS, tags::SET_SIZE, tags::SNAPSHOT] {
        for tag in ["pending", "crash", "filesystem", "application"] {
            let mut rows = [snapshot(1, tag)];
            rows[0].tags.0.remove(missing);
            let sets = super::super::set::group(&rows);
            let members = members(&sets[0], &rows, None);
            let bare = ["filesystem", "application"].contains(&tag);
            let shown = if bare { "crash" } else { tag };
            assert_eq!(members[0].level.to_string(), shown, "{tag} {missing}");
            assert_eq!(sets[0].level.to_string(), shown, "{tag} {missing}");
            let reason = &members[0].reason;
            assert_eq!(
                reason.contains("claimed by tag, no evidence"),
                bare,
                "{reason}"
            );
            let told = sentences_by_tag(&sets[0]);
            assert_eq!(told[0].tone == Tone::Broken, bare, "{told:?}");
            // The journal is the evidence, whoever took the marks away.
            let job = job(&[(1, tag)], &[]);
            let known = super::members(&sets[0], &rows, Some(&job));
            assert_eq!(known[0].level.to_string(), tag);
        }
    }
}

#[test]
fn a_snapshot_that_the_journal_does_not_name_proves_nothing() {
    // A copy keeps its tags, and tags can be written by anybody.
    let (level, reason) = claimed("application", Some(&job(&[(2, "application")], &[])));
    assert_eq!(level, Level::Crash);
    assert!(reason.contains("none of the snapshots"), "{reason}");
    assert_eq!(claimed("pending", Some(&job(&[], &[]))).0, Level::Pending);
}

#[test]
fn what_broke_comes_first_then_every_link_in_order() {
    let links = [
        ("failsafe-armed", true),
        ("frozen", true),
        ("within-window", false),
        ("own-thaw", true),
    ];
    let account = sentences(&job(&[(1, "crash")], &links));
    assert_eq!(account[0].tone, Tone::Broken);
    assert!(
        account[0].text.contains("broke at within-window"),
        "{account:?}"
    );
    for (n, (name, holds)) in links.iter().enumerate() {
        let sentence = &account[n + 1];
        assert!(
            sentence.text.starts_with(&format!("{}. ", n + 1)),
            "{sentence:?}"
        );
        assert!(sentence.text.contains(name), "{sentence:?}");
        assert_eq!(
            sentence.tone,
            if *holds { Tone::Held } else { Tone::Broken }
        );
    }
    assert!(account.iter().any(|s| s.text.contains("12 ms")));
}

#[test]
fn a_whole_chain_names_nothing_broken_and_an_empty_one_claims_nothing() {
    let whole = sentences(&job(
        &[(1, "filesystem")],
        &[("frozen", true), ("new-link", true)],
    ));
    assert!(whole.iter().all(|s| s.tone != Tone::Broken), "{whole:?}");
    assert!(whole.iter().any(|s| s.text == "2. new-link held: seen."));
    let mut noted = job(&[], &[]);
    noted.evidence.notes = vec!["no position of the source: Access denied".into()];
    assert!(sentences(&noted).iter().any(|said| said.tone == Tone::Plain
        && said.text == "Noted on the instance: no position of the source: Access denied."));
    let none = sentences(&job(&[], &[]));
    assert!(none[0].text.contains("No evidence"), "{none:?}");
    assert_eq!(none[0].tone, Tone::Broken);
}

#[test]
fn positions_come_from_the_journal_else_from_the_tags_and_files_are_pointed_at() {
    let mut rows = [snapshot(1, "application")];
    rows[0]
        .tags
        .set(format!("{}binlog", tags::POSITION), "bin.000003:154");
    let sets = super::super::set::group(&rows);
    let by_tag = for_restore(&sets[0], &rows, None);
    assert_eq!(by_tag.len(), 1);
    assert!(by_tag[0].contains("binlog bin.000003:154"), "{by_tag:?}");
    // Nobody judged it, or it is worth less: a volume that was restored with the tags of another set lent them.
    for level in ["pending", "crash", "filesystem"] {
        let mut lent = rows.clone();
        lent[0].tags.set(tags::LEVEL, level);
        assert!(for_restore(&sets[0], &lent, None).is_empty(), "{level}");
    }
    let mut job = job(&[(1, "application")], &[]);
    assert!(for_restore(&sets[0], &rows, Some(&job)).is_empty());
    job.evidence
        .positions
        .insert("lsn".to_owned(), "0/16B3748".to_owned());
    job.evidence.files = serde_json::from_value(serde_json::json!([
        { "name": "backup_label", "text": "START" },
        { "name": "tablespace_map", "text": "" },
    ]))
    .unwrap();
    let kept = for_restore(&sets[0], &rows, Some(&job));
    assert!(kept[0].contains("lsn 0/16B3748"), "{kept:?}");
    assert!(
        kept[1].contains("backup_label and tablespace_map belong to"),
        "{kept:?}"
    );
}

#[test]
fn the_failure_itself_is_told() {
    let mut job = job(&[(1, "crash")], &[("failsafe-armed", false)]);
    job.error = Some(crate::problem::Problem::new(
        crate::problem::Kind::Script,
        "freeze",
        "the lock was not had",
        "try again",
    ));
    let told = sentences(&job);
    assert!(told[0].text.contains("broke at failsafe-armed"));
    assert!(told[1].text.contains("the lock was not had"), "{told:?}");
}

#[test]
fn somebody_elses_document_is_named_as_such() {
    let mut job = job(&[], &[("failsafe-armed", false)]);
    job.spec.third_party = true;
    assert!(sentences(&job)[0].text.contains("not freezeframe's"));
}

#[test]
fn a_failsafe_that_fired_is_not_said_to_have_been_spared() {
    let mut job = job(&[], &[("failsafe-quiet", false)]);
    job.evidence.window_ms = Some(29_750);
    let window = |job: &JobView| {
        let all = sentences(job).into_iter().map(|s| s.text);
        all.filter(|text| text.contains("29750 ms"))
            .collect::<String>()
    };
    assert!(window(&job).contains("would have thawed after"));
    job.evidence.failsafe_fired = true;
    let fired = window(&job);
    assert!(
        fired.contains("the failsafe ended that") && !fired.contains("would have"),
        "{fired}"
    );
    // Somebody else's document has no failsafe of ours.
    job.evidence.failsafe_fired = false;
    job.spec.third_party = true;
    assert!(!window(&job).contains("failsafe"), "{}", window(&job));
}
