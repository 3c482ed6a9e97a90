#!/usr/bin/env python3
"""Golden values for engine/optim from PyTorch and transformers.

usage: make_torch.py > torch.json

AdamW with decoupled weight decay and clip_grad_norm_ over six steps on two
tensors, and the factors of the three schedules. Needs torch and transformers;
the Go tests read only torch.json.
"""
import json
import torch
import transformers
from transformers import (get_constant_schedule_with_warmup,
                          get_cosine_schedule_with_warmup,
                          get_linear_schedule_with_warmup)

SEED, STEPS, MAX_NORM = 20261124, 6, 1.0
torch.manual_seed(SEED)
torch.set_num_threads(1)


def adamw(weight_decay, max_norm):
    g = torch.Generator().manual_seed(SEED)
    ps = [torch.nn.Parameter(torch.randn(n, generator=g) * 0.1) for n in (37, 8)]
    opt = torch.optim.AdamW(ps, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    lrs = [1e-3 * (1 - i / 10) for i in range(STEPS)]
    out = {"weight_decay": weight_decay, "max_norm": max_norm, "lr": lrs, "start": [p.tolist() for p in ps],
           "grad": [], "norm": [], "value": []}
    for i in range(STEPS):
        for group in opt.param_groups:
            group["lr"] = lrs[i]
        for p in ps:
            p.grad = torch.randn(p.shape, generator=g) * (10.0 ** (-i))
        out["grad"].append([p.grad.tolist() for p in ps])
        if max_norm:
            out["norm"].append(torch.nn.utils.clip_grad_norm_(ps, max_norm).item())
        opt.step()
        out["value"].append([p.tolist() for p in ps])
    return out


def schedule(kind, warmup, total):
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
    s = {"cosine": lambda: get_cosine_schedule_with_warmup(opt, warmup, total),
         "linear": lambda: get_linear_schedule_with_warmup(opt, warmup, total),
         "constant": lambda: get_constant_schedule_with_warmup(opt, warmup)}[kind]()
    lrs = []
    for _ in range(total):
        lrs.append(s.get_last_lr()[0])
        opt.step()
        s.step()
    return {"kind": kind, "peak": 2e-4, "warmup": warmup, "total": total, "lr": lrs}


print(json.dumps({
    "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    "seed": SEED,
    "adamw": [adamw(0.0, None), adamw(0.1, MAX_NORM)],
    "schedules": [schedule(k, w, t) for k in ("cosine", "linear", "constant") for w, t in ((0, 7), (3, 10), (1, 1), (5, 4))],
}, separators=(",", ":")))
