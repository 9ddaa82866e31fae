//! What a recipe leaves with the set besides its level: positions of logs, small files, and words for people.

use std::collections::BTreeMap;

use crate::job::KeptFile;
use crate::text::visible;
use crate::trace::{Trace, TraceEvent};

/// Most bytes of all files of a set together.
const FILES: usize = 64 * 1024;
/// Longest name of a position or a file, in characters.
const NAME: usize = 64;
/// Most notes of a set.
const NOTES: usize = 20;

/// Positions by name; the first word on each counts.
pub(super) fn positions(traces: &[&Trace]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for said in traces.iter().flat_map(|trace| trace.events()) {
        if let TraceEvent::Position { name, value } = said
            && is_name(name)
        {
            all.entry(name.clone())
                .or_insert_with(|| visible(value).into_owned());
        }
    }
    all
}

/// What the instance wants people to know.
pub fn notes(traces: &[&Trace]) -> Vec<String> {
    traces
        .iter()
        .flat_map(|trace| trace.events())
        .filter_map(|said| match said {
            TraceEvent::Note { text } => Some(visible(text).into_owned()),
            _ => None,
        })
        .take(NOTES)
        .collect()
}

/// Files whose every part is there, in the order of their first parts, as long as there is room.
pub(super) fn files(traces: &[&Trace]) -> Vec<KeptFile> {
    let mut order: Vec<&str> = Vec::new();
    let mut found: BTreeMap<&str, (u64, BTreeMap<u64, &str>)> = BTreeMap::new();
    for said in traces.iter().flat_map(|trace| trace.events()) {
        if let TraceEvent::File {
            name,
            part,
            parts,
            text,
        } = said
            && is_name(name)
        {
            if !found.contains_key(name.as_str()) {
                order.push(name);
            }
            let entry = found.entry(name).or_insert((*parts, BTreeMap::new()));
            if entry.0 == *parts && (1..=*parts).contains(part) {
                entry.1.entry(*part).or_insert(text);
            }
        }
    }
    let mut room = FILES;
    let mut all = Vec::new();
    for name in order {
        let Some((parts, there)) = found.get(name) else {
            continue;
        };
        let text: String = there.values().copied().collect();
        let whole = u64::try_from(there.len()) == Ok(*parts);
        if let Some(left) = room.checked_sub(text.len()).filter(|_| whole) {
            room = left;
            // The ends of lines are the file's own.
            let lines: Vec<_> = text.split('\n').map(visible).collect();
            all.push(KeptFile {
                name: name.to_owned(),
                text: lines.join("\n"),
            });
        }
    }
    all
}

/// A name that may stand in a tag's key and in a file's name.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
