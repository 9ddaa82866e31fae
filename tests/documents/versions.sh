# shellcheck shell=bash
# Servers of other versions than this machine's distribution has, as .ci/servers fetched them: one story for each. Where they are not, a test says
# that it was skipped, in CI too: whether a package registry answers is not what a change is judged by.
SERVERS=${FREEZEFRAME_SERVERS:-${HOME:-/root}/.cache/freezeframe/servers}

# version_here NAME: its tree at $W/server, which users that cannot see root's home can read
version_here() {
    if [ "$(uname -m)" != x86_64 ]; then WHY='SKIPPED builds for x86_64 only'; return 1; fi
    if [ ! -d "$SERVERS/$1/bin" ]; then
        WHY="SKIPPED no $1 in $SERVERS (.ci/servers fetches it)"
        return 1
    fi
    mkdir -p "$W/server" && chmod 755 "$W" && mount --bind "$SERVERS/$1" "$W/server" || { fail 'no bind mount'; return 1; }
}
version_gone() {
    local place
    for place in ${VERSION_CLIENT:-} "$W/server"; do
        if mountpoint -q "$place"; then umount "$place"; fi
    done
    VERSION_CLIENT=''
}

# --- PostgreSQL: what was seen of the major version is the two calls' names and answers, the label, a standby made of the set, a lost session ---

postgresql_version() { # MAJOR
    postgresql_of_version "$1"
    local code=$?
    postgresql_version_gone
    case $WHY in SKIPPED*) return 0 ;; esac
    return $code
}
postgresql_version_gone() {
    postgresql_places_gone
    version_gone
}
postgresql_places_gone() {
    local dir
    for dir in data/pgv data/standbyv copy; do pg_stop "$W/$dir"; done
    rm -rf "$W"/data/pgv "$W"/data/standbyv "$W"/logs/pgv* "$W"/logs/standbyv* "$W"/copy*
}

postgresql_of_version() {
    local dir segments='' session before
    version_here "postgresql-$1" || return 1
    # Another test's copies are of another version, and `cp` would copy into them.
    postgresql_places_gone
    # These builds have no psql, and any version of it speaks to any server.
    for dir in /usr/lib/postgresql/*/bin; do PG_BIN=$W/server/bin:$dir; done
    if [ ! -x "$dir/psql" ] || ! id postgres >/dev/null 2>&1; then WHY='SKIPPED no psql here, or no user to run PostgreSQL'; return 1; fi
    install -d -o postgres -g postgres "$W/pg" "$W/data/pgv" "$W/logs/pgvwal" "$W/logs/pgvspace" && chmod 700 "$W/data/pgv" || { fail 'no places'; return 1; }
    if [ "$1" -ge 11 ]; then segments=--wal-segsize=1; fi
    as_postgres initdb -D "$W/data/pgv" --waldir="$W/logs/pgvwal" $segments -A trust -N -E UTF8 >"$W/pg/initdb.log" 2>&1 || { fail "initdb: $(tail -n 1 "$W/pg/initdb.log")"; return 1; }
    PORT=$((54400 + $1))
    pg_start "$W/data/pgv" $PORT || { fail "the server does not start: $(tail -n 3 "$W/pg/$PORT.log")"; return 1; }
    psql_ "CREATE TABLESPACE side LOCATION '$W/logs/pgvspace'" && psql_ 'CREATE TABLE t (a INT) TABLESPACE side' && psql_ 'INSERT INTO t SELECT generate_series(1, 1000)' || { fail 'no table'; return 1; }
    outer
    before=$(psql_ 'SELECT COUNT(*) FROM t')
    pg_run pre-script && expect 0 || return 1
    [ "$(order | sed 's/^hello \(mount \)*//')" = 'engine path path armed flushed locked position synced frozen frozen ready end' ] || { fail "pre: $(order)"; return 1; }
    events '.[] | select(.t=="engine") | .version' | grep -q "^$1\." || { fail "another version: $(events '.[] | select(.t=="engine") | .version')"; return 1; }
    [ "$(events '[.[] | select(.t=="path") | .what + " " + .path] | join(",")')" = "wal $W/logs/pgvwal,tablespace $W/logs/pgvspace" ] || { fail path; return 1; }
    session=$(events '.[] | select(.t=="locked") | .session')
    frozen "$W/data" && frozen "$W/logs" && grep -q '^postgres: ' "/proc/$session/cmdline" || { fail 'not frozen, or no such session'; return 1; }
    # What a snapshot would hold
    cp -a "$W/data/pgv" "$W/copy" && cp -a "$W/logs/pgvwal" "$W/copywal" && cp -a "$W/logs/pgvspace" "$W/copyspace" || { fail 'no copy'; return 1; }
    pg_run post-script && expect 0 || return 1
    order | grep -Eq '^hello release alive thawed thawed position( file)+ unlocked disarmed probe probe window end$' || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || { fail 'another session'; return 1; }
    # Byte by byte: up to version 13 an empty line at the map's end is an error.
    printf %s "$(assembled backup_label)" >"$W/label" && printf '%s\n' "$(assembled tablespace_map)" >"$W/map"
    grep -q "^LABEL: freezeframe $JOB1\$" "$W/label" && grep -q '^BACKUP METHOD: streamed$' "$W/label" && grep -q '^BACKUP FROM: \(master\|primary\)$' "$W/label" || { fail "label: $(cat "$W/label")"; return 1; }
    grep -Eq "^[0-9]+ $W/logs/pgvspace\$" "$W/map" || { fail "map: $(cat "$W/map")"; return 1; }
    psql_says 0 "SELECT COUNT(*) FROM pg_stat_activity WHERE pid=$session" || { fail 'the session is left behind'; return 1; }
    postgresql_standby_of_the_set "$1" && postgresql_copy_alone "$before" || return 1
    # Once more, and this time the session is lost.
    PORT=$((54400 + $1))
    pg_run pre-script && expect 0 || return 1
    kill -TERM "$(events '.[] | select(.t=="locked") | .session')"
    pg_run post-script && expect 202 lock-lost || return 1
    [ "$(events '[.[] | select(.t=="alive" or .t=="file")] | length')" = 0 ] || { fail 'says alive'; return 1; }
    thawed "$W/data" && thawed "$W/logs" || { fail 'still frozen'; return 1; }
    [ "$(psql_ 'INSERT INTO t VALUES (9); SELECT 1')" = 1 ] || fail 'writes wait'
}

# The copy as it is, like a server whose power failed
postgresql_copy_alone() { # ROWS
    local link rows
    rm -f "$W/copy/postmaster.pid"
    ln -sfn "$W/copywal" "$W/copy/pg_wal"
    chown -h postgres:postgres "$W/copy/pg_wal"
    for link in "$W"/copy/pg_tblspc/*; do ln -sfn "$W/copyspace" "$link"; done
    pg_start "$W/copy" 54470 || { fail "the copy does not start: $(tail -n 3 "$W/pg/54470.log")"; return 1; }
    rows=$(PORT=54470; psql_ 'SELECT COUNT(*) FROM t')
    pg_stop "$W/copy"
    [ "$rows" = "$1" ] || { fail "the copy holds $rows rows, not $1"; return 1; }
}

# The copy with its two files, as a standby that follows the server it was taken from; and a set of that standby.
postgresql_standby_of_the_set() { # MAJOR
    local standby=$W/data/standbyv source="host='$W/pg' port=$PORT user=postgres dbname=postgres"
    cp -a "$W/copy" "$standby" && cp -a "$W/copywal" "$W/logs/standbyvwal" && cp -a "$W/copyspace" "$W/logs/standbyvspace" || { fail 'no copy of the copy'; return 1; }
    rm -f "$standby/postmaster.pid"
    ln -sfn "$W/logs/standbyvwal" "$standby/pg_wal"
    cp "$W/label" "$standby/backup_label"
    sed "s; .*; $W/logs/standbyvspace;" "$W/map" >"$standby/tablespace_map"
    if [ "$1" -ge 12 ]; then
        : >"$standby/standby.signal"
        printf "primary_conninfo = '%s'\n" "${source//\'/\'\'}" >>"$standby/postgresql.auto.conf"
    else
        printf "standby_mode = 'on'\nprimary_conninfo = '%s'\n" "${source//\'/\'\'}" >"$standby/recovery.conf"
    fi
    chown -R -h postgres:postgres "$standby"
    pg_start "$standby" 54471 || { fail "the standby does not start: $(tail -n 3 "$W/pg/54471.log")"; return 1; }
    [ ! -e "$standby/backup_label" ] && [ -e "$standby/tablespace_map.old" ] || { fail 'the label was not used'; return 1; }
    psql_ 'INSERT INTO t VALUES (5001)'
    PORT=54471
    await 10 psql_says 1 'SELECT COUNT(*) FROM t WHERE a=5001' || { fail "it does not follow: $(tail -n 3 "$W/pg/54471.log")"; return 1; }
    pg_run pre-script && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .replica')" = true ] || { fail 'not a replica'; return 1; }
    pg_run post-script && expect 0 || return 1
    assembled backup_label | grep -q '^BACKUP FROM: standby$' || { fail 'not from the standby'; return 1; }
    pg_stop "$standby"
}

# Its files are the largest (16 MB a segment): on a busy machine copying them outlasts the outer thaw.
test_version_postgresql_10() {
    if [ -z "${FF_SLOW:-}" ]; then WHY='SKIPPED FF_SLOW=yes runs it, on a quiet machine'; return 0; fi
    postgresql_version 10
}
test_version_postgresql_12() { postgresql_version 12; }
test_version_postgresql_13() { postgresql_version 13; }
test_version_postgresql_14() { postgresql_version 14; }
test_version_postgresql_16() { postgresql_version 16; }
test_version_postgresql_17() { postgresql_version 17; }
test_version_postgresql_18() { postgresql_version 18; }

# --- Redis and Valkey: the whole way with either file, a set and a lost session ---

redis_version() { # NAME PROGRAM ENGINE VERSION
    REDIS_SERVER=$W/server/bin/$2
    redis_of_version "$@"
    local code=$?
    stop_redis
    rm -rf "$W/data/redis" "$W/rcopy"
    REDIS_SERVER=''
    version_gone
    case $WHY in SKIPPED*) return 0 ;; esac
    return $code
}

redis_of_version() {
    version_here "$1" || return 1
    # Its own client, where the package has one, in the place of this machine's.
    if [ -x "$W/server/bin/redis-cli" ] && VERSION_CLIENT=$(readlink -f "$(command -v redis-cli)"); then
        mount --bind "$W/server/bin/redis-cli" "$VERSION_CLIENT" || { fail 'no bind mount'; return 1; }
    fi
    redis_here rdb || return 1
    redis_way --appendonly no --save '' || { WHY="dumps: $WHY"; return 1; }
    after_test
    redis_here aof && redis_way --appendonly yes --save '' || { WHY="append-only file: $WHY"; return 1; }
    redis_run dry-run && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .name + " " + .version')" = "$3 $4" ] || { fail "engine: $(events '.[] | select(.t=="engine")')"; return 1; }
    # Once more, and this time the pause does not hold, however soon somebody pauses again.
    redis_run pre-script && expect 0 || return 1
    printf 'CLIENT UNPAUSE\nCLIENT PAUSE 20000 WRITE\n' | rcli >/dev/null
    redis_run post-script && expect 202 lock-lost || return 1
    thawed "$W/data" || { fail 'still frozen'; return 1; }
    rcli_says OK SET y 1 || fail 'still paused'
}

test_version_redis_6_2() { redis_version redis-6.2 redis-server redis 6.2.14; }
test_version_valkey_9_1() { redis_version valkey-9.1 valkey-server valkey 9.1.2; }

# --- MongoDB: the document's words in the real mongosh (no server can be had), which speaks to a stand-in for the server ---

test_version_mongosh_2_words() {
    local mongosh=$SERVERS/mongosh-2/node_modules/@mongosh/cli-repl/bin/mongosh.js said
    if ! command -v node >/dev/null; then WHY='SKIPPED no node here'; return 0; fi
    if [ ! -x "$mongosh" ]; then
        WHY="SKIPPED no mongosh in $SERVERS (.ci/servers fetches it)"
        return 0
    fi
    mkdir -p "$W/mongod"
    python3 "$HERE/documents/mongo_server.py" 27099 "$W/mongod" "$W/mongod" >"$W/mongod/said" 2>&1 &
    PIDS="$PIDS $!"
    await 20 test -s "$W/mongod/mongod.lock" || { fail "no stand-in: $(cat "$W/mongod/said")"; return 1; }
    {
        sed -n "/^var ffDone/,/^END\$/p" "$DOCS/src/linux-mongodb.sh" | sed '$d'
        # The input ends with the lock held: the last word lets it go.
        echo 'ffFacts(); ffLock(5000); ffTime(); ffHeld(); ffUnlock(); ffHeld(); ffUnlock(); ffEnd(); ffDone = false; ffLock(5000); ffEnd();'
    } >"$W/mongod/words"
    # This shell alone takes seconds, and minutes where others keep the processors busy.
    said=$(timeout 300 env -i PATH="$PATH" LC_ALL=C HOME="$W/mongod" "$mongosh" --quiet --norc --host 127.0.0.1 --port 27099 <"$W/mongod/words" 2>&1)
    [ "$(printf '%s\n' "$said" | sed -n 's/.*freezeframe said //p' | sed 's/ mongod [0-9]* / mongod PID /' | tr '\n' ';')" = \
        "facts 7.0.5 mongod PID wiredTiger - other $W/mongod;count 1;optime 1700000000.7;held true;count 0;held false;count none fsyncUnlock called when not locked;count 1;count 0;" ] ||
        { fail "$said"; return 1; }
    # What was not locked is not asked to be unlocked twice: by then it may be somebody else's lock.
    [ "$(tr '\n' ' ' <"$W/mongod/log")" = 'lock 1 unlock 0 unlock refused lock 1 unlock 0 ' ] || fail "$(cat "$W/mongod/log")"
}
