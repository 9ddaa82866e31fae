//! A session: credentials, region, proven identity, and one client for each kind of call.
//!
//! Three kinds, because the SDK retries by itself: *reads* may be repeated (Systems Manager's by `ask`,
//! which keeps count of the attempts); *once* calls
//! (`SendCommand`, `CreateSnapshots`, `AttachVolume`, …) have no client token and get a single
//! attempt; *rescue* calls (thaw, cancel) have their own retry quota and short time limits, so that list
//! traffic cannot starve a thaw. A thaw has one attempt, because whoever repeats it puts that on record.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::region::Region as SdkRegion;
use chrono::{DateTime, TimeDelta, Utc};

use super::allowed::Allowed;
use super::credentials::{self, Renewing, Watch};
use super::lab_detector::Whose;
use super::pace::Pace;
use super::poll::Poller;
use super::progress::Progress;
use crate::config::acting;
use crate::config::aws::{Aws, Endpoints};
use crate::domain::credentials::{Source, Who};
use crate::domain::ids::{AccountId, Region, Scope};
use crate::domain::problem::{Kind, Problem};

/// What a session is opened with: either `aws`, or `static_credentials` with the rest beside them.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What flags, environment and files come to. `None`: a lab in this process, nothing of this machine is looked at.
    pub aws: Option<Aws>,
    /// Region beside `static_credentials`.
    pub region: Option<String>,
    /// Endpoint for every service beside `static_credentials`.
    pub endpoint_url: Option<String>,
    /// Refuse every call that changes something.
    pub read_only: bool,
    /// HTTP client; `None` opens real connections (rustls over ring).
    pub http: Option<SharedHttpClient>,
    /// Access key and secret that are used instead of looking for any (the lab's).
    pub static_credentials: Option<(String, String)>,
    /// Told what is waited for while the session is opened.
    pub waits: Waits,
}

/// What a session that is being opened waits for.
#[derive(Debug, Clone, Default)]
pub struct Waits(Arc<Mutex<Option<String>>>);

impl Waits {
    pub(super) fn begin(&self, what: &str) {
        *self.0.lock() = Some(what.to_owned());
    }

    /// What it waits for now.
    pub fn now(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

/// Time limit of one attempt at a read.
const READ: Duration = Duration::from_secs(20);
/// Time limit of one attempt at a thaw, or at what belongs to it.
const RESCUE: Duration = Duration::from_secs(5);
/// Time limit of one read, all attempts together.
const READING: Duration = Duration::from_secs(60);
/// Time limit of what is asked while a session is opened, all attempts together: with it an endpoint that does not
/// answer is given up.
const OPENING: Duration = Duration::from_secs(10);

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
    /// As it was proven at the start. Account and region never change.
    first: Who,
    endpoints: Endpoints,
    renewing: Option<Renewing>,
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
        let http = match (&options.http, &options.aws) {
            (Some(http), _) => http.clone(),
            (None, Some(aws)) => super::http::client(aws)?,
            (None, None) => super::http::client(&Aws {
                endpoints: Endpoints::everywhere(options.endpoint_url.clone()),
                ..Aws::default()
            })?,
        };
        let whose = Whose::default();
        let opened = match (options.aws.clone(), options.static_credentials.clone()) {
            (_, Some(keys)) => in_a_lab(&options, http, keys, &whose).await?,
            (Some(aws), None) => with_credentials(aws, http, &whose, options.waits.clone()).await?,
            (None, None) => {
                return Err(Problem::new(
                    Kind::Credentials,
                    "open a session",
                    "there are no credentials",
                    acting::NONE,
                ));
            }
        };
        let Proven {
            base,
            who,
            endpoints,
            renewing,
        } = opened;
        let watch = renewing.as_ref().map(Renewing::watch);
        let on = Wiring {
            whose: &whose,
            watch: &watch,
            endpoints: &endpoints,
        };
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
            read_only: options.read_only,
            read_only_mend: None,
            credentials: base.credentials_provider(),
            until: Arc::default(),
            ec2: on.ec2(&base),
            ec2_once: on.ec2(&once),
            ssm: on.ssm(&config(&base, RetryConfig::disabled(), READ)),
            ssm_once: on.ssm(&once),
            ssm_rescue: on.ssm(&rescue),
            ssm_thaw: on.ssm(&thaw),
            cloudwatch: on.cloudwatch(&base),
            cloudwatch_once: on.cloudwatch(&once),
            first: who,
            endpoints,
            renewing,
            whose,
            pace: Pace::default(),
            poller: Poller::default(),
            progress: Progress::default(),
            allowed: Allowed::default(),
        })
    }

    /// The proven account and region.
    pub fn scope(&self) -> &Scope {
        &self.first.scope
    }

    /// The identity that acts, and where: for every plan, question and result. Credentials that were renewed may be another
    /// of the same account.
    pub fn who(&self) -> Who {
        self.renewing
            .as_ref()
            .and_then(Renewing::who)
            .unwrap_or_else(|| self.first.clone())
    }

    /// Credentials are read again from where they come from before the next call: a person asked for it.
    pub fn renew_credentials(&self) {
        if let Some(renewing) = &self.renewing {
            renewing.renew();
            *self.until.lock() = Heard::Nothing;
        }
    }

    /// Where requests go, for whoever waits: the endpoint, or the region.
    pub fn place(&self) -> String {
        match self.endpoints.of("ec2") {
            Some(url) => url.to_owned(),
            None => format!("AWS in {}", self.first.scope.region),
        }
    }

    /// The token buckets of this account and region, as everyone on this session uses them.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The caller's ARN.
    pub fn arn(&self) -> String {
        self.who().arn
    }

    /// The runtime of the lab that answers, `simulated` or `real`; `None` at AWS. Every answer so far has said so.
    pub fn lab(&self) -> Option<&'static str> {
        self.whose.lab()
    }

    /// What an empty region of a lab has to explain: which one has the instances. `None` at AWS, and where they are.
    pub fn elsewhere(&self) -> Option<String> {
        let here = self.scope().region.as_str();
        let home = self.whose.home().filter(|home| home.region != here)?;
        Some(format!(
            "This lab has nothing in {here}: its {} instances are in {}. Ask with --region {}.",
            home.instances, home.region, home.region
        ))
    }

    /// What the AWS CLI needs beside the region to reach the same account: ` --profile P`, ` --endpoint-url U`.
    pub fn cli_flags(&self) -> String {
        let mut flags = String::new();
        for (flag, value) in [
            ("--profile", self.first.source.profile()),
            ("--endpoint-url", self.endpoints.only()),
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
        let heard = *self.until.lock();
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
        *self.until.lock() = until.map_or(Heard::NoEnd, Heard::Until);
        until
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// The same session, which says so where it refuses as read-only: what to do about it, by where that came from.
    #[must_use]
    pub fn with_read_only_mend(mut self, hint: Option<&str>) -> Self {
        self.read_only_mend = hint.map(Arc::from);
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
        if *scope != self.first.scope {
            return Err(Problem::new(
                Kind::Denied,
                what,
                format!(
                    "it was prepared for {scope}, but this session is {}",
                    self.first.scope
                ),
                "go back to that account and region, or prepare it anew here",
            ));
        }
        Ok(())
    }
}

/// What opening a session comes to.
struct Proven {
    base: SdkConfig,
    who: Who,
    endpoints: Endpoints,
    renewing: Option<Renewing>,
}

/// With keys that are given: nothing of this machine is looked at.
async fn in_a_lab(
    options: &Options,
    http: SharedHttpClient,
    (key, secret): (String, String),
    whose: &Whose,
) -> Result<Proven, Problem> {
    let region = options.region.as_deref().ok_or_else(no_region)?;
    let region: Region = region.parse().map_err(|error| {
        Problem::new(
            Kind::Usage,
            "open a session",
            format!("{error}"),
            "correct --region",
        )
    })?;
    let endpoints = Endpoints::everywhere(options.endpoint_url.clone());
    let keys = Credentials::new(key, secret, None, None, "lab");
    let base = plain(&region, http)
        .retry_config(RetryConfig::standard().with_max_attempts(6))
        .timeout_config(timeouts(READ))
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build();
    let mut sts = aws_sdk_sts::config::Builder::from(&base);
    sts.set_endpoint_url(endpoints.of("sts").map(str::to_owned));
    let client = aws_sdk_sts::Client::from_conf(sts.build());
    let (account, arn) =
        credentials::identity(&client, &region, |call| call.interceptor(whose.clone())).await?;
    let who = who(account, region, arn, Source::Lab);
    Ok(Proven {
        base,
        who,
        endpoints,
        renewing: None,
    })
}

/// With the credentials that flags, environment and files name.
async fn with_credentials(
    aws: Aws,
    http: SharedHttpClient,
    whose: &Whose,
    waits: Waits,
) -> Result<Proven, Problem> {
    // What cannot act is refused before anybody is asked.
    let choice = match aws.choice() {
        // A region is wanted whoever acts: what is not configured is told before what is not there.
        Err(problem) if problem.kind == Kind::Credentials && aws.region.is_none() => {
            return Err(no_region());
        }
        choice => choice?,
    };
    let here = SdkRegion::new("us-east-1");
    let region = match &aws.region {
        Some((region, _)) => region.clone(),
        None if choice.base == acting::Base::Instance => {
            waits.begin("the region of this instance: its metadata service");
            let alone = SdkConfig::builder()
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(here)
                .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
                .http_client(http.clone())
                .build();
            let found = credentials::region_of_instance(&alone).await;
            Region::from_api(found.ok_or_else(no_region)?)
        }
        None => return Err(no_region()),
    };
    let opening = plain(&region, http)
        .use_fips(aws.fips)
        .use_dual_stack(aws.dual_stack)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            timeouts(RESCUE)
                .to_builder()
                .operation_timeout(OPENING)
                .build(),
        )
        .build();
    let endpoints = aws.endpoints.clone();
    let renewing = Renewing::new(aws, opening.clone(), region, waits, whose.clone());
    renewing.get().await?;
    let base = opening
        .to_builder()
        .retry_config(RetryConfig::standard().with_max_attempts(6))
        .timeout_config(
            timeouts(READ)
                .to_builder()
                .operation_timeout(READING)
                .build(),
        )
        .credentials_provider(SharedCredentialsProvider::new(renewing.clone()))
        // They are kept, renewed and proven in one place.
        .identity_cache(aws_config::identity::IdentityCache::no_cache())
        .build();
    let who = renewing.who().ok_or_else(|| {
        Problem::new(
            Kind::Credentials,
            "open a session",
            "STS did not say whose the credentials are",
            "try again",
        )
    })?;
    Ok(Proven {
        base,
        who,
        endpoints,
        renewing: Some(renewing),
    })
}

fn who(account: AccountId, region: Region, arn: String, source: Source) -> Who {
    Who {
        scope: Scope { account, region },
        arn,
        source,
    }
}

fn no_region() -> Problem {
    Problem::new(
        Kind::Usage,
        "open a session",
        "no region is set",
        "name one with --region, in config.toml, with AWS_REGION, or in the profile; `freezeframe config show` says what is set",
    )
}

/// What every client has in common. Endpoints are set for each service by itself.
fn plain(region: &Region, http: SharedHttpClient) -> aws_types::sdk_config::Builder {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(SdkRegion::new(region.as_str().to_owned()))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(http)
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(attempt)
        .build()
}

/// What listens to every answer, and where each service is.
struct Wiring<'a> {
    whose: &'a Whose,
    watch: &'a Option<Watch>,
    endpoints: &'a Endpoints,
}

impl Wiring<'_> {
    fn ec2(&self, config: &SdkConfig) -> aws_sdk_ec2::Client {
        let mut config = aws_sdk_ec2::config::Builder::from(config).interceptor(self.whose.clone());
        config.set_endpoint_url(self.endpoints.of("ec2").map(str::to_owned));
        if let Some(watch) = self.watch {
            config = config.interceptor(watch.clone());
        }
        aws_sdk_ec2::Client::from_conf(config.build())
    }

    fn ssm(&self, config: &SdkConfig) -> aws_sdk_ssm::Client {
        let mut config = aws_sdk_ssm::config::Builder::from(config).interceptor(self.whose.clone());
        config.set_endpoint_url(self.endpoints.of("ssm").map(str::to_owned));
        if let Some(watch) = self.watch {
            config = config.interceptor(watch.clone());
        }
        aws_sdk_ssm::Client::from_conf(config.build())
    }

    fn cloudwatch(&self, config: &SdkConfig) -> aws_sdk_cloudwatch::Client {
        let mut config =
            aws_sdk_cloudwatch::config::Builder::from(config).interceptor(self.whose.clone());
        config.set_endpoint_url(self.endpoints.of("cloudwatch").map(str::to_owned));
        if let Some(watch) = self.watch {
            config = config.interceptor(watch.clone());
        }
        aws_sdk_cloudwatch::Client::from_conf(config.build())
    }
}

fn config(base: &SdkConfig, retry: RetryConfig, attempt: Duration) -> SdkConfig {
    base.to_builder()
        .retry_config(retry)
        .timeout_config(timeouts(attempt))
        .build()
}
