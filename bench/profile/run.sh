#!/usr/bin/env bash
# Where the time of a training step and of a prefill goes: CPU samples of the benchmark in engine/train, added up by kind of
# function. Needs Go and the GGUF of SmolLM2-135M (DLM_TEST_MODEL, or where `dlm pull` puts it); no Python.
#   usage: bench/profile/run.sh [OUT_DIR=bench/out]
#   SHAPES="train-4x512 train-1x256 prefill-1x512"  SECONDS_EACH=8
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/bench/out}
mkdir -p "$out"
cd "$root"
test=$out/train.test
go test -c -o "$test" ./engine/train
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
{
  echo "$(date -u +%F), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), commit $commit; % of the CPU time of all threads"
  echo
  echo "| shape | tokens/s | multiply | decoding weights | attention | rows | waiting | rest |"
  echo "|---|---:|---:|---:|---:|---:|---:|---:|"
  for shape in ${SHAPES:-train-4x512 train-1x256 prefill-1x512}; do
    prof=$out/$shape.prof
    speed=$(cd engine/train && DLM_PROFILE=$prof "$test" -test.run XXX -test.bench "Step/$shape" -test.benchtime "${SECONDS_EACH:-8}s" |
      awk '/^BenchmarkStep/ { for (i = 2; i <= NF; i++) if ($i == "tokens/s") v = $(i - 1) } END { print v }')
    go tool pprof -top -nodecount=1000000 -nodefraction=0 -edgefraction=0 "$test" "$prof" 2>/dev/null | awk -v shape="$shape" -v speed="$speed" '
      BEGIN { unit["ns"] = 1e-9; unit["us"] = 1e-6; unit["ms"] = 1e-3; unit["s"] = 1; unit["mins"] = 60 }
      !table { if ($1 == "flat") table = 1; next }
      {
        match($1, /[a-z]+$/)
        t = substr($1, 1, RSTART - 1) * unit[substr($1, RSTART)]
        f = $6
        total += t
        if (f ~ /kernel\.(tile|fused|outer|share)[A-Z0-9]/ || f ~ /kernel\.\(\*tiling\)/) mul += t
        else if (f ~ /kernel\.(decode|transpose(Q|Pairs|8|32)|widen|expand|spread)/) dec += t
        else if (f ~ /kernel\.(softmax|transposeRound|roundRows|pairRows)/ || f ~ /model\.\(\*Pass\)\.(attend|tile|key|softmax|place|load)/) att += t
        else if (f ~ /kernel\.(row|rope|adam|headDots)/) rows += t
        else if (f ~ /kernel\.(pause|relax|yield)|atomic\.|futex|Syscall6|runtime\.(usleep|procyield|osyield)/) idle += t
        else rest += t
      }
      END { if (total > 0) printf "| %s | %.0f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f |\n", shape, speed, 100 * mul / total, 100 * dec / total, 100 * att / total, 100 * rows / total, 100 * idle / total, 100 * rest / total }'
  done
} | tee "$out/profile.md"
