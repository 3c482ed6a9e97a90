#!/usr/bin/env python3
"""Makes the tiny vocabularies of this folder and the ids that the reference gives.

usage: make.py    needs: pip install tokenizers==0.23.3

For each pre-tokeniser a byte-level BPE of some 900 tokens is trained on the text
below, and a few hundred strings, made with a fixed seed to be awkward, are
tokenised with it: `ids` with special tokens parsed, `plain` without.
"""
import gzip, json, pathlib, random
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SEED = 20261124
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ATOMS = ["'", "s", "S", "t", "re", "RE", "ve", "m", "ll", "LL", "d", "ſ", "ß", "ﬅ", "K", " ", "  ", "\n", "\r", "\r\n", "\t",
         "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\u200b", "\x0b", "\x0c", "\x1c", "\x1f", "a", "b", "Z", "é", "e\u0301", "ü",
         "u\u0308", "ñ", "\u212b", "Å", "日", "本", "語", "한", "\u1112\u1161\u11ab", "가", "ا", "ع", "ह", "न", "ि", "ก", "Ж", "1", "2", "9",
         "0", "½", "²", "Ⅳ", "٣", "१", "３", "😀", "👨‍👩‍👧", "🇫🇷", "!", "?", "...", "-", "_", "(", ")", "{", "}", "<", "|", ">", "/", "\\", '"', "#",
         "$", "%", "+", "=", "@", "~", "^", ":", ";", ",", "\x00", "\x01", "\x7f", "\ufeff", "\ufffd", "\U0001e5f1", "\U00011de0",
         "\U00016ff4", "\u1c89", "\U000113d1", "\u0300\u0301\u0327", "the", "Hello", "world", "claim", "policy", "https://", "  \n  ", "    "]
CORPUS = ["I'd like to file a claim, policy number 4471-2290; we've had a leak and it's getting worse.",
          "don't I'll they're O'NEIL'S we'll can't HE'LL hello hello world the the the then there their other another",
          "for (int i = 0; i < n; ++i) { sum += a[i]; }\n\treturn sum / 1024;\n\n\n", "café cafe\u0301 Zürich naïve Ångström Straße",
          "日本語のテキスト 日本 日本語 한국어 가나다 Привет мир привет नमस्ते", "      indented      text   \n   \n", "2026-11-24 12345 67890 100000 3.14159",
          "aaaa aaaaaaaa aaaaaaaaaaaaaaaa ---- ======== ........", "😀😀 👨‍👩‍👧 🇫🇷 ½ ² Ⅳ ٣٤٥ １２３",
          "ſmith ſmith ſo ſo \u1c89\u1c8a \u1c89\u1c8a ab\u1c89ab ab\u1c89ab \u1c89ab \u1c89ab"]


def special(text, **flags):
    return tokenizers.AddedToken(text, special=True, normalized=False, **flags)


VARIANTS = {
    "smollm": dict(pre=pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
                   all_bytes=False, added=[]),
    "gpt-2": dict(pre=pre_tokenizers.ByteLevel(add_prefix_space=False), all_bytes=False, unk="<unk>", added=[]),
    "llama-bpe": dict(pre=pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(HEAD + r"\p{N}{1,3}" + TAIL), "isolated"),
                                                   pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
                      ignore_merges=True, words=["Ġzebra", "zebra", "Ġpolicyholder", "123"], bos="<|begin|>", pairs=False, added=[]),
    "qwen2": dict(pre=pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(HEAD + r"\p{N}" + TAIL), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
                  nfc=True, pairs=True, added=[tokenizers.AddedToken("<tool>", special=False, normalized=False),
                                               tokenizers.AddedToken("café", special=False, normalized=True),
                                               tokenizers.AddedToken("<left>", special=False, normalized=False, lstrip=True),
                                               tokenizers.AddedToken("<right>", special=False, normalized=False, rstrip=True),
                                               tokenizers.AddedToken("word", special=False, normalized=False, single_word=True)]),
}
SPECIALS = ["<|begin|>", "<|end|>", "<|end|>x"]


def build(v):
    tok = Tokenizer(models.BPE(unk_token=v.get("unk")))
    tok.pre_tokenizer, tok.decoder = v["pre"], decoders.ByteLevel()
    if v.get("nfc"):
        tok.normalizer = normalizers.NFC()
    first = ([v["unk"]] if v.get("unk") else []) + SPECIALS
    alphabet = pre_tokenizers.ByteLevel.alphabet() if v.get("all_bytes", True) else []
    # Without the whole alphabet the vocabulary lacks bytes, as SmolLM2's does.
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=first, initial_alphabet=alphabet, show_progress=False, min_frequency=1)
    tok.train_from_iterator(CORPUS * 2, trainer)
    doc = json.loads(tok.to_str())
    for w in v.get("words", []):  # tokens that no merge makes
        doc["model"]["vocab"].setdefault(w, len(doc["model"]["vocab"]))
    doc["model"]["ignore_merges"] = v.get("ignore_merges", False)
    if not v.get("pairs", True):
        doc["model"]["merges"] = [" ".join(m) for m in doc["model"]["merges"]]
    tok = Tokenizer.from_str(json.dumps(doc))
    if v["added"]:
        tok.add_tokens(v["added"])
    if v.get("bos"):
        tok.post_processor = processors.TemplateProcessing(single=v["bos"] + " $A", special_tokens=[(v["bos"], tok.token_to_id(v["bos"]))])
    out = json.loads(tok.to_str())
    if not v.get("pairs", True):
        out["model"]["merges"] = [" ".join(m) for m in out["model"]["merges"]]
    return tok, out


def strings(r, added):
    more = SPECIALS + [a.content for a in added] + [" <left> ", " <right> ", "cafe\u0301", " word ", "sword"]
    for _ in range(420):
        kind, n = r.random(), r.choice([1, 2, 3, 5, 8, 13, 30])
        if kind < 0.5:
            yield "".join(r.choice(ATOMS) for _ in range(n))
        elif kind < 0.8:
            yield "".join(r.choice(ATOMS + more * 3) for _ in range(n))
        elif kind < 0.92:
            lo, hi = r.choice([(0x20, 0x7F), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x32000)])
            yield "".join(chr(r.randrange(lo, hi)) for _ in range(n))
        else:
            yield r.choice(["a", "aa", "ab", " ", "-", "=", "\n", "日", "é", "'s", "\u0301", "0"]) * r.randrange(1, 160)
    yield from CORPUS
    yield "a" + "\u0301\u0327\u0323" * 20
    yield "a" + "\u0327" * 31 + "\u0301"
    yield "u\u0308a" + "\u0305" * 12 + "\u0301"  # the last mark is blocked from its letter
    yield "a" + "\u0305" * 2 + "\u0301"
    yield "'ſmith x'ſo ab\u1c89ab !\u1c89ab \u1c89\u1c8a"
    yield "\u1100" * 20 + "\u1161" * 3
    yield " zebra zebras policyholder policyholders 123 1234"


for name, v in VARIANTS.items():
    tok, doc = build(v)
    r = random.Random(SEED)
    cases = []
    for s in strings(r, v["added"]):
        tok.encode_special_tokens = False
        ids = tok.encode(s, add_special_tokens=False).ids
        tok.encode_special_tokens = True
        plain = tok.encode(s, add_special_tokens=False).ids
        cases.append({"text": s, "ids": ids, "plain": plain})
    raw = json.dumps({"versions": {"tokenizers": tokenizers.__version__}, "seed": SEED, "tokenizer": doc, "cases": cases},
                     ensure_ascii=False, separators=(",", ":")).encode()
    with open(pathlib.Path(__file__).parent / f"{name}.json.gz", "wb") as f:
        with gzip.GzipFile(filename="", fileobj=f, mode="wb", compresslevel=9, mtime=0) as z:
            z.write(raw)
    print(name, tok.get_vocab_size(), len(cases), len(raw))
