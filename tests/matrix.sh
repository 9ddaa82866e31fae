#!/usr/bin/env bash
# The documents' tests (tests/documents.sh) in root directories of other Debians, each with its own shell, tools and servers. `.ci/roots` makes the roots;
# one that is not there is SKIPPED, and said so. Root only.
# Usage: tests/matrix.sh [ROW…], all rows without a name; `tests/matrix.sh --rows` lists them. FF_SLOW=1 runs every test in every row, and MySQL end to end.
# FF_TESTS='PATTERN…' runs the tests of these names instead. Each line begins with its row.
set -u
repository=$(cd "$(dirname "$0")/.." && pwd)
roots=${FREEZEFRAME_ROOTS:-${HOME:-/root}/.cache/freezeframe/roots}

# ROW ROOT SHELL WHEN: what is /bin/sh there, and whether the row runs without FF_SLOW. sid-uutils is sid with uutils in the place of GNU's coreutils.
rows='bullseye bullseye dash always
bullseye-bash bullseye bash slow
trixie trixie dash slow
trixie-bash trixie bash always
sid sid dash slow
sid-uutils sid-uutils dash always
bash-4.4 bash-4.4 bash slow'

# What a row runs without FF_SLOW: each recipe's whole way, the failsafe, the root, the mapping, the refusals of the servers that only a row has.
fast='fs_dry_run_* fs_happy_path fs_failsafe_fires_* fs_second_* map_* mount_and_* needs_*_temporary_* needs_tools_* mysql_happy_path mysql_dry_run_* mysql_failsafe_*
    mysql_killed_* mysql_grants_* mysqld_* postgresql_happy_path postgresql_failsafe_* redis_append_only_* auto_happy_path root_freezes_*'
# What does not depend on a distribution, and what runs servers of its own
never='documents_* shrinking_* parameters_* scripts_* instance_role_* version_*'

of_root() { # of_root COMMAND…: processes of its own, and nothing of this machine's environment
    setpriv --pdeathsig KILL unshare --pid --fork --kill-child=KILL --mount-proc /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root TERM=dumb \
        AWS_EC2_METADATA_DISABLED=true "$@"
}

# --inside ROOT SHELL SCRATCH: in namespaces of its own. Descriptor 3 is the guard's: when nobody has it any more, the guard ends what is left.
inside() {
    local root=$1 shell=$2 scratch=$3 number
    mount --bind "$root" "$scratch/root" || return 1
    root=$scratch/root
    # Temporary files lie on the filesystem of the root, as they do on most instances.
    mount --bind "$scratch/tmp" "$root/tmp" && mount --bind "$scratch/vartmp" "$root/var/tmp" && mount -t tmpfs -o mode=755 tmpfs "$root/run" &&
        mount -t tmpfs -o mode=755 tmpfs "$root/dev" && mount --rbind /sys "$root/sys" || return 1
    # Devices of our own: what another run makes and removes below /dev/disk is no matter here.
    mkdir "$root"/dev/{disk,pts,shm} && mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" && mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts" || return 1
    mknod -m 666 "$root/dev/null" c 1 3 && mknod -m 666 "$root/dev/zero" c 1 5 && mknod -m 666 "$root/dev/full" c 1 7 && mknod -m 666 "$root/dev/random" c 1 8 &&
        mknod -m 666 "$root/dev/urandom" c 1 9 && mknod -m 600 "$root/dev/loop-control" c 10 237 && mknod -m 666 "$root/dev/tty" c 5 0 || return 1
    for number in {0..255}; do mknod -m 600 "$root/dev/loop$number" b 7 "$number" || return 1; done
    ln -s pts/ptmx "$root/dev/ptmx" && ln -s /proc/self/fd "$root/dev/fd" && ln -s fd/0 "$root/dev/stdin" && ln -s fd/1 "$root/dev/stdout" && ln -s fd/2 "$root/dev/stderr" || return 1
    # Read-only is the root itself as well: it is used again.
    mkdir -p "$root$repository" && mount --bind "$repository" "$root$repository" && mount -o remount,bind,ro "$root$repository" || return 1
    if [ -n "${FF_REAL:-}" ]; then
        mkdir -p "$root$FF_TARGET" && mount --bind "$FF_TARGET" "$root$FF_TARGET" && mount -o remount,bind,ro "$root$FF_TARGET" || return 1
    fi
    # The root of this mount namespace, and not only of its processes: what enters the namespace later comes to it as well.
    mount -t proc proc "$root/proc" && mount -o remount,bind,ro "$root" && cd "$root" && pivot_root . mnt && cd / && umount -l /mnt || return 1
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    hash -r
    busybox ip link set lo up || return 1
    exec 3> >(exec 3>&- && setsid -w bash "$repository/tests/matrix.sh" --guard)
    of_root FF_SH="$shell" bash -c "$(declare -f versions); versions" 3>&-
    of_root FF_INSIDE=yes FF_SH="$shell" FF_SLOW="${FF_SLOW:-}" FF_TESTS="${FF_TESTS:-}" FF_NOT="$never" bash "$repository/tests/documents.sh" 3>&-
    echo "documents ended with $?"
    if [ -n "${FF_SLOW:-}" ] && [ -x /usr/sbin/mysqld ]; then
        if [ -n "${FF_REAL:-}" ] && ! of_root "$FF_REAL" --list >/dev/null 2>&1 3>&-; then
            echo "SKIPPED end to end: tests/real, as this machine builds it, does not run with the C library of this root"
        else
            echo "end to end: ${FF_REAL:-tests/real could not be built}"
            of_root env --chdir="$repository" "$FF_REAL" --include-ignored --test-threads=1 --nocapture p13_mysql 3>&-
            echo "end to end ended with $?"
        fi
    fi
}

# What the row really is; called in the root
# shellcheck disable=SC2317
versions() {
    local package said=''
    for package in "$FF_SH" util-linux curl mariadb-server-core mariadb-server-core-10.5 mysql-server-core redis-server; do
        said="$said$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}' "$package" 2>/dev/null | sed -n 's/^installed /, /p')"
    done
    # shellcheck disable=SC1091
    echo "versions: $(. /etc/os-release && echo "$PRETTY_NAME"), /bin/sh is $FF_SH, $(sync --version | head -n 1)$said, PostgreSQL $(ls /usr/lib/postgresql)"
}

# ours LOOP: its image is one of ours. By its inode: where somebody else keeps an image, its name may look the same from here.
ours() {
    local inode
    inode=$(losetup -nO BACK-INO "$1" 2>/dev/null | tr -d ' ')
    [ -n "$inode" ] && [ "$(losetup -nO BACK-MAJ:MIN "$1" | tr -d ' ')" = "$(findmnt -nro MAJ:MIN -T /tmp | tail -n 1)" ] &&
        [ -n "$(find /tmp /var/tmp -xdev -type f -inum "$inode" -print -quit)" ]
}

# --guard: reads until nobody holds the other end, then thaws and takes away every loop device whose image lies in this run's own places. That is needed
# where the tests came to a violent end only; each of them has armed a thaw of its own besides.
guard() {
    local loop try at=/run/guard
    trap '' INT TERM HUP
    cat >/dev/null
    mkdir -p "$at"
    for try in 1 2 3; do
        for loop in /sys/block/loop*; do
            loop=/dev/${loop##*/}
            ours "$loop" || continue
            # The same filesystem once more: a thaw by any mount of it is a thaw.
            if mount -o nouuid "$loop" "$at" 2>/dev/null || mount "$loop" "$at" 2>/dev/null; then
                fsfreeze -u "$at" 2>/dev/null && echo "guard: thawed $loop"
                umount "$at"
            fi
            losetup -d "$loop" 2>/dev/null
        done
        sleep "0.$try"
    done
}

case ${1:-} in
--rows) echo "$rows"; exit ;;
--inside) shift; inside "$@"; exit ;;
--guard) guard; exit ;;
esac
if [ "$(id -u)" != 0 ]; then
    echo 'the matrix needs root' >&2
    exit 2
fi
# shellcheck source=tests/documents/sweep.sh
. "$repository/tests/documents/sweep.sh"
sweep "$roots"
if [ -z "${FF_SLOW:-}" ]; then FF_TESTS=${FF_TESTS:-$fast}; fi
export FF_TESTS FF_SLOW
limit=${FF_SECONDS:-600}
if [ -n "${FF_SLOW:-}" ]; then
    limit=${FF_SECONDS:-3600}
    # The console and the lab, as `cargo test` has built them
    FF_REAL=$(cd "$repository" && cargo test --locked --no-run --test real --message-format json 2>/dev/null | jq -r 'select(.profile.test and .target.name == "real") | .executable')
    FF_TARGET=${FF_REAL%/*/deps/*}
    export FF_REAL FF_TARGET
fi

summary=''
failed=0
# row NAME ROOT SHELL
row() {
    local scratch log ok bad skipped passed
    if [ ! -s "$roots/$2/etc/freezeframe-root" ]; then
        summary="${summary}[$1] SKIPPED: no root $roots/$2 (.ci/roots makes those that can be had)"$'\n'
        return
    fi
    scratch=$(mktemp -d "$roots/.run-$$-$(started $$)-XXXXXX") || exit 1
    mkdir "$scratch/root" "$scratch/tmp" "$scratch/vartmp" && chmod 1777 "$scratch/tmp" "$scratch/vartmp" && chmod 755 "$scratch"
    log=$scratch/log
    # All of it ends with this process, and with the end of the last one the guard begins.
    setpriv --pdeathsig KILL timeout --kill-after=30 "$limit" setpriv --pdeathsig KILL unshare --mount --ipc --net --uts --propagation private bash "$0" --inside "$(cd "$roots/$2" && pwd)" "$3" "$scratch" 2>&1 </dev/null |
        tee "$log" | sed -u "s/^/[$1] /"
    ok=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^FAIL ' "$log")
    skipped=$(grep -c '^SKIPPED ' "$log")
    # What did not come to its end, or tested nothing, has failed.
    if ! grep -q '^documents ended with 0$' "$log" && [ "$bad" = 0 ]; then bad=1; fi
    if [ "$ok" = 0 ]; then bad=$((bad + 1)); fi
    if grep -q '^end to end: ' "$log"; then
        passed=$(sed -n 's/^test result: ok\. \([1-9][0-9]*\) passed; 0 failed.*/\1/p' "$log")
        if [ -n "$passed" ]; then ok=$((ok + passed)); else bad=$((bad + 1)); fi
    fi
    if [ "$bad" != 0 ]; then failed=1; fi
    summary="${summary}[$1] $ok ok, $bad failed, $skipped SKIPPED"$'\n'
    rm -rf --one-file-system "$scratch"
}

while read -r name root shell when; do
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    elif [ "$when" = slow ] && [ -z "${FF_SLOW:-}" ]; then continue; fi
    row "$name" "$root" "$shell"
done <<<"$rows"
if [ -z "$summary" ]; then
    echo "no row of that name: $*; tests/matrix.sh --rows lists them" >&2
    exit 2
fi
printf '%s' "$summary"
exit "$failed"
