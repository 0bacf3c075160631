# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs one file of unittest cases for ctest: `run_python_test.py FILE [CASE...]`.

Exit status: 0 passed, 1 failed or nothing ran, 77 everything was skipped (ctest: Skipped).
"""

import importlib.util
import pathlib
import sys
import unittest

SKIPPED = 77


def main() -> int:
    file = pathlib.Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except unittest.SkipTest as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    loader = unittest.TestLoader()
    suite = (loader.loadTestsFromNames(sys.argv[2:], module) if sys.argv[2:]
             else loader.loadTestsFromModule(module))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    if not result.wasSuccessful():
        return 1
    if result.testsRun == 0 and not result.skipped:
        print(f"{file}: no test was found")
        return 1
    return SKIPPED if len(result.skipped) >= max(result.testsRun, 1) else 0


if __name__ == "__main__":
    sys.exit(main())
