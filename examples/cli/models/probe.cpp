// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_argument.hpp"
#include "arguments.hpp"
#include "data_argument.hpp"
#include "dit_argument.hpp"
#include "dit_runner.hpp"
#include "failure.hpp"
#include "model_verbs.hpp"
#include "svg_chart.hpp"
#include "training_data.hpp"
#include "verbs.hpp"

#include <dashi/io/listing.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/training/batch_draw.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <span>
#include <string>

namespace cli {

namespace {

namespace io = dashi::io;
namespace fs = std::filesystem;

struct ProbeArguments {
  DitArgument dit;
  AppliedAdapters adapters;
  DataArgument data;
  std::vector<std::string> against;
  std::string output;
  std::int64_t first_step = 20;
  std::int64_t every = 40;
  std::int64_t batch = 64;
  std::uint64_t noise_seed = 0;
  bool null_label = false;
  bool force = false;
};

/// The losses of one model.
struct Curve {
  std::string name;
  std::vector<dashi::diffusion::ProbePoint> points;
  double mean = 0;
};

std::string as_csv(std::vector<Curve> const& curves) {
  std::string out = "t";
  for (Curve const& curve : curves) {
    std::string quoted = curve.name;
    for (std::size_t at = 0; (at = quoted.find('"', at)) != std::string::npos; at += 2) {
      quoted.insert(at, 1, '"');
    }
    out += ",\"" + quoted + "\"";
  }
  out += "\n";
  for (std::size_t i = 0; i < curves.front().points.size(); ++i) {
    out += std::to_string(curves.front().points[i].step);
    for (Curve const& curve : curves) {
      out += fmt::format(",{}", curve.points[i].mse);
    }
    out += "\n";
  }
  return out;
}

Json as_json(std::vector<Curve> const& curves, ProbeArguments const& arguments,
             std::size_t images) {
  Json models = Json::array();
  for (Curve const& curve : curves) {
    Json by_t = Json::object();
    Json vb = Json::object();
    for (auto const& point : curve.points) {
      by_t[std::to_string(point.step)] = point.mse;
      vb[std::to_string(point.step)] = point.vb;
    }
    models.push_back(
        {{"model", curve.name}, {"loss", curve.mean}, {"mse_by_t", by_t}, {"vb_by_t", vb}});
  }
  return {{"verb", "probe"},
          {"data", arguments.data.path},
          {"images", images},
          {"noise_seed", arguments.noise_seed},
          {"labels", arguments.null_label ? "null" : "own"},
          {"models", models}};
}

/// As many names at the end of each path as tell them apart: usually the file's alone.
std::vector<std::string> short_names(std::vector<Curve> const& curves) {
  std::vector<fs::path> rest;
  std::vector<std::string> names;
  for (Curve const& curve : curves) {
    rest.push_back(fs::path(curve.name).parent_path());
    names.push_back(fs::path(curve.name).filename().string());
  }
  auto const all_differ = [&] {
    return std::set<std::string>(names.begin(), names.end()).size() == names.size();
  };
  auto const has_more = [&] {
    return std::any_of(rest.begin(), rest.end(),
                       [](auto const& path) { return path.has_filename(); });
  };
  while (!all_differ() && has_more()) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (rest[i].has_filename()) {
        names[i] = (rest[i].filename() / names[i]).string();
        rest[i] = rest[i].parent_path();
      }
    }
  }
  return names;
}

std::string as_svg(std::vector<Curve> const& curves, std::size_t images) {
  std::vector<ChartLine> lines;
  auto const names = short_names(curves);
  for (Curve const& curve : curves) {
    ChartLine line{names[lines.size()], {}};
    for (auto const& point : curve.points) {
      line.points.emplace_back(static_cast<double>(point.step), point.mse);
    }
    lines.push_back(std::move(line));
  }
  return svg_chart(fmt::format("Reconstruction by timestep, {} images", images), "timestep",
                   "mean squared error of the noise", lines);
}

void write_text(fs::path const& path, std::string const& text, bool force) {
  auto const bytes = std::as_bytes(std::span(text));
  io::OutputFile file(path, {.force = force}, bytes.size());
  file.write_at(0, bytes);
  file.commit(bytes.first(std::min<std::size_t>(bytes.size(), 64)));
}

void expect_extension(std::string const& output) {
  std::string const extension = fs::path(output).extension().string();
  if (!output.empty() && extension != ".svg" && extension != ".json" && extension != ".csv") {
    usage_error("bad-output", "--out " + io::in_quotes(output), "a name in .svg, .json or .csv");
  }
}

Curve measure(Session& session, ProbeArguments const& arguments, std::string const& path,
              AppliedAdapters const& adapters, dashi::data::ImageSet const& data,
              std::vector<std::int64_t> const& images) {
  DitArgument argument = arguments.dit;
  argument.path = path;
  OpenDit const dit = open_dit(session, argument);
  dashi::training::expect_fitting(data, dit.config.shape());
  std::vector<std::int64_t> labels;
  for (std::int64_t const image : images) {
    labels.push_back(arguments.null_label
                         ? dit.config.classes
                         : dashi::training::checked_label(data, static_cast<std::size_t>(image),
                                                          dit.config.classes));
  }
  ProbeRequest request;
  request.process = dit.process;
  for (dashi::Index t = arguments.first_step; t < dit.process.steps; t += arguments.every) {
    request.steps.push_back(t);
  }
  if (request.steps.empty()) {
    usage_error("no-steps", fmt::format("--first {}", arguments.first_step),
                fmt::format("below {}, the steps of the model's process", dit.process.steps));
  }
  request.images = images;
  request.seed = arguments.noise_seed;
  request.batch = arguments.batch;
  request.null_label = arguments.null_label;
  OpenAdapters const open = open_adapters(session, adapters, dit);
  auto const runner = make_dit_runner(session, arguments.dit, dit, open.net);
  (void)runner->expect(labels, static_cast<dashi::Index>(request.steps.size()), false);
  runner->load(*dit.checkpoint, dit.model);
  io::Progress& progress = session.progress("probe", "images");
  progress.start(images.size());
  Curve curve{path, runner->probe(data, request, [&](std::size_t done) { progress.advance(done); }),
              0};
  session.end_progress();
  for (auto const& point : curve.points) {
    curve.mean += point.mse / static_cast<double>(curve.points.size());
  }
  return curve;
}

dashi::ExitStatus probe(Session& session, ProbeArguments const& arguments) {
  expect_extension(arguments.output);
  std::vector<std::string> models{arguments.dit.path};
  models.insert(models.end(), arguments.against.begin(), arguments.against.end());
  if (session.options.dry_run) {
    session.say(fmt::format("{} models would be probed on {}\n", models.size(),
                            dashi::escaped(arguments.data.path)));
    session.report({{"verb", "probe"}, {"dry_run", true}, {"models", models}});
    return dashi::ExitStatus::success;
  }
  dashi::data::ImageSet const data = read_images(session, data_config(arguments.data));
  std::vector<std::int64_t> images;
  for (std::size_t const item :
       evenly(static_cast<std::size_t>(arguments.data.limit), data.size())) {
    images.push_back(static_cast<std::int64_t>(item));
  }
  if (!arguments.output.empty()) {
    session.will_write(arguments.output);
  }
  session.start_kokkos(session.threads());
  std::vector<Curve> curves;
  for (std::string const& model : models) {
    curves.push_back(measure(session, arguments, model,
                             curves.empty() ? arguments.adapters : AppliedAdapters{}, data,
                             images));
    if (curves.back().points.size() != curves.front().points.size()) {
      usage_error("other-process", io::in_quotes(model) + " with another number of steps",
                  "models of one process");
    }
  }
  Json const report = as_json(curves, arguments, images.size());
  if (!arguments.output.empty()) {
    std::string const extension = fs::path(arguments.output).extension().string();
    write_text(arguments.output,
               extension == ".svg" ? as_svg(curves, images.size())
               : extension == ".csv"
                   ? as_csv(curves)
                   : report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n",
               arguments.force);
  }
  for (Curve const& curve : curves) {
    session.say(fmt::format("{}: loss {:.7g} over {} images and {} steps\n",
                            dashi::escaped(curve.name), curve.mean, images.size(),
                            curve.points.size()));
  }
  session.report(report);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_probe(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ProbeArguments>();
  CLI::App* const verb = add_verb(
      app, "probe", model_verb_summary("probe"),
      "  dashi probe model.safetensors --data images/\n"
      "  dashi probe base.safetensors --against tuned.safetensors --data images/ --out curve.svg\n"
      "  dashi probe base.safetensors --adapter run/adapter --against base.safetensors --data "
      "images/\n\n"
      "--adapter is for MODEL, not for those of --against.");
  add_dit_argument(*verb, arguments->dit);
  add_adapters_beside(*verb, arguments->adapters);
  verb->add_option("--against", arguments->against,
                   "another model for the same curve; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_data_options(*verb, arguments->data);
  verb->add_option("--out", arguments->output, "the curve as .svg, .json or .csv");
  verb->add_option("--first", arguments->first_step, "the first timestep (default 20)")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--every", arguments->every, "distance of timesteps (default 40)")
      ->check(CLI::PositiveNumber);
  verb->add_option("--batch", arguments->batch, "images at a time (default 64)")
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--noise-seed", arguments->noise_seed, "of the fixed noise (default 0)")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--no-class", arguments->null_label, "with the null label for every image");
  add_force(*verb, arguments->force);
  on_verb(*verb, session, arguments, probe);
}

}  // namespace cli
