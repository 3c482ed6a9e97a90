#!/usr/bin/env python3
"""A Hugging Face f32 copy of a Llama GGUF, so that PyTorch starts from the very numbers that dlm starts from.

usage: gguf_to_hf.py MODEL.gguf OUT_DIR

Weights are dequantised to f32 (Q4_1: d*q+m, Q8_0: d*q). A Llama GGUF keeps the rows of q and k in pairs (as llama.cpp ropes
them); they are put back into the order of transformers. The tokenizer is rebuilt from the GGUF's vocabulary and merges. Does
nothing when OUT_DIR already holds a copy of the same file.
"""
import hashlib
import json
import os
import sys

import numpy as np
from gguf import GGUFReader, dequantize
from safetensors.numpy import save_file

NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}


def rows_back(w, heads):
    """Rows of each head from (pair, half) to (half, pair) order."""
    return w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def tensors(reader, heads, kv_heads):
    out = {}
    for t in reader.tensors:
        w = np.ascontiguousarray(dequantize(t.data, t.tensor_type), dtype=np.float32).reshape([int(n) for n in reversed(t.shape)])
        if t.name in TOP:
            out[TOP[t.name]] = w
            continue
        _, layer, kind, leaf = t.name.split(".")
        if kind in ("attn_q", "attn_k"):
            w = rows_back(w, heads if kind == "attn_q" else kv_heads)
        out[f"model.layers.{layer}.{NAMES[kind]}.{leaf}"] = np.ascontiguousarray(w)
    return out


def tokenizer(f):
    """tokenizer.json and tokenizer_config.json of a GGUF whose pre-tokeniser is smollm (digits apart, then GPT-2's split)."""
    toks, types, merges = (f["tokenizer.ggml." + k] for k in ("tokens", "token_type", "merges"))
    if f["tokenizer.ggml.model"] != "gpt2" or f["tokenizer.ggml.pre"] != "smollm":
        sys.exit(f"pre-tokeniser {f['tokenizer.ggml.pre']!r} is not smollm: give a Hugging Face folder instead of a GGUF")
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, (t, kind) in enumerate(zip(toks, types)) if kind in (3, 4)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    main = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]},
            "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                      "byte_fallback": False, "ignore_merges": False, "vocab": {t: i for i, t in enumerate(toks)}, "merges": [m.split(" ") for m in merges]}}
    named = {k + "_token": toks[f[f"tokenizer.ggml.{g}_token_id"]] for k, g in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))}
    conf = {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, "clean_up_tokenization_spaces": False,
            "model_max_length": f["llama.context_length"], "chat_template": f["tokenizer.chat_template"], **named}
    return main, conf


def main():
    path, out = sys.argv[1:3]
    with open(path, "rb") as fh:
        digest = hashlib.file_digest(fh, "sha256").hexdigest()
    stamp = os.path.join(out, "made_from.json")
    if os.path.exists(stamp) and json.load(open(stamp)).get("sha256") == digest:
        return
    r = GGUFReader(path)
    f = {k: v.contents() for k, v in r.fields.items()}
    if f["general.architecture"] != "llama" or "rope_freqs.weight" in [t.name for t in r.tensors]:
        sys.exit(f"{path}: only plain Llama GGUFs are converted, this is {f['general.architecture']}")
    get = lambda k: f["llama." + k]
    heads, kv = get("attention.head_count"), get("attention.head_count_kv")
    sd = tensors(r, heads, kv)
    main_, conf = tokenizer(f)
    os.makedirs(out, exist_ok=True)
    save_file(sd, f"{out}/model.safetensors", metadata={"format": "pt"})
    ids = {k + "_token_id": f[f"tokenizer.ggml.{g}_token_id"] for k, g in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}
    cfg = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "mlp_bias": False, "hidden_act": "silu",
           "hidden_size": get("embedding_length"), "intermediate_size": get("feed_forward_length"), "num_hidden_layers": get("block_count"),
           "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": get("embedding_length") // heads,
           "max_position_embeddings": get("context_length"), "rms_norm_eps": float(np.float32(get("attention.layer_norm_rms_epsilon"))),
           "rope_parameters": {"rope_type": "default", "rope_theta": float(get("rope.freq_base"))}, "tie_word_embeddings": "lm_head.weight" not in sd,
           "vocab_size": get("vocab_size"), "dtype": "float32", **ids}
    for name, value in (("config.json", cfg), ("generation_config.json", ids), ("tokenizer.json", main_), ("tokenizer_config.json", conf)):
        with open(f"{out}/{name}", "w") as fh:
            json.dump(value, fh, ensure_ascii=False)
    with open(stamp, "w") as fh:
        json.dump({"file": os.path.basename(path), "sha256": digest}, fh)
    print(f"{out}: {len(sd)} tensors, {sum(v.size for v in sd.values()):,} parameters from {os.path.basename(path)}")


if __name__ == "__main__":
    main()
