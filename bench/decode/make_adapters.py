#!/usr/bin/env python3
"""Random LoRA adapters for the serving benchmarks, the same numbers for every peer: a PEFT folder and llama.cpp's GGUF of each.

usage: make_adapters.py HF_DIR OUT_DIR [--first 0] [--count 4] [--rank 16] [--peft-only]

Writes OUT_DIR/a0 (PEFT) and OUT_DIR/a0.gguf, and so on; adapter i is drawn from seed i, both of its matrices, so that nothing about it
can be skipped. llama.cpp stores the rows of q and k in pairs, so the rows of their B matrices are put into that order. Does
nothing for adapters that are there already.
"""
import argparse
import json
import os

import gguf
import numpy as np
from safetensors.numpy import save_file

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def shapes(c):
    """[out, in] of each projection."""
    d, f, head = c["hidden_size"], c["intermediate_size"], c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    q, kv = head * c["num_attention_heads"], head * c["num_key_value_heads"]
    return {"self_attn.q_proj": (q, d), "self_attn.k_proj": (kv, d), "self_attn.v_proj": (kv, d), "self_attn.o_proj": (d, q),
            "mlp.gate_proj": (f, d), "mlp.up_proj": (f, d), "mlp.down_proj": (d, f)}


def in_pairs(b, heads):
    """Rows of each head from (half, pair) to (pair, half) order."""
    return np.ascontiguousarray(b.reshape(heads, 2, b.shape[0] // heads // 2, b.shape[1]).swapaxes(1, 2).reshape(b.shape))


def make(c, rank, seed, folder, only_peft=False):
    rng = np.random.default_rng(seed)
    peft, pairs = {}, []
    for layer in range(c["num_hidden_layers"]):
        for module, (out, width) in shapes(c).items():
            a = rng.uniform(-1, 1, (rank, width)).astype(np.float32) / np.float32(width**0.5)
            b = rng.normal(0, 0.005, (out, rank)).astype(np.float32)
            path = f"base_model.model.model.layers.{layer}.{module}"
            peft[path + ".lora_A.weight"], peft[path + ".lora_B.weight"] = a, b
            heads = {"self_attn.q_proj": c["num_attention_heads"], "self_attn.k_proj": c["num_key_value_heads"]}.get(module)
            name = f"blk.{layer}.{NAMES[module]}.weight"
            pairs += [(name + ".lora_a", a), (name + ".lora_b", in_pairs(b, heads) if heads else b)]
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/adapter_config.json", "w") as f:
        json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0, "bias": "none", "inference_mode": True,
                   "target_modules": [m.split(".")[1] for m in NAMES], "base_model_name_or_path": ""}, f)
    save_file(peft, f"{folder}/adapter_model.safetensors", metadata={"format": "pt"})
    if only_peft:
        return
    w = gguf.GGUFWriter(folder + ".gguf.part", "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", 2.0 * rank)
    for name, value in pairs:
        w.add_tensor(name, value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.rename(folder + ".gguf.part", folder + ".gguf")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("hf")
    ap.add_argument("out")
    ap.add_argument("--first", type=int, default=0)
    ap.add_argument("--count", type=int, default=4)
    ap.add_argument("--peft-only", action="store_true", help="no GGUF beside the folder")
    ap.add_argument("--rank", type=int, default=16)
    a = ap.parse_args()
    with open(f"{a.hf}/config.json") as f:
        c = json.load(f)
    for i in range(a.first, a.first + a.count):
        if not os.path.exists(f"{a.out}/a{i}" if a.peft_only else f"{a.out}/a{i}.gguf"):
            make(c, a.rank, i, f"{a.out}/a{i}", a.peft_only)


if __name__ == "__main__":
    main()
