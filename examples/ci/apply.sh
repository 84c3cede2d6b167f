#!/usr/bin/env bash
# Runs on merge, and on a schedule: plans anew and carries it out. Deletions beyond routine stop with exit 3: somebody reads
# the saved plan (an artifact of this job) and starts the job again with that plan and its id.
#
#   apply.sh POLICY [SAVED_PLAN PLAN_ID]
set -euo pipefail
policy=$1 saved=${2:-} approved=${3:-}
if [ -n "$saved" ]; then
  mainstay apply "$saved" -p "$policy" --auto-approve --lease-wait 10m --approve "$approved"
else
  rm -f plan.json
  mainstay plan -p "$policy" --out plan.json >plan.txt
  mainstay apply plan.json -p "$policy" --auto-approve --lease-wait 10m
fi
mainstay status -p "$policy"      # exit 6 when an objective is violated: the job turns red
mainstay inventory -p "$policy" --json >inventory.json
