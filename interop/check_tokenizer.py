#!/usr/bin/env python3
"""dlm's token ids and chat rendering against Hugging Face's tokenizers and transformers.

usage: check_tokenizer.py (NAME DLM_BASE HF_DIR)...      env: DLM, FUZZ=3000 (strings a base), SEED=1
"""
import json
import os
import random
import sys
import tempfile

from transformers import AutoTokenizer

from dlm import check, dlm, done

CLASSES = [
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", " ", " \t\n\r\v\f", ".,;:!?'\"()[]{}<>|/\\@#$%^&*-_=+~`",
    "äöüßéèñçÅÆøþđłžſıİ", "приветмирЖЩ", "你好世界漢字東京", "こんにちはカタカナｶﾅ", "안녕하세요", "مرحبا", "שלום", "नमस्ते", "ไทยภาษา", "½²³ⅣⅫ٣٤٥१२３",
    "😀👋🏽👨‍👩‍👧🇫🇷🏳️‍🌈", "\u00a0\u2003\u3000\u200b\u200d\ufeff\u2028\u0085", "\u0301\u0308\u0327\u0344\u212b\u1e9b\u0323", "𝕄𝒳𐍈𓀀", "\x00\x01\x1d\x7f\x1f",
]
WORDS = ["don't", "I'LL", "we'Ve", "'s", "ſ", "'ſ", "http://a.b/c?d=e", "x86_64", "{\"intent\": \"a\"}", "12345678", "3.14", "\r\n\r\n", "   ", "\n \n", "the", "Hello",
         "claim", "<|im_end", "|>", "<|", "</s>", "e\u0301", "\u1100\u1161\u11a8"]


def strings(n, rng, specials):
    """Adversarial strings that hold no special token."""
    out = []
    while len(out) < n:
        parts = []
        for _ in range(rng.randint(1, 12)):
            k = rng.random()
            if k < 0.3:
                parts.append(rng.choice(WORDS))
            elif k < 0.36:
                parts.append(chr(rng.choice([rng.randint(1, 0x7ff), rng.randint(0x800, 0xd7ff), rng.randint(0xe000, 0xfffd), rng.randint(0x10000, 0x1ffff)])))
            else:
                c = rng.choice(CLASSES)
                parts.append("".join(rng.choice(c) for _ in range(rng.randint(1, 6))))
        s = "".join(parts)
        if not any(x in s for x in specials):
            out.append(s)
    return out


def ids_of(base, text, special, tmp):
    path = os.path.join(tmp, "text.txt")
    with open(path, "w", newline="") as f:
        f.write(text)
    return [t["id"] for t in dlm("tokenize", "--base", base, "--file", path, *(["--special"] if special else []))["tokens"]]


def split(ids, at):
    out = [[]]
    for i in ids:
        if i == at:
            out.append([])
        else:
            out[-1].append(i)
    return out


def fuzz(name, base, tok, tmp):
    """All strings in one call, parted by a special token, which nothing merges across."""
    rng = random.Random(int(os.environ.get("SEED", "1")))
    texts = strings(int(os.environ.get("FUZZ", "3000")), rng, tok.all_special_tokens)
    sep, sep_id = tok.eos_token, tok.eos_token_id
    ours = split(ids_of(base, sep.join(texts), True, tmp), sep_id)
    theirs = [tok(t, add_special_tokens=False).input_ids for t in texts]
    bad = [(t, a, b) for t, a, b in zip(texts, ours, theirs) if a != b]
    check(f"{name}: ids of {len(texts)} fuzzed strings", len(ours) == len(texts) and not bad, f"{len(bad)} differ, first {bad[0]!r}" if bad else "")
    whole = "\n".join(texts[:200])
    check(f"{name}: ids of one long text", ids_of(base, whole, False, tmp) == tok(whole, add_special_tokens=False).input_ids)


def plain_specials(name, base, tok, tmp):
    """Special tokens inside text are text, unless asked otherwise."""
    text = "a" + "".join(tok.all_special_tokens) + " b " + tok.eos_token
    tok.backend_tokenizer.encode_special_tokens = True
    plain = tok.backend_tokenizer.encode(text, add_special_tokens=False).ids
    tok.backend_tokenizer.encode_special_tokens = False
    check(f"{name}: special tokens as text", ids_of(base, text, False, tmp) == plain)
    check(f"{name}: special tokens parsed", ids_of(base, text, True, tmp) == tok(text, add_special_tokens=False).input_ids)


def template(name, base, tok, tmp):
    """Conversations as the base's own template writes them."""
    for i, msgs in enumerate([
            [{"role": "user", "content": "Is it the left side?"}],
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  two  spaces \n"}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "日本語 😀"}]]):
        path = os.path.join(tmp, "m.json")
        with open(path, "w") as f:
            json.dump({"messages": msgs}, f)
        for gen in (False, True):
            ours = dlm("render", path, "--base", base, *(["--generation-prompt"] if gen else []))["text"]
            check(f"{name}: template, conversation {i + 1}{', generation prompt' if gen else ''}", ours == tok.apply_chat_template(msgs, tokenize=False, add_generation_prompt=gen), "")


def main():
    args = sys.argv[1:]
    with tempfile.TemporaryDirectory() as tmp:
        for name, base, hf in zip(args[::3], args[1::3], args[2::3]):
            tok = AutoTokenizer.from_pretrained(hf)
            fuzz(name, base, tok, tmp)
            plain_specials(name, base, tok, tmp)
            template(name, base, tok, tmp)
    done()


if __name__ == "__main__":
    main()
