"""Writes warpers.json: distributions as transformers' own logits processors make
them, in float64, for the settings of sample.Params.

    python make.py > warpers.json

Fixed seed; the versions stand in the file. `go test` needs no Python.
"""

import json

import numpy as np
import torch
import transformers
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

SETTINGS = [
    dict(temperature=0.7),
    dict(temperature=1.0, top_k=5),
    dict(temperature=1.0, top_p=0.9),
    dict(temperature=1.5, min_p=0.1),
    dict(temperature=1.0, repetition_penalty=1.3),
    dict(temperature=0.6, repetition_penalty=0.7),
    dict(temperature=2.0, top_k=20, top_p=0.8),
    dict(temperature=0.8, top_k=12, top_p=0.95, min_p=0.05, repetition_penalty=1.1),
    dict(temperature=1.2, top_p=0.5, min_p=0.3),
]


def processors(s):
    """In the order in which GenerationMixin puts them."""
    out = LogitsProcessorList()
    if "repetition_penalty" in s:
        out.append(RepetitionPenaltyLogitsProcessor(s["repetition_penalty"]))
    out.append(TemperatureLogitsWarper(s["temperature"]))
    if "top_k" in s:
        out.append(TopKLogitsWarper(s["top_k"]))
    if "top_p" in s:
        out.append(TopPLogitsWarper(s["top_p"]))
    if "min_p" in s:
        out.append(MinPLogitsWarper(s["min_p"]))
    return out


def main():
    rng = np.random.default_rng(20261124)
    cases = []
    for spread in (0.5, 2.0, 6.0):
        for s in SETTINGS:
            logits = (rng.standard_normal(40) * spread).astype(np.float32)
            if spread == 2.0:
                logits = np.round(logits * 2) / 2  # many ties
            history = rng.integers(0, 40, 12)
            scores = processors(s)(torch.tensor(history)[None], torch.tensor(logits, dtype=torch.float64)[None])
            probs = torch.softmax(scores, -1)[0]
            cases.append(
                {
                    "settings": s,
                    "ties": spread == 2.0,
                    "logits": [float(x) for x in logits],
                    "history": history.tolist(),
                    "probs": probs.tolist(),
                }
            )
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    print(json.dumps({"versions": versions, "cases": cases}))


main()
