//! Documents and their versions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::document::Content;
use crate::bounds;
use crate::caller::Caller;
use crate::json::{ServiceError, epoch, list as items, page, required, strings, text};
use crate::world::{Tags, World};

/// One version of a document.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub number: u32,
    /// Shared, as the content is: every region of every lab has the same ones.
    pub text: Arc<str>,
    pub content: Arc<Content>,
    pub created: DateTime<Utc>,
    /// `VersionName`, as its maker gave it.
    pub called: Option<String>,
    hash: Arc<str>,
}

/// A document with all its versions.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub name: String,
    /// `Amazon`, or the account.
    pub owner: String,
    /// Ascending.
    pub versions: Vec<Version>,
    pub default: u32,
    /// Highest version number that was ever given: those of deleted versions are not used again.
    pub last: u32,
    pub tags: Tags,
}

fn missing(name: &str) -> ServiceError {
    ServiceError::new(
        "InvalidDocument",
        format!("Document with name {name} does not exist."),
    )
}

impl Version {
    /// A version with this content, which `text` was parsed to.
    pub(super) fn new(number: u32, text: &str, content: Content, created: DateTime<Utc>) -> Self {
        let hash: String = Sha256::digest(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            number,
            text: text.into(),
            content: Arc::new(content),
            created,
            called: None,
            hash: hash.into(),
        }
    }

    /// Sha256 of the content in hexadecimal.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

impl Document {
    /// A version by number, `$LATEST`, `$DEFAULT` or nothing.
    ///
    /// # Errors
    /// `InvalidDocumentVersion`
    pub(super) fn version(&self, wanted: Option<&str>) -> Result<&Version, ServiceError> {
        let number = match wanted {
            None | Some("" | "$DEFAULT") => Some(self.default),
            Some("$LATEST") => self.versions.last().map(|version| version.number),
            Some(number) => number.parse().ok(),
        };
        self.versions
            .iter()
            .find(|version| Some(version.number) == number)
            .ok_or_else(|| {
                ServiceError::new(
                    "InvalidDocumentVersion",
                    format!(
                        "Document {} has no version {}",
                        self.name,
                        wanted.unwrap_or_default()
                    ),
                )
            })
    }

    fn latest(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.number)
    }

    fn description(&self, version: &Version, status: &str) -> Value {
        let parameters: Vec<Value> = version
            .content
            .parameters
            .iter()
            .map(|(name, spec)| {
                let default = spec.default.as_ref().map(|values| match (spec.kind.as_str(), values.as_slice()) {
                    ("StringList", values) => json!(values).to_string(),
                    (_, values) => values.join(","),
                });
                json!({"Name": name, "Type": spec.kind, "Description": spec.description.clone().unwrap_or_default(), "DefaultValue": default})
            })
            .map(without_nulls)
            .collect();
        without_nulls(json!({
            "Name": self.name, "Owner": self.owner, "Hash": version.hash(), "HashType": "Sha256",
            "CreatedDate": epoch(version.created), "Status": status, "DocumentVersion": version.number.to_string(),
            "VersionName": version.called, "Description": version.content.description, "Parameters": parameters, "PlatformTypes": version.content.platforms(),
            "DocumentType": "Command", "SchemaVersion": version.content.schema, "LatestVersion": self.latest().to_string(),
            "DefaultVersion": self.default.to_string(), "DocumentFormat": "JSON", "Tags": self.tags(),
        }))
    }

    fn tags(&self) -> Value {
        let one = |(key, value): (&String, &String)| json!({"Key": key, "Value": value});
        self.tags.iter().map(one).collect()
    }

    /// The version that `DocumentVersion` and `VersionName` agree on.
    fn asked(&self, body: &Value) -> Result<&Version, ServiceError> {
        let number = text(body, "DocumentVersion");
        let Some(called) = text(body, "VersionName") else {
            return self.version(number);
        };
        let fits = |version: &&Version| version.called.as_deref() == Some(called);
        let found = self.versions.iter().find(fits).filter(|version| {
            number.is_none()
                || self
                    .version(number)
                    .is_ok_and(|other| other.number == version.number)
        });
        found.ok_or_else(|| {
            ServiceError::new(
                "InvalidDocumentVersion",
                format!("Document {} has no version named {called}", self.name),
            )
        })
    }

    /// The name that a new version is to have.
    fn new_name(&self, body: &Value) -> Result<Option<String>, ServiceError> {
        let Some(called) = text(body, "VersionName") else {
            return Ok(None);
        };
        if self
            .versions
            .iter()
            .any(|version| version.called.as_deref() == Some(called))
        {
            return Err(ServiceError::new(
                "DuplicateDocumentVersionName",
                format!(
                    "Document {} has a version named {called} already",
                    self.name
                ),
            ));
        }
        Ok(Some(called.to_owned()))
    }
}

/// The tags that a request gives to a new document.
fn new_tags(body: &Value) -> Result<Tags, ServiceError> {
    let mut tags = Tags::new();
    for tag in items(body, "Tags") {
        let (key, value) = (
            required(tag, "Key")?,
            text(tag, "Value").unwrap_or_default(),
        );
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ServiceError::validation(format!(
                "The tag key {key} begins with a prefix that is reserved for AWS"
            )));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ServiceError::validation(format!(
                "The tag key {key} was given twice"
            )));
        }
    }
    if tags.len() > 50 {
        return Err(ServiceError::new(
            "TooManyTagsError",
            "A document has at most 50 tags",
        ));
    }
    Ok(tags)
}

/// Drops members that are null: AWS leaves them out.
pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, value| !value.is_null());
    }
    value
}

/// A document by name or ARN.
///
/// # Errors
/// `InvalidDocument`
pub(super) fn find<'a>(world: &'a World, name: &str) -> Result<&'a Document, ServiceError> {
    let short = name
        .rsplit_once(":document/")
        .map_or(name, |(_, short)| short);
    world.ssm.documents.get(short).ok_or_else(|| missing(name))
}

fn own<'a>(world: &'a mut World, name: &str) -> Result<&'a mut Document, ServiceError> {
    let document = world
        .ssm
        .documents
        .get_mut(name)
        .ok_or_else(|| missing(name))?;
    if document.owner == "Amazon" {
        return Err(ServiceError::new(
            "AccessDeniedException",
            format!("{name} belongs to Amazon"),
        ));
    }
    Ok(document)
}

fn format_fits(body: &Value) -> Result<(), ServiceError> {
    match (
        text(body, "DocumentFormat").unwrap_or("JSON"),
        text(body, "DocumentType").unwrap_or("Command"),
    ) {
        ("JSON", "Command") => Ok(()),
        (format, kind) => Err(ServiceError::new(
            "InvalidDocumentContent",
            format!("the lab takes JSON Command documents, not {format} {kind}"),
        )),
    }
}

/// Whether the region's documents have room for one more version with this text.
fn fits_in(world: &World, source: &str) -> bool {
    let versions = world
        .ssm
        .documents
        .values()
        .flat_map(|document| &document.versions);
    let held: usize = versions.map(|version| version.text.len()).sum();
    held + source.len() <= bounds::DOCUMENT_BYTES
}

pub(super) fn create(world: &mut World, ctx: &Caller, body: &Value) -> Result<Value, ServiceError> {
    let (name, source) = (required(body, "Name")?, required(body, "Content")?);
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !(3..=128).contains(&name.len()) || !name.chars().all(legal) {
        return Err(ServiceError::validation(format!(
            "Value '{name}' at 'name' failed to satisfy constraint: ^[a-zA-Z0-9_\\-.]{{3,128}}$"
        )));
    }
    if ["aws", "amazon", "amzn"]
        .iter()
        .any(|prefix| name.to_lowercase().starts_with(prefix))
    {
        return Err(ServiceError::validation(format!(
            "{name} begins with a prefix that is reserved for AWS"
        )));
    }
    format_fits(body)?;
    let content = Content::parse(source)?;
    if world.ssm.documents.contains_key(name) {
        return Err(ServiceError::new(
            "DocumentAlreadyExists",
            format!("Document with name {name} already exists."),
        ));
    }
    let own = world
        .ssm
        .documents
        .values()
        .filter(|document| document.owner != "Amazon");
    if own.count() >= bounds::DOCUMENTS || !fits_in(world, source) {
        return Err(ServiceError::new(
            "DocumentLimitExceeded",
            "You can have at most 500 active SSM documents.",
        ));
    }
    let mut version = Version::new(1, source, content, ctx.now);
    version.called = text(body, "VersionName").map(str::to_owned);
    let document = Document {
        name: name.to_owned(),
        owner: ctx.account.clone(),
        versions: vec![version],
        default: 1,
        last: 1,
        tags: new_tags(body)?,
    };
    let answer = document.description(document.version(None)?, "Creating");
    world.ssm.documents.insert(name.to_owned(), document);
    Ok(json!({"DocumentDescription": answer}))
}

pub(super) fn update(world: &mut World, ctx: &Caller, body: &Value) -> Result<Value, ServiceError> {
    let (name, source) = (required(body, "Name")?, required(body, "Content")?);
    format_fits(body)?;
    let room = fits_in(world, source);
    let document = own(world, name)?;
    document.version(text(body, "DocumentVersion"))?;
    let content = Content::parse(source)?;
    if document
        .versions
        .last()
        .is_some_and(|version| *version.text == *source)
    {
        return Err(ServiceError::new(
            "DuplicateDocumentContent",
            "The content of the association document matches another document.",
        ));
    }
    if document.versions.len() >= 1000 || !room {
        return Err(ServiceError::new(
            "DocumentVersionLimitExceeded",
            "The document has 1000 versions.",
        ));
    }
    let mut version = Version::new(document.last + 1, source, content, ctx.now);
    version.called = document.new_name(body)?;
    document.last = version.number;
    document.versions.push(version);
    Ok(
        json!({"DocumentDescription": document.description(document.version(Some("$LATEST"))?, "Updating")}),
    )
}

pub(super) fn set_default(world: &mut World, body: &Value) -> Result<Value, ServiceError> {
    let (name, number) = (required(body, "Name")?, required(body, "DocumentVersion")?);
    let document = own(world, name)?;
    document.default = document.version(Some(number))?.number;
    Ok(json!({"Description": {"Name": name, "DefaultVersion": document.default.to_string()}}))
}

pub(super) fn describe(world: &World, body: &Value) -> Result<Value, ServiceError> {
    let document = find(world, required(body, "Name")?)?;
    Ok(json!({"Document": document.description(document.asked(body)?, "Active")}))
}

pub(super) fn get(world: &World, body: &Value) -> Result<Value, ServiceError> {
    let document = find(world, required(body, "Name")?)?;
    let version = document.asked(body)?;
    Ok(without_nulls(json!({
        "Name": document.name, "CreatedDate": epoch(version.created), "DocumentVersion": version.number.to_string(), "Status": "Active",
        "VersionName": version.called, "Content": &*version.text, "DocumentType": "Command", "DocumentFormat": "JSON",
    })))
}

pub(super) fn list(world: &World, body: &Value) -> Result<Value, ServiceError> {
    let filters = items(body, "Filters");
    let mut found = Vec::new();
    for document in world.ssm.documents.values() {
        let version = document.version(None)?;
        let mut fits = true;
        for filter in filters {
            let values = strings(filter, "Values");
            fits &= match required(filter, "Key")? {
                "Name" => values
                    .iter()
                    .any(|prefix| document.name.starts_with(prefix.as_str())),
                "Owner" => values.iter().any(|owner| match owner.as_str() {
                    "Self" => document.owner != "Amazon",
                    "All" => true,
                    // Nobody shares one with us.
                    "Private" | "Public" | "ThirdParty" => false,
                    owner => owner == document.owner,
                }),
                "PlatformTypes" => values
                    .iter()
                    .any(|wanted| version.content.platforms().contains(&wanted.as_str())),
                "DocumentType" => values.iter().any(|kind| kind == "Command"),
                "DocumentFormat" => values.iter().any(|format| format == "JSON"),
                // No document here is for one type of resource only.
                "TargetType" => false,
                "SearchKeyword" => values
                    .iter()
                    .any(|word| document.name.to_lowercase().contains(&word.to_lowercase())),
                tag if tag.strip_prefix("tag:").is_some_and(|tag| !tag.is_empty()) => document
                    .tags
                    .get(&tag[4..])
                    .is_some_and(|value| values.contains(value)),
                other => {
                    return Err(ServiceError::new(
                        "InvalidFilterKey",
                        format!("The filter key {other} is not valid."),
                    ));
                }
            };
        }
        if fits {
            found.push(without_nulls(json!({
                "Name": document.name, "Owner": document.owner, "CreatedDate": epoch(version.created), "PlatformTypes": version.content.platforms(),
                "DocumentVersion": version.number.to_string(), "DocumentType": "Command", "SchemaVersion": version.content.schema,
                "VersionName": version.called, "DocumentFormat": "JSON", "Tags": document.tags(),
            })));
        }
    }
    let size = page_size(body, 50, 1, 50)?;
    let (found, next) = page(&found, text(body, "NextToken"), size, "InvalidNextToken")?;
    Ok(without_nulls(
        json!({"DocumentIdentifiers": found, "NextToken": next}),
    ))
}

pub(super) fn delete(world: &mut World, body: &Value) -> Result<Value, ServiceError> {
    let name = required(body, "Name")?;
    let document = own(world, name)?;
    let named = ["DocumentVersion", "VersionName"]
        .iter()
        .any(|key| text(body, key).is_some());
    match named {
        false => {
            world.ssm.documents.remove(name);
        }
        true => {
            let number = document.asked(body)?.number;
            if number == document.default {
                return Err(ServiceError::new(
                    "InvalidDocumentOperation",
                    "The default version can't be deleted.",
                ));
            }
            document.versions.retain(|version| version.number != number);
        }
    }
    Ok(json!({}))
}

/// `MaxResults` within its bounds.
pub(super) fn page_size(
    body: &Value,
    default: usize,
    low: usize,
    high: usize,
) -> Result<usize, ServiceError> {
    match body.get("MaxResults").filter(|value| !value.is_null()) {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| (low..=high).contains(size))
            .ok_or_else(|| {
                ServiceError::validation(format!(
                    "Value '{value}' at 'maxResults' failed to satisfy constraint: {low} to {high}"
                ))
            }),
    }
}
