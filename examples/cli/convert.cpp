// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "convert_adapter.hpp"
#include "convert_names.hpp"
#include "failure.hpp"
#include "output_argument.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/convert_dtype.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/listing.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct ConvertArguments {
  std::string input;
  OutputArgument output;
  std::string dtype;
  std::vector<std::string> rules;
  NumberArguments numbers;
  NameArguments names;
  ConvertAdapterArguments adapter;
  bool no_digest = false;
  io::ReadOptions read;
};

std::optional<io::Dtype> target_argument(std::string const& option, std::string const& text) {
  if (text == "same") {
    return std::nullopt;
  }
  io::Dtype const dtype = dtype_argument(text);
  if (!io::is_convertible(dtype)) {
    usage_error("bad-dtype", option + " to " + io::in_quotes(text),
                io::convertible_names() + " or same");
  }
  return dtype;
}

checkpoints::ConvertRequest request_of(ConvertArguments const& arguments) {
  checkpoints::ConvertRequest request;
  if (!arguments.dtype.empty()) {
    request.dtype = target_argument("--dtype", arguments.dtype);
  }
  for (std::string const& text : arguments.rules) {
    std::size_t const at = text.rfind('=');
    if (at == std::string::npos || at == 0) {
      usage_error("bad-rule", "--rule " + io::in_quotes(text), "REGEX=DTYPE, such as 'norm=f32'",
                  "it is split at the last '='");
    }
    request.rules.emplace_back(text.substr(0, at), target_argument("--rule", text.substr(at + 1)));
  }
  if (arguments.dtype.empty() && arguments.rules.empty()) {
    usage_error("nothing-to-convert", "none of --dtype, --rule and --to", "one of them",
                "--dtype bf16 converts all floating tensors");
  }
  return request;
}

std::string change_table(checkpoints::ConvertPlan const& plan) {
  std::size_t width = 0;
  for (checkpoints::PlannedConversion const& tensor : plan.tensors) {
    width =
        std::max(width, std::min<std::size_t>(60, dashi::escaped(tensor.ref->info.name).size()));
  }
  std::string out;
  for (checkpoints::PlannedConversion const& tensor : plan.tensors) {
    io::TensorInfo const& info = tensor.ref->info;
    out += fmt::format("    {:<{}}  {:<11} {:<14} {}\n", dashi::escaped(info.name), width,
                       io::name(info.dtype),
                       tensor.converted() ? "-> " + std::string(io::name(tensor.to)) : "unchanged",
                       io::shape_text(info.shape));
  }
  return out;
}

Json json_report(ConvertArguments const& arguments, checkpoints::ConvertPlan const& plan,
                 checkpoints::ConvertResult const& result, std::string const& digest,
                 bool dry_run) {
  Json tensors = Json::array();
  for (checkpoints::PlannedConversion const& tensor : plan.tensors) {
    tensors.push_back({{"name", tensor.ref->info.name},
                       {"from", io::name(tensor.ref->info.dtype)},
                       {"to", io::name(tensor.to)},
                       {"converted", tensor.converted()}});
  }
  Json out{{"verb", "convert"},
           {"input", arguments.input},
           {"output", result.path.string()},
           {"shards", result.shards},
           {"converted", plan.converted},
           {"bytes_read", plan.checkpoint->bytes()},
           {"bytes_written", plan.bytes_to_write}};
  if (!digest.empty()) {
    out["input_digest"] = digest;
  }
  if (dry_run) {
    out["dry_run"] = true;
  } else {
    out["overflowed"] = result.counts.overflowed;
    out["nan"] = result.counts.nan;
    out["infinite"] = result.counts.infinite;
  }
  out["tensors"] = tensors;
  return out;
}

/// Names and dtypes are converted one after the other, so that each file says what was done to it.
void expect_names_alone(ConvertArguments const& arguments) {
  bool const numbers = !arguments.dtype.empty() || !arguments.rules.empty() ||
                       arguments.numbers.propagate() || arguments.numbers.saturate;
  if (!arguments.names.to.empty() && numbers) {
    usage_error("names-and-dtypes", "--to with an option that changes numbers", "one of them",
                "convert twice");
  }
  if (arguments.names.to.empty() && arguments.names.any()) {
    usage_error("names-without-to", "an option for names", "--to dit or --to diffusers with it");
  }
}

void expect_no_adapter(ConvertArguments const& arguments) {
  if (arguments.adapter.any()) {
    usage_error("not-an-adapter", "an option for adapters",
                "--to with a dialect of adapters, and an adapter");
  }
}

dashi::ExitStatus convert(Session& session, ConvertArguments const& arguments) {
  expect_path("IN", arguments.input);
  expect_names_alone(arguments);
  if (converts_adapter(arguments.names.to, arguments.input, arguments.read)) {
    if (arguments.names.any()) {
      usage_error("not-a-dit", "an option for a DiT",
                  "an adapter's options with --to " + arguments.names.to);
    }
    return convert_adapter(session, arguments.input, arguments.output, arguments.names.to,
                           arguments.adapter, arguments.read);
  }
  expect_no_adapter(arguments);
  if (!arguments.names.to.empty()) {
    return convert_names(session, arguments.input, arguments.output, arguments.names,
                         arguments.read, !arguments.no_digest);
  }
  io::CheckpointOutput const output = arguments.output.checked();
  checkpoints::ConvertRequest const request = request_of(arguments);
  io::Checkpoint const checkpoint(arguments.input, arguments.read);
  session.warn_all(checkpoint.warnings());
  warn_of_unshared_metadata(session, checkpoint);
  checkpoints::ConvertPlan const plan = checkpoints::plan_conversion(checkpoint, request);
  if (plan.converted == 0) {
    session.warn(arguments.input + ": no tensor changes its dtype");
  }
  std::string digest;
  checkpoints::ConvertResult result;
  if (session.options.dry_run) {
    std::vector<std::uint64_t> sizes;
    for (io::TensorSpec const& spec : plan.specs()) {
      sizes.push_back(io::tensor_bytes(spec, arguments.input));
    }
    auto const planned = planned_output(arguments.output.path, sizes, output);
    result.path = planned.path;
    result.shards = planned.shards;
    session.say(change_table(plan));
  } else {
    session.will_write(arguments.output.path);
    session.start_kokkos();
    if (!arguments.no_digest) {
      digest = io::checkpoint_digest(checkpoint, static_cast<std::size_t>(session.threads()),
                                     session.progress("digest"));
    }
    checkpoints::ConvertOptions options;
    options.nonfinite = arguments.numbers.propagate() ? dashi::merging::NonfinitePolicy::propagate
                                                      : dashi::merging::NonfinitePolicy::error;
    options.overflow = overflow_policy(arguments.numbers);
    options.stream = {.workers = session.threads(), .memory_budget = session.memory()};
    result = checkpoints::convert_dtype(
        plan, checkpoints::converted_metadata(checkpoint, request, digest), arguments.output.path,
        output, options, session.progress("convert"));
    if (result.counts.total() > 0) {
      session.warn(fmt::format("{}: {} NaN and {} infinite numbers; {} too large, {}",
                               arguments.input, result.counts.nan, result.counts.infinite,
                               result.counts.overflowed,
                               arguments.numbers.saturate ? "saturated" : "now infinite or NaN"));
    }
  }
  session.say(fmt::format("{}: {} of {} tensors{} converted, {} from {}{}\n",
                          dashi::escaped(result.path.string()), grouped(plan.converted),
                          grouped(plan.tensors.size()), session.options.dry_run ? " would be" : "",
                          io::format_bytes(plan.bytes_to_write),
                          io::format_bytes(checkpoint.bytes()),
                          result.shards == 1 ? "" : fmt::format(", {} shards", result.shards)));
  if (session.options.json) {
    session.report(json_report(arguments, plan, result, digest, session.options.dry_run));
  }
  return dashi::ExitStatus::success;
}

}  // namespace

void add_convert(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ConvertArguments>();
  CLI::App* const verb = add_verb(
      app, "convert",
      "change the dtype of tensors, each number rounded once, a DiT's names, or an adapter's "
      "dialect",
      "  dashi convert model.safetensors half.safetensors --dtype f16\n"
      "  dashi convert dit.safetensors folder/ --to diffusers\n"
      "  dashi convert kohya.safetensors peft/ --to peft --base model.safetensors\n"
      "  dashi convert model.safetensors mixed.safetensors --rule 'norm|bias=same' --dtype bf16");
  verb->add_option("IN", arguments->input,
                   "safetensors file, index, or directory with one of either")
      ->required();
  add_output_argument(*verb, arguments->output);
  verb->add_option(
      "--dtype", arguments->dtype,
      "of all floating tensors that no rule matches: f64, f32, bf16, f16, f8_e4m3, f8_e5m2,\n"
      "f8_e4m3fnuz or f8_e5m2fnuz");
  verb->add_option(
          "--rule", arguments->rules,
          "REGEX=DTYPE or REGEX=same: of tensors in whose name the regular expression is found;\n"
          "may be repeated, the first that matches counts")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_name_options(*verb, arguments->names);
  add_convert_adapter_options(*verb, arguments->adapter);
  verb->add_flag("--no-digest", arguments->no_digest,
                 "leave the digest of the input out of the metadata");
  add_number_options(*verb, arguments->numbers);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, convert);
}

}  // namespace cli
