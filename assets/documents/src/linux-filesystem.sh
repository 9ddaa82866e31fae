#!/bin/sh
# freezeframe linux-filesystem: hold the writes of every covered filesystem from pre-script to post-script.
# Generated from assets/documents/src by build.py; do not edit the JSON.
EXECUTION_ID='{{ executionId }}'
COMMAND='{{ command }}'
BUDGET='{{ budgetSeconds }}'
MOUNTS='{{ mounts }}'
#@include common.sh
#@include processes.sh
#@include mounts.sh
#@include helpers.sh
#@include commands.sh

# --- linux-filesystem: nothing above the filesystems to hold ---

RECIPE=linux-filesystem
recipe_parameters() { :; }
recipe_tools() { :; }
recipe_preflight() { :; }
recipe_flush() { :; }
recipe_lock() { :; }
recipe_alive() { :; }
recipe_unlock() { :; }
recipe_kill() { :; }

main "$@"
