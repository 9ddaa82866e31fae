#!/bin/sh
# freezeframe linux-mongodb: hold the writes of MongoDB and freeze its filesystems from pre-script to post-script.
# Generated from assets/documents/src by build.py; do not edit the JSON.
EXECUTION_ID='{{ executionId }}'
COMMAND='{{ command }}'
BUDGET='{{ budgetSeconds }}'
MOUNTS='{{ mounts }}'
LOCK_WAIT='{{ lockWaitSeconds }}'
LOCK_RETRIES='{{ lockRetries }}'
CLIENT_PATH='{{ client }}'
PORT='{{ port }}'
CREDENTIALS_FILE='{{ credentialsFile }}'
#@include common.sh
#@include processes.sh
#@include mounts.sh
#@include helpers.sh
#@include commands.sh
#@include session.sh
#@include moved.sh

# --- linux-mongodb: db.fsyncLock() from before the freeze until after the thaw ---
#
# NOT PROVEN ON A REAL SERVER: its tests talk to a stand-in for the shell (tests/documents/mongodb.sh); the real mongosh was seen to understand the
# words below (tests/documents/versions.sh). It throws where the old shell's runCommand returns what was refused.
#
# The lock belongs to the server, not to a session, and nothing ends it but fsyncUnlock. So three can: the holder, in the session that locked; that
# session by itself, which is fed an unlock when the holder is gone and its input ends; and the guard, in a session of its own (which may fail to log
# in while the server is locked, and is therefore not relied on). It nests: only a count of 1 is ours alone.

RECIPE=linux-mongodb

recipe_parameters() {
    lock_parameters
    check port "$PORT" '^[1-9][0-9]{0,4}$'
    check credentialsFile "$CREDENTIALS_FILE" "$FILE"
}

recipe_tools() {
    if ! CLIENT=$(tool_path mongosh); then CLIENT=$(tool_path mongo) || CLIENT=''; fi
    found_client mongosh
    need_tool timeout; TIMEOUT=$NT
    need_tool env; ENV_TOOL=$NT
    need_tool cat; CAT=$NT
    need_tool find
}

# The shell, which keeps its own files in memory: its history and log must not wait for a frozen filesystem.
mongo_shell() {
    MS_HOME=$JOBS
    if [ -n "$S" ]; then MS_HOME=$S; fi
    exec ${LIMIT_CLIENT:+"$TIMEOUT" "$LIMIT_CLIENT"} "$ENV_TOOL" -i PATH="$PATH" LC_ALL=C HOME="$MS_HOME" "$CLIENT" --quiet --norc --host 127.0.0.1 --port "$PORT"
}

# The kept session. What follows its input when the holder ends, whatever way, is the unlock.
client() {
    {
        "$CAT"
        printf 'ffEnd();\n'
    } | mongo_shell
}

say_mark() { printf "print('freezeframe mark %s');\n" "$1"; }

# What the shell is told first: who logs in (a file: user, password and, if it is not admin, the database, one per line), and words for all that follows.
say_words() {
    cat <<'END'
var ffDone = false, ffAdmin = db.getSiblingDB('admin');
function ffSay(f) { try { print('freezeframe said ' + f()); } catch (e) { print('freezeframe said error ' + ((e.codeName || '') + ' ' + String(e.message || e).split('\n')[0]).trim()); } }
function ffNumber(n) { return typeof n === 'number' ? n : n.toNumber(); }
function ffRun(c) { var r = ffAdmin.runCommand(c); if (r.ok !== 1) { throw new Error(((r.codeName || '') + ' ' + (r.errmsg || 'refused')).trim()); } return r; }
function ffFacts() { ffSay(function () { var s = ffRun({serverStatus: 1}), o = ffRun({getCmdLineOpts: 1}).parsed.storage || {}; return ['facts', s.version, s.process, ffNumber(s.pid), (s.storageEngine || {}).name, (s.repl || {}).setName || '-', (s.repl || {}).secondary === true ? 'secondary' : 'other', o.dbPath || '/data/db'].join(' '); }); }
function ffLock(ms) { ffSay(function () { return 'count ' + ffNumber(ffRun({fsync: 1, lock: true, maxTimeMS: ms, comment: 'freezeframe'}).lockCount); }); }
function ffHeld() { ffSay(function () { return 'held ' + (ffRun({currentOp: 1, '$ownOps': true}).fsyncLock === true); }); }
function ffTime() { ffSay(function () { var t = ffRun({isMaster: 1}).lastWrite.opTime.ts; return 'optime ' + (t.getHighBits ? t.getHighBits() + '.' + t.getLowBits() : t.t + '.' + t.i); }); }
function ffUnlock() { ffSay(function () { var n; try { n = ffNumber(ffRun({fsyncUnlock: 1}).lockCount); } catch (e) { if (!/not locked/.test(e.message)) { throw e; } n = 'none ' + e.message; } ffDone = true; return 'count ' + n; }); }
function ffEnd() { if (!ffDone) { ffUnlock(); } }
END
    if [ "$CREDENTIALS_FILE" != auto ]; then
        SW_USER='' SW_PASSWORD='' SW_DATABASE=''
        { IFS= read -r SW_USER && IFS= read -r SW_PASSWORD && IFS= read -r SW_DATABASE; } <"$CREDENTIALS_FILE" || :
        printf 'ffSay(function () { return "login " + (db.getSiblingDB("%s").auth("%s", "%s") ? 1 : 0); });\n' "$(quoted "${SW_DATABASE:-admin}")" "$(quoted "$SW_USER")" "$(quoted "$SW_PASSWORD")"
    fi
}
quoted() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

# said TEXT: the last of the words that were meant for us, in WORDS. A prompt may stand before them.
said() { WORDS=$(printf '%s\n' "$1" | sed -n 's/.*freezeframe said //p' | tail -n 1); }

# ask WORD: in a short session of its own, at most 15 s; WORDS
ask() {
    ASKED=$(
        {
            say_words
            printf '%s\n' "ffDone = true;" "$1"
        } | (LIMIT_CLIENT=15; mongo_shell) 2>&1
    )
    said "$ASKED"
}

recipe_preflight() {
    if [ "$CREDENTIALS_FILE" != auto ] && [ ! -r "$CREDENTIALS_FILE" ]; then refuse db-denied "credentialsFile $CREDENTIALS_FILE cannot be read"; fi
    ask 'ffFacts();'
    case $WORDS in
    facts\ *) ;;
    *[Uu]nauthorized* | *[Aa]uthentication* | *'not authorized'* | login\ 0*) refuse db-denied "$WORDS" ;;
    *) refuse db-unreachable "${WORDS:-$ASKED}" ;;
    esac
    # shellcheck disable=SC2086 # words; the path, which comes last, is cut off below
    set -- $WORDS
    if [ $# -lt 8 ]; then refuse db-unreachable "no answer about the server: $WORDS"; fi
    DB_VERSION=$2 SERVER=$4
    DATADIR=${WORDS#"$1 $2 $3 $4 $5 $6 $7 "}
    REPLICA=false
    if [ "$7" = secondary ]; then REPLICA=true; fi
    case $3 in mongod*) ;; *) refuse unsupported-server "$3 holds no data of its own: give this document to the members behind it" ;; esac
    if [ "$5" != wiredTiger ]; then refuse unsupported-server "the storage engine $5 is not handled, only wiredTiger"; fi
    first_line "$DATADIR/mongod.lock"
    if [ "$LINE_1" != "$SERVER" ]; then refuse other-server "the server that answers (process $SERVER in $DATADIR) is not a process of this machine"; fi
    ASKED=$PORT
    prove_server "$SERVER" "$DATADIR/mongod.lock" "$ASKED"
    say_engine mongodb
    if [ "$6" != - ]; then emit note "text=member of the replica set $6, $7; writes elsewhere that wait for it (w:majority) may wait as long as it is locked"; fi
    refuse_uncovered dbPath "$DATADIR"
    if [ -e "$DATADIR/journal" ]; then refuse_uncovered journal "$DATADIR/journal"; fi
    # Databases, collections and indexes that were moved away by a link or a mount of their own (directoryPerDB, directoryForIndexes)
    say_moved './diagnostic\.data(/.*)?|.*\.(pem|key|log)'
}

open_session() {
    SESSION=''
    fit_lock_wait
    open_client || return 1
    say "$(say_words)" 15000 || return 1
    if [ "$CREDENTIALS_FILE" != auto ]; then
        said "$SAID"
        SAY_ERROR=$WORDS
        if [ "$WORDS" != 'login 1' ]; then return 1; fi
    fi
    alive client || return 1
    SESSION=$AL_PID
    same_server "$PORT"
}

recipe_flush() { open_session || :; }

recipe_lock() {
    begin_lock "the lock" || return
    while try_again; do
        window_begins
        STOP_TEXT="no room in $JOBS"
        mark "$S/dblocked" || break
        say "ffLock($((LOCK_WAIT * 1000)));" $((LOCK_WAIT * 1000 + 2000))
        SAY_RC=$?
        said "$SAID"
        if [ $SAY_RC -eq 0 ] && [ "$WORDS" = 'count 1' ]; then
            locked fsync-lock
            if say 'ffTime();' 2000; then
                said "$SAID"
                if matches "$WORDS" '^optime [0-9]+\.[0-9]+$'; then emit position name=optime "value=${WORDS#optime }"; fi
            fi
            return 0
        fi
        may_go_on || return 1
        STOP_TEXT=${WORDS:-the lock did not come in time}
        case $WORDS in
        count\ *)
            stop lock-timeout 'somebody else holds the lock as well'
            return
            ;;
        *[Uu]nauthorized* | *'not authorized'*)
            rm -f "$S/dblocked"
            STOP_CODE=db-denied
            return 1
            ;;
        error*) rm -f "$S/dblocked" ;;
        *) break ;;
        esac
    done
    lock_failed
}

recipe_alive() {
    # It may write its audit log to a frozen filesystem first.
    say 'ffHeld();' "${1:-2000}"
    SAY_RC=$?
    said "$SAID"
    if [ $SAY_RC -eq 0 ] && [ "$WORDS" = 'held true' ]; then
        say_alive
        return 0
    fi
    if [ $SAY_RC -eq 2 ] && [ -z "${1:-}" ]; then return 2; fi
    STOP_TEXT="the session that locked does not say that the lock is held: ${WORDS:-silence}"
    return 1
}

recipe_unlock() {
    has_session || return 0
    if [ -e "$S/dblocked" ]; then
        if alive client && say 'ffUnlock();' 5000; then
            said "$SAID"
            case $WORDS in count\ *) rm -f "$S/dblocked" ;; esac
        fi
    else
        say 'ffDone = true;' 2000 || :
    fi
    # Its input ends, and with it the session; if it did not unlock yet, it does now.
    close_client ''
    unlocked
}

# Not by ending the kept session: it is the one that can unlock.
recipe_kill() {
    if [ ! -e "$S/dblocked" ]; then
        end_process client
        return
    fi
    ask 'ffUnlock();'
    case $WORDS in count\ *) rm -f "$S/dblocked" ;; esac
}

main "$@"
