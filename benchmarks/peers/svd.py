#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times what users call today for the decompositions of bench_svd (rows C7 to C9).

One process a peer and a case: `svd.py PEER CASE` prints one JSON line with the time of each pass, so that a
driver can interleave peers with ours. Peers: torch and numpy (a loop over all matrices of the model), and
torch_lowrank (CASE truncated: rank 64 of 1152 x 1152 and 4608 x 1152). Cases: S2, XL2, truncated.
"""
import argparse
import json
import os
import statistics
import time

WIDTHS = {"S2": (384, 12), "XL2": (1152, 1)}
SHAPES = ((3, 1), (1, 1), (4, 1), (1, 4), (6, 1))
TRUNCATED = ((1152, 1152), (4608, 1152))
RANK, OVERSAMPLING, POWER_STEPS = 64, 10, 2


def matrices(case, blocks):
    import torch

    torch.manual_seed(7)
    if case == "truncated":
        return [
            torch.randn(m, n) * 0.02 + 10 * (torch.randn(m, 100) * 0.02) @ (torch.randn(100, n) * 0.02)
            for m, n in TRUNCATED
        ]
    width, usual = WIDTHS[case]
    return [
        torch.randn(down * width, across * width) * 0.02
        for _ in range(blocks or usual)
        for down, across in SHAPES
    ]


def torch_loop(matrix):
    import torch

    return torch.linalg.svd(matrix, full_matrices=False)


def numpy_loop(matrix):
    import numpy as np

    return np.linalg.svd(matrix, full_matrices=False)


def torch_lowrank(matrix):
    import torch

    u, s, v = torch.svd_lowrank(matrix, q=RANK + OVERSAMPLING, niter=POWER_STEPS)
    return u[:, :RANK], s[:RANK], v[:, :RANK].T


PEERS = {"torch": torch_loop, "numpy": numpy_loop, "torch_lowrank": torch_lowrank}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("case", choices=[*WIDTHS, "truncated"])
    parser.add_argument("--blocks", type=int, default=0, help="of the model; 12 for S2 and 1 for XL2 otherwise")
    parser.add_argument("--passes", type=int, default=3)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    inputs = matrices(options.case, options.blocks)
    if options.peer == "numpy":
        inputs = [matrix.numpy() for matrix in inputs]
    call = PEERS[options.peer]
    call(inputs[0])
    seconds = []  # of each pass, for each matrix
    for _ in range(options.passes):
        times = []
        for matrix in inputs:
            start = time.perf_counter()
            call(matrix)
            times.append(time.perf_counter() - start)
        seconds.append(times)
    totals = [sum(times) for times in seconds]
    result = {"peer": options.peer, "case": options.case, "threads": torch.get_num_threads(),
              "torch": torch.__version__, "seconds": totals, "median": statistics.median(totals)}
    if options.case == "truncated":
        result["each"] = {
            f"{m} x {n}": statistics.median(times[at] for times in seconds) for at, (m, n) in enumerate(TRUNCATED)
        }
        result["errors"] = [
            float(torch.linalg.matrix_norm(m - u * s @ vt, ord=2))
            for m, (u, s, vt) in ((m, (torch.as_tensor(x) for x in call(m))) for m in inputs)
        ] if options.peer == "torch_lowrank" else []
    print(json.dumps(result))


if __name__ == "__main__":
    main()
