# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A unittest case that runs the program `dashi` in a folder of its own and judges how it ended."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

TIMEOUT = 60


def shared_data(*parts: str) -> pathlib.Path:
    """A path in the shared data; skips the test where it is not there."""
    path = pathlib.Path(os.environ.get("DASHI_SHARED", "../shared")).joinpath("data", *parts)
    if not path.exists():
        raise unittest.SkipTest(f"no {path}")
    return path


class ProgramCase(unittest.TestCase):
    def setUp(self):
        self.program = os.environ["DASHI"]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dashi-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_dashi(self, *arguments, **settings) -> subprocess.CompletedProcess:
        """In the case's folder; arguments may be str, bytes or paths."""
        settings.setdefault("stdin", subprocess.DEVNULL)
        if "stdout" not in settings:
            settings.update(stdout=subprocess.PIPE)
        if "stderr" not in settings:
            settings.update(stderr=subprocess.PIPE)
        return subprocess.run([self.program, *arguments], cwd=self.folder, timeout=TIMEOUT, check=False,
                              **settings)

    def dashi(self, *arguments, status: int = 0, **settings) -> str:
        """stdout of a run that must end with `status`; 0 and 1 must leave stderr without errors."""
        done = self.run_dashi(*arguments, **settings)
        error = (done.stderr or b"").decode(errors="replace")
        self.assertEqual(done.returncode, status, error)
        self.assertNotIn("error[", error)
        return (done.stdout or b"").decode(errors="replace")

    def json(self, *arguments, status: int = 0) -> dict:
        """The one JSON object that --json prints."""
        done = self.run_dashi("--json", *arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr, b"")
        return json.loads(done.stdout)

    def refused(self, *arguments, status: int, code: str, **settings) -> str:
        """The message of a run that must fail: one line on stderr of the documented form, nothing on
        stdout, and every file in the folder as it was."""
        before = self.contents()
        done = self.run_dashi(*arguments, **settings)
        message = (done.stderr or b"").decode(errors="replace")
        self.assertEqual(done.returncode, status, message)
        self.assertRegex(message, r"\Adashi: error\[" + re.escape(code) + r"\] [^\n]+\n\Z")
        self.assertEqual(done.stdout or b"", b"")
        self.assertEqual(self.contents(), before)
        return message

    def contents(self) -> dict:
        """Every name below the folder, with the bytes of files."""
        return {str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else None
                for path in self.folder.rglob("*")}

    def path(self, name: str) -> pathlib.Path:
        return self.folder / name
