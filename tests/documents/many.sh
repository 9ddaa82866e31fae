# shellcheck shell=bash
# Hosts with hundreds of mounts (containers, snaps, subPaths of pods): what the console decides from fits into the 24,000 characters that the agent keeps.

many_mounts() { # beside data and logs: 250 mounts of one filesystem on the volume of logs, which does not freeze, and 100 of one on no volume
    local n
    make_volume foreign ext4 '' 40M || return 1
    ln -s "$LOOP_other" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa2_1
    mkdir -p "$W/other/tmp" "$W/many"
    for n in $(seq 1 250); do mkdir -p "$W/many/container-overlay-$n" && mount --bind "$W/other" "$W/many/container-overlay-$n" || return 1; done
    for n in $(seq 1 100); do mkdir -p "$W/many/snap-of-a-package-$n" && mount --bind "$W/foreign" "$W/many/snap-of-a-package-$n" || return 1; done
}
no_many_mounts() {
    local n
    for n in "$W"/many/*; do umount "$n"; done
    umount "$W/foreign"
    rm -rf "$W/many" /dev/disk/by-id/*aaa2_1
}
test_many_mounts_fit_into_what_the_agent_keeps() {
    many_mounts && many_cases
    local rc=$?
    no_many_mounts
    return $rc
}
many_cases() {
    local more lines
    TMPDIR=$W/other/tmp run $FS dry-run && expect 0 || return 1
    lines=$(events '[.[] | select(.t=="mount")] | length')
    more=$(events '.[] | select(.t=="note") | .text' | cut -d' ' -f1)
    [ "${more:-0}" -gt 200 ] && [ $((lines + more)) -ge 352 ] || { fail "$lines mounts told, $more counted"; return 1; }
    said_of "$W/data" covered 'the one that freezes' && said_of "$W/logs" "freezing it earns nothing: $W/other on its volume is not frozen" 'the one whose volume is lowered' || return 1
    [ "$(events '[.[] | select(.t=="mount" and .covered == false and (.volumes | index("vol-0aaaaaaaaaaaaaaa2")))] | length')" -ge 2 ] || { fail 'what lowers the volume is not told'; return 1; }
    outer
    TMPDIR=$W/other/tmp run $FS pre-script "executionId=$JOB1" && expect 0 && frozen "$W/data" || { fail "$WHY"; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    # One that comes last and lowers a volume of its own is told as well.
    ln -s "$LOOP_foreign" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa1_1
    TMPDIR=$W/foreign run $FS dry-run
    rm /dev/disk/by-id/*aaa1_1
    [ "$RC" = 0 ] && said_of "$W/data" "freezing it earns nothing: $W/foreign on its volume is not frozen" 'beside the last of many'
}

# More that freeze than can be told of: refused, and nothing is left half told.
test_many_mounts_that_freeze_are_refused_where_they_cannot_be_told() {
    run $FS dry-run mode=autonomous "mounts=$W/data" >/dev/null
    local text; text=$(jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$DOCS/$FS.json")
    # The same script with a limit that two mounts exceed.
    printf '%s' "$text" | grep -q '24000' || { fail 'no limit'; return 1; }
    place
    render $FS "$SCRIPT" command=dry-run
    sed -i 's/-gt 24000/-gt 5000/' "$SCRIPT"
    "$SCRIPT" >"$W/out" 2>"$W/err"
    RC=$?
    expect 206 bad-parameter
}

test_many_gigabytes_of_unwritten_data_are_told() {
    sed 's/^Dirty: .*/Dirty:          30000000 kB/; s/^Writeback: .*/Writeback:       2000000 kB/' /proc/meminfo >"$W/meminfo"
    mount --bind "$W/meminfo" /proc/meminfo || return 1
    run $FS dry-run
    umount /proc/meminfo
    expect 0 || return 1
    case $(events '.[] | select(.t=="note") | .text') in '32 GB are in memory only (Dirty and Writeback in /proc/meminfo)'*'about 256 s at 125 MB/s'*) ;; *) fail "$(events '.[] | select(.t=="note")')"; return 1 ;; esac
    run $FS dry-run && expect 0 && [ "$(events '[.[] | select(.t=="note")] | length')" = 0 ] || fail 'told without need'
}

test_many_kinds_of_agents_in_a_container_are_refused() {
    ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/x run $FS dry-run && expect 206 in-container || return 1
    ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/x run $FS pre-script && expect 206 in-container || return 1
    thawed "$W/data" || fail 'frozen from within a container'
}
