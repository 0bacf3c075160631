// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/linalg/element.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

namespace dashi::test {

/// Where a front door is tested.
template <class ExecType, class ProviderType>
struct Place {
  using Exec = ExecType;
  using Provider = ProviderType;
  static constexpr bool portable = std::is_same_v<Provider, provider::Portable>;
};

using Places = std::tuple<
#if defined(KOKKOS_ENABLE_OPENMP)
    Place<Kokkos::OpenMP, provider::Portable>, Place<Kokkos::OpenMP, DefaultProvider>,
#endif
    Place<Kokkos::Serial, provider::Portable>, Place<Kokkos::Serial, DefaultProvider>>;

/// A row-major matrix in host memory whose rows are `ld` apart; what lies between is never a
/// number.
template <class T>
struct Dense {
  Index rows, cols, ld;
  std::vector<T> memory;

  Dense(Index rows_, Index cols_, Index gap = 0)
      : rows(rows_),
        cols(cols_),
        ld(cols_ + gap),
        memory(static_cast<std::size_t>(rows * ld + 1),
               convert<T>(std::numeric_limits<double>::quiet_NaN())) {}

  T& operator()(Index i, Index j) { return memory[static_cast<std::size_t>(i * ld + j)]; }
  T operator()(Index i, Index j) const { return memory[static_cast<std::size_t>(i * ld + j)]; }
  double at(Index i, Index j) const { return convert<double>((*this)(i, j)); }

  /// Standard normal numbers.
  Dense& randomise(std::uint64_t seed) {
    Philox const random(seed, {});
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        (*this)(i, j) =
            convert<T>(random.template normal<double>(static_cast<std::uint64_t>(i * cols + j)));
      }
    }
    return *this;
  }
  Dense& fill(double value) {
    for (Index i = 0; i < rows; ++i) {
      std::fill_n(memory.begin() + i * ld, cols, convert<T>(value));
    }
    return *this;
  }
  /// Whether the numbers between the rows are still none.
  bool gaps_untouched() const {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = cols; j < ld; ++j) {
        if (!is_nan((*this)(i, j))) {
          return false;
        }
      }
    }
    return is_nan(memory.back());
  }

  using View = Kokkos::View<T**, Kokkos::LayoutStride, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
  View view() {
    return View(memory.data(),
                Kokkos::LayoutStride(static_cast<std::size_t>(rows), static_cast<std::size_t>(ld),
                                     static_cast<std::size_t>(cols), 1));
  }
};

/// Half a unit in the last place of 1.
template <class T>
inline constexpr double roundoff = dashi::detail::unit_roundoff<T>();

}  // namespace dashi::test
