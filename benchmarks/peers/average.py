#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times the averages that users run today on 8 x 134 M bf16 parameters in memory (row C12).

One process a peer and a call: `average.py PEER` prints one JSON line with the time of each pass, so
that a driver can interleave peers with ours. Peers: numpy, torch_loop, torch_chunked, mergekit_linear.
mergekit_linear calls mergekit's own kernel on tensors that are already in memory.
"""
import argparse
import json
import os
import statistics
import time

MEMBERS = 8


def members(parameters):
    import torch

    torch.manual_seed(7)
    block = (torch.randn(1 << 20) * 0.02).to(torch.bfloat16)
    repeats = -(-parameters // block.numel())
    return [block.roll(k * 7773).repeat(repeats)[:parameters].clone() for k in range(MEMBERS)]


def torch_loop(tensors):
    total = tensors[0].float()
    for tensor in tensors[1:]:
        total += tensor.float()
    return (total / len(tensors)).bfloat16()


def torch_chunked(tensors, chunk=1 << 18):
    import torch

    out = torch.empty_like(tensors[0])
    for at in range(0, out.numel(), chunk):
        total = tensors[0][at : at + chunk].float()
        for tensor in tensors[1:]:
            total += tensor[at : at + chunk]
        out[at : at + chunk] = total / len(tensors)
    return out


def numpy_mean(arrays):
    import numpy as np

    total = arrays[0].astype(np.float32)
    for array in arrays[1:]:
        total += array
    return (total / len(arrays)).astype(np.float16)


def mergekit_linear(tensors):
    """The kernel that mergekit 0.1.5 runs for `linear`: addcmul into fp32, divide, cast."""
    import torch
    from mergekit.merge_methods.base import TensorBatch
    from mergekit.merge_methods.linear import linear_merge

    batch = TensorBatch(tuple(t.unsqueeze(0) for t in tensors))
    return linear_merge.implementation(batch, weight=torch.ones(1, len(tensors)), normalize=True)


PEERS = {
    "numpy": numpy_mean,
    "torch_loop": torch_loop,
    "torch_chunked": torch_chunked,
    "mergekit_linear": mergekit_linear,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--parameters", type=int, default=int(os.environ.get("DASHI_BENCH_PARAMETERS", 134_000_000)))
    options = parser.parse_args()

    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tensors = members(options.parameters)
    if options.peer == "numpy":  # NumPy has no bfloat16: float16, the same number of bytes
        tensors = [t.to(torch.float16).numpy() for t in tensors]
    call = PEERS[options.peer]
    call(tensors)
    seconds = []
    for _ in range(options.passes):
        start = time.perf_counter()
        call(tensors)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"peer": options.peer, "parameters": options.parameters, "threads": torch.get_num_threads(),
                      "torch": torch.__version__, "seconds": seconds, "median": statistics.median(seconds)}))


if __name__ == "__main__":
    main()
