#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times the product with A (x) B alone, two factors, fp32 (row C5), by pyfastkron.

Prints one JSON line with the seconds of the cases of bench_kronecker; checks the product once.
"""
import json
import os
import statistics
import time

CASES = ((64, 1024), (128, 256))  # size of the square factors, rows of x


def main():
    import numpy as np
    import pyfastkron.fastkronnumpy as fastkron

    repeats = int(os.environ.get("DASHI_BENCH_REPEATS", 15))
    generator = np.random.default_rng(7)
    cases = {}
    for size, tokens in CASES:
        a, b = (generator.standard_normal((size, size), dtype=np.float32) for _ in range(2))
        x = generator.standard_normal((tokens, size * size), dtype=np.float32)
        y = fastkron.gemkm(x, [a, b])
        expected = (np.einsum("tij,ik,jl->tkl", x[:2].reshape(2, size, size), a, b, optimize=True)).reshape(2, -1)
        assert np.allclose(y[:2], expected, rtol=1e-3, atol=1e-2), "the product is another one"
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            fastkron.gemkm(x, [a, b])
            seconds.append(time.perf_counter() - start)
        cases[f"{size}^2 x {size}^2 T={tokens}"] = {"median": statistics.median(seconds), "best": min(seconds)}
    print(json.dumps({"peer": "pyfastkron", "threads": os.environ.get("OMP_NUM_THREADS", "all"), "cases": cases}))


if __name__ == "__main__":
    main()
