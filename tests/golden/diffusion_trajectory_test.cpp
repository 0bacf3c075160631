// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "support/golden_arrays.hpp"
#include "unit/kernels_blocks/grid.hpp"

#include <dashi/diffusion/ddim.hpp>
#include <dashi/diffusion/ddpm.hpp>
#include <dashi/diffusion/sample.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cstddef>
#include <string>
#include <vector>

// Sampling steps and whole trajectories of the original code: ../shared/golden/diffusion_terms_*
// and diffusion_traj_*.

using dashi::Index;
using namespace dashi::diffusion;
using dashi::test::difference_to_largest;
using dashi::test::GoldenArrays;
using dashi::test::Grid;
using Exec = Kokkos::DefaultExecutionSpace;

namespace {

/// Part `index` of `count` equal parts.
std::vector<double> part(std::vector<double> const& values, Index index, Index count) {
  auto const size = static_cast<Index>(values.size()) / count;
  return {values.begin() + index * size, values.begin() + (index + 1) * size};
}

template <class T>
void write(std::vector<double> const& values, dashi::MatrixOf<T, Exec> const& to) {
  auto const host = Kokkos::create_mirror_view(to);
  for (std::size_t i = 0; i < values.size(); ++i) {
    host.data()[i] = static_cast<T>(values[i]);
  }
  Kokkos::deep_copy(to, host);
}

template <class View>
std::vector<double> read(View const& view) {
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), view);
  return {host.data(), host.data() + host.size()};
}

template <class Sampler>
struct OneStep {
  Process const& process;
  Sampler const& sampler;
  Index step;

  /// x of the step before and the predicted x_0.
  template <class T>
  std::vector<std::vector<double>> run(std::vector<double> const& x_t,
                                       std::vector<double> const& output,
                                       std::vector<double> const& noise) const {
    auto const size = static_cast<Index>(x_t.size());
    Grid<T, Exec> x(1, size);
    Grid<T, Exec> x0(1, size);
    Grid<T, Exec> out(1, 2 * size);
    Grid<T, Exec> z(1, size);
    write<T>(x_t, x.view());
    write<T>(output, out.view());
    write<T>(noise, z.view());
    dashi::Context<Exec> ctx;
    sampler.step(ctx,
                 SamplerStep<T, Exec>{process, step, out.view(), z.view(), x.view(), x0.view()});
    ctx.fence();
    return {read(x.view()), read(x0.view())};
  }
};

template <class T, class Sampler>
std::vector<double> all_steps(GoldenArrays const& golden, Process const& process,
                              Sampler const& sampler, bool noisy, std::size_t which) {
  auto const t = golden.integers("t");
  auto const count = static_cast<Index>(t.size());
  std::vector<double> result;
  for (Index n = 0; n < count; ++n) {
    auto noise = part(golden("sample_noise"), n, count);
    if (!noisy) {
      noise.assign(noise.size(), 0.0);
    }
    OneStep<Sampler> const one{process, sampler, t[static_cast<std::size_t>(n)]};
    auto const values = one.template run<T>(part(golden("f64.x_t"), n, count),
                                            part(golden("model_output"), n, count), noise)[which];
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

template <class T>
void check_steps(std::string const& folder, char const* spacing, bool clip, double tolerance,
                 double x0_tolerance) {
  GoldenArrays const golden(folder + "/terms.safetensors");
  Process const process = Process().respaced(Spacing(spacing));
  std::string const kind = clip ? "clip" : "noclip";
  INFO(folder << " " << kind);
  Ddpm const ddpm{.clip = clip};
  CHECK(difference_to_largest(all_steps<T>(golden, process, ddpm, false, 0),
                              golden("f64.p_" + kind + ".mean")) <= tolerance);
  CHECK(difference_to_largest(all_steps<T>(golden, process, ddpm, true, 0),
                              golden("f64.p_" + kind + ".sample")) <= tolerance);
  CHECK(difference_to_largest(all_steps<T>(golden, process, ddpm, true, 1),
                              golden("f64.p_" + kind + ".pred_xstart")) <= x0_tolerance);
  CHECK(difference_to_largest(all_steps<T>(golden, process, Ddim{.clip = clip}, true, 0),
                              golden("f64.ddim_" + kind + ".eta0.sample")) <= tolerance);
  Ddim const half{.eta = 0.5, .clip = clip};
  CHECK(difference_to_largest(all_steps<T>(golden, process, half, true, 0),
                              golden("f64.ddim_" + kind + ".eta05.sample")) <= tolerance);
}

/// The noise of a recorded run: step k of it is the k-th that the sampler takes.
struct RecordedNoise {
  GoldenArrays const& golden;
  Index steps;

  template <class Context, class Out>
  void initial(Context&, Out const& out) const {
    write(golden("x_T"), out);
  }
  template <class Context, class Out>
  void at_step(Context&, Index step, Out const& out) const {
    write(part(golden("step_noise"), steps - 1 - step, steps), out);
  }
};

/// eps = 0.9 tanh(x) + 0.1 cos(0.01 t + channel), v = tanh(0.5 x - 0.2).
struct AnalyticNet {
  Index pixels;

  template <class T>
  void operator()(dashi::Context<Exec>& ctx, dashi::MatrixOf<T const, Exec> x,
                  dashi::VectorOf<double const, Exec> t, dashi::VectorOf<std::int64_t const, Exec>,
                  dashi::MatrixOf<T, Exec> out) const {
    auto const size = static_cast<Index>(x.extent(1));
    Index const width = pixels;
    Kokkos::parallel_for(
        "analytic net",
        Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(ctx.exec(), 0,
                                                            static_cast<Index>(x.extent(0)) * size),
        KOKKOS_LAMBDA(Index task) {
          Index const n = task / size;
          Index const i = task - n * size;
          double const value = x(n, i);
          double const angle = 0.01 * t(n) + static_cast<double>(i / width);
          out(n, i) = static_cast<T>(0.9 * Kokkos::tanh(value) + 0.1 * Kokkos::cos(angle));
          out(n, size + i) = static_cast<T>(Kokkos::tanh(0.5 * value - 0.2));
        });
  }
};

/// What a recorded network returned.
struct ReplayNet {
  GoldenArrays const& golden;
  std::string name;
  Index steps;
  mutable Index taken = 0;

  template <class T>
  void operator()(dashi::Context<Exec>&, dashi::MatrixOf<T const, Exec>,
                  dashi::VectorOf<double const, Exec> t, dashi::VectorOf<std::int64_t const, Exec>,
                  dashi::MatrixOf<T, Exec> out) const {
    auto const told = read(t);
    CHECK(told.front() == golden(name + ".model_t")[static_cast<std::size_t>(taken)]);
    write(part(golden("f64." + name + ".model_outputs"), taken, steps), out);
    ++taken;
  }
};

struct Run {
  std::string folder;
  std::string spacing;
  Index samples;
  Index channels;
  Index pixels;
};

struct Trajectory {
  std::vector<double> samples;
  std::vector<double> predicted_x0;
};

template <class T, class Net, class Sampler>
Trajectory trajectory(Run const& run, GoldenArrays const& golden, Net const& net,
                      Sampler const& sampler) {
  Process const process = Process().respaced(Spacing(run.spacing));
  SampleShape const shape{run.samples, run.channels, run.pixels, true, false};
  dashi::Arena measuring;
  SampleWorkspace<T, Exec> const measured(measuring, shape);
  dashi::Context<Exec> ctx;
  ctx.reserve_scratch(measuring.peak());
  SampleWorkspace<T, Exec> const workspace(ctx.scratch(), shape);
  Kokkos::View<std::int64_t*, Exec> const labels("labels", static_cast<std::size_t>(run.samples));
  Grid<T, Exec> x(run.samples, shape.size());
  SampleRequest<Exec> request;
  request.labels = labels;
  Trajectory result;
  sample_with(ctx, net, sampler, process, request, workspace, dashi::MatrixOf<T, Exec>(x.view()),
              RecordedNoise{golden, process.steps()},
              [&](Index, auto const& x_now, auto const& x0) {
                ctx.fence();
                auto const add = [](std::vector<double>& all, std::vector<double> const& more) {
                  all.insert(all.end(), more.begin(), more.end());
                };
                add(result.samples, read(x_now));
                add(result.predicted_x0, read(x0));
              });
  return result;
}

template <class T, class Sampler>
void check_toy(Run const& run, Sampler const& sampler, std::string const& name, double tolerance,
               double replay_tolerance) {
  GoldenArrays const golden(run.folder + "/trajectory.safetensors");
  Index const steps = Process().respaced(Spacing(run.spacing)).steps();
  INFO(run.folder << " " << name);
  auto const live = trajectory<T>(run, golden, AnalyticNet{run.pixels}, sampler);
  CHECK(difference_to_largest(live.samples, golden("f64." + name + ".samples")) <= tolerance);
  auto const replayed = trajectory<T>(run, golden, ReplayNet{golden, name, steps}, sampler);
  CHECK(difference_to_largest(replayed.samples, golden("f64." + name + ".samples")) <=
        replay_tolerance);
  CHECK(difference_to_largest(replayed.predicted_x0, golden("f64." + name + ".pred_xstart")) <=
        replay_tolerance);
}

}  // namespace

TEST_CASE("golden: one step of every sampler", "[diffusion]") {
  for (bool const clip : {false, true}) {
    check_steps<double>("diffusion_terms_full", "1000", clip, 1e-10, 1e-10);
    check_steps<double>("diffusion_terms_respaced50", "50", clip, 1e-10, 1e-10);
    // The predicted x_0 and DDIM follow an ulp of x_t times up to 157: 5 times what was measured of
    // the reference is still below the tolerance of one step, except clipped (5.4e-6 times 5).
    check_steps<float>("diffusion_terms_full", "1000", clip, 2e-5, clip ? 2.7e-5 : 2e-5);
    check_steps<float>("diffusion_terms_respaced50", "50", clip, 2e-5, 2e-5);
  }
}

TEST_CASE("golden: trajectories of an analytic network", "[diffusion]") {
  Run const toy{"diffusion_traj_toy", "10", 2, 4, 16};
  check_toy<double>(toy, Ddpm{.steps = 10}, "p_sample", 1e-9, 1e-9);
  check_toy<double>(toy, Ddim{.steps = 10}, "ddim_eta0", 1e-9, 1e-9);
  check_toy<double>(toy, Ddim{.steps = 10, .eta = 1}, "ddim_eta1", 1e-9, 1e-9);
  // In float 5 times what the reference lost, case.json.
  check_toy<float>(toy, Ddpm{.steps = 10}, "p_sample", 5 * 1.8e-7, 1e-5);
  check_toy<float>(toy, Ddim{.steps = 10}, "ddim_eta0", 5 * 4.9e-7, 1e-5);
  check_toy<float>(toy, Ddim{.steps = 10, .eta = 1}, "ddim_eta1", 5 * 5.1e-7, 1e-5);
}

TEST_CASE("golden: clipped trajectories of an analytic network", "[diffusion]") {
  Run const toy{"diffusion_traj_toy_clip", "ddim25", 1, 3, 16};
  check_toy<double>(toy, Ddpm{.steps = 25, .clip = true}, "p_sample", 1e-9, 1e-9);
  check_toy<double>(toy, Ddim{.steps = 25, .clip = true}, "ddim_eta0", 1e-9, 1e-9);
  check_toy<double>(toy, Ddim{.steps = 25, .eta = 1, .clip = true}, "ddim_eta1", 1e-9, 1e-9);
  check_toy<float>(toy, Ddpm{.steps = 25, .clip = true}, "p_sample", 5 * 1.6e-7, 1e-5);
  check_toy<float>(toy, Ddim{.steps = 25, .clip = true}, "ddim_eta0", 5 * 1.1e-6, 1e-5);
  check_toy<float>(toy, Ddim{.steps = 25, .eta = 1, .clip = true}, "ddim_eta1", 5 * 2.1e-6, 1e-5);
}

TEST_CASE("golden: the trajectory of a DiT from its recorded outputs", "[diffusion]") {
  Run const run{"diffusion_traj_dit", "4", 2, 4, 256};
  GoldenArrays const golden(run.folder + "/trajectory.safetensors");
  auto const expected = golden("f64.p_sample.samples");
  CHECK(difference_to_largest(
            trajectory<double>(run, golden, ReplayNet{golden, "p_sample", 4}, Ddpm{.steps = 4})
                .samples,
            expected) <= 1e-9);
  CHECK(difference_to_largest(
            trajectory<float>(run, golden, ReplayNet{golden, "p_sample", 4}, Ddpm{.steps = 4})
                .samples,
            expected) <= 1e-5);
}
