# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The progress bar on a terminal. The program is stopped for a while, so that the bar has its time."""

import os
import pty
import signal
import subprocess
import time
import unittest

from program_case import ProgramCase
from safetensors_files import write_safetensors

BYTES = 256 << 20


class Progress(ProgramCase):
    def setUp(self):
        super().setUp()
        write_safetensors(self.path("a.safetensors"), {"w": ("U8", [BYTES], b"\0" * BYTES)})

    def screen(self, *options, pause=0.8, **environment) -> bytes:
        """What a terminal gets on stderr while the digest of a large file is computed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen([self.program, "inspect", "--digest", "--threads", "1", "a.safetensors", *options],
                                   cwd=self.folder, stdout=subprocess.PIPE, stderr=theirs,
                                   env=os.environ | {"TERM": "xterm"} | environment)
        os.close(theirs)
        time.sleep(0.03)
        process.send_signal(signal.SIGSTOP)
        time.sleep(pause)
        process.send_signal(signal.SIGCONT)
        drawn = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            if not part:
                break
            drawn += part
        os.close(ours)
        self.assertIn(b"digest", process.communicate(timeout=60)[0])
        self.assertEqual(process.returncode, 0)
        return drawn

    def test_bar_with_rate_and_time_left_that_goes_away(self):
        drawn = self.screen(NO_COLOR="")
        self.assertRegex(drawn.decode(), r"digest +\d+ % .*\[36m=*.*\[0m\.*  .* of 268 MB, \d+\.\d\d GB/s, .* left")
        self.assertTrue(drawn.endswith(b"\r\x1b[K"), drawn[-80:])

    def test_no_colour(self):
        drawn = self.screen(NO_COLOR="1")
        self.assertIn(b"GB/s", drawn)
        self.assertNotIn(b"\x1b[36m", drawn)

    def test_nothing_when_quiet_or_dumb_or_at_once(self):
        self.assertEqual(self.screen("--quiet"), b"")
        self.assertEqual(self.screen(TERM="dumb"), b"")
        self.assertEqual(self.screen(pause=0), b"")


if __name__ == "__main__":
    unittest.main()
