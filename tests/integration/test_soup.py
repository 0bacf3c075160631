# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The verbs of `dashi soup`: what they write, and that no history shows in it."""

import itertools
import json
import os
import shutil
import subprocess
import unittest

from program_case import ProgramCase
from safetensors_files import read_safetensors, write_safetensors
from soup_files import SHAPES, exact_mean, make_member

BOTH_MODES = (("recompute", "recompute.soup"), ("accumulate", "accumulate.soup"))


class Soups(ProgramCase):
    def setUp(self):
        super().setUp()
        self.members = [make_member(self.path(f"{name}.safetensors"), seed, metadata={"format": "pt", "who": name})
                        for seed, name in enumerate("abcd")]

    def new(self, ledger, mode, *members, **settings):
        options = [option for member in members for option in ("--member", member)]
        return self.dashi("soup", "new", ledger, "--mode", mode, *options, **settings)

    def published(self, ledger, name="out.safetensors", *options):
        self.dashi("soup", "publish", ledger, name, "--force", *options)
        return self.path(name).read_bytes()



class WhatIsPublished(Soups):
    def test_is_the_exact_mean(self):
        for dtype, weights in itertools.product(("F16", "BF16", "F32"), (("0.5", "1.5", "0.25"), ("1", "-0.3", "7"))):
            paths = [make_member(self.path(f"{dtype}{i}.safetensors"), 10 + i, dtype) for i in range(3)]
            expected = exact_mean(paths, weights, dtype)
            for mode in ("recompute", "accumulate"):
                with self.subTest(dtype=dtype, weights=weights, mode=mode):
                    self.new("x.soup", mode, *(f"{p.name}={w}" for p, w in zip(paths, weights)))
                    self.published("x.soup")
                    tensors, metadata = read_safetensors(self.path("out.safetensors"))
                    self.assertEqual({name: content for name, (_, _, content) in tensors.items()}, expected)
                    recipe = json.loads(metadata["dashi.recipe"])
                    self.assertEqual(sorted(m["weight"] for m in recipe["members"]), sorted(weights))
                    self.path("x.soup").unlink()

    def test_output_dtypes(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors=2")
            for option, dtype in (("f32", "F32"), ("bf16", "BF16"), ("f16", "F16"), ("float32", "F32"), ("same", "F16")):
                self.published(ledger, "out.safetensors", "--dtype", option)
                tensors, _ = read_safetensors(self.path("out.safetensors"))
                expected = exact_mean(self.members[:2], (1, 2), dtype)
                self.assertEqual({name: content for name, (_, _, content) in tensors.items()}, expected)
                self.dashi("soup", "verify", ledger, "out.safetensors")

    def test_one_member_gives_its_tensors(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors=0.3")
            self.published(ledger)
            self.assertEqual(read_safetensors(self.path("out.safetensors"))[0],
                             {name: value for name, value in sorted(
                                 read_safetensors(self.path("a.safetensors"))[0].items())})

    def test_common_metadata_stays(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors")
            self.published(ledger)
            metadata = read_safetensors(self.path("out.safetensors"))[1]
            self.assertEqual(metadata["format"], "pt")
            self.assertNotIn("who", metadata)

    def test_shards(self):
        self.new("s.soup", "recompute", "a.safetensors", "b.safetensors")
        single = self.published("s.soup")
        report = self.json("soup", "publish", "s.soup", "sharded.safetensors", "--shard-size", "64B")
        self.assertEqual(report["output"], "sharded.safetensors.index.json")
        self.assertTrue(self.path("sharded.safetensors.index.json").exists())
        self.dashi("diff", "out.safetensors", "sharded.safetensors.index.json")
        self.dashi("soup", "verify", "s.soup", "sharded.safetensors.index.json")
        self.dashi("reshard", "sharded.safetensors.index.json", "again.safetensors")
        self.assertEqual(self.path("again.safetensors").read_bytes(), single)


class NoHistory(Soups):
    def test_add_and_remove_leave_no_trace(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors=0.5", "b.safetensors=1.5")
            before, soup = self.path(ledger).read_bytes(), self.published(ledger)
            self.dashi("soup", "add", ledger, "c.safetensors", "--weight", "0.125")
            self.assertNotEqual(self.path(ledger).read_bytes(), before)
            self.assertNotEqual(self.published(ledger), soup)
            self.dashi("soup", "remove", ledger, "c.safetensors")
            self.assertEqual(self.path(ledger).read_bytes(), before)
            self.assertEqual(self.published(ledger), soup)

    def test_any_order_and_both_modes_give_one_file(self):
        names = [f"{name}.safetensors={weight}" for name, weight in zip("abc", ("1", "-0.25", "3"))]
        published, ledgers = set(), {"recompute": set(), "accumulate": set()}
        for mode, order in itertools.product(ledgers, itertools.permutations(names)):
            self.new("x.soup", mode, order[0], "d.safetensors=0.00000001")
            for text in order[1:]:
                file, weight = text.split("=")
                self.dashi("soup", "add", "x.soup", file, "--weight", weight)
            self.dashi("soup", "remove", "x.soup", "d.safetensors")
            published.add(self.published("x.soup"))
            ledgers[mode].add(self.path("x.soup").read_bytes())
            self.path("x.soup").unlink()
        self.assertEqual((len(published), len(ledgers["recompute"]), len(ledgers["accumulate"])), (1, 1, 1))

    def test_replace_is_remove_and_add(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors=2")
            self.dashi("soup", "replace", ledger, "--old", "b.safetensors", "--new", "c.safetensors")
            self.new("direct.soup", mode, "a.safetensors", "c.safetensors=2")
            self.assertEqual(self.path(ledger).read_bytes(), self.path("direct.soup").read_bytes())
            self.dashi("soup", "replace", ledger, "--old", "c.safetensors", "--new", "d.safetensors", "--weight=-0.5")
            self.assertEqual([m["weight"] for m in self.json("soup", "list", ledger)["members"]
                              if m["name"] == "d.safetensors"], ["-0.5"])
            self.path("direct.soup").unlink()

    def test_threads_and_memory_change_no_bit(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors=0.1", "c.safetensors")
            self.assertEqual(len({self.published(ledger, "out.safetensors", *options) for options in (
                [], ["--threads", "1"], ["--threads", "7"], ["--mem", "3MB", "--threads", "1"])}), 1)

    def test_ledger_and_members_may_move_together(self):
        self.new("s.soup", "recompute", "a.safetensors", "b.safetensors")
        soup = self.published("s.soup")
        os.mkdir(self.path("moved"))
        for name in ("s.soup", "a.safetensors", "b.safetensors"):
            shutil.move(self.path(name), self.path("moved"))
        self.assertEqual(self.published("moved/s.soup"), soup)

    def test_removal_by_digest(self):
        self.new("s.soup", "recompute", "a.safetensors", "b.safetensors")
        digest = self.json("inspect", "--digest", "b.safetensors")["digest"]
        self.assertIn(digest, [m["digest"] for m in self.json("soup", "list", "s.soup")["members"]])
        self.path("b.safetensors").unlink()
        self.dashi("soup", "remove", "s.soup", digest[:8])
        self.assertEqual([m["name"] for m in self.json("soup", "list", "s.soup")["members"]], ["a.safetensors"])

    def test_renamed_tensors(self):
        tensors, metadata = read_safetensors(self.path("b.safetensors"))
        tensors["positions"] = tensors.pop("pos_embed")
        write_safetensors(self.path("r.safetensors"), tensors, metadata)
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors")
            plain = read_safetensors(self.published(ledger) and self.path("out.safetensors"))[0]
            self.dashi("soup", "replace", ledger, "--old", "b.safetensors", "--new", "r.safetensors",
                       "--rename", "positions=pos_embed")
            self.published(ledger)
            self.assertEqual(read_safetensors(self.path("out.safetensors"))[0], plain)


class Answers(Soups):
    def test_list(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors=0.5", "b.safetensors")
            listed = self.json("soup", "list", ledger)
            self.assertEqual((listed["verb"], listed["mode"]), ("soup list", mode))
            self.assertEqual({m["name"]: m["weight"] for m in listed["members"]},
                             {"a.safetensors": "0.5", "b.safetensors": "1"})
            text = self.dashi("soup", "list", ledger)
            for member in listed["members"]:
                self.assertIn(member["digest"][:12], text)

    def test_verify(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors")
            self.published(ledger)
            self.dashi("soup", "verify", ledger)
            self.assertTrue(self.json("soup", "verify", ledger, "out.safetensors")["equal"])
            content = bytearray(self.path("out.safetensors").read_bytes())
            content[-1] ^= 1
            self.path("bad.safetensors").write_bytes(content)
            answer = self.json("soup", "verify", ledger, "bad.safetensors", status=1)
            self.assertFalse(answer["equal"])
            self.assertIn("element", answer["difference"]["place"])
            self.dashi("soup", "verify", ledger, "a.safetensors", status=1)

    def test_dry_run_writes_nothing(self):
        for mode, ledger in BOTH_MODES:
            before = self.contents()
            self.dashi("--dry-run", "soup", "new", ledger, "--mode", mode, "--member", "a.safetensors")
            self.assertEqual(self.contents(), before)
            self.new(ledger, mode, "a.safetensors", "b.safetensors")
            before = self.contents()
            plan = self.json("--dry-run", "soup", "add", ledger, "c.safetensors")
            self.assertEqual((plan["entering"], plan["leaving"], plan["dry_run"]), (["c.safetensors"], [], True))
            self.assertGreater(plan["bytes_read"], 0)
            plan = self.json("--dry-run", "soup", "remove", ledger, "b.safetensors")
            self.assertEqual((plan["entering"], plan["leaving"]), ([], ["b.safetensors"]))
            self.dashi("--dry-run", "soup", "replace", ledger, "--old", "a.safetensors", "--new", "c.safetensors")
            self.assertIn("out.safetensors", self.dashi("--dry-run", "soup", "publish", ledger, "out.safetensors"))
            plan = self.json("--dry-run", "soup", "publish", ledger, "out.safetensors")["plan"]
            for key in ("bytes_read", "bytes_written", "peak_memory", "threads", "chunks", "estimated_seconds",
                        "estimated_rate"):
                self.assertGreater(plan[key], 0, key)
            text = self.dashi("--dry-run", "soup", "publish", ledger, "out.safetensors")
            for row in ("read", "write", r"work +\d+ chunks? with \d+ thread", "memory", "time +about"):
                self.assertRegex(text, rf"(?m)^  {row}")
            self.dashi("--dry-run", "soup", "verify", ledger)
            self.assertEqual(self.contents(), before)


class Refusals(Soups):
    def test_of_new_and_add(self):
        make_member(self.path("twin.safetensors"), 0, metadata={"another": "header"})
        make_member(self.path("shape.safetensors"), 5, shapes=SHAPES | {"pos_embed": [1, 4, 3]})
        make_member(self.path("fewer.safetensors"), 5, shapes={"pos_embed": [1, 3, 4]})
        make_member(self.path("f64.safetensors"), 5, "F64")
        ids = read_safetensors(self.path("b.safetensors"))[0]
        ids["position_ids"] = ("I64", [3], [0, 2, 1])
        write_safetensors(self.path("ids.safetensors"), ids)
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors")
            for file, status, code in (("none.safetensors", 66, "no-such-file"), ("twin.safetensors", 65, "duplicate-member"),
                                       ("shape.safetensors", 65, "shape-mismatch"),
                                       ("fewer.safetensors", 65, "missing-tensor"), ("", 2, "empty-path")):
                self.refused("soup", "add", ledger, file, status=status, code=code)
            for weight in ("0.123456789", "x", "nan", "1e3", ""):
                self.refused("soup", "add", ledger, "b.safetensors", "--weight", weight, status=2, code="bad-weight")
                self.refused("soup", "new", "n.soup", "--member", f"b.safetensors={weight}", status=2, code="bad-weight")
            self.refused("soup", "new", ledger, status=73, code="cannot-create")
            self.dashi("soup", "add", ledger, "twin.safetensors", "--allow-duplicate")
        self.refused("soup", "add", "accumulate.soup", "f64.safetensors", status=2, code="f64-member")
        self.refused("soup", "add", "accumulate.soup", "ids.safetensors", status=65, code="copied-tensor-differs")
        self.refused("soup", "add", "none.soup", "b.safetensors", status=66, code="no-such-file")
        self.refused("soup", "add", "a.safetensors", "b.safetensors", status=65, code="not-a-ledger")

    def test_of_remove_and_replace(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors")
            self.refused("soup", "remove", ledger, "c.safetensors", status=65, code="no-such-member")
            self.refused("soup", "remove", ledger, "0123456789", status=65, code="no-such-member")
            self.refused("soup", "replace", ledger, "--old", "a.safetensors", "--new", "b.safetensors",
                         status=65, code="duplicate-member")
        self.path("b.safetensors").unlink()
        self.refused("soup", "remove", "accumulate.soup", "b.safetensors", status=66, code="no-such-file")
        make_member(self.path("b.safetensors"), 99)
        for mode, ledger in BOTH_MODES:
            self.refused("soup", "remove", ledger, "b.safetensors", status=65, code="digest-mismatch")

    def test_of_publish(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode)
            self.refused("soup", "publish", ledger, "o.safetensors", status=2, code="no-members")
            for member, weight in (("a", "1"), ("b", "-1")):
                self.dashi("soup", "add", ledger, f"{member}.safetensors", "--weight", weight)
            self.refused("soup", "publish", ledger, "o.safetensors", status=2, code="bad-weights")
            self.dashi("soup", "add", ledger, "c.safetensors")
            self.refused("soup", "publish", ledger, "a.safetensors", status=73, code="cannot-create")
            if mode == "recompute":
                self.refused("soup", "publish", ledger, "a.safetensors", "--force", status=73, code="cannot-create")
            self.refused("soup", "publish", ledger, ledger, "--force", status=73, code="cannot-create")
            self.refused("soup", "publish", ledger, "o.safetensors", "--dtype", "i8", status=2, code="bad-dtype")
            self.refused("soup", "publish", ledger, "nowhere/o.safetensors", status=73, code="cannot-create")
            make_member(self.path("f.safetensors"), 5, "F32")
            self.dashi("soup", "add", ledger, "f.safetensors")
            self.refused("soup", "publish", ledger, "o.safetensors", status=65, code="dtype-mismatch")

    def test_of_numbers(self):
        shape = {"w": ("F16", [2], [float("inf"), 1])}
        write_safetensors(self.path("inf.safetensors"), shape)
        write_safetensors(self.path("big.safetensors"), {"w": ("F16", [2], [65504, 1])})
        write_safetensors(self.path("small.safetensors"), {"w": ("F16", [2], [-65504, 1])})
        self.new("r.soup", "recompute", "big.safetensors=2", "small.safetensors=-1")
        self.refused("soup", "publish", "r.soup", "o.safetensors", status=65, code="overflow")
        self.published("r.soup", "o.safetensors", "--saturate")
        self.assertEqual(read_safetensors(self.path("o.safetensors"))[0]["w"][2], b"\xff\x7b\x00\x3c")
        done = self.run_dashi("soup", "publish", "r.soup", "o.safetensors", "--force", "--nonfinite=propagate")
        self.assertEqual((done.returncode, read_safetensors(self.path("o.safetensors"))[0]["w"][2]),
                         (0, b"\x00\x7c\x00\x3c"))
        self.assertIn(b"warning", done.stderr)
        self.refused("soup", "new", "i.soup", "--mode", "accumulate", "--member", "inf.safetensors",
                     status=65, code="nonfinite")

    def test_of_damaged_ledgers(self):
        for mode, ledger in BOTH_MODES:
            self.new(ledger, mode, "a.safetensors", "b.safetensors")
            content = self.path(ledger).read_bytes()
            for at in (9, content.index(b"members") + 3, content.index(b"weight") + 12):
                damaged = bytearray(content)
                damaged[at] ^= 1
                self.path("bad.soup").write_bytes(damaged)
                done = self.run_dashi("soup", "list", "bad.soup")
                self.assertEqual((done.returncode, done.stderr.count(b"\n")), (65, 1), done.stderr)
            self.path("bad.soup").write_bytes(content[:-1])
            done = self.run_dashi("soup", "verify", "bad.soup")
            self.assertEqual((done.returncode, done.stderr.count(b"\n")), (65, 1), done.stderr)

    def test_of_two_changes_at_once(self):
        self.new("s.soup", "recompute", "a.safetensors")
        command = ["soup", "add", "s.soup", "--weight"]
        names = ("b.safetensors", "c.safetensors", "d.safetensors")
        running = [subprocess.Popen([self.program, *command, "1", name], cwd=self.folder, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE) for name in names]
        errors = [process.communicate(timeout=60)[1] for process in running]
        for process, error in zip(running, errors):
            self.assertTrue(process.returncode == 0 or (process.returncode == 73 and b"[ledger-busy]" in error), error)
        added = [name for process, name in zip(running, names) if process.returncode == 0]
        self.assertEqual(sorted(m["name"] for m in self.json("soup", "list", "s.soup")["members"]),
                         ["a.safetensors", *added])

    def test_of_half_a_command(self):
        self.refused("soup", status=2, code="usage")
        self.refused("soup", "frob", status=2, code="usage")
        self.refused("soup", "new", status=2, code="usage")
        self.refused("soup", "new", "x.soup", "--mode", "x", status=2, code="usage")
        self.refused("soup", "replace", "x.soup", "--old", "a.safetensors", status=2, code="usage")


if __name__ == "__main__":
    unittest.main()
