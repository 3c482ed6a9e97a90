"""What the golden scripts share: the base, its tokenizer, versions."""
import json
import sys
from importlib.metadata import version

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(2)


def versions(*names):
    return {n: version(n) for n in names}


def arguments():
    """HF_DIR and OUT_DIR of the command line."""
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} HF_DIR OUT_DIR")
    return sys.argv[1], sys.argv[2]


def tokenizer(hf):
    return AutoTokenizer.from_pretrained(hf)


def model(hf, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(hf, dtype=dtype, attn_implementation="eager").eval()


def write(path, obj, **kw):
    with open(path, "w") as f:
        json.dump(obj, f, **kw)


def chat_prompt(tok, user, system=None):
    """Text of a conversation up to where the assistant answers."""
    m = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": user}]
    return tok.apply_chat_template(m, tokenize=False, add_generation_prompt=True)
