#!/usr/bin/env python3
"""Digest of all tensors of a GGUF, dequantised by the Python package `gguf`.

usage: dequantise.py MODEL.gguf   (llama architecture)

Prints the sha256 over the tensors' Hugging Face names and little-endian f32
values, in the order of the names, query and key rows in Hugging Face order.
TestRealModelDequantisesExactly holds the result for SmolLM2-135M-Instruct
(made with gguf 0.19.0, numpy 2). It is not needed to run the tests.
"""
import hashlib, sys
import numpy as np
from gguf import GGUFReader, dequantize

r = GGUFReader(sys.argv[1])
heads = {"attn_q": r.fields["llama.attention.head_count"].contents(), "attn_k": r.fields["llama.attention.head_count_kv"].contents()}
names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
top = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
out = {}
for t in r.tensors:
    w = np.ascontiguousarray(dequantize(t.data, t.tensor_type), dtype="<f4").reshape([int(x) for x in reversed(t.shape)])
    if t.name in top:
        out[top[t.name]] = w
        continue
    _, layer, kind, suffix = t.name.split(".")
    if kind in heads:
        o, i = w.shape
        w = w.reshape(heads[kind], o // heads[kind] // 2, 2, i).swapaxes(1, 2).reshape(o, i)
    out[f"model.layers.{layer}.{names[kind]}.{suffix}"] = w
h = hashlib.sha256()
for name in sorted(out):
    h.update(name.encode() + b"\n")
    h.update(np.ascontiguousarray(out[name]).tobytes())
print(len(out), h.hexdigest())
