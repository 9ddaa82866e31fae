//! Type, IOPS and throughput of a new volume: what was asked for, else what the source volume has now, else what was
//! recorded with the set, else the defaults of EBS. Limits by type and size: aws-facts 5.1.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RestoreRequest;
use crate::record::VolumeRecord;
use crate::snapshot::Snapshot;
use crate::volume::Volume;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A flag, or a field of the form.
    Asked,
    /// The source volume as it is now.
    SourceVolume,
    /// What was recorded with the set.
    Recorded,
    /// The default of EBS for the type.
    #[default]
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as you asked",
            Self::SourceVolume => "as the source volume has now",
            Self::Recorded => "as recorded with the set",
            Self::Default => "the default",
        })
    }
}

/// What a new volume is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Performance {
    pub(super) volume_type: String,
    pub(super) type_from: Source,
    pub(super) iops: Option<u32>,
    pub(super) iops_from: Source,
    pub(super) throughput: Option<u32>,
    pub(super) throughput_from: Source,
    /// What a person should know before saying yes.
    pub(super) notes: Vec<String>,
}

/// The numbers that EBS allows for a type.
struct Limits {
    gib: (u32, u32),
    /// Least, most, and most for each GiB; where IOPS can be asked for.
    iops: Option<(u32, u32, u32)>,
    /// Whether they must be.
    iops_needed: bool,
    /// Least and most; where throughput can be asked for.
    throughput: Option<(u32, u32)>,
}

/// The types that can be asked for.
pub const TYPES: [&str; 7] = ["gp3", "gp2", "io1", "io2", "st1", "sc1", "standard"];
/// What gp3 has when nobody asks for more.
const GP3_IOPS: u32 = 3_000;
const GP3_MIBS: u32 = 125;
/// MiB/s of gp3 come to no more than a quarter of its IOPS.
const IOPS_PER_MIBS: u32 = 4;

fn limits(volume_type: &str) -> Option<Limits> {
    let plain = |least, most| Limits {
        gib: (least, most),
        iops: None,
        iops_needed: false,
        throughput: None,
    };
    Some(match volume_type {
        "gp3" => Limits {
            gib: (1, 65_536),
            iops: Some((GP3_IOPS, 80_000, 500)),
            iops_needed: false,
            throughput: Some((GP3_MIBS, 2_000)),
        },
        "io1" => Limits {
            iops: Some((100, 64_000, 50)),
            iops_needed: true,
            ..plain(4, 16_384)
        },
        "io2" => Limits {
            iops: Some((100, 256_000, 1_000)),
            iops_needed: true,
            ..plain(4, 65_536)
        },
        "gp2" => plain(1, 16_384),
        "st1" | "sc1" => plain(125, 16_384),
        "standard" => plain(1, 1_024),
        _ => return None,
    })
}

/// Most IOPS of a volume of that type and size.
fn most_iops(least: u32, most: u32, per_gib: u32, gib: u32) -> u32 {
    most.min(per_gib.saturating_mul(gib)).max(least)
}

/// The cause of a refusal, and what to do.
pub(super) type Refused = (String, String);

/// Works it out for one snapshot.
///
/// # Errors
/// No such type, a size that the type does not hold, or numbers that EBS refuses.
pub(super) fn choose_performance(
    request: &RestoreRequest,
    member: &Snapshot,
    source: Option<&Volume>,
) -> Result<Performance, Refused> {
    let recorded = VolumeRecord::on(member).filter(|record| limits(&record.volume_type).is_some());
    let known = match (source.map(VolumeRecord::of), recorded.clone()) {
        (Some(now), _) if limits(&now.volume_type).is_some() => Some((now, Source::SourceVolume)),
        (_, Some(recorded)) => Some((recorded, Source::Recorded)),
        _ => None,
    };
    let mut out = Performance::default();
    (out.volume_type, out.type_from) = match (&request.volume_type, &known) {
        (Some(asked), _) => (asked.clone(), Source::Asked),
        (None, Some((known, from))) => (known.volume_type.clone(), *from),
        (None, None) => ("gp3".to_owned(), Source::Default),
    };
    let gib = member.volume_gib;
    let name = out.volume_type.clone();
    let limits = limits(&name).ok_or_else(|| {
        (
            format!("`{name}` is no volume type"),
            format!("choose one of {}", TYPES.join(", ")),
        )
    })?;
    let (least, most) = limits.gib;
    if !(least..=most).contains(&gib) {
        return Err((
            format!("{name} holds {least} to {most} GiB, the snapshot has {gib}"),
            "choose another type, such as --type gp3".to_owned(),
        ));
    }
    iops(request, &limits, known.as_ref(), gib, &mut out)?;
    throughput(request, &limits, known.as_ref(), &mut out)?;
    if known.is_none() {
        let note = unknown(request, member, &out);
        out.notes.extend(note);
    }
    if let (Some((now, Source::SourceVolume)), Some(then)) = (&known, &recorded)
        && (&now.volume_type, now.iops, now.throughput)
            != (&then.volume_type, then.iops, then.throughput)
    {
        out.notes.push(format!(
            "{} is {} now, and was {} when {} was taken; what you do not choose is made as it is now",
            member.volume,
            words(now),
            words(then),
            member.id
        ));
    }
    Ok(out)
}

/// `gp3 with 6000 IOPS and 400 MiB/s`.
fn words(record: &VolumeRecord) -> String {
    let numbers: Vec<String> = [(record.iops, "IOPS"), (record.throughput, "MiB/s")]
        .into_iter()
        .filter_map(|(number, unit)| number.map(|n| format!("{n} {unit}")))
        .collect();
    if numbers.is_empty() {
        record.volume_type.clone()
    } else {
        format!("{} with {}", record.volume_type, numbers.join(" and "))
    }
}

/// What nobody knows of a source volume that is gone and was not recorded.
fn unknown(request: &RestoreRequest, member: &Snapshot, out: &Performance) -> Option<String> {
    let mut lacking = Vec::new();
    if request.volume_type.is_none() {
        lacking.push("type");
    }
    let told = limits(&out.volume_type);
    if request.iops.is_none() && told.as_ref().is_some_and(|l| l.iops.is_some()) {
        lacking.push("IOPS");
    }
    if request.throughput.is_none() && told.is_some_and(|l| l.throughput.is_some()) {
        lacking.push("throughput");
    }
    let what = match lacking.as_slice() {
        [] => return None,
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    };
    Some(format!(
        "not known: {what} of {}; it is gone and nothing was recorded with the set, so {} becomes a {} volume with the \
         defaults; choose with --type, --iops, --throughput (in the console: step 2)",
        member.volume, member.id, out.volume_type
    ))
}

type Known = (VolumeRecord, Source);

fn iops(
    request: &RestoreRequest,
    limits: &Limits,
    known: Option<&Known>,
    gib: u32,
    out: &mut Performance,
) -> Result<(), Refused> {
    let name = out.volume_type.clone();
    let had = known.and_then(|(record, from)| record.iops.map(|iops| (iops, *from)));
    let Some((least, most, per_gib)) = limits.iops else {
        if let Some(asked) = request.iops {
            return Err((
                format!("{name} takes no --iops ({asked}): its performance follows from its size"),
                "leave --iops out, or choose --type gp3, io1 or io2".to_owned(),
            ));
        }
        if let Some((iops, _)) = had {
            out.notes.push(format!(
                "the source's {iops} IOPS do not apply to {name} and are dropped"
            ));
        }
        return Ok(());
    };
    let most_here = most_iops(least, most, per_gib, gib);
    if let Some(asked) = request.iops {
        if !(least..=most_here).contains(&asked) {
            let why = if most_here < most {
                format!(" (no more than {per_gib} for each of its {gib} GiB)")
            } else {
                String::new()
            };
            return Err((
                format!(
                    "{name} takes {least} to {most_here} IOPS here{why}, and {asked} were asked for"
                ),
                format!("choose --iops from {least} to {most_here}"),
            ));
        }
        (out.iops, out.iops_from) = (Some(asked), Source::Asked);
        return Ok(());
    }
    match had {
        Some((iops, from)) => {
            let fits = iops.clamp(least, most_here);
            if fits != iops {
                out.notes.push(format!(
                    "the source's {iops} IOPS are outside what {name} takes here, so it gets {fits}"
                ));
            }
            (out.iops, out.iops_from) = (Some(fits), from);
        }
        None if limits.iops_needed => {
            return Err((
                format!(
                    "{name} needs provisioned IOPS, and nobody knows how many the source volume had"
                ),
                format!("add --iops, from {least} to {most_here}, or choose --type gp3"),
            ));
        }
        None => {}
    }
    Ok(())
}

fn throughput(
    request: &RestoreRequest,
    limits: &Limits,
    known: Option<&Known>,
    out: &mut Performance,
) -> Result<(), Refused> {
    let name = out.volume_type.clone();
    let had = known.and_then(|(record, from)| record.throughput.map(|mibs| (mibs, *from)));
    let Some((least, most)) = limits.throughput else {
        if let Some(asked) = request.throughput {
            return Err((
                format!("{name} takes no --throughput ({asked}): it follows from size and IOPS"),
                "leave --throughput out, or choose --type gp3".to_owned(),
            ));
        }
        if let Some((mibs, _)) = had {
            out.notes.push(format!(
                "the source's {mibs} MiB/s do not apply to {name} and are dropped"
            ));
        }
        return Ok(());
    };
    let iops = out.iops.unwrap_or(GP3_IOPS);
    let most_here = most.min(iops / IOPS_PER_MIBS).max(least);
    if let Some(asked) = request.throughput {
        if !(least..=most_here).contains(&asked) {
            let why = if most_here < most {
                format!(" (no more than a quarter of its {iops} IOPS)")
            } else {
                String::new()
            };
            return Err((
                format!(
                    "{name} takes {least} to {most_here} MiB/s here{why}, and {asked} were asked for"
                ),
                format!("choose --throughput from {least} to {most_here}, or more --iops"),
            ));
        }
        (out.throughput, out.throughput_from) = (Some(asked), Source::Asked);
        return Ok(());
    }
    if let Some((mibs, from)) = had {
        let fits = mibs.clamp(least, most_here);
        if fits != mibs {
            out.notes.push(format!(
                "the source's {mibs} MiB/s are more than {iops} IOPS allow, so it gets {fits}"
            ));
        }
        (out.throughput, out.throughput_from) = (Some(fits), from);
    }
    Ok(())
}
