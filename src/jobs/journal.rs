//! The journal: intent before each call, outcome after it, in SQLite (WAL, `synchronous=FULL`).
//!
//! It is the audit trail and the memory after a crash. A job is *open* until its view says `done`;
//! what was intended and has no outcome may have happened. Every write is on disk when its method
//! returns; the thread of the async executor that waits for it lends its other tasks to another.

mod file;
mod lease;
mod news;
mod prunes;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

pub use file::set_aside;
pub use lease::Lease;
pub use news::Seen;
pub use prunes::deletion;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::outcome::CallOutcome;
use crate::domain::ids::{JobId, Scope};
use crate::domain::job::{JobView, Phase};
use crate::domain::problem::{Kind, Problem};

/// Version of the schema below and of what its JSON columns hold. A file of another version is refused.
const SCHEMA: i64 = 4;

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS job (
    id       TEXT PRIMARY KEY,
    run      TEXT NOT NULL,
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    instance TEXT NOT NULL,
    started  TEXT NOT NULL,
    open     INTEGER NOT NULL,
    owner    TEXT NOT NULL,
    view     TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS job_started ON job (started DESC);
CREATE TABLE IF NOT EXISTS call (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    subject  TEXT NOT NULL,
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    who      TEXT NOT NULL,
    action   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    intended TEXT NOT NULL,
    ended    TEXT,
    outcome  TEXT CHECK (outcome IN ('answered', 'unknown', 'refused')),
    answer   TEXT,
    known    INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS call_subject ON call (subject, seq);
CREATE TABLE IF NOT EXISTS restore (
    id      TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    started TEXT NOT NULL,
    open    INTEGER NOT NULL,
    view    TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS prune (
    id      TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    started TEXT NOT NULL,
    open    INTEGER NOT NULL,
    owner   TEXT NOT NULL,
    view    TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS lease (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    instance TEXT NOT NULL,
    job      TEXT NOT NULL,
    until    TEXT NOT NULL,
    PRIMARY KEY (account, region, instance)
) STRICT;
";

/// A call that was intended. Ending it records the outcome; dropped without, it stays open on record.
#[derive(Debug)]
#[must_use = "record the outcome with `Journal::outcome`"]
pub struct Intent(i64);

/// One call on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    /// Action, such as `CreateSnapshots`.
    pub action: String,
    /// Its parameters, in short.
    pub detail: String,
    /// When it was about to be sent (RFC 3339).
    pub intended: String,
    /// What came of it; `None` where none is on record: it may have been sent.
    pub outcome: Option<CallOutcome>,
    /// Its place among all intents on record: a later intent has a higher one.
    pub seq: i64,
    /// The last intent that was on record when the outcome was recorded: an intent with a higher place
    /// came after the outcome. `None` when the order is not known.
    pub known: Option<i64>,
}

/// Asked before each write, with the write's name; false ends the writing for good.
#[derive(Clone)]
struct Hook {
    asked: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    dead: Arc<AtomicBool>,
}

/// The journal. Cheap to clone; calls are short and serialised.
#[derive(Clone)]
pub struct Journal {
    db: Arc<Mutex<Connection>>,
    path: String,
    /// Subjects of which a call was sent without a record: nothing proves an order of theirs any more.
    disordered: Arc<Mutex<HashSet<String>>>,
    hook: Option<Hook>,
    /// The one process in whose world the instances are; `None` where every process meets the same ones.
    world: Option<Arc<str>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Journal {
    /// Opens (or makes) the journal file. What an unclean end left in its `-wal` file is read up to the
    /// last write that is whole.
    ///
    /// # Errors
    /// [`Kind::Local`] naming the file: not writable, torn or not a database (it is left as it is; see
    /// [`set_aside`]), or made by a newer freezeframe.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let shown = path.display().to_string();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| local(&shown, &e))?;
        }
        file::whole(path)?;
        let unclean = file::left_open(path);
        let db = Connection::open(path).map_err(|e| file::problem(&shown, &e))?;
        let journal = Self::prepare(db, shown)?;
        if unclean {
            journal.check()?;
        }
        Ok(journal)
    }

    /// A journal that lives only in memory, for tests.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn in_memory() -> Result<Self, Problem> {
        let db = Connection::open_in_memory().map_err(|e| local(":memory:", &e))?;
        Self::prepare(db, ":memory:".to_owned())
    }

    fn prepare(db: Connection, path: String) -> Result<Self, Problem> {
        let version = file::patiently(|| file::set_up(&db, CREATE, SCHEMA))
            .map_err(|e| file::problem(&path, &e))?;
        if version > SCHEMA {
            return Err(Problem::new(
                Kind::Local,
                format!("open the journal {path}"),
                format!("it has schema {version}, this freezeframe knows {SCHEMA}"),
                "use the newer freezeframe that wrote it, or another state directory (FREEZEFRAME_STATE_DIR)",
            ));
        }
        if version != 0 && version < SCHEMA {
            return Err(Problem::new(
                Kind::Local,
                format!("open the journal {path}"),
                format!(
                    "an earlier freezeframe wrote it (schema {version}, this one knows {SCHEMA})"
                ),
                "end its open jobs with the freezeframe that wrote it (jobs resume), then move it aside (jobs set-aside)",
            ));
        }
        Ok(Self {
            db: Arc::new(Mutex::new(db)),
            path,
            disordered: Arc::default(),
            hook: None,
            world: None,
        })
    }

    /// The same journal for a process whose instances are its own, though others have some of the same names: the
    /// embedded lab's. `owner` is that process, as it drives jobs. What other processes hold there is in no way of
    /// its own.
    #[must_use]
    pub fn of_own_world(self, owner: &str) -> Self {
        Self {
            world: Some(Arc::from(owner)),
            ..self
        }
    }

    /// Whether it is [`Self::of_own_world`].
    pub fn is_of_own_world(&self) -> bool {
        self.world.is_some()
    }

    /// The same journal for a process that may die: `hook` is called before each write with its name
    /// (`intend`, `outcome`, `save-job`, `claim-job`, `save-restore`, …). Once it has answered false, that write and all
    /// later ones of this handle and its clones fail with [`Kind::Local`]: the dead write no more.
    #[must_use]
    pub fn observed(self, hook: Arc<dyn Fn(&str) -> bool + Send + Sync>) -> Self {
        Self {
            hook: Some(Hook {
                asked: hook,
                dead: Arc::new(AtomicBool::new(false)),
            }),
            ..self
        }
    }

    fn write<T>(
        &self,
        name: &str,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Problem> {
        let dead = self.hook.as_ref().is_some_and(|hook| {
            if !hook.dead.load(Ordering::SeqCst) && !(hook.asked)(name) {
                hook.dead.store(true, Ordering::SeqCst);
            }
            hook.dead.load(Ordering::SeqCst)
        });
        if dead {
            return Err(Problem::new(
                Kind::Local,
                format!("write {name} to the journal {}", self.path),
                "this process writes no more",
                "start freezeframe again: it resumes what is open",
            ));
        }
        self.with(f)
    }

    /// Has SQLite check every page of the journal.
    fn check(&self) -> Result<(), Problem> {
        let found: String =
            self.with(|db| db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)))?;
        if found == "ok" {
            Ok(())
        } else {
            Err(file::torn(&self.path, &found))
        }
    }

    fn with<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Problem> {
        use tokio::runtime::{Handle, RuntimeFlavor};
        let work = || {
            // A panic while the lock was held leaves SQLite itself consistent.
            let db = self.db.lock();
            f(&db).map_err(|e| file::problem(&self.path, &e))
        };
        // Waiting for the disk must not hold up the other tasks of this thread, a thaw above all.
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
            _ => work(),
        }
    }

    /// From now on no outcome of this subject says anything about order: a call of it was sent that the
    /// journal could not record.
    pub fn mark_order_unknown(&self, subject: &str) {
        self.disordered.lock().insert(subject.to_owned());
    }

    /// Records that a call is about to be sent. Returns only after it is on disk.
    ///
    /// # Errors
    /// [`Kind::Local`]; then the call must not be sent.
    pub fn intend(
        &self,
        scope: &Scope,
        who: &str,
        subject: &str,
        action: &str,
        detail: &str,
        at: DateTime<Utc>,
    ) -> Result<Intent, Problem> {
        self.write("intend", |db| {
            db.execute(
                "INSERT INTO call (subject, account, region, who, action, detail, intended) VALUES (?,?,?,?,?,?,?)",
                params![subject, scope.account.as_str(), scope.region.as_str(), who, action, detail, stamp(at)],
            )?;
            Ok(Intent(db.last_insert_rowid()))
        })
    }

    /// Records what came of a call.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn outcome(
        &self,
        intent: Intent,
        outcome: &CallOutcome,
        at: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let disordered = self.disordered.lock().clone();
        let (word, answer) = outcome.columns();
        self.write("outcome", |db| {
            let subject: String =
                db.query_row("SELECT subject FROM call WHERE seq = ?", [intent.0], |r| {
                    r.get(0)
                })?;
            db.execute(
                "UPDATE call SET ended = ?1, outcome = ?2, answer = ?3,
                     known = CASE WHEN ?4 THEN (SELECT max(seq) FROM call) END
                 WHERE seq = ?5",
                params![
                    stamp(at),
                    word,
                    answer,
                    !disordered.contains(&subject),
                    intent.0
                ],
            )
            .map(drop)
        })
    }

    /// The calls on record for a job or a restore, oldest first.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn calls(&self, subject: &str) -> Result<Vec<CallRow>, Problem> {
        self.with(|db| {
            let mut select = db.prepare(
                "SELECT action, detail, intended, outcome, answer, seq, known FROM call WHERE subject = ? ORDER BY seq",
            )?;
            let rows = select.query_map([subject], |r| {
                Ok(CallRow {
                    action: r.get(0)?,
                    detail: r.get(1)?,
                    intended: r.get(2)?,
                    outcome: CallOutcome::read(r, 3)?,
                    seq: r.get(5)?,
                    known: r.get(6)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Writes a job as it stands. `owner` names the process that drives it. Once it is known to hold no
    /// freeze any more, its lease on the instance is let go in the same write.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn save_job(
        &self,
        view: &JobView,
        owner: &str,
        open: bool,
        at: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let text = to_json(&self.path, view)?;
        let started = stamp(view.started().unwrap_or(at));
        let thawed = view.phase >= Phase::Verifying && !view.thaw_unconfirmed;
        self.write("save-job", |db| {
            let write = db.unchecked_transaction()?;
            write.execute(
                "INSERT INTO job (id, run, account, region, instance, started, open, owner, view)
                 VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)
                 ON CONFLICT (id) DO UPDATE SET open = ?7, owner = ?8, view = ?9",
                params![
                    view.spec.job.as_str(),
                    view.spec.run.as_str(),
                    view.spec.scope.account.as_str(),
                    view.spec.scope.region.as_str(),
                    view.spec.instance.as_str(),
                    started,
                    i64::from(open),
                    owner,
                    text
                ],
            )?;
            if thawed {
                write.execute("DELETE FROM lease WHERE job = ?", [view.spec.job.as_str()])?;
            }
            write.commit()
        })
    }

    /// Takes an open job over from the process `from`: of several that try, exactly one is told `true`.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn claim_job(&self, job: &JobId, from: &str, to: &str) -> Result<bool, Problem> {
        self.write("claim-job", |db| {
            db.execute(
                "UPDATE job SET owner = ?3 WHERE id = ?1 AND owner = ?2 AND open = 1",
                params![job.as_str(), from, to],
            )
        })
        .map(|rows| rows == 1)
    }

    /// Ids of the restores of a scope that nobody finished.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn open_restores(&self, scope: &Scope) -> Result<Vec<String>, Problem> {
        self.with(|db| {
            db.prepare("SELECT id FROM restore WHERE open = 1 AND account = ? AND region = ?")?
                .query_map([scope.account.as_str(), scope.region.as_str()], |r| {
                    r.get(0)
                })?
                .collect()
        })
    }

    /// Jobs of a scope, newest first, at most `limit`. A row that cannot be read is skipped and
    /// counted in the log, never fatal.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn jobs(&self, scope: Option<&Scope>, limit: u32) -> Result<Vec<JobView>, Problem> {
        let rows: Vec<String> = self.with(|db| {
            let mut select = db.prepare(
                "SELECT view FROM job
                 WHERE (?1 IS NULL OR account = ?1) AND (?2 IS NULL OR region = ?2)
                 ORDER BY started DESC, id LIMIT ?3",
            )?;
            let account = scope.map(|s| s.account.as_str());
            let region = scope.map(|s| s.region.as_str());
            select
                .query_map(params![account, region, limit], |r| r.get(0))?
                .collect()
        })?;
        Ok(rows
            .iter()
            .filter_map(|text| {
                serde_json::from_str(text)
                    .map_err(|error| tracing::warn!(%error, "a job in the journal cannot be read"))
                    .ok()
            })
            .collect())
    }

    /// One job of a scope, however old; `None` when this journal does not have it (or cannot read its row,
    /// which is logged).
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn job(&self, scope: &Scope, job: &JobId) -> Result<Option<JobView>, Problem> {
        let text: Option<String> = self.with(|db| {
            db.query_row(
                "SELECT view FROM job WHERE id = ? AND account = ? AND region = ?",
                params![job.as_str(), scope.account.as_str(), scope.region.as_str()],
                |r| r.get(0),
            )
            .optional()
        })?;
        Ok(text.and_then(|text| {
            serde_json::from_str(&text)
                .map_err(
                    |error| tracing::warn!(%error, %job, "a job in the journal cannot be read"),
                )
                .ok()
        }))
    }

    /// Jobs of a scope that nobody ended, with the process that drove them, oldest first.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn open_jobs(&self, scope: &Scope) -> Result<Vec<(JobView, String)>, Problem> {
        let rows: Vec<(String, String)> = self.with(|db| {
            let mut select = db.prepare(
                "SELECT view, owner FROM job WHERE open = 1 AND account = ? AND region = ? ORDER BY started",
            )?;
            select
                .query_map(params![scope.account.as_str(), scope.region.as_str()], |r| {
                    Ok((r.get(0)?, r.get(1)?))
                })?
                .collect()
        })?;
        // One row of another version must not keep the others frozen.
        Ok(rows
            .into_iter()
            .filter_map(|(text, owner)| match serde_json::from_str(&text) {
                Ok(view) => Some((view, owner)),
                Err(error) => {
                    tracing::error!(%error, "an open job in the journal cannot be read");
                    None
                }
            })
            .collect())
    }

    /// Jobs of a group that nobody ended, whoever drives them; in a world of its own, only this process's.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn open_jobs_in_group(&self, scope: &Scope, group: &str) -> Result<Vec<JobView>, Problem> {
        let rows: Vec<String> = self.with(|db| {
            let mut select = db.prepare(
                "SELECT view FROM job WHERE open = 1 AND account = ? AND region = ?
                 AND json_extract(view, '$.group') = ? AND owner = ifnull(?, owner)",
            )?;
            select
                .query_map(
                    params![
                        scope.account.as_str(),
                        scope.region.as_str(),
                        group,
                        self.world.as_deref()
                    ],
                    |r| r.get(0),
                )?
                .collect()
        })?;
        // A row of another version cannot be judged; the settling at the start has looked at it.
        Ok(rows
            .iter()
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect())
    }

    /// Writes a restore as it stands.
    ///
    /// # Errors
    /// [`Kind::Local`].
    pub fn save_restore(
        &self,
        view: &crate::domain::restore::RestoreView,
        at: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let text = to_json(&self.path, view)?;
        self.write("save-restore", |db| {
            db.execute(
                "INSERT INTO restore (id, account, region, started, open, view) VALUES (?1,?2,?3,?4,?5,?6)
                 ON CONFLICT (id) DO UPDATE SET open = ?5, view = ?6",
                params![
                    view.plan.id,
                    view.plan.scope.account.as_str(),
                    view.plan.scope.region.as_str(),
                    stamp(at),
                    i64::from(!view.finished),
                    text
                ],
            )
            .map(drop)
        })
    }
}

fn to_json<T: serde::Serialize>(path: &str, value: &T) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|e| local(path, &e))
}

fn local(path: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new(
        Kind::Local,
        format!("use the journal {path}"),
        error.to_string(),
        "check that the state directory is writable and has space (FREEZEFRAME_STATE_DIR names another)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_write_no_more_and_the_next_process_reads_what_they_wrote() {
        let journal = Journal::in_memory().unwrap();
        let scope = Scope {
            account: crate::domain::ids::AccountId::from_api("123456789012"),
            region: crate::domain::ids::Region::from_api("eu-central-1"),
        };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        // Dies at its second write, and is not asked again.
        let dying = journal.clone().observed(Arc::new(move |name| {
            let mut seen = seen.lock();
            seen.push(name.to_owned());
            seen.len() < 2
        }));
        let intend = |journal: &Journal| {
            journal.intend(&scope, "me", "job", "Act", "", DateTime::UNIX_EPOCH)
        };
        let intent = intend(&dying).unwrap();
        let failed = dying.outcome(
            intent,
            &CallOutcome::Answered(String::new()),
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(failed.unwrap_err().kind, Kind::Local);
        assert!(intend(&dying.clone()).is_err());
        assert_eq!(*asked.lock(), ["intend", "outcome"]);
        let calls = journal.calls("job").unwrap();
        assert_eq!((calls.len(), calls[0].outcome.clone()), (1, None));
        assert!(intend(&journal).is_ok());
    }
}
