# --- autonomous mode: the instance calls EC2 itself ---
#
# All that can fail or take time is done before the lock: instance metadata (IMDSv2 only), credentials, the client's start. Secrets go from
# process to process through pipes and stand in shell variables that are not exported: never in an argument, in the environment of a process
# that does not need them, or in a file. The call is made once. curl gets a connection of its own, because on a connection that was used
# before it would by itself send the request again when the answer is lost.

AUTONOMOUS=no
RESERVE_MS=2000
autonomous() { [ "$AUTONOMOUS" = yes ]; }

stop() {
    STOP_CODE=$1
    STOP_TEXT=$2
    return 1
}

# The client, in HOW: curl that can sign, or the AWS CLI, wherever it was installed. Metadata is read by curl or wget. Whether curl can sign it says
# itself when it is to: some builds take the option and fail then (4, 48), before they connect, so the port where nobody listens is never reached.
# From 7.75 to 7.85 it leaves the session token unsigned (WEAK).
pick_client() {
    CURL=$(tool_path curl) || CURL=''
    WGET=$(tool_path wget) || WGET=''
    AWS=$(tool_path aws) || for P in /snap/aws-cli/current/bin /snap/bin /usr/local/aws-cli/v2/current/bin /root/.local/bin /opt/aws/bin /nix/var/nix/profiles/default/bin /root/.nix-profile/bin /run/current-system/sw/bin; do
        if [ -x "$P/aws" ]; then
            AWS=$P/aws
            break
        fi
    done
    HOW='' WEAK=''
    if [ -n "$CURL" ]; then
        "$CURL" -q -s -m 2 --noproxy '*' --aws-sigv4 aws:amz:r:s -u a:b http://127.0.0.1:1 >/dev/null 2>&1
        case $? in 2 | 4 | 48) ;; *) HOW=curl ;; esac
        WEAK=$("$CURL" -q --version 2>/dev/null | sed -n '1s/^curl \(7\.\(7[5-9]\|8[0-5]\)\.[0-9]*\).*/\1/p')
    fi
    PC_TEXT='no AWS CLI'
    if [ -n "$AWS" ] && [ "$HOW$WEAK" != curl ]; then
        # It needs about a second for its start, and less from now on, when its files have been read.
        PC=${S:-$JOBS-cli.$$}
        mkdir -m 700 "$PC" 2>/dev/null
        if PC_TEXT=$( (cli_home "$PC"; exec "$AWS" --version) 2>&1 </dev/null); then
            HOW=aws-cli WEAK=''
        else
            PC_TEXT="the AWS CLI ($AWS) does not run: $(printf '%s\n' "$PC_TEXT" | tail -n 1)"
        fi
        if [ -z "$S" ]; then rm -rf "$PC"; fi
    fi
    if [ -z "$HOW" ]; then stop no-client "no curl that signs (7.75 or later, with --aws-sigv4 built in), $PC_TEXT"; fi
}

# metadata PATH [PUT]: what the instance metadata answers, in GOT. Its token is asked for with PUT; with everything else it goes along.
metadata() {
    MD="X-aws-ec2-metadata-token: $IMDS_TOKEN"
    if [ -n "${2:-}" ]; then MD='X-aws-ec2-metadata-token-ttl-seconds: 300'; fi
    if [ -n "$CURL" ]; then
        GOT=$(printf 'header = "%s"\n' "$MD" | "$CURL" -q -K - -sf --noproxy '*' --connect-timeout 1 -m 3 ${2:+-X "$2"} "$IMDS/latest/$1" 2>/dev/null)
    else
        GOT=$(printf 'header = %s\n' "$MD" | "$WGET" -q -O - --config=/dev/stdin --no-proxy -T 2 -t 1 ${2:+--method="$2"} "$IMDS/latest/$1" 2>/dev/null)
    fi
}

# json_field NAME: a string of the JSON object in GOT
json_field() {
    printf '%s' "$GOT" | tr -d '\n' | sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p"
}

# The time now, and so many seconds on, as a number of 14 digits, to be compared with the like.
stamp() { date -u -d "@$(($(date +%s) + $1))" +%Y%m%d%H%M%S; }

PRINTABLE='^[]!#-[^-~]+$'

# Who we are and with what credentials, asked anew for each job. 1: STOP_CODE says why not.
load_credentials() {
    IMDS=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
    IMDS=${IMDS%/}
    matches "$IMDS" '^https?://[][A-Za-z0-9._:/-]+$' || { stop no-metadata 'its address in the environment is not a plain one'; return; }
    if [ -z "$CURL$WGET" ]; then
        stop no-client 'no curl or wget to read the metadata'
        return
    fi
    # Metadata answers at once or is not there; a second try is for a dropped packet.
    IMDS_TOKEN=''
    metadata api/token PUT || metadata api/token PUT || :
    IMDS_TOKEN=$GOT
    matches "$IMDS_TOKEN" "$PRINTABLE" || { stop no-metadata 'the metadata service (IMDSv2) gives no token'; return; }
    metadata meta-data/instance-id || :
    INSTANCE=$GOT
    metadata meta-data/placement/region || :
    REGION=$GOT
    DOMAIN=amazonaws.com
    if metadata meta-data/services/domain; then DOMAIN=$GOT; fi
    if ! matches "$INSTANCE" '^i-[0-9a-f]+$' || ! matches "$REGION" '^[a-z0-9-]+$' || ! matches "$DOMAIN" '^[a-z0-9.-]+$'; then
        stop no-metadata 'the metadata does not tell instance and region'
        return
    fi
    ENDPOINT=${AWS_ENDPOINT_URL_EC2:-${AWS_ENDPOINT_URL:-https://ec2.$REGION.$DOMAIN}}
    ENDPOINT=${ENDPOINT%/}
    matches "$ENDPOINT" '^https?://[][A-Za-z0-9._:/-]+$' || { stop no-client 'the address of EC2 in the environment is not a plain one'; return; }
    if ! metadata meta-data/iam/security-credentials/ || ! matches "${GOT%%"$newline"*}" '^[A-Za-z0-9_+=,.@-]+$'; then
        stop no-credentials 'the instance has no role'
        return
    fi
    metadata "meta-data/iam/security-credentials/${GOT%%"$newline"*}" || :
    KEY_ID=$(json_field AccessKeyId)
    KEY_SECRET=$(json_field SecretAccessKey)
    KEY_TOKEN=$(json_field Token)
    UNTIL=$(json_field Expiration)
    GOT='' IMDS_TOKEN=''
    if ! matches "$KEY_ID" '^[A-Za-z0-9_]+$' || ! matches "$KEY_SECRET" "$PRINTABLE" || ! matches "$KEY_TOKEN" "$PRINTABLE" ||
        ! matches "$UNTIL" '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$'; then
        stop no-credentials "the metadata gives no credentials of the role"
        return
    fi
    UNTIL=${UNTIL%%[.Z]*}Z
    if [ "$(printf '%s' "$UNTIL" | tr -dc 0-9)" -le "$(stamp $((BUDGET + 30)))" ]; then
        stop no-credentials "the role's credentials end at $UNTIL, before this job could"
        return
    fi
}

say_prepared() { emit prepared "how=$HOW" "region=$REGION" "credentials_until=$UNTIL"; }

# The console's own request: every volume, root included, without those of leaveOut, and the tags by which the set is found. R_B: whether the root
# volume stays out; R_C: what tags are copied from; R_O: the data volumes that stay out.
request_body() {
    R_B=false R_C=volume R_O='' BODY='' BN=0 P=$LEAVE_OUT,
    while [ -n "$P" ]; do
        case $P in
        root,*) R_B=true ;;
        tags,*) R_C='' ;;
        vol-*)
            BN=$((BN + 1))
            BODY="$BODY&InstanceSpecification.ExcludeDataVolumeId.$BN=${P%%,*}"
            # Volumes come last: the first of them begins the list.
            R_O=${R_O:-${P%,}}
            ;;
        esac
        P=${P#*,}
    done
    BODY="Action=CreateSnapshots&Version=2016-11-15&InstanceSpecification.InstanceId=$INSTANCE&InstanceSpecification.ExcludeBootVolume=$R_B$BODY"
    BODY="$BODY${R_C:+&CopyTagsFromSource=$R_C}&Description=freezeframe%20$RECIPE_NAME%20of%20$INSTANCE%20job%20$JOB&TagSpecification.1.ResourceType=snapshot"
    BN=0
    # The last two overrule what a volume that was restored with its snapshot's tags would lend it.
    for P in "job=$JOB" level=pending "recipe=$RECIPE_NAME" "instance=$INSTANCE" set-size=pending frozen-ms=pending; do
        BN=$((BN + 1))
        BODY="$BODY&TagSpecification.1.Tag.$BN.Key=freezeframe%3A${P%%=*}&TagSpecification.1.Tag.$BN.Value=${P#*=}"
    done
}

# What curl reads on its standard input. By itself it sends Expect, and a second time what was refused with 417, only above 1 MiB; a line that takes the
# header away would be signed from 7.86 to 8.2.1, and not sent.
curl_config() {
    printf 'url = "%s/"\ndata = "%s"\nuser = "%s:%s"\naws-sigv4 = "aws:amz:%s:ec2"\n' "$ENDPOINT" "$BODY" "$KEY_ID" "$KEY_SECRET" "$REGION"
    printf 'header = "X-Amz-Security-Token: %s"\n' "$KEY_TOKEN"
    printf 'header = "Content-Type: application/x-www-form-urlencoded; charset=utf-8"\n'
    printf 'http1.1\nsilent\nno-keepalive\nmax-redirs = 0\nconnect-timeout = 5\nmax-time = %s\nwrite-out = "%%{http_code}\\n"\n' "$1"
    if [ -n "$PLACES" ]; then printf 'resolve = "%s"\n' "$PLACES"; fi
}

# The endpoint's addresses, looked up now: a name service that wants to write must not be asked while / is frozen.
look_up() {
    PLACES=''
    LU_HOST=${ENDPOINT#*://}
    LU_PORT=443
    case $ENDPOINT in http://*) LU_PORT=80 ;; esac
    LU_HOST=${LU_HOST%%/*}
    case $LU_HOST in
    *'['*) return ;;
    *:*)
        LU_PORT=${LU_HOST##*:}
        LU_HOST=${LU_HOST%:*}
        ;;
    esac
    case $LU_HOST in *[!0-9.]*) ;; *) return ;; esac
    LU=$(getent ahosts "$LU_HOST" 2>/dev/null | sed -n 's/^\([0-9a-fA-F.:]*\) *STREAM.*/\1/p' | sed 's/.*:.*/[&]/' | tr '\n' ',')
    if [ -n "$LU" ]; then PLACES="$LU_HOST:$LU_PORT:${LU%,}"; fi
}

# What the client writes (a cache, a session's database, compiled Python) goes into the job's memory: its home and /tmp may be frozen with /.
# Where `pip install --user` put the client, Python looks for the rest of it in the home, unless it is told.
cli_home() {
    PYTHONUSERBASE=${PYTHONUSERBASE:-/root/.local}
    export PYTHONUSERBASE
    HOME=$1 TMPDIR=$1 XDG_CACHE_HOME=$1 XDG_CONFIG_HOME=$1 XDG_DATA_HOME=$1 XDG_STATE_HOME=$1 XDG_RUNTIME_DIR=$1 PYTHONDONTWRITEBYTECODE=1
    export HOME TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR PYTHONDONTWRITEBYTECODE
}

# aws_cli ARGUMENT…: one attempt, short patience. Its credentials are in its own environment only.
aws_cli() {
    cli_home "${PC_DIR:-$S}"
    AWS_ACCESS_KEY_ID=$KEY_ID AWS_SECRET_ACCESS_KEY=$KEY_SECRET AWS_SESSION_TOKEN=$KEY_TOKEN AWS_DEFAULT_REGION=$REGION AWS_REGION=$REGION \
        AWS_MAX_ATTEMPTS=1 AWS_RETRY_MODE=standard AWS_PAGER='' AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
        exec "$AWS" ec2 create-snapshots --endpoint-url "$ENDPOINT" --cli-connect-timeout 5 --cli-read-timeout "$1" \
        --instance-specification "InstanceId=$INSTANCE,ExcludeBootVolume=$R_B${R_O:+,ExcludeDataVolumeIds=[$R_O]}" ${R_C:+--copy-tags-from-source "$R_C"} \
        --description "freezeframe $RECIPE_NAME of $INSTANCE job $JOB" --output text --query 'Snapshots[].[SnapshotId,VolumeId,VolumeSize]' \
        --tag-specifications "ResourceType=snapshot,Tags=[{Key=freezeframe:job,Value=$JOB},{Key=freezeframe:level,Value=pending},{Key=freezeframe:recipe,Value=$RECIPE_NAME},{Key=freezeframe:instance,Value=$INSTANCE},{Key=freezeframe:set-size,Value=pending},{Key=freezeframe:frozen-ms,Value=pending}]" "${2:---no-dry-run}"
}

# all_of FILE: its lines as one, in ALL
all_of() {
    ALL=''
    while IFS= read -r LINE || [ -n "$LINE" ]; do ALL="$ALL$LINE"; done <"$1"
}

# The outcome of the client in files $1.status $1.answer $1.err and its exit code $2: C_STATUS (0: no answer), C_CODE, C_TEXT.
# Builtins only: the file of a refusal is small, and things are still frozen.
read_call() {
    C_STATUS=0 C_CODE='' C_TEXT=''
    if [ "$HOW" = curl ]; then
        if [ "$2" -ne 0 ]; then
            first_line "$1.err"
            C_TEXT="curl ended with $2 ${LINE_1}"
            if [ "$2" -gt 128 ]; then C_TEXT='given up'; fi
            return
        fi
        first_line "$1.status"
        case $LINE_1 in [1-5][0-9][0-9]) C_STATUS=$LINE_1 ;; esac
        if [ "$C_STATUS" = 200 ]; then return; fi
        all_of "$1.answer"
        case $ALL in *'<Code>'*'</Code>'*)
            C_CODE=${ALL#*<Code>}
            C_CODE=${C_CODE%%</Code>*}
            C_TEXT=${ALL#*<Message>}
            C_TEXT=${C_TEXT%%</Message>*}
            ;;
        esac
        return
    fi
    if [ "$2" -eq 0 ]; then
        C_STATUS=200
        return
    fi
    all_of "$1.err"
    C_TEXT=${ALL:-"the AWS CLI ended with $2"}
    # It tells AWS's code and text, but not the status.
    case $ALL in *'An error occurred ('*')'*)
        C_CODE=${ALL#*An error occurred (}
        C_CODE=${C_CODE%%)*}
        C_STATUS=400
        case $C_CODE in *[!A-Za-z0-9.]*) C_CODE='' C_STATUS=0 ;; 5[0-9][0-9] | Internal* | Unavailable | ServiceUnavailable | ServerInternal) C_STATUS=500 ;; esac
        ;;
    esac
}

# Prove the credentials and the right without making anything: EC2 answers a dry run with an error, DryRunOperation when it would do it.
prove_call() {
    request_body
    look_up
    # In memory, beside the jobs' state: a dry run leaves nothing behind.
    PC_DIR=$JOBS-prove.$$
    PC=$PC_DIR/call
    if ! mkdir -m 700 "$PC_DIR"; then
        stop arm-failed "$PC_DIR cannot be made"
        return
    fi
    if [ "$HOW" = curl ]; then
        BODY="$BODY&DryRun=true"
        { curl_config 10; printf 'output = "%s.answer"\n' "$PC"; } | "$CURL" -q -K - >"$PC.status" 2>"$PC.err"
    else
        (aws_cli 10 --dry-run) </dev/null >"$PC.answer" 2>"$PC.err"
    fi
    read_call "$PC" $?
    rm -rf "$PC_DIR"
    if [ "$C_CODE" = DryRunOperation ]; then return 0; fi
    if [ "$C_STATUS" = 0 ]; then
        stop no-client "EC2 does not answer: $C_TEXT"
    else
        stop snapshot-refused "$C_STATUS ${C_CODE:-no code}: $C_TEXT"
    fi
}

# The foreground hands them to the holder through a pipe.
give_credentials() { printf '%s\n' "$KEY_ID" "$KEY_SECRET" "$KEY_TOKEN" "$UNTIL" "$INSTANCE" "$REGION" "$ENDPOINT"; }
take_credentials() {
    read -r KEY_ID
    read -r KEY_SECRET
    read -r KEY_TOKEN
    read -r UNTIL
    read -r INSTANCE
    read -r REGION
    read -r ENDPOINT
    exec </dev/null
    pick_client
    request_body
    look_up
}

# Its files are read now.
warm_up() { "$FSFREEZE" --version >/dev/null 2>&1 || :; }

# Start curl up to where it has read its orders; it waits for their end, which is the gate that `call` opens.
# No answer may come so late that the failsafe is first.
prepare_call() {
    now
    CALL_MS=$((DEADLINE - NOW - RESERVE_MS))
    if [ "$CALL_MS" -lt 1000 ]; then
        stop freeze-failed 'the budget leaves no time for the call'
        return
    fi
    mark "$S/call.answer"
    mark "$S/call.status"
    CALL=''
    if [ "$HOW" = curl ]; then
        mkfifo "$S/gate.call" || return 1
        exec 7<>"$S/gate.call"
        (close_gates; exec "$CURL" -q -K - -o "$S/call.answer") <"$S/gate.call" >"$S/call.status" 2>"$S/call.err" &
        CALL=$!
        note_process "$CALL" call
        curl_config "$((CALL_MS / 1000)).$((CALL_MS / 100 % 10))" >&7
    fi
    (close_gates; watch_call) </dev/null >/dev/null 2>&1 &
}

# Beside the holder, which only waits for the client: end the client when the time is up, the guard is gone, or post-script wants the end.
watch_call() {
    WC_END=$((DEADLINE - RESERVE_MS))
    WC_TOLD=0
    while ! has answered && alive holder.up; do
        now
        if has release; then
            # An answer that is on its way is worth a second.
            if [ "$WC_TOLD" = 0 ]; then WC_TOLD=$NOW; fi
            if [ $((NOW - WC_TOLD)) -ge 1000 ]; then WC_END=$NOW; fi
        fi
        if [ "$NOW" -ge "$WC_END" ] || ! alive guard.up; then end_process call; fi
        "$SLEEP" 0.1
    done
}

# The call itself, while everything is frozen.
call() {
    note pre.done yes
    emit request
    CALL_START=$NOW
    if [ "$HOW" = curl ]; then
        exec 7>&-
    else
        (close_gates; aws_cli $((CALL_MS / 1000))) </dev/null >"$S/call.answer" 2>"$S/call.err" &
        CALL=$!
        note_process "$CALL" call
    fi
    wait "$CALL"
    CALL_RC=$?
    note answered yes
    CALL=''
    read_call "$S/call" "$CALL_RC"
    now
    if [ "$C_STATUS" = 200 ]; then
        emit answer ok:true status:200 "took_ms:$((NOW - CALL_START))"
        return 0
    fi
    # A server that failed may have done it all the same; throttling is a refusal although its status is 503.
    case $C_STATUS/$C_CODE in
    4* | 503/RequestLimitExceeded | 503/Throttling*) STOP_CODE=snapshot-refused ;;
    *) STOP_CODE=snapshot-unknown ;;
    esac
    emit answer ok:false "status:$C_STATUS" "took_ms:$((NOW - CALL_START))" "code=$C_CODE" "text=$C_TEXT"
    if [ "$STOP_CODE" = snapshot-refused ]; then STOP_TEXT="$C_STATUS $C_CODE: $C_TEXT"; else STOP_TEXT="no answer that counts: $C_TEXT"; fi
    return 1
}

# Whatever way it ends: no client, no watcher, no secret is left. Then the snapshots that the answer names.
say_snapshots() {
    KEY_SECRET='' KEY_TOKEN=''
    note answered yes
    exec 7>&-
    if [ -n "${CALL:-}" ]; then end_process call; fi
    if [ "${C_STATUS:-0}" != 200 ]; then return; fi
    MADE=0
    if [ "$HOW" = curl ]; then
        read_answer <<END
$(tr -d '\n' <"$S/call.answer" | tr '<' '\n')
END
    else
        while read -r A_SNAPSHOT A_VOLUME A_GIB; do say_snapshot; done <"$S/call.answer"
    fi
    if [ "$MADE" -eq 0 ]; then
        error snapshot-unknown 'the answer names no snapshot'
        WD_OUTCOME=failed
    fi
}

# One XML tag per line. Snapshots are the items of depth 1; their tags are items too.
read_answer() {
    A_DEPTH=0
    while IFS= read -r A_LINE; do
        case $A_LINE in
        'item>'*)
            A_DEPTH=$((A_DEPTH + 1))
            if [ $A_DEPTH -eq 1 ]; then A_SNAPSHOT='' A_VOLUME='' A_GIB=''; fi
            ;;
        '/item>'*)
            if [ $A_DEPTH -eq 1 ]; then say_snapshot; fi
            A_DEPTH=$((A_DEPTH - 1))
            ;;
        'snapshotId>'*) if [ $A_DEPTH -eq 1 ]; then A_SNAPSHOT=${A_LINE#*>}; fi ;;
        'volumeId>'*) if [ $A_DEPTH -eq 1 ]; then A_VOLUME=${A_LINE#*>}; fi ;;
        'volumeSize>'*) if [ $A_DEPTH -eq 1 ]; then A_GIB=${A_LINE#*>}; fi ;;
        esac
    done
}

say_snapshot() {
    if matches "$A_SNAPSHOT" '^snap-[0-9a-f]+$' && matches "$A_VOLUME" '^vol-[0-9a-f]+$' && matches "$A_GIB" '^[0-9]+$'; then
        emit snapshot "snapshot=$A_SNAPSHOT" "volume=$A_VOLUME" "gib:$A_GIB"
        MADE=$((MADE + 1))
    fi
}

# --- the command ---

# Who calls, before anything is touched.
autonomous_preflight() {
    if [ "$AUTONOMOUS" != yes ]; then return 0; fi
    if ! pick_client || ! load_credentials; then refuse "$STOP_CODE" "$STOP_TEXT"; fi
    if [ "$HOW$WEAK" != "$HOW" ]; then emit note "text=curl $WEAK leaves the session token unsigned; 7.86 or later signs it, and the AWS CLI does"; fi
}

# Nothing is printed while things are frozen: with freezeRoot nobody may be there to read it.
snapshot() {
    begin
    LIMIT=$((NOW + BUDGET * 1000 + 15000))
    while ! has outcome; do
        now
        if [ "$NOW" -ge "$LIMIT" ]; then break; fi
        if ! process "$HOLDER" && ! alive guard.up; then break; fi
        nap
    done
    wait_for_end 10000 || :
    thaw_left_over
    report 201
}
