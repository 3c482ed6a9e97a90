#!/usr/bin/env python3
"""A copy of the claims desk's project for the comparison, and its recipe as shell variables.

usage: project.py PROJECT_DIR MODEL OUT_DIR [train.FIELD=VALUE ...]

Writes OUT_DIR/dlm.yaml: the same recipe and golden set, but no held-out rows and no choice of a best checkpoint, so that both
trainers end with the adapter of their last step. Prints epochs=..., lr=... and so on for run.sh.
"""
import os
import sys

import yaml

DEFAULTS = {"epochs": 3, "lr": 2e-4, "warmup": 10, "seed": 1, "batch_size": 16, "rank": 16, "alpha": 32, "clip_norm": 1.0, "weight_decay": 0, "schedule": "cosine", "precision": "bf16"}


def main():
    project, model, out = map(os.path.abspath, sys.argv[1:4])
    with open(f"{project}/dlm.yaml") as f:
        c = yaml.safe_load(f)
    c["base"] = model
    c["data"] = {"train": f"{project}/{c['data']['train']}", "held_out": 0, "max_len": c["data"].get("max_len", 512)}
    c["golden"]["file"] = f"{project}/{c['golden']['file']}"
    t = {k: v for k, v in c["train"].items() if k not in ("eval_every", "sample_every", "samples")}
    t.update({k.removeprefix("train."): yaml.safe_load(v) for k, v in (a.split("=", 1) for a in sys.argv[4:])})
    for k, v in t.items():  # YAML 1.1 takes 1e-3 for a string
        if isinstance(v, str) and k in ("lr", "weight_decay", "clip_norm", "epochs"):
            t[k] = float(v)
    t.update(keep_best=False, samples=0)
    for k, v in DEFAULTS.items():
        t.setdefault(k, v)
    c["train"] = t
    c["eval"]["arms"] = ["zero-shot"]
    os.makedirs(out, exist_ok=True)
    with open(f"{out}/dlm.yaml", "w") as f:
        yaml.safe_dump(c, f, sort_keys=False)
    for k in DEFAULTS:
        print(f"{k}={t[k]}")
    print(f"train={c['data']['train']}\ngolden={c['golden']['file']}")


if __name__ == "__main__":
    main()
