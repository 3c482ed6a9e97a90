#!/usr/bin/env bash
# Four domains train adapters of one base; one server answers with all of them, mixed in one batch; load is put on it while a new version
# goes live and back. Every step is a command that you can run on your own projects.
#   usage: demo.sh        ADDR=127.0.0.1:8411 to listen elsewhere
set -eo pipefail
cd "$(dirname "$0")"
DLM=${DLM:-../../bin/dlm} ADDR=${ADDR:-127.0.0.1:8411}
url=http://$ADDR

bold= dim= off=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$1" "$off"; }
prompt() { printf '%s$ dlm %s%s\n' "$dim" "$*" "$off"; }
show() { prompt "$@"; "$DLM" "$@"; }
# silent ARGS...: shown, and run without its output.
silent() { prompt "$@"; "$DLM" "$@" --json > /dev/null; }
# load ARGS...: what dlm bench serve reports; the notes on its progress are left out.
load() { prompt bench serve --url "$url" "$@"; "$DLM" bench serve --url "$url" "$@" 2> .dlm/load.log || { cat .dlm/load.log >&2; return 1; }; }
# ask MODEL MESSAGES FILE: one chat completion, headers and body into FILE.
ask() { curl -sS -i "$url/v1/chat/completions" -H 'Content-Type: application/json' -d "{\"model\": \"$1\", \"messages\": $2, \"max_tokens\": 64, \"temperature\": 0}" > "$3"; }
header() { tr -d '\r' < "$2" | sed -n "s/^$1: //p"; }
text() { sed -n 's/.*"content":"\(.*\)","refusal".*/\1/p' "$1" | sed 's/\\"/"/g'; }
command -v curl > /dev/null || { echo "demo: curl is not here" >&2; exit 1; }
mkdir -p .dlm

bank=../bank-support/data/quick-golden.jsonl claims=../claims-desk/data/quick-golden.jsonl sql=data/sql-golden.jsonl abstracts=data/abstracts-golden.jsonl
mixed=(--models bank,claims,sql,abstracts --zipf 1 --prompts "bank=$bank" --prompts "claims=$claims" --prompts "sql=$sql" --prompts "abstracts=$abstracts" --max-tokens 64 --seed 1)

echo "Everything below runs in projects/serving; dlm is bin/dlm of this repository."
say "1. Four domains: each has its own data, golden set and gate under adapters/; their results go to one store"
for a in bank claims sql abstracts; do silent -C "adapters/$a" run; done
show adapters list

say "2. One server for all of them"
prompt serve
"$DLM" serve --addr "$ADDR" > .dlm/serve.out 2> .dlm/serve.log &
server=$!
trap 'kill "$server" 2> /dev/null || true' EXIT
for _ in $(seq 600); do
  [ "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz" || true)" != 200 ] || break
  kill -0 "$server" 2> /dev/null || { cat .dlm/serve.log >&2; exit 1; }
  sleep 0.1
done
sed '/^serving/d; /^try:/d; /^keys:/,$d' .dlm/serve.out

say "3. A request names its adapter: these four are asked at once and share the batch"
waiting=()
for a in bank claims sql abstracts; do
  messages=$(head -n 1 "${!a}" | sed 's/.*"messages": \(\[.*\]\), "target".*/\1/')
  ask "$a" "$messages" ".dlm/$a.http" &
  waiting+=($!)
done
wait "${waiting[@]}"
for a in bank claims sql abstracts; do
  printf '%s: %s\n' "$a" "$(head -n 1 "${!a}" | sed 's/.*"user", "content": "\([^"]*\).*/\1/; s/\\n.*//' | cut -c1-100)"
  printf '  -> %s\n' "$(text ".dlm/$a.http")"
  printf 'answered by %s\n' "$(header X-Dlm-Model ".dlm/$a.http")"
done

say "4. A name that is not known is refused: never is the base asked instead"
ask loans '[{"role": "user", "content": "Hello"}]' .dlm/loans.http
echo "status $(head -n 1 .dlm/loans.http | cut -d ' ' -f 2): $(sed -n 's/.*"message":"\(.*\)","type".*/\1/p' .dlm/loans.http | sed 's/\\"/"/g; s/;.*//')"

say "5. Load: sixteen requests under way, then eight new ones a second; the first adapter is asked for most"
load "${mixed[@]}" --concurrency 16 --requests 200 --slo-ttft 1s --slo-itl 50ms
echo
load "${mixed[@]}" --rate 8 --requests 60 --slo-ttft 1s --slo-itl 50ms

say "6. A new version of one adapter, on trial: a share of its requests goes there"
new=(--set train.seed=2 --set train.epochs=1)
silent -C adapters/bank train sft "${new[@]}"
candidate=$("$DLM" -C adapters/bank train sft "${new[@]}" --json 2> /dev/null | sed -n 's/^    "id": "sha256:\([0-9a-f]\{12\}\).*/\1/p' | head -n 1)
silent -C adapters/bank eval "$candidate"
silent -C adapters/bank gate "$candidate"
show adapters promote "$candidate" --alias bank@canary --share 30%
sleep 3 # the server reads the store about once a second, and brings the adapter in before it counts
load --models bank --prompts "$bank" --max-tokens 48 --seed 2 --concurrency 8 --requests 60

say "7. It becomes the one that counts, and is taken back, while requests run: none fails"
prompt bench serve --url "$url" --models bank --prompts "$bank" --max-tokens 48 --seed 3 --concurrency 8 --duration 9s --strict
"$DLM" bench serve --url "$url" --models bank --prompts "$bank" --max-tokens 48 --seed 3 --concurrency 8 --duration 9s --strict > .dlm/moved.out 2> .dlm/load.log &
running=$!
sleep 3
show adapters promote "$candidate" --alias bank@prod
sleep 3
show adapters rollback bank@prod
wait "$running"
cat .dlm/moved.out

say "8. What the server counted"
curl -sS "$url/metrics" | grep '^dlm_requests_total' | sort

say "9. It is told to end, and finishes what it began"
kill -TERM "$server"
code=0
wait "$server" || code=$?
tail -n 1 .dlm/serve.log
echo "(exit code $code)"
