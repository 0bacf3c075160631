// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/concept.hpp>

namespace dashi::test {

template <class P, class Exec>
class AdapterArchetypeLayer;

/// What the concept Adapter asks of options and nothing more: y stays as it is.
struct AdapterArchetype {
  Index count(LinearShape) const { return 0; }
  template <class P, class Exec>
  using Layer = AdapterArchetypeLayer<P, Exec>;
};

/// What the concept asks of a layer and nothing more.
template <class P, class Exec>
class AdapterArchetypeLayer {
public:
  static constexpr AdapterTraits traits{};
  struct Shared {
    Shared() = default;
    Shared(Shared const&) = delete;
    Shared& operator=(Shared const&) = delete;
    void parameters(ParameterList<P, Exec>&) const {}
  };
  struct Saved {};
  struct Scratch {};

  AdapterArchetypeLayer(Context<Exec>&, LinearShape, AdapterArchetype const&, Shared&) {}
  Saved saved(Arena&, Index) const { return {}; }
  Scratch scratch(Arena&, Index) const { return {}; }
  void forward(Context<Exec>&, LinearInput<P, Exec> const&, StridedMatrix<P, Exec>,
               Saved const&) const {}
  void backward(Context<Exec>&, LinearInput<P, Exec> const&, StridedMatrix<P, Exec>,
                GradientSink<P, Exec>&, Saved const&) const {}
  void materialise(Context<Exec>&, Condition, Matrix<P, Exec>, Vector<P, Exec>) const {}
  void parameters(ParameterList<P, Exec>&) const {}
};

}  // namespace dashi::test
