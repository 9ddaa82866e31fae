//! Signature Version 4: signing an instance's own requests in the simulated runtime, and proving those that were signed
//! with credentials that this lab handed out. A request that AWS would refuse shall not pass here.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign as sign_request,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Request;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::bounds;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The fields of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    pub access_key: String,
    /// `YYYYMMDD`
    pub date: String,
    pub region: String,
    pub service: String,
    signed_headers: String,
    signature: String,
}

impl Authorization {
    /// Reads the header of a request; `None` when there is none of this kind.
    pub(super) fn of(request: &Request<Bytes>) -> Option<Self> {
        let text = request
            .headers()
            .get(http::header::AUTHORIZATION)?
            .to_str()
            .ok()?;
        let field = |name: &str| {
            let rest = text.split_once(name)?.1;
            rest.split([',', ' ']).next()
        };
        let mut parts = field("Credential=")?.rsplit('/');
        let _terminator = parts.next().filter(|end| *end == "aws4_request")?;
        let (service, region, date) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            access_key: parts.next()?.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: field("SignedHeaders=").unwrap_or_default().to_owned(),
            signature: field("Signature=").unwrap_or_default().to_owned(),
        })
    }

    /// Whether this signature is what `secret` makes of the request, its body as it came.
    pub(super) fn proves(&self, request: &Request<Bytes>, secret: &str) -> bool {
        let headers: Vec<&str> = self.signed_headers.split(';').collect();
        let payload = header(request, "x-amz-content-sha256");
        let whole = payload.is_empty() || payload == hex(&Sha256::digest(request.body()));
        headers.contains(&"host")
            && headers.len() <= bounds::HEADERS
            && headers
                .iter()
                .all(|name| request.headers().contains_key(*name))
            && whole
            && self
                .sign(request, &headers, secret)
                .is_some_and(|signature| same(&self.signature, &signature))
    }

    /// The signature that `secret` makes over these headers and the body; `None` where the request has no date of AWS's
    /// form, or cannot be signed.
    fn sign(&self, request: &Request<Bytes>, headers: &[&str], secret: &str) -> Option<String> {
        let date = header(request, "x-amz-date");
        let date = chrono::NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ").ok()?;
        let identity = Credentials::new(&self.access_key, secret, None, None, "lab").into();
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(SystemTime::from(date.and_utc()))
            .settings(settings)
            .build()
            .ok()?;
        let values: Vec<(&str, String)> = headers
            .iter()
            .map(|name| (*name, header(request, name)))
            .collect();
        let payload = match header(request, "x-amz-content-sha256") {
            hash if hash.is_empty() => SignableBody::Bytes(request.body()),
            hash => SignableBody::Precomputed(hash),
        };
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.uri().to_string(),
            values.iter().map(|(name, value)| (*name, value.as_str())),
            payload,
        );
        let signed = sign_request(signable.ok()?, &params.into()).ok()?;
        Some(signed.into_parts().1)
    }
}

/// Signs a request that has its `host` and `x-amz-date` headers already, and any other that shall be signed.
pub(super) fn sign(
    request: &mut Request<Bytes>,
    access_key: &str,
    secret: &str,
    region: &str,
    service: &str,
) {
    let mut names: Vec<String> = request
        .headers()
        .keys()
        .map(|name| name.as_str().to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let authorization = Authorization {
        access_key: access_key.to_owned(),
        date: header(request, "x-amz-date").chars().take(8).collect(),
        region: region.to_owned(),
        service: service.to_owned(),
        signed_headers: names.join(";"),
        signature: String::new(),
    };
    let text = format!(
        "{ALGORITHM} Credential={access_key}/{}, SignedHeaders={}, Signature={}",
        format_args!("{}/{region}/{service}/aws4_request", authorization.date),
        authorization.signed_headers,
        authorization
            .sign(request, &names, secret)
            .unwrap_or_default()
    );
    if let Ok(value) = http::HeaderValue::from_str(&text) {
        request
            .headers_mut()
            .insert(http::header::AUTHORIZATION, value);
    }
}

/// All values of a header, each with its spaces folded.
pub(super) fn header(request: &Request<Bytes>, name: &str) -> String {
    let values: Vec<String> = request
        .headers()
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    values.join(",")
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub(super) fn same(one: &str, two: &str) -> bool {
    one.as_bytes().ct_eq(two.as_bytes()).into()
}

/// HMAC with SHA-256, in lower-case hex.
pub(super) fn mark(key: &[u8], message: &[u8]) -> String {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // HMAC takes keys of any length (RFC 2104).
        return String::new();
    };
    hex(&mac.chain_update(message).finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS's published example (`GET iam ListUsers`, Signature Version 4 test suite of the general reference).
    #[test]
    fn makes_the_signature_of_awss_own_example() {
        let mut request =
            Request::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
                .header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-8",
                )
                .header("host", "iam.amazonaws.com")
                .header("x-amz-date", "20150830T123600Z")
                .body(Bytes::new())
                .unwrap();
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        sign(&mut request, "AKIDEXAMPLE", secret, "us-east-1", "iam");
        let authorization = Authorization::of(&request).unwrap();
        assert_eq!(
            authorization.signature,
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        assert!(authorization.proves(&request, secret));
        assert!(!authorization.proves(&request, "another"));
        *request.body_mut() = Bytes::from_static(b"changed");
        assert!(!authorization.proves(&request, secret));
    }

    /// curl 7.86 to 8.2.1 does this for a header line that removes a header (aws-facts-3, section 3).
    #[test]
    fn a_signature_over_a_header_that_is_not_sent_proves_nothing() {
        let mut request = Request::new(Bytes::from_static(b"Action=CreateSnapshots"));
        for (name, value) in [
            ("host", "ec2.eu-central-1.amazonaws.com"),
            ("x-amz-date", "20260101T000000Z"),
            ("expect", ""),
        ] {
            let value = http::HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        sign(&mut request, "AKID", "secret", "eu-central-1", "ec2");
        let whole = Authorization::of(&request).unwrap();
        assert!(whole.signed_headers.contains("expect"));
        assert!(whole.proves(&request, "secret"));
        request.headers_mut().remove("expect");
        assert!(!whole.proves(&request, "secret"));
    }
}
