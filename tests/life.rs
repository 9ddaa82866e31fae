//! The life of a job (properties 21, 23, 25 and what belongs to them): the program is killed, hung up on,
//! interrupted and robbed of its credentials, against a lab that this process serves and looks into.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

#[path = "life/consoles.rs"]
mod consoles;
#[path = "life/copying.rs"]
mod copying;
#[path = "life/credentials.rs"]
mod credentials;
#[path = "life/full.rs"]
mod full;
#[path = "life/journal.rs"]
mod journal;
#[path = "life/kill.rs"]
mod kill;
#[path = "life/labels.rs"]
mod labels;
#[path = "life/orphans.rs"]
mod orphans;
#[path = "life/secrets.rs"]
mod secrets;
#[path = "life/served.rs"]
mod served;
#[path = "life/signals.rs"]
mod signals;
