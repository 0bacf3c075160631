# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Adapters that dashi wrote, in the hands of PEFT and LyCORIS: the changes that these libraries compute are those of
the golden cases. Needs the libraries: `make peers`."""

import json
import os
import pathlib
import struct
import subprocess
import unittest

from program_case import ProgramCase
from safetensors_files import read_safetensors

PEERS = pathlib.Path(os.environ.get("DASHI_PEERS", pathlib.Path(os.environ["DASHI_SOURCE"]) / ".deps/peers/bin/python3"))
READER = pathlib.Path(os.environ["DASHI_SOURCE"]) / "tests/support/adapter_readers.py"
GOLDEN = pathlib.Path(os.environ.get("DASHI_SHARED", "../shared")) / "golden"

if not GOLDEN.exists():
    raise unittest.SkipTest(f"no {GOLDEN}")
if not PEERS.exists():
    raise unittest.SkipTest(f"no {PEERS}; 'make peers' installs the libraries")
if subprocess.run([PEERS, "-c", "import peft, lycoris"], capture_output=True, check=False).returncode != 0:
    raise unittest.SkipTest("the peers' environment lacks PEFT or LyCORIS")


def doubles(stored) -> list:
    dtype, _, data = stored
    width = {"F64": "d", "F32": "f"}[dtype]
    return list(struct.unpack(f"<{len(data) // struct.calcsize(width)}{width}", data))


class AdapterReaders(ProgramCase):
    def check(self, *cases):
        """Each case is (golden case, library, tolerance). One process reads them all: importing takes longest."""
        arguments = []
        for case, reader, _ in cases:
            folder = GOLDEN / case
            source = folder / "adapter" if (folder / "adapter").exists() else folder / "adapter.safetensors"
            base = folder / "base.safetensors"
            self.dashi("convert", source, f"{case}.{reader}", "--to", reader, "--base", base)
            arguments += [reader, f"{case}.{reader}", base]
        done = subprocess.run([PEERS, "-B", READER, *arguments], cwd=self.folder, timeout=300, capture_output=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace")[-2000:])
        answers = json.loads(done.stdout)
        self.assertEqual(len(answers), len(cases))
        for (case, reader, tolerance), found in zip(cases, answers):
            with self.subTest(case=case, reader=reader):
                self.compare(case, found, tolerance)

    def compare(self, case, found, tolerance):
        arrays = read_safetensors(GOLDEN / case / "io.safetensors")[0]
        compared = 0
        for layer, change in found.items():
            name = f"{layer}.delta_merge_f64" if layer == "emb" else f"{layer}.delta_forward_f64"
            if name not in arrays:  # a convolution with strides
                continue
            expected = doubles(arrays[name])
            self.assertEqual(len(change), len(expected))
            largest = max(abs(value) for value in expected)
            self.assertLess(max(abs(a - b) for a, b in zip(change, expected)) / largest, tolerance, layer)
            compared += 1
        self.assertGreater(compared, 0)

    def test_changes_are_those_of_the_library_that_made_the_adapter(self):
        self.check(
            # PEFT on what LyCORIS made
            ("locon_lycoris_linear_conv", "peft", 1e-12), ("locon_lycoris_rs", "peft", 1e-12),
            ("locon_lycoris_dora_out", "peft", 1e-12), ("lokr_lycoris_w1full_w2full", "peft", 1e-12),
            ("lokr_lycoris_w1low_w2low", "peft", 1e-12), ("lokr_lycoris_conv_tucker", "peft", 1e-12),
            ("lokr_lycoris_scalar", "peft", 1e-7), ("lora_kohya_names", "peft", 1e-12),
            # LyCORIS on what PEFT made. With both factors full the scale goes into the first, rounded to its fp32.
            ("lora_peft_basic", "lycoris", 1e-12), ("lora_peft_dora", "lycoris", 1e-12),
            ("lora_peft_rslora", "lycoris", 1e-12), ("lokr_peft_patterns", "lycoris", 1e-12),
            ("lokr_peft_w1full_w2full", "lycoris", 1e-6), ("lokr_peft_w1low_w2low", "lycoris", 1e-12),
            # each on its own, written again
            ("lokr_peft_w1low_w2full", "peft", 1e-12), ("lora_peft_embedding", "peft", 1e-12),
            ("lokr_lycoris_w1full_w2low", "lycoris", 1e-12))


if __name__ == "__main__":
    unittest.main()
