# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""check_layers.py: a clean tree passes, each kind of violation is found."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(os.environ["DASHI_SOURCE"]) / "cmake" / "check_layers.py"
SPDX = "// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception\n"
HEAD = SPDX + "#pragma once\n"


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("include/dashi/core/error.hpp", HEAD + "#include <string>\n")
        self.write("include/dashi/core/context.hpp", HEAD + "#include <Kokkos_Core.hpp>\n")
        self.write("include/dashi/io/dtype.hpp", HEAD + "#include <dashi/core/error.hpp>\n")
        self.write("include/dashi/io.hpp", HEAD + "#include <dashi/io/dtype.hpp>\n")
        self.write("backends/host/host.hpp", HEAD + "#include <dashi/core/context.hpp>\n")

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def check(self, *options) -> tuple[int, str]:
        run = subprocess.run([sys.executable, "-B", CHECK, self.root, *options],
                             capture_output=True, text=True, check=False)
        return run.returncode, run.stdout + run.stderr

    def assert_finds(self, *words: str) -> None:
        status, text = self.check()
        self.assertEqual(status, 1, text)
        errors = [line for line in text.splitlines() if line.startswith("error:")]
        self.assertTrue(any(all(word in line for word in words) for line in errors), text)

    def test_clean_tree(self):
        self.assertEqual(self.check()[0], 0, self.check()[1])

    def test_empty_tree(self):
        for file in self.root.rglob("*.hpp"):
            file.unlink()
        self.assertEqual(self.check()[0], 1)

    def test_include_against_the_layers(self):
        self.write("include/dashi/core/error.hpp", HEAD + "#include <dashi/io/dtype.hpp>\n")
        self.assert_finds("core/error.hpp", "'core' may include no other module")

    def test_backend_includes_merging(self):
        self.write("include/dashi/merging/soup.hpp", HEAD)
        self.write("backends/host/host.hpp", HEAD + "#include <dashi/merging/soup.hpp>\n")
        self.assert_finds("backends/host/host.hpp", "merging/soup.hpp")

    def test_kokkos_reached_from_a_standard_only_header(self):
        self.write("include/dashi/core/error.hpp", HEAD + "#include <dashi/core/context.hpp>\n")
        self.assert_finds("io/dtype.hpp", "standard library only", "Kokkos_Core.hpp")

    def test_unknown_library(self):
        self.write("include/dashi/io/npy.hpp", HEAD + "#include <zlib/zlib.h>\n")
        self.assert_finds("io/npy.hpp", "does not depend on")

    def test_missing_header_and_quotes(self):
        self.write("include/dashi/io/npy.hpp", HEAD + "#include <dashi/io/gone.hpp>\n")
        self.assert_finds("gone.hpp", "does not exist")
        self.write("include/dashi/io/npy.hpp", HEAD + '#include "dtype.hpp"\n')
        self.assert_finds("io/npy.hpp", "write <dashi/...>")

    def test_vendor_name(self):
        vendor = "CU" + "DA"
        self.write("include/dashi/core/context.hpp", HEAD + f"// not on {vendor}\n")
        self.assert_finds("core/context.hpp", vendor)
        self.write("include/dashi/core/context.hpp", HEAD + "// relationship, membership\n")
        self.assertEqual(self.check()[0], 0)

    def test_sizes(self):
        self.write("include/dashi/core/context.hpp", HEAD + "//\n" * 350)
        status, text = self.check()
        self.assertEqual((status, "352 lines" in text), (0, True), text)
        self.write("include/dashi/core/context.hpp", HEAD + "//\n" * 400)
        self.assert_finds("core/context.hpp", "402 lines")

    def test_form(self):
        self.write("include/dashi/core/context.hpp", SPDX)
        self.assert_finds("core/context.hpp", "pragma once")
        self.write("include/dashi/core/context.hpp", HEAD + "using namespace std;\n")
        self.assert_finds("core/context.hpp", "using namespace")

    def test_licence_line(self):
        self.write("tests/a_test.cpp", "int main() {}\n")
        self.assert_finds("tests/a_test.cpp", "SPDX")

    def test_machine_path(self):
        self.write("docs/notes.md", "see /ho" + "me/me/notes\n")
        self.assert_finds("docs/notes.md", "path of one machine")

    def test_file_sets(self):
        listing = self.root / "sets"
        listing.write_text("\n".join(str(f) for f in self.root.rglob("*.hpp") if f.name != "dtype.hpp"))
        status, text = self.check("--file-sets", listing)
        self.assertEqual(status, 1)
        self.assertIn("io/dtype.hpp: is in no file set", text)


if __name__ == "__main__":
    unittest.main()
