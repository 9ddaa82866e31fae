//! The SSM documents that freezeframe brings along, and the parameters that a job gives them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::domain::job::{JobSpec, Mode};
use crate::domain::problem::{Kind, Problem};

pub use freezeframe_documents::PREFIX;

/// One of our documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name in an account, such as `freezeframe-linux-mysql`.
    pub name: String,
    /// Its content, JSON of schema 2.2.
    pub content: &'static str,
    /// Sha256 of the content in lower-case hex, as SSM's `DocumentHash`.
    pub hash: String,
}

static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    freezeframe_documents::ALL
        .into_iter()
        .map(|(name, content)| Document {
            name: format!("{PREFIX}{name}"),
            content,
            hash: sha256(content),
        })
        .collect()
});

/// Every document of ours: one per recipe, and the one that drills and restores mount with.
pub fn all() -> &'static [Document] {
    &DOCUMENTS
}

/// The document of that name in an account.
///
/// # Errors
/// [`Kind::Document`] when it is none of ours.
pub fn by_name(name: &str) -> Result<&'static Document, Problem> {
    all().iter().find(|d| d.name == name).ok_or_else(|| {
        let ours: Vec<&str> = all().iter().map(|d| d.name.as_str()).collect();
        Problem::new(
            Kind::Document,
            format!("look up document {name}"),
            "it is not one of freezeframe's documents",
            format!("use one of {}", ours.join(", ")),
        )
    })
}

/// The parameters of one command (`dry-run`, `pre-script`, `post-script`) of a quiescing document.
/// Nothing secret is among them. Locks wait and retry as the document's defaults say. Somebody else's
/// document gets what Data Lifecycle Manager would give it, because SSM refuses what a document does not declare.
pub fn parameters(spec: &JobSpec, command: &str) -> BTreeMap<String, Vec<String>> {
    let mounts = if spec.mounts.is_empty() {
        "auto".to_owned()
    } else {
        spec.mounts.join(",")
    };
    let mut pairs = vec![
        ("executionId", spec.job.to_string()),
        ("command", command.to_owned()),
    ];
    if !spec.third_party {
        pairs.push(("budgetSeconds", spec.budget_s.to_string()));
        pairs.push(("mounts", mounts));
    }
    if spec.mode == Mode::Autonomous && !spec.third_party {
        pairs.push(("mode", spec.mode.to_string()));
        let root = if spec.freeze_root { "yes" } else { "no" };
        pairs.push(("freezeRoot", root.to_owned()));
        // The instance tags the set, and knows the document only, which several recipes may share.
        pairs.push(("recipe", spec.recipe.clone()));
    }
    // What the contract says wins over what was configured.
    let mut all: BTreeMap<String, Vec<String>> = spec
        .parameters
        .iter()
        .map(|(key, value)| (key.clone(), vec![value.clone()]))
        .collect();
    all.extend(
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), vec![value])),
    );
    all
}

/// Whether the documents accept a mount point as parameter (their `allowedPattern`): absolute, and
/// without any character that a shell or the list itself would take for its own.
pub fn accepts_mount(mount: &str) -> bool {
    mount.starts_with('/')
        && mount
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._@+-".contains(&b))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn spec(mounts: &[&str]) -> JobSpec {
        serde_json::from_value(serde_json::json!({
            "job": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10",
            "run": "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f11",
            "account": "111122223333", "region": "eu-central-1",
            "instance": "i-0123456789abcdef0", "instance_name": "db-1",
            "recipe": "linux-mysql", "document": "freezeframe-linux-mysql",
            "mode": "coordinated", "budget_s": 30, "on_failure": "skip",
            "mounts": mounts, "namespace": "Organization/Backup",
        }))
        .unwrap()
    }

    #[test]
    fn the_hash_is_sha256_in_hex() {
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn every_document_is_a_command_document_with_the_contracts_parameters() {
        for document in all() {
            let json: Value = serde_json::from_str(document.content).unwrap();
            assert_eq!(json["schemaVersion"], "2.2", "{}", document.name);
            let steps = json["mainSteps"].as_array().unwrap();
            assert_eq!(steps.len(), 1, "{}", document.name);
            assert_eq!(
                steps[0]["action"], "aws:runShellScript",
                "{}",
                document.name
            );
            assert!(
                document.content.len() < 64 * 1024,
                "{} is too large for SSM",
                document.name
            );
            if document.name == "freezeframe-linux-mount" {
                continue;
            }
            assert_eq!(
                steps[0]["name"], "run_pre_post_scripts",
                "{}",
                document.name
            );
            for (name, default) in [
                ("executionId", "None"),
                ("command", "dry-run"),
                ("budgetSeconds", "30"),
                ("mounts", "auto"),
            ] {
                assert_eq!(
                    json["parameters"][name]["type"], "String",
                    "{} {name}",
                    document.name
                );
                assert_eq!(
                    json["parameters"][name]["default"], default,
                    "{} {name}",
                    document.name
                );
            }
            let words = json["parameters"]["command"]["allowedValues"]
                .as_array()
                .unwrap();
            for word in ["pre-script", "post-script", "dry-run"] {
                assert!(words.iter().any(|w| w == word), "{} {word}", document.name);
            }
        }
        let mysql: Value =
            serde_json::from_str(by_name("freezeframe-linux-mysql").unwrap().content).unwrap();
        for (name, default) in [
            ("lockWaitSeconds", "5"),
            ("lockRetries", "3"),
            ("socket", "auto"),
            ("defaultsFile", "auto"),
            ("client", "auto"),
        ] {
            assert_eq!(mysql["parameters"][name]["default"], default, "{name}");
        }
    }

    #[test]
    fn what_is_sent_is_declared() {
        for document in all().iter().filter(|d| d.name != "freezeframe-linux-mount") {
            let json: Value = serde_json::from_str(document.content).unwrap();
            let coordinated = spec(&["/data", "/log"]);
            let mut autonomous = coordinated.clone();
            autonomous.mode = Mode::Autonomous;
            let sent = parameters(&coordinated, "pre-script")
                .into_iter()
                .chain(parameters(&autonomous, "snapshot"));
            for (name, values) in sent {
                assert!(
                    json["parameters"].get(&name).is_some(),
                    "{} lacks {name}",
                    document.name
                );
                assert_eq!(values.len(), 1);
            }
            assert_eq!(
                parameters(&autonomous, "snapshot")["recipe"],
                ["linux-mysql"]
            );
        }
        assert_eq!(parameters(&spec(&[]), "dry-run")["mounts"], ["auto"]);
        assert_eq!(
            parameters(&spec(&["/data", "/log"]), "dry-run")["mounts"],
            ["/data,/log"]
        );
        assert_eq!(
            parameters(&spec(&[]), "post-script")["command"],
            ["post-script"]
        );
    }

    #[test]
    fn somebody_elses_document_gets_the_contract_and_what_was_configured() {
        let mut spec = spec(&["/data"]);
        spec.third_party = true;
        spec.parameters = [("port", "80"), ("command", "evil")]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let sent = parameters(&spec, "pre-script");
        let names: Vec<&str> = sent.keys().map(String::as_str).collect();
        assert_eq!(names, ["command", "executionId", "port"]);
        assert_eq!(sent["command"], ["pre-script"], "the contract wins");
    }

    #[test]
    fn an_unknown_name_is_refused_with_ours_named() {
        let problem = by_name("AWS-RunShellScript").unwrap_err();
        assert_eq!(problem.kind, Kind::Document);
        assert!(
            problem.hint.contains("freezeframe-linux-filesystem"),
            "{problem:?}"
        );
    }

    #[test]
    fn nothing_that_a_shell_would_act_on_is_a_mount() {
        assert!(accepts_mount("/data") && accepts_mount("/srv/db_1.x@y+z-w"));
        for bad in [
            "", "data", "/a b", "/a,b", "/$(id)", "/a;b", "/a\n", "/\u{e9}", "-f",
        ] {
            assert!(!accepts_mount(bad), "{bad:?}");
        }
    }
}
