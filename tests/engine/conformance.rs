//! The lab beside AWS's own service models: `conformance/model.json` has the shapes, derived by
//! `conformance/extract.py`. Every answer is walked beside its output shape, every member of every input is sent with
//! a value that cannot be, and what AWS's documentation shows of its answers is looked for in the lab's.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod answers;
mod calls;
mod filters;
mod model;
mod recorded;
mod refusals;
mod talk;
