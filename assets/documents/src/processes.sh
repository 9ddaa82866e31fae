# --- processes: who works on a job, and where they meet ---
#
# Three processes work on one job, and all they share lies in a directory on tmpfs (S):
#   foreground  what the agent started; the agent may SIGKILL its whole process group at any moment
#   guard       own session, up before the first lock or freeze; thaws at the deadline or when the holder is gone
#   holder      own session; locks, freezes, waits for the release, thaws, unlocks
# Files in S: st.N state of mount N (freezing before the ioctl, frozen, thawed, foreign, failed), dev.N mnt.N id.N pin.N;
# guard.up holder.up "PID START …"; ready, release, disarm, fired, outcome; events, printed, seq.

newline='
'
PRINTED=0

# --- processes ---

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

# --- freezing and thawing one mount ---

# Frozen or not, without changing anything and without waiting on it ourselves: rmdir(2) asks for write access to the mount before it looks
# the name up, so on a frozen filesystem it blocks and on any other it fails at once. A blocked one ends with the thaw.
is_frozen() {
    "$SETSID" "$RMDIR" "$1/.freezeframe-no-such-directory" </dev/null >/dev/null 2>&1 &
    IF_PID=$!
    IF_N=0
    while [ "$IF_N" -lt 100 ]; do
        process "$IF_PID" || return 1
        "$SLEEP" 0.01
        IF_N=$((IF_N + 1))
    done
    process "$IF_PID"
}

# thaw N: 0 our FITHAW returned 0; 1 it was not frozen; 2 any other failure. TH_TEXT says why.
# Through the descriptor that was pinned before the freeze; by path only if that is gone and the path still leads to the same mount.
thaw() {
    TH_TARGET=''
    read -r TH_DEV <"$S/dev.$1"
    read -r TH_ID <"$S/id.$1"
    read -r TH_MNT <"$S/mnt.$1"
    if alive "$S/pin.$1" && [ "$(stat -L -c %d "/proc/$AL_PID/fd/0" 2>/dev/null)" = "$TH_DEV" ]; then
        TH_TARGET=/proc/$AL_PID/fd/0
    elif [ "$(stat -c %d "$TH_MNT" 2>/dev/null)" = "$TH_DEV" ] && [ "$(mount_id_of "$TH_MNT")" = "$TH_ID" ]; then
        TH_TARGET=$TH_MNT
    else
        TH_TEXT='the pinned descriptor is gone and the path leads elsewhere'
        return 2
    fi
    if TH_TEXT=$("$FSFREEZE" -u "$TH_TARGET" 2>&1); then return 0; fi
    case $TH_TEXT in *'nvalid argument'*)
        TH_TEXT='it was not frozen any more'
        return 1
        ;;
    esac
    return 2
}

set_state() { printf '%s\n' "$2" >"$S/st.$1"; }
get_state() {
    STATE=''
    { read -r STATE <"$S/st.$1"; } 2>/dev/null || :
}

mark_window_end() {
    now
    printf '%s\n' "$NOW" >"$S/window.end"
}

still_frozen() {
    SF_N=1
    while [ "$SF_N" -le "$COUNT" ]; do
        get_state "$SF_N"
        case $STATE in freezing | frozen) return 0 ;; esac
        SF_N=$((SF_N + 1))
    done
    return 1
}
