# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the command line accepts and refuses, and what surrounds a run: streams, environment."""

import json
import os
import resource
import unittest

from program_case import ProgramCase
from safetensors_files import write_safetensors


class CommandLine(ProgramCase):
    def setUp(self):
        super().setUp()
        write_safetensors(self.path("a.safetensors"), {"w": ("F32", [2], [1, 2])})

    def test_unknown_words_name_the_nearest(self):
        for arguments, hint in ((["inspekt", "a.safetensors"], "inspect"),
                                (["verify", "--digets", "a.safetensors"], "--digest"),
                                (["inspect", "a.safetensors", "--tensor"], "--tensors"),
                                (["convert", "a.safetensors", "b.safetensors", "--dtyp=f16"], "--dtype"),
                                (["--jsn", "inspect", "a.safetensors"], "--json")):
            with self.subTest(arguments=arguments):
                self.assertIn(f"did you mean {hint}?", self.refused(*arguments, status=2, code="usage"))

    def test_missing_and_superfluous(self):
        for arguments in ([], ["diff", "a.safetensors"], ["inspect"], ["inspect", "a.safetensors", "b"],
                          ["inspect", "--threads", "x", "a.safetensors"], ["inspect", "--threads=-1", "a.safetensors"],
                          ["inspect", "--seed", "-1", "a.safetensors"]):
            with self.subTest(arguments=arguments):
                self.refused(*arguments, status=2, code="usage")
        self.refused("inspect", "--mem", "2G", "a.safetensors", status=2, code="bad-size")

    def test_empty_paths(self):
        for arguments in (["inspect", ""], ["diff", "a.safetensors", ""], ["convert", "a.safetensors", "", "--dtype=f16"]):
            with self.subTest(arguments=arguments):
                self.refused(*arguments, status=2, code="empty-path")

    def test_odd_paths_work(self):
        content = self.path("a.safetensors").read_bytes()
        for name in (b"new\nline.safetensors", b"-dash.safetensors", b"not utf-8 \xff\xfe.safetensors", b"[x,y]",
                     b"{}.safetensors", b"a=b.safetensors", "ünï-漢字.safetensors".encode(), b"sp ace \\ %s.safetensors"):
            with self.subTest(name=name):
                path = os.path.join(os.fsencode(self.folder), name)
                with open(path, "wb") as file:
                    file.write(content)
                out = self.dashi("inspect", "--", name)
                self.assertIn("1 tensor", out)
                self.assertEqual(out.count("\n"), self.dashi("inspect", "a.safetensors").count("\n"))
                self.dashi("reshard", "--force", "--", "a.safetensors", name)
                json.loads(self.dashi("inspect", "--json", "--", name))
                os.unlink(path)

    def test_odd_paths_in_messages_stay_on_one_line(self):
        for name in (b"new\nline", b"\xff", b"\x1b[31mred", "a\u2028b".encode()):
            with self.subTest(name=name):
                message = self.refused("inspect", name, status=66, code="no-such-file")
                self.assertTrue(message.isprintable() or message.rstrip("\n").isprintable(), message)

    def test_ten_thousand_arguments(self):
        message = self.refused("inspect", *["a.safetensors"] * 10_000, status=2, code="usage")
        self.assertLess(len(message), 1000)

    def test_help_and_version(self):
        self.assertIn("inspect", self.dashi("--help"))
        for verb in ("inspect", "diff", "verify", "convert", "reshard"):
            self.assertIn(f"  dashi {verb} ", self.dashi(verb, "--help"))
        self.assertRegex(self.dashi("--version"), r"\Adashi \d+\.\d+")

    def test_json_errors(self):
        for arguments, status in ((["inspect", "--json", "none.safetensors"], 66), (["--json", "inspekt"], 2),
                                  (["--json", "inspect", ""], 2)):
            with self.subTest(arguments=arguments):
                done = self.run_dashi(*arguments)
                self.assertEqual((done.returncode, done.stdout, done.stderr.count(b"\n")), (status, b"", 1))
                error = json.loads(done.stderr)["error"]
                self.assertEqual(error["status"], status)
                self.assertEqual(set(error), {"code", "file", "place", "found", "expected", "advice", "message", "status"})

    def test_options_before_and_after_the_verb(self):
        before, after = self.dashi("--json", "inspect", "a.safetensors"), self.dashi("inspect", "a.safetensors", "--json")
        self.assertEqual(before, after)

    def test_closed_output_has_no_effect_on_files(self):
        read, write = os.pipe()
        os.close(read)
        done = self.run_dashi("reshard", "a.safetensors", "b.safetensors", stdout=write)
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertTrue(self.path("b.safetensors").exists())
        done = self.run_dashi("reshard", "a.safetensors", "c.safetensors", stdout=None, stderr=None,
                              preexec_fn=lambda: (os.close(0), os.close(1), os.close(2)))
        self.assertEqual(done.returncode, 0)
        self.dashi("diff", "a.safetensors", "c.safetensors")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_full_output_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = self.run_dashi("inspect", "a.safetensors", stdout=full)
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (74, 1))

    def test_bare_environment(self):
        for environment in ({}, {"LC_ALL": "xx_YY.nonsense", "HOME": "/does/not/exist", "TMPDIR": "/does/not/exist"}):
            with self.subTest(environment=environment):
                out = self.dashi("convert", "a.safetensors", "b.safetensors", "--dtype", "f16", "--force",
                                 env=environment)
                self.assertIn("1 of 1 tensors converted", out)
                self.assertEqual(self.dashi("inspect", "b.safetensors", env=environment),
                                 self.dashi("inspect", "b.safetensors"))

    def test_nothing_is_drawn_in_a_pipe(self):
        done = self.run_dashi("inspect", "--digest", "a.safetensors")
        self.assertEqual(done.stderr, b"")
        self.assertNotIn(b"\x1b", done.stdout)

    def test_limit_of_file_sizes(self):
        def limit(size):
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        self.assertEqual(self.run_dashi("inspect", "a.safetensors", preexec_fn=limit(0)).returncode, 0)
        before = self.contents()
        done = self.run_dashi("reshard", "a.safetensors", "b.safetensors", preexec_fn=limit(1000))
        self.assertIn(done.returncode, (73, 74), done.stderr)
        self.assertEqual((done.stderr.count(b"\n"), self.contents()), (1, before))

    def test_fifo_does_not_block(self):
        os.mkfifo(self.path("fifo"))
        done = self.run_dashi("inspect", "fifo")
        self.assertEqual((done.returncode, done.stderr.count(b"\n")), (66, 1), done.stderr)
        self.assertIn(b"FIFO", done.stderr)


if __name__ == "__main__":
    unittest.main()
