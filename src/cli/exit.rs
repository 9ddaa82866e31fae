//! Exit codes. Stable (DESIGN 8).

use crate::domain::job::{JobView, Verdict};
use crate::domain::problem::{Kind, Problem};

/// All that was asked was done, proven.
pub const OK: u8 = 0;
/// Something failed.
pub const FAILED: u8 = 1;
/// Usage or configuration.
pub const USAGE: u8 = 2;
/// Nothing matched.
pub const NOTHING: u8 = 3;
/// Done, but only crash-consistent.
pub const CRASH: u8 = 4;
/// Nobody could confirm that everything is thawed. Wins over all.
pub const THAW_UNCONFIRMED: u8 = 5;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// The code for a problem.
pub fn of_problem(problem: &Problem) -> u8 {
    if problem.kind == Kind::Usage {
        USAGE
    } else {
        FAILED
    }
}

/// The code for a run. Empty means that nothing matched.
pub fn of_run(jobs: &[Result<JobView, Problem>]) -> u8 {
    if jobs.is_empty() {
        return NOTHING;
    }
    let one = |job: &Result<JobView, Problem>| match job {
        Err(problem) => of_problem(problem),
        Ok(view) if view.thaw_unconfirmed => THAW_UNCONFIRMED,
        // Its set is there, but not everything that was proven is written on it.
        Ok(view) if view.has_pending_labels() => FAILED,
        Ok(view) => match view.verdict {
            Some(Verdict::Application | Verdict::Filesystem) => OK,
            Some(Verdict::Crash) => CRASH,
            Some(Verdict::Cancelled) => INTERRUPTED,
            Some(Verdict::Failed | Verdict::Skipped) | None => FAILED,
        },
    };
    let codes: Vec<u8> = jobs.iter().map(one).collect();
    // From the worst to the best; a usage error of one job is a failure of the run.
    for code in [THAW_UNCONFIRMED, INTERRUPTED, FAILED, USAGE, CRASH] {
        if codes.contains(&code) {
            return code;
        }
    }
    OK
}
