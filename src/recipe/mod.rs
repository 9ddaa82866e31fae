//! Recipes: how one kind of instance is quiesced.

pub mod admission;
pub mod catalogue;
pub mod chosen;
pub mod contract;
pub mod document;
pub mod events;
pub mod mount;
