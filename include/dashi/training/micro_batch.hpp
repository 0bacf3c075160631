// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/diffusion/noise.hpp>
#include <dashi/diffusion/objective.hpp>
#include <dashi/diffusion/q_sample.hpp>
#include <dashi/training/batch_draw.hpp>
#include <dashi/training/batch_kernels.hpp>
#include <dashi/training/micro_batch_memory.hpp>
#include <dashi/training/recorded_batch.hpp>

#include <Kokkos_Core.hpp>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace dashi::training {

/// How steps are drawn and losses weighted, for the kernels of a step.
struct StepTerms {
  diffusion::Process process;
  diffusion::TimestepDistribution target, source;
  diffusion::ObjectiveOptions objective;
};

/// One context's share of a step: takes chunks of the batch one after the other, draws them,
/// computes losses and adds gradients to its network's parameters. All memory is taken at
/// construction.
template <diffusion::Backbone Net>
class MicroBatch {
  using Memory = MicroBatchMemory<Net>;

public:
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  using Image = typename Memory::Image;

  /// Of `parts` micro-batches this one takes every parts-th chunk. teacher: null unless source
  /// samples are distilled. Context, network and teacher must outlive it.
  MicroBatch(Context<Exec>& ctx, Net const& net, BatchLayout const& layout, Index parts,
             Net const* teacher)
      : ctx_(ctx), net_(net), teacher_(teacher), layout_(layout), parts_(parts) {
    auto const slots = static_cast<std::size_t>((layout.chunks() + parts - 1) / parts);
    auto const records = slots * static_cast<std::size_t>(layout.chunk);
    records_ = Records("dashi::training::records", std::size_t{4}, records);
    steps_ = Steps("dashi::training::steps", records);
    host_records_ = Kokkos::create_mirror_view(records_);
    host_steps_ = Kokkos::create_mirror_view(steps_);
    Arena measuring;
    Memory::take(measuring, net, layout, teacher);
    bytes_ = Bytes(Kokkos::view_alloc(Kokkos::WithoutInitializing, "dashi::training::MicroBatch"),
                   measuring.peak() + Arena::alignment);
    auto const misaligned = reinterpret_cast<std::uintptr_t>(bytes_.data()) % Arena::alignment;
    Arena arena(bytes_.data() + (Arena::alignment - misaligned) % Arena::alignment,
                measuring.peak());
    memory_ = Memory::take(arena, net, layout, teacher);
    host_x0_ = Kokkos::create_mirror_view(memory_.x0);
    host_labels_ = Kokkos::create_mirror_view(memory_.labels);
    host_ids_ = Kokkos::create_mirror_view(memory_.ids);
    ParameterList<P, Exec> list;
    net.parameters(list);
    for (auto const& entry : list) {
      if (entry.parameter.trained()) {
        gradients_.push_back(entry.parameter.gradient());
      }
    }
    std::size_t scratch = net.scratch_bytes(ctx, layout.chunk);
    for (auto const& [sources, evaluation] : memory_.teacher) {
      scratch = std::max(scratch, teacher->scratch_bytes(ctx, sources));
    }
    ctx.reserve_scratch(scratch);
  }

  Context<Exec>& context() const noexcept { return ctx_; }
  Net const& net() const noexcept { return net_; }
  BatchLayout const& layout() const noexcept { return layout_; }
  std::vector<MatrixOf<typename P::accumulate, Exec>> const& gradients() const noexcept {
    return gradients_;
  }
  std::size_t activation_bytes() const noexcept { return memory_.activations; }
  /// Without activations.
  std::size_t batch_bytes() const {
    return bytes_.extent(0) - memory_.activations + records_.size() * sizeof(double) +
           steps_.size() * sizeof(std::int64_t);
  }

  void zero_gradients() const {
    for (auto const& gradient : gradients_) {
      Kokkos::deep_copy(ctx_.exec(), gradient, 0);
    }
  }

  /// Images, labels, steps, noise and weights of chunk c.
  template <class Draw>
  void draw(Draw const& samples, StepTerms const& terms, Index c) {
    ctx_.fence("dashi::training::MicroBatch::draw");  // the staging memory may still be read
    for (Index row = 0; row < layout_.chunk; ++row) {
      Index const sample = layout_.first(c) + row;
      stage(row, [&](std::span<float> chw) { samples.read(sample, chw); });
      host_labels_(row) = samples.label(sample);
    }
    upload();
    auto const [split, count] = parts_of(c);
    diffusion::draw_timesteps(ctx_, terms.target, samples.seed(),
                              samples.place(random_purpose::timesteps, layout_.first(c)),
                              layout_.targets(), steps(c, 0, split), record(weight, c, 0, split));
    if (split < count) {
      diffusion::draw_timesteps(ctx_, terms.source, samples.seed(),
                                samples.place(random_purpose::timesteps, layout_.first(c) + split),
                                layout_.sources, steps(c, split, count),
                                record(weight, c, split, count));
    }
    diffusion::fill_noise(ctx_, samples.seed(),
                          samples.place(random_purpose::noise, layout_.first(c)), memory_.noise);
    features_ = {};
  }

  /// The same of a batch that was recorded.
  void take(RecordedBatch<P, Exec> const& batch, StepTerms const& terms, Index c) {
    auto const& exec = ctx_.exec();
    auto const rows = std::pair(static_cast<std::size_t>(layout_.first(c)),
                                static_cast<std::size_t>(layout_.first(c) + layout_.chunk));
    Kokkos::deep_copy(exec, memory_.x0, Kokkos::subview(batch.x0, rows, Kokkos::ALL));
    Kokkos::deep_copy(exec, memory_.noise, Kokkos::subview(batch.noise, rows, Kokkos::ALL));
    Kokkos::deep_copy(exec, memory_.labels, Kokkos::subview(batch.labels, rows));
    auto const [split, count] = parts_of(c);
    Kokkos::deep_copy(exec, steps(c, 0, count), Kokkos::subview(batch.t, rows));
    detail::weigh_timesteps(exec, terms.target.template view<Exec>(), steps(c, 0, split),
                            layout_.targets(), record(weight, c, 0, split));
    detail::weigh_timesteps(exec, terms.source.template view<Exec>(), steps(c, split, count),
                            layout_.sources, record(weight, c, split, count));
    features_ = batch.features.extent(0) == 0
                    ? Matrix<P, Exec>()
                    : rows_of(batch.features, layout_.first(c), layout_.first(c) + layout_.chunk);
  }

  /// Losses of the chunk that was drawn last, and their gradients times `loss_scale`.
  void pass(StepTerms const& terms, double loss_scale, Index c) {
    auto const [split, count] = parts_of(c);
    if (loss_scale != 1) {
      detail::scale(ctx_.exec(), record(weight, c, 0, count), loss_scale);
    }
    auto const input = noised(terms.process, steps(c, 0, count), features_);
    bool const distilled = teacher_ != nullptr && split < count;
    if (distilled) {
      teacher_->evaluate(ctx_, part(input, split, count),
                         rows_of(memory_.teacher_out, 0, count - split),
                         memory_.teacher_evaluation(count - split));
    }
    net_.forward(ctx_, input, memory_.out, memory_.saved);
    Index const learned = distilled ? split : count;
    if (learned > 0) {
      diffusion::denoising_loss<Exec>(
          ctx_, terms.process, terms.objective, rows_of(memory_.out, 0, learned),
          rows_of(memory_.x0, 0, learned), rows_of(memory_.noise, 0, learned), steps(c, 0, learned),
          record(weight, c, 0, learned),
          {record(loss, c, 0, learned), record(mse, c, 0, learned), record(vb, c, 0, learned)},
          kernels::RowsOf<typename P::storage, Exec>(rows_of(memory_.d_out, 0, learned)));
    }
    if (distilled) {
      diffusion::distillation_loss<Exec>(
          ctx_, rows_of(memory_.out, split, count), rows_of(memory_.teacher_out, 0, count - split),
          record(weight, c, split, count), record(loss, c, split, count),
          kernels::RowsOf<typename P::storage, Exec>(rows_of(memory_.d_out, split, count)));
    }
    net_.backward(ctx_, input, memory_.d_out, memory_.saved);
  }

  /// Copies what pass recorded to the host; readable after a fence.
  void download() const {
    Kokkos::deep_copy(ctx_.exec(), host_records_, records_);
    Kokkos::deep_copy(ctx_.exec(), host_steps_, steps_);
  }

  /// Of row `row` of chunk c, as downloaded.
  struct Sample {
    std::int64_t t;
    double weight, loss, mse, vb;
  };
  Sample sample(Index c, Index row) const {
    auto const at = static_cast<std::size_t>(slot(c) + row);
    return {host_steps_(at), host_records_(weight, at), host_records_(loss, at),
            host_records_(mse, at), host_records_(vb, at)};
  }

  /// mse[i] = mean squared error of the noise of images[i] at step t, with noise that seed, t and
  /// the image's number alone choose (random_purpose::evaluation). At most a chunk of images.
  /// Fences.
  template <DataSet Data>
  void evaluate(StepTerms const& terms, Data const& data, std::span<std::uint64_t const> images,
                Index t, std::uint64_t seed, std::span<double> mse_out) {
    ctx_.fence("dashi::training::MicroBatch::evaluate");
    Index const count = layout_.chunk;
    for (Index row = 0; row < count; ++row) {
      std::size_t const at = std::min(static_cast<std::size_t>(row), images.size() - 1);
      auto const image = static_cast<std::size_t>(images[at]);
      stage(row, [&](std::span<float> chw) { data.read(image, chw); });
      host_labels_(row) = checked_label(data, image, net_.shape().classes);
      host_ids_(row) = static_cast<std::int64_t>(image);
    }
    upload();
    auto const& exec = ctx_.exec();
    Kokkos::deep_copy(exec, memory_.ids, host_ids_);
    Kokkos::deep_copy(exec, steps(0, 0, count), t);
    diffusion::fill_noise(ctx_, seed,
                          RandomPlace{random_purpose::evaluation, static_cast<std::uint64_t>(t), 0},
                          VectorOf<std::int64_t const, Exec>(memory_.ids), memory_.noise);
    auto const input = noised(terms.process, steps(0, 0, count), {});
    net_.evaluate(ctx_, input, memory_.out, memory_.evaluation);
    diffusion::denoising_loss<Exec>(
        ctx_, terms.process, terms.objective, memory_.out, memory_.x0, memory_.noise,
        steps(0, 0, count), {},
        {record(loss, 0, 0, count), record(mse, 0, 0, count), record(vb, 0, 0, count)}, {});
    download();
    ctx_.fence("dashi::training::MicroBatch::evaluate");
    for (std::size_t i = 0; i < images.size(); ++i) {
      mse_out[i] = sample(0, static_cast<Index>(i)).mse;
    }
  }

private:
  enum Row : std::size_t { weight, loss, mse, vb };
  using Space = typename Exec::memory_space;
  using Records = Kokkos::View<double**, Kokkos::LayoutRight, Space>;
  using Steps = Kokkos::View<std::int64_t*, Space>;
  using Bytes = Kokkos::View<std::byte*, Space>;
  using Input = diffusion::DenoiserInput<P, Exec>;

  struct Parts {
    Index targets, count;
  };
  Parts parts_of(Index c) const { return {layout_.chunk - layout_.sources_of(c), layout_.chunk}; }
  Index slot(Index c) const { return c / parts_ * layout_.chunk; }
  VectorOf<double, Exec> record(Row row, Index c, Index first, Index last) const {
    return vector_over<double, Exec>(
        records_.data() + static_cast<std::size_t>(row) * records_.extent(1) + slot(c) + first,
        last - first);
  }
  VectorOf<std::int64_t, Exec> steps(Index c, Index first, Index last) const {
    return vector_over<std::int64_t, Exec>(steps_.data() + slot(c) + first, last - first);
  }
  template <class T>
  static Kokkos::View<T**, Kokkos::LayoutRight, Space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>
  rows_of(Kokkos::View<T**, Kokkos::LayoutRight, Space,
                       Kokkos::MemoryTraits<Kokkos::Unmanaged>> const& m,
          Index first, Index last) {
    auto const cols = static_cast<Index>(m.extent(1));
    return matrix_over<T, Exec>(m.data() + first * cols, last - first, cols);
  }

  /// Host row `row` from a reader of floats.
  template <class Read>
  void stage(Index row, Read const& read) {
    auto const size = memory_.x0.extent(1);
    Image* const to = &host_x0_(static_cast<std::size_t>(row), 0);
    if constexpr (std::is_same_v<Image, float>) {
      read(std::span<float>(to, size));
    } else {
      row_.resize(size);
      read(std::span<float>(row_));
      std::copy(row_.begin(), row_.end(), to);
    }
  }
  void upload() const {
    Kokkos::deep_copy(ctx_.exec(), memory_.x0, host_x0_);
    Kokkos::deep_copy(ctx_.exec(), memory_.labels, host_labels_);
  }

  Input noised(diffusion::Process const& process, VectorOf<std::int64_t const, Exec> t,
               Matrix<P, Exec> features) const {
    diffusion::q_sample(ctx_, process, memory_.x0, t, memory_.noise, memory_.x);
    detail::map_timesteps<Exec>(ctx_.exec(), process.template view<Exec>(), t, memory_.timesteps);
    Input input{memory_.x, memory_.timesteps, {}, features};
    input.labels.classes = memory_.labels;
    return input;
  }
  static Input part(Input const& whole, Index first, Index last) {
    Input input{rows_of(whole.x, first, last),
                vector_over<double const, Exec>(whole.timesteps.data() + first, last - first),
                {},
                {}};
    input.labels.classes =
        vector_over<std::int64_t const, Exec>(whole.labels.classes.data() + first, last - first);
    if (whole.features.extent(0) != 0) {
      input.features = rows_of(whole.features, first, last);
    }
    return input;
  }

  Context<Exec>& ctx_;
  Net const& net_;
  Net const* teacher_;
  BatchLayout layout_;
  Index parts_;
  Records records_;
  Steps steps_;
  Bytes bytes_;
  Memory memory_;
  Matrix<P, Exec> features_;
  std::vector<MatrixOf<typename P::accumulate, Exec>> gradients_;
  std::vector<float> row_;
  typename Records::HostMirror host_records_;
  typename Steps::HostMirror host_steps_;
  typename MatrixOf<Image, Exec>::HostMirror host_x0_;
  typename VectorOf<std::int64_t, Exec>::HostMirror host_labels_, host_ids_;
};

}  // namespace dashi::training
