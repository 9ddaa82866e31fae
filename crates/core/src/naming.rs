//! How a thing is named where it is shown: never by a `Name` alone that another one has too.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::text::visible;

/// So many characters at the end of an id tell two of one name apart.
const TAIL: usize = 5;

/// The end of an id that tells it from others: `…c3333`.
pub fn tail(id: &str) -> String {
    let skip = id.chars().count().saturating_sub(TAIL);
    let tail: String = id.chars().skip(skip).collect();
    format!("…{tail}")
}

/// The name, unless there is none or it is the id itself.
fn usable_name<'a>(name: Option<&'a str>, id: &str) -> Option<Cow<'a, str>> {
    name.filter(|name| !name.trim().is_empty() && *name != id)
        .map(visible)
}

/// Whether a person would take it for the id of something.
fn looks_like_an_id(name: &str) -> bool {
    name.trim().split_once('-').is_some_and(|(kind, digits)| {
        let kind = kind.to_ascii_lowercase();
        matches!(kind.as_str(), "i" | "vol" | "snap" | "ami")
            && digits.len() >= 4
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// The name with the end of the id, whoever else has it: `web …c3333`. For reviews with little room.
pub fn short(name: Option<&str>, id: &str) -> String {
    match usable_name(name, id) {
        Some(name) => format!("{name} {}", tail(id)),
        None => id.to_owned(),
    }
}

/// The name with the whole id: `web (i-0cccccccccccc3333)`.
pub fn full(name: Option<&str>, id: &str) -> String {
    match usable_name(name, id) {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    }
}

/// Which ids have which name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    ids: HashMap<String, BTreeSet<String>>,
}

impl Names {
    /// Takes in that something of that id has that name.
    pub fn note(&mut self, name: Option<&str>, id: &str) {
        let Some(name) = usable_name(name, id) else {
            return;
        };
        match self.ids.get_mut(name.as_ref()) {
            Some(ids) if ids.contains(id) => {}
            Some(ids) => {
                ids.insert(id.to_owned());
            }
            None => {
                let ids = BTreeSet::from([id.to_owned()]);
                self.ids.insert(name.into_owned(), ids);
            }
        }
    }

    /// The name alone where nothing else has it and it is not taken for an id; with the end of the id elsewhere, with the whole id where
    /// the ends are the same; the id where there is no name.
    pub fn show(&self, name: Option<&str>, id: &str) -> String {
        let Some(known) = usable_name(name, id) else {
            return id.to_owned();
        };
        let others = self.ids.get(known.as_ref()).into_iter().flatten();
        let others: Vec<&String> = others.filter(|other| *other != id).collect();
        if others.is_empty() && !looks_like_an_id(&known) {
            return known.into_owned();
        }
        let end = tail(id);
        if others.iter().any(|other| tail(other) == end) {
            full(name, id)
        } else {
            short(name, id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_an_id_never_stands_alone() {
        let mut names = Names::default();
        names.note(Some("i-0aaaaaaaaaaaa1111"), "i-0cccccccccccc3333");
        let shown = names.show(Some("i-0aaaaaaaaaaaa1111"), "i-0cccccccccccc3333");
        assert_eq!(shown, "i-0aaaaaaaaaaaa1111 …c3333");
        for plain in ["i-can-do", "vol-au-vent", "ami", "snap-", "web-1"] {
            names.note(Some(plain), "i-0cccccccccccc3333");
            assert_eq!(names.show(Some(plain), "i-0cccccccccccc3333"), plain);
        }
    }

    #[test]
    fn a_name_never_stands_alone_where_it_is_not_unique() {
        let mut names = Names::default();
        for (name, id) in [
            (Some("web"), "i-0aaaaaaaaaaaa1111"),
            (Some("web"), "i-0bbbbbbbbbbbb2222"),
            (Some("web"), "i-0cccccccccccb2222"),
            (Some("db"), "i-0dddddddddddd4444"),
            (Some("db"), "i-0dddddddddddd4444"),
            (Some(" "), "i-0eeeeeeeeeeee5555"),
            (None, "i-0ffffffffffff6666"),
            (Some("e\u{1b}vil"), "i-00000000000000007"),
            (Some("e\\u{1b}vil"), "i-00000000000000008"),
        ] {
            names.note(name, id);
        }
        let web = |id| names.show(Some("web"), id);
        assert_eq!(web("i-0aaaaaaaaaaaa1111"), "web …a1111");
        // Ends that are alike tell nobody apart.
        assert_eq!(web("i-0bbbbbbbbbbbb2222"), "web (i-0bbbbbbbbbbbb2222)");
        assert_eq!(web("i-0cccccccccccb2222"), "web (i-0cccccccccccb2222)");
        assert_eq!(names.show(Some("db"), "i-0dddddddddddd4444"), "db");
        // One that was not noted, of a name that was.
        assert_eq!(names.show(Some("db"), "i-01234567"), "db …34567");
        for name in [Some(" "), None, Some("i-01234567")] {
            assert_eq!(names.show(name, "i-01234567"), "i-01234567");
        }
        // What looks the same on the screen is the same name.
        assert_eq!(
            names.show(Some("e\u{1b}vil"), "i-00000000000000007"),
            "e\\u{1b}vil …00007"
        );
    }

    #[test]
    fn reviews_show_ids_always() {
        assert_eq!(short(Some("db"), "i-0dddddddddddd4444"), "db …d4444");
        assert_eq!(
            full(Some("db"), "i-0dddddddddddd4444"),
            "db (i-0dddddddddddd4444)"
        );
        assert_eq!(short(None, "i-01234567"), "i-01234567");
        assert_eq!(tail("i-1"), "…i-1");
        assert_eq!(tail(""), "…");
    }
}
