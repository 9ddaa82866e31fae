//! What the review's form says of the set: root volumes and others that are left out, and tags of the operator's own.

use crate::domain::ids::VolumeId;
use crate::domain::instance::Instance;
use crate::domain::set_plan::{self, SetOptions, Tagging};
use crate::domain::tags::Tags;
use crate::domain::text::visible;

/// Volumes by their ids, with commas or blanks between them.
///
/// # Errors
/// The first word that is no id of a volume, or is that of one which none of the instances has, in words for the field.
pub(super) fn left_out(typed: &str, chosen: &[&Instance]) -> Result<Vec<VolumeId>, String> {
    let words = typed.split(|c: char| c == ',' || c.is_whitespace());
    let mut out: Vec<VolumeId> = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        let id: VolumeId = word
            .parse()
            .map_err(|_| format!("`{}` is no volume id, such as vol-0123abcd", visible(word)))?;
        if !out.contains(&id) {
            out.push(id);
        }
    }
    match set_plan::stray(chosen, &out) {
        None => Ok(out),
        Some(id) => Err(format!("{id} is attached to none of these instances")),
    }
}

/// Tags with commas between them: `CostCenter=4711, Owner=db team`.
///
/// # Errors
/// What is wrong with the first that cannot be one, or with their number, in words for the field.
pub(super) fn own_tags(typed: &str, configured: &Tagging) -> Result<Tags, String> {
    let mut tags = Tags::default();
    for pair in typed.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("`{}` has no =: KEY=VALUE", visible(pair)))?;
        SetOptions::check_tag(key, value)?;
        if tags.get(key).is_some() {
            return Err(format!("`{}` is given twice", visible(key)));
        }
        tags.set(key, value);
    }
    let asked = SetOptions {
        tags: tags.clone(),
        ..SetOptions::default()
    };
    let all = configured.options(&asked).tags.0.len();
    if all > SetOptions::MOST_TAGS {
        return Err(format!(
            "{all} tags with those of the configuration; {} is the most",
            SetOptions::MOST_TAGS
        ));
    }
    Ok(tags)
}

/// The tags that every snapshot gets, each with where it is from if that is the configuration; `None` without any.
pub(super) fn words(own: &Tags, configured: &Tagging) -> Option<String> {
    let typed = own.iter().map(|(key, value)| format!("{key}={value}"));
    let ours = configured.tags.iter();
    let ours = ours.filter(|(key, _)| own.get(key).is_none());
    let ours = ours.map(|(key, value)| format!("{key}={value} (configuration)"));
    let all: Vec<String> = typed.chain(ours).collect();
    let all = visible(&all.join(", ")).into_owned();
    (!all.is_empty()).then(|| format!("Every snapshot gets {all}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_tags_are_read_as_the_command_line_reads_them() {
        let configured = Tagging {
            tags: [("Owner", "config"), ("Team", "db")].into_iter().collect(),
            ..Tagging::default()
        };
        let tags = own_tags(" CostCenter=4711, Owner=db team ,", &configured).unwrap();
        assert_eq!(tags.get("CostCenter"), Some("4711"));
        assert_eq!(tags.get("Owner"), Some("db team"));
        assert_eq!(
            words(&tags, &configured).unwrap(),
            "Every snapshot gets CostCenter=4711, Owner=db team, Team=db (configuration)."
        );
        assert_eq!(words(&Tags::default(), &Tagging::default()), None);
        let long = format!("k={}", "x".repeat(257));
        let many: Vec<String> = (0..50).map(|n| format!("k{n}=")).collect();
        for (typed, why) in [
            ("CostCenter", "KEY=VALUE"),
            ("=x", "needs a key"),
            ("aws:x=1", "AWS's own"),
            ("freezeframe:level=application", "freezeframe's own"),
            ("a=1,a=2", "twice"),
            (&long, "257"),
            ("a=\u{202e}b", "AWS takes"),
            (&many.join(","), "is the most"),
        ] {
            let said = own_tags(typed, &configured).unwrap_err();
            assert!(said.contains(why), "{typed}: {said}");
        }
    }

    #[test]
    fn what_is_left_out_is_a_volume_of_these_instances() {
        assert_eq!(left_out(" , ", &[]).unwrap(), []);
        for (typed, why) in [
            ("data", "no volume id"),
            ("vol-0123abcd vol-x", "vol-x"),
            ("vol-0123abcd", "attached to none"),
        ] {
            let said = left_out(typed, &[]).unwrap_err();
            assert!(said.contains(why), "{typed}: {said}");
        }
    }
}
