# shellcheck shell=bash
FS=linux-filesystem
MOUNTED_BOTH() { printf '%s' "mounts=$W/data,$W/logs"; }

test_fs_dry_run_says_what_would_freeze_and_changes_nothing() {
    run $FS dry-run || return 1
    expect 0 || return 1
    [ "$(events "[.[] | select(.t==\"mount\" and .covered) | .mount] | sort == [\"$W/data\",\"$W/logs\"]")" = true ] || { fail 'covered mounts'; return 1; }
    [ "$(events ".[] | select(.mount==\"$W/data\") | .volumes[0]")" = vol-0aaaaaaaaaaaaaaa1 ] || { fail 'volume id'; return 1; }
    [ "$(events '.[] | select(.t=="mount" and .mount=="/") | .covered')" = false ] || { fail 'the root is covered'; return 1; }
    [ ! -e /run/freezeframe ] || fail 'left state behind'
}

test_fs_happy_path() {
    outer
    run $FS pre-script "executionId=$JOB1" || return 1
    expect 0 || return 1
    [ "$(order | sed 's/^hello \(mount \)*//')" = 'armed flushed synced frozen frozen ready end' ] || { fail "pre: $(order)"; return 1; }
    frozen "$W/data" && frozen "$W/logs" || { fail 'not frozen'; return 1; }
    local last; last=$(events last.seq)
    (: >"$W/data/written") &
    local writer=$!
    run $FS post-script "executionId=$JOB1" || return 1
    expect 0 || return 1
    [ "$(order)" = 'hello release thawed thawed disarmed probe probe window end' ] || { fail "post: $(order)"; return 1; }
    [ "$(events first.seq)" -gt "$last" ] || { fail 'seq does not go on over both commands'; return 1; }
    [ "$(events '[.[] | select(.t=="thawed") | .ok] | all')" = true ] || { fail 'thaw not ours'; return 1; }
    [ "$(events '[.[] | select(.t=="thawed") | .mount] | join(" ")')" = "$W/logs $W/data" ] || { fail 'not in reverse order'; return 1; }
    [ "$(events '.[] | select(.t=="window") | .window_ms > 0')" = true ] || { fail 'no window'; return 1; }
    [ "$(events '[.[] | select(.t=="disarmed") | .fired] | any')" = false ] || { fail 'fired'; return 1; }
    [ "$(events '[.[] | select(.t=="probe") | .frozen] | any')" = false ] || { fail 'probe says frozen'; return 1; }
    thawed "$W/data" && thawed "$W/logs" || { fail 'still frozen'; return 1; }
    await 5 gone $writer || { fail 'the writer still waits'; return 1; }
    [ "$(ls -A /run/freezeframe | grep -v "^over\.")" = mutex ] || { fail "state left: $(ls -A /run/freezeframe)"; return 1; }
    # nothing pins the mounts any more
    await 5 no_pins || fail 'a process still holds a mount'
}
no_pins() { [ -z "$(find /proc/[0-9]*/fd -maxdepth 1 -lname "$W/data" 2>/dev/null)" ]; }

test_fs_failsafe_fires_when_post_script_never_comes() {
    outer
    # Enough of a budget that a busy machine still sees the freeze
    run $FS pre-script "executionId=$JOB1" budgetSeconds=8 || return 1
    expect 0 || return 1
    frozen "$W/data" || { fail 'not frozen'; return 1; }
    await 10 thawed "$W/data" && await 1 thawed "$W/logs" || { fail 'not thawed by the budget'; return 1; }
    run $FS post-script "executionId=$JOB1" || return 1
    expect 203 failsafe-fired || return 1
    [ "$(events '[.[] | select(.t=="thawed") | .ok] | any')" = false ] || { fail 'claims a thaw of its own'; return 1; }
    [ "$(events '[.[] | select(.t=="disarmed") | .fired] | all')" = true ] || fail 'does not say fired'
}

# Systems Manager may deliver a command twice: the copy comes when the job is over, and nobody would thaw before the failsafe.
test_fs_a_late_copy_of_pre_script_freezes_nothing() {
    local MARKERS=yes
    outer
    run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    run $FS pre-script "executionId=$JOB1" && expect 204 over || return 1
    thawed "$W/data" || { fail 'the copy froze'; return 1; }
    run $FS post-script "executionId=$JOB2" && expect 205 not-frozen || return 1
    run $FS pre-script "executionId=$JOB2" && expect 204 over || return 1
    thawed "$W/data" || { fail 'pre-script after its own post-script froze'; return 1; }
    # Without an id there is nothing to tell one execution from the next.
    run $FS post-script && expect 205 not-frozen || return 1
    run $FS pre-script && expect 0 || return 1
    run $FS post-script && expect 0
}

# And it may come after a pre-script that failed, which leaves the job open: Data Lifecycle Manager may try the same id again, with another command.
test_fs_a_command_freezes_once_and_a_failed_job_may_be_tried_again() {
    local MARKERS=yes COMMAND_ID
    outer
    fsfreeze -f "$W/logs" || return 1
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000001 run $FS pre-script "executionId=$JOB1" && expect 206 already-frozen || return 1
    fsfreeze -u "$W/logs"
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000001 run $FS pre-script "executionId=$JOB1" && expect 204 repeated || return 1
    thawed "$W/data" || { fail 'the second delivery froze'; return 1; }
    # Killed on its way
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000002 start $FS pre-script "executionId=$JOB1" budgetSeconds=3
    await 10 test -e "/run/freezeframe/$JOB1/holder.up" || { fail 'the holder never came'; return 1; }
    kill -KILL -- "-$GROUP" 2>/dev/null
    wait "$GROUP" 2>/dev/null
    await 6 thawed_and_quiet || { fail 'frozen after the kill'; return 1; }
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000002 run $FS pre-script "executionId=$JOB1" && expect 204 repeated || return 1
    # Another command; while it is at work, its second delivery is told that it is; when it is over, that it is over.
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000003
    run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    frozen "$W/data" || { fail 'not tried again'; return 1; }
    run $FS pre-script "executionId=$JOB1" && expect 204 already-frozen || return 1
    frozen "$W/data" || { fail 'the second delivery thawed'; return 1; }
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000004 run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    run $FS pre-script "executionId=$JOB1" && expect 204 over || return 1
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000005 run $FS pre-script "executionId=$JOB1" && expect 204 over || return 1
    # A job without an id leaves no marker; its commands do.
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000006
    run $FS pre-script && expect 0 || return 1
    run $FS post-script && expect 0 || return 1
    run $FS pre-script && expect 204 repeated || return 1
    # The agent tells it in the environment as well.
    unset COMMAND_ID
    SSM_COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000006 run $FS pre-script && expect 204 repeated || return 1
    thawed "$W/data" || fail 'the second delivery froze'
}

# A refusal is a delivery too, whatever it was refused for: what is delivered again when that has passed freezes nothing, for nobody waits for it.
test_fs_a_command_that_was_refused_freezes_nothing_when_it_is_delivered_again() {
    local MARKERS=yes COMMAND_ID at
    outer
    # Another job is at work.
    run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000001 run $FS pre-script "executionId=$JOB2" && expect 204 busy || return 1
    run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000001 run $FS pre-script "executionId=$JOB2" && expect 204 repeated || return 1
    # The mutex is held for longer than it waits.
    flock /run/freezeframe/mutex sleep 7 &
    PIDS="$PIDS $!"
    COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000002 run $FS pre-script "executionId=$JOB2" && expect 204 busy || return 1
    wait $!
    COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000002 run $FS pre-script "executionId=$JOB2" && expect 204 repeated || return 1
    # A tool is missing, and then it is there.
    at=$(readlink -f "$(command -v fsfreeze)")
    mount --bind /dev/null "$at" || return 1
    COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000003 run $FS pre-script "executionId=$JOB2"
    umount "$at"
    expect 206 no-tool || return 1
    COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000003 run $FS pre-script "executionId=$JOB2" && expect 204 repeated || return 1
    thawed "$W/data" && thawed "$W/logs" || { fail 'a second delivery froze'; return 1; }
    # Another command of that job may still try.
    COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000004 run $FS pre-script "executionId=$JOB2" && expect 0 || return 1
    run $FS post-script "executionId=$JOB2" && expect 0
}

# Two deliveries of a command at the same moment: one freezes.
test_fs_of_two_deliveries_at_the_same_moment_one_freezes() {
    local MARKERS=yes COMMAND_ID=bbbbbbbb-0000-4000-8000-000000000005 n first
    outer
    for n in 1 2 3; do
        rm -f /run/freezeframe/over.* /run/freezeframe/seen.*
        start $FS pre-script "executionId=$JOB1"
        first=$GROUP
        cp "$SCRIPT" "$SCRIPT.again"
        "$SCRIPT.again" >"$W/again" 2>&1 </dev/null
        wait "$first"
        [ "$(cat "$W/out" "$W/again" | grep -c '"t":"ready"')" = 1 ] || { fail "not one of them froze: $(cat "$W/again")"; return 1; }
        [ "$(cat "$W/out" "$W/again" | grep -c '"exit":204')" = 1 ] || { fail 'not one of them was refused'; return 1; }
        run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    done
}

# Where no command's id can be had, a failed pre-script cannot be told from its second delivery: neither freezes.
test_fs_without_a_commands_id_a_failed_job_is_not_tried_again() {
    local MARKERS=yes
    outer
    run $FS pre-script "executionId=$JOB1" mounts=/nowhere && expect 206 not-a-mount || return 1
    run $FS pre-script "executionId=$JOB1" && expect 204 repeated || return 1
    thawed "$W/data" || { fail 'froze'; return 1; }
    run $FS pre-script "executionId=$JOB2" && expect 0 || return 1
    run $FS post-script "executionId=$JOB2" && expect 0
}

test_fs_after_the_failsafe_fired_the_job_is_over_and_says_so_each_time() {
    local MARKERS=yes seq n
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=2 && expect 0 || return 1
    await 4 thawed "$W/data" && await 1 thawed "$W/logs" || { fail 'not thawed by the budget'; return 1; }
    await 2 test -s "/run/freezeframe/over.$JOB1" || { fail 'the failsafe laid no marker'; return 1; }
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000001 run $FS pre-script "executionId=$JOB1" && expect 204 over || return 1
    thawed "$W/data" || { fail 'a later pre-script froze'; return 1; }
    seq=0
    for n in 1 2 3; do
        run $FS post-script "executionId=$JOB1" && expect 203 failsafe-fired || { WHY="time $n: $WHY"; return 1; }
        [ "$(events '[.[] | select(.t=="disarmed") | .fired] | all')" = true ] || { fail "time $n: does not say fired"; return 1; }
        [ "$(events '[.[] | select(.t=="probe") | .frozen] | length == 2 and (any | not)')" = true ] || { fail "time $n: probes"; return 1; }
        [ "$(events 'first.seq')" -gt "$seq" ] || { fail "time $n: begins with number $(events 'first.seq') after $seq"; return 1; }
        seq=$(events 'last.seq')
    done
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000002 run $FS pre-script "executionId=$JOB1" && expect 204 over || return 1
    # Its helpers killed before anybody asked: whoever finds that freeze thaws it, and the job is over too.
    run $FS pre-script "executionId=$JOB2" budgetSeconds=60 && expect 0 || return 1
    kill_helpers
    COMMAND_ID=aaaaaaaa-0000-4000-8000-000000000003 run $FS pre-script "executionId=$JOB2" && expect 204 over || return 1
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

test_fs_killed_holder_is_thawed_at_once() {
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=60 || return 1
    expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .holder_pid')"
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'still frozen'; return 1; }
    run $FS post-script "executionId=$JOB1" || return 1
    expect 203 failsafe-fired
}

test_fs_killed_guard_is_thawed_at_once() {
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=60 || return 1
    expect 0 || return 1
    kill -KILL "$(events '.[] | select(.t=="armed") | .guard_pid')"
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'still frozen'; return 1; }
    run $FS post-script "executionId=$JOB1" || return 1
    expect 202 arm-failed
}

# Guard, holder and all their children at once, the children first: those would thaw when the holder dies.
kill_helpers() {
    local holder; holder=$(events '.[] | select(.t=="armed") | .holder_pid')
    # shellcheck disable=SC2046
    kill -KILL $(ps -o pid= -s "$holder" | grep -vw "$holder") "$holder" "$(events '.[] | select(.t=="armed") | .guard_pid')" 2>/dev/null
}

test_fs_all_helpers_killed_post_script_thaws() {
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=60 || return 1
    expect 0 || return 1
    kill_helpers
    frozen "$W/data" || { fail 'not frozen'; return 1; }
    run $FS post-script "executionId=$JOB1" || return 1
    expect 202 release-lost || return 1
    [ "$(events '[.[] | select(.t=="thawed") | .ok] | join(" ")')" = 'false false' ] || { fail "$(order)"; return 1; }
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

test_fs_guard_and_holder_killed_everything_thaws() {
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=60 || return 1
    expect 0 || return 1
    # shellcheck disable=SC2046
    kill -KILL $(events '.[] | select(.t=="armed") | "\(.guard_pid) \(.holder_pid)"')
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail "the holder's death does not thaw"; return 1; }
    run $FS post-script "executionId=$JOB1" || return 1
    expect 202 release-lost || return 1
    thawed "$W/data" && thawed "$W/logs" || fail 'still frozen'
}

test_fs_stale_freeze_is_swept_by_the_next_job() {
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=60 || return 1
    expect 0 || return 1
    kill_helpers
    frozen "$W/data" || { fail 'not frozen'; return 1; }
    run $FS pre-script "executionId=$JOB2" || return 1
    expect 0 || return 1
    run $FS post-script "executionId=$JOB2" || return 1
    expect 0
}

# The agent kills the whole process group at every step that it can be told apart by: nothing stays frozen.
test_fs_process_group_killed_at_each_step() {
    local mark
    for mark in guard.up holder.up events st.1 window.start ready pre.done; do
        outer
        start $FS pre-script "executionId=$JOB1" budgetSeconds=3
        await 10 says '[^ ]' "$mark" || { fail "never reached $mark"; return 1; }
        kill -KILL -- "-$GROUP" 2>/dev/null
        wait "$GROUP" 2>/dev/null
        await 6 thawed_and_quiet || { fail "frozen after a kill at $mark"; return 1; }
        after_test
    done
    return 0
}
thawed_and_quiet() {
    thawed "$W/data" && thawed "$W/logs" && {
        [ ! -s "/run/freezeframe/$JOB1/holder.up" ] || gone "$(cut -d' ' -f1 "/run/freezeframe/$JOB1/holder.up")"
    } && { [ ! -s "/run/freezeframe/$JOB1/guard.up" ] || gone "$(cut -d' ' -f1 "/run/freezeframe/$JOB1/guard.up")"; }
}

test_fs_another_owners_freeze_is_refused_and_left() {
    outer
    fsfreeze -f "$W/logs" || return 1
    run $FS pre-script "executionId=$JOB1" || return 1
    expect 206 already-frozen || return 1
    frozen "$W/logs" || { fail "thawed another owner's"; return 1; }
    thawed "$W/data" || fail 'left ours frozen'
}

# The other owner comes after our last look and before our own ioctl: the first mount is thawed, the other owner's is not.
test_fs_partial_freeze_is_undone() {
    outer
    local real; real=$(command -v fsfreeze)
    mkdir -p "$W/bin"
    cp "$real" "$W/bin/fsfreeze.real"
    cat >"$W/bin/fsfreeze" <<END
#!/bin/sh
if [ "\$1" = -f ] && [ "\$(stat -L -c %d "\$2")" = "$(stat -c %d "$W/logs")" ]; then "$W/bin/fsfreeze.real" -f "\$2"; fi
exec "$W/bin/fsfreeze.real" "\$@"
END
    chmod 755 "$W/bin/fsfreeze"
    mount --bind "$W/bin/fsfreeze" "$real" || return 1
    run $FS pre-script "executionId=$JOB1"
    umount "$real"
    expect 201 already-frozen || return 1
    [ "$(events '[.[] | select(.t=="frozen" or .t=="thawed") | .t + " " + .mount] | join(",")')" = "frozen $W/data,thawed $W/data" ] || { fail "$(order)"; return 1; }
    thawed "$W/data" || { fail 'ours left frozen'; return 1; }
    frozen "$W/logs" || fail "thawed another owner's"
}

# The other owner comes between our thaw and our last look: nobody can tell whose that freeze is, so nothing is said to be over, and it is left.
test_fs_another_owners_freeze_after_ours_is_told_and_left() {
    outer
    run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    { until says thawed st.1; do :; done; fsfreeze -f "$W/data"; } &
    PIDS="$PIDS $!"
    run $FS post-script "executionId=$JOB1" && expect 202 thaw-failed || return 1
    [ "$(events '[.[] | select(.t=="probe") | .frozen] | join(" ")')" = 'true false' ] && [ "$(events '[.[] | select(.t=="window")] | length')" = 0 ] || { fail "$(order)"; return 1; }
    frozen "$W/data" || { fail "thawed another owner's"; return 1; }
    fsfreeze -u "$W/data"
    run $FS pre-script "executionId=$JOB2" && expect 0 && run $FS post-script "executionId=$JOB2" && expect 0
}

# Told to stand down while something is frozen, it does not, and whoever told it is gone then.
test_fs_the_failsafe_stays_while_anything_is_frozen() {
    local guard
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=60 && expect 0 || return 1
    guard=$(events '.[] | select(.t=="armed") | .guard_pid')
    echo yes >"/run/freezeframe/$JOB1/disarm"
    sleep 0.5
    ! gone "$guard" || { fail 'it left'; return 1; }
    local holder; holder=$(events '.[] | select(.t=="armed") | .holder_pid')
    # shellcheck disable=SC2046
    kill -KILL $(ps -o pid= -s "$holder" | grep -vw "$holder") "$holder" 2>/dev/null
    await 3 thawed "$W/data" && await 3 thawed "$W/logs" || { fail 'still frozen'; return 1; }
    await 5 gone "$guard" || fail 'it does not end'
}

test_fs_mounts_that_are_none_are_refused() {
    mkdir -p "$W/plain" "$W/data/sub"; ln -sfn "$W/data" "$W/link"
    local m
    for m in plain data/sub link missing; do
        run $FS pre-script "mounts=$W/$m" || return 1
        expect 206 not-a-mount || { WHY="$m: $WHY"; return 1; }
    done
    thawed "$W/data"
}

test_fs_root_is_refused() {
    run $FS pre-script mounts=/ || return 1
    expect 206 root-mount || return 1
    run $FS pre-script "mounts=$W/data,/" || return 1
    expect 206 root-mount
}

test_fs_bind_mount_of_the_root_is_refused() {
    mkdir -p "$W/bindroot"
    mount --bind "$W/agent" "$W/bindroot" || return 1
    run $FS pre-script "mounts=$W/bindroot"
    umount "$W/bindroot"
    expect 206 root-mount
}

test_fs_bind_mount_freezes_once() {
    outer
    mkdir -p "$W/bound"
    mount --bind "$W/data" "$W/bound" || return 1
    run $FS pre-script "mounts=$W/data,$W/bound,$W/logs" && expect 0 && run $FS post-script && expect 0
    local rc=$?
    umount "$W/bound"
    [ $rc = 0 ] && [ "$(events '[.[] | select(.t=="thawed")] | length')" = 2 ] || { fail "rc $rc: $WHY $(order)"; return 1; }
}

test_fs_the_mount_with_the_scripts_own_files_is_refused() {
    local SCRIPT_DIR=$W/data
    run $FS pre-script "mounts=$W/data" || return 1
    rm -f "$W"/data/*.sh
    expect 206 agent-mount
}

test_fs_a_mount_without_a_volume_is_refused() {
    run $FS pre-script "mounts=$W/other" || return 1
    expect 206 no-volume
}

# On the one that no server of another test keeps open.
test_fs_read_only_is_refused() {
    mount -o remount,ro "$W/other" || { fail 'in use'; return 1; }
    run $FS pre-script "mounts=$W/other"
    mount -o remount,rw "$W/other"
    expect 206 unsupported-fs
}

test_fs_garbled_volume_links_are_not_volumes() {
    rm /dev/disk/by-id/*aaa1
    ln -s "$LOOP_data" '/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0$(id)'
    ln -s "$LOOP_data" '/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aa'
    ln -s "$LOOP_data" '/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa1-part1'
    run $FS pre-script "mounts=$W/data"
    rm /dev/disk/by-id/*vol0\$* /dev/disk/by-id/*vol0aa /dev/disk/by-id/*-part1
    ln -s "$LOOP_data" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa1
    expect 206 no-volume
}

test_fs_second_pre_script_is_204_and_two_jobs_are_busy() {
    outer
    run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    local last; last=$(events last.seq)
    run $FS pre-script "executionId=$JOB1" && expect 204 already-frozen || return 1
    [ "$(events first.seq)" -gt "$last" ] || { fail 'seq started anew'; return 1; }
    run $FS pre-script "executionId=$JOB2" && expect 204 busy || return 1
    frozen "$W/data" || { fail 'disturbed the first job'; return 1; }
    run $FS post-script "executionId=$JOB2" && expect 205 not-frozen || return 1
    [ "$(events '[.[] | select(.t=="probe") | .frozen] | all')" = true ] || { fail 'probe'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0
}

test_fs_post_script_without_pre_script_is_205() {
    local before after
    before=$(ls -A /)
    run $FS post-script || return 1
    expect 205 not-frozen || return 1
    # Where it only looks for mounts it writes nothing, least of all to a disk.
    after=$(ls -A /)
    [ "$before" = "$after" ] || fail "left something in /: $after"
}

# The service refuses what the pattern does not allow, before the agent writes the value into the script; what gets by is checked again.
test_fs_values_never_run() {
    local v
    for v in "auto'; touch $W/pwned; '" '/$(id)' '/a;b' '/a b' '-f' $'/a\n/b' '/`id`'; do
        jq -e --arg v "$v" '.parameters.mounts.allowedPattern as $p | $v | test($p) | not' "$DOCS/$FS.json" >/dev/null || { fail "the pattern allows $v"; return 1; }
        case $v in *\'*) continue ;; esac
        run $FS pre-script "mounts=$v" && expect 206 bad-parameter || { WHY="$v: $WHY"; return 1; }
    done
    run $FS pre-script budgetSeconds=0 && expect 206 bad-parameter || return 1
    run $FS nonsense && expect 201 unknown-command || return 1
    run $FS pre-script 'executionId=../../etc' && expect 206 bad-parameter
}

test_fs_state_not_in_memory_is_refused() {
    mkdir -p "$W/shm"
    mount --bind "$W/shm" /run && mount --bind "$W/shm" /dev/shm || return 1
    run $FS pre-script
    umount /run; umount /dev/shm
    expect 206 arm-failed || return 1
    thawed "$W/data"
}

# The failsafe cannot be armed: its state directory is full, so its sign of life never comes. Nothing is frozen.
test_fs_nothing_freezes_when_the_failsafe_cannot_be_armed() {
    mkdir -p "$W/bin"
    printf '#!/bin/sh\nfor a; do [ "$a" = --guard ] && exit 1; done\nexec /usr/bin/setsid.real "$@"\n' >"$W/bin/setsid"
    chmod 755 "$W/bin/setsid"
    local real; real=$(command -v setsid)
    cp "$real" "$W/bin/setsid.real"
    sed -i "s,/usr/bin/setsid.real,$W/bin/setsid.real," "$W/bin/setsid"
    mount --bind "$W/bin/setsid" "$real" || return 1
    RUN=$((RUN + 1)); render $FS "$W/agent/$RUN.sh" command=pre-script "executionId=$JOB1"
    "$W/agent/$RUN.sh" >"$W/out" 2>"$W/err"; RC=$?
    umount "$real"
    expect 201 arm-failed || return 1
    [ "$(events '[.[] | select(.t=="frozen" or .t=="armed")] | length')" = 0 ] || { fail "$(order)"; return 1; }
    thawed "$W/data"
}

says() { grep -q "$1" "/run/freezeframe/$JOB1/$2" 2>/dev/null; }

# The holder alone is killed at every step that it leaves a sign of, the middle of a slow freeze among them.
test_fs_holder_killed_at_each_step() {
    local step file word
    for step in holder.up:. events:synced st.1:freezing st.1:frozen st.2:freezing st.2:frozen ready:yes; do
        file=${step%%:*}; word=${step#*:}
        outer
        dd if=/dev/zero of="$W/data/dirt" bs=1M count=60 status=none
        start $FS pre-script "executionId=$JOB1" budgetSeconds=20
        await 15 says "$word" "$file" || says yes ready || { fail "never reached $step"; return 1; }
        kill -KILL "$(cut -d' ' -f1 "/run/freezeframe/$JOB1/holder.up")"
        await 8 thawed_and_quiet || { fail "frozen after the holder's death at $step"; return 1; }
        await 8 gone "$GROUP" || { fail "pre-script hangs at $step"; return 1; }
        after_test
    done
    rm -f "$W/data/dirt"
    return 0
}

# LVM and md look like this to the kernel: one device over two volumes. Both must be named, or the mount is not covered.
test_fs_stacked_device_names_every_volume() {
    local a b size
    if ! command -v dmsetup >/dev/null || ! dmsetup version >/dev/null 2>&1; then WHY='SKIPPED no device mapper'; return 0; fi
    make_volume pv1 none 0aaaaaaaaaaaaaa11 40M && make_volume pv2 none 0aaaaaaaaaaaaaa12 40M || return 1
    a=$LOOP_pv1 b=$LOOP_pv2 size=$((40 * 2048))
    printf '0 %s linear %s 0\n%s %s linear %s 0\n' $size "$a" $size $size "$b" | dmsetup create --noudevsync "ff-test-$$" || { WHY='SKIPPED dmsetup cannot create'; return 0; }
    mkdir -p "$W/stacked"
    mkfs.ext4 -q "/dev/mapper/ff-test-$$" && mount "/dev/mapper/ff-test-$$" "$W/stacked"
    run $FS dry-run
    local both one
    both=$(events ".[] | select(.mount==\"$W/stacked\") | [.covered, .volumes]")
    rm /dev/disk/by-id/*aa12
    run $FS dry-run
    one=$(events ".[] | select(.t==\"mount\" and .mount==\"$W/stacked\") | .covered")
    umount "$W/stacked"; dmsetup remove --noudevsync "ff-test-$$"; rm -f /dev/disk/by-id/*aa11
    [ "$(printf '%s' "$both" | tr -d ' \n')" = '[true,["vol-0aaaaaaaaaaaaaa11","vol-0aaaaaaaaaaaaaa12"]]' ] || { fail "both: $both"; return 1; }
    [ "$one" = false ] || fail "covered with an unknown part: $one"
}

# A container, or a service with mounts of its own, may have another partition of the volume mounted where we do not see it.
test_fs_a_partition_that_only_another_namespace_has_mounted_spoils_its_volume() {
    local a b there both gone
    make_volume p1 ext4 "" 40M && make_volume p2 none '' 40M || return 1
    a=$LOOP_p1 b=$LOOP_p2
    mkfs.ext4 -q "$b" && mkdir -p "$W/p2" || return 1
    ln -s "$a" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaa41 && ln -s "$b" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaa41_1
    setsid unshare -m --propagation private sh -c "mount '$b' '$W/p2' && : >'$W/is-mounted'; exec sleep 100" </dev/null >/dev/null 2>&1 &
    PIDS="$PIDS $!"
    await 5 test -e "$W/is-mounted" || { fail 'no mount there'; return 1; }
    run $FS dry-run "mounts=$W/p1"
    there=$(events ".[] | select(.t==\"mount\" and .mount==\"$W/p2\") | [.covered, .volumes[0], .reason]" | tr -d '\n')
    both=$(events '.[] | select(.t=="note") | .text')
    kill -KILL "${PIDS##* }"; wait "${PIDS##* }" 2>/dev/null
    run $FS dry-run "mounts=$W/p1"
    gone=$(events ".[] | select(.t==\"mount\" and .mount==\"$W/p2\") | .reason")
    umount "$W/p1"; rm -f /dev/disk/by-id/*aa41 /dev/disk/by-id/*aa41_1 "$W/is-mounted"
    case $there in *false*vol-0aaaaaaaaaaaaaa41*'mounted out of reach'*) ;; *) fail "told: $there"; return 1 ;; esac
    case $both in *"$W/p1: freezing it earns nothing: $W/p2 on its volume is not frozen"*) ;; *) fail "notes: $both"; return 1 ;; esac
    [ -z "$gone" ] || fail "told when it is gone: $gone"
}

# A filesystem in a file on a volume lies on that volume: it freezes before the one that carries the file, and thaws after it; left out, it spoils it.
test_fs_a_filesystem_in_a_file_lies_on_the_volume_of_the_file() {
    local inner innermost rc order="" volumes="" spoilt alone
    truncate -s 120M "$W/data/inner.img"
    inner=$(losetup -f --show "$W/data/inner.img") && mkfs.xfs -q -f "$inner" >/dev/null 2>&1 || mkfs.ext4 -q "$inner"
    mkdir -p "$W/inner" "$W/innermost" && mount "$inner" "$W/inner" || return 1
    truncate -s 20M "$W/inner/innermost.img"
    innermost=$(losetup -f --show "$W/inner/innermost.img") && mkfs.ext4 -q "$innermost" && mount "$innermost" "$W/innermost" || return 1
    echo unwritten >"$W/innermost/file"
    setsid sh -c "sleep 25; fsfreeze -u '$W/data'; fsfreeze -u '$W/inner'; fsfreeze -u '$W/innermost'" </dev/null >/dev/null 2>&1 &
    OUTER=$!; disown $OUTER
    run $FS pre-script && expect 0 && frozen "$W/innermost" && frozen "$W/inner" && frozen "$W/data" && order=$(events ".[] | select(.t==\"frozen\") | .mount") &&
        volumes=$(events ".[] | select(.t==\"mount\" and .mount==\"$W/innermost\") | .volumes[0]") && run $FS post-script && expect 0 && thawed "$W/innermost" && thawed "$W/inner"
    rc=$?
    run $FS dry-run "mounts=$W/data"
    spoilt=$(events ".[] | select(.t==\"mount\" and .mount==\"$W/inner\") | [.covered, .volumes[0]]" | tr -d ' \n')
    alone=$(events '.[] | select(.t=="note") | .text')
    for m in data inner innermost; do fsfreeze -u "$W/$m" 2>/dev/null; done
    umount "$W/innermost"; losetup -d "$innermost"; umount "$W/inner"; losetup -d "$inner"; rm -f "$W/data/inner.img"
    [ $rc = 0 ] || { fail "freeze and thaw: $WHY $order"; return 1; }
    [ "$volumes" = vol-0aaaaaaaaaaaaaaa1 ] || { fail "lies on: $volumes"; return 1; }
    # Those that freeze together come first; the others one by one, the inner one before the outer one.
    [ "$(printf '%s\n' "$order" | grep -E '/(inner|innermost|data)$' | sed 's|.*/||' | tr '\n' ' ')" = 'innermost inner data ' ] || { fail "order: $order"; return 1; }
    [ "$spoilt" = '[false,"vol-0aaaaaaaaaaaaaaa1"]' ] || { fail "left out: $spoilt"; return 1; }
    case $alone in *"$W/data: freezing it earns nothing: $W/inner on its volume is not frozen"*) ;; *) fail "notes: $alone" ;; esac
}

test_fs_partition_leads_to_its_disk() {
    local loop
    make_volume disk none 0aaaaaaaaaaaaaa21 60M || return 1
    loop=$LOOP_disk
    # one MBR entry: type 83, sectors 2048 to the end
    python3 -c 'import struct, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(446); f.write(struct.pack("<B3sB3sII", 0, b"\0\0\0", 0x83, b"\0\0\0", 2048, 60 * 2048 - 2048)); f.seek(510); f.write(b"\x55\xaa")' "$W/disk.img"
    losetup -d "$loop"; losetup -P "$loop" "$W/disk.img" || return 1
    if [ ! -b "${loop}p1" ]; then WHY='SKIPPED no partitions on loop devices here'; return 0; fi
    mkfs.ext4 -q "${loop}p1" && mkdir -p "$W/part" && mount "${loop}p1" "$W/part" || return 1
    run $FS dry-run
    umount "$W/part"
    [ "$(events ".[] | select(.mount==\"$W/part\") | .volumes[0]")" = vol-0aaaaaaaaaaaaaa21 ] || { fail 'not mapped'; return 1; }
    run linux-mount mount volumeId=vol-0aaaaaaaaaaaaaa21 "mountPoint=$W/part" && expect 0 || return 1
    run linux-mount umount volumeId=vol-0aaaaaaaaaaaaaa21 "mountPoint=$W/part" && expect 0
}

test_fs_btrfs_names_every_member_and_freezes() {
    command -v mkfs.btrfs >/dev/null || { WHY='SKIPPED no mkfs.btrfs'; return 0; }
    make_volume bt1 none 0aaaaaaaaaaaaaa31 130M && make_volume bt2 none 0aaaaaaaaaaaaaa32 130M || return 1
    mkfs.btrfs -q -d single "$LOOP_bt1" "$LOOP_bt2" >/dev/null 2>&1 && mkdir -p "$W/bt" || { fail mkfs; return 1; }
    mount -o "device=$LOOP_bt1,device=$LOOP_bt2" "$LOOP_bt1" "$W/bt" || { WHY='SKIPPED btrfs does not mount here'; return 0; }
    setsid sh -c "sleep 20; fsfreeze -u '$W/bt'" </dev/null >/dev/null 2>&1 &
    OUTER=$!; disown $OUTER
    run $FS pre-script "mounts=$W/bt" && expect 0 && run $FS post-script && expect 0
    local rc=$? why=$WHY both one
    run $FS dry-run
    both=$(events ".[] | select(.t==\"mount\" and .mount==\"$W/bt\") | [.covered, (.volumes | sort)]" | tr -d ' \n')
    rm /dev/disk/by-id/*aa32
    run $FS dry-run
    one=$(events ".[] | select(.t==\"mount\" and .mount==\"$W/bt\") | .covered")
    fsfreeze -u "$W/bt" 2>/dev/null
    umount "$W/bt"; rm -f /dev/disk/by-id/*aa31
    [ $rc = 0 ] || { fail "freeze and thaw: $why"; return 1; }
    [ "$both" = '[true,["vol-0aaaaaaaaaaaaaa31","vol-0aaaaaaaaaaaaaa32"]]' ] || { fail "both: $both"; return 1; }
    [ "$one" = false ] || fail "covered with an unknown member: $one"
}

# Two jobs at the same moment: exactly one gets the instance.
test_fs_two_pre_scripts_at_once() {
    outer
    local first second rc1 rc2
    start $FS pre-script "executionId=$JOB1"; first=$GROUP
    start $FS pre-script "executionId=$JOB2"; second=$GROUP
    await 20 gone "$first" && await 20 gone "$second" || { fail 'they hang'; return 1; }
    wait "$first"; rc1=$?
    wait "$second"; rc2=$?
    case $rc1/$rc2 in
    0/204) run $FS post-script "executionId=$JOB1" && expect 0 ;;
    204/0) run $FS post-script "executionId=$JOB2" && expect 0 ;;
    *) fail "exits $rc1 and $rc2" ;;
    esac
}
