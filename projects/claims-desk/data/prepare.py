#!/usr/bin/env python3
"""Makes this folder's JSONL files from MultiDoGO's insurance turns. Not needed to run the project: the files are committed.

usage: python prepare.py TRAIN.tsv DEV.tsv [OUT_DIR]

TRAIN.tsv and DEV.tsv are data/paper_splits/splits_annotated_at_turn_level/insurance/{train,dev}.tsv of the repository named in
ATTRIBUTION.md. Python's standard library only. The same files give the same bytes.
"""
import collections
import csv
import hashlib
import json
import os
import re
import sys
import unicodedata

SOURCE_SHA256 = {"train": "290eb53eadb0d6d6dc986bc870b8600b1f66c64dbd76f677761ec06b24d350e7",
                 "dev": "235d9cf0571b64da28de5f4964a665744fd8d9486e8e45a7ce136f3f7e58efdd"}
SYSTEM = "File the customer's message as one JSON record."
SEED = "claims-desk-1"
TRAIN, HELD, MORE, GOLDEN = 1200, 100, 1200, 200  # rows
QUICK_TRAIN, QUICK_GOLDEN = 400, 80
NEAR = 0.9  # golden items this similar to any training message (Jaccard of character trigrams) are left out

NEW_MESSAGES = [  # written for this project; in none of the sets
    "hello my name is priya raman and i want to know where my claim ghk 771 stands",
    "i drive a toyota corolla 2019",
    "the screen of my phone broke when i dropped it on the stairs",
    "sure my policy number is rpl 448190263 and my email is dayo 77 gmailcom",
    "no that is all thanks a lot",
    "Could you recommend a good restaurant near your office?",  # nothing to file, and written unlike the training rows
]


def normal(text):
    """The form in which two messages count as the same: NFKC, lower case, letters and digits only, single spaces."""
    return " ".join(re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).lower()).split())


def trigrams(text):
    t = f"  {normal(text)}  "
    return {t[i:i + 3] for i in range(len(t) - 2)}


def order(key):
    """A seeded shuffle that depends on no random generator: sort by hash."""
    return hashlib.sha256(f"{SEED}/{key}".encode()).hexdigest()


def record(words, labels, intent):
    """The JSON record of one turn: intent first, then slots in order of appearance; None when a slot stands in two places."""
    rec, last = {"intent": intent}, "O"
    for w, l in zip(words, labels):
        if l != "O":
            if l not in rec:
                rec[l] = w
            elif l == last:
                rec[l] += " " + w
            else:
                return None
        last = l
    return rec


def read(path, split):
    """Usable turns: (text, record as JSON, conversation), and a count of what was left out and why."""
    with open(path, "rb") as f:
        got = hashlib.sha256(f.read()).hexdigest()
    if got != SOURCE_SHA256[split]:
        sys.exit(f"{path}: sha256 is {got}, expected {SOURCE_SHA256[split]}: not the file that ATTRIBUTION.md names")
    out, why = [], collections.Counter()
    with open(path, newline="", encoding="utf-8") as f:
        for r in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            text, labels, intent = ((r[k] or "").strip() for k in ("utterance", "slot-labels", "intent"))
            words, labels = text.split(), labels.split()
            if not normal(text) or not labels or not intent:
                why["empty message, labels or intent"] += 1
            elif len(words) != len(labels) or not re.fullmatch("[a-z]+", intent):
                why["columns do not line up"] += 1
            elif (rec := record(words, labels, intent)) is None:
                why["a slot in two separate places"] += 1
            else:
                out.append((text, json.dumps(rec, ensure_ascii=False), r["conversationId"]))
    return out, why


def distinct(turns, why):
    """One row a normalised message. Where annotators disagree the majority decides; a tie leaves the message out."""
    by = collections.OrderedDict()
    for t in turns:
        by.setdefault(normal(t[0]), []).append(t)
    rows = {}
    for key, group in by.items():
        votes = collections.Counter(rec.lower() for _, rec, _ in group).most_common(2)
        if len(votes) > 1 and votes[0][1] == votes[1][1]:
            why["annotators disagree, no majority"] += 1
            continue
        if len(votes) > 1:
            why["annotators disagree, majority taken"] += 1
        why["repetitions"] += len(group) - 1
        rows[key] = next(t for t in group if t[1].lower() == votes[0][0])
    return rows


def tags(rec):
    rec = json.loads(rec)
    return ["intent:" + rec["intent"], f"slots:{min(len(rec) - 1, 2)}" + ("+" if len(rec) > 2 else "")]


def prompt(text):
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def row(prefix, key, t):
    return {"id": f"{prefix}-{hashlib.sha256(key.encode()).hexdigest()[:10]}", "messages": prompt(t[0]) + [{"role": "assistant", "content": t[1]}], "tags": tags(t[1])}


def item(key, t):
    return {"id": f"g-{hashlib.sha256(key.encode()).hexdigest()[:10]}", "messages": prompt(t[0]), "target": t[1], "tags": tags(t[1]), "cluster": t[2]}


def write(out, name, rows):
    with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")
    print(f"{name}: {len(rows)} rows")


def golden_items(train, dev, why):
    """Dev messages that occur in no training turn, nor nearly so, from conversations of which no turn is trained on."""
    seen = {c for _, _, c in train.values()}
    grams = [trigrams(t[0]) for t in train.values()]
    for key, t in sorted(dev.items(), key=lambda kv: order("golden/" + kv[0])):
        if key in train:
            why["message also in train"] += 1
        elif t[2] in seen:
            why["conversation also in train"] += 1
        elif any(len(g & h) >= NEAR * len(g | h) for g in [trigrams(t[0])] for h in grams):
            why["nearly the same message in train"] += 1
        else:
            yield item(key, t)


def planted(rows):
    """Ten good rows and one whose answer an exporter filed under the wrong role: nothing in it would be learnt."""
    bad = json.loads(json.dumps(rows[10]))
    bad["id"] = "planted-1"
    bad["messages"][-1]["role"] = "user"
    return rows[:4] + [bad] + rows[4:10]


def shifted(rows):
    """Rows whose answers belong to the next row: an adapter trained on them is worse, whatever its loss says."""
    return [{**r, "id": "shifted-" + r["id"], "messages": r["messages"][:2] + [n["messages"][2]]} for r, n in zip(rows, rows[1:] + rows[:1])]


def main():
    out = sys.argv[3] if len(sys.argv) > 3 else os.path.dirname(os.path.abspath(__file__))
    turns, why_train = read(sys.argv[1], "train")
    train = distinct(turns, why_train)
    turns, why_dev = read(sys.argv[2], "dev")
    dev = distinct(turns, why_dev)
    golden = list(golden_items(train, dev, why_dev))
    ordered = [row("t", k, t) for k, t in sorted(train.items(), key=lambda kv: order("train/" + kv[0]))]
    print(f"train: {len(train)} distinct messages; left out {dict(why_train)}")
    print(f"dev: {len(dev)} distinct messages, {len(golden)} fit for the golden set; left out {dict(why_dev)}")
    write(out, "train.jsonl", ordered[:TRAIN])
    write(out, "held.jsonl", ordered[TRAIN:TRAIN + HELD])
    write(out, "train-more.jsonl", ordered[TRAIN + HELD:TRAIN + HELD + MORE])
    write(out, "golden.jsonl", golden[:GOLDEN])
    write(out, "quick-train.jsonl", ordered[:QUICK_TRAIN])
    write(out, "quick-golden.jsonl", golden[:QUICK_GOLDEN])
    write(out, "planted.jsonl", planted(ordered[:11]))
    write(out, "shifted.jsonl", shifted(ordered[:200]))
    write(out, "new_messages.jsonl", [{"id": f"new-{i + 1}", "messages": prompt(m)} for i, m in enumerate(NEW_MESSAGES)])


if __name__ == "__main__":
    main()
