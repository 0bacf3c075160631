# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dashi convert --to: a DiT between original and diffusers names; what inspect says of it."""

import json
import os
import pathlib
import struct
import unittest

from dit_files import diffusers_dit, original_dit
from program_case import ProgramCase, shared_data
from safetensors_files import read_safetensors, write_safetensors


def golden(case: str) -> pathlib.Path:
    path = pathlib.Path(os.environ.get("DASHI_SHARED", "../shared")) / "golden" / case / "weights.safetensors"
    if not path.exists():
        raise unittest.SkipTest(f"no {path}")
    return path


class ConvertNames(ProgramCase):
    def write(self, tensors, metadata=None, name="in.safetensors"):
        write_safetensors(self.path(name), tensors, metadata)

    def tensors(self, name):
        return read_safetensors(self.path(name))[0]

    def metadata(self, name):
        return read_safetensors(self.path(name))[1]

    def test_original_to_diffusers_and_back(self):
        for number, settings in enumerate(({}, {"dtype": "F16", "learn_sigma": False, "mlp": 24, "depth": 3},
                                           {"dtype": "F64", "side": 3, "patch": 1})):
            with self.subTest(settings=settings):
                tensors = original_dit(**settings)
                self.write(tensors, {"format": "pt", "dashi.heads": "2"}, f"{number}.in")
                self.dashi("convert", f"{number}.in", f"{number}.there", "--to", "diffusers")
                self.assertEqual(self.tensors(f"{number}.there"), diffusers_dit(tensors))
                self.dashi("convert", f"{number}.there", f"{number}.back", "--to", "dit")
                self.assertEqual(self.tensors(f"{number}.back"), tensors)
                self.assertEqual(self.metadata(f"{number}.back"), {"format": "pt", "dashi.heads": "2"})

    def test_a_file_of_dashi_comes_back_whole(self):
        self.write(original_dit(), {"format": "pt"})
        self.dashi("convert", "in.safetensors", "ours.safetensors", "--rule", "bias=f16",
                   "--nonfinite=propagate")
        said = self.dashi("convert", "ours.safetensors", "there.safetensors", "--to", "diffusers")
        self.assertIn("44 tensors in DiT, diffusers names from 32", said)
        said = self.dashi("convert", "there.safetensors", "back.safetensors", "--to", "dit", "--threads", "3")
        self.assertIn("as the file was before", said)
        self.assertEqual(self.path("back.safetensors").read_bytes(), self.path("ours.safetensors").read_bytes())

    def test_shards_in_and_out(self):
        self.write(original_dit())
        self.dashi("reshard", "in.safetensors", "set.safetensors", "--shard-size", "20KB")
        self.dashi("convert", "set.safetensors.index.json", "there.safetensors", "--to", "diffusers", "--shard-size",
                   "20KB")
        self.assertGreater(len(list(self.folder.glob("there-*.safetensors"))), 2)
        self.dashi("convert", "there.safetensors.index.json", "back.safetensors", "--to", "dit", "--shard-size", "20KB")
        sets = [sorted(self.folder.glob(f"{stem}-*.safetensors")) for stem in ("set", "back")]
        self.assertGreater(len(sets[0]), 2)
        self.assertEqual(*([path.read_bytes() for path in paths] for paths in sets))

    def test_from_diffusers_alone(self):
        tensors = original_dit(seed=5)
        self.write(diffusers_dit(tensors))
        convert = ("convert", "in.safetensors", "out.safetensors", "--to", "dit")
        message = self.refused(*convert, status=65, code="input-size-unknown")
        self.assertIn("give --input-size", message)
        self.refused(*convert, "--input-size", "9", status=65, code="contradiction")
        self.dashi(*convert, "--input-size", "8")
        self.assertEqual(self.tensors("out.safetensors"), tensors)
        metadata = self.metadata("out.safetensors")
        self.assertEqual((metadata["dashi.time_divisor"], metadata["dashi.norm_epsilon"]), ("127", "1e-05"))
        record = json.loads(metadata["dashi.convert"])
        self.assertEqual(record["digest"], self.json("inspect", "--digest", "in.safetensors")["digest"])

    def test_a_folder_for_diffusers(self):
        tensors = original_dit()
        self.write(tensors)
        message = self.refused("convert", "in.safetensors", "model/", "--to", "diffusers", status=65,
                               code="not-for-diffusers")
        self.assertIn("give --heads", message)
        self.refused("convert", "in.safetensors", "model/", "--to", "diffusers", "--heads", "3", status=65,
                     code="contradiction")
        self.dashi("convert", "in.safetensors", "model/", "--to", "diffusers", "--heads", "4")
        config = json.loads(self.path("model/config.json").read_text())
        self.assertEqual({key: config[key] for key in ("_class_name", "num_attention_heads", "attention_head_dim",
                                                       "in_channels", "out_channels", "num_layers", "sample_size",
                                                       "patch_size", "num_embeds_ada_norm", "norm_eps")},
                         {"_class_name": "DiTTransformer2DModel", "num_attention_heads": 4, "attention_head_dim": 4,
                          "in_channels": 3, "out_channels": 6, "num_layers": 2, "sample_size": 8, "patch_size": 2,
                          "num_embeds_ada_norm": 4, "norm_eps": 1e-6})
        self.assertEqual(self.tensors("model/diffusion_pytorch_model.safetensors"), diffusers_dit(tensors))
        self.refused("convert", "in.safetensors", "model", "--to", "diffusers", "--heads", "4", status=73,
                     code="cannot-create")
        self.dashi("convert", "in.safetensors", "model", "--to", "diffusers", "--heads", "2", "--force")
        self.assertEqual(self.json("inspect", "model")["dit"]["heads"], 2)
        # What diffusers itself saves: its own metadata, and the config.json.
        write_safetensors(self.path("model/diffusion_pytorch_model.safetensors"), diffusers_dit(tensors),
                          {"format": "pt"})
        self.dashi("convert", "model", "back.safetensors", "--to", "dit")
        self.assertEqual(self.tensors("back.safetensors"), tensors)
        self.write(original_dit(mlp=32), {"dashi.heads": "2"}, "narrow.safetensors")
        message = self.refused("convert", "narrow.safetensors", "narrow/", "--to", "diffusers", status=65,
                               code="not-for-diffusers")
        self.assertIn("not four times as wide", message)
        self.refused("convert", "narrow.safetensors", "no/model/", "--to", "diffusers", status=65,
                     code="not-for-diffusers")
        self.refused("convert", "in.safetensors", "no/model/", "--to", "diffusers", "--heads", "2", status=73,
                     code="cannot-create")

    def test_embedders_that_differ(self):
        tensors = diffusers_dit(original_dit(depth=4))
        name = "transformer_blocks.2.norm1.emb.timestep_embedder.linear_2.bias"
        dtype, shape, data = tensors[name]
        tensors[name] = (dtype, shape, data[:-1] + bytes([data[-1] ^ 1]))
        self.write(tensors)
        for flags in ((), ("--dry-run",), ("--threads", "3")):
            message = self.refused("convert", "in.safetensors", "out.safetensors", "--to", "dit", "--input-size", "8",
                                   *flags, status=65, code="embedders-differ")
            self.assertIn(f"tensor '{name}'", message)
            self.assertIn("trained in diffusers from scratch", message)
            self.assertIn("the copies differ from block 2 on", message)
            self.assertIn("run it as it is, with embedders per_block", message)
        self.assertIn("the embedders differ from block 2 on", self.dashi("inspect", "--digest", "in.safetensors"))
        self.assertEqual(self.json("inspect", "--digest", "in.safetensors")["dit"]["embedders_differ_from_block"], 2)
        self.write(diffusers_dit(original_dit(depth=4)))
        self.assertIn("the embedders are equal in all blocks", self.dashi("inspect", "--digest", "in.safetensors"))

    def test_positions_that_differ(self):
        tensors = original_dit()
        dtype, shape, data = tensors["pos_embed"]
        changed = struct.pack("<f", struct.unpack("<f", data[400:404])[0] + 2e-7)
        tensors["pos_embed"] = (dtype, shape, data[:400] + changed + data[404:])
        self.write(tensors)
        for flags in ((), ("--dry-run",)):
            message = self.refused("convert", "in.safetensors", "out.safetensors", "--to", "diffusers", *flags,
                                   status=65, code="positions-differ")
            self.assertRegex(message, r"tensor 'pos_embed' element 100: 1 of 256 entries that differ, by up to [12]\.\d+e-07")
            self.assertIn("--drop-positions", message)
        done = self.run_dashi("convert", "in.safetensors", "out.safetensors", "--to", "diffusers", "--drop-positions")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"pos_embed is left out although 1 of 256 entries differ", done.stderr)
        said = self.dashi("convert", "out.safetensors", "back.safetensors", "--to", "dit")
        self.assertNotIn("as the file was before", said)
        self.assertEqual(self.tensors("back.safetensors"), original_dit())

    def test_what_is_no_dit(self):
        tensors = original_dit()
        self.write({**tensors, "extra.weight": ("F32", [1], [1])}, name="extra")
        message = self.refused("convert", "extra", "out", "--to", "diffusers", status=65, code="unknown-tensors")
        self.assertIn("extra.weight", message)
        missing = dict(tensors)
        del missing["blocks.1.mlp.fc2.bias"]
        self.write(missing, name="missing")
        message = self.refused("convert", "missing", "out", "--to", "diffusers", status=65, code="missing-tensors")
        self.assertIn("blocks.1.mlp.fc2.bias", message)
        self.assertIn("not whole", self.dashi("inspect", "missing"))
        self.assertIn("fault", self.json("inspect", "missing")["dit"])
        self.write({"w": ("F32", [1], [1])}, name="other")
        self.refused("convert", "other", "out", "--to", "dit", status=65, code="not-a-dit")
        self.assertNotIn("dit", self.json("inspect", "other"))
        self.write(tensors)
        self.refused("convert", "in.safetensors", "out", "--to", "dit", status=65, code="named-so-already")
        self.write(tensors, {"dashi.heads": "two"}, "heads")
        self.refused("convert", "heads", "out", "--to", "diffusers", status=65, code="bad-metadata")

    def test_pickles_are_refused_with_what_to_do(self):
        for name, content in (("model.pt", b"PK\x03\x04" + bytes(26) + b"model/data.pkl" + bytes(100)),
                              ("pytorch_model.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(100))):
            self.path(name).write_bytes(content)
            message = self.refused("convert", name, "out", "--to", "diffusers", status=65, code="foreign-format")
            self.assertIn("torch.load(sys.argv[1], map_location='cpu', weights_only=True)", message)
            self.assertIn("save_file(", message)

    def test_usage(self):
        self.write(original_dit())
        convert = ("convert", "in.safetensors", "out")
        for arguments, code in ((["--to", "flux"], "bad-names"), (["--to", "diffusers", "--dtype", "f16"], "names-and-dtypes"),
                                (["--to", "diffusers", "--saturate"], "names-and-dtypes"),
                                (["--heads", "2", "--dtype", "f16"], "names-without-to"),
                                (["--drop-positions", "--dtype", "f16"], "names-without-to"),
                                (["--to", "diffusers", "--heads", "-2"], "bad-heads"),
                                (["--to", "diffusers", "--input-size", "8x"], "bad-input-size"),
                                (["--to", "diffusers", "--input-size", "0"], "bad-input-size")):
            with self.subTest(arguments=arguments):
                self.refused(*convert, *arguments, status=2, code=code)

    def test_outputs(self):
        self.write(original_dit())
        convert = ("convert", "in.safetensors")
        self.refused(*convert, "in.safetensors", "--to", "diffusers", "--force", status=73, code="cannot-create")
        self.path("there").touch()
        self.refused(*convert, "there", "--to", "diffusers", status=73, code="cannot-create")
        self.refused(*convert, "no/out", "--to", "diffusers", status=73, code="cannot-create")
        self.dashi(*convert, "there", "--to", "diffusers", "--force")

    def test_dry_run_and_json(self):
        self.write(original_dit(width=64, mlp=256))
        before = self.contents()
        out = self.dashi("convert", "--dry-run", "in.safetensors", "out", "--to", "diffusers")
        self.assertRegex(out, r"transformer_blocks\.1\.attn1\.to_k\.weight +<- blocks\.1\.attn\.qkv\.weight bytes 16384 to 32768\n")
        self.assertEqual(self.contents(), before)
        found = self.json("convert", "--dry-run", "in.safetensors", "model/", "--to", "diffusers", "--shard-size", "50KB")
        self.assertTrue(found["dry_run"])
        self.assertEqual(found["output"], "model/diffusion_pytorch_model.safetensors.index.json")
        self.assertGreater(found["shards"], 2)
        self.assertIn("1 heads are assumed", found["warnings"][0])
        self.assertEqual(self.contents(), before)
        found = self.json("convert", "in.safetensors", "out", "--to", "diffusers", "--no-digest")
        self.assertEqual((found["to"], found["restored"], len(found["tensors"])), ("diffusers", False, 44))
        self.assertNotIn("input_digest", found)
        self.assertEqual(found["bytes_written"], sum(len(data) for _, _, data in self.tensors("out").values()))
        sources = {tensor["name"]: tensor["from"] for tensor in self.json("convert", "out", "back", "--to", "dit")["tensors"]}
        self.assertEqual(sources["pos_embed"], [])
        self.assertEqual(sources["blocks.1.attn.qkv.bias"],
                         [f"transformer_blocks.1.attn1.to_{letter}.bias" for letter in "qkv"])

    def test_inspect(self):
        self.write(original_dit(width=64, mlp=128), {"dashi.guidance_channels": "all"})
        found = self.json("inspect", "in.safetensors")["dit"]
        self.assertEqual(found, {"depth": 2, "width": 64, "heads": 1, "heads_assumed": True, "mlp_width": 128, "patch": 2,
                                 "channels": 3, "out_channels": 6, "classes": 4, "null_class": True, "input_height": 8,
                                 "input_width": 8, "frequency_size": 256, "time_divisor": 128, "norm_epsilon": 1e-6,
                                 "guidance_channels": "all", "variance": "learned", "embedders": "shared",
                                 "class_dropout": 0.1})
        text = self.dashi("inspect", "in.safetensors")
        self.assertIn("depth 2, width 64, 1 heads (assumed from the width), MLP 128, patch 2, input 8 x 8 (16 tokens)", text)
        self.assertIn("3 channels in, 6 out, 4 classes and the null class", text)
        self.write(diffusers_dit(original_dit()))
        found = self.json("inspect", "in.safetensors")["dit"]
        self.assertEqual((found["heads"], found["input_height"], found["embedders"]), (None, None, None))

    def test_the_conversion_of_the_reference(self):
        original = golden("dit_original_b")
        converted = golden("dit_diffusers_converted_from_original_b")
        self.dashi("convert", original, "there", "--to", "diffusers")
        self.assertEqual(self.tensors("there"), read_safetensors(converted)[0])
        self.dashi("convert", converted, "back", "--to", "dit", "--input-size", "16")
        self.assertEqual(self.tensors("back"), read_safetensors(original)[0])
        for case in ("dit_original_a", "dit_original_c_nosigma"):
            self.dashi("convert", golden(case), f"{case}.there", "--to", "diffusers")
            self.dashi("convert", f"{case}.there", f"{case}.back", "--to", "dit")
            self.assertEqual(self.tensors(f"{case}.back"), read_safetensors(golden(case))[0])

    def test_models_trained_in_diffusers(self):
        for path, size in ((golden("dit_diffusers_b_untied"), "6"),
                           (shared_data("dit_shards", "shard_4.fp16.safetensors"), "32")):
            message = self.refused("convert", path, "out", "--to", "dit", "--input-size", size, status=65,
                                   code="embedders-differ")
            self.assertIn("from block 1 on", message)


if __name__ == "__main__":
    unittest.main()
