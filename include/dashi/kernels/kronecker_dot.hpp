// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/storage_chunk.hpp>
#include <dashi/kernels/strided_rows.hpp>
#include <dashi/linalg/batched_gemm.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <type_traits>

namespace dashi::kernels {

namespace detail {

/// Products of one block of a row with `Count` blocks of another, summed in registers.
template <class C, int Count>
struct DotRow {
  C first = C::splat(0);
  DotRow<C, Count - 1> others;

  template <class T, class Room>
  KOKKOS_FORCEINLINE_FUNCTION void add(C const& x, T const* y, Index stride, Room room) {
    first.add_product(x, room.template load<C>(y));
    others.add(x, y + stride, stride, room.behind(stride));
  }
  template <class Room>
  KOKKOS_FORCEINLINE_FUNCTION void store(typename C::Acc* to, Room room) const {
    C const valid = room.cut(first);
    typename C::Part const sums = valid.lower + valid.upper;
    alignas(64) typename C::Acc lane[static_cast<std::size_t>(C::lanes)];
    sums.store(lane);
    for (int width = C::lanes / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) {
        lane[i] += lane[i + width];
      }
    }
    *to += lane[0];
    others.store(to + 1, room);
  }
};

template <class C>
struct DotRow<C, 0> {
  template <class T, class Room>
  KOKKOS_FORCEINLINE_FUNCTION void add(C const&, T const*, Index, Room) {}
  template <class Room>
  KOKKOS_FORCEINLINE_FUNCTION void store(typename C::Acc*, Room) const {}
};

template <class C, int Rows_, int Cols>
struct DotBlock {
  DotRow<C, Cols> first;
  DotBlock<C, Rows_ - 1, Cols> others;

  template <class T, class Room>
  KOKKOS_FORCEINLINE_FUNCTION void add(T const* x, T const* y, Index stride, Room x_room,
                                       Room y_room) {
    first.add(x_room.template load<C>(x), y, stride, y_room);
    others.add(x + stride, y, stride, x_room.behind(stride), y_room);
  }
  template <class Room>
  KOKKOS_FORCEINLINE_FUNCTION void store(typename C::Acc* to, Index cols, Room room) const {
    first.store(to, room);
    others.store(to + cols, cols, room);
  }
};

template <class C, int Cols>
struct DotBlock<C, 0, Cols> {
  template <class T, class Room>
  KOKKOS_FORCEINLINE_FUNCTION void add(T const*, T const*, Index, Room, Room) {}
  template <class Room>
  KOKKOS_FORCEINLINE_FUNCTION void store(typename C::Acc*, Index, Room) const {}
};

/// Registers are filled whole.
struct WholeRegister {
  template <class C, class T>
  KOKKOS_FORCEINLINE_FUNCTION C load(T const* from) const {
    return C::load(from);
  }
  KOKKOS_FORCEINLINE_FUNCTION WholeRegister behind(Index) const { return {}; }
  template <class C>
  KOKKOS_FORCEINLINE_FUNCTION C const& cut(C const& sums) const {
    return sums;
  }
};
/// The first `count` elements of a register count; what lies behind them is read where there is
/// `room`, which is faster than to leave it out, and takes no part.
struct PartOfRegister {
  Index count;
  Index room;

  template <class C, class T>
  KOKKOS_FORCEINLINE_FUNCTION C load(T const* from) const {
    return C::load_over(from, count, room);
  }
  KOKKOS_FORCEINLINE_FUNCTION PartOfRegister behind(Index distance) const {
    return {count, room - distance};
  }
  template <class C>
  KOKKOS_FORCEINLINE_FUNCTION C cut(C const& sums) const {
    return sums.cut(count, C::splat(0));
  }
};

/// Rows of x and y that one partial sum takes.
inline constexpr Index dot_rows = 16;

/// partial[task, p, q] = Σ over the task's rows t of x[t, p, :] · y[t, q, :].
template <class T>
struct DotKernel {
  using Acc = AccumulatorOf<T>;
  Rows<T const> x, y;
  Index left, right, inner;
  Acc* partial;

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      Acc* const sums = partial + task * left * right;
      for (Index e = 0; e < left * right; ++e) {
        sums[e] = 0;
      }
      Index const first = task * dot_rows;
      Index const last = first + dot_rows < x.rows ? first + dot_rows : x.rows;
      using Whole = StorageChunk<Lanes, Bytes, T>;
      using Half = StorageChunk<Lanes, Bytes / 2, T>;
      constexpr int most = Bytes == 64 ? 4 : 2;
      Index const whole = inner / Whole::size * Whole::size;
      Index const halves = inner / Half::size * Half::size;
      columns<Whole, most, WholeRegister>(sums, first, last, 0, whole);
      columns<Half, most, WholeRegister>(sums, first, last, whole, halves);
      columns<Half, most, PartOfRegister>(sums, first, last, halves, inner);
    }
  }

private:
  /// `Room` is PartOfRegister for the last, incomplete chunk of a block.
  template <class C, int Most, class Room>
  KOKKOS_FORCEINLINE_FUNCTION void columns(Acc* sums, Index first, Index last, Index from,
                                           Index to) const {
    if (from == to) {
      return;
    }
    Index p = 0;
    for (; p + Most <= left; p += Most) {
      pairs<C, Most, Room>(sums, first, last, from, to, p);
    }
    for (; p < left; ++p) {
      pairs<C, 1, Room>(sums, first, last, from, to, p);
    }
  }
  template <class C, int Count, class Room>
  KOKKOS_FORCEINLINE_FUNCTION void pairs(Acc* sums, Index first, Index last, Index from, Index to,
                                         Index p) const {
    Index q = 0;
    for (; q + 2 <= right; q += 2) {
      block<C, Count, 2, Room>(sums, first, last, from, to, p, q);
    }
    if (q < right) {
      block<C, Count, 1, Room>(sums, first, last, from, to, p, q);
    }
  }
  template <class Room>
  KOKKOS_FORCEINLINE_FUNCTION static Room room(Rows<T const> const& rows, Index t, Index at,
                                               Index count) {
    if constexpr (std::is_same_v<Room, WholeRegister>) {
      return {};
    } else {
      return {count, (rows.rows - 1 - t) * rows.stride + rows.cols - at};
    }
  }
  template <class C, int Count, int Cols, class Room>
  KOKKOS_FORCEINLINE_FUNCTION void block(Acc* sums, Index first, Index last, Index from, Index to,
                                         Index p, Index q) const {
    DotBlock<C, Count, Cols> dots;
    for (Index t = first; t < last; ++t) {
      T const* const a = x.row(t) + p * inner;
      T const* const b = y.row(t) + q * inner;
      for (Index at = from; at < to; at += C::size) {
        dots.add(a + at, b + at, inner, room<Room>(x, t, p * inner + at, to - at),
                 room<Room>(y, t, q * inner + at, to - at));
      }
    }
    dots.store(sums + p * right + q, right, room<Room>(x, first, 0, to - from));
  }
};

/// Rows of blocks as a batch of matrices, a block a row.
template <class Exec, class T>
auto blocks_view(Rows<T const> const& rows, Index blocks) {
  using View = Kokkos::View<T const***, Kokkos::LayoutStride, typename Exec::memory_space,
                            Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  auto const size = [](Index extent) { return static_cast<std::size_t>(extent); };
  Index const width = blocks > 0 ? rows.cols / blocks : 0;
  return View(rows.data, Kokkos::LayoutStride(size(rows.rows), size(rows.stride), size(blocks),
                                              size(width), size(width), 1));
}

}  // namespace detail

/// Partial sums that block_dots leaves for `rows` rows.
template <class Exec>
constexpr Index block_dot_terms(Index rows) {
  return runs_on_host<Exec> ? (rows + detail::dot_rows - 1) / detail::dot_rows : rows;
}

/// partial[s, p, q] = Σ_t x[t, p, :] · y[t, q, :] over the rows of part s: the gradient of a
/// Kronecker product's small factor, for tree_sum.
///
/// x [T, left * inner], y [T, right * inner], partial [block_dot_terms(T), left, right]. A part is
/// 16 rows on hosts, by a kernel of ours; one row on devices, by a batched product. 2 T left right
/// inner FLOP. Asynchronous.
template <class T, class Exec, class Provider>
void block_dots(Context<Exec, Provider>& ctx, Rows<T const> x, Index left, Rows<T const> y,
                Index right, AccumulatorOf<T>* partial) {
  Index const terms = block_dot_terms<Exec>(x.rows);
  if (terms == 0 || left == 0 || right == 0) {
    return;
  }
  if constexpr (runs_on_host<Exec>) {
    run_tasks("dashi::kernels::block_dots", ctx.exec(), terms,
              detail::DotKernel<T>{x, y, left, right, x.cols / left, partial});
  } else {
    using Out = Kokkos::View<AccumulatorOf<T>***, Kokkos::LayoutRight, typename Exec::memory_space,
                             Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
    auto const size = [](Index extent) { return static_cast<std::size_t>(extent); };
    linalg::batched_gemm(ctx, linalg::Op::none, detail::blocks_view<Exec>(x, left),
                         linalg::Op::transpose, detail::blocks_view<Exec>(y, right),
                         Out(partial, size(terms), size(left), size(right)));
  }
}

}  // namespace dashi::kernels
