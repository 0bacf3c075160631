// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::io::detail {

inline bool has(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

/// <model>:<index>:up or <model>:<index>:down.
inline bool is_cloneofsimo_name(std::string_view name) {
  std::size_t const last = name.rfind(':');
  std::size_t const first = name.find(':');
  if (first == std::string_view::npos || first == 0 || last <= first + 1) {
    return false;
  }
  std::string_view const side = name.substr(last + 1);
  std::string_view const index = name.substr(first + 1, last - first - 1);
  return (side == "up" || side == "down") && std::all_of(index.begin(), index.end(), [](char c) {
           return std::isdigit(static_cast<unsigned char>(c)) != 0;
         });
}

/// diffusers before PEFT: attention processors and `lora_linear_layer`.
inline bool is_old_diffusers_name(std::string_view name) {
  return name.ends_with("_lora.down.weight") || name.ends_with("_lora.up.weight") ||
         name.ends_with(".lora.down.weight") || name.ends_with(".lora.up.weight") ||
         has(name, ".lora_linear_layer.");
}

/// What an adapter tensor's name says of its algorithm; empty for a name of no adapter.
inline std::string_view adapter_algorithm(std::string_view name) {
  if (has(name, ".lokr_")) {
    return "LoKr";
  }
  if (has(name, ".hada_")) {
    return "LoHa";
  }
  if (has(name, ".oft_")) {
    return "OFT";
  }
  if (has(name, ".on_input")) {
    return "IA3";
  }
  if (name.ends_with(".diff") || name.ends_with(".diff_b") || name.ends_with(".w_norm") ||
      name.ends_with(".b_norm") || name.ends_with(".set_weight")) {
    return "dense";
  }
  if (name.ends_with(".gamma") || name.ends_with(".krona_down") || name.ends_with(".krona_up")) {
    return name.ends_with("a") ? "DiffFit" : "KronA";
  }
  bool const lora = name.ends_with(".lora_down") || name.ends_with(".lora_up") ||
                    has(name, ".lora_down.") || has(name, ".lora_up.") || has(name, ".lora_A.") ||
                    has(name, ".lora_B.") || has(name, ".lora_mid.") ||
                    has(name, ".lora_embedding_") || is_old_diffusers_name(name) ||
                    is_cloneofsimo_name(name);
  return lora ? "LoRA" : "";
}

/// Counts over all names of a checkpoint.
struct NameEvidence {
  std::uint64_t total = 0;
  std::uint64_t adapter = 0;  ///< names that an adapter algorithm claims
  std::uint64_t cloneofsimo = 0;
  std::uint64_t kohya = 0;  ///< adapter tensors by prefix from here on
  std::uint64_t lycoris = 0;
  std::uint64_t peft = 0;
  std::uint64_t comfyui = 0;
  std::uint64_t diffusers = 0;
  std::uint64_t old_diffusers = 0;
  std::uint64_t ldm = 0;
  std::string_view algorithm;  ///< the most particular one seen: any other before LoRA
};

inline NameEvidence count_names(Checkpoint const& checkpoint) {
  NameEvidence e;
  for (TensorRef const& ref : checkpoint.tensors()) {
    std::string_view const name = ref.info.name;
    auto const begins = [&](auto... prefix) { return (name.starts_with(prefix) || ...); };
    ++e.total;
    e.ldm += begins("model.diffusion_model.") ? 1U : 0U;
    std::string_view const algorithm = adapter_algorithm(name);
    if (algorithm.empty()) {
      continue;
    }
    ++e.adapter;
    if (e.algorithm.empty() || e.algorithm == "LoRA") {
      e.algorithm = algorithm;
    }
    if (is_cloneofsimo_name(name)) {
      ++e.cloneofsimo;
    } else if (begins("lora_unet_", "lora_te", "lora_transformer_", "lora_prior_")) {
      ++e.kohya;
    } else if (begins("lycoris_")) {
      ++e.lycoris;
    } else if (begins("base_model.model.")) {
      ++e.peft;
    } else if (begins("diffusion_model.")) {
      ++e.comfyui;
    } else if (is_old_diffusers_name(name)) {
      ++e.old_diffusers;
    } else if (begins("unet.", "transformer.", "text_encoder")) {
      ++e.diffusers;
    }
  }
  return e;
}

/// Whether the pairs X.down.weight, X.up.weight cannot be LoRA factors, whose inner extents agree.
/// DiffuseKronA stores [a2, a1] and [b1, b2] under the same names.
inline bool has_kronecker_pairs(Checkpoint const& checkpoint) {
  constexpr std::string_view down = "down.weight";
  for (TensorRef const& ref : checkpoint.tensors()) {
    std::string const& name = ref.info.name;
    if (!is_old_diffusers_name(name) || !std::string_view(name).ends_with(down)) {
      continue;
    }
    TensorRef const* const up =
        checkpoint.find(name.substr(0, name.size() - down.size()) + "up.weight");
    if (up != nullptr && up->info.shape.size() == 2 && ref.info.shape.size() == 2 &&
        up->info.shape[1] != ref.info.shape[0]) {
      return true;
    }
  }
  return false;
}

/// "rank 4" or "ranks 1 to 8" of the `down` tensors of cloneofsimo names; empty without any.
inline std::string down_ranks(Checkpoint const& checkpoint) {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  for (TensorRef const& ref : checkpoint.tensors()) {
    if (is_cloneofsimo_name(ref.info.name) && ref.info.name.ends_with(":down") &&
        !ref.info.shape.empty()) {
      std::uint64_t const rank = ref.info.shape.front();
      low = high == 0 ? rank : std::min(low, rank);
      high = std::max(high, rank);
    }
  }
  return high == 0     ? ""
         : low == high ? "rank " + std::to_string(low)
                       : "ranks " + std::to_string(low) + " to " + std::to_string(high);
}

}  // namespace dashi::io::detail
