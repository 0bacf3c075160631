#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rows C1 to C8, C10 and C16 to C19: adapter layers, decompositions and DiT against the peers, one process each, interleaved.

    benchmarks/compare_adapters.py build/benchmarks .deps/peers/bin/python [--rounds 4] [--rows layer fuse product gated svd dit dit_adapters dit_bf16]

Every round runs our benchmark and every peer of a row, in turning order; the medians of the rounds'
medians are compared. Unsets OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE and sets OMP_WAIT_POLICY=PASSIVE for
both sides. DASHI_BENCH_REPEATS and DASHI_BENCH_BLOCKS hold for both sides as well.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
ADAPTED = ("s2_block_lokr_1", "s2_block_lokr_8", "s2_block_lora_1", "s2_block_lora_8", "s2_frozen_1", "s2_frozen_8")
# row: our program and its argument, then the peers: name, script, arguments
ROWS = {
    "layer": (("bench_kronecker", "layer"),
              [(name, "lokr.py", [name]) for name in ("base", "peft", "lycoris", "lycoris_bypass")]),
    "product": (("bench_kronecker", "product"), [("pyfastkron", "fastkron.py", [])]),
    "fuse": (("bench_kronecker", "fuse"), [("torch.kron", "kron_fuse.py", [])]),
    "gated": (("bench_gated_svd",), [("torch", "gated.py", [])]),
    "svd": (("bench_svd", "S2", "4"), [(name, "svd.py", [name, "S2", "--blocks", "4"]) for name in ("torch", "numpy")]),
    "dit": (("bench_dit", "s2_train_8", "s2_train_32", "xl2_sample", "s2_adamw"),
            [("diffusers", "dit.py", ["--case", "s2_train_8", "s2_train_32", "xl2_sample", "s2_adamw"])]),
    "dit_adapters": (("bench_dit", *ADAPTED),
                     [(name, "dit.py", ["--adapter", name, "--case", *ADAPTED[:cases]])
                      for name, cases in (("peft", 6), ("lycoris", 4), ("lycoris_bypass", 4))]),
    "dit_bf16": (("bench_dit", "s2_train_8_bf16", "s2_train_32_bf16", "xl2_sample_bf16"),
                 [("diffusers", "dit.py", ["--case", "s2_train_8_bf16", "s2_train_32_bf16", "xl2_sample_bf16"])]),
}


def last_json(command, environment):
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(text.splitlines()[-1])


def ours(folder, program, environment):
    rows = last_json([str(Path(folder) / program[0]), *program[1:]], environment)["rows"]
    return {name: row["median"] for name, row in rows.items()}


def peer(python, script, arguments, environment):
    result = last_json([python, str(PEERS / script), *arguments], environment)
    cases = result.get("cases", {"": result})
    return {name: case["median"] for name, case in cases.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="where the benchmark programs are")
    parser.add_argument("python", help="with the packages of peers/requirements.txt")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment.update(OMP_WAIT_POLICY="PASSIVE", OMP_PROC_BIND="true")

    times = {}
    for row in options.rows:
        program, peers = ROWS[row]
        for round_number in range(options.rounds):
            steps = [("ours", None, None), *peers]
            for name, script, arguments in steps if round_number % 2 == 0 else reversed(steps):
                result = ours(options.folder, program, environment) if script is None else \
                    peer(options.python, script, arguments, environment)
                for case, seconds in result.items():
                    times.setdefault((row, name, case), []).append(seconds)
                print(f"{row}, round {round_number + 1}: {name}", file=sys.stderr)

    print(f"{len(os.sched_getaffinity(0))} threads, load {os.getloadavg()[0]:.1f}")
    median = {key: statistics.median(values) for key, values in times.items()}
    for (row, name, case), seconds in median.items():
        spread = (max(times[row, name, case]) - min(times[row, name, case])) / seconds
        print(f"{row:8s} {name:15s} {case:48s} {seconds * 1e3:10.3f} ms  spread {spread:4.0%}")
        # A peer's case is the end of the names of ours that do the same.
        mine = {own: value for (r, n, own), value in median.items()
                if name != "ours" and r == row and n == "ours" and own.endswith(case) and not own.startswith("ceiling/")}
        for own, value in mine.items():
            print(f"{'':25s}{seconds / value:7.2f} x {own}")
    if options.json:
        table = {"/".join(key): values for key, values in times.items()}
        Path(options.json).write_text(json.dumps({"load": os.getloadavg()[0], "times": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
