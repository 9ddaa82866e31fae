//! Connections: through the environment's proxy, with the certificates that were named, and to no other place than the
//! endpoint where one was named for everything.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::config::aws::{Aws, has_bad_port};
use crate::config::variables::{PROXIES, Variables};
use crate::domain::problem::{Kind, Problem};

/// The client for everything that is asked over the network.
///
/// # Errors
/// A proxy or a file of certificates that cannot be used.
pub(super) fn client(aws: &Aws) -> Result<SharedHttpClient, Problem> {
    let trust = trust(aws)?;
    let proxied =
        proxy(&aws.variables)?.then(|| connections(ProxyConfig::from_env(), trust.clone()));
    Ok(SharedHttpClient::new(Doors {
        direct: connections(ProxyConfig::disabled(), trust),
        proxied,
        only: aws.endpoints.only().map(Arc::from),
    }))
}

/// Over rustls with ring. The SDK's default would need aws-lc, much C to compile.
fn connections(proxy: ProxyConfig, trust: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(proxy.clone());
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(trust.clone())
            .build()
    })
}

/// Whom TLS trusts: the file that was named instead of the system's, as the AWS CLI has it.
fn trust(aws: &Aws) -> Result<TlsContext, Problem> {
    let store = match &aws.ca_bundle {
        Some((path, said)) => {
            let wrong = |cause: String, hint: &str| {
                Problem::new(
                    Kind::Usage,
                    format!("read the certificates {} ({said})", path.display()),
                    cause,
                    hint,
                )
            };
            let bytes = crate::config::small_file::read_bytes(path).map_err(|e| {
                wrong(
                    e.to_string(),
                    "name a PEM file of certificates that can be read",
                )
            })?;
            certificates(&bytes)
                .map_err(|cause| wrong(cause, "name a PEM file of certificates"))?;
            TrustStore::empty().with_pem_certificate(bytes)
        }
        // Without TLS nobody need be trusted, and a machine without certificates will do.
        None if aws
            .endpoints
            .only()
            .is_some_and(|url| url.starts_with("http://")) =>
        {
            TrustStore::empty()
        }
        None => TrustStore::default(),
    };
    TlsContext::builder()
        .with_trust_store(store)
        .build()
        .map_err(|e| {
            Problem::new(
                Kind::Local,
                "prepare TLS",
                e.to_string(),
                "check the system's certificates, or name a file of them with AWS_CA_BUNDLE",
            )
        })
}

/// Whether every certificate can be used. The SDK would panic over one that cannot.
fn certificates(pem: &[u8]) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for (n, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let bad = |e: String| format!("certificate {}: {e}", n + 1);
        let certificate = certificate.map_err(|e| bad(e.to_string()))?;
        store.add(certificate).map_err(|e| bad(e.to_string()))?;
    }
    if store.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(())
}

/// Whether the environment names a proxy.
fn proxy(variables: &Variables) -> Result<bool, Problem> {
    let mut named = false;
    for name in PROXIES {
        let Some(text) = variables.text(name)? else {
            continue;
        };
        let text = text.trim();
        let full = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        // The value may hold a password: it is not repeated.
        let wrong = |cause: &str| {
            Err(Problem::new(
                Kind::Usage,
                format!("use the proxy of {name}"),
                cause,
                format!("write it such as http://proxy.example.org:3128, or remove {name}"),
            ))
        };
        match full.parse::<http::Uri>() {
            Ok(uri) if uri.host().is_none_or(str::is_empty) => return wrong("it names no host"),
            Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
                return wrong("its scheme is neither http nor https");
            }
            Ok(uri)
                if uri
                    .authority()
                    .is_some_and(|all| has_bad_port(all.as_str())) =>
            {
                return wrong("its port is none");
            }
            Ok(_) => named = true,
            Err(_) => return wrong("it is no URL"),
        }
    }
    Ok(named)
}

/// Straight, or through the proxy.
struct Doors {
    direct: SharedHttpClient,
    proxied: Option<SharedHttpClient>,
    /// The one endpoint that was named for everything.
    only: Option<Arc<str>>,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doors")
    }
}

impl HttpClient for Doors {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Door {
            direct: self.direct.http_connector(settings, components),
            proxied: self
                .proxied
                .as_ref()
                .map(|client| client.http_connector(settings, components)),
            only: self.only.clone(),
        })
    }
}

#[derive(Debug)]
struct Door {
    direct: SharedHttpConnector,
    proxied: Option<SharedHttpConnector>,
    only: Option<Arc<str>>,
}

impl HttpConnector for Door {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri().parse::<http::Uri>().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        if is_here(host) {
            return self.direct.call(request);
        }
        if let Some(only) = &self.only {
            let allowed = only.parse::<http::Uri>().unwrap_or_default();
            if allowed.authority() != uri.authority() {
                let cause = Problem::new(
                    Kind::Usage,
                    format!("call {host}"),
                    format!(
                        "every service was to be {only}, and this call would leave for another place"
                    ),
                    "name credentials that need no other service, or leave the endpoint out",
                );
                return HttpConnectorFuture::ready(Err(ConnectorError::user(cause.into())));
            }
        }
        match &self.proxied {
            Some(proxied) => proxied.call(request),
            None => self.direct.call(request),
        }
    }
}

/// This machine, and what answers on it for the instance or the container: never behind a proxy.
fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        // The instance's metadata and EKS's agent.
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.segments()[..2] == [0xfd00, 0x0ec2],
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_never_behind_a_proxy() {
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "169.254.169.254",
            "169.254.170.2",
            "[fd00:ec2::254]",
        ] {
            assert!(is_here(host), "{host}");
        }
        for host in [
            "ec2.eu-central-1.amazonaws.com",
            "10.0.0.1",
            "localhost.example.org",
            "",
        ] {
            assert!(!is_here(host), "{host}");
        }
    }

    #[test]
    fn a_proxy_or_a_certificate_that_is_none_is_refused_by_name() {
        for (value, words) in [
            ("socks5://x:1", "neither http nor https"),
            ("http://", "no URL"),
            ("a b", "no URL"),
            ("http://127.0.0.1:99999", "port"),
            ("http://127.0.0.1:+3128", "port"),
            ("http://127.0.0.1:", "port"),
        ] {
            let problem = proxy(&Variables::from_pairs([("https_proxy", value)])).unwrap_err();
            assert!(
                problem.what.contains("https_proxy") && problem.cause.contains(words),
                "{value}: {problem}"
            );
        }
        assert_eq!(
            proxy(&Variables::from_pairs([("HTTPS_PROXY", "p:3128")])),
            Ok(true)
        );
        assert_eq!(proxy(&Variables::default()), Ok(false));
        for pem in [
            &b""[..],
            b"no certificate",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        ] {
            assert!(certificates(pem).is_err());
        }
    }
}
