//! A small fixed model, and hands to type with.
#![expect(clippy::unwrap_used, clippy::panic, reason = "hands of tests")]

use chrono::{DateTime, TimeDelta, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use freezeframe::config::theme::Theme;
use freezeframe::domain::credentials::{How, Source};
use freezeframe::domain::ids::{
    AccountId, InstanceId, JobId, Region, RunId, Scope, SnapshotId, VolumeId,
};
use freezeframe::domain::instance::{Agent, BlockDevice, Instance, Platform};
use freezeframe::domain::job::{
    EvidenceReport, JobSpec, JobView, Mode, OnFailure, Phase, PhaseRecord,
};
use freezeframe::domain::level::Origin;
use freezeframe::domain::problem::{Kind, Problem};
use freezeframe::domain::snapshot::{Snapshot, origin};
use freezeframe::domain::tags::{self, Tags};
use freezeframe::domain::volume::{Attachment, Volume};
use freezeframe::tui::app::view::draw;
use freezeframe::tui::app::{App, Input};
use freezeframe::tui::effect::Effect;
use freezeframe::tui::message::{Identity, Message, Part};
use freezeframe::tui::style::{Depth, Styles};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

pub const DB: &str = "i-0d000000000000001";
pub const WEB: &str = "i-0d000000000000002";
pub const JOB_1: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f10";
pub const JOB_2: &str = "0b3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f11";
pub const RUN: &str = "7a3c8a52-6f0d-4a6e-9a51-0f2f3f1f7f99";

/// 2026-11-20 12:00:00 UTC, the moment at which every test happens.
pub fn noon() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

pub fn scope() -> Scope {
    Scope {
        account: AccountId::from_api("123456789012"),
        region: Region::from_api("eu-central-1"),
    }
}

pub fn identity() -> Identity {
    Identity {
        scope: scope(),
        arn: "arn:aws:sts::123456789012:assumed-role/BackupOperator/anna".into(),
        source: Source::Profile {
            name: "prod".into(),
            how: How::CredentialsFile,
        },
        read_only: false,
        lab: None,
        own_world: false,
        elsewhere: None,
    }
}

fn instance(id: &str, name: &str, recipe: Option<&str>, volumes: &[(&str, &str)]) -> Instance {
    let mut tags: Tags = [("Env", "prod")].into_iter().collect();
    if !name.is_empty() {
        tags.set("Name", name);
    }
    if let Some(recipe) = recipe {
        tags.set(tags::CONSISTENT_SNAPSHOT, recipe);
    }
    Instance {
        scope: scope(),
        id: InstanceId::from_api(id),
        state: "running".into(),
        platform: Platform::Linux,
        platform_details: "Linux/UNIX".into(),
        instance_type: "m7g.large".into(),
        zone: "eu-central-1a".into(),
        root_device: "/dev/xvda".into(),
        devices: volumes
            .iter()
            .map(|(device, volume)| BlockDevice {
                device: (*device).into(),
                volume: VolumeId::from_api(*volume),
                delete_on_termination: *device == "/dev/xvda",
            })
            .collect(),
        launched: Some(noon() - TimeDelta::days(40)),
        tags,
        agent: Agent::Online {
            version: "3.3.551.0".into(),
            last_ping: Some(noon() - TimeDelta::seconds(70)),
        },
    }
}

/// One that is well, and one for each thing that can be wrong: hostile, wide and long names, lost
/// agent, unknown recipe, stopped, Windows, no tag.
pub fn instances() -> Vec<Instance> {
    let root = "vol-0a000000000000001";
    let mut lost = instance(
        "i-0d000000000000003",
        "数据库主机-北京-生产环境-第一号",
        Some("linux-mysql"),
        &[],
    );
    lost.agent = Agent::Lost {
        last_ping: Some(noon() - TimeDelta::hours(3)),
    };
    let mut stopped = instance(
        "i-0d000000000000005",
        "batch-nightly",
        Some("linux-filesystem"),
        &[],
    );
    stopped.state = "stopped".into();
    stopped.agent = Agent::Absent;
    let mut windows = instance(
        "i-0d000000000000006",
        "erp-windows",
        Some("WindowsVSS"),
        &[],
    );
    windows.platform = Platform::Windows;
    windows.platform_details = "Windows with SQL Server".into();
    let hostile = "evil\u{1b}]52;c;cm0gLXJm\u{7}\u{202e}name";
    vec![
        instance(
            DB,
            "db-primary",
            Some("linux-mysql"),
            &[("/dev/xvda", root), ("/dev/sdf", "vol-0a000000000000002")],
        ),
        instance(
            WEB,
            "web-1",
            Some("linux-filesystem"),
            &[("/dev/xvda", "vol-0a000000000000003")],
        ),
        lost,
        instance("i-0d000000000000004", hostile, Some("linux-mysqll"), &[]),
        stopped,
        windows,
        instance(
            "i-0d000000000000007",
            "a-very-long-name-that-goes-on-and-on-until-nobody-reads-it-any-more",
            None,
            &[],
        ),
    ]
}

fn volume(id: &str, name: &str, size: u32, at: Option<(&str, &str)>) -> Volume {
    Volume {
        scope: scope(),
        id: VolumeId::from_api(id),
        state: if at.is_some() {
            "in-use".into()
        } else {
            "available".into()
        },
        size_gib: size,
        volume_type: "gp3".into(),
        iops: Some(3000),
        throughput: Some(125),
        encrypted: true,
        kms_key: Some("arn:aws:kms:eu-central-1:123456789012:key/1".into()),
        zone: "eu-central-1a".into(),
        from_snapshot: None,
        created: Some(noon() - TimeDelta::days(40)),
        attachments: at
            .map(|(instance, device)| Attachment {
                instance: InstanceId::from_api(instance),
                device: device.into(),
                state: "attached".into(),
            })
            .into_iter()
            .collect(),
        tags: if name.is_empty() {
            Tags::default()
        } else {
            [("Name", name)].into_iter().collect()
        },
    }
}

pub fn volumes() -> Vec<Volume> {
    vec![
        volume(
            "vol-0a000000000000001",
            "db-root",
            8,
            Some((DB, "/dev/xvda")),
        ),
        volume(
            "vol-0a000000000000002",
            "db-data",
            500,
            Some((DB, "/dev/sdf")),
        ),
        volume("vol-0a000000000000003", "", 30, Some((WEB, "/dev/xvda"))),
        volume("vol-0a000000000000004", "left\u{1b}[2Jover", 16000, None),
    ]
}

fn snapshot(id: &str, volume: &str, hours: i64, pairs: &[(&str, &str)]) -> Snapshot {
    let mut tags: Tags = pairs.iter().copied().collect();
    if tags.get(tags::LEVEL).is_some_and(|l| l != "pending") {
        tags.set(tags::SNAPSHOT, id);
    }
    let mut row = Snapshot {
        scope: scope(),
        id: SnapshotId::from_api(id),
        volume: VolumeId::from_api(volume),
        state: "completed".into(),
        progress: Some(100),
        started: noon() - TimeDelta::hours(hours),
        completed: Some(noon() - TimeDelta::hours(hours) + TimeDelta::minutes(7)),
        volume_gib: if volume.ends_with('2') { 500 } else { 8 },
        full_bytes: Some(3 << 30),
        encrypted: true,
        tier: "standard".into(),
        description: "nightly".into(),
        origin: Origin::Manual,
        tags,
    };
    row.origin = origin(&row);
    row
}

/// Two sets of the database (one proven, one pending), one snapshot of DLM, one made by hand with a
/// hostile description.
pub fn snapshots() -> Vec<Snapshot> {
    let ours = |job: &'static str, level: &'static str, device: &'static str| {
        [
            (tags::JOB, job),
            (tags::LEVEL, level),
            (tags::RECIPE, "linux-mysql"),
            (tags::INSTANCE, DB),
            (tags::DEVICE, device),
            (tags::SET_SIZE, "2"),
        ]
        .into_iter()
        .chain((device != "/dev/xvda").then_some((tags::FROZEN_MS, "812")))
        .collect::<Vec<_>>()
    };
    let mut copying = snapshot(
        "snap-0b000000000000003",
        "vol-0a000000000000001",
        0,
        &ours(JOB_2, "pending", "/dev/xvda"),
    );
    copying.state = "pending".into();
    copying.progress = Some(42);
    copying.completed = None;
    let mut by_hand = snapshot("snap-0b000000000000006", "vol-0a000000000000003", 300, &[]);
    by_hand.description = "before\nupgrade \u{9b}31m\u{200b}x".into();
    vec![
        copying,
        snapshot(
            "snap-0b000000000000004",
            "vol-0a000000000000002",
            0,
            &ours(JOB_2, "pending", "/dev/sdf"),
        ),
        snapshot(
            "snap-0b000000000000001",
            "vol-0a000000000000001",
            26,
            &ours(JOB_1, "crash", "/dev/xvda"),
        ),
        snapshot(
            "snap-0b000000000000002",
            "vol-0a000000000000002",
            26,
            &ours(JOB_1, "application", "/dev/sdf"),
        ),
        snapshot(
            "snap-0b000000000000005",
            "vol-0a000000000000003",
            50,
            &[("aws:dlm:lifecycle-policy-id", "policy-0123456789abcdef0")],
        ),
        by_hand,
    ]
}

/// A job of the database that is in that phase since half a second.
pub fn job(phase: Phase) -> JobView {
    JobView {
        spec: JobSpec {
            job: JobId::from_api(JOB_2),
            run: RunId::from_api(RUN),
            scope: scope(),
            instance: InstanceId::from_api(DB),
            instance_name: "db-primary".into(),
            recipe: "linux-mysql".into(),
            document: "freezeframe-linux-mysql".into(),
            mode: Mode::Coordinated,
            asked_mode: None,
            mode_reason: None,
            budget_s: 30,
            on_failure: OnFailure::Skip,
            mounts: Vec::new(),
            namespace: "Organization/Backup".into(),
            freeze_root: false,
            parameters: std::collections::BTreeMap::new(),
            group: None,
            third_party: false,
            set_options: Default::default(),
        },
        phase,
        verdict: None,
        thaw_unconfirmed: false,
        phases: vec![PhaseRecord {
            phase,
            started: noon() - TimeDelta::milliseconds(500),
            ended: None,
            failed: false,
        }],
        frozen_since: (phase == Phase::Frozen).then(|| noon() - TimeDelta::milliseconds(500)),
        freezing: freezeframe::domain::held::Freezing::Unrecorded,
        freeze_window_ms: None,
        set: Vec::new(),
        set_plan: None,
        preflight_notes: Vec::new(),
        evidence: EvidenceReport::default(),
        pending_labels: Vec::new(),
        set_unseen: false,
        earns: None,
        error: None,
        waiting: None,
    }
}

pub fn problem() -> Problem {
    Problem::new(
        Kind::Denied,
        "read snapshots of eu-central-1",
        "User anna is not authorized to perform ec2:DescribeSnapshots",
        "attach the policy freezeframe-read to the role BackupOperator",
    )
    .with_code("UnauthorizedOperation")
}

/// The console, a clock that stands still, and what it asked for.
pub struct Hands {
    pub app: App,
    pub now: DateTime<Utc>,
    /// Every effect so far.
    pub asked: Vec<Effect>,
}

impl Hands {
    /// A console that has asked and knows nothing yet.
    pub fn new(depth: Depth) -> Self {
        let styles = Styles::new(Theme::builtin("freezeframe").unwrap(), depth);
        let mut app = App::new(styles, || RUN.to_owned());
        let asked = app.start();
        Self {
            app,
            now: noon(),
            asked,
        }
    }

    /// A console that has read the whole small model.
    pub fn loaded() -> Self {
        let mut hands = Self::new(Depth::Truecolor);
        hands.load();
        hands
    }

    /// Answers the last question for the fleet and the jobs.
    pub fn load(&mut self) {
        self.load_fleet();
        self.load_jobs(Vec::new());
    }

    /// Answers the last question for the fleet.
    pub fn load_fleet(&mut self) {
        self.part(Part::Identity(Ok(identity())));
        self.part(Part::Instances(Ok(instances())));
        self.part(Part::Volumes(Ok(volumes())));
        self.part(Part::Snapshots(Ok((snapshots(), Vec::new()))));
    }

    /// Answers the last question for the jobs.
    pub fn load_jobs(&mut self, rows: Vec<JobView>) {
        let jobs = self.asked.iter().rev().find_map(|e| match e {
            Effect::LoadJobs(generation) => Some(*generation),
            _ => None,
        });
        self.message(Message::Jobs {
            generation: jobs.unwrap(),
            result: Ok(rows),
        });
    }

    /// Generation of the last question for the fleet.
    pub fn generation(&self) -> u64 {
        let last = self.asked.iter().rev().find_map(|e| match e {
            Effect::LoadFleet(generation) => Some(*generation),
            _ => None,
        });
        last.unwrap()
    }

    pub fn part(&mut self, part: Part) {
        let generation = self.generation();
        self.message(Message::Fleet { generation, part });
    }

    pub fn message(&mut self, message: Message) -> Vec<Effect> {
        self.input(Input::Message(Box::new(message)))
    }

    pub fn input(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.app.update(input, self.now);
        self.asked.extend(effects.iter().cloned());
        effects
    }

    /// Presses keys one after the other: characters, and `<Enter> <Esc> <Tab> <BackTab> <Up> <Down>
    /// <Left> <Right> <C-x>`. Returns the effects.
    pub fn press(&mut self, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut rest = keys;
        while let Some(c) = rest.chars().next() {
            let (event, used) = match (c, rest.find('>')) {
                ('<', Some(end)) => (named(&rest[1..end]), end + 1),
                _ => (
                    KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE),
                    c.len_utf8(),
                ),
            };
            rest = &rest[used..];
            effects.extend(self.input(Input::Key(event)));
        }
        effects
    }

    /// What is on the screen at that size.
    pub fn buffer(&self, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| draw(frame, &self.app, self.now))
            .unwrap();
        terminal.backend().buffer().clone()
    }

    /// The same as text, one line per row, trailing blanks cut.
    pub fn screen(&self, width: u16, height: u16) -> String {
        let buffer = self.buffer(width, height);
        let mut out = String::new();
        for y in 0..height {
            let mut line = String::new();
            let mut skip = 0;
            for x in 0..width {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let symbol = buffer[(x, y)].symbol();
                skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

fn named(name: &str) -> KeyEvent {
    let (code, modifiers) = match name {
        "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
        "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
        "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
        "BackTab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
        "Up" => (KeyCode::Up, KeyModifiers::NONE),
        "Down" => (KeyCode::Down, KeyModifiers::NONE),
        "Left" => (KeyCode::Left, KeyModifiers::NONE),
        "Right" => (KeyCode::Right, KeyModifiers::NONE),
        "BS" => (KeyCode::Backspace, KeyModifiers::NONE),
        "F1" => (KeyCode::F(1), KeyModifiers::NONE),
        other => match other.strip_prefix("C-").and_then(|c| c.chars().next()) {
            Some(c) => (KeyCode::Char(c), KeyModifiers::CONTROL),
            None => panic!("no key is called {other}"),
        },
    };
    KeyEvent::new(code, modifiers)
}
