// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/merging.hpp>
#include <dashi/adapters/stack.hpp>

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace dashi {

template <class Choices, class P, class Exec>
class OneOfLayer;

/// One of several adapters, chosen for each layer at run time, behind the same concept: one net
/// serves every file of such adapters. The first is what a layer has by default.
template <class... A>
struct OneOf {
  static_assert(sizeof...(A) > 0, "dashi::OneOf: name at least one adapter");

  std::variant<A...> choice;

  OneOf() = default;
  template <class Options>
    requires(std::is_same_v<A, Options> || ...)
  OneOf(Options const& options) : choice(options) {}

  Index count(LinearShape shape) const {
    return std::visit([&](auto const& options) { return options.count(shape); }, choice);
  }

  template <class P, class Exec>
  using Layer = OneOfLayer<std::tuple<A...>, P, Exec>;
};

/// Visits the layer that is there once a call.
template <class... A, class P, class Exec>
class OneOfLayer<std::tuple<A...>, P, Exec> {
  static_assert((require_adapter<A, P, Exec>() && ...));

  template <class Options>
  using LayerOf = typename Options::template Layer<P, Exec>;
  using First = LayerOf<std::tuple_element_t<0, std::tuple<A...>>>;
  using Variant = std::variant<LayerOf<A>...>;
  using Input = LinearInput<P, Exec>;

  static_assert(((LayerOf<A>::traits.replaces_weight == First::traits.replaces_weight) && ...),
                "dashi::OneOf: its adapters must all replace the weight, or none of them");
  static_assert((!LayerOf<A>::traits.transforms_input && ...),
                "dashi::OneOf: its adapters cannot transform the input");

public:
  static constexpr AdapterTraits traits{.replaces_weight = First::traits.replaces_weight,
                                        .conditional = (LayerOf<A>::traits.conditional || ...),
                                        .trains_bias = (LayerOf<A>::traits.trains_bias && ...)};
  struct Shared {
    std::tuple<typename LayerOf<A>::Shared...> parts;
    void parameters(ParameterList<P, Exec>& list) const {
      std::apply([&](auto const&... part) { (part.parameters(list), ...); }, parts);
    }
  };
  using Saved = std::variant<typename LayerOf<A>::Saved...>;
  using Scratch = Nothing;

  OneOfLayer(Context<Exec>& ctx, LinearShape shape, OneOf<A...> const& options, Shared& shared)
      : layer_(make(ctx, shape, options, shared, std::index_sequence_for<A...>())) {}

  bool reads_weight() const {
    return visit([](auto, auto const& layer) { return detail::reads_weight(layer); });
  }

  bool merges(Index rows) const {
    return visit([&]<std::size_t I>(At<I>, auto const& layer) {
      if constexpr (MergingLayer<std::decay_t<decltype(layer)>, P, Exec>) {
        return layer.merges(rows);
      } else {
        return false;
      }
    });
  }

  Saved saved(Arena& arena, Index rows) const {
    return visit([&]<std::size_t I>(At<I>, auto const& layer) {
      return Saved(std::in_place_index<I>, layer.saved(arena, rows));
    });
  }
  Saved merged_saved(Arena& arena, Index rows) const {
    return visit([&]<std::size_t I>(At<I>, auto const& layer) {
      if constexpr (MergingLayer<std::decay_t<decltype(layer)>, P, Exec>) {
        return Saved(std::in_place_index<I>, layer.merged_saved(arena, rows));
      } else {
        return saved(arena, rows);
      }
    });
  }
  Scratch scratch(Arena& arena, Index rows) const {
    visit([&](auto, auto const& layer) { (void)layer.scratch(arena, rows); });
    return {};
  }
  void forward(Context<Exec>& ctx, Input const& in, StridedMatrix<P, Exec> y,
               Saved const& saved) const {
    visit([&]<std::size_t I>(At<I>, auto const& layer) {
      layer.forward(ctx, in, y, std::get<I>(saved));
    });
  }
  void merge(Context<Exec>& ctx, Input const& in, Matrix<P, Exec> weight,
             Saved const& saved) const {
    visit([&]<std::size_t I>(At<I>, auto const& layer) {
      if constexpr (MergingLayer<std::decay_t<decltype(layer)>, P, Exec>) {
        layer.merge(ctx, in, weight, std::get<I>(saved));
      }
    });
  }
  void backward(Context<Exec>& ctx, Input const& in, StridedMatrix<P, Exec> dy,
                GradientSink<P, Exec>& dx, Saved const& saved) const {
    visit([&]<std::size_t I>(At<I>, auto const& layer) {
      layer.backward(ctx, in, dy, dx, std::get<I>(saved));
    });
  }
  void materialise(Context<Exec>& ctx, Condition condition, Matrix<P, Exec> weight,
                   Vector<P, Exec> bias) const {
    visit([&](auto, auto const& layer) { layer.materialise(ctx, condition, weight, bias); });
  }
  void parameters(ParameterList<P, Exec>& list) const {
    visit([&](auto, auto const& layer) { layer.parameters(list); });
  }

private:
  template <std::size_t I>
  using At = std::integral_constant<std::size_t, I>;

  /// body(At<I>(), layer I) for the I that is there.
  template <std::size_t I = 0, class Body>
  auto visit(Body const& body) const {
    if constexpr (I + 1 < sizeof...(A)) {
      if (layer_.index() != I) {
        return visit<I + 1>(body);
      }
    }
    return body(At<I>(), std::get<I>(layer_));
  }

  template <std::size_t... I>
  static Variant make(Context<Exec>& ctx, LinearShape shape, OneOf<A...> const& options,
                      Shared& shared, std::index_sequence<I...>) {
    using Make = Variant (*)(Context<Exec>&, LinearShape, OneOf<A...> const&, Shared&);
    constexpr Make each[] = {&make_at<I>...};
    return each[options.choice.index()](ctx, shape, options, shared);
  }
  template <std::size_t I>
  static Variant make_at(Context<Exec>& ctx, LinearShape shape, OneOf<A...> const& options,
                         Shared& shared) {
    return Variant(std::in_place_index<I>, ctx, shape, std::get<I>(options.choice),
                   std::get<I>(shared.parts));
  }

  Variant layer_;
};

}  // namespace dashi
