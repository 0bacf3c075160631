#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A test program built for a device: `device_program.py list|run cuda|hip ARCHITECTURE PROGRAM`.

list  The program is linked: it holds code for the architecture and lists its tests, with the
      toolkit's stub in place of a driver where there is none.
run   Runs it where there is a device; else says so and ends with 77 (ctest: Skipped).
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
# The driver's own files; asking a library would need one that loads.
DEVICES = {"cuda": "/dev/nvidiactl", "hip": "/dev/kfd"}
DRIVER = "libcuda.so.1"


def with_stub_driver(folder: pathlib.Path) -> dict:
    """An environment in which a CUDA program loads without a driver."""
    nvcc = shutil.which("nvcc")
    roots = [pathlib.Path(nvcc).resolve().parent.parent] if nvcc else []
    for root in [*roots, pathlib.Path("/usr/local/cuda")]:
        for stub in root.glob("**/stubs/libcuda.so"):
            (folder / DRIVER).symlink_to(stub)
            return {**os.environ, "LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    return dict(os.environ)


def list_tests(device: str, architecture: str, program: pathlib.Path) -> int:
    if architecture.encode() not in program.read_bytes():
        print(f"{program}: holds no code for {architecture}")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        environment = with_stub_driver(pathlib.Path(folder)) if device == "cuda" else dict(os.environ)
        done = subprocess.run([program, "--list-tests"], env=environment, capture_output=True, text=True,
                              check=False)
    if done.returncode == 0 and "test case" in done.stdout:
        print(done.stdout)
        return 0
    if device == "hip" and done.returncode == 127:
        # Debian 13's hipBLAS was linked, but what it needs itself is not installed.
        print(f"linked for {architecture}; cannot be loaded here: {done.stderr.strip()}")
        return 0
    print(done.stdout + done.stderr)
    return 1


def run_tests(device: str, program: pathlib.Path) -> int:
    if not os.path.exists(DEVICES[device]):
        print(f"built and linked, not run: no {device.upper()} device here ({DEVICES[device]} does not exist)")
        return SKIPPED
    return subprocess.run([program], check=False).returncode


def main() -> int:
    what, device, architecture, program = sys.argv[1:5]
    if what == "list":
        return list_tests(device, architecture, pathlib.Path(program))
    return run_tests(device, pathlib.Path(program))


if __name__ == "__main__":
    sys.exit(main())
