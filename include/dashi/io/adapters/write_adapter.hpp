// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/cloneofsimo_order.hpp>
#include <dashi/io/adapters/module_encoder.hpp>
#include <dashi/io/adapters/peft_config_text.hpp>
#include <dashi/io/adapters/read_adapter.hpp>
#include <dashi/io/adapters/translate_adapter.hpp>
#include <dashi/io/commit_with_text.hpp>
#include <dashi/io/new_folder.hpp>
#include <dashi/io/output_file.hpp>
#include <dashi/io/single_file_writer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dashi::io {

/// How an adapter's file is written.
struct AdapterWriteOptions {
  OutputOptions file{};
  /// The names of the base, where flattened names or indices must become others.
  AdapterNames const* names = nullptr;
};

/// An adapter as tensors and texts of one dialect, ready to be written.
struct EncodedAdapter {
  std::vector<detail::AdapterEntry> tensors;
  std::map<std::string, std::string> metadata;
  std::string config;  ///< adapter_config.json; empty without one
  std::size_t modules = 0;
  std::shared_ptr<Checkpoint const> source;  ///< of the tensors; may be null
  std::uint64_t bytes() const {
    std::uint64_t total = 0;
    for (auto const& entry : tensors) {
      total += entry.tensor.elements() * static_cast<std::uint64_t>(bits(entry.tensor.dtype())) / 8;
    }
    return total;
  }
};

namespace detail {

/// Encodes an adapter that has the names of its dialect already.
class AdapterEncoder {
public:
  /// `from`: the dialect that the adapter had before it got these names.
  AdapterEncoder(AdapterFile const& adapter, Dialect from) : adapter_(adapter), from_(from) {}

  EncodedAdapter encode() {
    write_metadata();
    for (AdapterModule const& module : adapter_.modules) {
      bool const told = told_by_metadata(module.part);
      for (AdapterEntry& entry :
           ModuleEncoder(adapter_.path, adapter_.dialect, module, told).encode()) {
        add(std::move(entry));
      }
    }
    for (auto const& [token, tensor] : adapter_.token_embeddings) {
      add_token(token, tensor);
    }
    if (adapter_.dialect == Dialect::peft) {
      write_config();
    } else if (adapter_.dialect == Dialect::cloneofsimo) {
      write_counts();
    }
    out_.source = adapter_.source;
    out_.modules = adapter_.modules.size();
    return std::move(out_);
  }

private:
  void add(AdapterEntry entry) {
    if (!names_.insert(entry.name).second) {
      refuse_adapter(
          "duplicate-module", adapter_.path, "tensor " + in_quotes(entry.name),
          "two modules get one name in the dialect '" + std::string(name(adapter_.dialect)) + "'",
          "names that stay different", "choose a dialect with dots");
    }
    out_.tensors.push_back(std::move(entry));
  }

  void add_token(std::string const& token, AdapterTensor const& tensor) {
    if (adapter_.dialect == Dialect::dashi_adapter) {
      add({std::string(token_prefix) + token, tensor});
    } else if (adapter_.dialect == Dialect::cloneofsimo) {
      add({token, tensor});
      out_.metadata[token] = "<embed>";
    } else {
      refuse_adapter("cannot-hold-form", adapter_.path, "token " + in_quotes(token),
                     "the dialect '" + std::string(name(adapter_.dialect)) +
                         "' has no place for embeddings of tokens",
                     "an adapter without them", "--ignore REGEX leaves them out");
    }
  }

  void write_metadata() {
    Dialect const to = adapter_.dialect;
    out_.metadata = adapter_.metadata;
    std::erase_if(out_.metadata, [&](auto const& pair) {
      std::string const& key = pair.first;
      bool const network = key.starts_with("ss_network_") && !is_flattened(to);
      bool const config = key == diffusers_config_key && to != Dialect::diffusers_lora;
      bool const counts = from_ == Dialect::cloneofsimo && to != Dialect::cloneofsimo &&
                          (key.ends_with(":rank") || key == "unet" || key == "text_encoder" ||
                           pair.second == "<embed>");
      return network || config || counts || key == adapter_metadata_key;
    });
    if (to == Dialect::dashi_adapter) {
      out_.metadata[std::string(adapter_metadata_key)] = std::string(adapter_version);
    }
    if (to == Dialect::peft || to == Dialect::diffusers_lora) {
      out_.metadata.emplace("format", "pt");  // transformers' loaders ask for it
    }
    if (!adapter_.base_digest.empty()) {
      out_.metadata[std::string(adapter_base_key)] = adapter_.base_digest;
    }
    read_header_configs();
  }

  /// What diffusers' metadata says stays where it is still right; all of it goes otherwise.
  void read_header_configs() {
    auto const at = out_.metadata.find(std::string(diffusers_config_key));
    if (at == out_.metadata.end()) {
      return;
    }
    for (std::string_view const prefix : prefixes_of(Dialect::diffusers_lora)) {
      std::string const part(prefix.substr(0, prefix.size() - 1));
      PeftConfig const config =
          parse_peft_config(at->second, adapter_.path.string(), std::string(prefix));
      if (config.tells_scale() && config_agrees(config, adapter_.modules, part)) {
        told_.insert(part);
      } else if (config.tells_scale()) {
        told_.clear();
        out_.metadata.erase(at);
        return;
      }
    }
  }
  bool told_by_metadata(std::string const& part) const {
    return adapter_.dialect == Dialect::diffusers_lora && told_.count(part) != 0;
  }

  void write_config() {
    if (!adapter_.config.empty()) {
      PeftConfig const config = parse_peft_config(adapter_.config, adapter_.path.string());
      if (config_agrees(config, adapter_.modules, "base_model.model")) {
        out_.config = adapter_.config;
        return;
      }
    }
    out_.config = PeftConfigWriter(adapter_.path, adapter_.modules).text();
  }

  /// The reader of cloneofsimo wants ranks, the classes searched, and indices without a gap.
  void write_counts() {
    std::map<std::string, std::set<std::size_t>> indices;
    for (AdapterModule const& module : adapter_.modules) {
      indices[module.part].insert(cloneofsimo_index(module.path));
      out_.metadata[module.path + ":rank"] = std::to_string(module.rank);
    }
    for (auto const& [part, found] : indices) {
      out_.metadata.emplace(part, part == "unet" ? R"(["Attention", "CrossAttention", "GEGLU"])"
                                                 : R"(["CLIPAttention"])");
      if (*found.rbegin() + 1 != found.size()) {
        refuse_adapter("cannot-hold-form", adapter_.path, part,
                       std::to_string(found.size()) + " modules with indices up to " +
                           std::to_string(*found.rbegin()),
                       "all modules that the dialect counts, without a gap",
                       "choose a dialect with names");
      }
    }
  }

  AdapterFile const& adapter_;
  Dialect from_;
  EncodedAdapter out_;
  std::set<std::string> names_;
  std::set<std::string> told_;  ///< parts whose scales the metadata tells
};

}  // namespace detail

/// The tensors and texts that write_adapter() writes. Throws as it does, but for IoError.
inline EncodedAdapter encode_adapter(AdapterFile const& adapter, Dialect dialect,
                                     AdapterNames const* names = nullptr) {
  DASHI_EXPECTS(detail::is_adapter_dialect(dialect), "adapters have dialects of their own");
  AdapterFile const translated = translate_adapter(adapter, dialect, names);
  return detail::AdapterEncoder(translated, adapter.dialect).encode();
}

/// Where the tensors go: adapter_model.safetensors in a directory of PEFT, else the path itself.
inline std::filesystem::path adapter_weights_path(std::filesystem::path const& path,
                                                  Dialect dialect) {
  return dialect == Dialect::peft ? path / "adapter_model.safetensors" : path;
}

/// Writes what encode_adapter() made, by the commit protocol; of PEFT, a directory that is made
/// when it is not there.
inline void write_encoded(std::filesystem::path const& path, EncodedAdapter const& encoded,
                          Dialect dialect, OutputOptions options = {}) {
  if (encoded.source != nullptr) {
    for (SafetensorsFile const& file : encoded.source->files()) {
      options.inputs.push_back(file.file().identity());
    }
  }
  std::optional<NewFolder> folder;
  if (dialect == Dialect::peft) {
    folder.emplace(adapter_weights_path(path, dialect).parent_path());
  }
  std::filesystem::path const weights = adapter_weights_path(path, dialect);
  std::vector<TensorSpec> specs;
  for (auto const& [name, tensor] : encoded.tensors) {
    specs.push_back({name, tensor.dtype(), tensor.shape()});
  }
  SingleFileWriter writer(weights, SafetensorsLayout(specs, encoded.metadata, weights.string()),
                          options);
  std::optional<OutputFile> config;
  if (dialect == Dialect::peft) {
    config.emplace(path / "adapter_config.json", options, encoded.config.size());
    config->write_at(0, std::as_bytes(std::span(encoded.config)));
  }
  for (std::size_t i = 0; i < encoded.tensors.size(); ++i) {
    writer.file().write(writer.file().layout().position(i), 0, encoded.tensors[i].tensor.bytes());
  }
  if (encoded.source != nullptr) {
    encoded.source->expect_unchanged();
  }
  if (config) {
    commit_with_text(writer, *config, std::as_bytes(std::span(encoded.config)));
    folder->keep();
  } else {
    writer.commit();
  }
}

/// Writes an adapter in a dialect. Scales are kept so that every reader finds them: as alpha, as
/// alpha over rank in PEFT's configuration, as themselves in dashi's dialect, and, where a dialect
/// has no place for one, multiplied into a factor, each number rounded once.
///
/// FormatError (65) for what the dialect cannot hold, with the reason; UsageError where the base's
/// names are needed; IoError. Nothing is written then.
inline void write_adapter(std::filesystem::path const& path, AdapterFile const& adapter,
                          Dialect dialect, AdapterWriteOptions const& options = {}) {
  write_encoded(path, encode_adapter(adapter, dialect, options.names), dialect, options.file);
}

}  // namespace dashi::io
