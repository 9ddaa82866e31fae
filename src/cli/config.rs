//! `config show`: every value with where it came from, and who would act. Asks nobody.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::{Format, Global};
use super::output::{Out, Table};
use super::{exit, printed, session};
use crate::config::aws::{Aws, SERVICES};
use crate::config::origin::Origin;
use crate::config::variables::{NO_PROXY, PROXIES, Variables};
use crate::config::{self, Config};
use crate::domain::problem::Problem;

/// One line.
struct Row {
    key: String,
    value: Value,
    from: String,
}

impl Row {
    fn new(key: &str, value: impl Into<Value>, from: &Origin) -> Self {
        Self {
            key: key.to_owned(),
            value: value.into(),
            from: from.to_string(),
        }
    }
}

pub(super) fn show(global: &Global) -> Result<u8, Problem> {
    let config = session::configuration(global)?;
    let mut rows = Vec::new();
    // What is wrong with the AWS side is told in its rows: this command is how one finds out.
    let trouble = if global.lab.is_some() {
        rows.push(Row {
            key: "credentials".to_owned(),
            value: "keys of the lab".into(),
            from: "--lab".to_owned(),
        });
        None
    } else {
        aws(&config, &mut rows).err()
    };
    ours(&config, &mut rows);
    paths(global, &mut rows)?;
    let values: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "key": row.key, "value": row.value, "from": row.from }))
        .collect();
    let mut out = Out::new(global.output);
    if global.output == Format::Table {
        printed(
            out.table(&Table {
                head: vec!["KEY", "VALUE", "FROM"],
                rows: rows
                    .iter()
                    .map(|row| {
                        let value = match &row.value {
                            Value::Null => "-".to_owned(),
                            Value::String(text) => text.clone(),
                            other => other.to_string(),
                        };
                        vec![row.key.clone(), value, row.from.clone()]
                    })
                    .collect(),
            }),
        )?;
    } else {
        printed(out.rows(&values, |_| Table::default()))?;
    }
    match trouble {
        Some(problem) => Err(problem),
        None => Ok(exit::OK),
    }
}

/// Profile, region, endpoints, credentials.
fn aws(config: &Config, rows: &mut Vec<Row>) -> Result<(), Problem> {
    let profile = config.origins.of("profile");
    rows.push(Row::new("profile", config.profile.clone(), profile));
    let aws = Aws::resolve(config, Variables::of_process())?;
    rows.push(match &aws.region {
        Some((region, from)) => Row::new("region", region.as_str(), from),
        None => Row::new("region", Value::Null, &Origin::Default),
    });
    rows.push(match &aws.endpoints.all {
        Some((url, from)) => Row::new("endpoint_url", url.clone(), from),
        None => Row::new("endpoint_url", Value::Null, &Origin::Default),
    });
    for service in SERVICES {
        if let Some((url, from)) = aws.endpoints.each.get(service) {
            rows.push(Row::new(
                &format!("endpoint_url.{service}"),
                url.clone(),
                from,
            ));
        }
    }
    if let Some((path, from)) = &aws.ca_bundle {
        rows.push(Row::new("ca_bundle", path.display().to_string(), from));
    }
    // Host and port: a proxy's URL may hold a password.
    for name in PROXIES.into_iter().chain(NO_PROXY) {
        if let Some(text) = aws.variables.text(name)? {
            let shown = text.rsplit('@').next().unwrap_or(text);
            rows.push(Row::new(
                &name.to_ascii_lowercase(),
                shown,
                &Origin::Variable(name.to_owned()),
            ));
        }
    }
    let choice = aws.choice()?;
    rows.push(Row::new(
        "credentials",
        choice.source.to_string(),
        &choice.by,
    ));
    Ok(())
}

/// The keys of config.toml, the tables of it by the names of their entries.
fn ours(config: &Config, rows: &mut Vec<Row>) {
    let from = |key: &str| config.origins.of(key);
    for (key, value) in [
        ("read_only", Value::from(config.read_only)),
        ("theme", config.theme.clone().into()),
        ("metrics.namespace", config.metrics.namespace.clone().into()),
        (
            "snapshot.budget_seconds",
            config.snapshot.budget_seconds.into(),
        ),
        (
            "snapshot.on_failure",
            config.snapshot.on_failure.to_string().into(),
        ),
        ("snapshot.mode", config.snapshot.mode.to_string().into()),
        (
            "snapshot.keep_tags",
            config.snapshot.keep_tags.join(", ").into(),
        ),
        ("snapshot.tags", pairs(&config.snapshot.tags).into()),
        (
            "restore.copy_tags",
            config.restore.copy_tags.join(", ").into(),
        ),
        ("run.at_once", config.run.at_once.into()),
        ("run.freezes_per_group", config.run.freezes_per_group.into()),
        ("run.group_tag", config.run.group_tag.clone().into()),
        ("run.retries", config.run.retries.into()),
    ] {
        rows.push(Row::new(key, value, from(key)));
    }
    // What a file says beyond: policies and recipes, key by key.
    for (key, origin) in config.origins.all() {
        let depth = key.split('.').count();
        let table = ["retention.", "recipes."]
            .iter()
            .any(|prefix| key.starts_with(prefix));
        if table && depth == 2 {
            rows.push(Row::new(key, "see the file", origin));
        }
    }
}

fn pairs(tags: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(", ")
}

fn paths(global: &Global, rows: &mut Vec<Row>) -> Result<(), Problem> {
    let paths = config::paths()?;
    let variables = Variables::of_process();
    let from = |name: &str| match variables.raw(name) {
        Some(_) => Origin::Variable(name.to_owned()),
        None => Origin::Default,
    };
    let state = from(config::paths::STATE_DIR);
    rows.push(Row::new(
        "state directory",
        paths.state.display().to_string(),
        &state,
    ));
    let (file, said) = match (&global.config, variables.raw(config::layers::CONFIG)) {
        (Some(file), _) => (Some(file.clone()), Origin::Flag("--config")),
        (None, Some(file)) => (Some(file.into()), from(config::layers::CONFIG)),
        (None, None) => (config::paths::config_file(), Origin::Default),
    };
    rows.push(match file {
        Some(file) => {
            let there = if file.exists() { "" } else { " (not there)" };
            Row::new(
                "configuration file",
                format!("{}{there}", file.display()),
                &said,
            )
        }
        None => Row::new("configuration file", Value::Null, &said),
    });
    Ok(())
}
