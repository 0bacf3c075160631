// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/linear_input.hpp>
#include <dashi/core/context.hpp>
#include <dashi/linalg/gemm.hpp>
#include <dashi/linalg/svd.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// Shared vectors and singular values of their own for L weights [m, n]: minimises
/// Σ_l |W_l - U diag(sigma_l) V'|² by alternating least squares (the PARAFAC model of the weights
/// as one [m, n, L] array), from the leading singular vectors of their mean.
///
/// FINE (arXiv 2409.19289) does not say how vectors are found in weights that were trained apart.
/// Each sweep solves for U, then V, then all sigma, and does not raise the error. Weights are read
/// once a step; memory is one weight and the factors. 6 L m n r FLOP a sweep.
class SharedSvdFit {
public:
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using Store = Kokkos::View<double**, Kokkos::LayoutRight, Kokkos::HostSpace>;
  /// Fills [m, n] with weight l.
  using Read = std::function<void(Index l, std::span<double>)>;

  SharedSvdFit(Context<Exec>& ctx, LinearShape shape, Index depth, Index rank, Read read)
      : ctx_(ctx),
        shape_(shape),
        depth_(depth),
        rank_(rank),
        read_(std::move(read)),
        w_("dashi::svd_fit", size(shape.out), size(shape.in)),
        u_("dashi::svd_fit", size(rank), size(shape.out)),
        v_("dashi::svd_fit", size(rank), size(shape.in)),
        sigma_("dashi::svd_fit", size(depth), size(rank)),
        norms_(size(depth)),
        errors_(size(depth)) {}

  /// After each sweep, and once for the start, `watch()`.
  void run(Index sweeps, std::function<void()> const& watch = {}) {
    start();
    solve_sigma();
    for (Index i = 0; i <= sweeps; ++i) {
      if (i > 0) {
        solve_vectors(u_, v_, true);
        solve_vectors(v_, u_, false);
        solve_sigma();
      }
      if (watch) {
        watch();
      }
    }
  }

  std::span<double const> u() const { return {u_.data(), u_.size()}; }  ///< [rank, m]
  std::span<double const> v() const { return {v_.data(), v_.size()}; }  ///< [rank, n]
  std::span<double const> sigma(Index l) const { return {&sigma_(l, 0), size(rank_)}; }
  /// Share of |W_l|² that the factors keep; 1 for a weight of zeros.
  double kept(Index l) const {
    return norms_[size(l)] > 0 ? 1 - errors_[size(l)] / norms_[size(l)] : 1;
  }
  double error() const {
    double total = 0;
    for (double const one : errors_) {
      total += one;
    }
    return total;
  }

private:
  using Op = linalg::Op;

  static std::size_t size(Index n) { return static_cast<std::size_t>(n); }
  static MatrixOf<double, Exec> view(Store const& store) {
    return matrix_over<double, Exec>(store.data(), static_cast<Index>(store.extent(0)),
                                     static_cast<Index>(store.extent(1)));
  }
  Store square() const { return {"dashi::svd_fit", size(rank_), size(rank_)}; }

  void read(Index l) { read_(l, std::span(w_.data(), w_.size())); }

  void start() {
    Store const mean("dashi::svd_fit", w_.extent(0), w_.extent(1));
    for (Index l = 0; l < depth_; ++l) {
      read(l);
      double sum = 0;
      for (std::size_t i = 0; i < w_.size(); ++i) {
        mean.data()[i] += w_.data()[i] / static_cast<double>(depth_);
        sum += w_.data()[i] * w_.data()[i];
      }
      norms_[size(l)] = sum;
    }
    std::size_t const thin = std::min(w_.extent(0), w_.extent(1));
    Store const left("dashi::svd_fit", w_.extent(0), thin);
    Store const right("dashi::svd_fit", thin, w_.extent(1));
    Kokkos::View<double*, Kokkos::HostSpace> const values("dashi::svd_fit", thin);
    linalg::svd(ctx_, view(mean), view(left), VectorOf<double, Exec>(values), view(right));
    for (std::size_t j = 0; j < size(rank_); ++j) {
      for (std::size_t i = 0; i < u_.extent(1); ++i) {
        u_(j, i) = left(i, j);
      }
      for (std::size_t i = 0; i < v_.extent(1); ++i) {
        v_(j, i) = right(j, i);
      }
    }
  }

  /// x = (Σ_l D_l y W_l') weighted by the inverse of (y y') ⊙ Σ_l sigma_l sigma_l'; for V, W_l.
  void solve_vectors(Store const& x, Store const& y, bool left) {
    Store const right_side("dashi::svd_fit", x.extent(0), x.extent(1));
    Store const scaled("dashi::svd_fit", y.extent(0), y.extent(1));
    for (Index l = 0; l < depth_; ++l) {
      read(l);
      for (std::size_t j = 0; j < y.extent(0); ++j) {
        for (std::size_t i = 0; i < y.extent(1); ++i) {
          scaled(j, i) = sigma_(l, j) * y(j, i);
        }
      }
      linalg::gemm(ctx_, Op::none, view(scaled), left ? Op::transpose : Op::none, view(w_),
                   view(right_side), {1, l == 0 ? 0.0 : 1.0});
    }
    Store const gram = square();
    linalg::gemm(ctx_, Op::none, view(y), Op::transpose, view(y), view(gram));
    ctx_.fence();
    for (std::size_t i = 0; i < gram.extent(0); ++i) {
      for (std::size_t j = 0; j < gram.extent(1); ++j) {
        double sum = 0;
        for (Index l = 0; l < depth_; ++l) {
          sum += sigma_(l, i) * sigma_(l, j);
        }
        gram(i, j) *= sum;
      }
    }
    solve(gram, right_side, x);
    for (std::size_t j = 0; j < x.extent(0); ++j) {
      double norm = 0;
      for (std::size_t i = 0; i < x.extent(1); ++i) {
        norm += x(j, i) * x(j, i);
      }
      norm = std::sqrt(norm);
      for (std::size_t i = 0; norm > 0 && i < x.extent(1); ++i) {
        x(j, i) /= norm;
      }
      for (Index l = 0; l < depth_; ++l) {
        sigma_(l, j) *= norm;
      }
    }
  }

  /// All sigma from ((U'U) ⊙ (V'V)) sigma_l = diag(U' W_l V), and the errors that are left.
  void solve_sigma() {
    Store const left = square();
    Store const both = square();
    linalg::gemm(ctx_, Op::none, view(u_), Op::transpose, view(u_), view(left));
    linalg::gemm(ctx_, Op::none, view(v_), Op::transpose, view(v_), view(both));
    ctx_.fence();
    for (std::size_t i = 0; i < both.size(); ++i) {
      both.data()[i] *= left.data()[i];
    }
    Store const products("dashi::svd_fit", size(rank_), size(depth_));
    Store const solution("dashi::svd_fit", size(rank_), size(depth_));
    Store const image("dashi::svd_fit", size(rank_), v_.extent(1));
    for (Index l = 0; l < depth_; ++l) {
      read(l);
      linalg::gemm(ctx_, Op::none, view(u_), Op::none, view(w_), view(image));
      ctx_.fence();
      for (std::size_t j = 0; j < size(rank_); ++j) {
        double sum = 0;
        for (std::size_t i = 0; i < v_.extent(1); ++i) {
          sum += image(j, i) * v_(j, i);
        }
        products(j, l) = sum;
      }
    }
    solve(both, products, solution);
    for (Index l = 0; l < depth_; ++l) {
      double crossed = 0;
      double squared = 0;
      for (std::size_t j = 0; j < size(rank_); ++j) {
        sigma_(l, j) = solution(j, l);
        crossed += solution(j, l) * products(j, l);
        for (std::size_t k = 0; k < size(rank_); ++k) {
          squared += solution(j, l) * both(j, k) * solution(k, l);
        }
      }
      errors_[size(l)] = std::max(0.0, norms_[size(l)] - 2 * crossed + squared);
    }
  }

  /// x = G^+ b for a symmetric G; directions of less than 1e-12 of the largest are left out.
  void solve(Store const& g, Store const& b, Store const& x) {
    Store const left = square();
    Store const right = square();
    Kokkos::View<double*, Kokkos::HostSpace> const values("dashi::svd_fit", size(rank_));
    linalg::svd(ctx_, view(g), view(left), VectorOf<double, Exec>(values), view(right));
    Store const coefficients("dashi::svd_fit", b.extent(0), b.extent(1));
    linalg::gemm(ctx_, Op::transpose, view(left), Op::none, view(b), view(coefficients));
    ctx_.fence();
    for (std::size_t j = 0; j < coefficients.extent(0); ++j) {
      double const factor = values(j) > 1e-12 * values(0) ? 1 / values(j) : 0;
      for (std::size_t i = 0; i < coefficients.extent(1); ++i) {
        coefficients(j, i) *= factor;
      }
    }
    linalg::gemm(ctx_, Op::transpose, view(right), Op::none, view(coefficients), view(x));
    ctx_.fence();
  }

  Context<Exec>& ctx_;
  LinearShape shape_;
  Index depth_;
  Index rank_;
  Read read_;
  Store w_, u_, v_, sigma_;
  std::vector<double> norms_, errors_;
};

}  // namespace dashi::checkpoints
