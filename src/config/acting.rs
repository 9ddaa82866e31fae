//! Who acts: which credentials a session is to use, decided before anything is asked. One order, botocore's:
//!
//! 1. the profile named by `--profile`: all of its credentials, or the command is refused;
//! 2. keys in the environment;
//! 3. the profile of `AWS_PROFILE`, else of config.toml, else `default`: first a role that it assumes;
//! 4. a web identity of the environment (`AWS_WEB_IDENTITY_TOKEN_FILE`);
//! 5. whatever else that profile has;
//! 6. the container's role, the instance's role: only where no profile was named by anybody.
//!
//! A profile that was named and does not exist, or that has no credentials, is refused and never passed over.

use std::fmt;

use super::aws_files::{AwsFiles, FileKind, Section};
use super::origin::Origin;
use super::variables::Variables;
use crate::domain::credentials::{How, Source};
use crate::domain::problem::{Kind, Problem};
use crate::domain::text::visible;

/// The profile when nobody names one.
const USUAL: &str = "default";

/// The profile that is asked for, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The profile; `None` for the usual one.
    pub profile: Option<String>,
    /// Who named it.
    pub by: Origin,
}

/// An access key. Its debug text shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Access key id.
    pub id: String,
    /// Secret key.
    pub secret: String,
    /// Session token, where there is one.
    pub token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// What the first credentials are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An access key.
    Keys(Keys),
    /// A token of an identity provider.
    WebIdentity {
        /// The file with the token.
        token_file: String,
        /// The role.
        role: String,
        /// Name of the session.
        session_name: Option<String>,
    },
    /// A session of IAM Identity Center.
    Sso {
        /// The account.
        account: String,
        /// The role.
        role: String,
        /// The region of Identity Center.
        region: String,
        /// Identity Center's address.
        start_url: String,
        /// The name of the `sso-session`.
        session: Option<String>,
    },
    /// A session of `aws login`, by its profile.
    Login(String),
    /// A profile's `credential_process`.
    Process(String),
    /// The container's endpoint.
    Container,
    /// The instance's metadata service.
    Instance,
}

/// A role that is assumed with the credentials before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The profile that says so.
    pub profile: String,
    /// The role.
    pub arn: String,
    /// The external id that it asks for.
    pub external_id: Option<String>,
    /// Name of the session.
    pub session_name: Option<String>,
    /// Seconds that it lasts.
    pub duration_s: Option<i32>,
}

/// The credentials to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// In words.
    pub source: Source,
    /// Who named the profile, if one gives them.
    pub by: Origin,
    /// What the first credentials are.
    pub base: Base,
    /// Roles in the order in which they are assumed.
    pub roles: Vec<Role>,
}

/// Chooses. Asks nobody: files and environment only.
///
/// # Errors
/// No such profile, a profile without credentials, half a pair of keys, a chain that cannot work.
pub fn choose(asked: &Asked, variables: &Variables, files: &AwsFiles) -> Result<Choice, Problem> {
    let by_flag = matches!(asked.by, Origin::Flag(_)) && asked.profile.is_some();
    let name = asked.profile.as_deref().unwrap_or(USUAL);
    let gives_way = || asked.profile.clone();
    if !by_flag && let Some(keys) = keys_of(variables)? {
        return Ok(Choice {
            source: Source::Variables {
                instead_of: gives_way(),
            },
            by: Origin::Variable("AWS_ACCESS_KEY_ID".to_owned()),
            base: Base::Keys(keys),
            roles: Vec::new(),
        });
    }
    let profile = files.profile(name);
    if asked.profile.is_some() && profile.is_none() {
        return Err(files.no_such_profile(name, &asked.by));
    }
    let assumes = profile.is_some_and(|profile| {
        profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
    });
    if !by_flag
        && !assumes
        && let Some(base) = web_identity(variables)?
    {
        return Ok(Choice {
            source: Source::WebIdentity {
                instead_of: gives_way(),
            },
            by: Origin::Variable("AWS_WEB_IDENTITY_TOKEN_FILE".to_owned()),
            base,
            roles: Vec::new(),
        });
    }
    if profile.is_some()
        && let Some((base, roles, how)) = (Chain { variables, files }).of(name)?
    {
        return Ok(Choice {
            source: Source::Profile {
                name: name.to_owned(),
                how,
            },
            by: asked.by.clone(),
            base,
            roles,
        });
    }
    if asked.profile.is_some() {
        return Err(wrong(
            name,
            "the profile has no credentials".to_owned(),
            "give it keys, a role or an sso_session (`aws configure --profile`), or leave the profile out: then the \
             environment's keys or the machine's own role act",
        ));
    }
    let machine = |source, base| {
        Ok(Choice {
            source,
            by: Origin::Default,
            base,
            roles: Vec::new(),
        })
    };
    if variables
        .first(&[
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ])?
        .is_some()
    {
        return machine(Source::Container, Base::Container);
    }
    if variables.is_true("AWS_EC2_METADATA_DISABLED")? {
        return Err(Problem::new(
            Kind::Credentials,
            "find credentials",
            "there are none: no keys in the environment, no profile, no role of a container, and \
             AWS_EC2_METADATA_DISABLED switches the instance's role off",
            NONE,
        ));
    }
    machine(Source::Instance, Base::Instance)
}

/// What to do where there are no credentials at all.
pub const NONE: &str = "name a profile (--profile), sign in (`aws sso login`, `aws login`), or set AWS_ACCESS_KEY_ID and \
     AWS_SECRET_ACCESS_KEY; to try freezeframe without an account use --lab";

fn wrong(profile: &str, cause: String, hint: &str) -> Problem {
    Problem::new(
        Kind::Usage,
        format!("use the profile `{}`", visible(profile)),
        cause,
        hint,
    )
}

/// The environment's keys. Half a pair is a mistake, not an absence.
fn keys_of(variables: &Variables) -> Result<Option<Keys>, Problem> {
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let half = |there: &str, absent: &str| {
        Problem::new(
            Kind::Usage,
            "use the keys of the environment",
            format!("{there} is set, and {absent} is not"),
            format!(
                "set {absent} too, or remove {there}; --profile names a profile that is used instead"
            ),
        )
    };
    // Nothing but blanks is unset, like nothing at all.
    let value = |name| -> Result<Option<String>, Problem> {
        let text = variables.text(name)?.map(str::trim);
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    match (value(id)?, value(secret)?) {
        (Some(id), Some(secret)) => Ok(Some(Keys {
            id,
            secret,
            token: match value("AWS_SESSION_TOKEN")? {
                Some(token) => Some(token),
                None => value("AWS_SECURITY_TOKEN")?,
            },
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(id, secret)),
        (None, Some(_)) => Err(half(secret, id)),
    }
}

fn web_identity(variables: &Variables) -> Result<Option<Base>, Problem> {
    let Some(file) = variables.text("AWS_WEB_IDENTITY_TOKEN_FILE")? else {
        return Ok(None);
    };
    let Some(role) = variables.text("AWS_ROLE_ARN")? else {
        return Err(Problem::new(
            Kind::Usage,
            "use the web identity of the environment",
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not",
            "set AWS_ROLE_ARN too, or remove AWS_WEB_IDENTITY_TOKEN_FILE",
        ));
    };
    Ok(Some(Base::WebIdentity {
        token_file: file.to_owned(),
        role: role.to_owned(),
        session_name: variables.text("AWS_ROLE_SESSION_NAME")?.map(str::to_owned),
    }))
}

/// What a profile leads to.
struct Chain<'a> {
    variables: &'a Variables,
    files: &'a AwsFiles,
}

/// What the first credentials are, the roles assumed with them, and how the profile says so.
type Found = (Base, Vec<Role>, How);

impl Chain<'_> {
    /// `None`: the profile says nothing of credentials.
    fn of(&self, name: &str) -> Result<Option<Found>, Problem> {
        let mut roles = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        let mut how = None;
        let mut next = name.to_owned();
        let base = loop {
            let here = next.clone();
            let Some(profile) = self.files.profile(&here) else {
                let before = seen.last().cloned().unwrap_or_default();
                let said = self
                    .files
                    .profile(&before)
                    .and_then(|profile| profile.get("source_profile"))
                    .map(|value| value.at.clone())
                    .unwrap_or_default();
                return Err(self.files.no_such_profile(&here, &said));
            };
            let itself = seen.last() == Some(&here);
            if seen.contains(&here) && !itself {
                return Err(wrong(
                    name,
                    format!(
                        "its source_profile leads in a circle: {} → {here}",
                        seen.join(" → ")
                    ),
                    "let the last source_profile name a profile with keys",
                ));
            }
            // Keys of a source profile go before its own role, and a profile may be its own source.
            let static_keys = has_keys(profile) && !seen.is_empty();
            let role = match profile.get("role_arn") {
                Some(arn) if profile.get("web_identity_token_file").is_none() => Some(arn),
                _ => None,
            };
            let (Some(arn), false, false) = (role, static_keys, itself) else {
                match self.base(&here, profile)? {
                    Some((base, word)) => {
                        how.get_or_insert(word);
                        break base;
                    }
                    None if seen.is_empty() => return Ok(None),
                    None => {
                        return Err(wrong(
                            name,
                            format!(
                                "the profile `{}`, whose credentials its role is assumed with, has none",
                                visible(&here)
                            ),
                            "give that profile keys, or name another as source_profile",
                        ));
                    }
                }
            };
            if let Some(serial) = profile.get("mfa_serial") {
                return Err(wrong(
                    &here,
                    format!("its role wants a code of an MFA device ({})", serial.at),
                    "get credentials with the AWS CLI, which asks for it, and use these: \
                     eval \"$(aws configure export-credentials --profile NAME --format env)\", then leave --profile out",
                ));
            }
            how.get_or_insert_with(|| How::Role {
                arn: arn.text.clone(),
            });
            roles.push(Role {
                profile: here.clone(),
                arn: arn.text.clone(),
                external_id: profile.text("external_id").map(str::to_owned),
                session_name: profile.text("role_session_name").map(str::to_owned),
                duration_s: profile
                    .text("duration_seconds")
                    .and_then(|text| text.trim().parse().ok()),
            });
            seen.push(here.clone());
            match (
                profile.get("source_profile"),
                profile.get("credential_source"),
            ) {
                (Some(source), None) => next = source.text.clone(),
                (None, Some(source)) => break self.named_source(&here, &source.text)?,
                (both, _) => {
                    let cause = match both {
                        Some(_) => "it has a source_profile and a credential_source",
                        None => {
                            "it has a role_arn, and neither source_profile nor credential_source"
                        }
                    };
                    return Err(wrong(
                        &here,
                        format!("{cause} ({})", arn.at),
                        "say exactly one of the two",
                    ));
                }
            }
        };
        roles.reverse();
        Ok(how.map(|how| (base, roles, how)))
    }

    fn named_source(&self, profile: &str, source: &str) -> Result<Base, Problem> {
        match source.to_ascii_lowercase().as_str() {
            "environment" => keys_of(self.variables)?.map(Base::Keys).ok_or_else(|| {
                wrong(
                    profile,
                    "credential_source is Environment, and the environment has no keys".to_owned(),
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                )
            }),
            "ec2instancemetadata" => Ok(Base::Instance),
            "ecscontainer" => Ok(Base::Container),
            _ => Err(wrong(
                profile,
                format!("credential_source `{}` is none", visible(source)),
                "name Environment, Ec2InstanceMetadata or EcsContainer",
            )),
        }
    }

    /// What a profile without a role to assume gives; `None`: nothing.
    fn base(&self, name: &str, profile: &Section) -> Result<Option<(Base, How)>, Problem> {
        if let Some(file) = profile.text("web_identity_token_file") {
            let Some(role) = profile.text("role_arn") else {
                return Err(wrong(
                    name,
                    "it has a web_identity_token_file and no role_arn".to_owned(),
                    "add the role_arn",
                ));
            };
            let base = Base::WebIdentity {
                token_file: file.to_owned(),
                role: role.to_owned(),
                session_name: profile.text("role_session_name").map(str::to_owned),
            };
            let arn = role.to_owned();
            return Ok(Some((base, How::WebIdentity { arn })));
        }
        if let Some(base) = self.sso(name, profile)? {
            return Ok(Some((base, How::Sso)));
        }
        if let Some(keys) = keys_in(name, profile, FileKind::Credentials)? {
            return Ok(Some((Base::Keys(keys), How::CredentialsFile)));
        }
        if let Some(arn) = profile.text("login_session") {
            return Ok(Some((Base::Login(arn.to_owned()), How::Login)));
        }
        if let Some(command) = profile.text("credential_process") {
            return Ok(Some((Base::Process(command.to_owned()), How::Process)));
        }
        let keys = keys_in(name, profile, FileKind::Config)?;
        Ok(keys.map(|keys| (Base::Keys(keys), How::ConfigFile)))
    }

    fn sso(&self, name: &str, profile: &Section) -> Result<Option<Base>, Problem> {
        let [account, role, session] =
            ["sso_account_id", "sso_role_name", "sso_session"].map(|key| profile.text(key));
        let (account, role) = match (account, role) {
            (None, None) if session.is_none() => return Ok(None),
            (None, None) => {
                return Err(wrong(
                    name,
                    "it signs in by IAM Identity Center, and neither sso_account_id nor sso_role_name is set".to_owned(),
                    "run `aws configure sso` for this profile",
                ));
            }
            (Some(account), Some(role)) => (account, role),
            (there, _) => {
                let absent = if there.is_some() {
                    "sso_role_name"
                } else {
                    "sso_account_id"
                };
                return Err(wrong(
                    name,
                    format!("it signs in by IAM Identity Center, and {absent} is not set"),
                    "run `aws configure sso` for this profile",
                ));
            }
        };
        let from = match session {
            None => profile,
            Some(session) => self.files.sso_session(session).ok_or_else(|| {
                wrong(
                    name,
                    format!("there is no [sso-session {}]", visible(session)),
                    "correct sso_session, or run `aws configure sso` for this profile",
                )
            })?,
        };
        let needed = |key: &str| {
            from.text(key).map(str::to_owned).ok_or_else(|| {
                wrong(
                    name,
                    format!("it signs in by IAM Identity Center, and {key} is not set"),
                    "run `aws configure sso` for this profile",
                )
            })
        };
        Ok(Some(Base::Sso {
            account: account.to_owned(),
            role: role.to_owned(),
            region: needed("sso_region")?,
            start_url: needed("sso_start_url")?,
            session: session.map(str::to_owned),
        }))
    }
}

fn has_keys(profile: &Section) -> bool {
    profile.get("aws_access_key_id").is_some() || profile.get("aws_secret_access_key").is_some()
}

/// A profile's keys in one of the two files. A pair is never put together from both: each file was written by itself,
/// and botocore refuses such a profile too.
fn keys_in(name: &str, profile: &Section, file: FileKind) -> Result<Option<Keys>, Problem> {
    let get = |key: &str| profile.get_in(file, key);
    match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Some(Keys {
            id: id.text.clone(),
            secret: secret.text.clone(),
            token: get("aws_session_token")
                .or_else(|| get("aws_security_token"))
                .map(|token| token.text.clone()),
        })),
        (None, None) => Ok(None),
        (there, other) => {
            let (has, lacks) = match there {
                Some(_) => ("aws_access_key_id", "aws_secret_access_key"),
                None => ("aws_secret_access_key", "aws_access_key_id"),
            };
            let at = there
                .or(other)
                .map(|value| value.at.to_string())
                .unwrap_or_default();
            Err(wrong(
                name,
                format!("it has an {has} ({at}) and no {lacks} in the same file"),
                "give it both there",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::aws_files::tests::files;
    use super::*;

    const KEYS: [(&str, &str); 2] = [
        ("AWS_ACCESS_KEY_ID", "AKIAENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    const CONFIG: &str = "[default]\nregion = eu-central-1\n[profile empty]\nregion = eu-west-1\n\
        [profile admin]\nrole_arn = arn:aws:iam::111122223333:role/ops/Admin\nsource_profile = viewer\nexternal_id = x\n\
        [profile second]\nrole_arn = arn:aws:iam::111122223333:role/Second\nsource_profile = admin\n\
        [profile itself]\nrole_arn = arn:aws:iam::111122223333:role/Self\nsource_profile = itself\n\
        aws_access_key_id = AKIASELF\naws_secret_access_key = s\n\
        [profile machine]\nrole_arn = arn:aws:iam::111122223333:role/M\ncredential_source = Ec2InstanceMetadata\n\
        [profile byenv]\nrole_arn = arn:aws:iam::111122223333:role/E\ncredential_source = Environment\n\
        [profile both]\nrole_arn = r\ncredential_source = Environment\nsource_profile = viewer\n\
        [profile neither]\nrole_arn = r\n\
        [profile lost]\nrole_arn = r\nsource_profile = nowhere\n\
        [profile round]\nrole_arn = r\nsource_profile = about\n[profile about]\nrole_arn = r\nsource_profile = round\n\
        [profile hollow]\nrole_arn = r\nsource_profile = empty\n\
        [profile mfa]\nrole_arn = r\nsource_profile = viewer\nmfa_serial = arn:aws:iam::111122223333:mfa/me\n\
        [profile process]\ncredential_process = /bin/print keys\n\
        [profile login]\nlogin_session = arn:aws:iam::111122223333:user/me\n\
        [profile sso]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Ops\n\
        [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n\
        [profile ssohalf]\nsso_session = corp\n\
        [profile web]\nrole_arn = arn:aws:iam::111122223333:role/W\nweb_identity_token_file = /t\n\
        [profile half]\naws_access_key_id = AKIA\n";
    const CREDENTIALS: &str = "[viewer]\naws_access_key_id = AKIAVIEW\naws_secret_access_key = s\n";

    fn chosen(
        profile: Option<(&str, Origin)>,
        variables: &[(&str, &str)],
    ) -> Result<Choice, Problem> {
        let (profile, by) =
            profile.map_or((None, Origin::Default), |(p, by)| (Some(p.to_owned()), by));
        choose(
            &Asked { profile, by },
            &Variables::from_pairs(variables.iter().copied()),
            &files(CONFIG, CREDENTIALS).unwrap(),
        )
    }

    fn flag(name: &str) -> Option<(&str, Origin)> {
        Some((name, Origin::Flag("--profile")))
    }

    fn variable(name: &str) -> Option<(&str, Origin)> {
        Some((name, Origin::Variable("AWS_PROFILE".into())))
    }

    /// Property 26: who acts is whom the order names, or nobody.
    #[test]
    fn p26_the_order_names_who_acts() {
        let words = |profile, variables: &[(&str, &str)]| {
            chosen(profile, variables)
                .unwrap_or_else(|e| panic!("{e}"))
                .source
                .to_string()
        };
        let web = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/Pod"),
        ];
        let viewer = "profile viewer (credentials file)";
        assert_eq!(words(flag("viewer"), &KEYS), viewer);
        assert_eq!(words(flag("viewer"), &web), viewer);
        assert_eq!(words(variable("viewer"), &[]), viewer);
        assert_eq!(
            words(variable("viewer"), &KEYS),
            "environment variables, not profile viewer"
        );
        assert_eq!(
            words(variable("viewer"), &web),
            "web identity of the environment, not profile viewer"
        );
        assert_eq!(words(variable("admin"), &web), "profile admin (role Admin)");
        assert_eq!(words(None, &KEYS), "environment variables");
        assert_eq!(words(None, &[]), "role of this instance");
        assert_eq!(
            words(None, &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")]),
            "role of this container"
        );
        for (name, how) in [
            ("itself", "role Self"),
            ("machine", "role M"),
            ("process", "credential_process"),
            ("login", "aws login"),
            ("sso", "IAM Identity Center"),
            ("web", "web identity, role W"),
        ] {
            assert_eq!(words(flag(name), &[]), format!("profile {name} ({how})"));
        }
        let second = chosen(flag("second"), &[]).unwrap();
        let order: Vec<&str> = second
            .roles
            .iter()
            .map(|role| role.profile.as_str())
            .collect();
        assert_eq!(order, ["admin", "second"]);
        assert!(matches!(second.base, Base::Keys(keys) if keys.id == "AKIAVIEW"));
        let by_env = chosen(flag("byenv"), &KEYS).unwrap();
        assert!(matches!(by_env.base, Base::Keys(keys) if keys.id == "AKIAENV"));
    }

    #[test]
    fn p26_a_profile_that_cannot_act_is_refused_and_nobody_acts_instead() {
        for (name, words) in [
            ("nosuch", "no such profile"),
            ("empty", "no credentials"),
            ("both", "source_profile and a credential_source"),
            ("neither", "neither"),
            ("lost", "no such profile"),
            ("round", "circle"),
            ("hollow", "`empty`"),
            ("mfa", "MFA"),
            ("half", "no aws_secret_access_key"),
            ("ssohalf", "neither sso_account_id nor sso_role_name"),
        ] {
            for profile in [flag(name), variable(name)] {
                // The machine's role stands by, and is not taken.
                let machine = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1")];
                let problem = chosen(profile, &machine).unwrap_err();
                assert!(problem.cause.contains(words), "{name}: {problem}");
                assert_eq!(problem.kind, Kind::Usage, "{name}");
                assert!(!problem.hint.is_empty());
            }
            let by_flag = chosen(flag(name), &KEYS);
            assert!(by_flag.is_err(), "{name}: the environment's keys acted");
        }
        for half in [KEYS[0], KEYS[1]] {
            let blank = if half == KEYS[0] {
                (KEYS[1].0, " ")
            } else {
                (KEYS[0].0, " ")
            };
            for variables in [vec![half], vec![half, blank]] {
                let problem = chosen(None, &variables).unwrap_err();
                assert!(problem.cause.contains("is not"), "{problem}");
            }
        }
        assert!(chosen(None, &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")]).is_err());
        let none = chosen(None, &[("AWS_EC2_METADATA_DISABLED", "TRUE")]).unwrap_err();
        assert_eq!(none.kind, Kind::Credentials);
    }

    /// Property 26: nobody's key is completed, and nobody's session continued, from the other file.
    #[test]
    fn p26_a_pair_of_keys_comes_from_one_file() {
        let base = |config: &str, credentials: &str| {
            let files = files(config, credentials).unwrap();
            let asked = Asked {
                profile: Some("p".to_owned()),
                by: Origin::Flag("--profile"),
            };
            choose(&asked, &Variables::default(), &files)
        };
        let (id, secret) = ("aws_access_key_id = AKIA", "aws_secret_access_key = s");
        let token = "aws_session_token = t";
        for (config, credentials) in [
            (format!("{id}\n{secret}"), id.to_owned()),
            (format!("{id}\n{secret}"), secret.to_owned()),
            (id.to_owned(), secret.to_owned()),
            (secret.to_owned(), id.to_owned()),
        ] {
            let problem = base(
                &format!("[profile p]\n{config}"),
                &format!("[p]\n{credentials}"),
            );
            let problem = problem.unwrap_err();
            assert!(problem.cause.contains("in the same file"), "{problem}");
        }
        let whole = base(
            &format!("[profile p]\n{token}\n{secret}2"),
            &format!("[p]\n{id}C\n{secret}"),
        );
        let Base::Keys(keys) = whole.unwrap().base else {
            panic!("no keys");
        };
        assert_eq!(
            (keys.id.as_str(), keys.secret.as_str(), keys.token),
            ("AKIAC", "s", None)
        );
    }

    /// Property 26: an indented key is a key, so that a role that restricts the profile is assumed.
    #[test]
    fn p26_a_role_below_an_indented_key_is_assumed() {
        let files = files(
            "[profile p]\n  output = json\n  role_arn = arn:aws:iam::111122223333:role/R\n  source_profile = k\n",
            "[p]\n    aws_access_key_id = AKIAOWNER\n    aws_secret_access_key = s\n\
             [k]\n\taws_access_key_id = AKIAK\n\taws_secret_access_key = s\n",
        )
        .unwrap();
        let asked = Asked {
            profile: Some("p".to_owned()),
            by: Origin::Flag("--profile"),
        };
        let choice = choose(&asked, &Variables::default(), &files).unwrap();
        assert_eq!(choice.source.to_string(), "profile p (role R)");
        assert!(matches!(choice.base, Base::Keys(keys) if keys.id == "AKIAK"));
    }

    #[test]
    fn secrets_are_in_no_debug_text() {
        let choice = chosen(flag("viewer"), &KEYS).unwrap();
        let text = format!("{choice:?}");
        assert!(
            !text.contains("AKIAVIEW") && text.contains("Keys(..)"),
            "{text}"
        );
        let files = files(CONFIG, CREDENTIALS).unwrap();
        assert!(!format!("{files:?}").contains("AKIAVIEW"));
    }
}
