#!/usr/bin/env bash
# SFT end to end on real rows, loss on completions: `dlm train sft` against TRL's SFTTrainer in several settings, in turns. Same rows,
# batch, rank, learning rate; one epoch.
#   usage: bench/sft/run.sh [OUT_DIR=bench/out]
#   ROWS=192  BATCH=8  RANK=16  LR=2e-4  SFT_DATA=FILE.jsonl (TRL's shapes; default: the claims desk's training rows)
#   TRL_SETTINGS="f32;f32 --packing;..." of trl_sft.py, separated by ;   and what bench/lib.sh reads
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
begin sft "${1:-}"
here=$bench/sft rows=${ROWS:-192} batch=${BATCH:-8} rank=${RANK:-16} lr=${LR:-2e-4} data=${SFT_DATA:-$root/projects/claims-desk/data/train.jsonl}
work=$out/sft-project
rm -rf "$work"
"$py" "$here/project.py" "$data" "$MODEL" "$work" --count "$rows" --batch "$batch" --rank "$rank" --lr "$lr"
IFS=';' read -ra trl <<< "${TRL_SETTINGS:-f32;f32 --packing;autocast;bf16;bf16-all;bf16-all --grouped;bf16-all --packing;bf16-all --padding-free}"
for round in $(seq "$ROUNDS"); do
  measure dlm dlm-sft sft "Q4_1, bf16" sh -c 'rm -rf "$1/.dlm"; exec "$0" -C "$1" train sft --threads "$2" --json' "$DLM" "$work" "$THREADS"
  for s in "${trl[@]}"; do
    measure trl lines sft "$(sed 's/ --/, /g' <<< "$s")" "$PY" "$here/trl_sft.py" "$HF" "$work/rows.jsonl" --batch "$batch" --rank "$rank" --lr "$lr" --threads "$THREADS" --dtype $s
  done
done
settings="ROWS=$rows BATCH=$batch RANK=$rank LR=$lr rows of $(basename "$data")" finish "One epoch. tokens/s counts the tokens of the rows, without padding, over training alone (TRL: trainer.train(); dlm: its steps); whole tokens/s over the whole command with its loading. f32 is TRL's default; autocast keeps f32 weights, bf16 loads the base in bf16, bf16-all the adapter too; packed, TRL takes fewer, longer steps."
