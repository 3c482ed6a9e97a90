#!/usr/bin/env bash
# Makes the reference values of engine/testdata again with PyTorch, transformers, PEFT and tokenizers and compares them with the
# committed ones (ids and text exactly, numbers within 1e-4). Needs Python and the real base: see interop/python.sh.
#   usage: engine/testdata/regenerate.sh [--write]      --write: replace the committed files
set -euo pipefail
DLM_BIN=${DLM_BIN:-/bin/true} # the binary is not needed here
. "$(dirname "$0")/../../interop/python.sh"
data=$root/engine/testdata
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/goldens" "$work/tiny"
"$PY" "$data/tiny/gen/make.py" "$work/tiny" 2>/dev/null
need_model
for part in text logits long train; do
  echo "== $part"
  "$PY" "$data/goldens/gen/$part.py" "$HF" "$work/goldens"
done
status=0
"$PY" "$data/goldens/gen/compare.py" "$data/goldens" "$work/goldens" || status=1
"$PY" "$data/goldens/gen/compare.py" "$data/tiny" "$work/tiny" || status=1
if [ "${1:-}" = --write ]; then
  for f in tokenizer.json chat_template.json logits.json long.safetensors train.json train_tensors.safetensors; do cp "$work/goldens/$f" "$data/goldens/$f"; done
  cp -r "$work/tiny/." "$data/tiny/"
  echo "written; read the difference with git diff --stat"
fi
exit $status
