#!/bin/sh
# freezeframe linux-redis: hold the writes of Redis or Valkey and freeze its filesystems from pre-script to post-script.
# Generated from assets/documents/src by build.py; do not edit the JSON.
EXECUTION_ID='{{ executionId }}'
COMMAND='{{ command }}'
BUDGET='{{ budgetSeconds }}'
MOUNTS='{{ mounts }}'
LOCK_WAIT='{{ lockWaitSeconds }}'
LOCK_RETRIES='{{ lockRetries }}'
CLIENT_PATH='{{ client }}'
SOCKET='{{ socket }}'
PORT='{{ port }}'
PASSWORD_FILE='{{ passwordFile }}'
#@include common.sh
#@include processes.sh
#@include mounts.sh
#@include helpers.sh
#@include commands.sh
#@include session.sh
#@include ends.sh

# --- linux-redis: writes are paused from before the freeze until after the thaw ---
#
# CLIENT PAUSE … WRITE (6.2 and later) belongs to no session and ends by itself, at the latest when the failsafe would act. So a witness tells whether
# it held: a second client that asks for an empty script, which the pause makes wait. It is answered the moment that the pause ends, however short.
# What is on disk then is all that was acknowledged:
#   append-only file   a write is in the file's pages before it is acknowledged, but for a buffer that we see empty; the freeze writes the pages. No fsync of
#                      Redis's own is needed, and appendfsync is left alone. WAITAOF would speak of our own session's writes only.
#   only RDB dumps     one BGSAVE before the pause, and, if something changed since, a second one under it, as long as an attempt may take.
#   neither            refused: the disk holds nothing of the data.

RECIPE=linux-redis

recipe_parameters() {
    lock_parameters
    check socket "$SOCKET" "$FILE"
    check port "$PORT" '^[1-9][0-9]{0,4}$'
    check passwordFile "$PASSWORD_FILE" "$FILE"
}

recipe_tools() {
    # The last one on Amazon Linux 2023
    CLIENT=$(tool_path redis-cli) || CLIENT=$(tool_path valkey-cli) || CLIENT=$(tool_path redis6-cli) || CLIENT=''
    found_client redis-cli
    need_tool timeout; TIMEOUT=$NT
    need_tool env; ENV_TOOL=$NT
    need_tool find
}

# The client without our surroundings (REDISCLI_AUTH, a history, a file of preferences).
client() {
    find_socket
    case $ASKED in /*) set -- -s "$ASKED" ;; *) set -- -h 127.0.0.1 -p "$PORT" ;; esac
    exec ${LIMIT_CLIENT:+"$TIMEOUT" "$LIMIT_CLIENT"} "$ENV_TOOL" -i PATH="$PATH" LC_ALL=C HOME=/ "$CLIENT" "$@"
}

# ASKED: its path, or the port. Another port than the usual one is meant, whatever socket there is.
find_socket() {
    ASKED=$SOCKET
    if [ "$SOCKET" != auto ]; then return; fi
    ASKED=$PORT
    if [ "$PORT" != 6379 ]; then return; fi
    for CL in /run/redis/redis-server.sock /run/redis/redis.sock /run/valkey/valkey-server.sock /run/valkey/valkey.sock; do
        if [ -S "$CL" ]; then
            ASKED=$CL
            return
        fi
    done
}

say_mark() { printf 'ECHO "freezeframe mark %s"\n' "$1"; }

# The words that log in, on the client's input: a file's first line is the password, its second, if there is one, the user.
say_login() {
    if [ "$PASSWORD_FILE" = auto ]; then
        printf 'PING\n'
        return
    fi
    LG_PASSWORD='' LG_USER=''
    { IFS= read -r LG_PASSWORD && IFS= read -r LG_USER; } <"$PASSWORD_FILE" || :
    if [ -n "$LG_USER" ]; then printf 'AUTH "%s" ' "$(quoted "$LG_USER")"; else printf 'AUTH '; fi
    printf '"%s"\n' "$(quoted "$LG_PASSWORD")"
}
quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

# ask COMMAND: in a short session of its own, at most 10 s; ANSWER. 1 when the server could not be asked.
ask() {
    ANSWER=$(
        {
            say_login
            printf '%s\n' "$1"
        } | (LIMIT_CLIENT=10; client) 2>&1 | tr -d '\r'
    )
    case ${ANSWER%%"$newline"*} in OK | PONG) ;; *) return 1 ;; esac
    ANSWER=${ANSWER#*"$newline"}
}

ask_or_refuse() {
    if ! ask "$1"; then
        case $ANSWER in
        *NOAUTH* | *WRONGPASS* | *NOPERM* | *'ERR AUTH'* | *'invalid password'*) refuse db-denied "$ANSWER" ;;
        *) refuse db-unreachable "${ANSWER:-no answer}" ;;
        esac
    fi
    case $ANSWER in NOPERM* | NOAUTH* | ERR*) refuse db-denied "$1: $ANSWER" ;; esac
}

# field NAME TEXT: of what INFO says
field() { printf '%s\n' "$2" | tr -d '\r' | sed -n "s/^$1://p"; }

# setting NAME: in VALUE
setting() {
    ask_or_refuse "CONFIG GET $1"
    case $ANSWER in "$1$newline"*) ;; *) VALUE='' && return 0 ;; esac
    VALUE=${ANSWER#"$1$newline"}
    VALUE=${VALUE%"$newline"}
}

recipe_preflight() {
    if [ "$PASSWORD_FILE" != auto ] && [ ! -r "$PASSWORD_FILE" ]; then refuse db-denied "passwordFile $PASSWORD_FILE cannot be read"; fi
    ask_or_refuse 'INFO server'
    ENGINE=redis
    DB_VERSION=$(field redis_version "$ANSWER")
    SERVER=$(field process_id "$ANSWER")
    matches "$DB_VERSION" '^[0-9]+\.[0-9]+\.' || refuse db-unreachable "no answer about the version: $ANSWER"
    P=${DB_VERSION#*.}
    P=$((${DB_VERSION%%.*} * 100 + ${P%%.*}))
    if VALUE=$(field valkey_version "$ANSWER") && [ -n "$VALUE" ]; then
        ENGINE=valkey
        DB_VERSION=$VALUE
    fi
    if [ "$P" -lt 602 ]; then refuse unsupported-server "Redis $DB_VERSION cannot pause writes alone (6.2 and later can)"; fi
    setting dir
    DATADIR=$VALUE
    case $DATADIR in /*) ;; *) refuse db-unreachable "no answer about the data directory: $DATADIR" ;; esac
    find_socket
    prove_server "$SERVER" "$DATADIR" "$ASKED"
    ask_or_refuse 'INFO replication'
    REPLICA=false
    if [ "$(field role "$ANSWER")" = slave ]; then REPLICA=true; fi
    say_engine "$ENGINE"
    ask_or_refuse 'INFO persistence'
    P=$(field aof_enabled "$ANSWER")
    setting save
    if [ "$P" != 1 ] && [ -z "$VALUE" ]; then
        refuse unsupported-server 'neither the append-only file nor RDB dumps are on: the disk, and so a snapshot, holds nothing of the data'
    fi
    refuse_uncovered dir "$DATADIR"
    if [ "$P" = 1 ]; then
        setting appenddirname
        if [ -n "$VALUE" ] && [ -d "$DATADIR/$VALUE" ]; then say_path aof "$DATADIR/$VALUE"; fi
        # One file, before 7.0
        if [ -z "$VALUE" ]; then linked aof appendfilename; fi
    else
        linked rdb dbfilename
    fi
    setting aclfile
    if [ -n "$VALUE" ]; then noted aclfile "$VALUE"; fi
}

# linked WHAT SETTING: where the file of that name leads to, which may not be there yet
linked() {
    setting "$2"
    if [ -L "$DATADIR/$VALUE" ]; then
        P=$(readlink -f "$DATADIR/$VALUE")
        say_path "$1" "${P%/*}"
    fi
}

open_session() {
    SESSION=''
    fit_lock_wait
    open_client || return 1
    say "$(say_login)" 8000 || return 1
    case $SAID in OK | PONG) ;; *) SAY_ERROR=$SAID && return 1 ;; esac
    say 'CLIENT ID' 5000 || return 1
    matches "$SAID" '^[0-9]+$' || return 1
    SESSION=$SAID
    find_socket
    same_server "$ASKED" || return 1
    same_other_end || return 1
    say 'INFO persistence' 5000 || return 1
    AOF=$(field aof_enabled "$SAID")
    case $AOF in 0 | 1) ;; *) return 1 ;; esac
}

# settled MS: until no dump and no rewrite is under way and, with AOF=1, nothing waits to be written; without it until nothing changed since the
# last dump, which this orders. 1 when the session is gone, 2 when the time is up.
settled() {
    now
    ST_LIMIT=$((NOW + $1))
    ST_ORDERED=no
    while :; do
        say 'INFO persistence' 3000 || return 1
        if [ "$(field rdb_bgsave_in_progress "$SAID")$(field aof_rewrite_in_progress "$SAID")$(field aof_rewrite_scheduled "$SAID")" = 000 ]; then
            if [ "$AOF" = 1 ]; then
                if [ "$(field aof_buffer_length "$SAID")" = 0 ] && [ "$(field aof_last_write_status "$SAID")" = ok ]; then return 0; fi
                STOP_TEXT="the append-only file is not written: $(field aof_last_write_status "$SAID")"
            elif [ "$(field rdb_changes_since_last_save "$SAID")" = 0 ] && [ "$(field rdb_last_bgsave_status "$SAID")" = ok ]; then
                return 0
            elif [ $ST_ORDERED = no ]; then
                say BGSAVE 3000 || return 1
                ST_ORDERED=yes
            else
                STOP_TEXT="what changed is not in the dump: $(field rdb_last_bgsave_status "$SAID")"
            fi
        else
            STOP_TEXT='a dump or a rewrite of the append-only file is under way'
        fi
        now
        if [ "$NOW" -ge "$ST_LIMIT" ]; then return 2; fi
        "$SLEEP" 0.05
    done
}

# The preliminary dump, while nobody waits for it: at most half of the budget.
recipe_flush() {
    if open_session; then settled $((BUDGET * 500)) || :; fi
}

# The witness: its answer says that the pause is over. Started under the pause, and seen to wait.
start_witness() {
    mark "$S/witness.out"
    rm -f "$S/witness.in"
    mkfifo "$S/witness.in" || return 1
    (exec 4>&-; client) <"$S/witness.in" >"$S/witness.out" 2>&1 &
    note_process $! witness
    {
        say_login
        printf 'EVAL "return 1" 0\n'
    } >"$S/witness.in"
    # The login's answer is one line; one more would be the script's, or a refusal.
    WT_N=0
    while [ ! -s "$S/witness.out" ] && [ $WT_N -lt 100 ]; do
        "$SLEEP" 0.02
        WT_N=$((WT_N + 1))
    done
    "$SLEEP" 0.1
    witness_waits
}
witness_waits() {
    WT_LINES=0
    WT_LINE=''
    while IFS= read -r LINE; do
        WT_LINES=$((WT_LINES + 1))
        WT_LINE=$LINE
    done <"$S/witness.out"
    [ "$WT_LINES" -eq 1 ] && alive witness
}

recipe_lock() {
    begin_lock "the pause" || return
    while try_again; do
        if [ "$AOF" = 1 ] && ! settled $((LOCK_WAIT * 1000)); then continue; fi
        may_go_on || return 1
        window_begins
        STOP_TEXT="no room in $JOBS"
        mark "$S/paused" || break
        say "CLIENT PAUSE $((DEADLINE - NOW + 500)) WRITE" 3000 || break
        case $SAID in
        OK) ;;
        NOPERM*)
            STOP_CODE=db-denied STOP_TEXT=$SAID
            return 1
            ;;
        *)
            STOP_TEXT=$SAID
            break
            ;;
        esac
        if ! start_witness; then
            # An account that may not run it, or a pause that is none
            stop db-denied "a script does not wait for the pause: $WT_LINE"
            return
        fi
        if settled $((LOCK_WAIT * 1000)); then
            locked client-pause
            if say 'INFO replication' 2000; then
                RP=$(field master_replid "$SAID"):$(field master_repl_offset "$SAID")
                if matches "$RP" '^[0-9a-f]+:[0-9]+$'; then emit position name=replication-offset "value=$RP"; fi
            fi
            return 0
        fi
        may_go_on || return 1
        end_process witness
        say 'CLIENT UNPAUSE' 3000 || break
    done
    lock_failed
}

recipe_alive() {
    if say 'CLIENT ID' 2000 && [ "$SAID" = "$SESSION" ] && witness_waits; then
        say_alive
        return 0
    fi
    STOP_TEXT="the pause of writes did not hold, or its session is gone: ${WT_LINE:-silence}"
    return 1
}

recipe_unlock() {
    has_session || return 0
    end_process witness
    if alive client && [ -e "$S/paused" ] && say 'CLIENT UNPAUSE' 3000 && [ "$SAID" = OK ]; then rm -f "$S/paused"; fi
    close_client QUIT
    unlocked
}

# The pause outlives its session, for as long as the budget lasts: end it at once.
recipe_kill() {
    end_process client
    end_process witness
    if [ -e "$S/paused" ] && ask 'CLIENT UNPAUSE'; then rm -f "$S/paused"; fi
}

main "$@"
