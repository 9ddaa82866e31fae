//! The lab beside AWS's own service models: `conformance/model.json` has the shapes, derived by
//! `conformance/extract.py`. Every answer is walked beside its output shape, every member of every input is sent with
//! a value that cannot be, and what AWS's documentation shows of its answers is looked for in the lab's.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

#[path = "conformance/answers.rs"]
mod answers;
#[path = "conformance/calls.rs"]
mod calls;
#[path = "conformance/filters.rs"]
mod filters;
#[path = "conformance/model.rs"]
mod model;
#[path = "conformance/recorded.rs"]
mod recorded;
#[path = "conformance/refusals.rs"]
mod refusals;
#[path = "conformance/talk.rs"]
mod talk;
