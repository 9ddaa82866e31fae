//! Jobs, metrics, plans and restores as they come from below.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]

use chrono::{DateTime, TimeDelta, Utc};
use freezeframe::domain::ids::{CommandId, InstanceId, JobId, SnapshotId, VolumeId};
use freezeframe::domain::job::{JobView, Link, Member, Phase, PhaseRecord, Verdict};
use freezeframe::domain::level::Level;
use freezeframe::domain::metrics::{Metric, Series};
use freezeframe::domain::problem::{Kind, Problem};
use freezeframe::domain::restore::{
    ItemStatus, PlannedCall, Purpose, RestoreItem, RestorePlan, RestoreView, Source, StepState,
};
use freezeframe::domain::retention::{Decision, Fate, PlannedSnapshot, Policy, PrunePlan};
use freezeframe::domain::tags::Tags;

use crate::support::{self, DB, JOB_1, noon, scope};

fn at(seconds: f64) -> DateTime<Utc> {
    let away = std::time::Duration::from_secs_f64(seconds.abs());
    let away = TimeDelta::from_std(away).unwrap();
    if seconds < 0.0 {
        noon() - away
    } else {
        noon() + away
    }
}

/// A job of that number and name with its phases: each begins so many seconds before (or after) noon.
pub fn job(n: u8, name: &str, phases: &[(Phase, f64)], ends: Option<f64>) -> JobView {
    let last = phases.last().unwrap().0;
    let mut job = support::job(last);
    job.spec.job = JobId::from_api(format!("0b3c8a52-6f0d-4a6e-9a51-0000000000{n:02x}"));
    job.spec.instance = InstanceId::from_api(format!("i-0d0000000000000{n:02x}"));
    job.spec.instance_name = name.to_owned();
    job.phases = phases
        .iter()
        .enumerate()
        .map(|(i, (phase, begun))| PhaseRecord {
            phase: *phase,
            started: at(*begun),
            ended: phases.get(i + 1).map(|(_, next)| *next).or(ends).map(at),
            failed: false,
        })
        .collect();
    job.frozen_since = None;
    job
}

pub fn member(n: u8, level: Level, progress: u8) -> Member {
    Member {
        snapshot: SnapshotId::from_api(format!("snap-0c0000000000000{n:02x}")),
        volume: VolumeId::from_api(format!("vol-0a0000000000000{n:02x}")),
        device: format!("/dev/sd{}", char::from(b'a' + n)),
        level,
        reason: match level {
            Level::Application => {
                "lock and freeze held from before the request until after its answer".into()
            }
            Level::Pending => "not judged yet".into(),
            _ => "root volume: in the set, but not frozen".into(),
        },
        progress,
        volume_gib: 100,
    }
}

/// Frozen since 412 ms of 30 s.
pub fn frozen(n: u8, name: &str, since_ms: i64) -> JobView {
    let mut job = job(
        n,
        name,
        &[
            (Phase::Queued, -2.9),
            (Phase::Preflight, -2.5),
            (Phase::Quiescing, -1.7),
            (Phase::Frozen, -0.4),
            (Phase::Snapshotting, -0.3),
        ],
        None,
    );
    job.frozen_since = Some(noon() - TimeDelta::milliseconds(since_ms));
    job
}

/// Well done an hour ago, with every link of evidence.
pub fn proven(n: u8, name: &str) -> JobView {
    let b = -3600.0;
    let mut job = job(
        n,
        name,
        &[
            (Phase::Queued, b - 75.0),
            (Phase::Preflight, b - 74.6),
            (Phase::Quiescing, b - 73.8),
            (Phase::Frozen, b - 72.6),
            (Phase::Snapshotting, b - 72.5),
            (Phase::Thawing, b - 72.2),
            (Phase::Verifying, b - 72.0),
            (Phase::Completing, b - 71.0),
            (Phase::Done, b),
        ],
        Some(b),
    );
    job.verdict = Some(Verdict::Application);
    job.freeze_window_ms = Some(412);
    job.set = vec![
        member(0, Level::Crash, 100),
        member(5, Level::Application, 100),
    ];
    job.evidence.links = [
        (
            "failsafe-armed",
            "pid 4711 alive in its own session before the first lock",
        ),
        ("lock-held", "FLUSH TABLES WITH READ LOCK in session 88"),
        ("frozen", "/data froze, FIFREEZE returned 0"),
        ("one-call", "both volumes in one CreateSnapshots"),
        (
            "lock-answered",
            "session 88 answered after the snapshot's response",
        ),
        ("own-thaw", "FITHAW returned 0"),
    ]
    .map(|(name, seen)| Link {
        name: name.into(),
        holds: true,
        seen: seen.into(),
    })
    .to_vec();
    job.evidence.frozen_mounts = vec!["/data".into()];
    job.evidence.pre_command = Some(CommandId::from_api("11111111-2222-4333-8444-555555555555"));
    job.evidence.post_command = Some(CommandId::from_api("66666666-2222-4333-8444-555555555555"));
    job
}

pub fn failed(n: u8, name: &str, hours_ago: f64) -> JobView {
    let b = -3600.0 * hours_ago;
    let mut job = job(
        n,
        name,
        &[
            (Phase::Queued, b - 1.0),
            (Phase::Preflight, b - 0.9),
            (Phase::Done, b),
        ],
        Some(b),
    );
    job.verdict = Some(Verdict::Failed);
    job.phases[1].failed = true;
    job.error = Some(
        Problem::new(
            Kind::Script,
            "freeze /data",
            "ext4 on /data is already frozen by \u{1b}[31manother owner",
            "find out who froze it: look for other backup tools on the instance",
        )
        .with_code("EBUSY"),
    );
    job
}

pub fn ended(n: u8, name: &str, verdict: Verdict) -> JobView {
    let mut job = proven(n, name);
    job.verdict = Some(verdict);
    if verdict == Verdict::Crash {
        job.evidence.failsafe_fired = true;
        job.evidence.links[5].holds = false;
        job.evidence.links[5].seen = "FITHAW answered EINVAL: it was thawed already".into();
    }
    if matches!(verdict, Verdict::Skipped | Verdict::Cancelled) {
        job.set.clear();
        job.freeze_window_ms = None;
    }
    job
}

pub fn unconfirmed(n: u8, name: &str) -> JobView {
    let mut job = failed(n, name, 0.1);
    job.thaw_unconfirmed = true;
    job.error = Some(Problem::new(
        Kind::Timeout,
        "thaw the filesystems",
        "the post-script did not answer within 60 s",
        "log in and run `fsfreeze -u` on each mount, or wait for the failsafe",
    ));
    job
}

/// Nightly numbers of two drives over 30 days, with a hole of five nights.
pub fn series() -> Vec<Series> {
    let mut out = Vec::new();
    for (drive, factor) in [("/dev/sdf", 1.0), ("/dev/sdg", 0.6)] {
        for metric in [
            Metric::FreezeDuration,
            Metric::ElapsedTime,
            Metric::Size,
            Metric::Errors,
        ] {
            let points = (0..30)
                .filter(|day| !(12..17).contains(day))
                .map(|day| {
                    let wave = 1.0 + f64::from(day % 5) / 10.0;
                    let value = match metric {
                        Metric::FreezeDuration => 400.0 * wave * factor,
                        Metric::ElapsedTime => 90.0 * wave * factor,
                        Metric::Size => 536_870_912_000.0 * factor,
                        Metric::Errors => f64::from(u8::from(day == 20)),
                    };
                    (
                        noon() - TimeDelta::days(30 - i64::from(day)) + TimeDelta::hours(2),
                        value,
                    )
                })
                .collect();
            let server = InstanceId::from_api(DB);
            out.push(Series {
                metric,
                server,
                drive: drive.into(),
                period_s: 3600,
                points,
            });
        }
    }
    out
}

fn decision(n: u8, fate: Fate, days: i64, reasons: &[&str]) -> Decision {
    Decision {
        job: Some(JobId::from_api(format!(
            "1b3c8a52-6f0d-4a6e-9a51-0000000000{n:02x}"
        ))),
        instance: Some(InstanceId::from_api(DB)),
        instance_name: "db-primary".into(),
        started: noon() - TimeDelta::days(days),
        level: Some(Level::Application),
        tagged: Some(Level::Application),
        fate,
        reasons: reasons.iter().map(|r| (*r).to_owned()).collect(),
        notes: Vec::new(),
        expected: Some(2),
        snapshots: [("/dev/xvda", 8, 0), ("/dev/sdf", 500, 100)]
            .map(|(device, volume_gib, add)| PlannedSnapshot {
                id: SnapshotId::from_api(format!("snap-0e0000000000000{:02x}", n + add)),
                volume: VolumeId::from_api(format!("vol-0a0000000000000{:02x}", add)),
                device: device.into(),
                volume_gib,
                state: "completed".into(),
                tagged: Some(Level::Application),
            })
            .to_vec(),
    }
}

pub fn prune_plan() -> PrunePlan {
    let mut not_ours = decision(
        6,
        Fate::Blocked,
        3,
        &["managed by DLM policy-0123456789abcdef0"],
    );
    not_ours.job = None;
    (not_ours.level, not_ours.tagged, not_ours.expected) = (None, None, None);
    not_ours.instance_name = "evil\u{1b}[2Jname".into();
    PrunePlan {
        scope: scope(),
        policy: Policy {
            keep_last: 1,
            keep_daily: 2,
            ..Policy::default()
        },
        made_at: noon() - TimeDelta::minutes(2),
        decisions: vec![
            decision(
                1,
                Fate::Keep,
                1,
                &[
                    "last 1 of 1",
                    "daily 2026-11-19",
                    "newest proven set of vol-0a000000000000064",
                ],
            ),
            decision(2, Fate::Keep, 2, &["daily 2026-11-18"]),
            decision(3, Fate::Delete, 3, &[]),
            decision(4, Fate::Delete, 4, &[]),
            decision(5, Fate::Blocked, 5, &["used by ami-0123456789abcdef0"]),
            not_ours,
        ],
    }
}

pub fn restore_plan() -> RestorePlan {
    RestorePlan {
        id: "5b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f55".into(),
        scope: scope(),
        purpose: Purpose::BesideTheData,
        set: JobId::from_api(JOB_1),
        point_in_time: noon() - TimeDelta::hours(26),
        target: InstanceId::from_api(DB),
        target_name: "db-primary".into(),
        items: vec![RestoreItem {
            snapshot: SnapshotId::from_api("snap-0b000000000000002"),
            source: VolumeId::from_api("vol-0a000000000000002"),
            level: Level::Application,
            size_gib: 500,
            zone: "eu-central-1a".into(),
            volume_type: "gp3".into(),
            iops: Some(3000),
            throughput: Some(125),
            type_from: Source::SourceVolume,
            iops_from: Source::SourceVolume,
            throughput_from: Source::SourceVolume,
            encrypted: false,
            encrypt: false,
            kms_key: None,
            same_filesystems: Vec::new(),
            tags_left_off: Vec::new(),
            device: "/dev/sdg".into(),
            mount: Some("/mnt/restore/sdf".into()),
            tags: Tags::default(),
            client_token: "5b3c8a52-snap-0b000000000000002".into(),
        }],
        calls: vec![
            PlannedCall {
                operation: "CreateVolume".into(),
                words: "a volume of 500 GiB gp3 from snap-0b000000000000002".into(),
                cli: "aws ec2 create-volume --snapshot-id snap-0b000000000000002 --availability-zone \
                      eu-central-1a --volume-type gp3 --client-token 5b3c8a52-snap-0b000000000000002"
                    .into(),
            },
            PlannedCall {
                operation: "AttachVolume".into(),
                words: "attach it to db-primary".into(),
                cli: "aws ec2 attach-volume --volume-id $VOLUME_1 --instance-id i-0d000000000000001 --device /dev/sdg".into(),
            },
        ],
        warnings: vec!["InnoDB replays its redo log at the first start".into()],
        notes: vec!["the copies carry the tag freezeframe:exclude".into()],
    }
}

pub fn restore_view(state: StepState, note: &str) -> RestoreView {
    let plan = restore_plan();
    let known = state > StepState::Creating;
    RestoreView {
        items: vec![ItemStatus {
            snapshot: plan.items[0].snapshot.clone(),
            volume: known.then(|| VolumeId::from_api("vol-0f000000000000001")),
            state,
            note: note.to_owned(),
        }],
        finished: state >= StepState::Done,
        plan,
    }
}
