// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_slot.hpp>
#include <dashi/io/adapters/old_processor_key.hpp>
#include <dashi/io/dialects/dialect_report.hpp>
#include <dashi/io/dialects/name_evidence.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dashi::io {

/// A tensor's name taken apart.
struct AdapterKey {
  std::string part;  ///< prefix, without its separator
  std::string path;
  AdapterSlot slot = AdapterSlot::down;
};

/// Whether the dialect writes a module's path with '_' for '.'.
constexpr bool is_flattened(Dialect dialect) noexcept {
  return dialect == Dialect::kohya || dialect == Dialect::lycoris;
}

namespace detail {

struct SlotEnding {
  std::string_view text;
  AdapterSlot slot;
  bool written = true;  ///< false: only read
};

/// Longer endings stand before those that end them.
inline constexpr std::array kohya_endings = std::to_array<SlotEnding>({
    {".lora_down.weight", AdapterSlot::down},
    {".lora_up.weight", AdapterSlot::up},
    {".lora_mid.weight", AdapterSlot::mid},
    {".lokr_w1", AdapterSlot::w1},
    {".lokr_w1_a", AdapterSlot::w1_a},
    {".lokr_w1_b", AdapterSlot::w1_b},
    {".lokr_w2", AdapterSlot::w2},
    {".lokr_w2_a", AdapterSlot::w2_a},
    {".lokr_w2_b", AdapterSlot::w2_b},
    {".lokr_t2", AdapterSlot::t2},
    {".alpha", AdapterSlot::alpha},
    {".dora_scale", AdapterSlot::magnitude},
    {".diff", AdapterSlot::difference},
    {".diff_b", AdapterSlot::bias_difference},
    {".w_norm", AdapterSlot::difference, false},
    {".b_norm", AdapterSlot::bias_difference, false},
});

inline constexpr std::array comfyui_endings = std::to_array<SlotEnding>({
    {".lora_A.weight", AdapterSlot::down},
    {".lora_B.weight", AdapterSlot::up},
    {".lora_down.weight", AdapterSlot::down, false},
    {".lora_up.weight", AdapterSlot::up, false},
    {".lora_mid.weight", AdapterSlot::mid},
    {".lokr_w1", AdapterSlot::w1},
    {".lokr_w1_a", AdapterSlot::w1_a},
    {".lokr_w1_b", AdapterSlot::w1_b},
    {".lokr_w2", AdapterSlot::w2},
    {".lokr_w2_a", AdapterSlot::w2_a},
    {".lokr_w2_b", AdapterSlot::w2_b},
    {".lokr_t2", AdapterSlot::t2},
    {".alpha", AdapterSlot::alpha},
    {".dora_scale", AdapterSlot::magnitude},
    {".diff", AdapterSlot::difference},
    {".diff_b", AdapterSlot::bias_difference},
    {".w_norm", AdapterSlot::difference, false},
    {".b_norm", AdapterSlot::bias_difference, false},
    {".set_weight", AdapterSlot::replacement},
});

inline constexpr std::array peft_endings = std::to_array<SlotEnding>({
    {".lora_A.weight", AdapterSlot::down},
    {".lora_B.weight", AdapterSlot::up},
    {".lora_embedding_A", AdapterSlot::embedding_down},
    {".lora_embedding_B", AdapterSlot::embedding_up},
    {".lora_magnitude_vector", AdapterSlot::magnitude},
    {".lora_magnitude_vector.weight", AdapterSlot::magnitude, false},
    {".lokr_w1", AdapterSlot::w1},
    {".lokr_w1_a", AdapterSlot::w1_a},
    {".lokr_w1_b", AdapterSlot::w1_b},
    {".lokr_w2", AdapterSlot::w2},
    {".lokr_w2_a", AdapterSlot::w2_a},
    {".lokr_w2_b", AdapterSlot::w2_b},
    {".lokr_t2", AdapterSlot::t2},
    {".alpha", AdapterSlot::alpha},
    {".base_layer.bias", AdapterSlot::bias, false},
    {".modules_to_save.bias", AdapterSlot::bias, false},
    {".modules_to_save.weight", AdapterSlot::replacement, false},
    {".bias", AdapterSlot::bias},
    {".weight", AdapterSlot::replacement},
});

inline constexpr std::array diffusers_endings = std::to_array<SlotEnding>({
    {".lora_A.weight", AdapterSlot::down},
    {".lora_B.weight", AdapterSlot::up},
    {".lora_magnitude_vector", AdapterSlot::magnitude},
    {".lora_magnitude_vector.weight", AdapterSlot::magnitude, false},
    {".alpha", AdapterSlot::alpha},
});

inline constexpr std::array dashi_endings = std::to_array<SlotEnding>({
    {".lora_down", AdapterSlot::down},
    {".lora_up", AdapterSlot::up},
    {".lora_mid", AdapterSlot::mid},
    {".lora_embedding_down", AdapterSlot::embedding_down},
    {".lora_embedding_up", AdapterSlot::embedding_up},
    {".lokr_w1", AdapterSlot::w1},
    {".lokr_w1_a", AdapterSlot::w1_a},
    {".lokr_w1_b", AdapterSlot::w1_b},
    {".lokr_w2", AdapterSlot::w2},
    {".lokr_w2_a", AdapterSlot::w2_a},
    {".lokr_w2_b", AdapterSlot::w2_b},
    {".lokr_t2", AdapterSlot::t2},
    {".krona_down", AdapterSlot::krona_down},
    {".krona_up", AdapterSlot::krona_up},
    {".scale", AdapterSlot::scale},
    {".magnitude", AdapterSlot::magnitude},
    {".bias", AdapterSlot::bias},
    {".diff_b", AdapterSlot::bias_difference},
    {".diff", AdapterSlot::difference},
    {".gamma", AdapterSlot::gamma},
    {".weight", AdapterSlot::replacement},
});

inline std::span<SlotEnding const> endings_of(Dialect dialect) {
  switch (dialect) {
    case Dialect::kohya:
    case Dialect::lycoris: return kohya_endings;
    case Dialect::comfyui: return comfyui_endings;
    case Dialect::peft: return peft_endings;
    case Dialect::diffusers_lora: return diffusers_endings;
    case Dialect::dashi_adapter: return dashi_endings;
    default: return {};
  }
}

/// Prefixes of the dialect, each with its separator; longer ones before those that begin them.
inline std::span<std::string_view const> prefixes_of(Dialect dialect) {
  using std::string_view;
  static constexpr string_view kohya[] = {"lora_unet_",       "lora_te1_",     "lora_te2_",
                                          "lora_te3_",        "lora_te_",      "lora_transformer_",
                                          "lora_prior_unet_", "lora_prior_te_"};
  static constexpr string_view lycoris[] = {"lycoris_"};
  static constexpr string_view comfyui[] = {"diffusion_model.", "text_encoders.clip_l.transformer.",
                                            "text_encoders.clip_g.transformer.",
                                            "text_encoders.t5xxl.transformer."};
  static constexpr string_view peft[] = {"base_model.model."};
  static constexpr string_view diffusers[] = {"unet.", "transformer.", "text_encoder.",
                                              "text_encoder_2.", "text_encoder_3."};
  static constexpr string_view dashi[] = {
      "unet:", "text_encoder:", "text_encoder_2:", "text_encoder_3:"};
  switch (dialect) {
    case Dialect::kohya: return kohya;
    case Dialect::lycoris: return lycoris;
    case Dialect::comfyui: return comfyui;
    case Dialect::peft: return peft;
    case Dialect::diffusers_lora:
    case Dialect::diffusers_lora_old:
    case Dialect::ibm_krona: return diffusers;
    case Dialect::dashi_adapter: return dashi;
    default: return {};
  }
}

/// Whether a prefix may be left out.
constexpr bool is_prefix_optional(Dialect dialect) noexcept {
  return dialect == Dialect::diffusers_lora_old || dialect == Dialect::ibm_krona ||
         dialect == Dialect::dashi_adapter;
}

/// Cut from the front of `name`; nothing when there is none and there must be one.
inline std::optional<std::string> take_prefix(Dialect dialect, std::string_view& name) {
  for (std::string_view const prefix : prefixes_of(dialect)) {
    if (name.starts_with(prefix)) {
      name.remove_prefix(prefix.size());
      return std::string(prefix.substr(0, prefix.size() - 1));
    }
  }
  return is_prefix_optional(dialect) ? std::optional<std::string>("") : std::nullopt;
}

/// A path that still holds a factor's name is that of a factor which the dialect does not have.
inline bool is_module_path(std::string_view path) {
  for (std::string_view const part :
       {".lora_", ".lokr_", ".hada_", ".oft_", ".ia3_", ".boft_", ".vera_", ".loha_"}) {
    if (has(path, part)) {
      return false;
    }
  }
  return !path.empty() && path.front() != '.' && path.back() != '.';
}

inline std::optional<AdapterKey> cloneofsimo_key(std::string_view name) {
  if (!is_cloneofsimo_name(name)) {
    return std::nullopt;
  }
  std::size_t const last = name.rfind(':');
  return AdapterKey{std::string(name.substr(0, name.find(':'))), std::string(name.substr(0, last)),
                    name.substr(last + 1) == "up" ? AdapterSlot::up : AdapterSlot::down};
}

}  // namespace detail

/// Nothing for a name that the dialect does not have.
inline std::optional<AdapterKey> parse_adapter_key(Dialect dialect, std::string_view name) {
  if (dialect == Dialect::cloneofsimo) {
    return detail::cloneofsimo_key(name);
  }
  std::string_view rest = name;
  std::optional<std::string> part = detail::take_prefix(dialect, rest);
  if (!part) {
    return std::nullopt;
  }
  if (dialect == Dialect::diffusers_lora_old || dialect == Dialect::ibm_krona) {
    auto found = detail::parse_old_key(rest, dialect == Dialect::ibm_krona);
    if (!found || !detail::is_module_path(found->first)) {
      return std::nullopt;
    }
    return AdapterKey{std::move(*part), std::move(found->first), found->second};
  }
  for (detail::SlotEnding const& ending : detail::endings_of(dialect)) {
    if (rest.ends_with(ending.text)) {
      std::string_view const path = rest.substr(0, rest.size() - ending.text.size());
      if (!detail::is_module_path(path) ||
          (is_flattened(dialect) && path.find('.') != std::string_view::npos)) {
        return std::nullopt;
      }
      return AdapterKey{std::move(*part), std::string(path), ending.slot};
    }
  }
  return std::nullopt;
}

/// The inverse; the dialect must have the slot. `norm`: the module's weight is a vector.
inline std::string adapter_key_text(Dialect dialect, AdapterKey const& key, bool norm = false) {
  if (dialect == Dialect::cloneofsimo) {
    return key.path + (key.slot == AdapterSlot::up ? ":up" : ":down");
  }
  std::string const separator = is_flattened(dialect)               ? "_"
                                : dialect == Dialect::dashi_adapter ? ":"
                                                                    : ".";
  std::string const prefix = key.part.empty() ? "" : key.part + separator;
  if (dialect == Dialect::diffusers_lora_old || dialect == Dialect::ibm_krona) {
    return prefix + detail::old_key_text(key.part, key.path, key.slot);
  }
  bool const own = dialect == Dialect::dashi_adapter;
  if (norm && !own && key.slot == AdapterSlot::difference) {
    return prefix + key.path + ".w_norm";
  }
  if (norm && !own && key.slot == AdapterSlot::bias_difference) {
    return prefix + key.path + ".b_norm";
  }
  for (detail::SlotEnding const& ending : detail::endings_of(dialect)) {
    if (ending.slot == key.slot && ending.written) {
      return prefix + key.path + std::string(ending.text);
    }
  }
  return {};
}

}  // namespace dashi::io
