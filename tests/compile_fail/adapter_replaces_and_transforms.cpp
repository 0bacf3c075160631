// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: traits.replaces_weight and traits.transforms_input exclude each other
#include <dashi/backbones/linear.hpp>

using namespace dashi;

template <class P, class E>
class MineLayer;

struct Mine {
  Index count(LinearShape) const { return 0; }
  template <class P, class E>
  using Layer = MineLayer<P, E>;
};

template <class P, class E>
class MineLayer {
public:
  static constexpr AdapterTraits traits{.replaces_weight = true, .transforms_input = true};
  using Shared = NothingShared<P, E>;
  using Saved = Nothing;
  using Scratch = Nothing;
  MineLayer(Context<E>&, LinearShape, Mine const&, Shared&);
  Saved saved(Arena&, Index) const;
  Scratch scratch(Arena&, Index) const;
  void forward(Context<E>&, LinearInput<P, E> const&, StridedMatrix<P, E>, Saved const&) const;
  void backward(Context<E>&, LinearInput<P, E> const&, StridedMatrix<P, E>, GradientSink<P, E>&,
                Saved const&) const;
  void materialise(Context<E>&, Condition, Matrix<P, E>, Vector<P, E>) const;
  void transform_input(Context<E>&, LinearInput<P, E> const&, Matrix<P, E>, Saved const&) const;
  void transform_input_adjoint(Context<E>&, LinearInput<P, E> const&, Matrix<P, E>,
                               GradientSink<P, E>&, Saved const&) const;
  void parameters(ParameterList<P, E>&) const;
};
using Map = Linear<precision::Float32, Kokkos::DefaultHostExecutionSpace, Mine>;
static_assert(!Map::plain);
