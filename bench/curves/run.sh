#!/usr/bin/env bash
# How cost grows with work: tokens a second of prefill, decode and training over length, depth, batch and adapters, on all threads
# and on one. Needs Go and dlm, no Python. Writes OUT/curves.json, curves.md (tables) and curves.svg (plot); about five minutes.
#   usage: bench/curves/run.sh [OUT_DIR=bench/out]
#   ROUNDS=1 (times that each point is measured; medians)  LONG=8192 (longest sequence)
#   THREADS=N (default: what dlm takes)  DLM_BIN, DLM_MODEL as in bench/README.md
# docs/cost.svg is a copy of curves.svg.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/bench/out}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dlm
DLM=${DLM_BIN:-$root/bin/dlm}
MODEL=${DLM_MODEL:-${DLM_TEST_MODEL:-}}
[ -n "$MODEL" ] || MODEL=$(find "${DLM_CACHE:-$cache/models}" -iname '*smollm2*.gguf' 2>/dev/null | head -1)
[ -x "$DLM" ] || { echo "$DLM is missing: run make build first, or set DLM_BIN." >&2; exit 2; }
[ -f "$MODEL" ] || { echo "no GGUF of SmolLM2 found: run \`dlm pull smollm2-135m-instruct\` or set DLM_MODEL." >&2; exit 2; }
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
cd "$root"
CGO_ENABLED=0 go run ./bench/curves -dlm "$DLM" -model "$MODEL" -out "$out" -rounds "${ROUNDS:-1}" -long "${LONG:-8192}" \
  ${THREADS:+-threads "$THREADS"} -title "$(basename "$MODEL" .gguf), $cpu, commit $commit"
cat "$out/curves.md"
