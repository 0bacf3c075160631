// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "demo_floats.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

/// A statement that was checked by comparing files byte for byte.
struct DemoCheck {
  std::string claim;
  std::string evidence;  ///< the files and their digests
  bool holds = false;
};

/// A pass over data and how fast it was.
struct DemoRate {
  std::string what;
  double seconds = 0.0;
  double bytes = 0.0;
  double per_second() const { return seconds > 0.0 ? bytes / seconds : 0.0; }
};

struct DemoStory {
  std::string folder;
  std::string data;  ///< where the members come from, in words
  std::size_t members = 0;
  std::uint64_t parameters = 0;
  std::uint64_t member_bytes = 0;
  double read_ceiling = 0.0;  ///< bytes a second, multi-stream, measured in this process
  std::vector<DemoRate> rates;
  std::vector<DemoCheck> checks;
  FloatComparison floats;

  bool all_hold() const {
    for (DemoCheck const& check : checks) {
      if (!check.holds) {
        return false;
      }
    }
    return true;
  }
};

/// One self-contained HTML page with inline pictures.
std::string html_report(DemoStory const& story);

}  // namespace cli
