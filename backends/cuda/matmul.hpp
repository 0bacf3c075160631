// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/linalg/gemm_call.hpp>

#include "element.hpp"
#include "handles.hpp"

#include <algorithm>
#include <cstdint>

namespace dashi::backends::cuda {

/// What the library does at the end of a product, besides beta C.
struct FusedSteps {
  bool bias = false;
  bool gelu = false;
  bool keep_argument = false;  ///< writes pre_activation
};

/// One product for cuBLASLt: descriptors on the stack.
///
/// The library's matrices are column-major, so it sees every one of ours transposed, and
/// C^T = op(B)^T op(A)^T: the operands change places and keep their op. The bias, one number a
/// column of C, is one a row of what the library sees, as its epilogue wants it.
template <class In, class Out>
class Matmul {
  using Scalar = linalg::AccumulateOf<In>;

public:
  Matmul(linalg::GemmCall<In, Out> const& call, FusedSteps steps) : call_(call), steps_(steps) {
    constexpr auto compute = std::is_same_v<In, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
    check(cublasLtMatmulDescInit(&product_, compute, data_type<Scalar>), "cublasLtMatmulDescInit");
    set(CUBLASLT_MATMUL_DESC_TRANSA, call.op_b == linalg::Op::none ? CUBLAS_OP_N : CUBLAS_OP_T);
    set(CUBLASLT_MATMUL_DESC_TRANSB, call.op_a == linalg::Op::none ? CUBLAS_OP_N : CUBLAS_OP_T);
    set_epilogue();
    bool const a_plain = call.op_a == linalg::Op::none;
    bool const b_plain = call.op_b == linalg::Op::none;
    layout<In>(a_, a_plain ? call.m : call.k, a_plain ? call.k : call.m, call.a.ld,
               call.a.batch_stride);
    layout<In>(b_, b_plain ? call.k : call.n, b_plain ? call.n : call.k, call.b.ld,
               call.b.batch_stride);
    layout<Out>(c_, call.m, call.n, call.c.ld, call.c.batch_stride);
  }

  /// Starts the product; false when the library has no algorithm for it.
  bool run(Handles& handles) {
    auto at = handles.algorithms().find(key());
    if (at == handles.algorithms().end()) {
      at = handles.algorithms().emplace(key(), ask(handles)).first;
    }
    if (!at->second) {
      return false;
    }
    auto const alpha = static_cast<Scalar>(call_.scale.alpha);
    auto const beta = static_cast<Scalar>(call_.scale.beta);
    check(cublasLtMatmul(handles.blas(), &product_, &alpha, call_.b.data, &b_, call_.a.data, &a_,
                         &beta, call_.c.data, &c_, call_.c.data, &c_, &*at->second,
                         handles.workspace(), Handles::workspace_bytes, handles.stream()),
          "cublasLtMatmul");
    return true;
  }

private:
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, Value const& value) {
    check(cublasLtMatmulDescSetAttribute(&product_, attribute, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  }

  void set_epilogue() {
    int epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    if (steps_.gelu) {
      epilogue = steps_.keep_argument ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU;
    }
    if (steps_.bias) {
      epilogue = (steps_.gelu ? epilogue : 0) | CUBLASLT_EPILOGUE_BIAS;
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, call_.bias);
    }
    if (steps_.keep_argument) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, call_.pre_activation.data);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, call_.pre_activation.ld);
    }
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<cublasLtEpilogue_t>(epilogue));
  }

  /// Of a row-major matrix of rows x cols.
  template <class T>
  void layout(cublasLtMatrixLayoutOpaque_t& to, Index rows, Index cols, Index ld, Index stride) {
    check(cublasLtMatrixLayoutInit(&to, data_type<T>, static_cast<std::uint64_t>(cols),
                                   static_cast<std::uint64_t>(rows), std::max(ld, cols)),
          "cublasLtMatrixLayoutInit");
    auto const batch = static_cast<std::int32_t>(call_.batch);
    std::int64_t const offset = stride;
    check(cublasLtMatrixLayoutSetAttribute(&to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                           sizeof(batch)),
          "cublasLtMatrixLayoutSetAttribute");
    check(cublasLtMatrixLayoutSetAttribute(&to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                           &offset, sizeof(offset)),
          "cublasLtMatrixLayoutSetAttribute");
  }

  /// Largest power of two, at most 256, that the address is a multiple of.
  static std::uint32_t alignment(void const* address) {
    auto const bits = reinterpret_cast<std::uintptr_t>(address);
    return static_cast<std::uint32_t>(bits == 0 ? 256
                                                : std::min<std::uintptr_t>(bits & -bits, 256));
  }

  Handles::ProductKey key() const {
    auto const bit = [](bool set, int place) { return static_cast<std::int64_t>(set) << place; };
    return {data_type<In>,
            data_type<Out>,
            bit(call_.op_a == linalg::Op::none, 0) | bit(call_.op_b == linalg::Op::none, 1) |
                bit(steps_.bias, 2) | bit(steps_.gelu, 3) | bit(steps_.keep_argument, 4) |
                bit(call_.scale.beta != 0, 5),
            call_.m,
            call_.n,
            call_.k,
            call_.batch,
            call_.a.ld,
            call_.a.batch_stride,
            call_.b.ld,
            call_.b.batch_stride,
            call_.c.ld,
            call_.c.batch_stride,
            call_.pre_activation.ld,
            alignment(call_.a.data),
            alignment(call_.b.data),
            alignment(call_.c.data),
            alignment(call_.bias),
            alignment(call_.pre_activation.data)};
  }

  std::optional<cublasLtMatmulAlgo_t> ask(Handles& handles) {
    cublasLtMatmulPreferenceOpaque_t preference;
    check(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    auto const prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
           static_cast<std::uint64_t>(Handles::workspace_bytes));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(call_.b.data));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(call_.a.data));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(call_.c.data));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(call_.c.data));
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    cublasStatus_t const status = cublasLtMatmulAlgoGetHeuristic(
        handles.blas(), &product_, &b_, &a_, &c_, &c_, &preference, 1, &best, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
        (status == CUBLAS_STATUS_SUCCESS && (found == 0 || best.state != CUBLAS_STATUS_SUCCESS))) {
      return std::nullopt;
    }
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    return best.algo;
  }

  linalg::GemmCall<In, Out> const& call_;
  FusedSteps steps_;
  cublasLtMatmulDescOpaque_t product_;
  cublasLtMatrixLayoutOpaque_t a_;
  cublasLtMatrixLayoutOpaque_t b_;
  cublasLtMatrixLayoutOpaque_t c_;
};

}  // namespace dashi::backends::cuda
