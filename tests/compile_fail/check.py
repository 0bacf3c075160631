#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks that a file is refused with the promised message: `check.py FILE compile_commands.json`.

The file says what it expects in comments, each on a line of its own:

    // expect-error: REGEX   at least one; each must match within one line that the compiler prints
    // expect-success        instead: the file must compile (the passing twin of a near-miss)
    // flags: FLAGS          added to the compile command

The command is the one that built control_compiles.cpp.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from compile_command import command_of  # noqa: E402


def main() -> int:
    source = pathlib.Path(sys.argv[1]).resolve()
    text = source.read_text()
    expected = re.findall(r"^// expect-error: (.+?)\s*$", text, re.M)
    must_compile = re.search(r"^// expect-success\s*$", text, re.M) is not None
    if bool(expected) == must_compile:
        print(f"{source.name}: give 'expect-error: REGEX' lines or 'expect-success'")
        return 1
    command, directory = command_of(pathlib.Path(sys.argv[2]), "control_compiles.cpp")
    command.append("-fsyntax-only")
    for flags in re.findall(r"^// flags: (.+)$", text, re.M):
        command += shlex.split(flags)
    command.append(str(source))
    run = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, errors="replace", check=False,
                         env=dict(os.environ, LC_ALL="C"))
    if must_compile:
        print(run.stdout)
        return int(run.returncode != 0)
    # The source lines that compilers quote would match what the file itself says.
    said = [line for line in run.stdout.splitlines() if not re.match(r"\s*\d* \|", line)]
    missing = [regex for regex in expected if not any(re.search(regex, line) for line in said)]
    if run.returncode == 0:
        print(f"{source.name}: compiled, but should not")
    elif run.returncode != 1:
        print(f"{source.name}: the compiler ended with {run.returncode}")
    for regex in missing:
        print(f"{source.name}: no line matches: {regex}")
    if run.returncode != 1 or missing:
        print(run.stdout)
        return 1
    print("refused with: " + "; ".join(expected))
    return 0


if __name__ == "__main__":
    sys.exit(main())
