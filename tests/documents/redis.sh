# shellcheck shell=bash
# Redis servers of our own on $W/data, run by nobody, never the system's. REDIS_SERVER is another program than this machine's redis-server.
RD=linux-redis

rcli() { timeout 5 redis-cli -s "${RSOCK:-$W/redis/sock}" "$@" 2>/dev/null; }
rcli_says() { local want=$1; shift; [ "$(rcli "$@")" = "$want" ]; }

# redis_start DIRECTORY SOCKET OPTION…
redis_start() {
    local dir=$1 sock=$2 pid
    shift 2
    chmod 755 "$W"
    mkdir -p "$dir" "$W/redis" && chown -R 65534:65534 "$dir" "$W/redis"
    setsid setpriv --reuid=65534 --regid=65534 --clear-groups "${REDIS_SERVER:-redis-server}" --dir "$dir" --unixsocket "$sock" --port 0 --daemonize no --logfile "$W/redis/log" "$@" </dev/null >/dev/null 2>&1 &
    pid=$!
    disown $pid
    REDIS_PIDS="${REDIS_PIDS:-} $pid"
    RSOCK=$sock await 10 rcli_says PONG PING || { fail "the server does not start: $(tail -n 2 "$W/redis/log")"; return 1; }
}
stop_redis() {
    local pid
    stop_load
    for pid in ${REDIS_PIDS:-}; do kill -KILL "$pid" 2>/dev/null; await 5 gone "$pid"; done
    REDIS_PIDS=''
}
# redis_here aof|rdb|none: a fresh server that keeps its data so; a counter goes up by itself from then on, its last acknowledged value in $W/acked
redis_here() {
    if ! command -v "${REDIS_SERVER:-redis-server}" redis-cli >/dev/null; then WHY='SKIPPED no Redis server here'; return 1; fi
    if redis_is_old; then WHY='SKIPPED Redis before 6.2 cannot pause writes alone'; return 1; fi
    redis_of_kind "$1"
}
redis_is_old() { "${REDIS_SERVER:-redis-server}" --version | grep -Eq ' v=([0-5]\.|6\.[01]\.)'; }
redis_of_kind() { # aof|rdb|none
    stop_redis
    rm -rf "$W/data/redis"
    case $1 in
    aof) redis_start "$W/data/redis" "$W/redis/sock" --appendonly yes --save '' ;;
    rdb) redis_start "$W/data/redis" "$W/redis/sock" --appendonly no --save 3600 1 ;;
    none) redis_start "$W/data/redis" "$W/redis/sock" --appendonly no --save '' ;;
    esac || return 1
    rcli MSET a 1 b 2 >/dev/null
}
redis_load() {
    echo 0 >"$W/acked"
    # One connection that writes and notes each acknowledged number; it ends by itself.
    # shellcheck disable=SC2016
    setsid timeout 40 bash -c '(while sleep 0.01; do echo "INCR n"; done) | redis-cli -s "$0/redis/sock" | while read -r n; do echo "$n" >"$0/acked"; done' "$W" </dev/null >/dev/null 2>&1 &
    LOAD=$!
    disown $LOAD
    await 5 eval '[ "$(cat "$W/acked")" -gt 20 ] 2>/dev/null'
}
stop_load() {
    if [ -n "${LOAD:-}" ]; then kill -TERM -- "-$LOAD" 2>/dev/null; kill -KILL -- "-$LOAD" 2>/dev/null; fi
    LOAD=''
}
redis_run() { local command=$1; shift; run $RD "$command" "executionId=$JOB1" "socket=$W/redis/sock" "$@"; }
redis_skipped() { case $WHY in SKIPPED*) return 0 ;; esac; return 1; }

# The whole way: everything that was acknowledged is in a copy that is taken while all is frozen.
redis_way() {
    outer
    local session acked copied blocked
    redis_load || { fail 'no load'; return 1; }
    redis_run pre-script && expect 0 || return 1
    order | sed 's/^hello \(mount \)*//' | grep -Eqx 'engine (path )?armed flushed locked position synced frozen frozen ready end' || { fail "pre: $(order)"; return 1; }
    session=$(events '.[] | select(.t=="locked") | .session')
    [ "$(events '.[] | select(.t=="locked") | .how')" = client-pause ] || { fail how; return 1; }
    frozen "$W/data" || { fail 'not frozen'; return 1; }
    sleep 0.3
    acked=$(cat "$W/acked")
    rcli CLIENT LIST | grep -q "^id=$session " || { fail 'no such session'; return 1; }
    timeout 20 redis-cli -s "$W/redis/sock" SET late 1 >"$W/late" 2>&1 &
    blocked=$!
    PIDS="$PIDS $blocked"
    sleep 0.4
    [ "$(cat "$W/acked")" = "$acked" ] && not gone $blocked || { fail 'a write went through'; return 1; }
    rm -rf "$W/rcopy"
    cp -a "$W/data/redis" "$W/rcopy"
    redis_run post-script && expect 0 || return 1
    [ "$(order)" = 'hello release alive thawed thawed unlocked disarmed probe probe window end' ] || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || { fail 'another session'; return 1; }
    await 5 grep -qx OK "$W/late" || { fail 'the blocked write never happened'; return 1; }
    await 5 eval '[ "$(cat "$W/acked")" -gt '"$acked"' ] 2>/dev/null' || { fail 'the load did not go on'; return 1; }
    stop_load
    if rcli CLIENT LIST | grep -q "^id=$session "; then fail 'the session is left behind'; return 1; fi
    redis_start "$W/rcopy" "$W/redis/copy.sock" "$@" || return 1
    copied=$(RSOCK=$W/redis/copy.sock rcli GET n)
    # Under the pause nothing is acknowledged, so the copy holds that very number.
    [ "$copied" = "$acked" ] || { fail "the copy holds $copied, acknowledged was $acked"; return 1; }
}

test_redis_append_only_file() {
    redis_here aof || { redis_skipped; return; }
    redis_way --appendonly yes --save '' || return 1
    redis_run dry-run && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .name + " " + .datadir + " " + (.replica|tostring)')" = "redis $W/data/redis false" ] || { fail engine; return 1; }
    [ "$(events '.[] | select(.t=="path") | .what + " " + .path')" = "aof $W/data/redis/appendonlydir" ] || fail path
}

test_redis_dumps_only() {
    redis_here rdb || { redis_skipped; return; }
    redis_way --appendonly no --save ''
}

test_redis_that_keeps_nothing_on_disk_is_refused() {
    redis_here none || { redis_skipped; return; }
    redis_run pre-script && expect 206 unsupported-server || return 1
    events '.[] | select(.t=="error") | .text' | grep -q 'holds nothing' || fail 'no clear words'
}

test_redis_slow_dump_is_lock_timeout_and_harms_nobody() {
    redis_here rdb || { redis_skipped; return; }
    outer
    redis_load || { fail 'no load'; return 1; }
    rcli CONFIG SET rdb-key-save-delay 1500000 >/dev/null
    redis_run pre-script lockWaitSeconds=1 lockRetries=1 budgetSeconds=20
    rcli CONFIG SET rdb-key-save-delay 0 >/dev/null
    stop_load
    local write; write=$(rcli SET x 1)
    expect 201 lock-timeout || return 1
    [ "$(events '.[] | select(.t=="lock-timeout") | .tries')" = 2 ] || { fail "tries: $(events '.[] | select(.t=="lock-timeout") | .tries')"; return 1; }
    [ "$write" = OK ] || { fail 'writes are still paused'; return 1; }
    [ "$(events '[.[] | select(.t=="frozen")] | length')" = 0 ] || fail 'froze without the pause'
}

test_redis_pause_that_ended_or_lost_its_session_is_lock_lost() {
    redis_here aof || { redis_skipped; return; }
    outer
    redis_run pre-script && expect 0 || return 1
    # However soon somebody pauses again.
    printf 'CLIENT UNPAUSE\nCLIENT PAUSE 20000 WRITE\n' | rcli >/dev/null
    redis_run post-script && expect 202 lock-lost || return 1
    thawed "$W/data" || { fail 'still frozen'; return 1; }
    rcli_says OK SET y 1 || { fail 'still paused'; return 1; }
    redis_run pre-script && expect 0 || return 1
    rcli CLIENT KILL ID "$(events '.[] | select(.t=="locked") | .session')" >/dev/null
    redis_run post-script && expect 202 lock-lost || return 1
    [ "$(events '[.[] | select(.t=="alive")] | length')" = 0 ] || { fail 'says alive'; return 1; }
    rcli_says OK SET y 2 || fail 'still paused after that'
}

test_redis_failsafe_also_ends_the_pause() {
    redis_here aof || { redis_skipped; return; }
    outer
    redis_run pre-script && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'still frozen'; return 1; }
    rcli_says OK SET z 1 || { fail 'still paused'; return 1; }
    redis_run post-script && expect 203 failsafe-fired
}

test_redis_refusals_and_passwords() {
    redis_here aof || { redis_skipped; return; }
    outer
    run $RD dry-run "socket=$W/nowhere.sock" && expect 206 db-unreachable || return 1
    redis_run pre-script "mounts=$W/logs" && expect 206 not-covered || return 1
    local word='pa"ss \$(id) w0rd'
    rcli CONFIG SET requirepass "$word" >/dev/null
    redis_run pre-script && expect 206 db-denied || return 1
    printf 'wrong\n' >"$W/password"
    redis_run pre-script "passwordFile=$W/password" && expect 206 db-denied || return 1
    printf '%s\n' "$word" >"$W/password"
    redis_run pre-script "passwordFile=$W/password" && expect 0 || return 1
    if grep -lsa 'w0[r]d' /proc/[0-9]*/cmdline /proc/[0-9]*/environ | grep -q .; then fail 'the password is to be seen'; return 1; fi
    redis_run post-script "passwordFile=$W/password" && expect 0 || return 1
    if grep -qF w0rd "$W/out"; then fail 'the password was printed'; fi
}

test_redis_replica() {
    redis_here aof || { redis_skipped; return; }
    outer
    redis_start "$W/logs/replica" "$W/redis/replica.sock" --appendonly yes --save '' --port 0 || return 1
    # There is no port to replicate from, and there need not be: a replica without its source refuses writes, and yet scripts wait.
    RSOCK=$W/redis/replica.sock rcli REPLICAOF 127.0.0.1 1 >/dev/null
    run $RD pre-script "executionId=$JOB1" "socket=$W/redis/replica.sock" && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .replica')" = true ] || { fail 'not a replica'; return 1; }
    run $RD post-script "executionId=$JOB1" "socket=$W/redis/replica.sock" && expect 0
}

test_redis_autonomous() {
    redis_here aof || { redis_skipped; return; }
    fake ok && outer
    redis_run snapshot && expect 0 || return 1
    case " $(story) " in *' locked position synced prepared frozen frozen ready request answer release alive thawed thawed unlocked snapshot '*'disarmed probe probe window end ') ;; *) fail "$(story)"; return 1 ;; esac
    rcli_says OK SET q 1 || { fail 'still paused'; return 1; }
    stop_redis
    called_once && clean
}
