// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_error.hpp>
#include <dashi/io/adapters/adapter_file.hpp>
#include <dashi/io/adapters/adapter_scale.hpp>
#include <dashi/io/adapters/peft_config.hpp>
#include <dashi/io/adapters/peft_factors.hpp>
#include <dashi/io/adapters/scaled_tensor.hpp>
#include <dashi/io/json_text.hpp>
#include <dashi/io/listing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dashi::io::detail {

inline bool has_factors(AdapterModule const& module) {
  return std::holds_alternative<LowRankForm>(module.form) ||
         std::holds_alternative<KroneckerForm>(module.form);
}

/// Whether a configuration says of every module what the module says itself.
inline bool config_agrees(PeftConfig const& config, std::vector<AdapterModule> const& modules,
                          std::string const& part) {
  return config.tells_scale() &&
         std::all_of(modules.begin(), modules.end(), [&](AdapterModule const& module) {
           return module.part != part || !has_factors(module) ||
                  (config.scale_of(module.path) == module.scale &&
                   (module.rank == 0 ||
                    config.rank_of(module.path) == static_cast<double>(module.rank)));
         });
}

/// Makes PEFT's adapter_config.json for modules of one kind, LoRA or LoKr.
class PeftConfigWriter {
public:
  PeftConfigWriter(std::filesystem::path file, std::vector<AdapterModule> const& modules)
      : file_(std::move(file)), modules_(modules) {}

  std::string text() {
    sort_modules();
    std::map<std::string, std::string> out;  // JSON values, by key as PEFT writes them
    out["peft_type"] = kronecker_ ? "\"LOKR\"" : "\"LORA\"";
    out["base_model_name_or_path"] = "null";
    out["task_type"] = "null";
    out["inference_mode"] = "true";
    out["modules_to_save"] = saved_.empty() ? "null" : name_list(saved_);
    out["target_modules"] = name_list(adapted_);
    if (kronecker_) {
      PeftFactors const factors = find_peft_factors(file_, modules_);
      for (std::size_t i = 0; i < factored_.size(); ++i) {
        ranks_[i] = std::max(ranks_[i], factors.least_rank.at(factored_[i]->path));
      }
      out["decompose_both"] = factors.both ? "true" : "false";
      out["decompose_factor"] = std::to_string(factors.factor);
      out["use_effective_conv2d"] = factors.tucker ? "true" : "false";
      out["init_weights"] = "true";
      out["module_dropout"] = "0.0";
      out["rank_dropout"] = "0.0";
      out["rank_dropout_scale"] = "false";
    } else {
      out["bias"] = bias_of_others_ ? "\"all\"" : bias_ ? "\"lora_only\"" : "\"none\"";
      out["fan_in_fan_out"] = "false";
      out["init_lora_weights"] = "true";
      out["lora_dropout"] = "0.0";
      out["use_dora"] = dora_ ? "true" : "false";
      out["use_rslora"] = "false";
    }
    add_scales(out);
    std::string json = "{";
    for (auto const& [key, value] : out) {
      json += (json.size() == 1 ? "\n  " : ",\n  ") + quoted(key) + ": " + value;
    }
    return json + "\n}\n";
  }

private:
  static std::string quoted(std::string const& text) {
    std::string out;
    append_quoted(out, text);
    return out;
  }
  static std::string name_list(std::vector<std::string> const& names) {
    std::string out = "[";
    for (std::string const& name : names) {
      out += (out.size() == 1 ? "" : ", ") + quoted(name);
    }
    return out + "]";
  }

  [[noreturn]] void refuse(std::string found, std::string expected) const {
    refuse_adapter("cannot-hold-form", file_, {}, std::move(found), std::move(expected),
                   "--to dashi holds every form");
  }

  void sort_modules() {
    std::size_t with_dora = 0;
    for (AdapterModule const& module : modules_) {
      if (has_factors(module)) {
        bool const kron = std::holds_alternative<KroneckerForm>(module.form);
        if (!factored_.empty() && kron != kronecker_) {
          refuse("modules of LoRA and of LoKr", "one of them, as a directory of PEFT holds");
        }
        kronecker_ = kron;
        factored_.push_back(&module);
        adapted_.push_back(module.path);
        ranks_.push_back(std::max<std::uint64_t>(1, module.rank));
        with_dora += module.dora ? 1U : 0U;
        bias_ = bias_ || !module.bias.empty();
      } else if (!module.replacement.empty()) {
        saved_.push_back(module.path);
      } else {
        bias_of_others_ = bias_of_others_ || !module.bias.empty();
      }
    }
    dora_ = with_dora > 0;
    if (dora_ && (kronecker_ || with_dora != factored_.size())) {
      refuse("DoRA in " + std::to_string(with_dora) + " of " + std::to_string(factored_.size()) +
                 (kronecker_ ? " modules of LoKr" : " modules"),
             "DoRA in all or none, as PEFT has it, and in LoRA alone");
    }
    if (kronecker_ && (bias_ || bias_of_others_)) {
      refuse("trained biases beside LoKr", "none, as PEFT has it");
    }
  }

  template <class Value>
  static Value most_common(std::vector<Value> const& values, Value otherwise) {
    std::map<Value, std::size_t> counts;
    for (Value const& value : values) {
      ++counts[value];
    }
    auto const at =
        std::max_element(counts.begin(), counts.end(),
                         [](auto const& a, auto const& b) { return a.second < b.second; });
    return at == counts.end() ? otherwise : at->first;
  }

  /// A key that fits this module alone among those with factors.
  std::string pattern_for(std::string const& path) const {
    std::size_t const matches = static_cast<std::size_t>(
        std::count_if(adapted_.begin(), adapted_.end(), [&](std::string const& other) {
          return path.size() <= other.size() && other.ends_with(path);
        }));
    bool const plain = path.find_first_not_of(
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
                       std::string::npos;
    if (plain && matches == 1) {
      return path;
    }
    std::string out = "^";
    for (char const c : path) {
      out += std::string("\\.[](){}*+?|^$").find(c) == std::string::npos ? "" : "\\";
      out += c;
    }
    return out;
  }

  void add_scales(std::map<std::string, std::string>& out) const {
    std::vector<double> alphas;
    for (std::size_t i = 0; i < factored_.size(); ++i) {
      alphas.push_back(alpha_for(factored_[i]->scale, static_cast<double>(ranks_[i])));
    }
    std::uint64_t const rank = most_common(ranks_, std::uint64_t{8});
    double const alpha = most_common(alphas, 8.0);
    std::string rank_pattern;
    std::string alpha_pattern;
    for (std::size_t i = 0; i < factored_.size(); ++i) {
      std::string const key = "\n    " + quoted(pattern_for(factored_[i]->path)) + ": ";
      if (ranks_[i] != rank) {
        rank_pattern += (rank_pattern.empty() ? "" : ",") + key + std::to_string(ranks_[i]);
      }
      if (alphas[i] != alpha) {
        alpha_pattern += (alpha_pattern.empty() ? "" : ",") + key + number_text(alphas[i]);
      }
    }
    out["r"] = std::to_string(rank);
    out[kronecker_ ? "alpha" : "lora_alpha"] = number_text(alpha);
    out["rank_pattern"] = "{" + rank_pattern + (rank_pattern.empty() ? "}" : "\n  }");
    out["alpha_pattern"] = "{" + alpha_pattern + (alpha_pattern.empty() ? "}" : "\n  }");
  }

  std::filesystem::path file_;
  std::vector<AdapterModule> const& modules_;
  std::vector<AdapterModule const*> factored_;
  std::vector<std::string> adapted_;
  std::vector<std::string> saved_;
  std::vector<std::uint64_t> ranks_;  ///< by factored_
  bool kronecker_ = false;
  bool dora_ = false;
  bool bias_ = false;
  bool bias_of_others_ = false;
};

}  // namespace dashi::io::detail
