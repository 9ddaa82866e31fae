//! Two consoles on two hosts: nothing joins them but AWS, and a group's cap holds all the same.

use freezeframe::domain::script_exit::ScriptExit;
use std::time::Duration;

use freezeframe::aws::ssm::Command;
use freezeframe::domain::command::CommandEnd;
use freezeframe::domain::job::{Mode, Verdict};
use freezeframe::domain::pace::Bucket;
use freezeframe::domain::run::Limits;
use freezeframe::recipe::document;

use super::{calls, fleet, never_together, run};

#[tokio::test(start_paused = true)]
async fn a_primary_and_its_replica_are_never_frozen_together_by_two_hosts() {
    for mode in [Mode::Coordinated, Mode::Autonomous] {
        let (lab, here) = fleet::open(6, 2, "").await.unwrap();
        let there = fleet::console(&lab).await.unwrap();
        let limits = Limits::default();
        // Every pair is shared: one of it is taken here, the other there, at the same moment.
        let every_other = |odd: usize, specs: Vec<_>| -> Vec<_> {
            let numbered = specs.into_iter().enumerate();
            let mine = numbered.filter(|(n, _)| n % 2 == odd);
            mine.map(|(_, spec)| spec).collect()
        };
        let mine = every_other(0, fleet::specs(&here, &limits, mode).await.unwrap());
        let theirs = every_other(1, fleet::specs(&there, &limits, mode).await.unwrap());
        let ((mut views, seen), (others, also)) =
            tokio::join!(run(&here, mine, &limits), run(&there, theirs, &limits));
        views.extend(others);
        assert_eq!(views.len(), 6);
        for view in views.iter().map(|v| v.as_ref().unwrap()) {
            assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
        }
        never_together(&views);
        let waited = |v: &super::JobView| v.waiting.as_deref() == Some("waits for group pair-0001");
        assert!(
            seen.iter().chain(&also).any(waited),
            "{mode}: nobody waited"
        );
    }
}

/// Somebody else's freeze that does not end: the refusal names its job, and nothing was touched.
#[tokio::test(start_paused = true)]
async fn a_group_that_another_host_keeps_is_refused_by_name() {
    let (lab, here) = fleet::open(3, 3, "").await.unwrap();
    let there = fleet::console(&lab).await.unwrap();
    let limits = Limits::default();
    let mut held = fleet::specs(&there, &limits, Mode::Coordinated)
        .await
        .unwrap()
        .swap_remove(0);
    held.budget_s = 900;
    let comment = format!("freezeframe pre-script {}", held.job);
    let sent = there
        .session
        .send_command(&Command {
            instance: &held.instance,
            document: &held.document,
            hash: None,
            parameters: &document::parameters(&held, "pre-script"),
            comment: &comment,
            delivery_s: 30,
        })
        .await;
    assert!(sent.is_ok());
    let mut specs = fleet::specs(&here, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let same = specs.remove(0);
    specs.truncate(1);
    let (views, _) = run(&here, specs.clone(), &limits).await;
    let view = views[0].as_ref().unwrap();
    assert_eq!(view.verdict, Some(Verdict::Skipped));
    let cause = &view.error.as_ref().unwrap().cause;
    let words = format!(
        "its group pair-0000 is taken by job {} on {}, started by another console",
        held.job, held.instance
    );
    assert_eq!(*cause, words);
    assert_eq!(calls(&lab, "CreateSnapshots"), 0);
    // On the instance itself it is refused at once.
    let (views, _) = run(&here, vec![same], &limits).await;
    let view = views[0].as_ref().unwrap();
    let cause = &view.error.as_ref().unwrap().cause;
    assert!(
        cause.contains(held.job.as_str()) && cause.contains("another console"),
        "{cause}"
    );
    // Two at once are allowed: then it is nobody's way.
    let two = Limits {
        freezes_per_group: 2,
        ..limits
    };
    let again = fleet::specs(&here, &two, Mode::Coordinated).await.unwrap();
    let (views, _) = run(&here, again.into_iter().skip(1).take(1).collect(), &two).await;
    let view = views[0].as_ref().unwrap();
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
}

/// A wait for tokens outlasts what was seen of the group before it.
#[tokio::test(start_paused = true)]
async fn a_group_that_was_taken_while_a_job_waited_for_tokens_is_waited_for() {
    let (lab, here) = fleet::open(2, 2, "").await.unwrap();
    let there = fleet::console(&lab).await.unwrap();
    let limits = Limits::default();
    let mine = fleet::specs(&here, &limits, Mode::Coordinated)
        .await
        .unwrap()
        .swap_remove(0);
    let theirs = fleet::specs(&there, &limits, Mode::Coordinated)
        .await
        .unwrap()
        .swap_remove(1);
    for _ in 0..1_000 {
        let (token, _) = here.session.pace().promise(Bucket::CreateSnapshots);
        token.spend();
    }
    let (token, wait) = here.session.pace().promise(Bucket::CreateSnapshots);
    drop(token);
    assert!(wait.as_secs() > 120, "longer than a dry run is heeded");
    let at_the_same_moment = async {
        tokio::time::sleep(wait - Duration::from_secs(2)).await;
        run(&there, vec![theirs], &limits).await
    };
    let ((mut views, _), (others, _)) =
        tokio::join!(run(&here, vec![mine], &limits), at_the_same_moment);
    views.extend(others);
    for view in views.iter().map(|v| v.as_ref().unwrap()) {
        assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
    }
    never_together(&views);
}

/// A thaw that met its `pre-script` at work thawed nothing: what froze after it keeps the group until its
/// failsafe has certainly acted.
#[tokio::test(start_paused = true)]
async fn a_failed_thaw_of_another_host_does_not_free_its_group() {
    let (lab, here) = fleet::open(2, 2, "").await.unwrap();
    let there = fleet::console(&lab).await.unwrap();
    let limits = Limits::default();
    let mut specs = fleet::specs(&there, &limits, Mode::Coordinated)
        .await
        .unwrap();
    let mut held = specs.swap_remove(0);
    held.budget_s = 20;
    let send = async |word: &str| {
        let comment = format!("freezeframe {word} {}", held.job);
        let parameters = document::parameters(&held, word);
        let command = Command {
            instance: &held.instance,
            document: &held.document,
            hash: None,
            parameters: &parameters,
            comment: &comment,
            delivery_s: 30,
        };
        there.session.send_command(&command).await.unwrap()
    };
    let began = here.clock.now();
    send("pre-script").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let post = send("post-script").await;
    let before = began - chrono::TimeDelta::minutes(1);
    let outcome = there.session.outcome(&post, &held.instance, before).await;
    assert_eq!(
        outcome.ended,
        CommandEnd::Failed {
            exit: ScriptExit::PostScriptFailed
        }
    );
    assert!(outcome.stdout.contains(r#""busy""#), "{}", outcome.stdout);
    let mut specs = fleet::specs(&here, &limits, Mode::Coordinated)
        .await
        .unwrap();
    specs.retain(|spec| spec.instance != held.instance);
    let (views, seen) = run(&here, specs, &limits).await;
    let view = views[0].as_ref().unwrap();
    assert_eq!(view.verdict, Some(Verdict::Filesystem), "{:?}", view.error);
    let (frozen_from, _) = super::freeze(view);
    assert!(
        (frozen_from - began).num_seconds() >= 20,
        "frozen at {frozen_from}, beside the one that began at {began}"
    );
    assert!(
        seen.iter()
            .any(|v| v.waiting.as_deref() == Some("waits for group pair-0000"))
    );
}
