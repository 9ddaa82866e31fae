//! Pages and their tokens. A token names the last item that was sent and the question that it belongs to, so
//! that one of another question, or an invented one, is refused.

use std::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

use crate::wire::AppError;
use crate::wire::query::Params;

/// One page and the way to the next.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// Cuts a page out of items that are sorted by `key`.
pub fn page<T>(
    params: &Params,
    sizes: RangeInclusive<i64>,
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
) -> Result<Page<T>, AppError> {
    let size = match params.number("MaxResults")? {
        None => None,
        Some(size) if sizes.contains(&size) => usize::try_from(size).ok(),
        Some(size) if size < *sizes.start() => {
            return Err(AppError::value(format!(
                "Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than or equal to {}.",
                sizes.start()
            )));
        }
        Some(size) => {
            return Err(AppError::value(format!(
                "Value ( {size} ) for parameter maxResults is invalid. Expecting a value less than or equal to {}.",
                sizes.end()
            )));
        }
    };
    let question = question(params);
    let after = params
        .get("NextToken")
        .filter(|token| !token.is_empty())
        .map(|token| open(token, &question))
        .transpose()?;
    let mut rest = items
        .into_iter()
        .filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
    let Some(size) = size.filter(|size| *size > 0) else {
        return Ok(Page {
            items: rest.collect(),
            next: None,
        });
    };
    let items: Vec<T> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| seal(&key(last), &question));
    Ok(Page { items, next })
}

/// A fingerprint of what was asked, without the page's own parameters.
pub fn question(params: &Params) -> String {
    let mut hash = Sha256::new();
    for (key, value) in params
        .iter()
        .filter(|(key, _)| !matches!(*key, "NextToken" | "MaxResults" | "Version"))
    {
        hash.update(key.as_bytes());
        hash.update([0]);
        hash.update(value.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize()[..8])
}

fn seal(last: &str, question: &str) -> String {
    format!("{question}{}", hex(last.as_bytes()))
}

fn open(token: &str, question: &str) -> Result<String, AppError> {
    let refused = || {
        AppError::new(
            "InvalidPaginationToken",
            "The specified pagination token is not valid or is expired.",
        )
    };
    let digits = token.strip_prefix(question).ok_or_else(refused)?;
    if digits.is_empty() || digits.len() % 2 != 0 || !digits.is_ascii() {
        return Err(refused());
    }
    let bytes: Result<Vec<u8>, _> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
        .collect();
    String::from_utf8(bytes.map_err(|_| refused())?).map_err(|_| refused())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str) -> Result<Page<u32>, AppError> {
        page(&Params::parse(query.as_bytes()), 5..=1000, 10..25, |n| {
            n.to_string()
        })
    }

    #[test]
    fn pages_join_to_the_whole_without_overlap() {
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let page = ask(&format!("Action=X&MaxResults=6&NextToken={token}")).unwrap();
            seen.extend(page.items);
            match page.next {
                Some(next) => token = next,
                None => break,
            }
        }
        assert_eq!(seen, (10..25).collect::<Vec<_>>());
    }

    #[test]
    fn strange_sizes_and_tokens_are_refused() {
        assert_eq!(
            ask("MaxResults=4").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            ask("MaxResults=1001").unwrap_err().code,
            "InvalidParameterValue"
        );
        assert_eq!(
            ask("NextToken=abc").unwrap_err().code,
            "InvalidPaginationToken"
        );
        let token = ask("Action=X&MaxResults=5").unwrap().next.unwrap();
        assert_eq!(
            ask(&format!("Action=Y&MaxResults=5&NextToken={token}"))
                .unwrap_err()
                .code,
            "InvalidPaginationToken"
        );
        assert_eq!(
            ask(&format!("Action=X&NextToken={token}é"))
                .unwrap_err()
                .code,
            "InvalidPaginationToken"
        );
    }
}
