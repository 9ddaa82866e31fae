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
        [ "$(wc -c <"$DOCS/$d.json")" -lt 65536 ] || { fail "$d is too long"; return 1; }
    done
}

test_parameters_appear_only_as_single_quoted_assignments() {
    local d bad
    for d in $(documents); do
        bad=$(jq -r '.mainSteps[0].inputs.runCommand[]' "$DOCS/$d.json" | grep -F '{{' | grep -Evx "[A-Z_]+='\{\{ [a-zA-Z]+ \}\}'")
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
    jq -e '[.Statement[] | .Effect == "Allow" and (.Action | IN("ec2:CreateSnapshots", "ec2:CreateTags")) and (.Resource | test("^arn:aws:ec2:\\*:[*]?:(instance|volume|snapshot)/\\*$"))
        and (.Action == "ec2:CreateSnapshots" or .Condition.StringEquals["ec2:CreateAction"] == "CreateSnapshots")] | all and length == 4' \
        "$HERE/../assets/iam/instance-role.json" >/dev/null || fail 'another right than these'
}
