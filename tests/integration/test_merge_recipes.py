# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`dashi merge --recipe` and `--on-missing`."""

import json
import struct

from program_case import ProgramCase
from safetensors_files import read_safetensors, write_safetensors


class MergeCase(ProgramCase):
    """Models a and b of two scalars each that both have, and one that each has alone; a base of all."""

    def setUp(self):
        super().setUp()
        self.write("a", x=1, mlp=8, only_a=4)
        self.write("b", x=2, mlp=16, only_b=32)
        self.write("base", x=64, mlp=64, only_a=64, only_b=128)

    def write(self, name, **tensors):
        write_safetensors(self.path(name), {key: ("F32", [], [value]) for key, value in tensors.items()})

    def values(self, name="out") -> dict:
        return {key: struct.unpack("<f", content)[0] for key, (_, _, content) in
                read_safetensors(self.path(name))[0].items()}

    def made_of(self, name="out") -> dict:
        return json.loads(read_safetensors(self.path(name))[1]["dashi.recipe"])

    def recipe(self, text, **more):
        self.path("r.yaml").write_text(text)
        return ("merge", "--recipe", "r.yaml", "--out", "out", "--force",
                *(option for key, value in more.items() for option in (f"--{key.replace('_', '-')}", value)))


class OnMissing(MergeCase):
    MODELS = ("merge", "--method", "linear", "--model", "a=3", "--model", "b=1", "--out", "out", "--force")

    def test_error_is_the_default(self):
        message = self.refused(*self.MODELS, status=65, code="missing-tensor")
        self.assertIn("--on-missing", message)

    def test_skip(self):
        self.dashi(*self.MODELS, "--on-missing", "skip")
        self.assertEqual(self.values(), {"x": 1.25, "mlp": 10, "only_a": 4, "only_b": 32})
        self.assertEqual(self.made_of()["on_missing"], "skip")

    def test_zero(self):
        self.dashi(*self.MODELS, "--on-missing", "zero")
        self.assertEqual(self.values(), {"x": 1.25, "mlp": 10, "only_a": 3, "only_b": 8})

    def test_keep_base(self):
        self.dashi(*self.MODELS, "--on-missing", "keep-base", "--base", "base")
        self.assertEqual(self.values(), {"x": 1.25, "mlp": 10, "only_a": 19, "only_b": 104})
        self.assertEqual(self.made_of()["base"]["name"], "base")

    def test_greedy_skips_too(self):
        self.path("score").write_text("#!/bin/sh\necho 1\n")
        self.path("score").chmod(0o755)
        self.dashi("merge", "--method", "greedy", "--model", "a", "--model", "b", "--out", "out", "--score", "./score {}",
                   "--on-missing", "skip")
        self.assertEqual(self.values(), {"x": 1.5, "mlp": 12, "only_a": 4, "only_b": 32})

    def test_the_plan_says_what_is_missing(self):
        text = self.dashi(*self.MODELS, "--on-missing", "skip", "--dry-run")
        self.assertIn("2 missing in some members: those members take no part in them", text)
        plan = self.json(*self.MODELS, "--on-missing=skip", "--dry-run")
        self.assertEqual(plan["missing"], {"tensors": 2, "policy": "skip"})
        self.assertEqual({t["name"]: t["from"] for t in plan["tensors"]}["only_a"], ["F32", None])

    def test_nothing_missing_leaves_no_trace(self):
        self.write("c", x=5, mlp=6, only_a=7)
        models = ("merge", "--method", "uniform", "--model", "a", "--model", "c", "--force", "--out")
        self.dashi(*models, "plain")
        for policy in (["skip"], ["zero"], ["keep-base", "--base", "base"]):
            self.dashi(*models, "out", "--on-missing", *policy)
            self.assertEqual(self.path("plain").read_bytes() == self.path("out").read_bytes(), policy[0] != "keep-base")
        self.assertEqual(self.values()["only_b"], 128)  # the base has it, and no model

    def test_refusals(self):
        self.refused(*self.MODELS, "--on-missing", "keep-base", status=2, code="base")
        self.refused(*self.MODELS, "--base", "base", status=2, code="base")
        self.refused(*self.MODELS, "--on-missing", "guess", status=2, code="usage")
        self.write("poor", x=1, mlp=1)
        message = self.refused(*self.MODELS, "--on-missing", "keep-base", "--base", "poor", status=65,
                               code="missing-tensor")
        self.assertIn("tensor 'only_a'", message)
        weights = ("merge", "--method", "linear", "--model", "a=1", "--model", "b=-0.5", "--out", "out")
        message = self.refused(*weights, "--on-missing", "skip", status=2, code="bad-weights")
        self.assertIn("'only_b'", message)


class Recipes(MergeCase):
    LINEAR = """\
merge_method: linear
models:
  - model: a
    parameters:
      weight: 0.75
  - model: b
    parameters:
      weight: 0.25
dtype: float32
on_missing: skip
"""

    def test_linear(self):
        self.dashi(*self.recipe(self.LINEAR))
        self.assertEqual(self.values(), {"x": 1.25, "mlp": 10, "only_a": 4, "only_b": 32})

    def test_like_the_options(self):
        self.dashi(*self.recipe(self.LINEAR.replace("dtype: float32\n", "")))
        by_recipe = self.path("out").read_bytes()
        self.dashi("merge", "--method", "linear", "--model", "b=0.25", "--model", "a=0.75", "--on-missing=skip", "--out",
                   "out", "--force")
        self.assertEqual(self.path("out").read_bytes(), by_recipe)

    def test_weights_by_filter(self):
        self.dashi(*self.recipe("""\
merge_method: linear
models:
  - model: a
    parameters:
      weight:
        - {filter: mlp, value: 3}
        - value: 1
  - {model: b}
parameters: {weight: 1, normalize: true}
on_missing: skip
out_dtype: bfloat16
"""))
        tensors, metadata = read_safetensors(self.path("out"))
        self.assertEqual({key: dtype for key, (dtype, _, _) in tensors.items()}, dict.fromkeys(tensors, "BF16"))
        self.assertEqual({key: content[::-1].hex() for key, (_, _, content) in tensors.items()},
                         {"x": "3fc0", "mlp": "4120", "only_a": "4080", "only_b": "4200"})
        members = json.loads(metadata["dashi.recipe"])["members"]
        self.assertEqual({m["name"]: m.get("weights") for m in members},
                         {"a": [{"filter": "mlp", "weight": "3"}], "b": None})

    def test_options_overrule(self):
        self.dashi(*self.recipe(self.LINEAR, on_missing="keep-base", base="base", dtype="f64"))
        tensors = read_safetensors(self.path("out"))[0]
        self.assertEqual(tensors["x"][0], "F64")
        self.dashi(*self.recipe(self.LINEAR + "base_model: base\n", on_missing="keep-base"))
        self.assertEqual(self.values(), {"x": 1.25, "mlp": 10, "only_a": 19, "only_b": 104})
        self.refused(*self.recipe(self.LINEAR, on_missing="error"), status=65, code="missing-tensor")
        keep = self.LINEAR.replace("skip", "keep-base") + "base_model: base\n"
        self.dashi(*self.recipe(keep, on_missing="skip"))
        self.assertEqual(self.values()["only_a"], 4)
        self.dashi(*self.recipe(self.LINEAR.replace("float32", "float16"), dtype="same"))
        self.assertEqual(read_safetensors(self.path("out"))[0]["x"][0], "F32")

    def test_what_a_model_does_not_say_the_recipe_does(self):
        self.dashi(*self.recipe("""\
merge_method: linear
models:
  - model: a
    parameters: {weight: [{filter: mlp, value: 3}]}
  - {model: b}
parameters: {weight: [{filter: x, value: 2}, {value: 1}]}
on_missing: skip
"""))
        self.assertEqual(self.values(), {"x": 1.5, "mlp": 10, "only_a": 4, "only_b": 32})

    def test_a_filter_that_fits_nothing_is_told(self):
        recipe = self.recipe(self.LINEAR.replace("0.75", "[{filter: mpl, value: 1}, {value: 0.75}]"))
        self.assertIn("no tensor takes the weight of the filter 'mpl'", " ".join(self.json(*recipe)["warnings"]))
        text = self.dashi(*self.recipe(self.LINEAR.replace("0.75", "[{filter: mlp, value: 1}, {value: 0.75}]")),
                          "--dry-run")
        self.assertIn("weight 1 in 1 tensors with 'mlp' in the name", text)

    def test_saturate_where_a_tensor_is_missing(self):
        self.write("big", x=1, mlp=1, only_big=1e6)
        self.dashi("merge", "--method", "linear", "--model", "a", "--model", "big", "--out", "out", "--dtype=f16",
                   "--saturate", "--on-missing=skip")
        self.assertEqual(read_safetensors(self.path("out"))[0]["only_big"][2], b"\xff\x7b")

    def test_refusals(self):
        def refuse(text, *expected, code="config-value"):
            message = self.refused(*self.recipe(text), status=78, code=code)
            for part in ("r.yaml: ", *expected):
                self.assertIn(part, message)

        linear = self.LINEAR
        refuse(linear.replace("linear", "slerp"), "line 1", "linear, uniform or greedy")
        refuse(linear.replace("merge_method: linear\n", ""), "merge_method is missing")
        refuse(linear.replace("0.75", "1e-3"), "line 5", "exponent", "decimal")
        refuse(linear.replace("0.75", "[0, 0.5, 1]"), "line 5", "a list of numbers", "one decimal number")
        refuse(linear.replace("0.75", "[{filter: mlp, value: 1}]"), "line 5", "entry for all tensors")
        refuse(linear.replace("0.75", "[{value: 1}, {filter: mlp, value: 1}]"), "line 5", "as the last")
        refuse(linear.replace("0.75", "[{filter: mlp}]"), "value is missing")
        refuse(linear + "parameters: {normalize: false}\n", "line 11", "a mean divides")
        refuse(linear.replace("float32", "int8"), "line 9", "f32")
        refuse(linear.replace("linear", "uniform"), "models have weights")
        refuse(linear.replace("  - model: b", "  - modal: b"), "models[1].model is missing")
        refuse(linear + "slices: []\n", "'slices'", code="unknown-key")
        refuse(linear + "tokenizer_source: union\n", "'tokenizer_source'", code="unknown-key")
        refuse("merge_method: linear\n", "models is missing")
        refuse("[1, 2]\n", code="config-type")
        self.refused("merge", "--out", "out", status=2, code="usage")
        self.refused("merge", "--out", "out", "--method", "linear", status=2, code="usage")
        self.refused(*self.recipe(linear), "--model", "a", status=2, code="usage")
        self.refused("merge", "--recipe", "none.yaml", "--out", "out", status=66, code="no-such-file")
        self.refused("merge", "--recipe", "", "--out", "out", status=2, code="empty-path")
        refuse(linear + "base_model: base\n", "line 11", "on_missing: keep-base")
        refuse(linear.replace("0.75", "[{value: [0, 1]}]"), "line 5", "one decimal number")
