// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/placement.hpp>
#include <dashi/backbones/linear.hpp>

#include <array>
#include <optional>
#include <string>
#include <tuple>

namespace dashi {

/// The map to queries, keys and values, stored as one matrix [3 width, width]: one product where
/// adapters are on none of the three alone, else one a third.
template <Precision P, ExecutionSpace Exec, class Placement>
class AttentionInput {
  template <class R>
  using Map = PlacedLinear<P, Exec, Placement, R>;
  template <class R>
  static constexpr bool placed = Placement::template index<R> >= 0;

public:
  /// Whether query, key and value have maps of their own.
  static constexpr bool split = placed<role::query> || placed<role::key> || placed<role::value>;
  static_assert(!split || Placement::template index<role::qkv> < 0 ||
                    Placement::template index<role::qkv> == Placement::template index<role::query>,
                "dashi::Place: put adapters on role::qkv, or on query, key and value, not on both");

private:
  using Fused = Map<role::qkv>;
  using Maps =
      std::conditional_t<split, std::tuple<Map<role::query>, Map<role::key>, Map<role::value>>,
                         std::tuple<Fused>>;
  template <class M>
  struct Each;
  template <class... M>
  struct Each<std::tuple<M...>> {
    struct Shared {
      std::tuple<typename M::Shared...> maps;
    };
    using Saved = std::tuple<typename M::Saved...>;
    static constexpr bool has_weight = (M::has_weight && ...);
    static constexpr bool any_weight = (M::has_weight || ...);
  };
  static_assert(Each<Maps>::has_weight == Each<Maps>::any_weight,
                "dashi::Place: query, key and value must all keep their weight or all replace it");

public:
  using Shared = typename Each<Maps>::Shared;
  using Saved = typename Each<Maps>::Saved;

  AttentionInput(Context<Exec>& ctx, Index width, typename Placement::Options const& options,
                 LayerInfo info, Shared& shared)
      : width_(width), bias_("dashi::attn.qkv.bias", 3 * width, 1) {
    if constexpr (Each<Maps>::has_weight) {
      weight_ = Parameter<P, Exec>("dashi::attn.qkv.weight", 3 * width, width);
    }
    if constexpr (split) {
      maps_.emplace(make<role::query, 0>(ctx, options, info, shared),
                    make<role::key, 1>(ctx, options, info, shared),
                    make<role::value, 2>(ctx, options, info, shared));
    } else {
      info.shape = {3 * width, width};
      maps_.emplace(Fused(ctx, info.shape,
                          Placement::template options_for<role::qkv>(options, info),
                          std::get<0>(shared.maps), weight_, bias_));
    }
  }

  Saved saved(Arena& arena, Index rows) const {
    return std::apply([&](auto const&... map) { return Saved{map.saved(arena, rows)...}; }, *maps_);
  }
  void scratch(Arena& arena, Index rows) const {
    std::apply([&](auto const&... map) { (map.scratch(arena, rows), ...); }, *maps_);
  }

  /// y [rows, 3 width] from x [rows, width].
  void forward(Context<Exec>& ctx, Matrix<P, Exec> x, Batch<P, Exec> const& batch,
               Matrix<P, Exec> y, Saved const& saved) const {
    if constexpr (split) {
      std::get<0>(*maps_).forward(ctx, x, batch, third(y, 0), std::get<0>(saved));
      std::get<1>(*maps_).forward(ctx, x, batch, third(y, 1), std::get<1>(saved));
      std::get<2>(*maps_).forward(ctx, x, batch, third(y, 2), std::get<2>(saved));
    } else {
      std::get<0>(*maps_).forward(ctx, x, batch, y, std::get<0>(saved));
    }
  }

  void backward(Context<Exec>& ctx, Matrix<P, Exec> x, Batch<P, Exec> const& batch,
                Matrix<P, Exec> dy, GradientSink<P, Exec>& dx, Saved const& saved) const {
    if constexpr (split) {
      std::get<0>(*maps_).backward(ctx, x, batch, third(dy, 0), dx, std::get<0>(saved));
      std::get<1>(*maps_).backward(ctx, x, batch, third(dy, 1), dx, std::get<1>(saved));
      std::get<2>(*maps_).backward(ctx, x, batch, third(dy, 2), dx, std::get<2>(saved));
    } else {
      std::get<0>(*maps_).backward(ctx, x, batch, dy, dx, std::get<0>(saved));
    }
  }

  void parameters(ParameterList<P, Exec>& list, Initial initial) const {
    using Scope = typename ParameterList<P, Exec>::Scope;
    Scope const scope(list, "qkv", role::qkv::name);
    list.add("weight", weight_, ParameterKind::weight, trains_base(), initial);
    list.add("bias", bias_, ParameterKind::bias, trains_bias());
    if constexpr (split) {
      parameters_of<role::query, 0>(list, initial);
      parameters_of<role::key, 1>(list, initial);
      parameters_of<role::value, 2>(list, initial);
    } else {
      std::get<0>(*maps_).adapter_parameters(list, initial);
    }
  }

  static void shared_parameters(Shared const& shared, ParameterList<P, Exec>& list) {
    using Scope = typename ParameterList<P, Exec>::Scope;
    Scope const scope(list, "qkv", role::qkv::name);
    if constexpr (split) {
      shared_parameters_of<role::query, 0>(shared, list);
      shared_parameters_of<role::key, 1>(shared, list);
      shared_parameters_of<role::value, 2>(shared, list);
    } else {
      std::get<0>(shared.maps).parameters(list);
    }
  }

private:
  static constexpr bool trains_base() { return Fused::trains_base; }
  bool trains_bias() const {
    return std::apply([](auto const&... map) { return (map.trains_bias() || ...); }, *maps_);
  }

  template <class R, Index I>
  Map<R> make(Context<Exec>& ctx, typename Placement::Options const& options, LayerInfo info,
              Shared& shared) const {
    info.shape = {width_, width_};
    info.name += "." + std::string(R::name);
    auto const weight = weight_.size() == 0 ? weight_ : weight_.slice(I * width_, width_);
    return Map<R>(ctx, info.shape, Placement::template options_for<R>(options, info),
                  std::get<static_cast<std::size_t>(I)>(shared.maps), weight,
                  bias_.slice(I * width_, width_));
  }

  StridedMatrix<P, Exec> third(Matrix<P, Exec> const& all, Index which) const {
    return columns_of<P, Exec>(all, which * width_, width_);
  }

  template <class R, std::size_t I>
  void parameters_of(ParameterList<P, Exec>& list, Initial initial) const {
    typename ParameterList<P, Exec>::Scope const scope(list, std::string(R::name), R::name);
    std::get<I>(*maps_).adapter_parameters(list, initial);
  }
  template <class R, std::size_t I>
  static void shared_parameters_of(Shared const& shared, ParameterList<P, Exec>& list) {
    typename ParameterList<P, Exec>::Scope const scope(list, std::string(R::name), R::name);
    std::get<I>(shared.maps).parameters(list);
  }

  Index width_;
  Parameter<P, Exec> weight_;
  Parameter<P, Exec> bias_;
  std::optional<Maps> maps_;
};

}  // namespace dashi
