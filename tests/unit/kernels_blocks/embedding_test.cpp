// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/kernels/embedding.hpp>
#include <dashi/kernels/patchify.hpp>
#include <dashi/kernels/timestep_embedding.hpp>

#include <support/test_scalars.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "grid.hpp"

namespace embedding_test {

namespace {

using dashi::Index;
using dashi::test::Grid;
using dashi::test::relative_error;
using dashi::test::roundoff;

template <class T, class Exec>
Kokkos::View<T*, typename Exec::memory_space> copied(std::vector<T> const& values) {
  Kokkos::View<T*, typename Exec::memory_space> view("copied", values.size());
  Kokkos::View<T const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const host(
      values.data(), values.size());
  Kokkos::deep_copy(view, host);
  return view;
}

template <class T, class Exec>
void check_embedding(Index samples, Index rows, Index cols, Index gap, bool dropping) {
  dashi::Context<Exec> ctx;
  auto const table = Grid<T, Exec>::random(rows, cols, 1, 1, gap);
  auto const d_out = Grid<T, Exec>::random(samples, cols, 2, 1, gap);
  auto d_table = Grid<float, Exec>::random(rows, cols, 3, 1, gap);
  std::vector<double> const before = d_table.values();
  Grid<T, Exec> out(samples, cols, gap);
  std::vector<std::int64_t> classes;
  std::vector<std::uint8_t> dropped;
  for (Index n = 0; n < samples; ++n) {
    classes.push_back(n * 7 % rows);
    dropped.push_back(n % 3 == 1);
  }
  auto const class_view = copied<std::int64_t, Exec>(classes);
  auto const dropped_view = copied<std::uint8_t, Exec>(dropped);
  dashi::kernels::Labels<Exec> labels;
  labels.classes = class_view;
  if (dropping) {
    labels.dropped = dropped_view;
    labels.null_row = rows - 1;
  }
  dashi::kernels::look_up(ctx, table.view(), labels, out.view());
  dashi::kernels::look_up_adjoint(ctx, d_out.view(), labels, d_table.view(), 0.5);
  ctx.fence();
  out.download();
  d_table.download();
  auto const row = [&](Index n) {
    auto const i = static_cast<std::size_t>(n);
    return dropping && dropped[i] != 0 ? rows - 1 : classes[i];
  };
  CHECK(relative_error(
            out, [&](Index n, Index c) { return table(row(n), c); }, samples, cols) == 0);
  auto const expected = [&](Index r, Index c) {
    double total = 0.5 * before[static_cast<std::size_t>(r * cols + c)];
    for (Index n = 0; n < samples; ++n) {
      total += row(n) == r ? d_out(n, c) : 0.0;
    }
    return total;
  };
  CHECK(relative_error(d_table, expected, rows, cols) < 50 * roundoff<float>());
}

/// The patches of DiT in plain loops: token (h, w), number i.
double pixel(std::vector<double> const& image, dashi::kernels::PatchGrid const& g,
             bool last_channel, Index token, Index i) {
  Index const across = g.width / g.patch;
  Index n = 0;
  for (Index a = 0; a < (last_channel ? g.patch : g.channels); ++a) {
    for (Index b = 0; b < g.patch; ++b) {
      for (Index c = 0; c < (last_channel ? g.channels : g.patch); ++c, ++n) {
        if (n == i) {
          Index const channel = last_channel ? c : a;
          Index const y = token / across * g.patch + (last_channel ? a : b);
          Index const x = token % across * g.patch + (last_channel ? b : c);
          return image[static_cast<std::size_t>((channel * g.height + y) * g.width + x)];
        }
      }
    }
  }
  return 0;
}

template <class T, class Exec>
void check_patches(Index samples, dashi::kernels::PatchGrid const& grid, Index gap) {
  dashi::Context<Exec> ctx;
  auto const images = Grid<T, Exec>::random(samples, grid.image_size(), 5, 1, gap);
  for (auto const order :
       {dashi::kernels::PatchOrder::channel_first, dashi::kernels::PatchOrder::channel_last}) {
    Grid<T, Exec> tokens(samples * grid.tokens(), grid.token_size(), gap);
    Grid<T, Exec> back(samples, grid.image_size(), gap);
    dashi::kernels::patchify(ctx, grid, order, images.view(), tokens.view());
    dashi::kernels::unpatchify(ctx, grid, order, tokens.view(), back.view());
    ctx.fence();
    tokens.download();
    back.download();
    auto const values = images.values();
    auto const expected = [&](Index row, Index i) {
      auto const size = static_cast<std::ptrdiff_t>(grid.image_size());
      auto const first = values.begin() + row / grid.tokens() * size;
      return pixel({first, first + size}, grid, order == dashi::kernels::PatchOrder::channel_last,
                   row % grid.tokens(), i);
    };
    CHECK(relative_error(tokens, expected, tokens.rows(), tokens.cols()) == 0);
    CHECK(back.values() == values);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("labels are looked up and their gradients added", "[embedding]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  for (bool const dropping : {false, true}) {
    check_embedding<float, TestType>(40, 11, 130, 3, dropping);
#if !defined(DASHI_TEST_ONE_SCALAR)
    check_embedding<double, TestType>(1, 1, 1, 0, dropping);
    check_embedding<dashi::BFloat16, TestType>(17, 1001, 384, 0, dropping);
#endif
    check_embedding<float, TestType>(0, 3, 5, 0, dropping);
  }
}

TEST_CASE("a label that is no row gives NaN", "[embedding]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> const table(3, 2);
  Grid<float, Exec> out(3, 2);
  auto const classes = copied<std::int64_t, Exec>({-1, 2, 3});
  dashi::kernels::Labels<Exec> labels;
  labels.classes = classes;
  dashi::kernels::look_up(ctx, table.view(), labels, out.view());
  ctx.fence();
  out.download();
  CHECK(std::isnan(out(0, 0)));
  CHECK(out(1, 1) == 0);
  CHECK(std::isnan(out(2, 1)));
}

TEMPLATE_TEST_CASE("images are cut into patches in DiT's orders and put together again",
                   "[patchify]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  check_patches<float, TestType>(2, {4, 8, 8, 2}, 0);
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_patches<double, TestType>(1, {3, 6, 9, 3}, 5);
  check_patches<dashi::BFloat16, TestType>(3, {8, 32, 32, 2}, 0);
#endif
  check_patches<float, TestType>(1, {1, 1, 1, 1}, 0);
  check_patches<float, TestType>(0, {4, 8, 8, 4}, 0);
}

TEST_CASE("patches that do not tile the image are refused", "[patchify]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  dashi::Context<Exec> ctx;
  Grid<float, Exec> const images(1, 4 * 6 * 6);
  Grid<float, Exec> const tokens(9, 16);
  CHECK_THROWS_AS(
      dashi::kernels::patchify(ctx, {4, 6, 6, 4}, dashi::kernels::PatchOrder::channel_first,
                               images.view(), tokens.view()),
      dashi::PreconditionError);
  CHECK_THROWS_AS(
      dashi::kernels::patchify(ctx, {4, 6, 6, 3}, dashi::kernels::PatchOrder::channel_first,
                               images.view(), tokens.view()),
      dashi::PreconditionError);
  CHECK_THROWS_WITH(
      dashi::kernels::patchify(ctx, {0, 6, 6, 3}, dashi::kernels::PatchOrder::channel_first,
                               images.view(), tokens.view()),
      Catch::Matchers::ContainsSubstring("0 channels"));
}

TEMPLATE_TEST_CASE("timesteps become cosines and sines of falling frequencies", "[timestep]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  dashi::Context<TestType> ctx;
  std::vector<double> const steps = {0, 1, 17.5, 999};
  auto const t = copied<double, TestType>(steps);
  for (Index const cols : {1, 2, 3, 7, 256}) {
    for (double const shift : {0.0, 1.0}) {
      Index const half = cols / 2;
      Grid<double, TestType> out(4, cols, 2);
      Grid<dashi::BFloat16, TestType> rounded(4, cols, 2);
      dashi::kernels::timestep_embedding(ctx, t, out.view(), {.shift = shift});
      dashi::kernels::timestep_embedding(ctx, t, rounded.view(), {.shift = shift});
      ctx.fence();
      out.download();
      rounded.download();
      auto const expected = [&](Index n, Index c) {
        Index const i = c < half ? c : c - half;
        double const f = half <= 1 ? 1.0
                                   : std::exp(-std::log(10000.0) * static_cast<double>(i) /
                                              (static_cast<double>(half) - shift));
        double const angle = steps[static_cast<std::size_t>(n)] * f;
        return c < half ? std::cos(angle) : i < half ? std::sin(angle) : 0.0;
      };
      CHECK(relative_error(out, expected, 4, cols, 1.0) < 1e-12);
      CHECK(relative_error(rounded, expected, 4, cols, 1.0) <= roundoff<dashi::BFloat16>());
    }
  }
}

}  // namespace embedding_test
