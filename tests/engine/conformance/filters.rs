//! The filters that EC2 documents: each is taken, and what it finds is what has the value.

use serde_json::{Value, json};

use crate::conformance::calls::{places, tour};
use crate::conformance::model::service;
use crate::conformance::talk::{Protocol, ask, lab, pass};

/// Where the answer has what a filter is about: operation, list, filter, path of the member.
const ABOUT: &[(&str, &str, &str, &str)] = &[
    (
        "DescribeInstances",
        "Reservations",
        "architecture",
        "Instances.Architecture",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "availability-zone",
        "Instances.Placement.AvailabilityZone",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "availability-zone-id",
        "Instances.Placement.AvailabilityZoneId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "block-device-mapping.volume-id",
        "Instances.BlockDeviceMappings.Ebs.VolumeId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "block-device-mapping.attach-time",
        "Instances.BlockDeviceMappings.Ebs.AttachTime",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "current-instance-boot-mode",
        "Instances.CurrentInstanceBootMode",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "ebs-optimized",
        "Instances.EbsOptimized",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "iam-instance-profile.arn",
        "Instances.IamInstanceProfile.Arn",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "iam-instance-profile.id",
        "Instances.IamInstanceProfile.Id",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "image-id",
        "Instances.ImageId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "instance-id",
        "Instances.InstanceId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "instance-state-code",
        "Instances.State.Code",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "instance-type",
        "Instances.InstanceType",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "instance.group-id",
        "Instances.SecurityGroups.GroupId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "instance.group-name",
        "Instances.SecurityGroups.GroupName",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "launch-time",
        "Instances.LaunchTime",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "metadata-options.http-tokens",
        "Instances.MetadataOptions.HttpTokens",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "network-interface.mac-address",
        "Instances.NetworkInterfaces.MacAddress",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "network-interface.network-interface-id",
        "Instances.NetworkInterfaces.NetworkInterfaceId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "network-interface.attachment.attachment-id",
        "Instances.NetworkInterfaces.Attachment.AttachmentId",
    ),
    ("DescribeInstances", "Reservations", "owner-id", "OwnerId"),
    (
        "DescribeInstances",
        "Reservations",
        "platform",
        "Instances.Platform",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "private-dns-name",
        "Instances.PrivateDnsName",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "private-ip-address",
        "Instances.PrivateIpAddress",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "reason",
        "Instances.StateTransitionReason",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "reservation-id",
        "ReservationId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "root-device-name",
        "Instances.RootDeviceName",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "state-reason-code",
        "Instances.StateReason.Code",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "subnet-id",
        "Instances.SubnetId",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "tag-key",
        "Instances.Tags.Key",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "usage-operation",
        "Instances.UsageOperation",
    ),
    (
        "DescribeInstances",
        "Reservations",
        "vpc-id",
        "Instances.VpcId",
    ),
    (
        "DescribeInstanceStatus",
        "InstanceStatuses",
        "instance-status.reachability",
        "InstanceStatus.Details.Status",
    ),
    (
        "DescribeInstanceStatus",
        "InstanceStatuses",
        "system-status.status",
        "SystemStatus.Status",
    ),
    (
        "DescribeVolumes",
        "Volumes",
        "attachment.device",
        "Attachments.Device",
    ),
    (
        "DescribeVolumes",
        "Volumes",
        "attachment.instance-id",
        "Attachments.InstanceId",
    ),
    ("DescribeVolumes", "Volumes", "create-time", "CreateTime"),
    ("DescribeVolumes", "Volumes", "encrypted", "Encrypted"),
    (
        "DescribeVolumes",
        "Volumes",
        "operator.managed",
        "Operator.Managed",
    ),
    ("DescribeVolumes", "Volumes", "size", "Size"),
    ("DescribeVolumes", "Volumes", "snapshot-id", "SnapshotId"),
    ("DescribeVolumes", "Volumes", "status", "State"),
    ("DescribeVolumes", "Volumes", "volume-type", "VolumeType"),
    (
        "DescribeSnapshots",
        "Snapshots",
        "description",
        "Description",
    ),
    (
        "DescribeSnapshots",
        "Snapshots",
        "owner-alias",
        "OwnerAlias",
    ),
    ("DescribeSnapshots", "Snapshots", "owner-id", "OwnerId"),
    ("DescribeSnapshots", "Snapshots", "start-time", "StartTime"),
    (
        "DescribeSnapshots",
        "Snapshots",
        "storage-tier",
        "StorageTier",
    ),
    ("DescribeSnapshots", "Snapshots", "volume-id", "VolumeId"),
    (
        "DescribeSnapshots",
        "Snapshots",
        "volume-size",
        "VolumeSize",
    ),
    (
        "DescribeImages",
        "Images",
        "block-device-mapping.volume-size",
        "BlockDeviceMappings.Ebs.VolumeSize",
    ),
    ("DescribeImages", "Images", "creation-date", "CreationDate"),
    ("DescribeImages", "Images", "is-public", "Public"),
    (
        "DescribeImages",
        "Images",
        "manifest-location",
        "ImageLocation",
    ),
    ("DescribeImages", "Images", "name", "Name"),
    ("DescribeImages", "Images", "owner-alias", "ImageOwnerAlias"),
    ("DescribeImages", "Images", "platform", "Platform"),
    (
        "DescribeAvailabilityZones",
        "AvailabilityZones",
        "group-name",
        "GroupName",
    ),
    (
        "DescribeAvailabilityZones",
        "AvailabilityZones",
        "zone-id",
        "ZoneId",
    ),
    ("DescribeTags", "Tags", "resource-type", "ResourceType"),
];

/// Every value at a path; lists on the way count for all their elements.
fn values(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| values(item, path)).collect(),
        Value::Object(_) => match path.split_once('.') {
            Some((name, rest)) => values(&value[name], rest),
            None => values(&value[path], ""),
        },
        Value::String(text) if path.is_empty() => vec![text.clone()],
        _ => Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn every_documented_filter_is_taken_and_no_other() {
    let lab = lab().await;
    let ec2 = service("ec2");
    for operation in ec2.operations.keys() {
        let mut names = ec2.words(operation, "filters");
        if names.is_empty() {
            continue;
        }
        let tags = names.iter().any(|name| name == "tag:");
        names.retain(|name| name != "tag:");
        let filter = |name: &str| json!({"Filters": [{"Name": name, "Values": ["no such value"]}]});
        for name in names {
            let answer = ask(&lab, "ec2", operation, &filter(&name), Protocol::Query).await;
            assert_eq!(answer.status, 200, "{operation} {name}: {}", answer.code);
        }
        for (name, fine) in [
            ("tag:Name", tags),
            ("tag:", false),
            ("colour", false),
            ("Size", false),
        ] {
            let answer = ask(&lab, "ec2", operation, &filter(name), Protocol::Query).await;
            let expected = if fine {
                (200, "")
            } else {
                (400, "InvalidParameterValue")
            };
            assert_eq!(
                (answer.status, answer.code.as_str()),
                expected,
                "{operation} {name}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_finds_what_has_the_value_and_nothing_else() {
    let lab = lab().await;
    let web = places(&lab).web;
    ask(
        &lab,
        "ec2",
        "StopInstances",
        &json!({"InstanceIds": [web]}),
        Protocol::Query,
    )
    .await;
    pass(&lab, 30).await;
    for (operation, list, name, path) in ABOUT {
        let all = ask(&lab, "ec2", operation, &json!({}), Protocol::Query).await;
        let all = all.value[list].as_array().unwrap();
        let mut wanted: Vec<String> = all.iter().flat_map(|row| values(row, path)).collect();
        wanted.retain(|value| !value.is_empty() && !value.contains(['*', '?', '\\', '&', ';']));
        let wanted = wanted
            .pop()
            .unwrap_or_else(|| panic!("nothing has {operation} {path}"));
        let has = |row: &&Value| values(row, path).contains(&wanted);
        let filter = json!({"Filters": [{"Name": name, "Values": [wanted]}]});
        let found = ask(&lab, "ec2", operation, &filter, Protocol::Query).await;
        let found = found.value[list].as_array().unwrap();
        let expected: Vec<&Value> = all.iter().filter(has).collect();
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            expected,
            "{operation} {name}={wanted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_images_of_the_instances_exist() {
    let lab = lab().await;
    let calls = tour(&lab).await;
    let of = |operation: &str, path: &str| {
        let call = calls
            .iter()
            .find(|call| call.operation == operation)
            .unwrap();
        values(&call.answer.value, path)
    };
    let images = of("DescribeInstances", "Reservations.Instances.ImageId");
    let known = of("DescribeImages", "Images.ImageId");
    assert_eq!(images.len(), 14);
    for image in images {
        assert!(known.contains(&image), "{image}");
    }
}
