// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "convert_adapter.hpp"

#include "arguments.hpp"
#include "failure.hpp"

#include <dashi/io/adapters/check_base_digest.hpp>
#include <dashi/io/adapters/write_adapter.hpp>
#include <dashi/io/byte_size.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/detect.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <optional>

namespace cli {

namespace {

namespace io = dashi::io;

/// The base and its names, which must live together.
struct NamedBase {
  explicit NamedBase(io::Checkpoint const& checkpoint)
      : base(io::adapter_base(checkpoint)), names(base) {}
  NamedBase(NamedBase const&) = delete;
  NamedBase& operator=(NamedBase const&) = delete;

  io::AdapterBase base;
  io::AdapterNames names;
};

std::string tensor_table(io::EncodedAdapter const& encoded) {
  std::string out;
  for (auto const& entry : encoded.tensors) {
    std::string const& from = entry.tensor.stored_name();
    out += fmt::format("    {}  {} {}  <- {}\n", dashi::escaped(entry.name),
                       io::name(entry.tensor.dtype()), io::shape_text(entry.tensor.shape()),
                       from.empty() ? "computed" : dashi::escaped(from));
  }
  return out;
}

}  // namespace

void add_convert_adapter_options(CLI::App& verb, ConvertAdapterArguments& arguments) {
  verb.add_option("--base", arguments.base,
                  "checkpoint whose names an adapter's flattened names or indices stand for");
  add_based_adapter_options(verb, arguments.adapter);
}

bool converts_adapter(std::string const& to, std::string const& input,
                      io::ReadOptions const& read) {
  auto const dialect = adapter_dialect(to);
  if (!dialect || *dialect != io::Dialect::diffusers_lora) {
    return dialect.has_value();
  }
  return io::dialect(io::Checkpoint(input, read)).dialect >= io::Dialect::peft;
}

dashi::ExitStatus convert_adapter(Session& session, std::string const& input,
                                  OutputArgument const& output, std::string const& to,
                                  ConvertAdapterArguments const& arguments,
                                  io::ReadOptions const& read) {
  io::Dialect const dialect = *adapter_dialect(to);
  io::CheckpointOutput out = output.checked();
  if (out.largest_shard) {
    usage_error("sharded-adapter", "--shard-size with an adapter", "one file");
  }
  if (arguments.adapter.any_base && arguments.base.empty()) {
    usage_error("any-base", "--any-base without --base", "--base, whose digest is then written");
  }
  io::AdapterFile adapter = io::read_adapter(input, arguments.adapter.options(read));
  session.warn_all(adapter.source->warnings());
  std::optional<io::Checkpoint> base;
  std::unique_ptr<NamedBase> named;
  if (!arguments.base.empty()) {
    base.emplace(arguments.base, read);
    session.warn_all(base->warnings());
    std::string digest;
    auto const threads = static_cast<std::size_t>(session.threads());
    if (arguments.adapter.any_base) {  // what it is for from now on
      adapter.base_digest = io::checkpoint_digest(*base, threads, session.progress("digest"));
    } else {
      io::check_base_digest(adapter, *base, digest, threads, session.progress("digest"));
    }
    named = std::make_unique<NamedBase>(*base);
    for (io::SafetensorsFile const& file : base->files()) {
      out.file.inputs.push_back(file.file().identity());
    }
  }
  io::EncodedAdapter const encoded =
      io::encode_adapter(adapter, dialect, named ? &named->names : nullptr);
  std::filesystem::path const path = io::adapter_weights_path(output.path, dialect);
  if (session.options.dry_run) {
    session.say(tensor_table(encoded));
  } else {
    session.will_write(path);
    io::write_encoded(output.path, encoded, dialect, out.file);
  }
  session.say(fmt::format("{}: {} modules{} in {} from {}, {}\n", dashi::escaped(path.string()),
                          grouped(encoded.modules), session.options.dry_run ? " would be" : "",
                          io::name(dialect), io::name(adapter.dialect),
                          io::format_bytes(encoded.bytes())));
  if (session.options.json) {
    Json tensors = Json::array();
    for (auto const& entry : encoded.tensors) {
      tensors.push_back({{"name", entry.name},
                         {"dtype", io::name(entry.tensor.dtype())},
                         {"shape", entry.tensor.shape()},
                         {"from", entry.tensor.stored_name()}});
    }
    Json report{{"verb", "convert"},
                {"input", input},
                {"output", path.string()},
                {"to", to},
                {"bytes_written", encoded.bytes()}};
    if (session.options.dry_run) {
      report["dry_run"] = true;
    }
    report["adapter"] = adapter_json(adapter);
    report["tensors"] = tensors;
    session.report(report);
  }
  return dashi::ExitStatus::success;
}

}  // namespace cli
