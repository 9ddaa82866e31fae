//! EC2: what a snapshot console needs of it, in the query protocol.

mod describe_misc;
mod filter;
mod ids;
mod instances;
mod network;
mod paging;
mod power;
mod snapshots;
mod snapshots_create;
mod snapshots_delete;
mod tags;
#[cfg(test)]
mod tests;
mod volumes;
mod volumes_attach;
mod volumes_create;

pub use ids::Kind;
pub use network::{derived, private_dns};
pub use tags::fit_for_aws;
pub use volumes_attach::{ATTACHMENTS_LIMIT, valid_device};
pub use volumes_create::{default_iops, speed};

use bytes::Bytes;
use http::Response;

use super::Lab;
use super::caller::Caller;
use super::wire::query::Params;
use super::wire::xml::Xml;
use super::wire::{AppError, respond};

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// The body of an answer, or an error.
type Answer = Result<Xml, AppError>;

/// Answers one EC2 call.
///
/// # Errors
/// EC2's own codes; `InvalidAction` names what the lab does not do.
pub async fn handle(
    lab: &Lab,
    ctx: &Caller,
    action: &str,
    params: &Params,
) -> Result<Response<Bytes>, AppError> {
    let body = match action {
        "DescribeInstances" => instances::describe(&lab.world_of(&ctx.region), ctx, params),
        "DescribeInstanceStatus" => {
            instances::describe_status(&lab.world_of(&ctx.region), ctx, params)
        }
        "DescribeInstanceAttribute" => {
            instances::describe_attribute(&lab.world_of(&ctx.region), ctx, params)
        }
        "StartInstances" | "StopInstances" => power::change(lab, ctx, action, params).await,
        "DescribeVolumes" => volumes::describe(&lab.world_of(&ctx.region), ctx, params),
        "CreateVolume" => volumes_create::create(lab, ctx, params).await,
        "DeleteVolume" => volumes_create::delete(lab, ctx, params).await,
        "AttachVolume" => volumes_attach::attach(lab, ctx, params).await,
        "DetachVolume" => volumes_attach::detach(lab, ctx, params).await,
        "DescribeSnapshots" => lab
            .world_of(&ctx.region)
            .as_shown(|world| snapshots::describe(world, ctx, params)),
        "DescribeSnapshotAttribute" => {
            snapshots::describe_attribute(&lab.world_of(&ctx.region), ctx, params)
        }
        "DescribeLockedSnapshots" => {
            snapshots::describe_locked(&lab.world_of(&ctx.region), ctx, params)
        }
        "DescribeFastSnapshotRestores" => {
            snapshots::describe_fast_restores(&lab.world_of(&ctx.region), ctx, params)
        }
        "CreateSnapshots" => snapshots_create::create_set(lab, ctx, params).await,
        "CreateSnapshot" => snapshots_create::create_one(lab, ctx, params).await,
        "DeleteSnapshot" => snapshots_delete::delete(lab, ctx, params).await,
        "CreateTags" => tags::create(&mut lab.world_of(&ctx.region), ctx, params),
        "DeleteTags" => tags::delete(&mut lab.world_of(&ctx.region), ctx, params),
        "DescribeTags" => tags::describe(&lab.world_of(&ctx.region), ctx, params),
        "DescribeImages" => describe_misc::images(&lab.world_of(&ctx.region), ctx, params),
        "DescribeRegions" => describe_misc::regions(ctx, params),
        "DescribeAvailabilityZones" => describe_misc::zones(ctx, params),
        other => Err(AppError::new(
            "InvalidAction",
            format!("The action {other} is not valid for this web service."),
        )),
    }?;
    Ok(respond(
        200,
        "text/xml;charset=UTF-8",
        &ctx.request_id,
        body.finish(),
    ))
}

/// A describe without ids, filters and pages, which AWS meters more tightly.
pub fn is_broad(params: &Params) -> bool {
    !params
        .iter()
        .any(|(key, _)| key.starts_with("Filter.") || key == "MaxResults" || key.contains("Id."))
}

/// The document of a successful answer.
fn answer(ctx: &Caller, action: &str, content: impl FnOnce(&mut Xml)) -> Xml {
    let mut xml = Xml::document();
    xml.inside_ns(&format!("{action}Response"), NAMESPACE, |xml| {
        xml.text("requestId", &ctx.request_id);
        content(xml);
    });
    xml
}

/// The document of calls that only say yes.
fn yes(ctx: &Caller, action: &str) -> Xml {
    answer(ctx, action, |xml| xml.text("return", true))
}

/// Ends a dry run, after everything that can be checked without acting was checked.
fn dry_run(params: &Params) -> Result<(), AppError> {
    match params.flag("DryRun")? {
        Some(true) => Err(AppError::with_status(
            412,
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        )),
        _ => Ok(()),
    }
}
