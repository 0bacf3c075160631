# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`dashi bench`: every kernel has a floor and a time, and what it is told to leave out is left out."""

import json
import subprocess
import unittest

from program_case import ProgramCase


class Bench(ProgramCase):
    def bench(self, *arguments):
        return subprocess.run([self.program, *arguments], cwd=self.folder, capture_output=True, text=True)

    def test_each_kernel_is_put_beside_its_floor(self):
        done = self.bench("bench", "--quick", "--json", "--threads", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        story = json.loads(done.stdout)
        self.assertIn("1 thread", story["machine"])
        ceilings = [case for case in story["cases"] if case["ceiling"]]
        kernels = [case for case in story["cases"] if not case["ceiling"]]
        self.assertEqual({case["name"] for case in ceilings},
                         {"read", "read and write in place", "product f32", "product bf16"})
        self.assertGreaterEqual(len(kernels), 12)
        for case in kernels:
            self.assertGreater(case["best_seconds"], 0, case)
            self.assertGreaterEqual(case["median_seconds"], case["best_seconds"], case)
            self.assertAlmostEqual(case["fraction_of_floor"] * case["median_seconds"], case["floor_seconds"])
        bytes_ceiling = max(case["bytes"] / case["median_seconds"] for case in ceilings if case["bytes"])
        mean = next(case for case in kernels if case["name"] == "exact mean")
        self.assertAlmostEqual(mean["floor_seconds"], mean["bytes"] / bytes_ceiling)

    def test_some_kernels(self):
        done = self.bench("bench", "--only", "attention", "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("attention", done.stdout)
        self.assertNotIn("exact mean", done.stdout)

    def test_a_name_that_no_kernel_has(self):
        done = self.bench("bench", "--only", "attentoin")
        self.assertEqual(done.returncode, 2)
        self.assertIn("attentoin", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
