//! What came of a call, as the journal keeps it.

use rusqlite::Row;
use rusqlite::types::Type;

use crate::domain::problem::Problem;

/// What came of a call that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// AWS carried it out. What it answered, in short: ids, or words.
    Answered(String),
    /// No answer came: AWS may have carried it out. Why.
    Unknown(String),
    /// AWS certainly did not carry it out. Why.
    Refused(String),
}

impl CallOutcome {
    /// The outcome of a call that failed.
    pub fn failed(problem: &Problem) -> Self {
        if problem.may_have_happened {
            Self::Unknown(problem.to_string())
        } else {
            Self::Refused(problem.to_string())
        }
    }

    /// What AWS answered, where it carried the call out.
    pub fn answer(&self) -> Option<&str> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Unknown(_) | Self::Refused(_) => None,
        }
    }

    /// The column `outcome`, and the column `answer`.
    pub(super) fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Answered(text) => ("answered", text),
            Self::Unknown(text) => ("unknown", text),
            Self::Refused(text) => ("refused", text),
        }
    }

    /// From those columns, the first of which is at `at`. `None` for a call without an outcome.
    ///
    /// # Errors
    /// A word that no freezeframe of this version writes: nothing may be concluded from it.
    pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Self>> {
        let Some(word) = row.get::<_, Option<String>>(at)? else {
            return Ok(None);
        };
        let text = row.get::<_, Option<String>>(at + 1)?.unwrap_or_default();
        match word.as_str() {
            "answered" => Ok(Some(Self::Answered(text))),
            "unknown" => Ok(Some(Self::Unknown(text))),
            "refused" => Ok(Some(Self::Refused(text))),
            _ => Err(rusqlite::Error::FromSqlConversionFailure(
                at,
                Type::Text,
                format!("`{word}` is no outcome of a call").into(),
            )),
        }
    }
}
