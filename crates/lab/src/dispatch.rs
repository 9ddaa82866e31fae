//! From an HTTP request to the service that answers it. Account, region and service come from the SigV4 scope,
//! never from the Host header.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderValue, Method, Request, Response};
use serde_json::Value;

use super::caller::Caller;
use super::faults::FaultKind;
use super::json::ServiceError;
use super::sigv4::Authorization;
use super::wire::query::Params;
use super::wire::{AppError, member, respond};
use super::{
    CallRecord, Lab, REGIONS, TransportFault, accept, bounds, cbor, cloudwatch, ec2, ssm, sts,
};

/// XML namespace of CloudWatch's older protocol.
const CLOUDWATCH: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";

/// Header of every answer, by which a client can tell that it is not AWS's; its value is the runtime.
pub const MARK: &str = "x-freezeframe-lab";

/// Header of every answer that tells where this lab's instances are: `eu-central-1 14`.
pub const HOME: &str = "x-freezeframe-lab-home";

/// Header of every answer of a lab that takes its own key alone: the file that has it.
pub const KEY_FILE: &str = "x-freezeframe-lab-key-file";

/// How the caller spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `Action=…` in a form, XML back.
    Query,
    /// `X-Amz-Target`, JSON both ways; the content type is echoed (`application/x-amz-json-1.0` or `-1.1`).
    Json(&'static str),
    /// Smithy RPC v2 over CBOR.
    Cbor,
}

impl Protocol {
    fn of(request: &Request<Bytes>) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        if header("smithy-protocol") == "rpc-v2-cbor" {
            Self::Cbor
        } else if !header("x-amz-target").contains('.') {
            Self::Query
        } else if header("content-type").contains("json-1.0") {
            Self::Json("application/x-amz-json-1.0")
        } else {
            Self::Json("application/x-amz-json-1.1")
        }
    }

    /// An error's code for a caller of this protocol, where the query protocols have one of their own.
    fn word(self, query: &str, other: &str) -> String {
        match self {
            Self::Query => query.to_owned(),
            Self::Json(_) | Self::Cbor => other.to_owned(),
        }
    }

    /// An error in the envelope of this protocol.
    fn refuse(self, service: &str, request_id: &str, error: &AppError) -> Response<Bytes> {
        let mut response = match (service, self) {
            (_, Self::Json(kind)) => {
                let code = shape_of(service, &error.code);
                let body = serde_json::json!({ "__type": code, "message": error.message });
                respond(error.http_status, kind, request_id, body.to_string())
            }
            (_, Self::Cbor) => {
                let error = ServiceError {
                    code: shape_of(service, &error.code).to_owned(),
                    message: error.message.clone(),
                    status: error.http_status,
                };
                cbor_response(error.status, request_id, cbor::error(&error))
            }
            ("sts", Self::Query) => error.query_response(request_id, sts::NAMESPACE),
            ("monitoring", Self::Query) => error.query_response(request_id, CLOUDWATCH),
            (_, Self::Query) => error.ec2_response(request_id),
        };
        // CloudWatch was an awsQuery service: its codes of then travel in a header.
        if service == "monitoring" && self != Self::Query {
            let side = if error.http_status >= 500 {
                "Receiver"
            } else {
                "Sender"
            };
            if let Ok(value) = format!("{};{side}", error.code).parse() {
                response.headers_mut().insert("x-amzn-query-error", value);
            }
        }
        response
    }
}

/// The name of an error's shape, which is not its code where a service spoke awsQuery once.
fn shape_of<'a>(service: &str, code: &'a str) -> &'a str {
    match (service, code) {
        ("monitoring", "InvalidParameterValue") => "InvalidParameterValueException",
        ("monitoring", "InvalidParameterCombination") => "InvalidParameterCombinationException",
        ("monitoring", "MissingParameter") => "MissingRequiredParameterException",
        ("monitoring", "InternalServiceError") => "InternalServiceFault",
        ("monitoring", "InvalidAction") => "UnknownOperationException",
        (_, code) => code,
    }
}

/// The service that an unsigned request speaks to, as far as it says so.
fn service_of(protocol: Protocol, request: &Request<Bytes>) -> &'static str {
    let target = request.headers().get("x-amz-target");
    let target = target
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match protocol {
        Protocol::Cbor => "monitoring",
        Protocol::Json(_) if target.starts_with("AmazonSSM.") => "ssm",
        Protocol::Json(_) => "monitoring",
        Protocol::Query => match Params::read(request.body())
            .unwrap_or_default()
            .get("Version")
        {
            Some("2011-06-15") => "sts",
            Some("2010-08-01") => "monitoring",
            _ => "ec2",
        },
    }
}

struct Call {
    service: String,
    action: String,
    protocol: Protocol,
    /// What `X-Amz-Target` or the path says before the action; empty in the query protocol.
    target: String,
    params: Params,
    body: Bytes,
}

impl Lab {
    /// Answers one request of any of the lab's services.
    ///
    /// # Errors
    /// Only what an injected fault orders to happen to the connection.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportFault> {
        // The last line: one request that breaks the lab is one answer lost, and nothing else.
        let answered = AssertUnwindSafe(self.answer(request)).catch_unwind().await;
        let response = answered.unwrap_or_else(|_| {
            tracing::error!("a request broke the lab: this is a defect of freezeframe");
            let broken = AppError::with_status(
                500,
                "InternalError",
                "The lab has a defect, which this request met",
            );
            Ok(broken.ec2_response(&self.request_id()))
        })?;
        Ok(self.marked(response))
    }

    /// An answer that says that it is a lab's.
    pub(super) fn marked<T>(&self, mut response: Response<T>) -> Response<T> {
        let runtime = HeaderValue::from_static(self.runtime().label());
        response.headers_mut().insert(MARK, runtime);
        let home = format!("{} {}", self.region(), self.instances());
        if let Ok(home) = home.parse() {
            response.headers_mut().insert(HOME, home);
        }
        let file = self.inner.key_file.get().and_then(|file| file.parse().ok());
        if let Some(file) = file {
            response.headers_mut().insert(KEY_FILE, file);
        }
        response
    }

    async fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportFault> {
        if request.method() == Method::GET && request.uri().path() == "/_lab" {
            return Ok(respond(
                200,
                "application/json",
                &self.request_id(),
                self.describe().to_string(),
            ));
        }
        if let Some(answer) = self.metadata(&request) {
            return Ok(answer);
        }
        let request_id = self.request_id();
        let protocol = Protocol::of(&request);
        let Some(scope) = Authorization::of(&request) else {
            let error = AppError::with_status(
                if protocol == Protocol::Query {
                    403
                } else {
                    400
                },
                protocol.word(
                    "MissingAuthenticationToken",
                    "MissingAuthenticationTokenException",
                ),
                "Request is missing Authentication Token",
            );
            let service = service_of(protocol, &request);
            return Ok(protocol.refuse(service, &request_id, &error));
        };
        let signer = match self.identify(&request, &scope) {
            Ok(signer) => signer,
            Err(error) => return Ok(protocol.refuse(&scope.service, &request_id, &error)),
        };
        let service = scope.service.clone();
        let ctx = Caller {
            account: self.account().to_owned(),
            region: scope.region.clone(),
            access_key: scope.access_key.clone(),
            role: signer.role,
            assumed: signer.assumed,
            now: self.clock().now(),
            request_id,
        };
        let call = match Call::read(scope.service, protocol, request) {
            Ok(call) => call,
            Err(error) => return Ok(protocol.refuse(&service, &ctx.request_id, &error)),
        };
        let mut record = CallRecord {
            at: ctx.now,
            ended: ctx.now,
            caller: ctx.arn(),
            subject: bounds::beginning(&call.subject(), bounds::RECORDED).to_owned(),
            service: bounds::beginning(&call.service, bounds::RECORDED).to_owned(),
            action: call.action.clone(),
            mutating: mutating(&call.action) && !call.is_dry_run(),
            dry_run: call.is_dry_run(),
            outcome: "OK".into(),
        };
        let fault = self.faults().next(&call.action, call.is_dry_run());
        match &fault {
            Some(FaultKind::Reset) => {
                record.outcome = "(reset)".into();
                self.record(record);
                return Err(TransportFault::Reset);
            }
            Some(FaultKind::Delay(time)) => self.clock().sleep(*time).await,
            _ => {}
        }
        let ctx = Caller {
            now: self.clock().now(),
            ..ctx
        };
        let answered = match &fault {
            Some(FaultKind::Error {
                code,
                message,
                status,
            }) => Err(AppError::with_status(*status, code, message)),
            Some(FaultKind::Expired) => Err(call.expired()),
            Some(FaultKind::Skewed) => Err(call.skewed()),
            _ => match self.refusal(&ctx, &call) {
                Some(refusal) => Err(refusal),
                None => self.serve_call(&ctx, &call).await,
            },
        };
        if let Some(FaultKind::Slow(time)) = &fault {
            self.clock().sleep(*time).await;
        }
        record.ended = self.clock().now();
        let (response, outcome) = match answered {
            Ok(response) => (response, "OK".to_owned()),
            Err(error) => {
                let outcome = error.code.clone();
                let answer = call.protocol.refuse(&call.service, &ctx.request_id, &error);
                (answer, outcome)
            }
        };
        let lost = fault == Some(FaultKind::LoseResponse);
        record.outcome = if lost {
            match outcome.as_str() {
                "OK" => "(lost response)".into(),
                refused => format!("(lost {refused})"),
            }
        } else {
            outcome
        };
        self.record(record);
        if lost {
            Err(TransportFault::LostResponse)
        } else {
            Ok(response)
        }
    }

    /// What stops a call before its service sees it: session, region, rights, rate.
    fn refusal(&self, ctx: &Caller, call: &Call) -> Option<AppError> {
        if ctx.expired() {
            return Some(call.expired());
        }
        if !REGIONS.contains(&ctx.region.as_str()) {
            return Some(match call.service.as_str() {
                "ec2" => AppError::with_status(
                    401,
                    "AuthFailure",
                    "AWS was not able to validate the provided access credentials",
                ),
                "ssm" | "monitoring" if call.protocol != Protocol::Query => AppError::new(
                    "UnrecognizedClientException",
                    "The security token included in the request is invalid.",
                ),
                _ => AppError::with_status(
                    403,
                    "InvalidClientTokenId",
                    "The security token included in the request is invalid",
                ),
            });
        }
        let denied = match &ctx.role {
            Some(session) => !session.role.may(&call.service, &call.action),
            None => ctx.read_only() && mutating(&call.action),
        };
        if denied {
            let who = ctx.arn();
            return Some(if call.service == "ec2" {
                let message = format!(
                    "You are not authorized to perform this operation. User: {who} is not authorized to perform: ec2:{}. Encoded authorization failure message: lab-{}",
                    call.action, ctx.request_id
                );
                AppError::with_status(403, "UnauthorizedOperation", message)
            } else {
                let service = if call.service == "monitoring" {
                    "cloudwatch"
                } else {
                    &call.service
                };
                let code = if call.protocol == Protocol::Query {
                    "AccessDenied"
                } else {
                    "AccessDeniedException"
                };
                AppError::with_status(
                    if call.service == "ssm" { 400 } else { 403 },
                    code,
                    format!(
                        "User: {who} is not authorized to perform: {service}:{}",
                        call.action
                    ),
                )
            });
        }
        let mut throttle = self.inner.throttle.as_ref()?.lock();
        let (account, region, action) = (&ctx.account, &ctx.region, &call.action);
        match call.service.as_str() {
            "ec2" => {
                let broad = ec2::is_broad(&call.params);
                let away = !throttle.admit(account, region, action, broad, ctx.now);
                away.then(|| {
                    AppError::with_status(503, "RequestLimitExceeded", "Request limit exceeded.")
                })
            }
            "ssm" => {
                let away = !throttle.admit_ssm(account, region, action, ctx.now);
                away.then(|| AppError::new("ThrottlingException", "Rate exceeded"))
            }
            _ => None,
        }
    }

    async fn serve_call(&self, ctx: &Caller, call: &Call) -> Result<Response<Bytes>, AppError> {
        call.check_target()?;
        match call.service.as_str() {
            "ec2" => {
                accept::query("ec2", &call.action, &call.params, None)?;
                ec2::handle(self, ctx, &call.action, &call.params).await
            }
            "sts" => {
                accept::query("sts", &call.action, &call.params, None)?;
                sts::handle(self, ctx, &call.action, &call.params)
            }
            "ssm" => {
                let input = json_body(&call.body)?;
                accept::json("ssm", &call.action, &input)?;
                let output = ssm::handle(self, ctx, &call.action, input).await?;
                Ok(respond(
                    200,
                    "application/x-amz-json-1.1",
                    &ctx.request_id,
                    output.to_string(),
                ))
            }
            "monitoring" => self.cloudwatch(ctx, call),
            other => Err(AppError::new(
                "UnknownService",
                format!("The lab has no service `{other}`"),
            )),
        }
    }
}

impl Lab {
    fn cloudwatch(&self, ctx: &Caller, call: &Call) -> Result<Response<Bytes>, AppError> {
        let input = match call.protocol {
            Protocol::Cbor => cbor::decode(&call.body)?,
            Protocol::Json(_) => json_body(&call.body)?,
            Protocol::Query => {
                accept::query("monitoring", &call.action, &call.params, Some("member"))?;
                member::to_value(&call.params)
            }
        };
        if call.protocol != Protocol::Query {
            accept::json("monitoring", &call.action, &input)?;
        }
        let output = cloudwatch::handle(self, ctx, &call.action, input)?;
        Ok(match call.protocol {
            Protocol::Cbor => cbor_response(200, &ctx.request_id, cbor::encode(&output)),
            Protocol::Json(kind) => respond(200, kind, &ctx.request_id, output.to_string()),
            Protocol::Query => member::respond_with(
                &call.action,
                CLOUDWATCH,
                &ctx.request_id,
                &output,
                cbor::is_time,
            ),
        })
    }
}

impl From<ServiceError> for AppError {
    fn from(error: ServiceError) -> Self {
        Self::with_status(error.status, error.code, error.message)
    }
}

fn cbor_response(status: u16, request_id: &str, body: Vec<u8>) -> Response<Bytes> {
    let mut response = respond(status, "application/cbor", request_id, body);
    response.headers_mut().insert(
        "smithy-protocol",
        http::HeaderValue::from_static("rpc-v2-cbor"),
    );
    response
}

impl Call {
    /// Whether the request only asks if it would be carried out.
    fn is_dry_run(&self) -> bool {
        self.service == "ec2" && self.params.get("DryRun") == Some("true")
    }

    fn read(
        service: String,
        protocol: Protocol,
        request: Request<Bytes>,
    ) -> Result<Self, AppError> {
        let (parts, body) = request.into_parts();
        let body = decompress(&parts.headers, body)?;
        let named = match protocol {
            // `/service/NAME/operation/ACTION`
            Protocol::Cbor => {
                let mut words = parts.uri.path().rsplit('/');
                let action = words.next().unwrap_or_default();
                Some((words.nth(1).unwrap_or_default(), action))
            }
            Protocol::Json(_) => {
                let target = parts.headers.get("x-amz-target");
                let target = target.and_then(|value| value.to_str().ok());
                target.and_then(|target| target.rsplit_once('.'))
            }
            Protocol::Query => None,
        };
        if let Some((target, action)) = named {
            return Ok(Self {
                service,
                action: bounds::beginning(action, bounds::ACTION).to_owned(),
                protocol,
                target: target.to_owned(),
                params: Params::default(),
                body,
            });
        }
        let params = if parts.method == Method::GET {
            Params::read(parts.uri.query().unwrap_or_default().as_bytes())?
        } else {
            Params::read(&body)?
        };
        let action = params
            .get("Action")
            .ok_or_else(|| AppError::new("MissingAction", "The request is missing an action"))?;
        let action = bounds::beginning(action, bounds::ACTION).to_owned();
        Ok(Self {
            service,
            action,
            protocol,
            target: String::new(),
            params,
            body,
        })
    }

    /// Refuses a call in a protocol that its service does not speak, or for another service than it is signed for.
    fn check_target(&self) -> Result<(), AppError> {
        let speaks = match self.service.as_str() {
            "ssm" => matches!(self.protocol, Protocol::Json(_)) && self.target == "AmazonSSM",
            "monitoring" => {
                self.protocol == Protocol::Query || self.target == "GraniteServiceVersion20100801"
            }
            _ => self.protocol == Protocol::Query,
        };
        if speaks {
            return Ok(());
        }
        Err(AppError::new(
            self.protocol
                .word("InvalidAction", "UnknownOperationException"),
            format!(
                "The lab's service `{}` has no operation {} in this protocol",
                self.service, self.action
            ),
        ))
    }

    /// What the service says to a session that is over.
    fn expired(&self) -> AppError {
        match self.service.as_str() {
            "ec2" => AppError::new("RequestExpired", "Request has expired."),
            "sts" => AppError::with_status(
                403,
                "ExpiredToken",
                "The security token included in the request is expired",
            ),
            _ => AppError::with_status(
                if self.protocol == Protocol::Query {
                    403
                } else {
                    400
                },
                self.protocol.word("ExpiredToken", "ExpiredTokenException"),
                "The security token included in the request is expired",
            ),
        }
    }

    /// What the service says to a caller whose clock is far off.
    fn skewed(&self) -> AppError {
        match self.service.as_str() {
            "ec2" => AppError::new("RequestExpired", "Request has expired."),
            "sts" => AppError::with_status(403, "SignatureDoesNotMatch", "Signature expired"),
            _ => AppError::with_status(
                if self.protocol == Protocol::Query {
                    403
                } else {
                    400
                },
                self.protocol
                    .word("SignatureDoesNotMatch", "InvalidSignatureException"),
                "Signature expired",
            ),
        }
    }

    /// What it is about, for [`CallRecord::subject`].
    fn subject(&self) -> String {
        if self.protocol == Protocol::Query {
            let job = self
                .params
                .structures("TagSpecification")
                .iter()
                .flat_map(|specification| specification.structures("Tag"))
                .find(|tag| tag.get("Key") == Some("freezeframe:job"))
                .and_then(|tag| tag.get("Value").map(str::to_owned));
            let first = |name: &str| self.params.list(name).first().map(|id| (*id).to_owned());
            return job
                .or_else(|| first("ResourceId"))
                .or_else(|| self.params.get("SnapshotId").map(str::to_owned))
                .or_else(|| self.params.get("VolumeId").map(str::to_owned))
                .unwrap_or_default();
        }
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let word = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        word("Comment")
            .or_else(|| word("CommandId"))
            .unwrap_or_default()
    }
}

/// Whether an action changes anything when it succeeds.
pub fn mutating(action: &str) -> bool {
    !["Describe", "Get", "List"]
        .iter()
        .any(|prefix| action.starts_with(prefix))
}

fn json_body(body: &Bytes) -> Result<Value, AppError> {
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(body)
        .map_err(|error| AppError::new("SerializationException", error.to_string()))
}

fn decompress(headers: &http::HeaderMap, body: Bytes) -> Result<Bytes, AppError> {
    use std::io::Read as _;
    if headers
        .get(http::header::CONTENT_ENCODING)
        .is_none_or(|encoding| encoding != "gzip")
    {
        return Ok(body);
    }
    let mut plain = Vec::new();
    // One byte more than the bound tells what fits from what was cut.
    let unpacked = flate2::read::GzDecoder::new(body.as_ref())
        .take(bounds::UNPACKED as u64 + 1)
        .read_to_end(&mut plain);
    unpacked
        .map_err(|error| AppError::new("SerializationException", format!("gzip body: {error}")))?;
    if plain.len() > bounds::UNPACKED {
        return Err(AppError::with_status(
            413,
            "RequestEntityTooLarge",
            format!(
                "The request body unpacks to more than {} bytes",
                bounds::UNPACKED
            ),
        ));
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests;
