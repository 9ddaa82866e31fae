//! Every answer beside its output shape, and beside what AWS's documentation shows of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::conformance::calls::tour;
use crate::conformance::model::{Kind, Service, services};
use crate::conformance::talk::lab;

/// What the examples of AWS's documentation show, and the lab's answers never have: the lab has none of it.
pub const NEVER_THERE: [&str; 13] = [
    "DescribeAlarms: MetricAlarms",
    "DescribeFastSnapshotRestores: FastSnapshotRestores.DisabledTime",
    "DescribeFastSnapshotRestores: FastSnapshotRestores.DisablingTime",
    "DescribeFastSnapshotRestores: FastSnapshotRestores.EnablingTime",
    "DescribeFastSnapshotRestores: FastSnapshotRestores.OptimizingTime",
    "DescribeInstanceInformation: InstanceInformationList.AssociationOverview",
    "DescribeInstanceInformation: InstanceInformationList.AssociationStatus",
    "DescribeInstanceInformation: InstanceInformationList.LastAssociationExecutionDate",
    "DescribeInstanceInformation: InstanceInformationList.LastSuccessfulAssociationExecutionDate",
    "DescribeInstances: Reservations.Instances.KeyName",
    "DescribeInstances: Reservations.Instances.NetworkInterfaces.Association",
    "DescribeInstances: Reservations.Instances.NetworkInterfaces.PrivateIpAddresses.Association",
    "DescribeInstances: Reservations.Instances.PublicIpAddress",
];

#[tokio::test(start_paused = true)]
async fn every_answer_fits_its_output_shape() {
    let lab = lab().await;
    let calls = tour(&lab).await;
    let mut faults = BTreeSet::new();
    for call in &calls {
        let (operation, input) = (&call.operation, &call.input);
        let at = |fault: &String| format!("{operation} {input} by {:?}: {fault}", call.by);
        faults.extend(call.answer.faults.iter().map(at));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    // Nothing that the lab has is left out.
    for service in services() {
        for operation in freezeframe::lab::accept::known(service.signed) {
            let called = calls
                .iter()
                .any(|c| c.signed == service.signed && c.operation == operation);
            assert!(called, "{operation} is not called");
            assert!(
                service.operations.contains_key(operation),
                "{operation} is not in the model"
            );
        }
    }
}

/// The part of a path of an example that is made of members: below a map stand the example's own keys.
fn of_members(service: &Service, operation: &str, path: &str) -> String {
    let Some(mut shape) = service.output(operation) else {
        return String::new();
    };
    let mut known = Vec::new();
    for name in path.split('.') {
        let Some(member) = service.outgoing[shape].get(name) else {
            break;
        };
        known.push(name);
        let mut kind = &member.kind;
        while let Kind::List(_, inner) = kind {
            kind = inner;
        }
        match kind {
            Kind::Structure(next) => shape = next,
            _ => break,
        }
    }
    known.join(".")
}

#[tokio::test(start_paused = true)]
async fn what_the_documentation_shows_of_an_answer_is_there() {
    let lab = lab().await;
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in tour(&lab).await {
        seen.entry(call.operation)
            .or_default()
            .extend(call.answer.paths);
    }
    let mut missing = BTreeSet::new();
    for service in services() {
        for operation in service.operations.keys() {
            for path in service.words(operation, "sample") {
                let path = of_members(service, operation, &path);
                let there = path.is_empty() || seen[operation].contains(&path);
                if !there {
                    missing.insert(format!("{operation}: {path}"));
                }
            }
        }
    }
    let below = |path: &String| {
        NEVER_THERE
            .iter()
            .any(|known| path == known || path.starts_with(&format!("{known}.")))
    };
    let unknown: Vec<&String> = missing.iter().filter(|path| !below(path)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    for known in NEVER_THERE {
        assert!(
            missing
                .iter()
                .any(|path| path == known || path.starts_with(&format!("{known}."))),
            "{known} is there, or is not shown: take it off the list"
        );
    }
}

#[test]
fn the_lists_of_differences_stand_in_docs_lab_md() {
    let told = include_str!("../../../docs/lab.md");
    for known in NEVER_THERE {
        let member = known.rsplit(['.', ' ']).next().unwrap();
        assert!(
            told.contains(&format!("`{member}`")),
            "docs/lab.md does not name {known}"
        );
    }
    for (member, _) in crate::conformance::refusals::TAKEN {
        let member = member.rsplit(['.', ' ']).next().unwrap();
        assert!(
            told.contains(&format!("`{member}`")),
            "docs/lab.md does not name {member}"
        );
    }
}
