#!/usr/bin/env bash
# The claims desk in dlm and in PyTorch + PEFT: same base, rows, order, rank, learning rates and seed. Both adapters answer the same
# golden items greedily, once in dlm and once in transformers; paired differences with intervals, and both times. Let nothing
# else run meanwhile.
#   usage: bench/claims/run.sh [OUT_DIR=bench/out/claims] [train.FIELD=VALUE ...]
#   PEFT_DTYPE=f32|bf16|autocast (default bf16)
set -euo pipefail
. "$(dirname "$0")/../../interop/python.sh"
here=$root/bench/claims
out=${1:-$root/bench/out/claims}
shift || true
mkdir -p "$out"
out=$(cd "$out" && pwd)
need_model
rm -rf "$out/project"
eval "$("$PY" "$here/project.py" "$root/projects/claims-desk" "$MODEL" "$out/project" "$@")"
echo "recipe: $epochs epochs, lr $lr, $schedule, warm-up $warmup, batch $batch_size, rank $rank, alpha $alpha, clip $clip_norm, decay $weight_decay, seed $seed"
dlm() { "$DLM" -C "$out/project" "$@" --json; }
field() { "$PY" -c 'import json, sys; v = json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[k]
print(v)' "$1"; }

"$PY" "$here/order.py" "$HF" "$train" "$out/order.jsonl" --seed "$seed" --epochs "$epochs" --batch-size "$batch_size"
echo "== dlm trains ($precision)"
"$PY" "$here/peak.py" "$out/dlm.rss" "$DLM" -C "$out/project" train sft --name dlm-claims --json > "$out/dlm.train.json"
dlm runs show "$(field run < "$out/dlm.train.json")" > "$out/dlm.run.json"
dlm_adapter=$(field folder < "$out/dlm.train.json")
echo "== PEFT trains (${PEFT_DTYPE:-bf16})"
"$PY" "$here/train_peft.py" "$HF" "$out/order.jsonl" "$out/peft" --lr "$lr" --warmup "$warmup" --seed "$seed" --rank "$rank" --alpha "$alpha" \
  --clip-norm "$clip_norm" --weight-decay "$weight_decay" --schedule "$schedule" --dtype "${PEFT_DTYPE:-bf16}" > "$out/peft.train.json"
echo "== both answer in dlm"
dlm adapters import "$out/peft" --name peft-claims > "$out/peft.import.json"
for who in dlm peft; do
  dlm eval "$who-claims" > "$out/$who.eval.json"
done
echo "== both answer in transformers"
"$PY" "$here/predict_peft.py" "$HF" "$golden" "$out/dlm.answers.jsonl" --adapter "$dlm_adapter" > "$out/dlm.predict.json"
"$PY" "$here/predict_peft.py" "$HF" "$golden" "$out/peft.answers.jsonl" --adapter "$out/peft" > "$out/peft.predict.json"
{
  "$PY" "$here/times.py" "$out"
  printf '\nBoth adapters in dlm (%s):\n\n' "$precision"
  "$PY" "$here/compare.py" "$golden" "dlm=$out/dlm.eval.json#dlm-claims" "PEFT=$out/peft.eval.json#peft-claims"
  printf '\nBoth adapters in transformers (f32):\n\n'
  "$PY" "$here/compare.py" "$golden" "dlm=$out/dlm.answers.jsonl" "PEFT=$out/peft.answers.jsonl"
} | tee "$out/claims.md"
