#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times a frozen linear layer with a Kronecker adapter, forward and backward (rows C1 to C4).

One process a peer: `lokr.py PEER` prints one JSON line with the seconds of every case,
{"1152x1152 T=256": {"median": ..., "best": ...}, ...}. Peers: base (the frozen layer alone), peft,
lycoris (its default: the weight rebuilt each call), lycoris_bypass. Gradients of x, A and B.
The factors are those of bench_kronecker.
"""
import argparse
import json
import os
import statistics
import time

# out, in and the shape [m1, n1] of A
SHAPES = ((1152, 1152, 8, 8), (4608, 1152, 16, 8), (1152, 4608, 8, 16))
TOKENS = (256, 2048)


def base(out, inner, m1, n1):
    import torch

    layer = torch.nn.Linear(inner, out, bias=False)
    layer.weight.requires_grad_(False)
    return layer


def use_factors(module, a, b):
    """Puts factors of our shapes in the place of those that a peer's own rule chose."""
    import torch

    module.lokr_w1 = torch.nn.Parameter(a)
    module.lokr_w2 = torch.nn.Parameter(b)


def factors(out, inner, m1, n1):
    import torch

    return torch.randn(m1, n1) * 0.02, torch.randn(out // m1, inner // n1) * 0.02


def peft(out, inner, m1, n1):
    import torch
    from peft import LoKrConfig, inject_adapter_in_model

    model = torch.nn.Sequential(base(out, inner, m1, n1))
    rank = max(out, inner)  # so large that neither factor is taken apart
    model = inject_adapter_in_model(LoKrConfig(r=rank, alpha=rank, target_modules=["0"], init_weights=False), model)
    layer = model[0]
    a, b = factors(out, inner, m1, n1)
    layer.lokr_w1["default"] = torch.nn.Parameter(a)
    layer.lokr_w2["default"] = torch.nn.Parameter(b)
    return layer


def lycoris(out, inner, m1, n1, bypass=False):
    import torch
    from lycoris.modules.lokr import LokrModule

    layer = base(out, inner, m1, n1)
    module = LokrModule("peer", layer, multiplier=1.0, lora_dim=100000, alpha=100000, factor=m1, bypass_mode=bypass,
                        full_matrix=True)
    use_factors(module, *factors(out, inner, m1, n1))
    module.scale = 1.0
    module.apply_to()
    layer.adapter = module
    return layer


def lycoris_bypass(out, inner, m1, n1):
    return lycoris(out, inner, m1, n1, bypass=True)


PEERS = {"base": base, "peft": peft, "lycoris": lycoris, "lycoris_bypass": lycoris_bypass}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--repeats", type=int, default=int(os.environ.get("DASHI_BENCH_REPEATS", 15)))
    parser.add_argument("--tokens", type=int, nargs="*", default=TOKENS)
    options = parser.parse_args()

    import torch

    torch.manual_seed(7)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    cases = {}
    for shape in SHAPES:
        layer = PEERS[options.peer](*shape)
        trained = [p for p in layer.parameters() if p.requires_grad]
        for tokens in options.tokens:
            x = torch.randn(tokens, shape[1], requires_grad=True)
            dy = torch.randn(tokens, shape[0])
            seconds = []
            for repeat in range(options.repeats + 1):
                x.grad = None
                for parameter in trained:
                    parameter.grad = None
                start = time.perf_counter()
                layer(x).backward(dy)
                if repeat > 0:  # the first only warms up
                    seconds.append(time.perf_counter() - start)
            if options.peer != "base":
                assert trained and all(p.grad is not None for p in trained), "the adapter took no part"
            cases[f"{shape[0]}x{shape[1]} T={tokens}"] = {"median": statistics.median(seconds), "best": min(seconds)}
    print(json.dumps({"peer": options.peer, "threads": torch.get_num_threads(), "torch": torch.__version__,
                      "cases": cases}))


if __name__ == "__main__":
    main()
