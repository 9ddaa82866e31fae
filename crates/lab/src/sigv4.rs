//! Signature Version 4: signing an instance's own requests in the simulated runtime, and proving those that were signed
//! with credentials that this lab handed out. A request that AWS would refuse shall not pass here.

use bytes::Bytes;
use http::Request;
use sha2::{Digest as _, Sha256};

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

    fn scope(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        )
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
            && same(&self.signature, &self.sign(request, &headers, secret))
    }

    fn sign(&self, request: &Request<Bytes>, headers: &[&str], secret: &str) -> String {
        let canonical = canonical(request, headers);
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}\n{}",
            header(request, "x-amz-date"),
            self.scope(),
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), self.date.as_bytes());
        for part in [&*self.region, &*self.service, "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        hex(&hmac(&key, to_sign.as_bytes()))
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
        authorization.scope(),
        authorization.signed_headers,
        authorization.sign(request, &names, secret)
    );
    if let Ok(value) = http::HeaderValue::from_str(&text) {
        request
            .headers_mut()
            .insert(http::header::AUTHORIZATION, value);
    }
}

/// The request in the form that is hashed. The path of EC2's requests is `/`, which needs no encoding.
fn canonical(request: &Request<Bytes>, headers: &[&str]) -> String {
    // Sorted by name, then by value: a name sorts before a longer one that begins with it.
    let mut query: Vec<(&str, &str)> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    query.sort_unstable();
    let query: Vec<String> = query
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let lines: String = headers
        .iter()
        .map(|name| format!("{name}:{}\n", header(request, name)))
        .collect();
    let payload = match header(request, "x-amz-content-sha256") {
        hash if hash.is_empty() => hex(&Sha256::digest(request.body())),
        hash => hash,
    };
    format!(
        "{}\n{}\n{}\n{lines}\n{}\n{payload}",
        request.method(),
        request.uri().path(),
        query.join("&"),
        headers.join(";")
    )
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
    let pairs = one.bytes().zip(two.bytes());
    let different = pairs.fold(0, |different, (one, two)| different | (one ^ two));
    one.len() == two.len() && std::hint::black_box(different) == 0
}

pub(super) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    /// Block of SHA-256.
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        let hashed = Sha256::digest(key);
        block[..hashed.len()].copy_from_slice(&hashed);
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
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
