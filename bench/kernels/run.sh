#!/usr/bin/env bash
# Every kernel's rate beside what this machine could do at most: ceilings of the multiply units (register loops) and of memory
# of the same size, measured in the same run. Needs Go, no Python. Writes OUT/kernels.txt (raw) and OUT/kernels.md.
#   usage: bench/kernels/run.sh [OUT_DIR=bench/out]
#   SETS="avx512bf16 avx2" (default: the best set here)  TIME=50ms (a benchmark)  ONLY=MatMul (a pattern of benchmark names)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mkdir -p "${1:-$root/bench/out}" && cd "${1:-$root/bench/out}" && pwd)
cd "$root"
export CGO_ENABLED=0
go test -c -o "$out/kernel.test" ./engine/kernel
go build -o "$out/kernels-table" ./bench/kernels
: > "$out/kernels.txt"
for set in ${SETS:-best}; do
  [ "$set" = best ] && unset DLM_KERNELS || export DLM_KERNELS=$set
  "$out/kernel.test" -test.run '^$' -test.bench "${ONLY:-.}" -test.benchtime "${TIME:-50ms}" >> "$out/kernels.txt"
done
{
  echo "$(date -u +%F), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  echo
  "$out/kernels-table" < "$out/kernels.txt"
} | tee "$out/kernels.md"
rm "$out/kernel.test" "$out/kernels-table"
