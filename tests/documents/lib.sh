# Helpers of tests/documents.sh. A test is a function test_NAME; it returns 0, or calls `fail WHY` (which sets WHY and returns 1).
# shellcheck shell=bash disable=SC2034
FAILED=0
PIDS=''
JOB1=11111111-2222-3333-4444-555555555555
JOB2=99999999-8888-7777-6666-555555555555
JOB3=77777777-6666-5555-4444-333333333333

fail() { WHY=$*; return 1; }

# wanted NAME: it has the pattern of the command line in it, is one of FF_TESTS where that is set, and none of FF_NOT (patterns of whole names)
wanted() {
    local pattern
    local -
    set -f
    case $1 in *$FILTER*) ;; *) return 1 ;; esac
    # shellcheck disable=SC2053 # patterns
    for pattern in ${FF_NOT:-}; do if [[ $1 == $pattern ]]; then return 1; fi; done
    # shellcheck disable=SC2053
    for pattern in ${FF_TESTS:-*}; do if [[ $1 == $pattern ]]; then return 0; fi; done
    return 1
}

# signs: whether anything here can make the call itself (test_needs_tools_that_are_too_old_are_refused sees what the documents say where nothing can)
signs() { [ -z "${W:-}" ] || curl --help all 2>/dev/null | grep -q aws-sigv4 || command -v aws >/dev/null; }

# kind NAME: the server that a test is about: its first word, or two of them in ours_*
kind() { case $1 in ours_*_*) set -- "${1#ours_}"; echo "ours_${1%%_*}" ;; *) echo "${1%%_*}" ;; esac; }

# The documents tell of every server that works on what is frozen: those that tests of another kind left to be used again are stopped.
stop_servers() {
    if [ -s "$W/db.pid" ]; then stop_server; fi
    if [ -s "$W/my.pid" ]; then stop_mysqld; fi
    if [ -d "$W/data/pg" ]; then stop_postgresql; fi
    if [ -n "${REDIS_PIDS:-}" ]; then stop_redis; fi
}

# skipped NAME WHY: said, and a failure where all that .ci/run installs must be there (FF_MUST_RUN)
skipped() {
    case ${FF_MUST_RUN:+$2} in
    'no MariaDB server here' | 'no MariaDB with Galera '* | 'no PostgreSQL server here' | 'no psql here'* | 'no Redis server here' | 'no node here' | 'no shellcheck' | 'no mkfs.btrfs' | \
        'no curl that signs'* | 'no AWS CLI')
        FAILED=$((FAILED + 1))
        echo "FAIL $1: $2"
        ;;
    *) echo "SKIPPED $1: $2" ;;
    esac
}

run_tests() {
    local name last=''
    for name in $(declare -F | sed -n 's/^declare -f test_//p'); do
        wanted "$name" || continue
        WHY=''
        if [ -n "${W:-}" ] && [ "$(kind "$name")" != "$last" ]; then stop_servers; fi
        last=$(kind "$name")
        case $name in
        auto_* | root_* | *_autonomous)
            if ! signs; then
                skipped "$name" 'no curl that signs (7.75 or later), no AWS CLI'
                continue
            fi
            ;;
        esac
        if "test_$name"; then
            case $WHY in SKIPPED*) skipped "$name" "${WHY#SKIPPED }" ;; *) echo "ok $name" ;; esac
        else
            FAILED=$((FAILED + 1))
            echo "FAIL $name: ${WHY:-no reason given}"
            if [ -s "${W:-/nonexistent}/out" ]; then sed 's/^/    | /' "$W/out"; fi
        fi
        if declare -F after_test >/dev/null && [ -n "${W:-}" ]; then after_test; fi
    done
}

# await SECONDS COMMAND…: until it succeeds. Twice the seconds are given, because a machine may be busy: this is a limit and no measurement.
await() {
    local end=$((SECONDS + 2 * $1 + 1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then return 1; fi
        sleep 0.05
    done
}
not() { ! "$@"; }
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.[ZX]' "/proc/$1/status" 2>/dev/null; }

frozen() { python3 "$HERE/documents/frozen.py" "$1"; }
thawed() { not frozen "$1"; }

make_volume() { # NAME FSTYPE VOLUME-HEX: $W/NAME mounted, LOOP_NAME
    local image=$W/$1.img loop
    truncate -s "${4:-400M}" "$image"
    loop=$(losetup -f --show "$image") || return 1
    LOOPS="$LOOPS $loop"
    printf -v "LOOP_$1" %s "$loop"
    if [ "$2" != none ]; then
        "mkfs.$2" -q "$loop" >/dev/null || return 1
        mkdir -p "$W/$1"
        mount "$loop" "$W/$1" || return 1
    fi
    if [ -n "$3" ]; then ln -s "$loop" "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol$3"; fi
}

set_up() {
    LOOPS=''
    mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/disk || exit 1
    mkdir /dev/disk/by-id
    # FF_SH=bash: the suite under another /bin/sh, as on Amazon Linux
    if [ -n "${FF_SH:-}" ]; then mount --bind "$(command -v "$FF_SH")" "$(readlink -f /bin/sh)" || exit 1; fi
    W=${W:-$(mktemp -d /tmp/ff-documents.XXXXXX)}
    mkdir "$W/agent"
    make_volume data ext4 0aaaaaaaaaaaaaaa1 && make_volume logs xfs 0aaaaaaaaaaaaaaa2 && make_volume other ext4 '' || exit 1
    OUTER=''
}

thaw_all() {
    local m
    for m in data logs other; do
        if frozen "$W/$m"; then fsfreeze -u "$W/$m"; fi
    done
}

# Whatever a test leaves behind: the state of its jobs, what may still freeze, a frozen filesystem. The outer thaw goes last: until then something
# may freeze once more.
after_test() {
    local p
    for p in /run/freezeframe/*/guard.up /run/freezeframe/*/holder.up /run/freezeframe/*/pin.*; do
        if [ -s "$p" ]; then kill -KILL "$(cut -d' ' -f1 "$p")" 2>/dev/null; fi
    done
    for p in $PIDS; do kill -KILL "$p" 2>/dev/null; done
    # Who writes to a frozen filesystem ends only when it is thawed.
    thaw_all
    for p in $PIDS; do wait "$p" 2>/dev/null; done
    PIDS=''
    thaw_all
    if [ -n "$OUTER" ]; then kill -KILL -- "-$OUTER" 2>/dev/null; OUTER=''; fi
    rm -rf /run/freezeframe
}

tear_down() {
    local m l
    after_test
    stop_servers
    if declare -F version_gone >/dev/null; then postgresql_version_gone; fi
    if declare -F stop_fake >/dev/null; then stop_fake; fi
    for m in restored data logs other; do
        if mountpoint -q "$W/$m"; then umount "$W/$m" || umount -l "$W/$m"; fi
    done
    for l in $LOOPS; do losetup -d "$l"; done
    rm -rf "$W"
}

# An outer thaw, armed before anything freezes, in a session of its own.
outer() {
    if [ -n "$OUTER" ]; then kill -KILL -- "-$OUTER" 2>/dev/null; fi
    setsid sh -c "sleep 40; fsfreeze -u '$W/data'; fsfreeze -u '$W/logs'; fsfreeze -u '$W/other'" </dev/null >/dev/null 2>&1 &
    OUTER=$!
    disown $OUTER
}

# render DOCUMENT FILE NAME=VALUE…: what the agent would write to disk, defaults filled in
render() {
    local doc=$1 file=$2 text name value pair
    shift 2
    text=$(jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$DOCS/$doc.json")
    for pair in "$@"; do text=${text//"{{ ${pair%%=*} }}"/"${pair#*=}"}; done
    while IFS=$'\t' read -r name value; do
        text=${text//"{{ $name }}"/"$value"}
    done < <(jq -r '.parameters | to_entries[] | [.key, .value.default // ""] | @tsv' "$DOCS/$doc.json")
    printf '%s\n' "$text" >"$file"
    chmod 700 "$file"
}

# One test may run several jobs, and all of them under one id; a test of the markers that jobs leave sets MARKERS.
forget_stones() { if [ -z "${MARKERS:-}" ]; then rm -f /run/freezeframe/over.* /run/freezeframe/seen.*; fi; }

# place: SCRIPT, the next script's file; with COMMAND_ID below a directory of that name, as the agent has it
place() {
    forget_stones
    RUN=$((RUN + 1))
    SCRIPT=${SCRIPT_DIR:-$W/agent}/$RUN.sh
    if [ -n "${COMMAND_ID:-}" ]; then
        SCRIPT=$W/agent/document/orchestration/$COMMAND_ID/awsrunShellScript/0.awsrunShellScript/_script.sh
        mkdir -p "${SCRIPT%/*}"
    fi
}

RUN=0
# run DOCUMENT COMMAND NAME=VALUE…: as the agent runs it, in a process group of its own, until its output pipes are closed. RC, $W/out, $W/err
run() {
    local doc=$1 command=$2
    shift 2
    place
    render "$doc" "$SCRIPT" "command=$command" "$@"
    # cat ends only when nothing holds the pipe any more
    { timeout 60 setsid -w "$SCRIPT" 2>"$W/err" </dev/null; echo $? >"$W/rc"; } | timeout 70 cat >"$W/out"
    RC=$(cat "$W/rc")
    if [ -s "$W/err" ]; then WHY="stderr: $(head -c 300 "$W/err")"; fi
    if [ "$(wc -c <"$W/out")" -gt 24000 ]; then fail "output longer than the agent keeps"; fi
}

# What the agent runs a script within (forks.sh)
WITHIN=()
# start DOCUMENT COMMAND …: in the background, GROUP is its process group
start() {
    local doc=$1 command=$2
    shift 2
    place
    render "$doc" "$SCRIPT" "command=$command" "$@"
    # As the agent starts it, whatever whoever runs the tests ignores (nohup).
    setsid "${WITHIN[@]}" env --default-signal "$SCRIPT" </dev/null >"$W/out" 2>"$W/err" &
    GROUP=$!
    PIDS="$PIDS $GROUP"
}

# events FILTER: jq over the FF1 lines of the last run
events() { sed -n 's/^FF1 //p' "$W/out" | jq -rs "$1"; }
# order: the events' names on one line
order() { events '[.[] | .t] | join(" ")'; }
# paths: the places that the engine needs, in the order of the alphabet
paths() { events '[.[] | select(.t=="path") | .what + " " + .path] | sort | join(",")'; }
has_error() { [ "$(events "[.[] | select(.t==\"error\") | .code] | index(\"$1\") != null")" = true ]; }
# expect RC [ERROR-CODE]
expect() {
    if [ "$RC" != "$1" ]; then fail "exit $RC, not $1 $WHY"; return 1; fi
    if [ -n "${2:-}" ] && ! has_error "$2"; then fail "no error $2"; return 1; fi
    if [ -s "$W/err" ]; then fail "wrote to stderr: $(head -c 300 "$W/err")"; return 1; fi
    if [ "$(events 'last.t')" != end ] || [ "$(events 'first.t')" != hello ]; then fail "not from hello to end: $(order)"; return 1; fi
    if [ "$(events 'last.exit')" != "$1" ]; then fail "end says $(events 'last.exit')"; return 1; fi
    if [ "$(events '[.[].seq] | . == (unique)')" != true ]; then fail "seq does not count up"; return 1; fi
}
