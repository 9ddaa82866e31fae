# shellcheck shell=bash
# A command that waited in the agent while the machine was restarted: nobody waits for it any more, and what it would have met in memory is gone.

# waiting ID: as the agent has it, the script's directory made
waiting() {
    COMMAND_ID=$1
    AGENT=$W/agent
    rm -rf "$AGENT/idempotency" "$AGENT/document"
    mkdir -p "$AGENT/document/orchestration/$1/awsrunShellScript/0.awsrunShellScript" "$AGENT/document/state/current" "$AGENT/idempotency/RunCommand/$1"
}
booted() { sed -n 's/^btime //p' /proc/stat; }
created() { # SECONDS before the start
    printf '{\n  "DocumentInformation": {\n    "DocumentID": "%s",\n    "CreatedDate": "%s",\n    "RunCount": 0\n  }\n}\n' "$COMMAND_ID" "$(date -u -d "@$(($(booted) - $1))" +%Y-%m-%dT%H:%M:%S.123Z)" \
        >"$AGENT/document/state/current/$COMMAND_ID"
}
refused_as_old() { expect 206 before-boot && thawed "$W/data" && [ "$(order)" = 'hello error end' ] || { fail "$WHY $(order)"; return 1; }; }

test_boot_a_command_from_before_it_freezes_nothing() {
    local MARKERS=yes COMMAND_ID AGENT
    outer
    # The agent noted it a minute before the machine started.
    waiting dddddddd-0000-4000-8000-000000000001
    touch -d "@$(($(booted) - 60))" "$AGENT/idempotency/RunCommand/$COMMAND_ID"
    run $FS pre-script "executionId=$JOB1" && refused_as_old || return 1
    run $FS pre-script "executionId=$JOB1" && refused_as_old || return 1
    # That note is gone; the service's time of it is left.
    waiting dddddddd-0000-4000-8000-000000000002
    rm -r "$AGENT/idempotency"
    created 3600
    run $FS pre-script "executionId=$JOB1" && refused_as_old || return 1
    # It began before the restart, and is run again.
    waiting dddddddd-0000-4000-8000-000000000003
    touch -d "@$(($(booted) - 60))" "$AGENT/document/orchestration/$COMMAND_ID"
    run $FS pre-script "executionId=$JOB1" && refused_as_old || return 1
    fake ok
    run $FS snapshot "executionId=$JOB2" && refused_as_old && [ "$(calls)" = 0 ] || { fail "snapshot: $WHY"; return 1; }
    # One that thaws does its work, however old.
    run $FS post-script "executionId=$JOB3" && expect 205 not-frozen || return 1
    # And one of now freezes; the service's clock and this one may differ by minutes.
    waiting dddddddd-0000-4000-8000-000000000004
    created 120
    run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    frozen "$W/data" || { fail 'not frozen'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0
}
