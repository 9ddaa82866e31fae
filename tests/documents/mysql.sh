# shellcheck shell=bash
# A MariaDB server of our own on $W/data and $W/logs, never the system's.
DB=linux-mysql
SOCK=''

server() {
    SOCK=${SERVER_SOCK:-$W/db.sock}
    if [ -s "$W/db.pid" ] && kill -0 "$(cat "$W/db.pid")" 2>/dev/null; then return 0; fi
    if ! command -v mariadb-install-db >/dev/null || ! command -v mariadbd >/dev/null; then WHY='SKIPPED no MariaDB server here'; return 2; fi
    chmod 755 "$W"
    if [ ! -d "$W/data/db" ]; then
        mkdir -p "$W/data/db" "$W/logs/redo" "$W/logs/binlog"
        mariadb-install-db --no-defaults --user=root --datadir="$W/data/db" --innodb-log-group-home-dir="$W/logs/redo" \
            --auth-root-authentication-method=normal --skip-test-db >"$W/install.log" 2>&1 || { fail 'mariadb-install-db'; return 1; }
    fi
    setsid mariadbd --no-defaults --user=root --datadir="$W/data/db" --innodb-log-group-home-dir="$W/logs/redo" --innodb-log-file-size=16M \
        --log-bin="$W/logs/binlog/bin" --server-id=7 --socket="$SOCK" --pid-file="$W/db.pid" --skip-networking --innodb-buffer-pool-size=32M --tmpdir=/dev/shm --log-error="$W/db.log" ${SERVER_OPTIONS:-} </dev/null >/dev/null 2>&1 &
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
    [ "$(order | sed 's/^hello \(mount \)*//')" = 'engine path armed flushed locked position position synced frozen frozen ready end' ] || { fail "pre: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="locked") | .how')" = ftwrl ] || { fail 'not by the global read lock, though a table is MyISAM'; return 1; }
    [ "$(events '.[] | select(.t=="position" and .name=="binlog") | .value')" = "$(sql 'SHOW MASTER STATUS' | tr '\t' ' ' | sed 's/^\([^ ]*\) \([0-9]*\).*/\1:\2/')" ] || { fail position; return 1; }
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
    [ "$(events '.[] | select(.t=="engine") | .name + " " + .datadir')" = "mariadb $W/data/db/" ] || { fail engine; return 1; }
    [ "$(events '.[] | select(.t=="path") | .what + " " + .path')" = "binlog $W/logs/binlog" ] || fail "path: $(events '[.[] | select(.t=="path")]')"
}

# Tables, partitions and databases that a link or a mount of their own puts elsewhere, however deep.
test_mysql_what_lies_elsewhere_is_told() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    mkdir -p "$W/data/ram" && mount -t tmpfs tmpfs "$W/data/ram" || { fail 'no tmpfs'; return 1; }
    moved_tables
    local code=$?
    umount "$W/data/db/t/deep" "$W/data/db/m@0020d" 2>/dev/null
    sql 'DROP DATABASE IF EXISTS away'
    rm -rf "$W/data/db/t/deep" "$W/data/db/t/gone.MYD" "$W/data/db/linked" "$W/data/db/m@0020d" "$W/data/db/ca.pem" "$W"/other/linked "$W"/other/away*
    umount "$W/data/ram"
    return $code
}
moved_tables() {
    local binlog="binlog $W/logs/binlog"
    sql "CREATE DATABASE away; CREATE TABLE away.m (a INT) ENGINE=MyISAM DATA DIRECTORY='$W/other'" || { fail 'no table elsewhere'; return 1; }
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    [ "$(paths)" = "$binlog,data $W/other" ] || { fail "a table: $(paths)"; return 1; }
    # A filesystem of no block device, mounted below a mount that is covered: its place alone would look covered.
    sql "DROP TABLE away.m; CREATE TABLE away.p (a INT) ENGINE=Aria TRANSACTIONAL=0 PARTITION BY RANGE (a) (PARTITION lo VALUES LESS THAN (9), PARTITION hi VALUES LESS THAN MAXVALUE DATA DIRECTORY='$W/data/ram')" || { fail 'no partition elsewhere'; return 1; }
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    [ "$(paths)" = "$binlog,data $W/data/ram" ] || { fail "a partition: $(paths)"; return 1; }
    [ "$(events "[.[] | select(.t==\"mount\" and .mount==\"$W/data/ram\") | .covered] | join(\" \")")" = false ] || { fail 'a filesystem in memory looks covered'; return 1; }
    sql 'DROP TABLE away.p'
    # A link in a directory that is linked itself; a mount below, also one whose name is strange.
    mkdir -p "$W/logs/linked" "$W/data/db/t/deep" "$W/data/db/m@0020d" && ln -s "$W/logs/linked" "$W/data/db/linked" && : >"$W/other/away.MYD" && ln -s "$W/other/away.MYD" "$W/logs/linked/away.MYD" || return 1
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    rm -rf "$W/logs/linked" "$W/data/db/linked"
    [ "$(paths)" = "$binlog,data $W/other" ] || { fail "a link behind a link: $(paths)"; return 1; }
    mount -t tmpfs tmpfs "$W/data/db/t/deep" && mount --bind "$W/other" "$W/data/db/m@0020d" || return 1
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    [ "$(paths)" = "$binlog,data $W/data/db/m@0020d,data $W/data/db/t/deep" ] || { fail "mounts: $(paths)"; return 1; }
    umount "$W/data/db/t/deep" "$W/data/db/m@0020d"
    # Nothing found is not the same as could not look. What no table needs is no matter.
    ln -s /etc/nowhere/ca.pem "$W/data/db/ca.pem"
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    [ "$(paths)" = "$binlog" ] || { fail "nothing is elsewhere: $(paths)"; return 1; }
    ln -s "$W/nowhere/gone.MYD" "$W/data/db/t/gone.MYD"
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    paths | grep -q "^$binlog,unsearched ?.*gone.MYD" || { fail "a link to nowhere: $(paths)"; return 1; }
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
    run $DB pre-script "socket=$SOCK" "mounts=$W/data" && expect 206 not-covered
}

test_mysql_backup_stage() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    local session position table before long
    sql 'CREATE TABLE IF NOT EXISTS t.a (a INT) ENGINE=Aria; CREATE TABLE IF NOT EXISTS t.k (a INT) ENGINE=InnoDB; INSERT INTO t.k VALUES (1),(2)'
    # A long statement on InnoDB does not have to end for it, and is not harmed.
    mariadb --no-defaults --socket="$SOCK" --user=root -e 'SELECT a, SLEEP(3) FROM t.k LIMIT 2 FOR UPDATE' </dev/null >/dev/null 2>"$W/long.err" &
    long=$!
    PIDS="$PIDS $long"
    await 5 sql_says 1 "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT a, SLEEP%'" || { fail 'no long statement'; return 1; }
    position=$(sql 'SHOW MASTER STATUS')
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" lockMethod=backup-stage lockWaitSeconds=2 && expect 0 || return 1
    [ "$(events '.[] | select(.t=="locked") | .how')" = backup-stage ] || { fail how; return 1; }
    session=$(events '.[] | select(.t=="locked") | .session')
    before=$(sql 'SELECT (SELECT COUNT(*) FROM t.m) + (SELECT COUNT(*) FROM t.a) + (SELECT COUNT(*) FROM t.i)')
    for table in m i a; do
        mariadb --no-defaults --socket="$SOCK" --user=root -e "INSERT INTO t.$table VALUES (70)" </dev/null >/dev/null 2>&1 &
        PIDS="$PIDS $!"
    done
    # Crash-safe Aria may begin its write and then waits for the filesystem; the others wait for the lock.
    await 5 sql_says 2 "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for backup lock%' AND (info LIKE 'INSERT INTO t.m%' OR info LIKE 'INSERT INTO t.i%')" || { fail 'writes do not wait'; return 1; }
    sql_says 3 "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO t.%'" || { fail 'a write went through'; return 1; }
    run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || { fail 'another session'; return 1; }
    await 5 sql_says $((before + 3)) 'SELECT (SELECT COUNT(*) FROM t.m) + (SELECT COUNT(*) FROM t.a) + (SELECT COUNT(*) FROM t.i)' || { fail 'a blocked write never happened'; return 1; }
    wait "$long" || { fail "the long statement was harmed: $(cat "$W/long.err")"; return 1; }
    # By itself it is chosen where every table is InnoDB. Nothing of it goes to the binary log.
    sql 'DROP TABLE t.a; ALTER TABLE t.m ENGINE=InnoDB'
    position=$(sql 'SHOW MASTER STATUS')
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
    [ "$(events '.[] | select(.t=="locked") | .how')" = backup-stage ] || { fail 'not chosen'; return 1; }
    sql "KILL $session" # long gone
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 3 thawed "$W/data" || { fail 'still frozen'; return 1; }
    run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 203 failsafe-fired || return 1
    [ "$(sql 'SHOW MASTER STATUS')" = "$position" ] || { fail 'something went to the binary log'; return 1; }
    [ "$(timeout 5 mariadb --no-defaults --socket="$SOCK" --user=root -BNe 'ALTER TABLE t.m ENGINE=MyISAM; SELECT 1' 2>&1)" = 1 ] || fail 'still locked'
}

test_mysql_backup_stage_behind_a_long_write_is_lock_timeout() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    mariadb --no-defaults --socket="$SOCK" --user=root -e 'INSERT INTO t.m SELECT SLEEP(60)' </dev/null >/dev/null 2>&1 &
    PIDS="$PIDS $!"
    await 5 sql_says 1 "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO t.m%'" || { fail 'no long write'; return 1; }
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" lockMethod=backup-stage lockWaitSeconds=1 lockRetries=1
    local write; write=$(sql 'INSERT INTO t.i VALUES (80); SELECT 1')
    local still; still=$(sql "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO t.m%'")
    sql "$(sql "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO t.m%'")"
    expect 201 lock-timeout || return 1
    [ "$write" = 1 ] && [ "$still" = 1 ] || { fail "others were harmed: $write $still"; return 1; }
    [ "$(events '[.[] | select(.t=="frozen")] | length')" = 0 ] || fail 'froze without the lock'
}

# With innodb_flush_log_at_trx_commit=0 what was acknowledged is in the server's memory for a while. The copies are taken while everything is frozen.
copy_of_the_disks() { rm -rf "$W/copy"; mkdir "$W/copy" && cp -a "$W/data/db" "$W/logs/redo" "$W/copy/"; }
# copy_says SQL: what a server answers that has recovered the copy
copy_says() {
    (
        SOCK=$W/copy/sock
        setsid mariadbd --no-defaults --user=root --datadir="$W/copy/db" --innodb-log-group-home-dir="$W/copy/redo" --socket="$SOCK" --pid-file="$W/copy/pid" \
            --skip-networking --innodb-buffer-pool-size=32M --tmpdir=/dev/shm --log-error="$W/copy/log" </dev/null >/dev/null 2>&1 &
        await 30 sql 'SELECT 1' >/dev/null && sql "$1"
        kill -KILL $!
        wait $! 2>/dev/null
    )
}
test_mysql_acknowledged_is_in_the_copy_though_the_log_is_written_late() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    sql 'CREATE TABLE t.acked (n INT PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB; SET GLOBAL innodb_flush_log_at_trx_commit=0'
    late_log
    local code=$?
    sql 'SET GLOBAL innodb_flush_log_at_trx_commit=1, GLOBAL innodb_flush_log_at_timeout=1; DROP TABLE t.acked'
    rm -rf "$W/copy"
    return $code
}
# Locks by hand without waiting for the log, freezes, copies: the acknowledged row that the copy has (0 or 1) in rows.
without_waiting_for_the_log() {
    outer
    acked=$(sql 'INSERT INTO t.acked VALUES (); SELECT LAST_INSERT_ID()')
    : >"$W/locked"
    { echo "FLUSH TABLES WITH READ LOCK; SELECT 1;"; sleep 20; } | mariadb --no-defaults --socket="$SOCK" --user=root --unbuffered --batch --skip-column-names >"$W/locked" 2>/dev/null &
    locker=$!
    PIDS="$PIDS $locker"
    await 5 test -s "$W/locked" || { fail 'no lock'; return 1; }
    run linux-filesystem pre-script "executionId=$JOB2" && expect 0 || return 1
    copy_of_the_disks || { fail 'no copy'; return 1; }
    run linux-filesystem post-script "executionId=$JOB2" && expect 0 || return 1
    kill "$locker"
    sql "$(sql "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE command='Sleep' AND id<>CONNECTION_ID()" | tr '\n' ';')"
    rows=$(copy_says "SELECT COUNT(*) FROM t.acked WHERE n=$acked")
    after_test
}
late_log() {
    local how writer acked rows locker
    for how in ftwrl backup-stage; do
        outer
        # One client that goes on until the lock stops it.
        { while :; do echo 'INSERT INTO t.acked VALUES (); SELECT LAST_INSERT_ID();'; done; } 2>/dev/null | mariadb --no-defaults --socket="$SOCK" --user=root --unbuffered --batch --skip-column-names >"$W/acks" 2>/dev/null &
        writer=$!
        PIDS="$PIDS $writer"
        await 5 test -s "$W/acks" || { fail 'no writes'; return 1; }
        run $DB pre-script "executionId=$JOB1" "socket=$SOCK" lockMethod=$how && expect 0 || return 1
        acked=$(tail -n 1 "$W/acks")
        copy_of_the_disks || { fail 'no copy'; return 1; }
        run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
        kill "$writer"
        rows=$(copy_says "SELECT COUNT(*) FROM t.acked WHERE n<=$acked")
        [ "$rows" = "$(sql "SELECT COUNT(*) FROM t.acked WHERE n<=$acked")" ] || { fail "$how: the copy has $rows rows of those up to $acked"; return 1; }
        after_test
    done
    # The check can fail: where nobody waits for the log, the same copy under lock and freeze lacks them. A flush of the
    # server's own may come in between: one time without is enough.
    sql 'SET GLOBAL innodb_flush_log_at_timeout=2700'
    local try
    for try in 1 2 3 4 5; do
        sleep 2
        without_waiting_for_the_log || return 1
        [ "$rows" != 0 ] || break
    done
    [ "$rows" = 0 ] || { fail "the control has what was never written, $try times: it proves nothing"; return 1; }
    outer
    # A log that does not come is a lock that does not come.
    for how in ftwrl backup-stage; do
        acked=$(sql 'INSERT INTO t.acked VALUES (); SELECT LAST_INSERT_ID()')
        run $DB pre-script "executionId=$JOB3" "socket=$SOCK" lockMethod=$how lockWaitSeconds=1 lockRetries=1
        if [ "$RC" = 0 ]; then
            # MariaDB 11.8 writes it when it is asked to: then it is there.
            copy_of_the_disks || { fail 'no copy'; return 1; }
            run $DB post-script "executionId=$JOB3" "socket=$SOCK" && expect 0 || return 1
            [ "$(copy_says "SELECT COUNT(*) FROM t.acked WHERE n=$acked")" = 1 ] || { fail "$how: locked without the log"; return 1; }
            continue
        fi
        expect 201 lock-timeout || return 1
        [ "$(events '.[] | select(.t=="lock-timeout") | .tries')" = 2 ] || { fail tries; return 1; }
        [ "$(events '[.[] | select(.t=="locked" or .t=="frozen" or .t=="position")] | length')" = 0 ] && thawed "$W/data" || { fail 'went on without the log'; return 1; }
        [ "$(timeout 5 mariadb --no-defaults --socket="$SOCK" --user=root -BNe 'INSERT INTO t.acked VALUES (); SELECT 1' 2>&1)" = 1 ] || { fail 'still locked'; return 1; }
    done
}

# With exactly the grants that docs/recipes.md asks for, and with each of them taken away.
test_mysql_grants_of_the_recipe() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    sql "CREATE USER backup@localhost IDENTIFIED BY 'secret'; GRANT RELOAD, PROCESS, BINLOG MONITOR, REPLICA MONITOR, SELECT ON *.* TO backup@localhost; CREATE SEQUENCE t.s ENGINE=MyISAM" || { fail 'no account'; return 1; }
    printf '[client]\nuser=backup\npassword=secret\nsocket=%s\n' "$SOCK" >"$W/backup.cnf"
    grants
    local code=$?
    sql 'DROP USER backup@localhost; RESET SLAVE ALL'
    sql 'DROP SEQUENCE IF EXISTS t.s; ALTER TABLE t.m ENGINE=MyISAM'
    return $code
}
# as_backup: the whole way; HOW it was locked, which POSITIONS were told, what was noted
as_backup() {
    outer
    run $DB pre-script "executionId=$JOB1" "defaultsFile=$W/backup.cnf" && expect 0 || return 1
    HOW=$(events '.[] | select(.t=="locked") | .how')
    POSITIONS=$(events '[.[] | select(.t=="position") | .name] | join(" ")')
    NOTES=$(events '[.[] | select(.t=="note") | .text] | join("\n")')
    run $DB post-script "executionId=$JOB1" "defaultsFile=$W/backup.cnf" && expect 0 || return 1
}
grants() {
    sql "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_LOG_FILE='up.000003', MASTER_LOG_POS=1234, MASTER_USE_GTID=no" || { fail 'no replica'; return 1; }
    as_backup || return 1
    [ "$HOW $POSITIONS $NOTES" = 'ftwrl binlog gtid source ' ] || { fail "MyISAM there: $HOW $POSITIONS $NOTES"; return 1; }
    # A sequence is a table of an engine, too.
    sql 'ALTER TABLE t.m ENGINE=InnoDB'
    as_backup || return 1
    [ "$HOW" = ftwrl ] || { fail "a sequence of MyISAM is there: $HOW"; return 1; }
    sql 'DROP SEQUENCE t.s'
    as_backup || return 1
    [ "$HOW $POSITIONS $NOTES" = 'backup-stage binlog gtid source ' ] || { fail "InnoDB only: $HOW $POSITIONS $NOTES"; return 1; }
    # Whom no table is shown cannot say that all are InnoDB; a position that may not be read is no position that is not there.
    sql 'REVOKE SELECT, BINLOG MONITOR, REPLICA MONITOR ON *.* FROM backup@localhost'
    as_backup || return 1
    [ "$HOW $POSITIONS" = 'ftwrl gtid' ] || { fail "without SELECT: $HOW $POSITIONS"; return 1; }
    printf '%s\n' "$NOTES" | grep -q '^no position of the binary log: .*BINLOG MONITOR' && printf '%s\n' "$NOTES" | grep -q '^no position of the source: .*\(REPLICA\|SLAVE\) MONITOR' &&
        [ "$(printf '%s\n' "$NOTES" | wc -l)" = 2 ] || { fail "notes: $NOTES"; return 1; }
    local missing
    for missing in RELOAD PROCESS; do
        sql "REVOKE $missing ON *.* FROM backup@localhost"
        run $DB dry-run "defaultsFile=$W/backup.cnf" && expect 206 db-denied || { WHY="without $missing: $WHY"; return 1; }
        sql "GRANT $missing ON *.* TO backup@localhost"
    done
    # One database is not everything.
    sql 'GRANT SELECT ON t.* TO backup@localhost'
    as_backup || return 1
    [ "$HOW" = ftwrl ] || fail "with SELECT on one database: $HOW"
}

test_mysql_replica_tells_where_its_source_stood() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    sql "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_LOG_FILE='up.000003', MASTER_LOG_POS=1234, MASTER_USE_GTID=no" || { fail 'no replica'; return 1; }
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK"
    local pre=$? replica source
    replica=$(events '.[] | select(.t=="engine") | .replica')
    source=$(events '.[] | select(.t=="position" and .name=="source") | .value')
    if [ $pre -eq 0 ]; then run $DB post-script "executionId=$JOB1" "socket=$SOCK"; fi
    sql 'RESET SLAVE ALL'
    expect 0 || return 1
    [ "$replica" = true ] && [ "$source" = up.000003:1234 ] || fail "replica $replica, source $source"
}

test_mysql_an_answer_that_is_an_error_is_a_refusal() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    local client word
    client=$(readlink -f "$(command -v mariadb)")
    cp "$client" "$W/client.real"
    for word in 'SHOW GLOBAL VARIABLES' INNODB_SYS 'SHOW GRANTS'; do
        printf '#!/bin/sh\ncase "$*" in *"%s"*) echo "ERROR 2013 (HY000): Lost connection to server during query" >&2; exit 1 ;; esac\nexec "%s" "$@"\n' "$word" "$W/client.real" >"$W/client.fake"
        chmod 755 "$W/client.fake"
        mount --bind "$W/client.fake" "$client" || { fail 'no bind mount'; return 1; }
        run $DB pre-script "socket=$SOCK"
        umount "$client"
        expect 206 db-unreachable || { WHY="$word: $WHY"; return 1; }
    done
}

# fake_systemctl UNIT PID-FILE: a stand-in for systemctl, which starts and stops our own server: what it says is what the script asks for.
fake_systemctl() {
    local unit=$1 file=$2
    SYSTEMCTL=$(readlink -f /usr/bin/systemctl)
    [ -x "$SYSTEMCTL" ] || { WHY='SKIPPED no systemctl here to stand in for'; return 1; }
    tr '\0' ' ' <"/proc/$(cat "$file")/cmdline" >"$W/server.command"
    echo 1 >"$W/unit.stamp"
    : >"$W/unit.log"
    cat >"$W/systemctl" <<END
#!/bin/bash
echo "\$*" >>"$W/unit.log"
pid=\$(cat "$file" 2>/dev/null); [ -n "\$pid" ] && kill -0 "\$pid" 2>/dev/null || pid=0
case \$1 in
show) case \$4 in $unit) ;; *) pid=0 ;; esac
    case \$3 in
    MainPID) echo "MainPID=\$pid" ;;
    ActiveState) if [ \$pid = 0 ]; then echo ActiveState=inactive; else echo ActiveState=active; fi ;;
    *) echo "\$3=\$(cat "$W/unit.stamp")" ;;
    esac ;;
stop) [ "\$2" = $unit ] || exit 5
    kill "\$pid"; while kill -0 "\$pid" 2>/dev/null && ! grep -q '^State:.[ZX]' "/proc/\$pid/status"; do sleep 0.1; done; rm -f "$file"; date +%s%N >"$W/unit.stamp" ;;
start) [ "\$3" = $unit ] || exit 5
    date +%s%N >"$W/unit.stamp"
    setsid $(cat "$W/server.command") </dev/null >/dev/null 2>&1 4>&- & ;;
*) exit 1 ;;
esac
END
    chmod 755 "$W/systemctl"
    mount --bind "$W/systemctl" "$SYSTEMCTL" || { fail 'no bind mount'; return 1; }
}

test_mysql_stop_instead_of_a_lock() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    fake_systemctl mariadb "$W/db.pid" || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    stop_variant "$W/db.pid" "$SOCK" sql_says
    local code=$?
    umount "$SYSTEMCTL"
    return $code
}
stop_variant() { # PID-FILE SOCKET SAYS
    local pid socket=$2 says=$3; pid=$(cat "$1")
    run $DB dry-run "socket=$socket" stop=yes service=other && expect 206 db-unreachable || return 1
    run $DB pre-script "executionId=$JOB1" "socket=$socket" stop=yes && expect 0 || return 1
    [ "$(events '.[] | select(.t=="locked") | .how + " \(.session)"')" = "stopped $pid" ] || { fail how; return 1; }
    gone "$pid" && frozen "$W/data" || { fail 'not stopped, or not frozen'; return 1; }
    run $DB post-script "executionId=$JOB1" "socket=$socket" stop=yes && expect 0 || return 1
    [ "$(order)" = 'hello release alive thawed thawed unlocked disarmed probe probe window end' ] || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$pid" ] || { fail 'another process'; return 1; }
    await 30 "$says" 1 'SELECT 1' || { fail 'not started again'; return 1; }
    # Started by somebody while everything is frozen: that proves nothing.
    run $DB pre-script "executionId=$JOB1" "socket=$socket" stop=yes && expect 0 || return 1
    date +%s%N >"$W/unit.stamp"
    run $DB post-script "executionId=$JOB1" "socket=$socket" stop=yes && expect 202 lock-lost || return 1
    await 30 "$says" 1 'SELECT 1' || { fail 'not started again after that'; return 1; }
    # The guard starts it as well.
    run $DB pre-script "executionId=$JOB1" "socket=$socket" stop=yes && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 30 "$says" 1 'SELECT 1' || { fail 'the guard did not start it'; return 1; }
    run $DB post-script "executionId=$JOB1" "socket=$socket" stop=yes && expect 203 failsafe-fired || return 1
    # And with guard and holder gone, the next document that finds the job, of whatever recipe.
    run $DB pre-script "executionId=$JOB1" "socket=$socket" stop=yes && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .guard_pid')" "$(events '.[] | select(.t=="armed") | .holder_pid')"
    sleep 0.3
    run linux-filesystem pre-script "executionId=$JOB2" && run linux-filesystem post-script "executionId=$JOB2" && expect 0 || return 1
    await 30 "$says" 1 'SELECT 1' || fail 'an abandoned job left the service stopped'
}

# A server that writes a line about every statement writes it to a frozen filesystem too, and answers nobody until the thaw.
test_mysql_slow_log_of_every_statement_on_a_frozen_filesystem() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    sql "SET GLOBAL slow_query_log_file='$W/logs/slow.log', slow_query_log=ON, long_query_time=0"
    proven_while_logging 'hello release alive thawed thawed unlocked disarmed probe probe window end'
    local rc=$?
    sql 'SET GLOBAL slow_query_log=OFF, long_query_time=10'
    [ $rc = 0 ] && { grep -q 'INSERT INTO t.i' "$W/logs/slow.log" || fail 'nothing was logged'; }
}
test_mysql_audit_log_of_every_statement_on_a_frozen_filesystem() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    sql "INSTALL SONAME 'server_audit'" || { WHY='SKIPPED this server has no server_audit'; return 0; }
    sql "SET GLOBAL server_audit_file_path='$W/logs/audit.log', server_audit_logging=ON"
    proven_while_logging 'hello release thawed thawed note alive unlocked disarmed probe probe window end'
    local rc=$?
    if [ $rc = 0 ]; then
        # Its end while it is waited for is still a lost lock.
        run $DB pre-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || rc=1
        kill -KILL "$(cut -d' ' -f1 "/run/freezeframe/$JOB1/client")"
        run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 202 lock-lost || rc=1
    fi
    sql "SET GLOBAL server_audit_logging=OFF; UNINSTALL SONAME 'server_audit'"
    [ $rc = 0 ] && { grep -q 'SELECT CONNECTION_ID' "$W/logs/audit.log" || fail 'nothing was logged'; }
}
proven_while_logging() { # ORDER
    local session
    sql 'INSERT INTO t.i VALUES (3)'
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
    session=$(events '.[] | select(.t=="locked") | .session')
    run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
    [ "$(order)" = "$1" ] || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || fail 'another session'
}

# What of a server may lie elsewhere by a setting of its own.
mysql_elsewhere() { # NAME OPTION…: a second server, its data on $W/data/NAME
    local name=$1 code
    shift
    command -v mariadb-install-db mariadbd >/dev/null || { WHY='SKIPPED no MariaDB server here'; return 2; }
    chmod 755 "$W"
    mkdir -p "$W/data/$name" "$W/other/$name"
    mariadb-install-db --no-defaults --user=root --datadir="$W/data/$name" --auth-root-authentication-method=normal --skip-test-db "${INSTALL[@]}" >"$W/install.log" 2>&1 || { fail 'mariadb-install-db'; return 1; }
    setsid mariadbd --no-defaults --user=root --datadir="$W/data/$name" --socket="$W/$name.sock" --pid-file="$W/$name.pid" --skip-networking --innodb-buffer-pool-size=32M --tmpdir=/dev/shm \
        --log-error="$W/$name.log" "${INSTALL[@]}" "$@" </dev/null >/dev/null 2>&1 &
    PIDS="$PIDS $!"
    disown $!
    SOCK=$W/$name.sock
    await 30 sql_says 1 'SELECT 1' || { fail "the server does not start: $(tail -n 2 "$W/$name.log")"; return 1; }
}
elsewhere_gone() { rm -rf "$W/data/$1" "$W/other/$1"; SOCK=$W/db.sock; }

test_mysql_system_tablespace_elsewhere_is_refused() {
    local INSTALL=(--innodb-data-home-dir= "--innodb-data-file-path=ibdata1:12M;$W/other/sys/ibdata2:12M:autoextend") code
    mysql_elsewhere sys || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    [ -s "$W/other/sys/ibdata2" ] && run $DB dry-run "socket=$SOCK" && expect 206 not-covered && { complaint | grep -q "innodb_data_file_path ($W/other/sys/ibdata2) is not on a filesystem" || fail "$(complaint)"; }
    code=$?
    after_test
    elsewhere_gone sys
    return $code
}

test_mysql_places_that_settings_name() {
    local INSTALL=() code=0 name key=(--wsrep-data-home-dir="$W/other/var")
    mkdir -p "$W/other/var"
    echo "1;$(printf 'ab%.0s' {1..16})" >"$W/other/var/keys"
    if [ -e /usr/lib/mysql/plugin/file_key_management.so ]; then key+=(--plugin-load-add=file_key_management --file-key-management-filename="$W/other/var/keys"); fi
    mysql_elsewhere var --log-bin=bin --log-bin-index="$W/other/var/bin.index" "${key[@]}" || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    run $DB dry-run "socket=$SOCK" && expect 0 && { [ "$(paths)" = "binlog $W/other/var" ] || fail "paths: $(paths)"; } || code=1
    for name in wsrep_data_home_dir ${key[1]:+file_key_management_filename}; do
        [ $code != 0 ] || events '[.[] | select(.t=="note") | .text] | join("\n")' | grep -q "^$name ($W/other/var.*) is not frozen; a copy may need it$" || { fail "not noted: $name"; code=1; }
    done
    after_test
    elsewhere_gone var
    return $code
}

test_mysql_rocksdb_elsewhere_is_told() {
    local INSTALL=() code plugins=${ROCKSDB_PLUGINS:-/usr/lib/mysql/plugin}
    if [ ! -e "$plugins/ha_rocksdb.so" ]; then WHY="SKIPPED no $plugins/ha_rocksdb.so (package mariadb-plugin-rocksdb)"; return 0; fi
    mkdir -p "$W/other/rocks/wal"
    mysql_elsewhere rocks --plugin-dir="$plugins" --plugin-maturity=unknown --plugin-load-add=ha_rocksdb --rocksdb-wal-dir="$W/other/rocks/wal" || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    run $DB dry-run "socket=$SOCK" && expect 0 && { [ "$(paths)" = "rocksdb $W/other/rocks/wal" ] || fail "paths: $(paths)"; }
    code=$?
    after_test
    elsewhere_gone rocks
    return $code
}

# What a client warns of is no part of the server's answer.
test_mysql_warnings_of_the_client_are_no_answer() {
    local client rc
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    client=$(readlink -f "$(command -v mariadb)")
    cp "$client" "$W/mariadb.real"
    printf '#!/bin/sh\necho "WARNING: --compress is deprecated and will be removed in a future version." >&2\nexec %s/mariadb.real "$@"\n' "$W" >"$W/mariadb.loud"
    chmod 755 "$W/mariadb.loud"
    mount --bind "$W/mariadb.loud" "$client" || return 1
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" && expect 0 && run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 0 &&
        run $DB dry-run "socket=$W/nobody" && expect 206 db-unreachable && { complaint | grep -q "Can't connect" || fail "$(complaint)"; }
    rc=$?
    umount "$client"
    return $rc
}
