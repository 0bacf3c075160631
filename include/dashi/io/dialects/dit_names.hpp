// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/dialects/dialect_report.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// How a tensor of the original DiT is kept under diffusers names.
enum class DitStorage : std::uint8_t {
  same,         ///< one tensor of the same bytes
  row_thirds,   ///< three tensors, each a third of the rows: query, key, value
  every_block,  ///< a copy in every block; a model made by diffusers may let the copies differ
  absent,       ///< not kept: computed again from the size of the image
};

/// One tensor of the original DiT and where diffusers keeps it.
struct DitName {
  std::string original;
  std::vector<std::string> diffusers;  ///< thirds in row order, copies by block
  DitStorage how = DitStorage::same;
};

/// The names of a DiT of some depth in both dialects: facebookresearch/DiT and diffusers'
/// DiTTransformer2DModel. 12 + 10 depth tensors against 6 + 19 depth. Names alone: shapes are in
/// dit_shapes.hpp.
class DitNames {
public:
  /// A tensor under one of its names.
  struct Place {
    std::size_t entry = 0;  ///< index into entries()
    std::size_t part = 0;   ///< index into its diffusers names; 0 for the original's
  };

  explicit DitNames(std::int64_t depth) : depth_(depth) {
    DASHI_EXPECTS(depth >= 0, "a model cannot have fewer than no blocks");
    add("pos_embed", {}, DitStorage::absent);
    add_layer("x_embedder.proj", "pos_embed.proj");
    std::string const embedder = "norm1.emb.timestep_embedder.linear_";
    for (std::string const kind : {".weight", ".bias"}) {
      add("t_embedder.mlp.0" + kind, copies(embedder + "1" + kind), DitStorage::every_block);
      add("t_embedder.mlp.2" + kind, copies(embedder + "2" + kind), DitStorage::every_block);
    }
    add("y_embedder.embedding_table.weight",
        copies("norm1.emb.class_embedder.embedding_table.weight"), DitStorage::every_block);
    for (std::int64_t b = 0; b < depth; ++b) {
      std::string const from = "blocks." + std::to_string(b) + ".";
      std::string const to = "transformer_blocks." + std::to_string(b) + ".";
      add_layer(from + "adaLN_modulation.1", to + "norm1.linear");
      for (std::string const kind : {".weight", ".bias"}) {
        add(from + "attn.qkv" + kind,
            {to + "attn1.to_q" + kind, to + "attn1.to_k" + kind, to + "attn1.to_v" + kind},
            DitStorage::row_thirds);
      }
      add_layer(from + "attn.proj", to + "attn1.to_out.0");
      add_layer(from + "mlp.fc1", to + "ff.net.0.proj");
      add_layer(from + "mlp.fc2", to + "ff.net.2");
    }
    add_layer("final_layer.adaLN_modulation.1", "proj_out_1");
    add_layer("final_layer.linear", "proj_out_2");
  }

  std::int64_t depth() const noexcept { return depth_; }
  std::vector<DitName> const& entries() const noexcept { return entries_; }

  /// Where an original name stands, or null. Logarithmic, as the next.
  Place const* find_original(std::string_view name) const { return find(originals_, name); }
  /// Where a diffusers name stands, or null.
  Place const* find_diffusers(std::string_view name) const { return find(diffusers_, name); }
  /// In the dialect, one of the two of DiT.
  Place const* find(Dialect dialect, std::string_view name) const {
    return dialect == Dialect::dit_original ? find_original(name) : find_diffusers(name);
  }

  /// All names of a dialect, in the order of entries().
  std::vector<std::string> names(Dialect dialect) const {
    std::vector<std::string> out;
    for (DitName const& entry : entries_) {
      if (dialect == Dialect::dit_original) {
        out.push_back(entry.original);
      } else {
        out.insert(out.end(), entry.diffusers.begin(), entry.diffusers.end());
      }
    }
    return out;
  }

private:
  using Places = std::map<std::string, Place, std::less<>>;

  static Place const* find(Places const& places, std::string_view name) {
    auto const at = places.find(name);
    return at == places.end() ? nullptr : &at->second;
  }

  std::vector<std::string> copies(std::string const& name) const {
    std::vector<std::string> out;
    for (std::int64_t b = 0; b < depth_; ++b) {
      out.push_back("transformer_blocks." + std::to_string(b) + "." + name);
    }
    return out;
  }

  void add_layer(std::string const& original, std::string const& diffusers) {
    for (std::string const kind : {".weight", ".bias"}) {
      add(original + kind, {diffusers + kind}, DitStorage::same);
    }
  }

  void add(std::string original, std::vector<std::string> diffusers, DitStorage how) {
    originals_[original] = {entries_.size(), 0};
    for (std::size_t part = 0; part < diffusers.size(); ++part) {
      diffusers_[diffusers[part]] = {entries_.size(), part};
    }
    entries_.push_back({std::move(original), std::move(diffusers), how});
  }

  std::int64_t depth_;
  std::vector<DitName> entries_;
  Places originals_;
  Places diffusers_;
};

/// How a list of names differs from that of a model.
struct DitNameDifference {
  std::vector<std::string> unknown;  ///< in the list, not in the model
  std::vector<std::string> missing;  ///< in the model, not in the list
  bool empty() const noexcept { return unknown.empty() && missing.empty(); }
};

/// `names` must not hold one twice.
inline DitNameDifference compare_names(DitNames const& model, Dialect dialect,
                                       std::vector<std::string> const& names) {
  DitNameDifference out;
  std::map<std::string, bool, std::less<>> seen;
  for (std::string& name : model.names(dialect)) {
    seen.emplace(std::move(name), false);
  }
  for (std::string const& name : names) {
    if (auto const at = seen.find(name); at != seen.end()) {
      at->second = true;
    } else {
      out.unknown.push_back(name);
    }
  }
  for (auto const& [name, there] : seen) {
    if (!there) {
      out.missing.push_back(name);
    }
  }
  return out;
}

/// What a DiT's list of names becomes in the other dialect; `unknown` ones are left out.
struct DitTranslation {
  std::vector<std::string> names;  ///< each once, in the order in which the list asks for them
  std::vector<std::string> unknown;
};

/// `from` is the dialect of `names`.
inline DitTranslation translate_names(DitNames const& model, Dialect from,
                                      std::vector<std::string> const& names) {
  DitTranslation out;
  std::vector<bool> done(model.entries().size(), false);
  for (std::string const& name : names) {
    DitNames::Place const* const place = model.find(from, name);
    if (place == nullptr) {
      out.unknown.push_back(name);
    } else if (!done[place->entry]) {
      done[place->entry] = true;
      DitName const& entry = model.entries()[place->entry];
      if (from == Dialect::dit_original) {
        out.names.insert(out.names.end(), entry.diffusers.begin(), entry.diffusers.end());
      } else {
        out.names.push_back(entry.original);
      }
    }
  }
  return out;
}

}  // namespace dashi::io
