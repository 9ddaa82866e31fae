#!/usr/bin/env bash
# Takes away what killed runs of the root tests left on this machine: filesystems that stayed frozen, mounts, loop devices, files. Each run keeps its
# things in directories whose names end with its process's id, when that process started, and letters; only directories of root's whose process is
# dead are touched, and loop devices whose files lie there. tests/documents.sh, tests/matrix.sh and tests/real begin with it; root only.
# Usage: tests/documents/sweep.sh [DIRECTORY…]: takes away those, whoever is alive, instead of looking for them
set -u

# started PID: when it did, in ticks since the machine's start; nothing for a dead one
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# dead DIRECTORY: …ff-NAME-PID-STARTED-LETTERS
dead() {
    local name=${1##*/} pid start
    name=${name%-*}
    start=${name##*-}
    name=${name%-*}
    pid=${name##*-}
    case $pid$start in '' | *[!0-9]*) return 1 ;; esac
    [ "$(started "$pid")" != "$start" ]
}

# loops DIRECTORY: loop devices whose files lie there
loops() {
    local loop file
    for loop in /sys/block/loop*/loop; do
        file=$(cat "$loop/backing_file" 2>/dev/null) || continue
        case $file in "$1"/*) loop=${loop%/loop}; echo "/dev/${loop##*/}" ;; esac
    done
}

# mounts DIRECTORY: what is mounted there, the last first
mounts() {
    local point
    while read -r _ _ _ _ point _; do
        case $point in "$1"/*) printf '%b\n' "$point" ;; esac
    done </proc/self/mountinfo | tac
}

# release DIRECTORY: a filesystem that is frozen holds its device without any mount. Mounted once more it is the same one, and a thaw by any mount is a thaw.
release() {
    local loop try at
    at=$(mktemp -d /tmp/ff-thaw.XXXXXX) || return 1
    for try in 1 2 3 4; do
        for loop in $(loops "$1"); do
            if mount -o nouuid "$loop" "$at" 2>/dev/null || mount "$loop" "$at" 2>/dev/null; then
                fsfreeze -u "$at" 2>/dev/null && echo "sweep: thawed $loop"
                umount "$at"
            fi
        done
        # Devices first: their files may lie on what is mounted, and have other names once that is unmounted lazily.
        for loop in $(loops "$1"); do losetup -d "$loop" 2>/dev/null; done
        mounts "$1" | while read -r point; do umount "$point" 2>/dev/null; done
        [ -n "$(loops "$1")" ] || break
        sleep "0.$try"
    done
    rmdir "$at"
    [ -z "$(loops "$1")" ] && [ -z "$(mounts "$1")" ]
}

sweep_directory() {
    [ -d "$1" ] && [ ! -h "$1" ] && [ "$(stat -c %u "$1")" = 0 ] || return
    if release "$1"; then
        rm -rf --one-file-system "$1" && echo "sweep: took away $1"
    else
        # Somebody still holds it, who ends by himself in a while (an armed thaw): the next run has it.
        echo "sweep: $1 is still held"
    fi
}

# sweep [ROOTS]: what dead runs left; ROOTS is where tests/matrix.sh keeps its roots
sweep() {
    local directory
    for directory in /tmp/ff-real-* /var/tmp/ff-real-* /tmp/ff-documents-* ${1:+"$1"/.run-*}; do
        if dead "$directory"; then sweep_directory "$directory"; fi
    done
}

case ${BASH_SOURCE[0]} in
"$0")
    if [ $# -eq 0 ]; then sweep ''; else for directory; do sweep_directory "$directory"; done; fi
    ;;
esac
