#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks what the compiler does not: `check_layers.py ROOT [--file-sets LIST]`.

Direction of includes between modules, headers that include the standard library only, vendor names
outside backends/, headers missing from the file sets, header sizes, licence lines, machine paths.
Prints one line per finding and exits with 1 when there is an error.
"""

import argparse
import pathlib
import re
import subprocess
import sys

# Which modules a module may include besides itself.
LAYERS = {
    "core": set(),
    "io": {"core"},
    "linalg": {"core"},
    "kernels": {"core", "linalg"},
    "data": {"core", "io"},
    "metrics": {"core", "linalg", "kernels"},
    "merging": {"core", "linalg", "kernels", "io"},
    "diffusion": {"core", "kernels"},
    "adapters": {"core", "linalg", "kernels"},
    "backbones": {"core", "linalg", "kernels", "adapters", "diffusion"},
    "training": {"core", "io", "data", "metrics", "linalg", "kernels", "diffusion", "adapters", "backbones"},
    "checkpoints": {"core", "io", "data", "metrics", "linalg", "kernels", "merging", "diffusion", "adapters",
                    "backbones", "training"},
    "interop": {"core", "linalg"},
}
BACKEND_LAYERS = {"core", "linalg", "kernels"}
# The generated headers; enabled_backends.hpp brings vendor code in, which only these modules need.
GENERATED = {"config.hpp": set(LAYERS), "enabled_backends.hpp": {"linalg", "kernels", "diffusion"}}
# Headers that a fuzzer builds without Kokkos, with everything that they include.
STANDARD_ONLY = re.compile(
    r"io/(safetensors_(?!writer|layout)\w*|json_\w*|dtype|tensor_info|input_file|shard_index|checkpoint)\.hpp"
    r"|core/(error|expects|exit_status)\.hpp")
THIRD_PARTY = {"omp.h": {"io"}, "openssl/": {"io"}, "xxhash.h": {"io"}, "xtensor": {"interop"},
               "png.h": {"io"}, "turbojpeg.h": {"io"}, "zlib.h": {"io"}, "zip.h": {"io"}}
POSIX = {"dirent.h", "fcntl.h", "signal.h", "sys/file.h", "sys/mman.h", "sys/resource.h", "sys/stat.h",
         "sys/statvfs.h", "sys/sysmacros.h", "sys/types.h", "sys/uio.h", "sys/utsname.h", "sys/vfs.h",
         "unistd.h", "errno.h", "linux/falloc.h", "linux/fs.h", "sched.h", "sys/ioctl.h", "sys/syscall.h"}
POSIX_MODULES = {"io", "merging"}
# Asking the processor about itself; computing with its instructions belongs to backends/.
PROCESSOR = {"immintrin.h": "core/floating_environment.hpp", "cpuid.h": "core/instruction_sets.hpp"}
VENDOR = re.compile(r"(?<![a-z])(cu(da|blas|blaslt|solver|dnn|rand)|nvcc|nvidia|hip(blas|blaslt|solver)?"
                    r"|hipcc|rocm|roc(blas|solver)|dnnl|onednn|openblas|cblas|lapacke?|mkl)"
                    r"(?![a-z])", re.I)
SIZE_WARNING, SIZE_LIMIT = 300, 400
SPDX = "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception"
MUST_CARRY_SPDX = {".hpp", ".cpp", ".h", ".py", ".sh", ".cmake", ".in", ".yaml", ".yml"}
NO_SUFFIX_SPDX = {"Makefile", "bootstrap", "run", "CMakeLists.txt", ".clang-format", ".clang-tidy"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|work|Users|mnt)/[A-Za-z_]")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


class Checker:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.include = root / "include" / "dashi"
        self.headers = sorted(self.include.rglob("*.hpp"))
        self.backends = sorted((root / "backends").rglob("*.hpp"))

    def error(self, file: pathlib.Path, text: str) -> None:
        self.errors.append(f"{file.relative_to(self.root)}: {text}")

    def module_of(self, name: str) -> str:
        """'io/dtype.hpp' -> 'io'; a header at the top ('io.hpp', 'dashi.hpp') -> ''."""
        return name.split("/")[0] if "/" in name else ""

    def check_include(self, file: pathlib.Path, name: str, included: str) -> None:
        module = self.module_of(name)
        if included.startswith("dashi/"):
            target = included.removeprefix("dashi/")
            if target in GENERATED:
                if module not in GENERATED[target]:
                    self.error(file, f"includes <{included}>, which '{module}' may not")
                return
            if not (self.include / target).exists():
                self.error(file, f"includes <{included}>, which does not exist")
            other = self.module_of(target)
            if module == "":
                own = name.removesuffix(".hpp")
                if own != "dashi" and other not in (own, ""):
                    self.error(file, f"includes <{included}>; the header of '{own}' includes '{own}' only")
            elif other == "":
                self.error(file, f"includes <{included}>; inside the library include single headers")
            elif other != module and other not in LAYERS[module]:
                self.error(file, f"includes <{included}>; '{module}' may include "
                                 f"{', '.join(sorted(LAYERS[module])) or 'no other module'}")
            elif (module, other) == ("backbones", "diffusion") and "concept" not in target:
                self.error(file, f"includes <{included}>; backbones know the concepts of diffusion only")
        elif included in POSIX:
            if module not in POSIX_MODULES:
                self.error(file, f"includes <{included}>; system calls belong to {', '.join(sorted(POSIX_MODULES))}")
        elif included.startswith("Kokkos_") or PROCESSOR.get(included) == name:
            pass
        elif "/" in included or included.endswith((".h", ".hpp")):
            allowed = next((who for start, who in THIRD_PARTY.items() if included.startswith(start)), set())
            if module not in allowed:
                self.error(file, f"includes <{included}>, a library that '{module}' does not depend on")

    def check_headers(self) -> None:
        for file in self.headers:
            name = file.relative_to(self.include).as_posix()
            module = self.module_of(name)
            text = file.read_text()
            if module and module not in LAYERS:
                self.error(file, f"'{module}' is no module; known: {', '.join(LAYERS)}")
                continue
            for quote, included in INCLUDE.findall(text):
                if quote == '"':
                    self.error(file, f'includes "{included}"; write <dashi/...>')
                else:
                    self.check_include(file, name, included)
            for number, line in enumerate(text.splitlines(), 1):
                if found := VENDOR.search(line):
                    self.error(file, f"line {number}: '{found[0]}'; vendors are named below backends/ only")
            if STANDARD_ONLY.fullmatch(name):
                self.check_standard_only(file)

    def check_standard_only(self, first: pathlib.Path) -> None:
        """Follows includes: nothing reached from here may need more than the standard library and POSIX."""
        seen, queue = set(), [(first, first.name)]
        while queue:
            file, way = queue.pop()
            if file in seen or not file.exists():
                continue
            seen.add(file)
            for _, included in INCLUDE.findall(file.read_text()):
                if included.startswith("dashi/") and included.removeprefix("dashi/") not in GENERATED:
                    queue.append((self.root / "include" / included, f"{way} > {included}"))
                elif included not in POSIX and ("/" in included or included.endswith((".h", ".hpp"))):
                    self.error(first, f"must include the standard library only, reaches <{included}> by {way}")

    def check_backends(self) -> None:
        for file in self.backends:
            for _, included in INCLUDE.findall(file.read_text()):
                target = included.removeprefix("dashi/")
                if included.startswith("dashi/") and target not in GENERATED \
                        and self.module_of(target) not in BACKEND_LAYERS:
                    self.error(file, f"includes <{included}>; backends may include "
                                     f"{', '.join(sorted(BACKEND_LAYERS))}")

    def check_form(self) -> None:
        for file in self.headers + self.backends:
            lines = file.read_text().splitlines()
            size = f"{len(lines)} lines"
            if len(lines) > SIZE_LIMIT:
                self.error(file, f"{size}, refused above {SIZE_LIMIT}; split it")
            elif len(lines) > SIZE_WARNING:
                self.warnings.append(f"{file.relative_to(self.root)}: {size}, split at {SIZE_WARNING}")
            if "#pragma once" not in lines:
                self.error(file, "has no '#pragma once'")
            for number, line in enumerate(lines, 1):
                if re.match(r"using namespace (?!Kokkos::Experimental::literals)", line):
                    self.error(file, f"line {number}: 'using namespace' in a header")

    def check_twins(self) -> None:
        """g++ includes one of two '#pragma once' headers with the same text and time of change."""
        first = {}
        for file in self.headers + self.backends:
            twin = first.setdefault(file.read_bytes(), file)
            if twin != file:
                self.error(file, f"has the same text as {twin.relative_to(self.root)}; g++ takes them for one file")

    def check_file_sets(self, listing: pathlib.Path) -> None:
        known = {pathlib.Path(line).resolve() for line in listing.read_text().split("\n") if line}
        for file in self.headers + self.backends:
            if file.resolve() not in known:
                self.error(file, "is in no file set: configure again")

    def tracked(self) -> list[pathlib.Path]:
        """Files under version control, or, in an unpacked archive, all but what builds leave."""
        run = subprocess.run(["git", "-C", str(self.root), "ls-files", "-z"], capture_output=True, check=False)
        if run.returncode == 0:
            names = run.stdout.decode().split("\0")
            return [self.root / name for name in names if name and (self.root / name).is_file()]
        return [file for file in self.root.rglob("*") if file.is_file() and
                not re.match(r"(\.deps|\.git|build[^/]*)/", file.relative_to(self.root).as_posix())]

    def check_text(self) -> None:
        for file in self.tracked():
            try:
                text = file.read_text()
            except UnicodeDecodeError:
                continue
            needs = file.suffix in MUST_CARRY_SPDX or file.name in NO_SUFFIX_SPDX
            if needs and SPDX not in "\n".join(text.splitlines()[:3]):
                self.error(file, f"has no line '{SPDX}' at its start")
            for number, line in enumerate(text.splitlines(), 1):
                if found := MACHINE_PATH.search(line):
                    self.error(file, f"line {number}: '{found[0]}...' is a path of one machine")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--file-sets", type=pathlib.Path, help="file with one header path a line")
    options = parser.parse_args()
    checker = Checker(options.root.resolve())
    if not checker.headers:
        print(f"{options.root}: no header below include/dashi")
        return 1
    checker.check_headers()
    checker.check_backends()
    checker.check_form()
    checker.check_twins()
    checker.check_text()
    if options.file_sets:
        checker.check_file_sets(options.file_sets)
    for line in checker.warnings:
        print(f"warning: {line}")
    for line in checker.errors:
        print(f"error: {line}")
    print(f"{len(checker.headers)} headers, {len(checker.backends)} of backends: {len(checker.errors)} errors, "
          f"{len(checker.warnings)} warnings")
    return 1 if checker.errors else 0


if __name__ == "__main__":
    sys.exit(main())
