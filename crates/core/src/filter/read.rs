//! Reads an expression into terms. docs/filters.md describes the language.

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};

use super::keys::{Key, RowKind, Words};
use super::{Pattern, Test};
use crate::nearest::nearest;
use crate::problem::{Kind, Problem};

/// A character of a word, and whether it stood in quotes: then it means nothing but itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Letter {
    is: char,
    quoted: bool,
}

/// A word of the expression.
struct Word {
    /// Where it begins, in characters from 1.
    at: usize,
    letters: Vec<Letter>,
}

/// The terms of an expression, each with whether it is negated. All of them must hold.
pub(super) fn terms(text: &str, kind: RowKind) -> Result<Vec<(bool, Test)>, Problem> {
    words(text)?.iter().map(|word| term(word, kind)).collect()
}

fn words(text: &str) -> Result<Vec<Word>, Problem> {
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    for (n, is) in text.chars().enumerate() {
        let here = || Word {
            at: n + 1,
            letters: Vec::new(),
        };
        if is == '"' {
            quote = if quote.is_some() { None } else { Some(n + 1) };
            word.get_or_insert_with(here);
        } else if is.is_whitespace() && quote.is_none() {
            words.extend(word.take());
        } else {
            let quoted = quote.is_some();
            word.get_or_insert_with(here)
                .letters
                .push(Letter { is, quoted });
        }
    }
    if let Some(at) = quote {
        return Err(wrong(at, "the quote is not closed", "close it with \""));
    }
    words.extend(word);
    Ok(words)
}

fn text_of(letters: &[Letter]) -> String {
    letters.iter().map(|letter| letter.is).collect()
}

/// The letters without the prefix, where they begin with it outside quotes.
fn strip<'a>(letters: &'a [Letter], prefix: &str) -> Option<&'a [Letter]> {
    let length = prefix.chars().count();
    let (head, rest) = letters.split_at_checked(length)?;
    let same = head
        .iter()
        .zip(prefix.chars())
        .all(|(letter, c)| !letter.quoted && letter.is == c);
    same.then_some(rest)
}

/// Key, whether `!=` stands between, and value.
fn split(letters: &[Letter]) -> Option<(&[Letter], bool, &[Letter])> {
    let at = letters.iter().position(|l| !l.quoted && l.is == '=')?;
    let (key, rest) = letters.split_at(at);
    let value = rest.get(1..).unwrap_or_default();
    match key.split_last() {
        Some((last, key)) if !last.quoted && last.is == '!' => Some((key, true, value)),
        _ => Some((key, false, value)),
    }
}

fn term(word: &Word, kind: RowKind) -> Result<(bool, Test), Problem> {
    let (negated, letters, at) = match strip(&word.letters, "!") {
        Some(rest) => (true, rest, word.at + 1),
        None => (false, word.letters.as_slice(), word.at),
    };
    if letters.is_empty() && negated {
        return Err(wrong(
            word.at,
            "nothing follows the !",
            "write a term after it, such as !state=stopped",
        ));
    }
    if let Some(tag) = strip(letters, "tag:") {
        let (key, unequal, value) = match split(tag) {
            Some((key, unequal, value)) => (key, unequal, Some(value)),
            None => (tag, false, None),
        };
        if key.is_empty() {
            return Err(wrong(
                word.at,
                "tag: without a key",
                "write tag:Key, tag:Key=value or tag:Key!=value",
            ));
        }
        if key.iter().any(|letter| !letter.quoted && letter.is == '*') {
            return Err(wrong(
                word.at,
                "* stands for nothing in the key of a tag",
                "write the whole key; put it in quotes where it has a *",
            ));
        }
        let value = match value {
            Some(value) => Some(Pattern::new(value_of(value, at, "tag:Env=prod")?, false)),
            None => None,
        };
        return Ok((negated != unequal, Test::Tag(text_of(key), value)));
    }
    let Some((key, unequal, value)) = split(letters) else {
        plain_is_meant(letters, at, kind)?;
        return Ok((negated, plain(letters)));
    };
    let key = key_of(&text_of(key), at, kind)?;
    let value = value_of(value, at, &format!("{key}=value"))?;
    check(key, value, at, kind)?;
    Ok((negated != unequal, Test::Is(key, Pattern::new(value, true))))
}

fn key_of(text: &str, at: usize, kind: RowKind) -> Result<Key, Problem> {
    let known = kind.keys();
    match text.parse::<Key>() {
        Ok(key) if known.contains(&key) => return Ok(key),
        _ => {}
    }
    let names: Vec<String> = known.iter().map(Key::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let meant =
        nearest(text, &names).map_or(String::new(), |near| format!("did you mean {near}? "));
    Err(wrong(
        at,
        &format!("{kind} have no key `{text}`"),
        &format!(
            "{meant}known: {}, tag:KEY; put plain text with = in quotes",
            names.join(", ")
        ),
    ))
}

/// The letters of a value; what other languages write before or around one is a slip that would find nothing.
fn value_of<'a>(value: &'a [Letter], at: usize, example: &str) -> Result<&'a [Letter], Problem> {
    match value.first().filter(|first| !first.quoted) {
        Some(Letter { is: '=', .. }) => Err(wrong(
            at,
            "== is not known",
            &format!("write {example}; put a value that begins with = in quotes"),
        )),
        Some(Letter { is: '!', .. }) => Err(wrong(
            at,
            "=! is not known",
            &format!(
                "write {}; put a value that begins with ! in quotes",
                example.replacen('=', "!=", 1)
            ),
        )),
        Some(Letter { is: '\'', .. }) => Err(single_quote(at)),
        _ => Ok(value),
    }
}

fn single_quote(at: usize) -> Problem {
    wrong(
        at,
        "' quotes nothing here",
        "quote with \"; put text that begins with ' in such quotes",
    )
}

/// Refuses what is no plain text but a slip in the language: it would find nothing, or, negated, everything.
fn plain_is_meant(letters: &[Letter], at: usize, kind: RowKind) -> Result<(), Problem> {
    let bare = letters.iter().all(|letter| !letter.quoted);
    let text = text_of(letters);
    if letters
        .iter()
        .all(|letter| !letter.quoted && letter.is == '*')
    {
        return Err(wrong(
            at,
            "nothing stands there to look for, and every row has that",
            "leave it out to keep every row",
        ));
    }
    if bare
        && matches!(
            text.as_str(),
            "OR" | "AND" | "NOT" | "||" | "&&" | "|" | "&"
        )
    {
        return Err(wrong(
            at,
            &format!("{text} is not known"),
            "put terms side by side: all of them must hold; write ! before one that must not; put the word in quotes \
             to look for it",
        ));
    }
    if letters.first().is_some_and(|l| !l.quoted && l.is == '\'') {
        return Err(single_quote(at));
    }
    for key in kind.keys() {
        let name = key.to_string();
        let Some([sign, rest @ ..]) = strip(letters, &name) else {
            continue;
        };
        if !sign.quoted && matches!(sign.is, ':' | '~' | '<' | '>' | '!') && !rest.is_empty() {
            return Err(wrong(
                at,
                &format!("{} does not stand between a key and a value", sign.is),
                &format!("write {name}=value or {name}!=value; put plain text in quotes"),
            ));
        }
    }
    Ok(())
}

/// Refuses a word that no row can have: the list would only be empty, and whole where the term is negated.
fn check(key: Key, value: &[Letter], at: usize, kind: RowKind) -> Result<(), Problem> {
    if value.is_empty() {
        return Err(wrong(
            at,
            &format!("{key} has no value"),
            &format!("write {key}=value"),
        ));
    }
    let text = text_of(value);
    if key == Key::Az && text.ends_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong(
            at,
            &format!("no Availability Zone is `{text}`"),
            &format!("write az={text}* for all zones of a region"),
        ));
    }
    let Some(words) = key.words(kind) else {
        return Ok(());
    };
    let pattern = Pattern::new(value, true);
    let as_it_is = matches!(words, Words::Aws(_)) && value.iter().all(|letter| letter.quoted);
    if as_it_is || words.list().iter().any(|word| pattern.fits(word)) {
        return Ok(());
    }
    let meant =
        nearest(&text, words.list()).map_or(String::new(), |near| format!("did you mean {near}? "));
    Err(wrong(
        at,
        &format!("no {key} of {kind} is `{text}`"),
        &format!("{meant}known: {}", words.list().join(", ")),
    ))
}

fn plain(letters: &[Letter]) -> Test {
    if letters
        .iter()
        .any(|letter| !letter.quoted && letter.is == '*')
    {
        return Test::Like(Pattern::new(letters, true));
    }
    let text = text_of(letters);
    let atom = |kind| {
        Box::new(Atom::new(
            &text,
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

impl Pattern {
    /// What `letters` stand for; a `*` outside quotes stands for any text.
    fn new(letters: &[Letter], any_case: bool) -> Self {
        let parts = letters
            .iter()
            .map(|letter| match letter {
                Letter {
                    is: '*',
                    quoted: false,
                } => None,
                Letter { is, .. } => Some(*is),
            })
            .collect();
        Self { parts, any_case }
    }
}

fn wrong(at: usize, cause: &str, hint: &str) -> Problem {
    Problem::new(
        Kind::Usage,
        "read the filter",
        format!("at character {at}: {cause}"),
        hint,
    )
}
