#!/usr/bin/env bash
# Runs on merge, and on a schedule: plans anew and carries it out. Deletions beyond routine stop with exit 3: somebody reads the
# saved plan (an artifact of this job, approvals/PLAN_ID.json) and either starts the job again with that plan and its id, or, where
# the policy declares [approval], signs it: the signatures are committed as approvals/PLAN_ID.json.sig and the next run finds them.
#
#   apply.sh POLICY [SAVED_PLAN PLAN_ID]
set -euo pipefail
policy=$1 saved=${2:-} approved=${3:-}
if [ -n "$saved" ]; then
  approve=()
  [ -z "$approved" ] || approve=(--approve "$approved")
  mainstay apply "$saved" -p "$policy" --auto-approve --lease-wait 10m "${approve[@]}"
else
  for plan in approvals/*.json; do
    [ -e "$plan.sig" ] || continue # nobody has signed it yet
    code=0
    mainstay apply "$plan" -p "$policy" --auto-approve --lease-wait 10m || code=$?
    case $code in
      0 | 3 | 7) ;;                # done | signatures are missing | no longer fits: somebody plans anew
      *) exit "$code" ;;
    esac
  done
  rm -f plan.json
  mainstay plan -p "$policy" --out plan.json >plan.txt
  code=0
  mainstay apply plan.json -p "$policy" --auto-approve --lease-wait 10m || code=$?
  if [ "$code" = 3 ]; then
    id=$(sed -n 's/.*"id":"\(sha256:[0-9a-f]*\)","inventory_digest".*/\1/p' plan.json)
    mkdir -p approvals && cp plan.json "approvals/${id#sha256:}.json"
    echo "apply.sh: waits for approval: mainstay approve approvals/${id#sha256:}.json --key KEY"
  fi
  [ "$code" = 0 ] || exit "$code"
fi
mainstay status -p "$policy"      # exit 6 when an objective is violated: the job turns red
mainstay inventory -p "$policy" --json >inventory.json
