//! Where in a TOML file a value stands.

use toml::de::{DeTable, DeValue};

/// One step from a table or a list to what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    Key(&'a str),
    Nth(usize),
}

/// The line of the value at a path; of what is nearest above it where there is no such value.
pub fn line(text: &str, path: &[Step<'_>]) -> usize {
    let Ok(root) = DeTable::parse(text) else {
        return 1;
    };
    let mut at = 0;
    let mut table = Some(root.get_ref());
    let mut value: Option<&DeValue<'_>> = None;
    for step in path {
        let next = match (step, table, value) {
            (Step::Key(key), Some(table), _) => table
                .iter()
                .find(|(name, _)| name.get_ref() == key)
                .map(|(name, found)| (name.span().start, found.get_ref())),
            (Step::Nth(n), _, Some(DeValue::Array(list))) => list
                .get(*n)
                .map(|found| (found.span().start, found.get_ref())),
            _ => None,
        };
        let Some((start, found)) = next else { break };
        at = start;
        table = match found {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
        value = Some(found);
    }
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_tables_lists_of_tables_and_inline_tables() {
        let text = "name = \"x\"\n[[instance]]\nname = \"a\"\n[[instance]]\nname = \"b\"\ntags = { Env = \"\" }\n[[instance.volume]]\nsize = 1\n";
        let (key, nth) = (Step::Key, Step::Nth);
        let second = [key("instance"), nth(1)];
        for (rest, expected) in [
            (&[][..], 4),
            (&[key("name")], 5),
            (&[key("tags"), key("Env")], 6),
            (&[key("volume"), nth(0), key("size")], 8),
            (&[key("volume"), nth(0), key("iops")], 7),
        ] {
            assert_eq!(line(text, &[&second, rest].concat()), expected, "{rest:?}");
        }
        assert_eq!(line(text, &[key("ssm_rates")]), 1);
        assert_eq!(line("not TOML", &second), 1);
    }
}
