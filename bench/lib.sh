# Sourced by bench/*/run.sh: where the peers are, one engine at a time, results and tables in one form. Beside what
# interop/python.sh reads:
#   LLAMA_BIN      folder with llama-bench, llama-batched-bench, llama-server (bench/README.md says how to build them)
#   VLLM_PYTHON    Python that has vLLM, an environment of its own
#   ROUNDS=2       rounds in which all engines take their turn
#   THREADS        of every engine (default: what this process may use)
#   ENGINES="dlm llama.cpp transformers peft trl vllm"     run these only; the others are reported as not run
#   LIMIT=600      seconds that one measurement may take
# Results: OUT/PART.jsonl, one object a measurement; OUT/PART.md, the tables; OUT/PART.log, what the engines wrote to stderr.
peers_optional=1
. "$(dirname "${BASH_SOURCE[0]}")/../interop/python.sh"
bench=$root/bench
ROUNDS=${ROUNDS:-2} LIMIT=${LIMIT:-600} ENGINES=${ENGINES:-dlm llama.cpp transformers peft trl vllm}
THREADS=${THREADS:-$(env -u OMP_NUM_THREADS nproc)}
export OMP_NUM_THREADS=$THREADS

begin() { # PART [OUT_DIR]
  part=$1 out=${2:-$root/bench/out}
  mkdir -p "$out" "$cache"
  out=$(cd "$out" && pwd) results=$out/$part.jsonl log=$out/$part.log
  exec 8> "$cache/bench.lock"
  flock -n 8 || die "another benchmark is running on this machine (it holds $cache/bench.lock); wait for it"
  : > "$results"
  : > "$log"
  [ -n "${DLM_BIN:-}" ] || make -s -C "$root" build >> "$log" 2>&1 || die "make build failed; see $log" # never an older binary under this commit's name
  [ -f "$MODEL" ] || die "no GGUF of SmolLM2 found: run \`dlm pull smollm2-135m-instruct\` or set DLM_MODEL."
  has_python_peers && need_model >> "$log" 2>&1
  return 0
}

# missing ENGINE prints why an engine cannot run; nothing when it can.
missing() {
  case " $ENGINES " in *" $1 "*) ;; *) echo "left out by ENGINES"; return ;; esac
  case $1 in
    dlm) ;;
    llama.cpp) [ -x "${LLAMA_BIN:-}/llama-bench" ] || echo "llama-bench not found: set LLAMA_BIN" ;;
    vllm) [ -n "${VLLM_PYTHON:-}" ] && "$VLLM_PYTHON" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("vllm") is None)' || echo "vLLM not found: set VLLM_PYTHON" ;;
    trl) "$PY" -c 'import trl, datasets' 2>/dev/null || echo "$PY has no trl and datasets" ;;
    *) has_python_peers || echo "$PY lacks the peers of interop/requirements.txt" ;;
  esac
}

# measure ENGINE KIND WORK SETTING COMMAND...: runs the command in its turn and notes its figures, or why there are none.
# KIND says what the command prints: see bench/record.py.
measure() {
  local engine=$1 kind=$2 work=$3 setting=$4 reason
  shift 4
  reason=$(missing "$engine")
  echo "round ${round:-1}/$ROUNDS: $work: $engine $setting${reason:+: not run, $reason}" >&2
  "$py" "$bench/record.py" --results "$results" --log "$log" --round "${round:-1}" --limit "$LIMIT" --engine "$engine" --kind "$kind" --work "$work" --setting "$setting" \
    --not-run "$reason" -- "$@"
}
py=$(command -v python3 || echo "$PY") # tables need the standard library only

finish() { # CAPTION...: the tables
  {
    printf '%s, %s, %s threads, commit %s, `ROUNDS=%s bench/%s/run.sh`' "$(date -u +%F)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$THREADS" \
      "$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)" "$ROUNDS" "$part"
    [ -z "${settings:-}" ] || printf ', %s' "$settings"
    printf '\n'
    "$py" "$bench/versions.py" "$results"
    printf '\n'
    [ $# = 0 ] || printf '%s\n\n' "$*"
    "$py" "$bench/table.py" "$bench/goals.json" "$results"
  } | tee "$out/$part.md"
}
