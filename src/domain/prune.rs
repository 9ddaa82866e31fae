//! How a prune goes on, for screens and scripts.

use serde::{Deserialize, Serialize};

use super::ids::SnapshotId;
use super::problem::Problem;

/// A prune under way, or over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PruneProgress {
    /// How many snapshots are to be deleted in all.
    pub total: usize,
    /// Deleted so far.
    pub deleted: Vec<SnapshotId>,
    /// Not deleted, each with its reason.
    pub failed: Vec<(SnapshotId, Problem)>,
    /// Stopped before the end, because something had changed since the review.
    pub stopped: Option<Problem>,
    /// It is over.
    pub finished: bool,
}
