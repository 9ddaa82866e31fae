# shellcheck shell=bash
# What the document itself ends with. The agent takes 194 for the wish to reboot the instance, and other numbers for ends of its own (137 for a script
# that it has killed): whatever a program that a document calls ends with, its own exit code is one of the contract's.

# stand_in TOOL LINE…: in the place of the tool that the documents would find; $REAL in a line is the tool itself
stand_in() {
    local tool=$1
    shift
    AT=''
    for AT in {/usr/sbin,/usr/bin,/sbin,/bin,/usr/local/sbin,/usr/local/bin}/"$tool"; do if [ -x "$AT" ]; then break; fi; done
    if [ ! -x "$AT" ]; then return 1; fi
    AT=$(readlink -f "$AT")
    # For `run` itself, which finds its tools by PATH, and the documents do not.
    mkdir -p "$W/standin/real"
    if [ ! -e "$W/standin/real/$tool" ]; then cp "$AT" "$W/standin/real/$tool"; fi
    # A client may still run the last one.
    rm -f "$W/standin/$tool"
    { printf '%s\n' '#!/bin/sh' "REAL=${REAL_CLIENT:-$W/standin/real/$tool}" "$@"; } >"$W/standin/$tool"
    chmod 755 "$W/standin" "$W/standin/real" "$W/standin/$tool"
    mount --bind "$W/standin/$tool" "$AT"
}
real_again() { umount "$AT" 2>/dev/null || umount -l "$AT"; }
run_aside() { PATH=$W/standin/real:$PATH run "$@"; }

# An end of the contract, and the one that the last line tells
within_contract() {
    case $RC in 0 | 20[1-6]) ;; *) fail "$1: exit $RC"; return 1 ;; esac
    [ "$(events 'last | "\(.t) \(.exit)"')" = "end $RC" ] || { fail "$1: exit $RC, told $(events last)"; return 1; }
}

# The dangerous ends, at once, after the work is done, and of the one session that is kept while its work is to be done. 3010, a reboot for Windows, is 194 in a shell's eight bits.
# shellcheck disable=SC2016 # words of the stand-in
BAD_ENDS='exit^3010 kill^-KILL^$$ "$REAL"^"$@";exit^194 if^[^-p^/dev/stdin^];then^"$REAL"^"$@";kill^-KILL^$$;fi;exec^"$REAL"^"$@"'

# whatever_it_ends_with DOCUMENT TOOL [NAME=VALUE…]: each command of the document while the tool ends like that
whatever_it_ends_with() {
    local doc=$1 tool=$2 bad command
    shift 2
    for bad in $BAD_ENDS; do
        for command in dry-run pre-script post-script; do
            stand_in "$tool" "${bad//^/ }" || { WHY="SKIPPED no $tool here"; return 0; }
            run_aside "$doc" "$command" "executionId=$JOB1" "$@"
            real_again
            within_contract "$tool, ${bad//^/ }, $command" || return 1
            # Nothing more to see of one that does not even look.
            if [ "$RC" = 206 ]; then break; fi
        done
        after_test
    done
    # The last of them came to its own end.
    [ "$RC" = 0 ] && [ "$command" = post-script ] || { fail "the session's end: $command, exit $RC"; return 1; }
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

test_exits_of_mysql() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    local tool=mariadb
    command -v mariadb >/dev/null || tool=mysql
    outer
    whatever_it_ends_with $DB $tool "socket=$SOCK"
}

test_exits_of_postgresql() {
    pg_here || return
    outer
    # Debian's psql looks for its server's version by the name that it is called by.
    REAL_CLIENT=$PG_BIN/psql whatever_it_ends_with $PG psql "socketDirectory=$W/pg" "port=$PORT"
}

test_exits_of_redis() {
    redis_here aof || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    outer
    whatever_it_ends_with $RD redis-cli "socket=$W/redis/sock"
    local rc=$?
    stop_redis
    return $rc
}

test_exits_of_mongodb_stand_in() {
    local bad command
    mongo_here
    outer
    for bad in $BAD_ENDS; do
        bad=${bad//^/ }
        printf '%s\n' '#!/bin/sh' "REAL=$MONGO/shell" "$bad" >"$MONGO/ends"
        chmod 755 "$MONGO/ends"
        for command in dry-run pre-script post-script; do
            run $MG $command "executionId=$JOB1" "client=$MONGO/ends"
            within_contract "$bad, $command" || return 1
            if [ "$RC" = 206 ]; then break; fi
        done
        after_test
        mongo_here
    done
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

# What every document calls; and for linux-mount what only that does.
test_exits_of_the_systems_tools() {
    local tool bad
    outer
    # Not setsid after its work: whatever was to live on would, and the stand-in with it.
    for tool in fsfreeze setsid flock stat 'fsfreeze after' 'findmnt after' 'sync after'; do
        bad='exit 194'
        # shellcheck disable=SC2016 # words of the stand-in
        case $tool in *after) bad='"$REAL" "$@"; kill -KILL $$' ;; esac
        stand_in "${tool% after}" "$bad" || { fail "no $tool"; return 1; }
        run_aside $FS pre-script "executionId=$JOB1" budgetSeconds=5
        if [ "$RC" = 0 ]; then
            within_contract "$tool" || { real_again; return 1; }
            run_aside $FS post-script "executionId=$JOB1"
        fi
        real_again
        within_contract "$tool" || return 1
        after_test
    done
    copies || return 1
    for tool in mount blkid findmnt; do
        for bad in 'exit 194' 'kill -KILL $$'; do
            stand_in $tool "$bad" || continue
            run_aside $MT mount "volumeId=$V3" "mountPoint=$W/restored" waitSeconds=1
            real_again
            within_contract "linux-mount, $tool, $bad" || return 1
            if mountpoint -q "$W/restored"; then umount "$W/restored"; fi
        done
    done
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

test_exits_of_the_client_that_calls_ec2() {
    local bad
    outer
    for bad in 'exit 194' 'kill -KILL $$' '"$REAL" "$@"; exit 194' '"$REAL" "$@"; kill -KILL $$'; do
        fake ok
        stand_in curl "$bad" || { fail 'no curl'; return 1; }
        run_aside $FS snapshot "executionId=$JOB1" budgetSeconds=5
        real_again
        within_contract "$bad" || return 1
        after_test
    done
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

# A signal that can be caught is a failure and no number of its own (143, 129).
test_exits_of_a_command_that_is_told_to_end() {
    local signal
    for signal in TERM HUP; do
        outer
        start $FS pre-script "executionId=$JOB1" budgetSeconds=5
        await 10 test -d "/run/freezeframe/$JOB1" || { fail 'never began'; return 1; }
        kill -$signal "$GROUP"
        await 20 gone "$GROUP" || { fail "$signal: hangs"; return 1; }
        wait "$GROUP"; RC=$?
        [ "$RC" = 201 ] || { fail "$signal: exit $RC"; return 1; }
        await 8 thawed "$W/data" && await 2 thawed "$W/logs" || { fail "$signal: still frozen"; return 1; }
        after_test
    done
}
