//! Documents' `allowedPattern`. The whole value must match, as SSM does it.

use regex_lite::{Regex, RegexBuilder};

use crate::bounds;

/// A parsed pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// Parses; the error says what is not supported or unbalanced.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // `\A` and `\z`: a newline at the end is part of the value.
        RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .size_limit(bounds::PATTERN)
            .build()
            .map(Self)
            .map_err(|e| e.to_string())
    }

    /// Whether the whole value matches.
    pub(super) fn matches(&self, value: &str) -> bool {
        self.0.is_match(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_match() {
        let mounts = r"^(auto|/[A-Za-z0-9._/@+-]*(,/[A-Za-z0-9._/@+-]*)*)$";
        for (pattern, value, expected) in [
            ("^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4})$", "None", true),
            (
                "^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4})$",
                "0a1b2c3d-4e5f",
                true,
            ),
            (
                "^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4})$",
                "0a1b2c3d-4e5g",
                false,
            ),
            ("^[1-9][0-9]{0,2}$", "30", true),
            ("^[1-9][0-9]{0,2}$", "30\n", false),
            ("^[1-9][0-9]{0,2}$", "0", false),
            ("^[1-9][0-9]{0,2}$", "1000", false),
            ("([1-9][0-9]{0,4})|(1[0-6][0-9]{4})", "3600", true),
            ("([1-9][0-9]{0,4})|(1[0-6][0-9]{4})", "3600; reboot", false),
            (mounts, "/data,/srv/files", true),
            (mounts, "/data;rm", false),
            (r"^\d+\.\w*$", "12.x", true),
            ("", "", true),
            ("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(value),
                expected,
                "{pattern} on {value:?}"
            );
        }
    }

    #[test]
    fn broken_patterns_are_refused() {
        for broken in ["(a", "a)", "[a", "*a", "(?=a)", "(a{900}){900}"] {
            assert!(Pattern::parse(broken).is_err(), "{broken}");
        }
    }
}
