#!/usr/bin/env bash
# One round of a host that follows a repository: called by a systemd timer or a Kubernetes CronJob. Backups must not stop because the
# forge is down: when the branch cannot be fetched, an alert is what is left to do, so the exit code says so.
#
#   follow.sh URL@BRANCH DIR [ALLOWED_SIGNERS]     in the folder that holds the state
set -euo pipefail
from=$1 dir=$2 signers=${3:-}
signed=()
[ -z "$signers" ] || signed=(--verify-signature "$signers")
code=0
mainstay apply --from-git "$from" --path "$dir" --auto-approve --lease-wait 10m "${signed[@]}" || code=$?
case $code in
  3) echo "follow.sh: something waits for a person (approval, signature or history); see above" >&2 ;;
  8) echo "follow.sh: another run is under way; the next round goes on" >&2; code=0 ;;
esac
exit "$code"
