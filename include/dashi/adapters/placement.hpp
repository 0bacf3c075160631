// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/role.hpp>
#include <dashi/adapters/stack.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace dashi {

/// The adapters, innermost first, on the linear maps of a role.
template <class R, class... A>
struct On {
  static_assert(Role<R>, "dashi::On: the first argument is a role, such as dashi::role::attention");
  static_assert(sizeof...(A) > 0, "dashi::On: name at least one adapter");
  using role = R;
  using adapter =
      std::conditional_t<sizeof...(A) == 1, std::tuple_element_t<0, std::tuple<A...>>, Stack<A...>>;
};

/// Where a linear map is, for options that differ from layer to layer.
struct LayerInfo {
  Index block = -1;  ///< -1: outside the blocks
  Index depth = 0;   ///< number of blocks
  std::string_view role;
  LinearShape shape;
  std::string name{};  ///< as its parameters' begin: "blocks.3.mlp.fc1"
};

/// Options for all maps of a placement: a value, or a function of the layer.
template <class A>
class PlacedOptions {
public:
  PlacedOptions() : PlacedOptions(A{}) {}
  PlacedOptions(A const& options) : choose_([options](LayerInfo const&) { return options; }) {}
  template <class F>
    requires(std::is_invocable_r_v<A, F, LayerInfo const&>)
  PlacedOptions(F choose) : choose_(std::move(choose)) {}

  A operator()(LayerInfo const& layer) const { return choose_(layer); }

private:
  std::function<A(LayerInfo const&)> choose_;
};

namespace detail {

template <class R, class... Ons>
consteval int first_match() {
  int index = 0;
  int found = -1;
  ((found = found < 0 && std::is_base_of_v<typename Ons::role, R> ? index : found, ++index), ...);
  return found;
}

template <class T>
inline constexpr bool is_on = false;
template <class R, class... A>
inline constexpr bool is_on<On<R, A...>> = true;

/// Whether no entry before number `at` takes all that it could.
template <class... Ons>
consteval bool each_reachable() {
  if constexpr (sizeof...(Ons) > 0) {
    bool reachable = true;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((reachable = reachable && first_match<typename Ons::role, Ons...>() == static_cast<int>(I)),
       ...);
    }
    (std::index_sequence_for<Ons...>());
    return reachable;
  }
  return true;
}

}  // namespace detail

/// Which adapters are on which linear maps of a backbone. The first On whose role includes the
/// map's wins.
template <class... Ons>
struct Place {
  static_assert((detail::is_on<Ons> && ...),
                "dashi::Place: its arguments are On<Role, Adapter...>");
  static_assert(detail::each_reachable<Ons...>(),
                "dashi::Place: an On<Role, ...> stands behind another that takes all its maps; put "
                "the narrower role first");

  template <class R>
  static constexpr int index = detail::first_match<R, Ons...>();

  /// Options of each On, in order.
  using Options = std::tuple<PlacedOptions<typename Ons::adapter>...>;

  template <int Index>
  struct At {
    using type =
        typename std::tuple_element_t<static_cast<std::size_t>(Index), std::tuple<Ons...>>::adapter;
  };
  template <int Index>
    requires(Index < 0)
  struct At<Index> {
    using type = Dense;
  };
  /// What is on the maps of R: Dense, an adapter or a Stack.
  template <class R>
  using Adapter = typename At<index<R>>::type;

  /// Whether the backbone's own parameters are trained by default: all placed adapters replace the
  /// weights they are on. What is added to a base leaves it frozen.
  template <class P, class Exec>
  static constexpr bool trains_base =
      (detail::StackLayers<typename detail::StackParts<typename Ons::adapter>::type, P,
                           Exec>::replaces_weight() &&
       ...);

  template <class R>
  static Adapter<R> options_for(Options const& options, LayerInfo layer) {
    if constexpr (index<R> < 0) {
      return {};
    } else {
      layer.role = R::name;
      return std::get<static_cast<std::size_t>(index<R>)>(options)(layer);
    }
  }
};

}  // namespace dashi
