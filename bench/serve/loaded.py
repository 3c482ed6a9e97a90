#!/usr/bin/env python3
"""A server of OpenAI's API under `dlm bench serve`, one load for every engine: starts it, waits until it is ready, puts load on it, stops it.

usage: loaded.py --kind dlm PROGRAM MODEL.gguf | --kind llama PROGRAM MODEL.gguf | --kind vllm PYTHON HF_DIR    then
       --dlm DLM --loads 8:0 8:4 32:64 [--adapters A ...] [--prompt 32] [--tokens 96] [--seconds 12] [--ramp 3] [--seed 1] [--threads N]

A load C:A keeps C requests under way over the first A of the adapters in turn, without adapters where A is 0. Adapters are bound folders
(dlm), GGUF files (llama) or PEFT folders (vllm). Requests are greedy, of random token ids, stream, and do not stop before their last
token; no two have a prompt in common. whole_tokens_per_second counts the completion tokens that came between the ramp and the end of the sending, over
that time: prompts, HTTP and the client's own work cost all engines alike. Prints one JSON object a load; memory is that of the server with
its children.
"""
import argparse
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "decode"))
import served
from measured import TreeMemory, emit, threads


class DLM:
    def __init__(self, a, n, port):
        self.env = None
        self.command = [a.program, "serve", "--threads", str(n), "--addr", f"127.0.0.1:{port}", "--base", a.model, "--base-name", "base",
                        "--max-sequences", str(a.parallel), "--adapter-memory", "2GiB", "--cache", "1GiB", "--log", "none"]
        for i, path in enumerate(a.adapters):
            self.command += ["--lora", f"a{i}={path}"]


KINDS = {"dlm": DLM, "llama": served.Llama, "vllm": served.VLLM}


def load(a, port, clients, adapters, seed):
    """What dlm bench serve reports of one load."""
    names = [f"a{i}" for i in range(adapters)] or ["base"]
    command = [a.dlm, "bench", "serve", "--url", f"http://127.0.0.1:{port}", "--models", ",".join(names), "--in-turn", "--concurrency", str(clients),
               "--duration", f"{a.seconds}s", "--ramp", f"{a.ramp}s", "--prompt-tokens", str(a.prompt), "--vocab", str(a.vocab), "--max-tokens", str(a.tokens),
               "--ignore-eos", "--seed", str(seed), "--strict", "--json"]
    if a.kind == "llama":  # the adapters' scales are part of a request; its prompt cache would keep nothing that comes again
        for i, name in enumerate(names if adapters else []):
            scales = [{"id": j, "scale": float(i == j)} for j in range(len(a.adapters))]
            command += ["--body", name + "=" + json.dumps({"lora": scales})]
        command += ["--body", json.dumps({"cache_prompt": False})]
    r = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    report = json.loads(r.stdout or "{}")
    if r.returncode:
        sys.exit(f"dlm bench serve ended with exit code {r.returncode}: {report.get('errors') or report.get('error')}")
    return report


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--kind", choices=KINDS, required=True)
    ap.add_argument("program")
    ap.add_argument("model")
    ap.add_argument("--dlm", required=True)
    for name, default in (("prompt", 32), ("tokens", 96), ("seconds", 12), ("ramp", 3), ("seed", 1), ("threads", 0), ("ready", 180), ("vocab", 49152)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--loads", nargs="+", required=True)
    ap.add_argument("--adapters", nargs="*", default=[])
    argv = sys.argv[1:]
    cut = argv.index("--") if "--" in argv else len(argv)
    a, more = ap.parse_args(argv[:cut]), argv[cut + 1:]
    loads = [tuple(map(int, x.split(":"))) for x in a.loads]
    a.parallel = max(c for c, _ in loads)
    n, port = threads(a.threads), served.free_port()
    engine = KINDS[a.kind](a, n, port)
    server = subprocess.Popen(engine.command + more, stdout=sys.stderr, stderr=sys.stderr, env=engine.env, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ended by a limit, the server must not outlive this process
    try:
        with TreeMemory(server.pid) as memory:
            served.wait_ready(server, port, a.ready, "/readyz" if a.kind == "dlm" else "/health")
            for i, (clients, adapters) in enumerate(loads):
                r = load(a, port, clients, adapters, a.seed * 1000 + i)
                emit(work=f"serve {clients}" + (f", {adapters} adapters" if adapters else ""), whole_tokens_per_second=r["output_tokens_per_second"],
                     requests=r["requests"], ttft_ms=r["ttft_ms"], itl_ms=r["itl_ms"], peak_rss_bytes=max(memory.peak, memory.now()), threads=n)
    finally:
        served.stop(server)


if __name__ == "__main__":
    main()
