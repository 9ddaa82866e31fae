//! Prunes and restores on record, and what earlier prunes were about to delete.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::params;
use serde::de::DeserializeOwned;

use super::{Journal, stamp, to_json};
use crate::domain::ids::{JobId, Scope, SnapshotId};
use crate::domain::problem::Problem;
use crate::domain::prune::PruneRecord;
use crate::domain::restore::RestoreView;

/// Between a snapshot and its set in the detail of a `DeleteSnapshot`.
const OF_SET: &str = " of set ";

/// The detail under which the deletion of a snapshot is put on record.
pub fn deletion(snapshot: &SnapshotId, set: Option<&JobId>) -> String {
    set.map_or_else(
        || snapshot.to_string(),
        |set| format!("{snapshot}{OF_SET}{set}"),
    )
}

fn read<T: DeserializeOwned>(rows: Vec<String>, what: &str) -> Vec<T> {
    rows.iter()
        .filter_map(|text| {
            serde_json::from_str(text)
                .map_err(|error| tracing::warn!(%error, "a {what} in the journal cannot be read"))
                .ok()
        })
        .collect()
}

impl Journal {
    /// Writes a prune as it stands. `owner` names the process that carries it out.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::domain::problem::Kind::Local).
    pub fn save_prune(&self, record: &PruneRecord, owner: &str) -> Result<(), Problem> {
        let text = to_json(&self.path, record)?;
        self.write("save-prune", |db| {
            db.execute(
                "INSERT INTO prune (id, account, region, started, open, owner, view) VALUES (?1,?2,?3,?4,?5,?6,?7)
                 ON CONFLICT (id) DO UPDATE SET open = ?5, owner = ?6, view = ?7",
                params![
                    record.id,
                    record.scope.account.as_str(),
                    record.scope.region.as_str(),
                    stamp(record.begun),
                    i64::from(record.ended.is_none()),
                    owner,
                    text
                ],
            )
            .map(drop)
        })
    }

    /// Prunes of a scope, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::domain::problem::Kind::Local).
    pub fn prunes(&self, scope: &Scope, limit: u32) -> Result<Vec<PruneRecord>, Problem> {
        self.views("prune", scope, limit)
            .map(|rows| read(rows, "prune"))
    }

    /// Restores of a scope, newest first, at most `limit`, each with when it began.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::domain::problem::Kind::Local).
    pub fn restores(
        &self,
        scope: &Scope,
        limit: u32,
    ) -> Result<Vec<(DateTime<Utc>, RestoreView)>, Problem> {
        let rows: Vec<(String, String)> = self.with(|db| {
            db.prepare(
                "SELECT started, view FROM restore WHERE account = ? AND region = ? ORDER BY started DESC, id LIMIT ?",
            )?
            .query_map(
                params![scope.account.as_str(), scope.region.as_str(), limit],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?
            .collect()
        })?;
        Ok(rows
            .into_iter()
            .filter_map(|(started, text)| {
                let started = DateTime::parse_from_rfc3339(&started).ok()?.to_utc();
                Some((started, read(vec![text], "restore").pop()?))
            })
            .collect())
    }

    /// Prunes of a scope that nobody ended, each with the process that carried it out.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::domain::problem::Kind::Local).
    pub fn open_prunes(&self, scope: &Scope) -> Result<Vec<(PruneRecord, String)>, Problem> {
        let rows: Vec<(String, String)> = self.with(|db| {
            db.prepare(
                "SELECT view, owner FROM prune WHERE open = 1 AND account = ? AND region = ? ORDER BY started",
            )?
            .query_map([scope.account.as_str(), scope.region.as_str()], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?
            .collect()
        })?;
        Ok(rows
            .into_iter()
            .filter_map(|(text, owner)| Some((read(vec![text], "prune").pop()?, owner)))
            .collect())
    }

    /// Snapshots of a scope that a prune was about to delete, by their sets; those of which it is known that they
    /// were not deleted are left out.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::domain::problem::Kind::Local).
    pub fn condemned(&self, scope: &Scope) -> Result<HashMap<JobId, HashSet<SnapshotId>>, Problem> {
        let rows: Vec<(String, String)> = self.with(|db| {
            db.prepare(
                "SELECT subject, detail FROM call WHERE action = 'DeleteSnapshot' AND account = ? AND region = ?
                 AND (outcome IS NULL OR outcome <> 'refused')",
            )?
            .query_map([scope.account.as_str(), scope.region.as_str()], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?
            .collect()
        })?;
        let mut sets: HashMap<JobId, HashSet<SnapshotId>> = HashMap::new();
        for (subject, detail) in rows {
            // An older freezeframe wrote it under the job's own name.
            let (snapshot, set) = detail.split_once(OF_SET).unwrap_or((&detail, &subject));
            if let (Ok(snapshot), Ok(set)) = (snapshot.parse(), set.parse()) {
                sets.entry(set).or_default().insert(snapshot);
            }
        }
        Ok(sets)
    }

    fn views(&self, table: &str, scope: &Scope, limit: u32) -> Result<Vec<String>, Problem> {
        self.with(|db| {
            db.prepare(&format!(
                "SELECT view FROM {table} WHERE account = ? AND region = ? ORDER BY started DESC, id LIMIT ?"
            ))?
            .query_map(
                params![scope.account.as_str(), scope.region.as_str(), limit],
                |r| r.get(0),
            )?
            .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::outcome::CallOutcome;

    fn scope() -> Scope {
        serde_json::from_value(
            serde_json::json!({"account": "123456789012", "region": "eu-central-1"}),
        )
        .unwrap()
    }

    #[test]
    fn what_a_prune_was_about_to_delete_is_known_by_its_set() {
        let journal = Journal::in_memory().unwrap();
        let job = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";
        let at = DateTime::UNIX_EPOCH;
        let snap = |n: u8| SnapshotId::from_api(format!("snap-0000000000000000{n}"));
        let set: JobId = job.parse().unwrap();
        for (n, outcome) in [
            (1, Some(CallOutcome::Answered("deleted".into()))),
            (2, Some(CallOutcome::Refused("in use".into()))),
            (3, None),
        ] {
            let detail = deletion(&snap(n), Some(&set));
            let intent = journal
                .intend(&scope(), "me", "prune", "DeleteSnapshot", &detail, at)
                .unwrap();
            if let Some(outcome) = outcome {
                journal.outcome(intent, &outcome, at).unwrap();
            }
        }
        drop(
            journal
                .intend(&scope(), "me", job, "DeleteSnapshot", snap(4).as_str(), at)
                .unwrap(),
        );
        let sets = journal.condemned(&scope()).unwrap();
        assert_eq!(sets.len(), 1);
        assert_eq!(sets[&set], HashSet::from([snap(1), snap(3), snap(4)]));
    }
}
