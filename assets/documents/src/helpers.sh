#@include freeze.sh
#@include autonomous.sh
# --- the guard ---

guard() {
    ROLE=guard
    trap '' HUP INT
    trap 'fire signal' TERM
    now
    DEADLINE=$((NOW + BUDGET * 1000))
    process $$ || exit 201
    if [ "$PROC_SESSION" != $$ ]; then exit 201; fi
    # The pins' gate opens a second after the deadline.
    "$SLEEP" $((BUDGET + 1)) </dev/null >/dev/null 2>&1 &
    note_process $! net || exit 201
    exec 7>&-
    N=1
    while [ "$N" -le "$COUNT" ]; do
        alive "pin.$N" || exit 201
        N=$((N + 1))
    done
    note_process $$ guard.up "$DEADLINE" || exit 201
    while :; do
        GONE=no
        if has holder.up && ! alive holder.up; then GONE=yes; fi
        # After that look: whoever disarms may be gone at once. And whatever was said, not while anything may be frozen.
        if has disarm && ! still_frozen; then exit 0; fi
        now
        if [ "$NOW" -ge "$DEADLINE" ]; then fire budget; fi
        if [ $GONE = yes ]; then fire holder; fi
        "$SLEEP" 0.1
    done
}

# Does the holder live, or anything in its session? A freeze that was under way when the holder was killed completes later.
holder_works() {
    if alive holder.up; then return; fi
    # A number that was given to another has no session of ours behind it.
    if [ -z "$AL_START" ] || process "$AL_PID"; then return 1; fi
    for HW in /proc/[0-9]*; do
        if process "${HW#/proc/}" && [ "$PROC_SESSION" = "$AL_PID" ]; then return; fi
    done
    return 1
}

fire() {
    trap '' TERM
    note fired "$1"
    # A call to EC2 whose asker is gone or late would only keep the holder waiting.
    end_process call
    case $1 in
    budget) WHY="the budget of $BUDGET s was spent" ;;
    holder) WHY='the holder died' ;;
    *) WHY='the failsafe was told to end' ;;
    esac
    error failsafe-fired "$WHY"
    now
    PATIENCE=$((NOW + 3000))
    GIVE_UP=$((NOW + 600000))
    PAUSE=0.1
    while :; do
        thaw_each "the failsafe: $WHY"
        "$SLEEP" $PAUSE
        # The application's turn; it may take its time, and no further attempt at a thaw waits for that either.
        if ! child killer; then
            (recipe_kill) </dev/null >/dev/null 2>&1 &
            KILLER=$!
            begun killer
        fi
        if [ "$QUIET" = yes ] && ! still_frozen; then break; fi
        now
        if [ "$NOW" -ge "$PATIENCE" ]; then end_process holder.up; fi
        if [ "$NOW" -ge "$GIVE_UP" ]; then
            # Where a freeze or a thaw hangs it has yet to be undone, however long that takes. What cannot be reached at all is given up.
            PAUSE=1
            if [ "$QUIET" = yes ] && ! thawing; then break; fi
        fi
    done
    wait "$KILLER"
    if ! has window.end && has window.start; then mark_window_end; fi
    emit disarmed fired:true
    if has ready; then over; fi
    if ! has outcome; then note outcome fired; fi
    exit 0
}

# --- the holder ---

# May the holder go on? Not when the failsafe acted or died, nor when the foreground was killed before it could say `ready`.
may_go_on() {
    if has fired; then
        stop failsafe-fired 'the failsafe acted before everything was frozen'
        return
    fi
    if ! alive guard.up; then
        stop arm-failed 'the failsafe is gone'
        return
    fi
    if ! has pre.done && ! alive foreground; then
        stop freeze-failed 'the command was ended before it could report'
        return
    fi
    if autonomous && has release; then
        stop stopped 'post-script told it to stop'
        return
    fi
    if ! has ready && [ -e "$JOBS/over.${S##*/}" ]; then
        stop over 'this job is over on this instance'
        return
    fi
}

# All at once: what the last of these leaves dirty is what the freeze has to write while others wait.
# Before coreutils 8.24 `sync` knows only all filesystems of the machine, a dead NFS server's among them: that is done once, before anything is held,
# and waited for 10 s. Whatever hangs then hangs alone.
sync_mounts() {
    N=1
    SYNCS=''
    if ! sync -f "$S" 2>/dev/null; then
        if [ $ROLE = foreground ]; then
            sync </dev/null >/dev/null 2>&1 7>&- &
            now
            SM_LIMIT=$((NOW + 10000))
            while process $! && [ "$NOW" -lt "$SM_LIMIT" ]; do
                nap
                now
            done
        fi
        return
    fi
    while [ "$N" -le "$COUNT" ]; do
        alive "pin.$N"
        (close_gates; exec sync -f "/proc/$AL_PID/fd/3" 2>/dev/null) &
        SYNCS="$SYNCS $!"
        N=$((N + 1))
    done
    for P in $SYNCS; do wait "$P"; done
}

# Take the failsafe down, only when nothing is left for it to do, and see it gone.
disarm() {
    note disarm yes
    DA_N=0
    while alive guard.up && [ $DA_N -lt 60 ]; do
        nap
        DA_N=$((DA_N + 1))
    done
    if ! has fired && ! alive guard.up; then emit disarmed fired:false; fi
}

# wind_down OUTCOME; late: who holds the lock has yet to answer
wind_down() {
    WD_OUTCOME=$1
    if thaw_ours; then
        if [ "$1" = late ]; then
            WD_OUTCOME=released
            recipe_alive 5000 || {
                error lock-lost "$STOP_TEXT"
                WD_OUTCOME=failed
            }
        fi
        recipe_unlock
        if autonomous; then say_snapshots; fi
        if ! has fired; then disarm; fi
        if [ "$THAWED_BY_OTHER" = yes ] || has fired; then WD_OUTCOME=failed; fi
        note outcome "$WD_OUTCOME"
    else
        # The guard sees the holder end and goes on trying.
        recipe_unlock
    fi
    exit 0
}

give_up() {
    if [ "$STOP_CODE" != failsafe-fired ]; then error "$STOP_CODE" "$STOP_TEXT" "${1:-}"; fi
    wind_down failed
}

holder() {
    ROLE=holder
    THAWED_BY_OTHER=no
    THAWERS=''
    STOP_CODE=freeze-failed
    STOP_TEXT="no room in $JOBS"
    trap '' HUP INT
    read -r GUARD_PID GUARD_START DEADLINE <"$S/guard.up"
    : "$GUARD_START"
    note_process $$ holder.up || give_up
    if autonomous; then take_credentials; fi
    may_go_on || give_up
    emit armed "budget_ms:${BUDGET}000" "guard_pid:$GUARD_PID" "holder_pid:$$"
    recipe_flush
    sync_mounts
    emit flushed
    may_go_on || give_up
    if autonomous; then warm_up; fi
    recipe_lock || give_up
    may_go_on || give_up
    if autonomous; then
        prepare_call || give_up
    fi
    check_mounts || give_up "$FZ_MNT"
    open_gates || give_up
    sync_mounts
    emit synced
    if autonomous; then say_prepared; fi
    may_go_on || give_up
    freeze_all || give_up "$STOP_MNT"
    may_go_on || give_up
    emit ready
    note ready yes || give_up
    if autonomous; then
        call || give_up
    else
        while ! has release; do
            may_go_on || give_up
            nap
        done
    fi
    may_go_on || give_up
    emit release
    recipe_alive
    case $? in 0) wind_down released ;; 2) wind_down late ;; esac
    error lock-lost "$STOP_TEXT"
    wind_down failed
}
