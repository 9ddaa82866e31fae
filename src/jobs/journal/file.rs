//! The journal's file: set up once, recognised when torn, moved aside when a person asks for it.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::local;
use crate::domain::problem::{Kind, Problem};

/// What every SQLite file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// What SQLite keeps beside a database in WAL mode.
const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// How often setting up is tried while another process does the same, and the pause between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Durability, tables, version. Returns the version that the file had, 0 for a new one; a file of another version is
/// left as it is.
pub(super) fn set_up(db: &Connection, tables: &str, schema: i64) -> rusqlite::Result<i64> {
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if version != 0 {
        return Ok(version);
    }
    // Of two first starts the second waits here, and then finds everything done.
    db.execute_batch("BEGIN IMMEDIATE")?;
    let made = make(db, tables, schema);
    db.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    made.map(|()| version)
}

fn make(db: &Connection, tables: &str, schema: i64) -> rusqlite::Result<()> {
    db.execute_batch(tables)?;
    db.pragma_update(None, "user_version", schema)
}

/// Again while another process has the file; switching to WAL does not wait by itself.
#[expect(
    clippy::disallowed_methods,
    reason = "at the start, before there is a job or a timer; SQLite's own waiting does not cover the switch to WAL"
)]
pub(super) fn patiently<T>(mut work: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    for _ in 0..TRIES {
        match work() {
            Err(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                ) =>
            {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
    work()
}

/// Whether a process that ended without closing the journal (or one that still runs) left its log.
pub(super) fn left_open(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|file| file.len() > 0)
}

/// Looks at what can be seen before SQLite touches the file. A new or empty file is whole; so is one
/// that its log completes.
pub(super) fn whole(path: &Path) -> Result<(), Problem> {
    let shown = path.display().to_string();
    let mut head = [0_u8; 100];
    let length = match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(local(&shown, &error)),
        Ok(mut file) => {
            let length = file.metadata().map_err(|e| local(&shown, &e))?.len();
            if length == 0 {
                return Ok(());
            }
            if file.read_exact(&mut head).is_err() {
                return Err(torn(&shown, "it is too short for a database"));
            }
            length
        }
    };
    if !head.starts_with(MAGIC) {
        return Err(torn(&shown, "it is not a database"));
    }
    if left_open(path) {
        return Ok(());
    }
    let page = match u64::from(u16::from_be_bytes([head[16], head[17]])) {
        1 => 65_536,
        page => page,
    };
    let pages = u64::from(u32::from_be_bytes([head[28], head[29], head[30], head[31]]));
    // The count is only good for the change that wrote it.
    if head[24..28] == head[92..96] && length < pages * page {
        return Err(torn(
            &shown,
            &format!("it is truncated: {length} of {} bytes", pages * page),
        ));
    }
    Ok(())
}

/// An error of SQLite, with the hint that fits.
pub(super) fn problem(path: &str, error: &rusqlite::Error) -> Problem {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            torn(path, &error.to_string())
        }
        Some(ErrorCode::DiskFull) => Problem::new(
            Kind::Local,
            format!("write the journal {path}"),
            error.to_string(),
            "make room on that filesystem; nothing is frozen that the journal does not know of",
        ),
        _ => local(path, error),
    }
}

/// The file is damaged.
pub(super) fn torn(path: &str, cause: &str) -> Problem {
    Problem::new(
        Kind::Local,
        format!("open the journal {path}"),
        format!("the file is damaged: {cause}"),
        "put a good copy there, or go on with a new one: `freezeframe jobs set-aside` moves it out of the way and keeps it; \
         then `freezeframe jobs orphans` shows what no job on record accounts for",
    )
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// Moves a journal (and what SQLite keeps beside it) out of the way, under a name that carries `mark`
/// and that nothing has yet. Returns the new name; `None` when there is no journal.
///
/// # Errors
/// [`Kind::Local`] when the directory does not let it be renamed.
pub fn set_aside(path: &Path, mark: &str) -> Result<Option<PathBuf>, Problem> {
    let failed = |error: std::io::Error| local(&path.display().to_string(), &error);
    if !path.try_exists().map_err(failed)? {
        return Ok(None);
    }
    let to = beside(path, &format!(".aside-{mark}"));
    if to.try_exists().map_err(failed)? {
        return Err(Problem::new(
            Kind::Local,
            format!("move the journal {} aside", path.display()),
            format!("{} is there already", to.display()),
            "move it elsewhere, or try again a moment later",
        ));
    }
    // The log first: with the database gone it would be taken for the new one's.
    for end in BESIDE {
        match fs::rename(beside(path, end), beside(&to, end)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    fs::rename(path, &to).map_err(failed)?;
    Ok(Some(to))
}
