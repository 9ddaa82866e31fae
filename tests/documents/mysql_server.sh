# shellcheck shell=bash
# A real MySQL, of another distribution than this one: its program in a root directory of Debian sid ($MYSQL_ROOT), started
# here by that root's own loader, so that it is a process of this machine with this machine's files. Our client is this machine's.

msql() { mariadb --no-defaults --socket="$W/mysql8.sock" --user=root --batch --skip-column-names -e "$1" 2>/dev/null; }
msql_says() { [ "$(msql "$2")" = "$1" ]; }
mysql_real() {
    local root=${MYSQL_ROOT:-${HOME:-/root}/.cache/freezeframe/roots/sid} start
    if [ ! -x "$root/usr/sbin/mysqld" ] || [ ! -x "$root/lib64/ld-linux-x86-64.so.2" ] || ! command -v mariadb >/dev/null; then WHY="SKIPPED no mysqld in $root"; return 1; fi
    start=("$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/mysql/private" "$root/usr/sbin/mysqld" --no-defaults --user=root --basedir="$root/usr"
        --lc-messages-dir="$root/usr/share/mysql" --character-sets-dir="$root/usr/share/mysql/charsets" --plugin-dir="$root/usr/lib/mysql/plugin" --datadir="$W/data/mysql8" --secure-file-priv= --mysqlx=OFF
        --skip-networking --innodb-buffer-pool-size=32M --innodb-redo-log-capacity=16M --log-bin="$W/logs/mysql8/bin")
    mkdir -p "$W/logs/mysql8"
    chmod 755 "$W"
    "${start[@]}" --initialize-insecure >"$W/mysql8.log" 2>&1 || { fail "no data directory: $(tail -n 2 "$W/mysql8.log")"; return 1; }
    setsid "${start[@]}" --socket="$W/mysql8.sock" --pid-file="$W/mysql8.pid" </dev/null >"$W/mysql8.log" 2>&1 &
    MYSQL8=$!
    PIDS="$PIDS $MYSQL8"
    disown $MYSQL8
    await 40 msql_says 1 'SELECT 1' || { fail "the server does not start: $(tail -n 2 "$W/mysql8.log")"; return 1; }
}
mysql_gone() {
    kill -KILL "$MYSQL8" 2>/dev/null
    await 5 gone "$MYSQL8"
    rm -rf "$W/data/mysql8" "$W/logs/mysql8"
}
mysql_run() { local command=$1; shift; run $DB "$command" "executionId=$JOB1" "socket=$W/mysql8.sock" "$@"; }

test_mysql_real_server_roles_and_logs() {
    mysql_real || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    mysql_real_way
    local rc=$?
    mysql_gone
    return $rc
}
mysql_real_way() {
    local session position
    msql 'CREATE DATABASE t; CREATE TABLE t.i (a INT); INSERT INTO t.i VALUES (1);
        CREATE ROLE locks, looks; GRANT RELOAD ON *.* TO locks; GRANT PROCESS, REPLICATION CLIENT ON *.* TO looks; CREATE USER keeper@localhost, poor@localhost; GRANT locks, looks TO keeper@localhost; GRANT looks TO poor@localhost'
    outer
    mysql_run dry-run && expect 0 || return 1
    events '.[] | select(.t=="engine") | .name + " " + .version' | grep -Eq '^mysql ([89]|[1-9][0-9])\.' || { fail "engine: $(events '.[] | select(.t=="engine")')"; return 1; }
    # Its rights come from two roles, none of which is a default one.
    printf '[client]\nuser=keeper\n' >"$W/keeper.cnf"
    printf '[client]\nuser=poor\n' >"$W/poor.cnf"
    mysql_run dry-run "defaultsFile=$W/poor.cnf" && expect 206 db-denied || return 1
    mysql_run pre-script "defaultsFile=$W/keeper.cnf" && expect 0 || return 1
    session=$(events '.[] | select(.t=="locked") | .session')
    position=$(events '.[] | select(.t=="position" and .name=="binlog") | .value')
    frozen "$W/data" && frozen "$W/logs" || { fail 'not frozen'; return 1; }
    [ "$position" = "$(msql 'SHOW BINARY LOG STATUS' | cut -f 1,2 | tr '\t' :)" ] || { fail "position $position"; return 1; }
    mariadb --no-defaults --socket="$W/mysql8.sock" --user=root -e 'INSERT INTO t.i VALUES (2)' </dev/null >/dev/null 2>&1 &
    PIDS="$PIDS $!"
    await 5 msql_says 1 "SELECT COUNT(*) FROM performance_schema.threads WHERE processlist_state LIKE 'Waiting for global read lock%'" || { fail 'a write does not wait for the lock'; return 1; }
    mysql_run post-script "defaultsFile=$W/keeper.cnf" && expect 0 || return 1
    [ "$(order)" = 'hello release alive thawed thawed unlocked disarmed probe probe window end' ] && [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || { fail "post: $(order)"; return 1; }
    await 5 msql_says 2 'SELECT COUNT(*) FROM t.i' || { fail 'the blocked write never happened'; return 1; }
    # A slow log of every statement, on a filesystem that freezes
    kill -KILL -- "-$OUTER"
    outer
    msql "SET GLOBAL slow_query_log_file='$W/logs/mysql8/slow.log', slow_query_log=ON, long_query_time=0"
    mysql_run pre-script && expect 0 && mysql_run post-script && expect 0 || return 1
    [ "$(order)" = 'hello release alive thawed thawed unlocked disarmed probe probe window end' ] || fail "with a slow log: $(order)"
}

# MariaDB has one role at a time, the default one.
test_mysql_default_role_of_mariadb() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    sql 'CREATE ROLE IF NOT EXISTS keeping; GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO keeping; CREATE USER IF NOT EXISTS keeper@localhost; GRANT keeping TO keeper@localhost; SET DEFAULT ROLE keeping FOR keeper@localhost'
    printf '[client]\nuser=keeper\n' >"$W/keeper.cnf"
    outer
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" "defaultsFile=$W/keeper.cnf" && expect 0 && run $DB post-script "executionId=$JOB1" "socket=$SOCK" "defaultsFile=$W/keeper.cnf" && expect 0
}
