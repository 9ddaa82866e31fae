#!/bin/bash
# How long does one write wait while a set is taken? The longest stall of a writer (512 bytes, fdatasync) on one of N frozen ext4 loop volumes:
#   none   nothing freezes: what the disk alone does
#   bare   fsfreeze -f for each; curl --aws-sigv4 CreateSnapshots; fsfreeze -u for each, last in first out: the least that a shell can do
#   even   the same with all of them at once (`fsfreeze … &`, `wait`): what is left to grow is starting that many processes, and the kernel
#   ours   linux-filesystem's `snapshot`, as the agent runs it
# all in the same run, in turns, against the same small EC2 on loopback. As root: `bash benches/stall.sh [ROUNDS]` (5).
# FF_CALL_MS=50 lets that EC2 take as long as a real one; without it, it answers at once, which is the hardest case for the ratio.
# FF_DIR=/dev/shm puts the images into memory: then only the work counts, not the disk that all of them share here.
# Makes its own images, mounts and mount namespace and leaves nothing. A measurement, not a test: it never fails for being slow.
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
ROUNDS=${1:-5}
[ "$(id -u)" = 0 ] || { echo 'SKIPPED: not root'; exit 0; }
if [ "${FF_INSIDE:-}" != yes ]; then
    MADE_DISK=no
    if [ ! -d /dev/disk ]; then mkdir /dev/disk && MADE_DISK=yes; fi
    FF_INSIDE=yes unshare -m --propagation private bash "$0" "$@"
    CODE=$?
    if [ "$MADE_DISK" = yes ]; then rmdir /dev/disk 2>/dev/null; fi
    exit $CODE
fi
DOCS=$HERE/../assets/documents
W=$(mktemp -d "${FF_DIR:-/tmp}/ff-stall.XXXXXX")
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/disk && mkdir /dev/disk/by-id || exit 1
LOOPS='' MOUNTS=() SERVER=''
clean_up() {
    local m l
    for m in "${MOUNTS[@]}"; do fsfreeze -u "$m" 2>/dev/null; done
    for m in "${MOUNTS[@]}"; do umount "$m"; done
    for l in $LOOPS; do losetup -d "$l"; done
    if [ -n "$SERVER" ]; then kill "$SERVER"; fi
    rm -rf "$W"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

mkdir "$W/fake" "$W/agent"
if [ -n "${FF_CALL_MS:-}" ]; then printf 'slow=0.%03d' "$FF_CALL_MS"; else echo ok; fi >"$W/fake/mode"
python3 "$HERE/../tests/documents/fake_ec2.py" "$W/fake" 2>/dev/null &
SERVER=$!
until [ -s "$W/fake/port" ]; do sleep 0.05; done
AWS_ENDPOINT_URL_EC2=http://127.0.0.1:$(cat "$W/fake/port")
export AWS_ENDPOINT_URL_EC2 AWS_EC2_METADATA_SERVICE_ENDPOINT=$AWS_ENDPOINT_URL_EC2

add_volume() {
    local n=${#MOUNTS[@]} loop id
    truncate -s 64M "$W/$n.img"
    loop=$(losetup -f --show "$W/$n.img") || exit 1
    LOOPS="$LOOPS $loop"
    mkfs.ext4 -q "$loop" && mkdir "$W/v$n" && mount "$loop" "$W/v$n" || exit 1
    MOUNTS+=("$W/v$n")
    printf -v id '%016x' "$n"
    ln -s "$loop" "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0$id"
}

outer_thaw() { # in a session of its own, whatever happens to us
    setsid sh -c 'sleep 20; for m; do fsfreeze -u "$m"; done' sh "${MOUNTS[@]}" </dev/null >/dev/null 2>&1 &
    OUTER=$!
    disown $OUTER
}

none() { sleep 0.3; }
cat >"$W/bare.sh" <<'END'
#!/bin/sh
# all at once where EVEN is set: `wait` returns at once when nothing was put into the background
each() { if [ -n "${EVEN:-}" ]; then fsfreeze "$@" & else fsfreeze "$@"; fi; }
for m; do each -f "$m"; done
wait
curl -q -s -o /dev/null --aws-sigv4 aws:amz:eu-central-1:ec2 -K "$CONFIG" -d 'Action=CreateSnapshots&Version=2016-11-15&InstanceSpecification.InstanceId=i-0123456789abcdef0' "$AWS_ENDPOINT_URL_EC2/"
BACK=''
for m; do BACK="$m $BACK"; done
for m in $BACK; do each -u "$m"; done
wait
END
printf 'user = "ASIAPLANTEDKEY:planted/secret+key"\nheader = "X-Amz-Security-Token: planted//session+token=="\n' >"$W/config"
bare() { CONFIG=$W/config sh "$W/bare.sh" "${MOUNTS[@]}"; }
even() { EVEN=yes CONFIG=$W/config sh "$W/bare.sh" "${MOUNTS[@]}"; }
. "$HERE/../tests/documents/lib.sh"
ours() {
    render linux-filesystem "$W/agent/run.sh" command=snapshot
    setsid -w "$W/agent/run.sh" </dev/null >"$W/out" 2>&1 || { cat "$W/out" >&2; exit 1; }
}

stall() { # HOW: microseconds
    outer_thaw
    rm -f "$W/stop" "$W/stop.ready"
    python3 "$HERE/stall_writer.py" "${MOUNTS[0]}/file" "$W/stop" >"$W/longest" &
    local writer=$!
    until [ -e "$W/stop.ready" ]; do sleep 0.02; done
    sleep 0.2
    "$1"
    sleep 0.1
    : >"$W/stop"
    wait "$writer"
    kill -KILL -- "-$OUTER" 2>/dev/null
    cat "$W/longest"
}
median() { sort -n | sed -n "$(((ROUNDS + 1) / 2))p"; }
ratio() { printf '%d.%02d' $(($1 / $2)) $(($1 * 100 / $2 % 100)); }
ms() { printf '%d.%d' $(($1 / 1000)) $(($1 / 100 % 10)); }

echo "longest stall of one write in ms, median of $ROUNDS rounds (all rounds); EC2 answers after ${FF_CALL_MS:-0} ms"
declare -A FIRST
for n in 1 4 16; do
    while [ ${#MOUNTS[@]} -lt $n ]; do add_volume; done
    for how in none bare even ours; do : >"$W/$how"; done
    for _ in $(seq "$ROUNDS"); do for how in none bare even ours; do stall $how >>"$W/$how"; done; done
    b=$(median <"$W/bare")
    for how in none bare even ours; do
        o=$(median <"$W/$how")
        FIRST[$how]=${FIRST[$how]:-$o}
        printf 'N=%-2d %-4s %8s   (%s)' $n $how "$(ms "$o")" "$(while read -r u; do printf '%s ' "$(ms "$u")"; done <"$W/$how")"
        if [ $how != none ]; then printf '  against N=1 %s' "$(ratio "$o" "${FIRST[$how]}")"; fi
        if [ $how = ours ]; then printf ', ours/bare %s' "$(ratio "$o" "$b")"; fi
        echo
    done
done
