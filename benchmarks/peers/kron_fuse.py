#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times W.add_(torch.kron(A, B)) over all block weights of DiT-XL/2 (row C6).

Prints one JSON line. DASHI_BENCH_BLOCKS (28; 2.7 GB of weights) makes it smaller.
"""
import json
import os
import statistics
import time

# out, in and the shape [m1, n1] of A, as bench_kronecker has them
WEIGHTS = ((3456, 1152, 24, 8), (1152, 1152, 8, 8), (4608, 1152, 16, 8), (1152, 4608, 8, 16), (6912, 1152, 48, 8))


def main():
    import torch

    torch.manual_seed(7)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    blocks = int(os.environ.get("DASHI_BENCH_BLOCKS", 28))
    repeats = int(os.environ.get("DASHI_BENCH_REPEATS", 15))
    model = [(torch.randn(out, inner) * 0.02, torch.randn(m1, n1), torch.randn(out // m1, inner // n1))
             for _ in range(blocks) for out, inner, m1, n1 in WEIGHTS]
    seconds = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        for weight, a, b in model:
            weight.add_(torch.kron(a, b), alpha=1e-6)
        if repeat > 0:  # the first only warms up
            seconds.append(time.perf_counter() - start)
    print(json.dumps({"peer": "torch.kron", "blocks": blocks, "threads": torch.get_num_threads(),
                      "torch": torch.__version__, "median": statistics.median(seconds), "best": min(seconds)}))


if __name__ == "__main__":
    main()
