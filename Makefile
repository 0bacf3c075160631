# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The front doors. Each does all the set-up that it needs; CMake does the work.
jobs := $(shell nproc 2>/dev/null || echo 2)
start := $(shell date +%s)
since = @echo "make: $(1) after $$(( $$(date +%s) - $(start) )) s"
sources = $(shell git ls-files --cached --others --exclude-standard '*.hpp' '*.cpp')

.DEFAULT_GOAL := help
.PHONY: help demo test lanes lanes-full asan slow-test bench peers format tidy bootstrap configure build/dashi clean

help:                        ## this list
	@sed -n 's/^\([a-z/-]*\):.*## /\1\t/p' Makefile | expand -t 16

demo: configure              ## the story in a minute
	cmake --build --preset host-release --parallel $(jobs) --target dashi_program
	build/dashi demo

test: configure              ## everything that CI checks; ends with the summary of ctest
	$(call since,configured)
	cmake --build --preset host-release --parallel $(jobs)
	$(call since,built)
	$(MAKE) --no-print-directory asan
	$(call since,sanitizers done)
	ctest --preset host-release --parallel $(jobs) --output-junit $(CURDIR)/build/junit.xml

lanes:                       ## builds and links the kernels for CUDA and HIP: docs/lanes.md
	tests/lanes/run one
	$(call since,lanes done)

lanes-full:                  ## the same with every scalar type
	tests/lanes/run all

build/dashi: configure       ## the program and, for some verbs, build/dashi-bench and build/dashi-models
	cmake --build --preset host-release --parallel $(jobs) --target dashi_program dashi_bench dashi_models

asan: bootstrap              ## readers and writers under AddressSanitizer and UBSan
	cmake --preset host-asan
	cmake --build --preset host-asan --parallel $(jobs)
	ctest --preset host-asan --parallel $(jobs) --output-junit $(CURDIR)/build-asan/junit.xml

slow-test: bootstrap         ## exhaustive checks, and the C++ tests at -O3; an hour
	cmake --preset slow
	cmake --build --preset slow --parallel $(jobs)
	ctest --preset slow

bench: configure             ## builds and runs every benchmark
	cmake --build --preset host-release --parallel $(jobs) --target dashi_benchmarks
	for program in build/benchmarks/bench_*; do "$$program" || exit 1; done

peers:                       ## NumPy, PyTorch and mergekit, for benchmarks/peers
	python3 -m venv .deps/peers
	.deps/peers/bin/pip install --quiet -r benchmarks/peers/requirements.txt

format:                      ## clang-format 14
	clang-format-14 -i $(sources)

tidy: bootstrap              ## naming and bug-prone patterns; needs clang-tidy-14
	cmake --preset host-release -B build-tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON
	run-clang-tidy-14 -quiet -p build-tidy -j $(jobs) -extra-arg=-Wno-unknown-warning-option \
	  -extra-arg=-idirafter"$$(g++ -print-file-name=include)" 'build-tidy/tests/headers/'

bootstrap:                   ## installs what is missing
	cmake/bootstrap

configure: bootstrap
	cmake --preset host-release

clean:                       ## removes the builds, keeps .deps
	rm -rf build build-asan build-debug build-cuda build-hip build-lanes build-slow build-tidy
