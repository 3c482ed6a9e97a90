#!/usr/bin/env python3
"""What `dlm export` writes, read by the field's own libraries and engines.

usage: check_exports.py WORK_DIR TRAIN.jsonl GOLDEN.jsonl (NAME DLM_BASE HF_DIR)...      env: DLM, TOLERANCE=1e-4, DLM_LLAMA_SERVER, DLM_OLLAMA

For each base: the folder of `dlm export hf` in transformers (log-probabilities of dlm in f32 within TOLERANCE, the ids of
apply_chat_template); merged weights against PEFT's merge_and_unload; every block of the GGUF files of merged weights against the Python package
`gguf`, but for the K types, which leave a choice; with llama.cpp here, the type of every tensor against llama-quantize's.
Of a GGUF base, with llama.cpp or Ollama here: every export proved through them, on the golden set, as a table.
"""
import json
import os
import subprocess
import sys

import numpy as np
import torch
from gguf import GGMLQuantizationType as T, GGUFReader
from gguf.quants import quantize
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from check_adapters import ADAPTERS, compare, load
from dlm import check, dlm, done

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
PROJECT = """project: interop
base: {base}
system: "File the customer's message as one JSON record."
data: {{train: {train}, held_out: 0}}
golden: {{file: {golden}, name: interop}}
eval: {{scorers: [{{name: json, fields: [intent]}}], primary: record, arms: [zero-shot], max_tokens: 64}}
gate: {{on_inconclusive: pass}}
"""


def gguf_name(hf):
    if hf in TOP:
        return TOP[hf]
    layer, rest = hf.removeprefix("model.layers.").split(".", 1)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def permuted(name, w, config):
    """Rows of query and key as llama.cpp's converter orders them."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if config.model_type != "llama" or not heads:
        return w
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def folder(name, base, tok, work):
    out = dlm("export", "hf", "base", "--base", base, "--no-proof", "--type", "f32", "--out", f"{work}/{name}-hf")["folder"]
    again = AutoTokenizer.from_pretrained(out)
    chat = [{"role": "user", "content": "naïve 12345"}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}]
    ids = [t.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for t in (tok, again)]
    check(f"{name}: apply_chat_template of the exported folder", ids[0] == ids[1], f"{len(ids[0])} ids")
    compare(f"{name}: exported folder in transformers", base, AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval(), again, work)


def adapter(hf, base, path):
    torch.manual_seed(13)
    m = get_peft_model(load(hf), LoraConfig(task_type="CAUSAL_LM", **ADAPTERS["patterns"])).eval()
    with torch.no_grad():
        for n, p in m.named_parameters():
            if "lora_B" in n:
                p.normal_(0, 0.02)
    m.save_pretrained(f"{path}-peft")
    dlm("adapters", "import", f"{path}-peft", "--base", base, "--out", path)
    return m.merge_and_unload()


def merged(name, base, hf, work):
    theirs = adapter(hf, base, f"{work}/{name}-adapter")
    out = dlm("export", "hf", f"{work}/{name}-adapter", "--base", base, "--no-proof", "--type", "f32", "--out", f"{work}/{name}-merged")["folder"]
    ours, want = load_file(f"{out}/model.safetensors"), theirs.state_dict()
    worst = max(((ours[n] - want[n]).abs().max() / want[n].abs().max()).item() for n in ours)
    check(f"{name}: merged weights are PEFT's", worst < 1e-6, f"largest difference {worst:.1e} of the tensor's largest value, {len(ours)} tensors")
    return {n: w.numpy() for n, w in ours.items()}, theirs.config


def gguf(name, base, work, weights, config):
    for kind in ("f16", "q8_0", "q4_0", "q4_k"):
        r = dlm("export", "gguf", f"{work}/{name}-adapter", "--base", base, "--no-proof", "--type", kind, "--out", f"{work}/{name}-{kind}")
        read = {t.name: t for t in GGUFReader(os.path.join(r["folder"], r["files"][0]["path"])).tensors}
        same, types = 0, {}
        for hf, w in weights.items():
            t = read[gguf_name(hf)]
            types[t.tensor_type.name] = types.get(t.tensor_type.name, 0) + 1
            if t.tensor_type in (T.Q4_K, T.Q6_K):
                continue
            want = quantize(permuted(hf, w, config), t.tensor_type)
            same += 1
            if want.tobytes() != t.data.tobytes():
                check(f"{name}: {kind}: {t.name} ({t.tensor_type.name})", False, "blocks are not those of gguf.quants")
        check(f"{name}: blocks of {kind} are those of gguf.quants", True, f"{same} of {len(weights)} tensors compared; types {types}")
        quantizer = os.path.join(os.path.dirname(os.environ.get("DLM_LLAMA_SERVER", "")), "llama-quantize")
        if kind == "f16":
            source = os.path.join(r["folder"], r["files"][0]["path"])
        elif os.path.isabs(quantizer) and os.path.exists(quantizer) and config.hidden_size >= 256:
            other = f"{work}/{name}-llama-{kind}.gguf"
            subprocess.run([quantizer, source, other, {"q4_k": "Q4_K_M"}.get(kind, kind.upper()), "1"], check=True, capture_output=True)
            theirs = {t.name: t.tensor_type for t in GGUFReader(other).tensors}
            differ = [f"{n}: {read[n].tensor_type.name}, llama-quantize {t.name}" for n, t in theirs.items() if read[n].tensor_type != t]
            check(f"{name}: types of {kind} are llama-quantize's", not differ, differ[:3] or f"{len(theirs)} tensors")


def proofs(name, base, work, train, golden):
    project = f"{work}/{name}-project"
    os.makedirs(project, exist_ok=True)
    with open(f"{project}/dlm.yaml", "w") as f:
        f.write(PROJECT.format(base=os.path.abspath(base), train=os.path.abspath(train), golden=os.path.abspath(golden)))
    runs = []
    if os.environ.get("DLM_LLAMA_SERVER"):
        runs += [("gguf", "--type", t) for t in ("f16", "q8_0", "q4_0", "q4_k")] + [("gguf-lora",)]
    if os.environ.get("DLM_OLLAMA"):
        runs += [("ollama", "--type", "q8_0"), ("ollama", "--lora")]
    for args in runs:
        r = dlm("-C", project, "export", *args, f"{work}/{name}-adapter", "--out", f"{work}/{name}-proof")
        p, size = r["proof"], sum(f["size"] for f in r["files"]) / 1e6
        gap = "" if p["logprobs"] is None else f"; log-probabilities differ by {p['logprobs']['mean']:.4f} on average, {p['logprobs']['largest']:.3f} at most ({p['logprobs']['tokens']} tokens)"
        # The adapter is random and its answers are long: one token that is chosen otherwise changes all that follow. What a type loses is seen
        # in the log-probabilities; Ollama gives none, so that its line is for people.
        most = {"f16": 0.1, "q8_0": 0.3}.get(args[-1], 0.1 if args[0] == "gguf-lora" else 3)
        check(f"{name}: {' '.join(args)} through {p['engine']}", p["logprobs"] is None or p["logprobs"]["mean"] <= most, f"{size:.1f} MB, {p['same']} of {p['items']} answers are the same text{gap}")


def main():
    work, train, golden, rest = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    for name, base, hf in zip(rest[::3], rest[1::3], rest[2::3]):
        try:
            folder(name, base, AutoTokenizer.from_pretrained(hf), work)
            weights, config = merged(name, base, hf, work)
            gguf(name, base, work, weights, config)
            if base.endswith(".gguf"):
                proofs(name, base, work, train, golden)
        except Exception as e:  # one failing base must not hide the others
            check(f"{name}: exports", False, f"{type(e).__name__}: {e}")
    done()


if __name__ == "__main__":
    main()
