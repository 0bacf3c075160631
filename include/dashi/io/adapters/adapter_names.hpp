// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/io/adapters/adapter_base.hpp>
#include <dashi/io/adapters/adapter_part.hpp>
#include <dashi/io/adapters/adapter_place.hpp>
#include <dashi/io/adapters/cloneofsimo_order.hpp>
#include <dashi/io/dialects/dit_names.hpp>
#include <dashi/io/dialects/unet_names.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dashi::io {

/// "blocks.0.attn.qkv" as "blocks_0_attn_qkv".
inline std::string flattened(std::string_view path) {
  std::string out(path);
  std::replace(out.begin(), out.end(), '.', '_');
  return out;
}

/// All names under which adapters may know the modules of one base: its own; those of the original
/// code and of diffusers (UNets of SD 1, 2, XL and their text encoders, DiT with the thirds of
/// qkv); all of them flattened; and cloneofsimo's indices. The base must outlive them.
class AdapterNames {
public:
  explicit AdapterNames(AdapterBase const& base) : base_(base) {
    if (base.dialect == Dialect::dit_original || base.dialect == Dialect::dit_diffusers) {
      add_stored(AdapterPart::denoiser, "");
      add_dit();
    } else if (base.dialect == Dialect::unet_diffusers) {
      add_stored(AdapterPart::denoiser, "");
      add_ldm_aliases();
    } else if (base.dialect == Dialect::ldm_checkpoint) {
      add_ldm();
    } else {
      add_stored(AdapterPart::whole, "");
      add_text_aliases(0);
    }
    index();
  }

  AdapterBase const& base() const noexcept { return base_; }
  std::vector<AdapterPlace> const& places() const noexcept { return places_; }

  /// Places of that name, by index into places(); those with the same pieces once.
  std::vector<std::size_t> find(Dialect dialect, AdapterModule const& module) const {
    AdapterPart const part = adapter_part(module.part);
    std::vector<std::size_t> out;
    if (dialect == Dialect::cloneofsimo) {
      auto const& order = part == AdapterPart::denoiser ? unet_order_ : text_order_;
      std::size_t const index = cloneofsimo_index(module.path);
      return index < order.size() ? std::vector{order[index]} : out;
    }
    auto const& names = is_flattened(dialect) ? by_flat_ : by_path_;
    auto const [begin, end] = names.equal_range(module.path);
    for (auto at = begin; at != end; ++at) {
      AdapterPlace const& place = places_[at->second];
      bool const fits =
          part == AdapterPart::whole || place.part == AdapterPart::whole || part == place.part;
      bool const known = std::any_of(out.begin(), out.end(), [&](std::size_t other) {
        return places_[other].pieces == place.pieces;
      });
      if (fits && !known) {
        out.push_back(at->second);
      }
    }
    return out;
  }

  /// The name of the same rows in another style; null when there is none.
  AdapterPlace const* in_style(AdapterPlace const& place, NameStyle style) const {
    for (AdapterPlace const& other : places_) {
      if (other.style == style && other.part == place.part && other.pieces == place.pieces) {
        return &other;
      }
    }
    return nullptr;
  }

  /// Modules of the base that cloneofsimo's files count.
  std::vector<std::size_t> const& cloneofsimo_places(AdapterPart part) const noexcept {
    return part == AdapterPart::denoiser ? unet_order_ : text_order_;
  }

private:
  std::size_t find_tensor(std::string_view name) const {
    auto const at = std::lower_bound(
        base_.tensors.begin(), base_.tensors.end(), name,
        [](TensorInfo const& info, std::string_view wanted) { return info.name < wanted; });
    return at != base_.tensors.end() && at->name == name
               ? static_cast<std::size_t>(at - base_.tensors.begin())
               : base_.tensors.size();
  }
  bool is_there(std::size_t tensor) const { return tensor < base_.tensors.size(); }
  std::uint64_t rows_of(std::size_t tensor) const {
    auto const& shape = base_.tensors[tensor].shape;
    return shape.empty() ? 1 : shape.front();
  }

  AdapterPiece whole(std::size_t weight, std::string const& bias) const {
    return {weight, is_there(find_tensor(bias)) ? bias : std::string(), 0, 0, rows_of(weight)};
  }

  /// Modules below a prefix by their own names.
  void add_stored(AdapterPart part, std::string_view prefix) {
    constexpr std::string_view end = ".weight";
    for (std::size_t i = 0; i < base_.tensors.size(); ++i) {
      std::string_view const name = base_.tensors[i].name;
      if (name.starts_with(prefix) && name.ends_with(end) &&
          name.size() > prefix.size() + end.size()) {
        std::string const stem(name.substr(0, name.size() - end.size()));
        places_.push_back(
            {part, stem.substr(prefix.size()), NameStyle::stored, {whole(i, stem + ".bias")}});
      }
    }
  }

  void add_dit() {
    bool const original = base_.dialect == Dialect::dit_original;
    std::int64_t depth = 0;
    while (is_there(find_tensor(
        original ? dotted_block("blocks.", depth, ".adaLN_modulation.1.weight")
                 : dotted_block("transformer_blocks.", depth, ".norm1.linear.weight")))) {
      ++depth;
    }
    constexpr std::string_view end = ".weight";
    DitNames const dit(depth);
    for (DitName const& entry : dit.entries()) {
      if (!entry.original.ends_with(end)) {
        continue;
      }
      auto const module = [&](std::string const& weight) {
        return weight.substr(0, weight.size() - end.size());
      };
      if (original) {
        add_dit_parts(entry, module);
      } else {
        add_dit_whole(entry, module);
      }
    }
  }
  static std::string dotted_block(char const* before, std::int64_t block, char const* behind) {
    return before + std::to_string(block) + behind;
  }

  /// Names of diffusers on a base in the original's: copies in every block have no place of their
  /// own.
  template <class Module>
  void add_dit_parts(DitName const& entry, Module const& module) {
    std::size_t const weight = find_tensor(entry.original);
    if (!is_there(weight) || entry.how == DitStorage::every_block) {
      return;
    }
    AdapterPiece piece = whole(weight, module(entry.original) + ".bias");
    piece.rows /= entry.diffusers.size();
    for (std::size_t part = 0; part < entry.diffusers.size(); ++part) {
      piece.tensor_row = part * piece.rows;
      places_.push_back(
          {AdapterPart::denoiser, module(entry.diffusers[part]), NameStyle::diffusers, {piece}});
    }
  }
  /// The original's names on a base in those of diffusers.
  template <class Module>
  void add_dit_whole(DitName const& entry, Module const& module) {
    AdapterPlace place{AdapterPart::denoiser, module(entry.original), NameStyle::original, {}};
    std::uint64_t row = 0;
    for (std::string const& name : entry.diffusers) {
      std::size_t const weight = find_tensor(name);
      if (!is_there(weight)) {
        return;
      }
      place.pieces.push_back(whole(weight, module(name) + ".bias"));
      place.pieces.back().module_row = row;
      row += entry.how == DitStorage::row_thirds ? place.pieces.back().rows : 0;
    }
    places_.push_back(std::move(place));
  }

  void add_ldm_aliases() {
    std::size_t const stored = places_.size();
    for (std::size_t i = 0; i < stored; ++i) {
      std::string alias = unet_ldm_name(places_[i].path, [&](std::size_t level) {
        return is_there(
            find_tensor("up_blocks." + std::to_string(level) + ".attentions.0.proj_in.weight"));
      });
      if (!alias.empty()) {
        places_.push_back(
            {AdapterPart::denoiser, std::move(alias), NameStyle::original, places_[i].pieces});
      }
    }
  }

  void add_ldm() {
    add_stored(AdapterPart::denoiser, "model.diffusion_model.");
    std::size_t const unet = places_.size();
    for (std::size_t i = 0; i < unet; ++i) {
      std::string alias = unet_diffusers_name(places_[i].path);
      if (!alias.empty()) {
        places_.push_back(
            {AdapterPart::denoiser, std::move(alias), NameStyle::diffusers, places_[i].pieces});
      }
    }
    for (std::string_view const prefix :
         {"cond_stage_model.transformer.", "conditioner.embedders.0.transformer."}) {
      std::size_t const first = places_.size();
      add_stored(AdapterPart::text_encoder, prefix);
      add_text_aliases(first);
    }
    add_openclip(AdapterPart::text_encoder, "cond_stage_model.model.");
    add_openclip(AdapterPart::text_encoder_2, "conditioner.embedders.1.model.");
  }

  /// transformers had a level "text_model" before version 5, and some old files lack it.
  void add_text_aliases(std::size_t first) {
    constexpr std::string_view level = "text_model.";
    std::size_t const stored = places_.size();
    for (std::size_t i = first; i < stored; ++i) {
      std::string const& path = places_[i].path;
      bool const has_level = path.starts_with(level);
      if (has_level || path.starts_with("encoder.layers.")) {
        places_.push_back({places_[i].part,
                           has_level ? path.substr(level.size()) : std::string(level) + path,
                           NameStyle::diffusers, places_[i].pieces});
      }
    }
  }

  void add_openclip(AdapterPart part, std::string const& prefix) {
    constexpr std::size_t most_layers = 64;
    add_stored(part, prefix);
    for (std::size_t layer = 0; layer < most_layers; ++layer) {
      for (std::string_view const module :
           {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
            "mlp.fc1", "mlp.fc2", "layer_norm1", "layer_norm2"}) {
        std::string const path =
            "encoder.layers." + std::to_string(layer) + "." + std::string(module);
        auto const name = openclip_name(path);
        std::size_t const weight = find_tensor(prefix + name->weight);
        if (!is_there(weight)) {
          continue;
        }
        AdapterPiece piece = whole(weight, prefix + name->bias);
        if (name->third) {
          piece.rows /= 3;
          piece.tensor_row = *name->third * piece.rows;
        }
        places_.push_back({part, path, NameStyle::diffusers, {piece}});
        places_.push_back({part, "text_model." + path, NameStyle::diffusers, {piece}});
      }
    }
  }

  void index() {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      by_path_.emplace(places_[i].path, i);
      by_flat_.emplace(flattened(places_[i].path), i);
    }
    auto const order = [&](std::vector<std::size_t>& out, auto const& key, AdapterPart part) {
      for (std::size_t i = 0; i < places_.size(); ++i) {
        if ((places_[i].part == part || places_[i].part == AdapterPart::whole) &&
            key(places_[i].path)) {
          out.push_back(i);
        }
      }
      std::sort(out.begin(), out.end(), [&](std::size_t a, std::size_t b) {
        return *key(places_[a].path) < *key(places_[b].path);
      });
    };
    order(unet_order_, cloneofsimo_unet_order, AdapterPart::denoiser);
    order(text_order_, cloneofsimo_text_order, AdapterPart::text_encoder);
  }

  AdapterBase const& base_;
  std::vector<AdapterPlace> places_;
  std::multimap<std::string, std::size_t, std::less<>> by_path_;
  std::multimap<std::string, std::size_t, std::less<>> by_flat_;
  std::vector<std::size_t> unet_order_;
  std::vector<std::size_t> text_order_;
};

}  // namespace dashi::io
