#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builds and runs consumer/ against dashi: `check.py WAY SOURCE BUILD WORK KOKKOS CXX CMAKE`.

WAY is package, subdirectory or fetchcontent. All work happens in WORK, below a folder whose name
has a space.
"""

import pathlib
import shutil
import subprocess
import sys

LIBRARY = ("CMakeLists.txt", "cmake", "include", "backends", "LICENSE")


def run(*command) -> None:
    subprocess.run([str(part) for part in command], check=True)


def main() -> None:
    way, source, build, work, kokkos, compiler, cmake = sys.argv[1:]
    source = pathlib.Path(source)
    work = pathlib.Path(work) / "with a space"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shutil.copytree(source / "tests/install/consumer", work / "consumer")

    options = [f"-DKokkos_DIR={kokkos}", f"-DCMAKE_CXX_COMPILER={compiler}", f"-DDASHI_WAY={way}"]
    if way == "package":
        run(cmake, "--install", build, "--prefix", work / "prefix")
        options.append(f"-DCMAKE_PREFIX_PATH={work / 'prefix'}")
        installed = {file.name for file in (work / "prefix").rglob("*.hpp")}
        missing = {file.name for folder in ("include", "backends")
                   for file in (source / folder).rglob("*.hpp")} - installed
        if missing:
            sys.exit(f"not installed: {sorted(missing)}")
    else:
        # Only what the library consists of, so that tests or the program cannot be needed.
        copy = work / "dashi copy"
        copy.mkdir()
        for name in LIBRARY:
            part = source / name
            if part.is_dir():
                shutil.copytree(part, copy / name)
            elif part.exists():
                shutil.copy(part, copy)
        options.append(f"-DDASHI_COPY={copy}")

    run(cmake, "-S", work / "consumer", "-B", work / "build", "-G", "Ninja",
        "-DCMAKE_BUILD_TYPE=Release", *options)
    run(cmake, "--build", work / "build")
    subprocess.run([str(work / "build" / "consumer")], cwd=work, check=True)


if __name__ == "__main__":
    main()
