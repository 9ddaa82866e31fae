//! A script that the instance did not let run at all: the shell or the agent says so, and names no cause.

use super::script_exit::ScriptExit;

/// What stands in the way of every Run Command script on some hardened images.
pub const HINT: &str = "nothing of it ran: look on the instance whether fapolicyd refuses scripts below /var/lib/amazon/ssm \
     (ausearch -m fanotify; allow that directory) or its filesystem is mounted noexec (findmnt -no OPTIONS -T \
     /var/lib/amazon/ssm)";

/// Whether a command that ended with that code, and said that on its error output, never began: a shell ends with 126
/// for what it may not execute and with 127 for what it does not find, and the agent with -1 or 1 where it cannot start
/// it. `spoke`: a line of its own came, or it is a document that prints none.
pub fn is(exit: ScriptExit, spoke: bool, stderr: &str) -> bool {
    let words = [
        "Permission denied",
        "permission denied",
        "Operation not permitted",
        "operation not permitted",
    ];
    let denied = words.iter().any(|word| stderr.contains(word));
    let may_be = matches!(
        exit,
        ScriptExit::NotFoundByShell | ScriptExit::Other(1) | ScriptExit::Unstated
    );
    !spoke && (exit == ScriptExit::NotExecutable || (denied && may_be))
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn a_script_that_may_not_be_executed_is_told_from_one_that_failed() {
        let denied =
            "sh: 1: /var/lib/amazon/ssm/i-1/document/orchestration/c/_script.sh: Permission denied";
        let forked = "fork/exec /usr/bin/sh: operation not permitted";
        for (exit, spoke, stderr, never) in [
            (126, false, denied, true),
            (126, false, "", true),
            (127, false, denied, true),
            (-1, false, forked, true),
            (1, false, forked, true),
            // It began, or something else is wrong.
            (126, true, denied, false),
            (127, false, "foo: not found", false),
            (201, false, denied, false),
            (1, false, "no such table", false),
        ] {
            assert_eq!(
                is(exit.into(), spoke, stderr),
                never,
                "{exit} {spoke} {stderr}"
            );
        }
    }
}
