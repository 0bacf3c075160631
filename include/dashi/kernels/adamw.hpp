// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/adamw_kernel.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace dashi::kernels {

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) with a moving average of the
/// parameters and a copy in a shorter type, for a list of tensors in one launch.
///
/// For step t = 1, 2, ...: m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p = (1 - learning_rate weight_decay) p - learning_rate m' / (sqrt(v') + epsilon), where m' and
/// v' are m / (1 - beta1^t) and v / (1 - beta2^t); average = average_decay average + (1 -
/// average_decay) p; shadow = p rounded. Memory per parameter in float: 28 bytes, 8 more for the
/// average, 2 more for a 16-bit copy.
///
/// Keeps pointers to the tensors' memory, which the caller keeps alive and in place.
template <class Master, class Gradient, class Shadow, class Exec>
class AdamW {
  static_assert(std::is_same_v<Master, float> || std::is_same_v<Master, double>,
                "dashi::kernels::AdamW: parameters and moments are float or double; 16-bit models "
                "have the copy 'shadow'");

public:
  using Tensor = AdamWTensor<Master, Gradient, Shadow, Exec>;

  /// Fences. Throws PreconditionError where the extents of a tensor differ.
  template <class Provider>
  AdamW(Context<Exec, Provider>& ctx,
        std::vector<AdamWTensor<Master, Gradient, Shadow, Exec>> const& tensors) {
    std::vector<Pointers> pointers;
    std::vector<detail::AdamWPiece> pieces;
    for (Tensor const& t : tensors) {
      auto const size = static_cast<Index>(t.parameter.extent(0));
      expect_extent(t.gradient.extent(0), "gradient", size);
      expect_extent(t.first_moment.extent(0), "first_moment", size);
      expect_extent(t.second_moment.extent(0), "second_moment", size);
      expect_extent(t.average.extent(0), "average", t.average.extent(0) == 0 ? 0 : size);
      expect_extent(t.shadow.extent(0), "shadow", t.shadow.extent(0) == 0 ? 0 : size);
      for (Index first = 0; first < size; first += detail::adamw_piece<Exec>) {
        pieces.push_back({static_cast<std::int64_t>(pointers.size()), first,
                          std::min(first + detail::adamw_piece<Exec>, size)});
      }
      pointers.push_back({t.parameter.data(), t.gradient.data(), t.first_moment.data(),
                          t.second_moment.data(),
                          t.average.extent(0) == 0 ? nullptr : t.average.data(),
                          t.shadow.extent(0) == 0 ? nullptr : t.shadow.data()});
      parameters_ += size;
    }
    tensors_ = copied(ctx.exec(), pointers);
    pieces_ = copied(ctx.exec(), pieces);
    ctx.fence("dashi::kernels::AdamW");
  }

  Index parameters() const { return parameters_; }

  /// One update; `step` counts from 1. Asynchronous. Throws PreconditionError for another step and
  /// for beta1 or beta2 outside [0, 1).
  template <class Provider>
  void step(Context<Exec, Provider>& ctx, AdamWOptions const& options, std::int64_t step) const {
    DASHI_EXPECTS(step >= 1, "steps of AdamW count from 1, not " + std::to_string(step));
    for (double const beta : {options.beta1, options.beta2}) {
      DASHI_EXPECTS(beta >= 0 && beta < 1,
                    "beta1 and beta2 of AdamW must be in [0, 1), not " + std::to_string(beta));
    }
    if (pieces() == 0) {
      return;
    }
    if constexpr (runs_on_host<Exec>) {
      run_tasks("dashi::kernels::adamw", ctx.exec(), pieces(), kernel(options, step));
    } else {
      detail::adamw_by_teams(ctx.exec(), pieces(), kernel(options, step));
    }
  }

  /// What a step runs; valid as long as this object.
  detail::AdamWKernel<Master, Gradient, Shadow> kernel(AdamWOptions const& options,
                                                       std::int64_t step) const {
    return {tensors_.data(), pieces_.data(), detail::AdamWStep<Master>(options, step)};
  }
  Index pieces() const { return static_cast<Index>(pieces_.extent(0)); }

private:
  using Pointers = detail::AdamWPointers<Master, Gradient, Shadow>;
  template <class T>
  using Table = Kokkos::View<T*, typename Exec::memory_space>;

  static void expect_extent(std::size_t extent, char const* name, Index expected) {
    DASHI_EXPECTS(static_cast<Index>(extent) == expected,
                  std::string(name) + " of an AdamW tensor has " + std::to_string(extent) +
                      " elements, its parameter has " + std::to_string(expected));
  }

  template <class T>
  static Table<T> copied(Exec const& exec, std::vector<T> const& values) {
    Table<T> table(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::kernels::AdamW"),
                   values.size());
    Kokkos::View<T const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const host(
        values.data(), values.size());
    Kokkos::deep_copy(exec, table, host);
    exec.fence("dashi::kernels::AdamW");
    return table;
  }

  Index parameters_ = 0;
  Table<Pointers> tensors_;
  Table<detail::AdamWPiece> pieces_;
};

}  // namespace dashi::kernels
