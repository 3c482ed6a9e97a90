#!/usr/bin/env python3
"""Training times of a run of run.sh as a Markdown table. usage: times.py OUT_DIR"""
import datetime
import json
import os
import re
import sys

out = sys.argv[1]


def read(name):
    with open(os.path.join(out, name)) as f:
        return json.load(f)


def instant(s):  # Go writes up to nine digits of a second
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", s).replace("Z", "+00:00"))


d, p = read("dlm.run.json"), read("peft.train.json")
d = d.get("run", d)
with open(os.path.join(out, "dlm.rss")) as f:
    rss = int(f.read().split()[0]) * 1024
seconds = (instant(d["ended"]) - instant(d["started"])).total_seconds()
print("| trainer | precision | steps | tokens | seconds | tokens/s | peak memory | last loss |\n|---|---|---:|---:|---:|---:|---:|---:|")
for name, precision, steps, seconds, peak, loss in (
        ("dlm", d["params"]["precision"], int(d["metrics"]["step"]), seconds, rss, d["metrics"]["loss"]),
        ("PyTorch + PEFT", p["precision"], p["steps"], p["seconds"], p["peak_rss_bytes"], p["losses"][-1])):
    print(f"| {name} | {precision} | {steps} | {p['tokens']} | {seconds:.0f} | {p['tokens'] / seconds:.0f} | {peak / 2**30:.2f} GiB | {loss:.4f} |")
