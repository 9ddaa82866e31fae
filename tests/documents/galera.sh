# shellcheck shell=bash
# A node of a Galera cluster, alone in it: what the document does with wsrep_desync, on a real server with the real provider.

gsql() { mariadb --no-defaults --socket="$W/galera.sock" --user=root --batch --skip-column-names -e "$1" 2>/dev/null; }
gsql_says() { [ "$(gsql "$2")" = "$1" ]; }
desynced() { gsql_says "$1" 'SELECT @@GLOBAL.wsrep_desync'; }
galera_here() {
    local provider='' p
    for p in /usr/lib/galera/libgalera_smm.so /usr/lib64/galera*/libgalera_smm.so; do if [ -e "$p" ]; then provider=$p; fi; done
    if [ -z "$provider" ] || ! command -v mariadbd mariadb-install-db >/dev/null; then WHY='SKIPPED no MariaDB with Galera here (packages mariadb-server, galera-4)'; return 1; fi
    chmod 755 "$W"
    mariadb-install-db --no-defaults --user=root --datadir="$W/data/galera" --auth-root-authentication-method=normal --skip-test-db >"$W/install.log" 2>&1 || { fail 'mariadb-install-db'; return 1; }
    setsid mariadbd --no-defaults --user=root --datadir="$W/data/galera" --log-bin=bin --binlog-format=ROW --innodb-autoinc-lock-mode=2 --socket="$W/galera.sock" --skip-networking \
        --innodb-buffer-pool-size=32M --tmpdir=/dev/shm --log-error="$W/galera.log" --wsrep-on=ON --wsrep-provider="$provider" --wsrep-cluster-address=gcomm:// --wsrep-node-address=127.0.0.1 \
        --wsrep-provider-options='gmcast.listen_addr=tcp://127.0.0.1:45671;gcache.size=4M;ist.recv_addr=127.0.0.1:45681' </dev/null >/dev/null 2>&1 &
    GALERA=$!
    PIDS="$PIDS $GALERA"
    disown $GALERA
    await 40 gsql_says Synced "SELECT variable_value FROM information_schema.global_status WHERE variable_name='wsrep_local_state_comment'" || { fail "no node: $(tail -n 3 "$W/galera.log")"; return 1; }
    gsql "CREATE DATABASE t; CREATE TABLE t.i (a INT) ENGINE=InnoDB; CREATE USER keeper@localhost; GRANT RELOAD, PROCESS ON *.* TO keeper@localhost"
}
# Each job has an outer thaw of its own.
galera_run() {
    local command=$1
    shift
    if [ "$command" = pre-script ]; then
        if [ -n "$OUTER" ]; then kill -KILL -- "-$OUTER" 2>/dev/null; fi
        outer
    fi
    run $DB "$command" "executionId=$JOB1" "socket=$W/galera.sock" "$@"
}
notes() { events '[.[] | select(.t=="note") | .text] | join("; ")'; }

test_galera_node_is_desynchronised_around_the_lock() {
    galera_here || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    galera_way
    local rc=$?
    kill -KILL "$GALERA"
    await 5 gone "$GALERA"
    rm -rf "$W/data/galera"
    return $rc
}
galera_way() {
    local how
    galera_run dry-run && expect 0 || return 1
    case $(notes) in *'a node of a Galera cluster'*) ;; *) fail 'not told in the preflight'; return 1 ;; esac
    for how in ftwrl backup-stage; do
        galera_run pre-script lockMethod=$how && expect 0 && desynced 1 || { fail "$how: not desynchronised $WHY"; return 1; }
        galera_run post-script && expect 0 && desynced 0 || { fail "$how: left desynchronised $WHY"; return 1; }
        gsql_says 1 'INSERT INTO t.i VALUES (1); SELECT 1' || { fail "$how: no writes"; return 1; }
    done
    # The failsafe; and where that is gone too, the next command.
    galera_run pre-script && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 5 thawed "$W/data" && await 10 desynced 0 || { fail 'the failsafe left it desynchronised'; return 1; }
    galera_run post-script && expect 203 failsafe-fired || return 1
    galera_run pre-script && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .guard_pid')" "$(events '.[] | select(.t=="armed") | .holder_pid')"
    galera_run post-script && expect 202 release-lost || return 1
    await 10 desynced 0 || { fail 'an abandoned job left it desynchronised'; return 1; }
    # As it was before, it stays.
    gsql 'SET GLOBAL wsrep_desync=ON'
    galera_run pre-script && expect 0 && galera_run post-script && expect 0 && desynced 1 || { fail "set to what it was not before $WHY"; return 1; }
    gsql 'SET GLOBAL wsrep_desync=OFF'
    # An account that may not: it is told, and the job goes on.
    printf '[client]\nuser=keeper\n' >"$W/keeper.cnf"
    galera_run pre-script "defaultsFile=$W/keeper.cnf" && expect 0 || return 1
    case $(notes) in *'the cluster may wait for this node while it is locked'*) ;; *) fail "not told: $(notes)"; return 1 ;; esac
    galera_run post-script "defaultsFile=$W/keeper.cnf" && expect 0 || return 1
    [ "$(events '[.[] | select(.t=="note")] | length')" = 0 ] || fail "notes: $(notes)"
}
