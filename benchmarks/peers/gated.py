#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times the gated factored layer ((x V) * sigma * gate) U' as a torch expression (row C10).

Prints one JSON line: seconds of forward, and of forward and backward with gradients of x, U, V,
sigma and the gates, for the cases of bench_gated_svd.
"""
import json
import os
import statistics
import time

CASES = ((1152, 1152, 1152), (1152, 1152, 576), (4608, 1152, 1152))
TOKENS, ROWS_PER_SAMPLE, CLASSES = 2048, 256, 8


def timed(call, repeats):
    seconds = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        call()
        if repeat > 0:  # the first only warms up
            seconds.append(time.perf_counter() - start)
    return {"median": statistics.median(seconds), "best": min(seconds)}


def main():
    import torch

    torch.manual_seed(7)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    repeats = int(os.environ.get("DASHI_BENCH_REPEATS", 15))
    samples = TOKENS // ROWS_PER_SAMPLE
    labels = torch.arange(samples) * 5 % CLASSES
    cases = {}
    for m, n, rank in CASES:
        x = torch.randn(TOKENS, n, requires_grad=True)
        ut = torch.randn(rank, m, requires_grad=True)
        vt = torch.randn(rank, n, requires_grad=True)
        sigma = torch.randn(rank, requires_grad=True)
        gates = torch.randn(CLASSES, rank, requires_grad=True)
        dy = torch.randn(TOKENS, m)

        def forward():
            factor = (sigma * gates[labels]).unsqueeze(1)
            return ((x @ vt.t()).view(samples, ROWS_PER_SAMPLE, rank) * factor).view(TOKENS, rank) @ ut

        def inference():
            with torch.no_grad():
                forward()

        def train():
            for tensor in (x, ut, vt, sigma, gates):
                tensor.grad = None
            forward().backward(dy)

        name = f"{m}x{n} r={rank}"
        cases[f"forward {name}"] = timed(inference, repeats)
        cases[f"forward and backward {name}"] = timed(train, repeats)
    print(json.dumps({"peer": "torch", "threads": torch.get_num_threads(), "torch": torch.__version__,
                      "cases": cases}))


if __name__ == "__main__":
    main()
