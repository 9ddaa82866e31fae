#!/bin/sh
# freezeframe linux-mysql: hold MySQL, MariaDB or Percona Server and its filesystems from pre-script to post-script.
# Generated from assets/documents/src by build.py; do not edit the JSON.
EXECUTION_ID='{{ executionId }}'
COMMAND='{{ command }}'
BUDGET='{{ budgetSeconds }}'
MOUNTS='{{ mounts }}'
LOCK_WAIT='{{ lockWaitSeconds }}'
LOCK_RETRIES='{{ lockRetries }}'
SOCKET='{{ socket }}'
DEFAULTS_FILE='{{ defaultsFile }}'
#@include common.sh
#@include processes.sh
#@include mounts.sh
#@include helpers.sh
#@include commands.sh

# --- linux-mysql: one session holds the global read lock from before the freeze until after the thaw ---

RECIPE=linux-mysql

recipe_parameters() {
    if ! matches "$LOCK_WAIT" '^[1-9][0-9]?$'; then bad_parameter 'lockWaitSeconds is not 1 to 99'; fi
    if ! matches "$LOCK_RETRIES" '^[0-9]$'; then bad_parameter 'lockRetries is not 0 to 9'; fi
    if ! matches "$SOCKET" '^(auto|/[A-Za-z0-9._/@+-]+)$'; then bad_parameter 'socket is neither auto nor a plain path'; fi
    if ! matches "$DEFAULTS_FILE" '^(auto|/[A-Za-z0-9._/@+-]+)$'; then bad_parameter 'defaultsFile is neither auto nor a plain path'; fi
}

recipe_tools() {
    if ! CLIENT=$(tool_path mariadb); then CLIENT=$(tool_path mysql) || CLIENT=''; fi
    if [ -z "$CLIENT" ]; then MISSING="$MISSING mysql"; fi
    need_tool timeout; TIMEOUT=$NT
    if [ "$COMMAND" = dry-run ]; then
        if [ -n "$CLIENT" ]; then emit tool ",\"name\":\"mysql\",\"path\":\"$CLIENT\""; else emit tool ',"name":"mysql"'; fi
    fi
}

# The client with our options; what it needs to log in comes from a file or the socket, never from the command line.
# --skip-reconnect: a silent reconnect would lose the lock without a word. --force: an error must not end the session.
client() {
    set -- --batch --unbuffered --skip-column-names --skip-reconnect --force --connect-timeout=5 "$@"
    if [ "$SOCKET" != auto ]; then
        set -- --socket="$SOCKET" "$@"
    elif [ "$DEFAULTS_FILE" = auto ]; then
        for CL in /run/mysqld/mysqld.sock /var/lib/mysql/mysql.sock /tmp/mysql.sock; do
            if [ -S "$CL" ]; then
                set -- --socket="$CL" "$@"
                break
            fi
        done
    fi
    if [ "$DEFAULTS_FILE" != auto ]; then
        set -- --defaults-file="$DEFAULTS_FILE" "$@"
    elif [ -r /root/.my.cnf ]; then
        set -- --defaults-extra-file=/root/.my.cnf "$@"
    fi
    HOME=/root
    export HOME
    exec ${LIMIT_CLIENT:+"$TIMEOUT" "$LIMIT_CLIENT"} "$CLIENT" "$@"
}

# ask SQL: one statement in a short session of its own, at most 10 s
ask() {
    (
        LIMIT_CLIENT=10
        client --execute="$1" </dev/null
    ) 2>&1
}

recipe_preflight() {
    ANSWER=$(ask 'SELECT 1')
    if [ "$ANSWER" != 1 ]; then
        case $ANSWER in
        *'Access denied'*) refuse db-denied "$ANSWER" ;;
        *) refuse db-unreachable "$ANSWER" ;;
        esac
    fi
    DB_VERSION=$(ask 'SELECT VERSION()')
    DB_COMMENT=$(ask 'SELECT @@version_comment')
    ENGINE=mysql
    case "$DB_VERSION $DB_COMMENT" in
    *[Mm]aria[Dd][Bb]*) ENGINE=mariadb ;;
    *[Pp]ercona*) ENGINE=percona ;;
    esac
    DATADIR=$(ask 'SELECT @@datadir')
    case $DATADIR in
    /*) ;;
    *) refuse db-unreachable "no answer about the data directory: $DATADIR" ;;
    esac
    REPLICA=false
    ANSWER=$(ask 'SHOW REPLICA STATUS')
    case $ANSWER in *ERROR*) ANSWER=$(ask 'SHOW SLAVE STATUS') ;; esac
    case $ANSWER in '' | *ERROR*) ;; *) REPLICA=true ;; esac
    emit engine ",\"name\":\"$ENGINE\",\"version\":\"$(json_text "$DB_VERSION")\",\"datadir\":\"$(place_of "$DATADIR"; json_text "$PLACE")\",\"replica\":$REPLICA"
    # FLUSH TABLES WITH READ LOCK wants RELOAD on everything (MySQL 8.0.23 and later also take FLUSH_TABLES).
    if ! ask 'SHOW GRANTS' | grep -E ' ON \*\.\* TO ' | grep -Eq 'ALL PRIVILEGES|RELOAD|FLUSH_TABLES'; then
        refuse db-denied 'the account lacks RELOAD on *.*'
    fi
    # All that recovery needs must be inside the freeze.
    for P in datadir innodb_data_home_dir innodb_log_group_home_dir innodb_undo_directory aria_log_dir_path; do
        PLACE=$(ask "SHOW GLOBAL VARIABLES LIKE '$P'")
        case $PLACE in *"$newline"* | *ERROR*) continue ;; esac
        PLACE=${PLACE#"$P"}
        PLACE=${PLACE#?}
        case $PLACE in
        '') continue ;;
        /*) ;;
        *) PLACE=$DATADIR/$PLACE ;;
        esac
        superblock_of "$PLACE"
        case $COVERED_DEVICES in
        *" $SB_DEVICE "*) ;;
        *)
            PLACE_CODE=no-volume
            case " $FORBIDDEN" in *" $SB_DEVICE=root-mount"*) PLACE_CODE=root-mount ;; esac
            refuse "$PLACE_CODE" "$P ($PLACE) is not on a filesystem that is frozen" "$SB_MOUNT"
            ;;
        esac
    done
}

# say SQL…: run it in the lock session and wait for its end, at most SAY_MS. SAID: its output; SAY_ERROR: what it complained of.
# 1 when the session is gone, 2 when the time is up.
say() {
    MARK=$((MARK + 1))
    : >"$S/sql.err"
    printf "%s;\nSELECT 'freezeframe mark %s';\n" "$1" "$MARK" >&4
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
            if [ "$LINE" = "freezeframe mark $MARK" ]; then
                SAY_SEEN=yes
                break
            fi
            if [ "$SAY_N" -gt "$SQL_READ" ]; then SAID=$LINE; fi
        done <"$S/sql.out"
        if [ "$SAY_SEEN" = yes ]; then
            SQL_READ=$SAY_N
            { IFS= read -r SAY_ERROR <"$S/sql.err"; } || :
            return 0
        fi
        if ! alive "$S/client"; then
            { IFS= read -r SAY_ERROR <"$S/sql.err"; } || :
            return 1
        fi
        now
        if [ "$NOW" -ge "$SAY_LIMIT" ]; then return 2; fi
        "$SLEEP" 0.02
    done
}

open_session() {
    MARK=0
    SQL_READ=0
    SESSION=''
    # A short budget shortens the wait, so that at least one attempt fits.
    if [ $((LOCK_WAIT * 2)) -gt "$BUDGET" ]; then LOCK_WAIT=$((BUDGET / 3 > 0 ? BUDGET / 3 : 1)); fi
    : >"$S/sql.out"
    : >"$S/sql.err"
    mkfifo "$S/sql.in" || return 1
    # Both ends, so that neither side waits for the other to open it.
    exec 4<>"$S/sql.in"
    # The client must not hold a writing end itself, or it would never see the holder's death.
    (exec 4>&-; client) <"$S/sql.in" >"$S/sql.out" 2>>"$S/sql.err" &
    note_process $! "$S/client"
    say 'SELECT CONNECTION_ID()' 8000 || return 1
    SESSION=$SAID
    matches "$SESSION" '^[0-9]+$' || return 1
    say "SET SESSION lock_wait_timeout=$LOCK_WAIT" 5000 || return 1
    if [ -n "$SAY_ERROR" ]; then return 1; fi
    say "SET SESSION wait_timeout=$((BUDGET + 300))" 5000 || return 1
}

# How many statements of others run for longer than one attempt may wait. A lock that queues behind them would stall every new writer.
long_statements() {
    say "SELECT COUNT(*) FROM information_schema.processlist WHERE command IN ('Query','Execute') AND id<>CONNECTION_ID() AND time>=$LOCK_WAIT" 5000 || return 1
    case $SAID in '' | *[!0-9]*) SAID=0 ;; esac
    [ "$SAID" -gt 0 ]
}

recipe_flush() {
    if ! open_session; then return 0; fi
    # LOCAL keeps it out of the binary log. Behind a long statement it would only make others queue.
    if ! long_statements; then say 'FLUSH LOCAL TABLES' $((LOCK_WAIT * 1000 + 2000)) || :; fi
}

# Time left to the deadline must leave room for the freeze and the snapshot.
time_for_lock() {
    now
    [ $((NOW + LOCK_WAIT * 1000 + 2000)) -lt "$DEADLINE" ]
}

recipe_lock() {
    if ! matches "$SESSION" '^[0-9]+$' || ! alive "$S/client"; then
        STOP_CODE=db-unreachable STOP_TEXT="no session for the lock: $SAY_ERROR"
        return 1
    fi
    TRIES=0
    STOP_TEXT='the budget left no time to try'
    while [ "$TRIES" -le "$LOCK_RETRIES" ] && time_for_lock; do
        TRIES=$((TRIES + 1))
        now
        WAIT_END=$((NOW + LOCK_WAIT * 1000))
        while long_statements; do
            STOP_TEXT='long statements are running'
            now
            if [ "$NOW" -ge "$WAIT_END" ]; then continue 2; fi
            may_go_on || return 1
            "$SLEEP" 0.2
        done
        now
        if [ ! -e "$S/window.start" ]; then printf '%s\n' "$NOW" >"$S/window.start"; fi
        say 'FLUSH TABLES WITH READ LOCK' $((LOCK_WAIT * 1000 + 2000))
        SAY_RC=$?
        if [ $SAY_RC -eq 0 ] && [ -z "$SAY_ERROR" ]; then
            emit locked ",\"session\":$SESSION,\"how\":\"ftwrl\",\"tries\":$TRIES"
            return 0
        fi
        may_go_on || return 1
        STOP_TEXT=${SAY_ERROR:-the lock did not come in time}
        if [ $SAY_RC -eq 2 ]; then
            # The server did not keep its own limit: end the statement, and with it the session, from outside.
            ask "KILL $SESSION" >/dev/null
            break
        fi
        case $SAY_ERROR in
        *'Access denied'*)
            STOP_CODE=db-denied
            return 1
            ;;
        esac
        if [ $SAY_RC -eq 1 ]; then break; fi
        say 'UNLOCK TABLES' 2000 || break
    done
    emit lock-timeout ",\"tries\":$TRIES"
    STOP_CODE=lock-timeout
    return 1
}

recipe_alive() {
    if say 'SELECT CONNECTION_ID()' 2000 && [ "$SAID" = "$SESSION" ]; then
        emit alive ",\"session\":$SESSION"
        return 0
    fi
    STOP_TEXT="the session that held the lock does not answer: ${SAY_ERROR:-silence}"
    return 1
}

recipe_unlock() {
    if ! matches "${SESSION:-}" '^[0-9]+$'; then return 0; fi
    if alive "$S/client"; then
        say 'UNLOCK TABLES' 3000 || :
        printf 'QUIT\n' >&4
    fi
    exec 4>&-
    UL_N=0
    while alive "$S/client" && [ $UL_N -lt 40 ]; do
        "$SLEEP" 0.05
        UL_N=$((UL_N + 1))
    done
    recipe_kill
    emit unlocked ",\"session\":$SESSION"
}

# The server ends the session, and with it the lock, when the client is gone.
recipe_kill() { end_process "$S/client"; }

main "$@"
