"""Calls the dlm binary (path in $DLM) and reads its JSON; keeps the score of the checks."""
import json
import os
import subprocess
import sys

FAILED = []


class DlmError(Exception):
    """dlm exited with an error; the text is what it wrote to standard error."""


def dlm(*args):
    """Runs dlm with --json and returns the object it prints."""
    p = subprocess.run([os.environ["DLM"], *map(str, args), "--json"], capture_output=True, text=True)
    if p.returncode:
        raise DlmError(f"dlm {' '.join(map(str, args))[:300]}: exit {p.returncode}: {p.stderr.strip()[-1000:]}")
    return json.loads(p.stdout)


def logprobs(base, completion, raw=None, messages=None, adapter=None, end_of_turn=False, precision="f32", tmp="/tmp"):
    """[(id, log-probability)] of each token of completion."""
    args = ["logprobs", "--base", base, "--precision", precision, "--completion", completion]
    if raw is not None:
        args += ["--raw", raw]
    else:
        path = os.path.join(tmp, "messages.json")
        with open(path, "w") as f:
            json.dump({"messages": messages}, f)
        args += ["--messages", path]
    args += ["--adapter", adapter] if adapter else []
    args += ["--end-of-turn"] if end_of_turn else []
    return [(t["id"], t["logprob"]) for t in dlm(*args)["tokens"]]


def check(name, ok, detail=""):
    print(f"{'ok  ' if ok else 'FAIL'}  {name}{': ' + str(detail) if detail else ''}", flush=True)
    if not ok:
        FAILED.append(name)


def done():
    sys.exit(f"{len(FAILED)} checks failed: {'; '.join(FAILED)}" if FAILED else 0)
