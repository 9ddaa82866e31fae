//! Recipes: how one kind of instance is quiesced.

pub mod catalogue;
pub mod chosen;
pub mod contract;
pub mod document;
pub mod eligibility;
pub mod events;
pub mod mount;
