#!/usr/bin/env python3
"""Speed of a LoRA training step in PyTorch + transformers + PEFT on the CPU. Prints one JSON object.

usage: peft_step.py HF_DIR [--dtype f32|bf16] [--batch 4] [--seq 512] [--rank 16] [--steps 3] [--warmup 1] [--threads N] [--compile]

A step is forward, backward and AdamW on random tokens: LoRA on all seven projections, loss on every token. Weights and adapter
are in the given precision; the multiplies of bf16 run on the CPU's bf16 units where it has them. --compile puts torch.compile
around the model; it compiles in the warm-up, and then takes one more step that is not counted.
"""
import argparse
import os
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from measured import emit, peak_rss, threads, versions

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("hf")
    ap.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    for name, default in (("batch", 4), ("seq", 512), ("rank", 16), ("steps", 3), ("warmup", 1), ("threads", 0)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--compile", action="store_true")
    a = ap.parse_args()
    torch.set_num_threads(threads(a.threads))
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.bfloat16 if a.dtype == "bf16" else torch.float32, attn_implementation="sdpa")
    base.config.use_cache = False
    m = get_peft_model(base, LoraConfig(r=a.rank, lora_alpha=2 * a.rank, task_type="CAUSAL_LM", target_modules=MODULES), autocast_adapter_dtype=a.dtype != "bf16").train()
    opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=2e-4)
    f = torch.compile(m) if a.compile else m
    ids = torch.randint(0, base.config.vocab_size, (a.batch, a.seq))
    seconds = []
    for _ in range(a.warmup + a.steps + a.compile):
        t = time.perf_counter()
        loss = f(input_ids=ids, labels=ids).loss
        loss.backward()
        opt.step()
        opt.zero_grad()
        seconds.append(time.perf_counter() - t)
    step = statistics.median(seconds[-a.steps:])
    emit(tokens_per_second=a.batch * a.seq / step, peak_rss_bytes=peak_rss(), loss=loss.item(), steps=[round(s, 4) for s in seconds], threads=torch.get_num_threads(),
         versions=versions("torch", "transformers", "peft"))


if __name__ == "__main__":
    main()
