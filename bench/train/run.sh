#!/usr/bin/env bash
# Training speed: a LoRA step of dlm against PyTorch + PEFT, eager and with torch.compile, same shapes, in turns.
#   usage: bench/train/run.sh [OUT_DIR=bench/out]
#   STEPS=3  SHAPES="4x512 1x256"  PRECISIONS="f32 bf16"  COMPILE="bf16" (precisions that torch.compile gets; "" for none)  RANK=16
#   and what bench/lib.sh reads
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
begin train "${1:-}"
here=$bench/train rank=${RANK:-16} steps=${STEPS:-3} shapes=${SHAPES:-4x512 1x256} compile=${COMPILE-bf16}

peft() { # precision batch seq setting [--compile]
  measure peft lines "train $2 x $3" "$4" "$PY" "$here/peft_step.py" "$HF" --dtype "$1" --batch "$2" --seq "$3" --rank "$rank" --steps "$steps" --threads "$THREADS" ${5:-}
}
for round in $(seq "$ROUNDS"); do
  for shape in $shapes; do
    b=${shape%x*} t=${shape#*x}
    for precision in ${PRECISIONS:-f32 bf16}; do
      # The first step is warm-up and not counted, as with the peer.
      measure dlm dlm "train $b x $t" "Q4_1, $precision" "$DLM" bench train --model "$MODEL" --precision "$precision" --batch "$b" --seq "$t" --rank "$rank" --steps $((steps + 1)) --threads "$THREADS" --json
      peft "$precision" "$b" "$t" "$precision"
      case " $compile " in *" $precision "*) peft "$precision" "$b" "$t" "$precision, torch.compile" --compile ;; esac
    done
  done
done
settings="STEPS=$steps" finish "Forward, backward and AdamW on random tokens. dlm multiplies by the Q4_1 weights, PEFT by the same weights dequantised to f32 or bf16. transformers holds all logits, which is part of its peak memory; the compiler's own memory is part of torch.compile's."
