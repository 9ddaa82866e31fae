# shellcheck shell=bash
documents() { (cd "$DOCS" && printf '%s\n' *.json | sed 's/\.json$//'); }

test_documents_are_in_sync_with_their_sources() {
    if ! WHY=$(python3 "$DOCS/build.py" --check 2>&1); then return 1; fi
}

test_documents_are_valid_command_documents() {
    local d
    for d in $(documents); do
        jq -e '.schemaVersion == "2.2" and (.mainSteps | length) == 1 and .mainSteps[0].action == "aws:runShellScript"
            and .mainSteps[0].name == "run_pre_post_scripts" and .mainSteps[0].precondition.StringEquals == ["platformType", "Linux"]
            and .mainSteps[0].inputs.runCommand[0] == "#!/bin/sh"
            and ([.parameters[] | .type == "String" and (has("allowedPattern") or has("allowedValues"))] | all)' \
            "$DOCS/$d.json" >/dev/null || { fail "$d"; return 1; }
    done
}

# 64 KB is what Systems Manager takes; less than 2 KB of it left is a warning to whoever adds the next line.
test_documents_leave_room() {
    local d size
    for d in $(documents); do
        size=$(wc -c <"$DOCS/$d.json")
        [ "$size" -le $((65536 - 1024)) ] || { fail "$d has $((65536 - size)) bytes left of 65,536"; return 1; }
    done
}

# build.py takes out what only people read. bash prints its parse tree of both: they are the same command for command, word for word, but for the
# blanks within arithmetic, which bash prints as they are: these are taken out of both, where no sign follows another; and but for the names of the
# script's own variables and functions, one for one, in a document that has no room for long ones.
parse_tree() {
    { printf 'script() {\n'; cat; printf '}\ndeclare -f script\n'; } | bash |
        sed -E ':a; s/(\$\(\([^()]*[^() +-]) +([^()]*\)\))/\1\2/; ta; :b; s/(\$\(\([^()]*[^() +-][+-]) +([^()+-][^()]*\)\))/\1\2/; tb'
}
test_shrinking_changes_nothing() {
    local d said
    for d in $(documents); do
        python3 "$DOCS/build.py" --plain "$d" | parse_tree >"${TMPDIR:-/tmp}/ff-plain.$$" || { fail "$d: not a script"; return 1; }
        jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$DOCS/$d.json" | parse_tree >"${TMPDIR:-/tmp}/ff-shrunk.$$" || { fail "$d: not a script"; return 1; }
        [ "$(wc -l <"${TMPDIR:-/tmp}/ff-plain.$$")" -gt 200 ] || { fail "$d: hardly anything to compare"; return 1; }
        said=$(python3 "$HERE/documents/same_script.py" "${TMPDIR:-/tmp}/ff-plain.$$" "${TMPDIR:-/tmp}/ff-shrunk.$$") || { fail "$d: $(printf '%s\n' "$said" | head -n 5)"; return 1; }
        # Names are long wherever there is room.
        jq -r '.mainSteps[0].inputs.runCommand[]' "$DOCS/$d.json" | grep -qx '# Names are short for want of room.' || [ "$said" = 0 ] || { fail "$d: $said names are others"; return 1; }
        rm -f "${TMPDIR:-/tmp}/ff-plain.$$" "${TMPDIR:-/tmp}/ff-shrunk.$$"
    done
}

test_parameters_appear_only_as_single_quoted_assignments() {
    local d bad
    for d in $(documents); do
        bad=$(jq -r '.mainSteps[0].inputs.runCommand[]' "$DOCS/$d.json" | grep -F '{{' | grep -Evx "[A-Za-z_]+='\{\{ [a-zA-Z]+ \}\}'")
        if [ -n "$bad" ]; then fail "$d: $bad"; return 1; fi
    done
}

test_scripts_are_shellcheck_clean() {
    local d
    if ! command -v shellcheck >/dev/null; then WHY='SKIPPED no shellcheck'; return 0; fi
    for d in $(documents); do
        WHY=$(jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$DOCS/$d.json" | shellcheck -s sh - 2>&1) || { WHY="$d: $WHY"; return 1; }
    done
}

test_instance_role_allows_one_call_and_its_tags() {
    jq -e '[.Statement[] | .Effect == "Allow" and (.Action | IN("ec2:CreateSnapshots", "ec2:CreateTags")) and (.Resource | test("^arn:[*]:ec2:\\*:[*]?:(instance|volume|snapshot)/\\*$"))
        and (.Action == "ec2:CreateSnapshots" or .Condition.StringEquals["ec2:CreateAction"] == "CreateSnapshots")] | all and length == 4' \
        "$HERE/../assets/iam/instance-role.json" >/dev/null || fail 'another right than these'
}

# Every number that a script names for its own end is one of the contract's: the agent takes 194 for the wish to reboot.
test_documents_name_no_exit_code_but_the_contracts() {
    local d said bad
    for d in $(documents); do
        # The children (`exit 9` before they become fsfreeze) are nobody's end but their own.
        said=$(jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$DOCS/$d.json" | sed 's/"exit:\$2"//' | grep -oE '(^|[^A-Za-z_-])(exit|finish [a-z]+|report)( +("?\$[A-Za-z0-9_]+"?|[0-9]+))?' | sed 's/^[^a-z]//' | sort -u)
        bad=$(printf '%s\n' "$said" | grep -Evx '(exit|finish [a-z]+) (0|20[1-6])|exit 9|exit "\$2"|finish failed ("\$1"|\$[A-Za-z_]+)|report 20[1-6]|report')
        if [ -n "$bad" ]; then fail "$d: $bad"; return 1; fi
        printf '%s\n' "$said" | grep -qx 'exit 201' || { fail "$d: nothing found"; return 1; }
    done
}

# In Percona XtraDB Cluster wsrep_on is a variable of sessions alone: asked for as a global one it is an error, which means "no cluster" here.
test_documents_ask_for_wsrep_on_as_every_server_has_it() {
    local script; script=$(jq -r '.mainSteps[0].inputs.runCommand | join("\n")' "$DOCS/linux-mysql.json")
    case $script in *@@GLOBAL.wsrep_on*) fail '@@GLOBAL.wsrep_on'; return 1 ;; *@@wsrep_on*) ;; *) fail 'not asked'; return 1 ;; esac
}
