// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_argument.hpp"
#include "arguments.hpp"
#include "draw_samples.hpp"
#include "failure.hpp"
#include "image_output.hpp"
#include "model_verbs.hpp"
#include "verbs.hpp"

#include <dashi/core/version.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/listing.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <numeric>

namespace cli {

namespace {

namespace fs = std::filesystem;
namespace io = dashi::io;

struct SampleArguments {
  DitArgument dit;
  AppliedAdapters adapters;
  SamplingArgument sampling;
  std::string output;
  std::string bank;
  std::string grid;
  std::int64_t count = 0;
  std::string format;
  std::string each;
  bool trajectory = false;
  bool force = false;
};

struct Grid {
  std::int64_t columns = 0;  ///< 0: as square as can be
  std::int64_t rows = 0;
};

Grid grid_of(std::string const& text) {
  Grid grid;
  auto const cross = text.find('x');
  char const* const end = text.data() + text.size();
  bool const good =
      cross != std::string::npos &&
      std::from_chars(text.data(), text.data() + cross, grid.columns).ptr == text.data() + cross &&
      std::from_chars(text.data() + cross + 1, end, grid.rows).ptr == end;
  if (!text.empty() &&
      (!good || grid.columns < 1 || grid.rows < 1 || grid.columns > 1000 || grid.rows > 1000)) {
    usage_error("bad-grid", "--grid " + io::in_quotes(text), "COLUMNSxROWS, such as 4x4");
  }
  return text.empty() ? Grid{} : grid;
}

std::size_t count_of(SampleArguments const& arguments, Grid const& grid) {
  if (arguments.count > 0) {
    return static_cast<std::size_t>(arguments.count);
  }
  if (grid.rows > 0) {
    return static_cast<std::size_t>(grid.columns * grid.rows);
  }
  constexpr std::size_t usual = 16;
  return arguments.sampling.classes.empty() ? usual : arguments.sampling.classes.size();
}

/// Where a bank goes: a file, or "bank.safetensors" in a folder.
fs::path bank_file(std::string const& bank) {
  std::error_code error;
  fs::path const path(bank);
  return path.extension() != ".safetensors" || fs::is_directory(path, error)
             ? path / "bank.safetensors"
             : path;
}

void expect_consistent(SampleArguments const& arguments) {
  if (arguments.output.empty() && arguments.bank.empty()) {
    usage_error("no-output", "neither OUT nor --bank", "a file to write");
  }
  if (!arguments.bank.empty() && (!arguments.each.empty() || arguments.trajectory)) {
    usage_error("bank-alone", "--bank with an option for pictures", "--bank with OUT at most");
  }
  if (arguments.trajectory && !arguments.format.empty() && arguments.format != "png") {
    usage_error("trajectory-format", "--trajectory with --out-format " + arguments.format, "a PNG");
  }
}

/// Pictures of a trajectory: for each sample a row of states and a row of predictions.
MadeImages strips(MadeImages const& images, Trajectory const& trajectory) {
  MadeImages out = images;
  out.values.clear();
  out.labels.clear();
  auto const size = static_cast<std::ptrdiff_t>(images.shape.size());
  for (std::size_t i = 0; i < images.labels.size(); ++i) {
    for (auto const* const row : {&trajectory.x, &trajectory.x0}) {
      for (std::vector<float> const& states : *row) {
        auto const begin = states.begin() + static_cast<std::ptrdiff_t>(i) * size;
        out.values.insert(out.values.end(), begin, begin + size);
        out.labels.push_back(images.labels[i]);
      }
    }
  }
  return out;
}

/// A file that a run writes, and in which format.
struct Output {
  fs::path path;
  std::string format;
};

std::vector<Output> outputs_of(Session& session, SampleArguments const& arguments,
                               OpenDit const& dit) {
  std::vector<Output> outputs;
  if (!arguments.bank.empty()) {
    outputs.push_back({bank_file(arguments.bank), "safetensors"});
  }
  if (!arguments.output.empty()) {
    fs::path const out(arguments.output);
    outputs.push_back({out, arguments.format.empty() ? image_format_of(out) : arguments.format});
    auto const channels = dit.config.channels;
    if (outputs.back().format == "png" && channels != 1 && channels != 3) {
      fs::path latents = out;
      latents.replace_extension(".safetensors");
      if (arguments.bank.empty()) {
        outputs.push_back({latents, "safetensors"});
      }
      session.warn(fmt::format(
          "{} channels are latents, and there is no decoder here: the picture shows {}, {} holds "
          "the numbers",
          channels, channels > 3 ? "the first three as red, green and blue" : "the first as grey",
          outputs.back().path == out ? bank_file(arguments.bank).string() : latents.string()));
    }
  }
  return outputs;
}

/// Refuses before hours of work what would be refused after them.
void expect_writable(std::vector<Output> const& outputs, bool force) {
  for (Output const& output : outputs) {
    std::error_code error;
    if (!force && fs::exists(fs::symlink_status(output.path, error))) {
      throw dashi::IoError(dashi::IoStage::create, 0,
                           {.code = "output-exists",
                            .file = output.path.string(),
                            .place = {},
                            .found = "the output exists",
                            .expected = {},
                            .advice = "give --force to replace it, or another name"});
    }
  }
}

struct Plan {
  SamplingOptions options;
  std::vector<std::int64_t> labels;
  Grid grid;
  dashi::Index batch = 0;
  GroupCount gates;
  std::size_t parameter_bytes = 0;
  std::size_t work_bytes = 0;
  double seconds = 0;  ///< estimated
};

/// The time of one step of one batch, for the whole run.
double estimate(DitRunner& runner, Plan const& plan, std::size_t image_size) {
  auto options = plan.options;
  options.steps = 1;
  std::vector<std::int64_t> const labels(plan.labels.begin(), plan.labels.begin() + plan.batch);
  std::vector<std::int64_t> numbers(labels.size());
  std::iota(numbers.begin(), numbers.end(), std::int64_t{0});
  std::vector<float> out(labels.size() * image_size);
  double best = 0;
  for (int i = 0; i < 2; ++i) {  // the first prepares what libraries keep
    auto const start = std::chrono::steady_clock::now();
    runner.sample(options, labels, numbers, out, {});
    best = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return best * static_cast<double>(plan.options.steps) * static_cast<double>(plan.labels.size()) /
         static_cast<double>(plan.batch);
}

std::string plan_text(Plan const& plan, OpenDit const& dit, SampleArguments const& arguments,
                      std::vector<Output> const& outputs) {
  std::string out = fmt::format("{}: {} samples of {} x {} x {}\n",
                                dashi::escaped(arguments.dit.path), plan.labels.size(),
                                dit.config.channels, dit.config.height, dit.config.width_pixels);
  out += row("model", fmt::format("depth {}, width {}, {} heads, patch {}, {} parameters",
                                  dit.config.depth, dit.config.width, dit.config.heads,
                                  dit.config.patch, grouped(dit.parameters())));
  if (plan.gates.groups > 0) {
    out +=
        row("weights", fmt::format("dense for {} of {} tailor groups drawn, factors for the rest",
                                   plan.gates.dense, plan.gates.groups));
  }
  out += row("sampler",
             fmt::format("{}, {} of {} steps, {} schedule, guidance {}", plan.options.sampler,
                         plan.options.steps, plan.options.process.steps,
                         plan.options.process.schedule, short_number(plan.options.guidance)));
  out += row("batch", std::to_string(plan.batch));
  out += row("memory", fmt::format("{} of parameters, {} of work memory",
                                   io::format_bytes(plan.parameter_bytes),
                                   io::format_bytes(plan.work_bytes)));
  out += row("time", fmt::format("about {:.3g} s, by one step", plan.seconds));
  for (Output const& output : outputs) {
    out +=
        row("writes", fmt::format("{} ({})", dashi::escaped(output.path.string()), output.format));
  }
  return out;
}

dashi::ExitStatus sample(Session& session, SampleArguments const& arguments) {
  expect_consistent(arguments);
  OpenDit const dit = open_dit(session, arguments.dit);
  Plan plan;
  plan.grid = grid_of(arguments.grid);
  plan.options = sampling_options(session, arguments.sampling, dit);
  plan.labels = labels_of(arguments.sampling, dit, count_of(arguments, plan.grid));
  OpenAdapters const adapters = open_adapters(session, arguments.adapters, dit);
  std::vector<Output> const outputs = outputs_of(session, arguments, dit);
  expect_writable(outputs, arguments.force);
  session.start_kokkos(session.threads());
  auto const runner = make_dit_runner(session, arguments.dit, dit, adapters.net);
  plan.gates = runner->expect(plan.labels, plan.options.steps, plan.options.guidance != 1);
  plan.batch = batch_of(session, arguments.sampling, plan.options, *runner, plan.labels.size());
  plan.parameter_bytes = runner->parameter_bytes();
  plan.work_bytes = runner->work_bytes(plan.options, plan.batch);
  auto const image_size = static_cast<std::size_t>(dit.config.shape().image_size());
  Json report{{"verb", "sample"}, {"model", arguments.dit.path}};
  report.update(sampling_json(plan.options, arguments.dit, dit));
  report["count"] = plan.labels.size();
  if (dit.layout) {
    report["groups"] = plan.gates.groups;
    report["dense_groups"] = plan.gates.dense;
  }
  if (!adapters.about.empty()) {
    report["adapters"] = adapters.about;
  }
  if (session.options.dry_run) {
    plan.seconds = estimate(*runner, plan, image_size);
    session.say(plan_text(plan, dit, arguments, outputs));
    report["dry_run"] = true;
    report["batch"] = plan.batch;
    report["parameter_bytes"] = plan.parameter_bytes;
    report["work_bytes"] = plan.work_bytes;
    report["estimated_seconds"] = plan.seconds;
    session.report(report);
    return dashi::ExitStatus::success;
  }
  for (Output const& output : outputs) {
    session.will_write(output.path);
  }
  std::string const digest = digest_of(session, arguments.dit, dit);
  runner->load(*dit.checkpoint, dit.model);
  Trajectory trajectory;
  auto const start = std::chrono::steady_clock::now();
  MadeImages images{{dit.config.channels, dit.config.height, dit.config.width_pixels},
                    draw_samples(session, *runner, plan.options, plan.labels, image_size,
                                 plan.batch, arguments.trajectory ? &trajectory : nullptr),
                    plan.labels,
                    {}};
  double const seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Json made = sampling_json(plan.options, arguments.dit, dit);
  made["model"] = fs::path(arguments.dit.path).filename().string();
  made["digest"] = digest;
  if (!adapters.about.empty()) {
    made["adapters"] = adapters.about;
  }
  made["classes"] = plan.labels;
  made["dashi"] = DASHI_VERSION;
  if (arguments.trajectory) {
    made["timesteps"] = trajectory.timesteps;
  }
  images.text = {{"Software", "dashi " DASHI_VERSION},
                 {"dashi.sample", made.dump(-1, ' ', true, Json::error_handler_t::replace)}};
  std::vector<std::string> written;
  for (Output const& output : outputs) {
    bool const strip = arguments.trajectory && output.format == "png";
    std::error_code error;
    if (output.path.has_parent_path() && !arguments.bank.empty()) {
      fs::create_directories(output.path.parent_path(), error);
    }
    write_images(output.path, output.format, strip ? strips(images, trajectory) : images,
                 strip ? static_cast<dashi::Index>(trajectory.timesteps.size()) : plan.grid.columns,
                 {.force = arguments.force});
    written.push_back(output.path.string());
  }
  if (!arguments.each.empty()) {
    write_each(arguments.each, images, arguments.force);
    written.push_back(arguments.each);
  }
  double const rate = static_cast<double>(plan.labels.size()) / seconds;
  session.say(fmt::format("{}: {} samples in {:.3g} s, {:.3g} images/s\n",
                          dashi::escaped(io::listing(written)), plan.labels.size(), seconds, rate));
  report["digest"] = digest;
  report["outputs"] = written;
  report["seconds"] = seconds;
  report["images_per_second"] = rate;
  session.report(report);
  return dashi::ExitStatus::success;
}

}  // namespace

void add_sample(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<SampleArguments>();
  CLI::App* const verb = add_verb(
      app, "sample", model_verb_summary("sample"),
      "  dashi sample model.safetensors out.png --class 3 --class 7 --grid 4x4 --seed 5\n"
      "  dashi sample model.safetensors strip.png --class 3 --trajectory\n"
      "  dashi sample model.safetensors out.png --adapter run/adapter=0.8\n"
      "  dashi sample model.safetensors --bank bank.safetensors --count 1000 --guidance 1");
  add_dit_argument(*verb, arguments->dit);
  verb->add_option("OUT", arguments->output,
                   "grid as PNG; numbers where the name ends in .npy or .safetensors");
  add_adapters_beside(*verb, arguments->adapters);
  add_sampling_options(*verb, arguments->sampling);
  verb->add_option("--count", arguments->count,
                   "samples; default: as many as --grid holds or classes are named, else 16")
      ->check(CLI::Range(1, 1 << 30));
  verb->add_option("--grid", arguments->grid, "COLUMNSxROWS of the picture");
  verb->add_option("--out-format", arguments->format,
                   "png, npy or safetensors; default by the name of OUT")
      ->check(CLI::IsMember({"png", "npy", "safetensors"}));
  verb->add_option("--each", arguments->each, "also write each sample as a PNG into this folder");
  verb->add_flag("--trajectory", arguments->trajectory,
                 "show eight steps of each sample: above x_t, below the x_0 predicted there");
  verb->add_option("--bank", arguments->bank,
                   "write samples and labels as safetensors to this file, or into this folder:\n"
                   "the source bank of Diff-Tuning");
  add_force(*verb, arguments->force);
  on_verb(*verb, session, arguments, sample);
}

}  // namespace cli
