// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/reduce.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>

#include <cstdint>
#include <string>

#include "grid.hpp"

namespace reduce_test {

namespace {

using dashi::Index;
using dashi::kernels::AccumulatorOf;
using dashi::test::Grid;
using dashi::test::roundoff;

template <class T, class Exec>
void check_sum(Index count) {
  using Real = AccumulatorOf<T>;
  dashi::Context<Exec> ctx;
  ctx.reserve_scratch(dashi::kernels::sum_scratch_bytes<T>(count));
  auto const x = Grid<T, Exec>::random(1, count, 1);
  auto const y = Grid<T, Exec>::random(1, count, 2);
  Grid<Real, Exec> sums(1, 2);
  auto const out = sums.vector();
  dashi::kernels::sum(ctx, x.vector(), Kokkos::subview(out, Kokkos::pair<int, int>(0, 1)));
  dashi::kernels::dot(ctx, x.vector(), y.vector(),
                      Kokkos::subview(out, Kokkos::pair<int, int>(1, 2)));
  ctx.fence();
  sums.download();
  double sum = 0;
  double dot = 0;
  double magnitude = 1e-30;
  for (Index i = 0; i < count; ++i) {
    sum += x(0, i);
    dot += x(0, i) * y(0, i);
    magnitude += std::abs(x(0, i)) + std::abs(x(0, i) * y(0, i));
  }
  // At most 64 additions in a row (4096 / 64), then trees.
  double const bound = 80 * roundoff<Real>() * magnitude;
  CHECK(std::abs(sums(0, 0) - sum) <= bound);
  CHECK(std::abs(sums(0, 1) - dot) <= bound);
}

template <class T, class Exec>
void check_segments(Index segments, Index rows, Index cols, Index gap) {
  using Real = AccumulatorOf<T>;
  dashi::Context<Exec, dashi::provider::Portable> ctx;
  ctx.reserve_scratch(dashi::kernels::segment_sums_scratch_bytes<T>(segments, rows, cols));
  auto const x = Grid<T, Exec>::random(segments * rows, cols, 3, 1, gap);
  auto out = Grid<Real, Exec>::random(segments, cols, 4, 1, gap);
  auto accumulated = Grid<Real, Exec>::random(segments, cols, 4, 1, gap);
  dashi::kernels::segment_sums(ctx, x.view(), rows, out.view());
  dashi::kernels::segment_sums(ctx, x.view(), rows, accumulated.view(), 0.5);
  ctx.fence();
  std::vector<double> const old = Grid<Real, Exec>::random(segments, cols, 4).values();
  out.download();
  accumulated.download();
  auto const expected = [&](Index s, Index c) {
    double total = 0;
    for (Index r = 0; r < rows; ++r) {
      total += x(s * rows + r, c);
    }
    return total;
  };
  double const bound = 80 * roundoff<Real>() * std::sqrt(static_cast<double>(rows + 1));
  CHECK(dashi::test::relative_error(out, expected, segments, cols, 1.0) < bound);
  CHECK(dashi::test::relative_error(
            accumulated,
            [&](Index s, Index c) {
              return expected(s, c) + 0.5 * old[static_cast<std::size_t>(s * cols + c)];
            },
            segments, cols, 1.0) < bound);
}

struct AllReductions {
  template <class Exec>
  std::vector<double> run(dashi::Context<Exec>& ctx) const {
    Index const count = 1'000'003;
    ctx.reserve_scratch(std::max(dashi::kernels::sum_scratch_bytes<float>(count),
                                 dashi::kernels::segment_sums_scratch_bytes<float>(1, 901, 1100)));
    auto const x = Grid<float, Exec>::random(1, count, 1);
    auto const matrix = Grid<float, Exec>::random(901, 1100, 2);
    Grid<float, Exec> out(1, 1);
    Grid<float, Exec> columns(1, 1100);
    dashi::kernels::dot(ctx, x.vector(), x.vector(), out.vector());
    dashi::kernels::column_sums(ctx, matrix.view(), columns.vector());
    ctx.fence();
    out.download();
    columns.download();
    std::vector<double> all = columns.values();
    all.push_back(out(0, 0));
    return all;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("sums and dots are right for every length", "[reduce]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (Index const count : {0, 1, 63, 64, 65, 4096, 4097, 70001}) {
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_sum<double, TestType>(count);
#endif
    check_sum<float, TestType>(count);
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_sum<dashi::BFloat16, TestType>(count);
    check_sum<dashi::Float16, TestType>(count);
#endif
  }
  check_sum<float, TestType>(4096 * 4096 + 5);  // three levels
}

TEMPLATE_TEST_CASE("sums over the rows of a segment are right", "[reduce]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (Index const gap : {0, 3}) {
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_segments<double, TestType>(3, 65, 37, gap);
#endif
    check_segments<float, TestType>(2, 256, 1152, gap);
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_segments<dashi::BFloat16, TestType>(1, 5000, 3, gap);
    check_segments<dashi::BFloat16, TestType>(5, 1, 1025, gap);
#endif
    check_segments<float, TestType>(4, 0, 7, gap);
    check_segments<float, TestType>(0, 8, 7, gap);
  }
}

TEST_CASE("sums have the same bits for any number of threads", "[reduce]") {
  dashi::test::check_same_bits(AllReductions{});
}

TEST_CASE("sums refuse extents that do not match, naming both", "[reduce]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> const x(6, 4);
  Grid<float, Exec> const out(2, 5);
  try {
    dashi::kernels::segment_sums(ctx, x.view(), 3, out.view());
    FAIL("no exception");
  } catch (dashi::PreconditionError const& error) {
    CHECK(std::string(error.what()).find("6 x 4") != std::string::npos);
    CHECK(std::string(error.what()).find("6 x 5") != std::string::npos);
  }
}

TEST_CASE("columns that are not contiguous are refused", "[reduce]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  Kokkos::View<float**, Kokkos::LayoutLeft, Exec> const left("left", 4, 4);
  CHECK_THROWS_AS((dashi::kernels::RowsOf<float, Exec>(left)), dashi::PreconditionError);
  Kokkos::View<float**, Kokkos::LayoutStride, Exec> const strided("strided",
                                                                  Kokkos::LayoutStride(4, 9, 4, 1));
  CHECK(dashi::kernels::RowsOf<float, Exec>(strided).stride == 9);
}

TEST_CASE("tasks and rows beyond 2^31 elements are found", "[reduce]") {
  Index const cols = (Index{1} << 33) + 5;
  auto const pieces = dashi::kernels::row_pieces<Kokkos::Serial>(cols);
  auto const last = pieces.piece(3 * pieces.per_row - 1);
  CHECK(last.row == 2);
  CHECK(last.last == cols);
  CHECK(last.first == (cols - 1) / pieces.width * pieces.width);
  CHECK(dashi::kernels::detail::pieces(Index{1} << 40, 4096) == Index{1} << 28);
  // A view of two rows whose distance is more than 2^31 elements; no element is touched.
  std::uintptr_t const base = 4096;
  Kokkos::View<float**, Kokkos::LayoutStride, Kokkos::HostSpace,
               Kokkos::MemoryTraits<Kokkos::Unmanaged>> const wide(reinterpret_cast<float*>(base),
                                                                   Kokkos::LayoutStride(
                                                                       2, std::size_t{1} << 34, 3,
                                                                       1));
  dashi::kernels::RowsOf<float, Kokkos::Serial> const rows(wide);
  auto const address = reinterpret_cast<std::uintptr_t>(rows.row(1));
  CHECK(address - base == std::uintptr_t{1} << 36);
}

}  // namespace reduce_test
