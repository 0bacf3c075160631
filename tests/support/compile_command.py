# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Commands that a build compiles its files with."""

import json
import pathlib
import shlex
import sys


def command_of(database: pathlib.Path, name: str) -> tuple[list[str], str]:
    """The command for a file of that name up to its output, and the folder it runs in; `database` is the build's
    compile_commands.json."""
    for entry in json.loads(database.read_text()):
        if pathlib.Path(entry["file"]).name == name:
            command = shlex.split(entry["command"])
            return command[:command.index("-o")], entry["directory"]
    sys.exit(f"{database}: no command for {name}")
