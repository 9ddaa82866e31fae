//! The life of a job (properties 21, 23, 25 and what belongs to them): the program is killed, hung up on,
//! interrupted and robbed of its credentials, against a lab that this process serves and looks into.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod consoles;
mod copying;
mod credentials;
mod full;
mod journal;
mod kill;
mod labels;
mod orphans;
mod secrets;
mod served;
mod signals;
