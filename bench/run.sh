#!/usr/bin/env bash
# Benchmarks against peers on this machine, one after the other. Let nothing else run meanwhile.
#   usage: bench/run.sh [train] [prefill] [decode] [sft] [claims]      (default: train prefill decode sft)
#   QUICK=1: shorter, for a first look, about 25 minutes; else some two hours. bench/README.md lists the rest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${QUICK:-0}" = 1 ]; then
  export ROUNDS=${ROUNDS:-2} STEPS=${STEPS:-2} REPS=${REPS:-2} ROWS=${ROWS:-64}
  # Left out: what was never the best of its engine.
  export TORCH_COMPILE=${TORCH_COMPILE:-0} TRL_SETTINGS=${TRL_SETTINGS:-f32;f32 --packing;autocast;bf16-all;bf16-all --packing;bf16-all --padding-free}
else
  export ROUNDS=${ROUNDS:-4}
fi
[ $# -gt 0 ] || set -- train prefill decode sft
for part in "$@"; do
  "$here/$part/run.sh"
done
