# shellcheck shell=bash
# `sync -f FILE` came with coreutils 8.24; before, sync knows only the whole machine, and waits for a dead NFS server among the rest.

# old_sync LINE…: a sync without -f, which notes when it is called and then does LINE…
old_sync() {
    : >"$W/syncs"
    # shellcheck disable=SC2016 # words of the stand-in
    stand_in sync 'case "$1" in -*) echo "sync: invalid option" >&2; exit 1 ;; esac' \
        "if [ -n \"\$(cat /run/freezeframe/*/guard.up 2>/dev/null)\" ]; then echo armed >>$W/syncs; else echo \"before \$(readlink /proc/\$\$/fd/1)\" >>$W/syncs; fi" "$@"
}

test_sync_of_the_whole_machine_is_done_once_before_anything_is_held() {
    outer
    old_sync 'exec "$REAL"' || { fail 'no sync'; return 1; }
    run_aside $FS pre-script "executionId=$JOB1"
    real_again
    expect 0 && [ "$(cat "$W/syncs")" = 'before /dev/null' ] || { fail "$WHY synced: $(cat "$W/syncs")"; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0
}

test_sync_that_hangs_holds_nothing() {
    local rc
    outer
    old_sync "echo \$\$ >$W/sync.pid" 'exec sleep 300' || { fail 'no sync'; return 1; }
    run_aside $FS pre-script "executionId=$JOB1" budgetSeconds=10
    rc=$?
    real_again
    PIDS="$PIDS $(cat "$W/sync.pid")"
    [ $rc = 0 ] && expect 0 && [ "$(cat "$W/syncs")" = 'before /dev/null' ] || { fail "$WHY synced: $(cat "$W/syncs")"; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0
}
