//! What other processes have written about jobs since one looked last.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rusqlite::params;

use super::Journal;
use crate::domain::ids::Scope;
use crate::domain::job::JobView;
use crate::domain::problem::Problem;

/// What was seen of the jobs on record.
#[derive(Debug, Default)]
pub struct Seen {
    /// SQLite's mark of what other connections have written; `None` before the first look.
    version: Option<i64>,
    /// What each row said, in short.
    rows: HashMap<String, u64>,
}

impl Journal {
    /// The jobs of a scope, among its newest `limit`, whose record has changed since the last look, oldest first; at
    /// the first look none. Where no other process has written anything no row is read. What this process writes
    /// is only found beside what another writes.
    ///
    /// # Errors
    /// [`Kind::Local`](crate::domain::problem::Kind::Local).
    pub fn news(
        &self,
        scope: &Scope,
        limit: u32,
        seen: &mut Seen,
    ) -> Result<Vec<JobView>, Problem> {
        let before = seen.version;
        let read = self.with(|db| {
            // Before the rows: what is written in between is read now, and once more at the next look.
            let version: i64 = db.query_row("PRAGMA data_version", [], |r| r.get(0))?;
            if before == Some(version) {
                return Ok(None);
            }
            let mut select = db.prepare(
                "SELECT id, view FROM job WHERE account = ? AND region = ? ORDER BY started DESC, id LIMIT ?",
            )?;
            let rows: Vec<(String, String)> = select
                .query_map(
                    params![scope.account.as_str(), scope.region.as_str(), limit],
                    |r| Ok((r.get(0)?, r.get(1)?)),
                )?
                .collect::<Result<_, _>>()?;
            Ok(Some((version, rows)))
        })?;
        let Some((version, rows)) = read else {
            return Ok(Vec::new());
        };
        seen.version = Some(version);
        let mut news = Vec::new();
        let mut now = HashMap::with_capacity(rows.len());
        for (id, text) in rows.into_iter().rev() {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            let short = hasher.finish();
            if before.is_some() && seen.rows.get(&id) != Some(&short) {
                match serde_json::from_str(&text) {
                    Ok(view) => news.push(view),
                    Err(error) => tracing::warn!(%error, id, "a job on record cannot be read"),
                }
            }
            now.insert(id, short);
        }
        seen.rows = now;
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::job::Phase;

    fn view(job: &str, phase: Phase) -> JobView {
        let spec = serde_json::from_value(serde_json::json!({
            "job": job, "run": "r", "account": "111122223333", "region": "eu-central-1",
            "instance": "i-1", "instance_name": "db", "recipe": "r", "document": "d", "mode": "coordinated",
            "budget_s": 30, "on_failure": "skip", "mounts": [], "namespace": "N",
        }))
        .unwrap();
        let mut view = crate::domain::machine::Job::new(spec).view();
        view.phase = phase;
        view
    }

    #[test]
    fn what_others_write_is_news_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("journal.sqlite");
        let (mine, theirs) = (Journal::open(&file).unwrap(), Journal::open(&file).unwrap());
        let write = |journal: &Journal, job: &str, phase| {
            let view = view(job, phase);
            journal
                .save_job(&view, "host:1:1", true, DateTime::UNIX_EPOCH)
                .unwrap();
        };
        let scope = view("a", Phase::Queued).spec.scope;
        let mut seen = Seen::default();
        let mut look = |limit| -> Vec<String> {
            let news = mine.news(&scope, limit, &mut seen).unwrap();
            let words = |v: &JobView| format!("{} {}", v.spec.job, v.phase);
            news.iter().map(words).collect()
        };
        write(&theirs, "a", Phase::Frozen);
        assert!(look(9).is_empty(), "it was there before the first look");
        write(&theirs, "a", Phase::Thawing);
        write(&theirs, "b", Phase::Queued);
        let mut both = look(9);
        both.sort();
        assert_eq!(both, ["a thawing", "b queued"]);
        assert!(look(9).is_empty());
        // What we write ourselves wakes nobody; what others write of calls is no news of a job.
        write(&mine, "c", Phase::Queued);
        assert!(look(9).is_empty());
        let intent = theirs.intend(&scope, "me", "b", "Act", "", DateTime::UNIX_EPOCH);
        drop(intent.unwrap());
        assert_eq!(look(9), ["c queued"]);
        write(&theirs, "b", Phase::Done);
        assert_eq!(look(9), ["b done"]);
    }
}
