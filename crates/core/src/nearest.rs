//! The known word nearest to a mistyped one.

/// The known word nearest to `wrong`, if it is near enough to be meant: at most a third of its letters differ.
/// Upper and lower case, and `-` and `_`, count as the same.
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|k| (distance(&plain(wrong), &plain(k)), *k))
        .min()
        .filter(|(d, k)| *d <= (k.len() / 3).max(1))
        .map(|(_, k)| k)
}

/// Levenshtein's distance, over characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(x != *y))
                .min(*cell + 1)
                .min(left + 1);
            diagonal = std::mem::replace(cell, cost);
            left = cost;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn only_what_is_near_is_offered() {
        assert_eq!(nearest("Stat", &["state", "name"]), Some("state"));
        assert_eq!(nearest("xyzzy", &["state", "name"]), None);
    }
}
