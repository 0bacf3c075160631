// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/core/expects.hpp>
#include <dashi/io/dialects/dit_names.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace dashi::io {

/// The sizes of a DiT. Lengths of an image are those of what the model sees: of a latent, the
/// latent's.
struct DitConfiguration {
  std::int64_t depth = 0;
  std::int64_t width = 0;
  std::int64_t heads = 0;      ///< 0: not known, no shape tells
  std::int64_t mlp_width = 0;  ///< of the hidden layer of a block's MLP
  std::int64_t patch = 0;
  std::int64_t channels = 0;
  bool learn_sigma = true;        ///< twice as many channels go out as come in
  std::int64_t classes = 0;       ///< without the null class
  bool null_class = true;         ///< the label table has one more row
  std::int64_t input_height = 0;  ///< 0 with input_width: not known, a model in diffusers names
  std::int64_t input_width = 0;
  std::int64_t frequency_size = 256;  ///< features of a timestep

  std::int64_t out_channels() const noexcept { return learn_sigma ? 2 * channels : channels; }
  std::int64_t label_rows() const noexcept { return classes + (null_class ? 1 : 0); }
  bool knows_input() const noexcept { return input_height > 0 && input_width > 0; }
  /// Patches of an image; 0 when its size is not known.
  std::int64_t tokens() const noexcept {
    return patch > 0 ? (input_height / patch) * (input_width / patch) : 0;
  }

  friend bool operator==(DitConfiguration const&, DitConfiguration const&) = default;
};

/// Heads of a model of that width when nothing tells: 64 numbers each, as in DiT-S, B and L, or 72
/// in the width of DiT-XL (arXiv 2212.09748, table 1); 0 for widths that allow neither.
constexpr std::int64_t usual_heads(std::int64_t width) noexcept {
  if (width == 1152) {
    return 16;
  }
  return width > 0 && width % 64 == 0 ? width / 64 : 0;
}

/// Shape of a tensor of the original DiT; of pos_embed the input must be known.
inline std::vector<std::uint64_t> dit_shape(DitConfiguration const& c, std::string_view original) {
  auto const shape = [](auto... extents) {
    return std::vector<std::uint64_t>{static_cast<std::uint64_t>(extents)...};
  };
  auto const layer = [&](std::int64_t rows, std::int64_t columns) {
    return original.ends_with(".weight") ? shape(rows, columns) : shape(rows);
  };
  auto const within = [&](std::string_view part) {
    return original.find(part) != std::string_view::npos;
  };
  std::int64_t const d = c.width;
  if (original == "pos_embed") {
    return shape(1, c.tokens(), d);
  }
  if (original == "x_embedder.proj.weight") {
    return shape(d, c.channels, c.patch, c.patch);
  }
  if (original == "y_embedder.embedding_table.weight") {
    return shape(c.label_rows(), d);
  }
  if (within("t_embedder.mlp.0.")) {
    return layer(d, c.frequency_size);
  }
  if (within("final_layer.adaLN_modulation.1.")) {
    return layer(2 * d, d);
  }
  if (within("final_layer.linear.")) {
    return layer(c.patch * c.patch * c.out_channels(), d);
  }
  if (within(".adaLN_modulation.1.")) {
    return layer(6 * d, d);
  }
  if (within(".attn.qkv.")) {
    return layer(3 * d, d);
  }
  if (within(".mlp.fc1.")) {
    return layer(c.mlp_width, d);
  }
  if (within(".mlp.fc2.")) {
    return layer(d, c.mlp_width);
  }
  DASHI_EXPECTS(
      original == "x_embedder.proj.bias" || within("t_embedder.mlp.2.") || within(".attn.proj."),
      "no tensor of a DiT has this name");
  return layer(d, d);
}

/// Shape of a tensor as the dialect keeps it.
inline std::vector<std::uint64_t> dit_shape(DitConfiguration const& c, Dialect dialect,
                                            DitName const& entry) {
  std::vector<std::uint64_t> shape = dit_shape(c, entry.original);
  if (dialect == Dialect::dit_diffusers && entry.how == DitStorage::row_thirds) {
    shape.front() /= 3;
  }
  return shape;
}

/// Numbers that a model of this configuration learns or keeps, pos_embed included, each once: 33
/// million for DiT-S/2, 675 for DiT-XL/2.
inline std::uint64_t dit_parameters(DitConfiguration const& c) {
  std::uint64_t total = 0;
  DitNames const names(c.depth);
  for (DitName const& entry : names.entries()) {
    std::uint64_t count = 1;
    for (std::uint64_t const extent : dit_shape(c, entry.original)) {
      count *= extent;
    }
    total += count;
  }
  return total;
}

}  // namespace dashi::io
