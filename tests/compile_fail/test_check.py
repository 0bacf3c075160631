# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""check.py itself: each way in which a compile-fail test can be wrong is seen."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).with_name("check.py")
DATABASE = pathlib.Path(os.environ["DASHI_BUILD"]) / "compile_commands.json"
REFUSED = 'static_assert(sizeof(int) == 1, "int: make it small");\n'


class CheckTest(unittest.TestCase):
    def status(self, text: str) -> int:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "case.cpp"
            file.write_text(text)
            return subprocess.run([sys.executable, "-B", CHECK, file, DATABASE],
                                  stdout=subprocess.DEVNULL, check=False).returncode

    def test_accepts_the_promised_message(self):
        self.assertEqual(self.status("// expect-error: int: make it small\n" + REFUSED), 0)

    def test_sees_a_file_that_compiles(self):
        self.assertEqual(self.status("// expect-error: int: make it small\nint main() {}\n"), 1)

    def test_sees_another_message(self):
        self.assertEqual(self.status("// expect-error: int: make it large\n" + REFUSED), 1)

    def test_every_message_must_be_there(self):
        self.assertEqual(self.status("// expect-error: int: make\n// expect-error: more\n" + REFUSED), 1)

    def test_a_quoted_source_line_is_no_message(self):
        self.assertEqual(self.status("// expect-error: not_a_name_twice\n"
                                     "int a = 1 1;  // not_a_name_twice\n"), 1)

    def test_passing_twin(self):
        self.assertEqual(self.status("// expect-success\nint main() {}\n"), 0)
        self.assertEqual(self.status("// expect-success\n" + REFUSED), 1)

    def test_flags(self):
        self.assertEqual(self.status("// flags: -DBROKEN\n// expect-error: broken\n"
                                     "#ifdef BROKEN\n#error broken\n#endif\n"), 0)

    def test_a_file_must_say_what_it_expects(self):
        self.assertEqual(self.status(REFUSED), 1)


if __name__ == "__main__":
    unittest.main()
