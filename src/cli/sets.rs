//! Sets as `list sets` tells of them: what may be claimed, and the evidence for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::output::json_row;
use crate::domain::job::{JobView, Verdict};
use crate::domain::level::Level;
use crate::domain::problem::Problem;
use crate::domain::proof::{self, MemberProof, Sentence};
use crate::domain::set::{self, SnapshotSet};
use crate::domain::snapshot::Snapshot;
use crate::ops::Ops;

/// A set with what this machine knows of it. Its level is the proven one.
pub(super) struct Account {
    pub(super) set: SnapshotSet,
    members: Vec<MemberProof>,
    positions: BTreeMap<String, String>,
    job: Option<JobView>,
}

/// The account of every set among these snapshots, newest first.
///
/// # Errors
/// The journal's.
pub(super) fn accounts(ops: &Ops, snapshots: &[Snapshot]) -> Result<Vec<Account>, Problem> {
    set::group(snapshots)
        .into_iter()
        .map(|mut set| {
            let job = ops.journal.job(&set.scope, &set.job)?;
            let members = proof::members(&set, snapshots, job.as_ref());
            set.level = proof::level(&members);
            let positions = proof::positions(&set, snapshots, job.as_ref());
            Ok(Account {
                set,
                members,
                positions,
                job,
            })
        })
        .collect()
}

impl Account {
    /// Whether this machine's journal has the job that took it.
    pub(super) fn is_mine(&self) -> bool {
        self.job.is_some()
    }

    /// What its instance was called when it was taken, where this machine's journal tells.
    pub(super) fn instance_name(&self) -> Option<&str> {
        let job = self.job.as_ref();
        job.map(|job| job.spec.instance_name.as_str())
    }

    /// The set with the keys that every listing has, `set` as `snapshot -o json` prints it, and `evidence`.
    pub(super) fn json(&self) -> Value {
        let set = &self.set;
        let mut value = json_row(set, set.state());
        if let Value::Object(map) = &mut value {
            map.insert("id".to_owned(), json!(set.job));
            map.insert("created".to_owned(), json!(set.started));
            map.insert("set".to_owned(), json!(self.members));
            map.insert("evidence".to_owned(), self.evidence());
        }
        value
    }

    fn evidence(&self) -> Value {
        let words = |sentences: Vec<Sentence>| -> Vec<String> {
            sentences.into_iter().map(|s| s.text).collect()
        };
        let Some(job) = &self.job else {
            let summary = match self.set.unverified_claim() {
                _ if self.set.copy => "copy",
                Some(_) => proof::CLAIMED,
                None => "by tag",
            };
            return json!({
                "source": "tags", "summary": summary, "note": proof::NOT_HERE,
                "links": [], "positions": self.positions, "files": [], "sentences": words(proof::sentences_by_tag(&self.set)),
            });
        };
        let broken = proof::broken(job);
        let summary = match broken {
            Some(link) => format!("broke at {}", link.name),
            None if self.set.level == Level::Pending => "not judged yet".to_owned(),
            None if job.evidence.links.is_empty() => "none".to_owned(),
            // Labels tell what was proven, however the job ended.
            None if job.verdict == Some(Verdict::Cancelled) => "held; job cancelled".to_owned(),
            None => "held".to_owned(),
        };
        let mut value = json!({
            "source": "journal", "summary": summary, "broken": broken.map(|l| &l.name),
            "mode": job.spec.mode, "mode_reason": job.spec.mode_reason, "document": job.spec.document, "budget_s": job.spec.budget_s,
            "verdict": job.verdict, "thaw_unconfirmed": job.thaw_unconfirmed, "error": job.error,
        });
        if let (Value::Object(map), Value::Object(report)) = (&mut value, json!(job.evidence)) {
            map.extend(report);
            map.insert("sentences".to_owned(), json!(words(proof::sentences(job))));
        }
        value
    }
}
