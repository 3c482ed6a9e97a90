#!/usr/bin/env bash
# Larger bases, with random weights in the shape of published ones: speed, and memory as planned and as measured. Needs Go and dlm,
# no Python; 1 GB of disk while it runs; about three minutes. Writes OUT/shapes.jsonl and OUT/shapes.md.
#   usage: bench/shapes/run.sh [OUT_DIR=bench/out]
#   SHAPES=qwen2.5-0.5b,qwen2.5-1.5b  FORMAT=q4_1  DLM_BIN as in bench/README.md
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/bench/out}
DLM=${DLM_BIN:-$root/bin/dlm}
[ -x "$DLM" ] || { echo "$DLM is missing: run make build first, or set DLM_BIN." >&2; exit 2; }
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
cd "$root"
CGO_ENABLED=0 go run ./bench/shapes -dlm "$DLM" -out "$out" -shapes "${SHAPES:-qwen2.5-0.5b,qwen2.5-1.5b}" -format "${FORMAT:-q4_1}" \
  -title "$(date -u +%F), $cpu, commit $commit"
cat "$out/shapes.md"
