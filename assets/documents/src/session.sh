# --- session: one client of the database, kept from before the lock until after the thaw ---
#
# The client reads statements from a FIFO that only the holder writes to, and answers into files on tmpfs. The recipe brings `client`
# (becomes the client, by exec) and `say_mark N` (prints the statement that answers `freezeframe mark N`).

FILE='^(auto|/[A-Za-z0-9._/@+-]+)$'
lock_parameters() {
    check lockWaitSeconds "$LOCK_WAIT" '^[1-9][0-9]?$'
    check lockRetries "$LOCK_RETRIES" '^[0-9]$'
}

# 1 when it could not be started.
open_client() {
    MARK=0
    SAY_READ=0
    SAY_ERROR=''
    mark "$S/session.out"
    mark "$S/session.err"
    mkfifo "$S/session.in" || return 1
    # Both ends, so that neither side waits for the other to open it.
    exec 4<>"$S/session.in"
    # The client must not hold a writing end itself, or it would never see the holder's death.
    (exec 4>&-; client) <"$S/session.in" >"$S/session.out" 2>>"$S/session.err" &
    note_process $! client
}

# The first line that names an error, else the first: some clients repeat the statement before they complain.
read_complaint() {
    while IFS= read -r LINE; do
        case $LINE in *ERROR* | *FATAL* | *rror:*)
            SAY_ERROR=$LINE
            break
            ;;
        esac
        SAY_ERROR=${SAY_ERROR:-$LINE}
    done <"$S/session.err"
}

# say TEXT MS: send it and wait for its end, at most MS. SAID: what came back; SAY_ERROR: what the client complained of.
# 1 when the session is gone, 2 when the time is up.
say() {
    MARK=$((MARK + 1))
    mark "$S/session.err"
    { printf '%s\n' "$1"; say_mark "$MARK"; } >&4
    SAID=''
    SAY_ERROR=''
    now
    SAY_LIMIT=$((NOW + $2))
    while :; do
        SAY_SEEN=no
        SAID=''
        SAY_N=0
        while IFS= read -r LINE; do
            SAY_N=$((SAY_N + 1))
            # At the line's end: a shell may print its prompt before it.
            case $LINE in *"freezeframe mark $MARK")
                SAY_SEEN=yes
                break
                ;;
            esac
            if [ "$SAY_N" -gt "$SAY_READ" ]; then SAID="$SAID${SAID:+$newline}$LINE"; fi
        done <"$S/session.out"
        if [ "$SAY_SEEN" = yes ]; then
            SAY_READ=$SAY_N
            read_complaint
            return 0
        fi
        if ! alive client; then
            read_complaint
            return 1
        fi
        now
        if [ "$NOW" -ge "$SAY_LIMIT" ]; then return 2; fi
        "$SLEEP" 0.02
    done
}

# close_client TEXT: ask it to go, wait a little, then have the recipe end it
close_client() {
    if alive client; then printf '%s\n' "$1" >&4; fi
    exec 4>&-
    CC_N=0
    while alive client && [ $CC_N -lt 40 ]; do
        nap
        CC_N=$((CC_N + 1))
    done
    recipe_kill
}

# The time that a lock may still take: the deadline must leave room for the freeze and the snapshot.
time_for_lock() {
    now
    [ $((NOW + LOCK_WAIT * 1000 + 2000)) -lt "$DEADLINE" ]
}

# A short budget shortens the wait, so that at least one attempt fits.
fit_lock_wait() {
    if [ $((LOCK_WAIT * 2)) -gt "$BUDGET" ]; then LOCK_WAIT=$((BUDGET / 3 > 0 ? BUDGET / 3 : 1)); fi
}

# Is there a session? Its number is the server's, or the process id of the client.
has_session() { matches "${SESSION:-}" '^[0-9]+$'; }

# say_engine NAME: who answers, and where its data lies, as it is reached through the mount that freezes it
say_engine() {
    place_of "$DATADIR"
    emit engine "name=$1" "version=$DB_VERSION" "datadir=$PLACE" "replica:$REPLICA"
}

# The words of every lock: begin_lock WHAT; while try_again; window_begins; locked HOW; at the end lock_failed.
begin_lock() {
    if ! has_session || ! alive client; then
        stop db-unreachable "no session for $1: $SAY_ERROR"
        return
    fi
    TRIES=0
    STOP_TEXT='the budget left no time to try'
}
try_again() {
    [ "$TRIES" -le "$LOCK_RETRIES" ] && time_for_lock || return 1
    TRIES=$((TRIES + 1))
}
locked() { emit locked "session:$SESSION" "how=$1" "tries:$TRIES"; }
lock_failed() {
    emit lock-timeout "tries:$TRIES"
    STOP_CODE=lock-timeout
    return 1
}
say_alive() { emit alive "session:$SESSION"; }
unlocked() { emit unlocked "session:$SESSION"; }

# say_path WHAT PATH: a place besides the data directory that the engine needs; as it is reached through the mount that freezes it
say_path() {
    SP=$(readlink -f "$2" 2>/dev/null) || SP=$2
    place_of "$SP"
    TOLD="${TOLD:-} $SB_DEVICE "
    # A mount of no block device was not told: by its name it would look covered where the mount above it is.
    case "$COVERED_DEVICES$MENTIONED" in *" $SB_DEVICE "* | *",$SB_MOUNT,"*) ;; *) emit mount "mount=${SB_MOUNT:-/}" fs=other dev=none 'volumes:[]' covered:false 'reason=it is not frozen' ;; esac
    emit path "what=$1" "path=$PLACE"
}

# refuse_uncovered WHAT PATH: without this one nothing of the database would be in the snapshots
refuse_uncovered() {
    superblock_of "$2"
    case $COVERED_DEVICES in *" $SB_DEVICE "*) if [ -n "$SB_DEVICE" ]; then return 0; fi ;; esac
    RU_CODE=no-volume
    case " $FORBIDDEN" in *" $SB_DEVICE=root-mount"*) RU_CODE=root-mount ;; esac
    refuse "$RU_CODE" "$1 ($2) is not on a filesystem that is frozen" "$SB_MOUNT"
}
