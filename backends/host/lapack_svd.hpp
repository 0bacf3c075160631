// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>

#if defined(DASHI_HOST_OPENBLAS)

#include <dashi/core/tensor.hpp>
#include <dashi/linalg/decompose_numbered.hpp>
#include <dashi/linalg/factor_call.hpp>

#include "first_failure.hpp"
#include "lapack_factor.hpp"
#include "thread_limit.hpp"

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

namespace dashi::backends::host {

/// LAPACK's routines on several threads meet at a barrier at every column: narrow matrices are
/// faster on one.
inline constexpr Index narrow_side = 512;
inline int worthwhile_lapack_threads(Index m, Index n, int threads) {
  return std::min(m, n) < narrow_side ? 1 : threads;
}

/// Decompositions side by side: each thread takes the most expensive matrix that is left and calls
/// LAPACK on its own. Matrices that would be left over when all threads have had their share run
/// last, one after the other on all threads, if they are large enough for that. All are tried; what
/// the first one that failed threw is thrown at the end.
template <class Exec, class T>
void lapack_svd_all(Exec const& exec, std::span<linalg::SvdCall<T> const> calls) {
  auto const side = [&](std::size_t i) { return std::min(calls[i].m, calls[i].n); };
  auto const cost = [&](std::size_t i) {
    auto const k = static_cast<double>(side(i));
    return k * k * static_cast<double>(std::max(calls[i].m, calls[i].n) + 3 * side(i));
  };
  std::vector<std::size_t> order(calls.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
    return cost(i) != cost(j) ? cost(i) > cost(j) : i < j;
  });
  auto const threads = static_cast<std::size_t>(exec.concurrency());
  std::size_t together = order.size();
  while (together % threads != 0 && side(order[together - 1]) >= narrow_side) {
    --together;
  }

  FirstFailure failure;
  auto const decompose = [&](LapackFactor<T>& lapack, std::size_t i) {
    failure.guard(static_cast<Index>(i),
                  [&] { linalg::decompose_numbered(calls[i], [&] { lapack.svd(calls[i]); }); });
  };
  {
    ThreadLimit const one(1);
    std::atomic<std::size_t> next{0};
    auto const work = [&](int) {
      LapackFactor<T> lapack;
      for (std::size_t at = next++; at < together; at = next++) {
        decompose(lapack, order[at]);
      }
    };
    if (together > 0) {
      Kokkos::parallel_for("dashi::host::svd",
                           Kokkos::RangePolicy<Exec>(exec, 0, static_cast<int>(threads)), work);
    }
  }

  ThreadLimit const all(exec.concurrency());
  LapackFactor<T> lapack;
  for (std::size_t at = together; at < order.size(); ++at) {
    decompose(lapack, order[at]);
  }
  failure.rethrow();
}

}  // namespace dashi::backends::host

#endif
