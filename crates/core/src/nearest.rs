//! The known word nearest to a mistyped one.

/// The known word nearest to `wrong`, if it is near enough to be meant: at most a third of its letters differ.
/// Upper and lower case, and `-` and `_`, count as the same.
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|k| (strsim::levenshtein(&plain(wrong), &plain(k)), *k))
        .min()
        .filter(|(d, k)| *d <= (k.len() / 3).max(1))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_offered() {
        assert_eq!(nearest("Stat", &["state", "name"]), Some("state"));
        assert_eq!(nearest("xyzzy", &["state", "name"]), None);
    }
}
