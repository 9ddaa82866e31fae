# shellcheck shell=bash
# A MariaDB server of our own on $W/data and $W/logs, never the system's.
DB=linux-mysql
SOCK=''

server() {
    SOCK=$W/db.sock
    if [ -s "$W/db.pid" ] && kill -0 "$(cat "$W/db.pid")" 2>/dev/null; then return 0; fi
    if ! command -v mariadb-install-db >/dev/null || ! command -v mariadbd >/dev/null; then WHY='SKIPPED no MariaDB server here'; return 2; fi
    chmod 755 "$W"
    if [ ! -d "$W/data/db" ]; then
        mkdir -p "$W/data/db" "$W/logs/redo"
        mariadb-install-db --no-defaults --user=root --datadir="$W/data/db" --innodb-log-group-home-dir="$W/logs/redo" \
            --auth-root-authentication-method=normal --skip-test-db >"$W/install.log" 2>&1 || { fail 'mariadb-install-db'; return 1; }
    fi
    setsid mariadbd --no-defaults --user=root --datadir="$W/data/db" --innodb-log-group-home-dir="$W/logs/redo" --innodb-log-file-size=16M \
        --socket="$SOCK" --pid-file="$W/db.pid" --skip-networking --innodb-buffer-pool-size=32M --tmpdir=/dev/shm --log-error="$W/db.log" </dev/null >/dev/null 2>&1 &
    disown $!
    await 30 sql 'SELECT 1' >/dev/null || { fail 'the server does not start'; return 1; }
    sql 'CREATE DATABASE IF NOT EXISTS t; CREATE TABLE IF NOT EXISTS t.m (a INT) ENGINE=MyISAM; CREATE TABLE IF NOT EXISTS t.i (a INT) ENGINE=InnoDB;
        INSERT INTO t.i VALUES (1),(2); CREATE USER IF NOT EXISTS poor@localhost; GRANT SELECT ON t.* TO poor@localhost;'
}
stop_server() {
    local pid; pid=$(cat "$W/db.pid")
    kill "$pid" 2>/dev/null
    await 20 gone "$pid" || kill -KILL "$pid"
}
sql() { mariadb --no-defaults --socket="$SOCK" --user=root --batch --skip-column-names -e "$1" 2>/dev/null; }

test_mysql_happy_path() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" || return 1
    expect 0 || return 1
    [ "$(order | sed 's/^hello \(mount \)*//')" = 'engine armed flushed locked synced frozen frozen ready end' ] || { fail "pre: $(order)"; return 1; }
    local session; session=$(events '.[] | select(.t=="locked") | .session')
    frozen "$W/data" && frozen "$W/logs" || { fail 'not frozen'; return 1; }
    [ "$(sql "SELECT COUNT(*) FROM information_schema.processlist WHERE id=$session")" = 1 ] || { fail 'no such session'; return 1; }
    local before; before=$(sql 'SELECT COUNT(*) FROM t.m')
    mariadb --no-defaults --socket="$SOCK" --user=root -e 'INSERT INTO t.m VALUES (7)' </dev/null >/dev/null 2>&1 &
    local writer=$!
    PIDS="$PIDS $writer"
    await 5 sql_says 1 "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for backup lock%' OR state LIKE 'Waiting for global read lock%'" ||
        { fail 'a second session does not see the lock'; return 1; }
    run $DB post-script "executionId=$JOB1" "socket=$SOCK" || return 1
    expect 0 || return 1
    [ "$(order)" = 'hello release alive thawed thawed unlocked disarmed probe probe window end' ] || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || { fail 'another session'; return 1; }
    await 5 sql_says $((before + 1)) 'SELECT COUNT(*) FROM t.m' || { fail 'the blocked write never happened'; return 1; }
    sql_says 0 "SELECT COUNT(*) FROM information_schema.processlist WHERE id=$session" || fail 'the session is left behind'
}
sql_says() { [ "$(sql "$2")" = "$1" ]; }

test_mysql_dry_run_names_the_engine() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .name + " " + .datadir')" = "mariadb $W/data/db/" ] || fail engine
}

test_mysql_long_write_ends_in_lock_timeout_and_harms_nobody() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    mariadb --no-defaults --socket="$SOCK" --user=root -e 'UPDATE t.i SET a=a+SLEEP(60)' </dev/null >/dev/null 2>&1 &
    PIDS="$PIDS $!"
    await 5 sql_says 1 "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'UPDATE t.i%'" || { fail 'no long write'; return 1; }
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" lockWaitSeconds=1 lockRetries=1
    local write; write=$(sql 'INSERT INTO t.m VALUES (8); SELECT 1')
    local still; still=$(sql "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'UPDATE t.i%'")
    sql "$(sql "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE info LIKE 'UPDATE t.i%'")"
    expect 201 lock-timeout || return 1
    [ "$(events '.[] | select(.t=="lock-timeout") | .tries')" = 2 ] || { fail 'tries'; return 1; }
    [ "$write" = 1 ] || { fail 'other writers still wait'; return 1; }
    [ "$still" = 1 ] || { fail 'the long write was harmed'; return 1; }
    [ "$(events '[.[] | select(.t=="frozen")] | length')" = 0 ] && thawed "$W/data" || fail 'froze without the lock'
}

test_mysql_failsafe_also_unlocks() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" budgetSeconds=9 && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'still frozen'; return 1; }
    [ "$(timeout 5 mariadb --no-defaults --socket="$SOCK" --user=root -BNe 'INSERT INTO t.m VALUES (9); SELECT 1' 2>&1)" = 1 ] || { fail 'still locked'; return 1; }
    run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 203 failsafe-fired
}

test_mysql_killed_session_is_lock_lost() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
    sql "KILL $(events '.[] | select(.t=="locked") | .session')"
    run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 202 lock-lost || return 1
    [ "$(events '[.[] | select(.t=="alive")] | length')" = 0 ] || { fail 'says alive'; return 1; }
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

test_mysql_refusals() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    printf '[client]\nuser=poor\nsocket=%s\n' "$SOCK" >"$W/poor.cnf"
    run $DB pre-script "defaultsFile=$W/poor.cnf" && expect 206 db-denied || return 1
    printf '[client]\nuser=root\npassword=wrong\nsocket=%s\n' "$SOCK" >"$W/poor.cnf"
    sql "SET PASSWORD FOR poor@localhost = PASSWORD('right')"
    printf '[client]\nuser=poor\npassword=wrong\nsocket=%s\n' "$SOCK" >"$W/poor.cnf"
    run $DB dry-run "defaultsFile=$W/poor.cnf" && expect 206 db-denied || return 1
    sql "SET PASSWORD FOR poor@localhost = ''"
    run $DB dry-run "socket=$W/nowhere.sock" && expect 206 db-unreachable || return 1
    # the redo log lies on the other volume, so freezing only the data directory proves nothing
    run $DB pre-script "socket=$SOCK" "mounts=$W/data" && expect 206 no-volume
}
