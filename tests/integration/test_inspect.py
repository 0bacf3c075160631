# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi inspect: dialects of real files, all fields of the report."""

import unittest

from program_case import ProgramCase, shared_data
from safetensors_files import write_safetensors


class Inspect(ProgramCase):
    def test_both_real_loras_are_named(self):
        for name, tensors in (("lora_disney.safetensors", 386), ("analog_svd_rank4.safetensors", None)):
            with self.subTest(file=name):
                found = self.json("inspect", shared_data("loras", name))
                self.assertEqual(found["dialect"]["name"], "cloneofsimo LoRA")
                self.assertTrue(found["odd_data_offset"])
                self.assertEqual(found["files"][0]["data_begin"] % 2, 1)
                self.assertEqual(found["tensor_count"], len(found["tensors"]))
                self.assertEqual(found["parameters"], sum(tensor["parameters"] for tensor in found["tensors"]))
                if tensors:
                    self.assertEqual(found["tensor_count"], tensors)
                text = self.dashi("inspect", shared_data("loras", name))
                self.assertIn("cloneofsimo", text)
                self.assertIn("an odd offset", text)

    def test_counts_and_digest(self):
        write_safetensors(self.path("a.safetensors"), {"w": ("F16", [2, 3], [0] * 6), "s": ("I64", [], [7])},
                          {"format": "pt", "nasty\nkey": "line\nbreak"})
        found = self.json("inspect", "--digest", "a.safetensors")
        self.assertEqual((found["parameters"], found["bytes"], found["tensor_count"]), (7, 20, 2))
        self.assertEqual(found["dtypes"]["F16"], {"tensors": 1, "parameters": 6, "bytes": 12})
        self.assertRegex(found["digest"], r"\A[0-9a-f]{64}\Z")
        text = self.dashi("inspect", "--digest", "a.safetensors")
        self.assertIn(found["digest"], text)
        self.assertIn(r"nasty\x0akey: line\x0abreak", text)
        self.assertNotIn("digest", self.json("inspect", "a.safetensors"))

    def test_all_tensors_are_listed_on_request(self):
        write_safetensors(self.path("a.safetensors"), {f"w{i}": ("F32", [1], [i]) for i in range(12)})
        self.assertIn("and 2 more", self.dashi("inspect", "a.safetensors"))
        self.assertIn("w9", self.dashi("inspect", "--tensors", "a.safetensors"))

    def test_digest_does_not_depend_on_the_container(self):
        source = shared_data("dit_shards", "base.fp16.safetensors")
        self.dashi("reshard", source, "m.safetensors", "--shard-size", "1MB")
        one = self.json("inspect", "--digest", source)
        many = self.json("inspect", "--digest", "--threads", "3", "m.safetensors.index.json")
        self.assertEqual(one["digest"], many["digest"])
        self.assertTrue(many["sharded"])
        self.assertGreater(len(many["files"]), 2)

    def test_errors(self):
        self.path("zip.safetensors").write_bytes(b"PK\x03\x04" + bytes(60))
        message = self.refused("inspect", "zip.safetensors", status=65, code="foreign-format")
        self.assertIn("zip", message.lower())
        self.path("empty.safetensors").touch()
        self.refused("inspect", "empty.safetensors", status=66, code="empty-file")
        self.path("folder").mkdir()
        self.refused("inspect", "folder", status=66, code="no-checkpoint")


if __name__ == "__main__":
    unittest.main()
