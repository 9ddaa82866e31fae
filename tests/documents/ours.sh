# shellcheck shell=bash
# The server that is asked for the lock is the one whose files are frozen. Real servers, two of a kind: one on $W/data and a stranger, which may name the
# same places, because it runs in a mount namespace of its own, as one on another machine would.

# apart SCRIPT: run by sh in a mount namespace of its own, in the background
apart() {
    setsid unshare -m --propagation private sh -c "$1" </dev/null >>"$W/apart.log" 2>&1 &
    STRANGER=$!
    PIDS="$PIDS $STRANGER"
    disown $STRANGER
}
complaint() { events '[.[] | select(.t=="error") | .text] | join(" ")'; }

# --- MySQL, MariaDB ---

STRANGE_PORT=33069
strange_sql() { mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port=$STRANGE_PORT --user=root --batch --skip-column-names -e "$1" 2>/dev/null; }
strange_says() { [ "$(strange_sql "$2")" = "$1" ]; }
# strange_mysql: a second server that says it is the first one, but for its port and its other socket
strange_mysql() {
    if [ ! -d "$W/strange/mysql" ]; then
        mkdir -p "$W/strange/redo" "$W/strange/binlog"
        mariadb-install-db --no-defaults --user=root --datadir="$W/strange/db" --auth-root-authentication-method=normal --skip-test-db >"$W/install.log" 2>&1 || { fail 'mariadb-install-db'; return 1; }
    fi
    apart "${STRANGE_MOUNT:-true} && mount --bind '$W/strange/db' '$W/data/db' && mount --bind '$W/strange/binlog' '$W/logs/binlog' && mount --bind '$W/strange/redo' '$W/logs/redo' &&
        cp /dev/null '$W/strange/pid' && mount --bind '$W/strange/pid' '$W/db.pid' &&
        exec mariadbd --no-defaults --user=root --datadir='$W/data/db' --log-bin='$W/logs/binlog/bin' --server-id=8 --socket='$W/strange/sock' --pid-file='$W/strange/real.pid' \
        --bind-address=127.0.0.1 --port=$STRANGE_PORT --innodb-buffer-pool-size=32M --tmpdir=/dev/shm $*"
    await 30 strange_says 8 'SELECT @@server_id' || { fail "the stranger does not start: $(tail -n 3 "$W/apart.log")"; return 1; }
}

test_ours_mysql_host_of_an_option_file_locks_no_other_server() {
    { server && strange_mysql; } || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    local session
    printf '[client]\nhost=127.0.0.1\nport=%s\nprotocol=tcp\nuser=root\n' $STRANGE_PORT >"$W/my.cnf"
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" "defaultsFile=$W/my.cnf" && expect 0 || return 1
    session=$(events '.[] | select(.t=="locked") | .session')
    strange_says 0 "SELECT COUNT(*) FROM information_schema.processlist WHERE id=$session AND command='Sleep'" || { fail "the stranger has session $session"; return 1; }
    strange_says 1 'CREATE DATABASE IF NOT EXISTS s; SELECT 1' || { fail 'the stranger stands still'; return 1; }
    sql_says 1 "SELECT COUNT(*) FROM information_schema.processlist WHERE id=$session" || { fail 'our server was not locked'; return 1; }
    [ "$(events '.[] | select(.t=="engine") | "\(.pid) \(.asked)"')" = "$(cat "$W/db.pid") $SOCK" ] || { fail 'not told who was asked'; return 1; }
    run $DB post-script "executionId=$JOB1" "socket=$SOCK" "defaultsFile=$W/my.cnf" && expect 0
}

# A container that shares the directory of the socket puts its own in the place of ours, whose name the kernel's list keeps.
test_ours_mysql_socket_that_another_server_has_replaced_locks_nobody() {
    { server && strange_mysql --pid-file="$W/db.pid"; } || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    run $DB pre-script "executionId=$JOB1" "socket=$SOCK" && expect 0 && run $DB post-script "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
    mv "$SOCK" "$SOCK.ours" && ln "$W/strange/sock" "$SOCK" || return 1
    local rc
    run $DB pre-script "executionId=$JOB2" "socket=$SOCK" && expect 201 other-server && thawed "$W/data"
    rc=$?
    mv "$SOCK.ours" "$SOCK"
    [ $rc = 0 ] || return 1
    case $(complaint) in *'to another server than the one whose files are frozen'*) ;; *) fail "$(complaint)"; return 1 ;; esac
    strange_says 1 'CREATE DATABASE IF NOT EXISTS s; SELECT 1' || fail 'the stranger stands still'
}

# The option file alone: it may lead to a server of this machine, by its port, and to no other.
test_ours_mysql_option_file_without_a_socket() {
    { server && strange_mysql --pid-file="$W/db.pid"; } || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    printf '[client]\nhost=127.0.0.1\nport=%s\nuser=root\n' $STRANGE_PORT >"$W/my.cnf"
    strange_says "$W/data/db/ $W/db.pid" "SELECT CONCAT(@@datadir,' ',@@pid_file)" || { fail 'the stranger names other places'; return 1; }
    run $DB dry-run "defaultsFile=$W/my.cnf" && expect 206 other-server || return 1
    case $(complaint) in *'leads to another server'*) ;; *) fail "$(complaint)"; return 1 ;; esac
    run $DB pre-script "executionId=$JOB1" "defaultsFile=$W/my.cnf" && expect 206 other-server || return 1
    printf '[client]\nsocket=%s\nuser=root\n' "$SOCK" >"$W/my.cnf"
    run $DB pre-script "executionId=$JOB1" "defaultsFile=$W/my.cnf" && expect 0 || return 1
    run $DB post-script "executionId=$JOB1" "defaultsFile=$W/my.cnf" && expect 0 || return 1
    # Ours by its port
    stop_server
    server_by_port || return 1
    printf '[client]\nhost=127.0.0.1\nport=33070\nuser=root\n' >"$W/my.cnf"
    run $DB pre-script "executionId=$JOB1" "defaultsFile=$W/my.cnf" && expect 0 && run $DB post-script "executionId=$JOB1" "defaultsFile=$W/my.cnf" && expect 0
    local rc=$?
    stop_server
    return $rc
}

# A container beside a server of a package: all places have the same names in both, and only the directory of the socket is shared.
test_ours_mysql_socket_of_an_option_file_is_a_containers() {
    mkdir -p "$W/sd" "$W/strange/sd" && stop_server_of_before
    SERVER_SOCK=$W/sd/s
    same_names
    local rc=$?
    SERVER_SOCK=''
    stop_server
    return $rc
}
stop_server_of_before() { if [ -s "$W/db.pid" ]; then stop_server; fi; }
same_names() {
    { server && STRANGE_MOUNT="mount --bind '$W/strange/sd' '$W/sd'" strange_mysql --pid-file="$W/db.pid" --socket="$W/sd/s"; } || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    local places='SELECT CONCAT(@@datadir,@@pid_file,@@socket)' held="SELECT COUNT(*) FROM information_schema.processlist WHERE user='root' AND id<>CONNECTION_ID()" command
    strange_says "$(sql "$places")" "$places" || { fail 'the stranger names other places'; return 1; }
    printf '[client]\nuser=root\nsocket=%s\n' "$W/strange/sd/s" >"$W/my.cnf"
    for command in dry-run pre-script; do
        run $DB $command "executionId=$JOB1" "defaultsFile=$W/my.cnf"
        expect 206 other-server || { strange_says 0 "$held" || WHY="$WHY; the stranger was locked"; return 1; }
        case $(complaint) in "at $W/strange/sd/s another process takes the connections"*) ;; *) fail "$(complaint)"; return 1 ;; esac
    done
    # The same file as root's own, and nothing said in a parameter; then the client's environment.
    if [ -d /root ] && mount -t tmpfs tmpfs /root; then
        cp "$W/my.cnf" /root/.my.cnf
        run $DB pre-script "executionId=$JOB1"
        umount /root
        expect 206 other-server || return 1
    fi
    printf '[client]\nuser=root\n' >"$W/my.cnf"
    export MYSQL_UNIX_PORT=$W/strange/sd/s
    run $DB pre-script "executionId=$JOB1" "defaultsFile=$W/my.cnf"
    unset MYSQL_UNIX_PORT
    expect 206 other-server || return 1
    strange_says 0 "$held" || { fail 'the stranger was locked'; return 1; }
    # Ours, by the same way: it is asked by that name from then on, whatever the file says later.
    printf '[client]\nuser=root\nsocket=%s\n' "$W/sd/s" >"$W/my.cnf"
    run $DB pre-script "executionId=$JOB1" "defaultsFile=$W/my.cnf" && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | "\(.pid) \(.asked)"')" = "$(cat "$W/db.pid") $W/sd/s" ] || { fail 'not told who was asked'; return 1; }
    sql_says 1 "$held AND id=$(events '.[] | select(.t=="locked") | .session')" || { fail 'our server was not locked'; return 1; }
    run $DB post-script "executionId=$JOB1" "defaultsFile=$W/my.cnf" && expect 0
}
server_by_port() { SERVER_OPTIONS='--skip-skip-networking --bind-address=127.0.0.1 --port=33070' server; }

test_ours_mysql_behind_a_proxy_is_refused() {
    { server && strange_mysql --pid-file="$W/db.pid"; } || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    rm -f "$W/proxy.sock"
    python3 "$HERE/documents/proxy.py" "$W/proxy.sock" "$W/strange/sock" &
    PIDS="$PIDS $!"
    await 5 test -S "$W/proxy.sock"
    run $DB pre-script "executionId=$JOB1" "socket=$W/proxy.sock" && expect 206 other-server || return 1
    case $(complaint) in *'another process takes the connections'*) ;; *) fail "$(complaint)"; return 1 ;; esac
    strange_says 0 "SELECT COUNT(*) FROM information_schema.processlist WHERE user='root' AND id<>CONNECTION_ID()" || fail 'asked for a lock'
}

# A place that the server names and that is not there, or is another one there, is not taken for what lies around it here.
test_ours_mysql_places_of_the_servers_own_mounts_are_not_covered() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    stop_server
    mkdir -p "$W/data/ghost"
    apart "mount -t tmpfs tmpfs '$W/data/ghost' && mkdir '$W/data/ghost/gone' && exec mariadbd --no-defaults --user=root --datadir='$W/data/db' --innodb-log-group-home-dir='$W/logs/redo' --innodb-log-file-size=16M \
        --log-bin='$W/data/ghost/bin' --relay-log='$W/data/ghost/gone/relay' --socket='$SOCK' --pid-file='$W/db.pid' --skip-networking --innodb-buffer-pool-size=32M --tmpdir=/dev/shm --log-error='$W/db.log'"
    await 30 sql_says 1 'SELECT 1' || { fail 'the server does not start'; return 1; }
    run $DB dry-run "socket=$SOCK" && expect 0 &&
        { [ "$(paths)" = "binlog ? $W/data/ghost is not there, or another for the server,relay-log ? $W/data/ghost/gone is not there, or another for the server" ] || fail "$(paths)"; }
    local rc=$?
    stop_server
    return $rc
}

# --- PostgreSQL ---

test_ours_postgresql_that_names_our_places_is_refused() {
    pg_here || return
    outer
    local port=54331
    if [ ! -d "$W/strange/pg" ]; then
        install -d -o postgres -g postgres "$W/strange/pg" "$W/strange/pgwal"
        chmod 755 "$W/strange"
        chmod 700 "$W/strange/pg"
        as_postgres initdb -D "$W/strange/pg" --wal-segsize=1 -A trust -N -E UTF8 >"$W/pg/initdb.log" 2>&1 || { fail initdb; return 1; }
    fi
    apart "mount --bind '$W/strange/pg' '$W/data/pg' && exec setpriv --reuid=postgres --regid=postgres --clear-groups '$PG_BIN/postgres' -D '$W/data/pg' -p $port -k '$W/pg' -c listen_addresses='' -c shared_buffers=16MB"
    PORT=$port
    await 20 psql_says "$W/data/pg" "SELECT current_setting('data_directory')" || { fail "the stranger does not start: $(tail -n 2 "$W/apart.log")"; return 1; }
    pg_run dry-run && expect 206 other-server || return 1
    case $(complaint) in *'another process takes the connections'*) ;; *) fail "$(complaint)"; return 1 ;; esac
    pg_run pre-script && expect 206 other-server || return 1
    # Behind a proxy at the port of our own server: whose socket it is and whose data it names would fit.
    rm -f "$W/pg/.s.PGSQL.54332"
    python3 "$HERE/documents/proxy.py" "$W/pg/.s.PGSQL.54332" "$W/pg/.s.PGSQL.$port" "$(id -u postgres)" &
    PIDS="$PIDS $!"
    PORT=54332
    await 5 psql_says 1 'SELECT 1' || { fail 'no proxy'; return 1; }
    pg_run pre-script && expect 206 other-server
}

# --- Redis ---

strange_redis() { # SETUP
    apart "$1 setpriv --reuid=65534 --regid=65534 --clear-groups redis-server --dir '$W/data/redis' --unixsocket '$W/redis/sock' --port 0 --daemonize no --logfile '$W/redis/log' --appendonly yes --save ''"
    await 10 rcli_says PONG PING || { fail "the server does not start: $(tail -n 2 "$W/apart.log" "$W/redis/log")"; return 1; }
}

test_ours_redis_in_a_mount_namespace() {
    redis_here aof || { redis_skipped; return; }
    stop_redis
    outer
    # Mounts of its own and yet our files, as systemd gives them to most services
    strange_redis "mount -t tmpfs tmpfs /home && exec" || return 1
    redis_run pre-script && expect 0 && redis_run post-script && expect 0 || return 1
    after_test
    outer
    # The same place, and other files
    strange_redis "mount -t tmpfs tmpfs '$W/data/redis' && chmod 777 '$W/data/redis' && exec" || return 1
    redis_run dry-run && expect 206 other-server || return 1
    redis_run pre-script && expect 206 other-server || return 1
    case $(complaint) in *'does not work in'*) ;; *) fail "$(complaint)"; return 1 ;; esac
    rcli_says OK SET x 1 || fail 'it was paused'
}

test_ours_redis_in_a_container_is_refused_whatever_it_shares() {
    redis_here aof || { redis_skipped; return; }
    stop_redis
    outer
    strange_redis "mkdir -p '$W/root' && mount -t tmpfs tmpfs '$W/root' && cd '$W/root' && mkdir -p usr etc proc tmp dev .'$W' && ln -s usr/bin usr/lib usr/lib64 usr/sbin . &&
        for d in usr etc proc dev '$W'; do mount --rbind \"/\${d#/}\" \"./\$d\" || exit; done && exec chroot '$W/root'" || return 1
    redis_run pre-script && expect 206 other-server || return 1
    case $(complaint) in *'in a container'*) ;; *) fail "$(complaint)"; return 1 ;; esac
    rcli_says OK SET x 1 || fail 'it was paused'
}

# A port that is asked for is meant, whatever lies at the usual places; and what else works on the volume is told.
test_ours_redis_port_and_a_second_server() {
    redis_here aof || { redis_skipped; return; }
    outer
    mkdir -p /run/redis && chmod 777 /run/redis
    redis_start "$W/data/redis2" /run/redis/redis.sock --appendonly yes --save '' || return 1
    redis_start "$W/data/redis3" "$W/redis/third" --appendonly yes --save '' --port 63791 || return 1
    local third=${REDIS_PIDS##* }
    run $RD pre-script "executionId=$JOB1" port=63791 && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | "\(.pid) \(.asked) \(.datadir)"')" = "$third 63791 $W/data/redis3" ] || { fail "asked: $(events '.[] | select(.t=="engine")')"; return 1; }
    [ "$(events "[.[] | select(.t==\"note\") | .text | select(startswith(\"asked was process $third;\")) | sub(\".* in \"; \"\")] | sort | join(\" \")")" = "$W/data/redis $W/data/redis2" ] || { fail "others: $(events '[.[] | select(.t=="note") | .text]')"; return 1; }
    run $RD post-script "executionId=$JOB1" port=63791 && expect 0
}

# Ours listens on another address only; who listens on 127.0.0.1 says the same process and the same place.
test_ours_redis_at_another_address() {
    redis_here aof || { redis_skipped; return; }
    stop_redis
    outer
    redis_start "$W/data/redis" "$W/redis/sock" --appendonly yes --save '' --port 63795 --bind 127.0.0.2 || return 1
    local pid=${REDIS_PIDS##* }
    mkdir -p "$W/strange/redis" && chmod 777 "$W/strange" "$W/strange/redis"
    apart "mount --bind '$W/strange/redis' '$W/data/redis' && exec unshare -p -f --kill-child sh -c 'mount -t proc proc /proc; echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid; redis-server --dir $W/data/redis --port 63795 --bind 127.0.0.1 --daemonize no --appendonly yes --save \"\" & wait'"
    await 10 stranger_is "$pid" || { fail "the stranger does not start as $pid: $(tail -n 2 "$W/apart.log")"; return 1; }
    run $RD dry-run port=63795 && expect 206 other-server && run $RD pre-script "executionId=$JOB1" port=63795 && expect 206 other-server || return 1
    case $(complaint) in 'at 63795 another process takes the connections'*) ;; *) fail "$(complaint)"; return 1 ;; esac
}
stranger_is() { redis-cli -h 127.0.0.1 -p 63795 INFO server 2>/dev/null | tr -d '\r' | grep -qx "process_id:$1"; }

# --- others on the same volume ---

test_ours_mongodb_two_servers_of_one_volume() {
    mongo_here
    local first second others
    kill -KILL "$MONGOD"
    await 5 gone "$MONGOD" || { fail 'the first stand-in does not end'; return 1; }
    # As systemd starts them, in /
    (cd / && exec python3 "$HERE/documents/listen.py" 27017 "$W/data/mongo/mongod.lock") &
    first=$!
    mkdir -p "$W/data/mongo2"
    (cd / && exec python3 "$HERE/documents/listen.py" 27099 "$W/data/mongo2/mongod.lock") &
    second=$!
    PIDS="$PIDS $first $second"
    await 10 grep -qx "$first" "$W/data/mongo/mongod.lock" && await 10 grep -qx "$second" "$W/data/mongo2/mongod.lock" || { fail 'no servers'; return 1; }
    printf 'facts 7.0.5 mongod %s wiredTiger rs0 secondary %s' "$first" "$W/data/mongo" >"$MONGO/facts"
    mongo_run dry-run && expect 0 || return 1
    others=$(events '[.[] | select(.t=="note") | .text | select(startswith("asked was"))] | join("; ")')
    [ "$others" = "asked was process $first; another server works on what is frozen and its writes are not held: process $second in $W/data/mongo2" ] || fail "others: $others"
    rm -rf "$W/data/mongo2"
}

test_ours_servers_of_different_kinds_on_one_volume() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    redis_here aof || { redis_skipped; return; }
    run $DB dry-run "socket=$SOCK" && expect 0 || return 1
    local others; others=$(events '[.[] | select(.t=="note") | .text | select(startswith("asked was"))] | join("; ")')
    [ "$others" = "asked was process $(cat "$W/db.pid"); another server works on what is frozen and its writes are not held: process ${REDIS_PIDS##* } in $W/data/redis" ] || fail "others: $others"
}
