#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks that a file compiles without a warning, everything that it instantiates included, but makes no code from it:
`check_compiles.py FILE compile_commands.json`."""

import pathlib
import subprocess
import sys

from compile_command import command_of

source = pathlib.Path(sys.argv[1]).resolve()
command, directory = command_of(pathlib.Path(sys.argv[2]), source.name)
sys.exit(subprocess.run(command + ["-O0", "-fsyntax-only", str(source)], cwd=directory, check=False).returncode)
