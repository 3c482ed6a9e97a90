#!/usr/bin/env python3
"""Writes quants/TYPE.bin: 1024 elements of each quantised GGUF type as the file has
them, then their values (little-endian f32) as the Python package `gguf` dequantises
them (made with gguf 0.19.0, numpy 2). Not needed to run the tests.

usage: quants.py [libggml-base.so]

The first 512 elements are normal random numbers quantised by llama.cpp's library
(omitted, as random bytes, without it), the others random bytes with finite f16
scales, subnormal, zero and negative ones among them."""
import ctypes, os, sys
import numpy as np
from gguf import GGMLQuantizationType as T, GGML_QUANT_SIZES
from gguf.quants import dequantize

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quants")
lib = ctypes.CDLL(sys.argv[1]) if len(sys.argv) > 1 else None
rng = np.random.default_rng(5)
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q8_0: [0], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
odd = np.array([0x0001, 0x8001, 0x0000, 0x8000, 0x03ff, 0x7bff, 0xfbff, 0x3c00], dtype=np.uint16)
for kind, at in HALVES.items():
    per, size = GGML_QUANT_SIZES[kind]
    n = 1024 // per
    data = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for b in range(n):
        for i, a in enumerate(at):
            h = odd[(b + i) % len(odd)] if b % 2 else np.float16(rng.normal()).view(np.uint16)
            data[b, a : a + 2] = np.frombuffer(np.uint16(h).tobytes(), np.uint8)
    if lib is not None:
        w = (rng.normal(size=512) * 0.05).astype(np.float32)
        w[:32] = 0
        out = np.zeros(512 // per * size, np.uint8)
        f = lib.ggml_quantize_chunk
        f.restype, f.argtypes = ctypes.c_size_t, [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
        f(int(kind), w.ctypes.data, out.ctypes.data, 0, 1, 512, None)
        data[: n // 2] = out.reshape(n // 2, size)
    values = dequantize(data.reshape(-1), kind).astype("<f4").reshape(-1)
    assert np.isfinite(values).all() and len(values) == 1024
    with open(os.path.join(here, kind.name.lower() + ".bin"), "wb") as o:
        o.write(data.tobytes() + values.tobytes())
