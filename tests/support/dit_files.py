# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small DiT checkpoints under both kinds of names, for write_safetensors."""

import math
import random
import struct

BYTES = {"F32": 4, "F16": 2, "F64": 8}
FORMATS = {"F32": "f", "F16": "e", "F64": "d"}


def position_bytes(side: int, dim: int, dtype: str = "F32") -> bytes:
    """The table of positions of a square grid: rounded to float, then to the dtype."""
    frequencies = [1.0 / 10000 ** (k / (dim / 4)) for k in range(dim // 4)]
    values = []
    for token in range(side * side):
        for place in (token % side, token // side):
            for function in (math.sin, math.cos):
                values += [function(place * f) for f in frequencies]
    single = struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values))
    return struct.pack(f"<{len(single)}{FORMATS[dtype]}", *single)


def original_dit(depth=2, width=16, mlp=64, patch=2, channels=3, classes=4, side=4, learn_sigma=True, dtype="F32",
                 seed=1) -> dict:
    """Random bytes under original names, with the true table of positions."""
    outputs = channels * (2 if learn_sigma else 1)
    shapes = {"x_embedder.proj.weight": [width, channels, patch, patch], "x_embedder.proj.bias": [width],
              "y_embedder.embedding_table.weight": [classes + 1, width]}

    def layer(name, rows, columns):
        shapes[name + ".weight"] = [rows, columns]
        shapes[name + ".bias"] = [rows]

    layer("t_embedder.mlp.0", width, 256)
    layer("t_embedder.mlp.2", width, width)
    for block in range(depth):
        layer(f"blocks.{block}.adaLN_modulation.1", 6 * width, width)
        layer(f"blocks.{block}.attn.qkv", 3 * width, width)
        layer(f"blocks.{block}.attn.proj", width, width)
        layer(f"blocks.{block}.mlp.fc1", mlp, width)
        layer(f"blocks.{block}.mlp.fc2", width, mlp)
    layer("final_layer.adaLN_modulation.1", 2 * width, width)
    layer("final_layer.linear", patch * patch * outputs, width)
    numbers = random.Random(seed)
    tensors = {name: (dtype, shape, numbers.randbytes(math.prod(shape) * BYTES[dtype]))
               for name, shape in shapes.items()}
    tensors["pos_embed"] = (dtype, [1, side * side, width], position_bytes(side, width, dtype))
    return tensors


def diffusers_dit(original: dict) -> dict:
    """The same numbers under the names of diffusers."""
    depth = sum(name.endswith("attn.proj.bias") for name in original)
    plain = [("x_embedder.proj", "pos_embed.proj"), ("final_layer.adaLN_modulation.1", "proj_out_1"),
             ("final_layer.linear", "proj_out_2")]
    for block in range(depth):
        here, there = f"blocks.{block}.", f"transformer_blocks.{block}."
        plain += [(here + "adaLN_modulation.1", there + "norm1.linear"), (here + "attn.proj", there + "attn1.to_out.0"),
                  (here + "mlp.fc1", there + "ff.net.0.proj"), (here + "mlp.fc2", there + "ff.net.2")]
    tensors = {}
    for kind in (".weight", ".bias"):
        for here, there in plain:
            tensors[there + kind] = original[here + kind]
        for block in range(depth):
            dtype, shape, data = original[f"blocks.{block}.attn.qkv{kind}"]
            third = len(data) // 3
            for part, letter in enumerate("qkv"):
                tensors[f"transformer_blocks.{block}.attn1.to_{letter}{kind}"] = (
                    dtype, [shape[0] // 3, *shape[1:]], data[part * third : (part + 1) * third])
            for here, there in (("mlp.0", "linear_1"), ("mlp.2", "linear_2")):
                name = f"transformer_blocks.{block}.norm1.emb.timestep_embedder.{there}{kind}"
                tensors[name] = original[f"t_embedder.{here}{kind}"]
    for block in range(depth):
        name = f"transformer_blocks.{block}.norm1.emb.class_embedder.embedding_table.weight"
        tensors[name] = original["y_embedder.embedding_table.weight"]
    return tensors


def drawn_dit(seed=1, scale=0.2, **settings) -> dict:
    """A model that computes: normal numbers in place of random bytes."""
    tensors = original_dit(**settings)
    numbers = random.Random(seed)
    for name, (dtype, shape, data) in tensors.items():
        if name != "pos_embed":
            count = len(data) // BYTES[dtype]
            values = [numbers.gauss(0, scale) for _ in range(count)]
            tensors[name] = (dtype, shape, struct.pack(f"<{count}{FORMATS[dtype]}", *values))
    return tensors
