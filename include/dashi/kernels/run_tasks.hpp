// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/tensor.hpp>
#include <dashi/kernels/tile_runner.hpp>

#include <Kokkos_Core.hpp>

#include <type_traits>

namespace dashi::kernels {

/// Whether a task of Exec is worth a vectorised loop (host threads) or one element (devices).
template <class Exec>
inline constexpr bool runs_on_host = std::is_same_v<typename Exec::memory_space, Kokkos::HostSpace>;

/// Runs a tile kernel over [0, count), each index a task of its own; asynchronous. What a task
/// computes must not depend on the others: they run in any order, on any number of threads.
template <class Exec, class Kernel>
void run_tasks(char const* label, Exec const& exec, Index count, Kernel const& kernel) {
  if (count == 0) {
    return;
  }
  Kokkos::parallel_for(
      label, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, count),
      KOKKOS_LAMBDA(Index task) { TileRunner<Exec>::run(kernel, task, task + 1); });
}

/// body(i) for every i below count, in any order. `work`: about how many numbers all of them touch;
/// on a host, where a space has done what it was given when a call returns, little work is not
/// worth waking threads for.
template <class Exec, class Body>
void for_each_index(char const* label, Exec const& exec, Index count, [[maybe_unused]] Index work,
                    Body const& body) {
  if constexpr (runs_on_host<Exec>) {
    constexpr Index little = 8192;
    if (work <= little) {
      exec.fence(label);
      for (Index i = 0; i < count; ++i) {
        body(i);
      }
      return;
    }
  }
  Kokkos::parallel_for(label, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, count),
                       body);
}

/// Hands out the tasks 0, 1, ... of one launch to workers that keep scratch from task to task; for
/// host spaces. Which worker does a task must change no bit of what it computes.
struct TaskCounter {
  Index* next;
  KOKKOS_FORCEINLINE_FUNCTION Index claim() const {
    return Kokkos::atomic_fetch_add(next, Index{1});
  }
};

/// A counter at 0 once the work given to exec before is done; `memory` is one number of scratch.
template <class Exec>
TaskCounter task_counter(Exec const& exec, Index* memory) {
  Kokkos::parallel_for(
      "dashi::kernels::task_counter", Kokkos::RangePolicy<Exec>(exec, 0, 1),
      KOKKOS_LAMBDA(int) { *memory = 0; });
  return {memory};
}

/// A matrix cut into pieces of at most `width` elements of one row.
struct RowPieces {
  Index cols;
  Index width;
  Index per_row;

  struct Piece {
    Index row, first, last;
  };
  KOKKOS_FORCEINLINE_FUNCTION Piece piece(Index task) const {
    Index const row = task / per_row;
    Index const first = (task - row * per_row) * width;
    return {row, first, first + width < cols ? first + width : cols};
  }
};

template <class Exec>
RowPieces row_pieces(Index cols) {
  constexpr Index width = runs_on_host<Exec> ? 2048 : 1;
  return {cols, width, (cols + width - 1) / width};
}

}  // namespace dashi::kernels
