# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`dashi demo`: what it claims is so, its report stands alone, and it does the same with real files."""

import hashlib
import html.parser
import unittest

from program_case import ProgramCase, shared_data
from safetensors_files import read_safetensors
from soup_files import make_member


class Report(html.parser.HTMLParser):
    VOID = {"meta", "br", "link", "img", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.outside = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.outside += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()


class Demo(ProgramCase):
    def expect_sound(self, story, folder, checks):
        self.assertGreaterEqual(len(story["checks"]), checks)
        self.assertTrue(all(check["identical"] for check in story["checks"]))
        digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in self.path(folder).iterdir()}
        for check in story["checks"]:
            self.assertIn(check["sha256"], digests)
        for one, other in (("others", "removed"), ("others", "backwards"), ("unlearned", "never_saw"), ("others", "from_sums")):
            files = [self.path(folder).joinpath(f"{name}.safetensors") for name in (one, other)]
            self.assertEqual(files[0].read_bytes(), files[1].read_bytes())
        self.assertGreater(story["read_ceiling"], 1e8)
        for rate in story["rates"]:
            self.assertGreater(rate["seconds"], 0)
        report = Report(self.path(story["report"]).read_text())
        self.assertEqual((report.open, report.outside), ([], []))
        self.assertIn("svg", report.tags)

    def test_embedded(self):
        story = self.json("demo", "--out", "story")
        self.assertEqual(story["members"], 5)
        self.expect_sound(story, "story", 6)
        tensors, _ = read_safetensors(self.path("story/member_1.safetensors"))
        self.assertEqual(tensors["blocks.0.attn.qkv.weight"][:2], ("BF16", [1152, 384]))
        subtraction = [m for m in story["floats"]["methods"] if "subtraction" in m["method"]]
        self.assertGreater(subtraction[0]["differing"], 1000)
        before = {path.name: path.read_bytes() for path in self.path("story").glob("member_*")}
        text = self.dashi("demo", "--out", "story")
        self.assertEqual(before, {path.name: path.read_bytes() for path in self.path("story").glob("member_*")})
        self.assertIn("identical", text)
        self.assertNotIn("DIFFERENT", text)

    def test_own_checkpoints(self):
        self.path("mine").mkdir()
        for seed in range(3):
            make_member(self.path(f"mine/{seed}.safetensors"), seed)
        before = self.contents()
        self.expect_sound(self.json("demo", "--data", "mine", "--out", "story"), "story", 6)
        self.assertEqual({name: content for name, content in self.contents().items() if not name.startswith("story")},
                         before)

    def test_real_checkpoints_of_two_dtypes(self):
        done = self.run_dashi("demo", "--data", shared_data("dit_shards"), "--out", "story")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"4 of 11 checkpoints have other tensors or dtypes", done.stderr)
        self.assertIn(b"7 checkpoints", done.stdout)

    def test_refusals_and_dry_run(self):
        self.path("few").mkdir()
        make_member(self.path("few/a.safetensors"), 1)
        make_member(self.path("few/b.safetensors"), 2, "F32")
        before = self.contents()
        self.dashi("demo", "--dry-run")
        self.assertEqual(self.contents(), before)
        for data, status, code in (("few", 2, "too-few-members"), ("none", 66, "cannot-open")):
            done = self.run_dashi("demo", "--data", data)
            self.assertEqual(done.returncode, status)
            self.assertIn(f"error[{code}]".encode(), done.stderr)
        self.assertEqual(self.run_dashi("demo", "--out", "few/a.safetensors/x").returncode, 73)


if __name__ == "__main__":
    unittest.main()
