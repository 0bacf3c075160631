# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Factorised models in dashi train, sample, score and probe: whole and in part, resumed, dense and in factors."""

import json
import math
import shutil
import struct
import unittest

from program_case import ProgramCase
from safetensors_files import read_safetensors, write_safetensors

NEW = """\
output: base
steps: 24
batch: 8
seed: 3
ema: 0.9
model: {depth: 2, width: 32, heads: 2, patch: 4}
data: {kind: procedural, size: 16, count: 60}
optimizer: {lr: 1e-2}
factorised: METHOD
"""
KIND = "{method: kind, learngene: 12, tailors: 12, groups: 2, group_of_class: [0, 0, 1, 1, 1]}"
FINE = "{method: fine, rank: 28}"
TUNE = """\
output: run
steps: 6
batch: 8
seed: 4
ema: 0.9
model: {from: MODEL}
data: {kind: procedural, size: 16, count: 40, seed: 9}
optimizer: {lr: 1e-2}
checkpoint: {every: 2, keep: 3}
factorised: {train: PART}
"""
QUIET = ("--quiet", "--threads", "1")
SAMPLING = ("--steps", "4", "--seed", "5", *QUIET)
TABLE = "y_embedder.embedding_table.weight"


def numbers(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


def apart(one, other):
    """The largest difference, of the largest number."""
    a, b = numbers(one), numbers(other)
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) / max(map(abs, a))


class Factorised(ProgramCase):
    def write(self, name, text, *changes):
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.path(name).write_text(text)

    def train_new(self, method, *changes):
        self.write("new.yaml", NEW, ("METHOD", method), *changes)
        return self.dashi("train", "new.yaml", *QUIET)

    def tune(self, model, part, *changes, options=()):
        self.write("tune.yaml", TUNE, ("MODEL", model), ("PART", part), *changes)
        shutil.rmtree(self.path("run"), ignore_errors=True)
        return self.dashi("train", "tune.yaml", *QUIET, *options)

    def read(self, name):
        return read_safetensors(self.path(name))

    def pixels(self, model, *options):
        self.dashi("sample", model, "x.safetensors", "--force", *SAMPLING, *options)
        return max((data for _, _, data in self.read("x.safetensors")[0].values()), key=len)

    def validation(self, folder):
        return [json.loads(line)["loss"] for line in self.path(f"{folder}/validation.jsonl").read_text().splitlines()]


class Training(Factorised):
    def test_both_methods_learn_resume_and_are_what_the_other_verbs_read(self):
        for method in (KIND, FINE):
            with self.subTest(method=method):
                shutil.rmtree(self.path("base"), ignore_errors=True)
                said = self.train_new(method + "\nvalidation: {share: 0.4, every: 5, images: 8}\ncheckpoint: {every: 8}",
                                      ("steps: 24", "steps: 40"))
                self.assertIn("model.safetensors and ema.safetensors written", said)
                losses = self.validation("base")
                self.assertLess(losses[-1], 0.9 * losses[0])
                whole = [self.path(f"base/{name}").read_bytes() for name in ("model.safetensors", "ema.safetensors")]
                shutil.rmtree(self.path("base"))
                self.dashi("train", "new.yaml", *QUIET, "--steps", "12")
                self.assertNotEqual(self.path("base/model.safetensors").read_bytes(), whole[0])
                self.dashi("train", "new.yaml", *QUIET, "--resume")
                self.assertEqual([self.path(f"base/{name}").read_bytes()
                                  for name in ("model.safetensors", "ema.safetensors")], whole)
                self.assertEqual(self.json("inspect", "base/model.safetensors")["dialect"]["name"], "factorised DiT")
                report = self.json("recombine", "base/model.safetensors", "dense.safetensors", "--dense", "--force")
                self.assertEqual(report["classes"], [0, 1, 2, 3, 4])

    def test_sizes_and_counts(self):
        self.write("new.yaml", NEW, ("METHOD", KIND))
        plan = self.json("--dry-run", "train", "new.yaml")
        # Query, key, value, output projection; both maps of the MLP: (N_G + N_T)(out + in + 1) in each block.
        factors = 2 * 24 * (4 * (32 + 32 + 1) + 2 * (32 + 128 + 1))
        dense = 2 * (32 * 32 * 4 + 2 * 32 * 128)
        self.write("dense.yaml", NEW, ("factorised: METHOD\n", ""))
        plain = self.json("--dry-run", "train", "dense.yaml")
        self.assertEqual(plan["parameters"], plain["parameters"] - dense + factors)
        self.assertEqual(plan["trained_parameters"], plan["parameters"] - (plain["parameters"] - plain["trained_parameters"]))
        self.train_new(KIND, ("steps: 24", "steps: 1"))
        for part, expected in (("tailors", factors // 2 + 6 * 32), ("sigma", 2 * 24 * 6)):
            self.write("tune.yaml", TUNE, ("MODEL", "base/model.safetensors"), ("PART", part))
            plan = self.json("--dry-run", "train", "tune.yaml")
            self.assertEqual(plan["trained_parameters"], expected, part)

    def test_defaults(self):
        self.train_new("kind", ("steps: 24", "steps: 1"))
        tensors, metadata = self.read("base/model.safetensors")
        self.assertEqual(metadata["dashi.class_groups"], "0 0 0 1 1")
        self.assertEqual(tensors["blocks.1.mlp.fc1.tailors.u"][:2], ("F32", [16, 128]))
        self.assertEqual(tensors["blocks.1.mlp.fc1.learngene.v"][:2], ("F32", [16, 32]))

    def test_tailors_alone_leave_the_learngene_byte_for_byte(self):
        self.train_new(KIND)
        self.path("classes.yaml").write_text("classes: 5\ngroup_of_class: [1, 1, 0, 0, 0]\n")
        self.dashi("transfer", "base/model.safetensors", "new.safetensors", "--classes-config", "classes.yaml", "--quiet")
        before, _ = self.read("new.safetensors")
        for precision in ("float32", "bf16"):
            with self.subTest(precision=precision):
                self.tune("new.safetensors", "tailors", ("{from:", f"{{precision: {precision}, from:"))
                for name in ("model.safetensors", "ema.safetensors"):
                    after, metadata = self.read(f"run/{name}")
                    self.assertEqual(before.keys(), after.keys())
                    self.assertEqual(metadata["dashi.class_groups"], "1 1 0 0 0")
                    for key, tensor in before.items():
                        self.assertEqual(after[key] != tensor, ".tailors." in key or key == TABLE, key)
        self.tune("new.safetensors", "tailors, class_table: false")
        self.assertEqual(self.read("run/model.safetensors")[0][TABLE], before[TABLE])
        whole = self.path("run/model.safetensors").read_bytes()
        shutil.rmtree(self.path("run"))
        self.dashi("train", "tune.yaml", *QUIET, "--steps", "3")
        self.dashi("train", "tune.yaml", *QUIET, "--resume")
        self.assertEqual(self.path("run/model.safetensors").read_bytes(), whole)

    def test_sigma_alone_at_another_depth(self):
        self.train_new(FINE)
        self.dashi("transfer", "base/model.safetensors", "deep.safetensors", "--depth", "3", "--quiet")
        before, _ = self.read("deep.safetensors")
        self.tune("deep.safetensors", "sigma", ("steps: 6", "steps: 30\nvalidation: {share: 0.5, every: 15, images: 8}"),
                  ("every: 2, keep: 3", "every: 100"))
        after, _ = self.read("run/model.safetensors")
        for key, tensor in before.items():
            self.assertEqual(after[key] != tensor, key.endswith(".sigma"), key)
        losses = self.validation("run")
        self.assertLess(losses[-1], losses[0])
        self.path("run").rename(self.path("deep"))
        self.tune("deep/model.safetensors", "all", ("output: run", "output: again"))
        self.assertNotEqual(self.read("again/model.safetensors")[0]["shared.blocks.mlp.fc1.u"],
                            before["shared.blocks.mlp.fc1.u"])

    def test_embedders_of_blocks_previews_and_diff_tuning(self):
        self.train_new(KIND + "\npreview: {every: 12, count: 4, steps: 2}",
                       ("patch: 4}", "patch: 4, embedders: per_block, recompute: blocks}"))
        self.assertTrue(self.path("base/previews/step-000024.png").exists())
        self.dashi("sample", "base/model.safetensors", "--bank", "bank.safetensors", "--count", "8", *SAMPLING)
        self.tune("base/model.safetensors", "tailors}\nmethod: {kind: diff_tuning, bank: bank.safetensors, distillation: true")
        self.assertIn("blocks.1.y_embedder.embedding_table.weight", self.read("run/model.safetensors")[0])
        self.assertEqual(len(self.pixels("run/model.safetensors", "--count", "2")), 2 * 4 * 3 * 16 * 16)


class Sampling(Factorised):
    def setUp(self):
        super().setUp()
        self.train_new(KIND)

    def test_dense_weights_draw_what_the_factors_draw(self):
        for options in ((), ("--guidance", "1"), ("--sampler", "ddpm", "--guidance", "2"), ("--no-class",)):
            with self.subTest(options=options):
                options += ("--count", "7")
                factors = self.pixels("base/model.safetensors", *options, "--class-weights", "factors")
                dense = self.pixels("base/model.safetensors", *options, "--class-weights", "dense")
                self.assertLess(apart(factors, dense), 1e-5)
                # Samples are drawn group by group; their noise is theirs in any batch.
                self.assertLess(apart(dense, self.pixels("base/model.safetensors", *options, "--batch", "3")), 1e-5)
        half = [self.pixels("base/model.safetensors", "--count", "5", "--precision", "bf16", "--class-weights", how)
                for how in ("factors", "dense")]
        self.assertLess(apart(*half), 0.1)

    def test_gates_matter_and_are_those_of_the_class(self):
        # The class table alone tells classes of one group apart: with equal rows their samples are equal.
        tensors, metadata = self.read("base/model.safetensors")
        dtype, shape, data = tensors[TABLE]
        tensors[TABLE] = (dtype, shape, data[:128] * 6)
        write_safetensors(self.path("flat.safetensors"), tensors, metadata)
        images = {}
        for how in ("factors", "dense"):
            for label in ("0", "1", "2", "4"):
                images[label] = self.pixels("flat.safetensors", "--class", label, "--guidance", "1", "--class-weights", how)
            images["none"] = self.pixels("flat.safetensors", "--no-class", "--count", "1", "--class-weights", how)
            self.assertEqual(images["0"], images["1"])
            self.assertEqual(images["2"], images["4"])
            for other in ("2", "none"):
                self.assertGreater(apart(images["0"], images[other]), 1e-3)

    def test_a_recombined_model_draws_what_the_gated_one_draws(self):
        options = ("--class", "0", "--class", "1", "--count", "4", "--guidance", "1")
        gated = self.pixels("base/model.safetensors", *options)
        for dense in ((), ("--dense",)):
            self.dashi("recombine", "base/model.safetensors", "two.safetensors", "--classes", "0,1", *dense, "--force", "--quiet")
            self.assertLess(apart(gated, self.pixels("two.safetensors", *options)), 1e-5)

    def test_what_pays_is_chosen(self):
        def groups(*options, model="base/model.safetensors"):
            report = self.json("sample", model, "y.png", "--force", "--threads", "1", *options)
            return report["dense_groups"], report["groups"]

        self.assertEqual(groups("--count", "10", "--steps", "8"), (3, 3))
        self.assertEqual(groups("--count", "1", "--steps", "1", "--guidance", "1"), (0, 1))
        self.assertEqual(groups("--count", "10", "--steps", "8", "--class-weights", "factors"), (0, 3))
        self.assertEqual(groups("--count", "1", "--steps", "1", "--class-weights", "dense"), (2, 2))
        said = self.dashi("--dry-run", "sample", "base/model.safetensors", "z.png", "--count", "10", "--steps", "8")
        self.assertIn("dense for 3 of 3 tailor groups", said)
        # Few components cost less than any dense product.
        self.train_new(KIND, ("output: base", "output: low"), ("steps: 24", "steps: 1"), ("learngene: 12", "learngene: 2"),
                       ("tailors: 12", "tailors: 4"))
        self.assertEqual(groups("--count", "10", "--steps", "8", model="low/model.safetensors"), (0, 3))

    def test_probe_and_score(self):
        data = self.path("images.safetensors")
        self.dashi("sample", "base/model.safetensors", "--bank", "images.safetensors", "--count", "10", *SAMPLING)
        options = ("--data", data, "--class-depth", "0", "--every", "200", "--threads", "1")
        curves = [self.json("probe", "base/model.safetensors", "--class-weights", how, *options) for how in ("dense", "factors")]
        for one, other in zip(*(curve["models"][0]["mse_by_t"].values() for curve in curves), strict=True):
            self.assertTrue(math.isclose(one, other, rel_tol=1e-4))
        self.json("probe", "base/model.safetensors", "--no-class", *options)
        scores = [self.json("score", "base/model.safetensors", "--data", data, "--class-depth", "0", "--samples", "6", "--steps", "4",
                            "--seed", "5", "--threads", "1", "--class-weights", how) for how in ("dense", "factors")]
        self.assertTrue(math.isclose(*(score["frechet_distance"] for score in scores), rel_tol=1e-4))
        self.assertEqual(scores[0]["drawn"]["class_weights"], "dense")

    def test_fine_has_one_set_of_weights(self):
        self.train_new(FINE, ("output: base", "output: fine"))
        factors = self.pixels("fine/model.safetensors", "--class-weights", "factors")
        self.assertLess(apart(factors, self.pixels("fine/model.safetensors", "--class-weights", "dense")), 1e-5)
        report = self.json("sample", "fine/model.safetensors", "y.png", "--threads", "1", "--steps", "8")
        self.assertEqual((report["dense_groups"], report["groups"]), (1, 1))


class Refusals(Factorised):
    def test_configurations(self):
        for old, new, line in (("method: kind", "method: svd", 9), ("method: kind, ", "", 9), ("tailors: 12", "tailor: 12", 9),
                               ("tailors: 12", "tailors: 12, train: tailors", 9), ("tailors: 12", "rank: 12", 9)):
            with self.subTest(new=new):
                self.write("c.yaml", NEW, ("METHOD", KIND), (old, new))
                self.assertIn(f"line {line}", self.refused("train", "c.yaml", status=78,
                                                           code="unknown-key" if "tailor:" in new or "rank" in new
                                                           else "config-value"))
        for old, new, said in (("[0, 0, 1, 1, 1]", "[0, 0, 1, 1]", "those of the 5 classes"),
                               ("[0, 0, 1, 1, 1]", "[0, 0, 1, 2, 1]", "group 2"),
                               ("tailors: 12", "tailors: 11", "multiple of the 2 groups"),
                               ("learngene: 12", "learngene: 24", "1 to 32 components")):
            with self.subTest(new=new):
                self.write("c.yaml", NEW, ("METHOD", KIND), (old, new))
                self.assertIn(said, self.refused("train", "c.yaml", status=78, code="bad-factorisation"))
        for change, said in ((("patch: 4}", "patch: 4, precision: float16}"), "float32 or bf16"),
                             (("seed: 3", "seed: 3\nreproducible: any_threads"), "any_threads for a factorised")):
            self.write("c.yaml", NEW, ("METHOD", KIND), change)
            self.assertIn(said, self.refused("train", "c.yaml", status=78, code="config-value"))
        self.write("c.yaml", NEW, ("METHOD", "{method: kind, groups: 6}"))
        self.assertIn("1 to 5", self.refused("train", "c.yaml", status=78, code="config-value"))

    def test_parts_of_files(self):
        self.train_new(FINE, ("steps: 24", "steps: 1"))
        self.write("dense.yaml", NEW, ("factorised: METHOD\n", ""), ("output: base", "output: dense"), ("steps: 24", "steps: 1"))
        self.dashi("train", "dense.yaml", *QUIET)
        for model, part, said in (("base", "tailors", "share their vectors"), ("base", "all, rank: 4", "beside model.from"),
                                  ("dense", "sigma", "dashi factorise"), ("base", "u", "tailors")):
            with self.subTest(part=part):
                self.write("c.yaml", TUNE, ("MODEL", f"{model}/model.safetensors"), ("PART", part))
                self.assertIn(said, self.refused("train", "c.yaml", status=78, code="config-value"))
        for change in (("from: MODEL", "from: base/model.safetensors, heads: 4"),
                       ("from: MODEL", "from: base/model.safetensors, embedders: per_block"),
                       ("model: {from: MODEL}", "model: {from: base/model.safetensors}\nadapter: lora")):
            self.write("c.yaml", TUNE, change, ("PART", "all"))
            self.refused("train", "c.yaml", status=78, code="config-value")
        for options in (("--heads", "2"), ("--adapter", "x"), ("--embedders", "shared")):
            self.refused("sample", "base/model.safetensors", "x.png", *options, status=2, code="option-of-another-kind")
        self.refused("sample", "dense/model.safetensors", "x.png", "--class-weights", "factors", status=2,
                     code="option-of-another-kind")
        self.refused("sample", "base/model.safetensors", "x.png", "--class", "5", status=2, code="class-index")
        self.refused("factorise", "base/model.safetensors", "x.safetensors", status=65, code="already-factorised")

    def test_broken_files(self):
        self.train_new(KIND, ("steps: 24", "steps: 1"))
        tensors, metadata = self.read("base/model.safetensors")
        name = "blocks.0.attn.proj.tailors.u"

        def cut(t, _):
            t[name] = ("F32", [10, 32], t[name][2][: 4 * 320])

        def not_a_number(t, _):
            t[name] = ("F32", [12, 32], struct.pack("<f", math.nan) + t[name][2][4:])

        for change, code in ((lambda _, m: m.pop("dashi.class_groups"), "missing-metadata"),
                             (lambda _, m: m.update({"dashi.class_groups": "0 0 1 1"}), "bad-groups"),
                             (lambda _, m: m.update({"dashi.class_groups": "0 0 1 1 2"}), "bad-groups"),
                             (cut, "shape-mismatch"), (lambda t, _: t.pop(name), "missing-factor"),
                             (not_a_number, "not-finite")):
            changed, said = dict(tensors), dict(metadata)
            change(changed, said)
            write_safetensors(self.path("bad.safetensors"), changed, said)
            with self.subTest(code=code):
                self.refused("sample", "bad.safetensors", "x.png", "--quiet", status=65, code=code)
                self.write("c.yaml", TUNE, ("MODEL", "bad.safetensors"), ("PART", "tailors"))
                if code != "not-finite":
                    self.refused("train", "c.yaml", "--quiet", status=65, code=code)


if __name__ == "__main__":
    unittest.main()
