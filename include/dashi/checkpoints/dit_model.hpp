// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#pragma once

#include <dashi/backbones/dit_config.hpp>
#include <dashi/checkpoints/dit_embedders.hpp>
#include <dashi/io/dialects/read_dit.hpp>

#include <string>
#include <string_view>

namespace dashi::checkpoints {

/// Sizes and variant of a DiT as its backbone takes them. Heads and input must be known.
inline DitConfig dit_config(io::DitConfiguration const& c, io::DitVariant const& v) {
  DitConfig config;
  config.depth = c.depth;
  config.width = c.width;
  config.heads = c.heads;
  config.mlp_width = c.mlp_width;
  config.patch = c.patch;
  config.channels = c.channels;
  config.learn_sigma = c.learn_sigma;
  config.classes = c.classes;
  config.null_class = c.null_class;
  config.height = c.input_height;
  config.width_pixels = c.input_width;
  config.frequency_size = c.frequency_size;
  config.frequency_shift = static_cast<double>(c.frequency_size / 2 - v.time_divisor);
  config.second_norm_epsilon = v.norm_epsilon;
  config.embedders =
      v.embedders == io::DitEmbedders::shared ? Embedders::shared : Embedders::per_block;
  return config;
}

/// The sizes of a backbone, for files.
inline io::DitConfiguration dit_configuration(DitConfig const& config) {
  io::DitConfiguration c;
  c.depth = config.depth;
  c.width = config.width;
  c.heads = config.heads;
  c.mlp_width = config.mlp_width;
  c.patch = config.patch;
  c.channels = config.channels;
  c.learn_sigma = config.learn_sigma;
  c.classes = config.classes;
  c.null_class = config.null_class;
  c.input_height = config.height;
  c.input_width = config.width_pixels;
  c.frequency_size = config.frequency_size;
  return c;
}

/// What a checkpoint says of its DiT, complete: heads and input are known, and in diffusers names
/// the numbers decide about the embedders unless the metadata does. Throws FormatError.
inline io::DitModel read_dit_model(io::Checkpoint const& checkpoint,
                                   io::DitHints const& hints = {}) {
  io::DitModel model = io::read_dit(checkpoint, hints);
  io::expect_heads(model.configuration, checkpoint);
  io::expect_input(model.configuration, checkpoint);
  if (model.dialect == io::Dialect::dit_diffusers && !model.embedders_stated) {
    io::DitNames const names(model.configuration.depth);
    model.variant.embedders = compare_embedders(checkpoint, names) ? io::DitEmbedders::per_block
                                                                   : io::DitEmbedders::shared;
  }
  return model;
}

/// The original's name of a parameter of a backbone, and the block whose embedder it belongs to:
/// "blocks.3.t_embedder.mlp.0.weight" is "t_embedder.mlp.0.weight" of block 3; -1: of the model.
struct DitParameterName {
  std::string original;
  Index embedder = -1;

  explicit DitParameterName(std::string_view name) : original(name) {
    constexpr std::string_view blocks = "blocks.";
    if (!name.starts_with(blocks)) {
      return;
    }
    auto const dot = name.find('.', blocks.size());
    auto const rest = dot == std::string_view::npos ? name : name.substr(dot + 1);
    if (rest.starts_with("t_embedder.") || rest.starts_with("y_embedder.")) {
      original = std::string(rest);
      embedder = std::stoll(std::string(name.substr(blocks.size(), dot - blocks.size())));
    }
  }
};

}  // namespace dashi::checkpoints
