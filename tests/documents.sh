#!/bin/bash
# The documents that run on the instances, really run: own loop images, own mount namespace, own database server.
# Prints `ok NAME`, `FAIL NAME: why` or `SKIPPED NAME: why`; fails when any test fails, with FF_MUST_RUN=yes also when one is skipped for a tool that
# .ci/run installs. Without root only the tests that freeze nothing run, and that is a failure too. Usage: [FF_SH=bash] tests/documents.sh [NAME-PATTERN]
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
DOCS=$HERE/../assets/documents
FILTER=${1:-}

if [ "${FF_INSIDE:-}" != yes ]; then
    if [ "$(id -u)" != 0 ]; then
        # shellcheck source=tests/documents/static.sh
        . "$HERE/documents/lib.sh"; . "$HERE/documents/static.sh"
        run_tests
        echo "FAIL: all other tests need root, and did not run"
        exit 1
    fi
    # It stays: to remove it would take it, and what is mounted there, from another run at the same time.
    mkdir -p /dev/disk
    # shellcheck source=tests/documents/sweep.sh
    . "$HERE/documents/sweep.sh"
    sweep ''
    # Everything in namespaces of its own that end with this process, however it ends: by a signal it takes away itself what is left, and what a
    # SIGKILL leaves is taken away by the next run. In the background, because a shell hears no signal while it waits for a command in the foreground.
    W=$(mktemp -d "/tmp/ff-documents-$$-$(started $$)-XXXXXX") || exit 1
    export W
    FF_INSIDE=yes setpriv --pdeathsig KILL env --default-signal=INT,QUIT unshare --mount --pid --fork --kill-child=KILL --mount-proc --propagation private bash "$0" "$@" &
    child=$!
    ended() {
        trap '' INT TERM HUP
        kill -KILL "$child" 2>/dev/null
        wait "$child" 2>/dev/null
        sweep_directory "$W"
        exit "$1"
    }
    trap 'ended 130' INT
    trap 'ended 143' TERM
    trap 'ended 129' HUP
    wait "$child"
    rc=$?
    # Where the inner one was killed
    if [ -d "$W" ]; then sweep_directory "$W"; fi
    exit "$rc"
fi

. "$HERE/documents/lib.sh"
. "$HERE/documents/static.sh"
. "$HERE/documents/filesystem.sh"
. "$HERE/documents/stalls.sh"
. "$HERE/documents/mysql.sh"
. "$HERE/documents/galera.sh"
. "$HERE/documents/mysql_server.sh"
. "$HERE/documents/mysqld.sh"
. "$HERE/documents/postgresql.sh"
. "$HERE/documents/redis.sh"
. "$HERE/documents/mongodb.sh"
. "$HERE/documents/ours.sh"
. "$HERE/documents/versions.sh"
. "$HERE/documents/mount.sh"
. "$HERE/documents/autonomous.sh"
. "$HERE/documents/root.sh"
. "$HERE/documents/mapping.sh"
. "$HERE/documents/needs.sh"
. "$HERE/documents/exits.sh"
. "$HERE/documents/full.sh"
. "$HERE/documents/forks.sh"
. "$HERE/documents/auto.sh"
. "$HERE/documents/syncs.sh"
. "$HERE/documents/boot.sh"
. "$HERE/documents/many.sh"
set_up
trap tear_down EXIT
run_tests
exit $((FAILED > 0))
