# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Peak anonymous memory of the streaming verbs: at most --mem and 64 MiB, sampled while they run."""

import os
import random
import resource
import subprocess
import time
import unittest

from dit_files import original_dit
from program_case import ProgramCase
from safetensors_files import write_safetensors

SLACK = 64 << 20
ELEMENTS = 20 << 20


def anonymous_bytes(process: int) -> int:
    try:
        with open(f"/proc/{process}/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


class Memory(ProgramCase):
    @classmethod
    def setUpClass(cls):
        state = random.Random(1)
        # Every 16-bit pattern of small bf16 and fp16 numbers, in an order that differs between members.
        cls.blocks = [bytes(b for _ in range(1 << 15) for b in (state.randrange(256), 0x24 + 0x80 * state.randrange(2)))
                      for _ in range(4)]

    def setUp(self):
        super().setUp()
        self.names = []
        for number, block in enumerate(self.blocks):
            data = block * (ELEMENTS * 2 // len(block))
            self.names.append(f"{number}.safetensors")
            write_safetensors(self.path(self.names[-1]), {"large": ("F16", [ELEMENTS - 1024], data[: -2048]),
                                                          "small": ("F16", [1024], data[-2048:])})

    def peak(self, *arguments) -> int:
        process = subprocess.Popen([self.program, *arguments], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        peak = samples = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            samples += 1
            time.sleep(0.0005)
        self.assertEqual((process.returncode, process.stderr.read()), (0, b""))
        process.stderr.close()
        self.assertGreater(samples, 3)
        return peak

    def expect_bounded(self, *arguments):
        for memory in ("3MB", "64MB"):
            peak = self.peak(*arguments, "--mem", memory, "--threads", "2")
            limit = int(memory[:-2]) * 10**6 + SLACK
            self.assertLessEqual(peak, limit, f"{arguments}: {peak >> 20} MiB with --mem {memory}")
            self.assertGreater(peak, 1 << 20, "nothing was measured")

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "no /proc")
    def test_means(self):
        models = [option for name in self.names for option in ("--model", name)]
        self.expect_bounded("merge", "--method", "uniform", *models, "--out", "out", "--force")
        self.expect_bounded("merge", "--method", "uniform", *models, "--out", "out", "--force", "--dtype", "f32")

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "no /proc")
    def test_soups(self):
        for mode in ("recompute", "accumulate"):
            members = [option for name in self.names[:3] for option in ("--member", name)]
            self.expect_bounded("soup", "new", "s.soup", "--force", "--mode", mode, *members)
            self.dashi("soup", "add", "s.soup", self.names[3])
            self.expect_bounded("soup", "publish", "s.soup", "out", "--force")
            self.expect_bounded("soup", "verify", "s.soup", "out")
            self.expect_bounded("soup", "replace", "s.soup", "--old", self.names[0], "--new", self.names[0])

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "no /proc")
    def test_other_verbs(self):
        self.expect_bounded("convert", self.names[0], "out", "--dtype", "f32", "--force")
        self.expect_bounded("reshard", self.names[0], "out", "--force")
        self.expect_bounded("verify", self.names[0])
        self.expect_bounded("inspect", "--digest", self.names[0])
        self.expect_bounded("diff", self.names[0], self.names[0])

    @unittest.skipUnless(os.path.exists("/proc/self/status"), "no /proc")
    def test_names_of_a_dit(self):
        tensors = original_dit(depth=4, width=1024, mlp=4096, dtype="F32")
        write_safetensors(self.path("dit"), tensors)
        self.assertGreater(self.path("dit").stat().st_size, 2 * (64 * 10**6 + SLACK))
        del tensors
        self.expect_bounded("convert", "dit", "there", "--to", "diffusers", "--force")
        self.expect_bounded("convert", "there", "back", "--to", "dit", "--force")

    def test_too_little_memory_is_said_in_one_line(self):
        write_safetensors(self.path("many"), {f"t{i}": ("U8", [0], b"") for i in range(100_000)})
        for mebibytes in (40, 60, 90):
            with self.subTest(mebibytes=mebibytes):
                limit = mebibytes << 20
                self.refused("merge", "--method", "uniform", "--model", "many", "--out", "out", status=71,
                             code="out-of-memory",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))


if __name__ == "__main__":
    unittest.main()
