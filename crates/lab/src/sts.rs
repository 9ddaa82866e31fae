//! STS: who is asking, and roles that are assumed.

use bytes::Bytes;
use chrono::SecondsFormat;
use http::Response;

use super::Lab;
use super::caller::Caller;
use super::sessions;
use super::wire::query::Params;
use super::wire::{AppError, respond, xml::Xml};

/// XML namespace of STS answers.
pub const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Answers one STS call.
///
/// # Errors
/// `InvalidAction` for an operation that the lab has not, or what the operation refuses.
pub fn handle(
    lab: &Lab,
    ctx: &Caller,
    action: &str,
    params: &Params,
) -> Result<Response<Bytes>, AppError> {
    match action {
        "AssumeRole" => {
            let assumed = sessions::assume(lab, ctx, params)?;
            Ok(answer(ctx, action, |xml| {
                xml.inside("AssumedRoleUser", |xml| {
                    let arn = format!("arn:aws:sts::{}:{}", ctx.account, assumed.principal());
                    xml.text("Arn", arn);
                    let id = format!("{}:{}", assumed.role_id, assumed.session);
                    xml.text("AssumedRoleId", id);
                });
                xml.inside("Credentials", |xml| {
                    xml.text("AccessKeyId", &assumed.access_key);
                    xml.text("SecretAccessKey", &assumed.secret);
                    xml.text("SessionToken", &assumed.token);
                    let until = assumed.expires.to_rfc3339_opts(SecondsFormat::Secs, true);
                    xml.text("Expiration", until);
                });
                xml.maybe("SourceIdentity", assumed.source_identity.as_ref());
            }))
        }
        "GetCallerIdentity" => Ok(answer(ctx, action, |xml| {
            xml.text("Arn", ctx.arn());
            let (id, session) = match (&ctx.assumed, &ctx.role) {
                (Some(assumed), _) => (assumed.role_id.as_str(), assumed.session.as_str()),
                (None, Some(role)) => ("AROALABLABLABLABLABLA", role.instance.as_str()),
                (None, None) => ("AROALABLABLABLABLABLA", "you"),
            };
            xml.text("UserId", format!("{id}:{session}"));
            xml.text("Account", &ctx.account);
        })),
        _ => Err(AppError::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2011-06-15"),
        )),
    }
}

fn answer(ctx: &Caller, action: &str, result: impl FnOnce(&mut Xml)) -> Response<Bytes> {
    let mut xml = Xml::bare();
    xml.inside_ns(&format!("{action}Response"), NAMESPACE, |xml| {
        xml.inside(&format!("{action}Result"), result);
        xml.inside("ResponseMetadata", |xml| {
            xml.text("RequestId", &ctx.request_id)
        });
    });
    respond(200, "text/xml", &ctx.request_id, xml.finish())
}
