// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <dashi/diffusion/objective.hpp>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <numbers>
#include <type_traits>

#include "objective_problem.hpp"

namespace objective_test {

namespace {

using namespace dashi::diffusion;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using dashi::BFloat16;
using dashi::Index;
using dashi::kernels::AccumulatorOf;
using dashi::test::ObjectiveProblem;
using dashi::test::roundoff;

/// The loss of one sample from the definitions, with x_t, both means and both variances.
class Reference {
public:
  Reference(Process const& process, Index step) : process_(process), step_(step) {}

  double bits(double x0, double noise, double predicted, double v) const {
    double const abar = process_.alpha_cumprod(step_);
    double const x_t = std::sqrt(abar) * x0 + std::sqrt(1 - abar) * noise;
    double const predicted_x0 = (x_t - std::sqrt(1 - abar) * predicted) / std::sqrt(abar);
    double const log_q = process_.at(Coefficient::posterior_log_variance_clipped, step_);
    double const fraction = (v + 1) / 2;
    double const log_p = fraction * std::log(process_.beta(step_)) + (1 - fraction) * log_q;
    double const difference = mean(x0, x_t) - mean(predicted_x0, x_t);
    double const nats = step_ == 0 ? decoder(x0, mean(predicted_x0, x_t), log_p)
                                   : 0.5 * (log_p - log_q - 1 + std::exp(log_q - log_p) +
                                            difference * difference * std::exp(-log_p));
    return nats / std::numbers::ln2;
  }

private:
  double mean(double x0, double x_t) const {
    return process_.at(Coefficient::posterior_mean_x0, step_) * x0 +
           process_.at(Coefficient::posterior_mean_xt, step_) * x_t;
  }
  static double cdf(double z) {
    return 0.5 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
  }
  static double decoder(double x0, double mean, double log_variance) {
    double const deviation = std::exp(0.5 * log_variance);
    double const to = x0 > 0.999 ? 1 : cdf((x0 - mean + 1.0 / 255) / deviation);
    double const from = x0 < -0.999 ? 0 : cdf((x0 - mean - 1.0 / 255) / deviation);
    return -std::log(std::max(to - from, 1e-12));
  }

  Process const& process_;
  Index step_;
};

template <class T, class X, class Exec, class Launch>
void check_losses(Process const& process, ObjectiveOptions const& options,
                  ObjectiveProblem<T, X, Exec> p, Launch const& launch) {
  launch(p);
  Kokkos::fence();
  p.download();
  double const u = roundoff<std::common_type_t<AccumulatorOf<T>, AccumulatorOf<X>>>();
  double const growth = 100;  // sums of up to 64 terms, an exponential and a cancellation
  double const table = 1e4 * roundoff<double>();  // 1 - abar of step 0 is 1e-4
  for (Index n = 0; n < p.samples; ++n) {
    Index const step = p.steps[static_cast<std::size_t>(n)];
    INFO("sample " << n << ", step " << step);
    Reference const reference(process, step);
    double squares = 0;
    double bits = 0;
    double largest = 0;
    for (Index i = 0; i < p.size; ++i) {
      double const error = p.output(n, i) - p.noise(n, i);
      squares += error * error;
      largest = std::max(largest, std::abs(error));
      if (p.learned_range) {
        bits += reference.bits(p.x0(n, i), p.noise(n, i), p.output(n, i), p.output(n, p.size + i));
      }
    }
    auto const size = static_cast<double>(p.size);
    double const weight = options.weighting.at(process.snr(step));
    CHECK(std::abs(p.losses(1, n) - squares / size) <= growth * u * squares / size);
    CHECK(std::abs(p.losses(2, n) - bits / size) <= (growth * u + table) * (1 + bits / size));
    CHECK_THAT(p.losses(0, n), WithinRel(weight * p.losses(1, n) + p.losses(2, n), 1e-14));
    double worst = 0;
    double const scale = p.weights[static_cast<std::size_t>(n)] * weight * 2 / size;
    for (Index i = 0; i < p.size; ++i) {
      double const slope = scale * (p.output(n, i) - p.noise(n, i));
      worst = std::max(worst, std::abs(p.gradient(n, i) - slope));
    }
    CHECK(worst <= (2 * roundoff<T>() + 4 * u) * scale * largest);
  }
}

template <class T, class X, class Exec>
void check_losses_everywhere(std::vector<std::int64_t> const& steps, Index size,
                             ObjectiveOptions const& options, Index gap) {
  Process const process;
  dashi::Context<Exec> ctx;
  using Problem = ObjectiveProblem<T, X, Exec>;
  check_losses(process, options, Problem{size, options.learned_range, gap, steps},
               [&](Problem const& p) {
                 denoising_loss(ctx, process, options, p.output.view(), p.x0.view(), p.noise.view(),
                                p.t, p.weight, p.results(), p.gradient.all());
               });
  check_losses(process, options, Problem{size, options.learned_range, gap, steps},
               [&](Problem const& p) {
                 detail::objective_by_teams(
                     ctx.exec(),
                     detail::ObjectiveArguments<T, X>{
                         process.view<Exec>(), p.t.data(), options.weighting, options.learned_range,
                         p.output.input(), p.noise.input(), p.x0.input(), p.weight.data(),
                         p.row(0).data(), p.row(1).data(), p.row(2).data(), p.gradient.all()});
               });
}

/// Central differences of sum weight loss in one output, for every output given.
template <class Exec>
void check_slopes(ObjectiveOptions const& options, Index first, Index last) {
  Process const process;
  dashi::Context<Exec> ctx;
  ObjectiveProblem<double, double, Exec> p{5, options.learned_range, 0, {0, 1, 300, 999}};
  auto const launch = [&] {
    denoising_loss(ctx, process, options, p.output.view(), p.x0.view(), p.noise.view(), p.t,
                   p.weight, p.results(), p.gradient.all());
    ctx.fence();
    p.download();
  };
  launch();
  auto const expected = p.gradient.values();
  for (Index n = 0; n < p.samples; ++n) {
    for (Index i = first; i < last; ++i) {
      INFO("sample " << n << ", output " << i);
      double const h = 1e-5;
      double const at = p.output(n, i);
      double value[2];
      for (int side = 0; side < 2; ++side) {
        p.output.set(n, i, at + (side == 0 ? -h : h));
        p.output.upload();
        launch();
        value[side] = p.weights[static_cast<std::size_t>(n)] * p.losses(0, n);
      }
      p.output.set(n, i, at);
      p.output.upload();
      double const slope = (value[1] - value[0]) / (2 * h);
      // The second-order error of the difference and the rounding of the loss over h.
      CHECK(std::abs(slope - expected[static_cast<std::size_t>(n * p.cols + i)]) <= 1e-8);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("losses are those of the definitions", "[objective]",
                   DASHI_TEST_SCALARS(Kokkos::DefaultExecutionSpace, Kokkos::Serial)) {
  ObjectiveOptions const plain;
  check_losses_everywhere<float, float, TestType>({0, 1, 2, 500, 999, 0}, 133, plain, 3);
#if !defined(DASHI_TEST_ONE_SCALAR)
  check_losses_everywhere<double, double, TestType>({0, 1, 2, 500, 998, 999}, 133, plain, 0);
  check_losses_everywhere<BFloat16, float, TestType>({0, 7, 999}, 64, plain, 1);
  check_losses_everywhere<BFloat16, BFloat16, TestType>({3, 700}, 1, plain, 0);
  check_losses_everywhere<double, double, TestType>({0, 20, 600, 999}, 33,
                                                    {false, Weighting::plain()}, 2);
  for (auto const weighting :
       {Weighting::min_snr(), Weighting::clipped_snr(), Weighting::p2(1, 0.5)}) {
    check_losses_everywhere<double, double, TestType>({0, 20, 600, 999}, 33, {true, weighting}, 0);
  }
#endif
  check_losses_everywhere<float, float, TestType>({}, 4, plain, 0);
}

TEST_CASE("large images keep their digits", "[objective]") {
  check_losses_everywhere<float, float, Kokkos::DefaultExecutionSpace>({40, 0}, 3 * 64 * 64 + 5, {},
                                                                       0);
}

TEST_CASE("gradients are the slopes of the loss", "[objective]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  check_slopes<Exec>({false, Weighting::plain()}, 0, 5);
  check_slopes<Exec>({false, Weighting::min_snr()}, 0, 5);
  check_slopes<Exec>({true, Weighting::p2()}, 5, 10);  // v; the noise does not feel the bound
}

TEST_CASE("weightings follow the signal-to-noise ratio", "[objective]") {
  CHECK(Weighting::plain().at(7) == 1);
  CHECK(Weighting::min_snr(5).at(20) == 0.25);
  CHECK(Weighting::min_snr(5).at(0.1) == 1);
  CHECK(Weighting::clipped_snr(5).at(20) == 5);
  CHECK(Weighting::clipped_snr(5).at(0.1) == 0.1);
  CHECK_THAT(Weighting::p2(1, 0.5).at(3), WithinRel(0.5, 1e-15));
  CHECK_THROWS_AS(Weighting::min_snr(0), dashi::PreconditionError);
}

TEST_CASE("rounding the network's input to 16 bits does not move the bound", "[objective]") {
  // The predicted noise is exact, so that at v = -1 the divergence of step 1 is 0.
  using Exec = Kokkos::DefaultExecutionSpace;
  ObjectiveProblem<BFloat16, BFloat16, Exec> p{64, true, 0, {1}};
  for (Index i = 0; i < p.size; ++i) {
    p.output.set(0, i, p.noise(0, i));
    p.output.set(0, p.size + i, -1);
  }
  p.output.upload();
  dashi::Context<Exec> ctx;
  denoising_loss(ctx, Process(), {}, p.output.view(), p.x0.view(), p.noise.view(), p.t, p.weight,
                 p.results(), p.gradient.all());
  ctx.fence();
  p.download();
  CHECK(p.losses(0, 0) == 0);
}

TEST_CASE("a step that the process lacks gives NaN in its sample only", "[objective]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  ObjectiveProblem<float, float, Exec> p{6, true, 0, {-1, 3, 1000}};
  dashi::Context<Exec> ctx;
  denoising_loss(ctx, Process(), {}, p.output.view(), p.x0.view(), p.noise.view(), p.t, p.weight,
                 p.results(), p.gradient.all());
  ctx.fence();
  p.download();
  CHECK(std::isnan(p.losses(0, 0)));
  CHECK(std::isfinite(p.losses(0, 1)));
  CHECK(std::isnan(p.losses(0, 2)));
  CHECK(std::isnan(p.gradient(0, 0)));
  CHECK(std::isnan(p.gradient(0, 11)));
  CHECK(std::isfinite(p.gradient(1, 11)));
}

TEST_CASE("losses without gradient need no weights", "[objective]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  ObjectiveProblem<float, float, Exec> p{6, true, 0, {4, 0}};
  dashi::Context<Exec> ctx;
  denoising_loss(ctx, Process(), {}, p.output.view(), p.x0.view(), p.noise.view(), p.t, {},
                 p.results(), {});
  ctx.fence();
  p.losses.download();
  double const loss = p.losses(0, 1);
  denoising_loss(ctx, Process(), {}, p.output.view(), p.x0.view(), p.noise.view(), p.t, p.weight,
                 p.results(), p.gradient.all());
  ctx.fence();
  p.losses.download();
  CHECK(p.losses(0, 1) == loss);
  CHECK(loss > 0);
}

TEST_CASE("distillation compares the whole outputs", "[objective]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  ObjectiveProblem<float, float, Exec> p{10, true, 2, {1, 2, 3}};
  auto const teacher = dashi::test::Grid<float, Exec>::random(3, 20, 9);
  dashi::Context<Exec> ctx;
  distillation_loss(ctx, p.output.view(), teacher.view(), p.weight, p.row(0), p.gradient.all());
  ctx.fence();
  p.download();
  for (Index n = 0; n < 3; ++n) {
    double squares = 0;
    for (Index i = 0; i < 20; ++i) {
      double const error = p.output(n, i) - teacher(n, i);
      squares += error * error;
      CHECK(std::abs(p.gradient(n, i) - p.weights[static_cast<std::size_t>(n)] * 0.1 * error) <=
            8 * roundoff<float>());
    }
    CHECK_THAT(p.losses(0, n), WithinRel(squares / 20, 20 * roundoff<float>()));
  }
}

TEST_CASE("objectives refuse arrays that do not fit", "[objective]") {
  using Exec = Kokkos::DefaultExecutionSpace;
  ObjectiveProblem<float, float, Exec> p{6, false, 0, {4, 0}};
  dashi::Context<Exec> ctx;
  auto const launch = [&](ObjectiveOptions const& options, auto const& weights) {
    denoising_loss(ctx, Process(), options, p.output.view(), p.x0.view(), p.noise.view(), p.t,
                   weights, p.results(), p.gradient.all());
  };
  CHECK_THROWS_MATCHES(launch({}, p.weight), dashi::PreconditionError,
                       MessageMatches(ContainsSubstring(
                           "model_output of denoising_loss is 2 x 6, expected 2 x 12")));
  CHECK_THROWS_MATCHES(launch({false, {}}, dashi::VectorOf<double const, Exec>()),
                       dashi::PreconditionError,
                       MessageMatches(ContainsSubstring("sample_weight of denoising_loss")));
}

}  // namespace objective_test
