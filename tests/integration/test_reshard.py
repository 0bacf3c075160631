# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi reshard: the same bytes in other files."""

import json
import os
import resource
import unittest

from program_case import ProgramCase, shared_data
from safetensors_files import read_safetensors, write_safetensors


class Reshard(ProgramCase):
    def small(self, metadata=None):
        return write_safetensors(self.path("in.safetensors"),
                                 {"c": ("F32", [4], [1, 2, 3, 4]), "a": ("BF16", [8], range(8)),
                                  "b": ("BOOL", [3], [0, 1, 1]), "empty": ("F16", [0, 2], [])}, metadata)

    def test_shards_and_back(self):
        source = shared_data("dit_shards", "base.fp16.safetensors")
        found = self.json("reshard", source, "m.safetensors", "--shard-size", "1MB")
        self.assertEqual(found["output"], "m.safetensors.index.json")
        shards = sorted(self.folder.glob("m-*-of-*.safetensors"))
        self.assertEqual(len(shards), found["shards"])
        self.assertGreater(len(shards), 2)
        before, metadata = read_safetensors(source)
        index = json.loads(self.path("m.safetensors.index.json").read_text())
        self.assertEqual(index["metadata"]["total_size"], sum(len(tensor[2]) for tensor in before.values()))
        after = {}
        for shard in shards:
            tensors, its = read_safetensors(shard)
            self.assertEqual(its, metadata)
            self.assertLessEqual(sum(len(tensor[2]) for tensor in tensors.values()), 1_000_000)
            self.assertEqual({index["weight_map"][name] for name in tensors}, {shard.name})
            after.update(tensors)
        self.assertEqual(after, before)
        self.dashi("reshard", "m.safetensors.index.json", "back.safetensors")
        self.assertEqual(read_safetensors(self.path("back.safetensors")), (before, metadata))
        self.dashi("reshard", source, "direct.safetensors", "--threads", "1")
        self.assertEqual(self.path("back.safetensors").read_bytes(), self.path("direct.safetensors").read_bytes())

    def test_small_file_and_all_its_kinds(self):
        self.small({"format": "pt"})
        before = read_safetensors(self.path("in.safetensors"))
        self.dashi("reshard", "in.safetensors", "out.safetensors", "--shard-size", "16B")
        self.dashi("reshard", "out.safetensors.index.json", "one.safetensors")
        self.assertEqual(read_safetensors(self.path("one.safetensors")), before)

    def test_more_shards_than_files_may_be_open_at_first(self):
        write_safetensors(self.path("in.safetensors"), {f"t{i}": ("U8", [64], bytes(64)) for i in range(60)})
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.dashi("reshard", "in.safetensors", "m.safetensors", "--shard-size", "64",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, hard)))
        self.assertEqual(len(list(self.folder.glob("m-*"))), 60)

    def test_one_shard_is_one_file(self):
        self.small()
        out = self.dashi("reshard", "in.safetensors", "out.safetensors.index.json", "--shard-size", "1GB")
        self.assertIn("out.safetensors: one file", out)
        self.assertTrue(self.path("out.safetensors").exists())
        self.assertFalse(self.path("out.safetensors.index.json").exists())

    def test_odd_offset_of_a_real_file(self):
        source = shared_data("loras", "lora_disney.safetensors")
        self.dashi("reshard", source, "out.safetensors")
        self.assertEqual(read_safetensors(self.path("out.safetensors")), read_safetensors(source))
        self.assertEqual(int.from_bytes(self.path("out.safetensors").read_bytes()[:8], "little") % 8, 0)

    def test_metadata_that_shards_do_not_share_is_named(self):
        self.small({"k": "1"})
        self.dashi("reshard", "in.safetensors", "out.safetensors", "--shard-size", "16B")
        shard = sorted(self.folder.glob("out-*.safetensors"))[0]
        tensors, _ = read_safetensors(shard)
        write_safetensors(shard, tensors, {"k": "2"})
        done = self.run_dashi("reshard", "out.safetensors.index.json", "one.safetensors")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, rb"\Adashi: warning: [^\n]*: k\n\Z")

    def test_dry_run_writes_nothing(self):
        self.small()
        before = self.contents()
        found = self.json("reshard", "--dry-run", "in.safetensors", "out.safetensors", "--shard-size", "16B")
        self.assertEqual((found["dry_run"], found["output"]), (True, "out.safetensors.index.json"))
        self.assertEqual(self.contents(), before)
        real = self.json("reshard", "in.safetensors", "out.safetensors", "--shard-size", "16B")
        self.assertEqual(real["shards"], found["shards"])

    def test_refusals(self):
        self.small()
        self.path("there.safetensors").write_bytes(b"x")
        one = ("reshard", "in.safetensors")
        self.refused(*one, "there.safetensors", status=73, code="cannot-create")
        self.refused(*one, "in.safetensors", "--force", status=73, code="cannot-create")
        self.refused(*one, "out.safetensors", "--shard-size", "2G", status=2, code="bad-size")
        self.refused(*one, "out.safetensors", "--shard-size", "0", status=2, code="bad-size")
        self.refused(*one, "out.safetensors.index.json", status=2, code="index-for-one-file")
        self.refused(*one, "", status=2, code="empty-path")
        self.dashi(*one, "s.safetensors", "--shard-size", "16B")
        self.refused("reshard", "s.safetensors.index.json", "s.safetensors", "--shard-size", "20B", "--force",
                     status=73, code="cannot-create")

    def test_force_replaces_a_set_of_shards(self):
        self.small()
        self.dashi("reshard", "in.safetensors", "s.safetensors", "--shard-size", "16B")
        first = sorted(path.name for path in self.folder.glob("s-*"))
        self.refused("reshard", "in.safetensors", "s.safetensors", "--shard-size", "20B", status=73,
                     code="cannot-create")
        self.dashi("reshard", "in.safetensors", "s.safetensors", "--shard-size", "20B", "--force")
        self.assertNotEqual(sorted(path.name for path in self.folder.glob("s-*")), first)
        self.dashi("verify", "s.safetensors.index.json")
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith(".")], [])


if __name__ == "__main__":
    unittest.main()
