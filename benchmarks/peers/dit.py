#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times DiT in the words of its PyTorch users: diffusers' DiTTransformer2DModel (rows C16 to C19).

    dit.py --case s2_train_8 s2_train_8_bf16 --threads 2 --repeat 15

Cases: s2_train_8, s2_train_32 (a training step of S/2 on latents of 4 x 32 x 32: forward, mean squared error of the
noise, four of the eight channels, backward, fused AdamW, moving average by torch._foreach), xl2_sample (a guided DDIM
step of XL/2, one image, so two sequences), each in fp32 and with _bf16 (autocast for training, weights of bfloat16
for sampling); xl2_sample_autocast (weights of fp32 under autocast); s2_adamw (AdamW and average alone);
s2_block_lora_1, s2_block_lora_8, s2_block_lokr_1, s2_block_lokr_8 (a step that trains adapters of --adapter, peft or
lycoris, on query, key, value, output and both maps of the network: rank 8, or [8, 8] (x) the rest),
s2_frozen_1 and s2_frozen_8 (a step that trains the bias of the patch embedder).

diffusers gives every block embedders of its own; --shared-embedders ties them, which leaves the parameters of the
original. Prints one JSON line a repetition, and a last one with median and best of each case. With --on-request
a repetition waits for a line on standard input, so that a driver can take turns between processes that keep
their models; each case then says {"case": ..., "ready": true} first.
"""
import argparse
import json
import os
import statistics
import sys
import time
from contextlib import nullcontext

SIZES = {"S/2": {"num_attention_heads": 6, "attention_head_dim": 64, "num_layers": 12},
         "XL/2": {"num_attention_heads": 16, "attention_head_dim": 72, "num_layers": 28}}
CLASSES, DECAY, GUIDANCE = 1000, 0.9999, 4.0
ALPHA_BAR, ALPHA_BAR_BEFORE = 0.0785872429, 0.0957942187  # of the linear schedule at 499 and 479


def dit(size, options):
    from diffusers import DiTTransformer2DModel

    model = DiTTransformer2DModel(in_channels=4, out_channels=8, sample_size=32, patch_size=2,
                                  num_embeds_ada_norm=CLASSES, **SIZES[size])
    if options.shared_embedders:
        for block in model.transformer_blocks[1:]:
            block.norm1.emb = model.transformer_blocks[0].norm1.emb
    return model


def compiled(model, options):
    import torch

    return torch.compile(model) if options.compile else model


def autocast(wanted):
    import torch

    return torch.autocast("cpu", torch.bfloat16) if wanted else nullcontext()


def update_of(model):
    """The optimiser step and the moving average, as two calls that PyTorch offers."""
    import torch

    parameters = [p for p in model.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0, fused=True)

    def update():
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - DECAY)

    return parameters, optimizer, update


def train(batch, bf16, prepare=None):
    def build(options):
        import torch
        import torch.nn.functional as functional

        model = dit("S/2", options).train()
        if prepare:
            prepare(model, options)
        parameters, optimizer, update = update_of(model)
        forward = compiled(model, options)
        x, noise = torch.randn(batch, 4, 32, 32), torch.randn(batch, 4, 32, 32)
        t, labels = torch.randint(0, 1000, (batch,)), torch.randint(0, CLASSES, (batch,))

        def step():
            optimizer.zero_grad(set_to_none=True)
            with autocast(bf16):
                prediction = forward(x, timestep=t, class_labels=labels, return_dict=False)[0][:, :4]
            loss = functional.mse_loss(prediction.float(), noise)
            loss.backward()
            update()
            assert loss.isfinite(), "the loss is no number"
            assert all(p.grad is not None for p in parameters), "a parameter took no part"

        return step, parameters

    return build


ADAPTED = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")


def kronecker_factors(out, inner):
    import torch

    return torch.nn.Parameter(torch.randn(8, 8) * 0.02), torch.nn.Parameter(torch.randn(out // 8, inner // 8) * 0.02)


def with_peft(model, kind):
    import peft

    if kind == "lora":
        config = peft.LoraConfig(r=8, lora_alpha=8, target_modules=list(ADAPTED))
        return peft.inject_adapter_in_model(config, model)
    rank = 4 * 384  # so large that neither factor is taken apart
    config = peft.LoKrConfig(r=rank, alpha=rank, target_modules=list(ADAPTED), init_weights=False)
    model = peft.inject_adapter_in_model(config, model)
    for module in model.modules():
        if isinstance(module, peft.tuners.lokr.layer.LoKrLayer):
            weight = module.get_base_layer().weight
            module.lokr_w1["default"], module.lokr_w2["default"] = kronecker_factors(*weight.shape)
    return model


def with_lycoris(model, kind, bypass):
    import torch
    from lycoris.modules.locon import LoConModule
    from lycoris.modules.lokr import LokrModule

    for name, layer in list(model.named_modules()):
        if not name.endswith(ADAPTED):
            continue
        if kind == "lora":
            module = LoConModule("peer", layer, multiplier=1.0, lora_dim=8, alpha=8, bypass_mode=bypass)
        else:
            module = LokrModule("peer", layer, multiplier=1.0, lora_dim=100000, alpha=100000, factor=8,
                                bypass_mode=bypass, full_matrix=True)
            module.lokr_w1, module.lokr_w2 = kronecker_factors(*layer.weight.shape)
            module.scale = 1.0
        module.apply_to()
        layer.adapter = module
        for parameter in module.parameters():
            parameter.requires_grad_(True)
    return model


def adapted(kind, batch):
    def prepare(model, options):
        model.requires_grad_(False)
        if kind == "frozen":
            model.pos_embed.proj.bias.requires_grad_(True)
        elif options.adapter == "peft":
            with_peft(model, kind)
        else:
            with_lycoris(model, kind, options.adapter == "lycoris_bypass")

    return train(batch, False, prepare)


def sample(bf16, under_autocast):
    def build(options):
        import torch

        model = dit("XL/2", options).eval().requires_grad_(False)
        if bf16 and not under_autocast:
            model = model.to(torch.bfloat16)
        dtype = next(model.parameters()).dtype
        forward = compiled(model, options)
        x, labels = torch.randn(1, 4, 32, 32), torch.tensor([207, CLASSES])
        t = torch.full((2,), 499)

        @torch.inference_mode()
        def step():
            with autocast(under_autocast):
                both = forward(torch.cat([x, x]).to(dtype), timestep=t, class_labels=labels, return_dict=False)[0]
            conditional, unconditional = both[:, :4].float().chunk(2)
            noise = unconditional + GUIDANCE * (conditional - unconditional)
            clean = (x - (1 - ALPHA_BAR) ** 0.5 * noise) / ALPHA_BAR**0.5
            before = ALPHA_BAR_BEFORE**0.5 * clean + (1 - ALPHA_BAR_BEFORE) ** 0.5 * noise
            assert before.isfinite().all(), "the sample is no number"

        return step, list(model.parameters())

    return build


def adamw(options):
    import torch

    model = dit("S/2", options)
    parameters, _, update = update_of(model)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter) * 0.02
    return update, parameters


CASES = {"s2_train_8": train(8, False), "s2_train_8_bf16": train(8, True),
         "s2_train_32": train(32, False), "s2_train_32_bf16": train(32, True),
         "xl2_sample": sample(False, False), "xl2_sample_bf16": sample(True, False),
         "xl2_sample_autocast": sample(True, True), "s2_adamw": adamw,
         "s2_frozen_1": adapted("frozen", 1), "s2_frozen_8": adapted("frozen", 8),
         "s2_block_lora_1": adapted("lora", 1), "s2_block_lora_8": adapted("lora", 8),
         "s2_block_lokr_1": adapted("lokr", 1), "s2_block_lokr_8": adapted("lokr", 8)}


def requested(options):
    """True for every repetition that is to be run."""
    if options.on_request:
        return bool(sys.stdin.readline())
    return True


def measure(name, options):
    call, parameters = CASES[name](options)
    for _ in range(2 if options.compile else 1):
        call()
    if options.on_request:
        print(json.dumps({"case": name, "ready": True}), flush=True)
    seconds = []
    while len(seconds) < options.repeat and requested(options):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
        print(json.dumps({"case": name, "repetition": len(seconds), "seconds": seconds[-1]}), flush=True)
    if not seconds:
        sys.exit(f"{name}: no repetition was asked for")
    return {"median": statistics.median(seconds), "best": min(seconds), "seconds": seconds,
            "parameters": sum(p.numel() for p in parameters)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeat", type=int, default=int(os.environ.get("DASHI_BENCH_REPEATS", 15)))
    parser.add_argument("--adapter", choices=("peft", "lycoris", "lycoris_bypass"), default="peft")
    parser.add_argument("--shared-embedders", action="store_true", help="tie the embedders of all blocks")
    parser.add_argument("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    parser.add_argument("--on-request", action="store_true", help="one repetition for each line of standard input")
    options = parser.parse_args()
    if options.repeat < 1 or options.threads < 1:
        parser.error("--repeat and --threads are at least 1")

    import diffusers
    import torch

    torch.manual_seed(7)
    torch.set_num_threads(options.threads)
    cases = {name: measure(name, options) for name in options.case}
    print(json.dumps({"peer": "diffusers", "threads": torch.get_num_threads(), "torch": torch.__version__,
                      "diffusers": diffusers.__version__, "capability": torch.backends.cpu.get_cpu_capability(),
                      "compiled": options.compile, "shared_embedders": options.shared_embedders,
                      "load": os.getloadavg()[0], "cases": cases}))


if __name__ == "__main__":
    main()
