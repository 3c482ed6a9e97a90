#!/usr/bin/env python3
"""Runs one measurement and appends its figures to a file of JSON lines. A measurement that fails is a line too.

usage: record.py --results FILE --log FILE --engine E --work W --setting S --kind KIND [--round N] [--limit SECONDS] [--not-run WHY] -- COMMAND...

KIND says what COMMAND prints:
  lines          objects in the common form, one a line (bench/*.py print them)
  dlm            one object of `dlm bench ...`
  dlm-sft        one object of `dlm train sft`; whole_tokens_per_second counts the command
  llama-bench    `llama-bench -o jsonl`
  batched-bench  `llama-batched-bench --output-format jsonl`

W may name several works with ; between them: the objects that COMMAND prints then say which, and a failure stands under each.

The common form: work, engine, setting, round; tokens_per_second; whole_tokens_per_second where prompts (or loading) are counted apart;
peak_rss_bytes; versions. Or not_run, or failed, with the reason. The peak resident set is the kernel's for the process, unless
the command reports one itself.
"""
import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time


def run(command, limit, log):
    """Output, exit code, peak resident set in bytes and seconds of a command that is ended after limit seconds."""
    with tempfile.TemporaryFile() as stdout, open(log, "ab") as stderr:
        stderr.write(("== " + " ".join(command) + "\n").encode())
        stderr.flush()
        start = time.perf_counter()
        p = subprocess.Popen(command, stdout=stdout, stderr=stderr, start_new_session=True)
        asked = []

        def end(*_):  # first ask, so that a script can stop the server that it started
            os.killpg(p.pid, signal.SIGKILL if asked else signal.SIGTERM)
            asked.append(True)
            signal.alarm(20)

        signal.signal(signal.SIGALRM, end)
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the command has a session of its own and would go on
            signal.signal(s, end)
        signal.alarm(limit)
        _, status, usage = os.wait4(p.pid, 0)
        signal.alarm(0)
        seconds = time.perf_counter() - start
        stdout.seek(0)
        return stdout.read().decode(errors="replace"), "too long" if asked else os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024, seconds


def objects(text):
    for line in text.splitlines():
        if line.startswith('{"'):  # TRL prints dictionaries as well
            yield json.loads(line)


def from_dlm(text):
    r = json.loads(text)
    keep = ("tokens_per_second", "whole_tokens_per_second", "runs", "whole_runs", "token_ms", "first_token_ms", "peak_rss_bytes", "kernels", "threads", "step_seconds")
    yield {k: r[k] for k in keep if k in r}


def from_dlm_sft(text):
    r = json.loads(text)["metrics"]
    yield {"tokens_per_second": r["tokens_per_second"], "tokens": r["tokens"], "steps": r["step"], "train_seconds": r["seconds"], "losses": [r["loss"]]}


def from_llama_bench(text):
    for r in objects(text):
        yield {"tokens_per_second": r["avg_ts"], "runs": r["samples_ts"], "threads": r["n_threads"], "build": f"{r['build_number']} ({r['build_commit']})"}


def from_batched_bench(text):
    for r in objects(text):
        yield {"tokens_per_second": r["speed_tg"], "whole_tokens_per_second": r["pl"] * r["tg"] / (r["t_pp"] + r["t_tg"]), "threads": r["n_threads"]}


KINDS = {"lines": objects, "dlm": from_dlm, "dlm-sft": from_dlm_sft, "llama-bench": from_llama_bench, "batched-bench": from_batched_bench}


def last_line(log):
    with open(log, errors="replace") as f:
        lines = [l.strip() for l in f if l.strip()]
    return lines[-1][:300] if lines else ""


def die_with_parent():
    """SIGTERM when the script that started this one is gone, so that no engine is left behind (Linux only)."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except (AttributeError, OSError):
        pass


def main():
    die_with_parent()
    ap = argparse.ArgumentParser()
    for name in ("results", "log", "engine", "work", "setting"):
        ap.add_argument("--" + name, required=True)
    ap.add_argument("--kind", choices=KINDS, required=True)
    ap.add_argument("--round", type=int, default=1)
    ap.add_argument("--limit", type=int, default=600)
    ap.add_argument("--not-run", default="")
    ap.add_argument("command", nargs="+")
    a = ap.parse_args()
    works = a.work.split(";")
    common = {"work": works[0], "engine": a.engine, "setting": a.setting, "round": a.round}
    if a.not_run:
        found = [{"work": w, "not_run": a.not_run} for w in works]
    else:
        text, code, rss, seconds = run(a.command, a.limit, a.log)
        try:
            found = [] if code else list(KINDS[a.kind](text))
        except (KeyError, ValueError) as e:
            found, code = [], f"0, but its output could not be read ({e!r})"
        if found:
            if a.kind == "dlm-sft":
                found[0]["whole_tokens_per_second"] = found[0]["tokens"] / seconds
            found = [{"peak_rss_bytes": rss, "command_seconds": round(seconds, 2), **f, "engine": a.engine, "setting": a.setting} for f in found]
        else:
            why = f"cut off after {seconds:.0f} s" if code == "too long" else f"exit code {code}: {last_line(a.log)}"
            found = [{"work": w, "failed": why} for w in works]
            print(f"{a.engine} {a.setting} failed: {why}; see {a.log}", file=sys.stderr)
    with open(a.results, "a") as f:
        for r in found:
            f.write(json.dumps({**common, **r}) + "\n")


if __name__ == "__main__":
    main()
