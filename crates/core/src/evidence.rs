//! From what was seen to what may be claimed. Every link of the chain is examined by itself; a level
//! above `crash` needs every link of the freeze chain, `application` those of the lock chain as well.
//! Order of events decides, never a clock.

mod links;

use super::command::CommandReport;
use super::ids::{JobId, SnapshotId, VolumeId};
use super::job::{EvidenceReport, Mode};
use super::kept;
use super::level::Level;
use super::preflight::PreflightFacts;
use super::snapshot::CreatedSnapshot;
use super::text::visible;
use super::trace::Trace;
use links::Sides;

/// What the console itself knows of the snapshot call, by the order of its own events. In autonomous mode
/// it knows nothing of it: the one trace tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallOrder {
    /// `pre-script` was known to have ended well, with everything frozen, before the request was made.
    pub frozen_before_request: bool,
    /// The set is the answer to the one request, not the find of a search by tag.
    pub answered: bool,
    /// That answer was in hand before the release was sent.
    pub answered_before_release: bool,
}

/// Everything the judgement rests on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The job; every trace must be of it.
    pub job: &'a JobId,
    /// Who made the call: two traces and the console's own order, or one trace.
    pub mode: Mode,
    /// The document is somebody else's, and need not speak FF1.
    pub third_party: bool,
    /// What preflight learned.
    pub preflight: Option<&'a PreflightFacts>,
    /// `pre-script`; `snapshot` in autonomous mode.
    pub pre: Option<&'a CommandReport>,
    /// The `post-script` that thawed; in autonomous mode one that had to help.
    pub post: Option<&'a CommandReport>,
    /// Order of the console's own events.
    pub call: CallOrder,
    /// The set; in autonomous mode as EC2 shows it by its tag.
    pub snapshots: &'a [CreatedSnapshot],
}

/// The judgement on one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// What may be claimed: `crash`, `filesystem` or `application`.
    pub level: Level,
    /// Why, in words.
    pub reason: String,
    /// The recipe froze something on it.
    pub covered: bool,
}

/// Judges the evidence: the report for people, and a level with its reason for every snapshot.
/// One broken link of the freeze chain leaves the whole set at `crash`, a volume missing from the
/// answer included: half a set is no point in time.
pub fn judge(facts: &Facts<'_>) -> (EvidenceReport, Vec<Judged>) {
    let empty = Trace::default();
    let none = PreflightFacts::default();
    let pre = facts.pre.map_or(&empty, |told| &told.trace);
    let helped = facts.post.map_or(&empty, |told| &told.trace);
    let preflight = facts.preflight.unwrap_or(&none);
    let sides = Sides {
        facts,
        preflight,
        pre,
        // In autonomous mode one trace tells both halves; a thaw that had to be sent proves nothing.
        post: match facts.mode {
            Mode::Coordinated => helped,
            Mode::Autonomous => pre,
        },
    };
    let chain = sides.chain(preflight.engine.is_some());
    let silent = facts.third_party && pre.lines.is_empty() && helped.lines.is_empty();
    let judged = facts
        .snapshots
        .iter()
        .map(|made| {
            let covered = sides.preflight.covered_volumes().contains(&made.volume);
            let (level, reason) = if silent {
                (Level::Crash, NO_EVIDENCE.to_owned())
            } else if !covered {
                (Level::Crash, not_covered(preflight, &made.volume))
            } else {
                sides.level_of(&chain, &made.volume)
            };
            Judged {
                snapshot: made.snapshot.clone(),
                volume: made.volume.clone(),
                level,
                reason,
                covered,
            }
        })
        .collect();
    let report = EvidenceReport {
        links: chain,
        frozen_mounts: pre
            .frozen_mounts()
            .iter()
            .map(|m| visible(m).into_owned())
            .collect(),
        covered: preflight.covered_volumes().into_iter().cloned().collect(),
        without: preflight
            .covered_volumes()
            .into_iter()
            .filter_map(|volume| Some((volume.clone(), sides.without(volume)?)))
            .collect(),
        pre_command: facts.pre.map(|told| told.command.clone()),
        post_command: facts.post.map(|told| told.command.clone()),
        window_ms: sides.post.window_ms().or_else(|| helped.window_ms()),
        failsafe_fired: pre.fired() == Some(true) || helped.fired() == Some(true),
        positions: kept::positions(&[pre, helped]),
        files: kept::files(&[pre, helped]),
        notes: kept::notes(&[pre, helped]),
        left_out: preflight
            .set
            .as_ref()
            .map_or_else(Vec::new, |set| set.left_out.clone()),
    };
    (report, judged)
}

/// Why the set of somebody else's document is worth no more.
const NO_EVIDENCE: &str = "the document gives no evidence (no FF1 lines)";

fn not_covered(preflight: &PreflightFacts, volume: &VolumeId) -> String {
    let root = preflight
        .volumes
        .iter()
        .any(|v| v.volume == *volume && v.is_root);
    if root {
        "not covered by the recipe: the root volume is not frozen".to_owned()
    } else {
        let alone = preflight.unfrozen_neighbour(volume).map(|m| {
            format!(
                ": {} was left alone, {}",
                visible(&m.mount),
                visible(&m.reason)
            )
        });
        format!("not covered by the recipe{}", alone.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
