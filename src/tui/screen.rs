//! The screens, each with its dialogs and pages.

pub mod fleet;
pub mod help;
pub mod jobs;
pub mod list;
pub mod metrics;
pub mod restore;
pub mod retention;
pub mod snapshot_dialog;
pub mod snapshots;
pub mod volumes;
