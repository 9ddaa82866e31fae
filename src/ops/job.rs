//! One job, from its first command to its last label, and a run of many.

pub mod confirm_thaw;
pub mod driver;
pub(in crate::ops) mod poll;
pub mod run;
pub(in crate::ops) mod send;
pub mod stop;
pub mod targets;
pub(in crate::ops) mod thaw;
mod timers;
