// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/merging/decimal_weight.hpp>

#include <string>

namespace dashi::merging {

/// A weight for the tensors whose name contains `filter`; an empty one is in every name.
struct WeightRule {
  std::string filter;
  DecimalWeight weight{};
};

}  // namespace dashi::merging
