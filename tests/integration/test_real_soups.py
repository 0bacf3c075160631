# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Soups of fine-tuned checkpoints that the reference library wrote: it loads what is published, and
every number is the exact rational mean."""

import fractions
import random
import unittest

try:
    import numpy
    import safetensors.numpy
except ImportError as missing:
    raise unittest.SkipTest(f"needs numpy and safetensors: {missing}")

from program_case import ProgramCase, shared_data

WEIGHTS = ("0.5", "1.5", "-0.25")


def exact(column, weights) -> fractions.Fraction:
    return sum(fractions.Fraction(float(x)) * w for x, w in zip(column, weights)) / sum(weights)


def is_nearest(value, mean: fractions.Fraction) -> bool:
    """Whether no neighbour of `value` is nearer to the mean, and ties went to the even one."""
    distance = abs(fractions.Fraction(float(value)) - mean)
    for direction in (numpy.inf, -numpy.inf):
        neighbour = numpy.nextafter(value, value.dtype.type(direction))
        other = abs(fractions.Fraction(float(neighbour)) - mean)
        if other < distance or (other == distance and value.view(f"u{value.itemsize}") % 2 == 1):
            return False
    return True


class RealSoups(ProgramCase):
    def members(self, dtype):
        return [shared_data("dit_shards", f"shard_{i}.{dtype}.safetensors") for i in range(3)]

    def expect_mean(self, path, members, weights, out_dtype):
        published = safetensors.numpy.load_file(path)
        loaded = [safetensors.numpy.load_file(member) for member in members]
        self.assertEqual(set(published), set(loaded[0]))
        weights = [fractions.Fraction(weight) for weight in weights]
        scale = 1
        while any((w * scale).denominator != 1 for w in weights):
            scale *= 10
        integers = [int(w * scale) for w in weights]
        state = random.Random(5)
        checked = 0
        for name, value in published.items():
            self.assertEqual((value.dtype, value.shape), (numpy.dtype(out_dtype), loaded[0][name].shape))
            columns = numpy.stack([member[name].astype(numpy.longdouble).ravel() for member in loaded])
            flat = value.ravel()
            # Products and sums are exact or nearly so in 64 bits; whoever is not plainly the nearest
            # number is judged by rational arithmetic, and a sample besides.
            near = sum(w * c for w, c in zip(integers, columns)) / sum(integers)
            error = numpy.abs(flat.astype(numpy.longdouble) - near)
            spacing = numpy.abs(numpy.spacing(flat)).astype(numpy.longdouble)
            doubtful = set(numpy.nonzero(error > spacing * (0.5 - 2.0**-20))[0])
            doubtful |= set(numpy.nonzero(numpy.abs(flat) == 2.0 ** numpy.round(numpy.log2(numpy.maximum(
                numpy.abs(flat).astype(numpy.float64), 1e-30))))[0][:50])
            doubtful |= {state.randrange(flat.size) for _ in range(20)}
            for i in doubtful:
                mean = exact([member[name].ravel()[i] for member in loaded], weights)
                self.assertTrue(is_nearest(flat[i], mean), f"{name}[{i}]: {flat[i]} is not {float(mean)}")
                checked += 1
        self.assertGreater(checked, 1000)

    def test_soups_of_fp16_and_fp32(self):
        for dtype, out in (("fp16", "float16"), ("fp32", "float32")):
            members = self.members(dtype)
            files = set()
            for mode in ("recompute", "accumulate"):
                options = [o for m, w in zip(members, WEIGHTS) for o in ("--member", f"{m}={w}")]
                self.dashi("soup", "new", f"{dtype}.{mode}.soup", "--mode", mode, *options)
                path = self.path(f"{dtype}.{mode}.safetensors")
                self.dashi("soup", "publish", f"{dtype}.{mode}.soup", path)
                files.add(path.read_bytes())
            self.assertEqual(len(files), 1)
            self.expect_mean(path, members, WEIGHTS, out)

    def test_fp32_members_published_as_fp16(self):
        members = self.members("fp32")
        models = [o for m, w in zip(members, WEIGHTS) for o in ("--model", f"{m}={w}")]
        self.dashi("merge", "--method", "linear", *models, "--dtype", "f16", "--out", "out.safetensors")
        self.expect_mean(self.path("out.safetensors"), members, WEIGHTS, "float16")

    def test_unlearning_a_shard(self):
        members = [shared_data("dit_shards", f"shard_{i}.fp16.safetensors") for i in range(5)]
        for mode in ("recompute", "accumulate"):
            options = [o for m in members[1:] for o in ("--member", m)]
            self.dashi("soup", "new", "never.soup", "--force", "--mode", mode, *options)
            self.dashi("soup", "new", "s.soup", "--force", "--mode", mode, "--member", members[0], *options)
            self.dashi("soup", "remove", "s.soup", members[0])
            self.assertEqual(self.path("s.soup").read_bytes(), self.path("never.soup").read_bytes())
            for name in ("s", "never"):
                self.dashi("soup", "publish", f"{name}.soup", f"{name}.safetensors", "--force")
            self.assertEqual(self.path("s.safetensors").read_bytes(), self.path("never.safetensors").read_bytes())

    def test_real_loras(self):
        loras = [shared_data("loras", name) for name in ("analog_svd_rank4.safetensors", "lora_disney.safetensors")]
        for lora, odd in zip(loras, (True, True)):
            report = self.json("inspect", lora)
            self.assertEqual((report["dialect"]["name"], report["odd_data_offset"]), ("cloneofsimo LoRA", odd))
            text = self.dashi("inspect", lora)
            self.assertIn("cloneofsimo", text)
            self.assertIn("odd offset", text)
        self.dashi("soup", "new", "l.soup", "--member", loras[0])
        self.dashi("soup", "publish", "l.soup", "l.safetensors")
        ours, theirs = (safetensors.numpy.load_file(path) for path in (self.path("l.safetensors"), loras[0]))
        self.assertTrue(all(ours[k].tobytes() == theirs[k].tobytes() for k in theirs) and set(ours) == set(theirs))
        self.refused("soup", "add", "l.soup", loras[1], status=65, code="missing-tensor")


if __name__ == "__main__":
    unittest.main()
