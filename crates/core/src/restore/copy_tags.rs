//! The tags of a restored copy. Whoever selects by tags (Data Lifecycle Manager, AWS Backup, a maintenance window) can
//! select by any tag, and nobody here knows by which: so the copy gets none of its source's but those that were asked for.

use chrono::{DateTime, Utc};

use super::RestoreRequest;
use crate::snapshot::Snapshot;
use crate::tags::{EXCLUDE, MAX_TAGS, RESTORE, RESTORED_FROM, SOURCES, Tags};
use crate::text::visible;

/// Longest Name.
const MAX_NAME: usize = 255;
/// What stands before the time in the Name of a copy.
const RESTORED: &str = ", restored ";
/// Name and three of ours, and the one that keeps a copy out of sets.
const OWN: usize = 5;

/// The tags, and the keys of the source's that are left off. `sources` are the volumes that the data comes from.
pub(super) fn tags_of_copy(
    request: &RestoreRequest,
    member: &Snapshot,
    sources: Option<String>,
    taken: DateTime<Utc>,
    id: &str,
) -> (Tags, Vec<String>) {
    let mut tags = Tags::default();
    let mut left_off = Vec::new();
    for (key, value) in member.tags.copyable() {
        if key == "Name" || key.starts_with("freezeframe:") {
            continue;
        }
        let wanted = request.copy_all_tags || request.copy_tags.iter().any(|k| k == key);
        // Those of Data Lifecycle Manager speak of the snapshot.
        if wanted && !key.starts_with("dlm:") && tags.0.len() < MAX_TAGS - OWN {
            tags.set(key, value);
        } else {
            left_off.push(key.to_owned());
        }
    }
    tags.set("Name", name(member, taken));
    tags.set(RESTORED_FROM, member.id.as_str());
    tags.set(RESTORE, id);
    if let Some(sources) = sources {
        tags.set(SOURCES, sources);
    }
    if !request.in_sets {
        tags.set(EXCLUDE, "restored copy");
    }
    (tags, left_off)
}

/// What the copy is: the name of what it was made from, and the point in time whose data it has.
fn name(member: &Snapshot, taken: DateTime<Utc>) -> String {
    let of = match (member.tags.name(), member.device()) {
        (Some(name), _) => visible(name).into_owned(),
        (None, Some(device)) => format!("{} {}", member.volume, visible(device)),
        (None, None) => member.volume.to_string(),
    };
    // A copy of a copy says it once.
    let of = of
        .rfind(RESTORED)
        .and_then(|at| of.get(..at))
        .unwrap_or(&of);
    let when = format!("{RESTORED}{}", taken.format("%Y-%m-%d %H:%MZ"));
    let room = MAX_NAME - when.len();
    let mut head: String = of.chars().take(room).collect();
    if of.chars().count() > room {
        head.pop();
        head.push('…');
    }
    head + &when
}

/// What is said of the keys that are left off the copies, of all members together.
pub(super) fn notes(request: &RestoreRequest, left_off: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    if !left_off.is_empty() {
        let keys: Vec<String> = left_off.iter().map(|k| visible(k).into_owned()).collect();
        let what = if keys.len() == 1 { "tag" } else { "tags" };
        let next = if request.copy_all_tags {
            "they belong to Data Lifecycle Manager, or there is no room for more"
        } else {
            "Data Lifecycle Manager, AWS Backup or a maintenance window may select volumes by any of them; \
             --copy-tag KEY copies one, --copy-all-tags all"
        };
        notes.push(format!(
            "{} {what} of the source left off the copies ({}): {next}",
            keys.len(),
            keys.join(", ")
        ));
    } else if request.copy_all_tags {
        notes.push(
            "all tags of the source are copied: Data Lifecycle Manager, AWS Backup or a maintenance window that \
             selects by one of them takes up the copies"
                .to_owned(),
        );
    }
    notes.push(if request.in_sets {
        "the copies enter later sets of the instance while they are attached".to_owned()
    } else {
        format!(
            "the copies carry the tag {EXCLUDE}, so that later sets of the instance leave them out; \
             --in-sets takes them along, and so does removing the tag"
        )
    });
    notes
}
