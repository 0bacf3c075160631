// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "finish_rows.hpp"
#include "packing.hpp"

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace dashi::backends::portable {

/// The block of C that stays in registers: rows, and columns of 64 bytes, which are two registers
/// of 32 bytes or four of 16.
template <class Acc>
struct RegisterBlock {
  static constexpr int rows = 6;
  static constexpr int cols = 64 / static_cast<int>(sizeof(Acc));
  static constexpr int half = cols / 2;
  typedef Acc Vector __attribute__((vector_size(32)));
};

/// Row i of the block += a[i] times a row of the panel of B. By reference: by value such vectors
/// would change the calling convention where the compiler may not use registers of 32 bytes.
template <class Acc, std::size_t... Row>
[[gnu::always_inline]] inline void add_row_products(
    Acc const* a, typename RegisterBlock<Acc>::Vector const& left,
    typename RegisterBlock<Acc>::Vector const& right,
    typename RegisterBlock<Acc>::Vector (&sums)[sizeof...(Row)][2], std::index_sequence<Row...>) {
  ((sums[Row][0] += a[Row] * left, sums[Row][1] += a[Row] * right), ...);
}

/// sum[rows][cols] (+)= the product of a panel of A, [depth][rows], and one of B, [depth][cols].
template <class Acc>
inline void multiply_panels(Index depth, Acc const* a, Acc const* b, Acc* sum, bool add) {
  using Block = RegisterBlock<Acc>;
  constexpr std::size_t rows = Block::rows;
  typename Block::Vector sums[rows][2] = {};
  for (Index k = 0; k < depth; ++k) {
    typename Block::Vector left;
    typename Block::Vector right;
    std::memcpy(&left, b, sizeof(left));
    std::memcpy(&right, b + Block::half, sizeof(right));
    add_row_products(a, left, right, sums, std::make_index_sequence<rows>());
    a += rows;
    b += Block::cols;
  }
  for (std::size_t i = 0; i < rows; ++i) {
    Acc line[Block::cols];
    std::memcpy(line, sums[i], sizeof(line));
    Acc* const out = sum + i * Block::cols;
    for (std::size_t j = 0; j < Block::cols; ++j) {
      out[j] = add ? out[j] + line[j] : line[j];
    }
  }
}

/// Extents of the tile of C that one thread computes and of a step along k.
struct Tiling {
  Index rows;
  Index cols;
  Index depth;

  template <class Acc>
  static Tiling of(Index m, Index n, Index k, Index batch, Index threads) {
    constexpr Index most = 192;
    constexpr Index least = 48;  // multiples of both sides of a register block
    auto const up = [](Index x, Index to) { return (x + to - 1) / to * to; };
    Tiling t{std::min(most, up(m, RegisterBlock<Acc>::rows)),
             std::min(most, up(n, RegisterBlock<Acc>::cols)), std::min<Index>(256, k)};
    auto const tiles = [&] {
      return (m + t.rows - 1) / t.rows * ((n + t.cols - 1) / t.cols) * batch;
    };
    while (tiles() < 3 * threads && (t.rows > least || t.cols > least)) {
      (t.rows >= t.cols ? t.rows : t.cols) = least;
    }
    return t;
  }
};

/// The product for hosts: every thread computes tiles of C, copying what it needs of A and B into
/// panels that fit its second-level cache. An element's sum runs over k in the same order whatever
/// the number of threads and its place in a tile, so the bits depend on the operands only.
template <class Exec, class In, class Out>
void packed_gemm(Exec const& exec, linalg::GemmCall<In, Out> const& call) {
  using Acc = linalg::AccumulateOf<In>;
  using Policy =
      Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>, Kokkos::Schedule<Kokkos::Dynamic>>;
  constexpr Index rows = RegisterBlock<Acc>::rows;
  constexpr Index cols = RegisterBlock<Acc>::cols;
  Tiling const t = Tiling::of<Acc>(call.m, call.n, call.k, call.batch, exec.concurrency());
  Index const tiles_down = (call.m + t.rows - 1) / t.rows;
  Index const tiles_across = (call.n + t.cols - 1) / t.cols;
  auto const elements = [](Index count) { return (count + cols - 1) / cols * cols; };
  Index const a_size = elements(t.rows * t.depth);
  Index const b_size = elements(t.cols * t.depth);
  auto const bytes = static_cast<std::size_t>(a_size + b_size + t.rows * t.cols) * sizeof(Acc);
  Index const tiles = tiles_down * tiles_across * call.batch;
  Index const teams = std::min(tiles, Index{1} << 30);  // a league counts in int
  Policy policy(exec, static_cast<int>(teams), 1);
  policy.set_scratch_size(1, Kokkos::PerTeam(bytes + 64));
  Kokkos::parallel_for(
      "dashi::portable::gemm", policy, [=](typename Policy::member_type const& team) {
        auto* const a_panels = static_cast<Acc*>(team.team_scratch(1).get_shmem_aligned(bytes, 64));
        Acc* const b_panels = a_panels + a_size;
        Acc* const sums = b_panels + b_size;
        for (Index tile = team.league_rank(); tile < tiles; tile += teams) {
          Index const batch = tile / (tiles_down * tiles_across);
          Index const row0 = tile % (tiles_down * tiles_across) / tiles_across * t.rows;
          Index const col0 = tile % tiles_across * t.cols;
          Index const height = std::min(t.rows, call.m - row0);
          Index const width = std::min(t.cols, call.n - col0);
          bool const a_plain = call.op_a == linalg::Op::none;
          bool const b_plain = call.op_b == linalg::Op::none;
          Index const a_row = a_plain ? call.a.ld : 1;
          Index const a_step = a_plain ? 1 : call.a.ld;
          Index const b_col = b_plain ? 1 : call.b.ld;
          Index const b_step = b_plain ? call.b.ld : 1;
          In const* const a = call.a.data + batch * call.a.batch_stride + row0 * a_row;
          In const* const b = call.b.data + batch * call.b.batch_stride + col0 * b_col;
          if (call.k == 0) {
            std::fill(sums, sums + t.rows * t.cols, Acc{});
          }
          for (Index k0 = 0; k0 < call.k; k0 += t.depth) {
            Index const depth = std::min(t.depth, call.k - k0);
            pack_panels<rows>(a + k0 * a_step, a_row, a_step, height, depth, a_panels);
            pack_panels<cols>(b + k0 * b_step, b_col, b_step, width, depth, b_panels);
            for (Index j = 0; j < width; j += cols) {
              for (Index i = 0; i < height; i += rows) {
                multiply_panels(depth, a_panels + i * depth, b_panels + j * depth,
                                sums + j * t.rows + i * cols, k0 > 0);
              }
            }
          }
          for (Index i = 0; i < height; ++i) {
            for (Index j = 0; j < width; j += cols) {
              finish_row(call, batch, row0 + i, col0 + j, std::min(cols, width - j),
                         sums + j * t.rows + i * cols);
            }
          }
        }
      });
}

}  // namespace dashi::backends::portable
