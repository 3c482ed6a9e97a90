#!/usr/bin/env python3
"""Scores two sets of answers to one golden set and gives the paired difference with its interval.

usage: compare.py GOLDEN.jsonl NAME_A=FILE NAME_B=FILE [--json]

FILE is what predict_peft.py writes, or a report of `dlm eval` as FILE.json#ARM (the samples of that arm). Metrics: exact record
(equal JSON objects, key order aside), intent, valid JSON (an object), slot F1 (micro, over key-value pairs but the intent). The
difference is A minus B on the same items: Tango's score interval (95%) for the first three, a paired bootstrap for slot F1.
Written apart from dlm's own scorers and gate on purpose: it checks them.
"""
import json
import sys

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm


def answers(spec):
    path, _, arm = spec.partition("#")
    if arm:
        with open(path) as f:
            report = json.load(f)
        report = report.get("report", report)
        names = [x["name"] for x in report["arms"]]
        if arm not in names:
            sys.exit(f"{path} has no arm {arm!r}; it has {', '.join(names)}")
        rows = report["arms"][names.index(arm)]["samples"]
    else:
        with open(path) as f:
            rows = [json.loads(line) for line in f]
    return {r["item_id"]: r["completion"] for r in rows}


def parse(text):
    try:
        v = json.loads(text)
    except ValueError:
        return None
    return v if isinstance(v, dict) else None


def score(text, target):
    got, want = parse(text), json.loads(target)
    pairs = lambda d: {(k, json.dumps(v)) for k, v in (d or {}).items() if k != "intent"}
    g, w = pairs(got), pairs(want)
    return {"record": float(got == want), "intent": float((got or {}).get("intent") == want["intent"]), "valid": float(got is not None), "slots": (len(g & w), len(g - w), len(w - g))}


def f1(counts):
    tp, fp, fn = np.sum(counts, axis=0)
    return 2 * tp / max(1, 2 * tp + fp + fn)


def tango(b, c, n, level=0.95):
    """Score interval of (b - c) / n, where b and c count the two kinds of discordant pairs (Tango, Statistics in Medicine 17, 1998)."""
    z = norm.ppf(0.5 + level / 2)

    def statistic(d):
        A, B, C = 2 * n, -b - c + (2 * n - b + c) * d, -c * d * (1 - d)
        q = (np.sqrt(max(B * B - 4 * A * C, 0.0)) - B) / (2 * A)  # probability of the second kind, given the difference d
        v = n * (2 * q + d * (1 - d))
        num = b - c - n * d
        return num / np.sqrt(v) if v > 0 else np.copysign(np.inf, num) if num else 0.0

    est, end = (b - c) / n, 1 - 1e-12
    low = brentq(lambda d: min(statistic(d), 1e9) - z, -end, est) if est > -end and statistic(-end) > z else -1.0
    high = brentq(lambda d: max(statistic(d), -1e9) + z, est, end) if est < end and statistic(end) < -z else 1.0
    return low, high


def main():
    args = [x for x in sys.argv[1:] if x != "--json"]
    with open(args[0]) as f:
        golden = {r["id"]: r for r in map(json.loads, f)}
    (na, fa), (nb, fb) = (x.split("=", 1) for x in args[1:3])
    A, B = answers(fa), answers(fb)
    ids = [i for i in golden if i in A and i in B]
    if set(A) != set(B) or not ids:
        sys.exit(f"the two sides answer different items ({len(A)} and {len(B)}, {len(ids)} shared with the golden set)")
    sa, sb = ([score(x[i], golden[i]["target"]) for i in ids] for x in (A, B))
    n, out = len(ids), {"items": len(ids), "a": na, "b": nb, "equal_text": sum(A[i].strip() == B[i].strip() for i in ids), "metrics": {}}
    for m in ("record", "intent", "valid"):
        x, y = np.array([s[m] for s in sa]), np.array([s[m] for s in sb])
        b, c = int(((x == 1) & (y == 0)).sum()), int(((x == 0) & (y == 1)).sum())
        low, high = tango(b, c, n)
        out["metrics"][m] = {"a": x.mean(), "b": y.mean(), "difference": (b - c) / n, "low": low, "high": high, "only_a": b, "only_b": c}
    ca, cb = (np.array([s["slots"] for s in side]) for side in (sa, sb))
    draws = np.random.default_rng(1).integers(0, n, (2000, n))
    diffs = np.array([f1(ca[d]) - f1(cb[d]) for d in draws])
    out["metrics"]["slot_f1"] = {"a": f1(ca), "b": f1(cb), "difference": f1(ca) - f1(cb), "low": np.quantile(diffs, 0.025), "high": np.quantile(diffs, 0.975)}
    if "--json" in sys.argv:
        print(json.dumps(out, default=float))
        return
    print(f"{n} items; {out['equal_text']} answers are the same text\n")
    print(f"| metric | {na} | {nb} | {na} - {nb} | 95% interval | only {na} | only {nb} |\n|---|---:|---:|---:|---|---:|---:|")
    for m, r in out["metrics"].items():
        print(f"| {m} | {r['a']:.3f} | {r['b']:.3f} | {r['difference']:+.3f} | {r['low']:+.3f} to {r['high']:+.3f} | {r.get('only_a', '')} | {r.get('only_b', '')} |")


if __name__ == "__main__":
    main()
