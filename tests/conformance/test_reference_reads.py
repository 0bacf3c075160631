# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The reference library (PyPI safetensors) loads what dashi writes, every dtype, with equal bytes."""

import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
import fault_harness as harness

try:
    import safetensors
except ImportError as missing:
    raise unittest.SkipTest("no PyPI safetensors; cmake/bootstrap makes .deps/oracle") from missing


class ReferenceReads(unittest.TestCase):
    def setUp(self):
        self.folder = harness.scratch() / self.id().rsplit(".", 1)[-1]
        self.folder.mkdir()

    def write(self, *flags: str) -> None:
        done = harness.run(harness.helper(), str(self.folder / "out.safetensors"), "7", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)

    def tensors(self, path: pathlib.Path) -> dict:
        """name -> (dtype, shape, bytes), by our own reading of the header, compared with theirs."""
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        self.assertEqual((8 + length) % 4096, 0)
        header = json.loads(content[8 : 8 + length])
        self.assertEqual(header.pop("__metadata__"), {"seed": "7"})
        ours = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            data = content[8 + length + begin : 8 + length + end]
            ours[name] = (entry["dtype"], entry["shape"], data)
        theirs = {
            name: (entry["dtype"], list(entry["shape"]), bytes(entry["data"]))
            for name, entry in safetensors.deserialize(content)
        }
        self.assertEqual(theirs, ours)
        return ours

    def test_every_dtype(self):
        self.write("--all-dtypes")
        tensors = self.tensors(self.folder / "out.safetensors")
        self.assertEqual(len({dtype for dtype, _, _ in tensors.values()}), 22)
        self.assertEqual(len(tensors), 22 * 3 - 3)
        self.assertEqual(tensors["F32.matrix"][1:], ([3, 8], self.pattern("F32.matrix", 96)))

    def pattern(self, name: str, size: int) -> bytes:
        """What write_small_file fills a tensor with."""
        first = 7 * 31 + self.place(name) * 7
        return bytes((first + i) & 0xFF for i in range(size))

    def place(self, name: str) -> int:
        names = []
        for dtype in DTYPES:
            names += [f"{dtype}.matrix", f"{dtype}.empty"]
            names += [] if dtype[:2] in ("F4", "F6") and dtype != "F64" else [f"{dtype}.scalar"]
        return names.index(name)

    def test_shards(self):
        self.write("--shards")
        index = json.loads((self.folder / "out.safetensors.index.json").read_text())
        found = {}
        total = 0
        for shard in sorted(set(index["weight_map"].values())):
            for name, (_, _, data) in self.tensors(self.folder / shard).items():
                found[name] = shard
                total += len(data)
        self.assertEqual(found, index["weight_map"])
        self.assertEqual(index["metadata"], {"total_size": total})


DTYPES = (
    "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 "
    "I32 U32 F32 C64 F64 I64 U64"
).split()


if __name__ == "__main__":
    unittest.main()
