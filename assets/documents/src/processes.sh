# --- processes: who works on a job, and where they meet ---
#
# Three processes work on one job, and all they share lies in a directory on tmpfs (S):
#   foreground  what the agent started; the agent may SIGKILL its whole process group at any moment
#   guard       own session, up before the first lock or freeze; thaws at the deadline or when the holder is gone
#   holder      own session; locks, freezes, waits for the release, thaws, unlocks
# And one for each mount, its pin (own session), which keeps a descriptor of it, and thaws it a second after the deadline where nobody else has.
# Files in S: st.N state of mount N (open, freezing before the ioctl, frozen, thawed, foreign, failed), dev.N mnt.N id.N pin.N, count, last (the first
# of those that freeze last); guard.up holder.up net call thawer.N "PID START …"; told.N (its failed thaw was told); freeze.N thaw.N what fsfreeze says;
# ready, release, disarm, fired, outcome; events, printed, seq; autonomous.
# Another program may fill that memory at any moment. So each note that safety depends on is made, blank, before anything is frozen (pin_mounts), and
# from then on written in place, never truncated: the page and the file that it needs are there. Only `events` grows; a line may be missing there.
# Descriptors of the holder: 3 for a moment, 6 7 8 9 the writing ends of its gates. Recipes have 4 and 5. Of others: 9 the mutex, 7 the pins' gate.
MODE='{{ mode }}'
FREEZE_ROOT='{{ freezeRoot }}'
LEAVE_OUT='{{ leaveOut }}'
# The name of a recipe of the user's own that runs on this document; it is what the set is tagged with.
RECIPE_NAME='{{ recipe }}'

newline='
'
PRINTED=0

# --- processes ---

# An empty file; a failed redirection of `:` would end the shell.
mark() { { printf '' >"$1"; } 2>/dev/null; }

# first_line FILE: in LINE_1, without a fork
first_line() {
    LINE_1=''
    { read -r LINE_1 <"$1"; } 2>/dev/null || :
}

# note FILE TEXT: in the job's directory, over what was there; 1 when it could not be written. has FILE: does it say anything? LINE_1.
note() { { printf '%-8s\n' "$2" 1<>"$S/$1"; } 2>/dev/null; }
has() {
    first_line "$S/$1"
    [ -n "$LINE_1" ]
}

nap() { "$SLEEP" 0.05; }

# The start time of a process (PROC_START), its session (PROC_SESSION): a pid alone may have been given to another since.
process() {
    PROC_LINE=''
    { read -r PROC_LINE <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # split into fields; the command's name, which may hold blanks, is cut off
    set -- ${PROC_LINE##*) }
    PROC_SESSION=$4
    PROC_START=${20}
    case $1 in Z | X) return 1 ;; esac
}

# lives PID START: does that process still run?
lives() { [ -n "${2:-}" ] && process "$1" && [ "$PROC_START" = "$2" ]; }

# alive FILE: does the process that FILE names ("PID START …") still run?
alive() {
    AL_PID='' AL_START=''
    { read -r AL_PID AL_START AL_REST <"$S/$1"; } 2>/dev/null || return 1
    : "${AL_REST:-}"
    lives "$AL_PID" "$AL_START"
}

# note_process PID FILE [TEXT]
note_process() { process "$1" && note "$2" "$1 $PROC_START ${3:-}"; }

# Of its own children a process knows by itself, whatever can be noted: begun NAME is for the last one, child NAME says whether it still runs.
begun() { process $! && eval "CHILD_$1='$! $PROC_START'"; }
child() { eval "lives \${CHILD_$1:-}"; }

end_process() {
    if alive "$1"; then kill -KILL "$AL_PID" 2>/dev/null || :; fi
}

set_state() { note "st.$1" "$2"; }
# What is there and tells nothing is `unclear`. Twice: it may be written at this moment, and some shells read byte by byte.
get_state() {
    for STATE in 1 2; do
        has "st.$1"
        STATE=$LINE_1
        case $STATE in open | freezing | frozen | thawed | foreign | failed) return ;; esac
    done
    if [ -e "$S/st.$1" ]; then STATE=unclear; fi
}

# From now on a write may have to wait.
window_begins() {
    now
    if ! has window.start; then note window.start "$NOW"; fi
}
mark_window_end() {
    now
    note window.end "$NOW"
}

# ours N: is that mount noted as frozen by this job, or about to be? One whose note is unclear may be.
ours() {
    get_state "$1"
    case $STATE in freezing | frozen | unclear) ;; *) return 1 ;; esac
}

# Does the guard or the holder live?
helped() { alive guard.up || alive holder.up; }

# Is anything of this job frozen, as far as is known? Where a note is unclear a look decides, once nobody can freeze any more.
still_frozen() {
    SF_N=1
    while [ "$SF_N" -le "$COUNT" ]; do
        if ours "$SF_N" && { [ "$STATE" != unclear ] || holder_works || thawing || looks_frozen "$SF_N"; }; then return 0; fi
        SF_N=$((SF_N + 1))
    done
    return 1
}
