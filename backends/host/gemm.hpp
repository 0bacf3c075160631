// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/config.hpp>
#include <dashi/core/float_convert.hpp>
#include <dashi/kernels/activation_functions.hpp>
#include <dashi/kernels/activation_kernels.hpp>
#include <dashi/linalg/element.hpp>
#include <dashi/linalg/gemm_call.hpp>

#include "../portable/backend.hpp"
#include "first_failure.hpp"
#include "separate_rows.hpp"
#include "single_gemm.hpp"
#include "thread_limit.hpp"
#if defined(DASHI_HOST_ONEDNN)
#include "onednn_matmul.hpp"
#endif

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <vector>

namespace dashi::backends::host {

/// What the products of a context keep between calls.
struct GemmState {
#if defined(DASHI_HOST_ONEDNN)
  OnednnMatmul matmul;
#endif
  std::vector<float> wide_a, wide_b, wide_c;  ///< 16-bit operands where no library takes them
};

/// Threads that a product is worth: starting one costs what it needs for some 2^19 multiplications.
template <class In, class Out>
int worthwhile_threads(linalg::GemmCall<In, Out> const& call, int threads) {
  double const work = static_cast<double>(call.m) * static_cast<double>(call.n) *
                      static_cast<double>(call.k) * static_cast<double>(call.batch);
  return static_cast<int>(std::clamp(work / 0x1p19, 1.0, static_cast<double>(threads)));
}

/// All products of a call by library_gemm into `c`, with beta 0 unless C is given.
template <class Exec, class T>
bool library_batch(Exec const& exec, linalg::GemmCall<T, T> const& call, linalg::Scale scale) {
  if (!library_takes<T>(std::max({call.m, call.n, call.k, call.a.ld, call.b.ld, call.c.ld}))) {
    return false;
  }
  auto const one = [=](Index i) {
    library_gemm(Product<T>{
        call.op_a, call.op_b, call.m, call.n, call.k, static_cast<T>(scale.alpha),
        call.a.data + i * call.a.batch_stride, call.a.ld, call.b.data + i * call.b.batch_stride,
        call.b.ld, static_cast<T>(scale.beta), call.c.data + i * call.c.batch_stride, call.c.ld});
  };
  // Small products side by side, one thread each; large ones one after the other on all threads.
  constexpr double small = 2e7;
  double const work =
      static_cast<double>(call.m) * static_cast<double>(call.n) * static_cast<double>(call.k);
  if (call.batch >= exec.concurrency() && call.batch > 1 && work < small) {
    FirstFailure failure;
    FirstFailure* const kept = &failure;
    Kokkos::parallel_for("dashi::host::batched_gemm",
                         Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, call.batch),
                         [=](Index i) { kept->guard(i, [&] { one(i); }); });
    exec.fence("dashi::host::batched_gemm");
    failure.rethrow();
  } else {
    for (Index i = 0; i < call.batch; ++i) {
      one(i);
    }
  }
  return true;
}

/// op(X) of 16-bit numbers as floats, in rows without gaps; how X lies is kept.
template <class Exec, class In>
typename linalg::GemmCall<float, float>::template Matrix<float const> widened(
    Exec const& exec, In const* data, Index rows, Index cols, Index ld, Index batch,
    Index batch_stride, std::vector<float>& memory) {
  Index const copies = batch_stride == 0 ? 1 : batch;
  memory.resize(std::max(memory.size(), static_cast<std::size_t>(copies * rows * cols)));
  float* const out = memory.data();
  Kokkos::parallel_for(
      "dashi::host::widen",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, copies * rows), [=](Index row) {
        widen_row(data + row / rows * batch_stride + row % rows * ld, out + row * cols, cols);
      });
  return {out, std::max<Index>(cols, 1), batch_stride == 0 ? 0 : rows * cols};
}

/// 16-bit products in floats.
template <class Exec, class In, class Out>
bool widened_gemm(Exec const& exec, GemmState& state, linalg::GemmCall<In, Out> const& call) {
  bool const a_plain = call.op_a == linalg::Op::none;
  bool const b_plain = call.op_b == linalg::Op::none;
  linalg::GemmCall<float, float> wide;
  wide.op_a = call.op_a;
  wide.op_b = call.op_b;
  wide.m = call.m;
  wide.n = call.n;
  wide.k = call.k;
  wide.batch = call.batch;
  wide.a = widened(exec, call.a.data, a_plain ? call.m : call.k, a_plain ? call.k : call.m,
                   call.a.ld, call.batch, call.a.batch_stride, state.wide_a);
  wide.b = widened(exec, call.b.data, b_plain ? call.k : call.n, b_plain ? call.n : call.k,
                   call.b.ld, call.batch, call.b.batch_stride, state.wide_b);
  auto const size = static_cast<std::size_t>(call.batch * call.m * call.n);
  state.wide_c.resize(std::max(state.wide_c.size(), size));
  wide.c = {state.wide_c.data(), call.n, call.m * call.n};
  if (!library_batch(exec, wide, {1, 0})) {
    return false;
  }
  portable::finish_product(exec, call, state.wide_c.data(), call.n, call.m * call.n);
  return true;
}

/// Bias, activation and what else follows the product that C holds.
template <class Exec, class In, class Out>
void finish_in_place(Exec const& exec, linalg::GemmCall<In, Out> call, bool bias_added) {
  if (bias_added) {
    call.bias = nullptr;
  }
  if (call.bias == nullptr && call.activation == linalg::Activation::none &&
      call.pre_activation.data == nullptr) {
    return;
  }
  call.scale = {1, 0};
  if constexpr (std::is_same_v<Out, linalg::AccumulateOf<In>>) {
    portable::finish_product(exec, call, call.c.data, call.c.ld, call.c.batch_stride);
  } else {
    linalg::GemmCall<Out, Out> same;
    same.m = call.m;
    same.n = call.n;
    same.batch = call.batch;
    same.c = call.c;
    same.bias = call.bias;
    same.activation = call.activation;
    same.pre_activation = call.pre_activation;
    Kokkos::parallel_for(
        "dashi::gemm::epilogue",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, call.m * call.batch),
        [=](Index row) {
          constexpr Index most = 256;
          float sums[most];
          Out const* const c =
              same.c.data + row / same.m * same.c.batch_stride + row % same.m * same.c.ld;
          for (Index j = 0; j < same.n; j += most) {
            Index const count = std::min(most, same.n - j);
            widen_row(c + j, sums, count);
            portable::finish_row(same, row / same.m, row % same.m, j, count, sums);
          }
        });
  }
}

template <class Exec, class T>
kernels::RowsOf<T, Exec> rows_over(T* data, Index rows, Index cols, Index stride) {
  kernels::RowsOf<T, Exec> result;
  static_cast<kernels::Rows<T>&>(result) = {data, rows, cols, stride};
  return result;
}

/// C = activation of what a product kept, by the kernel that has vector code for it.
template <class Exec, class In, class Out>
void activate_kept(Exec const& exec, linalg::GemmCall<In, Out> const& call) {
  auto const kept =
      rows_over<Exec, Out const>(call.pre_activation.data, call.m, call.n, call.pre_activation.ld);
  auto const c = rows_over<Exec, Out>(call.c.data, call.m, call.n, call.c.ld);
  if (call.activation == linalg::Activation::gelu_tanh) {
    kernels::detail::activate<kernels::GeluTanh>(exec, kept, VectorOf<Out const, Exec>(), c);
  } else {
    kernels::detail::activate<kernels::Silu>(exec, kept, VectorOf<Out const, Exec>(), c);
  }
}

/// The products of a call by the fastest means of this machine.
template <class Exec, class In, class Out>
void gemm(Exec const& exec, GemmState& state, linalg::GemmCall<In, Out> const& call) {
  if (call.k == 0) {
    return portable::gemm(exec, call);
  }
  if (call.pre_activation.data != nullptr && call.activation != linalg::Activation::none &&
      call.scale.beta == 0 && call.batch == 1) {
    auto product = call;
    product.c = call.pre_activation;
    product.pre_activation = {};
    product.activation = linalg::Activation::none;
    gemm(exec, state, product);
    return activate_kept(exec, call);
  }
  ThreadLimit const limit(worthwhile_threads(call, exec.concurrency()));
  if constexpr (sizeof(In) == 2) {
#if defined(DASHI_HOST_ONEDNN)
    bool const keeps = call.pre_activation.data != nullptr;
    if (state.matmul(call, keeps ? linalg::Activation::none : call.activation)) {
      if (keeps) {
        finish_in_place(exec, call, true);
      }
      return;
    }
#endif
    if (widened_gemm(exec, state, call)) {
      return;
    }
  } else {
#if defined(DASHI_HOST_ONEDNN)
    // With B transposed matmul is as fast as sgemm, and the epilogue costs it nothing.
    if constexpr (std::is_same_v<In, float>) {
      bool const fuses = (call.bias != nullptr || call.activation != linalg::Activation::none) &&
                         call.pre_activation.data == nullptr && call.op_a == linalg::Op::none &&
                         call.op_b == linalg::Op::transpose;
      if (fuses && state.matmul(call, call.activation)) {
        return;
      }
    }
#endif
    if (library_batch(exec, call, call.scale)) {
      return finish_in_place(exec, call, false);
    }
  }
  portable::gemm(exec, call);
}

}  // namespace dashi::backends::host
