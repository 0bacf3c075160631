// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "demo_report.hpp"

#include <functional>

namespace cli {

struct MemoryRates {
  double read_ceiling = 0.0;  ///< bytes a second
  DemoRate exact_mean;
};

/// This machine's rate of reading eight streams with all threads, and the exact mean of eight bf16
/// members of 16 M numbers in memory; best of five passes each.
MemoryRates memory_rates(int threads);

/// How long `body` takes.
double seconds_of(std::function<void()> const& body);

}  // namespace cli
