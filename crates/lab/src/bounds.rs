//! What a client may cost. Every bound is checked before the work that it limits, and lies far above what an AWS
//! client ever sends: the lab answers an error and goes on, however many bytes come and whatever they say.

use std::time::Duration;

/// Bytes of a request's body as it comes.
pub const BODY: usize = 2 << 20;
/// Bytes of a compressed body once it is unpacked. CloudWatch takes 1 MB.
pub const UNPACKED: usize = 4 << 20;
/// Parameters of one query request.
pub const PARAMETERS: usize = 20_000;
/// Bytes of the name of a query parameter.
pub const PARAMETER_NAME: usize = 512;
/// Parts of the name of a query parameter, such as the 4 of `Filter.1.Value.2`.
pub const PARAMETER_PARTS: usize = 16;
/// Characters of an operation's name; no operation has a longer one.
pub const ACTION: usize = 96;
/// Characters of anything else that a client says and a record of its call keeps.
pub const RECORDED: usize = 256;
/// Connections at the same time.
pub const CONNECTIONS: usize = 256;
/// Requests in work at the same time.
pub const REQUESTS: usize = 1_024;
/// Headers of a request.
pub const HEADERS: usize = 64;
/// Bytes of a request's line and headers together.
pub const HEAD: usize = 64 << 10;
/// How long a connection may be silent between two requests, or take for the head of one.
pub const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long the body of a request may take.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a client may take nothing of its answer.
pub const WRITE_TIME: Duration = Duration::from_secs(30);
/// Ids, names or owners in one list of a request.
pub const IDS: usize = 1_000;
/// Characters of all patterns with wildcards in the filters of a call: matching them costs the most.
pub const PATTERNS: usize = 1_024;
/// Sessions of assumed roles that are good at the same time.
pub const SESSIONS: usize = 4_096;
/// Metadata tokens of all instances that are good at the same time.
pub const METADATA_TOKENS: usize = 4_096;
/// Commands of one region, finished ones included, by what they hold in memory: the oldest that have ended go first.
pub const COMMAND_BYTES: usize = 64 << 20;
/// Invocations of one region that have not ended.
pub const INVOCATIONS: usize = 10_000;
/// Bytes of a script with its parameters in place.
pub const SCRIPT: usize = 512 << 10;
/// Bytes of the values of a command's parameters that a document's patterns are held against.
pub const MATCHED: usize = 16 << 10;
/// Bytes of a compiled pattern of a document.
pub const PATTERN: usize = 256 << 10;
/// Documents of one account in one region, as at AWS.
pub const DOCUMENTS: usize = 500;
/// Bytes of all versions of one account's documents in one region.
pub const DOCUMENT_BYTES: usize = 32 << 20;
/// Volumes of one region.
pub const VOLUMES: usize = 5_000;
/// Snapshots of one region, as at AWS.
pub const SNAPSHOTS: usize = 100_000;
/// Bytes of the names and dimensions of one region's metrics.
pub const METRIC_BYTES: usize = 32 << 20;
/// Values of all metrics of one region.
pub const VALUES: usize = 2_000_000;
/// Values that one question about metrics may read.
pub const VALUES_READ: usize = 4_000_000;
/// Token buckets that are kept.
pub const BUCKETS: usize = 4_096;

/// The beginning of a text, at most so many characters of it.
pub fn beginning(text: &str, characters: usize) -> &str {
    text.char_indices()
        .nth(characters)
        .map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_ends_between_two_characters() {
        assert_eq!(beginning("grüße", 3), "grü");
        assert_eq!(beginning("grüße", 5), "grüße");
        assert_eq!(beginning("", 5), "");
    }
}
