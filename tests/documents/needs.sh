# shellcheck shell=bash
# What the job itself needs is never frozen: where its temporary files would go, and where the client is that talks to the database.

refused_as_needed() { # whatever was run: $W/data is left alone, by its own reason
    expect 206 agent-mount || return 1
    [ "$(events "[.[] | select(.mount==\"$W/data\" and .t==\"mount\") | .covered] | any")" = false ] && thawed "$W/data" || fail 'covered, or frozen'
}

test_needs_the_mount_with_the_temporary_files_is_refused() {
    outer
    mkdir -p "$W/data/tmp"
    TMPDIR=$W/data/tmp run $FS pre-script "executionId=$JOB1" "mounts=$W/data" && refused_as_needed || return 1
    # Not there yet, the nearest place that is there counts.
    TMPDIR=$W/data/tmp/later run $FS pre-script "executionId=$JOB1" "mounts=$W/data" && refused_as_needed || return 1
    # Nobody asked for that one: the other is frozen without it.
    TMPDIR=$W/data/tmp run $FS pre-script "executionId=$JOB1" && expect 0 || return 1
    thawed "$W/data" && frozen "$W/logs" || { fail 'not the other one alone'; return 1; }
    run $FS post-script "executionId=$JOB1" && expect 0 || return 1
    # Nothing else was in the way of it.
    TMPDIR=$W/agent run $FS dry-run "mounts=$W/data" && expect 0
}

test_needs_the_mount_with_the_client_is_refused() {
    mongo_here
    outer
    mkdir -p "$W/data/bin"
    cp "$MONGO/shell" "$W/data/bin/shell"
    run $MG pre-script "executionId=$JOB1" "client=$W/data/bin/shell" "mounts=$W/data" && refused_as_needed || return 1
    mongo_run dry-run "mounts=$W/data" && expect 0
}

# A client at no usual place, as generic archives and images have it: the one that is named is used, and none in its stead.
client_named() { # DOCUMENT TOOL PROGRAM PARAMETER...
    local document=$1 tool=$2 program
    program=$(readlink -f "$(command -v "$3")")
    shift 3
    mkdir -p "$W/agent/bin"
    printf '#!/bin/sh\n: >"%s/agent/used"\nexec "%s" "$@"\n' "$W" "$program" >"$W/agent/bin/client" && chmod 755 "$W/agent" "$W/agent/bin" "$W/agent/bin/client"
    rm -f "$W/agent/used"; : >"$W/agent/used.not"; chmod 777 "$W/agent"
    run "$document" dry-run "client=$W/agent/bin/client" "$@" && expect 0 || return 1
    [ "$(events ".[] | select(.t==\"tool\" and .name==\"$tool\") | .path")" = "$W/agent/bin/client" ] && [ -e "$W/agent/used" ] || { fail "$tool: not the one that was named"; return 1; }
    run "$document" dry-run "client=$W/agent/bin/none" "$@" && expect 206 no-tool || return 1
    run "$document" dry-run "client=bin/client" "$@" && expect 206 bad-parameter
}
test_needs_the_client_that_is_named() {
    local seen=''
    outer
    if server; then client_named $DB mysql mariadb "socket=$SOCK" || return 1; seen=$seen+; fi
    if redis_here aof; then client_named $RD redis-cli redis-cli "socket=$W/redis/sock" || return 1; seen=$seen+; fi
    if pg_here; then client_named $PG psql "$(ls -d /usr/lib/postgresql/*/bin/psql | tail -n 1)" "socketDirectory=$W/pg" "port=$PORT" || return 1; seen=$seen+; fi
    WHY=''
    if [ -z "$seen" ]; then WHY='SKIPPED no database here'; fi
}

# Where a distribution's tools are older than what a document needs (Debian 11: tests/matrix.sh bullseye), it says so before anything is held.
test_needs_tools_that_are_too_old_are_refused() {
    local seen=''
    outer
    if ! signs; then
        run $FS dry-run mode=autonomous && expect 206 no-client || return 1
        seen=yes
    fi
    if command -v redis-server >/dev/null && redis_is_old; then
        redis_of_kind aof && run $RD pre-script "executionId=$JOB1" "socket=$W/redis/sock"
        stop_redis
        expect 206 unsupported-server && thawed "$W/data" || return 1
        events '[.[] | select(.t=="error") | .text] | join(" ")' | grep -q '6\.2' || { fail 'not the version that is needed'; return 1; }
        seen=yes
    fi
    if [ -z "$seen" ]; then WHY='SKIPPED no tool here is too old'; fi
}
