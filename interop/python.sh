# Sourced by the scripts of bench/ and interop/: sets PY to a Python that has the peers, DLM to the built binary and HF to a
# Hugging Face copy of the base, or says what is missing and exits 2.
#   DLM_PYTHON   Python to use (default: ~/.cache/dlm/peers/bin/python, else python3)
#   DLM_BIN      dlm binary (default: bin/dlm)
#   DLM_MODEL    GGUF of SmolLM2-135M-Instruct (default: where `dlm pull` puts it, or DLM_TEST_MODEL)
#   DLM_HF       folder for its dequantised Hugging Face copy (default: ~/.cache/dlm/peers-hf)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dlm
DLM=${DLM_BIN:-$root/bin/dlm}
PY=${DLM_PYTHON:-}
[ -n "$PY" ] || { [ -x "$cache/peers/bin/python" ] && PY=$cache/peers/bin/python || PY=python3; }
HF=${DLM_HF:-$cache/peers-hf}
MODEL=${DLM_MODEL:-${DLM_TEST_MODEL:-}}
[ -n "$MODEL" ] || MODEL=$(find "${DLM_CACHE:-$cache/models}" -iname '*smollm2*.gguf' 2>/dev/null | head -1)
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false HF_HUB_DISABLE_PROGRESS_BARS=1 TRANSFORMERS_VERBOSITY=error PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore::FutureWarning

die() { echo "$*" >&2; exit 2; }
has_python_peers() { "$PY" -c 'import torch, transformers, peft, tokenizers, safetensors, gguf, numpy, scipy' 2>/dev/null; }
# A script that reports absent peers by itself sets peers_optional.
[ -n "${peers_optional:-}" ] || has_python_peers ||
  die "$PY lacks the peers. Make them once (about 2 GB):
  python3 -m venv $cache/peers && $cache/peers/bin/pip install -r $root/interop/requirements.txt
or name another Python in DLM_PYTHON."
[ -x "$DLM" ] || die "$DLM is missing: run make build first, or set DLM_BIN."

need_model() { # the real base and its Hugging Face copy
  [ -f "$MODEL" ] || die "no GGUF of SmolLM2 found: run \`dlm pull smollm2-135m-instruct\` or set DLM_MODEL."
  "$PY" "$root/interop/gguf_to_hf.py" "$MODEL" "$HF" || exit 1
}
