#!/usr/bin/env python3
"""Writes encode/TYPE.bin: 4096 little-endian f32 values, then the blocks that the Python
package `gguf` (0.19.0, numpy 2) quantises them to. Not needed to run the tests.

Normal random numbers of several sizes; blocks of zeros, of one value, of two values of
opposite sign and the same size, of ties between codes, and of numbers near f16's ends."""
import os
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import quantize

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "encode")
os.makedirs(here, exist_ok=True)
rng = np.random.default_rng(9)
x = (rng.normal(size=(128, 32)) * 10.0 ** rng.integers(-4, 2, (128, 1))).astype(np.float32)
x[0] = 0
x[1] = 0.25
x[2] = np.tile([1.5, -1.5], 16)
x[3] = np.arange(-16, 16) / 2
x[4] = np.arange(-15.5, 16) * 8
x[5] = rng.normal(size=32) * 1e-7
x[6] = rng.normal(size=32) * 2e4
x[7, 1:] = 0
x[8] = np.linspace(-127, 127, 32)
for kind in (T.Q8_0, T.Q4_0, T.Q5_0):
    with open(os.path.join(here, kind.name.lower() + ".bin"), "wb") as o:
        o.write(x.astype("<f4").tobytes() + quantize(x.reshape(16, 256), kind).tobytes())
