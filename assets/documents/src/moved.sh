# --- moved: what lies below the data directory, and yet elsewhere, by a link or a mount of its own ---

# In one line each (device|kind|name) of the mounts and links below SM_AT, however deep. Only links are looked at, so 100,000 tables cost no more than a
# listing of their names. Fails when not all could be seen.
list_moved() {
    cd "$SM_AT" || return
    while read -r _ _ LM_DEVICE _ LM_AT _; do
        case $LM_AT in "$SM_AT"/*) printf '%s|mount|.%s\n' "$LM_DEVICE" "${LM_AT#"$SM_AT"}" ;; esac
    done </proc/self/mountinfo | grep -Evx "[^|]*\|mount\|($SM_NOT)"
    "$TIMEOUT" 10 find . -maxdepth 6 -type l -regextype posix-extended ! -regex "$SM_NOT" -exec stat -L -c '%d|%F|%n' {} +
}

# say_moved ERE: tell of one place on each filesystem that was not told yet; the names that match, from `./` on, are no matter. A place that nothing
# covers stands for what could not be searched.
say_moved() {
    SM='' SM_NOT=$1 SM_SEEN=$newline SM_DEVICES=' '
    superblock_of "$DATADIR"
    TOLD="${TOLD:-} $SB_DEVICE "
    now
    SM_LIMIT=$((NOW + 20000))
    set -- "$(readlink -f "$DATADIR")"
    while [ $# -gt 0 ]; do
        SM_AT=$1
        shift
        case $SM_SEEN in *"$newline$SM_AT$newline"*) continue ;; esac
        SM_SEEN=$SM_SEEN$SM_AT$newline
        now
        # Twice: what is dropped while one looks is an error too.
        if [ "$NOW" -ge $SM_LIMIT ] || { ! SM=$(list_moved 2>&1) && ! SM=$(list_moved 2>&1); }; then
            emit path what=unsearched "path=? ($SM_AT: $(printf %s "$SM" | grep -v '|' | tail -n 1))"
            return
        fi
        while IFS='|' read -r SM_DEVICE SM_KIND SM_NAME; do
            [ -n "$SM_NAME" ] || continue
            case "$SM_KIND$SM_DEVICES" in directory*) ;; *" $SM_DEVICE "*) continue ;; esac
            P=$(readlink -f "$SM_AT/$SM_NAME")
            # Links may lie behind a link.
            if [ "$SM_KIND" = directory ]; then set -- "$@" "$P"; fi
            case $SM_DEVICES in *" $SM_DEVICE "*) continue ;; esac
            SM_DEVICES="$SM_DEVICES$SM_DEVICE "
            superblock_of "$P"
            if [ ! -d "$P" ] && [ "$SB_MOUNT" != "$P" ]; then P=${P%/*}; fi
            case $TOLD in *" $SB_DEVICE "*) ;; *) say_path data "$P" ;; esac
        done <<END
$SM
END
    done
}
