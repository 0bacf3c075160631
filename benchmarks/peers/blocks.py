#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times what PyTorch users run for the rows of bench_blocks: `blocks.py PEER`, one JSON line.

One process a peer, float32, the same sizes and counts as bench_blocks. Peers: sdpa (scaled dot product
attention on DiT's fused qkv, forward and backward), layer_norm (gated residual, layer norm and modulation
in the words of DiT's model code), adamw (torch.optim.AdamW(fused=True) and a separate moving average
with torch._foreach).
"""
import argparse
import json
import os
import statistics
import time

ATTENTION = [(4, 256, 6, 64), (4, 256, 16, 72), (1, 1024, 6, 64), (1, 1024, 16, 72)]


def timed(call, passes):
    call()
    seconds = []
    for _ in range(passes):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "median": statistics.median(seconds), "best": min(seconds)}


def forward_and_backward(forward, inputs, gradient, passes):
    """Forward without a graph, and the backward of one kept graph, so that each stands alone."""
    import torch

    with torch.no_grad():
        rows = {"forward": timed(lambda: forward(), passes)}
    out = forward()
    rows["backward"] = timed(lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True), passes)
    return rows


def sdpa(options):
    import torch
    import torch.nn.functional as functional

    rows = {}
    for samples, tokens, heads, head_size in ATTENTION:
        qkv = torch.randn(samples, tokens, 3 * heads * head_size, requires_grad=True)

        def forward(qkv=qkv, samples=samples, tokens=tokens, heads=heads, head_size=head_size):
            parts = qkv.reshape(samples, tokens, 3, heads, head_size).permute(2, 0, 3, 1, 4)
            out = functional.scaled_dot_product_attention(*parts.unbind(0))
            return out.transpose(1, 2).reshape(samples, tokens, heads * head_size)

        gradient = torch.randn(samples, tokens, heads * head_size)
        rows[f"attention/{tokens} x {head_size}"] = forward_and_backward(forward, (qkv,), gradient, options.passes)
    return rows


def layer_norm(options):
    import torch
    import torch.nn.functional as functional

    samples, tokens, cols = 64, 256, 1152
    x = torch.randn(samples, tokens, cols, requires_grad=True)
    branch = torch.randn(samples, tokens, cols, requires_grad=True)
    modulation = torch.randn(samples, 3 * cols, requires_grad=True)

    def forward():
        gate, scale, shift = modulation.chunk(3, dim=1)
        h = x + gate.unsqueeze(1) * branch
        y = functional.layer_norm(h, (cols,), eps=1e-6)
        return h, y * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)

    gradient = (torch.randn(samples, tokens, cols), torch.randn(samples, tokens, cols))
    return {"layer_norm": forward_and_backward(forward, (x, branch, modulation), gradient, options.passes)}


def adamw(options):
    import torch

    rows = {}
    for parameters in [options.parameters] if options.parameters else [33_000_000, 130_000_000]:
        parameter = torch.nn.Parameter(torch.randn(parameters) * 0.02)
        parameter.grad = torch.randn(parameters) * 0.02
        average = [parameter.detach().clone()]
        optimizer = torch.optim.AdamW([parameter], lr=1e-4, weight_decay=0.01, fused=True)

        def step(parameter=parameter, average=average, optimizer=optimizer):
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, [parameter.detach()], 1 - 0.9999)

        rows[f"C16 adamw/{parameters // 1_000_000} M"] = timed(step, options.passes)
    return rows


PEERS = {"sdpa": sdpa, "layer_norm": layer_norm, "adamw": adamw}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--passes", type=int, default=15)
    parser.add_argument("--parameters", type=int, default=int(os.environ.get("DASHI_BENCH_PARAMETERS", 0)))
    options = parser.parse_args()

    import torch

    torch.manual_seed(7)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    print(json.dumps({"peer": options.peer, "threads": torch.get_num_threads(), "torch": torch.__version__,
                      "capability": torch.backends.cpu.get_cpu_capability(), "rows": PEERS[options.peer](options)}))


if __name__ == "__main__":
    main()
