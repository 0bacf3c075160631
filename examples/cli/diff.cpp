// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "arguments.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/difference.hpp>
#include <dashi/io/checkpoint.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

struct DiffArguments {
  std::string first;
  std::string second;
  bool metadata = false;
  bool all = false;
  io::ReadOptions read;
};

std::string form(io::TensorInfo const& info) {
  return std::string(io::name(info.dtype)) + " " + io::shape_text(info.shape);
}

std::string tensor_line(checkpoints::TensorDifference const& tensor) {
  std::string out = "    " + dashi::escaped(tensor.first.name) + "  " + form(tensor.first);
  if (!tensor.same_dtype() || !tensor.same_shape()) {
    out += " and " + form(tensor.second);
  }
  if (tensor.equal()) {
    return out + "  equal\n";
  }
  if (tensor.same_dtype() && tensor.same_shape()) {
    out += fmt::format("  {} of {} elements", grouped(tensor.different),
                       grouped(tensor.first.elements()));
  }
  if (tensor.norms) {
    out += fmt::format("  max {}  L2 {}  relative {}", short_number(tensor.norms->max_abs),
                       short_number(tensor.norms->l2), short_number(tensor.norms->relative()));
    if (tensor.norms->nonfinite > 0) {
      out += fmt::format("  ({} not finite, left out)", grouped(tensor.norms->nonfinite));
    }
  }
  return out + "\n";
}

std::string names_block(std::string const& title, std::vector<std::string> const& names) {
  std::string out =
      names.empty() ? "" : fmt::format("  only in {} ({})\n", title, grouped(names.size()));
  for (std::string const& name : names) {
    out += "    " + dashi::escaped(name) + "\n";
  }
  return out;
}

std::string value_text(std::optional<std::string> const& value) {
  constexpr std::size_t limit = 60;
  return !value                   ? "nothing"
         : value->size() <= limit ? "'" + dashi::escaped(*value) + "'"
                                  : "'" + dashi::escaped(value->substr(0, limit)) + "...'";
}

std::string text_report(checkpoints::CheckpointDifference const& found,
                        DiffArguments const& arguments, bool dry_run) {
  std::string const a = dashi::escaped(arguments.first);
  std::string const b = dashi::escaped(arguments.second);
  std::string out = names_block(a, found.only_first) + names_block(b, found.only_second);
  std::uint64_t equal = 0;
  std::string lines;
  for (checkpoints::TensorDifference const& tensor : found.common) {
    equal += tensor.equal() ? 1U : 0U;
    bool const changed_form = !tensor.same_dtype() || !tensor.same_shape();
    lines +=
        changed_form || (!dry_run && (arguments.all || !tensor.equal())) ? tensor_line(tensor) : "";
  }
  out += lines.empty() ? "" : "  in both\n" + lines;
  for (checkpoints::MetadataDifference const& pair : found.metadata) {
    out += row("metadata", dashi::escaped(pair.key) + ": " + value_text(pair.first) + " and " +
                               value_text(pair.second));
  }
  if (dry_run) {
    return out +
           fmt::format("{} tensors in both would be compared\n", grouped(found.common.size()));
  }
  return out +
         fmt::format(
             "{} and {}: {}; {} of {} common tensors are equal, {} and {} on one side only{}\n", a,
             b, found.same_content() ? "equal content" : "different", grouped(equal),
             grouped(found.common.size()), grouped(found.only_first.size()),
             grouped(found.only_second.size()), found.metadata.empty() ? "" : "; metadata differs");
}

/// A number, or null for infinity, which JSON does not have.
Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json side(io::TensorInfo const& info) {
  return {{"dtype", io::name(info.dtype)}, {"shape", info.shape}};
}

Json json_report(checkpoints::CheckpointDifference const& found, DiffArguments const& arguments,
                 bool equal, bool dry_run) {
  Json tensors = Json::array();
  for (checkpoints::TensorDifference const& tensor : found.common) {
    Json entry{{"name", tensor.first.name}, {"a", side(tensor.first)}, {"b", side(tensor.second)}};
    if (!dry_run) {
      entry["equal"] = tensor.equal();
      if (tensor.same_dtype() && tensor.same_shape()) {
        entry["different_elements"] = tensor.different;
      }
    }
    if (tensor.norms && !dry_run) {
      entry["max_abs"] = finite(tensor.norms->max_abs);
      entry["l2"] = finite(tensor.norms->l2);
      entry["relative"] = finite(tensor.norms->relative());
      entry["nonfinite"] = tensor.norms->nonfinite;
    }
    tensors.push_back(entry);
  }
  Json metadata = Json::array();
  for (checkpoints::MetadataDifference const& pair : found.metadata) {
    metadata.push_back({{"key", pair.key},
                        {"a", pair.first ? Json(*pair.first) : Json(nullptr)},
                        {"b", pair.second ? Json(*pair.second) : Json(nullptr)}});
  }
  Json out{{"verb", "diff"}, {"a", arguments.first}, {"b", arguments.second}};
  if (dry_run) {
    out["dry_run"] = true;
  } else {
    out["equal"] = equal;
    out["equal_content"] = found.same_content();
  }
  out["only_in_a"] = found.only_first;
  out["only_in_b"] = found.only_second;
  out["metadata"] = metadata;
  out["tensors"] = tensors;
  return out;
}

dashi::ExitStatus diff(Session& session, DiffArguments const& arguments) {
  expect_path("A", arguments.first);
  expect_path("B", arguments.second);
  io::Checkpoint const first(arguments.first, arguments.read);
  io::Checkpoint const second(arguments.second, arguments.read);
  session.warn_all(first.warnings());
  session.warn_all(second.warnings());
  bool const dry_run = session.options.dry_run;
  auto const found =
      dry_run
          ? checkpoints::compare_headers(first, second)
          : checkpoints::difference(
                first, second, {.workers = session.threads(), .memory_budget = session.memory()},
                session.progress("diff"));
  bool const equal = found.same_content() && (!arguments.metadata || found.metadata.empty());
  session.say(text_report(found, arguments, dry_run));
  if (session.options.json) {
    session.report(json_report(found, arguments, equal, dry_run));
  }
  return equal || dry_run ? dashi::ExitStatus::success : dashi::ExitStatus::negative;
}

}  // namespace

void add_diff(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<DiffArguments>();
  CLI::App* const verb =
      add_verb(app, "diff", "say how two checkpoints differ; exit status 1 when they do",
               "  dashi diff before.safetensors after.safetensors\n  dashi diff --json sharded/ "
               "single.safetensors");
  verb->add_option("A", arguments->first,
                   "safetensors file, index, or directory with one of either")
      ->required();
  verb->add_option("B", arguments->second, "what it is compared with")->required();
  verb->add_flag("--metadata", arguments->metadata,
                 "metadata that differs counts as a difference too");
  verb->add_flag("--all", arguments->all, "list equal tensors too");
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, diff);
}

}  // namespace cli
