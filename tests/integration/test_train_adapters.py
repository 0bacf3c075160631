# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Adapters in dashi train, sample, probe and score: every kind, exact resumes, strengths, and bad input."""

import json
import shutil
import struct
import unittest

from program_case import ProgramCase
from safetensors_files import read_safetensors, write_safetensors

BASE = """\
output: base
steps: 30
batch: 8
seed: 3
ema: 0
model: {depth: 2, width: 32, heads: 2, patch: 4}
data: {kind: procedural, size: 16, count: 60}
optimizer: {lr: 2e-3}
"""
TUNE = """\
output: run
steps: 6
batch: 8
seed: 4
ema: 0.9
model: {from: base/model.safetensors}
data: {kind: procedural, size: 16, count: 40, seed: 9}
optimizer: {lr: 5e-2}
checkpoint: {every: 2, keep: 3}
adapter: ADAPTER
"""
KINDS = {
    "lora": "{kind: lora, rank: 4, alpha: 6}",
    "rslora": "{kind: lora, rank: 4, rank_stabilised: true, modules: [qkv, mlp, patch, final]}",
    "dora": "{kind: lora, rank: 4, weight_decomposed: true, modules: [attention, mlp, patch]}",
    "dora over columns": "{kind: lora, rank: 4, weight_decomposed: true, wd_on_output: false, modules: [qkv, mlp_out]}",
    "lokr": "{kind: lokr, rank: 2, alpha: 4, factor: 4, modules: [any]}",
    "krona": "{kind: krona, factors: [4, 8]}",
    "difffit": "difffit",
    "bitfit": "bitfit",
}
SAMPLING = ("--steps", "4", "--count", "4", "--seed", "5", "--quiet", "--threads", "1")


class Adapters(ProgramCase):
    def setUp(self):
        super().setUp()
        self.path("base.yaml").write_text(BASE)
        self.dashi("train", "base.yaml", "--quiet", "--threads", "1")

    def config(self, adapter, *changes, name="c.yaml"):
        text = TUNE.replace("ADAPTER", adapter)
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.path(name).write_text(text)

    def train(self, *options, **settings):
        return self.dashi("train", "c.yaml", "--quiet", "--threads", "1", *options, **settings)

    def trained(self, folder="run"):
        return {str(p.relative_to(self.path(folder))): p.read_bytes()
                for name in ("adapter", "adapter_ema") for p in sorted(self.path(f"{folder}/{name}").iterdir())}

    def pixels(self, *adapters, model="base/model.safetensors"):
        options = [text for adapter in adapters for text in ("--adapter", adapter)]
        self.dashi("sample", model, "x.safetensors", *options, *SAMPLING, "--force")
        tensors = read_safetensors(self.path("x.safetensors"))[0]
        return max((data for _, _, data in tensors.values()), key=len)

    def losses(self, folder="run"):
        return [json.loads(line)["loss"] for line in self.path(f"{folder}/metrics.jsonl").read_text().splitlines()]


def distance(one, other):
    a, b = (struct.unpack(f"<{len(data) // 4}f", data) for data in (one, other))
    return max(abs(x - y) for x, y in zip(a, b))


class Kinds(Adapters):
    def test_every_kind_trains_resumes_and_samples(self):
        base = self.pixels()
        for kind, adapter in KINDS.items():
            with self.subTest(kind=kind):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                self.config(adapter)
                said = self.train()
                self.assertIn("adapter and adapter_ema written", said)
                whole = self.trained()
                self.assertIn("adapter/adapter_model.safetensors", whole)
                self.assertFalse(self.path("run/model.safetensors").exists())
                self.assertEqual(sorted(p.name for p in self.path("run/checkpoints/step-000006").iterdir()),
                                 ["adapter", "adapter_ema"])
                shutil.rmtree(self.path("run"))
                self.train("--steps", "3")
                self.assertNotEqual(self.trained(), whole)
                self.train("--resume")
                self.assertEqual(self.trained(), whole)
                with_adapter = self.pixels("run/adapter")
                self.assertGreater(distance(with_adapter, base), 1e-3)
                self.assertNotEqual(self.pixels("run/adapter_ema"), with_adapter)
                self.assertEqual(self.pixels("run/adapter=0"), base)
                self.assertNotEqual(self.pixels("run/adapter=-0.5"), base)

    def test_thirds_and_whole_maps_on_a_base_in_diffusers_names(self):
        self.dashi("convert", "base/model.safetensors", "d.safetensors", "--to", "diffusers", "--quiet")
        columns = "{kind: lora, weight_decomposed: true, wd_on_output: false, modules: [MODULES]}"
        self.config(columns.replace("MODULES", "qkv"), ("base/model.safetensors", "d.safetensors"))
        self.refused("train", "c.yaml", "--quiet", status=78, code="adapter-modules")
        kinds = {**KINDS, "columns": columns.replace("MODULES", "query, key, value, mlp")}
        for kind in ("lora", "rslora", "dora", "columns", "lokr", "difffit"):
            with self.subTest(kind=kind):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                self.config(kinds[kind], ("base/model.safetensors", "d.safetensors"))
                self.train()
                self.assertGreater(distance(self.pixels("run/adapter", model="d.safetensors"), self.pixels()), 1e-3)

    def test_an_adapter_fits_the_base_in_either_names(self):
        self.config(KINDS["lora"])
        self.train()
        tensors, metadata = read_safetensors(self.path("run/adapter/adapter_model.safetensors"))
        self.assertTrue(any("transformer_blocks.1.attn1.to_k" in name for name in tensors))
        without = {key: value for key, value in metadata.items() if key != "dashi.base_digest"}
        self.assertNotEqual(without, metadata)
        write_safetensors(self.path("run/adapter/adapter_model.safetensors"), tensors, without)
        self.dashi("convert", "base/model.safetensors", "d.safetensors", "--to", "diffusers", "--quiet")
        self.assertLess(distance(self.pixels("run/adapter", model="d.safetensors"), self.pixels("run/adapter")), 1e-4)

    def test_an_adapter_is_cut_and_joined_as_a_base_in_other_names_has_it(self):
        self.dashi("convert", "base/model.safetensors", "d.safetensors", "--to", "diffusers", "--quiet")
        for kind, adapter in {**KINDS, "full": "{kind: krona, factors: [6, 8], modules: [qkv]}"}.items():
            if kind in ("dora over columns", "lokr", "krona", "bitfit"):  # whose parts are none, or of which is none
                continue
            with self.subTest(kind=kind):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                self.config(adapter)
                self.train()
                self.dashi("fuse", "--base", "base/model.safetensors", "--adapter", "run/adapter", "--out", "f.safetensors",
                           "--force")
                for source, other, out in (("run/adapter", "d.safetensors", "cut.safetensors"),
                                           ("cut.safetensors", "base/model.safetensors", "joined.safetensors")):
                    if kind == "difffit" and out[0] == "j":  # copies of embedders have no place where there is one
                        continue
                    # For the base whose names the adapter does not have, and back again.
                    self.dashi("convert", source, out, "--to", "dashi", "--base", other, "--any-base", "--force")
                    self.dashi("fuse", "--base", other, "--adapter", out, "--out", "g.safetensors", "--force")
                    self.dashi("convert", "g.safetensors", "h.safetensors", "--to",
                               "diffusers" if other[0] == "b" else "dit", "--force")
                    reference = "f.safetensors"
                    if other[0] == "b":
                        self.dashi("convert", reference, "r.safetensors", "--to", "diffusers", "--force")
                        reference = "r.safetensors"
                    self.dashi("diff", "h.safetensors", reference)  # status 1 when they differ

    def test_training_lowers_the_loss_and_leaves_the_base(self):
        before = self.path("base/model.safetensors").read_bytes()
        for kind in ("lora", "krona", "difffit"):
            with self.subTest(kind=kind):
                shutil.rmtree(self.path("run"), ignore_errors=True)
                self.config(KINDS[kind] + "\nvalidation: {share: 0.5, every: 1}", ("steps: 6", "steps: 60"),
                            ("every: 2", "every: 100"), ("lr: 5e-2", "lr: 1e-2"))
                self.train()
                losses = [json.loads(line)["loss"] for line in self.path("run/validation.jsonl").read_text().splitlines()]
                self.assertLess(losses[-1], 0.99 * losses[0])
        self.assertEqual(self.path("base/model.safetensors").read_bytes(), before)

    def test_threads_precisions_and_recomputing(self):
        results = []
        for threads in ("1", "2"):
            self.config(KINDS["lora"], ("output: run", f"output: t{threads}\nreproducible: any_threads"))
            self.dashi("train", "c.yaml", "--quiet", "--threads", threads)
            results.append(self.trained(f"t{threads}"))
        self.assertEqual(*results)
        self.config(KINDS["krona"])
        self.train()
        plain = self.losses()
        for precision in ("bf16", "float16"):
            self.config(KINDS["krona"], ("output: run", f"output: {precision}"),
                        ("safetensors}", f"safetensors, precision: {precision}}}"))
            self.train()
            losses = self.losses(precision)
            self.assertNotEqual(losses, plain)
            self.assertAlmostEqual(losses[0], plain[0], delta=0.02)
        self.config(KINDS["krona"], ("output: run", "output: again"), ("safetensors}", "safetensors, recompute: blocks}"))
        self.train()
        self.assertEqual(self.losses("again"), plain)

    def test_with_diff_tuning(self):
        self.dashi("sample", "base/model.safetensors", "--bank", "bank.safetensors", "--count", "12", "--steps", "3",
                   "--guidance", "1", "--quiet")
        self.config(KINDS["lora"])
        self.train()
        plain = self.trained()
        for more in ("", ", distillation: true"):
            with self.subTest(more=more):
                shutil.rmtree(self.path("run"))
                self.config(KINDS["lora"] + f"\nmethod: {{bank: bank.safetensors, ratio: 0.25{more}}}")
                self.train()
                self.assertNotEqual(self.trained(), plain)


class Several(Adapters):
    def test_two_adapters_at_once(self):
        for name, seed in (("a", 4), ("b", 5)):
            self.config(KINDS["lora" if name == "a" else "krona"], ("seed: 4", f"seed: {seed}"),
                        ("output: run", f"output: {name}"))
            self.train()
        base, a, b = self.pixels(), self.pixels("a/adapter"), self.pixels("b/adapter")
        both = self.pixels("a/adapter", "b/adapter")
        for other in (base, a, b):
            self.assertGreater(distance(both, other), 1e-4)
        self.assertLess(distance(self.pixels("b/adapter", "a/adapter"), both), 0.02 * distance(both, base))  # sums
        self.assertEqual(self.pixels("a/adapter", "b/adapter=0"), a)

    def test_probe_and_score(self):
        self.config(KINDS["lora"])
        self.train()
        from_base = ("base/model.safetensors", "--against", "base/model.safetensors")
        self.dashi("sample", "base/model.safetensors", "--bank", "bank.safetensors", "--count", "12", "--steps", "3",
                   "--guidance", "1", "--quiet")
        data = ("--data", "bank.safetensors", "--class-depth", "0")
        equal = self.json("probe", "--quiet", *from_base, *data, "--every", "300")
        self.assertEqual(*(model["loss"] for model in equal["models"]))
        other = self.json("probe", "--quiet", *from_base, *data, "--every", "300", "--adapter", "run/adapter")
        self.assertNotEqual(*(model["loss"] for model in other["models"]))
        self.assertEqual(other["models"][1]["loss"], equal["models"][1]["loss"])
        scored = self.json("score", "--quiet", "base/model.safetensors", *data, "--samples", "8", "--steps", "2",
                           "--adapter", "run/adapter=0.5")
        self.assertEqual(scored["drawn"]["adapters"][0]["strength"], 0.5)
        self.assertEqual(scored["drawn"]["adapters"][0]["file"], "run/adapter")

    def test_plans(self):
        self.config(KINDS["lora"])
        before = self.contents()
        plan = self.json("train", "c.yaml", "--dry-run", "--quiet")
        # Rank 4 on query, key, value and the output of two blocks of width 32.
        self.assertEqual(plan["trained_parameters"], 2 * 4 * 4 * (32 + 32))
        whole = self.json("train", "base.yaml", "--dry-run", "--quiet")
        self.assertEqual(whole["trained_parameters"], whole["parameters"])
        self.assertEqual(plan["parameters"], whole["parameters"] + plan["trained_parameters"])
        self.assertLess(plan["memory_bytes"], whole["memory_bytes"])
        said = self.dashi("train", "c.yaml", "--dry-run")
        self.assertIn("lora, 2 048 of them trained", said)
        self.assertEqual(self.contents(), before)

    def test_rates_of_the_papers(self):
        for kind, rate in (("lora", "0.0001"), ("krona", "0.0005"), ("difffit", "0.001"), ("bitfit", "0.001")):
            self.config(kind, ("optimizer: {lr: 5e-2}\n", ""))
            self.assertIn(f"learning rate {rate}", self.dashi("train", "c.yaml", "--dry-run"))


class Refused(Adapters):
    def refuse(self, adapter, *changes, status=78, code="config-value", options=()):
        self.config(adapter, *changes)
        return self.refused("train", "c.yaml", "--quiet", *options, status=status, code=code)

    def test_bad_configurations(self):
        for adapter, expected in (("{kind: lore}", "lora, lokr, krona, difffit"), ("{rank: 4}", "missing"),
                                  ("{kind: lora, rank: 0}", "from 1 to"), ("{kind: lora, alpha: 0}", "alpha"),
                                  ("{kind: krona, factors: [4]}", "two numbers"), ("{kind: lokr, factor: 0}", "-1"),
                                  ("{kind: lora, factors: [4, 4]}", "factors"), ("{kind: bitfit, modules: [mlp]}", "modules")):
            with self.subTest(adapter=adapter):
                self.config(adapter)
                done = self.run_dashi("train", "c.yaml", "--quiet")
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertIn(expected, done.stderr.decode())
                self.assertFalse(self.path("run").exists())
        self.assertIn("'atention'", self.refuse("{kind: lora, modules: [atention]}", code="adapter-modules"))
        self.refuse("{kind: lora, modules: [qkv, key]}", code="adapter-modules")
        self.assertIn("patch", self.refuse("{kind: lora, weight_decomposed: true, wd_on_output: false, modules: [patch]}",
                                           code="adapter-modules"))
        self.assertIn("model.from", self.refuse("lora", ("{from: base/model.safetensors}", "{depth: 1, width: 32, heads: 2}")))

    def test_a_resume_on_another_base(self):
        self.config(KINDS["lora"])
        self.train("--steps", "3")
        self.path("other.yaml").write_text(BASE.replace("output: base", "output: other").replace("seed: 3", "seed: 8"))
        self.dashi("train", "other.yaml", "--quiet", "--threads", "1")
        shutil.copy(self.path("other/model.safetensors"), self.path("base/model.safetensors"))
        message = self.refused("train", "c.yaml", "--quiet", "--threads", "1", "--resume", status=78, code="resume-changed")
        self.assertIn("base", message)

    def test_an_adapter_of_another_base(self):
        self.config(KINDS["difffit"])
        self.train()
        self.path("other.yaml").write_text(BASE.replace("output: base", "output: other").replace("seed: 3", "seed: 8"))
        self.dashi("train", "other.yaml", "--quiet", "--threads", "1")
        for verb in (("sample", "other/model.safetensors", "y.png"),
                     ("probe", "other/model.safetensors", "--data", "bank.safetensors", "--class-depth", "0")):
            if verb[0] == "probe":
                self.dashi("sample", "base/model.safetensors", "--bank", "bank.safetensors", "--count", "4", "--steps", "2",
                           "--quiet")
            message = self.refused(*verb, "--adapter", "run/adapter", "--quiet", status=65, code="another-base")
            self.assertIn("made for the base", message)
            self.assertIn("--any-base", message)
            self.dashi(*verb, "--adapter", "run/adapter", "--any-base", "--quiet")

    def test_strengths_and_files(self):
        self.config(KINDS["lora"])
        self.train()
        for strength in ("x", "", "nan"):
            self.refused("sample", "base/model.safetensors", "y.png", "--adapter", f"run/adapter={strength}", "--quiet",
                         status=2, code="bad-weight")
        self.refused("sample", "base/model.safetensors", "y.png", "--adapter", "nothing", "--quiet", status=66,
                     code="no-such-file")
        self.refused("sample", "base/model.safetensors", "y.png", "--adapter", "base/model.safetensors", "--quiet",
                     status=65, code="not-an-adapter")


if __name__ == "__main__":
    unittest.main()
