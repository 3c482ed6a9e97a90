#!/usr/bin/env bash
# The shortest whole life cycle, on a task that a classifier cannot do: file an
# insurance customer's message as a JSON record. Every step is a command that
# you can run on your own data.
#   usage: demo.sh [--quick]
set -eo pipefail
cd "$(dirname "$0")"
DLM=${DLM:-../../bin/dlm}

quick=
settings=() # of every command about the project
if [ "${1:-}" = --quick ]; then
  quick=yes
  settings=(--set data.train=data/quick-train.jsonl --set golden.file=data/quick-golden.jsonl --set train.eval_every=10)
fi

bold= dim= off=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$1" "$off"; }
# prompt ARGS...: the command as you would type it.
prompt() {
  local a line='$ dlm' q="'"
  for a in "$@"; do
    case $a in
      *[!A-Za-z0-9_./:=,%+@-]*) line+=" '${a//$q/$q\\$q$q}'" ;;
      *) line+=" $a" ;;
    esac
  done
  printf '%s%s%s\n' "$dim" "$line" "$off"
}
show() { prompt "$@"; "$DLM" "$@"; }
# silent ARGS...: shown, and run without its output.
silent() { prompt "$@"; "$DLM" "$@" --json >/dev/null; }
# refused CODE ARGS...: a command that must end with that exit code.
refused() {
  local want=$1 got=0
  shift
  prompt "$@"
  "$DLM" "$@" || got=$?
  if [ "$got" != "$want" ]; then
    echo "demo: expected exit code $want, got $got" >&2
    exit 1
  fi
  echo "(refused, exit code $got)"
}
# adapter_of ARGS...: the first digits of the adapter that these settings make.
adapter_of() { "$DLM" train sft "$@" --json 2>/dev/null | sed -n 's/^    "id": "sha256:\([0-9a-f]\{12\}\).*/\1/p' | head -n 1; }

# All done already: say so, and do nothing.
if [ -e .dlm/dlm.db ] && "$DLM" run "${settings[@]}" --dry-run --json 2>/dev/null | tr -d ' \n' | grep -q '"stage":"promote","action":"skip"'; then
  "$DLM" run "${settings[@]}"
  echo "rm -r projects/claims-desk/.dlm starts over; dlm runs list and dlm adapters list show what was made"
  exit 0
fi

message='hi my name is tamil arasi and i want a new policy for my honda city 2017'
system="File the customer's message as one JSON record."

echo "Everything below runs in projects/claims-desk; dlm is bin/dlm of this repository."
say "1. The plan: what this machine can do, and what the project will cost on it"
show doctor --plan "${settings[@]}"

say "2. The base, asked once"
prompt generate --system "$system" --user "$message" --max-tokens 64
"$DLM" generate --system "$system" --user "$message" --max-tokens 64 2>/dev/null | sed 's/^/  | /'
echo "That is polite and useless: the desk's software needs {\"intent\": ..., \"name\": ..., \"car_brand\": ...} and nothing else,"
echo "with this desk's own intents and slot names, which the base has never seen."

say "3. The training rows as the base will see them: only what is marked counts in the loss"
show data check "${settings[@]}" --preview 2
echo
echo "A file with one planted row, whose answer stands under the wrong role, so that nothing of it would be trained:"
refused 1 data check data/planted.jsonl --preview 0

say "4. What needs no training: the base as it is, the base with the nearest examples in its prompt, and the nearest row's answer copied"
show eval "${settings[@]}" --baselines-only

say "5. Training: the same held-out messages answered again as it learns"
show train sft "${settings[@]}"

say "6. All arms on the same golden items"
show eval "${settings[@]}" --show 5

say "7. The gate: is the adapter good enough to replace the best of what needs no training?"
gate=0
show gate "${settings[@]}" || gate=$?
if [ "$gate" = 4 ] && [ "$quick" ]; then
  echo "Inconclusive: the interval still holds the margin. make demo trains on more rows and asks more items."
elif [ "$gate" != 0 ]; then
  exit "$gate"
fi
echo
echo "A planted worse adapter, trained on rows whose answers belong to other messages:"
bad=("${settings[@]}" --set data.train=data/shifted.jsonl --set data.held_out=0 --set train.samples=0)
silent train sft "${bad[@]}" --name planted-worse
worse=$(adapter_of "${bad[@]}")
silent eval "$worse" "${settings[@]}"
refused 3 gate "$worse" "${settings[@]}"

say "8. Promotion, and what serves now"
adapter=$(adapter_of "${settings[@]}")
if [ "$gate" = 0 ]; then
  show adapters promote "$adapter" --alias prod
else
  echo "Without a passed gate promotion is refused; --force overrules that, and the reason is recorded."
  refused 1 adapters promote "$adapter" --alias prod
  show adapters promote "$adapter" --alias prod --force --reason "demo-quick: too few golden items to decide"
fi
echo
echo "New messages, answered through prod (dlm generate --adapter prod --system ... --user ...). Not all of it is right, as the table says:"
while IFS= read -r line; do
  asked=$(printf '%s' "$line" | sed 's/.*"user", "content": "\([^"]*\)".*/\1/')
  printf '%s\n  -> %s\n' "$asked" "$("$DLM" generate --adapter prod --system "$system" --user "$asked" --max-tokens 64 2>/dev/null)"
done < data/new_messages.jsonl
echo
echo "The log-probability of one answer, as served and as the training pass computes it:"
answer=$("$DLM" generate --adapter prod --system "$system" --user "$message" --max-tokens 64 2>/dev/null)
show logprobs --adapter prod --system "$system" --user "$message" --completion "$answer" --end-of-turn --training

say "9. Your turn"
echo "dlm init my-desk --from your.jsonl    (CSV, Alpaca, ShareGPT, OpenAI and TRL JSONL are recognised)"
