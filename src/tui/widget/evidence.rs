//! The evidence of a set as a page of sentences: what broke first, then every link in causal order.

use std::collections::BTreeMap;

use super::details::Entry;
use crate::config::theme::Role;
use crate::domain::job::JobView;
use crate::domain::proof::{self, MemberProof, Sentence, Tone};
use crate::domain::set::SnapshotSet;
use crate::tui::style;

/// What a journal's job proves, as a section of its own.
pub fn of_job(job: &JobView) -> Vec<Entry> {
    section("Evidence", proof::sentences(job))
}

/// What can be said where only the tags are known.
pub fn by_tag(set: &SnapshotSet) -> Vec<Entry> {
    section("Evidence", proof::sentences_by_tag(set))
}

fn section(title: &str, sentences: Vec<Sentence>) -> Vec<Entry> {
    let mut out = vec![Entry::Section(title.to_owned())];
    out.extend(sentences.into_iter().map(|Sentence { tone, text }| {
        // The sign says what the colour says.
        let (sign, role) = match tone {
            Tone::Held => ("✔", Role::Ok),
            Tone::Broken => ("✘", Role::Error),
            Tone::Plain => return Entry::Words(text, Role::Text),
        };
        match text.split_once(' ') {
            Some((number, words)) if number.ends_with('.') => {
                Entry::Item(format!("{sign} {number} "), words.to_owned(), role)
            }
            _ => Entry::Item(format!("{sign} "), text, role),
        }
    }));
    out
}

/// The members with their levels and the reason of each.
pub fn members(members: &[MemberProof]) -> Vec<Entry> {
    let mut out = vec![Entry::Section(format!("Snapshots ({})", members.len()))];
    for member in members {
        let (symbol, word, role) = style::level(Some(member.level));
        out.push(Entry::Pair(
            member.device.clone().unwrap_or_else(|| "—".to_owned()),
            format!("{symbol} {word} · {} of {}", member.snapshot, member.volume),
            role,
        ));
        out.push(Entry::Pair(
            String::new(),
            member.reason.clone(),
            Role::Muted,
        ));
    }
    out
}

/// Where the logs stood, and the files that belong to the set; nothing when it has neither.
pub fn kept(positions: &BTreeMap<String, String>, job: Option<&JobView>) -> Vec<Entry> {
    let mut out = Vec::new();
    if !positions.is_empty() {
        out.push(Entry::Section("Where the logs stood".into()));
        out.extend(positions.iter().map(|(name, at)| Entry::pair(name, at)));
    }
    for file in job.iter().flat_map(|job| &job.evidence.files) {
        out.push(Entry::Section(format!("Kept with the set: {}", file.name)));
        out.extend(
            file.text
                .lines()
                .map(|line| Entry::Words(line.to_owned(), Role::Muted)),
        );
    }
    out
}
