#!/usr/bin/env python3
"""Prefill speed of transformers on the CPU: the forward pass over whole prompts, cache kept, logits of the last position only.

usage: transformers_prefill.py HF_DIR --shapes 1x512 1x128 8x128 [--dtype f32|bf16] [--threads N] [--reps 5] [--compile]

Prints one JSON object a shape: median of --reps calls after one that is not counted (two with --compile, which compiles there).
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
    ap.add_argument("--shapes", nargs="+", default=["1x512"])
    ap.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
    ap.add_argument("--threads", type=int, default=0)
    ap.add_argument("--reps", type=int, default=5)
    ap.add_argument("--compile", action="store_true")
    a = ap.parse_args()
    torch.set_num_threads(threads(a.threads))
    m = AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.bfloat16 if a.dtype == "bf16" else torch.float32, attn_implementation="sdpa").eval()
    f = torch.compile(m, dynamic=False) if a.compile else m
    for shape in a.shapes:
        b, t = map(int, shape.split("x"))
        ids = torch.tensor([prompt(i, t, m.config.vocab_size) for i in range(b)])
        seconds = []
        with torch.inference_mode():
            for rep in range(a.reps + (2 if a.compile else 1)):
                start = time.perf_counter()
                f(input_ids=ids, use_cache=True, logits_to_keep=1)
                seconds.append(time.perf_counter() - start)
        each = seconds[-a.reps:]
        emit(work=f"prefill {b} x {t}", tokens_per_second=b * t / statistics.median(each),
             fastest=b * t / min(each), seconds=[round(s, 4) for s in each], peak_rss_bytes=peak_rss(), threads=torch.get_num_threads(), versions=versions("torch", "transformers"))


if __name__ == "__main__":
    main()
