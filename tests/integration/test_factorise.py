# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi factorise, recombine, transfer: models in singular vectors, of some classes, for new ones."""

import json
import math
import struct
import unittest

from dit_files import diffusers_dit, drawn_dit
from program_case import ProgramCase
from safetensors_files import from_bytes, read_safetensors, write_safetensors

METADATA = {"dashi.heads": "2", "dashi.input_height": "8", "dashi.input_width": "8", "note": "kept"}
FACTORISED = ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight")


def values(tensor) -> list:
    dtype, _, data = tensor
    return from_bytes(dtype, data)


class Factorise(ProgramCase):
    def setUp(self):
        super().setUp()
        write_safetensors(self.path("dit.safetensors"), drawn_dit(), METADATA)  # width 16, 4 classes

    def read(self, name):
        return read_safetensors(self.path(name))

    def factorise(self, *options, out="kind.safetensors", model="dit.safetensors"):
        return self.json("--threads", "1", "factorise", model, out, "--force", *options)

    def assert_same_model(self, name, tolerance=2e-6):
        before, _ = self.read("dit.safetensors")
        after, metadata = self.read(name)
        self.assertEqual(before.keys(), after.keys())
        for key, tensor in before.items():
            self.assertEqual(tensor[:2], after[key][:2])
            if not key.endswith(FACTORISED):
                self.assertEqual(tensor, after[key], key)
                continue
            apart = [abs(a - b) for a, b in zip(values(tensor), values(after[key]))]
            self.assertLess(max(apart), tolerance, key)
        return metadata


class Files(Factorise):
    def test_kind_there_and_back(self):
        report = self.factorise()
        self.assertEqual(report["model"]["sites"][0], {"map": "attn.qkv.query", "learngene": 8, "tailors": 8})
        self.assertEqual(report["model"]["group_of_class"], [0, 0, 1, 1])
        self.assertEqual(len(report["maps"]), 12)
        self.assertGreater(report["least_kept"], 1 - 1e-12)
        tensors, metadata = self.read("kind.safetensors")
        self.assertEqual((metadata["dashi.format"], metadata["dashi.factorisation"], metadata["dashi.class_groups"],
                          metadata["note"]), ("factorised-dit 1", "kind", "0 0 1 1", "kept"))
        digest = self.json("inspect", "--digest", "dit.safetensors")["digest"]
        self.assertEqual(json.loads(metadata["dashi.factorise"])["digest"], digest)
        self.assertEqual(tensors["blocks.1.mlp.fc1.tailors.u"][:2], ("F32", [8, 64]))
        self.assertEqual(tensors["blocks.1.mlp.fc1.tailors.v"][:2], ("F32", [8, 16]))
        self.assertEqual(self.json("inspect", "kind.safetensors")["dialect"]["name"], "factorised DiT")
        self.dashi("recombine", "kind.safetensors", "again.safetensors", "--dense")
        metadata = self.assert_same_model("again.safetensors")
        self.assertNotIn("dashi.format", metadata)
        self.assertEqual(metadata["note"], "kept")
        self.assertEqual(self.json("inspect", "again.safetensors")["dit"]["heads"], 2)

    def test_the_table_of_energies(self):
        said = self.dashi("factorise", "dit.safetensors", "kind.safetensors", "--learngene", "4", "--tailors", "4")
        lines = [line.split() for line in said.splitlines() if line.startswith("  blocks.")]
        self.assertEqual(len(lines), 12)
        for name, *_, components, kept, learngene in lines:
            self.assertEqual(components, "4+4", name)
            self.assertLess(float(learngene), float(kept))
            self.assertLess(float(kept), 1)

    def test_from_diffusers_names(self):
        self.factorise()
        expected, _ = self.read("kind.safetensors")
        metadata = METADATA | {"dashi.time_divisor": "128", "dashi.norm_epsilon": "1e-06"}
        write_safetensors(self.path("diffusers.safetensors"), diffusers_dit(self.read("dit.safetensors")[0]), metadata)
        self.factorise(model="diffusers.safetensors", out="other.safetensors")
        self.assertEqual(self.read("other.safetensors")[0], expected)

    def test_fine(self):
        report = self.factorise("--kind", "fine", "--sweeps", "3", out="fine.safetensors")
        self.assertEqual(report["model"]["kind"], "fine")
        tensors, _ = self.read("fine.safetensors")
        self.assertEqual(tensors["shared.blocks.attn.proj.u"][:2], ("F32", [16, 16]))
        self.assertEqual(tensors["blocks.1.attn.proj.sigma"][:2], ("F32", [16]))
        for entry in report["maps"]:
            self.assertGreater(entry["kept"], 0.3)
            self.assertLess(entry["kept"], 1)
        better = self.factorise("--kind", "fine", "--sweeps", "30", out="fine.safetensors")
        self.assertGreater(sum(e["kept"] for e in better["maps"]), sum(e["kept"] for e in report["maps"]))
        self.dashi("transfer", "fine.safetensors", "deep.safetensors", "--depth", "3")
        tensors, _ = self.read("deep.safetensors")
        self.assertIn("blocks.2.attn.proj.sigma", tensors)
        self.assertEqual(self.json("recombine", "deep.safetensors", "dense.safetensors", "--dense")["classes"],
                         [0, 1, 2, 3])
        self.assertEqual(self.json("inspect", "dense.safetensors")["dit"]["depth"], 3)

    def test_recombination(self):
        self.path("groups.yaml").write_text("group_of_class: [0, 1, 2, 1]\n")
        self.factorise("--tailors", "6", "--groups", "groups.yaml")
        report = self.json("recombine", "kind.safetensors", "small.safetensors", "--classes", "3,1")
        self.assertEqual((report["groups"], report["model"]["sites"][0]["tailors"]), ([1], 2))
        before, _ = self.read("kind.safetensors")
        after, metadata = self.read("small.safetensors")
        self.assertEqual(metadata["dashi.kept_classes"], "3 1")
        table = "y_embedder.embedding_table.weight"
        rows = [values(before[table])[16 * row : 16 * row + 16] for row in (3, 1, 4)]
        self.assertEqual(values(after[table]), [x for row in rows for x in row])
        name = "blocks.0.attn.qkv.value.tailors.sigma"
        self.assertEqual(values(after[name]), values(before[name])[2:4])
        # The dense model of one group is the product of what was kept.
        self.dashi("recombine", "kind.safetensors", "dense.safetensors", "--classes", "3,1", "--dense")
        dense, _ = self.read("dense.safetensors")
        self.assertEqual(dense[table], after[table])
        weight = [0.0] * 256
        for part in ("learngene", "tailors"):
            u, v, sigma = (values(after[f"blocks.1.attn.proj.{part}.{kind}"]) for kind in ("u", "v", "sigma"))
            for k, s in enumerate(sigma):
                for i in range(16):
                    for j in range(16):
                        weight[16 * i + j] += s * u[16 * k + i] * v[16 * k + j]
        for expected, found in zip(weight, values(dense["blocks.1.attn.proj.weight"])):
            self.assertAlmostEqual(expected, found, delta=1e-6)

    def test_transfer(self):
        self.factorise()
        self.path("new.yaml").write_text("classes: 3\ngroups: 2\ngroup_of_class: [1, 0, 0]\n")
        self.json("--seed", "7", "transfer", "kind.safetensors", "a.safetensors", "--classes-config", "new.yaml")
        self.json("--seed", "7", "transfer", "kind.safetensors", "b.safetensors", "--classes-config", "new.yaml")
        self.json("--seed", "8", "transfer", "kind.safetensors", "c.safetensors", "--classes-config", "new.yaml")
        self.assertEqual(self.path("a.safetensors").read_bytes(), self.path("b.safetensors").read_bytes())
        before, _ = self.read("kind.safetensors")
        a, metadata = self.read("a.safetensors")
        c, _ = self.read("c.safetensors")
        self.assertEqual(metadata["dashi.class_groups"], "1 0 0")
        for name, tensor in a.items():
            drawn = ".tailors." in name or name.startswith("y_embedder")
            self.assertEqual(tensor == before[name], not drawn, name)
            self.assertEqual(tensor == c[name], not drawn or name.endswith("sigma"), name)
        sizes = [x * x for x in values(before["blocks.0.attn.proj.tailors.sigma"])]
        for sigma in values(a["blocks.0.attn.proj.tailors.sigma"]):
            self.assertAlmostEqual(sigma, math.sqrt(sum(sizes) / 8), delta=1e-6)


class Refusals(Factorise):
    def test_usage(self):
        self.factorise()
        for arguments, code in ((("--groups", "0"), "bad-groups"), (("--groups", "5"), "bad-groups"),
                                (("--tailors", "7"), "bad-factorisation"),
                                (("--learngene", "12", "--tailors", "6"), "bad-factorisation"),
                                (("--rank", "3"), "option-of-another-kind"),
                                (("--kind", "fine", "--tailors", "4"), "option-of-another-kind"),
                                (("--kind", "fine", "--rank", "17"), "bad-factorisation")):
            with self.subTest(arguments=arguments):
                self.refused("factorise", "dit.safetensors", "x.safetensors", *arguments, status=2, code=code)
        for arguments in (("--classes", "4"), ("--classes", "1,1"), ("--classes", "0", "--keep-labels")):
            with self.subTest(arguments=arguments):
                self.refused("recombine", "kind.safetensors", "x.safetensors", *arguments, status=2, code="bad-classes")
        self.refused("transfer", "kind.safetensors", "x.safetensors", status=2, code="bad-transfer")
        self.refused("transfer", "kind.safetensors", "x.safetensors", "--depth", "3", status=2, code="bad-transfer")

    def test_class_tables(self):
        for text, code, line in (("group_of_class: [0, 1]\n", "bad-factorisation", None),
                                 ("classes: 3\ngroup_of_class: [0, 1, 0, 1]\n", "config-value", 2),
                                 ("groups: 1\ngroup_of_class: [0, 1, 0, 1]\n", "config-value", 2),
                                 ("group: 2\n", "unknown-key", 1)):
            with self.subTest(text=text):
                self.path("g.yaml").write_text(text)
                message = self.refused("factorise", "dit.safetensors", "x.safetensors", "--groups", "g.yaml",
                                       status=2 if line is None else 78, code=code)
                self.assertIn("g.yaml: line " + str(line) if line else "2 classes", message)

    def test_bad_files(self):
        self.factorise()
        tensors, metadata = self.read("kind.safetensors")

        def refused(change, code, *arguments, verb="recombine"):
            changed, said = dict(tensors), dict(metadata)
            change(changed, said)
            write_safetensors(self.path("bad.safetensors"), changed, said)
            return self.refused(verb, "bad.safetensors", "x.safetensors", *arguments, status=65, code=code)

        def cut(name, shape):
            def change(changed, _):
                dtype, _, data = changed[name]
                changed[name] = (dtype, shape, data[: 4 * math.prod(shape)])
            return change

        self.assertIn("tailors.u': shape [8, 15], expected vectors of 16",
                      refused(cut("blocks.0.attn.proj.tailors.u", [8, 15]), "shape-mismatch"))
        self.assertIn("expected 8 singular values", refused(cut("blocks.0.attn.proj.tailors.sigma", [7]), "shape-mismatch"))
        refused(lambda t, _: t.pop("blocks.0.attn.proj.tailors.v"), "missing-factor")
        refused(lambda t, _: t.update(other=("F32", [1], [1.0])), "unknown-tensors")
        refused(lambda _, m: m.update({"dashi.format": "factorised-dit 2"}), "format-version")
        refused(lambda _, m: m.update({"dashi.class_groups": "0 0 1"}), "bad-groups")
        name = "blocks.1.mlp.fc2.learngene.sigma"
        refused(lambda t, _: t.update({name: ("F32", [8], struct.pack("<8f", *[math.nan] * 8))}), "not-finite", "--dense")
        self.assertIn("dashi factorise", self.refused("recombine", "dit.safetensors", "x.safetensors", status=65,
                                                      code="not-factorised"))

    def test_a_weight_that_is_not_finite(self):
        tensors, metadata = self.read("dit.safetensors")
        dtype, shape, data = tensors["blocks.1.mlp.fc1.weight"]
        tensors["blocks.1.mlp.fc1.weight"] = (dtype, shape, struct.pack("<f", math.inf) + data[4:])
        write_safetensors(self.path("bad.safetensors"), tensors, metadata)
        for kind in ("kind", "fine"):
            self.refused("factorise", "bad.safetensors", "x.safetensors", "--kind", kind, status=65, code="not-finite")

    def test_outputs(self):
        self.factorise()
        self.refused("factorise", "dit.safetensors", "kind.safetensors", status=73, code="cannot-create")
        self.refused("recombine", "kind.safetensors", "kind.safetensors", "--force", status=73, code="cannot-create")
        self.assertTrue(self.json("--dry-run", "factorise", "dit.safetensors", "x.safetensors")["dry_run"])
        self.assertTrue(self.json("--dry-run", "recombine", "kind.safetensors", "x.safetensors")["dry_run"])
        self.assertFalse(self.path("x.safetensors").exists())
        report = self.factorise("--shard-size", "20KB", out="shards.safetensors")
        self.assertGreater(report["shards"], 1)
        self.json("recombine", report["output"], "again.safetensors", "--dense")
        self.assert_same_model("again.safetensors")


if __name__ == "__main__":
    unittest.main()
