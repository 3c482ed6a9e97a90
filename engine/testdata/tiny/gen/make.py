#!/usr/bin/env python3
"""Makes the tiny checkpoints of this folder's parent and their goldens.

usage: python make.py [OUT_DIR [NAME...]]      (default: the parent folder, all checkpoints)

Needs: pip install torch transformers peft tokenizers safetensors gguf numpy. `go test` needs none of it.
"""
import os
import shutil
import sys

import torch

import checkpoints
import ggufs
import goldens


def without_scaling(folder, golden):
    """How far the goldens would move if rope scaling were forgotten: it must show."""
    m = goldens.load(folder)
    scaled = m.model.rotary_emb.inv_freq.clone()
    d = m.config.head_dim
    m.model.rotary_emb.inv_freq = 1.0 / (m.config.rope_parameters["rope_theta"] ** (torch.arange(0, d, 2).float() / d))
    assert not torch.equal(scaled, m.model.rotary_emb.inv_freq)
    ids = golden["prompt_ids"] + golden["completion_ids"]
    lp = goldens.logps(goldens.logits(m, ids), ids, len(golden["prompt_ids"]))
    return (lp - torch.tensor(golden["completion_logprobs"])).abs().max().item()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(here)
    torch.set_num_threads(1)
    torch.manual_seed(checkpoints.SEED)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[2:] or checkpoints.SPECS:
        folder = f"{out}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        m = checkpoints.make(name)
        tied = name == "llama-tied"
        checkpoints.write(m, name, folder, torch.float32 if tied else torch.bfloat16, old_rope=tied)
        if tied:  # the same numbers in bf16, in two files, with the newer config
            shutil.rmtree(f"{out}/llama-tied-bf16", ignore_errors=True)
            checkpoints.write(m, name, f"{out}/llama-tied-bf16", torch.bfloat16, shards=2)
        g = goldens.make(folder, ["llama-tied-bf16"] if tied else [])
        print(name, "f32-f64", g["max_abs_err_logits_f32_vs_f64"], "loss", g["sft"]["loss"], g["sft"]["loss_f64"], g["sft"]["adamw"]["losses"],
              "min greedy margin", min(g["greedy_margins_f64"]), "ids", len(g["prompt_ids"]), len(g["completion_ids"]))
        if name == "llama3-untied":
            moved = without_scaling(folder, g)
            print("  rope scaling moves a log-probability by up to", moved)
            assert moved > 0.05, moved
        if tied:
            ggufs.make(m, name, folder, "q4_1", ggufs.q4_1, 3)
            ggufs.make(m, name, folder, "mixed", ggufs.mixed, 2)
        elif name != "qwen3-untied":
            ggufs.make(m, name, folder, "q8_0", ggufs.q8_0, 7)

if __name__ == "__main__":
    main()
