# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kills or fails the writer at every system call it makes and looks at what is left.

Invariants (after every run): I1 the output is absent, as before, or (kill only) the whole new one;
I3 no temporary file after a handled error, after a kill at most one a file, gone after the next
run; I4 the exit status is a listed one.
"""

import concurrent.futures
import dataclasses
import itertools
import os
import pathlib
import unittest

import fault_harness as harness

# Every call through which the writer can touch the world.
CALLS = [
    "openat",
    "getdents64",
    "newfstatat",
    "flock",
    "access",
    "fallocate",
    "ftruncate",
    "pwrite64",
    "fchmod",
    "fsync",
    "pread64",
    "linkat",
    "renameat",
    "renameat2",
    "unlinkat",
    "close",
]

# What one failure of a call may end with; 0: the failure does no harm.
MEDIUM = {
    "openat": {0, 74},
    "getdents64": {0},
    "newfstatat": {0, 74},
    "flock": {0},
    "access": {0},
    "fallocate": {74},
    "ftruncate": {74},
    "pwrite64": {74},
    "fchmod": {74},
    "fsync": {74},
    "pread64": {74},
    "linkat": {74},
    "renameat": {74},
    "renameat2": {74},
    "unlinkat": {0},
    "close": {0},
}
DENIED = {
    "openat": {0, 77},
    "fallocate": {77},
    "fchmod": {77},
    "linkat": {77},
    "renameat": {77},
    "renameat2": {77},
}


@dataclasses.dataclass(frozen=True)
class Case:
    force: bool
    named: bool
    shards: bool

    def flags(self) -> list[str]:
        return [
            flag
            for flag, on in (
                ("--force", self.force),
                ("--named", self.named),
                ("--shards", self.shards),
            )
            if on
        ]

    def label(self) -> str:
        return " ".join(self.flags()) or "plain"


class FaultLoop(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        harness.require_strace()
        harness.helper()
        cls.serial = itertools.count()

    def folder(self, case: Case) -> pathlib.Path:
        """A folder as it is before the run: with the old output, if the case replaces it."""
        folder = harness.scratch() / f"case{next(self.serial)}"
        folder.mkdir()
        if case.force:
            done = harness.run(
                harness.helper(), str(folder / "out.safetensors"), "1", *case.flags()
            )
            self.assertEqual(done.returncode, 0, done.stderr)
        return folder

    def command(self, folder: pathlib.Path, case: Case) -> list[str]:
        return [harness.helper(), str(folder / "out.safetensors"), "2", *case.flags()]

    def reference(self, case: Case):
        """(before, after, how often each call occurs) of a run without a fault."""
        folder = self.folder(case)
        before = harness.snapshot(folder)
        counts = harness.counts_of(
            self.command(folder, case), harness.scratch() / f"log{next(self.serial)}"
        )
        after = harness.snapshot(folder)
        self.assertEqual(harness.temporaries(after), [])
        self.assertNotEqual(before, after)
        return before, after, counts

    def each_fault(self, case: Case, faults, judge):
        """judge(call, files, done, folder) after every fault, several at a time."""
        before, after, counts = self.reference(case)

        def one(call, when, fault):
            folder = self.folder(case)
            done = harness.inject(self.command(folder, case), f"{call}:{fault}:when={when}")
            how = f"status {done.returncode} {done.stderr.strip()}"
            where = f"{case.label()}: {call} #{when} {fault}: {how}"
            files = harness.snapshot(folder)
            judge(call, before, after, files, done.returncode, folder, where)
            for entry in folder.iterdir():
                entry.unlink()
            folder.rmdir()

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = [
                pool.submit(one, call, when, fault)
                for call in CALLS
                for when in range(1, counts[call] + 1)
                for fault in faults(call)
            ]
            for future in runs:
                future.result()
        self.assertGreaterEqual(len(runs), 5)

    def judge_kill(self, case: Case):
        def judge(call, before, after, files, status, folder, where):
            self.assertIn(status, (-9, 137), where)
            seen = harness.visible(files)
            if case.shards:
                # The index decides: with it, everything is of one set.
                if harness.index_of(files) is not None:
                    self.assertTrue(seen in (before, after), where)
                else:
                    for name, content in seen.items():
                        self.assertIn(content, (before.get(name), after.get(name)), where)
            else:
                self.assertTrue(seen in (before, after), where)
                self.assertLessEqual(len(harness.temporaries(files)), 1, where)
            again = harness.run(
                harness.helper(),
                str(folder / "out.safetensors"),
                "2",
                *dataclasses.replace(case, force=True).flags(),
            )
            self.assertEqual(again.returncode, 0, f"{where}; next run: {again.stderr}")
            self.assertEqual(harness.snapshot(folder), after, f"{where}; after the next run")

        return judge

    def judge_error(self, listed):
        def judge(call, before, after, files, status, folder, where):
            self.assertIn(status, listed(call), where)
            self.assertEqual(harness.visible(files), after if status == 0 else before, where)
            if call != "unlinkat":
                self.assertEqual(harness.temporaries(files), [], where)

        return judge

    def cases(self):
        for force, named in itertools.product((False, True), repeat=2):
            yield Case(force, named, False)

    def test_killed_at_every_call(self):
        for case in self.cases():
            with self.subTest(case.label()):
                self.each_fault(case, lambda call: ["signal=SIGKILL"], self.judge_kill(case))

    def test_killed_at_every_call_of_a_set(self):
        for case in (Case(False, False, True), Case(True, False, True)):
            with self.subTest(case.label()):
                self.each_fault(case, lambda call: ["signal=SIGKILL"], self.judge_kill(case))

    def test_medium_fails_at_every_call(self):
        for case in self.cases():
            with self.subTest(case.label()):
                self.each_fault(
                    case,
                    lambda call: ["error=ENOSPC", "error=EIO", "error=EDQUOT"],
                    self.judge_error(lambda call: MEDIUM[call]),
                )

    def test_medium_fails_at_every_call_of_a_set(self):
        for case in (Case(False, False, True), Case(True, False, True)):
            with self.subTest(case.label()):
                self.each_fault(
                    case, lambda call: ["error=ENOSPC"], self.judge_error(lambda call: MEDIUM[call])
                )

    def test_permission_is_denied(self):
        for case in self.cases():
            with self.subTest(case.label()):
                self.each_fault(
                    case,
                    lambda call: ["error=EACCES"] if call in DENIED else [],
                    self.judge_error(lambda call: DENIED[call]),
                )

    def test_signals_interrupt_every_call(self):
        for case in self.cases():
            with self.subTest(case.label()):
                # The C library reads directories; an interrupted close has closed.
                transparent = [
                    call for call in CALLS if call not in ("getdents64", "close", "access", "flock")
                ]
                self.each_fault(
                    case,
                    lambda call: ["error=EINTR"] if call in transparent else [],
                    self.judge_error(lambda call: {0}),
                )

    def test_features_that_file_systems_lack(self):
        missing = {
            "openat": "EOPNOTSUPP",
            "fallocate": "EOPNOTSUPP",
            "renameat2": "EINVAL",
            "flock": "ENOLCK",
        }
        for case in self.cases():
            with self.subTest(case.label()):
                before, after, counts = self.reference(case)
                for call, error in missing.items():
                    if counts[call] == 0:
                        continue
                    # Of the openat calls the third is that of the unnamed temporary file.
                    when = "3" if call == "openat" else "1+"
                    folder = self.folder(case)
                    done = harness.inject(
                        self.command(folder, case), f"{call}:error={error}:when={when}"
                    )
                    if call == "openat" and case.named:
                        continue
                    self.assertEqual(done.returncode, 0, f"{case.label()} {call}: {done.stderr}")
                    self.assertEqual(harness.snapshot(folder), after, f"{case.label()} {call}")


if __name__ == "__main__":
    unittest.main()
