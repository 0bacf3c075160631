// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include "dit_sampling.hpp"
#include "signals.hpp"
#include "train_run.hpp"

#include <dashi/training/fit.hpp>
#include <dashi/training/image_sampler.hpp>
#include <dashi/training/metrics_log.hpp>
#include <dashi/training/sharded.hpp>
#include <dashi/training/state_folder.hpp>
#include <dashi/training/trainer.hpp>
#include <dashi/training/validation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>

namespace cli {

/// A training of a model (TrainedDense, TrainedFactors), as a whole or in shards.
template <class Model, bool InShards = false>
class TrainRunOf {
  using P = typename Model::Precision;
  using Exec = typename Model::Exec;
  using Net = typename Model::Net;
  using Execution =
      std::conditional_t<InShards, dashi::training::Sharded<Net>, dashi::training::WholeBatch<Net>>;
  using Trainer = dashi::training::Trainer<Net, ChosenPolicy, Execution>;
  using Master = typename P::master;
  using List = dashi::ParameterList<P, Exec>;

public:
  TrainRunOf(Session& session, TrainRun& run)
      : session_(session),
        run_(run),
        model_(session, run),
        net_(model_.make(ctx_)),
        states_(run.folder.checkpoints(), static_cast<std::size_t>(run.config.keep)) {
    net_.parameters(list_);
    model_.choose(list_);
    if (model_.draws()) {
      dashi::initialise(ctx_, list_, run.config.seed);
    }
    if (run.base) {
      model_.load(list_);
    }
    if (run.config.method.distillation) {
      teacher_.reset(new Net(model_.make_teacher(ctx_)));  // which cannot be moved
      List frozen;
      teacher_->parameters(frozen);
      model_.load(frozen);
    }
    trainer_.emplace(execution(), run.options, run.policy, process_of(run.config.process),
                     teacher_.get());
  }

  dashi::ExitStatus run() {
    if (session_.options.dry_run) {
      plan();
      return dashi::ExitStatus::success;
    }
    resume();
    TrainResult result;
    result.first = trainer_->steps();
    auto const start = std::chrono::steady_clock::now();
    dashi::training::MetricsLog log(
        run_.folder.path() / (run_.config.csv ? "metrics.csv" : "metrics.jsonl"),
        run_.config.csv ? dashi::training::LogFormat::csv : dashi::training::LogFormat::json_lines,
        result.first);
    if (run_.validation) {  // cuts the file back as it does with its own
      dashi::training::MetricsLog const cut(validation_path(),
                                            dashi::training::LogFormat::json_lines, result.first);
    }
    dashi::training::FitHooks hooks;
    hooks.stop = [] { return stop_asked(); };
    hooks.on_preview = [&] { preview(); };
    hooks.on_checkpoint = [&] {
      save(run_.folder.step_folder(trainer_->steps()));
      states_.save(*trainer_, run_.identity);
      run_.folder.finish_checkpoint(trainer_->steps(), states_.states());
    };
    hooks.on_step = [&](dashi::training::Metrics const& metrics) {
      log.write(metrics);
      result.loss = metrics.loss;
      progress_->advance(static_cast<std::uint64_t>(metrics.images));
      session_.note_progress(fmt::format("step {}, loss {:.4g}", metrics.step, metrics.loss));
      if (run_.validation && metrics.step % run_.config.validation.every == 0) {
        validate();
      }
    };
    progress_ = &session_.progress("train", "images");
    progress_->start(static_cast<std::uint64_t>(
        std::max<dashi::Index>(0, run_.steps - result.first) * run_.options.batch));
    auto const end = dashi::training::fit(
        *trainer_, run_.data, {run_.steps, run_.config.checkpoint_every, run_.config.preview.every},
        hooks, run_.source ? &*run_.source : nullptr);
    session_.end_progress();
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result.step = trainer_->steps();
    result.stopped = end == dashi::training::FitEnd::stopped;
    if (!result.stopped) {
      save(run_.folder.path());
    }
    return report_end(session_, run_, result);
  }

private:
  Execution execution() {
    if constexpr (InShards) {
      return Execution(net_, [this](dashi::Context<Exec>& ctx) { return model_.make(ctx); },
                       {run_.config.shards, static_cast<std::size_t>(session_.threads())});
    } else {
      return Execution(ctx_, net_);
    }
  }

  void resume() {
    if (!run_.resume) {
      return;
    }
    auto const resumed = states_.resume(*trainer_, run_.identity, {run_.allow_drift});
    for (std::string const& damaged : resumed->damaged) {
      session_.warn(damaged + "; an older state is taken");
    }
  }

  void plan() {
    double seconds = 0;
    for (int i = 0; i < 2; ++i) {  // the first prepares what libraries keep
      seconds = trainer_->step(run_.data, run_.source ? &*run_.source : nullptr).seconds;
    }
    auto const memory = trainer_->memory_plan();
    report_plan(
        session_, run_,
        {list_.count() - buffers(), list_.count(true), memory.text(), memory.total(), seconds});
  }

  dashi::Index buffers() const {
    dashi::Index total = 0;
    for (auto const& entry : list_) {
      total += entry.kind == dashi::ParameterKind::buffer ? entry.parameter.size() : 0;
    }
    return total;
  }

  void save(std::filesystem::path const& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);  // the writer says what is wrong with it
    model_.save(folder, list_, trainer_->steps(), false, {});
    if (trainer_->optimizer().has_averages()) {
      model_.save(folder, list_, trainer_->steps(), true,
                  [this](std::size_t entry, std::span<float> to) { read_average(entry, to); });
    }
  }

  /// Frozen parameters are their own average.
  void read_average(std::size_t entry, std::span<float> to) const {
    for (auto const& slot : trainer_->optimizer().slots()) {
      if (slot.name == list_[entry].name) {
        auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), slot.average);
        std::copy(host.data(), host.data() + host.size(), to.begin());
        return;
      }
    }
    list_[entry].parameter.read(to);
  }

  std::filesystem::path validation_path() const { return run_.folder.path() / "validation.jsonl"; }

  void validate() {
    auto const& config = run_.config.validation;
    dashi::training::ValidationOptions options;
    options.images = config.images;
    double const loss = validation_loss(*trainer_, *run_.validation, options).mean;
    std::string line = fmt::format("{{\"step\":{},\"loss\":{}", trainer_->steps(), loss);
    if (trainer_->optimizer().has_averages()) {
      options.average = true;
      line += fmt::format(",\"average_loss\":{}",
                          validation_loss(*trainer_, *run_.validation, options).mean);
    }
    std::ofstream out(validation_path(), std::ios::app);
    out << line << "}\n" << std::flush;
    if (!out) {
      throw dashi::IoError(dashi::IoStage::transfer, errno,
                           {.code = "validation-log",
                            .file = validation_path().string(),
                            .place = {},
                            .found = "cannot write the validation losses",
                            .expected = {},
                            .advice = {}});
    }
  }

  void preview() {
    auto const& config = run_.config.preview;
    std::vector<std::int64_t> labels;
    for (dashi::Index n = 0; n < config.count; ++n) {
      auto const turn = static_cast<std::size_t>(n);
      labels.push_back(config.classes.empty() ? n % run_.dit.classes
                                              : config.classes[turn % config.classes.size()]);
    }
    if (!sampler_) {
      sampler_.emplace(trainer_->context(), net_, process_of(run_.config.process), config.count,
                       dashi::diffusion::Ddim{config.steps},
                       dashi::diffusion::Guidance{run_.dit.null_class ? config.guidance : 1,
                                                  run_.variant.guidance_channels});
    }
    std::vector<float> images(labels.size() *
                              static_cast<std::size_t>(run_.dit.shape().image_size()));
    if (config.average) {
      auto const averaged = trainer_->averaged();
      sampler_->sample(labels, run_.config.seed, 0, images);
    } else {
      sampler_->sample(labels, run_.config.seed, 0, images);
    }
    write_preview(run_, trainer_->steps(), labels, std::move(images));
  }

  Session& session_;
  TrainRun& run_;
  dashi::Context<Exec> ctx_;
  Model model_;
  Net net_;
  List list_;
  std::unique_ptr<Net> teacher_;
  std::optional<Trainer> trainer_;
  dashi::training::StateFolder states_;
  std::optional<dashi::training::ImageSampler<Net>> sampler_;
  dashi::io::Progress* progress_ = nullptr;
};

}  // namespace cli
