// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/adapters/svd_components.hpp>

#include <algorithm>
#include <string>

namespace dashi {

template <Precision P, ExecutionSpace Exec>
class SharedSvdLayer;

/// A weight U diag(sigma) V' whose U and V are those of all blocks and whose sigma is its own:
/// FINE, arXiv 2409.19289. A model of another depth begins with U and V frozen and sigma trained:
/// train_where(list, [](auto const& e) { return e.name.ends_with("sigma"); }).
struct SharedSvd {
  static constexpr Index full = -1;
  Index rank = full;  ///< full: the smaller side of the weight (the paper does not say)

  Index rank_of(LinearShape shape) const {
    return rank == full ? std::min(shape.out, shape.in) : rank;
  }
  /// Of one layer; U and V are counted once a site.
  Index count(LinearShape shape) const { return rank_of(shape); }
  Index shared_count(LinearShape shape) const { return rank_of(shape) * (shape.out + shape.in); }

  template <class P, class Exec>
  using Layer = SharedSvdLayer<P, Exec>;
};

/// y = ((x V) ⊙ sigma) U'.
template <Precision P, ExecutionSpace Exec>
class SharedSvdLayer {
  using Components = SvdComponents<P, Exec>;

public:
  static constexpr AdapterTraits traits{.replaces_weight = true};
  struct Shared {
    Parameter<P, Exec> u, v;  ///< [rank, out], [rank, in]

    void parameters(ParameterList<P, Exec>& list) const {
      list.add("u", u, ParameterKind::shared, true, Components::unit(u));
      list.add("v", v, ParameterKind::shared, true, Components::unit(v));
    }
  };
  struct Saved {
    Matrix<P, Exec> z;
  };
  using Scratch = Nothing;

  SharedSvdLayer(Context<Exec>&, LinearShape shape, SharedSvd const& options, Shared& shared)
      : shape_(shape), components_(components(shape, options, shared)) {}

  Saved saved(Arena& arena, Index rows) const { return {components_.saved(arena, rows)}; }
  Scratch scratch(Arena& arena, Index rows) const {
    components_.scratch(arena, rows);
    return {};
  }
  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    components_.forward(ctx, in, {}, 0, y, saved.z);
  }
  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    components_.backward(ctx, in, {}, dy, dx, saved.z);
  }
  void materialise(Context<Exec>& ctx, Condition, Matrix<P, Exec> weight, Vector<P, Exec>) const {
    components_.materialise(ctx, {}, 0, weight);
  }
  /// sigma is drawn, so that blocks differ, with the deviation of the weight that this replaces.
  void parameters(ParameterList<P, Exec>& list) const {
    components_.sigma_parameter(
        list, Initial::normal(Components::sigma(list.weight_initial().deviation(), shape_,
                                                components_.rank())));
  }

private:
  static Components components(LinearShape shape, SharedSvd const& options, Shared& shared) {
    Index const rank = options.rank_of(shape);
    DASHI_EXPECTS(rank > 0,
                  "the rank of SharedSvd is " + std::to_string(rank) + ", expected 1 or more");
    if (shared.u.size() == 0) {
      shared.u = Components::vectors(rank, shape.out);
      shared.v = Components::vectors(rank, shape.in);
    }
    DASHI_EXPECTS(
        shared.u.rows() == rank && shared.u.cols() == shape.out && shared.v.cols() == shape.in,
        "layers of one site must have the same rank and extents: " +
            std::to_string(shared.u.rows()) + ", then " + std::to_string(rank));
    return Components(shared.u, shared.v, rank);
  }

  LinearShape shape_;
  Components components_;
};

}  // namespace dashi
