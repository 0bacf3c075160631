// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/core/configuration.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

using Catch::Matchers::ContainsSubstring;

TEST_CASE("the configuration names this build and this machine", "[configuration]") {
  auto const c = dashi::configuration();
  CHECK(c.version == DASHI_VERSION);
  CHECK(c.backend == DASHI_BACKEND_NAME);
  CHECK(c.threads == Kokkos::DefaultHostExecutionSpace().concurrency());
  REQUIRE_FALSE(c.execution_spaces.empty());
  CHECK(c.execution_spaces.front() == Kokkos::DefaultExecutionSpace::name());
  for (std::size_t i = 0; i < c.execution_spaces.size(); ++i) {
    CHECK(std::count(c.execution_spaces.begin(), c.execution_spaces.end(), c.execution_spaces[i]) ==
          1);
  }
  CHECK(std::count(c.kokkos_version.begin(), c.kokkos_version.end(), '.') == 2);
}

TEST_CASE("the summary has a line for each part", "[configuration]") {
  std::string const text = dashi::summary(dashi::configuration());
  for (char const* name : {"dashi: ", "backend: ", "kokkos: ", "execution spaces: ",
                           "host threads: ", "compiler: ", "instruction sets: "}) {
    CHECK_THAT(text, ContainsSubstring(name));
  }
  CHECK(std::count(text.begin(), text.end(), '\n') == 7);
}

// Linux names the same instructions in /proc/cpuinfo, some differently.
TEST_CASE("instruction sets agree with the system's list", "[configuration]") {
  std::ifstream file("/proc/cpuinfo");
  std::string flags;
  for (std::string line; std::getline(file, line) && flags.empty();) {
    if (line.rfind("flags", 0) == 0) {
      flags = " " + line.substr(line.find(':') + 1) + " ";
    }
  }
  if (flags.empty()) {
    SKIP("no flags in /proc/cpuinfo");
  }
  auto const found = dashi::instruction_sets();
  std::pair<char const*, char const*> const names[] = {
      {"avx2", "avx2"},         {"fma", "fma"},
      {"f16c", "f16c"},         {"avx512f", "avx512f"},
      {"avx512bw", "avx512bw"}, {"avx512dq", "avx512dq"},
      {"avx512vl", "avx512vl"}, {"avx512bf16", "avx512_bf16"},
      {"amx-tile", "amx_tile"}, {"amx-bf16", "amx_bf16"},
      {"amx-int8", "amx_int8"}, {"avx512fp16", "avx512_fp16"}};
  for (auto const& [ours, theirs] : names) {
    CAPTURE(ours);
    bool const listed = flags.find(" " + std::string(theirs) + " ") != std::string::npos;
    CHECK((std::find(found.begin(), found.end(), ours) != found.end()) == listed);
  }
}
