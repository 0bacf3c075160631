// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/linear_input.hpp>
#include <dashi/core/arena.hpp>
#include <dashi/core/parameter_list.hpp>
#include <dashi/kernels/gated_svd.hpp>
#include <dashi/kernels/gated_svd_adjoint.hpp>
#include <dashi/kernels/gated_svd_materialise.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace dashi {

/// Components (u_j, sigma_j, v_j) of a weight U diag(sigma) V': handles, rank-major, so that what a
/// row holds can be frozen, kept or drawn again without the others.
template <Precision P, ExecutionSpace Exec>
class SvdComponents {
  using Real = typename P::storage;

public:
  using Gates = kernels::SampleGates<Real, Exec>;

  SvdComponents(LinearShape shape, Index rank)
      : SvdComponents(vectors(rank, shape.out), vectors(rank, shape.in), rank) {}
  /// With U and V of others.
  SvdComponents(Parameter<P, Exec> u, Parameter<P, Exec> v, Index rank)
      : u_(std::move(u)), sigma_("dashi::svd.sigma", 1, rank), v_(std::move(v)) {}

  /// [rank, size] zeros.
  static Parameter<P, Exec> vectors(Index rank, Index size) {
    return {"dashi::svd.vectors", rank, size};
  }

  Index rank() const { return sigma_.size(); }

  /// z = x V, [rows, rank]: what backward wants of forward.
  Matrix<P, Exec> saved(Arena& arena, Index rows) const {
    return arena.matrix<Real, Exec>(rows, rank());
  }
  /// Takes what a call takes at most; gates may change with each row.
  void scratch(Arena& arena, Index rows) const {
    Index const out = u_.cols();
    Index const in = v_.cols();
    arena.vector<std::byte, Exec>(static_cast<Index>(
        std::max({kernels::gated_apply_scratch<Real, Exec>(rank(), rows, true),
                  kernels::gated_adjoint_scratch<Real, Exec>(out, in, rank(), rows, 1, true),
                  kernels::gated_materialise_scratch<Real, Exec>(rank(), in)})));
  }

  /// y = beta y + ((x V) ⊙ sigma ⊙ gate) U'.
  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, Gates const& gates, double beta,
               StridedMatrix<P, Exec> y, Matrix<P, Exec> z) const {
    kernels::gated_apply<Real>(ctx, factors(), gates, in.x, y, beta, {z, {}});
  }

  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, Gates const& gates,
                StridedMatrix<P, Exec> dy, GradientSink<P, Exec>& dx, Matrix<P, Exec> z) const {
    kernels::GatedGradients<Real, Exec> gradients;
    gradients.beta = 1;
    gradients.dut = u_.gradient();
    gradients.dsigma = sigma_.gradient_vector();
    gradients.dvt = v_.gradient();
    if (dx.wanted()) {
      gradients.dx = dx.view();
      gradients.dx_beta = dx.beta();
    }
    kernels::gated_adjoint<Real>(ctx, factors(), gates, in.x, dy, gradients, {z, {}});
  }

  /// weight = beta weight + U diag(sigma ⊙ gate) V'; an empty gate is one everywhere.
  void materialise(Context<Exec>& ctx, VectorOf<Real const, Exec> gate, double beta,
                   Matrix<P, Exec> weight) const {
    kernels::gated_materialise<Real>(ctx, factors(), gate, weight, beta);
  }

  /// Vectors begin with expected norms of one.
  static Initial unit(Parameter<P, Exec> const& vectors) {
    return Initial::normal(1 / std::sqrt(static_cast<double>(std::max<Index>(1, vectors.cols()))));
  }
  /// The singular value with which `active` components of unit vectors give a weight [out, in] of
  /// that deviation.
  static double sigma(double deviation, LinearShape shape, Index active) {
    double const elements = static_cast<double>(shape.out) * static_cast<double>(shape.in);
    return deviation * std::sqrt(elements / static_cast<double>(std::max<Index>(1, active)));
  }
  void vector_parameters(ParameterList<P, Exec>& list, ParameterKind kind) const {
    list.add("u", u_, kind, true, unit(u_));
    list.add("v", v_, kind, true, unit(v_));
  }
  void sigma_parameter(ParameterList<P, Exec>& list, Initial initial) const {
    list.add("sigma", sigma_, ParameterKind::adapter, true, initial, {rank()});
  }

private:
  kernels::SvdFactors<Real, Exec> factors() const {
    return {u_.matrix(), sigma_.vector(), v_.matrix()};
  }

  Parameter<P, Exec> u_;
  Parameter<P, Exec> sigma_;
  Parameter<P, Exec> v_;
};

}  // namespace dashi
