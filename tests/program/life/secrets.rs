//! Property 25: planted keys and passwords are found nowhere that outlives the process or leaves it, and
//! what a tag says is never run.

use std::path::Path;
use std::process::Command;

use super::served::{Home, REGION, Served, served};

const SECRET: &str = "PLANTEDsecretKEYpq7Zt2mXw9";
const TOKEN: &str = "PLANTEDsessionTOKENr8Yd31kQ";
const PASSWORD: &str = "PLANTEDpasswordVb5Nn0sHj";

/// Every place in which the bytes are found below a directory.
fn found(dir: &Path, secret: &str, except: &Path) -> Vec<String> {
    let mut hits = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path == except {
            continue;
        }
        if path.is_dir() {
            hits.extend(found(&path, secret, except));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let at = bytes
                .windows(secret.len())
                .position(|w| w == secret.as_bytes());
            if let Some(at) = at {
                let around = &bytes[at.saturating_sub(160)..(at + 40).min(bytes.len())];
                hits.push(format!(
                    "{}: {}",
                    path.display(),
                    String::from_utf8_lossy(around)
                ));
            }
        }
    }
    hits
}

#[tokio::test(flavor = "multi_thread")]
async fn p25_planted_keys_are_in_no_log_journal_argument_or_output() {
    let served = served(1).await;
    let instance = served.id("db-0");
    let home = Home::new(&served);
    let mine = home.dir.path().join(".my.cnf");
    std::fs::write(
        &mine,
        format!("[client]\nuser=backup\npassword={PASSWORD}\n"),
    )
    .unwrap();
    let command = |args: &[&str]| {
        let mut command: Command = home.command(args);
        command
            .args(["--log-level", "trace,freezeframe=trace"])
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_SESSION_TOKEN", TOKEN)
            .env("MYSQL_PWD", PASSWORD)
            .env("RUST_BACKTRACE", "full");
        command
    };
    let running = home.start_command(command(&[
        "snapshot",
        "--instance",
        &instance,
        "--max-freeze",
        "600s",
    ]));
    let pid = running.child.id();
    home.until_phase("snapshotting").await;
    // What every user of the machine may read of it and of its children.
    let mut lines = vec![std::fs::read(format!("/proc/{pid}/cmdline")).unwrap()];
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            lines.extend(std::fs::read(format!("/proc/{child}/cmdline")));
        }
    }
    for line in lines {
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains("PLANTED"), "{line}");
    }
    let answer = running.wait().await;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    // A failure's words, too: the endpoint is gone in the middle of everything.
    let mut broken = command(&["list", "instances"]);
    broken.args(["--endpoint-url", "http://127.0.0.1:1"]);
    let broken = home.start_command(broken).wait().await;
    assert_ne!(broken.code, Some(0));
    for said in [&answer, &broken] {
        let all = format!("{}{}", said.out, said.err);
        assert!(!all.contains("PLANTED"), "{all}");
    }
    let log: u64 = std::fs::read_dir(home.state())
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.file_name().to_string_lossy().contains("log"))
        .map(|e| e.metadata().unwrap().len())
        .sum();
    assert!(log > 0, "the log at trace level says something");
    for secret in [SECRET, TOKEN, PASSWORD] {
        let hits = found(home.dir.path(), secret, &mine);
        assert!(hits.is_empty(), "{hits:#?}");
    }
    // Nor did any of it go to the instance or into a tag.
    let sent = commands(&served).await;
    assert!(
        sent.contains("pre-script") && !sent.contains("PLANTED"),
        "{sent}"
    );
    let world = served.lab.world();
    let tags: Vec<&String> = world
        .snapshots
        .values()
        .flat_map(|s| s.tags.values())
        .collect();
    assert!(!tags.is_empty() && tags.iter().all(|value| !value.contains("PLANTED")));
}

/// Every command that was sent, as Run Command's history shows it to whoever may read it.
async fn commands(served: &Served) -> String {
    let request = http::Request::post("http://lab.invalid/")
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=AKIALAB/20261121/{REGION}/ssm/aws4_request, SignedHeaders=host, Signature=x"),
        )
        .header("x-amz-target", "AmazonSSM.ListCommands")
        .header("content-type", "application/x-amz-json-1.1")
        .body(bytes::Bytes::from_static(b"{}"))
        .unwrap();
    let answer = served.lab.handle(request).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    String::from_utf8(answer.into_body().to_vec()).unwrap()
}

/// What a tag, a name or a mount point says must never become a word of a shell.
const HOSTILE: [&str; 6] = [
    "$(touch /tmp/ff-p25)",
    "; touch /tmp/ff-p25",
    "a\ntouch /tmp/ff-p25",
    "-f",
    "`touch /tmp/ff-p25`",
    "'; touch /tmp/ff-p25; '",
];

#[tokio::test(flavor = "multi_thread")]
async fn p25_hostile_tags_and_names_reach_no_command() {
    let served = served(HOSTILE.len()).await;
    let home = Home::new(&served);
    for (n, hostile) in HOSTILE.into_iter().enumerate() {
        let instance = served.id(&format!("db-{n}"));
        {
            let mut world = served.lab.world();
            let there = world.instances.get_mut(&instance).unwrap();
            there.tags.insert("Name".to_owned(), hostile.to_owned());
            there.tags.insert(hostile.to_owned(), hostile.to_owned());
            for volume in world.volumes.values_mut() {
                volume.tags.insert("Name".to_owned(), hostile.to_owned());
            }
        }
        let answer = home.run(&["snapshot", "--instance", &instance]).await;
        assert_eq!(answer.code, Some(0), "{hostile:?}: {answer:?}");
        // As parameters they are refused: by the program, and by the document's own patterns.
        let refused = home
            .run(&["snapshot", "--instance", &instance, "--mount", hostile])
            .await;
        assert_eq!(refused.code, Some(2), "{hostile:?}: {refused:?}");
    }
    let sent = commands(&served).await;
    assert!(sent.contains("pre-script"), "{sent}");
    assert!(
        !sent.contains("ff-p25") && !sent.contains("\"-f\""),
        "{sent}"
    );
    assert!(!Path::new("/tmp/ff-p25").exists());
}

#[test]
fn p25_every_parameter_of_our_documents_has_a_pattern_that_refuses_a_shells_words() {
    let mut checked = 0;
    for document in freezeframe::recipe::document::all() {
        let json: serde_json::Value = serde_json::from_str(document.content).unwrap();
        for (name, parameter) in json["parameters"].as_object().unwrap() {
            if let Some(values) = parameter["allowedValues"].as_array() {
                assert!(!values.is_empty());
                continue;
            }
            let pattern = parameter["allowedPattern"]
                .as_str()
                .unwrap_or_else(|| panic!("{} takes any {name}", document.name));
            let pattern = regex_lite::Regex::new(pattern).unwrap();
            for hostile in HOSTILE {
                for value in [
                    hostile.to_owned(),
                    format!("/data/{hostile}"),
                    format!("/a,{hostile}"),
                ] {
                    // A path may have a dash in it; it begins with a slash, so it is never an option.
                    if value.ends_with("/-f") {
                        continue;
                    }
                    assert!(
                        !pattern.is_match(&value),
                        "{} lets {name} be {value:?}",
                        document.name
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 50);
}
