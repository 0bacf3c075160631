// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/instruction_sets.hpp>
#include <dashi/core/provider.hpp>
#include <dashi/core/version.hpp>

#include <Kokkos_Core.hpp>

#include <string>
#include <utility>
#include <vector>

namespace dashi {

/// What this build is and what it runs on.
struct Configuration {
  std::string version;  ///< of dashi
  std::string backend;  ///< provider of dense linear algebra by default
  std::string kokkos_version;
  std::vector<std::string> execution_spaces;  ///< the default one first
  int threads = 0;  ///< of the host's default space; 0 before Kokkos starts
  std::string compiler;
  std::vector<std::string> instruction_sets;  ///< found at run time
};

namespace detail {

inline std::vector<std::string> execution_space_names() {
  std::vector<std::string> names{Kokkos::DefaultExecutionSpace::name()};
  auto const add = [&](std::string name) {
    for (std::string const& known : names) {
      if (known == name) {
        return;
      }
    }
    names.push_back(std::move(name));
  };
  add(Kokkos::DefaultHostExecutionSpace::name());
#if defined(KOKKOS_ENABLE_SERIAL)
  add(Kokkos::Serial::name());
#endif
  return names;
}

inline std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown";
#endif
}

inline std::string joined(std::vector<std::string> const& words) {
  std::string text;
  for (std::string const& word : words) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

}  // namespace detail

inline Configuration configuration() {
  return {
      .version = DASHI_VERSION,
      .backend = DASHI_BACKEND_NAME,
      .kokkos_version = std::to_string(KOKKOS_VERSION / 10000) + "." +
                        std::to_string(KOKKOS_VERSION / 100 % 100) + "." +
                        std::to_string(KOKKOS_VERSION % 100),
      .execution_spaces = detail::execution_space_names(),
      .threads = Kokkos::is_initialized() ? Kokkos::DefaultHostExecutionSpace().concurrency() : 0,
      .compiler = detail::compiler_name(),
      .instruction_sets = instruction_sets()};
}

/// One `name: value` a line.
inline std::string summary(Configuration const& c) {
  std::string out;
  auto const line = [&](char const* name, std::string const& value) {
    out += std::string(name) + ": " + (value.empty() ? "none" : value) + "\n";
  };
  line("dashi", c.version);
  line("backend", c.backend);
  line("kokkos", c.kokkos_version);
  line("execution spaces", detail::joined(c.execution_spaces));
  line("host threads", std::to_string(c.threads));
  line("compiler", c.compiler);
  line("instruction sets", detail::joined(c.instruction_sets));
  return out;
}

}  // namespace dashi
