// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/device_copy.hpp"
#include "support/golden_arrays.hpp"
#include "unit/kernels_blocks/grid.hpp"

#include <dashi/diffusion/objective.hpp>
#include <dashi/diffusion/q_sample.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <vector>

// Losses of the original code on given model outputs: ../shared/golden/diffusion_terms_*.

using dashi::Index;
using namespace dashi::diffusion;
using dashi::test::difference_to_largest;
using dashi::test::GoldenArrays;
using Exec = Kokkos::DefaultExecutionSpace;

namespace {

struct TermsCase {
  char const* folder;
  char const* spacing;
};

template <class T>
dashi::test::Grid<T, Exec> grid(std::vector<double> const& values, Index rows) {
  Index const cols = static_cast<Index>(values.size()) / rows;
  dashi::test::Grid<T, Exec> out(rows, cols);
  for (Index i = 0; i < rows * cols; ++i) {
    out.set(i / cols, i % cols, values[static_cast<std::size_t>(i)]);
  }
  out.upload();
  return out;
}

/// Largest relative error of the elements, one by one, of `vb` and together of the rest.
struct Tolerances {
  double one_step;
  double vb;
};

template <class T>
void check_losses(TermsCase const& which, Tolerances const& allowed) {
  GoldenArrays const golden(std::string(which.folder) + "/terms.safetensors");
  Process const process = Process().respaced(Spacing(which.spacing));
  auto const steps = golden.integers("t");
  auto const samples = static_cast<Index>(steps.size());
  auto const t = dashi::test::device_copy<Exec>(steps);
  auto const weight = dashi::test::device_copy<Exec>(
      std::vector<double>(steps.size(), 1.0 / static_cast<double>(samples)));
  auto const x0 = grid<T>(golden("x0"), samples);
  auto const noise = grid<T>(golden("noise"), samples);
  auto const output = grid<T>(golden("model_output"), samples);
  dashi::test::Grid<T, Exec> x_t(samples, x0.cols());
  dashi::test::Grid<T, Exec> gradient(samples, output.cols());
  dashi::test::Grid<double, Exec> losses(3, samples);
  auto const row = [&](Index i) {
    return dashi::VectorOf<double, Exec>(losses.vector().data() + i * samples,
                                         static_cast<std::size_t>(samples));
  };

  dashi::Context<Exec> ctx;
  q_sample(ctx, process, x0.view(), t, noise.view(), x_t.view());
  denoising_loss(ctx, process, ObjectiveOptions{}, output.view(), x0.view(), noise.view(), t,
                 weight, Losses<Exec>{row(0), row(1), row(2)}, gradient.all());
  ctx.fence();
  x_t.download();
  gradient.download();
  CHECK(difference_to_largest(x_t.values(), golden("f64.x_t")) <= allowed.one_step);
  CHECK(difference_to_largest(gradient.values(), golden("f64.grad_mean_loss_wrt_model_output")) <=
        allowed.one_step);
  CHECK(dashi::test::difference_each(dashi::test::host_copy(row(1)), golden("f64.loss_mse")) <=
        allowed.one_step);
  CHECK(dashi::test::difference_each(dashi::test::host_copy(row(2)), golden("f64.loss_vb")) <=
        allowed.vb);
  CHECK(dashi::test::difference_each(dashi::test::host_copy(row(0)), golden("f64.loss_loss")) <=
        allowed.vb);
}

}  // namespace

TEST_CASE("golden: losses and their gradient on given model outputs", "[diffusion]") {
  auto const which = GENERATE(TermsCase{"diffusion_terms_full", "1000"},
                              TermsCase{"diffusion_terms_respaced50", "50"});
  INFO(which.folder);
  check_losses<double>(which, {1e-10, 1e-9});
  check_losses<float>(which, {2e-5, 1e-4});
}
