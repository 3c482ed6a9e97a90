#!/usr/bin/env python3
"""Lines of JSON -> Markdown: a table for each work, and what was wanted beside what was measured. usage: table.py GOALS.json RESULTS.jsonl...

A figure is the median over rounds; beside it every round's. Ratios are dlm's median over the other's.
"""
import json
import statistics
import sys


class Row:
    """The rounds of one engine in one setting at one work."""

    def __init__(self, work, engine, setting):
        self.work, self.engine, self.setting, self.rounds, self.why = work, engine, setting, [], []

    def add(self, r):
        if "not_run" in r:
            self.why.append("not run: " + r["not_run"])
        elif "failed" in r:
            self.why.append("failed: " + r["failed"])
        else:
            self.rounds.append(r)

    def each(self, metric):
        return [r[metric] for r in self.rounds if r.get(metric)]

    def median(self, metric):
        each = self.each(metric)
        return statistics.median(each) if each else None

    def wait(self, metric):
        """p50 and p99 of times, as medians over rounds."""
        each = [r for r in self.each(metric) if r.get("count", 1)]  # none: no request ended in the window
        return " / ".join(f"{statistics.median(r[q] for r in each):.1f}" for q in ("p50", "p99")) if each else ""

    def memory(self):
        return max(self.each("peak_rss_bytes"), default=None)


def load(paths):
    rows = {}
    for path in paths:
        with open(path) as f:
            for line in f:
                r = json.loads(line)
                key = r["work"], r["engine"], r["setting"]
                rows.setdefault(key, Row(*key)).add(r)
    return list(rows.values())


def metric_of(goals, work):
    return goals["metric"].get(work, "tokens_per_second")


def best(rows, metric):
    return max((r for r in rows if r.median(metric)), key=lambda r: r.median(metric), default=None)


def name(r):
    return r.engine + (f" ({r.setting})" if r.setting else "")


def tables(goals, rows):
    for work in dict.fromkeys(r.work for r in rows):
        here, metric = [r for r in rows if r.work == work], metric_of(goals, work)
        ours = best([r for r in here if r.engine == "dlm"], metric)
        waits = any(r.each("ttft_ms") for r in here)
        both = any(r.median("whole_tokens_per_second") for r in here)
        print(f"**{work}**" + (f", {goals['says'][work]}" if work in goals["says"] else ""), end="\n\n")
        print(f"| engine | setting | tokens/s | rounds{' (whole)' if metric.startswith('whole') else ''} |" + (" whole tokens/s |" if both else "") + (" TTFT ms | ITL ms |" if waits else "")
              + " dlm over it | peak memory |")
        print("|---|---|---:|---|" + ("---:|" if both else "") + ("---:|---:|" if waits else "") + "---:|---:|")
        for r in here:
            if not r.rounds:
                print(f"| {r.engine} | {r.setting} | {'; '.join(dict.fromkeys(r.why))} | |" + (" |" if both else "") + (" | |" if waits else "") + " | |")
                continue
            speed, whole, memory = r.median("tokens_per_second"), r.median("whole_tokens_per_second"), r.memory()
            shown = metric if r.each(metric) else "tokens_per_second"
            ratio = f"{ours.median(metric) / r.median(metric):.2f}x" if ours and ours is not r and r.median(metric) else ""
            print(f"| {r.engine} | {r.setting} | {f'{speed:.0f}' if speed else ''} | {', '.join(f'{x:.0f}' for x in r.each(shown))}"
                  f"{' (' + '; '.join(dict.fromkeys(r.why)) + ')' if r.why else ''} |" + (f" {f'{whole:.0f}' if whole else ''} |" if both else "")
                  + (f" {r.wait('ttft_ms')} | {r.wait('itl_ms')} |" if waits else "") + f" {ratio} | {f'{memory / 2**30:.2f} GiB' if memory else ''} |")
        print()


def against(goal, rows, metric):
    """The rows that a goal compares with."""
    if "own" in goal:
        return [r for r in rows if r.engine == "dlm" and r.work == goal["own"]]
    out = [r for r in rows if r.engine != "dlm" and r.work == goal["work"]]
    if "engines" in goal:
        out = [r for r in out if r.engine in goal["engines"]]
    if "setting" in goal:
        out = [r for r in out if r.setting == goal["setting"]]
    return [r for r in out if goal.get("with", "") in r.setting and not ("skip" in goal and goal["skip"] in r.setting)]


def summary(goals, rows):
    works, lines = {r.work for r in rows}, []
    for g in goals["goals"]:
        if g["work"] not in works:
            continue
        metric = g.get("metric", metric_of(goals, g["work"]))
        mine = best([r for r in rows if r.engine == "dlm" and r.work == g["work"]], metric)
        others = against(g, rows, metric)
        if g.get("measure") == "memory":
            other = min((r for r in others if r.memory()), key=Row.memory, default=None)
            value = mine.memory() / other.memory() if mine and other else None
            wanted, met = f"at most {g['at_most']:.2f}x the least memory of the peers", value is not None and value <= g["at_most"]
        else:
            other = best(others, metric)
            value = mine.median(metric) / other.median(metric) if mine and other else None
            wanted, met = f"at least {g['at_least']}x {g['than']}", value is not None and value >= g["at_least"]
        lines.append(f"| {g['work']} | {wanted} | {f'{value:.2f}x' if value else 'not measured'} | {name(other) if other else ''} | {'yes' if met else 'no' if value else ''} |")
    if not lines:
        return
    if any(r.engine != "dlm" and not r.rounds for r in rows):
        print("Not every peer ran, so a better one may be missing from these comparisons.", end="\n\n")
    print("| work | wanted | measured | against | met |\n|---|---|---:|---|---|")
    print("\n".join(lines))


def main():
    with open(sys.argv[1]) as f:
        goals = json.load(f)
    rows = load(sys.argv[2:])
    tables(goals, rows)
    summary(goals, rows)


if __name__ == "__main__":
    main()
