//! Step 2: where to, as what, mounted where.

use crate::domain::state::InstanceState;
use std::collections::BTreeSet;

use crate::domain::ids::JobId;
use crate::domain::instance::{Instance, Platform};
use crate::domain::nearest::nearest;
use crate::domain::problem::Kind;
use crate::domain::restore::{RestoreRequest, TYPES, device_taken, is_device, kms_key};
use crate::domain::text::is_hostile;
use crate::ops::job::targets::{self, Named};
use crate::tui::contract::ScreenContext;
use crate::tui::widget::form::{Field, Focus, Form};

const TARGET: usize = 0;
const DEVICE: usize = 1;
const TYPE: usize = 2;
const IOPS: usize = 3;
const THROUGHPUT: usize = 4;
const KEY: usize = 5;
const MOUNT: usize = 6;
const TAGS: usize = 7;
const IN_SETS: usize = 8;
/// Button that goes back.
pub const BACK: usize = 0;
/// Before the types of EBS: what the source volume has, or had.
const SAME: &str = "same";

/// The form for one set.
pub struct Target {
    /// The set to restore from.
    pub set: JobId,
    /// The fields.
    pub form: Form,
}

impl Target {
    /// The form, with the instance that the set was taken from as target.
    pub fn new(set: JobId, cx: &ScreenContext<'_>) -> Self {
        let source = cx
            .model
            .set(&set)
            .and_then(|set| set.instance.as_ref())
            .and_then(|id| cx.model.instance(id));
        let id = source.map(|i| i.id.to_string()).unwrap_or_default();
        let mount = match source.map(|i| i.platform) {
            Some(Platform::Windows) => "",
            _ => "/mnt/restore",
        };
        let fields = vec![
            Field::text("target (id or name)", id),
            Field::text("device (empty: free)", ""),
            Field::choice(
                "volume type",
                std::iter::once(SAME)
                    .chain(TYPES)
                    .map(str::to_owned)
                    .collect(),
            ),
            Field::text("IOPS (empty: same)", ""),
            Field::text("MiB/s (empty: same)", ""),
            Field::text("KMS key (empty: same)", ""),
            Field::text("mount in (empty: no)", mount),
            Field::choice(
                "tags of the source",
                ["none of them", "copy all"].map(str::to_owned).to_vec(),
            ),
            Field::choice(
                "later sets",
                ["leave the copies out", "take them along"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
        ];
        let mut form = Form::new(
            fields,
            vec!["Back".to_owned(), "Plan the calls".to_owned()],
            1,
        );
        if source.is_none() {
            form.set_focus(Focus::Field(TARGET));
        }
        Self { set, form }
    }

    /// What is wrong with each field, by index.
    pub fn errors(&self, cx: &ScreenContext<'_>) -> Vec<(usize, String)> {
        let mut errors = Vec::new();
        let target = match target(self.form.value(TARGET), cx) {
            Ok(target) => Some(target),
            Err(error) => {
                errors.push((TARGET, error));
                None
            }
        };
        if let Err(error) = device(self.form.value(DEVICE), target) {
            errors.push((DEVICE, error));
        }
        for (field, most) in [(IOPS, 256_000), (THROUGHPUT, 2_000)] {
            if let Err(error) = number(self.form.value(field), most) {
                errors.push((field, error));
            }
        }
        if let Err(error) = key(self.form.value(KEY), target) {
            errors.push((KEY, error));
        }
        if let Err(error) = mount(self.form.value(MOUNT), target) {
            errors.push((MOUNT, error));
        }
        errors
    }

    /// What is asked for.
    ///
    /// # Errors
    /// What is wrong with the first wrong field.
    pub fn request(&self, cx: &ScreenContext<'_>) -> Result<RestoreRequest, String> {
        let target = target(self.form.value(TARGET), cx)?;
        let device = device(self.form.value(DEVICE), Some(target))?;
        let mount_under = mount(self.form.value(MOUNT), Some(target))?;
        let volume_type = self.form.chosen(TYPE).checked_sub(1);
        let volume_type = volume_type.and_then(|at| TYPES.get(at));
        Ok(RestoreRequest {
            device,
            volume_type: volume_type.map(|t| (*t).to_owned()),
            iops: number(self.form.value(IOPS), 256_000)?,
            throughput: number(self.form.value(THROUGHPUT), 2_000)?,
            kms_key: key(self.form.value(KEY), Some(target))?,
            copy_all_tags: self.form.chosen(TAGS) == 1,
            in_sets: self.form.chosen(IN_SETS) == 1,
            mount_under,
            ..RestoreRequest::new(self.set.clone(), target.id.clone())
        })
    }
}

/// A number that EBS may take; what fits the type and the size the plan says.
fn number(typed: &str, most: u32) -> Result<Option<u32>, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    match typed.parse::<u32>() {
        Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
        _ => Err(format!("a number up to {most}")),
    }
}

/// A KMS key of the target's region.
fn key(typed: &str, target: Option<&Instance>) -> Result<Option<String>, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    match target {
        Some(target) => kms_key(typed, target.scope.region.as_str())
            .map(|()| Some(typed.to_owned()))
            .map_err(|_| "key id, alias/NAME or ARN".to_owned()),
        None => Ok(Some(typed.to_owned())),
    }
}

/// The one instance of that id or name, in a state that volumes can be attached in.
fn target<'a>(typed: &str, cx: &ScreenContext<'a>) -> Result<&'a Instance, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Err("say an instance id or name".to_owned());
    }
    // By the rule of the command line: an id is an id, also where another instance is called so.
    let named: Named = typed.parse().map_err(|_| "an id or a name".to_owned())?;
    let all = cx.model.instances();
    let Some(scope) = all.first().map(|i| &i.scope) else {
        return Err("no such instance here".to_owned());
    };
    match targets::resolve_one(all, &named, scope) {
        Ok(one) if matches!(one.state, InstanceState::Running | InstanceState::Stopped) => Ok(one),
        Ok(one) => Err(format!("it is {}", one.state)),
        Err(problem) if problem.kind == Kind::NotFound => {
            let names: BTreeSet<&str> = all.iter().filter_map(|i| i.tags.name()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let near = nearest(typed, &names).map(|near| format!(": did you mean {near}?"));
            Err(format!("no such instance here{}", near.unwrap_or_default()))
        }
        Err(_) => {
            let several = all.iter().filter(|i| i.name() == typed).count();
            Err(match several {
                0 => "no such instance here; ids have 8 or 17 hex digits".to_owned(),
                several => format!("{several} have this name: use the id"),
            })
        }
    }
}

/// A device name that AWS accepts for data volumes and that is free at the target.
fn device(typed: &str, target: Option<&Instance>) -> Result<Option<String>, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    // The plan decides by the same: which names there are depends on the platform.
    let platform = target.map_or(Platform::Linux, |t| t.platform);
    if !is_device(platform, typed) {
        return Err(match platform {
            Platform::Windows => "such as xvdf",
            Platform::Linux => "such as /dev/sdf",
        }
        .to_owned());
    }
    match target.and_then(|target| device_taken(target, typed)) {
        Some(_) => Err("in use at the target".to_owned()),
        None => Ok(Some(typed.to_owned())),
    }
}

/// A directory below which each volume gets its own.
fn mount(typed: &str, target: Option<&Instance>) -> Result<Option<String>, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    if target.is_some_and(|t| t.platform == Platform::Windows) {
        return Err("not on Windows: empty it".to_owned());
    }
    let path = typed.trim_end_matches('/');
    if !typed.starts_with('/') || path.is_empty() {
        return Err("a path such as /mnt/restore".to_owned());
    }
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)) || is_hostile(c);
    if path.split('/').any(|part| part == ".." || part == ".")
        || path.contains("//")
        || path.chars().any(odd)
    {
        return Err("letters, digits, . _ - only".to_owned());
    }
    if target.is_some_and(|t| t.state != InstanceState::Running) {
        return Err("it does not run: empty it".to_owned());
    }
    Ok(Some(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_mounts_are_checked() {
        assert_eq!(device(" ", None), Ok(None));
        assert_eq!(device("/dev/sdf", None), Ok(Some("/dev/sdf".into())));
        assert_eq!(device("/dev/xvdba", None), Ok(Some("/dev/xvdba".into())));
        for wrong in [
            // Refused by the plan, so refused here.
            "xvdba",
            "/dev/sdaa",
            "/dev/sda",
            "/dev/sda1",
            "sdf",
            "/dev/xvda",
            "/etc",
            "/dev/sdF",
            "/dev/sd",
            "/dev/sdf;id",
        ] {
            assert!(device(wrong, None).is_err(), "{wrong}");
        }
        assert_eq!(
            mount("/mnt/restore/", None),
            Ok(Some("/mnt/restore".into()))
        );
        assert_eq!(mount("", None), Ok(None));
        for wrong in [
            "/",
            "//",
            "mnt",
            "/a/../etc",
            "/a b",
            "/$(id)",
            "/a//b",
            "/größe",
        ] {
            assert!(mount(wrong, None).is_err(), "{wrong:?}");
        }
    }
}
