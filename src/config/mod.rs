//! Configuration: layers, theme, paths. Nothing here writes to disk.

pub mod layers;
pub mod paths;
mod places;
pub mod recipes;
pub mod theme;

pub(crate) use crate::domain::nearest::nearest;
pub use layers::{Config, Overrides, load};
pub use paths::{Paths, paths};
