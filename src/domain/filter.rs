//! Filter expressions: `tag:Env=prod state=running !name=web* oracle`. All terms must match.

use std::cell::RefCell;

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::instance::Instance;
use super::job::JobView;
use super::problem::{Kind, Problem};
use super::set::SnapshotSet;
use super::snapshot::Snapshot;
use super::tags::Tags;
use super::volume::Volume;

thread_local! {
    /// A matcher holds 135 KB of scratch memory: one per thread, not one per row.
    static MATCHER: RefCell<(Matcher, Vec<char>)> = RefCell::new((Matcher::new(Config::DEFAULT), Vec::new()));
}

/// What a row can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumIter, strum::EnumString)]
#[strum(serialize_all = "kebab-case")]
enum Field {
    State,
    Level,
    Origin,
    Id,
    Name,
    Az,
    Type,
    Agent,
    Volume,
    Instance,
    Recipe,
}

/// One term without its `!`.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// `key=value`, `*` standing for any text.
    Is(Field, String),
    /// `tag:Key` or `tag:Key=value`.
    Tag(String, Option<String>),
    /// A plain word: a part of an id, or letters in that order in a name or a tag's value.
    Word { part: Box<Atom>, fuzzy: Box<Atom> },
}

/// An expression; the empty one matches everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// Each with whether it is negated.
    terms: Vec<(bool, Test)>,
}

/// What the rows have in common, so that one matcher serves all.
trait Row {
    /// The values of a field; none when the row has no such field.
    fn values(&self, field: Field) -> Vec<&str>;
    fn tags(&self) -> Option<&Tags>;
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// An unknown key, an empty term or an unclosed quote, with its position (characters, from 1).
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut terms = Vec::new();
        for word in words(text)? {
            terms.push(term(&word)?);
        }
        Ok(Self { terms })
    }

    /// Whether an instance matches.
    pub fn matches_instance(&self, row: &Instance) -> bool {
        self.matches(row)
    }

    /// Whether a volume matches.
    pub fn matches_volume(&self, row: &Volume) -> bool {
        self.matches(row)
    }

    /// Whether a snapshot matches.
    pub fn matches_snapshot(&self, row: &Snapshot) -> bool {
        self.terms.is_empty() || self.matches(&SnapshotRow::new(row))
    }

    /// Whether a set matches; `name` is that of its instance. Sets have no tags of their own: `tag:` terms never
    /// match one.
    pub fn matches_set(&self, row: &SnapshotSet, name: Option<&str>) -> bool {
        self.terms.is_empty()
            || self.matches(&SetRow {
                set: row,
                level: row.level.to_string(),
                name,
            })
    }

    /// Whether a set matches that is asked about together with its instance: what the set does not have (name, zone,
    /// type, agent, tags) is the instance's. `tags` are those that count for it.
    pub fn matches_set_of(
        &self,
        set: &SnapshotSet,
        instance: Option<&Instance>,
        tags: &Tags,
    ) -> bool {
        let row = SetRow {
            set,
            level: set.level.to_string(),
            name: None,
        };
        self.matches(&WithInstance {
            row: &row,
            instance,
            tags,
        })
    }

    /// As [`Filter::matches_set_of`], for a snapshot that is of no set.
    pub fn matches_snapshot_of(
        &self,
        snapshot: &Snapshot,
        instance: Option<&Instance>,
        tags: &Tags,
    ) -> bool {
        self.matches(&WithInstance {
            row: &SnapshotRow::new(snapshot),
            instance,
            tags,
        })
    }

    /// Whether a tag can make a row match or not.
    pub fn asks_for_tags(&self) -> bool {
        let asks = |test: &Test| matches!(test, Test::Word { .. } | Test::Tag(..));
        self.terms.iter().any(|(_, test)| asks(test))
    }

    /// Whether a name can make a row match or not.
    pub fn asks_for_names(&self) -> bool {
        let asks = |test: &Test| matches!(test, Test::Word { .. } | Test::Is(Field::Name, _));
        self.terms.iter().any(|(_, test)| asks(test))
    }

    /// Whether a job matches; `state` is what the listing says of it, and its phase too, `level` its verdict.
    pub fn matches_job(&self, row: &JobView, state: &str) -> bool {
        self.terms.is_empty()
            || self.matches(&JobRow {
                job: row,
                state,
                phase: row.phase.to_string(),
                verdict: row.verdict.map(|v| v.to_string()),
            })
    }

    /// Whether something on record matches: a prune or a restore, with the words that are shown of it.
    pub fn matches_record(&self, id: &str, state: &str, words: &[&str]) -> bool {
        self.matches(&RecordRow { id, state, words })
    }

    fn matches(&self, row: &dyn Row) -> bool {
        self.terms
            .iter()
            .all(|(negated, test)| test.holds(row) != *negated)
    }
}

impl Test {
    fn holds(&self, row: &dyn Row) -> bool {
        match self {
            Self::Is(field, wanted) => row.values(*field).iter().any(|v| like(wanted, v, true)),
            Self::Tag(key, wanted) => {
                row.tags()
                    .and_then(|tags| tags.get(key))
                    .is_some_and(|value| {
                        wanted
                            .as_deref()
                            .is_none_or(|wanted| like(wanted, value, false))
                    })
            }
            Self::Word { part, fuzzy } => MATCHER.with_borrow_mut(|(matcher, buffer)| {
                let mut hit = |atom: &Atom, text: &str| {
                    atom.score(Utf32Str::new(text, buffer), matcher).is_some()
                };
                // Letters in order are found in nearly any 17 hex digits: ids match by a part of them.
                let ids = [Field::Id, Field::Instance, Field::Volume];
                ids.iter()
                    .any(|f| row.values(*f).iter().any(|v| hit(part, v)))
                    || row.values(Field::Name).iter().any(|v| hit(fuzzy, v))
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

/// A word of the expression: its position, its text without quotes, and where its quotes began.
struct Word {
    at: usize,
    text: String,
    /// The first character was quoted: `!`, `=` and `tag:` in it are plain text.
    literal: bool,
}

fn words(text: &str) -> Result<Vec<Word>, Problem> {
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    for (n, c) in text.chars().enumerate() {
        if c == '"' {
            quote = if quote.is_some() { None } else { Some(n + 1) };
            word.get_or_insert_with(|| Word {
                at: n + 1,
                text: String::new(),
                literal: true,
            });
        } else if c.is_whitespace() && quote.is_none() {
            words.extend(word.take());
        } else {
            word.get_or_insert_with(|| Word {
                at: n + 1,
                text: String::new(),
                literal: false,
            })
            .text
            .push(c);
        }
    }
    if let Some(at) = quote {
        return Err(wrong(at, "the quote is not closed", "close it with \""));
    }
    words.extend(word);
    Ok(words)
}

fn term(word: &Word) -> Result<(bool, Test), Problem> {
    if word.literal {
        return Ok((false, plain(&word.text)));
    }
    let (negated, text) = match word.text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word.text.as_str()),
    };
    if text.is_empty() {
        return Err(wrong(
            word.at,
            "nothing follows the !",
            "write a term after it, such as !state=stopped",
        ));
    }
    if let Some(tag) = text.strip_prefix("tag:") {
        let (key, value) = match tag.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (tag, None),
        };
        if key.is_empty() {
            return Err(wrong(
                word.at,
                "tag: without a key",
                "write tag:Key or tag:Key=value",
            ));
        }
        return Ok((negated, Test::Tag(key.to_owned(), value)));
    }
    if let Some((key, value)) = text.split_once('=') {
        let field = key.parse().map_err(|_| {
            let known: Vec<String> = <Field as strum::IntoEnumIterator>::iter()
                .map(|f| f.to_string())
                .collect();
            wrong(
                word.at + usize::from(negated),
                &format!("unknown key `{key}`"),
                &format!(
                    "known: tag:KEY, {}; put plain text with = in quotes",
                    known.join(", ")
                ),
            )
        })?;
        return Ok((negated, Test::Is(field, value.to_owned())));
    }
    Ok((negated, plain(text)))
}

fn plain(text: &str) -> Test {
    let atom = |kind| {
        Box::new(Atom::new(
            text,
            CaseMatching::Smart,
            Normalization::Smart,
            kind,
            false,
        ))
    };
    Test::Word {
        part: atom(AtomKind::Substring),
        fuzzy: atom(AtomKind::Fuzzy),
    }
}

fn wrong(at: usize, cause: &str, mend: &str) -> Problem {
    Problem::new(
        Kind::Usage,
        "read the filter",
        format!("at character {at}: {cause}"),
        mend,
    )
}

/// Whether `text` is like `pattern`, in which `*` stands for any text. Greedy with one point to come back
/// to, so never worse than the product of the lengths.
fn like(pattern: &str, text: &str, any_case: bool) -> bool {
    let same = |a: u8, b: u8| a == b || (any_case && a.eq_ignore_ascii_case(&b));
    let (p, t) = (pattern.as_bytes(), text.as_bytes());
    let (mut i, mut j) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while j < t.len() {
        match p.get(i) {
            Some(b'*') => {
                back = Some((i + 1, j));
                i += 1;
            }
            Some(c) if same(*c, t[j]) => {
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
    p[i..].iter().all(|c| *c == b'*')
}

impl Row for Instance {
    fn values(&self, field: Field) -> Vec<&str> {
        match field {
            Field::State => vec![&self.state],
            Field::Id | Field::Instance => vec![self.id.as_str()],
            Field::Name => self.tags.name().into_iter().collect(),
            Field::Az => vec![&self.zone],
            Field::Type => vec![&self.instance_type],
            Field::Agent => vec![self.agent.word()],
            Field::Volume => self.devices.iter().map(|d| d.volume.as_str()).collect(),
            Field::Recipe => self.recipe_tag().into_iter().collect(),
            Field::Level | Field::Origin => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}

impl Row for Volume {
    fn values(&self, field: Field) -> Vec<&str> {
        match field {
            Field::State => vec![&self.state],
            Field::Id | Field::Volume => vec![self.id.as_str()],
            Field::Name => self.tags.name().into_iter().collect(),
            Field::Az => vec![&self.zone],
            Field::Type => vec![&self.volume_type],
            Field::Instance => self
                .attachments
                .iter()
                .map(|a| a.instance.as_str())
                .collect(),
            Field::Level | Field::Origin | Field::Agent | Field::Recipe => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}

struct SnapshotRow<'a> {
    snapshot: &'a Snapshot,
    level: Option<String>,
}

impl<'a> SnapshotRow<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            level: snapshot.borne_level().map(|l| l.to_string()),
        }
    }
}

impl Row for SnapshotRow<'_> {
    fn values(&self, field: Field) -> Vec<&str> {
        let s = self.snapshot;
        match field {
            Field::State => vec![&s.state],
            Field::Level => self.level.as_deref().into_iter().collect(),
            Field::Origin => vec![s.origin.word()],
            Field::Id => vec![s.id.as_str()],
            Field::Name => s.tags.name().into_iter().collect(),
            Field::Type => vec![&s.tier],
            Field::Volume => vec![s.volume.as_str()],
            Field::Instance => s.tags.get(super::tags::INSTANCE).into_iter().collect(),
            Field::Recipe => s.tags.get(super::tags::RECIPE).into_iter().collect(),
            Field::Az | Field::Agent => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.snapshot.tags)
    }
}

struct SetRow<'a> {
    set: &'a SnapshotSet,
    level: String,
    /// Of its instance.
    name: Option<&'a str>,
}

impl Row for SetRow<'_> {
    fn values(&self, field: Field) -> Vec<&str> {
        let s = self.set;
        match field {
            Field::State => vec![if s.restorable {
                "restorable"
            } else {
                "incomplete"
            }],
            Field::Level => vec![&self.level],
            Field::Origin => vec!["freezeframe"],
            Field::Id => std::iter::once(s.job.as_str())
                .chain(s.members.iter().map(|m| m.as_str()))
                .collect(),
            Field::Instance => s.instance.iter().map(|i| i.as_str()).collect(),
            Field::Recipe => s.recipe.as_deref().into_iter().collect(),
            Field::Name => self.name.into_iter().collect(),
            Field::Az | Field::Type | Field::Agent | Field::Volume => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

struct RecordRow<'a> {
    id: &'a str,
    state: &'a str,
    words: &'a [&'a str],
}

impl Row for RecordRow<'_> {
    fn values(&self, field: Field) -> Vec<&str> {
        match field {
            Field::State => vec![self.state],
            Field::Id => vec![self.id],
            Field::Name | Field::Instance => self.words.to_vec(),
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

/// A row of an instance's, with what the instance adds.
struct WithInstance<'a> {
    row: &'a dyn Row,
    instance: Option<&'a Instance>,
    tags: &'a Tags,
}

impl Row for WithInstance<'_> {
    fn values(&self, field: Field) -> Vec<&str> {
        let own = self.row.values(field);
        match self.instance {
            Some(instance) if own.is_empty() => instance.values(field),
            _ => own,
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(self.tags)
    }
}

struct JobRow<'a> {
    job: &'a JobView,
    state: &'a str,
    phase: String,
    verdict: Option<String>,
}

impl Row for JobRow<'_> {
    fn values(&self, field: Field) -> Vec<&str> {
        let j = self.job;
        match field {
            Field::State => vec![self.state, &self.phase],
            Field::Level => self.verdict.as_deref().into_iter().collect(),
            Field::Origin => vec!["freezeframe"],
            Field::Id => vec![j.spec.job.as_str()],
            Field::Name => vec![&j.spec.instance_name],
            Field::Volume => j.set.iter().map(|m| m.volume.as_str()).collect(),
            Field::Instance => vec![j.spec.instance.as_str()],
            Field::Recipe => vec![&j.spec.recipe],
            Field::Az | Field::Type | Field::Agent => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{AccountId, Region, Scope, SnapshotId, VolumeId};
    use crate::domain::level::Origin;

    fn snapshot(tags: &[(&str, &str)]) -> Snapshot {
        Snapshot {
            scope: Scope {
                account: AccountId::from_api("123456789012"),
                region: Region::from_api("eu-central-1"),
            },
            id: SnapshotId::from_api("snap-0123456789abcdef0"),
            volume: VolumeId::from_api("vol-0fedcba9876543210"),
            state: "completed".into(),
            progress: Some(100),
            started: chrono::DateTime::UNIX_EPOCH,
            completed: None,
            volume_gib: 8,
            full_bytes: None,
            encrypted: false,
            tier: "standard".into(),
            description: String::new(),
            origin: Origin::Manual,
            tags: tags.iter().copied().collect(),
        }
    }

    #[test]
    fn terms() {
        let row = snapshot(&[
            ("Name", "orders database"),
            ("Env", "prod"),
            ("freezeframe:job", "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10"),
            ("freezeframe:level", "application"),
            ("freezeframe:frozen-ms", "12"),
            ("freezeframe:set-size", "1"),
        ]);
        for (text, expected) in [
            ("", true),
            ("   ", true),
            ("tag:Env=prod", true),
            ("tag:Env=p*", true),
            ("tag:Env=Prod", false),
            ("tag:Env", true),
            ("tag:Missing", false),
            ("!tag:Missing", true),
            ("state=completed level=application", true),
            ("state=completed level=crash", false),
            ("!state=completed", false),
            ("state=COMP*", true),
            ("origin=manual", true),
            ("az=eu*", false),
            ("!az=eu*", true),
            ("name=\"orders database\"", true),
            ("name=\"orders  database\"", false),
            ("ordb", true),
            ("xyz", false),
            ("!xyz", true),
            ("89abc", true),
            ("snap-0123 vol-0fed", true),
            // Letters in order, but no part of an id.
            ("0af", false),
            ("\"!xyz\"", false),
            ("\"orders data\"", true),
        ] {
            assert_eq!(
                Filter::parse(text).unwrap().matches_snapshot(&row),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn mistakes_have_a_place_and_a_mend() {
        let error = Filter::parse("web stat=running").unwrap_err();
        assert!(
            error.cause.contains("character 5") && error.cause.contains("stat"),
            "{error}"
        );
        assert!(
            error.mend.contains("state") && error.mend.contains("tag:KEY"),
            "{}",
            error.mend
        );
        assert!(
            Filter::parse("a \"b")
                .unwrap_err()
                .cause
                .contains("character 3")
        );
        assert!(Filter::parse("!").is_err() && Filter::parse("tag:=x").is_err());
        assert!(
            !Filter::parse("\u{1b}[2J=x")
                .unwrap_err()
                .to_string()
                .contains('\u{1b}')
        );
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a**c", "ac", true),
            ("*ab", "aab", true),
            ("é*", "été", true),
            ("a", "", false),
        ] {
            assert_eq!(like(pattern, text, false), expected, "{pattern} {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn total(text in "\\PC*") {
            if let Ok(filter) = Filter::parse(&text) {
                filter.matches_snapshot(&snapshot(&[("Name", "x")]));
            }
        }

        #[test]
        fn a_negated_term_is_the_opposite(word in "[a-z0-9-]{1,6}") {
            let row = snapshot(&[("Name", "orders database")]);
            let yes = Filter::parse(&word).unwrap().matches_snapshot(&row);
            let no = Filter::parse(&format!("!{word}")).unwrap().matches_snapshot(&row);
            proptest::prop_assert_ne!(yes, no);
        }
    }
}
