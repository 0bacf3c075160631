# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi probe and dashi score: losses by timestep, their files, and samples compared with images."""

import json
import struct
import unittest
import xml.etree.ElementTree as xml

from dit_files import drawn_dit
from png_files import write_png
from program_case import ProgramCase, shared_data
from safetensors_files import write_safetensors

HINTS = ("--heads", "2", "--quiet")


class Probe(ProgramCase):
    def setUp(self):
        super().setUp()
        for name, seed in (("a", 1), ("b", 2)):
            write_safetensors(self.path(f"{name}.safetensors"), drawn_dit(channels=1, side=4, seed=seed))
        for label in range(2):
            self.path(f"data/{label}").mkdir(parents=True)
            for i in range(4):
                rows = [[(37 * label + 11 * i + 5 * x * y) % 256 for x in range(8)] for y in range(8)]
                write_png(self.path(f"data/{label}/{i}.png"), 8, 8, rows)

    def probe(self, *options):
        return self.json("probe", "a.safetensors", "--data", "data", *HINTS, *(() if "--threads" in options else ("--threads", "1")), *options)

    def test_the_grid_of_the_reference(self):
        """omniglot_reference.py DATA --grid base.safetensors --subset 64 gives 0.0355837."""
        model = shared_data("dit_shards", "base.fp32.safetensors")
        data = shared_data("omniglot", "images_background_small1.zip")
        report = self.json("probe", model, "--data", data, "--size", "32", "--resize", "box", "--channels", "1", "--invert",
                           "--limit", "64", "--heads", "4", "--input-size", "32", "--quiet")
        self.assertEqual((report["images"], len(report["models"][0]["mse_by_t"])), (64, 25))
        self.assertAlmostEqual(report["models"][0]["loss"], 0.0355837, delta=2e-6)

    def test_batches_and_threads_change_no_loss(self):
        whole = self.probe()["models"][0]["mse_by_t"]
        self.assertEqual(len(whole), 25)
        for options in (("--batch", "3"), ("--threads", "2")):
            other = self.probe(*options)["models"][0]["mse_by_t"]
            for t, loss in whole.items():
                self.assertAlmostEqual(loss, other[t], delta=1e-6 * loss)
        self.assertNotEqual(self.probe("--noise-seed", "1")["models"][0]["mse_by_t"], whole)
        self.assertNotEqual(self.probe("--no-class")["models"][0]["mse_by_t"], whole)

    def test_curves_as_files(self):
        report = self.probe("--against", "b.safetensors", "--every", "200", "--out", "c.csv")
        losses = [model["mse_by_t"] for model in report["models"]]
        self.assertNotEqual(losses[0], losses[1])
        lines = self.path("c.csv").read_text().splitlines()
        self.assertEqual(lines[0], 't,"a.safetensors","b.safetensors"')
        for line in lines[1:]:
            t, first, second = line.split(",")
            self.assertEqual((float(first), float(second)), (losses[0][t], losses[1][t]))
        self.probe("--against", "b.safetensors", "--every", "200", "--out", "c.json")
        self.assertEqual(json.loads(self.path("c.json").read_text())["models"], report["models"])
        self.probe("--against", "b.safetensors", "--every", "200", "--out", "c.svg")
        picture = xml.parse(self.path("c.svg")).getroot()
        space = "{http://www.w3.org/2000/svg}"
        lines = [line.get("points").split() for line in picture.iter(space + "polyline")]
        self.assertEqual([len(line) for line in lines], [5, 5])
        names = [text.text for text in picture.iter(space + "text")]
        self.assertTrue({"a.safetensors", "b.safetensors", "timestep"} <= set(names))
        self.path("tuned").mkdir()
        self.path("tuned/a.safetensors").write_bytes(self.path("b.safetensors").read_bytes())
        self.probe("--against", "tuned/a.safetensors", "--every", "200", "--out", "d.svg")
        names = [text.text for text in xml.parse(self.path("d.svg")).getroot().iter(space + "text")]
        self.assertTrue({"a.safetensors", "tuned/a.safetensors"} <= set(names))
        # Higher on the paper is a larger loss.
        order = sorted(zip((float(p.split(",")[1]) for p in lines[0]), losses[0].values()))
        self.assertEqual([loss for _, loss in order], sorted(losses[0].values(), reverse=True))

    def test_refusals(self):
        def refused(*options, status, code):
            return self.refused("probe", "a.safetensors", *HINTS, *options, status=status, code=code)

        refused("--data", "data", "--out", "c.png", status=2, code="bad-output")
        refused("--data", "none", status=66, code="no-such-file")
        self.assertIn("class 5", refused("--data", "data", "--label-offset", "5", status=65, code="class-index"))
        self.assertIn("1 x 8 x 8", refused("--data", "data", "--size", "4", "--resize", "box", status=65,
                                           code="data-shape"))
        write_png(self.path("data/1/odd.png"), 4, 4, [[0] * 4] * 4)
        refused("--data", "data", status=65, code="mixed-shapes")

    def test_scores(self):
        score = self.json("score", "a.safetensors", "--data", "data", *HINTS, "--samples", "6", "--steps", "3")
        self.assertEqual((score["images"], score["samples"]), (8, 6))
        self.assertGreater(score["frechet_distance"], 0)
        # The images themselves are at no distance.
        values, labels = [], []
        for label in range(2):
            for i in range(4):
                values += [((37 * label + 11 * i + 5 * x * y) % 256) / 127.5 - 1 for y in range(8) for x in range(8)]
                labels.append(label)
        write_safetensors(self.path("bank.safetensors"),
                          {"latents": ("F32", [8, 1, 8, 8], struct.pack("<512f", *values)),
                           "labels": ("I64", [8], struct.pack("<8q", *labels))})
        same = self.json("score", "--bank", "bank.safetensors", "--data", "data", "--quiet")
        self.assertLess(same["frechet_distance"], 1e-6)
        self.assertEqual((same["precision"], same["recall"]), (1, 1))
        self.assertLess(same["nearest_median"], 1e-5)
        self.assertGreater(score["nearest_median"], 1)
        self.refused("score", "--data", "data", status=2, code="model-or-bank")
        self.refused("score", "a.safetensors", "--bank", "b", "--data", "data", status=2, code="model-or-bank")


if __name__ == "__main__":
    unittest.main()
