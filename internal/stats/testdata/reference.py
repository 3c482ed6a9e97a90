"""Reference values for package stats, from SciPy and from first principles.

usage: python reference.py > reference.json     (needs scipy and numpy)

Tango's limits are found without his closed form: the constrained likelihood is
maximised numerically over the probability of "second only", the score statistic
is built from its definition, and the limits are roots of it.
"""
import json
import math

import numpy as np
import scipy
from scipy import optimize, stats


def constrained(b, c, n, d):
    """argmax over q of b log(q + d) + c log q + (n - b - c) log(1 - 2q - d)."""
    lo, hi = max(0.0, -d), (1 - d) / 2
    a = n - b - c

    def term(k, x):
        if k == 0:
            return 0.0
        return k * math.log(x) if x > 0 else -math.inf

    def nll(q):
        return -(term(b, q + d) + term(c, q) + term(a, 1 - 2 * q - d))

    grid = np.linspace(lo, hi, 2001)
    values = [nll(q) for q in grid]
    i = int(np.argmin(values))
    left, right = grid[max(i - 1, 0)], grid[min(i + 1, 2000)]
    r = optimize.minimize_scalar(nll, bounds=(left, right), method="bounded", options={"xatol": 1e-14, "maxiter": 1000})
    best = min([(r.fun, r.x), (nll(left), left), (nll(right), right)])
    return best[1]


def statistic(b, c, n, d):
    q = constrained(b, c, n, d)
    variance = n * (2 * q + d * (1 - d))
    return (b - c - n * d) / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, b - c - n * d)


def tango(b, c, n, level):
    z = stats.norm.ppf(1 - (1 - level) / 2)
    d = (b - c) / n
    e = 1e-9
    low = -1.0 if d <= -1 else optimize.brentq(lambda x: statistic(b, c, n, x) - z, -1 + e, d - e, xtol=1e-12)
    high = 1.0 if d >= 1 else optimize.brentq(lambda x: statistic(b, c, n, x) + z, d + e, 1 - e, xtol=1e-12)
    return low, high


out = {"scipy": scipy.__version__, "numpy": np.__version__, "tango": [], "wilson": [], "mcnemar": [], "critical": [], "bootstrap": []}
for b, c, n, level in [(0, 1, 44, 0.9), (1, 7, 21, 0.95), (25, 28, 618, 0.9), (40, 20, 160, 0.95), (0, 0, 50, 0.95),
                       (0, 0, 300, 0.9), (12, 0, 300, 0.95), (0, 12, 300, 0.95), (55, 5, 60, 0.95), (3, 2, 10, 0.99),
                       (150, 150, 300, 0.95), (7, 2, 1000, 0.95)]:
    low, high = tango(b, c, n, level)
    out["tango"].append({"b": b, "c": c, "n": n, "level": level, "low": low, "high": high})
for k, n, level in [(0, 10, 0.95), (10, 10, 0.95), (134, 200, 0.95), (1, 3, 0.9), (299, 300, 0.99)]:
    ci = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    out["wilson"].append({"k": k, "n": n, "level": level, "low": ci.low, "high": ci.high})
for b, c in [(0, 0), (5, 0), (1, 7), (53, 49), (30, 12)]:
    p = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    out["mcnemar"].append({"b": b, "c": c, "p": p})
for level, clusters in [(0.95, 0), (0.9, 0), (0.95, 2), (0.95, 12), (0.99, 181)]:
    p = 1 - (1 - level) / 2
    v = stats.norm.ppf(p) if clusters == 0 else stats.t.ppf(p, clusters - 1)
    out["critical"].append({"level": level, "clusters": clusters, "value": v})
rng = np.random.default_rng(7)
for name, x in [("skewed", rng.beta(0.4, 2.0, 60)), ("high", 1 - rng.beta(0.5, 6.0, 120)), ("small", rng.random(12))]:
    x = np.round(x, 4)
    r = stats.bootstrap((x,), np.mean, n_resamples=200000, confidence_level=0.95, method="BCa", rng=np.random.default_rng(1), batch=2000)
    out["bootstrap"].append({"name": name, "values": x.tolist(), "low": r.confidence_interval.low, "high": r.confidence_interval.high, "se": r.standard_error})
# The variance of few values is biased in resamples: its interval shows the bias correction.
x = np.round(np.random.default_rng(8).exponential(size=25), 4)
r = stats.bootstrap((x,), np.var, n_resamples=200000, confidence_level=0.9, method="BCa", rng=np.random.default_rng(2), batch=2000)
out["variance"] = {"values": x.tolist(), "low": r.confidence_interval.low, "high": r.confidence_interval.high, "se": r.standard_error}
print(json.dumps(out, indent=1))
