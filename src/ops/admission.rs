//! All that a job waits for, or is refused by, before its freeze.

pub(in crate::ops) mod groups;
pub mod lease;
pub mod owner;
pub mod preflight;
pub(in crate::ops) mod ready_check;
pub(in crate::ops) mod remote_jobs;
