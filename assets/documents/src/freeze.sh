# --- freezing and thawing ---
#
# A write that meets a frozen filesystem waits, so the window is short and as good as the same for any number of mounts: whatever forks or looks is
# done before the first freeze. One child per mount and direction waits at a gate, its own descriptor of the mount open, and only has to become
# fsfreeze. A gate is a FIFO that the holder alone can write: it opens, for all of them at once and never too early or too late, when the holder
# closes its end. That it also opens when the holder dies does no harm: a child acts only on the state that the holder had noted.
# So nothing has to be started for a thaw, which counts where nothing can be started any more (limit of processes, memory): a shell ends there, at once
# or after 15 s, and with the holder's end the gates open. Whatever the holder and the guard do by then, a second after the deadline the pins thaw
# (pin_mounts): their gate's only writer is a sleeping process that the guard starts.

# Frozen or not, without changing anything and without waiting on it ourselves: rmdir(2) asks for write access to the mount before it looks
# the name up, so on a frozen filesystem it blocks and on any other it fails at once. A blocked one ends with the thaw.
start_probe() {
    "$SETSID" "$RMDIR" "$1/.freezeframe-no-such-directory" </dev/null >/dev/null 2>&1 &
    PROBE=$!
}
probe_blocks() {
    PB_N=0
    while [ "$PB_N" -lt 100 ]; do
        process "$1" || return 1
        "$SLEEP" 0.01
        PB_N=$((PB_N + 1))
    done
    process "$1"
}
is_frozen() {
    start_probe "$1"
    probe_blocks "$PROBE"
}
# looks_frozen N: through its pin; LF_MNT is its name
looks_frozen() {
    read -r LF_MNT <"$S/mnt.$1"
    LF_AT=$LF_MNT
    if alive "pin.$1"; then LF_AT=/proc/$AL_PID/fd/3; fi
    is_frozen "$LF_AT"
}

# thaw N: 0 our FITHAW returned 0; 1 it was not frozen; 2 any other failure. TH_TEXT says why.
# Through the descriptor that was pinned before the freeze; by path only if that is gone and the path still leads to the same mount.
thaw() {
    TH_TARGET=''
    read -r TH_DEV <"$S/dev.$1"
    read -r TH_ID <"$S/id.$1"
    read -r TH_MNT <"$S/mnt.$1"
    if alive "pin.$1" && [ "$(stat -L -c %d "/proc/$AL_PID/fd/3" 2>/dev/null)" = "$TH_DEV" ]; then
        TH_TARGET=/proc/$AL_PID/fd/3
    elif [ "$(stat -c %d "$TH_MNT" 2>/dev/null)" = "$TH_DEV" ] && [ "$(mount_id_of "$TH_MNT")" = "$TH_ID" ]; then
        TH_TARGET=$TH_MNT
    else
        TH_TEXT='the pinned descriptor is gone and the path leads elsewhere'
        return 2
    fi
    if TH_TEXT=$("$FSFREEZE" -u "$TH_TARGET" 2>&1); then return 0; fi
    case $TH_TEXT in *'nvalid argument'*)
        TH_TEXT='it was not frozen any more'
        return 1
        ;;
    esac
    return 2
}

# Whoever thaws what others recorded does so without waiting: FITHAW waits in the kernel for a FIFREEZE of the same filesystem that has not ended,
# and a disk that does not answer makes both hang. So each mount has a child of its own, noted in thawer.N.
# thaw_each WHO: start them for all that is noted as frozen and has none yet
thaw_each() {
    # Asked before the thaw: a freeze that was under way may complete after a thaw that came too early.
    QUIET=yes
    if holder_works; then QUIET=no; fi
    N=$COUNT
    while [ "$N" -ge 1 ]; do
        if ours "$N" && ! child "$N" && ! alive "thawer.$N"; then
            # A subshell: a function would keep our own output open, and whoever reads that would wait for the disk too.
            (thaw_recorded "$N" "$1") </dev/null >/dev/null 2>&1 &
            begun "$N" && note "thawer.$N" "$! $PROC_START"
        fi
        N=$((N - 1))
    done
    return 0
}

# thaw_recorded N WHO: the child; its note comes last, so whoever sees that has all of it. STATE and QUIET are as they were before the thaw.
thaw_recorded() {
    exec 9>&-
    if [ "$ROLE" = foreground ]; then ROLE=helper; fi
    thaw "$1"
    case $?/$STATE/$QUIET in
    0/*) emit thawed "mount=$TH_MNT" ok:false "text=thawed by $2" ;;
    # The holder's death opens its gate, so its children may have been faster.
    1/frozen/*) emit thawed "mount=$TH_MNT" ok:false "text=thawed before $2" ;;
    1/*/yes) ;;
    1/*) return ;;
    *)
        if ! has "told.$1"; then error thaw-failed "$TH_TEXT" "$TH_MNT"; fi
        note "told.$1" yes
        return
        ;;
    esac
    mark_window_end
    set_state "$1" thawed
}

# Does one of them still work?
thawing() {
    TG=$COUNT
    while [ "$TG" -ge 1 ]; do
        if child "$TG" || alive "thawer.$TG"; then return 0; fi
        TG=$((TG - 1))
    done
    return 1
}

# thaw_left WHO: 0 when nothing of the job in S is left frozen; what hangs is waited for a little, and goes on by itself.
thaw_left() {
    LE_N=0
    while thaw_each "$1" && still_frozen; do
        if [ $LE_N -ge 60 ]; then return 1; fi
        nap
        LE_N=$((LE_N + 1))
    done
}

# The last looks before the notes that entitle the guard to thaw: every descriptor still leads to its device, and nobody else froze it.
# Between this look and our own ioctl another owner may still come. Then ours is refused (EBUSY), which is noted as `foreign` before anything is
# thawed; only if the holder is killed in between would the guard, which reads `freezing`, thaw that other freeze. The kernel has no way to
# tell whose a freeze is, and to leave it could leave our own forever, so of the two wrongs this is the one that cannot hang the machine.
check_mounts() {
    N=1
    PROBES=''
    while [ "$N" -le "$COUNT" ]; do
        read -r FZ_MNT <"$S/mnt.$N"
        read -r FZ_DEV <"$S/dev.$N"
        if ! alive "pin.$N" || [ "$(stat -L -c %d "/proc/$AL_PID/fd/3" 2>/dev/null)" != "$FZ_DEV" ]; then
            stop device-changed 'the descriptor no longer leads to the device that was checked'
            return
        fi
        start_probe "/proc/$AL_PID/fd/3"
        PROBES="$PROBES $PROBE"
        N=$((N + 1))
    done
    N=0
    for P in $PROBES; do
        N=$((N + 1))
        if probe_blocks "$P"; then
            read -r FZ_MNT <"$S/mnt.$N"
            set_state "$N" foreign
            stop already-frozen 'another owner has frozen it'
            return
        fi
    done
    FZ_MNT=''
}

# What a child must not keep open; its holder's death would open no gate.
close_gates() { exec 4>&- 6>&- 7>&- 8>&- 9>&-; }
# No freeze begins after the deadline: nobody might be there any more to undo it.
in_time() {
    now
    if [ "$NOW" -ge "$DEADLINE" ]; then exit 9; fi
}

# gated STATE OPTION N: the child. Its own descriptor of the mount is 5; at the gate (3) it waits for the end of file.
gated() {
    close_gates
    if ! alive "pin.$3"; then exit 9; fi
    exec 5<"/proc/$AL_PID/fd/3"
    read -r GATE <&3 || :
    : "${GATE:-}"
    get_state "$3"
    # One that may be frozen is thawed; none is frozen without the note.
    case $1/$STATE in "$1/$1" | frozen/unclear) ;; *) exit 9 ;; esac
    if [ "$1" = freezing ]; then in_time; fi
    exec "$FSFREEZE" "$2" /proc/self/fd/5
}

# Put the children before their gates: freezers of all that do not freeze last, and thawers of all; those of what freezes last have a gate of their own.
open_gates() {
    mkfifo "$S/gate.freeze" "$S/gate.thaw" "$S/gate.last" || return 1
    exec 6<>"$S/gate.freeze" 8<>"$S/gate.thaw" 9<>"$S/gate.last"
    FREEZERS='' THAWERS=''
    exec 3<"$S/gate.freeze"
    N=1
    while [ "$N" -lt "$LAST" ]; do
        (gated freezing -f "$N") </dev/null >/dev/null 2<>"$S/freeze.$N" &
        FREEZERS="$FREEZERS $!"
        N=$((N + 1))
    done
    exec 3<"$S/gate.last"
    N=$COUNT
    while [ "$N" -ge 1 ]; do
        if [ "$N" -lt "$LAST" ]; then exec 3<"$S/gate.thaw"; fi
        (gated frozen -u "$N") </dev/null >/dev/null 2<>"$S/thaw.$N" &
        THAWERS="$THAWERS $!"
        N=$((N - 1))
    done
    exec 3<&-
}

# froze N EXIT: note what became of one freeze, and say it
froze() {
    read -r FZ_MNT <"$S/mnt.$1"
    if [ "$2" -eq 0 ] && set_state "$1" frozen; then
        now
        emit frozen "mount=$FZ_MNT" "took_ms:$((NOW - FZ_START))"
        return 0
    fi
    first_line "$S/freeze.$1"
    if [ "$2" -eq 0 ]; then
        # Undone at once, and still ours by its note.
        thaw "$1"
        LINE_1='its freeze could not be noted'
    fi
    if [ -z "$STOP_MNT" ]; then
        STOP_MNT=$FZ_MNT
        STOP_TEXT=${LINE_1:-"fsfreeze ended with $2"}
        STOP_CODE=freeze-failed
        case $STOP_TEXT in *busy*) STOP_CODE=already-frozen ;; esac
    fi
    case $2$LINE_1 in
    0*) ;;
    *busy*) set_state "$1" foreign ;;
    # Killed before it could say what it had done: it may be frozen, and it may be ours.
    "$2") if [ "$2" -eq 9 ]; then set_state "$1" failed; else set_state "$1" frozen; fi ;;
    *) set_state "$1" failed ;;
    esac
    return 1
}

# All at once, then those that freeze last one by one. 1 as soon as one failed; the caller thaws what is noted.
freeze_all() {
    STOP_MNT=''
    FZ_RC=0
    N=1
    while [ "$N" -lt "$LAST" ]; do
        set_state "$N" freezing || return
        N=$((N + 1))
    done
    window_begins
    FZ_START=$NOW
    exec 6>&-
    N=1
    for P in $FREEZERS; do
        wait "$P"
        froze "$N" $? || FZ_RC=1
        N=$((N + 1))
    done
    while [ "$FZ_RC" -eq 0 ] && [ "$N" -le "$COUNT" ]; do
        may_go_on || return 1
        alive "pin.$N" || return 1
        now
        FZ_START=$NOW
        set_state "$N" freezing || return
        (close_gates; in_time; exec "$FSFREEZE" -f "/proc/$AL_PID/fd/3") 2<>"$S/freeze.$N"
        froze "$N" $? || FZ_RC=1
        N=$((N + 1))
    done
    return $FZ_RC
}

# thawed_ours N CODE: say it, note it
thawed_ours() {
    if [ "$2" -eq 0 ] && has fired; then
        emit thawed "mount=$TH_MNT" ok:false 'text=thawed after the failsafe had fired'
    elif [ "$2" -eq 0 ]; then
        emit thawed "mount=$TH_MNT" ok:true
    else
        emit thawed "mount=$TH_MNT" ok:false "text=$TH_TEXT"
    fi
    if [ "$2" -eq 2 ]; then
        error thaw-failed "$TH_TEXT" "$TH_MNT"
        TO_RC=1
        return
    fi
    set_state "$1" thawed
    if [ "$2" -eq 1 ] && ! has fired; then THAWED_BY_OTHER=yes; fi
}

# As often as it takes, within reason.
thaw_again() {
    TRY=1
    while :; do
        thaw "$1"
        TH_RC=$?
        if [ "$TH_RC" -ne 2 ] || [ $TRY -ge 3 ]; then return "$TH_RC"; fi
        TRY=$((TRY + 1))
        "$SLEEP" 0.2
    done
}

# By hand, one by one, whatever is noted as frozen
thaw_down() {
    N=$COUNT
    while [ "$N" -ge 1 ]; do
        if ours "$N"; then
            thaw_again "$N"
            thawed_ours "$N" $?
        fi
        N=$((N - 1))
    done
}

# Thaw all that is ours, past every failure: what froze last, then the rest; said in reverse order.
# 0 when nothing of ours is left frozen.
thaw_ours() {
    TO_RC=0
    N=$COUNT
    exec 9>&-
    for P in $THAWERS; do
        if [ "$N" -lt "$LAST" ]; then exec 8>&-; fi
        wait "$P"
        TH_RC=$?
        if ours "$N"; then
            read -r TH_MNT <"$S/mnt.$N"
            first_line "$S/thaw.$N"
            TH_TEXT=$LINE_1
            case $TH_RC/$TH_TEXT in
            0/*) ;;
            *'nvalid argument'*)
                TH_TEXT='it was not frozen any more'
                TH_RC=1
                ;;
            *)
                # The child was killed or could not: by hand.
                thaw_again "$N"
                TH_RC=$?
                ;;
            esac
            thawed_ours "$N" "$TH_RC"
        fi
        N=$((N - 1))
    done
    exec 8>&-
    # No children yet, or too few.
    if [ $TO_RC -eq 0 ]; then thaw_down; fi
    if has window.start; then mark_window_end; fi
    ! still_frozen
}
