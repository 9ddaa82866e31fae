# --- common: where things are, what is said, which volumes lie under a mount ---

PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
LC_ALL=C
export PATH LC_ALL
unset ENV BASH_ENV CDPATH
umask 077
set -u

# 2: a job that is over leaves a marker. 3: and so does every command that took the instance. 4: and every other that was delivered.
DOCUMENT_VERSION=4
ROLE=foreground
SEQ=0
PRINTED_BYTES=0
S=''

# Milliseconds of the machine's monotonic clock, in NOW (10 ms steps). Builtins only: the guard calls this while things are frozen.
now() {
    read -r UP UP_REST </proc/uptime
    : "$UP_REST"
    NOW="${UP%.*}${UP#*.}0"
}

json_text() {
    printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037\177-\377' | cut -c 1-300 | sed 's/[\\"]/\\&/g'
}

# matches VALUE ERE: the whole value, which must be one line.
matches() {
    case $1 in *'
'*) return 1 ;; esac
    printf '%s\n' "$1" | grep -Eq -- "$2"
}

print_event() {
    SEQ=$((SEQ + 1))
    printf 'FF1 {"t":"%s","seq":%d,"ms":%d%s}\n' "$1" "$SEQ" "$2" "$3"
    PRINTED_BYTES=$((PRINTED_BYTES + ${#1} + ${#3} + 45))
    if [ -n "$S" ]; then note seq "$SEQ"; fi
}

# Nothing in it that JSON would not carry as it is
plain() { case $1 in *[!A-Za-z0-9\ ._/:\;,@+=\(\)-]*) return 1 ;; esac; }

# emit TYPE [NAME=TEXT | NAME:JSON]...: the foreground prints; the holder and the guard leave a line that the next command prints.
# Only the foreground numbers events, so that `seq` is consistent over all processes. Forks only for a text that is not plain.
emit() {
    EM=$1
    EM_BODY=''
    shift
    for EM_WORD; do
        EM_KEY=${EM_WORD%%[=:]*}
        EM_VALUE=${EM_WORD#"$EM_KEY"?}
        case $EM_WORD in "$EM_KEY="*)
            if [ ${#EM_VALUE} -gt 300 ] || ! plain "$EM_VALUE"; then EM_VALUE=$(json_text "$EM_VALUE"); fi
            EM_VALUE="\"$EM_VALUE\""
            ;;
        esac
        EM_BODY="$EM_BODY,\"$EM_KEY\":$EM_VALUE"
    done
    now
    case $ROLE in
    foreground) print_event "$EM" "$NOW" "$EM_BODY" ;;
    silent) ;;
    *) printf '%s %s %s\n' "$EM" "$NOW" "$EM_BODY" >>"$S/events" ;;
    esac
}

# error CODE TEXT [MOUNT]
error() {
    emit error "code=$1" "text=$2" ${3:+"mount=$3"}
}

# finish OUTCOME EXIT: the last line of every command. No other exit code ever leaves (194 would reboot the instance).
finish() {
    ENDED=yes
    emit end "outcome=$1" "exit:$2"
    exit "$2"
}

# Whatever else ends the command (an unset variable, a signal that can be caught) leaves as a failure.
ENDED=no
# shellcheck disable=SC2317
end_as_failure() {
    trap 'if [ "$ENDED" = no ]; then exit 201; fi' EXIT
    trap 'exit 201' HUP INT TERM
}

# tool_path NAME: absolute path, or nothing
tool_path() {
    for TP in /usr/sbin /usr/bin /sbin /bin /usr/local/sbin /usr/local/bin; do
        if [ -x "$TP/$1" ] && [ ! -d "$TP/$1" ]; then
            printf '%s' "$TP/$1"
            return 0
        fi
    done
    return 1
}

# Fill VOLUME_MAP with ` device=vol-…` from the names that udev gives to EBS volumes. A partition's link is passed over: its disk has one too.
load_volume_map() {
    VOLUME_MAP=' '
    for LINK in /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol*; do
        [ -e "$LINK" ] || continue
        HEX=${LINK##*_Store_vol}
        TAIL=${HEX#"${HEX%%[!0-9a-f]*}"}
        HEX=${HEX%%[!0-9a-f]*}
        case $TAIL in '' | _1 | -ns-1) ;; *) continue ;; esac
        case ${#HEX} in 8 | 17) ;; *) continue ;; esac
        NODE=$(readlink -f "$LINK") || continue
        [ -b "$NODE" ] || continue
        VOLUME_MAP="$VOLUME_MAP${NODE##*/}=vol-$HEX "
    done
}

# volumes_under NAME: one volume id per line for a kernel block device name, through partitions, LVM, md, and a loop device's file: where that lies
# there is a line `on:` with the number of its filesystem's device.
# Fails when any part of it is not a known EBS volume. Never guesses: where a Xen disk does not tell its volume, it is `disk:` and the kernel's name,
# which the console knows from the attachment (`xvdf` is `/dev/sdf` or `/dev/xvdf`).
volumes_under() {
    case $VOLUME_MAP in
    *" $1="*)
        VU=${VOLUME_MAP#*" $1="}
        printf '%s\n' "${VU%% *}"
        return 0
        ;;
    esac
    VU_SYS=/sys/class/block/$1
    if [ -e "$VU_SYS/partition" ]; then
        VU=$(readlink -f "$VU_SYS") || return 1
        VU=${VU%/*}
        volumes_under "${VU##*/}"
        return
    fi
    if [ -r "$VU_SYS/loop/backing_file" ]; then
        VU=''
        read -r VU <"$VU_SYS/loop/backing_file" || :
        VU=$("$FINDMNT" -nrvo MAJ:MIN,SOURCE -T "$VU" | tail -n 1)
        printf 'on:%s\n' "${VU%% *}"
        VU=$(readlink -f "${VU#* }") || return 1
        volumes_under "${VU##*/}"
        return
    fi
    if [ -r "$VU_SYS/device/serial" ]; then
        VU=''
        read -r VU VU_REST <"$VU_SYS/device/serial" || :
        : "${VU_REST:-}"
        if matches "$VU" '^vol([0-9a-f]{8}|[0-9a-f]{17})$'; then
            printf 'vol-%s\n' "${VU#vol}"
            return 0
        fi
        return 1
    fi
    if matches "$1" '^(xvd|sd)[a-z]+[0-9]*$'; then
        VU=''
        { read -r VU </sys/hypervisor/type; } 2>/dev/null || :
        if [ "$VU" != xen ]; then return 1; fi
        printf 'disk:%s\n' "$1"
        return 0
    fi
    set -- "$VU_SYS"/slaves/*
    [ -e "$1" ] || return 1
    for SLAVE in "$@"; do
        (volumes_under "${SLAVE##*/}") || return 1
    done
}
