# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi inspect and dashi convert --to for adapters: what is said, written and refused."""

import json
import os
import pathlib
import struct
import unittest

from program_case import ProgramCase, shared_data
from safetensors_files import read_safetensors, write_safetensors


def golden(*parts: str) -> pathlib.Path:
    path = pathlib.Path(os.environ.get("DASHI_SHARED", "../shared")).joinpath("golden", *parts)
    if not path.exists():
        raise unittest.SkipTest(f"no {path}")
    return path


def lora(stem: str, down: str, up: str, alpha=None) -> dict:
    tensors = {stem + down: ("F32", [2, 6], [i / 8 for i in range(12)]),
               stem + up: ("F32", [4, 2], [i / 4 for i in range(8)])}
    if alpha is not None:
        tensors[stem + ".alpha"] = ("F32", [], [alpha])
    return tensors


def kohya(stem: str = "lora_unet_blk_to_out_0", alpha=3.0) -> dict:
    return lora(stem, ".lora_down.weight", ".lora_up.weight", alpha)


class AdapterFiles(ProgramCase):
    def write(self, tensors, metadata=None, name="in.safetensors"):
        return write_safetensors(self.path(name), tensors, metadata)

    def base(self, shapes, name="base.safetensors"):
        """Zeros of fp32 of which the disk keeps nothing but the header."""
        header, end = {}, 0
        for key, shape in sorted(shapes.items()):
            begin, end = end, end + 4 * shape[0] * shape[1]
            header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        with open(self.path(name), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + end)

    def test_inspect_says_form_rank_scale_and_reason(self):
        self.write(kohya())
        text = self.dashi("inspect", "in.safetensors")
        self.assertIn("kohya adapter, LoRA", text)
        self.assertIn("lora_unet_blk_to_out_0: LoRA [4, 2] [2, 6]; rank 2, scale 1.5 (alpha 3 / rank 2)", text)
        found = self.json("inspect", "in.safetensors")["adapter"]
        self.assertEqual(found["modules"], [{"name": "lora_unet_blk_to_out_0", "form": "LoRA [4, 2] [2, 6]",
                                             "rank": 2, "scale": 1.5, "scale_reason": "alpha 3 / rank 2",
                                             "parameters": 20}])

    def test_inspect_shows_scales_that_are_refused(self):
        self.write(kohya(alpha=1e10))
        text = self.dashi("inspect", "in.safetensors")
        self.assertIn("not usable", text)
        self.assertIn("scale 5e+09", text)
        self.assertNotIn("not usable", self.dashi("inspect", "in.safetensors", "--any-scale"))
        self.write({**kohya(), "lora_unet_x.mystery": ("F32", [1], [0])})
        self.assertIn("lora_unet_x.mystery", self.json("inspect", "in.safetensors")["adapter"]["fault"])
        self.assertEqual(self.json("inspect", "in.safetensors", "--ignore", "mystery")["adapter"]["ignored"],
                         ["lora_unet_x.mystery"])

    def test_inspect_of_golden_and_real_files(self):
        for case, dialect, algorithm in (("lora_peft_rslora", "PEFT adapter", "LoRA"),
                                         ("lokr_lycoris_conv_tucker", "LyCORIS adapter", "LoKr"),
                                         ("lokr_kohya_unet", "kohya adapter", "LoKr")):
            with self.subTest(case=case):
                folder = golden(case)
                path = folder / "adapter" if (folder / "adapter").exists() else folder / "adapter.safetensors"
                found = self.json("inspect", path)
                self.assertEqual((found["dialect"]["name"], found["dialect"]["algorithm"]), (dialect, algorithm))
                self.assertNotIn("fault", found["adapter"])
                self.assertTrue(found["adapter"]["modules"])
        found = self.json("inspect", shared_data("loras", "lora_disney.safetensors"))["adapter"]
        self.assertEqual(len(found["modules"]), 192)
        self.assertEqual(found["tokens"], ["<s1>", "<s2>"])
        self.assertEqual({module["scale"] for module in found["modules"]}, {1.0})

    def test_kohya_to_peft_and_back_needs_the_base(self):
        self.write(kohya(), {"ss_network_dim": "2", "note": "kept"})
        self.base({"blk.to_out.0.weight": [4, 6]})
        message = self.refused("convert", "in.safetensors", "peft", "--to", "peft", status=2, code="names-need-base")
        self.assertIn("--base", message)
        said = self.dashi("convert", "in.safetensors", "peft", "--to", "peft", "--base", "base.safetensors")
        self.assertIn("1 modules in PEFT adapter from kohya adapter", said)
        tensors, metadata = read_safetensors(self.path("peft") / "adapter_model.safetensors")
        self.assertEqual(sorted(tensors), ["base_model.model.blk.to_out.0.lora_A.weight",
                                           "base_model.model.blk.to_out.0.lora_B.weight"])
        self.assertEqual(metadata, {"format": "pt", "note": "kept"})
        config = json.loads((self.path("peft") / "adapter_config.json").read_text())
        self.assertEqual((config["peft_type"], config["r"], config["lora_alpha"]), ("LORA", 2, 3))
        self.assertEqual(config["target_modules"], ["blk.to_out.0"])
        self.dashi("convert", "peft", "back.safetensors", "--to", "kohya")
        self.assertEqual(read_safetensors(self.path("back.safetensors"))[0],
                         read_safetensors(self.path("in.safetensors"))[0])

    def test_every_dialect_and_back(self):
        self.write(lora("diffusion_model.blocks.0.q", ".lora_A.weight", ".lora_B.weight", 4.0))
        for to in ("peft", "kohya", "lycoris", "comfyui", "diffusers", "diffusers-old", "dashi"):
            with self.subTest(to=to):
                self.dashi("convert", "in.safetensors", f"{to}.out", "--to", to)
                found = self.json("inspect", f"{to}.out")["adapter"]
                self.assertEqual(len(found["modules"]), 1)
                stored = to not in ("diffusers", "diffusers-old")
                self.assertEqual(found["modules"][0]["scale"], 2 if stored else 1)
                if to not in ("kohya", "lycoris"):
                    self.dashi("convert", f"{to}.out", f"{to}.back", "--to", "comfyui")
                    self.assertEqual(self.json("inspect", f"{to}.back")["adapter"]["modules"][0]["name"],
                                     "diffusion_model.blocks.0.q")

    def test_real_cloneofsimo_to_kohya_by_the_names_of_the_base(self):
        source = shared_data("loras", "analog_svd_rank4.safetensors")
        names = json.loads(shared_data("loras", "sd15_index_map.json").read_text())
        stored = read_safetensors(source)[0]
        shapes = {f"{name}.weight": [stored[f"unet:{i}:up"][1][0], stored[f"unet:{i}:down"][1][1]]
                  for i, name in enumerate(names["unet"])}
        for name in ("conv_in", "conv_out", "time_embedding.linear_1"):
            shapes[f"{name}.weight"] = [1, 1]
        self.base(shapes)
        self.dashi("convert", source, "unet.safetensors", "--to", "kohya", "--base", "base.safetensors", "--ignore",
                   "^text_encoder")
        tensors = read_safetensors(self.path("unet.safetensors"))[0]
        self.assertEqual(len(tensors), 3 * 144)
        for index in (0, 4, 8, 100, 143):
            flat = "lora_unet_" + names["unet"][index].replace(".", "_")
            self.assertEqual(tensors[flat + ".lora_up.weight"], stored[f"unet:{index}:up"])
            self.assertEqual(tensors[flat + ".alpha"], ("F16", [], b"\x00\x44"))  # 4, the rank
        self.dashi("convert", "unet.safetensors", "back.safetensors", "--to", "cloneofsimo", "--base",
                   "base.safetensors")
        back, metadata = read_safetensors(self.path("back.safetensors"))
        self.assertEqual(back, {key: value for key, value in stored.items() if key.startswith("unet")})
        self.assertEqual(metadata["unet:7:rank"], "4")

    def test_dry_run_and_json_write_nothing(self):
        self.write(kohya())
        before = self.contents()
        said = self.dashi("convert", "in.safetensors", "out", "--to", "lycoris", "--dry-run")
        self.assertIn("lycoris_blk_to_out_0.lora_up.weight  F32 [4, 2]  <- lora_unet_blk_to_out_0.lora_up.weight", said)
        found = self.json("convert", "in.safetensors", "out", "--to", "lycoris", "--dry-run")
        self.assertTrue(found["dry_run"])
        self.assertEqual(len(found["tensors"]), 3)
        self.assertEqual(self.contents(), before)

    def test_bad_inputs_end_with_65_and_write_nothing(self):
        half = kohya()
        del half["lora_unet_blk_to_out_0.lora_up.weight"]
        ranks = {**kohya(), "lora_unet_blk_to_out_0.lora_up.weight": ("F32", [4, 1], [0] * 4)}
        for tensors, code in ((half, "half-a-pair"), (ranks, "rank-mismatch"), (kohya(alpha=0.0), "alpha-zero"),
                              (kohya(alpha=1e10), "scale-unusual"),
                              ({**kohya(), "other": ("F32", [1], [0])}, "unknown-keys"),
                              ({"a.weight": ("F32", [1], [0])}, "not-an-adapter")):
            with self.subTest(code=code):
                self.write(tensors)
                self.refused("convert", "in.safetensors", "out", "--to", "dashi", status=65, code=code)

    def test_the_base_must_be_the_one_that_the_adapter_names(self):
        self.base({"blk.to_out.0.weight": [4, 6]})
        digest = self.json("inspect", "--digest", "base.safetensors")["digest"]
        for said, status in ((digest, 0), ("0" * 64, 65)):
            self.write(kohya(), {"dashi.base_digest": said})
            arguments = ("convert", "in.safetensors", "out", "--to", "peft", "--base", "base.safetensors", "--force")
            if status:
                self.refused(*arguments, status=65, code="another-base")
            else:
                self.dashi(*arguments)
        self.base({"other.weight": [4, 6]})
        self.write(kohya())
        self.refused("convert", "in.safetensors", "out", "--to", "peft", "--base", "base.safetensors", "--force",
                     status=65, code="no-place")

    def test_options_that_do_not_belong_together(self):
        self.write(kohya())
        for arguments, code in ((("--to", "kohya", "--shard-size", "1MB"), "sharded-adapter"),
                                (("--to", "kohya", "--heads", "2"), "not-a-dit"),
                                (("--to", "kohya", "--dtype", "f16"), "names-and-dtypes"),
                                (("--dtype", "f16", "--ignore", "x"), "not-an-adapter"),
                                (("--to", "nonsense",), "bad-names"),
                                (("--to", "kohya", "--ignore", "("), "bad-regex")):
            with self.subTest(arguments=arguments):
                self.refused("convert", "in.safetensors", "out", *arguments, status=2, code=code)
        self.refused("convert", "in.safetensors", "in.safetensors", "--to", "lycoris", "--force", status=73,
                     code="cannot-create")


if __name__ == "__main__":
    unittest.main()
