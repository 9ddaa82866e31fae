//! Device names (aws-facts 5.5): which are allowed, which are free.

use std::collections::BTreeSet;

use crate::instance::{Instance, Platform};

/// The letters by which EC2 and the kernel tell devices apart: `/dev/sdf`, `xvdf` and `/dev/xvdf1` all end
/// in `f`. Two names with one ending may both be accepted, and the second attachment then hangs.
fn ending(device: &str) -> Option<&str> {
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    let letters = name
        .strip_prefix("xvd")
        .or_else(|| name.strip_prefix("sd"))
        .or_else(|| name.strip_prefix("hd"))?;
    let letters = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    (!letters.is_empty()).then_some(letters)
}

/// Why that name cannot be had at an instance now, if it cannot.
pub fn device_taken(target: &Instance, device: &str) -> Option<String> {
    Free::of(target).take(device).err()
}

/// Whether a data volume may be attached under that name.
pub fn is_device(platform: Platform, device: &str) -> bool {
    allowed(platform, device)
}

fn allowed(platform: Platform, device: &str) -> bool {
    let xen = |letters: &str| match letters.as_bytes() {
        [c] => (b'b'..=b'z').contains(c),
        [b'b' | b'c', c] => c.is_ascii_lowercase(),
        [b'd', c] => (b'a'..=b'x').contains(c),
        _ => false,
    };
    match platform {
        Platform::Linux => {
            device.strip_prefix("/dev/xvd").is_some_and(xen)
                || device
                    .strip_prefix("/dev/sd")
                    .is_some_and(|l| matches!(l.as_bytes(), [c] if (b'b'..=b'z').contains(c)))
        }
        Platform::Windows => device.strip_prefix("xvd").is_some_and(xen),
    }
}

/// Names that are still free at an instance; names given out count as used.
pub(super) struct Free<'a> {
    target: &'a Instance,
    used: BTreeSet<String>,
}

impl<'a> Free<'a> {
    pub(super) fn of(target: &'a Instance) -> Self {
        let used = target
            .devices
            .iter()
            .map(|d| d.device.as_str())
            .chain([target.root_device.as_str()])
            .filter_map(ending)
            .map(str::to_owned)
            .collect();
        Self { target, used }
    }

    /// Takes the name that a person asked for.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn take(&mut self, device: &str) -> Result<String, String> {
        if !allowed(self.target.platform, device) {
            return Err(format!("{device} is not a name for a data volume here"));
        }
        let letters = ending(device).unwrap_or_default();
        if self.used.contains(letters) {
            let other = self
                .target
                .devices
                .iter()
                .find(|d| ending(&d.device) == Some(letters));
            return Err(match other {
                Some(other) if other.device == device => {
                    format!("{device} is in use by {}", other.volume)
                }
                Some(other) => format!(
                    "{device} overlaps with {}, which is in use by {}",
                    other.device, other.volume
                ),
                None => format!("{device} is taken by this plan or by the root device"),
            });
        }
        self.used.insert(letters.to_owned());
        Ok(device.to_owned())
    }

    /// The next free name: `f` to `p`, which every kernel accepts, then the rest; `b` to `e` last, since
    /// they may be instance store.
    pub(super) fn next(&mut self) -> Option<String> {
        let prefix = match self.target.platform {
            Platform::Linux => "/dev/sd",
            Platform::Windows => "xvd",
        };
        let letter = ('f'..='p')
            .chain('q'..='z')
            .chain('b'..='e')
            .find(|c| !self.used.contains(&c.to_string()))?;
        self.used.insert(letter.to_string());
        Some(format!("{prefix}{letter}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_and_allowed_names() {
        for (name, letters) in [
            ("/dev/sdf", "f"),
            ("xvdf", "f"),
            ("/dev/sda1", "a"),
            ("/dev/xvdba", "ba"),
        ] {
            assert_eq!(ending(name), Some(letters), "{name}");
        }
        assert_eq!(ending("/dev/nvme1n1"), None);
        for good in [
            "/dev/sdf",
            "/dev/sdz",
            "/dev/xvdf",
            "/dev/xvdba",
            "/dev/xvddx",
        ] {
            assert!(allowed(Platform::Linux, good), "{good}");
        }
        for bad in [
            "sdf",
            "xvdf",
            "/dev/sda",
            "/dev/sda1",
            "/dev/sdf1",
            "/dev/xvdaa",
            "/dev/xvddy",
            "/dev/sdF",
            "",
            "/dev/sdf;x",
        ] {
            assert!(!allowed(Platform::Linux, bad), "{bad}");
        }
        assert!(allowed(Platform::Windows, "xvdf") && !allowed(Platform::Windows, "/dev/sdf"));
    }
}
