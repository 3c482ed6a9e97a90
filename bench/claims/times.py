#!/usr/bin/env python3
"""Training times of a run of run.sh as a Markdown table. usage: times.py OUT_DIR"""
import json
import os
import sys

out = sys.argv[1]
with open(os.path.join(out, "dlm.train.json")) as f:
    d = json.load(f)
with open(os.path.join(out, "peft.train.json")) as f:
    p = json.load(f)
with open(os.path.join(out, "dlm.time")) as f:
    rss = int(f.read().split(",")[1].split()[0]) * 1024
d = d.get("result", d)
print("| trainer | steps | tokens | seconds | tokens/s | peak memory | last loss |\n|---|---:|---:|---:|---:|---:|---:|")
for name, steps, tokens, seconds, peak, loss in (
        ("dlm", d["steps"], d["tokens"], d["seconds"], rss, d["loss"]), (f"PEFT {p['precision']}", p["steps"], p["tokens"], p["seconds"], p["peak_rss_bytes"], p["losses"][-1])):
    print(f"| {name} | {steps} | {tokens} | {seconds:.0f} | {tokens / seconds:.0f} | {peak / 2**30:.2f} GiB | {loss:.4f} |")
