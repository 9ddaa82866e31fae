//! What goes over the wire for the query protocols: parameters in, XML out, and errors in their envelopes.

pub mod member;
pub mod query;
pub mod xml;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::{Response, StatusCode};

use xml::Xml;

/// An API error of EC2 or STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppError {
    pub code: String,
    pub message: String,
    pub http_status: u16,
}

impl AppError {
    /// An error with HTTP status 400.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    /// An error with the given HTTP status.
    pub fn with_status(
        http_status: u16,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            http_status,
        }
    }

    /// The error `InvalidParameterValue`.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// The error `MissingParameter`.
    pub fn missing(name: &str) -> Self {
        Self::new(
            "MissingParameter",
            format!("The request must contain the parameter {name}"),
        )
    }

    /// EC2's error document as a response.
    pub fn ec2_response(&self, request_id: &str) -> Response<Bytes> {
        let mut xml = Xml::document();
        xml.inside("Response", |xml| {
            xml.inside("Errors", |xml| {
                xml.inside("Error", |xml| {
                    xml.text("Code", &self.code);
                    xml.text("Message", &self.message);
                });
            });
            xml.text("RequestID", request_id);
        });
        respond(
            self.http_status,
            "text/xml;charset=UTF-8",
            request_id,
            xml.finish(),
        )
    }

    /// The error document of awsQuery services (STS, CloudWatch's older protocol).
    pub fn query_response(&self, request_id: &str, namespace: &str) -> Response<Bytes> {
        let mut xml = Xml::bare();
        xml.inside_ns("ErrorResponse", namespace, |xml| {
            xml.inside("Error", |xml| {
                xml.text(
                    "Type",
                    if self.http_status >= 500 {
                        "Receiver"
                    } else {
                        "Sender"
                    },
                );
                xml.text("Code", &self.code);
                xml.text("Message", &self.message);
            });
            xml.text("RequestId", request_id);
        });
        respond(self.http_status, "text/xml", request_id, xml.finish())
    }
}

/// A response with a body and the request id header.
pub fn respond(
    status: u16,
    content_type: &str,
    request_id: &str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(value) = content_type.parse() {
        headers.insert(http::header::CONTENT_TYPE, value);
    }
    if let Ok(value) = request_id.parse() {
        headers.insert("x-amzn-requestid", value);
    }
    response
}

/// A moment as EC2 writes it: `2026-11-21T04:00:00.000Z`
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
