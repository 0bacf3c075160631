// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <algorithm>
#include <string>

namespace dashi::training {

/// How the samples of a step are numbered and cut: targets first, then sources, in chunks of equal
/// size that are computed one after the other or at the same time.
struct BatchLayout {
  Index batch = 0;
  Index sources = 0;
  Index chunk = 0;  ///< samples of a chunk; divides the batch

  Index targets() const { return batch - sources; }
  Index chunks() const { return batch / chunk; }
  Index first(Index c) const { return c * chunk; }
  /// The last rows of chunk c that are source samples.
  Index sources_of(Index c) const {
    return std::clamp<Index>(first(c) + chunk - targets(), 0, chunk);
  }

  void check() const {
    DASHI_EXPECTS(chunk > 0 && batch > 0 && batch % chunk == 0,
                  "a batch of " + std::to_string(batch) +
                      " cannot be cut into equal parts: it must be a multiple of accumulate times "
                      "shards");
    DASHI_EXPECTS(sources >= 0 && sources < batch, "a policy of " + std::to_string(sources) +
                                                       " source samples in a batch of " +
                                                       std::to_string(batch));
  }
};

}  // namespace dashi::training
