# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A signal in the middle of writing: nothing is left, the old output stays, the status is 128 + n."""

import os
import signal
import subprocess
import time
import unittest

from program_case import ProgramCase
from safetensors_files import write_safetensors

BYTES = 48 << 20

# A file system without unnamed temporary files: the program falls back to hidden names.
SHIM = r"""
#include <cerrno>
#include <cstdarg>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
extern "C" int openat(int directory, char const* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int const mode = va_arg(rest, int);
  va_end(rest);
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return static_cast<int>(syscall(SYS_openat, directory, path, flags, mode));
}
extern "C" int openat64(int, char const*, int, ...) __attribute__((alias("openat")));
"""

# A signal at the first file that is moved out of the way, and time for what it does.
SIGNAL_AT_RENAME = r"""
#include <csignal>
#include <sys/syscall.h>
#include <unistd.h>
extern "C" int renameat(int from, char const* old_name, int to, char const* new_name) {
  long const result = syscall(SYS_renameat2, from, old_name, to, new_name, 0);
  kill(getpid(), SIGTERM);
  usleep(300'000);
  return static_cast<int>(result);
}
"""

# A child that runs long before its parent goes on.
SLOW_SPAWN = r"""
#include <dlfcn.h>
#include <spawn.h>
#include <unistd.h>
extern "C" int posix_spawnp(pid_t* child, char const* file, posix_spawn_file_actions_t const* actions,
                            posix_spawnattr_t const* attributes, char* const* arguments, char* const* variables) {
  auto const spawn = reinterpret_cast<decltype(&posix_spawnp)>(dlsym(RTLD_NEXT, "posix_spawnp"));
  int const error = spawn(child, file, actions, attributes, arguments, variables);
  usleep(500'000);
  return error;
}
"""


class Interrupt(ProgramCase):
    def setUp(self):
        super().setUp()
        for name in "abcd":
            write_safetensors(self.path(name), {"w": ("F16", [BYTES // 2], name.encode() * BYTES)})

    def shim(self, source):
        """The environment in which these functions stand before the system's."""
        self.path("shim.cpp").write_text(source)
        subprocess.run([os.environ["DASHI_CXX"], "-shared", "-fPIC", "-o", "shim.so", "shim.cpp"], cwd=self.folder,
                       check=True)
        return {"LD_PRELOAD": str(self.path("shim.so"))}

    def greedy(self, score, **environment):
        """A greedy soup of two, scored by a script that names its process in the file "pid" before it sleeps."""
        self.path("score").write_text(score)
        self.path("score").chmod(0o755)
        return self.start([self.program, "merge", "--method", "greedy", "--model", "a", "--model", "b", "--out", "out",
                           "--score", "./score {}"], **environment)

    def command(self, *options):
        models = [option for name in "abcd" for option in ("--model", name)]
        return [self.program, "merge", "--method", "uniform", *models, "--out", "out", "--force", "--threads", "1", *options]

    def start(self, command, **environment):
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                env=os.environ | environment)

    def test_signals_while_writing(self):
        self.path("out").write_bytes(b"old")
        before = {name for name in os.listdir(self.folder)}
        caught = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 3:
            process = self.start(self.command())
            time.sleep(0.04)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
            self.assertEqual(set(os.listdir(self.folder)), before)
            if process.returncode == 0:
                self.path("out").write_bytes(b"old")
                continue
            caught += 1
            self.assertEqual((process.returncode, errors), (-number, b""))
            self.assertEqual(self.path("out").read_bytes(), b"old")
        self.assertGreater(caught, 0, "no run was slow enough to be interrupted")

    @unittest.skipUnless("DASHI_CXX" in os.environ, "no compiler named")
    def test_hidden_temporary_files_go_too(self):
        shim = self.shim(SHIM)
        before = set(os.listdir(self.folder))
        seen = 0
        for number in (signal.SIGINT, signal.SIGTERM) * 3:
            process = self.start(self.command(), **shim)
            until = time.monotonic() + 30
            while process.poll() is None and set(os.listdir(self.folder)) == before:
                self.assertLess(time.monotonic(), until)
            process.send_signal(signal.SIGSTOP)  # so that what is there can be looked at
            seen += any(name.endswith(".tmp") for name in os.listdir(self.folder))
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            process.communicate(timeout=30)
            if process.returncode == 0:
                self.path("out").unlink()
            self.assertEqual(set(os.listdir(self.folder)), before)
        self.assertGreater(seen, 0, "no run was caught with a temporary file")

    @unittest.skipUnless("DASHI_CXX" in os.environ, "no compiler named")
    def test_a_set_is_replaced_to_the_end(self):
        shim = self.shim(SIGNAL_AT_RENAME)
        self.path("set").mkdir()
        for name in "ab":
            write_safetensors(self.path(name), {key: ("U8", [64], name.encode() * 64) for key in "xyz"})
        command = [self.program, "reshard", "--shard-size", "100", "--force"]
        subprocess.run([*command, "a", "set/m.safetensors"], cwd=self.folder, check=True, capture_output=True)
        names = set(os.listdir(self.path("set")))
        process = self.start([*command, "b", "set/m.safetensors"], **shim)
        process.communicate(timeout=60)
        self.assertIn(process.returncode, (0, -signal.SIGTERM))  # the work may be done before the process ends
        self.assertEqual(set(os.listdir(self.path("set"))), names)
        diff = subprocess.run([self.program, "diff", "set", "b"], cwd=self.folder, capture_output=True)
        self.assertEqual(diff.returncode, 0, diff.stdout + diff.stderr)

    def test_ignored_hangup_stays_ignored(self):
        process = subprocess.Popen(["nohup", *self.command()], cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(timeout=30), 0)
        self.assertTrue(self.path("out").exists())

    def assert_ends(self, process, before, number):
        self.wait_for("pid")
        process.send_signal(number)
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, -number)
        self.assertEqual(set(os.listdir(self.folder)), before | {"score", "pid"})
        self.assert_gone(int(self.path("pid").read_text()))

    def test_a_running_score_command_ends_too(self):
        before = set(os.listdir(self.folder))
        process = self.greedy("#!/bin/sh\necho $$ > pid\nexec sleep 300\n")
        self.assert_ends(process, before, signal.SIGTERM)

    @unittest.skipUnless("DASHI_CXX" in os.environ, "no compiler named")
    def test_a_score_command_ends_that_has_hardly_begun(self):
        shim = self.shim(SLOW_SPAWN)
        before = set(os.listdir(self.folder))
        process = self.greedy("#!/bin/sh\necho $$ > pid\nexec sleep 300\n", **shim)
        self.assert_ends(process, before, signal.SIGTERM)

    def test_candidates_of_a_greedy_soup_are_removed(self):
        # The own scores come at once; the command sleeps when it gets the candidate.
        before = set(os.listdir(self.folder))
        process = self.greedy('#!/bin/sh\ncase "$1" in *candidate*) echo $$ > pid; exec sleep 300;; esac\necho 1\n')
        self.wait_for("pid")
        self.assertEqual(len([n for n in os.listdir(self.folder) if n.startswith(".dashi-")]), 1)
        self.assert_ends(process, before, signal.SIGINT)

    def wait_for(self, name):
        until = time.monotonic() + 30
        while not (self.path(name).exists() and self.path(name).read_text().endswith("\n")):
            self.assertLess(time.monotonic(), until, f"no {name}")
            time.sleep(0.01)

    def assert_gone(self, process):
        until = time.monotonic() + 10
        while os.path.exists(f"/proc/{process}/exe") and time.monotonic() < until:
            try:
                with open(f"/proc/{process}/stat") as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return
            except OSError:
                return
            time.sleep(0.01)
        self.assertFalse(os.path.exists(f"/proc/{process}/exe"))


if __name__ == "__main__":
    unittest.main()
