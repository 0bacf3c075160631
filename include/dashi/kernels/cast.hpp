// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/activation_kernels.hpp>

namespace dashi::kernels {

/// y = x in y's element type, rounded once (to float first where x is a 16-bit type, which is
/// exact). x, y: rank 2, the same extents, rows contiguous. Unlike convert_values it counts
/// nothing and does not fence.
template <class Exec, class Provider, class X, class Y>
void cast(Context<Exec, Provider>& ctx, X const& x, Y const& y) {
  using From = typename X::non_const_value_type;
  using To = typename Y::value_type;
  RowsOf<From const, Exec> const from(x);
  RowsOf<To, Exec> const to(y);
  detail::expect_extents(from, "x of cast", to.rows, to.cols);
  RowPieces const pieces = row_pieces<Exec>(to.cols);
  run_tasks("dashi::kernels::cast", ctx.exec(), to.rows * pieces.per_row,
            detail::ElementKernel<detail::ValueOf<detail::Identity>, From, To>{
                from, nullptr, {}, to, pieces});
}

}  // namespace dashi::kernels
