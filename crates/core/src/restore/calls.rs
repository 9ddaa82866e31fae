//! The calls of a plan, each in words and as a line for a shell.

use super::{PlannedCall, RestoreItem, RestorePlan};
use crate::text::is_hostile;

/// Document that mounts (the recipe room's name for it).
const MOUNT: &str = "freezeframe-linux-mount";

/// Quotes one word for a POSIX shell; plain words stay as they are.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Every call of a plan, in order.
pub(super) fn plan_calls(plan: &RestorePlan) -> Vec<PlannedCall> {
    plan.items
        .iter()
        .enumerate()
        .flat_map(|(n, item)| item_calls(plan, n + 1, item))
        .collect()
}

fn item_calls(plan: &RestorePlan, n: usize, item: &RestoreItem) -> Vec<PlannedCall> {
    let region = shell_quote(plan.scope.region.as_str());
    let target = shell_quote(plan.target.as_str());
    let mut calls = vec![create(plan, n, item)];
    calls.push(PlannedCall {
        operation: "AttachVolume".to_owned(),
        words: format!("attach it to {} as {}", plan.target, item.device),
        cli: format!(
            "aws ec2 wait volume-available --region {region} --volume-ids \"$VOLUME_{n}\" && \
             aws ec2 attach-volume --region {region} --volume-id \"$VOLUME_{n}\" --instance-id {target} --device {}",
            shell_quote(&item.device)
        ),
    });
    if let Some(mount) = &item.mount {
        let text = |value: &str| json(&[value]);
        let parameters = format!(
            "{{\"executionId\":{},\"command\":[\"mount\"],\"mountPoint\":{},\"volumeId\":[\"",
            text(&plan.id),
            text(mount)
        );
        calls.push(PlannedCall {
            operation: "SendCommand".to_owned(),
            words: format!("mount it at {mount}"),
            // The volume's id is only known to the shell: it stands between two quoted parts.
            cli: format!(
                "aws ssm send-command --region {region} --instance-ids {target} --document-name {MOUNT} \
                 --parameters {}\"$VOLUME_{n}\"{}",
                shell_quote(&parameters),
                shell_quote("\"]}")
            ),
        });
    }
    calls
}

fn create(plan: &RestorePlan, n: usize, item: &RestoreItem) -> PlannedCall {
    let mut words = vec![
        "aws".to_owned(),
        "ec2".to_owned(),
        "create-volume".to_owned(),
        "--region".to_owned(),
        plan.scope.region.to_string(),
        "--availability-zone".to_owned(),
        item.zone.clone(),
        "--snapshot-id".to_owned(),
        item.snapshot.to_string(),
        "--volume-type".to_owned(),
        item.volume_type.clone(),
    ];
    if let Some(iops) = item.iops {
        words.extend(["--iops".to_owned(), iops.to_string()]);
    }
    if let Some(throughput) = item.throughput {
        words.extend(["--throughput".to_owned(), throughput.to_string()]);
    }
    if let Some(key) = &item.kms_key {
        words.extend([
            "--encrypted".to_owned(),
            "--kms-key-id".to_owned(),
            key.clone(),
        ]);
    } else if item.encrypt {
        words.push("--encrypted".to_owned());
    }
    let tags: Vec<serde_json::Value> = item
        .tags
        .iter()
        .map(|(k, v)| serde_json::json!({ "Key": k, "Value": v }))
        .collect();
    let specification = serde_json::json!([{ "ResourceType": "volume", "Tags": tags }]);
    words.extend([
        "--client-token".to_owned(),
        item.client_token.clone(),
        "--tag-specifications".to_owned(),
        ascii(&specification.to_string()),
        "--query".to_owned(),
        "VolumeId".to_owned(),
        "--output".to_owned(),
        "text".to_owned(),
    ]);
    let line: Vec<String> = words.iter().map(|w| shell_quote(w)).collect();
    PlannedCall {
        operation: "CreateVolume".to_owned(),
        words: format!(
            "make a volume of {} GiB in {} from {}: {}, {}",
            item.size_gib,
            item.zone,
            item.snapshot,
            item.performance(),
            item.encryption()
        ),
        cli: format!("VOLUME_{n}=$({})", line.join(" ")),
    }
}

fn json(value: &[&str]) -> String {
    ascii(&serde_json::json!(value).to_string())
}

/// JSON with what could act on a terminal written as escapes; the value stays the same.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hostile(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        assert_eq!(shell_quote("eu-central-1"), "eu-central-1");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("$(id); it's"), r"'$(id); it'\''s'");
        assert_eq!(
            ascii("[\"a\u{202e}\u{e0001}ü\"]"),
            "[\"a\\u202e\\udb40\\udc01ü\"]"
        );
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for word in [
            "$(id)", "a'b\"c", "-f", "x\ny", "`x`", "a b", "*", "~", "\\", "!x", "ü",
        ] {
            let output = std::process::Command::new("sh")
                .args([
                    "-c",
                    &format!("printf %s {}", shell_quote(word).replace("-f", "-- -f")),
                ])
                .output()
                .unwrap();
            assert!(
                String::from_utf8_lossy(&output.stdout).ends_with(word),
                "{word:?}"
            );
        }
    }
}
