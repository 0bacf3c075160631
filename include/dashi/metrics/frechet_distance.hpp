// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/context.hpp>
#include <dashi/core/expects.hpp>
#include <dashi/core/tensor.hpp>
#include <dashi/linalg/gemm.hpp>
#include <dashi/linalg/qr.hpp>
#include <dashi/linalg/svd.hpp>
#include <dashi/metrics/features.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace dashi::metrics {

namespace detail {

/// Mean of the rows, and R [min(count, size), size] with R' R their covariance.
template <class Exec>
struct Gaussian {
  std::vector<double> mean;
  double trace = 0;  ///< of the covariance
  Kokkos::View<double**, Kokkos::LayoutRight, typename Exec::memory_space> root;
};

template <class Exec, class Provider>
Gaussian<Exec> gaussian_of(Context<Exec, Provider>& ctx, Features const& x) {
  using View = Kokkos::View<double**, Kokkos::LayoutRight, typename Exec::memory_space>;
  auto const n = static_cast<std::size_t>(x.count);
  auto const d = static_cast<std::size_t>(x.size);
  Gaussian<Exec> g;
  g.mean.assign(d, 0);
  for (std::size_t e = 0; e < n * d; ++e) {
    g.mean[e % d] += x.values[e];
  }
  for (double& m : g.mean) {
    m /= static_cast<double>(n);
  }
  View const centred("dashi::metrics::centred", n, d);
  double const scale = 1 / std::sqrt(static_cast<double>(n) - 1);
  for (std::size_t e = 0; e < n * d; ++e) {
    double const value = scale * (x.values[e] - g.mean[e % d]);
    centred.data()[e] = value;
    g.trace += value * value;
  }
  g.root = centred;
  if (n > d) {
    View const q("dashi::metrics::q", n, d);
    g.root = View("dashi::metrics::root", d, d);
    linalg::qr(ctx, centred, q, g.root);
  }
  return g;
}

}  // namespace detail

/// Fréchet distance (squared) of the Gaussians with the means and covariances of two sets of
/// features: |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), M. Heusel et al., arXiv 1706.08500,
/// eq. 6; covariances divided by count - 1.
///
/// The trace of the root is the sum of the singular values of R_a R_b' with S = R' R, R from a QR
/// decomposition of the centred features: no covariance is formed, so none loses half of its
/// digits, and covariances without full rank (fewer images than features) need no care. On the
/// context's host space, in double. Few images bias the distance upwards: compare at equal counts.
/// Throws PreconditionError for fewer than two rows or unequal sizes, ConvergenceError for NaN.
template <class Exec, class Provider>
double frechet_distance(Context<Exec, Provider>& ctx, Features const& a, Features const& b) {
  static_assert(
      bool(Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Exec::memory_space>::accessible),
      "dashi::metrics::frechet_distance: give the context of a host space");
  DASHI_EXPECTS(a.size == b.size && a.size > 0, "both sets need features of one size");
  DASHI_EXPECTS(a.count > 1 && b.count > 1, "a covariance needs two images");
  auto const ga = detail::gaussian_of(ctx, a);
  auto const gb = detail::gaussian_of(ctx, b);
  using View = decltype(ga.root);
  std::remove_const_t<View> const product("dashi::metrics::product", ga.root.extent(0),
                                          gb.root.extent(0));
  linalg::gemm(ctx, linalg::Op::none, ga.root, linalg::Op::transpose, gb.root, product);
  Kokkos::View<double*, typename Exec::memory_space> const roots(
      "dashi::metrics::roots", std::min(product.extent(0), product.extent(1)));
  linalg::singular_values(ctx, product, roots);
  ctx.fence("dashi::metrics::frechet_distance");
  double distance = ga.trace + gb.trace;
  for (std::size_t i = 0; i < ga.mean.size(); ++i) {
    distance += (ga.mean[i] - gb.mean[i]) * (ga.mean[i] - gb.mean[i]);
  }
  for (std::size_t i = 0; i < roots.extent(0); ++i) {
    distance -= 2 * roots(i);
  }
  return std::max(distance, 0.0);  // rounding only: it is a square
}

/// The same on the host's default space.
inline double frechet_distance(Features const& a, Features const& b) {
  Context<Kokkos::DefaultHostExecutionSpace> ctx;
  return frechet_distance(ctx, a, b);
}

}  // namespace dashi::metrics
