#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fine-tunes one model on new alphabets in five ways, at equal steps, and scores what each draws.

    omniglot_adapters.py DASHI OMNIGLOT BASE OUT [--steps 300] [--seeds 1 2 3] [--samples 500]

DASHI: the program. OMNIGLOT: the folder of images_background_small2.zip. BASE: a model of 32 x 32 images with ten
classes of which it has seen the first five, such as the one of peers/omniglot_reference.py. OUT: a folder; what is
there already is not run again.

The classes to learn have random vectors in the tables of BASE, as long as they were drawn, and the model makes noise of
them. They begin as that of no class instead: what is compared is how the rest of the model learns.

Full fine-tuning, BitFit, LoRA of rank 8 and DiffuseKronA on query, key, value and output of the attention, and
DiffFit. The class table is trained in all of them. Rates: 2e-4 for full
fine-tuning, the papers' for the others. The base without any training comes first. Scored are samples of the five new
classes, 50 DDIM steps without guidance, by the Frechet distance on the features of a fixed random network, against all
images.

Time is that of a step, median over the run. Memory is what `train --dry-run` plans.
"""
import argparse
import json
import statistics
import struct
import subprocess
import sys
from pathlib import Path

METHODS = {
    "full": "",
    "BitFit": "adapter: bitfit\n",
    "LoRA r 8": "adapter: {kind: lora, rank: 8, class_table: true}\n",
    "KronA": "adapter: {kind: krona, class_table: true}\n",
    "DiffFit": "adapter: difffit\n",
}
CONFIG = """\
output: {output}
steps: {steps}
batch: 64
seed: {seed}
ema: 0
model: {{from: {base}}}
data: {{path: {data}, size: 32, resize: box, invert: true, label_offset: 5}}
{rate}{adapter}"""
SAMPLING = ("--sampler", "ddim", "--steps", "50", "--guidance", "1")


def run(program, *arguments):
    done = subprocess.run([program, "--json", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr or f"{arguments[0]} ended with {done.returncode}")
    report = json.loads(done.stdout)
    if report["warnings"]:  # such as that the number of heads is a guess: then all that follows would be wrong
        sys.exit(f"{arguments[0]}: {report['warnings'][0]}")
    return report


def prepare(source, target, heads, null_class=10, new_classes=range(5, 10)):
    """A copy of the base whose new classes begin as no class, and that says its size and its heads."""
    with open(source, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tables = [entry for name, entry in header.items() if name.endswith("embedding_table.weight")]
    for entry in tables:
        begin, end = entry["data_offsets"]
        row = (end - begin) // entry["shape"][0]
        null = data[begin + null_class * row:begin + (null_class + 1) * row]
        for label in new_classes:
            data[begin + label * row:begin + (label + 1) * row] = null
    assert tables, f"{source} has no table of classes"
    header["__metadata__"] = header.get("__metadata__", {}) | {
        "dashi.input_height": "32", "dashi.input_width": "32", "dashi.heads": str(heads)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(struct.pack("<Q", len(text)) + text + data)


def step_seconds(folder, batch=64):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["images_per_second"] for line in lines]
    return batch / statistics.median(rates[1:] or rates)


def scored(options, seed, *adapter):
    classes = [text for label in range(5, 10) for text in ("--class", label)]
    model, *more = adapter
    return run(options.dashi, "score", model, *more, "--data", options.data, "--size", 32, "--resize", "box", "--invert",
               "--samples", options.samples, "--seed", seed, *classes, *SAMPLING, "--no-digest")


def tune(options, method, seed):
    folder = options.out / f"{method.replace(' ', '_')}-{seed}"
    done = folder / "score.json"
    if done.exists():
        return json.loads(done.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "train.yaml"
    rate = "optimizer: {lr: 2e-4}\n" if method == "full" else ""
    config.write_text(CONFIG.format(output=folder / "run", steps=options.steps, seed=seed, base=options.base,
                                    data=options.data, rate=rate, adapter=METHODS[method]))
    plan = run(options.dashi, "train", config, "--dry-run")
    if not (folder / "run").exists():
        run(options.dashi, "train", config)
    model = [folder / "run" / "model.safetensors"] if method == "full" else \
        [options.base, "--adapter", folder / "run" / "adapter"]
    score = scored(options, seed, *model)
    result = {"trained": plan["trained_parameters"], "memory": plan["memory_bytes"],
              "step": step_seconds(folder / "run"), "frechet": score["frechet_distance"],
              "precision": score["precision"], "recall": score["recall"]}
    done.write_text(json.dumps(result))
    return result


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dashi")
    parser.add_argument("omniglot", type=Path)
    parser.add_argument("base", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--heads", type=int, default=4, help="of BASE")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    return parser


def prepared(options):
    """With the images, and a base in the folder of results."""
    options.data = options.omniglot.resolve() / "images_background_small2.zip"
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    prepare(options.base, options.out / "base.safetensors", options.heads)
    options.base = options.out / "base.safetensors"
    return options


def main():
    parser = arguments(__doc__)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = prepared(parser.parse_args())
    untouched = scored(options, options.seeds[0], options.base)
    print("| | trained parameters | s a step | memory, MiB | Frechet distance, seeds " +
          ", ".join(map(str, options.seeds)) + " | mean | precision / recall |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(f"| base | 0 | | | {untouched['frechet_distance']:.3f} | | "
          f"{untouched['precision']:.2f} / {untouched['recall']:.2f} |", flush=True)
    for method in options.methods:
        results = [tune(options, method, seed) for seed in options.seeds]
        mean = {key: statistics.mean(r[key] for r in results) for key in results[0]}
        print(f"| {method} | {results[0]['trained']} | {mean['step']:.3f} | {mean['memory'] / 2**20:.0f} | "
              + ", ".join(f"{r['frechet']:.3f}" for r in results)
              + f" | {mean['frechet']:.3f} | {mean['precision']:.2f} / {mean['recall']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
