//! `setup`: preparing an account.

use super::args::Global;
use super::output::{Out, Table};
use super::{exit, note_refusal, printed};
use crate::domain::problem::Problem;
use crate::ops::{Ops, setup};

pub(super) async fn documents(ops: &Ops, global: &Global, dry_run: bool) -> Result<u8, Problem> {
    let done = setup::documents(ops, dry_run).await?;
    printed(
        Out::new(global.output)
            .acting(ops.session.who())
            .rows(&done, |rows| Table {
                head: vec!["DOCUMENT", "OUTCOME"],
                rows: rows
                    .iter()
                    .map(|r| vec![r.document.clone(), r.outcome.clone()])
                    .collect(),
            }),
    )?;
    if dry_run {
        note_refusal(ops, "install documents");
    }
    Ok(exit::OK)
}
