#!/usr/bin/env python3
"""One line of the versions that measured: Python packages, llama.cpp's build. usage: versions.py RESULTS.jsonl"""
import json
import sys

seen = {}
for line in open(sys.argv[1]):
    r = json.loads(line)
    for name, v in r.get("versions", {}).items():
        seen.setdefault(name, set()).add(v)
    if "build" in r:
        seen.setdefault("llama.cpp build", set()).add(r["build"])
print("; ".join(f"{name} {' and '.join(sorted(v))}" for name, v in seen.items()) or "versions of peers not recorded")
