// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <string>

namespace dashi::training {

/// Bytes that a training holds from its first step to its last, by what they are for; data sets
/// apart.
struct MemoryPlan {
  std::size_t parameters = 0;  ///< values, frozen ones too
  std::size_t masters = 0;     ///< of 16-bit models
  std::size_t gradients = 0;   ///< of all shards
  std::size_t moments = 0;
  std::size_t average = 0;
  std::size_t activations = 0;  ///< of all shards
  std::size_t batch = 0;        ///< images, noise, outputs, records
  std::size_t scratch = 0;

  std::size_t total() const {
    return parameters + masters + gradients + moments + average + activations + batch + scratch;
  }

  /// One line a part, in MiB.
  std::string text() const {
    std::string lines;
    auto const line = [&](char const* name, std::size_t bytes) {
      std::size_t const tenths = (bytes * 10 + (std::size_t{1} << 19)) >> 20;
      lines += std::string(name) + ": " + std::to_string(tenths / 10) + "." +
               std::to_string(tenths % 10) + " MiB\n";
    };
    line("parameters", parameters);
    line("masters", masters);
    line("gradients", gradients);
    line("moments", moments);
    line("average", average);
    line("activations", activations);
    line("batch", batch);
    line("scratch", scratch);
    line("total", total());
    return lines;
  }
};

}  // namespace dashi::training
