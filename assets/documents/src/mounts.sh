# --- mounts: which may be frozen, and on which volumes they lie ---

# The number of the mount that an open directory belongs to (field 1 of mountinfo); this tells mounts apart that share a device.
mount_id_of() {
    (
        while read -r KEY VALUE; do
            if [ "$KEY" = mnt_id: ]; then printf '%s' "$VALUE"; fi
        done </proc/self/fdinfo/3
    ) 3<"$1" 2>/dev/null
}

# json_volumes "vol-1
# vol-2": the inside of a JSON array
json_volumes() {
    JV=''
    for V in $1; do JV="$JV${JV:+,}\"$V\""; done
    printf '%s' "$JV"
}

# The device number of the superblock that PATH, or its nearest existing ancestor, lies on: SB_DEVICE, and how it is mounted there: SB_MOUNT, SB_ROOT
superblock_of() {
    SB=$(readlink -f "$1" 2>/dev/null) || SB=$1
    while [ ! -e "$SB" ]; do
        SB=${SB%/*}
        if [ -z "$SB" ]; then SB=/; fi
    done
    SB_LINE=$("$FINDMNT" -nro MAJ:MIN,FSROOT,TARGET -T "$SB" 2>/dev/null | tail -n 1)
    SB_DEVICE=${SB_LINE%% *}
    SB_LINE=${SB_LINE#* }
    SB_ROOT=${SB_LINE%% *}
    SB_MOUNT=${SB_LINE#* }
}

# place_of PATH: in PLACE, the same place as it is reached through the mount that freezes it. A data directory that is bound from elsewhere, or a
# btrfs subvolume, would otherwise look as if nothing covered it. Where nothing does, PATH itself.
# shellcheck disable=SC2317 # for databases only
place_of() {
    PLACE=$1
    superblock_of "$1"
    PO=$(readlink -f "$1" 2>/dev/null) || return 0
    SB_MOUNT=${SB_MOUNT%/}
    case $PO/ in "$SB_MOUNT"/*) ;; *) return 0 ;; esac
    PO_INSIDE=${SB_ROOT%/}${PO#"$SB_MOUNT"}
    while IFS='|' read -r PO_DEVICE PO_ROOT PO_AT; do
        if [ "$PO_DEVICE" != "$SB_DEVICE" ]; then continue; fi
        # Another part of the same filesystem freezes with it.
        PLACE=$PO_AT
        # Some shells do not take an expansion within a pattern.
        PO_ROOT=${PO_ROOT%/}
        case $PO_INSIDE/ in "$PO_ROOT"/*) PLACE=${PO_AT%/}${PO_INSIDE#"$PO_ROOT"} ;; esac
        case $1 in */) PLACE=${PLACE%/}/ ;; esac
    done <<END
$COVERED_ROOTS
END
}

# Superblocks that must never freeze, in FORBIDDEN as " number=code"; the first entry for a number wins.
forbid() {
    superblock_of "$2"
    if matches "$SB_DEVICE" '^[0-9]+:[0-9]+$'; then
        FORBIDDEN="$FORBIDDEN $SB_DEVICE=$1"
    else
        UNKNOWN_PLACE=$2
    fi
}

AGENT_PATHS='/var/lib/amazon/ssm /var/log/amazon/ssm /etc/amazon/ssm /snap/amazon-ssm-agent'

load_forbidden() {
    FORBIDDEN=''
    UNKNOWN_PLACE=''
    for P in / /boot /boot/efi /usr /etc /bin /sbin /lib; do forbid root-mount "$P"; done
    for P in $AGENT_PATHS; do forbid agent-mount "$P"; done
    forbid agent-mount "$0"
    forbid agent-mount "${JOBS:-/run}"
    for P in "$SH" "$FSFREEZE" "$SLEEP" ${CLIENT:+"$CLIENT"} ${TMPDIR:+"$TMPDIR"}; do forbid agent-mount "$P"; done
    # What everything on the machine writes to freezes only by name. A frozen audit log stops every process that is audited, and may be set to panic.
    P=$(sed -n 's/^ *log_file *= *//p' /etc/audit/auditd.conf 2>/dev/null | tail -n 1)
    for P in "${P:-/var/log/audit/}" /var/log /tmp /var/tmp; do forbid "${P%/}" "$P"; done
}

# Where all are looked at, each is.
asked_for() {
    case ",$WANTED," in ,all, | *",$1,"*) return 0 ;; esac
    return 1
}

# Judge every mount that sits on a block device. COVERED: one "id|number|mount" per line, in mount order; the last COVERED_LAST of them, / at
# the very end, are those that only freezeRoot lets freeze, and those that carry the file of a filesystem that freezes: its own freeze writes to that.
# Emits `mount` for each, those that are not covered at the end; for wanted mounts that cannot be frozen, REFUSAL holds "code|mount|text" (the first).
# The agent keeps 24,000 characters: beyond the first of those that are not covered, one for each filesystem that lowers a volume is told, and the others
# are counted. MENTIONED: which were told.
# After our own mounts come those of other mount namespaces (containers, services with mounts of their own) whose filesystems we have not, or only hidden
# below a later mount: they cannot be frozen here, and lower their volume.
# A volume is worth what its weakest filesystem is, so `auto` leaves alone what lies on none but volumes that also carry another, unfrozen one.
scan_mounts() {
    COVERED=''
    COVERED_TAIL=''
    COVERED_ROOT=''
    COVERED_LAST=0
    COVERED_ROOTS=''
    OTHERS=''
    FITTING=''
    WARNING=''
    LEFT_OUT=''
    REFUSAL=''
    COVERED_DEVICES=' '
    SEEN=','
    CARRIERS=' '
    M_OWN=' '
    M_ALIEN=no
    load_volume_map
    load_forbidden
    while read -r M_ID M_PARENT M_DEVICE M_ROOT M_AT M_OPTS M_REST; do
        : "$M_PARENT"
        if [ "$M_ID" = - ]; then M_ALIEN=yes; fi
        case $M_ALIEN$M_OWN in yes*" $M_DEVICE "*) continue ;; esac
        M_REST=${M_REST#*- }
        M_FS=${M_REST%% *}
        M_REST=${M_REST#* }
        M_SOURCE=${M_REST%% *}
        M_SUPER=${M_REST#* }
        M_NAMES=''
        if [ -e "/sys/dev/block/$M_DEVICE" ]; then
            M_NAMES=$(readlink -f "/sys/dev/block/$M_DEVICE")
            M_NAMES=${M_NAMES##*/}
        elif [ -b "$M_SOURCE" ]; then
            M_NAMES=$(readlink -f "$M_SOURCE")
            M_NAMES=${M_NAMES##*/}
            # btrfs: every member device counts
            for P in /sys/fs/btrfs/*/devices; do
                if [ -e "$P/$M_NAMES" ]; then M_NAMES=$(ls "$P"); fi
            done
        else
            continue
        fi
        # Hidden below a later mount at the same place?
        M_SAFE=yes
        matches "$M_AT" '^/[A-Za-z0-9._/@+-]*$' || M_SAFE=no
        if [ $M_ALIEN = no ]; then
            if [ "$M_SAFE" = yes ] && [ "$(mount_id_of "$M_AT")" != "$M_ID" ]; then continue; fi
            SEEN="$SEEN$M_AT,"
            M_OWN="$M_OWN$M_DEVICE "
        fi
        M_VOLUMES=''
        M_DISKS=''
        M_WHOLE=yes
        for P in $M_NAMES; do
            if M_MORE=$(volumes_under "$P" 2>/dev/null); then
                for V in $M_MORE; do
                    case $V in
                    on:*) CARRIERS="$CARRIERS${V#on:} " ;;
                    disk:*) M_DISKS="$M_DISKS${M_DISKS:+$newline}${V#disk:}" ;;
                    *) M_VOLUMES="$M_VOLUMES${M_VOLUMES:+$newline}$V" ;;
                    esac
                done
            else
                M_WHOLE=no
            fi
        done
        if [ "$M_ALIEN$M_VOLUMES$M_DISKS" = yes ]; then continue; fi
        M_CODE=''
        M_TEXT=''
        judge_mount
        M_VOLUMES="volumes:[$(json_volumes "$M_VOLUMES")]${M_DISKS:+",\"disks\":[$(json_volumes "$M_DISKS")]"}"
        # The kernel writes blanks in names as numbers.
        if [ -z "$M_CODE" ]; then
            COVERED_DEVICES="$COVERED_DEVICES$M_DEVICE "
            FITTING="$FITTING$M_DEVICE $M_LAST $M_AT $M_FS $M_SOURCE $M_VOLUMES $M_ID $M_ROOT$newline"
        else
            OTHERS="$OTHERS$M_DEVICE $M_CODE $M_AT $M_FS $M_SOURCE $M_VOLUMES $M_TEXT$newline"
        fi
    done <<END
$(
        cat /proc/self/mountinfo
        echo -
        # One process of each namespace
        # shellcheck disable=SC2046 # a word for each
        grep -h -e '^[0-9]* [0-9]* [1-9]' -e ' - btrfs ' $(stat -L -c '%i %n' /proc/[0-9]*/ns/mnt 2>/dev/null | sort -u -k1,1 | sed 's/.* //;s/ns.mnt/mountinfo/') 2>/dev/null | sort -u -k3,3
    )
END
    # The volumes of what stays unfrozen and may change, each with such a mount
    SPOILT=' '
    while read -r M_DEVICE M_CODE M_AT M_FS M_SOURCE M_VOLUMES M_TEXT; do
        case $COVERED_DEVICES$M_CODE in *" $M_DEVICE "* | *still) continue ;; esac
        for P in $(ids_of "$M_VOLUMES"); do SPOILT="$SPOILT$P=$M_AT "; done
    done <<END
$OTHERS
END
    while read -r M_DEVICE M_LAST M_AT M_FS M_SOURCE M_VOLUMES M_ID M_ROOT; do
        if [ -z "$M_DEVICE" ]; then continue; fi
        M_TEXT=''
        for P in $(ids_of "$M_VOLUMES"); do
            case $SPOILT in *" $P="*) ;; *) M_TEXT='' && break ;; esac
            M_TEXT=${SPOILT#*" $P="}
            M_TEXT="freezing it earns nothing: ${M_TEXT%% *} on its volume is not frozen"
        done
        if [ -n "$M_TEXT" ] && [ "$WANTED$FREEZE_ROOT" = autono ]; then
            COVERED_DEVICES="${COVERED_DEVICES%%" $M_DEVICE "*} ${COVERED_DEVICES#*" $M_DEVICE "}"
            LEFT_OUT=${LEFT_OUT:-": $M_AT: $M_TEXT"}
            OTHERS="$M_DEVICE skip $M_AT $M_FS $M_SOURCE $M_VOLUMES $M_TEXT$newline$OTHERS"
            continue
        fi
        WARNING="$WARNING${M_TEXT:+"$M_AT: $M_TEXT$newline"}"
        case $CARRIERS in *" $M_DEVICE "*) M_LAST=yes ;; esac
        if [ "$M_LAST" = no ]; then
            COVERED="$COVERED$M_ID|$M_DEVICE|$M_AT$newline"
        else
            COVERED_LAST=$((COVERED_LAST + 1))
            if [ "$M_AT" = / ]; then COVERED_ROOT="$M_ID|$M_DEVICE|/$newline"; else COVERED_TAIL="$M_ID|$M_DEVICE|$M_AT$newline$COVERED_TAIL"; fi
        fi
        COVERED_ROOTS="$COVERED_ROOTS$M_DEVICE|$M_ROOT|$M_AT$newline"
        say_mount covered:true
    done <<END
$FITTING
END
    M_N=0 M_MORE=0 LOWERING=' ' MENTIONED=','
    while read -r M_DEVICE M_CODE M_AT M_FS M_SOURCE M_VOLUMES M_TEXT; do
        if [ -z "$M_DEVICE" ]; then continue; fi
        # Whatever else there is to say of it, it freezes with the other; which ones freeze is known only now.
        case $COVERED_DEVICES in *" $M_DEVICE "*) M_CODE=same M_TEXT='the same filesystem as a mount above' ;; esac
        M_N=$((M_N + 1))
        case "$M_N $M_CODE $M_VOLUMES $LOWERING" in
        [0-9]' '* | [1-3][0-9]' '*) M_TELL=yes ;;
        *' same '* | *' still '* | *' volumes:[] '* | *" $M_DEVICE "*) M_TELL=no ;;
        *) M_TELL=yes ;;
        esac
        if [ $M_TELL = yes ]; then
            say_mount covered:false "reason=$M_TEXT"
            MENTIONED="$MENTIONED$M_AT,"
            LOWERING="$LOWERING$M_DEVICE "
        else
            M_MORE=$((M_MORE + 1))
        fi
        case $M_CODE in skip | same) continue ;; esac
        if [ "$WANTED" != auto ] && asked_for "$M_AT" && [ -z "$REFUSAL" ]; then
            if [ "$M_CODE" = still ]; then M_CODE=unsupported-fs; fi
            REFUSAL="$M_CODE|$M_AT|$M_TEXT"
        fi
    done <<END
$OTHERS
END
    COVERED=$COVERED$COVERED_TAIL$COVERED_ROOT
    if [ $M_MORE -gt 0 ]; then emit note "text=$M_MORE more mounts are not listed; each lies on a filesystem that is, or takes nothing from a volume"; fi
    if [ "$WANTED" != auto ]; then
        for P in $(printf '%s' "$WANTED" | tr ',' ' '); do
            case $SEEN in *",$P,"*) ;; *)
                if [ "$P" = / ]; then
                    REFUSAL=${REFUSAL:-"root-mount|$P|the root filesystem is never frozen"}
                else
                    REFUSAL=${REFUSAL:-"not-a-mount|$P|it is not a mount point of a block device"}
                fi
                ;;
            esac
        done
    fi
}

# ids_of JSON: the volumes and disks in it
ids_of() { printf '%s' "$1" | tr '"' '\n' | grep -E '^(vol-|xvd|sd)'; }

say_mount() { emit mount "mount=$M_AT" "fs=$M_FS" "dev=$M_SOURCE" "$M_VOLUMES" "$@"; }

judge_mount() {
    M_LAST=no
    case " $FORBIDDEN" in *" $M_DEVICE="*)
        M_LAST=$FREEZE_ROOT
        M_CODE=${FORBIDDEN#*" $M_DEVICE="}
        M_CODE=${M_CODE%% *}
        ;;
    esac
    case $M_LAST$M_CODE in
    yes*) M_CODE='' ;;
    noroot-mount) M_TEXT='it carries the running system' ;;
    noagent-mount) M_TEXT="it carries the agent's or this script's own files" ;;
    no/*)
        if [ "$WANTED" = auto ] || ! asked_for "$M_AT"; then
            M_TEXT="the system writes to $M_CODE on it; it freezes only where it is named" M_CODE=skip
        else
            WARNING="$WARNING$M_AT: the system writes to $M_CODE on it, and stands still with it$newline" M_CODE=''
        fi
        ;;
    esac
    if [ -n "$M_CODE" ]; then return; fi
    case ,$M_SUPER, in *,ro,*)
        M_CODE=still M_TEXT='its filesystem is read-only and cannot change'
        return
        ;;
    esac
    if [ $M_ALIEN = yes ]; then
        M_CODE=no-volume M_TEXT='mounted out of reach'
        return
    fi
    if [ "$M_SAFE" = no ]; then
        M_CODE=not-a-mount M_TEXT='its name holds characters that this document does not handle'
        return
    fi
    case $M_FS in
    ext2 | ext3 | ext4 | xfs | btrfs | f2fs) ;;
    *)
        M_CODE=unsupported-fs M_TEXT="$M_FS is not frozen by this document"
        return
        ;;
    esac
    case ,$M_OPTS, in *,ro,*)
        M_CODE=unsupported-fs M_TEXT='mounted read-only'
        return
        ;;
    esac
    if [ "$M_WHOLE" = no ] || [ -z "$M_VOLUMES$M_DISKS" ]; then
        M_CODE=no-volume M_TEXT='not all of it is on a known EBS volume'
        return
    fi
    if [ "$WANTED" != auto ] && [ "$M_LAST" = no ] && ! asked_for "$M_AT"; then
        M_CODE=skip M_TEXT='not asked for'
        return
    fi
    case $COVERED_DEVICES in *" $M_DEVICE "*) M_CODE=skip ;; esac
}
