// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/metrics/features.hpp>
#include <dashi/metrics/squared_distance.hpp>

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstddef>
#include <vector>

namespace dashi::metrics {

/// The training image that a sample is closest to.
struct Nearest {
  double distance = 0;  ///< Euclidean
  Index index = 0;      ///< row of the training set; the first of equals
};

namespace detail {

struct FindNearest {
  double const* samples;   ///< [count, size]
  double const* training;  ///< [training_count, size]
  Nearest* nearest;        ///< [count]
  Index training_count, size;

  KOKKOS_INLINE_FUNCTION void operator()(Index i) const {
    Nearest best{squared_distance(samples + i * size, training, size), 0};
    for (Index j = 1; j < training_count; ++j) {
      double const distance = squared_distance(samples + i * size, training + j * size, size);
      if (distance < best.distance) {
        best = {distance, j};
      }
    }
    nearest[i] = best;
  }
};

}  // namespace detail

/// For each row of `samples` the nearest row of `training`. To look for memorised images give
/// pooled_pixels(images, 0) of both, and compare with the distances of held-out images: samples
/// much nearer than those were learnt by heart. count * training.count * size steps on the host's
/// threads. Throws PreconditionError.
inline std::vector<Nearest> nearest_distances(Features const& samples, Features const& training) {
  using Host = Kokkos::DefaultHostExecutionSpace;
  DASHI_EXPECTS(samples.size == training.size, "both sets need features of one size");
  DASHI_EXPECTS(training.count > 0, "the training set is empty");
  std::vector<Nearest> nearest(static_cast<std::size_t>(samples.count));
  Kokkos::parallel_for("dashi::metrics::nearest_distances",
                       Kokkos::RangePolicy<Host, Kokkos::IndexType<Index>>(0, samples.count),
                       detail::FindNearest{samples.values.data(), training.values.data(),
                                           nearest.data(), training.count, samples.size});
  Host().fence("dashi::metrics::nearest_distances");
  for (Nearest& n : nearest) {
    n.distance = std::sqrt(n.distance);
  }
  return nearest;
}

}  // namespace dashi::metrics
