//! A session: credentials, region, proven identity, and one client for each kind of call.
//!
//! Three kinds, because the SDK retries by itself: *reads* may be repeated (Systems Manager's by `ask`,
//! which keeps count of the attempts); *once* calls
//! (`SendCommand`, `CreateSnapshots`, `AttachVolume`, …) have no client token and get a single
//! attempt; *rescue* calls (thaw, cancel) have their own retry quota and short time limits, so that list
//! traffic cannot starve a thaw. A thaw has one attempt, because whoever repeats it puts that on record.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::region::Region as SdkRegion;
use chrono::{DateTime, TimeDelta, Utc};

use super::allowed::Allowed;
use super::error::problem;
use super::pace::Pace;
use super::poll::Poller;
use super::progress::Progress;
use super::whose::Whose;
use crate::domain::ids::{AccountId, Region, Scope};
use crate::domain::problem::{Kind, Problem};

/// What a session is opened with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Profile of the shared AWS configuration; `None` takes the environment's.
    pub profile: Option<String>,
    /// Region; `None` takes the profile's or the environment's.
    pub region: Option<String>,
    /// Endpoint for every service; `None` takes AWS's own.
    pub endpoint_url: Option<String>,
    /// Refuse every call that changes something.
    pub read_only: bool,
    /// HTTP client; `None` opens real connections (rustls over ring).
    pub http: Option<SharedHttpClient>,
    /// Access key and secret that are used instead of looking for any (the lab's).
    pub static_credentials: Option<(String, String)>,
}

/// Time limit of one attempt at a read.
const READ: Duration = Duration::from_secs(20);
/// Time limit of one attempt at a thaw, or at what belongs to it.
const RESCUE: Duration = Duration::from_secs(5);

/// What the provider of credentials last said of their end.
#[derive(Debug, Clone, Copy, Default)]
enum Heard {
    #[default]
    Nothing,
    /// They do not say that they end.
    NoEnd,
    Until(DateTime<Utc>),
}

/// An open session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    scope: Scope,
    arn: String,
    profile: Option<String>,
    endpoint_url: Option<String>,
    read_only: bool,
    /// What makes it so, and how that is undone.
    read_only_mend: Option<Arc<str>>,
    whose: Whose,
    credentials: Option<SharedCredentialsProvider>,
    until: Arc<Mutex<Heard>>,
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) ec2_once: aws_sdk_ec2::Client,
    pub(super) ssm: aws_sdk_ssm::Client,
    pub(super) ssm_once: aws_sdk_ssm::Client,
    pub(super) ssm_rescue: aws_sdk_ssm::Client,
    /// As rescue, one attempt: whoever sends a thaw again puts that on record first.
    pub(super) ssm_thaw: aws_sdk_ssm::Client,
    pub(super) cloudwatch: aws_sdk_cloudwatch::Client,
    /// Sends each request once: values that are published twice count twice.
    pub(super) cloudwatch_once: aws_sdk_cloudwatch::Client,
    pub(super) pace: Pace,
    pub(super) poller: Poller,
    pub(super) progress: Progress,
    pub(super) allowed: Allowed,
}

impl Session {
    /// Opens a session and proves with STS whose it is.
    ///
    /// # Errors
    /// No region, no credentials, refused or expired credentials, unreachable endpoint.
    pub async fn open(options: Options) -> Result<Self, Problem> {
        let base = loader(&options).load().await;
        let Some(region) = base.region().map(ToString::to_string) else {
            return Err(Problem::new(
                Kind::Usage,
                "open a session",
                options.profile.as_ref().map_or_else(
                    || "no region is set".to_owned(),
                    |p| format!("the profile `{p}` sets no region, or there is no such profile"),
                ),
                "name one with --region, in config.toml, or with AWS_REGION; `aws configure list-profiles` lists profiles",
            ));
        };
        let region: Region = region.parse().map_err(|error| {
            Problem::new(
                Kind::Usage,
                "open a session",
                format!("{error}"),
                "correct --region",
            )
        })?;
        let what = format!("ask STS in {region} who we are");
        let whose = Whose::default();
        let identity = aws_sdk_sts::Client::new(&base)
            .get_caller_identity()
            .customize()
            .interceptor(whose.clone())
            .send()
            .await
            .map_err(|error| problem(&what, &error))?;
        let account = identity
            .account()
            .and_then(|text| text.parse::<AccountId>().ok())
            .ok_or_else(|| {
                Problem::new(
                    Kind::Malformed,
                    &what,
                    "the answer names no account of 12 digits",
                    "check that the endpoint really is AWS or the lab",
                )
            })?;
        let once = config(&base, RetryConfig::disabled(), Duration::from_secs(60));
        let rescue = config(
            &base,
            RetryConfig::standard()
                .with_max_attempts(4)
                .with_initial_backoff(Duration::from_millis(200)),
            RESCUE,
        );
        let thaw = config(&base, RetryConfig::disabled(), RESCUE);
        Ok(Self {
            scope: Scope { account, region },
            arn: crate::domain::text::visible(identity.arn().unwrap_or_default()).into_owned(),
            profile: options.profile,
            endpoint_url: options.endpoint_url,
            read_only: options.read_only,
            read_only_mend: None,
            credentials: base.credentials_provider(),
            until: Arc::default(),
            ec2: ec2(&base, &whose),
            ec2_once: ec2(&once, &whose),
            ssm: ssm(&config(&base, RetryConfig::disabled(), READ), &whose),
            ssm_once: ssm(&once, &whose),
            ssm_rescue: ssm(&rescue, &whose),
            ssm_thaw: ssm(&thaw, &whose),
            cloudwatch: cloudwatch(&base, &whose),
            cloudwatch_once: cloudwatch(&once, &whose),
            whose,
            pace: Pace::default(),
            poller: Poller::default(),
            progress: Progress::default(),
            allowed: Allowed::default(),
        })
    }

    /// The proven account and region.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The token buckets of this account and region, as everyone on this session uses them.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The caller's ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The profile that was named.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The runtime of the lab that answers, `simulated` or `real`; `None` at AWS. Every answer so far has said so.
    pub fn lab(&self) -> Option<&'static str> {
        self.whose.lab()
    }

    /// What the AWS CLI needs beside the region to reach the same account: ` --profile P`, ` --endpoint-url U`.
    pub fn cli_flags(&self) -> String {
        let mut flags = String::new();
        for (flag, value) in [
            ("--profile", &self.profile),
            ("--endpoint-url", &self.endpoint_url),
        ] {
            if let Some(value) = value {
                flags.push_str(&format!(
                    " {flag} {}",
                    crate::domain::restore::shell_quote(value)
                ));
            }
        }
        flags
    }

    /// When the credentials that calls are signed with expire, if they say so. Asked of their provider again
    /// only when `margin` from `now` passes what was last heard: a provider may have to call STS for it.
    pub async fn credentials_until(
        &self,
        now: DateTime<Utc>,
        margin: TimeDelta,
    ) -> Option<DateTime<Utc>> {
        let heard = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Heard::NoEnd => return None,
            Heard::Until(until) if until > now + margin => return Some(until),
            Heard::Until(_) | Heard::Nothing => {}
        }
        let found = self
            .credentials
            .as_ref()?
            .provide_credentials()
            .await
            .ok()?;
        let until = found.expiry().map(DateTime::<Utc>::from);
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) =
            until.map_or(Heard::NoEnd, Heard::Until);
        until
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// The same session, which says so where it refuses as read-only: what to do about it, by where that came from.
    #[must_use]
    pub fn with_read_only_mend(mut self, mend: Option<&str>) -> Self {
        self.read_only_mend = mend.map(Arc::from);
        self
    }

    /// Refuses a write in a read-only session, or one that belongs to another scope.
    ///
    /// # Errors
    /// [`Kind::Denied`], naming both scopes.
    pub fn may_write(&self, what: &str, scope: &Scope) -> Result<(), Problem> {
        if self.read_only {
            return Err(Problem::new(
                Kind::Denied,
                what,
                "this session is read-only",
                self.read_only_mend
                    .as_deref()
                    .unwrap_or("start without --read-only to change anything"),
            ));
        }
        if *scope != self.scope {
            return Err(Problem::new(
                Kind::Denied,
                what,
                format!(
                    "it was prepared for {scope}, but this session is {}",
                    self.scope
                ),
                "go back to that account and region, or prepare it anew here",
            ));
        }
        Ok(())
    }
}

fn loader(options: &Options) -> ConfigLoader {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(6))
        .timeout_config(timeouts(READ))
        .http_client(options.http.clone().unwrap_or_else(https));
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &options.region {
        loader = loader.region(SdkRegion::new(region.clone()));
    }
    if let Some(url) = &options.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some((key, secret)) = &options.static_credentials {
        loader = loader.credentials_provider(Credentials::new(key, secret, None, None, "lab"));
    }
    loader
}

/// Connections over rustls with ring. The SDK's default would need aws-lc, much C to compile.
fn https() -> SharedHttpClient {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(attempt)
        .build()
}

fn ec2(config: &SdkConfig, whose: &Whose) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::config::Builder::from(config).interceptor(whose.clone());
    aws_sdk_ec2::Client::from_conf(config.build())
}

fn ssm(config: &SdkConfig, whose: &Whose) -> aws_sdk_ssm::Client {
    let config = aws_sdk_ssm::config::Builder::from(config).interceptor(whose.clone());
    aws_sdk_ssm::Client::from_conf(config.build())
}

fn cloudwatch(config: &SdkConfig, whose: &Whose) -> aws_sdk_cloudwatch::Client {
    let config = aws_sdk_cloudwatch::config::Builder::from(config).interceptor(whose.clone());
    aws_sdk_cloudwatch::Client::from_conf(config.build())
}

fn config(base: &SdkConfig, retry: RetryConfig, attempt: Duration) -> SdkConfig {
    base.to_builder()
        .retry_config(retry)
        .timeout_config(timeouts(attempt))
        .build()
}
