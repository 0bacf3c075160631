# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""kill -9 of the program itself at every call with which it writes, syncs or names an output.

After each kill the folder shows what it showed before or the whole result, and the next run gives
the result and removes what was left. test_kill_loop.py does the same for every other call, and
with errors, on a program that starts faster.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import shutil
import struct
import unittest

import fault_harness as harness

PROGRAM = os.environ.get("DASHI", "")
CALLS = [
    "fallocate",
    "ftruncate",
    "pwrite64",
    "fchmod",
    "fsync",
    "linkat",
    "renameat",
    "renameat2",
    "unlinkat",
]


def checkpoint(first: float) -> bytes:
    """A file of two F32 tensors of 600 and 40 values."""
    values = [first + i / 64 for i in range(640)]
    header = {
        "a": {"dtype": "F32", "shape": [600], "data_offsets": [0, 2400]},
        "b": {"dtype": "F32", "shape": [4, 10], "data_offsets": [2400, 2560]},
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack("<640f", *values)


class KillProgram(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        harness.require_strace()
        if not PROGRAM or not pathlib.Path(PROGRAM).exists():
            raise unittest.SkipTest("no program dashi; set DASHI to its path")
        cls.serial = itertools.count()

    def prepare(self, steps: list[list[str]]) -> pathlib.Path:
        folder = harness.scratch() / f"program{next(self.serial)}"
        folder.mkdir()
        for name, first in (("x", 0.5), ("y", -3.0), ("z", 9.0)):
            (folder / f"{name}.safetensors").write_bytes(checkpoint(first))
        for step in steps:
            self.succeed(folder, step)
        return folder

    def command(self, folder: pathlib.Path, arguments: list[str]) -> list[str]:
        return [PROGRAM, *(a.replace("@", str(folder) + "/") for a in arguments), "--quiet"]

    def succeed(self, folder: pathlib.Path, arguments: list[str]) -> None:
        done = harness.run(*self.command(folder, arguments))
        self.assertEqual(done.returncode, 0, done.stderr)

    def kill_everywhere(self, steps, run, again, then=None, is_set=False) -> None:
        """`steps` make the old state and `run` is killed. The next run is `again` if that state is
        still there, `then` if the new one is (several commands); both must lead to the new one."""
        folder = self.prepare(steps)
        before = harness.snapshot(folder)
        self.succeed(folder, run)
        after = harness.snapshot(folder)
        self.assertNotEqual(before, after)
        self.assertEqual(harness.temporaries(after), [])

        def one(call: str, when: int) -> bool:
            """Whether the run was killed. strace counts the calls of each thread by themselves."""
            folder = self.prepare(steps)
            fault = f"{call}:signal=SIGKILL:when={when}"
            done = harness.inject(self.command(folder, run), fault)
            where = f"{run}: {fault}"
            files = harness.snapshot(folder)
            seen = harness.visible(files)
            if done.returncode == 0:
                self.assertEqual(files, after, where)
                return False
            self.assertIn(done.returncode, (-9, 137), f"{where}: {done.stderr}")
            if not is_set:
                self.assertTrue(seen in (before, after), where)
                self.assertLessEqual(len(harness.temporaries(files)), 1, where)
            elif harness.index_of(files) is not None:  # without an index there is no set
                self.assertTrue(seen in (before, after), where)
            for command in (then or [again]) if seen == after else [again]:
                self.succeed(folder, command)
            self.assertEqual(harness.snapshot(folder), after, where)
            shutil.rmtree(folder)
            return True

        def until_it_completes(call: str) -> int:
            return next(when for when in itertools.count(1) if not one(call, when)) - 1

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            kills = dict(zip(CALLS, pool.map(until_it_completes, CALLS)))
        for call in ("pwrite64", "fsync"):
            self.assertGreater(kills[call], 0)
        self.assertGreater(kills["linkat"] + kills["renameat2"], 0)

    def test_reshard(self):
        run = ["reshard", "@x.safetensors", "@out.safetensors"]
        self.kill_everywhere([], run, [*run, "--force"])

    def test_reshard_over_an_old_set(self):
        old = ["reshard", "@y.safetensors", "@out.safetensors", "--shard-size", "2400B"]
        run = ["reshard", "@x.safetensors", "@out.safetensors", "--shard-size", "2400B", "--force"]
        self.kill_everywhere([old], run, run, is_set=True)

    def test_publish_over_an_old_file(self):
        members = ["--member", "@x.safetensors", "--member", "@y.safetensors=0.25"]
        old = [
            ["soup", "new", "@S.soup", *members],
            ["reshard", "@z.safetensors", "@out.safetensors"],
        ]
        run = ["soup", "publish", "@S.soup", "@out.safetensors", "--force"]
        self.kill_everywhere(old, run, run)

    def test_change_of_a_soup(self):
        for mode in ("recompute", "accumulate"):
            with self.subTest(mode):
                new = ["soup", "new", "@S.soup", "--member", "@x.safetensors", "--mode", mode]
                run = ["soup", "add", "@S.soup", "@y.safetensors"]
                # A soup has no history: adding a member and removing it changes nothing.
                member = "@z.safetensors"
                then = [["soup", "add", "@S.soup", member], ["soup", "remove", "@S.soup", member]]
                self.kill_everywhere([new], run, run, then)


if __name__ == "__main__":
    unittest.main()
