// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "train_run.hpp"

#include "image_output.hpp"

#include <dashi/core/version.hpp>
#include <dashi/io/byte_size.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <system_error>

namespace cli {

std::map<std::string, std::string> model_metadata(TrainRun const& run, dashi::Index step,
                                                  bool average) {
  Json train{{"step", step},
             {"average", average ? Json(run.config.ema) : Json(nullptr)},
             {"method", run.config.method.diff_tuning ? "diff_tuning" : "plain"},
             {"seed", run.config.seed},
             {"config", run.identity.config},
             {"data", run.identity.data},
             {"source", run.identity.source},
             {"base", run.identity.base}};
  if (run.adapter) {
    train["adapter"] = run.config.adapter.kind;
  }
  if (!run.config.factorised.train.empty()) {
    train["part"] = run.config.factorised.train;
  }
  return {{"dashi.schedule", run.config.process.schedule},
          {"dashi.diffusion_steps", std::to_string(run.config.process.steps)},
          {"dashi.train", train.dump()}};
}

void write_preview(TrainRun const& run, dashi::Index step, std::vector<std::int64_t> const& labels,
                   std::vector<float> images) {
  auto const& preview = run.config.preview;
  Json const made{{"step", step},
                  {"sampler", "ddim"},
                  {"steps", preview.steps},
                  {"guidance", preview.guidance},
                  {"average", preview.average},
                  {"seed", run.config.seed},
                  {"classes", labels}};
  std::filesystem::path const path = run.folder.preview(step);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  write_images(path, "png",
               {{run.dit.channels, run.dit.height, run.dit.width_pixels},
                std::move(images),
                labels,
                {{"Software", "dashi " DASHI_VERSION}, {"dashi.sample", made.dump()}}},
               0, {.force = true});
}

void report_plan(Session& session, TrainRun const& run, TrainPlan const& plan) {
  auto const& d = run.dit;
  std::string out =
      fmt::format("{}: {} steps of {} images, into {}\n", dashi::escaped(run.config_path.string()),
                  run.steps, run.options.batch, dashi::escaped(run.folder.path().string()));
  out += row("model", fmt::format("depth {}, width {}, {} heads, patch {}, {} parameters, {}",
                                  d.depth, d.width, d.heads, d.patch,
                                  grouped(static_cast<std::uint64_t>(plan.parameters)),
                                  run.config.model.precision));
  if (run.adapter) {
    out += row("adapter",
               fmt::format("{}, {} of them trained, learning rate {}", run.config.adapter.kind,
                           grouped(static_cast<std::uint64_t>(plan.trained)),
                           short_number(run.config.optimizer.lr)));
  }
  if (run.layout) {
    std::string const& part = run.config.factorised.train;
    out += row("factors",
               fmt::format("{}, {} trained: {}", name(run.layout->method),
                           grouped(static_cast<std::uint64_t>(plan.trained)),
                           part.empty() || part == "all"       ? "all"
                           : run.config.factorised.class_table ? part + " and the class table"
                                                               : part));
  }
  out += row("data", fmt::format("{} images of {} x {} x {}, {} classes", run.data.size(),
                                 d.channels, d.height, d.width_pixels, run.data.classes()));
  if (run.validation) {
    out += row("validation", fmt::format("{} images, every {} steps", run.validation->size(),
                                         run.config.validation.every));
  }
  if (run.source) {
    auto const sources = run.policy.source_samples(run.options.batch);
    out += row("source",
               fmt::format("{} samples in the bank, {} of a batch", run.source->size(), sources));
  }
  for (std::size_t begin = 0; begin < plan.memory_lines.size();) {
    std::size_t const end = plan.memory_lines.find('\n', begin);
    out += row("memory", plan.memory_lines.substr(begin, end - begin));
    begin = end + 1;
  }
  double const seconds = plan.seconds_a_step * static_cast<double>(run.steps);
  out += row("time", fmt::format("about {:.3g} s, by one step of {:.3g} s: {:.3g} images/s",
                                 seconds, plan.seconds_a_step,
                                 static_cast<double>(run.options.batch) / plan.seconds_a_step));
  session.say(out);
  session.report({{"verb", "train"},
                  {"dry_run", true},
                  {"config", run.config_path.string()},
                  {"output", run.folder.path().string()},
                  {"steps", run.steps},
                  {"batch", run.options.batch},
                  {"parameters", plan.parameters},
                  {"trained_parameters", plan.trained},
                  {"images", run.data.size()},
                  {"memory_bytes", plan.memory},
                  {"seconds_a_step", plan.seconds_a_step},
                  {"estimated_seconds", seconds}});
}

dashi::ExitStatus report_end(Session& session, TrainRun const& run, TrainResult const& result) {
  std::string const folder = run.folder.path().string();
  double const images =
      static_cast<double>(result.step - result.first) * static_cast<double>(run.options.batch);
  double const rate = result.seconds > 0 ? images / result.seconds : 0;
  std::string const numbers =
      fmt::format("step {}, loss {:.4g}, {:.3g} images/s", result.step, result.loss, rate);
  if (result.stopped) {
    session.say(fmt::format("{}: stopped at {}; the state is saved, --resume goes on\n",
                            dashi::escaped(folder), numbers));
  } else {
    bool const average = run.config.ema > 0;
    session.say(fmt::format("{}: {}; {} written\n", dashi::escaped(folder), numbers,
                            run.adapter ? average ? "adapter and adapter_ema" : "adapter"
                            : average   ? "model.safetensors and ema.safetensors"
                                        : "model.safetensors"));
  }
  session.report({{"verb", "train"},
                  {"config", run.config_path.string()},
                  {"output", folder},
                  {"step", result.step},
                  {"steps", run.steps},
                  {"resumed_at", result.first},
                  {"stopped", result.stopped},
                  {"loss", result.loss},
                  {"seconds", result.seconds},
                  {"images_per_second", rate}});
  return result.stopped ? dashi::ExitStatus::stopped_early : dashi::ExitStatus::success;
}

}  // namespace cli
