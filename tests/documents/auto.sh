# shellcheck shell=bash
# mounts=auto: what the system itself writes to, and what can earn nothing, is left alone, and why is told.

# hardened: a little system (root.sh) as hardened images are, with /home and /var/log/audit on volumes of their own kind: /home beside / on the root's volume
hardened() {
    little_system || { fail 'no little system'; return 1; }
    make_volume home ext4 0aaaaaaaaaaaaaab1_1 40M && make_volume audit ext4 0aaaaaaaaaaaaaab2 40M || { fail 'no volumes'; return 1; }
    mkdir -p "$W/sys/home" "$W/sys/var/log/audit" "$W/sys/var/tmp"
    umount "$W/home" "$W/audit"
    mount "$LOOP_home" "$W/sys/home" && mount "$LOOP_audit" "$W/sys/var/log/audit" || fail 'no mounts'
}
no_hardened() {
    umount "$W/sys/home" "$W/sys/var/log/audit" "$W/sys/tmp" 2>/dev/null
    no_little_system
    rm -f /dev/disk/by-id/*aab1_1 /dev/disk/by-id/*aab2
}
dry() { in_system dry-run "$@" && finished && expect 0; }

test_auto_mounts_of_a_hardened_image() {
    hardened && hardened_cases
    local rc=$?
    no_hardened
    return $rc
}
hardened_cases() {
    local audit='the system writes to /var/log/audit on it; it freezes only where it is named'
    dry || return 1
    said_of /data covered 'an ordinary volume' && said_of /home 'freezing it earns nothing: / on its volume is not frozen' 'on the volume of the root' &&
        said_of /var/log/audit "$audit" 'the audit log' || return 1
    # By name both freeze, and the plan warns.
    dry mounts=/home,/var/log/audit || return 1
    said_of /home covered 'by name' && said_of /var/log/audit covered 'the audit log, by name' && said_of /data 'not asked for' 'another' || return 1
    [ "$(events '[.[] | select(.t=="note") | .text] | sort | join("|")')" = \
        '/home: freezing it earns nothing: / on its volume is not frozen|/var/log/audit: the system writes to /var/log/audit on it, and stands still with it' ] ||
        { fail "warnings: $(events '[.[] | select(.t=="note") | .text]')"; return 1; }
    # The audit log is where its configuration says.
    mkdir -p "$W/sys/etc/audit"
    printf 'local_events = yes\nlog_file = /data/audit/audit.log\n' >"$W/sys/etc/audit/auditd.conf"
    dry || true
    [ "$RC" = 0 ] || { fail "exit $RC: $WHY"; return 1; }
    said_of /data 'the system writes to /data/audit/audit.log on it; it freezes only where it is named' 'the place of the audit log' && said_of /var/log/audit "$(why /var/log/audit)" '' || return 1
    rm "$W/sys/etc/audit/auditd.conf"
    # On the volume of the only other filesystem it spoils that one too, and nothing is left.
    rm /dev/disk/by-id/*aab2
    ln -s "$LOOP_audit" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa1_1
    in_system dry-run && finished
    rm /dev/disk/by-id/*aaa1_1
    ln -s "$LOOP_audit" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaab2
    expect 206 no-mounts && said_of /data 'freezing it earns nothing: /var/log/audit on its volume is not frozen' 'beside the audit log' || return 1
    # With / everything that is writable on its volume freezes, and all of that last.
    fake ok
    dry mode=autonomous freezeRoot=yes || return 1
    said_of / covered 'the root' && said_of /home covered 'beside the root' && said_of /var/log/audit covered 'the audit log, with the root' || return 1
}

# Nothing is left to freeze: the refusal says what there would have been.
test_auto_mounts_where_nothing_can_be_earned() {
    mkdir -p "$W/other/tmp"
    ln -s "$LOOP_other" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa1_1
    ln -s "$LOOP_other" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa2-ns-1
    nothing_cases
    local rc=$?
    rm -f /dev/disk/by-id/*aaa1_1 /dev/disk/by-id/*-ns-1
    return $rc
}
nothing_cases() {
    # other counts for the volume of data, or of logs, whichever link is found first; it is not frozen for its temporary files.
    TMPDIR=$W/other/tmp run $FS dry-run && expect 0 || return 1
    said_of "$W/data" "freezing it earns nothing: $W/other on its volume is not frozen" 'beside what is not frozen' && said_of "$W/logs" covered 'the other volume' || return 1
    # What is left out is not frozen, and what is not, is.
    outer
    TMPDIR=$W/other/tmp run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    thawed "$W/data" && frozen "$W/logs" || { fail 'frozen in vain'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    mv /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa2 "$W/link" || return 1
    TMPDIR=$W/other/tmp run $FS pre-script "executionId=$JOB2"
    mv "$W/link" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa2
    expect 206 no-mounts || return 1
    case $(events '.[] | select(.t=="error") | .text') in *"$W/data: freezing it earns nothing"*) ;; *) fail "the refusal: $(events '.[] | select(.t=="error") | .text')" ;; esac
}

# A probe of what may be frozen looks at all of them.
test_auto_mounts_that_are_left_out_are_probed_all_the_same() {
    mkdir -p "$W/other/tmp"
    ln -s "$LOOP_other" /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa1_1
    TMPDIR=$W/other/tmp run $FS post-script "executionId=$JOB1"
    rm -f /dev/disk/by-id/*aaa1_1
    expect 205 not-frozen || return 1
    [ "$(events '[.[] | select(.t=="probe") | .mount] | sort | join(" ")')" = "$W/data $W/logs" ] || fail "probes: $(events '[.[] | select(.t=="probe") | .mount]')"
}
