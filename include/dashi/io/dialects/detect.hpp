// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/checkpoint.hpp>
#include <dashi/io/dialects/dialect_report.hpp>
#include <dashi/io/dialects/name_evidence.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace dashi::io {

/// Metadata key that marks a soup's ledger; its value is the manifest.
inline constexpr std::string_view ledger_metadata_key = "dashi.ledger";
/// Metadata key that marks dashi's own adapters; its value is the version, docs/adapters.md.
inline constexpr std::string_view adapter_metadata_key = "dashi.adapter";
/// Metadata key of files in forms of our own, and its value, without the version, in a factorised
/// DiT (docs/factorised.md).
inline constexpr std::string_view format_metadata_key = "dashi.format";
inline constexpr std::string_view factorised_dit_format = "factorised-dit ";

namespace detail {

inline std::string group_name(std::string_view name, Dialect dialect) {
  if (dialect == Dialect::cloneofsimo) {
    return is_cloneofsimo_name(name) ? std::string(name.substr(0, name.find(':'))) : "embeddings";
  }
  if (dialect == Dialect::kohya || dialect == Dialect::lycoris) {
    std::size_t const first = name.find('_');
    std::size_t const second = dialect == Dialect::lycoris ? first : name.find('_', first + 1);
    return std::string(name.substr(0, second));
  }
  for (std::string_view const prefix : {"model.diffusion_model.", "base_model.model."}) {
    if (name.starts_with(prefix)) {
      return std::string(prefix.substr(0, prefix.size() - 1));
    }
  }
  return std::string(name.substr(0, name.find_first_of(".:")));
}

inline std::vector<ParameterGroup> parameter_groups(Checkpoint const& checkpoint, Dialect dialect) {
  constexpr std::size_t most = 64;
  std::map<std::string, ParameterGroup> by_name;
  ParameterGroup others{"(others)", 0, 0};
  for (TensorRef const& ref : checkpoint.tensors()) {
    std::string const group = group_name(ref.info.name, dialect);
    auto const at =
        by_name.size() < most - 1 ? by_name.try_emplace(group).first : by_name.find(group);
    ParameterGroup& target = at == by_name.end() ? others : at->second;
    ++target.tensors;
    target.parameters += ref.info.elements();
  }
  std::vector<ParameterGroup> groups;
  for (auto& [group, counts] : by_name) {
    counts.name = group;
    groups.push_back(std::move(counts));
  }
  if (others.tensors > 0) {
    groups.push_back(std::move(others));
  }
  return groups;
}

inline std::pair<Dialect, std::string> judge(Checkpoint const& c) {
  auto const all = [&](auto... names) { return ((c.find(names) != nullptr) && ...); };
  auto const any_of_prefix = [&](std::string_view prefix) {
    auto const& tensors = c.tensors();
    auto const at = std::lower_bound(
        tensors.begin(), tensors.end(), prefix,
        [](TensorRef const& ref, std::string_view wanted) { return ref.info.name < wanted; });
    return at != tensors.end() && at->info.name.starts_with(prefix);
  };
  if (c.metadata().count(std::string(ledger_metadata_key)) != 0) {
    return {Dialect::soup_ledger, "the metadata key 'dashi.ledger' is there"};
  }
  if (c.metadata().count(std::string(adapter_metadata_key)) != 0) {
    return {Dialect::dashi_adapter, "the metadata key 'dashi.adapter' is there"};
  }
  if (auto const format = c.metadata().find(std::string(format_metadata_key));
      format != c.metadata().end() && format->second.starts_with(factorised_dit_format)) {
    return {Dialect::dit_factorised, "the metadata key 'dashi.format' says so"};
  }
  NameEvidence const e = count_names(c);
  auto const of_all = [&](std::uint64_t count) {
    return std::to_string(count) + " of " + std::to_string(e.total) + " tensors ";
  };
  auto const most = [&](std::uint64_t count) { return count > 0 && 2 * count > e.adapter; };
  if (most(e.cloneofsimo)) {
    std::uint64_t const rest = e.total - e.cloneofsimo;
    std::string const ranks = down_ranks(c);
    return {Dialect::cloneofsimo,
            of_all(e.cloneofsimo) + "are named <model>:<index>:up or :down" +
                (ranks.empty() ? "" : " (" + ranks + ")") +
                (rest == 0 ? "" : ", the other " + std::to_string(rest) + " are token embeddings") +
                "; there is no alpha, so the scale is 1"};
  }
  if (most(e.kohya)) {
    return {Dialect::kohya,
            of_all(e.kohya) + "are adapter factors under flattened names lora_<part>_..."};
  }
  if (most(e.lycoris)) {
    return {Dialect::lycoris,
            of_all(e.lycoris) + "are adapter factors under flattened names lycoris_..."};
  }
  if (most(e.peft)) {
    return {Dialect::peft, of_all(e.peft) +
                               "are adapter factors below base_model.model; the scale is in "
                               "adapter_config.json"};
  }
  if (most(e.comfyui)) {
    return {Dialect::comfyui, of_all(e.comfyui) + "are adapter factors below diffusion_model"};
  }
  if (most(e.old_diffusers)) {
    if (has_kronecker_pairs(c)) {
      return {Dialect::ibm_krona,
              of_all(e.old_diffusers) +
                  "are named like LoRA attention processors, but the inner extents of "
                  "down and up differ: they are Kronecker factors"};
    }
    return {
        Dialect::diffusers_lora_old,
        of_all(e.old_diffusers) + "are named like LoRA attention processors (lora.down, lora.up)"};
  }
  if (most(e.diffusers)) {
    return {Dialect::diffusers_lora, of_all(e.diffusers) +
                                         "are adapter factors below unet, transformer or "
                                         "text_encoder"};
  }
  if (all("x_embedder.proj.weight", "blocks.0.adaLN_modulation.1.weight",
          "final_layer.linear.weight", "t_embedder.mlp.0.weight")) {
    return {Dialect::dit_original,
            "x_embedder, t_embedder, blocks.*.adaLN_modulation and final_layer are there"};
  }
  if (all("pos_embed.proj.weight", "proj_out_1.weight", "proj_out_2.weight",
          "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1.weight")) {
    return {Dialect::dit_diffusers,
            "pos_embed.proj, transformer_blocks.*.norm1.emb, proj_out_1 and proj_out_2 are there"};
  }
  if (e.ldm > 0) {
    return {Dialect::ldm_checkpoint,
            of_all(e.ldm) + "are below model.diffusion_model" +
                (any_of_prefix("first_stage_model.") ? ", with the autoencoder first_stage_model"
                                                     : "") +
                (any_of_prefix("cond_stage_model.") || any_of_prefix("conditioner.")
                     ? " and the text encoder"
                     : "")};
  }
  if (all("conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight") &&
      any_of_prefix("down_blocks.0.") && any_of_prefix("up_blocks.0.")) {
    return {Dialect::unet_diffusers,
            "conv_in, time_embedding, down_blocks, up_blocks and conv_out are there"};
  }
  return {Dialect::unknown, e.total == 0 ? "there are no tensors"
                                         : "the tensor names match no convention that dashi knows"};
}

}  // namespace detail

/// Names what a checkpoint is: whose names it uses, and which adapter algorithm it holds.
inline DialectReport dialect(Checkpoint const& checkpoint) {
  DialectReport report;
  std::tie(report.dialect, report.evidence) = detail::judge(checkpoint);
  if (report.dialect == Dialect::ibm_krona) {
    report.algorithm = "KronA";
  } else if (report.dialect >= Dialect::peft) {
    report.algorithm = detail::count_names(checkpoint).algorithm;
  }
  report.groups = detail::parameter_groups(checkpoint, report.dialect);
  report.data_begin = checkpoint.files().front().header().data_begin;
  for (SafetensorsFile const& file : checkpoint.files()) {
    report.odd_data_offset = report.odd_data_offset || file.header().data_begin % 2 == 1;
  }
  return report;
}

}  // namespace dashi::io
