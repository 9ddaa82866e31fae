//! Credentials of a session: loaded by the choice that `config::acting` made, read again from the files when they end,
//! when AWS says that they have ended, and when a person asks; and proven again before they are used.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex as Held;

use aws_config::provider_config::ProviderConfig;
use aws_config::{SdkConfig, imds};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::region::Region as SdkRegion;
use tokio::sync::Mutex;

use super::error::{CREDENTIALS, chain, problem};
use super::lab_detector::Whose;
use super::process;
use super::session::Waits;
use crate::config::acting::{Base, Choice, Role};
use crate::config::aws::Aws;
use crate::config::origin::Origin;
use crate::config::small_file;
use crate::domain::credentials::{How, Source, Who};
use crate::domain::ids::{AccountId, Region, Scope};
use crate::domain::problem::{Kind, Problem};

/// Credentials that end within this time are renewed, while they still serve.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// Credentials that end within this time are no longer used.
const LATE: Duration = Duration::from_secs(10);
/// Pause after a renewal that brought nothing new.
const PAUSE: Duration = Duration::from_secs(30);
/// Longest that a service may take to give credentials.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest that a program may take: it may ask a person.
const LONGEST_PROGRAM: Duration = Duration::from_secs(120);
const PROCESS_HINT: &str =
    "run the credential_process of the profile by hand, and correct what it says";
/// Name of the sessions of assumed roles, where the profile says none.
const SESSION_NAME: &str = "freezeframe";

/// The credentials of one session. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Renewing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    aws: Aws,
    /// Without credentials: region, connections, limits.
    plain: SdkConfig,
    region: Region,
    held: Mutex<Option<Loaded>>,
    /// The credentials of `held`, for whoever cannot wait for it.
    last: Held<Option<Credentials>>,
    /// What is held is not to be used again without looking at the files.
    stale: AtomicBool,
    who: Held<Option<Who>>,
    waits: Waits,
    whose: Whose,
}

#[derive(Debug)]
struct Loaded {
    credentials: Credentials,
    source: Source,
    /// No renewal before.
    not_before: Option<SystemTime>,
}

impl Renewing {
    pub(super) fn new(
        aws: Aws,
        plain: SdkConfig,
        region: Region,
        waits: Waits,
        whose: Whose,
    ) -> Self {
        Self(Arc::new(Inner {
            aws,
            plain,
            region,
            held: Mutex::new(None),
            last: Held::default(),
            stale: AtomicBool::new(false),
            who: Held::new(None),
            waits,
            whose,
        }))
    }

    /// The identity that STS proved last with these credentials.
    pub(super) fn who(&self) -> Option<Who> {
        self.0.who.lock().clone()
    }

    /// Whatever asks next reads files and services again.
    pub(super) fn renew(&self) {
        self.0.stale.store(true, Ordering::Relaxed);
    }

    /// What marks them as ended when AWS says so.
    pub(super) fn watch(&self) -> Watch {
        Watch(self.clone())
    }

    pub(super) async fn get(&self) -> Result<Credentials, Problem> {
        let inner = &*self.0;
        let mut held = match inner.held.try_lock() {
            Ok(held) => held,
            // Somebody renews them. Whoever thaws meanwhile takes those that still serve.
            Err(_) => match inner.serving() {
                Some(credentials) => return Ok(credentials),
                None => inner.held.lock().await,
            },
        };
        let now = SystemTime::now();
        let stale = inner.stale.load(Ordering::Relaxed);
        let until = |loaded: &Loaded| loaded.credentials.expiry();
        if let Some(loaded) = &*held {
            let waits = loaded.not_before.is_some_and(|at| now < at);
            let early = until(loaded).is_some_and(|end| now + EARLY >= end);
            if !stale && (!early || waits) && until(loaded).is_none_or(|end| now + LATE < end) {
                return Ok(loaded.credentials.clone());
            }
        }
        match inner.load().await {
            Ok(mut loaded) => {
                inner.prove(&loaded, held.as_ref()).await?;
                inner.stale.store(false, Ordering::Relaxed);
                if until(&loaded).is_some_and(|end| now + EARLY >= end) {
                    loaded.not_before = Some(now + PAUSE);
                }
                let credentials = loaded.credentials.clone();
                *inner.last.lock() = Some(credentials.clone());
                *held = Some(loaded);
                Ok(credentials)
            }
            // What is held may serve a little longer.
            Err(problem) => match held.as_mut() {
                Some(loaded) if !stale && until(loaded).is_some_and(|end| now + LATE < end) => {
                    tracing::warn!(%problem, "credentials could not be renewed");
                    loaded.not_before = Some(now + PAUSE);
                    Ok(loaded.credentials.clone())
                }
                _ => Err(problem),
            },
        }
    }
}

/// Credentials that a request can be signed with. A key id goes into a header as it is, and the SDK ends the process
/// where it does not fit there; a session token is a header of its own.
///
/// # Errors
/// What cannot be part of any, without the text, which may be a secret.
fn usable(what: &str, credentials: Credentials) -> Result<Credentials, Problem> {
    let id = credentials.access_key_id();
    // IAM's model: `[\w]*`, 16 to 128; labs print longer and shorter ones.
    let of_a_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let bad = if id.is_empty() {
        Some("the access key id is empty")
    } else if !id.chars().all(of_a_key) {
        Some("the access key id has a character that no access key id has")
    } else if credentials.secret_access_key().is_empty() {
        Some("the secret access key is empty")
    } else if credentials
        .secret_access_key()
        .chars()
        .any(char::is_control)
    {
        Some("the secret access key has a line break or another control character")
    } else if !credentials
        .session_token()
        .is_none_or(|token| token.chars().all(|c| c.is_ascii_graphic()))
    {
        Some("the session token has a blank, a line break or another character that no token has")
    } else {
        None
    };
    match bad {
        None => Ok(credentials),
        Some(cause) => Err(Problem::new(
            Kind::Usage,
            what,
            cause,
            "correct it where it comes from; `freezeframe config show` says where",
        )),
    }
}

impl ProvideCredentials for Renewing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.get().await.map_err(CredentialsError::provider_error)
        })
    }
}

impl Inner {
    /// The last credentials, unless they have expired.
    fn serving(&self) -> Option<Credentials> {
        let last = self.last.lock();
        let now = SystemTime::now();
        last.clone().filter(|credentials| {
            !self.stale.load(Ordering::Relaxed)
                && credentials.expiry().is_none_or(|end| now + LATE < end)
        })
    }

    async fn load(&self) -> Result<Loaded, Problem> {
        let choice = self.aws.read_again()?.choice()?;
        self.suits_the_endpoint(&choice)?;
        self.waits.begin(&format!("credentials: {}", choice.source));
        let what = format!("get credentials: {}", choice.source);
        let limit = match choice.base {
            Base::Process(_) => LONGEST_PROGRAM,
            _ => LONGEST,
        };
        let late = || {
            Problem::new(
                Kind::Timeout,
                &what,
                format!("none came within {} s", limit.as_secs()),
                "check what gives them, and the way to it",
            )
        };
        let load = async {
            let mut credentials = usable(&what, self.base(&what, &choice).await?)?;
            for role in &choice.roles {
                credentials = usable(&what, self.assume(role, credentials).await?)?;
            }
            Ok(credentials)
        };
        let credentials = tokio::time::timeout(limit, load)
            .await
            .map_err(|_| late())??;
        Ok(Loaded {
            credentials,
            source: choice.source,
            not_before: None,
        })
    }

    /// IAM Identity Center and `aws login` have services of their own, which the SDK sends only to AWS or to where the
    /// environment says.
    fn suits_the_endpoint(&self, choice: &Choice) -> Result<(), Problem> {
        let service = match choice.base {
            Base::Sso { .. } => "sso",
            Base::Login(_) => "signin",
            _ => return Ok(()),
        };
        let endpoints = &self.aws.endpoints;
        let named = endpoints.each.get(service).or(endpoints.all.as_ref());
        match named {
            None | Some((_, Origin::Variable(_))) => Ok(()),
            Some((url, said)) => Err(Problem::new(
                Kind::Usage,
                format!("get credentials: {}", choice.source),
                format!(
                    "every service is {url} ({said}), and the service that gives these is not there"
                ),
                "name a profile with keys or a role, or leave the endpoint out",
            )),
        }
    }

    async fn base(&self, what: &str, choice: &Choice) -> Result<Credentials, Problem> {
        let provider: SharedCredentialsProvider = match &choice.base {
            Base::Keys(keys) => {
                return Ok(Credentials::new(
                    &keys.id,
                    &keys.secret,
                    keys.token.clone(),
                    None,
                    "freezeframe",
                ));
            }
            Base::WebIdentity {
                token_file,
                role,
                session_name,
            } => {
                return self
                    .web_identity(what, token_file, role, session_name.as_deref())
                    .await;
            }
            Base::Sso {
                account,
                role,
                region,
                start_url,
                session,
            } => {
                let mut builder = aws_config::sso::SsoCredentialsProvider::builder()
                    .configure(&self.provider())
                    .account_id(account)
                    .role_name(role)
                    .region(SdkRegion::new(region.clone()))
                    .start_url(start_url);
                builder.set_session_name(session.clone());
                SharedCredentialsProvider::new(builder.build())
            }
            Base::Login(session) => SharedCredentialsProvider::new(
                aws_config::login::LoginCredentialsProvider::builder(session)
                    .configure(&self.provider())
                    .build(),
            ),
            Base::Process(command) => {
                return process::credentials(command)
                    .await
                    .map_err(|cause| Problem::new(Kind::Credentials, what, cause, PROCESS_HINT));
            }
            Base::Container => SharedCredentialsProvider::new(
                aws_config::ecs::EcsCredentialsProvider::builder()
                    .configure(&self.provider())
                    .build(),
            ),
            Base::Instance => SharedCredentialsProvider::new(
                imds::credentials::ImdsCredentialsProvider::builder()
                    .configure(&self.provider())
                    .imds_client(metadata(&self.provider()))
                    .build(),
            ),
        };
        provider.provide_credentials().await.map_err(|error| {
            let profile = choice.source.profile().unwrap_or("default");
            let profile = crate::domain::restore::shell_quote(profile);
            let hint = match &choice.base {
                Base::Sso { .. } => format!("sign in: aws sso login --profile {profile}"),
                Base::Login(_) => format!("sign in: aws login --profile {profile}"),
                Base::Instance if matches!(choice.source, Source::Instance) => {
                    crate::config::acting::NONE.to_owned()
                }
                Base::Instance => "run where an instance profile gives a role, or name another profile".to_owned(),
                Base::Container => "run in a container whose task has a role, or name another profile".to_owned(),
                _ => "check what gives them, and the way to it".to_owned(),
            };
            let cause = match (&choice.base, &choice.source) {
                (Base::Instance, Source::Instance) => format!(
                    "no keys in the environment, no profile, and this machine has no role that answers: {}",
                    chain(&error)
                ),
                (Base::Instance, _) => {
                    format!("this machine has no role that answers: {}", chain(&error))
                }
                (Base::Container, _) => {
                    format!("this container has no role that answers: {}", chain(&error))
                }
                _ => chain(&error),
            };
            Problem::new(Kind::Credentials, what, cause, hint)
        })
    }

    async fn web_identity(
        &self,
        what: &str,
        file: &str,
        role: &str,
        session_name: Option<&str>,
    ) -> Result<Credentials, Problem> {
        let path = crate::config::given(Path::new(file), "the file of the token")?;
        let read = tokio::task::spawn_blocking(move || small_file::read_text(&path)).await;
        let token = read.unwrap_or_else(|e| Err(e.into())).map_err(|e| {
            Problem::new(
                Kind::Usage,
                what,
                format!("the token {file} cannot be read: {e}"),
                "check the name and the permissions of the file",
            )
        })?;
        let answer = aws_sdk_sts::Client::from_conf(self.sts(None))
            .assume_role_with_web_identity()
            .role_arn(role)
            .role_session_name(session_name.unwrap_or(SESSION_NAME))
            .web_identity_token(token.trim())
            .send()
            .await
            .map_err(|error| problem(&format!("assume the role {role}"), &error))?;
        of_role(what, answer.credentials)
    }

    async fn assume(&self, role: &Role, with: Credentials) -> Result<Credentials, Problem> {
        let what = format!(
            "assume the role {} of the profile `{}`",
            role.arn, role.profile
        );
        let answer = aws_sdk_sts::Client::from_conf(self.sts(Some(with)))
            .assume_role()
            .role_arn(&role.arn)
            .role_session_name(role.session_name.as_deref().unwrap_or(SESSION_NAME))
            .set_external_id(role.external_id.clone())
            .set_duration_seconds(role.duration_s)
            .send()
            .await
            .map_err(|error| problem(&what, &error))?;
        of_role(&what, answer.credentials)
    }

    fn sts(&self, with: Option<Credentials>) -> aws_sdk_sts::Config {
        let mut config = aws_sdk_sts::config::Builder::from(&self.plain);
        config.set_credentials_provider(with.map(SharedCredentialsProvider::new));
        config.set_endpoint_url(self.aws.endpoints.of("sts").map(str::to_owned));
        config.build()
    }

    /// For the SDK's own providers.
    fn provider(&self) -> ProviderConfig {
        provider_config(&self.plain, Some(&self.region))
    }

    /// Asks STS whose these are, unless they are the ones that were proven before. Another account than before is
    /// refused: what is on the screen, and what was planned, is the old one's.
    async fn prove(&self, loaded: &Loaded, before: Option<&Loaded>) -> Result<(), Problem> {
        let same = before.is_some_and(|before| {
            before.credentials.access_key_id() == loaded.credentials.access_key_id()
        });
        if same {
            return Ok(());
        }
        self.waits.begin(&match self.aws.endpoints.of("sts") {
            Some(url) => format!("STS at {url}"),
            None => format!("STS in {}", self.region),
        });
        let client = aws_sdk_sts::Client::from_conf(self.sts(Some(loaded.credentials.clone())));
        let (account, arn) = identity(&client, &self.region, |call| {
            call.interceptor(self.whose.clone())
        })
        .await
        .map_err(|problem| of_source(problem, &loaded.source))?;
        let scope = Scope {
            account,
            region: self.region.clone(),
        };
        let mut who = self.who.lock();
        if let Some(known) = &*who
            && known.scope.account != scope.account
        {
            return Err(Problem::new(
                Kind::Credentials,
                "renew the credentials",
                format!(
                    "they are now of account {}, and this session is of account {}",
                    scope.account, known.scope.account
                ),
                "leave and start again, or put the credentials of the first account back",
            ));
        }
        *who = Some(Who {
            scope,
            arn,
            source: loaded.source.clone(),
        });
        Ok(())
    }
}

/// Says whose credentials were refused, and how those are renewed.
fn of_source(problem: Problem, source: &Source) -> Problem {
    if problem.kind != Kind::Credentials {
        return problem;
    }
    let hint = match source {
        Source::Variables { .. } => {
            "set new keys in the environment and start again; check the region and this machine's clock".to_owned()
        }
        Source::Profile {
            name,
            how: How::CredentialsFile | How::ConfigFile,
        } => {
            let name = crate::domain::restore::shell_quote(name);
            format!(
                "give the profile new keys (`aws configure --profile {name}`): they are read again by themselves, and by ctrl-r in \
                 the console; check the region and this machine's clock"
            )
        }
        _ => problem.hint,
    };
    Problem {
        what: format!("{}; credentials: {source}", problem.what),
        hint,
        ..problem
    }
}

/// Asks STS who calls: account and ARN.
pub(super) async fn identity<F>(
    client: &aws_sdk_sts::Client,
    region: &Region,
    adapt: F,
) -> Result<(AccountId, String), Problem>
where
    F: FnOnce(IdentityCall) -> IdentityCall,
{
    let what = format!("ask STS in {region} who we are");
    let answer = adapt(client.get_caller_identity().customize())
        .send()
        .await
        .map_err(|error| problem(&what, &error))?;
    let account = answer
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
    let arn = crate::domain::text::visible(answer.arn().unwrap_or_default()).into_owned();
    Ok((account, arn))
}

/// The question, before it is sent.
pub(super) type IdentityCall = aws_sdk_sts::client::customize::CustomizableOperation<
    aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput,
    aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError,
    aws_sdk_sts::operation::get_caller_identity::builders::GetCallerIdentityFluentBuilder,
>;

fn of_role(
    what: &str,
    credentials: Option<aws_sdk_sts::types::Credentials>,
) -> Result<Credentials, Problem> {
    let Some(found) = credentials else {
        return Err(Problem::new(
            Kind::Malformed,
            what,
            "the answer has no credentials",
            "check that the endpoint really is AWS or the lab",
        ));
    };
    Ok(Credentials::new(
        found.access_key_id,
        found.secret_access_key,
        Some(found.session_token),
        SystemTime::try_from(found.expiration).ok(),
        "freezeframe",
    ))
}

/// The instance's metadata service: it answers at once or is not there.
fn metadata(provider: &ProviderConfig) -> imds::Client {
    imds::Client::builder()
        .configure(provider)
        .max_attempts(2)
        .connect_timeout(Duration::from_secs(1))
        .read_timeout(Duration::from_secs(2))
        .build()
}

fn provider_config(plain: &SdkConfig, region: Option<&Region>) -> ProviderConfig {
    let mut provider = ProviderConfig::empty()
        .with_region(region.map(|region| SdkRegion::new(region.as_str().to_owned())))
        .with_behavior_version(plain.behavior_version());
    if let Some(http) = plain.http_client() {
        provider = provider.with_http_client(http);
    }
    if let Some(sleep) = plain.sleep_impl() {
        provider = provider.with_sleep_impl(sleep);
    }
    if let Some(limits) = plain.timeout_config() {
        provider = provider.with_timeout_config(limits.clone());
    }
    provider
}

/// The region of the instance that this process runs on.
pub(super) async fn region_of_instance(plain: &SdkConfig) -> Option<String> {
    let provider = provider_config(plain, None);
    let metadata = metadata(&provider);
    aws_config::imds::region::ImdsRegionProvider::builder()
        .configure(&provider)
        .imds_client(metadata)
        .build()
        .region()
        .await
        .map(|region| region.to_string())
}

/// Hears AWS say that credentials have ended.
#[derive(Debug, Clone)]
pub(super) struct Watch(Renewing);

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        if (400..=403).contains(&answer.status().as_u16())
            && answer.body().bytes().is_some_and(says_ended)
        {
            self.0.renew();
        }
        Ok(())
    }
}

/// Whether an answer's text has one of the codes for credentials in it.
fn says_ended(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| CREDENTIALS.contains(&word))
}

#[cfg(test)]
mod tests;
