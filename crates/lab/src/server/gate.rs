//! Who may speak to a lab's port: programs on this machine that know where it is. A page in a browser is none of
//! them, whether it names the port itself (it sends an `Origin`, or says `Sec-Fetch-Site`) or a name of its own that
//! leads here (its `Host` is not loopback).

use std::net::{Ipv4Addr, Ipv6Addr};

use http::request::Parts;
use http::{HeaderMap, Method, header};

use crate::wire::AppError;

/// Refuses a request by its head alone; `port` is the one that the lab listens on.
///
/// # Errors
/// What is wrong, in words: the caller is answered with it.
pub(super) fn check(parts: &Parts, port: u16) -> Result<(), AppError> {
    let refused = |code: &str, message: String| Err(AppError::with_status(403, code, message));
    if !matches!(parts.method, Method::GET | Method::POST | Method::PUT) {
        return Err(AppError::with_status(
            405,
            "MethodNotAllowed",
            "The lab answers GET, POST and PUT",
        ));
    }
    if parts.headers.contains_key(header::ORIGIN) {
        return refused(
            "AccessDenied",
            "The lab answers no web page: the request has an Origin header".to_owned(),
        );
    }
    // Only a browser sends it; `none` is the address bar.
    if parts
        .headers
        .get_all("sec-fetch-site")
        .iter()
        .any(|site| site != "none")
    {
        return refused(
            "AccessDenied",
            "The lab answers no web page: the request has a Sec-Fetch-Site header".to_owned(),
        );
    }
    let named = host(&parts.headers)?;
    // A request for a whole URL names a host of its own, which counts before the header.
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    for host in authority.into_iter().chain([named]) {
        if !loopback(host, port) {
            return refused(
                "AccessDenied",
                format!(
                    "The lab answers only as 127.0.0.1:{port}, localhost:{port} or [::1]:{port}, not as {:.80}",
                    host.escape_debug().to_string()
                ),
            );
        }
    }
    Ok(())
}

/// The one Host header that a request must have.
fn host(headers: &HeaderMap) -> Result<&str, AppError> {
    let mut all = headers.get_all(header::HOST).iter();
    let (first, second) = (all.next(), all.next());
    first
        .filter(|_| second.is_none())
        .and_then(|host| host.to_str().ok())
        .ok_or_else(|| {
            AppError::new(
                "InvalidRequest",
                "The request must have one Host header with plain characters",
            )
        })
}

/// Whether a host, with its port if it has one, is this machine's own and the lab's.
fn loopback(host: &str, port: u16) -> bool {
    let (name, its_port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => {
            let here = name.parse::<Ipv6Addr>() == Ok(Ipv6Addr::LOCALHOST);
            return here
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(|of| is(of, port)));
        }
        None => host
            .split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let here = name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback());
    here && its_port.is_none_or(|of| is(of, port))
}

/// The port, written as a client writes it.
fn is(text: &str, port: u16) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse() == Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, uri: &str, headers: &[(&str, &str)]) -> Result<(), AppError> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0, 4566)
    }

    #[test]
    fn p30_only_this_machines_own_names_are_answered() {
        for host in [
            "127.0.0.1:4566",
            "127.255.1.2:4566",
            "localhost:4566",
            "LocalHost:4566",
            "[::1]:4566",
            "[0:0:0:0:0:0:0:1]:4566",
            "127.0.0.1",
            "localhost",
            "[::1]",
        ] {
            assert_eq!(
                asked(Method::POST, "/", &[("host", host)]),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example:4566",
            "evil.example",
            "localhost.evil.example:4566",
            "127.0.0.1.nip.io:4566",
            "localhost.:4566",
            "127.0.0.1:80",
            "127.0.0.1:",
            "127.0.0.1:+4566",
            "127.0.0.1:4566:4566",
            "127.1:4566",
            "0x7f000001:4566",
            "2130706433:4566",
            "0.0.0.0:4566",
            "10.0.0.1:4566",
            "[::]:4566",
            "[::ffff:127.0.0.1]:4566",
            "[::1",
            "[::1]4566",
            "user@localhost:4566",
            "",
        ] {
            let refused = asked(Method::POST, "/", &[("host", host)]).unwrap_err();
            assert_eq!(refused.http_status, 403, "{host:?}: {refused:?}");
        }
    }

    #[test]
    fn p30_pages_preflights_and_unclear_hosts_are_refused() {
        let here = ("host", "localhost:4566");
        for (method, uri, headers, status) in [
            (
                Method::POST,
                "/",
                vec![here, ("origin", "http://localhost:4566")],
                403,
            ),
            (Method::POST, "/", vec![here, ("origin", "null")], 403),
            (
                Method::GET,
                "/_lab",
                vec![here, ("sec-fetch-site", "cross-site")],
                403,
            ),
            (Method::OPTIONS, "/", vec![here], 405),
            (Method::DELETE, "/", vec![here], 405),
            (Method::HEAD, "/", vec![here], 405),
            (Method::TRACE, "/", vec![here], 405),
            (Method::POST, "/", vec![], 400),
            (Method::POST, "/", vec![here, here], 400),
            (Method::POST, "http://evil.example/", vec![here], 403),
        ] {
            let refused = asked(method, uri, &headers).unwrap_err();
            assert_eq!(refused.http_status, status, "{uri} {headers:?}");
        }
        assert_eq!(
            asked(Method::GET, "http://127.0.0.1:4566/", &[here]),
            Ok(())
        );
        assert_eq!(
            asked(Method::GET, "/", &[here, ("sec-fetch-site", "none")]),
            Ok(())
        );
    }
}
