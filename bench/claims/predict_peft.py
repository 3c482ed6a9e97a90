#!/usr/bin/env python3
"""Greedy answers of base or adapter to a golden set, by transformers + PEFT.

usage: predict_peft.py HF_DIR GOLDEN.jsonl OUT.jsonl [--adapter DIR] [--max-tokens 64] [--batch 20] [--limit N] [--dtype f32|bf16] [--threads N]

Writes one {"item_id", "completion", "tokens", "finish"} a line and prints one JSON object.
"""
import argparse
import json
import os
import time

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    ap = argparse.ArgumentParser()
    for name in ("hf", "golden", "out"):
        ap.add_argument(name)
    ap.add_argument("--adapter")
    for name, default in (("max-tokens", 64), ("batch", 20), ("limit", 0), ("threads", 0)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    a = ap.parse_args()
    torch.set_num_threads(a.threads or len(os.sched_getaffinity(0)))
    with open(a.golden) as f:
        items = [json.loads(line) for line in f][:a.limit or None]
    tok = AutoTokenizer.from_pretrained(a.hf, padding_side="left")
    m = AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.bfloat16 if a.dtype == "bf16" else torch.float32)
    if a.adapter:
        m = PeftModel.from_pretrained(m, a.adapter, autocast_adapter_dtype=a.dtype != "bf16")
    m.eval()
    texts = [tok.apply_chat_template(i["messages"], tokenize=False, add_generation_prompt=True) for i in items]
    by_length = sorted(range(len(items)), key=lambda i: len(texts[i]))
    answers, t0 = {}, time.perf_counter()
    for lo in range(0, len(items), a.batch):
        part = by_length[lo:lo + a.batch]
        e = tok([texts[i] for i in part], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            y = m.generate(**e, max_new_tokens=a.max_tokens, do_sample=False, pad_token_id=tok.pad_token_id)[:, e.input_ids.shape[1]:].tolist()
        for i, ids in zip(part, y):
            done = tok.eos_token_id in ids
            ids = ids[:ids.index(tok.eos_token_id)] if done else ids
            answers[i] = {"item_id": items[i]["id"], "completion": tok.decode(ids), "tokens": len(ids), "finish": "stop" if done else "length"}
    seconds = time.perf_counter() - t0
    with open(a.out, "w") as f:
        for i in range(len(items)):
            f.write(json.dumps(answers[i], ensure_ascii=False) + "\n")
    print(json.dumps({"items": len(items), "seconds": seconds, "generated": sum(x["tokens"] for x in answers.values())}))


if __name__ == "__main__":
    main()
