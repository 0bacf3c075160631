// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/error.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/metrics/features.hpp>

#include <cstdint>
#include <string>

namespace dashi::test {

/// Numbers in [0, 1) that a line of Python makes as well.
inline metrics::Features lattice(Index count, Index size, Index a, Index b, Index c,
                                 double scale = 1, double shift = 0) {
  metrics::Features features(count, size);
  for (Index i = 0; i < count; ++i) {
    for (Index j = 0; j < size; ++j) {
      double const x = static_cast<double>((i * i * a + j * b + i * j * c) % 1009) / 1009.0;
      features.values[static_cast<std::size_t>(i * size + j)] = x * scale + shift;
    }
  }
  return features;
}

/// Independent normal numbers.
inline metrics::Features normal(Index count, Index size, std::uint64_t seed, double scale = 1,
                                double shift = 0) {
  metrics::Features features(count, size);
  Philox const random(seed, {});
  for (std::size_t e = 0; e < features.values.size(); ++e) {
    features.values[e] = scale * random.normal<double>(e) + shift;
  }
  return features;
}

/// The code of the dashi::Error that the call throws, or nothing.
template <class Call>
std::string code_of(Call&& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.diagnosis().code;
  }
  return {};
}

}  // namespace dashi::test
