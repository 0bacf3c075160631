// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/attention_adjoint_teams.hpp>
#include <dashi/kernels/attention_adjoint_tiles.hpp>
#include <dashi/kernels/attention_teams.hpp>
#include <dashi/kernels/attention_tiles.hpp>

#include <cstddef>

namespace dashi::kernels {

/// Bytes of scratch that attention needs on this context: on host spaces a tile for each thread,
/// packed keys and values of one head and the scores of some queries; nothing on devices.
template <class T, class Exec, class Provider>
std::size_t attention_scratch_bytes(Context<Exec, Provider> const& ctx, Index tokens,
                                    Index head_size) {
  if constexpr (runs_on_host<Exec>) {
    Arena measuring;
    measuring.template vector<AccumulatorOf<T>, Exec>(
        ctx.exec().concurrency() *
        detail::AttentionTile<AccumulatorOf<T>>::numbers(tokens, head_size));
    measuring.template vector<Index, Exec>(1);
    return measuring.peak();
  } else {
    return 0;
  }
}

/// The same for the adjoint: 6 matrices [tokens, head_size] a thread.
template <class T, class Exec, class Provider>
std::size_t attention_adjoint_scratch_bytes(Context<Exec, Provider> const& ctx, Index tokens,
                                            Index head_size) {
  if constexpr (runs_on_host<Exec>) {
    Arena measuring;
    measuring.template vector<AccumulatorOf<T>, Exec>(
        ctx.exec().concurrency() *
        detail::AttentionAdjointTile<AccumulatorOf<T>>::numbers(tokens, head_size));
    measuring.template vector<Index, Exec>(1);
    return measuring.peak();
  } else {
    return 0;
  }
}

/// out = softmax(scale q k^T) v for each head of each sample; saves the logarithm of each row's sum
/// of exponentials for the adjoint (Dao et al., arXiv 2205.14135, section 3).
///
/// Any number of tokens, heads of 1 to 128 columns, sums in AccumulatorOf<T>. Scores of any size do
/// not overflow. 4 samples heads tokens^2 head_size operations and as many exponentials as scores;
/// scores exist for a few queries at a time only. The same bits for any number of threads.
/// Asynchronous; takes attention_scratch_bytes.
template <class T, class Exec, class Provider>
void attention(Context<Exec, Provider>& ctx, Attention<T, Exec> const& a) {
  auto const sizes = detail::attention_sizes(a, a.q);
  detail::expect_extents(a.k, "k of attention", a.q.rows, a.q.cols);
  detail::expect_extents(a.v, "v of attention", a.q.rows, a.q.cols);
  detail::expect_extents(a.out, "out of attention", a.q.rows, a.q.cols);
  detail::expect_extents(RowsOf<AccumulatorOf<T> const, Exec>(a.log_sum_exp),
                         "log_sum_exp of attention", sizes.samples * sizes.heads, sizes.tokens);
  DASHI_EXPECTS(a.log_sum_exp.span_is_contiguous(), "log_sum_exp must be without gaps");
  if constexpr (runs_on_host<Exec>) {
    Frame const frame(ctx.scratch());
    detail::attention_by_tiles(ctx.exec(), ctx.scratch(), a, sizes);
  } else {
    detail::attention_by_teams(ctx.exec(), a, sizes);
  }
}

/// The adjoint: dq, dk, dv, each written once. Scores are computed again from q, k and the saved
/// logarithms: 10 samples heads tokens^2 head_size operations. On host spaces one thread works on
/// one head of one sample. The same bits for any number of threads. Asynchronous; takes
/// attention_adjoint_scratch_bytes.
template <class T, class Exec, class Provider>
void attention_adjoint(Context<Exec, Provider>& ctx, AttentionAdjoint<T, Exec> const& a) {
  auto const sizes = detail::attention_sizes(a, a.q);
  detail::expect_extents(a.k, "k of attention_adjoint", a.q.rows, a.q.cols);
  detail::expect_extents(a.v, "v of attention_adjoint", a.q.rows, a.q.cols);
  detail::expect_extents(a.out, "out of attention_adjoint", a.q.rows, a.q.cols);
  detail::expect_extents(a.d_out, "d_out of attention_adjoint", a.q.rows, a.q.cols);
  detail::expect_extents(a.dq, "dq of attention_adjoint", a.q.rows, a.q.cols);
  detail::expect_extents(a.dk, "dk of attention_adjoint", a.q.rows, a.q.cols);
  detail::expect_extents(a.dv, "dv of attention_adjoint", a.q.rows, a.q.cols);
  detail::expect_extents(RowsOf<AccumulatorOf<T> const, Exec>(a.log_sum_exp),
                         "log_sum_exp of attention_adjoint", sizes.samples * sizes.heads,
                         sizes.tokens);
  DASHI_EXPECTS(a.log_sum_exp.span_is_contiguous(), "log_sum_exp must be without gaps");
  if constexpr (runs_on_host<Exec>) {
    Frame const frame(ctx.scratch());
    detail::attention_adjoint_by_tiles(ctx.exec(), ctx.scratch(), a, sizes);
  } else {
    detail::attention_adjoint_by_teams(ctx.exec(), a, sizes);
  }
}

}  // namespace dashi::kernels
