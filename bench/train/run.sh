#!/usr/bin/env bash
# Training speed, side by side: dlm against PyTorch + PEFT on this machine, same shapes, in turns (so that a change in the
# machine's speed hits both). Writes one JSON object a run to OUT/train.jsonl and the table to OUT/train.md.
#   usage: bench/train/run.sh [OUT_DIR=bench/out]
#   ROUNDS=2  STEPS=3  SHAPES="4x512 1x256"  PRECISIONS="f32 bf16"  COMPILE=1 (adds torch.compile)  RANK=16
set -euo pipefail
. "$(dirname "$0")/../../interop/python.sh"
here=$root/bench/train
out=${1:-$root/bench/out}
mkdir -p "$out"
need_model
results=$out/train.jsonl
: > "$results"
rank=${RANK:-16} steps=${STEPS:-3}
THREADS=${THREADS:-$("$PY" -c 'import os; print(len(os.sched_getaffinity(0)))')}
export OMP_NUM_THREADS=$THREADS

run_dlm() { # precision batch seq; the first step is warm-up and not counted, as with the peer
  "$DLM" bench train --model "$MODEL" --precision "$1" --batch "$2" --seq "$3" --rank "$rank" --steps $((steps + 1)) --json |
    "$PY" -c 'import json, sys; r = json.load(sys.stdin); r.update(engine="dlm", precision=sys.argv[1], batch=int(sys.argv[2]), seq=int(sys.argv[3])); print(json.dumps(r))' "$1" "$2" "$3" >> "$results"
}
run_peft() { # precision batch seq [--compile]
  "$PY" "$here/peft_step.py" "$HF" --dtype "$1" --batch "$2" --seq "$3" --rank "$rank" --steps "$steps" --threads "$THREADS" ${4:-} 2>> "$out/train.err" >> "$results"
}
for round in $(seq "${ROUNDS:-2}"); do
  for shape in ${SHAPES:-4x512 1x256}; do
    for precision in ${PRECISIONS:-f32 bf16}; do
      echo "round $round: $shape $precision" >&2
      run_dlm "$precision" "${shape%x*}" "${shape#*x}"
      run_peft "$precision" "${shape%x*}" "${shape#*x}"
      [ -z "${COMPILE:-}" ] || run_peft "$precision" "${shape%x*}" "${shape#*x}" --compile
    done
  done
done
{
  echo "$(date -u +%F), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $THREADS threads, commit $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)"
  "$PY" -c 'from importlib.metadata import version as v; print("torch", v("torch"), "transformers", v("transformers"), "peft", v("peft"))'
  echo
  "$PY" "$here/table.py" "$results"
} | tee "$out/train.md"
