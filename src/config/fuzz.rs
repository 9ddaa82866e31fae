//! Property 31 for what a person configures: flags, variables, keys of config.toml, lines of the AWS files.

use proptest::prelude::*;

use super::acting;
use super::aws::Aws;
use super::layers::{Overrides, with};
use super::variables::Variables;
use crate::domain::problem::{Kind, Problem};

/// Text as it comes: from nearly right to anything.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{0,12}",
        "\\PC{0,8}",
        any::<String>(),
        prop_oneof![
            Just("http://127.0.0.1:4566"),
            Just("127.0.0.1:4566"),
            Just("https://[::1]:0"),
            Just("http://[:"),
            Just("://"),
            Just("eu-central-1"),
            Just("eu-central-1a"),
            Just("us-east-1-bos-1a"),
            Just("a"),
            Just("b"),
            Just("default"),
            Just("~/x"),
            Just("relative/x"),
            Just("true"),
            Just("-1"),
            Just("99999999999999999999"),
            Just("coordinated"),
            Just("arn:aws:iam::111122223333:role/R"),
        ]
        .prop_map(str::to_owned),
    ]
}

fn lines(
    keys: &'static [&'static str],
    heads: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => (prop::sample::select(keys), text()).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => prop::sample::select(heads).prop_map(str::to_owned),
        1 => (prop::sample::select(keys), text()).prop_map(|(key, value)| format!("  {key} = {value}")),
        1 => text(),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

const AWS_KEYS: &[&str] = &[
    "region",
    "endpoint_url",
    "role_arn",
    "source_profile",
    "credential_source",
    "aws_access_key_id",
    "aws_secret_access_key",
    "credential_process",
    "login_session",
    "sso_session",
    "sso_account_id",
    "sso_role_name",
    "sso_region",
    "sso_start_url",
    "web_identity_token_file",
    "mfa_serial",
    "services",
    "ec2",
    "ca_bundle",
    "duration_seconds",
    "ignore_configured_endpoint_urls",
];
const AWS_HEADS: &[&str] = &[
    "[default]",
    "[profile a]",
    "[profile b]",
    "[a]",
    "[b]",
    "[sso-session a]",
    "[services a]",
    "[profile",
    "[]",
    "[profile \"a b\"] # x",
];
const VARIABLES: &[&str] = &[
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CA_BUNDLE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "FREEZEFRAME_READ_ONLY",
    "FREEZEFRAME_THEME",
    "FREEZEFRAME_SNAPSHOT_MODE",
    "FREEZEFRAME_RUN_AT_ONCE",
    "FREEZEFRAME_SNAPSHOT_BUDGET_SECONDS",
    "FREEZEFRAME_SNAPSHOT_ON_FAILURE",
    "FREEZEFRAME_RUN_GROUP_TAG",
    "FREEZEFRAME_CONFIG",
    "FREEZEFRAME_READONLY",
    "FREEZEFRAME_RUN_RETRIES",
];

fn toml() -> impl Strategy<Value = String> {
    let keys = [
        "profile",
        "region",
        "endpoint_url",
        "theme",
        "read_only",
        "[snapshot]\nmode",
        "[snapshot]\nbudget_seconds",
        "[run]\nat_once",
        "[run]\ngroup_tag",
        "[metrics]\nnamespace",
        "[retention.x]\nkeep-last",
        "[recipes.x]\ndocument",
        "nonsense",
    ];
    let value = prop_oneof![
        text().prop_map(|text| format!("{text:?}")),
        any::<i64>().prop_map(|n| n.to_string()),
        Just("true".to_owned()),
        text(),
    ];
    prop::collection::vec((prop::sample::select(keys.to_vec()), value), 0..3).prop_map(|lines| {
        lines
            .into_iter()
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    })
}

/// Everything that is said, in one world of files.
fn resolved(
    ours: &str,
    (config, credentials): (&str, &str),
    variables: &[(&str, String)],
    flags: &Overrides,
) -> Result<acting::Choice, Problem> {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mut pairs: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.replace('\0', "0")))
        .collect();
    pairs.push(("AWS_CONFIG_FILE".to_owned(), file("config", config)));
    pairs.push((
        "AWS_SHARED_CREDENTIALS_FILE".to_owned(),
        file("credentials", credentials),
    ));
    let variables = Variables::from_pairs(pairs);
    let ours = file("config.toml", ours);
    let config = with(Some(ours.as_ref()), flags, &variables)?;
    Aws::resolve(&config, variables)?.choice()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// No panic, and what is refused is refused in words, as usage or for want of credentials.
    #[test]
    fn p31_no_configuration_ends_in_a_panic(
        ours in toml(),
        config in lines(AWS_KEYS, AWS_HEADS),
        credentials in lines(AWS_KEYS, AWS_HEADS),
        variables in prop::collection::vec((prop::sample::select(VARIABLES), text()), 0..6),
        profile in prop::option::of(text()),
        region in prop::option::of(text()),
        endpoint_url in prop::option::of(text()),
    ) {
        let flags = Overrides { profile, region, endpoint_url, read_only: false, theme: None };
        if let Err(problem) = resolved(&ours, (&config, &credentials), &variables, &flags) {
            prop_assert!(
                matches!(problem.kind, Kind::Usage | Kind::Credentials),
                "{:?}: {problem}", problem.kind
            );
            prop_assert!(!problem.hint.is_empty() && !problem.cause.is_empty(), "{problem}");
        }
    }

    /// A profile named by flag acts, or nobody does.
    #[test]
    fn p26_a_profile_named_by_flag_acts_or_nobody_does(
        config in lines(AWS_KEYS, AWS_HEADS),
        credentials in lines(AWS_KEYS, AWS_HEADS),
        variables in prop::collection::vec((prop::sample::select(VARIABLES), text()), 0..8),
        name in prop::sample::select(vec!["a", "b", "default", "c"]),
    ) {
        let flags = Overrides { profile: Some(name.to_owned()), ..Overrides::default() };
        if let Ok(choice) = resolved("", (&config, &credentials), &variables, &flags) {
            prop_assert_eq!(choice.source.profile(), Some(name));
        }
    }
}
