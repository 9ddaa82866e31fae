# --- session: one client of the database, kept from before the lock until after the thaw ---
#
# The client reads statements from a FIFO that only the holder writes to, and answers into files on tmpfs. The recipe brings `client`
# (becomes the client, by exec) and `say_mark N` (prints the statement that answers `freezeframe mark N`).

FILE='^(auto|/[A-Za-z0-9._/@+-]+)$'
lock_parameters() {
    check client "$CLIENT_PATH" "$FILE"
    check lockWaitSeconds "$LOCK_WAIT" '^[1-9][0-9]?$'
    check lockRetries "$LOCK_RETRIES" '^[0-9]$'
}

# found_client NAME: CLIENT, or the one that is asked for
found_client() {
    if [ "$CLIENT_PATH" != auto ]; then CLIENT=$CLIENT_PATH; fi
    if [ ! -x "$CLIENT" ]; then CLIENT=''; fi
    found_tool "$1" "$CLIENT"
}

# 1 when it could not be started. BEFORE: the sockets that the server held until then.
# shellcheck disable=SC2034 # not for all databases
open_client() {
    HELD=''
    if alive server; then sockets_of "$AL_PID"; fi
    BEFORE=" $HELD"
    MARK=0
    SAY_READ=0
    SAY_ERROR=''
    SAY_CODE=''
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

# --- the server: it is asked for the lock, so what is frozen must be its files ---
#
# A client may reach another server than the one whose files lie here (an option file, a proxy, a tunnel, the port of a container), and that one may
# name the same places. So: the process that it says it is runs here, sees the files that we see, works in that data directory, and takes the
# connections where we ask. All that is asked once more, of the session that is kept, before it locks.

# same FILE FILE: one file by two names
same() {
    SAME=$(stat -L -c %d:%i "$1" 2>/dev/null) && [ "$SAME" = "$(stat -L -c %d:%i "$2" 2>/dev/null)" ]
}

# prove_server PID FILE [WHERE]: FILE is its data directory, or a file there that it keeps open; WHERE a socket's path or a port.
# systemd gives many services mounts of their own, of the same root: there each path is compared (seen_alike).
prove_server() {
    SERVER=$1 THEIR_ROOT=/proc/$1/root
    case $1 in '' | *[!0-9]*) SERVER=unknown ;; esac
    if [ "$SERVER" = unknown ] || ! process "$1"; then refuse other-server "the server that answers (process $SERVER in $DATADIR) is not a process of this machine"; fi
    if ! same "$THEIR_ROOT/." /.; then refuse other-server "the server that answers (process $1) runs in a container: its files are not those that this machine has by the same names"; fi
    PROVEN=$2
    if [ "$(readlink "/proc/$1/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ]; then THEIR_ROOT=''; fi
    if [ -d "$2" ]; then
        same "/proc/$1/cwd" "$2"
    else
        find -L "/proc/$1/fd" -maxdepth 1 -samefile "$2" 2>/dev/null | grep -q .
    fi || refuse other-server "process $1 does not work in $DATADIR: another server answers than the one whose files are here"
    if [ -n "${3:-}" ] && ! listens "$1" "$3"; then refuse other-server "at $3 another process takes the connections than the server (process $1): a proxy, or another server"; fi
    if [ -n "$S" ]; then note_process "$1" server || refuse arm-failed "no room in $JOBS"; fi
}

# same_server [WHERE]: before the kept session locks
same_server() {
    if alive server && { SERVER=$AL_PID; [ -z "${1:-}" ] || listens "$SERVER" "$1"; }; then return 0; fi
    SESSION='' SAY_CODE=other-server SAY_ERROR='another server answers than the one whose files are frozen'
    return 1
}

# Do the places that the server names mean for it what they mean for us?
seen_alike() { [ -e "$1" ] && { [ -z "${THEIR_ROOT:-}" ] || same "$THEIR_ROOT$1" "$1"; }; }

# sockets_of PID: in HELD. holds INODE: is that socket one of them?
sockets_of() { HELD=$(ls -l "/proc/$1/fd" 2>/dev/null); }
holds() { case $HELD in *"socket:[$1]"*) ;; *) return 1 ;; esac; }

# listens PID WHERE [BEFORE]: does that process take the connections there? Another may have put its socket in the place of that one's, whose name stays in
# the kernel's list: so, for a socket, has it taken one since it held only BEFORE?
listens() {
    sockets_of "$1"
    LS=1
    if [ -n "${3:-}" ]; then LS=0; fi
    LS_WHERE=$(readlink -f "$2")
    case $2 in
    /*)
        while read -r _ _ _ LS_STATE _ _ LS_INODE LS_LOCAL; do
            if [ "$LS_STATE" != 000${LS}0000 ] || ! holds "$LS_INODE"; then continue; fi
            case ${3:-} in *"socket:[$LS_INODE]"*) continue ;; esac
            case $LS_LOCAL in
            /*) LS_LOCAL=$(readlink -f "$LS_LOCAL") ;;
            # As it was called from the server's directory
            ?*) LS_LOCAL=${LS_WHERE%/*}/${LS_LOCAL##*/} ;;
            esac
            if [ "$LS_LOCAL" = "$LS_WHERE" ]; then return 0; fi
        done </proc/net/unix
        ;;
    *)
        # Whoever may take what goes to 127.0.0.1: of that address, or of all
        LS=1
        for LS_INODE in $(tcp_ends '\(0100007F\|00000000\)'"$(printf :%04X "$2")" 00000000:0000 '\([0-9]*\)' '\2'); do
            if ! holds "$LS_INODE"; then return 1; fi
            LS=0
        done
        return $LS
        ;;
    esac
    return 1
}

# tcp_ends LOCAL REMOTE INODE WHAT: WHAT of each TCP socket of that sort (three expressions; an address is the last 8 hexadecimal digits)
tcp_ends() { sed -n "s/^ *[0-9]*: [0-9A-F]*$1 [0-9A-F]*$2 [^ ]* [^ ]* [^ ]* [^ ]*  *[0-9]*  *[0-9]*  *$3 .*/$4/p" /proc/net/tcp /proc/net/tcp6 2>/dev/null; }

# say_engine NAME: who answers, and where its data lies, as it is reached through the mount that freezes it
say_engine() {
    place_of "$DATADIR"
    emit engine "name=$1" "version=$DB_VERSION" "datadir=$PLACE" "replica:$REPLICA" "pid:$SERVER" "asked=${ASKED:-the option file}"
    say_others
}

# Other servers that work on what is frozen: nothing holds their writes. Each works in its data directory, but for MongoDB's, which keeps a file there open.
say_others() {
    first_line "/proc/$SERVER/comm"
    OT_COMM=$LINE_1
    set -- /nowhere
    for P in /proc/[0-9]*; do
        first_line "$P/comm"
        case $LINE_1 in "$OT_COMM" | mysqld | mariadbd | postgres | postmaster | mongod | redis*-server | valkey-server) set -- "$@" "$P/cwd" "$P/fd" ;; esac
    done
    OT_SEEN=" $(stat -L -c %d:%i "/proc/$SERVER/cwd" "$PROVEN" 2>/dev/null | tr '\n' ' ') " OT_COVERED=' '
    while IFS='|' read -r _ _ P; do
        OT_COVERED="$OT_COVERED$(stat -c %d "$P" 2>/dev/null):"
    done <<END
$COVERED
END
    while read -r OT_AT P; do
        case $OT_SEEN in *" $OT_AT "*) continue ;; esac
        OT_SEEN="$OT_SEEN$OT_AT "
        case $OT_COVERED in *[\ :]"${OT_AT%:*}":*) ;; *) continue ;; esac
        OT_WHERE=$(readlink "$P")
        P=${P#/proc/}
        emit note "text=asked was process $SERVER; another server works on what is frozen and its writes are not held: process ${P%%/*} in ${OT_WHERE%/mongod.lock}"
    done <<END
$(find "$@" -maxdepth 1 \( -name cwd -o -lname '*/mongod.lock' \) -exec stat -L -c '%d:%i %n' {} + 2>/dev/null)
END
}

# The words of every lock: begin_lock WHAT; while try_again; window_begins; locked HOW; at the end lock_failed.
begin_lock() {
    if ! has_session || ! alive client; then
        stop "${SAY_CODE:-db-unreachable}" "no session for $1: $SAY_ERROR"
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
# still_says WANTED TEXT [MS]: the session that holds the lock. 2: no answer yet. A server may write a line about every statement (an audit log, a log of slow
# ones) to a frozen filesystem and so answer after the thaw. The session never reconnects, so an answer between thaw and unlock (MS) proves the more.
# shellcheck disable=SC2317 # not for all databases
still_says() {
    say "$2" "${3:-300}"
    SY_RC=$?
    # What was asked before the thaw is answered first.
    SAID=${SAID##*"$newline"}
    if [ "$SY_RC" -eq 0 ] && [ "$SAID" = "$1" ]; then
        if [ -n "${3:-}" ]; then emit note 'text=the session that holds the lock answered only after the thaw, as when the server writes a log of statements to a frozen filesystem'; fi
        say_alive
        return 0
    fi
    STOP_TEXT="the session that held the lock does not answer: ${SAY_ERROR:-silence}"
    if [ "$SY_RC" -ne 2 ]; then return 1; fi
    if [ -z "${3:-}" ]; then return 2; fi
    STOP_TEXT='the session that held the lock lives, and did not answer before the thaw nor in 5 s after it'
    return 1
}
say_alive() { emit alive "session:$SESSION"; }
unlocked() { emit unlocked "session:$SESSION"; }

# say_path WHAT PATH: a place besides the data directory that the engine needs; as it is reached through the mount that freezes it
say_path() {
    # The nearest place that is there says nothing of what lies in a place that is not.
    if ! seen_alike "$2"; then
        emit path "what=$1" "path=? $2 is not there, or another for the server"
        return
    fi
    SP=$(readlink -f "$2" 2>/dev/null) || SP=$2
    place_of "$SP"
    TOLD="${TOLD:-} $SB_DEVICE "
    # A mount of no block device was not told: by its name it would look covered where the mount above it is.
    case "$COVERED_DEVICES$MENTIONED" in *" $SB_DEVICE "* | *",$SB_MOUNT,"*) ;; *) emit mount "mount=${SB_MOUNT:-/}" fs=other dev=none 'volumes:[]' covered:false 'reason=it is not frozen' ;; esac
    emit path "what=$1" "path=$PLACE"
}

# refuse_uncovered WHAT PATH: without this one nothing of the database would be in the snapshots
refuse_uncovered() {
    if ! seen_alike "$2"; then refuse not-covered "$1 ($2) is not there, or another for the server"; fi
    superblock_of "$2"
    case $COVERED_DEVICES in *" $SB_DEVICE "*) if [ -n "$SB_DEVICE" ]; then return 0; fi ;; esac
    RU_CODE=not-covered
    case " $FORBIDDEN" in *" $SB_DEVICE=root-mount"*) RU_CODE=root-mount ;; esac
    refuse "$RU_CODE" "$1 ($2) is not on a filesystem that is frozen$(printf '%s' "$OTHERS" | sed -n "s/^$SB_DEVICE .*\] /: /p" | head -n 1)" "$SB_MOUNT"
}

# noted NAME PATH: where it is not frozen
# shellcheck disable=SC2317 # not for all databases
noted() {
    superblock_of "$2"
    case $COVERED_DEVICES in *" $SB_DEVICE "*) ;; *) emit note "text=$1 ($2) is not frozen; a copy may need it" ;; esac
}
