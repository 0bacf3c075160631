# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small checkpoints for tests of soups, and their exact means by Python's rational numbers."""

import fractions
import random
import struct

from safetensors_files import read_safetensors, write_safetensors

SHAPES = {"blocks.0.attn.qkv.weight": [12, 4], "blocks.0.attn.qkv.bias": [12], "pos_embed": [1, 3, 4], "alpha": []}


def count(shape) -> int:
    elements = 1
    for extent in shape:
        elements *= extent
    return elements


def random_value(random_state, dtype: str) -> float:
    value = random_state.choice([0.0, -0.0, random_state.gauss(0, 0.02), random_state.gauss(0, 100)])
    code = {"F16": "<e", "F32": "<f", "F64": "<d"}.get(dtype)
    if code is None:
        return struct.unpack("<f", b"\0\0" + struct.pack("<f", value)[2:])[0]
    return struct.unpack(code, struct.pack(code, value))[0]


def make_member(path, seed: int, dtype: str = "F16", metadata=None, shapes=None):
    """Random tensors, and position ids that are the same in all members."""
    state = random.Random(seed)
    tensors = {name: (dtype, shape, [random_value(state, dtype) for _ in range(count(shape))])
               for name, shape in (shapes or SHAPES).items()}
    tensors["position_ids"] = ("I64", [3], [0, 1, 2])
    return write_safetensors(path, tensors, metadata)


def from_fraction(value: fractions.Fraction, dtype: str) -> bytes:
    """The little-endian bytes of a number rounded once, to nearest, ties to even."""
    fraction_bits, bias, width = {"F16": (10, 15, 2), "BF16": (7, 127, 2), "F32": (23, 127, 4),
                                  "F64": (52, 1023, 8)}[dtype]
    magnitude = abs(value)
    exponent = 1 - bias
    if magnitude > 0:
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        exponent = max(exponent - (magnitude < fractions.Fraction(2) ** exponent), 1 - bias)
    quantum = fractions.Fraction(2) ** (exponent - fraction_bits)
    units = round(magnitude / quantum)  # Python rounds halves to even
    field = exponent + bias - 1  # the implicit bit of a normal number, or a carry, adds one
    bits = (field << fraction_bits) + units
    largest = ((2 * bias + 1) << fraction_bits)
    assert bits < largest, "overflow"
    return (bits | (value < 0) << (8 * width - 1)).to_bytes(width, "little")


def exact_mean(paths, weights, dtype: str) -> dict:
    """name -> bytes of Σ w x / Σ w; −0 only if every term with a weight is −0."""
    members = [read_safetensors(path)[0] for path in paths]
    weights = [fractions.Fraction(weight) for weight in weights]
    means = {}
    for name, (source, _, content) in members[0].items():
        if source == "I64":
            means[name] = content
            continue
        columns = zip(*(numbers(member[name]) for member in members))
        means[name] = b"".join(mean_of(column, weights, dtype) for column in columns)
    return means


def numbers(tensor):
    from safetensors_files import from_bytes
    return from_bytes(tensor[0], tensor[2])


def mean_of(column, weights, dtype: str) -> bytes:
    total = sum(fractions.Fraction(x) * w for x, w in zip(column, weights))
    if total == 0:
        signs = [(str(x).startswith("-")) != (w < 0) for x, w in zip(column, weights) if w != 0]
        zeros = all(x == 0 for x, w in zip(column, weights) if w != 0)
        zero = from_fraction(fractions.Fraction(0), dtype)
        return zero[:-1] + (b"\x80" if zeros and all(signs) else b"\0")
    return from_fraction(total / sum(weights), dtype)
