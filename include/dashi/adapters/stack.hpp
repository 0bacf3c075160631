// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/merging.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>

namespace dashi {

/// Several adapters on one map, innermost first: Stack<LowRank, ScaleBias> is
/// gamma * ((W + s B A) x + b).
template <class... A>
struct Stack {
  std::tuple<A...> parts;

  Stack() = default;
  Stack(A const&... options) requires(sizeof...(A) > 0) : parts(options...) {}
};

/// No adapter: the plain weight.
using Dense = Stack<>;

namespace detail {

/// Whether a stage changes nothing: layers may say so by `bool idle() const`.
template <class Layer>
bool is_idle(Layer const& layer) {
  if constexpr (requires {
                  { layer.idle() } -> std::same_as<bool>;
                }) {
    return layer.idle();
  } else {
    return false;
  }
}

/// Whether a stage is made for the weight of the base alone, with a frozen bias: layers may say so
/// by `bool reads_weight() const`.
template <class Layer>
bool reads_weight(Layer const& layer) {
  if constexpr (requires {
                  { layer.reads_weight() } -> std::same_as<bool>;
                }) {
    return layer.reads_weight();
  } else {
    return false;
  }
}

/// The options of a placement, one adapter or a stack, as a tuple.
template <class A>
struct StackParts {
  using type = std::tuple<A>;
  static type of(A const& options) { return {options}; }
};
template <class... A>
struct StackParts<Stack<A...>> {
  using type = std::tuple<A...>;
  static type of(Stack<A...> const& stack) { return stack.parts; }
};

/// What a tuple of options is in one precision on one space.
template <class Parts, class P, class Exec>
struct StackLayers;
template <class... A, class P, class Exec>
struct StackLayers<std::tuple<A...>, P, Exec> {
  static_assert((require_adapter<A, P, Exec>() && ...));

  static constexpr std::size_t size = sizeof...(A);
  using Layers = std::tuple<typename A::template Layer<P, Exec>...>;
  using Shared = std::tuple<typename A::template Layer<P, Exec>::Shared...>;
  using Saved = std::tuple<typename A::template Layer<P, Exec>::Saved...>;
  static constexpr std::array<AdapterTraits, size> traits{A::template Layer<P, Exec>::traits...};

  static constexpr bool replaces_weight() { return size > 0 && traits[0].replaces_weight; }
  /// Whether stage I is not the first of its kind, so that its parameters need names of their own.
  template <std::size_t I>
  static constexpr bool repeated() {
    using Kind = std::tuple_element_t<I, std::tuple<A...>>;
    std::size_t at = 0;
    bool reached = false;
    bool before = false;
    ((reached = reached || at == I, before = before || (!reached && std::is_same_v<Kind, A>), ++at),
     ...);
    return before;
  }
  /// Whether no stage changes anything.
  static bool idle(Layers const& layers) {
    return std::apply([](auto const&... layer) { return (is_idle(layer) && ...); }, layers);
  }
  /// Whether stage From or one outside of it reads the weight of the base.
  template <std::size_t From>
  static bool read_weight(Layers const& layers) {
    if constexpr (From < size) {
      return reads_weight(std::get<From>(layers)) || read_weight<From + 1>(layers);
    } else {
      return false;
    }
  }
  static constexpr bool first_merges() {
    if constexpr (size > 0) {
      return MergingLayer<std::tuple_element_t<0, Layers>, P, Exec>;
    } else {
      return false;
    }
  }
  static constexpr bool any(bool AdapterTraits::*trait) {
    for (AdapterTraits const& t : traits) {
      if (t.*trait) {
        return true;
      }
    }
    return false;
  }

private:
  static constexpr bool only_first_replaces() {
    bool first = true;
    bool right = true;
    for (AdapterTraits const& t : traits) {
      right = right && (first || !t.replaces_weight);
      first = false;
    }
    return right;
  }
  static_assert(only_first_replaces(),
                "dashi::Stack: an adapter that replaces the weight must come first");
  static constexpr bool replaced_input_is_its_own() {
    return !replaces_weight() || !traits[0].transforms_input;
  }
  static_assert(replaced_input_is_its_own(),
                "dashi::Adapter: traits.replaces_weight and traits.transforms_input exclude each "
                "other; transform the input inside forward");
};

}  // namespace detail

}  // namespace dashi
