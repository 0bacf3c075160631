// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dashi::io {

/// Conventions of tensor names, by the tool that writes them.
enum class Dialect {
  unknown,
  soup_ledger,         ///< `dashi soup`, marked by the metadata key dashi.ledger
  dit_original,        ///< facebookresearch/DiT
  dit_diffusers,       ///< diffusers DiTTransformer2DModel
  dit_factorised,      ///< a DiT in factors, marked by the metadata key dashi.format
  unet_diffusers,      ///< diffusers UNet2DConditionModel
  ldm_checkpoint,      ///< Stable Diffusion in one file, model.diffusion_model.*
  peft,                ///< base_model.model.*
  kohya,               ///< lora_unet_*, lora_te_* with flattened names
  lycoris,             ///< lycoris_* with flattened names
  comfyui,             ///< diffusion_model.* adapters of ComfyUI and ai-toolkit
  diffusers_lora,      ///< unet.*.lora_A.weight and alike
  diffusers_lora_old,  ///< *.processor.to_q_lora.down.weight and alike
  ibm_krona,           ///< DiffuseKronA: the old names with Kronecker factors
  cloneofsimo,         ///< <model>:<index>:up|down
  dashi_adapter,       ///< dashi's own, marked by the metadata key dashi.adapter
};

/// The name that people use.
constexpr std::string_view name(Dialect dialect) noexcept {
  switch (dialect) {
    case Dialect::soup_ledger: return "dashi soup ledger";
    case Dialect::dit_original: return "DiT, original names";
    case Dialect::dit_diffusers: return "DiT, diffusers names";
    case Dialect::dit_factorised: return "factorised DiT";
    case Dialect::unet_diffusers: return "UNet, diffusers names";
    case Dialect::ldm_checkpoint: return "LDM checkpoint";
    case Dialect::peft: return "PEFT adapter";
    case Dialect::kohya: return "kohya adapter";
    case Dialect::lycoris: return "LyCORIS adapter";
    case Dialect::comfyui: return "ComfyUI / ai-toolkit adapter";
    case Dialect::diffusers_lora: return "diffusers LoRA";
    case Dialect::diffusers_lora_old: return "diffusers LoRA, old names";
    case Dialect::ibm_krona: return "IBM DiffuseKronA";
    case Dialect::cloneofsimo: return "cloneofsimo LoRA";
    case Dialect::dashi_adapter: return "dashi adapter";
    case Dialect::unknown: break;
  }
  return "unknown";
}

/// Tensors whose names begin alike.
struct ParameterGroup {
  std::string name;  ///< as in the file: print it escaped
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;  ///< elements
};

/// What a checkpoint is, judged by names, shapes and metadata alone.
struct DialectReport {
  Dialect dialect = Dialect::unknown;
  std::string algorithm;               ///< of adapters: "LoRA", "LoKr", "LoHa", ...; else empty
  std::string evidence;                ///< one sentence; escape it when printing
  std::vector<ParameterGroup> groups;  ///< by name; at most 64, the last one "(others)"
  std::uint64_t data_begin = 0;        ///< file offset of the data buffer, of the first file
  bool odd_data_offset = false;        ///< whether it is odd in any file: tensors are unaligned
};

}  // namespace dashi::io
