#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One summary of several runs of ctest: `summary.py NAME=JUNIT_FILE...`.

Prints ctest's own lines over all of them; ends with 1 when a test failed or a run left no file.
"""

import pathlib
import sys
import xml.etree.ElementTree


def main() -> int:
    passed, failed, skipped, seconds = 0, [], [], 0.0
    for argument in sys.argv[1:]:
        name, _, file = argument.partition("=")
        if not pathlib.Path(file).exists():
            failed.append(f"{name}: nothing ran")
            continue
        cases = xml.etree.ElementTree.parse(file).getroot().findall("testcase")
        counts = {"run": 0, "fail": 0, "other": 0}
        for case in cases:
            status = case.get("status")
            counts[status if status in counts else "other"] += 1
            seconds += float(case.get("time", 0))
            if status == "run":
                passed += 1
            elif status == "fail":
                failed.append(f"{name}: {case.get('name')}")
            else:
                skipped.append(f"{name}: {case.get('name')}")
        print(f"{name}: {counts['run']} passed, {counts['fail']} failed, {counts['other']} did not run")
    if skipped:
        print("\nThe following tests did not run:")
        print("\n".join(f"\t{name}" for name in skipped))
    if failed:
        print("\nThe following tests FAILED:")
        print("\n".join(f"\t{name}" for name in failed))
    total = passed + len(failed) + len(skipped)
    rate = 100 * (total - len(failed)) // max(total, 1)
    print(f"\n{rate}% tests passed, {len(failed)} tests failed out of {total}\n")
    print(f"Total Test time (sum) = {seconds:6.2f} sec")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
