// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/diffusion/backbone_concept.hpp>
#include <dashi/diffusion/ddim.hpp>
#include <dashi/diffusion/sample.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace dashi::training {

/// Samples images from a backbone, a fixed number at a time: previews during training. Its memory,
/// apart from the scratch of the context, is its own and taken once.
template <diffusion::Backbone Net, class Sampler = diffusion::Ddim>
class ImageSampler {
public:
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  using T = typename P::storage;
  using Workspace = diffusion::SampleWorkspace<T, Exec>;
  using Real = typename Workspace::Real;

  /// `process` is that of the training. Context and network must outlive it.
  ImageSampler(Context<Exec>& ctx, Net const& net, diffusion::Process const& process, Index samples,
               Sampler const& sampler = {}, diffusion::Guidance const& guidance = {})
      : ctx_(ctx),
        net_(net),
        process_(process.respaced(sampler.spacing())),
        sampler_(sampler),
        guidance_(guidance),
        shape_(shape_of(net.shape(), samples, guidance)),
        images_("dashi::training::ImageSampler", static_cast<std::size_t>(samples),
                static_cast<std::size_t>(shape_.size())),
        labels_("dashi::training::ImageSampler", static_cast<std::size_t>(samples)),
        host_images_(Kokkos::create_mirror_view(images_)),
        host_labels_(Kokkos::create_mirror_view(labels_)) {
    Arena measuring;
    take(measuring);
    bytes_ = Bytes(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::training::ImageSampler"),
                   measuring.peak() + Arena::alignment);
    ctx.reserve_scratch(net.scratch_bytes(ctx, shape_.rows()));
  }

  Index samples() const noexcept { return shape_.samples; }
  std::size_t bytes() const {
    return bytes_.extent(0) + images_.size() * sizeof(Real) + labels_.size() * sizeof(std::int64_t);
  }

  /// images: [samples(), channels, height, width], not clipped; sample n has label labels[n] and
  /// the noise of number first_sample + n. Fences.
  void sample(std::span<std::int64_t const> labels, std::uint64_t seed, std::uint32_t first_sample,
              std::span<float> images) {
    DASHI_EXPECTS(labels.size() == labels_.extent(0) && images.size() == images_.size(),
                  "a sampler of " + std::to_string(shape_.samples) +
                      " samples takes as many labels and gives as many images");
    std::copy(labels.begin(), labels.end(), host_labels_.data());
    Kokkos::deep_copy(ctx_.exec(), labels_, host_labels_);
    auto const misaligned = reinterpret_cast<std::uintptr_t>(bytes_.data()) % Arena::alignment;
    Arena arena(bytes_.data() + (Arena::alignment - misaligned) % Arena::alignment,
                bytes_.extent(0) - Arena::alignment);
    auto const [workspace, evaluation] = take(arena);
    diffusion::SampleRequest<Exec> request;
    request.labels = labels_;
    request.null_label = net_.shape().null_label();
    request.guidance = guidance_;
    request.seed = seed;
    request.first_sample = first_sample;
    diffusion::sample(ctx_, Denoiser{net_, workspace.input, evaluation}, sampler_, process_,
                      request, workspace, MatrixOf<Real, Exec>(images_));
    Kokkos::deep_copy(ctx_.exec(), host_images_, images_);
    ctx_.fence("dashi::training::ImageSampler::sample");
    std::copy(host_images_.data(), host_images_.data() + host_images_.size(), images.begin());
  }

private:
  using Space = typename Exec::memory_space;
  using Bytes = Kokkos::View<std::byte*, Space>;
  using Images = Kokkos::View<Real**, Kokkos::LayoutRight, Space>;
  using Labels = Kokkos::View<std::int64_t*, Space>;

  struct Denoiser {
    Net const& net;
    Matrix<P, Exec> input;  // the same memory as x
    typename Net::Evaluation const& evaluation;

    void operator()(Context<Exec>& ctx, MatrixOf<T const, Exec> const&,
                    VectorOf<double const, Exec> const& t,
                    VectorOf<std::int64_t const, Exec> const& labels,
                    MatrixOf<T, Exec> const& out) const {
      diffusion::DenoiserInput<P, Exec> given{input, t, {}, {}};
      given.labels.classes = labels;
      net.evaluate(ctx, given, out, evaluation);
    }
  };

  static diffusion::SampleShape shape_of(diffusion::BackboneShape const& net, Index samples,
                                         diffusion::Guidance const& guidance) {
    return {samples, net.channels, net.height * net.width, net.out_channels > net.channels,
            guidance.on()};
  }

  std::pair<Workspace, typename Net::Evaluation> take(Arena& arena) const {
    Workspace workspace(arena, shape_);
    return {workspace, net_.evaluation(arena, shape_.rows())};
  }

  Context<Exec>& ctx_;
  Net const& net_;
  diffusion::Process process_;
  Sampler sampler_;
  diffusion::Guidance guidance_;
  diffusion::SampleShape shape_;
  Images images_;
  Labels labels_;
  typename Images::HostMirror host_images_;
  typename Labels::HostMirror host_labels_;
  Bytes bytes_;
};

}  // namespace dashi::training
