// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/initialise.hpp>
#include <dashi/diffusion/uniform_steps.hpp>
#include <dashi/training/averaged_values.hpp>
#include <dashi/training/gradient_norm.hpp>
#include <dashi/training/memory_plan.hpp>
#include <dashi/training/metrics.hpp>
#include <dashi/training/not_finite.hpp>
#include <dashi/training/optimizer.hpp>
#include <dashi/training/whole_batch.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dashi::training {

/// Trains a backbone to denoise: AdamW on the losses of a timestep policy. Execution says on what
/// contexts a step runs: WholeBatch or Sharded.
///
/// Everything that a step draws is a function of seed, step and sample number; equal settings give
/// equal bits. All memory is taken at construction. Choose what is trained (train_default,
/// train_where) and fill the parameters before; context and network must outlive the trainer.
template <diffusion::Backbone Net, class Policy = diffusion::UniformSteps,
          class Execution = WholeBatch<Net>>
class Trainer {
  static_assert(diffusion::require_timestep_policy<Policy>());

public:
  using P = typename Net::precision;
  using Exec = typename Net::execution_space;
  using Parameters = ParameterList<P, Exec>;

  /// teacher: null, or a frozen network whose output source samples are trained to give again, in
  /// place of their noise.
  Trainer(Execution execution, TrainOptions const& options, Policy const& policy = {},
          diffusion::Process const& process = {}, Net const* teacher = nullptr)
      : options_(checked(options)),
        policy_(policy),
        layout_{options.batch, policy.source_samples(options.batch),
                options.batch / (options.accumulate * execution.parts())},
        terms_{process,
               {policy, diffusion::BatchPart::target, process.steps()},
               {policy, diffusion::BatchPart::source, process.steps()},
               options.objective},
        execution_(std::move(execution)),
        scaler_(options.scaling) {
    DASHI_EXPECTS(options.batch % (options.accumulate * execution_.parts()) == 0,
                  "a batch of " + std::to_string(options.batch) +
                      " cannot be cut into equal parts: it must be a multiple of accumulate times "
                      "shards, " +
                      std::to_string(options.accumulate * execution_.parts()));
    layout_.check();
    auto const shape = execution_.net().shape();
    DASHI_EXPECTS(shape.out_channels == shape.channels * (options.objective.learned_range ? 2 : 1),
                  "a network of " + std::to_string(shape.out_channels) + " output channels for " +
                      std::to_string(shape.channels) +
                      " channels: objective.learned_range must be " +
                      (options.objective.learned_range ? "false" : "true"));
    execution_.net().parameters(list_);
    DASHI_EXPECTS(list_.count(true) > 0, "no parameter is trained: call train_default first");
    round_from_masters();
    execution_.prepare(layout_, teacher);
    context().reserve_scratch(GradientNorm<P, Exec>::scratch_bytes(list_));
    norm_.emplace(list_);
    optimizer_.emplace(context(), list_, options.average_decay > 0);
  }
  Trainer(Context<Exec>& ctx, Net const& net, TrainOptions const& options,
          Policy const& policy = {}, diffusion::Process const& process = {},
          Net const* teacher = nullptr) requires std::same_as<Execution, WholeBatch<Net>>
      : Trainer(WholeBatch<Net>(ctx, net), options, policy, process, teacher) {}

  /// One step on the next batch. Fences. Throws ConvergenceError when loss or gradient is not
  /// finite, and has then changed nothing; FormatError for data that does not fit the network.
  template <DataSet Target, DataSet Source = Target>
  Metrics step(Target const& target, Source const* source = nullptr) {
    auto const start = std::chrono::steady_clock::now();
    BatchDraw<Target, Source> const draw(options_, layout_, execution_.net().shape(),
                                         static_cast<std::uint64_t>(steps_), target, source);
    compute([&](MicroBatch<Net>& micro, Index chunk) { micro.draw(draw, terms_, chunk); });
    return finish(start, [&](Index sample, NotFinite& found) {
      std::vector<float> image(static_cast<std::size_t>(execution_.net().shape().image_size()));
      draw.read(sample, image);
      std::string const name =
          (draw.is_source(sample) ? "source image " : "image ") + std::to_string(draw.item(sample));
      if (!all_finite(std::span<float const>(image))) {
        found.broken_items.push_back(name);
      }
      return name;
    });
  }

  /// The same on a batch that was drawn elsewhere.
  Metrics step_on(RecordedBatch<P, Exec> const& batch) {
    auto const start = std::chrono::steady_clock::now();
    compute([&](MicroBatch<Net>& micro, Index chunk) { micro.take(batch, terms_, chunk); });
    return finish(start,
                  [](Index sample, NotFinite&) { return "sample " + std::to_string(sample); });
  }

  Index steps() const noexcept { return steps_; }  ///< taken so far, skipped ones too
  TrainOptions const& options() const noexcept { return options_; }
  Policy const& policy() const noexcept { return policy_; }
  BatchLayout const& layout() const noexcept { return layout_; }
  StepTerms const& terms() const noexcept { return terms_; }
  Parameters const& parameters() const noexcept { return list_; }
  Net const& net() const noexcept { return execution_.net(); }
  Context<Exec>& context() const noexcept { return execution_.context(); }
  Execution& execution() noexcept { return execution_; }
  Optimizer<P, Exec> const& optimizer() const noexcept { return *optimizer_; }
  LossScaler const& scaler() const noexcept { return scaler_; }

  /// While the result lives the network computes with the averages of its parameters.
  AveragedValues<P, Exec, typename Context<Exec>::provider> averaged() const {
    return {context(), *optimizer_};
  }

  /// Goes on where a training of the same settings was: parameters, moments and averages are the
  /// caller's to fill in.
  void restore(Index steps, LossScalerState const& scaler) {
    DASHI_EXPECTS(steps >= 0 && scaler.skipped <= steps, "a training has taken steps or none");
    steps_ = steps;
    scaler_.restore(scaler);
    round_from_masters();
  }

  MemoryPlan memory_plan() const {
    MemoryPlan plan;
    for (auto const& entry : list_) {
      auto const size = static_cast<std::size_t>(entry.parameter.size());
      plan.parameters += size * sizeof(typename P::storage);
      if (entry.parameter.trained()) {
        plan.gradients +=
            static_cast<std::size_t>(execution_.parts()) * size * sizeof(typename P::accumulate);
        plan.masters += Parameter<P, Exec>::has_own_master ? size * sizeof(typename P::master) : 0;
      }
    }
    plan.moments = Optimizer<P, Exec>::bytes(list_, false);
    plan.average = Optimizer<P, Exec>::bytes(list_, optimizer_->has_averages()) - plan.moments;
    for (Index s = 0; s < execution_.parts(); ++s) {
      auto& micro = execution_.part(s);
      plan.activations += micro.activation_bytes();
      plan.batch += micro.batch_bytes();
      plan.scratch += micro.context().scratch().capacity();
    }
    return plan;
  }

private:
  using Clock = std::chrono::steady_clock;

  static TrainOptions const& checked(TrainOptions const& options) {
    options.check();
    return options;
  }

  /// Values of 16-bit models as an update would leave them, so that a saved master is everything.
  void round_from_masters() const {
    if constexpr (Parameter<P, Exec>::has_own_master) {
      for (auto const& entry : list_) {
        if (entry.parameter.trained()) {
          auto const value = entry.parameter.vector();
          kernels::cast(
              context(), detail::as_row<P, Exec>(entry.parameter.master()),
              matrix_over<typename P::storage, Exec>(value.data(), 1, entry.parameter.size()));
        }
      }
      context().fence("dashi::training::Trainer::round_from_masters");
    }
  }

  /// Losses and gradients of a batch.
  template <class Fill>
  void compute(Fill const& fill) {
    Index const last = layout_.chunks() - execution_.parts();
    execution_.for_each_chunk(layout_.chunks(), [&](MicroBatch<Net>& micro, Index chunk) {
      if (chunk < execution_.parts()) {
        micro.zero_gradients();
      }
      fill(micro, chunk);
      micro.pass(terms_, scaler_.scale(), chunk);
      if (chunk >= last) {
        micro.download();
        micro.context().fence("dashi::training::Trainer::compute");
      }
    });
    execution_.sum_gradients();
    norm_->launch(context());
    context().fence("dashi::training::Trainer::compute");
  }

  /// Checks, updates and counts. name(sample, found) names a sample and notes what is wrong with
  /// it.
  template <class Name>
  Metrics finish(Clock::time_point start, Name const& name) {
    Metrics metrics;
    metrics.step = steps_ + 1;
    metrics.images = layout_.batch;
    metrics.learning_rate = options_.learning_rate.at(steps_);
    metrics.loss_scale = scaler_.scale();
    metrics.gradient_norm = norm_->value() / scaler_.scale();
    NotFinite found;
    found.step = metrics.step;
    for (Index n = 0; n < layout_.batch; ++n) {
      Index const chunk = n / layout_.chunk;
      auto const sample =
          execution_.part(chunk % execution_.parts()).sample(chunk, n - layout_.first(chunk));
      metrics.loss += sample.weight / scaler_.scale() * sample.loss;
      if (n < layout_.targets()) {
        metrics.mse += sample.mse / static_cast<double>(layout_.targets());
        metrics.vb += sample.vb / static_cast<double>(layout_.targets());
      } else {
        metrics.source_loss += sample.loss / static_cast<double>(layout_.sources);
      }
    }
    bool const finite = std::isfinite(metrics.loss) && std::isfinite(metrics.gradient_norm);
    if (!finite) {
      found.gave_up_scaling = scaler_.enabled();
      if (!scaler_.enabled()) {
        explain(found, name);
      }
    }
    if (finite) {
      auto const& o = options_;
      execution_.update(
          optimizer_->kernel(),
          {metrics.learning_rate, o.beta1, o.beta2, o.epsilon, o.weight_decay, o.average_decay,
           clip_factor(metrics.gradient_norm, o.clip_norm) / scaler_.scale()},
          metrics.step - scaler_.state().skipped);
      context().fence("dashi::training::Trainer::finish");
    }
    metrics.skipped = !finite;
    scaler_.update(finite);
    ++steps_;
    if (scaler_.gives_up()) {
      explain(found, name);
    }
    metrics.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return metrics;
  }

  template <class Name>
  [[noreturn]] void explain(NotFinite& found, Name const& name) const {
    for (Index n = 0; n < layout_.batch; ++n) {
      Index const chunk = n / layout_.chunk;
      auto const sample =
          execution_.part(chunk % execution_.parts()).sample(chunk, n - layout_.first(chunk));
      if (!std::isfinite(sample.loss)) {
        found.samples.push_back(name(n, found) + " at t = " + std::to_string(sample.t));
      }
    }
    found.parameters = not_finite_parameters(list_);
    throw_not_finite(found);
  }

  TrainOptions options_;
  Policy policy_;
  BatchLayout layout_;
  StepTerms terms_;
  Execution execution_;
  LossScaler scaler_;
  Parameters list_;
  std::optional<GradientNorm<P, Exec>> norm_;
  std::optional<Optimizer<P, Exec>> optimizer_;
  Index steps_ = 0;
};

template <class Execution>
Trainer(Execution, TrainOptions const&)
    -> Trainer<typename Execution::Backbone, diffusion::UniformSteps, Execution>;
template <class Execution, class Policy, class... Rest>
Trainer(Execution, TrainOptions const&, Policy const&, Rest const&...)
    -> Trainer<typename Execution::Backbone, Policy, Execution>;

}  // namespace dashi::training
