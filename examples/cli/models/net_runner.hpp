// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "dit_runner.hpp"
#include "dit_sampling.hpp"

#include <dashi/data/image_set.hpp>

#include <algorithm>
#include <utility>

namespace cli {

/// What runners of all nets have in common, on the default execution space.
template <dashi::diffusion::Backbone Net>
class NetRunner : public DitRunner {
public:
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;

  template <class... Options>
  explicit NetRunner(Options&&... options) : net_(ctx_, std::forward<Options>(options)...) {
    net_.parameters(list_);
  }

  std::size_t parameter_bytes() const override {
    return static_cast<std::size_t>(list_.count()) * sizeof(T);
  }

  std::size_t work_bytes(SamplingOptions const& options, dashi::Index samples) override {
    return DitSampling<Net>(ctx_, net_, options).bytes(samples);
  }

  void sample(SamplingOptions const& options, std::span<std::int64_t const> labels,
              std::span<std::int64_t const> numbers, std::span<float> out,
              SampleWatcher const& watcher) override {
    prepare(labels, options.guidance != 1);
    DitSampling<Net>(ctx_, net_, options).run(labels, numbers, out, watcher);
  }

  std::vector<dashi::diffusion::ProbePoint> probe(
      dashi::data::ImageSet const& data, ProbeRequest const& request,
      std::function<void(std::size_t)> const& after_batch) override {
    auto const process = process_of(request.process);
    dashi::diffusion::ReconstructionProbe probe(request.seed, request.steps);
    std::span<std::int64_t const> rest(request.images);
    while (!rest.empty()) {
      auto const part = rest.first(std::min(rest.size(), static_cast<std::size_t>(request.batch)));
      add(probe, process, data, part, request.null_label);
      rest = rest.subspan(part.size());
      after_batch(part.size());
    }
    return probe.points();
  }

protected:
  /// Before a batch of these labels.
  virtual void prepare(std::span<std::int64_t const> labels, bool unguided) = 0;

  dashi::Context<Exec> ctx_;
  Net net_;
  dashi::ParameterList<P, Exec> list_;

private:
  using T = typename P::storage;
  using Workspace = dashi::diffusion::ProbeWorkspace<T, Exec>;
  using Real = typename Workspace::Real;

  void add(dashi::diffusion::ReconstructionProbe& probe, dashi::diffusion::Process const& process,
           dashi::data::ImageSet const& data, std::span<std::int64_t const> images,
           bool null_label) {
    auto const shape = net_.shape();
    auto const samples = static_cast<dashi::Index>(images.size());
    auto const size = static_cast<std::size_t>(shape.image_size());
    std::vector<float> pixels(images.size() * size);
    std::vector<std::int64_t> labels;
    for (std::size_t n = 0; n < images.size(); ++n) {
      auto const image = static_cast<std::size_t>(images[n]);
      data.read(image, std::span(pixels).subspan(n * size, size));
      labels.push_back(null_label ? shape.null_label() : data.label(image));
    }
    prepare(labels, false);
    Kokkos::View<Real**, Kokkos::LayoutRight, Exec> const x0("dashi::cli::probe", images.size(),
                                                             size);
    Kokkos::View<std::int64_t*, Exec> const classes("dashi::cli::probe", images.size());
    upload(Kokkos::View<Real*, Exec>(x0.data(), x0.size()), std::span<float const>(pixels));
    upload(classes, std::span<std::int64_t const>(labels));
    auto const make = [&](dashi::Arena& arena) {
      return std::pair(
          Workspace(arena, samples, shape.image_size(), shape.out_channels > shape.channels),
          net_.evaluation(arena, samples));
    };
    dashi::Arena measuring;
    (void)make(measuring);
    Kokkos::View<std::byte*, typename Exec::memory_space> const memory(
        Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::cli::probe"),
        measuring.peak() + dashi::Arena::alignment);
    auto const misaligned =
        reinterpret_cast<std::uintptr_t>(memory.data()) % dashi::Arena::alignment;
    dashi::Arena arena(
        memory.data() + (dashi::Arena::alignment - misaligned) % dashi::Arena::alignment,
        measuring.peak());
    auto const [workspace, evaluation] = make(arena);
    ctx_.reserve_scratch(net_.scratch_bytes(ctx_, samples));
    probe.add<T>(ctx_, dashi::diffusion::BackboneDenoiser<Net>(net_, evaluation), process,
                 dashi::MatrixOf<Real const, Exec>(x0.data(), x0.extent(0), x0.extent(1)),
                 dashi::VectorOf<std::int64_t const, Exec>(classes.data(), classes.extent(0)),
                 images, workspace);
  }
};

}  // namespace cli
