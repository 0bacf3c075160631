// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/run_tasks.hpp>
#include <dashi/kernels/storage_chunk.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <Kokkos_Core.hpp>

#include <type_traits>

namespace dashi::kernels {

namespace detail {

/// `Outputs` output blocks of a mix that stay in registers, as a list: no loop that a compiler may
/// leave rolled up.
template <class C, int Outputs>
struct MixedRows {
  C first = C::splat(0);
  MixedRows<C, Outputs - 1> others;

  KOKKOS_FORCEINLINE_FUNCTION void add(typename C::Acc const* weights, Index stride, C const& x) {
    first.add_product(C::splat(*weights), x);
    others.add(weights + stride, stride, x);
  }
  template <class T, class Elements>
  KOKKOS_FORCEINLINE_FUNCTION void store(T* out, Index stride, Elements count, bool add_to) const {
    C result = first;
    if (add_to) {
      result.add(C::load(out, count));
    }
    result.store(out, count);
    others.store(out + stride, stride, count, add_to);
  }
  /// The first `count` elements of each, of which `room` more are left of the row. Where that is a
  /// register, blend() takes what is there behind them, so that store_blended() writes it whole.
  /// All are read before one is written, and written in order: what one writes of the next is old.
  template <class T>
  KOKKOS_FORCEINLINE_FUNCTION void blend(T const* out, Index stride, Index count, Index room,
                                         bool add_to) {
    if (room >= C::size) {
      C const old = C::load(out);
      if (add_to) {
        first.add(old);
      }
      first = first.cut(count, old);
    } else if (add_to) {
      first.add(C::load(out, count));
    }
    others.blend(out + stride, stride, count, room - stride, add_to);
  }
  template <class T>
  KOKKOS_FORCEINLINE_FUNCTION void store_blended(T* out, Index stride, Index count,
                                                 Index room) const {
    if (room >= C::size) {
      first.store(out);
    } else {
      first.store(out, count);
    }
    others.store_blended(out + stride, stride, count, room - stride);
  }
};

template <class C>
struct MixedRows<C, 0> {
  KOKKOS_FORCEINLINE_FUNCTION void add(typename C::Acc const*, Index, C const&) {}
  template <class T, class Elements>
  KOKKOS_FORCEINLINE_FUNCTION void store(T*, Index, Elements, bool) const {}
  template <class T>
  KOKKOS_FORCEINLINE_FUNCTION void blend(T const*, Index, Index, Index, bool) {}
  template <class T>
  KOKKOS_FORCEINLINE_FUNCTION void store_blended(T*, Index, Index, Index) const {}
};

/// out[t, p, :] (+)= Σ_q weights[p, q] in[t, q, :], `inner` numbers each. One task on a host is a
/// row t, on a device a few output blocks of one register's width.
template <class T>
struct MixKernel {
  using Acc = AccumulatorOf<T>;
  Acc const* weights;  ///< [outputs, inputs], dense
  Index outputs, inputs, inner;
  Rows<T const> in;
  Rows<T> out;
  bool add_to;
  Index outputs_per_task, inner_per_task;
  bool whole_rows;  ///< a task is a row: nobody else writes to it

  KOKKOS_INLINE_FUNCTION Index output_tasks() const {
    return (outputs + outputs_per_task - 1) / outputs_per_task;
  }
  KOKKOS_INLINE_FUNCTION Index inner_tasks() const {
    return (inner + inner_per_task - 1) / inner_per_task;
  }
  KOKKOS_INLINE_FUNCTION Index tasks() const { return in.rows * output_tasks() * inner_tasks(); }

  template <template <class, int> class Lanes, int Bytes>
  KOKKOS_FORCEINLINE_FUNCTION void tile(Index begin, Index end) const {
    for (Index task = begin; task < end; ++task) {
      Index const rest = task / inner_tasks();
      Index const from = (task - rest * inner_tasks()) * inner_per_task;
      Index const row = rest / output_tasks();
      Index const first = (rest - row * output_tasks()) * outputs_per_task;
      Index const to = from + inner_per_task < inner ? from + inner_per_task : inner;
      Index const last = first + outputs_per_task < outputs ? first + outputs_per_task : outputs;
      using Whole = StorageChunk<Lanes, Bytes, T>;
      using Half = StorageChunk<Lanes, Bytes / 2, T>;
      constexpr int most = Bytes == 64 ? 8 : 4;  // of twice as many registers
      Index at = from;
      for (; at + Whole::size <= to; at += Whole::size) {
        columns<Whole, most>(row, at, AllOfIt{}, first, last);
      }
      for (; at + Half::size <= to; at += Half::size) {
        columns<Half, most>(row, at, AllOfIt{}, first, last);
      }
      if (at < to) {
        columns<Half, most>(row, at, to - at, first, last);
      }
    }
  }

private:
  template <class C, int Most, class Count>
  KOKKOS_FORCEINLINE_FUNCTION void columns(Index row, Index at, Count count, Index first,
                                           Index last) const {
    Index p = first;
    for (; p + Most <= last; p += Most) {
      block<C, Most>(row, at, count, p);
    }
    for (; p + 2 <= last; p += 2) {
      block<C, 2>(row, at, count, p);
    }
    if (p < last) {
      block<C, 1>(row, at, count, p);
    }
  }

  template <class C, int Outputs, class Count>
  KOKKOS_FORCEINLINE_FUNCTION void block(Index row, Index at, Count count, Index p) const {
    MixedRows<C, Outputs> sums;
    T const* from = in.row(row) + at;
    Acc const* weight = weights + p * inputs;
    T* const to = out.row(row) + p * inner + at;
    if constexpr (std::is_same_v<Count, AllOfIt>) {
      for (Index q = 0; q < inputs; ++q) {
        sums.add(weight + q, inputs, C::load(from));
        from += inner;
      }
      sums.store(to, inner, count, add_to);
    } else {
      // Elements behind an incomplete register are read where there are any, and take no part.
      Index room = (in.rows - 1 - row) * in.stride + in.cols - at;
      for (Index q = 0; q < inputs; ++q) {
        sums.add(weight + q, inputs, C::load_over(from, count, room));
        from += inner;
        room -= inner;
      }
      if (whole_rows) {
        Index const left = out.cols - p * inner - at;
        sums.blend(to, inner, count, left, add_to);
        sums.store_blended(to, inner, count, left);
      } else {
        sums.store(to, inner, count, add_to);
      }
    }
  }
};

template <class Exec, class T>
MixKernel<T> mix_kernel(AccumulatorOf<T> const* weights, Index outputs, Index inputs,
                        Rows<T const> in, Rows<T> out, bool add_to) {
  constexpr bool host = runs_on_host<Exec>;
  Index const inner = outputs > 0 ? out.cols / outputs : 0;
  return {weights,
          outputs,
          inputs,
          inner,
          in,
          out,
          add_to,
          host ? outputs : Index{4},
          host ? inner : Index{32 / sizeof(AccumulatorOf<T>)},
          host};
}

/// to[i, j] = scale op(from)[i, j], dense.
template <class T>
struct MixWeights {
  Rows<T const> from;
  bool transpose;
  AccumulatorOf<T> scale;
  AccumulatorOf<T>* to;

  KOKKOS_INLINE_FUNCTION void operator()(Index at) const {
    Index const cols = transpose ? from.rows : from.cols;
    Index const i = at / cols;
    Index const j = at - i * cols;
    to[at] = scale * convert<AccumulatorOf<T>>(transpose ? from.row(j)[i] : from.row(i)[j]);
  }
};

}  // namespace detail

/// Fills [rows, cols] of op(from) with scale op(from), widened, for mix(). Asynchronous.
template <class T, class Exec, class Provider>
void mix_weights(Context<Exec, Provider>& ctx, Rows<T const> from, bool transpose, double scale,
                 AccumulatorOf<T>* to) {
  Index const size = from.rows * from.cols;
  for_each_index("dashi::kernels::mix_weights", ctx.exec(), size, size,
                 detail::MixWeights<T>{from, transpose, static_cast<AccumulatorOf<T>>(scale), to});
}

/// out[t, p, :] (+)= Σ_q weights[p, q] in[t, q, :] for every row t, the sum in ascending q, rounded
/// once: the step of a Kronecker product with its small factor.
///
/// in [T, inputs * inner], out [T, outputs * inner], weights [outputs, inputs] dense in Exec's
/// memory. 2 T outputs inputs inner FLOP; reads in, writes out once. Asynchronous.
template <class T, class Exec, class Provider>
void mix(Context<Exec, Provider>& ctx, AccumulatorOf<T> const* weights, Index outputs, Index inputs,
         Rows<T const> in, Rows<T> out, bool add_to) {
  auto const kernel = detail::mix_kernel<Exec, T>(weights, outputs, inputs, in, out, add_to);
  if (in.rows > 0 && kernel.inner > 0) {
    run_tasks("dashi::kernels::mix", ctx.exec(), kernel.tasks(), kernel);
  }
}

}  // namespace dashi::kernels
