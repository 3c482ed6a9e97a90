#!/usr/bin/env bash
# One adapter trained twice, by the native engine and by TRL: the same first numbers, token ids, rows of each step, schedule and
# optimiser, f32, no dropout. Writes OUT/trainers.json, trainers.md (loss of each step, relative differences) and trainers.svg (plot;
# docs/trainers.svg is a copy). Exit code 1 when a step's loss differs by more than TOLERANCE. Some minutes.
#   usage: bench/trainers/run.sh [OUT_DIR=bench/out]
#   STEPS=50  BATCH=4  ROWS=projects/bank-support/data/quick-train.jsonl  TOLERANCE=1e-3  DLM_PYTHON, DLM_MODEL as in interop/python.sh
set -euo pipefail
peers_optional=1 DLM_BIN=${DLM_BIN:-/bin/true} . "$(dirname "$0")/../../interop/python.sh"
"$PY" -c 'import torch, transformers, peft, trl' || die "$PY lacks TRL: pip install -r driver/trl/program/requirements.txt, or name another Python in DLM_PYTHON."
[ -f "$MODEL" ] || die "no GGUF of SmolLM2 found: run \`dlm pull smollm2-135m-instruct\` or set DLM_MODEL."
cd "$root"
CGO_ENABLED=0 "${GO:-go}" run ./bench/trainers -base "$MODEL" -python "$PY" -out "${1:-bench/out}" -rows "${ROWS:-projects/bank-support/data/quick-train.jsonl}" \
  -steps "${STEPS:-50}" -batch "${BATCH:-4}" -micro "${BATCH:-4}" -tolerance "${TOLERANCE:-1e-3}" \
  -title "$(basename "$MODEL" .gguf), rows of $(basename "$(dirname "$(dirname "${ROWS:-projects/bank-support/data/quick-train.jsonl}")")"), f32, rank 16 on all projections, lr 1e-3 cosine"
