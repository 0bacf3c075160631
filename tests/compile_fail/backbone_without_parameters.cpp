// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// expect-error: dashi::Backbone: declare 'void parameters\(ParameterList<P, Exec>&\) const'
#include <dashi/diffusion/backbone_concept.hpp>

using namespace dashi;
using namespace dashi::diffusion;

using P = dashi::precision::Float32;
using E = Kokkos::DefaultHostExecutionSpace;
using Ctx = Context<E>;
using Input = DenoiserInput<P, E>;
using Images = Matrix<P, E>;

struct Mine {
  using precision = dashi::precision::Float32;
  using execution_space = Kokkos::DefaultHostExecutionSpace;
  struct Saved {};
  struct Evaluation {};
  BackboneShape shape() const;
  Saved saved(Arena&, Index samples) const;
  Evaluation evaluation(Arena&, Index samples) const;
  std::size_t scratch_bytes(Ctx&, Index samples) const;
  void forward(Ctx&, Input const&, Images out, Saved const&) const;
  void backward(Ctx&, Input const&, Images d_out, Saved const&) const;
  void evaluate(Ctx&, Input const&, Images out, Evaluation const&) const;
};
static_assert(require_backbone<Mine>());
