// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>
#include <dashi/adapters/svd_components.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

namespace dashi {

template <Precision P, ExecutionSpace Exec>
class GatedSvdLayer;

/// A weight trained as U diag(sigma) V' whose components are a learngene, which every sample uses,
/// and tailors, of which a sample uses its class's: KIND, arXiv 2408.07337.
///
/// The paper leaves ranks, groups and initialisation open. Here: half of the smaller side each, two
/// groups (as its sequel has them), tailors in equal groups side by side, samples without a class
/// use the learngene alone.
struct GatedSvd {
  static constexpr Index half = -1;
  Index learngene = half;  ///< components; half: of the smaller side of the weight
  Index tailors = half;    ///< components, a multiple of groups
  Index groups = 2;
  Index classes = 1000;
  std::vector<Index> group_of_class = {};  ///< empty: neighbouring classes share a group

  Index learngene_of(LinearShape shape) const { return of(learngene, shape); }
  Index tailors_of(LinearShape shape) const { return of(tailors, shape) / groups * groups; }
  Index count(LinearShape shape) const {
    return (learngene_of(shape) + tailors_of(shape)) * (shape.out + shape.in + 1);
  }
  Index group_of(Index label) const {
    return group_of_class.empty() ? label * groups / classes
                                  : group_of_class[static_cast<std::size_t>(label)];
  }
  /// Throws PreconditionError that names what does not fit.
  void check() const {
    auto const text = [](Index number) { return std::to_string(number); };
    DASHI_EXPECTS(groups > 0 && classes > 0, "GatedSvd has " + text(groups) + " groups and " +
                                                 text(classes) +
                                                 " classes, expected 1 or more of both");
    DASHI_EXPECTS(learngene >= half && tailors >= half,
                  "GatedSvd has " + text(learngene) + " components of the learngene and " +
                      text(tailors) + " tailors, expected 0 or more");
    DASHI_EXPECTS(tailors == half || tailors % groups == 0,
                  text(tailors) + " tailors cannot be " + text(groups) + " equal groups");
    DASHI_EXPECTS(group_of_class.empty() || static_cast<Index>(group_of_class.size()) == classes,
                  "the table of groups has " + text(static_cast<Index>(group_of_class.size())) +
                      " classes, expected " + text(classes));
    for (Index const group : group_of_class) {
      DASHI_EXPECTS(group >= 0 && group < groups, "a class is in tailor group " + text(group) +
                                                      ", expected 0 to " + text(groups - 1));
    }
  }

  template <class P, class Exec>
  using Layer = GatedSvdLayer<P, Exec>;

private:
  static Index of(Index rank, LinearShape shape) {
    return rank == half ? std::min(shape.out, shape.in) / 2 : rank;
  }
};

/// y = ((x V) ⊙ sigma ⊙ gate) U', with the learngene's gates one and the tailors' those of the
/// sample's class, or of batch.gates where it has any.
template <Precision P, ExecutionSpace Exec>
class GatedSvdLayer {
  using Real = typename P::storage;
  using Components = SvdComponents<P, Exec>;

public:
  static constexpr AdapterTraits traits{.replaces_weight = true, .conditional = true};
  /// The gates of a site, [classes + 1, tailors]; the last row, of no class, is zero.
  struct Shared {
    Parameter<P, Exec> gates;

    void parameters(ParameterList<P, Exec>& list) const {
      list.add("gates", gates, ParameterKind::buffer, false);
    }
  };
  struct Saved {
    Matrix<P, Exec> learngene, tailors;  ///< x V, [rows, components]
  };
  using Scratch = Nothing;

  GatedSvdLayer(Context<Exec>&, LinearShape shape, GatedSvd const& options, Shared& shared)
      : shape_(shape),
        groups_(options.groups),
        gates_(table(shape, options, shared)),
        learngene_(shape, options.learngene_of(shape)),
        tailors_(shape, options.tailors_of(shape)) {
    DASHI_EXPECTS(learngene_.rank() + tailors_.rank() > 0,
                  "GatedSvd needs at least one component in its learngene or its tailors");
  }

  Saved saved(Arena& arena, Index rows) const {
    return {learngene_.saved(arena, rows), tailors_.saved(arena, rows)};
  }
  Scratch scratch(Arena& arena, Index rows) const {
    {
      Frame const frame(arena);
      learngene_.scratch(arena, rows);
    }
    arena.vector<Real, Exec>(tailors_.rank());
    tailors_.scratch(arena, rows);
    return {};
  }

  void forward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    if (learngene_.rank() > 0) {
      learngene_.forward(ctx, in, {}, 0, y, saved.learngene);
    }
    if (tailors_.rank() > 0) {
      tailors_.forward(ctx, in, gates_of(in.batch), tailors_beta(), y, saved.tailors);
    }
  }

  void backward(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    if (learngene_.rank() > 0) {
      learngene_.backward(ctx, in, {}, dy, dx, saved.learngene);
    }
    if (tailors_.rank() > 0) {
      tailors_.backward(ctx, in, gates_of(in.batch), dy, dx, saved.tailors);
    }
  }

  /// The weight of a class, or the learngene's alone.
  void materialise(Context<Exec>& ctx, Condition condition, Matrix<P, Exec> weight,
                   Vector<P, Exec>) const {
    materialise_learngene(ctx, weight);
    if (condition.label && tailors_.rank() > 0) {
      auto const label = static_cast<Index>(*condition.label);
      DASHI_EXPECTS(label >= 0 && label < gates_.rows() - 1,
                    "class " + std::to_string(label) + " of " + std::to_string(gates_.rows() - 1));
      tailors_.materialise(ctx, gates_.slice(label, 1).vector(), 1, weight);
    }
  }

  /// The weight with the tailors of all these classes: a model for some of them.
  void materialise_classes(Context<Exec>& ctx, std::span<Index const> classes,
                           Matrix<P, Exec> weight) const {
    materialise_learngene(ctx, weight);
    if (tailors_.rank() > 0) {
      Frame const frame(ctx.scratch());
      auto const gate = ctx.scratch().template vector<Real, Exec>(tailors_.rank());
      kernels::unite_gates<Real>(ctx, gates_.matrix(), classes, gate);
      tailors_.materialise(ctx, gate, 1, weight);
    }
  }

  /// The weight that one sample uses begins with the deviation of the weight that this replaces.
  void parameters(ParameterList<P, Exec>& list) const {
    using Scope = typename ParameterList<P, Exec>::Scope;
    double const sigma = Components::sigma(list.weight_initial().deviation(), shape_,
                                           learngene_.rank() + tailors_.rank() / groups_);
    {
      Scope const scope(list, "learngene");
      learngene_.vector_parameters(list, ParameterKind::adapter);
      learngene_.sigma_parameter(list, Initial::constant(sigma));
    }
    Scope const scope(list, "tailors");
    tailors_.vector_parameters(list, ParameterKind::adapter);
    tailors_.sigma_parameter(list, Initial::constant(sigma));
  }

private:
  static Parameter<P, Exec> table(LinearShape shape, GatedSvd const& options, Shared& shared) {
    options.check();
    Index const tailors = options.tailors_of(shape);
    std::vector<double> values(static_cast<std::size_t>((options.classes + 1) * tailors));
    Index const group_size = tailors / options.groups;
    for (Index c = 0; c < options.classes; ++c) {
      auto const first = values.begin() + c * tailors + options.group_of(c) * group_size;
      std::fill(first, first + group_size, 1.0);
    }
    if (shared.gates.rows() == 0) {
      shared.gates = Parameter<P, Exec>("dashi::gated_svd.gates", options.classes + 1, tailors);
      shared.gates.write(std::span<double const>(values));
      return shared.gates;
    }
    DASHI_EXPECTS(shared.gates.rows() == options.classes + 1 && shared.gates.cols() == tailors,
                  "layers of one site must have the same classes and tailors: " +
                      std::to_string(shared.gates.rows() - 1) + " and " +
                      std::to_string(shared.gates.cols()) + ", then " +
                      std::to_string(options.classes) + " and " + std::to_string(tailors));
    std::vector<double> before(values.size());
    shared.gates.read(std::span<double>(before));
    DASHI_EXPECTS(before == values, "layers of one site must have the same groups of classes");
    return shared.gates;
  }

  double tailors_beta() const { return learngene_.rank() > 0 ? 1 : 0; }
  void materialise_learngene(Context<Exec>& ctx, Matrix<P, Exec> weight) const {
    if (learngene_.rank() > 0) {
      learngene_.materialise(ctx, {}, 0, weight);
    } else {
      Kokkos::deep_copy(ctx.exec(), weight, Real(0));
    }
  }

  typename Components::Gates gates_of(Batch<P, Exec> const& batch) const {
    typename Components::Gates gates;
    gates.rows_per_sample = batch.rows_per_sample;
    if (batch.gates.extent(0) > 0) {
      gates.values = batch.gates;
      return gates;
    }
    DASHI_EXPECTS(batch.labels.extent(0) > 0 && batch.classes == gates_.rows() - 1,
                  "GatedSvd has gates for " + std::to_string(gates_.rows() - 1) +
                      " classes, the batch has labels of " + std::to_string(batch.classes));
    gates.values = gates_.matrix();
    gates.labels = batch.labels;
    return gates;
  }

  LinearShape shape_;
  Index groups_;
  Parameter<P, Exec> gates_;
  Components learngene_;
  Components tailors_;
};

}  // namespace dashi
