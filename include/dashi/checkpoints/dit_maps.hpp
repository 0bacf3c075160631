// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/adapters/placement.hpp>
#include <dashi/backbones/dit_config.hpp>
#include <dashi/io/dialects/dit_names.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// The linear maps of a DiT, as options of a net are asked about them.
inline std::vector<LayerInfo> dit_maps(DitConfig const& config) {
  std::vector<LayerInfo> maps;
  Index block = -1;
  auto const add = [&](std::string name, std::string_view role, Index out, Index in) {
    maps.push_back({block, config.depth, role, {out, in}, std::move(name)});
  };
  Index const width = config.width;
  Index const patch = config.patch * config.patch;
  auto const embedder = [&](std::string const& prefix) {
    add(prefix + "t_embedder.mlp.0", role::timestep::name, width, config.frequency_size);
    add(prefix + "t_embedder.mlp.2", role::timestep::name, width, width);
  };
  add("x_embedder.proj", role::patch::name, width, config.channels * patch);
  if (config.embedders == Embedders::shared) {
    embedder("");
  }
  for (block = 0; block < config.depth; ++block) {
    std::string const prefix = "blocks." + std::to_string(block) + ".";
    if (config.embedders == Embedders::per_block) {
      embedder(prefix);
    }
    add(prefix + "attn.qkv", role::qkv::name, 3 * width, width);
    add(prefix + "attn.proj", role::attention_output::name, width, width);
    add(prefix + "mlp.fc1", role::mlp_in::name, config.mlp_width, width);
    add(prefix + "mlp.fc2", role::mlp_out::name, width, config.mlp_width);
    add(prefix + "adaLN_modulation.1", role::modulation::name, 6 * width, width);
  }
  block = -1;
  add("final_layer.linear", role::final::name, patch * config.out_channels(), width);
  add("final_layer.adaLN_modulation.1", role::final::name, 2 * width, width);
  return maps;
}

/// A parameter of a backbone, or a third of its rows.
struct DitPlace {
  std::string parameter;  ///< "blocks.3.attn.qkv.weight"
  Index third = -1;       ///< 0 to 2; -1: all of it
  Index copy = 0;         ///< block whose copy of an embedder it is, where the net has one
};

/// Where a tensor of a checkpoint is kept in the net; nothing for an unknown name.
inline std::optional<DitPlace> dit_place(io::DitNames const& names, io::Dialect dialect,
                                         Embedders embedders, std::string_view tensor) {
  io::DitNames::Place const* const place = names.find(dialect, tensor);
  if (place == nullptr) {
    return std::nullopt;
  }
  io::DitName const& entry = names.entries()[place->entry];
  DitPlace out{entry.original};
  if (dialect == io::Dialect::dit_original) {
    return out;
  }
  auto const part = static_cast<Index>(place->part);
  if (entry.how == io::DitStorage::row_thirds) {
    out.third = part;
  } else if (entry.how == io::DitStorage::every_block) {
    if (embedders == Embedders::per_block) {
      out.parameter = "blocks." + std::to_string(part) + "." + entry.original;
    } else {
      out.copy = part;
    }
  }
  return out;
}

}  // namespace dashi::checkpoints
