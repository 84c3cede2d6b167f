#!/usr/bin/env bash
# Runs in the pull request: every finding, then the plan as a comment. Reads only; needs the inventory that the protected
# branch publishes (or access to the state), never the databases.
#
#   plan.sh POLICY [INVENTORY]     writes plan.json and comment.md
set -euo pipefail
policy=$1 inventory=${2:-}
mainstay validate -p "$policy" --strict

from=()
[ -z "$inventory" ] || from=(--inventory "$inventory" --now "$(date -u +%Y-%m-%dT%H:%M:%SZ)")
code=0
mainstay plan -p "$policy" "${from[@]}" --out plan.json --detailed-exitcode >plan.txt || code=$?
case $code in
  0 | 2) ;;                        # nothing to do | changes are planned
  *) exit "$code" ;;
esac
mainstay show plan.json -p "$policy" --markdown >comment.md
echo "plan.sh: comment.md has $(wc -c <comment.md) bytes"
