// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/one_of.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace dashi {

template <class Choices, class P, class Exec>
class SeveralLayer;

/// Any number of adapters of these kinds on one map, none by default, chosen for each layer at run
/// time and innermost first: one net serves every combination of adapter files, and a map without
/// any is the plain one.
template <class... A>
struct Several {
  /// An adapter on all outputs of the map, or on some: a third of query, key and value.
  struct Part {
    OneOf<A...> adapter;
    std::string name = {};  ///< before those of its parameters; empty: by its number, if not first
    Index first = 0;        ///< output
    Index outputs = 0;      ///< 0: all that follow

    /// Of the part of a map of that shape.
    LinearShape shape(LinearShape map) const {
      return {outputs == 0 ? map.out - first : outputs, map.in};
    }
  };
  std::vector<Part> parts;

  Several() = default;
  Several(std::vector<Part> all) : parts(std::move(all)) {}
  template <class Options>
    requires(std::is_same_v<A, Options> || ...)
  Several(Options const& options) : parts{Part{options}} {}

  Index count(LinearShape map) const {
    Index total = 0;
    for (Part const& part : parts) {
      total += part.adapter.count(part.shape(map));
    }
    return total;
  }

  template <class P, class Exec>
  using Layer = SeveralLayer<Several, P, Exec>;
};

/// Runs its adapters one after the other, each on its columns of y.
template <class... A, class P, class Exec>
class SeveralLayer<Several<A...>, P, Exec> {
  using Options = Several<A...>;
  using Inner = typename OneOf<A...>::template Layer<P, Exec>;
  using Input = LinearInput<P, Exec>;

  static_assert(!Inner::traits.replaces_weight,
                "dashi::Several: its adapters cannot replace the weight");
  static_assert(
      (std::is_same_v<typename A::template Layer<P, Exec>::Shared, NothingShared<P, Exec>> && ...),
      "dashi::Several: its adapters cannot share parameters between layers");

public:
  static constexpr AdapterTraits traits{.conditional = Inner::traits.conditional};
  using Shared = NothingShared<P, Exec>;
  using Saved = std::vector<typename Inner::Saved>;
  using Scratch = Nothing;

  SeveralLayer(Context<Exec>& ctx, LinearShape map, Options const& options, Shared&)
      : outputs_(map.out) {
    for (auto const& part : options.parts) {
      LinearShape const shape = part.shape(map);
      DASHI_EXPECTS(part.first >= 0 && shape.out > 0 && part.first + shape.out <= map.out,
                    "an adapter on outputs " + std::to_string(part.first) + " to " +
                        std::to_string(part.first + shape.out) + " of a map with " +
                        std::to_string(map.out));
      typename Inner::Shared nothing;
      stages_.push_back({Inner(ctx, shape, part.adapter, nothing), part.name, part.first, shape.out,
                         shape.out == map.out, part.adapter.count(shape) == 0});
      expect_weight_is_the_base(stages_.back());
      apart_ = apart_ && all_apart(stages_.back());
    }
  }

  bool reads_weight() const {
    return std::any_of(stages_.begin(), stages_.end(),
                       [](Stage const& stage) { return stage.layer.reads_weight(); });
  }

  /// Whether the map is as it would be without.
  bool idle() const {
    for (Stage const& stage : stages_) {
      if (!stage.idle) {
        return false;
      }
    }
    return true;
  }

  /// Where all adapters that change anything merge, and they change half of the outputs or more.
  bool merges(Index rows) const {
    for (Stage const& stage : stages_) {
      if (!stage.idle && !stage.layer.merges(rows)) {
        return false;
      }
    }
    Index changed = outputs_;
    for_each_unchanged([&](Index first, Index end) { changed -= end - first; });
    return changed > 0 && 2 * changed >= outputs_;
  }

  Saved saved(Arena& arena, Index rows) const {
    Saved result;
    for (Stage const& stage : stages_) {
      result.push_back(stage.layer.saved(arena, rows));
    }
    return result;
  }
  Saved merged_saved(Arena& arena, Index rows) const {
    Saved result;
    for (Stage const& stage : stages_) {
      result.push_back(stage.layer.merged_saved(arena, rows));
    }
    return result;
  }
  Scratch scratch(Arena& arena, Index rows) const {
    for (Stage const& stage : stages_) {
      Frame const frame(arena);
      (void)stage.layer.scratch(arena, rows);
    }
    return {};
  }

  void forward(Context<Exec>& ctx, Input const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      Stage const& stage = stages_[i];
      stage.layer.forward(ctx, stage.input(in), stage.columns(y), saved[i]);
    }
  }
  void merge(Context<Exec>& ctx, Input const& in, Matrix<P, Exec> weight,
             Saved const& saved) const {
    copy_unchanged(ctx, in.weight, weight);
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      Stage const& stage = stages_[i];
      if (!stage.idle) {
        auto mine = stage.input(in);
        auto const target = stage.input({{}, weight, {}, {}}).weight;
        mine.weight = apart_ ? mine.weight : target;
        stage.layer.merge(ctx, mine, target, saved[i]);
      }
    }
  }
  void backward(Context<Exec>& ctx, Input const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    for (std::size_t i = stages_.size(); i-- > 0;) {
      Stage const& stage = stages_[i];
      stage.layer.backward(ctx, stage.input(in), stage.columns(dy), dx, saved[i]);
    }
  }
  void materialise(Context<Exec>& ctx, Condition condition, Matrix<P, Exec> weight,
                   Vector<P, Exec> bias) const {
    for (Stage const& stage : stages_) {
      auto const mine = stage.input({{}, weight, bias, {}});
      stage.layer.materialise(ctx, condition, mine.weight, mine.bias);
    }
  }
  void parameters(ParameterList<P, Exec>& list) const {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      std::optional<typename ParameterList<P, Exec>::Scope> scope;
      if (!stages_[i].name.empty()) {
        scope.emplace(list, stages_[i].name);
      } else if (i > 0) {
        scope.emplace(list, "adapter_" + std::to_string(i));
      }
      stages_[i].layer.parameters(list);
    }
  }

private:
  struct Stage {
    Inner layer;
    std::string name;
    Index first;
    Index outputs;
    bool whole;
    bool idle;

    StridedMatrix<P, Exec> columns(StridedMatrix<P, Exec> const& y) const {
      return whole ? y
                   : StridedMatrix<P, Exec>(
                         y.data() + first,
                         Kokkos::LayoutStride(y.extent(0), static_cast<std::size_t>(y.stride(0)),
                                              static_cast<std::size_t>(outputs), 1));
    }
    /// Weight and bias of its outputs.
    Input input(Input in) const {
      using Real = typename P::storage;
      if (!whole && in.weight.data() != nullptr) {
        auto const cols = static_cast<Index>(in.weight.extent(1));
        in.weight = matrix_over<Real, Exec>(in.weight.data() + first * cols, outputs, cols);
      }
      if (!whole && in.bias.data() != nullptr) {
        in.bias = vector_over<Real, Exec>(in.bias.data() + first, outputs);
      }
      return in;
    }
  };

  /// Whether no stage before the last one changes outputs that it changes.
  bool all_apart(Stage const& last) const {
    return last.idle || std::all_of(stages_.begin(), stages_.end() - 1, [&](Stage const& stage) {
             return stage.idle || stage.first + stage.outputs <= last.first ||
                    last.first + last.outputs <= stage.first;
           });
  }

  /// Inside of what reads the weight no other changes the same outputs.
  void expect_weight_is_the_base(Stage const& last) const {
    DASHI_EXPECTS(!last.layer.reads_weight() || all_apart(last),
                  "DoRA must be the first adapter of its outputs: it takes norms of the base's "
                  "weight");
  }

  /// visit(first, end) for every range of outputs that no stage changes.
  template <class Visit>
  void for_each_unchanged(Visit const& visit) const {
    for (Index row = 0; row < outputs_;) {
      Index next = outputs_;
      Index end = row;
      for (Stage const& stage : stages_) {
        if (!stage.idle && stage.first <= row) {
          end = std::max(end, stage.first + stage.outputs);
        } else if (!stage.idle) {
          next = std::min(next, stage.first);
        }
      }
      if (end <= row) {
        visit(row, next);
        end = next;
      }
      row = end;
    }
  }

  /// Copies the rows of the weight that merging writes no sum into: all rows where adapters
  /// overlap, since those are added in place.
  void copy_unchanged(Context<Exec>& ctx, Matrix<P, Exec> base, Matrix<P, Exec> weight) const {
    using Real = typename P::storage;
    if (!apart_) {
      Kokkos::deep_copy(ctx.exec(), weight, base);
      return;
    }
    Index const in = static_cast<Index>(base.extent(1));
    for_each_unchanged([&](Index first, Index end) {
      Kokkos::deep_copy(ctx.exec(),
                        matrix_over<Real, Exec>(weight.data() + first * in, end - first, in),
                        matrix_over<Real, Exec>(base.data() + first * in, end - first, in));
    });
  }

  std::vector<Stage> stages_;
  Index outputs_;
  bool apart_ = true;  ///< no two change the same outputs
};

}  // namespace dashi
