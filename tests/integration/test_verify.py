# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi verify: the conformance corpus by way of the program, digests, shards, ledgers."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from program_case import ProgramCase, shared_data
from safetensors_files import write_safetensors

SOURCE = pathlib.Path(os.environ.get("DASHI_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
CORPUS = SOURCE / "tests" / "conformance"


class Corpus(ProgramCase):
    def test_every_file_gets_the_recorded_verdict(self):
        verdicts = json.loads((CORPUS / "verdicts.json").read_text())["cases"]
        subprocess.run([sys.executable, "-B", CORPUS / "make_corpus.py", self.folder], check=True,
                       stdout=subprocess.DEVNULL)
        self.assertGreaterEqual(len(verdicts), 45)
        for name, verdict in verdicts.items():
            for mode in ("expected", "lenient"):
                with self.subTest(file=name, mode=mode):
                    self.judge(f"{name}.safetensors", verdict, mode)

    def judge(self, file, verdict, mode):
        flags = ["--lenient"] if mode == "lenient" else []
        done = self.run_dashi("verify", *flags, file)
        lines = done.stderr.decode().splitlines()
        if verdict[mode] == "accept":
            self.assertEqual(done.returncode, 0, lines)
            self.assertTrue(done.stdout.startswith(file.encode() + b": valid"), done.stdout)
            self.assertTrue(all(line.startswith("dashi: warning: ") for line in lines), lines)
            if verdict["expected"] == "accept":
                self.assertEqual(len(lines) > 0, verdict["warns"], lines)
        else:
            self.assertEqual(done.returncode, verdict["status"], lines)
            self.assertEqual(len(lines), 1, lines)
            self.assertTrue(lines[0].startswith(f"dashi: error[{verdict[mode]}] {file}: "), lines)
            self.assertEqual(done.stdout, b"")


class Verify(ProgramCase):
    def setUp(self):
        super().setUp()
        write_safetensors(self.path("a.safetensors"), {"w": ("F32", [3], [1, 2, 3])})

    def test_says_what_was_checked(self):
        text = self.dashi("verify", "a.safetensors")
        self.assertIn("a.safetensors: valid, a safetensors file", text)
        self.assertIn("checked", text)
        found = self.json("verify", "a.safetensors")
        self.assertEqual((found["kind"], found["valid"], found["bytes"]), ("safetensors file", True, 12))
        self.assertEqual(found["digest"], self.json("inspect", "--digest", "a.safetensors")["digest"])

    def test_digest(self):
        digest = self.json("verify", "a.safetensors")["digest"]
        self.assertIn("as expected", self.dashi("verify", "a.safetensors", "--digest", digest.upper()))
        content = bytearray(self.path("a.safetensors").read_bytes())
        content[-1] ^= 1
        self.path("a.safetensors").write_bytes(content)
        self.assertIn("another digest", self.dashi("verify", "a.safetensors", "--digest", digest, status=1))
        self.assertFalse(self.json("verify", "a.safetensors", "--digest", digest, status=1)["equal"])
        self.refused("verify", "a.safetensors", "--digest", digest[:-1], status=2, code="bad-digest")
        self.refused("verify", "a.safetensors", "--headers", "--digest", digest, status=2, code="options-conflict")

    def test_headers_only(self):
        self.assertNotIn("digest", self.json("verify", "--headers", "a.safetensors"))

    def test_shards(self):
        source = shared_data("dit_shards", "base.fp16.safetensors")
        self.dashi("reshard", source, "m.safetensors", "--shard-size", "1MB")
        self.assertIn("shards", self.dashi("verify", "m.safetensors.index.json"))
        shard = sorted(self.folder.glob("m-*.safetensors"))[1]
        content = shard.read_bytes()
        shard.unlink()
        message = self.refused("verify", "m.safetensors.index.json", status=65, code="shard-missing")
        self.assertIn(shard.name, message)
        shard.write_bytes(content[:-1])
        self.assertIn(shard.name, self.refused("verify", "m.safetensors.index.json", status=65, code="truncated"))

    def test_hostile_index(self):
        for target in ("../a.safetensors", "/etc/passwd", "~a.safetensors", "c:a.safetensors"):
            with self.subTest(target=target):
                self.path("h.safetensors.index.json").write_text(
                    json.dumps({"metadata": {"total_size": 12}, "weight_map": {"w": target}}))
                self.refused("verify", "h.safetensors.index.json", status=65, code="unsafe-shard-name")


class Ledger(ProgramCase):
    def setUp(self):
        super().setUp()
        if self.run_dashi("soup", "--help").returncode != 0:
            self.skipTest("this dashi has no verb soup")
        for name, values in (("a", [1, 2]), ("b", [3, 5])):
            write_safetensors(self.path(f"{name}.safetensors"), {"w": ("F16", [2], values)})

    def test_ledgers(self):
        for mode in ("recompute", "accumulate"):
            with self.subTest(mode=mode):
                ledger = f"{mode}.soup"
                self.dashi("soup", "new", ledger, "--mode", mode, "--member", "a.safetensors", "--member",
                           "b.safetensors")
                self.assertIn("ledger with 2 members", self.dashi("verify", ledger))
                self.refused("convert", ledger, "o.safetensors", "--dtype", "f32", status=65, code="is-a-ledger")
                self.refused("reshard", ledger, "o.safetensors", status=65, code="is-a-ledger")
                content = bytearray(self.path(ledger).read_bytes())
                content[content.index(b'"weight') + 2] ^= 1
                self.path("bad.soup").write_bytes(content)
                done = self.run_dashi("verify", "bad.soup")
                self.assertEqual((done.returncode, done.stderr.count(b"\n")), (65, 1), done.stderr)

    def test_a_changed_member_is_found(self):
        self.dashi("soup", "new", "s.soup", "--member", "a.safetensors", "--member", "b.safetensors")
        write_safetensors(self.path("b.safetensors"), {"w": ("F16", [2], [3, 6])})
        done = self.run_dashi("verify", "s.soup")
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (65, 1), done.stderr)
        self.assertIn(b"b.safetensors", done.stderr)


if __name__ == "__main__":
    unittest.main()
