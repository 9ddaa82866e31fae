//! Who acts, and where, as a person meets it: what is refused, what is said, where requests go.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::{Result, Served, command, run, state};

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIALAB"),
    ("AWS_SECRET_ACCESS_KEY", "lab"),
];

fn told(output: std::process::Output) -> Result {
    Result {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn with(home: &TempDir, variables: &[(&str, &str)], args: &[&str]) -> Result {
    let mut command = command(home.path());
    command.envs(variables.iter().copied()).args(args);
    told(command.output().unwrap())
}

/// `~/.aws/config` and `~/.aws/credentials`.
fn aws_files(home: &TempDir, config: &str, credentials: &str) {
    let dir = home.path().join(".aws");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config"), config).unwrap();
    std::fs::write(dir.join("credentials"), credentials).unwrap();
}

const VIEWER: &str = "[viewer]\naws_access_key_id = AKIAVIEW\naws_secret_access_key = lab\n";

#[test]
fn p26_the_acting_identity_is_named_before_the_first_call_and_the_flag_wins() {
    let home = state();
    aws_files(&home, "[profile viewer]\nregion = eu-west-3\n", VIEWER);
    let show = |variables: &[(&str, &str)], args: &[&str]| {
        let mut all = vec!["config", "show", "-o", "json"];
        all.extend(args);
        let result = with(&home, variables, &all);
        assert_eq!(result.code, 0, "{}", result.err);
        let rows = result.json();
        let row = |key: &str| {
            let rows = rows.as_array().unwrap();
            let row = rows.iter().find(|row| row["key"] == key).unwrap();
            format!("{} ← {}", row["value"], row["from"]).replace('"', "")
        };
        (row("credentials"), row("region"), row("profile"))
    };
    let (credentials, region, profile) = show(&KEYS, &["--profile", "viewer"]);
    assert_eq!(credentials, "profile viewer (credentials file) ← --profile");
    assert!(
        region.starts_with("eu-west-3 ← ") && region.ends_with("config: line 2"),
        "{region}"
    );
    assert_eq!(profile, "viewer ← --profile");
    let (credentials, region, _) = show(
        &[
            KEYS[0],
            KEYS[1],
            ("AWS_PROFILE", "viewer"),
            ("AWS_REGION", "eu-north-1"),
        ],
        &[],
    );
    assert_eq!(
        credentials,
        "environment variables, not profile viewer ← AWS_ACCESS_KEY_ID"
    );
    assert_eq!(region, "eu-north-1 ← AWS_REGION");
    let (credentials, ..) = show(&[("AWS_PROFILE", "viewer")], &[]);
    assert_eq!(
        credentials,
        "profile viewer (credentials file) ← AWS_PROFILE"
    );
}

#[test]
fn p26_a_profile_that_is_not_there_is_refused_with_the_nearest_and_the_keys_do_not_act() {
    let served = Served::start();
    let home = state();
    aws_files(&home, "", VIEWER);
    let at = [
        "--endpoint-url",
        served.url.as_str(),
        "--region",
        "eu-central-1",
    ];
    for (variables, flag) in [
        (KEYS.to_vec(), true),
        (Vec::new(), true),
        (vec![("AWS_PROFILE", "viewr")], false),
    ] {
        let mut args = at.to_vec();
        if flag {
            args.extend(["--profile", "viewr"]);
        }
        args.extend(["list", "instances"]);
        let result = with(&home, &variables, &args);
        assert_eq!(result.code, 2, "{}", result.err);
        assert!(result.out.is_empty());
        for words in [
            "no such profile",
            ".aws/config",
            ".aws/credentials",
            "`viewer`",
        ] {
            assert!(result.err.contains(words), "{words}: {}", result.err);
        }
    }
    let mut args = at.to_vec();
    args.extend([
        "--profile",
        "viewer",
        "snapshot",
        "--tag",
        "Name=shop-db-1",
        "--dry-run",
    ]);
    let table = with(&home, &KEYS, &args);
    assert_eq!(table.code, 0, "{}", table.err);
    let first = table.out.lines().next().unwrap();
    assert!(
        first.starts_with("account 123456789012, eu-central-1, as ")
            && first.ends_with("credentials: profile viewer (credentials file)"),
        "{first}"
    );
}

#[test]
fn p26_every_plan_and_result_names_account_region_and_credentials() {
    let home = state();
    let mine = "--lab";
    for args in [
        &[mine, "snapshot", "--tag", "Name=shop-db-1", "--dry-run"][..],
        &[mine, "snapshot", "--tag", "Name=shop-db-1"],
        &[mine, "prune", "--keep-last", "3", "--dry-run"],
        &[mine, "setup", "documents", "--dry-run"],
    ] {
        let table = run(&home, args);
        let first = table.out.lines().next().unwrap();
        assert!(
            first.starts_with("account 123456789012, eu-central-1, as "),
            "{args:?}: {first}"
        );
        let mut json = args.to_vec();
        json.extend(["-o", "json"]);
        let value = run(&home, &json).json();
        let value = if value.is_array() { &value[0] } else { &value };
        for (key, said) in [
            ("account", "123456789012"),
            ("region", "eu-central-1"),
            ("credentials", "keys of the lab"),
        ] {
            assert_eq!(value[key], said, "{args:?}: {value}");
        }
        assert!(
            value["arn"].as_str().unwrap().contains("123456789012"),
            "{args:?}"
        );
    }
}

#[test]
fn what_is_nearly_right_is_refused_with_the_right_form() {
    let home = state();
    let list = ["list", "instances"];
    let refused = |variables: &[(&str, &str)], args: &[&str], words: &[&str]| {
        let mut all = args.to_vec();
        all.extend(list);
        let result = with(&home, variables, &all);
        assert_eq!(result.code, 2, "{args:?} {variables:?}: {}", result.err);
        assert!(result.out.is_empty());
        assert!(!result.err.contains("Request {"), "{}", result.err);
        for word in words {
            assert!(result.err.contains(word), "{word}: {}", result.err);
        }
    };
    let region = ["--region", "eu-central-1"];
    refused(
        &KEYS,
        &["--region", "eu-central-1a"],
        &["availability zone", "the region is eu-central-1"],
    );
    refused(
        &[],
        &["--lab", "--region", "eu-central-1a"],
        &["availability zone"],
    );
    refused(&KEYS, &["--region", "eu-centrl-1"], &["`eu-central-1`"]);
    refused(&KEYS, &[], &["no region is set"]);
    refused(
        &KEYS,
        &[region[0], region[1], "--endpoint-url", "127.0.0.1:4566"],
        &["write http://127.0.0.1:4566"],
    );
    refused(&[KEYS[0]], &region, &["AWS_SECRET_ACCESS_KEY is not"]);
    refused(
        &[("FREEZEFRAME_READONLY", "1")],
        &["--lab"],
        &["did you mean FREEZEFRAME_READ_ONLY"],
    );
    refused(
        &[("FREEZEFRAME_SNAPSHOT_MODE", "both")],
        &["--lab"],
        &["FREEZEFRAME_SNAPSHOT_MODE"],
    );
    refused(
        &[("AWS_PROFILE", "a"), ("AWS_DEFAULT_PROFILE", "b")],
        &region,
        &["AWS_DEFAULT_PROFILE"],
    );
    refused(
        &[],
        &["--lab", "--profile", "viewer"],
        &["--lab has keys of its own"],
    );
    for (flag, variables) in [
        (&["--lab", "--config", "~/c.toml"][..], &[][..]),
        (&["--lab", "--theme", "~/t.toml"], &[]),
        (&["--lab=~/w.toml"], &[]),
        (&["--lab", "--faults", "~/f.toml"], &[]),
        (&["--lab", "--runtime", "real", "--lab-dir", "~/lab"], &[]),
        (&["--lab"], &[("FREEZEFRAME_CONFIG", "~/c.toml")]),
        (&["--lab"], &[("FREEZEFRAME_STATE_DIR", "~/ff")]),
        (&region, &[KEYS[0], KEYS[1], ("AWS_CA_BUNDLE", "~/ca.pem")]),
    ] {
        refused(
            variables,
            flag,
            &["`~`", &format!("write {}", home.path().display())],
        );
    }
    refused(
        &[("FREEZEFRAME_STATE_DIR", "ff")],
        &["--lab"],
        &["relative", "/ff"],
    );
    assert!(!Path::new("~").exists() && !Path::new("ff").exists());
    refused(
        &[KEYS[0], KEYS[1], ("AWS_CA_BUNDLE", "/nowhere.pem")],
        &region,
        &["/nowhere.pem", "AWS_CA_BUNDLE"],
    );
    let bad = home.path().join("bad.pem");
    std::fs::write(
        &bad,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    refused(
        &[KEYS[0], KEYS[1], ("AWS_CA_BUNDLE", bad.to_str().unwrap())],
        &region,
        &["certificate 1"],
    );
    refused(
        &[KEYS[0], KEYS[1], ("HTTPS_PROXY", "socks5://x:1")],
        &region,
        &["HTTPS_PROXY", "neither http nor https"],
    );
    aws_files(&home, "[default]\nregion = eu-central-1\nnonsense\n", "");
    refused(&KEYS, &[], &[".aws/config", "line 3", "no `key = value`"]);
}

#[test]
fn empty_means_unset() {
    let home = state();
    aws_files(&home, "[default]\nregion = eu-north-1\n", "");
    let variables = [
        KEYS[0],
        KEYS[1],
        ("AWS_PROFILE", ""),
        ("AWS_REGION", ""),
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_SESSION_TOKEN", ""),
        ("FREEZEFRAME_CONFIG", ""),
        ("FREEZEFRAME_READ_ONLY", ""),
        ("HTTPS_PROXY", ""),
        ("AWS_CA_BUNDLE", ""),
    ];
    let result = with(
        &home,
        &variables,
        &[
            "--endpoint-url",
            "",
            "--region",
            "",
            "--profile",
            "",
            "--theme",
            "",
            "config",
            "show",
        ],
    );
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(
        result.out.contains("environment variables"),
        "{}",
        result.out
    );
    assert!(result.out.contains("eu-north-1"), "{}", result.out);
}

/// What a listener that answers nothing but `reply` was sent: the first line of each connection.
struct Heard {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Heard {
    fn start(reply: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        std::thread::spawn(move || {
            let mut open: Vec<TcpStream> = Vec::new();
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else {
                    return;
                };
                let mut bytes = [0; 4096];
                let n = connection.read(&mut bytes).unwrap_or(0);
                let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
                let first = text.lines().next().unwrap_or_default().to_owned();
                heard.lock().unwrap().push(first);
                if reply.is_empty() {
                    open.push(connection);
                } else {
                    let _ = connection.write_all(reply.as_bytes());
                }
            }
        });
        Self { port, lines }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[test]
fn the_environments_proxy_is_used_and_this_machine_is_never_behind_it() {
    let home = state();
    let proxy = Heard::start(REFUSED);
    let url = proxy.url();
    let ask = |endpoint: &str, more: &[(&str, &str)]| {
        let mut variables = vec![
            KEYS[0],
            KEYS[1],
            ("HTTP_PROXY", url.as_str()),
            ("HTTPS_PROXY", url.as_str()),
        ];
        variables.extend(more);
        let args = [
            "--region",
            "eu-central-1",
            "--endpoint-url",
            endpoint,
            "list",
            "instances",
        ];
        let result = with(&home, &variables, &args);
        assert_eq!(result.code, 1, "{}", result.err);
        std::mem::take(&mut *proxy.lines.lock().unwrap())
    };
    let plain = ask("http://sts.example.test", &[]);
    assert!(
        plain[0].starts_with("POST http://sts.example.test/"),
        "{plain:?}"
    );
    let shown = with(
        &home,
        &[
            KEYS[0],
            KEYS[1],
            ("HTTPS_PROXY", "http://me:secret@proxy.example.org:3128"),
        ],
        &["config", "show"],
    );
    assert!(
        shown.out.contains("proxy.example.org:3128") && !shown.out.contains("secret"),
        "{}",
        shown.out
    );
    let tunnel = ask("https://sts.example.test", &[]);
    assert!(
        tunnel[0].starts_with("CONNECT sts.example.test:443"),
        "{tunnel:?}"
    );
    let direct = Heard::start(REFUSED);
    assert_eq!(ask(&direct.url(), &[]), Vec::<String>::new());
    assert!(direct.lines.lock().unwrap()[0].starts_with("POST / "));
    assert_eq!(
        ask("http://sts.example.test", &[("NO_PROXY", "example.test")]),
        Vec::<String>::new()
    );
}

#[test]
fn an_endpoint_that_does_not_answer_is_told_and_given_up_and_ctrl_c_ends_the_waiting() {
    let home = state();
    let silent = Heard::start("");
    let url = silent.url();
    let args = [
        "--region",
        "eu-central-1",
        "--endpoint-url",
        url.as_str(),
        "list",
        "instances",
    ];
    let result = with(&home, &KEYS, &args);
    assert_eq!(result.code, 1, "{}", result.err);
    let waiting = format!("waiting for STS at {url}");
    assert!(result.err.contains(&waiting), "{}", result.err);
    assert!(result.err.contains("no answer within"), "{}", result.err);
    // ctrl-c while it waits.
    // Whoever runs the tests in the background has SIGINT ignored, and so would the program.
    let mut child = std::process::Command::new("/usr/bin/env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_freezeframe")])
        .env_clear()
        .envs(KEYS)
        .env("HOME", home.path())
        .env("FREEZEFRAME_STATE_DIR", home.path())
        .args(args)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 8];
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    use std::os::unix::process::ExitStatusExt as _;
    // A shell calls either 130.
    assert!(
        status.signal() == Some(2) || status.code() == Some(130),
        "{status:?}"
    );
}

/// What somebody's script may hand over.
const ODD: [&[u8]; 9] = [
    b"",
    b" ",
    b"-1",
    b"99999999999999999999",
    b"a\nb\x1b[31m",
    b"\xff\xfe",
    b"http://[:",
    b"../../etc/passwd",
    b"\xe2\x80\xae\xf0\x9f\x92\xa9=\"'$(x)",
];

fn odd(bytes: &[u8]) -> &std::ffi::OsStr {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes)
}

fn in_the_table(result: &Result, what: &str) {
    assert!(
        (0..=5).contains(&result.code),
        "{what}: {} {}",
        result.code,
        result.err
    );
    assert!(!result.err.contains("panicked"), "{what}: {}", result.err);
    assert!(
        !result.err.contains('\x1b') && !result.out.contains('\x1b'),
        "{what}"
    );
    if result.code != 0 {
        assert_eq!(result.code, 2, "{what}: {}", result.err);
    }
}

#[test]
fn p31_no_value_of_a_variable_ends_outside_the_table() {
    let home = state();
    let variables = [
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_EC2",
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CA_BUNDLE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "HTTPS_PROXY",
        "FREEZEFRAME_CONFIG",
        "FREEZEFRAME_STATE_DIR",
        "FREEZEFRAME_READ_ONLY",
        "FREEZEFRAME_THEME",
        "FREEZEFRAME_SNAPSHOT_MODE",
        "FREEZEFRAME_RUN_AT_ONCE",
        "FREEZEFRAME_RUN_GROUP_TAG",
        "HOME",
        "TERM",
    ];
    for name in variables {
        for value in ODD {
            let mut command = command(home.path());
            command
                .envs(KEYS)
                .env("FREEZEFRAME_STATE_DIR", home.path())
                .env(name, odd(value))
                .current_dir(home.path())
                .args(["config", "show"]);
            let result = told(command.output().unwrap());
            in_the_table(&result, &format!("{name}={value:?}"));
        }
    }
}

#[test]
fn p31_no_value_of_a_flag_ends_outside_the_table() {
    use clap::{CommandFactory as _, Parser as _};
    use freezeframe::cli::args::Cli;
    let home = state();
    let grammar = Cli::command();
    let long: Vec<String> = grammar
        .get_arguments()
        .filter(|arg| arg.get_action().takes_values())
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect();
    assert!(
        long.contains(&"endpoint-url".to_owned()) && long.len() > 10,
        "{long:?}"
    );
    for flag in &long {
        for value in ODD {
            // The real runtime would make things on this machine.
            if flag == "runtime" {
                continue;
            }
            let mut argument = std::ffi::OsString::from(format!("--{flag}="));
            argument.push(odd(value));
            // A world is made where the flag has something to do with it.
            let of_a_world = ["lab", "seed", "faults", "region", "lab-dir"];
            for rest in [&["config", "show"][..], &["--lab", "list", "jobs"]] {
                if rest[0] == "--lab" && !of_a_world.contains(&flag.as_str()) {
                    continue;
                }
                let mut command = command(home.path());
                command
                    .envs(KEYS)
                    .current_dir(home.path())
                    .arg(&argument)
                    .args(rest);
                let result = told(command.output().unwrap());
                if rest[0] == "--lab" && result.code == 3 {
                    continue;
                }
                in_the_table(&result, &format!("{argument:?} {rest:?}"));
            }
        }
    }
    // Every value of every command goes through a parser that refuses or takes it.
    fn walk(command: &clap::Command, path: &[String]) {
        for arg in command
            .get_arguments()
            .filter(|arg| arg.get_action().takes_values())
        {
            let Some(long) = arg.get_long() else { continue };
            for value in ODD {
                let mut words: Vec<std::ffi::OsString> = vec!["freezeframe".into()];
                words.extend(path.iter().map(Into::into));
                let mut argument = std::ffi::OsString::from(format!("--{long}="));
                argument.push(odd(value));
                words.push(argument);
                let _ = Cli::try_parse_from(words);
            }
        }
        for inner in command.get_subcommands() {
            let mut path = path.to_vec();
            path.push(inner.get_name().to_owned());
            walk(inner, &path);
        }
    }
    walk(&grammar, &[]);
}

/// A profile with a role asks the endpoint's STS for it, acts as the role, and says so; along a chain too.
#[test]
fn p26_a_role_profile_works_with_an_endpoint_and_says_whose_credentials_act() {
    let served = Served::start();
    let home = state();
    let url = served.url.as_str();
    aws_files(
        &home,
        "[profile base]\nregion = eu-central-1\n\
         [profile nightly]\nrole_arn = arn:aws:iam::123456789012:role/ops/Nightly\nsource_profile = base\nregion = eu-central-1\n\
         [profile chained]\nrole_arn = arn:aws:iam::123456789012:role/BackupView\nsource_profile = nightly\nrole_session_name = me\nregion = eu-central-1\n\
         [profile elsewhere]\nrole_arn = arn:aws:iam::210987654321:role/Nightly\nsource_profile = base\nregion = eu-central-1\n",
        "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = lab\n",
    );
    let ask = |profile: &str, args: &[&str]| {
        let all = [&["--endpoint-url", url, "--profile", profile], args].concat();
        // Keys in the environment are somebody else's.
        with(&home, &KEYS, &all)
    };
    let dry = [
        "snapshot",
        "--tag",
        "Name=files-1",
        "--dry-run",
        "-o",
        "json",
    ];
    let nightly = ask("nightly", &dry);
    assert_eq!(nightly.code, 0, "{} {}", nightly.out, nightly.err);
    let said = nightly.json();
    assert_eq!(
        said["arn"],
        "arn:aws:sts::123456789012:assumed-role/Nightly/freezeframe"
    );
    assert!(
        said["credentials"]
            .as_str()
            .unwrap()
            .contains("profile nightly"),
        "{said:#}"
    );
    let chained = ask("chained", &["list", "instances"]);
    assert_eq!(chained.code, 0, "{}", chained.err);
    let chained = ask("chained", &["snapshot", "--tag", "Name=files-1"]);
    assert_eq!(chained.code, 1, "{}", chained.out);
    assert!(
        chained.err.contains("assumed-role/BackupView/me") || chained.out.contains("BackupView"),
        "{} {}",
        chained.out,
        chained.err
    );
    let elsewhere = ask("elsewhere", &["list", "instances"]);
    assert_eq!(elsewhere.code, 1, "{}", elsewhere.err);
    for words in [
        "arn:aws:iam::210987654321:role/Nightly",
        "profile `elsewhere`",
    ] {
        assert!(elsewhere.err.contains(words), "{}", elsewhere.err);
    }
}

/// `aws login` leaves its tokens in a file; a profile that names the session acts with them, and says so.
#[test]
fn a_profile_of_aws_login_acts_with_what_the_sign_in_left() {
    let served = Served::start();
    let home = state();
    let url = served.url.as_str();
    aws_files(
        &home,
        "[profile me]\nregion = eu-central-1\nlogin_session = arn:aws:iam::111111111111:user/me\n",
        "",
    );
    let ask = || {
        let variables = [KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", url)];
        with(
            &home,
            &variables,
            &[
                "--profile",
                "me",
                "snapshot",
                "--tag",
                "Name=files-1",
                "--dry-run",
                "-o",
                "json",
            ],
        )
    };
    let before = ask();
    assert_eq!(before.code, 1, "{} {}", before.out, before.err);
    assert!(
        before.err.contains("aws login --profile me"),
        "{}",
        before.err
    );
    let cache = home.path().join(".aws/login/cache");
    std::fs::create_dir_all(&cache).unwrap();
    // The name is the SHA-256 of the session.
    let name = "f588fbe994a0abe4d250a61f6da847b285b7ffe841c32dc31fbeed4f0bc75d30.json";
    let token = serde_json::json!({
        "accessToken": {
            "accessKeyId": "ASIALOGIN", "secretAccessKey": "lab", "sessionToken": "t", "accountId": "111111111111",
            "expiresAt": "2099-01-01T00:00:00Z",
        },
        "tokenType": "aws_sigv4", "refreshToken": "r", "idToken": "i",
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": "none",
    });
    std::fs::write(cache.join(name), token.to_string()).unwrap();
    let after = ask();
    assert_eq!(after.code, 0, "{} {}", after.out, after.err);
    let said = after.json()["credentials"].to_string();
    assert!(said.contains("profile me"), "{said}");
}
