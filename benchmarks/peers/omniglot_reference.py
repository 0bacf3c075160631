#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains the reference model of the Omniglot comparison, and evaluates checkpoints on its fixed grid.

    omniglot_reference.py DATA --steps 1500 --out base.safetensors       # the recipe of dit_shards/CONTENTS.md
    omniglot_reference.py DATA --fine-tune base.safetensors --alphabets Greek --out shard.safetensors
    omniglot_reference.py DATA --grid base.safetensors

DATA is the folder of images_background_small1.zip and images_background_small2.zip. Images become 32 x 32 by
Pillow's box filter, ink +1, paper -1. Model: diffusers' DiTTransformer2DModel, patch 4, 6 layers of 4 heads of 32;
noise prediction over the linear schedule, plain mean squared error, AdamW without decay, batches of 64 drawn with
replacement, label dropout as diffusers does it. Training takes the five alphabets of small1, labels 0 to 4 in
alphabetical order; fine-tuning those of small2, labels 5 to 9, 250 steps at 2e-4 unless told otherwise (the union of
dit_shards took 1250).

The grid: every image of small1 in order of its path, t = 20, 60 ... 980, its own label, one noise image for each
pair: element i, row by row, is dashi::Philox(seed, {.purpose = 60, .step = t, .sample = image}).normal<float>(i).
Its loss is the mean squared error of the noise over all images, t and pixels. --subset N takes images
k * 2720 / N, rounded down, under their own numbers.

Times are wall clock; a training run prints that of a step, of all steps and what 1500 would take.
"""
import argparse
import io
import json
import os
import statistics
import sys
import time
import zipfile
from pathlib import Path

import philox

CONFIG = {"num_attention_heads": 4, "attention_head_dim": 32, "in_channels": 1, "out_channels": 1, "num_layers": 6,
          "sample_size": 32, "patch_size": 4, "num_embeds_ada_norm": 10, "activation_fn": "gelu-approximate"}
PARAMETERS = 2_123_152
SETS = {"images_background_small1": 0, "images_background_small2": 5}  # label of the first alphabet
BATCH = 64
GRID_STEPS = range(20, 1000, 40)
NOISE_PURPOSE = 60


def images_of(folder, name, alphabets=None):
    """Images [N, 1, 32, 32] in order of their paths, and their labels [N]."""
    import numpy as np
    import torch
    from PIL import Image

    images, labels = [], []
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        paths = sorted(p for p in archive.namelist() if p.endswith(".png"))
        known = sorted({p.split("/")[1] for p in paths})
        if unknown := set(alphabets or ()) - set(known):
            sys.exit(f"{name}.zip has no {', '.join(sorted(unknown))}, but {', '.join(known)}")
        for path in paths:
            alphabet = path.split("/")[1]
            if alphabets and alphabet not in alphabets:
                continue
            grey = Image.open(io.BytesIO(archive.read(path))).convert("L").resize((32, 32), Image.Resampling.BOX)
            images.append(1 - np.asarray(grey, dtype=np.float32) / 127.5)
            labels.append(SETS[name] + known.index(alphabet))
    return torch.from_numpy(np.stack(images)[:, None]), torch.tensor(labels)


def model_of(checkpoint=None):
    from diffusers import DiTTransformer2DModel
    from safetensors.torch import load_file

    model = DiTTransformer2DModel(**CONFIG)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS, "another model than the one documented"
    if checkpoint:
        model.load_state_dict(load_file(checkpoint))
    return model


def schedule():
    """Square roots of alpha bar and of one minus it, from fp64."""
    import torch

    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    return alpha_bar.sqrt().float(), (1 - alpha_bar).sqrt().float()


def noised(images, noise, t, roots):
    return roots[0][t].view(-1, 1, 1, 1) * images + roots[1][t].view(-1, 1, 1, 1) * noise


def train(options):
    import torch
    import torch.nn.functional as functional
    from safetensors.torch import save_file

    name = list(SETS)[1 if options.fine_tune else 0]
    steps = options.steps or (250 if options.fine_tune else 1500)
    images, labels = images_of(options.data, name, options.alphabets)
    model = model_of(options.fine_tune).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr or (2e-4 if options.fine_tune else 1e-3),
                                  weight_decay=0.0, fused=True)
    roots = schedule()
    losses, seconds = [], []
    start = time.perf_counter()
    for step in range(steps):
        begin = time.perf_counter()
        picked = torch.randint(0, len(images), (BATCH,))
        t = torch.randint(0, 1000, (BATCH,))
        noise = torch.randn(BATCH, *images.shape[1:])
        prediction = model(noised(images[picked], noise, t, roots), timestep=t, class_labels=labels[picked],
                           return_dict=False)[0]
        loss = functional.mse_loss(prediction, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: loss {statistics.mean(losses[-50:]):.5f}, {seconds[-1]:.3f} s", file=sys.stderr)
    wall = time.perf_counter() - start
    if options.out:
        save_file(model.state_dict(), options.out, metadata={"format": "pt"})
    later = seconds[1:] or seconds  # the first one warms up
    return {"images": len(images), "steps": steps, "loss_last_50": statistics.mean(losses[-50:]), "wall": wall,
            "step_median": statistics.median(later), "step_best": min(later),
            "wall_of_1500": statistics.mean(later) * 1500, "losses": losses if options.losses else None}


def grid(options):
    import numpy as np
    import torch

    images, labels = images_of(options.data, list(SETS)[0])
    count = options.subset or len(images)
    if count > len(images):
        sys.exit(f"--subset {count}: the grid has {len(images)} images")
    picked = [k * len(images) // count for k in range(count)]
    model = model_of(options.grid).eval()
    roots = schedule()
    start = time.perf_counter()
    each = {}
    with torch.inference_mode():
        for t in GRID_STEPS:
            losses = []
            for at in range(0, count, 2 * BATCH):
                chosen = picked[at : at + 2 * BATCH]
                noise = torch.from_numpy(philox.normal(options.noise_seed, NOISE_PURPOSE, t, chosen, 1024))
                noise = noise.view(-1, 1, 32, 32)
                steps = torch.full((len(chosen),), t)
                prediction = model(noised(images[chosen], noise, steps, roots), timestep=steps,
                                   class_labels=labels[chosen], return_dict=False)[0]
                losses.append((prediction.double() - noise.double()).square().mean(dim=(1, 2, 3)))
            each[t] = torch.cat(losses).mean().item()
    first = philox.normal(options.noise_seed, NOISE_PURPOSE, GRID_STEPS[0], [0], 4)[0]
    return {"checkpoint": Path(options.grid).name, "images": count, "loss": float(np.mean(list(each.values()))),
            "by_t": each, "noise_seed": options.noise_seed, "first_noise": [float(z) for z in first],
            "wall": time.perf_counter() - start}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the zip files")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--fine-tune", metavar="FILE", help="start from this checkpoint, on small2")
    parser.add_argument("--alphabets", nargs="+", metavar="NAME", help="train on these only")
    parser.add_argument("--out", metavar="FILE", help="where the trained parameters go")
    parser.add_argument("--losses", action="store_true", help="print the loss of every step, too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grid", metavar="FILE", help="evaluate this checkpoint instead of training")
    parser.add_argument("--subset", type=int, metavar="N", help="of the grid's images")
    parser.add_argument("--noise-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    for name in ("steps", "subset", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} is at least 1")
    if options.alphabets and options.grid:
        parser.error("the grid has all alphabets: leave --alphabets out")

    import diffusers
    import torch

    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    result = grid(options) if options.grid else train(options)
    print(json.dumps({**result, "threads": torch.get_num_threads(), "torch": torch.__version__,
                      "diffusers": diffusers.__version__, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
