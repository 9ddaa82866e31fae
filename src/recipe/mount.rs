//! The document that restores mount with: its parameters and what it answers (`docs/line-protocol.md`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::ids::VolumeId;

/// Its name in an account.
pub const DOCUMENT: &str = "freezeframe-linux-mount";

/// Parameters that mount a volume at an empty or missing directory.
pub fn parameters(restore: &str, volume: &VolumeId, mount: &str) -> BTreeMap<String, Vec<String>> {
    [
        ("executionId", restore),
        ("command", "mount"),
        ("volumeId", volume.as_str()),
        ("mountPoint", mount),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), vec![value.to_owned()]))
    .collect()
}

/// What the instance mounted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mounted {
    /// Where.
    pub mount: String,
    /// Filesystem type.
    pub fs: String,
    /// Mount options used, such as `rw,nouuid`.
    #[serde(default)]
    pub options: String,
}

/// The `mounted` event of a command's output, if there is a well-formed one.
pub fn mounted(stdout: &str) -> Option<Mounted> {
    #[derive(Deserialize)]
    struct Event {
        t: String,
        #[serde(flatten)]
        mounted: Mounted,
    }
    stdout
        .lines()
        .filter_map(|line| line.strip_prefix("FF1 "))
        .filter_map(|json| serde_json::from_str::<Event>(json).ok())
        .find(|event| event.t == "mounted")
        .map(|event| event.mounted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_event_and_nothing_else() {
        let out = "chatter\nFF1 {\"t\":\"hello\",\"seq\":1,\"ms\":1}\n\
                   FF1 {\"t\":\"mounted\",\"seq\":2,\"ms\":2,\"mount\":\"/restore/sdf\",\"fs\":\"xfs\",\"options\":\"rw,nouuid\"}\n";
        let mounted = mounted(out).unwrap();
        assert_eq!(
            (mounted.mount.as_str(), mounted.fs.as_str()),
            ("/restore/sdf", "xfs")
        );
        assert_eq!(super::mounted("FF1 {\"t\":\"mounted\"}\nFF1 {"), None);
    }
}
