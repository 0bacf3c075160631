// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/factorised_layout.hpp>
#include <dashi/core/version.hpp>
#include <dashi/io/dialects/detect.hpp>
#include <dashi/io/dialects/dit_configuration.hpp>
#include <dashi/io/dialects/dit_metadata.hpp>
#include <dashi/io/dialects/dit_names.hpp>
#include <dashi/io/dialects/dit_variant.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::checkpoints {

/// What a file of a factorised DiT holds (docs/factorised.md).
struct FactorisedModel {
  io::DitConfiguration configuration{};
  io::DitVariant variant{};
  FactorisedLayout layout{};
};

/// Name and shape of a tensor of such a file.
struct FactorisedTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::size_t site = factorised_sites.size();  ///< of a factor; the number of sites: a dense tensor
};

/// Version of the form that is written; others are refused.
inline constexpr std::string_view factorised_dit_version = "1";

/// Where the factors of a site are: "blocks.<block>.<site>", FINE's vectors "shared.blocks.<site>".
inline std::string factor_path(std::size_t site, std::int64_t block) {
  std::string const name(factorised_sites[site].name);
  return block < 0 ? "shared.blocks." + name : "blocks." + std::to_string(block) + "." + name;
}

/// Whether a dense DiT's tensor is what the factors stand for.
inline bool is_factorised(std::string_view original) {
  if (!original.starts_with("blocks.")) {
    return false;
  }
  for (FactorisedSite const& site : factorised_sites) {
    if (original.ends_with(std::string(".") + std::string(site.weight))) {
      return true;
    }
  }
  return false;
}

namespace detail {

class FactorisedTensors {
public:
  explicit FactorisedTensors(FactorisedModel const& model) : model_(model) {}

  std::vector<FactorisedTensor> list() {
    add_dense();
    for (std::size_t s = 0; s < factorised_sites.size(); ++s) {
      add_site(s);
    }
    return std::move(out_);
  }

private:
  void add_dense() {
    auto const& c = model_.configuration;
    bool const per_block = model_.variant.embedders == io::DitEmbedders::per_block;
    io::DitNames const names(c.depth);
    for (io::DitName const& entry : names.entries()) {
      if (is_factorised(entry.original)) {
        continue;
      }
      auto const shape = io::dit_shape(c, entry.original);
      if (per_block && entry.how == io::DitStorage::every_block) {
        for (std::int64_t b = 0; b < c.depth; ++b) {
          out_.push_back({"blocks." + std::to_string(b) + "." + entry.original, shape});
        }
      } else {
        out_.push_back({entry.original, shape});
      }
    }
  }

  void add_site(std::size_t s) {
    auto const& c = model_.configuration;
    auto const& ranks = model_.layout.ranks[s];
    LinearShape const shape = factorised_sites[s].shape(c.width, c.mlp_width);
    if (model_.layout.method == SvdMethod::fine) {
      add(s, factor_path(s, -1) + ".u", ranks.learngene, shape.out);
      add(s, factor_path(s, -1) + ".v", ranks.learngene, shape.in);
      for (std::int64_t b = 0; b < c.depth; ++b) {
        add(s, factor_path(s, b) + ".sigma", ranks.learngene, 0);
      }
      return;
    }
    for (std::int64_t b = 0; b < c.depth; ++b) {
      for (auto const& [part, rank] :
           {std::pair(".learngene", ranks.learngene), std::pair(".tailors", ranks.tailors)}) {
        std::string const path = factor_path(s, b) + part;
        add(s, path + ".u", rank, shape.out);
        add(s, path + ".v", rank, shape.in);
        add(s, path + ".sigma", rank, 0);
      }
    }
  }

  void add(std::size_t site, std::string name, Index rank, Index columns) {
    if (rank > 0) {
      std::vector<std::uint64_t> shape{static_cast<std::uint64_t>(rank)};
      if (columns > 0) {
        shape.push_back(static_cast<std::uint64_t>(columns));
      }
      out_.push_back({std::move(name), std::move(shape), site});
    }
  }

  FactorisedModel const& model_;
  std::vector<FactorisedTensor> out_;
};

}  // namespace detail

/// All tensors of the file, with the names of FactorisedDit's parameters: the dense ones as an
/// original DiT has them, then the factors. Parts of no components are left out.
inline std::vector<FactorisedTensor> factorised_tensors(FactorisedModel const& model) {
  return detail::FactorisedTensors(model).list();
}

/// Numbers of all of them.
inline std::uint64_t factorised_parameters(FactorisedModel const& model) {
  std::uint64_t total = 0;
  for (FactorisedTensor const& tensor : factorised_tensors(model)) {
    std::uint64_t count = 1;
    for (std::uint64_t const extent : tensor.shape) {
      count *= extent;
    }
    total += count;
  }
  return total;
}

/// Sets the keys that say what the file is.
inline void append_factorised_metadata(std::map<std::string, std::string>& metadata,
                                       FactorisedModel const& model) {
  metadata["format"] = "pt";
  metadata["dashi.version"] = DASHI_VERSION;
  metadata[std::string(io::format_metadata_key)] =
      std::string(io::factorised_dit_format) + std::string(factorised_dit_version);
  metadata["dashi.factorisation"] = name(model.layout.method);
  metadata.erase("dashi.tailor_groups");
  metadata.erase("dashi.class_groups");
  if (model.layout.method == SvdMethod::kind) {
    std::string table;
    for (Index const group : model.layout.group_of_class) {
      table += (table.empty() ? "" : " ") + std::to_string(group);
    }
    metadata["dashi.tailor_groups"] = std::to_string(model.layout.groups);
    metadata["dashi.class_groups"] = table;
  }
  io::append_dit_metadata(metadata, model.configuration, model.variant);
}

/// The keys of `metadata` that a dense model keeps: those above, but for the DiT's own, are gone.
inline std::map<std::string, std::string> without_factorised_metadata(
    std::map<std::string, std::string> metadata) {
  for (char const* const key :
       {"dashi.format", "dashi.factorisation", "dashi.tailor_groups", "dashi.class_groups"}) {
    metadata.erase(key);
  }
  return metadata;
}

}  // namespace dashi::checkpoints
