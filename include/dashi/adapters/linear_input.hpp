// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/parameter.hpp>
#include <dashi/kernels/add_rows.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace dashi {

/// A row-major matrix whose rows may lie further apart than they are long: outputs of a linear map
/// that are a range of columns. Matrices convert.
template <Precision P, ExecutionSpace Exec>
using StridedMatrix =
    Kokkos::View<typename P::storage**, Kokkos::LayoutStride, typename Exec::memory_space,
                 Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// Columns [first, first + count) of a matrix.
template <Precision P, ExecutionSpace Exec>
StridedMatrix<P, Exec> columns_of(Matrix<P, Exec> const& matrix, Index first, Index count) {
  auto const size = [](Index n) { return static_cast<std::size_t>(n); };
  return StridedMatrix<P, Exec>(
      matrix.data() == nullptr ? nullptr : matrix.data() + first,
      Kokkos::LayoutStride(matrix.extent(0), matrix.extent(1), size(count), 1));
}

/// y = W x: W is [out, in].
struct LinearShape {
  Index out = 0;
  Index in = 0;
};

/// Who a sample is, the same for every layer of a call.
template <Precision P, ExecutionSpace Exec>
struct Batch {
  Index rows_per_sample = 1;
  VectorOf<std::int64_t const, Exec> labels{};  ///< [samples], 0 to classes; classes: no class
  Index classes = 0;
  Matrix<P, Exec> gates{};  ///< [samples, components], in place of a class's; empty: none
};

/// For which condition a weight is wanted: a class, or what holds for samples without one.
struct Condition {
  std::optional<std::int64_t> label;
};

/// What a stage of a linear map reads, forward and backward.
template <Precision P, ExecutionSpace Exec>
struct LinearInput {
  Matrix<P, Exec> x;       ///< [rows, in]
  Matrix<P, Exec> weight;  ///< of the root; empty where a stage replaces it
  Vector<P, Exec> bias;
  Batch<P, Exec> batch;
};

/// Where the gradient of an input goes. The first writer overwrites (beta 0), unless the caller
/// asks for accumulation; later ones add, so that nobody clears it first.
template <Precision P, ExecutionSpace Exec>
class GradientSink {
public:
  /// Nobody wants it.
  GradientSink() = default;
  explicit GradientSink(Matrix<P, Exec> view, bool accumulate = false)
      : view_(view), wanted_(true), started_(accumulate) {}

  bool wanted() const noexcept { return wanted_; }
  Matrix<P, Exec> view() const noexcept { return view_; }
  /// Multiplies what the view holds; call once for each write.
  double beta() noexcept { return std::exchange(started_, true) ? 1.0 : 0.0; }

private:
  Matrix<P, Exec> view_{};
  bool wanted_ = false;
  bool started_ = false;
};

/// Adds d to what dx wants. Asynchronous.
template <Precision P, ExecutionSpace Exec>
void add_gradient(Context<Exec>& ctx, Matrix<P, Exec> d, GradientSink<P, Exec>& dx) {
  if (dx.wanted() && dx.beta() == 0) {
    Kokkos::deep_copy(ctx.exec(), dx.view(), d);
  } else if (dx.wanted()) {
    kernels::add_rows(ctx, d, dx.view());
  }
}

}  // namespace dashi
