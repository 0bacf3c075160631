// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/diffusion/backbone_denoiser.hpp>
#include <dashi/diffusion/denoiser.hpp>

#include <catch2/catch_test_macros.hpp>

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <vector>

#include "support/device_copy.hpp"

// Named, because nvcc warns of what is unused in an unnamed one.
namespace backbone_denoiser_test {

using dashi::Index;
using Exec = Kokkos::DefaultExecutionSpace;
using P = dashi::precision::Float32;

/// out = x + 10 t + 100 label + what the evaluation memory holds.
struct AffineNet {
  using precision = P;
  using execution_space = Exec;
  struct Saved {};
  struct Evaluation {
    dashi::VectorOf<float, Exec> shift;
  };
  using Input = dashi::diffusion::DenoiserInput<P, Exec>;

  dashi::diffusion::BackboneShape shape() const { return {1, 1, 1, 3, 4}; }
  Saved saved(dashi::Arena&, Index) const { return {}; }
  Evaluation evaluation(dashi::Arena& arena, Index) const { return {arena.vector<float, Exec>(1)}; }
  std::size_t scratch_bytes(dashi::Context<Exec> const&, Index) const { return 0; }
  void forward(dashi::Context<Exec>&, Input const&, dashi::Matrix<P, Exec>, Saved const&) const {}
  void backward(dashi::Context<Exec>&, Input const&, dashi::Matrix<P, Exec>, Saved const&) const {}
  void parameters(dashi::ParameterList<P, Exec>&) const {}

  void evaluate(dashi::Context<Exec>& ctx, Input const& input, dashi::Matrix<P, Exec> out,
                Evaluation const& evaluation) const {
    auto const x = input.x;
    auto const t = input.timesteps;
    auto const labels = input.labels.classes;
    auto const shift = evaluation.shift;
    Kokkos::parallel_for(
        "affine", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, x.extent(0)),
        KOKKOS_LAMBDA(std::size_t n) {
          for (std::size_t i = 0; i < x.extent(1); ++i) {
            out(n, i) = x(n, i) + 10 * static_cast<float>(t(n)) +
                        100 * static_cast<float>(labels(n)) + shift(0);
          }
        });
  }
};

TEST_CASE("a backbone answers as a denoiser with its own memory") {
  static_assert(dashi::diffusion::require_backbone<AffineNet>());
  static_assert(
      dashi::diffusion::require_denoiser<dashi::diffusion::BackboneDenoiser<AffineNet>, float>());
  dashi::Context<Exec> ctx;
  AffineNet const net;
  Kokkos::View<float[1], Exec> const shift("shift");
  Kokkos::deep_copy(shift, 0.5F);
  dashi::diffusion::BackboneDenoiser<AffineNet> const denoiser(
      net, {dashi::VectorOf<float, Exec>(shift.data(), 1)});
  Kokkos::View<float**, Kokkos::LayoutRight, Exec> const x("x", 2, 3), out("out", 2, 3);
  Kokkos::View<double[2], Exec> const t("t");
  Kokkos::deep_copy(x, 1.0F);
  Kokkos::deep_copy(t, 2.0);
  auto const labels = dashi::test::device_copy<Exec>(std::vector<std::int64_t>{0, 3});
  denoiser(ctx, dashi::MatrixOf<float const, Exec>(x), dashi::VectorOf<double const, Exec>(t),
           labels, dashi::MatrixOf<float, Exec>(out));
  ctx.fence();
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), out);
  auto const input = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(host(0, i) == 21.5F);
    CHECK(host(1, i) == 321.5F);
    CHECK(input(1, i) == 1.0F);
  }
}

}  // namespace backbone_denoiser_test
