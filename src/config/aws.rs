//! What flags, environment, config.toml and the shared AWS files come to together: region, endpoints, trust, and
//! which credentials. Asks nobody.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::acting::{self, Asked, Choice};
use super::aws_files::{AwsFiles, Section};
use super::layers::Config;
use super::origin::Origin;
use super::variables::Variables;
use super::{paths, regions};
use crate::domain::ids::Region;
use crate::domain::problem::{Kind, Problem};
use crate::domain::text::visible;

/// A value and where it came from.
pub type From<T> = (T, Origin);

/// Services that are called, by the names that `AWS_ENDPOINT_URL_…` and `services` sections have for them.
pub const SERVICES: [&str; 7] = [
    "ec2",
    "ssm",
    "cloudwatch",
    "sts",
    "sso",
    "sso_oidc",
    "signin",
];

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// One for every service; `None`: AWS's own.
    pub all: Option<From<String>>,
    /// Of one service alone; goes before `all`. There is none beside `--endpoint-url`.
    pub each: BTreeMap<&'static str, From<String>>,
}

impl Endpoints {
    /// One endpoint for every service.
    pub fn everywhere(url: Option<String>) -> Self {
        Self {
            all: url.map(|url| (url, Origin::Default)),
            each: BTreeMap::new(),
        }
    }

    /// The endpoint of a service; `None`: AWS's own.
    pub fn of(&self, service: &str) -> Option<&str> {
        self.each
            .get(service)
            .or(self.all.as_ref())
            .map(|(url, _)| url.as_str())
    }

    /// The one endpoint that the operator named for every service: no request may leave for another.
    pub fn only(&self) -> Option<&str> {
        match (&self.all, self.each.is_empty()) {
            (Some((url, _)), true) => Some(url),
            _ => None,
        }
    }
}

/// Everything that a session is opened with, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aws {
    /// The profile that is asked for.
    pub asked: Asked,
    /// The environment.
    pub variables: Variables,
    /// AWS's files.
    pub files: AwsFiles,
    /// `None`: nobody says.
    pub region: Option<From<Region>>,
    /// Endpoints that somebody named.
    pub endpoints: Endpoints,
    /// A file of certificates that are trusted instead of the system's.
    pub ca_bundle: Option<From<PathBuf>>,
    /// Use FIPS endpoints.
    pub fips: bool,
    /// Use dual-stack endpoints.
    pub dual_stack: bool,
}

impl Aws {
    /// Resolves profile, region, endpoints and certificates from the configuration, the environment and the files of AWS.
    ///
    /// # Errors
    /// A file that cannot be read or understood; a region, an endpoint or a path that is none; no such profile.
    pub fn resolve(config: &Config, variables: Variables) -> Result<Self, Problem> {
        let files = AwsFiles::read(&variables)?;
        let asked = Asked {
            profile: config.profile.clone(),
            by: config.origins.of("profile").clone(),
        };
        one_voice("profile", super::layers::PROFILE, &asked.by, &variables)?;
        let by = config.origins.of("region");
        one_voice("region", super::layers::REGION, by, &variables)?;
        let name = asked.profile.as_deref().unwrap_or("default");
        let none = Section::default();
        let profile = match (files.profile(name), &asked.profile) {
            (Some(profile), _) => profile,
            (None, None) => &none,
            (None, Some(name)) => return Err(files.no_such_profile(name, &asked.by)),
        };
        let from_profile = |key: &str| {
            profile
                .get(key)
                .map(|value| (value.text.clone(), value.at.clone()))
        };
        let from_config = |key: &str, value: &Option<String>| {
            value
                .clone()
                .map(|text| (text, config.origins.of(key).clone()))
        };
        let region = from_config("region", &config.region)
            .or_else(|| from_profile("region"))
            .map(|(text, at)| regions::region(&text, &at.to_string()).map(|region| (region, at)))
            .transpose()?;
        let endpoints = endpoints(
            from_config("endpoint_url", &config.endpoint_url),
            &variables,
            &files,
            profile,
        )?;
        let ca_bundle = match variables.raw("AWS_CA_BUNDLE") {
            Some(path) => Some((
                PathBuf::from(path),
                Origin::Variable("AWS_CA_BUNDLE".to_owned()),
            )),
            None => from_profile("ca_bundle").map(|(path, at)| (PathBuf::from(path), at)),
        };
        let ca_bundle = ca_bundle
            .map(|(path, at)| paths::given(&path, &at.to_string()).map(|path| (path, at)))
            .transpose()?;
        let on = |variable: &str, key: &str| -> Result<bool, Problem> {
            Ok(match variables.text(variable)? {
                Some(_) => variables.is_true(variable)?,
                None => {
                    from_profile(key).is_some_and(|(text, _)| text.eq_ignore_ascii_case("true"))
                }
            })
        };
        let fips = on("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")?;
        let dual_stack = on("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")?;
        Ok(Self {
            asked,
            region,
            endpoints,
            ca_bundle,
            fips,
            dual_stack,
            files,
            variables,
        })
    }

    /// Chooses the credentials to act with.
    ///
    /// # Errors
    /// As [`acting::choose`], and where the endpoint that was named has no such way to sign in.
    pub fn choice(&self) -> Result<Choice, Problem> {
        acting::choose(&self.asked, &self.variables, &self.files)
    }

    /// The same with the files as they are now.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read_again(&self) -> Result<Self, Problem> {
        Ok(Self {
            files: AwsFiles::read(&self.variables)?,
            ..self.clone()
        })
    }
}

/// Two variables that name different profiles or regions: AWS's own tools disagree on which wins, so neither does.
fn one_voice(
    what: &str,
    names: &[&'static str],
    by: &Origin,
    variables: &Variables,
) -> Result<(), Problem> {
    if !matches!(by, Origin::Variable(_)) {
        return Ok(());
    }
    let mut said: Vec<(&str, &str)> = Vec::new();
    for name in names {
        if let Some(text) = variables.text(name)? {
            said.push((name, text));
        }
    }
    match said.as_slice() {
        [(first, a), (second, b)] if a != b => Err(Problem::new(
            Kind::Usage,
            format!("choose a {what}"),
            format!(
                "{first} says `{}`, and {second} says `{}`",
                visible(a),
                visible(b)
            ),
            format!("remove one of the two, or name the {what} with --{what}"),
        )),
        _ => Ok(()),
    }
}

fn endpoints(
    named: Option<From<String>>,
    variables: &Variables,
    files: &AwsFiles,
    profile: &Section,
) -> Result<Endpoints, Problem> {
    let check = |(text, at): From<String>| endpoint(&text, &at.to_string()).map(|url| (url, at));
    // A flag speaks for every service; AWS's own variables and profiles may speak for one.
    if let Some((_, Origin::Flag(_))) = &named {
        return Ok(Endpoints {
            all: named.map(check).transpose()?,
            each: BTreeMap::new(),
        });
    }
    const IGNORE: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
    let ignored = match variables.text(IGNORE)? {
        Some(_) => variables.is_true(IGNORE)?,
        None => profile
            .text("ignore_configured_endpoint_urls")
            .is_some_and(|text| text.eq_ignore_ascii_case("true")),
    };
    let of_aws = matches!(named, Some((_, Origin::Variable(_))));
    if ignored {
        return Ok(Endpoints {
            all: named.filter(|_| !of_aws).map(check).transpose()?,
            each: BTreeMap::new(),
        });
    }
    let mut each = BTreeMap::new();
    let services = match profile.get("services") {
        None => None,
        Some(name) => Some(files.services(&name.text).ok_or_else(|| {
            Problem::new(
                Kind::Usage,
                format!("read the endpoints of the profile ({})", name.at),
                format!("there is no [services {}]", name.text),
                "correct `services` there, or remove it",
            )
        })?),
    };
    for service in SERVICES {
        let variable = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase());
        let found = match variables.text(&variable)? {
            Some(url) => Some((url.to_owned(), Origin::Variable(variable))),
            // What is named for all goes before what a profile says of one.
            None if named.is_some() => None,
            None => services
                .and_then(|services| services.nested(service, "endpoint_url"))
                .map(|value| (value.text.clone(), value.at.clone())),
        };
        if let Some(found) = found {
            each.insert(service, check(found)?);
        }
    }
    let all = named.or_else(|| {
        profile
            .get("endpoint_url")
            .map(|value| (value.text.clone(), value.at.clone()))
    });
    Ok(Endpoints {
        all: all.map(check).transpose()?,
        each,
    })
}

/// Whether the `host:port` of a URL names a port that is none. The parser of URLs takes `host:`, `host:+1` and
/// `host:99999`, and nobody after it does.
pub fn has_bad_port(authority: &str) -> bool {
    let after = authority
        .rsplit_once(['@', ']'])
        .map_or(authority, |(_, rest)| rest);
    after.split_once(':').is_some_and(|(_, port)| {
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        !(digits && port.parse::<u16>().is_ok_and(|port| port > 0))
    })
}

/// An endpoint as a person wrote it.
///
/// # Errors
/// No `http://` or `https://`, no host, or more than scheme, host, port and path.
pub fn endpoint(text: &str, said: &str) -> Result<String, Problem> {
    let wrong = |cause: &str, hint: String| {
        Err(Problem::new(
            Kind::Usage,
            format!("use the endpoint `{text}` ({said})"),
            cause,
            hint,
        ))
    };
    let example = "write it such as http://127.0.0.1:4566".to_owned();
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong("it has a blank in it", example);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let host = text.split(['/', '?', '#']).next().unwrap_or_default();
        let local =
            host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
        let scheme = if local { "http" } else { "https" };
        return match format!("{scheme}://{text}").parse::<http::Uri>() {
            Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => wrong(
                "it does not say http:// or https://",
                format!("write {scheme}://{text}"),
            ),
            _ => wrong("it is no URL", example),
        };
    };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return wrong("its scheme is neither http nor https", example);
    }
    if rest.contains(['?', '#', '@']) {
        return wrong("it has a query, a fragment or a name in it", example);
    }
    match text.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => {
            let authority = uri
                .authority()
                .map(http::uri::Authority::as_str)
                .unwrap_or_default();
            if has_bad_port(authority) {
                return wrong("its port is none", example);
            }
            // A scheme is the same in any case; whoever compares it later need not know.
            Ok(format!("{}://{rest}", scheme.to_ascii_lowercase()))
        }
        Ok(_) => wrong("it names no host", example),
        Err(_) => wrong("it is no URL", example),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::Overrides;

    #[test]
    fn an_endpoint_is_a_url_or_is_refused_with_the_right_form() {
        for (text, words) in [
            ("127.0.0.1:4566", "write http://127.0.0.1:4566"),
            ("localhost:4566", "write http://localhost:4566"),
            ("ec2.eu-central-1.amazonaws.com", "write https://ec2."),
            ("ftp://x", "http://127.0.0.1:4566"),
            ("http://", "http://127.0.0.1:4566"),
            ("http:// x", "http://127.0.0.1:4566"),
            ("http://x?y", "http://127.0.0.1:4566"),
            ("http://x:99999", "http://127.0.0.1:4566"),
            ("http://x:", "http://127.0.0.1:4566"),
            ("http://127.0.0.1:+4566", "http://127.0.0.1:4566"),
            ("http://a@b", "http://127.0.0.1:4566"),
            (":", "http://127.0.0.1:4566"),
            ("\u{1}", "http://127.0.0.1:4566"),
        ] {
            let problem = endpoint(text, "--endpoint-url").unwrap_err();
            assert!(
                problem.hint.contains(words),
                "{text:?}: {problem} / {}",
                problem.hint
            );
        }
        for text in [
            "http://127.0.0.1:4566",
            "https://vpce.example.org/x",
            "http://[::1]:1",
        ] {
            assert_eq!(endpoint(text, "--endpoint-url").unwrap(), text);
        }
        assert_eq!(
            endpoint("HTTP://127.0.0.1:4566", "--endpoint-url").unwrap(),
            "http://127.0.0.1:4566"
        );
    }

    /// The files of a directory, and what they come to.
    fn resolved(
        config_toml: &str,
        aws: &str,
        variables: &[(&str, &str)],
        flags: &Overrides,
    ) -> Result<Aws, Problem> {
        let dir = tempfile::tempdir().unwrap();
        let ours = dir.path().join("config.toml");
        std::fs::write(&ours, config_toml).unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, aws).unwrap();
        let mut pairs: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        pairs.push(("AWS_CONFIG_FILE".to_owned(), file.display().to_string()));
        let variables = Variables::from_pairs(pairs);
        let config = crate::config::layers::with(Some(&ours), flags, &variables)?;
        Aws::resolve(&config, variables)
    }

    const AWS: &str = "[profile lab]\nregion = eu-west-3\nendpoint_url = http://profile:1\nservices = s\n[services s]\n\
        ec2 =\n  endpoint_url = http://ec2:2\n[profile zone]\nregion = eu-west-3a\n";

    #[test]
    fn region_and_endpoints_follow_the_order() {
        let profile = Overrides {
            profile: Some("lab".into()),
            ..Overrides::default()
        };
        let at_home = resolved("", AWS, &[], &profile).unwrap();
        assert_eq!(at_home.region.unwrap().0.as_str(), "eu-west-3");
        assert_eq!(at_home.endpoints.of("ec2"), Some("http://ec2:2"));
        assert_eq!(at_home.endpoints.of("sts"), Some("http://profile:1"));
        assert_eq!(at_home.endpoints.only(), None);
        let one = resolved(
            "",
            AWS,
            &[
                ("AWS_ENDPOINT_URL_SSM", "http://v:3"),
                ("AWS_REGION", "eu-west-2"),
            ],
            &profile,
        )
        .unwrap();
        assert_eq!(one.endpoints.of("ssm"), Some("http://v:3"));
        assert_eq!(one.region.unwrap().1.to_string(), "AWS_REGION");
        let flag = Overrides {
            endpoint_url: Some("http://flag:4".into()),
            ..profile.clone()
        };
        let by_flag = resolved(
            "endpoint_url = \"http://ours:5\"",
            AWS,
            &[("AWS_ENDPOINT_URL_SSM", "http://v:3")],
            &flag,
        )
        .unwrap();
        for service in SERVICES {
            assert_eq!(
                by_flag.endpoints.of(service),
                Some("http://flag:4"),
                "{service}"
            );
        }
        assert_eq!(by_flag.endpoints.only(), Some("http://flag:4"));
        let ours = resolved("endpoint_url = \"http://ours:5\"", AWS, &[], &profile).unwrap();
        assert_eq!(ours.endpoints.of("ec2"), Some("http://ours:5"));
        let ignored = resolved(
            "",
            AWS,
            &[
                ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
                ("AWS_ENDPOINT_URL", "http://v:3"),
            ],
            &profile,
        )
        .unwrap();
        assert_eq!(ignored.endpoints, Endpoints::default());
    }

    #[test]
    fn what_a_file_says_wrongly_is_told_with_its_line() {
        let zone = Overrides {
            profile: Some("zone".into()),
            ..Overrides::default()
        };
        let problem = resolved("", AWS, &[], &zone).unwrap_err();
        assert!(problem.what.contains("config: line 9"), "{problem}");
        assert!(problem.hint.contains("eu-west-3"), "{}", problem.hint);
        let none = Overrides {
            profile: Some("lib".into()),
            ..Overrides::default()
        };
        let problem = resolved("", AWS, &[], &none).unwrap_err();
        assert!(
            problem.cause.contains("no such profile") && problem.hint.contains("`lab`"),
            "{problem}"
        );
        // Those that there are, too; of very many the first.
        assert!(problem.hint.contains("zone"), "{problem} {}", problem.hint);
        let many: String = (0..200)
            .map(|n| format!("[profile p{n:03}]\nregion = eu-west-1\n"))
            .collect();
        for name in ["p0000", "quite-another"] {
            let none = Overrides {
                profile: Some(name.into()),
                ..Overrides::default()
            };
            let problem = resolved("", &many, &[], &none).unwrap_err();
            assert!(
                problem.hint.contains("p000, p001") && problem.hint.contains("and 180 more"),
                "{}",
                problem.hint
            );
            assert!(problem.hint.len() < 300, "{}", problem.hint);
        }
        let two = [("AWS_PROFILE", "lab"), ("AWS_DEFAULT_PROFILE", "zone")];
        let problem = resolved("", AWS, &two, &Overrides::default()).unwrap_err();
        assert!(problem.cause.contains("AWS_DEFAULT_PROFILE"), "{problem}");
        let both = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_DEFAULT_REGION", "eu-west-2"),
        ];
        let problem = resolved("", AWS, &both, &Overrides::default()).unwrap_err();
        assert!(problem.cause.contains("AWS_DEFAULT_REGION"), "{problem}");
        let by_flag = Overrides {
            region: Some("eu-west-3".into()),
            ..Overrides::default()
        };
        assert!(resolved("", AWS, &both, &by_flag).is_ok());
        // Whoever says it himself is not asked about the variables.
        let said = Overrides {
            profile: Some("lab".into()),
            ..Overrides::default()
        };
        assert!(resolved("", AWS, &two, &said).is_ok());
        let flag = Overrides {
            region: Some("eu-central-1a".into()),
            ..Overrides::default()
        };
        let problem = resolved("", AWS, &[], &flag).unwrap_err();
        assert!(problem.what.contains("--region"), "{problem}");
    }
}
