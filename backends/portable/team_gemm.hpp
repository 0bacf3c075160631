// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "finish_element.hpp"

#include <Kokkos_Core.hpp>

#include <cstddef>

namespace dashi::backends::portable {

/// Element (row, col) of op(X), zero outside.
template <class Acc, class In>
KOKKOS_INLINE_FUNCTION Acc element_or_zero(linalg::Op op, In const* x, Index ld, Index row,
                                           Index col, Index rows, Index cols) {
  if (row >= rows || col >= cols) {
    return Acc{};
  }
  return convert<Acc>(op == linalg::Op::none ? x[row * ld + col] : x[col * ld + row]);
}

/// Extents of the work of a team of `Threads`.
template <int Threads>
struct TeamTile {
  static constexpr int side = 32;   ///< of a tile of C
  static constexpr int depth = 16;  ///< of a step along k
  static constexpr int block = 2;   ///< a thread computes block x block elements at a time
  static constexpr int blocks_across = side / block;
  static constexpr int blocks_a_thread = blocks_across * blocks_across / Threads;
  static constexpr std::size_t sums = std::size_t{blocks_a_thread} * block * block;
  static_assert(blocks_across * blocks_across % Threads == 0);
};

/// The product for devices: a team of `Threads` computes a square tile of C in registers, from
/// tiles of op(A) and op(B) that it copies to its scratch memory.
template <int Threads, class Exec, class In, class Out>
void team_gemm(Exec const& exec, linalg::GemmCall<In, Out> const& call) {
  using Acc = linalg::AccumulateOf<In>;
  using Policy = Kokkos::TeamPolicy<Exec, Kokkos::IndexType<Index>>;
  using Tile = TeamTile<Threads>;
  constexpr int side = Tile::side;
  constexpr int depth = Tile::depth;
  constexpr int block = Tile::block;
  constexpr int blocks_across = Tile::blocks_across;
  Index const tiles_down = (call.m + side - 1) / side;
  Index const tiles_across = (call.n + side - 1) / side;
  // Device grids end at 2^31 - 1; a team takes every teams-th tile.
  Index const tiles = tiles_down * tiles_across * call.batch;
  Index const teams = tiles < Index{1} << 30 ? tiles : Index{1} << 30;
  Policy policy(exec, static_cast<int>(teams), Threads);
  policy.set_scratch_size(0, Kokkos::PerTeam(2 * std::size_t{side * depth} * sizeof(Acc)));
  Kokkos::parallel_for(
      "dashi::portable::gemm", policy, KOKKOS_LAMBDA(typename Policy::member_type const& team) {
        int const bytes = side * depth * static_cast<int>(sizeof(Acc));
        Acc* const a_tile = static_cast<Acc*>(team.team_shmem().get_shmem(bytes));
        Acc* const b_tile = static_cast<Acc*>(team.team_shmem().get_shmem(bytes));
        for (Index tile = team.league_rank(); tile < tiles; tile += teams) {
          Index const batch = tile / (tiles_down * tiles_across);
          Index const place = tile % (tiles_down * tiles_across);
          Index const row0 = place / tiles_across * side;
          Index const col0 = place % tiles_across * side;
          In const* const a = call.a.data + batch * call.a.batch_stride;
          In const* const b = call.b.data + batch * call.b.batch_stride;
          Acc sum[Tile::sums] = {};
          for (Index k0 = 0; k0 < call.k; k0 += depth) {
            team.team_barrier();
            for (int e = team.team_rank(); e < side * depth; e += Threads) {
              // Neighbouring threads read neighbouring addresses, whichever way the matrix lies.
              int const ai = call.op_a == linalg::Op::none ? e / depth : e % side;
              int const ak = call.op_a == linalg::Op::none ? e % depth : e / side;
              a_tile[ak * side + ai] =
                  element_or_zero<Acc>(call.op_a, a, call.a.ld, row0 + ai, k0 + ak, call.m, call.k);
              int const bk = call.op_b == linalg::Op::none ? e / side : e % depth;
              int const bj = call.op_b == linalg::Op::none ? e % side : e / depth;
              b_tile[bk * side + bj] =
                  element_or_zero<Acc>(call.op_b, b, call.b.ld, k0 + bk, col0 + bj, call.k, call.n);
            }
            team.team_barrier();
            for (int own = 0; own < Tile::blocks_a_thread; ++own) {
              int const at = own * Threads + team.team_rank();
              Acc const* const a_block = a_tile + at / blocks_across * block;
              Acc const* const b_block = b_tile + at % blocks_across * block;
              for (int k = 0; k < depth; ++k) {
                for (int i = 0; i < block; ++i) {
                  for (int j = 0; j < block; ++j) {
                    sum[(own * block + i) * block + j] +=
                        a_block[k * side + i] * b_block[k * side + j];
                  }
                }
              }
            }
          }
          for (int own = 0; own < Tile::blocks_a_thread; ++own) {
            int const at = own * Threads + team.team_rank();
            for (int i = 0; i < block; ++i) {
              for (int j = 0; j < block; ++j) {
                Index const row = row0 + at / blocks_across * block + i;
                Index const col = col0 + at % blocks_across * block + j;
                if (row < call.m && col < call.n) {
                  finish_element(call, batch, row, col, sum[(own * block + i) * block + j]);
                }
              }
            }
          }
        }
      });
}

}  // namespace dashi::backends::portable
