# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""header_chains.py: every header is in one unit, in which only what it includes comes before it."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHAINS = pathlib.Path(os.environ["DASHI_SOURCE"]) / "tests" / "header_chains.py"


class HeaderChainsTest(unittest.TestCase):
    def units(self, texts: dict[str, str]) -> list[str]:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for header, text in texts.items():
                (folder / header).parent.mkdir(parents=True, exist_ok=True)
                (folder / header).write_text("// A licence.\n#pragma once\n" + text)
            (folder / "list").write_text("\n".join(texts))
            run = subprocess.run([sys.executable, "-B", CHAINS, folder / "list", folder],
                                 capture_output=True, text=True, check=True)
        return sorted(run.stdout.splitlines())

    def test_a_header_comes_after_those_it_includes(self):
        self.assertEqual(self.units({"a.hpp": "#include <vector>\n", "b.hpp": "#include <a.hpp>\n",
                                     "c.hpp": "#include <string>\n\n#include <b.hpp>\n"}),
                         ["plain a.hpp b.hpp c.hpp"])

    def test_headers_of_which_neither_includes_the_other_are_apart(self):
        self.assertEqual(self.units({"a.hpp": "", "b.hpp": "#include <a.hpp>\n", "c.hpp": "#include <a.hpp>\n"}),
                         ["plain a.hpp b.hpp", "plain c.hpp"])

    def test_chains_are_few(self):
        # Taking b, the first that includes a, for its chain would leave three.
        self.assertEqual(self.units({"a.hpp": "", "b.hpp": "#include <a.hpp>\n#include <d.hpp>\n",
                                     "c.hpp": "#include <a.hpp>\n", "d.hpp": ""}),
                         ["plain a.hpp c.hpp", "plain d.hpp b.hpp"])

    def test_kokkos_only_where_all_bring_it_in(self):
        self.assertEqual(self.units({"a.hpp": "", "b.hpp": "#include <a.hpp>\n#include <Kokkos_Core.hpp>\n",
                                     "c.hpp": "#include <b.hpp>\n"}),
                         ["kokkos b.hpp c.hpp", "plain a.hpp"])

    def test_includes_of_a_condition_or_behind_code_join_nothing(self):
        self.assertEqual(self.units({"a.hpp": "", "b.hpp": "#if defined(X)\n#include <a.hpp>\n#endif\n",
                                     "c.hpp": "int c();\n#include <a.hpp>\n"}),
                         ["plain a.hpp", "plain b.hpp", "plain c.hpp"])

    def test_a_neighbour_in_quotes(self):
        self.assertEqual(self.units({"x/a.hpp": "", "x/b.hpp": '#include "a.hpp"\n', "a.hpp": ""}),
                         ["plain a.hpp", "plain x/a.hpp x/b.hpp"])

    def test_headers_that_include_each_other_are_both_checked(self):
        self.assertEqual(self.units({"a.hpp": "#include <b.hpp>\n", "b.hpp": "#include <a.hpp>\n"}),
                         ["plain a.hpp", "plain b.hpp"])


if __name__ == "__main__":
    unittest.main()
