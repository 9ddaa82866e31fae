# shellcheck shell=bash
# A disk that stops answering in the middle of a freeze. FIFREEZE then hangs in the kernel, and so does every FITHAW of that filesystem; no other
# filesystem may wait for it. The disk is an image on a filesystem of our own (`below`), which fsfreeze, for this one mount, is made to freeze first.

slow_volume() { # $W/slow, the last to be frozen
    REAL_FSFREEZE=$(command -v fsfreeze)
    mkdir -p "$W/bin"
    cp "$REAL_FSFREEZE" "$W/bin/fsfreeze.real"
    make_volume below ext4 '' 200M || return 1
    truncate -s 60M "$W/below/slow.img"
    LOOP_slow=$(losetup -f --show "$W/below/slow.img") || return 1
    mkfs.ext4 -q "$LOOP_slow" && mkdir -p "$W/slow" && mount "$LOOP_slow" "$W/slow" || return 1
    ln -s "$LOOP_slow" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa9
    cat >"$W/bin/fsfreeze" <<END
#!/bin/sh
if [ "\$1" = -f ] && [ "\$(stat -L -c %d "\$2")" = "$(stat -c %d "$W/slow")" ]; then
    # Nothing of what follows may have to be read from anywhere.
    "$W/bin/fsfreeze.real" --version >/dev/null
    "$W/bin/fsfreeze.real" -f "$W/below"
fi
exec "$W/bin/fsfreeze.real" "\$@"
END
    chmod 755 "$W/bin/fsfreeze"
    mount --bind "$W/bin/fsfreeze" "$REAL_FSFREEZE"
}
# First of all the disk answers again: whatever asks about its filesystem before would hang too.
disk_answers() { "$W/bin/fsfreeze.real" -u "$W/below" 2>/dev/null; }
no_slow_volume() {
    local m
    disk_answers
    for m in data logs slow; do "$W/bin/fsfreeze.real" -u "$W/$m" 2>/dev/null; done
    after_test
    umount "$REAL_FSFREEZE"
    await 10 umount "$W/slow"
    losetup -d "$LOOP_slow"
    umount "$W/below"
    rm -f /dev/disk/by-id/*aaa9 "$W/below.img"
}
outer_slow() {
    setsid sh -c "sleep ${1:-40}; for m in below data logs slow; do '$W/bin/fsfreeze.real' -u '$W/'\$m; done" </dev/null >/dev/null 2>&1 &
    OUTER=$!
    disown $OUTER
}
# Starts a job whose freeze of slow hangs, with the others frozen already. Its failsafe gives up after 2 s what it gives up after 10 minutes.
hang() { # BUDGET
    echo dirty >"$W/slow/dirt$RUN"
    place
    render $FS "$SCRIPT" command=pre-script "executionId=$JOB1" "mounts=$W/data,$W/logs,$W/slow" "budgetSeconds=$1"
    grep -q "+ *600000" "$SCRIPT" || { fail 'the failsafe counts in another way'; return 1; }
    sed -i "s/+ *600000/+2000/" "$SCRIPT"
    setsid "$SCRIPT" </dev/null >"$W/out" 2>"$W/err" &
    GROUP=$!
    PIDS="$PIDS $GROUP"
    await 10 frozen "$W/below" && await 3 frozen "$W/data" && await 3 frozen "$W/logs" && says freezing st.3 || { fail 'the freeze does not hang'; return 1; }
}
probes() { events '[.[] | select(.t=="probe") | .frozen] | join(" ")'; }
helper() { cut -d' ' -f1 "/run/freezeframe/$JOB1/$1.up"; }

test_stall_the_failsafe_thaws_the_others_and_waits_for_the_disk() {
    slow_volume || { fail 'no slow volume'; return 1; }
    local rc
    stall_failsafe
    rc=$?
    no_slow_volume
    return $rc
}
stall_failsafe() {
    local guard
    outer_slow
    hang 4 || return 1
    guard=$(helper guard)
    # The agent ends the command, so all there is to tell is told by the next one.
    kill -KILL -- "-$GROUP"
    wait "$GROUP" 2>/dev/null
    await 5 thawed "$W/data" && await 1 thawed "$W/logs" || { fail 'the others are not thawed by the budget'; return 1; }
    says freezing st.3 && frozen "$W/below" || { fail 'the disk answers: nothing was shown'; return 1; }
    # The holder goes, the failsafe stays.
    await 5 gone "$(helper holder)" || { fail 'the holder is left'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 203 failsafe-fired || return 1
    [ "$(probes)" = 'false false true' ] || { fail "probes: $(probes)"; return 1; }
    [ "$(events "[.[] | select(.t==\"thawed\") | .mount] | sort | join(\" \")")" = "$W/data $W/logs" ] || { fail "thawed: $(order)"; return 1; }
    [ "$(events "[.[] | select(.code==\"thaw-failed\") | .mount] | unique | join(\" \")")" = "$W/slow" ] || { fail 'does not say which one is not thawed'; return 1; }
    [ "$(events '[.[] | select(.t=="window" or .t=="disarmed")] | length')" = 0 ] || { fail "says that it is over: $(order)"; return 1; }
    ! gone "$guard" || { fail 'the failsafe left'; return 1; }
    run $FS pre-script "executionId=$JOB2" && expect 204 busy || return 1
    # The disk is there again.
    disk_answers
    await 5 gone "$guard" || { fail 'the failsafe does not end'; return 1; }
    thawed "$W/slow" || { fail 'left frozen'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 203 || return 1
    [ "$(probes)" = 'false false false' ] && [ "$(events '[.[] | select(.t=="window" or .t=="disarmed")] | length')" = 2 ] || { fail "at the end: $(probes) $(order)"; return 1; }
    run $FS pre-script "executionId=$JOB2" "mounts=$W/data" && expect 0 && run $FS post-script "executionId=$JOB2" && expect 0
}

# Nobody of the job is left but the one that hangs in the kernel.
test_stall_the_next_command_thaws_the_others() {
    slow_volume || { fail 'no slow volume'; return 1; }
    local rc
    stall_left_over
    rc=$?
    no_slow_volume
    return $rc
}
lose_helpers() {
    local holder; holder=$(helper holder)
    # shellcheck disable=SC2046
    kill -KILL -- "-$GROUP" $(ps -o pid= -s "$holder" | grep -vw "$holder") "$holder" "$(helper guard)" 2>/dev/null
    wait "$GROUP" 2>/dev/null
    frozen "$W/data" && frozen "$W/logs" || { fail 'thawed by somebody'; return 1; }
}
stall_left_over() {
    outer_slow
    hang 60 && lose_helpers || return 1
    run $FS post-script "executionId=$JOB1" && expect 202 release-lost || return 1
    thawed "$W/data" && thawed "$W/logs" || { fail 'post-script left the others frozen'; return 1; }
    [ "$(probes)" = 'false false true' ] && has_error thaw-failed || { fail "probes: $(probes)"; return 1; }
    frozen "$W/below" || { fail 'the disk answers: nothing was shown'; return 1; }
    disk_answers
    await 5 thawed "$W/slow" || { fail 'left frozen'; return 1; }
    # It was never ready, and nothing of it is frozen any more.
    run $FS post-script "executionId=$JOB1" && expect 205 || return 1
    [ "$(probes)" = 'false false false' ] || { fail "at the end: $(probes)"; return 1; }
    after_test
    # The same, found by another job.
    outer_slow
    hang 60 && lose_helpers || return 1
    run $FS pre-script "executionId=$JOB2" && expect 201 thaw-failed || return 1
    thawed "$W/data" && thawed "$W/logs" || { fail 'the next job left the others frozen'; return 1; }
    frozen "$W/below" || { fail 'the disk answers: nothing was shown'; return 1; }
    disk_answers
    await 5 thawed "$W/slow" || { fail 'left frozen by the next job'; return 1; }
    run $FS pre-script "executionId=$JOB2" "mounts=$W/data" && expect 0 && run $FS post-script "executionId=$JOB2" && expect 0
}
