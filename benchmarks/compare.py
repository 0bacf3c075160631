#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Row C12: our exact mean against the peers' averages, one process each, interleaved A B B A.

    benchmarks/compare.py build/benchmarks/bench_exact_mean .deps/peers/bin/python [--rounds 4]

Every round runs our benchmark (which measures its own read ceiling) and every peer, in turning order.
Prints a table and, with --json, everything. Unsets OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE and sets
OMP_WAIT_POLICY=PASSIVE for both sides.
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

PEERS = ("mergekit_linear", "torch_loop", "torch_chunked", "numpy")
ROW = re.compile(r"^(?P<name>\S.*?)\s{2,}(?P<runs>\d+)\s+(?P<median>[\d.]+)\s+(?P<best>[\d.]+)\s+(?P<rate>[\d.]+)")


def ours(program, environment):
    filters = "ceiling/.*|exact_mean/bf16.*"
    text = subprocess.run([program, f"--benchmark_filter={filters}", "--benchmark_repetitions=5"], env=environment,
                          check=True, capture_output=True, text=True).stdout
    return {m["name"]: float(m["median"]) / 1e3 for m in map(ROW.match, text.splitlines()) if m}


def peer(python, name, environment):
    script = Path(__file__).parent / "peers" / "average.py"
    text = subprocess.run([python, script, name], env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(text.splitlines()[-1])["median"]


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("python")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment.update(OMP_WAIT_POLICY="PASSIVE", OMP_PROC_BIND="true")

    times = {}
    for round_number in range(options.rounds):
        steps = ["ours", *PEERS]
        for step in steps if round_number % 2 == 0 else reversed(steps):
            if step == "ours":
                for name, seconds in ours(options.program, environment).items():
                    times.setdefault(name, []).append(seconds)
            else:
                times.setdefault(step, []).append(peer(options.python, step, environment))
            print(f"round {round_number + 1}: {step}", file=sys.stderr)

    medians = {name: statistics.median(values) for name, values in times.items()}
    mean = medians["exact_mean/bf16 uniform"]
    load = os.getloadavg()[0]
    print(f"{processor()}, {len(os.sched_getaffinity(0))} threads, load {load:.1f}, {platform.release()}")
    for name, seconds in medians.items():
        spread = (max(times[name]) - min(times[name])) / seconds
        ratio = f"{seconds / mean:7.2f} x ours" if name in PEERS else ""
        print(f"{name:32s} {seconds * 1e3:9.1f} ms  spread {spread:4.0%}  {ratio}")
    if options.json:
        Path(options.json).write_text(json.dumps({"processor": processor(), "load": load, "times": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
