# --- state, and one job at a time ---

# JOBS: the directory of all jobs, this one's state is below it
choose_state_root() {
    JOBS=''
    for P in /run /dev/shm; do
        case $(stat -f -c %T "$P" 2>/dev/null) in tmpfs | ramfs) ;; *) continue ;; esac
        JOBS=$P/freezeframe
        return 0
    done
    return 1
}

make_state_root() {
    mkdir -m 700 "$JOBS" 2>/dev/null || :
    [ -d "$JOBS" ] && [ ! -L "$JOBS" ] && [ "$(stat -c %u:%a "$JOBS")" = 0:700 ]
}

# Systems Manager may deliver a command twice, or late; Data Lifecycle Manager may try an execution again, with another command. So there are two
# kinds of markers, and neither pre-script nor snapshot gets past one that is meant for it:
#   seen.COMMAND  this command was delivered once, whatever came of it: refused because another job is at work, failed, killed or frozen
#   over.JOB      the job was frozen once, or post-script ended it. In it: `fired` or `released`, and the number of the job's last event
# The agent runs the script below a directory that bears the command's id. Where no id can be had the job's stands for it, so a failed pre-script cannot
# be tried again under that id. Without either (job `dlm`) nothing tells one delivery from the next.
find_delivery() {
    DELIVERY=${SSM_COMMAND_ID:-}
    case $0 in */orchestration/*/*)
        DELIVERY=${0##*/orchestration/}
        DELIVERY=${DELIVERY%%/*}
        ;;
    esac
    case $DELIVERY in '' | *[!A-Za-z0-9-]*) DELIVERY=$JOB ;; esac
}

# delivered: note that this command was delivered, before anything else can end it. 1 when that cannot be noted. REPEATED: it was noted before.
delivered() {
    find_delivery
    REPEATED=no
    if [ "$DELIVERY" = dlm ]; then return; fi
    # Of deliveries at the same moment one makes it.
    (set -C; : >"$JOBS/seen.$DELIVERY") 2>/dev/null && return
    REPEATED=yes
    [ -e "$JOBS/seen.$DELIVERY" ]
}

# Did the agent take this command before the machine started? It keeps waiting ones on its disk, and runs them after a reboot whatever their age: whoever
# sent it has given up, and no marker of that time is left. The agent makes a directory for each command that it takes (idempotency, for 10 minutes at
# least), and keeps the service's own time of it, by another clock, so five minutes are left for that.
from_before_boot() {
    case $0 in */document/*/"$DELIVERY"/*) ;; *) return 1 ;; esac
    BOOT=$(sed -n 's/^btime //p' /proc/stat)
    for P in "${0%%/document/*}"/idempotency/*/"$DELIVERY" "${0%%/"$DELIVERY"/*}/$DELIVERY"; do
        FB=$(stat -c %Y "$P" 2>/dev/null) && [ "$FB" -lt "$BOOT" ] && return
    done
    for P in "${0%%/document/*}"/document/state/*/"$DELIVERY"; do
        FB=$(sed -n 's/.*"CreatedDate": *"\([0-9][^"]*\)".*/\1/p' "$P" 2>/dev/null | tail -n 1)
        [ -n "$FB" ] && FB=$(date -d "$FB" +%s 2>/dev/null) && [ $((FB + 300)) -lt "$BOOT" ] && return
    done
    return 1
}

# over [WORD]: the marker of the job in S, or of JOB where there is none. 1 when it cannot be laid.
over() {
    OV_WORD=${1:-released} OV_JOB=$JOB OV_SEQ=$SEQ
    if [ -n "$S" ]; then
        OV_JOB=${S##*/}
        if has seq; then OV_SEQ=$LINE_1; fi
        if has fired; then OV_WORD=fired; fi
    fi
    if [ "$OV_JOB" = dlm ]; then return 0; fi
    # One more for `end`, which comes when the job is forgotten.
    make_state_root && { printf '%s %s\n' "$OV_WORD" $((OV_SEQ + 1)) 1<>"$JOBS/over.$OV_JOB"; } 2>/dev/null
}

# What the job's marker says, in MARKER (empty when there is none); its events go on where the last one was. A blank one is a marker too.
read_marker() {
    MARKER='' ST_SEQ=''
    { read -r MARKER ST_SEQ <"$JOBS/over.$JOB"; } 2>/dev/null || [ -e "$JOBS/over.$JOB" ] || return 1
    SEQ=${ST_SEQ:-0}
}

# Does the job that holds the lock (TL_JOB) still work? OTHER is the lock's value, empty when nobody holds it.
job_at_work() {
    OTHER=$(readlink "$JOBS/active" 2>/dev/null) || OTHER=''
    TL_JOB=${OTHER%%:*}
    TL_START=${OTHER##*:}
    TL_PID=${OTHER#*:}
    TL_PID=${TL_PID%:*}
    [ -n "$OTHER" ] || return
    S=$JOBS/$TL_JOB JW=0
    lives "$TL_PID" "$TL_START" || helped || JW=1
    S=''
    return $JW
}

# take_lock: 0 ours; 1 another job, or this one, is at work (BUSY_CODE); 2 a stale freeze could not be undone
take_lock() {
    BUSY_CODE=''
    exec 9>>"$JOBS/mutex"
    if ! "$FLOCK" -w 5 9; then
        exec 9>&-
        BUSY_CODE=busy
        return 1
    fi
    TL_RC=0
    # Nothing is delivered after two days.
    find "$JOBS" -maxdepth 1 -name '*.*' -type f -mmin +2880 -exec rm -f {} + 2>/dev/null || :
    AT_WORK=''
    if job_at_work; then
        AT_WORK=$TL_JOB
    elif [ -n "$OTHER" ]; then
        S=$JOBS/$TL_JOB
        sweep || TL_RC=2
        S=''
        if [ $TL_RC -eq 0 ]; then rm -f "$JOBS/active"; fi
    fi
    if read_marker; then
        BUSY_CODE=over
    elif [ "$AT_WORK" = "$JOB" ]; then
        BUSY_CODE=already-frozen
    elif [ "$REPEATED" = yes ]; then
        BUSY_CODE=repeated
    elif [ -n "$AT_WORK" ]; then
        BUSY_CODE=busy
    elif [ $TL_RC -eq 0 ]; then
        process $$
        LOCK_VALUE="$JOB:$$:$PROC_START"
        rm -rf "${JOBS:?}/$JOB"
        if ! mkdir -m 700 "$JOBS/$JOB" 2>/dev/null || ! ln -s "$LOCK_VALUE" "$JOBS/active"; then
            BUSY_CODE=arm-failed
        fi
    fi
    if [ $TL_RC -eq 0 ] && [ -n "$BUSY_CODE" ]; then TL_RC=1; fi
    exec 9>&-
    return $TL_RC
}

# A service that the job in S stopped, where there is one, is told to start. Here and not in its recipe, because the document that finds
# an abandoned job may be another. A second order does nothing.
order_start() {
    { read -r UNIT <"$S/stopped"; } 2>/dev/null || return 0
    OS_TOOL=$(tool_path systemctl) || return 0
    if "$OS_TOOL" start --no-block "$UNIT" >/dev/null 2>&1; then rm -f "$S/stopped"; fi
}

# A job in S whose processes are gone: thaw what it recorded as its own, then forget it.
sweep() {
    has count
    COUNT=${LINE_1:-0}
    thaw_left 'the next job' || return
    recipe_kill
    order_start
    end_pins
    if has ready; then over; fi
    rm -rf "$S"
}

end_pins() {
    EP_N=1
    while [ -e "$S/pin.$EP_N" ]; do
        end_process "pin.$EP_N"
        EP_N=$((EP_N + 1))
    done
    end_process net
}

# Forget the job, unless something of it is still frozen, a process still works on it, or its marker cannot be laid.
forget() {
    if has ready || [ "$COMMAND" != pre-script ]; then over || return; fi
    if still_frozen || helped; then return; fi
    drop_job
}
drop_job() {
    end_pins
    DJ_DIR=$S
    S=''
    rm -rf "$DJ_DIR"
    case $(readlink "$JOBS/active" 2>/dev/null) in "$JOB":*) rm -f "$JOBS/active" ;; esac
}

# Print what the holder and the guard have said since the last time.
drain() {
    [ -f "$S/events" ] || return 0
    DR_N=0
    while read -r DR_TYPE DR_MS DR_BODY; do
        DR_N=$((DR_N + 1))
        if [ "$DR_N" -gt "$PRINTED" ]; then print_event "$DR_TYPE" "$DR_MS" "$DR_BODY"; fi
    done <"$S/events"
    PRINTED=$DR_N
    note printed "$PRINTED"
}

# --- the commands ---

hello() {
    emit hello "recipe=$RECIPE" version:$DOCUMENT_VERSION "job=$JOB" "command=$COMMAND"
}

refuse() {
    error "$@"
    if [ -n "$S" ]; then drop_job; fi
    finish refused 206
}

# must FILE TEXT: a note without which nothing may freeze
must() { note "$@" || refuse arm-failed "no room in $JOBS"; }

# found_tool NAME PATH: an empty path is a missing tool
found_tool() {
    if [ "$COMMAND" = dry-run ]; then emit tool "name=$1" ${2:+"path=$2"}; fi
    if [ -z "$2" ]; then MISSING="$MISSING $1"; fi
}

need_tool() {
    NT=$(tool_path "$1") || NT=''
    found_tool "$1" "$NT"
}

find_tools() {
    MISSING=''
    need_tool sh; SH=$NT
    need_tool fsfreeze; FSFREEZE=$NT
    need_tool findmnt; FINDMNT=$NT
    need_tool setsid; SETSID=$NT
    need_tool flock; FLOCK=$NT
    need_tool sleep; SLEEP=$NT
    need_tool rmdir; RMDIR=$NT
    for P in readlink stat sync mkfifo grep sed tr cut tail cp rm mkdir ln id date cat sort; do need_tool "$P"; done
    recipe_tools
}

# Everything that must hold before anything is touched; the same for dry-run, pre-script and snapshot.
preflight() {
    # There it sees no filesystem of the host, but those of single files that are mounted for it (/etc/hosts): never those.
    if [ -n "${ECS_CONTAINER_METADATA_URI_V4:-}${ECS_CONTAINER_METADATA_URI:-}" ] || [ -e /.bottlerocket ] || grep -qs '"ContainerMode": *true' /etc/amazon/ssm/amazon-ssm-agent.json; then
        refuse in-container 'the agent runs in a container, which sees no filesystem of the instance'
    fi
    WANTED=$MOUNTS
    if [ "$WANTED" != auto ]; then
        WANTED=$(printf '%s' "$MOUNTS" | sed 's;//*;/;g; s;\([^,]\)/,;\1,;g; s;\([^,]\)/$;\1;')
    fi
    scan_mounts
    if [ "$COMMAND" = dry-run ]; then
        for P in $AGENT_PATHS "${0%/*}"; do
            [ -e "$P" ] || continue
            superblock_of "$P"
            emit agent "path=$P" "mount=$SB_MOUNT"
        done
    fi
    if [ -n "$UNKNOWN_PLACE" ]; then refuse no-tool "findmnt does not tell on which filesystem $UNKNOWN_PLACE lies, so it could be one that must not freeze"; fi
    if [ -n "$REFUSAL" ]; then
        RF_REST=${REFUSAL#*|}
        refuse "${REFUSAL%%|*}" "${RF_REST#*|}" "${RF_REST%%|*}"
    fi
    while IFS= read -r P; do
        if [ -n "$P" ]; then emit note "text=$P"; fi
    done <<END
$WARNING
END
    if [ -z "$COVERED" ]; then refuse no-mounts "no mounted filesystem on an EBS volume can be frozen here$LEFT_OUT"; fi
    # What the lines of one mount need, and those at the end
    PF=70
    if autonomous; then PF=210; fi
    PF_BYTES=$((PRINTED_BYTES + ${#COVERED} * PF / 70 + 2000))
    while IFS='|' read -r C_ID _ C_AT; do
        if [ -z "$C_ID" ]; then continue; fi
        PF_BYTES=$((PF_BYTES + PF))
        if [ "$PF_BYTES" -gt 24000 ]; then refuse bad-parameter 'what there would be to tell of all these mounts is more than the 24,000 characters that the agent keeps; name fewer in mounts'; fi
        if is_frozen "$C_AT"; then refuse already-frozen 'another owner has frozen it' "$C_AT"; fi
    done <<END
$COVERED
END
    PF_DIRTY=0
    while read -r KEY VALUE _; do
        case $KEY in Dirty: | Writeback:) PF_DIRTY=$((PF_DIRTY + VALUE)) ;; esac
    done </proc/meminfo
    if [ "$PF_DIRTY" -ge 4000000 ]; then
        emit note "text=$((PF_DIRTY / 1000000)) GB are in memory only (Dirty and Writeback in /proc/meminfo) and are written before the freeze: about $((PF_DIRTY / 125000)) s at 125 MB/s, which is what one gp3 volume does as it comes"
    fi
    recipe_preflight
    autonomous_preflight
}

# What a pin does: it waits at its gate, and thaws what is then still noted as frozen, or about to be, or cannot be read. Nothing is started for that.
# shellcheck disable=SC2016 # for the shell that it is given to
PIN_CODE='read -r G; W=; read -r W <"$1"; case $W in open | thawed | foreign | failed) ;; *) exec "$2" -u /proc/self/fd/3 ;; esac'

# Open each mount in a process of its own that keeps that descriptor; check that it is the mount that was judged.
pin_mounts() {
    for P in net printed call ready pre.done release answered fired disarm outcome window.start window.end; do must "$P" ''; done
    must seq "$SEQ"
    COUNT=0
    mkfifo "$S/gate.net" 2>/dev/null || refuse arm-failed "no room in $JOBS"
    exec 7<>"$S/gate.net"
    while IFS='|' read -r C_ID _ C_AT; do
        if [ -z "$C_ID" ]; then continue; fi
        COUNT=$((COUNT + 1))
        for P in pin told thawer freeze thaw; do must "$P.$COUNT" ''; done
        # Not a job of this shell: some shells report the end of theirs.
        (
            exec 7>&-
            "$SETSID" "$SH" -c "$PIN_CODE" pin "$S/st.$COUNT" "$FSFREEZE" <"$S/gate.net" 3<"$C_AT" >/dev/null 2>&1 &
            note_process $! "pin.$COUNT"
        )
        PIN=0
        { read -r PIN PIN_START <"$S/pin.$COUNT"; } 2>/dev/null || :
        : "${PIN_START:-}"
        PN_ID='' PN_TRY=0
        while [ $PN_TRY -lt 40 ]; do
            # Out of our process group and past its exec?
            if process "$PIN" && [ "$PROC_SESSION" = "$PIN" ]; then
                while read -r KEY VALUE; do
                    if [ "$KEY" = mnt_id: ]; then PN_ID=$VALUE; fi
                done <"/proc/$PIN/fdinfo/3"
                break
            fi
            nap
            PN_TRY=$((PN_TRY + 1))
        done
        PN_DEVICE=$(stat -L -c %d "/proc/$PIN/fd/3" 2>/dev/null)
        if [ "$PN_ID" != "$C_ID" ] || [ -z "$PN_DEVICE" ] || { [ "$C_AT" != / ] && [ "$PN_DEVICE" = "$(stat -c %d "$C_AT/.." 2>/dev/null)" ]; }; then
            refuse device-changed 'the mount changed while it was looked at' "$C_AT"
        fi
        must "dev.$COUNT" "$PN_DEVICE"
        must "id.$COUNT" "$C_ID"
        must "mnt.$COUNT" "$C_AT"
        must "st.$COUNT" open
    done <<END
$COVERED
END
    LAST=$((COUNT - COVERED_LAST + 1))
    must last "$LAST"
    must count "$COUNT"
}

dry_run() {
    hello
    check_parameters
    choose_state_root || :
    find_tools
    check_tools
    preflight
    if autonomous; then
        if ! prove_call; then refuse "$STOP_CODE" "$STOP_TEXT"; fi
        say_prepared
    fi
    finish ok 0
}

check_tools() {
    if [ -n "$MISSING" ]; then refuse no-tool "missing:$MISSING"; fi
    if [ -z "$JOBS" ]; then refuse arm-failed 'neither /run nor /dev/shm is in memory'; fi
}

# From the first look to the holder's start; the same for pre-script and snapshot.
begin() {
    check_parameters
    choose_state_root || :
    find_tools
    if [ -z "$JOBS" ] || ! make_state_root || ! delivered || [ -n "$MISSING" ]; then
        hello
        check_tools
        refuse arm-failed "$JOBS is full, or not a directory of root's alone"
    fi
    if from_before_boot; then
        hello
        refuse before-boot 'this command waited in the agent since before the machine started; nobody waits for it any more'
    fi
    take_lock
    case $? in
    0) ;;
    1)
        if [ "$BUSY_CODE" = already-frozen ]; then
            first_line "$JOBS/$JOB/seq"
            SEQ=${LINE_1:-0}
        fi
        hello
        case $BUSY_CODE in
        over)
            error over 'this job is over on this instance'
            over "$MARKER" || :
            ;;
        repeated) error repeated 'this command was delivered before; it does its work once' ;;
        arm-failed) refuse arm-failed "no room in $JOBS" ;;
        *) error "$BUSY_CODE" 'a freezeframe job is at work on this instance' ;;
        esac
        finish refused 204
        ;;
    *)
        hello
        error thaw-failed 'an earlier job left a filesystem frozen that cannot be thawed'
        finish failed 201
        ;;
    esac
    S=$JOBS/$JOB
    hello
    preflight
    note_process $$ foreground
    if autonomous; then must autonomous yes; fi
    # The guard and the holder run a copy in memory, so that no frozen or slow disk lies under their own text.
    if ! grep -q 'freezeframe' "$0" 2>/dev/null || ! cp "$0" "$S/script" 2>/dev/null; then
        refuse arm-failed "the script cannot copy itself into $JOBS"
    fi
    pin_mounts
    sync_mounts
    "$SETSID" "$SH" "$S/script" --guard "$S" </dev/null >/dev/null 2>&1 &
    exec 7>&-
    wait_for 3000 "$S/guard.up" $!
    if ! alive guard.up; then
        note disarm yes
        error arm-failed 'the failsafe did not come up; nothing was frozen'
        drop_job
        finish failed 201
    fi
    if autonomous; then
        # Not a job of this shell: some shells report the end of theirs.
        (
            give_credentials | "$SETSID" "$SH" "$S/script" --holder "$S" >/dev/null 2>&1 &
            note holder.pid $!
        )
        read -r HOLDER <"$S/holder.pid"
        KEY_SECRET='' KEY_TOKEN=''
    else
        "$SETSID" "$SH" "$S/script" --holder "$S" </dev/null >/dev/null 2>&1 &
        HOLDER=$!
    fi
    now
}

pre_script() {
    begin
    LIMIT=$((NOW + BUDGET * 1000 + 5000))
    while ! has ready && ! has outcome; do
        now
        if [ "$NOW" -ge "$LIMIT" ]; then break; fi
        if ! process "$HOLDER" && ! alive guard.up; then break; fi
        drain
        nap
    done
    if has ready && ! has fired && ! has outcome; then
        note pre.done yes
        drain
        finish ok 0
    fi
    wait_for_end 10000
    thaw_left_over
    forget
    finish failed 201
}

# wait_for MS FILE PID: until FILE has content or the process has ended
wait_for() {
    now
    WF=$((NOW + $1))
    while [ ! -s "$2" ] && process "$3"; do
        now
        if [ "$NOW" -ge "$WF" ]; then return 1; fi
        nap
    done
}

# Until the holder and the guard are both gone, at most MS
wait_for_end() {
    now
    WE=$((NOW + $1))
    while helped; do
        now
        if [ "$NOW" -ge "$WE" ]; then return 1; fi
        drain
        nap
    done
}

# Where both helpers are gone or stuck: thaw here what they recorded.
thaw_left_over() {
    drain
    if has outcome && ! still_frozen; then return; fi
    error release-lost 'the holder did not answer; thawing what it recorded'
    rm -f "$S"/told.*
    if thaw_left 'the command, the holder was lost'; then mark_window_end; fi
    recipe_kill
    drain
}

probe_recorded() {
    N=1
    while [ "$N" -le "$COUNT" ]; do
        PR=false
        if looks_frozen "$N"; then PR=true; fi
        PR_WHY=''
        if ours "$N" && [ "$PR$STATE" != falseunclear ]; then
            LEFT=yes
            if ! has "told.$N"; then PR_WHY='its freeze or its thaw hangs: the disk does not answer'; fi
        elif [ "$PR$STATE" = truethawed ]; then
            LEFT=yes PR_WHY='it was thawed, and it is frozen'
        fi
        if [ -n "$PR_WHY" ]; then error thaw-failed "$PR_WHY" "$LF_MNT"; fi
        emit probe "mount=$LF_MNT" "frozen:$PR"
        N=$((N + 1))
    done
}

say_window() {
    if has window.start; then
        W_START=$LINE_1
        if has window.end; then emit window "window_ms:$((LINE_1 - W_START))"; fi
    fi
}

post_script() {
    check_parameters
    choose_state_root || :
    find_tools
    if [ -n "$MISSING" ] || [ -z "$JOBS" ]; then
        hello
        check_tools
    fi
    if [ ! -s "$JOBS/$JOB/count" ]; then
        # The marker first, and then the look: a pre-script that begins now sees the one, and this sees a pre-script that began before.
        if ! read_marker && ! over; then
            hello
            error busy "no room in $JOBS to note that the job is over"
            finish failed 202
        fi
        if [ -d "$JOBS/$JOB" ] && job_at_work && [ "$TL_JOB" = "$JOB" ]; then
            hello
            error busy 'the command is still at work'
            finish failed 202
        fi
        not_frozen
    fi
    S=$JOBS/$JOB
    read -r COUNT <"$S/count"
    has seq
    SEQ=${LINE_1:-0}
    has printed
    PRINTED=${LINE_1:-0}
    if has autonomous; then end_autonomous; fi
    hello
    if ! has ready && alive foreground; then
        error busy 'the command is still at work'
        finish failed 202
    fi
    if alive holder.up; then
        # Where memory is full the guard can still be told: thawed now, and no label for it.
        note release yes || { alive guard.up && kill -TERM "$AL_PID"; }
        now
        LIMIT=$((NOW + 20000))
        while ! has outcome && helped; do
            now
            if [ "$NOW" -ge "$LIMIT" ]; then break; fi
            nap
        done
    fi
    wait_for_end 5000 || :
    thaw_left_over
    report 202
}

# A job in autonomous mode is told to stop, and its own command is left to tell of it. Only where that was killed is there something to report here.
end_autonomous() {
    note release yes
    now
    LIMIT=$((NOW + 20000))
    # Where a killed command left its work, the holder and the guard are waited for by the caller.
    while alive foreground; do
        now
        if [ "$NOW" -ge "$LIMIT" ]; then return; fi
        if has seq; then SEQ=$LINE_1; fi
        nap
    done
    if [ -s "$S/count" ]; then return; fi
    # It has told of it, and its marker says where it ended.
    S=''
    read_marker || :
    not_frozen
}

# report CODE: what became of the job, and its end with the exit code that follows (CODE when it failed).
report() {
    READY=no
    if has ready; then READY=yes; fi
    OUTCOME=lost
    if has outcome; then OUTCOME=$LINE_1; fi
    FIRED=no
    if has fired; then FIRED=yes; fi
    LEFT=no
    probe_recorded
    if [ $LEFT = no ]; then say_window; fi
    if [ "$COMMAND$LEFT" = post-scriptno ] && [ "$FIRED" = no ] && [ "$OUTCOME" = failed ] && [ "$READY" = no ]; then
        error not-frozen 'pre-script had failed and everything was released'
    fi
    forget
    if [ "$FIRED" = yes ]; then finish failed 203; fi
    if [ "$LEFT" = yes ]; then finish failed "$1"; fi
    if [ "$OUTCOME" = released ]; then finish ok 0; fi
    if [ "$COMMAND" = post-script ] && [ "$READY" = no ]; then finish failed 205; fi
    finish failed "$1"
}

# No such job here: say so, and say of each mount that could have been meant whether it is frozen.
not_frozen() {
    hello
    NF_EXIT=205
    if [ "$MARKER" = fired ]; then
        error failsafe-fired 'the failsafe had ended this job, as was told before'
        emit disarmed fired:true
        NF_EXIT=203
    else
        error not-frozen 'no such job is frozen on this instance'
    fi
    WANTED=all FREEZE_ROOT=no
    ROLE=silent
    scan_mounts
    ROLE=foreground
    while IFS='|' read -r C_ID _ C_AT; do
        if [ -z "$C_ID" ]; then continue; fi
        PR=false
        if is_frozen "$C_AT"; then PR=true; fi
        emit probe "mount=$C_AT" "frozen:$PR"
    done <<END
$COVERED
END
    over "$MARKER" || :
    finish failed $NF_EXIT
}

check_parameters() {
    check budgetSeconds "$BUDGET" '^[1-9][0-9]{0,2}$'
    check mounts "$MOUNTS" '^(auto|/[A-Za-z0-9._/@+-]*(,/[A-Za-z0-9._/@+-]*)*)$'
    check mode "$MODE" '^(coordinated|autonomous)$'
    check freezeRoot "$FREEZE_ROOT" '^(no|yes)$'
    check recipe "$RECIPE_NAME" '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
    case $COMMAND/$MODE in snapshot/* | dry-run/autonomous) AUTONOMOUS=yes ;; esac
    # The agent needs its files to take the next command; only where one command does it all may they freeze.
    if [ "$FREEZE_ROOT" = yes ] && [ "$COMMAND" != post-script ] && [ "$AUTONOMOUS" = no ]; then bad_parameter 'freezeRoot is for snapshot only'; fi
    recipe_parameters
}

# check NAME VALUE ERE: the service has done so too, before the value was written into this script
check() { matches "$2" "$3" || bad_parameter "$1 does not fit $3"; }

bad_parameter() {
    if [ "$SEQ" = 0 ]; then hello; fi
    refuse bad-parameter "$1"
}

main() {
    cd / || exit 201
    JOB=dlm
    COVERED_LAST=0
    LAST=0
    CLIENT=''
    if [ "$RECIPE_NAME" = auto ]; then RECIPE_NAME=$RECIPE; fi
    case ${1:-} in
    --guard | --holder)
        S=$2
        JOBS=${S%/*}
        JOB=${S##*/}
        read -r COUNT <"$S/count"
        read -r LAST <"$S/last"
        if has autonomous; then AUTONOMOUS=yes; fi
        find_tools_quietly
        if [ "$1" = --guard ]; then guard; else holder; fi
        exit 201
        ;;
    esac
    end_as_failure
    if ! matches "$EXECUTION_ID" '^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12})$'; then
        bad_parameter 'executionId is neither None nor a UUID'
    fi
    if [ "$EXECUTION_ID" != None ]; then
        JOB=$EXECUTION_ID
    elif [ "$COMMAND" = snapshot ]; then
        # A maintenance window gives no id, and each of its sets must be one of its own.
        { read -r JOB </proc/sys/kernel/random/uuid; } 2>/dev/null || bad_parameter 'executionId is None, and this kernel makes no id for the set'
    fi
    if [ "$(id -u)" != 0 ]; then
        hello
        refuse not-root 'this document must run as root'
    fi
    case $COMMAND in
    dry-run) dry_run ;;
    pre-script) pre_script ;;
    post-script) post_script ;;
    snapshot) snapshot ;;
    *)
        hello
        error unknown-command 'command is none of pre-script, post-script, dry-run, snapshot'
        finish refused 201
        ;;
    esac
}

find_tools_quietly() {
    COMMAND=quiet
    find_tools
}
