#!/usr/bin/env bash
# Decode: completions made by dlm, llama.cpp (in process and as a server), vLLM and transformers, in turns; alone, eight at once, eight
# at once over four adapters. dlm also with 1 and 8 adapters, and 32 sequences with none and with an adapter each.
#   usage: bench/decode/run.sh [OUT_DIR=bench/out]
#   PROMPT=32  TOKENS=96  REPS=3  FLASH="on off"  TORCH_COMPILE=1   and what bench/lib.sh reads
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
begin decode "${1:-}"
here=$bench/decode prompt=${PROMPT:-32} tokens=${TOKENS:-96} reps=${REPS:-3} flash=${FLASH:-on off} llama=${LLAMA_BIN:-}
shape="--prompt $prompt --tokens $tokens --reps $reps --threads $THREADS"
adapters=$out/adapters
if has_python_peers; then
  "$PY" "$here/make_adapters.py" "$HF" "$adapters" >> "$log" 2>&1
fi

dlm() { # work batch adapters
  measure dlm dlm "$1" "Q4_1, bf16" "$DLM" bench decode --model "$MODEL" --batch "$2" --adapters "$3" $shape --json
}
llama() {
  local fa
  for fa in $flash; do
    measure llama.cpp llama-bench "decode 1" "llama-bench, flash attention $fa" "$llama/llama-bench" -m "$MODEL" -t "$THREADS" -p 0 -n "$tokens" -d "$prompt" -r "$reps" -fa "$fa" -o jsonl
    for n in 1 8; do
      measure llama.cpp batched-bench "decode $n" "llama-batched-bench, flash attention $fa" "$llama/llama-batched-bench" -m "$MODEL" -t "$THREADS" -c $((n * (prompt + tokens + 64))) \
        -npp "$prompt" -ntg "$tokens" -npl "$n" -fa "$fa" --output-format jsonl
    done
    served "decode 1;decode 8" "llama-server, flash attention $fa" --clients 1 8 -- -fa "$fa"
  done
  served "decode 8, 4 adapters" "llama-server, flash attention ${flash%% *}" --clients 8 --adapters "$adapters"/a{0,1,2,3}.gguf -- -fa "${flash%% *}"
}
served() { # work setting arguments
  local work=$1 setting=$2
  shift 2
  measure llama.cpp lines "$work" "$setting" "$PY" "$here/served.py" --kind llama "$llama/llama-server" "$MODEL" $shape "$@"
}
torch() {
  local setting="$1"
  shift
  measure transformers lines "decode 1;decode 8" "$setting" "$PY" "$here/transformers_decode.py" "$HF" $shape "$@"
}
vllm() { # work arguments
  local work=$1
  shift
  measure vllm lines "$work" "bf16, in process" "${VLLM_PYTHON:-}" "$here/vllm_decode.py" "$HF" $shape "$@"
}
vllm_served() { # work arguments
  local work=$1
  shift
  measure vllm lines "$work" "bf16, its server" "$PY" "$here/served.py" --kind vllm "${VLLM_PYTHON:-}" "$HF" $shape "$@"
}
for round in $(seq "$ROUNDS"); do
  dlm "decode 1" 1 0
  dlm "decode 8" 8 0
  dlm "decode 8, 4 adapters" 8 4
  llama
  torch "bf16"
  [ "${TORCH_COMPILE:-1}" = 0 ] || torch "bf16, static cache, torch.compile" --cache static --compile
  vllm "decode 1;decode 8"
  vllm_served "decode 1;decode 8" --clients 1 8
  vllm "decode 8, 4 adapters" --batches 8 --adapters "$adapters"/a{0,1,2,3}
  vllm_served "decode 8, 4 adapters" --clients 8 --adapters "$adapters"/a{0,1,2,3}
  dlm "decode 8, 1 adapter" 8 1
  dlm "decode 8, 8 adapters" 8 8
  dlm "decode 32" 32 0
  dlm "decode 32, 32 adapters" 32 32
done
settings="PROMPT=$prompt TOKENS=$tokens REPS=$reps" finish "dlm, llama-bench, llama-batched-bench, vLLM and transformers run in their own process; llama-server and vLLM's server are asked over HTTP on 127.0.0.1 by as many parallel clients as there are sequences, which costs them part of the threads. tokens/s counts decoding alone (llama-server: its own figure times the clients), whole tokens/s the whole call, prompts of $prompt tokens included."
