//! The pure floor: what things are and which rules hold. No I/O, no clock, no SDK, no terminal.

pub mod evidence;
pub mod filter;
pub mod held;
pub mod ids;
pub mod instance;
pub mod inventory;
pub mod job;
pub mod label;
pub mod level;
pub mod machine;
pub mod metrics;
pub mod mode;
pub mod pace;
pub mod problem;
pub mod proof;
pub mod prune;
pub mod refusal;
pub mod restore;
pub mod retention;
pub mod run;
pub mod set;
pub mod snapshot;
pub mod tags;
pub mod text;
pub mod trace;
pub mod volume;
