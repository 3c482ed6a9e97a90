#!/usr/bin/env python3
"""Writes small.safetensors with the reference implementation (safetensors 0.8.0,
torch 2.15.0): what WriteSafetensors must equal byte for byte. Not needed to run
the tests."""
import os, torch
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))
save_file({
    "z.weight": torch.tensor([[1.0, -2.5, 3.25], [0.0, 1e-3, -7.0]], dtype=torch.float32),
    "a.weight": torch.tensor([1.0, 2.0, -0.5, 65504.0], dtype=torch.float16),
    "a.b<&>.weight": torch.tensor([[0.5], [-1.5]], dtype=torch.bfloat16),
    "b.weight": torch.tensor([9.0], dtype=torch.float32),
    "scalar": torch.tensor(4.0, dtype=torch.float32),
}, os.path.join(here, "small.safetensors"), metadata={"format": "pt"})
