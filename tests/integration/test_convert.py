# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi convert: rounding, rules, refusals."""

import json
import math
import os
import struct
import unittest

from program_case import ProgramCase, shared_data
from safetensors_files import from_bytes, read_safetensors, write_safetensors


class Convert(ProgramCase):
    def file(self, tensors, metadata=None, name="in.safetensors"):
        return write_safetensors(self.path(name), tensors, metadata)

    def converted(self, *arguments):
        self.dashi("convert", "in.safetensors", "out.safetensors", *arguments)
        return read_safetensors(self.path("out.safetensors"))

    def test_rounds_once_to_nearest_even(self):
        # 1 + 2^-11 + 2^-40 is above the middle of two halves; by way of float it would be on it.
        values = [1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-40, -0.0, 2**-24, 65519.0]
        self.file({"w": ("F64", [6], values)})
        tensors, _ = self.converted("--dtype", "f16")
        dtype, shape, data = tensors["w"]
        self.assertEqual((dtype, shape), ("F16", [6]))
        self.assertEqual(from_bytes("F16", data), [1, 1 + 2**-9, 1 + 2**-10, -0.0, 2**-24, 65504])
        self.assertEqual(data[6:8], b"\0\x80")

    def test_real_file_against_python(self):
        source = shared_data("dit_shards", "shard_0.fp32.safetensors")
        self.dashi("convert", source, "out.safetensors", "--dtype", "fp16")
        before, _ = read_safetensors(source)
        after, _ = read_safetensors(self.path("out.safetensors"))
        self.assertEqual(before.keys(), after.keys())
        compared = 0
        for name, (dtype, shape, data) in before.items():
            if dtype == "F32":
                values = from_bytes("F32", data)
                self.assertEqual(after[name], ("F16", shape, struct.pack(f"<{len(values)}e", *values)), name)
                compared += 1
        self.assertGreater(compared, 5)

    def test_rules_first_match_wins_and_split_at_the_last_equals_sign(self):
        self.file({"a.norm": ("F32", [1], [1]), "a=b": ("F32", [1], [1]), "rest": ("F32", [1], [1]),
                   "ids": ("I64", [1], [1])})
        tensors, _ = self.converted("--rule", "norm=same", "--rule", "a=b=f64", "--rule", "^a=f16", "--dtype", "bf16")
        self.assertEqual({name: tensor[0] for name, tensor in tensors.items()},
                         {"a.norm": "F32", "a=b": "F64", "rest": "BF16", "ids": "I64"})

    def test_metadata_is_kept_and_says_what_was_done(self):
        self.file({"w": ("F32", [1], [1])}, {"format": "pt", "z": "1"})
        _, metadata = self.converted("--rule", "w=bf16")
        recipe = json.loads(metadata["dashi.convert"])
        self.assertEqual((metadata["format"], metadata["z"]), ("pt", "1"))
        self.assertEqual((recipe["dtype"], recipe["input"], recipe["rules"]), ("same", "in.safetensors", [["w", "BF16"]]))
        digest = self.json("inspect", "--digest", "in.safetensors")["digest"]
        self.assertEqual(recipe["digest"], digest)

    def test_every_format_and_back(self):
        values = [0.0, 1.0, -1.5, 2.0, 0.25, 96.0]
        self.file({"w": ("F32", [6], values)})
        for dtype in ("f64", "f16", "bf16", "f8_e4m3", "f8_e5m2", "f8_e4m3fnuz", "f8_e5m2fnuz"):
            with self.subTest(dtype=dtype):
                self.dashi("convert", "in.safetensors", f"{dtype}.safetensors", "--dtype", dtype)
                self.dashi("convert", f"{dtype}.safetensors", f"{dtype}.back.safetensors", "--dtype", "f32")
                tensors, _ = read_safetensors(self.path(f"{dtype}.back.safetensors"))
                self.assertEqual(from_bytes("F32", tensors["w"][2]), values)

    def test_overflow(self):
        self.file({"a": ("F32", [1], [1]), "w": ("F32", [3], [65520, 1, -1e9])})
        message = self.refused("convert", "in.safetensors", "out.safetensors", "--dtype", "f16", status=65,
                               code="overflow")
        self.assertIn("in.safetensors: tensor 'w' element 0: 2 beyond", message)
        tensors, _ = self.converted("--dtype", "f16", "--saturate")
        self.assertEqual(from_bytes("F16", tensors["w"][2]), [65504, 1, -65504])
        tensors, _ = self.converted("--dtype", "f16", "--nonfinite=propagate", "--force")
        self.assertEqual(from_bytes("F16", tensors["w"][2]), [math.inf, 1, -math.inf])

    def test_nonfinite(self):
        self.file({"w": ("F32", [3], [1, math.nan, -math.inf])})
        for flags in ((), ("--saturate",)):
            message = self.refused("convert", "in.safetensors", "out.safetensors", "--dtype", "bf16", *flags,
                                   status=65, code="nonfinite")
            self.assertIn("tensor 'w' element 1: 1 NaN, 1 infinite", message)
        tensors, _ = self.converted("--dtype", "bf16", "--nonfinite=propagate")
        one, nan, inf = from_bytes("BF16", tensors["w"][2])
        self.assertEqual((one, math.isnan(nan), inf), (1, True, -math.inf))

    def test_nan_with_low_payload_stays_nan(self):
        self.file({"w": ("F32", [1], struct.pack("<I", 0x7F800001))})
        tensors, _ = self.converted("--dtype", "bf16", "--nonfinite=propagate")
        self.assertTrue(math.isnan(from_bytes("BF16", tensors["w"][2])[0]))

    def test_untouched_tensors_are_not_looked_at(self):
        content = struct.pack("<3f", 1, math.nan, math.inf)
        self.file({"keep": ("F32", [3], content), "w": ("F32", [1], [1])})
        tensors, _ = self.converted("--rule", "^w$=f16")
        self.assertEqual(tensors["keep"], ("F32", [3], content))

    def test_integers_are_not_converted(self):
        self.file({"ids": ("I64", [1], [1]), "w": ("F32", [1], [1])})
        message = self.refused("convert", "in.safetensors", "out.safetensors", "--rule", "ids=f32", status=65,
                               code="not-convertible")
        self.assertIn("I64", message)
        tensors, _ = self.converted("--dtype", "f16")
        self.assertEqual(tensors["ids"][0], "I64")

    def test_long_names_do_not_exhaust_the_stack(self):
        self.file({"a" * 1024: ("F32", [1], [1])})
        rule = ("--rule", "((a|b)*)=f16")
        self.assertIn("1 of 1", self.dashi("convert", "in.safetensors", "out.safetensors", *rule))
        self.file({"a" * 1025: ("F32", [1], [1])})
        self.refused("convert", "in.safetensors", "out2.safetensors", *rule, status=65, code="name-too-long")

    def test_usage(self):
        self.file({"w": ("F32", [1], [1])})
        for arguments, code in ((["--rule", "(=f16"], "bad-regex"), (["--rule", "w"], "bad-rule"),
                                (["--rule", "=f16"], "bad-rule"), (["--dtype", "f17"], "bad-dtype"),
                                (["--dtype", "i8"], "bad-dtype"), ([], "nothing-to-convert")):
            with self.subTest(arguments=arguments):
                self.refused("convert", "in.safetensors", "out.safetensors", *arguments, status=2, code=code)

    def test_dry_run_prints_the_changes(self):
        self.file({"w": ("F32", [1], [1]), "ids": ("I64", [1], [1])})
        before = self.contents()
        out = self.dashi("convert", "--dry-run", "in.safetensors", "out.safetensors", "--dtype", "f16")
        self.assertRegex(out, r"w +F32 +-> F16")
        self.assertRegex(out, r"ids +I64 +unchanged")
        self.assertEqual(self.contents(), before)

    def test_outputs(self):
        self.file({"w": ("F32", [1], [1])})
        self.file({"w": ("F32", [1], [2])}, name="there.safetensors")
        convert = ("convert", "in.safetensors")
        self.refused(*convert, "there.safetensors", "--dtype", "f16", status=73, code="cannot-create")
        self.refused(*convert, "in.safetensors", "--dtype", "f16", "--force", status=73, code="cannot-create")
        os.link(self.path("in.safetensors"), self.path("hard.safetensors"))
        self.refused(*convert, "hard.safetensors", "--dtype", "f16", "--force", status=73, code="cannot-create")
        self.refused(*convert, "no/out.safetensors", "--dtype", "f16", status=73, code="cannot-create")
        self.dashi(*convert, "there.safetensors", "--dtype", "f16", "--force")
        os.symlink("hard.safetensors", self.path("link.safetensors"))
        self.refused(*convert, "link.safetensors", "--dtype", "f16", "--force", status=73, code="cannot-create")

    def test_threads_do_not_change_a_byte(self):
        source = shared_data("dit_shards", "shard_0.fp32.safetensors")
        for name, flags in (("one", ["--threads", "1"]), ("four", ["--threads", "4", "--mem", "8MiB"])):
            self.dashi("convert", source, f"{name}.safetensors", "--dtype", "bf16", *flags)
        self.assertEqual(self.path("one.safetensors").read_bytes(), self.path("four.safetensors").read_bytes())


if __name__ == "__main__":
    unittest.main()
