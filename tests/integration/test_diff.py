# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi diff: what it finds, what counts, and how it ends."""

import math
import unittest

from program_case import ProgramCase, shared_data
from safetensors_files import write_safetensors


class Diff(ProgramCase):
    def file(self, name, tensors, metadata=None):
        return write_safetensors(self.path(name), tensors, metadata)

    def test_equal_content_however_it_is_stored(self):
        a = {"x": ("F32", [2], [1, 2]), "y": ("I64", [1], [7])}
        self.file("a.safetensors", a, {"k": "1"})
        self.file("b.safetensors", dict(reversed(a.items())), {"k": "1"})
        out = self.dashi("diff", "a.safetensors", "b.safetensors")
        self.assertIn("equal content", out)

    def test_norms(self):
        self.file("a.safetensors", {"w": ("F32", [4], [3, 4, 0, 1]), "same": ("F16", [1], [1])})
        self.file("b.safetensors", {"w": ("F32", [4], [3, 1, 0, 5]), "same": ("F16", [1], [1])})
        found = self.json("diff", "a.safetensors", "b.safetensors", status=1)
        same, w = found["tensors"]
        self.assertTrue(same["equal"])
        self.assertEqual((w["max_abs"], w["l2"], w["different_elements"]), (4, 5, 2))
        self.assertAlmostEqual(w["relative"], 5 / math.sqrt(26), places=15)
        self.assertFalse(found["equal"])

    def test_bytes_decide_not_values(self):
        self.file("a.safetensors", {"w": ("F32", [1], [0.0])})
        self.file("b.safetensors", {"w": ("F32", [1], [-0.0])})
        found = self.json("diff", "a.safetensors", "b.safetensors", status=1)
        self.assertEqual((found["tensors"][0]["max_abs"], found["tensors"][0]["equal"]), (0, False))

    def test_names_shapes_and_dtypes(self):
        self.file("a.safetensors", {"gone": ("F32", [1], [1]), "s": ("F32", [2], [1, 2]), "d": ("F16", [1], [1.5])})
        self.file("b.safetensors", {"new": ("F32", [1], [1]), "s": ("F32", [2, 1], [1, 2]), "d": ("F32", [1], [1.5])})
        found = self.json("diff", "a.safetensors", "b.safetensors", status=1)
        self.assertEqual((found["only_in_a"], found["only_in_b"]), (["gone"], ["new"]))
        d, s = found["tensors"]
        self.assertEqual((d["a"]["dtype"], d["b"]["dtype"], d["max_abs"]), ("F16", "F32", 0))
        self.assertEqual((s["a"]["shape"], s["b"]["shape"]), ([2], [2, 1]))
        self.assertNotIn("max_abs", s)
        text = self.dashi("diff", "a.safetensors", "b.safetensors", status=1)
        for part in ("only in a.safetensors (1)", "F32 [2] and F32 [2, 1]", "F16 [1] and F32 [1]", "different"):
            self.assertIn(part, text)

    def test_numbers_that_are_not_finite(self):
        inf, nan = math.inf, math.nan
        self.file("a.safetensors", {"w": ("F32", [4], [inf, nan, 1, inf])})
        self.file("b.safetensors", {"w": ("F32", [4], [inf, nan, 3, -inf])})
        (w,) = self.json("diff", "a.safetensors", "b.safetensors", status=1)["tensors"]
        self.assertEqual((w["max_abs"], w["nonfinite"], w["different_elements"]), (2, 2, 2))

    def test_no_overflow_on_the_way(self):
        self.file("a.safetensors", {"w": ("F64", [2], [1e300, 1e300])})
        self.file("b.safetensors", {"w": ("F64", [2], [0, 0])})
        (w,) = self.json("diff", "a.safetensors", "b.safetensors", status=1)["tensors"]
        self.assertAlmostEqual(w["l2"] / 1e300, math.sqrt(2), places=14)

    def test_integers(self):
        self.file("a.safetensors", {"i": ("I32", [2], [-2147483648, 5]), "l": ("I64", [2], [1, 2])})
        self.file("b.safetensors", {"i": ("I32", [2], [2147483647, 5]), "l": ("I64", [2], [1, 3])})
        i, l = self.json("diff", "a.safetensors", "b.safetensors", status=1)["tensors"]
        self.assertEqual(i["max_abs"], 4294967295)
        self.assertEqual(l["different_elements"], 1)
        self.assertNotIn("max_abs", l)

    def test_metadata_counts_only_when_asked(self):
        self.file("a.safetensors", {"w": ("F32", [1], [1])}, {"k": "1"})
        self.file("b.safetensors", {"w": ("F32", [1], [1])}, {"k": "2"})
        self.assertIn("metadata differs", self.dashi("diff", "a.safetensors", "b.safetensors"))
        self.dashi("diff", "--metadata", "a.safetensors", "b.safetensors", status=1)

    def test_threads_do_not_change_a_digit(self):
        a, b = shared_data("dit_shards", "shard_0.fp32.safetensors"), shared_data("dit_shards", "shard_1.fp32.safetensors")
        one = self.json("diff", "--threads", "1", a, b, status=1)
        self.assertEqual(one, self.json("diff", "--threads", "4", "--mem", "4MiB", a, b, status=1))
        self.assertGreater(sum(tensor["l2"] for tensor in one["tensors"]), 0)

    def test_dry_run_compares_headers(self):
        self.file("a.safetensors", {"w": ("F32", [1], [1])})
        self.file("b.safetensors", {"w": ("F32", [1], [2])})
        self.assertIn("would be compared", self.dashi("--dry-run", "diff", "a.safetensors", "b.safetensors"))

    def test_errors(self):
        self.file("a.safetensors", {"w": ("F32", [1], [1])})
        self.path("bad.safetensors").write_bytes(self.path("a.safetensors").read_bytes()[:-1])
        self.assertIn("missing.safetensors",
                      self.refused("diff", "a.safetensors", "missing.safetensors", status=66, code="no-such-file"))
        self.refused("diff", "a.safetensors", "bad.safetensors", status=65, code="truncated")
        self.refused("diff", "--mem", "1KB", "a.safetensors", "a.safetensors", status=2, code="memory-budget")


if __name__ == "__main__":
    unittest.main()
