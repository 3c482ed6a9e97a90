"""Golden values of one checkpoint folder: logits, log-probabilities, adapters, training. All f32 on CPU, f64 beside it."""
import json
import os
from importlib.metadata import version

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from text import COMPLETION, CONVERSATIONS, PROMPT

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FULL = ["layers.0.self_attn.q_proj.lora_A", "layers.0.self_attn.v_proj.lora_B", "layers.1.mlp.gate_proj.lora_B", "layers.1.mlp.down_proj.lora_A"]
FULL_QK_NORM = ["layers.0.self_attn.q_proj.lora_B", "layers.0.self_attn.k_proj.lora_A", "layers.0.self_attn.k_proj.lora_B"]  # besides FULL


def versions():
    return {p: version(p) for p in ("torch", "transformers", "peft", "tokenizers", "safetensors", "gguf", "numpy")}


def load(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def logits(m, ids):
    """[T, V] logits of ids."""
    with torch.no_grad():
        return m(torch.tensor([ids]), use_cache=False).logits[0]


def logps(lg, ids, start):
    """Natural-log probability of ids[t] for t >= start."""
    return lg[start - 1:len(ids) - 1].log_softmax(-1).gather(1, torch.tensor(ids[start:])[:, None])[:, 0]


def chat_row(tok, msgs):
    """(ids, mask): each message tokenised apart from what precedes it; mask 1 on every assistant text and its end-of-turn token."""
    end = tok.eos_token
    ids, mask = [], []
    for i, m in enumerate(msgs):
        if m["role"] != "assistant":
            continue
        before = tok.apply_chat_template(msgs[:i], tokenize=False, add_generation_prompt=True)
        whole = tok.apply_chat_template(msgs[:i + 1], tokenize=False)
        prior = tok.apply_chat_template(msgs[:last + 1], tokenize=False) if (last := max([j for j in range(i) if msgs[j]["role"] == "assistant"], default=-1)) >= 0 else ""
        text = m["content"] + end
        assert whole.startswith(before + text), (before, whole)
        assert before.startswith(prior)
        # what the template wrote after the previous completion (a newline, perhaps) belongs to this prompt
        seen = prior[:prior.rindex(end) + len(end)] if prior else ""
        p = tok(before[len(seen):], add_special_tokens=False).input_ids
        c = tok(text, add_special_tokens=False).input_ids
        ids += p + c
        mask += [0] * len(p) + [1] * len(c)
    return ids, mask


def random_adapter(m, rank, alpha, modules, seed, rslora, **more):
    """A PEFT model with non-zero B, and its values by PEFT's file names. Values are exact in bf16."""
    pm = get_peft_model(m, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=modules, bias="none", task_type="CAUSAL_LM", use_rslora=rslora, **more))
    rng = np.random.default_rng(seed)
    params = {n.replace(".default", ""): p for n, p in pm.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for n in sorted(params):
            s = params[n].shape
            v = rng.uniform(-1, 1, s) / np.sqrt(s[1]) if "lora_A" in n else rng.standard_normal(s) * 0.05
            params[n].copy_(torch.tensor(v, dtype=torch.float32).bfloat16().float())
    return pm, params


def save_adapter(pm, params, out, base):
    os.makedirs(out, exist_ok=True)
    save_file({n: p.detach().contiguous().clone() for n, p in sorted(params.items())}, f"{out}/adapter_model.safetensors", metadata={"format": "pt"})
    os.chmod(f"{out}/adapter_model.safetensors", 0o644)
    c = pm.peft_config["default"].to_dict()
    c = {k: (sorted(v) if isinstance(v, set) else v) for k, v in c.items()}
    c.update(base_model_name_or_path=base, inference_mode=True)
    for k in ("peft_type", "task_type"):
        c[k] = getattr(c[k], "value", c[k])
    with open(f"{out}/adapter_config.json", "w") as f:
        json.dump(dict(sorted(c.items())), f, indent=1, default=str)  # the order of patterns counts
        f.write("\n")


def forward_goldens(folder, tok):
    p, c = (tok(s, add_special_tokens=False).input_ids for s in (PROMPT, COMPLETION))
    ids = p + c
    m32, m64 = load(folder), load(folder, torch.float64)
    a, b = logits(m32, ids), logits(m64, ids)
    last = a[len(p) - 1]
    top = last.topk(16)
    with torch.no_grad():
        g = m32.generate(torch.tensor([p]), attention_mask=torch.ones(1, len(p), dtype=torch.long), max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0)[0, len(p):].tolist()
    two = logits(m64, p + g)[len(p) - 1:-1].topk(2).values
    return a, {
        "prompt": PROMPT, "completion": COMPLETION, "prompt_ids": p, "completion_ids": c,
        "top_ids": top.indices.tolist(), "top_logits": top.values.tolist(), "logits_last": last.tolist(), "logsumexp_last": last.logsumexp(-1).item(),
        "completion_logprobs": logps(a, ids, len(p)).tolist(), "completion_logprobs_f64": logps(b, ids, len(p)).tolist(),
        "greedy_ids": g, "greedy_margins_f64": (two[:, 0] - two[:, 1]).tolist(),
        "max_abs_err_logits_f32_vs_f64": (a.double() - b).abs().max().item()}


def adapter_goldens(folder, adapter, ids, start):
    pm = PeftModel.from_pretrained(load(folder), adapter).eval()
    lg = logits(pm, ids)
    return {"completion_logprobs": logps(lg, ids, start).tolist(), "logits_last": lg[start - 1].tolist()}


def sft_loss(pm, rows):
    """Sum over completion tokens of -logp, divided by their number in the batch. Rows are run one by one: no padding."""
    n = sum(sum(m) for _, m in rows)
    total = 0.0
    for ids, mask in rows:
        lp = pm(torch.tensor([ids]), use_cache=False).logits[0, :-1].log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        total = total - (lp * torch.tensor(mask[1:], dtype=lp.dtype)).sum() / n
    return total, n


# Rank and alpha patterns: one name, a whole layer of one block, a name from the beginning, a later one that an earlier one hides in part.
PATTERNS = dict(rank_pattern={"q_proj": 2, r"layers\.1\.mlp\..*": 7, "^model.layers.0.self_attn.v_proj": 5, "(gate|up)_proj": 3},
                alpha_pattern={"0.self_attn.(k|v)_proj": 3, "down_proj": 12})


def pattern_goldens(folder, tok, ids, start):
    """An adapter with PATTERNS and rsLoRA: log-probabilities, SFT loss and gradient norms in f64."""
    pm, params = random_adapter(load(folder), 4, 8, MODULES, 9, True, **PATTERNS)
    out = f"{folder}/adapter-patterns"
    save_adapter(pm, params, out, os.path.basename(folder))
    r = adapter_goldens(folder, out, ids, start)
    p64 = PeftModel.from_pretrained(load(folder, torch.float64), out, is_trainable=True).double().train()
    loss, _ = sft_loss(p64, [chat_row(tok, c) for c in CONVERSATIONS])
    loss.backward()
    r["loss_f64"] = loss.item()
    r["grad_norm_f64"] = {k.replace(".default", ""): p.grad.norm().item() for k, p in p64.named_parameters() if p.requires_grad}
    return r


def train_goldens(folder, tok, adapter, full):
    rows = [chat_row(tok, c) for c in CONVERSATIONS]
    pm = PeftModel.from_pretrained(load(folder), adapter, is_trainable=True).train()
    params = {n.replace(".default", ""): p for n, p in pm.named_parameters() if p.requires_grad}
    loss, n = sft_loss(pm, rows)
    loss.backward()
    wanted = FULL + (FULL_QK_NORM if any("q_norm" in n for n, _ in pm.named_parameters()) else [])
    norms = {k: p.grad.norm().item() for k, p in sorted(params.items())}
    for k, p in params.items():
        if any(f in k for f in wanted):
            full["grad/" + k] = p.grad.clone()
    out = {"rows": [{"ids": i, "mask": m} for i, m in rows], "loss_tokens": n, "loss": loss.item(),
           "grad_norm_total": sum(v * v for v in norms.values()) ** 0.5, "grad_norm": norms}
    # f64 yardstick of loss and norms
    p64 = PeftModel.from_pretrained(load(folder, torch.float64), adapter, is_trainable=True).double().train()
    l64, _ = sft_loss(p64, rows)
    l64.backward()
    out["loss_f64"] = l64.item()
    out["grad_norm_f64"] = {k.replace(".default", ""): p.grad.norm().item() for k, p in p64.named_parameters() if p.requires_grad}
    hyper = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    opt = torch.optim.AdamW(params.values(), **hyper)
    losses, norms_seen = [], []
    for _ in range(3):
        opt.zero_grad()
        l, _ = sft_loss(pm, rows)
        l.backward()
        norms_seen.append(torch.nn.utils.clip_grad_norm_(params.values(), 1.0).item())
        opt.step()
        losses.append(l.item())
    out["adamw"] = {**{k: list(v) if isinstance(v, tuple) else v for k, v in hyper.items()}, "clip_norm": 1.0, "losses": losses,
                    "grad_norms_before_clip": norms_seen, "loss_after": sft_loss(pm, rows)[0].item(),
                    "value_norm_after": {k: p.detach().norm().item() for k, p in sorted(params.items())}}
    for k, p in params.items():
        if any(f in k for f in FULL):
            full["after3/" + k] = p.detach().clone()
    return out


def chat_goldens(tok):
    out = []
    for msgs in CONVERSATIONS:
        ids, mask = chat_row(tok, msgs)
        text = tok.apply_chat_template(msgs, tokenize=False)
        gen = tok.apply_chat_template(msgs[:-1], tokenize=False, add_generation_prompt=True)
        start = len(ids) - next((i for i, v in enumerate(reversed(mask)) if not v), len(mask))
        assert ids[:start] == tok(gen, add_special_tokens=False).input_ids  # what is trained before a completion is what serving feeds
        out.append({"messages": msgs, "text": text, "prompt_text": gen, "prompt_ids": tok(gen, add_special_tokens=False).input_ids, "ids": ids, "mask": mask})
    return out


def make(folder, same_as=()):
    """Writes golden.json, golden.safetensors and two adapters into folder."""
    tok = AutoTokenizer.from_pretrained(folder)
    a, fwd = forward_goldens(folder, tok)
    ids, start = fwd["prompt_ids"] + fwd["completion_ids"], len(fwd["prompt_ids"])
    full = {"logits": a}
    out = {"versions": versions(), "same_weights": list(same_as), **fwd, "adapters": {}}
    for name, rank, alpha, modules, rs in (("adapter", 4, 8, MODULES, False), ("adapter-rslora-qv", 3, 6, ["q_proj", "v_proj"], True)):
        pm, params = random_adapter(load(folder), rank, alpha, modules, 7, rs)
        save_adapter(pm, params, f"{folder}/{name}", os.path.basename(folder))
        out["adapters"][name] = adapter_goldens(folder, f"{folder}/{name}", ids, start)
    if os.path.basename(folder) == "qwen3":
        out["patterns"] = pattern_goldens(folder, tok, ids, start)
    out["sft"] = train_goldens(folder, tok, f"{folder}/adapter", full)
    out["chat"] = chat_goldens(tok)
    save_file({k: v.contiguous() for k, v in sorted(full.items())}, f"{folder}/golden.safetensors")
    os.chmod(f"{folder}/golden.safetensors", 0o644)
    with open(f"{folder}/golden.json", "w") as f:
        json.dump(out, f, indent=None, separators=(",", ":"), ensure_ascii=True)
        f.write("\n")
    return out
