//! STS: who is asking.

use bytes::Bytes;
use http::Response;

use super::dispatch::CallContext;
use super::wire::{AppError, respond, xml::Xml};

/// XML namespace of STS answers.
pub const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Answers one STS call.
///
/// # Errors
/// `InvalidAction` for anything but GetCallerIdentity.
pub fn handle(ctx: &CallContext, action: &str) -> Result<Response<Bytes>, AppError> {
    if action != "GetCallerIdentity" {
        return Err(AppError::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2011-06-15"),
        ));
    }
    let mut xml = Xml::bare();
    xml.inside_ns("GetCallerIdentityResponse", NAMESPACE, |xml| {
        xml.inside("GetCallerIdentityResult", |xml| {
            xml.text("Arn", ctx.arn());
            let session = ctx.role.as_ref().map_or("you", |role| &role.instance);
            xml.text("UserId", format!("AROALABLABLABLABLABLA:{session}"));
            xml.text("Account", &ctx.account);
        });
        xml.inside("ResponseMetadata", |xml| {
            xml.text("RequestId", &ctx.request_id)
        });
    });
    Ok(respond(200, "text/xml", &ctx.request_id, xml.finish()))
}
