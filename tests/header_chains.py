#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which headers one unit can check: `header_chains.py HEADER_LIST FOLDER...`.

HEADER_LIST names one header a line, as it is included; FOLDERs are where to look for them. Prints
one line a unit: `kokkos` or `plain`, then the unit's headers, the last of which includes all others.

A header is self-contained when what it uses comes from what it includes. Whatever a unit has read
before it may therefore be only what the header itself brings in. So the headers of a unit are a
chain, in which each is included by the next: its units find what a unit a header would find, and
are as few as can be (a maximum matching gives the fewest chains that cover a partial order).
`kokkos` marks chains whose headers all bring in Kokkos_Core.hpp, which may then be read before them.
"""

import pathlib
import re
import sys

KOKKOS = "Kokkos_Core.hpp"
INCLUDE = re.compile(r'#\s*include\s*[<"]([^>"]+)[>"]')


def sure_includes(text: str) -> list[str]:
    """What is included ahead of all declarations and under no condition."""
    included, depth = [], 0
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith(("#", "//")):
            break
        directive = line.removeprefix("#").lstrip() if line.startswith("#") else ""
        if directive.startswith("if"):
            depth += 1
        elif directive.startswith("endif"):
            depth -= 1
        elif depth == 0 and (found := INCLUDE.match(line)):
            included.append(found[1])
    return included


def read_graph(headers: list[str], folders: list[pathlib.Path]) -> dict[str, list[str]]:
    """What each header includes; headers of the list by their names in the list."""
    graph, known = {}, set(headers)
    for header in headers:
        file = next(folder / header for folder in folders if (folder / header).is_file())
        beside = str(pathlib.PurePosixPath(header).parent)
        graph[header] = [f"{beside}/{name}" if f"{beside}/{name}" in known else name
                         for name in sure_includes(file.read_text())]
    return graph


def reached(graph: dict[str, list[str]], header: str) -> set[str]:
    """All that `header` brings in."""
    found, queue = set(), list(graph[header])
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += graph.get(name, [])
    return found


def chains(headers: list[str], below: dict[str, set[str]]) -> list[list[str]]:
    """The fewest chains that hold each header once; `below` is a strict partial order."""
    above: dict[str, str] = {}  # the next header of a chain
    under: dict[str, str] = {}

    def place(top: str, tried: set[str]) -> bool:
        for lower in sorted(below[top] - tried):
            tried.add(lower)
            if lower not in above or place(above[lower], tried):
                above[lower], under[top] = top, lower
                return True
        return False

    for header in headers:
        place(header, set())
    found = []
    for header in headers:
        if header not in under:
            chain = [header]
            while chain[-1] in above:
                chain.append(above[chain[-1]])
            found.append(chain)
    return found


def main() -> int:
    headers = sorted(pathlib.Path(sys.argv[1]).read_text().split())
    graph = read_graph(headers, [pathlib.Path(folder) for folder in sys.argv[2:]])
    brings = {header: reached(graph, header) for header in headers}
    for kind in ("kokkos", "plain"):
        chosen = [h for h in headers if (KOKKOS in brings[h]) == (kind == "kokkos")]
        below = {h: {lower for lower in brings[h] & set(chosen) if h not in brings[lower]} for h in chosen}
        for chain in chains(chosen, below):
            print(kind, *chain)
    return 0


if __name__ == "__main__":
    sys.exit(main())
