//! The error that the JSON and CBOR services answer with, and small readers of their requests.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// What a JSON or CBOR service answers instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServiceError {
    /// Exact name, as SDKs match it.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// HTTP status.
    pub status: u16,
}

impl ServiceError {
    /// An error with HTTP status 400.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            status: 400,
        }
    }

    /// The error `ValidationException`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }
}

/// A member that is a string.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// A member that must be a string and not empty.
pub(super) fn required<'a>(value: &'a Value, key: &str) -> Result<&'a str, ServiceError> {
    text(value, key).filter(|text| !text.is_empty()).ok_or_else(|| {
        let member = key.chars().next().map(|c| c.to_ascii_lowercase().to_string() + &key[c.len_utf8()..]).unwrap_or_default();
        ServiceError::validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// A member that is a list; absent is empty.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A member that is a list of strings; absent is empty.
pub(super) fn strings(value: &Value, key: &str) -> Vec<String> {
    list(value, key)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// A number, also when it came as text (awsQuery).
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A moment: epoch seconds, or RFC 3339 as text.
pub(super) fn moment(value: &Value) -> Option<DateTime<Utc>> {
    if let Value::String(text) = value
        && let Ok(at) = DateTime::parse_from_rfc3339(text)
    {
        return Some(at.with_timezone(&Utc));
    }
    let seconds = number(value)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "out of range saturates and is then refused by chrono"
    )]
    DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64)
}

/// Epoch seconds with milliseconds, as the JSON protocols write times.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit in a double for 200,000 years"
)]
pub(super) fn epoch(at: DateTime<Utc>) -> Value {
    json!(at.timestamp_millis() as f64 / 1000.0)
}

/// One page of `items`: `token` is the position that an earlier page ended with.
///
/// # Errors
/// `code` for a token that this service did not give out.
pub(super) fn page<T: Clone>(
    items: &[T],
    token: Option<&str>,
    size: usize,
    code: &str,
) -> Result<(Vec<T>, Option<String>), ServiceError> {
    let start = match token {
        None | Some("") => 0,
        Some(token) => token
            .strip_prefix("lab-")
            .and_then(|digits| digits.parse::<usize>().ok())
            .filter(|start| *start <= items.len())
            .ok_or_else(|| ServiceError::new(code, "The specified token is not valid."))?,
    };
    let end = items.len().min(start + size);
    Ok((
        items[start..end].to_vec(),
        (end < items.len()).then(|| format!("lab-{end}")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_and_tokens_of_others_are_refused() {
        let items: Vec<u32> = (0..7).collect();
        let (first, token) = page(&items, None, 5, "InvalidNextToken").unwrap();
        assert_eq!(first.len(), 5);
        let (second, end) = page(&items, token.as_deref(), 5, "InvalidNextToken").unwrap();
        assert_eq!((second, end), (vec![5, 6], None));
        assert_eq!(
            page(&items, Some("x"), 5, "InvalidNextToken")
                .unwrap_err()
                .code,
            "InvalidNextToken"
        );
    }
}
