//! A name never stands alone where it is not unique: three instances named `web`, on every screen, in every dialog.

use super::support::{DB, Hands, WEB, instances, job, volumes};
use freezeframe::domain::ids::{InstanceId, JobId};
use freezeframe::domain::instance::Instance;
use freezeframe::domain::job::{JobView, Phase, Verdict};
use freezeframe::tui::message::{Message, Part};

/// The first three that run share a name.
fn webs() -> Vec<Instance> {
    let mut rows = instances();
    for row in [0, 1, 4] {
        rows[row].tags.set("Name", "web");
    }
    rows
}

fn of(n: u8, instance: &str, phase: Phase) -> JobView {
    let mut job = job(phase);
    job.spec.job = JobId::from_api(format!("0b3c8a52-6f0d-4a6e-9a51-0000000000{n:02x}"));
    job.spec.instance = InstanceId::from_api(instance);
    job.spec.instance_name = "web".into();
    if phase == Phase::Done {
        job.verdict = Some(Verdict::Failed);
        job.thaw_unconfirmed = true;
    }
    job
}

fn arrive(keys: &str) -> Hands {
    let mut hands = Hands::loaded();
    hands.part(Part::Instances(Ok(webs())));
    let mut rows = volumes();
    for volume in &mut rows[..2] {
        volume.tags.set("Name", "data");
    }
    hands.part(Part::Volumes(Ok(rows)));
    for job in [
        of(1, DB, Phase::Frozen),
        of(2, WEB, Phase::Preflight),
        // One whose instance is gone and whose name another has.
        of(3, "i-0d0000000000000ff", Phase::Done),
    ] {
        hands.message(Message::Job(Box::new(job)));
    }
    hands.press(keys);
    hands
}

/// Whether the name stands somewhere without an end of an id, or a whole one, behind it.
fn stands_alone(screen: &str, name: &str) -> bool {
    // Where a dialog's border begins right behind it, the rest lies under the dialog.
    let covered = |line: &str| {
        "│┌└".chars().fold(line.to_owned(), |line, border| {
            let border = format!("{name}{border}");
            match line.strip_suffix(&border) {
                Some(rest) => format!("{}{border}", rest.replace(&border, "")),
                None => line.replace(&border, ""),
            }
        })
    };
    let screen: Vec<String> = screen.lines().map(covered).collect();
    let screen = screen.join("\n");
    let flat: Vec<&str> = screen
        .split(|c: char| c.is_whitespace() || "│┌┐└┘─".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let told = |next: Option<&&str>| {
        next.is_some_and(|next| {
            let id = next.trim_start_matches('(');
            let digits = id.strip_prefix('…').unwrap_or_default();
            id.starts_with("i-0d") || id.starts_with("vol-0a") || digits.chars().count() >= 5
        })
    };
    let bare = |word: &str| word.trim_matches(['[', ']', ',', '.', ':', ';', '>', '*']) == name;
    (0..flat.len()).any(|n| bare(flat[n]) && !told(flat.get(n + 1)))
}

#[test]
fn a_name_that_three_have_never_stands_alone() {
    for keys in [
        "",
        "a",
        "s",
        "gvGs",
        "r",
        "rG<Enter>",
        "2",
        "2a",
        "3",
        "3a",
        "3jj<Enter>",
        "4",
        "4a",
        "4<Enter>",
        "4j<Enter>",
        "4x",
        "4X",
        "4jx",
        "4t",
        "5",
        "5<Enter>",
        "<C-c>",
        "7",
    ] {
        for (width, height) in [(80, 24), (40, 10), (120, 40), (200, 50)] {
            let keys = if keys.starts_with(|c: char| c.is_ascii_digit()) {
                keys.to_owned()
            } else {
                format!("/web<Enter><Esc>/id={DB}<Enter>{keys}")
            };
            let screen = arrive(&keys).screen(width, height);
            let screen = screen.replace("/web", "");
            for name in ["web", "data"] {
                // "beside the data" is no volume.
                let words = screen.replace("the data", "").replace("its data", "");
                assert!(
                    !stands_alone(&words, name),
                    "{name} by {keys:?} at {width}x{height}:\n{screen}"
                );
            }
        }
    }
}

#[test]
fn a_name_that_one_has_stands_alone() {
    let mut hands = Hands::loaded();
    let fleet = hands.screen(80, 24);
    assert!(
        fleet.contains("db-primary ") && !fleet.contains("…00001"),
        "{fleet}"
    );
    // In a review it never does.
    hands.press("/db-primary<Enter>s");
    let narrow = hands.screen(60, 24);
    assert!(narrow.contains("db-primary …00001"), "{narrow}");
    let wide = hands.screen(80, 24);
    assert!(wide.contains(&format!("db-primary ({DB})")), "{wide}");
}
