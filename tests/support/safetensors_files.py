# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes and reads tiny safetensors files without any library but Python's own."""

import json
import pathlib
import struct

BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
        "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64,
        "I64": 64, "F64": 64, "C64": 64}
FORMATS = {"BOOL": "?", "U8": "B", "I8": "b", "U16": "H", "I16": "h", "F16": "e", "U32": "I", "I32": "i",
           "F32": "f", "U64": "Q", "I64": "q", "F64": "d"}


def to_bytes(dtype: str, values) -> bytes:
    """Little-endian bytes of numbers; BF16 by cutting, so give numbers that it holds."""
    if dtype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{len(values)}{FORMATS[dtype]}", *values)


def from_bytes(dtype: str, data: bytes) -> list:
    """Numbers of little-endian bytes."""
    if dtype == "BF16":
        return [struct.unpack("<f", b"\0\0" + data[i : i + 2])[0] for i in range(0, len(data), 2)]
    return list(struct.unpack(f"<{len(data) * 8 // BITS[dtype]}{FORMATS[dtype]}", data))


def write_safetensors(path, tensors: dict, metadata: dict | None = None) -> pathlib.Path:
    """`tensors`: name -> (dtype, shape, numbers or bytes). Tensors are stored in the given order."""
    header = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, (dtype, shape, values) in tensors.items():
        content = values if isinstance(values, bytes) else to_bytes(dtype, values)
        header[name] = {"dtype": dtype, "shape": list(shape),
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(path)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def read_safetensors(path) -> tuple[dict, dict]:
    """(name -> (dtype, shape, bytes), metadata) of a file."""
    content = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["dtype"], entry["shape"], content[8 + length + begin : 8 + length + end])
    return tensors, metadata
