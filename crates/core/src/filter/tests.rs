//! What matches, and what is refused.

use super::*;
use crate::ids::{AccountId, Region, Scope, SnapshotId, VolumeId};
use crate::level::Origin;

fn snapshot(tags: &[(&str, &str)]) -> Snapshot {
    Snapshot {
        scope: Scope {
            account: AccountId::from_api("123456789012"),
            region: Region::from_api("eu-central-1"),
        },
        id: SnapshotId::from_api("snap-0123456789abcdef0"),
        volume: VolumeId::from_api("vol-0fedcba9876543210"),
        state: "completed".into(),
        progress: Some(100),
        started: chrono::DateTime::UNIX_EPOCH,
        completed: None,
        volume_gib: 8,
        full_bytes: None,
        encrypted: false,
        tier: "standard".into(),
        description: String::new(),
        origin: Origin::Manual,
        tags: tags.iter().copied().collect(),
    }
}

fn found(text: &str, row: &Snapshot) -> bool {
    let filter = Filter::parse(text, RowKind::Snapshots);
    filter.unwrap().matches_snapshot(row, Some("shop-db-1"))
}

#[test]
fn terms() {
    let row = snapshot(&[
        ("Name", "orders database"),
        ("Env", "prod"),
        ("a=b", "c!=d"),
        ("freezeframe:job", "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10"),
        ("freezeframe:instance", "i-0123456789abcdef1"),
        ("freezeframe:level", "application"),
        ("freezeframe:frozen-ms", "12"),
        ("freezeframe:set-size", "1"),
        ("freezeframe:snapshot", "snap-0123456789abcdef0"),
    ]);
    for (text, expected) in [
        ("", true),
        ("   ", true),
        ("tag:Env=prod", true),
        ("tag:Env=p*", true),
        ("tag:Env=Prod", false),
        ("tag:Env", true),
        ("tag:Env!=prod", false),
        ("tag:Env!=dev", true),
        ("!tag:Env!=prod", true),
        // A row without the tag does not have that value either.
        ("tag:Missing!=prod", true),
        ("tag:Missing", false),
        ("!tag:Missing", true),
        ("tag:\"a=b\"=\"c!=d\"", true),
        ("state=completed level=application", true),
        ("state=completed level=crash", false),
        ("state!=completed", false),
        ("state!=pending", true),
        ("!state=completed", false),
        ("state=COMP*", true),
        ("origin=manual", true),
        ("name=\"orders database\"", true),
        ("name=\"orders  database\"", false),
        ("name=orders*", true),
        ("name=\"orders*\"", false),
        ("instance=shop-db-1", true),
        ("instance=shop-*", true),
        ("instance=i-0123456789abcdef1", true),
        ("instance=web", false),
        ("ordb", true),
        ("xyz", false),
        ("!xyz", true),
        ("89abc", true),
        ("snap-0123 vol-0fed", true),
        // A plain word finds what the list shows: state, level, whose it is.
        ("completed application", true),
        ("shop-db", true),
        // A star makes it whole: from the beginning to the end of a value.
        ("shop-*", true),
        ("orders*", true),
        ("*database", true),
        ("rders*", false),
        ("!orders*", false),
        ("snap-*", true),
        ("prod*", true),
        // Letters in order, but no part of an id.
        ("0af", false),
        ("\"!xyz\"", false),
        ("!\"orders data\"", false),
        ("\"orders data\"", true),
    ] {
        assert_eq!(found(text, &row), expected, "{text}");
    }
}

#[test]
fn mistakes_have_a_place_and_a_mend() {
    let wrong = |text: &str, kind| Filter::parse(text, kind).unwrap_err();
    let error = wrong("web stat=running", RowKind::Instances);
    assert!(
        error.cause.contains("character 5") && error.cause.contains("`stat`"),
        "{error}"
    );
    assert!(
        error.hint.starts_with("did you mean state? known: name") && error.hint.contains("tag:KEY"),
        "{}",
        error.hint
    );
    let quote = wrong("a \"b", RowKind::Sets);
    assert!(quote.cause.contains("character 3"), "{quote}");
    for text in [
        "!",
        "tag:=x",
        "tag:!=x",
        "state==running",
        "tag:a==b",
        "state=!running",
        "tag:a=!b",
        "name:web",
        "name~web",
        "!name:web",
        "state<running",
        "name!web",
        "name='web'",
        "'web",
        "web OR db",
        "web AND db",
        "a || b",
        "tag:E*=x",
        "az=eu-central-1",
        "\"\"",
        "*",
        "!*",
        "**",
        "name=",
        "name!=",
        "!name=",
    ] {
        let error = Filter::parse(text, RowKind::Instances).unwrap_err();
        assert!(error.cause.contains("at character"), "{text}: {error}");
        assert!(!error.hint.is_empty(), "{text}");
    }
    // The same as plain text, and what only looks alike.
    for text in [
        "\"OR\"",
        "or",
        "\"name:web\"",
        "names:web",
        "\"'web'\"",
        "o'brien",
        "name=o'brien",
        "tag:\"E*\"=x",
        "az=eu-central-1*",
        "az=eu-central-1a",
        "tag:Env=",
        "name=*",
        "state=\"hibernating\"",
        "a*b",
        "rate-10%",
        "name:",
    ] {
        let read = Filter::parse(text, RowKind::Instances);
        assert!(read.is_ok(), "{text}: {read:?}");
    }
    let hostile = wrong("\u{1b}[2J=x", RowKind::Jobs).to_string();
    assert!(!hostile.contains('\u{1b}'), "{hostile}");
}

#[test]
fn a_key_that_the_rows_do_not_have_and_a_word_that_no_row_has_are_refused() {
    for (text, kind, cause) in [
        ("az=eu*", RowKind::Snapshots, "snapshots have no key `az`"),
        (
            "origin=dlm",
            RowKind::Volumes,
            "volumes have no key `origin`",
        ),
        (
            "verdict=failed",
            RowKind::Sets,
            "sets have no key `verdict`",
        ),
        (
            "level=aplication",
            RowKind::Instances,
            "no level of instances is `aplication`",
        ),
        (
            "verdict=fail",
            RowKind::Jobs,
            "no verdict of jobs is `fail`",
        ),
        ("state=runing", RowKind::Instances, "no state of instances"),
        ("!state=restorabel", RowKind::Sets, "no state of sets"),
        ("state=don", RowKind::Jobs, "no state of jobs"),
        ("state=finish", RowKind::Records, "no state of records"),
        ("state!=in_use", RowKind::Volumes, "no state of volumes"),
        ("agent!=onlin", RowKind::Sets, "no agent of sets"),
        ("platform=linx", RowKind::Instances, "no platform of"),
        ("tier=archived", RowKind::Snapshots, "no tier of"),
        ("origin=backup", RowKind::Snapshots, "no origin of"),
        ("mode=auto", RowKind::Jobs, "no mode of jobs"),
    ] {
        let error = Filter::parse(text, kind).unwrap_err();
        assert!(error.cause.contains(cause), "{text}: {error}");
        assert!(error.hint.contains("known: "), "{text}: {error}");
    }
    let near = Filter::parse("level=aplication", RowKind::Sets).unwrap_err();
    assert!(near.hint.contains("did you mean application?"), "{near}");
    assert!(Filter::parse("level=app* level!=crash", RowKind::Jobs).is_ok());
}

#[test]
fn the_levels_of_instances_and_volumes_are_those_of_their_newest_sets() {
    let instance: Instance = serde_json::from_value(serde_json::json!({
        "account": "123456789012", "region": "eu-central-1", "id": "i-0123456789abcdef1", "state": "running",
        "platform": "linux", "platform_details": "Linux/UNIX", "instance_type": "m7i.large", "zone": "eu-central-1a",
        "agent": {"status": "unknown"}, "root_device": "/dev/xvda", "devices": [], "tags": {"Name": "web"}, "launched": null,
    }))
    .unwrap();
    let hit = |text: &str, level| {
        Filter::parse(text, RowKind::Instances)
            .unwrap()
            .matches_instance(&instance, level)
    };
    assert!(hit("level=application", Some(Level::Application)));
    assert!(!hit("level=application", None));
    assert!(hit("level=never", None));
    assert!(hit("never", None) && hit("running linux", None));
    assert!(!hit("level=never", Some(Level::Crash)));
    assert!(hit("tag:Name=web", None) && !hit("tag:Name=db", None) && !hit("tag:Env", None));
    let asks = |text: &str| {
        Filter::parse(text, RowKind::Instances)
            .unwrap()
            .asks_for(Key::Level)
    };
    assert!(asks("level=crash") && asks("never") && asks("a*"));
    assert!(!asks("state=running tag:Env=prod") && !asks(""));
    let tags = |text: &str| {
        Filter::parse(text, RowKind::Instances)
            .unwrap()
            .asks_for_tags()
    };
    assert!(tags("tag:Env=prod") && tags("a*") && tags("never"));
    assert!(!tags("state=running level=crash") && !tags(""));
}

#[test]
fn jobs_are_found_by_state_verdict_and_by_their_instances_tags() {
    use crate::job::{Phase, Verdict, sample};
    let mut view = sample::view("0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10", Phase::Done);
    view.verdict = Some(Verdict::Failed);
    let by_id = |text: &str| {
        Filter::parse(text, RowKind::Jobs)
            .unwrap()
            .matches_job(&view, "done", OfInstance::of(None))
    };
    assert!(by_id("id=0b3c8a52*") && !by_id("id=1*"));
    let tags: Tags = [("Env", "prod")].into_iter().collect();
    let of = OfInstance {
        name: Some("db"),
        tags: Some(&tags),
        there: None,
    };
    for (text, expected) in [
        ("failed", true),
        ("verdict=failed state=done", true),
        ("!failed", false),
        ("verdict=application", false),
        ("tag:Env=prod", true),
        ("tag:Env!=prod", false),
        ("instance=db name=db", true),
        ("mode=coordinated", true),
        ("d*", true),
    ] {
        let filter = Filter::parse(text, RowKind::Jobs).unwrap();
        assert_eq!(filter.matches_job(&view, "done", of), expected, "{text}");
    }
}

#[test]
fn wildcards() {
    for (pattern, text, expected) in [
        ("a*c", "abc", true),
        ("a*c", "abcd", false),
        ("*b*", "abc", true),
        ("a**c", "ac", true),
        ("*ab", "aab", true),
        ("é*", "été", true),
        ("*", "x", true),
    ] {
        let row = snapshot(&[("K", text)]);
        assert_eq!(
            found(&format!("tag:K={pattern}"), &row),
            expected,
            "{pattern} {text}"
        );
    }
}

/// docs/filters.md names every key of every kind of row.
#[test]
fn the_page_about_filters_names_every_key() {
    use strum::IntoEnumIterator as _;
    let page = include_str!("../../../../docs/filters.md");
    for kind in RowKind::iter() {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("| {kind} |")))
            .unwrap_or_else(|| panic!("no row for {kind}"));
        let keys: Vec<String> = kind.keys().iter().map(|key| format!("`{key}`")).collect();
        assert!(line.contains(&keys.join(" ")), "{line}");
    }
}

proptest::proptest! {
    #[test]
    fn total(text in "\\PC*") {
        use strum::IntoEnumIterator as _;
        for kind in RowKind::iter() {
            let _ = Filter::parse(&text, kind);
        }
        if let Ok(filter) = Filter::parse(&text, RowKind::Snapshots) {
            filter.matches_snapshot(&snapshot(&[("Name", "x")]), None);
        }
    }

    #[test]
    fn a_negated_term_is_the_opposite(
        key in proptest::sample::select(vec!["", "tag:Name", "tag:Env", "name", "instance", "id"]),
        word in "[a-z0-9-][a-z0-9*-]{0,5}",
    ) {
        let row = snapshot(&[("Name", "orders database")]);
        let (is, is_not) = if key.is_empty() {
            (word.clone(), format!("!{word}"))
        } else {
            (format!("{key}={word}"), format!("{key}!={word}"))
        };
        proptest::prop_assert_ne!(found(&is, &row), found(&is_not, &row));
        if !key.is_empty() {
            proptest::prop_assert_eq!(found(&is_not, &row), found(&format!("!{is}"), &row));
        }
    }
}
