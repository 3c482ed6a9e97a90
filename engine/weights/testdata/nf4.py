#!/usr/bin/env python3
"""Writes nf4.bin: matrices quantised to NF4 with double quantisation by bitsandbytes
(MIT; made with 0.50.2, CPU build, torch 2.15.0, one thread) and what it dequantises.
Not needed to run the tests.

Each case: name length and name, dtype (0 f32, 1 f16, 2 bf16), rows, cols (u32 each);
then the values (f32, exact), one code per element (u8), the scales' codes (u8, per
64), the nested scales (f32, per 256 of those), the offset (f32), the dequantised
values as f32 and as bf16 (u16). Before the first case: the 8-bit dynamic code."""
import os, struct
os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np, torch
torch.set_num_threads(1)
import bitsandbytes.functional as F

here = os.path.dirname(os.path.abspath(__file__))
g = torch.Generator().manual_seed(11)
normal = lambda r, c: torch.randn(r, c, generator=g) * 0.02
code = F.get_4bit_type("nf4", device="cpu")
mid = (code[1:] + code[:-1]) / 2

def ties():  # values on and beside the bounds between codes, of a block whose largest is 1
    rows = []
    for d in (-1, 0, 1):
        v = mid.clone().view(torch.int32) + d
        rows.append(torch.cat([v.view(torch.float32), code, torch.tensor([1.0]), torch.zeros(32)])[:64])
    return torch.stack(rows) * 1.0

def odd():
    w = normal(6, 128)
    w[0, :64] = 0                       # a block of zeros
    w[1, 64:] = 1e-40                   # subnormal numbers
    w[2, :64] = torch.tensor([1e-38, -1e-38] * 32)
    w[3, 5] = -3e38                     # one block dwarfs the others
    w[4] = -0.0
    w[5, :64] = 0.25                    # all equal
    return w

cases = [
    ("normal f32", torch.float32, normal(12, 192)),
    ("normal bf16", torch.bfloat16, normal(16, 192)),
    ("normal f16", torch.float16, normal(33, 64)),
    ("ties", torch.float32, ties()),
    ("odd values", torch.float32, odd()),
    ("zeros", torch.float32, torch.zeros(4, 64)),
    ("equal blocks", torch.float32, torch.full((5, 128), 0.5)),
    ("one block", torch.bfloat16, normal(1, 64)),
    ("tail of 256", torch.bfloat16, normal(257, 64)),
]
with open(os.path.join(here, "nf4.bin"), "wb") as o:
    o.write(F.create_dynamic_map().numpy().astype("<f4").tobytes())
    for name, dtype, w in cases:
        w = w.to(dtype)
        q, s = F.quantize_4bit(w, blocksize=64, quant_type="nf4", compress_statistics=True)
        packed = q.numpy().reshape(-1)
        codes = np.stack([packed >> 4, packed & 15], 1).reshape(-1)[: w.numel()].astype(np.uint8)
        out = {}
        for d in (torch.float32, torch.bfloat16):
            s.dtype = d
            out[d] = F.dequantize_4bit(q, s).reshape(-1)
        o.write(struct.pack("<I", len(name)) + name.encode())
        o.write(struct.pack("<III", {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}[dtype], *w.shape))
        o.write(w.float().numpy().astype("<f4").tobytes() + codes.tobytes() + s.absmax.numpy().tobytes())
        o.write(s.state2.absmax.numpy().astype("<f4").tobytes() + struct.pack("<f", s.offset.item()))
        o.write(out[torch.float32].numpy().astype("<f4").tobytes() + out[torch.bfloat16].view(torch.int16).numpy().tobytes())
        print(name, tuple(w.shape), s.absmax.shape, s.state2.absmax.shape)
