#!/usr/bin/env bash
# Serving: dlm serve, llama.cpp's server and vLLM's under the same load, in turns: 8 and 32 requests under way, none, 4 and 64 adapters.
#   usage: bench/serve/run.sh [OUT_DIR=bench/out]
#   PROMPT=32  TOKENS=96  SECONDS_EACH=12  RAMP=3  PEER_LOADS="8:4 32:4"  PEER_SECONDS=16  QUICK=1 (loads of 8 s, one round)   and what bench/lib.sh reads
# Adapters of rank 16 on all projections are drawn from seeds, the same numbers for every engine; 64 of them take 1.3 GB in OUT_DIR.
set -euo pipefail
[ "${QUICK:-0}" != 1 ] || export ROUNDS=${ROUNDS:-1} SECONDS_EACH=${SECONDS_EACH:-8} RAMP=${RAMP:-2}
. "$(dirname "$0")/../lib.sh"
begin serve "${1:-}"
here=$bench/serve prompt=${PROMPT:-32} tokens=${TOKENS:-96} each=${SECONDS_EACH:-12} ramp=${RAMP:-3} adapters=$out/adapters count=64
peer_loads=${PEER_LOADS:-8:4 32:4} # peers are given longer: they answer a wave of requests in some eight seconds
has_python_peers || die "the adapters are made by Python: $PY lacks the peers of interop/requirements.txt"
"$PY" "$bench/decode/make_adapters.py" "$HF" "$adapters" --count 4 >> "$log" 2>&1
for i in $(seq 0 $((count - 1))); do # bound to the base, so that dlm takes them
  [ ! -e "$adapters/bound/a$i/dlm_adapter.json" ] || continue
  [ "$i" -lt 4 ] || "$PY" "$bench/decode/make_adapters.py" "$HF" "$adapters" --first "$i" --count 1 --peft-only >> "$log" 2>&1
  rm -rf "$adapters/bound/a$i"
  "$DLM" adapters import "$adapters/a$i" --base "$MODEL" --name "a$i" --out "$adapters/bound/a$i" >> "$log" 2>&1
  [ "$i" -lt 4 ] || rm -rf "$adapters/a$i"
done

loaded() { # engine setting kind program model loads adapters... [-- server arguments]
  local engine=$1 setting=$2 kind=$3 program=$4 model=$5 loads=$6 work= l
  shift 6
  local seconds=$each
  [ "$engine" = dlm ] || seconds=${PEER_SECONDS:-16}
  for l in $loads; do
    work+="${work:+;}serve ${l%:*}"
    [ "${l#*:}" = 0 ] || work+=", ${l#*:} adapters"
  done
  measure "$engine" lines "$work" "$setting" "$PY" "$here/loaded.py" --kind "$kind" "$program" "$model" --dlm "$DLM" --loads $loads --prompt "$prompt" \
    --tokens "$tokens" --seconds "$seconds" --ramp "$ramp" --seed "$round" --threads "$THREADS" --adapters "$@"
}
four() { local i; for i in 0 1 2 3; do printf '%s\n' "$adapters/a$i$1"; done; }
for round in $(seq "$ROUNDS"); do
  loaded dlm "dlm serve, Q4_1, bf16" dlm "$DLM" "$MODEL" "8:0 8:4 8:64 32:0 32:4 32:64" $(for i in $(seq 0 $((count - 1))); do echo "$adapters/bound/a$i"; done)
  for l in $peer_loads; do # as many slots as requests under way: more would only cost it
    loaded llama.cpp "llama-server" llama "${LLAMA_BIN:-}/llama-server" "$MODEL" "$l" $(four .gguf)
  done
  loaded vllm "vLLM's server, bf16" vllm "${VLLM_PYTHON:-}" "$HF" "$peer_loads" $(four "")
done
settings="PROMPT=$prompt TOKENS=$tokens SECONDS_EACH=$each RAMP=$ramp" finish "Each engine is a server of its own on 127.0.0.1, asked by \`dlm bench serve\` in a closed loop: the client takes part of the threads, the same of every engine. Requests ask for the adapters in turn, so with 64 adapters 32 requests under way have 32 different ones. whole tokens/s: completion tokens that reached the client, a second. TTFT and ITL: medians over rounds, of p50 and p99."
