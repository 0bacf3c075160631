// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_key.hpp>
#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/adapter_read_options.hpp>
#include <dashi/io/adapters/adapter_scale.hpp>
#include <dashi/io/adapters/key_filter.hpp>
#include <dashi/io/adapters/module_builder.hpp>
#include <dashi/io/adapters/natural_order.hpp>
#include <dashi/io/adapters/peft_config.hpp>
#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/detect.hpp>
#include <dashi/io/input_file.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace dashi::io {

/// Metadata key under which dashi keeps the digest of the base that an adapter was made for.
inline constexpr std::string_view adapter_base_key = "dashi.base_digest";
/// Metadata key of diffusers for the configuration of its adapters.
inline constexpr std::string_view diffusers_config_key = "lora_adapter_metadata";
/// What metadata key dashi.adapter says of files of this version.
inline constexpr std::string_view adapter_version = "1";
/// Before the token of an embedding in a file of dashi.
inline constexpr std::string_view token_prefix = "token:";

namespace detail {

inline bool is_adapter_dialect(Dialect dialect) noexcept { return dialect >= Dialect::peft; }

/// Reads one file or directory.
class AdapterReader {
public:
  AdapterReader(std::filesystem::path const& path, AdapterReadOptions const& options)
      : options_(options) {
    adapter_.path = path;
    checkpoint_ = std::make_shared<Checkpoint const>(weights_path(path), options.file);
    adapter_.source = checkpoint_;
    adapter_.dialect = dialect(*checkpoint_).dialect;
    adapter_.metadata = checkpoint_->metadata();
    if (!is_adapter_dialect(adapter_.dialect)) {
      refuse_adapter("not-an-adapter", path, {},
                     "dialect '" + std::string(name(adapter_.dialect)) +
                         "': the names are those of no adapter that dashi reads",
                     "an adapter of PEFT, kohya, LyCORIS, ComfyUI, diffusers, cloneofsimo, "
                     "DiffuseKronA or dashi");
    }
    expect_version();
    if (auto const at = adapter_.metadata.find(std::string(adapter_base_key));
        at != adapter_.metadata.end()) {
      adapter_.base_digest = at->second;
    }
    read_config();
  }

  AdapterFile read() {
    collect();
    for (auto const& [place, tensors] : found_) {
      adapter_.modules.push_back(build(place, tensors));
    }
    std::stable_sort(adapter_.modules.begin(), adapter_.modules.end(),
                     [](AdapterModule const& a, AdapterModule const& b) {
                       return a.part != b.part ? a.part < b.part : natural_less(a.path, b.path);
                     });
    return std::move(adapter_);
  }

private:
  using Place = std::pair<std::string, std::string>;  ///< part and path

  /// The file that PEFT names so, where a directory has other safetensors files beside it.
  static std::filesystem::path weights_path(std::filesystem::path const& path) {
    std::error_code error;
    std::filesystem::path const usual = path / "adapter_model.safetensors";
    return std::filesystem::is_regular_file(usual, error) ? usual : path;
  }

  void expect_version() const {
    if (adapter_.dialect != Dialect::dashi_adapter) {
      return;
    }
    std::string const& version = adapter_.metadata.at(std::string(adapter_metadata_key));
    if (version != adapter_version) {
      refuse_adapter("adapter-version", adapter_.path, "metadata 'dashi.adapter'",
                     "version " + in_quotes(version),
                     "version '" + std::string(adapter_version) + "'", "use a newer dashi");
    }
  }

  void read_config() {
    if (adapter_.dialect == Dialect::peft) {
      read_peft_config();
    } else if (adapter_.dialect == Dialect::diffusers_lora) {
      auto const at = adapter_.metadata.find(std::string(diffusers_config_key));
      if (at != adapter_.metadata.end()) {
        for (std::string_view const prefix : prefixes_of(Dialect::diffusers_lora)) {
          std::string const part(prefix.substr(0, prefix.size() - 1));
          configs_.emplace(part, parse_peft_config(at->second,
                                                   adapter_.path.string() + ", metadata " +
                                                       std::string(diffusers_config_key),
                                                   std::string(prefix)));
        }
      }
    }
    for (auto const& [part, config] : configs_) {
      if (!config.refused.empty()) {
        refuse_adapter("adapter-setting", adapter_.path, config_name(),
                       "settings that change what the tensors mean: " + listing(config.refused),
                       "none of them", "merge it with the tool that made it");
      }
    }
  }

  void read_peft_config() {
    constexpr std::uint64_t most = std::uint64_t{1} << 22;
    std::filesystem::path const weights = checkpoint_->files().front().file().path();
    std::filesystem::path const path = weights.parent_path() / "adapter_config.json";
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      return;
    }
    InputFile const file(path);
    if (file.size() > most) {
      refuse_adapter("bad-adapter-config", path, {}, std::to_string(file.size()) + " bytes",
                     "at most " + std::to_string(most));
    }
    adapter_.config.resize(static_cast<std::size_t>(file.size()));
    file.read_exact(0, std::as_writable_bytes(std::span(adapter_.config)));
    PeftConfig config = parse_peft_config(adapter_.config, path.string());
    if (!config.type.empty() && config.type != "LORA" && config.type != "LOKR") {
      refuse_adapter("adapter-type", path, "key 'peft_type'", in_quotes(config.type),
                     "LORA or LOKR");
    }
    configs_.emplace("base_model.model", std::move(config));
  }

  std::string config_name() const {
    return adapter_.dialect == Dialect::peft
               ? "adapter_config.json"
               : "metadata '" + std::string(diffusers_config_key) + "'";
  }

  /// Sorts the tensors by module and slot.
  void collect() {
    KeyFilter const ignored(options_.ignore);
    std::vector<std::string> unknown;
    for (TensorRef const& ref : checkpoint_->tensors()) {
      std::string const& stored = ref.info.name;
      if (ignored.matches(stored)) {
        adapter_.ignored.push_back(stored);
        continue;
      }
      AdapterTensor tensor(checkpoint_, ref);
      auto key = parse_adapter_key(adapter_.dialect, stored);
      if (!key && is_token_embedding(ref)) {
        adapter_.token_embeddings.emplace(token_text(stored), std::move(tensor));
      } else if (!key) {
        unknown.push_back(stored);
      } else {
        place(std::move(*key), std::move(tensor));
      }
    }
    if (!unknown.empty()) {
      refuse_adapter("unknown-keys", adapter_.path, {},
                     std::to_string(unknown.size()) +
                         " tensors that mean nothing in the dialect '" +
                         std::string(name(adapter_.dialect)) + "': " + listing(unknown),
                     "tensors that it has", "--ignore REGEX leaves them out");
    }
    if (found_.empty() && adapter_.token_embeddings.empty()) {
      refuse_adapter("not-an-adapter", adapter_.path, {}, "no tensor of a module is left",
                     "at least one");
    }
  }

  bool is_token_embedding(TensorRef const& ref) const {
    return (adapter_.dialect == Dialect::cloneofsimo && ref.info.shape.size() == 1 &&
            is_convertible(ref.info.dtype)) ||
           (adapter_.dialect == Dialect::dashi_adapter && ref.info.name.starts_with(token_prefix));
  }
  std::string token_text(std::string const& stored) const {
    return adapter_.dialect == Dialect::dashi_adapter ? stored.substr(token_prefix.size()) : stored;
  }

  void place(AdapterKey key, AdapterTensor tensor) {
    SlotTensors& module = found_[{key.part, key.path}];
    auto const [at, added] = module.emplace(key.slot, tensor);
    if (!added) {
      refuse_adapter("duplicate-module", adapter_.path, "module " + in_quotes(key.path),
                     "two tensors for one purpose: " + in_quotes(at->second.stored_name()) +
                         " and " + in_quotes(tensor.stored_name()),
                     "one", "--ignore REGEX leaves one out");
    }
  }

  AdapterModule build(Place const& place, SlotTensors const& tensors) const {
    AdapterModule named;
    std::tie(named.part, named.path) = place;
    std::string const name = adapter_module_name(adapter_.dialect, named);
    bool const peft_like =
        adapter_.dialect == Dialect::peft || adapter_.dialect == Dialect::diffusers_lora;
    AdapterModule module = ModuleBuilder(adapter_.path, name, tensors).build(peft_like);
    std::tie(module.part, module.path) = place;
    if (auto const* const form = std::get_if<KroneckerForm>(&module.form);
        form != nullptr && adapter_.dialect == Dialect::peft &&
        form->second.full.shape().size() == 3) {
      refuse_adapter("adapter-shape", adapter_.path, "module " + in_quotes(name),
                     "LoKr of a Conv1d with a full second factor: PEFT computes another product",
                     "a second factor of factors", "merge it with the tool that made it");
    }
    if (auto const at = tensors.find(AdapterSlot::alpha); at != tensors.end()) {
      module.alpha = at->second;
    }
    auto const config = configs_.find(place.first);
    auto const scale = tensors.find(AdapterSlot::scale);
    ScaleRules const rules{.file = adapter_.path,
                           .dialect = adapter_.dialect,
                           .config = config == configs_.end() ? nullptr : &config->second,
                           .config_name = config_name(),
                           .options = &options_};
    ScaleRule(rules, name, module, scale == tensors.end() ? nullptr : &scale->second).apply();
    return module;
  }

  AdapterReadOptions const& options_;
  AdapterFile adapter_;
  std::shared_ptr<Checkpoint const> checkpoint_;
  std::map<std::string, PeftConfig> configs_;  ///< by part
  std::map<Place, SlotTensors> found_;
};

}  // namespace detail

/// An adapter's file, or the directory of PEFT's, in typed forms. The dialect is judged by names;
/// tensors are read later, when they are asked for.
///
/// FormatError (65) for keys that the dialect does not have and that options.ignore does not name,
/// half a pair of factors, ranks that disagree, two tensors for one purpose, alpha 0, a scale that
/// nothing tells or outside the usual band; UsageError for a bad expression; IoError.
inline AdapterFile read_adapter(std::filesystem::path const& path,
                                AdapterReadOptions const& options = {}) {
  return detail::AdapterReader(path, options).read();
}

}  // namespace dashi::io
