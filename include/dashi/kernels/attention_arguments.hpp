// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/kernels/accumulator.hpp>
#include <dashi/kernels/strided_rows.hpp>

#include <cmath>
#include <string>

namespace dashi::kernels {

/// Largest size of a head.
inline constexpr Index largest_head = 128;

/// Which rows and columns belong together: rows of a sample are contiguous, a head has
/// `cols / heads` neighbouring columns.
struct AttentionShape {
  Index tokens = 1;  ///< rows of a sample
  Index heads = 1;
  double scale = 0;  ///< of the scores; 0 stands for head_size^-1/2
};

/// What attention reads and writes; all matrices are [samples * tokens, heads * head_size].
template <class T, class Exec>
struct Attention : AttentionShape {
  RowsOf<T const, Exec> q, k, v;
  RowsOf<T, Exec> out;                           ///< written
  MatrixOf<AccumulatorOf<T>, Exec> log_sum_exp;  ///< [samples * heads, tokens], written

  /// q, k and v from one matrix [samples * tokens, 3 * heads * head_size] in this order (DiT).
  void split(RowsOf<T const, Exec> const& qkv) {
    Index const third = qkv.cols / 3;
    DASHI_EXPECTS(qkv.cols == 3 * third, "qkv of attention has " + std::to_string(qkv.cols) +
                                             " columns, expected a multiple of 3");
    q = qkv.columns(0, third);
    k = qkv.columns(third, third);
    v = qkv.columns(2 * third, third);
  }
};

/// What the adjoint reads (the forward call's arrays and d_out) and writes.
template <class T, class Exec>
struct AttentionAdjoint : AttentionShape {
  RowsOf<T const, Exec> q, k, v, out, d_out;
  MatrixOf<AccumulatorOf<T> const, Exec> log_sum_exp;
  RowsOf<T, Exec> dq, dk, dv;  ///< written

  /// q, k, v and their gradients from fused matrices.
  void split(RowsOf<T const, Exec> const& qkv, RowsOf<T, Exec> const& d_qkv) {
    Attention<T, Exec> parts;
    parts.split(qkv);
    q = parts.q;
    k = parts.k;
    v = parts.v;
    Index const third = q.cols;
    dq = d_qkv.columns(0, third);
    dk = d_qkv.columns(third, third);
    dv = d_qkv.columns(2 * third, d_qkv.cols - 2 * third);
  }
};

namespace detail {

/// Sizes of one problem, checked.
struct AttentionSizes {
  Index samples, tokens, heads, head_size;
  double scale;
};

template <class T>
AttentionSizes attention_sizes(AttentionShape const& shape, Rows<T> const& q) {
  DASHI_EXPECTS(shape.heads > 0 && q.cols % shape.heads == 0,
                "q of attention has " + std::to_string(q.cols) +
                    " columns, expected a multiple of heads = " + std::to_string(shape.heads));
  DASHI_EXPECTS(shape.tokens > 0 && q.rows % shape.tokens == 0,
                "q of attention has " + std::to_string(q.rows) +
                    " rows, expected a multiple of tokens = " + std::to_string(shape.tokens));
  Index const head_size = q.cols / shape.heads;
  DASHI_EXPECTS(head_size >= 1 && head_size <= largest_head,
                "attention: the head size is " + std::to_string(head_size) + ", expected 1 to " +
                    std::to_string(largest_head));
  double const scale =
      shape.scale == 0 ? 1 / std::sqrt(static_cast<double>(head_size)) : shape.scale;
  return {q.rows / shape.tokens, shape.tokens, shape.heads, head_size, scale};
}

}  // namespace detail

}  // namespace dashi::kernels
