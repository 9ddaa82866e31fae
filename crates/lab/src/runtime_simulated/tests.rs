use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::test_support::{WORLD, base};
use crate::{Fault, FaultKind, Lab, LabOptions, WorldSpec};

const INSTANCE: &str = "i-0000000000000000a";
const DATA: &str = "vol-00000000000000002";

async fn lab(world: &str) -> (Lab, Arc<SimulatedRuntime>) {
    let clock = Clock::virtual_from(base());
    let runtime = Arc::new(SimulatedRuntime::new(clock.clone(), 5));
    let lab = Lab::start(LabOptions {
        world: WorldSpec::parse(world).unwrap(),
        seed: 5,
        clock,
        runtime: runtime.clone(),
        throttling: false,
        account: "123456789012".into(),
        region: "eu-central-1".into(),
    })
    .await
    .unwrap();
    (lab, runtime)
}

fn invocation(command: &str, more: &[(&str, &str)]) -> Invocation {
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let own = [
        ("executionId", "11111111-2222-4333-8444-555555555555"),
        ("command", command),
        ("mode", "autonomous"),
        ("budgetSeconds", "10"),
        ("mounts", "auto"),
    ];
    for (name, value) in own.iter().chain(more) {
        parameters.insert((*name).to_owned(), vec![(*value).to_owned()]);
    }
    // Each call is a command of its own.
    static COMMANDS: AtomicU32 = AtomicU32::new(0);
    let number = COMMANDS.fetch_add(1, Ordering::Relaxed);
    Invocation {
        command_id: format!("c-{command}-{number}"),
        again: false,
        instance: INSTANCE.into(),
        document: "freezeframe-linux-mysql".into(),
        parameters,
        script: String::new(),
        execution_timeout: Duration::from_secs(60),
    }
}

/// Exit code and events of a command.
async fn play(runtime: &SimulatedRuntime, invocation: Invocation) -> (i32, Vec<Value>) {
    let end = runtime.run(invocation).await;
    let lines = end.stdout.lines().filter_map(|l| l.strip_prefix("FF1 "));
    (
        end.exit_code,
        lines.map(|l| serde_json::from_str(l).unwrap()).collect(),
    )
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|e| e["t"].as_str()).collect()
}

fn fault(lab: &Lab, kind: FaultKind) {
    lab.faults().inject(Fault {
        action: "CreateSnapshots".into(),
        skip: 0,
        times: 1,
        kind,
    });
}

#[tokio::test(start_paused = true)]
async fn one_command_freezes_makes_the_set_and_thaws() {
    let (lab, runtime) = lab(WORLD).await;
    let (exit, events) = play(&runtime, invocation("snapshot", &[])).await;
    assert_eq!(exit, 0, "{events:?}");
    let expected = "hello mount mount engine armed flushed locked synced prepared frozen ready request answer snapshot \
        snapshot release alive thawed unlocked disarmed probe window end";
    assert_eq!(names(&events).join(" "), expected);
    let world = lab.world();
    assert_eq!(world.snapshots.len(), 2);
    for snapshot in world.snapshots.values() {
        assert_eq!(snapshot.tags["freezeframe:level"], "pending");
        assert_eq!(snapshot.tags["freezeframe:instance"], INSTANCE);
        let frozen = snapshot.volume == DATA;
        assert_eq!(runtime.was_frozen(&snapshot.id), Some(frozen));
    }
    drop(world);
    let calls = lab.calls();
    assert_eq!(calls.len(), 1, "sent once: {calls:?}");
    let whats: Vec<What> = runtime
        .history(INSTANCE)
        .into_iter()
        .map(|h| h.what)
        .collect();
    assert!(
        matches!(
            whats.as_slice(),
            [
                What::Armed { .. },
                What::Locked { .. },
                What::Frozen { .. },
                What::Thawed { by: By::Holder, .. },
                What::Unlocked { by: By::Holder }
            ]
        ),
        "{whats:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_root_is_frozen_last_and_thawed_first_and_only_when_asked() {
    let (_lab, runtime) = lab(WORLD).await;
    let (exit, events) = play(&runtime, invocation("snapshot", &[("freezeRoot", "yes")])).await;
    assert_eq!(exit, 0, "{events:?}");
    let mounts = |t: &str| -> Vec<String> {
        let of = events.iter().filter(|e| e["t"] == t);
        of.map(|e| e["mount"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(mounts("frozen"), ["/data", "/"]);
    assert_eq!(mounts("thawed"), ["/", "/data"]);
    let (exit, events) = play(&runtime, invocation("pre-script", &[("freezeRoot", "yes")])).await;
    assert_eq!(exit, 206);
    assert_eq!(events[1]["code"], "bad-parameter");
}

#[tokio::test(start_paused = true)]
async fn what_the_whole_machine_writes_to_freezes_only_by_name_or_with_the_root() {
    let world = WORLD.replacen("mount = \"/data\"", "mount = \"/var/log/audit\"", 1);
    let covered = |events: &[Value]| -> Vec<String> {
        let of = events
            .iter()
            .filter(|e| e["t"] == "mount" && e["covered"] == true);
        of.map(|e| e["mount"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_lab, runtime) = lab(&world).await;
    let mut dry = with_document("linux-filesystem", "dry-run");
    let (exit, events) = play(&runtime, dry.clone()).await;
    assert_eq!(exit, 206);
    assert!(
        events.iter().any(|e| e["code"] == "no-mounts"),
        "{events:?}"
    );
    assert!(
        events.iter().any(|e| e["reason"]
            == "the system writes to /var/log/audit on it; it freezes only where it is named"),
        "{events:?}"
    );
    let named = vec!["/var/log/audit".to_owned()];
    dry.parameters.insert("mounts".into(), named.clone());
    let (exit, events) = play(&runtime, dry).await;
    assert_eq!((exit, covered(&events)), (0, named));
    let warned =
        "/var/log/audit: the system writes to /var/log/audit on it, and stands still with it";
    assert!(events.iter().any(|e| e["text"] == warned), "{events:?}");
    let (exit, events) = play(&runtime, invocation("dry-run", &[("freezeRoot", "yes")])).await;
    assert_eq!((exit, covered(&events).len()), (0, 2), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_allowed_is_refused_before_anything_is_frozen() {
    for (role, in_dry_run, exit) in [
        ("bare", "snapshot-refused", 201),
        ("none", "no-credentials", 201),
    ] {
        let world = WORLD.replacen("az = \"a\"", &format!("az = \"a\"\nrole = \"{role}\""), 1);
        let (lab, runtime) = lab(&world).await;
        let (code, events) = play(&runtime, invocation("dry-run", &[])).await;
        assert_eq!(code, 206);
        assert!(events.iter().any(|e| e["code"] == in_dry_run), "{events:?}");
        let (code, events) = play(&runtime, invocation("snapshot", &[])).await;
        assert_eq!(code, exit);
        assert!(names(&events).contains(&"disarmed"), "{events:?}");
        assert!(runtime.frozen_mounts(INSTANCE).is_empty());
        assert!(lab.world().snapshots.is_empty());
    }
    let (_lab, runtime) = lab(WORLD).await;
    let (code, events) = play(&runtime, invocation("dry-run", &[])).await;
    assert_eq!(code, 0);
    assert!(names(&events).contains(&"prepared"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_ends_thawed_and_unknown() {
    let (lab, runtime) = lab(WORLD).await;
    fault(&lab, FaultKind::LoseResponse);
    let (code, events) = play(&runtime, invocation("snapshot", &[])).await;
    assert_eq!(code, 201);
    let answer = events.iter().find(|e| e["t"] == "answer").unwrap();
    assert_eq!(
        (answer["ok"].clone(), answer["status"].clone()),
        (Value::from(false), Value::from(0))
    );
    assert!(events.iter().any(|e| e["code"] == "snapshot-unknown"));
    assert_eq!(lab.world().snapshots.len(), 2, "it had happened");
    lab.clock().sleep(Duration::from_secs(60)).await;
    fault(&lab, FaultKind::Delay(Duration::from_secs(30)));
    let (code, events) = play(&runtime, another_job(invocation("snapshot", &[]))).await;
    assert_eq!(code, 201, "given up within the budget: {events:?}");
    let disarmed = events.iter().find(|e| e["t"] == "disarmed").unwrap();
    assert_eq!(disarmed["fired"], false);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_on_the_instance_is_refused_by_ec2() {
    let (lab, runtime) = lab(WORLD).await;
    runtime.skew_clock(INSTANCE, chrono::Duration::hours(1));
    let (code, events) = play(&runtime, invocation("snapshot", &[])).await;
    assert_eq!(code, 201);
    let answer = events.iter().find(|e| e["t"] == "answer").unwrap();
    assert_eq!(answer["code"], "RequestExpired");
    assert!(lab.world().snapshots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn killed_in_the_middle_everything_is_let_go_and_the_request_goes_on() {
    let (lab, runtime) = lab(WORLD).await;
    fault(&lab, FaultKind::Delay(Duration::from_secs(3)));
    let command = invocation("snapshot", &[]);
    let id = command.command_id.clone();
    let running = {
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.run(command).await })
    };
    lab.clock().sleep(Duration::from_secs(2)).await;
    assert_eq!(runtime.frozen_mounts(INSTANCE), ["/data"]);
    runtime.cancel(&id, INSTANCE).await;
    assert!(running.await.unwrap().cancelled);
    assert!(runtime.frozen_mounts(INSTANCE).is_empty());
    lab.clock().sleep(Duration::from_secs(3)).await;
    let taken: Vec<String> = lab.world().snapshots.keys().cloned().collect();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|id| runtime.was_frozen(id) == Some(false)));
}

#[tokio::test(start_paused = true)]
async fn post_script_releases_an_autonomous_job_at_work() {
    let (lab, runtime) = lab(WORLD).await;
    fault(&lab, FaultKind::Delay(Duration::from_secs(5)));
    let running = {
        let runtime = runtime.clone();
        tokio::spawn(async move { play(&runtime, invocation("snapshot", &[])).await })
    };
    lab.clock().sleep(Duration::from_secs(2)).await;
    let (code, events) = play(&runtime, invocation("post-script", &[])).await;
    assert_eq!(code, 0, "{events:?}");
    assert!(runtime.frozen_mounts(INSTANCE).is_empty());
    let (code, events) = running.await.unwrap();
    assert_ne!(code, 0, "{events:?}");
    assert!(!names(&events).contains(&"release"), "{events:?}");
    let (code, _) = play(&runtime, invocation("post-script", &[])).await;
    assert_eq!(code, 205);
}

/// A command of another recipe's document.
fn with_document(recipe: &str, command: &str) -> Invocation {
    let mut invocation = invocation(command, &[]);
    invocation.document = format!("freezeframe-{recipe}");
    invocation
}

/// The small world, its first instance tagged for a recipe.
fn tagged(recipe: &str) -> String {
    let tags = format!("tags = {{ Env = \"prod\", ConsistentSnapshot = \"{recipe}\" }}");
    WORLD.replacen("tags = { Env = \"prod\" }", &tags, 1)
}

#[tokio::test(start_paused = true)]
async fn each_engine_says_what_its_document_says() {
    for (recipe, engine, how, position, before, after) in [
        (
            "linux-postgresql",
            "postgresql",
            "backup-api",
            "lsn",
            "engine path",
            "position file ",
        ),
        (
            "linux-redis",
            "redis",
            "client-pause",
            "replication-offset",
            "engine path",
            "",
        ),
        (
            "linux-mongodb",
            "mongodb",
            "fsync-lock",
            "optime",
            "engine",
            "",
        ),
    ] {
        let (lab, runtime) = lab(&tagged(recipe)).await;
        let (exit, events) = play(&runtime, with_document(recipe, "dry-run")).await;
        assert_eq!(exit, 0, "{events:?}");
        let of = |events: &[Value], t: &str| -> Value {
            events.iter().find(|e| e["t"] == t).unwrap().clone()
        };
        let found = of(&events, "engine");
        assert_eq!(
            (&found["name"], &found["datadir"]),
            (&engine.into(), &"/data".into())
        );
        let (exit, events) = play(&runtime, with_document(recipe, "pre-script")).await;
        assert_eq!(exit, 0, "{events:?}");
        assert_eq!(
            names(&events).join(" "),
            format!(
                "hello mount mount {before} armed flushed locked position synced frozen ready end"
            )
        );
        let locked = of(&events, "locked");
        assert_eq!((&locked["how"], &locked["tries"]), (&how.into(), &1.into()));
        assert_eq!(of(&events, "position")["name"], position);
        let (exit, events) = play(&runtime, with_document(recipe, "post-script")).await;
        assert_eq!(exit, 0, "{events:?}");
        assert_eq!(
            names(&events).join(" "),
            format!("hello release alive thawed {after}unlocked disarmed probe window end")
        );
        assert_eq!(of(&events, "alive")["session"], locked["session"]);
        assert!(runtime.frozen_mounts(INSTANCE).is_empty() && lab.world().snapshots.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn postgresql_hands_out_its_label_after_the_thaw_and_only_of_a_backup_that_held() {
    let (lab, runtime) = lab(&tagged("linux-postgresql")).await;
    let (exit, events) = play(&runtime, with_document("linux-postgresql", "snapshot")).await;
    assert_eq!(exit, 0, "{events:?}");
    let positions: Vec<&Value> = events.iter().filter(|e| e["t"] == "position").collect();
    let [start, stop] = positions.as_slice() else {
        panic!("{positions:?}");
    };
    assert_eq!(
        (&start["name"], &stop["name"]),
        (&"lsn".into(), &"stop-lsn".into())
    );
    let label: String = events
        .iter()
        .filter(|e| e["t"] == "file" && e["name"] == "backup_label")
        .map(|e| e["text"].as_str().unwrap())
        .collect();
    let start = start["value"].as_str().unwrap();
    assert!(
        label.starts_with(&format!("START WAL LOCATION: {start} (file 00000001")),
        "{label}"
    );
    assert!(label.contains("LABEL: freezeframe 11111111-"), "{label}");
    assert!(label.ends_with("START TIMELINE: 1\n"), "{label}");
    fault(&lab, FaultKind::LoseResponse);
    let (exit, events) = play(
        &runtime,
        another_job(with_document("linux-postgresql", "snapshot")),
    )
    .await;
    assert_eq!(exit, 201);
    assert!(!names(&events).contains(&"file"), "{events:?}");
}

fn another_job(mut invocation: Invocation) -> Invocation {
    let job = "22222222-2222-4333-8444-555555555555".to_owned();
    invocation
        .parameters
        .insert("executionId".into(), vec![job]);
    invocation
}

#[tokio::test(start_paused = true)]
async fn a_document_finds_no_server_of_another_engine() {
    let (_lab, runtime) = lab(&tagged("linux-postgresql")).await;
    for command in ["dry-run", "pre-script", "snapshot"] {
        let (exit, events) = play(&runtime, with_document("linux-mysql", command)).await;
        assert_eq!(exit, 206, "{events:?}");
        let error = events.iter().find(|e| e["t"] == "error").unwrap();
        assert_eq!(error["code"], "db-unreachable");
        assert!(!names(&events).contains(&"armed"));
    }
    assert!(runtime.history(INSTANCE).is_empty());
    let (exit, _) = play(&runtime, with_document("linux-filesystem", "snapshot")).await;
    assert_eq!(exit, 0, "filesystems freeze whatever writes to them");
}

#[tokio::test(start_paused = true)]
async fn data_outside_the_freeze_is_refused() {
    let second = "mount = \"/data\"\nfs = \"xfs\"\n";
    let more = format!(
        "{second}[[instance.volume]]\ndevice = \"/dev/sdg\"\nsize = 5\nmount = \"/wal\"\nfs = \"xfs\"\n"
    );
    let world = tagged("linux-postgresql").replacen(
        &format!("{second}tags = {{ Content = \"datadir\" }}\n"),
        &more,
        1,
    );
    let (_lab, runtime) = lab(&world).await;
    let mut dry = with_document("linux-postgresql", "dry-run");
    let (exit, events) = play(&runtime, dry.clone()).await;
    assert_eq!(exit, 0);
    assert!(
        events
            .iter()
            .any(|e| e["what"] == "wal" && e["path"] == "/wal"),
        "{events:?}"
    );
    dry.parameters.insert("mounts".into(), vec!["/wal".into()]);
    let (exit, events) = play(&runtime, dry).await;
    assert_eq!(exit, 206);
    assert!(
        events.iter().any(|e| e["code"] == "not-covered"),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_delivery_of_a_job_that_is_over_freezes_nothing() {
    let late = |events: &[Value]| {
        let said: Vec<&Value> = events.iter().skip(1).collect();
        let [error, end] = said.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(
            (&error["t"], &error["code"], &error["text"]),
            (
                &"error".into(),
                &"over".into(),
                &"this job is over on this instance".into()
            )
        );
        assert_eq!(
            (&end["outcome"], &end["exit"]),
            (&"refused".into(), &204.into())
        );
    };
    // Coordinated, autonomous, and a post-script that came before its pre-script.
    for (commands, expected) in [
        (vec!["pre-script", "post-script"], vec![0, 0]),
        (vec!["snapshot"], vec![0]),
        (vec!["post-script"], vec![205]),
    ] {
        let (_lab, runtime) = lab(WORLD).await;
        for (command, expected) in commands.into_iter().zip(expected) {
            let (exit, events) = play(&runtime, invocation(command, &[])).await;
            assert_eq!(exit, expected, "{events:?}");
        }
        let before = runtime.history(INSTANCE);
        for command in ["pre-script", "snapshot"] {
            let (exit, events) = play(&runtime, invocation(command, &[])).await;
            assert_eq!(exit, 204);
            late(&events);
        }
        assert_eq!(runtime.history(INSTANCE), before, "nothing happened");
        let (exit, events) = play(&runtime, another_job(invocation("pre-script", &[]))).await;
        assert_eq!(exit, 0, "another job is none of that: {events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_or_has_no_id_may_be_tried_again_with_another_command() {
    let (_lab, runtime) = lab(WORLD).await;
    let none = [("executionId", "None")];
    for _ in 0..2 {
        for command in ["pre-script", "post-script"] {
            let (exit, events) = play(&runtime, invocation(command, &none)).await;
            assert_eq!(exit, 0, "{events:?}");
        }
    }
    let wrong = invocation("pre-script", &[("mounts", "/nowhere")]);
    let (exit, _) = play(&runtime, wrong.clone()).await;
    assert_eq!(exit, 206);
    let before = runtime.history(INSTANCE);
    let mut again = invocation("pre-script", &[]);
    again.command_id = wrong.command_id;
    again.again = true;
    let (exit, events) = play(&runtime, again).await;
    assert_eq!((exit, &events[1]["code"]), (204, &"repeated".into()));
    assert_eq!(runtime.history(INSTANCE), before, "nothing happened");
    let (exit, _) = play(&runtime, invocation("pre-script", &[])).await;
    assert_eq!(exit, 0);
}

/// Refused because another job was at work, and delivered again when that job is over: the seed 702219.
#[tokio::test(start_paused = true)]
async fn p23_a_command_that_was_refused_freezes_nothing_when_it_is_delivered_again() {
    let (_lab, runtime) = lab(WORLD).await;
    for (n, command) in [(1, "pre-script"), (2, "snapshot")] {
        let other = format!("{n}2345678-2222-4333-8444-555555555555");
        let other = [("executionId", other.as_str())];
        let (exit, _) = play(&runtime, invocation("pre-script", &other)).await;
        assert_eq!(exit, 0);
        let refused = invocation(command, &[]);
        let (exit, events) = play(&runtime, refused.clone()).await;
        assert_eq!((exit, &events[1]["code"]), (204, &"busy".into()));
        let (exit, _) = play(&runtime, invocation("post-script", &other)).await;
        assert_eq!(exit, 0);
        let before = runtime.history(INSTANCE);
        let again = Invocation {
            again: true,
            ..refused
        };
        let (exit, events) = play(&runtime, again).await;
        assert_eq!((exit, &events[1]["code"]), (204, &"repeated".into()));
        assert_eq!(runtime.history(INSTANCE), before, "nothing happened");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_failsafe_fired_is_over_and_says_so_each_time() {
    let (lab, runtime) = lab(WORLD).await;
    let (exit, _) = play(&runtime, invocation("pre-script", &[])).await;
    assert_eq!(exit, 0);
    lab.clock().sleep(Duration::from_secs(20)).await;
    let before = runtime.history(INSTANCE);
    for command in ["pre-script", "post-script", "post-script", "pre-script"] {
        let (exit, events) = play(&runtime, invocation(command, &[])).await;
        let (expected, code) = match command {
            "post-script" => (203, "failsafe-fired"),
            _ => (204, "over"),
        };
        assert_eq!(exit, expected, "{events:?}");
        assert!(events.iter().any(|e| e["code"] == code), "{events:?}");
    }
    assert_eq!(runtime.history(INSTANCE), before, "nothing happened");
}

#[tokio::test(start_paused = true)]
async fn snapshot_without_an_id_makes_one_and_tags_with_the_recipes_name() {
    let (lab, runtime) = lab(WORLD).await;
    let mut jobs = BTreeSet::new();
    for recipe in ["auto", "my-app.2"] {
        let more = [("executionId", "None"), ("recipe", recipe)];
        let (exit, events) = play(&runtime, invocation("snapshot", &more)).await;
        assert_eq!(exit, 0, "{events:?}");
        let job = events[0]["job"].as_str().unwrap().to_owned();
        assert!(uuid::Uuid::parse_str(&job).is_ok_and(|id| id.get_version_num() == 4));
        let named = if recipe == "auto" {
            "linux-mysql"
        } else {
            recipe
        };
        let tagged = tagged_snapshots(&lab, &job, named);
        assert_eq!(tagged, 2, "{events:?}");
        assert!(jobs.insert(job), "an id of its own");
        // EC2 wants 15 s between two snapshots of a volume.
        lab.clock().sleep(Duration::from_secs(20)).await;
    }
}

fn tagged_snapshots(lab: &Lab, job: &str, recipe: &str) -> usize {
    let world = lab.world();
    let tagged = world.snapshots.values().filter(|s| {
        s.tags.get("freezeframe:job").map(String::as_str) == Some(job)
            && s.tags.get("freezeframe:recipe").map(String::as_str) == Some(recipe)
    });
    tagged.count()
}
