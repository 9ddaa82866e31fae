# shellcheck shell=bash
MT=linux-mount
V3=vol-0aaaaaaaaaaaaaaa3
V4=vol-0aaaaaaaaaaaaaaa4

copies() { # copies of data (ext4) and logs (XFS, whose UUID is in use): what a restore brings
    local n d
    for d in data:3 logs:4; do
        n=${d#*:}
        [ -e "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa$n" ] && continue
        sync -f "$W/${d%:*}"
        cp --sparse=always "$W/${d%:*}.img" "$W/copy$n.img"
        local loop; loop=$(losetup -f --show "$W/copy$n.img") || return 1
        LOOPS="$LOOPS $loop"
        ln -s "$loop" "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aaaaaaaaaaaaaaa$n"
    done
}

test_mount_and_umount() {
    copies || return 1
    local v fs
    for v in "$V3 ext4" "$V4 xfs"; do
        fs=${v#* }; v=${v% *}
        run $MT mount "volumeId=$v" "mountPoint=$W/restored" && expect 0 || return 1
        [ "$(order)" = 'hello device mounted end' ] || { fail "$(order)"; return 1; }
        [ "$(events '.[] | select(.t=="mounted") | .fs')" = "$fs" ] || { fail "fs"; return 1; }
        mountpoint -q "$W/restored" || { fail 'not mounted'; return 1; }
        run $MT mount "volumeId=$v" "mountPoint=$W/elsewhere" && expect 206 already-mounted || return 1
        run $MT probe "volumeId=$v" && expect 0 || return 1
        [ "$(events '.[] | select(.t=="mounted") | .mount')" = "$W/restored" ] || { fail 'probe'; return 1; }
        run $MT umount "volumeId=$v" "mountPoint=$W/wrong" && expect 206 not-a-mount || return 1
        run $MT umount "volumeId=$v" "mountPoint=$W/restored" && expect 0 || return 1
        mountpoint -q "$W/restored" && { fail 'still mounted'; return 1; }
    done
    run $MT probe "volumeId=$V3" && expect 0 && [ "$(order)" = 'hello device end' ]
}

test_mount_refusals() {
    copies || return 1
    run $MT mount "volumeId=$V3" "mountPoint=$W/logs" && expect 206 mount-point-busy || return 1
    run $MT mount "volumeId=$V3" "mountPoint=$W/agent" && expect 206 mount-point-busy || return 1
    ln -sfn "$W/elsewhere" "$W/maze"
    run $MT mount "volumeId=$V3" "mountPoint=$W/maze" && expect 206 mount-point-busy || return 1
    run $MT mount volumeId=vol-0aaaaaaaaaaaaaaa9 "mountPoint=$W/restored" waitSeconds=1 && expect 206 no-volume || return 1
    run $MT mount 'volumeId=vol-0' "mountPoint=$W/restored" && expect 206 bad-parameter || return 1
    run $MT mount "volumeId=$V3" 'mountPoint=/a/../b' && expect 206 bad-parameter || return 1
    run $MT mount 'volumeId=vol-0aaaaaaaaaaaaaaa1' "mountPoint=$W/restored" && expect 206 already-mounted
}
