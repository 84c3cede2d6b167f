#!/usr/bin/env bash
# Runs on merge, and on a schedule: plans anew and carries it out. Deletions beyond routine stop with exit 3 and wait for a
# person, who reads the plan and names its id.
#
#   apply.sh POLICY [APPROVED_PLAN_ID]
set -euo pipefail
policy=$1 approved=${2:-}
approve=()
[ -z "$approved" ] || approve=(--approve "$approved")
mainstay apply -p "$policy" --auto-approve --wait 10m "${approve[@]}"
mainstay status -p "$policy"      # exit 6 when an objective is violated: the job turns red
mainstay inventory -p "$policy" --json >inventory.json
