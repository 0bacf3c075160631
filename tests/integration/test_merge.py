# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`dashi merge`: linear, uniform, and greedy with a scoring command."""

import itertools
import json
import shutil
import stat
import time
import unittest

from program_case import ProgramCase
from safetensors_files import read_safetensors, write_safetensors
from soup_files import SHAPES, exact_mean, make_member


def contents_of(path) -> dict:
    return {name: content for name, (_, _, content) in read_safetensors(path)[0].items()}


class Merges(ProgramCase):
    def setUp(self):
        super().setUp()
        self.members = [make_member(self.path(f"{name}.safetensors"), seed) for seed, name in enumerate("abc")]

    def merge(self, *models, method="linear", out="out.safetensors", options=(), run=None):
        models = [option for model in models for option in ("--model", model)]
        return (run or self.dashi)("merge", "--method", method, *models, "--out", out, *options)

    def refuse(self, *models, status, code, **settings):
        return self.merge(*models, run=lambda *a: self.refused(*a, status=status, code=code), **settings)


class Means(Merges):
    def test_a_mean_of_models_runs_and_one_of_adapters_is_an_adapter(self):
        self.path("base.yaml").write_text(
            "output: base\nsteps: 1\nbatch: 4\nema: 0\nmodel: {depth: 1, width: 24, heads: 3, patch: 4}\n"
            "data: {kind: procedural, size: 8, count: 8}\n")
        self.dashi("train", "base.yaml", "--quiet")
        self.dashi("convert", "base/model.safetensors", "d.safetensors", "--to", "diffusers", "--quiet")
        self.dashi("merge", "--method", "linear", "--allow-duplicate", "--model", "d.safetensors", "--model", "d.safetensors",
                   "--out", "mean.safetensors", "--quiet")
        drawn = self.json("sample", "mean.safetensors", "x.png", "--steps", "1", "--count", "1")
        self.assertEqual(drawn["warnings"], [])  # such as a guess of the heads
        for method in ("{method: kind, learngene: 12, tailors: 12, groups: 2, group_of_class: [0, 0, 1, 1, 1]}",
                       "{method: fine, rank: 20}"):
            self.path("f.yaml").write_text(self.path("base.yaml").read_text().replace("output: base", "output: factors")
                                           + f"factorised: {method}\n")
            shutil.rmtree(self.path("factors"), ignore_errors=True)
            self.dashi("train", "f.yaml", "--quiet")
            one = "factors/model.safetensors"
            self.dashi("merge", "--method", "linear", "--allow-duplicate", "--model", one, "--model", one, "--out",
                       "f.safetensors", "--force", "--quiet")
            for model, out in ((one, "one.safetensors"), ("f.safetensors", "two.safetensors")):
                self.dashi("sample", model, out, "--steps", "1", "--count", "2", "--force", "--quiet")
            self.dashi("diff", "one.safetensors", "two.safetensors")  # status 1 when they differ
        self.path("lora.yaml").write_text(self.path("base.yaml").read_text().replace("output: base", "output: run").replace(
            "{depth: 1, width: 24, heads: 3, patch: 4}", "{from: base/model.safetensors}") + "adapter: {kind: krona, factors: [2, 2]}\n")
        self.dashi("train", "lora.yaml", "--quiet")
        one = "run/adapter/adapter_model.safetensors"
        self.dashi("merge", "--method", "linear", "--allow-duplicate", "--model", one, "--model", one, "--out", "means.safetensors",
                   "--quiet")
        found = self.json("inspect", "means.safetensors")["adapter"]
        self.assertEqual(found["base_digest"], self.json("inspect", one)["adapter"]["base_digest"])

    def test_linear(self):
        for weights in (("0.3", "0.7"), ("1", "-0.5"), ("0.00000001", "1")):
            self.merge(*(f"{n}.safetensors={w}" for n, w in zip("ab", weights)), options=["--force"])
            self.assertEqual(contents_of(self.path("out.safetensors")), exact_mean(self.members[:2], weights, "F16"))

    def test_order_changes_no_byte(self):
        models = [f"{n}.safetensors={w}" for n, w in zip("abc", ("0.1", "2", "-0.25"))]
        written = set()
        for order in itertools.permutations(models):
            self.merge(*order, options=["--force"])
            written.add(self.path("out.safetensors").read_bytes())
        self.assertEqual(len(written), 1)

    def test_uniform(self):
        self.merge("a.safetensors", "b.safetensors", "c.safetensors", method="uniform")
        self.assertEqual(contents_of(self.path("out.safetensors")), exact_mean(self.members, (1, 1, 1), "F16"))
        self.refuse("a.safetensors=2", method="uniform", status=2, code="bad-weight")

    def test_mixed_dtypes(self):
        make_member(self.path("f.safetensors"), 7, "F32")
        make_member(self.path("bf.safetensors"), 8, "BF16")
        names = ("a.safetensors", "f.safetensors", "bf.safetensors")
        self.refuse(*names, status=65, code="dtype-mismatch")
        self.refuse(*names, options=["--dtype", "bf16", "--strict-dtype"], status=65, code="dtype-mismatch")
        for dtype in ("F16", "BF16", "F32", "F64"):
            self.merge(*names, options=["--dtype", dtype.lower(), "--force"])
            self.assertEqual(contents_of(self.path("out.safetensors")),
                             exact_mean([self.path(n) for n in names], (1, 1, 1), dtype))

    def test_equals_sign_in_a_name(self):
        self.path("a.safetensors").rename(self.path("a=b.safetensors"))
        self.refuse("a=b.safetensors", status=2, code="bad-weight")
        self.merge("a=b.safetensors=1", "b.safetensors=1")

    def test_json(self):
        report = self.merge("a.safetensors=0.5", "b.safetensors", run=self.json)
        self.assertEqual((report["verb"], report["method"], report["output"]), ("merge", "linear", "out.safetensors"))
        self.assertEqual([m["weight"] for m in report["members"]], ["0.5", "1"])
        self.assertEqual(report["digests"], [self.json("inspect", "--digest", n)["digest_xxh3"]
                                             for n in ("a.safetensors", "b.safetensors")])
        self.assertRegex(report["digests"][0], r"\Axxh3-128:[0-9a-f]{32}\Z")
        self.json("verify", "a.safetensors", "--digest", report["digests"][0])
        self.json("verify", "b.safetensors", "--digest", report["digests"][0], status=1)
        self.assertEqual(report["counts"], {"nan": 0, "infinite": 0, "overflowed": 0})
        self.assertEqual(report["warnings"], [])
        recipe = json.loads(read_safetensors(self.path("out.safetensors"))[1]["dashi.recipe"])
        self.assertEqual(sorted(m["digest"] for m in recipe["members"]), sorted(report["digests"]))

    def test_without_digests(self):
        self.merge("a.safetensors", "b.safetensors")
        self.merge("a.safetensors", "b.safetensors", out="fast.safetensors", options=["--no-digest"])
        (ours, metadata), (theirs, _) = (read_safetensors(self.path(n)) for n in ("fast.safetensors", "out.safetensors"))
        self.assertEqual(ours, theirs)
        self.assertEqual(json.loads(metadata["dashi.recipe"])["members"],
                         [{"name": "a.safetensors", "weight": "1"}, {"name": "b.safetensors", "weight": "1"}])

    def test_dry_run_writes_nothing(self):
        before = self.contents()
        plan = self.merge("a.safetensors=0.5", "b.safetensors", options=["--dry-run", "--dtype=f32"], run=self.json)
        self.assertEqual({t["name"]: (t["from"], t["to"], t["averaged"]) for t in plan["tensors"]},
                         {name: (["F16", "F16"], "F32", True) for name in SHAPES} |
                         {"position_ids": (["I64", "I64"], "I64", False)})
        self.assertEqual(plan["bytes_read"], 2 * self.json("inspect", "a.safetensors")["bytes"])
        self.assertGreaterEqual(plan["chunks"], 1)
        self.assertGreaterEqual(plan["threads"], 1)
        self.assertGreater(plan["peak_memory"], 0)
        self.assertAlmostEqual(plan["estimated_seconds"] * plan["estimated_rate"],
                               plan["bytes_read"] + plan["bytes_written"], delta=1)
        text = self.merge("a.safetensors", "b.safetensors", options=["--dry-run"])
        for row in ("matches", "read", "write", r"work +1 chunk with \d+ thread", "memory",
                    r"time +about \S+ s, at 1.00 GB/s, the rate assumed"):
            self.assertRegex(text, rf"(?m)^  {row}")
        write_safetensors(self.path("large.safetensors"), {"x": ("F16", [1 << 21], bytes(1 << 22))})
        large = self.merge("large.safetensors", options=["--dry-run"], out="x")
        self.assertRegex(large, r"(?m)^  time .* at which 4.19 MB of an input were read just now$")
        self.path("large.safetensors").unlink()
        self.assertEqual(self.contents(), before)
        self.refuse("a.safetensors", out="b.safetensors", options=["--dry-run"], status=73, code="cannot-create")

    def test_refusals(self):
        make_member(self.path("shape.safetensors"), 5, shapes=SHAPES | {"pos_embed": [12]})
        make_member(self.path("fewer.safetensors"), 5, shapes={"pos_embed": [1, 3, 4]})
        make_member(self.path("twin.safetensors"), 0, metadata={"x": "y"})
        write_safetensors(self.path("nan.safetensors"), {
            name: (dtype, shape, b"\x01\x7e" + data[2:] if name == "pos_embed" else data)
            for name, (dtype, shape, data) in read_safetensors(self.path("b.safetensors"))[0].items()})
        self.refuse("a.safetensors", "shape.safetensors", status=65, code="shape-mismatch")
        self.refuse("a.safetensors", "fewer.safetensors", status=65, code="missing-tensor")
        self.refuse("a.safetensors", "twin.safetensors", status=65, code="duplicate-member")
        self.merge("a.safetensors", "twin.safetensors", out="twice", options=["--allow-duplicate"])
        message = self.refuse("a.safetensors", "nan.safetensors", status=65, code="nonfinite")
        self.assertIn("nan.safetensors: tensor 'pos_embed' element 0", message)
        self.refuse("a.safetensors", "none.safetensors", status=66, code="no-such-file")
        self.refuse("a.safetensors=1", "b.safetensors=-1", status=2, code="bad-weights")
        self.refuse("a.safetensors", out="a.safetensors", options=["--force"], status=73, code="cannot-create")
        self.refuse("a.safetensors", out="none/x", status=73, code="cannot-create")
        self.refuse("a.safetensors", out="", status=2, code="empty-path")
        self.refuse("a.safetensors", options=["--mem", "100B"], status=2, code="memory-budget")
        self.refuse("a.safetensors", options=["--device", "cuda"], status=69, code="no-such-device")
        self.refuse(status=2, code="usage")
        self.refuse("a.safetensors", method="slurp", status=2, code="usage")

    def test_a_hundred_thousand_arguments(self):
        read_only = ["merge", "--method", "uniform", "--out", "o"] + ["--model", "x"] * 50_000
        self.refused(*read_only, status=66, code="no-such-file")


class Greedy(Merges):
    """The score of a checkpoint is minus the distance of its alpha from 10."""

    SCORE = """#!/usr/bin/env python3
import json, struct, sys
content = open(sys.argv[-1], "rb").read()
(length,) = struct.unpack("<Q", content[:8])
begin, end = json.loads(content[8:8 + length])["alpha"]["data_offsets"]
print(-abs(struct.unpack("<f", content[8 + length + begin:8 + length + end])[0] - 10))
"""

    def setUp(self):
        super().setUp()
        for name, alpha in zip("wxyz", (8, 13, 9, 40)):
            write_safetensors(self.path(f"{name}.safetensors"), {"alpha": ("F32", [], [alpha])})
        script = self.path("score.py")
        script.write_text(self.SCORE)
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def greedy(self, *models, score="./score.py {}", **settings):
        return self.merge(*models, method="greedy", options=["--score", score], **settings)

    def test_keeps_what_raises_the_score(self):
        # y (9) is best, w (8) lowers it, x (13) gives 11 which is as good as 9, z (40) ruins it.
        report = self.greedy(*(f"{n}.safetensors" for n in "wxyz"), run=self.json)
        self.assertEqual({d["name"]: d["kept"] for d in report["decisions"]},
                         {"y.safetensors": True, "w.safetensors": False, "x.safetensors": True, "z.safetensors": False})
        self.assertEqual([d["own_score"] for d in report["decisions"]], [-1, -2, -3, -30])
        self.assertEqual(contents_of(self.path("out.safetensors")),
                         exact_mean([self.path("x.safetensors"), self.path("y.safetensors")], (1, 1), "F32"))
        recipe = json.loads(read_safetensors(self.path("out.safetensors"))[1]["dashi.recipe"])
        self.assertEqual((recipe["method"], len(recipe["members"])), ("greedy", 2))
        self.assertEqual([n for n in self.contents() if n.startswith(".")], [])

    def test_words_are_split_as_a_shell_does_but_no_shell_runs(self):
        for number, score in enumerate(("'./score.py' {}", "./score.py  'two words' \"$HOME;\" {}", "./sc\\ore.py ''\t{}",
                                        "env -i PATH=/usr/bin:/bin:/usr/local/bin sh -c './score.py \"$0\"' {}")):
            with self.subTest(score=score):
                self.greedy("w.safetensors", "y.safetensors", score=score, out=f"{number}.safetensors")
        report = self.greedy("w.safetensors", score="sh -c 'echo +1.5e0' {}", out="plus.safetensors", run=self.json)
        self.assertEqual(report["decisions"][0]["own_score"], 1.5)
        self.greedy("w.safetensors", score="./score.py {} ; touch oops {}", out="semicolon.safetensors")
        self.assertFalse(self.path("oops").exists())

    def test_bad_commands(self):
        for score in ("", "./score.py", "'open {}", "\"open {}", "x {} \\"):
            with self.subTest(score=score):
                self.refuse("w.safetensors", method="greedy", options=["--score", score], status=2,
                            code="bad-score-command")
        self.refuse("w.safetensors", method="greedy", status=2, code="bad-score-command")
        self.refuse("w.safetensors", options=["--score", "x {}"], status=2, code="bad-score-command")
        self.refuse("w.safetensors=2", method="greedy", options=["--score", "x {}"], status=2, code="bad-weight")

    def test_failing_commands(self):
        for score in ("false {}", "no-such-program {}", "true {}", "echo one {}", "sh -c 'echo +-1' {}",
                      "sh -c 'echo ++1' {}", "sh -c 'echo +' {}", "echo 1 2 {}", "sh -c 'kill -9 $$' {}",
                      "sh -c 'echo 1; exit 3' {}", "sh -c 'yes | head -100000' {}", "sh -c 'echo nan' {}",
                      "sh -c 'echo -inf' {}", "sh -c 'echo Infinity' {}", "sh -c 'echo 1e999' {}"):
            with self.subTest(score=score):
                self.refuse("w.safetensors", "x.safetensors", method="greedy", options=["--score", score], status=70,
                            code="score-failed")

    COMPLAINS = r'''sh -c 'echo first >&2; printf "half \r\n \nlast words\n \n" >&2; exit 3' {}'''

    def failing(self, *options, score) -> tuple:
        done = self.run_dashi(*options, "merge", "--method", "greedy", "--model", "w.safetensors", "--out", "o",
                              "--score", score)
        self.assertEqual((done.returncode, done.stdout), (70, b""))
        return done.stderr.decode().splitlines()

    def test_a_failing_command_is_named_with_its_last_words(self):
        lines = self.failing(score=self.COMPLAINS)
        self.assertEqual((lines[0], lines[-3]), ("first", "last words"))
        self.assertIn("score command 'sh -c 'echo first >&2;", lines[-1])
        self.assertIn("exit 3' {}': exit status 3 after 'last words' on its standard error", lines[-1])
        long = self.failing(score=r'''sh -c 'head -c 5000 /dev/zero | tr "\0" x >&2; false' {}''')
        self.assertLess(len(long[-1]), 1000)
        colour = self.failing(score=r'''sh -c 'printf "\033[31mred" >&2; false' {}''')
        self.assertEqual(len(colour), 2)
        self.assertIn(r"after '\x1b[31mred'", colour[-1])

    def test_the_commands_errors_do_not_mix_with_json(self):
        (line,) = self.failing("--json", score=self.COMPLAINS)
        error = json.loads(line)["error"]
        self.assertEqual((error["code"], error["status"]), ("score-failed", 70))
        self.assertEqual(error["found"], "exit status 3 after 'last words' on its standard error")
        report = self.greedy("w.safetensors", score="sh -c 'echo noise >&2; echo 1' {}", run=self.json)
        self.assertEqual(report["warnings"], [])

    def test_many_errors_and_orphans_do_not_block(self):
        flood = "sh -c 'yes error | head -c 1000000 >&2; echo 1; exec >&-; yes late | head -c 1000000 >&2' {}"
        self.greedy("w.safetensors", score=flood, run=self.json)
        began = time.monotonic()
        self.greedy("w.safetensors", score="sh -c 'sleep 40 >/dev/null & echo 1' {}", out="orphan", run=self.json)
        self.assertLess(time.monotonic() - began, 30)

    def test_misfits_are_refused_before_any_command_runs(self):
        self.refuse("w.safetensors", "a.safetensors", method="greedy", options=["--score", "touch oops {}"],
                    status=65, code="missing-tensor")


if __name__ == "__main__":
    unittest.main()
