#!/usr/bin/env python3
"""Makes the starting adapter of the training goldens, byte for byte.

usage: make_lora_init.py OUT_DIR

train.json and train_tensors.safetensors were computed from a PEFT adapter for
SmolLM2-135M-Instruct (rank 16, alpha 32, all seven projections, 30 layers) whose
9.8 MB are not committed: this script draws them again. Needs numpy only. It
checks the result against the hash of the file that the goldens were made from;
tests find the folder through DLM_TEST_LORA_INIT.
"""
import hashlib
import json
import os
import sys

import numpy as np

SHA256 = "ceda7cc4bee63ae0e887145d43a0c6c7e9b6a4e268c53194fc85093b4b4a3b04"
R, LAYERS, HIDDEN, FFN, KV = 16, 30, 576, 1536, 192
SHAPES = {  # projection: (block, out, in)
    "q_proj": ("self_attn", HIDDEN, HIDDEN), "k_proj": ("self_attn", KV, HIDDEN), "v_proj": ("self_attn", KV, HIDDEN),
    "o_proj": ("self_attn", HIDDEN, HIDDEN), "gate_proj": ("mlp", FFN, HIDDEN), "up_proj": ("mlp", FFN, HIDDEN),
    "down_proj": ("mlp", HIDDEN, FFN),
}


def bf16(v):
    """Rounds float32 to bfloat16, to nearest even, as its 16 bits."""
    u = v.astype(np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype("<u2")


def tensors():
    shapes = {}
    for layer in range(LAYERS):
        for name, (block, out, n) in SHAPES.items():
            stem = f"base_model.model.model.layers.{layer}.{block}.{name}"
            shapes[stem + ".lora_A.weight"] = (R, n)
            shapes[stem + ".lora_B.weight"] = (out, R)
    rng = np.random.default_rng(20261124)
    for name in sorted(shapes):
        s = shapes[name]
        a = name.endswith("lora_A.weight")
        v = rng.uniform(-1, 1, s) / np.sqrt(s[1]) if a else rng.standard_normal(s) * 0.01
        yield name, s, bf16(v).tobytes()


def safetensors():
    header, body, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, shape, raw in tensors():
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        body.append(raw)
        at += len(raw)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + b"".join(body)


def main():
    out = sys.argv[1]
    raw = safetensors()
    have = hashlib.sha256(raw).hexdigest()
    if have != SHA256:
        sys.exit(f"the file would have sha256 {have}, the goldens were made from {SHA256}")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "adapter_model.safetensors"), "wb") as f:
        f.write(raw)
    with open(os.path.join(out, "adapter_config.json"), "w") as f:
        json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": R, "lora_alpha": 32, "lora_dropout": 0.0,
                   "bias": "none", "target_modules": list(SHAPES), "fan_in_fan_out": False, "inference_mode": True,
                   "base_model_name_or_path": "SmolLM2-135M-Instruct"}, f, indent=1)


if __name__ == "__main__":
    main()
