//! Is a copy of both data volumes what it claims to be? The same questions to the restored snapshots, which must pass,
//! and to the negative control, which must not.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::console::{Answer, Console, text};
use super::lab::Lab;
use super::work::{Ack, Server, TABLES, content};
use super::worlds::{DB, DB_EXT4, DB_XFS};

/// What a copy is held against.
pub struct Expected<'a> {
    pub rows: &'a [Ack],
    pub files: &'a [Ack],
    /// What was acknowledged before this must be there.
    pub before_ms: u64,
    /// What was asked for after this cannot be there: the copy would be of no single moment.
    pub after_ms: u64,
}

impl Expected<'_> {
    fn must(&self, acks: &[Ack]) -> BTreeSet<u64> {
        // Both clocks go in steps of 10 ms.
        acks.iter()
            .filter(|ack| ack.acked_ms + 10 <= self.before_ms)
            .map(|ack| ack.n)
            .collect()
    }

    fn must_not(&self, acks: &[Ack]) -> BTreeSet<u64> {
        acks.iter()
            .filter(|ack| ack.sent_ms >= self.after_ms.saturating_add(10))
            .map(|ack| ack.n)
            .collect()
    }

    /// Complains of what is missing in a copy, and of what cannot be there.
    pub fn compare(
        &self,
        what: &str,
        acks: &[Ack],
        there: &BTreeSet<u64>,
        complaints: &mut Vec<String>,
    ) {
        let (must, must_not) = (self.must(acks), self.must_not(acks));
        let missing: Vec<_> = must.difference(there).collect();
        if !missing.is_empty() {
            complaints.push(format!(
                "{what}: {} of {} acknowledged are missing: {:?} …",
                missing.len(),
                must.len(),
                &missing[..missing.len().min(5)]
            ));
        }
        let later = must_not.intersection(there).count();
        if later > 0 {
            complaints.push(format!("{what}: {later} from after the moment are there"));
        }
    }
}

/// A job of the database instance that proved everything: the verdict, every link, and for each snapshot its level, in
/// the job and in its own tag. Returns the job, and its two data snapshots as a restore is told to take them.
pub fn application_set(console: &Console, answer: &Answer) -> (Value, Vec<String>) {
    assert_eq!(answer.code, 0, "{answer:?}");
    let job = answer.job();
    assert_eq!(job["verdict"], "application", "{job:#}");
    assert_eq!(job["thaw_unconfirmed"], false, "{job:#}");
    for link in job["evidence"]["links"].as_array().unwrap() {
        assert_eq!(link["holds"], true, "{link:#}");
    }
    let (mut restore, mut locked) = (Vec::new(), 0);
    let set = job["set"].as_array().unwrap();
    for member in set {
        let data = member["volume"] == DB_XFS || member["volume"] == DB_EXT4;
        // Where the server keeps all on one volume, the other one has only files: by its dry run, which names all places.
        let files = &job["evidence"]["without"][text(&member["volume"])];
        let level = match (data, files.is_null()) {
            (true, true) => "application",
            (true, false) => "filesystem",
            (false, _) => "crash",
        };
        locked += usize::from(level == "application");
        let snapshot = text(&member["snapshot"]);
        assert_eq!(member["level"], level, "{member:#}");
        assert_eq!(console.level(&snapshot), level, "the tag of {member:#}");
        if data {
            restore.extend(["--snapshot".to_owned(), snapshot]);
        }
    }
    // Volumes of an earlier restore may still be attached; they are in the set as well.
    assert!(set.len() > 2, "{job:#}");
    assert_eq!(restore.len(), 4, "{job:#}");
    assert!(locked > 0, "{job:#}");
    (job, restore)
}

/// When the first event of that name happened, in milliseconds of the instance's clock.
pub fn at(events: &[Value], name: &str) -> u64 {
    let event = events.iter().find(|event| event["t"] == name);
    event
        .and_then(|event| event["ms"].as_u64())
        .unwrap_or_else(|| panic!("no {name} in {events:#?}"))
}

/// Everything that is wrong with the copies mounted at these places of the database instance.
pub fn examine(
    lab: &Lab,
    name: &str,
    database: &str,
    files: &str,
    expected: &Expected<'_>,
) -> Vec<String> {
    let mut complaints = examine_files(&lab.path(DB, files), expected);
    let mut server = Server::start(lab, &format!("{database}/mysql"), name);
    if server.is_up(lab) {
        examine_rows(lab, &server, expected, &mut complaints);
    } else {
        complaints.push(format!(
            "the server does not start on the copy: {}",
            server.log()
        ));
    }
    server.stop(lab);
    complaints
}

fn examine_rows(lab: &Lab, server: &Server, expected: &Expected<'_>, complaints: &mut Vec<String>) {
    let mut there = BTreeSet::new();
    for table in TABLES {
        // Before anything else opens it, so that nothing can have been mended.
        let (well, said) = server.ask(lab, &format!("CHECK TABLE proof.{table} EXTENDED"));
        let healthy = said.lines().all(|line| line.ends_with("\tstatus\tOK"));
        if !well || !healthy || said.is_empty() {
            complaints.push(format!("CHECK TABLE {table}: {said}"));
        }
        let (well, said) = server.ask(lab, &format!("SELECT n FROM proof.{table} WHERE payload = REPEAT(CONCAT(LPAD(n, 8, '0'), ' '), 30)"));
        if well {
            there.extend(said.lines().map(|line| line.parse::<u64>().unwrap()));
        } else {
            complaints.push(format!("SELECT from {table}: {said}"));
        }
    }
    expected.compare("rows", expected.rows, &there, complaints);
}

fn examine_files(root: &Path, expected: &Expected<'_>) -> Vec<String> {
    let mut complaints = Vec::new();
    let must = expected.must(expected.files);
    let mut there = BTreeSet::new();
    for writer in fs::read_dir(root).into_iter().flatten().flatten() {
        for file in fs::read_dir(writer.path()).into_iter().flatten().flatten() {
            let Some(n) = file.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            there.insert(n);
            // One that was still being written may be short.
            if must.contains(&n) && fs::read_to_string(file.path()).ok() != Some(content(n)) {
                complaints.push(format!("file {n} has another content"));
            }
        }
    }
    expected.compare("files", expected.files, &there, &mut complaints);
    complaints
}

/// Copies a volume's image as a naive backup would: block by block, in no order, with pauses, while it is in use.
pub fn slow_copy(from: &Path, to: &Path, seed: u64) {
    const CHUNK: u64 = 4 << 20;
    let mut from = File::open(from).unwrap();
    let size = from.metadata().unwrap().len();
    let mut to = File::create(to).unwrap();
    to.set_len(size).unwrap();
    let mut chunks: Vec<u64> = (0..size.div_ceil(CHUNK)).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut chunks);
    let mut buffer = Vec::new();
    for chunk in chunks {
        from.seek(SeekFrom::Start(chunk * CHUNK)).unwrap();
        buffer.clear();
        Read::by_ref(&mut from)
            .take(CHUNK)
            .read_to_end(&mut buffer)
            .unwrap();
        if buffer.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(chunk * CHUNK)).unwrap();
            to.write_all(&buffer).unwrap();
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    to.sync_all().unwrap();
}
