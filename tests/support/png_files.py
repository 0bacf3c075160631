# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads and writes PNG files of 8 bits, grey or RGB, without any library."""

import struct
import zlib


def _unfilter(kind: int, line: bytearray, above: bytes, step: int) -> None:
    for i in range(len(line)):
        left = line[i - step] if i >= step else 0
        up = above[i]
        corner = above[i - step] if i >= step else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            by_left, by_up, by_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            guess = left if by_left <= min(by_up, by_corner) else up if by_up <= by_corner else corner
        else:
            guess = 0
        line[i] = (line[i] + guess) % 256


def read_png(path):
    """(width, height, channels, rows of bytes, texts by keyword)."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, pixels, texts = 8, b"", {}
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", chunk[:10])
            assert depth == 8 and colour in (0, 2)
            channels = 1 if colour == 0 else 3
        elif kind == b"IDAT":
            pixels += chunk
        elif kind == b"tEXt":
            key, text = chunk.split(b"\0", 1)
            texts[key.decode()] = text.decode("latin-1")
        at += 12 + size
    raw = zlib.decompress(pixels)
    stride = width * channels
    rows, above = [], bytes(stride)
    for y in range(height):
        line = bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        _unfilter(raw[y * (stride + 1)], line, above, channels)
        above = bytes(line)
        rows.append(above)
    return width, height, channels, rows, texts


def write_png(path, width: int, height: int, rows) -> None:
    """Grey; rows: bytes of each line."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    raw = b"".join(b"\0" + bytes(row) for row in rows)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
