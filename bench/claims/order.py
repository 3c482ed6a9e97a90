#!/usr/bin/env python3
"""What a dlm run sees, in the order in which it sees it, as train_peft.py reads it.

usage: order.py HF_DIR TRAIN.jsonl OUT.jsonl [--seed 1] [--epochs 1] [--batch-size 16] [--no-shuffle]

Ids and masks come from transformers' tokenizer and the base's chat template (`make interop` checks that dlm's are the same); the
order repeats `permutation` of dlm/engine/train: each example gets a key from SplitMix64 over (seed, epoch, example), and the epoch
goes through them by key. A completion is its text and the end-of-turn token;
dlm also carries the newline that the template writes after it, one token a row, which counts in no loss.
"""
import argparse
import json
import math

from transformers import AutoTokenizer

M64 = (1 << 64) - 1


def mix(z):
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = (z + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & M64
    return z ^ z >> 31


def permutation(n, seed, epoch, shuffle):
    base = mix(mix(seed) ^ epoch)
    return sorted(range(n), key=lambda i: mix(base ^ i)) if shuffle else list(range(n))


def encode(tok, messages):
    """(ids, mask) of a conversation with one answer, at its end."""
    p = tok(tok.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True), add_special_tokens=False).input_ids
    c = tok(messages[-1]["content"] + tok.eos_token, add_special_tokens=False).input_ids
    return p + c, [0] * len(p) + [1] * len(c)


def main():
    ap = argparse.ArgumentParser()
    for name in ("hf", "train", "out"):
        ap.add_argument(name)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--epochs", type=float, default=1.0)
    ap.add_argument("--batch-size", type=int, default=16)
    ap.add_argument("--no-shuffle", action="store_true")
    a = ap.parse_args()
    tok = AutoTokenizer.from_pretrained(a.hf)
    with open(a.train) as f:
        rows = [json.loads(line) for line in f]
    coded = [encode(tok, r["messages"]) for r in rows]
    per_epoch = -(-len(rows) // a.batch_size)
    steps = max(1, math.ceil(a.epochs * per_epoch - 1e-9))
    with open(a.out, "w") as f:
        for step in range(steps):
            epoch, k = divmod(step, per_epoch)
            for i in permutation(len(rows), a.seed, epoch, not a.no_shuffle)[k * a.batch_size:(k + 1) * a.batch_size]:
                f.write(json.dumps({"step": step, "id": rows[i].get("id", str(i)), "ids": coded[i][0], "mask": coded[i][1]}) + "\n")
    print(f"{steps} steps, {len(rows)} rows")


if __name__ == "__main__":
    main()
