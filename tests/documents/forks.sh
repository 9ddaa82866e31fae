# shellcheck shell=bash
# No process can be started any more: the service's limit of processes is reached, or memory is. Whatever is frozen must be thawed by who is there already.
# A control group of our own is cut under the running job. (RLIMIT_NPROC is no substitute: it does not bind root, and the documents run as root.)

pids_group() { # GROUP_AT, and WITHIN: what is started runs in it
    local at
    for at in /sys/fs/cgroup/pids /sys/fs/cgroup; do
        GROUP_AT=$at/${W##*/}
        if mkdir "$GROUP_AT" 2>/dev/null; then
            if [ -e "$GROUP_AT/pids.max" ]; then
                # shellcheck disable=SC2016 # words of the shell within
                WITHIN=(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$GROUP_AT")
                return 0
            fi
            rmdir "$GROUP_AT"
        fi
    done
    WHY='SKIPPED no control group that limits processes can be made here'
    return 1
}
no_more_processes() { echo 1 >"$GROUP_AT/pids.max"; }
processes_again() { echo max >"$GROUP_AT/pids.max"; }
no_pids_group() {
    WITHIN=()
    processes_again
    after_test
    await 5 rmdir "$GROUP_AT" 2>/dev/null
}
# with_each_shell FUNCTION: under dash and under bash as /bin/sh, as far as they are here
with_each_shell() {
    local name rc at
    pids_group || return 0
    at=$(readlink -f /bin/sh)
    for name in dash bash; do
        SHELL_HERE=$(command -v $name) || continue
        if [ $name = dash ] && [ -n "${FF_SH:-}" ]; then continue; fi
        if [ $name = bash ]; then mount --bind "$SHELL_HERE" "$at" || return 1; fi
        "$1"
        rc=$?
        processes_again
        after_test
        if [ $name = bash ]; then umount "$at" 2>/dev/null || umount -l "$at"; fi
        if [ $rc != 0 ]; then WHY="$name: $WHY"; break; fi
    done
    no_pids_group
    return $rc
}
reported_as_failed() { # a job whose freeze did not last: whatever is told, not success
    case $RC in 20[1-3]) ;; *) fail "exit $RC: $(order)"; return 1 ;; esac
    [ "$(events '[.[] | select(.t=="thawed" and .ok)] | length')" = 0 ] || [ "$RC" != 0 ] || { fail "claims a thaw of its own: $(order)"; return 1; }
}

test_forks_no_process_can_be_started_while_frozen() { with_each_shell forks_coordinated; }
forks_coordinated() {
    outer
    start $FS pre-script "executionId=$JOB1" budgetSeconds=9
    await 15 says yes ready && frozen "$W/data" && frozen "$W/logs" || { fail 'not frozen'; return 1; }
    await 5 gone "$GROUP" || { fail 'pre-script hangs'; return 1; }
    no_more_processes
    await 10 thawed "$W/data" && await 1 thawed "$W/logs" || { fail 'not thawed a second after the budget'; return 1; }
    processes_again
    run $FS post-script "executionId=$JOB1" && reported_as_failed
}

# The root and what freezes last with it, while EC2 is asked: nobody could start a program from it either.
test_forks_no_process_can_be_started_while_the_root_is_frozen() {
    if ! signs; then WHY='SKIPPED no curl that signs (7.75 or later), no AWS CLI'; return 0; fi
    with_each_shell forks_root
}
forks_root() {
    little_system || { fail 'no little system'; no_little_system; return 1; }
    forks_root_cases
    local rc=$?
    processes_again
    no_little_system
    return $rc
}
forks_root_cases() {
    fake slow=6
    outer_system
    in_system snapshot freezeRoot=yes "executionId=$JOB1" budgetSeconds=11
    await 15 called && frozen "$W/sys" && frozen "$W/data" || { fail 'no call, or not frozen'; return 1; }
    no_more_processes
    await 12 thawed "$W/sys" && await 1 thawed "$W/data" || { fail 'not thawed a second after the budget'; return 1; }
    processes_again
    finished || return 1
    # A shell that waits for a process to be startable again may come to an honest end.
    case $RC in 0) called_once ;; 20[1-3]) ;; *) fail "exit $RC: $(order)" ;; esac
}

# All that works on the job is killed, or stands still: the pins are left.
test_forks_the_pins_thaw_when_nobody_else_does() {
    local how holder
    for how in KILL STOP; do
        outer
        run $FS pre-script "executionId=$JOB1" budgetSeconds=9 && expect 0 || return 1
        holder=$(events '.[] | select(.t=="armed") | .holder_pid')
        # Those that stand still first, or else its end would open their gate.
        # shellcheck disable=SC2046
        kill -$how $(ps -o pid= -s "$holder" | grep -vw "$holder") "$holder" "$(events '.[] | select(.t=="armed") | .guard_pid')" 2>/dev/null
        frozen "$W/data" && frozen "$W/logs" || { fail "$how: thawed by somebody"; return 1; }
        await 10 thawed "$W/data" && await 1 thawed "$W/logs" || { fail "$how: not thawed a second after the budget"; return 1; }
        if [ $how = STOP ]; then kill -CONT -- "-$holder" "-$(events '.[] | select(.t=="armed") | .guard_pid')"; fi
        run $FS post-script "executionId=$JOB1" && reported_as_failed || { WHY="$how: $WHY"; return 1; }
        await 5 no_pins || { fail "$how: a pin is left"; return 1; }
        after_test
    done
}

# A job that ended well leaves no pin, and no sleeping process at their gate.
test_forks_pins_go_with_the_job() {
    outer
    run $FS pre-script "executionId=$JOB1" budgetSeconds=40 && expect 0 || return 1
    local net; net=$(cut -d' ' -f1 "/run/freezeframe/$JOB1/net")
    ! gone "$net" || { fail 'nobody counts the seconds for the pins'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    await 3 no_pins && await 3 gone "$net" || fail 'left behind'
}
