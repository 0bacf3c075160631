// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/diffusion/ddim.hpp>
#include <dashi/diffusion/ddpm.hpp>
#include <dashi/diffusion/sample.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/device_copy.hpp"
#include "support/test_scalars.hpp"
#include "unit/kernels_blocks/grid.hpp"

namespace sampler_test {

namespace {

using namespace dashi::diffusion;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using dashi::BFloat16;
using dashi::Index;
using dashi::kernels::AccumulatorOf;
using dashi::test::device_copy;
using dashi::test::Grid;
using dashi::test::roundoff;

/// Exactly what the concept asks for: x of the step before is the predicted noise.
struct SamplerArchetype {
  explicit SamplerArchetype(int) {}
  SamplerArchetype(SamplerArchetype const&) = delete;
  SamplerArchetype& operator=(SamplerArchetype const&) = delete;
  Spacing spacing() const { return Spacing("3"); }
  bool draws_noise() const { return false; }
  template <class Real, class Exec, class Provider>
  void step(dashi::Context<Exec, Provider>& ctx, SamplerStep<Real, Exec> const& s) const {
    dashi::kernels::Rows<Real const> const output = s.output;
    dashi::kernels::Rows<Real> const x = s.x;
    Kokkos::parallel_for(
        "archetype", Kokkos::RangePolicy<Exec>(ctx.exec(), 0, x.rows * x.cols),
        KOKKOS_LAMBDA(Index i) {
          x.row(i / x.cols)[i % x.cols] = output.row(i / x.cols)[i % x.cols];
        });
  }
};

static_assert(Sampler<SamplerArchetype> && require_sampler<SamplerArchetype, double>());
static_assert(Sampler<Ddpm> && Sampler<Ddim> && Sampler<Ddpm, double> && Sampler<Ddim, double>);
static_assert(!Sampler<int>);

/// noise = x / 2 + label + t / 1000; v = label / 10.
struct LabelNet {
  template <class T, class Exec, class Provider>
  void operator()(dashi::Context<Exec, Provider>& ctx, dashi::MatrixOf<T const, Exec> x,
                  dashi::VectorOf<double const, Exec> t,
                  dashi::VectorOf<std::int64_t const, Exec> labels,
                  dashi::MatrixOf<T, Exec> out) const {
    auto const size = static_cast<Index>(x.extent(1));
    bool const learned = out.extent(1) > x.extent(1);
    Kokkos::parallel_for(
        "label net",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                            static_cast<Index>(x.extent(0)) * size),
        KOKKOS_LAMBDA(Index task) {
          Index const n = task / size;
          Index const i = task - n * size;
          auto const label = static_cast<double>(labels(n));
          out(n, i) =
              dashi::convert<T>(0.5 * dashi::convert<double>(x(n, i)) + label + t(n) / 1000.0);
          if (learned) {
            out(n, size + i) = dashi::convert<T>(0.1 * label);
          }
        });
  }
};

template <class T, class Exec>
struct Run {
  using Real = AccumulatorOf<T>;
  SampleShape shape{3, 4, 5, true, false};
  std::vector<std::int64_t> labels{2, 0, 1};
  Guidance guidance{};
  std::uint32_t first_sample = 0;
  std::uint64_t seed = 77;
  std::vector<Index> steps{};
  bool respaced = true;

  template <class S>
  std::vector<double> with(S const& sampler) {
    dashi::Context<Exec> ctx;
    return with(sampler, ctx);
  }
  template <class S, class Provider>
  std::vector<double> with(S const& sampler, dashi::Context<Exec, Provider>& ctx) {
    Process const process = respaced ? Process().respaced(sampler.spacing()) : Process();
    dashi::Arena measuring;
    SampleWorkspace<T, Exec> const measured(measuring, shape);
    ctx.reserve_scratch(measuring.peak());
    SampleWorkspace<T, Exec> const workspace(ctx.scratch(), shape);
    CHECK(ctx.scratch().used() == measuring.peak());
    auto const device_labels = device_copy<Exec>(labels);
    Grid<Real, Exec> x(shape.samples, shape.size());
    SampleRequest<Exec> const request{device_labels, 9, guidance, seed, first_sample};
    steps.clear();
    sample<T>(ctx, LabelNet{}, sampler, process, request, workspace,
              dashi::MatrixOf<Real, Exec>(x.view()),
              [&](Index step, auto const& x_now, auto const& x0) {
                CHECK(x_now.extent(1) == x0.extent(1));
                steps.push_back(step);
              });
    ctx.fence();
    x.download();
    return x.values();
  }
};

double noise(std::uint16_t purpose, Index step, Index sample, Index i) {
  dashi::Philox const random(
      77, {purpose, static_cast<std::uint64_t>(step), static_cast<std::uint32_t>(sample)});
  return random.normal<float>(static_cast<std::uint64_t>(i));
}

/// One sample of LabelNet by Ddpm with guidance, from the equations.
std::vector<double> reference(Process const& p, double label, double null_label, double scale,
                              Index guided, Index sample, Index size, double v_factor) {
  std::vector<double> x;
  for (Index i = 0; i < size; ++i) {
    x.push_back(noise(dashi::random_purpose::start_noise, 0, sample, i));
  }
  for (Index step = p.steps() - 1; step >= 0; --step) {
    for (Index i = 0; i < size; ++i) {
      double& x_t = x[static_cast<std::size_t>(i)];
      double const shared = 0.5 * x_t + static_cast<double>(p.timestep(step)) / 1000;
      double const eps = shared + (i < guided ? null_label + scale * (label - null_label) : label);
      double const abar = p.alpha_cumprod(step);
      double const x0 = (x_t - std::sqrt(1 - abar) * eps) / std::sqrt(abar);
      double const low = p.at(Coefficient::posterior_log_variance_clipped, step);
      double const high = std::log(p.beta(step));
      double const log_variance = low + 0.5 * (v_factor * label + 1) * (high - low);
      x_t = p.at(Coefficient::posterior_mean_x0, step) * x0 +
            p.at(Coefficient::posterior_mean_xt, step) * x_t;
      if (step > 0) {
        x_t += std::exp(0.5 * log_variance) *
               noise(dashi::random_purpose::sampler_noise, step, sample, i);
      }
    }
  }
  return x;
}

double relative(std::vector<double> const& actual, Index row, std::vector<double> const& expected) {
  double largest = 0;
  double difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double const a = actual[static_cast<std::size_t>(row) * expected.size() + i];
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::isnan(a) ? 1e300 : std::max(difference, std::abs(a - expected[i]));
  }
  return difference / largest;
}

template <class T, class Exec>
void check_samples(Guidance const& guidance, Index guided, double growth) {
  Run<T, Exec> run;
  run.guidance = guidance;
  run.shape.guided = guidance.on();
  run.first_sample = 4;
  auto const actual = run.with(Ddpm{.steps = 6});
  Process const process = Process().respaced(Spacing(6));
  for (Index n = 0; n < 3; ++n) {
    auto const label = static_cast<double>(run.labels[static_cast<std::size_t>(n)]);
    auto const expected =
        reference(process, label, 9, guidance.scale, guided, 4 + n, run.shape.size(), 0.1);
    CHECK(relative(actual, n, expected) <= growth * roundoff<T>());
  }
  CHECK(run.steps == std::vector<Index>{5, 4, 3, 2, 1, 0});
}

template <class Exec>
void check_guide() {
  auto const output = Grid<float, Exec>::random(4, 12, 1, 1, 3);
  dashi::Context<Exec> ctx;
  for (Index const channels : {0, 1, 2, 7}) {
    Grid<double, Exec> guided(2, 12, 1);
    guide(ctx, {1.5, channels}, 2, 3, output.view(), guided.view());
    ctx.fence();
    guided.download();
    Index const mixed = channels == 1 ? 3 : 6;
    auto const expected = [&](Index n, Index i) {
      double const without = output(n + 2, i);
      return i < mixed ? without + 1.5 * (output(n, i) - without) : output(n, i);
    };
    CHECK(dashi::test::relative_error(guided, expected, 2, 12) <= 4 * roundoff<double>());
  }
}

template <class T, class Exec>
void check_archetype() {
  Run<T, Exec> run;
  auto const values = run.with(SamplerArchetype(0));
  CHECK(run.steps == std::vector<Index>{2, 1, 0});
  for (Index n = 0; n < 3; ++n) {
    double x = noise(dashi::random_purpose::start_noise, 0, n, 3);
    for (double const t : {0.999, 0.5, 0.0}) {
      x = 0.5 * x + static_cast<double>(run.labels[static_cast<std::size_t>(n)]) + t;
    }
    CHECK(std::abs(values[static_cast<std::size_t>(20 * n + 3)] - x) <=
          16 * roundoff<T>() * std::abs(x));
  }
}

struct SampleBits {
  template <class Exec, class Provider>
  std::vector<double> run(dashi::Context<Exec, Provider>& ctx) const {
    return Run<float, Exec>{}.with(Ddpm{.steps = 8}, ctx);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("guidance mixes the first channels of the noise", "[sampler]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  check_guide<TestType>();
}

TEMPLATE_TEST_CASE("the loop follows the equations of DDPM", "[sampler]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  // The first step multiplies an ulp of x_T by 157.
  check_samples<float, TestType>({}, 0, 1000);
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_samples<double, TestType>({4.0, 3}, 15, 1e5);  // the table: 1 - abar of step 0 is 1e-4
  check_samples<double, TestType>({1.5, 0}, 20, 1e5);
  check_samples<BFloat16, TestType>({}, 0, 1000);
#endif
}

TEST_CASE("a sample is the same in any batch", "[sampler]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  Run<float, Exec> whole;
  whole.guidance = {2.0, 3};
  whole.shape.guided = true;
  auto const all = whole.with(Ddpm{.steps = 5});
  Run<float, Exec> one = whole;
  one.shape.samples = 1;
  one.labels = {whole.labels[2]};
  one.first_sample = 2;
  auto const third = one.with(Ddpm{.steps = 5});
  CHECK(third == std::vector<double>(all.begin() + 40, all.end()));
  one.seed = 78;
  CHECK(third != one.with(Ddpm{.steps = 5}));
}

TEST_CASE("fixed variances are those of the process", "[sampler]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  Process const process = Process().respaced(Spacing(10));
  dashi::Context<Exec> ctx;
  auto const deviation = [&](Ddpm const& sampler, Index step) {
    Grid<double, Exec> x(1, 1), x0(1, 1), output(1, 1), z(1, 1);
    z.set(0, 0, 1);
    z.upload();
    sampler.step(ctx, SamplerStep<double, Exec>{process, step, output.view(), z.view(), x.view(),
                                                x0.view()});
    ctx.fence();
    x.download();
    return x(0, 0);
  };
  Ddpm const small{.variance = Ddpm::Variance::fixed_small};
  Ddpm const large{.variance = Ddpm::Variance::fixed_large};
  double const rounding = 8 * roundoff<double>();
  CHECK(std::abs(deviation(small, 4) / std::sqrt(process.at(Coefficient::posterior_variance, 4)) -
                 1) <= rounding);
  CHECK(std::abs(deviation(large, 4) / std::sqrt(process.beta(4)) - 1) <= rounding);
  CHECK(deviation(small, 0) == 0);
  CHECK(deviation(large, 0) == 0);
}

TEST_CASE("a network without learned variance is sampled by DDIM and fixed DDPM", "[sampler]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  Run<float, Exec> run;
  auto const learned = run.with(Ddim{.steps = 7});
  run.shape.learned = false;
  CHECK(run.with(Ddim{.steps = 7}) == learned);
  CHECK(run.with(Ddpm{.steps = 7, .variance = Ddpm::Variance::fixed_small}).size() == 60);
  CHECK_THROWS_MATCHES(run.with(Ddpm{.steps = 7}), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("a learned variance needs twice as many")));
}

TEST_CASE("a user's sampler needs no more than the concept says", "[sampler]") {
  check_archetype<float, Kokkos::DefaultExecutionSpace>();
  check_archetype<double, Kokkos::DefaultExecutionSpace>();
}

TEST_CASE("sampling refuses what does not fit", "[sampler]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  Run<float, Exec> run;
  run.guidance = {2.0, 3};
  CHECK_THROWS_MATCHES(run.with(Ddim{.steps = 2}), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("shape.guided = guidance.on()")));
  run.guidance = {};
  run.labels = {1};
  CHECK_THROWS_MATCHES(run.with(Ddim{.steps = 2}), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("labels of sample")));
  run.respaced = false;
  run.labels = {1, 2, 3};
  CHECK_THROWS_MATCHES(run.with(Ddim{.steps = 2}), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("the process has 1000 steps, the sampler "
                                                        "visits 2")));
}

TEST_CASE("samples are the same on any number of threads", "[sampler]") {
  dashi::test::check_same_bits(SampleBits{});
}

}  // namespace sampler_test
