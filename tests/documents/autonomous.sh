# shellcheck shell=bash
# Autonomous mode: the script calls EC2 itself. What answers is a small fake (fake_ec2.py) that says how the request came.

fake() { # MODE…: the fake behaves so from now on, its log begins anew
    F=$W/fake
    mkdir -p "$F"
    printf '%s\n' "$*" >"$F/mode"
    : >"$F/log"
    if [ ! -s "$F/pid" ] || gone "$(cat "$F/pid")"; then
        rm -f "$F/port"
        setsid python3 "$HERE/documents/fake_ec2.py" "$F" </dev/null >/dev/null 2>"$F/err" &
        echo $! >"$F/pid"
        disown $!
        await 10 test -s "$F/port" || { fail "the fake does not start: $(cat "$F/err")"; return 1; }
    fi
    export AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:$(cat "$F/port")/imds/i-0123456789abcdef0"
    export AWS_ENDPOINT_URL_EC2="http://127.0.0.1:$(cat "$F/port")"
}
stop_fake() { if [ -s "$W/fake/pid" ]; then kill "$(cat "$W/fake/pid")" 2>/dev/null; fi; }
calls() { grep -c '^CALL' "$F/log"; }
called_once() {
    [ "$(calls)" = 1 ] || { fail "$(calls) calls"; return 1; }
    grep -q '^CALL CreateSnapshots .* missing=nothing$' "$F/log" || { fail "$(cat "$F/log")"; return 1; }
}
clean() { # nothing frozen, nothing left
    thawed "$W/data" && thawed "$W/logs" || { fail 'still frozen'; return 1; }
    [ "$(ls -A /run/freezeframe | grep -Ev '^(over|seen)[.]')" = mutex ] || { fail "state left: $(ls -A /run/freezeframe)"; return 1; }
    # No secret in any output
    if grep -q planted "$W/out" "$W/err"; then fail 'a secret in the output'; return 1; fi
}
# The events without the mounts
story() { order | sed 's/^hello \(mount \)*//'; }

test_auto_happy_path() {
    fake ok && outer
    run $FS snapshot "executionId=$JOB1" && expect 0 || return 1
    [ "$(story)" = 'armed flushed synced prepared frozen frozen ready request answer release thawed thawed snapshot snapshot snapshot disarmed probe probe window end' ] ||
        { fail "$(story)"; return 1; }
    [ "$(events '[.[] | select(.t=="snapshot") | "\(.snapshot) \(.volume) \(.gib)"] | join(",")')" = \
        'snap-0bbbbbbbbbbbbbbb1 vol-0aaaaaaaaaaaaaaa1 9,snap-0bbbbbbbbbbbbbbb2 vol-0aaaaaaaaaaaaaaa2 10,snap-0bbbbbbbbbbbbbbb3 vol-0aaaaaaaaaaaaaaa9 11' ] || { fail snapshots; return 1; }
    [ "$(events '.[] | select(.t=="answer") | [.ok, .status] | join(" ")')" = 'true 200' ] || { fail answer; return 1; }
    [ "$(events '.[] | select(.t=="prepared") | [.how, .region] | join(" ")')" = 'curl eu-central-1' ] || { fail prepared; return 1; }
    [ "$(events '[.[] | select(.t=="thawed") | .ok] | all')" = true ] || { fail 'thaw not ours'; return 1; }
    [ "$(events '[.[] | select(.t=="frozen") | .mount] | join(" ")')" = "$W/data $W/logs" ] || { fail 'frozen in another order'; return 1; }
    [ "$(events '[.[] | select(.t=="thawed") | .mount] | join(" ")')" = "$W/logs $W/data" ] || { fail 'thawed in another order'; return 1; }
    called_once && clean
}

# What is left out of the set is left out of the dry run too, which proves the very call that will be made.
test_auto_leaves_volumes_and_tags_out() {
    local out=root,tags,vol-0aaaaaaaaaaaaaaa2,vol-0aaaaaaaaaaaaaaa9
    fake leave-out && outer
    run $FS dry-run mode=autonomous leaveOut=$out && expect 0 || return 1
    grep -q '^DRY CreateSnapshots .* missing=nothing$' "$F/log" || { fail "$(cat "$F/log")"; return 1; }
    run $FS snapshot "executionId=$JOB1" leaveOut=$out && expect 0 && called_once && clean || return 1
}

test_auto_refusals_and_lost_answers_thaw_and_say_what_is_known() {
    local how want
    for how in 'refused snapshot-refused 403/UnauthorizedOperation' 'throttled snapshot-refused 503/RequestLimitExceeded' \
        'broken snapshot-unknown 500/InternalError' 'lost snapshot-unknown 0/'; do
        # shellcheck disable=SC2086
        set -- $how
        fake "$1" && outer
        run $FS snapshot "executionId=$JOB1" && expect 201 "$2" || { WHY="$1: $WHY"; return 1; }
        want=$(events '.[] | select(.t=="answer") | "\(.ok) \(.status)/\(.code)"')
        [ "$want" = "false $3" ] || { fail "$1: answer is $want"; return 1; }
        [ "$(story)" = 'armed flushed synced prepared frozen frozen ready request answer error thawed thawed disarmed probe probe window end' ] || { fail "$1: $(story)"; return 1; }
        [ "$(events '[.[] | select(.t=="thawed") | .ok] | all')" = true ] || { fail "$1: thaw not ours"; return 1; }
        called_once && clean || { WHY="$1: $WHY"; return 1; }
        after_test
    done
}

# A maintenance window gives no id: each set gets one of its own. And a recipe of the user's own on this document gives its name.
test_auto_without_an_id_makes_its_own_and_a_recipe_has_its_name() {
    local MARKERS=yes id ids='' n
    outer
    for n in 1 2; do
        fake ok
        COMMAND_ID=bbbbbbbb-0000-4000-8000-00000000000$n run $FS snapshot && expect 0 || return 1
        id=$(events 'first.job')
        [[ $id =~ ^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$ ]] || { fail "the id is $id"; return 1; }
        case $ids in *"$id"*) fail 'the same id twice'; return 1 ;; esac
        ids="$ids $id"
        grep -q "^CALL CreateSnapshots $id recipe=$FS missing=nothing$" "$F/log" || { fail "$(cat "$F/log")"; return 1; }
        called_once && clean || return 1
        [ -e "/run/freezeframe/over.$id" ] || { fail 'no marker'; return 1; }
        COMMAND_ID=bbbbbbbb-0000-4000-8000-00000000000$n run $FS snapshot && expect 204 repeated || return 1
        called_once || return 1
    done
    fake ok
    run $FS snapshot "executionId=$JOB1" recipe=my-app.2 && expect 0 || return 1
    [ "$(events 'first.recipe')" = $FS ] || { fail "hello tells of another document: $(events 'first.recipe')"; return 1; }
    grep -q "^CALL CreateSnapshots $JOB1 recipe=my-app.2 missing=nothing$" "$F/log" || { fail "$(cat "$F/log")"; return 1; }
    run $FS snapshot "executionId=$JOB2" "recipe=a b" && expect 206 bad-parameter && called_once
}

# The defect of ec2-consistent-snapshot: a call that takes longer than the freeze may. The holder gives up before the failsafe has to act.
test_auto_slow_call_is_given_up_within_the_budget() {
    fake slow=40 && outer
    run $FS snapshot "executionId=$JOB1" budgetSeconds=4 && expect 201 snapshot-unknown || return 1
    [ "$(events '.[] | select(.t=="answer") | "\(.ok) \(.status)"')" = 'false 0' ] || { fail answer; return 1; }
    [ "$(events '[.[] | select(.t=="disarmed") | .fired] | any')" = false ] || { fail 'left to the failsafe'; return 1; }
    [ "$(events '.[] | select(.t=="window") | .window_ms < 4000')" = true ] || { fail 'held longer than the budget'; return 1; }
    called_once && clean
}

test_auto_partial_list_is_told_as_it_is() {
    fake partial && outer
    run $FS snapshot "executionId=$JOB1" && expect 0 || return 1
    [ "$(events '[.[] | select(.t=="snapshot") | .volume] | join(" ")')" = 'vol-0aaaaaaaaaaaaaaa1 vol-0aaaaaaaaaaaaaaa2' ] || { fail snapshots; return 1; }
    called_once && clean
}

test_auto_nothing_is_touched_without_metadata_role_or_credentials() {
    local how
    for how in 'no-metadata no-metadata' 'no-role no-credentials' 'expired no-credentials'; do
        fake "${how% *}"
        run $FS snapshot "executionId=$JOB1" && expect 206 "${how#* }" || { WHY="$how: $WHY"; return 1; }
        [ "$(events '[.[] | select(.t=="armed" or .t=="frozen")] | length')" = 0 ] || { fail "$how: $(order)"; return 1; }
        [ "$(calls)" = 0 ] && clean || return 1
    done
    fake ok
    # Nothing listens there.
    AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9 run $FS snapshot && expect 206 no-metadata || return 1
    AWS_EC2_METADATA_SERVICE_ENDPOINT='http://127.0.0.1/"' run $FS snapshot && expect 206 no-metadata
}

test_auto_dry_run_proves_the_right_and_makes_nothing() {
    fake ok
    run $FS dry-run mode=autonomous && expect 0 || return 1
    [ "$(events '.[] | select(.t=="prepared") | .how')" = curl ] || { fail 'no prepared'; return 1; }
    [ "$(calls)" = 0 ] && [ "$(grep -c '^DRY .* missing=nothing$' "$F/log")" = 1 ] || { fail "$(cat "$F/log")"; return 1; }
    fake refused
    run $FS dry-run mode=autonomous && expect 206 snapshot-refused || return 1
    fake no-role
    run $FS dry-run mode=autonomous && expect 206 no-credentials || return 1
    : >"$F/log"
    run $FS dry-run && expect 0 || return 1
    [ ! -s "$F/log" ] || fail 'a coordinated dry-run asks for credentials'
}

called() { grep -q '^CALL' "$F/log"; }
pid_of() { events ".[] | select(.t==\"armed\") | .$1"; }
recorded() { cut -d' ' -f1 "/run/freezeframe/$JOB1/$1"; }

# Neither in an argument nor in a file, while the call is under way.
test_auto_secrets_are_in_no_argument_and_no_file() {
    fake slow=2 && outer
    local args files
    start $FS snapshot "executionId=$JOB1"
    await 15 called || { fail 'no call'; return 1; }
    args=$(for p in /proc/[0-9]*; do tr '\0' ' ' <"$p/cmdline"; done 2>/dev/null | grep -a 'plante[d]/')
    files=$(grep -rl planted /run/freezeframe "$W/agent" 2>/dev/null; find /run/freezeframe -type f ! -perm 600 ! -name script)
    await 20 gone "$GROUP" || { fail 'hangs'; return 1; }
    wait "$GROUP"; RC=$?
    expect 0 || return 1
    [ -z "$args" ] || { fail "in an argument: $args"; return 1; }
    [ -z "$files" ] || { fail "in a file: $files"; return 1; }
    clean
}

test_auto_killed_holder_and_killed_guard_during_the_call() {
    fake slow=8 && outer
    start $FS snapshot "executionId=$JOB1" budgetSeconds=20
    await 15 called || { fail 'no call'; return 1; }
    frozen "$W/data" || { fail 'not frozen'; return 1; }
    kill -KILL "$(recorded holder.up)"
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'frozen after the death of the holder'; return 1; }
    await 8 gone "$GROUP" || { fail 'hangs'; return 1; }
    wait "$GROUP"; RC=$?
    expect 203 failsafe-fired && clean || return 1
    [ "$(events '[.[] | select(.t=="thawed") | .ok] | join(" ")')" = 'false false' ] || { fail "$(order)"; return 1; }
    after_test

    fake slow=8 && outer
    start $FS snapshot "executionId=$JOB1" budgetSeconds=20
    await 15 called || { fail 'no call'; return 1; }
    kill -KILL "$(recorded guard.up)"
    await 4 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'frozen after the death of the guard'; return 1; }
    await 8 gone "$GROUP" || { fail 'hangs'; return 1; }
    wait "$GROUP"; RC=$?
    expect 201 snapshot-unknown && called_once && clean
}

# The agent kills the command's whole process group. Before the request nothing is made of it; after it the job goes to its end, and post-script tells it.
left() { [ -p "/run/freezeframe/$JOB1/$1" ] || says '[0-9]' "$1"; }
test_auto_killed_command() {
    local mark
    for mark in guard.up holder.up call gate.thaw; do
        fake ok && outer
        start $FS snapshot "executionId=$JOB1" budgetSeconds=5
        await 10 left "$mark" || { fail "never reached $mark"; return 1; }
        kill -KILL -- "-$GROUP" 2>/dev/null
        wait "$GROUP" 2>/dev/null
        await 8 thawed_and_quiet || { fail "frozen after a kill at $mark"; return 1; }
        [ "$(calls)" -le 1 ] || { fail "$(calls) calls"; return 1; }
        after_test
    done
    fake slow=2 && outer
    start $FS snapshot "executionId=$JOB1"
    await 10 called || { fail 'no call'; return 1; }
    kill -KILL -- "-$GROUP" 2>/dev/null
    wait "$GROUP" 2>/dev/null
    frozen "$W/data" || { fail 'the kill has thawed it'; return 1; }
    await 8 thawed_and_quiet || { fail 'still at work'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    [ "$(order)" = 'hello armed flushed synced prepared frozen frozen ready request answer release thawed thawed snapshot snapshot snapshot disarmed probe probe window end' ] ||
        { fail "$(order)"; return 1; }
    called_once && clean
}

test_auto_post_script_stops_a_job_and_finds_none_later() {
    fake slow=20 && outer
    start $FS snapshot "executionId=$JOB1"
    await 10 called || { fail 'no call'; return 1; }
    local first=$GROUP
    cp "$W/out" "$W/out.before"
    # run writes the same files as start: a second place for the first one's
    RUN=$((RUN + 1)); render $FS "$W/agent/$RUN.sh" command=post-script "executionId=$JOB1"
    setsid -w "$W/agent/$RUN.sh" </dev/null >"$W/post" 2>&1
    local rc=$?
    await 5 gone "$first" || { fail 'the job goes on'; return 1; }
    wait "$first"; RC=$?
    expect 201 snapshot-unknown || return 1
    [ "$(events '[.[] | select(.t=="thawed") | .ok] | join(" ")')" = 'true true' ] || { fail "$(order)"; return 1; }
    local last; last=$(events last.seq)
    mv "$W/post" "$W/out"; RC=$rc
    expect 205 not-frozen || return 1
    [ "$(events first.seq)" -gt "$last" ] || { fail 'seq does not go on'; return 1; }
    [ "$(events '[.[] | select(.t=="probe") | .frozen] | any')" = false ] || { fail 'says frozen'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 205 not-frozen && called_once && clean
}

test_auto_two_jobs_and_a_frozen_instance() {
    fake ok && outer
    run $FS pre-script "executionId=$JOB2" && expect 0 || return 1
    run $FS snapshot "executionId=$JOB1" && expect 204 busy || return 1
    MARKERS=yes run $FS post-script "executionId=$JOB2" && expect 0 || return 1
    MARKERS=yes run $FS snapshot "executionId=$JOB1" && expect 204 repeated || return 1
    fsfreeze -f "$W/logs"
    run $FS snapshot "executionId=$JOB1" && expect 206 already-frozen || return 1
    frozen "$W/logs" || { fail "thawed another owner's"; return 1; }
    fsfreeze -u "$W/logs"
    [ "$(calls)" = 0 ] && clean
}

# Where curl cannot sign, the AWS CLI makes the call.
test_auto_aws_cli_where_curl_cannot_sign() {
    local cli curl rc
    cli=$(pyenv which aws 2>/dev/null || command -v aws) || { WHY='SKIPPED no AWS CLI'; return 0; }
    curl=$(command -v curl)
    mkdir -p "$W/cli" "$W/bin"
    cp "$curl" "$W/bin/curl.real"
    printf '#!/bin/sh\nfor a; do case $a in --aws-sigv4) exit 2 ;; esac; done\nexec %s "$@"\n' "$W/bin/curl.real" >"$W/bin/curl"
    printf '#!/bin/sh\nexec %s "$@"\n' "$cli" >"$W/cli/aws"
    chmod 755 "$W/bin/curl" "$W/cli/aws"
    mount --bind "$W/bin/curl" "$curl" && mount --bind "$W/cli" /usr/local/bin || return 1
    fake ok && outer
    run $FS dry-run mode=autonomous && expect 0 && [ "$(events '.[] | select(.t=="prepared") | .how')" = aws-cli ] && run $FS snapshot "executionId=$JOB1" && expect 0
    rc=$?
    [ "$(events '[.[] | select(.t=="snapshot") | .gib] | join(" ")')" = '9 10 11' ] || { fail "no snapshots told: $WHY"; rc=1; }
    called_once || rc=1
    fake leave-out
    [ $rc != 0 ] || { run $FS snapshot "executionId=$JOB2" leaveOut=root,tags,vol-0aaaaaaaaaaaaaaa2,vol-0aaaaaaaaaaaaaaa9 && expect 0 && called_once; } || rc=1
    fake refused
    [ $rc != 0 ] || { run $FS snapshot "executionId=$JOB1" && expect 201 snapshot-refused; } || rc=1
    mount --bind "$W/bin" /usr/local/bin
    [ $rc != 0 ] || { run $FS snapshot && expect 206 no-client; } || rc=1
    umount /usr/local/bin; umount /usr/local/bin; umount "$curl"
    return $rc
}

# `pip install --user` puts the client and what it imports below root's home; and a client that does not run is told as that.
test_auto_aws_cli_of_pip_for_one_user() {
    local curl rc
    curl=$(readlink -f "$(command -v curl)")
    mkdir -p "$W/bin" "$W/cli"
    cp "$curl" "$W/bin/curl.real"
    printf '#!/bin/sh\nfor a; do case $a in --aws-sigv4) exit 2 ;; esac; done\nexec %s "$@"\n' "$W/bin/curl.real" >"$W/bin/curl"
    chmod 755 "$W/bin/curl"
    if [ -n "$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v aws)" ]; then WHY='SKIPPED an AWS CLI of the system comes first'; return 0; fi
    rm -f "$W/cli/aws"
    fake ok
    mount --bind "$W/bin/curl" "$curl" && mount --bind "$W/cli" /usr/local/bin && mount -t tmpfs tmpfs /root || return 1
    mkdir -p /root/.local/bin "$(HOME=/root /usr/bin/python3 -m site --user-site)"
    cat >"$(HOME=/root /usr/bin/python3 -m site --user-site)/awsclistandin.py" <<'END'
import sys
def main():
    if "--version" in sys.argv: print("aws-cli/1.0")
    elif "--dry-run" in sys.argv: sys.exit("An error occurred (DryRunOperation) when calling it")
END
    printf '#!/usr/bin/python3\nimport awsclistandin\nawsclistandin.main()\n' >/root/.local/bin/aws
    chmod 755 /root/.local/bin/aws
    run $FS dry-run mode=autonomous && expect 0 && { [ "$(events '.[] | select(.t=="prepared") | .how')" = aws-cli ] || fail 'another client'; }
    rc=$?
    rm -r /root/.local/lib
    [ $rc != 0 ] || { run $FS dry-run mode=autonomous && expect 206 no-client && { complaint | grep -q "the AWS CLI (/root/.local/bin/aws) does not run: ModuleNotFoundError" || fail "$(complaint)"; }; } || rc=1
    [ $rc != 0 ] || ! ls -d /run/freezeframe-* 2>/dev/null || { fail 'a dry run leaves something behind'; rc=1; }
    umount /root; umount /usr/local/bin; umount "$curl"
    return $rc
}

# What only says that it can sign, or leaves the token out, is found out without the network.
test_auto_curl_that_cannot_sign_or_leaves_the_token_unsigned() {
    local curl rc=0 how
    curl=$(readlink -f "$(command -v curl)")
    mkdir -p "$W/bin" "$W/cli"
    cp "$curl" "$W/bin/curl.real"
    printf '#!/bin/sh\nexit 0\n' >"$W/cli/aws"
    chmod 755 "$W/cli/aws"
    fake ok
    for how in 4 48 7.81.0 7.76.1 8.2.1; do
        # shellcheck disable=SC2016 # words of the stand-in
        case $how in
        *.*) printf '#!/bin/sh\nfor a; do if [ "$a" = --version ]; then echo "curl %s (x86_64-pc-linux-gnu) libcurl/%s"; exit; fi; done\nexec %s "$@"\n' $how $how "$W/bin/curl.real" ;;
        # As curl-minimal: the option is taken, and fails at work.
        *) printf '#!/bin/sh\nfor a; do if [ "$a" = --version ]; then exec %s "$@"; fi; done\nfor a; do if [ "$a" = --aws-sigv4 ]; then exit %s; fi; done\nexec %s "$@"\n' "$W/bin/curl.real" $how "$W/bin/curl.real" ;;
        esac >"$W/bin/curl"
        chmod 755 "$W/bin/curl"
        mount --bind "$W/bin/curl" "$curl" && mount --bind "$W/bin" /usr/local/bin || return 1
        unsigned_cases "$how" || rc=1
        umount -l /usr/local/bin; umount -l "$curl"
        [ $rc = 0 ] || { WHY="$how: $WHY"; return 1; }
    done
}
unsigned_cases() { # HOW
    # Without the AWS CLI
    run $FS dry-run mode=autonomous || return 1
    case $1 in
    4 | 48) expect 206 no-client || return 1 ;;
    8*) expect 0 && [ "$(events '[.[] | select(.t=="note")] | length')" = 0 ] || { fail "warned: $WHY"; return 1; } ;;
    *) expect 0 && [ "$(events '.[] | select(.t=="note") | .text')" = "curl $1 leaves the session token unsigned; 7.86 or later signs it, and the AWS CLI does" ] || { fail "not warned: $WHY"; return 1; } ;;
    esac
    # With it
    cp "$W/cli/aws" "$W/bin/aws"
    run $FS dry-run mode=autonomous
    rm "$W/bin/aws"
    case $1 in
    8*) expect 0 && [ "$(events '.[] | select(.t=="prepared") | .how')" = curl ] || { fail "not curl: $WHY"; return 1; } ;;
    # This one ends well and says nothing.
    *) [ "$(events '.[] | select(.t=="error") | .text')" = '200 no code: ' ] && [ "$(events '[.[] | select(.t=="note")] | length')" = 0 ] || { fail "not the AWS CLI: $(order)"; return 1; } ;;
    esac
}

# Nothing is signed that is not sent.
test_auto_signs_no_header_that_is_not_sent() {
    fake ok
    run $FS dry-run mode=autonomous && expect 0 || return 1
    grep -q "^DRY .* missing=nothing$" "$F/log" || { fail "$(cat "$F/log")"; return 1; }
    ! jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$DOCS/$FS.json" | grep -q 'Expect:' || fail 'an Expect line is left'
}

# A database: its lock is held from before the freeze until after the thaw, by one session that still answers after the call.
test_auto_mysql() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    fake ok && outer
    run $DB snapshot "executionId=$JOB1" "socket=$SOCK" && expect 0 || return 1
    case " $(story) " in *' locked '*'synced prepared frozen frozen ready request answer release alive thawed thawed unlocked snapshot '*'disarmed probe probe window end ') ;; *) fail "$(story)"; return 1 ;; esac
    [ "$(events '[.[] | select(.t=="locked" or .t=="alive" or .t=="unlocked") | .session] | unique | length')" = 1 ] || { fail 'not one session'; return 1; }
    [ "$(sql 'INSERT INTO t.m VALUES (11); SELECT 1')" = 1 ] || { fail 'still locked'; return 1; }
    stop_server
    called_once && clean
}

# MongoDB is a stand-in here too (mongodb.sh): its one lock, taken by one session, is kept over the call and given back by the same.
test_auto_mongodb_stand_in() {
    mongo_here
    fake ok && outer
    mongo_run snapshot && expect 0 || return 1
    [ "$(story)" = 'engine note armed flushed locked position synced prepared frozen frozen ready request answer release alive thawed thawed unlocked snapshot snapshot snapshot disarmed probe probe window end' ] ||
        { fail "$(story)"; return 1; }
    [ "$(events '[.[] | select(.t=="locked" or .t=="alive" or .t=="unlocked") | .session] | unique | length')" = 1 ] || { fail 'not one session'; return 1; }
    [ "$(cat "$MONGO/locks")" = 1 ] && mongo_count 0 && [ ! -e "$MONGO/ended" ] || { fail 'locked twice, or not unlocked by its own session'; return 1; }
    called_once && clean || return 1
    after_test
    # Somebody else opened the lock while EC2 was asked: nothing is said to have been held, and nothing of it stays.
    mongo_here
    fake slow=3 && outer
    start $MG snapshot "executionId=$JOB1" "client=$MONGO/shell"
    await 15 called || { fail 'no call'; return 1; }
    mongo_count 1 && frozen "$W/data" || { fail 'not locked, or not frozen, during the call'; return 1; }
    echo 0 >"$MONGO/count"
    await 20 gone "$GROUP" || { fail 'hangs'; return 1; }
    wait "$GROUP"; RC=$?
    expect 201 lock-lost || return 1
    [ "$(events '[.[] | select(.t=="alive")] | length')" = 0 ] && mongo_count 0 || { fail "$(order)"; return 1; }
    called_once && clean || return 1
    after_test
    # The call comes to nothing: unlocked and thawed all the same.
    mongo_here
    fake refused && outer
    mongo_run snapshot && expect 201 snapshot-refused || return 1
    mongo_count 0 && [ ! -e "$MONGO/ended" ] || { fail 'still locked'; return 1; }
    called_once && clean
}
