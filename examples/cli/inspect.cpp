// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "adapter_report.hpp"
#include "arguments.hpp"
#include "dit_report.hpp"
#include "picture_report.hpp"
#include "verbs.hpp"

#include <dashi/checkpoints/dit_embedders.hpp>
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/checkpoint_digest.hpp>
#include <dashi/io/dialects/detect.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <optional>

namespace cli {

namespace {

namespace io = dashi::io;

struct InspectArguments {
  std::string file;
  bool tensors = false;
  bool digest = false;
  AdapterArguments adapter;
  io::ReadOptions read;
};

/// What is said of a DiT.
struct DitFindings {
  std::optional<io::DitModel> model;
  std::string fault;  ///< why the tensors are no whole DiT
  bool compared = false;
  std::optional<dashi::checkpoints::EmbedderDifference> difference;  ///< between blocks
};

std::optional<DitFindings> look_at_dit(io::Checkpoint const& checkpoint, io::Dialect dialect) {
  if (dialect != io::Dialect::dit_original && dialect != io::Dialect::dit_diffusers) {
    return std::nullopt;
  }
  DitFindings findings;
  try {
    findings.model = io::read_dit(checkpoint);
  } catch (dashi::FormatError const& error) {
    findings.fault = error.what();
  }
  return findings;
}

/// What is said of an adapter.
struct AdapterFindings {
  std::optional<io::AdapterFile> adapter;
  std::string fault;  ///< why it cannot be applied
};

std::optional<AdapterFindings> look_at_adapter(InspectArguments const& arguments,
                                               io::Dialect dialect) {
  if (dialect < io::Dialect::peft) {
    return std::nullopt;
  }
  AdapterFindings findings;
  io::AdapterReadOptions options = arguments.adapter.options(arguments.read);
  try {
    findings.adapter = io::read_adapter(arguments.file, options);
  } catch (dashi::FormatError const& error) {
    findings.fault = error.what();
    if (error.diagnosis().code != "scale-unusual") {
      return findings;
    }
    options.any_scale = true;  // the scales are what a reader of the report wants to see
    findings.adapter = io::read_adapter(arguments.file, options);
  }
  return findings;
}

std::string adapter_text(AdapterFindings const& findings, std::size_t limit) {
  std::string out = findings.fault.empty() ? "" : row("adapter", "not usable: " + findings.fault);
  return out + (findings.adapter ? adapter_rows(*findings.adapter, limit) : "");
}

Json adapter_object(AdapterFindings const& findings) {
  Json out = findings.adapter ? adapter_json(*findings.adapter) : Json::object();
  if (!findings.fault.empty()) {
    out["fault"] = findings.fault;
  }
  return out;
}

void compare_embedders(DitFindings& findings, io::Checkpoint const& checkpoint,
                       Session const& session) {
  if (findings.model && findings.model->dialect == io::Dialect::dit_diffusers) {
    findings.compared = true;
    findings.difference = dashi::checkpoints::compare_embedders(
        checkpoint, io::DitNames(findings.model->configuration.depth),
        {.workers = session.threads(), .memory_budget = session.memory()});
  }
}

std::string dit_text(DitFindings const& findings) {
  std::string out =
      findings.model ? dit_rows(*findings.model) : row("DiT", "not whole: " + findings.fault);
  if (findings.compared) {
    out += row("DiT", findings.difference ? fmt::format("the embedders differ from block {} on",
                                                        findings.difference->block)
                                          : "the embedders are equal in all blocks");
  }
  return out;
}

Json dit_object(DitFindings const& findings) {
  Json out = findings.model ? dit_json(*findings.model) : Json{{"fault", findings.fault}};
  if (findings.compared) {
    out["embedders_differ_from_block"] =
        findings.difference ? Json(findings.difference->block) : Json(nullptr);
  }
  return out;
}

struct Count {
  std::uint64_t tensors = 0, elements = 0, bytes = 0;
};

std::map<std::string, Count> count_dtypes(io::Checkpoint const& checkpoint) {
  std::map<std::string, Count> counts;
  for (io::TensorRef const& ref : checkpoint.tensors()) {
    Count& count = counts[std::string(io::name(ref.info.dtype))];
    ++count.tensors;
    count.elements += ref.info.elements();
    count.bytes += ref.info.bytes();
  }
  return counts;
}

std::string counted(std::uint64_t number, char const* what) {
  return fmt::format("{} {}{}", grouped(number), what, number == 1 ? "" : "s");
}

std::string tensor_lines(io::Checkpoint const& checkpoint, std::size_t limit) {
  auto const& tensors = checkpoint.tensors();
  std::size_t const shown = std::min(limit, tensors.size());
  std::size_t width = 0;
  for (std::size_t i = 0; i < shown; ++i) {
    width = std::max(width, std::min<std::size_t>(60, dashi::escaped(tensors[i].info.name).size()));
  }
  std::string out = shown > 0 ? "  tensors\n" : "";
  for (std::size_t i = 0; i < shown; ++i) {
    out += fmt::format("    {:<{}}  {:<8} {}\n", dashi::escaped(tensors[i].info.name), width,
                       io::name(tensors[i].info.dtype), io::shape_text(tensors[i].info.shape));
  }
  if (shown < tensors.size()) {
    out += fmt::format("    and {} more (--tensors lists all)\n", grouped(tensors.size() - shown));
  }
  return out;
}

std::string text_report(io::Checkpoint const& checkpoint, io::DialectReport const& dialect,
                        std::optional<DitFindings> const& dit,
                        std::optional<AdapterFindings> const& adapter,
                        std::optional<io::ContentDigests> const& digests, bool all_tensors) {
  std::uint64_t elements = 0;
  auto const counts = count_dtypes(checkpoint);
  for (auto const& [name, count] : counts) {
    elements += count.elements;
  }
  std::string out = fmt::format(
      "{}: {}, {}, {} parameters, {}\n", dashi::escaped(checkpoint.path().string()),
      checkpoint.is_sharded() ? counted(checkpoint.files().size(), "shard") : "one file",
      counted(checkpoint.tensors().size(), "tensor"), grouped(elements),
      io::format_bytes(checkpoint.bytes()));
  out += row("dialect", std::string(io::name(dialect.dialect)) +
                            (dialect.algorithm.empty() ? "" : ", " + dialect.algorithm) + ": " +
                            dashi::escaped(dialect.evidence));
  out += dit ? dit_text(*dit) : "";
  out += adapter ? adapter_text(*adapter, all_tensors ? SIZE_MAX : 10) : "";
  for (auto const& [name, count] : counts) {
    out += row("dtype",
               fmt::format("{:<8} {}, {} parameters, {}", name, counted(count.tensors, "tensor"),
                           grouped(count.elements), io::format_bytes(count.bytes)));
  }
  for (io::ParameterGroup const& group : dialect.groups) {
    out += row("group", fmt::format("{}: {}, {} parameters", dashi::escaped(group.name),
                                    counted(group.tensors, "tensor"), grouped(group.parameters)));
  }
  for (io::SafetensorsFile const& file : checkpoint.files()) {
    std::uint64_t const begin = file.header().data_begin;
    if (checkpoint.is_sharded()) {
      out += row("shard",
                 fmt::format("{}: {}, {}", dashi::escaped(file.file().path().filename().string()),
                             counted(file.header().tensors.size(), "tensor"),
                             io::format_bytes(file.header().data_bytes())));
    }
    if (!checkpoint.is_sharded() || begin % 2 == 1) {
      out += row(
          "data",
          fmt::format("begins at byte {}{}", begin,
                      begin % 2 == 1 ? ", an odd offset: tensors are unaligned in the file" : ""));
    }
  }
  constexpr std::size_t most_pairs = 12;
  std::size_t pairs = 0;
  for (auto const& [key, value] : checkpoint.metadata()) {
    if (++pairs > most_pairs) {
      out += row("metadata", fmt::format("and {} more (--json prints all)",
                                         checkpoint.metadata().size() - most_pairs));
      break;
    }
    out += row("metadata", shortened(key, 60) + ": " + shortened(value, 100));
  }
  if (digests) {
    out += row("digest", digests->sha256) + row("digest", digests->xxh3);
  }
  return out + tensor_lines(checkpoint, all_tensors ? SIZE_MAX : 10);
}

Json json_report(io::Checkpoint const& checkpoint, io::DialectReport const& dialect,
                 std::optional<DitFindings> const& dit,
                 std::optional<AdapterFindings> const& adapter,
                 std::optional<io::ContentDigests> const& digests) {
  Json tensors = Json::array();
  std::uint64_t elements = 0;
  for (io::TensorRef const& ref : checkpoint.tensors()) {
    io::SafetensorsFile const& file = checkpoint.files()[ref.file];
    elements += ref.info.elements();
    tensors.push_back({{"name", ref.info.name},
                       {"dtype", io::name(ref.info.dtype)},
                       {"shape", ref.info.shape},
                       {"parameters", ref.info.elements()},
                       {"bytes", ref.info.bytes()},
                       {"file", file.file().path().string()},
                       {"offset", file.header().data_begin + ref.info.begin}});
  }
  Json files = Json::array();
  for (io::SafetensorsFile const& file : checkpoint.files()) {
    files.push_back({{"path", file.file().path().string()},
                     {"bytes", file.file().size()},
                     {"tensors", file.header().tensors.size()},
                     {"data_begin", file.header().data_begin},
                     {"odd_data_offset", file.header().data_begin % 2 == 1}});
  }
  Json dtypes = Json::object();
  for (auto const& [name, count] : count_dtypes(checkpoint)) {
    dtypes[name] = {
        {"tensors", count.tensors}, {"parameters", count.elements}, {"bytes", count.bytes}};
  }
  Json groups = Json::array();
  for (io::ParameterGroup const& group : dialect.groups) {
    groups.push_back(
        {{"name", group.name}, {"tensors", group.tensors}, {"parameters", group.parameters}});
  }
  Json out{{"verb", "inspect"},
           {"file", checkpoint.path().string()},
           {"sharded", checkpoint.is_sharded()},
           {"tensor_count", checkpoint.tensors().size()},
           {"parameters", elements},
           {"bytes", checkpoint.bytes()},
           {"dialect",
            {{"name", io::name(dialect.dialect)},
             {"algorithm", dialect.algorithm},
             {"evidence", dialect.evidence}}},
           {"odd_data_offset", dialect.odd_data_offset},
           {"dtypes", dtypes},
           {"groups", groups},
           {"files", files},
           {"metadata", checkpoint.metadata()}};
  if (dit) {
    out["dit"] = dit_object(*dit);
  }
  if (adapter) {
    out["adapter"] = adapter_object(*adapter);
  }
  if (digests) {
    out["digest"] = digests->sha256;
    out["digest_xxh3"] = digests->xxh3;
  }
  out["tensors"] = tensors;
  return out;
}

dashi::ExitStatus inspect(Session& session, InspectArguments const& arguments) {
  expect_path("FILE", arguments.file);
  if (auto const picture = picture_contents(arguments.file)) {
    session.say(picture_text(arguments.file, *picture));
    session.report(picture_json(arguments.file, *picture));
    return dashi::ExitStatus::success;
  }
  io::Checkpoint const checkpoint(arguments.file, arguments.read);
  session.warn_all(checkpoint.warnings());
  io::DialectReport const dialect = io::dialect(checkpoint);
  std::optional<DitFindings> dit = look_at_dit(checkpoint, dialect.dialect);
  std::optional<AdapterFindings> const adapter = look_at_adapter(arguments, dialect.dialect);
  std::optional<io::ContentDigests> digests;
  if (arguments.digest && !session.options.dry_run) {
    digests = io::checkpoint_digests(checkpoint, static_cast<std::size_t>(session.threads()),
                                     session.progress("digest"));
    if (dit) {
      compare_embedders(*dit, checkpoint, session);
    }
    checkpoint.expect_unchanged();
  }
  session.say(text_report(checkpoint, dialect, dit, adapter, digests, arguments.tensors));
  if (session.options.json) {
    session.report(json_report(checkpoint, dialect, dit, adapter, digests));
  }
  return dashi::ExitStatus::success;
}

}  // namespace

void add_inspect(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* const verb = add_verb(app, "inspect", "say what a checkpoint is and what is in it",
                                  "  dashi inspect model.safetensors\n  dashi inspect --json "
                                  "--digest model.safetensors.index.json");
  verb->add_option(
          "FILE", arguments->file,
          "safetensors file, index, or directory with one of either; or a PNG that dashi made")
      ->required();
  verb->add_flag("--tensors", arguments->tensors,
                 "list all tensors, and all modules of an adapter");
  verb->add_flag("--digest", arguments->digest,
                 "read everything and print the digests of the content, SHA-256 and XXH3");
  add_adapter_options(*verb, arguments->adapter);
  add_read_options(*verb, arguments->read);
  on_verb(*verb, session, arguments, inspect);
}

}  // namespace cli
