//! The commands that a job sends through Systems Manager: sent once, looked up where an answer was lost, followed to their
//! end.

pub(in crate::ops) mod poll;
pub(in crate::ops) mod send;
pub(in crate::ops) mod thaw;
pub(in crate::ops) mod wait_reasons;
