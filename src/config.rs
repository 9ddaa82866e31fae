//! Configuration: layers, theme, paths. Nothing here writes to disk.

pub mod acting;
pub mod aws;
pub mod aws_files;
#[cfg(test)]
mod fuzz;
pub mod layers;
pub mod origin;
pub mod paths;
mod places;
pub mod recipes;
pub mod regions;
pub mod small_file;
pub mod theme;
pub mod variables;

pub(crate) use crate::domain::nearest::nearest;
pub use layers::{Config, Overrides, load};
pub use paths::{Paths, given, paths};
pub use regions::region;
