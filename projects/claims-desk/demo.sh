#!/usr/bin/env bash
# The shortest whole life cycle, on a task that a classifier cannot do: file an
# insurance customer's message as a JSON record. Every step is a command that
# you can run on your own data.
#   usage: demo.sh [--quick]
set -euo pipefail
cd "$(dirname "$0")"
DLM=${DLM:-../../bin/dlm}

set_flags=()
train_set=()
if [ "${1:-}" = --quick ]; then
  set_flags=(--set data.train=data/quick-train.jsonl --set golden.file=data/quick-golden.jsonl --set train.eval_every=10)
fi

bold= dim= off=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$1" "$off"; }
show() { printf '%s$ dlm %s%s\n' "$dim" "$*" "$off"; "$DLM" "$@"; }
# fails CODE ARGS...: a command that must be refused with that exit code.
fails() {
  local want=$1 got=0
  shift
  printf '%s$ dlm %s%s\n' "$dim" "$*" "$off"
  "$DLM" "$@" || got=$?
  if [ "$got" != "$want" ]; then
    echo "demo: expected exit code $want, got $got" >&2
    exit 1
  fi
  echo "(refused, exit code $got)"
}

if "$DLM" run "${set_flags[@]}" --dry-run --json 2>/dev/null | tr -d ' \n' | grep -q '"action":"promote"\|"stage":"promote","action":"skip"'; then
  "$DLM" run "${set_flags[@]}"
  echo "rm -r projects/claims-desk/.dlm starts over; dlm runs list and dlm adapters list show what was made"
  exit 0
fi

message='hi my name is tamil arasi and i want a new policy for my honda city 2017'
system="File the customer's message as one JSON record."

say "1. The plan: what this machine can do, and what the project will cost on it"
show doctor --plan "${set_flags[@]}"

say "2. The base, asked once"
show generate --system "$system" --user "$message" --max-tokens 64
echo "That is polite and useless: the desk's software needs {\"intent\": ..., \"name\": ..., \"car_brand\": ...} and nothing else,"
echo "with this desk's own intents and slot names, which the base has never seen."

say "3. The training rows as the base will see them: only what is marked counts in the loss"
show data check "${set_flags[@]}" --preview 2
echo
echo "A file with one planted row, whose answer stands under the wrong role, so that nothing of it would be trained:"
fails 1 data check data/planted.jsonl --preview 0

say "4. What needs no training: the base as it is, the base with the nearest examples in its prompt, and the nearest row's answer copied"
show eval "${set_flags[@]}" --baselines-only

say "5. Training: the same held-out messages answered again as it learns"
show train sft "${set_flags[@]}"

say "6. All arms on the same golden items"
show eval "${set_flags[@]}" --show 5

say "7. The gate: is the adapter good enough to replace the best of what needs no training?"
gate=0
show gate "${set_flags[@]}" || gate=$?
if [ "$gate" = 4 ]; then
  echo "Inconclusive: the interval still holds the margin. With the full data (make demo) there are enough items to decide."
elif [ "$gate" != 0 ]; then
  exit "$gate"
fi
echo
echo "A planted worse adapter, trained on rows whose answers belong to other messages:"
bad=(--set data.train=data/shifted.jsonl --set data.held_out=0 --set train.samples=0 "${set_flags[@]:2}")
bad_id=$("$DLM" train sft "${bad[@]}" --name planted-worse --json | sed -n 's/^    "id": "sha256:\([0-9a-f]\{12\}\).*/\1/p' | head -n 1)
"$DLM" eval "$bad_id" "${set_flags[@]}" --json >/dev/null
fails 3 gate "$bad_id" "${set_flags[@]}"

say "8. Promotion, and what serves now"
if [ "$gate" = 0 ]; then
  show adapters promote "$("$DLM" gate "${set_flags[@]}" --json | sed -n 's/^  "adapter": "sha256:\([0-9a-f]\{12\}\).*/\1/p')" --alias prod
else
  show adapters promote claims-desk --alias prod --force --reason "demo-quick: too few golden items to decide"
fi
while IFS= read -r line; do
  asked=$(printf '%s' "$line" | sed 's/.*"user", "content": "\([^"]*\)".*/\1/')
  printf '%s\n  -> %s\n' "$asked" "$("$DLM" generate --adapter prod --system "$system" --user "$asked" --max-tokens 64 2>/dev/null)"
done < data/new_messages.jsonl
answer=$("$DLM" generate --adapter prod --system "$system" --user "$message" --max-tokens 64 2>/dev/null)
echo "The log-probability of one answer, as served and as the training pass computes it:"
show logprobs --adapter prod --system "$system" --user "$message" --completion "$answer" --end-of-turn --training

say "9. Your turn"
echo "dlm init my-desk --from your.jsonl    (CSV, Alpaca, ShareGPT, OpenAI and TRL JSONL are recognised)"
