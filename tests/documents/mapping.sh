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
