#!/usr/bin/env bash
# Runs in the pull request: every finding, then one comment with what the change does to recovery points (the diff) and what would
# be done now (the plan). Reads only; needs the inventory that the protected branch publishes, never the databases.
#
#   plan.sh POLICY [INVENTORY [BASE]]     writes plan.json, plan.md and comment.md
#
# BASE is the revision that the pull request goes into, such as origin/main; the clone must have it (fetch-depth: 0).
set -euo pipefail
policy=$1 inventory=${2:-} base=${3:-}
mainstay validate -p "$policy" --strict

from=() what=()
if [ -n "$inventory" ]; then
  what=(--inventory "$inventory")
  from=("${what[@]}" --now "$(date -u +%Y-%m-%dT%H:%M:%SZ)")
fi
: >comment.md
if [ -n "$base" ]; then
  code=0
  mainstay diff "$base...HEAD" -p "$policy" "${what[@]}" --markdown >>comment.md || code=$?
  case $code in
    0 | 3) ;;                      # nothing is lost | something is: the comment says what, the reviewers decide
    *) exit "$code" ;;
  esac
  echo >>comment.md
fi
code=0
rm -f plan.json
mainstay plan -p "$policy" "${from[@]}" --out plan.json --detailed-exitcode >plan.txt || code=$?
case $code in
  0 | 2) ;;                        # nothing to do | changes are planned
  *) exit "$code" ;;
esac
mainstay show plan.json -p "$policy" --markdown >plan.md
# Each stays under what a forge takes as a comment; both together may not.
if [ $(($(wc -c <comment.md) + $(wc -c <plan.md))) -lt 60000 ]; then
  cat plan.md >>comment.md
else
  echo "The plan is too long for this comment: see plan.md of this job." >>comment.md
fi
echo "plan.sh: comment.md has $(wc -c <comment.md) bytes"
