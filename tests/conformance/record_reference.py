#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Records what the reference library makes of every file of the corpus, into verdicts.json.

    python3 -m venv VENV && VENV/bin/pip install safetensors==0.8.0
    VENV/bin/python tests/conformance/record_reference.py

Run it after make_corpus.py changes. The tests only read the result and need no reference library.
"""

import hashlib
import json
import pathlib

import safetensors

import make_corpus

HERE = pathlib.Path(__file__).resolve().parent


def reference_verdict(content):
    try:
        safetensors.deserialize(content)
    except BaseException as error:  # a panic of the Rust library is no Exception
        return {"verdict": "reject", "error": str(error)[:160]}
    return {"verdict": "accept", "error": None}


def main():
    cases = {}
    for name, c in make_corpus.build().items():
        cases[name] = dict(
            sha256=hashlib.sha256(c["content"]).hexdigest(),
            **make_corpus.expectation(c),
            reference=reference_verdict(c["content"])
        )
    document = {"reference": "PyPI safetensors " + safetensors.__version__, "cases": cases}
    (HERE / "verdicts.json").write_text(json.dumps(document, indent=1) + "\n")
    for name, c in cases.items():
        ours = "accept" if c["expected"] == "accept" else "reject"
        if ours != c["reference"]["verdict"]:
            print("| `%s` | %s | %s |" % (name, c["expected"], c["reference"]["verdict"]))
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
