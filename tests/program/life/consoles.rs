//! Property 23 in the flesh: two consoles, one instance. The 10,000 interleavings are in tests/engine/consoles.rs.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use freezeframe::lab::FaultKind;
use freezeframe::lab::runtime_simulated::What;

use super::served::{Home, Served, served, until};
use super::signals::Terminal;

/// From the first lock or freeze of each job to its last thaw or unlock, by what the instance remembers; what was never
/// let go of is held to the end of time.
fn holds(served: &Served, instance: &str) -> BTreeMap<String, (DateTime<Utc>, DateTime<Utc>)> {
    let mut holds = BTreeMap::new();
    let mut open: BTreeMap<String, i32> = BTreeMap::new();
    for happening in served.runtime.history(instance) {
        let open = open.entry(happening.job.clone()).or_default();
        *open += match happening.what {
            What::Armed { .. } => continue,
            What::Locked { .. } | What::Frozen { .. } => 1,
            What::Unlocked { .. } | What::Thawed { .. } => -1,
        };
        let (_, to) = holds
            .entry(happening.job)
            .or_insert((happening.at, happening.at));
        *to = if *open > 0 {
            DateTime::<Utc>::MAX_UTC
        } else {
            happening.at
        };
    }
    holds
}

/// Two operators' machines know nothing of each other; on one machine two processes share a journal.
#[tokio::test(flavor = "multi_thread")]
async fn p23_two_consoles_on_one_host_or_two_never_hold_one_instance_together() {
    let served = served(4).await;
    for n in 0..4 {
        let instance = served.id(&format!("db-{n}"));
        let (one, two) = (Home::new(&served), Home::new(&served));
        let other = if n < 2 { &one } else { &two };
        let args = ["snapshot", "--instance", &instance, "--max-freeze", "600s"];
        let first = one.start(&args);
        if n % 2 == 1 {
            // The second comes while the first is at it, otherwise both at once.
            until("the first's command", || one.events() >= 3).await;
        }
        let second = other.start(&args);
        let (first, second) = (first.wait().await, second.wait().await);
        served.nothing_frozen(&instance);
        let holds = holds(&served, &instance);
        let mut spans: Vec<_> = holds.values().collect();
        spans.sort();
        assert!([1, 2].contains(&spans.len()), "{n}: {holds:?}");
        if let [(_, end), (begin, _)] = spans.as_slice() {
            assert!(end <= begin, "{n}: held together: {holds:?}");
        }
        let verdicts: Vec<String> = [&first, &second]
            .map(|answer| answer.json()["jobs"][0].clone())
            .iter()
            .map(|job| job["verdict"].as_str().unwrap_or_default().to_owned())
            .collect();
        // Whoever came second was refused in words, or waited and met the rule of one set in 15 s.
        let proven = verdicts.iter().filter(|v| *v == "application").count();
        assert!(proven >= 1, "{n}: {verdicts:?} {first:?} {second:?}");
        for (verdict, answer) in verdicts.iter().zip([&first, &second]) {
            assert_ne!(answer.code, Some(5), "{answer:?}");
            if verdict != "application" {
                let job = answer.json()["jobs"][0].clone();
                assert!(job["error"]["hint"].is_string(), "{job:#}");
            }
        }
        for made in served.made(&instance) {
            let claimed = made.level == "application";
            assert!(!claimed || made.frozen, "{made:?}");
        }
    }
}

/// A console stands open while cron's job runs with the same journal, and is killed: no key is pressed.
#[tokio::test(flavor = "multi_thread")]
async fn p21_an_open_console_sees_what_runs_beside_it_and_takes_up_what_is_killed_there() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    let mut console = Terminal::start(&home, &[]);
    console.hear("online").await;
    console.press("4");
    console.hear("no job yet").await;
    served.fault(
        "CreateSnapshots",
        FaultKind::Delay(Duration::from_secs(300)),
    );
    let mut cron = home.start(&["snapshot", "--instance", &instance, "--max-freeze", "900s"]);
    console.hear("FROZEN").await;
    assert!(!served.runtime.frozen_mounts(&instance).is_empty());
    cron.child.kill().unwrap();
    cron.child.wait().unwrap();
    until("the thaw", || {
        served.runtime.frozen_mounts(&instance).is_empty()
    })
    .await;
    let thaws = home.look(|db| {
        db.query_row(
            "SELECT count(*) FROM call WHERE action = 'SendCommand' AND detail LIKE '%post-script%'",
            [],
            |r| r.get::<_, i64>(0),
        )
    });
    assert!(thaws.unwrap() > 0, "the failsafe thawed, not the console");
    console.kill();
}
