//! Jobs under way and on record: the journal, and taking up what an earlier console left open.

pub mod journal;
pub mod outcome;
