# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The commit protocol from outside: order of calls, full disks, limits, links, races."""

import fcntl
import itertools
import os
import pathlib
import re
import resource
import stat
import subprocess
import unittest

import fault_harness as harness

NOBODY = 65534


class OutputRules(unittest.TestCase):

    def setUp(self):
        self.folder = harness.scratch() / self.id().rsplit(".", 1)[-1]
        self.folder.mkdir()
        self.out = self.folder / "out.safetensors"

    def write(self, *flags: str, seed: str = "2", out: pathlib.Path | str | None = None, **options):
        return harness.run(harness.helper(), str(out or self.out), seed, *flags, **options)

    def expect(self, done, status: int, *parts: str):
        self.assertEqual(done.returncode, status, done.stderr)
        if status != 0:
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            for part in (f"error[{status}]", *parts):
                self.assertIn(part, done.stderr)

    def test_data_are_durable_before_they_are_named(self):
        """E9 by reasoning: nothing is named before it is synced, nothing is written after."""
        harness.require_strace()
        for flags in (
            [],
            ["--force"],
            ["--named"],
            ["--named", "--force"],
            ["--shards"],
            ["--shards", "--force"],
        ):
            with self.subTest(" ".join(flags)):
                command = [harness.helper(), str(self.out), "2", *flags]
                calls = harness.calls_of(command, harness.scratch() / "order.log")
                reserved, written, synced = {}, {}, {}  # file -> place in the list of calls
                named = []
                for place, call in enumerate(calls):
                    name = call.split("(", 1)[0]
                    file = re.match(r"\w+\(\d+<([^>]*)>", call)
                    key = file.group(1) if file else ""
                    if name == "fallocate":
                        reserved[key] = place
                    elif name == "pwrite64":
                        written[key] = place
                        self.assertLess(reserved[key], place)
                    elif name == "fsync":
                        synced.setdefault(key, []).append(place)
                    elif name in ("linkat", "renameat2"):
                        named.append(place)
                directory = str(self.folder)
                self.assertTrue(written)
                for file, place in written.items():
                    self.assertEqual(len(synced[file]), 1, "synced once")
                    self.assertGreater(synced[file][0], place, "written after the sync")
                    self.assertLess(synced[file][0], min(named), "named before the sync")
                self.assertGreater(
                    synced[directory][-1], max(named), "the directory is synced last"
                )
                if (
                    "--shards" in flags
                ):  # the shards' names are durable before the index gets its own
                    self.assertTrue(any(place < max(named) for place in synced[directory]))
                for entry in self.folder.iterdir():
                    if "--force" in flags:
                        entry.unlink()

    def test_short_writes(self):
        self.expect(self.write(), 0)
        self.expect(self.write("--short-writes", out=self.folder / "short.safetensors"), 0)
        self.assertEqual(self.out.read_bytes(), (self.folder / "short.safetensors").read_bytes())

    def test_memory_is_exhausted_at_every_allocation(self):
        """F7: status 71, nothing changed, nothing left."""
        for flags in itertools.product(([], ["--force"]), ([], ["--named"]), ([], ["--shards"])):
            flags = sum(flags, [])
            with self.subTest(" ".join(flags)):
                if "--force" in flags:
                    self.expect(self.write(*flags, seed="1"), 0)
                before = harness.snapshot(self.folder)
                for count in itertools.count():
                    done = self.write(*flags, "--fail-allocation", str(count))
                    if done.returncode == 0:
                        break
                    self.expect(done, 71)
                    self.assertEqual(harness.snapshot(self.folder), before, f"allocation {count}")
                self.assertGreater(count, 20)
                for file in self.folder.iterdir():
                    file.unlink()

    def test_full_disk(self):
        """E1 on a real file system of 1 MiB."""
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "dashi", str(disk)],
            capture_output=True,
            text=True,
        )
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a tmpfs (root is needed): {mounted.stderr.strip()}")
        try:
            out = disk / "out.safetensors"
            self.expect(self.write(out=out), 0)
            old = out.read_bytes()
            (disk / "ballast").write_bytes(b"\1" * (1024 * 1024 - 3 * 4096))
            for flags in (["--force"], ["--force", "--named"]):
                done = self.write(*flags, seed="3", out=out)
                self.expect(
                    done, 74, "cannot reserve", "No space left on device", "free some space"
                )
                self.assertEqual(sorted(os.listdir(disk)), ["ballast", "out.safetensors"])
                self.assertEqual(out.read_bytes(), old)
            (disk / "ballast").unlink()
            self.expect(self.write("--force", seed="3", out=out), 0)
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_file_size_limit(self):
        """E12: no SIGXFSZ, a sentence."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        self.expect(
            self.write(preexec_fn=limit), 74, "cannot reserve", "File too large", "file size limit"
        )
        self.assertEqual(os.listdir(self.folder), [])

    def test_open_file_limit(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
        self.expect(self.write(preexec_fn=limit), 73, "Too many open files")
        self.assertEqual(os.listdir(self.folder), [])

    def test_directory_is_read_only(self):
        if os.getuid() != 0:
            drop = None
        else:
            os.chmod(harness.scratch(), 0o755)
            drop = lambda: os.setuid(NOBODY)
        self.folder.chmod(0o555)
        self.expect(self.write(preexec_fn=drop), 77, "Permission denied")
        self.folder.chmod(0o755)
        self.assertEqual(os.listdir(self.folder), [])

    def test_directory_is_missing(self):
        self.expect(
            self.write(out=self.folder / "no" / "out.safetensors"), 73, "create the directory first"
        )
        self.expect(self.write(out=str(self.folder) + "/no/"), 73)
        (self.folder / "file").write_text("x")
        self.expect(self.write(out=self.folder / "file" / "out.safetensors"), 73, "Not a directory")

    def test_name_is_too_long(self):
        self.expect(self.write(out=self.folder / ("x" * 256)), 73, "File name too long")
        for flags in ([], ["--force"], ["--force", "--named"]):  # the hidden name must fit as well
            self.expect(self.write(*flags, out=self.folder / ("x" * 255)), 0)
        self.assertEqual(os.listdir(self.folder), ["x" * 255])

    def test_output_exists(self):
        self.out.write_text("old")
        self.expect(self.write(), 73, "File exists", "--force")
        self.assertEqual(self.out.read_text(), "old")
        self.expect(self.write("--force"), 0)
        self.assertEqual(os.listdir(self.folder), ["out.safetensors"])

    def test_link_is_replaced_and_not_followed(self):
        target = self.folder / "target"
        target.write_text("precious")
        for flags in (["--force"], ["--force", "--named"]):
            self.out.symlink_to(target)
            self.expect(self.write(), 73, "File exists")
            self.expect(self.write(*flags), 0)
            self.assertFalse(self.out.is_symlink())
            self.assertEqual(target.read_text(), "precious")
            self.assertEqual(sorted(os.listdir(self.folder)), ["out.safetensors", "target"])
            self.out.unlink()
        self.out.symlink_to(self.folder / "nowhere")
        self.expect(self.write(), 73, "File exists")
        self.expect(self.write("--force"), 0)
        self.assertFalse(self.out.is_symlink())

    def test_output_is_an_input(self):
        source = self.folder / "in.safetensors"
        self.expect(self.write(out=source), 0)
        content = source.read_bytes()
        os.link(source, self.folder / "hard.safetensors")
        (self.folder / "soft.safetensors").symlink_to(source)
        for name in ("in", "hard", "soft"):
            for flags in ([], ["--force"]):
                done = self.write(
                    "--input", str(source), *flags, out=self.folder / f"{name}.safetensors"
                )
                self.expect(done, 73, "one of the inputs")
        self.assertEqual(source.read_bytes(), content)
        self.assertEqual(
            sorted(os.listdir(self.folder)),
            ["hard.safetensors", "in.safetensors", "soft.safetensors"],
        )

    def test_output_is_no_file(self):
        (self.folder / "d").mkdir()
        os.mkfifo(self.folder / "fifo")
        self.expect(self.write("--force", out=self.folder / "d"), 73, "a directory")
        self.expect(self.write("--force", out=self.folder / "fifo"), 73, "a FIFO")
        self.expect(self.write("--force", out=pathlib.Path("/dev/null")), 73, "a character device")
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))

    def test_mode_and_owner(self):
        """E7: umask for a new file; a replaced file hands on mode and, if possible, owner."""
        for named in ([], ["--named"]):
            mask = lambda: os.umask(0o027)
            self.expect(self.write(*named, preexec_fn=mask), 0)
            self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o640)
            self.out.chmod(0o604)
            if os.getuid() == 0:
                os.chown(self.out, NOBODY, NOBODY)
            owner = self.out.stat().st_uid
            self.expect(self.write("--force", *named, preexec_fn=mask), 0)
            self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o604)
            self.assertEqual(self.out.stat().st_uid, owner)
            self.out.unlink()

    def test_leftovers_are_removed_unless_they_are_in_use(self):
        stale = self.folder / ".out.safetensors.dashi-abc123.tmp"
        used = self.folder / ".out.safetensors.dashi-def456.tmp"
        others = [
            self.folder / name
            for name in (
                ".out.safetensors.dashi-ABC123.tmp",
                ".out.safetensors.dashi-abc12.tmp",
                "out.safetensors.tmp",
                ".other.safetensors.dashi-abc123.tmp",
                ".out.safetensors.dashi-abc123.tmp.bak",
            )
        ]
        for file in (stale, used, *others):
            file.write_text("left")
        folder = self.folder / ".out.safetensors.dashi-dir000.tmp"
        folder.mkdir()
        link = self.folder / ".out.safetensors.dashi-lnk000.tmp"
        link.symlink_to(others[0])
        with open(used) as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            self.expect(self.write(), 0)
        self.assertFalse(stale.exists())
        self.assertFalse(link.is_symlink())
        self.assertTrue(used.exists())
        self.assertTrue(folder.is_dir())
        for file in others:
            self.assertEqual(file.read_text(), "left")
        self.expect(self.write("--force"), 0)
        self.assertFalse(used.exists())

    def test_leftovers_of_shards_of_another_count(self):
        self.expect(self.write("--shards"), 0)
        left = self.folder / ".out-00007-of-00009.safetensors.dashi-abc123.tmp"
        left.write_text("left")
        self.expect(self.write("--shards", "--force"), 0)
        self.assertFalse(left.exists())

    def test_set_replaces_a_set_of_another_count(self):
        self.expect(self.write("--shards"), 0)
        whole = harness.snapshot(self.folder)
        (self.folder / "out-00003-of-00003.safetensors").write_text("old shard")
        (self.folder / "outer-00001-of-00001.safetensors").write_text("other set")
        self.expect(self.write("--shards"), 73, "--force")
        self.expect(self.write("--shards", "--force"), 0)
        self.assertEqual(
            harness.snapshot(self.folder),
            {**whole, "outer-00001-of-00001.safetensors": b"other set"},
        )

    def test_shard_to_be_removed_is_an_input(self):
        old = self.folder / "out-00003-of-00003.safetensors"
        old.write_text("old shard")
        self.expect(self.write("--shards", "--force", "--input", str(old)), 73, "one of the inputs")
        self.assertEqual(os.listdir(self.folder), [old.name])

    def test_race_of_two_writers(self):
        """E10: one wins whole; without --force the other says so."""
        wanted = {}
        for seed in ("1", "2"):
            self.expect(self.write(seed=seed, out=self.folder / seed), 0)
            wanted[seed] = (self.folder / seed).read_bytes()
        for flags in ([], ["--named"], ["--force"], ["--force", "--named"]):
            for _ in range(25):
                racers = [
                    subprocess.Popen(
                        [harness.helper(), str(self.out), seed, *flags], stderr=subprocess.DEVNULL
                    )
                    for seed in ("1", "2", "1", "2")
                ]
                statuses = [racer.wait(harness.TIMEOUT) for racer in racers]
                self.assertIn(self.out.read_bytes(), wanted.values())
                self.assertEqual(sorted(os.listdir(self.folder)), ["1", "2", "out.safetensors"])
                if flags and flags[0] == "--force":
                    self.assertEqual(statuses, [0] * 4)
                else:
                    self.assertEqual(sorted(statuses), [0, 73, 73, 73])
                    winner = "12"[statuses.index(0) % 2]
                    self.assertEqual(self.out.read_bytes(), wanted[winner])
                self.out.unlink()

    def test_readers_during_replacement_see_old_or_new(self):
        wanted = set()
        for seed in ("1", "2"):
            self.expect(self.write("--force", seed=seed), 0)
            wanted.add(self.out.read_bytes())
        for seed in ("1", "2") * 10:
            writer = subprocess.Popen([harness.helper(), str(self.out), seed, "--force"])
            while writer.poll() is None:
                self.assertIn(self.out.read_bytes(), wanted)
            self.assertEqual(writer.returncode, 0)


if __name__ == "__main__":
    unittest.main()
