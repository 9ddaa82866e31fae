//! The engine through the real SDK against the lab: use cases, two modes, many instances, two consoles; the lab itself
//! against AWS's models and AWS's own command line; and properties of the pure floor over generated input.

mod autonomous;
mod conformance;
mod consoles;
mod contract;
mod fanout;
#[path = "../support/fleet.rs"]
mod fleet;
mod flows;
mod properties;
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]
#[path = "../support/mod.rs"]
mod support;
