//! The database of a simulated instance: which one it is, what it says before, under and after its lock.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::super::state::{Hold, Mounted};
use super::Play;
use crate::world::Engine;

/// The tag that says how an instance is quiesced, and so what runs on it.
const TAG: &str = "ConsistentSnapshot";
/// Characters of a file that fit one line.
const PART: usize = 400;
/// Bytes of one PostgreSQL WAL segment.
const SEGMENT: i64 = 16 << 20;

/// How the document of an engine speaks of it.
struct Manner {
    /// `engine.name`
    name: &'static str,
    version: &'static str,
    /// The client that the document needs.
    client: &'static str,
    /// `locked.how`
    how: &'static str,
    /// A mount with one of these in its name carries the data; the earlier word counts more.
    places: &'static [&'static str],
    /// What the document calls the data directory when it is not frozen.
    setting: &'static str,
    /// What the client says where no such server runs.
    silence: &'static str,
}

const MYSQL: Manner = Manner {
    name: "mysql",
    version: "8.0.40",
    client: "mysql",
    how: "ftwrl",
    places: &["mysql", "maria", "db", "data"],
    setting: "datadir",
    silence: "ERROR 2002 (HY000): Can't connect to local MySQL server through socket '/run/mysqld/mysqld.sock' (2)",
};

fn manner(engine: Engine) -> Manner {
    match engine {
        Engine::Mysql => MYSQL,
        Engine::Mariadb => Manner {
            name: "mariadb",
            version: "10.11.6-MariaDB",
            ..MYSQL
        },
        Engine::Postgresql => Manner {
            name: "postgresql",
            version: "16.4",
            client: "psql",
            how: "backup-api",
            places: &["pgsql/data", "postgres", "pgsql", "data", "db"],
            setting: "data_directory",
            silence: "no socket of a PostgreSQL server for port 5432: auto",
        },
        Engine::Redis => Manner {
            name: "redis",
            version: "7.2.5",
            client: "redis-cli",
            how: "client-pause",
            places: &["redis", "valkey", "data", "db"],
            setting: "dir",
            silence: "Could not connect to Redis at 127.0.0.1:6379: Connection refused",
        },
        Engine::Mongodb => Manner {
            name: "mongodb",
            version: "7.0.14",
            client: "mongosh",
            how: "fsync-lock",
            places: &["mongo", "data", "db"],
            setting: "dbPath",
            silence: "MongoNetworkError: connect ECONNREFUSED 127.0.0.1:27017",
        },
    }
}

/// What a recipe, or the tag that names it, expects to find; where several fit, the first.
fn expected(recipe: &str) -> Option<Engine> {
    match recipe {
        "linux-mysql" | "AmazonLinuxMySQL" => Some(Engine::Mariadb),
        "linux-postgresql" => Some(Engine::Postgresql),
        "linux-redis" => Some(Engine::Redis),
        "linux-mongodb" => Some(Engine::Mongodb),
        _ => None,
    }
}

fn same_recipe(one: Engine, other: Engine) -> bool {
    manner(one).client == manner(other).client
}

/// A base backup that a lock session keeps open.
#[derive(Debug, Clone)]
pub(in super::super) struct BaseBackup {
    lsn: i64,
    began: DateTime<Utc>,
}

fn lsn(position: i64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

impl Play<'_> {
    /// What runs on this instance: what its tag asks for, else what the world's file says, else, where neither says
    /// anything of it, what the document looks for.
    fn engine(&self, recipe: &str) -> Option<Engine> {
        let lab = self.runtime.lab.get().and_then(crate::WeakLab::upgrade);
        let (tag, declared) = lab
            .and_then(|lab| {
                let world = lab.world();
                let instance = world.instances.get(&self.invocation.instance)?;
                Some((instance.tags.get(TAG).cloned(), instance.engine))
            })
            .unwrap_or_default();
        match (tag.as_deref().and_then(expected), declared) {
            (Some(tagged), Some(declared)) if same_recipe(tagged, declared) => Some(declared),
            (Some(engine), _) | (None, Some(engine)) => Some(engine),
            (None, None) if tag.as_deref() == Some("linux-filesystem") => None,
            (None, None) => expected(recipe),
        }
    }

    /// The client's line of `dry-run`.
    pub(super) fn say_client(&mut self, recipe: &str) {
        if let Some(wanted) = expected(recipe) {
            let client = manner(wanted).client;
            let path = format!("/usr/bin/{client}");
            self.emit("tool", json!({"name": client, "path": path}));
        }
    }

    /// The preflight of a database recipe: the engine and its places, or the exit code of a refusal.
    pub(super) fn meet_engine(&mut self, recipe: &str, covered: &[Mounted]) -> Result<(), i32> {
        let Some(wanted) = expected(recipe) else {
            return Ok(());
        };
        let found = self
            .engine(recipe)
            .filter(|found| same_recipe(*found, wanted));
        let Some(found) = found else {
            self.error("db-unreachable", manner(wanted).silence);
            return Err(self.end("refused", 206));
        };
        let is = manner(found);
        let mounts = self.machine(|machine| machine.mounts.clone());
        let root = self.freezes_root();
        let possible = || {
            mounts
                .iter()
                .filter(|mounted| mounted.objection(root).is_none() && mounted.mount != "/")
        };
        let named = is
            .places
            .iter()
            .find_map(|word| possible().find(|mounted| mounted.mount.contains(word)));
        let Some(home) = named.or_else(|| possible().next()).or(covered.first()) else {
            return Ok(());
        };
        let datadir = home.mount.clone();
        let event =
            json!({"name": is.name, "version": is.version, "datadir": datadir, "replica": false});
        self.emit("engine", event);
        if !covered.contains(home) {
            let text = format!(
                "{} ({datadir}) is not on a filesystem that is frozen",
                is.setting
            );
            let event = json!({"code": "not-covered", "text": text, "mount": datadir});
            self.emit("error", event);
            return Err(self.end("refused", 206));
        }
        match found {
            Engine::Postgresql => {
                let wal = possible()
                    .find(|mounted| mounted.mount.contains("wal"))
                    .map_or_else(|| format!("{datadir}/pg_wal"), |m| m.mount.clone());
                self.emit("path", json!({"what": "wal", "path": wal}));
            }
            Engine::Redis => {
                let path = format!("{datadir}/appendonlydir");
                self.emit("path", json!({"what": "aof", "path": path}));
            }
            Engine::Mysql | Engine::Mariadb => {
                // A mount of that name holds the binary log, wherever it is and whether it is frozen or not.
                if let Some(log) = mounts.iter().find(|m| m.mount.contains("binlog")) {
                    self.emit("path", json!({"what": "binlog", "path": log.mount}));
                }
            }
            Engine::Mongodb => {}
        }
        Ok(())
    }

    /// The database gives its lock and says where its log stands.
    pub(super) async fn lock(&mut self, recipe: &str) {
        let Some(engine) = self.engine(recipe).filter(|_| expected(recipe).is_some()) else {
            return;
        };
        self.pause(5, 300).await;
        let (now, session) = (self.now(), self.runtime.books().rng.u32(11..900));
        if !self.machine(|machine| machine.lock(now, session)) {
            return;
        }
        let how = manner(engine).how;
        self.emit(
            "locked",
            json!({"session": session, "how": how, "tries": 1}),
        );
        let seconds = now.timestamp();
        let position = match engine {
            Engine::Mysql | Engine::Mariadb => return,
            Engine::Postgresql => {
                // A backup begins in a segment of its own.
                let start = seconds / 60 % 1_000_000 * SEGMENT + 0x28;
                self.hold(|hold| {
                    hold.backup = Some(BaseBackup {
                        lsn: start,
                        began: now,
                    });
                });
                json!({"name": "lsn", "value": lsn(start)})
            }
            Engine::Redis => {
                let digits = self.invocation.instance.trim_start_matches("i-");
                let id: String = digits.chars().cycle().take(40).collect();
                json!({"name": "replication-offset", "value": format!("{id}:{}", seconds * 14)})
            }
            Engine::Mongodb => json!({"name": "optime", "value": format!("{seconds}.1")}),
        };
        self.emit("position", position);
    }

    /// Ends the base backup of a session that still answered: where it ended, and its label.
    pub(super) fn stop_backup(&mut self, hold: &Hold) {
        let Some(backup) = &hold.backup else { return };
        if (hold.deadline - self.now()).num_milliseconds() < 1_200 {
            let text = "the budget left no time for the label of the backup";
            self.emit("note", json!({"text": text}));
            return;
        }
        let (start, checkpoint) = (lsn(backup.lsn), lsn(backup.lsn + 0x38));
        let event = json!({"name": "stop-lsn", "value": lsn(backup.lsn + 0x130)});
        self.emit("position", event);
        let segment = backup.lsn / SEGMENT;
        // As PostgreSQL names it: timeline, then the segment's number in two parts.
        let file = format!("{:08X}{:08X}{:08X}", 1, segment >> 8, segment & 0xFF);
        let label = format!(
            "START WAL LOCATION: {start} (file {file})\nCHECKPOINT LOCATION: {checkpoint}\nBACKUP METHOD: streamed\n\
             BACKUP FROM: primary\nSTART TIME: {} UTC\nLABEL: freezeframe {}\nSTART TIMELINE: 1\n",
            backup.began.format("%F %T"),
            self.job
        );
        let letters: Vec<char> = label.chars().collect();
        let parts = letters.len().div_ceil(PART);
        for (n, part) in letters.chunks(PART).enumerate() {
            let text: String = part.iter().collect();
            let event =
                json!({"name": "backup_label", "part": n + 1, "parts": parts, "text": text});
            self.emit("file", event);
        }
    }
}
