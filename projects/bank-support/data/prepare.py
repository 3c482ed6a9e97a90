#!/usr/bin/env python3
"""Makes this folder's JSONL files from banking77. Not needed to run the project: the files are committed.

usage: python prepare.py TRAIN.csv TEST.csv [OUT_DIR]

TRAIN.csv and TEST.csv are banking_data/{train,test}.csv of the repository named in ATTRIBUTION.md; of TEST.csv only every second
row (0, 2, 4 ... without the header) is used, and a file that holds just those rows is taken as well. Python's standard library
only. The same files give the same bytes.
"""
import collections
import csv
import hashlib
import json
import os
import re
import sys
import unicodedata

SOURCE_SHA256 = {"train": ["b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b"],
                 "test": ["5ad35275a3ef24296747edfc14c42a46c44b3de567f88981def72d72c754e370"]}
SYSTEM = "Route the customer's question: answer with one JSON record of intent and route."
SEED = "bank-support-1"
PER_INTENT = {"train": 30, "held": 1, "quick": 8}  # rows an intent; some intents have only 35 training questions
GOLDEN, QUICK_GOLDEN = 300, 77
NEAR = 0.9


def normal(text):
    """The form in which two questions count as the same: NFKC, lower case, letters and digits only, single spaces."""
    return " ".join(re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).lower()).split())


def trigrams(text):
    t = f"  {normal(text)}  "
    return {t[i:i + 3] for i in range(len(t) - 2)}


def order(key):
    """A seeded shuffle that depends on no random generator: sort by hash."""
    return hashlib.sha256(f"{SEED}/{key}".encode()).hexdigest()


def read(path, split):
    """{normalised question: (question, intent)}; a question with two intents is left out."""
    with open(path, "rb") as f:
        raw = f.read()
    got = hashlib.sha256(raw).hexdigest()
    rows = list(csv.DictReader(raw.decode("utf-8").splitlines(keepends=True)))
    if got not in SOURCE_SHA256[split]:
        if split == "train" or len(rows) != 3080:
            sys.exit(f"{path}: sha256 is {got}, expected {SOURCE_SHA256[split]}: not the file that ATTRIBUTION.md names")
        rows = rows[::2]  # the whole test file
    by = collections.OrderedDict()
    for r in rows:
        by.setdefault(normal(r["text"]), []).append((" ".join(r["text"].split()), r["category"].lower().rstrip("?")))
    conflicts = [k for k, v in by.items() if len({i for _, i in v}) > 1]
    print(f"{split}: {len(rows)} rows, {len(by)} distinct, {len(conflicts)} with two intents left out")
    return {k: v[0] for k, v in by.items() if k not in conflicts}


def balanced(rows, label):
    """Rows in turns: the first of every intent, then the second of every intent and so on; each turn in shuffled order."""
    by = collections.defaultdict(list)
    for k, v in sorted(rows.items(), key=lambda kv: order(label + "/" + kv[0])):
        by[v[1]].append((k, v))
    for i in range(max(map(len, by.values()))):
        yield from sorted((v[i] for v in by.values() if i < len(v)), key=lambda kv: order(f"{label}/{i}/{kv[0]}"))


def write(out, name, rows):
    with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")
    print(f"{name}: {len(rows)} rows")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[3] if len(sys.argv) > 3 else here
    with open(os.path.join(here, "routes.json"), encoding="utf-8") as f:
        team = {i: t for t, intents in json.load(f).items() for i in intents}
    train, test = read(sys.argv[1], "train"), read(sys.argv[2], "test")
    intents = {i for _, i in train.values()}
    assert intents == set(team) and len(intents) == 77, intents ^ set(team)
    grams = [trigrams(q) for q, _ in train.values()]
    unseen = {k: v for k, v in test.items() if k not in train}
    fit = {k: v for k, v in unseen.items() if not any(len(g & h) >= NEAR * len(g | h) for g in [trigrams(v[0])] for h in grams)}
    print(f"golden: {len(test) - len(unseen)} questions also in train, {len(unseen) - len(fit)} nearly so; {len(fit)} left")

    def target(i):
        return json.dumps({"intent": i, "route": team[i]})

    def prompt(q):
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": q}]

    def row(k, v):
        return {"id": "t-" + hashlib.sha256(k.encode()).hexdigest()[:10], "messages": prompt(v[0]) + [{"role": "assistant", "content": target(v[1])}], "tags": ["route:" + team[v[1]]]}

    def item(k, v):
        return {"id": "g-" + hashlib.sha256(k.encode()).hexdigest()[:10], "messages": prompt(v[0]), "target": target(v[1]), "tags": ["route:" + team[v[1]]]}

    rows, n = [row(k, v) for k, v in balanced(train, "train")], len(intents)
    first, held = PER_INTENT["train"] * n, PER_INTENT["held"] * n
    assert min(collections.Counter(i for _, i in train.values()).values()) >= PER_INTENT["train"] + PER_INTENT["held"]
    items = [item(k, v) for k, v in balanced(fit, "golden")]
    write(out, "train.jsonl", rows[:first])
    write(out, "held.jsonl", rows[first:first + held])
    write(out, "quick-train.jsonl", rows[:PER_INTENT["quick"] * n])
    write(out, "golden.jsonl", items[:GOLDEN])
    write(out, "quick-golden.jsonl", items[:QUICK_GOLDEN])


if __name__ == "__main__":
    main()
