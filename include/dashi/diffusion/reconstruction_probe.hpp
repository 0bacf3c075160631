// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/arena.hpp>
#include <dashi/core/context.hpp>
#include <dashi/core/random_purpose.hpp>
#include <dashi/diffusion/denoiser.hpp>
#include <dashi/diffusion/noise.hpp>
#include <dashi/diffusion/objective.hpp>
#include <dashi/diffusion/process.hpp>
#include <dashi/diffusion/q_sample.hpp>
#include <dashi/kernels/accumulator.hpp>

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace dashi::diffusion {

/// One point of a curve of loss by step.
struct ProbePoint {
  Index step = 0;
  double mse = 0;  ///< mean over the samples of the mean squared error of the predicted noise
  double vb = 0;   ///< mean variational term in bits per dimension, 0 without a learned variance
};

/// Arrays of a probe for a network of storage type T, in an arena (see SampleWorkspace).
template <class T, class Exec>
struct ProbeWorkspace {
  using Real = kernels::AccumulatorOf<T>;

  ProbeWorkspace(Arena& arena, Index samples, Index size, bool learned)
      : noise(arena.matrix<Real, Exec>(samples, size)),
        x_t(arena.matrix<T, Exec>(samples, size)),
        output(arena.matrix<T, Exec>(samples, (learned ? 2 : 1) * size)),
        step(arena.vector<std::int64_t, Exec>(samples)),
        numbers(arena.vector<std::int64_t, Exec>(samples)),
        t(arena.vector<double, Exec>(samples)),
        loss(arena.vector<double, Exec>(samples)),
        mse(arena.vector<double, Exec>(samples)),
        vb(arena.vector<double, Exec>(samples)) {}

  MatrixOf<Real, Exec> noise;
  MatrixOf<T, Exec> x_t;
  MatrixOf<T, Exec> output;
  VectorOf<std::int64_t, Exec> step;
  VectorOf<std::int64_t, Exec> numbers;  ///< of the samples
  VectorOf<double, Exec> t, loss, mse, vb;
};

/// Loss by step on given images with fixed noise: the chain of forgetting of Diff-Tuning (arXiv
/// 2406.00773, figure 1) is this curve of a pre-trained network next to that of a fine-tuned one,
/// on old and on new data. Images come in batches; how they are cut changes no noise, which is
/// Philox(seed, {evaluation, step, number of the image}).normal<float>(i).
class ReconstructionProbe {
public:
  /// 20, 60, ... 980: every fortieth of a thousand steps.
  static std::vector<Index> usual_steps() {
    std::vector<Index> steps;
    for (Index step = 20; step < 1000; step += 40) {
      steps.push_back(step);
    }
    return steps;
  }

  explicit ReconstructionProbe(std::uint64_t seed = 0, std::vector<Index> steps = usual_steps())
      : seed_(seed) {
    for (Index const step : steps) {
      sums_.push_back({step, 0.0, 0.0});
    }
  }

  /// Adds images x0 [samples, size] of type Real with their labels [samples]; they have the numbers
  /// `numbers` [samples], each in [0, 2^32). Calls the denoiser once for each step of the grid;
  /// fences.
  template <class T, class Exec, class Provider, class Net>
  void add(Context<Exec, Provider>& ctx, Net&& denoiser, Process const& process,
           MatrixOf<typename ProbeWorkspace<T, Exec>::Real const, Exec> x0,
           VectorOf<std::int64_t const, Exec> labels, std::span<std::int64_t const> numbers,
           ProbeWorkspace<T, Exec> const& workspace) {
    static_assert(require_denoiser<Net, T, Exec, Provider>());
    ObjectiveOptions const options{workspace.output.extent(1) == 2 * workspace.noise.extent(1), {}};
    kernels::detail::expect_size(workspace.numbers.extent(0), "numbers of the probe's images",
                                 static_cast<Index>(numbers.size()));
    Kokkos::View<std::int64_t const*, Kokkos::HostSpace,
                 Kokkos::MemoryTraits<Kokkos::Unmanaged>> const host(numbers.data(),
                                                                     numbers.size());
    Kokkos::deep_copy(workspace.numbers, host);
    for (ProbePoint& sum : sums_) {
      RandomPlace const place{random_purpose::evaluation, static_cast<std::uint64_t>(sum.step), 0};
      fill_noise(ctx, seed_, place, VectorOf<std::int64_t const, Exec>(workspace.numbers),
                 workspace.noise);
      Kokkos::deep_copy(ctx.exec(), workspace.step, sum.step);
      Kokkos::deep_copy(ctx.exec(), workspace.t, static_cast<double>(process.timestep(sum.step)));
      q_sample(ctx, process, x0, workspace.step, workspace.noise, workspace.x_t);
      denoiser(ctx, MatrixOf<T const, Exec>(workspace.x_t),
               VectorOf<double const, Exec>(workspace.t), labels, workspace.output);
      denoising_loss(ctx, process, options, workspace.output, x0, workspace.noise, workspace.step,
                     {}, {workspace.loss, workspace.mse, workspace.vb}, {});
      add_to(sum.mse, ctx, workspace.mse);
      add_to(sum.vb, ctx, workspace.vb);
    }
    samples_ += static_cast<Index>(x0.extent(0));
  }

  Index samples() const noexcept { return samples_; }

  /// Means over all samples added, at least one, in the order of the grid.
  std::vector<ProbePoint> points() const {
    DASHI_EXPECTS(samples_ > 0, "a probe needs samples");
    std::vector<ProbePoint> result = sums_;
    for (ProbePoint& point : result) {
      point.mse /= static_cast<double>(samples_);
      point.vb /= static_cast<double>(samples_);
    }
    return result;
  }

private:
  /// In the order of the samples: the cut into batches changes no bit.
  template <class Exec, class Provider>
  static void add_to(double& sum, Context<Exec, Provider>& ctx, VectorOf<double, Exec> values) {
    ctx.fence("dashi::diffusion::ReconstructionProbe");
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), values);
    for (std::size_t n = 0; n < host.extent(0); ++n) {
      sum += host(n);
    }
  }

  std::uint64_t seed_;
  std::vector<ProbePoint> sums_;
  Index samples_ = 0;
};

}  // namespace dashi::diffusion
