// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "sampling_options.hpp"

#include <dashi/core/arena.hpp>
#include <dashi/diffusion/backbone_denoiser.hpp>
#include <dashi/diffusion/cosine_schedule.hpp>
#include <dashi/diffusion/ddim.hpp>
#include <dashi/diffusion/ddpm.hpp>
#include <dashi/diffusion/numbered_noise.hpp>
#include <dashi/diffusion/sample.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace cli {

inline dashi::diffusion::Process process_of(ProcessOptions const& options) {
  namespace diffusion = dashi::diffusion;
  return options.schedule == "cosine"
             ? diffusion::Process(diffusion::CosineSchedule{}, options.steps)
             : diffusion::Process(diffusion::LinearSchedule{}, options.steps);
}

/// Numbers on the host to memory of an execution space, and back.
template <class To, class T>
void upload(To const& to, std::span<T const> from) {
  Kokkos::View<T const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> const host(
      from.data(), from.size());
  Kokkos::deep_copy(to, host);
}

/// Draws samples from a backbone whose parameters are there: what `sample` and the previews of
/// `train` have in common. Takes memory for a batch when it is first used.
template <dashi::diffusion::Backbone Net>
class DitSampling {
public:
  using Exec = typename Net::execution_space;
  using T = typename Net::precision::storage;
  using Workspace = dashi::diffusion::SampleWorkspace<T, Exec>;
  using Real = typename Workspace::Real;

  DitSampling(dashi::Context<Exec>& ctx, Net const& net, SamplingOptions const& options)
      : ctx_(&ctx), net_(&net), options_(options), process_(process_of(options.process)) {}

  /// Of work memory for a batch, scratch included.
  std::size_t bytes(dashi::Index samples) const {
    dashi::Arena measuring;
    Batch const batch(measuring, *net_, shape(samples));
    return measuring.peak() + net_->scratch_bytes(*ctx_, shape(samples).rows());
  }

  /// Fills `out`, [labels, channels * height * width], with the samples of these numbers.
  void run(std::span<std::int64_t const> labels, std::span<std::int64_t const> numbers,
           std::span<float> out, SampleWatcher const& watcher = {}) {
    auto const samples = static_cast<dashi::Index>(labels.size());
    dashi::diffusion::SampleShape const extents = shape(samples);
    dashi::Arena measuring;
    { Batch const measured(measuring, *net_, extents); }
    if (memory_.extent(0) < measuring.peak() + dashi::Arena::alignment) {
      memory_ = Memory(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::cli::sampling"),
                       measuring.peak() + dashi::Arena::alignment);
    }
    auto const misaligned =
        reinterpret_cast<std::uintptr_t>(memory_.data()) % dashi::Arena::alignment;
    dashi::Arena arena(
        memory_.data() + (dashi::Arena::alignment - misaligned) % dashi::Arena::alignment,
        measuring.peak());
    Batch const batch(arena, *net_, extents);
    ctx_->reserve_scratch(net_->scratch_bytes(*ctx_, extents.rows()));
    upload(batch.labels, labels);
    upload(batch.numbers, numbers);
    dashi::diffusion::SampleRequest<Exec> const request{
        batch.labels,
        options_.null_label,
        {options_.guidance, options_.guidance_channels},
        options_.seed};
    if (options_.sampler == "ddpm") {
      using Variance = dashi::diffusion::Ddpm::Variance;
      bool const learned = options_.learned && extents.learned;
      draw(dashi::diffusion::Ddpm{options_.steps,
                                  learned ? Variance::learned_range : Variance::fixed_small,
                                  options_.clip},
           request, batch, watcher);
    } else {
      draw(dashi::diffusion::Ddim{options_.steps, options_.eta, options_.clip}, request, batch,
           watcher);
    }
    download(batch.x, out);
  }

private:
  using Memory = Kokkos::View<std::byte*, typename Exec::memory_space>;

  struct Batch {
    Batch(dashi::Arena& arena, Net const& net, dashi::diffusion::SampleShape const& shape)
        : labels(arena.vector<std::int64_t, Exec>(shape.samples)),
          numbers(arena.vector<std::int64_t, Exec>(shape.samples)),
          x(arena.matrix<Real, Exec>(shape.samples, shape.size())),
          workspace(arena, shape),
          denoiser(net, net.evaluation(arena, shape.rows())) {}

    dashi::VectorOf<std::int64_t, Exec> labels, numbers;
    dashi::MatrixOf<Real, Exec> x;
    Workspace workspace;
    dashi::diffusion::BackboneDenoiser<Net> denoiser;
  };

  dashi::diffusion::SampleShape shape(dashi::Index samples) const {
    auto const net = net_->shape();
    return {samples, net.channels, net.height * net.width, net.out_channels == 2 * net.channels,
            options_.guidance != 1};
  }

  template <class Sampler>
  void draw(Sampler const& sampler, dashi::diffusion::SampleRequest<Exec> const& request,
            Batch const& batch, SampleWatcher const& watcher) {
    auto const process = process_.respaced(sampler.spacing());
    std::vector<float> x, x0;
    dashi::diffusion::sample_with<T>(
        *ctx_, batch.denoiser, sampler, process, request, batch.workspace, batch.x,
        dashi::diffusion::NumberedNoise<Exec>{request.seed, batch.numbers},
        [&](dashi::Index step, dashi::MatrixOf<Real const, Exec> now,
            dashi::MatrixOf<Real const, Exec> predicted) {
          if (watcher.wants && watcher.wants(step)) {
            x.resize(now.size());
            x0.resize(now.size());
            download(now, std::span<float>(x));
            download(predicted, std::span<float>(x0));
            watcher.see(process.timestep(step), x, x0);
          }
          if (watcher.after_step) {
            ctx_->fence("dashi::cli::sampling");
            watcher.after_step();
          }
        });
  }

  template <class View>
  void download(View const& from, std::span<float> to) const {
    ctx_->fence("dashi::cli::sampling");
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), from);
    std::copy(host.data(), host.data() + host.size(), to.begin());
  }

  dashi::Context<Exec>* ctx_;
  Net const* net_;
  SamplingOptions options_;
  dashi::diffusion::Process process_;
  Memory memory_;
};

}  // namespace cli
