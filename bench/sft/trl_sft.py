#!/usr/bin/env python3
"""TRL's SFTTrainer with LoRA on the CPU, one epoch over rows with prompt and completion, loss on completions. Prints one JSON object.

usage: trl_sft.py HF_DIR ROWS.jsonl --dtype f32|autocast|bf16|bf16-all [--batch 8] [--rank 16] [--lr 2e-4] [--packing] [--padding-free] [--grouped]
       [--compile] [--max-length 512] [--threads N]

f32 is TRL's default; autocast keeps f32 weights and multiplies in bf16 (bf16=True); bf16 loads the base in bf16; bf16-all makes the
adapter bf16 as well. --grouped puts rows of like length into a batch, which leaves less padding. With --packing a batch is one row of
up to --max-length tokens. --compile compiles anew for lengths that it has not seen and is slower here for it. Rows are
conversations in TRL's own shape (prompt, completion).

tokens_per_second counts real tokens, no padding, over trainer.train(); whole_tokens_per_second over the process, imports and loading
included.
"""
import time

started = time.perf_counter()
import argparse
import json
import os
import sys
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from measured import emit, peak_rss, threads, versions

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("hf")
    ap.add_argument("rows")
    ap.add_argument("--dtype", choices=["f32", "autocast", "bf16", "bf16-all"], default="f32")
    for name, default in (("batch", 8), ("rank", 16), ("max-length", 512), ("threads", 0)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--lr", type=float, default=2e-4)
    for name in ("packing", "padding-free", "grouped", "compile"):
        ap.add_argument("--" + name, action="store_true")
    a = ap.parse_args()
    torch.set_num_threads(threads(a.threads))
    with open(a.rows) as f:
        rows = [json.loads(line) for line in f]
    tok = AutoTokenizer.from_pretrained(a.hf)
    base = AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.bfloat16 if a.dtype.startswith("bf16") else torch.float32)
    lora = LoraConfig(r=a.rank, lora_alpha=2 * a.rank, task_type="CAUSAL_LM", target_modules=MODULES)
    if a.dtype == "bf16-all":
        base, lora = get_peft_model(base, lora, autocast_adapter_dtype=False), None
    with tempfile.TemporaryDirectory() as out:
        more = {"train_sampling_strategy": "group_by_length"} if a.grouped else {}
        c = SFTConfig(output_dir=out, per_device_train_batch_size=1 if a.packing else a.batch, num_train_epochs=1, learning_rate=a.lr, max_length=None if a.padding_free else a.max_length,
                      packing=a.packing, padding_free=a.padding_free, bf16=a.dtype == "autocast", torch_compile=a.compile, completion_only_loss=True,
                      gradient_checkpointing=False, logging_steps=1, report_to=[], save_strategy="no", use_cpu=True, dataloader_num_workers=0, disable_tqdm=True,
                      seed=1, **more)
        t = SFTTrainer(model=base, args=c, train_dataset=Dataset.from_list(rows), processing_class=tok, peft_config=lora)
        tokens = sum(len(r["input_ids"]) for r in t.train_dataset)
        start = time.perf_counter()
        result = t.train()
        seconds = time.perf_counter() - start
    logged = [l["loss"] for l in t.state.log_history if "loss" in l]
    print(file=sys.stderr)
    emit(work="sft", tokens_per_second=tokens / seconds, whole_tokens_per_second=tokens / (time.perf_counter() - started), tokens=tokens, steps=result.global_step,
         train_seconds=round(seconds, 2), losses=[round(l, 4) for l in logged], peak_rss_bytes=peak_rss(), threads=torch.get_num_threads(),
         versions=versions("torch", "transformers", "peft", "trl"))


if __name__ == "__main__":
    main()
