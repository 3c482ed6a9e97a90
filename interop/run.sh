#!/usr/bin/env bash
# dlm against the field's own tools: PEFT folders both ways, token ids and chat templates, the Hub's client. Prints a line a
# check; exit code 0 when all hold, 1 when one does not, 2 when something needed is missing. Needs Python (see python.sh).
#   usage: interop/run.sh [tiny]      tiny: without the real base
set -uo pipefail
. "$(dirname "$0")/python.sh"
here=$root/interop
tiny=$root/engine/testdata/tiny
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DLM

bases=(tiny-llama "$tiny/llama-tied" "$tiny/llama-tied" tiny-llama3 "$tiny/llama3-untied" "$tiny/llama3-untied" tiny-qwen2 "$tiny/qwen2" "$tiny/qwen2" tiny-qwen3 "$tiny/qwen3" "$tiny/qwen3")
if [ "${1:-}" != tiny ]; then
  need_model
  bases+=(smollm2-135m "$MODEL" "$HF")
fi
"$PY" -c 'from importlib.metadata import version as v; print(", ".join(f"{p} {v(p)}" for p in ("torch", "transformers", "peft", "tokenizers")))'
head -32 "$root/projects/claims-desk/data/train.jsonl" > "$work/train.jsonl"
status=0
run() { echo "== $1"; shift; "$@" || status=1; }
run "tokenizers and templates" "$PY" "$here/check_tokenizer.py" "${bases[@]}"
run "adapters" "$PY" "$here/check_adapters.py" "$work" "$work/train.jsonl" "${bases[@]}"
head -12 "$root/projects/claims-desk/data/quick-golden.jsonl" > "$work/golden.jsonl"
run "exports" "$PY" "$here/check_exports.py" "$work" "$work/train.jsonl" "$work/golden.jsonl" "${bases[@]}"
if "$PY" -c 'import huggingface_hub' 2>/dev/null; then
  run "the Hub's own client" env -u HF_HUB_OFFLINE DLM_INTEROP=1 DLM_PYTHON="$PY" "${GO:-go}" test -C "$root" -count=1 -v -run 'HuggingFaceClient|KilledPush' ./driver/hub ./cmd/dlm
fi
if "$PY" -c 'import trl' 2>/dev/null; then
  run "every method with TRL" env DLM_INTEROP=1 DLM_PYTHON="$PY" "${GO:-go}" test -C "$root" -count=1 -v -timeout 30m -run 'MethodsWithTRL|TRLFailures|KilledTRL|^TestTrainer$' ./cmd/dlm ./interop/trl
fi
if [ "${1:-}" != tiny ] && [ -n "${DLM_VLLM_PYTHON:-${VLLM_PYTHON:-}}" ]; then
  run "vLLM" env DLM_INTEROP=1 DLM_PYTHON="$PY" DLM_VLLM_PYTHON="${DLM_VLLM_PYTHON:-$VLLM_PYTHON}" DLM_TEST_MODEL="$MODEL" \
    VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-1}" "${GO:-go}" test -C "$root" -count=1 -v -timeout 60m ./interop/vllm
fi
if [ "${1:-}" != tiny ]; then
  export HF
  fresh() { rm -rf "$work/$1"; mkdir "$work/$1"; echo "$work/$1"; }
  if "$PY" -c 'import openai' 2>/dev/null; then
    run "the gateway and OpenAI's client for Python" "$PY" "$here/serve_openai.py" "$(fresh openai)" "$MODEL"
  fi
  if [ -z "${DLM_NO_GO_CLIENT:-}" ]; then
    run "the gateway and OpenAI's client for Go" "$PY" "$here/serve_go.py" "$(fresh go)" "$MODEL"
  fi
  if "$PY" -c 'import lm_eval' 2>/dev/null; then
    run "the gateway and lm-evaluation-harness" "$PY" "$here/serve_lm_eval.py" "$(fresh lm-eval)" "$MODEL"
  fi
  run "llama.cpp and Ollama" env DLM_INTEROP=1 DLM_TEST_MODEL="$MODEL" "${GO:-go}" test -C "$root" -count=1 -v -timeout 60m ./interop/peers
fi
if "$PY" -c 'import trl' 2>/dev/null; then # over an sshd of its own, on Ray where DLM_RAY names the command, two processes
  run "where training runs" env DLM_INTEROP=1 DLM_PYTHON="$PY" DLM_BIN="$DLM" "${GO:-go}" test -C "$root" -count=1 -v -timeout 60m ./interop/places
fi
[ $status = 0 ] && echo "all interop checks hold" || echo "some interop checks failed"
exit $status
