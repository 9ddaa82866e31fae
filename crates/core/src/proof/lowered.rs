//! Why a set is worth less than what was asked for, in one sentence, and what to do about it.

use crate::job::{EvidenceReport, JobView, Link, Verdict};
use crate::level::Level;
use crate::link_name::LinkName;

/// A verdict below what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// What the recipe would have earned.
    pub asked: Level,
    /// What it did.
    pub got: Level,
    /// Where the chain broke and what was seen.
    pub why: String,
    /// What to do; `None` where the job's own error says it.
    pub hint: Option<String>,
}

/// Why the job's set is worth less than asked for. `None` when it is not, when there is no set, and while its
/// labels are owed: that is an error of its own.
pub fn lowered(job: &JobView) -> Option<Lowered> {
    let evidence = &job.evidence;
    let got = match job.verdict? {
        Verdict::Filesystem => Level::Filesystem,
        Verdict::Crash => Level::Crash,
        _ => return None,
    };
    let database = evidence.links.iter().any(of_lock);
    let asked = if database {
        Level::Application
    } else {
        Level::Filesystem
    };
    if job.has_pending_labels() || got >= asked {
        return None;
    }
    // A broken freeze lowers to crash whatever became of the lock.
    let broken = evidence
        .links
        .iter()
        .find(|link| !link.holds && of_lock(link) == (got == Level::Filesystem));
    let (why, hint) = if job.spec.third_party && evidence.links.iter().all(|link| !link.holds) {
        (
            format!(
                "{} gives no evidence of its own (no FF1 lines)",
                job.spec.document
            ),
            "choose a recipe of freezeframe's, or have the document print FF1 lines (docs/line-protocol.md)".to_owned(),
        )
    } else if evidence.frozen_mounts.is_empty() && got == Level::Crash {
        (
            "nothing was frozen when the snapshots were asked for".to_owned(),
            format!("look at {}", command(evidence)),
        )
    } else if let Some(Link { name, seen, .. }) = broken {
        (
            format!("the chain broke at {name}: {seen}"),
            hint(name, job),
        )
    } else {
        // The chain held, and something that the recipe did not cover lowers it.
        let member = job.set.iter().find(|m| {
            m.level == got
                && evidence.best(&m.volume) > got
                && !m.reason.is_empty()
                && !m.reason.starts_with("not covered")
        })?;
        (
            format!("{}: {}", member.volume, member.reason),
            "cover that mount too (--mount, or a recipe that freezes it), or move what the database needs".to_owned(),
        )
    };
    Some(Lowered {
        asked,
        got,
        why,
        hint: job.error.is_none().then_some(hint),
    })
}

fn of_lock(link: &Link) -> bool {
    link.name.is_of_lock()
}

/// Where the command that should have proven it can be read.
fn command(evidence: &EvidenceReport) -> String {
    let told = evidence
        .post_command
        .as_ref()
        .or(evidence.pre_command.as_ref());
    told.map_or_else(
        || "the commands of the job in Run Command's history".to_owned(),
        |id| format!("the output of command {id} in Run Command's history"),
    )
}

fn hint(link: &LinkName, job: &JobView) -> String {
    let output = command(&job.evidence);
    match link {
        _ if job.evidence.failsafe_fired => format!(
            "the freeze lasted longer than its budget of {} s: raise --max-freeze, or look at what was slow in {output}",
            job.spec.budget_s
        ),
        LinkName::LockHeld | LinkName::LockAnswered => {
            "take it again; if it stays, the server's log tells what ended the session that held the lock".to_owned()
        }
        LinkName::OneCall | LinkName::WithinWindow => format!(
            "take it again: an answer or a line that was lost proves nothing and does no harm; if it stays, look at {output}"
        ),
        _ => format!("take it again; if it stays, look at {output}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::problem::{Kind, Problem};

    fn job(verdict: &str, links: &[(&str, bool)]) -> JobView {
        let links: Vec<_> = links
            .iter()
            .map(|(name, holds)| json!({"name": name, "holds": holds, "seen": format!("seen of {name}")}))
            .collect();
        serde_json::from_value(json!({
            "job": "00000000-0000-4000-8000-000000000001", "run": "00000000-0000-4000-8000-000000000002",
            "account": "123456789012", "region": "eu-central-1", "instance": "i-1", "instance_name": "db",
            "recipe": "linux-mysql", "document": "freezeframe-linux-mysql", "mode": "coordinated",
            "budget_s": 30, "on_failure": "skip", "mounts": [], "namespace": "N",
            "phase": "done", "verdict": verdict, "thaw_unconfirmed": false, "phases": [],
            "frozen_since": null, "freeze_window_ms": null, "set": [], "evidence": {
                "links": links, "frozen_mounts": ["/data"], "pre_command": "c-1", "post_command": "c-2",
                "window_ms": null, "failsafe_fired": false,
            },
            "error": null,
        }))
        .unwrap()
    }

    #[test]
    fn the_link_that_lowered_it_is_named_with_what_to_do() {
        let held = [
            ("lock-held", true),
            ("frozen", true),
            ("within-window", true),
        ];
        assert_eq!(lowered(&job("application", &held)), None);
        assert_eq!(
            lowered(&job("filesystem", &[("frozen", true)])),
            None,
            "no more was asked for"
        );
        let both = [("lock-held", false), ("frozen", true), ("own-thaw", false)];
        let found = lowered(&job("crash", &both)).unwrap();
        assert_eq!((found.asked, found.got), (Level::Application, Level::Crash));
        assert_eq!(found.why, "the chain broke at own-thaw: seen of own-thaw");
        assert!(found.hint.unwrap().contains("command c-2"));
        let found = lowered(&job(
            "filesystem",
            &[("lock-held", false), ("frozen", true)],
        ))
        .unwrap();
        assert_eq!(found.got, Level::Filesystem);
        assert!(found.why.contains("lock-held"), "{found:?}");
    }

    #[test]
    fn a_budget_that_was_too_short_and_a_freeze_that_never_was_are_told_apart() {
        let mut fired = job("crash", &[("frozen", true), ("failsafe-quiet", false)]);
        fired.evidence.failsafe_fired = true;
        assert!(
            lowered(&fired)
                .unwrap()
                .hint
                .unwrap()
                .contains("--max-freeze")
        );
        let mut never = job("crash", &[("frozen", false)]);
        never.evidence.frozen_mounts.clear();
        never.error = Some(Problem::new(
            Kind::Agent,
            "quiesce i-1",
            "never delivered",
            "look",
        ));
        let found = lowered(&never).unwrap();
        assert!(found.why.contains("nothing was frozen"), "{found:?}");
        assert_eq!(found.hint, None, "the error says what to do");
    }
}
