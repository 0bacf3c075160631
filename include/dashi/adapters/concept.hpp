// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/linear_input.hpp>
#include <dashi/core/arena.hpp>
#include <dashi/core/parameter_list.hpp>

#include <concepts>
#include <type_traits>

namespace dashi {

/// What an adapter does to the map, stated once as a constant of its layer.
struct AdapterTraits {
  bool replaces_weight = false;   ///< forward writes W x into y; there is no base weight
  bool transforms_input = false;  ///< has transform_input and transform_input_adjoint
  bool conditional = false;       ///< the weight depends on the sample
  bool trains_bias = false;       ///< the bias of the map is trained by default
};

/// The Shared of adapters whose layers have nothing in common.
template <Precision P, ExecutionSpace Exec>
struct NothingShared {
  void parameters(ParameterList<P, Exec>&) const {}
};

/// A Saved or Scratch without members.
struct Nothing {};

namespace adapter_parts {

template <class A, class P, class E>
concept Options = std::semiregular<A> && requires {
  typename A::template Layer<P, E>;
};
template <class A>
concept Count = requires(A const& options, LinearShape shape) {
  { options.count(shape) } -> std::same_as<Index>;
};
template <class L>
concept Traits = requires {
  { L::traits } -> std::same_as<AdapterTraits const&>;
  typename std::bool_constant<L::traits.conditional>;
};
template <class L>
concept Shared = requires {
  typename L::Shared;
  requires std::default_initializable<typename L::Shared>;
};
template <class L, class A, class P, class E>
concept Constructible = requires {
  requires Shared<L>;
  requires std::constructible_from < L, Context<E>
  &, LinearShape, A const&, typename L::Shared& > ;
};
template <class L, class P, class E>
concept Parameters = Shared<L> &&
    requires(L const& layer, typename L::Shared const& shared, ParameterList<P, E>& list) {
  { layer.parameters(list) } -> std::same_as<void>;
  { shared.parameters(list) } -> std::same_as<void>;
};
template <class L>
concept Workspace = requires(L const& layer, Arena& arena, Index rows) {
  typename L::Saved;
  typename L::Scratch;
  { layer.saved(arena, rows) } -> std::same_as<typename L::Saved>;
  { layer.scratch(arena, rows) } -> std::same_as<typename L::Scratch>;
};
template <class L, class P, class E>
concept Forward = requires(L const& layer, Context<E>& ctx, LinearInput<P, E> const& in,
                           StridedMatrix<P, E> y, typename L::Saved const& saved) {
  { layer.forward(ctx, in, y, saved) } -> std::same_as<void>;
};
template <class L, class P, class E>
concept Backward = requires(L const& layer, Context<E>& ctx, LinearInput<P, E> const& in,
                            StridedMatrix<P, E> dy, GradientSink<P, E>& dx,
                            typename L::Saved const& saved) {
  { layer.backward(ctx, in, dy, dx, saved) } -> std::same_as<void>;
};
template <class L, class P, class E>
concept TransformInput = requires(L const& layer, Context<E>& ctx, LinearInput<P, E> const& in,
                                  Matrix<P, E> x, GradientSink<P, E>& dx,
                                  typename L::Saved const& saved) {
  { layer.transform_input(ctx, in, x, saved) } -> std::same_as<void>;
  { layer.transform_input_adjoint(ctx, in, x, dx, saved) } -> std::same_as<void>;
};
template <class L, class P, class E>
concept Materialise = requires(L const& layer, Context<E>& ctx, Condition condition,
                               Matrix<P, E> weight, Vector<P, E> bias) {
  { layer.materialise(ctx, condition, weight, bias) } -> std::same_as<void>;
};

template <class L>
concept InputSide = !L::traits.transforms_input;

}  // namespace adapter_parts

/// A stage of a linear map in one precision on one space; made from options A.
///
/// The map of k stages is map_k(x) = forward_k(x, map_k-1(transform_input_k(x))); the root is
/// W x + b, or the first stage where it replaces W. forward changes y [rows, out] in place;
/// backward turns dy into the gradient of what the inner stage gave, adds to the gradients of its
/// trained parameters and to dx; materialise changes weight [out, in] and bias [out] the way
/// forward changes y. saved is what forward keeps for backward, scratch the most that a call takes
/// from ctx.scratch(). A layer may have more: idle and reads_weight (stack.hpp), and what makes it
/// a MergingLayer.
template <class L, class A, class P, class E>
concept AdapterLayer = adapter_parts::Traits<L> && adapter_parts::Constructible<L, A, P, E> &&
    adapter_parts::Parameters<L, P, E> && adapter_parts::Workspace<L> &&
    adapter_parts::Forward<L, P, E> && adapter_parts::Backward<L, P, E> &&
    adapter_parts::Materialise<L, P, E> &&
    (adapter_parts::InputSide<L> || adapter_parts::TransformInput<L, P, E>);

/// Options of an adapter: a copyable struct that names the layer it makes and counts parameters.
template <class A, class P = precision::Float32, class E = Kokkos::DefaultExecutionSpace>
concept Adapter = adapter_parts::Options<A, P, E> && adapter_parts::Count<A> &&
    AdapterLayer<typename A::template Layer<P, E>, A, P, E>;

/// Says in sentences what A or its layer lacks: static_assert(require_adapter<Mine>()).
template <class A, class P = precision::Float32, class E = Kokkos::DefaultExecutionSpace>
consteval bool require_adapter() {
  namespace parts = adapter_parts;
  static_assert(parts::Options<A, P, E>,
                "dashi::Adapter: declare 'template <class Precision, class Exec> using Layer = "
                "...;' in a copyable options struct");
  static_assert(parts::Count<A>,
                "dashi::Adapter: declare 'Index count(LinearShape shape) const' in the options");
  if constexpr (parts::Options<A, P, E>) {
    using L = typename A::template Layer<P, E>;
    static_assert(parts::Traits<L>,
                  "dashi::Adapter: declare 'static constexpr AdapterTraits traits{...};' in the "
                  "layer");
    static_assert(parts::Shared<L>,
                  "dashi::Adapter: declare 'using Shared = NothingShared<Precision, Exec>;' in "
                  "the layer, or a default-constructible struct of your own");
    if constexpr (parts::Shared<L>) {
      static_assert(parts::Constructible<L, A, P, E>,
                    "dashi::Adapter: declare 'Layer(Context<Exec>&, LinearShape, Options const&, "
                    "Shared&)'");
      static_assert(parts::Parameters<L, P, E>,
                    "dashi::Adapter: declare 'void parameters(ParameterList<Precision, Exec>& "
                    "list) const' in the layer and in Shared");
    }
    static_assert(parts::Workspace<L>,
                  "dashi::Adapter: declare 'Saved saved(Arena&, Index rows) const' and 'Scratch "
                  "scratch(Arena&, Index rows) const' with their structs");
    if constexpr (parts::Workspace<L>) {
      static_assert(parts::Forward<L, P, E>,
                    "dashi::Adapter: declare 'void forward(Context<Exec>&, LinearInput<Precision, "
                    "Exec> const& in, StridedMatrix<Precision, Exec> y, Saved const&) const'");
      static_assert(parts::Backward<L, P, E>,
                    "dashi::Adapter: declare 'void backward(Context<Exec>&, LinearInput<Precision, "
                    "Exec> const& in, StridedMatrix<Precision, Exec> dy, GradientSink<Precision, "
                    "Exec>& dx, Saved const&) const'");
      if constexpr (parts::Traits<L>) {
        static_assert(parts::InputSide<L> || parts::TransformInput<L, P, E>,
                      "dashi::Adapter: traits.transforms_input asks for 'transform_input' and "
                      "'transform_input_adjoint'");
      }
    }
    static_assert(parts::Materialise<L, P, E>,
                  "dashi::Adapter: declare 'void materialise(Context<Exec>&, Condition, "
                  "Matrix<Precision, Exec> weight, Vector<Precision, Exec> bias) const'");
  }
  return true;
}

}  // namespace dashi
