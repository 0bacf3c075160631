# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs a program under strace with one fault in one system call, and judges what is left.

The program is write_small_file.cpp of this folder, compiled here, so that a run takes milliseconds.
"""

import atexit
import collections
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
SOURCE = pathlib.Path(os.environ.get("DASHI_SOURCE", FOLDER.parent.parent))
TIMEOUT = 20
TEMPORARY = re.compile(r"\.(.+)\.dashi-[a-z0-9]{6}\.tmp")


@functools.lru_cache(maxsize=None)
def scratch() -> pathlib.Path:
    path = pathlib.Path(tempfile.mkdtemp(prefix="dashi-faults-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.lru_cache(maxsize=None)
def helper() -> str:
    """The compiled program; static, so that only its own system calls are seen."""
    program = scratch() / "write_small_file"
    compiler = os.environ.get("DASHI_CXX", "c++")
    command = [
        compiler,
        "-std=c++20",
        "-O1",
        f"-I{SOURCE}/include",
        str(FOLDER / "write_small_file.cpp"),
        "-o",
        str(program),
    ]
    static = subprocess.run([*command, "-static"], capture_output=True, text=True)
    if static.returncode != 0:
        subprocess.run(command, check=True)
    return str(program)


@functools.lru_cache(maxsize=None)
def require_strace() -> None:
    if shutil.which("strace") is None:
        raise unittest.SkipTest("strace is not installed")
    probe = subprocess.run(
        ["strace", "-o", "/dev/null", "-e", "trace=close", "true"], capture_output=True, text=True
    )
    if probe.returncode != 0:
        raise unittest.SkipTest(f"strace cannot trace here: {probe.stderr.strip()}")


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT, **options)


def calls_of(command: list[str], log: pathlib.Path) -> list[str]:
    """The system calls of a run, in order, one line each."""
    done = run("strace", "-f", "-y", "-s", "0", "-o", str(log), *command)
    if done.returncode != 0:
        raise AssertionError(f"{command} failed: {done.stderr}")
    lines = log.read_text().splitlines()
    # What comes before the program's first own call is the C library starting up.
    lines = [re.sub(r"^\d+ +", "", line) for line in lines]
    return [line for line in lines if re.match(r"[a-z0-9_]+\(", line)]


def counts_of(command: list[str], log: pathlib.Path) -> collections.Counter:
    return collections.Counter(line.split("(", 1)[0] for line in calls_of(command, log))


def inject(command: list[str], fault: str) -> subprocess.CompletedProcess:
    """`fault` as strace takes it: fsync:error=EIO:when=1."""
    return run(
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=" + fault.split(":", 1)[0],
        "-e",
        "inject=" + fault,
        *command,
    )


def snapshot(folder: pathlib.Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def temporaries(files: dict[str, bytes]) -> list[str]:
    return [name for name in files if TEMPORARY.fullmatch(name)]


def visible(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not TEMPORARY.fullmatch(name)}


def is_whole_set(files: dict[str, bytes], whole: dict[str, bytes]) -> bool:
    """The index and every shard are those of `whole`, and no shard is left over."""
    return visible(files) == whole


def index_of(files: dict[str, bytes]) -> dict | None:
    for name, content in files.items():
        if name.endswith(".index.json"):
            return json.loads(content)
    return None


if __name__ == "__main__":
    sys.exit("import me")
