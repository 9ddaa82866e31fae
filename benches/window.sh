#!/bin/bash
# How long is the freeze window of coordinated mode, where the console asks for the snapshots between two commands? It is asked of the lab's real
# runtime (real ext4 and XFS volumes, the real console over HTTP), beside the time that the lab lets a command take to its agent:
#   window   freeze_window_ms: from the first freeze to the last thaw, by the instance's own clock; the median of ROUNDS instances (all of them)
#   rest     the median less one delivery: post-script's lies in the window, pre-script's is over before it begins
# As root, after `cargo build`: `bash benches/window.sh [ROUNDS]` (5). FREEZEFRAME names another binary, FF_CALL_MS lets EC2 answer so late.
# Makes its own volumes and leaves nothing. A measurement, not a test: it never fails for being slow.
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
ROUNDS=${1:-5}
FREEZEFRAME=${FREEZEFRAME:-${CARGO_TARGET_DIR:-$HERE/../target}/debug/freezeframe}
[ "$(id -u)" = 0 ] || { echo 'SKIPPED: not root'; exit 0; }
[ -x "$FREEZEFRAME" ] || { echo "there is no $FREEZEFRAME: cargo build" >&2; exit 1; }
W=$(mktemp -d /var/tmp/ff-window.XXXXXX) || exit 1
SERVER=''
stop_lab() {
    if [ -n "$SERVER" ]; then kill "$SERVER" && wait "$SERVER"; fi
    SERVER=''
}
clean_up() {
    stop_lab
    rm -rf "$W"
}
trap clean_up EXIT
trap 'exit 1' INT TERM
mkdir "$W/home"
export HOME=$W/home FREEZEFRAME_STATE_DIR=$W/home/state AWS_EC2_METADATA_DISABLED=true
# The lab takes the key alone that it has written there.
export AWS_SHARED_CREDENTIALS_FILE=$W/lab/credentials
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN

world() { # LATENCY
    echo 'name = "window"'
    for n in $(seq "$ROUNDS"); do
        printf '[[instance]]\nid = "i-0fea%013x"\nname = "window-%d"\ncommand_latency_ms = %d\ntags = { ConsistentSnapshot = "linux-filesystem" }\n' "$n" "$n" "$1"
        printf '[[instance.volume]]\nid = "vol-0fea%011x00"\ndevice = "/dev/xvda"\nsize = 1\n' "$n"
        printf '[[instance.volume]]\nid = "vol-0fea%011x01"\ndevice = "/dev/sdf"\nsize = 1\nfs = "ext4"\nmount = "/data/a"\n' "$n"
        printf '[[instance.volume]]\nid = "vol-0fea%011x02"\ndevice = "/dev/sdg"\nsize = 1\nfs = "xfs"\nmount = "/data/b"\n' "$n"
    done
}
echo 'name = "window"' >"$W/faults.toml"
if [ "${FF_CALL_MS:-0}" != 0 ]; then
    printf '[[fault]]\non = "CreateSnapshots"\nkind = "slow"\nms = %d\n' "$FF_CALL_MS" >>"$W/faults.toml"
fi

measure() { # LATENCY: the windows, sorted
    world "$1" >"$W/world.toml"
    rm -f "$W/lab.out"
    "$FREEZEFRAME" lab serve --runtime real --port 0 --world "$W/world.toml" --faults "$W/faults.toml" --lab-dir "$W/lab" </dev/null >"$W/lab.out" 2>"$W/lab.err" &
    SERVER=$!
    until grep -qs http:// "$W/lab.out"; do
        kill -0 "$SERVER" 2>/dev/null || { cat "$W/lab.err" >&2; exit 1; }
        sleep 0.1
    done
    URL=$(grep -o 'http://[0-9.:]*' "$W/lab.out" | head -n 1)
    CONSOLE="$FREEZEFRAME --endpoint-url $URL --region eu-central-1 -o json"
    $CONSOLE setup documents >/dev/null || exit 1
    # One at a time: the windows of instances that are frozen together would share two processors.
    $CONSOLE snapshot --tag ConsistentSnapshot=linux-filesystem --at-once 1 >"$W/run.json" || { cat "$W/run.json" >&2; exit 1; }
    jq -r '.jobs[].freeze_window_ms' "$W/run.json" | sort -n >"$W/windows"
    stop_lab
}

echo "freeze_window_ms of coordinated mode, median of $ROUNDS instances (all of them); EC2 answers after ${FF_CALL_MS:-0} ms"
for latency in 0 100 500 1000; do
    measure $latency
    median=$(sed -n "$(((ROUNDS + 1) / 2))p" "$W/windows")
    printf 'delivery %4d ms   window %5d ms   rest %5d ms   2 x delivery %4d ms   (%s)\n' \
        $latency "$median" $((median - latency)) $((2 * latency)) "$(tr '\n' ' ' <"$W/windows")"
done
