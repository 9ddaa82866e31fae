#!/bin/sh
# freezeframe linux-postgresql: keep PostgreSQL in its backup mode and its filesystems frozen from pre-script to post-script.
# Generated from assets/documents/src by build.py; do not edit the JSON.
EXECUTION_ID='{{ executionId }}'
COMMAND='{{ command }}'
BUDGET='{{ budgetSeconds }}'
MOUNTS='{{ mounts }}'
LOCK_WAIT='{{ lockWaitSeconds }}'
LOCK_RETRIES='{{ lockRetries }}'
CLIENT_PATH='{{ client }}'
SOCKET_DIRECTORY='{{ socketDirectory }}'
PORT='{{ port }}'
DB_USER='{{ user }}'
DATABASE='{{ database }}'
#@include common.sh
#@include processes.sh
#@include mounts.sh
#@include helpers.sh
#@include commands.sh
#@include session.sh
#@include moved.sh

# --- linux-postgresql: one session keeps a non-exclusive base backup open from before the freeze until after the thaw ---
#
# What makes the copy whole is that all of the cluster is frozen together: it starts like a server whose power failed, and replays its WAL.
# The backup API adds what that alone cannot give: a checkpoint just before (a short replay), and the label with which the copy can also be
# the start of a point-in-time recovery. Nothing is written into the data directory (exclusive mode, gone since 15, did that, and a server
# that crashed with its label in place could not start).

RECIPE=linux-postgresql
NAME='^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,62}$'

recipe_parameters() {
    lock_parameters
    check socketDirectory "$SOCKET_DIRECTORY" "$FILE"
    check port "$PORT" '^[1-9][0-9]{0,4}$'
    check user "$DB_USER" "$NAME"
    check database "$DATABASE" "$NAME"
}

recipe_tools() {
    CLIENT=''
    # Debian's /usr/bin/psql is a script that chooses one of these; the program itself is wanted. Any version speaks to any server.
    for P in /usr/lib/postgresql/*/bin/psql /usr/pgsql-*/bin/psql /usr/local/pgsql/bin/psql; do
        if [ -x "$P" ]; then CLIENT=$P; fi
    done
    if [ -z "$CLIENT" ]; then CLIENT=$(tool_path psql) || CLIENT=''; fi
    found_client psql
    need_tool setpriv; SETPRIV=$NT
    need_tool env; ENV_TOOL=$NT
    need_tool timeout; TIMEOUT=$NT
    need_tool find
}

# The server's socket, and whose it is: the server runs as its owner, and its owner may log in as itself.
find_socket() {
    SOCKET=''
    if [ "$SOCKET_DIRECTORY" = auto ]; then set -- /run/postgresql /var/run/postgresql /tmp; else set -- "$SOCKET_DIRECTORY"; fi
    for FS; do
        if [ -S "$FS/.s.PGSQL.$PORT" ]; then
            SOCKET=$FS
            break
        fi
    done
    if [ -z "$SOCKET" ]; then return 1; fi
    ASKED=$SOCKET/.s.PGSQL.$PORT
    OWNER=$(stat -c '%u:%g:%U' "$ASKED" 2>/dev/null) || return 1
    OWNER_UID=${OWNER%%:*}
    OWNER_NAME=${OWNER##*:}
    OWNER_GID=${OWNER#*:}
    OWNER_GID=${OWNER_GID%:*}
    # PostgreSQL never runs as root, and psql must not either.
    [ "$OWNER_UID" != 0 ] && matches "$OWNER_NAME" '^[A-Za-z0-9_][A-Za-z0-9._@+-]*$'
}

# psql as the server's own user, with nothing of our surroundings. A password, where one is asked for, is in that user's .pgpass.
client() {
    CL_USER=$DB_USER
    if [ "$CL_USER" = auto ]; then CL_USER=$OWNER_NAME; fi
    CL_HOME=$(getent passwd "$OWNER_UID" 2>/dev/null | cut -d: -f6)
    exec ${LIMIT_CLIENT:+"$TIMEOUT" "$LIMIT_CLIENT"} "$SETPRIV" --reuid="$OWNER_UID" --regid="$OWNER_GID" --clear-groups \
        "$ENV_TOOL" -i PATH="$PATH" LC_ALL=C HOME="${CL_HOME:-/}" PGCONNECT_TIMEOUT=5 PGCLIENTENCODING=UTF8 PGAPPNAME=freezeframe \
        "$CLIENT" -X -A -t -q -w -v VERBOSITY=terse --host="$SOCKET" --port="$PORT" --username="$CL_USER" --dbname="$DATABASE" "$@"
}

say_mark() { printf "SELECT 'freezeframe mark %s';\n" "$1"; }

# ask SQL: one statement in a short session of its own, at most 10 s; what came back, or 1 and the complaint. What the server or the client only warns of
# (a collation of another version) is no part of an answer, so a second attempt tells what was wrong.
ask() {
    if ask_once "$1" 2>/dev/null; then return 0; fi
    { ask_once "$1" >/dev/null; } 2>&1
    return 1
}
ask_once() {
    (
        LIMIT_CLIENT=10
        client -v ON_ERROR_STOP=1 -c "$1" </dev/null
    )
}

# ask_or_refuse SQL: the answer in ANSWER
ask_or_refuse() {
    if ANSWER=$(ask "$1"); then return 0; fi
    case $ANSWER in
    *'permission denied'* | *'must be superuser'* | *'authentication failed'* | *'no password supplied'* | *'pg_hba.conf'* | *'role "'*'does not exist'*) refuse db-denied "$ANSWER" ;;
    *) refuse db-unreachable "${ANSWER:-no answer}" ;;
    esac
}

recipe_preflight() {
    if ! find_socket; then refuse db-unreachable "no socket of a PostgreSQL server for port $PORT: ${SOCKET:-$SOCKET_DIRECTORY}"; fi
    ask_or_refuse "SELECT current_setting('server_version_num')"
    NUMBER=$ANSWER
    if ! matches "$NUMBER" '^[0-9]{5,6}$'; then refuse db-unreachable "no answer about the version: $NUMBER"; fi
    if [ "$NUMBER" -lt 90600 ]; then refuse unsupported-server 'PostgreSQL before 9.6 has no backup mode that leaves the data directory alone; use linux-filesystem'; fi
    ask_or_refuse "SELECT current_setting('server_version'), current_setting('data_directory'), pg_is_in_recovery(), current_setting('wal_level')"
    DB_VERSION=${ANSWER%%|*}
    REST=${ANSWER#*|}
    WAL_LEVEL=${REST##*|}
    REST=${REST%|*}
    REPLICA=false
    if [ "${REST##*|}" = t ]; then REPLICA=true; fi
    DATADIR=${REST%|*}
    # Whose socket it is, his data directory it must be: a stranger's server in a directory open to all proves nothing about this one.
    case $DATADIR in /*) ;; *) refuse db-unreachable "no answer about the data directory: $ANSWER" ;; esac
    if [ "$(stat -L -c %u "$DATADIR" 2>/dev/null)" != "$OWNER_UID" ]; then refuse other-server "the server's socket does not belong to the owner of $DATADIR"; fi
    DATADIR=$(readlink -f "$DATADIR") || refuse db-unreachable "no such data directory: $DATADIR"
    first_line "$DATADIR/postmaster.pid"
    prove_server "$LINE_1" "$DATADIR" "$ASKED"
    say_engine postgresql
    if [ $REPLICA = true ]; then emit note 'text=a standby: it writes no WAL while it is frozen, so where its primary waits for it (synchronous_standby_names) commits there stand still as long'; fi
    if [ "$WAL_LEVEL" = minimal ]; then refuse unsupported-server 'wal_level is minimal, which allows no base backup; raise it to replica, or use linux-filesystem'; fi
    backup_words
    ask_or_refuse "SELECT has_function_privilege('$START_NAME', 'EXECUTE') AND has_function_privilege('$STOP_NAME', 'EXECUTE')"
    if [ "$ANSWER" != t ]; then refuse db-denied "the role may not run $START_NAME and $STOP_NAME"; fi
    refuse_uncovered data_directory "$DATADIR"
    # Whether these lie on frozen filesystems decides about the level, and the console decides that.
    if [ "$NUMBER" -ge 100000 ]; then say_path wal "$DATADIR/pg_wal"; else say_path wal "$DATADIR/pg_xlog"; fi
    ask_or_refuse "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '' ORDER BY 1"
    while IFS= read -r P; do
        case $P in
        '') ;;
        /*) say_path tablespace "$P" ;;
        # In-place tablespaces lie in the data directory.
        *) say_path tablespace "$DATADIR/$P" ;;
        esac
    done <<END
$ANSWER
END
    say_moved '\./(log|pg_log|pg_stat_tmp)(/.*)?|.*\.(conf|crt|key|pem)'
    ask_or_refuse "SELECT name || '|' || setting FROM pg_settings WHERE name IN ('config_file', 'hba_file', 'ident_file') AND setting <> ''"
    while IFS='|' read -r P PLACE; do
        case $PLACE in '' | "$DATADIR"/*) ;; *) emit config "name=$P" "path=$PLACE" ;; esac
    done <<END
$ANSWER
END
}

# The names that this version gives to the two calls, and what they return.
backup_words() {
    if [ "$NUMBER" -ge 150000 ]; then
        START_NAME='pg_backup_start(text,boolean)' STOP_NAME='pg_backup_stop(boolean)'
        START_CALL="pg_backup_start('freezeframe ${S##*/}', true)" STOP_CALL='pg_backup_stop(false)'
    else
        START_NAME='pg_start_backup(text,boolean,boolean)' STOP_NAME='pg_stop_backup(boolean,boolean)'
        START_CALL="pg_start_backup('freezeframe ${S##*/}', true, false)" STOP_CALL='pg_stop_backup(false, false)'
        # 9.6 cannot be asked not to wait for the archive; our time limit ends that wait.
        if [ "$NUMBER" -lt 100000 ]; then STOP_NAME='pg_stop_backup(boolean)' STOP_CALL='pg_stop_backup(false)'; fi
    fi
}

open_session() {
    SESSION=''
    ANSWERED=no
    fit_lock_wait
    find_socket || return 1
    open_client || return 1
    say 'SELECT pg_backend_pid();' 8000 || return 1
    SESSION=$SAID
    has_session || return 1
    same_server "$ASKED" || return 1
    # The process that serves us is one of the server's.
    if [ "$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$SESSION/status" 2>/dev/null)" != "$SERVER" ]; then
        SESSION='' SAY_CODE=other-server SAY_ERROR='another server answers than the one whose files are frozen'
        return 1
    fi
    say "SELECT current_setting('server_version_num');" 5000 || return 1
    NUMBER=$SAID
    matches "$NUMBER" '^[0-9]{5,6}$' || return 1
    backup_words
    # Warnings are not errors here; and no line of the server's log for what we ask while the log may be frozen (only a superuser may say so).
    say 'SET client_min_messages = error; SET idle_session_timeout = 0;' 5000 || return 1
    say "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_duration = off; SET pgaudit.log = 'none';" 5000 || return 1
    say "SET statement_timeout = '${LOCK_WAIT}s';" 5000 || return 1
    [ -z "$SAY_ERROR" ]
}

recipe_flush() {
    if open_session; then say 'CHECKPOINT;' $((LOCK_WAIT * 1000 + 2000)) || :; fi
}

recipe_lock() {
    begin_lock "the backup" || return
    while try_again; do
        say "SELECT $START_CALL;" $((LOCK_WAIT * 1000 + 2000))
        SAY_RC=$?
        if [ $SAY_RC -eq 0 ] && matches "$SAID" '^[0-9A-F]+/[0-9A-F]+$'; then
            locked backup-api
            emit position name=lsn "value=$SAID"
            # Once now, so that nothing of the question must be read or written for the first time while all is frozen.
            say 'SELECT pg_backend_pid();' 2000 || :
            return 0
        fi
        may_go_on || return 1
        STOP_TEXT=${SAY_ERROR:-the backup did not begin in time}
        case $SAY_ERROR in
        *'permission denied'* | *'must be superuser'*)
            STOP_CODE=db-denied
            return 1
            ;;
        esac
        # A session that does not keep its own limit is not asked again; closing it ends the backup.
        if [ $SAY_RC -ne 0 ]; then break; fi
    done
    lock_failed
}

# A non-exclusive backup lives exactly as long as its session.
recipe_alive() {
    still_says "$SESSION" 'SELECT pg_backend_pid();' "$@" || return
    ANSWERED=yes
}

# After the thaw: end the backup and hand out its two files, in parts that fit a line. The server writes the JSON strings.
stop_backup() {
    now
    SB_LEFT=$((DEADLINE - NOW - 1000))
    if [ "$SB_LEFT" -gt 8000 ]; then SB_LEFT=8000; fi
    if [ "$SB_LEFT" -lt 200 ]; then
        emit note 'text=the budget left no time for the label of the backup'
        return
    fi
    say "SET statement_timeout = ${SB_LEFT};" 1000 || return
    if ! say "WITH s(lsn, label, map) AS (SELECT * FROM $STOP_CALL),
        f(n, name, body) AS (SELECT 1, 'backup_label', label FROM s UNION ALL SELECT 2, 'tablespace_map', map FROM s WHERE map <> ''),
        g(n, name, body, size) AS (SELECT n, name, body, CASE WHEN octet_length(body) = length(body) THEN 400 ELSE 140 END FROM f),
        h(n, name, body, size, parts) AS (SELECT n, name, body, size, (length(body) + size - 1) / size FROM g)
        SELECT line FROM (SELECT 0 AS n, 0 AS part, 'stop-lsn ' || lsn AS line FROM s UNION ALL
        SELECT n, part, name || ' ' || part || ' ' || parts || ' ' || to_json(substr(body, (part - 1) * size + 1, size))
        FROM h, generate_series(1, parts) AS part) AS l ORDER BY n, part;" $((SB_LEFT + 500)) || [ -n "$SAY_ERROR" ]; then
        emit note "text=no label, the backup was not ended: ${SAY_ERROR:-silence}"
        return
    fi
    while read -r SB_NAME SB_PART SB_PARTS SB_TEXT; do
        case $SB_NAME in
        stop-lsn) emit position name=stop-lsn "value=$SB_PART" ;;
        backup_label | tablespace_map) emit file "name=$SB_NAME" "part:$SB_PART" "parts:$SB_PARTS" "text:$SB_TEXT" ;;
        esac
    done <<END
$SAID
END
}

recipe_unlock() {
    has_session || return 0
    if [ "$ANSWERED" = yes ] && alive client && ! has fired; then stop_backup; fi
    close_client '\q'
    unlocked
}

# The server ends the session, and with it the backup, when the client is gone.
recipe_kill() { end_process client; }

main "$@"
