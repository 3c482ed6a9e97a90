#!/usr/bin/env python3
"""long.safetensors: log-probabilities over the base's whole context, in f64. usage: long.py HF_DIR OUT_DIR

The text is this repository's licence and the customers' messages of the claims desk (CDLA-Permissive, see DATA_LICENSE there), cut
to 8192 tokens. Takes minutes.
"""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import base

TOKENS, CHUNK = 8192, 256


def text():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../..")
    with open(os.path.join(root, "LICENSE")) as f:
        parts = [f.read()]
    with open(os.path.join(root, "projects/claims-desk/data/train.jsonl")) as f:
        for line in f:
            parts += [m["content"] for m in json.loads(line)["messages"] if m["role"] == "user"]
    return "\n".join(parts)


def main():
    hf, out = base.arguments()
    ids = torch.tensor(base.tokenizer(hf)(text()).input_ids[:TOKENS])
    assert len(ids) == TOKENS
    m = AutoModelForCausalLM.from_pretrained(hf, dtype=torch.float64, attn_implementation="sdpa").eval()
    logps = []
    with torch.no_grad():
        hid = m.model(ids[None]).last_hidden_state[0]
        for lo in range(0, TOKENS - 1, CHUNK):
            hi = min(lo + CHUNK, TOKENS - 1)
            logps.append(m.lm_head(hid[lo:hi]).log_softmax(-1).gather(1, ids[lo + 1:hi + 1, None])[:, 0])
    save_file({"ids": ids.float(), "logprobs": torch.cat(logps).float()}, f"{out}/long.safetensors",
              metadata={"versions": json.dumps(base.versions("torch", "transformers"))})


if __name__ == "__main__":
    main()
