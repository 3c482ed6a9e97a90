#!/usr/bin/env python3
"""Lines of JSON from run.sh -> a Markdown table with medians. usage: table.py RESULTS.jsonl"""
import collections
import json
import statistics
import sys

rows = collections.OrderedDict()
for line in open(sys.argv[1]):
    r = json.loads(line)
    rows.setdefault((r["batch"], r["seq"], r["precision"], r["engine"]), []).append(r)
base = {k[:2]: statistics.median(r["tokens_per_second"] for r in v) for k, v in rows.items() if k[2:] == ("f32", "peft")}
print("| batch x tokens | engine | precision | tokens/s (median) | runs | against PEFT f32 | peak memory |")
print("|---|---|---|---:|---|---:|---:|")
for (b, t, precision, engine), v in sorted(rows.items()):
    each = [r["tokens_per_second"] for r in v]
    ratio = f"{statistics.median(each) / base[b, t]:.2f}x" if (b, t) in base else ""
    print(f"| {b} x {t} | {engine} | {precision} | {statistics.median(each):.0f} | {', '.join(f'{x:.0f}' for x in each)} | {ratio} | "
          f"{max(r['peak_rss_bytes'] for r in v) / 2**30:.2f} GiB |")
