# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi extract and combine: adapters from checkpoints, one adapter from several."""

import random
import unittest

from program_case import ProgramCase
from safetensors_files import read_safetensors, write_safetensors


def numbers(count, seed, digits=8):
    source = random.Random(seed)
    return [source.randrange(-2**digits, 2**digits) / 64 for _ in range(count)]


class Extract(ProgramCase):
    ROWS, COLUMNS, RANK = 24, 20, 2

    def setUp(self):
        super().setUp()
        self.up, self.down = numbers(self.ROWS * self.RANK, 1, 4), numbers(self.RANK * self.COLUMNS, 2, 4)
        change = [sum(self.up[i * self.RANK + r] * self.down[r * self.COLUMNS + j] for r in range(self.RANK))
                  for i in range(self.ROWS) for j in range(self.COLUMNS)]
        weight, bias = numbers(self.ROWS * self.COLUMNS, 3), numbers(self.ROWS, 4)
        self.write("base.safetensors", weight, bias)
        self.write("tuned.safetensors", [w + c for w, c in zip(weight, change)], [bias[0] + 1, *bias[1:]])

    def write(self, name, weight, bias):
        write_safetensors(self.path(name), {"m.weight": ("F32", [self.ROWS, self.COLUMNS], weight),
                                            "m.bias": ("F32", [self.ROWS], bias),
                                            "rest.weight": ("F32", [2, 2], [1, 2, 3, 4])})

    def extract(self, *more, out="a.safetensors"):
        return ["extract", "--base", "base.safetensors", "--tuned", "tuned.safetensors", "--out", out, *more]

    def test_a_change_of_low_rank_is_found_and_fused_again(self):
        found = self.json(*self.extract("--kind", "lora", "--rank", "2"))
        tensors = {t["tensor"]: t for t in found["tensors"]}
        self.assertEqual(set(tensors), {"m.weight", "m.bias"})
        self.assertEqual(tensors["m.weight"]["form"], "rank 2")
        self.assertLess(tensors["m.weight"]["error"], 1e-6)
        self.assertGreater(tensors["m.weight"]["energy"], 1 - 1e-12)
        self.assertEqual(tensors["m.bias"]["form"], "dense")
        self.assertEqual(found["equal"], 1)
        self.dashi("fuse", "--base", "base.safetensors", "--adapter", "a.safetensors", "--out", "f.safetensors")
        difference = self.json("diff", "f.safetensors", "tuned.safetensors", "--all", status=1)
        for tensor in difference["tensors"]:
            self.assertLess(tensor.get("relative", 0), 1e-6, tensor)
        found = self.json("verify", "--fused", "tuned.safetensors", "--base", "base.safetensors", "--adapter",
                          "a.safetensors", "--ulp", "1000")
        self.assertTrue(found["agrees"])
        self.refused("fuse", "--base", "tuned.safetensors", "--adapter", "a.safetensors", "--out", "x", status=65,
                     code="another-base")

    def test_other_forms_and_dialects(self):
        found = self.json(*self.extract("--kind", "lokr", "--factor", "4"))
        weight = next(t for t in found["tensors"] if t["tensor"] == "m.weight")
        self.assertEqual(weight["form"], "[4, 4] (x) [6, 5]")
        self.assertAlmostEqual(weight["energy"], 1 - weight["error"] ** 2)
        self.assertGreater(weight["error"], 0.01)
        self.json(*self.extract("--kind", "lora", "--rank", "2", "--to", "comfyui", out="c.safetensors"))
        self.assertIn("diffusion_model.m.lora_A.weight",
                      " ".join(read_safetensors(self.path("c.safetensors"))[0]).replace("lora_down", "lora_A"))

    def test_energy_and_search(self):
        weight = lambda found: next(t for t in found["tensors"] if t["tensor"] == "m.weight")
        found = weight(self.json(*self.extract("--kind", "lora", "--energy", "0.9999")))
        self.assertEqual(found["form"], "rank 2")
        found = weight(self.json(*self.extract("--kind", "lokr", "--search", out="b.safetensors")))
        self.assertIn("(x)", found["form"])
        kept = found["energy"] / found["parameters"]
        for factor in ("1", "2", "4", "8", "0"):
            other = weight(self.json(*self.extract("--kind", "lokr", "--factor", factor, out=f"f{factor}.safetensors")))
            self.assertGreaterEqual(kept * (1 + 1e-6), other["energy"] / other["parameters"])
        found = weight(self.json(*self.extract("--kind", "lokr", "--search", "--energy", "0.9999", out="c.safetensors")))
        self.assertEqual(found["form"], "rank 2")

    def test_bad_input(self):
        self.refused(*self.extract("--search", "--kind", "lora", "--rank", "1"), status=2, code="search")
        self.refused(*self.extract("--search", "--kind", "lokr", "--factor", "2"), status=2, code="search")
        for energy in ("1", "-0.1", "nan"):
            self.refused(*self.extract("--rank", "2", "--energy", energy), status=2, code="bad-energy")
        self.refused(*self.extract("--kind", "lora"), status=2, code="no-rank")
        self.refused(*self.extract("--rank", "2", "--to", "pickle"), status=2, code="bad-dialect")
        self.refused("extract", "--base", "base.safetensors", "--tuned", "base.safetensors", "--rank", "1", "--out", "x",
                     status=65, code="nothing-to-extract")
        write_safetensors(self.path("other.safetensors"), {"m.weight": ("F32", [2, 2], [1, 2, 3, 4])})
        self.refused("extract", "--base", "base.safetensors", "--tuned", "other.safetensors", "--rank", "1", "--out", "x",
                     status=65, code="not-the-same-model")
        self.refused(*self.extract("--rank", "2", "--force", out="base.safetensors"), status=73, code="cannot-create")

    def test_combination_is_fused_like_both(self):
        self.dashi(*self.extract("--rank", "2", "--no-digest"))
        self.write("tuned.safetensors", numbers(self.ROWS * self.COLUMNS, 8), numbers(self.ROWS, 9))
        self.dashi(*self.extract("--rank", "3", "--no-digest", out="b.safetensors"))
        both = ["--adapter", "a.safetensors=0.5", "--adapter", "b.safetensors=-1"]
        found = self.json("combine", *both, "--out", "ab.safetensors", "--dtype", "f64")
        self.assertEqual([m["form"] for m in found["modules"]], ["rank 5"])
        self.assertLess(found["largest_error"], 1e-14)
        self.dashi("fuse", "--base", "base.safetensors", "--adapter", "ab.safetensors", "--out", "f.safetensors")
        found = self.json("verify", "--fused", "f.safetensors", "--base", "base.safetensors", *both, "--ulp", "0.51")
        self.assertTrue(found["agrees"])
        found = self.json("combine", *both, "--out", "r.safetensors", "--rank", "2")
        self.assertEqual(found["modules"][0]["form"], "rank 2")
        self.assertGreater(found["largest_error"], 0.01)
        self.refused("combine", *both, "--out", "ab.safetensors", status=73, code="cannot-create")


if __name__ == "__main__":
    unittest.main()
