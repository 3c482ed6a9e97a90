#!/usr/bin/env python3
"""tokenizer.json and chat_template.json: ids and rendered conversations of the strings that stand in the committed files.

usage: text.py HF_DIR OUT_DIR

The strings and conversations are read from the committed goldens (they are the input); all else is computed anew.
"""
import json
import os

import base


def tokens(tok, old):
    rows = []
    for case in old["cases"]:
        s = case["text"]
        ids = tok(s, add_special_tokens=True).input_ids
        tok.backend_tokenizer.encode_special_tokens = True
        plain = tok.backend_tokenizer.encode(s, add_special_tokens=False).ids
        tok.backend_tokenizer.encode_special_tokens = False
        rows.append({"text": s, "ids": ids, "ids_plain": plain, "decoded": tok.decode(ids, skip_special_tokens=False), "decoded_skip": tok.decode(ids, skip_special_tokens=True)})
    return {"note": old["note"], "versions": base.versions("transformers", "tokenizers"), "cases": rows}


def conversations(tok, old):
    out = []
    for case in old["cases"]:
        e = {"messages": case["messages"]}
        for gen in (False, True):
            k = "gen" if gen else "plain"
            e[f"text_{k}"] = tok.apply_chat_template(case["messages"], tokenize=False, add_generation_prompt=gen)
            e[f"ids_{k}"] = tok(e[f"text_{k}"], add_special_tokens=False).input_ids
        out.append(e)
    return {"chat_template": tok.chat_template, "note": old["note"], "cases": out}


def main():
    hf, out = base.arguments()
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    tok = base.tokenizer(hf)
    for name, make in (("tokenizer.json", tokens), ("chat_template.json", conversations)):
        with open(f"{here}/{name}") as f:
            old = json.load(f)
        base.write(f"{out}/{name}", make(tok, old), ensure_ascii=True, indent=0)


if __name__ == "__main__":
    main()
