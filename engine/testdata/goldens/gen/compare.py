#!/usr/bin/env python3
"""Committed goldens against ones made anew. usage: compare.py COMMITTED_DIR NEW_DIR [REL=1e-4]

Text, ids and structure must be equal; numbers within REL of the larger of the two (plus 1e-6). Prints the largest difference of
each file; exit code 1 when one is out. Versions may differ and are shown.
"""
import json
import os
import sys

import numpy as np
from safetensors.torch import load_file


def walk(a, b, path, out):
    if isinstance(a, bool) or isinstance(a, str) or a is None:
        out.append((0.0 if a == b else np.inf, path))
    elif isinstance(a, (int, float)):
        exact = isinstance(a, int) and isinstance(b, int)
        d = abs(a - b)
        out.append((0.0 if d == 0 else np.inf if exact else d / (max(abs(a), abs(b)) + 1e-2), path))
    elif isinstance(a, dict):
        if set(a) != set(b):
            out.append((np.inf, f"{path}: keys {sorted(set(a) ^ set(b))}"))
        for k in set(a) & set(b) - {"versions"}:
            walk(a[k], b[k], f"{path}/{k}", out)
    else:
        if len(a) != len(b):
            out.append((np.inf, f"{path}: length"))
        for i, (x, y) in enumerate(zip(a, b)):
            walk(x, y, f"{path}/{i}", out)


def main():
    old, new = sys.argv[1:3]
    limit, failed = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-4, False
    for root, _, files in sorted(os.walk(old)):
        for name in sorted(files):
            p = os.path.relpath(os.path.join(root, name), old)
            q, out = os.path.join(new, p), []
            if not name.endswith((".json", ".safetensors")) or not os.path.exists(q):
                continue
            if name.endswith(".json"):
                with open(os.path.join(old, p)) as f, open(q) as g:
                    walk(json.load(f), json.load(g), "", out)
            else:
                a, b = (load_file(x) for x in (os.path.join(old, p), q))
                out = [(((a[k] - b[k]).abs().max() / (a[k].abs().max() + 1e-9)).item(), k) for k in a] if a.keys() == b.keys() else [(np.inf, "tensor names")]
            worst = max(out, default=(0.0, ""))
            bad = worst[0] > limit
            failed |= bad
            print(f"{'FAIL' if bad else 'ok  '} {p}: largest relative difference {worst[0]:.1e} {worst[1] if worst[0] else ''}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
