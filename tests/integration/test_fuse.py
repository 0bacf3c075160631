# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi fuse, unfuse and verify --fused: adapters in, adapters out, and whether they are in."""

import json
import random
import struct
import unittest

from program_case import ProgramCase
from safetensors_files import from_bytes, read_safetensors, write_safetensors


def numbers(count, seed, digits=8):
    """Multiples of 2^-6 below 2, so that small sums of products are exact."""
    source = random.Random(seed)
    return [source.randrange(-2**digits, 2**digits) / 64 for _ in range(count)]


class Fusion(ProgramCase):
    ROWS, COLUMNS, RANK = 12, 10, 2

    def setUp(self):
        super().setUp()
        self.weights = {name: numbers(self.ROWS * self.COLUMNS, seed) for seed, name in enumerate("qkv")}
        tensors = {f"blk.{name}.weight": ("F32", [self.ROWS, self.COLUMNS], values)
                   for name, values in self.weights.items()}
        tensors["blk.q.bias"] = ("F32", [self.ROWS], numbers(self.ROWS, 9))
        tensors["ids"] = ("I64", [3], [1, 2, 3])
        write_safetensors(self.path("base.safetensors"), tensors, {"format": "pt"})
        self.write_lora("a.safetensors", ["q", "k"], 20, alpha=4)
        self.write_lora("b.safetensors", ["k"], 40, alpha=1)

    def write_lora(self, name, layers, seed, alpha=2.0, extra=None, **changes):
        tensors = {}
        for i, layer in enumerate(layers):
            key = f"lora_unet_blk_{layer}"
            tensors[f"{key}.lora_down.weight"] = ("F32", [self.RANK, self.COLUMNS],
                                                  numbers(self.RANK * self.COLUMNS, seed + 2 * i, 4))
            tensors[f"{key}.lora_up.weight"] = ("F32", [self.ROWS, self.RANK],
                                                numbers(self.ROWS * self.RANK, seed + 2 * i + 1, 4))
            tensors[f"{key}.alpha"] = ("F32", [], [alpha])
        tensors.update(extra or {})
        for key, value in changes.items():
            key = key.replace("__", ".")
            if value is None:
                del tensors[key]
            else:
                tensors[key] = value
        return write_safetensors(self.path(name), tensors)

    def tensor(self, file, name):
        dtype, _, data = read_safetensors(self.path(file))[0][name]
        return from_bytes(dtype, data)

    def changed(self, adapter, layer, strength):
        """Of the weight, by the plainest sums."""
        down = self.tensor(adapter, f"lora_unet_blk_{layer}.lora_down.weight")
        up = self.tensor(adapter, f"lora_unet_blk_{layer}.lora_up.weight")
        scale = self.tensor(adapter, f"lora_unet_blk_{layer}.alpha")[0] / self.RANK * strength
        return [scale * sum(up[i * self.RANK + r] * down[r * self.COLUMNS + j] for r in range(self.RANK))
                for i in range(self.ROWS) for j in range(self.COLUMNS)]

    def fuse(self, *more, adapters=("a.safetensors=0.5", "b.safetensors=-2"), out="fused.safetensors"):
        options = [word for adapter in adapters for word in ("--adapter", adapter)]
        return ["fuse", "--base", "base.safetensors", *options, "--out", out, *more]

    def test_sums_products_and_strengths(self):
        found = self.json(*self.fuse())
        self.assertEqual((found["changed"], found["tensors"]), (2, 5))
        self.assertEqual([a["strength"] for a in found["adapters"]], ["0.5", "-2"])
        self.assertEqual({m["module"]: m["scale"] for m in found["modules"] if m["adapter"] == 0},
                         {"blk_k": 2.0, "blk_q": 2.0})
        delta_a, delta_b = self.changed("a.safetensors", "k", 0.5), self.changed("b.safetensors", "k", -2)
        expected = [w + a + b for w, a, b in zip(self.weights["k"], delta_a, delta_b)]
        self.assertEqual(self.tensor("fused.safetensors", "blk.k.weight"), expected)
        base, before = read_safetensors(self.path("base.safetensors"))
        fused, metadata = read_safetensors(self.path("fused.safetensors"))
        for name in ("blk.v.weight", "blk.q.bias", "ids"):
            self.assertEqual(fused[name], base[name])
        self.assertEqual(metadata["format"], before["format"])
        record = json.loads(metadata["dashi.fuse"])
        self.assertEqual([a["name"] for a in record["adapters"]], ["a.safetensors", "b.safetensors"])
        self.assertEqual(record["base"]["digest"],
                         self.json("inspect", "--digest", "base.safetensors")["digest_xxh3"])

    def test_undo_gives_the_base_back_byte_for_byte(self):
        self.dashi(*self.fuse("--undo", "undo.safetensors"))
        self.dashi("unfuse", "--fused", "fused.safetensors", "--undo", "undo.safetensors", "--out", "back.safetensors")
        self.assertEqual(self.path("back.safetensors").read_bytes(), self.path("base.safetensors").read_bytes())
        self.refused("unfuse", "--fused", "base.safetensors", "--undo", "undo.safetensors", "--out", "x.safetensors",
                     status=65, code="not-this-fusion")

    def test_undo_of_a_changed_file_is_refused(self):
        self.dashi(*self.fuse("--undo", "undo.safetensors"))
        data = bytearray(self.path("fused.safetensors").read_bytes())
        data[-1] ^= 1
        self.path("fused.safetensors").write_bytes(data)
        self.refused("unfuse", "--fused", "fused.safetensors", "--undo", "undo.safetensors", "--out", "x.safetensors",
                     status=65, code="not-this-fusion")

    def test_damaged_undo_is_refused(self):
        self.dashi(*self.fuse("--undo", "undo.safetensors"))
        whole = bytearray(self.path("undo.safetensors").read_bytes())
        whole[-3] ^= 0x55
        self.path("undo.safetensors").write_bytes(whole)
        done = self.run_dashi("unfuse", "--fused", "fused.safetensors", "--undo", "undo.safetensors", "--out", "x")
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertFalse(self.path("x").exists())
        self.refused("unfuse", "--fused", "fused.safetensors", "--undo", "base.safetensors", "--out", "x",
                     status=65, code="bad-undo")

    def test_one_of_several_is_removed(self):
        self.dashi(*self.fuse("--undo", "undo.safetensors"))
        self.dashi(*self.fuse(adapters=["b.safetensors=-2"], out="alone.safetensors"))
        found = self.json("unfuse", "--fused", "fused.safetensors", "--undo", "undo.safetensors", "--remove",
                          "a.safetensors", "--adapter", "b.safetensors", "--out", "without.safetensors")
        self.assertEqual([a["strength"] for a in found["adapters"]], ["-2"])
        self.assertEqual(self.path("without.safetensors").read_bytes(), self.path("alone.safetensors").read_bytes())
        self.assertEqual([p for p in self.folder.iterdir() if p.name.startswith(".")], [])
        rest = ["--fused", "fused.safetensors", "--undo", "undo.safetensors", "--out", "x.safetensors"]
        self.refused("unfuse", *rest, "--remove", "c.safetensors", status=2, code="which-adapter")
        self.refused("unfuse", *rest, "--remove", "a.safetensors", status=65, code="adapter-missing")
        self.refused("unfuse", *rest, "--adapter", "b.safetensors", status=2, code="adapter-without-remove")

    def test_shards(self):
        self.dashi("reshard", "base.safetensors", "s.safetensors", "--shard-size", "600B")
        shards = sorted(self.folder.glob("s-*"))
        self.assertGreater(len(shards), 2)
        self.dashi("fuse", "--base", "s.safetensors.index.json", "--adapter", "a.safetensors", "--out", "f.safetensors",
                   "--shard-size", "1000B", "--undo", "undo.safetensors")
        self.assertTrue(self.path("f.safetensors.index.json").exists())
        (self.folder / "back").mkdir()
        self.dashi("unfuse", "--fused", "f.safetensors.index.json", "--undo", "undo.safetensors", "--out",
                   "back/s.safetensors.index.json")
        for shard in [*shards, self.path("s.safetensors.index.json")]:
            self.assertEqual((self.folder / "back" / shard.name).read_bytes(), shard.read_bytes())
        self.refused("unfuse", "--fused", "f.safetensors.index.json", "--undo", "undo.safetensors", "--out",
                     "other.safetensors", status=2, code="name-of-index")

    def test_verify(self):
        self.dashi(*self.fuse())
        options = ["--base", "base.safetensors", "--adapter", "a.safetensors=0.5", "--adapter", "b.safetensors=-2"]
        found = self.json("verify", "--fused", "fused.safetensors", *options)
        self.assertTrue(found["agrees"])
        self.assertLessEqual(found["largest_ulp"], 0.5)
        self.assertEqual(len(found["modules"]), 3)
        found = self.json("verify", "--fused", "fused.safetensors", *options[:-1], "b.safetensors=-1.99", status=1)
        self.assertFalse(found["agrees"])
        self.assertEqual(found["other"], [])
        self.assertEqual({m["tensor"] for m in found["modules"] if m["different"]}, {"blk.k.weight"})
        tensors, metadata = read_safetensors(self.path("fused.safetensors"))
        dtype, shape, data = tensors["blk.q.bias"]
        tensors["blk.q.bias"] = (dtype, shape, struct.pack("<f", 7) + data[4:])
        write_safetensors(self.path("fused.safetensors"), tensors, metadata)
        found = self.json("verify", "--fused", "fused.safetensors", *options, status=1)
        self.assertEqual(found["other"], ["blk.q.bias"])
        self.refused("verify", "--fused", "fused.safetensors", status=2, code="fused-incomplete")
        self.refused("verify", "fused.safetensors", "--fused", "fused.safetensors", *options, status=2,
                     code="options-conflict")
        self.refused("verify", status=2, code="empty-path")

    def test_one_ulp_is_seen(self):
        self.dashi(*self.fuse())
        tensors, metadata = read_safetensors(self.path("fused.safetensors"))
        dtype, shape, data = tensors["blk.q.weight"]
        data = bytes([data[0] ^ 1]) + data[1:]
        tensors["blk.q.weight"] = (dtype, shape, data)
        write_safetensors(self.path("fused.safetensors"), tensors, metadata)
        options = ["--base", "base.safetensors", "--adapter", "a.safetensors=0.5", "--adapter", "b.safetensors=-2"]
        self.json("verify", "--fused", "fused.safetensors", *options, status=1)
        self.assertTrue(self.json("verify", "--fused", "fused.safetensors", *options, "--ulp", "1")["agrees"])

    def test_strength_zero_changes_nothing(self):
        done = self.run_dashi(*self.fuse(adapters=["a.safetensors=0"]))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"no tensor changes", done.stderr)
        self.assertEqual(read_safetensors(self.path("fused.safetensors"))[0],
                         read_safetensors(self.path("base.safetensors"))[0])

    def test_dry_run_tells_and_writes_nothing(self):
        before = self.contents()
        text = self.dashi(*self.fuse("--undo", "u.safetensors", "--dry-run"))
        self.assertIn("blk_q  scale 2", text)
        self.assertIn("blk.q.weight [0, 12)", text)
        found = self.json(*self.fuse("--dry-run"))
        self.assertGreater(found["peak_memory"], 0)
        self.assertEqual(found["modules"][0]["targets"][0]["rows"], 12)
        self.assertEqual(self.contents(), before)

    def test_ignored_keys_are_recorded(self):
        self.write_lora("a.safetensors", ["q", "k"], 20, extra={"surplus": ("F32", [1], [1])})
        self.assertIn("surplus", self.refused(*self.fuse(), status=65, code="unknown-keys"))
        found = self.json(*self.fuse("--ignore", "^surplus$"))
        self.assertEqual(found["adapters"][0]["ignored"], ["surplus"])
        record = json.loads(read_safetensors(self.path("fused.safetensors"))[1]["dashi.fuse"])
        self.assertEqual(record["adapters"][0]["ignored"], ["surplus"])

    def test_threads_and_memory_change_no_byte(self):
        files = []
        for options in (["--threads", "1", "--mem", "4MB"], ["--threads", "3"]):
            self.dashi(*self.fuse("--force", "--undo", "undo.safetensors", *options))
            files.append((self.path("fused.safetensors").read_bytes(), self.path("undo.safetensors").read_bytes()))
        self.assertEqual(files[0], files[1])

    def test_bad_adapters(self):
        down, up, alpha = (f"lora_unet_blk_q.{end}" for end in ("lora_down.weight", "lora_up.weight", "alpha"))
        wide = ("F32", [self.RANK, self.COLUMNS + 1], numbers(self.RANK * (self.COLUMNS + 1), 1))
        nan = ("F32", [self.ROWS, self.RANK], [float("nan")] + [0] * (self.ROWS * self.RANK - 1))
        integers = ("I32", [self.ROWS, self.RANK], [0] * self.ROWS * self.RANK)
        other_rank = ("F32", [self.ROWS, 3], numbers(self.ROWS * 3, 1))
        cases = {"half-a-pair": {up: None}, "shape-mismatch": {down: wide}, "nonfinite": {up: nan},
                 "ranks-disagree": {up: other_rank}, "alpha-zero": {alpha: ("F32", [], [0])}, "integers": {up: integers},
                 "no-place": {}}
        for name, changes in cases.items():
            with self.subTest(name):
                tensors = read_safetensors(self.write_lora("bad.safetensors", ["q"], 1))[0]
                for key, value in changes.items():
                    tensors.pop(key, None)
                    if value is not None:
                        tensors[key] = value
                if name == "no-place":
                    tensors = {key.replace("blk_q", "blk_z"): value for key, value in tensors.items()}
                write_safetensors(self.path("bad.safetensors"), tensors)
                before = self.contents()
                done = self.run_dashi(*self.fuse("--undo", "u.safetensors", adapters=["bad.safetensors"]))
                self.assertEqual(done.returncode, 65, done.stderr)
                self.assertRegex(done.stderr, rb"\Adashi: error\[[a-z-]+\] [^\n]+\n\Z")
                self.assertEqual(self.contents(), before)

    def test_results_out_of_range(self):
        tensors, _ = read_safetensors(self.path("base.safetensors"))
        tensors["blk.q.weight"] = ("F16", [self.ROWS, self.COLUMNS], [60000] * self.ROWS * self.COLUMNS)
        write_safetensors(self.path("base.safetensors"), tensors)
        self.write_lora("a.safetensors", ["q"], 20, lora_unet_blk_q__lora_up__weight=(
            "F32", [self.ROWS, self.RANK], [20000] * self.ROWS * self.RANK), lora_unet_blk_q__lora_down__weight=(
            "F32", [self.RANK, self.COLUMNS], [1] * self.RANK * self.COLUMNS))
        only = {"adapters": ["a.safetensors"]}
        self.refused(*self.fuse("--undo", "u.safetensors", **only), status=65, code="overflow")
        found = self.run_dashi(*self.fuse("--saturate", **only))
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertEqual(set(self.tensor("fused.safetensors", "blk.q.weight")), {65504})

    def test_outputs_are_not_replaced(self):
        self.path("fused.safetensors").write_bytes(b"mine")
        self.refused(*self.fuse(), status=73, code="cannot-create")
        self.refused(*self.fuse("--undo", "fused.safetensors", out="x.safetensors"), status=73, code="cannot-create")
        self.refused(*self.fuse("--undo", "x.safetensors", out="x.safetensors"), status=2, code="one-output")
        self.dashi(*self.fuse("--force"))
        for name in ("base.safetensors", "a.safetensors"):
            with self.subTest(name):
                self.refused(*self.fuse("--force", out=name), status=73, code="cannot-create")
                self.refused(*self.fuse("--force", "--undo", name, out="y.safetensors"), status=73, code="cannot-create")

    def test_usage(self):
        self.refused("fuse", "--base", "base.safetensors", "--out", "x", status=2, code="usage")
        self.refused(*self.fuse(adapters=["a.safetensors=much"]), status=2, code="bad-weight")
        self.refused(*self.fuse("--ignore", "("), status=2, code="bad-regex")
        self.refused(*self.fuse(adapters=["missing.safetensors"]), status=66, code="no-such-file")
        self.refused(*self.fuse("--mem", "1kB"), status=2, code="memory-budget")
        for verb in ("fuse", "unfuse"):
            self.assertIn("Example", self.dashi(verb, "--help"))


if __name__ == "__main__":
    unittest.main()
