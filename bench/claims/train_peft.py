#!/usr/bin/env python3
"""The claims desk's recipe in PyTorch + PEFT: same rows, same order, same hyper-parameters as a dlm run. Only the trainer differs.

usage: train_peft.py HF_DIR ORDER.jsonl OUT_ADAPTER [--batch-size 16] [--rank 16] [--alpha 32] [--lr 1e-3] [--schedule cosine]
       [--warmup 5] [--weight-decay 0] [--clip-norm 1] [--seed 1] [--dtype f32|bf16|autocast] [--micro-batch 16] [--init ADAPTER] [--threads N]

ORDER.jsonl is what the run saw, in the order in which it saw it, one example a line (all epochs, one after the other):
    {"step": 0, "id": "t-1", "ids": [1, 2, ...], "mask": [0, 1, ...]}      mask 1 = the token counts in the loss
Lines of one "step" are one step; without that field, --batch-size lines after one another are. The loss of a step is the sum over its counted tokens
divided by their number, whatever --micro-batch. The learning rates are those of transformers.get_scheduler (f32 weights by
default; bf16 keeps weights and adapter in bf16, autocast only multiplies in bf16). --init starts from an adapter folder (for
example dlm's own start, with B zero); without it PEFT draws A itself from --seed. Prints one JSON object.
"""
import argparse
import json
import os
import resource
import sys
import time
from importlib.metadata import version

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, get_scheduler

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def arguments():
    ap = argparse.ArgumentParser()
    for name in ("hf", "order", "out"):
        ap.add_argument(name)
    for name, default in (("batch-size", 16), ("rank", 16), ("warmup", 5), ("seed", 1), ("micro-batch", 16), ("threads", 0)):
        ap.add_argument("--" + name, type=int, default=default)
    for name, default in (("alpha", 32.0), ("lr", 1e-3), ("weight-decay", 0.0), ("clip-norm", 1.0)):
        ap.add_argument("--" + name, type=float, default=default)
    ap.add_argument("--schedule", choices=["cosine", "linear", "constant"], default="cosine")
    ap.add_argument("--dtype", choices=["f32", "bf16", "autocast"], default="f32")
    ap.add_argument("--init")
    return ap.parse_args()


def batches(path, size):
    """The steps' examples: lists of (ids, mask)."""
    steps = {}
    with open(path) as f:
        for n, line in enumerate(f, 1):
            r = json.loads(line)
            if len(r["ids"]) != len(r["mask"]) or not any(r["mask"][1:]) or r["mask"][0]:
                sys.exit(f"{path}:{n}: needs as many mask values as ids, one of them 1, and not the first")
            steps.setdefault(r.get("step", (n - 1) // size), []).append((r["ids"], r["mask"]))
    return [steps[s] for s in sorted(steps)]


def padded(rows, pad):
    width = max(len(ids) for ids, _ in rows)
    x = torch.full((len(rows), width), pad)
    y = torch.full((len(rows), width), -100)
    seen = torch.zeros((len(rows), width), dtype=torch.long)
    for i, (ids, mask) in enumerate(rows):
        x[i, :len(ids)] = torch.tensor(ids)
        seen[i, :len(ids)] = 1
        y[i, :len(ids)] = torch.where(torch.tensor(mask) == 1, torch.tensor(ids), -100)
    return x, y, seen


def adapter(a, base):
    if a.init:
        return PeftModel.from_pretrained(base, a.init, is_trainable=True, autocast_adapter_dtype=a.dtype != "bf16")
    return get_peft_model(base, LoraConfig(r=a.rank, lora_alpha=a.alpha, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM", target_modules=MODULES),
                          autocast_adapter_dtype=a.dtype != "bf16")


def main():
    a = arguments()
    threads = a.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    torch.manual_seed(a.seed)
    todo = batches(a.order, a.batch_size)
    base = AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.bfloat16 if a.dtype == "bf16" else torch.float32)
    base.config.use_cache = False
    m = adapter(a, base).train()
    params = [p for p in m.parameters() if p.requires_grad]
    steps = len(todo)
    opt = torch.optim.AdamW(params, lr=a.lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=a.weight_decay)
    sched = get_scheduler("constant_with_warmup" if a.schedule == "constant" else a.schedule, opt, num_warmup_steps=a.warmup, num_training_steps=steps)
    t0, tokens, losses = time.perf_counter(), 0, []
    for step, batch in enumerate(todo):
        counted = sum(sum(mask) for _, mask in batch)
        total = 0.0
        for lo in range(0, len(batch), a.micro_batch):
            x, y, seen = padded(batch[lo:lo + a.micro_batch], base.config.pad_token_id)
            with torch.autocast("cpu", torch.bfloat16, enabled=a.dtype == "autocast"):
                logits = m(input_ids=x, attention_mask=seen).logits
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), y[:, 1:].flatten(), ignore_index=-100, reduction="sum") / counted
            loss.backward()
            total += loss.item()
            tokens += int(seen.sum())
        if a.clip_norm:
            torch.nn.utils.clip_grad_norm_(params, a.clip_norm)
        opt.step()
        sched.step()
        opt.zero_grad()
        losses.append(total)
        if step % 10 == 0 or step == steps - 1:
            print(f"step {step + 1}/{steps} loss {total:.4f} {tokens / (time.perf_counter() - t0):.0f} tokens/s", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - t0
    m.save_pretrained(a.out)
    print(json.dumps({"engine": "peft", "precision": a.dtype, "threads": threads, "steps": steps, "tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds,
                      "losses": losses, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                      "versions": {p: version(p) for p in ("torch", "transformers", "peft")}}))


if __name__ == "__main__":
    main()
