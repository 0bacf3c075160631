// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "convert_names.hpp"

#include "dit_report.hpp"
#include "failure.hpp"

#include <dashi/checkpoints/convert_dit.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/listing.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>

namespace cli {

namespace {

namespace io = dashi::io;
namespace checkpoints = dashi::checkpoints;

io::Dialect target_argument(std::string const& to) {
  if (to == "dit") {
    return io::Dialect::dit_original;
  }
  if (to != "diffusers") {
    usage_error("bad-names", "--to " + io::in_quotes(to),
                "'dit' or 'diffusers'; of an adapter 'peft', 'kohya', 'lycoris', 'comfyui', "
                "'diffusers', 'diffusers-old', 'krona', 'cloneofsimo' or 'dashi'");
  }
  return io::Dialect::dit_diffusers;
}

/// "blocks.0.attn.qkv.weight [0, 3072)", for people.
std::string source_text(checkpoints::DitTarget const& target) {
  if (target.sources.empty()) {
    return "computed";
  }
  std::string out;
  for (checkpoints::DitSource const& source : target.sources) {
    out += (out.empty() ? "" : " + ") + dashi::escaped(source.ref->info.name);
    if (source.bytes != source.ref->info.bytes()) {
      out += fmt::format(" bytes {} to {}", source.begin, source.begin + source.bytes);
    }
  }
  return out;
}

std::string rename_table(checkpoints::DitConversion const& plan) {
  std::size_t width = 0;
  for (checkpoints::DitTarget const& target : plan.tensors) {
    width = std::max(width, target.spec.name.size());
  }
  std::string out;
  for (checkpoints::DitTarget const& target : plan.tensors) {
    out += fmt::format("    {:<{}}  <- {}\n", target.spec.name, width, source_text(target));
  }
  return out;
}

Json json_report(checkpoints::DitConversion const& plan) {
  Json tensors = Json::array();
  for (checkpoints::DitTarget const& target : plan.tensors) {
    Json from = Json::array();
    for (checkpoints::DitSource const& source : target.sources) {
      from.push_back(source.ref->info.name);
    }
    tensors.push_back({{"name", target.spec.name},
                       {"dtype", io::name(target.spec.dtype)},
                       {"shape", target.spec.shape},
                       {"from", from}});
  }
  return tensors;
}

void warn_of_positions(Session& session, std::string const& input,
                       checkpoints::PositionDifference const& difference) {
  if (difference.count > 0) {
    session.warn(
        fmt::format("{}: pos_embed is left out although {} of {} entries differ from the "
                    "computed table, by up to {}",
                    input, difference.count, difference.entries, short_number(difference.largest)));
  }
}

}  // namespace

void add_name_options(CLI::App& verb, NameArguments& arguments) {
  verb.add_option("--to", arguments.to,
                  "names of a DiT: 'dit' (the original's) or 'diffusers'; every number stays.\n"
                  "With diffusers OUT may be a folder: it gets a config.json too.\n"
                  "Of an adapter: peft (OUT is a folder), kohya, lycoris, comfyui, diffusers,\n"
                  "diffusers-old, krona, cloneofsimo or dashi; docs/adapters.md");
  verb.add_option("--heads", arguments.heads,
                  "attention heads, where no metadata and no config.json tells them");
  verb.add_option("--input-size", arguments.input_size,
                  "of the image that the model sees, 32 or HEIGHTxWIDTH, where nothing tells it");
  verb.add_flag("--drop-positions", arguments.drop_positions,
                "leave pos_embed out although it is not the computed table");
}

dashi::ExitStatus convert_names(Session& session, std::string const& input,
                                OutputArgument const& output, NameArguments const& names,
                                io::ReadOptions const& read, bool with_digest) {
  io::Dialect const to = target_argument(names.to);
  io::CheckpointOutput const file = output.checked();
  io::DitHints hints{.heads = names.heads, .input_height = 0, .input_width = 0};
  if (names.heads < 0) {
    usage_error("bad-heads", "--heads " + std::to_string(names.heads), "a number of heads");
  }
  if (!names.input_size.empty()) {
    set_input_size(hints, names.input_size);
  }
  io::Checkpoint const checkpoint(input, read);
  session.warn_all(checkpoint.warnings());
  warn_of_unshared_metadata(session, checkpoint);
  auto const plan = checkpoints::plan_dit_conversion(checkpoint, to, hints);
  std::filesystem::path const path = checkpoints::dit_weights_path(plan, output.path);
  bool const in_folder = path != std::filesystem::path(output.path);
  if (in_folder) {
    checkpoints::expect_for_diffusers(plan);
    if (plan.model.heads_assumed) {
      session.warn(fmt::format("{}: {} heads are assumed from the width {}; --heads says others",
                               input, plan.model.configuration.heads,
                               plan.model.configuration.width));
    }
  }
  checkpoints::StreamOptions const stream{.workers = session.threads(),
                                          .memory_budget = session.memory()};
  warn_of_positions(session, input,
                    checkpoints::check_dit_conversion(plan, names.drop_positions, stream));
  checkpoints::DitProvenance provenance;
  checkpoints::DitConvertResult result;
  if (session.options.dry_run) {
    std::vector<std::uint64_t> sizes;
    for (checkpoints::DitTarget const& target : plan.tensors) {
      sizes.push_back(target.bytes);
    }
    auto const planned = planned_output(path.string(), sizes, file);
    result.path = planned.path;
    result.shards = planned.shards;
    session.say(rename_table(plan));
  } else {
    session.will_write(path);
    provenance = checkpoints::dit_provenance(plan, with_digest, stream, session.progress("digest"));
    result = checkpoints::convert_dit(plan, provenance.metadata, output.path, file, stream,
                                      session.progress("convert"));
  }
  session.say(fmt::format(
      "{}: {} tensors{} in {} from {}, {}{}{}\n", dashi::escaped(result.path.string()),
      grouped(plan.tensors.size()), session.options.dry_run ? " would be" : "", io::name(to),
      grouped(checkpoint.tensors().size()), io::format_bytes(plan.bytes_to_write),
      result.shards == 1 ? "" : fmt::format(", {} shards", result.shards),
      provenance.restored ? ", as the file was before" : ""));
  if (session.options.json) {
    Json out{{"verb", "convert"},
             {"input", input},
             {"output", result.path.string()},
             {"shards", result.shards},
             {"to", names.to},
             {"config", result.config.string()},
             {"bytes_read", checkpoint.bytes()},
             {"bytes_written", plan.bytes_to_write},
             {"dit", dit_json(plan.model)}};
    if (session.options.dry_run) {
      out["dry_run"] = true;
    } else {
      out["restored"] = provenance.restored;
    }
    if (!provenance.digest.empty()) {
      out["input_digest"] = provenance.digest;
    }
    out["tensors"] = json_report(plan);
    session.report(out);
  }
  return dashi::ExitStatus::success;
}

}  // namespace cli
