#!/usr/bin/env python3
"""Decode speed of transformers' generate on the CPU, greedy, no stop.

usage: transformers_decode.py HF_DIR --batches 1 8 [--prompt 32] [--tokens 96] [--dtype f32|bf16] [--threads N] [--reps 3]
       [--cache dynamic|static] [--compile]

tokens_per_second counts from the first token of the completion on: a call that makes one token is timed apart and taken off.
whole_tokens_per_second counts the call with its prompt. --cache static --compile is transformers' compiled decode.
Prints one JSON object a batch.
"""
import argparse
import os
import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from measured import emit, peak_rss, prompt, threads, versions


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("hf")
    ap.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    for name, default in (("prompt", 32), ("tokens", 96), ("threads", 0), ("reps", 3)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
    ap.add_argument("--cache", choices=["dynamic", "static"], default="dynamic")
    ap.add_argument("--compile", action="store_true")
    a = ap.parse_args()
    torch.set_num_threads(threads(a.threads))
    m = AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.bfloat16 if a.dtype == "bf16" else torch.float32, attn_implementation="sdpa").eval()
    if a.compile:
        m.forward = torch.compile(m.forward)
    more = {"cache_implementation": "static"} if a.cache == "static" else {}

    def call(ids, n):
        start = time.perf_counter()
        with torch.inference_mode():
            out = m.generate(ids, attention_mask=torch.ones_like(ids), min_new_tokens=n, max_new_tokens=n, do_sample=False, pad_token_id=m.config.pad_token_id, **more)
        assert out.shape[1] == ids.shape[1] + n
        return time.perf_counter() - start

    for batch in a.batches:
        ids = torch.tensor([prompt(i, a.prompt, m.config.vocab_size) for i in range(batch)])
        for n in (1, a.tokens) if a.compile else (1, 4):
            call(ids, n)
        one, whole = [], []
        for _ in range(a.reps):
            one.append(call(ids, 1))
            whole.append(call(ids, a.tokens))
        rest = [w - statistics.median(one) for w in whole]
        emit(work=f"decode {batch}", tokens_per_second=batch * (a.tokens - 1) / statistics.median(rest),
             whole_tokens_per_second=batch * a.tokens / statistics.median(whole), seconds=[round(s, 4) for s in whole], prompt=a.prompt, tokens=a.tokens,
             peak_rss_bytes=peak_rss(), threads=torch.get_num_threads(), versions=versions("torch", "transformers"))


if __name__ == "__main__":
    main()
