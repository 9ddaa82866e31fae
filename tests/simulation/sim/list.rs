//! The list of seeds that once failed (`tests/simulation/seeds.txt`): CI plays them again, and `--fresh` appends to it.
//!
//! One story a line, by the flags that the example draws it with; `#` begins a comment.

use std::path::PathBuf;

use super::draw::Seed;
use super::shrink::Cut;
use super::story::Story;

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seed: Seed,
    pub cuts: Vec<Cut>,
}

impl Entry {
    /// The story that it tells.
    pub fn story(&self) -> Story {
        let drawn = Story::of(self.seed);
        let cut = |story: Story, cut: &Cut| cut.of(&story).unwrap_or(story);
        self.cuts.iter().fold(drawn, cut)
    }

    #[cfg(test)]
    fn parse(line: &str) -> Result<Self, String> {
        let mut entry = Self {
            seed: Seed::of(0),
            cuts: Vec::new(),
        };
        let mut words = line.split_whitespace();
        let mut seen = false;
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(format!("{flag} lacks its value"))?;
            let wrong = |_| format!("{flag} {value} is not understood");
            match flag {
                "--seed" => {
                    entry.seed.number = value
                        .parse()
                        .map_err(|e: std::num::ParseIntError| format!("{flag} {value}: {e}"))?;
                    seen = true;
                }
                "--draw" => entry.seed.draw = value.parse().map_err(wrong)?,
                "--story" => entry.seed.theme = Some(value.parse().map_err(wrong)?),
                "--cut" => entry.cuts = cuts(value)?,
                _ => return Err(format!("{flag} is not understood")),
            }
        }
        if seen {
            Ok(entry)
        } else {
            Err("no --seed".to_owned())
        }
    }
}

/// As it stands in the list and on the example's command line.
impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.seed)?;
        if self.cuts.is_empty() {
            return Ok(());
        }
        let cuts: Vec<String> = self.cuts.iter().map(Cut::to_string).collect();
        write!(f, " --cut {}", cuts.join(","))
    }
}

/// Cuts with commas between them.
#[cfg(test)]
fn cuts(text: &str) -> Result<Vec<Cut>, String> {
    text.split(',').map(str::parse).collect()
}

/// The list's file.
pub fn path() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/simulation/seeds.txt"
    ))
}

/// Every line of a list.
///
/// # Errors
/// Names the line that is not understood.
#[cfg(test)]
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let lines = (1..).zip(text.lines());
    let lines = lines.map(|(n, line)| (n, line.split('#').next().unwrap_or_default().trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(n, line)| Entry::parse(line).map_err(|why| format!("line {n}: {why}")))
        .collect()
}
