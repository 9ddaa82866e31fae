//! Checks of resource ids, with EC2's codes.

use std::collections::BTreeMap;

use crate::bounds;
use crate::wire::AppError;

/// Kinds of ids: prefix, and the stem of EC2's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Instance,
    Volume,
    Snapshot,
    Image,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Instance => "i-",
            Self::Volume => "vol-",
            Self::Snapshot => "snap-",
            Self::Image => "ami-",
        }
    }

    /// Refuses what is not an id of this kind.
    pub fn check(self, id: &str) -> Result<(), AppError> {
        let digits = id.strip_prefix(self.prefix()).unwrap_or_default();
        let hex = digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex && matches!(digits.len(), 8 | 17) {
            return Ok(());
        }
        let (code, what) = match self {
            Self::Instance => ("InvalidInstanceID.Malformed", "instance"),
            Self::Volume => ("InvalidVolumeID.Malformed", "volume"),
            Self::Snapshot => ("InvalidSnapshotID.Malformed", "snapshot"),
            Self::Image => ("InvalidAMIID.Malformed", "image"),
        };
        Err(AppError::new(
            code,
            format!(
                "Invalid {what} id: \"{id}\" (expecting \"{}...\")",
                self.prefix()
            ),
        ))
    }

    /// EC2's answer for an id that is well-formed and unknown.
    pub fn not_found(self, id: &str) -> AppError {
        match self {
            Self::Instance => AppError::new(
                "InvalidInstanceID.NotFound",
                format!("The instance ID '{id}' does not exist"),
            ),
            Self::Volume => AppError::new(
                "InvalidVolume.NotFound",
                format!("The volume '{id}' does not exist."),
            ),
            Self::Snapshot => AppError::new(
                "InvalidSnapshot.NotFound",
                format!("The snapshot '{id}' does not exist."),
            ),
            Self::Image => AppError::new(
                "InvalidAMIID.NotFound",
                format!("The image id '[{id}]' does not exist"),
            ),
        }
    }

    /// Looks one up, well-formedness first.
    pub fn find<'a, T>(self, id: &str, all: &'a BTreeMap<String, T>) -> Result<&'a T, AppError> {
        self.check(id)?;
        all.get(id).ok_or_else(|| self.not_found(id))
    }

    /// Every one of the wanted ids must exist; an empty list wants everything.
    pub fn wanted<'a, T>(
        self,
        ids: &[&str],
        all: &'a BTreeMap<String, T>,
    ) -> Result<Vec<&'a T>, AppError> {
        if ids.is_empty() {
            return Ok(all.values().collect());
        }
        few(ids)?;
        for id in ids {
            self.check(id)?;
        }
        let unique: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
        unique
            .into_iter()
            .map(|id| all.get(id).ok_or_else(|| self.not_found(id)))
            .collect()
    }
}

/// Refuses a list that is longer than EC2 takes.
pub fn few(names: &[&str]) -> Result<(), AppError> {
    if names.len() > bounds::IDS {
        return Err(AppError::value(format!(
            "A request can name at most {} resources or owners.",
            bounds::IDS
        )));
    }
    Ok(())
}

/// Refuses what is neither an account nor one of the words that stand for some.
///
/// # Errors
/// `InvalidUserID.Malformed`
pub fn check_users(users: &[&str], words: &[&str]) -> Result<(), AppError> {
    few(users)?;
    let fine = |user: &str| {
        words.contains(&user) || user.len() == 12 && user.bytes().all(|b| b.is_ascii_digit())
    };
    match users.iter().find(|user| !fine(user)) {
        Some(user) => Err(AppError::new(
            "InvalidUserID.Malformed",
            format!("Invalid user id: \"{user}\""),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_and_unknown_are_different_errors() {
        let none: BTreeMap<String, ()> = BTreeMap::new();
        assert_eq!(
            Kind::Volume.find("vol-xyz", &none).unwrap_err().code,
            "InvalidVolumeID.Malformed"
        );
        assert_eq!(
            Kind::Volume.find("vol-12345678", &none).unwrap_err().code,
            "InvalidVolume.NotFound"
        );
        assert_eq!(
            Kind::Snapshot.find("vol-12345678", &none).unwrap_err().code,
            "InvalidSnapshotID.Malformed"
        );
        assert_eq!(
            Kind::Instance
                .find("i-0123456789abcdef0", &none)
                .unwrap_err()
                .code,
            "InvalidInstanceID.NotFound"
        );
    }
}
