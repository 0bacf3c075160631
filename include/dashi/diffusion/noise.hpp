// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/philox.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <cstdint>

namespace dashi::diffusion {

namespace detail {

/// Writes pieces of rows, four elements a block of random bits.
template <class T>
struct NoiseKernel {
  std::uint64_t seed;
  RandomPlace first;
  std::int64_t const* samples;  // null: first.sample + row
  kernels::Rows<T> out;
  kernels::RowPieces pieces;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      auto const [row, from, to] = pieces.piece(task);
      RandomPlace place = first;
      place.sample =
          static_cast<std::uint32_t>(samples == nullptr ? first.sample + row : samples[row]);
      Philox const random(seed, place);
      T* const data = out.row(row);
      for (Index c = from; c < to; c += 4) {
        auto const normals = random.four_normals(static_cast<std::uint64_t>(c / 4));
        Index const count = to - c < 4 ? to - c : 4;
        for (Index i = 0; i < count; ++i) {
          data[c + i] = convert<T>(normals[static_cast<std::size_t>(i)]);
        }
      }
    }
  }
};

template <class Exec, class T>
void fill_noise(Exec const& exec, std::uint64_t seed, RandomPlace first,
                std::int64_t const* samples, kernels::RowsOf<T, Exec> const& out) {
  constexpr Index width = kernels::runs_on_host<Exec> ? 512 : 4;  // a multiple of four
  kernels::RowPieces const pieces{out.cols, width, (out.cols + width - 1) / width};
  kernels::run_tasks("dashi::diffusion::fill_noise", exec, out.rows * pieces.per_row,
                     NoiseKernel<T>{seed, first, samples, out, pieces});
}

}  // namespace detail

/// out[n, i] = standard normal number i of sample first.sample + n (Philox::normal<float>, rounded
/// to out's type): the same for any batch, thread count and device. out [samples, any]; the last
/// sample must be below 2^32. Asynchronous.
template <class Exec, class Provider, class Out>
void fill_noise(Context<Exec, Provider>& ctx, std::uint64_t seed, RandomPlace first,
                Out const& out) {
  using T = typename Out::value_type;
  kernels::RowsOf<T, Exec> const to(out);
  DASHI_EXPECTS(to.rows <= (Index{1} << 32) - static_cast<Index>(first.sample),
                "fill_noise: samples are numbered below 2^32");
  detail::fill_noise<Exec, T>(ctx.exec(), seed, first, nullptr, to);
}

/// The same for samples whose numbers are given: `samples` [rows of out], each in [0, 2^32);
/// place.sample is not read.
template <class Exec, class Provider, class Out>
void fill_noise(Context<Exec, Provider>& ctx, std::uint64_t seed, RandomPlace place,
                VectorOf<std::int64_t const, Exec> samples, Out const& out) {
  using T = typename Out::value_type;
  kernels::RowsOf<T, Exec> const to(out);
  kernels::detail::expect_size(samples.extent(0), "samples of fill_noise", to.rows);
  detail::fill_noise<Exec, T>(ctx.exec(), seed, place, samples.data(), to);
}

}  // namespace dashi::diffusion
