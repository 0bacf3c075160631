// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/enabled_backends.hpp>
#include <dashi/kernels/activation_functions.hpp>
#include <dashi/kernels/activation_kernels.hpp>

namespace dashi::kernels {

/// y = F(x) element by element; F is GeluTanh or Silu. x, y: rank 2, the same extents and element
/// type, rows contiguous; y may be x. One read and one write. Asynchronous.
template <class F, class Exec, class Provider, class X, class Y>
void activate(Context<Exec, Provider>& ctx, X const& x, Y const& y) {
  detail::activate<F>(ctx.exec(), RowsOf<typename Y::value_type const, Exec>(x), {},
                      RowsOf<typename Y::value_type, Exec>(y));
}

/// y = F(x + bias), bias [cols]. Where the product before it is the vendor's, its epilogue does
/// this for nothing (linalg::Epilogue).
template <class F, class Exec, class Provider, class X, class Y>
void activate(Context<Exec, Provider>& ctx, X const& x,
              VectorOf<typename Y::value_type const, Exec> bias, Y const& y) {
  RowsOf<typename Y::value_type, Exec> const to(y);
  detail::expect_size(bias.extent(0), "bias of activate", to.cols);
  detail::activate<F>(ctx.exec(), RowsOf<typename Y::value_type const, Exec>(x), bias, to);
}

/// dx = F'(x) dy; dx may be dy. x is what F was applied to. Asynchronous.
template <class F, class Exec, class Provider, class X, class Dy, class Dx>
void activate_adjoint(Context<Exec, Provider>& ctx, X const& x, Dy const& dy, Dx const& dx) {
  using T = typename Dx::value_type;
  detail::activate_adjoint<F>(ctx.exec(), RowsOf<T const, Exec>(x), {}, RowsOf<T const, Exec>(dy),
                              RowsOf<T, Exec>(dx));
}

/// dx = F'(x + bias) dy; the gradient of the bias is column_sums of dx.
template <class F, class Exec, class Provider, class X, class Dy, class Dx>
void activate_adjoint(Context<Exec, Provider>& ctx, X const& x,
                      VectorOf<typename Dx::value_type const, Exec> bias, Dy const& dy,
                      Dx const& dx) {
  using T = typename Dx::value_type;
  RowsOf<T, Exec> const to(dx);
  detail::expect_size(bias.extent(0), "bias of activate_adjoint", to.cols);
  detail::activate_adjoint<F>(ctx.exec(), RowsOf<T const, Exec>(x), bias, RowsOf<T const, Exec>(dy),
                              to);
}

}  // namespace dashi::kernels
