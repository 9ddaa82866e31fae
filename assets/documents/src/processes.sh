# --- processes: who works on a job, and where they meet ---
#
# Three processes work on one job, and all they share lies in a directory on tmpfs (S):
#   foreground  what the agent started; the agent may SIGKILL its whole process group at any moment
#   guard       own session, up before the first lock or freeze; thaws at the deadline or when the holder is gone
#   holder      own session; locks, freezes, waits for the release, thaws, unlocks
# Files in S: st.N state of mount N (freezing before the ioctl, frozen, thawed, foreign, failed), dev.N mnt.N id.N pin.N, count, last (the first of
# those that freeze last); guard.up holder.up call killer thawer.N "PID START …"; told.N (its failed thaw was told); ready, release, disarm, fired,
# outcome; events, printed, seq; autonomous.
# Descriptors of the holder: 3 for a moment, 6 7 8 the writing ends of its gates, 9 the mutex. Recipes have 4 and 5.
MODE='{{ mode }}'
FREEZE_ROOT='{{ freezeRoot }}'
# The name of a recipe of the user's own that runs on this document; it is what the set is tagged with.
RECIPE_NAME='{{ recipe }}'

newline='
'
PRINTED=0

# --- processes ---

# An empty file; a failed redirection of `:` would end the shell.
mark() { { printf '' >"$1"; } 2>/dev/null; }

# has FILE, note FILE TEXT: in the job's directory
has() { [ -e "$S/$1" ]; }
note() { printf '%s\n' "$2" >"$S/$1"; }

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

# alive FILE: does the process that FILE names ("PID START …") still run?
alive() {
    AL_PID='' AL_START=''
    { read -r AL_PID AL_START AL_REST <"$1"; } 2>/dev/null || return 1
    : "${AL_REST:-}"
    [ -n "$AL_START" ] && process "$AL_PID" && [ "$PROC_START" = "$AL_START" ]
}

note_process() {
    process "$1" && printf '%s %s %s\n' "$1" "$PROC_START" "${3:-}" >"$2"
}

end_process() {
    if alive "$1"; then kill -KILL "$AL_PID" 2>/dev/null || :; fi
}

set_state() { note "st.$1" "$2"; }
get_state() {
    STATE=''
    { read -r STATE <"$S/st.$1"; } 2>/dev/null || :
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

# ours N: is that mount noted as frozen by this job, or about to be?
ours() {
    get_state "$1"
    case $STATE in freezing | frozen) ;; *) return 1 ;; esac
}

still_frozen() {
    SF_N=1
    while [ "$SF_N" -le "$COUNT" ]; do
        if ours "$SF_N"; then return 0; fi
        SF_N=$((SF_N + 1))
    done
    return 1
}
