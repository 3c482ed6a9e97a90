#!/usr/bin/env bash
# Benchmarks against peers on this machine. Let nothing else run meanwhile.
#   usage: bench/run.sh [train] [claims]      (default: train)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in "${@:-train}"; do
  "$here/$part/run.sh"
done
