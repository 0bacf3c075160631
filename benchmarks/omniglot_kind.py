#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains a KIND model with gates on five alphabets, takes two classes out of it, and transfers it to five others.

    omniglot_kind.py DASHI OMNIGLOT OUT [--steps 1500] [--tune 300] [--samples 500] [--seeds 1 2 3]

DASHI: the program. OMNIGLOT: the folder of images_background_small1.zip and images_background_small2.zip. OUT: a
folder; what is there already is not run again. A smoke run: --steps 20 --tune 10 --samples 20 --seeds 1.

All models are DiTs of 6 blocks, width 128 and 4 heads on 32 x 32 images in patches of 4. KIND (arXiv 2408.07337) has
five groups of tailors, one a class, 12 components each, and 68 of the learngene in every map; the dense model is the
same without factors. Both see the same batches of small1.

First table: samples of all five classes, and of two of them, by the dense model, by the gated one, by what
`recombine` makes of it in factors and dense. Second: the five classes of small2 after --tune steps: a dense model
from nothing, the dense model fine-tuned, and the KIND model with new tailors, which are trained alone with the class
table. Scored is the Frechet distance of samples (50 DDIM steps, no guidance) on features of a fixed random network,
against all images of the classes. Parameters are those of the file; time is that of a step, median over the run.
"""
import argparse
import json
import statistics
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

CONFIG = """\
output: {output}
steps: {steps}
batch: 64
seed: {seed}
ema: 0
model: {model}
data: {{path: {data}, size: 32, resize: box, invert: true}}
optimizer: {{lr: {rate}, warmup: {warmup}}}
{more}"""
SIZES = "{depth: 6, width: 128, heads: 4, patch: 4, learn_sigma: false}"
KIND = "factorised: {{method: kind, groups: {groups}, group_of_class: [{table}]}}\n"
CLASSES = 5


def run(program, *arguments):
    done = subprocess.run([program, "--json", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr or f"{arguments[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def numbers_of(model):
    """Elements of all tensors of a file."""
    with open(model, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    total = 0
    for entry in header.values():
        count = 1
        for extent in entry["shape"]:
            count *= extent
        total += count
    return total


class Comparison:
    def __init__(self, options, seed):
        self.options, self.seed = options, seed
        self.folder = options.out / f"seed-{seed}"
        self.data = [options.omniglot.resolve() / f"images_background_small{n}.zip" for n in (1, 2)]
        with zipfile.ZipFile(self.data[0]) as archive:
            self.names = sorted({name.split("/")[1] for name in archive.namelist() if name.endswith(".png")})

    def train(self, name, data, steps, model, rate, more=""):
        """A trained model, and what training it took."""
        folder = self.folder / name
        done = folder / "cost.json"
        if not done.exists():
            folder.mkdir(parents=True, exist_ok=True)
            config = folder / "train.yaml"
            config.write_text(CONFIG.format(output=folder / "run", steps=steps, seed=self.seed, model=model, data=data, rate=rate,
                                            warmup=min(50, steps // 4), more=more))
            plan = run(self.options.dashi, "train", config, "--dry-run")
            if not (folder / "run" / "model.safetensors").exists():
                run(self.options.dashi, "train", config, *(["--resume"] if (folder / "run").exists() else []))
            lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
            rates = [json.loads(line)["images_per_second"] for line in lines]
            done.write_text(json.dumps({"trained": plan["trained_parameters"], "step": 64 / statistics.median(rates[1:] or rates)}))
        return folder / "run" / "model.safetensors", json.loads(done.read_text())

    def made(self, name, verb, source, *arguments):
        path = self.folder / name
        if not path.exists():
            run(self.options.dashi, "--seed", self.seed, verb, source, path, *arguments)
        return path

    def score(self, name, model, data, labels, names=()):
        done = self.folder / f"score-{name}.json"
        if not done.exists():
            classes = [text for label in labels for text in ("--class", label)]
            known = [text for alphabet in names for text in ("--class-name", alphabet)]
            score = run(self.options.dashi, "score", model, "--data", data, *known, "--size", 32, "--resize", "box", "--invert",
                        "--samples", self.options.samples, "--seed", self.seed, *classes, "--steps", 50, "--guidance", 1, "--no-digest")
            done.write_text(json.dumps({key: score[key] for key in ("frechet_distance", "precision", "recall")}))
        return json.loads(done.read_text())

    def rows(self):
        """(table, name) -> numbers of each row, in order."""
        options, (old, new) = self.options, self.data
        table = ", ".join(map(str, range(CLASSES)))
        dense, dense_cost = self.train("dense", old, options.steps, SIZES, options.rate)
        kind, kind_cost = self.train("kind", old, options.steps, SIZES, options.rate, KIND.format(groups=CLASSES, table=table))
        pair, names = options.pair, [self.names[label] for label in options.pair]
        chosen = ",".join(map(str, pair))
        factors = self.made("pair.safetensors", "recombine", kind, "--classes", chosen)
        united = self.made("pair-dense.safetensors", "recombine", kind, "--classes", chosen, "--dense")
        groups = self.folder / "new.yaml"
        groups.write_text(f"classes: {CLASSES}\ngroup_of_class: [{table}]\n")
        moved = self.made("moved.safetensors", "transfer", kind, "--classes-config", groups)
        scratch, scratch_cost = self.train("scratch", new, options.tune, SIZES, options.rate)
        tuned, tuned_cost = self.train("tuned", new, options.tune, f"{{from: {dense}}}", options.tune_rate)
        tailored, tailored_cost = self.train("tailored", new, options.tune, f"{{from: {moved}}}", options.tailor_rate,
                                             "factorised: {train: tailors}\n")
        everything, two = range(CLASSES), range(len(pair))
        first, second = "classes it was trained for", f"five new classes, after {options.tune} steps"
        result = {}
        for table, row, model, cost, data, labels, known in (
                (first, "dense, five classes", dense, dense_cost, old, everything, ()),
                (first, "KIND, five classes", kind, kind_cost, old, everything, ()),
                (first, "dense, two classes", dense, None, old, pair, names),
                (first, "KIND, two classes", kind, None, old, pair, names),
                (first, "KIND, two classes recombined", factors, None, old, two, names),
                (first, "KIND, two classes recombined, dense", united, None, old, two, names),
                (second, "dense, from nothing", scratch, scratch_cost, new, everything, ()),
                (second, "dense, fine-tuned", tuned, tuned_cost, new, everything, ()),
                (second, "KIND, new tailors, untrained", moved, None, new, everything, ()),
                (second, "KIND, new tailors, trained alone", tailored, tailored_cost, new, everything, ())):
            score = self.score(row.replace(" ", "-").replace(",", ""), model, data, labels, known)
            result[table, row] = {"numbers": numbers_of(model), **(cost or {"trained": 0, "step": 0}), **score}
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dashi", type=Path)
    parser.add_argument("omniglot", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500, help="of the models of five classes")
    parser.add_argument("--tune", type=int, default=300, help="steps on the new classes")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1e-3, help="of models that begin with nothing")
    parser.add_argument("--tune-rate", type=float, default=2e-4, help="of full fine-tuning")
    parser.add_argument("--tailor-rate", type=float, default=1e-3)
    parser.add_argument("--pair", type=int, nargs=2, default=[0, 1], help="the two classes, of 0 to 4")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    options.dashi, options.out = options.dashi.resolve(), options.out.resolve()
    every = [Comparison(options, seed).rows() for seed in options.seeds]
    print("| | | parameters | trained | s a step | Frechet distance, seeds " + ", ".join(map(str, options.seeds)) +
          " | mean | precision / recall |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for key in every[0]:
        results = [rows[key] for rows in every]
        mean = {name: statistics.mean(result[name] for result in results) for name in results[0]}
        cost = f"{results[0]['trained']} | {mean['step']:.3f}" if mean["step"] else " | "
        print(f"| {key[0]} | {key[1]} | {results[0]['numbers']} | {cost} | " +
              ", ".join(f"{result['frechet_distance']:.3f}" for result in results) +
              f" | {mean['frechet_distance']:.3f} | {mean['precision']:.2f} / {mean['recall']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
