# shellcheck shell=bash
# A PostgreSQL server of our own: its data on $W/data, its WAL and a tablespace on $W/logs; and a standby of it. Never the system's.
PG=linux-postgresql
PG_PORT=54329

as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups env -i PATH="$PG_BIN:$PATH" LC_ALL=C HOME=/nonexistent "$@"; }
psql_() { as_postgres psql -X -A -t -q -h "$W/pg" -p "${PORT:-$PG_PORT}" -d postgres -c "$1" 2>/dev/null; }
psql_says() { [ "$(psql_ "$2")" = "$1" ]; }

# pg_start DIRECTORY PORT
pg_start() {
    as_postgres pg_ctl -D "$1" -w -t 30 -l "$W/pg/$2.log" -o "-p $2 -k '$W/pg' -c listen_addresses='' -c fsync=on -c shared_buffers=16MB -c max_wal_size=64MB -c dynamic_shared_memory_type=sysv" start >/dev/null 2>&1
}
pg_stop() { if [ -e "$1/postmaster.pid" ]; then as_postgres pg_ctl -D "$1" -m immediate -w stop >/dev/null 2>&1; fi; }

postgresql() {
    PORT=$PG_PORT
    local dir
    for dir in /usr/lib/postgresql/*/bin; do PG_BIN=$dir; done
    if [ ! -x "${PG_BIN:-}/initdb" ] || ! id postgres >/dev/null 2>&1; then WHY='SKIPPED no PostgreSQL server here'; return 2; fi
    # after a test that froze them, or that stopped the server
    if [ -d "$W/data/pg" ]; then
        psql_says 1 'SELECT 1' || pg_start "$W/data/pg" "$PG_PORT" || { fail 'the server does not start again'; return 1; }
        return 0
    fi
    chmod 755 "$W"
    install -d -o postgres -g postgres "$W/pg" "$W/data/pg" "$W/logs/pgwal" "$W/logs/pgspace"
    chmod 700 "$W/data/pg"
    as_postgres initdb -D "$W/data/pg" --waldir="$W/logs/pgwal" --wal-segsize=1 -A trust -N -E UTF8 >"$W/pg/initdb.log" 2>&1 || { fail initdb; return 1; }
    pg_start "$W/data/pg" "$PG_PORT" || { fail 'the server does not start'; return 1; }
    psql_ "CREATE TABLESPACE side LOCATION '$W/logs/pgspace'" && psql_ 'CREATE TABLE t (a INT) TABLESPACE side' && psql_ 'INSERT INTO t SELECT generate_series(1, 1000)' &&
        psql_ 'CREATE ROLE poor LOGIN' || { fail 'no tables'; return 1; }
}
stop_postgresql() {
    local dir
    for dir in data/pg data/standby copy; do pg_stop "$W/$dir"; done
}
pg_here() { postgresql || { [ "${WHY#SKIPPED}" != "$WHY" ]; return 1; }; case $WHY in SKIPPED*) return 1 ;; esac; }
pg_run() { local command=$1; shift; run $PG "$command" "executionId=$JOB1" "socketDirectory=$W/pg" "port=$PORT" "$@"; }
# assembled NAME: a file that belongs to the set, put together from its parts
assembled() { events "[.[] | select(.t==\"file\" and .name==\"$1\")] | sort_by(.part) | if length == .[0].parts then map(.text) | add else \"incomplete\" end"; }

test_postgresql_happy_path() {
    pg_here || return
    outer
    # A long write of somebody else is no hindrance to the backup mode, and is not harmed.
    as_postgres psql -X -q -h "$W/pg" -p $PG_PORT -d postgres -c 'INSERT INTO t SELECT 5000 FROM pg_sleep(4)' >/dev/null 2>&1 &
    local long=$! writer before session
    # A new connection may have to write a file of its own, so the one that will try to write is there before.
    rm -f "$W/go"
    { await 20 test -e "$W/go"; echo 'INSERT INTO t VALUES (7);'; } | as_postgres psql -X -q -h "$W/pg" -p $PG_PORT -d postgres >/dev/null 2>&1 &
    writer=$!
    PIDS="$PIDS $long $writer"
    before=$(psql_ 'SELECT COUNT(*) FROM t WHERE a<>5000')
    pg_run pre-script && expect 0 || return 1
    [ "$(order | sed 's/^hello \(mount \)*//')" = 'engine path path armed flushed locked position synced frozen frozen ready end' ] || { fail "pre: $(order)"; return 1; }
    session=$(events '.[] | select(.t=="locked") | .session')
    [ "$(events '.[] | select(.t=="locked") | .how')" = backup-api ] || { fail how; return 1; }
    frozen "$W/data" && frozen "$W/logs" || { fail 'not frozen'; return 1; }
    grep -q '^postgres: ' "/proc/$session/cmdline" || { fail 'no such session'; return 1; }
    : >"$W/go"
    sleep 0.5
    not gone "$writer" || { fail 'a write went through'; return 1; }
    # What a snapshot would hold, taken while everything is frozen.
    rm -rf "$W/copy" "$W/copywal"
    cp -a "$W/data/pg" "$W/copy" && cp -a "$W/logs/pgwal" "$W/copywal" || { fail 'no copy'; return 1; }
    pg_run post-script && expect 0 || return 1
    order | grep -Eq '^hello release alive thawed thawed position( file)+ unlocked disarmed probe probe window end$' || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] || { fail 'another session'; return 1; }
    if sed -n 's/^FF1 //p' "$W/out" | awk 'length($0) > 996' | grep -q .; then fail 'a line is too long'; return 1; fi
    assembled backup_label | grep -q "^LABEL: freezeframe $JOB1\$" && assembled backup_label | grep -q '^START WAL LOCATION: ' || { fail "label: $(assembled backup_label)"; return 1; }
    assembled tablespace_map | grep -Eq "^[0-9]+ $W/logs/pgspace\$" || { fail "map: $(assembled tablespace_map)"; return 1; }
    await 5 psql_says $((before + 1)) 'SELECT COUNT(*) FROM t WHERE a<>5000' || { fail 'the blocked write never happened'; return 1; }
    await 12 psql_says 1 'SELECT COUNT(*) FROM t WHERE a=5000' || { fail 'the long write was harmed'; return 1; }
    psql_says 0 "SELECT COUNT(*) FROM pg_stat_activity WHERE pid=$session" || { fail 'the session is left behind'; return 1; }
    assembled backup_label >"$W/label"
    # The copy by itself starts as after a power failure.
    ln -sfn "$W/copywal" "$W/copy/pg_wal"
    chown -h postgres:postgres "$W/copy/pg_wal"
    cp -a "$W/copy" "$W/copy.label"; cp -a "$W/copywal" "$W/copywal.label"
    rm -f "$W/copy/postmaster.pid" "$W/copy.label/postmaster.pid"
    pg_copy_holds "$before" 'as it is' || return 1
    # With the label, and the WAL up to the end of the backup, it is a base backup.
    rm -rf "$W/copy" "$W/copywal"; mv "$W/copy.label" "$W/copy"; mv "$W/copywal.label" "$W/copywal"
    psql_ 'SELECT pg_switch_wal()' >/dev/null
    cp -a "$W/logs/pgwal/." "$W/copywal/"
    install -o postgres -g postgres -m 600 "$W/label" "$W/copy/backup_label"
    pg_copy_holds $((before + 1)) 'with its label' || return 1
    [ -e "$W/copy/backup_label.old" ] || fail 'the label was not used'
}
# pg_copy_holds ROWS WHAT: the copy's own tablespace is the live one's place, so only its presence is asked of the catalogue
pg_copy_holds() {
    local link rows
    rm -rf "$W/copyspace"; cp -a "$W/logs/pgspace" "$W/copyspace"
    for link in "$W"/copy/pg_tblspc/*; do ln -sfn "$W/copyspace" "$link"; done
    pg_start "$W/copy" 54330 || { fail "the copy does not start $2: $(tail -n 3 "$W/pg/54330.log")"; return 1; }
    rows=$(PORT=54330; psql_ 'SELECT COUNT(*) FROM t WHERE a<>5000')
    pg_stop "$W/copy"
    [ "$rows" = "$1" ] || { fail "the copy $2 holds $rows rows, not $1"; return 1; }
}

test_postgresql_dry_run_names_the_engine_and_its_places() {
    pg_here || return
    pg_run dry-run && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .name + " " + .datadir + " " + (.replica|tostring)')" = "postgresql $W/data/pg false" ] || { fail engine; return 1; }
    [ "$(events '[.[] | select(.t=="path") | .what + " " + .path] | join(",")')" = "wal $W/logs/pgwal,tablespace $W/logs/pgspace" ] || fail "path"
}

test_postgresql_what_lies_elsewhere_is_told() {
    pg_here || return
    local told code=0
    pg_stop "$W/data/pg"
    mkdir "$W/other/base.pg" && cp -a "$W/data/pg/base" "$W/other/base.pg/" && mv "$W/data/pg/base" "$W/data/base.kept" && ln -s "$W/other/base.pg/base" "$W/data/pg/base" &&
        ln -s /var/log "$W/data/pg/log" && ln -s /etc/nowhere.crt "$W/data/pg/server.crt" && chmod 755 "$W/other" && pg_start "$W/data/pg" $PG_PORT || { fail 'no server on a linked directory'; code=1; }
    if [ $code = 0 ]; then pg_run dry-run && expect 0 || code=1; fi
    told=$(paths)
    pg_stop "$W/data/pg"
    rm -rf "$W/data/pg/base" "$W/other/base.pg"
    mv "$W/data/base.kept" "$W/data/pg/base"
    [ $code = 0 ] || return 1
    [ "$told" = "data $W/other/base.pg/base,tablespace $W/logs/pgspace,wal $W/logs/pgwal" ] || { fail "a link: $told"; return 1; }
    # A mount of its own, in memory
    cp -a "$W/data/pg/pg_multixact" "$W/data/kept" && mount -t tmpfs tmpfs "$W/data/pg/pg_multixact" && cp -a "$W/data/kept/." "$W/data/pg/pg_multixact/" && pg_start "$W/data/pg" $PG_PORT || { fail 'no server on a mounted directory'; code=1; }
    if [ $code = 0 ]; then pg_run dry-run && expect 0 || code=1; fi
    told="$(paths) $(events "[.[] | select(.t==\"mount\" and .mount==\"$W/data/pg/pg_multixact\") | .covered] | join(\" \")")"
    pg_stop "$W/data/pg"
    umount "$W/data/pg/pg_multixact"
    rm -rf "$W/data/kept" "$W/data/pg/log" "$W/data/pg/server.crt"
    [ $code = 0 ] || return 1
    [ "$told" = "data $W/data/pg/pg_multixact,tablespace $W/logs/pgspace,wal $W/logs/pgwal false" ] || { fail "a mount: $told"; return 1; }
}

test_postgresql_backup_that_does_not_begin_is_lock_timeout_and_harms_nobody() {
    pg_here || return
    outer
    local checkpointer rows
    checkpointer=$(psql_ "SELECT pid FROM pg_stat_activity WHERE backend_type='checkpointer'")
    matches_number "$checkpointer" || { fail 'no checkpointer'; return 1; }
    kill -STOP "$checkpointer"
    pg_run pre-script lockWaitSeconds=1 lockRetries=1
    rows=$(psql_ 'INSERT INTO t VALUES (8); SELECT 1')
    kill -CONT "$checkpointer"
    expect 201 lock-timeout || return 1
    [ "$(events '.[] | select(.t=="lock-timeout") | .tries')" = 2 ] || { fail tries; return 1; }
    [ "$rows" = 1 ] || { fail 'other writers wait'; return 1; }
    [ "$(events '[.[] | select(.t=="frozen")] | length')" = 0 ] && thawed "$W/data" || { fail 'froze without the backup'; return 1; }
    await 5 psql_says 0 "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name='freezeframe'" || fail 'the session is left behind'
}
matches_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

test_postgresql_killed_session_is_lock_lost() {
    pg_here || return
    outer
    pg_run pre-script && expect 0 || return 1
    kill -TERM "$(events '.[] | select(.t=="locked") | .session')"
    pg_run post-script && expect 202 lock-lost || return 1
    [ "$(events '[.[] | select(.t=="alive" or .t=="file")] | length')" = 0 ] || { fail 'says alive'; return 1; }
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

test_postgresql_failsafe_also_ends_the_backup() {
    pg_here || return
    outer
    pg_run pre-script budgetSeconds=9 && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'still frozen'; return 1; }
    await 5 psql_says 0 "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name='freezeframe'" || { fail 'the session is left behind'; return 1; }
    [ "$(psql_ 'INSERT INTO t VALUES (9); SELECT 1')" = 1 ] || { fail 'writes wait'; return 1; }
    pg_run post-script && expect 203 failsafe-fired
}

test_postgresql_standby() {
    pg_here || return
    outer
    install -d -o postgres -g postgres -m 700 "$W/data/standby" "$W/logs/standbywal" "$W/logs/standbyspace"
    as_postgres pg_basebackup -h "$W/pg" -p $PG_PORT -D "$W/data/standby" --waldir="$W/logs/standbywal" -T "$W/logs/pgspace=$W/logs/standbyspace" \
        -R -c fast -X stream >"$W/pg/basebackup.log" 2>&1 || { fail "no standby: $(head -c 300 "$W/pg/basebackup.log")"; return 1; }
    pg_start "$W/data/standby" 54331 || { fail 'the standby does not start'; return 1; }
    PORT=54331
    pg_run pre-script && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .replica')" = true ] || { fail 'not a replica'; return 1; }
    events '.[] | select(.t=="note") | .text' | grep -q '^a standby: .*synchronous_standby_names' || { fail 'not told what may wait for a standby'; return 1; }
    pg_run post-script && expect 0 || return 1
    assembled backup_label | grep -q '^BACKUP FROM: standby$' || fail 'not from the standby'
    pg_stop "$W/data/standby"
    rm -rf "$W/data/standby" "$W/logs/standbywal" "$W/logs/standbyspace"
}

test_postgresql_refusals() {
    pg_here || return
    pg_run pre-script user=poor && expect 206 db-denied || return 1
    pg_run dry-run user=nobody_at_all && expect 206 db-denied || return 1
    PORT=54399
    pg_run dry-run && expect 206 db-unreachable || return 1
    PORT=$PG_PORT
    run $PG dry-run "socketDirectory=$W/pg" "port=$PORT" 'database=a b' && expect 206 bad-parameter || return 1
    run $PG dry-run "socketDirectory=$W/pg" "port=$PORT" "database=\$(touch $W/ran)" && expect 206 bad-parameter || return 1
    [ ! -e "$W/ran" ] || { fail 'a parameter was run'; return 1; }
    pg_run pre-script "mounts=$W/logs" && expect 206 not-covered || return 1
    # WAL outside what is frozen: the script says where it is, the level is the console's to lower.
    pg_run dry-run "mounts=$W/data" && expect 0 || return 1
    [ "$(events "[.[] | select(.t==\"mount\" and .covered) | .mount] | join(\" \")")" = "$W/data" ] || fail covered
}

test_postgresql_autonomous() {
    pg_here || return
    fake ok && outer
    pg_run snapshot && expect 0 || return 1
    case " $(story) " in *' locked position synced prepared frozen frozen ready request answer release alive thawed thawed position file '*'unlocked snapshot '*'disarmed probe probe window end ') ;; *) fail "$(story)"; return 1 ;; esac
    [ "$(events '[.[] | select(.t=="locked" or .t=="alive" or .t=="unlocked") | .session] | unique | length')" = 1 ] || { fail 'not one session'; return 1; }
    assembled backup_label | grep -q "^LABEL: freezeframe $JOB1\$" || { fail 'no label'; return 1; }
    stop_postgresql
    called_once && clean
}

# A role that is no superuser cannot silence the server's log, which without a collector is the file itself.
test_postgresql_log_of_every_statement_on_a_frozen_filesystem() {
    pg_here || return
    outer
    local code=0
    pg_stop "$W/data/pg"
    install -d -o postgres -g postgres "$W/logs/pglog"
    as_postgres pg_ctl -D "$W/data/pg" -w -t 30 -l "$W/logs/pglog/log" -o "-p $PG_PORT -k '$W/pg' -c listen_addresses='' -c shared_buffers=16MB -c log_statement=all -c dynamic_shared_memory_type=sysv" start >/dev/null 2>&1
    # PostgreSQL 15 has other names for the two functions.
    psql_ 'CREATE ROLE keeper LOGIN; GRANT pg_read_all_settings TO keeper'
    psql_ 'GRANT EXECUTE ON FUNCTION pg_backup_start(text,boolean), pg_backup_stop(boolean) TO keeper' ||
        psql_ 'GRANT EXECUTE ON FUNCTION pg_start_backup(text,boolean,boolean), pg_stop_backup(boolean,boolean) TO keeper'
    { pg_run pre-script user=keeper && expect 0 && pg_run post-script user=keeper && expect 0; } || code=1
    [ $code = 1 ] || order | grep -Eq '^hello release thawed thawed note alive position( file)+ unlocked disarmed probe probe window end$' || { fail "post: $(order)"; code=1; }
    pg_stop "$W/data/pg"
    pg_start "$W/data/pg" $PG_PORT
    return $code
}

# What the server only warns of at each connection is no part of its answer: after a new ICU or C library it does so for every old database.
test_postgresql_warnings_are_no_answer() {
    pg_here || return
    outer
    local rc
    psql_ "CREATE DATABASE icudb LOCALE_PROVIDER icu ICU_LOCALE 'en' TEMPLATE template0" >/dev/null && psql_ "UPDATE pg_database SET datcollversion='1.0' WHERE datname='icudb'" >/dev/null ||
        { WHY='SKIPPED no ICU collations here (PostgreSQL 15 and later)'; return 0; }
    as_postgres psql -X -q -h "$W/pg" -p $PG_PORT -d icudb -c '' 2>&1 | grep -q 'collation version mismatch' || { fail 'no warning'; return 1; }
    pg_run pre-script database=icudb && expect 0 && pg_run post-script database=icudb && expect 0
    rc=$?
    psql_ 'DROP DATABASE icudb' >/dev/null
    return $rc
}
