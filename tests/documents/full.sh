# shellcheck shell=bash
# The memory where jobs keep their notes is full: another program fills /run at any moment. A job may fail then, and it says so; it must not forget a
# freeze of its own, and the failsafe must not stand down before everything is open. /run is a small tmpfs of our own here.

small_run() { mkdir -p "$W/bin" && mount -t tmpfs -o size=2m,nr_inodes=400 tmpfs /run; }
no_small_run() {
    after_test
    umount /run || umount -l /run
}
# on_small_run FUNCTION
on_small_run() {
    small_run || { fail 'no small /run'; return 1; }
    local rc
    "$1"
    rc=$?
    no_small_run
    return $rc
}
full() { ! { echo >/run/any; } 2>/dev/null; }
room() {
    rm -f /run/fill*
    ! full || return 1
    rm -f /run/any
}
# Guards and holders of the job, whether it still knows of them or not
helpers_of() { ps -eo pid=,args= | awk -v dir="/run/freezeframe/$1" '$0 ~ "--(guard|holder) " dir {print $1}'; }
no_helpers() { [ -z "$(helpers_of "$JOB1")" ]; }
# nothing_held SECONDS: after the last word of the job
nothing_held() {
    await "$1" thawed "$W/data" && await 1 thawed "$W/logs" || { fail "left frozen; helpers: $(helpers_of "$JOB1" | tr '\n' ' ')$(order)"; return 1; }
    await 5 no_helpers || { fail 'a helper is left'; return 1; }
}
# not_ok_while_frozen: the last run's word
not_ok_while_frozen() {
    case $RC in 0 | 20[1-6]) ;; *) fail "exit $RC"; return 1 ;; esac
    if [ "$RC" = 0 ] && { frozen "$W/data" || frozen "$W/logs"; }; then fail "says ok while something is frozen: $(order)"; return 1; fi
    if [ "$(events '[.[] | select(.t=="window")] | length')" != 0 ] && [ "$(events '[.[] | select(.t=="probe") | .frozen] | any')" = true ]; then
        fail "says that it is over while it sees something frozen: $(order)"
        return 1
    fi
}
# Patience of 10 minutes with what cannot be noted at all is 2 s here.
impatient() { # SCRIPT
    grep -q "+ *600000" "$1" || { fail 'the failsafe counts in another way'; return 1; }
    sed -i "s/+ *600000/+2000/" "$1"
}
next_job_works() {
    await 1 room || { fail 'no room afterwards'; return 1; }
    run $FS pre-script "executionId=$JOB2" && expect 0 && run $FS post-script "executionId=$JOB2" && expect 0
}

# From within the freeze on, whose end is yet to be noted; from before it; from when all is frozen.
test_full_memory_beside_a_program_that_takes_all_of_it_at_once() { on_small_run full_race; }
full_race() {
    local from filler
    for from in st.1:freezing st.1:freezing st.1:freezing events:armed events:synced ready: ready:; do
        outer
        dd if=/dev/zero of="$W/data/dirt" bs=1M count=20 status=none
        python3 "$HERE/documents/fill.py" race /run "/run/freezeframe/$JOB1/${from%:*}" "${from#*:}" &
        filler=$!
        PIDS="$PIDS $filler"
        run $FS pre-script "executionId=$JOB1" budgetSeconds=6
        not_ok_while_frozen || [ "$RC" = 0 ] || { WHY="$from, pre-script: $WHY"; return 1; }
        [ -s /run/fill ] || { fail "$from: not filled, nothing was shown"; return 1; }
        run $FS post-script "executionId=$JOB1"
        not_ok_while_frozen && nothing_held 9 || { WHY="$from: $WHY"; return 1; }
        kill -KILL $filler
        wait $filler 2>/dev/null
        next_job_works || { WHY="$from, the next job: $WHY"; return 1; }
        after_test
    done
}

# filled_after_the_freeze LINE…: what a stand-in for fsfreeze does when it has frozen data (where it is) and before anybody could note that
filled_after_the_freeze() {
    local real rc
    rm -f /run/fill*
    real=$(command -v fsfreeze)
    cp "$real" "$W/bin/fsfreeze.real"
    {
        printf '%s\n' '#!/bin/sh' "if [ \"\$1\" = -f ] && [ \"\$(stat -L -c %d \"\$2\")\" = $(stat -c %d "$W/data") ]; then"
        printf '%s\n' "'$W/bin/fsfreeze.real' \"\$@\" || exit" "S=/run/freezeframe/$JOB1" "$@" "python3 '$HERE/documents/fill.py' all /run" 'exit 0' fi "exec '$W/bin/fsfreeze.real' \"\$@\""
    } >"$W/bin/fsfreeze"
    chmod 755 "$W/bin/fsfreeze"
    mount --bind "$W/bin/fsfreeze" "$real" || return 1
    outer
    place
    render $FS "$SCRIPT" command=pre-script "executionId=$JOB1" budgetSeconds=6
    impatient "$SCRIPT" && { setsid -w "$SCRIPT" </dev/null >"$W/out" 2>"$W/err"; RC=$?; }
    rc=$?
    if [ $rc = 0 ] && [ ! -s /run/fill ]; then fail 'not filled, nothing was shown'; rc=1; fi
    if [ $rc = 0 ]; then
        PRE=$RC
        run $FS post-script "executionId=$JOB1"
        not_ok_while_frozen && nothing_held 9
        rc=$?
    fi
    umount "$real"
    return $rc
}

# All blocks and all files are taken: what was made before is enough for the job to come to its end, and whatever is told is in order.
test_full_memory_from_the_freeze_on() { on_small_run full_after; }
full_after() {
    filled_after_the_freeze : || return 1
    [ "$PRE" = 0 ] && [ "$RC" = 0 ] || { fail "pre-script $PRE, post-script $RC: $(order)"; return 1; }
    expect 0 && next_job_works
}

# The page of that one note is gone as well: the freeze cannot be noted, so it is undone at once and the job fails.
test_full_memory_takes_the_note_of_a_freeze() { on_small_run full_note; }
full_note() {
    # shellcheck disable=SC2016 # words of the stand-in
    filled_after_the_freeze ': >"$S/st.1"' || return 1
    [ "$PRE" = 201 ] && [ "$RC" != 0 ] || { fail "pre-script $PRE, post-script $RC: $(order)"; return 1; }
    next_job_works
}

# The same where the note cannot be opened any more, whether memory is full or not.
test_full_memory_note_of_a_freeze_cannot_be_read() { on_small_run full_unreadable; }
full_unreadable() {
    # shellcheck disable=SC2016 # words of the stand-in
    filled_after_the_freeze 'rm "$S/st.1"; mkdir "$S/st.1"' || return 1
    [ "$PRE" = 201 ] && [ "$RC" != 0 ] || { fail "pre-script $PRE, post-script $RC: $(order)"; return 1; }
    next_job_works
}

# Too full before anything is frozen, at each step of the way there: nothing freezes, or it comes to its end.
test_full_memory_before_the_freeze() { on_small_run full_before; }
full_before() {
    local blocks
    outer
    for blocks in 0 1 4 12 16 18 20 22 24 26 28 30 34 40; do
        python3 "$HERE/documents/fill.py" all /run
        rm -f /run/fill.*
        truncate -s "-$((blocks * 4096))" /run/fill
        run $FS pre-script "executionId=$JOB1" budgetSeconds=3
        if [ "$RC" = 0 ]; then
            run $FS post-script "executionId=$JOB1"
            not_ok_while_frozen || { WHY="$blocks blocks: $WHY"; return 1; }
        else
            case $RC in 20[1-6]) ;; *) fail "$blocks blocks: exit $RC"; return 1 ;; esac
        fi
        nothing_held 5 || { WHY="$blocks blocks: $WHY"; return 1; }
        room
        rm -rf /run/freezeframe
    done
    next_job_works
}

# A thaw that hangs is not started again and again where it cannot be noted: who started it knows.
test_full_memory_and_a_thaw_that_hangs() {
    small_run || { fail 'no small /run'; return 1; }
    slow_volume || { no_small_run; fail 'no slow volume'; return 1; }
    local rc
    full_hang
    rc=$?
    rm -f /run/fill*
    no_slow_volume
    no_small_run
    return $rc
}
thaws_that_hang() { ps -eo pid=,stat=,args= | awk '$2 ~ /^D/ && /fsfreeze.* -u \/proc\//' | wc -l; }
full_hang() {
    local n
    outer_slow
    hang 4 || return 1
    rm -f "/run/freezeframe/$JOB1"/thawer.*
    python3 "$HERE/documents/fill.py" all /run
    full || { fail 'not full, nothing was shown'; return 1; }
    await 6 thawed "$W/data" && await 1 thawed "$W/logs" || { fail 'the others are not thawed by the budget'; return 1; }
    sleep 2
    frozen "$W/below" || { fail 'the disk answers: nothing was shown'; return 1; }
    n=$(thaws_that_hang)
    [ "$n" -ge 1 ] && [ "$n" -le 2 ] || { fail "$n thaws of one filesystem hang"; return 1; }
    run $FS post-script "executionId=$JOB1"
    case $RC in 20[23]) ;; *) fail "post-script: exit $RC: $(order)"; return 1 ;; esac
    n=$(thaws_that_hang)
    [ "$n" -le 3 ] || { fail "$n thaws of one filesystem hang after post-script"; return 1; }
    disk_answers
    await 5 thawed "$W/slow" && await 5 no_helpers || { fail "at the end: $(helpers_of "$JOB1")"; return 1; }
}

# Where not even the delivery can be noted, nothing stops a second one; so the console sends post-script, and from then on the job is over.
test_full_memory_a_refused_command_is_over_once_post_script_was_there() { on_small_run full_refused; }
full_refused() {
    local MARKERS=yes COMMAND_ID=cccccccc-0000-4000-8000-00000000000 n=0
    outer
    mkdir -m 700 /run/freezeframe
    while { : >"/run/fill.$n"; } 2>/dev/null; do n=$((n + 1)); done
    COMMAND_ID=${COMMAND_ID}1 run $FS pre-script "executionId=$JOB1" && expect 206 arm-failed || return 1
    [ ! -e "/run/freezeframe/seen.${COMMAND_ID}1" ] || { fail 'noted all the same: nothing was shown'; return 1; }
    COMMAND_ID=${COMMAND_ID}2 run $FS post-script "executionId=$JOB1" && expect 202 busy || return 1
    room || { fail 'no room afterwards'; return 1; }
    COMMAND_ID=${COMMAND_ID}3 run $FS post-script "executionId=$JOB1" && expect 205 not-frozen || return 1
    COMMAND_ID=${COMMAND_ID}1 run $FS pre-script "executionId=$JOB1" && expect 204 over || return 1
    # Room for the note, and none for more: it is noted.
    dd if=/dev/zero of=/run/fill bs=4096 2>/dev/null
    COMMAND_ID=${COMMAND_ID}4 run $FS pre-script "executionId=$JOB2" && expect 206 arm-failed || return 1
    rm -f /run/fill
    COMMAND_ID=${COMMAND_ID}4 run $FS pre-script "executionId=$JOB2" && expect 204 repeated || return 1
    thawed "$W/data" && thawed "$W/logs" || fail 'frozen by a second delivery'
}
