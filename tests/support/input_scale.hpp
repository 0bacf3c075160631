// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/kernels/add_rows.hpp>
#include <dashi/kernels/scale_bias.hpp>

namespace dashi::test {

template <class P, class Exec>
class InputScaleLayer;

/// An adapter as a user writes it, on the input side: y = W (l x) + b (IA3, arXiv 2205.05638).
struct InputScale {
  double start = 1;
  Index count(LinearShape shape) const { return shape.in; }
  template <class P, class Exec>
  using Layer = InputScaleLayer<P, Exec>;
};

template <class P, class Exec>
class InputScaleLayer {
public:
  static constexpr AdapterTraits traits{.transforms_input = true};
  using Shared = NothingShared<P, Exec>;
  using Saved = Nothing;
  using Scratch = Nothing;
  using Input = LinearInput<P, Exec>;

  InputScaleLayer(Context<Exec>&, LinearShape shape, InputScale const& options, Shared&)
      : scale_("l", 1, shape.in), start_(options.start) {}

  Saved saved(Arena&, Index) const { return {}; }
  Scratch scratch(Arena& arena, Index rows) const {
    arena.vector<std::byte, Exec>(static_cast<Index>(
        kernels::scale_bias_adjoint_scratch<typename P::storage, Exec>(rows, scale_.size())));
    return {};
  }
  void transform_input(Context<Exec>& ctx, Input const& in, Matrix<P, Exec> x, Saved const&) const {
    Kokkos::deep_copy(ctx.exec(), x, in.x);
    kernels::scale_bias<typename P::storage, Exec>(ctx, scale_.vector(), {}, x);
  }
  void transform_input_adjoint(Context<Exec>& ctx, Input const& in, Matrix<P, Exec> d,
                               GradientSink<P, Exec>& dx, Saved const&) const {
    kernels::scale_bias_adjoint<typename P::storage, Exec>(ctx, scale_.vector(), d, in.x,
                                                           scale_.gradient_vector(), {}, 1);
    if (dx.wanted() && dx.beta() == 0) {
      Kokkos::deep_copy(ctx.exec(), dx.view(), d);
    } else if (dx.wanted()) {
      kernels::add_rows(ctx, d, dx.view());
    }
  }
  void forward(Context<Exec>&, Input const&, StridedMatrix<P, Exec>, Saved const&) const {}
  void backward(Context<Exec>&, Input const&, StridedMatrix<P, Exec>, GradientSink<P, Exec>&,
                Saved const&) const {}
  void materialise(Context<Exec>& ctx, Condition, Matrix<P, Exec> weight, Vector<P, Exec>) const {
    kernels::scale_bias<typename P::storage, Exec>(ctx, scale_.vector(), {}, weight);
  }
  void parameters(ParameterList<P, Exec>& list) const {
    list.add("l", scale_, ParameterKind::scale, true, Initial::constant(start_));
  }

private:
  Parameter<P, Exec> scale_;
  double start_;
};

}  // namespace dashi::test
