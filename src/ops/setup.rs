//! Installing our SSM documents in an account.

use crate::domain::problem::Problem;
use crate::recipe::document;

use crate::ops::Ops;

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
                install(ops, &ours.name, ours.content).await?;
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

/// Installs a document, or a new default version of it when the content differs. Each write is on record by itself.
///
/// # Errors
/// Whatever Systems Manager answered; [`crate::domain::problem::Kind::Local`] when the journal cannot be written.
pub async fn install(ops: &Ops, name: &str, content: &str) -> Result<(), Problem> {
    let session = &ops.session;
    let create = session.create_document(name, content);
    let words = |created: &bool| if *created { "created" } else { "exists" }.to_owned();
    let created = ops.recorded("setup", "CreateDocument", name, create, words);
    if created.await? {
        return Ok(());
    }
    let update = session.update_document(name, content);
    let version = ops
        .recorded("setup", "UpdateDocument", name, update, String::clone)
        .await?;
    let make = session.make_default(name, &version);
    ops.recorded("setup", "UpdateDocumentDefaultVersion", name, make, |()| {
        format!("version {version}")
    })
    .await
}
