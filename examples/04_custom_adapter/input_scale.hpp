// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/kernels/scale_bias.hpp>

template <class P, class Exec>
class InputScaleLayer;

/// An adapter of one's own: scales what a linear map reads, y = W (l x) + b. IA3, arXiv 2205.05638.
struct InputScale {
  dashi::Index count(dashi::LinearShape shape) const { return shape.in; }
  template <class P, class Exec>
  using Layer = InputScaleLayer<P, Exec>;
};

template <class P, class Exec>
class InputScaleLayer {
public:
  static constexpr dashi::AdapterTraits traits{.transforms_input = true};
  using Shared = dashi::NothingShared<P, Exec>;
  using Saved = dashi::Nothing;
  using Scratch = dashi::Nothing;
  using Real = typename P::storage;
  using Input = dashi::LinearInput<P, Exec>;

  InputScaleLayer(dashi::Context<Exec>&, dashi::LinearShape shape, InputScale const&, Shared&)
      : scale_("l", 1, shape.in) {}
  void parameters(dashi::ParameterList<P, Exec>& list) const {
    list.add("l", scale_, dashi::ParameterKind::scale, true, dashi::Initial::constant(1));
  }
  Saved saved(dashi::Arena&, dashi::Index) const { return {}; }
  Scratch scratch(dashi::Arena& arena, dashi::Index rows) const {
    arena.vector<std::byte, Exec>(static_cast<dashi::Index>(
        dashi::kernels::scale_bias_adjoint_scratch<Real, Exec>(rows, scale_.size())));
    return {};
  }
  void transform_input(dashi::Context<Exec>& ctx, Input const& in, dashi::Matrix<P, Exec> x,
                       Saved const&) const {
    Kokkos::deep_copy(ctx.exec(), x, in.x);
    dashi::kernels::scale_bias<Real, Exec>(ctx, scale_.vector(), {}, x);
  }
  /// d, the gradient of l x, is ours to overwrite.
  void transform_input_adjoint(dashi::Context<Exec>& ctx, Input const& in, dashi::Matrix<P, Exec> d,
                               dashi::GradientSink<P, Exec>& dx, Saved const&) const {
    dashi::kernels::scale_bias_adjoint<Real, Exec>(ctx, scale_.vector(), d, in.x,
                                                   scale_.gradient_vector(), {}, 1);
    add_gradient(ctx, d, dx);
  }
  void forward(dashi::Context<Exec>&, Input const&, dashi::StridedMatrix<P, Exec>,
               Saved const&) const {}
  void backward(dashi::Context<Exec>&, Input const&, dashi::StridedMatrix<P, Exec>,
                dashi::GradientSink<P, Exec>&, Saved const&) const {}
  void materialise(dashi::Context<Exec>& ctx, dashi::Condition, dashi::Matrix<P, Exec> weight,
                   dashi::Vector<P, Exec>) const {
    dashi::kernels::scale_bias<Real, Exec>(ctx, scale_.vector(), {}, weight);
  }

private:
  dashi::Parameter<P, Exec> scale_;
};
