//! Data Lifecycle Manager's contract for pre/post script documents (aws-facts 1.3), as somebody else's document
//! keeps it or does not.

use serde_json::Value;

/// What a document of the contract can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// It says that it takes the command `dry-run`. One that does not say so is not asked: some would freeze.
    pub dry_run: bool,
}

/// Reads a document's content (JSON) and the names of the further parameters that it will be given.
///
/// # Errors
/// In words: what the contract asks for and the document lacks, or a parameter that it lacks or wants.
pub fn read<'a>(
    content: &str,
    given: impl IntoIterator<Item = &'a str>,
) -> Result<Contract, String> {
    let json: Value =
        serde_json::from_str(content).map_err(|_| "its content is not JSON".to_owned())?;
    if json["schemaVersion"] != "2.2" {
        return Err("its schema version is not 2.2".to_owned());
    }
    let steps = json["mainSteps"].as_array().map_or(0, Vec::len);
    if steps != 1 {
        return Err(format!("it has {steps} steps, and the contract is of one"));
    }
    let none = serde_json::Map::new();
    let parameters = json["parameters"].as_object().unwrap_or(&none);
    for name in ["executionId", "command"] {
        if parameters
            .get(name)
            .is_none_or(|p| p["type"].as_str() != Some("String"))
        {
            return Err(format!("it has no parameter `{name}` of type String"));
        }
    }
    let words: Option<Vec<&str>> = parameters["command"]["allowedValues"]
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).collect());
    if let Some(words) = &words {
        for word in ["pre-script", "post-script"] {
            if !words.contains(&word) {
                return Err(format!("its parameter `command` does not allow {word}"));
            }
        }
    }
    let given: Vec<&str> = given.into_iter().collect();
    if let Some(stray) = given.iter().find(|name| !parameters.contains_key(**name)) {
        return Err(format!(
            "it has no parameter `{stray}`, which it is to be given"
        ));
    }
    let wanted = parameters.iter().find(|(name, p)| {
        p.get("default").is_none()
            && !["executionId", "command"].contains(&name.as_str())
            && !given.contains(&name.as_str())
    });
    if let Some((name, _)) = wanted {
        return Err(format!(
            "its parameter `{name}` has no default and is not given"
        ));
    }
    Ok(Contract {
        dry_run: words.is_some_and(|words| words.contains(&"dry-run")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::document;
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "schemaVersion": "2.2",
            "parameters": {
                "executionId": {"type": "String", "default": "None"},
                "command": {"type": "String", "default": "dry-run", "allowedValues": ["pre-script", "post-script", "dry-run"]},
                "port": {"type": "String", "default": "80"},
            },
            "mainSteps": [{"action": "aws:runShellScript", "name": "run_pre_post_scripts", "inputs": {"runCommand": ["true"]}}],
        })
    }

    #[test]
    fn ours_keep_it_and_so_does_the_samples_shape() {
        for ours in document::all() {
            if ours.name != "freezeframe-linux-mount" {
                assert_eq!(
                    read(ours.content, []),
                    Ok(Contract { dry_run: true }),
                    "{}",
                    ours.name
                );
            }
        }
        assert_eq!(
            read(&sample().to_string(), ["port"]),
            Ok(Contract { dry_run: true })
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |change: fn(&mut Value)| {
            let mut document = sample();
            change(&mut document);
            read(&document.to_string(), []).unwrap_err()
        };
        assert!(without(|d| d["schemaVersion"] = json!("1.2")).contains("2.2"));
        assert!(without(|d| d["mainSteps"] = json!([1, 2])).contains("2 steps"));
        let gone = |d: &mut Value, name: &str| {
            d["parameters"].as_object_mut().unwrap().remove(name);
        };
        let mut document = sample();
        gone(&mut document, "executionId");
        assert!(
            read(&document.to_string(), [])
                .unwrap_err()
                .contains("executionId")
        );
        assert!(
            without(|d| d["parameters"]["command"]["allowedValues"] = json!(["pre-script"]))
                .contains("post-script")
        );
        assert!(
            read(&sample().to_string(), ["prot"])
                .unwrap_err()
                .contains("`prot`")
        );
        assert!(
            without(|d| d["parameters"]["port"] = json!({"type": "String"})).contains("no default")
        );
        assert!(
            read("schemaVersion: '2.2'", [])
                .unwrap_err()
                .contains("JSON")
        );
    }

    #[test]
    fn a_dry_run_is_asked_for_only_where_it_is_named() {
        let mut document = sample();
        document["parameters"]["command"]["allowedValues"] = json!(["pre-script", "post-script"]);
        assert_eq!(
            read(&document.to_string(), []),
            Ok(Contract { dry_run: false })
        );
        document["parameters"]["command"] = json!({"type": "String"});
        assert_eq!(
            read(&document.to_string(), []),
            Ok(Contract { dry_run: false })
        );
    }
}
