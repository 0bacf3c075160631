// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>

#include <limits>
#include <string>

namespace dashi::kernels::detail {

/// Teams of a Kokkos::TeamPolicy, which counts them in an int; `kernel` is for the message.
inline int league_size(Index teams, char const* kernel) {
  constexpr int most = std::numeric_limits<int>::max();
  DASHI_EXPECTS(teams <= most, std::string(kernel) + " needs " + std::to_string(teams) +
                                   " teams of threads, a launch has at most " +
                                   std::to_string(most));
  return static_cast<int>(teams);
}

}  // namespace dashi::kernels::detail
