//! Step 2: where to, as what, mounted where.

use crate::domain::ids::JobId;
use crate::domain::instance::{Instance, Platform};
use crate::domain::restore::RestoreRequest;
use crate::domain::text::is_hostile;
use crate::tui::screen::Cx;
use crate::tui::widget::form::{Field, Focus, Form};

const TARGET: usize = 0;
const DEVICE: usize = 1;
const TYPE: usize = 2;
const MOUNT: usize = 3;
/// Button that goes back.
pub const BACK: usize = 0;
const TYPES: [&str; 6] = ["same", "gp3", "gp2", "io2", "st1", "sc1"];

/// The form for one set.
pub struct Target {
    /// The set to restore from.
    pub set: JobId,
    /// The fields.
    pub form: Form,
}

impl Target {
    /// The form, with the instance that the set was taken from as target.
    pub fn new(set: JobId, cx: &Cx<'_>) -> Self {
        let source = cx
            .world
            .set(&set)
            .and_then(|set| set.instance.as_ref())
            .and_then(|id| cx.world.instance(id));
        let id = source.map(|i| i.id.to_string()).unwrap_or_default();
        let mount = match source.map(|i| i.platform) {
            Some(Platform::Windows) => "",
            _ => "/mnt/restore",
        };
        let fields = vec![
            Field::text("target (id or name)", id),
            Field::text("device (empty: free)", ""),
            Field::choice("volume type", TYPES.map(str::to_owned).to_vec()),
            Field::text("mount in (empty: no)", mount),
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
    pub fn errors(&self, cx: &Cx<'_>) -> Vec<(usize, String)> {
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
        if let Err(error) = mount(self.form.value(MOUNT), target) {
            errors.push((MOUNT, error));
        }
        errors
    }

    /// What is asked for.
    ///
    /// # Errors
    /// What is wrong with the first wrong field.
    pub fn request(&self, cx: &Cx<'_>) -> Result<RestoreRequest, String> {
        let target = target(self.form.value(TARGET), cx)?;
        let device = device(self.form.value(DEVICE), Some(target))?;
        let mount_under = mount(self.form.value(MOUNT), Some(target))?;
        let chosen = self.form.chosen(TYPE);
        let volume_type = TYPES
            .get(chosen)
            .filter(|_| chosen > 0)
            .map(|t| (*t).to_owned());
        Ok(RestoreRequest {
            set: self.set.clone(),
            only: Vec::new(),
            target: target.id.clone(),
            device,
            volume_type,
            mount_under,
        })
    }
}

/// The one instance of that id or name, in a state that volumes can be attached in.
fn target<'a>(typed: &str, cx: &Cx<'a>) -> Result<&'a Instance, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Err("say an instance id or name".to_owned());
    }
    let matching: Vec<&Instance> = cx
        .world
        .instances()
        .iter()
        .filter(|i| i.id.as_str() == typed || i.name() == typed)
        .collect();
    match matching.as_slice() {
        [] => Err("no such instance here".to_owned()),
        [one] if matches!(one.state.as_str(), "running" | "stopped") => Ok(one),
        [one] => Err(format!("it is {}", one.state)),
        several => Err(format!("{} have this name: use the id", several.len())),
    }
}

/// A device name that AWS accepts for data volumes and that is free at the target.
fn device(typed: &str, target: Option<&Instance>) -> Result<Option<String>, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(None);
    }
    let bare = typed.strip_prefix("/dev/").unwrap_or(typed);
    let letters = bare
        .strip_prefix("xvd")
        .or_else(|| typed.strip_prefix("/dev/sd"))
        .unwrap_or_default();
    let valid = matches!(letters.len(), 1 | 2)
        && letters.bytes().all(|b| b.is_ascii_lowercase())
        && !letters.starts_with('a');
    if !valid {
        return Err("such as /dev/sdf or xvdf".to_owned());
    }
    let used = target.is_some_and(|t| t.devices.iter().any(|d| d.device == typed));
    if used {
        Err("in use at the target".to_owned())
    } else {
        Ok(Some(typed.to_owned()))
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
    if target.is_some_and(|t| t.state != "running") {
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
        assert_eq!(device("xvdba", None), Ok(Some("xvdba".into())));
        for wrong in [
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
