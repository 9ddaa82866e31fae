#!/bin/sh
# freezeframe linux-mysql: hold MySQL, MariaDB or Percona Server and its filesystems from pre-script to post-script.
# Generated from assets/documents/src by build.py; do not edit the JSON.
EXECUTION_ID='{{ executionId }}'
COMMAND='{{ command }}'
BUDGET='{{ budgetSeconds }}'
MOUNTS='{{ mounts }}'
LOCK_WAIT='{{ lockWaitSeconds }}'
LOCK_RETRIES='{{ lockRetries }}'
CLIENT_PATH='{{ client }}'
SOCKET='{{ socket }}'
DEFAULTS_FILE='{{ defaultsFile }}'
LOCK_METHOD='{{ lockMethod }}'
STOP='{{ stop }}'
SERVICE='{{ service }}'
#@include common.sh
#@include processes.sh
#@include mounts.sh
#@include helpers.sh
#@include commands.sh
#@include session.sh
#@include ends.sh
#@include moved.sh

# --- linux-mysql: one session holds the writes from before the freeze until after the thaw ---
#
# Three ways, `how` in the event `locked`:
#   ftwrl         FLUSH TABLES WITH READ LOCK, every server: all tables closed and clean on disk, the binary log stands still.
#   backup-stage  BACKUP STAGE BLOCK_COMMIT, MariaDB 10.4 and later: commits, DDL and writes to MyISAM wait, and its tables are flushed; statements
#                 on InnoDB and crash-safe Aria run on until they commit, and what they left undone is rolled back by recovery. It waits for
#                 nobody's long SELECT or open InnoDB transaction, so it stalls less. `auto` takes it where the user's tables are InnoDB: for
#                 MyISAM and Aria, closed tables are the safer promise.
#   stopped       the service is stopped instead, see below.
# LOCK INSTANCE FOR BACKUP (MySQL 8) and LOCK TABLES FOR BACKUP (Percona) are not enough: they let transactions commit, so the binary log moves on,
# and the former lets MyISAM write as well. Nothing here is written to the binary log (FLUSH LOCAL; a lock never is), so no replica repeats it;
# and on a replica the lock stops the applier like any other writer, so replication need not be stopped.

RECIPE=linux-mysql
I_S=information_schema
NAME='^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,62}$'

recipe_parameters() {
    lock_parameters
    check socket "$SOCKET" "$FILE"
    check defaultsFile "$DEFAULTS_FILE" "$FILE"
    check lockMethod "$LOCK_METHOD" '^(auto|ftwrl|backup-stage)$'
    check stop "$STOP" '^(no|yes)$'
    check service "$SERVICE" "$NAME"
}

recipe_tools() {
    if ! CLIENT=$(tool_path mariadb); then CLIENT=$(tool_path mysql) || CLIENT=''; fi
    found_client mysql
    need_tool timeout; TIMEOUT=$NT
    need_tool find
    SYSTEMCTL=''
    if [ "$STOP" = yes ]; then
        need_tool systemctl
        SYSTEMCTL=$NT
    fi
}

# The client with our options; what it needs to log in comes from a file or the socket, never from the command line.
# --skip-reconnect: a silent reconnect would lose the lock without a word. --force: an error must not end the session.
# --host, --protocol: `host` in an option file would send it elsewhere, whatever the socket is. A defaultsFile that is named without a socket has its own way.
client() {
    set -- --batch --unbuffered --skip-column-names --skip-reconnect --force --connect-timeout=5 "$@"
    find_socket
    if [ -n "$ASKED" ]; then set -- --host=localhost --protocol=socket --socket="$ASKED" "$@"; fi
    if [ -n "${ROLES:-}" ] || { [ -n "$S" ] && has roles; }; then set -- --init-command='SET ROLE ALL' "$@"; fi
    if [ "$DEFAULTS_FILE" != auto ]; then
        set -- --defaults-file="$DEFAULTS_FILE" "$@"
    elif [ -r /root/.my.cnf ]; then
        set -- --defaults-extra-file=/root/.my.cnf "$@"
    fi
    HOME=/root
    export HOME
    exec ${LIMIT_CLIENT:+"$TIMEOUT" "$LIMIT_CLIENT"} "$CLIENT" "$@"
}

# ASKED: the server's socket. Empty where only the client knows it, until it was asked (find_server), or by TCP.
find_socket() {
    ASKED=$SOCKET
    if [ "$SOCKET" != auto ]; then return; fi
    ASKED=''
    if [ -n "$S" ] && has asked; then ASKED=$LINE_1; fi
    if [ -n "$ASKED" ] || [ "$DEFAULTS_FILE" != auto ]; then return; fi
    for CL in /run/mysqld/mysqld.sock /var/lib/mysql/mysql.sock /tmp/mysql.sock; do
        if [ -S "$CL" ]; then
            ASKED=$CL
            return
        fi
    done
}

say_mark() { printf "SELECT 'freezeframe mark %s';\n" "$1"; }

# ask SQL: one statement in a short session of its own, at most 10 s. What the client only warns of is no part of an answer, so a second attempt tells
# what was wrong.
ask() {
    if ask_once "$1" 2>/dev/null; then return 0; fi
    { ask_once "$1" >/dev/null; } 2>&1
    return 1
}
ask_once() {
    (
        LIMIT_CLIENT=10
        client --skip-force --execute="$1" </dev/null
    )
}

# ask_or_refuse SQL: the answer in ANSWER. An error is never taken for an empty answer.
ask_or_refuse() {
    if ANSWER=$(ask "$1"); then return 0; fi
    case $ANSWER in
    *denied*) refuse db-denied "$ANSWER" ;;
    *) refuse db-unreachable "${ANSWER:-no answer}" ;;
    esac
}

recipe_preflight() {
    ask_or_refuse "SELECT CONCAT(VERSION(),' ',@@version_comment)"
    DB_VERSION=${ANSWER%% *}
    ENGINE=mysql
    case $ANSWER in
    *[Mm]aria[Dd][Bb]*) ENGINE=mariadb ;;
    *[Pp]ercona*) ENGINE=percona ;;
    esac
    # What MySQL's roles allow counts, and SHOW GRANTS tells of it, once they are set. MariaDB has one role at a time: the account's default one.
    if [ "$ENGINE" != mariadb ] && matches "$DB_VERSION" '^([89]|[1-9][0-9])\..*'; then
        ROLES=yes
        if [ -n "$S" ]; then note roles yes; fi
    fi
    ask_or_refuse 'SELECT @@datadir'
    DATADIR=$ANSWER
    matches "$DATADIR" '^/' || refuse db-unreachable "no answer about the data directory: $DATADIR"
    find_server
    REPLICA=false
    if { ANSWER=$(ask 'SHOW REPLICA STATUS') || ANSWER=$(ask 'SHOW SLAVE STATUS'); } && [ -n "$ANSWER" ]; then REPLICA=true; fi
    say_engine "$ENGINE"
    # Where it is unknown the answer is an error. The first is a session's own, for Percona: there is no @@GLOBAL of it.
    P=$(ask 'SELECT CONCAT(@@wsrep_on+0,@@GLOBAL.wsrep_desync+0,@@wsrep_provider)')
    case $STOP$P in
    *none) ;;
    no10*) emit note 'text=a node of a Galera cluster: it applies nothing while it is locked, so wsrep_desync is set around the lock, where the account may, lest the cluster wait for it' ;;
    no11*) emit note 'text=a node of a Galera cluster, desynchronised already' ;;
    esac
    if P=$(ask "SHOW GLOBAL STATUS WHERE Variable_name RLIKE '^Rpl_semi_sync_(slave|replica)_status' AND Value='ON'") && [ -n "$P" ]; then
        emit note 'text=a semi-synchronous replica: its relay log is frozen too, so commits of its source may wait for as long, up to rpl_semi_sync_source_timeout (or _master_timeout)'
    fi
    # FLUSH TABLES WITH READ LOCK wants RELOAD on everything (MySQL 8.0.23 and later also take FLUSH_TABLES). Without PROCESS we would not see
    # what the lock would have to wait for, nor where the tablespaces are.
    ask_or_refuse 'SHOW GRANTS'
    for P in 'RELOAD|FLUSH_TABLES' PROCESS; do granted "$P" || refuse db-denied "the account lacks ${P%|*} on *.*"; done
    if [ "$LOCK_METHOD" = backup-stage ] && ! has_stages "$DB_VERSION"; then refuse unsupported-server "$DB_VERSION has no BACKUP STAGE (MariaDB 10.4.1 and later)"; fi
    if [ "$STOP" = yes ]; then find_service; fi
    check_places
}

# The process that the server's own pid file names takes the connections where ours goes. Where an option file, the environment or the client's own
# default leads to, the client says (`\s`); what it names is then asked by that name, so that nothing can lead elsewhere later.
find_server() {
    ask_or_refuse 'SELECT @@pid_file'
    case $ANSWER in /*) ;; *) ANSWER=${DATADIR%/}/$ANSWER ;; esac
    find_socket
    # From MySQL 9.7 on it must be told to know its own commands.
    if [ -z "$ASKED" ]; then
        ASKED=$( (LIMIT_CLIENT=10; client --loose-commands --execute='\s' </dev/null) 2>/dev/null | sed -n 's/^UNIX socket:[[:space:]]*//p')
    fi
    first_line "$ANSWER"
    prove_server "$LINE_1" "$DATADIR" "$ASKED"
    if [ -n "$S" ]; then must asked "$ASKED"; fi
    if [ -n "$ASKED" ]; then return; fi
    "$SLEEP" 5 </dev/null 2>/dev/null | client >/dev/null 2>&1 &
    leads_here $! || refuse other-server "the option file leads to another server than the one whose files are here (process $SERVER)"
}

# granted ERE: in ANSWER, what SHOW GRANTS said
granted() { printf '%s\n' "$ANSWER" | grep -Eq "(ALL PRIVILEGES|$1).* ON \*\.\* TO "; }

# BACKUP STAGE is MariaDB's, from 10.4.1 on.
has_stages() { matches "$1" '^(5\.5\.5-)?(10\.([4-9]|[1-9][0-9])|1[1-9]|[2-9][0-9])\..*[Mm]aria[Dd][Bb].*'; }

# All that recovery needs must be inside the freeze: without InnoDB's own files there is nothing to recover, so they are demanded; the others are told, and
# the console lowers the level where one is left out. What a copy only wants to be started (keys), or can do without (the doublewrite buffer: a freeze tears no
# page; Galera's state: recovered from InnoDB), is noted. Temporary files are not needed.
check_places() {
    ask_or_refuse "SHOW GLOBAL VARIABLES WHERE Variable_name RLIKE '^(datadir|innodb_(data_home_dir|data_file_path|log_group_home_dir|undo_directory|doublewrite_dir)|aria_log_dir_path|(log_bin|relay_log)_(basename|index)|rocksdb_(datadir|wal_dir)|tokudb_(data|log)_dir|wsrep_data_home_dir|keyring_file_data|file_key_management_filename)\$'"
    case $ANSWER in *datadir*) ;; *) refuse db-unreachable 'no answer about the places of the data' ;; esac
    # A line for each directory, and for each absolute name in innodb_data_file_path (NAME:SIZE[raw][:...];...); the others lie in innodb_data_home_dir.
    PLACES=$(printf '%s\n' "$ANSWER" | sed 's/^\(log_bin\|relay_log\)_[a-z]*\(.*\)\/.*/\1\2/; /^innodb_data_f/{s/:[^;]*//g; s/;/\ninnodb_data_file_path\t/g}' | grep -v '^innodb_data_f[a-z_]*[[:space:]][^/]' | sort -u)
    # Tablespaces elsewhere; the table has another name in each of MySQL 8, MariaDB 10.6 and what was before.
    if [ "$ENGINE" = mariadb ]; then
        FILES=$(absolute FILENAME INNODB_SYS_TABLESPACES) || FILES=$(absolute PATH INNODB_SYS_DATAFILES)
    else
        FILES=$(absolute FILE_NAME FILES " AND ENGINE='InnoDB' AND FILE_TYPE<>'TEMPORARY'")
    fi || refuse db-unreachable "no answer about where the tablespaces are: $FILES"
    while read -r P PLACE; do
        case $PLACE in
        '') continue ;;
        /*) ;;
        *) PLACE=$DATADIR/$PLACE ;;
        esac
        case $P in
        log_bin) outside binlog "$PLACE" ;;
        relay_log) outside relay-log "$PLACE" ;;
        rocksdb_* | tokudb_*) outside "${P%%_*}" "$PLACE" ;;
        innodb_doublewrite_dir | wsrep_* | *key*) noted "$P" "$PLACE" ;;
        *) refuse_uncovered "$P" "$PLACE" ;;
        esac
    done <<END
$PLACES
END
    while IFS= read -r P; do
        if [ -n "$P" ]; then outside tablespace "$P"; fi
    done <<END
$(printf '%s\n' "$FILES" | sed 's;/[^/]*$;;' | sort -u)
END
    say_moved '.*\.(pem|sock|pid|err|cnf)'
}

# absolute COLUMN TABLE [CONDITION]: the names in it that lie anywhere
absolute() { ask "SELECT $1 FROM $I_S.$2 WHERE $1 LIKE '/%'${3:-}"; }

# outside WHAT DIRECTORY: tell of it, unless it lies below the data directory
outside() {
    case $(readlink -f "$2")/ in "$(readlink -f "$DATADIR")"/*) ;; *) say_path "$1" "$2" ;; esac
}

open_session() {
    SESSION=''
    fit_lock_wait
    open_client || return 1
    say 'SELECT CONNECTION_ID();' 8000 || return 1
    SESSION=$SAID
    has_session || return 1
    find_socket
    same_server "$ASKED" || return 1
    same_other_end || return 1
    say "SET lock_wait_timeout=$LOCK_WAIT,wait_timeout=$((BUDGET + 300));" 5000 || return 1
    if [ -n "$SAY_ERROR" ]; then return 1; fi
    # No line in a log that may be frozen. Not every account may say the last, nor every server know the second.
    say 'SET long_query_time=31536000; SET slow_query_log=0; SET sql_log_off=1;' 5000 || return 1
    say 'SELECT VERSION();' 5000 || return 1
    DB_VERSION=$SAID
    choose_method
}

choose_method() {
    HOW_LOCKED=ftwrl
    if [ "$LOCK_METHOD" = ftwrl ] || ! has_stages "$DB_VERSION"; then return 0; fi
    if [ "$LOCK_METHOD" = auto ]; then
        # Who may not read every table is shown none, and none of another engine either.
        say 'SHOW GRANTS;' 5000 || return 1
        ANSWER=$SAID
        granted SELECT || return 0
        # Reads every table's definition: where that takes long, the answer does not matter.
        say "SELECT COUNT(*) FROM $I_S.tables WHERE table_type NOT LIKE '%VIEW' AND IFNULL(engine,'') NOT IN ('InnoDB','ROCKSDB','MEMORY','BLACKHOLE') AND table_schema NOT IN ('mysql','sys','performance_schema','$I_S');" 5000
        case $? in
        0) ;;
        1) return 1 ;;
        *)
            # The next answer is the one we did not wait for.
            ask "KILL QUERY $SESSION" >/dev/null
            say 'SELECT 1;' 3000 || return 1
            return 0
            ;;
        esac
        if [ "$SAID" != 0 ]; then return 0; fi
    fi
    HOW_LOCKED=backup-stage
}

# What was acknowledged with innodb_flush_log_at_trx_commit=0 is in memory only, for a while: wait under the lock until the log as it stands is written.
log_written() {
    say 'SELECT @@innodb_flush_log_at_trx_commit;' 2000 || return 1
    # Without InnoDB there is no such variable.
    if [ "$SAID" != 0 ]; then return 0; fi
    # MySQL writes it now. MariaDB goes by innodb_flush_log_at_timeout, which is a second.
    say 'FLUSH LOCAL ENGINE LOGS;' 2000 || return 1
    LW_GOAL=''
    while :; do
        LW=$(ask 'SHOW ENGINE INNODB STATUS' | sed -n 's/.*Log sequence number *\([0-9]*\).*Log flushed up to *\([0-9]*\).*/\1 \2/p')
        # Some of it goes on growing.
        LW_GOAL=${LW_GOAL:-${LW% *}}
        if [ -n "$LW" ] && [ "${LW#* }" -ge "$LW_GOAL" ]; then return 0; fi
        now
        if [ "$NOW" -ge "$WAIT_END" ]; then return 1; fi
        may_go_on || return 1
        "$SLEEP" 0.1
    done
}

# How many statements of others run for longer than one attempt may wait. A lock that queues behind them would stall every new writer.
long_statements() {
    say "SELECT COUNT(*) FROM $I_S.processlist WHERE command IN ('Query','Execute') AND id<>CONNECTION_ID() AND time>=$LOCK_WAIT;" 5000 || return 1
    case $SAID in '' | *[!0-9]*) SAID=0 ;; esac
    [ "$SAID" -gt 0 ]
}

recipe_flush() {
    if [ "$STOP" = yes ]; then return 0; fi
    if ! open_session; then return 0; fi
    # LOCAL keeps it out of the binary log. Behind a long statement it would only make others queue.
    if ! long_statements; then say 'FLUSH LOCAL TABLES;' $((LOCK_WAIT * 1000 + 2000)) || :; fi
}

# A node of a Galera cluster (MariaDB, Percona XtraDB Cluster) that cannot apply makes all others wait (flow control), unless it is desynchronised.
# One that was so before stays so. Who ends the lock sets it back, after it: this session, the guard, or the next command.
desync() {
    say 'SELECT CONCAT(@@wsrep_on+0,@@GLOBAL.wsrep_desync+0,@@wsrep_provider);' 2000 || return
    case $SAID in *none) return ;; 10*) ;; *) return ;; esac
    SAY_ERROR="no room in $JOBS"
    if note desync yes; then say 'SET GLOBAL wsrep_desync=ON;' 5000 || return; fi
    if [ -n "$SAY_ERROR" ]; then
        note desync ''
        emit note "text=the cluster may wait for this node while it is locked: $SAY_ERROR"
    fi
}
resync() {
    RS_N=0
    # The lock of a session that was ended may take a moment to go.
    while has desync && [ $RS_N -lt 6 ]; do
        RS=$(ask 'SET GLOBAL wsrep_desync=OFF') && note desync '' && return
        "$SLEEP" 0.5
        RS_N=$((RS_N + 1))
    done
    if has desync; then emit note "text=wsrep_desync could not be set back: $RS"; fi
}

recipe_lock() {
    if [ "$STOP" = yes ]; then
        stop_service
        return
    fi
    begin_lock "the lock" || return
    desync
    LOCK_SQL='FLUSH TABLES WITH READ LOCK;' UNLOCK_SQL='UNLOCK TABLES;'
    if [ "$HOW_LOCKED" = backup-stage ]; then LOCK_SQL="BACKUP STAGE START;${newline}BACKUP STAGE BLOCK_COMMIT;" UNLOCK_SQL='BACKUP STAGE END;'; fi
    while try_again; do
        now
        WAIT_END=$((NOW + LOCK_WAIT * 1000))
        # The stages do not wait for what works on InnoDB.
        while [ "$HOW_LOCKED" = ftwrl ] && long_statements; do
            STOP_TEXT='long statements are running'
            now
            if [ "$NOW" -ge "$WAIT_END" ]; then continue 2; fi
            may_go_on || return 1
            "$SLEEP" 0.2
        done
        window_begins
        say "$LOCK_SQL" $((LOCK_WAIT * 1000 + 2000))
        SAY_RC=$?
        if [ $SAY_RC -eq 0 ] && [ -z "$SAY_ERROR" ]; then
            if log_written; then
                locked "$HOW_LOCKED"
                say_positions
                return 0
            fi
            SAY_ERROR="InnoDB's log was not written in time"
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
        say "$UNLOCK_SQL" 2000 || break
    done
    lock_failed
}

# position NAME VALUE: not when it would have to be cut
position() {
    if [ -n "$2" ] && [ "$2" != NULL ] && [ ${#2} -le 250 ]; then emit position "name=$1" "value=$2"; fi
}

# whichever WHAT SQL SQL: the answer to the statement that this version knows. What the account may not read is said.
whichever() {
    for WH in "$2" "$3"; do
        say "$WH;" 2000 || return
        case $SAY_ERROR in
        '') return ;;
        *denied*)
            emit note "text=no position of $1: $SAY_ERROR"
            return
            ;;
        esac
    done
}

# at NAME COLUMNS: the file and the position that were answered in these
at() {
    AT=$(printf '%s\n' "$SAID" | head -n 1 | cut -f "$2" | tr '\t' :)
    if matches "$AT" '^[^ ]+:[0-9]+$'; then position "$1" "$AT"; fi
}

# Where the logs stand while nothing moves them.
say_positions() {
    # Its name since MySQL 8.2
    whichever 'the binary log' 'SHOW MASTER STATUS' 'SHOW BINARY LOG STATUS' || return 0
    at binlog 1,2
    whichever gtid 'SELECT @@gtid_current_pos' 'SELECT @@gtid_executed' || return 0
    position gtid "$(printf '%s' "$SAID" | sed 's/\\n//g')"
    whichever 'the source' 'SHOW REPLICA STATUS' 'SHOW SLAVE STATUS' || return 0
    # The columns have kept their places, though not their names: where in the source's log the applier stands.
    at source 10,22
}

recipe_alive() {
    if [ "$STOP" = yes ]; then
        still_stopped
        return
    fi
    still_says "$SESSION" 'SELECT CONNECTION_ID();' "$@"
}

recipe_unlock() {
    if [ "$STOP" = yes ]; then
        start_again
        return
    fi
    has_session || return 0
    if alive client; then say "${UNLOCK_SQL:-UNLOCK TABLES;}" 3000 || :; fi
    close_client QUIT
    unlocked
}

# The server ends the session, and with it the lock, when the client is gone. A server that was stopped is started.
recipe_kill() {
    end_process client
    order_start
    resync
}

# --- stop: the service is stopped before the freeze and started after the thaw ---
#
# Only a service that runs is stopped. Before it is, its name is noted in the job's directory, and whoever thaws what the job froze (the holder, the
# guard, the next command that finds the job abandoned) also orders its start. A machine that loses its power in between starts what it starts at boot.

unit_state() { "$TIMEOUT" 5 "$SYSTEMCTL" show -p "$1" "$UNIT" 2>/dev/null | sed -n "s/^$1=//p"; }

# The unit whose main process is the server that answers us.
find_service() {
    if [ "$SERVICE" != auto ]; then set -- "$SERVICE"; else set -- mariadb mysql mysqld; fi
    for UNIT; do
        MAIN=$(unit_state MainPID)
        if matches "$MAIN" '^[1-9][0-9]*$' && [ "$MAIN" = "$SERVER" ] && [ "$(unit_state ActiveState)" = active ]; then
            if [ -n "$S" ]; then note unit "$UNIT"; fi
            return 0
        fi
    done
    refuse db-unreachable "no service of $* is the server that answers (process $SERVER)"
}

# When the unit last changed its state, for better or worse
unit_stamp() { printf '%s %s' "$(unit_state ActiveEnterTimestampMonotonic)" "$(unit_state InactiveEnterTimestampMonotonic)"; }

stop_service() {
    has unit
    UNIT=$LINE_1
    if ! alive server || [ -z "$UNIT" ]; then
        stop db-unreachable 'the server ended before it was stopped'
        return
    fi
    SESSION=$AL_PID
    now
    ST_LEFT=$(((DEADLINE - NOW - 3000) / 1000))
    TRIES=1 STOP_TEXT='the budget left no time to stop the service'
    if [ "$ST_LEFT" -ge 1 ]; then
        note window.start "$NOW"
        STOP_TEXT="no room in $JOBS"
        # Or nobody would know what to start.
        if note stopped "$UNIT"; then STOP_TEXT=$("$TIMEOUT" "$ST_LEFT" "$SYSTEMCTL" stop "$UNIT" 2>&1) || :; fi
        if ! alive server && [ "$(unit_state MainPID)" = 0 ]; then
            STOPPED_AT=$(unit_stamp)
            locked stopped
            return 0
        fi
        STOP_TEXT="the service did not stop in time: $STOP_TEXT"
    fi
    lock_failed
}

# Not started in between either: the unit would have another time of its last change.
still_stopped() {
    if ! alive server && [ "$(unit_state MainPID)" = 0 ] && [ "$(unit_stamp)" = "$STOPPED_AT" ]; then
        say_alive
        return 0
    fi
    STOP_TEXT="the service $UNIT was started meanwhile"
    return 1
}

start_again() {
    if [ ! -e "$S/stopped" ]; then return 0; fi
    order_start
    now
    SA_LIMIT=$((NOW + 8000 < DEADLINE - 1000 ? NOW + 8000 : DEADLINE - 1000))
    while [ "$(unit_state ActiveState)" != active ] && [ "$NOW" -lt "$SA_LIMIT" ]; do
        "$SLEEP" 0.2
        now
    done
    unlocked
    if [ "$(unit_state ActiveState)" != active ]; then emit note "text=$UNIT was told to start and is not active yet"; fi
}

main "$@"
