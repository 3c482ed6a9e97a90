#!/usr/bin/env python3
"""A server under parallel clients on 127.0.0.1: starts it, waits until it is ready, measures, stops it.

usage: served.py --kind llama PROGRAM MODEL.gguf | --kind vllm PYTHON HF_DIR    then
       [--parallel 8] [--clients 1 8] [--prompt 32] [--tokens 96] [--reps 3] [--threads N] [--adapters A ...] [--ready SECONDS]
       [-- SERVER ARGUMENTS]

PROGRAM is llama-server, PYTHON has vLLM, whose OpenAI server is started. Prompts are token ids; greedy, no stop, no prefix cache. With
--adapters (GGUF files; PEFT folders for vLLM) request i asks for adapter i modulo their number and for no other.
whole_tokens_per_second is what all clients got over the time from the first request to the last answer, prompts and HTTP
included. tokens_per_second is llama-server's own figure for a request's decoding, times the number of clients; with adapters it is
left out, since the server then computes requests in turns and its figure hides the waiting. Prints one JSON object for each
number of clients; memory is that of the server with its children.
"""
import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from measured import TreeMemory, emit, prompt, threads


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def call(port, method, path, body=None, timeout=300):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def wait_ready(server, port, seconds, path="/health"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            sys.exit(f"the server ended with exit code {server.returncode} before it was ready")
        try:
            if call(port, "GET", path, timeout=2)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"the server was not ready after {seconds} seconds")


class Llama:
    """llama-server: the adapters' scales are part of a request."""

    def __init__(self, a, threads, port):
        self.a = a
        self.env, n = None, str(threads)
        self.command = [a.program, "-m", a.model, "-t", n, "--threads-batch", n, "-np", str(a.parallel), "-c", str(a.parallel * (a.prompt + a.tokens + 64)),
                        "--host", "127.0.0.1", "--port", str(port), "--no-webui"]
        if a.adapters:
            self.command += ["--lora", ",".join(a.adapters), "--lora-init-without-apply"]

    def request(self, i, ids):
        body = {"prompt": ids, "n_predict": self.a.tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        if self.a.adapters:
            body["lora"] = [{"id": j, "scale": float(j == i % len(self.a.adapters))} for j in range(len(self.a.adapters))]
        return "/completion", body

    def read(self, r):
        return r["tokens_predicted"], r["timings"]["predicted_per_second"]


class VLLM:
    """vLLM's OpenAI server: an adapter is a model's name."""

    def __init__(self, a, threads, port):
        self.a = a
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))
        self.env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": cores, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
                    "PATH": os.path.dirname(os.path.abspath(a.program)) + os.pathsep + os.environ["PATH"]}
        self.env.pop("OMP_NUM_THREADS", None)
        self.command = [a.program, "-m", "vllm.entrypoints.openai.api_server", "--model", a.model, "--served-model-name", "base", "--dtype", "bfloat16",
                        "--max-model-len", "1024", "--max-num-seqs", str(a.parallel), "--no-enable-prefix-caching", "--host", "127.0.0.1", "--port", str(port)]
        if a.adapters:
            self.command += ["--enable-lora", "--max-loras", str(len(a.adapters)), "--max-lora-rank", "16",
                             "--lora-modules", *(f"a{i}={os.path.abspath(p)}" for i, p in enumerate(a.adapters))]

    def request(self, i, ids):
        model = f"a{i % len(self.a.adapters)}" if self.a.adapters else "base"
        return "/v1/completions", {"model": model, "prompt": ids, "max_tokens": self.a.tokens, "temperature": 0, "ignore_eos": True}

    def read(self, r):
        return r["usage"]["completion_tokens"], None


def ask(port, engine, a, i, vocab):
    """The server's own decode speed of request i, None where it gives none."""
    path, body = engine.request(i, prompt(i, a.prompt, vocab))
    status, text = call(port, "POST", path, body)
    if status != 200:
        raise RuntimeError(f"the server answered {status}: {text[:200]!r}")
    tokens, own = engine.read(json.loads(text))
    if tokens != a.tokens:
        raise RuntimeError(f"a completion has {tokens} tokens, expected {a.tokens}")
    return own


def together(port, engine, a, clients, first, vocab):
    """Seconds from the first request to the last answer, and the server's own decode speed of a request."""
    own, failed = [None] * clients, []

    def one(i):
        try:
            own[i] = ask(port, engine, a, first + i, vocab)
        except BaseException as e:
            failed.append(e)

    todo = [threading.Thread(target=one, args=(i,)) for i in range(clients)]
    start = time.perf_counter()
    for t in todo:
        t.start()
    for t in todo:
        t.join()
    seconds = time.perf_counter() - start
    if failed:
        raise failed[0]
    return seconds, statistics.mean(own) if all(own) else None


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--kind", choices=["llama", "vllm"], required=True)
    ap.add_argument("program")
    ap.add_argument("model")
    for name, default in (("parallel", 8), ("prompt", 32), ("tokens", 96), ("reps", 3), ("threads", 0), ("ready", 120), ("vocab", 49152)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--clients", type=int, nargs="+", default=[8])
    ap.add_argument("--adapters", nargs="*", default=[])
    argv = sys.argv[1:]
    cut = argv.index("--") if "--" in argv else len(argv)
    a, more = ap.parse_args(argv[:cut]), argv[cut + 1:]
    n, port = threads(a.threads), free_port()
    engine = {"llama": Llama, "vllm": VLLM}[a.kind](a, n, port)
    server = subprocess.Popen(engine.command + more, stdout=sys.stderr, stderr=sys.stderr, env=engine.env, start_new_session=True)
    # Ended from outside (by a limit), the server must not outlive this process: SystemExit runs what is below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with TreeMemory(server.pid) as memory:
            wait_ready(server, port, a.ready)
            for i in range(max(1, len(a.adapters))):
                ask(port, engine, a, i, a.vocab)
            for clients in a.clients:
                each = [together(port, engine, a, clients, rep * clients, a.vocab) for rep in range(a.reps)]
                whole = [clients * a.tokens / seconds for seconds, _ in each]
                own = [o for _, o in each if o]
                decode = {"tokens_per_second": clients * statistics.median(own)} if own and not a.adapters else {}
                emit(work=f"decode {clients}" + (f", {len(a.adapters)} adapters" if a.adapters else ""), whole_tokens_per_second=statistics.median(whole),
                     whole_runs=[round(w, 1) for w in whole], **decode, peak_rss_bytes=max(memory.peak, memory.now()), threads=n)
    finally:
        stop(server)


def stop(server):
    """Ends the server and what it started."""
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    main()
