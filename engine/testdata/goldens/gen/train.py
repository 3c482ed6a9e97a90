#!/usr/bin/env python3
"""train.json and train_tensors.safetensors: losses and gradients of LoRA training in f32, plain torch + PEFT.

usage: train.py HF_DIR OUT_DIR

Starts every method from the adapter that ../make_lora_init.py draws. Log-probabilities are aligned to input_ids[:, 1:] and zero
outside the completion; batches are right-padded. SFT is here; the losses on preferences and groups stand in preference.py.
"""
import os
import subprocess
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

import base
import preference

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
STEM = "base_model.model.model.layers."
FULL = [STEM + s for s in ("0.self_attn.q_proj.lora_A.weight", "0.self_attn.k_proj.lora_B.weight", "15.mlp.down_proj.lora_A.weight", "29.mlp.gate_proj.lora_B.weight")]


class Lab:
    """A base with the starting adapter, and what every loss needs of it."""

    def __init__(self, hf, init):
        self.tok = base.tokenizer(hf)
        self.model = PeftModel.from_pretrained(base.model(hf), init, is_trainable=True)
        self.params = {n.replace(".default", ""): p for n, p in self.model.named_parameters() if p.requires_grad}
        self.init = {n: t.float() for n, t in load_file(f"{init}/adapter_model.safetensors").items()}
        self.out = {"versions": {**base.versions("torch", "transformers", "peft"), "trl_formulas": "1.16.0"},
                    "lora": {"r": 16, "alpha": 32, "target_modules": MODULES, "init": "lora_init/adapter_model.safetensors (BF16 storage, exact)"}}

    def reset(self):
        with torch.no_grad():
            for n, p in self.params.items():
                p.copy_(self.init[n])
                p.grad = None

    def chat(self, user, answer, system=None):
        """(prompt ids, completion ids); the newline after <|im_end|> counts as completion here."""
        return self.tok(base.chat_prompt(self.tok, user, system)).input_ids, self.tok(answer + "<|im_end|>\n").input_ids

    def batch(self, pairs):
        """input_ids, attention_mask, completion_mask, each [B, T], right-padded."""
        n = max(len(p) + len(c) for p, c in pairs)
        ids = torch.full((len(pairs), n), self.tok.pad_token_id)
        am, cm = torch.zeros_like(ids), torch.zeros_like(ids)
        for i, (p, c) in enumerate(pairs):
            ids[i, :len(p) + len(c)] = torch.tensor(p + c)
            am[i, :len(p) + len(c)] = 1
            cm[i, len(p):len(p) + len(c)] = 1
        return ids, am, cm

    def token_logps(self, b):
        """log p of token t+1 given those up to t, zero outside the completion; its mask; the logits. [B, T-1], [B, T-1], [B, T, V]"""
        ids, am, cm = b
        lg = self.model(input_ids=ids, attention_mask=am, use_cache=False).logits
        lp = lg[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
        m = cm[:, 1:].float()
        return lp * m, m, lg

    def reference_logps(self, b):
        with torch.no_grad(), self.model.disable_adapter():
            return self.token_logps(b)[0]

    def grads(self):
        g = {n: (p.grad.double().norm().item() if p.grad is not None else 0.0) for n, p in self.params.items()}
        return {"grad_norm_total": sum(v * v for v in g.values()) ** 0.5, "grad_norm": g}

    def run(self, name, f, extra):
        """Loss and gradients of f from the starting adapter."""
        self.reset()
        loss, info = f()
        loss.backward()
        self.out[name] = {**extra, "loss": loss.item(), **info, **self.grads()}
        print(name, self.out[name]["loss"], self.out[name]["grad_norm_total"], flush=True)


def listed(b):
    return {k: t.tolist() for k, t in zip(("input_ids", "attention_mask", "completion_mask"), b)}


def sft(lab, full):
    """Mean cross-entropy over all completion tokens of the batch; then ten AdamW steps on it."""
    b = lab.batch([lab.chat("How many rows are in the table orders?", "SELECT COUNT(*) FROM orders;", "Answer with one SQL statement."),
                   lab.chat("My card has not arrived yet, what should I do?", "card_arrival")])

    def loss():
        lp, m, _ = lab.token_logps(b)
        return -lp.sum() / m.sum()

    lab.run("sft", lambda: (loss(), {}), {"batch": listed(b), "tokens_in_loss": int(b[2][:, 1:].sum()), "full_grads": "train_tensors.safetensors: grad/<name>"})
    full.update({"grad/" + n: lab.params[n].grad.clone() for n in FULL})
    labels = b[0].masked_fill(b[2] == 0, -100)
    with torch.no_grad():
        lab.out["sft"]["loss_hf_labels"] = lab.model(input_ids=b[0], attention_mask=b[1], labels=labels).loss.item()
        with lab.model.disable_adapter():
            lab.out["sft"]["loss_base"] = loss().item()
    lab.reset()
    opt = torch.optim.AdamW(list(lab.params.values()), lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses = []
    for _ in range(10):
        opt.zero_grad()
        l = loss()
        l.backward()
        opt.step()
        losses.append(l.item())
    with torch.no_grad():
        losses.append(loss().item())
    lab.out["sft_adamw"] = {"lr": 2e-4, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": None, "losses": losses,
                            "note": "losses[i] is before step i+1; losses[10] is after 10 steps", "norm_after_10": {n: p.detach().double().norm().item() for n, p in lab.params.items()}}
    full.update({"after10/" + n: lab.params[n].detach().clone() for n in FULL})


def main():
    hf, out = base.arguments()
    init = f"{out}/lora_init"
    subprocess.run([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "make_lora_init.py"), init], check=True)
    lab, full = Lab(hf, init), {}
    sft(lab, full)
    preference.all_methods(lab, listed)
    save_file(full, f"{out}/train_tensors.safetensors")
    base.write(f"{out}/train.json", lab.out, separators=(",", ":"))


if __name__ == "__main__":
    main()
