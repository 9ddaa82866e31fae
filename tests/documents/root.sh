# shellcheck shell=bash
# freezeRoot: a whole little system on a loop image of our own is `/` to the script (pivot_root in a mount namespace). Never the machine's.

little_system() { # at $W/sys, volume vol-…b1
    local tool path lib
    make_volume sys ext4 0aaaaaaaaaaaaaab1 600M || return 1
    mkdir -p "$W/sys"/{usr/bin,usr/sbin,proc,sys,dev,run,tmp,etc,agent,data,old,boot/efi}
    for tool in sh fsfreeze findmnt setsid flock sleep rmdir readlink stat sync mkfifo grep sed tr cut tail cp rm mkdir ln id date cat sort ls curl getent mount umount touch; do
        path=$(command -v "$tool") || return 1
        cp -L "$path" "$W/sys/usr/bin/$tool"
        for lib in $(ldd "$path" 2>/dev/null | grep -o '/[^ )]*'); do
            [ -e "$W/sys$lib" ] || { mkdir -p "$W/sys${lib%/*}" && cp -L "$lib" "$W/sys$lib"; } || return 1
        done
    done
    for tool in bin sbin lib; do [ -e "$W/sys/$tool" ] || ln -s "usr/$tool" "$W/sys/$tool"; done
    # Of a kind that cannot freeze, where it can be made and mounted; what counts is that it is read-only.
    truncate -s 40M "$W/efi.img" || return 1
    { mkfs.vfat "$W/efi.img" && mount -o ro,loop "$W/efi.img" "$W/sys/boot/efi"; } >/dev/null 2>&1 ||
        { mkfs.ext4 -q "$W/efi.img" && mount -o ro,loop "$W/efi.img" "$W/sys/boot/efi"; } || return 1
    mount --bind /proc "$W/sys/proc" && mount --bind /sys "$W/sys/sys" && mount --rbind /dev "$W/sys/dev" && mount -t tmpfs tmpfs "$W/sys/run" &&
        mount "$LOOP_data" "$W/sys/data"
}
no_little_system() {
    local m
    fsfreeze -u "$W/sys" 2>/dev/null
    for m in data run sys proc boot/efi; do umount "$W/sys/$m"; done
    umount -l "$W/sys/dev"
    umount "$W/sys"
    rm -f /dev/disk/by-id/*aab1 "$W/sys.img" "$W/efi.img"
}
# in_system COMMAND NAME=VALUE…: as `start`, but inside: a namespace of its own whose root is the image, the machine's own gone from it
in_system() {
    local command=$1
    shift
    render $FS "$W/sys/agent/run.sh" "command=$command" "$@"
    setsid "${WITHIN[@]}" unshare -m --propagation private sh -c "cd '$W/sys' && mount --rbind . . && cd '$W/sys' && pivot_root . old && umount -l /old && exec /agent/run.sh" \
        </dev/null >"$W/out" 2>"$W/err" &
    GROUP=$!
    PIDS="$PIDS $GROUP"
}
outer_system() {
    setsid sh -c "sleep 20; fsfreeze -u '$W/sys'; fsfreeze -u '$W/data'" </dev/null >/dev/null 2>&1 &
    OUTER=$!
    disown $OUTER
}
finished() { await 25 gone "$GROUP" || { fail 'hangs'; return 1; }; wait "$GROUP"; RC=$?; }

test_root_freezes_last_thaws_first_and_prints_nothing_meanwhile() {
    little_system || { fail 'no little system'; no_little_system; return 1; }
    root_cases
    local rc=$?
    no_little_system
    return $rc
}
root_cases() {
    local lines
    fake slow=2
    # As ever: the root is not frozen where nobody asked for it, and cannot be asked for in coordinated mode.
    in_system dry-run && finished && expect 0 || return 1
    [ "$(events '.[] | select(.t=="mount" and .mount=="/") | "\(.covered) \(.volumes[0])"')" = 'false vol-0aaaaaaaaaaaaaab1' ] || { fail 'the root without freezeRoot'; return 1; }
    in_system pre-script freezeRoot=yes && finished && expect 206 bad-parameter || return 1
    in_system dry-run mode=autonomous freezeRoot=yes && finished && expect 0 || return 1
    [ "$(events '.[] | select(.t=="mount" and .mount=="/") | .covered')" = true ] || { fail 'the root is not covered'; return 1; }
    [ "$(events '.[] | select(.t=="mount" and .mount=="/boot/efi") | .reason')" = 'its filesystem is read-only and cannot change' ] ||
        { fail "a read-only /boot/efi: $(events '.[] | select(.mount=="/boot/efi") | .reason')"; return 1; }

    : >"$F/log"
    outer_system
    in_system snapshot freezeRoot=yes "executionId=$JOB1"
    await 15 called || { fail 'no call'; return 1; }
    frozen "$W/sys" && frozen "$W/data" || { fail 'not frozen during the call'; return 1; }
    lines=$(grep -c . "$W/out")
    [ "$(events '[.[] | .t] | unique | join(" ")')" = 'hello mount' ] || { fail "printed while frozen: $(order)"; return 1; }
    finished && expect 0 || return 1
    [ "$lines" -lt "$(grep -c . "$W/out")" ] || { fail 'nothing told afterwards'; return 1; }
    [ "$(events '[.[] | select(.t=="frozen") | .mount] | join(" ")')" = '/data /' ] || { fail "frozen: $(events '[.[] | select(.t=="frozen") | .mount] | join(" ")')"; return 1; }
    [ "$(events '[.[] | select(.t=="thawed") | "\(.mount) \(.ok)"] | join(" ")')" = '/ true /data true' ] || { fail 'thawed in another order'; return 1; }
    thawed "$W/sys" && thawed "$W/data" && called_once || { fail "still frozen, or: $WHY"; return 1; }
    after_test

    # The holder dies: the guard must find all it needs although / is frozen.
    fake slow=9
    outer_system
    in_system snapshot freezeRoot=yes "executionId=$JOB2"
    await 15 called || { fail 'no second call'; return 1; }
    frozen "$W/sys" || { fail 'not frozen'; return 1; }
    kill -KILL "$(cut -d' ' -f1 "$W/sys/run/freezeframe/$JOB2/holder.up")"
    await 4 thawed "$W/sys" && await 3 thawed "$W/data" || { fail 'frozen after the death of the holder'; return 1; }
    finished && expect 203 failsafe-fired || return 1
    # And a call that never ends.
    fake slow=9
    in_system snapshot freezeRoot=yes "executionId=$JOB3" budgetSeconds=4
    finished && expect 201 snapshot-unknown && thawed "$W/sys"
}

# The AWS CLI writes into its home, and other places, whenever it runs: with / frozen that must be memory.
test_root_the_aws_cli_writes_nothing_to_the_frozen_root() {
    little_system || { fail 'no little system'; no_little_system; return 1; }
    root_cli
    local rc=$?
    no_little_system
    return $rc
}
root_cli() {
    mv "$W/sys/usr/bin/curl" "$W/sys/usr/bin/curl.real"
    printf '%s\n' '#!/bin/sh' 'for a; do case $a in --aws-sigv4) exit 2 ;; esac; done' 'exec /usr/bin/curl.real "$@"' >"$W/sys/usr/bin/curl"
    mkdir -p "$W/sys/root" "$W/sys/snap/bin"
    # shellcheck disable=SC2016 # words of the stand-in
    printf '%s\n' '#!/bin/sh' 'for a in "$HOME" "$TMPDIR" "$XDG_CACHE_HOME" "${XDG_CONFIG_HOME:-$HOME}" "${XDG_DATA_HOME:-$HOME}" "${XDG_STATE_HOME:-$HOME}"; do' \
        'for d in .aws .aws/cli .aws/cli/cache; do if [ ! -d "${a:-/tmp}/$d" ]; then mkdir "${a:-/tmp}/$d"; fi; done; echo "$a" >"${a:-/tmp}/.aws/cli/cache/session.db" || exit 255' done \
        'if [ -z "$PYTHONDONTWRITEBYTECODE" ]; then : >/usr/bin/aws.pyc; fi' 'case "$*" in' '*" --dry-run") echo "An error occurred (DryRunOperation) when calling it" >&2; exit 254 ;;' \
        '*" --no-dry-run") echo "snap-0bbbbbbbbbbbbbbb1 vol-0aaaaaaaaaaaaaaa1 9" ;;' esac >"$W/sys/snap/bin/aws"
    chmod 755 "$W/sys/usr/bin/curl" "$W/sys/snap/bin/aws"
    fake ok
    in_system dry-run mode=autonomous freezeRoot=yes && finished && expect 0 || return 1
    [ "$(events '.[] | select(.t=="prepared") | .how')" = aws-cli ] || { fail 'another client'; return 1; }
    outer_system
    in_system snapshot freezeRoot=yes "executionId=$JOB1" budgetSeconds=10 && finished && expect 0 || return 1
    [ "$(events '[.[] | select(.t=="thawed") | "\(.mount) \(.ok)"] | join(" ")')" = '/ true /data true' ] || { fail "$(order)"; return 1; }
    [ -z "$(find "$W/sys/root" "$W/sys/tmp" "$W/sys/usr" -name 'session.db' -o -name '*.pyc')" ] || fail 'written to the disk'
}
