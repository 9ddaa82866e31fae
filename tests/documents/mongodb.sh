# shellcheck shell=bash
# linux-mongodb against a stand-in for the MongoDB shell (mongo_shell.py): NO REAL SERVER HAS BEEN ASKED, none can be installed here. What is
# shown is the script's side: order, lock count, who unlocks, what is refused. Node, where it is here, runs the words of the script themselves.
MG=linux-mongodb

mongo_here() {
    MONGO=$W/mongo
    rm -rf "$MONGO"
    mkdir -p "$MONGO" "$W/data/mongo/journal"
    # A process that stands for the server
    : >"$W/data/mongo/mongod.lock"
    python3 "$HERE/documents/listen.py" 27017 "$W/data/mongo/mongod.lock" &
    MONGOD=$!
    PIDS="$PIDS $MONGOD"
    disown $MONGOD
    await 10 test -s "$W/data/mongo/mongod.lock"
    printf 'facts 7.0.5 mongod %s wiredTiger rs0 secondary %s' "$MONGOD" "$W/data/mongo" >"$MONGO/facts"
    { echo "#!$(command -v python3)"; sed "1d; s;@STATE@;$MONGO;" "$HERE/documents/mongo_shell.py"; } >"$MONGO/shell"
    chmod 755 "$MONGO/shell"
}
mongo_run() { local command=$1; shift; run $MG "$command" "executionId=$JOB1" "client=$MONGO/shell" "$@"; }
mongo_count() { [ "$(cat "$MONGO/count" 2>/dev/null || echo 0)" = "$1" ]; }

test_mongodb_stand_in_happy_path() {
    mongo_here
    outer
    mongo_run dry-run && expect 0 || return 1
    [ "$(events '.[] | select(.t=="engine") | .name + " " + .version + " " + .datadir + " " + (.replica|tostring)')" = "mongodb 7.0.5 $W/data/mongo true" ] || { fail engine; return 1; }
    mongo_run pre-script && expect 0 || return 1
    [ "$(order | sed 's/^hello \(mount \)*//')" = 'engine note armed flushed locked position synced frozen frozen ready end' ] || { fail "pre: $(order)"; return 1; }
    mongo_count 1 && frozen "$W/data" || { fail 'not locked, or not frozen'; return 1; }
    local session; session=$(events '.[] | select(.t=="locked") | .session')
    mongo_run post-script && expect 0 || return 1
    [ "$(order)" = 'hello release alive thawed thawed unlocked disarmed probe probe window end' ] || { fail "post: $(order)"; return 1; }
    [ "$(events '.[] | select(.t=="alive") | .session')" = "$session" ] && mongo_count 0 || { fail 'still locked'; return 1; }
    [ ! -e "$MONGO/ended" ] && [ "$(cat "$MONGO/locks")" = 1 ] || fail 'unlocked or locked twice'
}

test_mongodb_stand_in_failsafe_and_lost_holder_unlock() {
    mongo_here
    outer
    mongo_run pre-script && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 3 thawed "$W/data" && await 5 mongo_count 0 || { fail 'still frozen or locked'; return 1; }
    mongo_run post-script && expect 203 failsafe-fired || return 1
    # Guard and holder both gone: the kept session still unlocks by itself.
    mongo_run pre-script && expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .guard_pid')" "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 5 mongo_count 0 && [ -e "$MONGO/ended" ] || { fail 'still locked'; return 1; }
    mongo_run post-script && expect 202 release-lost || return 1
    thawed "$W/data" || fail 'still frozen'
}

# A server that does not answer the failsafe's unlock keeps it for 15 s. What its first thaw could not do is done meanwhile.
test_mongodb_stand_in_slow_unlock_holds_up_no_thaw() {
    local real rc; real=$(command -v fsfreeze)
    mongo_here
    mkdir -p "$W/bin"
    cp "$real" "$W/bin/fsfreeze.real"
    cat >"$W/bin/fsfreeze" <<END
#!/bin/sh
if [ "\$1" = -u ] && [ -e "$W/bin/refuse" ]; then
    echo "fsfreeze: \$2: unfreeze failed: Input/output error" >&2
    exit 1
fi
exec "$W/bin/fsfreeze.real" "\$@"
END
    chmod 755 "$W/bin/fsfreeze"
    mount --bind "$W/bin/fsfreeze" "$real" || return 1
    outer
    mongo_slow_unlock
    rc=$?
    rm -f "$W/bin/refuse" "$MONGO/hold"
    umount "$real"
    return $rc
}
mongo_slow_unlock() {
    mongo_run pre-script && expect 0 || return 1
    echo yes >"$MONGO/hold"
    : >"$W/bin/refuse"
    kill -TERM "$(events '.[] | select(.t=="armed") | .guard_pid')"
    await 5 test -s "$MONGO/held" || { fail 'the failsafe does not unlock'; return 1; }
    frozen "$W/data" && frozen "$W/logs" || { fail 'thawed in spite of it'; return 1; }
    rm -f "$W/bin/refuse"
    await 1 thawed "$W/data" && await 1 thawed "$W/logs" || { fail 'the thaw waits for the unlock'; return 1; }
    mongo_count 1 || { fail 'unlocked: nothing was shown'; return 1; }
    rm -f "$MONGO/hold"
    await 5 mongo_count 0 || { fail 'still locked'; return 1; }
    mongo_run post-script && expect 203 failsafe-fired
}

test_mongodb_stand_in_lock_lost_and_lock_timeout() {
    mongo_here
    outer
    mongo_run pre-script && expect 0 || return 1
    echo 0 >"$MONGO/count"
    mongo_run post-script && expect 202 lock-lost || return 1
    # Somebody else's lock: ours is taken back, theirs stays.
    echo 1 >"$MONGO/count"
    mongo_run pre-script && expect 201 lock-timeout || { mongo_run post-script; return 1; }
    mongo_count 1 || { fail "theirs was not left alone: $(cat "$MONGO/count")"; return 1; }
    echo 0 >"$MONGO/count"
    echo yes >"$MONGO/slow"
    mongo_run pre-script lockWaitSeconds=1 lockRetries=1 && expect 201 lock-timeout || return 1
    [ "$(events '.[] | select(.t=="lock-timeout") | .tries')" = 2 ] && thawed "$W/data" || fail 'tries, or frozen'
}

test_mongodb_stand_in_refusals_and_credentials() {
    mongo_here
    outer
    run $MG dry-run "client=$W/no-such-shell" && expect 206 no-tool || return 1
    mongo_run pre-script "mounts=$W/logs" && expect 206 not-covered || return 1
    mkdir -p "$W/other/journal" && rm -rf "$W/data/mongo/journal" && ln -s "$W/other/journal" "$W/data/mongo/journal"
    mongo_run pre-script
    rm -f "$W/data/mongo/journal"; mkdir "$W/data/mongo/journal"
    expect 206 not-covered || return 1
    printf 'facts 7.0.5 mongos 1 none - other /x' >"$MONGO/facts"
    mongo_run dry-run && expect 206 unsupported-server || return 1
    printf 'facts 7.0.5 mongod %s wiredTiger - other %s' $$ "$W/data/mongo" >"$MONGO/facts"
    mongo_run dry-run && expect 206 other-server || return 1
    printf 'facts 7.0.5 mongod %s wiredTiger - other %s' "$MONGOD" "$W/data/mongo" >"$MONGO/facts"
    printf 'pa"ss w0rd' >"$MONGO/password"
    mongo_run dry-run && expect 206 db-denied || return 1
    printf 'backup\npa"ss w0rd\n' >"$MONGO/login"
    mongo_run pre-script "credentialsFile=$MONGO/login" && expect 0 || return 1
    if grep -lsa 'w0[r]d' /proc/[0-9]*/cmdline /proc/[0-9]*/environ | grep -q . || grep -q w0rd "$MONGO/argv"; then fail 'the password is to be seen'; return 1; fi
    mongo_run post-script "credentialsFile=$MONGO/login" && expect 0 || return 1
    if grep -qF w0rd "$W/out"; then fail 'the password was printed'; fi
}

test_mongodb_words_are_javascript() {
    if ! command -v node >/dev/null; then WHY='SKIPPED no node here'; return 0; fi
    {
        cat <<'END'
let count = 0;
const print = (s) => console.log(s), long = (n) => ({ toNumber: () => n });
const db = { getSiblingDB: () => ({ runCommand: (c) => {
  if (c.serverStatus) return { ok: 1, version: '7.0.5', process: 'mongod', pid: long(42), storageEngine: { name: 'wiredTiger' } };
  if (c.getCmdLineOpts) return { ok: 1, parsed: { storage: { dbPath: '/srv/a b' } } };
  if (c.fsync) return { ok: 1, lockCount: long(++count) };
  if (c.currentOp) return count > 0 ? { ok: 1, fsyncLock: true } : { ok: 1 };
  if (c.isMaster) return { ok: 1, lastWrite: { opTime: { ts: { t: 5, i: 6 } } } };
  if (c.fsyncUnlock) return count > 0 ? { ok: 1, lockCount: long(--count) } : { ok: 0, errmsg: 'not locked' };
} }) };
END
        sed -n "/^var ffDone/,/^END\$/p" "$DOCS/src/linux-mongodb.sh" | sed '$d'
        echo 'ffFacts(); ffLock(5); ffTime(); ffHeld(); ffUnlock(); ffHeld(); ffUnlock(); ffEnd(); ffDone = false; ffLock(5); ffEnd();'
    } >"$W/words.js"
    local said; said=$(node "$W/words.js" 2>&1 | sed 's/^freezeframe said //' | tr '\n' ';')
    [ "$said" = 'facts 7.0.5 mongod 42 wiredTiger - other /srv/a b;count 1;optime 5.6;held true;count 0;held false;count none not locked;count 1;count 0;' ] || fail "$said"
}
