//! Who is to call `CreateSnapshots`: what was asked for, what is chosen of it, and why.

use serde::{Deserialize, Serialize};

use super::job::Mode;

/// Who is to call `CreateSnapshots`, as it was asked for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    Default,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum AskedMode {
    /// The instance itself where its own dry run proves that its role may, the console elsewhere.
    #[default]
    Auto,
    /// The console.
    Coordinated,
    /// The instance, or nobody.
    Autonomous,
}

impl From<Mode> for AskedMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Coordinated => Self::Coordinated,
            Mode::Autonomous => Self::Autonomous,
        }
    }
}

/// The mode of a job, and why it is that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenMode {
    /// It.
    pub mode: Mode,
    /// In words.
    pub reason: String,
}

impl ChosenMode {
    fn new(mode: Mode, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { mode, reason }
    }

    /// The instance's own dry run has proven its role.
    pub fn role_proven() -> Self {
        Self::new(
            Mode::Autonomous,
            "the instance's dry run proved that its role may make the snapshots",
        )
    }

    /// The sentence that the instance's role is not proven, with what the instance said.
    pub fn role_unproven(said: &str) -> Self {
        let reason = format!("the instance's role is not proven: {said}");
        Self::new(Mode::Coordinated, reason)
    }
}

/// What a document can do, by what is known before the instance is asked.
#[derive(Debug, Clone, Copy)]
pub struct Able<'a> {
    /// The document's name.
    pub document: &'a str,
    /// It is somebody else's, and has no command that makes the snapshots.
    pub third_party: bool,
}

/// Why a mode that was asked for cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMode {
    /// In words.
    pub cause: String,
    /// What to do.
    pub hint: &'static str,
}

/// The mode as far as it is known before the instance is asked; `None`: its dry run decides.
///
/// # Errors
/// What was asked for contradicts itself or what the document can do.
pub fn before(
    asked: AskedMode,
    freeze_root: bool,
    able: Able<'_>,
) -> Result<Option<ChosenMode>, NoMode> {
    if freeze_root && asked == AskedMode::Coordinated {
        return Err(NoMode {
            cause: "/ carries the agent that must thaw it, so coordinated mode never freezes it"
                .to_owned(),
            hint: "freeze it with --mode autonomous, or leave --freeze-root out",
        });
    }
    let theirs = || {
        format!(
            "{} is somebody else's document, which cannot take snapshots itself",
            able.document
        )
    };
    Ok(match asked {
        AskedMode::Coordinated => Some(ChosenMode::new(Mode::Coordinated, "it was asked for")),
        AskedMode::Autonomous | AskedMode::Auto
            if able.third_party && (freeze_root || asked == AskedMode::Autonomous) =>
        {
            return Err(NoMode {
                cause: theirs(),
                hint: if freeze_root {
                    "leave --freeze-root out: only a document that takes the snapshots itself may freeze /"
                } else {
                    "take it with --mode coordinated"
                },
            });
        }
        AskedMode::Autonomous => Some(ChosenMode::new(Mode::Autonomous, "it was asked for")),
        AskedMode::Auto if able.third_party => Some(ChosenMode::new(Mode::Coordinated, theirs())),
        AskedMode::Auto => None,
    })
}

/// Whether an error of the instance's dry run is only about its call to EC2: all that was looked at before is well,
/// and the console can make the call in its place.
pub fn is_of_the_role(code: &str) -> bool {
    [
        "no-metadata",
        "no-credentials",
        "no-client",
        "snapshot-refused",
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Able<'_> = Able {
        document: "freezeframe-linux-mysql",
        third_party: false,
    };
    const THEIRS: Able<'_> = Able {
        document: "Theirs",
        third_party: true,
    };

    #[test]
    fn what_is_asked_for_is_taken_or_refused_and_auto_waits_for_the_instance() {
        let mode = |asked, root, able| before(asked, root, able).map(|c| c.map(|c| c.mode));
        assert_eq!(mode(AskedMode::Auto, false, OURS), Ok(None));
        assert_eq!(mode(AskedMode::Auto, true, OURS), Ok(None));
        let coordinated = Ok(Some(Mode::Coordinated));
        assert_eq!(mode(AskedMode::Auto, false, THEIRS), coordinated);
        assert_eq!(mode(AskedMode::Coordinated, false, OURS), coordinated);
        let autonomous = Ok(Some(Mode::Autonomous));
        assert_eq!(mode(AskedMode::Autonomous, true, OURS), autonomous);
        for (asked, root, able) in [
            (AskedMode::Coordinated, true, OURS),
            (AskedMode::Autonomous, false, THEIRS),
            (AskedMode::Auto, true, THEIRS),
        ] {
            assert!(before(asked, root, able).is_err(), "{asked} {root}");
        }
    }

    #[test]
    fn every_choice_says_why() {
        assert_eq!(
            AskedMode::default().to_string().parse(),
            Ok(AskedMode::Auto)
        );
        assert_eq!(ChosenMode::role_proven().mode, Mode::Autonomous);
        let no = ChosenMode::role_unproven("no-credentials: the instance has no role");
        assert_eq!(no.mode, Mode::Coordinated);
        assert!(no.reason.contains("has no role"));
        assert!(is_of_the_role("snapshot-refused") && !is_of_the_role("busy"));
    }
}
