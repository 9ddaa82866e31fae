//! What an instance heard of EC2 when it asked with its role: a right that is missing is mended in IAM, and
//! nothing else is. Read from the text that the documents make of the answer (docs/line-protocol.md).

use super::problem::Problem;

/// Codes by which EC2 asks to slow down.
const THROTTLED: [&str; 3] = ["RequestLimitExceeded", "Throttling", "SlowDown"];
/// Codes that say that the signature or its credentials are no good any more.
const EXPIRED: [&str; 7] = [
    "RequestExpired",
    "ExpiredToken",
    "AuthFailure",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "MissingAuthenticationToken",
    "UnrecognizedClient",
];
/// Codes of a failure of EC2's own.
const UNWELL: [&str; 3] = ["InternalError", "InternalFailure", "Unavailable"];

/// Why an instance's own request to EC2 came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No answer came.
    Silent,
    /// EC2 asked to slow down.
    Throttled,
    /// The credentials are over, or the instance's clock is off.
    Expired,
    /// EC2 failed by itself.
    Unwell,
    /// EC2 said no; most often a right is missing.
    NotAllowed,
}

impl Refusal {
    /// Reads it from the code and the text of a script's error, if it is one of those.
    pub fn of(code: &str, text: &str) -> Option<Self> {
        let names = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
        let own = text.starts_with('5') || names(&UNWELL);
        match code {
            "no-client" => text
                .starts_with("EC2 does not answer")
                .then_some(Self::Silent),
            // A throttled answer has a status of 503.
            "snapshot-refused" if names(&THROTTLED) => Some(Self::Throttled),
            "snapshot-refused" if names(&EXPIRED) => Some(Self::Expired),
            "snapshot-refused" if own => Some(Self::Unwell),
            "snapshot-refused" => Some(Self::NotAllowed),
            _ => None,
        }
    }

    /// As [`Self::of`], of the problem that was made of it.
    pub fn of_problem(problem: &Problem) -> Option<Self> {
        Self::of(problem.code.as_deref()?, &problem.cause)
    }

    /// Whether it may be gone a little later.
    pub fn may_pass(self) -> bool {
        self != Self::NotAllowed
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Silent => {
                "the role was not judged: EC2 did not answer the instance. Try again; if it lasts, look at the \
                 instance's way to EC2 (route, NAT or VPC endpoint, proxy), or use --mode coordinated"
            }
            Self::Throttled => {
                "the role was not judged: others use up this account's limit for CreateSnapshots. Try again in a \
                 minute, let a run do so with --retries, or take fewer at once with --at-once"
            }
            Self::Expired => {
                "no right is missing: the role's credentials are over, or the instance's clock is off. Look at its \
                 clock (chronyc tracking) and try again; the metadata service hands out new ones before the end"
            }
            Self::Unwell => {
                "the role was not judged: EC2 failed by itself. Try again in a minute; if it lasts, look at AWS's \
                 Health dashboard"
            }
            Self::NotAllowed => {
                "allow the instance's role what the message names (assets/iam holds the least that it needs), or use \
                 --mode coordinated"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_right_is_told_as_one() {
        for (code, text, what) in [
            (
                "snapshot-refused",
                "403 UnauthorizedOperation: You are not authorized to perform this operation.",
                Some(Refusal::NotAllowed),
            ),
            (
                "snapshot-refused",
                "503 RequestLimitExceeded: Request limit exceeded.",
                Some(Refusal::Throttled),
            ),
            (
                "snapshot-refused",
                "400 RequestExpired: Request has expired.",
                Some(Refusal::Expired),
            ),
            (
                "snapshot-refused",
                "500 InternalError: An internal error has occurred",
                Some(Refusal::Unwell),
            ),
            (
                "snapshot-refused",
                "503 Unavailable: The service is unavailable.",
                Some(Refusal::Unwell),
            ),
            (
                "no-client",
                "EC2 does not answer: curl ended with 28",
                Some(Refusal::Silent),
            ),
            (
                "no-client",
                "neither curl 7.75 nor the AWS CLI is there",
                None,
            ),
            ("busy", "503 RequestLimitExceeded", None),
        ] {
            assert_eq!(Refusal::of(code, text), what, "{code} {text}");
        }
        for refusal in [
            Refusal::Silent,
            Refusal::Throttled,
            Refusal::Expired,
            Refusal::Unwell,
        ] {
            assert!(
                refusal.may_pass() && !refusal.hint().contains("allow the"),
                "{refusal:?}"
            );
        }
    }
}
