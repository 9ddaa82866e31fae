//! Single snapshots that every tool meets one day: pending, failed, locked, shared, public, orphaned, oddly named.

use chrono::{DateTime, Duration, Utc};

use super::past::finished;
use crate::world::{
    Image, Lock, Platform, Snapshot, SnapshotState, Tags, Transition, Volume, VolumeType, World,
};

/// A stranger with whom we share.
const OTHER_ACCOUNT: &str = "210987654321";

fn tags<const N: usize>(pairs: [(&str, &str); N]) -> Tags {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

struct Workshop<'a> {
    world: &'a mut World,
    volumes: Vec<Volume>,
}

impl Workshop<'_> {
    /// A snapshot of one of the fleet's volumes.
    fn make(
        &mut self,
        which: usize,
        days: i64,
        description: &str,
        tags: Tags,
        change: impl FnOnce(&mut Snapshot, &World),
    ) -> Option<String> {
        let volume = self.volumes.get(which % self.volumes.len().max(1))?.clone();
        let start: DateTime<Utc> =
            self.world.now - Duration::days(days) - Duration::minutes(self.world.rng.i64(1..600));
        let mut snapshot = finished(self.world, &volume, start, description.to_owned(), tags);
        change(&mut snapshot, self.world);
        let id = snapshot.id.clone();
        self.world.snapshots.insert(id.clone(), snapshot);
        Some(id)
    }
}

/// Adds the odd snapshots to a world.
pub fn build(world: &mut World) {
    // A pending or failed snapshot would keep a throughput volume from ever being snapshotted again.
    let usual = |volume: &&Volume| {
        volume.attached_to.is_some()
            && !matches!(volume.volume_type, VolumeType::St1 | VolumeType::Sc1)
    };
    let attached: Vec<Volume> = world.volumes.values().filter(usual).cloned().collect();
    let mut shop = Workshop {
        world,
        volumes: attached,
    };
    pending(&mut shop);
    shop.make(
        1,
        9,
        "failed: key gone",
        tags([("Name", "nightly copy")]),
        |snapshot, _| {
            snapshot.state = SnapshotState::Error;
            snapshot.state_message = Some("Given key ID is not accessible".into());
        },
    );
    shop.make(
        2,
        40,
        "quarter close, do not delete",
        tags([("Name", "ledger Q3")]),
        |snapshot, world| {
            snapshot.lock = Some(Lock {
                mode: "governance".into(),
                created: world.now - Duration::days(39),
                days: 365,
            });
        },
    );
    shop.make(
        3,
        15,
        "shared with the auditors",
        tags([("Name", "audit copy")]),
        |snapshot, _| snapshot.shared_with.push(OTHER_ACCOUNT.into()),
    );
    shop.make(
        4,
        5,
        "golden data set",
        tags([("Name", "golden")]),
        |snapshot, world| snapshot.fast_restore.push(format!("{}a", world.region)),
    );
    shop.make(
        5,
        200,
        "volume of an instance that is gone",
        tags([("Name", "legacy-crm data")]),
        |snapshot, world| {
            snapshot.volume = format!("vol-{:017x}", u64::from(world.rng.clone().u32(..)));
        },
    );
    shop.make(
        6,
        33,
        "copied from eu-west-1",
        tags([("Name", "DR copy")]),
        |snapshot, _| snapshot.volume = "vol-ffffffff".into(),
    );
    shop.make(
        7,
        21,
        "Sicherung vor Umzug – 資料庫 🧊",
        tags([("Name", "Müller & Söhne – 資料庫 🧊"), ("Größe", "groß")]),
        |_, _| {},
    );
    shop.make(
        8,
        12,
        "odd",
        tags([
            ("Name", "  <b>\"quoted\"\t& 'tabbed'\n</b> \u{202e}txet"),
            ("empty", ""),
        ]),
        |_, _| {},
    );
    images(&mut shop);
    strangers(&mut shop);
}

fn pending(shop: &mut Workshop<'_>) {
    let Some(id) = shop.make(
        0,
        0,
        "in progress",
        tags([("Name", "manual, running")]),
        |snapshot, world| {
            snapshot.state = SnapshotState::Pending;
            snapshot.start = world.now - Duration::seconds(90);
            snapshot.completes = world.now + Duration::seconds(240);
        },
    ) else {
        return;
    };
    let completes = shop
        .world
        .snapshots
        .get(&id)
        .map(|snapshot| snapshot.completes);
    if let Some(at) = completes {
        shop.world.at(at, Transition::SnapshotDone(id));
    }
}

/// AMIs hold their snapshots: an available, a disabled and a deprecated one.
fn images(shop: &mut Workshop<'_>) {
    for (which, name, state, deprecated, days) in [
        (9, "web-golden-2026-10", "available", false, 30_i64),
        (10, "web-golden-2026-04", "disabled", false, 210),
        (11, "bastion-2025-12", "available", true, 330),
    ] {
        let id = shop.world.new_id("ami");
        let description = format!("Created by CreateImage(i-0) for {id}");
        let Some(snapshot) = shop.make(which, days, &description, Tags::new(), |_, _| {}) else {
            continue;
        };
        let image = Image {
            id: id.clone(),
            name: name.to_owned(),
            description: String::new(),
            owner: shop.world.account.clone(),
            owner_alias: None,
            public: false,
            platform: Platform::Linux,
            created: shop.world.now - Duration::days(days),
            state: state.to_owned(),
            deprecated,
            root_device_name: "/dev/xvda".into(),
            mappings: vec![("/dev/xvda".into(), snapshot)],
            size_gib: 8,
            tags: tags([("Name", name)]),
            source_instance: None,
        };
        shop.world.images.insert(id, image);
    }
}

/// What DescribeSnapshots drags in when nobody says `self`.
fn strangers(shop: &mut Workshop<'_>) {
    for (n, owner, alias, description) in [
        (
            1,
            "137112412989",
            Some("amazon"),
            "al2023-ami-2023.9.20261020",
        ),
        (
            2,
            "137112412989",
            Some("amazon"),
            "Windows_Server-2025-English-Full-Base",
        ),
        (
            3,
            "099720109477",
            None,
            "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server",
        ),
        (4, OTHER_ACCOUNT, None, "free weather data set"),
    ] {
        shop.make(0, 10 * n, description, Tags::new(), |snapshot, _| {
            snapshot.owner = owner.to_owned();
            snapshot.owner_alias = alias.map(str::to_owned);
            snapshot.public = true;
            snapshot.volume = "vol-ffffffff".into();
            snapshot.volume_size_gib = 8;
            snapshot.encrypted = false;
            snapshot.kms_key = None;
        });
    }
}
