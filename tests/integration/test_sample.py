# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi sample: grids, numbers, trajectories and banks, what they tell, and what is refused."""

import ast
import json
import struct
import unittest

from dit_files import diffusers_dit, drawn_dit
from png_files import read_png
from program_case import ProgramCase, shared_data
from safetensors_files import read_safetensors, write_safetensors

SIDE = 8


def quick(options) -> tuple:
    """Few steps on one thread, unless the options say how many."""
    usual = (("--steps", "3"), ("--threads", "1"))
    return ("--heads", "2", *(word for pair in usual if pair[0] not in options for word in pair), *options)


def byte_of(value: float) -> int:
    return min(255, int((value + 1) * 127.5 + 0.5)) if value > -1 else 0


class Sample(ProgramCase):
    def setUp(self):
        super().setUp()
        write_safetensors(self.path("m.safetensors"), drawn_dit(side=SIDE // 2), {"format": "pt"})

    def sample(self, out, *options, status=0):
        return self.dashi("sample", "m.safetensors", out, "--force", "--quiet", *quick(options), status=status)

    def bytes(self, *options, name="x.png"):
        self.sample(name, *options)
        return self.path(name).read_bytes()

    def latents(self, *options):
        self.sample("x.safetensors", *options)
        (_, shape, data) = read_safetensors(self.path("x.safetensors"))[0]["latents"]
        return shape, struct.unpack(f"<{len(data) // 4}f", data)

    def test_a_grid_and_what_it_tells(self):
        self.dashi("sample", "m.safetensors", "out.png", *quick(()), "--class", "1", "--class", "3", "--grid", "3x2",
                   "--seed", "5", "--quiet")
        width, height, channels, rows, texts = read_png(self.path("out.png"))
        self.assertEqual((width, height, channels), (1 + 3 * (SIDE + 1), 1 + 2 * (SIDE + 1), 3))
        self.assertGreater(len(set(b"".join(rows))), 2)
        about = json.loads(texts["dashi.sample"])
        self.assertEqual(about["classes"], [1, 3, 1, 3, 1, 3])
        self.assertEqual((about["seed"], about["steps"], about["guidance"], about["sampler"]), (5, 3, 4, "ddim"))
        self.assertEqual(about["digest"], self.json("inspect", "m.safetensors", "--digest")["digest"])
        self.assertEqual(about["dit"]["heads"], 2)
        self.assertTrue(texts["Software"].startswith("dashi "))
        self.assertIn('"seed":5', self.dashi("inspect", "out.png"))
        self.assertEqual(self.json("inspect", "out.png")["text"], texts)

    def test_batches_and_threads_change_nothing(self):
        whole = self.bytes("--count", "5")
        for options in (("--batch", "1"), ("--batch", "3"), ("--threads", "2")):
            with self.subTest(options=options):
                self.assertEqual(self.bytes("--count", "5", *options), whole)

    def test_every_option_counts(self):
        seen = [self.bytes()]
        for options in (("--seed", "2"), ("--class", "2"), ("--no-class",), ("--guidance", "1"), ("--guidance", "6"),
                        ("--cfg-channels", "all", "--class", "0"), ("--steps", "4"), ("--eta", "1"),
                        ("--sampler", "ddpm"), ("--sampler", "ddpm", "--variance", "fixed"), ("--clip",),
                        ("--time-embed", "diffusers"), ("--schedule", "cosine"), ("--precision", "bf16")):
            with self.subTest(options=options):
                made = self.bytes(*options)
                self.assertNotIn(made, seen)
                seen.append(made)

    def test_pictures_show_the_numbers(self):
        shape, values = self.latents("--count", "2")
        self.assertEqual(shape, [2, 3, SIDE, SIDE])
        self.sample("x.png", "--count", "2", "--grid", "2x1")
        _, _, _, rows, _ = read_png(self.path("x.png"))
        for image in range(2):
            for channel in range(3):
                for y in range(SIDE):
                    for x in range(SIDE):
                        value = values[((image * 3 + channel) * SIDE + y) * SIDE + x]
                        shown = rows[1 + y][(1 + image * (SIDE + 1) + x) * 3 + channel]
                        self.assertEqual(shown, byte_of(value))
        self.sample("x.npy", "--count", "2")
        data = self.path("x.npy").read_bytes()
        size = struct.unpack("<H", data[8:10])[0]
        header = ast.literal_eval(data[10 : 10 + size].decode())
        self.assertEqual(header, {"descr": "<f4", "fortran_order": False, "shape": (2, 3, SIDE, SIDE)})
        self.assertEqual((10 + size) % 64, 0)
        self.assertEqual(struct.unpack(f"<{len(values)}f", data[10 + size :]), values)

    def test_each_sample_in_a_file(self):
        self.sample("x.png", "--class", "2", "--class", "0", "--each", "each")
        self.assertEqual(sorted(p.name for p in self.path("each").iterdir()),
                         ["0000-class-2.png", "0001-class-0.png"])
        _, _, _, grid, _ = read_png(self.path("x.png"))
        width, height, _, rows, _ = read_png(self.path("each/0001-class-0.png"))
        self.assertEqual((width, height), (SIDE, SIDE))
        left = 3 * (1 + SIDE + 1)
        self.assertEqual(rows, [grid[1 + y][left : left + 3 * SIDE] for y in range(SIDE)])

    def test_trajectories(self):
        self.sample("x.png", "--count", "2", "--steps", "20", "--trajectory")
        width, height, _, rows, texts = read_png(self.path("x.png"))
        self.assertEqual((width, height), (1 + 8 * (SIDE + 1), 1 + 4 * (SIDE + 1)))
        timesteps = json.loads(texts["dashi.sample"])["timesteps"]
        self.assertEqual((len(timesteps), timesteps[0], timesteps[-1]), (8, 999, 0))
        self.assertEqual(timesteps, sorted(timesteps, reverse=True))
        # The last step leaves what it predicts.
        last = slice(3 * (1 + 7 * (SIDE + 1)), 3 * (1 + 7 * (SIDE + 1) + SIDE))
        self.assertEqual(rows[3][last], rows[3 + SIDE + 1][last])
        _, values = self.latents("--count", "2", "--steps", "20")
        self.assertEqual(rows[1][last][0], byte_of(values[0]))

    def test_latents_are_kept_beside_a_picture_of_three_channels(self):
        write_safetensors(self.path("m.safetensors"), drawn_dit(channels=4, side=SIDE // 2))
        done = self.run_dashi("sample", "m.safetensors", "x.png", *quick(()), "--count", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"4 channels are latents", done.stderr)
        self.assertEqual(read_png(self.path("x.png"))[2], 3)
        self.assertEqual(read_safetensors(self.path("x.safetensors"))[0]["latents"][1], [1, 4, SIDE, SIDE])

    def test_a_bank(self):
        self.dashi("sample", "m.safetensors", "--bank", "bank", "--count", "6", "--guidance", "1", *quick(()))
        tensors, metadata = read_safetensors(self.path("bank/bank.safetensors"))
        self.assertEqual(tensors["latents"][1], [6, 3, SIDE, SIDE])
        self.assertEqual(struct.unpack("<6q", tensors["labels"][2]), (0, 1, 2, 3, 0, 1))
        self.assertEqual(json.loads(metadata["dashi.sample"])["guidance"], 1)
        self.dashi("sample", "m.safetensors", "--bank", "null.safetensors", "--count", "2", "--no-class", *quick(()))
        labels = read_safetensors(self.path("null.safetensors"))[0]["labels"][2]
        self.assertEqual(struct.unpack("<2q", labels), (4, 4))

    def test_names_and_hints(self):
        original = self.bytes("--count", "2")
        write_safetensors(self.path("m.safetensors"), diffusers_dit(drawn_dit(side=SIDE // 2)))
        self.refused("sample", "m.safetensors", "y.png", *quick(()), status=65, code="input-size-unknown")
        # Under diffusers names the variant is another, and may be told.
        hints = ("--count", "2", "--input-size", str(SIDE))
        self.assertNotEqual(self.bytes(*hints), original)
        about = json.loads(read_png(self.path("x.png"))[4]["dashi.sample"])
        self.assertEqual((about["dit"]["time_divisor"], about["dit"]["guidance_channels"]), (127, "all"))

    def test_a_dry_run_writes_nothing(self):
        before = self.contents()
        said = self.dashi("sample", "m.safetensors", "x.png", *quick(()), "--dry-run", "--count", "7", "--batch", "4")
        self.assertIn("7 samples of 3 x 8 x 8", said)
        plan = self.json("sample", "m.safetensors", "x.png", *quick(()), "--dry-run", "--count", "7", "--batch", "4")
        self.assertEqual((plan["count"], plan["batch"]), (7, 4))
        self.assertGreater(plan["work_bytes"], 0)
        self.assertGreater(plan["estimated_seconds"], 0)
        self.assertEqual(self.contents(), before)

    def test_refusals(self):
        def refused(*options, status=2, code):
            return self.refused("sample", "m.safetensors", *quick(options), status=status, code=code)

        self.assertIn("expected 0 to 3", refused("x.png", "--class", "4", code="class-index"))
        refused("x.png", "--class", "-1", code="class-index")
        refused("x.png", "--steps", "1001", code="too-many-steps")
        refused(code="no-output")
        refused("x.png", "--grid", "4", code="bad-grid")
        refused("x.png", "--grid", "0x4", code="bad-grid")
        refused("x.png", "--eta", "1", "--sampler", "ddpm", code="eta-without-ddim")
        self.path("x.png").write_bytes(b"mine")
        self.assertIn("--force", refused("x.png", status=73, code="output-exists"))
        tensors = drawn_dit(side=SIDE // 2)
        dtype, shape, data = tensors["final_layer.linear.bias"]
        tensors["final_layer.linear.bias"] = (dtype, shape, struct.pack("<f", float("nan")) + data[4:])
        write_safetensors(self.path("m.safetensors"), tensors)
        self.assertIn("final_layer.linear.bias", refused("y.png", status=65, code="not-finite"))

    def test_a_model_of_the_reference_library_draws_letters(self):
        model = shared_data("dit_shards", "base.fp32.safetensors")
        hints = ("--heads", "4", "--input-size", "32", "--steps", "12", "--guidance", "2", "--grid", "5x2", "--quiet",
                 *(option for label in "01234" for option in ("--class", label)))
        self.dashi("sample", model, "x.png", *hints)
        width, height, channels, rows, _ = read_png(self.path("x.png"))
        self.assertEqual((width, height, channels), (166, 67, 1))
        for image in range(10):
            top, left = 1 + image // 5 * 33, 1 + image % 5 * 33
            pixels = [p for row in rows[top : top + 32] for p in row[left : left + 32]]
            ink = sum(p > 160 for p in pixels) / 1024
            paper = sum(p < 60 for p in pixels) / 1024
            self.assertTrue(0.02 < ink < 0.3 and paper > 0.55, (image, ink, paper))
        message = self.refused("sample", model, "y.png", *hints, "--embedders", "shared", status=65,
                               code="embedders-differ")
        self.assertIn("per_block", message)


if __name__ == "__main__":
    unittest.main()
