//! What `--lab` and `lab serve` say in a build without the feature `lab`.

use std::convert::Infallible;

use super::args::Global;
use crate::aws::session::Options;
use crate::domain::problem::{Kind, Problem};

/// A lab inside this process, which no build without the feature has.
pub(super) struct Embedded(Infallible);

impl Embedded {
    /// Points a session's options at the lab.
    pub(super) fn configure(&self, _: &mut Options, _: Option<&str>) -> Result<(), Problem> {
        match self.0 {}
    }

    /// Takes the lab down.
    pub(super) async fn stop(self) {
        match self.0 {}
    }
}

/// Refuses `--lab`.
pub(super) async fn start(_: &str, _: &Global) -> Result<Embedded, Problem> {
    Err(absent())
}

/// Refuses `lab serve`.
pub(super) async fn serve(_: &Global, _: &str, _: u16) -> Result<u8, Problem> {
    Err(absent())
}

fn absent() -> Problem {
    Problem::new(
        Kind::Usage,
        "start the lab",
        "this build of freezeframe has no lab",
        "install a build with the feature `lab`, which is on by default",
    )
}
