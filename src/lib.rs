//! freezeframe: proven, application-consistent EBS snapshots, from a terminal or from cron.
//!
//! Floors, arrows only downward: `cli`, `tui` → `ops` → `aws`, `jobs`, `recipe` → `domain`. `config` stands
//! beside `domain` (`crates/core`). Only `cli` starts the lab (`crates/lab`), everything else reaches it through HTTP.
//! `ARCHITECTURE.md` shows the house on one page.

#[cfg(test)]
mod architecture;
pub mod aws;
pub mod cli;
pub mod config;
pub mod jobs;
pub mod ops;
pub mod recipe;
#[cfg(test)]
pub(crate) mod sample;
pub mod tui;

pub use freezeframe_core as domain;
#[cfg(feature = "lab")]
pub use freezeframe_lab as lab;
