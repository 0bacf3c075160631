// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/read_options.hpp>

#include <optional>
#include <string>
#include <vector>

namespace dashi::io {

/// Least and largest magnitude of a module's scale that is taken without asking. Trained adapters
/// lie well inside; placeholders of some tools (alpha of 1e10) and wrong ranks do not.
inline constexpr double smallest_usual_scale = 1.0 / 4096;
inline constexpr double largest_usual_scale = 64;

/// How an adapter's file is read.
struct AdapterReadOptions {
  /// Regular expressions (ECMAScript): keys in which one is found are left out and listed.
  std::vector<std::string> ignore;
  /// Of modules whose scale nothing tells: a PEFT file without its adapter_config.json.
  std::optional<double> alpha{};
  /// Take scales outside [smallest_usual_scale, largest_usual_scale] too.
  bool any_scale = false;
  ReadOptions file{};
};

}  // namespace dashi::io
