# --- the other end: which process a client that is connected by TCP speaks with ---

# leads_here PID: is the server at the other end of that client's TCP connection? Not yet is no, and the kernel's list may miss one while it changes.
leads_here() {
    LH=0
    until connected "$1"; do
        LH=$((LH + 1))
        if [ $LH -ge 30 ]; then return 1; fi
        nap
    done
}
connected() {
    CN_END='\([0-9A-F]\{8\}:[0-9A-F]\{4\}\)'
    sockets_of "$1"
    CN_ENDS=$(for CN in $(printf '%s\n' "$HELD" | sed -n 's/.*socket:.\([0-9]*\).$/\1/p'); do tcp_ends "$CN_END" "$CN_END" "$CN" '\2 \1'; done)
    if [ -z "$CN_ENDS" ]; then return 1; fi
    sockets_of "$SERVER"
    for CN in $(tcp_ends "${CN_ENDS% *}" "${CN_ENDS#* }" '\([0-9]*\)' '\1'); do
        if holds "$CN"; then return 0; fi
    done
    return 1
}

# same_other_end: the same of the kept session, at ASKED: a rule of the firewall may send what goes by TCP elsewhere
same_other_end() {
    case $ASKED in
    /*) listens "$SERVER" "$ASKED" "$BEFORE" ;;
    *) alive client && leads_here "$AL_PID" ;;
    esac && return 0
    SESSION='' SAY_CODE=other-server SAY_ERROR='the connection leads to another server than the one whose files are frozen'
    return 1
}
