//! Filter expressions: `tag:Env=prod state=running !name=web* oracle`. All terms must match. One language for every
//! list of the console and of the command line; docs/filters.md describes it.

mod keys;
mod read;
mod rows;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use nucleo_matcher::pattern::Atom;
use nucleo_matcher::{Config, Matcher, Utf32Str};

pub use self::keys::{Key, RowKind};
use self::rows::{InstanceRow, JobRow, LooseRow, RecordRow, Row, SetRow, SnapshotRow, VolumeRow};
use super::instance::Instance;
use super::job::JobView;
use super::level::Level;
use super::problem::Problem;
use super::set::SnapshotSet;
use super::snapshot::{Snapshot, VolumeBackups};
use super::tags::Tags;
use super::volume::Volume;

thread_local! {
    /// A matcher holds 135 KB of scratch memory: one per thread, not one per row.
    static MATCHER: RefCell<(Matcher, Vec<char>)> = RefCell::new((Matcher::new(Config::DEFAULT), Vec::new()));
}

/// What a value is compared with: characters, and `None` for each `*` that stands for any text.
#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    parts: Vec<Option<char>>,
    any_case: bool,
}

/// One term without its `!`.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// `key=value`.
    Is(Key, Pattern),
    /// `tag:Key` or `tag:Key=value`.
    Tag(String, Option<Pattern>),
    /// A plain word with a `*`: some value of the row is like it from its beginning to its end.
    Like(Pattern),
    /// A plain word: a part of a value of the row, or letters in that order in a name or a tag's value.
    Word { part: Box<Atom>, fuzzy: Box<Atom> },
}

/// An expression; the empty one matches everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// Each with whether it is negated.
    terms: Vec<(bool, Test)>,
}

/// What is known of the instance that a set or a job is of, as far as it is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfInstance<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its tags, or those that count as its tags where it is gone.
    pub tags: Option<&'a Tags>,
    /// What else there is to know of it.
    pub there: Option<&'a Instance>,
}

impl<'a> OfInstance<'a> {
    /// What there is to know of that instance; nothing where it is gone.
    pub fn of(instance: Option<&'a Instance>) -> Self {
        Self {
            name: instance.and_then(|i| i.tags.name()),
            tags: instance.map(|i| &i.tags),
            there: instance,
        }
    }

    /// The same with other tags.
    #[must_use]
    pub fn with_tags(self, tags: &'a Tags) -> Self {
        Self {
            tags: Some(tags),
            ..self
        }
    }
}

impl Filter {
    /// Reads an expression for rows of that kind.
    ///
    /// # Errors
    /// A key that these rows do not have, a value that none of them can have, an empty term or an unclosed quote,
    /// with its position (characters, from 1).
    pub fn parse(text: &str, kind: RowKind) -> Result<Self, Problem> {
        let terms = read::terms(text, kind)?;
        Ok(Self { terms })
    }

    /// Whether it lets every row pass.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row's value of that key can decide; a list that has to look for it does so only then.
    pub fn asks_for(&self, key: Key) -> bool {
        self.terms.iter().any(|(_, test)| match test {
            Test::Is(asked, _) => *asked == key,
            Test::Like(_) | Test::Word { .. } => true,
            Test::Tag(..) => false,
        })
    }

    /// Whether a tag can decide.
    pub fn asks_for_tags(&self) -> bool {
        let plain = |test: &Test| !matches!(test, Test::Is(..));
        self.terms.iter().any(|(_, test)| plain(test))
    }

    /// Whether the name or the tags of a set's instance can decide.
    pub fn asks_for_instances(&self) -> bool {
        self.asks_for(Key::Name) || self.asks_for(Key::Instance) || self.asks_for_tags()
    }

    /// Whether an instance matches; `level` is that of its newest proven set.
    pub fn matches_instance(&self, row: &Instance, level: Option<Level>) -> bool {
        self.matches(&InstanceRow::new(row, level))
    }

    /// Whether a volume matches; `names` are those of the instances that it is attached to, `backups` its snapshots
    /// in short.
    pub fn matches_volume(
        &self,
        row: &Volume,
        names: &[&str],
        backups: Option<&VolumeBackups>,
    ) -> bool {
        self.is_empty() || self.matches(&VolumeRow::new(row, names, backups))
    }

    /// Whether a snapshot matches; `instance` is the name of the instance that it was taken from.
    pub fn matches_snapshot(&self, row: &Snapshot, instance: Option<&str>) -> bool {
        self.is_empty() || self.matches(&SnapshotRow::new(row, instance))
    }

    /// Whether a set matches.
    pub fn matches_set(&self, row: &SnapshotSet, instance: OfInstance<'_>) -> bool {
        self.is_empty() || self.matches(&SetRow::new(row, instance))
    }

    /// Whether a snapshot that is of no set matches, where sets are asked for.
    pub fn matches_loose_snapshot(&self, row: &Snapshot, instance: OfInstance<'_>) -> bool {
        self.is_empty() || self.matches(&LooseRow::new(row, instance))
    }

    /// Whether a prune or a restore on record matches; `words` are what the listing says of it.
    pub fn matches_record(&self, id: &str, state: &str, words: &[&str]) -> bool {
        self.is_empty() || self.matches(&RecordRow { id, state, words })
    }

    /// Whether a job matches; `state` is what the listing says of it. Its phase is its state too.
    pub fn matches_job(&self, row: &JobView, state: &str, instance: OfInstance<'_>) -> bool {
        self.is_empty() || self.matches(&JobRow::new(row, state, instance))
    }

    fn matches(&self, row: &dyn Row) -> bool {
        self.terms
            .iter()
            .all(|(negated, test)| test.holds(row) != *negated)
    }
}

impl Test {
    fn holds(&self, row: &dyn Row) -> bool {
        let keys = || row.kind().keys().iter();
        match self {
            Self::Is(key, wanted) => row.values(*key).iter().any(|v| wanted.fits(v)),
            Self::Tag(key, wanted) => row
                .tags()
                .and_then(|tags| tags.get(key))
                .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted.fits(value))),
            Self::Like(wanted) => {
                keys().any(|key| row.values(*key).iter().any(|v| wanted.fits(v)))
                    || row
                        .tags()
                        .is_some_and(|tags| tags.iter().any(|(_, value)| wanted.fits(value)))
            }
            Self::Word { part, fuzzy } => MATCHER.with_borrow_mut(|(matcher, buffer)| {
                let mut hit = |atom: &Atom, text: &str| {
                    atom.score(Utf32Str::new(text, buffer), matcher).is_some()
                };
                // Letters in order are found in nearly any 17 hex digits: only names and tags match by them.
                keys().any(|key| {
                    let atom = if *key == Key::Name { fuzzy } else { part };
                    row.values(*key).iter().any(|v| hit(atom, v))
                }) || row.remark().is_some_and(|text| hit(part, text))
                    || row.tags().is_some_and(|tags| {
                        tags.iter().any(|(key, value)| {
                            let ours = key.starts_with("freezeframe:");
                            hit(if ours { part } else { fuzzy }, value)
                        })
                    })
            }),
        }
    }
}

impl Pattern {
    /// Whether the whole text is like it. Greedy with one point to come back to, so never worse than the product of
    /// the lengths.
    fn fits(&self, text: &str) -> bool {
        let same = |a: char, b: char| a == b || (self.any_case && a.eq_ignore_ascii_case(&b));
        let text: Vec<char> = text.chars().collect();
        let (mut i, mut j) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        while let Some(here) = text.get(j) {
            match self.parts.get(i) {
                Some(None) => {
                    back = Some((i + 1, j));
                    i += 1;
                }
                Some(Some(c)) if same(*c, *here) => {
                    i += 1;
                    j += 1;
                }
                _ => match back {
                    Some((after, from)) => {
                        back = Some((after, from + 1));
                        i = after;
                        j = from + 1;
                    }
                    None => return false,
                },
            }
        }
        self.parts.iter().skip(i).all(Option::is_none)
    }
}
