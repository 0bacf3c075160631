// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_form.hpp>
#include <dashi/io/adapters/adapter_key.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace dashi::io {

/// Which model of a pipeline a prefix means.
enum class AdapterPart : std::uint8_t {
  whole,  ///< the one model that was adapted, whichever it is
  denoiser,
  text_encoder,
  text_encoder_2,
  text_encoder_3,
};

constexpr AdapterPart adapter_part(std::string_view prefix) noexcept {
  if (prefix == "lora_unet" || prefix == "lora_transformer" || prefix == "unet" ||
      prefix == "transformer" || prefix == "diffusion_model") {
    return AdapterPart::denoiser;
  }
  if (prefix == "lora_te" || prefix == "lora_te1" || prefix == "text_encoder" ||
      prefix == "text_encoders.clip_l.transformer") {
    return AdapterPart::text_encoder;
  }
  if (prefix == "lora_te2" || prefix == "text_encoder_2" ||
      prefix == "text_encoders.clip_g.transformer") {
    return AdapterPart::text_encoder_2;
  }
  if (prefix == "lora_te3" || prefix == "text_encoder_3" ||
      prefix == "text_encoders.t5xxl.transformer") {
    return AdapterPart::text_encoder_3;
  }
  return AdapterPart::whole;
}

/// What a module of an adapter is called in messages and reports: its name in the file without the
/// ending of a tensor.
inline std::string adapter_module_name(Dialect dialect, AdapterModule const& module) {
  if (dialect == Dialect::cloneofsimo || module.part.empty()) {
    return module.path;
  }
  return module.part +
         (is_flattened(dialect)               ? "_"
          : dialect == Dialect::dashi_adapter ? ":"
                                              : ".") +
         module.path;
}

}  // namespace dashi::io
