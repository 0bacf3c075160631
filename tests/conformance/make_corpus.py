#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the safetensors conformance corpus: small files and what is expected of them.

    make_corpus.py DIRECTORY                     write every case as DIRECTORY/<case>.safetensors
    make_corpus.py DIRECTORY --check VERDICTS    also compare with the recorded verdicts.json

Deterministic, standard library only. `expected` is the verdict of dashi: "accept", or the code of
the rejection (exit status 65 unless a number says otherwise). `lenient` is the same under
--lenient, when it differs. `warns` marks files that are read with a warning.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import sys
import zlib

CASES = {}


def case(name, content, expected, lenient=None, status=65, warns=False, about=""):
    assert name not in CASES, name
    CASES[name] = dict(
        content=content,
        expected=expected,
        lenient=lenient or expected,
        status=0 if expected == "accept" else status,
        warns=warns,
        about=about,
    )


def wrap(header, data=b"", length=None):
    """A file of that header text and data; `length` overrides the declared header length."""
    text = header if isinstance(header, bytes) else header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(name, dtype, shape, begin, end):
    return '%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}' % (
        json.dumps(name),
        dtype,
        json.dumps(shape, separators=(",", ":")),
        begin,
        end,
    )


def file_of(*entries, data=0, metadata=None, pad=True):
    parts = [] if metadata is None else ['"__metadata__":' + metadata]
    text = "{" + ",".join(parts + list(entries)) + "}"
    if pad:
        text += " " * (-len(text) % 8)
    return wrap(text, bytes(i % 251 for i in range(data)))


ONE = entry("a", "F32", [2], 0, 8)


def raw_field(shape="[2]", offsets="[0,8]", dtype='"F32"', data=8):
    return wrap(
        '{"a":{"dtype":%s,"shape":%s,"data_offsets":%s}}' % (dtype, shape, offsets), bytes(data)
    )


def valid_files():
    case("one_tensor", file_of(ONE, data=8), "accept")
    case("metadata_and_tensor", file_of(ONE, data=8, metadata='{"format":"pt"}'), "accept")
    case("empty_metadata", file_of(ONE, data=8, metadata="{}"), "accept")
    case("metadata_last", wrap('{%s,"__metadata__":{"k":"v"}}' % ONE, bytes(8)), "accept")
    case("no_tensors", wrap("{}"), "accept")
    case("only_metadata", wrap('{"__metadata__":{"k":"v"}}'), "accept")
    case("header_not_multiple_of_8", file_of(ONE, data=8, pad=False), "accept")
    case("odd_data_offset", wrap("{%s}%s" % (ONE, " " * (len(ONE) % 2)), bytes(8)), "accept")
    case("padded_to_a_page", wrap(("{%s}" % ONE).ljust(4096 - 8), bytes(8)), "accept")
    case("scalar", file_of(entry("a", "F32", [], 0, 4), data=4), "accept")
    case("zero_size", file_of(entry("a", "F32", [0], 0, 0)), "accept")
    case(
        "zero_size_in_front_middle_and_end",
        file_of(
            entry("z0", "F32", [0, 3], 0, 0),
            entry("a", "F32", [1], 0, 4),
            entry("z1", "U8", [5, 0], 4, 4),
            entry("b", "F32", [1], 4, 8),
            entry("z2", "I64", [0], 8, 8),
            data=8,
        ),
        "accept",
    )
    case(
        "several_zero_size_in_one_place",
        file_of(entry("y", "F32", [0], 0, 0), entry("x", "F32", [0], 0, 0)),
        "accept",
    )
    case(
        "keys_out_of_offset_order",
        file_of(entry("b", "F32", [1], 4, 8), entry("a", "F32", [1], 0, 4), data=8),
        "accept",
    )
    case(
        "fields_in_another_order",
        wrap('{"a":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}', bytes(8)),
        "accept",
    )
    case(
        "white_space_inside",
        wrap(
            '{ "a" :\n\t{ "dtype" : "F32" , "shape" : [ 2 ] , "data_offsets" : [ 0 , 8 ] } }\r\n',
            bytes(8),
        ),
        "accept",
    )
    case("rank_8", file_of(entry("a", "U8", [1] * 8, 0, 1), data=1), "accept")
    case(
        "unicode_name",
        file_of('"\u6a2a\u7dda.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}', data=1),
        "accept",
    )
    case("surrogate_pair_in_name", file_of(entry("\U0001f600", "U8", [1], 0, 1), data=1), "accept")
    case(
        "escaped_name",
        wrap('{"\\u0061\\/b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "accept",
    )
    case(
        "boolean_bytes_other_than_0_and_1",
        wrap("{%s}" % entry("a", "BOOL", [4], 0, 4), bytes([0, 1, 2, 255])),
        "accept",
        about="copied as it is; interpreting it is an error",
    )
    case("not_a_number_data", wrap("{%s}" % ONE, b"\xff" * 8), "accept", about="NaN is legal data")
    case("long_name", file_of(entry("n" * 5000, "U8", [1], 0, 1), data=1), "accept")
    widths = dict(
        BOOL=8,
        F4=4,
        F6_E2M3=6,
        F6_E3M2=6,
        U8=8,
        I8=8,
        F8_E5M2=8,
        F8_E4M3=8,
        F8_E8M0=8,
        F8_E4M3FNUZ=8,
        F8_E5M2FNUZ=8,
        I16=16,
        U16=16,
        F16=16,
        BF16=16,
        I32=32,
        U32=32,
        F32=32,
        C64=64,
        F64=64,
        I64=64,
        U64=64,
    )
    for dtype, bits in widths.items():
        case(
            "dtype_%s" % dtype.lower(),
            file_of(entry("a", dtype, [4], 0, bits // 2), data=bits // 2),
            "accept",
        )


def odd_names():
    for label, name in dict(
        empty="",
        nul="a\0b",
        newline="a\nb",
        parent="../../etc/passwd",
        escape="\x1b[31mred",
        absolute="/etc/passwd",
    ).items():
        case("name_%s" % label, file_of(entry(name, "U8", [1], 0, 1), data=1), "accept", warns=True)
    case(
        "name_right_to_left",
        file_of('"a\u202eb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}', data=1),
        "accept",
        warns=True,
    )


def duplicates():
    case(
        "duplicate_same_range", file_of(ONE, entry("a", "I32", [2], 0, 8), data=8), "duplicate-key"
    )
    case(
        "duplicate_zero_size",
        file_of(entry("a", "F32", [0], 0, 0), entry("a", "F16", [0, 7], 0, 0)),
        "duplicate-key",
    )
    case(
        "duplicate_other_range",
        file_of(entry("a", "F32", [1], 0, 4), entry("a", "F32", [1], 4, 8), data=8),
        "duplicate-key",
    )
    case(
        "duplicate_after_unescaping",
        wrap('{%s,"\\u0061":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}}' % ONE, bytes(8)),
        "duplicate-key",
    )
    case(
        "duplicate_metadata_key",
        file_of(ONE, data=8, metadata='{"k":"1","k":"2"}'),
        "duplicate-key",
    )
    case(
        "duplicate_metadata_key_after_unescaping",
        file_of(ONE, data=8, metadata='{"k":"1","\\u006b":"2"}'),
        "duplicate-key",
    )
    case(
        "duplicate_metadata",
        wrap('{"__metadata__":{"a":"1"},"__metadata__":{"b":"2"},%s}' % ONE, bytes(8)),
        "duplicate-key",
    )
    case(
        "duplicate_field",
        wrap('{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        "duplicate-key",
    )


def text_faults():
    for label, space in dict(space=" ", newline="\n", tab="\t").items():
        case(
            "leading_%s" % label, wrap("%s{%s}" % (space, ONE), bytes(8)), "leading-space", "accept"
        )
    case("nul_padding", wrap("{%s}" % ONE + "\0" * 5, bytes(8)), "nul-padding")
    case("text_after_object", wrap("{%s}x" % ONE, bytes(8)), "trailing-text")
    case("second_object", wrap("{%s}{}" % ONE, bytes(8)), "trailing-text")
    case("array_instead_of_object", wrap("[]"), "wrong-type")
    case("string_instead_of_object", wrap('"a"'), "wrong-type")
    case("trailing_comma", wrap("{%s,}" % ONE, bytes(8)), "not-json")
    case("single_quotes", wrap("{'a':1}"), "not-json")
    case("comment", wrap("{/**/%s}" % ONE, bytes(8)), "not-json")
    case("unclosed_object", wrap("{%s" % ONE, bytes(8)), "not-json")
    case("unclosed_string", wrap('{"a'), "not-json")
    case(
        "raw_newline_in_name",
        wrap('{"a\nb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "not-json",
    )
    case(
        "raw_nul_in_name",
        wrap('{"a\0b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "not-json",
    )
    case(
        "unknown_escape",
        wrap('{"\\x61":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "not-json",
    )
    case(
        "lone_surrogate",
        wrap('{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "lone-surrogate",
    )
    case(
        "surrogates_swapped",
        wrap('{"\\udc00\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
        "lone-surrogate",
    )
    for label, bad in dict(
        stray=b"\x80",
        overlong=b"\xc0\xaf",
        surrogate=b"\xed\xa0\x80",
        above_10ffff=b"\xf4\x90\x80\x80",
        cut=b"\xe2\x82",
    ).items():
        case(
            "invalid_utf8_%s" % label,
            wrap(b'{"' + bad + b'":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', bytes(1)),
            "invalid-utf8",
        )
    case(
        "byte_order_mark",
        wrap(b"\xef\xbb\xbf" + ("{%s}" % ONE).encode(), bytes(8)),
        "byte-order-mark",
    )
    case("deep_nesting", wrap('{"a":' + "[" * 200000), "wrong-type")
    case(
        "deep_nesting_in_unknown_field",
        wrap(
            '{"a":{"x":' + "[" * 5 + "]" * 5 + ',"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
            bytes(8),
        ),
        "unknown-field",
        "too-deep",
    )


def lengths():
    case("seven_bytes", b"\x02\0\0\0\0\0\0", "too-short")
    case("eight_bytes", b"\x02\0\0\0\0\0\0\0", "header-past-end")
    case("header_length_0", wrap("", length=0), "header-empty")
    case("header_length_0_with_text", wrap("{}", length=0), "header-empty")
    case("header_length_1", wrap("{", length=1), "not-json")
    case("header_length_past_end", wrap("{}", length=3), "header-past-end")
    case("header_length_100_mb_and_1", wrap("{}", length=100_000_001), "header-too-large")
    case("header_length_2_pow_63", wrap("{}", length=1 << 63), "header-too-large")
    case("header_length_all_ones", wrap("{}", length=(1 << 64) - 1), "header-too-large")
    case("header_length_one_less", wrap("{%s}" % ONE, bytes(8), length=len(ONE) + 1), "not-json")
    case(
        "header_length_one_more",
        wrap("{%s}" % ONE, b" " + bytes(7), length=len(ONE) + 3),
        "truncated",
    )


def layout():
    case("trailing_byte", file_of(ONE, data=9), "trailing-bytes")
    case("trailing_bytes_without_tensors", wrap("{}", b"x"), "trailing-bytes")
    case("truncated_by_1", file_of(ONE, data=7), "truncated")
    case("no_data", file_of(ONE, data=0), "truncated")
    case("hole_in_front", file_of(entry("a", "F32", [1], 4, 8), data=8), "hole")
    case(
        "hole_between",
        file_of(entry("a", "F32", [1], 0, 4), entry("b", "F32", [1], 8, 12), data=12),
        "hole",
    )
    case(
        "overlap",
        file_of(entry("a", "F32", [2], 0, 8), entry("b", "F32", [1], 4, 8), data=8),
        "overlap",
    )
    case("shared_range", file_of(ONE, entry("b", "F32", [2], 0, 8), data=8), "overlap")
    case("zero_size_inside_another", file_of(ONE, entry("z", "F32", [0], 4, 4), data=8), "overlap")
    case("zero_size_past_end", file_of(ONE, entry("z", "F32", [0], 9, 9), data=8), "hole")
    case("end_before_begin", raw_field(offsets="[8,0]"), "negative-length")
    case("offsets_too_short_for_shape", raw_field(offsets="[0,4]", data=4), "wrong-size")
    case("offsets_too_long_for_shape", raw_field(offsets="[0,12]", data=12), "wrong-size")
    case("sub_byte_odd_count", file_of(entry("a", "F4", [3], 0, 2), data=2), "partial-byte")
    case("six_bit_odd_count", file_of(entry("a", "F6_E2M3", [3], 0, 3), data=3), "partial-byte")


def numbers():
    case(
        "dim_above_2_pow_48",
        raw_field(shape="[0,281474976710657]", offsets="[0,0]", data=0),
        "number-too-large",
    )
    case(
        "dim_2_pow_63",
        raw_field(shape="[0,9223372036854775808]", offsets="[0,0]", data=0),
        "number-too-large",
    )
    case("dim_2_pow_48", raw_field(shape="[0,281474976710656]", offsets="[0,0]", data=0), "accept")
    case(
        "dims_overflow_before_zero",
        raw_field(shape="[1099511627776,1099511627776,0]", offsets="[0,0]", data=0),
        "size-overflow",
    )
    case(
        "dims_overflow_after_zero",
        raw_field(shape="[0,1099511627776,1099511627776]", offsets="[0,0]", data=0),
        "size-overflow",
    )
    case(
        "dims_wrap_around",
        raw_field(shape="[4294967296,4294967296]", offsets="[0,0]", data=0),
        "size-overflow",
    )
    case("dim_65_bits", raw_field(shape="[18446744073709551618]"), "number-too-large")
    case("dim_negative", raw_field(shape="[-2]"), "negative-number")
    case("dim_minus_zero", raw_field(shape="[-0]", offsets="[0,0]", data=0), "negative-number")
    case("dim_fraction", raw_field(shape="[2.0]"), "not-an-integer")
    case("dim_exponent", raw_field(shape="[2e0]"), "not-an-integer")
    case("dim_leading_zero", raw_field(shape="[02]"), "leading-zero")
    case("dim_plus", raw_field(shape="[+2]"), "wrong-type")
    case("dim_hexadecimal", raw_field(shape="[0x2]"), "not-json")
    case("dim_string", raw_field(shape='["2"]'), "wrong-type")
    case("dim_null", raw_field(shape="[null]"), "wrong-type")
    case("offset_negative", raw_field(offsets="[-1,7]"), "negative-number")
    case("offset_fraction", raw_field(offsets="[0,8.0]"), "not-an-integer")
    case("offset_65_bits", raw_field(offsets="[0,18446744073709551624]"), "number-too-large")
    case("offsets_one", raw_field(offsets="[8]"), "wrong-offsets")
    case("offsets_three", raw_field(offsets="[0,8,8]"), "wrong-offsets")
    case("rank_9", file_of(entry("a", "U8", [1] * 9, 0, 1), data=1), "rank-too-large")
    case("rank_70", file_of(entry("a", "U8", [1] * 70, 0, 1), data=1), "rank-too-large")


def entries():
    case("unknown_dtype", raw_field(dtype='"F128"'), "unknown-dtype")
    case("dtype_lower_case", raw_field(dtype='"f32"'), "unknown-dtype")
    case("dtype_number", raw_field(dtype="32"), "wrong-type")
    case("shape_number", raw_field(shape="2"), "wrong-type")
    case("shape_null", raw_field(shape="null", offsets="[0,4]", data=4), "wrong-type")
    case("offsets_object", raw_field(offsets="{}"), "wrong-type")
    case("entry_null", wrap('{"a":null}'), "wrong-type")
    case("entry_empty", wrap('{"a":{}}'), "missing-field")
    case(
        "missing_dtype", wrap('{"a":{"shape":[2],"data_offsets":[0,8]}}', bytes(8)), "missing-field"
    )
    case(
        "missing_shape",
        wrap('{"a":{"dtype":"F32","data_offsets":[0,4]}}', bytes(4)),
        "missing-field",
    )
    case("missing_offsets", wrap('{"a":{"dtype":"F32","shape":[2]}}', bytes(8)), "missing-field")
    case(
        "unknown_field",
        wrap('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"scale":1.5}}', bytes(8)),
        "unknown-field",
        "accept",
    )
    case(
        "unknown_field_twice",
        wrap('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1,"x":2}}', bytes(8)),
        "unknown-field",
        "duplicate-key",
    )
    case(
        "duplicate_key_in_unknown_field",
        wrap('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":{"y":1,"y":2}}}', bytes(8)),
        "unknown-field",
        "duplicate-key",
    )
    case("metadata_null", file_of(ONE, data=8, metadata="null"), "wrong-type")
    case("metadata_array", file_of(ONE, data=8, metadata="[]"), "wrong-type")
    case("metadata_string", file_of(ONE, data=8, metadata='"x"'), "wrong-type")
    case("metadata_number_value", file_of(ONE, data=8, metadata='{"k":1}'), "wrong-type")
    case("metadata_nested", file_of(ONE, data=8, metadata='{"k":{"a":"b"}}'), "wrong-type")
    case("metadata_null_value", file_of(ONE, data=8, metadata='{"k":null}'), "wrong-type")


def foreign():
    pickle = b"\x80\x02}q\0(X\x01\0\0\0aq\1K\1u."
    name = b"archive/data.pkl"
    torch_zip = (
        b"PK\x03\x04"
        + struct.pack(
            "<HHHHHIIIHH",
            20,
            0,
            0,
            0,
            0,
            zlib.crc32(pickle),
            len(pickle),
            len(pickle),
            len(name),
            0,
        )
        + name
        + pickle
    )
    plain_zip = torch_zip.replace(name, b"some/readme.text")
    files = dict(
        pickle=pickle,
        torch_zip=torch_zip,
        zip=plain_zip,
        hdf5=b"\x89HDF\r\n\x1a\n" + bytes(40),
        gguf=b"GGUF" + struct.pack("<IQQ", 3, 0, 0),
        html=b"<!DOCTYPE html>\n<html><body>404</body></html>",
        lfs_pointer=b"version https://git-lfs.github.com/spec/v1\noid sha256:"
        + b"0" * 64
        + b"\nsize 12\n",
        gzip=b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + bytes(30),
        png=b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20),
        npy=b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
        json=b'{"metadata":{},"weight_map":{}}',
        text=b"Invalid username or password.\n",
    )
    for label, content in files.items():
        case("foreign_%s" % label, content, "foreign-format")
    case("zeros", bytes(64), "header-empty")
    case("empty_file", b"", "empty-file", status=66)


def build():
    for group in (
        valid_files,
        odd_names,
        duplicates,
        text_faults,
        lengths,
        layout,
        numbers,
        entries,
        foreign,
    ):
        group()
    return CASES


def expectation(c):
    return {k: c[k] for k in ("expected", "lenient", "status", "warns")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path, metavar="VERDICTS")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    cases = build()
    for name, c in cases.items():
        (options.directory / (name + ".safetensors")).write_bytes(c["content"])
    if options.check:
        recorded = json.loads(options.check.read_text())["cases"]
        now = {
            name: dict(sha256=hashlib.sha256(c["content"]).hexdigest(), **expectation(c))
            for name, c in cases.items()
        }
        then = {
            name: {k: v for k, v in r.items() if k != "reference"} for name, r in recorded.items()
        }
        wrong = sorted(n for n in now.keys() | then.keys() if now.get(n) != then.get(n))
        if wrong:
            sys.exit("verdicts.json is out of date (run record_reference.py): " + ", ".join(wrong))


if __name__ == "__main__":
    main()
