# shellcheck shell=bash
# From a mount to its volumes, where this machine has no such devices: a made-up /sys says what stands under our loop devices.

under() { # NAME: the device of data is called so, and all of /sys is ours
    local number; number=$(stat -c %d "$W/data")
    number=$((number >> 8)):$((number & 255))
    SYSFS=$W/sysfs
    rm -rf "$SYSFS"
    mkdir -p "$SYSFS/dev/block" "$SYSFS/class/block" "$SYSFS/hypervisor" "$SYSFS/fs/btrfs"
    ln -s "../../class/block/$1" "$SYSFS/dev/block/$number"
}
disk() { mkdir -p "$SYSFS/class/block/$1/device" "$SYSFS/class/block/$1/slaves"; if [ -n "${2:-}" ]; then printf '%s\n' "$2" >"$SYSFS/class/block/$1/device/serial"; fi; }
partition() { # DISK NAME
    mkdir -p "$SYSFS/class/block/$1/$2"
    echo 1 >"$SYSFS/class/block/$1/$2/partition"
    ln -s "$1/$2" "$SYSFS/class/block/$2"
}
stack() { # NAME SLAVE…
    local name=$1 s
    shift
    mkdir -p "$SYSFS/class/block/$name/slaves"
    for s; do ln -s "../../$s" "$SYSFS/class/block/$name/slaves/$s"; done
}
seen() { # what a dry-run says of data: covered, volumes, disks
    mount --bind "$SYSFS" /sys || return 1
    run $FS dry-run "mounts=$W/data" >/dev/null
    umount /sys
    events ".[] | select(.t==\"mount\" and .mount==\"$W/data\") | \"\\(.covered) \\(.volumes | join(\",\")) \\(.disks // [] | join(\",\"))\""
}
is() { local got; got=$(seen); [ "$got" = "$1" ] || { fail "$2: $got"; return 1; }; }

test_map_serials_partitions_lvm_md_and_xen() {
    local links=/dev/disk/by-id
    mkdir -p "$W/links"
    mount --bind "$W/links" $links || return 1
    mapping_cases
    local rc=$?
    umount $links
    return $rc
}
mapping_cases() {
    under nvme1n1 && disk nvme1n1 'vol0aaaaaaaaaaaaaaa1   ' && is 'true vol-0aaaaaaaaaaaaaaa1 ' 'a serial' || return 1
    under nvme1n1p1 && disk nvme1n1 vol0aaaaaaaaaaaaaaa1 && partition nvme1n1 nvme1n1p1 && is 'true vol-0aaaaaaaaaaaaaaa1 ' 'a partition' || return 1
    under nvme1n1 && disk nvme1n1 'AWS0123456789' && is 'false  ' 'an instance store' || return 1
    # LVM over two disks, one of them partitioned; md over LVM; one part unknown
    under dm-3 && disk nvme1n1 vol0aaaaaaaaaaaaaaa1 && disk nvme2n1 vol0aaaaaaaaaaaaaaa2 && partition nvme2n1 nvme2n1p2 && stack dm-3 nvme1n1 nvme2n1p2 &&
        is 'true vol-0aaaaaaaaaaaaaaa1,vol-0aaaaaaaaaaaaaaa2 ' LVM || return 1
    under md127 && disk nvme1n1 vol0aaaaaaaaaaaaaaa1 && disk nvme2n1 vol0aaaaaaaaaaaaaaa2 && stack dm-3 nvme1n1 && stack md127 dm-3 nvme2n1 &&
        is 'true vol-0aaaaaaaaaaaaaaa1,vol-0aaaaaaaaaaaaaaa2 ' md || return 1
    under md127 && disk nvme1n1 vol0aaaaaaaaaaaaaaa1 && disk nvme2n1 AWS01 && stack md127 nvme1n1 nvme2n1 && is 'false  ' 'a part that is no volume' || return 1
    # Xen: no serial, the kernel's name is all there is; the same name elsewhere says nothing
    under xvdf && disk xvdf && echo xen >"$SYSFS/hypervisor/type" && is 'true  xvdf' Xen || return 1
    under xvdf1 && disk xvdf && partition xvdf xvdf1 && echo xen >"$SYSFS/hypervisor/type" && is 'true  xvdf' 'a Xen partition' || return 1
    under dm-0 && disk xvdf && disk xvdg && stack dm-0 xvdf xvdg && echo xen >"$SYSFS/hypervisor/type" && is 'true  xvdf,xvdg' 'LVM on Xen' || return 1
    under xvdf && disk xvdf && is 'false  ' 'xvdf without Xen' || return 1
    under sdf && disk sdf && echo kvm >"$SYSFS/hypervisor/type" && is 'false  ' 'sdf on another hypervisor'
}

# What must not freeze is found by findmnt: where it says nothing, nothing freezes.
test_map_silent_findmnt_refuses_everything() {
    local real; real=$(command -v findmnt)
    mkdir -p "$W/bin"
    printf '#!/bin/sh\nexit 1\n' >"$W/bin/findmnt"
    chmod 755 "$W/bin/findmnt"
    mount --bind "$W/bin/findmnt" "$real" || return 1
    run $FS pre-script
    umount "$real"
    expect 206 no-tool || return 1
    thawed "$W/data" && thawed "$W/logs"
}

# why MOUNT: what the last run said of it
why() { events ".[] | select(.t==\"mount\" and .mount==\"$1\") | if .covered then \"covered\" else .reason end"; }
said_of() { [ "$(why "$1")" = "$2" ] || { fail "$3: $(why "$1")"; return 1; }; }

# Another mount of a filesystem that freezes freezes with it, whether it is asked for or not, and wherever it stands among the mounts.
test_map_another_mount_of_a_named_filesystem_freezes_with_it() {
    make_volume one ext4 0aaaaaaaaaaaaab11 60M || return 1
    mkdir -p "$W/before" "$W/after" "$W/ro"
    # `before` is the first of them: what was mounted first was bound there and then went.
    mount --bind "$W/one" "$W/before" && umount "$W/one" && mount --bind "$W/before" "$W/one" && mount --bind "$W/one" "$W/after" &&
        mount --bind "$W/one" "$W/ro" && mount -o remount,bind,ro "$W/ro" || { fail 'no mounts'; return 1; }
    same_filesystem_cases
    local rc=$? m
    for m in before one after ro; do umount "$W/$m"; done
    rm -f /dev/disk/by-id/*ab11
    return $rc
}
same_filesystem_cases() {
    local same='the same filesystem as a mount above' m
    run $FS dry-run "mounts=$W/one" && expect 0 || return 1
    said_of "$W/one" covered 'the one that is asked for' || return 1
    for m in before after ro; do said_of "$W/$m" "$same" "$m" || return 1; done
    said_of "$W/data" 'not asked for' 'another filesystem' || return 1
    run $FS dry-run && expect 0 || return 1
    said_of "$W/before" covered 'the first of them' || return 1
    for m in one after ro; do said_of "$W/$m" "$same" "$m of all" || return 1; done
    # Nothing is frozen through one that nobody may write to.
    run $FS dry-run "mounts=$W/ro" && expect 206 unsupported-fs || return 1
    # A job that is asked for two of them, and the third, freezes once.
    outer
    setsid sh -c "sleep 20; fsfreeze -u '$W/one'" </dev/null >/dev/null 2>&1 &
    PIDS="$PIDS $!"
    disown $!
    run $FS pre-script "mounts=$W/one,$W/ro,$W/after" && expect 0 && frozen "$W/before" || { fail "not frozen: $WHY"; return 1; }
    [ "$(events '[.[] | select(.t=="frozen")] | length')" = 1 ] || { fail 'frozen more than once'; return 1; }
    run $FS post-script && expect 0 && thawed "$W/one"
}

test_map_another_subvolume_of_a_named_filesystem_freezes_with_it() {
    command -v mkfs.btrfs >/dev/null || { WHY='SKIPPED no mkfs.btrfs'; return 0; }
    make_volume bt none 0aaaaaaaaaaaaab12 130M || return 1
    mkdir -p "$W/bt" "$W/sub"
    mkfs.btrfs -q "$LOOP_bt" >/dev/null 2>&1 && mount "$LOOP_bt" "$W/bt" || { WHY='SKIPPED btrfs does not mount here'; return 0; }
    btrfs -q subvolume create "$W/bt/sub" && mount -o subvol=sub "$LOOP_bt" "$W/sub" || { fail 'no subvolume'; umount "$W/bt"; return 1; }
    run $FS dry-run "mounts=$W/sub" && expect 0 && said_of "$W/sub" covered 'the one that is asked for' && said_of "$W/bt" 'the same filesystem as a mount above' 'the other'
    local rc=$?
    umount "$W/sub" "$W/bt"
    rm -f /dev/disk/by-id/*ab12
    return $rc
}

# A filesystem that is read-only as a whole cannot change while others are frozen; one that is only mounted so here may.
test_map_a_read_only_filesystem_is_told_from_a_read_only_mount() {
    local rc
    make_volume still ext4 0aaaaaaaaaaaaab13 60M || return 1
    mkdir -p "$W/ro"
    umount "$W/still" && mount -o ro "$LOOP_still" "$W/still" && mount --bind "$W/other" "$W/ro" && mount -o remount,bind,ro "$W/ro" || { fail 'no mounts'; return 1; }
    run $FS dry-run && expect 0 && said_of "$W/still" 'its filesystem is read-only and cannot change' 'the filesystem' && said_of "$W/ro" 'mounted read-only' 'the mount' &&
        run $FS dry-run "mounts=$W/still" && expect 206 unsupported-fs
    rc=$?
    umount "$W/still" "$W/ro"
    rm -f /dev/disk/by-id/*ab13
    return $rc
}

# A data directory that is bound from a covered mount lies on it, and is told as it is reached there.
test_map_bound_data_directory() {
    server || { [ "${WHY#SKIPPED}" != "$WHY" ]; return; }
    local rc
    mkdir -p "$W/elsewhere-db"
    stop_server
    mount --bind "$W/data/db" "$W/elsewhere-db" || return 1
    setsid mariadbd --no-defaults --user=root --datadir="$W/elsewhere-db" --innodb-log-group-home-dir="$W/logs/redo" --innodb-log-file-size=16M \
        --socket="$SOCK" --pid-file="$W/db.pid" --skip-networking --innodb-buffer-pool-size=32M --tmpdir=/dev/shm --log-error="$W/db.log" </dev/null >/dev/null 2>&1 &
    disown $!
    await 30 sql 'SELECT 1' >/dev/null && run $DB dry-run "socket=$SOCK" && expect 0 && [ "$(events '.[] | select(.t=="engine") | .datadir')" = "$W/data/db/" ]
    rc=$?
    [ $rc = 0 ] || fail "$WHY $(events '.[] | select(.t=="engine") | .datadir')"
    stop_server
    umount "$W/elsewhere-db"
    return $rc
}
