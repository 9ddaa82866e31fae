//! The exit codes of the documents' scripts, as Data Lifecycle Manager's contract for pre and post scripts has them
//! (docs/line-protocol.md, "Exit codes"), and those that a shell, a signal or the agent leave.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a script ended that did not end with 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "i32", into = "i32")]
pub enum ScriptExit {
    /// 201: `pre-script` failed; it left nothing frozen.
    PreScriptFailed,
    /// 202: `post-script` failed.
    PostScriptFailed,
    /// 203: the failsafe fired before `post-script` came.
    FailsafeFired,
    /// 204: a freeze is there already, of this job or of another.
    AlreadyFrozen,
    /// 205: `post-script` found nothing frozen.
    NotFrozen,
    /// 206: the application is not ready; nothing was touched.
    NotReady,
    /// 137: SIGKILL ended it, wherever it was.
    Killed,
    /// 126: the shell may not execute it.
    NotExecutable,
    /// 127: the shell does not find it.
    NotFoundByShell,
    /// -1: the agent has no exit code of it.
    Unstated,
    /// Any other code.
    Other(i32),
}

impl ScriptExit {
    /// The code.
    pub fn code(self) -> i32 {
        match self {
            Self::PreScriptFailed => 201,
            Self::PostScriptFailed => 202,
            Self::FailsafeFired => 203,
            Self::AlreadyFrozen => 204,
            Self::NotFrozen => 205,
            Self::NotReady => 206,
            Self::Killed => 137,
            Self::NotExecutable => 126,
            Self::NotFoundByShell => 127,
            Self::Unstated => -1,
            Self::Other(code) => code,
        }
    }
}

impl From<i32> for ScriptExit {
    fn from(code: i32) -> Self {
        match code {
            201 => Self::PreScriptFailed,
            202 => Self::PostScriptFailed,
            203 => Self::FailsafeFired,
            204 => Self::AlreadyFrozen,
            205 => Self::NotFrozen,
            206 => Self::NotReady,
            137 => Self::Killed,
            126 => Self::NotExecutable,
            127 => Self::NotFoundByShell,
            -1 => Self::Unstated,
            code => Self::Other(code),
        }
    }
}

impl From<ScriptExit> for i32 {
    fn from(exit: ScriptExit) -> Self {
        exit.code()
    }
}

impl fmt::Display for ScriptExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_and_keeps_its_number() {
        for code in -300..=300 {
            let exit = ScriptExit::from(code);
            assert_eq!((exit.code(), exit.to_string()), (code, code.to_string()));
            let named = [-1, 126, 127, 137].contains(&code) || (201..=206).contains(&code);
            assert_eq!(matches!(exit, ScriptExit::Other(_)), !named, "{code}");
        }
    }
}
