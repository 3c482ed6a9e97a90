#!/usr/bin/env python3
"""The rows and the dlm project of the SFT benchmark. usage: project.py ROWS.jsonl MODEL OUT_DIR --count N --batch B --rank R --lr L

Takes the first N rows of a file in TRL's shapes (messages, or prompt and completion) and writes them as prompt and completion to
OUT_DIR/rows.jsonl, which both trainers read, and OUT_DIR/dlm.yaml: one epoch, no held-out rows, no samples, nothing evaluated.
"""
import argparse
import json
import os

YAML = """project: sft-bench
base: {model}
data: {{train: rows.jsonl, held_out: 0, max_len: {max_len}}}
train: {{method: sft, rank: {rank}, alpha: {alpha}, lr: {lr}, schedule: linear, warmup: 0, epochs: 1, batch_size: {batch}, seed: 1, keep_best: false, samples: 0}}
"""


def pair(r):
    if "messages" in r:
        return {"prompt": r["messages"][:-1], "completion": r["messages"][-1:]}
    return {"prompt": r["prompt"], "completion": r["completion"]}


def main():
    ap = argparse.ArgumentParser()
    for name in ("rows", "model", "out"):
        ap.add_argument(name)
    for name, default in (("count", 96), ("batch", 8), ("rank", 16), ("max-len", 512)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--lr", default="0.0002")
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    with open(a.rows) as f:
        rows = [pair(json.loads(line)) for line in f][:a.count]
    with open(f"{a.out}/rows.jsonl", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    with open(f"{a.out}/dlm.yaml", "w") as f:
        f.write(YAML.format(model=os.path.abspath(a.model), rank=a.rank, alpha=2 * a.rank, lr=a.lr, batch=a.batch, max_len=a.max_len))


if __name__ == "__main__":
    main()
