// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/placement.hpp>
#include <dashi/adapters/stack.hpp>
#include <dashi/backbones/linear_root.hpp>
#include <dashi/kernels/scale_bias.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace dashi {

/// A linear map y = W x + b with the adapters A on it, each a stage: map_k(x) =
/// forward_k(x, map_k-1(transform_input_k(x))).
///
/// Weight [out, in] and bias [out] are handles that the owner may share (a third of query, key and
/// value); a stage that replaces the weight leaves it empty. TrainsBase: whether they are trained
/// by default.
template <Precision P, ExecutionSpace Exec, class A, bool TrainsBase = std::is_same_v<A, Dense>>
class Linear {
  using Parts = typename detail::StackParts<A>::type;
  using Layers = detail::StackLayers<Parts, P, Exec>;
  using Real = typename P::storage;
  static constexpr std::size_t stages = Layers::size;
  static constexpr bool can_merge = Layers::first_merges();

public:
  static constexpr bool has_weight = !Layers::replaces_weight();
  static constexpr bool plain = stages == 0;
  static constexpr bool trains_base = TrainsBase;

  /// What the maps of one place in all blocks have in common.
  struct Shared {
    typename Layers::Shared parts;
    void parameters(ParameterList<P, Exec>& list) const {
      std::apply([&](auto const&... part) { (part.parameters(list), ...); }, parts);
    }
  };
  struct Saved {
    typename Layers::Saved parts;
    std::array<Matrix<P, Exec>, stages> x;  ///< input inside stage k, where it transforms it
    Matrix<P, Exec> merged;  ///< [out, in], with the change of stage 0, where that is merged
  };

  /// weight: [out, in], empty where a stage replaces it; bias: [out, 1].
  Linear(Context<Exec>& ctx, LinearShape shape, A const& options, Shared& shared,
         Parameter<P, Exec> weight, Parameter<P, Exec> bias)
      : shape_(shape),
        root_{std::move(weight), std::move(bias)},
        layers_(make(ctx, shape, detail::StackParts<A>::of(options), shared,
                     std::make_index_sequence<stages>())) {
    DASHI_EXPECTS(!Layers::template read_weight<1>(layers_),
                  "DoRA must be the first adapter of its map: it takes norms of the base's weight");
  }

  /// With weight and bias of its own, zero.
  Linear(Context<Exec>& ctx, std::string const& label, LinearShape shape, A const& options,
         Shared& shared)
      : Linear(ctx, shape, options, shared,
               has_weight ? Parameter<P, Exec>(label + ".weight", shape.out, shape.in)
                          : Parameter<P, Exec>(),
               Parameter<P, Exec>(label + ".bias", shape.out, 1)) {}

  LinearShape shape() const noexcept { return shape_; }

  Saved saved(Arena& arena, Index rows) const {
    Saved result;
    if (merges(rows)) {
      result.merged = arena.matrix<Real, Exec>(shape_.out, shape_.in);
    }
    take_saved<0>(arena, rows, result);
    return result;
  }

  /// Takes what a call of forward or backward takes at most.
  void scratch(Arena& arena, Index rows) const { take_scratch<stages>(arena, rows); }

  /// y [rows, out] from x [rows, in].
  void forward(Context<Exec>& ctx, Matrix<P, Exec> x, Batch<P, Exec> const& batch,
               StridedMatrix<P, Exec> y, Saved const& saved) const {
    run<stages>(ctx, input(x, batch), y, saved);
  }

  /// y = activation(pre), pre = map(x), in one product where no stage is in between; an empty pre
  /// is not kept.
  template <class Activation>
  void forward_activated(Context<Exec>& ctx, Matrix<P, Exec> x, Batch<P, Exec> const& batch,
                         Matrix<P, Exec> pre, Matrix<P, Exec> y, Saved const& saved) const {
    if constexpr (!plain) {
      if (!idle() && !(stages == 1 && is_merged(saved))) {
        auto const argument = pre.extent(0) > 0 ? pre : y;
        forward(ctx, x, batch, argument, saved);
        Activation::apply(ctx, argument, y);
        return;
      }
    }
    linalg::Epilogue<Real, Exec> epilogue;
    epilogue.activation = Activation::fused;
    epilogue.pre_activation = pre;
    root_.forward(ctx, root_input(ctx, input(x, batch), saved), y, epilogue);
  }

  /// Adds to the gradients of trained parameters and to dx; dy is overwritten.
  void backward(Context<Exec>& ctx, Matrix<P, Exec> x, Batch<P, Exec> const& batch,
                StridedMatrix<P, Exec> dy, GradientSink<P, Exec>& dx, Saved const& saved) const {
    DASHI_EXPECTS(!root_.trained() || !Layers::template read_weight<0>(layers_),
                  "a map with DoRA cannot train its weight and its bias: freeze them");
    back<stages>(ctx, input(x, batch), dy, dx, saved);
  }

  /// The weight and bias that the map stands for under a condition.
  void materialise(Context<Exec>& ctx, Condition condition, Matrix<P, Exec> weight,
                   Vector<P, Exec> bias) const {
    root_.materialise(ctx, weight, bias);
    std::apply(
        [&](auto const&... layer) { (layer.materialise(ctx, condition, weight, bias), ...); },
        layers_);
  }

  /// Of the stages; the owner lists weight and bias.
  void adapter_parameters(ParameterList<P, Exec>& list, Initial weight_initial) const {
    typename ParameterList<P, Exec>::WeightInitial const initial(list, weight_initial);
    list_stages<0>(list);
  }
  /// Weight, bias and stages. `initial` and `weight_shape`, in files, are the weight's.
  void parameters(ParameterList<P, Exec>& list, Initial initial = {},
                  std::vector<Index> weight_shape = {}) const {
    list.add("weight", root_.weight, ParameterKind::weight, trains_base, initial,
             std::move(weight_shape));
    list.add("bias", root_.bias, ParameterKind::bias, trains_bias());
    adapter_parameters(list, initial);
  }
  bool any_trained() const { return root_.trained() || !idle(); }
  /// Whether no stage changes anything.
  bool idle() const { return Layers::idle(layers_); }
  static constexpr bool trains_bias() {
    return trains_base || !has_weight || Layers::any(&AdapterTraits::trains_bias);
  }

private:
  /// Whether stage 0 is merged: where that is cheaper, and the weight's copy takes no more memory
  /// than the map's input and output.
  bool merges([[maybe_unused]] Index rows) const {
    if constexpr (can_merge) {
      return shape_.out * shape_.in <= rows * (shape_.out + shape_.in) &&
             std::get<0>(layers_).merges(rows);
    } else {
      return false;
    }
  }
  static bool is_merged(Saved const& saved) { return can_merge && saved.merged.extent(0) > 0; }

  /// With the weight, or with its copy, which it merges stage 0 into.
  LinearInput<P, Exec> root_input([[maybe_unused]] Context<Exec>& ctx, LinearInput<P, Exec> in,
                                  [[maybe_unused]] Saved const& saved) const {
    if constexpr (can_merge) {
      if (is_merged(saved)) {
        std::get<0>(layers_).merge(ctx, in, saved.merged, std::get<0>(saved.parts));
        in.weight = saved.merged;
      }
    }
    return in;
  }

  LinearInput<P, Exec> input(Matrix<P, Exec> x, Batch<P, Exec> const& batch) const {
    return {x, root_.weight.matrix(), root_.bias.vector(), batch};
  }

  template <std::size_t... I>
  static typename Layers::Layers make([[maybe_unused]] Context<Exec>& ctx,
                                      [[maybe_unused]] LinearShape shape,
                                      [[maybe_unused]] Parts const& options,
                                      [[maybe_unused]] Shared& shared, std::index_sequence<I...>) {
    return typename Layers::Layers{std::tuple_element_t<I, typename Layers::Layers>(
        ctx, shape, std::get<I>(options), std::get<I>(shared.parts))...};
  }

  template <std::size_t K>
  void take_saved(Arena& arena, Index rows, Saved& result) const {
    if constexpr (K < stages) {
      auto const& layer = std::get<K>(layers_);
      auto& mine = std::get<K>(result.parts);
      if constexpr (K == 0 && can_merge) {
        mine = is_merged(result) ? layer.merged_saved(arena, rows) : layer.saved(arena, rows);
      } else {
        mine = layer.saved(arena, rows);
      }
      if constexpr (Layers::traits[K].transforms_input) {
        result.x[K] = arena.matrix<Real, Exec>(rows, shape_.in);
      }
      take_saved<K + 1>(arena, rows, result);
    }
  }

  template <std::size_t N>
  void take_scratch(Arena& arena, Index rows) const {
    Frame const frame(arena);
    if constexpr (N == 0) {
      root_.scratch(arena, rows);
    } else {
      if constexpr (Layers::traits[N - 1].transforms_input) {
        arena.matrix<Real, Exec>(rows, shape_.in);
      }
      {
        Frame const layer(arena);
        (void)std::get<N - 1>(layers_).scratch(arena, rows);
      }
      take_scratch<N - 1>(arena, rows);
    }
  }

  template <std::size_t K>
  void list_stages([[maybe_unused]] ParameterList<P, Exec>& list) const {
    if constexpr (K < stages) {
      std::optional<typename ParameterList<P, Exec>::Scope> scope;
      if constexpr (Layers::template repeated<K>()) {
        scope.emplace(list, "stage_" + std::to_string(K));
      }
      std::get<K>(layers_).parameters(list);
      scope.reset();
      list_stages<K + 1>(list);
    }
  }

  /// The map of the first N stages; stage N - 1 is the outermost.
  template <std::size_t N>
  void run(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> y,
           Saved const& saved) const {
    if constexpr (N == 0) {
      root_.forward(ctx, root_input(ctx, in, saved), y);
    } else {
      auto const& layer = std::get<N - 1>(layers_);
      auto const& mine = std::get<N - 1>(saved.parts);
      if constexpr (Layers::traits[N - 1].transforms_input) {
        layer.transform_input(ctx, in, saved.x[N - 1], mine);
        auto inner = in;
        inner.x = saved.x[N - 1];
        run<N - 1>(ctx, inner, y, saved);
      } else if constexpr (!Layers::traits[N - 1].replaces_weight) {
        run<N - 1>(ctx, in, y, saved);
      }
      if (N > 1 || !is_merged(saved)) {
        layer.forward(ctx, in, y, mine);
      }
      if constexpr (Layers::traits[N - 1].replaces_weight) {
        kernels::scale_bias<Real, Exec>(ctx, {}, in.bias, y);
      }
    }
  }

  template <std::size_t N>
  void back(Context<Exec>& ctx, LinearInput<P, Exec> const& in, StridedMatrix<P, Exec> dy,
            GradientSink<P, Exec>& dx, Saved const& saved) const {
    if constexpr (N == 0) {
      auto outer = in;
      outer.weight = is_merged(saved) ? saved.merged : in.weight;
      root_.backward(ctx, outer, dy, dx);
    } else {
      auto const& layer = std::get<N - 1>(layers_);
      auto const& mine = std::get<N - 1>(saved.parts);
      if constexpr (Layers::traits[N - 1].replaces_weight) {
        root_.bias_gradient(ctx, dy);
        layer.backward(ctx, in, dy, dx, mine);
      } else if constexpr (Layers::traits[N - 1].transforms_input) {
        layer.backward(ctx, in, dy, dx, mine);
        Frame const frame(ctx.scratch());
        auto inner = in;
        inner.x = saved.x[N - 1];
        GradientSink<P, Exec> inner_dx(ctx.scratch().template matrix<Real, Exec>(
            static_cast<Index>(in.x.extent(0)), shape_.in));
        back<N - 1>(ctx, inner, dy, inner_dx, saved);
        layer.transform_input_adjoint(ctx, in, inner_dx.view(), dx, mine);
      } else {
        GradientSink<P, Exec> nobody;
        layer.backward(ctx, in, dy, N == 1 && is_merged(saved) ? nobody : dx, mine);
        back<N - 1>(ctx, in, dy, dx, saved);
      }
    }
  }

  LinearShape shape_;
  LinearRoot<P, Exec> root_;
  typename Layers::Layers layers_;
};

/// The linear map of a role in a backbone.
template <Precision P, ExecutionSpace Exec, class Placement, Role R>
using PlacedLinear = Linear<P, Exec, typename Placement::template Adapter<R>,
                            Placement::template trains_base<P, Exec>>;

}  // namespace dashi
