#!/usr/bin/env python3
"""Makes tokenizer.json.gz from the GGUF of SmolLM2-135M-Instruct.

usage: make.py MODEL.gguf    needs: pip install gguf

The tokens, their types and the merges are those of the file; what a GGUF cannot
say (the pre-tokeniser "smollm" spelt out) is the model's published pipeline.
"""
import gzip, json, pathlib, sys
import gguf

fields = gguf.GGUFReader(sys.argv[1]).fields
get = lambda key: fields["tokenizer.ggml." + key].contents()
assert get("pre") == "smollm"
tokens, types = get("tokens"), get("token_type")
doc = {
    "version": "1.0", "truncation": None, "padding": None,
    "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True} for i, t in enumerate(tokens) if types[i] == 3],
    "normalizer": None,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
    "post_processor": None,
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
              "vocab": {t: i for i, t in enumerate(tokens)}, "merges": get("merges")},
}
raw = json.dumps(doc, ensure_ascii=False, separators=(",", ":")).encode()
with open(pathlib.Path(__file__).parent / "tokenizer.json.gz", "wb") as f:
    with gzip.GzipFile(filename="", fileobj=f, mode="wb", compresslevel=9, mtime=0) as z:
        z.write(raw)
