//! Where a key stands in a configuration file, for messages that are made after the file was read.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// Lines of every key of a file, by its path.
#[derive(Debug, Default)]
pub(super) struct Places {
    lines: BTreeMap<Vec<String>, usize>,
}

impl Places {
    /// The places of a text that was understood; of any other, none.
    pub(super) fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            places.add(text.as_bytes(), &mut Vec::new(), table.get_ref());
        }
        places
    }

    fn add(&mut self, text: &[u8], path: &mut Vec<String>, table: &DeTable<'_>) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let (line, _) = place(text, key.span().start);
            self.lines.insert(path.clone(), line);
            if let DeValue::Table(inner) = value.get_ref() {
                self.add(text, path, inner);
            }
            path.pop();
        }
    }

    /// `FILE: line N` of the key; where the file does not have it, of the nearest table around it, else `FILE`.
    pub(super) fn said(&self, file: &str, keys: &[&str]) -> String {
        let mut path: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        while !path.is_empty() {
            if let Some(line) = self.lines.get(&path) {
                return format!("{file}: line {line}");
            }
            path.pop();
        }
        file.to_owned()
    }

    /// Every key with its line.
    pub(super) fn all(&self) -> impl Iterator<Item = (&[String], usize)> {
        self.lines
            .iter()
            .map(|(path, line)| (path.as_slice(), *line))
    }

    /// The places of everything under this key, `FILE: line N` by the path below it, joined by dots; the key itself is the empty path.
    pub(super) fn below(&self, file: &str, keys: &[&str]) -> BTreeMap<String, String> {
        self.lines
            .iter()
            .filter(|(path, _)| {
                path.len() >= keys.len() && path.iter().zip(keys).all(|(a, b)| a == b)
            })
            .map(|(path, line)| {
                let rest = path.get(keys.len()..).unwrap_or_default().join(".");
                (rest, format!("{file}: line {line}"))
            })
            .collect()
    }
}

/// Line and column, both from 1; columns count characters.
pub(super) fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |n| n + 1);
    (
        line,
        String::from_utf8_lossy(&before[start..]).chars().count() + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_key_has_its_line() {
        let places = Places::of(
            "a.b = 1\n\n[recipes.\"x y\"]\nparameters = { p = 1 }\n[recipes.z.parameters]\nq = 2\n",
        );
        for (keys, expected) in [
            (&["a", "b"][..], "f: line 1"),
            (&["recipes", "x y"], "f: line 3"),
            (&["recipes", "x y", "parameters", "p"], "f: line 4"),
            (&["recipes", "x y", "document"], "f: line 3"),
            (&["recipes", "z", "parameters", "q"], "f: line 6"),
            (&["nowhere", "at all"], "f"),
        ] {
            assert_eq!(places.said("f", keys), expected, "{keys:?}");
        }
        let below = places.below("f", &["recipes", "z"]);
        assert_eq!(below["parameters.q"], "f: line 6");
        assert_eq!(below[""], "f: line 5");
        assert!(Places::of("not toml").below("f", &[]).is_empty());
    }
}
