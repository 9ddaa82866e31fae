//! Installing our SSM documents in an account.

use crate::domain::problem::Problem;
use crate::recipe::document;

use super::Ops;

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Installed {
    /// Its name in the account.
    pub document: String,
    /// `present`, `installed`, `updated`, or with `dry_run` what would be done.
    pub outcome: String,
}

/// Installs every document of ours that is missing or has another content.
///
/// # Errors
/// Whatever Systems Manager answered for the first that failed.
pub async fn documents(ops: &Ops, dry_run: bool) -> Result<Vec<Installed>, Problem> {
    let mut done = Vec::new();
    for ours in document::all() {
        let there = ops.session.document(&ours.name).await?;
        let outcome = match there {
            Some(facts) if facts.hash == ours.hash => "present",
            _ if dry_run && there.is_some() => "would update",
            _ if dry_run => "would install",
            found => {
                ops.recorded(
                    "setup",
                    "CreateDocument",
                    &ours.name,
                    ops.session.install_document(&ours.name, ours.content),
                    |()| "installed".to_owned(),
                )
                .await?;
                if found.is_some() {
                    "updated"
                } else {
                    "installed"
                }
            }
        };
        done.push(Installed {
            document: ours.name.clone(),
            outcome: outcome.to_owned(),
        });
    }
    Ok(done)
}
