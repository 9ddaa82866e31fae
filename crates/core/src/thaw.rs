//! Is it thawed? One judgement on a `post-script` that has ended: for the job that sent it, for a later process that has
//! only the journal, and for a console that sees the commands of another. They know different things of the command
//! that freezes ([`Freeze`]); what follows from them is decided here.

use crate::command::CommandEnd;
use crate::script_exit::ScriptExit;
use crate::trace::Trace;

/// What a `post-script` shows of the freeze. `Why`: what goes with an answer that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThawVerdict<Why = ()> {
    /// Everything is thawed, and nothing of the job can freeze any more.
    Confirmed,
    /// Nothing is frozen now; the command that freezes may yet begin.
    Later,
    /// It shows nothing: the freeze may stand.
    Unconfirmed(Why),
    /// The instance says that something is frozen, or that it could not be thawed.
    StillFrozen(Why),
}

/// What is known of the command that freezes (`pre-script`, or `snapshot` in autonomous mode).
#[derive(Debug, Clone, Copy)]
pub struct Freeze<'a> {
    /// Its document is not ours: it lays no tombstone marker, arms no failsafe of ours, and need not speak FF1.
    pub third_party: bool,
    /// When the `post-script` was sent it had ended, or could certainly not begin any more.
    pub conclusive: bool,
    /// It may have frozen what it was to freeze ([`CommandEnd::may_have_frozen`]), and no `post-script` has succeeded
    /// since.
    pub may_hold: bool,
    /// What the job that sent it knows beside.
    pub followed: Option<Followed<'a>>,
}

/// What the job that sent the command knows of it, and nobody else.
#[derive(Debug, Clone, Copy)]
pub struct Followed<'a> {
    /// What it said, once it has ended.
    pub trace: Option<&'a Trace>,
    /// The mounts that it was to freeze, by the preflight.
    pub covered: &'a [&'a str],
    /// It has ended by now, and can neither go on nor begin again.
    pub over: bool,
}

impl Followed<'_> {
    fn frozen(&self) -> Vec<&str> {
        self.trace.map(Trace::frozen_mounts).unwrap_or_default()
    }
}

/// Judges a `post-script` by how it ended and what it said.
pub fn judge(ended: &CommandEnd, post: &Trace, freeze: &Freeze<'_>) -> ThawVerdict {
    let no_mount = |f: &Followed<'_>| f.covered.is_empty() && f.frozen().is_empty();
    let silent = post.lines.is_empty() || freeze.followed.as_ref().is_some_and(no_mount);
    if freeze.third_party && silent {
        return by_exit(ended, freeze);
    }
    if post.any_probed_frozen() {
        return ThawVerdict::StillFrozen(());
    }
    match &freeze.followed {
        Some(followed) => by_mounts(post, freeze, followed),
        None => by_word(ended, post, freeze),
    }
}

/// What only an exit code says, of a document that is not ours. Otherwise than conclusive it may yet freeze, for no
/// tombstone marker stops it; 203 (it has been, and is over) may be said before a freeze too, where nothing is held
/// yet. One sample of Data Lifecycle Manager's stops at the first filesystem that is open already and leaves the rest
/// (aws-facts 1.9): after a freeze that worked, "not frozen" is no proof; after one that failed, the frozen ones come
/// first and are thawed.
fn by_exit(ended: &CommandEnd, freeze: &Freeze<'_>) -> ThawVerdict {
    let exit = match ended {
        CommandEnd::Success => None,
        CommandEnd::Failed { exit } => Some(*exit),
        _ => return ThawVerdict::Unconfirmed(()),
    };
    match (exit, freeze.conclusive, freeze.may_hold) {
        (None, true, _) => ThawVerdict::Confirmed,
        (None, false, _) => ThawVerdict::Later,
        (Some(ScriptExit::FailsafeFired), false, false) => ThawVerdict::Later,
        (Some(ScriptExit::FailsafeFired), _, _) => ThawVerdict::Confirmed,
        (Some(ScriptExit::NotFrozen), true, false) => ThawVerdict::Confirmed,
        (Some(ScriptExit::NotFrozen), false, false) => ThawVerdict::Later,
        _ => ThawVerdict::Unconfirmed(()),
    }
}

/// What a `post-script` says where nobody here knows which mounts were frozen. Ours probes every mount before it says
/// how it ends, and says so to its last line.
fn by_word(ended: &CommandEnd, post: &Trace, freeze: &Freeze<'_>) -> ThawVerdict {
    if post.has_error("thaw-failed") {
        return ThawVerdict::StillFrozen(());
    }
    match ended {
        CommandEnd::Success => ThawVerdict::Confirmed,
        _ if post.has_error("busy") => ThawVerdict::Unconfirmed(()),
        // "No such job": true, unless the other has yet to begin. Past the tombstone marker of ours it does not.
        CommandEnd::Failed {
            exit: ScriptExit::NotFrozen,
        } if !freeze.conclusive && !post.lays_tombstone() => ThawVerdict::Later,
        CommandEnd::Failed {
            exit: ScriptExit::PostScriptFailed | ScriptExit::FailsafeFired | ScriptExit::NotFrozen,
        } if post.is_whole() => ThawVerdict::Confirmed,
        _ => ThawVerdict::Unconfirmed(()),
    }
}

/// Mount by mount: each that was frozen, or was to be, is seen open.
fn by_mounts(post: &Trace, freeze: &Freeze<'_>, followed: &Followed<'_>) -> ThawVerdict {
    let frozen = followed.frozen();
    let thawed = post.thawed_mounts();
    // What froze it may have thawed it as well, and told so: in autonomous mode, and where it failed half-way.
    let undone = |mount: &str| {
        let pre = followed.trace.filter(|_| !freeze.third_party);
        pre.is_some_and(|pre| pre.leaves_open(mount))
    };
    let open =
        |mount: &str| thawed.contains(&mount) || post.probed(mount) == Some(false) || undone(mount);
    let covered = || followed.covered.iter().copied();
    let fired = post.fired() == Some(true);
    if post.has_error("not-frozen") && !fired && thawed.is_empty() {
        // "No such job": with probes of everything, or with nothing ever frozen, and no late start possible.
        // The other command may have ended meanwhile, and say itself that it holds nothing.
        let says_nothing_held = followed.trace.is_some_and(Trace::left_nothing_held);
        let certain =
            freeze.conclusive || (followed.over && says_nothing_held) || post.lays_tombstone();
        let held = !frozen.iter().all(|m| open(m)) || (freeze.may_hold && !covered().all(open));
        return match (held, certain) {
            (true, _) => ThawVerdict::Unconfirmed(()),
            (false, true) => ThawVerdict::Confirmed,
            (false, false) => ThawVerdict::Later,
        };
    }
    let all = frozen.iter().copied().chain(covered()).all(open);
    // What the failsafe released it did not report mount by mount.
    let probed = fired && covered().all(|m| post.probed(m) == Some(false));
    if all || probed {
        ThawVerdict::Confirmed
    } else {
        ThawVerdict::Unconfirmed(())
    }
}

/// Whether a command that freezes, and has ended like this, says of itself that it left nothing held. A second delivery
/// knows nothing of what the first one holds.
pub fn left_nothing_held(ended: &CommandEnd, trace: &Trace) -> bool {
    match ended {
        CommandEnd::NeverDelivered => trace.lines.is_empty(),
        CommandEnd::Failed { .. } => {
            trace.left_nothing_held() && !trace.has_error("already-frozen")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::parse;

    const HELLO: &str = r#""t":"hello","recipe":"r","version":3,"job":"j","command":"post-script""#;
    const OLD: &str = r#""t":"hello","recipe":"r","version":1,"job":"j","command":"post-script""#;
    const THAWED: &str = r#""t":"thawed","mount":"/data","ok":true"#;
    const OPEN: &str = r#""t":"probe","mount":"/data","frozen":false"#;
    const FROZEN: &str = r#""t":"probe","mount":"/data","frozen":true"#;
    const END: &str = r#""t":"end","outcome":"ok","exit":0"#;

    fn error(code: &str) -> String {
        format!(r#""t":"error","code":"{code}","text":"x""#)
    }

    fn said(lines: &[&str]) -> Trace {
        let line = |(n, line): (usize, &&str)| format!("FF1 {{\"seq\":{n},\"ms\":{n},{line}}}\n");
        parse(&(1..).zip(lines).map(line).collect::<String>())
    }

    fn ended(exit: i32) -> CommandEnd {
        match exit {
            0 => CommandEnd::Success,
            exit => CommandEnd::Failed { exit: exit.into() },
        }
    }

    /// The three that ask, side by side: the job that sent the command and froze `/data`, a process that has only the
    /// journal or sees only the commands, and either of them of a document that is not ours.
    #[test]
    fn one_thaw_is_judged_alike_by_the_job_by_recovery_and_by_another_console() {
        use ThawVerdict::{Confirmed, Later, StillFrozen, Unconfirmed};
        let froze = said(&[
            r#""t":"hello","recipe":"r","version":3,"job":"j","command":"pre-script""#,
            r#""t":"frozen","mount":"/data","took_ms":3"#,
        ]);
        let (gone, fired, failed, busy) = (
            error("not-frozen"),
            error("failsafe-fired"),
            error("thaw-failed"),
            error("busy"),
        );
        let (no, still) = (Unconfirmed(()), StillFrozen(()));
        // What it said, its exit code, whether the freezing command had ended: the job, others, a third party's.
        let rows: &[(&[&str], i32, bool, [ThawVerdict; 3])] = &[
            (&[HELLO, THAWED, OPEN, END], 0, true, [Confirmed; 3]),
            (&[HELLO, THAWED, OPEN, END], 0, false, [Confirmed; 3]),
            // The job misses the mount that it froze; the others have the document's word that it looked at all.
            (&[HELLO, END], 0, true, [no, Confirmed, Confirmed]),
            (&[HELLO, THAWED, FROZEN, END], 0, true, [still; 3]),
            (&[HELLO, &failed, END], 202, true, [no, still, still]),
            (&[HELLO, &busy, END], 202, true, [no; 3]),
            (&[HELLO, &fired, OPEN, END], 203, true, [Confirmed; 3]),
            (&[HELLO, &fired, OPEN], 203, true, [Confirmed, no, no]),
            (&[HELLO, &gone, OPEN, END], 205, true, [Confirmed; 3]),
            // Nothing gets past its tombstone marker.
            (&[HELLO, &gone, OPEN, END], 205, false, [Confirmed; 3]),
            (&[OLD, &gone, OPEN, END], 205, false, [Later; 3]),
            (&[HELLO, &gone, END], 205, true, [no, Confirmed, Confirmed]),
            (&[HELLO, OPEN, END], 201, true, [Confirmed, no, no]),
            // Only an exit code: of ours no word, and all that a document of others says.
            (&[], 0, true, [no, Confirmed, Confirmed]),
            (&[], 0, false, [no, Confirmed, Later]),
            (&[], 202, true, [no; 3]),
            (&[], 203, true, [no, no, Confirmed]),
            (&[], 203, false, [no, no, Confirmed]),
            (&[], 205, true, [no; 3]),
            (&[], 205, false, [no, Later, no]),
        ];
        for (lines, exit, conclusive, wanted) in rows {
            let post = said(lines);
            let other = |third_party| Freeze {
                third_party,
                conclusive: *conclusive,
                may_hold: true,
                followed: None,
            };
            let job = Freeze {
                followed: Some(Followed {
                    trace: Some(&froze),
                    covered: &["/data"],
                    over: true,
                }),
                ..other(false)
            };
            let found = [job, other(false), other(true)].map(|f| judge(&ended(*exit), &post, &f));
            assert_eq!(found, *wanted, "{lines:?} {exit} {conclusive}");
        }
    }

    #[test]
    fn an_exit_code_of_a_document_that_is_not_ours_counts_once_nothing_can_begin_any_more() {
        let freeze = |conclusive, may_hold| Freeze {
            third_party: true,
            conclusive,
            may_hold,
            followed: None,
        };
        for (exit, conclusive, may_hold, wanted) in [
            (0, true, true, ThawVerdict::Confirmed),
            (0, false, true, ThawVerdict::Later),
            (203, false, false, ThawVerdict::Later),
            (203, false, true, ThawVerdict::Confirmed),
            (205, true, false, ThawVerdict::Confirmed),
            (205, false, false, ThawVerdict::Later),
            (205, true, true, ThawVerdict::Unconfirmed(())),
            (1, true, false, ThawVerdict::Unconfirmed(())),
        ] {
            let found = judge(
                &ended(exit),
                &Trace::default(),
                &freeze(conclusive, may_hold),
            );
            assert_eq!(found, wanted, "{exit} {conclusive} {may_hold}");
        }
        for end in [
            CommandEnd::WorkerLost,
            CommandEnd::Cancelled { may_have_run: true },
            CommandEnd::TimedOut { may_have_run: true },
        ] {
            let found = judge(&end, &Trace::default(), &freeze(true, false));
            assert_eq!(found, ThawVerdict::Unconfirmed(()), "{end:?}");
        }
    }

    #[test]
    fn a_mount_that_the_freezing_command_thawed_itself_needs_no_other_thaw() {
        let undone = said(&[
            r#""t":"hello","recipe":"r","version":3,"job":"j","command":"pre-script""#,
            r#""t":"frozen","mount":"/data","took_ms":3"#,
            THAWED,
            END,
        ]);
        let gone = error("not-frozen");
        let post = said(&[HELLO, &gone, END]);
        let freeze = |third_party| Freeze {
            third_party,
            conclusive: true,
            may_hold: third_party,
            followed: Some(Followed {
                trace: Some(&undone),
                covered: &["/data"],
                over: true,
            }),
        };
        assert_eq!(
            judge(&ended(205), &post, &freeze(false)),
            ThawVerdict::Confirmed
        );
        // What is not ours is not believed so far.
        assert_eq!(
            judge(&ended(205), &post, &freeze(true)),
            ThawVerdict::Unconfirmed(())
        );
    }
}
