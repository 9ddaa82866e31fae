//! What a volume was when its snapshot was taken: what `CreateVolume` needs to make the same again, and what a
//! snapshot does not hold. It is written on each snapshot as one tag, so that it outlives the volume and this machine.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use super::tags;
use super::volume::Volume;

/// Type, performance, size, zone and key of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// `gp3`, `io2`, `st1`, …
    pub volume_type: String,
    /// Provisioned operations per second, of the types that are told them.
    pub iops: Option<u32>,
    /// Provisioned throughput in MiB/s, of gp3.
    pub throughput: Option<u32>,
    /// Size in GiB; 0 when unknown.
    pub gib: u32,
    /// Availability zone.
    pub zone: String,
    /// Its key, when encrypted.
    pub kms_key: Option<String>,
}

impl VolumeRecord {
    /// Of a volume as EC2 shows it. IOPS that follow from the size (gp2) are not recorded: nobody can ask for them.
    pub fn of(volume: &Volume) -> Self {
        let provisioned = matches!(volume.volume_type.as_str(), "gp3" | "io1" | "io2");
        Self {
            volume_type: volume.volume_type.clone(),
            iops: volume.iops.filter(|_| provisioned),
            throughput: volume.throughput.filter(|_| volume.volume_type == "gp3"),
            gib: volume.size_gib,
            zone: volume.zone.clone(),
            kms_key: volume.kms_key.clone(),
        }
    }

    /// As it stands in the tag of a snapshot. Anybody may write a tag: what cannot be read is no record.
    pub fn on(snapshot: &Snapshot) -> Option<Self> {
        snapshot.tags.get(tags::VOLUME).and_then(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut record = Self::default();
        for pair in text.split_ascii_whitespace() {
            // A word that a later version writes is passed over.
            let (key, value) = pair.split_once('=')?;
            match key {
                "type" => value.clone_into(&mut record.volume_type),
                "iops" => record.iops = Some(value.parse().ok()?),
                "mibs" => record.throughput = Some(value.parse().ok()?),
                "gib" => record.gib = value.parse().ok()?,
                "zone" => value.clone_into(&mut record.zone),
                "key" => record.kms_key = Some(value.to_owned()),
                _ => {}
            }
        }
        (!record.volume_type.is_empty()).then_some(record)
    }
}

/// The value of the tag `freezeframe:volume`, such as `type=gp3 iops=6000 mibs=400 gib=100 zone=eu-central-1a`.
/// The key comes last, and is left out where it does not fit any more.
impl fmt::Display for VolumeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("type={}", self.volume_type);
        for (key, number) in [("iops", self.iops), ("mibs", self.throughput)] {
            if let Some(number) = number {
                text.push_str(&format!(" {key}={number}"));
            }
        }
        text.push_str(&format!(" gib={} zone={}", self.gib, self.zone));
        let key = self.kms_key.as_ref().map(|key| format!(" key={key}"));
        let fits = |key: &String| text.chars().count() + key.chars().count() <= tags::MAX_VALUE;
        let key = key.filter(fits).unwrap_or_default();
        write!(f, "{text}{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        for record in [
            VolumeRecord {
                volume_type: "gp3".into(),
                iops: Some(6_000),
                throughput: Some(400),
                gib: 100,
                zone: "eu-central-1a".into(),
                kms_key: Some(arn.into()),
            },
            VolumeRecord {
                volume_type: "st1".into(),
                gib: 500,
                zone: "us-gov-west-1b".into(),
                ..VolumeRecord::default()
            },
        ] {
            let text = record.to_string();
            assert!(text.len() <= tags::MAX_VALUE, "{text}");
            assert_eq!(VolumeRecord::parse(&text), Some(record));
        }
        let long = VolumeRecord {
            volume_type: "gp3".into(),
            kms_key: Some("k".repeat(300)),
            ..VolumeRecord::default()
        };
        assert!(long.to_string().len() <= tags::MAX_VALUE);
    }

    #[test]
    fn what_cannot_be_read_is_no_record() {
        for bad in ["", "gp3", "type=", "type=gp3 iops=many", "iops=3000", "a=b"] {
            assert_eq!(VolumeRecord::parse(bad), None, "{bad:?}");
        }
        let later = VolumeRecord::parse("type=gp3 colour=blue gib=4").unwrap();
        assert_eq!((later.gib, later.iops), (4, None));
    }
}
