#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains adapters on disjoint shards of new alphabets, and averages them.

    omniglot_adapter_soups.py DASHI OMNIGLOT BASE OUT [--methods "LoRA r 8" DiffFit] [--shards 3] [--steps 300]
        [--seeds 1 2 3] [--samples 500]

Arguments, models and scores are those of omniglot_adapters.py, and so is the base. Of the images in the order of their
names every third (with 3 shards) is in one shard. From the adapters of the shards come

- the members, each alone: the mean of their scores;
- the soup: the exact mean of the base with each adapter fused into it (`fuse`, then `merge`);
- the soup without its last member, which is all that removing that shard takes;
- the mean of the files: factor by factor, of which the product is not the mean of the products.

The last line trains one adapter as many steps on all images.
"""
import json
import shutil
import statistics
import zipfile
from pathlib import Path

from omniglot_adapters import CONFIG, METHODS, arguments, prepared, run, scored


def split(source, folder, shards):
    """The images of the archive in turn."""
    paths = [folder / f"shard-{i}.zip" for i in range(shards)]
    if all(path.exists() for path in paths):
        return paths
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        for i, path in enumerate(paths):
            with zipfile.ZipFile(path.with_suffix(".part"), "w") as out:
                for name in names[i::shards]:
                    out.writestr(name, archive.read(name))
            path.with_suffix(".part").replace(path)
    return paths


def train(options, folder, method, seed, data):
    """The folder of the adapter."""
    if not (folder / "run" / "adapter").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        config = folder / "train.yaml"
        config.write_text(CONFIG.format(output=folder / "run", steps=options.steps, seed=seed, base=options.base,
                                        data=data, rate="", adapter=METHODS[method]))
        run(options.dashi, "train", config)
    return folder / "run" / "adapter"


def once(path, make):
    """What `make` returns, kept in a file."""
    if not path.exists():
        path.write_text(json.dumps(make()))
    return json.loads(path.read_text())


def merged(options, members, out):
    run(options.dashi, "merge", "--method", "linear", *(text for member in members for text in ("--model", member)),
        "--out", out, "--force")
    return out


def mean_of_files(options, adapters, folder):
    folder.mkdir(exist_ok=True)
    for file in adapters[0].iterdir():
        if file.suffix == ".json":
            shutil.copy(file, folder)
    merged(options, [adapter / "adapter_model.safetensors" for adapter in adapters], folder / "adapter_model.safetensors")
    return folder


def results(options, method, seed):
    folder = options.out / f"{method.replace(' ', '_')}-{seed}"
    adapters = [train(options, folder / f"shard-{i}", method, 100 * seed + i, data)
                for i, data in enumerate(options.shard_files)]
    score = lambda name, *model: once(folder / f"{name}.json", lambda: scored(options, seed, *model))
    members = [score(f"member-{i}", options.base, "--adapter", adapter) for i, adapter in enumerate(adapters)]
    fused = []
    for i, adapter in enumerate(adapters):
        fused.append(folder / f"fused-{i}.safetensors")
        if not fused[-1].exists():
            run(options.dashi, "fuse", "--base", options.base, "--adapter", adapter, "--out", fused[-1])
    soup = lambda name, models: score(name, merged(options, models, folder / f"{name}.safetensors"))
    whole = train(options, folder / "whole", method, seed, options.data)
    out = {"members, mean": {key: statistics.mean(m[key] for m in members)
                             for key in ("frechet_distance", "precision", "recall")},
           "soup": soup("soup", fused),
           "soup without the last": soup("soup-less", fused[:-1])}
    try:
        out["mean of files"] = score("files", options.base, "--adapter", mean_of_files(options, adapters, folder / "mean"))
    except SystemExit as error:
        out["mean of files"] = str(error)
    out["one adapter on all images"] = score("whole", options.base, "--adapter", whole)
    return out


def main():
    parser = arguments(__doc__)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["LoRA r 8", "DiffFit"], choices=[m for m in METHODS if m != "full"])
    options = prepared(parser.parse_args())
    options.shard_files = split(options.data, options.out, options.shards)
    print("| | | Frechet distance, seeds " + ", ".join(map(str, options.seeds)) + " | mean | precision / recall |")
    print("| --- | --- | --- | --- | --- |")
    for method in options.methods:
        by_seed = [results(options, method, seed) for seed in options.seeds]
        for name in by_seed[0]:
            rows = [by_name[name] for by_name in by_seed]
            failed = [row for row in rows if isinstance(row, str)]
            if failed:
                print(f"| {method} | {name} | {failed[0].strip()} | | |", flush=True)
                continue
            mean = {key: statistics.mean(row[key] for row in rows)
                    for key in ("frechet_distance", "precision", "recall")}
            print(f"| {method} | {name} | " + ", ".join(f"{row['frechet_distance']:.3f}" for row in rows)
                  + f" | {mean['frechet_distance']:.3f} | {mean['precision']:.2f} / {mean['recall']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
