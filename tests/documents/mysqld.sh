# shellcheck shell=bash
# A MySQL server of our own on $W/data and $W/logs, never the system's: MySQL itself, where a distribution has it (Debian sid: tests/matrix.sh sid).
# MariaDB, which no machine has beside it, is in mysql.sh.
MYSOCK=''

# my_client OPTION…: as root, through the socket; mysql_ SQL
my_client() { mysql --no-defaults --socket="$MYSOCK" --user=root --unbuffered --batch --skip-column-names "$@"; }
mysql_() { my_client -e "$1" 2>/dev/null; }
mysql_says() { [ "$(mysql_ "$2")" = "$1" ]; }

# mysqld_on DATA REDO UNDO NAME OPTION…: MYSQLD_PID
mysqld_on() {
    local data=$1 redo=$2 undo=$3 name=$4
    shift 4
    setsid mysqld --no-defaults --user=root --secure-file-priv= --mysqlx=OFF --skip-networking --datadir="$data" --innodb-log-group-home-dir="$redo" --innodb-undo-directory="$undo" \
        --innodb-redo-log-capacity=8M --innodb-buffer-pool-size=128M --tmpdir=/dev/shm --innodb-directories="$W/other" --socket="$W/$name.sock" --pid-file="$W/$name.pid" \
        --log-error="$W/$name.err" "$@" </dev/null >/dev/null 2>&1 &
    MYSQLD_PID=$!
    disown $!
}

mysqld_here() {
    MYSOCK=$W/my.sock
    if ! command -v mysqld >/dev/null || ! mysqld --version 2>/dev/null | grep -qv MariaDB; then WHY='SKIPPED no MySQL server here'; return 1; fi
    if [ -s "$W/my.pid" ] && kill -0 "$(cat "$W/my.pid")" 2>/dev/null; then return 0; fi
    chmod 755 "$W"
    if [ ! -d "$W/data/my" ]; then
        mkdir -p "$W/data/my" "$W/logs/myredo" "$W/logs/myundo" "$W/logs/mybinlog"
        mysqld --no-defaults --initialize-insecure --user=root --secure-file-priv= --datadir="$W/data/my" --innodb-log-group-home-dir="$W/logs/myredo" \
            --innodb-undo-directory="$W/logs/myundo" --innodb-redo-log-capacity=8M --log-error="$W/myinit.err" >/dev/null 2>&1 || { fail "mysqld --initialize: $(tail -n 2 "$W/myinit.err")"; return 1; }
    fi
    mysqld_on "$W/data/my" "$W/logs/myredo" "$W/logs/myundo" my --log-bin="$W/logs/mybinlog/bin" --server-id=7 --gtid-mode=ON --enforce-gtid-consistency=ON
    await 60 mysql_says 1 'SELECT 1' || { fail "the server does not start: $(tail -n 2 "$W/my.err")"; return 1; }
    mysql_ 'CREATE DATABASE IF NOT EXISTS t; CREATE TABLE IF NOT EXISTS t.m (n INT PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE IF NOT EXISTS t.i (n INT PRIMARY KEY) ENGINE=InnoDB;
        INSERT IGNORE INTO t.i VALUES (1),(2); CREATE USER IF NOT EXISTS poor@localhost; GRANT SELECT ON t.* TO poor@localhost' || { fail 'no tables'; return 1; }
}
mysqld_skipped() { case $WHY in SKIPPED*) return 0 ;; esac; return 1; }
stop_mysqld() {
    local pid; pid=$(cat "$W/my.pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null
    await 20 gone "$pid" || kill -KILL "$pid"
}
# sessions CONDITION: how many there are. Without information_schema.processlist, which needs a temporary table on the disk: where that is frozen, it waits.
sessions() { mysql_ "SELECT COUNT(*) FROM performance_schema.threads WHERE processlist_id<>CONNECTION_ID() AND $1"; }
sessions_are() { [ "$(sessions "$2")" = "$1" ]; }
my_run() { local command=$1; shift; run $DB "$command" "executionId=$JOB1" "socket=$MYSOCK" "$@"; }
# binlog_stands: where the binary log stands, as the server says it
binlog_stands() { mysql_ 'SHOW BINARY LOG STATUS' | tr '\t' ' ' | sed 's/^\([^ ]*\) \([0-9]*\).*/\1:\2/'; }

test_mysqld_happy_path() {
    mysqld_here || { mysqld_skipped; return; }
    local session writer binlog gtid
    # Asked before: nothing that the recipe does goes to the binary log, and what is asked of a frozen server for the first time may wait for its disk.
    binlog=$(binlog_stands) gtid=$(mysql_ 'SELECT @@gtid_executed') session=$(sessions 1=1)
    outer
    my_run pre-script && expect 0 || return 1
    [ "$(order | sed 's/^hello \(mount \)*//')" = 'engine path path armed flushed locked position position synced frozen frozen ready end' ] || { fail "pre: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="engine") | .name + " " + .datadir')" = "mysql $W/data/my/" ] || { fail "engine: $(events '.[] | select(.t=="engine")')"; return 1; }
    [ "$(events '.[] | select(.t=="engine") | .version')" = "$(mysqld --version | sed 's/.* Ver \([^ ]*\) .*/\1/')" ] || { fail version; return 1; }
    [ "$(events '.[] | select(.t=="locked") | .how')" = ftwrl ] || { fail how; return 1; }
    [ "$(events '.[] | select(.t=="position" and .name=="binlog") | .value')" = "$binlog" ] || { fail 'the position of the binary log'; return 1; }
    [ "$(events '.[] | select(.t=="position" and .name=="gtid") | .value')" = "$gtid" ] || { fail 'the GTIDs'; return 1; }
    [ "$(paths)" = "binlog $W/logs/mybinlog,tablespace $W/logs/myundo" ] || { fail "paths: $(paths)"; return 1; }
    session=$(events '.[] | select(.t=="locked") | .session')
    frozen "$W/data" && frozen "$W/logs" && sessions_are 1 "processlist_id=$session" || { fail 'not frozen, or no such session'; return 1; }
    mysql --no-defaults --socket="$MYSOCK" --user=root -e 'INSERT INTO t.m VALUES (7)' </dev/null >/dev/null 2>&1 &
    writer=$!
    PIDS="$PIDS $writer"
    await 5 sessions_are 1 "processlist_state LIKE 'Waiting for global read lock%'" || { fail 'another session does not see the lock'; return 1; }
    my_run post-script && expect 0 || return 1
    [ "$(order)" = 'hello release alive thawed thawed unlocked disarmed probe probe window end' ] || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || { fail 'another session'; return 1; }
    await 5 mysql_says 1 'SELECT COUNT(*) FROM t.m WHERE n=7' || { fail 'the write that waited never happened'; return 1; }
    sessions_are 0 "processlist_id=$session" || { fail 'the session is left behind'; return 1; }
    mysql_ 'DELETE FROM t.m'
}

# Under load: what a copy that is taken while all is frozen recovers to is all that was acknowledged, without a gap, and at most the statement under way.
test_mysqld_under_load_the_copy_holds_exactly_what_was_acknowledged() {
    mysqld_here || { mysqld_skipped; return; }
    local code n
    mysqld_loads
    code=$?
    for n in i m; do mysql_ "DELETE FROM t.$n; INSERT INTO t.$n VALUES (1),(2)"; done
    rm -rf "$W/copy"
    return $code
}
mysqld_loads() {
    local flush table writer writers=''
    # Also where what was acknowledged is in the server's memory for a while.
    for flush in 1 0; do
        mysql_ "DELETE FROM t.i; DELETE FROM t.m; SET GLOBAL innodb_flush_log_at_trx_commit=$flush"
        outer
        for table in i m; do
            { seq 1 1000000 | sed "s/.*/INSERT INTO t.$table VALUES (&); SELECT &;/"; } 2>/dev/null |
                mysql --no-defaults --socket="$MYSOCK" --user=root --unbuffered --batch --skip-column-names >"$W/acks.$table" 2>/dev/null &
            writers="$writers $!"
            PIDS="$PIDS $!"
        done
        for table in i m; do await 10 eval "[ \"\$(tail -n 1 '$W/acks.$table')\" -gt 50 ] 2>/dev/null" || { fail "no writes to $table"; return 1; }; done
        my_run pre-script && expect 0 || { WHY="flush $flush: $WHY"; return 1; }
        for table in i m; do tail -n 1 "$W/acks.$table" >"$W/acked.$table"; done
        rm -rf "$W/copy" && mkdir "$W/copy" && cp -a "$W/data/my" "$W/logs/myredo" "$W/logs/myundo" "$W/copy/" || { fail 'no copy'; return 1; }
        my_run post-script && expect 0 || { WHY="flush $flush: $WHY"; return 1; }
        for writer in $writers; do kill "$writer" 2>/dev/null; done
        writers=''
        copy_of_mysqld "$flush" || return 1
        after_test
    done
    mysql_ 'SET GLOBAL innodb_flush_log_at_trx_commit=1'
}
copy_of_mysqld() { # FLUSH
    (
        mysqld_on "$W/copy/my" "$W/copy/myredo" "$W/copy/myundo" copy --log-bin=bin --server-id=8 --myisam-recover-options=OFF
        MYSOCK=$W/copy.sock
        await 60 mysql_says 1 'SELECT 1' || { echo "the copy does not start: $(tail -n 2 "$W/copy.err")"; kill -KILL $MYSQLD_PID; exit; }
        for table in i m; do
            mysql_ "CHECK TABLE t.$table EXTENDED" | grep -q 'status.OK$' || echo "t.$table is damaged: $(mysql_ "CHECK TABLE t.$table EXTENDED")"
            acked=$(cat "$W/acked.$table")
            case $(mysql_ "SELECT CONCAT(COUNT(*), ' up to ', MAX(n)) FROM t.$table") in
            "$acked up to $acked" | "$((acked + 1)) up to $((acked + 1))") ;;
            *) echo "t.$table: $acked were acknowledged, and there are $(mysql_ "SELECT CONCAT(COUNT(*), ' up to ', MAX(n)) FROM t.$table")" ;;
            esac
        done
        kill -KILL $MYSQLD_PID
        await 10 gone $MYSQLD_PID
    ) >"$W/copy.said" 2>/dev/null
    if [ -s "$W/copy.said" ]; then fail "flush $1: $(tr '\n\t' '; ' <"$W/copy.said")"; fi
}

# A table elsewhere, by MySQL's own way
test_mysqld_what_lies_elsewhere_is_told() {
    mysqld_here || { mysqld_skipped; return; }
    mysql_ "CREATE TABLE t.away (n INT PRIMARY KEY) DATA DIRECTORY='$W/other'" || { fail 'no table elsewhere'; return 1; }
    my_run dry-run
    mysql_ 'DROP TABLE t.away'
    expect 0 || return 1
    [ "$(paths)" = "binlog $W/logs/mybinlog,tablespace $W/logs/myundo,tablespace $W/other/t" ] || fail "paths: $(paths)"
}

# As test_mysql_stop_instead_of_a_lock: the service is stopped before the freeze and started after the thaw.
test_mysqld_stop_instead_of_a_lock() {
    mysqld_here || { mysqld_skipped; return; }
    fake_systemctl mysql "$W/my.pid" || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    stop_variant "$W/my.pid" "$MYSOCK" mysql_says
    local code=$?
    umount "$SYSTEMCTL"
    return $code
}

# The grants of docs/recipes.md for MySQL, given directly and through a role; and each of them taken away.
test_mysqld_grants_of_the_recipe_and_through_a_role() {
    mysqld_here || { mysqld_skipped; return; }
    outer
    mysql_ "CREATE USER backup@localhost IDENTIFIED BY 'secret'; CREATE USER roled@localhost IDENTIFIED BY 'secret'; CREATE ROLE freezer, outer_role; GRANT RELOAD, PROCESS, REPLICATION CLIENT ON *.* TO backup@localhost, freezer;
        GRANT freezer TO outer_role; GRANT outer_role TO roled@localhost; SET DEFAULT ROLE outer_role TO roled@localhost;
        CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_LOG_FILE='up.000003', SOURCE_LOG_POS=1234" || { fail 'no accounts'; return 1; }
    mysqld_grants
    local code=$?
    mysql_ 'RESET REPLICA ALL; DROP USER backup@localhost, roled@localhost; DROP ROLE freezer, outer_role'
    return $code
}
mysqld_grants() {
    local who missing
    for who in backup roled; do
        printf '[client]\nuser=%s\npassword=secret\nsocket=%s\n' $who "$MYSOCK" >"$W/$who.cnf"
        mysqld_as $who || { WHY="$who: $WHY"; return 1; }
        [ "$HOW $POSITIONS $NOTES" = 'ftwrl binlog gtid source ' ] || { fail "$who: $HOW, $POSITIONS, $NOTES"; return 1; }
    done
    for missing in RELOAD PROCESS; do
        mysql_ "REVOKE $missing ON *.* FROM backup@localhost, freezer"
        for who in backup roled; do run $DB dry-run "defaultsFile=$W/$who.cnf" && expect 206 db-denied || { WHY="$who without $missing: $WHY"; return 1; }; done
        mysql_ "GRANT $missing ON *.* TO backup@localhost, freezer"
    done
    # What may not be read is said, and nothing else is lost.
    mysql_ 'REVOKE REPLICATION CLIENT ON *.* FROM backup@localhost'
    mysqld_as backup || return 1
    [ "$HOW $POSITIONS" = 'ftwrl gtid' ] && printf '%s\n' "$NOTES" | grep -q '^no position of the binary log: .*REPLICATION CLIENT' && printf '%s\n' "$NOTES" | grep -q '^no position of the source: .*REPLICATION CLIENT' ||
        { fail "without REPLICATION CLIENT: $HOW, $POSITIONS, $NOTES"; return 1; }
    # MySQL's own narrower word for the lock
    mysql_ 'REVOKE RELOAD ON *.* FROM backup@localhost; GRANT FLUSH_TABLES ON *.* TO backup@localhost; GRANT REPLICATION CLIENT ON *.* TO backup@localhost'
    mysqld_as backup || { WHY="FLUSH_TABLES: $WHY"; return 1; }
    [ "$HOW" = ftwrl ] || fail "FLUSH_TABLES: $HOW"
}
mysqld_as() { # WHO
    outer
    run $DB pre-script "executionId=$JOB1" "defaultsFile=$W/$1.cnf" && expect 0 || return 1
    HOW=$(events '.[] | select(.t=="locked") | .how')
    POSITIONS=$(events '[.[] | select(.t=="position") | .name] | join(" ")')
    NOTES=$(events '[.[] | select(.t=="note") | .text] | join("\n")')
    [ "$(events '.[] | select(.t=="engine") | .replica')" = true ] || [ "$POSITIONS" = gtid ] || { fail 'not a replica'; return 1; }
    [ "$(events '.[] | select(.t=="position" and .name=="source") | .value')" = up.000003:1234 ] || [ "$POSITIONS" = gtid ] || { fail 'where the source stood'; return 1; }
    run $DB post-script "executionId=$JOB1" "defaultsFile=$W/$1.cnf" && expect 0
}

test_mysqld_refusals() {
    mysqld_here || { mysqld_skipped; return; }
    printf '[client]\nuser=poor\nsocket=%s\n' "$MYSOCK" >"$W/poor.cnf"
    run $DB pre-script "defaultsFile=$W/poor.cnf" && expect 206 db-denied || return 1
    printf '[client]\nuser=poor\npassword=wrong\nsocket=%s\n' "$MYSOCK" >"$W/poor.cnf"
    run $DB dry-run "defaultsFile=$W/poor.cnf" && expect 206 db-denied || return 1
    run $DB dry-run "socket=$W/nowhere.sock" && expect 206 db-unreachable || return 1
    my_run dry-run lockMethod=backup-stage && expect 206 unsupported-server || return 1
    # The redo log lies on the other volume.
    my_run pre-script "mounts=$W/data" && expect 206 not-covered
}

test_mysqld_long_write_ends_in_lock_timeout_and_harms_nobody() {
    mysqld_here || { mysqld_skipped; return; }
    outer
    mysql --no-defaults --socket="$MYSOCK" --user=root -e 'UPDATE t.i SET n=n+100000+SLEEP(60)' </dev/null >/dev/null 2>&1 &
    PIDS="$PIDS $!"
    local like="FROM information_schema.processlist WHERE info LIKE 'UPDATE t.i%'" write still
    await 5 mysql_says 1 "SELECT COUNT(*) $like" || { fail 'no long write'; return 1; }
    my_run pre-script lockWaitSeconds=1 lockRetries=1
    write=$(mysql_ 'INSERT INTO t.m VALUES (8); SELECT 1')
    still=$(mysql_ "SELECT COUNT(*) $like")
    mysql_ "$(mysql_ "SELECT CONCAT('KILL ', id) $like")"
    mysql_ 'DELETE FROM t.m WHERE n=8'
    expect 201 lock-timeout || return 1
    [ "$(events '.[] | select(.t=="lock-timeout") | .tries')" = 2 ] && [ "$write" = 1 ] && [ "$still" = 1 ] || { fail "others were harmed: $write $still"; return 1; }
    [ "$(events '[.[] | select(.t=="frozen")] | length')" = 0 ] && thawed "$W/data" || fail 'froze without the lock'
}

test_mysqld_killed_session_is_lock_lost_and_the_failsafe_unlocks() {
    mysqld_here || { mysqld_skipped; return; }
    outer
    my_run pre-script && expect 0 || return 1
    mysql_ "KILL $(events '.[] | select(.t=="locked") | .session')"
    my_run post-script && expect 202 lock-lost || return 1
    [ "$(events '[.[] | select(.t=="alive")] | length')" = 0 ] && thawed "$W/data" && thawed "$W/logs" || { fail 'says alive, or still frozen'; return 1; }
    my_run pre-script budgetSeconds=9 && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'still frozen'; return 1; }
    [ "$(timeout 5 mysql --no-defaults --socket="$MYSOCK" --user=root -BNe 'REPLACE INTO t.m VALUES (9); SELECT 1' 2>&1)" = 1 ] || { fail 'still locked'; return 1; }
    my_run post-script && expect 203 failsafe-fired
}
