#!/usr/bin/env bash
# The whole project in one command, and the table that says whether it was worth
# it. Here it was not: a linear classifier is as good, and the gate lets nothing
# through that it cannot tell from worse.
set -eo pipefail
cd "$(dirname "$0")"
DLM=${DLM:-../../bin/dlm}

say() { printf '\n%s\n' "$1"; }
show() { printf '$ dlm %s\n' "$*"; "$DLM" "$@"; }

echo "Everything below runs in projects/bank-support; dlm is bin/dlm of this repository."
say "1. Check, baselines, training, evaluation, gate"
gate=0
show run || gate=$?
echo "(exit code $gate)"

say "2. All arms on the same golden items"
show eval --show 3

say "3. What it says"
case $gate in
  0) echo "The adapter may replace the best of what needs no training; prod points at it." ;;
  3) echo "The gate refuses: the best arm is better than the adapter. Where that arm is the linear classifier, use the classifier." ;;
  4) echo "The gate cannot decide, so it blocks. Where the best arm is the linear classifier, use the classifier: it costs nothing." ;;
  *) exit "$gate" ;;
esac
