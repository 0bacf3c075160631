// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/metrics/features.hpp>
#include <dashi/metrics/squared_distance.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace dashi::metrics {

/// Shares in [0, 1].
struct PrecisionRecall {
  double precision = 0;  ///< generated images that look like real ones
  double recall = 0;     ///< real images that look like generated ones
};

namespace detail {

/// Squared distance of each row to its k-th nearest other row.
struct FindRadius {
  double const* values;  ///< [count, size]
  double* nearest;       ///< [count, k], ascending; the last is the radius
  Index count, size, k;

  KOKKOS_INLINE_FUNCTION void operator()(Index i) const {
    double* const kept = nearest + i * k;
    Index found = 0;
    for (Index j = 0; j < count; ++j) {
      if (j == i) {
        continue;
      }
      double const distance = squared_distance(values + i * size, values + j * size, size);
      if (found == k && !(distance < kept[k - 1])) {
        continue;
      }
      Index at = found < k ? found++ : k - 1;
      for (; at > 0 && kept[at - 1] > distance; --at) {
        kept[at] = kept[at - 1];
      }
      kept[at] = distance;
    }
  }
};

/// Whether each row of `queries` lies in the ball of any row of `centres`.
struct FindCovered {
  double const* queries;
  double const* centres;
  double const* radii;  ///< [centres, k], the last of each
  unsigned char* covered;
  Index centre_count, size, k;

  KOKKOS_INLINE_FUNCTION void operator()(Index i) const {
    covered[i] = 0;
    for (Index j = 0; j < centre_count && covered[i] == 0; ++j) {
      covered[i] =
          squared_distance(queries + i * size, centres + j * size, size) <= radii[j * k + k - 1];
    }
  }
};

/// Share of the queries within the k-nearest-neighbour balls of the centres.
inline double covered_share(Features const& queries, Features const& centres, Index k) {
  using Host = Kokkos::DefaultHostExecutionSpace;
  using Policy = Kokkos::RangePolicy<Host, Kokkos::IndexType<Index>>;
  std::vector<double> radii(static_cast<std::size_t>(centres.count * k));
  Kokkos::parallel_for(
      "dashi::metrics::precision_recall", Policy(0, centres.count),
      FindRadius{centres.values.data(), radii.data(), centres.count, centres.size, k});
  std::vector<unsigned char> covered(static_cast<std::size_t>(queries.count));
  Host().fence("dashi::metrics::precision_recall");
  Kokkos::parallel_for("dashi::metrics::precision_recall", Policy(0, queries.count),
                       FindCovered{queries.values.data(), centres.values.data(), radii.data(),
                                   covered.data(), centres.count, centres.size, k});
  Host().fence("dashi::metrics::precision_recall");
  Index count = 0;
  for (unsigned char const c : covered) {
    count += c;
  }
  return static_cast<double>(count) / static_cast<double>(queries.count);
}

}  // namespace detail

/// Improved precision and recall: the share of generated features inside the union of balls around
/// real ones whose radius reaches the k-th nearest real neighbour, and the same with the sets
/// exchanged. T. Kynkäänniemi et al., arXiv 1904.06991, section 2; k = 3 as there. Compare at equal
/// counts. Two passes over all pairs, on the host's threads. Throws PreconditionError.
inline PrecisionRecall precision_recall(Features const& real, Features const& generated,
                                        Index k = 3) {
  DASHI_EXPECTS(real.size == generated.size, "both sets need features of one size");
  DASHI_EXPECTS(k > 0 && real.count > k && generated.count > k,
                "both sets need more than k = " + std::to_string(k) + " images");
  return {.precision = detail::covered_share(generated, real, k),
          .recall = detail::covered_share(real, generated, k)};
}

}  // namespace dashi::metrics
