// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_slot.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dashi::io::detail {

/// The projection that a LoRA of an attention processor was on: "to_out" is the first of a list,
/// and text encoders call theirs q_proj.
inline std::string projection_name(std::string_view attention, std::string_view lora) {
  bool const text = attention.ends_with("self_attn");
  if (lora == "to_out") {
    return text ? "out_proj" : "to_out.0";
  }
  return text && lora.starts_with("to_") ? std::string(lora.substr(3)) + "_proj"
                                         : std::string(lora);
}

/// Path of the module in `stem`: X.attn1.processor.to_q_lora, X.self_attn.to_q_lora, X.lora,
/// X.lora_linear_layer, or X itself.
inline std::string old_module_path(std::string_view stem) {
  for (std::string_view const end : {".lora_linear_layer", ".lora"}) {
    if (stem.ends_with(end)) {
      return std::string(stem.substr(0, stem.size() - end.size()));
    }
  }
  constexpr std::string_view lora = "_lora";
  constexpr std::string_view processor = ".processor";
  std::size_t const dot = stem.rfind('.');
  if (!stem.ends_with(lora) || dot == std::string_view::npos) {
    return std::string(stem);
  }
  std::string_view attention = stem.substr(0, dot);
  if (attention.ends_with(processor)) {
    attention.remove_suffix(processor.size());
  }
  return std::string(attention) + "." +
         projection_name(attention, stem.substr(dot + 1, stem.size() - dot - 1 - lora.size()));
}

/// diffusers before PEFT, without the prefix; of DiffuseKronA, which took over the names, the
/// factors are Kronecker's and there is no alpha.
inline std::optional<std::pair<std::string, AdapterSlot>> parse_old_key(std::string_view name,
                                                                        bool krona) {
  constexpr std::string_view down = ".down.weight";
  constexpr std::string_view up = ".up.weight";
  constexpr std::string_view alpha = ".alpha";
  if (name.ends_with(alpha) && !krona) {
    return std::pair(old_module_path(name.substr(0, name.size() - alpha.size())),
                     AdapterSlot::alpha);
  }
  bool const is_down = name.ends_with(down);
  if (!is_down && !name.ends_with(up)) {
    return std::nullopt;
  }
  std::string_view const stem = name.substr(0, name.size() - (is_down ? down : up).size());
  std::string path = old_module_path(stem);
  if (path == stem) {  // control-LoRA: names that say nothing of LoRA
    return std::nullopt;
  }
  AdapterSlot const slot = krona ? (is_down ? AdapterSlot::krona_down : AdapterSlot::krona_up)
                                 : (is_down ? AdapterSlot::down : AdapterSlot::up);
  return std::pair(std::move(path), slot);
}

/// The spelling that diffusers 0.20 wrote for the module.
inline std::string old_key_text(std::string_view part, std::string const& path, AdapterSlot slot) {
  std::string stem = path + (part.starts_with("text_encoder") ? ".lora_linear_layer" : ".lora");
  std::size_t const list = path.ends_with(".to_out.0") ? path.size() - 9 : std::string::npos;
  std::size_t const dot = list != std::string::npos ? list : path.rfind('.');
  if (dot != std::string::npos) {
    std::string const attention = path.substr(0, dot);
    std::string const projection = path.substr(dot + 1);
    bool const known = projection == "to_q" || projection == "to_k" || projection == "to_v" ||
                       projection == "to_out.0";
    std::size_t const level = attention.rfind('.');
    std::string const last = attention.substr(level == std::string::npos ? 0 : level + 1);
    if (known && (last == "attn1" || last == "attn2")) {
      stem = attention + ".processor." +
             (list != std::string::npos ? std::string("to_out") : projection) + "_lora";
    }
  }
  return stem + (slot == AdapterSlot::alpha                                 ? ".alpha"
                 : slot == AdapterSlot::up || slot == AdapterSlot::krona_up ? ".up.weight"
                                                                            : ".down.weight");
}

}  // namespace dashi::io::detail
