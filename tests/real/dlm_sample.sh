#!/bin/bash
# The shape of the sample documents that AWS published for Data Lifecycle Manager's pre and post scripts, in our own words and with what is
# weak in it kept as it is: no evidence, a failsafe that starts only after the last freeze, a thaw that stops at the first filesystem that is
# open already. It takes everything that is mounted but / and /boot, as the sample does: an instance of the lab sees nothing of this
# machine's. One thing is ours: it gives the codes 203 and 206, which the sample only lists.
OPERATION='{{ command }}'
EXECUTION='{{ executionId }}'
AUTO_THAW_SECONDS=60
NOTES=/run/pre-post-sample
mkdir -p "$NOTES"

say() { echo "$(date -u +%H:%M:%S) $EXECUTION $OPERATION: $*"; }

targets() {
    lsblk -nlo MOUNTPOINTS | sort -u | while read -r AT; do
        case $AT in / | */boot* | '' | '['*) continue ;; esac
        echo "$AT"
    done
}

# Open for a freeze? A remount changes nothing that matters, and is refused where somebody has frozen it.
check_open() {
    local WHY
    for AT in $(targets); do
        if ! WHY=$(mount -o remount,noatime "$AT" 2>&1); then
            say "$AT: $WHY"
            case $WHY in *busy*) exit 204 ;; esac
            exit 201
        fi
    done
}

freeze() {
    local WHY
    check_open
    for AT in $(targets); do
        say "freezing $AT"
        sync -f "$AT"
        if ! WHY=$(fsfreeze -f "$AT" 2>&1); then
            say "$AT: $WHY"
            case $WHY in *busy*) exit 204 ;; esac
            exit 201
        fi
    done
}

thaw() {
    local WHY
    for AT in $(targets); do
        if ! WHY=$(fsfreeze -u "$AT" 2>&1); then
            say "$AT: $WHY"
            case $WHY in *'nvalid argument'*) exit 205 ;; esac
            exit 202
        fi
        say "thawed $AT"
    done
}

# Called by name in a shell of its own.
# shellcheck disable=SC2317
auto_thaw() {
    sleep "$AUTO_THAW_SECONDS"
    : >"$NOTES/auto-thawed"
    (thaw)
}

case $OPERATION in
dry-run)
    say "would freeze: $(targets | tr '\n' ' ')"
    ;;
pre-script)
    if [ -e /etc/application-not-ready ]; then
        say 'the application is not ready'
        exit 206
    fi
    freeze
    rm -f "$NOTES/auto-thawed"
    export -f auto_thaw thaw targets say
    export AUTO_THAW_SECONDS NOTES EXECUTION OPERATION
    # shellcheck disable=SC2016
    nohup setsid bash -c 'echo $$ >"$NOTES/watchdog"; auto_thaw' </dev/null >"$NOTES/auto-thaw.log" 2>&1 &
    say 'frozen'
    ;;
post-script)
    if [ -e "$NOTES/auto-thawed" ]; then
        rm -f "$NOTES/auto-thawed"
        say 'too late: it had been thawed by itself'
        exit 203
    fi
    thaw
    if [ -s "$NOTES/watchdog" ]; then
        kill -TERM -- "-$(cat "$NOTES/watchdog")" 2>/dev/null
        rm -f "$NOTES/watchdog"
    fi
    ;;
*)
    say 'unknown operation'
    exit 1
    ;;
esac
exit 0
