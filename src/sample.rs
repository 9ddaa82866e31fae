//! A job for tests.

use crate::domain::job::{JobView, Phase};

/// A coordinated job of `i-1`, called `db`, with a budget of 30 s, that stands at that phase.
pub(crate) fn view(job: &str, phase: Phase) -> JobView {
    let spec = serde_json::from_value(serde_json::json!({
        "job": job, "run": "00000000-0000-4000-8000-000000000002",
        "account": "123456789012", "region": "eu-central-1", "instance": "i-1",
        "instance_name": "db", "recipe": "r", "document": "d", "mode": "coordinated", "budget_s": 30,
        "on_failure": "skip", "mounts": [], "namespace": "N",
    }))
    .unwrap();
    let mut view = crate::domain::machine::Job::new(spec).view();
    view.phase = phase;
    view
}
