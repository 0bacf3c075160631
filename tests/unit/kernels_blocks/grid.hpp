// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <vector>

#if __has_include("backends/host/instruction_set.hpp")
#include "backends/host/instruction_set.hpp"
#endif

namespace dashi::test {

/// A matrix in Exec's memory with a copy on the host; rows may be further apart than they are long.
template <class T, class Exec>
class Grid {
public:
  using View = Kokkos::View<T**, Kokkos::LayoutRight, typename Exec::memory_space>;

  Grid(Index rows, Index cols, Index gap = 0)
      : rows_(rows),
        cols_(cols),
        memory_("grid", static_cast<std::size_t>(rows), static_cast<std::size_t>(cols + gap)),
        host_(Kokkos::create_mirror_view(memory_)) {}

  static Grid random(Index rows, Index cols, unsigned seed, double amplitude = 1, Index gap = 0) {
    Grid grid(rows, cols, gap);
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal(0.0, amplitude);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        grid.set(i, j, normal(engine));
      }
    }
    grid.upload();
    return grid;
  }

  void upload() { Kokkos::deep_copy(memory_, host_); }
  void download() { Kokkos::deep_copy(host_, memory_); }
  void set(Index i, Index j, double value) { host_(i, j) = convert<T>(value); }
  double operator()(Index i, Index j) const { return convert<double>(host_(i, j)); }
  Index rows() const { return rows_; }
  Index cols() const { return cols_; }

  auto view() const {
    return Kokkos::subview(memory_, Kokkos::ALL, Kokkos::pair<Index, Index>(0, cols_));
  }
  kernels::RowsOf<T, Exec> all() const { return view(); }
  kernels::RowsOf<T const, Exec> input() const { return view(); }
  auto vector() const { return VectorOf<T, Exec>(memory_.data(), memory_.size()); }

  std::vector<double> values() const {
    std::vector<double> out;
    for (Index i = 0; i < rows_; ++i) {
      for (Index j = 0; j < cols_; ++j) {
        out.push_back((*this)(i, j));
      }
    }
    return out;
  }

private:
  Index rows_;
  Index cols_;
  View memory_;
  typename View::HostMirror host_;
};

/// Half a unit in the last place of 1 of what a kernel on T rounds to.
template <class T>
double roundoff() {
  return dashi::detail::unit_roundoff<T>();
}

/// Largest difference over the largest expected magnitude (at least `floor`).
template <class Actual, class Expected>
double relative_error(Actual const& actual, Expected const& expected, Index rows, Index cols,
                      double floor = 1e-30) {
  double largest = floor;
  double difference = 0;
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) {
      double const e = expected(i, j);
      largest = std::max(largest, std::abs(e));
      double const d = std::abs(actual(i, j) - e);
      difference = std::isnan(d) ? 1e300 : std::max(difference, d);
    }
  }
  return difference / largest;
}

/// Runs `kernel.run(ctx)`, which returns all results, on Serial and on OpenMP with 1, 2 and 4
/// threads, and demands the same bits.
template <class Kernel>
void check_same_bits(Kernel const& kernel) {
#if defined(KOKKOS_ENABLE_SERIAL) && defined(KOKKOS_ENABLE_OPENMP) && \
    !defined(DASHI_TEST_ONE_SCALAR)
  Context<Kokkos::Serial> serial;
  std::vector<double> const expected = kernel.run(serial);
  for (int const threads : {1, 2, 4}) {
    Context<Kokkos::OpenMP> parallel{Kokkos::OpenMP(threads)};
    std::vector<double> const actual = kernel.run(parallel);
    REQUIRE(actual.size() == expected.size());
    CHECK(std::memcmp(actual.data(), expected.data(), actual.size() * sizeof(double)) == 0);
  }
#else
  static_cast<void>(kernel);
  SKIP("needs Kokkos' Serial and OpenMP and a build of every type");
#endif
}

/// Runs `check()` with every width of registers that this processor has.
template <class Check>
void for_each_instruction_set(Check const& check) {
#if __has_include("backends/host/instruction_set.hpp")
  using backends::host::InstructionSet;
  for (auto const limit :
       {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
    backends::host::limit_instruction_set(limit);
    check();
  }
#else
  check();
#endif
}

}  // namespace dashi::test
