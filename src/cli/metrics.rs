//! `metrics`: what jobs published, read back.

use super::args::{Format, Global};
use super::output::{Out, Table};
use super::{exit, printed, unmatched};
use crate::domain::problem::Problem;
use crate::ops::job::targets::{self, Named};
use crate::ops::{Ops, metrics};

pub(super) async fn run(
    ops: &Ops,
    global: &Global,
    instance: &Named,
    days: u32,
) -> Result<u8, Problem> {
    let instance = match targets::id(ops, instance).await {
        Ok(instance) => instance,
        Err(problem) => return unmatched(problem, global),
    };
    let series = metrics::read(ops, &instance, days).await?;
    let mut out = Out::new(global.output);
    if global.output == Format::Table {
        let rows = series
            .iter()
            .flat_map(|s| {
                s.points.iter().map(|(at, value)| {
                    vec![
                        at.format("%Y-%m-%d %H:%MZ").to_string(),
                        s.metric.to_string(),
                        s.drive.clone(),
                        value.to_string(),
                        s.metric.unit().to_owned(),
                    ]
                })
            })
            .collect();
        printed(out.table(&Table {
            head: vec!["AT", "METRIC", "DRIVE", "VALUE", "UNIT"],
            rows,
        }))?;
    } else {
        printed(out.rows(&series, |_| Table::default()))?;
    }
    let nothing = series.iter().all(|s| s.points.is_empty());
    Ok(if nothing { exit::NOTHING } else { exit::OK })
}
