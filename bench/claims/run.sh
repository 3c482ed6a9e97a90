#!/usr/bin/env bash
# The claims desk in dlm and in PyTorch + PEFT: same base, rows, order, rank, learning rates and seed; evaluated on the same golden
# items, greedily; the paired difference with its interval, and both times. Let nothing else run meanwhile.
#   usage: bench/claims/run.sh [OUT_DIR=bench/out/claims]
#   PRECISION=bf16|f32 (dlm)   PEFT_DTYPE=f32|bf16|autocast   EPOCHS LR WARMUP SEED BATCH (default: the project's recipe)
set -euo pipefail
. "$(dirname "$0")/../../interop/python.sh"
here=$root/bench/claims
data=$root/projects/claims-desk/data
out=${1:-$root/bench/out/claims}
mkdir -p "$out"
need_model
recipe() { "$PY" "$here/recipe.py" "$root/projects/claims-desk/dlm.yaml" "$1" "$2"; }
epochs=${EPOCHS:-$(recipe epochs 1)} lr=${LR:-$(recipe lr 1e-3)} warmup=${WARMUP:-$(recipe warmup 5)} seed=${SEED:-$(recipe seed 1)}
batch=${BATCH:-$(recipe batch_size 16)} rank=$(recipe rank 16) alpha=$(recipe alpha 32) clip=$(recipe clip_norm 1.0) decay=$(recipe weight_decay 0) schedule=$(recipe schedule cosine)
precision=${PRECISION:-$(recipe precision bf16)} dtype=${PEFT_DTYPE:-f32}
echo "recipe: $epochs epochs, lr $lr, $schedule, warm-up $warmup, batch $batch, rank $rank, alpha $alpha, clip $clip, decay $decay, seed $seed"

"$PY" "$here/order.py" "$HF" "$data/train.jsonl" "$out/order.jsonl" --seed "$seed" --epochs "$epochs" --batch-size "$batch"
echo "== dlm ($precision)"
/usr/bin/env time -f '%e s, %M KiB' -o "$out/dlm.time" "$DLM" train sft --base "$MODEL" --data "$data/train.jsonl" --out "$out/dlm" --epochs "$epochs" --lr "$lr" --warmup "$warmup" \
  --seed "$seed" --batch "$batch" --rank "$rank" --alpha "$alpha" --clip-norm "$clip" --weight-decay "$decay" --schedule "$schedule" --precision "$precision" --json > "$out/dlm.train.json"
echo "== PEFT ($dtype)"
"$PY" "$here/train_peft.py" "$HF" "$out/order.jsonl" "$out/peft" --lr "$lr" --warmup "$warmup" --seed "$seed" --batch-size "$batch" --rank "$rank" --alpha "$alpha" \
  --clip-norm "$clip" --weight-decay "$decay" --schedule "$schedule" --dtype "$dtype" > "$out/peft.train.json"
for who in dlm peft; do
  "$PY" "$here/predict_peft.py" "$HF" "$data/golden.jsonl" "$out/$who.answers.jsonl" --adapter "$out/$who" > "$out/$who.predict.json"
done
{
  "$PY" "$here/times.py" "$out"
  echo
  echo "Both adapters answered by transformers + PEFT in f32:"
  echo
  "$PY" "$here/compare.py" "$data/golden.jsonl" "dlm=$out/dlm.answers.jsonl" "PEFT=$out/peft.answers.jsonl"
} | tee "$out/claims.md"
