//! The documents that every region has from the beginning.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};

use super::document::Content;
use super::library::{Document, Version};

const EXECUTION_TIMEOUT: &str =
    r"([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|(172[0-7][0-9]{2})|(172800)";

/// AWS's own two and freezeframe's.
pub(super) fn all() -> Vec<Document> {
    // They are the same in every region of every lab, and long to parse.
    static ALL: OnceLock<Vec<Document>> = OnceLock::new();
    ALL.get_or_init(parsed).clone()
}

fn parsed() -> Vec<Document> {
    let aws = [
        ("AWS-RunShellScript", "aws:runShellScript"),
        ("AWS-RunPowerShellScript", "aws:runPowerShellScript"),
    ];
    let aws = aws
        .into_iter()
        .map(|(name, plugin)| (name.to_owned(), "Amazon", run_script(plugin)));
    let own = freezeframe_documents::ALL.into_iter().map(|(stem, text)| {
        (
            format!("{}{stem}", freezeframe_documents::PREFIX),
            "freezeframe",
            text.to_owned(),
        )
    });
    aws.chain(own)
        .filter_map(|(name, owner, text)| document(name, owner, text))
        .collect()
}

/// `None` for a document that does not parse, which a test excludes for the shipped ones.
fn document(name: String, owner: &str, text: String) -> Option<Document> {
    let content = Content::parse(&text).ok()?;
    let created = DateTime::<Utc>::UNIX_EPOCH;
    let version = Version::new(1, &text, content, created);
    Some(Document {
        name,
        owner: owner.to_owned(),
        versions: vec![version],
        default: 1,
        last: 1,
        tags: crate::world::Tags::new(),
    })
}

fn run_script(plugin: &str) -> String {
    serde_json::json!({
        "schemaVersion": "1.2",
        "description": "Run a script or specify the commands to run.",
        "parameters": {
            "commands": {"type": "StringList", "description": "Specify a script or a command to run.", "minItems": 1},
            "workingDirectory": {"type": "String", "default": "", "description": "The path to the working directory on your instance."},
            "executionTimeout": {"type": "String", "default": "3600", "allowedPattern": EXECUTION_TIMEOUT,
                "description": "The time in seconds for a command to complete before it is considered to have failed."}
        },
        "runtimeConfig": {plugin: {"properties": [{"id": "0.aws:script", "runCommand": "{{ commands }}",
            "workingDirectory": "{{ workingDirectory }}", "timeoutSeconds": "{{ executionTimeout }}"}]}}
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_document_parses() {
        let documents = all();
        assert_eq!(documents.len(), 2 + freezeframe_documents::ALL.len());
        for name in ["AWS-RunShellScript", "AWS-RunPowerShellScript"] {
            assert!(
                documents.iter().any(|document| document.name == name),
                "{name}"
            );
        }
    }
}
