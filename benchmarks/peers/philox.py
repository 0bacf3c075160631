# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi::Philox (include/dashi/core/philox.hpp) in NumPy: the same random numbers without running our code.

Philox-4x32 with ten rounds (Salmon, Moraes, Dror, Shaw, SC 2011). Key = seed, low word first; counter, from its
lowest bit: block 40, sample 32, step 40, purpose 16.
"""
import numpy as np
from scipy.special import ndtri

MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
WORD = np.uint64(32)


def philox4x32_10(counter, key):
    """Four arrays of 32-bit words (held in uint64, of shapes that broadcast) and two integers to four arrays."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in counter)
    k0, k1 = key
    for _ in range(10):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = ((product1 >> WORD) ^ c1 ^ np.uint64(k0), product1 & LOW,
                          (product0 >> WORD) ^ c3 ^ np.uint64(k1), product0 & LOW)
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def normal(seed, purpose, step, samples, count):
    """Philox(seed, {purpose, step, sample}).normal<float>(i), i < count, of each sample: float32 [samples, count]."""
    samples = np.asarray(samples, dtype=np.uint64)[:, None]
    blocks = np.arange(-(-count // 4), dtype=np.uint64)[None, :]
    counter = (blocks, (samples << np.uint64(8)) & LOW,
               (samples >> np.uint64(24)) | np.uint64(step << 8 & 0xFFFFFFFF),
               np.uint64((step >> 24 & 0xFFFF) | purpose << 16))
    words = np.stack(np.broadcast_arrays(*philox4x32_10(counter, (seed & 0xFFFFFFFF, seed >> 32))), axis=-1)
    words = words.reshape(len(samples), -1)[:, :count]
    return ndtri((words.astype(np.float64) + 0.5) * 2.0**-32).astype(np.float32)
