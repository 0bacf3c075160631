#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times `dashi soup add` and `remove` of one member against what a change of the sums cannot do without.

    soup_change.py DASHI FOLDER [--parameters 134000000] [--dtype bf16] [--rounds 3]

DASHI: the program. FOLDER: where the files go; they are removed at the end. A soup of two members in sums
(--mode accumulate) gets a third and loses it again. In turn with that the same disk does what a change must do: it
reads the old sums and the member, and writes and syncs as many bytes of new sums; and the member is hashed by SHA-256,
which its removal is checked by. A ratio is the longer of the two over the time of the change: below 1 the change is the
slower.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import random
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path

BLOCK = 1 << 22
WIDTH = {"bf16": 2, "f16": 2, "f32": 4}


def some_numbers(dtype, seed, count=1 << 18):
    """Normal(0, 0.02) in a dtype."""
    state = random.Random(seed)
    values = [state.gauss(0, 0.02) for _ in range(count)]
    if dtype == "f16":
        return struct.pack(f"<{count}e", *values)
    floats = struct.pack(f"<{count}f", *values)
    return floats if dtype == "f32" else b"".join(floats[i + 2:i + 4] for i in range(0, len(floats), 4))


def write_member(path, options, seed):
    block = some_numbers(options.dtype, seed)
    tensors = 100
    each = options.parameters // tensors
    size = each * WIDTH[options.dtype]
    header = {f"block.{t}.weight": {"dtype": options.dtype.upper(), "shape": [each],
                                    "data_offsets": [t * size, (t + 1) * size]} for t in range(tensors)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        left = tensors * size
        while left > 0:
            file.write(block[:left])
            left -= min(left, len(block))
        os.fsync(file.fileno())


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def copy(sources, target):
    """Reads all of the sources, by as many threads as there are processors, writes the first and syncs it."""
    workers = os.cpu_count()
    files = [os.open(source, os.O_RDONLY) for source in sources]
    out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def work(worker):
        buffer = memoryview(bytearray(BLOCK))
        for number, file in enumerate(files):
            for at in range(worker * BLOCK, os.fstat(file).st_size, workers * BLOCK):
                size = os.preadv(file, [buffer], at)
                if number == 0:
                    os.pwrite(out, buffer[:size], at)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    os.fsync(out)
    for file in (*files, out):
        os.close(file)
    target.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dashi", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parameters", type=int, default=134_000_000)
    parser.add_argument("--dtype", choices=list(WIDTH), default="bf16")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    dashi = str(options.dashi.resolve())
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        members = [folder / f"{letter}.safetensors" for letter in "abc"]
        for seed, member in enumerate(members):
            write_member(member, options, seed)
        soup = folder / "S.soup"

        def run(*arguments):
            subprocess.run([dashi, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

        run("soup", "new", soup, "--member", members[0], "--member", members[1], "--mode", "accumulate")
        times = {"add": [], "remove": [], "disk": [], "digest": []}
        for _ in range(options.rounds):
            times["disk"].append(seconds(lambda: copy([soup, members[2]], folder / "copy")))
            times["digest"].append(seconds(lambda: hashlib.sha256(members[2].read_bytes()).hexdigest()))
            times["add"].append(seconds(lambda: run("soup", "add", soup, members[2])))
            times["remove"].append(seconds(lambda: run("soup", "remove", soup, members[2])))
        middle = {key: statistics.median(value) for key, value in times.items()}
        floor = max(middle["disk"], middle["digest"])
        sizes = (soup.stat().st_size / 1e6, members[2].stat().st_size / 1e6)
        print(f"{options.dtype}: sums of {sizes[0]:.0f} MB, a member of {sizes[1]:.0f} MB")
        for key, value in middle.items():
            fraction = f"ratio {floor / value:5.2f}" if key in ("add", "remove") else " " * 11
            print(f"{key:<8} {value:7.3f} s  {fraction}   ({min(times[key]):.3f} to {max(times[key]):.3f})")


if __name__ == "__main__":
    main()
