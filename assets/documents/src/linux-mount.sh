#!/bin/sh
# freezeframe linux-mount: bring one restored volume up at a mount point, take it down again, or tell where it is.
# Generated from assets/documents/src by build.py; do not edit the JSON.
EXECUTION_ID='{{ executionId }}'
COMMAND='{{ command }}'
VOLUME_ID='{{ volumeId }}'
MOUNT_POINT='{{ mountPoint }}'
OPTIONS='{{ options }}'
WAIT_SECONDS='{{ waitSeconds }}'
#@include common.sh

# --- linux-mount ---

hello() {
    emit hello recipe=linux-mount version:$DOCUMENT_VERSION "job=$JOB" "command=$COMMAND"
}

refuse() {
    error "$@"
    finish refused 206
}

# DEVICE of the volume: a partition when the disk has exactly one and no filesystem of its own.
find_device() {
    load_volume_map
    DEVICE=''
    for PAIR in $VOLUME_MAP; do
        if [ "${PAIR#*=}" = "$VOLUME_ID" ]; then DEVICE=/dev/${PAIR%%=*}; fi
    done
    if [ -z "$DEVICE" ]; then
        for SERIAL in /sys/class/block/*/device/serial; do
            [ -r "$SERIAL" ] || continue
            read -r WORD REST <"$SERIAL" || :
            : "$REST"
            NODE=${SERIAL%/device/serial}
            if [ "$WORD" = "vol${VOLUME_ID#vol-}" ] && [ ! -e "$NODE/partition" ]; then DEVICE=/dev/${NODE##*/}; fi
        done
    fi
    [ -n "$DEVICE" ] && [ -b "$DEVICE" ]
}

# Where DEVICE (or anything on it) is mounted: MOUNTED_AT, and MOUNTED_DEVICE
find_mounted() {
    MOUNTED_AT=''
    MOUNTED_DEVICE=''
    while read -r ID PARENT NUMBER ROOT_DIR AT REST; do
        : "$ID" "$PARENT" "$ROOT_DIR"
        SOURCE=${REST#*- }
        SOURCE=${SOURCE#* }
        SOURCE=${SOURCE%% *}
        NAME=''
        if [ -e "/sys/dev/block/$NUMBER" ]; then
            NAME=$(readlink -f "/sys/dev/block/$NUMBER")
            NAME=${NAME##*/}
        elif [ -b "$SOURCE" ]; then
            NAME=$(readlink -f "$SOURCE")
            NAME=${NAME##*/}
        fi
        [ -n "$NAME" ] || continue
        case $(volumes_under "$NAME" 2>/dev/null) in *"$VOLUME_ID"*)
            MOUNTED_AT=$AT
            MOUNTED_DEVICE=/dev/$NAME
            ;;
        esac
    done </proc/self/mountinfo
}

is_mount_point() {
    while read -r ID PARENT NUMBER ROOT_DIR AT REST; do
        : "$ID" "$PARENT" "$NUMBER" "$ROOT_DIR" "$REST"
        if [ "$AT" = "$1" ]; then return 0; fi
    done </proc/self/mountinfo
    return 1
}

pick_filesystem() {
    FS=$("$BLKID" -p -s TYPE -o value "$DEVICE" 2>/dev/null) || FS=''
    if [ -n "$FS" ]; then return 0; fi
    PARTITION=''
    COUNT=0
    for P in "/sys/class/block/${DEVICE##*/}/${DEVICE##*/}"*; do
        [ -e "$P/partition" ] || continue
        PFS=$("$BLKID" -p -s TYPE -o value "/dev/${P##*/}" 2>/dev/null) || PFS=''
        case $PFS in
        ext2 | ext3 | ext4 | xfs | btrfs | f2fs)
            PARTITION=/dev/${P##*/}
            FS=$PFS
            COUNT=$((COUNT + 1))
            ;;
        esac
    done
    if [ "$COUNT" -ne 1 ]; then return 1; fi
    DEVICE=$PARTITION
}

do_mount() {
    now
    LIMIT=$((NOW + WAIT_SECONDS * 1000))
    until find_device; do
        now
        if [ "$NOW" -ge "$LIMIT" ]; then refuse no-volume "no device of $VOLUME_ID appeared within $WAIT_SECONDS s; is it attached to this instance?"; fi
        sleep 0.2
    done
    find_mounted
    if [ -n "$MOUNTED_AT" ]; then refuse already-mounted "$VOLUME_ID is already mounted" "$MOUNTED_AT"; fi
    if is_mount_point "$MOUNT_POINT"; then refuse mount-point-busy "something is mounted there already" "$MOUNT_POINT"; fi
    if [ -L "$MOUNT_POINT" ] || { [ -e "$MOUNT_POINT" ] && [ ! -d "$MOUNT_POINT" ]; }; then
        refuse mount-point-busy "it is not a directory" "$MOUNT_POINT"
    fi
    if [ -d "$MOUNT_POINT" ] && [ -n "$(ls -A "$MOUNT_POINT" 2>/dev/null)" ]; then
        refuse mount-point-busy "the directory is not empty" "$MOUNT_POINT"
    fi
    emit device "dev=$DEVICE" "volume=$VOLUME_ID"
    if ! pick_filesystem; then refuse unsupported-fs "no single filesystem found on $DEVICE"; fi
    case $FS in
    ext2 | ext3 | ext4 | xfs | btrfs | f2fs) ;;
    *) refuse unsupported-fs "$DEVICE holds $FS, which this document does not mount" ;;
    esac
    MADE=no
    if [ ! -d "$MOUNT_POINT" ]; then
        mkdir -p "$MOUNT_POINT" 2>/dev/null || refuse mount-failed "the directory cannot be made" "$MOUNT_POINT"
        MADE=yes
    fi
    if [ "$(readlink -f "$MOUNT_POINT")" != "$MOUNT_POINT" ]; then
        if [ "$MADE" = yes ]; then rmdir "$MOUNT_POINT" 2>/dev/null || :; fi
        refuse mount-point-busy "the path leads through a symbolic link" "$MOUNT_POINT"
    fi
    # XFS refuses a second filesystem with the UUID of a mounted one, and a restored copy has it by nature.
    FLAGS=$OPTIONS
    if [ "$OPTIONS" = auto ]; then
        FLAGS=rw
        if [ "$FS" = xfs ]; then FLAGS=rw,nouuid; fi
    fi
    if ! TEXT=$("$MOUNT" -t "$FS" -o "$FLAGS" "$DEVICE" "$MOUNT_POINT" 2>&1); then
        if [ "$MADE" = yes ]; then rmdir "$MOUNT_POINT" 2>/dev/null || :; fi
        error mount-failed "$TEXT" "$MOUNT_POINT"
        finish failed 201
    fi
    emit mounted "mount=$MOUNT_POINT" "fs=$FS" "options=$FLAGS" "dev=$DEVICE" "volume=$VOLUME_ID"
    finish ok 0
}

do_umount() {
    find_device || refuse no-volume "no device of $VOLUME_ID on this instance"
    find_mounted
    if [ -z "$MOUNTED_AT" ]; then refuse not-a-mount "$VOLUME_ID is not mounted"; fi
    if [ "$MOUNTED_AT" != "$MOUNT_POINT" ]; then refuse not-a-mount "$VOLUME_ID is mounted elsewhere" "$MOUNTED_AT"; fi
    case $MOUNT_POINT in / | /boot | /boot/* | /usr | /var | /etc) refuse root-mount "never unmounted by this document" "$MOUNT_POINT" ;; esac
    if ! TEXT=$("$UMOUNT" "$MOUNT_POINT" 2>&1); then
        error umount-failed "$TEXT" "$MOUNT_POINT"
        finish failed 202
    fi
    emit unmounted "mount=$MOUNT_POINT" "dev=$MOUNTED_DEVICE" "volume=$VOLUME_ID"
    finish ok 0
}

do_probe() {
    find_device || refuse no-volume "no device of $VOLUME_ID on this instance"
    emit device "dev=$DEVICE" "volume=$VOLUME_ID"
    find_mounted
    if [ -n "$MOUNTED_AT" ]; then
        FS=$(findmnt -nro FSTYPE --mountpoint "$MOUNTED_AT" 2>/dev/null | tail -n 1)
        FLAGS=$(findmnt -nro OPTIONS --mountpoint "$MOUNTED_AT" 2>/dev/null | tail -n 1)
        emit mounted "mount=$MOUNTED_AT" "fs=$FS" "options=$FLAGS" "dev=$MOUNTED_DEVICE" "volume=$VOLUME_ID"
    fi
    finish ok 0
}

main() {
    end_as_failure
    cd / || exit 201
    JOB=dlm
    if ! matches "$EXECUTION_ID" '^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12})$'; then
        hello
        refuse bad-parameter "executionId is neither None nor a UUID"
    fi
    if [ "$EXECUTION_ID" != None ]; then JOB=$EXECUTION_ID; fi
    hello
    matches "$VOLUME_ID" '^vol-[0-9a-f]{8,17}$' || refuse bad-parameter "volumeId is not a volume id"
    matches "$MOUNT_POINT" '^/[A-Za-z0-9._@+-]+(/[A-Za-z0-9._@+-]+)*$' || refuse bad-parameter "mountPoint is not an absolute path of plain names"
    case "$MOUNT_POINT/" in */../* | */./*) refuse bad-parameter "mountPoint must not contain . or .." ;; esac
    matches "$OPTIONS" '^[a-z0-9_=,]+$' || refuse bad-parameter "options are not mount options"
    matches "$WAIT_SECONDS" '^[1-9][0-9]?$' || refuse bad-parameter "waitSeconds is not 1 to 99"
    [ "$(id -u)" = 0 ] || refuse not-root "this document must run as root"
    MOUNT=$(tool_path mount) || refuse no-tool "mount is missing"
    UMOUNT=$(tool_path umount) || refuse no-tool "umount is missing"
    BLKID=$(tool_path blkid) || refuse no-tool "blkid is missing"
    case $COMMAND in
    mount) do_mount ;;
    umount) do_umount ;;
    probe) do_probe ;;
    *)
        error unknown-command "command is none of mount, umount, probe"
        finish refused 201
        ;;
    esac
}

main
