//! freezeframe: proven, application-consistent EBS snapshots, from a terminal or from cron.
//!
//! Floors, arrows only downward: `cli`, `tui` → `ops` → `aws`, `jobs`, `recipe` → `domain`. `config` and
//! `lab` stand beside `domain`; only `cli` starts the lab, everything else reaches it through HTTP.
//! `ARCHITECTURE.md` shows the house on one page.

pub mod aws;
pub mod cli;
pub mod config;
pub mod domain;
pub mod jobs;
pub mod lab;
pub mod ops;
pub mod recipe;
pub mod tui;
