#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fails when clang-format would change a source file: `check_format.py ROOT CLANG_FORMAT`."""

import pathlib
import subprocess
import sys

FOLDERS = ("include", "backends", "tests", "examples", "benchmarks")


def main() -> int:
    root, formatter = pathlib.Path(sys.argv[1]), sys.argv[2]
    if formatter.endswith("NOTFOUND"):
        print("skipped: clang-format-14 is not installed")
        return 77
    files = sorted(str(file) for folder in FOLDERS for file in (root / folder).rglob("*.[ch]pp"))
    if not files:
        print("no source file found")
        return 1
    run = subprocess.run([formatter, "--dry-run", "-Werror", "--style=file", *files],
                         stderr=subprocess.PIPE, text=True, check=False)
    places = [line for line in run.stderr.splitlines() if "clang-format-violations" in line]
    for line in places[:30]:
        print(line)
    bad = {line.split(":")[0] for line in places}
    print(f"{len(files)} files, {len(bad)} of them not formatted" + ("; run: make format" if bad else ""))
    if run.returncode != 0 and not bad:
        print(run.stderr)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
