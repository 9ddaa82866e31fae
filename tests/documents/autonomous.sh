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
    [ "$(ls -A /run/freezeframe)" = mutex ] || { fail "state left: $(ls -A /run/freezeframe)"; return 1; }
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
