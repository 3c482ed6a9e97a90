#!/usr/bin/env bash
# Prefill: prompts read by dlm, llama.cpp (the same GGUF) and transformers (its dequantised copy, bf16), in turns.
#   usage: bench/prefill/run.sh [OUT_DIR=bench/out]
#   SHAPES="1x512 1x128 8x128"  REPS=5  UBATCH="128 512"  FLASH="0 1"  TORCH_COMPILE=1   and what bench/lib.sh reads
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
begin prefill "${1:-}"
shapes=${SHAPES:-1x512 1x128 8x128} reps=${REPS:-5} works=
for s in $shapes; do
  works+="${works:+;}prefill ${s%x*} x ${s#*x}"
done

llama() { # llama-bench reads one sequence; the same tokens at once are the same multiplies
  for fa in ${FLASH:-0 1}; do
    for ub in ${UBATCH:-128 512}; do
      measure llama.cpp llama-bench "prefill 1 x ${1#1x}" "Q4_1, flash attention $fa, ubatch $ub" "${LLAMA_BIN:-}/llama-bench" -m "$MODEL" -t "$THREADS" -p "${1#1x}" -n 0 -r "$reps" -fa "$fa" -ub "$ub" -o jsonl
    done
  done
}
for round in $(seq "$ROUNDS"); do
  for s in $shapes; do
    measure dlm dlm "prefill ${s%x*} x ${s#*x}" "Q4_1, bf16" "$DLM" bench prefill --model "$MODEL" --batch "${s%x*}" --prompt "${s#*x}" --reps "$reps" --threads "$THREADS" --json
    case $s in 1x*) llama "$s" ;; esac
  done
  measure transformers lines "$works" "bf16" "$PY" "$bench/prefill/transformers_prefill.py" "$HF" --shapes $shapes --reps "$reps" --threads "$THREADS"
  [ "${TORCH_COMPILE:-1}" = 0 ] || measure transformers lines "$works" "bf16, torch.compile" "$PY" "$bench/prefill/transformers_prefill.py" "$HF" --shapes $shapes --reps "$reps" --threads "$THREADS" --compile
done
settings="SHAPES=\"$shapes\" REPS=$reps" finish "All in their own process, no HTTP. llama.cpp and dlm multiply by the Q4_1 file's codes (llama.cpp with activations of 8 bits, dlm of bf16); transformers by the same weights dequantised to bf16. dlm and transformers compute the logits of each prompt's last position only."
