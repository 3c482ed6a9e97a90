"""Byte-level BPE tokenizers of three families, each trained on the same few lines."""
import json
import os

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from text import CORPUS

# Split patterns as the families' own tokenizer.json files state them.
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")

CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
HEADERS = ("{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
           "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")

FAMILIES = {
    "smollm": {"specials": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "template": CHATML,
               "bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>", "unk": "<|endoftext|>"},
    "llama-bpe": {"specials": ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
                  "template": HEADERS, "bos": "<|begin_of_text|>", "eos": "<|eot_id|>", "pad": "<|end_of_text|>", "unk": None},
    "qwen2": {"specials": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "template": CHATML,
              "bos": None, "eos": "<|im_end|>", "pad": "<|endoftext|>", "unk": None},
}


def pre_tokenizer(family):
    if family == "smollm":
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    else:
        pattern = LLAMA3 if family == "llama-bpe" else QWEN2
        parts = [pre_tokenizers.Split(Regex(pattern), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    return pre_tokenizers.Sequence(parts)


def build(family, vocab, out):
    """Trains a tokenizer of exactly vocab ids and writes tokenizer.json and tokenizer_config.json to out.

    Ids: specials first for smollm (as SmolLM2), last for the other two (as theirs)."""
    spec = FAMILIES[family]
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizer(family)
    t.decoder = decoders.ByteLevel()
    if family == "qwen2":
        t.normalizer = normalizers.NFC()
    first = family == "smollm"
    n = len(spec["specials"])
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=vocab if first else vocab - n, special_tokens=spec["specials"] if first else [], min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_special_tokens(spec["specials"])
    assert t.get_vocab_size() == vocab, (family, t.get_vocab_size())
    j = json.loads(t.to_str())
    if family == "llama-bpe":
        j["model"]["ignore_merges"] = True
    with open(os.path.join(out, "tokenizer.json"), "w") as f:
        json.dump(j, f, ensure_ascii=False, indent=None, separators=(",", ":"))
    cfg = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False, "add_prefix_space": False,
           "clean_up_tokenization_spaces": False, "model_max_length": 512, "chat_template": spec["template"]}
    cfg.update({k + "_token": spec[k] for k in ("bos", "eos", "pad", "unk") if spec[k]})
    with open(os.path.join(out, "tokenizer_config.json"), "w") as f:
        json.dump(cfg, f, ensure_ascii=False, indent=1)
    return t
