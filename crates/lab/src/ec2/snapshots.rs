//! DescribeSnapshots, DescribeSnapshotAttribute, DescribeLockedSnapshots, DescribeFastSnapshotRestores.

use super::filter::Filters;
use super::ids::{self, Kind};
use super::instances::zone_id;
use super::paging::page;
use super::{Answer, answer, dry_run, tags};
use crate::caller::Caller;
use crate::wire::AppError;
use crate::wire::query::Params;
use crate::wire::timestamp;
use crate::wire::xml::Xml;
use crate::world::{Snapshot, SnapshotState, Tags, World};
use chrono::{DateTime, Utc};

const FILTERS: &str = "
    description encrypted owner-alias owner-id progress snapshot-id start-time status storage-tier tag-key
    tag: transfer-type volume-id volume-size
";

fn field(snapshot: &Snapshot, now: DateTime<Utc>, name: &str) -> Vec<String> {
    match name {
        "description" => vec![snapshot.description.clone()],
        "encrypted" => vec![snapshot.encrypted.to_string()],
        "owner-alias" => snapshot.owner_alias.clone().into_iter().collect(),
        "owner-id" => vec![snapshot.owner.clone()],
        "progress" => vec![format!("{}%", snapshot.progress(now))],
        "snapshot-id" => vec![snapshot.id.clone()],
        "start-time" => vec![timestamp(snapshot.start)],
        "status" => vec![snapshot.state.to_string()],
        "storage-tier" => vec!["standard".into()],
        "volume-id" => vec![snapshot.volume.clone()],
        "volume-size" => vec![snapshot.volume_size_gib.to_string()],
        _ => Vec::new(),
    }
}

/// Whether an account may see a snapshot and make volumes from it.
pub fn visible(snapshot: &Snapshot, account: &str) -> bool {
    snapshot.owner == account
        || snapshot.public
        || snapshot.shared_with.iter().any(|other| other == account)
}

/// DescribeSnapshots. Without owners the public snapshots of strangers come along, as at AWS.
pub fn describe(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let filters = Filters::parse(params, FILTERS)?;
    let ids = params.list("SnapshotId");
    let owners = params.list("Owner");
    let restorable = params.list("RestorableBy");
    ids::check_users(&owners, &["self", "amazon", "aws-marketplace"])?;
    ids::check_users(&restorable, &["self", "all"])?;
    let wanted = Kind::Snapshot.wanted(&ids, &world.snapshots)?;
    dry_run(params)?;
    let found = wanted.into_iter().filter(|snapshot| {
        let owned = owners.is_empty()
            || owners.iter().any(|owner| {
                let owner = if *owner == "self" {
                    ctx.account.as_str()
                } else {
                    owner
                };
                snapshot.owner == owner || snapshot.owner_alias.as_deref() == Some(owner)
            });
        let usable = restorable.is_empty()
            || restorable.iter().any(|user| match *user {
                "all" => snapshot.public,
                "self" => {
                    snapshot.owner == ctx.account || snapshot.shared_with.contains(&ctx.account)
                }
                user => {
                    snapshot.shared_with.iter().any(|other| other == user) || snapshot.owner == user
                }
            });
        visible(snapshot, &ctx.account)
            && owned
            && usable
            && filters.pass(&snapshot.tags, |name| field(snapshot, world.now, name))
    });
    let page = page(params, 5..=1000, found, |snapshot| snapshot.id.clone())?;
    Ok(answer(ctx, "DescribeSnapshots", |xml| {
        xml.items("snapshotSet", page.items, |xml, snapshot| {
            write(xml, snapshot, world.now, "status")
        });
        xml.maybe("nextToken", page.next);
    }))
}

/// The fields of one snapshot; its state is called `status`, but `state` in the answer of CreateSnapshots.
pub fn write(xml: &mut Xml, snapshot: &Snapshot, now: DateTime<Utc>, state: &str) {
    xml.text("snapshotId", &snapshot.id);
    xml.text("volumeId", &snapshot.volume);
    xml.text(state, snapshot.state);
    xml.text("startTime", timestamp(snapshot.start));
    xml.text("progress", format!("{}%", snapshot.progress(now)));
    xml.text("ownerId", &snapshot.owner);
    xml.text("volumeSize", snapshot.volume_size_gib);
    xml.text("description", &snapshot.description);
    xml.text("encrypted", snapshot.encrypted);
    tags::write(xml, &snapshot.tags);
    if state == "status" {
        xml.maybe("statusMessage", snapshot.state_message.as_ref());
        xml.maybe("ownerAlias", snapshot.owner_alias.as_ref());
        xml.maybe("kmsKeyId", snapshot.kms_key.as_ref());
        xml.text("storageTier", "standard");
        if snapshot.state == SnapshotState::Completed {
            xml.text("completionTime", timestamp(snapshot.completes));
            xml.text("fullSnapshotSizeInBytes", snapshot.full_size_bytes);
        }
    }
}

/// Answers DescribeLockedSnapshots.
pub fn describe_locked(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let filters = Filters::parse(params, "lock-state")?;
    let wanted = Kind::Snapshot.wanted(&params.list("SnapshotId"), &world.snapshots)?;
    dry_run(params)?;
    let found = wanted
        .into_iter()
        .filter(|snapshot| snapshot.owner == ctx.account)
        .filter_map(|snapshot| snapshot.lock.as_ref().map(|lock| (snapshot, lock)))
        .filter(|(_, lock)| filters.pass(&Tags::new(), |_| vec![lock.state(world.now).to_owned()]));
    let page = page(params, 5..=1000, found, |(snapshot, _)| snapshot.id.clone())?;
    Ok(answer(ctx, "DescribeLockedSnapshots", |xml| {
        xml.items("snapshotSet", page.items, |xml, (snapshot, lock)| {
            xml.text("ownerId", &snapshot.owner);
            xml.text("snapshotId", &snapshot.id);
            xml.text("lockState", lock.state(world.now));
            xml.text("lockDuration", lock.days);
            xml.text("lockCreatedOn", timestamp(lock.created));
            xml.text("lockDurationStartTime", timestamp(lock.created));
            xml.text("lockExpiresOn", timestamp(lock.expires()));
        });
        xml.maybe("nextToken", page.next);
    }))
}

/// Answers DescribeFastSnapshotRestores.
pub fn describe_fast_restores(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let filters = Filters::parse(
        params,
        "availability-zone availability-zone-id owner-id snapshot-id state",
    )?;
    dry_run(params)?;
    let all = world.snapshots.values().flat_map(|snapshot| {
        snapshot
            .fast_restore
            .iter()
            .map(move |zone| (snapshot, zone))
    });
    let found = all.filter(|(snapshot, zone)| {
        snapshot.owner == ctx.account
            && filters.pass(&Tags::new(), |name| {
                vec![match name {
                    "availability-zone" => (*zone).clone(),
                    "availability-zone-id" => zone_id(zone),
                    "owner-id" => snapshot.owner.clone(),
                    "snapshot-id" => snapshot.id.clone(),
                    _ => "enabled".into(),
                }]
            })
    });
    let page = page(params, 0..=200, found, |(snapshot, zone)| {
        format!("{} {zone}", snapshot.id)
    })?;
    Ok(answer(ctx, "DescribeFastSnapshotRestores", |xml| {
        xml.items(
            "fastSnapshotRestoreSet",
            page.items,
            |xml, (snapshot, zone)| {
                xml.text("snapshotId", &snapshot.id);
                xml.text("availabilityZone", zone);
                xml.text("availabilityZoneId", zone_id(zone));
                xml.text("state", "enabled");
                xml.text(
                    "stateTransitionReason",
                    "Client.UserInitiated - Lifecycle state transition",
                );
                xml.text("ownerId", &snapshot.owner);
                xml.text("enabledTime", timestamp(snapshot.completes));
            },
        );
        xml.maybe("nextToken", page.next);
    }))
}

/// DescribeSnapshotAttribute: with whom the caller shares a snapshot of its own.
pub fn describe_attribute(world: &World, ctx: &Caller, params: &Params) -> Answer {
    let snapshot = Kind::Snapshot.find(params.required("SnapshotId")?, &world.snapshots)?;
    let attribute = params.required("Attribute")?;
    if attribute != "createVolumePermission" {
        return Err(AppError::value(format!(
            "Value ({attribute}) for parameter attribute is not known to the lab: createVolumePermission is"
        )));
    }
    if snapshot.owner != ctx.account {
        return Err(Kind::Snapshot.not_found(&snapshot.id));
    }
    dry_run(params)?;
    Ok(answer(ctx, "DescribeSnapshotAttribute", |xml| {
        xml.text("snapshotId", &snapshot.id);
        xml.items(
            "createVolumePermission",
            &snapshot.shared_with,
            |xml, who| {
                if who == "all" {
                    xml.text("group", "all");
                } else {
                    xml.text("userId", who);
                }
            },
        );
    }))
}
