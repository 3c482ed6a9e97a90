"""Tiny randomly initialised checkpoints of the supported architectures, as safetensors folders."""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import (LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM)

import tokenizers_

SEED = 20261124

# name -> architecture, tokenizer family, configuration. heads * head_dim differs from hidden in llama3-untied.
SPECS = {
    "llama-tied": ("llama", "smollm", dict(
        vocab_size=384, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
    "llama3-untied": ("llama", "llama-bpe", dict(
        vocab_size=400, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=64, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 32})),
    "qwen2": ("qwen2", "qwen2", dict(
        vocab_size=392, hidden_size=96, intermediate_size=128, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1,
        max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})),
    "qwen3": ("qwen3", "qwen2", dict(
        vocab_size=392, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})),
    "qwen3-untied": ("qwen3", "qwen2", dict(
        vocab_size=400, hidden_size=96, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        head_dim=16, max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
}

CLASSES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}


def config(name):
    arch, family, kw = SPECS[name]
    sp = tokenizers_.FAMILIES[family]
    ids = {t: (i if family == "smollm" else kw["vocab_size"] - len(sp["specials"]) + i) for i, t in enumerate(sp["specials"])}
    kw = dict(kw, hidden_act="silu", attention_dropout=0.0, use_cache=True, bos_token_id=ids.get(sp["bos"]), eos_token_id=ids[sp["eos"]], pad_token_id=ids[sp["pad"]])
    return CLASSES[arch][0](**kw)


def make(name):
    """A model whose every value is exact in bf16, so its f32 and bf16 files hold the same numbers."""
    cfg = config(name)
    g = torch.Generator().manual_seed(SEED + sorted(SPECS).index(name))
    m = CLASSES[SPECS[name][0]][1](cfg).float().eval()
    with torch.no_grad():
        for n, p in sorted(m.named_parameters()):
            if "q_norm" in n or "k_norm" in n:  # 0.75..1.75: attention far from uniform, as below
                v = torch.rand(p.shape, generator=g) + 0.75
            elif "norm" in n:
                v = torch.rand(p.shape, generator=g) + 0.5  # 0.5..1.5: a norm weight left out shows
            elif n.endswith(".bias"):
                v = torch.randn(p.shape, generator=g) * 0.5
            elif "embed" in n or "lm_head" in n:  # logits of a standard deviation near 1.6
                v = torch.randn(p.shape, generator=g) * 0.2
            else:  # variance-keeping, times 1.5 in attention scores so that attention is far from uniform
                v = torch.randn(p.shape, generator=g) * (1.5 if "q_proj" in n or "k_proj" in n else 1.0) / p.shape[1] ** 0.5
            p.copy_(v.bfloat16().float())
    return m


def tensors(m, dtype):
    """The state dict in dtype, without the tied copy of the embeddings."""
    tied = m.config.tie_word_embeddings
    return {k: v.detach().to(dtype).contiguous().clone() for k, v in sorted(m.state_dict().items()) if not (tied and k == "lm_head.weight")}


def write(m, name, out, dtype, shards=1, old_rope=False):
    """Writes a checkpoint folder. shards > 1 adds an index; old_rope writes rope_theta and rope_scaling as transformers 4 did."""
    os.makedirs(out, exist_ok=True)
    sd = tensors(m, dtype)
    c = json.loads(m.config.to_json_string())
    c["architectures"] = [type(m).__name__]
    c["dtype"] = {torch.float32: "float32", torch.bfloat16: "bfloat16"}[dtype]
    if old_rope:
        r = c.pop("rope_parameters")
        c["rope_theta"] = r.pop("rope_theta")
        c["rope_scaling"] = None if r["rope_type"] == "default" else r
        c["torch_dtype"] = c.pop("dtype")
    with open(f"{out}/config.json", "w") as f:
        json.dump(c, f, indent=1, sort_keys=True)
        f.write("\n")
    with open(f"{out}/generation_config.json", "w") as f:
        json.dump({k: c[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id") if c.get(k) is not None}, f)
    if shards == 1:
        save_file(sd, f"{out}/model.safetensors", metadata={"format": "pt"})
    else:
        names = sorted(sd)
        where = {}
        for i in range(shards):
            part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
            fn = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
            save_file({n: sd[n] for n in part}, f"{out}/{fn}", metadata={"format": "pt"})
            where.update({n: fn for n in part})
        with open(f"{out}/model.safetensors.index.json", "w") as f:
            json.dump({"metadata": {"total_size": sum(v.numel() * v.element_size() for v in sd.values())}, "weight_map": where}, f, indent=1, sort_keys=True)
    for f in os.listdir(out):
        os.chmod(f"{out}/{f}", 0o644)
    tokenizers_.build(SPECS[name][1], SPECS[name][2]["vocab_size"], out)
