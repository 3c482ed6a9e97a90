#!/usr/bin/env python3
"""llama-server under parallel clients on 127.0.0.1: starts it, waits until it is ready, measures, stops it.

usage: llama_server.py LLAMA_SERVER MODEL.gguf [--parallel 8] [--clients 1 8] [--prompt 32] [--tokens 96] [--reps 3] [--threads N]
       [--adapters A.gguf ...] [--ready 60] [-- SERVER ARGUMENTS]

Prompts are token ids; greedy, no stop, no prompt cache. With --adapters request i asks for adapter i modulo their number and for no
other. whole_tokens_per_second is what all clients got over the time from the first request to the last answer, prompts
and HTTP included. tokens_per_second is the server's own figure for a request's decoding, times the number of clients; with adapters
it is left out, since the server then computes requests in turns and its figure hides the waiting. Prints one JSON object for each
number of clients; memory is that of the server.
"""
import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from measured import emit, prompt, threads


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


def wait_ready(server, port, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            sys.exit(f"llama-server ended with exit code {server.returncode} before it was ready")
        try:
            if call(port, "GET", "/health", timeout=2)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"llama-server was not ready after {seconds} seconds")


def ask(port, a, i, vocab):
    body = {"prompt": prompt(i, a.prompt, vocab), "n_predict": a.tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    if a.adapters:
        body["lora"] = [{"id": j, "scale": float(j == i % len(a.adapters))} for j in range(len(a.adapters))]
    status, text = call(port, "POST", "/completion", body)
    if status != 200:
        sys.exit(f"llama-server answered {status}: {text[:200]!r}")
    r = json.loads(text)
    if r["tokens_predicted"] != a.tokens:
        sys.exit(f"a completion has {r['tokens_predicted']} tokens, expected {a.tokens}")
    return r["timings"]["predicted_per_second"]


def together(port, a, clients, first, vocab):
    """Seconds from the first request to the last answer, and the server's own decode speed of a request."""
    own, failed = [None] * clients, []

    def one(i):
        try:
            own[i] = ask(port, a, first + i, vocab)
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
    return seconds, statistics.mean(own)


def peak(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("server")
    ap.add_argument("model")
    for name, default in (("parallel", 8), ("prompt", 32), ("tokens", 96), ("reps", 3), ("threads", 0), ("ready", 60), ("vocab", 49152)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--clients", type=int, nargs="+", default=[8])
    ap.add_argument("--adapters", nargs="*", default=[])
    argv = sys.argv[1:]
    cut = argv.index("--") if "--" in argv else len(argv)
    a, more = ap.parse_args(argv[:cut]), argv[cut + 1:]
    n, port = str(threads(a.threads)), free_port()
    command = [a.server, "-m", a.model, "-t", n, "--threads-batch", n, "-np", str(a.parallel), "-c", str(a.parallel * (a.prompt + a.tokens + 64)),
               "--host", "127.0.0.1", "--port", str(port), "--no-webui", *more]
    if a.adapters:
        command += ["--lora", ",".join(a.adapters), "--lora-init-without-apply"]
    server = subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr)
    try:
        wait_ready(server, port, a.ready)
        ask(port, a, 0, a.vocab)
        for clients in a.clients:
            each = [together(port, a, clients, rep * clients, a.vocab) for rep in range(a.reps)]
            whole = [clients * a.tokens / seconds for seconds, _ in each]
            work = f"decode {clients}" + (f", {len(a.adapters)} adapters" if a.adapters else "")
            decode = {} if a.adapters else {"tokens_per_second": clients * statistics.median(own for _, own in each)}
            emit(work=work, whole_tokens_per_second=statistics.median(whole), whole_runs=[round(w, 1) for w in whole], **decode,
                 peak_rss_bytes=peak(server.pid), threads=int(n))
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    main()
