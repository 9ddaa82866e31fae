//! One job, from its first command to its last label, and a run of many.

pub mod confirm_thaw;
pub mod driver;
pub mod run;
pub mod stop;
pub mod targets;
mod timers;
